"""Los metadatos de nbgrader de una fuente: lo que él pasaría por alto, y dejaría sin calificar, aquí se rechaza."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from convlab.errors import ConvlabError

_SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
_HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
_TYPES: dict[str, Any] = {
    "grade": bool,
    "grade_id": str,
    "locked": bool,
    "schema_version": int,
    "solution": bool,
    "task": bool,
}


def validate(cells: list[Any], text: str, path: Path) -> None:
    """Comprueba cada celda y el conjunto; el primer fallo es un `ConvlabError` que nombra archivo y celda."""
    seen: set[str] = set()
    graded: dict[str, set[bool]] = {}
    for number, cell in enumerate(cells, 1):
        try:
            meta = _cell_metadata(cell)
            _check_regions(cell, meta)
            if meta is None:
                continue
            if meta["grade_id"] in seen:
                raise ConvlabError(f"el grade_id «{meta['grade_id']}» ya está en otra celda; pon otro.")
            seen.add(meta["grade_id"])
            if meta["grade"] and not meta["solution"]:
                exercise, hidden = _check_test(cell, meta)
                graded.setdefault(exercise, set()).add(hidden)
        except ConvlabError as error:
            raise ConvlabError(f"{path.parent.name}/{path.name}, celda {number}: {error}") from None
    # Una cabecera que jupytext no reconoce no llega a ser celda: queda como un comentario, y nadie la ve.
    if len(re.findall(r"^\s*#.*\bnbgrader\s*[=:{]", text, re.MULTILINE)) != sum(
        "nbgrader" in c.metadata for c in cells
    ):
        raise ConvlabError(
            f"{path.parent.name}/{path.name}: hay una línea con «nbgrader=» que no abre ninguna celda. "
            "Debe empezar por «# %% nbgrader={» o «# %% [markdown] nbgrader={»."
        )
    for exercise, kinds in graded.items():
        if len(kinds) < 2:
            missing = "visible" if True in kinds else "oculta"
            raise ConvlabError(f"{path.parent.name}/{path.name}: falta la comprobación {missing} de «{exercise}».")


def _cell_metadata(cell: Any) -> dict[str, Any] | None:
    """Los metadatos de nbgrader de la celda, o None si no los lleva."""
    unknown = sorted(set(cell.metadata) - {"nbgrader", "tags"})
    if unknown:
        raise ConvlabError(
            f"no se entiende la cabecera ({', '.join(unknown)}: {cell.metadata[unknown[0]]!r}). "
            'Los metadatos se escriben como JSON: nbgrader={"grade": false, …}.'
        )
    if "nbgrader" not in cell.metadata:
        return None
    meta = cell.metadata["nbgrader"]
    if not isinstance(meta, dict):
        raise ConvlabError(f"«nbgrader» debe ser un objeto JSON y es {meta!r}.")
    types = _TYPES | ({"points": (int, float)} if meta.get("grade") or meta.get("task") else {})
    for verb, keys in (("faltan", set(types) - set(meta)), ("sobran", set(meta) - set(types))):
        if keys:
            raise ConvlabError(f"en los metadatos de nbgrader {verb}: {', '.join(sorted(keys))}.")
    for key, kind in types.items():
        if not isinstance(meta[key], kind) or (kind is not bool and isinstance(meta[key], bool)):
            raise ConvlabError(f"«{key}» no puede valer {json.dumps(meta[key], ensure_ascii=False)}.")
    if meta["schema_version"] != 3:
        raise ConvlabError(f"schema_version debe ser 3 y es {meta['schema_version']}.")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", meta["grade_id"]):
        raise ConvlabError(f"el grade_id «{meta['grade_id']}» solo puede llevar letras sin tilde, números, «-» y «_».")
    if meta.get("points", 0) < 0:
        raise ConvlabError(f"los puntos no pueden ser negativos: {meta['points']}.")
    if cell.cell_type == "markdown" and meta["grade"] != meta["solution"]:
        raise ConvlabError("una respuesta escrita lleva «grade» y «solution» a la vez, o ninguno de los dos.")
    if meta["task"] and (cell.cell_type != "markdown" or meta["grade"] or meta["solution"]):
        raise ConvlabError("una tarea («task») es una celda de texto sin «grade» ni «solution».")
    return meta


def _check_regions(cell: Any, meta: dict[str, Any] | None) -> None:
    """Las zonas de solución y de pruebas ocultas: bien cerradas, una por celda y donde deben estar."""
    solution, test = bool(meta and meta["solution"]), bool(meta and meta["grade"] and not meta["solution"])
    for (begin, end), allowed, where in (
        (_SOLUTION, solution, "una celda con «solution»"),
        (_HIDDEN, test, "una comprobación («grade» sin «solution»)"),
    ):
        lines = [line.strip() for line in cell.source.splitlines()]
        marks = [line for line in lines if begin.strip("# ") in line or end.strip("# ") in line]
        if marks not in ([], [begin, end]):
            raise ConvlabError(f"«{begin}» y «{end}» deben estar una vez cada una, en ese orden y en su propia línea.")
        if marks and not allowed:
            raise ConvlabError(f"«{begin}» solo puede estar en {where}.")
    if solution and cell.cell_type == "code" and _SOLUTION[0] not in cell.source:
        raise ConvlabError(f"la celda de solución no tiene «{_SOLUTION[0]}»: nbgrader la borraría entera.")


def _check_test(cell: Any, meta: dict[str, Any]) -> tuple[str, bool]:
    """Ejercicio que califica la celda y si es oculta; solo puede contener la llamada al motor."""
    from convlab.exercises import load

    form = 'grade("módulo.función", globals()) o, entre las marcas de pruebas ocultas, con hidden=True'
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError:
        statements = []
    code = ast.unparse(statements[0]) if len(statements) == 1 else ""
    match = re.fullmatch(r"grade\('([\w.]+)', globals\(\)(, hidden=True)?\)", code)
    if not match:
        raise ConvlabError(f"una comprobación contiene solo {form}.")
    exercise, hidden = match[1], match[2] is not None
    if hidden != (_HIDDEN[0] in cell.source):
        raise ConvlabError(f"hidden=True va siempre entre «{_HIDDEN[0]}» y «{_HIDDEN[1]}», y sin él no hay marcas.")
    if not meta["locked"]:
        raise ConvlabError("una comprobación lleva «locked»: true, para que nbgrader la reponga si se cambia.")
    checked = load(exercise)
    points = checked.hidden_points if hidden else checked.visible_points
    if meta["points"] != points:
        kind = "oculta" if hidden else "visible"
        raise ConvlabError(
            f"«{exercise}» da {points:g} puntos en la comprobación {kind}, y aquí pone {meta['points']:g}."
        )
    return exercise, hidden
