"""Ejercicio 4: el área bajo una curva de borrado."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import occlusion
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _curves(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Curvas que bajan a trompicones, cada una desde su altura."""
    values = np.sort(rng.uniform(0, 1, shape))[..., ::-1] * rng.uniform(0.5, 0.9, (*shape[:-1], 1))
    return np.asarray(values + rng.normal(0, 0.03, shape))


def _area(curve: np.ndarray) -> np.ndarray:
    return np.asarray(((curve[..., 1:] + curve[..., :-1]) / 2).mean(-1))


def _draft(curve: np.ndarray, **options: Any) -> Draft:
    return Draft({"curve": curve}, expected=_area(curve), **options)


def _steps(rng: np.random.Generator) -> int:
    return int(rng.integers(5, 12))


def _one_curve(rng: np.random.Generator) -> Draft:
    return _draft(_curves(rng, _steps(rng) + 1))


def _straight(rng: np.random.Generator) -> Draft:
    """De una recta se sabe el área: la media de sus extremos."""
    start, end = rng.uniform(0.7, 1), rng.uniform(0, 0.3)
    return Draft({"curve": np.linspace(start, end, _steps(rng) + 1)}, expected=np.array((start + end) / 2))


def _two_points(rng: np.random.Generator) -> Draft:
    return _draft(_curves(rng, 2))


def _batch(rng: np.random.Generator) -> Draft:
    return _draft(_curves(rng, 3, _steps(rng) + 1))


def _square_batch(rng: np.random.Generator) -> Draft:
    """Tantas curvas como puntos: el eje equivocado no se nota en la forma."""
    return _draft(_curves(rng, 5, 5))


def _logits(rng: np.random.Generator) -> Draft:
    """De logits, que pueden ser negativos y subir al borrar."""
    return _draft(rng.normal(-2, 3, (2, _steps(rng) + 1)))


def _float32(rng: np.random.Generator) -> Draft:
    return _draft(_curves(rng, _steps(rng) + 1).astype("float32"))


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_curves(rng, 2, _steps(rng) + 1), setup=frozenset({"strided"}))


def _trapezoids(curve: Tensor) -> Tensor:
    return (curve[..., 1:] + curve[..., :-1]) / 2


@_wrong(
    "Sin la anchura de los pasos",
    "Has sumado los trapecios como si cada paso midiera 1: tu área crece con el número de pasos. La abscisa va de 0 a "
    "1, así que cada paso mide `1 / steps`.",
)
def _unit_steps(curve: Tensor) -> Tensor:
    return _trapezoids(curve).sum(-1)


@_wrong(
    "Un paso de más en la anchura",
    "Has dividido entre el número de puntos. Entre `steps + 1` puntos hay `steps` pasos: cada uno mide `1 / steps`.",
)
def _divided_by_points(curve: Tensor) -> Tensor:
    return _trapezoids(curve).sum(-1) / curve.shape[-1]


@_wrong(
    "La media de los puntos",
    "Has hecho la media de la curva, que da a los extremos el mismo peso que a los demás. En la regla de los trapecios "
    "el primer punto y el último cuentan la mitad, porque solo limitan un paso.",
)
def _mean_of_points(curve: Tensor) -> Tensor:
    return curve.mean(-1)


@_wrong(
    "Rectángulos por la izquierda",
    "Has sumado rectángulos con la altura del comienzo de cada paso, y en una curva que baja sale de más. Usa la media "
    "de los dos extremos de cada paso.",
)
def _left_rectangles(curve: Tensor) -> Tensor:
    return curve[..., :-1].mean(-1)


@_wrong(
    "Rectángulos por la derecha",
    "Has sumado rectángulos con la altura del final de cada paso, y en una curva que baja sale de menos. Usa la media "
    "de los dos extremos de cada paso.",
)
def _right_rectangles(curve: Tensor) -> Tensor:
    return curve[..., 1:].mean(-1)


@_wrong(
    "Área relativa al comienzo",
    "Has dividido la curva por su primer valor. Parece razonable, pero es otra medida: aquí el área se da tal cual, en "
    "las unidades de la curva.",
)
def _relative_to_start(curve: Tensor) -> Tensor:
    return _trapezoids(curve / curve[..., :1]).mean(-1)


@_wrong(
    "El área de encima",
    "Has devuelto 1 menos el área: lo que queda por encima de la curva. Se pide lo de debajo, y en el borrado es mejor "
    "cuanto menor.",
)
def _area_above(curve: Tensor) -> Tensor:
    return 1 - _trapezoids(curve).mean(-1)


@_wrong(
    "Todas las curvas en un número",
    "Has juntado las curvas del lote y sale un solo número. Cada fila es una curva con su área: integra solo el último "
    "eje.",
)
def _one_number(curve: Tensor) -> Tensor:
    return _trapezoids(curve).mean()


@_wrong(
    "El eje de las curvas en vez del de los pasos",
    "Has integrado el primer eje, que en un lote recorre las curvas. Los pasos están en el último: `dim=-1`.",
)
def _first_axis(curve: Tensor) -> Tensor:
    return ((curve[1:] + curve[:-1]) / 2).mean(0)


@_wrong(
    "Un número de Python en vez de un tensor",
    "Has sacado el valor del tensor con `float` o `.item()`. Se pierden el dispositivo y el tipo, y con un lote de "
    "curvas falla. Devuelve el tensor sin dimensiones, tal como sale de la suma.",
)
def _python_number(curve: Tensor) -> float:
    return float(_trapezoids(curve).mean(-1))


@_right
def _trapezoid_with_places(curve: Tensor) -> Tensor:
    places = torch.linspace(0, 1, curve.shape[-1], dtype=curve.dtype, device=curve.device)
    return torch.trapezoid(curve, places, dim=-1)


@_right
def _weighted_sum(curve: Tensor) -> Tensor:
    weights = torch.ones_like(curve)
    weights[..., 0] = weights[..., -1] = 0.5
    return (curve * weights).sum(dim=-1) / (curve.size(-1) - 1)


@_right
def _with_numpy(curve: Tensor) -> Tensor:
    values = curve.detach().cpu().double().numpy()
    areas = np.trapezoid(values, np.linspace(0, 1, values.shape[-1]), axis=-1)
    return torch.as_tensor(areas, dtype=curve.dtype, device=curve.device)


@_right
def _step_by_step(curve: Tensor) -> Tensor:
    if curve.ndim > 1:
        return torch.stack([_step_by_step(row) for row in curve])
    total, width = curve.new_zeros(()), 1 / (len(curve) - 1)
    for k in range(1, len(curve)):
        total = total + width * (curve[k] + curve[k - 1]) / 2
    return total


EXERCISE = Exercise(
    id="occlusion.faithfulness_auc",
    title="El área bajo la curva",
    minutes=7,
    visible_points=1,
    hidden_points=1,
    reference=occlusion.faithfulness_auc,
    properties=(
        Property("El área de una curva", 2, (_one_curve, _straight)),
        Property("Con solo dos puntos", 1, (_two_points,)),
        Property("Cada curva del lote, la suya", 2, (_batch, _square_batch)),
        Property("Curvas que suben o se hacen negativas", 1, (_logits,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
