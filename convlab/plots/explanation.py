"""Figuras que ponen varias explicaciones una junto a otra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from convlab.errors import ConvlabError
from convlab.plots.common import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["comparison_grid"]


def comparison_grid(
    x: Tensor, maps: Sequence[Tensor], titles: Sequence[str], signed: Sequence[bool], *, size: float = 1.25
) -> Figure:
    """Una fila por imagen y una columna por mapa, tras la imagen; con más de seis mapas, la fila se parte.

    Los mapas sin signo van de negro a amarillo, de su mínimo a su máximo; los que lo tienen, de azul a rojo, con el
    cero en blanco.

    Parameters
    ----------
    x
        Imágenes `(N, 3, H, W)` en [0, 1].
    maps
        Mapas `(N, H, W)`.
    titles, signed
        Rótulo de cada mapa, y si lleva signo.
    size
        Ancho de cada imagen, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si algún mapa no es del tamaño de las imágenes.

    Examples
    --------
    >>> x, mapa = torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8)
    >>> len(comparison_grid(x, [mapa, mapa - 0.5], ["A", "B"], [False, True]).axes)
    6
    """
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    for title, heat in zip(titles, maps, strict=True):
        if heat.shape != (len(x), *x.shape[2:]):
            raise ConvlabError(f"El mapa de «{title}» mide {tuple(heat.shape)} y se esperaba {(len(x), *x.shape[2:])}.")
    per_row = min(len(maps), 6)
    bands = -(-len(maps) // per_row)
    with plt.rc_context(STYLE):
        height = size * x.shape[2] / x.shape[3]
        figure, axes = plt.subplots(
            len(x) * bands,
            per_row + 1,
            figsize=((per_row + 1) * size, len(x) * bands * height + 0.3 * bands),
            squeeze=False,
            layout=ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.02),
        )
        for axis in axes.flat:
            axis.axis("off")
        for n, image in enumerate(x):
            axes[n * bands, 0].imshow(image.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy())
            for k, (heat, title, negative) in enumerate(zip(maps, titles, signed, strict=True)):
                axis = axes[n * bands + k // per_row, 1 + k % per_row]
                values = heat[n].detach().float().cpu().numpy()
                top = abs(values).max() or 1.0
                axis.imshow(
                    values, cmap="RdBu_r" if negative else "inferno", vmin=-top if negative else values.min(), vmax=top
                )
                if n == 0 or bands > 1:
                    axis.set_title(title)
        plt.close(figure)
    return figure
