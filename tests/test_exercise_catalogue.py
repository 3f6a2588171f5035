"""Cada ejercicio, por todos los lados: lo correcto pasa siempre y cada error se llama por su nombre.

Una semilla de cada clase basta para cada cambio (la oculta, en la matriz del libro); `--seeds 24` las multiplica.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from convlab.exercises import Exercise, Report, list_exercises, load
from convlab.exercises.case import Case, Spec
from convlab.exercises.compare import TOLERANCE, same
from convlab.exercises.values import read

IDS = list_exercises()
LESSONS = list(dict.fromkeys(name.split(".")[0] for name in IDS))


@pytest.fixture(scope="module")
def seeds(request: pytest.FixtureRequest) -> list[tuple[int, bool]]:
    """Ocultas, solo si se piden muchas: con la primera se hace la matriz del libro, que comprueba test_book.py."""
    count = request.config.getoption("--seeds")
    return [(seed, False) for seed in range(count)] + [(seed, True) for seed in range(count // 4)]


def check_with(exercise: Exercise, cases: list[Case], function: Any) -> Report:
    return exercise.report(cases, [exercise.run(function, case) for case in cases])


def said(report: Report) -> str:
    """El mensaje en una sola línea, como se lee."""
    return " ".join(report.message.split())


# --- lo que tiene cada uno -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDS)
def test_exercise_rewrites_a_public_function(name: str) -> None:
    exercise = load(name)
    module, function = name.split(".")
    assert exercise.reference is getattr(import_module(f"convlab.{module}"), function)
    assert exercise.points == exercise.visible_points + exercise.hidden_points > 0
    assert exercise.minutes > 0
    for function in (exercise.reference, *exercise.also_forbidden):
        assert not function.__code__.co_freevars  # con variables libres no se puede impedir que se la llame
    assert len(exercise.variants) >= 2
    assert len(exercise.misconceptions) >= 5


@pytest.mark.parametrize("name", IDS)
def test_catalogue_is_written_for_a_person(name: str) -> None:
    wrong = load(name).misconceptions
    assert len({m.title for m in wrong.values()}) == len({m.diagnosis for m in wrong.values()}) == len(wrong)
    for key, m in wrong.items():
        assert key == m.name
        assert m.title
        assert not m.title.endswith(".")
        assert m.diagnosis.endswith(".")
        assert len(m.diagnosis) > 60


# --- la matriz -------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", IDS)
def test_variants_pass_and_each_mistake_gets_its_own_name(
    name: str, seeds: list[tuple[int, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    """La matriz entera, con las semillas que se pidan: ni un correcto rechazado ni un error sin nombre."""
    exercise = load(name)
    failed: dict[str, set[str]] = {key: set() for key in exercise.misconceptions}
    for seed, hidden in seeds:
        cases = exercise.cases(seed, hidden)
        for key, function in exercise.variants.items():
            report = check_with(exercise, cases, function)
            assert report.passed, (key, seed, hidden, report.message)
            assert report.score == report.max_score
        for key, m in exercise.misconceptions.items():
            report = check_with(exercise, cases, m.function)
            assert report.score < report.max_score, (key, seed, hidden)
            assert report.diagnosis == key, (key, report.diagnosis, seed, hidden, report.message)
            assert m.diagnosis in said(report)
            failed[key] |= {p.name for p in report.properties if not p.passed}
    with capsys.disabled():
        names = [p.name for p in report.properties]
        print(f"\n{name}: errores × propiedades ({len(seeds)} semillas; ✗ es una propiedad que lo caza)")
        for key, caught in failed.items():
            print(f"  {key:28}", " ".join("✗" if n in caught else "·" for n in names))


@pytest.mark.parametrize("name", IDS)
def test_reference_gets_full_marks_and_leaves_no_trace(name: str) -> None:
    """La referencia no se puede llamar mientras se comprueba: se comprueba una copia suya."""
    exercise = load(name)
    for hidden, points in ((False, exercise.visible_points), (True, exercise.hidden_points)):
        cases = exercise.cases(1, hidden)
        report = exercise.report(cases, [exercise._answer(case, "", exercise.reference) for case in cases])
        assert report.passed, report.message
        assert report.max_score == report.score == points
        assert sum(p.max_points for p in report.properties) == pytest.approx(points)


@pytest.mark.parametrize("name", IDS)
def test_closed_forms_agree_with_the_reference(name: str) -> None:
    exercise, compared = load(name), 0
    for seed in range(3):
        for case in exercise.cases(seed, True):
            if case.draft.expected is not None:
                assert exercise.judge(case, exercise._answer(case, "", exercise.reference)).passed, case
                compared += 1
    assert compared >= 3


def spread(value: Any, expected: Any) -> float:
    """La mayor diferencia, relativa al mayor valor esperado; infinita si no tienen la misma forma."""
    low, high = -9.0, 2.0
    if same(value, expected, 10.0**low):
        return 0.0
    if not same(value, expected, 10.0**high):
        return float("inf")
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if same(value, expected, 10.0**middle) else (middle, high)
    return float(10.0**high)


@pytest.mark.parametrize("name", IDS)
def test_tolerance_is_far_from_both_sides(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """De lo correcto: diez veces mayor que la dispersión de las variantes en float64, y mayor que la de float32."""
    exercise = load(name)
    worst = {"float64": 0.0, "float32": 0.0}
    for seed in range(2):
        for case in exercise.cases(seed):
            if case.draft.measure is not None:
                continue
            tolerance = case.draft.tolerance or TOLERANCE["float64" if case.dtype == "float64" else "float32"]
            expected = exercise._answer(case, "", exercise.reference)["value"]
            for key, function in exercise.variants.items():
                gap = spread(exercise._answer(case, key, function)["value"], expected) / tolerance
                kind = "float64" if case.dtype == "float64" else "float32"
                worst[kind] = max(worst[kind], gap)
    with capsys.disabled():
        print(f"\n{name}: dispersión entre correctas ÷ tolerancia: {worst}")
    assert worst["float64"] <= 0.1
    assert worst["float32"] <= 0.5


# --- los casos -------------------------------------------------------------------------------------------------------


def flat(value: Any) -> Any:
    """Un argumento como algo que se puede comparar."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [flat(v) for v in value]
    if isinstance(value, dict):
        return {k: flat(v) for k, v in value.items()}
    if isinstance(value, Spec):
        return type(value).__name__, {k: flat(v) for k, v in vars(value).items()}
    return value


def same_case(a: Case, b: Case) -> bool:
    return bool(flat(a.arguments) == flat(b.arguments))


@pytest.mark.parametrize("name", IDS)
def test_cases_are_rebuilt_from_their_key_and_change_with_it(name: str) -> None:
    exercise = load(name)
    cases = exercise.cases(3, True)
    again = exercise.cases(3, True)
    assert [(c.exercise, c.seed, c.hidden, c.index) for c in cases] == [(name, 3, True, i) for i in range(len(cases))]
    assert all(same_case(a, b) for a, b in zip(cases, again, strict=True))
    visible = exercise.cases(3)
    assert len(cases) == 2 * len(visible)
    # Un caso de enteros puede repetirse por azar; todos a la vez, no.
    assert not all(same_case(a, b) for a, b in zip(cases, exercise.cases(4, True), strict=True))
    assert not all(same_case(a, b) for a, b in zip(visible, cases, strict=False))


def is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if inspect.isfunction(value):
        return "<locals>" not in value.__qualname__ and value.__name__ != "<lambda>"
    if isinstance(value, Spec):
        return all(map(is_plain, vars(value).values()))
    return isinstance(value, np.ndarray | bool | int | float | str | None)


@pytest.mark.parametrize("name", IDS)
def test_cases_hold_plain_data(name: str) -> None:
    for case in load(name).cases():
        for key, value in case.arguments.items():
            assert is_plain(value), (key, value)
        assert len(str(case)) < 700, str(case)


# --- en procesos distintos -------------------------------------------------------------------------------------------

RUNNER = """
import sys
from pathlib import Path
from convlab.exercises import list_exercises, load
from convlab.exercises.values import save

lesson, folder = sys.argv[1:]
for name in list_exercises():
    if name.startswith(lesson + "."):
        exercise = load(name)
        wrong = {key: m.function for key, m in [*exercise.misconceptions.items()][:2]}
        for key, function in (dict([*exercise.variants.items()][:1]) | wrong).items():
            for case in exercise.cases(7, True):
                save(exercise.run(function, case), Path(folder) / f"{name}-{key}-{case.index}.npz")
"""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lesson", LESSONS)
def test_judge_decides_in_another_process_with_nothing_but_npz(lesson: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNNER, lesson, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    for name in IDS:
        if not name.startswith(f"{lesson}."):
            continue
        exercise = load(name)
        cases = exercise.cases(7, True)
        for key in [next(iter(exercise.variants)), *list(exercise.misconceptions)[:2]]:
            report = exercise.report(cases, [read(tmp_path / f"{name}-{key}-{case.index}.npz") for case in cases])
            assert report.diagnosis == (key if key in exercise.misconceptions else None), report.message
            assert report.passed == (key in exercise.variants)


# --- lo que un estudiante puede hacer --------------------------------------------------------------------------------


def nothing(*_arguments: Any, **_options: Any) -> None:
    return None


def fails(*_arguments: Any, **_options: Any) -> None:
    raise ValueError("ups")


def unwritten(*_arguments: Any, **_options: Any) -> None:
    raise NotImplementedError("Escribe aquí la función.")


def text(*_arguments: Any, **_options: Any) -> str:
    return "hola"


def scalar(*_arguments: Any, **_options: Any) -> torch.Tensor:
    return torch.tensor(torch.nan)


@pytest.mark.parametrize("function", [nothing, fails, unwritten, text, scalar])
@pytest.mark.parametrize("name", IDS)
def test_accidents_are_a_spanish_message_and_zero(name: str, function: Any, capfd: pytest.CaptureFixture[str]) -> None:
    exercise = load(name)
    report = exercise.check(function)
    assert report.score == 0, report.message
    assert f"0 de {exercise.visible_points:g} puntos" in said(report)
    assert "Traceback" not in report.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", IDS)
def test_returning_what_came_does_not_pass(name: str) -> None:
    assert not load(name).check(lambda *arguments, **_options: arguments[0]).passed


def emptied(value: Any) -> Any:
    """Lo mismo con ceros."""
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, nn.Module):
        for parameter in value.parameters():
            torch.nn.init.zeros_(parameter)
        return value
    if isinstance(value, dict):
        return {k: emptied(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(emptied(v) for v in value)
    return type(value)(0) if isinstance(value, bool | int | float) else value


@pytest.mark.parametrize("name", IDS)
def test_a_function_that_returns_zeros_gets_nothing(name: str) -> None:
    exercise = load(name)
    code = exercise.reference.__code__

    def zeros(*arguments: Any, **options: Any) -> Any:
        # Con otra copia de la función, porque la suya está prohibida mientras se comprueba.
        copy = type(exercise.reference)(code, exercise.reference.__globals__, "copia", exercise.reference.__defaults__)
        copy.__kwdefaults__ = exercise.reference.__kwdefaults__
        return emptied(copy(*arguments, **options))

    report = exercise.check(zeros)
    assert report.score == 0, report.message


@pytest.mark.parametrize("name", IDS)
def test_the_asked_function_is_blocked(name: str) -> None:
    exercise = load(name)
    for function in (exercise.reference, *exercise.also_forbidden):
        report = exercise.check(lambda *arguments, **options: function(*arguments, **options))  # noqa: B023
        assert report.score == 0
        assert f"Llamaste a `{function.__name__}` de convlab" in said(report)
