"""El catálogo de la desagrupación: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Size = tuple[int, int]


def _placed(pooled: Tensor, switches: Tensor, size: Size, *, reduce: str = "sum") -> Tensor:
    """La desagrupación, con otra manera de juntar los valores que caen en el mismo sitio."""
    flat = pooled.new_zeros(*pooled.shape[:2], size[0] * size[1])
    flat.scatter_reduce_(2, switches.flatten(2), pooled.flatten(2), reduce, include_self=False)
    return flat.unflatten(2, size)


@_wrong(
    "Interruptores sin usar",
    "Has ampliado la señal repitiendo cada valor en toda su ventana (vecino más próximo), sin mirar `switches`. La "
    "desagrupación lo devuelve a un solo sitio, aquel del que salió el máximo, y deja el resto a 0.",
)
def _nearest(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:  # noqa: ARG001
    return F.interpolate(pooled, size=size, mode="nearest")


@_wrong(
    "En la esquina de cada ventana",
    "Has puesto cada valor en la esquina superior izquierda de su ventana. El máximo no tiene por qué haber salido de "
    "ahí: `switches` dice de dónde.",
)
def _corner(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:  # noqa: ARG001
    h, w = pooled.shape[2:]
    out = pooled.new_zeros(*pooled.shape[:2], *size)
    rows = torch.arange(h) * max(size[0] // h, 1)
    columns = torch.arange(w) * max(size[1] // w, 1)
    out[:, :, rows[:, None], columns] = pooled
    return out


@_wrong(
    "El último gana",
    "Cuando dos ventanas comparten el máximo, el segundo valor borra al primero: es lo que hacen `nn.MaxUnpool2d` y "
    "la asignación `out[...] = valor`. Los dos salieron de ese sitio y los dos vuelven: súmalos, con `+=` o con "
    "`scatter_add_`.",
)
def _overwritten(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    flat = pooled.new_zeros(*pooled.shape[:2], size[0] * size[1])
    values, places = pooled.flatten(2), switches.flatten(2)
    for k in range(values.shape[2]):  # uno a uno, para que el orden no dependa de cómo reparta el trabajo PyTorch
        flat.scatter_(2, places[:, :, k : k + 1], values[:, :, k : k + 1])
    return flat.unflatten(2, size)


@_wrong(
    "El mayor gana",
    "Cuando dos ventanas comparten el máximo te has quedado con el mayor de los dos valores. Los dos vuelven al mismo "
    "sitio y se suman.",
)
def _largest(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    return _placed(pooled, switches, size, reduce="amax")


@_wrong(
    "La media de los que coinciden",
    "Cuando dos ventanas comparten el máximo has hecho la media de sus valores. La señal no se reparte: se suma, "
    "porque esa posición contribuyó a las dos salidas.",
)
def _averaged(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    return _placed(pooled, switches, size, reduce="mean")


@_wrong(
    "Fila y columna cambiadas",
    "Has sacado la columna con la división y la fila con el resto. El índice cuenta por filas, `fila · W + columna`: "
    "la fila es `índice // W` y la columna, `índice % W`.",
)
def _swapped(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    height, width = size
    column, row = switches.flatten(2) // width, switches.flatten(2) % width
    flat = pooled.new_zeros(*pooled.shape[:2], max(size) ** 2)
    flat.scatter_add_(2, row * max(size) + column, pooled.flatten(2))
    return flat.unflatten(2, (max(size), max(size)))[:, :, :height, :width]


@_wrong(
    "Dividir por el alto",
    "Has descifrado los índices con el alto del mapa, y en uno que no es cuadrado caen en otro sitio. El índice es "
    "`fila · W + columna`: se divide por el **ancho**, `size[1]`.",
)
def _divided_by_height(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    height, width = size
    row, column = switches.flatten(2) // height, switches.flatten(2) % height
    flat = pooled.new_zeros(*pooled.shape[:2], max(size) ** 2)
    flat.scatter_add_(2, row * max(size) + column, pooled.flatten(2))
    return flat.unflatten(2, (max(size), max(size)))[:, :, :height, :width]


@_wrong(
    "El tamaño, adivinado",
    "Has calculado el tamaño multiplicando el de la señal, y un mapa de 7 columnas se queda en 6. Con un *pooling* de "
    "2 × 2, 6 y 7 columnas dan 3: no se puede adivinar. Usa `size`.",
)
def _guessed_size(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    h, w = pooled.shape[2:]
    out = _placed(pooled, switches, size)
    return out[:, :, : h * max(size[0] // h, 1), : w * max(size[1] // w, 1)]


@_wrong(
    "Un solo mapa para todos",
    "Has contado las posiciones de todo el lote seguidas, así que las señales de todos los canales e imágenes caen en "
    "el primer mapa. Cada interruptor es una posición **dentro de su mapa**: aplana solo los dos últimos ejes, con "
    "`flatten(2)`.",
)
def _global_index(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    flat = pooled.new_zeros(pooled.shape[0] * pooled.shape[1] * size[0] * size[1])
    flat.scatter_add_(0, switches.flatten(), pooled.flatten())
    return flat.reshape(*pooled.shape[:2], *size)


@_wrong(
    "Los interruptores del primer canal",
    "Has usado los interruptores del primer canal para todos los de la imagen. En cada canal el máximo salió de un "
    "sitio distinto: usa `switches[n, c]` con `pooled[n, c]`.",
)
def _first_channel(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    return _placed(pooled, switches[:, :1].expand_as(switches), size)


@_wrong(
    "Los interruptores de la primera imagen",
    "Has usado los interruptores de la primera imagen para todo el lote. Los máximos de cada imagen salieron de sitios "
    "distintos, y ahí está justo lo que la desagrupación recuerda de ella.",
)
def _first_image(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    return _placed(pooled, switches[:1].expand_as(switches), size)


@_wrong(
    "Una ReLU de más",
    "Has puesto a 0 los valores negativos de la señal. La desagrupación solo cambia valores de sitio; de los signos se "
    "ocupa la ReLU, en su paso.",
)
def _relu_inside(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    return _placed(pooled.clamp(min=0), switches, size)


@_wrong(
    "Siempre en float32",
    "Los valores están en su sitio, pero el resultado es float32 aunque la señal fuera float64: `torch.zeros` no sabe "
    "de qué tipo es lo demás. Usa `pooled.new_zeros(...)`, o pásale `dtype=pooled.dtype`.",
)
def _default_dtype(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    return _placed(pooled.float(), switches, size)


@_wrong(
    "Los interruptores, modificados",
    "El resultado es correcto, pero al sumar a `switches` el desplazamiento de cada mapa con `+=` has cambiado los "
    "interruptores que te dieron: la siguiente llamada con ellos fallaría. Escribe `switches + desplazamiento`.",
)
def _changes_switches(pooled: Tensor, switches: Tensor, size: Size) -> Tensor:
    n, c, h, w = pooled.shape
    flat = pooled.new_zeros(n * c * size[0] * size[1])
    switches += (torch.arange(n * c) * size[0] * size[1]).reshape(n, c, 1, 1)
    for image, channel, i, j in product(range(n), range(c), range(h), range(w)):
        flat[switches[image, channel, i, j]] += pooled[image, channel, i, j]
    return flat.reshape(n, c, *size)
