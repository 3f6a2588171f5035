"""Ejercicio 4: DeconvNet. Su catálogo está en `deconvnet_errors` (la unidad) y `deconvnet_step_errors` (las capas)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convlab import deconvnet as library
from convlab.exercises.case import Draft
from convlab.exercises.deconvnet import networks
from convlab.exercises.deconvnet.deconvnet_errors import CATALOGUE
from convlab.exercises.deconvnet.deconvnet_step_errors import CATALOGUE as STEPS
from convlab.exercises.deconvnet.deconvnet_variants import VARIANTS
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import NetSpec, images

_NOTHING: frozenset[str] = frozenset()


def _drawn(
    rng: np.random.Generator,
    build: Callable[..., NetSpec],
    n: int,
    layer: str,
    *,
    size: tuple[int, int] = (9, 12),
    per_image: bool = False,
    setup: frozenset[str] = _NOTHING,
    **options: Any,
) -> Draft:
    """Una red, imágenes y un canal encendido en todas, lejos de empates."""
    while True:
        spec = build(rng, **options)
        x = images(rng, n, *size).astype(spec.dtype)
        channels = networks.activation(spec, x, layer).shape[1]
        channel = rng.permutation(channels)[:n] if per_image else int(rng.integers(channels))
        if networks.clear(spec, x, layer, channel):
            return Draft({"model": spec, "x": x, "layer": layer, "channel": channel}, setup)


def _one_filter(rng: np.random.Generator) -> Draft:
    """Una sola convolución: la unidad estampa su filtro, por su valor, en el sitio que miraba."""
    draft = _drawn(rng, networks.plain_net, 1, "relu1")
    spec, x, _, channel = draft.arguments.values()
    maps = networks.activation(spec, x, "relu1")[0, channel]
    i, j = np.unravel_index(maps.argmax(), maps.shape)
    expected = np.zeros((1, 3, x.shape[2] + 2, x.shape[3] + 2))
    expected[0, :, i : i + 3, j : j + 3] = maps[i, j] * spec.state["conv1.weight"][channel]
    return Draft(draft.arguments, expected=expected[:, :, 1:-1, 1:-1])


def _two_layers(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 1, "relu2")


def _batch(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 3, "relu2")


def _biases(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.biased_net, 1, "relu2")


def _batch_norm(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.normalized_net, 1, str(rng.choice(["relu2", "bn2"])))


def _pooling(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.pooled_net, 1, str(rng.choice(["relu2", "pool2"])), size=(10, 13), kernel_size=2)


def _overlapping_pooling(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.pooled_net, 1, "relu2", size=(11, 15), kernel_size=3, stride=2, padding=1)


def _strides(rng: np.random.Generator) -> Draft:
    """Con estos tamaños, en cada convolución sobra una fila o una columna tras la última ventana."""
    return _drawn(rng, networks.strided_net, 1, "relu2", size=(17, 18))


def _before_relu(rng: np.random.Generator) -> Draft:
    """La capa de antes de una ReLU, donde la unidad de mayor valor absoluto puede ser negativa."""
    while True:
        draft = _drawn(rng, networks.plain_net, 1, "conv2")
        maps = networks.activation(draft.arguments["model"], draft.arguments["x"], "conv2")
        chosen = maps[0, draft.arguments["channel"]]
        if chosen.min() < -1.1 * chosen.max():
            return draft


def _channel_per_image(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 3, "relu2", per_image=True)


def _silent_channel(rng: np.random.Generator) -> Draft:
    """Todos los pesos del canal son negativos y lo que recibe no lo es: tras la ReLU no queda nada."""
    spec, x = networks.plain_net(rng), images(rng, 2, 9, 12)
    weight = spec.state["conv2.weight"]
    channel = int(rng.integers(len(weight)))
    weight[channel] = -np.abs(weight[channel]) - 0.05
    arguments = {"model": spec, "x": x, "layer": "relu2", "channel": channel}
    return Draft(arguments, expected=np.zeros_like(x))


def _frozen(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 1, "relu2", setup=frozenset({"frozen"}))


def _inplace(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 1, str(rng.choice(["conv2", "relu2"])), inplace=True)


def _float32(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 1, "relu2", dtype="float32")


def _strided(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.plain_net, 1, "relu2", setup=frozenset({"strided"}))


def _everything(rng: np.random.Generator) -> Draft:
    return _drawn(rng, networks.full_net, 2, "relu2", size=(18, 23), per_image=True)


EXERCISE = Exercise(
    id="deconvnet.deconvnet",
    title="DeconvNet",
    minutes=30,
    visible_points=4,
    hidden_points=4,
    reference=library.deconvnet,
    properties=(
        Property("La unidad más activa baja por filtros y ReLU", 3, (_one_filter, _two_layers)),
        Property("Cada imagen, con su unidad y su canal", 1, (_batch, _channel_per_image)),
        Property("Ni sesgos ni medias: BatchNorm solo multiplica", 2, (_biases, _batch_norm)),
        Property("Desagrupa con los interruptores", 2, (_pooling, _overlapping_pooling)),
        Property("Convoluciones con paso", 1, (_strides,)),
        Property("Cualquier capa, y un canal apagado", 1, (_before_relu, _silent_channel)),
        Property(
            "Parámetros congelados, ReLU que escriben encima, float32", 1, (_frozen, _inplace, _float32, _strided)
        ),
        Property("Todo a la vez", 1, (_everything,)),
    ),
    misconceptions=STEPS.misconceptions | CATALOGUE.misconceptions,
    variants=VARIANTS,
)
