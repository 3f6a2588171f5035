"""Caché de ejecución atada a `convlab`: si el paquete cambia, los capítulos se ejecutan de nuevo.

jupyter-cache decide por el texto de las celdas y no ve que ha cambiado lo que importan. Aquí la carpeta de la
caché lleva en el nombre un resumen de todo lo que el libro ejecuta o lee: el paquete (código, pesos y tablas), los
módulos del propio libro, los cuadernos y lo medido aparte. Como además es un valor de configuración, Sphinx relee todas
las páginas, incluida la de la API.
"""

from __future__ import annotations

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

BOOK = Path(__file__).resolve().parent.parent
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
    own = b"".join(path.read_bytes() for path in sorted([*BOOK.glob("*.py"), *BOOK.glob("_ext/*.py"), *read]))
    key = f"{digest(Path(spec.origin).parent)}-{hashlib.sha256(own).hexdigest()[:12]}"
    config.nb_execution_cache_path = str(Path(app.outdir).parent / f".jupyter_cache-{key}")


def drop_old_caches(app: Sphinx, _exception: Exception | None) -> None:
    current = Path(app.config.nb_execution_cache_path)
    for path in current.parent.glob(".jupyter_cache-*"):
        if path != current:
            shutil.rmtree(path)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", set_cache_path)
    app.connect("build-finished", drop_old_caches)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
