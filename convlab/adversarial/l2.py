"""Ataques en norma L2: la distancia euclídea entre la imagen atacada y la original no pasa de `eps`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convlab.adversarial._common import (
    ascend,
    check_distance,
    check_range,
    check_same_shape,
    check_walk,
    norms,
    wide,
)
from convlab.hooks import check_images

__all__ = ["pgd_l2", "project_l2", "random_l2", "targeted_pgd_l2"]


def project_l2(x_adv: Tensor, x: Tensor, eps: float) -> Tensor:
    r"""Lleva cada imagen al punto más cercano de la bola L2 de radio `eps` y la recorta a [0, 1].

    La perturbación se multiplica por $\min(1, \varepsilon / \lVert x_{adv} - x \rVert_2)$. El recorte posterior acerca
    cada valor al de `x`, así que el resultado sigue en la bola, aunque ya no siempre es el punto más cercano de la
    intersección: es la proyección que usan los ataques PGD en L2.

    Parameters
    ----------
    x_adv
        Imágenes perturbadas `(N, 3, H, W)`.
    x
        Las originales, en [0, 1].
    eps
        Radio de la bola: distancia euclídea entre imágenes en [0, 1], que puede pasar de 1.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, un tensor nuevo.

    Raises
    ------
    ConvlabError
        Si `eps` no está entre 0 y `sqrt(C · H · W)` o las formas no son iguales.

    Examples
    --------
    >>> x = torch.full((1, 3, 1, 1), 0.5)
    >>> project_l2(x + torch.tensor([3.0, 0.0, 4.0]).view(1, 3, 1, 1), x, eps=0.5).flatten()
    tensor([0.8000, 0.5000, 0.9000])
    """
    check_images(x)
    check_distance(x, eps=eps)
    check_same_shape(x_adv, x)
    delta = x_adv - x
    length = norms(delta)
    shrink = torch.where(length > eps, eps / length, 1).to(delta.dtype)
    # Sin acortar se devuelve x_adv tal cual: x + (x_adv − x) no siempre lo es, por el redondeo.
    return torch.where(length > eps, x + delta * shrink, x_adv).clamp(0, 1)


def pgd_l2(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Descenso de gradiente proyectado (PGD) en norma L2: sube la pérdida sin salir de la bola ni de [0, 1].

    Cada paso avanza `alpha` en la dirección del gradiente, llevado a norma 1 en cada imagen, y proyecta con
    `project_l2`. Con gradiente nulo la imagen no se mueve. Cuesta `steps` pasadas hacia delante y otras tantas hacia
    atrás.

    Parameters
    ----------
    model
        Red que recibe imágenes en [0, 1] y devuelve logits `(N, K)`.
    x
        Imágenes `(N, 3, H, W)` en [0, 1]; no se modifican.
    y
        Clases verdaderas, LongTensor `(N,)`.
    eps, alpha
        Radio de la bola y paso, en distancia euclídea entre imágenes en [0, 1]; pueden pasar de 1. En una imagen de
        3 × 64 × 64, cambiar todos los valores 4/255 es una distancia de 1,74.
    steps
        Número de pasos, 1 o más.
    random_start
        Si se empieza en un punto al azar, uniforme en la bola; usa `generator`.
    generator
        Fuente de azar, del mismo dispositivo que `x`; sin ella, la global.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1], a distancia L2 de `x` de `eps` como mucho.

    Raises
    ------
    ConvlabError
        Si `eps` o `alpha` no están entre 0 y `sqrt(C · H · W)`, `alpha` es 0, las imágenes no están en [0, 1], `steps`
        no es un entero desde 1, las clases no son las de las imágenes o el gradiente no es finito.

    References
    ----------
    Madry et al. (2017), «Towards Deep Learning Models Resistant to Adversarial Attacks», arXiv:1706.06083.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
    >>> bool((pgd_l2(red, x, y, eps=0.5, alpha=0.2, steps=5) - x).flatten(1).norm(dim=1).max() <= 0.5 + 1e-6)
    True
    """
    return _walk(model, x, y, eps, alpha, steps, random_start, generator, sign=1)


def targeted_pgd_l2(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    eps: float,
    alpha: float,
    steps: int,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """PGD dirigido en norma L2: baja la pérdida de una clase elegida, para que la red responda esa y no otra.

    Parameters
    ----------
    model, x, eps, alpha, steps, random_start, generator
        Los de `pgd_l2`.
    target
        La clase que se quiere conseguir: un entero, o un tensor entero `(N,)` con una por imagen.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1], a distancia L2 de `x` de `eps` como mucho.

    Raises
    ------
    ConvlabError
        Los de `pgd_l2`.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    >>> targeted_pgd_l2(red, torch.rand(2, 3, 2, 2), 1, eps=1.5, alpha=0.3, steps=10).shape
    torch.Size([2, 3, 2, 2])
    """
    return _walk(model, x, target, eps, alpha, steps, random_start, generator, sign=-1)


def random_l2(x: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
    """Control: una perturbación de norma L2 `eps` en una dirección al azar, sin mirar la red, recortada a [0, 1].

    Todas las direcciones son igual de probables. Donde la imagen está cerca de 0 o de 1, el recorte deja la norma algo
    por debajo de `eps`.

    Parameters
    ----------
    x
        Imágenes `(N, 3, H, W)` en [0, 1].
    eps
        Tamaño: distancia euclídea entre imágenes en [0, 1].
    generator
        Fuente de azar, del dispositivo de `x`; sin ella, la global.

    Returns
    -------
    Tensor
        Imágenes `(N, 3, H, W)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si `eps` no está entre 0 y `sqrt(C · H · W)` o las imágenes no están en [0, 1].

    Examples
    --------
    >>> x = torch.full((1, 3, 8, 8), 0.5)
    >>> round(float((random_l2(x, 1.5) - x).norm()), 4)
    1.5
    """
    check_range(x)
    check_distance(x, eps=eps)
    x = x.detach()
    return (x + eps * _direction(x, generator)).clamp(0, 1)


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
    """Pasos de norma `alpha` sobre la pérdida, hacia arriba (`sign=1`) o hacia abajo (−1), sin salir de la bola."""
    check_range(x)
    check_distance(x, eps=eps, alpha=alpha)
    steps = check_walk(eps, alpha, steps)
    x = x.detach()
    start = x
    if random_start:
        direction = _direction(x, generator)
        share = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device, dtype=wide(x).dtype)
        # El volumen de la bola crece como el radio elevado a la dimensión: su raíz hace el punto uniforme.
        start = (x + eps * (share ** (1 / x[0].numel())).to(x.dtype) * direction).clamp(0, 1)
    return ascend(model, start, y, steps, lambda z, g: project_l2(z + sign * alpha * _unit(g), x, eps))


def _unit(values: Tensor) -> Tensor:
    """Cada imagen a norma 1; las nulas quedan nulas."""
    # Antes de elevar al cuadrado, a escala 1: el gradiente de una red muy segura de su respuesta es minúsculo.
    peak = values.abs().amax((1, 2, 3), keepdim=True)
    scaled = torch.where(peak > 0, values / peak, 0)
    return (scaled / norms(scaled).clamp(min=1)).to(values.dtype)


def _direction(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return _unit(torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype))
