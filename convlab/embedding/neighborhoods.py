"""Cuánto vale un mapa: qué vecindades conserva, cuánto agrupa las clases y cuánto se parece a otro mapa.

Los puntos y los mapas son `(N, D)` de coma flotante; los vecinos de un punto no lo incluyen. Entre vecinos a la misma
distancia el orden es arbitrario, salvo que algo se diga.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from convlab.embedding.points import check_points, exact_dtype, squared_distances
from convlab.errors import ConvlabError

__all__ = [
    "Purity",
    "Stability",
    "knn_purity",
    "nearest_points",
    "neighborhood_overlap",
    "procrustes_distance",
    "stability",
    "trustworthiness",
]


def nearest_points(y: Tensor, k: int) -> Tensor:
    """Índices de los `k` vecinos más próximos de cada punto, del más cercano al más lejano.

    Parameters
    ----------
    y
        Puntos `(N, D)`.
    k
        Desde 1 hasta N − 1.

    Returns
    -------
    Tensor
        int64 `(N, k)`.

    Raises
    ------
    ConvlabError
        Si `y` no es una matriz de números finitos o no hay `k` vecinos.

    Examples
    --------
    >>> nearest_points(torch.tensor([[0.0], [1.0], [5.0]]), 1)[:, 0]
    tensor([1, 0, 1])
    """
    d2 = squared_distances(y)
    if not 1 <= k < len(d2):
        raise ConvlabError(f"Con {len(d2)} puntos, `k` debe estar entre 1 y {len(d2) - 1} y llegó {k}.")
    return d2.fill_diagonal_(torch.inf).topk(k, largest=False).indices


def trustworthiness(x: Tensor, y: Tensor, k: int = 5) -> float:
    """Fiabilidad de un mapa: 1 si los `k` vecinos de cada punto en el mapa también lo son en los datos.

    Cada vecino intruso resta según su puesto en los datos. Un mapa al azar ronda 0,5. No dice si faltan vecinos: para
    eso, cámbiense de orden los argumentos (se llama entonces continuidad).

    Parameters
    ----------
    x
        Datos `(N, D)`.
    y
        Mapa `(N, d)`, en el mismo orden.
    k
        Vecinos, desde 1 y menos de N / 2.

    Returns
    -------
    float
        En [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas no casan o `k` no es válido.

    References
    ----------
    Venna y Kaski, «Neighborhood Preservation in Nonlinear Projection Methods», ICANN 2001.

    Examples
    --------
    >>> x = torch.randn(20, 3)
    >>> trustworthiness(x, 2 * x)
    1.0
    """
    _check_pair(x, y)
    n = len(x)
    if not 1 <= k < n / 2:
        raise ConvlabError(f"Con {n} puntos, `k` debe ser al menos 1 y menor que {n / 2:g}, y llegó {k}.")
    order = squared_distances(x).fill_diagonal_(torch.inf).argsort(1)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(1, n + 1, device=x.device).expand(n, n))
    excess = (rank.gather(1, nearest_points(y, k).to(x.device)) - k).clamp(min=0)
    return 1 - 2 * int(excess.sum()) / (n * k * (2 * n - 3 * k - 1))


class Purity(NamedTuple):
    """Lo que da `knn_purity`.

    Attributes
    ----------
    purity
        Fracción de los vecinos que son de la clase del punto.
    chance
        La que se espera si los vecinos fueran otros puntos cualesquiera.
    """

    purity: float
    chance: float


def knn_purity(y: Tensor, labels: Tensor, k: int = 10) -> Purity:
    """Pureza: de los `k` vecinos de un punto, sin contarlo a él, cuántos son de su clase.

    Parameters
    ----------
    y
        Puntos o mapa `(N, D)`.
    labels
        Clases, enteros `(N,)`.
    k
        Vecinos, desde 1 hasta N − 1.

    Returns
    -------
    Purity
        La pureza media y la del azar, ambas en [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas no casan o `k` no es válido.

    Examples
    --------
    >>> knn_purity(torch.tensor([[0.0], [1.0], [9.0], [10.0]]), torch.tensor([0, 0, 1, 1]), 1)
    Purity(purity=1.0, chance=0.3333333333333333)
    """
    labels = check_labels(y, labels).to(y.device)
    same = labels[nearest_points(y, k)] == labels[:, None]
    counts = labels.unique(return_counts=True)[1]
    n = len(labels)
    return Purity(int(same.sum()) / same.numel(), int((counts * (counts - 1)).sum()) / (n * (n - 1)))


def neighborhood_overlap(y_a: Tensor, y_b: Tensor, k: int = 10) -> float:
    """Qué fracción de los `k` vecinos de cada punto comparten dos mapas, o un mapa y sus datos.

    Parameters
    ----------
    y_a, y_b
        `(N, d)` de los mismos puntos, en el mismo orden; `d` puede no ser la misma.
    k
        Vecinos, desde 1 hasta N − 1.

    Returns
    -------
    float
        En [0, 1]; dos mapas al azar comparten `k / (N - 1)`.

    Raises
    ------
    ConvlabError
        Si no tienen los mismos puntos o `k` no es válido.

    Examples
    --------
    >>> y = torch.randn(20, 2)
    >>> neighborhood_overlap(y, 3 - 2 * y, 5)
    1.0
    """
    _check_pair(y_a, y_b)
    return _shared(nearest_points(y_a, k), nearest_points(y_b, k))


def procrustes_distance(y_a: Tensor, y_b: Tensor) -> float:
    """Lo que queda de diferencia entre dos mapas tras trasladar, girar, reflejar y escalar uno sobre el otro.

    Parameters
    ----------
    y_a, y_b
        `(N, d)` de los mismos puntos, en el mismo orden.

    Returns
    -------
    float
        Suma de cuadrados que no se explica, de 0 (el mismo mapa) a 1. Es simétrica.

    Raises
    ------
    ConvlabError
        Si las formas no son iguales o todos los puntos de un mapa coinciden.

    Examples
    --------
    >>> y = torch.randn(20, 2)
    >>> procrustes_distance(y, 3 - 2 * y.flip(1)) < 1e-6
    True
    """
    _check_pair(y_a, y_b)
    if y_a.shape != y_b.shape:
        raise ConvlabError(f"Los mapas {tuple(y_a.shape)} y {tuple(y_b.shape)} deben tener las mismas dimensiones.")
    a, b = (y.detach().to(y_a.device, exact_dtype(y_a)) for y in (y_a, y_b))
    a, b = a - a.mean(0), b - b.mean(0)
    scale = a.norm() * b.norm()
    if not bool(scale > 0):
        raise ConvlabError("Todos los puntos de un mapa coinciden, así que no hay forma que comparar.")
    return max(0.0, 1 - float(torch.linalg.svdvals(a.T @ b / scale).sum()) ** 2)


class Stability(NamedTuple):
    """Lo que da `stability`, comparando los mapas de dos en dos.

    Attributes
    ----------
    overlap
        `(M, M)`: fracción de vecinos que comparten.
    distance
        `(M, M)`: distancia de Procrustes.
    """

    overlap: Tensor
    distance: Tensor


def stability(maps: Sequence[Tensor], k: int = 10) -> Stability:
    """Cuánto se parecen varios mapas de los mismos puntos, hechos con distintas semillas o perplejidades.

    Lo que cambia de un mapa a otro no está en los datos. Los vecinos suelen repetirse aunque la disposición no lo haga.

    Parameters
    ----------
    maps
        M mapas `(N, d)`, al menos dos.
    k
        Vecinos, desde 1 hasta N − 1.

    Returns
    -------
    Stability
        Dos matrices simétricas, de float64 y en la CPU.

    Raises
    ------
    ConvlabError
        Los de `neighborhood_overlap` y `procrustes_distance`, o si hay menos de dos mapas.

    Examples
    --------
    >>> y = torch.randn(20, 2)
    >>> stability([y, -y, torch.randn(20, 2)], k=5).overlap[0, 1]
    tensor(1., dtype=torch.float64)
    """
    if len(maps) < 2:
        raise ConvlabError(f"Se esperaban al menos dos mapas que comparar y llegó {len(maps)}.")
    neighbors = [nearest_points(y, k) for y in maps]
    overlap = torch.eye(len(maps), dtype=torch.float64)
    distance = torch.zeros_like(overlap)
    for a, b in combinations(range(len(maps)), 2):
        distance[a, b] = distance[b, a] = procrustes_distance(maps[a], maps[b])
        overlap[a, b] = overlap[b, a] = _shared(neighbors[a], neighbors[b])
    return Stability(overlap, distance)


def check_labels(y: Tensor, labels: Tensor) -> Tensor:
    """Comprueba que hay una clase entera por punto.

    Raises
    ------
    ConvlabError
        Si no la hay.
    """
    if labels.shape != (len(y),) or labels.is_floating_point() or labels.is_complex():
        raise ConvlabError(
            f"Con {len(y)} puntos se esperaban {len(y)} clases enteras ({len(y)},) y llegó {labels.dtype} "
            f"{tuple(labels.shape)}."
        )
    return labels


def _check_pair(a: Tensor, b: Tensor) -> None:
    check_points(a)
    check_points(b)
    if len(a) != len(b):
        raise ConvlabError(f"Deben ser los mismos puntos, en el mismo orden, y llegaron {len(a)} y {len(b)}.")


def _shared(a: Tensor, b: Tensor) -> float:
    return int((a[:, :, None] == b.to(a.device)[:, None, :]).sum()) / a.numel()
