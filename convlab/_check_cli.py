"""La orden `convlab check`: las comprobaciones de un cuaderno fuera de Jupyter, y la matriz de los ejercicios.

`convlab.cli` la registra. Como allí, torch se importa dentro, cuando los argumentos ya se han comprobado.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from convlab.errors import ConvlabError, unknown_name

if TYPE_CHECKING:
    from convlab.exercises import Exercise, Report


def check(
    notebook: Annotated[
        Path | None,
        typer.Argument(metavar="CUADERNO", help="El .ipynb de una lección, con tus funciones.", show_default=False),
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="En vez de un cuaderno, prueba los ejercicios con sus propios errores.")
    ] = False,
    lesson: Annotated[
        str | None, typer.Option(metavar="NOMBRE", help="Con --matrix, solo esa lección; por ejemplo, gradcam.")
    ] = None,
) -> None:
    """Comprueba los ejercicios de un cuaderno y dice qué falla en cada uno.

    Ejecuta el cuaderno sin sus figuras y pasa las comprobaciones que se ven en él. Termina con 1 si alguna no se cumple
    entera. Con `--matrix` no hace falta cuaderno: cada error conocido de cada ejercicio y cada solución correcta pasan
    por la comprobación, y se cuenta cuántos reciben el veredicto que merecen.
    """
    if matrix == (notebook is not None) or (lesson is not None and not matrix):
        raise ConvlabError(
            "Pasa un cuaderno, «convlab check LECCION.ipynb», o bien «convlab check --matrix», que admite «--lesson»."
        )
    passed = _matrix(lesson) if notebook is None else _notebook(notebook)
    if not passed:
        raise typer.Exit(1)


def _notebook(path: Path) -> bool:
    from rich.table import Column, Table

    from convlab.exercises import load
    from convlab.exercises.student import run_notebook

    console = Console()
    book = run_notebook(path)
    for problem in book.problems:
        console.print(f"Aviso: {problem}", style="yellow", markup=False, highlight=False)
    table = Table(Column("Ejercicio", no_wrap=True), Column("Puntos", justify="right", no_wrap=True), "Qué pasa")
    messages = []
    score = total = 0.0
    for name in book.exercises:
        exercise = load(name)
        report = exercise.check(book.namespace.get(exercise.name))
        score, total = score + report.score, total + report.max_score
        table.add_row(exercise.name, f"{report.score:g} de {report.max_score:g}", _summary(exercise, report))
        messages += [] if report.passed else [report.message]
    console.print(table, highlight=False)
    for message in messages:
        console.print(f"\n{message}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nTotal: {score:g} de {total:g} puntos en las comprobaciones que se ven.", highlight=False)
    return score == total


def _summary(exercise: Exercise, report: Report) -> str:
    """El resultado en pocas palabras; los detalles van debajo de la tabla."""
    if report.passed:
        return "Correcto"
    if report.diagnosis:
        return exercise.misconceptions[report.diagnosis].title
    if report.message.startswith("Todavía falta código"):
        return "Sin escribir"
    return f"No se cumple: {next(p.name for p in report.properties if not p.passed)}"


def _matrix(lesson: str | None) -> bool:
    from rich.table import Column, Table

    from convlab.exercises import list_exercises, load
    from convlab.exercises.matrix import kill_matrix

    names = list_exercises()
    lessons = list(dict.fromkeys(name.split(".")[0] for name in names))
    if lesson is not None and lesson not in lessons:
        raise unknown_name("la lección", lesson, lessons)
    console = Console()
    table = Table(
        Column("Ejercicio", no_wrap=True),
        Column("Errores cazados", justify="right"),
        Column("bien llamados", justify="right"),
        Column("Correctas aceptadas", justify="right"),
        Column("Lo que falla", overflow="fold"),
    )
    everything = True
    for name in names:
        if lesson not in (None, name.split(".")[0]):
            continue
        rows = kill_matrix(load(name))
        wrong, right = [r for r in rows if r.wrong], [r for r in rows if not r.wrong]
        bad = [r.name for r in rows if not r.right_verdict]
        everything &= not bad
        table.add_row(
            name,
            f"{sum(not r.report.passed for r in wrong)} de {len(wrong)}",
            f"{sum(r.right_verdict for r in wrong)} de {len(wrong)}",
            f"{sum(r.report.passed for r in right)} de {len(right)}",
            ", ".join(bad),
        )
    console.print(table, highlight=False)
    return everything
