"""Ejercicio 2: el sesgo de forma."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from convlab import human
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.human.trial_lists import conflict_trials, plain_trials, shuffled
from convlab.human import NO_RESPONSE, Trial, group_by

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _decisions(rng: np.random.Generator) -> tuple[int, int]:
    """Cuántas respuestas a la forma y cuántas a la textura, nunca las mismas."""
    shape, texture = (int(n) for n in rng.permutation(np.arange(3, 16))[:2])
    return shape, texture


def _draft(rng: np.random.Generator, trials: Sequence[Trial], shape: int, texture: int) -> Draft:
    return Draft({"trials": shuffled(rng, trials)}, expected=shape / (shape + texture))


def _only_decisions(rng: np.random.Generator) -> Draft:
    shape, texture = _decisions(rng)
    return _draft(rng, conflict_trials(rng, shape, texture), shape, texture)


def _others(rng: np.random.Generator) -> Draft:
    """Respuestas que no son ni la forma ni la textura."""
    shape, texture = _decisions(rng)
    return _draft(rng, conflict_trials(rng, shape, texture, int(rng.integers(4, 9))), shape, texture)


def _silent(rng: np.random.Generator) -> Draft:
    shape, texture = _decisions(rng)
    return _draft(rng, conflict_trials(rng, shape, texture, silent=int(rng.integers(4, 9))), shape, texture)


def _congruent(rng: np.random.Generator) -> Draft:
    """Con ensayos en que la textura dice lo mismo que la forma, acertados y fallados."""
    shape, texture = _decisions(rng)
    extra = plain_trials(rng, "acuerdo", int(rng.integers(7, 12)), int(rng.integers(2, 5)))
    same = [t._replace(texture=t.category) for t in extra]
    return _draft(rng, conflict_trials(rng, shape, texture) + same, shape, texture)


def _no_texture(rng: np.random.Generator) -> Draft:
    """Con ensayos de otro experimento, sin textura."""
    shape, texture = _decisions(rng)
    extra = plain_trials(rng, "limpia", int(rng.integers(7, 12)), int(rng.integers(2, 5)))
    return _draft(rng, conflict_trials(rng, shape, texture) + extra, shape, texture)


def _all_shape(rng: np.random.Generator) -> Draft:
    n = int(rng.integers(3, 9))
    return _draft(rng, conflict_trials(rng, n, 0, 2), n, 0)


def _all_texture(rng: np.random.Generator) -> Draft:
    n = int(rng.integers(3, 9))
    return _draft(rng, conflict_trials(rng, 0, n, 2), 0, n)


def _observers(rng: np.random.Generator) -> Draft:
    """Dos observadores ante los mismos estímulos, con sesgos opuestos y distinto número de ensayos."""
    while True:
        many, few = int(rng.integers(10, 16)), int(rng.integers(4, 7))
        trials = conflict_trials(rng, many, 2, observer="ana") + conflict_trials(rng, 1, few, observer="red")
        draft = _draft(rng, trials, many + 1, few + 2)
        # Otra vuelta si dejar un ensayo por estímulo diera, por casualidad, el mismo sesgo.
        last = {t.stimulus: t for t in draft.arguments["trials"].build()}
        if abs(_share(last.values()) - draft.expected) > 0.02:
            return draft


def _in_conflict(trials: Iterable[Trial]) -> list[Trial]:
    return [t for t in trials if t.texture not in ("", t.category)]


def _share(trials: Iterable[Trial]) -> float:
    hits = [t.response == t.category for t in trials if t.response in (t.category, t.texture)]
    return sum(hits) / len(hits)


@_wrong(
    "Se queda con los ensayos en que forma y textura coinciden",
    "Has contado también los ensayos en que `texture == category`. Ahí la respuesta no elige entre forma y textura, y"
    " cada acierto suma a favor de la forma sin haberlo ganado.",
)
def _keeps_congruent(trials: list[Trial]) -> float:
    return _share(t for t in trials if t.texture)


@_wrong(
    "Cuenta los ensayos sin textura",
    "Has contado ensayos con `texture` vacía, que no tienen señales en conflicto: sus aciertos no son decisiones a "
    "favor de la forma. Una cadena vacía es distinta de la categoría, así que hay que mirar las dos cosas.",
)
def _keeps_no_texture(trials: list[Trial]) -> float:
    return _share(t for t in trials if t.texture != t.category)


@_wrong(
    "Sin filtrar los ensayos",
    "No has filtrado nada: entran los ensayos sin textura y los que tienen la misma que la forma. Solo hay decisión "
    "si `texture` no está vacía y es distinta de `category`.",
)
def _unfiltered(trials: list[Trial]) -> float:
    return _share(trials)


@_wrong(
    "El denominador de todas las respuestas",
    "Has dividido entre todos los ensayos en conflicto. El denominador son solo las respuestas que siguieron la forma"
    " o la textura: quien responde otra cosa, o nada, no ha elegido entre ellas.",
)
def _wrong_denominator(trials: list[Trial]) -> float:
    conflict = _in_conflict(trials)
    return sum(t.response == t.category for t in conflict) / len(conflict)


@_wrong(
    "Quita los silencios y deja lo demás",
    "Has quitado del denominador las «sin respuesta», pero no las categorías que no son ni la forma ni la textura. "
    "Tampoco eligen: el denominador es forma más textura.",
)
def _only_silence_removed(trials: list[Trial]) -> float:
    answered = [t for t in _in_conflict(trials) if t.response != NO_RESPONSE]
    return sum(t.response == t.category for t in answered) / len(answered)


@_wrong(
    "Exactitud en vez de sesgo",
    "Has calculado la exactitud de todos los ensayos. El sesgo de forma no pregunta cuánto se acierta: de las "
    "respuestas que siguieron una de las dos señales, cuenta cuántas siguieron la forma.",
)
def _accuracy(trials: list[Trial]) -> float:
    return sum(t.response == t.category for t in trials) / len(trials)


@_wrong(
    "Sesgo de textura",
    "Tu número es uno menos el correcto: has contado las respuestas a la textura, y se pide la fracción que siguió la"
    " forma, que es `category`.",
)
def _texture_bias(trials: list[Trial]) -> float:
    return 1 - _share(_in_conflict(trials))


@_wrong(
    "Forma entre textura",
    "Has dividido las respuestas a la forma entre las respuestas a la textura, y eso pasa de 1 o divide por cero. El "
    "denominador es la suma de las dos.",
)
def _ratio(trials: list[Trial]) -> float:
    conflict = _in_conflict(trials)
    texture = sum(t.response == t.texture for t in conflict)
    return sum(t.response == t.category for t in conflict) / texture if texture else float("inf")


@_wrong(
    "Media de observadores",
    "Has promediado el sesgo de cada observador, y quien decidió pocas veces pesa como quien decidió muchas. Aquí las"
    " decisiones se cuentan juntas; para comparar observadores se separan antes.",
)
def _mean_of_observers(trials: list[Trial]) -> float:
    shares = [_share(own) for own in group_by(_in_conflict(trials), "observer").values()]
    return sum(shares) / len(shares)


@_wrong(
    "Una decisión por estímulo",
    "Has guardado una sola respuesta por estímulo, y un observador borra a otro. Cada ensayo en conflicto cuenta, "
    "aunque dos observadores vieran la misma imagen.",
)
def _one_per_stimulus(trials: list[Trial]) -> float:
    return _share({t.stimulus: t for t in _in_conflict(trials)}.values())


@_right
def _counters(trials: list[Trial]) -> float:
    shape = texture = 0
    for t in trials:
        if not t.texture or t.texture == t.category:
            continue
        if t.response == t.category:
            shape += 1
        elif t.response == t.texture:
            texture += 1
    return shape / (shape + texture)


@_right
def _mean_of_booleans(trials: list[Trial]) -> float:
    decided = [t for t in trials if t.response and t.texture != t.category and t.response in {t.category, t.texture}]
    return float(np.mean([t.response == t.category for t in decided if t.texture]))


@_right
def _tensors(trials: list[Trial]) -> float:
    table = [
        (t.response == t.category, t.response == t.texture, bool(t.texture), t.texture == t.category) for t in trials
    ]
    shape, texture, has, same = torch.tensor(table).T
    valid = has & ~same
    counts = torch.stack([(shape & valid).sum(), (texture & valid).sum()]).double()
    return (counts[0] / counts.sum()).item()


EXERCISE = Exercise(
    id="human.shape_bias",
    title="¿Forma o textura?",
    minutes=10,
    visible_points=2,
    hidden_points=2,
    reference=human.shape_bias,
    also_forbidden=(human.cue_decisions,),
    properties=(
        Property("Fracción de las decisiones que siguió la forma", 2, (_only_decisions, _only_decisions)),
        Property("Lo que no es forma ni textura no entra", 2, (_others, _silent)),
        Property("Sin conflicto no hay decisión", 2, (_congruent, _no_texture)),
        Property("Los extremos son 0 y 1", 1, (_all_shape, _all_texture)),
        Property("Cada ensayo cuenta, sea de quien sea", 1, (_observers,)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
