"""Ejercicio 5: PGD dirigido, hacia la clase que se elige. Su catálogo de errores está en `targeted_pgd_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab import adversarial
from convlab.exercises.adversarial.iterated import exact, raised, seeded, sizes, started
from convlab.exercises.adversarial.networks import FAR, Sample, answers, binary, curved, several, walk
from convlab.exercises.adversarial.targeted_pgd_errors import CATALOGUE
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property

_right = CATALOGUE.right

Target = int | Tensor


def _towards(rng: np.random.Generator, sample: Sample, target: Any = None, **options: Any) -> Draft:
    """La clase pedida es la de `sample.y`: su pérdida baja hacia el otro lado."""
    return exact(rng, sample, {"target": sample.y if target is None else target}, -sample.uphill, **options)


def _elsewhere(rng: np.random.Generator, n: int, **options: Any) -> Sample:
    """A cada imagen se le pide la clase que la red no responde."""
    return binary(rng, n, wrong=tuple(range(n)), **options)


def _few_steps(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 1, margin=FAR), steps=int(rng.integers(2, 5)), reach=0.6)


def _class_per_image(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 3, margin=FAR), steps=3, reach=0.6)


def _one_class_for_all(rng: np.random.Generator) -> Draft:
    """Un entero; unas imágenes ya responden esa clase, y se sigue igual."""
    sample, target = binary(rng, 3), int(rng.integers(2))
    uphill = sample.uphill * np.where(sample.y == target, 1, -1)[:, None, None, None]
    same = Sample(sample.model, sample.x, np.full(3, target), uphill)
    return _towards(rng, same, target, steps=3, reach=0.6)


def _already_there(rng: np.random.Generator) -> Draft:
    return _towards(rng, binary(rng, 2), steps=3, reach=0.9)


def _beyond(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 2, ignored=0.2), steps=5, reach=2.5)


def _borders(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 2, low=0, high=1), steps=4, reach=0.9)


def _curved(rng: np.random.Generator) -> Draft:
    return _walked(rng, curved, reach=2.5)


def _many_classes(rng: np.random.Generator) -> Draft:
    return _walked(rng, several, reach=0.9)


def _walked(rng: np.random.Generator, build: Any, *, reach: float) -> Draft:
    while True:
        sample, size = build(rng, 2), sizes(rng, 5, reach)
        found = walk(sample, **size, sign=-1)
        bent = found.turns >= 5 and (found.late >= 5 or reach < 1)
        if found.clear and bent and (answers(sample) != sample.y).all():
            arguments = {"model": sample.model, "x": sample.x, "target": sample.y, **size}
            return Draft(arguments | {"random_start": False, "generator": seeded(rng)}, expected=found.x_adv)


def _started(rng: np.random.Generator) -> Draft:
    return started(rng, "target")


def _anywhere_to_the_same_corner(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 2), steps=5, reach=2.5, random_start=True)


def _lowered(rng: np.random.Generator) -> Draft:
    return raised(rng, "target", -1)


def _frozen(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 2), steps=3, reach=0.6, setup=frozenset({"frozen"}))


def _float32(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 2).single(), steps=3, reach=0.6)


def _strided(rng: np.random.Generator) -> Draft:
    return _towards(rng, _elsewhere(rng, 2), steps=3, reach=0.6, setup=frozenset({"strided"}))


@_right
def _image_by_image(
    model: nn.Module,
    x: Tensor,
    target: Target,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    attacked = []
    for n in range(len(x)):
        image, k = x[n : n + 1], target if isinstance(target, int) else int(target[n])
        z = image.clone()
        if random_start:
            z = (z + torch.empty_like(z).uniform_(-eps, eps, generator=generator)).clamp(0, 1)
        for _ in range(steps):
            z.requires_grad_()
            (gradient,) = torch.autograd.grad(model(z).log_softmax(1)[0, k], z)
            z = z.detach() + alpha * gradient.sign()  # sube el logaritmo de la probabilidad: baja la pérdida
            z = (image + (z - image).clamp(-eps, eps)).clamp(0, 1)
        attacked.append(z)
    return torch.cat(attacked)


@_right
def _closed_gradient(
    model: nn.Module,
    x: Tensor,
    target: Target,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Con la derivada de la pérdida respecto de los logits escrita a mano."""
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    z = low + (high - low) * torch.rand(x.shape, generator=generator, dtype=x.dtype) if random_start else x
    for _ in range(steps):
        leaf = z.clone().requires_grad_()
        logits = model(leaf)
        chosen = F.one_hot(torch.as_tensor(target).expand(len(x)), logits.shape[1])
        push = logits.detach().softmax(1) - chosen
        (gradient,) = torch.autograd.grad(logits, leaf, grad_outputs=push)
        z = torch.max(torch.min(z - alpha * gradient.sign(), high), low)
    return z


@_right
def _functional(
    model: nn.Module,
    x: Tensor,
    target: Target,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    classes = torch.full((len(x),), target) if isinstance(target, int) else target.clone()
    downhill = torch.func.grad(lambda delta: -F.cross_entropy(model(x + delta), classes))
    delta = eps * (2 * torch.rand(x.shape, generator=generator) - 1).to(x) if random_start else torch.zeros_like(x)
    delta = delta.clamp(-x, 1 - x)
    for _ in range(steps):
        delta = (delta + alpha * torch.sign(downhill(delta))).clamp(-eps, eps).clamp(-x, 1 - x)
    return x + delta


EXERCISE = Exercise(
    id="adversarial.targeted_pgd",
    title="Que responda lo que tú quieras",
    minutes=15,
    visible_points=3,
    hidden_points=3,
    reference=adversarial.targeted_pgd,
    properties=(
        Property("Pasos que bajan la pérdida de la clase pedida", 2, (_few_steps,)),
        Property("Una clase por imagen", 1, (_class_per_image,)),
        Property("Una clase para todas, con un entero", 1, (_one_class_for_all,)),
        Property("Todos los pasos, aunque ya responda esa clase", 1, (_already_there,)),
        Property("Sin salir de la bola", 1, (_beyond,)),
        Property("Sin salir de [0, 1]", 1, (_borders,)),
        Property("Varias clases, y el gradiente de nuevo en cada paso", 2, (_curved, _many_classes)),
        Property("Un comienzo al azar dentro de la bola", 1, (_started, _anywhere_to_the_same_corner, _lowered)),
        Property("Red congelada, float32 y memoria no contigua", 1, (_frozen, _float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
