"""Ejercicio 3: la curva de borrado. Los errores de su catálogo están en `deletion_curve_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convlab import occlusion
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import HEIGHT, WIDTH, NetSpec, gap_net, images, losing_classes, mlp_net
from convlab.exercises.occlusion.deletion_curve_errors import CATALOGUE
from convlab.exercises.occlusion.deletion_curve_variants import VARIANTS
from convlab.exercises.occlusion.numeric import Value, linear_curve, linear_net, logits, tinted_images


def _saliency(rng: np.random.Generator, n: int, height: int, width: int, low: float = 0.0) -> np.ndarray:
    """Mapas sin dos valores que el redondeo pueda confundir."""
    order = rng.permuted(np.tile(np.arange(height * width), (n, 1)), axis=1)
    return np.asarray((order.reshape(n, height, width) + rng.uniform(0.2, 0.8)) / (height * width) + low)


def _linear(
    rng: np.random.Generator, n: int, steps: int, sides: tuple[int, int] = (6, 8), value: Value = 0.0
) -> tuple[NetSpec, dict[str, Any]]:
    """La clase que gana en las imágenes intactas, la misma en todas: quien la elige una vez conserva estos puntos."""
    while True:
        spec, x = linear_net(rng, *sides), tinted_images(rng, n, *sides)
        winners = logits(spec, x).argmax(1)
        if (winners == winners[0]).all():
            arguments = {"model": spec, "x": x, "target": int(winners[0]), "saliency": _saliency(rng, n, *sides)}
            return spec, arguments | {"steps": steps, "value": value}


def _closed_form(spec: NetSpec, arguments: dict[str, Any], setup: frozenset[str] = frozenset()) -> Draft:
    return Draft(arguments, setup, linear_curve(spec, arguments))


def _one_image(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 1, int(rng.choice([4, 6, 8]))))


def _tall_image(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 1, int(rng.choice([5, 7])), (7, 5)))


def _batch(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 3, 6))


def _losing_class(rng: np.random.Generator) -> Draft:
    spec, arguments = _linear(rng, 2, 6)
    common = set.intersection(*(set(k.tolist()) for k in losing_classes(spec, arguments["x"])))
    return _closed_form(spec, arguments | {"target": int(rng.choice(sorted(common)))})


def _class_per_image(rng: np.random.Generator) -> Draft:
    spec, arguments = _linear(rng, 3, 6)
    losing = losing_classes(spec, arguments["x"])
    while True:
        target = rng.permutation(5)[:3]
        if all(int(k) in options for k, options in zip(target, losing, strict=True)):
            return _closed_form(spec, arguments | {"target": target})


def _rounded(rng: np.random.Generator) -> Draft:
    """Pasos impares que no dividen los píxeles: nunca queda media unidad, y truncar o redondear por exceso se nota."""
    return _closed_form(*_linear(rng, 1, int(rng.choice([5, 7, 11]))))


def _more_steps_than_pixels(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 1, int(rng.choice([17, 19])), (3, 4)))


def _ties(rng: np.random.Generator) -> Draft:
    """Pocos niveles distintos: dentro de cada uno manda la posición."""
    spec, arguments = _linear(rng, 2, 6)
    return _closed_form(spec, arguments | {"saliency": rng.integers(0, 4, arguments["saliency"].shape) / 4})


def _constant(rng: np.random.Generator) -> Draft:
    spec, arguments = _linear(rng, 1, 4)
    return _closed_form(spec, arguments | {"saliency": np.full_like(arguments["saliency"], 0.5)})


def _signed(rng: np.random.Generator) -> Draft:
    spec, arguments = _linear(rng, 2, 6)
    return _closed_form(spec, arguments | {"saliency": arguments["saliency"] - float(rng.uniform(0.4, 0.6))})


def _number(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 1, 6, value=float(rng.uniform(0.4, 0.9))))


def _mean(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 2, 6, value="mean"))


def _hidden_layers(rng: np.random.Generator) -> Draft:
    x = images(rng, 2)
    return Draft(_deep(rng, mlp_net(rng), x))


def _frozen(rng: np.random.Generator) -> Draft:
    return Draft(_deep(rng, gap_net(rng, inplace=True), images(rng, 1)), frozenset({"frozen"}))


def _deep(rng: np.random.Generator, spec: NetSpec, x: np.ndarray) -> dict[str, Any]:
    value: Value = float(rng.uniform(0, 1)) if rng.integers(2) else "mean"
    target = np.array([rng.choice(options) for options in losing_classes(spec, x)])
    saliency = _saliency(rng, len(x), HEIGHT, WIDTH, low=-0.5)
    return {"model": spec, "x": x, "target": target, "saliency": saliency, "steps": 8, "value": value}


def _float32(rng: np.random.Generator) -> Draft:
    spec, arguments = _linear(rng, 2, 6)
    floats = {k: arguments[k].astype("float32") for k in ("x", "saliency")}
    return Draft(arguments | floats | {"model": spec.astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(*_linear(rng, 2, 6), frozenset({"strided"}))


EXERCISE = Exercise(
    id="occlusion.deletion_curve",
    title="La curva de borrado",
    minutes=25,
    visible_points=2,
    hidden_points=2,
    reference=occlusion.deletion_curve,
    properties=(
        Property("De la imagen intacta a la borrada, de lo más importante a lo menos", 2, (_one_image, _tall_image)),
        Property("Cada imagen con su orden, y la media del lote", 2, (_batch,)),
        Property("La clase que se pide, una por imagen", 2, (_losing_class, _class_per_image)),
        Property("El número de píxeles se redondea", 1, (_rounded, _more_steps_than_pixels)),
        Property("Los empates, por filas, y lo negativo, al final", 1, (_ties, _constant, _signed)),
        Property("Se borra con lo que se pide", 1, (_number, _mean)),
        Property("Redes con capas ocultas o congeladas", 1, (_hidden_layers, _frozen)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
