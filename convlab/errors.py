"""Errores que lee una persona: en español, con lo esperado, lo recibido y qué hacer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConvlabError(ValueError):
    """Entrada que `convlab` no puede aceptar; el mensaje dice qué se esperaba, qué llegó y qué hacer."""


def unknown_name(what: str, name: object, options: Iterable[str]) -> ConvlabError:
    """Crea el error de un nombre que no existe y ofrece los más parecidos.

    Parameters
    ----------
    what
        Qué es lo que se buscaba, con artículo y en minúscula: «la capa», «el modelo».
    name
        Lo que se recibió.
    options
        Los nombres válidos.

    Examples
    --------
    >>> str(unknown_name("el modelo", "mni", ["mini", "mini-atajo"]))
    'No existe el modelo «mni». ¿Quisiste decir «mini»? Opciones: mini, mini-atajo.'
    """
    options = list(options)
    near = difflib.get_close_matches(str(name), options, n=3, cutoff=0.55)
    hint = f" ¿Quisiste decir {' o '.join(f'«{n}»' for n in near)}?" if near else ""
    shown = ", ".join(options[:12]) + (f"… ({len(options)} en total)" if len(options) > 12 else "")
    return ConvlabError(f"No existe {what} «{name}».{hint} Opciones: {shown}.")
