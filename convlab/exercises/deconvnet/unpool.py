"""Ejercicio 2: la desagrupación. Los errores de su catálogo están en `unpool_errors`."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab import deconvnet as library
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.deconvnet.unpool_errors import CATALOGUE
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_right = _catalogue.right


def _draft(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    signed: bool = False,
    setup: frozenset[str] = frozenset(),
    **pool: Any,
) -> Draft:
    """Los interruptores de unos mapas al azar y una señal cualquiera, con la suma escrita valor a valor."""
    maps = torch.from_numpy(rng.normal(0, 1, shape))
    # El núcleo de un *pooling* sin solapes no es dato de la función: lo único que llega son los índices.
    _, indices = F.max_pool2d(maps, **pool, return_indices=True)
    switches = indices.numpy()
    pooled = rng.uniform(0.2, 2.0, switches.shape)
    if signed:
        pooled *= rng.permutation(np.resize([-1.0, 1.0], pooled.size)).reshape(pooled.shape)
    height, width = shape[2:]
    expected = np.zeros(shape)
    for n, c, i, j in np.ndindex(*switches.shape):
        expected[n, c, switches[n, c, i, j] // width, switches[n, c, i, j] % width] += pooled[n, c, i, j]
    return Draft({"pooled": pooled, "switches": switches, "size": (height, width)}, setup, expected)


def _sizes(rng: np.random.Generator, *options: int) -> tuple[int, int]:
    """Alto y ancho, distintos."""
    height, width = (int(size) for size in rng.permutation(options)[:2])
    return height, width


def _one_map(rng: np.random.Generator) -> Draft:
    """Un solo mapa cuadrado: quien se confunde de canal, de imagen o de eje conserva estos puntos."""
    side = int(rng.choice([6, 8]))
    return _draft(rng, (1, 1, side, side), kernel_size=2)


def _channels(rng: np.random.Generator) -> Draft:
    side = int(rng.choice([6, 8]))
    return _draft(rng, (1, 4, side, side), kernel_size=2)


def _batch(rng: np.random.Generator) -> Draft:
    side = int(rng.choice([6, 9]))
    return _draft(rng, (3, 2, side, side), kernel_size=3)


def _rectangle(rng: np.random.Generator) -> Draft:
    return _draft(rng, (2, 3, *_sizes(rng, 4, 6, 8)), kernel_size=2)


def _odd(rng: np.random.Generator) -> Draft:
    """Lo que sobra tras la última ventana no entró en ninguna: queda a cero, pero está."""
    return _draft(rng, (2, 2, *_sizes(rng, 5, 7, 9)), kernel_size=2)


def _overlapping(rng: np.random.Generator) -> Draft:
    return _shared(rng, 1, kernel_size=3, stride=2)


def _overlapping_padded(rng: np.random.Generator) -> Draft:
    return _shared(rng, 2, kernel_size=3, stride=1, padding=1)


def _signed(rng: np.random.Generator) -> Draft:
    return _draft(rng, (2, 3, *_sizes(rng, 4, 6, 8)), signed=True, kernel_size=2)


def _overlapping_signed(rng: np.random.Generator) -> Draft:
    return _shared(rng, 2, signed=True, kernel_size=3, stride=2)


def _shared(rng: np.random.Generator, n: int, **options: Any) -> Draft:
    """Ventanas que se solapan, con algún máximo de varias."""
    while True:
        draft = _draft(rng, (n, 2, *_sizes(rng, 7, 9, 11)), **options)
        flat = draft.arguments["switches"].reshape(2 * n, -1)
        if all(len(np.unique(row)) < row.size for row in flat):
            return draft


def _float32(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, (2, 3, *_sizes(rng, 4, 6, 8)), kernel_size=2)
    return Draft({k: v.astype("float32") if k == "pooled" else v for k, v in draft.arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(rng, (2, 3, *_sizes(rng, 4, 6, 8)), setup=frozenset({"strided"}), kernel_size=2)


@_right
def _value_by_value(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    n, c, h, w = pooled.shape
    out = torch.zeros(n, c, height, width, dtype=pooled.dtype, device=pooled.device)
    for image, channel, i, j in product(range(n), range(c), range(h), range(w)):
        row, column = divmod(int(switches[image, channel, i, j]), width)
        out[image, channel, row, column] += pooled[image, channel, i, j]
    return out


@_right
def _scatter(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    flat = torch.zeros(*pooled.shape[:2], size[0] * size[1], dtype=pooled.dtype, device=pooled.device)
    flat.scatter_add_(2, switches.flatten(2), pooled.flatten(2))
    return flat.reshape(*pooled.shape[:2], *size)


@_right
def _one_hot(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Cada interruptor, un vector con un 1 en su sitio; la señal los suma."""
    where = F.one_hot(switches.flatten(2), size[0] * size[1]).to(pooled.dtype)
    return torch.einsum("ncp,ncpk->nck", pooled.flatten(2), where).unflatten(2, size)


@_right
def _counted(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Con NumPy y un índice único para todo el lote; `bincount` suma los que se repiten."""
    n, c = pooled.shape[:2]
    cells = size[0] * size[1]
    place = switches.numpy().reshape(n * c, -1) + np.arange(n * c)[:, None] * cells
    total = np.bincount(place.ravel(), pooled.numpy().ravel(), n * c * cells)
    return torch.from_numpy(total.reshape(n, c, *size)).to(pooled.dtype)


@_right
def _derivative_of_gather(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """La adjunta de recoger los máximos."""
    with torch.enable_grad():
        maps = pooled.new_zeros(*pooled.shape[:2], size[0] * size[1]).requires_grad_()
        gathered = maps.gather(2, switches.flatten(2))
        (down,) = torch.autograd.grad(gathered, maps, pooled.flatten(2))
    return down.unflatten(2, size)


EXERCISE = Exercise(
    id="deconvnet.unpool",
    title="Desagrupar con interruptores",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=library.unpool,
    properties=(
        Property("Cada valor, en su interruptor", 2, (_one_map,)),
        Property("Cada canal y cada imagen, con los suyos", 2, (_channels, _batch)),
        Property("Alto y ancho distintos, y tamaños impares", 1, (_rectangle, _odd)),
        Property("Si varias ventanas comparten el máximo, se suma", 2, (_overlapping, _overlapping_padded)),
        Property("La señal conserva su signo", 1, (_signed, _overlapping_signed)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=_catalogue.variants,
)
