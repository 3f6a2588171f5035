"""Figuras de la lección 02: bancos de filtros, sintonías, espectros y crecimiento.

El cero es siempre el centro de la escala: gris en los filtros en color, blanco en los mapas con signo, donde el azul
es negativo y el rojo positivo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.filters import FilterGrowth, normalize_filters, orientation_tuning
from convlab.filters.banks import SignedPairs, check_bank
from convlab.plots.common import COLORS, STYLE
from convlab.plots.spectra import spectrum_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["filter_grid", "growth_plot", "signed_pairs_plot", "spectrum_plot", "tuning_plot"]


def filter_grid(weight: Tensor, *, columns: int = 8, size: float = 0.6) -> Figure:
    """Dibuja un banco de filtros con una sola escala y el cero en el centro.

    Si los filtros tienen tres canales se ven en color, `columns` por fila. Si no, hay una fila por filtro y una
    columna por canal de entrada, con color según el signo; elige antes los filtros y canales que quieras ver, por
    ejemplo `weight[:8, :16]`.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.
    columns
        Filtros por fila, si tienen tres canales.
    size
        Lado de cada filtro, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los filtros no son `(O, C, kh, kw)`.

    Examples
    --------
    >>> figure = filter_grid(torch.randn(16, 3, 7, 7))
    >>> figure.axes[0].get_images()[0].get_array().shape  # 2 filas de 8, con un píxel de separación
    (17, 65, 4)
    """
    import matplotlib.pyplot as plt

    check_bank(weight)
    count, channels = weight.shape[:2]
    color = channels == 3
    tiles = _rgba(weight).flatten(0, -4) if not color else _rgba(weight)
    columns = min(columns, count) if color else channels
    rows = math.ceil(len(tiles) / columns)
    ratio = weight.shape[2] / weight.shape[3]
    with plt.rc_context(STYLE):
        extent = columns * size + (0.5 if color else 1.1), rows * size * ratio + (0.1 if color else 0.5)
        figure, axis = plt.subplots(figsize=extent, layout="constrained")
        axis.imshow(_mosaic(tiles, columns), interpolation="nearest")
        height, width = weight.shape[2] + 1, weight.shape[3] + 1
        middles = [row * height + height / 2 - 0.5 for row in range(rows)]
        axis.set_yticks(middles, [str(row * columns if color else row) for row in range(rows)])
        if color:
            axis.set_xticks([])
        else:
            every = max(1, columns // 16)
            shown = range(0, columns, every)
            axis.set_xticks([c * width + width / 2 - 0.5 for c in shown], [str(c) for c in shown])
            axis.set_xlabel("canal de entrada")
            axis.set_ylabel("filtro")
            _scale_bar(figure, axis, float(weight.detach().abs().amax()))
        _bare(axis)
        plt.close(figure)
    return figure


def tuning_plot(weight: Tensor, units: Sequence[int] = (0, 1, 2, 3)) -> Figure:
    """Unos filtros y, debajo, su sintonía de orientación en coordenadas polares.

    El radio es la energía de la respuesta, relativa a su máximo en cada filtro. Los lóbulos señalan la orientación de
    las barras que prefiere, tal como se ven: se alargan en la dirección de las bandas del filtro. Un filtro sin
    orientación, o uno de color, que apenas responde a rejillas grises, da una figura sin lóbulos claros.

    Parameters
    ----------
    weight
        Filtros cuadrados `(O, C, k, k)`; en color si tienen tres canales y, si no, la suma de sus canales.
    units
        Los filtros que se dibujan.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los filtros no son cuadrados o algún índice no existe.

    Examples
    --------
    >>> len(tuning_plot(torch.randn(5, 3, 7, 7), units=[0, 4]).axes)
    4
    """
    import matplotlib.pyplot as plt

    check_bank(weight)
    if not units or any(not 0 <= unit < len(weight) for unit in units):
        raise ConvlabError(f"Los filtros van de 0 a {len(weight) - 1} y se pidió {list(units)}.")
    chosen = weight[list(units)].detach().float()
    angles = torch.linspace(0, 2 * math.pi, 181, device=weight.device)
    tuning = orientation_tuning(chosen, angles)
    tuning = (tuning / tuning.amax(1, keepdim=True).clamp(min=torch.finfo(tuning.dtype).tiny)).cpu()
    pictures = _rgba(chosen if chosen.shape[1] == 3 else chosen.sum(1, keepdim=True)).flatten(0, -4)
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(1.55 * len(units) + 0.2, 3.2), layout="constrained")
        for k, unit in enumerate(units):
            axis = figure.add_subplot(2, len(units), k + 1)
            axis.imshow(pictures[k].permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set_title(f"filtro {unit}")
            axis.axis("off")
            polar: Any = figure.add_subplot(2, len(units), len(units) + k + 1, projection="polar")
            polar.plot(angles.cpu().numpy(), tuning[k].numpy(), color=COLORS[0])
            polar.fill(angles.cpu().numpy(), tuning[k].numpy(), color=COLORS[0], alpha=0.25)
            polar.set_ylim(0, 1)
            polar.set_yticks([0.5, 1], ["", ""])
            polar.set_xticks([k * math.pi / 4 for k in range(8)], ["0°", "45°", "90°", "135°", "", "", "", ""])
            polar.tick_params(labelsize=7, pad=-2)
        plt.close(figure)
    return figure


def growth_plot(growth: FilterGrowth, units: Sequence[int] = (0, 1, 2, 3, 4, 5)) -> Figure:
    """Los filtros a lo largo del entrenamiento: unos cuantos dibujados en cada paso, y sus medidas debajo.

    Cada paso se dibuja con su propia escala, porque la norma cambia mucho. Las líneas son la mediana de todos los
    filtros y la banda va del primer cuartil al tercero. El eje de pasos es logarítmico, con el 0 añadido.

    Parameters
    ----------
    growth
        Lo que devuelve `filter_growth`, con filtros de tres canales o de uno.
    units
        Los filtros que se dibujan.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si algún índice no existe.

    Examples
    --------
    >>> from convlab.filters import filter_growth
    >>> from convlab.models.mini import Mini
    >>> len(growth_plot(filter_growth({0: Mini(), 10: Mini()}, "block1.conv")).axes)
    4
    """
    import matplotlib.pyplot as plt

    count = growth.filters.shape[1]
    if not units or any(not 0 <= unit < count for unit in units):
        raise ConvlabError(f"Los filtros van de 0 a {count - 1} y se pidió {list(units)}.")
    chosen = growth.filters[:, list(units)].float()
    if chosen.shape[2] != 3:
        chosen = chosen.sum(2, keepdim=True)
    film = torch.stack([_rgba(bank).flatten(0, -4) for bank in chosen])  # (pasos, filtros, 4, kh, kw)
    height, width = film.shape[3] + 1, film.shape[4] + 1
    measures = {
        "parecido al final\n(coseno)": growth.similarity,
        "energía en\nfrecuencias bajas": growth.low_frequency_share,
        "norma": growth.norm,
    }
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(6.8, 0.5 * len(units) + 2.5), layout="constrained")
        halves: Any = figure.subfigures(2, 1, height_ratios=(0.5 * len(units) + 0.3, 2.2))
        top, bottom = halves
        axis = top.subplots()
        axis.imshow(_mosaic(film.transpose(0, 1).flatten(0, 1), len(film)), interpolation="nearest")
        steps = [str(step) for step in growth.steps]
        axis.set_xticks([k * width + width / 2 - 0.5 for k in range(len(film))], steps)
        axis.set_yticks([k * height + height / 2 - 0.5 for k in range(len(units))], [str(u) for u in units])
        axis.set_ylabel("filtro")
        _bare(axis)
        for axis, (name, values) in zip(bottom.subplots(1, 3), measures.items(), strict=True):
            known = values.float().cpu()
            low, middle, high = known.nanquantile(torch.tensor([0.25, 0.5, 0.75]), 1).numpy()
            axis.fill_between(growth.steps, low, high, color=COLORS[0], alpha=0.2, linewidth=0)
            axis.plot(growth.steps, middle, "o-", color=COLORS[0], markersize=3)
            axis.set_xscale("symlog", linthresh=max(1, min([s for s in growth.steps if s > 0], default=1)))
            axis.set_title(name)
            axis.grid(alpha=0.3)
        bottom.supxlabel("paso del entrenamiento", fontsize=9)
        plt.close(figure)
    return figure


def signed_pairs_plot(pairs: SignedPairs) -> Figure:
    """Los núcleos que más excitan una unidad, arriba, y los que más la inhiben, abajo, con una sola escala.

    Cada núcleo lleva el número de su canal y la suma de sus pesos.

    Parameters
    ----------
    pairs
        Lo que devuelve `signed_pairs`.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Examples
    --------
    >>> from convlab.filters import signed_pairs
    >>> len(signed_pairs_plot(signed_pairs(torch.randn(2, 9, 3, 3), unit=1, k=3)).axes)
    7
    """
    import matplotlib.pyplot as plt

    rows = (
        ("excitan", pairs.positive, pairs.positive_sums, pairs.positive_kernels),
        ("inhiben", pairs.negative, pairs.negative_sums, pairs.negative_kernels),
    )
    columns = max(len(pairs.positive), len(pairs.negative), 1)
    kernels = torch.cat([pairs.positive_kernels, pairs.negative_kernels])
    largest = float(kernels.abs().amax()) if len(kernels) else 1.0
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, columns, figsize=(1.0 * columns + 1.3, 2.9), squeeze=False, layout="constrained")
        for line, (name, channels, sums, found) in zip(axes, rows, strict=True):
            line[0].set_ylabel(name)
            for k, axis in enumerate(line):
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
                if k < len(channels):
                    axis.imshow(found[k].float().cpu().numpy(), cmap=_SIGNED, vmin=-largest, vmax=largest)
                    sum_text = f"{float(sums[k]):+.2f}".replace("-", "−")
                    axis.set_title(f"canal {int(channels[k])}\n{sum_text}", fontsize=8)
        _scale_bar(figure, axes.ravel().tolist(), largest)
        plt.close(figure)
    return figure


_SIGNED = "RdBu_r"


def _rgba(weight: Tensor) -> Tensor:
    """Filtros en color, `(O, 4, kh, kw)`; si no tienen tres canales, uno por canal, `(O, C, 4, kh, kw)`."""
    from matplotlib import colormaps

    shown = normalize_filters(weight.detach().float()).cpu()
    if shown.shape[1] == 3:
        return torch.cat([shown, torch.ones_like(shown[:, :1])], 1)
    colors: Any = colormaps[_SIGNED](shown.numpy())
    return torch.from_numpy(colors).float().movedim(-1, 2)


def _mosaic(tiles: Tensor, columns: int) -> Any:
    """Pone las piezas `(N, 4, h, w)` en cuadrícula, con un píxel transparente entre ellas: `(H, W, 4)`."""
    missing = -len(tiles) % columns
    tiles = F.pad(tiles, (1, 0, 1, 0, 0, 0, 0, missing))
    rows = tiles.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2)
    return F.pad(rows.flatten(2, 3).flatten(0, 1), (0, 0, 0, 1, 0, 1)).numpy()


def _scale_bar(figure: Figure, axes: Any, largest: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(ScalarMappable(Normalize(-largest, largest), _SIGNED), ax=axes, shrink=0.9, aspect=15)
    bar.set_label("peso")


def _bare(axis: Any) -> None:
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
