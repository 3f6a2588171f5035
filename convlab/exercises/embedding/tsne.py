"""Ejercicio 6: t-SNE entero. Los errores de su catálogo están en `tsne_errors`.

El resultado depende del azar, así que no se compara con otro mapa: se mide. Los umbrales salen de medir 200 semillas
con estos datos y 400 pasos. Con la receta del enunciado y con la de la lección, la fiabilidad no baja de 0,991 (la de
scikit-learn, de 0,996 en 16 semillas) ni la divergencia pasa de 0,05 nats. Los errores que estropean el mapa no bajan
de 0,25 nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import embedding
from convlab.exercises.case import Draft, Seeded
from convlab.exercises.embedding.tsne_errors import CATALOGUE
from convlab.exercises.engine import Exercise, Property

RELIABLE = 0.975
"""La fiabilidad de scikit-learn en estos datos, 0,996 en el peor caso, menos 0,02."""

LOW_KL = 0.08

SMALL = 0.05
"""Las soluciones correctas quedan por debajo de 0,01; sin el 1e-4 del sorteo, no se baja de 0,7."""


def _islands(rng: np.random.Generator, size: int) -> np.ndarray:
    """Tres discos planos, cada uno en su plano de un espacio de ocho dimensiones, muy separados y barajados."""
    centers = 12 * np.linalg.qr(rng.normal(0, 1, (8, 8)))[0][:3]
    discs = []
    for center in centers:
        plane = np.linalg.qr(rng.normal(0, 1, (8, 2)))[0]
        discs.append(center + rng.normal(0, 1, (size, 2)) @ plane.T + rng.normal(0, 0.1, (size, 8)))
    return rng.permutation(np.concatenate(discs))


def _arguments(rng: np.random.Generator, size: int, perplexity: float, steps: int) -> dict[str, Any]:
    return {"x": _islands(rng, size), "perplexity": perplexity, "steps": steps, "generator": _seed(rng)}


def _seed(rng: np.random.Generator) -> Seeded:
    return Seeded(int(rng.integers(1, 10**6)))


def _divergence(y: Tensor, x: Tensor, perplexity: float) -> float:
    p = embedding.joint_probabilities(
        embedding.conditional_probabilities(embedding.squared_distances(x.double()), perplexity)
    )
    return float(embedding.kl_divergence(p, embedding.student_affinities(y.double())[0]))


def _quality(y: Tensor, x: Tensor, perplexity: float, steps: int, generator: object) -> dict[str, Any]:  # noqa: ARG001
    """Los dos últimos hechos deciden; los anteriores dicen cómo ha salido mal, y un mapa bueno los cumple siempre."""
    kl, size = _divergence(y, x, perplexity), float(y.double().std())
    reliable = embedding.trustworthiness(x, y.to(x.dtype), 5)
    return {
        "los puntos no salen despedidos al infinito": size < 1e6,
        "mejor que un mapa al azar": reliable > 0.7,
        "fiabilidad de 0,975 o más": reliable >= RELIABLE,
        "divergencia KL menor que 0,08 nats": kl < LOW_KL,
    }


_ALL_GOOD = {
    "los puntos no salen despedidos al infinito": True,
    "mejor que un mapa al azar": True,
    "fiabilidad de 0,975 o más": True,
    "divergencia KL menor que 0,08 nats": True,
}


def _good(rng: np.random.Generator) -> Draft:
    return Draft(_arguments(rng, 25, 20, 400), measure=_quality, expected=_ALL_GOOD)


def _centered(rng: np.random.Generator) -> Draft:
    """Con pocos pasos el mapa es tan pequeño que hasta la media del sorteo se nota."""
    return Draft(_arguments(rng, 12, 9.5, 3), measure=_mean, expected={"media nula": True})


def _mean(y: Tensor, x: Tensor, perplexity: float, steps: int, generator: object) -> dict[str, Any]:  # noqa: ARG001
    return {"media nula": bool((y.mean(0).abs() < 1e-4 * y.std()).all())}


def _chance(rng: np.random.Generator) -> Draft:
    seed, other = rng.permutation(10**6)[:2]
    arguments = {
        "x": _islands(rng, 6),
        "perplexity": 4,
        "steps": 40,
        "generator": Seeded(int(seed)),
        "again": Seeded(int(seed)),
        "other": Seeded(int(other)),
    }
    expected = {"con la misma semilla, el mismo mapa": True, "con otra semilla, otro mapa": True}
    return Draft(arguments, call=_three_times, measure=_repeats, expected=expected)


def _three_times(function: Callable[..., Any], x: Tensor, perplexity: float, steps: int, *generators: object) -> Any:
    return [function(x, perplexity, steps, generator) for generator in generators]


def _repeats(maps: list[Tensor], *arguments: object) -> dict[str, Any]:  # noqa: ARG001
    first, again, other = maps
    close = 1e-6 * float(first.abs().max())
    return {
        "con la misma semilla, el mismo mapa": bool((first - again).abs().max() <= close),
        "con otra semilla, otro mapa": bool((first - other).abs().max() > close),
    }


def _first_steps(rng: np.random.Generator) -> Draft:
    seed = _seed(rng)
    arguments = {"x": _islands(rng, 12), "perplexity": 5, "wide": 12, "one": seed, "two": seed, "three": seed}
    expected = {
        "tras un paso el mapa aún es diminuto": True,
        "el segundo paso cuenta": True,
        "con otra perplejidad, otro mapa": True,
    }
    return Draft(arguments, call=_short_runs, measure=_growth, expected=expected)


def _float32(rng: np.random.Generator) -> Draft:
    draft = _first_steps(rng)
    draft.arguments["x"] = draft.arguments["x"].astype("float32")
    return replace(draft, setup=frozenset({"strided"}))


def _short_runs(
    function: Callable[..., Any],
    x: Tensor,
    perplexity: float,
    wide: float,
    one: torch.Generator,
    two: torch.Generator,
    three: torch.Generator,
) -> Any:
    return [function(x, perplexity, 1, one), function(x, perplexity, 2, two), function(x, wide, 2, three)]


def _growth(maps: list[Tensor], *arguments: object) -> dict[str, Any]:  # noqa: ARG001
    one, two, other = maps
    close = 1e-6 * float(two.abs().max())
    return {
        "tras un paso el mapa aún es diminuto": float(one.std()) < SMALL,
        "el segundo paso cuenta": bool((one - two).abs().max() > close),
        "con otra perplejidad, otro mapa": bool((two - other).abs().max() > close),
    }


EXERCISE = Exercise(
    id="embedding.tsne",
    title="t-SNE, de principio a fin",
    minutes=25,
    visible_points=4,
    hidden_points=4,
    reference=embedding.tsne,
    properties=(
        Property("Un mapa tan fiable como el de scikit-learn", 3, (_good,)),
        Property("El azar sale del generador", 1, (_chance,)),
        Property("Empieza diminuto y atiende a los pasos y a la perplejidad", 1, (_first_steps,)),
        Property("De media nula", 1, (_centered,)),
        Property("float32 y memoria no contigua", 1, (_float32,)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
