"""Cómo se escribe el catálogo de un ejercicio: decorando funciones equivocadas y funciones correctas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convlab.exercises.engine import Misconception

Function = Callable[..., Any]


class Catalogue:
    """Los errores conocidos de un ejercicio y otras soluciones correctas, con el nombre de su función.

    Examples
    --------
    >>> catalogue = Catalogue()
    >>> @catalogue.wrong("Al revés", "Tu signo es el contrario.")
    ... def _negated(x):
    ...     return -x
    >>> catalogue.misconceptions["negated"].title
    'Al revés'
    """

    def __init__(self) -> None:
        self.misconceptions: dict[str, Misconception] = {}
        self.variants: dict[str, Function] = {}

    def wrong(self, title: str, diagnosis: str) -> Callable[[Function], Function]:
        """Apunta la función decorada como error. El título no lleva punto; el diagnóstico habla de tú."""

        def add(function: Function) -> Function:
            name = function.__name__.lstrip("_")
            self.misconceptions[name] = Misconception(name, title, function, diagnosis)
            return function

        return add

    def right(self, function: Function) -> Function:
        """Apunta la función decorada como solución correcta."""
        self.variants[function.__name__.lstrip("_")] = function
        return function
