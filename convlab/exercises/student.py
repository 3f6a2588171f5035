"""Leer el cuaderno de un estudiante sin Jupyter: sus funciones, y qué ejercicios comprueba."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl

from convlab.errors import ConvlabError
from convlab.exercises import sandbox

CELL_LIMIT = 60.0
"""Segundos por celda: las que se ejecutan solo importan, cargan una red y definen."""

_SKIPPED = ("grade", "show")


@dataclass
class StudentNotebook:
    """Lo que queda de ejecutar un cuaderno.

    Attributes
    ----------
    namespace
        Los nombres que define.
    exercises
        Los identificadores que comprueban sus celdas a la vista, por orden.
    problems
        Una frase por celda que no se pudo ejecutar.
    """

    namespace: dict[str, Any]
    exercises: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run_notebook(path: Path) -> StudentNotebook:
    r"""Ejecuta las celdas de un cuaderno salvo sus comprobaciones y figuras. Un fallo en una celda no para las demás.

    Ejecuta el código del archivo en este proceso: es para el cuaderno propio, no para calificar los ajenos.

    Parameters
    ----------
    path
        Un `.ipynb`.

    Returns
    -------
    StudentNotebook
        Sus funciones, sus ejercicios y lo que no se pudo ejecutar.

    Raises
    ------
    ConvlabError
        Si no es un cuaderno o no comprueba ningún ejercicio.

    Examples
    --------
    >>> import tempfile
    >>> cells = ["def overlay():\n    return 1", 'grade("gradcam.overlay", globals())']
    >>> path = Path(tempfile.mkdtemp()) / "mio.ipynb"
    >>> _ = path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": c} for c in cells]}))
    >>> book = run_notebook(path)
    >>> book.exercises, book.namespace["overlay"]()
    (['gradcam.overlay'], 1)
    """
    # Nada de ventanas. En el entorno no: lo heredarían los cuadernos que se abran después, y saldrían sin figuras.
    mpl.use("Agg")
    book = StudentNotebook({"__name__": "__main__"})
    for number, source in enumerate(_code_cells(path), 1):
        # Las órdenes de IPython (%…, !…) no son Python; su hueco conserva los números de línea.
        lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
        _run_cell("\n".join(lines), number, book)
    if not book.exercises:
        raise ConvlabError(f"«{path}» no comprueba ningún ejercicio. Pasa el cuaderno de una lección del curso.")
    return book


def _code_cells(path: Path) -> list[str]:
    try:
        cells = json.loads(path.read_text("utf8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except OSError as error:
        raise ConvlabError(f"No se puede leer «{path}»: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise ConvlabError(f"«{path}» no es un cuaderno de Jupyter (.ipynb, formato 4).") from None


def _run_cell(source: str, number: int, book: StudentNotebook) -> None:
    name = f"<celda {number}>"
    try:
        tree = ast.parse(source, name)
    except SyntaxError as error:
        book.problems.append(f"Celda de código {number}, línea {error.lineno}: no es Python válido ({error.msg}).")
        return
    for statement in [s for s in tree.body if _called(s) in _SKIPPED]:
        tree.body.remove(statement)
        call = ast.unparse(statement)
        if _called(statement) == "grade" and "hidden" not in call:
            book.exercises.append(ast.literal_eval(statement.value.args[0]))  # type: ignore[attr-defined]
    # Con el texto a mano, los mensajes de error citan la línea del estudiante.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            sandbox.within(CELL_LIMIT, lambda: exec(compile(tree, name, "exec"), book.namespace))  # noqa: S102
    except sandbox.Timeout:
        book.problems.append(f"Celda de código {number}: tardó más de {CELL_LIMIT:g} s y se dejó.")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # también `exit()`: las demás celdas siguen
        book.problems.append(f"Celda de código {number}: {sandbox.explain(error)}.")


def _called(statement: ast.stmt) -> str:
    """El nombre de la función, si la sentencia es solo una llamada."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return getattr(statement.value.func, "id", "")
    return ""
