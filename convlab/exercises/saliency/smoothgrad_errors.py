"""El catálogo de SmoothGrad: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Generator, Tensor, nn

from convlab.exercises.catalogue import Catalogue
from convlab.exercises.saliency.networks import Target, first, leave_gradients, logit
from convlab.hooks import input_gradient

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def _noise(x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _gradients(model: nn.Module, copies: Iterable[Tensor], target: Target) -> Tensor:
    """Los gradientes de varias copias del lote, `(n, N, 3, H, W)`."""
    copies = list(copies)
    classes = torch.as_tensor(target).expand(len(copies[0])).repeat(len(copies))
    return input_gradient(model, torch.cat(copies), logit(classes)).unflatten(0, (len(copies), -1))


def _copies(x: Tensor, n: int, sigma: float, generator: Generator) -> list[Tensor]:
    return [x + sigma * _noise(x, generator) for _ in range(n)]


def _correct(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    return _largest(_gradients(model, _copies(x, n, sigma, generator), target).mean(0))


def _largest(gradient: Tensor) -> Tensor:
    return gradient.abs().amax(1)


@_wrong(
    "Media de los mapas en vez de los gradientes",
    "Has promediado valores absolutos: el mapa de cada copia. Así lo que cambia de signo con el ruido no se anula, que "
    "es justo lo que SmoothGrad quiere quitar. Promedia los gradientes con su signo y deja `abs` para el final.",
)
def _average_of_maps(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    return _gradients(model, _copies(x, n, sigma, generator), target).abs().amax(2).mean(0)


@_wrong(
    "El mismo ruido en todas las copias",
    "Has sacado el ruido una sola vez, fuera del bucle: las n copias son la misma imagen y promediarlas no suaviza "
    "nada. Saca ruido nuevo en cada vuelta.",
)
def _noise_once(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    return _correct(model, x + sigma * _noise(x, generator), target, n, 0.0, generator)


@_wrong(
    "Ruido sobre ruido",
    "Cada copia parte de la anterior, así que el ruido se va sumando y las últimas casi no se parecen a la imagen. "
    "Suma siempre a la imagen original y guárdalo con otro nombre, no en `x`.",
)
def _noise_piles_up(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    copies, copy = [], x
    for _ in range(n):
        copy = copy + sigma * _noise(x, generator)
        copies.append(copy)
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "`sigma` tomada por la varianza",
    "Tu ruido no tiene la desviación que se pide: has usado la raíz de `sigma`. `sigma` es la desviación típica, y "
    "multiplica directamente a `torch.randn`.",
)
def _sigma_as_variance(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    return _correct(model, x, target, n, sigma**0.5, generator)


@_wrong(
    "Ruido relativo al recorrido de la imagen",
    "Has multiplicado `sigma` por la diferencia entre el máximo y el mínimo de la imagen. Así lo miden algunos, pero "
    "aquí `sigma` va en las unidades de la imagen, [0, 1]: se usa tal cual.",
)
def _relative_noise(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    return _correct(model, x, target, n, sigma * float(x.max() - x.min()), generator)


@_wrong(
    "Ruido que solo suma",
    "Has usado `torch.rand`, que va de 0 a 1: todas las copias salen más claras que la imagen. El ruido es gaussiano y "
    "de media 0: `torch.randn`.",
)
def _uniform_noise(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    copies = [x + sigma * torch.rand(x.shape, generator=generator, dtype=x.dtype) for _ in range(n)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "Ruido uniforme",
    "Tu ruido tiene media 0, pero es uniforme y nunca llega lejos. Se pide gaussiano: `torch.randn`.",
)
def _centred_uniform_noise(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    wide = sigma * 12**0.5
    copies = [x + wide * (torch.rand(x.shape, generator=generator, dtype=x.dtype) - 0.5) for _ in range(n)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "Copias recortadas a [0, 1]",
    "Has recortado las copias a [0, 1]. En lo casi blanco y lo casi negro el ruido deja entonces de tener media 0, y "
    "el mapa se tuerce justo ahí. Aquí las copias no se recortan.",
)
def _clipped(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    copies = [copy.clamp(0, 1) for copy in _copies(x, n, sigma, generator)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "Un solo número de ruido por copia",
    "Has sumado el mismo número a todos los píxeles: la copia solo cambia de brillo. Cada píxel y cada canal llevan su "
    "propio ruido: pide a `torch.randn` la forma de `x`.",
)
def _one_number_per_copy(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    copies = [x + sigma * torch.randn((len(x), 1, 1, 1), generator=generator, dtype=x.dtype) for _ in range(n)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "El mismo ruido en los tres canales",
    "Has sacado un ruido por píxel y lo has sumado a los tres canales: los grises se mueven, pero los colores no. Pide "
    "a `torch.randn` la forma entera de `x`.",
)
def _grey_noise(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    copies = [x + sigma * _noise(x[:, :1], generator) for _ in range(n)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "El mismo ruido en todas las imágenes",
    "Has sacado un ruido por copia y lo has sumado a todas las imágenes del lote. Cada imagen lleva el suyo: pide a "
    "`torch.randn` la forma entera de `x`, con su eje 0.",
)
def _noise_shared_by_batch(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    copies = [x + sigma * _noise(x[0], generator) for _ in range(n)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "La imagen sin ruido cuenta como copia",
    "Has incluido la imagen limpia en la media. Se promedian exactamente n copias y todas llevan ruido.",
)
def _clean_image_counts(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    return _largest(_gradients(model, [x, *_copies(x, n, sigma, generator)], target).mean(0))


@_wrong(
    "Suma en vez de media",
    "Has sumado los gradientes de las copias y falta dividir por n: el mapa crece con el número de copias.",
)
def _sum_of_copies(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    return _largest(_gradients(model, _copies(x, n, sigma, generator), target).sum(0))


@_wrong(
    "Sin valor absoluto",
    "Has tomado el mayor gradiente con su signo. La media sí conserva el signo, pero al final cuenta el tamaño: `abs` "
    "y después el máximo de los canales.",
)
def _sign_kept(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    return _gradients(model, _copies(x, n, sigma, generator), target).mean(0).amax(1)


@_wrong(
    "Gradiente de la probabilidad",
    "Has derivado la salida de *softmax*, que depende de todas las clases. Aquí se deriva el logit de la clase, como "
    "en `saliency_map`.",
)
def _softmax_gradient(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    classes = torch.as_tensor(target).expand(len(x)).repeat(n)
    copies = torch.cat(_copies(x, n, sigma, generator))
    gradient = input_gradient(model, copies, lambda logits: logit(classes)(logits.softmax(1)))
    return _largest(gradient.unflatten(0, (n, -1)).mean(0))


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: "
    "`logits[torch.arange(N), target]` escoge la de cada una.",
)
def _first_class_for_all(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    return _correct(model, x, first(target), n, sigma, generator)


@_wrong(
    "Clases que no casan con sus copias",
    "Al juntar las copias en un lote, `x.repeat(n, 1, 1, 1)` pone las imágenes en el orden 0, 1, 2, 0, 1, 2…, y "
    "`repeat_interleave` pone las clases en el orden 0, 0, 1, 1, 2, 2… Repite las dos de la misma manera.",
)
def _misaligned_classes(
    model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator
) -> Tensor:
    classes = torch.as_tensor(target).expand(len(x)).repeat_interleave(n)
    gradient = input_gradient(model, torch.cat(_copies(x, n, sigma, generator)), logit(classes))
    return _largest(gradient.unflatten(0, (n, len(x))).mean(0))


@_wrong(
    "Copias de imágenes distintas promediadas",
    "Al deshacer el lote has leído (N, n) donde el orden era (n, N): promedias copias de imágenes distintas. Si "
    "juntaste con `cat` o `repeat`, el primer eje es el de las copias: `unflatten(0, (n, N)).mean(0)`.",
)
def _mixed_copies(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    classes = torch.as_tensor(target).expand(len(x)).repeat(n)
    gradient = input_gradient(model, torch.cat(_copies(x, n, sigma, generator)), logit(classes))
    return _largest(gradient.unflatten(0, (len(x), n)).mean(1))


@_wrong(
    "El azar no sale del generador",
    "Has usado el azar global en vez de `generator`: con la misma semilla sale otro mapa, y de paso cambias el azar de "
    "quien te llama. Pásalo: `torch.randn(x.shape, generator=generator)`.",
)
def _global_noise(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:  # noqa: ARG001
    copies = [x + sigma * torch.randn_like(x) for _ in range(n)]
    return _largest(_gradients(model, copies, target).mean(0))


@_wrong(
    "Siempre la misma semilla",
    "Haces un generador propio con una semilla fija, así que el ruido es siempre el mismo. Usa el `generator` que te "
    "dan: quien llama decide la semilla.",
)
def _fixed_seed(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:  # noqa: ARG001
    return _correct(model, x, target, n, sigma, torch.Generator().manual_seed(0))


@_wrong(
    "Gradientes guardados en los parámetros",
    "El mapa es correcto, pero `.backward()` ha dejado gradientes en los parámetros de la red. Usa "
    "`torch.autograd.grad`, que devuelve solo el que pides.",
)
def _backward(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    leave_gradients(model, x, target)
    return _correct(model, x, target, n, sigma, generator)


@_wrong(
    "El ruido se suma a la propia imagen",
    "El mapa es correcto, pero sumas el ruido a la imagen que te dieron, con `+=` o `add_`. Aunque luego lo restes, el "
    "redondeo ya no la devuelve exacta. Haz una nueva: `copy = x + noise`.",
)
def _noise_in_place(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    total = torch.zeros_like(x)
    for _ in range(n):
        noise = sigma * _noise(x, generator)
        x += noise
        total += input_gradient(model, x, logit(target))
        x -= noise
    return _largest(total / n)
