"""Figuras de la lección 11: exactitud, confusiones, sesgo de forma y consistencia de errores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from convlab.errors import ConvlabError
from convlab.human import Accuracy, Confusion, cue_decisions
from convlab.human.consistency import ConsistencyBounds
from convlab.human.intervals import wilson_interval
from convlab.human.trials import Trial, group_by
from convlab.plots.common import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["accuracy_curves", "confusion_plot", "consistency_plot", "shape_bias_plot"]

_MARKERS = "os^Dv"  # el color no es lo único que distingue a dos observadores


def accuracy_curves(
    curves: Mapping[str, Mapping[str, Accuracy]], *, xlabel: str = "condición", chance: float | None = None
) -> Figure:
    """Exactitud de varios observadores en cada condición, con sus intervalos.

    Si todas las condiciones son números, el eje los respeta; si no, van una tras otra.

    Parameters
    ----------
    curves
        Observador → lo que da `accuracy_by_condition` con sus ensayos.
    xlabel
        Qué mide la condición.
    chance
        Exactitud de quien responde al azar, que se marca con una línea.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si no hay observadores o son más de cinco, los que se distinguen bien.

    Examples
    --------
    >>> from convlab.human import Accuracy
    >>> curve = {"0": Accuracy(10, 9, 0.9, 0.6, 0.98), "0.2": Accuracy(10, 5, 0.5, 0.24, 0.76)}
    >>> len(accuracy_curves({"mini": curve}, xlabel="ruido").axes)
    1
    """
    import matplotlib.pyplot as plt

    _check_observers(curves)
    conditions = list(dict.fromkeys(name for curve in curves.values() for name in curve))
    position = _positions(conditions)
    span = max(position.values()) - min(position.values())
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.1), layout="constrained")
        if chance is not None:
            axis.axhline(chance, color="0.45", linestyle=":", linewidth=1)
            axis.annotate(
                "azar", (1, chance), xycoords=("axes fraction", "data"), xytext=(-2, 2), textcoords="offset points",
                ha="right", color="0.35", fontsize=8,
            )  # fmt: skip
        for k, (observer, curve) in enumerate(curves.items()):
            # Un desplazamiento mínimo: los intervalos de dos observadores no se tapan.
            shift = 0.008 * span * (k - (len(curves) - 1) / 2)
            order = sorted(curve, key=lambda name: position[name])
            values = [curve[name] for name in order]
            axis.errorbar(
                [position[name] + shift for name in order],
                [v.accuracy for v in values],
                yerr=[[v.accuracy - v.low for v in values], [v.high - v.accuracy for v in values]],
                fmt=f"{_MARKERS[k]}-", color=COLORS[k], capsize=2.5, markersize=5, linewidth=1.4, label=observer,
            )  # fmt: skip
        axis.set(xlabel=xlabel, ylabel="exactitud", ylim=(-0.02, 1.02))
        places = sorted(position.values())
        crowded = any(b - a < 0.12 * span for a, b in pairwise(places))
        axis.set_xticks(list(position.values()), conditions, rotation=45 if crowded else 0)
        axis.grid(axis="y", alpha=0.3)
        axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
        plt.close(figure)
    return figure


def confusion_plot(confusion: Confusion, *, title: str = "") -> Figure:
    """Matriz de confusión, por filas: de los ensayos de cada categoría, la fracción con cada respuesta.

    El color es la fracción; el número, los ensayos. Las celdas vacías no llevan número.

    Parameters
    ----------
    confusion
        Lo que da `confusion`.
    title
        Título de la figura.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Examples
    --------
    >>> from convlab.human import Confusion
    >>> table = Confusion(torch.tensor([[8, 2], [1, 9]]), ("gato", "pera"), ("gato", "pera"))
    >>> len(confusion_plot(table).axes)
    2
    """
    import matplotlib.pyplot as plt

    counts = confusion.counts.double().cpu()
    share = counts / counts.sum(1, keepdim=True)
    rows, columns = counts.shape
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(0.42 * columns + 2.4, 0.42 * rows + 1.5), layout="constrained")
        image = axis.imshow(share.numpy(), cmap="cividis", vmin=0, vmax=1)
        for i, j in counts.nonzero().tolist():
            axis.text(
                j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=7,
                color="black" if share[i, j] > 0.5 else "white",
            )  # fmt: skip
        axis.set_xticks(range(columns), confusion.responses, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(rows), confusion.truth)
        axis.set(xlabel="respuesta", ylabel="verdad", title=title)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        figure.colorbar(image, ax=axis, label="fracción de la fila", shrink=0.8, aspect=18)
        plt.close(figure)
    return figure


def shape_bias_plot(observers: Mapping[str, Iterable[Trial]], *, level: float = 0.95) -> Figure:
    """Sesgo de forma por categoría y en conjunto: a la izquierda manda la textura y a la derecha, la forma.

    Cada punto es una categoría (la de la forma), más grande cuantas más decisiones lo sostienen; falta si no hubo
    ninguna. Las categorías van en el orden en que aparecen. La línea vertical es el sesgo conjunto y la banda, su
    intervalo de Wilson.

    Parameters
    ----------
    observers
        Observador → sus ensayos con señales en conflicto.
    level
        Confianza de la banda.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si no hay observadores o son más de cinco, o los de `shape_bias`.

    Examples
    --------
    >>> answers = ["gato", "gato", "reloj", "pera"]
    >>> trials = [Trial("ana", str(k), "conflicto", "gato", r, "reloj") for k, r in enumerate(answers)]
    >>> len(shape_bias_plot({"ana": trials}).axes)
    1
    """
    import matplotlib.pyplot as plt

    _check_observers(observers)
    tables = {name: _by_category(trials) for name, trials in observers.items()}
    categories = list(dict.fromkeys(category for table in tables.values() for category in table))
    largest = max(n for table in tables.values() for _, n in table.values())
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 0.27 * len(categories) + 1.5), layout="constrained")
        for k, (observer, table) in enumerate(tables.items()):
            shape, n = (sum(row[i] for row in table.values()) for i in (0, 1))
            low, high = wilson_interval(shape, n, level)
            axis.axvspan(low, high, color=COLORS[k], alpha=0.18, linewidth=0)
            axis.axvline(shape / n, color=COLORS[k], linewidth=1.6)
            shift = 0.22 * (k - (len(tables) - 1) / 2)
            rows = [(categories.index(category), own / m, m) for category, (own, m) in table.items() if m]
            axis.scatter(
                [x for _, x, _ in rows], [y + shift for y, _, _ in rows], s=[14 + 40 * m / largest for _, _, m in rows],
                marker=_MARKERS[k], color=COLORS[k], edgecolors="white", linewidths=0.6, zorder=3, clip_on=False,
                label=f"{observer}: {shape / n:.2f}\n[{low:.2f}, {high:.2f}], {n} decisiones",
            )  # fmt: skip
        for y in range(1, len(categories)):
            axis.axhline(y - 0.5, color="0.9", linewidth=0.7, zorder=0)
        axis.set_yticks(range(len(categories)), categories)
        axis.set(xlim=(-0.02, 1.02), ylim=(len(categories) - 0.4, -0.6), ylabel="categoría de la forma")
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0\ntextura", "0.25", "0.5", "0.75", "1\nforma"])
        axis.set_xlabel("sesgo de forma")
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(axis="y", length=0)
        axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5), markerscale=0.9, labelspacing=1)
        plt.close(figure)
    return figure


def consistency_plot(
    values: Mapping[str, tuple[float, float, float]], bounds: Mapping[str, ConsistencyBounds]
) -> Figure:
    """Kappa de cada pareja de observadores o condición, con su intervalo, sobre el rango que sus exactitudes permiten.

    La barra gris va de la menor a la mayor kappa posible; en cero caerían dos observadores independientes.
    El intervalo puede asomar de la barra: esta supone las exactitudes medidas, que al remuestrear también cambian.

    Parameters
    ----------
    values
        Rótulo → `(kappa, bajo, alto)`.
    bounds
        Los mismos rótulos → lo que da `consistency_bounds`.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los rótulos no son los mismos, no hay ninguno o una kappa no está definida.

    Examples
    --------
    >>> from convlab.human.consistency import consistency_bounds
    >>> len(consistency_plot({"A–B": (0.2, 0.1, 0.3)}, {"A–B": consistency_bounds(0.8, 0.6)}).axes)
    1
    """
    import matplotlib.pyplot as plt

    if not values or values.keys() != bounds.keys():
        raise ConvlabError("Se esperaban los mismos rótulos, al menos uno, en `values` y en `bounds`.")
    if not torch.tensor([[*values[name], *bounds[name]] for name in values]).isfinite().all():
        raise ConvlabError("Una kappa no está definida: ambos observadores lo aciertan o lo fallan todo. Quítala.")
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.4, 0.34 * len(values) + 1.3), layout="constrained")
        for y, (name, (center, low, high)) in enumerate(values.items()):
            least, most = bounds[name].kappa_low, bounds[name].kappa_high
            axis.barh(
                y, most - least, left=least, height=0.5, color="0.88", edgecolor="0.6", linewidth=0.6,
                label=None if y else "kappas posibles",
            )  # fmt: skip
            # El intervalo puede no contener el valor, y errorbar no admite largos negativos.
            axis.plot([low, high], [y, y], color=COLORS[0], linewidth=1.8, solid_capstyle="butt")
            axis.plot([low, high], [y, y], "|", color=COLORS[0], markersize=7)
            axis.plot(center, y, "o", color=COLORS[0], markersize=5.5, label=None if y else "medida e intervalo")
        axis.axvline(0, color="0.25", linestyle="--", linewidth=1, label="errores independientes")
        axis.set_yticks(range(len(values)), list(values))
        axis.set(xlim=(-1.03, 1.03), ylim=(len(values) - 0.4, -0.6), xlabel="consistencia de errores (κ)")
        axis.tick_params(axis="y", length=0)
        figure.legend(frameon=False, loc="outside upper center", ncols=3, columnspacing=1.2)
        plt.close(figure)
    return figure


def _by_category(trials: Iterable[Trial]) -> dict[str, tuple[int, int]]:
    """Decisiones de forma, y de forma o textura, en cada categoría de la forma."""
    trials = [trial for trial in trials if trial.texture not in ("", trial.category)]
    groups = {category: cue_decisions(own) for category, own in group_by(trials, "category").items()}
    table = {category: (cues.shape, cues.shape + cues.texture) for category, cues in groups.items()}
    if not any(n for _, n in table.values()):
        raise ConvlabError("Un observador no tiene ninguna respuesta que siga la forma o la textura en conflicto.")
    return table


def _positions(conditions: Sequence[str]) -> dict[str, float]:
    try:
        numbers = [float(name.replace(",", ".")) for name in conditions]
    except ValueError:
        numbers = [float(k) for k in range(len(conditions))]
    return dict(zip(conditions, numbers, strict=True))


def _check_observers(observers: Mapping[str, object]) -> None:
    if not 1 <= len(observers) <= len(COLORS):
        raise ConvlabError(
            f"Se esperaban de uno a {len(COLORS)} observadores, que aún se distinguen, y llegaron {len(observers)}."
        )
