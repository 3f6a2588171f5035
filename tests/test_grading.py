"""El ciclo de cada lección con nbgrader: publicar, validar, calificar, comentar y exportar, con sus mismas órdenes.

Cada lección recibe tres entregas: la correcta, la intacta y una a medias, en la que un ejercicio de cada tres comete un
error del catálogo y otro lanza una excepción. De los cuadernos calificados se mira además que no haya avisos y que
salgan todas las figuras.
"""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="los cuadernos necesitan el extra «grade»")
pytest.importorskip("nbgrader", reason="los cuadernos necesitan el extra «grade»")

from jupyter_core.application import NoStart  # noqa: E402
from nbgrader.apps import NbGraderApp  # noqa: E402
from nbgrader.validator import Validator  # noqa: E402

from convlab.exercises import Exercise, load  # noqa: E402
from convlab.exercises.student import run_notebook  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LESSONS = [path.parent.name for path in sorted((ROOT / "solutions").glob("*/*.py"))]
STUDENTS = ("correcta", "intacta", "a-medias")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@dataclass
class Course:
    """Una lección recién calificada: por estudiante, su nota, su cuaderno ejecutado y su página de comentarios."""

    exercises: list[Exercise]
    broken: dict[str, str]
    removed: str
    maximum: float
    scores: dict[str, float]
    books: dict[str, Any]
    raw: dict[str, str]
    validated: str
    half: Path

    def page(self, student: str) -> str:
        """Lo que lee una persona: sin estilos, programas ni etiquetas, y con los espacios juntos."""
        text = re.sub(r"<(style|script)\b.*?</\1>", " ", self.raw[student], flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def cell_id(exercise: Exercise) -> str:
    return exercise.name.replace("_", "-")


def submission(lesson: Any, solution: Any, changes: dict[str, str]) -> Any:
    """El cuaderno publicado con las soluciones escritas, y después los cambios por `grade_id`."""
    book = nbformat.from_dict(json.loads(json.dumps(lesson)))
    answers = {
        c.metadata.nbgrader.grade_id: c.source for c in solution.cells if c.metadata.get("nbgrader", {}).get("solution")
    }
    for cell in book.cells:
        meta = cell.metadata.get("nbgrader", {})
        if meta.get("solution"):
            cell.source = changes.get(meta.grade_id, answers[meta.grade_id])
            cell.source = re.sub(r"^ *### (BEGIN|END) SOLUTION\n", "", cell.source, flags=re.MULTILINE)
    return book


def mistakes(exercises: list[Exercise]) -> dict[str, str]:
    """De cada tres ejercicios, uno con el primer error de su catálogo y otro que lanza una excepción."""
    changes = {}
    for k, exercise in enumerate(exercises):
        if k % 3 == 0:
            wrong = next(iter(exercise.misconceptions))
            catalogue = f'load("{exercise.id}").misconceptions["{wrong}"].function'
            changes[cell_id(exercise)] = f"from convlab.exercises import load\n\n{exercise.name} = {catalogue}"
        elif k % 3 == 1:
            changes[cell_id(exercise)] = f"def {exercise.name}(*arguments, **options):\n    raise ValueError('ups')"
    return changes


def nbgrader(*arguments: str) -> str:
    """Lo que dice esa orden, ejecutada aquí: un proceso por orden tardaría más en arrancar que en trabajar."""
    said, code = StringIO(), 0
    with redirect_stdout(said), redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validator, "stream", said)
        app = NbGraderApp.instance()
        try:
            app.initialize([*arguments])
            with suppress(NoStart):  # así termina bien una orden que tiene órdenes dentro
                app.start()
        except SystemExit as end:
            code = end.code
        finally:
            app.reset()
            NbGraderApp.clear_instance()
    assert not code, said.getvalue()[-4000:]
    return said.getvalue()


def grade_lesson(name: str, folder: Path) -> Course:
    """Publica, recibe las entregas, califica, comenta y exporta, con las órdenes que usaría un docente."""
    stem = name.split("-", 1)[1]
    nbgrader("generate_assignment", name)
    released = folder / "lessons" / name
    assert [p.name for p in released.iterdir()] == [f"{stem}.ipynb"]
    assert (released / f"{stem}.ipynb").read_bytes() == (ROOT / "lessons" / name / f"{stem}.ipynb").read_bytes()
    lesson = nbformat.read(released / f"{stem}.ipynb", as_version=4)
    solution = nbformat.read(folder / "solutions" / name / f"{stem}.ipynb", as_version=4)
    code = "\n".join(c.source for c in lesson.cells)
    exercises = [load(i) for i in re.findall(r'^grade\("([\w.]+)", globals\(\)\)', code, flags=re.MULTILINE)]
    broken = mistakes(exercises)
    half = submission(lesson, solution, broken)
    # Quien borra una comprobación no la evita: nbgrader la repone.
    removed = f"{cell_id(exercises[-1])}-visible"
    half.cells = [c for c in half.cells if c.id != removed]
    for student, book in zip(STUDENTS, (submission(lesson, solution, {}), lesson, half), strict=True):
        target = folder / "submitted" / student / name
        target.mkdir(parents=True)
        nbformat.write(book, target / f"{stem}.ipynb")
    validated = nbgrader("validate", f"submitted/intacta/{name}/{stem}.ipynb")
    nbgrader("autograde", name)
    nbgrader("generate_feedback", name)
    nbgrader("export", "--to", "notas.csv")
    with (folder / "notas.csv").open(encoding="utf8") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["assignment"] == name}
    return Course(
        exercises,
        broken,
        removed,
        maximum=float(rows["correcta"]["max_score"]),
        scores={student: float(row["score"]) for student, row in rows.items()},
        books={s: nbformat.read(folder / "autograded" / s / name / f"{stem}.ipynb", as_version=4) for s in STUDENTS},
        raw={s: (folder / "feedback" / s / name / f"{stem}.html").read_text("utf8") for s in STUDENTS},
        validated=validated,
        half=folder / "submitted" / "a-medias" / name / f"{stem}.ipynb",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """La carpeta del curso, en la que se trabaja."""
    folder = tmp_path_factory.mktemp("curso")
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # nbgrader llama a `alembic`
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


@pytest.fixture(scope="module", params=LESSONS)
def course(request: pytest.FixtureRequest, folder: Path) -> Course:
    return grade_lesson(request.param, folder)


def checks_in(book: Any) -> list[Any]:
    """Las comprobaciones de un cuaderno: celdas calificadas que no son respuestas."""
    metas = [(c, c.metadata.get("nbgrader", {})) for c in book.cells]
    return [c for c, meta in metas if meta.get("grade") and not meta.get("solution")]


def first_line(text: str) -> str:
    return " ".join(text.split("\n")[0].split())


def test_full_marks_nothing_and_a_part(course: Course) -> None:
    assert course.scores["correcta"] == course.maximum == sum(e.points for e in course.exercises)
    assert course.scores["intacta"] == 0
    # Un ejercicio correcto que llama a otro equivocado tampoco sale bien: se espera lo que da ese mismo cuaderno aquí.
    own = run_notebook(course.half).namespace
    expected = sum(e.check(own[e.name], hidden=hidden).score for e in course.exercises for hidden in (False, True))
    assert course.scores["a-medias"] == pytest.approx(expected, abs=0.01)
    assert 0 <= expected < course.maximum


def test_solution_runs_clean_and_draws_every_figure(course: Course) -> None:
    book = course.books["correcta"]
    outputs = [o for c in book.cells for o in c.get("outputs", [])]
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    for cell in checks_in(book):
        (result,) = (o for o in cell.outputs if o.output_type == "execute_result")
        assert float(result.data["text/plain"]) == cell.metadata.nbgrader.points, cell.outputs
    # La última figura de cada `show` lleva texto alternativo; el ejemplo resuelto puede traer otra.
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(figures) >= len(course.exercises)
    assert all(o.metadata["image/png"]["alt"] for o in figures)
    assert not any("La figura aún no sale" in o.get("text", "") for o in outputs)


def test_untouched_lesson_runs_without_an_error_and_says_kindly_what_is_missing(course: Course) -> None:
    outputs = [o for c in course.books["intacta"].cells for o in c.get("outputs", [])]
    assert [o for o in outputs if o.output_type == "error"] == []
    kind = [o.text for o in outputs if "Aquí saldrá una figura" in o.get("text", "")]
    assert len(kind) >= len(course.exercises)
    assert all("Escribe aquí " in text for text in kind)
    page = course.page("intacta")
    for exercise in course.exercises:
        assert f"Todavía falta código. Escribe aquí {exercise.name}" in page
    assert "Comentarios: Sin respuesta." in page


def test_validate_tells_a_student_before_handing_in(course: Course) -> None:
    # A la vista: la comprobación oculta de quien aún no entrega está vacía.
    assert f"NO SE CUMPLEN DEL TODO {len(course.exercises)} COMPROBACIONES" in course.validated
    for exercise in course.exercises:
        assert f'grade("{exercise.id}", globals())' in course.validated


def test_feedback_shows_each_diagnosis(course: Course) -> None:
    page, right = course.page("a-medias"), course.page("correcta")
    for exercise in course.exercises[::3]:
        report = exercise.check(next(iter(exercise.misconceptions.values())).function)
        assert report.diagnosis is not None
        assert first_line(report.message) in page
        assert first_line(report.message) not in right
    assert ("ups" in page) == (len(course.exercises) > 1)
    assert f"Faltaba la celda «{course.removed}»" in page


def test_feedback_never_shows_hidden_tests(course: Course) -> None:
    for student in STUDENTS:
        page = course.page(student)
        assert "hidden=True" not in page
        assert "HIDDEN TESTS" not in page
        assert page.count("Aquí tu función se probó con otros casos") == len(course.exercises)
        assert f'grade("{course.exercises[0].id}", globals())' in page  # la visible sí se enseña


def test_feedback_is_in_spanish(course: Course) -> None:
    english = ("Score", "Student's", "Comments", "Test cell", "(Top)", "Grade cell", "No response", "was missing")
    for student in STUDENTS:
        page = course.page(student)
        for words in english:
            assert words not in page, (student, words)
        assert f"Comprobación: {cell_id(course.exercises[0])}-visible" in page
        assert '<html lang="es">' in course.raw[student]
