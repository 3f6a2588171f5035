"""Ejercicio 3: qué canales no se encienden con ninguna imagen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import activations
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    """Canales, alto y ancho distintos entre sí: un eje equivocado se nota en la forma."""
    c, h, w = (int(size) for size in rng.permutation([4, 5, 6, 7])[:3])
    return c, h, w


def _some(rng: np.random.Generator, c: int) -> np.ndarray:
    """Algunos canales sí y otros no, al menos uno de cada."""
    return rng.permutation(np.arange(c) % 2 == 0)


def _after_relu(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Activaciones tras una ReLU, y qué canales son cero en todas las posiciones de todas las imágenes."""
    c, h, w = _sizes(rng)
    dead = _some(rng, c)
    values = rng.uniform(0.2, 3, (n, c, h, w)) * (rng.uniform(0, 1, (n, c, h, w)) < 0.6)
    values[:, :, 1, 2], values[:, :, 2, 1] = 1, 0  # en cada imagen, alguna posición encendida y alguna apagada
    return values * ~dead[:, None, None], dead


def _draft(values: np.ndarray, dead: np.ndarray, threshold: float | None = None, **options: Any) -> Draft:
    arguments = {"activations": values} if threshold is None else {"activations": values, "threshold": threshold}
    return Draft(arguments, expected=dead, **options)


def _one_image(rng: np.random.Generator) -> Draft:
    return _draft(*_after_relu(rng, 1))


def _two_images(rng: np.random.Generator) -> Draft:
    return _draft(*_after_relu(rng, 2))


def _single_position(rng: np.random.Generator, low: float, high: float, threshold: float | None) -> Draft:
    """Los canales vivos pasan del umbral en una sola posición, y su media queda por debajo."""
    c, h, w = _sizes(rng)
    dead, n, level = _some(rng, c), 2, threshold or 0.0
    values = level + rng.uniform(low, high, (n, c, h, w))
    for channel in np.flatnonzero(~dead):
        values[rng.integers(n), channel, rng.integers(h), rng.integers(w)] = level + rng.uniform(0.3, 0.9)
    return _draft(values, dead, threshold)


def _before_relu(rng: np.random.Generator) -> Draft:
    return _single_position(rng, -3, -0.5, None)


def _above_a_threshold(rng: np.random.Generator) -> Draft:
    """Un umbral positivo y todo por encima de 0: aquí ningún canal está muerto para quien compare con 0."""
    return _single_position(rng, -0.9, -0.2, float(rng.uniform(1, 2)))


def _below_zero(rng: np.random.Generator) -> Draft:
    """Un umbral negativo que todos los canales vivos pasan sin llegar a 0."""
    return _single_position(rng, -3, -0.5, -float(rng.uniform(2, 3)))


def _one_image_each(rng: np.random.Generator) -> Draft:
    """Cada canal vivo se enciende en una sola imagen, y cada imagen enciende uno distinto."""
    _, h, w = _sizes(rng)
    values = np.zeros((3, 5, h, w))
    order = rng.permutation(5)
    for image, channel in enumerate(order[:3]):
        lit = rng.uniform(0, 1, (h, w)) < 0.5
        lit[0, 0] = True
        values[image, channel] = rng.uniform(0.2, 3, (h, w)) * lit
    return _draft(values, np.isin(np.arange(5), order[3:]))


def _touching(rng: np.random.Generator) -> Draft:
    """El máximo de algunos canales es exactamente el umbral. Son números que se escriben exactos en binario."""
    c, h, w = _sizes(rng)
    dead, threshold = _some(rng, c), float(rng.choice([0.5, 0.75, 1.5]))
    values = rng.integers(0, 4, (2, c, h, w)) / 16
    for channel in range(c):
        top = threshold if dead[channel] else threshold + 0.25
        values[rng.integers(2), channel, rng.integers(h), rng.integers(w)] = top
    return _draft(values, dead, threshold)


def _float32(rng: np.random.Generator) -> Draft:
    values, dead = _after_relu(rng, 3)
    return _draft(values.astype("float32"), dead, 0.1)


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(*_after_relu(rng, 2), setup=frozenset({"strided"}))


@_wrong(
    "Media en vez de máximo",
    "Has comparado la media. Un canal que busca algo pequeño está apagado en casi toda la imagen y su media apenas se "
    "levanta, pero está vivo: basta una posición por encima del umbral. Usa el máximo.",
)
def _mean(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.mean((0, 2, 3)) <= threshold


@_wrong(
    "Suma en vez de máximo",
    "Has comparado la suma de las activaciones. Muchas pequeñas pasan el umbral sin que ninguna lo pase, y unas "
    "negativas esconden una encendida. Usa el máximo.",
)
def _total(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.sum((0, 2, 3)) <= threshold


@_wrong(
    "Mínimo en vez de máximo",
    "Das por muerto el canal que se apaga en alguna posición, y casi todos lo hacen. Está muerto el que se apaga en "
    "**todas**: mira su máximo.",
)
def _minimum(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.amin((0, 2, 3)) <= threshold


@_wrong(
    "Muerto en una imagen y no en todo el conjunto",
    "Has mirado cada imagen por su cuenta y te basta con que el canal se apague en una. Puede que ahí no estuviera lo "
    "que busca: está muerto si no se enciende con **ninguna**. El máximo incluye el eje 0.",
)
def _any_image(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return (activations.amax((2, 3)) <= threshold).any(0)


@_wrong(
    "Solo la primera imagen",
    "Has mirado solo `activations[0]`. Un canal apagado en ella puede encenderse en la siguiente: el máximo recorre "
    "también las imágenes, el eje 0.",
)
def _first_image(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations[0].amax((1, 2)) <= threshold


@_wrong(
    "Una respuesta por imagen",
    "Devuelves `(N, C)`, qué canales se apagan en cada imagen. Se pide `(C,)`, uno por canal en todo el conjunto: "
    "incluye el eje 0 en el máximo.",
)
def _per_image(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.amax((2, 3)) <= threshold


@_wrong(
    "Comparación estricta",
    "Has usado `<`. Tras una ReLU, el máximo de un canal muerto es exactamente 0: con `0 < 0` no encuentras ninguno. "
    "El que iguala el umbral no lo supera: `<=`.",
)
def _strict(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.amax((0, 2, 3)) < threshold


@_wrong(
    "Igual al umbral y no por debajo",
    "Has preguntado si el máximo **es** el umbral. Antes de la ReLU hay canales cuyo máximo es negativo, y tampoco se "
    "encienden: la comparación es `<=`.",
)
def _equal(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.amax((0, 2, 3)) == threshold


@_wrong(
    "El umbral no se usa",
    "Has comparado siempre con 0. El umbral llega como argumento y no siempre es 0: compara con `threshold`.",
)
def _fixed_threshold(activations: Tensor, threshold: float = 0.0) -> Tensor:  # noqa: ARG001
    return activations.amax((0, 2, 3)) <= 0


@_wrong(
    "Valor absoluto",
    "Has tomado el valor absoluto, y un canal muy negativo te parece encendido. La ReLU lo deja en 0: no lo está. "
    "Compara el máximo con su signo.",
)
def _absolute(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.abs().amax((0, 2, 3)) <= threshold


@_wrong(
    "Vivos en vez de muertos",
    "Tu respuesta es la contraria: `True` en los canales que sí se encienden. Se pregunta por los muertos.",
)
def _alive(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return activations.amax((0, 2, 3)) > threshold


@_wrong(
    "Los números de los canales",
    "Has devuelto qué canales están muertos, con su número. Se pide un booleano por canal, `(C,)`: la comparación ya "
    "lo es, y sobra el `nonzero`.",
)
def _indices(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return (activations.amax((0, 2, 3)) <= threshold).nonzero()[:, 0]


@_wrong(
    "Números en vez de booleanos",
    "Los unos y ceros son correctos, pero se pide un tensor booleano, que sirve para indexar: `mapas[:, muertos]` con "
    "enteros escogería los canales 0 y 1. No conviertas la comparación.",
)
def _numbers(activations: Tensor, threshold: float = 0.0) -> Tensor:
    return (activations.amax((0, 2, 3)) <= threshold).long()


@_wrong(
    "Las activaciones, modificadas",
    "El resultado es correcto, pero has puesto a cero lo que no llega al umbral **en el tensor que te dieron**, y "
    "quien lo use después tendrá otro. Compara sin escribir en él.",
)
def _changes_input(activations: Tensor, threshold: float = 0.0) -> Tensor:
    dead = activations.amax((0, 2, 3)) <= threshold
    activations[activations <= threshold + 1e-3] = -1
    return dead


@_right
def _loops(activations: Tensor, threshold: float = 0.0) -> Tensor:
    dead = []
    for c in range(activations.shape[1]):
        lit = False
        for image in activations:
            for value in image[c].flatten().tolist():
                lit = lit or value > threshold
        dead.append(not lit)
    return torch.tensor(dead, device=activations.device)


@_right
def _no_position_above(activations: Tensor, threshold: float = 0.0) -> Tensor:
    above = (activations > threshold).transpose(0, 1).flatten(1)
    return above.sum(1) == 0


@_right
def _with_numpy(activations: Tensor, threshold: float = 0.0) -> Tensor:
    largest = activations.detach().cpu().double().numpy().max(axis=(0, 2, 3))
    return torch.from_numpy(~(largest > threshold)).to(activations.device)


@_right
def _image_by_image(activations: Tensor, threshold: float = 0.0) -> Tensor:
    """Como se haría con un conjunto que no cabe: de una en una, quedándose con los canales aún sin encender."""
    dead = torch.ones(activations.shape[1], dtype=torch.bool, device=activations.device)
    for image in activations:
        dead &= (image <= threshold).flatten(1).all(1)
    return dead


EXERCISE = Exercise(
    id="activations.dead_units",
    title="¿Qué unidades no se encienden nunca?",
    minutes=10,
    visible_points=2,
    hidden_points=2,
    reference=activations.dead_units,
    properties=(
        Property("Un canal siempre a cero está muerto", 2, (_one_image, _two_images)),
        Property("Basta una posición encendida", 2, (_before_relu,)),
        Property("Cuenta el conjunto entero, no una imagen", 2, (_one_image_each,)),
        Property("El umbral que llega", 2, (_above_a_threshold, _below_zero)),
        Property("Igualar el umbral no es superarlo", 1, (_touching,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
