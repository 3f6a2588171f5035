"""Búsqueda exacta de los vectores más próximos, por bloques y con la memoria acotada."""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.retrieval.neighbors import highest

_BLOCK = 1 << 22  # elementos de cada tabla intermedia
_PART = 512  # filas que se pasan a float64 a la vez, para que quepan en la caché
_FEW = 4


def nearest(queries: Tensor, database: Tensor, k: int, metric: str) -> Tensor:
    """Filas de la base más próximas a cada consulta, `(Q, k)`; `rank` decide después su orden exacto."""
    rows = max(1, _BLOCK // max(len(queries), database.shape[1]))
    scores = positions = None
    for first in range(0, len(database), rows):
        block = _closeness(queries, database[first : first + rows], metric)
        columns = highest(block, min(k, block.shape[1]))
        block, columns = block.gather(1, columns), columns + first
        if scores is not None and positions is not None:
            # Lo de antes va delante: a igual valor, `highest` elige lo que está antes en la base.
            block, columns = torch.cat([scores, block], 1), torch.cat([positions, columns], 1)
            kept = highest(block, min(k, block.shape[1]))
            block, columns = block.gather(1, kept), columns.gather(1, kept)
        scores, positions = block, columns
    assert positions is not None
    return positions


def rank(
    queries: Tensor, database: Tensor, positions: Tensor, k: int, metric: str, skip: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Los `k` mejores de los candidatos: su valor exacto, recalculado en float64, y su fila en la base.

    A igual valor va antes la fila menor. `skip` es la fila `(Q,)` que cada consulta no quiere.
    """
    positions = positions.sort(dim=1).values
    found, wanted = database[positions].to(_wide(queries)), queries[:, None].to(_wide(queries))
    if metric == "cosine":
        values = closeness = (found * wanted).sum(2).clamp(-1, 1).float()
    else:
        values = (found - wanted).norm(dim=2).float()
        closeness = -values
    if skip is not None:
        closeness = torch.where(positions == skip[:, None], -torch.inf, closeness)
    order = closeness.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return values.gather(1, order), positions.gather(1, order)


def _closeness(queries: Tensor, block: Tensor, metric: str) -> Tensor:
    """Cuanto mayor, más cerca: el coseno, o el opuesto de la distancia o de su cuadrado."""
    if metric == "cosine":
        return queries @ block.T
    # Restar cuadrados casi iguales pierde cifras: en float32 se perderían los vecinos más próximos. Con pocas consultas
    # sale más barato restar los vectores; con muchas, multiplicar matrices en float64.
    if len(queries) <= _FEW:
        return -torch.cdist(queries, block, compute_mode="donot_use_mm_for_euclid_dist")
    queries = queries.to(_wide(queries))
    norms = (queries**2).sum(1, keepdim=True)
    parts = (part.to(queries.dtype) for part in block.split(_PART))
    return torch.cat([(2 * queries @ part.T - (part**2).sum(1) - norms).float() for part in parts], 1)


def _wide(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64  # MPS no tiene float64
