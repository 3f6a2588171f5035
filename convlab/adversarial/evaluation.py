"""Medir un ataque: a cuántas imágenes engaña, con qué tamaño, y si lo que engaña a una red engaña a otras."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from convlab.adversarial._common import check_distance, check_same_shape, hits
from convlab.errors import ConvlabError
from convlab.hooks import check_images
from convlab.targets import per_image

__all__ = ["accuracy_curve", "attack_success_rate", "minimal_epsilon", "transfer_matrix"]

Attack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""Un ataque: `(model, x, y, eps)` → imágenes atacadas."""


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
        Si los dos lotes no tienen la misma forma o las clases no son las de las imágenes.

    Examples
    --------
    >>> red = nn.Flatten()
    >>> x = torch.eye(4).view(4, 4, 1, 1)
    >>> attack_success_rate(red, x, x.roll(1, 0), torch.tensor([0, 1, 2, 0]))
    1.0
    """
    check_same_shape(x_adv, x)
    right, still = hits(model, x, y), hits(model, x_adv, y)
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
        `pgd` o de `pgd_l2`.
    low, high
        Dónde buscar, en las unidades de `eps` del ataque.
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
        Si no se cumple `0 <= low < high` y `tol > 0`, o el ataque no acepta `high`.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> x = torch.full((1, 3, 2, 2), 0.5)
    >>> from convlab.adversarial import fgsm
    >>> minimal_epsilon(red, x, red(x).argmax(1), fgsm, high=0.5).shape
    torch.Size([1])
    """
    check_images(x)
    check_distance(x, low=low, high=high)
    if not (low < high and tol > 0):
        raise ConvlabError(f"Se esperaba low < high y tol > 0, y llegaron low={low}, high={high} y tol={tol}.")
    x, y = x.detach(), per_image(y, len(x)).to(x.device)

    def fooled(rows: Tensor, eps: float) -> Tensor:
        return ~hits(model, attack(model, x[rows], y[rows], eps), y[rows])

    right = hits(model, x, y)
    ends: dict[tuple[float, float], Tensor] = {}
    result = torch.zeros(len(x), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    result[right] = math.inf
    rows = right.nonzero()[:, 0]
    if len(rows):
        ends[low, high] = rows[fooled(rows, high)]
    while ends:
        (a, b), rows = ends.popitem()
        if not len(rows):
            continue
        middle = (a + b) / 2
        if b - a <= tol or not a < middle < b:
            result[rows] = b
            continue
        yes = fooled(rows, middle)
        ends[a, middle], ends[middle, b] = rows[yes], rows[~yes]
    return result


def accuracy_curve(model: nn.Module, x: Tensor, y: Tensor, attack: Attack, epsilons: Sequence[float]) -> Tensor:
    """Exactitud de la red bajo un ataque, para cada tamaño de la perturbación.

    Con `eps` igual a 0 no se llama al ataque: es la exactitud con las imágenes limpias.

    Parameters
    ----------
    model, x, y, attack
        Los de `minimal_epsilon`. Para el control, `lambda model, x, y, eps: random_signs(x, eps)`.
    epsilons
        Los tamaños, en las unidades del ataque; al menos uno.

    Returns
    -------
    Tensor
        `(len(epsilons),)`, en [0, 1].

    Raises
    ------
    ConvlabError
        Si no hay tamaños o las clases no son las de las imágenes.

    Examples
    --------
    >>> from convlab.adversarial import fgsm
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> accuracy_curve(red, torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 0, 1]), fgsm, [0, 0.1, 1]).shape
    torch.Size([3])
    """
    if len(epsilons) == 0:
        raise ConvlabError("Se esperaba al menos un tamaño en `epsilons` y no llegó ninguno.")
    sizes = [float(eps) for eps in epsilons]
    attacked = (x if eps == 0 else attack(model, x, y, eps) for eps in sizes)
    return torch.stack([hits(model, z, y).float().mean() for z in attacked])


def transfer_matrix(
    models: Mapping[str, nn.Module], x: Tensor, y: Tensor, attack: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> tuple[list[str], Tensor]:
    """Tasa de éxito de los ataques hechos contra una red (fila) y probados en otra (columna).

    Cada casilla cuenta, entre las imágenes limpias que aciertan **las dos** redes, las que la de la columna deja de
    acertar: así no se apunta como éxito lo que ya fallaba. La diagonal es el ataque de caja blanca; el resto, de caja
    negra. Cada red se ataca una sola vez, y solo con las imágenes que acierta.

    Parameters
    ----------
    models
        Nombre → red; todas con las mismas clases.
    x, y
        Imágenes `(N, 3, H, W)` en [0, 1] y clases verdaderas `(N,)`.
    attack
        `(model, x, y)` → imágenes atacadas; por ejemplo, `partial(pgd, eps=8 / 255, alpha=2 / 255, steps=10)`.

    Returns
    -------
    tuple
        Los nombres, en el orden de filas y columnas, y la matriz `(M, M)` en [0, 1], en float32; NaN donde no hay
        ninguna imagen que acierten las dos.

    Raises
    ------
    ConvlabError
        Si no hay redes, las clases no son las de las imágenes o el ataque cambia la forma del lote.

    Examples
    --------
    >>> from functools import partial
    >>> from convlab.adversarial import fgsm
    >>> redes = {name: nn.Sequential(nn.Flatten(), nn.Linear(12, 2)) for name in ("a", "b")}
    >>> names, matrix = transfer_matrix(redes, torch.rand(8, 3, 2, 2), torch.arange(8) % 2, partial(fgsm, eps=0.1))
    >>> names, tuple(matrix.shape)
    (['a', 'b'], (2, 2))
    """
    if not models:
        raise ConvlabError("Se esperaba al menos una red en `models` y no llegó ninguna.")
    check_images(x)
    x, y = x.detach(), per_image(y, len(x)).to(x.device)
    right = torch.stack([hits(model, x, y) for model in models.values()])
    matrix = torch.full((len(models), len(models)), math.nan, device=x.device)
    for source, model in enumerate(models.values()):
        rows = right[source].nonzero()[:, 0]
        if len(rows) == 0:
            continue
        attacked = attack(model, x[rows], y[rows])
        check_same_shape(attacked, x[rows])
        fooled = torch.stack([~hits(other, attacked, y[rows]) for other in models.values()])
        both = right[:, rows]
        matrix[source] = (fooled & both).sum(1) / both.sum(1)
    return list(models), matrix
