"""Otras maneras correctas de deslizar un filtro."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right


@_right
def _window_by_window(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    kh, kw = weight.shape[2:]
    padded = F.pad(x, [padding] * 4)
    rows = range(0, padded.shape[1] - kh + 1, stride)
    columns = range(0, padded.shape[2] - kw + 1, stride)
    return torch.stack(
        [torch.stack([(weight * padded[:, i : i + kh, j : j + kw]).sum((1, 2, 3)) for j in columns], -1) for i in rows],
        1,
    )


@_right
def _weight_by_weight(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Se desplaza la imagen en vez del filtro: cada peso suma una copia suya corrida."""
    (channels, h, w), (count, _, kh, kw) = x.shape, weight.shape
    padded = x.new_zeros(channels, h + 2 * padding, w + 2 * padding)
    padded[:, padding : padding + h, padding : padding + w] = x
    rows, columns = (padded.shape[1] - kh) // stride + 1, (padded.shape[2] - kw) // stride + 1
    total = x.new_zeros(count, rows, columns)
    for a in range(kh):
        for b in range(kw):
            moved = padded[:, a : a + (rows - 1) * stride + 1 : stride, b : b + (columns - 1) * stride + 1 : stride]
            total += torch.einsum("oc,chw->ohw", weight[:, :, a, b], moved)
    return total


@_right
def _as_a_product(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    columns = F.unfold(x[None], weight.shape[2:], padding=padding, stride=stride)[0]
    rows = (x.shape[1] + 2 * padding - weight.shape[2]) // stride + 1
    return (weight.flatten(1) @ columns).unflatten(1, (rows, -1))


@_right
def _with_numpy(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    padded = np.pad(x.numpy(), [(0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    values = np.tensordot(weight.numpy(), windows[:, ::stride, ::stride], axes=([1, 2, 3], [0, 3, 4]))
    return torch.from_numpy(np.ascontiguousarray(values)).to(x)


@_right
def _by_frequencies(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Por el teorema de convolución: en frecuencia, deslizar es multiplicar por el conjugado."""
    (kh, kw), padded = weight.shape[2:], F.pad(x.double(), [padding] * 4)
    h, w = padded.shape[1:]
    product = torch.fft.rfft2(padded)[None] * torch.fft.rfft2(weight.double(), s=(h, w)).conj()
    full = torch.fft.irfft2(product.sum(1), s=(h, w))
    return full[:, : h - kh + 1 : stride, : w - kw + 1 : stride].to(x.dtype)


VARIANTS = _catalogue.variants
