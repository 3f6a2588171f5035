"""Redes pequeñas descritas con datos, no con objetos: así un caso puede viajar a otro proceso sin pickle."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from convlab.errors import unknown_name

_KINDS = ("Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "AdaptiveAvgPool2d", "Flatten", "Linear", "Dropout")

Layer = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class NetSpec:
    """Una red secuencial: sus capas `(nombre, clase, argumentos)` y los valores de sus tensores."""

    layers: tuple[Layer, ...]
    state: dict[str, np.ndarray]
    dtype: str

    def build(self) -> nn.Sequential:
        """La red, en modo eval, con los valores de `state`."""
        model = _sequential(self.layers).to(getattr(torch, self.dtype))
        model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in self.state.items()})
        return model.eval()


def random_net(layers: list[Layer], rng: np.random.Generator, dtype: str = "float64") -> NetSpec:
    """Una red con pesos, sesgos y estadísticas de BatchNorm genéricos.

    Una red recién inicializada tiene sesgos casi nulos y estadísticas triviales, y perdona errores que una entrenada no
    perdona.
    """
    state = {}
    for name, value in _sequential(tuple(layers)).state_dict().items():
        if not value.is_floating_point():
            state[name] = value.numpy()
        elif name.endswith("running_var"):
            state[name] = rng.uniform(0.5, 2.0, value.shape)
        else:
            fan_in = max(1, value[0].numel()) if value.ndim > 1 else 2
            state[name] = rng.normal(0, 1.2 / fan_in**0.5, value.shape) + (value.ndim == 1) * 0.1
    floats = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in state.items()}
    return NetSpec(tuple(layers), floats, dtype)


def _sequential(layers: tuple[Layer, ...]) -> nn.Sequential:
    modules = OrderedDict()
    with torch.random.fork_rng(devices=[]):
        for name, kind, arguments in layers:
            if kind not in _KINDS:
                raise unknown_name("la capa", kind, _KINDS)
            modules[name] = getattr(nn, kind)(**arguments)
    return nn.Sequential(modules)
