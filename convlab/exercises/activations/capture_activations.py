"""Ejercicio 2: lo que sale de varias capas en una pasada. Los errores están en `capture_errors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor, nn

from convlab import activations
from convlab.exercises.activations.capture_errors import CATALOGUE
from convlab.exercises.activations.capture_variants import VARIANTS
from convlab.exercises.activations.networks import EVERY_MODULE, block_net, first_convolution
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import gap_net, images, mlp_net
from convlab.hooks import capture


def _first_layer(rng: np.random.Generator) -> Draft:
    spec, x = gap_net(rng), images(rng, 2)
    return Draft({"model": spec, "x": x, "layers": ["conv1"]}, expected={"conv1": first_convolution(spec, x)})


def _deep_layer(rng: np.random.Generator) -> Draft:
    return Draft({"model": mlp_net(rng), "x": images(rng, 3), "layers": ["relu2"]})


def _several(rng: np.random.Generator) -> Draft:
    """Ni en el orden de la red ni en el contrario; una de las salidas no es un mapa."""
    spec, x = gap_net(rng, stride=2), images(rng, 2)
    return Draft({"model": spec, "x": x, "layers": ["pool1", "fc", "bn1", "relu2", "conv1"]})


def _tuple_of_layers(rng: np.random.Generator) -> Draft:
    return Draft({"model": mlp_net(rng), "x": images(rng, 3), "layers": ("fc1", "conv1", "conv2")})


# De aquí en adelante se pide una sola capa: a quien confunda los nombres solo le cuesta la propiedad de los nombres.


def _early_part(rng: np.random.Generator) -> Draft:
    return Draft({"model": block_net(rng), "x": images(rng, 2, 10, 14), "layers": ["block1.pool"]})


def _late_part(rng: np.random.Generator) -> Draft:
    return Draft({"model": block_net(rng), "x": images(rng, 3, 10, 14), "layers": ["block2.conv"]})


def _inplace(rng: np.random.Generator) -> Draft:
    return Draft({"model": gap_net(rng, inplace=True), "x": images(rng, 2), "layers": ["conv2"]})


def _one_image(rng: np.random.Generator) -> Draft:
    return Draft({"model": gap_net(rng), "x": images(rng, 1), "layers": ["relu1"]})


def _one_image_one_vector(rng: np.random.Generator) -> Draft:
    return Draft({"model": mlp_net(rng), "x": images(rng, 1), "layers": ["fc2"]})


def _training(rng: np.random.Generator) -> Draft:
    """Llega en modo `train`, salvo una capa, que alguien dejó fija. Las estadísticas del lote cambian los valores."""
    kept = str(rng.choice(["block2.bn", "block2.relu", "drop"]))
    spec = block_net(rng, training=tuple(name for name in EVERY_MODULE if name != kept))
    return Draft({"model": spec, "x": images(rng, 3), "layers": ["block2"]})


def _all_training(rng: np.random.Generator) -> Draft:
    spec = block_net(rng, training=EVERY_MODULE)
    return Draft({"model": spec, "x": images(rng, 2), "layers": ["block1"]})


def _mentions_graph(
    function: Callable[..., dict[str, Tensor]], model: nn.Module, x: Tensor, layers: Sequence[str]
) -> dict[str, Any]:
    found = function(model, x, layers)
    if not isinstance(found, dict):
        return found
    tracked = any(isinstance(a, Tensor) and a.requires_grad for a in found.values())
    return {**found, "¿alguna pide gradiente?": tracked}


def _graph(rng: np.random.Generator) -> Draft:
    arguments = {"model": gap_net(rng), "x": images(rng, 2), "layers": ["relu2"]}
    return Draft(arguments, call=_mentions_graph)


def _hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def _fails_the_second_time(
    function: Callable[..., dict[str, Tensor]], model: nn.Module, x: Tensor, layers: Sequence[str]
) -> dict[str, Any]:
    function(model, x, layers)
    after_one = _hooks(model)
    with suppress(RuntimeError):  # la primera convolución rechaza una imagen de dos canales
        function(model, x[:, :2], layers)
    return {"ganchos tras una pasada": after_one, "ganchos tras un fallo": _hooks(model)}


def _failing(rng: np.random.Generator) -> Draft:
    arguments = {"model": gap_net(rng), "x": images(rng, 2), "layers": ["conv1", "relu2"]}
    expected = {"ganchos tras una pasada": 0, "ganchos tras un fallo": 0}
    return Draft(arguments, call=_fails_the_second_time, expected=expected)


def _float32(rng: np.random.Generator) -> Draft:
    x = images(rng, 2).astype("float32")
    return Draft({"model": gap_net(rng).astype("float32"), "x": x, "layers": ["conv2"]})


def _strided(rng: np.random.Generator) -> Draft:
    arguments = {"model": mlp_net(rng), "x": images(rng, 2), "layers": ["relu1"]}
    return Draft(arguments, frozenset({"strided", "frozen"}))


EXERCISE = Exercise(
    id="activations.capture_activations",
    title="Mirar dentro de la red",
    minutes=25,
    visible_points=2,
    hidden_points=2,
    reference=activations.capture_activations,
    properties=(
        Property("La salida de una capa", 2, (_first_layer, _deep_layer)),
        Property("Varias capas, en cualquier orden", 2, (_several, _tuple_of_layers)),
        Property("Capas dentro de bloques, con puntos en el nombre", 1, (_early_part, _late_part)),
        Property("Una ReLU que escribe encima de la capa", 2, (_inplace,)),
        Property("Una imagen sola sigue siendo un lote", 1, (_one_image, _one_image_one_vector)),
        Property("Una red que llega en modo train", 1, (_training, _all_training)),
        Property("Sin grafo", 1, (_graph,)),
        Property("Sin ganchos, aunque la red falle", 1, (_failing,)),
        Property("float32, memoria no contigua y parámetros congelados", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
    also_forbidden=(capture,),
)
