"""Los cinco ejercicios de la lección 06, en el orden del cuaderno."""

from convlab.exercises.occlusion import deletion_curve, faithfulness_auc, mask_overlap, occlude, occlusion_map

EXERCISES = (
    occlude.EXERCISE,
    occlusion_map.EXERCISE,
    deletion_curve.EXERCISE,
    faithfulness_auc.EXERCISE,
    mask_overlap.EXERCISE,
)
