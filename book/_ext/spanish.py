"""La voz del libro en español: rótulos del tema, de Sphinx y de la bibliografía que nadie tradujo o tradujo mal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from docutils import nodes
from pybtex.plugin import register_plugin as register_pybtex
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.formatting.unsrt import date, pages
from pybtex.style.template import field as bib_field
from pybtex.style.template import join, optional, sentence, tag, words
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.locale import translators
from sphinxcontrib.bibtex.plugin import register_plugin as register_bibtex
from sphinxcontrib.bibtex.style.referencing import PersonStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

THEME = {
    "By": "Por",
    "Contents": "En esta página",
    "Download this page": "Descargar esta página",
    "Fullscreen mode": "Pantalla completa",
    "Launch interactive content": "Abrir el cuaderno de ejercicios",
    "Launch on": "Abrir los ejercicios en",
    "Open an issue": "Avisar de un error",
    "Open issue": "Avisar de un error",
    "Print to PDF": "Imprimir o guardar en PDF",
    "Repository": "Repositorio",
    "Source repositories": "Repositorio",
    "Source repository": "Repositorio",
    "Suggest edit": "Sugerir un cambio",
    "logo": "(logotipo)",
}
SPHINX = {
    "© Copyright %(copyright)s.": "© %(copyright)s.",
    "Search": "Buscar",
    "Link to this code": "Enlace a este código",
    "Link to this definition": "Enlace a esta definición",
    "Link to this equation": "Enlace a esta ecuación",
    "Link to this heading": "Enlace a este apartado",
    "Link to this image": "Enlace a esta imagen",
    "Link to this table": "Enlace a esta tabla",
    "Link to this term": "Enlace a este término",
    "Link to this toctree": "Enlace a este índice",
    "Section Navigation": "Navegación del apartado",
    "Skip to main content": "Saltar al contenido",
    "Collapse Sidebar": "Plegar el índice",
    "Expand Sidebar": "Desplegar el índice",
}


def translate(_app: Sphinx) -> None:
    for catalogue, strings in (("booktheme", THEME), ("sphinx", SPHINX)):
        translators["general", catalogue]._catalog.update(strings)  # type: ignore[attr-defined]


class SpanishStyle(PlainStyle):
    """Entradas de la bibliografía: «A. Autora y B. Autor. Título. En *Actas*, págs. 1-9. 2017.»."""

    def format_names(self, role: str, as_sentence: bool = True) -> Any:
        names = super().format_names(role, as_sentence=False)
        names.kwargs.update(sep2=" y ", last_sep=" y ")
        return sentence[names] if as_sentence else names

    def get_inproceedings_template(self, e: Any) -> Any:
        return join(sep=" ")[
            sentence[self.format_names("author", as_sentence=False)],
            self.format_title(e, "title"),
            sentence[words["En", tag("em")[bib_field("booktitle")]], optional[words["págs.", pages]], date],
            self.format_web_refs(e),
        ]


def tidy_fields(_app: Sphinx, _domain: str, _objtype: str, content: nodes.Element) -> None:
    """Quita «Tipo del valor devuelto» cuando «Devuelve» ya lo dice, y traduce el tipo de los atributos."""
    fields = {field[0].astext(): field for field in content.findall(nodes.field)}
    if "rtype" in fields and "returns" in fields:
        fields["rtype"].parent.remove(fields["rtype"])
    if "type" in fields:
        fields["type"][0].children[:] = [nodes.Text("Tipo")]


@dataclass
class SpanishAuthorYear(AuthorYearReferenceStyle):
    person: PersonStyle = field(
        default_factory=lambda: PersonStyle(style="last", sep2=" y ", last_sep=" y ", other=" et al.")
    )


def setup(app: Sphinx) -> dict[str, Any]:
    register_bibtex("sphinxcontrib.bibtex.style.referencing", "author_year_es", SpanishAuthorYear)
    register_pybtex("pybtex.style.formatting", "spanish", SpanishStyle)
    for labelled in PyObject.doc_field_types:  # Sphinx dice «Muestra», y aquí las cosas que se muestran son mapas
        labelled.label = {"exceptions": "Lanza"}.get(labelled.name, labelled.label)
    app.connect("builder-inited", translate, priority=900)
    app.connect("object-description-transform", tidy_fields, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
