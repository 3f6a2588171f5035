"""Ejercicio 4: las afinidades del mapa, con la t de Student."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import embedding
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

Pair = tuple[Tensor, Tensor]


def exact(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(q, w)` en NumPy, para los casos de esta lección."""
    w = 1 / (1 + np.square(y[:, None] - y).sum(2)) * (1 - np.eye(len(y)))
    return w / w.sum(), w


def _cloud(rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    return rng.normal(0, scale, (int(rng.integers(5, 9)), 2))


def _kernel(rng: np.random.Generator) -> Draft:
    y = _cloud(rng)
    return Draft({"y": y}, measure=_off_diagonal, expected={"w entre puntos distintos": exact(y)[1]})


def _off_diagonal(result: list[Tensor], y: Tensor) -> dict[str, Any]:
    """Solo el núcleo y solo fuera de la diagonal: quien yerra en lo demás conserva estos puntos."""
    return {"w entre puntos distintos": result[1] * (1 - torch.eye(len(y), dtype=y.dtype))}


def _whole(rng: np.random.Generator) -> Draft:
    y = _cloud(rng, 2.0)
    return Draft({"y": y}, expected=exact(y))


def _two_points(rng: np.random.Generator) -> Draft:
    y = rng.normal(0, 2, (2, 2))
    w = 1 / (1 + float(np.square(y[0] - y[1]).sum()))
    return Draft({"y": y}, expected=(np.array([[0, 0.5], [0.5, 0]]), np.array([[0, w], [w, 0]])))


def _huddled(rng: np.random.Generator) -> Draft:
    """Como al empezar: todos casi en el mismo sitio, y dos, en el mismo."""
    y = _cloud(rng, 1e-4)
    y[1] = y[0]
    return Draft({"y": y}, expected=exact(y))


def _distant(rng: np.random.Generator) -> Draft:
    """Todos lejos de todos: una gaussiana daría cero entre cero."""
    n = int(rng.integers(5, 9))
    angle = 2 * np.pi * (np.arange(n) + rng.uniform(-0.2, 0.2, n)) / n
    y = rng.uniform(500, 900, (n, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return Draft({"y": y}, expected=exact(y))


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"y": _cloud(rng).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft({"y": _cloud(rng)}, frozenset({"strided"}))


def _d2(y: Tensor) -> Tensor:
    return (y[:, None] - y).square().sum(2)


def _split(w: Tensor) -> Pair:
    w = w.clone().fill_diagonal_(0)
    return w / w.sum(), w


@_wrong(
    "Gaussiana en vez de Student",
    "Tu núcleo es exp(−d²), el de los datos. En el mapa se usa la t de Student, 1 / (1 + d²), que decae más despacio: "
    "esa cola larga es lo que deja sitio entre los grupos.",
)
def _gaussian(y: Tensor) -> Pair:
    return _split((-_d2(y)).exp())


@_wrong(
    "La diagonal cuenta",
    "Has dejado a cada punto consigo mismo: w vale 1 en la diagonal y entra en la suma. Ponla a cero antes de sumar, "
    "por ejemplo con `fill_diagonal_(0)`.",
)
def _diagonal_counted(y: Tensor) -> Pair:
    w = 1 / (1 + _d2(y))
    return w / w.sum(), w


@_wrong(
    "La diagonal, borrada tarde",
    "Has dividido por una suma que aún incluía la diagonal, y q no suma 1. Primero se pone a cero la diagonal de w; "
    "después se suma.",
)
def _diagonal_erased_late(y: Tensor) -> Pair:
    w = 1 / (1 + _d2(y))
    q = w / w.sum()
    return q.fill_diagonal_(0), w.clone().fill_diagonal_(0)


@_wrong(
    "q normalizada por filas",
    "Cada fila de tu q suma 1. En el mapa no hay probabilidades condicionales: q es una sola distribución sobre todas "
    "las parejas, y se divide por la suma de la matriz entera.",
)
def _by_rows(y: Tensor) -> Pair:
    _, w = _split(1 / (1 + _d2(y)))
    return w / w.sum(1, keepdim=True), w


@_wrong(
    "Cada pareja contada una vez",
    "Tu q suma 2: has dividido por la suma de media matriz. Las dos casillas de cada pareja cuentan, (i, j) y (j, i).",
)
def _half_sum(y: Tensor) -> Pair:
    _, w = _split(1 / (1 + _d2(y)))
    return w / w.triu().sum(), w


@_wrong(
    "Distancia sin elevar al cuadrado",
    "Tu núcleo es 1 / (1 + d), con la distancia tal cual. La t de Student de un grado de libertad lleva su cuadrado.",
)
def _not_squared(y: Tensor) -> Pair:
    return _split(1 / (1 + _d2(y).sqrt()))


@_wrong(
    "Falta el 1 del denominador",
    "Tu núcleo es 1 / d², que se dispara entre puntos próximos y es infinito entre dos que coincidan. El 1 de 1 / (1 "
    "+ d²) lo evita: dos puntos juntos tienen w = 1.",
)
def _no_one(y: Tensor) -> Pair:
    return _split(1 / _d2(y))


@_wrong(
    "Otro exponente",
    "Has elevado el núcleo al cuadrado. Con un grado de libertad, el exponente de la t de Student es −1: 1 / (1 + "
    "d²), sin más.",
)
def _other_exponent(y: Tensor) -> Pair:
    return _split((1 + _d2(y)) ** -2)


@_wrong(
    "Los dos resultados, cambiados",
    "Devuelves `(w, q)` y se pide `(q, w)`: primero las afinidades que suman 1, después el núcleo sin normalizar.",
)
def _swapped(y: Tensor) -> Pair:
    q, w = _split(1 / (1 + _d2(y)))
    return w, q


@_wrong(
    "El núcleo, ya normalizado",
    "Devuelves q dos veces. El gradiente necesita también el núcleo sin dividir, w, cuya casilla mayor puede llegar a "
    "1.",
)
def _normalized_twice(y: Tensor) -> Pair:
    q, _ = _split(1 / (1 + _d2(y)))
    return q, q.clone()


@_wrong(
    "El mapa, movido",
    "Las afinidades son correctas, pero has cambiado `y` al calcularlas (`y -= …`), y el mapa es de quien te llama. "
    "Trabaja sobre un tensor nuevo.",
)
def _moves_map(y: Tensor) -> Pair:
    y -= y.mean(0)
    return _split(1 / (1 + _d2(y)))


@_right
def _pair_by_pair(y: Tensor) -> Pair:
    points, n = y.tolist(), len(y)
    w = [[0.0] * n for _ in range(n)]
    for i, (a, b) in enumerate(points):
        for j, (c, d) in enumerate(points):
            if i != j:
                w[i][j] = 1 / (1 + (a - c) ** 2 + (b - d) ** 2)
    kernel = torch.tensor(w, dtype=y.dtype, device=y.device)
    return kernel / sum(map(sum, w)), kernel


@_right
def _masked(y: Tensor) -> Pair:
    w = torch.cdist(y, y).square().add(1).reciprocal()
    w = w * (1 - torch.eye(len(y), dtype=y.dtype, device=y.device))
    return w / w.sum(), w


@_right
def _from_numpy(y: Tensor) -> Pair:
    q, w = exact(y.double().numpy())
    return torch.from_numpy(q).to(y.dtype), torch.from_numpy(w).to(y.dtype)


@_right
def _as_list(y: Tensor) -> list[Tensor]:
    gram = y @ y.T
    d2 = (gram.diagonal()[:, None] + gram.diagonal()[None, :] - 2 * gram).clamp(min=0)
    w = torch.where(torch.eye(len(y), dtype=torch.bool, device=y.device), 0.0, (1 + d2) ** -1).to(y.dtype)
    return [w / w.sum((0, 1)), w]


EXERCISE = Exercise(
    id="embedding.student_affinities",
    title="Las afinidades del mapa",
    minutes=10,
    visible_points=2,
    hidden_points=2,
    reference=embedding.student_affinities,
    properties=(
        Property("El núcleo entre dos puntos distintos", 2, (_kernel,)),
        Property("q reparte 1 entre todas las parejas, sin la diagonal", 3, (_whole, _two_points)),
        Property("Puntos casi juntos", 1, (_huddled,)),
        Property("Puntos muy separados", 1, (_distant,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
