"""Ejercicio 4: la precisión media de una lista ordenada."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab import retrieval
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.retrieval import mean_average_precision

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _draft(relevant: list[bool], missing: int = 0) -> Draft:
    """`missing`: cuántas relevantes no aparecen en la lista."""
    hits, total = 0, 0.0
    for place, hit in enumerate(relevant, start=1):
        hits += hit
        total += hits / place if hit else 0.0
    total_relevant = hits + missing
    arguments = {"relevant": np.array(relevant), "total_relevant": total_relevant}
    return Draft(arguments, expected=total / total_relevant)


def _list(rng: np.random.Generator, hits: int, misses: int) -> list[bool]:
    """Aciertos y fallos revueltos: empieza por un acierto, sigue un fallo, y hay un acierto tras dos fallos seguidos.

    Así la precisión baja y vuelve a subir, y cada manera de leer la lista da otro número.
    """
    rest = [True] * (hits - 3) + [False] * (misses - 4)
    middle = [bool(v) for v in rng.permutation(np.array(rest, dtype=bool))]
    return [True, False, *middle, False, False, True, True, False]


def _mixed(rng: np.random.Generator) -> Draft:
    return _draft(_list(rng, int(rng.integers(5, 7)), int(rng.integers(6, 9))))


def _late(rng: np.random.Generator) -> Draft:
    return _draft([False, *_list(rng, int(rng.integers(4, 6)), 6)])


def _missing(rng: np.random.Generator) -> Draft:
    return _draft(_list(rng, 5, 7), int(rng.integers(2, 5)))


def _more_than_places(rng: np.random.Generator) -> Draft:
    """En la base hay más relevantes que puestos tiene la lista."""
    return _draft([True, *[bool(v) for v in rng.permutation([True, True, False, False])]], int(rng.integers(6, 12)))


def _nothing_found(rng: np.random.Generator) -> Draft:
    return _draft([False] * int(rng.integers(2, 7)), int(rng.integers(1, 5)))


def _perfect(rng: np.random.Generator) -> Draft:
    hits = int(rng.integers(2, 5))
    return _draft([True] * hits + [False] * int(rng.integers(2, 6)))


def _only_last(rng: np.random.Generator) -> Draft:
    return _draft([False] * int(rng.integers(3, 8)) + [True])


def _one_place(rng: np.random.Generator) -> Draft:
    return _draft([True], int(rng.integers(0, 3)))


def _long(rng: np.random.Generator) -> Draft:
    return _draft([bool(v) for v in rng.uniform(0, 1, 300) < 0.3], 11)


def _precision(relevant: Tensor) -> Tensor:
    """La precisión en cada puesto de la lista."""
    return relevant.cumsum(0).double() / torch.arange(1, len(relevant) + 1)


@_wrong(
    "Precisión promediada en todos los puestos",
    "Has hecho la media de la precisión en los k puestos, también donde hay un fallo. Solo cuentan los puestos con un "
    "acierto: multiplica la precisión por `relevant` antes de sumar, y divide por `total_relevant`.",
)
def _every_place(relevant: Tensor, total_relevant: int) -> float:  # noqa: ARG001
    return float(_precision(relevant).mean())


@_wrong(
    "Suma de todos los puestos",
    "Divides por `total_relevant`, que está bien, pero sumas la precisión de los k puestos, también la de los fallos. "
    "Así puede pasar de 1. Suma solo donde hay un acierto.",
)
def _sums_every_place(relevant: Tensor, total_relevant: int) -> float:
    return float(_precision(relevant).sum() / total_relevant)


@_wrong(
    "Dividida por k",
    "Has dividido por la longitud de la lista. Entonces ni una lista perfecta llega a 1. El divisor es "
    "`total_relevant`, las relevantes que hay en la base.",
)
def _divided_by_length(relevant: Tensor, total_relevant: int) -> float:  # noqa: ARG001
    return float((_precision(relevant) * relevant).mean())


@_wrong(
    "Dividida por los aciertos de la lista",
    "Has dividido por los aciertos que aparecen. Así, no encontrar las demás relevantes sale gratis: una lista con un "
    "único acierto en cabeza sacaría un 1. Divide por `total_relevant`.",
)
def _divided_by_found(relevant: Tensor, total_relevant: int) -> float:  # noqa: ARG001
    return float((_precision(relevant) * relevant).sum() / max(int(relevant.sum()), 1))


@_wrong(
    "El menor de k y el total",
    "Has dividido por el menor de k y `total_relevant`. Algunos concursos lo hacen, para que una lista corta pueda "
    "llegar a 1; aquí lo que no cabe en la lista también falta. Divide siempre por `total_relevant`.",
)
def _divided_by_smallest(relevant: Tensor, total_relevant: int) -> float:
    return float((_precision(relevant) * relevant).sum() / min(len(relevant), total_relevant))


@_wrong(
    "Cero entre cero",
    "Has dividido por los aciertos de la lista y, cuando no hay ninguno, sale NaN. Divide por `total_relevant`: una "
    "lista sin aciertos vale 0.",
)
def _empty_division(relevant: Tensor, total_relevant: int) -> float:  # noqa: ARG001
    return float((_precision(relevant) * relevant).sum() / relevant.sum())


@_wrong(
    "Puestos contados de más",
    "Has dividido por el puesto más uno, y un acierto en cabeza no llega a valer 1. El primer puesto es el 1: "
    "`torch.arange(1, k + 1)`.",
)
def _one_place_late(relevant: Tensor, total_relevant: int) -> float:
    places = torch.arange(2, len(relevant) + 2)
    return float((relevant.cumsum(0) * relevant / places).double().sum() / total_relevant)


@_wrong(
    "Solo la precisión final",
    "Has contado los aciertos y has dividido por k: es la precisión de la lista entera, a la que le da igual el orden. "
    "La precisión media mira la precisión en el puesto de cada acierto.",
)
def _precision_at_k(relevant: Tensor, total_relevant: int) -> float:  # noqa: ARG001
    return float(relevant.double().mean())


@_wrong(
    "Exhaustividad en vez de precisión media",
    "Has dividido los aciertos de la lista por las relevantes de la base: es la exhaustividad, y le da igual el orden. "
    "Cada acierto debe aportar la precisión de su puesto, no un 1.",
)
def _recall(relevant: Tensor, total_relevant: int) -> float:
    return float(relevant.sum().double() / total_relevant)


@_wrong(
    "Solo el primer acierto",
    "Has devuelto uno entre el puesto del primer acierto. Es otra medida, el rango recíproco, que no mira los demás. "
    "Aquí cuentan todos.",
)
def _reciprocal_rank(relevant: Tensor, total_relevant: int) -> float:  # noqa: ARG001
    found = relevant.nonzero()
    return 1 / (int(found[0]) + 1) if len(found) else 0.0


@_wrong(
    "Cada acierto cuenta uno entre su puesto",
    "Has sumado 1 entre el puesto de cada acierto. En el numerador va cuántos aciertos hay **hasta** ese puesto, "
    "contándolo a él: `relevant.cumsum(0)`.",
)
def _inverse_places(relevant: Tensor, total_relevant: int) -> float:
    places = torch.arange(1, len(relevant) + 1)
    return float((relevant / places).double().sum() / total_relevant)


@_wrong(
    "Precisión interpolada",
    "Has cambiado la precisión de cada acierto por la mayor de las que vienen después. Esa variante, la interpolada, "
    "se usa en detección de objetos; aquí se toma la de su puesto.",
)
def _interpolated(relevant: Tensor, total_relevant: int) -> float:
    best = _precision(relevant).flip(0).cummax(0).values.flip(0)
    return float((best * relevant).sum() / total_relevant)


@_right
def _loop(relevant: Tensor, total_relevant: int) -> float:
    hits, total = 0, 0.0
    for place, hit in enumerate(relevant.tolist(), start=1):
        if hit:
            hits += 1
            total += hits / place
    return total / total_relevant


@_right
def _places_of_hits(relevant: Tensor, total_relevant: int) -> float:
    """El acierto número m, en el puesto p, aporta m / p."""
    places = relevant.nonzero()[:, 0].double() + 1
    order = torch.arange(1, len(places) + 1, dtype=torch.float64)
    return (order / places).sum().item() / total_relevant


@_right
def _area(relevant: Tensor, total_relevant: int) -> float:
    """Área bajo la escalera de precisión y exhaustividad."""
    hits = np.asarray(relevant.cpu()).astype(float)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    steps = np.diff(np.cumsum(hits) / total_relevant, prepend=0.0)
    return float(precision @ steps)


EXERCISE = Exercise(
    id="retrieval.average_precision",
    title="La nota de una lista",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=retrieval.average_precision,
    properties=(
        Property("La precisión en el puesto de cada acierto", 3, (_mixed, _late)),
        Property("Lo que no aparece en la lista también cuenta", 2, (_missing, _more_than_places)),
        Property("Una lista sin aciertos vale 0", 1, (_nothing_found,)),
        Property("Una lista perfecta vale 1, y un acierto al final, poco", 1, (_perfect, _only_last, _one_place)),
        Property("Listas largas", 1, (_long,)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
    also_forbidden=(mean_average_precision,),
)
