"""Ejercicio 1: las distancias al cuadrado entre todos los pares."""

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


def _exact(x: np.ndarray) -> np.ndarray:
    wide = x.astype("float64")
    result: np.ndarray = np.square(wide[:, None] - wide).sum(2)
    return result


def _points(rng: np.random.Generator) -> np.ndarray:
    n, d = rng.permutation([4, 5, 6, 7])[:2]
    return rng.normal(0, 2, (n, d))


def _cloud(rng: np.random.Generator) -> Draft:
    x = _points(rng)
    return Draft({"x": x}, expected=_exact(x))


def _one_coordinate(rng: np.random.Generator) -> Draft:
    x = rng.normal(0, 2, (5, 1))
    return Draft({"x": x}, expected=_exact(x))


def _one_point(rng: np.random.Generator) -> Draft:
    return Draft({"x": rng.normal(0, 2, (1, 3))}, expected=np.zeros((1, 1)))


def _far(rng: np.random.Generator) -> Draft:
    """Tan lejos que ‖a‖² ocupa todas las cifras: restar antes de elevar al cuadrado no pierde ninguna."""
    x = _points(rng) + rng.choice([-1, 1]) * rng.uniform(3e7, 6e7)
    return Draft({"x": x}, expected=_exact(x))


def _far_float32(rng: np.random.Generator) -> Draft:
    x = (_points(rng) + rng.uniform(1500, 3000)).astype("float32")
    return Draft({"x": x}, expected=_exact(x).astype("float32"))


def _huddled(rng: np.random.Generator) -> Draft:
    """Dos corros de puntos casi iguales: con la fórmula desarrollada, media matriz sale negativa."""
    centers = rng.normal(0, 5, (2, 1, 4)) + 10
    x = (centers + 1e-9 * rng.normal(0, 1, (2, 8, 4))).reshape(16, 4)
    return Draft({"x": x}, measure=_signs, expected={"ninguna distancia es negativa": True})


def _signs(result: Tensor, x: Tensor) -> dict[str, Any]:  # noqa: ARG001
    return {"ninguna distancia es negativa": bool((result >= 0).all())}


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"x": _points(rng).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft({"x": _points(rng)}, frozenset({"strided"}))


def _pairs(x: Tensor) -> Tensor:
    return x[:, None] - x


@_wrong(
    "Distancia sin elevar al cuadrado",
    "Has tomado la raíz: devuelves distancias, y se piden sus cuadrados. t-SNE solo usa los cuadrados, así que la "
    "raíz sobra.",
)
def _not_squared(x: Tensor) -> Tensor:
    return _pairs(x).norm(dim=2)


@_wrong(
    "Distancia de Manhattan",
    "Has sumado los valores absolutos de las diferencias. La distancia euclídea suma sus cuadrados: `.square()` en "
    "lugar de `.abs()`.",
)
def _manhattan(x: Tensor) -> Tensor:
    return _pairs(x).abs().sum(2)


@_wrong(
    "Media de las coordenadas en vez de suma",
    "Tus distancias son las correctas divididas por D, el número de coordenadas: has usado una media donde va una "
    "suma.",
)
def _mean(x: Tensor) -> Tensor:
    return _pairs(x).square().mean(2)


@_wrong(
    "Distancias entre columnas",
    "Tu matriz es `(D, D)`: has comparado las coordenadas entre sí. Los puntos son las filas, y la matriz pedida es "
    "`(N, N)`.",
)
def _between_columns(x: Tensor) -> Tensor:
    return _pairs(x.T).square().sum(2)


@_wrong(
    "Falta el 2 del doble producto",
    "Al desarrollar ‖a − b‖² el producto a · b va dos veces: ‖a‖² + ‖b‖² − 2 a · b. Se nota en la diagonal, que no te "
    "sale cero.",
)
def _no_double_product(x: Tensor) -> Tensor:
    norms = x.square().sum(1)
    return norms[:, None] + norms - x @ x.T


@_wrong(
    "El doble producto, sumado",
    "Has calculado ‖a + b‖²: el doble producto resta, no suma. La distancia de un punto a sí mismo te sale cuatro "
    "veces su norma al cuadrado, y debe ser cero.",
)
def _added_product(x: Tensor) -> Tensor:
    norms = x.square().sum(1)
    return norms[:, None] + norms + 2 * x @ x.T


@_wrong(
    "La misma norma dos veces",
    "Tu matriz no es simétrica: has sumado dos veces la norma del punto i. Una va por filas, `norms[:, None]`, y la "
    "otra por columnas, `norms[None, :]`.",
)
def _row_norm_twice(x: Tensor) -> Tensor:
    norms = x.square().sum(1)
    return 2 * norms[:, None] - 2 * x @ x.T


@_wrong(
    "Distancias negativas",
    "La fórmula desarrollada, ‖a‖² + ‖b‖² − 2 a · b, resta números grandes y casi iguales: entre puntos muy próximos "
    "el redondeo deja distancias negativas, y lejos del origen, cualquier cosa. Resta los puntos antes de elevar al "
    "cuadrado, o centra los datos y acaba con `clamp(min=0)`.",
)
def _negative_distances(x: Tensor) -> Tensor:
    norms = x.square().sum(1)
    return norms[:, None] + norms - 2 * x @ x.T


@_wrong(
    "Lejos del origen se pierden las cifras",
    "Has evitado las distancias negativas, pero la fórmula desarrollada sigue restando números enormes si los puntos "
    "están lejos del origen. Resta antes la media, `x - x.mean(0)`: las distancias no cambian y las cifras se salvan.",
)
def _not_centered(x: Tensor) -> Tensor:
    norms = x.square().sum(1)
    return (norms[:, None] + norms - 2 * x @ x.T).clamp(min=0).fill_diagonal_(0)


@_wrong(
    "Los puntos de entrada, movidos",
    "Las distancias son correctas, pero `x -= …` ha movido los puntos que te dieron, y quien los use después tendrá "
    "otros. Escribe `x = x - x.mean(0)`, que hace un tensor nuevo.",
)
def _moves_points(x: Tensor) -> Tensor:
    x -= x.mean(0)
    return _pairs(x).square().sum(2)


@_right
def _pair_by_pair(x: Tensor) -> Tensor:
    d2 = torch.zeros(len(x), len(x), dtype=x.dtype, device=x.device)
    for i in range(len(x)):
        for j in range(i):
            d2[i, j] = d2[j, i] = sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True))
    return d2


@_right
def _cdist(x: Tensor) -> Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") ** 2


@_right
def _centered_product(x: Tensor) -> Tensor:
    centered = (x - x.mean(0)).double()
    gram = torch.einsum("id,jd->ij", centered, centered)
    norms = gram.diagonal()
    return (norms[:, None] + norms - 2 * gram).clamp(min=0).to(x.dtype)


@_right
def _numpy(x: Tensor) -> Tensor:
    values = x.numpy()
    return torch.from_numpy(np.stack([((values - row) ** 2).sum(axis=1) for row in values]))


EXERCISE = Exercise(
    id="embedding.squared_distances",
    title="¿Quién está cerca de quién?",
    minutes=8,
    visible_points=1,
    hidden_points=1,
    reference=embedding.squared_distances,
    properties=(
        Property("Distancias al cuadrado de una nube", 2, (_cloud,)),
        Property("Una coordenada o un solo punto", 1, (_one_coordinate, _one_point)),
        Property("Ninguna negativa", 1, (_huddled,)),
        Property("Lejos del origen", 1, (_far, _far_float32)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
