"""Lección 06: oclusión, cuánto cae la respuesta de una red si se tapa cada zona de la imagen.

Las redes reciben imágenes `(N, 3, H, W)` y devuelven logits `(N, K)`. Los mapas salen `(N, H, W)`, sin normalizar, en
el dispositivo y el tipo de la imagen. No se deriva nada. El modelo se evalúa en modo `eval` y queda como estaba.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import check_images
from convlab.metrics import mask_overlap
from convlab.occlusion._responses import Fill, Responses, fill_values, intervals
from convlab.occlusion.faithfulness import deletion_curve, faithfulness_auc, insertion_curve
from convlab.occlusion.rise import rise
from convlab.targets import BatchSize, Output, ScoreFn, check_batch_size, check_counts

__all__ = [
    "deletion_curve",
    "faithfulness_auc",
    "insertion_curve",
    "mask_overlap",
    "occlude",
    "occlusion_map",
    "rise",
]


def occlude(x: Tensor, top: int, left: int, patch: int, value: Fill = 0.0) -> Tensor:
    """Tapa en todas las imágenes el cuadrado de lado `patch` cuya esquina es `(top, left)`.

    Parameters
    ----------
    x
        Imágenes `(N, C, H, W)`; no se modifican.
    top, left
        Fila y columna de la esquina superior izquierda.
    patch
        Lado del cuadrado, en píxeles.
    value
        Con qué se tapa: un número, `"mean"`, `"blur"` o un tensor que se extienda a la forma de `x`.

    Returns
    -------
    Tensor
        `(N, C, H, W)`, un tensor nuevo.

    Raises
    ------
    ConvlabError
        Si el cuadrado no cabe en la imagen o `value` no es válido.

    Examples
    --------
    >>> occlude(torch.ones(1, 1, 3, 4), top=1, left=2, patch=2)[0, 0]
    tensor([[1., 1., 1., 1.],
            [1., 1., 0., 0.],
            [1., 1., 0., 0.]])
    """
    check_images(x)
    _check_patch(x, patch)
    height, width = x.shape[2:]
    if not (0 <= top <= height - patch and 0 <= left <= width - patch):
        raise ConvlabError(
            f"Un cuadrado de {patch} px en la fila {top} y la columna {left} se sale de una imagen de {height}×{width}."
        )
    result = x.detach().clone()
    window = ..., slice(top, top + patch), slice(left, left + patch)
    result[window] = fill_values(value, x)[window]
    return result


def occlusion_map(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    patch: int,
    stride: int,
    value: Fill = 0.0,
    *,
    output: Output = "logit",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
    incremental: bool = True,
) -> Tensor:
    """Mapa de oclusión: cuánto baja la respuesta, en media, al tapar los cuadrados que cubren cada píxel.

    Los cuadrados empiezan cada `stride` píxeles, y uno más se pega al borde lejano si no llegan a él. Por omisión solo
    se recalcula lo que cada cuadrado puede cambiar (véase `incremental`), con el mismo resultado. Si el modelo no se
    deja seguir por trozos, o si uno de los cuadrados, que se comprueba, no coincide, se recalcula todo.

    Parameters
    ----------
    model
        Red que devuelve logits `(N, K)`; se evalúa en modo `eval`.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    target
        Índice de clase, o un tensor entero `(N,)` con uno por imagen; no se vuelve a elegir al tapar.
    patch, stride
        Lado del cuadrado y paso entre cuadrados, en píxeles; el paso, como mucho el lado.
    value
        Con qué se tapa: un número (0 es negro), `"mean"` (la media de cada canal de la imagen), `"blur"` (la imagen
        desenfocada) o un tensor que se extienda a la forma de `x`, como la misma escena sin el objeto.
    output
        `"logit"` o `"probability"`.
    select
        Si la red devuelve una tupla o un diccionario, la función que saca de él los logits.
    batch_size
        Cuadrados por pasada; `"auto"` da a los trozos de 16 a 32 MB, o un cuarto de la memoria libre de la GPU.
    incremental
        `False` recalcula la red entera con cada cuadrado.

    Returns
    -------
    Tensor
        `(N, H, W)`: positivo donde tapar baja la respuesta.

    Raises
    ------
    ConvlabError
        Si la imagen, la clase, la salida de la red, el cuadrado o `value` no son lo que se espera.

    References
    ----------
    Zeiler y Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> occlusion_map(Mini(), torch.rand(2, 3, 64, 48), torch.tensor([3, 5]), patch=8, stride=8).shape
    torch.Size([2, 64, 48])
    """
    check_images(x)
    _check_patch(x, patch)
    check_counts(stride=stride)
    if stride > patch:
        raise ConvlabError(
            f"Con paso {stride} y lado {patch} quedan píxeles sin tapar. Usa un paso de {patch} o menos."
        )
    check_batch_size(batch_size)
    x, fill = x.detach(), fill_values(value, x)
    tops, lefts = (_starts(side, patch, stride) for side in x.shape[2:])
    corners = np.array([(top, left) for top in tops for left in lefts])
    run = Responses(model, x, target, output, select)
    clean = run.clean()  # antes que nada: si la red o la clase no valen, aquí se dice
    responses = None
    if incremental:
        # Lo que falle de verdad fallará también, y con su mensaje, con la red entera.
        with suppress(Exception):
            responses = run.followed(fill, corners, patch, batch_size)
    if responses is None:
        responses = run.whole(fill, corners, patch, batch_size)
    exact = torch.promote_types(x.dtype, torch.float32)
    drops = clean[:, None].to(exact) - responses.to(exact)
    # Cada cuadrado es un producto de dos intervalos: la media por píxel son dos productos de matrices.
    rows, columns = (
        intervals(starts, patch, side, x.device).to(exact)
        for starts, side in zip((tops, lefts), x.shape[2:], strict=True)
    )
    total = torch.einsum("nij,ih,jw->nhw", drops.view(len(x), len(tops), len(lefts)), rows, columns)
    return (total / torch.outer(rows.sum(0), columns.sum(0))).to(x.dtype)


def _starts(side: int, patch: int, stride: int) -> NDArray[np.int64]:
    """Dónde empiezan los cuadrados: cada `stride`, y el último pegado al borde."""
    return np.unique([*range(0, side - patch, stride), side - patch])


def _check_patch(x: Tensor, patch: int) -> None:
    check_counts(patch=patch)
    if patch > min(x.shape[2:]):
        raise ConvlabError(f"Un cuadrado de {patch} px no cabe en una imagen de {x.shape[2]}×{x.shape[3]}.")
