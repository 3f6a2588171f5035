"""Figuras de la lección 01: mapas de características, parches que más activan y estadísticas por unidad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab.errors import ConvlabError
from convlab.plots.common import COLORS, STYLE, image_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convlab.activations.units import UnitStatistics

__all__ = ["feature_maps", "statistics_plot", "top_patch_grid"]


def feature_maps(
    activations: Tensor,
    channels: Sequence[int] | None = None,
    *,
    shared: bool = True,
    columns: int = 8,
    size: float = 0.9,
) -> Figure:
    """Dibuja los mapas de características de una imagen, con la escala de color escrita.

    Si no hay valores negativos (tras una ReLU), la escala va de negro, 0, a amarillo claro. Si los hay, es divergente y
    el blanco es el 0.

    Parameters
    ----------
    activations
        Mapas `(C, h, w)` o `(1, C, h, w)`.
    channels
        Los que se dibujan, en ese orden; por omisión, todos.
    shared
        Una escala para todos, y los mapas se pueden comparar; o una para cada uno, y se ve también lo que hay en los
        débiles. En este caso el título de cada mapa da su máximo absoluto.
    columns
        Mapas por fila.
    size
        Lado de cada mapa, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si no son los mapas de una sola imagen, contienen NaN o no existe algún canal.

    Examples
    --------
    >>> from convlab.activations import capture_activations
    >>> from convlab.models.mini import Mini
    >>> mapas = capture_activations(Mini(), torch.rand(1, 3, 64, 64), ["block1.relu"])["block1.relu"]
    >>> len(feature_maps(mapas, [0, 5, 9]).axes)  # tres mapas y la barra de color
    4
    """
    import matplotlib.pyplot as plt

    maps = activations.detach().float().cpu()
    if maps.ndim == 4 and len(maps) == 1:
        maps = maps[0]
    if maps.ndim != 3 or maps.numel() == 0:
        raise ConvlabError(
            f"Se esperaban los mapas (C, h, w) de una imagen y llegó un tensor {tuple(activations.shape)}. "
            "Elige una imagen del lote: activaciones[i]."
        )
    if bool(maps.isnan().any()):
        raise ConvlabError("Los mapas contienen NaN, que no tiene color. Revisa el cálculo que los produjo.")
    channels = list(range(len(maps))) if channels is None else list(channels)
    if not channels or not all(0 <= c < len(maps) for c in channels):
        raise ConvlabError(f"Se pidieron los canales {channels} y los hay de 0 a {len(maps) - 1}.")
    maps = maps[channels]
    signed = bool((maps < 0).any())
    limits = maps.abs().amax((1, 2)).clamp(min=1e-12)
    tops = (limits.amax().expand(len(maps)) if shared else limits).tolist()
    rows, columns = -(-len(maps) // columns), min(columns, len(maps))
    with plt.rc_context(STYLE):
        tall = size * maps.shape[1] / maps.shape[2] + 0.2
        figure, axes = plt.subplots(
            rows, columns, figsize=(columns * size + 0.9, rows * tall + 0.3), squeeze=False, layout="constrained"
        )
        for k, axis in enumerate(axes.flat):
            axis.axis("off")
            if k < len(maps):
                low = -tops[k] if signed else 0.0
                image = axis.imshow(maps[k].numpy(), cmap="RdBu_r" if signed else "inferno", vmin=low, vmax=tops[k])
                axis.set_title(f"{channels[k]}" if shared else f"{channels[k]}: {limits[k]:.2g}", fontsize=7, pad=2)
        if shared:
            bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 2 / rows), aspect=15, pad=0.02)
            bar.set_label("activación, misma escala", fontsize=8)
            bar.ax.tick_params(labelsize=7)
        else:
            figure.supxlabel("canal: máximo absoluto; cada mapa con su escala", fontsize=8)
        plt.close(figure)
    return figure


def top_patch_grid(images: Any, patches: Tensor, names: Sequence[str] = (), *, size: float = 0.9) -> Figure:
    """Dibuja los parches que más activan varias unidades: una fila por unidad, de más a menos activación.

    Cada parche se muestra a la escala del mayor; lo que falta porque se sale de la imagen queda en gris.

    Parameters
    ----------
    images
        Las imágenes, `(N, 3, H, W)` en [0, 1], o cualquier cosa que dé `(3, H, W)` al pedirle `images[n]`.
    patches
        `(U, k, 5)` enteros: `n, y0, x0, y1, x1`, de `TopImages.patches` o de varias llamadas a `top_patches`.
    names
        Rótulo de cada fila; por omisión, ninguno.
    size
        Lado de cada parche, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los parches no son `(U, k, 5)` o alguno está vacío.

    Examples
    --------
    >>> patches = torch.tensor([[[0, 0, 0, 9, 9], [2, 30, 30, 39, 39]]])
    >>> len(top_patch_grid(torch.rand(3, 3, 64, 64), patches, ["unidad 7"]).axes)
    2
    """
    if patches.ndim != 3 or patches.shape[2] != 5 or patches.numel() == 0:
        raise ConvlabError(
            f"Se esperaban parches (U, k, 5), con n, y0, x0, y1, x1, y llegó un tensor {tuple(patches.shape)}."
        )
    height, width = (int((patches[..., k + 2] - patches[..., k]).max()) for k in (1, 2))
    tiles = []
    for n, y0, x0, y1, x1 in patches.flatten(0, 1).tolist():
        patch = images[n][:, max(y0, 0) : y1, max(x0, 0) : x1].detach().float().cpu()
        if patch.numel() == 0:
            raise ConvlabError(f"El parche {(n, y0, x0, y1, x1)} está vacío: cae fuera de la imagen.")
        # El trozo que hay se pega al lado por el que la imagen continúa, como se vería con la imagen entera.
        top = height - patch.shape[1] if y0 <= 0 else 0
        left = width - patch.shape[2] if x0 <= 0 else 0
        padding = (left, width - left - patch.shape[2], top, height - top - patch.shape[1])
        tiles.append(F.pad(patch, padding, value=0.75))
    columns = patches.shape[1]
    figure = image_grid(torch.stack(tiles), columns=columns, size=size)
    for row, name in enumerate(names):
        axis = figure.axes[row * columns]
        axis.text(-0.08, 0.5, name, transform=axis.transAxes, ha="right", va="center", fontsize=9)
    return figure


def statistics_plot(statistics: UnitStatistics, *, layer: str = "") -> Figure:
    """Dibuja las estadísticas de las unidades de una capa, ordenadas por la frecuencia con que se activan.

    Arriba, la media, la desviación típica y los extremos; abajo, la fracción de valores positivos. Una cruz marca las
    unidades muertas.

    Parameters
    ----------
    statistics
        Lo que devuelve `unit_statistics`.
    layer
        Nombre de la capa, para el título.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Examples
    --------
    >>> from convlab.activations import unit_statistics
    >>> from convlab.models.mini import Mini
    >>> figure = statistics_plot(unit_statistics(Mini(), [torch.rand(4, 3, 64, 64)], "block2.relu"))
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['activación', 'fracción positiva']
    """
    import matplotlib.pyplot as plt

    order = statistics.positive.argsort(descending=True, stable=True)
    values = {k: getattr(statistics, k)[order].cpu().numpy() for k in ("mean", "std", "max", "min", "positive", "dead")}
    places = np.arange(len(order))
    with plt.rc_context(STYLE):
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 4.2), sharex=True, layout="constrained")
        top.vlines(places, values["min"], values["max"], color="#BBBBBB", linewidth=0.8, label="mínimo a máximo")
        low, high = values["mean"] - values["std"], values["mean"] + values["std"]
        top.vlines(places, low, high, color=COLORS[0], linewidth=1.6, label="media ± desviación típica")
        top.plot(places, values["mean"], "o", color="black", markersize=2.2, linestyle="none", label="media")
        bottom.vlines(places, 0, values["positive"], color=COLORS[2], linewidth=1.4)
        dead = places[values["dead"]]
        if len(dead):
            bottom.plot(dead, np.zeros(len(dead)), "x", color="black", markersize=5, label="muertas", clip_on=False)
            bottom.legend(frameon=False, loc="upper right")
        top.axhline(0, color="black", linewidth=0.6)
        top.set_ylabel("activación")
        top.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        bottom.set_ylabel("fracción positiva")
        bottom.set_ylim(0, 1)
        bottom.set_xlabel("unidades, de la que más veces se activa a la que menos")
        title = f"{layer}: " if layer else ""
        summary = f"{title}{len(order)} unidades, {len(dead)} muertas, {statistics.images} imágenes"
        figure.suptitle(summary, fontsize=9)
        plt.close(figure)
    return figure
