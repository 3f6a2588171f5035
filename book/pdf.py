"""Imprime el libro ya construido, con Chromium: `make pdf`, o `python book/pdf.py [LIBRO] [ARCHIVO]`.

Junta los artículos de todas las páginas en una sola, con sus enlaces internos, las respuestas desplegadas y sin el
código que la web enseña plegado, y la imprime dos veces: la primera dice en qué página cae cada capítulo; la segunda
lo escribe en el índice.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bs4
import yaml
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parent.parent
PRINTED = "libro-impreso.html"
DROPPED = ".headerlink, section:has(> .toctree-wrapper), details.above-input, script"
MARGIN = {"top": "18mm", "bottom": "20mm", "left": "17mm", "right": "17mm"}
FOOTER = (
    '<div style="width: 100%; text-align: center; font: 8pt sans-serif; color: #444">'
    'ConvLab · <span class="pageNumber"></span></div>'
)
STYLE = """
html { font-size: 10pt; }
body { padding: 0; background: #fff; }
.bd-article { padding: 0; }
section.page { break-before: page; }
h1, h2, h3, figcaption, caption { break-after: avoid; }
figure, tr, .admonition-title { break-inside: avoid; }
.bd-article img { width: auto; max-height: 190mm; }
.admonition img { max-height: 50mm; }
.bd-article pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.bd-article table { font-size: 7.5pt; width: 100%; table-layout: auto; }
.bd-article table :is(td, th) { padding: 0.15rem 0.3rem; white-space: normal; overflow-wrap: anywhere; }
.bd-article td code span.pre { white-space: normal; }
.bd-article :is(.pst-scrollable-table-container, .cell_output) { overflow: visible; }
.bd-article aside.margin { float: none; width: 100%; margin-inline: 0; }
dl.py dl.field-list, dl.py dd { margin-block: 0.1rem; }
.portada { height: 235mm; display: flex; flex-direction: column; justify-content: center; }
.portada h1 { font-size: 30pt; }
.indice p { display: flex; gap: 1em; margin: 0.15rem 0; }
.indice p span:first-child { flex: 1; }
.indice .parte { margin-top: 1rem; font-weight: 650; }
"""
NUMBER = """(numbers) => {
  for (const place of document.querySelectorAll("[data-inicio]")) place.textContent = numbers[place.dataset.inicio];
}"""


def chapters() -> Iterator[tuple[str, str | None]]:
    """Las páginas en el orden del índice, cada una con la parte que abre, si abre alguna."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    yield toc["root"], None
    for part in toc["parts"]:
        for k, chapter in enumerate(part["chapters"]):
            yield chapter["file"], part["caption"] if k == 0 else None


def anchor(page: str, fragment: str = "") -> str:
    return f"{Path(page).stem}--{fragment}" if fragment else f"{Path(page).stem}--inicio"


def article(site: Path, page: str, pages: set[str]) -> bs4.Tag:
    """El artículo de una página, con identificadores que no chocan con los de otra."""
    tree = bs4.BeautifulSoup((site / f"{page}.html").read_text("utf-8"), "html.parser")
    found = tree.select_one("article")
    for element in found.select(DROPPED):
        element.decompose()
    for element in found.find_all(id=True):
        element["id"] = anchor(page, element["id"])
    for details in found.find_all("details"):
        details["open"] = ""
    for link in found.find_all("a", href=True):
        url = urlsplit(link["href"])
        if url.scheme or url.netloc:
            continue
        target = f"{Path(page).parent / url.path.removesuffix('.html')}" if url.path else page
        if target in pages:
            link["href"] = f"#{anchor(target, url.fragment)}"
        else:
            del link["href"]  # la búsqueda y lo demás que solo hay en la web
    section = tree.new_tag("section", attrs={"class": "page", "id": anchor(page)})
    section.append(found)
    return section


def contents(titles: dict[str, str]) -> str:
    lines = []
    for page, part in chapters():
        if part:
            lines.append(f'<p class="parte">{part}</p>')
        start = anchor(page)
        lines.append(f'<p><span><a href="#{start}">{titles[page]}</a></span><span data-inicio="{start}">000</span></p>')
    listed = "".join(lines)
    return f'<section class="page indice"><article class="bd-article"><h1>Índice</h1>{listed}</article></section>'


def document(site: Path) -> str:
    pages = [page for page, _ in chapters()]
    first = bs4.BeautifulSoup((site / f"{pages[0]}.html").read_text("utf-8"), "html.parser")
    styles = "".join(str(link) for link in first.head.find_all("link", rel="stylesheet"))
    mathjax = "".join(str(s) for s in first.head.find_all("script") if "mathjax" in str(s).lower())
    title = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["title"]
    articles = {page: article(site, page, set(pages)) for page in pages}
    titles = {page: found.h1.get_text() for page, found in articles.items()}
    cover = (
        f'<article class="bd-article portada"><h1>{title}</h1><p>El equipo de ConvLab</p>'
        "<p>Texto y figuras: CC BY 4.0. Código: MIT.</p></article>"
    )
    return (
        f'<!DOCTYPE html><html lang="es" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>'
        f"{styles}<style>{STYLE}</style>{mathjax}</head><body>{cover}{contents(titles)}"
        f"{''.join(map(str, articles.values()))}</body></html>"
    )


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """La carpeta, por HTTP: de un archivo suelto Chromium no carga los tipos de letra de las fórmulas."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def print_page(page: Any, target: Path) -> None:
    page.pdf(
        path=target,
        format="A4",
        margin=MARGIN,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        outline=True,
        tagged=True,
    )


def page_numbers(target: Path) -> dict[str, int]:
    reader = PdfReader(target)
    places = reader.named_destinations
    return {name.removeprefix("/"): reader.get_destination_page_number(place) + 1 for name, place in places.items()}


def main(site: Path, target: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Falta Chromium para imprimir: en Debian, el paquete «chromium».")
    if not (site / "book/indice.html").is_file():
        sys.exit(f"No hay libro construido en «{site}»: ejecuta antes `make libro`.")
    source = site / "book" / PRINTED  # junto a las páginas, para que valgan sus rutas
    with sync_playwright() as playwright, served(site) as address:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            source.write_text(document(site), "utf-8")
            page = browser.new_page()
            page.set_default_timeout(600_000)
            page.goto(f"{address}book/{PRINTED}")
            page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
            print_page(page, target)
            page.evaluate(NUMBER, page_numbers(target))
            print_page(page, target)
        finally:
            source.unlink(missing_ok=True)
            browser.close()
    print(f"{target}: {len(PdfReader(target).pages)} páginas")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Imprime en un PDF el libro construido.")
    parser.add_argument("site", nargs="?", type=Path, metavar="LIBRO", default=ROOT / "_build/html")
    parser.add_argument("target", nargs="?", type=Path, metavar="ARCHIVO", default=ROOT / "_build/convlab.pdf")
    main(**vars(parser.parse_args()))
