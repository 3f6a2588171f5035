"""Otras maneras correctas de escribir `top_k`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right


@_right
def _python_sort(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    rows = []
    for i, row in enumerate(similarity.tolist()):
        skipped = -1 if exclude is None else int(exclude[i])
        columns = [j for j in range(len(row)) if j != skipped]
        rows.append(sorted(columns, key=lambda j, row=row: -row[j])[:k])  # type: ignore[misc]
    return torch.tensor(rows, device=similarity.device)


@_right
def _filtered_order(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    order = similarity.argsort(dim=1, descending=True, stable=True)
    if exclude is not None:
        order = order[order != exclude[:, None]].reshape(len(order), -1)
    return order[:, :k].clone()


@_right
def _one_by_one(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    """Se escoge el máximo k veces; `argmax` da el primero de los que empatan."""
    left = np.array(similarity.detach().cpu(), dtype=np.float64)
    every = np.arange(len(left))
    if exclude is not None:
        left[every, exclude.cpu().numpy()] = -np.inf
    chosen = np.empty((len(left), k), dtype=np.int64)
    for place in range(k):
        chosen[:, place] = left.argmax(1)
        left[every, chosen[:, place]] = -np.inf
    return torch.from_numpy(chosen).to(similarity.device)


@_right
def _ranks(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    """El puesto de cada columna es cuántas le ganan."""
    values = similarity.clone()
    if exclude is not None:
        values.scatter_(1, exclude[:, None], -torch.inf)
    columns = torch.arange(values.shape[1])
    above = values[:, None, :] > values[:, :, None]
    earlier = (values[:, None, :] == values[:, :, None]) & (columns[None, :] < columns[:, None])
    rank = (above | earlier).sum(2)
    return rank.argsort(dim=1)[:, :k].clone()


VARIANTS = _catalogue.variants
