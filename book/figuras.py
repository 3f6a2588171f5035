"""Figuras de los capítulos que se escriben solas a partir del catálogo de errores de un ejercicio.

Vive junto a los capítulos porque sus cuadernos se ejecutan en esta carpeta.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import matplotlib.pyplot as plt
from IPython.display import Markdown
from torch import Tensor, nn

from convlab.exercises import Exercise
from convlab.plots import STYLE


def misconception_boxes(
    exercise: Exercise, right: Callable, model: nn.Module, x: Tensor, target: Tensor, layer: str
) -> Markdown:
    """Un recuadro por error de `exercise`: el diagnóstico y, lado a lado, el mapa correcto y el equivocado.

    Todos se calculan aquí, con la misma red y las mismas imágenes; cada mapa lleva su escala de valores, porque
    varios errores no cambian el dibujo sino los números.
    """
    expected = right(model, x, target, layer)
    boxes = []
    for wrong in exercise.misconceptions.values():
        found = wrong.function(model, x, target, layer).detach()
        picture = _png(x[0], expected[0], found[0])
        alt = (
            "Tres paneles: la imagen, "
            f"el mapa correcto, con valores de {expected[0].min():.2g} a {expected[0].max():.2g}, "
            f"y el mapa del error «{wrong.title}», con valores de {found[0].min():.2g} a {found[0].max():.2g}."
        )
        boxes.append(
            f":::{{admonition}} {wrong.title}\n:class: error-frecuente\n\n{wrong.diagnosis}\n\n"
            f"![{alt}](data:image/png;base64,{picture})\n:::"
        )
    return Markdown("\n\n".join(boxes))


def _png(image: Tensor, right: Tensor, wrong: Tensor) -> str:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(6.4, 1.9), layout="constrained")
        axes[0].imshow(image.permute(1, 2, 0).numpy())
        axes[0].set_title("imagen")
        for axis, heat, title in ((axes[1], right, "correcto"), (axes[2], wrong, "con el error")):
            shown = axis.imshow(heat.float().numpy(), cmap="inferno")
            axis.set_title(title)
            bar = figure.colorbar(shown, ax=axis, fraction=0.046)
            bar.ax.tick_params(labelsize=7)
        for axis in axes:
            axis.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
