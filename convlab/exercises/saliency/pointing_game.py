"""Ejercicio 2: si el máximo del mapa cae en el objeto. Los errores de su catálogo están en `pointing_game_errors`."""

from __future__ import annotations

from typing import Any

import numpy as np

from convlab import saliency
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.saliency.pointing_game_errors import CATALOGUE


def _arguments(rng: np.random.Generator, hits: list[bool], scales: list[float]) -> dict[str, Any]:
    """Mapas positivos con un solo máximo, dentro o fuera de la máscara según `hits`.

    Fuera de ese píxel, la máscara hace lo contrario de lo que dice el acierto: donde el máximo falla está casi todo el
    calor, y donde acierta, muy poco.
    """
    n, (h, w) = len(hits), (int(s) for s in rng.permutation([5, 6, 8, 9])[:2])
    heat, mask = rng.uniform(0.1, 0.45, (n, h, w)), np.zeros((n, h, w), bool)
    for k, hit in enumerate(hits):
        while True:
            row, column = int(rng.integers(h)), int(rng.integers(w))
            # Donde la cuenta con el lado equivocado da otro píxel que también existe.
            other_row, other_column = divmod(row * w + column, h)
            if other_row < h and other_column < w and other_row != row:
                break
        mask[k] = rng.uniform(0, 1, (h, w)) < (0.2 if hit else 0.8)
        heat[k] += np.where(mask[k], 0.0, 0.3) if hit else np.where(mask[k], 0.3, 0.0)
        heat[k, row, column] = 1
        mask[k, row, column] = hit
        mask[k, other_row, other_column] = not hit
    return {"saliency": heat * np.array(scales)[:, None, None], "mask": mask}


def _hits(rng: np.random.Generator, hits: list[bool], scales: list[float] | None = None) -> Draft:
    return Draft(_arguments(rng, hits, scales or [1.0] * len(hits)), expected=np.array(hits))


def _some(rng: np.random.Generator) -> list[bool]:
    return [bool(h) for h in rng.permutation([True, True, False])]


def _hit(rng: np.random.Generator) -> Draft:
    return _hits(rng, [True])


def _miss(rng: np.random.Generator) -> Draft:
    return _hits(rng, [False])


def _scales(rng: np.random.Generator) -> Draft:
    """Mapas de tamaños muy distintos: el de la red más segura no decide por los demás."""
    return _hits(rng, _some(rng), [float(s) for s in rng.permutation([1e-6, 1.0, 40.0])])


def _signed(rng: np.random.Generator) -> Draft:
    """Lo más negativo, mayor en valor absoluto, está al otro lado del borde de la máscara."""
    hits = _some(rng)
    arguments = _arguments(rng, hits, [1.0] * 3)
    for heat, mask, hit in zip(arguments["saliency"], arguments["mask"], hits, strict=True):
        rows, columns = np.nonzero((mask != hit) & (heat < 1))
        k = int(rng.integers(len(rows)))
        heat[rows[k], columns[k]] = -3
    return Draft(arguments, expected=np.array(hits))


def _all_negative(rng: np.random.Generator) -> Draft:
    hits = _some(rng)
    arguments = _arguments(rng, hits, [1.0] * 3)
    return Draft(arguments | {"saliency": arguments["saliency"] - 2}, expected=np.array(hits))


def _ties(rng: np.random.Generator) -> Draft:
    """Tres máximos iguales en cada mapa: el primero por filas, el primero por columnas y el último.

    Entre los tres mapas, cada elección equivocada da una respuesta distinta.
    """
    inside = rng.permutation([[True, True, False], [False, True, False], [False, False, True]])
    arguments = _arguments(rng, [bool(hit) for hit in inside[:, 0]], [1.0] * 3)
    heat, mask = arguments["saliency"], arguments["mask"]
    heat[heat == 1] = 0.6
    h, w = heat.shape[1:]
    for k, truths in enumerate(inside):
        rows, columns = np.sort(rng.permutation(h)[:3]), np.sort(rng.permutation(w)[:3])[[1, 0, 2]]
        heat[k, rows, columns] = 1
        mask[k, rows, columns] = truths
    return Draft(arguments, expected=inside[:, 0])


def _constant(rng: np.random.Generator) -> Draft:
    """Un mapa constante no señala nada, aunque el objeto ocupe la imagen entera."""
    hits = [True, False, False]
    arguments = _arguments(rng, [True, True, True], [1.0] * 3)
    arguments["saliency"][1] = 0
    arguments["saliency"][2] = float(rng.uniform(0.5, 2))
    arguments["mask"][1:, 0, 0] = True
    arguments["mask"][2] = True
    return Draft(arguments, expected=np.array(hits))


def _empty_mask(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [True, True], [1.0] * 2)
    arguments["mask"][1] = False
    return Draft(arguments, expected=np.array([True, False]))


def _float32(rng: np.random.Generator) -> Draft:
    draft = _hits(rng, _some(rng))
    return Draft(draft.arguments | {"saliency": draft.arguments["saliency"].astype("float32")}, expected=draft.expected)


def _strided(rng: np.random.Generator) -> Draft:
    draft = _hits(rng, _some(rng))
    return Draft(draft.arguments, frozenset({"strided"}), draft.expected)


EXERCISE = Exercise(
    id="saliency.pointing_game",
    title="El juego del puntero",
    minutes=10,
    visible_points=1,
    hidden_points=1,
    reference=saliency.pointing_game,
    properties=(
        Property("El máximo, dentro o fuera", 2, (_hit, _miss)),
        Property("Cada mapa, con su propio máximo", 1, (_scales,)),
        Property("Mapas con signo", 1, (_signed, _all_negative)),
        Property("Con empates, el primero por filas", 1, (_ties,)),
        Property("Un mapa constante no señala nada", 1, (_constant,)),
        Property("Una máscara vacía es un fallo", 1, (_empty_mask,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=CATALOGUE.variants,
)
