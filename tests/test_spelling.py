"""Ortografía: cada palabra que lee una persona está en el diccionario de español o en `book/palabras.txt`.

Se mira lo que se lee, no las fuentes: las páginas construidas (con sus pies, sus textos alternativos y la referencia,
que sale de las cadenas de documentación), los cuadernos y los documentos del repositorio.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from book_site import ROOT, find_site, page_paths

bs4 = pytest.importorskip("bs4", reason="hace falta el extra «book»")
markdown_it = pytest.importorskip("markdown_it", reason="hace falta el extra «book»")
hunspell = pytest.importorskip("spylls.hunspell", reason="hace falta el extra «dev»")

DICTIONARY = ROOT / "book/node_modules/dictionary-es/index"
LIST = ROOT / "book/palabras.txt"
UNREAD = (  # código, fórmulas, nombres de parámetros y tipos, y títulos de artículos
    "code, pre, script, style, .math, mjx-container, .headerlink, .eqno, .citation, a.bibtex, .sig, "
    "dl.field-list strong, dl.field-list em, dl.attribute dl.field-list"
)
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
ADDRESS = re.compile(r"\S*(?:://|@|\.(?:py|md|ipynb|csv|db|html|json|txt|toml|org|com)\b)\S*|\w+_\w*|\w*\d\w*")


def known_words() -> list[str]:
    lines = LIST.read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@cache
def surnames() -> frozenset[str]:
    """Los de la bibliografía: se citan por su apellido."""
    authors = re.findall(r"author = \{(.+)\},", (ROOT / "book/references.bib").read_text("utf-8"))
    return frozenset(word for names in authors for word in WORD.findall(re.sub(r"[{}\\'\"]", "", names)))


@cache
def dictionary() -> Any:
    if not DICTIONARY.with_suffix(".aff").is_file():
        pytest.skip("Falta el diccionario (lo trae `make libro`).")
    return hunspell.Dictionary.from_files(str(DICTIONARY))


@cache
def right(word: str) -> bool:
    # Una sola letra o varias mayúsculas no son una palabra escrita mal: son un símbolo, una sigla o un nombre.
    return len(word) == 1 or sum(c.isupper() for c in word) > 1 or word in surnames() or dictionary().lookup(word)


def words_in(text: str) -> set[str]:
    return set(WORD.findall(ADDRESS.sub(" ", text)))


def is_foreign(words: set[str]) -> bool:
    """Una frase en cursiva con la mitad de sus palabras ajenas al español es la glosa en inglés de un término."""
    return 2 * sum(not right(word) for word in words) >= len(words)


def words_read(fragment: Any) -> set[str]:
    """Las palabras de un trozo de HTML, con los textos alternativos y sin lo que no es prosa."""
    fragment = bs4.BeautifulSoup(str(fragment), "html.parser")  # una copia: se va a recortar
    alternatives = [image.get("alt", "") for image in fragment.find_all("img")]
    references = [r.find_next_sibling() for r in fragment.select(".rubric") if r.get_text() == "Referencias"]
    foreign = [em for em in fragment.find_all("em") if is_foreign(words_in(em.get_text()))]
    for element in [*references, *foreign, *fragment.find_all(lang="en"), *fragment.select(UNREAD)]:
        element.decompose()
    return words_in(" ".join([fragment.get_text(" "), *alternatives]))


def from_markdown(text: str) -> str:
    return markdown_it.MarkdownIt().enable("table").render(re.sub(r"\$\$.+?\$\$|\$[^$\n]+\$", " ", text, flags=re.S))


def sources(site: Path) -> Iterator[tuple[str, set[str]]]:
    for page in page_paths(site):
        article = bs4.BeautifulSoup(page.read_text("utf-8"), "html.parser").select_one("article")
        if article is not None:
            yield page.stem, words_read(article)
    for path in sorted(ROOT.glob("solutions/*/*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        prose = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        yield path.stem, words_read(from_markdown(prose))
    for path in sorted(ROOT.glob("*.md")):
        text = path.read_text("utf-8").partition("## In English")[0]
        yield path.name, words_read(from_markdown(text))


@pytest.fixture(scope="module")
def used() -> dict[str, set[str]]:
    """Dónde está cada palabra."""
    found = defaultdict(set)
    for name, words in sources(find_site()):
        for word in words:
            found[word].add(name)
    return found


def test_every_word_is_spanish_or_ours(used: dict[str, set[str]]) -> None:
    ours = set(known_words())
    wrong = {w: sorted(p) for w, p in used.items() if not right(w) and w not in ours and w.lower() not in ours}
    assert not wrong, "Corrígelas o, si son términos del curso, añádelas a book/palabras.txt:\n" + "\n".join(
        f"{word}: {', '.join(places)}" for word, places in sorted(wrong.items())
    )


def test_the_list_holds_only_what_is_needed(used: dict[str, set[str]]) -> None:
    ours, seen = known_words(), {word.lower() for word in used} | set(used)
    assert ours == sorted(set(ours), key=lambda w: (w.lower(), w)), "La lista va por orden y sin repetir"
    assert [w for w in ours if w not in seen] == [], "Ya no se usan"
    assert [w for w in ours if right(w)] == [], "Ya están en el diccionario"


def test_a_misspelt_word_is_seen() -> None:
    page = (
        "<p>La convoluzión de <code>kernle</code> (<em>convolution kernel</em>) y su <em>filtro</em>.</p>"
        '<img alt="Un mapa de calro.">'
    )
    assert {w for w in words_read(page) if not right(w)} == {"convoluzión", "calro"}
