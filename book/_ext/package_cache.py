"""Caché de ejecución atada a `convlab`: si el paquete cambia, los capítulos se ejecutan de nuevo.

jupyter-cache decide por el texto de las celdas y no ve que ha cambiado lo que importan. Aquí la carpeta de la
caché lleva en el nombre un resumen de todo lo que el libro ejecuta o lee: el paquete (código, pesos y tablas), los
módulos del propio libro, los cuadernos y lo medido aparte. Como además es un valor de configuración, Sphinx relee todas
las páginas, incluida la de la API.

Lo que falta en la caché se ejecuta antes de leer las páginas, varias a la vez: Sphinx las ejecutaría de una en una.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)

BOOK = Path(__file__).resolve().parent.parent
TOOLS = {BOOK / "assets.py", BOOK / "build.py", BOOK / "pdf.py"}
"""Lo que construye o imprime el libro, y sus páginas no usan."""
READ = ("benchmarks/medidas.json", "tests/mutants.json", "CITATION.cff", "lessons/*/*.ipynb")
"""Lo que las páginas leen fuera del paquete."""


def digest(root: Path) -> str:
    """Resume el contenido de una carpeta: nombres y bytes, sin lo que Python compila."""
    summary = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            summary.update(path.relative_to(root).as_posix().encode() + b"\0")
            summary.update(hashlib.sha256(path.read_bytes()).digest())
    return summary.hexdigest()[:12]


def set_cache_path(app: Sphinx, config: Config) -> None:
    spec = find_spec("convlab")
    if spec is None or spec.origin is None:
        raise ConfigError("No encuentro `convlab`: instálalo con `pip install -e .` antes de construir el libro.")
    read = [path for pattern in READ for path in BOOK.parent.glob(pattern)]
    modules = {*BOOK.glob("*.py"), *BOOK.glob("_ext/*.py")} - TOOLS
    own = b"".join(path.read_bytes() for path in sorted([*modules, *read]))
    key = f"{digest(Path(spec.origin).parent)}-{hashlib.sha256(own).hexdigest()[:12]}"
    config.nb_execution_cache_path = str(Path(app.outdir).parent / f".jupyter_cache-{key}")


def execute_ahead(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Ejecuta, una por núcleo y cuatro como mucho, las páginas que faltan en la caché, y las guarda en ella.

    La que falla no se guarda: al leerla, myst-nb la ejecuta otra vez y cuenta el fallo como siempre.
    """
    cache, pending = get_cache(app.config.nb_execution_cache_path), []
    for path in (Path(env.doc2path(name)) for name in docnames):
        text = path.read_text("utf-8")
        reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)  # type: ignore[attr-defined]
        notebook = reader and reader.read(text)
        if notebook and any(cell.cell_type == "code" for cell in notebook.cells):
            try:
                cache.match_cache_notebook(notebook)
            except KeyError:
                pending.append((path, reader.read_fmt, notebook))

    def run(item: Any) -> ExecutionResult:
        path, _, notebook = item
        limit = app.config.nb_execution_timeout
        return single_nb_execution(notebook, cwd=str(path.parent), timeout=limit, allow_errors=False)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:  # cada una ocupa más de un giga
        pending.reverse()  # las dos que más tardan van al final del índice: se empieza por ellas y nada queda esperando
        for (path, kind, notebook), result in zip(pending, pool.map(run, pending), strict=True):
            LOGGER.info("%s: %.0f s%s", path.name, result.time, " y falló" if result.err else "")
            if result.err is None:
                uri = cache.add_nb_to_project(str(path), read_data=kind).uri
                bundle = CacheBundleIn(notebook, uri, data={"execution_seconds": result.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def drop_old_caches(app: Sphinx, _exception: Exception | None) -> None:
    current = Path(app.config.nb_execution_cache_path)
    for path in current.parent.glob(".jupyter_cache-*"):
        if path != current:
            shutil.rmtree(path)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", set_cache_path)
    app.connect("env-before-read-docs", execute_ahead)
    app.connect("build-finished", drop_old_caches)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
