"""Figuras de los capítulos que se escriben solas a partir del catálogo de errores de un ejercicio.

Vive junto a los capítulos porque sus cuadernos se ejecutan en esta carpeta.
"""

from __future__ import annotations

import base64
import copy
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown
from matplotlib.axes import Axes
from torch import Tensor

from convlab.exercises import Exercise, Misconception
from convlab.exercises.compare import same
from convlab.exercises.footprint import TRACES, Footprint, restored
from convlab.exercises.values import plain
from convlab.plots import STYLE

Draw = Callable[[Axes, Any], None]
"""Dibuja un resultado en un panel."""


@dataclass(frozen=True)
class Situation:
    """Unos argumentos con los que enseñar un error; `images` `(N, 3, H, W)`, si las hay, se enseñan con su rótulo."""

    label: str
    arguments: tuple[Any, ...]
    images: Tensor | None = None


def misconception_list(exercises: Iterable[Exercise]) -> Markdown:
    """Los errores de varios ejercicios, sin figura: un recuadro plegado por ejercicio, con cada diagnóstico."""
    boxes = []
    for exercise in exercises:
        items = "\n\n".join(f"**{m.title}.** {m.diagnosis}" for m in exercise.misconceptions.values())
        boxes.append(f":::{{admonition}} `{exercise.name}`: {exercise.title}\n:class: dropdown\n\n{items}\n:::")
    return Markdown("\n\n".join(boxes))


def draw_heat(axis: Axes, result: Any) -> None:
    """Un mapa `(H, W)` con su escala."""
    shown = axis.imshow(result.float().numpy(), cmap="inferno")
    axis.axis("off")
    axis.figure.colorbar(shown, ax=axis, fraction=0.046).ax.tick_params(labelsize=7)


def misconception_boxes(exercise: Exercise, situations: Sequence[Situation], draw: Draw = draw_heat) -> Markdown:
    """Un recuadro por error de `exercise`: el diagnóstico y, lado a lado, el resultado correcto y el equivocado.

    Todo se calcula aquí. De cada error se enseña la primera situación, y la primera imagen de su lote, en la que el
    resultado no es el correcto; si lo es en todas, se enseña qué huella deja. Cada panel lleva su escala, porque varios
    errores no cambian el dibujo sino los números.
    """
    boxes = []
    for wrong in exercise.misconceptions.values():
        picture, alt, note = _evidence(exercise, wrong, situations, draw)
        boxes.append(
            f":::{{admonition}} {wrong.title}\n:class: error-frecuente\n\n{wrong.diagnosis}\n\n"
            f"![{alt}](data:image/png;base64,{picture})\n\n{note}\n:::"
        )
    return Markdown("\n\n".join(boxes))


def _evidence(
    exercise: Exercise, wrong: Misconception, situations: Sequence[Situation], draw: Draw
) -> tuple[str, str, str]:
    """La figura, su texto alternativo y, si hace falta, una frase sobre lo que la figura no enseña."""
    for case in situations:
        right = _call(exercise.reference, case)
        left = f"La imagen («{case.label}»); después, el" if case.images is not None else "El"
        try:
            found = _call(wrong.function, case)
        except Exception as error:
            name = type(error).__name__
            alt = f"{left} resultado correcto; en lugar del resultado con el error, «{name}»."
            return _png(case, 0, right, None, name, draw), alt, f"PyTorch dice: `{error}`"
        if not same(plain(found), plain(right), 1e-4):
            n = _first_different(found, right)
            alt = f"{left} resultado correcto{_range(right, n)}; y el del error{_range(found, n)}."
            return _png(case, n, right, found, "con el error", draw), alt, ""
    first = situations[0]
    right = _call(exercise.reference, first)
    traces = _traces(wrong, first)
    assert traces, f"ninguna situación enseña el error «{wrong.title}»"
    alt = "Dos resultados iguales, el correcto y el de la función con el error: la diferencia no se ve."
    note = "El resultado es idéntico. La comprobación mira además lo que queda: " + " ".join(TRACES[t] for t in traces)
    return _png(first, 0, right, right, "con el error: igual", draw), alt, note


def _call(function: Callable[..., Any], case: Situation) -> Any:
    """El resultado, sin grafo y sin que un error deje los argumentos cambiados para el siguiente."""
    with restored():
        found = function(*copy.deepcopy(case.arguments))
    return found.detach() if isinstance(found, Tensor) else found


def _traces(wrong: Misconception, case: Situation) -> list[str]:
    """Lo que la función deja en una copia de los argumentos."""
    arguments = copy.deepcopy(case.arguments)
    before = Footprint(arguments)
    with restored():  # que al salir devuelve lo global a su sitio: las huellas se miran dentro
        returned = wrong.function(*arguments)
        return before.traces(returned)


def _first_different(found: Any, right: Any) -> int:
    if not isinstance(found, Tensor) or found.shape != right.shape or found.ndim < 2:
        return 0
    gaps = (found.double() - right.double()).abs().nan_to_num(nan=torch.inf).flatten(1).amax(1)
    return int((gaps > 1e-4 * right.double().abs().max()).nonzero()[0])


def _panel(result: Any, n: int, case: Situation) -> Any:
    """Lo de la imagen `n`, si el resultado va por imágenes."""
    batched = case.images is not None and isinstance(result, Tensor) and result.ndim > 1
    return result[n] if batched and len(result) == len(case.images) else result  # type: ignore[arg-type]


def _range(result: Any, n: int) -> str:
    if not isinstance(result, Tensor) or result.dtype == torch.bool or not result.numel():
        return ""
    part = result[n] if result.ndim > 1 else result
    return f", con valores de {part.min():.2g} a {part.max():.2g}"


def _png(case: Situation, n: int, right: Any, wrong: Any, title: str, draw: Draw) -> str:
    panels = 2 if case.images is None else 3
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, panels, figsize=(2.15 * panels, 1.9), layout="constrained")
        if case.images is not None:
            axes[0].imshow(case.images[n].permute(1, 2, 0).clamp(0, 1).numpy())
            axes[0].set_title(case.label)
            axes[0].axis("off")
        for axis, result, name in ((axes[-2], right, "correcto"), (axes[-1], wrong, title)):
            axis.set_title(name)
            if result is None:
                axis.text(0.5, 0.5, "sin resultado", ha="center", va="center", transform=axis.transAxes)
                axis.set_aspect("equal")
                axis.axis("off")
                continue
            try:
                draw(axis, _panel(result, n, case))
            except (TypeError, ValueError, AttributeError, IndexError):  # un error puede cambiar hasta la forma
                axis.text(0.5, 0.5, "otra forma", ha="center", va="center", transform=axis.transAxes)
                axis.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160)
        plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
