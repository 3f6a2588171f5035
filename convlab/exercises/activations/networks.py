"""Las redes de los casos de esta lección: secuenciales, y otra con bloques que se parece a las del curso."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from convlab.exercises.nets import Layer, NetSpec, random_net

_BLOCKS = {"block1": ("conv1", "bn1", "relu1", "pool1"), "block2": ("conv2", "bn2", "relu2")}

EVERY_MODULE = (
    "",
    *(f"{block}{part}" for block, parts in _BLOCKS.items() for part in ["", *(f".{name[:-1]}" for name in parts)]),
    "drop",
    "fc",
)


class _BlockNet(nn.Module):
    """Bloques con nombres con puntos, y operaciones que no son módulos: encadenar sus hijos no da lo mismo."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        for block, names in _BLOCKS.items():
            parts = OrderedDict((name[:-1], layers.get_submodule(name)) for name in names)
            self.add_module(block, nn.Sequential(parts))
        self.drop, self.fc = layers.get_submodule("drop"), layers.get_submodule("fc")

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 0.5) / 0.25
        x = self.get_submodule("block2")(self.get_submodule("block1")(x))
        logits: Tensor = self.fc(self.drop(x.mean((2, 3))))
        return logits


@dataclass(frozen=True)
class Blocks:
    """Una red con bloques, y los módulos que llegan en modo `train`."""

    net: NetSpec
    training: tuple[str, ...] = ()

    @property
    def dtype(self) -> str:
        """El de la red."""
        return self.net.dtype

    def __str__(self) -> str:
        mode = "eval"
        if self.training:
            kept = [name for name in EVERY_MODULE if name not in self.training]
            mode = f"train, menos {', '.join(kept)}" if kept else "train"
        return f"red en modo {mode} con los módulos block1.conv, .bn, .relu, .pool; block2.conv, .bn, .relu; drop; fc"

    def build(self) -> nn.Module:
        """La red, recién hecha."""
        model = _BlockNet(self.net.build()).eval()
        for name in self.training:
            model.get_submodule(name).training = True
        return model


def block_net(rng: np.random.Generator, *, training: tuple[str, ...] = ()) -> Blocks:
    """Una red con bloques de pesos genéricos."""
    first, second = (int(c) for c in rng.permutation([4, 5, 6, 7])[:2])
    conv = {"kernel_size": 3, "padding": 1}
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": first, **conv}),
        ("bn1", "BatchNorm2d", {"num_features": first}),
        ("relu1", "ReLU", {}),
        ("pool1", "MaxPool2d", {"kernel_size": 2}),
        ("conv2", "Conv2d", {"in_channels": first, "out_channels": second, "stride": 2, **conv}),
        ("bn2", "BatchNorm2d", {"num_features": second}),
        ("relu2", "ReLU", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": second, "out_features": int(rng.integers(8, 12))}),
    ]
    return Blocks(random_net(layers, rng), training)


def first_convolution(spec: NetSpec, x: np.ndarray) -> np.ndarray:
    """La salida de `conv1`, núcleo a núcleo y sin pasar por PyTorch: sin paso y con relleno de 1."""
    weight, bias = spec.state["conv1.weight"], spec.state["conv1.bias"]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.asarray(np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None])
