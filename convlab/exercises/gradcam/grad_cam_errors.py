"""El catálogo de Grad-CAM: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.hooks import activation_and_gradient

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Target = int | Tensor
Score = Callable[[Tensor], Tensor]


def _logit(target: Target) -> Score:
    return lambda logits: logits[torch.arange(len(logits)), target]


def _maps(model: nn.Module, x: Tensor, layer: str, score: Score) -> tuple[Tensor, Tensor, Tensor]:
    """Activación, gradiente y pesos `(N, C, 1, 1)`: lo que todos los errores de la suma tienen bien."""
    a, g = activation_and_gradient(model, x, layer, score)
    return a, g, g.mean((2, 3), keepdim=True)


def _resize(heat: Tensor, x: Tensor) -> Tensor:
    return F.interpolate(heat[:, None], size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _correct(model: nn.Module, x: Tensor, layer: str, score: Score) -> Tensor:
    """Grad-CAM de una puntuación cualquiera."""
    a, _, w = _maps(model, x, layer, score)
    return _resize((w * a).sum(1).relu(), x)


@_wrong(
    "Falta la ReLU",
    "Tu mapa tiene valores negativos, y donde es positivo coincide con el correcto salvo junto al borde entre ambos. "
    "Grad-CAM solo enseña lo que empuja a favor de la clase: aplica `relu` a la suma de los canales, antes de ampliar.",
)
def _no_relu(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    return _resize((w * a).sum(1), x)


@_wrong(
    "Media sobre los canales en vez del espacio",
    "Tus pesos son la media del gradiente sobre los canales, uno por posición. El peso de Grad-CAM es uno por canal: "
    "la media sobre las posiciones, `dim=(2, 3)`. Compruébalo con tu `channel_weights`.",
)
def _mean_over_channels(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, g, _ = _maps(model, x, layer, _logit(target))
    return _resize((g.mean(1, keepdim=True) * a).sum(1).relu(), x)


@_wrong(
    "Suma del gradiente en vez de media",
    "Tu mapa es el correcto multiplicado por h · w: los pesos son la suma del gradiente y falta dividir por el número "
    "de posiciones. El dibujo es igual, pero los valores no se pueden comparar entre capas.",
)
def _sum_over_space(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, g, _ = _maps(model, x, layer, _logit(target))
    return _resize((g.sum((2, 3), keepdim=True) * a).sum(1).relu(), x)


@_wrong(
    "ReLU en los pesos",
    "Has puesto a cero los pesos negativos, así que los canales que van en contra ya no restan y el calor llega a "
    "zonas que no lo merecen. Deja los pesos con su signo y aplica la ReLU a la suma.",
)
def _relu_on_weights(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    return _resize((w.relu() * a).sum(1).relu(), x)


@_wrong(
    "ReLU en cada canal",
    "Has aplicado la ReLU a cada producto y luego has sumado. Así lo que va en contra no llega a descontarse: primero "
    "se suman los canales y después se aplica la ReLU, una sola vez.",
)
def _relu_on_each_channel(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    return _resize((w * a).relu().sum(1), x)


@_wrong(
    "Valor absoluto",
    "Donde el mapa debería ser cero, el tuyo es positivo: has usado el valor absoluto y lo que va en contra de la "
    "clase parece a favor. Cambia `abs` por `relu`.",
)
def _absolute_value(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    return _resize((w * a).sum(1).abs(), x)


@_wrong(
    "Gradiente por activación",
    "Has multiplicado posición a posición el gradiente y la activación, sin promediar el gradiente antes. Con media "
    "espacial antes de la última capa da lo mismo, y por eso engaña; con otra cabeza, no. Haz primero la media "
    "espacial.",
)
def _gradient_times_activation(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, g, _ = _maps(model, x, layer, _logit(target))
    return _resize((g * a).sum(1).relu(), x)


@_wrong(
    "Gradiente de la probabilidad",
    "Has derivado la salida de *softmax*. Esa probabilidad también sube cuando bajan las demás clases, y si la red "
    "está segura su derivada casi desaparece. Deriva el logit, la salida de la red sin más.",
)
def _softmax_gradient(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    return _correct(model, x, layer, lambda logits: _logit(target)(logits.softmax(1)))


@_wrong(
    "Gradiente de la pérdida",
    "Has derivado la función de pérdida. Baja cuando la clase sube, así que tu mapa enseña lo que va en contra. "
    "Deriva el logit de la clase.",
)
def _loss_gradient(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    classes = torch.as_tensor(target).expand(len(x))
    return _correct(model, x, layer, lambda logits: F.cross_entropy(logits, classes))


@_wrong(
    "Gradiente del logaritmo de la probabilidad",
    "Has derivado `log_softmax`, que es la pérdida cambiada de signo: el mapa depende entonces de todas las clases. "
    "Deriva el logit de la clase y nada más.",
)
def _log_softmax_gradient(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    return _correct(model, x, layer, lambda logits: _logit(target)(logits.log_softmax(1)))


@_wrong(
    "La clase que gana en vez de la pedida",
    "Tu mapa es el de la clase que la red elige, no el de `target`. Preguntar por otra clase es media gracia de "
    "Grad-CAM: usa el índice que recibes.",
)
def _predicted_class(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:  # noqa: ARG001
    return _correct(model, x, layer, lambda logits: logits.amax(1))


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: "
    "`logits[torch.arange(N), target]` escoge la de cada una.",
)
def _first_class_for_all(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    first = int(target[0]) if isinstance(target, Tensor) else target
    return _correct(model, x, layer, _logit(first))


@_wrong(
    "Normalizado por el lote",
    "Has dividido por el máximo de todo el lote: el mapa de una imagen depende de con quién se calcule. Devuélvelo sin "
    "normalizar; eso se hace al dibujarlo.",
)
def _batch_normalized(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    heat = _correct(model, x, layer, _logit(target))
    return heat / heat.max().clamp(min=1e-12)


@_wrong(
    "Normalizado por imagen",
    "Has dividido cada mapa por su máximo. El dibujo es igual, pero se pierde cuánto empuja cada imagen: devuélvelo "
    "sin normalizar.",
)
def _image_normalized(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    heat = _correct(model, x, layer, _logit(target))
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)


@_wrong(
    "Ampliado con el vecino más próximo",
    "Tu mapa está hecho de bloques: lo has ampliado sin interpolar, que es lo que hace `interpolate` si no se le dice "
    'nada. Pide `mode="bilinear"` y `align_corners=False`.',
)
def _nearest(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    return F.interpolate((w * a).sum(1, keepdim=True).relu(), size=x.shape[2:])[:, 0]


@_wrong(
    "Esquinas alineadas",
    "Has ampliado con `align_corners=True`, que estira el mapa hasta los bordes y lo desplaza. Usa "
    "`align_corners=False`.",
)
def _align_corners(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    heat = (w * a).sum(1, keepdim=True).relu()
    return F.interpolate(heat, size=x.shape[2:], mode="bilinear", align_corners=True)[:, 0]


@_wrong(
    "Ampliado antes de la ReLU",
    "Has ampliado primero y aplicado la ReLU después. Junto a cada borde, lo negativo se mezcla con lo positivo y el "
    "mapa se encoge. Primero la ReLU, después ampliar.",
)
def _resized_before_relu(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    a, _, w = _maps(model, x, layer, _logit(target))
    return _resize((w * a).sum(1), x).relu()


@_wrong(
    "La salida de la capa cambió a tus espaldas",
    "La siguiente capa es una ReLU que escribe encima de lo que recibe, y lo que guardó tu gancho ya no es la salida "
    "de la capa pedida. Haz que el gancho devuelva una copia, `.clone()`, y guarda el original.",
)
def _overwritten_activation(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    kept: list[Tensor] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    try:
        score = _logit(target)(model(x.detach().clone().requires_grad_())).sum()
    finally:
        hook.remove()
    (g,) = torch.autograd.grad(score, kept)
    return _resize((g.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1).relu(), x)


@_wrong(
    "Con la red congelada no hay grafo",
    "Tu función necesita que los parámetros pidan gradiente, y en una red congelada falla. Que el grafo empiece en la "
    "capa: el gancho guarda `output.detach().requires_grad_()` y devuelve una copia suya.",
)
def _needs_trainable_parameters(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    hook = model.get_submodule(layer).register_forward_hook(keep)
    try:
        (g,) = torch.autograd.grad(_logit(target)(model(x)).sum(), kept)
    finally:
        hook.remove()
    return _resize((g.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1).relu(), x)


@_wrong(
    "El gancho sigue puesto",
    "El mapa es correcto, pero el gancho se queda en la red y se ejecutará siempre que alguien la use. Guarda lo que "
    "devuelve `register_forward_hook` y llama a su `.remove()` en un `finally`.",
)
def _hook_left(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, _o: None)
    return _correct(model, x, layer, _logit(target))


@_wrong(
    "Gradientes guardados en los parámetros",
    "El mapa es correcto, pero `.backward()` ha dejado un gradiente en cada parámetro, y el siguiente entrenamiento lo "
    "sumará al suyo. Usa `torch.autograd.grad`, que devuelve solo el que pides.",
)
def _backward(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    heat = _correct(model, x, layer, _logit(target))
    with torch.enable_grad():
        score = _logit(target)(model(x)).sum()
    if score.requires_grad:
        score.backward()
    return heat
