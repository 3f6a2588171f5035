"""Ejercicio 3: llevar los pesos a [0, 1] sin mover el cero. Sus errores están en `normalize_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import filters
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.filters.normalize_errors import CATALOGUE

_right = CATALOGUE.right


def _draft(weight: np.ndarray, **options: Any) -> Draft:
    largest = np.abs(weight).max()
    return Draft({"weight": weight}, expected=0.5 + weight / (largest or 1) / 2, **options)


def _shape(rng: np.random.Generator) -> tuple[int, int, int, int]:
    o, c, kh, kw = (int(n) for n in rng.permutation([2, 3, 4, 5]))
    return o, c, kh, kw


def _balanced(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Núcleos con los mismos valores positivos que negativos, y todos con el mismo máximo.

    Aquí da igual tomar la escala del banco o la de cada filtro, y usar el máximo absoluto o el mínimo y el máximo:
    quien yerra en eso conserva los puntos de la base.
    """
    o, c, kh, kw = shape
    half = rng.uniform(0.05, 0.9, (o, c, kh * kw // 2))
    half[..., 0] = 1
    values = np.concatenate([half, -half, np.zeros((o, c, kh * kw % 2))], -1)
    return rng.permuted(values, axis=-1).reshape(shape)


def _base(rng: np.random.Generator) -> Draft:
    return _draft(_balanced(rng, _shape(rng)) * rng.uniform(0.2, 6))


def _lopsided(rng: np.random.Generator, sign: int) -> np.ndarray:
    """Núcleos que llegan más lejos por un lado que por el otro, todos lo mismo."""
    weight = _balanced(rng, _shape(rng)) * rng.uniform(0.2, 6)
    return np.asarray(np.where(sign * weight > 0, weight, weight * rng.uniform(0.3, 0.6)))


def _mostly_positive(rng: np.random.Generator) -> Draft:
    return _draft(_lopsided(rng, 1))


def _mostly_negative(rng: np.random.Generator) -> Draft:
    return _draft(_lopsided(rng, -1))


def _all_negative(rng: np.random.Generator) -> Draft:
    return _draft(-np.abs(_balanced(rng, _shape(rng))) * rng.uniform(0.2, 6))


def _loud_and_quiet(rng: np.random.Generator) -> Draft:
    """Un filtro fuerte y otros débiles; dentro de cada uno, todos los canales a la par."""
    weight = _balanced(rng, _shape(rng))
    scales = rng.uniform(0.05, 0.5, len(weight))
    scales[rng.integers(len(weight))] = 2
    return _draft(weight * scales[:, None, None, None])


def _uneven_channels(rng: np.random.Generator) -> Draft:
    """Canales con más peso que otros, igual en todos los filtros: por filtro o por banco, la escala es la misma."""
    weight = _balanced(rng, _shape(rng))
    scales = rng.uniform(0.05, 0.5, (weight.shape[1],))
    scales[rng.integers(weight.shape[1])] = 2
    return _draft(weight * scales[:, None, None])


def _empty_filter(rng: np.random.Generator) -> Draft:
    weight = _balanced(rng, _shape(rng))
    weight[rng.integers(len(weight))] = 0
    return _draft(weight)


def _zeros(rng: np.random.Generator) -> Draft:
    return _draft(np.zeros(_shape(rng)))


def _tiny(rng: np.random.Generator) -> Draft:
    """Con BatchNorm detrás, los pesos pueden ser minúsculos: ningún épsilon debe mandar sobre ellos."""
    return _draft(_balanced(rng, _shape(rng)) * rng.uniform(1, 9) * 1e-20)


def _single(rng: np.random.Generator) -> Draft:
    """Un solo peso distinto de cero: en un extremo si es positivo, en el otro si es negativo."""
    return _draft(np.full((1, 1, 1, 1), rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 3)))


def _float32(rng: np.random.Generator) -> Draft:
    return _draft((_balanced(rng, _shape(rng)) * 3).astype("float32"))


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_balanced(rng, _shape(rng)) * 3, setup=frozenset({"strided"}))


@_right
def _line_between_two_points(weight: Tensor) -> Tensor:
    top = weight.abs().max().item()
    return torch.full_like(weight, 0.5) if top == 0 else (weight + top) / (2 * top)


@_right
def _with_lerp(weight: Tensor) -> Tensor:
    top = torch.maximum(weight.max(), -weight.min())
    share = torch.where(top > 0, weight / top, torch.zeros_like(weight))
    return torch.lerp(torch.zeros_like(share), torch.ones_like(share), (share + 1) / 2)


@_right
def _on_a_copy(weight: Tensor) -> Tensor:
    values = weight.clone()
    largest = max(abs(v) for v in values.flatten().tolist())
    if largest:
        values /= largest
    values.mul_(0.5).add_(0.5)
    return values


@_right
def _with_numpy(weight: Tensor) -> Tensor:
    values = weight.numpy().astype("float64")
    largest = np.linalg.norm(values.ravel(), np.inf)
    scaled = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
    return torch.from_numpy(0.5 * (1 + scaled)).to(weight.dtype)


EXERCISE = Exercise(
    id="filters.normalize_filters",
    title="Que el gris sea cero",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=filters.normalize_filters,
    properties=(
        Property("Filtros equilibrados, de 0 a 1", 2, (_base,)),
        Property("El cero, siempre en 0,5", 2, (_mostly_positive, _mostly_negative, _all_negative)),
        Property("Una sola escala para todo el banco", 2, (_loud_and_quiet, _uneven_channels)),
        Property("Un filtro o un banco de ceros, en gris", 1, (_empty_filter, _zeros)),
        Property("Pesos minúsculos y un peso solo", 1, (_tiny, _single)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
