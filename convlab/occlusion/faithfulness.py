"""Fidelidad de un mapa a la red: cómo cambia la respuesta si se quitan, o se ponen, los píxeles que él destaca."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import check_images
from convlab.occlusion._responses import Fill, Responses, fill_values, versions_per_pass
from convlab.targets import BatchSize, Output, ScoreFn, check_batch_size, check_counts

__all__ = ["deletion_curve", "faithfulness_auc", "insertion_curve"]


def deletion_curve(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    saliency: Tensor,
    steps: int = 20,
    value: Fill = 0.0,
    *,
    per_image: bool = False,
    output: Output = "probability",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
) -> Tensor:
    """Respuesta de la red mientras se borran los píxeles que un mapa da por más importantes, de más a menos.

    En el paso k se han borrado `round(k · H·W / steps)` píxeles; los empates, por filas. Cuanto antes cae, más fiel a
    la red es el mapa. Se compara con un orden al azar y con un detector de bordes: borrar cualquier cosa la baja.

    Parameters
    ----------
    model, x, target, select
        Los de `occlusion_map`.
    saliency
        Mapas `(N, H, W)`.
    steps
        Número de pasos.
    value
        Con qué se borra.
    per_image
        `True` da la curva de cada imagen en lugar de la media.
    output
        `"probability"`, como en el artículo, o `"logit"`.
    batch_size
        Versiones de las imágenes por pasada.

    Returns
    -------
    Tensor
        `(steps + 1,)`, de la imagen intacta a la borrada entera, en media sobre el lote; o `(N, steps + 1)`.

    Raises
    ------
    ConvlabError
        Los de `occlusion_map`, y si el mapa no es del tamaño de las imágenes o tiene NaN.

    References
    ----------
    Petsiuk, Das y Saenko, «RISE», BMVC 2018.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> deletion_curve(Mini(), torch.rand(2, 3, 64, 64), 3, torch.rand(2, 64, 64), steps=5).shape
    torch.Size([6])
    """
    curves = _curves(model, x, target, saliency, steps, value, output, select, batch_size, insert=False)
    return curves if per_image else curves.mean(0)


def insertion_curve(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    saliency: Tensor,
    steps: int = 20,
    value: Fill = "blur",
    *,
    per_image: bool = False,
    output: Output = "probability",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
) -> Tensor:
    """Respuesta de la red mientras aparecen, sobre una imagen borrada, los píxeles más importantes de un mapa.

    Lo contrario de `deletion_curve`, con los mismos argumentos: cuanto antes sube, más fiel es el mapa.

    Returns
    -------
    Tensor
        `(steps + 1,)`, de la imagen borrada a la intacta, en media sobre el lote; o `(N, steps + 1)`.

    Raises
    ------
    ConvlabError
        Los de `deletion_curve`.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> insertion_curve(Mini(), torch.rand(2, 3, 64, 64), 3, torch.rand(2, 64, 64), steps=5).shape
    torch.Size([6])
    """
    curves = _curves(model, x, target, saliency, steps, value, output, select, batch_size, insert=True)
    return curves if per_image else curves.mean(0)


def faithfulness_auc(curve: Tensor) -> Tensor:
    """Área bajo una curva de borrado o de aparición, por trapecios, con la abscisa de 0 a 1.

    Parameters
    ----------
    curve
        `(..., steps + 1)`, al menos dos puntos.

    Returns
    -------
    Tensor
        `(...)`: un escalar si la curva es una.

    Raises
    ------
    ConvlabError
        Si la curva tiene menos de dos puntos.

    Examples
    --------
    >>> faithfulness_auc(torch.tensor([1.0, 0.5, 0.0]))
    tensor(0.5000)
    """
    if curve.ndim == 0 or curve.shape[-1] < 2:
        raise ConvlabError(f"Se esperaba una curva con dos puntos o más y llegó {tuple(curve.shape)}.")
    return torch.trapezoid(curve, dx=1 / (curve.shape[-1] - 1))


def _curves(
    model: nn.Module, x: Tensor, target: int | Tensor, saliency: Tensor, steps: int, value: Fill,
    output: Output, select: ScoreFn | None, batch_size: BatchSize, *, insert: bool,
) -> Tensor:  # fmt: skip
    check_images(x)
    check_counts(steps=steps)
    check_batch_size(batch_size)
    if saliency.shape != (len(x), *x.shape[2:]) or bool(saliency.isnan().any()):
        raise ConvlabError(
            f"Se esperaban mapas {(len(x), *x.shape[2:])} sin NaN y llegó {tuple(saliency.shape)}"
            f"{' con NaN' if saliency.isnan().any() else ''}."
        )
    x, fill = x.detach(), fill_values(value, x)
    run = Responses(model, x, target, output, select)
    pixels = x[0, 0].numel()
    order = saliency.to(x.device).flatten(1).argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(pixels, device=x.device).expand_as(order))
    place = place.view(len(x), 1, *x.shape[2:])
    removed = [round(k * pixels / steps) for k in range(steps + 1)]
    step = versions_per_pass(x, batch_size)
    scores = []
    for start in range(0, steps + 1, step):
        counts = removed[start : start + step]
        versions = [torch.where((place < count) ^ insert, fill, x) for count in counts]
        scores.append(run.score(torch.cat(versions), len(counts)).view(len(counts), len(x)))
    return torch.cat(scores).T
