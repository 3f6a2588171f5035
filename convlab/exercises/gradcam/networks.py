"""Redes e imágenes de los casos: no cuadradas, con BatchNorm y *dropout* genéricos, con y sin media espacial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from convlab.exercises.nets import Layer, NetSpec, random_net
from convlab.hooks import activation_and_gradient
from convlab.targets import target_score

HEIGHT, WIDTH = 12, 16


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


def favourable(spec: NetSpec) -> NetSpec:
    """La misma red con todos los pesos de la última capa positivos: ningún canal va en contra de ninguna clase."""
    weight = np.abs(spec.state["fc.weight"]) + 0.1
    return replace(spec, state=spec.state | {"fc.weight": weight.astype(spec.dtype)})


def losing_classes(spec: NetSpec, x: np.ndarray) -> list[np.ndarray]:
    """De cada imagen, las clases que la red no elegiría, en orden."""
    with torch.no_grad():
        logits = spec.build()(torch.from_numpy(x)).numpy()
    return [np.flatnonzero(row < row.max()) for row in logits]


def mixed_signs(spec: NetSpec, x: np.ndarray, target: int, layer: str) -> bool:
    """Si en cada imagen la suma ponderada tiene zonas a favor y en contra, y se nota cada una."""
    a, g = activation_and_gradient(spec.build(), torch.from_numpy(x), layer, target_score(target))
    total = (g.mean((2, 3), keepdim=True) * a).sum(1).flatten(1)
    low, high = total.amin(1), total.amax(1)
    share = (total > 0).double().mean(1)
    return bool(((share > 0.15) & (share < 0.85) & (low < -0.1 * high) & (high > -0.1 * low)).all())
