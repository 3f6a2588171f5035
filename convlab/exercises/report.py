"""De los veredictos a los puntos, y de los puntos a un mensaje que enseñe."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TYPING = {True: ("Mismo tipo y dispositivo que la entrada", 0.5), False: ("Devuelve el tipo que se pide", 0.5)}
CLEAN = ("No deja huellas", 1.0)


@dataclass(frozen=True)
class Verdict:
    """Lo que se decide de un caso: si el valor es correcto y, aparte, el tipo y las huellas."""

    passed: bool
    message: str = ""
    typing: str = ""
    traces: tuple[str, ...] = ()


@dataclass(frozen=True)
class PropertyResult:
    """Una propiedad comprobada: los puntos que da, los que daba y por qué."""

    name: str
    points: float
    max_points: float
    passed: bool
    message: str = ""


@dataclass(frozen=True)
class Report:
    """El resultado de una comprobación.

    Attributes
    ----------
    exercise
        Su identificador.
    max_score
        Los puntos que había en juego.
    properties
        Cada propiedad, en orden.
    diagnosis
        El nombre del error del catálogo que lo explica todo, si lo hay.
    message
        Lo que lee el estudiante. La primera línea es lo más importante.
    """

    exercise: str
    max_score: float
    properties: tuple[PropertyResult, ...]
    diagnosis: str | None = None
    message: str = ""

    @property
    def score(self) -> float:
        """Los puntos conseguidos, con dos decimales."""
        return float(self.max_score if self.passed else round(sum(p.points for p in self.properties), 2))

    @property
    def passed(self) -> bool:
        """Si se cumplen todas las propiedades."""
        return all(p.passed for p in self.properties)


def score_properties(
    groups: Sequence[tuple[str, float, Sequence[Verdict]]],
    explanations: Mapping[str, str],
    max_score: float,
    tensors: bool = True,
) -> list[PropertyResult]:
    """Puntúa cada propiedad, más dos que miran todos los casos con el valor correcto: el tipo y las huellas.

    Parameters
    ----------
    groups
        Nombre, peso y veredictos de cada propiedad. Si la primera no se cumple, nada puntúa: devolver siempre ceros
        acierta algún caso suelto y no vale nada.
    explanations
        El mensaje de cada huella.
    max_score
        Los puntos que se reparten, según los pesos.
    tensors
        Si lo que se devuelve lleva tensores; si no, no hay dispositivo del que hablar.

    Examples
    --------
    >>> [r.points for r in score_properties([("base", 2.5, [Verdict(True)])], {}, 4)]
    [2.5, 0.5, 1.0]
    """
    right = [v for _, _, verdicts in groups for v in verdicts if v.passed]
    typing = next((v.typing for v in right if v.typing), "")
    traces = dict.fromkeys(trace for v in right for trace in v.traces)
    rows = [(name, weight, next((v.message for v in vs if not v.passed), None)) for name, weight, vs in groups]
    base, blocked = rows[0][0], rows[0][2] is not None
    waiting = f"No puntúa hasta que se cumpla «{base}»."
    clean = " ".join(explanations[trace] for trace in traces)
    rows += [(*TYPING[tensors], typing or None), (*CLEAN, clean or None)]
    total = sum(weight for _, weight, _ in rows)
    results = []
    for name, weight, problem in rows:
        if blocked and problem is None:
            problem = waiting
        share = max_score * weight / total
        results.append(PropertyResult(name, share if problem is None else 0.0, share, problem is None, problem or ""))
    return results


def write_message(
    report: Report,
    outputs: Sequence[Mapping[str, Any]],
    diagnosis: tuple[str, str] | None,
    reproduce: str,
) -> str:
    """Lo que lee el estudiante: el diagnóstico, los puntos, cada propiedad y lo que imprimió su función."""
    name = report.exercise.split(".")[1]
    points = f"{name}: {report.score:g} de {report.max_score:g} puntos."
    kinds = {o["kind"] for o in outputs}
    if report.passed:
        lines = [f"Correcto: {name} cumple todo lo que se ha probado. {points.removeprefix(name + ': ')}"]
    elif len(kinds) == 1 and kinds <= {"unwritten", "signature", "missing"}:  # un solo motivo: sobra la lista
        start = "Todavía falta código. " if kinds == {"unwritten"} else ""
        lines = [*_wrapped(start + outputs[0]["message"]), points]
    else:
        lines = [*(_wrapped(f"Diagnóstico: {diagnosis[0]}. {diagnosis[1]}") if diagnosis else []), points]
        base, *others = report.properties
        if base.passed:
            for p in report.properties:
                lines += _wrapped(f"  ✓ {p.name}" if p.passed else f"  ✗ {p.name}: {p.message}")
        else:  # sin la base, los detalles de lo demás estorban
            lines += _wrapped(f"  ✗ {base.name}: {base.message}")
            lines += _wrapped(f"  Lo demás puntúa cuando se cumpla: {'; '.join(p.name for p in others)}.")
        if reproduce:
            lines.append(f"Para verlo tú: {reproduce}")
    printed = next((o["stdout"].strip() for o in outputs if o["stdout"].strip()), "")
    if printed:
        lines += _wrapped(f"Tu función imprimió: {printed[:300]}{' […]' if len(printed) > 300 else ''}")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    # Sin partir por los guiones ni dentro de una palabra: hay código entre el texto.
    return textwrap.wrap(text, 100, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
