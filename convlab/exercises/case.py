"""Un caso: una llamada a la función del estudiante, descrita con datos simples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from convlab.exercises.nets import NetSpec


@dataclass(frozen=True)
class Draft:
    """Lo que prepara una fuente de casos: los argumentos, cómo presentarlos y, si se conoce, el valor exacto.

    Attributes
    ----------
    arguments
        Por nombre y en el orden de la firma: matrices de NumPy, números, cadenas o `NetSpec`.
    setup
        `"frozen"`: los parámetros de la red no piden gradiente. `"strided"`: los tensores no son contiguos.
    expected
        El valor en forma cerrada, donde lo hay; si no, decide la referencia.
    """

    arguments: dict[str, Any]
    setup: frozenset[str] = frozenset()
    expected: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """Una llamada a la función, descrita con datos simples."""

    exercise: str
    seed: int
    hidden: bool
    index: int
    property_name: str
    arguments: dict[str, Any]
    setup: frozenset[str] = frozenset()
    expected: np.ndarray | None = field(default=None, repr=False)

    def build(self) -> tuple[Any, ...]:
        """Los argumentos de la llamada, con tensores y redes recién hechos."""
        return tuple(self._materialize(value) for value in self.arguments.values())

    def _materialize(self, value: Any) -> Any:
        if isinstance(value, NetSpec):
            return value.build().requires_grad_("frozen" not in self.setup)
        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.from_numpy(value.copy())
        if "strided" in self.setup and tensor.ndim > 1:
            # Los mismos valores con los ejes en otro orden en la memoria, como `channels_last`.
            tensor = tensor.movedim(1, -1).contiguous().movedim(-1, 1)
        return tensor

    @property
    def dtype(self) -> str:
        """El tipo de coma flotante del caso, el de su primera matriz o red."""
        for value in self.arguments.values():
            if isinstance(value, NetSpec):
                return value.dtype
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                return str(value.dtype)
        return "float64"

    def __str__(self) -> str:
        parts = []
        for name, value in self.arguments.items():
            if isinstance(value, NetSpec):
                text = f"red {' → '.join(layer for layer, *_ in value.layers)}"
            elif isinstance(value, np.ndarray) and value.size > 6:
                text = f"{value.dtype} {value.shape}"
            else:
                text = str(value.tolist() if isinstance(value, np.ndarray) else value)
            parts.append(f"{name} = {text}")
        return "; ".join(parts)
