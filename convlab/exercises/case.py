"""Un caso: una llamada a la función del estudiante, descrita con datos simples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

Call = Callable[..., Any]
"""Cómo se usa la función en un caso: `call(función, *argumentos)`, y devuelve lo que se juzga."""

Measure = Callable[..., dict[str, Any]]
"""Qué se mira de un resultado que depende del azar: `measure(resultado, *argumentos)`, hechos con nombre."""


@runtime_checkable
class Spec(Protocol):
    """Un argumento que no es un dato simple (una red, un generador) y se hace de nuevo en cada llamada."""

    def build(self) -> Any:
        """El argumento, recién hecho."""


@dataclass(frozen=True)
class Seeded:
    """Un `torch.Generator` con esa semilla."""

    seed: int

    def build(self) -> torch.Generator:
        """El generador, por estrenar."""
        return torch.Generator().manual_seed(self.seed)

    def __str__(self) -> str:
        return f"torch.Generator().manual_seed({self.seed})"


@dataclass(frozen=True)
class Draft:
    """Lo que prepara una fuente de casos: los argumentos, cómo presentarlos y, si se conoce, el valor exacto.

    Attributes
    ----------
    arguments
        Por nombre y en el orden de la firma: matrices de NumPy (serán tensores), números, cadenas, funciones de un
        módulo, un `Spec`, y listas o diccionarios de todo ello.
    setup
        `"frozen"`: los parámetros de la red no piden gradiente. `"strided"`: los tensores no son contiguos.
    expected
        El valor en forma cerrada, donde lo hay; si no, decide la referencia. Con `measure`, los hechos esperados.
    call
        Cómo se usa la función, si no es llamándola una vez con los argumentos.
    measure
        Qué se compara, si no es el valor. Recibe el resultado con tensores y los argumentos recién hechos, después de
        comprobar que la forma es la debida, y devuelve hechos: `{"sin salir de [0, 1]": True}`.
    tolerance
        La admitida, relativa al mayor valor esperado, si no es la corriente.
    """

    arguments: dict[str, Any]
    setup: frozenset[str] = frozenset()
    expected: Any = None
    call: Call | None = None
    measure: Measure | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class Case:
    """Una llamada a la función, descrita con datos simples."""

    exercise: str
    seed: int
    hidden: bool
    index: int
    property_name: str
    draft: Draft = field(repr=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """Los argumentos, como los dejó la fuente."""
        return self.draft.arguments

    def build(self) -> tuple[Any, ...]:
        """Los argumentos de la llamada, con tensores y redes recién hechos."""
        return tuple(self._materialize(value) for value in self.arguments.values())

    def _materialize(self, value: Any) -> Any:
        if isinstance(value, Spec):
            made = value.build()
            return made.requires_grad_("frozen" not in self.draft.setup) if isinstance(made, nn.Module) else made
        if isinstance(value, list | tuple):
            return type(value)(self._materialize(v) for v in value)
        if isinstance(value, dict):
            return {k: self._materialize(v) for k, v in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.from_numpy(value.copy())
        if "strided" in self.draft.setup and tensor.ndim > 1:
            # Los mismos valores con los ejes en otro orden en la memoria, como `channels_last`.
            tensor = tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        return tensor

    @property
    def dtype(self) -> str:
        """El tipo de coma flotante del caso, el de su primera matriz o red."""
        return _dtype(list(self.arguments.values())) or "float64"

    def __str__(self) -> str:
        return "; ".join(f"{name} = {_brief(value)}" for name, value in self.arguments.items())


def _dtype(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.dtype) if value.dtype.kind == "f" else ""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next(filter(None, map(_dtype, value)), "")
    return str(getattr(value, "dtype", ""))


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}" if value.size > 6 else str(value.tolist())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_brief(v)}" for k, v in list(value.items())[:4]) + "}"
    if isinstance(value, list | tuple):
        parts = [_brief(v) for v in value[:4]] + ["…"] * (len(value) > 4)
        return f"[{', '.join(parts)}]" if isinstance(value, list) else f"({', '.join(parts)})"
    return str(getattr(value, "__name__", value))
