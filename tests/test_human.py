"""Lección 11: ensayos, exactitud, sesgo de forma, consistencia de errores e intervalos."""

import csv
import io
import itertools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from conftest import left_as_found, randomize
from scipy import stats
from sklearn.metrics import cohen_kappa_score, confusion_matrix
from torch import nn

from convlab.data.distortions import distort
from convlab.data.formas import SHAPES, formas
from convlab.errors import ConvlabError
from convlab.human import (
    NO_RESPONSE,
    Trial,
    accuracy_by_condition,
    bootstrap_interval,
    confusion,
    consistency_bounds,
    cue_decisions,
    distortion_trials,
    error_consistency,
    group_by,
    human_figures,
    intervals,
    kappa,
    map_to_coarse,
    network_trials,
    paired_bootstrap,
    paired_correct,
    read_trials,
    shape_bias,
    synthetic_observer,
    wilson_interval,
    write_trials,
)
from convlab.human import figures as figures_module
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.plots.human import accuracy_curves, confusion_plot, consistency_plot, shape_bias_plot

HEADER = "observer,stimulus,condition,category,texture,response\n"
CATEGORIES = ["gato", "perro", "pera"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def trial(stimulus="a", category="gato", response="gato", texture="", condition="limpia", observer="ana"):
    return Trial(observer, stimulus, condition, category, response, texture)


def answered(pairs, **fields):
    return [trial(str(k), category, response, **fields) for k, (category, response) in enumerate(pairs)]


def read(text, **options):
    return read_trials(io.BytesIO(text if isinstance(text, bytes) else text.encode()), **options)


# --- el archivo ------------------------------------------------------------------------------------------------------


def test_a_written_file_comes_back_identical(tmp_path):
    trials = [
        trial("a, b; «c»", "círculo", 'dice "no"', "luna"),
        trial("tab\tdentro", "círculo", NO_RESPONSE),
        trial("a, b; «c»", "círculo", "luna", observer="señora\x85x"),
    ]
    write_trials(trials, tmp_path / "ensayos.csv")
    assert read_trials(tmp_path / "ensayos.csv") == (trials, [])
    assert b"\r" not in (tmp_path / "ensayos.csv").read_bytes()
    write_trials(trials, text := io.StringIO())
    assert text.getvalue().encode() == (tmp_path / "ensayos.csv").read_bytes()
    assert read_trials(str(tmp_path / "ensayos.csv")) == (trials, [])
    rows = list(csv.DictReader((tmp_path / "ensayos.csv").open(encoding="utf-8", newline="")))
    assert [row["response"] for row in rows] == [t.response for t in trials]
    with (tmp_path / "ensayos.csv").open(encoding="utf-8") as file:
        assert read_trials(file) == (trials, [])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_spreadsheets_of_any_country(end, mark, bom):
    lines = [HEADER.strip(), "ana,1,limpia,gato,,perro", "", "ana,2,limpia,gato,pera,gato", ""]
    trials, bad = read(bom + end.join(lines).replace(",", mark))
    assert trials == [trial("1", response="perro"), trial("2", texture="pera")]
    assert bad == []


def test_columns_in_any_order_extra_ones_ignored_and_texture_optional():
    text = "Response , rt,stimulus,condition,observer,category\n gato,0.4, 1 ,limpia,ana,cafe\u0301\n"
    assert read(text) == ([trial("1", "café")], [])


def test_bad_lines_are_told_and_the_rest_is_kept():
    lines = [
        b"ana,1,limpia,gato,,gato",
        b"ana,2,limpia,gato,,",
        b"",
        b"ana,3,limpia,gato",
        b"ana,4,limpia,gato,,perr0",
        b"ana,1,limpia,gato,,perro",
        b"ana,5,limpia,l\xe1piz,,gato",
        b'ana,6,limpia,gato,,"gato',
        b"ana,7,limpia,gato,peras,gato",
        b"ana,8,limpia,,,gato",
        b"ana,9,limpia,gato,pera,sin respuesta",
        b"ana,10,limpia,sin respuesta,,gato",
        b"ana,1,ruido,gato,,gato",
        b"ana,9,limpia,perro,,gato",
    ]
    trials, bad = read(HEADER.encode() + b"\n".join(lines), categories=CATEGORIES)
    assert [t.stimulus for t in trials] == ["1", "9", "1"]
    reasons = {
        3: "Está vacío «response»",
        5: "6 campos y hay 4",
        6: "¿Quisiste decir «perro»",
        7: "en la línea 2",
        8: "UTF-8",
        9: "comillas",
        10: "`texture`",
        11: "Está vacío «category»",
        13: "`category`",
        15: "en la línea 12",
    }
    assert [line.number for line in bad] == list(reasons)
    for line in bad:
        assert reasons[line.number] in line.reason
    # Sin categorías, las desconocidas valen.
    assert {10, 13, 6}.isdisjoint(line.number for line in read(HEADER.encode() + b"\n".join(lines))[1])
    text_file = io.TextIOWrapper(io.BytesIO(HEADER.encode() + b"\n".join(lines)), "utf-8", errors="surrogateescape")
    assert read_trials(text_file, categories=CATEGORIES) == (trials, bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "vacío"),
        ("\n \n", "vacío"),
        ("observer,stimulus,condition,category\n", "le falta «response»"),
        ("observador;stimulus;condition;category;response\n", "le falta «observer»"),
        ("observer,stimulus,stimulus,condition,category,response\n", "repite la columna «stimulus»"),
        (b"observer,stimulus,condition,category,response,\xf1\n", "UTF-8"),
    ],
)
def test_a_header_that_does_not_serve(text, message):
    with pytest.raises(ConvlabError, match=message):
        read(text)


def test_without_texture_the_categories_are_still_checked():
    text = "observer,stimulus,condition,category,response\nana,1,limpia,gato,pera\nana,2,limpia,gato,perr0\n"
    trials, bad = read(text, categories=CATEGORIES)
    assert trials == [trial("1", response="pera")]
    assert [line.number for line in bad] == [3]


def test_a_path_that_does_not_serve(tmp_path):
    with pytest.raises(ConvlabError, match="No existe el archivo"):
        read_trials(tmp_path / "nada.csv")
    with pytest.raises(ConvlabError, match="No se puede leer"):
        read_trials(tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        trial(" a"),
        trial("a\nb"),
        trial("a\rb"),
        trial(""),
        trial("cafe\u0301"),
        trial(3),
        trial("\ud800"),
        trial(response=""),
    ],
)
def test_nothing_is_written_that_could_not_be_read_back(bad, tmp_path):
    with pytest.raises(ConvlabError, match="El ensayo 1 no se puede escribir"):
        write_trials([trial("x"), bad], tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_repeated_trials_are_not_written():
    with pytest.raises(ConvlabError, match="repetido"):
        write_trials([trial(), trial(category="perro", response="pera")], io.StringIO())


def test_groups():
    trials = [trial("1", condition="b"), trial("2", condition="a"), trial("3", condition="b")]
    assert group_by(iter(trials), "condition") == {"b": [trials[0], trials[2]], "a": [trials[1]]}
    with pytest.raises(ConvlabError, match="¿Quisiste decir «condition»"):
        group_by(trials, "conditions")


# --- proporciones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (3, 7), (499, 1000), (1, 10**6)])
def test_wilson_is_scipy_s(k, n, level):
    expected = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson_interval(k, n, level) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)


def test_wilson_at_the_ends():
    assert wilson_interval(0, 0) == (0, 1)
    for n in range(1, 100):
        assert (wilson_interval(0, n)[0], wilson_interval(n, n)[1]) == (0, 1)
    z = 1.959963984540054
    assert wilson_interval(0, 9)[1] == pytest.approx(z**2 / (9 + z**2))
    assert wilson_interval(np.int64(3), torch.tensor(7)) == wilson_interval(3, 7)


@pytest.mark.parametrize(
    ("k", "n", "level", "message"),
    [
        (3, 2, 0.9, "0 ≤"),
        (-1, 2, 0.9, "0 ≤"),
        (1.5, 2, 0.9, "enteros"),
        (1, 2, 1, "confianza"),
        (1, 2, 0, "confianza"),
        (1, 2, 95, "confianza"),
    ],
)
def test_wilson_refuses(k, n, level, message):
    with pytest.raises(ConvlabError, match=message):
        wilson_interval(k, n, level)


def test_accuracy_by_condition():
    trials = answered([("gato", "gato"), ("gato", "pera"), ("pera", NO_RESPONSE)], condition="b")
    trials += answered([("pera", "pera")], condition="a")
    found = accuracy_by_condition(iter(trials), level=0.9)
    assert list(found) == ["b", "a"]
    assert found["b"] == (3, 1, 1 / 3, *wilson_interval(1, 3, 0.9))
    assert found["a"] == (1, 1, 1, *wilson_interval(1, 1, 0.9))
    with pytest.raises(ConvlabError, match="No hay ensayos"):
        accuracy_by_condition([])


def test_confusion_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    truth, response = (
        rng.choice(["flor", "círculo", "cuadrado"], 60),
        rng.choice(["flor", "cuadrado", "zeta", "época"], 60),
    )
    found = confusion(answered(zip(truth.tolist(), response.tolist(), strict=True)))
    assert found.truth == ("círculo", "cuadrado", "flor")
    assert found.responses == ("círculo", "cuadrado", "flor", "época", "zeta")
    expected = confusion_matrix(truth, response, labels=found.responses)[:3]
    assert found.counts.tolist() == expected.tolist()
    assert found.counts.sum() == 60
    with pytest.raises(ConvlabError, match="No hay ensayos"):
        confusion([])


# --- sesgo de forma --------------------------------------------------------------------------------------------------


def test_shape_bias_counts_only_decisions_in_conflict():
    def conflict(responses):
        return [trial(str(k), "gato", r, "pera") for k, r in enumerate(responses)]

    trials = conflict(["gato"] * 3 + ["pera"] + ["perro"] * 4 + [NO_RESPONSE])
    assert cue_decisions(iter(trials)) == (3, 1, 5)
    assert shape_bias(iter(trials)) == 3 / 4
    agreeing = [trial("x", "gato", "gato", "gato"), trial("y", "gato", "gato"), trial("z", "gato", "perro", "gato")]
    assert shape_bias(trials + agreeing) == shape_bias(agreeing + trials) == 3 / 4
    assert cue_decisions(conflict(["gato", "perro"])) == (1, 0, 1)
    assert shape_bias(conflict(["pera"])) == 0
    assert shape_bias(conflict(["gato"])) == 1
    assert shape_bias(conflict(["gato", "pera"])) == 1 / 2
    with pytest.raises(ConvlabError, match="señales en conflicto"):
        shape_bias(agreeing)
    with pytest.raises(ConvlabError, match="En 1 ensayos"):
        shape_bias(conflict(["perro"]))


# --- consistencia ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_error_consistency_is_cohen_s_kappa(p):
    rng = np.random.default_rng(1)
    a, b = rng.random(200) < p, rng.random(200) < 0.6
    b[:80] = a[:80]
    expected = cohen_kappa_score(a, b)
    names = [f"s{k}" for k in range(200)]
    first, second = dict(zip(names, a.tolist(), strict=True)), dict(zip(names, b.tolist(), strict=True))
    order = rng.permutation(200)
    shuffled = {names[k]: bool(b[k]) for k in order}
    for pair in ((a.tolist(), b.tolist()), (first, second), (first, shuffled), (shuffled, first)):
        assert error_consistency(*pair) == pytest.approx(expected, rel=1e-12)
    assert error_consistency(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-6)
    assert error_consistency(list(first.values()), list(shuffled.values())) != pytest.approx(expected, rel=1e-3)


def test_kappa_by_hand_and_where_it_is_not_defined():
    a = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]])
    b = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]])
    found = kappa(a, b)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([1, math.nan, math.nan, 0, -1]), equal_nan=True)
    assert math.isnan(error_consistency([True], [True]))
    assert kappa(a.double(), b).dtype == torch.float64
    # Cerca de 1 no se pierden cifras.
    many = torch.ones(20_000, dtype=torch.bool)
    first, second = many.clone(), many.clone()
    first[:3], second[2:4] = False, False
    expected = cohen_kappa_score(first, second)
    assert kappa(first, second).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([True], [True, False], "misma forma"),
        ([], [], "al menos un estímulo"),
        ({}, {}, "al menos un estímulo"),
        ([0.5, 1], [1, 1], "True o False"),
        ([1, 0], [1, 2], "True o False"),
        ([[1, 0]], [[1, 0]], r"\(m,\)"),
        ({"a": True, "b": True}, {"a": True, "c": False, "d": True}, "1 solo están en el primero y 2"),
        ({"a": True}, [True], "no uno de cada"),
    ],
)
def test_error_consistency_refuses(a, b, message):
    with pytest.raises(ConvlabError, match=message):
        error_consistency(a, b)


def test_bounds_are_those_of_every_possible_pair():
    """Todas las parejas de respuestas a seis estímulos: los límites se alcanzan y nadie los pasa."""
    m = 6
    answers = torch.tensor(list(itertools.product([0, 1], repeat=m)), dtype=torch.float64)
    hits = answers.sum(1)
    for i, j in itertools.product(range(m + 1), repeat=2):
        first, second = answers[hits == i][:1], answers[hits == j]
        observed = (first == second).double().mean(1)
        values = kappa(first.expand_as(second), second)
        bounds = consistency_bounds(i / m, j / m)
        assert (bounds.observed_low, bounds.observed_high) == pytest.approx(
            (observed.min().item(), observed.max().item())
        )
        expected = (values.min().item(), values.max().item())
        assert (bounds.kappa_low, bounds.kappa_high) == pytest.approx(expected, nan_ok=True)
    for bad in ((1.1, 0.5), (0.5, 1.1), (0.5, -0.1), (math.nan, 0.5)):
        with pytest.raises(ConvlabError, match="de 0 a 1"):
            consistency_bounds(*bad)


def test_pairing_joins_by_stimulus_and_condition():
    a = [trial("1"), trial("2", response="pera"), trial("2", condition="ruido"), trial("solo a")]
    b = [trial("2", condition="ruido", response="pera"), trial("solo b"), trial("2"), trial("1", response="pera")]
    pairs = paired_correct(iter(a), iter(b))
    assert pairs.correct_a == {("1", "limpia"): True, ("2", "limpia"): False, ("2", "ruido"): True}
    assert pairs.correct_b == {("1", "limpia"): False, ("2", "limpia"): True, ("2", "ruido"): False}
    assert list(pairs.correct_a) == list(pairs.correct_b)
    assert (pairs.only_a, pairs.only_b) == ([("solo a", "limpia")], [("solo b", "limpia")])
    with pytest.raises(ConvlabError, match="Hay dos ensayos"):
        paired_correct(a + a, b)
    with pytest.raises(ConvlabError, match="no comparten"):
        paired_correct(a[:1], b[1:2])
    with pytest.raises(ConvlabError, match="La verdad de «1»"):
        paired_correct(a, [trial("1", category="pera")])


# --- bootstrap -------------------------------------------------------------------------------------------------------

mean = partial(torch.mean, dim=-1)


def test_bootstrap_of_a_proportion_is_the_binomial():
    """La media remuestreada de k aciertos entre m es exactamente una binomial(m, k/m) / m."""
    values = [1] * 30 + [0] * 20
    for level in (0.5, 0.95):
        low, high = bootstrap_interval(values, mean, 20_000, level, seeded())
        tails = stats.binom(50, 0.6).ppf([(1 - level) / 2, (1 + level) / 2]) / 50
        assert (low, high) == pytest.approx(tuple(tails), abs=0.0201)
        assert bootstrap_interval(torch.tensor(values).bool(), mean, 20_000, level, seeded()) == pytest.approx(
            (low, high)
        )


def test_bootstrap_is_scipy_s_percentile():
    values = np.random.default_rng(3).exponential(size=80)
    expected = stats.bootstrap((values,), np.std, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    found = bootstrap_interval(values.tolist(), lambda v: v.std(-1, correction=0), 20_000, 0.95, seeded())
    assert found == pytest.approx((expected.low, expected.high), rel=0.02)
    assert found == bootstrap_interval(
        torch.from_numpy(values), lambda v: v.std(-1, correction=0), 20_000, 0.95, seeded()
    )


def test_bootstrap_defaults_are_the_documented_ones():
    values = torch.rand(9, generator=seeded())
    explicit = bootstrap_interval(values, mean, 2000, 0.95, seeded())
    assert bootstrap_interval(values, mean, generator=seeded()) == explicit
    assert paired_bootstrap(values, 0 * values, lambda a, b: mean(a - b), generator=seeded()) == explicit
    low, high = bootstrap_interval(values, mean, 1)
    assert low == high
    half = bootstrap_interval(values, lambda v: mean(v).bfloat16(), generator=seeded())
    assert half == pytest.approx(explicit, rel=0.01)


def test_bootstrap_percentiles_are_exact(monkeypatch):
    """Con una estadística que devuelve 0, 1, 2… los percentiles se saben."""
    for cells in (10, 1000):
        monkeypatch.setattr(intervals, "_CELLS", cells)
        counter = itertools.count()

        def order(v, counter=counter):
            return torch.tensor([float(next(counter)) for _ in v])

        low, high = bootstrap_interval([0.0] * 4, order, 101, 0.9, seeded())
        assert (low, high) == pytest.approx((5, 95))


def test_bootstrap_in_pieces_takes_the_same_draws(monkeypatch):
    values = torch.rand(30, generator=seeded())
    whole = bootstrap_interval(values, mean, 500, 0.9, seeded(1))
    monkeypatch.setattr(intervals, "_CELLS", 90)
    assert bootstrap_interval(values, mean, 500, 0.9, seeded(1)) == pytest.approx(whole)


def test_paired_bootstrap_keeps_the_pairs_together():
    a = (torch.rand(300, generator=seeded()) < 0.5).double()
    b = torch.where(torch.rand(300, generator=seeded(1)) < 0.05, 1 - a, a)

    def difference(a, b):
        return a.mean(-1) - b.mean(-1)

    found = paired_bootstrap(a, b, difference, 4000, 0.95, seeded())
    assert found == pytest.approx(bootstrap_interval(a - b, mean, 4000, 0.95, seeded()))
    unpaired = (a.var() / 300 + b.var() / 300).sqrt().item() * 2 * 1.96
    assert found[1] - found[0] < 0.5 * unpaired
    low, high = paired_bootstrap(a, b, kappa, 1000, 0.95, seeded())
    assert low < error_consistency(a, b) < high
    assert 0.8 < low < high < 1


def test_undefined_resamples_count_against_both_ends():
    def first_bad(bad):
        return lambda v: torch.where(torch.arange(len(v)) < bad, math.nan, torch.linspace(0, 1, len(v)))

    low, high = bootstrap_interval([1.0], first_bad(2), 101, 0.9, seeded())
    values = torch.linspace(0, 1, 101)[2:]
    expected = [np.quantile(np.r_[fill, values.numpy()], q) for fill, q in (([-9, -9], 0.05), ([9, 9], 0.95))]
    assert (low, high) == pytest.approx(tuple(expected))
    with pytest.raises(ConvlabError, match="NaN en 10 de 101"):
        bootstrap_interval([1.0], first_bad(10), 101, 0.9, seeded())
    with pytest.raises(ConvlabError, match="NaN en"):
        paired_bootstrap([1] * 9, [1] * 9, kappa)


def test_bootstrap_leaves_the_global_chance_alone():
    values = torch.rand(9, requires_grad=True)
    state = torch.get_rng_state()
    bootstrap_interval(values, mean, 50, 0.9, seeded())
    paired_bootstrap(values, values, kappa_of_signs, 50, 0.9, seeded())
    assert torch.equal(torch.get_rng_state(), state)


def kappa_of_signs(a, b):
    return kappa(a > 0.5, b > 0.5).nan_to_num(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([], mean), "al menos uno"),
        (lambda: bootstrap_interval(torch.rand(3, 2), mean), r"\(m,\)"),
        (lambda: bootstrap_interval([1.0, 2], mean, 0), "`n`"),
        (lambda: bootstrap_interval([1.0, 2], mean, level=95), "`level`"),
        (lambda: bootstrap_interval([1.0, 2], torch.mean), r"reducir la última dimensión, .* y dio un tensor \(\)"),
        (lambda: bootstrap_interval([1.0, 2], lambda v: 3.0), "dio float"),
        (lambda: paired_bootstrap([1.0, 2], [1.0], kappa), "2 y 1 valores"),
    ],
)
def test_bootstrap_refuses(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()


# --- clases gruesas --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_coarse_is_the_slow_mean(dtype):
    p = torch.randn(5, 7, generator=seeded(), dtype=torch.float64).softmax(1).to(dtype)
    mapping = {"b": [6, 0, 2], "a": (3,), "c": torch.tensor([4, 5])}
    found = map_to_coarse(p, mapping)
    assert found.dtype == dtype
    slow = [[sum(row[int(i)].item() for i in fine) / len(fine) for fine in mapping.values()] for row in p.double()]
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found.double(), torch.tensor(slow, dtype=torch.float64), rtol=tolerance, atol=0)
    table = torch.tensor([0, -1, 0, 1, 2, 2, 0])
    assert torch.equal(map_to_coarse(p, table), found)
    assert torch.equal(map_to_coarse(p.t().contiguous().t(), table), found)


def test_coarse_takes_certainties():
    assert torch.equal(map_to_coarse(torch.eye(2), {"a": [0], "b": [1]}), torch.eye(2))


def test_coarse_mean_and_sum_disagree():
    p = torch.tensor([[0.2, 0.2, 0.2, 0.4]])
    assert map_to_coarse(p, {"muchas": [0, 1, 2], "una": [3]}).argmax() == 1


@pytest.mark.parametrize(
    ("p", "mapping", "message"),
    [
        (torch.rand(4), {"a": [0]}, r"\(N, K\)"),
        (torch.ones(1, 4, dtype=torch.long), {"a": [0]}, "int64"),
        (torch.tensor([[0.2, -1]]), {"a": [0]}, "softmax"),
        (torch.tensor([[1.1, 0]]), {"a": [0]}, "softmax"),
        (torch.tensor([[math.nan, 1]]), {"a": [0]}, "softmax"),
        (torch.rand(1, 4), {"a": [0, 4]}, "de 0 a 3"),
        (torch.rand(1, 4), {"a": [0, -1]}, "de 0 a 3"),
        (torch.rand(1, 4), {"a": [1, 1]}, "sin repetir"),
        (torch.rand(1, 4), {"a": []}, "«a»"),
        (torch.rand(1, 4), {}, "ninguna clase gruesa"),
        (torch.rand(1, 4), torch.tensor([-1, -1, -1, -1]), "ninguna clase gruesa"),
        (torch.rand(1, 4), torch.tensor([0, 2, 2, 0]), "«1»"),
        (torch.rand(1, 4), torch.tensor([0, 1]), r"\(4,\)"),
        (torch.rand(1, 4), torch.rand(4), "tabla entera"),
    ],
)
def test_coarse_refuses(p, mapping, message):
    with pytest.raises(ConvlabError, match=message):
        map_to_coarse(p, mapping)


# --- cifras ----------------------------------------------------------------------------------------------------------


def test_the_figures_are_all_there_and_have_a_source():
    figures = human_figures()
    assert tuple(figures) == figures_module.HUMAN_FIGURES
    assert len(figures) == 2 + 10 + 2 * 5 + 3 * 4 + 3 * 3 + 4
    keys = [(f.quantity, f.subject, f.condition) for f in figures]
    assert len(set(keys)) == len(keys)
    assert all(f.source and (0 <= f.value <= 1 or f.quantity in ("ensayos", "observadores")) for f in figures)
    assert [f.value for f in figures if f.how == "declarado por los autores"] == [0.2139, 0.087, 0.665, 0.208, 0.559]


def test_the_figures_are_found_by_what_they_measure():
    assert [f.value for f in human_figures("sesgo de forma", subject="personas")] == [0.9587]
    assert [f.value for f in human_figures("exactitud", condition="bordes")] == [0.871, 0.181, 0.244, 0.281, 0.4]
    assert [f.value for f in human_figures("kappa", subject="ResNet-50–persona")] == [0.067, 0.045, 0.446]
    assert human_figures("kappa", condition="ruido") == []
    with pytest.raises(ConvlabError, match="¿Quisiste decir «exactitud»"):
        human_figures("exactitut")


# --- observadores ----------------------------------------------------------------------------------------------------


def test_a_network_answers_its_largest_logit(mini):
    images = torch.rand(5, 3, 24, 40, generator=seeded())
    with torch.no_grad():
        expected = [SHAPES[k] for k in mini.model(images).argmax(1).tolist()]
    arguments = {"observer": "red", "classes": SHAPES}
    for labels in (torch.arange(5), [0, 1, 2, 3, 4], np.arange(5)):
        found = network_trials(mini.model, images, labels, textures=labels, batch_size=2, **arguments)
        assert [t.response for t in found] == expected
        assert [t.category for t in found] == [t.texture for t in found] == list(SHAPES[:5])
        assert {t.condition for t in found} == {"intacta"}
    named = network_trials(mini.model, images, 3, condition="c", stimuli="abcde", **arguments)
    assert named[1] == Trial("red", "b", "c", SHAPES[3], expected[1])
    turned = network_trials(mini.model, images, 3, scores=lambda logits: -logits, **arguments)
    assert [t.response for t in turned] != expected
    mapping = {"redondo": [0, 4], "recto": [1, 2, 3, 5, 6, 7, 8, 9]}

    def coarse(logits):
        return map_to_coarse(logits.softmax(1), mapping)

    grouped = network_trials(mini.model, images, 1, observer="red", classes=list(mapping), scores=coarse)
    with torch.no_grad():
        p = mini.model(images).softmax(1)
    both = torch.stack([p[:, v].mean(1) for v in mapping.values()], 1).argmax(1)
    assert [t.response for t in grouped] == [list(mapping)[k] for k in both.tolist()]


@pytest.mark.parametrize("train", [False, True])
def test_a_network_is_left_as_it_was(train):
    model, images = randomize(Mini()).train(train), torch.rand(3, 3, 64, 64)
    state = torch.get_rng_state()
    with left_as_found(model, images):
        first = network_trials(model, images, [0, 1, 2], observer="red", classes=SHAPES)
        with pytest.raises(ConvlabError):
            network_trials(model, images, [0, 1, 2], observer="red", classes=SHAPES[:9])
    with torch.inference_mode():
        assert network_trials(model, images, [0, 1, 2], observer="red", classes=SHAPES) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [0, 1]}, "Con 3 imágenes"),
        ({"labels": [0, 1, 10]}, "La clase 10"),
        ({"labels": [0.0, 1, 2]}, "entero"),
        ({"stimuli": ["a", "a", "b"]}, "distintos"),
        ({"stimuli": ["a"]}, "distintos"),
        ({"scores": lambda logits: [1]}, "llegó list"),
        ({"classes": SHAPES[:9]}, r"llegó un tensor \(3, 10\)"),
        ({"scores": lambda logits: logits / 0 * 0}, "NaN"),
        ({"images": torch.zeros(3, 3, 8, 8, dtype=torch.uint8)}, "coma flotante"),
    ],
)
def test_network_trials_refuse(options, message, mini):
    arguments = {"images": torch.rand(3, 3, 16, 16), "labels": [0, 1, 2], "observer": "red", "classes": SHAPES}
    with pytest.raises(ConvlabError, match=message):
        network_trials(mini.model, **(arguments | options))


def stimuli(n, condition="limpia", texture=""):
    return [trial(str(k), CATEGORIES[k % 2], "", texture, condition) for k in range(n)]


def test_a_synthetic_observer_is_what_it_was_asked_to_be():
    n = 6000
    clean, hard = stimuli(n), stimuli(n, "ruido")
    accuracies = {"limpia": 0.9, "ruido": 0.4}
    found = synthetic_observer(clean + hard, CATEGORIES, accuracies, generator=seeded())
    assert {t.observer for t in found} == {"observador sintético"}
    assert [(t.stimulus, t.condition, t.category) for t in found] == [(t[1], t[2], t[3]) for t in clean + hard]
    for condition, result in accuracy_by_condition(found).items():
        assert result.accuracy == pytest.approx(accuracies[condition], abs=0.02)
    wrong = [t.response for t in found if t.response != t.category and t.category == "gato"]
    assert wrong.count("perro") / len(wrong) == pytest.approx(0.5, abs=0.05)
    assert synthetic_observer(clean + hard, CATEGORIES, accuracies, generator=seeded()) == found

    # Con señales en conflicto.
    mixed = synthetic_observer(
        stimuli(n, texture="pera"), [*CATEGORIES, "taza"], 0.8, shape_bias=0.3, generator=seeded()
    )
    decisions = cue_decisions(mixed)
    assert shape_bias(mixed) == pytest.approx(0.3, abs=0.02)
    assert decisions.other / n == pytest.approx(0.2, abs=0.02)
    assert shape_bias(synthetic_observer(stimuli(50, texture="pera"), CATEGORIES, 1, shape_bias=0)) == 0
    assert shape_bias(synthetic_observer(stimuli(50, texture="pera"), CATEGORIES, 1)) == 1

    # Sin señales en conflicto no hay textura que seguir.
    assert {t.response == t.category for t in synthetic_observer(stimuli(50), CATEGORIES, 1, shape_bias=0)} == {True}

    # Dos sintéticos no comparten errores.
    other = synthetic_observer(clean, CATEGORIES, 0.7, generator=seeded(1))
    pairs = paired_correct(found[:n], other)
    assert abs(error_consistency(pairs.correct_a, pairs.correct_b)) < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Ana"}, "sintético"),
        ({"accuracy": 1.2}, "`accuracy`"),
        ({"accuracy": {"limpia": -1}}, "`accuracy`"),
        ({"accuracy": {"ruido": 1}}, "limpia"),
        ({"shape_bias": 2}, "`shape_bias`"),
        ({"categories": ["perro", "pera"]}, "«gato»"),
        ({"categories": ["gato"], "accuracy": 0}, "equivocarse"),
    ],
)
def test_a_synthetic_observer_refuses(options, message):
    arguments = {"stimuli": stimuli(1), "categories": CATEGORIES, "accuracy": 0.5}
    with pytest.raises(ConvlabError, match=message):
        synthetic_observer(**(arguments | options))


def test_never_is_never_for_a_synthetic_observer(monkeypatch):
    """`torch.rand` puede dar 0: ni así acierta quien no acierta nunca, ni sigue la forma quien no la sigue nunca."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(shape))
    assert synthetic_observer(stimuli(1), CATEGORIES, 0)[0].response != "gato"
    assert synthetic_observer(stimuli(1, texture="pera"), CATEGORIES, 1, shape_bias=0)[0].response == "pera"


# --- las redes del curso, de principio a fin -------------------------------------------------------------------------


def test_mini_follows_the_shape_and_mini_textura_the_texture():
    scenes = formas(100, 77, "conflict")
    for name, low, high in (("mini", 0.95, 1), ("mini-textura", 0, 0.05)):
        trials = network_trials(
            load_model(name), scenes.tensor(), scenes.shape, observer=name, classes=SHAPES, textures=scenes.texture
        )
        assert low <= shape_bias(trials) <= high
        assert cue_decisions(trials).other < 10


def test_noise_separates_mini_from_mini_robusta(tmp_path):
    scenes, levels = formas(100, 78), [0, 0.4]
    both = [
        t
        for name in ("mini", "mini-robusta")
        for t in distortion_trials(load_model(name), scenes, "noise", levels, observer=name)
    ]
    write_trials(both, tmp_path / "redes.csv")
    trials, bad = read_trials(tmp_path / "redes.csv", categories=SHAPES)
    assert (trials, bad) == (both, [])
    by_observer = group_by(trials, "observer")
    curves = {name: accuracy_by_condition(own) for name, own in by_observer.items()}
    assert list(curves["mini"]) == ["0", "0.4"]
    assert curves["mini"]["0"].accuracy > 0.95
    assert curves["mini"]["0.4"].high < curves["mini-robusta"]["0.4"].low
    noisy = [group_by(own, "condition")["0.4"] for own in by_observer.values()]
    pairs = paired_correct(*noisy)
    a, b = list(pairs.correct_a.values()), list(pairs.correct_b.values())
    value, bounds = error_consistency(a, b), consistency_bounds(sum(a) / 100, sum(b) / 100)
    assert 0 < value <= bounds.kappa_high < 0.5
    low, high = paired_bootstrap(a, b, kappa, 500, 0.95, seeded())
    assert low <= value <= high


# --- figuras ---------------------------------------------------------------------------------------------------------


def test_curves_put_numbers_where_they_are():
    value = accuracy_by_condition(answered([("gato", "gato"), ("gato", "pera")]))["limpia"]
    figure = accuracy_curves({"a": {"0.5": value, "0": value, "0.1": value}}, chance=0.25, xlabel="ruido")
    axis = figure.axes[0]
    assert axis.get_xticks().tolist() == [0.5, 0, 0.1]
    assert axis.get_xlabel() == "ruido"
    points = axis.containers[0].lines[0]
    assert points.get_xdata().tolist() == [0, 0.1, 0.5]
    assert points.get_ydata().tolist() == [0.5] * 3
    segment = axis.containers[0].lines[2][0].get_segments()[0]
    assert segment[:, 1].tolist() == pytest.approx([value.low, value.high])
    named = accuracy_curves({"a": {"bordes": value, "siluetas": value}, "b": {"bordes": value}})
    assert [t.get_text() for t in named.axes[0].get_xticklabels()] == ["bordes", "siluetas"]
    for count in (0, 6):
        with pytest.raises(ConvlabError, match="observadores"):
            accuracy_curves({str(k): {} for k in range(count)})


def test_confusion_plot_shows_fractions_of_each_row():
    table = confusion(answered([("gato", "gato"), ("gato", "pera"), ("gato", "pera"), ("perro", NO_RESPONSE)]))
    figure = confusion_plot(table, title="ana")
    axis = figure.axes[0]
    assert axis.images[0].get_array().tolist() == [pytest.approx([1 / 3, 0, 2 / 3, 0]), [0, 0, 0, 1]]
    assert sorted(text.get_text() for text in axis.texts) == ["1", "1", "2"]
    assert axis.get_title() == "ana"


def test_shape_bias_plot_puts_shape_on_the_right():
    trials = [trial(str(k), "gato", r, "pera") for k, r in enumerate(["gato"] * 3 + ["pera", "perro"])]
    trials += [trial("p", "perro", "pera", "pera"), trial("q", "pera", "gato", "perro")]
    figure = shape_bias_plot({"ana": trials})
    axis = figure.axes[0]
    assert axis.collections[0].get_offsets()[:, 0].tolist() == [0.75, 0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["gato", "perro", "pera"]
    assert "0.60" in axis.get_legend().get_texts()[0].get_text()
    for bad in ([trial(texture="gato")], [trial(response="perro", texture="pera")]):
        with pytest.raises(ConvlabError, match="en conflicto"):
            shape_bias_plot({"ana": bad})


def test_consistency_plot_shows_the_possible_range():
    bounds = consistency_bounds(0.8, 0.6)
    axis = consistency_plot({"a–b": (0.2, 0.1, 0.3)}, {"a–b": bounds}).axes[0]
    bar = axis.patches[0]
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((bounds.kappa_low, bounds.kappa_high))
    assert [0.1, 0.3] in [list(line.get_xdata()) for line in axis.lines]
    with pytest.raises(ConvlabError, match="mismos rótulos"):
        consistency_plot({"a": (0, 0, 0)}, {"b": bounds})
    with pytest.raises(ConvlabError, match="mismos rótulos"):
        consistency_plot({}, {})
    with pytest.raises(ConvlabError, match="no está definida"):
        consistency_plot({"a": (math.nan, 0, 0)}, {"a": consistency_bounds(1, 1)})


def test_bfloat16_networks_take_distorted_scenes():
    trials = distortion_trials(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 10)).bfloat16(), formas(3), "blur", [1], observer="lineal"
    )
    assert [t.condition for t in trials] == ["1"] * 3


class Seen(nn.Module):
    """Guarda las imágenes que ve; no tiene parámetros."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(x.clone())
        return x.flatten(1)[:, :10]


def test_the_network_sees_what_distort_gives():
    scenes, levels = formas(3), [0.1, 0.3]
    for options in ({}, {"seed": 7}):
        model = Seen()
        trials = distortion_trials(model, scenes, "noise", iter(levels), observer="red", batch_size=2, **options)
        assert [len(batch) for batch in model.batches] == [2, 1] * 2
        images = [distort(scenes.images, "noise", level, seed=options.get("seed", 0)) for level in levels]
        expected = torch.cat([replace(scenes, images=own).tensor() for own in images])
        assert torch.equal(torch.cat(model.batches), expected)
        assert [(t.observer, t.stimulus, t.condition) for t in trials] == [
            ("red", str(k), level) for level in ("0.1", "0.3") for k in range(3)
        ]


def test_images_go_by_128():
    scenes, model = formas(129), Seen()
    distortion_trials(model, scenes, "blur", [0], observer="red")
    network_trials(model, scenes.tensor(), scenes.shape, observer="red", classes=SHAPES)
    assert [len(batch) for batch in model.batches] == [128, 1] * 2


@pytest.mark.parametrize(
    "call",
    [
        lambda v: bootstrap_interval(v, mean, 10),
        lambda v: paired_bootstrap(v, v.flip(0), lambda a, b: mean(a - b), 10),
        lambda v: synthetic_observer(stimuli(3), CATEGORIES, 0.5),
    ],
)
def test_every_tensor_is_made_where_the_data_are(call):
    """Con otro dispositivo por omisión, un tensor creado sin decir dónde no se podría mezclar con los datos."""
    values = torch.rand(9, generator=seeded())
    with torch.device("meta"):
        call(values)
