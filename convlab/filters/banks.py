"""Bancos de filtros `(O, C, kh, kw)`: sacarlos de una red y leerlos núcleo a núcleo."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import get_layer

__all__ = [
    "SignedPairs",
    "filter_norms",
    "first_layer_weight",
    "layer_weight",
    "signed_pairs",
]


def check_bank(weight: Tensor) -> None:
    """Comprueba que `weight` es un banco de filtros `(O, C, kh, kw)` de coma flotante y sin NaN ni infinitos.

    Raises
    ------
    ConvlabError
        Si no lo es; dice qué llegó.

    Examples
    --------
    >>> check_bank(nn.Conv2d(3, 8, 5).weight)
    """
    if not isinstance(weight, Tensor) or weight.ndim != 4 or not weight.is_floating_point() or not weight.numel():
        got = f"un tensor {weight.dtype} {tuple(weight.shape)}" if isinstance(weight, Tensor) else type(weight).__name__
        raise ConvlabError(
            f"Se esperaban filtros (O, C, kh, kw) de coma flotante, al menos uno, y llegó {got}. "
            "Usa el peso de una nn.Conv2d; si es un solo filtro (C, kh, kw), añade la dimensión con w[None]."
        )
    if not bool(weight.isfinite().all()):
        raise ConvlabError("Los filtros contienen NaN o infinitos. ¿Divergió el entrenamiento de la red?")


def layer_weight(model: nn.Module, layer: str) -> Tensor:
    """Copia de los filtros de una convolución, por su nombre.

    Parameters
    ----------
    model
        Cualquier red.
    layer
        Nombre con puntos de una `nn.Conv2d`.

    Returns
    -------
    Tensor
        `(O, C, kh, kw)`, sin grafo. Con `groups`, `C` son los canales de cada grupo.

    Raises
    ------
    ConvlabError
        Si la capa no existe o no es una `nn.Conv2d`.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> layer_weight(Mini(), "block2.conv").shape
    torch.Size([48, 32, 3, 3])
    """
    module = get_layer(model, layer)
    if not isinstance(module, nn.Conv2d):
        inside = [f"{layer}.{name}" for name, m in module.named_modules() if isinstance(m, nn.Conv2d)]
        hint = f"Dentro tiene {', '.join(inside[:5])}." if inside else "Elige una convolución."
        raise ConvlabError(f"La capa «{layer}» es {type(module).__name__} y se esperaba una nn.Conv2d. {hint}")
    return module.weight.detach().clone()


def first_layer_weight(model: nn.Module) -> Tensor:
    """Copia de los filtros de la primera convolución, los únicos que se leen como imágenes.

    La primera es la que se registró antes: en las redes habituales, también la que se ejecuta antes. Si no, usa
    `layer_weight` con su nombre.

    Parameters
    ----------
    model
        Cualquier red con alguna `nn.Conv2d`.

    Returns
    -------
    Tensor
        `(O, C, kh, kw)`, sin grafo.

    Raises
    ------
    ConvlabError
        Si la red no tiene ninguna `nn.Conv2d`.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> first_layer_weight(Mini()).shape
    torch.Size([32, 3, 7, 7])
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().clone()
    raise ConvlabError(f"La red {type(model).__name__} no tiene ninguna nn.Conv2d, así que no hay filtros que ver.")


def filter_norms(weight: Tensor) -> Tensor:
    """Norma euclídea de cada núcleo: cuánto pesa cada canal de entrada en cada filtro.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.

    Returns
    -------
    Tensor
        `(O, C)`, no negativo.

    Raises
    ------
    ConvlabError
        Si los filtros no son `(O, C, kh, kw)`.

    Examples
    --------
    >>> filter_norms(torch.ones(1, 2, 3, 3))
    tensor([[3., 3.]])
    """
    check_bank(weight)
    exact = torch.promote_types(weight.dtype, torch.float32)
    return torch.linalg.vector_norm(weight, dim=(2, 3), dtype=exact).to(weight.dtype)


@dataclass(frozen=True)
class SignedPairs:
    """Los canales de entrada que más excitan y más inhiben una unidad.

    Attributes
    ----------
    unit
        La unidad.
    positive, negative
        Índices de los canales, del más fuerte al más débil, `(p,)` y `(n,)`.
    positive_sums, negative_sums
        Suma de los pesos de su núcleo: lo que aporta a la unidad un canal que valga 1 en todas partes.
    positive_kernels, negative_kernels
        Sus núcleos, `(p, kh, kw)` y `(n, kh, kw)`.
    """

    unit: int
    positive: Tensor
    positive_sums: Tensor
    positive_kernels: Tensor
    negative: Tensor
    negative_sums: Tensor
    negative_kernels: Tensor


def signed_pairs(weight: Tensor, unit: int, k: int = 4) -> SignedPairs:
    """Los `k` canales de entrada que más excitan una unidad y los `k` que más la inhiben, con sus núcleos.

    Tras una ReLU los canales no son negativos, y el signo de la suma de un núcleo dice si ese canal, presente en todo
    el campo, enciende la unidad o la apaga. Es lo que se puede leer en una capa profunda, cuyos núcleos no están en
    píxeles de la imagen sino en canales de la capa anterior.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.
    unit
        El filtro que se mira, de 0 a `O - 1`.
    k
        Cuántos canales de cada signo, como mucho: si hay menos, salen los que haya.

    Returns
    -------
    SignedPairs
        Canales, sumas y núcleos, del más fuerte al más débil.

    Raises
    ------
    ConvlabError
        Si la unidad no existe o `k` no es un entero desde 1.

    Examples
    --------
    >>> w = torch.tensor([1.0, -3, 2, -0.5]).view(1, 4, 1, 1)
    >>> pares = signed_pairs(w, unit=0, k=2)
    >>> pares.positive.tolist(), pares.negative.tolist()
    ([2, 0], [1, 3])
    """
    check_bank(weight)
    k = check_integer("k", k, 1)
    unit = check_integer("unit", unit, 0)
    if unit >= len(weight):
        raise ConvlabError(f"El filtro {unit} no existe: hay {len(weight)}, de 0 a {len(weight) - 1}.")
    kernels = weight[unit].detach()
    sums = kernels.sum((1, 2), dtype=torch.promote_types(weight.dtype, torch.float32))
    order = sums.argsort(descending=True, stable=True)
    positive = order[sums[order] > 0][:k]
    negative = order[sums[order] < 0].flip(0)[:k]
    sums = sums.to(weight.dtype)
    return SignedPairs(unit, positive, sums[positive], kernels[positive], negative, sums[negative], kernels[negative])


def check_integer(name: str, value: Any, least: int) -> int:
    """Comprueba que un argumento es un entero desde `least` y lo devuelve como `int`.

    Raises
    ------
    ConvlabError
        Si no lo es.

    Examples
    --------
    >>> check_integer("k", 3, 1)
    3
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or index(value) < least:
        raise ConvlabError(f"`{name}` debe ser un entero desde {least} y llegó {value!r}.")
    return index(value)
