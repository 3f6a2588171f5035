"""Errores y otras soluciones de `accuracy_by_condition`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from math import sqrt
from statistics import NormalDist

import numpy as np
import torch

from convlab.exercises.catalogue import Catalogue
from convlab.human import NO_RESPONSE, Accuracy, Trial, group_by

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right

Row = tuple[int, int, float, float, float]


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _wilson(k: int, n: int, z: float) -> tuple[float, float]:
    p, scale = k / n, 1 + z * z / n
    center, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (center - half) / scale, (center + half) / scale


def _tally(
    trials: Iterable[Trial], hit: Callable[[Trial], bool], interval: Callable[[int, int], tuple[float, float]]
) -> dict[str, Row]:
    n, k = Counter[str](), Counter[str]()
    for t in trials:
        n[t.condition] += 1
        k[t.condition] += hit(t)
    return {c: (n[c], k[c], k[c] / n[c], *interval(k[c], n[c])) for c in n}


def _is_right(trial: Trial) -> bool:
    return trial.response == trial.category


@_wrong(
    "Intervalo normal",
    "Tu intervalo es `p ± z · sqrt(p (1 - p) / n)`, el de siempre. Si se acierta todo mide cero, como si cuatro "
    "aciertos dieran certeza, y otras veces se sale de [0, 1]. El de Wilson está en el enunciado.",
)
def _wald(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    def interval(k: int, n: int) -> tuple[float, float]:
        p = k / n
        half = _z(level) * sqrt(p * (1 - p) / n)
        return p - half, p + half

    return _tally(trials, _is_right, interval)


@_wrong(
    "El cuantil de una sola cola",
    "Has tomado `inv_cdf(level)`. El intervalo deja fuera la mitad de lo que sobra por cada lado: el cuantil es el de"
    " `(1 + level) / 2`, que con 0.95 es 1.96 y no 1.64.",
)
def _one_sided(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    return _tally(trials, _is_right, lambda k, n: _wilson(k, n, NormalDist().inv_cdf(level)))


@_wrong(
    "Siempre el 95 %",
    "Tu intervalo no cambia con `level`: usa siempre 1.96. Ese número solo vale para 0.95; calcula el de cada "
    "confianza con `NormalDist().inv_cdf((1 + level) / 2)`.",
)
def _level_ignored(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:  # noqa: ARG001
    return _tally(trials, _is_right, lambda k, n: _wilson(k, n, 1.96))


@_wrong(
    "Wilson sin el último cociente",
    "Al intervalo de Wilson le falta dividirse por `1 + z² / n`. Sin ese cociente el centro se va hacia arriba y el "
    "extremo superior puede pasar de 1.",
)
def _not_scaled(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    def interval(k: int, n: int) -> tuple[float, float]:
        scale = 1 + _z(level) ** 2 / n
        low, high = _wilson(k, n, _z(level))
        return low * scale, high * scale

    return _tally(trials, _is_right, interval)


@_wrong(
    "El denominador de todas las condiciones",
    "Has dividido los aciertos de cada condición entre todos los ensayos. Cada condición se divide entre los suyos; "
    "si no, cuantas más condiciones haya peor parecerá todo.",
)
def _over_all_trials(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    rows = _tally(trials, _is_right, lambda k, n: _wilson(k, n, _z(level)))
    return {c: (n, k, k / len(trials), *_wilson(k, len(trials), _z(level))) for c, (n, k, *_) in rows.items()}


@_wrong(
    "Sin los que no contestaron",
    "Has dejado fuera los ensayos «sin respuesta». No contestar es fallar: si no contaran, bastaría con callarse ante"
    " lo difícil para acertar siempre.",
)
def _answered_only(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    answered = (t for t in trials if t.response != NO_RESPONSE)
    return _tally(answered, _is_right, lambda k, n: _wilson(k, n, _z(level)))


@_wrong(
    "Un ensayo por estímulo",
    "Has guardado un solo ensayo de cada estímulo, y el último que llega borra a los demás. Si dos observadores ven "
    "la misma imagen son dos ensayos, y cuentan los dos.",
)
def _one_per_stimulus(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    last = {(t.condition, t.stimulus): t for t in trials}
    return _tally(last.values(), _is_right, lambda k, n: _wilson(k, n, _z(level)))


@_wrong(
    "Media de observadores",
    "Tu exactitud es la media de la de cada observador, y quien respondió a pocos ensayos pesa como quien respondió a"
    " muchos. Aquí se pide aciertos entre ensayos, sean de quien sean.",
)
def _mean_of_observers(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    rows = _tally(trials, _is_right, lambda k, n: _wilson(k, n, _z(level)))
    means = {}
    for condition, own in group_by(trials, "condition").items():
        shares = [sum(map(_is_right, part)) / len(part) for part in group_by(own, "observer").values()]
        means[condition] = sum(shares) / len(shares)
    return {c: (n, k, means[c], low, high) for c, (n, k, _, low, high) in rows.items()}


@_wrong(
    "La textura también vale",
    "Das por bueno seguir la textura. Con señales en conflicto la verdad es la forma, `category`: responder la "
    "textura es un fallo, aunque interesante.",
)
def _texture_is_right(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    return _tally(trials, lambda t: t.response in (t.category, t.texture), lambda k, n: _wilson(k, n, _z(level)))


@_wrong(
    "En porcentaje",
    "Tu exactitud y tu intervalo van de 0 a 100. Aquí todas las proporciones van de 0 a 1: quita el 100.",
)
def _percent(trials: list[Trial], level: float = 0.95) -> dict[str, Row]:
    rows = _tally(trials, _is_right, lambda k, n: _wilson(k, n, _z(level)))
    return {c: (n, k, 100 * p, 100 * low, 100 * high) for c, (n, k, p, low, high) in rows.items()}


@_right
def _grouped(trials: list[Trial], level: float = 0.95) -> dict[str, Accuracy]:
    hits: defaultdict[str, list[bool]] = defaultdict(list)
    for t in trials:
        hits[t.condition].append(t.response == t.category)
    rows = {}
    for condition, own in hits.items():
        n, k = len(own), sum(own)
        low, high = _wilson(k, n, _z(level))
        rows[condition] = Accuracy(n, k, k / n, max(0, low), min(1, high))
    return rows


@_right
def _with_numpy(trials: list[Trial], level: float = 0.95) -> dict[str, list[float]]:
    conditions, place = np.unique([t.condition for t in trials], return_inverse=True)
    n = np.bincount(place)
    k = np.bincount(place, weights=[t.response == t.category for t in trials])
    z2 = _z(level) ** 2
    center, half = (k + z2 / 2) / (n + z2), np.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    table = np.stack([n, k, k / n, center - half, center + half], axis=1)
    return dict(zip(conditions.tolist(), table.tolist(), strict=True))


@_right
def _tensors(trials: list[Trial], level: float = 0.95) -> dict[str, tuple[torch.Tensor, ...]]:
    z = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64))
    rows: dict[str, tuple[torch.Tensor, ...]] = {}
    for condition in {t.condition for t in trials}:
        hits = torch.tensor([t[4] == t[3] for t in trials if t[2] == condition], dtype=torch.float64)
        n, p = len(hits), hits.mean()
        root = (z * z + 4 * n * p * (1 - p)).sqrt()
        low, high = ((2 * n * p + z * z + sign * z * root) / (2 * (n + z * z)) for sign in (-1, 1))
        rows[condition] = (torch.tensor(n), hits.sum(), p, low, high)
    return rows
