"""Una red que recibe imágenes en [0, 1] y normaliza ella misma."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Resta la media y divide por la desviación típica de cada canal.

    Parameters
    ----------
    mean, std
        Un valor por canal, en las unidades de la imagen ([0, 1]).

    Examples
    --------
    >>> Normalize([0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
    2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Son constantes, no pesos: siguen al modelo de dispositivo y de tipo, pero no se guardan con él.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normaliza ``(N, C, H, W)`` sin modificar la entrada."""
        return (x - self.mean) / self.std


class Normalized(nn.Module):
    """Une una normalización y una red; las capas de la red se nombran ``net.…``.

    Parameters
    ----------
    normalize
        Lo que se aplica primero a las imágenes ``(N, 3, H, W)`` en [0, 1].
    net
        La red, que recibe imágenes normalizadas y devuelve logits ``(N, K)``.
    input_size
        Lado, en píxeles, de las imágenes con las que se entrenó la red.

    Examples
    --------
    >>> model = Normalized(Normalize([0.5] * 3, [0.5] * 3), nn.Flatten(), input_size=2)
    >>> model(torch.zeros(1, 3, 2, 2)).unique()
    tensor([-1.])
    """

    def __init__(self, normalize: nn.Module, net: nn.Module, *, input_size: int = 224) -> None:
        super().__init__()
        self.normalize = normalize
        self.net = net
        self.input_size = input_size

    def forward(self, x: Tensor) -> Tensor:
        """Devuelve los logits ``(N, K)`` de imágenes en [0, 1]."""
        logits: Tensor = self.net(self.normalize(x))
        return logits
