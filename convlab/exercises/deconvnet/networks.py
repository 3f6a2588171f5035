"""Redes de los casos de esta lección, y cuándo un caso está lejos de cualquier empate."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from convlab.exercises.deconvnet.descent import climb, project
from convlab.exercises.nets import Layer, NetSpec, random_net

EPSILON = 0.1
"""El `eps` de las BatchNorm: con el de costumbre, 1e-5, nadie notaría si falta."""


def conv(name: str, inputs: int, outputs: int, *, bias: bool = False, **options: Any) -> Layer:
    """Una convolución, de 3×3 con relleno 1 si no se dice otra cosa."""
    settings = {"kernel_size": 3, "padding": 1} | options
    return name, "Conv2d", {"in_channels": inputs, "out_channels": outputs, "bias": bias, **settings}


def widths(rng: np.random.Generator) -> tuple[int, int]:
    """Canales de las dos convoluciones, distintos entre sí y de los tres de la imagen."""
    first, second = (int(c) for c in rng.permutation([4, 5, 6])[:2])
    return first, second


def head(rng: np.random.Generator, channels: int) -> list[Layer]:
    """Lo que hay después de la capa que se explica: hasta la imagen no se baja por ahí."""
    return [
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": channels, "out_features": int(rng.integers(5, 8))}),
    ]


def plain_net(rng: np.random.Generator, *, inplace: bool = False, dtype: str = "float64") -> NetSpec:
    """Dos convoluciones sin sesgo con sus ReLU: solo cuentan los filtros y las puertas."""
    a, b = widths(rng)
    relu = {"inplace": inplace}
    layers = [conv("conv1", 3, a), ("relu1", "ReLU", relu), conv("conv2", a, b), ("relu2", "ReLU", relu)]
    return random_net([*layers, *head(rng, b)], rng, dtype)


def biased_net(rng: np.random.Generator) -> NetSpec:
    """Sesgos en las convoluciones, sin BatchNorm."""
    a, b = widths(rng)
    layers = [
        conv("conv1", 3, a, bias=True),
        ("relu1", "ReLU", {}),
        conv("conv2", a, b, bias=True),
        ("relu2", "ReLU", {}),
    ]
    return random_net([*layers, *head(rng, b)], rng)


def normalized_net(rng: np.random.Generator) -> NetSpec:
    """Una BatchNorm tras cada convolución."""
    a, b = widths(rng)
    layers = [
        conv("conv1", 3, a),
        ("bn1", "BatchNorm2d", {"num_features": a, "eps": EPSILON}),
        ("relu1", "ReLU", {}),
        conv("conv2", a, b),
        ("bn2", "BatchNorm2d", {"num_features": b, "eps": EPSILON}),
        ("relu2", "ReLU", {}),
    ]
    return random_net([*layers, *head(rng, b)], rng)


def pooled_net(rng: np.random.Generator, **pool: Any) -> NetSpec:
    """Un *max-pooling* tras cada ReLU."""
    a, b = widths(rng)
    layers = [
        conv("conv1", 3, a),
        ("relu1", "ReLU", {}),
        ("pool1", "MaxPool2d", pool),
        conv("conv2", a, b),
        ("relu2", "ReLU", {}),
        ("pool2", "MaxPool2d", {"kernel_size": 2}),
    ]
    return random_net([*layers, *head(rng, b)], rng)


def strided_net(rng: np.random.Generator) -> NetSpec:
    """Convoluciones con paso, sin relleno en la primera y con él en la segunda."""
    a, b = widths(rng)
    layers = [
        conv("conv1", 3, a, kernel_size=4, stride=2, padding=0),
        ("relu1", "ReLU", {}),
        conv("conv2", a, b, stride=2),
        ("relu2", "ReLU", {}),
    ]
    return random_net([*layers, *head(rng, b)], rng)


def full_net(rng: np.random.Generator) -> NetSpec:
    """Todo a la vez: paso, sesgo, BatchNorm y un *pooling* que se solapa."""
    a, b = widths(rng)
    layers = [
        conv("conv1", 3, a, stride=2, bias=True),
        ("bn1", "BatchNorm2d", {"num_features": a, "eps": EPSILON}),
        ("relu1", "ReLU", {}),
        ("pool1", "MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}),
        conv("conv2", a, b, bias=True),
        ("bn2", "BatchNorm2d", {"num_features": b, "eps": EPSILON}),
        ("relu2", "ReLU", {}),
    ]
    return random_net([*layers, *head(rng, b)], rng)


def activation(spec: NetSpec, x: np.ndarray, layer: str) -> np.ndarray:
    """La salida de una capa."""
    with torch.no_grad():
        return climb(spec.build(), torch.from_numpy(x), layer)[0].numpy()


def clear(spec: NetSpec, x: np.ndarray, layer: str, channel: int | np.ndarray) -> bool:
    """Si la unidad más activa lo es con holgura y la proyección no da un salto al mover la imagen un poco.

    Saltaría con un empate en la unidad o en los interruptores, y entonces dos soluciones correctas podrían diferir.
    """
    chosen = activation(spec, x, layer)[np.arange(len(x)), channel].reshape(len(x), -1)
    second, first = np.sort(chosen, axis=1)[:, -2:].T
    if (first < 0.05).any() or (first - second < 0.01 * first).any():
        return False
    model, image = spec.build(), torch.from_numpy(x)
    at = torch.from_numpy(channel) if isinstance(channel, np.ndarray) else channel
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1e-6, x.shape).astype(x.dtype))
    one, two = (project(model, moved, layer, at) for moved in (image, image + noise))
    return bool((one - two).abs().max() < 1e-3 * one.abs().max())
