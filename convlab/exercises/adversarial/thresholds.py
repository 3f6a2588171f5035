"""Ataques de juguete, imágenes con su umbral conocido y lo que se mira de un `minimal_epsilon`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.nets import Layer, NetSpec

Attack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]

SLACK = 1.001
"""Margen de lo que se compara con `tol`; los umbrales están mucho más lejos."""


def shift(_model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Aclara las imágenes de la clase 0 y oscurece las de la 1. Como cualquier ataque, no admite un tamaño negativo."""
    if eps < 0:
        raise ValueError(f"el ataque ha recibido un eps negativo, {eps}")
    return x + eps * (1 - 2 * y).view(-1, 1, 1, 1)


def steepest(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """FGSM sin recortar. Deriva, como la `fgsm` de un cuaderno, y por eso falla si lo llaman dentro de `no_grad`."""
    z = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(z), y), z)
    return x + eps * gradient.sign()


@dataclass(frozen=True)
class Budget:
    """El ataque `shift`, que se niega a que lo llamen demasiadas veces."""

    calls: int

    def build(self) -> Attack:
        """El ataque, con la cuenta a cero."""
        left = self.calls

        def attack(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
            nonlocal left
            left -= 1
            if left < 0:
                raise RuntimeError(f"has llamado al ataque más de {self.calls} veces. ¿Divides el intervalo en dos?")
            return shift(model, x, y, eps)

        return attack

    def __str__(self) -> str:
        return f"un ataque al que se puede llamar {self.calls} veces"


def bright_or_dark(rng: np.random.Generator, thresholds: list[float]) -> tuple[NetSpec, np.ndarray, np.ndarray]:
    """Una red que distingue lo claro de lo oscuro, e imágenes a esa distancia de la frontera.

    Un umbral negativo es una imagen que la red ya falla. Salen las dos clases, si hay más de una imagen.
    """
    share = rng.dirichlet([3, 3, 3])
    middle = float(rng.uniform(0.45, 0.55))
    layers: tuple[Layer, ...] = (
        ("pool", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": 3, "out_features": 2}),
    )
    state = {"fc.weight": np.stack([-share, share]), "fc.bias": np.array([middle, -middle])}
    y = (np.arange(len(thresholds)) + int(rng.integers(2))) % 2
    h, w = (int(v) for v in rng.permutation([3, 4, 5])[:2])
    texture = rng.uniform(-0.1, 0.1, (len(y), 3, h, w))
    texture -= (texture.mean((2, 3)) @ share)[:, None, None, None]
    level = middle + np.array(thresholds) * np.where(y == 0, -1, 1)
    return NetSpec(layers, state, "float64"), texture + level[:, None, None, None], y


# --- lo que se mira --------------------------------------------------------------------------------------------------


def near(
    result: Tensor,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    low: float = 0.0,
    high: float = 0.1,
    tol: float = 1e-3,
) -> dict[str, str]:
    """Si cada valor está cerca del umbral de su imagen, por un lado o por otro."""
    exact = facts(result, model, x, y, attack, low, high, tol)
    close = {ENOUGH: CLOSE, SHORT: CLOSE}
    return {image: close.get(fact, fact) for image, fact in exact.items()}


def facts(
    result: Tensor,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    low: float = 0.0,
    high: float = 0.1,
    tol: float = 1e-3,
) -> dict[str, str]:
    """Qué es el valor de cada imagen: se prueba el ataque con él, y con un poco más y un poco menos."""
    found = {}
    for n, value in enumerate(result.tolist()):
        rows = x[n : n + 1], y[n : n + 1]

        def fools(eps: float, rows: tuple[Tensor, Tensor] = rows) -> bool:
            return bool(model(attack(model, *rows, eps)).argmax(1) != rows[1])

        found[f"imagen {n}"] = _fact(value, fools, low, high, tol)
    return found


ZERO, INFINITE = "0", "infinito"
ENOUGH = "engaña, y con tol menos ya no"
SHORT = "no engaña, aunque con tol más sí"
CLOSE = "a menos de tol del umbral"


def _fact(value: float, fools: Callable[[float], bool], low: float, high: float, tol: float) -> str:
    if value == 0 or math.isinf(value):
        return ZERO if value == 0 else INFINITE
    if value < low - 1e-9 or value > high + 1e-6:
        return "por debajo de low" if value < low else "por encima de high"
    if not fools(value):
        return SHORT if fools(value + tol * SLACK) else "no engaña"
    excess = value - tol * SLACK > low and fools(value - tol * SLACK)
    return "engaña, pero sobra más de tol" if excess else ENOUGH


def expected(kinds: list[str]) -> dict[str, Any]:
    """Los hechos que se esperan, por imagen."""
    return {f"imagen {n}": kind for n, kind in enumerate(kinds)}
