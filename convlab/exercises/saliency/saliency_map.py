"""Ejercicio 1: el mapa de saliencia. Los errores de su catálogo están en `saliency_map_errors`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from convlab import saliency
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import images, losing_classes, one_class_each
from convlab.exercises.saliency.networks import alive, class_weights, linear_net, losing_case, relu_net, smooth_net
from convlab.exercises.saliency.saliency_map_errors import CATALOGUE


def _linear(rng: np.random.Generator, n: int, *, positive: bool = False, per_image: bool = False) -> Draft:
    """Una red lineal: el mapa es el mayor peso, en valor absoluto, entre los canales."""
    height, width = (int(s) for s in rng.permutation([5, 6, 7, 8])[:2])
    spec, x = linear_net(rng, height, width, positive=positive), images(rng, n, height, width)
    target: Any = int(rng.integers(4))
    if per_image:
        target = one_class_each(rng, n, 4)
    expected = np.abs(class_weights(spec, target, x.shape)).max(1)
    return Draft({"model": spec, "x": x, "target": target}, expected=expected)


def _positive(rng: np.random.Generator) -> Draft:
    return _linear(rng, 1, positive=True)


def _signed(rng: np.random.Generator) -> Draft:
    return _linear(rng, 1)


def _batch(rng: np.random.Generator) -> Draft:
    return _linear(rng, 3, positive=True)


def _class_per_image(rng: np.random.Generator) -> Draft:
    return _linear(rng, 3, positive=True, per_image=True)


def _layers(rng: np.random.Generator) -> Draft:
    """Una clase que la red no elegiría en ninguna imagen."""
    return Draft(losing_case(rng, 2, inplace=True))


def _strides(rng: np.random.Generator) -> Draft:
    return Draft(losing_case(rng, 1, stride=2))


def _frozen(rng: np.random.Generator) -> Draft:
    return Draft(losing_case(rng, 2), frozenset({"frozen"}))


def _each_loses(rng: np.random.Generator) -> Draft:
    """Una clase por imagen, en una red con capas, y en ninguna la que elegiría."""
    while True:
        spec, x = relu_net(rng), images(rng, 3)
        target = one_class_each(rng, 3, len(spec.state["fc.bias"]))
        losing = all(k in options for k, options in zip(target, losing_classes(spec, x), strict=True))
        if losing and alive(spec, x, target):
            return Draft({"model": spec, "x": x, "target": target})


def _twice(rng: np.random.Generator) -> Draft:
    return Draft(losing_case(rng, 2), call=second_of_two)


def second_of_two(function: Callable[..., Any], model: nn.Module, x: Tensor, target: int) -> Any:
    """El segundo mapa de la misma imagen: lo que dejara el primero no debe notarse."""
    function(model, x, target)
    return function(model, x, target)


def _float32(rng: np.random.Generator) -> Draft:
    return Draft({"model": smooth_net(rng, "float32"), "x": images(rng, 2).astype("float32"), "target": 1})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft({"model": smooth_net(rng), "x": images(rng, 2), "target": 2}, frozenset({"strided"}))


EXERCISE = Exercise(
    id="saliency.saliency_map",
    title="El mapa de saliencia",
    minutes=20,
    visible_points=2,
    hidden_points=2,
    reference=saliency.saliency_map,
    properties=(
        Property("El mayor gradiente entre los canales, con todo a favor", 2, (_positive,)),
        Property("Lo que va en contra también cuenta", 2, (_signed,)),
        Property("Cada imagen, por su cuenta", 1, (_batch,)),
        Property("Una clase por imagen", 1, (_class_per_image, _each_loses)),
        Property("Redes con capas y una clase que no es la que gana", 2, (_layers, _strides, _frozen)),
        Property("La segunda vez, lo mismo", 1, (_twice,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
