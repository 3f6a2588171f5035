"""Ejercicio 5: una copia de la red con algunas capas olvidadas. Lo que se mira de ella está en `randomize_facts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convlab import saliency
from convlab.exercises.case import Draft, Seeded
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import Layer, random_net
from convlab.exercises.saliency import randomize_facts as facts
from convlab.exercises.saliency.randomize_layers_errors import CATALOGUE
from convlab.exercises.saliency.randomize_layers_variants import VARIANTS

_BLOCKS = {"block1": ("conv", "bn", "relu"), "block10": ("conv10", "bn10")}


def _net(rng: np.random.Generator, dtype: str = "float64") -> facts.Blocks:
    """Dos bloques cuyos nombres empiezan igual y dos capas lineales del mismo tamaño."""
    one, two = (int(c) for c in rng.permutation([6, 7, 8])[:2])
    side = int(rng.integers(13, 17))
    conv = {"kernel_size": 3, "padding": 1}
    layers: list[Layer] = [
        ("conv", "Conv2d", {"in_channels": 3, "out_channels": one, **conv}),
        ("bn", "BatchNorm2d", {"num_features": one}),
        ("relu", "ReLU", {}),
        ("conv10", "Conv2d", {"in_channels": one, "out_channels": two, **conv}),
        ("bn10", "BatchNorm2d", {"num_features": two}),
        ("gap", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("fc1", "Linear", {"in_features": two, "out_features": side}),
        ("fc2", "Linear", {"in_features": side, "out_features": side}),
        ("fc3", "Linear", {"in_features": side, "out_features": side}),
    ]
    return facts.Blocks(random_net(layers, rng).astype(dtype), dict(_BLOCKS))


def _draft(
    rng: np.random.Generator,
    names: Sequence[str],
    measure: Any,
    expected: Sequence[str],
    setup: frozenset[str] = frozenset(),
    *,
    call: Any = facts.describe,
    dtype: str = "float64",
) -> Draft:
    seed = Seeded(int(rng.integers(10**6)))
    arguments = {"model": _net(rng, dtype), "names": list(names), "generator": seed}
    return Draft(arguments, setup, dict.fromkeys(expected, True), call=call, measure=measure)


WHICH = ("cambian los pesos de las capas pedidas", "las demás capas quedan igual")
SAME = ("la copia está en el mismo modo, train o eval", "los parámetros piden gradiente, o no, igual que antes")


def _one(rng: np.random.Generator) -> Draft:
    return _draft(rng, ["fc2"], facts.which_facts, WHICH)


def _convolution(rng: np.random.Generator) -> Draft:
    return _draft(rng, ["block1.conv"], facts.which_facts, WHICH)


def _several(rng: np.random.Generator) -> Draft:
    names = rng.permutation(["fc3", "block10.conv10", "fc1"]).tolist()
    return _draft(rng, names, facts.which_facts, WHICH)


def _original(rng: np.random.Generator) -> Draft:
    expected = ("la red original no cambia", "la copia no comparte memoria con la original")
    return _draft(rng, ["fc3"], facts.original_facts, expected)


def _block(rng: np.random.Generator) -> Draft:
    """`block10` empieza por `block1`, y no se ha pedido."""
    return _draft(rng, ["block1"], facts.which_facts, WHICH)


def _sizes(rng: np.random.Generator) -> Draft:
    expected = (
        "los pesos no pasan de 1 / √entradas",
        "los pesos tienen el tamaño de los recién creados",
        "también cambia el sesgo",
        "no queda nada de los pesos de antes",
        "dos capas iguales reciben pesos distintos",
    )
    return _draft(rng, ["fc2", "fc3", "block1.conv"], facts.size_facts, expected)


def _norm(rng: np.random.Generator) -> Draft:
    expected = ("BatchNorm vuelve a escala 1 y sesgo 0", "BatchNorm vuelve a media 0 y varianza 1", *WHICH)
    return _draft(rng, ["block10.bn10"], facts.norm_facts, expected)


def _chance(rng: np.random.Generator) -> Draft:
    expected = ("igual con la misma semilla", "distinta con otra semilla")
    return _draft(rng, ["fc1", "fc3"], facts.chance_facts, expected, call=facts.describe_thrice)


def _same(rng: np.random.Generator) -> Draft:
    return _draft(rng, ["fc1"], facts.same_facts, SAME)


def _frozen(rng: np.random.Generator) -> Draft:
    return _draft(rng, ["fc2"], facts.same_facts, SAME, frozenset({"frozen"}))


def _float32(rng: np.random.Generator) -> Draft:
    return _draft(rng, ["fc2", "block1.conv"], facts.which_facts, WHICH, dtype="float32")


EXERCISE = Exercise(
    id="saliency.randomize_layers",
    title="Hacer que la red olvide",
    minutes=20,
    visible_points=2,
    hidden_points=2,
    reference=saliency.randomize_layers,
    properties=(
        Property("Cambia la capa pedida y ninguna más", 2, (_one, _convolution)),
        Property("Todas las de la lista", 1, (_several,)),
        Property("La red original queda como estaba", 2, (_original,)),
        Property("Un bloque incluye todo lo que contiene", 1, (_block,)),
        Property("Los números nuevos son los de una capa recién creada", 2, (_sizes,)),
        Property("BatchNorm también olvida", 1, (_norm,)),
        Property("El azar sale del generador", 1, (_chance,)),
        Property("Lo demás se copia tal cual, también en float32", 1, (_same, _frozen, _float32)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
