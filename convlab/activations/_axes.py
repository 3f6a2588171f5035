"""Qué píxeles de un eje de la imagen ve cada posición de un mapa: los intervalos de `_dependence`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convlab.errors import ConvlabError

__all__: list[str] = []

NOTHING = 2**40
"""Primer píxel de una unidad que no ve ninguno: mayor que cualquier posición real."""


class Grid(NamedTuple):
    """Campos regulares, sin recortar: la unidad `i` ve desde `start + i * jump` y en total `size` píxeles."""

    start: int
    size: int
    jump: int


@dataclass(frozen=True, eq=False)
class Axis:
    """Qué píxeles de un eje de la imagen ve cada posición de un mapa.

    `first` y `last` son el primero y el último píxel de cada posición, o de todas si solo hay uno; `grid`, la regla
    que siguen sin recortar, si siguen una; `dim`, la dimensión del tensor que recorre las posiciones, contada desde
    el final, si alguna lo hace.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    grid: Grid | None
    dim: int | None

    def windows(self, count: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Axis:
        """Campos de `count` ventanas; lo que cae en el relleno no ve nada."""
        taps = np.arange(count)[:, None] * stride - padding + dilation * np.arange(kernel)
        grid = self.grid and Grid(
            self.grid.start - padding * self.grid.jump,
            self.grid.size + (kernel - 1) * dilation * self.grid.jump,
            self.grid.jump * stride,
        )
        inside = (taps >= 0) & (taps < len(self.first))
        taps = taps.clip(0, len(self.first) - 1)
        first = np.where(inside, self.first[taps], NOTHING).min(1)
        return replace(self, first=first, last=np.where(inside, self.last[taps], -1).max(1), grid=grid)

    def merged(self, dim: int | None) -> Axis:
        """Las posiciones se mezclan con otras en una dimensión y ya no se distinguen."""
        return Axis(self.first.min(keepdims=True), self.last.max(keepdims=True), None, dim)

    def collapsed(self) -> Axis:
        """Cada resultado depende de todas las posiciones."""
        axis = self.merged(None)
        first, last = int(axis.first[0]), int(axis.last[0])
        return replace(axis, grid=Grid(first, last - first + 1, 0))


def union(a: Axis, b: Axis, extent: int) -> Axis:
    """Campos de un resultado que depende de dos tensores, en un eje de `extent` píxeles."""
    if a.dim != b.dim and a.dim is not None and b.dim is not None:
        raise unfollowable("combinar tensores con los ejes en distinto orden")
    grid = None
    if a.grid and b.grid:
        whole = [g for g in (a.grid, b.grid) if g.jump == 0 and g.start <= 0 and g.start + g.size >= extent]
        if whole:
            grid = Grid(0, extent, 0)
        elif a.grid.jump == b.grid.jump:
            start = min(a.grid.start, b.grid.start)
            grid = Grid(start, max(a.grid.start + a.grid.size, b.grid.start + b.grid.size) - start, a.grid.jump)
    dim = a.dim if b.dim is None else b.dim
    return Axis(np.minimum(a.first, b.first), np.maximum(a.last, b.last), grid, dim)


def unfollowable(what: str) -> ConvlabError:
    """El error de una operación cuyo efecto en el campo receptivo no se sabe calcular."""
    return ConvlabError(
        f"No se sabe seguir el campo receptivo a través de {what}. Elige una capa anterior, o mide la caja de una "
        "unidad con convlab.activations.receptive.input_support."
    )


Axes = tuple[Axis, Axis]
"""Los ejes vertical y horizontal de un tensor."""
