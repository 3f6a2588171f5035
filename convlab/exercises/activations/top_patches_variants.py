"""Otras maneras de encontrar bien los parches."""

from __future__ import annotations

import heapq

import numpy as np
import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Patches = list[tuple[int, int, int, int, int]]
Size = tuple[int, int] | None


@_right
def _tuples_sorted(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    entries = [
        (-float(value), n, i, j)
        for n, rows in enumerate(activations.tolist())
        for i, row in enumerate(rows)
        for j, value in enumerate(row)
    ]
    patches = []
    for _, n, i, j in heapq.nsmallest(k, entries):
        top, left = i * jump + offset, j * jump + offset
        height, width = size if size is not None else (10**9, 10**9)
        rows, columns = range(height)[max(top, 0) : top + receptive_field], range(width)[max(left, 0) :]
        columns = columns[: left + receptive_field - max(left, 0)]
        patches.append((n, rows.start, columns.start, rows.stop, columns.stop))
    return patches


@_right
def _with_numpy(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, size: Size = None
) -> Patches:
    values = activations.detach().cpu().double().numpy()
    order = np.argsort(-values, axis=None, kind="stable")[:k]
    n, *place = np.unravel_index(order, values.shape)
    first = np.stack(place, 1) * jump + offset
    after = first + receptive_field
    if size is not None:
        after = np.minimum(after, size)
    table = np.concatenate([n[:, None], np.maximum(first, 0), after], 1)
    return [tuple(row) for row in table]


@_right
def _maximum_by_maximum(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    left = activations.clone()
    patches = []
    for _ in range(k):
        n, i, j = (left == left.max()).nonzero()[0].tolist()
        left[n, i, j] = float("-inf")
        y = torch.arange(receptive_field) + i * jump + offset
        x = torch.arange(receptive_field) + j * jump + offset
        height, width = size or (int(y[-1]) + 1, int(x[-1]) + 1)
        y, x = y[(y >= 0) & (y < height)], x[(x >= 0) & (x < width)]  # los píxeles que de verdad existen
        patches.append((n, int(y[0]), int(x[0]), int(y[-1]) + 1, int(x[-1]) + 1))
    return patches


@_right
def _threshold_then_sort(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> list[list[int]]:
    """Con `topk` solo para el umbral, y listas en vez de tuplas."""
    level = activations.flatten().topk(k).values.min()
    places = (activations >= level).nonzero()
    values = activations[places.unbind(1)]
    chosen = places[values.argsort(descending=True, stable=True)[:k]]
    corner = chosen[:, 1:] * jump + offset
    opposite = corner + receptive_field
    if size is not None:
        opposite = torch.minimum(opposite, torch.tensor(size))
    return torch.cat([chosen[:, :1], corner.relu(), opposite], 1).tolist()
