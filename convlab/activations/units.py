"""Lección 01: cuánto responde cada unidad en un conjunto de imágenes, y cuáles no responden nunca."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import capture

__all__ = ["UnitStatistics", "dead_units", "unit_statistics"]


def dead_units(activations: Tensor, threshold: float = 0.0) -> Tensor:
    """Canales que no superan el umbral en ninguna posición de ninguna imagen.

    Un canal apagado en un lote puede encenderse en otro: pasa el conjunto entero, o usa `unit_statistics` si no cabe en
    memoria.

    Parameters
    ----------
    activations
        `(N, C, H, W)`, de todas las imágenes; por lo común, tras la ReLU.
    threshold
        Está muerto el canal cuyo máximo no es mayor que él.

    Returns
    -------
    Tensor
        Booleanos `(C,)`.

    Raises
    ------
    ConvlabError
        Si no son `(N, C, H, W)` con alguna posición, o contienen NaN.

    Examples
    --------
    >>> dead_units(torch.tensor([[[[0.0, 2.0]], [[0.0, -1.0]]]]))
    tensor([False,  True])
    """
    if activations.ndim != 4 or activations.numel() == 0:
        raise ConvlabError(f"Se esperaban activaciones (N, C, H, W) y llegó un tensor {tuple(activations.shape)}.")
    largest = activations.amax((0, 2, 3))
    reject_nan(largest)
    return ~(largest > threshold)


@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """Estadísticas de cada unidad de una capa en un conjunto de imágenes.

    Attributes
    ----------
    mean, std
        Media y desviación típica poblacional de todas las posiciones de todas las imágenes, `(C,)` en float64.
    max, min
        Extremos, `(C,)` en float64.
    positive
        Fracción de valores mayores que 0, `(C,)` en float64.
    dead
        Unidades cuyo máximo no supera el umbral, booleanos `(C,)`.
    n
        Valores por unidad: posiciones por imágenes.
    images
        Imágenes recorridas.
    """

    mean: Tensor
    std: Tensor
    max: Tensor
    min: Tensor
    positive: Tensor
    dead: Tensor
    n: int
    images: int


def unit_statistics(
    model: nn.Module, batches: Iterable[Tensor], layer: str, *, threshold: float = 0.0
) -> UnitStatistics:
    """Estadísticas de cada unidad de una capa en un conjunto de cualquier tamaño.

    Los lotes se combinan en float64 con la fórmula de Chan et al., que no pierde cifras como la diferencia entre la
    media de los cuadrados y el cuadrado de la media. Una pasada por lote, hasta la capa.

    Parameters
    ----------
    model
        Cualquier red; se evalúa en modo `eval`.
    batches
        Lotes de imágenes `(N, C, H, W)`, de uno en uno; pueden ser de distinto tamaño.
    layer
        Nombre con puntos de una capa con salida `(N, C, ...)`.
    threshold
        El de `dead_units`.

    Returns
    -------
    UnitStatistics
        En el dispositivo de la capa.

    Raises
    ------
    ConvlabError
        Si no hay lotes, no son imágenes, o la capa no existe, no da `(N, C, ...)` o da NaN.

    References
    ----------
    Chan, Golub y LeVeque (1983), «Algorithms for Computing the Sample Variance», The American Statistician 37(3).

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> s = unit_statistics(Mini(), torch.rand(6, 3, 64, 64).split(4), "block5.relu")
    >>> s.images, s.n, s.mean.shape
    (6, 384, torch.Size([128]))
    """
    n = images = 0
    total: Tensor | None = None  # media, suma de cuadrados de las desviaciones, máximo, mínimo y positivos
    for values in unit_maps(model, batches, layer):
        flat = values.double().transpose(0, 1).flatten(1)
        count = flat.shape[1]
        variance, mean = torch.var_mean(flat, 1, correction=0)
        new = torch.stack([mean, variance * count, flat.amax(1), flat.amin(1), (flat > 0).sum(1).double()])
        if total is None:
            total = new
        else:
            gap = new[0] - total[0]
            total = torch.stack(
                [
                    total[0] + gap * (count / (n + count)),
                    total[1] + new[1] + gap**2 * (n * count / (n + count)),
                    torch.maximum(total[2], new[2]),
                    torch.minimum(total[3], new[3]),
                    total[4] + new[4],
                ]
            )
        n, images = n + count, images + len(values)
    assert total is not None  # unit_maps exige algún lote
    reject_nan(total)
    mean, squares, largest, smallest, positive = total.unbind()
    dead = ~(largest > threshold)
    return UnitStatistics(mean, (squares / n).sqrt(), largest, smallest, positive / n, dead, n, images)


def unit_maps(model: nn.Module, batches: Iterable[Tensor], layer: str) -> Iterator[Tensor]:
    """Activaciones de cada lote como mapas `(N, C, h, w)`; de 1×1 si la capa da vectores."""
    if isinstance(batches, Tensor):
        raise ConvlabError("Se esperaban lotes de imágenes y llegó un tensor. Pártelo: x.split(64).")
    channels = None
    for x in batches:
        if isinstance(x, list | tuple):
            raise ConvlabError(
                "Cada lote debe ser un tensor de imágenes y llegó una lista o una tupla. Si lleva también etiquetas, "
                "pasa (x for x, _ in lotes)."
            )
        a = capture(model, x, [layer])[layer]
        if a.ndim not in (2, 4) or a.numel() == 0:
            raise ConvlabError(
                f"La capa «{layer}» da un tensor {tuple(a.shape)} y se esperaba (N, C, h, w) o (N, C). Elige otra."
            )
        if channels not in (None, a.shape[1]):
            raise ConvlabError(f"La capa «{layer}» dio {channels} canales y después {a.shape[1]}.")
        channels = a.shape[1]
        yield a if a.ndim == 4 else a[..., None, None]
    if channels is None:
        raise ConvlabError("No llegó ningún lote de imágenes. Si es un generador, quizá ya se había recorrido.")


def reject_nan(values: Tensor) -> None:
    """Rechaza las activaciones que contienen NaN, que no se pueden ordenar."""
    if bool(values.isnan().any()):
        raise ConvlabError("Hay activaciones que valen NaN. Revisa los pesos del modelo y las imágenes.")
