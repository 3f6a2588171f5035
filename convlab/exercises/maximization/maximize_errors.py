"""El catálogo de la maximización: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from convlab._passes import reaching
from convlab.exercises.catalogue import Catalogue
from convlab.maximization.ascent import Adam

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Size = tuple[int, int]
Shift = tuple[int, int]
Source = torch.Generator | None
Forward = Callable[[Tensor], Any]
Bound = Callable[[Tensor], Tensor]


def _mean(output: Tensor, channel: int) -> Tensor:
    return output[:, channel].mean()


def _draw(jitter: int, generator: Source) -> Shift:
    dy, dx = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
    return dy, dx


def _start(model: nn.Module, size: Size, generator: Source) -> Tensor:
    source = "cpu" if generator is None else generator.device
    return 0.3 * torch.randn(1, 3, *size, generator=generator, device=source).to(next(model.parameters()))


def _in_place(z: Tensor, shift: Shift) -> tuple[Tensor, Tensor, Shift]:
    """Lo que se guarda, lo que se deriva y cuánto se desplaza su imagen."""
    return z, z, shift


def _slope(forward: Forward, z: Tensor, shift: Shift, bound: Bound, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Derivada de la puntuación de la imagen desplazada, respecto de `z`."""
    leaf = z.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(forward(bound(leaf).roll(shift, (2, 3)))), leaf)
    return gradient


def _ascend(
    model: nn.Module,
    layer: str,
    channel: int,
    *,
    size: Size,
    steps: int,
    lr: float,
    jitter: int,
    generator: Source,
    score: Callable[[Tensor, int], Tensor] = _mean,
    bound: Bound = torch.sigmoid,
    draw: Callable[[int, Source], Shift] = _draw,
    start: Callable[[nn.Module, Size, Source], Tensor] = _start,
    change: Callable[[Tensor], Tensor] = torch.clone,
    carry: Callable[[Tensor, Shift], tuple[Tensor, Tensor, Shift]] = _in_place,
    normalized: bool = True,
) -> Tensor:
    """El ascenso correcto, con una pieza cambiable por cada error."""
    z = start(model, size, generator)
    adam = Adam(z, lr)
    with reaching(model, layer) as forward:
        for _ in range(steps):
            z, seen, shift = carry(z, draw(jitter, generator))
            slope = change(_slope(forward, seen, shift, bound, lambda output: score(output, channel)))
            z = adam.step(z, slope) if normalized else z + lr * slope
    return bound(z)


@_wrong(
    "Cuesta abajo",
    "Tu imagen apaga el canal: vas contra el gradiente. Los optimizadores de PyTorch bajan por omisión; usa "
    "`maximize=True`, o cambia el signo de lo que derivas.",
)
def _descent(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, change=torch.neg, **options)


@_wrong(
    "El gradiente, tal cual",
    "Has sumado `lr` por el gradiente sin normalizarlo. La media de un canal depende muy poco de cada píxel, y con ese "
    "gradiente diminuto la imagen apenas se mueve. Usa Adam, cuyo paso mide `lr` sea cual sea la escala.",
)
def _raw_gradient(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, normalized=False, **options)


@_wrong(
    "Toda la capa en vez del canal",
    "Has subido la media de todos los canales. Si los demás quieren lo contrario que el tuyo, ganan ellos. Quédate con "
    "`output[:, channel]` antes de promediar.",
)
def _whole_layer(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, score=lambda output, _channel: output.mean(), **options)


@_wrong(
    "La probabilidad en vez del valor",
    "Has pasado los canales por *softmax*. Esa probabilidad también sube si bajan los demás, así que la imagen puede "
    "apagar el canal que querías encender, con tal de apagar más a otro. Sube su valor, sin *softmax*.",
)
def _softmax(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, score=lambda output, k: output.softmax(1)[:, k].mean(), **options)


@_wrong(
    "Una sola posición del canal",
    "Has subido la neurona del centro del mapa, y solo cambia el trozo de imagen que ella ve. Se pide el canal entero: "
    "la media de todas sus posiciones.",
)
def _central_unit(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    def score(output: Tensor, k: int) -> Tensor:
        return output[0, k] if output.ndim == 2 else output[0, k, output.shape[2] // 2, output.shape[3] // 2]

    return _ascend(model, layer, channel, score=score, **options)


@_wrong(
    "Gradiente acumulado de un paso a otro",
    "Cada paso arrastra los gradientes de todos los anteriores. Mientras hay que subir no se nota, pero al llegar al "
    "máximo la imagen pasa de largo. Parte de cero en cada paso: con `.backward()`, pon `z.grad = None`; mejor, usa "
    "`torch.autograd.grad`.",
)
def _accumulated(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    total: list[Tensor] = []

    def accumulate(slope: Tensor) -> Tensor:
        total[:] = [total[0] + slope if total else slope]
        return total[0]

    return _ascend(model, layer, channel, change=accumulate, **options)


def _around_gray(model: nn.Module, size: Size, generator: Source) -> Tensor:
    return (0.5 + 0.2 * _start(model, size, generator)).clamp(0, 1)


@_wrong(
    "Valores fuera de [0, 1]",
    "Lo que devuelves se sale de [0, 1]: no es una imagen, y la red nunca vio nada así al entrenarse. Escribe la "
    "imagen como `torch.sigmoid(z)`, o recórtala después de cada paso.",
)
def _out_of_range(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, bound=torch.clone, start=_around_gray, **options)


@_wrong(
    "Recorte solo al final",
    "Has dejado que la imagen se saliera de [0, 1] por el camino y la has recortado al final. La imagen recortada no "
    "es la que se optimizó. Acótala en cada paso, o escríbela como `torch.sigmoid(z)`.",
)
def _clamped_at_the_end(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, bound=torch.clone, start=_around_gray, **options).clamp(0, 1)


@_wrong(
    "Contraste estirado al final",
    "Has estirado la imagen del mínimo al máximo antes de devolverla. Queda más vistosa, pero es otra: la red no la "
    "ha visto, y su activación es distinta. Devuelve la que has optimizado.",
)
def _stretched(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    image = _ascend(model, layer, channel, **options)
    low, high = image.min(), image.max()
    return (image - low) / (high - low).clamp(min=1e-12)


@_wrong(
    "Sin desplazar",
    "La red ve siempre la imagen en el mismo sitio: falta el desplazamiento al azar de cada paso. Es lo que evita "
    "patrones finos que solo valen en una posición exacta.",
)
def _no_jitter(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, draw=lambda _jitter, _generator: (0, 0), **options)


@_wrong(
    "Desplazamiento que no se deshace",
    "Desplazas la imagen en cada paso y no la devuelves a su sitio, así que los desplazamientos se suman y acaba lejos "
    "de donde empezó. Desplaza solo lo que ve la red, o deshazlo con `roll` y el signo contrario.",
)
def _shift_not_undone(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    def carry(z: Tensor, shift: Shift) -> tuple[Tensor, Tensor, Shift]:
        moved = z.roll(shift, (2, 3))
        return moved, moved, (0, 0)

    return _ascend(model, layer, channel, carry=carry, **options)


@_wrong(
    "El gradiente, sin devolver a su sitio",
    "Has derivado respecto de la imagen desplazada y has sumado ese gradiente a la imagen sin desplazar: cada píxel "
    "recibe el de un vecino. Deriva respecto de la imagen de partida, con el `roll` dentro de lo que se deriva.",
)
def _misplaced_gradient(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    def carry(z: Tensor, shift: Shift) -> tuple[Tensor, Tensor, Shift]:
        return z, z.roll(shift, (2, 3)), (0, 0)

    return _ascend(model, layer, channel, carry=carry, **options)


@_wrong(
    "El mismo desplazamiento en todos los pasos",
    "Has sorteado el desplazamiento una sola vez, antes del bucle. Así la imagen se optimiza en otro sitio, pero "
    "siempre en el mismo. Sortea uno nuevo en cada paso.",
)
def _one_shift_for_all(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    chosen: list[Shift] = []

    def draw(jitter: int, generator: Source) -> Shift:
        if not chosen:
            dy, dx = torch.randint(min(1, jitter), jitter + 1, (2,), generator=generator).tolist()
            chosen.append((dy, dx))
        return chosen[0]

    return _ascend(model, layer, channel, draw=draw, **options)


@_wrong(
    "Desplazamiento hacia un solo lado",
    "Solo desplazas hacia abajo y hacia la derecha: has sorteado de 0 a `jitter`. Debe ser de `-jitter` a `jitter` en "
    "cada eje.",
)
def _one_sided(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    def draw(jitter: int, generator: Source) -> Shift:
        dy, dx = torch.randint(0, jitter + 1, (2,), generator=generator).tolist()
        return dy, dx

    return _ascend(model, layer, channel, draw=draw, **options)


@_wrong(
    "El desplazamiento nunca llega a `jitter`",
    "`torch.randint(-jitter, jitter, …)` no incluye el último valor, y la imagen nunca se mueve `jitter` píxeles hacia "
    "abajo ni hacia la derecha. El límite es `jitter + 1`.",
)
def _open_interval(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    def draw(jitter: int, generator: Source) -> Shift:
        dy, dx = torch.randint(-jitter, max(jitter, 1), (2,), generator=generator).tolist()
        return dy, dx

    return _ascend(model, layer, channel, draw=draw, **options)


@_wrong(
    "Desplazamiento en un solo eje",
    "Solo desplazas en horizontal. Sortea dos números, uno por eje: `roll(shifts=(dy, dx), dims=(2, 3))`.",
)
def _one_axis(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, draw=lambda jitter, generator: (0, _draw(jitter, generator)[1]), **options)


@_wrong(
    "El azar global",
    "Has sorteado sin `generator=generator`: la misma semilla da cada vez otra imagen, y mueves el azar de los demás. "
    "Pásalo a `randn` y a `randint`.",
)
def _global_chance(model: nn.Module, layer: str, channel: int, *, generator: Source, **options: Any) -> Tensor:  # noqa: ARG001
    return _ascend(model, layer, channel, generator=None, **options)


@_wrong(
    "Siempre la misma semilla",
    "Has creado tu propio generador, con una semilla fija, y el que recibes no se usa: con cualquier semilla sale la "
    "misma imagen. Sortea con el `generator` del argumento.",
)
def _own_seed(model: nn.Module, layer: str, channel: int, *, generator: Source, **options: Any) -> Tensor:  # noqa: ARG001
    return _ascend(model, layer, channel, generator=torch.Generator().manual_seed(0), **options)


@_wrong(
    "Sin ruido al empezar",
    "Has partido de un gris liso. En él todas las posiciones reciben casi el mismo gradiente, y cuesta que aparezca "
    "una forma; además, todas las semillas dan lo mismo. Suma al gris un poco de ruido del `generator`.",
)
def _no_noise(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, start=lambda m, size, g: _start(m, size, g) * 0, **options)


@_wrong(
    "Un solo paso",
    "Solo das un paso: mira si el `return` está dentro del bucle, o si en cada vuelta empiezas de nuevo.",
)
def _one_step(model: nn.Module, layer: str, channel: int, *, steps: int, **options: Any) -> Tensor:
    return _ascend(model, layer, channel, steps=min(steps, 1), **options)


@_wrong(
    "Un número de pasos fijo",
    "Das siempre los mismos pasos y `steps` no se usa. Es quien llama quien decide cuántos: `for _ in range(steps)`.",
)
def _fixed_steps(model: nn.Module, layer: str, channel: int, *, steps: int, **options: Any) -> Tensor:  # noqa: ARG001
    return _ascend(model, layer, channel, steps=40, **options)


@_wrong(
    "El gancho sigue puesto",
    "La imagen es buena, pero el gancho se queda en la red y se ejecutará siempre que alguien la use. Quítalo con "
    "`.remove()` en un `finally`.",
)
def _hook_left(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    image = _ascend(model, layer, channel, **options)
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, _o: None)
    return image


@_wrong(
    "Gradientes guardados en los parámetros",
    "La imagen es buena, pero `.backward()` ha dejado un gradiente en cada parámetro de la red. Usa "
    "`torch.autograd.grad(score, z)`, que deriva solo respecto de la imagen.",
)
def _backward(model: nn.Module, layer: str, channel: int, **options: Any) -> Tensor:
    image = _ascend(model, layer, channel, **options)
    with torch.enable_grad(), reaching(model, layer) as forward:
        score = _mean(forward(image), channel)
    if score.requires_grad:
        score.backward()
    return image
