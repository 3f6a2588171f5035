"""Puntos como filas de una matriz `(N, D)`: sus distancias y sus componentes principales.

Se calcula en float64 donde lo hay y se devuelve en el tipo de los puntos, al menos float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convlab.errors import ConvlabError

__all__ = ["Projection", "pca", "squared_distances"]


class Projection(NamedTuple):
    """Lo que da `pca`.

    Attributes
    ----------
    scores
        `(N, k)`: coordenadas de los puntos, de media nula.
    components
        `(k, D)`: direcciones ortonormales; cada una lleva positivo su peso de mayor valor absoluto.
    explained
        `(k,)`: fracción de la varianza total que explica cada una, de mayor a menor.
    """

    scores: Tensor
    components: Tensor
    explained: Tensor


def pca(x: Tensor, k: int) -> Projection:
    """Componentes principales, por descomposición en valores singulares.

    Parameters
    ----------
    x
        Puntos `(N, D)`.
    k
        Cuántas componentes: desde 1 hasta `min(N, D)`.

    Returns
    -------
    Projection
        Coordenadas, direcciones y varianza explicada (0 si todos los puntos son iguales). El signo de cada dirección
        es siempre el mismo.

    Raises
    ------
    ConvlabError
        Si `x` no es una matriz de números finitos o no tiene `k` componentes.

    Examples
    --------
    >>> coordenadas, direcciones, varianza = pca(torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]), 1)
    >>> direcciones, varianza
    (tensor([[0.7071, 0.7071]]), tensor([1.]))
    """
    points = check_points(x)
    if not 1 <= k <= min(points.shape):
        raise ConvlabError(
            f"Con {len(points)} puntos de {points.shape[1]} dimensiones, `k` debe estar entre 1 y {min(points.shape)} "
            f"y llegó {k}."
        )
    exact = points.to(exact_dtype(points))
    u, s, v = torch.linalg.svd(exact - exact.mean(0), full_matrices=False)
    u, v = u[:, :k], v[:k]
    sign = v.gather(1, v.abs().argmax(1, keepdim=True)).sign()[:, 0]
    variance = s.square()
    explained = variance[:k] / variance.sum().clamp(min=torch.finfo(s.dtype).tiny)
    parts = (u * (sign * s[:k]), v * sign[:, None], explained)
    return Projection(*(part.to(points.dtype) for part in parts))


def squared_distances(x: Tensor) -> Tensor:
    r"""Distancias euclídeas al cuadrado entre todos los pares, por $\|a\|^2 + \|b\|^2 - 2\,a \cdot b$.

    La resta pierde cifras si los puntos están lejos del origen: por eso primero se centran y se usa float64 donde lo
    hay. Una distancia menor que el error de redondeo es cero, de modo que los puntos repetidos distan cero.

    Parameters
    ----------
    x
        Puntos `(N, D)`.

    Returns
    -------
    Tensor
        `(N, N)`, simétrico, no negativo y de diagonal nula. Se puede derivar.

    Raises
    ------
    ConvlabError
        Si `x` no es una matriz de números finitos.

    Examples
    --------
    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[ 0., 25.],
            [25.,  0.]])
    """
    points = check_points(x)
    exact = points.to(exact_dtype(points))
    exact = exact - exact.mean(0)
    gram = exact @ exact.T
    norms = gram.diagonal()[:, None] + gram.diagonal()
    d2 = norms - (gram + gram.T)
    return torch.where(d2 > 8 * torch.finfo(d2.dtype).eps * norms, d2, 0).to(points.dtype)


def check_points(x: Tensor) -> Tensor:
    """Comprueba que `x` es una matriz `(N, D)` de números finitos y la devuelve al menos en float32.

    Raises
    ------
    ConvlabError
        Si no lo es.
    """
    x = check_matrix(x)
    if not bool(x.isfinite().all()):
        raise ConvlabError("Los puntos contienen NaN o infinitos, que no tienen distancia. Revisa de dónde salen.")
    return x


def check_matrix(x: Tensor) -> Tensor:
    """Como `check_points`, pero sin mirar los valores: no espera a que la GPU los calcule."""
    if x.ndim != 2 or x.numel() == 0 or not x.is_floating_point():
        raise ConvlabError(
            f"Se esperaba una matriz (N, D) de coma flotante, un punto por fila, y llegó {x.dtype} {tuple(x.shape)}. "
            "Si son mapas de características, aplánalos o promédialos antes: x.flatten(1), x.mean((2, 3))."
        )
    return x.to(torch.promote_types(x.dtype, torch.float32))


def exact_dtype(x: Tensor) -> torch.dtype:
    """El tipo más preciso del dispositivo de `x`."""
    return torch.float32 if x.device.type == "mps" else torch.float64  # MPS no tiene float64
