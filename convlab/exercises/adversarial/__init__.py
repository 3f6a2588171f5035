"""Los seis ejercicios de la lección 10, en el orden del cuaderno."""

from convlab.exercises.adversarial import (
    attack_success_rate,
    fgsm,
    minimal_epsilon,
    pgd,
    project_linf,
    targeted_pgd,
)

EXERCISES = (
    fgsm.EXERCISE,
    project_linf.EXERCISE,
    pgd.EXERCISE,
    attack_success_rate.EXERCISE,
    targeted_pgd.EXERCISE,
    minimal_epsilon.EXERCISE,
)
