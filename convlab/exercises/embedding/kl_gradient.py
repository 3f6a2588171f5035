"""Ejercicio 5: hacia dónde mover cada punto del mapa. Los errores de su catálogo están en `kl_gradient_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import embedding
from convlab.exercises.case import Draft
from convlab.exercises.embedding.kl_gradient_errors import CATALOGUE
from convlab.exercises.embedding.student_affinities import exact
from convlab.exercises.engine import Exercise, Property


def _affinities(rng: np.random.Generator, n: int) -> np.ndarray:
    """Afinidades de datos verdaderos, con la diagonal a cero."""
    x = torch.from_numpy(rng.normal(0, 1, (n, 4)))
    conditional = embedding.conditional_probabilities(embedding.squared_distances(x), 3)
    return np.asarray(embedding.joint_probabilities(conditional).numpy())


def _arguments(p: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    q, w = exact(y)
    return {"p": p, "q": q, "w": w, "y": y}


def _map(rng: np.random.Generator, n: int, scale: float = 1.0) -> np.ndarray:
    return rng.normal(rng.normal(0, 1, 2), scale, (n, 2))


def _slope(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """El gradiente de la divergencia por diferencias finitas: no sabe nada de la fórmula."""
    slope = np.zeros_like(y)
    mask = p > 0
    for place in np.ndindex(y.shape):
        around = []
        for step in (1e-5, -1e-5):
            moved = y.copy()
            moved[place] += step
            around.append(-float((p[mask] * np.log(exact(moved)[0][mask])).sum()))
        slope[place] = (around[0] - around[1]) / 2e-5
    return slope


def _pieces(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n = int(rng.integers(6, 10))
    return _affinities(rng, n), _map(rng, n)


def _direction(rng: np.random.Generator) -> Draft:
    p, y = _pieces(rng)
    slope = _slope(p, y)
    return Draft(_arguments(p, y), measure=_unit, expected={"dirección": slope / np.linalg.norm(slope)})


def _unit(result: Tensor, p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> dict[str, Any]:  # noqa: ARG001
    """La dirección sin la longitud: quien pierde un factor conserva estos puntos."""
    return {"dirección": result / result.norm().clamp(min=1e-30)}


def _length(rng: np.random.Generator) -> Draft:
    p, y = _pieces(rng)
    return Draft(_arguments(p, y), expected=_slope(p, y))


def _minimum(rng: np.random.Generator) -> Draft:
    """Si el mapa ya reproduce las afinidades no hay nada que mover."""
    y = _map(rng, 7)
    return Draft(_arguments(exact(y)[0], y), expected=np.zeros_like(y))


def _exaggerated(rng: np.random.Generator) -> Draft:
    p, y = _pieces(rng)
    return Draft(_arguments(12 * p, y))


def _two_points(rng: np.random.Generator) -> Draft:
    """Con dos puntos q vale siempre 1/2, así que la exageración decide sola."""
    y, factor = _map(rng, 2), float(rng.uniform(3, 12))
    p = factor * np.array([[0, 0.5], [0.5, 0]])
    force = 4 * (factor - 1) / 2 * exact(y)[1][0, 1] * (y[0] - y[1])
    return Draft(_arguments(p, y), expected=np.stack([force, -force]))


def _start(rng: np.random.Generator) -> Draft:
    n = int(rng.integers(6, 10))
    return Draft(_arguments(_affinities(rng, n), 1e-4 * rng.normal(0, 1, (n, 2))))


def _spread(rng: np.random.Generator) -> Draft:
    n = int(rng.integers(6, 10))
    return Draft(_arguments(_affinities(rng, n), _map(rng, n, 30.0)))


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({k: v.astype("float32") for k, v in _arguments(*_pieces(rng)).items()})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft(_arguments(*_pieces(rng)), frozenset({"strided"}))


EXERCISE = Exercise(
    id="embedding.kl_gradient",
    title="Hacia dónde mover cada punto",
    minutes=15,
    visible_points=3,
    hidden_points=3,
    reference=embedding.kl_gradient,
    properties=(
        Property("La dirección, contra diferencias finitas", 2, (_direction,)),
        Property("La longitud, contra diferencias finitas", 2, (_length,)),
        Property("Nulo cuando el mapa ya reproduce las afinidades", 1, (_minimum,)),
        Property("También con las afinidades exageradas", 1, (_exaggerated, _two_points)),
        Property("Mapas diminutos y mapas extensos", 1, (_start, _spread)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
