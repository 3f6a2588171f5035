"""Ejercicio 1: exactitud de cada condición, con su intervalo de Wilson. Los errores, en `accuracy_errors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from convlab import human
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.human.accuracy_errors import CATALOGUE
from convlab.exercises.human.trial_lists import conflict_trials, plain_trials, shuffled
from convlab.human import Trial

# Admite z = 1,96: en estos casos cambia los extremos menos de 5e-4, y cualquier otro intervalo, más de 1e-2.
_ROUNDED_Z = 2e-3


def counts(function: Callable[..., Any], trials: list[Trial]) -> Any:
    """Los tres primeros números de cada condición: sin el intervalo."""
    return _numbers(function(trials), 3)


def whole(function: Callable[..., Any], trials: list[Trial]) -> Any:
    """Todo lo de cada condición, sea una tupla, una lista o un `Accuracy`."""
    return _numbers(function(trials), None)


def with_level(function: Callable[..., Any], trials: list[Trial], level: float) -> Any:
    """Con otra confianza, dada por su nombre."""
    return _numbers(function(trials, level=level), None)


def _numbers(found: Any, size: int | None) -> Any:
    """Un 0 y un 0.0 son el mismo extremo, y un tensor sin dimensiones también es un número."""
    if not isinstance(found, dict) or not all(isinstance(v, tuple | list) for v in found.values()):
        return found
    return {key: [float(v) for v in values[:size]] for key, values in found.items()}


def _expected(tally: dict[str, tuple[int, int]], level: float = 0.95) -> dict[str, list[float]]:
    """Condición → los cinco números, con los extremos como raíces de (k/n - p)² = z² p (1 - p) / n."""
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    rows = {}
    for condition, (n, k) in tally.items():
        low, high = sorted(np.roots([1 + z2 / n, -(2 * k / n + z2 / n), (k / n) ** 2]).real)
        rows[condition] = [float(n), float(k), k / n, float(low), float(high)]
    return rows


def _draft(
    rng: np.random.Generator, trials: Sequence[Trial], call: Callable[..., Any] = whole, level: float | None = None
) -> Draft:
    tally: dict[str, tuple[int, int]] = {}
    for t in trials:
        n, k = tally.get(t.condition, (0, 0))
        tally[t.condition] = n + 1, k + (t.category == t.response)
    rows = _expected(tally, level or 0.95)
    expected = {c: row[:3] for c, row in rows.items()} if call is counts else rows
    arguments = {"trials": shuffled(rng, trials)} | ({} if level is None else {"level": level})
    return Draft(arguments, expected=expected, call=call, tolerance=_ROUNDED_Z if level is None else None)


def _three_conditions(rng: np.random.Generator) -> list[Trial]:
    names = [str(c) for c in rng.permutation(["limpia", "ruido", "bordes"])]
    trials = []
    for name, n in zip(names, rng.permutation([9, 14, 22]), strict=True):
        right = int(rng.integers(3, n - 3))
        trials += plain_trials(rng, name, right, int(n) - right)
    return trials


def _count(rng: np.random.Generator) -> Draft:
    return _draft(rng, _three_conditions(rng), counts)


def _one_condition(rng: np.random.Generator) -> Draft:
    return _draft(rng, plain_trials(rng, "0.35", int(rng.integers(4, 9)), int(rng.integers(2, 7))), counts)


def _interval(rng: np.random.Generator) -> Draft:
    return _draft(rng, _three_conditions(rng))


def _extremes(rng: np.random.Generator) -> Draft:
    """Acertar todo, fallar todo y un solo ensayo."""
    parts = [("todo", int(rng.integers(4, 12)), 0), ("nada", 0, int(rng.integers(4, 12))), ("uno", 1, 0)]
    return _draft(rng, [t for part in parts for t in plain_trials(rng, *part)])


def _silent(rng: np.random.Generator) -> Draft:
    """Con silencios, y una condición en que no se contestó nada."""
    answered = plain_trials(rng, "ruido", int(rng.integers(3, 8)), int(rng.integers(2, 6)), int(rng.integers(3, 7)))
    return _draft(rng, answered + plain_trials(rng, "oscura", 0, 0, 4), counts)


def _conflict(rng: np.random.Generator) -> Draft:
    """Con señales en conflicto, la verdad es la forma."""
    return _draft(rng, conflict_trials(rng, int(rng.integers(3, 7)), int(rng.integers(3, 7)), 2), counts)


def _observers(rng: np.random.Generator) -> Draft:
    """Dos observadores con los mismos estímulos y exactitudes muy distintas: cada ensayo cuenta."""
    trials = plain_trials(rng, "ruido", int(rng.integers(10, 14)), 2, observer="ana")
    trials += plain_trials(rng, "ruido", 1, int(rng.integers(4, 7)), observer="red")
    return _draft(rng, trials, counts)


def _low_level(rng: np.random.Generator) -> Draft:
    return _draft(rng, _three_conditions(rng), with_level, float(rng.choice([0.5, 0.6, 0.7, 0.8])))


def _high_level(rng: np.random.Generator) -> Draft:
    return _draft(rng, _three_conditions(rng), with_level, float(rng.choice([0.98, 0.99])))


EXERCISE = Exercise(
    id="human.accuracy_by_condition",
    title="Exactitud por condición",
    minutes=15,
    visible_points=1,
    hidden_points=1,
    reference=human.accuracy_by_condition,
    also_forbidden=(human.wilson_interval,),
    properties=(
        Property("Ensayos, aciertos y exactitud de cada condición", 2, (_count, _one_condition)),
        Property("Intervalo de Wilson", 2, (_interval,)),
        Property("Acertar o fallar todo no da certeza", 1, (_extremes,)),
        Property("No contestar o seguir la textura es fallar", 1, (_silent, _conflict)),
        Property("Cada ensayo cuenta, sea de quien sea", 1, (_observers,)),
        Property("Otras confianzas", 1, (_low_level, _high_level)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
