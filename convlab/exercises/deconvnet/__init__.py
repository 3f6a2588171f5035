"""Los cinco ejercicios de la lección 08, en el orden del cuaderno."""

from convlab.exercises.deconvnet import class_sensitivity, conv_adjoint, deconvnet, relu_backward, unpool

EXERCISES = (
    relu_backward.EXERCISE,
    unpool.EXERCISE,
    conv_adjoint.EXERCISE,
    deconvnet.EXERCISE,
    class_sensitivity.EXERCISE,
)
