"""Lección 10: ejemplos adversarios, perturbaciones pequeñas que cambian la respuesta de una red.

Todo se mide en unidades de [0, 1]. En norma L∞, una perturbación de 8 niveles de 255 es `eps=8 / 255`; en norma L2,
`eps` es la distancia euclídea entre las dos imágenes, que puede pasar de 1. Las redes reciben imágenes `(N, 3, H, W)`
en [0, 1], devuelven logits `(N, K)`, se evalúan en modo `eval` y quedan como estaban; no se calculan gradientes de los
parámetros. Si tu red espera imágenes normalizadas, envuélvela con `convlab.models.normalized.Normalized`.
"""

from __future__ import annotations

from convlab.adversarial.deepfool import DeepFoolResult, deepfool
from convlab.adversarial.evaluation import Attack as Attack
from convlab.adversarial.evaluation import accuracy_curve, attack_success_rate, minimal_epsilon, transfer_matrix
from convlab.adversarial.l2 import pgd_l2, project_l2, random_l2, targeted_pgd_l2
from convlab.adversarial.linf import bim, fgsm, pgd, project_linf, random_signs, targeted_pgd
from convlab.adversarial.patch import apply_patch, object_patch, patch_success, train_patch

__all__ = [
    "DeepFoolResult",
    "accuracy_curve",
    "apply_patch",
    "attack_success_rate",
    "bim",
    "deepfool",
    "fgsm",
    "minimal_epsilon",
    "object_patch",
    "patch_success",
    "pgd",
    "pgd_l2",
    "project_l2",
    "project_linf",
    "random_l2",
    "random_signs",
    "targeted_pgd",
    "targeted_pgd_l2",
    "train_patch",
    "transfer_matrix",
]
