"""Ejercicio 3: la consistencia de errores de dos observadores."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import nan

import numpy as np
import torch

from convlab import human
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

Hits = dict[Hashable, bool]


def _table(
    rng: np.random.Generator, both: int, only_a: int, only_b: int, neither: int, *, mixed: bool = False
) -> tuple[Hits, Hits]:
    """Los aciertos de dos observadores con esa tabla de coincidencias. Con `mixed`, cada uno en su orden."""
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    order = rng.permutation(len(a))
    names = [f"{i}.png" for i in rng.permutation(len(a))]
    first: Hits = {names[i]: a[i] for i in order}
    second: Hits = {names[i]: b[i] for i in (rng.permutation(order) if mixed else order)}
    return first, second


def _kappa(both: int, only_a: int, only_b: int, neither: int) -> float:
    """La de Cohen, escrita con las cuatro casillas de la tabla."""
    excess = 2 * (both * neither - only_a * only_b)
    room = (both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither)
    return excess / room


def _draft(rng: np.random.Generator, cells: tuple[int, int, int, int], *, mixed: bool = False) -> Draft:
    a, b = _table(rng, *cells, mixed=mixed)
    return Draft({"correct_a": a, "correct_b": b}, expected=_kappa(*cells))


def _cells(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Exactitudes altas y distintas, y una kappa positiva."""
    both, only_a, only_b = int(rng.integers(14, 20)), int(rng.integers(4, 7)), int(rng.integers(1, 3))
    return both, only_a, only_b, int(rng.integers(4, 9))


def _same_order(rng: np.random.Generator) -> Draft:
    return _draft(rng, _cells(rng))


def _low_accuracy(rng: np.random.Generator) -> Draft:
    both, only_a, only_b, neither = _cells(rng)
    return _draft(rng, (neither, only_b, only_a, both))


def _own_order(rng: np.random.Generator) -> Draft:
    """Otra vuelta si emparejar por orden diera, por casualidad, la misma kappa."""
    while True:
        draft = _draft(rng, _cells(rng), mixed=True)
        a, b = draft.arguments.values()
        if abs(_from_lists(list(a.values()), list(b.values())) - draft.expected) > 0.1:
            return draft


def _own_order_pairs(rng: np.random.Generator) -> Draft:
    """Los estímulos se nombran con su condición, como los da `paired_correct`."""
    draft = _own_order(rng)
    a, b = ({(name, "ruido"): hit for name, hit in own.items()} for own in draft.arguments.values())
    return Draft({"correct_a": a, "correct_b": b}, expected=draft.expected)


def _negative(rng: np.random.Generator) -> Draft:
    """Coinciden menos de lo que daría el azar."""
    only_a, only_b = int(rng.integers(5, 9)), int(rng.integers(9, 13))
    return _draft(rng, (3, only_a, only_b, 2))


def _identical(rng: np.random.Generator) -> Draft:
    return _draft(rng, (int(rng.integers(8, 14)), 0, 0, int(rng.integers(2, 6))))


def _independent(rng: np.random.Generator) -> Draft:
    """Exactamente lo que daría el azar: kappa 0."""
    rows, columns = rng.permutation([2, 3, 4, 5])[:2], rng.permutation([2, 3, 4])[:2]
    return _draft(rng, tuple(int(r * c) for r in rows for c in columns))  # type: ignore[arg-type]


def _opposite(rng: np.random.Generator) -> Draft:
    half = int(rng.integers(3, 8))
    return _draft(rng, (0, half, half, 0))


def _one_perfect(rng: np.random.Generator) -> Draft:
    """Si uno lo acierta todo y el otro no, la kappa es 0 por definición."""
    return _draft(rng, (int(rng.integers(5, 10)), int(rng.integers(2, 5)), 0, 0))


def _both_perfect(rng: np.random.Generator) -> Draft:
    a, b = _table(rng, int(rng.integers(2, 9)), 0, 0, 0)
    return Draft({"correct_a": a, "correct_b": b}, expected=nan)


def _both_hopeless(rng: np.random.Generator) -> Draft:
    a, b = _table(rng, 0, 0, 0, int(rng.integers(2, 9)))
    return Draft({"correct_a": a, "correct_b": b}, expected=nan)


def _rates(a: Iterable[bool], b: Iterable[bool]) -> tuple[float, float, float]:
    """Exactitud de cada uno y fracción de estímulos en que coinciden."""
    pairs = list(zip(a, b, strict=True))
    return tuple(
        sum(v) / len(pairs) for v in ((x for x, _ in pairs), (y for _, y in pairs), (x == y for x, y in pairs))
    )  # type: ignore[return-value]


def _paired(a: Hits, b: Hits) -> tuple[float, float, float]:
    return _rates(a.values(), (b[name] for name in a))


def _corrected(observed: float, chance: float) -> float:
    return (observed - chance) / (1 - chance) if chance < 1 else nan


def _chance(a: float, b: float) -> float:
    return a * b + (1 - a) * (1 - b)


def _from_lists(a: list[bool], b: list[bool]) -> float:
    first, second, observed = _rates(a, b)
    return _corrected(observed, _chance(first, second))


@_wrong(
    "Sin descontar el azar",
    "Devuelves la fracción de estímulos en que coinciden. Dos observadores que aciertan el 90 % ya coinciden en el 82"
    " % sin tener nada que ver: resta lo que daría el azar y divide por lo que quedaba.",
)
def _no_chance_correction(correct_a: Hits, correct_b: Hits) -> float:
    return _paired(correct_a, correct_b)[2]


@_wrong(
    "Emparejados por orden",
    "Has emparejado el primero de un diccionario con el primero del otro. Cada observador pudo ver las imágenes en su"
    " propio orden: empareja por la clave, `correct_b[estímulo]`.",
)
def _paired_by_order(correct_a: Hits, correct_b: Hits) -> float:
    return _from_lists(list(correct_a.values()), list(correct_b.values()))


@_wrong(
    "El azar, siempre a medias",
    "Has supuesto que por azar coincidirían la mitad de las veces. Eso solo pasa si alguno acierta la mitad: lo que "
    "da el azar es `a · b + (1 - a) · (1 - b)`, con la exactitud de cada uno.",
)
def _chance_is_half(correct_a: Hits, correct_b: Hits) -> float:
    a, b, observed = _paired(correct_a, correct_b)
    return _corrected(observed, 1.0 if _chance(a, b) == 1 else 0.5)


@_wrong(
    "El azar de acertar, sin el de fallar",
    "En lo que daría el azar has puesto solo `a · b`, que los dos acierten. También coinciden si los dos fallan: "
    "falta `(1 - a) · (1 - b)`.",
)
def _chance_of_hits_only(correct_a: Hits, correct_b: Hits) -> float:
    a, b, observed = _paired(correct_a, correct_b)
    return _corrected(observed, 1.0 if _chance(a, b) == 1 else a * b)


@_wrong(
    "Solo cuentan los aciertos comunes",
    "Has contado como coincidencia solo que los dos acierten. Fallar los dos en el mismo estímulo también es "
    "coincidir, y es lo más interesante.",
)
def _agreement_of_hits_only(correct_a: Hits, correct_b: Hits) -> float:
    a, b, _ = _paired(correct_a, correct_b)
    both = sum(hit and correct_b[name] for name, hit in correct_a.items()) / len(correct_a)
    return _corrected(both, _chance(a, b))


@_wrong(
    "Sin dividir por lo que quedaba",
    "Has restado el azar y te has quedado ahí. Falta dividir por `1 - c_exp`, lo máximo que se podía ganar al azar: "
    "sin eso, dos observadores idénticos no llegan a 1.",
)
def _not_normalized(correct_a: Hits, correct_b: Hits) -> float:
    a, b, observed = _paired(correct_a, correct_b)
    return observed - _chance(a, b) if _chance(a, b) < 1 else nan


@_wrong(
    "Correlación en vez de kappa",
    "Has calculado la correlación de los aciertos. Es igual a la kappa si los dos aciertan lo mismo, y mayor si no: "
    "la kappa divide por `1 - c_exp`, que tiene en cuenta que sus exactitudes difieren.",
)
def _correlation(correct_a: Hits, correct_b: Hits) -> float:
    a, b, observed = _paired(correct_a, correct_b)
    if _chance(a, b) == 1:
        return nan
    spread = (a * (1 - a) * b * (1 - b)) ** 0.5
    return (observed - _chance(a, b)) / (2 * spread) if spread else 0.0


@_wrong(
    "Fallos comunes entre fallos",
    "Has dividido los fallos comunes entre los estímulos en que falló alguno. Ese cociente no descuenta el azar: "
    "crece en cuanto los dos fallan mucho. La fórmula está en el enunciado.",
)
def _shared_errors(correct_a: Hits, correct_b: Hits) -> float:
    fails = [{name for name, hit in own.items() if not hit} for own in (correct_a, correct_b)]
    if not any(correct_a.values()) and not any(correct_b.values()):
        return nan
    either = fails[0] | fails[1]
    return len(fails[0] & fails[1]) / len(either) if either else nan


@_wrong(
    "Sin valores negativos",
    "Has subido a 0 las kappas negativas. Una kappa negativa es información: los dos coinciden menos de lo que daría "
    "el azar, porque uno acierta donde el otro falla.",
)
def _clipped(correct_a: Hits, correct_b: Hits) -> float:
    value = _from_lists(list(correct_a.values()), [correct_b[name] for name in correct_a])
    return 0.0 if value < 0 else value


@_wrong(
    "Un 1 donde no está definida",
    "Si los dos aciertan todo (o fallan todo) devuelves 1. Coinciden, pero no podían hacer otra cosa: no hay errores "
    "que comparar y se pide `nan`.",
)
def _undefined_is_one(correct_a: Hits, correct_b: Hits) -> float:
    value = _from_lists(list(correct_a.values()), [correct_b[name] for name in correct_a])
    return value if value == value else 1.0


@_wrong(
    "Un 0 donde no está definida",
    "Si los dos aciertan todo (o fallan todo) devuelves 0, como si coincidieran lo que el azar. No se puede saber: no"
    " hay errores que comparar y se pide `nan`.",
)
def _undefined_is_zero(correct_a: Hits, correct_b: Hits) -> float:
    value = _from_lists(list(correct_a.values()), [correct_b[name] for name in correct_a])
    return value if value == value else 0.0


@_right
def _sorted_names(correct_a: Hits, correct_b: Hits) -> float:
    hits = np.array([[own[name] for name in sorted(correct_a, key=str)] for own in (correct_a, correct_b)], dtype=float)
    a, b = hits.mean(1)
    with np.errstate(invalid="ignore"):
        room = np.float64(a * (1 - b) + b * (1 - a))
        return float(1 - (hits[0] != hits[1]).mean() / room) if room else nan


@_right
def _four_cells(correct_a: Hits, correct_b: Hits) -> float:
    cells = {(x, y): 0 for x in (False, True) for y in (False, True)}
    for name in correct_b:
        cells[correct_a[name], correct_b[name]] += 1
    (neither, only_b), (only_a, both) = ([cells[x, y] for y in (False, True)] for x in (False, True))
    room = (both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither)
    return 2 * (both * neither - only_a * only_b) / room if room else float("nan")


@_right
def _tensors(correct_a: Hits, correct_b: Hits) -> float:
    first = torch.tensor([correct_a[name] for name in correct_a], dtype=torch.float64)
    second = torch.tensor([correct_b[name] for name in correct_a], dtype=torch.float64)
    expected = first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())
    return (((first == second).double().mean() - expected) / (1 - expected)).item()


EXERCISE = Exercise(
    id="human.error_consistency",
    title="¿Fallan en lo mismo?",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=human.error_consistency,
    also_forbidden=(human.kappa,),
    properties=(
        Property("Coincidencia menos azar, entre lo que quedaba", 2, (_same_order, _low_accuracy)),
        Property("Cada estímulo con el suyo", 2, (_own_order, _own_order_pairs)),
        Property("Coincidir menos que el azar es negativo", 1, (_negative, _opposite)),
        Property("Valores conocidos", 1, (_identical, _independent, _one_perfect)),
        Property("Sin errores que comparar, NaN", 1, (_both_perfect, _both_hopeless)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
