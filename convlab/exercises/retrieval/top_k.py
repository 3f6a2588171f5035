"""Ejercicio 3: las columnas de los k valores mayores de cada fila. Los errores de su catálogo, en `top_k_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convlab import retrieval
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.retrieval.top_k_errors import CATALOGUE
from convlab.exercises.retrieval.top_k_variants import VARIANTS
from convlab.retrieval.neighbors import highest


def _spaced(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Similitudes en [0, 1] sin empates, y separadas más de lo que redondea float32."""
    levels = np.stack([rng.permutation(columns) for _ in range(n)])
    return np.asarray((levels + rng.uniform(0.2, 0.8, (n, columns))) / columns)


def _draft(
    similarity: np.ndarray, k: int, exclude: np.ndarray | None = None, setup: frozenset[str] = frozenset()
) -> Draft:
    """Con la respuesta en forma cerrada: se ordena por valor y, a igualdad, por columna."""
    rows = []
    for i, row in enumerate(similarity.tolist()):
        columns = [j for j in range(len(row)) if exclude is None or j != exclude[i]]
        rows.append(sorted(columns, key=lambda j, row=row: (-row[j], j))[:k])  # type: ignore[misc]
    arguments: dict[str, Any] = {"similarity": similarity, "k": k}
    if exclude is not None:
        arguments["exclude"] = exclude
    return Draft(arguments, setup, expected=np.array(rows))


def _best_columns(rng: np.random.Generator, similarity: np.ndarray) -> np.ndarray:
    """Una columna por fila para excluir, la segunda o la tercera mejor, y no la misma para todas."""
    order = (-similarity).argsort(1)
    while True:
        chosen = np.array([row[rng.integers(1, 3)] for row in order])
        if len(set(chosen.tolist())) > 1:
            return chosen


def _one_query(rng: np.random.Generator) -> Draft:
    return _draft(_spaced(rng, 1, int(rng.integers(7, 11))), int(rng.integers(3, 5)))


def _several(rng: np.random.Generator) -> Draft:
    return _draft(_spaced(rng, 3, int(rng.integers(7, 11))), int(rng.integers(3, 5)))


def _only_one(rng: np.random.Generator) -> Draft:
    return _draft(_spaced(rng, 4, 6), 1)


def _all(rng: np.random.Generator) -> Draft:
    """Más consultas que imágenes, y k tan grande como la base."""
    return _draft(_spaced(rng, 7, 5), 5)


def _own_column(rng: np.random.Generator) -> Draft:
    """Consultas que son la propia base: la más parecida a cada una es ella misma."""
    n = int(rng.integers(6, 9))
    similarity = _spaced(rng, n, n)
    np.fill_diagonal(similarity, 1.5)
    return _draft(similarity, 3, np.arange(n))


def _any_column(rng: np.random.Generator) -> Draft:
    """La excluida es la segunda o la tercera de su fila."""
    similarity = _spaced(rng, 3, 9)
    return _draft(similarity, 4, _best_columns(rng, similarity))


def _first_column(rng: np.random.Generator) -> Draft:
    """Una sola consulta que se salta la columna 0: `if exclude` lo tomaría por un «no»."""
    similarity = _spaced(rng, 1, 7)
    similarity[0, 0] = 0.75 * similarity.max() + 0.25 * np.sort(similarity[0])[-2]
    return _draft(similarity, 3, np.array([0]))


def _all_but_one(rng: np.random.Generator) -> Draft:
    similarity = _spaced(rng, 4, 6)
    return _draft(similarity, 5, _best_columns(rng, similarity))


def _negative(rng: np.random.Generator) -> Draft:
    """Opuestos de distancias: todas muy por debajo de −1, y hacen falta casi todas."""
    similarity = -10.0 * (1.5 + _spaced(rng, 3, 8))
    return _draft(similarity, 6, _best_columns(rng, similarity))


def _opposed(rng: np.random.Generator) -> Draft:
    """Cosenos negativos: todos por debajo de 0 y por encima de −1."""
    similarity = -0.9 * _spaced(rng, 3, 8)
    return _draft(similarity, 6, _best_columns(rng, similarity))


def _levels(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Solo tres valores: casi todo son empates, también en el corte. Son exactos en float32."""
    return np.asarray(rng.integers(1, 4, (n, columns)) / 4)


def _ties(rng: np.random.Generator) -> Draft:
    return _draft(_levels(rng, 3, 40), 22)


def _ties_excluded(rng: np.random.Generator) -> Draft:
    return _draft(_levels(rng, 3, 30), 17, rng.permutation(30)[:3])


def _float32(rng: np.random.Generator) -> Draft:
    return _draft(_spaced(rng, 2, 8).astype("float32"), 3)


def _strided(rng: np.random.Generator) -> Draft:
    similarity = _spaced(rng, 3, 8)
    return _draft(similarity, 4, _best_columns(rng, similarity), frozenset({"strided"}))


EXERCISE = Exercise(
    id="retrieval.top_k",
    title="Las k más parecidas",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=retrieval.top_k,
    properties=(
        Property("De la más parecida a la menos", 2, (_one_query, _several)),
        Property("Desde una sola vecina hasta la base entera", 1, (_only_one, _all)),
        Property("Cada consulta se salta su columna", 2, (_own_column, _any_column, _first_column, _all_but_one)),
        Property("Similitudes de cualquier tamaño y signo", 1, (_negative, _opposed)),
        Property("En un empate, antes la columna de menor índice", 1, (_ties, _ties_excluded)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
    also_forbidden=(highest,),
)
