"""Los cuatro ejercicios de la lección 02, en el orden del cuaderno."""

from convlab.exercises.filters import conv_output_size, cross_correlate2d, normalize_filters, orientation_tuning

EXERCISES = (
    conv_output_size.EXERCISE,
    cross_correlate2d.EXERCISE,
    normalize_filters.EXERCISE,
    orientation_tuning.EXERCISE,
)
