"""Los cinco ejercicios de la lección 07, en el orden del cuaderno."""

from convlab.exercises.saliency import (
    integrated_gradients,
    pointing_game,
    randomize_layers,
    saliency_map,
    smoothgrad,
)

EXERCISES = (
    saliency_map.EXERCISE,
    pointing_game.EXERCISE,
    smoothgrad.EXERCISE,
    integrated_gradients.EXERCISE,
    randomize_layers.EXERCISE,
)
