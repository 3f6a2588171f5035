"""DeepFool: la perturbación más corta, en norma L2, que cambia la respuesta de la red."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convlab._passes import call, private_copy
from convlab.adversarial._common import check_count, check_logits, check_range, norms, require_finite, wide
from convlab.errors import ConvlabError
from convlab.hooks import evaluating

__all__ = ["DeepFoolResult", "deepfool"]

NEWTON = 8  # vueltas para hallar la longitud del paso; cada una es barata al lado de una pasada por la red
TIE = 1e-6  # en logits: en un empate exacto el paso sería nulo y la imagen no cruzaría nunca


@dataclass(frozen=True)
class DeepFoolResult:
    """Lo que encontró `deepfool`, imagen a imagen.

    Attributes
    ----------
    images
        Las imágenes atacadas, `(N, 3, H, W)` en [0, 1].
    norms
        Distancia L2 de cada una a su original, `(N,)`; infinito en las que no llegaron a cambiar de respuesta.
    before, after
        Respuesta de la red antes y después, `(N,)`.
    steps
        Pasos que recibió cada imagen, `(N,)`.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> result = deepfool(red, torch.full((2, 3, 2, 2), 0.5))
    >>> torch.equal(result.fooled, result.norms.isfinite())
    True
    """

    images: Tensor
    norms: Tensor
    before: Tensor
    after: Tensor
    steps: Tensor

    @property
    def fooled(self) -> Tensor:
        """Cuáles cambiaron de respuesta, `(N,)` booleano."""
        return self.before != self.after


def deepfool(
    model: nn.Module, x: Tensor, *, steps: int = 50, overshoot: float = 0.02, candidates: int = 10
) -> DeepFoolResult:
    r"""Busca la menor perturbación L2 que cambia la respuesta de la red, tomándola por lineal en cada paso.

    Cada rival $k$ de la respuesta $c$ está, si la red fuera lineal, a distancia
    $|f_k - f_c| / \lVert \nabla f_k - \nabla f_c \rVert_2$. Cada paso va al punto más cercano de la frontera más
    cercana, alargado en `1 + overshoot` para no quedarse en ella, **dentro de [0, 1]**: lo que no pueden moverse los
    valores que llegan al borde lo ponen los demás. (Recortar sin más cada paso lo deja corto, y hay imágenes que se
    acercan a la frontera sin cruzarla nunca.) Cada imagen se detiene al cambiar de respuesta. Un paso cuesta una pasada
    hacia delante y `candidates` hacia atrás, solo con las imágenes que siguen; cuando algunas acaban antes que otras,
    una pasada hacia delante más con las que quedan.

    La respuesta que se cambia es la de la red, acierte o no.

    Parameters
    ----------
    model
        Red que recibe imágenes en [0, 1] y devuelve logits `(N, K)`, con dos clases o más.
    x
        Imágenes `(N, 3, H, W)` en [0, 1]; no se modifican.
    steps
        Pasos como mucho; suelen bastar dos o tres.
    overshoot
        Cuánto se alarga cada paso.
    candidates
        Rivales que se consideran: los de mayor logit en la imagen original.

    Returns
    -------
    DeepFoolResult
        Imágenes, normas, respuestas y pasos.

    Raises
    ------
    ConvlabError
        Si las imágenes no están en [0, 1], `steps` o `candidates` no son enteros desde 1, `overshoot` es negativo, hay
        menos de dos clases o el gradiente no es finito.

    References
    ----------
    Moosavi-Dezfooli, Fawzi y Frossard (2016), «DeepFool: a simple and accurate method to fool deep neural networks»,
    arXiv:1511.04599.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> deepfool(red, torch.full((2, 3, 2, 2), 0.5)).norms.shape
    torch.Size([2])
    """
    check_range(x)
    steps, candidates = check_count("steps", steps), check_count("candidates", candidates)
    if not (overshoot >= 0 and math.isfinite(overshoot)):
        raise ConvlabError(f"`overshoot` debe ser 0 o más, y llegó {overshoot}. Lo habitual es 0.02.")
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        attacked = private_copy(model, x)
        original = attacked.clone()
        leaf, logits = _graph(model, attacked)
        if logits.shape[1] < 2:
            raise ConvlabError(
                f"Para cambiar de respuesta hacen falta dos clases o más, y la red da {logits.shape[1]}."
            )
        before = logits.argmax(1)
        after, taken = before.clone(), torch.zeros_like(before)
        others = logits.detach().scatter(1, before[:, None], -torch.inf)
        rivals = others.topk(min(candidates, logits.shape[1] - 1), dim=1).indices
        rows = torch.arange(len(x), device=x.device)
        finite = logits.isfinite().all()
        for _ in range(steps):
            direction, missing, good = _nearest_boundary(leaf, logits, before[rows], rivals[rows])
            finite = finite & good
            attacked[rows] = _gain(wide(leaf.detach()), direction, (1 + overshoot) * missing).to(x.dtype)
            taken[rows] += 1
            leaf, logits = _graph(model, attacked[rows])
            after[rows] = logits.argmax(1)
            rows = rows[after[rows] == before[rows]]
            if len(rows) == 0:
                break
            if len(rows) < len(leaf):
                leaf, logits = _graph(model, attacked[rows])
    require_finite(finite)
    length = norms(wide(attacked) - wide(original))[:, 0, 0, 0]
    return DeepFoolResult(attacked, torch.where(after != before, length, torch.inf), before, after, taken)


def _graph(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    logits = check_logits(call(model, leaf.clone()))
    if not logits.requires_grad:
        raise ConvlabError(
            "Los logits no dependen de la imagen, así que no hay gradiente. Mira si el modelo usa por dentro "
            "torch.no_grad, torch.inference_mode o detach."
        )
    return leaf, logits


def _nearest_boundary(leaf: Tensor, logits: Tensor, own: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """El rival más cercano en la red linealizada: su gradiente, los logits que le faltan y si todo era finito."""
    logits = wide(logits)
    gaps = logits.gather(1, rivals) - logits.gather(1, own[:, None])
    nearest = logits.new_full((len(leaf), 1, 1, 1), torch.inf)
    direction, missing = torch.zeros_like(wide(leaf.detach())), torch.zeros_like(nearest)
    finite = torch.ones((), dtype=torch.bool, device=leaf.device)
    for k in range(rivals.shape[1]):  # de uno en uno: guardar los gradientes de todos multiplicaría la memoria
        (gradient,) = torch.autograd.grad(gaps[:, k].sum(), leaf, retain_graph=k + 1 < rivals.shape[1])
        finite = finite & gradient.isfinite().all()
        length = norms(gradient)
        gap = gaps[:, k].detach().abs().clamp(min=TIE).view(-1, 1, 1, 1)
        distance = torch.where(length > 0, gap / length, torch.inf)
        closer = distance < nearest
        direction, missing = torch.where(closer, wide(gradient), direction), torch.where(closer, gap, missing)
        nearest = torch.minimum(nearest, distance)
    return direction, missing, finite


def _gain(x: Tensor, direction: Tensor, wanted: Tensor) -> Tensor:
    """El punto de [0, 1] más cercano a `x` en el que `direction · (punto − x)` vale `wanted`; si no llega, el máximo.

    Es `clamp(x + t · direction)` con el `t` justo. Lo ganado crece con `t` y es cóncavo: Newton sube sin pasarse, y
    acierta a la primera si ningún valor llega al borde.
    """
    t = torch.zeros_like(wanted)
    for _ in range(NEWTON):
        moved = x + t * direction
        room = torch.where(direction > 0, moved < 1, moved > 0)
        slope = (direction.square() * room).sum((1, 2, 3), keepdim=True)
        left = wanted - (direction * (moved.clamp(0, 1) - x)).sum((1, 2, 3), keepdim=True)
        t = t + torch.where(slope > 0, left / slope, 0).clamp(min=0)
    return (x + t * direction).clamp(0, 1)
