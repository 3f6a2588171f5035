"""Ejercicio 5: la nota de un buscador entero. Los errores de su catálogo, en `mean_average_precision_errors`."""

from __future__ import annotations

import numpy as np

from convlab import retrieval
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.retrieval.mean_average_precision_errors import CATALOGUE
from convlab.exercises.retrieval.mean_average_precision_variants import VARIANTS


def _codes(rng: np.random.Generator) -> np.ndarray:
    """Tres etiquetas cualesquiera: ni consecutivas, ni desde cero, ni todas positivas."""
    return np.asarray(rng.choice(np.array([-4, -1, 0, 2, 3, 7, 11, 40]), 3, replace=False))


def _spaced(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Similitudes en [0, 1] sin empates, y separadas más de lo que redondea float32."""
    levels = np.stack([rng.permutation(columns) for _ in range(n)])
    return np.asarray((levels + rng.uniform(0.2, 0.8, (n, columns))) / columns)


def _draft(
    similarity: np.ndarray, query: np.ndarray, base: np.ndarray, exclude: bool, setup: frozenset[str] = frozenset()
) -> Draft:
    scores = []
    for i, row in enumerate(similarity.tolist()):
        columns = [j for j in range(len(row)) if not (exclude and j == i)]
        hits, total = 0, 0.0
        for place, j in enumerate(sorted(columns, key=lambda j, row=row: (-row[j], j)), start=1):  # type: ignore[misc]
            if base[j] == query[i]:
                hits += 1
                total += hits / place
        scores += [total / hits] if hits else []
    arguments = {"similarity": similarity, "query_labels": query, "database_labels": base, "exclude_self": exclude}
    return Draft(arguments, setup, expected=float(np.mean(scores)))


def _labels(rng: np.random.Generator, counts: tuple[int, int, int]) -> np.ndarray:
    return np.asarray(rng.permutation(np.repeat(_codes(rng), counts)))


def _several(rng: np.random.Generator) -> Draft:
    """Clases con distinto número de imágenes y de consultas: no es lo mismo promediar consultas, clases o aciertos."""
    codes = _codes(rng)
    query, base = rng.permutation(np.repeat(codes, (3, 1, 1))), rng.permutation(np.repeat(codes, (2, 4, 6)))
    return _draft(_spaced(rng, 5, 12), query, base, False)


def _one_query(rng: np.random.Generator) -> Draft:
    base = _labels(rng, (3, 3, 4))
    return _draft(_spaced(rng, 1, 10), base[[int(rng.integers(10))]], base, False)


def _square_without_excluding(rng: np.random.Generator) -> Draft:
    """Tantas consultas como imágenes, y son otras: nadie se salta nada, por mucho que la matriz sea cuadrada."""
    base = _labels(rng, (2, 3, 4))
    return _draft(_spaced(rng, 9, 9), rng.permutation(base), base, False)


def _own_first(rng: np.random.Generator) -> Draft:
    labels = _labels(rng, (2, 3, 4))
    similarity = _spaced(rng, 9, 9)
    np.fill_diagonal(similarity, 1.5)
    return _draft(similarity, labels, labels.copy(), True)


def _own_anywhere(rng: np.random.Generator) -> Draft:
    """La consulta no siempre es la más parecida a sí misma, y la matriz no es simétrica."""
    labels = _labels(rng, (2, 3, 5))
    return _draft(_spaced(rng, 10, 10), labels, labels.copy(), True)


def _negative(rng: np.random.Generator) -> Draft:
    """Opuestos de distancias: todas por debajo de −1, y la consulta a distancia cero de sí misma."""
    labels = _labels(rng, (2, 3, 4))
    similarity = -10 * (1.5 + _spaced(rng, 9, 9))
    np.fill_diagonal(similarity, 0)
    return _draft(similarity, labels, labels.copy(), True)


def _unmatched(rng: np.random.Generator) -> Draft:
    """La primera consulta es de una clase que no está en la base."""
    base = _labels(rng, (2, 3, 4))
    query = np.concatenate([[99], base[rng.permutation(9)[:3]]])
    return _draft(_spaced(rng, 4, 9), query, base, False)


def _alone(rng: np.random.Generator) -> Draft:
    """Una clase con una sola imagen, que al saltarse a sí misma se queda sin relevantes."""
    labels = _labels(rng, (1, 3, 4))
    similarity = _spaced(rng, 8, 8)
    np.fill_diagonal(similarity, 1.5)
    return _draft(similarity, labels, labels.copy(), True)


def _levels(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    return np.asarray(rng.integers(1, 4, (n, columns)) / 4)


def _ties(rng: np.random.Generator) -> Draft:
    base = _labels(rng, (4, 6, 8))
    return _draft(_levels(rng, 4, 18), base[rng.permutation(18)[:4]], base, False)


def _duplicates(rng: np.random.Generator) -> Draft:
    """Copias en la base: empatan con la propia consulta, y solo ella se salta."""
    labels = _labels(rng, (3, 4, 5))
    similarity = _levels(rng, 12, 12)
    np.fill_diagonal(similarity, 0.75)
    return _draft(similarity, labels, labels.copy(), True)


def _float32(rng: np.random.Generator) -> Draft:
    base = _labels(rng, (2, 3, 4))
    return _draft(_spaced(rng, 3, 9).astype("float32"), base[:3].copy(), base, False)


def _strided(rng: np.random.Generator) -> Draft:
    labels = _labels(rng, (2, 3, 4))
    return _draft(_spaced(rng, 9, 9), labels, labels.copy(), True, frozenset({"strided"}))


EXERCISE = Exercise(
    id="retrieval.mean_average_precision",
    title="La nota de un buscador",
    minutes=25,
    visible_points=3,
    hidden_points=3,
    reference=retrieval.mean_average_precision,
    properties=(
        Property("Media de la precisión media de las consultas", 3, (_several, _one_query)),
        Property("Nadie se salta nada si no se pide", 1, (_square_without_excluding,)),
        Property("Cada consulta se salta a sí misma", 3, (_own_first, _own_anywhere)),
        Property("Similitudes de cualquier tamaño y signo", 1, (_negative,)),
        Property("Sin relevantes, fuera de la media", 2, (_unmatched, _alone)),
        Property("En un empate, antes la imagen de menor índice", 1, (_ties, _duplicates)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
