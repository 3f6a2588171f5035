"""Ejercicio 4: el intervalo *bootstrap*. Los casos, en `resampling`, y los errores, en `bootstrap_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convlab import human
from convlab.exercises.case import Draft, Seeded
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.human.bootstrap_errors import CATALOGUE
from convlab.exercises.human.resampling import (
    default_count,
    default_level,
    distinct_values,
    largest,
    mean,
    quantile_of_largest,
    resamples,
    size,
    smallest,
    three_seeds,
    tied_values,
)

# Con 20 valores, el percentil del mayor salta en 0.039, 0.122 y 0.358; con 3000 remuestreos, la proporción de un lado
# tiene una desviación de 0.006, y 0.08 (lo correcto) y 0.16 (la cola equivocada) quedan a más de seis de los saltos.
_M, _N, _LEVEL = 20, 3000, 0.84


def _arguments(
    rng: np.random.Generator, values: np.ndarray, statistic: Any, n: int = _N, level: float = _LEVEL
) -> dict[str, Any]:
    generator = Seeded(int(rng.integers(10**6)))
    return {"values": values, "statistic": statistic, "n": n, "level": level, "generator": generator}


def _exact(rng: np.random.Generator, values: np.ndarray, statistic: Any, n: int, level: float, **options: Any) -> Draft:
    """El mayor, o el menor, con sus percentiles en forma cerrada."""
    tail = (1 - level) / 2
    low, high = (quantile_of_largest(values, q) for q in (tail, 1 - tail))
    if statistic is smallest:
        high, low = (-quantile_of_largest(-values, q) for q in (tail, 1 - tail))
    return Draft(_arguments(rng, values, statistic, n, level), expected=[low, high], **options)


def _largest(rng: np.random.Generator) -> Draft:
    """Con el 95 % y saltos en 0.003 y 0.122: también acierta quien confunde las colas o no mira la confianza."""
    return _exact(rng, tied_values(rng, _M), largest, 1000, 0.95)


def _smallest(rng: np.random.Generator) -> Draft:
    return _exact(rng, tied_values(rng, _M), smallest, 1000, 0.95)


def _both_tails(rng: np.random.Generator) -> Draft:
    return _exact(rng, distinct_values(rng, _M), largest, _N, _LEVEL)


def _low_level(rng: np.random.Generator) -> Draft:
    """El percentil 16 %, justo por encima del salto de 0.122: dividir por 3 lo que sobra ya da otro valor."""
    return _exact(rng, distinct_values(rng, _M), largest, _N, 0.68)


def _high_level(rng: np.random.Generator) -> Draft:
    """Los percentiles 0.25 % y 99.75 %: con 14 valores, lejos de los saltos, en 0.0004, 0.0021 y 0.0090."""
    return _exact(rng, distinct_values(rng, 14), smallest, 12000, 0.99)


def _facts(rng: np.random.Generator) -> Draft:
    n = int(rng.integers(40, 60))
    return Draft(_arguments(rng, distinct_values(rng, 12), mean, n), call=resamples)


def _default_count(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, distinct_values(rng, 12), mean)
    return Draft({k: arguments[k] for k in ("values", "statistic", "generator")}, call=default_count)


def _default_level(rng: np.random.Generator) -> Draft:
    """Con 14 valores, el salto de 0.034 separa el percentil 2.5 % del 5 %: siete desviaciones, con 20 000."""
    draft = _exact(rng, distinct_values(rng, 14), largest, 20000, 0.95)
    arguments = {k: v for k, v in draft.arguments.items() if k != "level"}
    return Draft(arguments, expected=draft.expected, call=default_level)


def _chance(rng: np.random.Generator) -> Draft:
    return Draft(_arguments(rng, distinct_values(rng, 30), mean, 50), call=three_seeds)


def _constant(rng: np.random.Generator) -> Draft:
    value = float(rng.uniform(0.2, 3))
    return Draft(_arguments(rng, np.full(7, value), mean, 20), expected=[value, value])


def _one_value(rng: np.random.Generator) -> Draft:
    value = float(rng.uniform(0.2, 3))
    return Draft(_arguments(rng, np.array([value]), mean, 10), expected=[value, value])


def _size(rng: np.random.Generator) -> Draft:
    m = int(rng.integers(5, 12))
    return Draft(_arguments(rng, distinct_values(rng, m), size, 10), expected=[float(m), float(m)])


def _booleans(rng: np.random.Generator) -> Draft:
    """Aciertos: la media de booleanos no existe en PyTorch."""
    return Draft(_arguments(rng, np.full(int(rng.integers(4, 9)), True), mean, 20), expected=[1.0, 1.0])


def _float32(rng: np.random.Generator) -> Draft:
    return _exact(rng, distinct_values(rng, _M).astype("float32"), largest, _N, _LEVEL)


EXERCISE = Exercise(
    id="human.bootstrap_interval",
    title="¿Cuánto me puedo fiar?",
    minutes=20,
    visible_points=3,
    hidden_points=3,
    reference=human.bootstrap_interval,
    also_forbidden=(human.paired_bootstrap,),
    properties=(
        Property("Percentiles de la estadística remuestreada", 3, (_largest, _smallest)),
        Property("Remuestrea con reemplazo, n veces", 3, (_facts, _default_count)),
        Property("La confianza que se pide", 2, (_both_tails, _low_level, _high_level, _default_level)),
        Property("El azar sale del generador", 1, (_chance,)),
        Property("Sin variación, un punto", 1, (_constant, _one_value, _size)),
        Property("Aciertos booleanos y float32", 1, (_booleans, _float32)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
