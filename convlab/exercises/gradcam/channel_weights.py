"""Ejercicio 1: el peso de cada canal es la media espacial de su gradiente."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab import gradcam
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _gradients(rng: np.random.Generator, n: int) -> np.ndarray:
    # Alto y ancho distintos, y ningún eje con el mismo tamaño que otro: un eje equivocado se nota en la forma.
    c, h, w = rng.permutation([4, 5, 6, 7])[:3]
    return rng.normal(rng.normal(0, 0.5, (n, c, 1, 1)), 1, (n, c, h, w))


def _one_image(rng: np.random.Generator) -> Draft:
    values = _gradients(rng, 1)
    return Draft({"gradients": values}, expected=values.mean((2, 3)))


def _batch(rng: np.random.Generator) -> Draft:
    values = _gradients(rng, 3)
    return Draft({"gradients": values}, expected=values.mean((2, 3)))


def _constant(rng: np.random.Generator) -> Draft:
    """Un gradiente constante por canal: el peso es ese valor, con su signo."""
    weights = rng.normal(0, 1, (2, 5))
    weights[:, 0] = -np.abs(weights[:, 0]) - 0.5
    return Draft({"gradients": np.tile(weights[:, :, None, None], (1, 1, 3, 4))}, expected=weights)


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"gradients": _gradients(rng, 2).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft({"gradients": _gradients(rng, 2)}, frozenset({"strided"}))


@_wrong(
    "Media sobre los canales",
    "Has promediado el eje 1, el de los canales, y quedan posiciones. Es al revés: cada canal conserva su peso y los "
    "ejes que desaparecen son los espaciales, 2 y 3.",
)
def _mean_over_channels(gradients: Tensor) -> Tensor:
    return gradients.mean(1)


@_wrong(
    "Suma en vez de media",
    "Tus pesos son h · w veces los correctos: has sumado las posiciones y falta dividir por cuántas son.",
)
def _sum_over_space(gradients: Tensor) -> Tensor:
    return gradients.sum((2, 3))


@_wrong(
    "Máximo en vez de media",
    "Has tomado el mayor gradiente de cada canal. Una sola posición decide entonces por todas: Grad-CAM usa la media.",
)
def _max_over_space(gradients: Tensor) -> Tensor:
    return gradients.amax((2, 3))


@_wrong(
    "Imágenes mezcladas",
    "Has promediado también el eje 0, el del lote: todas las imágenes reciben los mismos pesos. Cada imagen tiene los "
    "suyos; promedia solo los ejes 2 y 3.",
)
def _mixed_images(gradients: Tensor) -> Tensor:
    return gradients.mean((0, 2, 3)).expand(len(gradients), -1)


@_wrong(
    "Valor absoluto",
    "Has perdido el signo con un valor absoluto. Un peso negativo es información: ese canal va en contra de la clase.",
)
def _absolute_value(gradients: Tensor) -> Tensor:
    return gradients.abs().mean((2, 3))


@_wrong(
    "ReLU en los pesos",
    "Has puesto a cero los pesos negativos. La ReLU de Grad-CAM llega más tarde, sobre la suma de los canales; los "
    "pesos conservan su signo.",
)
def _relu_on_weights(gradients: Tensor) -> Tensor:
    return gradients.mean((2, 3)).relu()


@_wrong(
    "Media de un solo eje",
    "Has promediado solo el ancho y queda el alto. La media espacial recorre las dos: `dim=(2, 3)`.",
)
def _mean_over_width(gradients: Tensor) -> Tensor:
    return gradients.mean(3)


@_right
def _loops(gradients: Tensor) -> Tensor:
    rows = [torch.stack([channel.sum() / channel.numel() for channel in image]) for image in gradients]
    return torch.stack(rows)


@_right
def _einsum(gradients: Tensor) -> Tensor:
    _, _, h, w = gradients.shape
    return torch.einsum("nchw->nc", gradients) / (h * w)


@_right
def _pooling(gradients: Tensor) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(gradients, 1).flatten(1)


EXERCISE = Exercise(
    id="gradcam.channel_weights",
    title="¿Cuánto pesa cada canal?",
    minutes=5,
    visible_points=1,
    hidden_points=1,
    reference=gradcam.channel_weights,
    properties=(
        Property("Media espacial de una imagen", 2, (_one_image,)),
        Property("Cada imagen del lote, por su cuenta", 2, (_batch,)),
        Property("Conserva el signo", 2, (_constant,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
