"""Las cadenas de documentación, listas para Sphinx: sus fórmulas entre dólares y los campos de las tuplas con nombre.

`$x$` pasa a ser `:math:`, aunque la fórmula siga en otra línea; `$$…$$`, solo en su párrafo, una fórmula aparte. El
código entre comillas invertidas y los ejemplos no se tocan. Los campos de un `NamedTuple` ya los explica su sección
«Attributes»: autodoc los repetiría, y en inglés.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_SPANS = re.compile(
    r"(?P<code>`[^`]+`|^[ ]*(?:>>>|\.\.\.).*$)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$]+)\$", re.M | re.S
)


def to_rst(text: str) -> str:
    r"""El mismo texto con sus fórmulas en reStructuredText.

    Examples
    --------
    >>> print(to_rst(r"Con $|a|$ y `$b$`."))
    Con :math:`|a|` y `$b$`.
    >>> print(to_rst(r"  $$a = b$$"))
      .. math:: a = b
    """

    def replace(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        formula = " ".join((match["block"] or match["inline"]).split())
        return f".. math:: {formula}" if match["block"] else f":math:`{formula}`"

    return _SPANS.sub(replace, text)


def convert(_app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    lines[:] = to_rst("\n".join(lines)).split("\n")


def skip_fields(_app: Sphinx, _what: str, _name: str, obj: object, _skip: bool, _options: object) -> bool | None:
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", convert, priority=400)  # antes que napoleon
    app.connect("autodoc-skip-member", skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
