"""Lección 04: recuperación de imágenes, qué otras ve parecidas la red y con qué acierto.

De la activación a la incrustación y a los vecinos (`neighbors`), las medidas del acierto, y un índice que se guarda en
disco (`index`). Recuperar bien es poner las imágenes relevantes antes que las demás: las medidas solo miran ese orden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.retrieval.index import ImageIndex
from convlab.retrieval.neighbors import check_similarity, cosine_similarity, embed, features, top_k

__all__ = [
    "ImageIndex",
    "average_precision",
    "cosine_similarity",
    "embed",
    "features",
    "mean_average_precision",
    "precision_at_k",
    "recall_at_k",
    "top_k",
]

_BLOCK = 1 << 22  # elementos de la matriz que se ordenan a la vez


def precision_at_k(relevant: Tensor, k: int) -> Tensor:
    """Precisión: la fracción de los `k` primeros resultados que son relevantes.

    Parameters
    ----------
    relevant
        Booleano `(..., n)`: si cada resultado es relevante, del más parecido al menos.
    k
        Cuántos se miran, de 1 a `n`.

    Returns
    -------
    Tensor
        float32 `(...)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si `relevant` no es booleano o no hay `k` resultados.

    Examples
    --------
    >>> precision_at_k(torch.tensor([[True, False, True, True]]), 2)
    tensor([0.5000])
    """
    return _hits(relevant, k).float() / k


def recall_at_k(relevant: Tensor, k: int, total_relevant: int | Tensor) -> Tensor:
    """Exhaustividad: la fracción de todo lo relevante que aparece entre los `k` primeros resultados.

    Parameters
    ----------
    relevant
        Booleano `(..., n)`: si cada resultado es relevante, del más parecido al menos.
    k
        Cuántos se miran, de 1 a `n`.
    total_relevant
        Cuántas imágenes relevantes hay en la base, aparezcan o no: un número, o un tensor entero `(...)`.

    Returns
    -------
    Tensor
        float32 `(...)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si `relevant` no es booleano, no hay `k` resultados, o `total_relevant` es cero o menor que los que aparecen.

    Examples
    --------
    >>> recall_at_k(torch.tensor([[True, False, True, True]]), 2, total_relevant=4)
    tensor([0.2500])
    """
    hits = _hits(relevant, k)
    total = torch.as_tensor(total_relevant, device=hits.device)
    if total.ndim and total.shape != hits.shape:
        raise ConvlabError(
            f"`total_relevant` debe ser un número o un tensor {tuple(hits.shape)}, uno por consulta, y llegó "
            f"{tuple(total.shape)}."
        )
    _check_total(relevant.sum(-1), total)
    return hits.float() / total


def average_precision(relevant: Tensor, total_relevant: int) -> float:
    r"""Precisión media de una consulta: la media de la precisión en el puesto de cada imagen relevante.

    $$\mathrm{AP} = \frac{1}{R} \sum_{i\,\text{relevante}} \frac{\text{relevantes entre los } i \text{ primeros}}{i}$$

    Se divide por $R$, todas las relevantes de la base: las que no aparecen en la lista aportan cero. Vale 1 solo si
    todas van delante.

    Parameters
    ----------
    relevant
        Booleano `(k,)`: si cada resultado es relevante, del más parecido al menos.
    total_relevant
        Cuántas imágenes relevantes hay en la base, aparezcan o no en la lista.

    Returns
    -------
    float
        En [0, 1].

    Raises
    ------
    ConvlabError
        Si `relevant` no es un vector booleano, o `total_relevant` es cero (no hay nada que recuperar y la medida no
        existe) o menor que los que aparecen.

    Examples
    --------
    >>> average_precision(torch.tensor([True, False, True]), total_relevant=2)  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    if relevant.ndim != 1 or relevant.dtype != torch.bool:
        raise ConvlabError(
            f"`relevant` debe ser un vector booleano (k,) y llegó un tensor {relevant.dtype} {tuple(relevant.shape)}. "
            "Para muchas consultas, usa mean_average_precision."
        )
    _check_total(relevant.sum(), torch.as_tensor(total_relevant))
    return float(_precision_sums(relevant.cpu()[None])[0] / int(total_relevant))


def mean_average_precision(
    similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool
) -> float:
    """Media, sobre las consultas, de la precisión media de toda la base ordenada por similitud.

    Es relevante la imagen con la misma etiqueta. A igual similitud va antes la de menor índice, como en `top_k`: si
    hay empates, el resultado depende del orden de la base. Las consultas sin ninguna imagen relevante no tienen
    precisión media y quedan fuera de la media.

    Parameters
    ----------
    similarity
        `(Q, D)`; cuanto mayor, más parecido.
    query_labels, database_labels
        Etiquetas enteras `(Q,)` y `(D,)`.
    exclude_self
        Si las consultas son la propia base, en el mismo orden, cada una se salta a sí misma: si no, su primer acierto
        sería un regalo.

    Returns
    -------
    float
        En [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas no casan, hay NaN, `exclude_self` con una matriz que no es cuadrada, o ninguna consulta tiene
        imágenes relevantes.

    Examples
    --------
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> similarity = torch.tensor([[1, 0.9, 0.1, 0], [0.9, 1, 0, 0.1], [0.1, 0, 1, 0.9], [0, 0.1, 0.9, 1]])
    >>> mean_average_precision(similarity, labels, labels, exclude_self=True)
    1.0
    """
    _check_labels(similarity, query_labels, database_labels, exclude_self)
    rows = max(1, _BLOCK // similarity.shape[1])
    database_labels = database_labels.to(similarity.device)
    sums, counts = [], []
    for first in range(0, len(similarity), rows):
        block = similarity[first : first + rows].detach()
        order = block.sort(dim=1, descending=True, stable=True).indices
        labels = query_labels[first : first + rows].to(similarity.device)
        if exclude_self:
            own = torch.arange(first, first + len(block), device=order.device)
            order = order[order != own[:, None]].view(len(block), order.shape[1] - 1)
        relevant = database_labels[order] == labels[:, None]
        sums.append(_precision_sums(relevant))
        counts.append(relevant.sum(1))
    total, count = torch.cat(sums).cpu().double(), torch.cat(counts).cpu()
    defined = count > 0
    if not bool(defined.any()):
        raise ConvlabError("Ninguna consulta tiene imágenes relevantes en la base: no hay nada que promediar.")
    return float((total[defined] / count[defined]).mean())


def _precision_sums(relevant: Tensor) -> Tensor:
    """Suma de la precisión en el puesto de cada acierto, por filas."""
    dtype = torch.float32 if relevant.device.type == "mps" else torch.float64  # MPS no tiene float64
    ranks = torch.arange(1, relevant.shape[1] + 1, device=relevant.device, dtype=dtype)
    return (relevant.cumsum(1) * relevant / ranks).sum(1)


def _hits(relevant: Tensor, k: int) -> Tensor:
    if relevant.ndim < 1 or relevant.dtype != torch.bool:
        raise ConvlabError(
            f"`relevant` debe ser booleano (..., n) y llegó un tensor {relevant.dtype} {tuple(relevant.shape)}."
        )
    n = relevant.shape[-1]
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n:
        raise ConvlabError(f"`k` debe ser un entero entre 1 y {n}, los resultados que hay, y llegó {k!r}.")
    return relevant[..., :k].sum(-1)


def _check_total(found: Tensor, total: Tensor) -> None:
    if total.is_floating_point() or total.dtype == torch.bool or bool((total < 1).any()):
        raise ConvlabError(
            f"`total_relevant` debe ser un entero desde 1 y llegó {total.tolist()}. Una consulta sin nada relevante en "
            "la base no tiene precisión media ni exhaustividad: déjala fuera."
        )
    if bool((found.to(total.device) > total).any()):
        raise ConvlabError(
            f"En los resultados hay más relevantes ({int(found.max())}) que en toda la base según `total_relevant` "
            f"({int(total.min())}). Cuenta todas las de la base, sin la propia consulta."
        )


def _check_labels(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> None:
    check_similarity(similarity)
    shapes = tuple(query_labels.shape), tuple(database_labels.shape)
    rows, columns = similarity.shape
    if shapes != ((rows,), (columns,)):
        raise ConvlabError(
            f"Con similitudes {rows}×{columns} se esperaban etiquetas ({rows},) y ({columns},), y llegaron "
            f"{shapes[0]} y {shapes[1]}."
        )
    if rows == 0 or columns == 0:
        raise ConvlabError("La matriz de similitudes está vacía: hace falta al menos una consulta y una imagen.")
    if exclude_self and rows != columns:
        raise ConvlabError(
            f"`exclude_self` supone que las consultas son la propia base, y hay {rows} consultas y {columns} imágenes. "
            "Usa exclude_self=False."
        )
