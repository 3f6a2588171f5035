"""Ejercicio 4: qué orientación prefiere cada filtro. Sus errores están en `tuning_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convlab import filters
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.filters.tuning_errors import CATALOGUE
from convlab.exercises.filters.tuning_variants import VARIANTS


def _exact(weight: np.ndarray, angles: Any) -> np.ndarray:
    """Con exponenciales complejas, fila por columna, y el origen en la esquina."""
    k, gray, theta = weight.shape[-1], weight.sum(1), np.asarray(angles, dtype=float)
    total = np.zeros((len(weight), len(theta)))
    for frequency in np.arange(1, k // 2 + 1) / k:
        down = np.exp(2j * np.pi * frequency * np.cos(theta)[:, None] * np.arange(k))
        across = np.exp(2j * np.pi * frequency * np.sin(theta)[:, None] * np.arange(k))
        total += np.abs(np.einsum("oyx,ay,ax->oa", gray, down, across)) ** 2
    return total


def _draft(weight: np.ndarray, angles: Any, **options: Any) -> Draft:
    return Draft({"weight": weight, "angles": angles}, expected=_exact(weight, angles), **options)


def _angles(rng: np.random.Generator, count: int, low: float = 0.1, high: float = 3.0) -> np.ndarray:
    """Ángulos al azar, lejos de los ejes y de las diagonales, donde girar 90° o reflejar puede no notarse."""
    grid = np.linspace(low, high, 4 * count)
    clear = np.abs(np.sin(4 * grid)) > 0.3
    return np.sort(rng.choice(grid[clear], count, replace=False))


def _weight(rng: np.random.Generator, count: int, channels: int, k: int) -> np.ndarray:
    return rng.normal(0.15, 1, (count, channels, k, k))


def _round(weight: np.ndarray) -> np.ndarray:
    """Filtros que no cambian al girarlos 90° ni al reflejarlos: quien yerra en la orientación conserva estos puntos."""
    turned = np.mean([np.rot90(weight, n, (2, 3)) for n in range(4)], axis=0)
    return np.asarray(turned + turned.swapaxes(2, 3)) / 2


def _even(weight: np.ndarray) -> np.ndarray:
    """Filtros que no cambian al girarlos media vuelta: con el cero en su centro, basta una fase."""
    return (weight + weight[..., ::-1, ::-1]) / 2


def _symmetric(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 2, 1, 5)), _angles(rng, 4))


def _one_filter(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 1, 1, 7)), _angles(rng, 3))


def _lines(rng: np.random.Generator) -> Draft:
    """Una línea horizontal y otra vertical: todo o nada, exacto."""
    k = int(rng.choice([5, 7]))
    weight, size = np.zeros((2, 1, k, k)), rng.uniform(0.5, 2, 2)
    weight[0, 0, k // 2] = size[0]
    weight[1, 0, :, k // 2] = size[1]
    return Draft(
        {"weight": weight, "angles": np.array([0, np.pi / 2])},
        expected=np.diag((k * size) ** 2 * (k // 2)),
    )


def _straight(rng: np.random.Generator) -> Draft:
    """Solo 0 y π/2: reflejar la imagen no los cambia."""
    return _draft(_even(_weight(rng, 3, 1, 6)), np.array([0, np.pi / 2]))


def _diagonals(rng: np.random.Generator) -> Draft:
    """Una línea que sube hacia la derecha y prefiere π/4, y otra que baja y prefiere 3π/4."""
    k = int(rng.choice([5, 7]))
    weight = np.zeros((2, 1, k, k))
    weight[0, 0] = np.fliplr(np.eye(k)) * rng.uniform(0.5, 2)
    weight[1, 0] = np.eye(k) * rng.uniform(0.5, 2)
    return _draft(weight, np.array([np.pi / 4, 3 * np.pi / 4]))


def _oblique(rng: np.random.Generator) -> Draft:
    return _draft(_even(_weight(rng, 3, 1, 5)), _angles(rng, 4))


def _edges(rng: np.random.Generator) -> Draft:
    """Filtros impares, como un detector de bordes: a la rejilla con máximo en su centro no responden."""
    half = _weight(rng, 2, 1, 5)
    return _draft(half - half[..., ::-1, ::-1], np.array([0, np.pi / 2]))


def _moved(rng: np.random.Generator) -> Draft:
    """Un solo peso, donde sea: la energía es su cuadrado en todas las orientaciones y frecuencias."""
    k = int(rng.choice([5, 6]))
    weight, sizes = np.zeros((2, 1, k, k)), rng.uniform(0.5, 2, 2)
    for o, place in enumerate(rng.permutation(k * k)[:2]):
        weight[o, 0].flat[place] = sizes[o]
    expected = np.tile((sizes**2 * (k // 2))[:, None], (1, 3))
    return Draft({"weight": weight, "angles": _angles(rng, 3)}, expected=expected)


def _channels(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 2, 3, 5)), _angles(rng, 4))


def _opponent(rng: np.random.Generator) -> Draft:
    """Dos canales que se oponen: a una rejilla gris, ese filtro no responde."""
    weight = _round(_weight(rng, 2, 2, 5))
    weight[0, 1] = -weight[0, 0]
    return _draft(weight, _angles(rng, 3))


def _even_side(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 2, 1, int(rng.choice([4, 6, 8])))), _angles(rng, 3))


def _two_by_two(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 3, 1, 2)), _angles(rng, 2))


def _any_turn(rng: np.random.Generator) -> Draft:
    """Ángulos negativos y de más de media vuelta: las barras se repiten cada π."""
    return _draft(_round(_weight(rng, 2, 1, 5)), _angles(rng, 5, -6.0, 9.0))


def _list_of_angles(rng: np.random.Generator) -> Draft:
    # Múltiplos de 1/64: pasarlos por float32 no los cambia.
    angles = [float(a) for a in np.round(_angles(rng, 4) * 64) / 64]
    return _draft(_round(_weight(rng, 1, 1, 5)), angles)


def _one_angle(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 3, 1, 5)), _angles(rng, 1, 0.2, 1.4))


def _float32(rng: np.random.Generator) -> Draft:
    draft = _channels(rng)
    return Draft({k: v.astype("float32") for k, v in draft.arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_round(_weight(rng, 2, 3, 5)), _angles(rng, 4), setup=frozenset({"strided"}))


EXERCISE = Exercise(
    id="filters.orientation_tuning",
    title="¿Qué orientación prefiere?",
    minutes=30,
    visible_points=4,
    hidden_points=4,
    reference=filters.orientation_tuning,
    properties=(
        Property("La energía de la respuesta, en filtros sin orientación", 2, (_symmetric, _one_filter)),
        Property("El ángulo es el de las barras, horizontales en 0", 2, (_lines, _straight)),
        Property("Barras inclinadas: π/4 es «/»", 2, (_diagonals, _oblique)),
        Property("La fase de la rejilla no cuenta", 2, (_edges, _moved)),
        Property("La misma rejilla en todos los canales", 1, (_channels, _opponent)),
        Property("Lados pares, hasta 0,5 ciclos por píxel", 1, (_even_side, _two_by_two)),
        Property("Cualquier ángulo, en tensor o en lista", 1, (_any_turn, _list_of_angles, _one_angle)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
