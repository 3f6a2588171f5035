"""Figuras de los capítulos que se escriben solas a partir del catálogo de errores de un ejercicio.

Vive junto a los capítulos porque sus cuadernos se ejecutan en esta carpeta.
"""

from __future__ import annotations

import base64
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from IPython.display import Markdown
from torch import Tensor, nn

from convlab.exercises import Exercise, Misconception
from convlab.exercises.footprint import TRACES, Footprint, restored
from convlab.plots import STYLE


@dataclass(frozen=True)
class Situation:
    """Unas entradas con las que enseñar un error: `label` es el rótulo de la imagen."""

    label: str
    model: nn.Module
    x: Tensor
    target: Tensor
    layer: str


def misconception_boxes(exercise: Exercise, situations: Sequence[Situation]) -> Markdown:
    """Un recuadro por error de `exercise`: el diagnóstico y, lado a lado, el mapa correcto y el equivocado.

    Todo se calcula aquí. De cada error se enseña la primera situación, y la primera imagen de su lote, en la que el
    resultado no es el correcto; si lo es en todas, se enseña qué huella deja. Cada mapa lleva su escala, porque varios
    errores no cambian el dibujo sino los números.
    """
    boxes = []
    for wrong in exercise.misconceptions.values():
        picture, alt, note = _evidence(exercise, wrong, situations)
        boxes.append(
            f":::{{admonition}} {wrong.title}\n:class: error-frecuente\n\n{wrong.diagnosis}\n\n"
            f"![{alt}](data:image/png;base64,{picture})\n\n{note}\n:::"
        )
    return Markdown("\n\n".join(boxes))


def _evidence(exercise: Exercise, wrong: Misconception, situations: Sequence[Situation]) -> tuple[str, str, str]:
    """La figura, su texto alternativo y, si hace falta, una frase sobre lo que la figura no enseña."""
    for case in situations:
        right = exercise.reference(case.model, case.x, case.target, case.layer)
        with restored():
            try:
                found = wrong.function(case.model, case.x, case.target, case.layer).detach()
            except RuntimeError as error:
                name = type(error).__name__
                alt = f"La imagen ({case.label}), el mapa correcto y, en lugar del mapa con el error, «{name}»."
                return _png(case.label, case.x[0], right[0], None, name), alt, f"PyTorch dice: `{error}`"
        differs = (found - right).abs().amax((1, 2)) > 1e-4 * right.abs().max()
        if bool(differs.any()):
            n = int(differs.nonzero()[0])
            alt = (
                f"Tres paneles: la imagen ({case.label}); el mapa correcto, con valores de {right[n].min():.2g} a "
                f"{right[n].max():.2g}; y el mapa con el error, de {found[n].min():.2g} a {found[n].max():.2g}."
            )
            return _png(case.label, case.x[n], right[n], found[n], "con el error"), alt, ""
    first = situations[0]
    right = exercise.reference(first.model, first.x, first.target, first.layer)
    traces = _traces(wrong, first)
    assert traces, f"ninguna situación enseña el error «{wrong.title}»"
    alt = "La imagen y dos mapas iguales, el correcto y el que da la función con el error: la diferencia no se ve."
    note = "El mapa es idéntico. La comprobación mira además lo que queda: " + " ".join(TRACES[t] for t in traces)
    return _png(first.label, first.x[0], right[0], right[0], "con el error: igual"), alt, note


def _traces(wrong: Misconception, case: Situation) -> list[str]:
    """Lo que la función deja en una copia de la red."""
    model = copy.deepcopy(case.model)
    before = Footprint((model, case.x))
    with restored():
        wrong.function(model, case.x, case.target, case.layer)
    return before.traces()


def _png(label: str, image: Tensor, right: Tensor, wrong: Tensor | None, title: str) -> str:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(6.4, 1.9), layout="constrained")
        axes[0].imshow(image.permute(1, 2, 0).numpy())
        axes[0].set_title(label)
        for axis, heat, name in ((axes[1], right, "correcto"), (axes[2], wrong, title)):
            axis.set_title(name)
            if heat is None:
                axis.text(0.5, 0.5, "sin mapa", ha="center", va="center", transform=axis.transAxes)
                axis.set_aspect("equal")
                continue
            shown = axis.imshow(heat.float().numpy(), cmap="inferno")
            bar = figure.colorbar(shown, ax=axis, fraction=0.046)
            bar.ax.tick_params(labelsize=7)
        for axis in axes:
            axis.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
