"""Dónde está el libro construido y qué páginas tiene; lo comparten las comprobaciones con y sin navegador."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def skip(reason: str) -> None:
    """Salta la prueba y dice por qué; donde el navegador es obligatorio (integración continua), falla."""
    if os.environ.get("CONVLAB_EXIGE_NAVEGADOR") == "1":
        pytest.fail(f"{reason} Con CONVLAB_EXIGE_NAVEGADOR=1 no se salta nada.")
    pytest.skip(reason)


def find_site() -> Path:
    """La carpeta del libro: `CONVLAB_LIBRO` si está, y entonces debe haber libro, o `_build/html`."""
    chosen = os.environ.get("CONVLAB_LIBRO")
    site = (ROOT / (chosen or "_build/html")).resolve()
    if not (site / "book/indice.html").is_file():
        if chosen:
            pytest.fail(f"CONVLAB_LIBRO={chosen}, pero ahí no hay un libro. Constrúyelo con `make libro`.")
        skip("No hay libro construido (se construye con `make libro`).")
    return site


def page_paths(site: Path) -> list[Path]:
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)


# Palabras con las que el tema, Sphinx y sus extensiones hablan en inglés; ninguna es española ni un término del curso.
ENGLISH = frozenset(
    {"click", "close", "collapse", "contents", "copied", "copy", "danger", "dark", "download", "edit", "examples"}
    | {"expand", "fullscreen", "hide", "home", "important", "issue", "launch", "light", "link", "main", "next", "note"}
    | {"notes", "open", "page", "pages", "parameters", "previous", "print", "raises", "references", "repository"}
    | {"results", "returns", "search", "searching", "section", "show", "sidebar", "skip", "source", "suggest", "tip"}
    | {"theme", "this", "toggle", "type", "warning", "with", "yields"}
)


def english_words(text: str) -> set[str]:
    return {word.strip(".,:;()[]«»\"'…").lower() for word in text.split()} & ENGLISH
