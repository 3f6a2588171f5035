"""Redes pequeñas descritas con datos, no con objetos: así un caso puede viajar a otro proceso sin pickle."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from convlab.errors import unknown_name

_KINDS = (
    "Conv2d",
    "BatchNorm2d",
    "ReLU",
    "Softplus",
    "MaxPool2d",
    "AvgPool2d",
    "AdaptiveAvgPool2d",
    "Flatten",
    "Linear",
    "Dropout",
)

Layer = tuple[str, str, dict[str, Any]]

HEIGHT, WIDTH = 12, 16


@dataclass(frozen=True)
class NetSpec:
    """Una red secuencial: sus capas `(nombre, clase, argumentos)` y los valores de sus tensores."""

    layers: tuple[Layer, ...]
    state: dict[str, np.ndarray]
    dtype: str

    def __str__(self) -> str:
        return f"red {' → '.join(layer for layer, *_ in self.layers)}"

    def astype(self, dtype: str) -> NetSpec:
        """La misma red en otro tipo de coma flotante."""
        state = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in self.state.items()}
        return NetSpec(self.layers, state, dtype)

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
    return NetSpec(tuple(layers), state, "float64").astype(dtype)


def _sequential(layers: tuple[Layer, ...]) -> nn.Sequential:
    modules = OrderedDict()
    with torch.random.fork_rng(devices=[]):
        for name, kind, arguments in layers:
            if kind not in _KINDS:
                raise unknown_name("la capa", kind, _KINDS)
            modules[name] = getattr(nn, kind)(**arguments)
    return nn.Sequential(modules)


def images(rng: np.random.Generator, n: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Imágenes `(n, 3, height, width)` en [0, 1]."""
    return rng.uniform(0, 1, (n, 3, height, width))


def one_class_each(rng: np.random.Generator, n: int, classes: int) -> np.ndarray:
    """Una clase distinta para cada imagen."""
    return rng.permutation(classes)[:n]


def _trunk(rng: np.random.Generator, *, stride: int = 1, inplace: bool = False) -> tuple[list[Layer], int]:
    first, second = (int(c) for c in rng.permutation([4, 5, 6, 7])[:2])
    conv = {"kernel_size": 3, "padding": 1}
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": first, "stride": stride, **conv}),
        ("bn1", "BatchNorm2d", {"num_features": first}),
        ("relu1", "ReLU", {}),
        ("pool1", "MaxPool2d", {"kernel_size": 2}),
        ("conv2", "Conv2d", {"in_channels": first, "out_channels": second, **conv}),
        ("relu2", "ReLU", {"inplace": inplace}),
    ]
    return layers, second


def gap_net(rng: np.random.Generator, *, stride: int = 1, inplace: bool = False) -> NetSpec:
    """Tronco, media espacial y capa lineal: aquí el gradiente de `relu2` es igual en todas las posiciones."""
    layers, channels = _trunk(rng, stride=stride, inplace=inplace)
    layers += [
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": channels, "out_features": int(rng.integers(5, 8))}),
    ]
    return random_net(layers, rng)


def mlp_net(rng: np.random.Generator, *, stride: int = 1) -> NetSpec:
    """Tronco y cabeza aplanada con capa oculta: el gradiente cambia de una posición a otra."""
    layers, channels = _trunk(rng, stride=stride)
    cells = (HEIGHT // (2 * stride)) * (WIDTH // (2 * stride))
    layers += [
        ("flatten", "Flatten", {}),
        ("fc1", "Linear", {"in_features": channels * cells, "out_features": 12}),
        ("relu3", "ReLU", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc2", "Linear", {"in_features": 12, "out_features": int(rng.integers(5, 8))}),
    ]
    return random_net(layers, rng)


def losing_classes(spec: NetSpec, x: np.ndarray) -> list[np.ndarray]:
    """De cada imagen, las clases que la red no elegiría, en orden."""
    with torch.no_grad():
        logits = spec.build()(torch.from_numpy(x)).numpy()
    return [np.flatnonzero(row < row.max()) for row in logits]
