"""Figuras de la maximización de la activación: las imágenes y la subida, con sus controles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from convlab.errors import ConvlabError
from convlab.plots.common import COLORS, STYLE, image_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["maximization_grid", "trajectory_plot"]


def maximization_grid(images: Tensor, titles: Sequence[str] = (), *, columns: int | None = None) -> Figure:
    """Cuadrícula de imágenes maximizadas, de un tamaño en que se distingue lo que hay en ellas.

    Parameters
    ----------
    images
        `(N, 3, H, W)` en [0, 1].
    titles
        Rótulos de las primeras imágenes.
    columns
        Imágenes por fila; por omisión, cuatro como mucho.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si las imágenes no son `(N, 3, H, W)`.

    Examples
    --------
    >>> len(maximization_grid(torch.rand(3, 3, 16, 16), ["a", "b", "c"]).axes)
    3
    """
    return image_grid(images, titles, columns=columns or min(4, len(images)), size=2.0)


def trajectory_plot(scores: Tensor, controls: Mapping[str, Tensor], *, ylabel: str = "activación") -> Figure:
    """La puntuación en cada paso, frente a la de imágenes que nadie ha optimizado.

    Parameters
    ----------
    scores
        `(steps, N)`, una línea por imagen: el `scores` de `convlab.maximization.optimize`.
    controls
        Nombre → puntuaciones `(M,)` de unas imágenes («ruido», «escenas», «la mejor escena»…), de `objective_score`:
        una recta en la media y una banda del mínimo al máximo.
    ylabel
        Rótulo del eje vertical.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si las puntuaciones no son `(steps, N)` o un control está vacío.

    Examples
    --------
    >>> trajectory_plot(torch.rand(10, 2).cumsum(0), {"ruido": torch.rand(5)}).axes[0].get_xlabel()
    'paso'
    """
    import matplotlib.pyplot as plt

    if scores.ndim != 2 or not scores.numel():
        raise ConvlabError(f"Se esperaban puntuaciones (steps, N) y llegó un tensor {tuple(scores.shape)}.")
    if empty := [name for name, values in controls.items() if not values.numel()]:
        raise ConvlabError(f"El control «{empty[0]}» no tiene puntuaciones. Quítalo o dale al menos una.")
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.4, 2.9), layout="constrained")
        lines = axis.plot(scores.detach().float().cpu().numpy(), color=COLORS[0], linewidth=1.3)
        lines[0].set_label("imagen maximizada")
        for k, (name, values) in enumerate(controls.items()):
            low, mean, high = (f(values.detach().float()).item() for f in (Tensor.min, Tensor.mean, Tensor.max))
            color, dashes = COLORS[1 + k % (len(COLORS) - 1)], ("--", ":", "-.")[k % 3]
            axis.axhline(mean, color=color, linestyle=dashes, linewidth=1.5, label=name)
            axis.axhspan(low, high, color=color, alpha=0.15, linewidth=0)
        axis.set_xlabel("paso")
        axis.set_ylabel(ylabel)
        axis.set_xlim(0, max(1, len(scores) - 1))
        # Al lado y no encima: las curvas pueden pasar por cualquier sitio.
        figure.legend(loc="outside right center", frameon=False)
        plt.close(figure)
    return figure
