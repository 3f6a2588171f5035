"""Ejercicio 2: vecinos de verdad, con la misma perplejidad para todos. Sus errores están en `conditional_errors`."""

from __future__ import annotations

import numpy as np

from convlab import embedding
from convlab.exercises.case import Draft
from convlab.exercises.embedding.conditional_errors import CATALOGUE
from convlab.exercises.engine import Exercise, Property

# El enunciado admite que el logaritmo de la perplejidad se quede a 1e-5: las probabilidades se mueven entonces menos de
# 1e-4 (medido), y el error más leve del catálogo las mueve más de un 5 %.
_TOLERANCE = 1e-3


def _exact(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.square(x[:, None] - x).sum(2))


def _draft(
    d2: np.ndarray, perplexity: float, expected: np.ndarray | None = None, setup: frozenset[str] = frozenset()
) -> Draft:
    return Draft({"d2": d2, "perplexity": perplexity}, setup, expected, tolerance=_TOLERANCE)


def _cloud(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Dos grupos, uno cuatro veces más disperso: cada punto necesita su propia sigma."""
    n = int(rng.integers(5, 8))
    tight, loose = rng.normal(0, 0.5, (n, 3)), rng.normal(3, 2, (n + 1, 3))
    return _exact(scale * rng.permutation(np.concatenate([tight, loose])))


def _perplexity(rng: np.random.Generator) -> float:
    return float(rng.uniform(3, 6))


def _ring(rng: np.random.Generator) -> Draft:
    """Un polígono regular: todas las filas tienen las mismas distancias, y la perplejidad sale de elegir beta."""
    n = int(rng.integers(9, 15))
    angle = 2 * np.pi * rng.permutation(n) / n
    d2 = rng.uniform(2, 4) * _exact(np.stack([np.cos(angle), np.sin(angle)], 1))
    p = np.exp(-rng.uniform(0.4, 0.7) * d2) * (1 - np.eye(n))
    p /= p.sum(1, keepdims=True)
    row = p[0, 1:]
    return _draft(d2, float(np.exp(-(row * np.log(row)).sum())), p)


def _uneven(rng: np.random.Generator) -> Draft:
    return _draft(_cloud(rng), _perplexity(rng))


def _whole_number(rng: np.random.Generator) -> Draft:
    return _draft(_cloud(rng), int(rng.integers(3, 7)))


def _tiny(rng: np.random.Generator) -> Draft:
    return _draft(_cloud(rng, 1e-4), _perplexity(rng))


def _huge(rng: np.random.Generator) -> Draft:
    return _draft(_cloud(rng, 1e4), _perplexity(rng))


def _isolated(rng: np.random.Generator) -> Draft:
    """A un punto tan lejano todas las exponenciales le dan cero si beta no es muy pequeña."""
    x = rng.normal(0, 1, (int(rng.integers(9, 13)), 3))
    x[rng.integers(len(x))] += rng.uniform(300, 500, 3)
    return _draft(_exact(x), _perplexity(rng))


def _all_tied(rng: np.random.Generator) -> Draft:
    """Un símplex: todos a la misma distancia de todos."""
    n = int(rng.integers(7, 11))
    d2 = rng.uniform(0.5, 2) * (1 - np.eye(n))
    return _draft(d2, float(rng.uniform(2, 4)), (1 - np.eye(n)) / (n - 1))


def _nearest_tied(rng: np.random.Generator) -> Draft:
    """Los vértices ±e de unos ejes: todos a la misma distancia salvo el opuesto, que está más lejos."""
    half = int(rng.integers(4, 6))
    axes = np.concatenate([np.eye(half), -np.eye(half)])
    d2 = rng.uniform(0.5, 2) * _exact(rng.permutation(axes))
    near = ((d2 > 0) & (d2 < 1.5 * d2[d2 > 0].min())).astype("float64")
    return _draft(d2, float(rng.uniform(2, 3.5)), near / (2 * half - 2))


def _float32(rng: np.random.Generator) -> Draft:
    return _draft(_cloud(rng).astype("float32"), _perplexity(rng))


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_cloud(rng), _perplexity(rng), setup=frozenset({"strided"}))


EXERCISE = Exercise(
    id="embedding.conditional_probabilities",
    title="Vecinos con la perplejidad pedida",
    minutes=25,
    visible_points=2,
    hidden_points=2,
    reference=embedding.conditional_probabilities,
    properties=(
        Property("Una gaussiana con la perplejidad pedida", 3, (_ring,)),
        Property("Cada punto, su propia sigma", 2, (_uneven, _whole_number)),
        Property("Datos diminutos y datos enormes", 1, (_tiny, _huge)),
        Property("Un punto muy aislado", 1, (_isolated,)),
        Property("Vecinos empatados, a partes iguales", 1, (_all_tied, _nearest_tied)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
