"""El catálogo de la convolución transpuesta: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Pair = tuple[int, int]


def _stamped(y: Tensor, weight: Tensor, stride: int, shape: Pair, *, assign: bool = False) -> Tensor:
    """Cada valor estampa su filtro en un lienzo de ese tamaño; con `assign`, borra lo que hubiera debajo."""
    kh, kw = weight.shape[2:]
    out = y.new_zeros(len(y), weight.shape[1], *shape)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = out[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            stamp = torch.einsum("no,ochw->nchw", y[:, :, i, j], weight)
            window.copy_(stamp if assign else window + stamp)
    return out


def _cropped(out: Tensor, padding: int, size: Pair) -> Tensor:
    return out[:, :, padding : padding + size[0], padding : padding + size[1]]


def _padded(size: Pair, padding: int) -> Pair:
    return size[0] + 2 * padding, size[1] + 2 * padding


def _correct(y: Tensor, weight: Tensor, stride: int, padding: int, size: Pair) -> Tensor:
    return _cropped(_stamped(y, weight, stride, _padded(size, padding)), padding, size)


@_wrong(
    "El núcleo, con el giro equivocado",
    "Cada valor estampa el filtro girado media vuelta. Si usas `conv_transpose2d`, dale los pesos tal cual: ya hace el "
    "giro. Si usas una convolución corriente sobre la señal con ceros intercalados, eres tú quien debe girarlos, con "
    "`flip(2, 3)`.",
)
def _wrong_turn(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    return _correct(y, weight.flip(2, 3), stride, padding, output_size)


@_wrong(
    "Filtros y canales sin transponer",
    "Has tratado el primer eje de los pesos como los canales de la imagen. En `(O, C, kh, kw)` la señal trae O mapas y "
    "la imagen tiene C canales: se suma sobre O. Con tantos filtros como canales no da error, y engaña.",
)
def _channels_not_transposed(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    return _correct(y, weight.transpose(0, 1), stride, padding, output_size)


@_wrong(
    "El núcleo, con alto y ancho cambiados",
    "Has transpuesto los ejes del núcleo: el filtro sale acostado. La matriz que se transpone es la de toda la "
    "convolución; el filtro de cada valor se estampa tal cual.",
)
def _kernel_axes_swapped(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    return _correct(y, weight.transpose(2, 3), stride, padding, output_size)


@_wrong(
    "El paso, olvidado",
    "Con paso 2, las ventanas de dos valores vecinos estaban separadas dos píxeles, y tú las has puesto a uno. El "
    "valor de la posición (i, j) se estampa a partir de la fila `i · stride` y la columna `j · stride`.",
)
def _stride_ignored(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:  # noqa: ARG001
    return _correct(y, weight, 1, padding, output_size)


@_wrong(
    "Repetir en vez de intercalar ceros",
    "Has ampliado la señal repitiendo cada valor `stride` veces. Lo que va entre dos valores son ceros: una "
    "convolución con paso no miró nada más.",
)
def _repeated(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    h, w = y.shape[2:]
    wide = y.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
    wide = wide[:, :, : (h - 1) * stride + 1, : (w - 1) * stride + 1]
    return _correct(wide, weight, 1, padding, output_size)


@_wrong(
    "El relleno, sin quitar",
    "Te ha quedado una imagen con el relleno puesto: mayor que la que entró. Ese marco no era imagen; quita `padding` "
    "filas y columnas por cada lado.",
)
def _padding_kept(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    return _stamped(y, weight, stride, _padded(output_size, padding))


@_wrong(
    "Desplazado por el relleno",
    "Has recortado desde la esquina, y todo queda desplazado `padding` píxeles hacia abajo y a la derecha. Las "
    "primeras `padding` filas y columnas son relleno: el recorte empieza después de ellas.",
)
def _shifted(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    return _cropped(_stamped(y, weight, stride, _padded(output_size, padding)), 0, output_size)


@_wrong(
    "El tamaño, deducido de la señal",
    "Tu imagen es menor que la pedida: `conv_transpose2d` ha elegido la más pequeña de las que dan esa señal. Con paso "
    "mayor que 1 hay varias, y por eso existe `output_size`: lo que falta se pide con `output_padding`.",
)
def _smallest_size(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:  # noqa: ARG001
    return F.conv_transpose2d(y, weight, stride=stride, padding=padding)


@_wrong(
    "Completado con ceros",
    "Has llegado al tamaño pedido añadiendo ceros al final. Con relleno, la última ventana llegaba hasta ahí y esas "
    "filas no son cero: recorta menos (`output_padding`) en vez de añadir.",
)
def _zero_filled(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    small = F.conv_transpose2d(y, weight, stride=stride, padding=padding)
    return F.pad(small, (0, output_size[1] - small.shape[3], 0, output_size[0] - small.shape[2]))


@_wrong(
    "Estirado hasta el tamaño pedido",
    "Has ampliado el resultado con `interpolate` para llegar al tamaño pedido, y cada filtro queda deformado. No se "
    "estira: las filas que faltan son las que dejó de cubrir la última ventana.",
)
def _stretched(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    small = F.conv_transpose2d(y, weight, stride=stride, padding=padding)
    return F.interpolate(small, size=output_size, mode="bilinear", align_corners=False)


@_wrong(
    "Lo que sobra, al principio",
    "Has dejado al principio las filas y columnas que sobran, y la imagen queda desplazada. Las ventanas se cuentan "
    "desde arriba a la izquierda: lo que no llegan a cubrir está al final.",
)
def _leftover_first(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    small = F.conv_transpose2d(y, weight, stride=stride, padding=padding)
    return F.pad(small, (output_size[1] - small.shape[3], 0, output_size[0] - small.shape[2], 0))


@_wrong(
    "Los solapes, borrados",
    "Donde dos filtros se solapan, el segundo borra al primero: has asignado con `=` en vez de sumar con `+=`. Un "
    "píxel que contribuyó a dos salidas recibe de las dos.",
)
def _overlap_overwritten(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    out = _stamped(y, weight, stride, _padded(output_size, padding), assign=True)
    return _cropped(out, padding, output_size)


@_wrong(
    "Los solapes, promediados",
    "Has dividido cada píxel por el número de ventanas que lo cubren. Eso se hace para recomponer una imagen a trozos; "
    "la transpuesta solo suma.",
)
def _overlap_averaged(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    ones = torch.ones_like(y[:, :1]), torch.ones_like(weight[:1, :1])
    cover = _correct(*ones, stride, padding, output_size)
    return _correct(y, weight, stride, padding, output_size) / cover.clamp(min=1)


@_wrong(
    "Alto y ancho del resultado cambiados",
    "Has devuelto una imagen de W filas y H columnas. `output_size` es `(H, W)`: primero el alto.",
)
def _size_swapped(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    return _correct(y, weight, stride, padding, (max(output_size), max(output_size)))[
        :, :, : output_size[1], : output_size[0]
    ]


@_wrong(
    "El filtro, normalizado",
    "Has dividido cada filtro por su norma, como si la transpuesta tuviera que deshacer la convolución. No la deshace: "
    "estampa los pesos con sus valores, y así se cumple ⟨Wx, y⟩ = ⟨x, Wᵀy⟩.",
)
def _normalized(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    norm = weight.flatten(1).norm(dim=1)[:, None, None, None]
    return _correct(y, weight / norm, stride, padding, output_size)
