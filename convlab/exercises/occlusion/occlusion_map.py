"""Ejercicio 2: el mapa de oclusión. Los errores de su catálogo están en `occlusion_map_errors`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convlab import occlusion
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import NetSpec, gap_net, images, losing_classes, mlp_net
from convlab.exercises.occlusion.numeric import (
    Value,
    favouring,
    linear_map,
    linear_net,
    logits,
    occlusions,
    tinted_images,
)
from convlab.exercises.occlusion.occlusion_map_errors import CATALOGUE
from convlab.exercises.occlusion.occlusion_map_variants import VARIANTS


def _sides(rng: np.random.Generator, patch: int, stride: int, rest: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Un alto y un ancho distintos, con un número entero de pasos y lo que sobre en cada eje."""
    steps = rng.permutation([2, 3, 4])[:2]
    height, width = (int(patch + stride * n + extra) for n, extra in zip(steps, rest, strict=True))
    return height, width


def _linear(
    rng: np.random.Generator, n: int, patch: int, stride: int, sides: tuple[int, int], value: Value = 0.0
) -> tuple[NetSpec, dict[str, Any]]:
    """Una clase que gana de largo, también tapada: quien elige la clase por su cuenta conserva estos puntos."""
    while True:
        x, target = tinted_images(rng, n, *sides), int(rng.integers(5))
        spec = favouring(linear_net(rng, *sides), target, 2)
        versions = [x, *(covered for _, covered in occlusions(x, patch, stride, value))]
        if all(_margin(logits(spec, version), target) > 0.05 for version in versions):
            return spec, {"model": spec, "x": x, "target": target, "patch": patch, "stride": stride, "value": value}


def _margin(values: np.ndarray, target: int) -> float:
    return float((values[:, target] - np.delete(values, target, 1).max(1)).min())


def _closed_form(spec: NetSpec, arguments: dict[str, Any], setup: frozenset[str] = frozenset()) -> Draft:
    return Draft(arguments, setup, linear_map(spec, arguments))


def _fitting_one(rng: np.random.Generator) -> Draft:
    patch = int(rng.integers(3, 5))
    return _closed_form(*_linear(rng, 1, patch, patch, _sides(rng, patch, patch)))


def _fitting_batch(rng: np.random.Generator) -> Draft:
    patch = int(rng.integers(2, 4))
    return _closed_form(*_linear(rng, 2, patch, patch, _sides(rng, patch, patch)))


def _overlapping(rng: np.random.Generator) -> Draft:
    patch, stride = int(rng.integers(4, 6)), int(rng.integers(2, 4))
    return _closed_form(*_linear(rng, 2, patch, stride, _sides(rng, patch, stride)))


def _every_pixel(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 1, 3, 1, _sides(rng, 3, 1)))


def _far_edges(rng: np.random.Generator) -> Draft:
    patch = int(rng.integers(3, 5))
    rest = int(rng.integers(1, patch)), int(rng.integers(1, patch))
    return _closed_form(*_linear(rng, 1, patch, patch, _sides(rng, patch, patch, rest)))


def _one_far_edge(rng: np.random.Generator) -> Draft:
    """Sobra en un solo eje, y con cuadrados que se pisan."""
    rest = (1, 0) if rng.integers(2) else (0, 1)
    return _closed_form(*_linear(rng, 2, 4, 2, _sides(rng, 4, 2, rest)))


def _one_row(rng: np.random.Generator) -> Draft:
    """El cuadrado ocupa la imagen de lado a lado: solo cabe moverlo en un eje."""
    return _closed_form(*_linear(rng, 1, 4, 3, (4, 9) if rng.integers(2) else (9, 4)))


def _losing_class(rng: np.random.Generator) -> Draft:
    """Una clase que no gana; y al tapar, en algún sitio, gana otra distinta de la de antes."""
    patch, stride = 4, 3
    while True:
        sides = _sides(rng, patch, stride, (1, 2))
        spec, x = linear_net(rng, *sides), tinted_images(rng, 2, *sides)
        clean = logits(spec, x)
        winners = clean.argmax(1)
        losing = sorted(set(range(clean.shape[1])) - set(winners.tolist()))
        moved = sum(
            int((logits(spec, c).max(1) - logits(spec, c)[np.arange(2), winners] > 0.02).all())
            for _, c in occlusions(x, patch, stride, 0.0)
        )
        if moved >= 2:
            target = int(rng.choice(losing))
            arguments = {"model": spec, "x": x, "target": target, "patch": patch, "stride": stride, "value": 0.0}
            return _closed_form(spec, arguments)


def _class_per_image(rng: np.random.Generator) -> Draft:
    sides = _sides(rng, 3, 3)
    spec, x = linear_net(rng, *sides), tinted_images(rng, 3, *sides)
    while True:
        target = rng.permutation(5)[:3]
        if all(int(k) in losing for k, losing in zip(target, losing_classes(spec, x), strict=True)):
            arguments = {"model": spec, "x": x, "target": target, "patch": 3, "stride": 3, "value": 0.0}
            return _closed_form(spec, arguments)


def _number(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 1, 3, 3, _sides(rng, 3, 3), float(rng.uniform(0.4, 0.9))))


def _mean(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 2, 3, 3, _sides(rng, 3, 3), "mean"))


def _deep(
    rng: np.random.Generator, n: int, build: Callable[[np.random.Generator], NetSpec], setup: frozenset[str]
) -> Draft:
    """Una red con capas ocultas y una clase que no elegiría para ninguna de las imágenes."""
    while True:
        spec, x = build(rng), images(rng, n)
        common = set.intersection(*(set(options.tolist()) for options in losing_classes(spec, x)))
        if common:
            target, patch = int(rng.choice(sorted(common))), int(rng.integers(4, 6))
            value: Value = float(rng.uniform(0, 1)) if rng.integers(2) else "mean"
            arguments = {"model": spec, "x": x, "target": target, "patch": patch, "stride": 3, "value": value}
            return Draft(arguments, setup)


def _hidden_layers(rng: np.random.Generator) -> Draft:
    return _deep(rng, 2, mlp_net, frozenset())


def _frozen(rng: np.random.Generator) -> Draft:
    return _deep(rng, 1, lambda r: gap_net(r, inplace=True), frozenset({"frozen"}))


def _float32(rng: np.random.Generator) -> Draft:
    spec, arguments = _linear(rng, 1, 4, 4, _sides(rng, 4, 4))
    return Draft(arguments | {"model": spec.astype("float32"), "x": arguments["x"].astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 2, 4, 4, _sides(rng, 4, 4)), frozenset({"strided"}))


EXERCISE = Exercise(
    id="occlusion.occlusion_map",
    title="El mapa de oclusión",
    minutes=25,
    visible_points=2,
    hidden_points=2,
    reference=occlusion.occlusion_map,
    properties=(
        Property("Lo que cae el logit en cada cuadrado de una rejilla que encaja", 2, (_fitting_one, _fitting_batch)),
        Property("La media de los cuadrados que cubren cada píxel", 2, (_overlapping, _every_pixel)),
        Property("Hasta la última fila y la última columna", 1, (_far_edges, _one_far_edge, _one_row)),
        Property("La clase que se pide, una por imagen", 2, (_losing_class, _class_per_image)),
        Property("Se tapa con lo que se pide", 1, (_number, _mean)),
        Property("Redes con capas ocultas o congeladas", 1, (_hidden_layers, _frozen)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
