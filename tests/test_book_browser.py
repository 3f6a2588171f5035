"""Las páginas del libro, abiertas en Chromium: de ancho y de móvil, claras y oscuras.

Cada página se visita una vez por modo y se anota todo lo que se ve; las pruebas preguntan después a esas notas.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from book_site import ROOT, english_words, find_site, page_paths, skip

bs4 = pytest.importorskip("bs4", reason="hace falta el extra «book»")
sync_api = pytest.importorskip("playwright.sync_api", reason="hace falta el extra «dev»")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(1500),  # la primera prueba visita todas las páginas en todos los modos
]

AXE = ROOT / "book/node_modules/axe-core"
BASELINE = Path(__file__).with_name("axe_baseline.json")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MODES = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

AUDIT = """async ([rules, excluded]) => {
  const rest = { preload: false, resultTypes: ["violations"] };
  const contrast = { runOnly: { type: "rule", values: ["color-contrast"] }, ...rest };
  const other = { runOnly: rules, rules: { "color-contrast": { enabled: false } }, ...rest };
  const found = (await axe.run({ exclude: excluded }, contrast)).violations;
  return rules ? [...found, ...(await axe.run(other)).violations] : found;
}"""
# Medir el contraste es lo que más tarda: de lo que se repite con el mismo estilo, se mide el principio.
REPEATED = ["dl.py ~ dl.py ~ dl.py", "tr:nth-child(n + 7)"]
LOOK = """() => {
  const unfiltered = (e) => {
    for (; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.filter !== "none" || style.mixBlendMode !== "normal" || style.opacity !== "1") return false;
    }
    return true;
  };
  const images = [...document.querySelectorAll("article img")];
  const named = ["title", "aria-label", "placeholder", "alt", "data-tooltip", "data-bs-title",
    "data-bs-original-title", "data-toggle-hint"];
  const words = [];
  for (const element of document.querySelectorAll("*:not(a.internal)"))
    for (const name of named) if (element.getAttribute(name)) words.push(element.getAttribute(name));
  for (const element of document.querySelectorAll("header, footer, dialog, nav, button, summary, #search-results"))
    words.push(element.textContent);
  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    theme: document.documentElement.dataset.theme,
    altered: images.filter((image) => !unfiltered(image)).map((image) => image.src.slice(-60)),
    unloaded: images.filter((image) => !image.complete || !image.naturalWidth).map((image) => image.src.slice(-60)),
    formulas: document.querySelectorAll(".math").length,
    typeset: document.querySelectorAll("mjx-container").length,
    spoken: document.querySelectorAll("mjx-assistive-mml math").length,
    broken: document.querySelectorAll("mjx-merror").length,
    words,
  };
}"""


@dataclass
class Visit:
    """Lo que se vio en una página a un ancho y con un tema."""

    page: str
    width: int
    scheme: str
    seen: dict[str, Any] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    axe: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page} ({self.width} px, {self.scheme})"


@pytest.fixture(scope="module")
def site() -> Path:
    return find_site()


@pytest.fixture(scope="module")
def pdf() -> Iterator[Any]:
    """El módulo que imprime el libro; trae además el servidor con el que se abre."""
    pytest.importorskip("pypdf", reason="hace falta el extra «dev»")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "book")
        yield importlib.import_module("pdf")


@pytest.fixture(scope="module")
def address(site: Path, pdf: Any) -> Iterator[str]:
    with pdf.served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        skip("No hay Chromium en esta máquina (en Debian, el paquete «chromium»).")
    with sync_api.sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield instance
        instance.close()


def open_page(browser: Any, address: str, visit: Visit) -> Any:
    """Una pestaña que anota en `visit` los errores y lo que se pida a otro servidor, que no se le deja pedir."""
    context = browser.new_context(
        viewport={"width": visit.width, "height": 900},
        color_scheme=visit.scheme,
        locale="es-ES",
        reduced_motion="reduce",
    )
    page = context.new_page()

    def guard(route: Any) -> None:
        url = route.request.url
        if url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            visit.outside.append(url)
            route.abort()

    page.route("**/*", guard)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.on("response", lambda r: visit.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    return page


def settle(page: Any) -> None:
    """Espera a que la página deje de moverse: las fórmulas compuestas y las letras puestas."""
    page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")


def content_pages(site: Path) -> list[Path]:
    return [path for path in page_paths(site) if path != site / "index.html"]  # esa solo lleva a la primera


@pytest.fixture(scope="module")
def visits(site: Path, address: str, browser: Any) -> list[Visit]:
    axe = (AXE / "axe.min.js").read_text("utf-8")
    made = []
    for width, scheme in MODES:
        for path in content_pages(site):
            visit = Visit(path.relative_to(site).as_posix(), width, scheme)
            page = open_page(browser, address, visit)
            page.goto(address + visit.page)
            settle(page)
            page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            visit.seen = page.evaluate(LOOK)
            if width == MODES[0][0]:  # el contenido y los colores son los mismos en el móvil
                page.evaluate(axe)
                # De claro a oscuro solo cambian los colores.
                visit.axe = page.evaluate(AUDIT, [RULES if scheme == MODES[0][1] else None, REPEATED])
            page.context.close()
            made.append(visit)
    return made


def collect(visits: list[Visit], pick: str) -> list[str]:
    return [f"{visit}: {found}" for visit in visits if (found := visit.seen[pick])]


def test_every_page_was_seen_in_every_mode(visits: list[Visit], site: Path) -> None:
    assert len(visits) == len(MODES) * len(content_pages(site)) >= 4 * 6
    assert all(v.seen["theme"] == v.scheme for v in visits)


def test_entrance_leads_to_the_first_page(browser: Any, address: str) -> None:
    visit = Visit("index.html", 1280, "light")
    page = open_page(browser, address, visit)
    page.goto(address)
    page.wait_for_url("**/book/indice.html")
    page.context.close()
    assert not visit.errors


def test_no_request_leaves_the_server(visits: list[Visit]) -> None:
    assert not [f"{v}: {v.outside}" for v in visits if v.outside]


def test_no_errors_in_the_console(visits: list[Visit]) -> None:
    assert not [f"{v}: {v.errors}" for v in visits if v.errors]


def test_no_page_scrolls_sideways(visits: list[Visit]) -> None:
    assert not collect(visits, "overflow")


def test_dark_mode_leaves_images_alone(visits: list[Visit]) -> None:
    assert not collect(visits, "altered")
    assert not collect(visits, "unloaded")


def test_formulas_are_typeset_and_spoken(visits: list[Visit]) -> None:
    assert any(v.seen["formulas"] for v in visits)
    for visit in visits:
        assert visit.seen["typeset"] >= visit.seen["formulas"], visit
        assert visit.seen["spoken"] == visit.seen["typeset"], visit
        assert visit.seen["broken"] == 0, visit


def test_interface_stays_in_spanish_once_scripts_have_run(visits: list[Visit]) -> None:
    left = {f"{v.page}: {sorted(found)} en {w.strip()[:80]!r}" for v in visits for w in v.seen["words"] if (found := english_words(w))}  # fmt: skip  # noqa: E501
    assert not left, "\n".join(sorted(left))


def test_no_new_accessibility_violation(visits: list[Visit]) -> None:
    """La línea base solo admite faltas del tema, por regla y selector; cualquier otra es nueva y falla."""
    baseline = {
        (rule, selector) for rule, selectors in json.loads(BASELINE.read_text()).items() for selector in selectors
    }
    new = set()
    for visit in visits:
        for violation in visit.axe:
            for node in violation["nodes"]:
                selector = " ".join(map(str, node["target"]))
                if (violation["id"], selector) not in baseline:
                    new.add(f"{visit}: {violation['id']} ({violation['impact']}) en {selector}: {node['html'][:120]}")
    assert not new, "\n".join(sorted(new))


def test_axe_sees_what_we_plant(browser: Any, address: str) -> None:
    visit = Visit("book/indice.html", 1280, "light")
    page = open_page(browser, address, visit)
    page.goto(address + visit.page)
    settle(page)
    planted = '<img src="x.png"><p style="color: #ccc; background: #fff">Apenas se lee</p>'
    page.evaluate("(html) => document.querySelector('article').insertAdjacentHTML('beforeend', html)", planted)
    page.evaluate((AXE / "axe.min.js").read_text("utf-8"))
    found = page.evaluate(AUDIT, [RULES, []])
    page.context.close()
    assert {"image-alt", "color-contrast"} <= {violation["id"] for violation in found}


# La búsqueda -----------------------------------------------------------------------------------------------------


def search(browser: Any, address: str, words: str) -> list[str]:
    """Las páginas que salen al buscar, en orden."""
    visit = Visit("search.html", 1280, "light")
    page = open_page(browser, address, visit)
    page.goto(f"{address}search.html?q={quote(words)}")
    page.wait_for_selector("#search-results .search-summary")
    page.wait_for_function(
        "() => /finaliz|no coincid|no produj/i.test(document.querySelector('.search-summary').textContent)"
    )
    links = page.eval_on_selector_all("#search-results li a", "links => links.map((link) => link.href)")
    assert not visit.errors
    assert not visit.outside
    page.context.close()
    return [Path(urlsplit(link).path).stem for link in links]


@pytest.mark.parametrize(
    "query", ["desagrupaciones", "perturbaciones", "equivarianzas", "maximizacion", "RETROPROPAGACION"]
)
def test_search_finds_other_forms_of_a_word(browser: Any, address: str, site: Path, query: str) -> None:
    """La forma buscada no está en la página (o no así, sin tilde), y aun así la encuentra."""
    text = bs4.BeautifulSoup((site / "book/glosario.html").read_text("utf-8"), "html.parser").article.get_text()
    assert query.lower() not in text.lower()
    assert "glosario" in search(browser, address, query)


def test_search_finds_nothing_for_nonsense(browser: Any, address: str) -> None:
    assert search(browser, address, "xilofonear") == []


def test_browser_and_index_agree_on_every_stem(
    browser: Any, address: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quien hace el índice y quien hace la consulta son dos programas: han de reducir igual cada palabra del libro."""
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    from search_es import AccentTolerantSpanish

    words = set()
    for path in page_paths(site):
        text = bs4.BeautifulSoup(path.read_text("utf-8"), "html.parser").get_text(" ").lower()
        words |= set(re.findall(r"[a-záéíóúüñ]{3,}", text))
    vocabulary = sorted(words | {"maximizacion", "activacion", "oclusiones", "gradientes"})
    assert len(vocabulary) > 1000
    visit = Visit("search.html", 1280, "light")
    page = open_page(browser, address, visit)
    page.goto(address + visit.page)
    found = page.evaluate("(words) => { const s = new Stemmer(); return words.map((w) => s.stemWord(w)); }", vocabulary)
    page.context.close()
    python = AccentTolerantSpanish({})
    assert {w: f for w, f in zip(vocabulary, found, strict=True) if f != python.stem(w)} == {}


def test_the_book_is_printed_whole(site: Path, pdf: Any, tmp_path: Path) -> None:
    """Cada página empieza donde dice el índice, con su título; los enlaces internos no salen del documento."""
    target = tmp_path / "convlab.pdf"
    command = [sys.executable, ROOT / "book/pdf.py", site, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (site / "book" / pdf.PRINTED).exists()
    reader = pdf.PdfReader(target)
    numbers = pdf.page_numbers(target)
    index = squeezed(reader.pages[1].extract_text())
    for name, _ in pdf.chapters():
        number = numbers[pdf.anchor(name)]
        article = pdf.article(site, name, set())
        title = squeezed(article.h1.get_text())
        assert title in squeezed(reader.pages[number - 1].extract_text()), f"{title}: página {number}"
        assert f"{title}{number}" in index
        assert not article.select("summary:-soup-contains('Mostrar el código')")
    addresses = [
        action["/URI"]
        for page in reader.pages
        for note in page.get("/Annots", [])
        if "/URI" in (action := note.get_object().get("/A", {}))
    ]
    assert addresses
    assert not [url for url in addresses if "127.0.0.1" in url or url.startswith("file:")]


def squeezed(text: str) -> str:
    return "".join(text.split())
