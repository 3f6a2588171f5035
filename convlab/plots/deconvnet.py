"""Figuras de la lección 08: la imagen, el trozo que mira la unidad y lo que de él reconstruye cada regla."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.plots.common import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["reconstruction_grid", "signed_rgb"]

NAMES = {"backprop": "gradiente", "deconvnet": "DeconvNet", "guided": "guiada"}
"""Cómo se rotula cada regla."""


def signed_rgb(maps: Tensor) -> Tensor:
    """Señales con signo como colores: el cero, gris medio; más claro, positivo; más oscuro, negativo.

    Cada imagen se divide por su mayor valor absoluto, uno para los tres canales: el color es comparable dentro de una
    imagen, no entre dos.

    Parameters
    ----------
    maps
        Señales `(N, 3, H, W)`.

    Returns
    -------
    Tensor
        `(N, 3, H, W)` en [0, 1], al menos float32; una señal nula queda gris.

    Raises
    ------
    ConvlabError
        Si no es `(N, 3, H, W)` o contiene NaN o infinitos.

    Examples
    --------
    >>> signed_rgb(torch.tensor([-2.0, 0.0, 1.0]).view(1, 3, 1, 1)).flatten()
    tensor([0.0000, 0.5000, 0.7500])
    """
    if maps.ndim != 4 or maps.shape[1] != 3:
        raise ConvlabError(f"Se esperaban señales (N, 3, H, W) y llegó un tensor {tuple(maps.shape)}.")
    maps = maps.detach().to(torch.promote_types(maps.dtype, torch.float32))
    if not bool(maps.isfinite().all()):
        raise ConvlabError("La señal contiene NaN o infinitos, que no tienen color. Revisa el cálculo que la produjo.")
    peak = maps.abs().amax((1, 2, 3), keepdim=True)
    return 0.5 + 0.5 * maps / torch.where(peak > 0, peak, 1)


def reconstruction_grid(
    x: Tensor, maps: Mapping[str, Tensor], titles: Sequence[str] = (), *, size: float = 1.2
) -> Figure:
    """Una columna por imagen: la imagen con su recuadro, el recuadro ampliado y la reconstrucción de cada regla.

    El recuadro contiene todo lo que alguna regla pinta (a lo sumo, el campo receptivo de la unidad) y es del mismo
    tamaño en todas las imágenes. Cada reconstrucción lleva su propia escala, la de `signed_rgb`.

    Parameters
    ----------
    x
        Imágenes `(N, 3, H, W)` en [0, 1].
    maps
        Regla → señales `(N, 3, H, W)`, como las de `deconvnet`; el nombre de la regla rotula la fila.
    titles
        Rótulos de las primeras columnas.
    size
        Lado de cada imagen, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`: se muestra una sola vez, como último valor de la celda.

    Raises
    ------
    ConvlabError
        Si no hay señales o su forma no es la de las imágenes.

    Examples
    --------
    >>> from convlab.data.formas import formas
    >>> from convlab.deconvnet import deconvnet
    >>> from convlab.models.mini import Mini
    >>> x, red = formas(4).tensor(), Mini()
    >>> figure = reconstruction_grid(x, {r: deconvnet(red, x, "block3", 7, rule=r) for r in ("deconvnet", "guided")})
    >>> len(figure.axes)  # imagen, recuadro y dos reglas, por cuatro imágenes
    16
    """
    import matplotlib.pyplot as plt  # tarda medio segundo: solo lo paga quien dibuja
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Rectangle

    if x.ndim != 4 or x.shape[1] != 3 or not maps or any(m.shape != x.shape for m in maps.values()):
        shapes = ", ".join(f"«{name}» {tuple(m.shape)}" for name, m in maps.items()) or "ninguna"
        raise ConvlabError(
            f"Se esperaban imágenes (N, 3, H, W) y señales de la misma forma, y llegaron {tuple(x.shape)} y {shapes}."
        )
    corners, (height, width) = _boxes(torch.stack([(m != 0).any(1) for m in maps.values()]).any(0))
    rows = {"recuadro": x.detach().float().clamp(0, 1)} | {NAMES.get(r, r): signed_rgb(m) for r, m in maps.items()}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows) + 1,
            len(x),
            figsize=(len(x) * size + 0.3, (len(rows) + 1) * size + (0.22 if titles else 0)),
            squeeze=False,
            layout=ConstrainedLayoutEngine(h_pad=0.02, w_pad=0.02),
        )
        for axis, label in zip(axes[:, 0], ["imagen", *rows], strict=True):
            axis.set_ylabel(label)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for k, (top, left) in enumerate(corners):
            axes[0, k].imshow(rows["recuadro"][k].permute(1, 2, 0).cpu().numpy())
            # Dos trazos, blanco sobre negro: se ve sobre cualquier fondo.
            for color, line in (("black", 2.4), ("white", 1.0)):
                corner = left - 0.5, top - 0.5
                axes[0, k].add_patch(Rectangle(corner, width, height, fill=False, edgecolor=color, linewidth=line))
            for axis, images in zip(axes[1:, k], rows.values(), strict=True):
                patch = images[k, :, top : top + height, left : left + width]
                axis.imshow(patch.permute(1, 2, 0).cpu().numpy())
        for axis, title in zip(axes[0], titles, strict=False):
            axis.set_title(title)
        plt.close(figure)
    return figure


def _boxes(painted: Tensor) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Esquinas y tamaño común de los recuadros, centrados en lo pintado y dentro de la imagen."""
    limits = tuple(painted.shape[1:])
    spans = []
    for one in painted.cpu():
        where = one.nonzero()
        edges = torch.stack([where.amin(0), where.amax(0) + 1]) if len(where) else torch.tensor([limits, limits]) // 2
        spans.append(edges)
    low, high = torch.stack(spans).unbind(1)
    side = max(int((high - low).max()), 1)
    height, width = (min(side, limit) for limit in limits)
    corners = (low + high - torch.tensor([height, width])) // 2
    corners = corners.clamp(min=torch.tensor([0, 0]), max=torch.tensor(limits) - torch.tensor([height, width]))
    return [(top, left) for top, left in corners.tolist()], (height, width)
