"""Otras maneras de escribir bien la curva de borrado."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Target = int | Tensor
Value = float | str


@_right
def _image_by_image(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    """Con las listas de Python: se ordenan los píxeles y se borran de uno en uno en una copia."""
    total = [0.0] * (steps + 1)
    for n in range(len(x)):
        k = target if isinstance(target, int) else int(target[n])
        ordered = sorted((-heat, place) for place, heat in enumerate(saliency[n].flatten().tolist()))
        places = [divmod(place, x.shape[3]) for _, place in ordered]
        work, color, done = x[n : n + 1].clone(), x[n].mean((1, 2)), 0
        for step in range(steps + 1):
            while done < round(step * len(places) / steps):
                i, j = places[done]
                work[0, :, i, j] = color if isinstance(value, str) else value
                done += 1
            total[step] += float(F.softmax(model(work), dim=1)[0, k])
    return torch.tensor([t / len(x) for t in total], dtype=x.dtype, device=x.device)


@_right
def _ranks(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    """Con el puesto de cada píxel y todas las versiones en una sola pasada."""
    n, c, h, w = x.shape
    rank = (-saliency.reshape(n, -1)).argsort(dim=1, stable=True).argsort(dim=1).reshape(n, 1, 1, h, w)
    counts = torch.tensor([round(k * h * w / steps) for k in range(steps + 1)], device=x.device)
    gone = (rank < counts.reshape(1, -1, 1, 1, 1)).to(x.dtype)
    fill = x.mean(dim=(2, 3), keepdim=True) if value == "mean" else torch.full_like(x, float(value))
    versions = (1 - gone) * x[:, None] + gone * fill[:, None]
    log = model(versions.reshape(-1, c, h, w)).log_softmax(dim=-1).reshape(n, steps + 1, -1)
    index = torch.as_tensor(target, device=x.device).expand(n).reshape(n, 1, 1).expand(n, steps + 1, 1)
    return log.gather(2, index).exp()[..., 0].mean(dim=0)


@_right
def _with_numpy(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    """Con `lexsort` y una imagen que se va borrando, siempre una copia."""
    n, pixels = len(x), saliency[0].numel()
    heat, work = saliency.cpu().numpy().reshape(n, -1), x.cpu().numpy().reshape(n, 3, -1).copy()
    order = np.stack([np.lexsort((np.arange(pixels), -row)) for row in heat])
    color = work.mean(2, keepdims=True) if value == "mean" else np.full((n, 3, 1), value, work.dtype)
    points, before = [], 0
    for step in range(steps + 1):
        after = round(step / steps * pixels)
        for k in range(n):
            work[k][:, order[k, before:after]] = color[k]
        before = after
        with torch.no_grad():
            powers = model(torch.from_numpy(work.copy()).reshape(x.shape).to(x)).double()
        powers = (powers - powers.amax(1, keepdim=True)).exp()
        points.append((powers[torch.arange(n), target] / powers.sum(1)).sum() / n)
    return torch.stack(points).to(x.dtype)
