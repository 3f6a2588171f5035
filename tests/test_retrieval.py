"""`convlab.retrieval` y su índice: formas cerradas, bucles lentos, scikit-learn, FAISS; y archivos dañados o ajenos."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import left_as_found, make_network
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine
from sklearn.neighbors import NearestNeighbors
from torch import nn

from convlab import retrieval
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.hooks import capture
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.plots.retrieval import neighbors_grid, precision_by_layer_plot
from convlab.retrieval import (
    ImageIndex,
    _index_file,
    _nearest,
    average_precision,
    cosine_similarity,
    embed,
    features,
    index,
    mean_average_precision,
    precision_at_k,
    recall_at_k,
    top_k,
)
from convlab.retrieval._fingerprint import weights_fingerprint
from convlab.retrieval._index_file import write_index
from convlab.retrieval.neighbors import highest


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def booleans(*values):
    return torch.tensor(values, dtype=torch.bool)


# --- embed -----------------------------------------------------------------------------------------------------------


def test_embedding_is_the_unit_spatial_mean():
    maps = torch.zeros(2, 3, 2, 5, dtype=torch.float64)
    maps[0, 0, 1, 4], maps[0, 2] = 30, 4  # medias (3, 0, 4)
    maps[1, 1] = -7
    expected = torch.tensor([[0.6, 0, 0.8], [0, -1, 0]], dtype=torch.float64)
    torch.testing.assert_close(embed(maps), expected)


def test_embedding_of_nothing_is_zero_and_does_not_disturb_the_rest():
    maps = normal(3, 4, 5, 2)
    maps[1] = 0
    found = embed(maps)
    assert torch.equal(found[1], torch.zeros(4))
    torch.testing.assert_close(found.norm(dim=1), torch.tensor([1.0, 0, 1]))
    assert torch.equal(embed(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3))


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-3, 1e18, 1e35])
def test_the_size_of_the_activations_does_not_matter(scale):
    maps = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 4, 3) * scale
    torch.testing.assert_close(embed(maps), torch.tensor([[0.6, 0.8]]), rtol=0.02 if scale < 1e-40 else 1e-5, atol=0)


def test_half_precision_is_averaged_in_float32():
    maps = torch.full((1, 2, 64, 64), 1.0, dtype=torch.bfloat16)
    maps[0, 1] += normal(64, 64).bfloat16() * 0.1
    found = embed(maps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, embed(maps.double()).float())


def test_embedding_reads_any_layout_and_changes_nothing():
    maps = normal(2, 5, 4, 6)
    strided, copy = maps.to(memory_format=torch.channels_last).transpose(2, 3), maps.clone()
    torch.testing.assert_close(embed(strided), embed(maps))
    assert torch.equal(maps, copy)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.rand(2, 3), r"\(N, C, H, W\).*\(2, 3\)"),
        (torch.ones(1, 2, 3, 3, dtype=torch.int64), "coma flotante"),
        (torch.ones(1, 2, 0, 3), "activaciones"),
        (torch.full((1, 2, 3, 3), torch.nan), "NaN o infinitos"),
        (torch.full((1, 2, 3, 3), torch.inf), "NaN o infinitos"),
    ],
)
def test_bad_activations(maps, message):
    with pytest.raises(ConvlabError, match=message):
        embed(maps)


# --- similitud -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("q", "d"), [(3, 7), (7, 3), (1, 1)])
def test_cosine_agrees_with_scikit_learn(q, d):
    queries, database = normal(q, 6, seed=1, dtype=torch.float64), normal(d, 6, seed=2, dtype=torch.float64) * 50
    found = cosine_similarity(queries, database)
    np.testing.assert_allclose(found, sklearn_cosine(queries, database), atol=1e-14)
    torch.testing.assert_close(cosine_similarity(database, queries), found.T)


def test_cosine_of_zero_is_zero_and_never_passes_one():
    database = torch.cat([torch.zeros(1, 33), normal(200, 33)])
    similarity = cosine_similarity(database, database)
    assert torch.equal(similarity[0], torch.zeros(201))
    assert torch.equal(similarity[:, 0], torch.zeros(201))
    assert similarity.abs().max() <= 1
    torch.testing.assert_close(similarity.diagonal()[1:], torch.ones(200))


def test_cosine_mixes_types_upwards():
    assert cosine_similarity(normal(2, 3).bfloat16(), normal(2, 3)).dtype == torch.float32
    assert cosine_similarity(normal(2, 3).half(), normal(2, 3).half()).dtype == torch.float32
    assert cosine_similarity(normal(2, 3), normal(2, 3).double()).dtype == torch.float64


def test_cosine_errors():
    with pytest.raises(ConvlabError, match=r"«queries».*\(3,\).*v\[None\]"):
        cosine_similarity(torch.rand(3), torch.rand(2, 3))
    with pytest.raises(ConvlabError, match=r"«database».*int64"):
        cosine_similarity(torch.rand(2, 3), torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ConvlabError, match="4 componentes y la base, 3"):
        cosine_similarity(torch.rand(2, 4), torch.rand(2, 3))
    with pytest.raises(ConvlabError, match=r"«database».*NaN"):
        cosine_similarity(torch.rand(1, 2), torch.tensor([[torch.nan, 1]]))


# --- los k primeros --------------------------------------------------------------------------------------------------


def slow_top_k(similarity, k, exclude=None):
    rows = []
    for i, row in enumerate(similarity.tolist()):
        columns = [j for j in range(len(row)) if exclude is None or j != int(exclude[i])]
        rows.append(sorted(columns, key=lambda j, row=row: (-row[j], j))[:k])
    return torch.tensor(rows)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_top_k_is_the_slow_sort_with_ties_and_without(levels, dtype):
    generator = torch.Generator().manual_seed(levels)
    for rows, columns in [(1, 1), (1, 9), (6, 2), (5, 40), (3, 300)]:
        similarity = torch.randint(-levels, levels, (rows, columns), generator=generator).to(dtype) / levels
        exclude = torch.randint(0, columns, (rows,), generator=generator)
        for k in {1, 2, columns // 2, columns - 1, columns} - {0}:
            if k <= columns:
                assert torch.equal(top_k(similarity, k), slow_top_k(similarity, k))
            if k < columns:
                assert torch.equal(top_k(similarity, k, exclude), slow_top_k(similarity, k, exclude))


def test_the_excluded_one_never_returns_even_among_minus_infinities():
    similarity = torch.tensor([[-torch.inf, -torch.inf, 1.0, -torch.inf]])
    assert top_k(similarity, 3, torch.tensor([0])).tolist() == [[2, 1, 3]]
    assert top_k(similarity, 2, torch.tensor([0])).tolist() == [[2, 1]]
    assert top_k(similarity, 3, torch.tensor([2], dtype=torch.int32)).tolist() == [[0, 1, 3]]


def test_top_k_leaves_its_input_and_takes_any_layout():
    wide = normal(8, 30).round(decimals=1)
    similarity, copy = wide.T[::2], wide.clone()
    assert torch.equal(top_k(similarity, 3, torch.zeros(15, dtype=torch.long)), slow_top_k(similarity, 3, [0] * 15))
    assert torch.equal(wide, copy)
    with torch.inference_mode():
        assert torch.equal(top_k(similarity, 3), slow_top_k(similarity, 3))
    assert not top_k(similarity.clone().requires_grad_(), 3).requires_grad


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((torch.rand(2, 3), 4), "entre 1 y 3.*llegó 4"),
        ((torch.rand(2, 3), 3, torch.tensor([0, 1])), "entre 1 y 2.*llegó 3"),
        ((torch.rand(2, 3), 0), "entre 1 y 3"),
        ((torch.rand(2, 3), True), "llegó True"),
        ((torch.rand(2, 3), 1.0), "llegó 1.0"),
        ((torch.rand(3), 1), r"s\[None\]"),
        ((torch.ones(2, 3, dtype=torch.int64), 1), "coma flotante"),
        ((torch.tensor([[0.0, torch.nan]]), 1), "NaN"),
        ((torch.rand(2, 3), 1, torch.tensor([0])), r"entero \(2,\)"),
        ((torch.rand(2, 3), 1, torch.tensor([0.0, 1.0])), "float32"),
        ((torch.rand(2, 3), 1, torch.tensor([True, False])), "bool"),
        ((torch.rand(2, 3), 1, torch.tensor([0, 3])), "columna 3, y las hay de 0 a 2"),
        ((torch.rand(2, 3), 1, torch.tensor([-1, 0])), "columna -1"),
    ],
)
def test_top_k_errors(args, message):
    with pytest.raises(ConvlabError, match=message):
        top_k(*args)


# --- medidas ---------------------------------------------------------------------------------------------------------


def exact_average_precision(relevant, total):
    """Con fracciones, de la definición."""
    hits, value = 0, Fraction(0)
    for rank, hit in enumerate(relevant, 1):
        if hit:
            hits += 1
            value += Fraction(hits, rank)
    return value / total


def test_average_precision_by_definition_on_every_short_list():
    for n in range(1, 9):
        for bits in range(2**n):
            relevant = [bool(bits >> i & 1) for i in range(n)]
            for total in {max(1, sum(relevant)), sum(relevant) + 3}:
                expected = float(exact_average_precision(relevant, total))
                assert average_precision(booleans(*relevant), total) == pytest.approx(expected, abs=1e-15)


def test_average_precision_known_values():
    assert average_precision(booleans(1, 1, 0, 0), 2) == 1
    assert average_precision(booleans(0, 0, 1), 1) == pytest.approx(1 / 3)
    assert average_precision(booleans(0, 0), 4) == 0
    assert average_precision(booleans(1, 0), 4) == 0.25
    assert average_precision(booleans(1, 1, 0), torch.tensor(2)) == 1
    assert isinstance(average_precision(booleans(1), 1), float)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_agrees_with_scikit_learn_without_ties(seed):
    scores = normal(200, seed=seed)
    relevant = normal(200, seed=seed + 100) > 0.8
    ranked = relevant[top_k(scores[None], 200)[0]]
    found = average_precision(ranked, int(relevant.sum()))
    assert found == pytest.approx(average_precision_score(relevant, scores), abs=1e-12)


def test_precision_and_recall_at_k():
    relevant = torch.stack([booleans(1, 0, 1, 1), booleans(0, 0, 0, 1)])
    for k, hits in enumerate([[1, 0], [1, 0], [2, 0], [3, 1]], 1):
        torch.testing.assert_close(precision_at_k(relevant, k), torch.tensor(hits) / k)
        total = torch.tensor([5, 1])
        torch.testing.assert_close(recall_at_k(relevant, k, total), torch.tensor(hits) / total)
        torch.testing.assert_close(recall_at_k(relevant, k, 5), torch.tensor(hits) / 5)
    assert precision_at_k(relevant[0], 2).shape == ()
    assert recall_at_k(relevant[0], 3, 3).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision(torch.ones(3), 1), "vector booleano.*float32"),
        (lambda: average_precision(booleans(1)[None], 1), "mean_average_precision"),
        (lambda: average_precision(booleans(0, 0), 0), "llegó 0.*no tiene precisión media"),
        (lambda: average_precision(booleans(1, 1), 1), r"más relevantes \(2\).*\(1\)"),
        (lambda: average_precision(booleans(1, 1), 2.0), "entero desde 1 y llegó 2.0"),
        (lambda: average_precision(booleans(1, 1), True), "entero desde 1"),
        (lambda: precision_at_k(torch.ones(3), 1), "booleano.*float32"),
        (lambda: precision_at_k(booleans(1, 0), 3), "entre 1 y 2"),
        (lambda: precision_at_k(booleans(1, 0), 0), "entre 1 y 2"),
        (lambda: precision_at_k(torch.tensor(True), 1), "booleano"),
        (lambda: recall_at_k(booleans(1, 0), 1, 0), "entero desde 1"),
        (lambda: recall_at_k(booleans(0, 1), 1, torch.tensor(0)), "entero desde 1"),
        (lambda: recall_at_k(booleans(1, 1)[None], 1, torch.tensor([1])), "más relevantes"),
        (lambda: recall_at_k(booleans(1, 1)[None], 1, torch.tensor([2, 2])), r"un tensor \(1,\)"),
    ],
)
def test_metric_errors(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()


def slow_map(similarity, query_labels, database_labels, exclude_self):
    values = []
    for i in range(len(similarity)):
        columns = [j for j in range(similarity.shape[1]) if not (exclude_self and i == j)]
        columns.sort(key=lambda j, i=i: (-float(similarity[i, j]), j))
        relevant = [bool(database_labels[j] == query_labels[i]) for j in columns]
        if any(relevant):
            values.append(float(exact_average_precision(relevant, sum(relevant))))
    return sum(values) / len(values)


@pytest.mark.parametrize("decimals", [1, 8])  # con muchos empates y sin ellos
@pytest.mark.parametrize("block", [1, 64, 1 << 22])
def test_map_agrees_with_the_slow_loop(block, decimals, monkeypatch):
    monkeypatch.setattr(retrieval, "_BLOCK", block)
    generator = torch.Generator().manual_seed(3)
    square, tall = normal(30, 30).round(decimals=decimals), normal(17, 30, seed=1).round(decimals=decimals)
    labels, others = (torch.randint(0, 4, (n,), generator=generator) for n in (30, 17))
    for args in ((square, labels, labels, True), (square, labels, labels, False), (tall, others, labels, False)):
        assert mean_average_precision(*args) == pytest.approx(slow_map(*args), abs=1e-12)


def test_map_agrees_with_scikit_learn_without_ties():
    similarity, labels = normal(40, 60, dtype=torch.float64), torch.arange(60) % 7
    expected = [average_precision_score(labels == labels[i], similarity[i]) for i in range(40)]
    found = mean_average_precision(similarity, labels[:40], labels, exclude_self=False)
    assert found == pytest.approx(np.mean(expected), abs=1e-12)


def test_queries_with_nothing_relevant_do_not_count():
    similarity = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    assert mean_average_precision(similarity, torch.tensor([0, 5]), torch.tensor([0, 0]), False) == 1
    assert mean_average_precision(similarity, torch.tensor([1, 5]), torch.tensor([0, 1]), False) == 0.5
    with pytest.raises(ConvlabError, match="Ninguna consulta tiene imágenes relevantes"):
        mean_average_precision(similarity, torch.tensor([0, 1]), torch.tensor([0, 1]), True)


def test_excluding_oneself_removes_the_free_hit():
    similarity = torch.tensor([[1.0, 0.8, 0.1], [0.8, 1.0, 0.2], [0.1, 0.2, 1.0]])
    labels = torch.tensor([0, 1, 0])
    assert mean_average_precision(similarity, labels, labels, exclude_self=False) == pytest.approx(
        (5 / 6 + 1 + 5 / 6) / 3
    )
    assert mean_average_precision(similarity, labels, labels, exclude_self=True) == 0.5
    one = torch.ones(1, 1)
    with pytest.raises(ConvlabError, match="relevantes"):
        mean_average_precision(one, torch.tensor([0]), torch.tensor([0]), True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((torch.rand(2, 3), torch.zeros(3), torch.zeros(3), False), r"2×3.*\(2,\) y \(3,\).*\(3,\) y \(3,\)"),
        ((torch.rand(2, 3), torch.zeros(2), torch.zeros(3), True), "2 consultas y 3 imágenes"),
        ((torch.rand(0, 3), torch.zeros(0), torch.zeros(3), False), "vacía"),
        ((torch.tensor([[torch.nan]]), torch.zeros(1), torch.zeros(1), False), "NaN"),
    ],
)
def test_map_errors(args, message):
    with pytest.raises(ConvlabError, match=message):
        mean_average_precision(*args)


# --- incrustar un conjunto -------------------------------------------------------------------------------------------


def test_features_are_the_embeddings_of_the_layer(network):
    x = network.x.repeat(2, 1, 1, 1)[:3]
    with left_as_found(network.model, x):
        found = features(network.model, x.split(2), network.layer)
    torch.testing.assert_close(found, embed(capture(network.model, x, [network.layer])[network.layer]))


def test_features_run_the_network_once_per_batch_and_take_loaders():
    model, x = make_network("mini").model, normal(10, 3, 64, 64).sigmoid()
    runs = []
    handle = model.block2.register_forward_hook(lambda *_: runs.append(1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.arange(10)), batch_size=4)
    try:
        found = features(model, loader, "block2")
    finally:
        handle.remove()
    assert len(runs) == 3
    torch.testing.assert_close(found, features(model, [x], "block2"))


def test_features_of_a_flat_layer_with_its_size():
    model, x = make_network("mini").model, normal(3, 3, 64, 64).sigmoid()
    logits = model(x).detach()
    torch.testing.assert_close(features(model, [x], "fc", normalize=False), logits)
    torch.testing.assert_close(features(model, [x], "fc"), nn.functional.normalize(logits))
    pooled = capture(model, x, ["block3"])["block3"].mean((2, 3))
    torch.testing.assert_close(features(model, [x], "block3", normalize=False), pooled)


def test_features_leave_no_trace_even_when_a_batch_is_bad():
    network = make_network("mini")
    network.model.train()
    state = torch.random.get_rng_state()
    try:
        with left_as_found(network.model, network.x), pytest.raises(ConvlabError, match="NaN"):
            features(network.model, [network.x, torch.full_like(network.x, torch.nan)], "block1")
    finally:
        network.model.eval()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_features_errors():
    model = make_network("mini").model
    tokens = nn.Sequential(nn.Flatten(2), nn.Identity())
    merged = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, -1)))
    x = torch.rand(2, 3, 8, 8)
    for call, message in [
        (lambda: features(model, x, "block1"), r"x\.split\(64\)"),
        (lambda: features(model, [], "block1"), "ningún lote"),
        (lambda: features(model, [x[0]], "block1"), r"x\[None\]"),
        (lambda: features(model, [x], "blok1"), "¿Quisiste decir «block1»"),
        (lambda: features(tokens, [x], "0"), r"\(2, 3, 64\).*\(2, C\)"),
        (lambda: features(merged, [x], "1"), r"\(1, 384\) con 2 imágenes"),
    ]:
        with pytest.raises(ConvlabError, match=message):
            call()


# --- el índice: buscar -----------------------------------------------------------------------------------------------

METRICS = [("cosine", "cosine"), ("l2", "euclidean")]


@pytest.fixture(params=["exact", "faiss"])
def backend(request):
    if request.param == "faiss":
        pytest.importorskip("faiss")
    return request.param


@pytest.mark.parametrize(("metric", "theirs"), METRICS)
@pytest.mark.parametrize("block", [1, 300, 1 << 22])
def test_index_agrees_with_scikit_learn(metric, theirs, block, backend, monkeypatch):
    monkeypatch.setattr(_nearest, "_BLOCK", block)
    monkeypatch.setattr(index, "_QUERIES", 7)
    database, queries = normal(90, 12), normal(23, 12, seed=1)
    distances, rows = NearestNeighbors(n_neighbors=8, metric=theirs).fit(database.double()).kneighbors(queries.double())
    names = [f"foto-{i}" for i in range(90)]
    values, ids = ImageIndex(metric=metric, backend=backend).fit(database, names).query(queries, 8)
    assert ids == [[names[i] for i in row] for row in rows]
    expected = 1 - distances if metric == "cosine" else distances
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    assert values.dtype == torch.float32


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_adding_is_the_same_as_fitting_everything(metric, backend):
    data, queries = normal(60, 9), normal(5, 9, seed=1)
    whole = ImageIndex(metric=metric, backend=backend).fit(data)
    parts = ImageIndex(metric=metric, backend=backend).add(data[:1])
    assert parts.query(queries, 1)[1] == [[0]] * 5
    for rows in (data[1:20], data[20:21], data[21:]):
        parts.add(rows)
    assert len(parts) == len(whole) == 60
    assert torch.equal(parts.features_, whole.features_)
    for a, b in zip(parts.query(queries, 60), whole.query(queries, 60), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_identical_images_come_in_order(backend, monkeypatch):
    monkeypatch.setattr(_nearest, "_BLOCK", 40)
    database = normal(4, 8)[torch.tensor([0, 1, 2, 3] * 5)]
    for metric in ("cosine", "l2"):
        ids = ImageIndex(metric=metric, backend=backend).fit(database).query(database[1:2], 5)[1]
        assert ids == [[1, 5, 9, 13, 17]]


@pytest.mark.parametrize("few", [0, 4, 50])
def test_distances_do_not_cancel_far_from_the_origin(few, monkeypatch):
    monkeypatch.setattr(_nearest, "_FEW", few)
    monkeypatch.setattr(_nearest, "_PART", 20)
    database = normal(50, 16) * 0.1 + 3000
    values, ids = ImageIndex(metric="l2").fit(database).query(database, 3)
    exact = torch.cdist(database.double(), database.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert [row[0] for row in ids] == list(range(50))
    assert torch.equal(values[:, 0], torch.zeros(50))
    assert torch.equal(torch.tensor(ids), top_k(-exact, 3))
    torch.testing.assert_close(values, exact.sort(dim=1).values[:, :3].float())


def test_excluding_the_query_itself(backend):
    data = normal(20, 6)
    names = [f"{i}.png" for i in range(20)]
    filled = ImageIndex(backend=backend).fit(data, names)
    values, ids = filled.query(data, 19, exclude=names)
    similarity = cosine_similarity(data, data)
    rows = top_k(similarity, 19, torch.arange(20))
    assert ids == [[names[j] for j in row] for row in rows.tolist()]
    torch.testing.assert_close(values, similarity.gather(1, rows), atol=1e-6, rtol=0)
    far = filled.query(data[:1], 3, exclude=[ids[0][-1]])[1]
    assert far == [["0.png", *ids[0][:2]]]  # el excluido ni siquiera era candidato


def test_zero_vectors_are_like_nothing():
    values, ids = ImageIndex().fit(torch.tensor([[0.0, 0], [-1, 0], [1, 0]])).query(torch.tensor([[2.0, 0]]), 3)
    assert ids == [[2, 0, 1]]
    assert values.tolist() == [[1, 0, -1]]


def test_merging_blocks_keeps_the_first_of_equals(monkeypatch):
    monkeypatch.setattr(_nearest, "_BLOCK", 2)
    scores = torch.tensor([[1.0, 1, 0.5, 1]])
    assert highest(scores, 2).tolist() == [[0, 1]]
    database = torch.ones(9, 1)
    found = _nearest.nearest(torch.ones(1, 1), database, 4, "cosine")
    assert sorted(found[0].tolist()) == [0, 1, 2, 3]


# --- el índice: imágenes ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net():
    return load_model("mini")


@pytest.fixture(scope="module")
def scenes():
    return formas(40, seed=5)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_index_of_images_by_batches_and_at_once(net, scenes, metric):
    x = scenes.tensor()
    with left_as_found(net, x):
        once = ImageIndex(net, "block5", metric=metric).fit(x)
        streamed = ImageIndex(net, "block5", metric=metric).fit((b, None) for b in x.split(7))
        found = features(net, [x], "block5", normalize=metric == "cosine")
        given = ImageIndex(net, "block5", metric=metric).fit(found)
        result = once.query(x[:6], 4)
    for other in (streamed, given):
        torch.testing.assert_close(other.features_, once.features_)
        assert other.query(x[:6], 4)[1] == result[1]
    assert once.input_size == streamed.input_size == (64, 64)
    assert [row[0] for row in result[1]] == [0, 1, 2, 3, 4, 5]
    with torch.inference_mode():
        assert once.query(x[:6], 4)[1] == result[1]


def test_a_failed_fit_or_add_leaves_the_index_as_it_was(net, scenes):
    x = scenes.tensor()
    filled = ImageIndex(net, "block5").fit(x[:10], range(10))
    before = filled.features_.clone()
    bad = [
        (lambda: filled.add(x[10:12], [3, 50]), "«3» está repetido"),
        (lambda: filled.add(x[10:12], ["a", "a"]), "«a» está repetido"),
        (lambda: filled.fit(x[10:12], [1]), "2 imágenes y 1 identificadores"),
        (lambda: filled.add(x[10:12], [1.5, 2]), "entero o un texto y llegó 1.5"),
        (lambda: filled.add(x[10:12], [True, False]), "llegó True"),
        (lambda: filled.add(x[10:12, :, :32]), "64×64 y llegaron de 32×64"),
        (lambda: filled.fit([x[:2], x[2:4, :, :32]]), "64×64 y llegaron de 32×64"),
        (lambda: filled.add(iter(())), "ningún lote"),
        (lambda: filled.add(torch.rand(2, 5)), "128 componentes y llegaron de 5"),
        (lambda: filled.fit(torch.full((2, 5), torch.nan)), "NaN"),
        (lambda: filled.fit(torch.full((2, 5), 1e300, dtype=torch.float64)), "infinitos en float32"),
        (lambda: filled.fit(torch.ones(2, 5, dtype=torch.int64)), "int64"),
        (lambda: filled.fit(torch.ones(0, 5)), r"\(0, 5\)"),
        (lambda: filled.fit(torch.ones(3, 64, 64)), r"x\[None\]"),
    ]
    for call, message in bad:
        with pytest.raises(ConvlabError, match=message):
            call()
        assert torch.equal(filled.features_, before)
        assert filled.ids_ == list(range(10))
        assert filled.input_size == (64, 64)
    filled.fit(x[:3, :, :32])  # volver a llenar sí admite otro tamaño y otros nombres
    assert (len(filled), filled.input_size) == (3, (32, 64))


def test_query_errors(net, scenes):
    x = scenes.tensor()
    filled = ImageIndex(net, "block5").fit(x[:10])
    vectors = ImageIndex().fit(normal(4, 3))
    for call, message in [
        (lambda: ImageIndex().query(torch.rand(1, 3), 1), "vacío"),
        (lambda: filled.query(x[:1], 11), "entre 1 y 10"),
        (lambda: filled.query(x[:1], 10, exclude=[1]), "entre 1 y 9"),
        (lambda: filled.query(x[:1], 0), "entre 1 y 10"),
        (lambda: filled.query([x[:1]], 1), "tensor y llegó list"),
        (lambda: filled.query(x[:1, :, :32], 1), "64×64 y llegaron de 32×64"),
        (lambda: filled.query(torch.rand(1, 5), 1), "128 componentes"),
        (lambda: filled.query(x[:2], 1, exclude=[1]), "un identificador por consulta, 2"),
        (lambda: filled.query(x[:1], 1, exclude="a"), "un identificador por consulta"),
        (lambda: filled.query(x[:1], 1, exclude=[77]), "No existe en el índice la imagen «77»"),
        (lambda: vectors.query(x[:1], 1), "no tiene red"),
        (lambda: ImageIndex(net), "la red y la capa"),
        (lambda: ImageIndex(layer="block5"), "la red y la capa"),
        (lambda: ImageIndex(net, "blok5"), "¿Quisiste decir «block5»"),
        (lambda: ImageIndex(metric="cosin"), "¿Quisiste decir «cosine»"),
        (lambda: ImageIndex(backend="fais"), "¿Quisiste decir «faiss»"),
    ]:
        with pytest.raises(ConvlabError, match=message):
            call()


def test_numpy_and_torch_integers_are_good_names():
    filled = ImageIndex().fit(normal(3, 2), np.arange(3) + 7).add(normal(1, 2, seed=1), [torch.tensor(2)])
    assert filled.ids_ == [7, 8, 9, 2]
    assert all(type(i) is int for i in filled.ids_)


def test_changed_weights_are_noticed(scenes):
    torch.manual_seed(0)
    model, x = Mini().eval(), scenes.tensor()[:4]
    filled = ImageIndex(model, "block5").fit(x)
    model.load_state_dict(model.state_dict())  # los mismos valores: nada que decir
    assert filled.query(x, 1)[1] == [[0], [1], [2], [3]]
    with torch.no_grad():
        model.block4.bn.running_mean[0] += 0.1
    for call in (lambda: filled.query(x, 1), lambda: filled.add(x, "abcd")):
        with pytest.raises(ConvlabError, match="han cambiado"):
            call()


def test_fingerprint_sees_names_shapes_and_values():
    torch.manual_seed(0)
    one = nn.Linear(2, 3)
    other = nn.Linear(3, 2)
    with torch.no_grad():
        other.weight.copy_(one.weight.reshape(2, 3))
        other.bias.copy_(one.bias[:2])
    prints = {weights_fingerprint(m) for m in (one, other, nn.Sequential(one), Mini(), nn.ReLU())}
    assert len(prints) == 5
    with torch.inference_mode():
        born = nn.Linear(2, 3)
        born.load_state_dict(one.state_dict())
    assert weights_fingerprint(born) == weights_fingerprint(one)
    filled = ImageIndex(nn.Sequential(born), "0")
    assert filled.add(torch.rand(2, 3)) is filled


def test_missing_faiss_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ConvlabError, match="pip install faiss-cpu"):
        ImageIndex(backend="faiss")


# --- el archivo ------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(net, scenes, tmp_path):
    path = tmp_path / "indice.safetensors"
    names = [*range(5), *(f"añil/{i} «x».png" for i in range(5))]
    filled = ImageIndex(net, "block3", metric="l2", name="mini").fit(scenes.tensor()[:10], names)
    filled.save(path)
    return filled, path


def test_round_trip_is_exact(saved, net, scenes, backend):
    filled, path = saved
    loaded = ImageIndex.load(path, net, layer="block3", metric="l2", backend=backend)
    assert torch.equal(loaded.features_, filled.features_)
    for attribute in ("ids_", "layer", "metric", "name", "input_size"):
        assert getattr(loaded, attribute) == getattr(filled, attribute)
    x = scenes.tensor()[5:12]
    values, ids = loaded.query(x, 3)
    assert (ids, values.tolist()) == (filled.query(x, 3)[1], filled.query(x, 3)[0].tolist())
    loaded.add(x[-1:], ["nueva"]).save(path)
    again = ImageIndex.load(path)
    assert again.ids_ == [*filled.ids_, "nueva"]
    assert again.query(features(net, [x], "block3", normalize=False), 1)[1][-1] == ["nueva"]
    with pytest.raises(ConvlabError, match="no tiene red"):
        again.query(x, 1)
    assert again.bind(net).query(x, 1)[1][-1] == ["nueva"]


def test_round_trip_of_bare_vectors(tmp_path, net):
    path = tmp_path / "v.safetensors"
    filled = ImageIndex().fit(normal(7, 3, dtype=torch.float64).T.contiguous().T)
    filled.save(path)
    loaded = ImageIndex.load(str(path))
    assert torch.equal(loaded.features_, filled.features_)
    assert (loaded.layer, loaded.name, loaded.input_size) == (None, None, None)
    with pytest.raises(ConvlabError, match="incrustaciones y no se sabe de qué red"):
        loaded.bind(net)


def test_every_corruption_is_refused(saved):
    path = saved[1]
    data = path.read_bytes()
    places = {*range(0, 700, 3), *range(700, len(data), 97), len(data) - 1}
    for place in places:
        broken = bytearray(data)
        broken[place] ^= 0x11
        path.write_bytes(broken)
        with pytest.raises(ConvlabError, match=r"dañado|no un índice|versión"):
            ImageIndex.load(path)
    for length in (0, 3, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ConvlabError, match="dañado o incompleto"):
            ImageIndex.load(path)
    path.write_bytes(data + b"x")
    with pytest.raises(ConvlabError, match="dañado o incompleto"):
        ImageIndex.load(path)


def test_foreign_files_are_refused_and_nothing_is_executed(tmp_path):
    path = tmp_path / "i.safetensors"
    flag = tmp_path / "ejecutado"

    class Bomb:
        def __reduce__(self):
            return (flag.touch, ())

    def pickled():
        path.write_bytes(pickle.dumps(Bomb()))

    def torch_file():
        torch.save({"x": torch.ones(1)}, path)

    def npz():
        with path.open("wb") as stream:
            np.savez(stream, features=np.array([Bomb()], dtype=object), allow_pickle=True)

    def weights():
        save_file({"w": torch.ones(2)}, path, {"format": "pt"})

    def unmarked():
        save_file({"features": torch.ones(2, 2), "ids": torch.ones(2)}, path)

    for write in (pickled, torch_file, npz, weights, unmarked):
        write()
        with pytest.raises(ConvlabError, match=r"i\.safetensors»"):
            ImageIndex.load(path)
    assert not flag.exists()
    with pytest.raises(ConvlabError, match="No se puede leer el índice"):
        ImageIndex.load(tmp_path / "no.safetensors")
    with pytest.raises(ConvlabError, match="No se puede leer el índice"):
        ImageIndex.load(tmp_path)


HEADER = {"metric": "cosine", "layer": None, "model": None, "weights": None, "input_size": None}


@pytest.mark.parametrize(
    ("header", "vectors", "ids"),
    [
        ({"metric": "l3"}, torch.ones(2, 3), [0, 1]),
        ({"layer": 3}, torch.ones(2, 3), [0, 1]),
        ({"input_size": [64]}, torch.ones(2, 3), [0, 1]),
        ({"input_size": "64x64"}, torch.ones(2, 3), [0, 1]),
        ({"otra": 1}, torch.ones(2, 3), [0, 1]),
        ({}, torch.ones(3), [0, 1, 2]),
        ({}, torch.ones(2, 3, dtype=torch.float64), [0, 1]),
        ({}, torch.full((2, 3), torch.nan), [0, 1]),
        ({}, torch.ones(2, 3), [0]),
        ({}, torch.ones(2, 3), [0, 0]),
        ({}, torch.ones(2, 3), [0, True]),
        ({}, torch.ones(2, 3), [0, [1]]),
        ({}, torch.ones(2, 3), {"0": 1, "1": 2}),
        ({}, torch.ones(0, 3), []),
    ],
)
def test_a_well_signed_but_senseless_file_is_refused(header, vectors, ids, tmp_path):
    path = tmp_path / "i.safetensors"
    write_index(path, HEADER, torch.ones(2, 3), [0, 1])
    assert len(ImageIndex.load(path)) == 2
    write_index(path, {**HEADER, **header}, vectors, ids)
    with pytest.raises(ConvlabError, match="no es la de un índice"):
        ImageIndex.load(path)


def test_senseless_json_and_later_versions_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "i.safetensors"
    monkeypatch.setattr(_index_file, "VERSION", 2)
    write_index(path, HEADER, torch.ones(2, 3), [0, 1])
    monkeypatch.undo()
    with pytest.raises(ConvlabError, match=r"versión 2.*lee la 1\. Actualiza convlab"):
        ImageIndex.load(path)
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", lambda *_, **__: "{no es JSON")
        write_index(path, HEADER, torch.ones(2, 3), [0, 1])
    with pytest.raises(ConvlabError, match="no es la de un índice"):
        ImageIndex.load(path)


def test_an_index_of_something_else_is_refused(saved, net):
    path = saved[1]
    for model in (load_model("mini-textura"), Mini().eval(), make_network("resnet18").model):
        with pytest.raises(ConvlabError, match=r"otra red u otros pesos.*«mini», capa «block3»"):
            ImageIndex.load(path, model)
    with pytest.raises(ConvlabError, match="capa «block3» y se pidió «block5»"):
        ImageIndex.load(path, net, layer="block5")
    with pytest.raises(ConvlabError, match="métrica «l2» y se pidió «cosine»"):
        ImageIndex.load(path, metric="cosine")


def test_saving_is_all_or_nothing(saved, tmp_path, monkeypatch):
    filled, path = saved
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "replace", full_disk)
    with pytest.raises(ConvlabError, match="No se pudo escribir"):
        filled.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConvlabError, match=r"acabar en \.safetensors y llegó «i\.npz»"):
        filled.save(tmp_path / "i.npz")
    with pytest.raises(ConvlabError, match="vacío"):
        ImageIndex().save(path)


# --- figuras ---------------------------------------------------------------------------------------------------------


def test_neighbors_grid_marks_hits_with_more_than_colour():
    x = torch.rand(2, 3, 8, 6)
    hits = torch.stack([booleans(1, 0, 1), booleans(0, 0, 1)])
    figure = neighbors_grid(x, x[:, None].expand(-1, 3, -1, -1, -1), hits)
    marks = [[t.get_text() for t in axis.texts] for axis in figure.axes]
    assert marks == [[], ["✓"], ["✗"], ["✓"], [], ["✗"], ["✗"], ["✓"]]
    styles = [axis.spines["left"].get_linestyle() for axis in figure.axes[:4]]
    assert styles[2] != styles[1] == styles[3]
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, x[0].permute(1, 2, 0))


def test_neighbors_grid_without_hits_and_with_titles():
    x = torch.rand(1, 3, 8, 6)
    figure = neighbors_grid(x, x[:, None], titles=[["yo", "otra"]])
    assert [axis.get_title() for axis in figure.axes] == ["yo", "otra"]
    assert not any(axis.texts for axis in figure.axes)


def test_precision_by_layer_plot_draws_what_it_is_given():
    figure = precision_by_layer_plot(["a", "b"], {"forma": [0.1, 0.9], "textura": [0.5, 0.2]}, chance=0.1)
    lines = figure.axes[0].get_lines()
    assert [list(line.get_ydata()) for line in lines] == [[0.1, 0.9], [0.5, 0.2], [0.1, 0.1]]
    assert len({line.get_marker() for line in lines[:2]}) == 2
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["forma", "textura", "azar"]


def test_figure_errors():
    x = torch.rand(2, 3, 4, 4)
    for call, message in [
        (lambda: neighbors_grid(x, x), "vecinas"),
        (lambda: neighbors_grid(x, x[:1, None]), "consultas"),
        (lambda: neighbors_grid(x, x[:, None], torch.ones(2, 2)), "aciertos"),
        (lambda: neighbors_grid(x, x[:, None], titles=[["a", "b"]]), "2 filas de 2 rótulos"),
        (lambda: precision_by_layer_plot(["a"], {"forma": [1, 2]}), "«forma» tiene 2 valores y hay 1 capas"),
    ]:
        with pytest.raises(ConvlabError, match=message):
            call()


# --- lo que la lección enseña ----------------------------------------------------------------------------------------


def test_texture_first_and_shape_later(net):
    """En `mini` las vecinas comparten textura a media altura, y forma al final."""
    scenes = formas(250, seed=77)
    labels = {"forma": torch.from_numpy(scenes.shape), "textura": torch.from_numpy(scenes.texture)}
    precision = {name: [] for name in labels}
    for maps in capture(net, scenes.tensor(), [f"block{block}" for block in range(1, 6)]).values():
        vectors = embed(maps)
        near = top_k(cosine_similarity(vectors, vectors), 10, exclude=torch.arange(250))
        for name, label in labels.items():
            precision[name].append(float(precision_at_k(label[near] == label[:, None], 10).mean()))
    assert precision["forma"][0] < 0.2
    assert precision["forma"][4] > 0.9
    assert precision["textura"][2] == max(precision["textura"]) > 0.4
    assert precision["textura"][4] < 0.2
