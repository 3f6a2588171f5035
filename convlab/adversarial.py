"""Ejemplos adversarios: perturbaciones pequeñas que cambian la respuesta de una red."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import evaluating

__all__ = ["pgd"]


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Descenso de gradiente proyectado (PGD) en norma L∞: sube la pérdida sin salir de la bola ni de [0, 1].

    Cada paso suma `alpha · sign(∇ₓ pérdida)` y proyecta sobre `[x − eps, x + eps] ∩ [0, 1]`. Cuesta `steps` pasadas
    hacia delante y otras tantas hacia atrás. El modelo se evalúa en modo eval y queda como estaba.

    Parameters
    ----------
    model
        Red que recibe imágenes en [0, 1] y devuelve logits `(N, K)`.
    x
        Imágenes `(N, 3, H, W)` en [0, 1]; no se modifican.
    y
        Clases verdaderas, LongTensor `(N,)`.
    eps, alpha
        Radio de la bola y paso, en unidades de [0, 1]: 4/255, no 4.
    steps
        Número de pasos.
    random_start
        Si se empieza en un punto al azar de la bola; usa `generator`.
    generator
        Fuente de azar, del mismo dispositivo que `x`.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1], a distancia L∞ de `x` de `eps` como mucho.

    Raises
    ------
    ConvlabError
        Si `eps` o `alpha` no están en [0, 1].

    References
    ----------
    Madry et al. (2017), «Towards Deep Learning Models Resistant to Adversarial Attacks», arXiv:1706.06083.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
    >>> bool((pgd(red, x, y, eps=8 / 255, alpha=2 / 255, steps=5) - x).abs().max() <= 8 / 255 + 1e-6)
    True
    """
    for name, value in (("eps", eps), ("alpha", alpha)):
        if not 0 <= value <= 1:
            raise ConvlabError(
                f"`{name}` se mide en unidades de [0, 1] y llegó {value}; si pensabas en niveles de 0 a 255, "
                f"escribe {value}/255."
            )
    x = x.detach()
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    adversarial = x.clone()
    if random_start:
        noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        adversarial = torch.clamp(x + (2 * noise - 1) * eps, low, high)
    with evaluating(model), torch.enable_grad():
        for _ in range(steps):
            adversarial.requires_grad_(True)
            loss = F.cross_entropy(model(adversarial), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, adversarial)
            adversarial = torch.clamp(adversarial.detach() + alpha * gradient.sign(), low, high)
    return adversarial.detach()
