"""Piezas del ascenso de gradiente sobre una imagen: la vista al azar y Adam."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Adam", "transform"]


class Adam:
    """Adam, cuesta arriba. A mano: la clase de torch carga su compilador, que tarda más que muchas maximizaciones.

    Parameters
    ----------
    z
        Los parámetros iniciales, reales: fija la forma, el tipo y el dispositivo.
    lr
        Tamaño del paso.
    """

    def __init__(self, z: Tensor, lr: float) -> None:
        self.mean, self.square, self.lr, self.count = torch.zeros_like(z), torch.zeros_like(z), lr, 0

    def step(self, z: Tensor, gradient: Tensor) -> Tensor:
        """Los parámetros tras un paso."""
        self.count += 1
        self.mean = torch.lerp(self.mean, gradient, 0.1)
        self.square = torch.lerp(self.square, gradient.square(), 0.001)
        mean, square = self.mean / (1 - 0.9**self.count), self.square / (1 - 0.999**self.count)
        return z + self.lr * mean / (square.sqrt() + 1e-12)


def transform(image: Tensor, shift: tuple[int, int], degrees: float, factor: float) -> Tensor:
    """Desplaza (en círculo), gira y amplía una imagen; fuera de ella se ve su reflejo.

    Parameters
    ----------
    image
        `(N, C, H, W)`.
    shift
        Píxeles hacia abajo y hacia la derecha.
    degrees
        Giro, en sentido antihorario.
    factor
        Ampliación: con 2, el doble de grande. Sin giro ni ampliación los píxeles solo cambian de sitio.

    Examples
    --------
    >>> transform(torch.tensor([[[[1.0, 2.0, 3.0]]]]), (0, 1), 0.0, 1.0)
    tensor([[[[3., 1., 2.]]]])
    """
    image = image.roll(shift, (2, 3))
    if degrees == 0 and factor == 1:
        return image
    height, width = image.shape[2:]
    cos, sin = math.cos(math.radians(degrees)) / factor, math.sin(math.radians(degrees)) / factor
    # affine_grid mide cada eje en mitades de su lado: si no son iguales, el giro se corrige.
    rows = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    theta = torch.tensor(rows, device=image.device, dtype=image.dtype).expand(len(image), 2, 3)
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)
