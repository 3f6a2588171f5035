"""Otras maneras correctas de medir la orientación que prefiere un filtro."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right

Angles = Tensor | Sequence[float]


@_right
def _weight_by_weight(weight: Tensor, angles: Angles) -> Tensor:
    count, _, k, _ = weight.shape
    result = weight.new_zeros(count, len(angles))
    for o, kernel in enumerate(weight.sum(1).tolist()):
        for a, angle in enumerate(float(angle) for angle in angles):
            for m in range(1, k // 2 + 1):
                response = 0j
                for y in range(k):
                    for x in range(k):
                        distance = x * math.sin(angle) + y * math.cos(angle)
                        response += kernel[y][x] * cmath.exp(2j * math.pi * m / k * distance)
                result[o, a] += abs(response) ** 2
    return result


@_right
def _by_rows_and_columns(weight: Tensor, angles: Angles) -> Tensor:
    """La rejilla compleja es el producto de una onda por filas y otra por columnas."""
    k = weight.shape[-1]
    theta = torch.as_tensor(angles, dtype=torch.float64)
    turns = 2j * math.pi * torch.arange(1, k // 2 + 1, dtype=torch.float64)[:, None, None] / k
    steps = torch.arange(k, dtype=torch.float64)
    down, across = (torch.exp(turns * slope[:, None] * steps) for slope in (theta.cos(), theta.sin()))
    gray = weight.sum(1).to(torch.complex128)
    return torch.einsum("oyx,may,max->moa", gray, down, across).abs().square().sum(0).to(weight.dtype)


@_right
def _averaging_phases(weight: Tensor, angles: Angles) -> Tensor:
    """Sin cuadratura: el doble de la media de los cuadrados con la rejilla en ocho fases."""
    k = weight.shape[-1]
    theta = torch.as_tensor(angles, dtype=weight.dtype).reshape(-1, 1, 1)
    y, x = torch.meshgrid(torch.arange(k) - k // 2, torch.arange(k) - k // 2, indexing="ij")
    total = weight.new_zeros(len(weight), len(theta))
    for m in range(1, k // 2 + 1):
        for phase in range(8):
            wave = torch.cos(2 * math.pi * m / k * (x * theta.sin() + y * theta.cos()) + phase * math.pi / 4)
            gratings = wave[:, None].expand(-1, weight.shape[1], -1, -1)
            total += F.conv2d(gratings, weight)[:, :, 0, 0].T.square() / 4
    return total


@_right
def _with_numpy(weight: Tensor, angles: Angles) -> Tensor:
    gray = weight.numpy().sum(1).astype("float64")
    k = gray.shape[-1]
    y, x = np.mgrid[:k, :k]
    columns = []
    for angle in np.asarray(angles, dtype="float64"):
        phase = 2 * np.pi / k * (x * np.sin(angle) + y * np.cos(angle))
        waves = [np.exp(1j * m * phase) for m in range(1, k // 2 + 1)]
        columns.append(sum(np.abs((gray * wave).sum((1, 2))) ** 2 for wave in waves))
    return torch.from_numpy(np.stack(columns, 1)).to(weight.dtype)


VARIANTS = _catalogue.variants
