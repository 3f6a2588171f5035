"""Figuras de la lección 06: qué fiel a la red es cada mapa."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from convlab.errors import ConvlabError, unknown_name
from convlab.human.intervals import bootstrap_interval
from convlab.occlusion import faithfulness_auc
from convlab.plots.common import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["fidelity_curves"]

_KINDS = {
    "deletion": ("píxeles borrados", "Curvas de borrado: mejor cuanto menor es el área"),
    "insertion": ("píxeles mostrados", "Curvas de aparición: mejor cuanto mayor es el área"),
}
_LINES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))  # el color no es lo único que distingue a dos mapas


def fidelity_curves(
    curves: Mapping[str, Tensor], *, kind: Literal["deletion", "insertion"] = "deletion", level: float = 0.95
) -> Figure:
    """Compara mapas por sus curvas de borrado o de aparición: la media sobre las imágenes y su intervalo.

    La banda es un intervalo *bootstrap* por percentiles de la media en cada paso: se remuestrean las imágenes, y lo que
    dice vale para imágenes como esas. El área bajo la curva media y su intervalo, también remuestreado, van en la
    leyenda. El azar es fijo: los mismos datos dan la misma figura.

    Parameters
    ----------
    curves
        De uno a cinco mapas, por su rótulo: `(N, steps + 1)`, lo que dan `deletion_curve` o `insertion_curve` con
        `per_image=True`. Todas con los mismos pasos y sobre las mismas imágenes.
    kind
        `"deletion"` si se borra, `"insertion"` si se hace aparecer.
    level
        Confianza de los intervalos, entre 0 y 1. Con una sola imagen no hay intervalo que dibujar.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si las curvas no son iguales de largas o de numerosas, contienen NaN o son demasiadas para distinguirlas, o si
        `kind` o `level` no valen.

    References
    ----------
    Petsiuk, Das y Saenko, «RISE», BMVC 2018.

    Examples
    --------
    >>> steps = torch.linspace(1, 0, 21)
    >>> curves = {"Grad-CAM": steps**3 + torch.zeros(8, 1), "azar": steps + torch.zeros(8, 1)}
    >>> [text.get_text() for text in fidelity_curves(curves).axes[0].get_legend().get_texts()]
    ['Grad-CAM: 0,25 [0,25; 0,25]', 'azar: 0,50 [0,50; 0,50]']
    """
    import matplotlib.pyplot as plt

    if kind not in _KINDS:
        raise unknown_name("la curva", kind, _KINDS)
    _check(curves)
    pixels, title = _KINDS[kind]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
        for k, (name, values) in enumerate(curves.items()):
            exact = values.detach().cpu().double()
            mean = exact.mean(0)
            percent = torch.linspace(0, 100, exact.shape[1])
            label = f"{name}: {_number(float(faithfulness_auc(mean)))}"
            if len(exact) > 1:
                low, high = zip(*(_interval(column, level) for column in exact.T), strict=True)
                axis.fill_between(percent, low, high, color=COLORS[k], alpha=0.15, linewidth=0)
                least, most = _interval(faithfulness_auc(exact), level)
                label += f" [{_number(least)}; {_number(most)}]"
            axis.plot(percent, mean, label=label, color=COLORS[k], linestyle=_LINES[k])
        axis.set(title=title, xlim=(0, 100), ylabel="respuesta de la red")
        axis.set_xlabel(f"{pixels} (%), del más al menos importante")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, title=f"área [intervalo del {100 * level:g} %]" if len(exact) > 1 else "área")
        plt.close(figure)
    return figure


def _interval(values: Tensor, level: float) -> tuple[float, float]:
    return bootstrap_interval(values, lambda v: v.mean(-1), 1000, level, torch.Generator().manual_seed(0))


def _number(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def _check(curves: Mapping[str, Tensor]) -> None:
    if not 1 <= len(curves) <= len(COLORS):
        raise ConvlabError(
            f"Se esperaban de una a {len(COLORS)} curvas, que aún se distinguen, y llegaron {len(curves)}."
        )
    shape = next(iter(curves.values())).shape
    for name, values in curves.items():
        if values.ndim != 2 or len(values) == 0 or values.shape[1] < 2:
            raise ConvlabError(
                f"Las curvas de «{name}» deben ser (N, steps + 1), una por imagen, y llegó un tensor "
                f"{tuple(values.shape)}. Pídelas con per_image=True."
            )
        if values.shape != shape:
            raise ConvlabError(
                f"Las curvas de «{name}» son {tuple(values.shape)} y las primeras, {tuple(shape)}. Compara mapas de "
                "las mismas imágenes y con los mismos pasos."
            )
        if bool(values.isnan().any()):
            raise ConvlabError(f"Las curvas de «{name}» contienen NaN. Revisa el modelo y las imágenes.")
