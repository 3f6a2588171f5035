"""Ejercicio 2: deslizar filtros por una imagen. Los errores de su catálogo están en `cross_correlate_errors`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from convlab import filters
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.filters.cross_correlate_errors import CATALOGUE
from convlab.exercises.filters.cross_correlate_variants import VARIANTS


def _exact(x: np.ndarray, weight: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (1, 2))
    return np.einsum("chwab,ocab->ohw", windows[:, ::stride, ::stride], weight)


def _draft(
    rng: np.random.Generator,
    channels: int,
    count: int,
    kernel: tuple[int, int],
    *options: int,
    symmetric: bool = False,
    size: tuple[int, int] | None = None,
    **more: Any,
) -> Draft:
    """Una imagen de lados distintos y filtros al azar; con `symmetric`, iguales al voltearlos y al trasponerlos."""
    h, w = size or (int(s) for s in rng.permutation([9, 10, 12, 13])[:2])
    # Sin media nula: un canal de más o un relleno que no sea de ceros se notan.
    x, weight = rng.normal(0.5, 1, (channels, h, w)), rng.normal(0.3, 1, (count, channels, *kernel))
    if symmetric:
        weight = weight + weight[..., ::-1, ::-1]
        weight = (weight + weight.swapaxes(2, 3)) / 4
    arguments: dict[str, Any] = {"x": x, "weight": weight}
    arguments |= dict(zip(("stride", "padding"), options, strict=False))
    return Draft(arguments, expected=_exact(**arguments), **more)


def _one_channel(rng: np.random.Generator) -> Draft:
    """Un filtro que no distingue arriba de abajo ni filas de columnas: quien lo voltea conserva estos puntos."""
    return _draft(rng, 1, 1, (3, 3), symmetric=True)


def _several(rng: np.random.Generator) -> Draft:
    channels, count = (int(n) for n in rng.permutation([2, 3, 4])[:2])
    return _draft(rng, channels, count, (3, 3), symmetric=True)


def _generic(rng: np.random.Generator) -> Draft:
    return _draft(rng, 1, 2, (3, 3))


def _impulse(rng: np.random.Generator) -> Draft:
    """Un solo píxel encendido: alrededor de él aparece el filtro, y aparece volteado."""
    draft = _draft(rng, 1, 1, (3, 3))
    draft.arguments["x"][:] = 0
    i, j = (int(rng.integers(2, n - 2)) for n in draft.arguments["x"].shape[1:])
    draft.arguments["x"][0, i, j] = 1
    expected = np.zeros((1, *(n - 2 for n in draft.arguments["x"].shape[1:])))
    expected[0, i - 2 : i + 1, j - 2 : j + 1] = draft.arguments["weight"][0, 0, ::-1, ::-1]
    return Draft(draft.arguments, expected=expected)


def _oblong(rng: np.random.Generator) -> Draft:
    kernel = (2, 4) if rng.random() < 0.5 else (5, 2)
    return _draft(rng, 2, 3, kernel)


def _column(rng: np.random.Generator) -> Draft:
    return _draft(rng, 1, 2, (1, int(rng.integers(3, 6))) if rng.random() < 0.5 else (int(rng.integers(3, 6)), 1))


def _stride_two(rng: np.random.Generator) -> Draft:
    """Un lado sobra y el otro es justo: (n − 3) es impar en uno y par en el otro."""
    size = (10, 13) if rng.random() < 0.5 else (13, 10)
    return _draft(rng, 2, 2, (3, 3), 2, symmetric=True, size=size)


def _wide_stride(rng: np.random.Generator) -> Draft:
    return _draft(rng, 1, 2, (2, 2), 3, symmetric=True)


def _padded(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, 2, (3, 3), 1, int(rng.integers(1, 4)), symmetric=True)


def _wide_padding(rng: np.random.Generator) -> Draft:
    """Más relleno que filtro: en las esquinas solo hay ceros."""
    return _draft(rng, 1, 1, (2, 2), 1, 4, symmetric=True)


def _stride_and_padding(rng: np.random.Generator) -> Draft:
    return _draft(rng, 3, 2, (3, 3), 2, int(rng.integers(1, 3)))


def _fits_once(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, 3, (4, 5), int(rng.integers(2, 4)), size=(4, 5))


def _one_by_one(rng: np.random.Generator) -> Draft:
    return _draft(rng, 3, 2, (1, 1), 2, 0)


def _only_padding(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, 2, 2, (3, 2))
    padding = int(rng.integers(1, 3))
    expected = _exact(**draft.arguments, padding=padding)
    return Draft(draft.arguments | {"padding": padding}, expected=expected, call=_use_names)


def _use_names(function: Callable[..., Tensor], x: Tensor, weight: Tensor, padding: int) -> Tensor:
    return function(x, weight, padding=padding)


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _draft(rng, 3, 2, (3, 3), 1, 1, symmetric=True).arguments
    return Draft({k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(rng, 3, 2, (3, 3), 1, 1, symmetric=True, setup=frozenset({"strided"}))


EXERCISE = Exercise(
    id="filters.cross_correlate2d",
    title="Deslizar un filtro",
    minutes=25,
    visible_points=2,
    hidden_points=2,
    reference=filters.cross_correlate2d,
    properties=(
        Property("Producto y suma en cada sitio, con un canal", 2, (_one_channel,)),
        Property("Todos los canales de todos los filtros", 2, (_several,)),
        Property("El filtro, tal como viene: sin voltear", 2, (_generic, _impulse)),
        Property("Filtros que no son cuadrados", 1, (_oblong, _column)),
        Property("El paso, en las dos direcciones", 1, (_stride_two, _wide_stride)),
        Property("Ceros en los cuatro lados", 1, (_padded, _wide_padding)),
        Property(
            "Combinaciones, casos límite y nombres", 1, (_stride_and_padding, _fits_once, _one_by_one, _only_padding)
        ),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
