"""Otras maneras correctas de escribir `mean_average_precision`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right


@_right
def _python_loops(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    labels, scores = database_labels.tolist(), []
    for i, (row, label) in enumerate(zip(similarity.tolist(), query_labels.tolist(), strict=True)):
        columns = [j for j in range(len(row)) if not exclude_self or j != i]
        columns.sort(key=lambda j, row=row: -row[j])  # type: ignore[misc]
        hits, total = 0, 0.0
        for place, j in enumerate(columns, start=1):
            if labels[j] == label:
                hits += 1
                total += hits / place
        if hits:
            scores.append(total / hits)
    return sum(scores) / len(scores)


@_right
def _whole_matrix(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    """La propia consulta se va al final y deja de ser relevante: el final no mueve los puestos de las demás."""
    values = similarity.clone()
    relevant = query_labels[:, None] == database_labels[None]
    if exclude_self:
        values.fill_diagonal_(-torch.inf)
        relevant.fill_diagonal_(False)
    order = values.sort(dim=1, descending=True, stable=True).indices
    relevant = relevant.gather(1, order)
    precision = relevant.cumsum(1).double() / torch.arange(1, relevant.shape[1] + 1)
    totals = relevant.sum(1)
    scores = (precision * relevant).sum(1)[totals > 0] / totals[totals > 0]
    return scores.mean().item()


@_right
def _places_by_counting(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    """Sin ordenar: el puesto de cada imagen es cuántas van delante de ella."""
    values, base = np.asarray(similarity.detach().cpu(), dtype=np.float64), database_labels.cpu().numpy()
    columns, scores = np.arange(len(base)), []
    for i, label in enumerate(query_labels.tolist()):
        kept = columns != i if exclude_self else columns >= 0
        row, same = values[i][kept], base[kept] == label
        index = np.arange(len(row))
        before = (row[None] > row[:, None]) | ((row[None] == row[:, None]) & (index[None] < index[:, None]))
        place = before.sum(1) + 1
        if same.any():
            scores.append(np.mean([(place[same] <= p).sum() / p for p in place[same]]))
    return float(np.mean(scores))


VARIANTS = _catalogue.variants
