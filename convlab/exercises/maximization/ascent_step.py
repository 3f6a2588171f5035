"""Ejercicio 2: un paso de ascenso de gradiente. Los errores de su catálogo están en `ascent_step_errors`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad

from convlab import maximization
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.maximization.ascent_step_errors import CATALOGUE
from convlab.exercises.nets import NetSpec, gap_net, images, mlp_net

_right = (_variants := Catalogue()).right

Objective = Callable[[Tensor], Tensor]


class Quadratic(nn.Module):
    """`w · x + ½ a ‖x‖²` de cada imagen, o la suma de todas: su gradiente es `w + a x`."""

    def __init__(self, w: Tensor, a: float, scalar: bool) -> None:
        super().__init__()
        self.w, self.a, self.scalar = nn.Parameter(w), a, scalar

    def forward(self, x: Tensor) -> Tensor:
        """Una puntuación por imagen, o una sola."""
        scores = (self.w * x + 0.5 * self.a * x.square()).sum((1, 2, 3))
        return scores.sum() if self.scalar else scores


class Logit(nn.Module):
    """El logit de una clase."""

    def __init__(self, model: nn.Module, k: int) -> None:
        super().__init__()
        self.model, self.k = model, k

    def forward(self, x: Tensor) -> Tensor:
        """Uno por imagen."""
        logits: Tensor = self.model(x)
        return logits[:, self.k]


@dataclass(frozen=True)
class QuadraticSpec:
    """Hace un `Quadratic`."""

    w: np.ndarray
    a: float
    scalar: bool

    def build(self) -> nn.Module:
        """El objetivo."""
        return Quadratic(torch.from_numpy(self.w.copy()), self.a, self.scalar).eval()

    def __str__(self) -> str:
        form = "la suma de los valores" if self.scalar else "un valor por imagen"
        return f"w · x + {0.5 * self.a:.3g} ‖x‖² ({form})"


@dataclass(frozen=True)
class LogitSpec:
    """Hace un `Logit`."""

    net: NetSpec
    k: int

    def build(self) -> nn.Module:
        """El objetivo."""
        return Logit(self.net.build(), self.k).eval()

    def __str__(self) -> str:
        return f"el logit {self.k} de una {self.net}"


def _quadratic(
    rng: np.random.Generator,
    n: int,
    *,
    a: float = 0.0,
    l2: float = 0.0,
    scalar: bool = False,
    dtype: str = "float64",
    setup: frozenset[str] = frozenset(),
) -> Draft:
    """De f(x) = w · x + ½ a ‖x‖², el paso es x + lr (w + a x − l2 x)."""
    c, h, w = rng.permutation([3, 4, 5])
    x, slope = rng.normal(0.5, 1, (n, c, h, w)), rng.normal(0, 2, (c, h, w))
    lr = float(rng.uniform(0.2, 0.6))
    objective = QuadraticSpec(slope.astype(dtype), a, scalar)
    arguments = {"x": x.astype(dtype), "objective": objective, "lr": lr, "l2": l2}
    return Draft(arguments, setup, x + lr * (slope + a * x - l2 * x))


def _linear(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 1)


def _curved(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 1, a=float(rng.uniform(0.5, 1.5)), scalar=True)


def _penalty(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 1, l2=float(rng.uniform(0.3, 0.8)))


def _penalty_curved(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 1, a=-float(rng.uniform(0.5, 1.5)), l2=float(rng.uniform(1.2, 2)))


def _batch(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 3, a=float(rng.uniform(0.5, 1.5)))


def _batch_scalar(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 2, a=float(rng.uniform(0.5, 1.5)), scalar=True)


def _network(rng: np.random.Generator) -> Draft:
    return _logit(rng, mlp_net(rng), 2)


def _frozen(rng: np.random.Generator) -> Draft:
    return _logit(rng, gap_net(rng, inplace=True), 1, frozenset({"frozen"}))


def _logit(rng: np.random.Generator, net: NetSpec, n: int, setup: frozenset[str] = frozenset()) -> Draft:
    objective = LogitSpec(net, int(rng.integers(5)))
    arguments = {"x": images(rng, n), "objective": objective, "lr": float(rng.uniform(1, 3)), "l2": 0.0}
    return Draft(arguments, setup)


def _repeated(function: Callable[..., Any], x: Tensor, objective: Objective, lr: float, l2: float) -> Any:
    """Tres pasos seguidos, como en un ascenso de verdad, dentro de `no_grad`."""
    with torch.no_grad():
        for _ in range(3):
            x = function(x, objective, lr, l2)
    if not isinstance(x, Tensor):
        return x
    return {"tres pasos": x, "lleva grafo": x.requires_grad}


def _chained(rng: np.random.Generator) -> Draft:
    draft = _quadratic(rng, 2, a=float(rng.uniform(0.3, 0.6)))
    x, objective, lr = draft.arguments["x"], draft.arguments["objective"], draft.arguments["lr"]
    for _ in range(3):
        x = x + lr * (objective.w + objective.a * x)
    return Draft(draft.arguments, expected={"tres pasos": x, "lleva grafo": False}, call=_repeated)


def _float32(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 2, a=0.7, dtype="float32")


def _strided(rng: np.random.Generator) -> Draft:
    return _quadratic(rng, 2, a=0.7, setup=frozenset({"strided"}))


@_right
def _autograd(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    return (1 - lr * l2) * x + lr * gradient


@_right
def _penalised_objective(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    """La penalización dentro de lo que se deriva, con `.backward()` sobre una copia y sin tocar los parámetros."""
    leaf = x.detach().clone()
    leaf.requires_grad = True
    with torch.enable_grad():
        (objective(leaf).sum() - l2 / 2 * leaf.pow(2).sum()).backward(inputs=[leaf])
    assert leaf.grad is not None
    return leaf.detach().add(leaf.grad, alpha=lr)


@_right
def _functional(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    """Con `torch.func.grad`, que no deja ningún grafo detrás."""
    with torch.enable_grad():
        gradient = grad(lambda image: objective(image).sum())(x)
    return (x + lr * (gradient - l2 * x)).detach()


@_right
def _image_by_image(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    steps = []
    for n in range(len(x)):
        leaf = x[n : n + 1].detach().clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
        steps.append(leaf.detach() + lr * (gradient - l2 * leaf.detach()))
    return torch.cat(steps)


EXERCISE = Exercise(
    id="maximization.ascent_step",
    title="Un paso cuesta arriba",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=maximization.ascent_step,
    properties=(
        Property("Sube por el gradiente", 3, (_linear, _curved)),
        Property("La penalización tira hacia el cero", 2, (_penalty, _penalty_curved)),
        Property("Un objetivo con un valor por imagen, o con uno solo", 1, (_batch, _batch_scalar)),
        Property("El logit de una red, también congelada", 1, (_network, _frozen)),
        Property("Varios pasos seguidos, sin arrastrar el grafo", 1, (_chained,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=_variants.variants,
)
