"""Los cinco ejercicios de la lección 03, en el orden del cuaderno."""

from convlab.exercises.maximization import ascent_step, fft_image, image_spectrum, maximize, total_variation

EXERCISES = (
    total_variation.EXERCISE,
    ascent_step.EXERCISE,
    fft_image.EXERCISE,
    image_spectrum.EXERCISE,
    maximize.EXERCISE,
)
