"""Ejercicio 2: el coseno de cada consulta con cada vector de la base."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab import retrieval
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.retrieval.neighbors import unit_length

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _vectors(rng: np.random.Generator, n: int, c: int) -> np.ndarray:
    return np.asarray(rng.uniform(0.1, 1, (n, c)) * rng.uniform(1.5, 4, (n, 1)))


def _draft(queries: np.ndarray, database: np.ndarray, setup: frozenset[str] = frozenset()) -> Draft:
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300) for v in (queries, database))
    return Draft({"queries": queries, "database": database}, setup, expected=a @ b.T)


def _sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    q, d, c = (int(v) for v in rng.permutation([2, 3, 4, 5])[:3])
    return q, d, c


def _angles(rng: np.random.Generator) -> Draft:
    q, d, c = _sizes(rng)
    return _draft(_vectors(rng, q, c), _vectors(rng, d, c))


def _one_query(rng: np.random.Generator) -> Draft:
    return _draft(_vectors(rng, 1, 4), _vectors(rng, 6, 4))


def _square(rng: np.random.Generator) -> Draft:
    """Tantas consultas como vectores y como componentes: ningún eje equivocado da error."""
    return _draft(_vectors(rng, 3, 3), _vectors(rng, 3, 3))


def _signed(rng: np.random.Generator) -> Draft:
    queries = rng.normal(0, 2, (3, 5))
    opposite = -queries[:1] * rng.uniform(0.3, 2)
    return _draft(queries, np.concatenate([rng.normal(0, 2, (3, 5)), opposite]))


def _zeros(rng: np.random.Generator) -> Draft:
    queries, database = _vectors(rng, 3, 4), _vectors(rng, 5, 4)
    queries[int(rng.integers(3))] = 0
    database[int(rng.integers(5))] = 0
    return _draft(queries, database)


def _tiny(rng: np.random.Generator) -> Draft:
    return _draft(_vectors(rng, 2, 4) * 1e-7, _vectors(rng, 3, 4) * np.array([[1e-6], [1.0], [1e3]]))


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"queries": _vectors(rng, 2, 5).astype("float32"), "database": _vectors(rng, 3, 5).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_vectors(rng, 2, 5), _vectors(rng, 4, 5), frozenset({"strided"}))


@_wrong(
    "Sin dividir por las normas",
    "Has hecho el producto escalar sin más: el vector más largo gana aunque apunte a otro lado. Lleva antes las filas "
    "de las dos matrices a longitud uno.",
)
def _dot_product(queries: Tensor, database: Tensor) -> Tensor:
    return queries @ database.T


@_wrong(
    "Solo las consultas a longitud uno",
    "Has normalizado las consultas y no la base. Cada columna sale multiplicada por la longitud de su vector, y los "
    "vectores largos suben en la lista sin merecerlo.",
)
def _only_queries(queries: Tensor, database: Tensor) -> Tensor:
    return unit_length(queries) @ database.T


@_wrong(
    "Solo la base a longitud uno",
    "Has normalizado la base y no las consultas. El orden de cada fila es bueno, pero sus valores no son cosenos y no "
    "se pueden comparar con los de otra consulta.",
)
def _only_database(queries: Tensor, database: Tensor) -> Tensor:
    return queries @ unit_length(database).T


@_wrong(
    "Matriz traspuesta",
    "Tu matriz es (D, Q), con las consultas en las columnas. Se pide (Q, D): una fila por consulta, "
    "`queries @ database.T`.",
)
def _transposed(queries: Tensor, database: Tensor) -> Tensor:
    return unit_length(database) @ unit_length(queries).T


@_wrong(
    "Norma por columnas",
    "Has calculado las normas con `dim=0`, que recorre los vectores y no sus componentes. Cada vector es una fila: su "
    "longitud es `norm(dim=1, keepdim=True)`.",
)
def _norm_of_columns(queries: Tensor, database: Tensor) -> Tensor:
    return unit_length(queries.T).T @ unit_length(database.T)


@_wrong(
    "Distancia en vez de similitud",
    "Has devuelto 1 menos el coseno, que es cero cuando los vectores coinciden. Aquí cuanto mayor, más parecido: "
    "devuelve el coseno.",
)
def _distance(queries: Tensor, database: Tensor) -> Tensor:
    cosine = unit_length(queries) @ unit_length(database).T
    return 1 - cosine


@_wrong(
    "El ángulo y no su coseno",
    "Has devuelto el ángulo en radianes, que crece cuanto menos se parecen. Se pide su coseno: sobra el `acos`.",
)
def _angle(queries: Tensor, database: Tensor) -> Tensor:
    return (unit_length(queries) @ unit_length(database).T).clamp(-1, 1).acos()


@_wrong(
    "Coseno en valor absoluto",
    "Has perdido el signo: dos vectores opuestos salen con similitud 1, como si fueran el mismo. Su coseno es −1.",
)
def _absolute(queries: Tensor, database: Tensor) -> Tensor:
    return (unit_length(queries) @ unit_length(database).T).abs()


@_wrong(
    "Vectores centrados",
    "Has restado a cada vector su media antes de comparar: eso es la correlación de Pearson. El coseno se calcula con "
    "los vectores tal como llegan.",
)
def _centred(queries: Tensor, database: Tensor) -> Tensor:
    a, b = (v - v.mean(1, keepdim=True) for v in (queries, database))
    return unit_length(a) @ unit_length(b).T


@_wrong(
    "División por cero",
    "Un vector nulo tiene longitud 0, y 0 entre 0 da NaN. Aquí no se parece a ninguno: su fila o su columna vale 0. "
    "Divide por 1 donde la norma sea 0.",
)
def _zero_division(queries: Tensor, database: Tensor) -> Tensor:
    a, b = (v / v.norm(dim=1, keepdim=True) for v in (queries, database))
    return a @ b.T


@_wrong(
    "Un épsilon que manda",
    "Has sumado un número pequeño a la norma para no dividir por cero. Con vectores pequeños ese número decide y "
    "ningún coseno llega a 1. Divide por la norma exacta y trata aparte la que es 0.",
)
def _epsilon(queries: Tensor, database: Tensor) -> Tensor:
    a, b = (v / (v.norm(dim=1, keepdim=True) + 1e-8) for v in (queries, database))
    return a @ b.T


@_wrong(
    "La entrada, cambiada",
    "El resultado es correcto, pero `queries /= …` escribe encima de los vectores que te dieron, y quien los use "
    "después tendrá otros. Escribe `queries / …`, que crea un tensor nuevo.",
)
def _changes_input(queries: Tensor, database: Tensor) -> Tensor:
    for vectors in (queries, database):
        norm = vectors.norm(dim=1, keepdim=True)
        vectors /= torch.where(norm > 0, norm, 1)
    return queries @ database.T


@_right
def _pair_by_pair(queries: Tensor, database: Tensor) -> Tensor:
    cosines = torch.zeros(len(queries), len(database), dtype=queries.dtype, device=queries.device)
    for i, a in enumerate(queries):
        for j, b in enumerate(database):
            lengths = (a @ a).sqrt() * (b @ b).sqrt()
            if lengths > 0:
                cosines[i, j] = (a * b).sum() / lengths
    return cosines


@_right
def _broadcast(queries: Tensor, database: Tensor) -> Tensor:
    return F.cosine_similarity(queries[:, None], database[None], dim=2, eps=1e-30)


@_right
def _divided_afterwards(queries: Tensor, database: Tensor) -> Tensor:
    product = torch.einsum("qc,dc->qd", queries, database)
    lengths = torch.outer(torch.linalg.vector_norm(queries, dim=1), torch.linalg.vector_norm(database, dim=1))
    return torch.where(lengths > 0, product / lengths, 0.0)


@_right
def _normalize(queries: Tensor, database: Tensor) -> Tensor:
    return F.normalize(queries, dim=1).matmul(F.normalize(database, dim=1).mT)


EXERCISE = Exercise(
    id="retrieval.cosine_similarity",
    title="¿Cuánto se parecen?",
    minutes=8,
    visible_points=1,
    hidden_points=1,
    reference=retrieval.cosine_similarity,
    properties=(
        Property("El coseno de cada consulta con cada vector", 2, (_angles, _one_query)),
        Property("También con tantas consultas como vectores y componentes", 1, (_square,)),
        Property("Conserva el signo: los opuestos valen −1", 1, (_signed,)),
        Property("Un vector nulo no se parece a ninguno", 1, (_zeros,)),
        Property("Vectores minúsculos y enormes", 1, (_tiny,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
