"""Ataques en norma L∞: ningún valor de la imagen cambia más de `eps`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convlab.adversarial._common import ascend, check_range, check_same_shape, check_units, check_walk

__all__ = ["bim", "fgsm", "pgd", "project_linf", "random_signs", "targeted_pgd"]


def fgsm(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Método del signo del gradiente rápido (FGSM): un paso de tamaño `eps` que sube la pérdida.

    `x + eps · sign(∇ₓ pérdida)`, recortado a [0, 1], con la entropía cruzada de la clase verdadera. Una pasada hacia
    delante y otra hacia atrás. Donde la derivada es cero el píxel no cambia.

    Parameters
    ----------
    model
        Red que recibe imágenes en [0, 1] y devuelve logits `(N, K)`.
    x
        Imágenes `(N, 3, H, W)` en [0, 1]; no se modifican.
    y
        Clases verdaderas, LongTensor `(N,)`.
    eps
        Tamaño del paso, en unidades de [0, 1].

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si `eps` o las imágenes no están en [0, 1], las clases no son las de las imágenes o el gradiente no es finito.

    References
    ----------
    Goodfellow, Shlens y Szegedy (2014), «Explaining and Harnessing Adversarial Examples», arXiv:1412.6572.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
    >>> bool((fgsm(red, x, y, eps=8 / 255) - x).abs().max() <= 8 / 255 + 1e-6)
    True
    """
    check_range(x)
    check_units(eps=eps)
    return ascend(model, x.detach(), y, 1, lambda z, gradient: (z + eps * gradient.sign()).clamp(0, 1))


def project_linf(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    """Lleva cada píxel al punto más cercano de `[x − eps, x + eps] ∩ [0, 1]`.

    Parameters
    ----------
    x_adv
        Imágenes perturbadas `(N, 3, H, W)`.
    x
        Las originales, en [0, 1].
    eps
        Radio de la bola, en unidades de [0, 1].

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, un tensor nuevo.

    Raises
    ------
    ConvlabError
        Si `eps` no está en [0, 1] o las formas no son iguales.

    Examples
    --------
    >>> project_linf(torch.tensor([0.9, -0.5, 0.52]), torch.tensor([0.5, 0.05, 0.5]), eps=0.1)
    tensor([0.6000, 0.0000, 0.5200])
    """
    check_units(eps=eps)
    check_same_shape(x_adv, x)
    low, high = _ball(x, eps)
    return torch.clamp(x_adv, low, high)


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
        Número de pasos, 1 o más.
    random_start
        Si se empieza en un punto al azar de la bola; usa `generator`. Sin él, es `bim`.
    generator
        Fuente de azar, del mismo dispositivo que `x`; sin ella, la global.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1], a distancia L∞ de `x` de `eps` como mucho.

    Raises
    ------
    ConvlabError
        Si `eps`, `alpha` o las imágenes no están en [0, 1], `alpha` es 0, `steps` no es un entero desde 1, las clases
        no son las de las imágenes o el gradiente no es finito.

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
    return _walk(model, x, y, eps, alpha, steps, random_start, generator, sign=1)


def bim(model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int) -> Tensor:
    """Método iterativo básico (BIM): `pgd` que empieza en la propia imagen, así que no depende del azar.

    Los argumentos, lo que devuelve y los errores son los de `pgd`.

    References
    ----------
    Kurakin, Goodfellow y Bengio (2016), «Adversarial Examples in the Physical World», arXiv:1607.02533.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
    >>> torch.allclose(bim(red, x, y, eps=0.1, alpha=0.1, steps=1), fgsm(red, x, y, eps=0.1))
    True
    """
    return _walk(model, x, y, eps, alpha, steps, False, None, sign=1)


def targeted_pgd(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD dirigido: baja la pérdida de una clase elegida, para que la red responda esa y no otra.

    Parameters
    ----------
    model, x, eps, alpha, steps, random_start, generator
        Los de `pgd`.
    target
        La clase que se quiere conseguir: un entero, o un tensor entero `(N,)` con una por imagen.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1], a distancia L∞ de `x` de `eps` como mucho.

    Raises
    ------
    ConvlabError
        Los de `pgd`.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> targeted_pgd(red, torch.rand(2, 3, 2, 2), 1, eps=0.5, alpha=0.1, steps=10).shape
    torch.Size([2, 3, 2, 2])
    """
    return _walk(model, x, target, eps, alpha, steps, random_start, generator, sign=-1)


def random_signs(x: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
    """Control: la misma cantidad de perturbación sin mirar la red, `±eps` al azar en cada valor, recortado a [0, 1].

    Parameters
    ----------
    x
        Imágenes `(N, 3, H, W)` en [0, 1].
    eps
        Tamaño, en unidades de [0, 1].
    generator
        Fuente de azar, del dispositivo de `x`; sin ella, la global.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si `eps` o las imágenes no están en [0, 1].

    Examples
    --------
    >>> x = torch.full((1, 3, 4, 4), 0.5)
    >>> random_signs(x, 0.25, torch.Generator().manual_seed(0)).unique()
    tensor([0.2500, 0.7500])
    """
    check_range(x)
    check_units(eps=eps)
    coin = torch.randint(0, 2, x.shape, generator=generator, device=x.device)
    return (x.detach() + eps * (2 * coin - 1)).clamp(0, 1)


def _walk(
    model: nn.Module,
    x: Tensor,
    y: int | Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool,
    generator: torch.Generator | None,
    *,
    sign: int,
) -> Tensor:
    """Pasos de signo sobre la pérdida, hacia arriba (`sign=1`) o hacia abajo (−1), sin salir de la bola."""
    check_range(x)
    check_units(eps=eps, alpha=alpha)
    steps = check_walk(eps, alpha, steps)
    x = x.detach()
    low, high = _ball(x, eps)
    start = x
    if random_start:
        noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        start = torch.clamp(x + (2 * noise - 1) * eps, low, high)
    return ascend(model, start, y, steps, lambda z, g: torch.clamp(z + sign * alpha * g.sign(), low, high))


def _ball(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return (x - eps).clamp(min=0), (x + eps).clamp(max=1)
