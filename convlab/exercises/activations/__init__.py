"""Los cuatro ejercicios de la lección 01, en el orden del cuaderno."""

from convlab.exercises.activations import capture_activations, dead_units, receptive_field, top_patches

EXERCISES = (
    receptive_field.EXERCISE,
    capture_activations.EXERCISE,
    dead_units.EXERCISE,
    top_patches.EXERCISE,
)
