"""Los tres pasos con que una señal baja por una red: ReLU hacia atrás, desagrupación y convolución transpuesta.

Funciones sobre tensores, sin modelo, para ver por dentro lo que `convlab.deconvnet` hace con toda una red. El resultado
queda en el dispositivo y el tipo de la señal, y se puede derivar.
"""

from __future__ import annotations

import math
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.errors import ConvlabError, unknown_name
from convlab.relu import RULES

__all__ = ["conv_adjoint", "relu_backward", "unpool"]


def relu_backward(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    """Lo que una ReLU deja pasar hacia atrás según cada regla.

    Parameters
    ----------
    activation
        Entrada o salida de la ReLU: da igual, porque solo importa dónde es positiva. Un cero cierra el paso.
    gradient
        Señal que llega de arriba, de la misma forma.
    rule
        `"backprop"`: pasa donde la activación es positiva. `"deconvnet"`: pasa donde la propia señal es positiva, y la
        activación no cuenta. `"guided"`: donde lo son las dos.

    Returns
    -------
    Tensor
        La señal con lo que no pasa a cero.

    Raises
    ------
    ConvlabError
        Si las formas no son iguales o la regla no existe.

    References
    ----------
    Springenberg et al., «Striving for Simplicity», ICLR 2015.

    Examples
    --------
    >>> activation, gradient = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([5.0, -5.0, 5.0, -5.0])
    >>> for rule in ("backprop", "deconvnet", "guided"):
    ...     print([int(v) for v in relu_backward(activation, gradient, rule)])
    [5, -5, 0, 0]
    [5, 0, 5, 0]
    [5, 0, 0, 0]
    """
    if rule not in RULES:
        raise unknown_name("la regla", rule, RULES)
    if activation.shape != gradient.shape:
        raise ConvlabError(
            f"La activación {tuple(activation.shape)} y la señal {tuple(gradient.shape)} deben tener la misma forma."
        )
    if rule != "backprop":
        gradient = gradient.clamp(min=0)
    return gradient if rule == "deconvnet" else gradient.masked_fill(activation <= 0, 0)


def unpool(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Desagrupación: devuelve cada valor a la posición de la que salió el máximo; el resto queda a cero.

    Si las ventanas se solapan (AlexNet: 3×3 con paso 2) varias pueden compartir el máximo, y sus valores se suman. Por
    eso es la adjunta de «recoger los máximos»; `nn.MaxUnpool2d` se queda con uno solo y pierde los demás.

    Parameters
    ----------
    pooled
        Señal `(..., h, w)` de coma flotante, por lo común `(N, C, h, w)`.
    switches
        Interruptores: los índices que da `F.max_pool2d(x, ..., return_indices=True)`, de la misma forma. Cada uno es
        `fila · W + columna` dentro de su mapa.
    size
        `(H, W)` de los mapas que entraron en el *pooling*.

    Returns
    -------
    Tensor
        `(..., H, W)`.

    Raises
    ------
    ConvlabError
        Si las formas no casan, los interruptores no son enteros o alguno se sale del mapa.

    References
    ----------
    Zeiler y Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014.

    Examples
    --------
    >>> x = torch.tensor([[[[0.0, 1.0, 2.0], [9.0, 3.0, 4.0]]]])
    >>> pooled, switches = nn.functional.max_pool2d(x, 2, stride=1, return_indices=True)
    >>> unpool(pooled, switches, (2, 3))
    tensor([[[[0., 0., 0.],
              [9., 0., 4.]]]])
    """
    rows, columns = _pair(size, "size", 1)
    if pooled.ndim < 2 or pooled.shape != switches.shape or not pooled.is_floating_point():
        raise ConvlabError(
            "Se esperaban una señal (..., h, w) de coma flotante e interruptores de la misma forma, y llegaron "
            f"{pooled.dtype} {tuple(pooled.shape)} y {switches.dtype} {tuple(switches.shape)}."
        )
    if switches.is_floating_point() or switches.dtype == torch.bool:
        raise ConvlabError(f"Los interruptores deben ser enteros y llegó {switches.dtype}.")
    if switches.numel() and not 0 <= int(switches.min()) <= int(switches.max()) < rows * columns:
        raise ConvlabError(
            f"Hay interruptores fuera de un mapa de {rows}×{columns}. Pasa en «size» el tamaño que entró en el pooling."
        )
    dtype = torch.promote_types(pooled.dtype, torch.float32)  # la suma de los solapes, con todas sus cifras
    flat = pooled.flatten(-2).to(dtype)
    empty = flat.new_zeros(*pooled.shape[:-2], rows * columns)
    placed = empty.scatter_add(-1, switches.flatten(-2).to(flat.device, torch.int64), flat)
    return placed.unflatten(-1, (rows, columns)).to(pooled.dtype)


def conv_adjoint(
    y: Tensor,
    weight: Tensor,
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    output_size: tuple[int, int],
    *,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    r"""Convolución transpuesta: la adjunta de una `nn.Conv2d` sin su sesgo.

    Cumple $\langle Wx, y\rangle = \langle x, W^\top y\rangle$ para todo $x$ y todo $y$. No invierte la convolución:
    reparte cada valor de `y` con la forma de su filtro y suma lo que se solapa.

    Parameters
    ----------
    y
        Señal `(N, O, h, w)` con la forma de la salida de la convolución (o `(O, h, w)`).
    weight
        Sus pesos, `(O, C / groups, kh, kw)`, tal como están en la `nn.Conv2d`: no hay que girarlos ni transponerlos.
    stride, padding, dilation, groups
        Los de la convolución, con relleno de ceros.
    output_size
        `(H, W)` de la imagen que entró en la convolución. Con un paso mayor que 1 no se deduce de `y`: imágenes de
        varios tamaños dan mapas del mismo.

    Returns
    -------
    Tensor
        `(N, C, H, W)` (o `(C, H, W)`).

    Raises
    ------
    ConvlabError
        Si las formas no casan, o una imagen de `output_size` no daría una salida del tamaño de `y`.

    References
    ----------
    Zeiler y Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014.

    Examples
    --------
    >>> x, w = torch.rand(1, 3, 8, 7, dtype=torch.float64), torch.rand(4, 3, 3, 3, dtype=torch.float64)
    >>> y = torch.rand(1, 4, 4, 4, dtype=torch.float64)
    >>> down = conv_adjoint(y, w, stride=2, padding=1, output_size=(8, 7))
    >>> up = nn.functional.conv2d(x, w, stride=2, padding=1)
    >>> torch.allclose((up * y).sum(), (x * down).sum())
    True
    """
    if weight.ndim != 4 or y.ndim not in (3, 4) or y.shape[-3] != len(weight):
        raise ConvlabError(
            "Se esperaban una señal (N, O, h, w) y pesos (O, C, kh, kw) con el mismo O, y llegaron "
            f"{tuple(y.shape)} y {tuple(weight.shape)}."
        )
    if (y.dtype, y.device) != (weight.dtype, weight.device):
        raise ConvlabError(f"La señal es {y.dtype} en {y.device} y los pesos, {weight.dtype} en {weight.device}.")
    if groups < 1 or len(weight) % groups:
        raise ConvlabError(f"Los {len(weight)} filtros no se reparten en {groups} grupos.")
    size = _pair(output_size, "output_size", 1)
    steps, pads, gaps = _pair(stride, "stride", 1), _pair(padding, "padding", 0), _pair(dilation, "dilation", 1)
    extra = []
    for axis in range(2):
        covered = gaps[axis] * (weight.shape[2 + axis] - 1) + 1
        # Lo que sobra tras la última ventana: la convolución no lo miró, y la adjunta lo deja a cero.
        extra.append(size[axis] + 2 * pads[axis] - covered - steps[axis] * (y.shape[axis - 2] - 1))
        if not 0 <= extra[axis] < steps[axis]:
            given = math.floor((size[axis] + 2 * pads[axis] - covered) / steps[axis]) + 1
            raise ConvlabError(
                f"Una entrada de {size[0]}×{size[1]} daría {max(given, 0)} {('filas', 'columnas')[axis]} y la señal "
                f"tiene {y.shape[axis - 2]}. Pasa en «output_size» el tamaño que entró en la convolución."
            )
    return F.conv_transpose2d(y, weight, None, steps, pads, (extra[0], extra[1]), groups, gaps)


def _pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    try:
        pair = (index(value), index(value)) if isinstance(value, SupportsIndex) else (index(value[0]), index(value[1]))
        valid = min(pair) >= least and (isinstance(value, SupportsIndex) or len(value) == 2)
    except (TypeError, IndexError):
        valid = False
    if not valid:
        raise ConvlabError(f"«{name}» debe ser un entero desde {least}, o dos (alto y ancho), y llegó {value!r}.")
    return pair
