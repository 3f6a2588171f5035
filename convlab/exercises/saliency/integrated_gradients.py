"""Ejercicio 4: gradientes integrados. Los errores de su catálogo están en `integrated_gradients_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab import saliency
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import NetSpec, images, one_class_each, random_net
from convlab.exercises.saliency.integrated_gradients_errors import CATALOGUE
from convlab.exercises.saliency.networks import class_weights, common_losers, linear_net, logit
from convlab.hooks import input_gradient

STEPS = 48

# De la cuadratura exacta, los trapecios distan menos de una décima de esta tolerancia y cualquier suma de extremos, más
# del triple: `_curved` rechaza las redes en que no es así.
TOLERANCE = 2e-4


def _linear(
    rng: np.random.Generator,
    n: int,
    baseline: Any,
    *,
    positive: bool = False,
    per_image: bool = False,
    dtype: str = "float64",
) -> Draft:
    """En una red lineal cualquier regla es exacta: el mapa es la suma de los pesos por la diferencia."""
    height, width = (int(s) for s in rng.permutation([5, 6, 7, 8])[:2])
    spec, x = linear_net(rng, height, width, positive=positive), images(rng, n, height, width)
    if callable(baseline):
        baseline = baseline(rng, x.shape)
    target: Any = one_class_each(rng, n, 4) if per_image else int(rng.integers(4))
    expected = (class_weights(spec, target, x.shape) * (x - baseline)).sum(1).astype(dtype)
    arguments = {"model": spec.astype(dtype), "x": x.astype(dtype), "target": target}
    if isinstance(baseline, np.ndarray):
        baseline = baseline.astype(dtype)
    return Draft(arguments | {"baseline": baseline, "steps": 2 * int(rng.integers(2, 6))}, expected=expected)


def _number(rng: np.random.Generator, _shape: tuple[int, ...]) -> float:
    return round(float(rng.uniform(0.3, 0.7)), 2)


def _colour(rng: np.random.Generator, _shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.2, 0.8, (1, 3, 1, 1))


def _picture(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0, 1, shape)


def _black(rng: np.random.Generator) -> Draft:
    """Todo a favor y desde el negro: ni el signo ni la línea base cambian nada."""
    return _linear(rng, 1, 0.0, positive=True)


def _black_batch(rng: np.random.Generator) -> Draft:
    return _linear(rng, 3, 0.0, positive=True)


def _signed(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2, 0.0)


def _from_grey(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2, _number)


def _from_colour(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2, _colour)


def _from_picture(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2, _picture)


def _class_per_image(rng: np.random.Generator) -> Draft:
    return _linear(rng, 3, 0.0, positive=True, per_image=True)


def _float32(rng: np.random.Generator) -> Draft:
    return _linear(rng, 2, _picture, dtype="float32")


def _strided(rng: np.random.Generator) -> Draft:
    draft = _linear(rng, 2, 0.0)
    return Draft(draft.arguments, frozenset({"strided"}), draft.expected)


def _curved_net(rng: np.random.Generator, height: int, width: int) -> NetSpec:
    """Sin picos, pero muy doblada: el gradiente cambia mucho por el camino."""
    cells = (height - 2) * (width - 2)
    return random_net(
        [
            ("conv", "Conv2d", {"in_channels": 3, "out_channels": 5, "kernel_size": 3}),
            ("bn", "BatchNorm2d", {"num_features": 5}),
            ("act1", "Softplus", {"beta": 4}),
            ("flatten", "Flatten", {}),
            ("fc1", "Linear", {"in_features": 5 * cells, "out_features": 8}),
            ("act2", "Softplus", {"beta": 4}),
            ("fc2", "Linear", {"in_features": 8, "out_features": 5}),
        ],
        rng,
    )


def _curved(rng: np.random.Generator, n: int, *, black: bool, setup: frozenset[str] = frozenset()) -> Draft:
    """Una red en la que las reglas precisas coinciden y las que toman un solo extremo de cada tramo, no."""
    while True:
        height, width = (int(s) for s in rng.permutation([5, 6, 7])[:2])
        spec, x = _curved_net(rng, height, width), images(rng, n, height, width)
        baseline = 0.0 if black else _picture(rng, x.shape)
        losers = common_losers(spec, x)
        if not losers:
            continue
        target = int(rng.choice(losers))
        exact, errors = _rules(spec.build(), torch.from_numpy(x), target, baseline)
        if errors["good"] < 0.08 * TOLERANCE and errors["bad"] > 3 * TOLERANCE:
            arguments = {"model": spec, "x": x, "target": target, "baseline": baseline, "steps": STEPS}
            return Draft(arguments, setup, exact.numpy(), tolerance=TOLERANCE)


def _rules(model: nn.Module, x: Tensor, target: int, baseline: Any) -> tuple[Tensor, dict[str, float]]:
    """El mapa exacto y cuánto yerran, en proporción, la peor regla precisa y la mejor de las que no lo son."""
    base = torch.as_tensor(baseline, dtype=x.dtype)
    difference = x - base
    nodes, weights = np.polynomial.legendre.leggauss(40)
    even, uneven = np.linspace(0, 1, 2 * STEPS + 1), np.linspace(0, 1, STEPS)
    places = torch.from_numpy(np.concatenate([(1 + nodes) / 2, even, uneven]))
    points = base + places[:, None, None, None, None] * difference
    gradient = input_gradient(model, points.flatten(0, 1), logit(target)).unflatten(0, points.shape[:2])
    maps = (gradient * difference).sum(2)
    exact = torch.einsum("t,tnhw->nhw", torch.from_numpy(weights / 2), maps[: len(nodes)])
    ends, every = maps[len(nodes) : len(nodes) + len(even) : 2], maps[len(nodes) + len(even) :]
    left, right = ends[:-1].mean(0), ends[1:].mean(0)

    def error(found: Tensor) -> float:
        return float((found - exact).abs().max() / exact.abs().max())

    shorter = (every[1:-1].sum(0) + (every[0] + every[-1]) / 2) / (STEPS - 1)  # trapecios con un tramo menos
    good = max(error((left + right) / 2), error(shorter))
    return exact, {"good": good, "bad": min(map(error, (left, right, every.mean(0))))}


def _integral(rng: np.random.Generator) -> Draft:
    return _curved(rng, 2, black=True)


def _integral_from_picture(rng: np.random.Generator) -> Draft:
    return _curved(rng, 1, black=False, setup=frozenset({"frozen"}))


def _complete(rng: np.random.Generator) -> Draft:
    """La suma de cada mapa, contra dos pasadas de la red y ninguna integral."""
    while True:
        draft = _curved(rng, 2, black=False)
        change = _change(draft.arguments)
        if np.abs(change).min() > 0.1 * np.abs(draft.expected).sum((1, 2)).max():
            facts = {"la suma de cada mapa es F(x) − F(línea base)": change}
            return Draft(draft.arguments, expected=facts, measure=total, tolerance=10 * TOLERANCE)


def _change(arguments: dict[str, Any]) -> np.ndarray:
    model = arguments["model"].build()
    with torch.no_grad():
        after, before = (model(torch.from_numpy(arguments[k])) for k in ("x", "baseline"))
    found: np.ndarray = (after - before)[:, arguments["target"]].numpy()
    return found


def total(heat: Tensor, *_arguments: Any) -> dict[str, Any]:
    """Lo que suma cada mapa."""
    return {"la suma de cada mapa es F(x) − F(línea base)": heat.sum((1, 2))}


EXERCISE = Exercise(
    id="saliency.integrated_gradients",
    title="Gradientes integrados",
    minutes=25,
    visible_points=4,
    hidden_points=4,
    reference=saliency.integrated_gradients,
    properties=(
        Property("Red lineal, todo a favor y desde el negro", 2, (_black, _black_batch)),
        Property("Conserva el signo y suma los canales", 1, (_signed,)),
        Property("Desde cualquier línea base", 2, (_from_grey, _from_colour, _from_picture)),
        Property("La integral entera, con una regla precisa", 3, (_integral, _integral_from_picture)),
        Property("Completitud", 1, (_complete,)),
        Property("Una clase por imagen", 1, (_class_per_image,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
