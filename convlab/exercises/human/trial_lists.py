"""Listas de ensayos descritas con cadenas, para que un caso pueda viajar a otro proceso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convlab.human import NO_RESPONSE, Trial

CATEGORIES = ("gato", "perro", "reloj", "pera", "silla", "barco")


@dataclass(frozen=True)
class TrialList:
    """Los campos de cada ensayo, en el orden de `Trial`."""

    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return f"{len(self.rows)} ensayos, como {Trial(*self.rows[0])}"

    def build(self) -> list[Trial]:
        """Los ensayos."""
        return [Trial(*row) for row in self.rows]


def shuffled(rng: np.random.Generator, trials: Sequence[Trial]) -> TrialList:
    """Los ensayos, en cualquier orden."""
    return TrialList(tuple(tuple(trials[i]) for i in rng.permutation(len(trials))))


def another(rng: np.random.Generator, *taken: str) -> str:
    """Una categoría que no es ninguna de esas."""
    return str(rng.choice([c for c in CATEGORIES if c not in taken]))


def plain_trials(
    rng: np.random.Generator, condition: str, right: int, wrong: int, silent: int = 0, observer: str = "ana"
) -> list[Trial]:
    """Ensayos de una condición con esos aciertos, fallos y silencios. Los estímulos se llaman "0", "1"…"""
    trials = []
    for stimulus in range(right + wrong + silent):
        category = str(rng.choice(CATEGORIES))
        response = category if stimulus < right else another(rng, category)
        if stimulus >= right + wrong:
            response = NO_RESPONSE
        trials.append(Trial(observer, str(stimulus), condition, category, response))
    return trials


def conflict_trials(
    rng: np.random.Generator, shape: int, texture: int, other: int = 0, silent: int = 0, observer: str = "ana"
) -> list[Trial]:
    """Ensayos con señales en conflicto y esas respuestas. Los estímulos se llaman "0", "1"…"""
    trials = []
    for stimulus in range(shape + texture + other + silent):
        category, surface, third = (str(c) for c in rng.permutation(CATEGORIES)[:3])
        response = category if stimulus < shape else surface if stimulus < shape + texture else third
        if stimulus >= shape + texture + other:
            response = NO_RESPONSE
        trials.append(Trial(observer, str(stimulus), "conflicto", category, response, surface))
    return trials
