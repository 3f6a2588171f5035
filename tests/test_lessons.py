"""Los cuadernos: las fuentes se convierten sin azar; lo publicado está al día, sin soluciones, y basta con instalar."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="los cuadernos necesitan el extra «grade»")
nbclient = pytest.importorskip("nbclient", reason="los cuadernos necesitan el extra «grade»")
pytest.importorskip("jupytext", reason="los cuadernos necesitan el extra «grade»")
pytest.importorskip("nbgrader", reason="los cuadernos necesitan el extra «grade»")

from convlab.errors import ConvlabError  # noqa: E402
from convlab.exercises import list_exercises, load, notebooks  # noqa: E402

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
    assert any(line.startswith("return ") for line in secret)
    assert any(line.startswith("| excelente |") for line in secret)
    lesson = nbformat.read(ROOT / "lessons" / path.parent.name / f"{path.stem}.ipynb", as_version=4)
    released = "\n".join(c.source for c in lesson.cells)
    assert [line for line in secret if line in released] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_each_exercise_is_complete(path: Path) -> None:
    book = nbformat.reads(notebooks.notebook(path), as_version=4)
    ids = re.findall(r'grade\("([\w.]+)", globals\(\)\)', "\n".join(c.source for c in book.cells))
    exercises = [load(i) for i in ids]
    text = "\n".join(c.source for c in book.cells)
    assert ids == [i for i in list_exercises() if i.split(".")[0] == ids[0].split(".")[0]]
    assert total_points(book) == sum(e.points for e in exercises)
    for exercise in exercises:
        start = text.index(f"**Escribe** `{exercise.name}(")
        statement = text[text.rindex("## Ejercicio", 0, start) : text.index(f'grade("{exercise.id}"', start)]
        assert f"*{exercise.minutes} minutos · dificultad " in statement
        assert statement.count("<details>") == statement.count("</details>") == 3
        assert re.search(rf'raise NotImplementedError\(\s*"Escribe aquí {exercise.name}: ', statement)
        assert re.search(rf"\| `{exercise.name}` \| {exercise.minutes} \| [1-5] de 5 \| [1-5] de 5 \|", text)
    for heading in ("**Al terminar sabrás**", "ejemplo resuelto", "## Para pensar", "**Para seguir.**"):
        assert heading in text, heading
    assert text.count("**Lo que acabas de conseguir.**") == len(exercises)
    assert len(re.findall(r"^show\(", text, re.MULTILINE)) >= len(exercises)
    reflection = next(c for c in book.cells if c.id == "reflexion")
    assert reflection.metadata.nbgrader.grade
    assert reflection.metadata.nbgrader.solution
    assert [
        level for level in ("| excelente |", "| bien |", "| insuficiente |") if level not in reflection.source
    ] == []


def test_there_are_eleven_lessons_with_one_number_and_one_name() -> None:
    folders = [path.parent.name for path in SOURCES]
    assert [folder.split("-")[0] for folder in folders] == [f"{k:02}" for k in range(1, 12)]
    assert all(folder.split("-", 1)[1] == path.stem for folder, path in zip(folders, SOURCES, strict=True))
    assert {p.parent.name for p in (ROOT / "lessons").glob("*/*.ipynb")} == set(folders)


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


# --- abrir un cuaderno suelto ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`convlab` como lo instala quien abre un cuaderno en Binder o Colab: el paquete, sin el repositorio al lado."""
    folder = tmp_path_factory.mktemp("instalado")
    copy = folder / "fuente"
    shutil.copytree(ROOT / "convlab", copy / "convlab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    target = folder / "paquetes"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, copy]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "lessons").glob("*/*.ipynb")), ids=lambda path: path.parent.name)
def test_a_lesson_runs_as_it_is_once_the_package_is_installed(path: Path, installed: Path, tmp_path: Path) -> None:
    """Lo que sirve el botón «Abrir los ejercicios»: sin nada escrito aún, ninguna celda falla ni pide otro archivo."""
    book = nbformat.read(path, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell("import convlab\nprint(convlab.__file__)"))
    environment = dict(os.environ) | {"PYTHONPATH": str(installed)}
    client = nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment)
    assert Path(book.cells[-1].outputs[0].text.strip()).is_relative_to(installed)
    assert not [o for c in book.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
