"""Ejercicio 1: una dirección por imagen, la media espacial llevada a longitud uno."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab import retrieval
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.retrieval.neighbors import unit_length

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _maps(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mapas como los que salen de una ReLU; ningún eje mide lo que otro."""
    c, h, w = rng.permutation([4, 5, 6, 7])[:3]
    return np.asarray(rng.uniform(0.2, 3, (n, c, 1, 1)) * rng.uniform(0.1, 1, (n, c, h, w)))


def _draft(maps: np.ndarray, setup: frozenset[str] = frozenset()) -> Draft:
    pooled = maps.mean((2, 3))
    norm = np.linalg.norm(pooled, axis=1, keepdims=True)
    return Draft({"activations": maps}, setup, expected=pooled / np.where(norm > 0, norm, 1))


def _one_image(rng: np.random.Generator) -> Draft:
    return _draft(_maps(rng, 1))


def _batch(rng: np.random.Generator) -> Draft:
    return _draft(_maps(rng, 3) * rng.uniform(0.5, 4, (3, 1, 1, 1)))


def _signed(rng: np.random.Generator) -> Draft:
    """Una capa sin ReLU: hay canales con media negativa, y posiciones que se compensan."""
    maps = _maps(rng, 2)
    maps[:, 0] *= -1
    return _draft(maps + rng.normal(0, 0.4, maps.shape))


def _nothing(rng: np.random.Generator) -> Draft:
    maps = _maps(rng, 3)
    maps[int(rng.integers(3))] = 0
    return _draft(maps)


def _tiny(rng: np.random.Generator) -> Draft:
    return _draft(_maps(rng, 2) * np.array([1e-8, 1e-6])[:, None, None, None])


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"activations": _maps(rng, 2).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_maps(rng, 2), frozenset({"strided"}))


@_wrong(
    "Sin llevar a longitud uno",
    "Te has quedado en la media espacial. Una imagen con más contraste tendría entonces un vector más largo, y se "
    "trata de comparar direcciones: divide cada fila por su norma.",
)
def _not_normalized(activations: Tensor) -> Tensor:
    return activations.mean((2, 3))


@_wrong(
    "Media sobre los canales",
    "Has promediado el eje 1, el de los canales, y quedan posiciones. Es al revés: cada canal conserva su número y los "
    "ejes que desaparecen son los espaciales, 2 y 3.",
)
def _mean_over_channels(activations: Tensor) -> Tensor:
    return unit_length(activations.mean(1).flatten(1))


@_wrong(
    "Sin promediar",
    "Has estirado los mapas enteros en un vector. Así dos fotos de lo mismo con el objeto en otro sitio no se parecen: "
    "promedia antes las posiciones, que deja un número por canal.",
)
def _flattened(activations: Tensor) -> Tensor:
    return unit_length(activations.flatten(1))


@_wrong(
    "Máximo en vez de media",
    "Has tomado el mayor valor de cada canal, y una sola posición decide por todas. Se pide la media de las "
    "posiciones, `mean(dim=(2, 3))`.",
)
def _max_over_space(activations: Tensor) -> Tensor:
    return unit_length(activations.amax((2, 3)))


@_wrong(
    "Norma por columnas",
    "Has calculado la norma de cada canal a lo largo del lote (`dim=0`). La que vale uno es la longitud de cada "
    "imagen, de cada fila: `norm(dim=1, keepdim=True)`.",
)
def _norm_of_columns(activations: Tensor) -> Tensor:
    pooled = activations.mean((2, 3))
    norm = pooled.norm(dim=0, keepdim=True)
    return pooled / torch.where(norm > 0, norm, 1)


@_wrong(
    "Una sola norma para el lote",
    "Has dividido todas las filas por la norma de la matriz entera, y el vector de una imagen depende de con quién "
    "comparta el lote. Cada fila tiene la suya: `norm(dim=1, keepdim=True)`.",
)
def _norm_of_batch(activations: Tensor) -> Tensor:
    pooled = activations.mean((2, 3))
    return pooled / pooled.norm()


@_wrong(
    "Suma uno en vez de longitud uno",
    "Has dividido por la suma de los valores absolutos. La longitud de un vector es la raíz de la suma de sus "
    "cuadrados, que es lo que da `norm`.",
)
def _sums_to_one(activations: Tensor) -> Tensor:
    pooled = activations.mean((2, 3))
    total = pooled.abs().sum(1, keepdim=True)
    return pooled / torch.where(total > 0, total, 1)


@_wrong(
    "Falta la raíz",
    "Has dividido por la suma de los cuadrados, que es la longitud al cuadrado. Falta la raíz: `norm` ya la lleva.",
)
def _squared_norm(activations: Tensor) -> Tensor:
    pooled = activations.mean((2, 3))
    squared = pooled.square().sum(1, keepdim=True)
    return pooled / torch.where(squared > 0, squared, 1)


@_wrong(
    "Longitud uno antes de promediar",
    "Has llevado a longitud uno cada posición y después has hecho la media: pesan lo mismo las posiciones encendidas "
    "que las apagadas, y el resultado ya no mide uno. Primero la media; después, la norma.",
)
def _normalized_first(activations: Tensor) -> Tensor:
    norm = activations.norm(dim=1, keepdim=True)
    return (activations / torch.where(norm > 0, norm, 1)).mean((2, 3))


@_wrong(
    "Valores negativos perdidos",
    "Has puesto a cero lo negativo. No todas las capas acaban en ReLU, y un canal con media negativa también señala "
    "una dirección: conserva el signo.",
)
def _relu_first(activations: Tensor) -> Tensor:
    return unit_length(activations.mean((2, 3)).relu())


@_wrong(
    "División por cero",
    "Una imagen sin activación alguna tiene norma 0, y 0 entre 0 da NaN. Su vector se queda en cero: divide por 1 "
    "donde la norma sea 0.",
)
def _zero_division(activations: Tensor) -> Tensor:
    pooled = activations.mean((2, 3))
    return pooled / pooled.norm(dim=1, keepdim=True)


@_wrong(
    "Un épsilon que manda",
    "Has sumado un número pequeño a la norma para no dividir por cero. Si las activaciones también son pequeñas, ese "
    "número decide y el vector no llega a medir uno. Divide por la norma exacta y trata aparte la que es 0.",
)
def _epsilon(activations: Tensor) -> Tensor:
    pooled = activations.mean((2, 3))
    return pooled / (pooled.norm(dim=1, keepdim=True) + 1e-8)


@_right
def _loops(activations: Tensor) -> Tensor:
    rows = []
    for image in activations:
        vector = torch.stack([channel.sum() / channel.numel() for channel in image])
        length = vector.square().sum().sqrt()
        rows.append(vector / length if length > 0 else vector)
    return torch.stack(rows)


@_right
def _pooling(activations: Tensor) -> Tensor:
    return F.normalize(F.adaptive_avg_pool2d(activations, 1).flatten(1), dim=1)


@_right
def _numpy_sums(activations: Tensor) -> Tensor:
    """La suma en vez de la media: la longitud uno borra la diferencia."""
    total = activations.detach().cpu().double().numpy().sum((2, 3))
    norm = np.sqrt(np.einsum("nc,nc->n", total, total))[:, None]
    unit = np.divide(total, norm, out=np.zeros_like(total), where=norm > 0)
    return torch.from_numpy(unit).to(activations)


EXERCISE = Exercise(
    id="retrieval.embed",
    title="Una dirección por imagen",
    minutes=8,
    visible_points=1,
    hidden_points=1,
    reference=retrieval.embed,
    properties=(
        Property("Media espacial llevada a longitud uno", 2, (_one_image,)),
        Property("Cada imagen del lote, por su cuenta", 2, (_batch,)),
        Property("Conserva el signo", 1, (_signed,)),
        Property("Una imagen sin activación se queda en cero", 1, (_nothing,)),
        Property("Longitud uno también con activaciones minúsculas", 1, (_tiny,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
