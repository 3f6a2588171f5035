"""Arreglos del tema: lo que no se puede configurar.

- los botones de abrir llevan al cuaderno de ejercicios de la lección (Colab no sabe abrir un capítulo en Markdown);
- sphinx-thebe no carga nada: viene siempre con Jupyter Book, nombra un guion de otro servidor y deja un error en la
  consola;
- cada página se describe a los buscadores y a quien la comparte con la frase de su cabecera, y ha de tenerla;
- los rótulos escritos a mano en las plantillas pasan al español, y se corrigen sus fallos de accesibilidad y de
  JavaScript.

Los reemplazos exigen encontrar lo que buscan: si el tema cambia, la construcción avisa en vez de volver al inglés.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)

PAGES = {
    'bd-docs-nav" aria-label="Main">': 'bd-docs-nav" aria-label="Índice del libro">',
    '<nav aria-label="Page">': '<nav aria-label="Apartados de esta página">',
    'title="Toggle primary sidebar"': 'title="Mostrar u ocultar el índice" aria-label="Mostrar u ocultar el índice"',
    'title="Toggle secondary sidebar"': (
        'title="Mostrar u ocultar los apartados" aria-label="Mostrar u ocultar los apartados"'
    ),
    '<div id="pst-primary-sidebar" class="bd-sidebar-primary bd-sidebar">': (
        '<div id="pst-primary-sidebar" class="bd-sidebar-primary bd-sidebar" role="complementary" '
        'aria-label="Barra lateral">'
    ),
}
CONTENT = {  # solo donde el texto lo usa
    '<summary aria-label="Toggle hidden content">': "<summary>",
    '<aside class="margin sidebar">': '<aside class="margin sidebar" role="note">',
    ' role="doc-biblioentry"': ' role="listitem"',  # el primero está en desuso y no vale dentro de una lista
}
SCRIPTS = {
    "togglebutton.js": {
        'aria-label="Toggle hidden content"': 'aria-label="Mostrar u ocultar este recuadro"',
    },
    "scripts/sphinx-book-theme.js": {  # no todas las páginas tienen barra de apartados
        'document.querySelector("div.bd-sidebar-secondary").classList': (
            'document.querySelector("div.bd-sidebar-secondary")?.classList'
        ),
    },
}


def drop_thebe(app: Sphinx) -> None:
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            if listener.handler.__module__.partition(".")[0] == "sphinx_thebe":
                app.disconnect(listener.id)
    app.registry.css_files[:] = [entry for entry in app.registry.css_files if "thebe" not in entry[0]]


def lesson_notebook(root: Path, pagename: str) -> str | None:
    """El cuaderno de ejercicios del capítulo: `book/09-gradcam` → `lessons/09-gradcam/gradcam.ipynb`."""
    found = sorted((root / "lessons" / Path(pagename).name).glob("*.ipynb"))
    return found[0].relative_to(root).as_posix() if found else None


def fix_buttons(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    notebook = lesson_notebook(Path(app.srcdir), pagename)
    kept = []
    for group in context.get("header_buttons", []):
        label, buttons = group.get("label"), group.get("buttons", [])
        if label == "launch-buttons":
            if notebook is None:
                continue
            for button in buttons:
                button["url"] = button["url"].replace(f"{pagename}.md", notebook)
        elif label == "source-buttons":
            for button in buttons:
                if button["label"] == "source-issues-button":
                    title = quote(f"Error en la página {pagename}")
                    button["url"] = button["url"].partition("?")[0] + f"?title={title}"
        elif label == "download-buttons":
            group["buttons"] = [b for b in buttons if b["label"] != "download-source-button"]
        kept.append(group)
    context["header_buttons"] = kept


def describe(_app: Sphinx, pagename: str, _template: str, context: dict[str, Any], doctree: object) -> None:
    if doctree is None:  # la búsqueda y otras páginas sin texto
        return
    meta = context["meta"] = dict(context.get("meta") or {})
    text = meta.get("description")
    if not text:
        LOGGER.warning("theme_fixes: a %s le falta «description» en la cabecera.", pagename)
        return
    meta["og:description"] = text  # de aquí lo toma sphinxext-opengraph
    context["metatags"] += f'<meta name="description" content="{escape(text)}">\n'


def replace_all(paths: list[Path], replacements: dict[str, str], *, required: bool = True) -> None:
    seen = set()
    for path in paths:
        text = original = path.read_text("utf-8")
        for old, new in replacements.items():
            if old in text or new in text:  # lo segundo, si la construcción aprovechó una página ya arreglada
                seen.add(old)
            text = text.replace(old, new)
        if text != original:
            path.write_text(text, "utf-8")
    for old in replacements.keys() - seen if required else ():
        LOGGER.warning("theme_fixes: el tema ya no contiene %r; hay que revisar este arreglo.", old)


def write_entrance(path: Path, root: str, title: str) -> None:
    """La página de entrada solo lleva a la primera; la de Jupyter Book no dice ni su idioma ni su título."""
    path.write_text(
        f"""<!DOCTYPE html>
<html lang="es">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={root}.html">
<link rel="icon" href="_static/favicon.svg">
</head>
<body><main><h1>{title}</h1><p><a href="{root}.html">Entrar en el libro</a></p></main></body>
</html>
""",
        "utf-8",
    )


def fix_output(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pages = sorted(p for p in out.rglob("*.html") if "_static" not in p.parts and p != out / "index.html")
    replace_all(pages, PAGES)
    replace_all(pages, CONTENT, required=False)
    for name, replacements in SCRIPTS.items():
        replace_all([out / "_static" / name], replacements)
    write_entrance(out / "index.html", app.config.root_doc, app.config.html_title)


def setup(app: Sphinx) -> dict[str, Any]:
    drop_thebe(app)
    app.connect("html-page-context", fix_buttons, priority=900)
    app.connect("html-page-context", describe, priority=100)  # antes que sphinxext-opengraph
    app.connect("build-finished", fix_output, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
