"""Cambia las soluciones de los cuadernos y mira si las comprobaciones se dan cuenta.

Uso: `python tests/mutants.py [EJERCICIO…]`. Cada mutante es la solución de `solutions/` con un solo cambio de los de
`mutmut`: un signo, un número, un argumento menos… Si pasa las comprobaciones visible y oculta de varias semillas,
sobrevive. El resultado queda en `tests/mutants.json`, y los supervivientes nuevos, en su «missed»; a mano se pasan a
«equivalent», con el porqué, los que hacen lo mismo que la solución.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convlab.exercises import Exercise, list_exercises, load
from convlab.exercises.student import run_notebook

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "mutants.json"
TIME_LIMIT = 3.0  # las soluciones tardan milisegundos; un mutante que no acaba no debe gastar diez segundos


def solutions() -> dict[str, tuple[str, dict[str, Any]]]:
    """Por ejercicio, el texto de la celda que lo resuelve y los nombres que deja el cuaderno entero."""
    found = {}
    for path in sorted((ROOT / "solutions").glob("*/*.ipynb")):
        book = run_notebook(path)
        assert not book.problems, book.problems
        cells = {
            cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
            for cell in json.loads(path.read_text("utf8"))["cells"]
            if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("solution")
        }
        for name in book.exercises:
            found[name] = _only_code(cells[name.split(".")[1].replace("_", "-")]), book.namespace
    return found


def _only_code(cell: str) -> str:
    """Sin las marcas, sin la descripción y sin el aviso de que falta código: cambiarlos no es un error."""
    cell = re.sub(r"^ *### (BEGIN|END) SOLUTION\n", "", cell, flags=re.MULTILINE)
    cell = re.sub(r'^    """.*?"""\n', "", cell, count=1, flags=re.MULTILINE | re.DOTALL)
    return cell[: cell.rindex("    raise NotImplementedError(")]


def mutants(code: str) -> Iterator[tuple[str, str]]:
    """El texto de cada mutante y en qué cambia: «- línea / + línea»."""
    from libcst import MetadataWrapper, parse_module
    from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import IgnoredCode

    visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
    module = MetadataWrapper(parse_module(code)).visit(visitor)
    before = code.splitlines()
    for mutation in visitor.mutations:
        text = deep_replace(module, mutation.original_node, mutation.mutated_node).code  # type: ignore[union-attr]
        after = text.splitlines()
        old = [line.strip() for line in before if line not in after]
        new = [line.strip() for line in after if line not in before]
        yield text, f"- {' '.join(old)}\n+ {' '.join(new)}"


def survives(exercise: Exercise, code: str, namespace: dict[str, Any], seeds: int = 2) -> bool:
    """Si la solución cambiada pasa todas las comprobaciones."""
    own = dict(namespace)
    try:
        exec(code, own)
    except Exception:
        return False
    function = own[exercise.name]
    return all(
        exercise.check(function, seed=seed, hidden=hidden, time_limit=TIME_LIMIT).passed
        for seed in range(seeds)
        for hidden in (False, True)
    )


def run(exercise: Exercise, code: str, namespace: dict[str, Any]) -> tuple[int, list[str]]:
    """Cuántos mutantes hay y en qué cambian los que sobreviven."""
    assert survives(exercise, code, namespace), exercise.id
    everything = list(mutants(code))
    return len(everything), [change for text, change in everything if survives(exercise, text, namespace)]


def main(chosen: list[str]) -> None:
    record = json.loads(RECORD.read_text("utf8")) if RECORD.exists() else {}
    known = solutions()
    for name in chosen or list_exercises():
        total, survivors = run(load(name), *known[name])
        before = record.get(name, {"equivalent": {}, "missed": {}})
        equivalent = {change: before["equivalent"][change] for change in survivors if change in before["equivalent"]}
        missed = {change: before["missed"].get(change, "") for change in survivors if change not in equivalent}
        record[name] = {"mutants": total, "equivalent": equivalent, "missed": missed}
        print(f"{name}: {total} mutantes, {len(equivalent)} equivalentes, {len(missed)} se escapan", flush=True)
        for change, reason in missed.items():
            print("    " + change.replace("\n", "\n    ") + f"\n    {reason or '(sin explicar)'}", flush=True)
        ordered = {n: record[n] for n in list_exercises() if n in record}
        RECORD.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", "utf8")


if __name__ == "__main__":
    main(sys.argv[1:])
