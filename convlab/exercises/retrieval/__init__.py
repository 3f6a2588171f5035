"""Los cinco ejercicios de la lección 04, en el orden del cuaderno."""

from convlab.exercises.retrieval import average_precision, cosine_similarity, embed, mean_average_precision, top_k

EXERCISES = (
    embed.EXERCISE,
    cosine_similarity.EXERCISE,
    top_k.EXERCISE,
    average_precision.EXERCISE,
    mean_average_precision.EXERCISE,
)
