"""`convlab check`: lo que ve quien comprueba su cuaderno sin abrir Jupyter."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from convlab.cli import app
from convlab.errors import ConvlabError
from convlab.exercises import student

ROOT = Path(__file__).resolve().parents[1]
LESSON = ROOT / "lessons" / "09-gradcam" / "gradcam.ipynb"
SOLUTION = ROOT / "solutions" / "09-gradcam" / "gradcam.ipynb"
CHECKS = ["channel_weights", "cam"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def write(folder: Path, *cells: str) -> Path:
    """Un cuaderno con esas celdas y las comprobaciones de dos ejercicios."""
    sources = [*cells, *(f'grade("gradcam.{name}", globals())' for name in CHECKS)]
    path = folder / "mio.ipynb"
    path.write_text(
        json.dumps({"cells": [{"cell_type": "code", "source": s.splitlines(True)} for s in sources]}), "utf8"
    )
    return path


RIGHT = "def channel_weights(gradients):\n    return gradients.mean((2, 3))\n"
WRONG = "def channel_weights(gradients):\n    return gradients.sum((2, 3))\n"
CAM = "def cam(features, fc_weight, target):\n    raise ValueError('ups')\n"


def test_solution_gets_everything_and_exits_with_0() -> None:
    result = run(SOLUTION)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("Correcto") == 5
    assert "Total: 9 de 9 puntos" in result.stdout


def test_untouched_lesson_gets_nothing_kindly_and_exits_with_1() -> None:
    result = run(LESSON)
    assert result.exit_code == 1
    assert result.stdout.count("Sin escribir") == 5
    assert "Todavía falta código. Escribe aquí overlay" in result.stdout
    assert "Total: 0 de 9 puntos" in result.stdout
    assert result.stderr == ""


def test_each_answer_gets_its_diagnosis(tmp_path: Path) -> None:
    result = run(write(tmp_path, WRONG, CAM))
    assert result.exit_code == 1
    assert "Suma en vez de media" in result.stdout
    assert "Tus pesos son h · w veces los correctos" in result.stdout
    assert "No se cumple: Suma ponderada" in result.stdout
    assert "Lanzó ValueError: ups (línea 2: `raise ValueError('ups')`)" in " ".join(result.stdout.split())


def test_a_broken_cell_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    cells = ["%matplotlib inline\n1 / 0", "def mal(:", "import sys\nsys.exit()", "show(None, alt='no')", RIGHT]
    result = run(write(tmp_path, *cells))
    output = " ".join(result.stdout.split())
    assert "Aviso: Celda de código 1: Lanzó ZeroDivisionError: division by zero (línea 2: `1 / 0`)." in output
    assert "Aviso: Celda de código 2, línea 1: no es Python válido" in output
    assert "Aviso: Celda de código 3: Intentó cerrar el programa" in output
    assert "Celda de código 4" not in output
    assert "1 de 1" in output


def test_an_endless_cell_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "CELL_LIMIT", 0.3)
    book = student.run_notebook(write(tmp_path, "while True:\n    pass", RIGHT))
    assert book.problems == ["Celda de código 1: tardó más de 0.3 s y se dejó."]
    assert "channel_weights" in book.namespace


def test_reading_a_notebook_leaves_the_environment_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    student.run_notebook(write(tmp_path, "import matplotlib.pyplot", RIGHT))
    assert dict(os.environ) == before


def test_hidden_checks_of_a_solution_are_not_run(tmp_path: Path) -> None:
    book = student.run_notebook(SOLUTION)
    assert len(book.exercises) == len(set(book.exercises)) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Pasa un cuaderno"),
        ([LESSON, "--matrix"], "Pasa un cuaderno"),
        ([LESSON, "--lesson", "gradcam"], "Pasa un cuaderno"),
        (["--matrix", "--lesson", "gradcan"], "¿Quisiste decir «gradcam»?"),
        (["no-existe.ipynb"], "No se puede leer «no-existe.ipynb»"),
        ([ROOT / "README.md"], "no es un cuaderno de Jupyter"),
    ],
)
def test_bad_use_is_one_line(arguments: list[Any], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_notebook_without_exercises_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "otro.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": "hola"}]}), "utf8")
    with pytest.raises(ConvlabError, match="no comprueba ningún ejercicio"):
        student.run_notebook(path)


def test_matrix_of_a_lesson_counts_verdicts() -> None:
    result = run("--matrix", "--lesson", "gradcam")
    assert result.exit_code == 0, result.output
    assert "21 de 21" in result.stdout
    assert result.stdout.count("gradcam.") == 5


def test_matrix_fails_when_a_mistake_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from convlab.exercises import load

    exercise = load("gradcam.channel_weights")
    monkeypatch.setitem(exercise.variants, "equivocada", lambda gradients: gradients.sum((2, 3)))  # type: ignore[arg-type]
    result = run("--matrix", "--lesson", "gradcam")
    assert result.exit_code == 1
    assert "equivocada" in result.stdout
    assert "3 de 4" in result.stdout
