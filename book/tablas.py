"""Tablas numeradas de los capítulos, escritas con lo que se acaba de calcular.

Vive junto a los capítulos porque sus cuadernos se ejecutan en esta carpeta: `from tablas import table`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from IPython.display import Markdown

if TYPE_CHECKING:
    from convlab.exercises import Exercise


INTERVAL = re.compile(r"\[([+-]?[\d.]+), ([+-]?[\d.]+)\]")  # no se parte entre dos líneas


def _cell(value: object, decimals: int) -> str:
    if value is None:
        return "—"
    text = f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
    text = INTERVAL.sub("[\\1,\N{NO-BREAK SPACE}\\2]", text)
    return text.replace("|", r"\|").replace("\n", " ")


def table(rows: Sequence[Mapping[str, object]], *, caption: str, name: str, decimals: int = 3) -> Markdown:
    """Convierte filas en una tabla MyST con pie y número, citable con ``{numref}``.

    Parameters
    ----------
    rows
        Una fila por diccionario, todas con las mismas claves, que son los rótulos de las columnas. Los valores son
        MyST (valen `**negrita**` o `$fórmulas$`); los `float` se redondean y `None` se escribe «—».
    caption
        El pie, en MyST.
    name
        La etiqueta para citarla, por ejemplo ``tab-metodos``.
    decimals
        Cifras decimales de los `float`.

    Examples
    --------
    >>> print(table([{"Método": "Grad-CAM", "Pico": 0.75}], caption="Aciertos.", name="tab-a", decimals=2).data)
    :::{table} Aciertos.
    :name: tab-a
    | Método | Pico |
    |:--|--:|
    | Grad-CAM | 0.75 |
    :::
    """
    columns = list(rows[0])
    numeric = {c for c in columns if all(isinstance(row[c], int | float | None) for row in rows)}
    lines = [
        f":::{{table}} {caption}",
        f":name: {name}",
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("--:" if c in numeric else ":--" for c in columns) + "|",
        *("| " + " | ".join(_cell(row[c], decimals) for c in columns) + " |" for row in rows),
        ":::",
    ]
    return Markdown("\n".join(lines))


def kill_matrix(exercises: Iterable[Exercise]) -> Markdown:
    """Pasa por la comprobación de cada ejercicio sus errores conocidos y sus soluciones correctas.

    Una tabla por ejercicio: una fila por programa, con los puntos, si el diagnóstico fue el suyo y una columna por
    propiedad, que el pie nombra. No cuenta lo que debería pasar sino lo que pasa al construir la página.
    """
    from convlab.exercises.matrix import kill_matrix as programs_of

    tables = []
    for exercise in exercises:
        programs = programs_of(exercise)
        rows = [
            {
                "Programa": row.title if row.wrong else f"*Correcta: {row.name}*",
                f"Puntos (de {row.report.max_score:g})": f"{row.report.score:g}",
                "Veredicto": "✓" if row.right_verdict else "✗",
            }
            | {str(k): "✓" if p.passed else "✗" for k, p in enumerate(row.report.properties, 1)}
            for row in programs
        ]
        report = programs[0].report
        slug = exercise.id.replace(".", "-").replace("_", "-")
        legend = "; ".join(f"**{k}** {p.name}" for k, p in enumerate(report.properties, 1))
        caption = f"{exercise.title}: `{exercise.id}`. Propiedades: {legend}."
        tables.append(table(rows, caption=caption, name=f"tab-{slug}").data)
    return Markdown("\n\n".join(tables))
