"""La matriz: cada programa del catálogo de un ejercicio, pasado por su propia comprobación."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convlab.exercises.engine import Exercise
from convlab.exercises.report import Report


@dataclass(frozen=True)
class MatrixRow:
    """Lo que le pasa a un programa.

    Attributes
    ----------
    name, title
        El del error o el de la solución correcta.
    wrong
        Si es un error del catálogo.
    report
        El informe de la comprobación.
    """

    name: str
    title: str
    wrong: bool
    report: Report

    @property
    def right_verdict(self) -> bool:
        """Si el error no pasa y se llama por su nombre, o si la solución correcta pasa."""
        if self.wrong:
            return not self.report.passed and self.report.diagnosis == self.name
        return self.report.passed


def kill_matrix(exercise: Exercise, *, seed: int = 0, hidden: bool = True) -> list[MatrixRow]:
    """Comprueba todos los errores y todas las soluciones correctas de un ejercicio.

    Parameters
    ----------
    exercise
        El ejercicio.
    seed, hidden
        Los casos, como en `Exercise.check`.

    Returns
    -------
    list[MatrixRow]
        Primero los errores, por el orden del catálogo.

    Examples
    --------
    >>> from convlab.exercises import load
    >>> all(row.right_verdict for row in kill_matrix(load("gradcam.channel_weights")))
    True
    """
    cases = exercise.cases(seed, hidden)

    def report(function: Callable[..., Any]) -> Report:
        return exercise.report(cases, [exercise.run(function, case) for case in cases])

    wrong = [MatrixRow(m.name, m.title, True, report(m.function)) for m in exercise.misconceptions.values()]
    return wrong + [MatrixRow(name, name, False, report(function)) for name, function in exercise.variants.items()]
