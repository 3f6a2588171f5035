"""Lo que el motor sabe juzgar además de un tensor: números, listas, diccionarios y resultados al azar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convlab.exercises import Exercise, Misconception, Property, Report
from convlab.exercises.case import Draft, Seeded
from convlab.exercises.compare import difference, name, same
from convlab.exercises.values import as_tensors, kinds, plain, read, save


def said(report: Report) -> str:
    return " ".join(report.message.split())


# --- un ejercicio de juguete que devuelve de todo --------------------------------------------------------------------


def summary(x: Tensor, names: list[str]) -> dict[str, Any]:
    return {"mean": x.mean(1), "size": (len(x), float(x.max())), "names": list(names), "any": bool((x > 0).any())}


def _source(rng: np.random.Generator) -> Draft:
    return Draft({"x": rng.normal(0, 1, (2, 5)) + 3, "names": ["conv1", "conv2"]})


def _total(x: Tensor, names: list[str]) -> dict[str, Any]:
    return student(mean=x.sum(1))(x, names)


SUMMARY = Exercise(
    "toy.summary",
    "De juguete",
    1,
    2.0,
    2.0,
    summary,
    (Property("Todo", 1, (_source,)),),
    {"total": Misconception("total", "Suma", _total, "Has sumado.")},
    {},
)


def student(**changes: Any) -> Any:
    def answer(x: Tensor, names: list[str]) -> dict[str, Any]:
        return {"mean": x.mean(1), "size": (len(x), x.max().item()), "names": [*names], "any": True} | changes

    return answer


def test_nested_answers_are_judged_leaf_by_leaf() -> None:
    report = SUMMARY.check(student())
    assert report.passed, report.message
    assert SUMMARY.check(student(size=[2, 0.0])).diagnosis is None
    assert SUMMARY.check(_total).diagnosis == "total"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mean": torch.zeros(2, dtype=torch.float64)}, "Valor distinto en ['mean']["),
        ({"mean": torch.zeros(3)}, "Se esperaba la forma (2,) en ['mean'] y devolviste (3,)"),
        ({"mean": np.zeros(2)}, "Se esperaba un tensor (2,) en ['mean'] y devolviste un valor de tipo ndarray"),
        ({"mean": None}, "en ['mean'] y devolviste nada: ¿falta el `return`?"),
        ({"size": 3}, "Se esperaba una lista de 2 elementos en ['size'] y devolviste un entero"),
        ({"size": (2,)}, "Se esperaban 2 elementos en ['size'] y devolviste 1"),
        ({"size": (3, 0.0)}, "Valor distinto en ['size'][0]: devolviste 3 y se esperaba 2"),
        ({"size": ("2", 0.0)}, "Se esperaba un entero en ['size'][0] y devolviste un texto"),
        ({"names": ["conv1", "conv3"]}, "Se esperaba «conv2» en ['names'][1] y devolviste «conv3»"),
        ({"any": False}, "Valor distinto en ['any']: devolviste False y se esperaba True"),
        ({"more": 1}, "Sobran claves: 'more'"),
    ],
)
def test_each_wrong_leaf_is_named(changes: dict[str, Any], expected: str) -> None:
    report = SUMMARY.check(student(**changes))
    assert report.score == 0
    assert expected in said(report)


def test_missing_keys_and_other_containers_are_named() -> None:
    assert "Faltan claves: 'any', 'mean', 'names', 'size'" in said(SUMMARY.check(lambda x, names: {}))
    assert "Se esperaba un diccionario y devolviste una lista de 1 elemento" in said(
        SUMMARY.check(lambda x, names: [1])
    )


def test_a_right_number_of_another_type_costs_only_the_type() -> None:
    def loose(x: Tensor, names: list[str]) -> dict[str, Any]:
        return student()(x, names) | {"size": (float(len(x)), x.max())}

    report = SUMMARY.check(loose)
    assert [p.passed for p in report.properties] == [True, False, True]
    assert "Se esperaba el tipo int en ['size'][0] y devolviste float" in said(report)


def test_changed_lists_and_shared_memory_are_traces() -> None:
    def appends(x: Tensor, names: list[str]) -> dict[str, Any]:
        answer = student()(x, names)
        names.append("conv3")
        return answer

    def first_row(x: Tensor) -> Tensor:
        return x[0].clone()

    assert "La entrada ha cambiado" in said(SUMMARY.check(appends))
    rows = Exercise("toy.row", "", 1, 1, 1, first_row, (Property("Fila", 1, (_matrix,)),), {}, {})
    assert rows.check(lambda x: x[0] + 0).passed
    report = rows.check(lambda x: x[0])
    assert [p.passed for p in report.properties] == [True, True, False]
    assert "comparte memoria con lo que recibiste" in said(report)


def _matrix(rng: np.random.Generator) -> Draft:
    return Draft({"x": rng.normal(0, 1, (3, 4))})


# --- al azar ---------------------------------------------------------------------------------------------------------


def jitter(x: Tensor, amount: float, *, generator: torch.Generator) -> Tensor:
    return x + amount * (2 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 1)


def _three_times(function: Any, x: Tensor, amount: float) -> list[Any]:
    return [function(x, amount, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]


def _facts(results: list[Tensor], x: Tensor, amount: float) -> dict[str, Any]:
    first, again, other = results
    return {
        "no se aleja más de lo pedido": bool(((first - x).abs() <= amount).all()),
        "igual con la misma semilla": torch.equal(first, again),
        "distinto con otra semilla": not torch.equal(first, other),
        "signos": ((first - x).sign().mean().abs() < 0.9).item(),
    }


def _random(rng: np.random.Generator) -> Draft:
    return Draft({"x": rng.normal(0, 1, (4, 6)), "amount": 0.25}, call=_three_times, measure=_facts)


def _one_sided(x: Tensor, amount: float, *, generator: torch.Generator) -> Tensor:
    return x + amount * torch.rand(x.shape, generator=generator, dtype=x.dtype)


def _deaf(x: Tensor, amount: float, *, generator: torch.Generator) -> Tensor:
    return x + amount * (2 * torch.rand(x.shape, dtype=x.dtype) - 1)


JITTER = Exercise(
    "toy.jitter",
    "",
    1,
    1,
    1,
    jitter,
    (Property("Al azar", 1, (_random,)),),
    {
        "one_sided": Misconception("one_sided", "Un solo lado", _one_sided, "Solo hacia arriba."),
        "deaf": Misconception("deaf", "Sin generador", _deaf, "No usas el generador."),
    },
    {},
)


def test_chance_is_judged_by_facts_and_not_by_draws() -> None:
    def other_draws(x: Tensor, amount: float, *, generator: torch.Generator) -> Tensor:
        rows = [torch.rand(x.shape[1], generator=generator, dtype=x.dtype) for _ in x]
        return x - amount * (2 * torch.stack(rows) - 1)

    assert JITTER.check(other_draws).passed
    assert JITTER.check(_one_sided).diagnosis == "one_sided"
    report = JITTER.check(_deaf)
    assert report.diagnosis == "deaf"
    assert "No se cumple: igual con la misma semilla" in said(report)


def test_facts_are_only_asked_of_answers_with_the_right_shape() -> None:
    report = JITTER.check(lambda x, amount, *, generator: x[0])
    assert report.score == 0
    assert "Se esperaba la forma (4, 6) en [0] y devolviste (6,)" in said(report)
    assert "NaN" in said(JITTER.check(lambda x, amount, *, generator: x * torch.nan))


def test_a_call_with_another_signature_is_an_error_with_its_name() -> None:
    assert "TypeError" in said(JITTER.check(lambda x: x))


def test_seeded_gives_a_new_generator_each_time() -> None:
    a, b = Seeded(3).build(), Seeded(3).build()
    assert torch.equal(torch.rand(2, generator=a), torch.rand(2, generator=b))
    assert str(Seeded(3)) == "torch.Generator().manual_seed(3)"


# --- los datos simples -----------------------------------------------------------------------------------------------


def test_plain_values_survive_the_trip_to_another_process(tmp_path: Path) -> None:
    value = {"a": [torch.arange(3), (2.5, True, None)], "b": {"c": "hola"}, "n": np.float32(0.5)}
    found = plain(value)
    save({"kind": "ok", "value": found, "leaves": kinds(value)}, tmp_path / "x.npz")
    back = read(tmp_path / "x.npz")
    assert same(back["value"], found, 0.0)
    assert back["leaves"] == {
        "['a'][0]": "int64 en cpu",
        "['a'][1][0]": "float",
        "['a'][1][1]": "bool",
        "['a'][1][2]": "NoneType",
        "['b']['c']": "str",
        "['n']": "float",
    }
    assert torch.equal(as_tensors(found)["a"][0], torch.arange(3))


def test_infinite_is_right_only_where_expected() -> None:
    wanted = np.array([1.0, np.inf, np.nan])
    assert difference(wanted.copy(), wanted, 1e-5) == ""
    assert "Hay 1 valores NaN o infinitos de 3" in difference(np.array([np.nan, np.inf, np.nan]), wanted, 1e-5)
    assert "Valor distinto en [1]" in difference(np.array([1.0, 2.0, np.nan]), wanted, 1e-5)
    assert "Valor distinto en [1]" in difference(np.array([1.0, -np.inf, np.nan]), wanted, 1e-5)


def test_integers_are_compared_exactly() -> None:
    assert difference(np.array([10_000_001]), np.array([10_000_000]), 1e-3)
    assert not same(10_000_001, 10_000_000, 1e-3)
    assert difference(np.array([1.0]), np.array([1]), 0.0) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (True, "un booleano"),
        (3, "un entero"),
        (2.5, "un número"),
        ("a", "un texto"),
        ([1], "una lista de 1 elemento"),
        ({"a": 1}, "un diccionario"),
        ({"type": "set"}, "un valor de tipo set"),
        (np.zeros(2), "un tensor (2,) de tipo float64"),
    ],
)
def test_values_are_named_for_a_person(value: Any, words: str) -> None:
    assert name(value) == words
