"""Figuras de la recuperación de imágenes: cada consulta con sus vecinas, y la precisión capa a capa."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from convlab.errors import ConvlabError
from convlab.plots.common import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["neighbors_grid", "precision_by_layer_plot"]

_HIT, _MISS, _PLAIN = COLORS[2], "#D55E00", COLORS[4]


def neighbors_grid(
    queries: Tensor,
    neighbors: Tensor,
    hits: Tensor | None = None,
    *,
    titles: Sequence[Sequence[str]] = (),
    size: float = 1.2,
) -> Figure:
    """Dibuja cada consulta, a la izquierda, y sus vecinas de más a menos parecida.

    Los aciertos llevan marco verde continuo y ✓; los fallos, marco bermellón discontinuo y ✗.

    Parameters
    ----------
    queries
        Imágenes `(Q, 3, H, W)` en [0, 1].
    neighbors
        Sus vecinas, `(Q, k, 3, H, W)`.
    hits
        Booleano `(Q, k)`: si cada vecina es un acierto. Sin él no se marcan.
    titles
        Rótulos de la consulta y de sus vecinas, `k + 1` por fila.
    size
        Lado de cada imagen, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si las formas no casan.

    Examples
    --------
    >>> x = torch.rand(2, 3, 8, 8)
    >>> len(neighbors_grid(x, x[:, None], torch.tensor([[True], [False]])).axes)
    4
    """
    import matplotlib.pyplot as plt

    _check_grid(queries, neighbors, hits, titles)
    rows, columns = neighbors.shape[0], neighbors.shape[1] + 1
    height = size * queries.shape[2] / queries.shape[3] + (0.25 if titles else 0.06)
    gap = 0.25  # separa la consulta de lo que se encontró
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows,
            columns + 1,
            figsize=((columns + gap) * size, rows * height + (0 if titles else 0.25)),
            squeeze=False,
            layout="constrained",
            gridspec_kw={"width_ratios": [1, gap, *[1] * (columns - 1)]},
        )
        for i in range(rows):
            axes[i, 1].remove()
            shown = [queries[i], *neighbors[i]]
            for j, (axis, image) in enumerate(zip([axes[i, 0], *axes[i, 2:]], shown, strict=True)):
                axis.imshow(image.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy())
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(True)
                _frame(axis, None if j == 0 or hits is None else bool(hits[i, j - 1]))
                if titles:
                    axis.set_title(titles[i][j], fontsize=8)
        if not titles:
            axes[0, 0].set_title("consulta")
            axes[0, 2].set_title("más parecida")
        plt.close(figure)
    return figure


def precision_by_layer_plot(
    layers: Sequence[str],
    precision: Mapping[str, Sequence[float]],
    *,
    chance: float | None = None,
    ylabel: str = "vecinas que coinciden",
) -> Figure:
    """Dibuja qué fracción de las vecinas coincide con la consulta en cada propiedad, capa a capa.

    Parameters
    ----------
    layers
        Las capas, de la entrada a la salida.
    precision
        Propiedad («misma forma») → un valor en [0, 1] por capa.
    chance
        Lo que acertaría el azar, con una línea de puntos.
    ylabel
        Rótulo del eje vertical.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si no hay un valor por capa.

    Examples
    --------
    >>> figure = precision_by_layer_plot(["block1", "block5"], {"misma forma": [0.1, 0.9]}, chance=0.1)
    >>> len(figure.axes[0].get_lines())
    2
    """
    import matplotlib.pyplot as plt

    for name, values in precision.items():
        if len(values) != len(layers):
            raise ConvlabError(f"«{name}» tiene {len(values)} valores y hay {len(layers)} capas.")
    positions = range(len(layers))
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(0.75 * len(layers) + 1.6, 2.8), layout="constrained")
        for k, (name, values) in enumerate(precision.items()):
            axis.plot(positions, values, marker="os^Dv"[k % 5], color=COLORS[k % len(COLORS)], label=name)
        if chance is not None:
            axis.axhline(chance, color=COLORS[4], linestyle=":", label="azar")
        axis.set_xticks(positions, layers)
        axis.set_ylim(0, 1)
        axis.set_ylabel(ylabel)
        axis.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside upper center", ncols=len(precision) + (chance is not None), frameon=False)
        plt.close(figure)
    return figure


def _frame(axis: Any, hit: bool | None) -> None:
    color = _PLAIN if hit is None else _HIT if hit else _MISS
    for spine in axis.spines.values():
        spine.set(color=color, linewidth=0.8 if hit is None else 2.5, linestyle="--" if hit is False else "-")
    if hit is not None:
        box = {"boxstyle": "square,pad=0.15", "facecolor": color, "edgecolor": "none"}
        mark = "✓" if hit else "✗"
        axis.text(
            0.97, 0.97, mark, transform=axis.transAxes, ha="right", va="top", color="white", fontsize=9, bbox=box,
            fontfamily="DejaVu Sans",
        )  # fmt: skip


def _check_grid(queries: Tensor, neighbors: Tensor, hits: Tensor | None, titles: Sequence[Sequence[str]]) -> None:
    shape = tuple(neighbors.shape)
    if queries.ndim != 4 or neighbors.ndim != 5 or queries.shape[1] != 3 or shape[2] != 3 or len(queries) != shape[0]:
        raise ConvlabError(
            "Se esperaban consultas (Q, 3, H, W) y vecinas (Q, k, 3, H, W), y llegaron "
            f"{tuple(queries.shape)} y {shape}."
        )
    if hits is not None and tuple(hits.shape) != shape[:2]:
        raise ConvlabError(f"Se esperaban aciertos {shape[:2]}, uno por vecina, y llegaron {tuple(hits.shape)}.")
    if titles and (len(titles) != shape[0] or any(len(row) != shape[1] + 1 for row in titles)):
        raise ConvlabError(f"Se esperaban {shape[0]} filas de {shape[1] + 1} rótulos: la consulta y sus vecinas.")
