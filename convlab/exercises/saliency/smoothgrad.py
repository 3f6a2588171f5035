"""Ejercicio 3: SmoothGrad. La red que delata el ruido está en `noise_facts`, y los errores, en `smoothgrad_errors`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab import saliency
from convlab.exercises.case import Draft, Seeded
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import images, one_class_each
from convlab.exercises.saliency.networks import class_weights, linear_net, losing_case
from convlab.exercises.saliency.noise_facts import (
    COPIES,
    SIGMA,
    chance_facts,
    noise_facts,
    one_copy_facts,
    revealing_image,
    revealing_net,
)
from convlab.exercises.saliency.smoothgrad_errors import CATALOGUE
from convlab.exercises.saliency.smoothgrad_variants import VARIANTS


def _arguments(
    rng: np.random.Generator, model: Any, x: np.ndarray, target: Any, n: int, sigma: float
) -> dict[str, Any]:
    generator = Seeded(int(rng.integers(10**6)))
    return {"model": model, "x": x, "target": target, "n": n, "sigma": sigma, "generator": generator}


def _linear(
    rng: np.random.Generator, n: int, *, positive: bool = True, per_image: bool = False, dtype: str = "float64"
) -> Draft:
    """En una red lineal el gradiente es el mismo en todas partes: el ruido no cambia nada."""
    height, width = (int(s) for s in rng.permutation([5, 6, 7, 8])[:2])
    spec, x = linear_net(rng, height, width, positive=positive), images(rng, n, height, width)
    target: Any = one_class_each(rng, n, 4) if per_image else int(rng.integers(4))
    expected = np.abs(class_weights(spec, target, x.shape)).max(1).astype(dtype)
    arguments = _arguments(rng, spec.astype(dtype), x.astype(dtype), target, int(rng.integers(3, 6)), 0.3)
    return Draft(arguments, expected=expected)


def _linear_one(rng: np.random.Generator) -> Draft:
    return _linear(rng, 1)


def _linear_batch(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2)


def _linear_signed(rng: np.random.Generator) -> Draft:
    return _linear(rng, 1, positive=False)


def _class_per_image(rng: np.random.Generator) -> Draft:
    return _linear(rng, 3, per_image=True)


def _float32(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2, dtype="float32")


def _strided(rng: np.random.Generator) -> Draft:
    draft = _linear(rng, 2)
    return Draft(draft.arguments, frozenset({"strided"}), draft.expected)


def _no_noise(rng: np.random.Generator) -> Draft:
    """Sin ruido, todas las copias son la imagen."""
    return Draft(_arguments(rng, **losing_case(rng, 3), n=4, sigma=0.0))


def _no_noise_frozen(rng: np.random.Generator) -> Draft:
    return Draft(_arguments(rng, **losing_case(rng, 1), n=4, sigma=0.0), frozenset({"frozen"}))


def _revealing(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """La misma imagen dos veces: con ruido propio, sus mapas son distintos."""
    image = revealing_image(rng)
    return _arguments(rng, revealing_net(rng, image), np.stack([image, image]), int(rng.integers(4)), n, SIGMA)


def _many_copies(rng: np.random.Generator) -> Draft:
    arguments = _revealing(rng, COPIES)
    return Draft(arguments, measure=noise_facts)


def _one_copy(rng: np.random.Generator) -> Draft:
    arguments = _revealing(rng, 1)
    return Draft(arguments, measure=one_copy_facts)


def _chance(rng: np.random.Generator) -> Draft:
    return Draft(_revealing(rng, 5), call=three_times, measure=chance_facts)


def three_times(
    function: Callable[..., Any],
    model: nn.Module,
    x: Tensor,
    target: int,
    n: int,
    sigma: float,
    generator: torch.Generator,
) -> list[Any]:
    """Dos veces con la misma semilla y una con otra."""
    seed = generator.initial_seed()
    generators = [torch.Generator().manual_seed(s) for s in (seed, seed, seed + 1)]
    return [function(model, x, target, n, sigma, g) for g in generators]


EXERCISE = Exercise(
    id="saliency.smoothgrad",
    title="SmoothGrad: quitar ruido poniendo ruido",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=saliency.smoothgrad,
    properties=(
        Property("En una red lineal, el ruido no cambia nada", 2, (_linear_one, _linear_batch)),
        Property("Lo que va en contra también cuenta", 1, (_linear_signed,)),
        Property("Sin ruido es el mapa de saliencia", 1, (_no_noise, _no_noise_frozen)),
        Property("Media de n gradientes, cada uno con su ruido", 3, (_many_copies, _one_copy)),
        Property("El azar sale del generador", 1, (_chance,)),
        Property("Una clase por imagen", 1, (_class_per_image,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
