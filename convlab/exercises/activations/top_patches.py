"""Ejercicio 4: los trozos de imagen que más encienden una unidad. Los errores están en `top_patches_errors`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from convlab import activations
from convlab.exercises.activations.top_patches_errors import CATALOGUE, Patches
from convlab.exercises.activations.top_patches_variants import VARIANTS
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property

Place = tuple[int, int, int]


def _with_size(
    function: Callable[..., Patches],
    maps: Tensor,
    receptive_field: int,
    jump: int,
    offset: int,
    k: int,
    size: tuple[int, int],
) -> Patches:
    return function(maps, receptive_field, jump, offset, k, size=size)


def _sizes(rng: np.random.Generator) -> tuple[int, int]:
    h, w = (int(size) for size in rng.permutation([5, 6, 7, 8])[:2])
    return h, w


def _places(rng: np.random.Generator, rows: range, columns: range, images: list[int]) -> list[Place]:
    """Una posición de cada imagen nombrada, sin repetir y con la fila distinta de la columna: confundirlas se nota."""
    chosen: list[Place] = []
    while len(chosen) < len(images):
        place = (images[len(chosen)], int(rng.choice(rows)), int(rng.choice(columns)))
        if place not in chosen and place[1] != place[2]:
            chosen.append(place)
    return chosen


def _maps(rng: np.random.Generator, shape: tuple[int, int, int], best: list[Place], low: float = 0.0) -> np.ndarray:
    """Mapas con valores bien separados entre `low` y `low + 1`, y los mayores, en esas posiciones y en ese orden."""
    total = int(np.prod(shape))
    levels = low + (np.arange(total) + rng.uniform(0.2, 0.8, total)) / total
    order = [int(np.ravel_multi_index(place, shape)) for place in best]
    others = rng.permutation([i for i in range(total) if i not in order])
    flat = np.empty(total)
    flat[np.array([*order, *others])] = levels[::-1]
    return flat.reshape(shape)


def _draft(
    maps: np.ndarray,
    best: list[Place],
    geometry: tuple[int, int, int],
    size: tuple[int, int] | None = None,
    **options: Any,
) -> Draft:
    """`geometry` es (campo, salto, comienzo)."""
    field, jump, offset = geometry
    patches = []
    for n, i, j in best:
        y0, x0 = (offset + jump * place for place in (i, j))
        height, width = size or (y0 + field, x0 + field)
        patches.append((n, max(y0, 0), max(x0, 0), min(y0 + field, height), min(x0 + field, width)))
    arguments = {
        "activations": maps,
        "receptive_field": field,
        "jump": jump,
        "offset": offset,
        "k": len(best),
    }
    if size is None:
        return Draft(arguments, expected=patches, **options)
    return Draft(arguments | {"size": size}, expected=patches, call=_with_size, **options)


def _shuffled(rng: np.random.Generator, n: int) -> list[int]:
    return [int(i) for i in rng.permutation(n)]


def _unpadded(rng: np.random.Generator) -> Draft:
    """Una convolución sin relleno: la posición (i, j) ve desde el píxel (i, j)."""
    (h, w), n = _sizes(rng), 3
    best = _places(rng, range(h), range(w), _shuffled(rng, n))
    return _draft(_maps(rng, (n, h, w), best), best, (int(rng.integers(3, 8)), 1, 0))


def _same_image(rng: np.random.Generator) -> Draft:
    """De una imagen salen tres parches y de otra, ninguno."""
    (h, w), n = _sizes(rng), 3
    images = [int(i) for i in rng.choice([0, 2], 6, p=[0.5, 0.5])]
    images[:3] = [2, 0, 2]
    best = _places(rng, range(h), range(w), images)
    return _draft(_maps(rng, (n, h, w), best), best, (int(rng.integers(3, 8)), 1, 0))


def _every_position(rng: np.random.Generator) -> Draft:
    """Una imagen sola y todas sus posiciones, también las negativas."""
    shape = (1, 3, 4)
    best = [tuple(int(i) for i in np.unravel_index(p, shape)) for p in rng.permutation(12)]
    return _draft(_maps(rng, shape, best, -0.5), best, (2, 1, 0))  # type: ignore[arg-type]


def _all_negative(rng: np.random.Generator) -> Draft:
    """Antes de la ReLU: la más activa es la menos negativa."""
    (h, w), n = _sizes(rng), 2
    best = _places(rng, range(h), range(w), [1, 0, 1])
    return _draft(_maps(rng, (n, h, w), best, -2.0), best, (5, 1, 0))


def _strided_layer(rng: np.random.Generator) -> Draft:
    (h, w), n = _sizes(rng), 2
    best = _places(rng, range(h), range(w), [0, 1, 1, 0])
    return _draft(_maps(rng, (n, h, w), best), best, (int(rng.integers(5, 12)), int(rng.integers(2, 5)), 0))


def _inner(rng: np.random.Generator) -> Draft:
    """Con relleno, pero lejos del borde: no hay nada que recortar."""
    (h, w), n, jump = _sizes(rng), 2, int(rng.integers(2, 5))
    best = _places(rng, range(2, h), range(2, w), [1, 0, 1])
    return _draft(_maps(rng, (n, h, w), best), best, (int(rng.integers(7, 14)), jump, -int(rng.integers(2, 2 * jump))))


def _top_left(rng: np.random.Generator) -> Draft:
    """Una en la primera fila, otra en la primera columna, otra en la esquina y otra dentro."""
    (h, w), n, jump = _sizes(rng), 2, int(rng.integers(2, 5))
    places = [(0, 0, int(rng.integers(2, w))), (1, int(rng.integers(2, h)), 0), (1, 0, 0), (0, 2, 3)]
    best = [places[i] for i in rng.permutation(4)]
    offset = -int(rng.integers(jump + 1, 2 * jump + 1))
    return _draft(_maps(rng, (n, h, w), best), best, (int(rng.integers(2, 6)) - offset, jump, offset))


def _bottom_right(rng: np.random.Generator) -> Draft:
    """Con el tamaño de la imagen, que no es cuadrada. Cada posición ve al menos dos píxeles."""
    (h, w), n, jump = _sizes(rng), 2, int(rng.integers(3, 6))
    size = h * jump - int(rng.integers(0, 2)), w * jump - int(rng.integers(0, 2))
    offset = -int(rng.integers(1, jump - 1))
    places = [(0, h - 1, 1), (1, 2, w - 1), (0, h - 1, w - 1), (1, 0, w - 1), (0, h - 1, 0), (1, 1, 2)]
    best = [places[i] for i in rng.permutation(6)]
    return _draft(_maps(rng, (n, h, w), best), best, (int(rng.integers(3, 7)) + jump - offset, jump, offset), size)


def _ties(rng: np.random.Generator) -> Draft:
    """Muchas posiciones valen lo mismo, y `k` parte un empate."""
    (h, w), n = _sizes(rng), 3
    values = rng.integers(0, 4, (n, h, w)).astype(float)
    values[:, 1, :2] = 3
    order = sorted(np.ndindex(n, h, w), key=lambda place: -values[place])  # estable: imagen, fila y columna
    tops = int((values == 3).sum())
    best = order[: tops + int(rng.integers(2, 6))]
    return _draft(values, best, (3, 1, 0))


def _saturated(rng: np.random.Generator) -> Draft:
    """Todas iguales: gana el orden."""
    (h, w), n = _sizes(rng), 2
    best = list(np.ndindex(n, h, w))[: int(rng.integers(5, 9))]
    return _draft(np.full((n, h, w), float(rng.uniform(1, 2))), best, (3, 2, 0))


def _float32(rng: np.random.Generator) -> Draft:
    draft = _inner(rng)
    return replace(draft, arguments=draft.arguments | {"activations": draft.arguments["activations"].astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return replace(_strided_layer(rng), setup=frozenset({"strided"}))


EXERCISE = Exercise(
    id="activations.top_patches",
    title="Los trozos que más la encienden",
    minutes=30,
    visible_points=3,
    hidden_points=3,
    reference=activations.top_patches,
    properties=(
        Property("Las posiciones más activas, de mayor a menor", 2, (_unpadded,)),
        Property("De una imagen pueden salir varias, o ninguna", 2, (_same_image, _every_position)),
        Property("Cuenta el signo de la activación", 1, (_all_negative,)),
        Property("El salto: cada posición avanza `jump` píxeles", 2, (_strided_layer,)),
        Property("El comienzo: la posición (0, 0) ve desde `offset`", 1, (_inner,)),
        Property("Recortado por arriba y por la izquierda", 2, (_top_left,)),
        Property("Recortado por abajo y por la derecha, si se sabe el tamaño", 2, (_bottom_right,)),
        Property("Los empates, por imagen, fila y columna", 1, (_ties, _saturated)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
