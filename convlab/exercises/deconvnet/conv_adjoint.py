"""Ejercicio 3: la convolución transpuesta. Los errores de su catálogo están en `conv_adjoint_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab import deconvnet as library
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.deconvnet.conv_adjoint_errors import CATALOGUE
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_right = _catalogue.right

Pair = tuple[int, int]


def _draft(
    rng: np.random.Generator,
    n: int,
    *,
    kernel: Pair = (3, 3),
    stride: int = 1,
    padding: int = 0,
    left: Pair = (0, 0),
    channels: Pair | None = None,
    setup: frozenset[str] = frozenset(),
) -> Draft:
    """Una señal y unos pesos al azar, con la suma escrita ventana a ventana.

    `left` son las filas y columnas que sobran tras la última ventana: las que hacen que `output_size` no se deduzca de
    la señal.
    """
    inputs, outputs = channels or tuple(int(c) for c in rng.permutation([2, 3, 4])[:2])
    h, w = (int(size) for size in rng.permutation([3, 4, 5])[:2])
    weight = rng.normal(0, 1, (outputs, inputs, *kernel))
    y = rng.normal(0, 1, (n, outputs, h, w))
    size = tuple(
        (cells - 1) * stride + k + extra - 2 * padding for cells, k, extra in zip((h, w), kernel, left, strict=True)
    )
    padded = np.zeros((n, inputs, size[0] + 2 * padding, size[1] + 2 * padding))
    for i, j in np.ndindex(h, w):
        window = np.einsum("no,ochw->nchw", y[:, :, i, j], weight)
        padded[:, :, i * stride : i * stride + kernel[0], j * stride : j * stride + kernel[1]] += window
    expected = padded[:, :, padding : padding + size[0], padding : padding + size[1]]
    arguments = {"y": y, "weight": weight, "stride": stride, "padding": padding, "output_size": size}
    return Draft(arguments, setup, expected)


def _plain(rng: np.random.Generator) -> Draft:
    return _draft(rng, 1)


def _square_channels(rng: np.random.Generator) -> Draft:
    """Tantos filtros como canales: confundir los dos ejes de los pesos no da error, y se ve en el valor."""
    return _draft(rng, 2, channels=(3, 3))


def _rectangular_kernel(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, kernel=(2, 4))


def _stride(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, stride=2)


def _disjoint(rng: np.random.Generator) -> Draft:
    """Un paso mayor que el núcleo: entre ventana y ventana queda un hueco a cero."""
    return _draft(rng, 1, kernel=(2, 2), stride=3)


def _padding(rng: np.random.Generator) -> Draft:
    return _draft(rng, 1, padding=1)


def _wide_padding(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, kernel=(5, 5), padding=2)


def _leftover(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, stride=3, left=(int(rng.choice([0, 1])), 2))


def _leftover_padded(rng: np.random.Generator) -> Draft:
    """La fila que sobra cae dentro de la última ventana, que llegaba hasta el relleno: no es cero."""
    return _draft(rng, 1, stride=2, padding=1, left=(1, int(rng.choice([0, 1]))))


def _identity(rng: np.random.Generator) -> Draft:
    while True:
        draft = _draft(rng, 3, stride=2, padding=1, left=(0, 1))
        arguments = draft.arguments
        x = _probe(3, arguments["weight"].shape[1], arguments["output_size"])
        up = F.conv2d(x, torch.from_numpy(arguments["weight"]), stride=2, padding=1)
        number = float((up * torch.from_numpy(arguments["y"])).sum())
        if abs(number) > 1:
            return Draft(arguments, measure=_product, expected={PRODUCT: number})


PRODUCT = "⟨x, Wᵀy⟩, que debe ser igual a ⟨Wx, y⟩"


def _probe(n: int, channels: int, size: Pair) -> Tensor:
    """Una imagen que no depende de la señal."""
    return torch.from_numpy(np.random.default_rng(8).normal(0, 1, (n, channels, *size)))


def _product(down: Tensor, y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> dict[str, Any]:  # noqa: ARG001
    return {PRODUCT: float((_probe(len(y), weight.shape[1], output_size) * down).sum())}


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _draft(rng, 2).arguments
    return Draft({k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, setup=frozenset({"strided"}))


@_right
def _transposed(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    extra = [
        size + 2 * padding - k - stride * (cells - 1)
        for size, k, cells in zip(output_size, weight.shape[2:], y.shape[2:], strict=True)
    ]
    return F.conv_transpose2d(y, weight, stride=stride, padding=padding, output_padding=extra)


@_right
def _window_by_window(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    height, width = output_size
    kh, kw = weight.shape[2:]
    out = y.new_zeros(len(y), weight.shape[1], height + 2 * padding, width + 2 * padding)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            stamp = torch.einsum("no,ochw->nchw", y[:, :, i, j], weight)
            out[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw] += stamp
    return out[:, :, padding : padding + height, padding : padding + width]


@_right
def _flipped_convolution(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    """Ceros entre los valores, margen alrededor y una convolución corriente con el núcleo girado."""
    (height, width), (kh, kw) = output_size, weight.shape[2:]
    spread = y.new_zeros(*y.shape[:2], height + 2 * padding - kh + 1, width + 2 * padding - kw + 1)
    spread[:, :, ::stride, ::stride] = y
    full = F.conv2d(F.pad(spread, (kw - 1, kw - 1, kh - 1, kh - 1)), weight.transpose(0, 1).flip(2, 3))
    return full[:, :, padding : padding + height, padding : padding + width]


@_right
def _derivative(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    """La convolución es lineal: su producto de vector por jacobiana no depende de la imagen."""
    x = y.new_zeros(len(y), weight.shape[1], *output_size)
    pull = torch.func.vjp(lambda image: F.conv2d(image, weight, stride=stride, padding=padding), x)[1]
    down: Tensor = pull(y)[0]
    return down


@_right
def _matrix(y: Tensor, weight: Tensor, stride: int, padding: int, output_size: Pair) -> Tensor:
    """La matriz W entera, columna a columna con una imagen de un solo píxel encendido, y su transpuesta en NumPy."""
    shape = weight.shape[1], *output_size
    pixels = torch.eye(int(np.prod(shape)), dtype=y.dtype).reshape(-1, *shape)
    columns = F.conv2d(pixels, weight, stride=stride, padding=padding).flatten(1).numpy()
    return torch.from_numpy(y.flatten(1).numpy() @ columns.T).reshape(-1, *shape)


EXERCISE = Exercise(
    id="deconvnet.conv_adjoint",
    title="La convolución, transpuesta",
    minutes=20,
    visible_points=2,
    hidden_points=2,
    reference=library.conv_adjoint,
    properties=(
        Property("Cada valor estampa su filtro, y los solapes se suman", 2, (_plain, _square_channels)),
        Property("Núcleos que no son cuadrados", 1, (_rectangular_kernel,)),
        Property("Con paso", 2, (_stride, _disjoint)),
        Property("Con relleno", 1, (_padding, _wide_padding)),
        Property("Del tamaño que se pide, aunque sobren filas", 2, (_leftover, _leftover_padded)),
        Property("⟨Wx, y⟩ = ⟨x, Wᵀy⟩", 1, (_identity,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=_catalogue.variants,
)
