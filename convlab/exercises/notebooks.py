"""Construye los cuadernos: `solutions/*/*.py` → `solutions/*/*.ipynb` → `lessons/*/*.ipynb`.

Se edita solo el texto py:percent. `python -m convlab.exercises.notebooks` genera lo demás, byte a byte igual cada vez;
con `--check` no escribe nada y dice qué no está al día. nbgrader pasa por alto los metadatos que no entiende y la celda
deja de calificarse: aquí se rechazan.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from convlab.errors import ConvlabError
from convlab.exercises.metadata import validate

__all__ = ["build", "main", "notebook", "out_of_step"]

_CONFIG = "nbgrader_config.py"
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(path: Path) -> str:
    r"""Convierte un texto py:percent en el JSON de su cuaderno, sin salidas ni nada al azar.

    Parameters
    ----------
    path
        Archivo `.py` con celdas `# %%` y metadatos de nbgrader.

    Returns
    -------
    str
        El contenido del `.ipynb`. El identificador de cada celda es su `grade_id` o sale de su contenido.

    Raises
    ------
    ConvlabError
        Si algún metadato está mal escrito o contradice al ejercicio que se califica. El mensaje nombra la celda.

    Examples
    --------
    >>> import json
    >>> path = Path(tempfile.mkdtemp()) / "hola.py"
    >>> _ = path.write_text("# %%\nprint('hola')\n", "utf8")
    >>> json.loads(notebook(path))["cells"][0]["source"]
    ["print('hola')"]
    """
    import jupytext
    import nbformat

    text = path.read_text("utf8")
    book = jupytext.reads(text, fmt="py:percent")
    for cell in book.cells:
        for key in ("lines_to_next_cell", "cell_marker"):  # huellas del formato de texto, no del cuaderno
            cell.metadata.pop(key, None)
    validate(book.cells, text, path)
    used: set[str] = set()
    for cell in book.cells:
        meta = cell.metadata.get("nbgrader")
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()
        base = meta["grade_id"] if meta else f"c-{digest[:10]}"
        cell["id"] = next(name for name in _numbered(base) if name not in used)
        used.add(cell["id"])
    book.metadata = nbformat.from_dict(_METADATA)
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return nbformat.writes(book) + "\n"


def build(root: Path) -> list[Path]:
    """Escribe los cuadernos que cambiaron y borra de `lessons/` lo que sobra.

    Parameters
    ----------
    root
        Carpeta con `nbgrader_config.py` y `solutions/`.

    Returns
    -------
    list[Path]
        Los archivos escritos o borrados, relativos a `root`.

    Raises
    ------
    ConvlabError
        Si falta algo en `root` o una fuente está mal escrita; entonces no se toca ningún archivo.

    Examples
    --------
    >>> build(Path(tempfile.mkdtemp()))
    Traceback (most recent call last):
    convlab.errors.ConvlabError: No hay «nbgrader_config.py» en esta carpeta. Ejecuta la orden en la raíz del proyecto.
    """
    wanted = _expected(root)
    changed = _differences(root, wanted)
    for path in changed:
        target = root / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(wanted[path])
        else:
            target.unlink()
    return changed


def out_of_step(root: Path) -> list[str]:
    """Dice qué archivos generados no corresponden a sus fuentes, sin escribir nada.

    Parameters
    ----------
    root
        Carpeta con `nbgrader_config.py` y `solutions/`.

    Returns
    -------
    list[str]
        Una frase por archivo; vacía si todo está al día.

    Raises
    ------
    ConvlabError
        Si falta algo en `root` o una fuente está mal escrita.

    Examples
    --------
    >>> out_of_step(Path(tempfile.mkdtemp()))
    Traceback (most recent call last):
    convlab.errors.ConvlabError: No hay «nbgrader_config.py» en esta carpeta. Ejecuta la orden en la raíz del proyecto.
    """
    wanted = _expected(root)
    return [
        f"{path}: " + ("sobra" if path not in wanted else "no está al día" if (root / path).exists() else "falta")
        for path in _differences(root, wanted)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ejecuta la orden `python -m convlab.exercises.notebooks` en la carpeta actual.

    Parameters
    ----------
    arguments
        Los de la línea de órdenes; por omisión, los del proceso.

    Returns
    -------
    int
        0 si todo va bien; 1 si con `--check` algo no está al día; 2 si una fuente está mal escrita.

    Examples
    --------
    >>> main(["--check"]) in (0, 1, 2)
    True
    """
    parser = argparse.ArgumentParser(prog="convlab.exercises.notebooks", description="Construye los cuadernos.")
    parser.add_argument("--check", action="store_true", help="no escribe: dice qué no está al día y sale con 1")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            for path in build(Path.cwd()):
                print(path)
            return 0
        problems = out_of_step(Path.cwd())
    except ConvlabError as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Ejecuta «make lecciones» y confirma el resultado.", file=sys.stderr)
    return int(bool(problems))


def _expected(root: Path) -> dict[Path, bytes]:
    """Todo lo que debe haber: los cuadernos de `solutions/` y `lessons/` entero."""
    if not (root / _CONFIG).is_file():
        raise ConvlabError(f"No hay «{_CONFIG}» en esta carpeta. Ejecuta la orden en la raíz del proyecto.")
    sources = sorted((root / "solutions").glob("*/*.py"))
    if not sources:
        raise ConvlabError("No hay ninguna fuente «solutions/LECCIÓN/NOMBRE.py».")
    books = {p.with_suffix(".ipynb").relative_to(root): notebook(p).encode() for p in sources}
    return books | _release(root, books)


def _release(root: Path, books: dict[Path, bytes]) -> dict[Path, bytes]:
    """Lo que nbgrader publica a partir de esos cuadernos, en un curso de usar y tirar."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log
    from traitlets.config.loader import PyFileConfigLoader

    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder).resolve()
        shutil.copytree(root / "solutions", course / "solutions", ignore=shutil.ignore_patterns("*.ipynb", ".*"))
        for path, content in books.items():
            (course / path).write_bytes(content)
        config = PyFileConfigLoader(_CONFIG, path=str(root)).load_config()
        config.CourseDirectory.root = str(course)
        # Publicar no necesita el libro de notas, y crearlo exige tener «alembic» en el PATH.
        config.GenerateAssignment.no_database, config.SaveCells.enabled = True, False
        for name in sorted({path.parts[1] for path in books}):
            config.CourseDirectory.assignment_id = name
            result = capture_log(GenerateAssignment(coursedir=CourseDirectory(config=config), config=config))
            if not result["success"]:
                raise ConvlabError(
                    f"nbgrader no pudo publicar «{name}». Esto es lo que dice:\n{result.get('log', result['error'])}"
                )
        return {p.relative_to(course): p.read_bytes() for p in (course / "lessons").rglob("*") if p.is_file()}


def _differences(root: Path, wanted: dict[Path, bytes]) -> list[Path]:
    found = {*(root / "solutions").glob("*/*.ipynb"), *(p for p in (root / "lessons").rglob("*") if p.is_file())}
    present = {
        p.relative_to(root) for p in found if not any(part.startswith(".") for part in p.relative_to(root).parts)
    }
    return sorted(
        path
        for path in present | set(wanted)
        if path not in wanted or path not in present or (root / path).read_bytes() != wanted[path]
    )


def _numbered(base: str) -> Iterator[str]:
    yield base
    count = 2
    while True:
        yield f"{base}-{count}"
        count += 1


if __name__ == "__main__":
    raise SystemExit(main())
