"""Lección 10: ejemplos adversarios, perturbaciones pequeñas que cambian la respuesta de una red.

Todo se mide en unidades de [0, 1]: una perturbación de 8 niveles de 255 es `eps=8 / 255`. Las redes reciben imágenes
`(N, 3, H, W)` en [0, 1], devuelven logits `(N, K)`, se evalúan en modo `eval` y quedan como estaban; no se calculan
gradientes de los parámetros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import check_images, evaluating, input_gradient
from convlab.targets import class_indices

__all__ = [
    "accuracy_curve",
    "attack_success_rate",
    "fgsm",
    "minimal_epsilon",
    "pgd",
    "project_linf",
    "random_signs",
    "targeted_pgd",
]

Attack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""Un ataque: `(model, x, y, eps)` → imágenes atacadas."""


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
        Si `eps` no está en [0, 1] o las clases no son las de las imágenes.

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
    _check_units(eps=eps)
    gradient = input_gradient(model, x, lambda logits: _loss(logits, y))
    return (x.detach() + eps * gradient.sign()).clamp(0, 1)


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
    _check_units(eps=eps)
    if x_adv.shape != x.shape:
        raise ConvlabError(f"Se esperaban dos lotes iguales y llegaron {tuple(x_adv.shape)} y {tuple(x.shape)}.")
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
    return _walk(model, x, y, eps, alpha, steps, random_start, generator, uphill=True)


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
    return _walk(model, x, target, eps, alpha, steps, random_start, generator, uphill=False)


def random_signs(x: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
    """Control: la misma cantidad de perturbación sin mirar la red, `±eps` al azar en cada valor, recortado a [0, 1].

    Parameters
    ----------
    x
        Imágenes `(N, 3, H, W)` en [0, 1].
    eps
        Tamaño, en unidades de [0, 1].
    generator
        Fuente de azar, del dispositivo de `x`.

    Raises
    ------
    ConvlabError
        Si `eps` no está en [0, 1].

    Examples
    --------
    >>> x = torch.full((1, 3, 4, 4), 0.5)
    >>> random_signs(x, 0.25, torch.Generator().manual_seed(0)).unique()
    tensor([0.2500, 0.7500])
    """
    check_images(x)
    _check_units(eps=eps)
    coin = torch.randint(0, 2, x.shape, generator=generator, device=x.device)
    return (x.detach() + eps * (2 * coin - 1)).clamp(0, 1)


def attack_success_rate(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    """Qué fracción de las imágenes que la red acertaba deja de acertar tras el ataque.

    Las que ya fallaba no cuentan: no hacía falta atacarlas.

    Parameters
    ----------
    model
        La red; dos pasadas hacia delante.
    x, x_adv
        Imágenes limpias y atacadas, `(N, 3, H, W)`.
    y
        Clases verdaderas, LongTensor `(N,)`.

    Returns
    -------
    float
        En [0, 1]; 0 si la red no acertaba ninguna.

    Raises
    ------
    ConvlabError
        Si las clases no son las de las imágenes.

    Examples
    --------
    >>> red = nn.Flatten()
    >>> x = torch.eye(4).view(4, 4, 1, 1)
    >>> attack_success_rate(red, x, x.roll(1, 0), torch.tensor([0, 1, 2, 0]))
    1.0
    """
    right, still = _hits(model, x, y), _hits(model, x_adv, y)
    return float((right & ~still).sum() / right.sum().clamp(min=1))


def minimal_epsilon(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    """El menor `eps` con el que un ataque engaña a la red en cada imagen, por bisección.

    Supone que si un `eps` engaña, uno mayor también; con ataques de un paso puede no ser verdad, y entonces el valor es
    uno de los umbrales. Las imágenes con el mismo `eps` por probar se atacan juntas.

    Parameters
    ----------
    model
        La red.
    x, y
        Imágenes `(N, 3, H, W)` en [0, 1] y clases verdaderas `(N,)`.
    attack
        `(model, x, y, eps)` → imágenes atacadas; por ejemplo `fgsm`, o una función que fije los demás argumentos de
        `pgd`.
    low, high
        Dónde buscar, en unidades de [0, 1].
    tol
        Ancho del intervalo final.

    Returns
    -------
    Tensor
        `(N,)`, el extremo superior del intervalo: con ese `eps` el ataque engaña. 0 si la red ya fallaba sin ataque e
        infinito si ni `high` la engaña.

    Raises
    ------
    ConvlabError
        Si no se cumple `0 <= low < high <= 1` y `tol > 0`.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> x = torch.full((1, 3, 2, 2), 0.5)
    >>> minimal_epsilon(red, x, red(x).argmax(1), fgsm, high=0.5).shape
    torch.Size([1])
    """
    _check_units(low=low, high=high)
    if not (low < high and tol > 0):
        raise ConvlabError(f"Se esperaba low < high y tol > 0, y llegaron low={low}, high={high} y tol={tol}.")
    x = x.detach()

    def fooled(rows: Tensor, eps: float) -> Tensor:
        return ~_hits(model, attack(model, x[rows], y[rows], eps), y[rows])

    right = _hits(model, x, y)
    ends: dict[tuple[float, float], Tensor] = {}
    result = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    result[right] = float("inf")
    rows = right.nonzero()[:, 0]
    if len(rows):
        ends[low, high] = rows[fooled(rows, high)]
    while ends:
        (a, b), rows = ends.popitem()
        if not len(rows):
            continue
        middle = (a + b) / 2
        if b - a <= tol:
            result[rows] = b
            continue
        yes = fooled(rows, middle)
        ends[a, middle], ends[middle, b] = rows[yes], rows[~yes]
    return result


def accuracy_curve(model: nn.Module, x: Tensor, y: Tensor, attack: Attack, epsilons: Sequence[float]) -> Tensor:
    """Exactitud de la red bajo un ataque, para cada tamaño de la perturbación.

    Parameters
    ----------
    model, x, y, attack
        Los de `minimal_epsilon`. Para el control, `lambda model, x, y, eps: random_signs(x, eps)`.
    epsilons
        Los tamaños, en unidades de [0, 1].

    Returns
    -------
    Tensor
        `(len(epsilons),)`, en [0, 1].

    Raises
    ------
    ConvlabError
        Si las clases no son las de las imágenes.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> accuracy_curve(red, torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 0, 1]), fgsm, [0, 0.1, 1]).shape
    torch.Size([3])
    """
    hits = [_hits(model, attack(model, x, y, float(eps)), y).float().mean() for eps in epsilons]
    return torch.stack(hits)


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
    uphill: bool,
) -> Tensor:
    """Pasos de signo sobre la pérdida, hacia arriba o hacia abajo, sin salir de la bola."""
    check_images(x)
    _check_units(eps=eps, alpha=alpha)
    x = x.detach()
    low, high = _ball(x, eps)
    adversarial = x.clone()
    if random_start:
        noise = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        adversarial = torch.clamp(x + (2 * noise - 1) * eps, low, high)
    step = alpha if uphill else -alpha
    for _ in range(steps):
        gradient = input_gradient(model, adversarial, lambda logits: _loss(logits, y))
        adversarial = torch.clamp(adversarial + step * gradient.sign(), low, high)
    return adversarial


def _loss(logits: Tensor, y: int | Tensor) -> Tensor:
    """Entropía cruzada sumada: el gradiente de cada imagen es el suyo, sin dividir por cuántas son."""
    # Una copia: el grafo no puede guardar un tensor creado en inference_mode.
    classes = class_indices(y, *logits.shape).to(logits.device).clone()
    return F.cross_entropy(logits, classes, reduction="sum")


def _ball(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return (x - eps).clamp(min=0), (x + eps).clamp(max=1)


@torch.no_grad()
def _hits(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    check_images(x)
    with evaluating(model):
        logits = model(x.clone())
    return logits.argmax(1) == class_indices(y, *logits.shape).to(logits.device)


def _check_units(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ConvlabError(
                f"`{name}` se mide en unidades de [0, 1] y llegó {value}; si pensabas en niveles de 0 a 255, "
                f"escribe {value}/255."
            )
