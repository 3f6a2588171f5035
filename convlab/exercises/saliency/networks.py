"""Redes e imágenes de los casos de esta lección: lineales, con capas y suaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab.exercises.nets import Layer, NetSpec, images, losing_classes, random_net
from convlab.hooks import input_gradient

Target = int | Tensor


def linear_net(rng: np.random.Generator, height: int, width: int, *, positive: bool = False) -> NetSpec:
    """Una capa lineal sobre la imagen aplanada: su gradiente son los pesos de la clase, en todas partes.

    Con `positive` todos los pesos son positivos, y ni un valor absoluto ni un signo cambian nada.
    """
    inputs, classes = 3 * height * width, int(rng.integers(4, 7))
    spec = random_net(
        [("flatten", "Flatten", {}), ("fc", "Linear", {"in_features": inputs, "out_features": classes})], rng
    )
    if positive:
        spec = replace(spec, state=spec.state | {"fc.weight": np.abs(spec.state["fc.weight"]) + 0.1 / inputs**0.5})
    return spec


def class_weights(spec: NetSpec, target: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Los pesos de la clase de cada imagen en una red lineal, con la forma `(N, 3, H, W)` de las imágenes."""
    rows = spec.state["fc.weight"][target] * np.ones((shape[0], 1))
    return rows.reshape(shape)


def relu_net(rng: np.random.Generator, *, stride: int = 1, inplace: bool = False) -> NetSpec:
    """Convoluciones con BatchNorm, ReLU y *max-pooling*. Sin dropout: en modo `train` tampoco hay azar."""
    return _conv_net(rng, stride, ("ReLU", {"inplace": inplace}), "MaxPool2d")


def smooth_net(rng: np.random.Generator, dtype: str = "float64") -> NetSpec:
    """La misma sin un solo pico: en float32, el redondeo no puede cambiar el gradiente de golpe."""
    return _conv_net(rng, 1, ("Softplus", {}), "AvgPool2d").astype(dtype)


def losing_case(rng: np.random.Generator, n: int, **options: Any) -> dict[str, Any]:
    """Una red con ReLU, imágenes y una clase que la red no elegiría en ninguna, con un gradiente que se nota."""
    while True:
        spec, x = relu_net(rng, **options), images(rng, n)
        losers = common_losers(spec, x)
        if losers and alive(spec, x, target := int(rng.choice(losers))):
            return {"model": spec, "x": x, "target": target}


def alive(spec: NetSpec, x: np.ndarray, target: Any) -> bool:
    """Si la clase llega a cada imagen por muchos píxeles y a cada una por su lado: hay redes con casi todo apagado."""
    classes = torch.from_numpy(target) if isinstance(target, np.ndarray) else target
    gradient = input_gradient(spec.build(), torch.from_numpy(x), logit(classes))
    reached = (gradient.abs().amax(1) > 1e-6).double().mean((1, 2))
    apart = all(
        float((a - b).abs().max()) > 0.1 * float(a.abs().max()) for k, a in enumerate(gradient) for b in gradient[:k]
    )
    return bool(reached.min() > 0.3) and apart


def common_losers(spec: NetSpec, x: np.ndarray) -> list[int]:
    """Las clases que la red no elegiría en ninguna de las imágenes."""
    return sorted(set.intersection(*(set(options.tolist()) for options in losing_classes(spec, x))))


def logit(target: Target) -> Any:
    """Puntuación: el logit de la clase de cada imagen."""
    return lambda logits: logits[torch.arange(len(logits)), target]


def first(target: Target) -> int:
    """La clase de la primera imagen."""
    return int(target[0]) if isinstance(target, Tensor) else target


def leave_gradients(model: nn.Module, x: Tensor, target: Target) -> None:
    """Lo que deja tras de sí un `.backward()` en los parámetros de la red."""
    with torch.enable_grad():
        score = logit(target)(model(x)).sum()
    if score.requires_grad:
        score.backward()


def _conv_net(rng: np.random.Generator, stride: int, act: tuple[str, dict[str, Any]], pool: str) -> NetSpec:
    one, two = (int(c) for c in rng.permutation([4, 5, 6, 7])[:2])
    conv = {"kernel_size": 3, "padding": 1}
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": one, "stride": stride, **conv}),
        ("bn1", "BatchNorm2d", {"num_features": one}),
        ("act1", *act),
        ("pool1", pool, {"kernel_size": 2}),
        ("conv2", "Conv2d", {"in_channels": one, "out_channels": two, **conv}),
        ("act2", *act),
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("fc", "Linear", {"in_features": two, "out_features": int(rng.integers(5, 8))}),
    ]
    return random_net(layers, rng)
