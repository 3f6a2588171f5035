"""La búsqueda encuentra «maximización» aunque se escriba «maximizacion», y casa con cualquier versión del lematizador.

El índice se hace en Python (snowballstemmer) y la consulta se reduce en el navegador (la copia que trae Sphinx). Las
dos quitan tildes al final, pero la del navegador solo reconoce el sufijo «ación» si la lleva: se le pone antes.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.es import SearchSpanish


class AccentTolerantSpanish(SearchSpanish):
    js_splitter_code = """
Stemmer = function () {
  const inner = new SpanishStemmer();
  this.stemWord = (word) => inner.stemWord(word.replace(/acion$/, "ación"));
};
"""

    def stem(self, word: str) -> str:
        return super().stem(re.sub(r"acion$", "ación", word.lower()))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_search_language(AccentTolerantSpanish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
