"""Ejercicio 1: tapar un cuadrado sin tocar la imagen que se recibe."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import occlusion
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.occlusion.numeric import filling, tinted_images

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

Value = float | str


def _arguments(rng: np.random.Generator, n: int, value: Value) -> dict[str, Any]:
    """Un cuadrado que no toca ningún borde, en una fila y una columna distintas."""
    h, w = (int(side) for side in rng.permutation([9, 10, 11, 12])[:2])
    patch = int(rng.integers(3, 5))
    top, left = (int(corner) for corner in rng.permutation(np.arange(1, 5))[:2])
    return {"x": tinted_images(rng, n, h, w), "top": top, "left": left, "patch": patch, "value": value}


def _closed_form(arguments: dict[str, Any], **options: Any) -> Draft:
    x, top, left, patch, value = arguments.values()
    expected, window = x.copy(), (..., slice(top, top + patch), slice(left, left + patch))
    expected[window] = filling(x, value)[window]
    return Draft(arguments, expected=expected, **options)


def _black(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 1, 0.0))


def _batch(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 3, 0.0))


def _number(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 2, float(rng.uniform(0.55, 0.95))))


def _integer(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 2, int(rng.integers(0, 2))))


def _mean(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 3, "mean"))


def _near_corner(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 1, 0.0) | {"top": 0, "left": 0})


def _far_corner(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, 2, 0.0)
    h, w = arguments["x"].shape[2:]
    return _closed_form(arguments | {"top": h - arguments["patch"], "left": w - arguments["patch"]})


def _one_pixel(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 1, 0.0) | {"patch": 1})


def _whole_side(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, 2, 0.0)
    h, w = arguments["x"].shape[2:]
    free = abs(h - w)
    place = {"top": free if h > w else 0, "left": free if w > h else 0}
    return _closed_form(arguments | place | {"patch": min(h, w)})


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, 2, 0.0)
    return _closed_form(arguments | {"x": arguments["x"].astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 2, 0.0), setup=frozenset({"strided"}))


def _fill(x: Tensor, value: Value) -> Tensor:
    fill = x.mean((2, 3), keepdim=True) if value == "mean" else torch.as_tensor(value)
    return fill.to(x).expand(x.shape)


def _covered(x: Tensor, top: int, left: int, patch: int, fill: Tensor) -> Tensor:
    result = x.clone()
    window = ..., slice(top, top + patch), slice(left, left + patch)
    result[window] = fill[window]
    return result


@_wrong(
    "La imagen de entrada queda tapada",
    "El cuadrado está bien puesto, pero en la imagen que te dieron: quien la use después la encontrará tapada, y al "
    "mover el cuadrado por ella se acumularían todos. Haz primero una copia, `x.clone()`.",
)
def _changes_input(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    window = ..., slice(top, top + patch), slice(left, left + patch)
    x[window] = _fill(x, value)[window].clone()
    return x


@_wrong(
    "Fila y columna cambiadas",
    "Has usado `top` como columna y `left` como fila. En un tensor `(N, 3, H, W)` las filas son el eje 2 y las "
    "columnas, el 3: `x[:, :, top:top + patch, left:left + patch]`.",
)
def _swapped_axes(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    return _covered(x, left, top, patch, _fill(x, value))


@_wrong(
    "La esquina tomada por el centro",
    "Tu cuadrado está desplazado medio lado hacia arriba y hacia la izquierda: has tomado `(top, left)` como su "
    "centro, y es su esquina superior izquierda.",
)
def _corner_as_centre(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    result, fill = x.clone(), _fill(x, value)
    rows, columns = (slice(max(0, c - patch // 2), c - patch // 2 + patch) for c in (top, left))
    result[..., rows, columns] = fill[..., rows, columns]
    return result


@_wrong(
    "Un píxel de más",
    "Tu cuadrado mide `patch + 1` de lado. Un corte de Python no incluye su final: `top:top + patch` ya son `patch` "
    "filas.",
)
def _one_too_many(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    return _covered(x, top, left, patch + 1, _fill(x, value))


@_wrong(
    "Solo la primera imagen",
    "Has tapado la primera imagen del lote y las demás siguen intactas. El cuadrado va en todas: deja entero el eje 0.",
)
def _first_image(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    return torch.cat([_covered(x, top, left, patch, _fill(x, value))[:1], x[1:]])


@_wrong(
    "Solo un canal",
    "Has tapado el primer canal y quedan los otros dos: el cuadrado no es negro, es la imagen sin su rojo. Deja entero "
    "el eje 1.",
)
def _first_channel(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    return torch.cat([_covered(x, top, left, patch, _fill(x, value))[:, :1], x[:, 1:]], 1)


@_wrong(
    "El cero tomado por la media",
    "Con `value=0` has tapado con la media. Cero es un color, el negro, y la media solo se usa con `'mean'`. Cuidado "
    "con `value or …` y con `if value`: para Python, 0 es falso.",
)
def _zero_is_mean(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    return _covered(x, top, left, patch, _fill(x, value or "mean"))


@_wrong(
    "Siempre negro",
    "Has tapado con negro sea cual sea `value`. Con qué se tapa cambia la respuesta de la red: usa el número que "
    "recibes y, con `'mean'`, la media de cada canal.",
)
def _always_black(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:  # noqa: ARG001
    return _covered(x, top, left, patch, torch.zeros_like(x))


@_wrong(
    "La media de todo el lote",
    "Has promediado también el eje 0, y todas las imágenes se tapan con el mismo color. Cada una tiene su media: "
    "`x.mean(dim=(2, 3), keepdim=True)`.",
)
def _batch_mean(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    fill = x.mean((0, 2, 3), keepdim=True).expand(x.shape) if value == "mean" else _fill(x, value)
    return _covered(x, top, left, patch, fill)


@_wrong(
    "Una media gris",
    "Has promediado también los canales: el cuadrado sale gris. La media es un color, con un número por canal: "
    "`x.mean(dim=(2, 3), keepdim=True)`.",
)
def _grey_mean(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    fill = x.mean((1, 2, 3), keepdim=True).expand(x.shape) if value == "mean" else _fill(x, value)
    return _covered(x, top, left, patch, fill)


@_wrong(
    "La media del cuadrado",
    "Has promediado solo los píxeles que tapas, así que el cuadrado conserva el color de lo que había debajo. La media "
    "es la de la imagen entera.",
)
def _patch_mean(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    inside = x[..., top : top + patch, left : left + patch].mean((2, 3), keepdim=True).expand(x.shape)
    return _covered(x, top, left, patch, inside if value == "mean" else _fill(x, value))


@_wrong(
    "Todo menos el cuadrado",
    "Has tapado lo de fuera y dejado a la vista el cuadrado. Es al revés: `torch.where(dentro, relleno, x)`.",
)
def _everything_else(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    return _covered(_fill(x, value), top, left, patch, x)


@_right
def _pixel_by_pixel(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    result = x.clone()
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            color = float(x[n, c].mean()) if isinstance(value, str) else value
            for i in range(top, top + patch):
                for j in range(left, left + patch):
                    result[n, c, i, j] = color
    return result


@_right
def _where(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    inside = ((rows - top).clamp(0, patch - 1) == rows - top)[:, None] & (columns >= left) & (columns < left + patch)
    if isinstance(value, str):
        return torch.where(inside, x.mean((-2, -1), keepdim=True), x)
    return torch.where(inside, value, x)


@_right
def _with_numpy(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    values = x.numpy().copy()
    color = values.mean(axis=(2, 3), keepdims=True) if value == "mean" else value
    values[:, :, top : top + patch, left : left + patch] = color
    return torch.from_numpy(values)


@_right
def _pasted(x: Tensor, top: int, left: int, patch: int, value: Value) -> Tensor:
    """Con tiras pegadas, sin escribir encima de nada."""
    n, c = x.shape[:2]
    if value == "mean":
        square = x.flatten(2).mean(2)[:, :, None, None].repeat(1, 1, patch, patch)
    else:
        square = x.new_full((n, c, patch, patch), float(value))
    band = x[:, :, top : top + patch]
    middle = torch.cat([band[..., :left], square, band[..., left + patch :]], dim=3)
    return torch.cat([x[:, :, :top], middle, x[:, :, top + patch :]], dim=2)


EXERCISE = Exercise(
    id="occlusion.occlude",
    title="Tapar un cuadrado",
    minutes=8,
    visible_points=1,
    hidden_points=1,
    reference=occlusion.occlude,
    properties=(
        Property("El cuadrado, y solo el cuadrado", 2, (_black,)),
        Property("Todas las imágenes del lote", 1, (_batch,)),
        Property("El número que se pide", 1, (_number, _integer)),
        Property("La media de cada canal de cada imagen", 2, (_mean,)),
        Property(
            "En las esquinas, de un píxel y de lado a lado", 1, (_near_corner, _far_corner, _one_pixel, _whole_side)
        ),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
