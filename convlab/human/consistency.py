"""Consistencia de errores: si dos observadores fallan en los mismos estímulos más de lo que daría el azar."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.human.trials import Trial

__all__ = [
    "ConsistencyBounds",
    "PairedCorrect",
    "consistency_bounds",
    "error_consistency",
    "kappa",
    "paired_correct",
]

Correct = Mapping[Hashable, bool] | Sequence[bool] | Tensor
"""Los aciertos de un observador: un diccionario estímulo → acierto, o una secuencia ya ordenada por estímulos."""

Key = tuple[str, str]
"""Lo que hace a dos ensayos comparables: `(stimulus, condition)`."""


class ConsistencyBounds(NamedTuple):
    """Entre qué valores pueden estar la consistencia observada y la kappa, dadas dos exactitudes."""

    observed_low: float
    observed_high: float
    kappa_low: float
    kappa_high: float


class PairedCorrect(NamedTuple):
    """Los aciertos de dos observadores en lo que ambos vieron, en el mismo orden, y lo que solo vio cada uno."""

    correct_a: dict[Key, bool]
    correct_b: dict[Key, bool]
    only_a: list[Key]
    only_b: list[Key]


def kappa(correct_a: Tensor, correct_b: Tensor) -> Tensor:
    r"""Kappa de la última dimensión de dos tensores de aciertos, alineados por estímulo.

    $\kappa = (c_\mathrm{obs} - c_\mathrm{exp}) / (1 - c_\mathrm{exp})$: $c_\mathrm{obs}$ es la fracción de estímulos en
    los que ambos aciertan o ambos fallan, y $c_\mathrm{exp} = ab + (1-a)(1-b)$ la que darían dos observadores
    independientes con sus mismas exactitudes, $a$ y $b$.

    Parameters
    ----------
    correct_a, correct_b
        `(..., m)`, de la misma forma: 1 o `True` es acierto.

    Returns
    -------
    Tensor
        `(...)` en [-1, 1]. NaN donde $c_\mathrm{exp} = 1$: si los dos aciertan todo (o fallan todo) no hay errores que
        repartir y la kappa no está definida.

    Raises
    ------
    ConvlabError
        Si las formas no coinciden, no hay estímulos o hay valores que no son aciertos.

    Examples
    --------
    >>> kappa(torch.tensor([True, True, False, False]), torch.tensor([True, False, False, False]))
    tensor(0.5000)
    """
    if correct_a.shape != correct_b.shape or correct_a.ndim == 0 or correct_a.shape[-1] == 0:
        raise ConvlabError(
            "Se esperaban dos tensores de aciertos de la misma forma, con al menos un estímulo, y llegaron "
            f"{tuple(correct_a.shape)} y {tuple(correct_b.shape)}."
        )
    dtype = torch.promote_types(torch.promote_types(correct_a.dtype, correct_b.dtype), torch.float32)
    first, second = _hits(correct_a), _hits(correct_b).to(correct_a.device)
    # Todo en recuentos, que son exactos: con exactitudes cercanas a 1 la resta perdería las cifras.
    m, hits_a, hits_b, both = first.shape[-1], first.sum(-1), second.sum(-1), (first & second).sum(-1)
    excess = 2 * (both * m - hits_a * hits_b)
    room = hits_a * (m - hits_b) + hits_b * (m - hits_a)  # 0 si ambos aciertan todo o fallan todo: 0/0 es NaN
    return excess.to(dtype) / room.to(dtype)


def error_consistency(correct_a: Correct, correct_b: Correct) -> float:
    """Consistencia de errores de dos observadores: la kappa de sus aciertos, emparejados por estímulo.

    1: fallan en los mismos estímulos; 0: coinciden lo que el azar, dadas sus exactitudes; negativa: coinciden menos.

    Parameters
    ----------
    correct_a, correct_b
        Dos diccionarios estímulo → acierto con las mismas claves, **en cualquier orden**; o dos secuencias `(m,)` de
        aciertos que ya siguen el mismo orden de estímulos.

    Returns
    -------
    float
        En [-1, 1]; NaN si los dos aciertan todo o los dos fallan todo, porque no hay errores que comparar.

    Raises
    ------
    ConvlabError
        Si los estímulos o los largos no coinciden, no hay ninguno, o los valores no son aciertos (`True`/`False`, 1/0).

    References
    ----------
    Geirhos, Meding y Wichmann (2020), «Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and humans by
    measuring error consistency», arXiv:2006.16736.

    Examples
    --------
    >>> error_consistency({"a": True, "b": False, "c": True}, {"c": True, "b": False, "a": True})
    1.0
    """
    if isinstance(correct_a, Mapping) and isinstance(correct_b, Mapping):
        if correct_a.keys() != correct_b.keys():
            only_a, only_b = (len(x.keys() - y.keys()) for x, y in ((correct_a, correct_b), (correct_b, correct_a)))
            raise ConvlabError(
                f"Los dos observadores deben tener los mismos estímulos: {only_a} solo están en el primero y {only_b} "
                "solo en el segundo. Emparéjalos con paired_correct."
            )
        # En el orden del primero: cada estímulo con el suyo.
        correct_a, correct_b = list(correct_a.values()), [correct_b[key] for key in correct_a]
    if isinstance(correct_a, Mapping) or isinstance(correct_b, Mapping):
        raise ConvlabError("Pasa dos diccionarios o dos secuencias, no uno de cada: así no se sabe qué va con qué.")
    return float(kappa(_vector(correct_a), _vector(correct_b)))


def consistency_bounds(accuracy_a: float, accuracy_b: float) -> ConsistencyBounds:
    r"""Límites de la consistencia entre dos observadores, que sus exactitudes ya imponen.

    Si aciertan fracciones $a$ y $b$, la consistencia observada está en $[\,|a + b - 1|,\ 1 - |a - b|\,]$: coinciden lo
    máximo si los aciertos de uno contienen los del otro, y lo mínimo si se solapan lo menos posible. La kappa crece con
    ella, así que sus límites salen de estos. Con exactitudes distintas, $\kappa = 1$ es imposible.

    Parameters
    ----------
    accuracy_a, accuracy_b
        Exactitudes, en [0, 1].

    Returns
    -------
    ConsistencyBounds
        `observed_low`, `observed_high`, `kappa_low`, `kappa_high`; las dos kappas son NaN si ambas exactitudes son 1 o
        ambas son 0.

    Raises
    ------
    ConvlabError
        Si una exactitud se sale de [0, 1].

    References
    ----------
    Geirhos, Meding y Wichmann (2020), arXiv:2006.16736.

    Examples
    --------
    >>> bounds = consistency_bounds(0.9, 0.6)
    >>> [round(value, 3) for value in bounds]
    [0.5, 0.7, -0.19, 0.286]
    """
    a, b = float(accuracy_a), float(accuracy_b)
    if not (0 <= a <= 1 and 0 <= b <= 1):
        raise ConvlabError(f"Las exactitudes van de 0 a 1 y llegaron {accuracy_a} y {accuracy_b}.")
    low, high = abs(a + b - 1), 1 - abs(a - b)
    expected = a * b + (1 - a) * (1 - b)
    if a == b and a in (0, 1):
        return ConsistencyBounds(low, high, float("nan"), float("nan"))
    room = a * (1 - b) + b * (1 - a)
    return ConsistencyBounds(low, high, (low - expected) / room, (high - expected) / room)


def paired_correct(trials_a: Iterable[Trial], trials_b: Iterable[Trial]) -> PairedCorrect:
    """Empareja los ensayos de dos observadores por estímulo y condición.

    Parameters
    ----------
    trials_a, trials_b
        Los ensayos de un observador cada uno, en cualquier orden (`group_by(trials, "observer")` los separa).

    Returns
    -------
    PairedCorrect
        `correct_a` y `correct_b`, diccionarios `(stimulus, condition)` → acierto en el mismo orden, y `only_a` y
        `only_b`, lo que quedó sin pareja. Sus valores, en lista, sirven para `paired_bootstrap`.

    Raises
    ------
    ConvlabError
        Si un observador tiene dos ensayos del mismo estímulo y condición, los dos no coinciden en la verdad de un
        estímulo, o no comparten ninguno.

    Examples
    --------
    >>> ana = [Trial("ana", "1", "limpia", "gato", "gato"), Trial("ana", "2", "limpia", "pera", "gato")]
    >>> red = [Trial("red", "2", "limpia", "pera", "pera"), Trial("red", "1", "limpia", "gato", "gato")]
    >>> pairs = paired_correct(ana, red)
    >>> pairs.correct_a, error_consistency(pairs.correct_a, pairs.correct_b)
    ({('1', 'limpia'): True, ('2', 'limpia'): False}, 0.0)
    """
    first, second = _by_key(trials_a), _by_key(trials_b)
    shared = [key for key in first if key in second]
    if not shared:
        raise ConvlabError(
            "Los dos observadores no comparten ningún estímulo con la misma condición. Comprueba que los nombres de "
            "`stimulus` y `condition` se escriben igual en ambos."
        )
    for key in shared:
        if first[key].category != second[key].category:
            raise ConvlabError(
                f"La verdad de «{key[0]}» en «{key[1]}» es «{first[key].category}» para un observador y "
                f"«{second[key].category}» para el otro."
            )
    hits_a, hits_b = ({k: own[k].category == own[k].response for k in shared} for own in (first, second))
    return PairedCorrect(hits_a, hits_b, [k for k in first if k not in second], [k for k in second if k not in first])


def _by_key(trials: Iterable[Trial]) -> dict[Key, Trial]:
    own: dict[Key, Trial] = {}
    for trial in trials:
        key = (trial.stimulus, trial.condition)
        if key in own:
            raise ConvlabError(
                f"Hay dos ensayos de «{key[0]}» en «{key[1]}». Pasa los de un solo observador: "
                'group_by(trials, "observer").'
            )
        own[key] = trial
    return own


def _vector(correct: Sequence[bool] | Tensor) -> Tensor:
    values = correct if isinstance(correct, Tensor) else torch.as_tensor(correct, dtype=torch.float64)
    if values.ndim != 1:
        raise ConvlabError(f"Se esperaban aciertos (m,) y llegó un tensor {tuple(values.shape)}.")
    return values


def _hits(correct: Tensor) -> Tensor:
    hits = correct == 1
    if bool((hits != (correct != 0)).any()):
        raise ConvlabError("Los aciertos deben ser True o False (o 1 y 0) y hay otros valores.")
    return hits
