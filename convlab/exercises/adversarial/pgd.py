"""Ejercicio 3: PGD, muchos pasos pequeños sin salir de la bola. Su catálogo de errores está en `pgd_errors`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab import adversarial
from convlab.exercises.adversarial.iterated import exact, raised, seeded, sizes, started, without_generator
from convlab.exercises.adversarial.networks import FAR, Sample, answers, binary, curved, several, walk
from convlab.exercises.adversarial.pgd_errors import CATALOGUE
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property

_right = CATALOGUE.right


def _exact(rng: np.random.Generator, sample: Sample, **options: Any) -> Draft:
    return exact(rng, sample, {"y": sample.y}, sample.uphill, **options)


def _few_steps(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 1, margin=FAR), steps=int(rng.integers(3, 6)), reach=0.8)


def _few_steps_batch(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 3, margin=FAR), steps=3, reach=0.8)


def _one_step(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 1), steps=1, reach=0.7)


def _beyond(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 2, ignored=0.2), steps=5, reach=2.5)


def _borders(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 2, low=0, high=1), steps=4, reach=0.9)


def _failed_already(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 3, wrong=(int(rng.integers(3)),)), steps=3, reach=0.8)


def _curved(rng: np.random.Generator) -> Draft:
    """El camino cambia de rumbo, y proyectar en cada paso no es lo mismo que hacerlo al final."""
    return _walked(rng, curved, reach=2.5)


def _many_classes(rng: np.random.Generator) -> Draft:
    return _walked(rng, several, reach=0.9)


def _walked(rng: np.random.Generator, build: Any, *, reach: float) -> Draft:
    while True:
        sample, size = build(rng, 2), sizes(rng, 5, reach)
        found = walk(sample, **size)
        bent = found.turns >= 5 and (found.late >= 5 or reach < 1)
        if found.clear and bent and (answers(sample) != sample.y).any():
            arguments = {"model": sample.model, "x": sample.x, "y": sample.y, **size}
            return Draft(arguments | {"random_start": False, "generator": seeded(rng)}, expected=found.x_adv)


def _started(rng: np.random.Generator) -> Draft:
    return started(rng, "y")


def _anywhere_to_the_same_corner(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 2), steps=5, reach=2.5, random_start=True)


def _raised(rng: np.random.Generator) -> Draft:
    return raised(rng, "y", 1)


def _frozen(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 2), steps=3, reach=0.8, setup=frozenset({"frozen"}))


def _float32(rng: np.random.Generator) -> Draft:
    return _exact(rng, binary(rng, 2).single(), steps=3, reach=0.8)


def _strided(rng: np.random.Generator) -> Draft:
    # Con camino de sobra: a quien empieza al azar sin que se lo pidan, y aquí sin generador, no le cambia el resultado.
    options: dict[str, Any] = {"setup": frozenset({"strided"}), "call": without_generator}
    return _exact(rng, binary(rng, 2), steps=5, reach=2.5, **options)


@_right
def _image_by_image(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    attacked = []
    for image, label in zip(x.split(1), y.split(1), strict=True):
        delta = torch.zeros_like(image)
        if random_start:
            delta.uniform_(-eps, eps, generator=generator)
        for _ in range(steps):
            z = (image + delta).clamp(0, 1).requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), label), z)
            delta = ((image + delta).clamp(0, 1) + alpha * gradient.sign() - image).clamp(-eps, eps)
        attacked.append((image + delta).clamp(0, 1))
    return torch.cat(attacked)


@_right
def _functional(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    uphill = torch.func.grad(lambda z: -model(z).log_softmax(1).gather(1, y[:, None]).mean())
    low, high = torch.maximum(x - eps, torch.zeros_like(x)), torch.minimum(x + eps, torch.ones_like(x))
    z = x.clone()
    if random_start:
        z = low + (high - low) * torch.rand(x.shape, generator=generator).to(x)
    for _ in range(steps):
        z = torch.minimum(torch.maximum(z + alpha * torch.sign(uphill(z)), low), high)
    return z


@_right
def _backward_on_a_copy(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Con `.backward()`, que aquí solo ensucia una copia de la red, y NumPy para moverse."""
    model = copy.deepcopy(model).requires_grad_(False)
    centre = x.numpy()
    place = centre.copy()
    if random_start:
        draw = torch.empty(x.shape, dtype=torch.float64).uniform_(-1, 1, generator=generator)
        place = np.clip(centre + (eps * draw).numpy(), 0, 1).astype(centre.dtype)
    for _ in range(steps):
        z = torch.tensor(place, requires_grad=True)
        F.cross_entropy(model(z), y, reduction="sum").backward()
        step = place + alpha * np.sign(z.grad.numpy())  # type: ignore[union-attr]
        place = np.clip(np.clip(step, centre - eps, centre + eps), 0, 1).astype(centre.dtype)
    return torch.from_numpy(place)


EXERCISE = Exercise(
    id="adversarial.pgd",
    title="Muchos pasos pequeños",
    minutes=20,
    visible_points=2,
    hidden_points=2,
    reference=adversarial.pgd,
    properties=(
        Property("Pasos de tamaño alpha que suben la pérdida", 2, (_few_steps, _few_steps_batch, _one_step)),
        Property("Sin salir de la bola", 2, (_beyond,)),
        Property("Sin salir de [0, 1]", 1, (_borders,)),
        Property("La clase verdadera, aunque la red ya fallara", 1, (_failed_already,)),
        Property("El gradiente se calcula de nuevo en cada paso", 2, (_curved, _many_classes)),
        Property("Un comienzo al azar dentro de la bola", 2, (_started, _anywhere_to_the_same_corner, _raised)),
        Property("Red congelada, float32 y memoria no contigua", 1, (_frozen, _float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
