"""Lección 11: personas y redes, comparadas con los mismos ensayos.

Un ensayo es un `Trial`: observador, estímulo, condición, categoría verdadera, respuesta y, con señales en conflicto, la
categoría de la textura. Las funciones aceptan cualquier iterable de ensayos y no distinguen personas de redes. Los
ensayos se leen de un CSV (`read_trials`) o los da una red (`network_trials`) o un observador sintético.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.human.consistency import (
    ConsistencyBounds,
    PairedCorrect,
    consistency_bounds,
    error_consistency,
    kappa,
    paired_correct,
)
from convlab.human.figures import HumanFigure, human_figures
from convlab.human.intervals import bootstrap_interval, paired_bootstrap, wilson_interval
from convlab.human.observers import distortion_trials, network_trials, synthetic_observer
from convlab.human.trials import NO_RESPONSE, BadLine, Trial, group_by, read_trials, write_trials

__all__ = [
    "NO_RESPONSE",
    "Accuracy",
    "BadLine",
    "Confusion",
    "ConsistencyBounds",
    "CueDecisions",
    "HumanFigure",
    "PairedCorrect",
    "Trial",
    "accuracy_by_condition",
    "bootstrap_interval",
    "confusion",
    "consistency_bounds",
    "cue_decisions",
    "distortion_trials",
    "error_consistency",
    "group_by",
    "human_figures",
    "kappa",
    "map_to_coarse",
    "network_trials",
    "paired_bootstrap",
    "paired_correct",
    "read_trials",
    "shape_bias",
    "synthetic_observer",
    "wilson_interval",
    "write_trials",
]


class Accuracy(NamedTuple):
    """Exactitud en una condición: ensayos, aciertos, su cociente y el intervalo de Wilson."""

    n: int
    correct: int
    accuracy: float
    low: float
    high: float


class CueDecisions(NamedTuple):
    """Ante señales en conflicto, cuántas respuestas siguieron la forma, la textura u otra cosa."""

    shape: int
    texture: int
    other: int


class Confusion(NamedTuple):
    """Matriz de confusión: `counts[i, j]` ensayos de la verdad `truth[i]` con la respuesta `responses[j]`."""

    counts: Tensor
    truth: tuple[str, ...]
    responses: tuple[str, ...]


def accuracy_by_condition(trials: Iterable[Trial], *, level: float = 0.95) -> dict[str, Accuracy]:
    """Exactitud en cada condición, con su intervalo de Wilson.

    Un ensayo es un acierto si `response == category`; no contestar es fallar. Los ensayos de una condición se cuentan
    juntos, sean de quien sean: para comparar observadores, sepáralos antes con `group_by(trials, "observer")`.

    Parameters
    ----------
    trials
        Los ensayos.
    level
        Confianza del intervalo, entre 0 y 1.

    Returns
    -------
    dict
        Condición → `Accuracy(n, correct, accuracy, low, high)`, en el orden en que aparece cada condición.

    Raises
    ------
    ConvlabError
        Si no hay ensayos o `level` no está entre 0 y 1.

    References
    ----------
    Geirhos et al. (2018), «Generalisation in humans and deep neural networks», arXiv:1808.08750.

    Examples
    --------
    >>> from convlab.human.trials import Trial
    >>> trials = [Trial("ana", str(k), "ruido", "gato", "gato" if k < 8 else "perro") for k in range(10)]
    >>> accuracy_by_condition(trials)["ruido"].accuracy
    0.8
    """
    n: Counter[str] = Counter()
    correct: Counter[str] = Counter()
    for trial in trials:
        n[trial.condition] += 1
        correct[trial.condition] += trial.response == trial.category
    if not n:
        raise _no_trials()
    return {c: Accuracy(n[c], correct[c], correct[c] / n[c], *wilson_interval(correct[c], n[c], level)) for c in n}


def cue_decisions(trials: Iterable[Trial]) -> CueDecisions:
    """Cuenta las respuestas a la forma, a la textura y a ninguna de las dos, ante señales en conflicto.

    Solo cuentan los ensayos con `texture` y distinta de `category`: si forma y textura dicen lo mismo, la respuesta no
    elige entre ellas.

    Returns
    -------
    CueDecisions
        `shape`, `texture`, `other`.

    Raises
    ------
    ConvlabError
        Si ningún ensayo tiene señales en conflicto.

    Examples
    --------
    >>> from convlab.human.trials import Trial
    >>> answers = ["gato", "gato", "gato", "reloj", "pera"]
    >>> cue_decisions(Trial("ana", str(k), "conflicto", "gato", r, "reloj") for k, r in enumerate(answers))
    CueDecisions(shape=3, texture=1, other=1)
    """
    shape = texture = other = 0
    for trial in trials:
        if not trial.texture or trial.texture == trial.category:
            continue
        shape += trial.response == trial.category
        texture += trial.response == trial.texture
        other += trial.response not in (trial.category, trial.texture)
    if not shape + texture + other:
        raise ConvlabError(
            "Ningún ensayo tiene señales en conflicto: hace falta la columna `texture`, con una categoría distinta de "
            "la de la forma."
        )
    return CueDecisions(shape, texture, other)


def shape_bias(trials: Iterable[Trial]) -> float:
    """Sesgo de forma: de las respuestas que siguieron una de las dos señales, la fracción que siguió la forma.

    `forma / (forma + textura)`, solo con los ensayos en que la textura compite con la forma (`texture` no vacía y
    distinta de `category`). Las demás respuestas no entran en el denominador: mira también `cue_decisions`, porque un
    sesgo calculado con pocas decisiones dice poco. Su intervalo es `wilson_interval(shape, shape + texture)`.

    Parameters
    ----------
    trials
        Los ensayos; los que no tienen señales en conflicto no cuentan.

    Returns
    -------
    float
        En [0, 1]: 1 es solo forma y 0, solo textura.

    Raises
    ------
    ConvlabError
        Si ningún ensayo tiene señales en conflicto, o ninguna respuesta siguió una de ellas.

    References
    ----------
    Geirhos et al. (2019), «ImageNet-trained CNNs are biased towards texture», arXiv:1811.12231.

    Examples
    --------
    >>> from convlab.human.trials import Trial
    >>> answers = ["gato", "gato", "gato", "reloj", "pera"]
    >>> shape_bias(Trial("ana", str(k), "conflicto", "gato", r, "reloj") for k, r in enumerate(answers))
    0.75
    """
    decisions = cue_decisions(trials)
    if not decisions.shape + decisions.texture:
        raise ConvlabError(
            f"En {decisions.other} ensayos con señales en conflicto, ninguna respuesta sigue la forma ni la textura: "
            "el sesgo no está definido. Comprueba que `response` usa los mismos nombres que `category` y `texture`."
        )
    return decisions.shape / (decisions.shape + decisions.texture)


def confusion(trials: Iterable[Trial]) -> Confusion:
    """Matriz de confusión de los ensayos: filas, la verdad; columnas, la respuesta.

    Returns
    -------
    Confusion
        `counts`, LongTensor `(T, R)`; `truth`, las T categorías en orden alfabético; `responses`, esas mismas y después
        las respuestas que no son la verdad de ningún ensayo. La diagonal son los aciertos.

    Raises
    ------
    ConvlabError
        Si no hay ensayos.

    Examples
    --------
    >>> from convlab.human.trials import Trial
    >>> answers = [("gato", "gato"), ("gato", "pera"), ("pera", "sin respuesta")]
    >>> found = confusion(Trial("ana", str(k), "limpia", *pair) for k, pair in enumerate(answers))
    >>> found.responses, found.counts.tolist()
    (('gato', 'pera', 'sin respuesta'), [[1, 1, 0], [0, 0, 1]])
    """
    pairs = Counter((trial.category, trial.response) for trial in trials)
    if not pairs:
        raise _no_trials()
    truth = sorted({category for category, _ in pairs}, key=_alphabetical)
    responses = truth + sorted({response for _, response in pairs} - set(truth), key=_alphabetical)
    counts = torch.tensor([[pairs[category, response] for response in responses] for category in truth])
    return Confusion(counts, tuple(truth), tuple(responses))


def map_to_coarse(probabilities: Tensor, mapping: Mapping[str, Sequence[int]] | Tensor) -> Tensor:
    """Lleva las probabilidades de clases finas a clases gruesas: la **media** de las finas de cada una.

    La media y no la suma: con la suma, una clase gruesa con muchas finas ganaría por tener más. El resultado no se
    renormaliza, así que no suma 1; para decidir basta el máximo.

    Parameters
    ----------
    probabilities
        `(N, K)`, ya pasadas por *softmax*.
    mapping
        Nombre → índices de sus clases finas, o un LongTensor `(K,)` con la clase gruesa de cada fina, de 0 a `C - 1`, y
        -1 en las que no van a ninguna.

    Returns
    -------
    Tensor
        `(N, C)`, en el orden del diccionario o de los índices.

    Raises
    ------
    ConvlabError
        Si no son probabilidades `(N, K)`, un índice no existe o se repite dentro de una clase, o una clase gruesa se
        queda vacía.

    References
    ----------
    Geirhos et al. (2019), «ImageNet-trained CNNs are biased towards texture», arXiv:1811.12231.

    Examples
    --------
    >>> map_to_coarse(torch.tensor([[0.5, 0.3, 0.2]]), {"animal": [0, 1], "fruta": [2]})
    tensor([[0.4000, 0.2000]])
    """
    if probabilities.ndim != 2 or not probabilities.is_floating_point():
        raise ConvlabError(
            f"Se esperaban probabilidades (N, K) y llegó un tensor {probabilities.dtype} {tuple(probabilities.shape)}."
        )
    if not bool(((probabilities >= 0) & (probabilities <= 1.001)).all()):  # holgura de bfloat16
        raise ConvlabError("Hay valores fuera de [0, 1]: no son probabilidades. Aplica antes logits.softmax(1).")
    exact = torch.promote_types(probabilities.dtype, torch.float32)
    share = _shares(mapping, probabilities.shape[1]).to(probabilities.device, exact)
    return (probabilities.to(exact) @ share).to(probabilities.dtype)


def _shares(mapping: Mapping[str, Sequence[int]] | Tensor, k: int) -> Tensor:
    """Peso de cada clase fina en la media de cada gruesa, `(K, C)`."""
    if isinstance(mapping, Tensor):
        if mapping.shape != (k,) or mapping.is_floating_point() or mapping.dtype == torch.bool:
            raise ConvlabError(
                f"Con {k} clases se esperaba una tabla entera ({k},) y llegó {mapping.dtype} {tuple(mapping.shape)}."
            )
        coarse = mapping.tolist()
        mapping = {str(c): [i for i, own in enumerate(coarse) if own == c] for c in range(max(coarse) + 1)}
    if not mapping:
        raise ConvlabError("No hay ninguna clase gruesa a la que llevar las probabilidades.")
    share = torch.zeros(k, len(mapping), dtype=torch.float64)
    for c, (name, indices) in enumerate(mapping.items()):
        fine = [int(i) for i in indices]
        if not fine or len(set(fine)) < len(fine) or not all(0 <= i < k for i in fine):
            raise ConvlabError(
                f"La clase gruesa «{name}» debe tener al menos una clase fina, sin repetir y de 0 a {k - 1}, y llegó "
                f"{fine}."
            )
        share[fine, c] = 1 / len(fine)
    return share


def _alphabetical(text: str) -> tuple[str, str]:
    """Clave de orden: sin tildes, que en Unicode irían detrás de la z."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return plain.casefold(), text


def _no_trials() -> ConvlabError:
    return ConvlabError("No hay ensayos. Si vienen de un CSV, mira las líneas que read_trials apartó.")
