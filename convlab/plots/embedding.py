"""Figuras de la lección 05: mapas de puntos, con una forma y un color por clase, y mapas hechos de imágenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from convlab.embedding.neighborhoods import check_labels
from convlab.embedding.points import check_points, pca
from convlab.errors import ConvlabError
from convlab.plots.common import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["misreading_plot", "perplexity_grid", "scatter", "thumbnails"]

# Las cinco primeras coinciden con las formas de Formas. Doce marcas y cinco colores no se repiten hasta la clase 60, y
# dos clases nunca comparten marca si son doce o menos: el color solo ayuda.
_MARKERS = ("o", "s", "^", "*", "P", "$♥$", "<", "D", ">", "X", "v", "h")


def scatter(
    y: Tensor, labels: Tensor | None = None, names: Sequence[str] = (), *, title: str = "", size: float = 4.5
) -> Figure:
    """Dibuja un mapa de dos o tres dimensiones, con una marca y un color por clase.

    Los ejes no llevan números: en un mapa de t-SNE no significan nada.

    Parameters
    ----------
    y
        `(N, 2)` o `(N, 3)`.
    labels
        Clases, enteros `(N,)` desde 0.
    names
        Nombre de cada clase; si se da, hay leyenda.
    title
        Título.
    size
        Lado del mapa, en pulgadas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si las formas no casan, hay más de 60 clases o faltan nombres.

    Examples
    --------
    >>> figure = scatter(torch.randn(9, 2), torch.arange(9) % 3, ["a", "b", "c"])
    >>> len(figure.axes[0].collections)
    3
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(size + (1.2 if names else 0), size), layout="constrained")
        axis = figure.add_subplot(projection="3d" if y.shape[-1] == 3 else None)
        _draw(axis, y, labels, names, area=26)
        axis.set_title(title)
        if names:
            figure.legend(loc="outside right upper", frameon=False, markerscale=1.3)
        plt.close(figure)
    return figure


def thumbnails(y: Tensor, images: Tensor, *, zoom: float = 0.045, size: float = 8.0) -> Figure:
    """Dibuja un mapa con las propias imágenes; la que taparía mucho de otra ya puesta se queda en un punto.

    Parameters
    ----------
    y
        Mapa `(N, 2)`.
    images
        `(N, 3, H, W)` en [0, 1].
    zoom
        Lado de cada imagen, como fracción del mapa.
    size
        Lado de la figura, en pulgadas.

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
    >>> from convlab.data.formas import formas
    >>> figure = thumbnails(torch.tensor([[0.0, 0.0], [0.01, 0.0], [1.0, 1.0]]), formas(3).tensor())
    >>> len(figure.axes[0].images)
    2
    """
    import matplotlib.pyplot as plt

    points = check_points(y).detach().cpu()
    if points.shape[1] != 2 or images.ndim != 4 or images.shape[:2] != (len(points), 3):
        raise ConvlabError(
            f"Se esperaban un mapa (N, 2) y sus imágenes (N, 3, H, W), y llegaron {tuple(y.shape)} y "
            f"{tuple(images.shape)}."
        )
    low, high = points.amin(0), points.amax(0)
    points = (points - (low + high) / 2) / (high - low).max().clamp(min=1e-12)  # misma escala en los dos ejes
    shown: list[int] = []
    for k, point in enumerate(points):
        if not shown or bool((points[shown] - point).abs().amax(1).min() >= 0.75 * zoom):
            shown.append(k)
    pixels = images.detach().float().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(size, size), layout="constrained")
        hidden = sorted(set(range(len(points))) - set(shown))
        axis.scatter(points[hidden, 0], points[hidden, 1], s=5, color=COLORS[-1], linewidths=0, zorder=1)
        for k in shown:
            cx, cy = points[k].tolist()
            box = (cx - zoom / 2, cx + zoom / 2, cy - zoom / 2, cy + zoom / 2)
            axis.imshow(pixels[k], extent=box, zorder=2, interpolation="antialiased")
        reach = 0.5 + zoom
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axis.axis("off")
        plt.close(figure)
    return figure


def perplexity_grid(maps: Mapping[float, Tensor], labels: Tensor | None = None, names: Sequence[str] = ()) -> Figure:
    """Compara los mapas de los mismos puntos con distintas perplejidades, en una fila.

    Parameters
    ----------
    maps
        Perplejidad → mapa `(N, 2)`, en el orden en que se dibujan.
    labels, names
        Los de `scatter`.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si no hay mapas, y los de `scatter`.

    Examples
    --------
    >>> len(perplexity_grid({5: torch.randn(9, 2), 30: torch.randn(9, 2)}).axes)
    2
    """
    titles = [f"perplejidad {perplexity:g}" for perplexity in maps]
    return _row(list(maps.values()), [labels] * len(maps), titles, names)


def misreading_plot(
    x: Tensor, y: Tensor, labels: Tensor | None = None, *, measure: str, in_data: float, in_map: float
) -> Figure:
    r"""Enfrenta los datos, vistos por sus dos primeras componentes principales, y su mapa, con lo que mide cada uno.

    Parameters
    ----------
    x
        Datos `(N, D)`.
    y
        Mapa `(N, 2)`.
    labels
        Clases, enteros `(N,)` desde 0.
    measure
        Lo que se mide: «cociente de tamaños».
    in_data, in_map
        Su valor en cada parte, que se rotula.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Los de `scatter`.

    Examples
    --------
    >>> x = torch.randn(9, 4)
    >>> figure = misreading_plot(x, x[:, :2], measure="cociente de tamaños", in_data=10, in_map=1.1)
    >>> figure.axes[0].get_title()
    'datos (PCA)\ncociente de tamaños: 10.00'
    """
    titles = [f"datos (PCA)\n{measure}: {in_data:.2f}", f"mapa\n{measure}: {in_map:.2f}"]
    return _row([pca(x, 2).scores, y], [labels, labels], titles, ())


def _row(
    maps: Sequence[Tensor], labels: Sequence[Tensor | None], titles: Sequence[str], names: Sequence[str]
) -> Figure:
    import matplotlib.pyplot as plt

    if not maps:
        raise ConvlabError("No llegó ningún mapa que dibujar.")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(maps), figsize=(2.9 * len(maps), 3.2 + (0.5 if names else 0)), squeeze=False, layout="constrained"
        )
        for k, (axis, y, title) in enumerate(zip(axes[0], maps, titles, strict=True)):
            if y.shape[-1] != 2:
                raise ConvlabError(f"Se esperaba un mapa (N, 2) y llegó {tuple(y.shape)}.")
            _draw(axis, y, labels[k], names if k == 0 else (), area=14)
            axis.set_title(title)
        if names:
            figure.legend(loc="outside lower center", ncols=min(len(names), 5), frameon=False, markerscale=1.5)
        plt.close(figure)
    return figure


def _draw(axis: Any, y: Tensor, labels: Tensor | None, names: Sequence[str], area: float) -> None:
    points = check_points(y).detach().cpu()
    if points.shape[1] not in (2, 3):
        raise ConvlabError(f"Se esperaba un mapa (N, 2) o (N, 3) y llegó {tuple(y.shape)}.")
    classes = torch.zeros(len(points), dtype=torch.int64) if labels is None else check_labels(y, labels).cpu().long()
    limit, last = len(_MARKERS) * len(COLORS), int(classes.max())
    if int(classes.min()) < 0 or last >= limit or (names and last >= len(names)):
        raise ConvlabError(
            f"Las clases deben ir de 0 a {(len(names) or limit) - 1}, porque hay {len(names) or limit} "
            f"{'nombres' if names else 'marcas distintas'}, y llegaron de {int(classes.min())} a {last}."
        )
    for k in classes.unique().tolist():
        axis.scatter(
            *points[classes == k].T,
            s=area,
            marker=_MARKERS[k % len(_MARKERS)],
            color=COLORS[k % len(COLORS)],
            edgecolors="white",
            linewidths=0.3,
            label=names[k] if names else None,
        )
    axis.set(xticks=[], yticks=[])
    if points.shape[1] == 3:
        axis.set(zticks=[])
        axis.set_box_aspect(None, zoom=1.15)  # sin rótulos en los ejes sobra margen
    axis.set_aspect("equal", adjustable="datalim")
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("#bbbbbb")
