"""Geometría de Formas: distancias con signo de diez siluetas y diez texturas de superficie.

Todo se calcula con sumas, productos, raíces y `floor` en float32, operaciones que IEEE 754 redondea igual en
cualquier procesador: por eso la misma semilla da los mismos bytes en todas las máquinas.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
F = np.float32

SHAPES = (
    "círculo",
    "cuadrado",
    "triángulo",
    "estrella",
    "cruz",
    "corazón",
    "luna",
    "anillo",
    "flecha",
    "pez",
)
TEXTURES = ("liso", "rayas", "ajedrez", "lunares", "aros", "ladrillo", "zigzag", "malla", "nubes", "grano")

LATTICE = 64  # lado de la red de bytes al azar de la que salen nubes y grano

_STAR = [
    (round(float(np.cos(a)), 6) * r, round(float(np.sin(a)), 6) * r)
    for a, r in zip(np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2, [1.05, 0.42] * 5, strict=True)
]
_C = 0.33
_POLYGONS = {
    "triángulo": [(0, -1), (0.92, 0.68), (-0.92, 0.68)],
    "estrella": _STAR,
    "cruz": [
        (-_C, -1), (_C, -1), (_C, -_C), (1, -_C), (1, _C), (_C, _C),
        (_C, 1), (-_C, 1), (-_C, _C), (-1, _C), (-1, -_C), (-_C, -_C),
    ],
    "flecha": [(-1, -0.3), (0.1, -0.3), (0.1, -0.8), (1.05, 0), (0.1, 0.8), (0.1, 0.3), (-1, 0.3)],
}  # fmt: skip


def _hypot(x: Array, y: Array) -> Array:
    # np.hypot delega en la biblioteca matemática de cada sistema; la raíz sí está fijada por IEEE 754.
    return np.sqrt(x * x + y * y)


def _polygon(x: Array, y: Array, vertices: list[tuple[float, float]]) -> Array:
    """Distancia a un polígono, negativa dentro: mínima a los lados, con el signo de la regla par-impar."""
    nearest = np.full(x.shape, 1e9, F)
    outside = np.ones(x.shape, bool)
    points = np.array(vertices, F)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, 1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = np.clip((wx * ex + wy * ey) * (F(1) / (ex * ex + ey * ey)), 0, 1)
        dx, dy = wx - ex * t, wy - ey * t
        np.minimum(nearest, dx * dx + dy * dy, out=nearest)
        above, below, left = wy >= 0, y < by, ex * wy > ey * wx
        outside ^= (above & below & left) | ~(above | below | left)
    distance = np.sqrt(nearest)
    return np.where(outside, distance, -distance)


def signed_distance(shape: str, x: Array, y: Array) -> Array:
    """Distancia con signo (negativa dentro) a una silueta de radio 1 centrada en el origen.

    Parameters
    ----------
    shape
        Un nombre de `SHAPES`.
    x, y
        Coordenadas en radios, de la misma forma; `y` crece hacia abajo.
    """
    if shape in _POLYGONS:
        return _polygon(x, y, _POLYGONS[shape])
    if shape == "círculo":
        return _hypot(x, y) - F(0.9)
    if shape == "cuadrado":
        qx, qy = np.abs(x) - F(0.8), np.abs(y) - F(0.8)
        return _hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0)
    if shape == "anillo":
        return np.abs(_hypot(x, y) - F(0.7)) - F(0.27)
    if shape == "luna":
        return np.maximum(_hypot(x, y) - F(0.98), F(0.8) - _hypot(x - F(0.48), y))
    if shape == "pez":
        body = (_hypot((x - F(0.22)) * F(1.25), y * F(1 / 0.52)) - F(1)) * F(0.52)
        tail = np.maximum(np.abs(y) - (F(-0.35) - x) * F(0.9) - F(0.02), F(-1.05) - x)
        return np.minimum(body, tail)
    # corazón: dos arcos arriba y, debajo, la distancia al vértice o a la recta que lo forma
    px, py = np.abs(x) * F(1 / 1.7), (F(0.8) - y) * F(1 / 1.7)
    arc = _hypot(px - F(0.25), py - F(0.75)) - F(2**0.5 / 4)
    m = F(0.5) * np.maximum(px + py, 0)
    to_top, to_line = px * px + (py - 1) ** 2, (px - m) ** 2 + (py - m) ** 2
    wedge = np.sqrt(np.minimum(to_top, to_line)) * np.sign(px - py)
    return np.where(px + py > 1, arc, wedge) * F(1.7)


def _fraction(t: Array) -> Array:
    return t - np.floor(t)


def _wave(t: Array) -> Array:
    """Onda de periodo 1 en [-1, 1], casi un seno: dos parábolas, porque el seno no es igual en todas partes."""
    g = _fraction(t) - F(0.5)
    return F(-8) * g * (F(1) - F(2) * np.abs(g))


def _cloud(u: Array, v: Array, lattice: NDArray[np.uint8]) -> Array:
    """Ruido de valor con dos octavas sobre una red girada, para que no se vean sus ejes."""
    out = np.zeros(u.shape, F)
    flat = lattice.reshape(-1)
    first = (np.arange(len(u), dtype=np.int32) * LATTICE**2)[:, None, None]
    for weight, scale in ((0.65, 1 / 8), (0.35, 1 / 3.5)):
        s = F(scale)
        a, b = (F(0.8) * u + F(0.6) * v) * s, (F(0.8) * v - F(0.6) * u) * s
        u, v = v, u
        i, j = np.floor(a), np.floor(b)
        fa, fb = a - i, b - j
        fa, fb = fa * fa * (3 - 2 * fa), fb * fb * (3 - 2 * fb)
        i, j = i.astype(np.int32), j.astype(np.int32)
        near, far = i & LATTICE - 1, i + 1 & LATTICE - 1
        upper, lower = first + (j & LATTICE - 1) * LATTICE, first + (j + 1 & LATTICE - 1) * LATTICE
        corners = [flat.take(at).astype(F) for at in (upper + near, upper + far, lower + near, lower + far)]
        top, bottom = corners[0] + (corners[1] - corners[0]) * fa, corners[2] + (corners[3] - corners[2]) * fa
        out += F(weight / 255) * (top + (bottom - top) * fb)
    return np.clip((out - F(0.5)) * F(2.4) + F(0.5), 0, 1)


def texture(name: str, u: Array, v: Array, period: Array, lattice: NDArray[np.uint8]) -> Array:
    """Mezcla entre los dos colores de una superficie, en [0, 1].

    Parameters
    ----------
    name
        Un nombre de `TEXTURES`.
    u, v
        Coordenadas en píxeles en el marco de la superficie, `(N, H, W)`.
    period
        Periodo del motivo en píxeles, `(N, 1, 1)`.
    lattice
        Bytes al azar, `(N, 64, 64)`; de aquí salen «nubes» y «grano».
    """
    frequency = F(1) / period
    sharpness = period * F(1 / 6)  # el borde del motivo ocupa alrededor de un píxel

    def edge(wave: Array) -> Array:
        return np.clip(F(0.5) + wave * sharpness, 0, 1)

    if name == "liso":
        return np.zeros_like(u)
    if name == "rayas":
        return edge(_wave(u * frequency))
    if name == "ajedrez":
        return edge(_wave(u * frequency * F(0.8)) * _wave(v * frequency * F(0.8)) * F(1.5))
    if name == "lunares":
        a, b = (_fraction(u * frequency) - F(0.5)) * period, (_fraction(v * frequency) - F(0.5)) * period
        return np.clip(F(0.5) + F(0.31) * period - _hypot(a, b), 0, 1)
    if name == "aros":
        return edge(_wave(_hypot(u, v) * frequency))
    if name == "zigzag":
        peak = np.abs(_fraction(v * frequency * F(1 / 1.4)) - F(0.5)) * F(1.8)
        return edge(_wave(u * frequency + peak))
    if name == "malla":
        a, b = np.abs(_fraction(u * frequency) - F(0.5)), np.abs(_fraction(v * frequency) - F(0.5))
        return np.clip(F(1.6) - np.minimum(a, b) * period, 0, 1)
    if name == "ladrillo":
        row = np.floor(v * frequency * F(1.25))
        shift = _fraction(row * F(0.5))
        a = _fraction(u * frequency * F(0.625) + shift) * period * F(1.6)
        b = _fraction(v * frequency * F(1.25)) * period * F(0.8)
        return np.clip(F(1.3) - np.minimum(a, b), 0, 1)
    if name == "nubes":
        return _cloud(u, v, lattice)
    rows = np.arange(len(u))[:, None, None]
    i, j = np.floor(u).astype(np.intp) % LATTICE, np.floor(v).astype(np.intp) % LATTICE
    return (lattice[rows, j, i] > 127).astype(F)
