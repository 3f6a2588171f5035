"""Observadores que no son personas: redes, y observadores sintéticos cuya verdad se elige."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from convlab.data.distortions import distort
from convlab.data.formas import SHAPES, Scenes
from convlab.errors import ConvlabError, unknown_name
from convlab.hooks import check_images, evaluating
from convlab.human.trials import Trial
from convlab.targets import ScoreFn, class_indices

__all__ = ["distortion_trials", "network_trials", "synthetic_observer"]


def network_trials(
    model: nn.Module,
    images: Tensor,
    labels: Any,
    *,
    observer: str,
    classes: Sequence[str],
    condition: str = "intacta",
    textures: Any = None,
    stimuli: Sequence[str] | None = None,
    scores: ScoreFn | None = None,
    batch_size: int = 128,
) -> list[Trial]:
    """Ensayos de una red: su respuesta a cada imagen es la clase con más puntuación.

    Con las escenas en conflicto de Formas, `formas(n, variant="conflict")`, pasa `textures=escenas.texture` y
    `classes=SHAPES`: la textura de índice k se anota con el nombre de la forma k, la que delata en `"matched"`.

    Parameters
    ----------
    model
        Red que recibe imágenes en [0, 1] y devuelve logits `(N, K)`; se evalúa en modo `eval`.
    images
        `(N, 3, H, W)`, que no se modifican. Cuesta una pasada por imagen.
    labels
        La verdad de cada imagen: enteros `(N,)`, en tensor, lista o array.
    observer, condition
        Lo que se anota en cada ensayo.
    classes
        El nombre de cada clase, en el orden de los logits.
    textures
        Con señales en conflicto, la clase de la textura de cada imagen, como `labels`.
    stimuli
        El nombre de cada imagen; por omisión, su posición. Los observadores se emparejan por él.
    scores
        De la salida de la red a puntuaciones `(N, K)`, si no son ya los logits. Para clases gruesas:
        `lambda logits: map_to_coarse(logits.softmax(1), mapping)`.
    batch_size
        Imágenes por pasada.

    Returns
    -------
    list
        Un `Trial` por imagen, en su orden.

    Raises
    ------
    ConvlabError
        Si los largos no coinciden, una clase no existe, o las puntuaciones no son `(N, K)` o contienen NaN.

    Examples
    --------
    >>> from convlab.data.formas import SHAPES, formas
    >>> from convlab.models import load_model
    >>> escenas = formas(2, seed=1)
    >>> trials = network_trials(load_model("mini"), escenas.tensor(), escenas.shape, observer="mini", classes=SHAPES)
    >>> trials[0].response
    'círculo'
    """
    check_images(images)
    n, k = len(images), len(classes)
    names = [str(i) for i in range(n)] if stimuli is None else list(stimuli)
    if len(names) != n or len(set(names)) != n:
        raise ConvlabError(f"Con {n} imágenes se esperaban {n} nombres de estímulo distintos.")
    truth = class_indices(torch.as_tensor(labels), n, k).tolist()
    surface = None if textures is None else class_indices(torch.as_tensor(textures), n, k).tolist()
    with torch.no_grad(), evaluating(model):
        outputs = [model(batch.clone()) for batch in images.split(batch_size)]
        values = [output if scores is None else scores(output) for output in outputs]
    if not all(isinstance(v, Tensor) and v.ndim == 2 and v.shape[1] == k for v in values):
        got = f"un tensor {tuple(values[0].shape)}" if isinstance(values[0], Tensor) else type(values[0]).__name__
        raise ConvlabError(
            f"Con {k} nombres de clase se esperaban puntuaciones (N, {k}) y llegó {got}. Revisa `classes`, o pasa "
            "«scores», una función que las saque de la salida de la red."
        )
    table = torch.cat(values)
    if bool(table.isnan().any()):
        raise ConvlabError("La red da NaN: no responde nada. Revisa sus pesos y la imagen.")
    return [
        Trial(
            observer, names[i], condition, classes[truth[i]], classes[response], classes[surface[i]] if surface else ""
        )
        for i, response in enumerate(table.argmax(1).tolist())
    ]


def distortion_trials(
    model: nn.Module,
    scenes: Scenes,
    kind: str,
    levels: Iterable[float],
    *,
    observer: str,
    seed: int = 0,
    batch_size: int = 128,
) -> list[Trial]:
    """Ensayos de una red que reconoce formas, con las mismas escenas distorsionadas en varios grados.

    La condición es el grado, «0.2», y el estímulo, la posición de la escena. Con la misma semilla todas las redes ven
    las mismas imágenes y se pueden emparejar.

    Parameters
    ----------
    model
        Red cuyas clases son `SHAPES`.
    scenes
        Escenas de Formas.
    kind, levels, seed
        La distorsión, sus grados y la semilla de su ruido: véase `convlab.data.distortions.distort`.
    observer, batch_size
        Los de `network_trials`.

    Returns
    -------
    list
        Un `Trial` por escena y grado.

    Raises
    ------
    ConvlabError
        Los de `distort` y `network_trials`.

    Examples
    --------
    >>> from convlab.data.formas import formas
    >>> from convlab.models import load_model
    >>> trials = distortion_trials(load_model("mini"), formas(4), "noise", [0, 0.3], observer="mini")
    >>> len(trials), trials[-1].condition
    (8, '0.3')
    """
    weights = next(model.parameters(), torch.zeros(0))
    trials: list[Trial] = []
    for level in levels:
        distorted = replace(scenes, images=distort(scenes.images, kind, level, seed=seed))
        trials += network_trials(
            model,
            distorted.tensor(weights.device, weights.dtype),
            scenes.shape,
            observer=observer,
            classes=SHAPES,
            condition=f"{level:g}",
            batch_size=batch_size,
        )
    return trials


def synthetic_observer(
    stimuli: Iterable[Trial],
    categories: Sequence[str],
    accuracy: float | Mapping[str, float],
    *,
    shape_bias: float = 1.0,
    name: str = "observador sintético",
    generator: torch.Generator | None = None,
) -> list[Trial]:
    """Observador sintético: responde al azar con una exactitud y un sesgo de forma conocidos. **No es una persona.**

    Sirve para comprobar un análisis, porque se sabe lo que debe salir. Con probabilidad `accuracy` responde la verdad
    y, si no, otra categoría cualquiera. Ante señales en conflicto, con probabilidad `accuracy` sigue una de las dos (la
    forma, con probabilidad `shape_bias`) y, si no, responde una categoría que no es ninguna. Sus errores no dependen
    del estímulo: dentro de una condición, su consistencia esperada con cualquier otro observador es 0.

    Parameters
    ----------
    stimuli
        Ensayos de los que se toma todo menos el observador y la respuesta.
    categories
        Las categorías que se ofrecen.
    accuracy
        En [0, 1], la misma en todas las condiciones o una por condición.
    shape_bias
        En [0, 1].
    name
        Nombre del observador, que debe decir «sintético».
    generator
        Fuente de azar; sin ella se usa la global.

    Returns
    -------
    list
        Un `Trial` por estímulo, en su orden.

    Raises
    ------
    ConvlabError
        Si el nombre no dice que es sintético, una probabilidad no está en [0, 1] o falta la de una condición, una
        categoría no existe, o no hay ninguna otra con la que equivocarse.

    Examples
    --------
    >>> stimuli = [Trial("", str(k), "limpia", "gato", "") for k in range(100)]
    >>> trials = synthetic_observer(stimuli, ["gato", "pera"], 0.8, generator=torch.Generator().manual_seed(0))
    >>> 0.7 < sum(t.response == "gato" for t in trials) / 100 < 0.9
    True
    """
    if "sintético" not in name:
        raise ConvlabError(
            f"El nombre de un observador sintético debe decir que lo es, y llegó «{name}». Usa, por ejemplo, "
            f"«{name} (sintético)»."
        )
    _check_probability("shape_bias", shape_bias)
    templates = list(stimuli)
    device = generator.device if generator else "cpu"
    draws = torch.rand(len(templates), 3, generator=generator, device=device, dtype=torch.float64).tolist()
    trials = []
    for trial, (hit, cue, other) in zip(templates, draws, strict=True):
        for category in (trial.category, trial.texture or trial.category):
            if category not in categories:
                raise unknown_name("la categoría", category, categories)
        conflict = trial.texture not in ("", trial.category)
        if hit < _accuracy(accuracy, trial.condition):
            response = trial.texture if conflict and cue >= shape_bias else trial.category
        else:
            wrong = [c for c in categories if c not in (trial.category, trial.texture)]
            if not wrong:
                raise ConvlabError("No hay ninguna otra categoría con la que equivocarse: ofrece más.")
            response = wrong[int(other * len(wrong))]
        trials.append(trial._replace(observer=name, response=response))
    return trials


def _accuracy(accuracy: float | Mapping[str, float], condition: str) -> float:
    if isinstance(accuracy, Mapping):
        if condition not in accuracy:
            raise unknown_name("la exactitud de la condición", condition, accuracy)
        accuracy = accuracy[condition]
    _check_probability("accuracy", accuracy)
    return accuracy


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConvlabError(f"`{name}` es una probabilidad, de 0 a 1, y llegó {value}.")
