"""Los cuadernos: las fuentes se convierten sin azar, lo publicado está al día y sin soluciones, y nbgrader califica."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="los cuadernos necesitan el extra «grade»")
pytest.importorskip("jupytext", reason="los cuadernos necesitan el extra «grade»")
pytest.importorskip("nbgrader", reason="los cuadernos necesitan el extra «grade»")

from convlab.errors import ConvlabError  # noqa: E402
from convlab.exercises import load, notebooks  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "solutions").glob("*/*.py"))
LESSON = "09-gradcam"
MARKS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN", "END HIDDEN")


SECRET = re.compile(
    r"### BEGIN SOLUTION\n(?P<code>.*?)### END SOLUTION"
    r"|^# %% \[markdown\] nbgrader=\{\"grade\": true[^\n]*\n(?P<text>.*?)(?=^# %%|\Z)",
    re.DOTALL | re.MULTILINE,
)


def secret_lines(text: str) -> list[str]:
    """Lo que solo conoce quien corrige: las líneas de las soluciones que no están además a la vista."""
    public = SECRET.sub("", text)
    lines = [
        line.strip().removeprefix("# ") for m in SECRET.finditer(text) for line in (m["code"] or m["text"]).splitlines()
    ]
    return [line for line in lines if len(line) > 4 and line not in public]


def checks_in(book: Any) -> list[Any]:
    """Las comprobaciones de un cuaderno: celdas calificadas que no son respuestas."""
    metas = [(c, c.metadata.get("nbgrader", {})) for c in book.cells]
    return [c for c, meta in metas if meta.get("grade") and not meta.get("solution")]


def total_points(book: Any) -> float:
    return sum(c.metadata.nbgrader.points for c in book.cells if c.metadata.get("nbgrader", {}).get("grade"))


def copy_project(folder: Path) -> Path:
    """Un proyecto mínimo: la configuración y las fuentes, sin nada generado."""
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    shutil.copytree(ROOT / "solutions", folder / "solutions", ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    return folder


# --- construir -------------------------------------------------------------------------------------------------------


def test_lessons_are_in_step_with_solutions() -> None:
    assert notebooks.out_of_step(ROOT) == []


def test_build_is_byte_stable_and_idempotent(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    built = notebooks.build(project)
    first = {path: (project / path).read_bytes() for path in built}
    assert {p.suffix for p in first} == {".ipynb"}
    assert notebooks.build(project) == []
    for path in built:
        (project / path).unlink()
        # Lo construido aquí, desde cero y en otra carpeta, es lo que hay en el repositorio.
        assert (ROOT / path).read_bytes() == first[path]
    assert notebooks.build(project) == built
    assert {path: (project / path).read_bytes() for path in built} == first
    assert not list(project.rglob("gradebook.db"))


def test_check_names_what_is_out_of_step_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy_project(tmp_path))
    assert notebooks.main([]) == 0
    assert notebooks.main(["--check"]) == 0
    capsys.readouterr()
    lesson = tmp_path / "lessons" / LESSON / "gradcam.ipynb"
    lesson.write_text(lesson.read_text("utf8").replace("Lucía", "Lucía Pérez"), "utf8")
    (lesson.parent / "gradcam.py").write_text("solución", "utf8")
    (tmp_path / "solutions" / LESSON / "gradcam.ipynb").unlink()
    before = lesson.read_bytes()
    assert notebooks.main(["--check"]) == 1
    said = capsys.readouterr().err
    for line in (
        f"lessons/{LESSON}/gradcam.ipynb: no está al día",
        f"lessons/{LESSON}/gradcam.py: sobra",
        f"solutions/{LESSON}/gradcam.ipynb: falta",
    ):
        assert line in said
    assert lesson.read_bytes() == before
    assert notebooks.main([]) == 0
    assert not (lesson.parent / "gradcam.py").exists()
    assert notebooks.main(["--check"]) == 0


def test_main_outside_a_project_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert notebooks.main(["--check"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_lessons_hold_only_notebooks_without_solutions_nor_outputs() -> None:
    released = [p for p in (ROOT / "lessons").rglob("*") if p.is_file() and not p.name.startswith(".")]
    assert {p.suffix for p in released} == {".ipynb"}
    for path in released:
        text = path.read_text("utf8")
        for mark in MARKS:
            assert mark not in text
        cells = nbformat.reads(text, as_version=4).cells
        assert not any(c.get("outputs") or c.get("execution_count") for c in cells)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_no_line_of_a_solution_reaches_the_lesson(path: Path) -> None:
    secret = secret_lines(path.read_text("utf8"))
    assert any("gradients.mean(" in line for line in secret)
    assert any("primer orden" in line for line in secret)
    lesson = nbformat.read(ROOT / "lessons" / path.parent.name / f"{path.stem}.ipynb", as_version=4)
    released = "\n".join(c.source for c in lesson.cells)
    assert [line for line in secret if line in released] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_each_exercise_is_complete(path: Path) -> None:
    book = nbformat.reads(notebooks.notebook(path), as_version=4)
    ids = re.findall(r'grade\("([\w.]+)", globals\(\)\)', "\n".join(c.source for c in book.cells))
    exercises = [load(i) for i in ids]
    text = "\n".join(c.source for c in book.cells)
    assert len(exercises) == len(set(ids)) == 5
    assert total_points(book) == sum(e.points for e in exercises)
    for exercise in exercises:
        start = text.index(f"**Escribe** `{exercise.name}(")
        statement = text[text.rindex("## Ejercicio", 0, start) : text.index(f'grade("{exercise.id}"', start)]
        assert f"*{exercise.minutes} minutos · dificultad " in statement
        assert statement.count("<details>") == statement.count("</details>") == 3
        assert f'raise NotImplementedError("Escribe aquí {exercise.name}: ' in statement
        assert f"| `{exercise.name}` | {exercise.minutes} |" in text


# --- metadatos mal escritos ------------------------------------------------------------------------------------------

META: dict[str, Any] = {
    "grade": False,
    "grade_id": "a",
    "locked": False,
    "schema_version": 3,
    "solution": True,
    "task": False,
}
TEST: dict[str, Any] = META | {"grade": True, "grade_id": "t", "locked": True, "solution": False}
BODY = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n"
WEIGHTS = load("gradcam.channel_weights")
VISIBLE = 'grade("gradcam.channel_weights", globals())\n'
HIDDEN = '### BEGIN HIDDEN TESTS\ngrade("gradcam.channel_weights", globals(), hidden=True)\n### END HIDDEN TESTS\n'


def percent(meta: dict[str, Any], body: str, kind: str = "") -> str:
    return f"# %% {kind}nbgrader={json.dumps(meta)}\n{body}\n"


def visible(**changes: Any) -> str:
    return percent(TEST | {"grade_id": "v", "points": WEIGHTS.visible_points} | changes, VISIBLE)


def hidden(**changes: Any) -> str:
    return percent(TEST | {"grade_id": "h", "points": WEIGHTS.hidden_points} | changes, HIDDEN)


def without(meta: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in meta.items() if k != key}


MALFORMED = {
    "JSON sin cerrar": ('# %% nbgrader={"grade": false,\n' + BODY, "no se entiende la cabecera"),
    "True de Python": (percent(META, BODY).replace("true", "True"), "no se entiende la cabecera"),
    "sin signo igual": (percent(META, BODY).replace("nbgrader=", "nbgrader "), "no se entiende la cabecera"),
    "no es una celda": (percent(META, "x = 1").replace("# %%", "# %"), "no abre ninguna celda"),
    "otro metadato": (percent(META, BODY).replace("nbgrader=", "nbgarder="), "no se entiende la cabecera"),
    "no es un objeto": ("# %% nbgrader=3\n" + BODY, "debe ser un objeto JSON"),
    **{f"falta {k}": (percent(without(META, k), BODY), f"faltan: {k}") for k in META},
    "faltan los puntos": (percent(TEST, VISIBLE), "faltan: points"),
    "clave desconocida": (percent(META | {"punots": 3}, BODY), "sobran: punots"),
    "puntos donde no se califica": (percent(META | {"points": 3}, BODY), "sobran: points"),
    "booleano como texto": (percent(META | {"solution": "true"}, BODY), "«solution» no puede valer"),
    "puntos como texto": (visible(points="1"), "«points» no puede valer"),
    "puntos negativos": (visible(points=-1), "negativos"),
    "schema_version 2": (percent(META | {"schema_version": 2}, BODY), "schema_version debe ser 3"),
    "schema_version true": (percent(META | {"schema_version": True}, BODY), "«schema_version» no puede valer"),
    "grade_id con espacios": (percent(META | {"grade_id": "a b"}, BODY), "solo puede llevar"),
    "grade_id vacío": (percent(META | {"grade_id": ""}, BODY), "solo puede llevar"),
    "grade_id repetido": (percent(META, BODY) * 2, "ya está en otra celda"),
    "texto calificado sin solución": (percent(TEST | {"points": 1}, "# Hola", "[markdown] "), "a la vez"),
    "tarea en código": (percent(META | {"task": True, "points": 1}, BODY), "una tarea"),
    "solución sin marcas": (percent(META, "x = 1"), "la borraría entera"),
    "solución sin cerrar": (percent(META, BODY.replace("    ### END SOLUTION\n", "")), "una vez cada una"),
    "marca mal escrita": (percent(META, BODY.replace("### END", "# END")), "una vez cada una"),
    "dos zonas": (percent(META, BODY * 2), "una vez cada una"),
    "solución en una celda cualquiera": ("# %%\n" + BODY, "solo puede estar en una celda con «solution»"),
    "ocultas en una solución": (percent(META, BODY + HIDDEN), "solo puede estar en una comprobación"),
    "prueba con más código": (percent(TEST | {"points": 1}, "x = 1\n" + VISIBLE), "contiene solo"),
    "prueba vacía": (percent(TEST | {"points": 1}, "# nada"), "contiene solo"),
    "oculta a la vista": (
        percent(TEST | {"points": 1}, VISIBLE.replace("globals()", "globals(), hidden=True")),
        "va siempre entre",
    ),
    "prueba sin cerrojo": (visible(locked=False), "«locked»: true"),
    "puntos que no son los del ejercicio": (
        visible(points=WEIGHTS.visible_points + 1) + hidden(),
        "comprobación visible",
    ),
    "puntos ocultos que no son": (visible() + hidden(points=WEIGHTS.hidden_points + 1), "comprobación oculta"),
    "falta la oculta": (visible(), "falta la comprobación oculta"),
    "falta la visible": (hidden(), "falta la comprobación visible"),
    "ejercicio que no existe": (
        percent(TEST | {"points": 1}, VISIBLE.replace("channel_weights", "channel_wieghts")),
        "channel_weights",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_metadata_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, expected = MALFORMED[name]
    path = tmp_path / "mala.py"
    path.write_text(text, "utf8")
    with pytest.raises(ConvlabError) as caught:
        notebooks.notebook(path)
    message = str(caught.value)
    assert expected in message
    assert "mala.py" in message
    assert "\n" not in message


def test_well_formed_metadata_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "buena.py"
    path.write_text(percent(META, BODY) + visible() + hidden() + "# %%\n1\n\n# %%\n1\n", "utf8")
    ids = [c["id"] for c in json.loads(notebooks.notebook(path))["cells"]]
    assert ids[:3] == ["a", "v", "h"]
    assert ids[4] == f"{ids[3]}-2"


def test_nothing_is_written_when_a_source_is_malformed(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    source = project / "solutions" / LESSON / "gradcam.py"
    source.write_text(source.read_text("utf8").replace('"schema_version": 3', '"schema_version": 2', 1), "utf8")
    with pytest.raises(ConvlabError, match="schema_version"):
        notebooks.build(project)
    assert not list(project.rglob("*.ipynb"))


# --- ejecutar y calificar --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_solution_runs_clean_and_scores_full_marks(path: Path) -> None:
    from nbclient import NotebookClient

    book = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    outputs = [o for c in book.cells for o in c.get("outputs", [])]
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    for cell in checks_in(book):
        (result,) = (o for o in cell.outputs if o.output_type == "execute_result")
        assert float(result.data["text/plain"]) == cell.metadata.nbgrader.points, cell.outputs
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(figures) == sum("show(draw" in c.source for c in book.cells) == 5
    assert all(o.metadata["image/png"]["alt"] for o in figures)
    assert not any("La figura aún no sale" in o.get("text", "") for o in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_released_lesson_runs_untouched_without_a_single_error(path: Path) -> None:
    from nbclient import NotebookClient

    book = nbformat.read(ROOT / "lessons" / path.parent.name / f"{path.stem}.ipynb", as_version=4)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    outputs = [o for c in book.cells for o in c.get("outputs", [])]
    kind = [o.text for o in outputs if "Aquí saldrá una figura" in o.get("text", "")]
    assert len(kind) == 5
    assert all("Escribe aquí " in text for text in kind)


@dataclass
class Course:
    """Un curso recién calificado: notas por estudiante y su página de comentarios, como texto."""

    maximum: float
    scores: dict[str, float]
    pages: dict[str, str]
    raw: dict[str, str]


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


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    solution = nbformat.reads(notebooks.notebook(ROOT / "solutions" / LESSON / "gradcam.py"), as_version=4)
    return {
        c.metadata.nbgrader.grade_id: c.source for c in solution.cells if c.metadata.get("nbgrader", {}).get("solution")
    }


@pytest.fixture(scope="module")
def without_relu(answers: dict[str, str]) -> str:
    assert answers["grad-cam"].count(".relu()") == 1
    return answers["grad-cam"].replace(".relu()", "")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory, answers: dict[str, str], without_relu: str) -> Course:
    """Publica, recibe cuatro entregas, califica, comenta y exporta, con las órdenes que usaría un docente."""
    folder = copy_project(tmp_path_factory.mktemp("curso"))
    shutil.copy(ROOT / "solutions" / LESSON / "gradcam.ipynb", folder / "solutions" / LESSON)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
    }

    def nbgrader(*arguments: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-4000:]

    nbgrader("generate_assignment", LESSON)
    released = folder / "lessons" / LESSON
    assert [p.name for p in released.iterdir()] == ["gradcam.ipynb"]
    assert (released / "gradcam.ipynb").read_bytes() == (ROOT / "lessons" / LESSON / "gradcam.ipynb").read_bytes()
    lesson = nbformat.read(released / "gradcam.ipynb", as_version=4)
    solution = nbformat.read(folder / "solutions" / LESSON / "gradcam.ipynb", as_version=4)
    # Cada función que lanza una excepción: se sustituye el cuerpo y se deja la firma.
    broken = {k: f"{a.splitlines()[0]}\n    raise ValueError('ups')" for k, a in answers.items() if k != "reflexion"}
    misconception = submission(lesson, solution, {"grad-cam": without_relu})
    # Quien borra una comprobación no la evita: nbgrader la repone.
    misconception.cells = [c for c in misconception.cells if c.id != "overlay-visible"]
    for student, book in {
        "correcta": submission(lesson, solution, {}),
        "intacta": lesson,
        "sin-relu": misconception,
        "excepcion": submission(lesson, solution, broken),
    }.items():
        target = folder / "submitted" / student / LESSON
        target.mkdir(parents=True)
        nbformat.write(book, target / "gradcam.ipynb")
    nbgrader("autograde", LESSON)
    nbgrader("generate_feedback", LESSON)
    nbgrader("export", "--to", "notas.csv")
    with (folder / "notas.csv").open(encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    raw = {
        row["student_id"]: (folder / "feedback" / row["student_id"] / LESSON / "gradcam.html").read_text("utf8")
        for row in rows
    }
    return Course(
        maximum=float(rows[0]["max_score"]),
        scores={row["student_id"]: float(row["score"]) for row in rows},
        pages={student: plain_text(page) for student, page in raw.items()},
        raw=raw,
    )


def plain_text(page: str) -> str:
    """Lo que lee una persona: sin estilos, programas ni etiquetas, y con los espacios juntos."""
    page = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def compiled(source: str) -> Any:
    """La función que define una celda, con lo mismo a mano que en el cuaderno."""
    import torch
    from torch.nn import functional as F

    from convlab.plots import colorize

    namespace: dict[str, Any] = {"torch": torch, "F": F, "colorize": colorize}
    exec("def channel_weights(gradients):\n    return gradients.mean(dim=(2, 3))\n" + source, namespace)
    return namespace["grad_cam"]


@pytest.mark.slow
def test_four_submissions_get_full_zero_partial_zero(course: Course, without_relu: str) -> None:
    exercise = load("gradcam.grad_cam")
    reports = [exercise.check(compiled(without_relu), hidden=hidden) for hidden in (False, True)]
    lost = exercise.points - sum(r.score for r in reports)
    assert 0 < lost < course.maximum
    assert (
        course.scores["correcta"]
        == course.maximum
        == sum(
            load(f"gradcam.{n}").points for n in ("channel_weights", "grad_cam", "cam", "overlay", "iou_at_threshold")
        )
    )
    assert course.scores["intacta"] == 0
    assert course.scores["sin-relu"] == pytest.approx(course.maximum - lost)
    assert course.scores["excepcion"] == 0


@pytest.mark.slow
def test_feedback_shows_the_diagnosis_in_spanish(course: Course, without_relu: str) -> None:
    report = load("gradcam.grad_cam").check(compiled(without_relu))
    assert report.diagnosis is not None
    first = " ".join(report.message.split("\n")[0].split())
    assert first in course.pages["sin-relu"]
    assert first not in course.pages["correcta"]
    assert "Escribe aquí grad_cam" in course.pages["intacta"]
    assert "ups" in course.pages["excepcion"]


@pytest.mark.slow
def test_feedback_never_shows_hidden_tests(course: Course) -> None:
    for page in course.pages.values():
        assert "hidden=True" not in page
        assert "HIDDEN TESTS" not in page
        assert page.count("Aquí tu función se probó con otros casos") == 5
        assert 'grade("gradcam.grad_cam", globals())' in page  # la visible sí se enseña


@pytest.mark.slow
def test_feedback_is_in_spanish(course: Course) -> None:
    for student, page in course.pages.items():
        for english in (
            "Score",
            "Student's",
            "Comments",
            "Test cell",
            "(Top)",
            "Grade cell",
            "No response",
            "was missing",
        ):
            assert english not in page, (student, english)
        assert "Comprobación: grad-cam-visible" in page
        assert '<html lang="es">' in course.raw[student]
    assert "Comentarios: Sin respuesta." in course.pages["intacta"]
    assert "Faltaba la celda «overlay-visible»" in course.pages["sin-relu"]
