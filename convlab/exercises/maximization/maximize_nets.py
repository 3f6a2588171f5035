"""Redes de los casos de `maximize`: de casi todas se sabe hasta dónde se puede subir."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from convlab.exercises.nets import Layer, NetSpec, random_net

Size = tuple[int, int]


def _net(layers: list[Layer], state: dict[str, np.ndarray]) -> NetSpec:
    return NetSpec(tuple(layers), state, "float64")


def conv_net(rng: np.random.Generator, *, inplace: bool = False, dtype: str = "float64") -> NetSpec:
    """Una red con pesos al azar, de la que no se sabe el máximo."""
    width, channels = (int(n) for n in rng.permutation([5, 6, 7])[:2])
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": width, "kernel_size": 3, "padding": 1}),
        ("bn1", "BatchNorm2d", {"num_features": width}),
        ("relu1", "ReLU", {"inplace": inplace}),
        ("conv2", "Conv2d", {"in_channels": width, "out_channels": channels, "kernel_size": 3, "stride": 2}),
        ("relu2", "ReLU", {"inplace": inplace}),
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": channels, "out_features": 6}),
    ]
    return random_net(layers, rng, dtype)


def single_channel(rng: np.random.Generator, sign: int) -> NetSpec:
    """Una convolución de un solo canal con todos los pesos de ese signo: lo enciende el blanco, o el negro."""
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": 1, "kernel_size": 3, "padding": 1, "bias": False}),
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
    ]
    return _net(layers, {"conv1.weight": sign * rng.uniform(0.5, 1.5, (1, 3, 3, 3))})


def _direction(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Pesos del mismo signo: el máximo es la imagen blanca, o la negra."""
    weights: np.ndarray = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1])
    return weights


def opposed_channels(rng: np.random.Generator, channel: int) -> NetSpec:
    """Una convolución cuyos demás canales quieren lo contrario que el pedido, y con más fuerza."""
    w = _direction(rng, (3, 3, 3))
    scale = np.array([-3.0, -2.0, -4.0, -3.0])
    scale[channel] = 1
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "bias": False}),
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
    ]
    return _net(layers, {"conv1.weight": scale[:, None, None, None] * w})


def stronger_rival(rng: np.random.Generator, channel: int) -> NetSpec:
    """Logits en que una clase sube siempre con la pedida y el triple: su probabilidad solo sube si el logit baja."""
    w = rng.uniform(0.5, 1.5, 3)  # positivos: con imágenes en [0, 1], la otra clase gana siempre
    weight = rng.normal(0, 0.1, (5, 3))
    weight[channel], weight[(channel + 1) % 5] = w, 3 * w
    layers: list[Layer] = [
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("fc", "Linear", {"in_features": 3, "out_features": 5, "bias": False}),
    ]
    return _net(layers, {"fc.weight": weight})


def peaked(rng: np.random.Generator, channel: int) -> NetSpec:
    """Un canal que vale −Σ aᵢ |xᵢ − c|: su máximo, 0, está en el gris c, dentro de [0, 1]."""
    level = 0.5 + rng.uniform(0.18, 0.25) * rng.choice([-1, 1])
    first = np.concatenate([np.eye(3), -np.eye(3)])[:, :, None, None]
    second = rng.normal(0, 0.3, (3, 6, 1, 1))
    second[channel, :, 0, 0] = -np.tile(rng.uniform(0.5, 1.5, 3), 2)
    conv = {"kernel_size": 1}
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": 6, **conv}),
        ("relu1", "ReLU", {}),
        ("conv2", "Conv2d", {"in_channels": 6, "out_channels": 3, "bias": False, **conv}),
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
    ]
    bias = np.repeat([-level, level], 3)
    return _net(layers, {"conv1.weight": first, "conv1.bias": bias, "conv2.weight": second})


def striped(rng: np.random.Generator, channel: int, size: Size) -> NetSpec:
    """Una neurona que quiere rayas de periodo 4: moverlas dos píxeles las vuelve del revés."""
    wave = np.cos(np.pi / 2 * np.arange(size[1])) + np.sin(np.pi / 2 * np.arange(size[1]))
    colors = _direction(rng, (3,))
    weight = rng.normal(0, 0.1, (3, 3, *size))
    weight[channel] = colors[:, None, None] * wave
    layers: list[Layer] = [
        ("flatten", "Flatten", {}),
        ("fc", "Linear", {"in_features": 3 * size[0] * size[1], "out_features": 3, "bias": False}),
    ]
    return _net(layers, {"fc.weight": weight.reshape(3, -1)})


def activation(model: nn.Module, x: Tensor, layer: str, channel: int) -> Tensor:
    """La media espacial del canal, una por imagen. Con un gancho sin más, que se llama cientos de veces."""
    kept: list[Tensor] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output.clone()))
    try:
        with torch.no_grad():
            model(x)
    finally:
        hook.remove()
    return kept[0][:, channel].reshape(len(x), -1).mean(1)
