"""Ejercicio 6: el menor tamaño que engaña, por bisección. Su catálogo de errores está en `minimal_epsilon_errors`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab import adversarial
from convlab.exercises.adversarial.minimal_epsilon_errors import CATALOGUE
from convlab.exercises.adversarial.networks import binary
from convlab.exercises.adversarial.thresholds import (
    CLOSE,
    ENOUGH,
    INFINITE,
    ZERO,
    Attack,
    Budget,
    bright_or_dark,
    expected,
    facts,
    near,
    shift,
    steepest,
)
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property

_right = CATALOGUE.right

_USUAL = {"low": 0.0, "high": 0.1, "tol": 1e-3}
_FINE = {"low": 0.0, "high": 0.5, "tol": 1e-4}


def _place(rng: np.random.Generator, low: float, high: float, tol: float, *, upper: bool) -> float:
    """Un umbral lejos de todo punto de la bisección, en la mitad alta o baja de su último intervalo.

    Con más de diez divisiones, cae además en la mitad baja del décimo intervalo: quien se pare ahí se pasa.
    """
    rounds = math.ceil(math.log2((high - low) / tol))
    cells = 2**rounds
    per_tenth = max(1, cells // 1024)
    index = int(rng.integers(cells // 8, cells - cells // 8)) // per_tenth * per_tenth
    index += int(rng.integers(per_tenth // 2)) if per_tenth > 1 else 0
    inside = rng.uniform(0.6, 0.85) if upper else rng.uniform(0.15, 0.4)
    return low + (high - low) / cells * (index + inside)


def _draft(
    rng: np.random.Generator,
    thresholds: list[float],
    kinds: list[str],
    search: dict[str, float],
    *,
    attack: Any = shift,
    measure: Callable[..., dict[str, str]] = facts,
    **options: Any,
) -> Draft:
    spec, x, y = bright_or_dark(rng, thresholds)
    arguments = {"model": spec, "x": x, "y": y, "attack": attack, **search}
    return Draft(arguments, expected=expected(kinds), measure=measure, **options)


def _one_image(rng: np.random.Generator) -> Draft:
    return _draft(rng, [_place(rng, **_USUAL, upper=True)], [CLOSE], _USUAL, measure=near)


def _fine(rng: np.random.Generator) -> Draft:
    return _draft(rng, [_place(rng, **_FINE, upper=False)], [ENOUGH], _FINE)


def _upper_end(rng: np.random.Generator) -> Draft:
    thresholds = [_place(rng, **_USUAL, upper=upper) for upper in (True, False)]
    return _draft(rng, thresholds, [ENOUGH] * 2, _USUAL)


def _several(rng: np.random.Generator) -> Draft:
    """Tres umbrales, lejos unos de otros y sin orden."""
    thirds = [{"low": k / 30, "high": (k + 1) / 30, "tol": 1e-3 / 3} for k in rng.permutation(3)]
    thresholds = [_place(rng, **third, upper=True) for third in thirds]
    return _draft(rng, thresholds, [CLOSE] * 3, _USUAL, measure=near)


def _failed_already(rng: np.random.Generator) -> Draft:
    thresholds = [_place(rng, **_USUAL, upper=True), -float(rng.uniform(0.02, 0.05)), _place(rng, **_USUAL, upper=True)]
    return _draft(rng, thresholds, [CLOSE, ZERO, CLOSE], _USUAL, measure=near)


def _failed_all(rng: np.random.Generator) -> Draft:
    return _draft(rng, [-float(rng.uniform(0.02, 0.05)) for _ in range(2)], [ZERO] * 2, _USUAL, measure=near)


def _never(rng: np.random.Generator) -> Draft:
    thresholds = [_place(rng, **_USUAL, upper=True), float(rng.uniform(0.12, 0.2)), _place(rng, **_USUAL, upper=True)]
    return _draft(rng, thresholds, [CLOSE, INFINITE, CLOSE], _USUAL, measure=near)


def _from_low(rng: np.random.Generator) -> Draft:
    """Un umbral por debajo de `low`, otro por encima y una imagen que la red ya falla."""
    search = {"low": 0.06, "high": 0.3, "tol": 2e-3}
    thresholds = [float(rng.uniform(0.02, 0.05)), _place(rng, **search, upper=True), -float(rng.uniform(0.02, 0.05))]
    return _draft(rng, thresholds, [ENOUGH, ENOUGH, ZERO], search)


def _few_calls(rng: np.random.Generator) -> Draft:
    search = {"low": 0.0, "high": 0.4, "tol": 1e-5}
    thresholds = [_place(rng, **search, upper=True) for _ in range(2)]
    return _draft(rng, thresholds, [CLOSE] * 2, search, attack=Budget(200), measure=near)


def _defaults(rng: np.random.Generator) -> Draft:
    """Sin decir dónde buscar."""
    thresholds = [_place(rng, **_USUAL, upper=True), float(rng.uniform(0.12, 0.2))]
    return _draft(rng, thresholds, [CLOSE, INFINITE], {}, measure=near, call=without_search)


def without_search(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Con `low`, `high` y `tol` por omisión."""
    return function(*arguments)


def _with_gradient(rng: np.random.Generator) -> Draft:
    """Un ataque que deriva, en una red de dos clases: el umbral es el margen entre la suma de los pesos."""
    sample = binary(rng, 3)
    weight, bias = sample.model.state["fc.weight"], sample.model.state["fc.bias"]
    slope, flat = weight[1] - weight[0], sample.x.reshape(3, -1)
    side = np.where(sample.y == 0, -1, 1)
    wanted = np.array([_place(rng, **_USUAL, upper=upper) for upper in (True, False, True)])
    gap = flat @ slope + bias[1] - bias[0]
    move = side * wanted * np.abs(slope).sum() - gap
    flat = flat + move[:, None] * np.sign(slope) / np.abs(slope).sum()
    sample = replace(sample, x=flat.reshape(sample.x.shape))
    arguments = {"model": sample.model, "x": sample.x, "y": sample.y, "attack": steepest, **_USUAL}
    return Draft(arguments, expected=expected([ENOUGH] * 3), measure=facts)


def _frozen(rng: np.random.Generator) -> Draft:
    draft = _several(rng)
    return replace(draft, setup=frozenset({"frozen"}))


def _strided(rng: np.random.Generator) -> Draft:
    draft = _several(rng)
    return replace(draft, setup=frozenset({"strided"}))


def _float32(rng: np.random.Generator) -> Draft:
    draft = _several(rng)
    spec = draft.arguments["model"]
    x = draft.arguments["x"].astype("float32")
    return replace(draft, arguments=draft.arguments | {"model": spec.astype("float32"), "x": x})


@_right
def _image_by_image(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    result = torch.zeros(len(x), dtype=x.dtype)
    for n in range(len(x)):
        image, label = x[n : n + 1], y[n : n + 1]

        def fools(z: Tensor, label: Tensor = label) -> bool:
            return int(model(z).argmax()) != int(label)

        if fools(image):
            continue
        if not fools(attack(model, image, label, high)):
            result[n] = math.inf
            continue
        a, b = low, high
        while b - a > tol:
            middle = (a + b) / 2
            if fools(attack(model, image, label, middle)):
                b = middle
            else:
                a = middle
        result[n] = b
    return result


@_right
def _recursive(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    def split(rows: list[int], a: float, b: float) -> dict[int, float]:
        """El extremo superior de cada imagen que se engaña con `b` y no se sabe si con `a`."""
        if not rows:
            return {}
        if b - a <= tol:
            return dict.fromkeys(rows, b)
        middle = a + (b - a) / 2
        answers = model(attack(model, x[rows], y[rows], middle)).argmax(1)
        yes = [n for n, wrong in zip(rows, (answers != y[rows]).tolist(), strict=True) if wrong]
        return split(yes, a, middle) | split([n for n in rows if n not in yes], middle, b)

    failed = (model(x).argmax(1) != y).tolist()
    beaten = (model(attack(model, x, y, high)).argmax(1) != y).tolist()
    values = {n: 0.0 if bad else math.inf for n, bad in enumerate(failed)}
    values |= split([n for n in values if beaten[n] and not failed[n]], low, high)
    return torch.tensor([values[n] for n in range(len(x))], dtype=x.dtype, device=x.device)


@_right
def _fixed_rounds(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    """Todas las imágenes a la vez; en cada vuelta, un ataque por cada tamaño distinto, y las vueltas justas."""
    failed = model(x).argmax(1) != y
    never = model(attack(model, x, y, high)).argmax(1) == y
    a, b = torch.full((len(x),), low, dtype=torch.float64), torch.full((len(x),), high, dtype=torch.float64)
    for _ in range(math.ceil(math.log2((high - low) / tol))):
        middle = (a + b) / 2
        for eps in middle.unique().tolist():
            rows = (middle == eps).nonzero()[:, 0]
            wrong = model(attack(model, x[rows], y[rows], eps)).argmax(1) != y[rows]
            b[rows[wrong]], a[rows[~wrong]] = eps, eps
    return b.masked_fill(never, math.inf).masked_fill(failed, 0).to(x.dtype)


EXERCISE = Exercise(
    id="adversarial.minimal_epsilon",
    title="¿Cuánto aguanta cada imagen?",
    minutes=25,
    visible_points=3,
    hidden_points=3,
    reference=adversarial.minimal_epsilon,
    properties=(
        Property("A menos de tol del umbral", 2, (_one_image,)),
        Property("El extremo superior: con ese tamaño se engaña", 1, (_upper_end,)),
        Property("Cada imagen, el suyo", 2, (_several,)),
        Property("0 si la red ya fallaba", 1, (_failed_already, _failed_all)),
        Property("Infinito si ni high la engaña", 1, (_never,)),
        Property("Entre low y high, y con la tolerancia pedida", 2, (_fine, _from_low, _defaults)),
        Property("Con un ataque que deriva, como FGSM", 1, (_with_gradient,)),
        Property("Con pocas llamadas al ataque", 1, (_few_calls,)),
        Property("Red congelada, float32 y memoria no contigua", 1, (_frozen, _float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
