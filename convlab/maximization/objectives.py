"""Qué se maximiza: una neurona, un canal, una clase o una dirección del espacio de canales de una capa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab._passes import observe
from convlab.errors import ConvlabError
from convlab.hooks import capture
from convlab.targets import ScoreFn, target_score

__all__ = ["Objective", "channel", "class_logit", "direction", "gram_similarity", "objective_score", "unit"]


@dataclass(frozen=True)
class Objective:
    """Lo que se quiere alto: una puntuación por imagen de la salida de una capa.

    Attributes
    ----------
    layer
        Nombre con puntos de la capa, o `None` si es la salida de la red.
    score
        De esa salida a un tensor `(N,)` derivable; cada imagen debe puntuarse por su cuenta.
    """

    layer: str | None
    score: ScoreFn


def channel(layer: str, c: int) -> Objective:
    """Un canal: la media espacial de su mapa de características.

    Parameters
    ----------
    layer
        Capa con salida `(N, C, h, w)`, o `(N, C)`, donde el canal es una neurona.
    c
        Índice del canal.

    Raises
    ------
    ConvlabError
        Al usarlo, si la salida no tiene esa forma o el canal no existe.

    Examples
    --------
    >>> channel("block3", 1).score(torch.tensor([[[[0.0, 0.0]], [[1.0, 3.0]]]]))
    tensor([2.])
    """
    return Objective(layer, lambda output: _select(output, c).reshape(len(output), -1).mean(1))


def unit(layer: str, c: int, position: tuple[int, int] | None = None) -> Objective:
    """Una neurona: un canal en una posición del mapa.

    Parameters
    ----------
    layer, c
        Los de `channel`.
    position
        `(fila, columna)` del mapa; por omisión, la central, `(h // 2, w // 2)`.

    Raises
    ------
    ConvlabError
        Los de `channel`, y si la posición se sale del mapa.

    Examples
    --------
    >>> mapa = torch.arange(12.0).reshape(1, 1, 3, 4)
    >>> unit("block3", 0).score(mapa), unit("block3", 0, (0, 3)).score(mapa)
    (tensor([6.]), tensor([3.]))
    """

    def score(output: Any) -> Tensor:
        maps = _select(output, c)
        if maps.ndim == 1:
            return maps
        height, width = maps.shape[1:]
        y, x = (height // 2, width // 2) if position is None else position
        if not (0 <= y < height and 0 <= x < width):
            raise ConvlabError(
                f"La posición {(y, x)} se sale del mapa, que es de {height}×{width}: se esperaba una fila de 0 a "
                f"{height - 1} y una columna de 0 a {width - 1}."
            )
        return maps[:, y, x]

    return Objective(layer, score)


def class_logit(k: int, select: ScoreFn | None = None) -> Objective:
    """Una clase: su logit, y no su probabilidad, que también sube cuando bajan las demás.

    Parameters
    ----------
    k
        Índice de la clase.
    select
        Si la red devuelve una tupla o un diccionario, la función que saca de él los logits `(N, K)`.

    Raises
    ------
    ConvlabError
        Los de `convlab.targets.target_score`.

    Examples
    --------
    >>> class_logit(2).score(torch.arange(6.0).reshape(2, 3))
    tensor([2., 5.])
    """
    return Objective(None, target_score(k, select))


def direction(layer: str, vector: Tensor) -> Objective:
    """Una dirección de la capa: la media espacial del producto escalar de sus canales con un vector.

    Con el vector que vale 1 en un canal y 0 en los demás es `channel`. No se normaliza.

    Parameters
    ----------
    layer
        Capa con salida `(N, C, h, w)` o `(N, C)`.
    vector
        `(C,)`.

    Raises
    ------
    ConvlabError
        Si no es un vector; y, al usarlo, si no tiene tantas componentes como canales la capa.

    Examples
    --------
    >>> direction("block3", torch.tensor([1.0, -1.0])).score(torch.tensor([[[[5.0, 5.0]], [[1.0, 3.0]]]]))
    tensor([3.])
    """
    if not isinstance(vector, Tensor) or vector.ndim != 1:
        got = f"un tensor {tuple(vector.shape)}" if isinstance(vector, Tensor) else type(vector).__name__
        raise ConvlabError(f"La dirección debe ser un tensor (C,), un número por canal, y llegó {got}.")

    def score(output: Any) -> Tensor:
        maps = _maps(output)
        if maps.shape[1] != len(vector):
            raise ConvlabError(f"La capa tiene {maps.shape[1]} canales y la dirección, {len(vector)} componentes.")
        # Una copia: el grafo no puede guardar un tensor creado en inference_mode.
        return maps.reshape(*maps.shape[:2], -1).mean(2) @ vector.detach().to(maps).clone()

    return Objective(layer, score)


def objective_score(model: nn.Module, x: Tensor, objective: Objective) -> Tensor:
    """Cuánto vale un objetivo en unas imágenes: el control con que comparar lo que logra el ascenso.

    Una pasada hacia delante, en modo `eval` y sin grafo.

    Parameters
    ----------
    model
        La red; queda como estaba.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    objective
        El objetivo.

    Returns
    -------
    Tensor
        `(N,)`.

    Raises
    ------
    ConvlabError
        Si las imágenes, la capa o el objetivo no encajan.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> objective_score(Mini(), torch.rand(2, 3, 64, 64), channel("block3.bn", 5)).shape
    torch.Size([2])
    """
    if objective.layer is not None:
        output: Any = capture(model, x, [objective.layer])[objective.layer]
    else:
        output = observe(model, x)
    with torch.no_grad():
        return objective.score(output)


def gram_similarity(activations: Tensor) -> Tensor:
    r"""Cuánto se parece la textura de cada imagen a la de las demás del lote.

    La textura es la matriz de Gram $G = A A^\top$ de los canales, que olvida dónde está cada cosa; el parecido, la
    similitud coseno entre matrices. Restarla de lo que se maximiza separa las imágenes de un lote: así se ven las
    distintas cosas a las que responde un canal.

    Parameters
    ----------
    activations
        Salida de una capa, `(N, C, h, w)`, con $N \ge 2$.

    Returns
    -------
    Tensor
        `(N,)`, en [0, 1]: media de los parecidos con las otras $N - 1$.

    Raises
    ------
    ConvlabError
        Si no es un lote de mapas, o es de una sola imagen.

    References
    ----------
    Olah, Mordvintsev y Schubert, «Feature Visualization», Distill 2017.

    Examples
    --------
    >>> a = torch.eye(2).reshape(2, 2, 1, 1)  # cada imagen enciende un canal distinto
    >>> gram_similarity(a), gram_similarity(torch.ones_like(a))
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    maps = _maps(activations)
    if maps.ndim != 4 or len(maps) < 2:
        raise ConvlabError(
            f"La diversidad compara los mapas (N, C, h, w) de dos o más imágenes, y llegó {tuple(maps.shape)}. Pide "
            "más imágenes (batch) y una capa convolucional."
        )
    flat = maps.flatten(2)
    gram = F.normalize((flat @ flat.mT).flatten(1), dim=1)
    return (gram @ gram.sum(0) - gram.square().sum(1)) / (len(maps) - 1)


def _maps(output: Any) -> Tensor:
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim not in (2, 4):
        got = f"un tensor {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ConvlabError(
            f"Se esperaba una capa con salida (N, C, h, w) o (N, C) y dio {got}. Elige otra capa, o escribe tu propio "
            "Objective(layer, score)."
        )
    return output.to(torch.promote_types(output.dtype, torch.float32))


def _select(output: Any, c: int) -> Tensor:
    maps = _maps(output)
    if not isinstance(c, int) or not 0 <= c < maps.shape[1]:
        raise ConvlabError(f"El canal {c!r} no existe: la capa tiene {maps.shape[1]}, de 0 a {maps.shape[1] - 1}.")
    return maps[:, c]
