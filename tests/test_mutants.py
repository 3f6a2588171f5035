"""Los mutantes de las soluciones: lo que dice `mutants.json` es cierto y está explicado."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mutants import RECORD, mutants, run, solutions

from convlab.exercises import list_exercises, load

IDS = list_exercises()
RECORDED: dict[str, dict[str, Any]] = json.loads(RECORD.read_text("utf8"))
QUICK = [name for name in IDS if load(name).points == 2]


@pytest.fixture(scope="module")
def known() -> dict[str, tuple[str, dict[str, Any]]]:
    return solutions()


def test_each_exercise_is_on_record_and_each_survivor_explained() -> None:
    assert list(RECORDED) == IDS
    for name, entry in RECORDED.items():
        for change, reason in (entry["equivalent"] | entry["missed"]).items():
            assert reason.endswith("."), (name, change)


def test_at_least_98_percent_of_the_mutants_that_change_something_are_rejected() -> None:
    different = sum(entry["mutants"] - len(entry["equivalent"]) for entry in RECORDED.values())
    missed = sum(len(entry["missed"]) for entry in RECORDED.values())
    assert different - missed >= 0.98 * different


def test_mutants_are_one_change_away() -> None:
    code = "def f(x):\n    return x.clamp(min=1) + 2\n"
    changes = [change for _, change in mutants(code)]
    assert "- return x.clamp(min=1) + 2\n+ return x.clamp(min=1) - 2" in changes
    assert "- return x.clamp(min=1) + 2\n+ return x.clamp(min=2) + 2" in changes


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_the_record_is_what_happens(name: str, known: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Con los ejercicios más cortos; los demás, con `python tests/mutants.py`."""
    total, survivors = run(load(name), *known[name])
    entry = RECORDED[name]
    assert total == entry["mutants"]
    assert set(survivors) == {*entry["equivalent"], *entry["missed"]}
