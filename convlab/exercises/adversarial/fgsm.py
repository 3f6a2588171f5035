"""Ejercicio 1: FGSM, un paso del signo del gradiente. Los errores de su catálogo están en `fgsm_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab import adversarial
from convlab.exercises.adversarial.fgsm_errors import CATALOGUE
from convlab.exercises.adversarial.networks import Sample, answers, binary, curved, several, walk
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property

_right = CATALOGUE.right


def _eps(rng: np.random.Generator) -> float:
    return round(float(rng.uniform(0.04, 0.12)), 3)


def _exact(sample: Sample, eps: float, **options: Any) -> Draft:
    """En una red de dos clases, la respuesta en forma cerrada."""
    expected = np.clip(sample.x + eps * sample.uphill, 0, 1)
    return Draft({"model": sample.model, "x": sample.x, "y": sample.y, "eps": eps}, expected=expected, **options)


def _one_image(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 1), _eps(rng))


def _batch(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 3), _eps(rng))


def _borders(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 2, low=0, high=1), _eps(rng))


def _failed_already(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 3, wrong=(int(rng.integers(3)),)), _eps(rng))


def _many_classes(rng: np.random.Generator) -> Draft:
    return _walked(rng, several)


def _curved(rng: np.random.Generator) -> Draft:
    return _walked(rng, curved)


def _walked(rng: np.random.Generator, build: Any) -> Draft:
    """Varias clases; al menos una imagen, con una clase que la red no elegiría."""
    while True:
        sample, eps = build(rng, 2), _eps(rng)
        found = walk(sample, eps, eps, 1)
        if found.clear and (answers(sample) != sample.y).any():
            arguments = {"model": sample.model, "x": sample.x, "y": sample.y, "eps": eps}
            return Draft(arguments, expected=found.x_adv)


def _ignored(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 2, ignored=0.3), _eps(rng))


def _frozen(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 2), _eps(rng), setup=frozenset({"frozen"}))


def _float32(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 2).single(), _eps(rng))


def _strided(rng: np.random.Generator) -> Draft:
    return _exact(binary(rng, 2), _eps(rng), setup=frozenset({"strided"}))


@_right
def _image_by_image(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    attacked = []
    for image, label in zip(x, y, strict=True):
        z = image[None].detach().clone().requires_grad_()
        loss = -model(z).log_softmax(dim=1)[0, int(label)]
        (gradient,) = torch.autograd.grad(loss, z)
        attacked.append((image + eps * torch.sign(gradient[0])).clamp(0, 1))
    return torch.stack(attacked)


@_right
def _functional(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    gradient = torch.func.grad(lambda z: F.cross_entropy(model(z.contiguous()), y))(x)
    step = torch.where(gradient > 0, eps, torch.where(gradient < 0, -eps, 0.0)).to(x.dtype)
    return torch.minimum(torch.maximum(x + step, torch.zeros_like(x)), torch.ones_like(x))


@_right
def _closed_gradient(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """La derivada de la pérdida respecto de los logits, a mano, y el final con NumPy."""
    z = x.clone().requires_grad_()
    logits = model(z)
    push = logits.detach().softmax(1) - F.one_hot(y, logits.shape[1]).to(logits.dtype)
    (gradient,) = torch.autograd.grad(logits, z, grad_outputs=push)
    moved = np.clip(x.numpy() + eps * np.sign(gradient.numpy()), 0, 1)
    return torch.from_numpy(moved).to(x)


@_right
def _own_step_in_place(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """La probabilidad de la clase baja donde la pérdida sube: el signo es el mismo."""
    z = x.detach().clone().requires_grad_()
    probability = model(z).softmax(1)[torch.arange(len(x)), y].sum()
    attacked = x.clone()
    attacked -= eps * torch.autograd.grad(probability, z)[0].sign()
    return attacked.clamp_(0, 1)


EXERCISE = Exercise(
    id="adversarial.fgsm",
    title="Un paso en la peor dirección",
    minutes=10,
    visible_points=1,
    hidden_points=1,
    reference=adversarial.fgsm,
    properties=(
        Property("Un paso de tamaño eps que sube la pérdida", 2, (_one_image,)),
        Property("Cada imagen del lote, por su cuenta", 1, (_batch,)),
        Property("Sin salir de [0, 1]", 2, (_borders,)),
        Property("La clase verdadera, aunque la red ya fallara", 1, (_failed_already,)),
        Property("Varias clases y cualquier red", 2, (_many_classes, _curved)),
        Property("Sin derivada, el píxel no cambia", 1, (_ignored,)),
        Property("Red congelada, float32 y memoria no contigua", 1, (_frozen, _float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
