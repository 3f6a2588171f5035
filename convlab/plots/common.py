"""Lo que comparten todas las figuras: color, estilo, cuadrículas de imágenes e intervalos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from matplotlib import colormaps
from torch import Tensor

from convlab.errors import ConvlabError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLORS", "STYLE", "colorize", "image_grid", "interval_plot"]


def colorize(heat: Tensor) -> Tensor:
    """Colorea mapas de calor con la escala «inferno», de negro (0) a amarillo claro (1).

    Parameters
    ----------
    heat
        Mapas `(..., H, W)` en [0, 1]; lo que se salga toma el color del extremo.

    Returns
    -------
    Tensor
        Colores RGB `(..., 3, H, W)` en [0, 1], en el dispositivo y el tipo de `heat` (float32 si era entero).

    Raises
    ------
    ConvlabError
        Si el mapa no tiene al menos dos dimensiones o contiene NaN.

    Examples
    --------
    >>> colorize(torch.rand(2, 5, 7)).shape
    torch.Size([2, 3, 5, 7])
    """
    if heat.ndim < 2:
        raise ConvlabError(f"Se esperaba un mapa (..., H, W) y llegó un tensor {tuple(heat.shape)}.")
    dtype = heat.dtype if heat.is_floating_point() else torch.float32
    heat = heat.to(torch.promote_types(dtype, torch.float32))
    if bool(heat.isnan().any()):
        raise ConvlabError("El mapa contiene NaN, que no tiene color. Revisa el cálculo que lo produjo.")
    table = _inferno().to(heat.device)
    index = (heat * len(table)).clamp(0, len(table) - 1).long()
    return table[index].movedim(-1, -3).to(dtype)


@cache
def _inferno() -> Tensor:
    return torch.tensor(colormaps["inferno"].colors)  # type: ignore[attr-defined]


STYLE: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 220,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
# Azul, naranja, verde, rosa y gris de Okabe e Ito, que se distinguen con cualquier visión del color.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#666666")


def image_grid(
    images: Tensor,
    titles: Sequence[str] = (),
    *,
    columns: int | None = None,
    outlines: Tensor | None = None,
    size: float = 1.5,
) -> Figure:
    """Dibuja imágenes en cuadrícula, con el contorno de una región si se da.

    Parameters
    ----------
    images
        `(N, 3, H, W)` en [0, 1].
    titles
        Rótulos de las primeras imágenes.
    columns
        Imágenes por fila; por omisión, todas en una.
    outlines
        Máscaras booleanas `(N, H, W)` cuyo borde se traza; las vacías no dejan nada.
    size
        Lado de cada imagen, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`: se muestra una sola vez, como último valor de la celda.

    Raises
    ------
    ConvlabError
        Si las imágenes no son `(N, 3, H, W)`.

    Examples
    --------
    >>> from convlab.data.formas import formas
    >>> len(image_grid(formas(6).tensor(), columns=3).axes)
    6
    """
    import matplotlib.pyplot as plt  # tarda medio segundo: solo lo paga quien dibuja
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if images.ndim != 4 or images.shape[1] != 3:
        raise ConvlabError(f"Se esperaban imágenes (N, 3, H, W) y llegó un tensor {tuple(images.shape)}.")
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    with plt.rc_context(STYLE):
        height = size * images.shape[2] / images.shape[3] + (0.22 if titles else 0.05)
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(columns * size, rows * height),
            squeeze=False,
            layout=ConstrainedLayoutEngine(h_pad=0.04, w_pad=0.02),
        )
        for k, axis in enumerate(axes.flat):
            axis.axis("off")
            if k >= len(images):
                continue
            axis.imshow(images[k].detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy())
            if outlines is not None and bool(outlines[k].any()):
                # Dos trazos, blanco sobre negro: se ve sobre cualquier fondo.
                region = outlines[k].cpu().numpy()
                axis.contour(region, [0.5], colors="black", linewidths=2.2)
                axis.contour(region, [0.5], colors="white", linewidths=1.0)
            if k < len(titles):
                axis.set_title(titles[k])
        plt.close(figure)
    return figure


def interval_plot(
    names: Sequence[str], scores: Mapping[str, Sequence[tuple[float, float, float]]], *, xlabel: str = ""
) -> Figure:
    """Compara métodos en varias medidas: un panel por medida, un punto y su intervalo por método.

    Parameters
    ----------
    names
        Los métodos, de arriba abajo.
    scores
        Medida → `(valor, bajo, alto)` de cada método, en el orden de `names`.
    xlabel
        Rótulo común del eje horizontal.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Examples
    --------
    >>> figure = interval_plot(["Grad-CAM", "azar"], {"pico": [(0.7, 0.6, 0.8), (0.1, 0.05, 0.15)]})
    >>> len(figure.axes)
    1
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        rows = -(-len(scores) // 2)  # dos por fila: en una página, más dejan la letra ilegible
        columns = min(2, len(scores))
        size = 2.4 * columns + 1.6, (0.24 * len(names) + 0.5) * rows + 0.3
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True, layout="constrained")
        for axis in axes.flat[len(scores) :]:
            axis.set_visible(False)
        positions = range(len(names))
        for k, (axis, (measure, values)) in enumerate(zip(axes.flat, scores.items(), strict=False)):
            center = [v for v, _, _ in values]
            errors = [[v - low for v, low, _ in values], [high - v for v, _, high in values]]
            axis.errorbar(center, positions, xerr=errors, fmt="o", color=COLORS[k % len(COLORS)], capsize=3)
            axis.set_title(measure)
            axis.set_xlim(-0.02, 1.02)
            axis.grid(axis="x", alpha=0.3)
        axes[0, 0].set_yticks(positions, names)
        axes[0, 0].invert_yaxis()
        figure.supxlabel(xlabel, fontsize=9)
        plt.close(figure)
    return figure
