"""El catálogo del mapa de oclusión: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Target = int | Tensor
Value = float | str
Score = Callable[[nn.Module, Tensor], Tensor]
Place = tuple[int, int]


def _logit(target: Target) -> Score:
    return lambda model, x: model(x)[torch.arange(len(x)), target]


def _starts(side: int, patch: int, stride: int) -> list[int]:
    return sorted({*range(0, side - patch, stride), side - patch})


def _grid(x: Tensor, patch: int, stride: int) -> list[Place]:
    tops, lefts = (_starts(side, patch, stride) for side in x.shape[2:])
    return [(top, left) for top in tops for left in lefts]


def _window(place: Place, patch: int) -> tuple[slice, slice]:
    return slice(place[0], place[0] + patch), slice(place[1], place[1] + patch)


def _fill(x: Tensor, value: Value) -> Tensor:
    fill = x.mean((2, 3), keepdim=True) if value == "mean" else torch.as_tensor(value)
    return fill.to(x).expand(x.shape)


def _covered(x: Tensor, fill: Tensor, place: Place, patch: int) -> Tensor:
    result, window = x.clone(), (..., *_window(place, patch))
    result[window] = fill[window]
    return result


def _drops(model: nn.Module, x: Tensor, fill: Tensor, places: list[Place], patch: int, score: Score) -> list[Tensor]:
    clean = score(model, x)
    return [clean - score(model, _covered(x, fill, place, patch)) for place in places]


def _spread(x: Tensor, places: list[Place], patch: int, drops: list[Tensor]) -> tuple[Tensor, Tensor]:
    """La suma de las caídas en cada píxel, y cuántos cuadrados lo cubren."""
    total, count = x.new_zeros(len(x), *x.shape[2:]), x.new_zeros(x.shape[2:])
    for place, drop in zip(places, drops, strict=True):
        window = _window(place, patch)
        total[:, *window] += drop[:, None, None]
        count[*window] += 1
    return total, count


def _correct(model: nn.Module, x: Tensor, patch: int, stride: int, fill: Tensor, score: Score) -> Tensor:
    """El mapa de una puntuación y un relleno cualesquiera."""
    places = _grid(x, patch, stride)
    total, count = _spread(x, places, patch, _drops(model, x, fill, places, patch, score))
    return total / count


@_wrong(
    "Signo cambiado",
    "Tu mapa es el correcto cambiado de signo: has restado la respuesta de la imagen intacta de la tapada. La caída es "
    "`intacta - tapada`, positiva donde tapar perjudica a la clase.",
)
def _sign(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    return -_correct(model, x, patch, stride, _fill(x, value), _logit(target))


@_wrong(
    "La respuesta en vez de la caída",
    "Has guardado el logit con el cuadrado puesto. Ese número es bajo donde la zona importa: réstalo del logit de la "
    "imagen intacta.",
)
def _response(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places, fill = _grid(x, patch, stride), _fill(x, value)
    left = [_logit(target)(model, _covered(x, fill, place, patch)) for place in places]
    total, count = _spread(x, places, patch, left)
    return total / count


@_wrong(
    "Valor absoluto de la caída",
    "Has perdido el signo. Donde tapar hace *subir* el logit el mapa es negativo, y eso también se quiere saber: algo "
    "de ahí estorbaba a la clase.",
)
def _absolute(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places, fill = _grid(x, patch, stride), _fill(x, value)
    drops = [drop.abs() for drop in _drops(model, x, fill, places, patch, _logit(target))]
    total, count = _spread(x, places, patch, drops)
    return total / count


@_wrong(
    "Caída de la probabilidad",
    "Has medido la salida de *softmax*. La probabilidad depende de todas las clases y casi no se mueve si la red está "
    "segura. En este ejercicio se mide el logit, la salida de la red sin más.",
)
def _probability(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    def score(net: nn.Module, images: Tensor) -> Tensor:
        return net(images).softmax(1)[torch.arange(len(images)), target]

    return _correct(model, x, patch, stride, _fill(x, value), score)


@_wrong(
    "La clase se vuelve a elegir al tapar",
    "Has tomado en cada versión el logit más alto. Si al tapar gana otra clase, comparas dos clases distintas. La "
    "clase es siempre `target`, tapes lo que tapes.",
)
def _chosen_again(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:  # noqa: ARG001
    return _correct(model, x, patch, stride, _fill(x, value), lambda net, images: net(images).amax(1))


@_wrong(
    "La clase que gana en vez de la pedida",
    "Tu mapa es el de la clase que la red elige en la imagen intacta, no el de `target`. Se puede preguntar por "
    "cualquier clase: usa la que recibes.",
)
def _predicted(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:  # noqa: ARG001
    return _correct(model, x, patch, stride, _fill(x, value), _logit(model(x).argmax(1)))


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: "
    "`logits[torch.arange(N), target]` escoge la de cada una.",
)
def _first_class(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    first = int(target[0]) if isinstance(target, Tensor) else target
    return _correct(model, x, patch, stride, _fill(x, value), _logit(first))


@_wrong(
    "Caída media del lote",
    "Has promediado la caída de todas las imágenes y sale el mismo mapa para cada una. Cada imagen tiene la suya: la "
    "caída de un cuadrado es un tensor `(N,)`.",
)
def _batch_drop(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    heat = _correct(model, x, patch, stride, _fill(x, value), _logit(target))
    return heat.mean(0).expand(len(x), -1, -1)


@_wrong(
    "Caídas sumadas",
    "Donde los cuadrados se pisan has sumado sus caídas, y el centro parece más importante solo porque lo cubren más "
    "cuadrados. Lleva la cuenta de cuántos cubren cada píxel y divide.",
)
def _summed(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places = _grid(x, patch, stride)
    return _spread(x, places, patch, _drops(model, x, _fill(x, value), places, patch, _logit(target)))[0]


@_wrong(
    "Se queda el último cuadrado",
    "Cada cuadrado ha borrado lo que apuntó el anterior (`=` en lugar de `+=`), así que un píxel solo recuerda el "
    "último que lo cubrió. Acumula las caídas y divide por cuántas son.",
)
def _last_one(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places, heat = _grid(x, patch, stride), x.new_zeros(len(x), *x.shape[2:])
    for place, drop in zip(places, _drops(model, x, _fill(x, value), places, patch, _logit(target)), strict=True):
        heat[:, *_window(place, patch)] = drop[:, None, None]
    return heat


@_wrong(
    "La última fila y la última columna sin tapar",
    "Has parado cuando el siguiente cuadrado ya no cabía, y lo que sobra no se tapa nunca: ahí el mapa es 0, que no "
    "quiere decir «no importa». Añade en cada eje un cuadrado pegado al borde, en `lado - patch`.",
)
def _uncovered_edge(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    tops, lefts = (range(0, side - patch + 1, stride) for side in x.shape[2:])
    places = [(top, left) for top in tops for left in lefts]
    total, count = _spread(x, places, patch, _drops(model, x, _fill(x, value), places, patch, _logit(target)))
    return total / count.clamp(min=1)


@_wrong(
    "Píxeles que no cubre nadie, y NaN",
    "Has parado cuando el siguiente cuadrado ya no cabía; a la última franja no la cubre ninguno y allí divides 0 "
    "entre 0. No hace falta evitar la división, sino cubrirla: añade en cada eje un cuadrado pegado al borde, en "
    "`lado - patch`.",
)
def _uncovered_nan(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    tops, lefts = (range(0, side - patch + 1, stride) for side in x.shape[2:])
    places = [(top, left) for top in tops for left in lefts]
    total, count = _spread(x, places, patch, _drops(model, x, _fill(x, value), places, patch, _logit(target)))
    return total / count


@_wrong(
    "Cuadrados que se salen",
    "Has seguido poniendo cuadrados cada `stride` aunque se salgan de la imagen. Los del borde tapan menos, y su caída "
    "no se puede comparar con las demás. El último de cada eje va pegado al borde, entero: empieza en `lado - patch`.",
)
def _overhanging(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    tops, lefts = (range(0, side, stride) for side in x.shape[2:])
    places = [(top, left) for top in tops for left in lefts]
    total, count = _spread(x, places, patch, _drops(model, x, _fill(x, value), places, patch, _logit(target)))
    return total / count


@_wrong(
    "Las posiciones de un eje usadas en el otro",
    "Has calculado las posiciones con el alto y las has usado también a lo ancho, como si la imagen fuera cuadrada. "
    "Cada eje tiene las suyas: el alto es `x.shape[2]` y el ancho, `x.shape[3]`.",
)
def _square_grid(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    starts = _starts(x.shape[2], patch, stride)
    places = [(top, left) for top in starts for left in starts]
    total, count = _spread(x, places, patch, _drops(model, x, _fill(x, value), places, patch, _logit(target)))
    return total / count.clamp(min=1)


@_wrong(
    "Mapa desplazado",
    "Has tapado un sitio y apuntado la caída en otro, medio cuadrado más abajo y a la derecha. La caída va a los "
    "mismos píxeles que se taparon, de `top` a `top + patch`.",
)
def _shifted(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places = _grid(x, patch, stride)
    drops = _drops(model, x, _fill(x, value), places, patch, _logit(target))
    moved = [(top + patch // 2, left + patch // 2) for top, left in places]
    total, count = _spread(x, moved, patch, drops)
    return total / count.clamp(min=1)


@_wrong(
    "La rejilla ampliada",
    "Has hecho una tabla con una caída por cuadrado y la has ampliado al tamaño de la imagen. Solo coincide si los "
    "cuadrados encajan sin pisarse. Apunta cada caída en los píxeles que tapó su cuadrado.",
)
def _resized_grid(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places = _grid(x, patch, stride)
    drops = torch.stack(_drops(model, x, _fill(x, value), places, patch, _logit(target)), 1)
    rows = len({top for top, _ in places})
    return F.interpolate(drops.view(len(x), 1, rows, -1), size=x.shape[2:])[:, 0]


@_wrong(
    "Los cuadrados se quedan puestos",
    "Has tapado la misma imagen una y otra vez sin partir de la intacta: cada cuadrado se suma a los anteriores y al "
    "final está toda tapada. Empieza cada vez desde `x`, con tu `occlude`, que devuelve una copia.",
)
def _accumulated(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    places, fill, clean = _grid(x, patch, stride), _fill(x, value).clone(), _logit(target)(model, x)
    drops = []
    for place in places:
        window = ..., *_window(place, patch)
        x[window] = fill[window]
        drops.append(clean - _logit(target)(model, x))
    total, count = _spread(x, places, patch, drops)
    return total / count


@_wrong(
    "El cero tomado por la media",
    "Con `value=0` has tapado con la media de la imagen. Cero es el negro, y la media solo se usa con `'mean'`; para "
    "Python, en `value or …`, 0 es falso.",
)
def _zero_is_mean(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    return _correct(model, x, patch, stride, _fill(x, value or "mean"), _logit(target))


@_wrong(
    "Siempre negro",
    "Has tapado con negro sea cual sea `value`. Pásaselo a tu `occlude`: según con qué se tape, la red responde otra "
    "cosa.",
)
def _always_black(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:  # noqa: ARG001
    return _correct(model, x, patch, stride, torch.zeros_like(x), _logit(target))


@_wrong(
    "Las derivadas se quedan apagadas",
    "El mapa es correcto, pero `torch.set_grad_enabled(False)` sigue en vigor al salir, y a quien venga después "
    "PyTorch no le derivará nada. Usa `with torch.no_grad():`, que lo devuelve a como estaba.",
)
def _grad_off(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    torch.set_grad_enabled(False)
    return _correct(model, x, patch, stride, _fill(x, value), _logit(target))
