"""Ejercicio 2: llevar una imagen al punto más cercano de la bola y de [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import adversarial
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _draft(
    rng: np.random.Generator, n: int, *, low: float = 0.3, high: float = 0.7, eps: float | None = None, **options: Any
) -> Draft:
    """Cambios de todos los tamaños: unos caben en la bola y otros, por arriba o por abajo, no."""
    h, w = (int(v) for v in rng.permutation([4, 5, 6, 7])[:2])
    x = rng.uniform(low, high, (n, 3, h, w))
    eps = round(float(rng.uniform(0.04, 0.12)), 3) if eps is None else eps
    return _closed_form(x + rng.uniform(-0.3, 0.3, x.shape), x, eps, **options)


def _closed_form(x_adv: np.ndarray, x: np.ndarray, eps: float, **options: Any) -> Draft:
    moved = np.where(np.abs(x_adv - x) > eps, x + eps * np.sign(x_adv - x), x_adv)
    return Draft({"x_adv": x_adv, "x": x, "eps": eps}, expected=np.clip(moved, 0, 1), **options)


def _one_image(rng: np.random.Generator) -> Draft:
    return _draft(rng, 1)


def _batch(rng: np.random.Generator) -> Draft:
    return _draft(rng, 3)


def _inside(rng: np.random.Generator) -> Draft:
    """Ya está dentro: se queda donde está."""
    x = rng.uniform(0.3, 0.7, (2, 3, 5, 4))
    return _closed_form(x + rng.uniform(-0.09, 0.09, x.shape), x, 0.1)


def _borders(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, low=0, high=1)


def _no_room(rng: np.random.Generator) -> Draft:
    """Con radio cero solo cabe la original."""
    return _draft(rng, 2, eps=0)


def _all_room(rng: np.random.Generator) -> Draft:
    """Con radio 1 solo manda [0, 1]."""
    return _draft(rng, 1, low=0, high=1, eps=1)


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _draft(rng, 2).arguments
    return _closed_form(arguments["x_adv"].astype("float32"), arguments["x"].astype("float32"), arguments["eps"])


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(rng, 2, setup=frozenset({"strided"}))


@_wrong(
    "Sin recortar a [0, 1]",
    "Tu resultado está en la bola, pero cerca del negro y del blanco se sale de [0, 1]. La bola y el intervalo se "
    "cumplen a la vez: añade `.clamp(0, 1)`.",
)
def _unclamped(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return torch.clamp(x_adv, x - eps, x + eps)


@_wrong(
    "Sin bola",
    "Has recortado a [0, 1] y nada más: el cambio puede ser de cualquier tamaño, y entonces también sirve cambiar una "
    "imagen por otra. Limita cada valor a `[x - eps, x + eps]`.",
)
def _no_ball(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:  # noqa: ARG001
    return x_adv.clamp(0, 1)


@_wrong(
    "Recortada la imagen en vez del cambio",
    "Has limitado los valores de la imagen a [-eps, eps], y casi todo queda negro. Lo que se limita es la diferencia: "
    "`x + (x_adv - x).clamp(-eps, eps)`.",
)
def _image_clamped(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:  # noqa: ARG001
    return x_adv.clamp(-eps, eps).clamp(0, 1)


@_wrong(
    "La perturbación sin la imagen",
    "Devuelves la diferencia recortada. Se pide la imagen: súmale `x` y recorta a [0, 1].",
)
def _perturbation(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return (x_adv - x).clamp(-eps, eps)


@_wrong(
    "Encogida en vez de recortada",
    "Has encogido toda la perturbación para que su mayor valor sea `eps`: también se mueven los píxeles que ya estaban "
    "dentro. El punto más cercano recorta cada valor por su cuenta.",
)
def _rescaled(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    delta = x_adv - x
    peak = delta.abs().amax((1, 2, 3), keepdim=True)
    return (x + delta * (eps / peak.clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)


@_wrong(
    "Bola en norma L2",
    "Has medido el cambio con la norma euclídea de toda la imagen. En L∞ cada valor tiene su propio límite, `eps`, sin "
    "que cuente lo que cambien los demás.",
)
def _euclidean(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    delta = x_adv - x
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return (x + delta * (eps / length.clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)


@_wrong(
    "Todo empujado al borde",
    "Tu resultado está siempre a `eps` de la original, también donde el cambio era menor. Proyectar es no tocar lo que "
    "ya está dentro: recorta la diferencia en vez de tomar su signo.",
)
def _pushed(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return (x + eps * (x_adv - x).sign()).clamp(0, 1)


@_wrong(
    "Un solo lado",
    "Has puesto techo, `x + eps`, y falta el suelo: por debajo de `x - eps` tampoco se puede estar.",
)
def _upper_only(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return torch.minimum(x_adv, x + eps).clamp(0, 1)


@_wrong(
    "eps en niveles de 0 a 255",
    "Has dividido `eps` entre 255, y la bola casi no deja moverse. `eps` ya llega en las unidades de la imagen, [0, 1]."
    "",
)
def _levels(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return torch.clamp(x_adv, x - eps / 255, x + eps / 255).clamp(0, 1)


@_wrong(
    "Original y perturbada cambiadas",
    "Has acercado la original a la perturbada. Es al revés: se mueve `x_adv` hasta la bola que rodea a `x`.",
)
def _swapped(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return torch.clamp(x, x_adv - eps, x_adv + eps).clamp(0, 1)


@_wrong(
    "Modifica lo que recibe",
    "El resultado es correcto, pero `clamp_` lo ha escrito encima de la imagen que te dieron. Devuelve un tensor "
    "nuevo: `clamp`, sin guion bajo.",
)
def _in_place(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return x_adv.clamp_(x - eps, x + eps).clamp_(0, 1)


@_right
def _delta(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    return (x + (x_adv - x).clamp(-eps, eps)).clamp(0, 1)


@_right
def _interval_first(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    """Primero [0, 1] y después la bola, que ya no saca de él."""
    inside = x_adv.clamp(0, 1)
    return torch.max(torch.min(inside, x + eps), x - eps)


@_right
def _value_by_value(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    values = []
    for moved, centre in zip(x_adv.flatten().tolist(), x.flatten().tolist(), strict=True):
        low, high = max(0.0, centre - eps), min(1.0, centre + eps)
        values.append(low if moved < low else high if moved > high else moved)
    return torch.tensor(values, dtype=x_adv.dtype, device=x_adv.device).reshape(x_adv.shape)


@_right
def _where(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    delta = x_adv - x
    moved = torch.where(delta.abs() <= eps, x_adv, x + eps * delta.sign())
    return torch.from_numpy(np.clip(moved.numpy(), 0, 1))


EXERCISE = Exercise(
    id="adversarial.project_linf",
    title="De vuelta a la bola",
    minutes=5,
    visible_points=1,
    hidden_points=1,
    reference=adversarial.project_linf,
    properties=(
        Property("Ningún valor cambia más de eps", 2, (_one_image, _batch)),
        Property("Lo que ya está dentro no se mueve", 1, (_inside,)),
        Property("Sin salir de [0, 1]", 2, (_borders, _all_room)),
        Property("Con radio cero, la original", 1, (_no_room,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
