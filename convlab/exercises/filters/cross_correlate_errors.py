"""Errores conocidos al deslizar un filtro."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def _conv(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x[None], weight, stride=stride, padding=padding)[0]


def _around(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    return F.pad(x, (left, right, top, bottom))


@_wrong(
    "El filtro volteado",
    "Has girado el filtro media vuelta antes de deslizarlo. Eso es la convolución de los libros de matemáticas; lo que "
    "las redes llaman «convolución» es la **correlación cruzada**, que lo usa tal como viene. Quita el `flip`.",
)
def _flipped_kernel(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x, weight.flip((2, 3)), stride, padding)


@_wrong(
    "Filas y columnas del filtro, cambiadas",
    "Has usado el filtro traspuesto: sus filas recorren las columnas de la imagen. En `weight[o, c, a, b]`, `a` baja "
    "por las filas y `b` avanza por las columnas, como en `x[c, i, j]`.",
)
def _transposed_kernel(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x, weight.transpose(2, 3), stride, padding)


@_wrong(
    "Alto y ancho cambiados a la salida",
    "Los valores están, pero traspuestos: el primer eje espacial de lo que devuelves recorre columnas. La salida es "
    "`(O, H', W')`, con las filas antes que las columnas, como la entrada.",
)
def _transposed_output(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x, weight, stride, padding).transpose(1, 2)


@_wrong(
    "Relleno en dos de los cuatro lados",
    "Has puesto los ceros solo arriba y a la izquierda. `padding` va en **cada** lado: `F.pad(x, [padding] * 4)`. Con "
    "el relleno en un solo extremo, la salida es más pequeña y está desplazada.",
)
def _one_sided_padding(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(_around(x, padding, 0, padding, 0), weight, stride)


@_wrong(
    "Todo el relleno al final",
    "La forma es la correcta, pero los ceros están todos abajo y a la derecha, y el mapa sale desplazado. La mitad va "
    "antes de la imagen y la otra mitad, después: `padding` en cada lado.",
)
def _padding_at_the_end(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(_around(x, 0, 2 * padding, 0, 2 * padding), weight, stride)


@_wrong(
    "Relleno solo a lo ancho",
    "Has rellenado a la izquierda y a la derecha, pero no arriba ni abajo. `F.pad(x, [p, p])` solo toca el último eje; "
    "para los dos hacen falta cuatro números: `[p, p, p, p]`.",
)
def _padding_width_only(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(_around(x, padding, padding, 0, 0), weight, stride)


@_wrong(
    "El borde repetido",
    "Has rellenado repitiendo los píxeles del borde. Aquí el relleno es de **ceros**, como en las redes del curso: "
    "`F.pad(x, [padding] * 4)`, sin `mode`.",
)
def _replicated_border(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(F.pad(x[None], [padding] * 4, mode="replicate")[0], weight, stride)


@_wrong(
    "Sin relleno",
    "Tu resultado no cambia con `padding`. Antes de deslizar hay que rodear la imagen de ceros: "
    "`F.pad(x, [padding] * 4)`.",
)
def _no_padding(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:  # noqa: ARG001
    return _conv(x, weight, stride)


@_wrong(
    "Sin paso",
    "Tu resultado no cambia con `stride`: el filtro se detiene en todos los sitios. La ventana de la salida `(i, j)` "
    "empieza en la fila `i * stride` y en la columna `j * stride`.",
)
def _no_stride(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:  # noqa: ARG001
    return _conv(x, weight, 1, padding)


@_wrong(
    "El paso, en una sola dirección",
    "Saltas filas, pero recorres todas las columnas. El paso es el mismo en las dos direcciones: la ventana de "
    "`(i, j)` empieza en `(i * stride, j * stride)`.",
)
def _stride_on_rows(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x, weight, 1, padding)[:, ::stride]


@_wrong(
    "Saltar píxeles de la imagen",
    "Has aplicado el paso a la imagen, y el filtro ve solo un píxel de cada `stride`. El paso separa los **sitios** "
    "donde se para el filtro; dentro de cada ventana los píxeles son todos, contiguos.",
)
def _skipped_pixels(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    small = _around(x, padding, padding, padding, padding)[:, ::stride, ::stride]
    kh, kw = weight.shape[2:]
    rows, columns = (max(0, k - n) for k, n in zip((kh, kw), small.shape[1:], strict=True))
    return _conv(_around(small, 0, columns, 0, rows), weight)


@_wrong(
    "Falta la última posición",
    "Te falta la última fila y la última columna: el bucle se detiene uno antes. Caben `(n − k) // stride + 1` "
    "ventanas, con ese 1; es tu `conv_output_size`.",
)
def _last_position_missing(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x, weight, stride, padding)[:, :-1, :-1]


@_wrong(
    "La media de los canales",
    "Has promediado los canales en vez de sumarlos: tu resultado es C veces menor. Cada salida suma `kh · kw · C` "
    "productos y no se divide por nada.",
)
def _mean_over_channels(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x, weight, stride, padding) / len(x)


@_wrong(
    "Los canales, sin sumar",
    "Devuelves un mapa por cada pareja de filtro y canal. Un filtro tiene un núcleo por canal, y su respuesta es "
    "**una**: la suma de todos. El resultado es `(O, H', W')`.",
)
def _channels_not_summed(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    maps = [_conv(x[c : c + 1], weight[:, c : c + 1], stride, padding) for c in range(len(x))]
    return torch.stack(maps, 1)


@_wrong(
    "Solo el primer canal",
    "Tu resultado usa únicamente el canal 0. Una imagen tiene C canales y cada filtro, C núcleos: se multiplican "
    "pareja a pareja y se suma todo.",
)
def _first_channel(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return _conv(x[:1], weight[:, :1], stride, padding)


@_wrong(
    "El tipo por omisión",
    "Los valores son correctos, pero los has guardado en un `torch.zeros(...)` que es float32 aunque la imagen sea "
    "float64. Crea la salida con `x.new_zeros(...)`, que copia el tipo y el dispositivo de `x`.",
)
def _default_dtype(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    result = _conv(x, weight, stride, padding)
    return torch.zeros(result.shape).copy_(result)
