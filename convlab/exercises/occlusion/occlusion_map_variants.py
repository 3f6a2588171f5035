"""Otras maneras de escribir bien el mapa de oclusión."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.occlusion import occlude

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Target = int | Tensor
Value = float | str


@_right
def _with_occlude(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    """Con dos bucles y la función del ejercicio anterior."""
    n, _, height, width = x.shape
    tops, lefts = list(range(0, height - patch + 1, stride)), list(range(0, width - patch + 1, stride))
    if tops[-1] + patch < height:
        tops.append(height - patch)
    if lefts[-1] + patch < width:
        lefts.append(width - patch)
    total, count = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    with torch.no_grad():
        clean = model(x)[torch.arange(n), target]
        for top in tops:
            for left in lefts:
                after = model(occlude(x, top, left, patch, value))[torch.arange(n), target]  # type: ignore[arg-type]
                total[:, top : top + patch, left : left + patch] += (clean - after).reshape(n, 1, 1)
                count[:, top : top + patch, left : left + patch] += 1
    return total / count


@_right
def _all_at_once(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    """Con todos los cuadrados como máscaras, una sola pasada y un producto."""
    n, c, h, w = x.shape
    tops, lefts = (
        torch.tensor([min(k * stride, side - patch) for k in range(-(-(side - patch) // stride) + 1)])
        for side in (h, w)
    )
    rows = (torch.arange(h) >= tops[:, None]) & (torch.arange(h) < tops[:, None] + patch)
    columns = (torch.arange(w) >= lefts[:, None]) & (torch.arange(w) < lefts[:, None] + patch)
    inside = (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, h, w).to(x)
    fill = x.mean((2, 3), keepdim=True) if value == "mean" else x.new_full((1, 1, 1, 1), float(value))
    versions = x[:, None] * (1 - inside[None, :, None]) + fill[:, None] * inside[None, :, None]
    index = torch.as_tensor(target).expand(n)
    after = model(versions.reshape(-1, c, h, w)).reshape(n, len(inside), -1)
    after = after.gather(2, index[:, None, None].expand(-1, len(inside), 1))[..., 0]
    drops = model(x).gather(1, index[:, None]) - after
    return torch.einsum("np,phw->nhw", drops, inside) / inside.sum(0)


@_right
def _restoring(model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value) -> Tensor:
    """Imagen por imagen, tapando y destapando una copia, con las cuentas en NumPy."""
    maps = []
    for n, image in enumerate(x):
        k = target if isinstance(target, int) else int(target[n])
        work = image.clone()[None]
        color = image.mean((1, 2)).reshape(3, 1, 1) if isinstance(value, str) else value
        before = model(work)[0, k].item()
        sides = [
            np.unique(np.append(np.arange(0, side - patch, stride), side - patch)).tolist() for side in image.shape[1:]
        ]
        total, count = np.zeros(image.shape[1:]), np.zeros(image.shape[1:])
        for i in sides[0]:
            for j in sides[1]:
                work[0, :, i : i + patch, j : j + patch] = color
                total[i : i + patch, j : j + patch] += before - model(work)[0, k].item()
                count[i : i + patch, j : j + patch] += 1
                work[0, :, i : i + patch, j : j + patch] = image[:, i : i + patch, j : j + patch]
        maps.append(torch.from_numpy(total / count).to(x.dtype))
    return torch.stack(maps)


@_right
def _transposed_convolution(
    model: nn.Module, x: Tensor, target: Target, patch: int, stride: int, value: Value
) -> Tensor:
    """Las caídas en sus esquinas, y un filtro de unos que las extiende y las cuenta."""
    n, _, h, w = x.shape
    corners = x.new_zeros(n, 1, h - patch + 1, w - patch + 1)
    used = torch.zeros_like(corners)
    pick = F.one_hot(torch.as_tensor(target), model(x).shape[1]).to(x.dtype)
    clean = (model(x).detach() * pick).sum(1)
    for top in {*range(0, h - patch, stride), h - patch}:
        for left in {*range(0, w - patch, stride), w - patch}:
            covered = occlude(x, top, left, patch, value)  # type: ignore[arg-type]
            corners[:, 0, top, left] = clean - (model(covered).detach() * pick).sum(1)
            used[:, 0, top, left] = 1
    square = x.new_ones(1, 1, patch, patch)
    return (F.conv_transpose2d(corners, square) / F.conv_transpose2d(used, square))[:, 0]
