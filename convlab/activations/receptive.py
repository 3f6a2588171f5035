r"""Lección 01: el campo receptivo, la parte de la imagen que puede cambiar una unidad.

En cada eje, la unidad $i$ de una capa ve los píxeles de `start + i * jump` a `start + i * jump + size`, sin incluir el
último. `start` es negativo si hay relleno. Las cajas se escriben `(y0, x0, y1, x1)`, con `y1` y `x1` fuera, de modo que
`x[..., y0:y1, x0:x1]` es el parche.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index

import numpy as np
import torch
from torch import Tensor, nn

from convlab.activations._axes import Axis, unfollowable
from convlab.activations._dependence import Dependence
from convlab.errors import ConvlabError
from convlab.hooks import capture, check_images

__all__ = ["ReceptiveField", "input_support", "receptive_field", "receptive_field_of"]


def receptive_field(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
    r"""Tamaño y salto del campo receptivo tras una cadena de capas.

    Con $r_0 = j_0 = 1$, cada capa de núcleo $k$ y paso $s$ da $r_{l} = r_{l-1} + (k - 1)\,j_{l-1}$ y
    $j_{l} = j_{l-1}\,s$. Una convolución dilatada cuenta con su núcleo efectivo, $d\,(k - 1) + 1$.

    Parameters
    ----------
    layers
        `(kernel, stride)` de cada convolución o *pooling*, desde la imagen. El relleno no influye.

    Returns
    -------
    tuple
        `(size, jump)`, en píxeles: el lado del campo y la distancia entre los de dos unidades vecinas.

    Raises
    ------
    ConvlabError
        Si una capa no es un par de enteros desde 1.

    References
    ----------
    Araujo, Norris y Sim (2019), «Computing Receptive Fields of Convolutional Neural Networks», Distill.

    Examples
    --------
    >>> receptive_field([(7, 1), (2, 2), (3, 1)])
    (12, 2)
    """
    size = jump = 1
    for layer in layers:
        try:
            kernel, stride = (index(value) for value in layer)
        except (TypeError, ValueError):
            kernel = stride = 0
        if kernel < 1 or stride < 1:
            raise ConvlabError(f"Cada capa debe ser (kernel, stride), dos enteros desde 1, y llegó {layer!r}.")
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """El campo receptivo de las unidades de una capa; cada par es (vertical, horizontal), en píxeles.

    Attributes
    ----------
    size
        Lado del campo sin recortar: puede pasar del de la imagen.
    jump
        Distancia entre los campos de dos unidades vecinas; 0 si todas ven lo mismo.
    start
        Primer píxel que ve la unidad (0, 0): su borde, no su centro. Negativo si cae en el relleno.
    image
        `(H, W)` de la imagen.
    """

    size: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[int, int]
    image: tuple[int, int]
    _first: tuple[Tensor, Tensor] = field(repr=False)
    _last: tuple[Tensor, Tensor] = field(repr=False)

    def boxes(self, positions: Tensor) -> Tensor:
        """Cajas que ven unas unidades, recortadas a la imagen.

        Son exactas también en los bordes, donde el relleno puede dejar la caja más corta que el campo recortado.

        Parameters
        ----------
        positions
            Fila y columna de cada unidad en el mapa, enteros `(..., 2)`.

        Returns
        -------
        Tensor
            `(..., 4)`: `y0, x0, y1, x1`, en el dispositivo de `positions`; ceros si la unidad no ve ningún píxel.

        Raises
        ------
        ConvlabError
            Si alguna posición no es del mapa.
        """
        shape = tuple(len(ends) for ends in self._first)
        if positions.is_floating_point() or positions.ndim == 0 or positions.shape[-1] != 2:
            raise ConvlabError(
                f"Se esperaban posiciones enteras (..., 2) y llegó un tensor {positions.dtype} "
                f"{tuple(positions.shape)}."
            )
        if bool(((positions < 0) | (positions >= positions.new_tensor(shape))).any()):
            raise ConvlabError(f"Alguna posición se sale del mapa de la capa, que es {shape}.")
        places = positions.long().unbind(-1)
        first, last = (
            [ends.to(positions.device)[place] for ends, place in zip(pair, places, strict=True)]
            for pair in (self._first, self._last)
        )
        seen = torch.stack([b > a for a, b in zip(first, last, strict=True)]).all(0)
        return torch.stack([*first, *last], -1) * seen[..., None]


def receptive_field_of(model: nn.Module, x: Tensor, layer: str) -> ReceptiveField:
    """Campo receptivo de una capa de cualquier red convolucional, siguiendo las operaciones que de verdad ejecuta.

    Cuenta dilataciones, rellenos, pasos, núcleos no cuadrados y operaciones funcionales. Donde se juntan ramas, el
    campo va del menor comienzo al mayor final. Si una unidad ve la imagen entera por otra vía (una media global, un
    bloque *squeeze-and-excitation*), `size` es la imagen, `start` es 0 y `jump`, 0. Una pasada con una imagen, que
    termina en la capa.

    Parameters
    ----------
    model
        Cualquier red que acepte `x`; se evalúa en modo `eval`.
    x
        Imágenes `(N, C, H, W)` del tamaño que se quiera; sus valores no importan.
    layer
        Nombre con puntos de la capa. Si no devuelve un mapa `(N, C, h, w)`, su única posición es (0, 0).

    Returns
    -------
    ReceptiveField
        Su método `boxes` da la caja de cada unidad.

    Raises
    ------
    ConvlabError
        Si la capa no existe, no depende de la imagen, o no hay una regla única para todas sus unidades (tras ampliar
        un mapa, por ejemplo).

    References
    ----------
    Araujo, Norris y Sim (2019), «Computing Receptive Fields of Convolutional Neural Networks», Distill.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> field = receptive_field_of(Mini(), torch.rand(1, 3, 64, 64), "block2.conv")
    >>> field.size, field.jump, field.start
    ((12, 12), (2, 2), (-5, -5))
    >>> field.boxes(torch.tensor([[0, 0], [10, 31]]))
    tensor([[ 0,  0,  7,  7],
            [15, 57, 27, 64]])
    """
    check_images(x)
    with torch.inference_mode(False):
        image = x[:1].detach().clone()
    with Dependence(image) as dependence:
        output = capture(model, image, [layer])[layer]
    axes = dependence.axes(output)
    if axes is None:
        raise ConvlabError(f"La capa «{layer}» no depende de la imagen, así que no tiene campo receptivo.")
    height, width = image.shape[2:]
    lengths = tuple(output.shape[2:]) if output.ndim == 4 else (1, 1)
    grids = [axis.grid for axis in axes if axis.grid]
    if len(grids) < 2 or any(a.dim not in (None, d) for a, d in zip(axes, (-2, -1), strict=True)):
        raise unfollowable(f"la capa «{layer}»: sus unidades no ven todas lo mismo ni un campo que se desplace")
    ends = [_ends(axis, n) for axis, n in zip(axes, lengths, strict=True)]
    size, jump, start = ((getattr(grids[0], k), getattr(grids[1], k)) for k in ("size", "jump", "start"))
    return ReceptiveField(size, jump, start, (height, width), (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1]))


def _ends(axis: Axis, length: int) -> tuple[Tensor, Tensor]:
    """Primer píxel de cada posición y el siguiente al último."""
    first, after = (np.broadcast_to(ends, length).copy() for ends in (axis.first, axis.last + 1))
    return torch.from_numpy(first), torch.from_numpy(after)


def input_support(model: nn.Module, x: Tensor, layer: str, position: tuple[int, int]) -> tuple[int, int, int, int]:
    """Caja de los píxeles que llegan a una unidad, medida: se sustituyen por NaN y se mira si el NaN aparece en ella.

    No supone nada de la arquitectura, así que sirve para comprobar `receptive_field_of`. A diferencia del gradiente,
    un NaN atraviesa las ReLU apagadas y los máximos que no ganan: mide lo que la unidad puede ver con algunos
    pesos y alguna imagen, no con estos. Trabaja en una copia del modelo en float64; busca cada borde por bisección, con
    unas `log2(max(H, W))` pasadas de cuatro imágenes.

    Parameters
    ----------
    model
        Cualquier red que acepte `x`; se evalúa en modo `eval`.
    x
        Una imagen `(1, C, H, W)`.
    layer
        Nombre con puntos de una capa con salida `(N, C, h, w)` o `(N, C)`.
    position
        Fila y columna de la unidad en el mapa; se miran todos sus canales.

    Returns
    -------
    tuple
        `(y0, x0, y1, x1)`; ceros si ningún píxel le llega.

    Raises
    ------
    ConvlabError
        Si hay más de una imagen, la capa o la posición no existen, o la unidad ya vale NaN.

    Examples
    --------
    >>> red = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2))
    >>> input_support(red, torch.rand(1, 3, 20, 20), "2", (1, 3))
    (4, 12, 9, 17)
    """
    check_images(x)
    if len(x) != 1:
        raise ConvlabError(f"Se esperaba una sola imagen (1, C, H, W) y llegaron {len(x)}. Elige una con x[:1].")
    with torch.inference_mode(False):
        model = copy.deepcopy(model).double()
        image = x.detach().double()

    def unit(images: Tensor) -> list[bool]:
        output = capture(model, images, [layer])[layer]
        maps = output if output.ndim == 4 else output.flatten(1)[:, :, None, None]
        if not all(0 <= place < n for place, n in zip(position, maps.shape[2:], strict=True)):
            raise ConvlabError(f"La posición {position} se sale del mapa de «{layer}», {tuple(maps.shape[2:])}.")
        reached: list[bool] = maps[:, :, position[0], position[1]].isnan().any(1).tolist()
        return reached

    if unit(image)[0]:
        raise ConvlabError("La unidad vale NaN con la imagen sin tocar. Revisa los pesos y la imagen.")
    height, width = image.shape[2:]
    # Para cada borde, el menor número de filas o columnas, contadas desde ese lado, cuyo NaN llega a la unidad.
    low, high = [0, 0, 0, 0], [height + 1, width + 1, height + 1, width + 1]
    while any(b - a > 1 for a, b in zip(low, high, strict=True)):
        middle = [(a + b) // 2 for a, b in zip(low, high, strict=True)]
        images = image.repeat(4, 1, 1, 1)
        images[0, :, : middle[0]] = images[1, :, :, : middle[1]] = torch.nan
        images[2, :, height - middle[2] :] = images[3, :, :, width - middle[3] :] = torch.nan
        for side, reached in enumerate(unit(images)):
            low[side], high[side] = (low[side], middle[side]) if reached else (middle[side], high[side])
    if high[0] > height:
        return 0, 0, 0, 0
    return high[0] - 1, high[1] - 1, height - high[2] + 1, width - high[3] + 1
