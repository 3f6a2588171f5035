"""Figuras que ponen varias explicaciones una junto a otra."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from convlab.errors import ConvlabError
from convlab.plots.common import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["comparison_grid"]


_WIDTH = 6.4  # pulgadas: con los puntos por pulgada de STYLE, el ancho de una página
_SATURATED = 0.01  # unos pocos píxeles enormes dejarían el resto del mapa del color del cero


def comparison_grid(x: Tensor, maps: Sequence[Tensor], titles: Sequence[str], signed: Sequence[bool]) -> Figure:
    """Cada imagen y, tras ella, sus mapas: en una fila si son cuatro o menos, y si no, en filas de cuatro dibujos.

    Los mapas sin signo van de negro a amarillo; los que lo tienen, de azul a rojo, con el cero en blanco. Cada uno
    lleva su propia escala, en la que satura el 1 % de los píxeles de mayor valor absoluto.

    Parameters
    ----------
    x
        Imágenes `(N, 3, H, W)` en [0, 1].
    maps
        Mapas `(N, H, W)`.
    titles, signed
        Rótulo de cada mapa, y si lleva signo.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si no hay mapas, falta algún rótulo o signo, o algún mapa tiene NaN o no es del tamaño de las imágenes.

    Examples
    --------
    >>> x, mapa = torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8)
    >>> len(comparison_grid(x, [mapa, mapa - 0.5], ["A", "B"], [False, True]).axes)
    6
    """
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    _check(x, maps, titles, signed)
    drawings = len(maps) + 1
    columns = drawings if drawings <= 5 else 4
    rows = -(-drawings // columns)
    titles = [textwrap.fill(title, 90 // columns) for title in ("Imagen", *titles)]
    with plt.rc_context(STYLE):
        side = min(1.6, _WIDTH / columns)
        lines = 1 + max(title.count("\n") for title in titles)
        titled = len(x) * rows if rows > 1 else 1
        height = len(x) * rows * (side * x.shape[2] / x.shape[3] + 0.06) + titled * 0.16 * lines
        figure, axes = plt.subplots(
            len(x) * rows,
            columns,
            figsize=(columns * side, height),
            squeeze=False,
            layout=ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.03),
        )
        for axis in axes.flat:
            axis.axis("off")
        for n, cells in enumerate(axes.reshape(len(x), -1)):
            cells[0].imshow(x[n].detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy())
            for axis, heat, negative in zip(cells[1:], maps, signed, strict=False):
                values = heat[n].detach().float().cpu()
                low, high = _limits(values, negative)
                axis.imshow(values.numpy(), cmap="RdBu_r" if negative else "inferno", vmin=low, vmax=high)
            if n == 0 or rows > 1:  # si cada imagen ocupa una fila, los rótulos de la primera valen para su columna
                for axis, title in zip(cells, titles, strict=False):
                    axis.set_title(title)
        plt.close(figure)
    return figure


def _limits(values: Tensor, signed: bool) -> tuple[float, float]:
    sizes = values.abs().flatten()
    kept = max(1, round((1 - _SATURATED) * len(sizes)))
    top = float(sizes.kthvalue(kept).values) or float(sizes.max()) or 1.0
    return (-top, top) if signed else (float(values.min()), top)


def _check(x: Tensor, maps: Sequence[Tensor], titles: Sequence[str], signed: Sequence[bool]) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or len(x) == 0:
        raise ConvlabError(f"Se esperaban imágenes (N, 3, H, W) y llegó un tensor {tuple(x.shape)}.")
    if not maps or not len(maps) == len(titles) == len(signed):
        raise ConvlabError(
            f"Se esperaban uno o más mapas con su rótulo y su signo, y llegaron {len(maps)} mapas, {len(titles)} "
            f"rótulos y {len(signed)} signos."
        )
    for title, heat in zip(titles, maps, strict=True):
        if heat.shape != (len(x), *x.shape[2:]):
            raise ConvlabError(f"El mapa de «{title}» mide {tuple(heat.shape)} y se esperaba {(len(x), *x.shape[2:])}.")
        if bool(heat.isnan().any()):
            raise ConvlabError(f"El mapa de «{title}» contiene NaN, que no tiene color. Revisa cómo se calculó.")
