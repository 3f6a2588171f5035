"""Ejercicio 3: de las probabilidades condicionales a una afinidad por pareja."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab import embedding
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _conditional(rng: np.random.Generator, n: int) -> np.ndarray:
    """Filas que suman 1, con la diagonal a cero y sin simetría."""
    p = rng.uniform(0.05, 1, (n, n)) * (1 - np.eye(n))
    return np.asarray(p / p.sum(1, keepdims=True))


def _draft(p: np.ndarray) -> Draft:
    return Draft({"p": p}, expected=(p + p.T) / (2 * len(p)))


def _mutual(rng: np.random.Generator) -> Draft:
    """Ya es simétrica, en un círculo: quien olvida simetrizar conserva estos puntos."""
    n = int(rng.integers(5, 9))
    near = rng.uniform(0.1, 1, n)
    near = near + near[-np.arange(n)]
    near[0] = 0
    return _draft(near[(np.arange(n)[:, None] - np.arange(n)) % n] / near.sum())


def _two_points(rng: np.random.Generator) -> Draft:  # noqa: ARG001
    return _draft(np.array([[0.0, 1.0], [1.0, 0.0]]))


def _asymmetric(rng: np.random.Generator) -> Draft:
    return _draft(_conditional(rng, int(rng.integers(5, 9))))


def _isolated(rng: np.random.Generator) -> Draft:
    """El último punto elige vecinos y nadie lo elige a él."""
    n = int(rng.integers(5, 8))
    p = _conditional(rng, n)
    p[:-1, -1] = 0
    return _draft(p / p.sum(1, keepdims=True))


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"p": _conditional(rng, 6).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft({"p": _conditional(rng, 7)}, frozenset({"strided"}))


@_wrong(
    "Sin simetrizar",
    "Has dividido por N sin más, y la afinidad de i con j no es la de j con i. Súmale la traspuesta: `p + p.T`, entre "
    "2N.",
)
def _not_symmetric(p: Tensor) -> Tensor:
    return p / len(p)


@_wrong(
    "Sin dividir por N",
    "Has promediado los dos sentidos y te has quedado ahí: la matriz suma N. Debe sumar 1 entre todas las parejas; "
    "divide además por N.",
)
def _not_divided(p: Tensor) -> Tensor:
    return (p + p.T) / 2


@_wrong(
    "Dividido por N y no por 2N",
    "Tu matriz suma 2: al sumar los dos sentidos hay el doble de probabilidad que repartir. El divisor es 2N.",
)
def _divided_by_n(p: Tensor) -> Tensor:
    return (p + p.T) / len(p)


@_wrong(
    "Dividido por N²",
    "Has dividido por el número de casillas, N². Las filas de `p` suman 1, así que la matriz entera suma N: basta "
    "dividir por N, y por 2 porque hay dos sentidos.",
)
def _divided_by_cells(p: Tensor) -> Tensor:
    return (p + p.T) / (2 * p.numel())


@_wrong(
    "Producto de los dos sentidos",
    "Has multiplicado los dos sentidos. Basta entonces que uno sea cero para perder la pareja, y un punto aislado, al "
    "que nadie elige, se queda sin ninguna. Haz la media.",
)
def _product(p: Tensor) -> Tensor:
    both = p * p.T
    return both / both.sum()


@_wrong(
    "Media geométrica",
    "Has usado la raíz del producto de los dos sentidos, que es cero en cuanto uno lo es: un punto aislado pierde "
    "todos sus vecinos. La media es la corriente, la suma entre dos.",
)
def _geometric_mean(p: Tensor) -> Tensor:
    return (p * p.T).sqrt() / len(p)


@_wrong(
    "El mayor de los dos sentidos",
    "Te has quedado con el mayor de los dos sentidos, y la matriz ya no suma 1. La afinidad es la media de ambos.",
)
def _maximum(p: Tensor) -> Tensor:
    return torch.maximum(p, p.T) / len(p)


@_wrong(
    "Cada pareja una sola vez",
    "Solo has rellenado media matriz. La afinidad vale lo mismo en los dos sentidos y las dos casillas llevan su "
    "parte: no recortes con `triu` ni `tril`.",
)
def _upper_half(p: Tensor) -> Tensor:
    return (p + p.T).triu() / len(p)


@_wrong(
    "Normalizado por filas",
    "Has hecho que cada fila sume 1, y eso deshace la simetría. Ahora es la matriz entera la que suma 1.",
)
def _rows_again(p: Tensor) -> Tensor:
    both = p + p.T
    return both / both.sum(1, keepdim=True)


@_wrong(
    "La matriz de entrada, cambiada",
    "El resultado es correcto, pero `p /= …` ha cambiado las probabilidades que te dieron. Escribe la división en la "
    "expresión que devuelves.",
)
def _changes_input(p: Tensor) -> Tensor:
    p /= 2 * len(p)
    return p + p.T


@_right
def _pair_by_pair(p: Tensor) -> Tensor:
    n = len(p)
    joint = torch.empty_like(p)
    for i in range(n):
        for j in range(n):
            joint[i, j] = (p[i, j] + p[j, i]) / (2 * n)
    return joint


@_right
def _normalized_sum(p: Tensor) -> Tensor:
    both = p + p.transpose(0, 1)
    return both / both.sum()


@_right
def _lerp(p: Tensor) -> Tensor:
    return torch.lerp(p, p.mT, 0.5).mul(1 / p.shape[0])


EXERCISE = Exercise(
    id="embedding.joint_probabilities",
    title="Una afinidad por pareja",
    minutes=5,
    visible_points=1,
    hidden_points=1,
    reference=embedding.joint_probabilities,
    properties=(
        Property("Suma 1 entre todas las parejas", 2, (_mutual, _two_points)),
        Property("Vale lo mismo en los dos sentidos", 2, (_asymmetric,)),
        Property("Un punto aislado conserva sus parejas", 1, (_isolated,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
