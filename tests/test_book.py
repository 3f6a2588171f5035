"""Las páginas del libro, leídas como archivos: enlaces, texto alternativo, idioma y nada de más."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from book_site import ROOT, english_words, find_site, page_paths

import convlab
from convlab.exercises import list_exercises, load

bs4 = pytest.importorskip("bs4", reason="hace falta el extra «book»")
yaml = pytest.importorskip("yaml", reason="hace falta el extra «book»")

CHROME = ("#pst-primary-sidebar", ".bd-header-article", ".bd-sidebar-secondary", "footer", "dialog", ".prev-next-area")
LABELS = ".admonition-title, dl.field-list > dt, .rubric, summary, .caption-number"
WORDY = ("title", "aria-label", "placeholder", "data-bs-title", "data-tooltip", "alt")


@pytest.fixture(scope="module")
def site() -> Path:
    return find_site()


@cache
def soup(path: Path) -> bs4.BeautifulSoup:
    return bs4.BeautifulSoup(path.read_text("utf-8"), "html.parser")


def articles(site: Path) -> dict[str, bs4.Tag]:
    """El texto de cada página escrita por nosotros, por su nombre."""
    return {p.stem: soup(p).select_one("article") for p in page_paths(site) if p.parent.name == "book"}


def test_every_page_of_the_table_of_contents_is_built(site: Path) -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    built = {p.relative_to(site).with_suffix("").as_posix() for p in page_paths(site)}
    assert built == {*files, "index", "search"}
    assert not any(f.startswith("solutions") for f in files), "Las soluciones no se publican"


def test_the_matrix_names_every_mistake_and_accepts_every_right_answer(site: Path) -> None:
    for name in list_exercises():
        exercise, table = load(name), soup(site / "book/matriz.html").find(id=f"tab-{re.sub('[._]', '-', name)}")
        heads = [cell.get_text(strip=True) for cell in table.thead.find_all("th")]
        verdicts = [row.find_all("td")[heads.index("Veredicto")].get_text(strip=True) for row in table.tbody("tr")]
        assert verdicts == ["✓"] * (len(exercise.misconceptions) + len(exercise.variants)), name


def test_internal_links_and_anchors_exist(site: Path) -> None:
    anchors = {p: {e["id"] for e in soup(p).find_all(id=True)} for p in page_paths(site)}
    checked, broken = 0, []
    for page in page_paths(site):
        for element in soup(page).find_all(["a", "img", "link", "script", "source"]):
            url = urlsplit(element.get("href") or element.get("src") or "")
            if url.scheme or url.netloc or not (url.path or url.fragment):
                continue
            checked += 1
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            if not target.is_file():
                broken.append(f"{page.name}: no existe {url.geturl()}")
            elif url.fragment and target in anchors and unquote(url.fragment) not in anchors[target]:
                broken.append(f"{page.name}: no hay ancla {url.geturl()}")
    assert checked > 100
    assert not broken, "\n".join(broken)


def test_links_to_other_sites_are_well_formed(site: Path) -> None:
    for page in page_paths(site):
        for link in soup(page).find_all("a", href=True):
            url = urlsplit(link["href"])
            if url.scheme not in {"", "mailto"}:
                assert url.scheme == "https", link["href"]
                assert "." in url.netloc, link["href"]


def test_nothing_is_loaded_from_another_server(site: Path) -> None:
    for page in page_paths(site):
        for element in soup(page).find_all(["script", "img", "link", "iframe", "source", "video", "audio"]):
            address = element.get("src") or (element.get("href") if element.name == "link" else None) or ""
            assert not urlsplit(address).netloc, f"{page.name}: {element}"
    for style in (site / "_static").rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text("utf-8")), style


def test_every_figure_says_what_it_shows(site: Path) -> None:
    missing = []
    for name, article in articles(site).items():
        for image in article.find_all("img"):
            alt = (image.get("alt") or "").strip()
            looks_like_a_path = re.search(r"\.(png|svg|jpe?g)$|_images/", alt)
            if len(alt.split()) < 5 or looks_like_a_path:
                missing.append(f"{name}: {image.get('src')} alt={alt!r}")
    assert not missing, "\n".join(missing)


def test_numbered_figures_and_tables_have_captions(site: Path) -> None:
    for name, article in articles(site).items():
        for caption in article.select("figcaption, table > caption"):
            text = caption.get_text(" ", strip=True)
            assert re.match(r"(Figura|Tabla) \d+ \S+ \S+", text), f"{name}: {text!r}"


def test_no_role_is_left_unresolved(site: Path) -> None:
    """`-W` no ve `{func}` sin destino ni un papel mal escrito, que aparece tal cual en la página."""
    loose = []
    for name, article in articles(site).items():
        loose += [f"{name}: {code.get_text()}" for code in article.select("code.xref") if code.find_parent("a") is None]
        body = bs4.BeautifulSoup(str(article), "html.parser")
        for code in body.select("pre, code, .math"):
            code.decompose()
        roles = re.findall(r"\{[a-z:+-]+\}`[^`]*`?|:(?:func|mod|class|ref):`", body.get_text())
        loose += [f"{name}: {role}" for role in roles]
    assert not loose, "\n".join(loose)


def test_interface_is_in_spanish(site: Path) -> None:
    left = []
    for page in page_paths(site):
        html = soup(page)
        assert html.html["lang"] == "es", page
        chrome = [part for selector in CHROME for part in html.select(selector)]
        texts = [part.get_text(" ") for part in chrome]
        # El título de una cita es la ficha de la obra, en su lengua.
        texts += [e[a] for e in html.select("*:not(a.internal)") for a in WORDY if e.has_attr(a)]
        texts += [e.get_text(" ") for e in html.select(LABELS)]
        left += [f"{page.name}: {sorted(found)} en {t.strip()[:80]!r}" for t in texts if (found := english_words(t))]
    assert not left, "\n".join(left)


def test_english_detector_detects() -> None:
    assert english_words("Toggle primary sidebar") == {"toggle", "sidebar"}
    assert english_words("Mostrar u ocultar el índice: notas y errores") == set()


def test_bibliography_speaks_spanish(site: Path) -> None:
    entries = [e.get_text(" ", strip=True) for e in soup(site / "book/bibliografia.html").select(".citation")]
    assert len(entries) == len(re.findall(r"^@", (ROOT / "book/references.bib").read_text("utf-8"), re.M))

    def surname(entry: str) -> str:
        first = re.split(r", | y |(?<!\s[A-Z])\. (?=[A-Z][a-z])", entry)[0].split()
        particles = [word for word in first[1:-1] if word.islower()]  # «van der»
        return " ".join([*particles, first[-1]]).lower()

    assert entries == sorted(entries, key=surname)
    several = [e for e in entries if " y " in e.split(". ")[0]]
    assert len(several) > len(entries) / 2
    assert not any(" and " in e.split(". ")[0] for e in entries)


def test_every_source_cited_has_its_fields() -> None:
    for entry in re.split(r"\n(?=@)", (ROOT / "book/references.bib").read_text("utf-8"))[1:]:
        given = set(re.findall(r"^\s*(\w+) = \{.+\},$", entry, re.M))
        assert given >= {"author", "title", "year"}, entry
        # Y cómo encontrarla: en arXiv, por su identificador, o en su volumen o informe.
        assert given & {"eprint", "doi", "number"} or given >= {"volume", "pages"}, entry


def test_glossary_defines_each_term_once(site: Path) -> None:
    terms = [dt.get_text().rstrip("#") for dt in soup(site / "book/glosario.html").select("dl.glossary dt")]
    assert len(terms) >= 60
    assert len(terms) == len(set(terms))
    for dd in soup(site / "book/glosario.html").select("dl.glossary dd"):
        sentences = re.findall(r"[.!?](?:\s|$)", dd.get_text(" ", strip=True))
        assert 1 <= len(sentences) <= 3, dd.get_text()


def public_modules() -> list[str]:
    """Los módulos sin guion bajo que alguien importaría; los ejercicios se documentan en la página de la matriz."""
    found = [m.name for m in pkgutil.walk_packages(convlab.__path__, "convlab.")]
    return [n for n in found if "._" not in n and not n.startswith(("convlab.exercises", "convlab.cli"))]


def test_reference_covers_every_public_module() -> None:
    documented = set(re.findall(r"automodule:: (\S+)", (ROOT / "book/api.md").read_text("utf-8")))
    internal = {"convlab.data", "convlab.data.shapes", "convlab.models.registry", "convlab.models.weights"}
    assert set(public_modules()) - internal <= documented
    for name in documented:
        importlib.import_module(name)


def test_launch_buttons_open_notebooks_that_exist(site: Path) -> None:
    repository = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]
    chapters = {page.stem for page in page_paths(site) if page.stem[:2].isdigit()}
    assert chapters
    for lesson in sorted(p for p in (ROOT / "lessons").glob("*/*.ipynb") if p.parent.name in chapters):
        page = site / "book" / f"{lesson.parent.name}.html"
        links = [a["href"] for a in soup(page).select(".dropdown-launch-buttons a")]
        assert len(links) == 2, f"{page.name}: Binder y Colab"
        for link in links:
            assert urlsplit(repository["url"]).path.strip("/") in link
            assert link.endswith(lesson.relative_to(ROOT).as_posix())
    for page in page_paths(site):
        assert not [a["href"] for a in soup(page).select(".dropdown-launch-buttons a") if a["href"].endswith(".md")]


def test_every_page_says_what_it_is_to_whoever_shares_it(site: Path) -> None:
    address, seen = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]["ogp_site_url"], set()
    for page in page_paths(site):
        if page.parent.name != "book":
            continue
        named = {tag.get("name") or tag.get("property"): tag["content"] for tag in soup(page).select("meta[content]")}
        text = named["og:description"]
        assert named["description"] == text, page.name
        assert 50 < len(text) <= 160, f"{page.name}: la descripción ha de caber en un buscador"
        assert text not in seen
        seen.add(text)
        assert named["og:title"] == soup(page).h1.get_text().removesuffix("#"), page.name
        assert named["og:image:alt"].strip(), page.name
        assert (site / named["og:image"].removeprefix(address)).is_file(), named["og:image"]


def test_no_source_nor_solution_is_published(site: Path) -> None:
    assert not (site / "_sources").exists()
    marks = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS")
    for path in site.rglob("*"):
        if path.suffix in {".html", ".js", ".ipynb", ".md", ".txt"} and "mathjax" not in path.parts:
            assert not any(mark in path.read_text("utf-8") for mark in marks), path


def test_search_index_holds_stems(site: Path) -> None:
    index = (site / "searchindex.js").read_text("utf-8")
    terms = json.loads(index.removeprefix("Search.setIndex(").rstrip().removesuffix(")"))["terms"]
    assert "gradient" in terms
    assert "gradientes" not in terms


# Las piezas del libro --------------------------------------------------------------------------------------------


@pytest.fixture
def book_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    monkeypatch.syspath_prepend(str(ROOT / "book"))


@pytest.mark.usefixtures("book_modules")
def test_execution_cache_depends_on_every_byte(tmp_path: Path) -> None:
    from package_cache import digest

    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "pesos.safetensors").write_bytes(b"\0")
    seen = [digest(tmp_path)]
    (tmp_path / "a.py").write_text("x = 2\n")
    seen.append(digest(tmp_path))
    (tmp_path / "pesos.safetensors").write_bytes(b"\1")
    seen.append(digest(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    seen.append(digest(tmp_path))
    assert len(set(seen)) == 4
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/b.pyc").write_bytes(b"2")
    assert digest(tmp_path) == seen[-1]


@pytest.mark.usefixtures("book_modules")
def test_table_is_numbered_and_escaped() -> None:
    import tablas

    assert doctest.testmod(tablas).failed == 0
    rows = [{"a|b": None, "n": 3, "p": 0.12345}, {"a|b": "x|y\n0.5 [-0.1, +1]", "n": 10, "p": 1.0}]
    lines = tablas.table(rows, caption="Pie.", name="tab-x").data.splitlines()
    assert lines[:2] == [":::{table} Pie.", ":name: tab-x"]
    assert lines[3] == "|:--|--:|--:|"
    assert lines[4:6] == ["| — | 3 | 0.123 |", "| x\\|y 0.5 [-0.1,\N{NO-BREAK SPACE}+1] | 10 | 1.000 |"]


def small_book(folder: Path, pages: dict[str, str]) -> Callable[[], dict[str, str]]:
    """Un libro mínimo con nuestra extensión, una celda por página: lo que devuelve lo construye y da cada página."""
    book = folder / "book"
    book.mkdir()
    (book / "_config.yml").write_text(
        textwrap.dedent(f"""\
            execute: {{execute_notebooks: cache}}
            sphinx: {{local_extensions: {{package_cache: "{(ROOT / "book/_ext").as_posix()}"}}}}
            """)
    )
    first, *others = pages
    chapters = "".join(f"  - file: {name}\n" for name in others)
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: {first}\n" + (f"chapters:\n{chapters}" if others else ""))
    header = "---\njupytext:\n  text_representation: {extension: .md, format_name: myst}\n"
    header += "kernelspec: {name: python3, display_name: Python 3}\n---\n"
    for name, cell in pages.items():
        (book / f"{name}.md").write_text(f"{header}# {name}\n\n```{{code-cell}} ipython3\n{cell}\n```\n")

    def build() -> dict[str, str]:
        code = "from jupyter_book.cli.main import main; main()"
        subprocess.run(
            [sys.executable, "-B", "-c", code, "build", "-W", str(book)],
            check=True, capture_output=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
        )  # fmt: skip
        return {name: (book / f"_build/html/{name}.html").read_text("utf-8") for name in pages}

    return build


@pytest.mark.slow
def test_a_changed_package_runs_the_chapters_again(tmp_path: Path) -> None:
    """La celda se vuelve a ejecutar si cambia el paquete, y solo entonces."""
    package = tmp_path / "convlab"
    package.mkdir()
    build = small_book(tmp_path, {"a": "import convlab, time\nprint('valor', convlab.VALUE, time.time_ns())"})
    seen = []
    for value in (1, 1, 2):
        (package / "__init__.py").write_text(f"VALUE = {value}\n")
        seen.append(re.findall(r"valor (\d+) (\d+)", build()["a"])[0])
    first, again, changed = seen
    assert again == first
    assert changed[0] == "2"


@pytest.mark.slow
@pytest.mark.skipif(os.cpu_count() == 1, reason="con un núcleo las páginas van de una en una")
def test_pages_are_executed_at_the_same_time(tmp_path: Path) -> None:
    """Cada página espera a que empiece la otra: de una en una no acabarían."""
    (tmp_path / "convlab").mkdir()
    (tmp_path / "convlab/__init__.py").touch()
    cell = (
        "import time\nfrom pathlib import Path\nPath('empezada-{own}').touch()\nfor _ in range(600):\n"
        "    if Path('empezada-{other}').exists():\n        print('coinciden')\n        break\n    time.sleep(0.1)"
    )
    pages = {"a": cell.format(own="a", other="b"), "b": cell.format(own="b", other="a")}
    for text in small_book(tmp_path, pages)().values():
        assert text.count("coinciden") == 2  # en el código y en lo que imprime
