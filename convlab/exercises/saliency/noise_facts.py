"""Una red que delata el ruido: de su mapa se lee cuántas copias se promediaron, con qué ruido y cómo.

Cada píxel tiene su unidad, `relu(G - c)`, y ninguna se mezcla con otra: el gradiente de una copia es el peso de la
unidad o cero, según caiga el ruido. El mapa, dividido por el peso, es la fracción de copias en que se encendió, y el
umbral `c` de cada grupo de píxeles hace que esa fracción responda a una pregunta.
"""

from __future__ import annotations

from dataclasses import replace
from math import erf
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab.exercises.nets import NetSpec, random_net

HEIGHT, WIDTH = 12, 16
GROUPS = 6
LEVEL, NEAR, FAR, OPPONENT, SIGNED, EDGE = range(GROUPS)

SIGMA = 0.2
COPIES = 48
_GAPS = {LEVEL: 0.0, NEAR: 1.0, FAR: 1.8, OPPONENT: 2**0.5, SIGNED: 0.5}  # del umbral a la imagen, en desviaciones


def _normal(z: float) -> float:
    return (1 + erf(z / 2**0.5)) / 2


def group_of(pixels: int) -> np.ndarray:
    """El grupo de cada píxel."""
    return np.arange(pixels) % GROUPS


def revealing_net(rng: np.random.Generator, image: np.ndarray) -> NetSpec:
    """La red, con los umbrales puestos para una imagen `(3, H, W)`.

    `OPPONENT` mira `R - B` en vez de `G`: un ruido igual en los canales se anula. `SIGNED` tiene dos unidades, y su
    gradiente cambia de signo en el umbral. `EDGE` tiene el umbral fuera de [0, 1].
    """
    pixels, classes = HEIGHT * WIDTH, 4
    group = group_of(pixels)
    twice = np.flatnonzero(group == SIGNED)
    red, green, blue = image.reshape(3, pixels)
    first = np.zeros((pixels + len(twice), 3, pixels))
    bias = np.zeros(pixels + len(twice))
    for p in range(pixels):
        kind, seen = int(group[p]), float(green[p])
        if kind == OPPONENT:
            first[p, 0, p], first[p, 2, p], seen = 1.0, -1.0, float(red[p] - blue[p])
        else:
            first[p, 1, p] = 1
        bias[p] = -1.1 if kind == EDGE else _GAPS[kind] * SIGMA - seen
    first[pixels:], bias[pixels:] = -first[twice], -bias[twice]
    weight = rng.uniform(0.5, 1.5, (classes, pixels)) * rng.choice([-1.0, 1.0], (classes, pixels))
    spec = random_net(
        [
            ("flatten", "Flatten", {}),
            ("fc1", "Linear", {"in_features": 3 * pixels, "out_features": len(bias)}),
            ("relu", "ReLU", {}),
            ("fc2", "Linear", {"in_features": len(bias), "out_features": classes}),
        ],
        rng,
    )
    state = {
        "fc1.weight": first.reshape(len(bias), -1),
        "fc1.bias": bias,
        "fc2.weight": np.concatenate([weight, weight[:, twice]], 1),
    }
    return replace(spec, state=spec.state | state)


def revealing_image(rng: np.random.Generator) -> np.ndarray:
    """Una imagen entre 0.5 y 1, cerca de 1 en el grupo del borde."""
    image = rng.uniform(0.5, 0.9, (3, HEIGHT * WIDTH))
    image[:, 0] = 0.5
    image[:, group_of(HEIGHT * WIDTH) == EDGE] = 0.99
    return image.reshape(3, HEIGHT, WIDTH)


def active_fractions(heat: Tensor, model: nn.Module, target: int) -> np.ndarray:
    """El mapa entre el peso de cada píxel, `(N, H·W)`: la fracción de copias en que su unidad se encendió."""
    last = model.get_submodule("fc2")
    assert isinstance(last, nn.Linear)
    weight = last.weight[target, : HEIGHT * WIDTH].detach().abs()
    found: np.ndarray = (heat.flatten(1) / weight).numpy()
    return found


def noise_facts(heat: Tensor, model: nn.Module, _x: Tensor, target: int, n: int, *_rest: Any) -> dict[str, Any]:
    """Los hechos de un promedio de muchas copias. Lo esperado y lo equivocado distan seis desviaciones del umbral.

    La proporción de un grupo en dos imágenes tiene una desviación de 0.007: son 64 píxeles y 48 copias, con `p = 0.84`.
    Cada hecho solo se puede leer si se cumplen los anteriores: del tamaño de un ruido que no es nuevo en cada copia no
    se puede decir nada, y no se dice.
    """
    share = active_fractions(heat, model, target)
    group = group_of(share.shape[1])
    level, near, far, opponent, signed, edge = (share[:, group == k] for k in range(GROUPS))
    one_sided = not 0.02 < level.mean() < 0.98
    whole = near * n
    facts = {
        "cada copia lleva su ruido": one_sided or ((level > 0) & (level < 1)).mean() > 0.5,
        "cada píxel lleva su ruido": one_sided or level.std(1).min() > 0.02,
        "cada imagen lleva su ruido": one_sided or np.abs(share[0] - share[1]).max() > 1e-9,
        "cada copia parte de la imagen y no de otra copia": level.std(1).max() < 0.15,
        "el ruido tiene media 0": abs(level.mean() - 0.5) < 0.1,
        "la desviación del ruido llega a sigma": near.mean() < _normal(1) + 0.06,
        "el ruido es gaussiano": far.mean() < 0.985,
        "la desviación del ruido no pasa de sigma": near.mean() > _normal(1) - 0.055,
        "cada canal lleva su ruido": abs(opponent.mean() - near.mean()) < 0.07,
        "las copias no se recortan a [0, 1]": edge.mean() > 0.15,
        "los gradientes se promedian con su signo": signed.mean() < 0.7,
        "es la media de n copias, todas con ruido": np.abs(whole - whole.round()).max() < 1e-6,
    }
    broken = next((fact for fact, holds in facts.items() if not holds), "")
    return {fact: fact != broken for fact in facts}


def one_copy_facts(heat: Tensor, model: nn.Module, _x: Tensor, target: int, *_rest: Any) -> dict[str, Any]:
    """Con una sola copia cada unidad se enciende o no, y el azar decide en cada píxel."""
    share = active_fractions(heat, model, target)
    group = group_of(share.shape[1])
    edge, near = share[:, group == EDGE], share[:, group == NEAR]
    return {
        "con n = 1 hay una sola copia": bool(np.minimum(share, np.abs(share - 1)).max() < 1e-6),
        "con n = 1 la copia también lleva ruido": bool(edge.max() > 0 or near.min() < 1e-6),
    }


def chance_facts(maps: list[Tensor], *_arguments: Any) -> dict[str, Any]:
    """Lo mismo con la misma semilla y otra cosa con otra."""
    first, again, other = maps
    return {
        "igual con la misma semilla": bool(torch.allclose(first, again, rtol=1e-9, atol=0)),
        "distinto con otra semilla": bool((first - other).abs().max() > 1e-6),
    }
