"""El catálogo del juego del puntero: lo que se escribe mal, con su diagnóstico, y otras maneras de escribirlo bien."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right


def _top(saliency: Tensor) -> Tensor:
    return saliency.amax((1, 2), keepdim=True)


def _varies(saliency: Tensor) -> Tensor:
    return saliency.amin((1, 2)) < saliency.amax((1, 2))


def _at(mask: Tensor, position: Tensor) -> Tensor:
    return mask.flatten(1).gather(1, position[:, None])[:, 0]


@_wrong(
    "El último de los máximos",
    "Cuando varios píxeles empatan has tomado el último, y se pide el primero por filas: el que da `argmax` sobre el "
    "mapa aplanado.",
)
def _last_of_ties(saliency: Tensor, mask: Tensor) -> Tensor:
    last = saliency[0].numel() - 1 - saliency.flatten(1).flip(1).argmax(1)
    return _at(mask, last) & _varies(saliency)


@_wrong(
    "Cualquiera de los máximos",
    "Cuando varios píxeles empatan das por bueno que uno cualquiera caiga en el objeto. Cuenta solo el primero por "
    "filas: si no, señalar muchos sitios a la vez saldría gratis.",
)
def _any_of_ties(saliency: Tensor, mask: Tensor) -> Tensor:
    return ((saliency == _top(saliency)) & mask).any(2).any(1) & _varies(saliency)


@_wrong(
    "El primero por columnas",
    "Cuando varios píxeles empatan has tomado el primero por columnas. El mapa se recorre por filas: de arriba abajo, "
    "y en cada fila de izquierda a derecha.",
)
def _first_by_columns(saliency: Tensor, mask: Tensor) -> Tensor:
    turned = saliency.transpose(1, 2).flatten(1).argmax(1)
    return _at(mask.transpose(1, 2), turned) & _varies(saliency)


@_wrong(
    "Un mapa constante acierta",
    "En un mapa constante todos los píxeles empatan y `argmax` da el primero, que puede caer en el objeto por "
    "casualidad. Un mapa así no señala nada: es un fallo siempre.",
)
def _constant_counts(saliency: Tensor, mask: Tensor) -> Tensor:
    return _at(mask, saliency.flatten(1).argmax(1))


@_wrong(
    "Solo se mira el mapa nulo",
    "Has tratado aparte los mapas con todo a cero, pero los que valen lo mismo en todas partes tampoco señalan nada. "
    "Compara el máximo con el mínimo.",
)
def _only_zero_is_constant(saliency: Tensor, mask: Tensor) -> Tensor:
    return _at(mask, saliency.flatten(1).argmax(1)) & (saliency != 0).flatten(1).any(1)


@_wrong(
    "Hace falta que el máximo sea positivo",
    "Das por fallo los mapas cuyo máximo no es positivo. Un mapa con signo puede ser entero negativo, y su máximo "
    "sigue siendo un punto. Solo los mapas constantes no señalan nada.",
)
def _positive_peak(saliency: Tensor, mask: Tensor) -> Tensor:
    return _at(mask, saliency.flatten(1).argmax(1)) & _varies(saliency) & (saliency.amax((1, 2)) > 0)


@_wrong(
    "El máximo del lote",
    "Has buscado el mayor valor de todo el lote: solo puede acertar una imagen. Cada mapa tiene su máximo: aplana "
    "desde el eje 1, `flatten(1)`.",
)
def _batch_maximum(saliency: Tensor, mask: Tensor) -> Tensor:
    return ((saliency == saliency.max()) & mask).any(2).any(1) & _varies(saliency)


@_wrong(
    "Valor absoluto",
    "Has buscado el mayor valor absoluto. El mapa puede llevar signo, y lo más negativo es justo lo que va en contra: "
    "el punto es el máximo tal cual.",
)
def _absolute_value(saliency: Tensor, mask: Tensor) -> Tensor:
    return _at(mask, saliency.flatten(1).abs().argmax(1)) & _varies(saliency)


@_wrong(
    "Filas y columnas con el lado equivocado",
    "Has pasado de la posición aplanada a fila y columna dividiendo por el alto. Cada fila tiene `W` píxeles: "
    "`posición // W` y `posición % W`. Con imágenes cuadradas no se nota.",
)
def _wrong_side(saliency: Tensor, mask: Tensor) -> Tensor:
    h = saliency.shape[1]
    position = saliency.flatten(1).argmax(1)
    return mask[torch.arange(len(mask)), position // h, position % h] & _varies(saliency)


@_wrong(
    "La mayor parte del calor",
    "Has mirado si la mayor parte del calor está dentro. El juego del puntero mira un solo píxel, el máximo: dónde "
    "señalaría el mapa si tuviera un dedo.",
)
def _most_heat(saliency: Tensor, mask: Tensor) -> Tensor:
    return (saliency * mask).sum((1, 2)) > (saliency * ~mask).sum((1, 2))


@_wrong(
    "Números en vez de booleanos",
    "Los aciertos son los debidos, pero devuelves números y se pide un tensor booleano: `True` o `False` por imagen. "
    "Quien quiera la media ya lo convertirá.",
)
def _numbers(saliency: Tensor, mask: Tensor) -> Tensor:
    return _constant_aware(saliency, mask).to(saliency.dtype)


@_wrong(
    "La fracción de aciertos",
    "Has devuelto un solo número, la fracción de aciertos del lote. Se pide un booleano por imagen, `(N,)`.",
)
def _one_number(saliency: Tensor, mask: Tensor) -> Tensor:
    return _constant_aware(saliency, mask).double().mean()


@_wrong(
    "El mapa de entrada modificado",
    "El resultado es correcto, pero has escrito sobre el mapa que te dieron y quien lo use después tendrá otro. "
    "Trabaja sobre un tensor nuevo: `masked_fill` en vez de `masked_fill_`.",
)
def _changes_map(saliency: Tensor, mask: Tensor) -> Tensor:
    answer = _constant_aware(saliency, mask)
    saliency.masked_fill_(~mask, float("-inf"))
    return answer


def _constant_aware(saliency: Tensor, mask: Tensor) -> Tensor:
    return _at(mask, saliency.flatten(1).argmax(1)) & _varies(saliency)


@_right
def _pixel_by_pixel(saliency: Tensor, mask: Tensor) -> Tensor:
    answers = []
    for heat, truth in zip(saliency.tolist(), mask.tolist(), strict=True):
        best, inside, values = float("-inf"), False, set()
        for row, truths in zip(heat, truth, strict=True):
            for value, is_object in zip(row, truths, strict=True):
                values.add(value)
                if value > best:
                    best, inside = value, is_object
        answers.append(inside and len(values) > 1)
    return torch.tensor(answers, device=saliency.device)


@_right
def _with_numpy(saliency: Tensor, mask: Tensor) -> Tensor:
    heat, truth = saliency.cpu().numpy(), mask.cpu().numpy()
    places = [np.unravel_index(np.argmax(one), one.shape) for one in heat]
    hits = [bool(t[place]) and bool(np.ptp(one) > 0) for t, place, one in zip(truth, places, heat, strict=True)]
    return torch.tensor(hits, device=saliency.device)


@_right
def _first_of_sorted(saliency: Tensor, mask: Tensor) -> Tensor:
    """Con una ordenación estable: el primero de los mayores es el primero por filas."""
    flat, truth = saliency.reshape(len(saliency), -1), mask.reshape(len(mask), -1)
    order = flat.sort(dim=1, descending=True, stable=True)
    inside = torch.take_along_dim(truth, order.indices[:, :1], dim=1).squeeze(1)
    return torch.logical_and(inside, order.values[:, 0] != order.values[:, -1])
