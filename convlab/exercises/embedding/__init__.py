"""Los seis ejercicios de la lección 05, en el orden del cuaderno."""

from convlab.exercises.embedding.conditional_probabilities import EXERCISE as CONDITIONAL_PROBABILITIES
from convlab.exercises.embedding.joint_probabilities import EXERCISE as JOINT_PROBABILITIES
from convlab.exercises.embedding.kl_gradient import EXERCISE as KL_GRADIENT
from convlab.exercises.embedding.squared_distances import EXERCISE as SQUARED_DISTANCES
from convlab.exercises.embedding.student_affinities import EXERCISE as STUDENT_AFFINITIES
from convlab.exercises.embedding.tsne import EXERCISE as TSNE

EXERCISES = (
    SQUARED_DISTANCES,
    CONDITIONAL_PROBABILITIES,
    JOINT_PROBABILITIES,
    STUDENT_AFFINITIES,
    KL_GRADIENT,
    TSNE,
)
