"""Ejercicio 1: la variación total, cuánto cambia una imagen de un píxel a sus vecinos."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab import maximization
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _images(rng: np.random.Generator, n: int) -> np.ndarray:
    # Ningún eje con el mismo tamaño que otro, y valores que no se quedan en [0, 1].
    c, h, w = rng.permutation([4, 5, 6, 7])[:3]
    return rng.normal(0.5, 1, (n, c, h, w))


def _closed_form(x: np.ndarray, setup: frozenset[str] = frozenset()) -> Draft:
    rows, columns = np.abs(np.diff(x, axis=2)), np.abs(np.diff(x, axis=3))
    return Draft({"x": x}, setup, rows.sum((1, 2, 3)) + columns.sum((1, 2, 3)))


def _ramps(rng: np.random.Generator) -> Draft:
    """Cada imagen sube y después baja, en un solo canal: se sabe cuánto sin calcular ninguna diferencia."""
    peaks = rng.uniform(1, 3, 2)
    x = np.zeros((2, 1, 4, 5))
    x[0, 0, 1], x[1, 0, :, 2] = peaks[0], peaks[1]
    return Draft({"x": x}, expected=np.array([2 * 5 * peaks[0], 2 * 4 * peaks[1]]))


def _batch(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 3))


def _one_image(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 1))


def _flat_channels(rng: np.random.Generator) -> Draft:
    """Un color liso distinto en cada canal y cada imagen no varía en el espacio, salvo por un píxel de una esquina."""
    x = np.tile(rng.uniform(1, 4, (2, 3, 1, 1)), (1, 1, 5, 6))
    jump = rng.uniform(0.5, 2, 2)
    x[:, 0, 0, 0] += jump
    return Draft({"x": x}, expected=2 * jump)


def _single_line(rng: np.random.Generator) -> Draft:
    """Con un solo píxel de alto, o de ancho, no hay vecino en ese eje."""
    x = rng.normal(0, 1, (2, 3, 1, 6))
    return _closed_form(x if rng.integers(2) else x.swapaxes(2, 3).copy())


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"x": _images(rng, 2).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 2), frozenset({"strided"}))


def _steps(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.diff(dim=2).abs(), x.diff(dim=3).abs()


@_wrong(
    "Un solo eje",
    "Has sumado las diferencias de un eje y falta el otro: una imagen a rayas puede dar cero. Hacen falta las dos, "
    "entre filas (eje 2) y entre columnas (eje 3).",
)
def _one_axis(x: Tensor) -> Tensor:
    return x.diff(dim=3).abs().sum((1, 2, 3))


@_wrong(
    "Diferencias entre canales",
    "Has restado también canales vecinos. Que el rojo y el verde de un píxel sean distintos es color, no variación en "
    "el espacio: resta solo a lo largo de los ejes 2 y 3.",
)
def _across_channels(x: Tensor) -> Tensor:
    rows, columns = _steps(x)
    return rows.sum((1, 2, 3)) + columns.sum((1, 2, 3)) + x.diff(dim=1).abs().sum((1, 2, 3))


@_wrong(
    "Diferencias entre imágenes",
    "Has restado unas imágenes del lote de otras. Cada imagen tiene su variación, sin mirar a las demás: los ejes que "
    "se recorren son el 2 y el 3.",
)
def _across_batch(x: Tensor) -> Tensor:
    rows, columns = _steps(x)
    jumps = F.pad(x.diff(dim=0).abs().sum((1, 2, 3)), (0, 1))
    return rows.sum((1, 2, 3)) + columns.sum((1, 2, 3)) + jumps


@_wrong(
    "Sin valor absoluto",
    "Has sumado las diferencias con su signo. Lo que sube se cancela con lo que baja, y al final solo cuentan los "
    "bordes de la imagen. Toma el valor absoluto de cada diferencia antes de sumar.",
)
def _signed(x: Tensor) -> Tensor:
    return x.diff(dim=2).sum((1, 2, 3)) + x.diff(dim=3).sum((1, 2, 3))


@_wrong(
    "Valor absoluto después de sumar",
    "Has sumado las diferencias y tomado el valor absoluto al final, cuando lo que sube ya se ha cancelado con lo que "
    "baja. El `abs` va en cada diferencia, antes de la suma.",
)
def _absolute_after_sum(x: Tensor) -> Tensor:
    return x.diff(dim=2).sum((1, 2, 3)).abs() + x.diff(dim=3).sum((1, 2, 3)).abs()


@_wrong(
    "Al cuadrado",
    "Has elevado las diferencias al cuadrado. Esa suma castiga mucho los bordes fuertes y casi nada el ruido pequeño; "
    "la variación total usa el valor absoluto.",
)
def _squared(x: Tensor) -> Tensor:
    rows, columns = _steps(x)
    return rows.square().sum((1, 2, 3)) + columns.square().sum((1, 2, 3))


@_wrong(
    "Media en vez de suma",
    "Has promediado las diferencias. Aquí se suman todas, sin dividir por cuántas son.",
)
def _mean(x: Tensor) -> Tensor:
    return sum((d.mean((1, 2, 3)) for d in _steps(x) if d.numel()), x.new_zeros(len(x)))


@_wrong(
    "Un solo número para el lote",
    "Has sumado las imágenes unas con otras y sale un número. Se pide uno por imagen: no sumes el eje 0.",
)
def _one_number(x: Tensor) -> Tensor:
    rows, columns = _steps(x)
    return rows.sum() + columns.sum()


@_wrong(
    "La imagen cerrada en círculo",
    "Has restado también la última fila de la primera, o la última columna: es lo que hace `roll`. Los bordes opuestos "
    "no son vecinos; hay H − 1 diferencias verticales y W − 1 horizontales.",
)
def _circular(x: Tensor) -> Tensor:
    return sum(((x.roll(-1, d) - x).abs().sum((1, 2, 3)) for d in (2, 3)), x.new_zeros(len(x)))


@_wrong(
    "La última fila y la última columna, sin contar",
    "Has recortado las dos diferencias al mismo tamaño, y se pierden las horizontales de la última fila y las "
    "verticales de la última columna. Suma cada una entera, por separado.",
)
def _cropped(x: Tensor) -> Tensor:
    rows, columns = _steps(x)
    return rows[..., :-1].sum((1, 2, 3)) + columns[:, :, :-1].sum((1, 2, 3))


@_wrong(
    "La diagonal de los dos pasos",
    "Has juntado las dos diferencias de cada píxel con una raíz de la suma de cuadrados: es la variación total "
    "isótropa. La que se pide es más sencilla, la suma de los valores absolutos de todas.",
)
def _isotropic(x: Tensor) -> Tensor:
    rows, columns = F.pad(x.diff(dim=2), (0, 0, 0, 1)), F.pad(x.diff(dim=3), (0, 1))
    return torch.hypot(rows, columns).sum((1, 2, 3))


@_right
def _slices(x: Tensor) -> Tensor:
    down = (x[:, :, 1:] - x[:, :, :-1]).abs()
    right = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs()
    return down.flatten(1).sum(1) + right.flatten(1).sum(1)


@_right
def _pixel_by_pixel(x: Tensor) -> Tensor:
    totals = []
    for image in x.tolist():
        total = 0.0
        for channel in image:
            for i, row in enumerate(channel):
                for j, value in enumerate(row):
                    if i > 0:
                        total += abs(value - channel[i - 1][j])
                    if j > 0:
                        total += abs(value - row[j - 1])
        totals.append(total)
    return torch.tensor(totals, dtype=x.dtype, device=x.device)


@_right
def _with_numpy(x: Tensor) -> Tensor:
    values = x.detach().cpu().numpy().astype(np.float64)
    total = sum(np.abs(np.diff(values, axis=axis)).sum(axis=(1, 2, 3)) for axis in (-1, -2))
    return torch.as_tensor(total).to(x)


EXERCISE = Exercise(
    id="maximization.total_variation",
    title="¿Cuánto varía una imagen?",
    minutes=8,
    visible_points=1,
    hidden_points=1,
    reference=maximization.total_variation,
    properties=(
        Property("Lo que sube y baja, en los dos ejes", 2, (_ramps,)),
        Property("Suma de todas las diferencias, imagen por imagen", 2, (_one_image, _batch)),
        Property("Los canales no son vecinos", 1, (_flat_channels,)),
        Property("Imágenes de un píxel de alto o de ancho", 0.5, (_single_line,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
