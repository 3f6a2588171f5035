"""Los ejercicios: cada uno es un objeto que enseña, comprueba, diagnostica y se prueba a sí mismo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from convlab.errors import unknown_name
from convlab.exercises.case import Case
from convlab.exercises.engine import Exercise, Misconception, Property
from convlab.exercises.report import PropertyResult, Report

__all__ = [
    "Case",
    "Exercise",
    "Misconception",
    "Property",
    "PropertyResult",
    "Report",
    "grade",
    "list_exercises",
    "load",
    "show",
]

_LESSONS = (
    "activations",
    "filters",
    "maximization",
    "retrieval",
    "embedding",
    "occlusion",
    "saliency",
    "deconvnet",
    "gradcam",
    "adversarial",
    "human",
)


def list_exercises() -> list[str]:
    """Los identificadores `"módulo.función"` de todos los ejercicios, por orden de lección.

    Examples
    --------
    >>> list_exercises()[0]
    'activations.receptive_field'
    """
    return [exercise for lesson in _LESSONS for exercise in _lesson(lesson)]


def load(exercise: str) -> Exercise:
    """Un ejercicio por su identificador.

    Raises
    ------
    ConvlabError
        Si no existe; ofrece los más parecidos.

    Examples
    --------
    >>> load("gradcam.overlay").name
    'overlay'
    """
    lesson = exercise.split(".")[0]
    found = _lesson(lesson) if lesson in _LESSONS else {}
    if exercise not in found:
        raise unknown_name("el ejercicio", exercise, list_exercises())
    return found[exercise]


def grade(exercise: str, namespace: Mapping[str, Any], *, hidden: bool = False) -> float:
    """Comprueba la función de un cuaderno, imprime el informe y devuelve los puntos.

    Es lo único que contiene una celda de comprobación. Recibe `globals()` y no la función, para que un nombre sin
    definir sea un mensaje y no una excepción.

    Parameters
    ----------
    exercise
        El identificador.
    namespace
        Donde está la función, con su nombre.
    hidden
        Los casos de calificar, en vez de los que se ven.

    Returns
    -------
    float
        Los puntos, que nbgrader lee como último valor de la celda.

    Raises
    ------
    ConvlabError
        Si el ejercicio no existe.

    Examples
    --------
    >>> grade("gradcam.channel_weights", {"channel_weights": lambda gradients: gradients.mean((2, 3))})
    Correcto: channel_weights cumple todo lo que se ha probado. 1 de 1 puntos.
    1.0
    """
    chosen = load(exercise)
    report = chosen.check(namespace.get(chosen.name), hidden=hidden)
    print(report.message)
    return report.score


def show(draw: Callable[[], Any], alt: str) -> None:
    """Enseña en el cuaderno la figura que devuelve `draw`; si aún falta una función, lo dice y no se enfada.

    Parameters
    ----------
    draw
        Hace la figura con las funciones del estudiante, y puede imprimir.
    alt
        El texto alternativo: qué se ve.

    Examples
    --------
    >>> def draw():
    ...     raise NotImplementedError("Escribe aquí overlay.")
    >>> show(draw, alt="Tres imágenes con su mapa.")
    Aquí saldrá una figura hecha con tu código. Escribe aquí overlay.
    """
    try:
        figure = draw()
    except NotImplementedError as missing:
        print(f"Aquí saldrá una figura hecha con tu código. {missing}")
    except Exception as error:
        print(f"La figura aún no sale ({type(error).__name__}: {error}). La comprobación de arriba te dice más.")
    else:
        from IPython.display import display

        display(figure, metadata={"image/png": {"alt": alt}})


@cache
def _lesson(lesson: str) -> dict[str, Exercise]:
    # Cada lección se importa al pedirla: un cuaderno no espera por las otras diez.
    module = import_module(f"convlab.exercises.{lesson}")
    return {exercise.id: exercise for exercise in module.EXERCISES}
