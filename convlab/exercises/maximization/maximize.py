"""Ejercicio 5: la imagen que más enciende un canal. Redes, hechos y errores están en los demás `maximize_*`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convlab import maximization
from convlab.exercises.case import Draft, Seeded
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.maximization import maximize_facts as facts
from convlab.exercises.maximization import maximize_nets as nets
from convlab.exercises.maximization.maximize_errors import CATALOGUE
from convlab.exercises.maximization.maximize_variants import VARIANTS
from convlab.exercises.nets import NetSpec


def _arguments(
    rng: np.random.Generator,
    model: NetSpec,
    layer: str,
    channel: int,
    size: tuple[int, int],
    *,
    steps: int,
    lr: float,
    jitter: int = 0,
) -> dict[str, Any]:
    return {
        "model": model,
        "layer": layer,
        "channel": channel,
        "size": size,
        "steps": steps,
        "lr": lr,
        "jitter": jitter,
        "generator": Seeded(int(rng.integers(1, 10**6))),
    }


def _size(rng: np.random.Generator, *sides: int) -> tuple[int, int]:
    height, width = rng.permutation(sides)[:2]
    return int(height), int(width)


def _unknown_top(rng: np.random.Generator, layer: str, jitter: int = 0, **options: Any) -> dict[str, Any]:
    """Una red al azar y un canal que cambia de una imagen a otra."""
    size = _size(rng, 9, 11, 12)
    while True:
        spec, channel = nets.conv_net(rng, **options), int(rng.integers(5))
        if facts.noise(spec.build(), layer, channel, size)[2] > 0.02:
            return _arguments(rng, spec, layer, channel, size, steps=24, lr=0.2, jitter=jitter)


def _lit(arguments: dict[str, Any], setup: frozenset[str] = frozenset()) -> Draft:
    return Draft(arguments, setup, {facts.BEATS: True}, facts.climb, facts.beats_noise)


def _channel(rng: np.random.Generator) -> Draft:
    return _lit(_unknown_top(rng, "conv2"))


def _class(rng: np.random.Generator) -> Draft:
    return _lit(_unknown_top(rng, "fc"))


def _bright(rng: np.random.Generator) -> Draft:
    spec = nets.single_channel(rng, 1)
    return _lit(_arguments(rng, spec, "conv1", 0, _size(rng, 6, 8, 9), steps=12, lr=0.3))


def _dark(rng: np.random.Generator) -> Draft:
    """Con el anterior, ninguna imagen fija puede acertar los dos."""
    spec = nets.single_channel(rng, -1)
    return _lit(_arguments(rng, spec, "conv1", 0, _size(rng, 6, 8, 9), steps=12, lr=0.3))


def _frozen_float32(rng: np.random.Generator) -> Draft:
    return _lit(_unknown_top(rng, "conv2", inplace=True, dtype="float32"), frozenset({"frozen"}))


def _inside(rng: np.random.Generator) -> Draft:
    channel = int(rng.integers(4))
    arguments = _arguments(
        rng, nets.opposed_channels(rng, channel), "conv1", channel, _size(rng, 6, 8, 9), steps=12, lr=0.4
    )
    expected = {"sin salir de [0, 1]": True, "la red solo ve imágenes en [0, 1]": True}
    return Draft(arguments, expected=expected, call=facts.climb, measure=facts.stays_inside)


def _linear(rng: np.random.Generator, spec: NetSpec, layer: str, channel: int) -> Draft:
    arguments = _arguments(rng, spec, layer, channel, _size(rng, 7, 8, 10), steps=20, lr=0.2)
    expected = {"el canal no baja": True, "el canal sube la mitad de lo que puede": True}
    return Draft(arguments, expected=expected, call=facts.climb, measure=facts.climbs_half)


def _opposed(rng: np.random.Generator) -> Draft:
    channel = int(rng.integers(4))
    return _linear(rng, nets.opposed_channels(rng, channel), "conv1", channel)


def _rival(rng: np.random.Generator) -> Draft:
    channel = int(rng.integers(5))
    return _linear(rng, nets.stronger_rival(rng, channel), "fc", channel)


def _peak(rng: np.random.Generator) -> Draft:
    channel = int(rng.integers(3))
    arguments = _arguments(rng, nets.peaked(rng, channel), "conv2", channel, _size(rng, 5, 6, 7), steps=45, lr=0.05)
    expected = {"se queda en el máximo, que está dentro de [0, 1]": True}
    return Draft(arguments, expected=expected, call=facts.climb, measure=facts.stops_at_the_top)


def _still(rng: np.random.Generator) -> Draft:
    channel = int(rng.integers(4))
    spec, size = nets.opposed_channels(rng, channel), _size(rng, 8, 9, 10)
    return Draft(
        _arguments(rng, spec, "conv1", channel, size, steps=30, lr=0.0, jitter=1),
        expected=dict.fromkeys(facts.SHIFTS, True),
        call=facts.still,
        measure=facts.as_told,
    )


def _stripes(rng: np.random.Generator) -> Draft:
    channel, size = int(rng.integers(3)), (int(rng.integers(5, 8)), 8)
    return Draft(
        _arguments(rng, nets.striped(rng, channel, size), "fc", channel, size, steps=30, lr=0.15, jitter=2),
        expected={"sin desplazar, las rayas suben": True, "lo que el desplazamiento borra no sube": True},
        call=facts.shaken,
        measure=facts.survives_the_shift,
    )


def _seeds(rng: np.random.Generator, jitter: int) -> Draft:
    arguments = _unknown_top(rng, "conv2", jitter) | {"steps": 4}
    expected = {"con la misma semilla, la misma imagen": True, "con otra semilla, otra imagen": True}
    return Draft(arguments, expected=expected, call=facts.again, measure=facts.follows_the_seed)


def _seeds_still(rng: np.random.Generator) -> Draft:
    return _seeds(rng, 0)


def _seeds_shifted(rng: np.random.Generator) -> Draft:
    return _seeds(rng, 1)


def _steps(rng: np.random.Generator) -> Draft:
    channel = int(rng.integers(4))
    arguments = _arguments(
        rng, nets.opposed_channels(rng, channel), "conv1", channel, _size(rng, 6, 7, 8), steps=6, lr=0.02
    )
    expected = {"el primer paso ya sube": True, "cuantos más pasos, más arriba": True}
    return Draft(arguments, expected=expected, call=facts.counted, measure=facts.every_step_counts)


EXERCISE = Exercise(
    id="maximization.maximize",
    title="La imagen que más enciende un canal",
    minutes=35,
    visible_points=4,
    hidden_points=4,
    reference=maximization.maximize,
    properties=(
        Property("Enciende el canal mucho más que el ruido", 3, (_channel, _class, _bright, _dark)),
        Property("La imagen no sale de [0, 1]", 2, (_inside,)),
        Property("El canal pedido, entero y nada más", 2, (_opposed, _rival)),
        Property("Llega al máximo y se queda en él", 1, (_peak,)),
        Property("Cada paso cuenta", 1, (_steps,)),
        Property("Desplaza al azar y lo deshace", 2, (_still, _stripes)),
        Property("El azar es el del generador", 1, (_seeds_still, _seeds_shifted)),
        Property("Una red congelada, en float32 y con ReLU que escriben encima", 1, (_frozen_float32,)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
    also_forbidden=(maximization.optimize,),
)
