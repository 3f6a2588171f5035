"""`convlab.embedding`: fórmulas cerradas, gradiente contra autograd y scikit-learn, y mapas de las redes del curso."""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.distance import squareform
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, _utils
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.manifold._t_sne import _kl_divergence
from sklearn.neighbors import KNeighborsClassifier

from convlab.data.formas import SHAPES, formas
from convlab.embedding import (
    centroid_distances,
    clumpiness,
    cluster_spread,
    conditional_probabilities,
    embed_points,
    initial_map,
    joint_probabilities,
    kl_divergence,
    kl_gradient,
    knn_purity,
    misreading_distance,
    misreading_noise,
    misreading_size,
    nearest_points,
    neighborhood_overlap,
    pca,
    procrustes_distance,
    squared_distances,
    stability,
    student_affinities,
    trustworthiness,
    tsne,
)
from convlab.errors import ConvlabError
from convlab.hooks import capture
from convlab.models import load_model
from convlab.plots.embedding import misreading_plot, perplexity_grid, scatter, thumbnails

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, dtype=dtype, generator=seeded(seed))


def slow_distances(x):
    return torch.stack([torch.stack([(a - b).square().sum() for b in x]) for a in x])


def perplexities(p):
    return torch.exp(-torch.special.xlogy(p, p).sum(1))


@pytest.fixture(scope="module")
def features():
    """Características de block5 de `mini` en 200 escenas, y su forma."""
    scenes = formas(200, 7)
    values = capture(load_model("mini"), scenes.tensor(), ["block5"])["block5"].mean((2, 3))
    return values, torch.from_numpy(scenes.shape)


# --- distancias y componentes principales ----------------------------------------------------------------------------


def test_squared_distances_are_the_slow_loop():
    x = normal(7, 5)
    torch.testing.assert_close(squared_distances(x), slow_distances(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_squared_distances_far_from_the_origin(dtype):
    """A 10^6 del origen la fórmula sin centrar pierde todas las cifras; los puntos se toman ya redondeados."""
    x = normal(30, 20, dtype=dtype) + 1e6
    x[7] = x[3]
    d2 = squared_distances(x)
    torch.testing.assert_close(d2, slow_distances(x.double()).to(dtype), rtol=1e-5, atol=0)
    assert torch.equal(d2, d2.T)
    assert (d2 >= 0).all()
    assert (d2.diagonal() == 0).all()
    assert d2[3, 7] == 0
    assert ((d2 == 0).sum(1) == 1).sum() == 28


def test_a_distance_below_the_rounding_error_is_zero():
    x = normal(20, 30)
    d2 = squared_distances(torch.cat([x, x + 1e-11 * normal(20, 30, seed=1)]))
    assert (d2[:20, 20:].diagonal() == 0).all()
    assert (d2 > 0).sum() == 40 * 38


def test_squared_distances_can_be_differentiated():
    x = normal(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(squared_distances, x)


def test_pca_matches_sklearn_with_fixed_signs():
    x = 1e4 + normal(40, 6) * torch.arange(1, 7)
    ours, theirs = pca(x, 3), PCA(3).fit(x.numpy())
    signs = np.sign(theirs.components_[np.arange(3), np.abs(theirs.components_).argmax(1)])
    np.testing.assert_allclose(ours.components, theirs.components_ * signs[:, None], atol=1e-9)
    np.testing.assert_allclose(ours.scores, theirs.transform(x.numpy()) * signs, atol=1e-8)
    np.testing.assert_allclose(ours.explained, theirs.explained_variance_ratio_, rtol=1e-9)
    mirrored = pca(-x, 3)
    torch.testing.assert_close(mirrored.components, ours.components)
    torch.testing.assert_close(mirrored.scores, -ours.scores)


def test_pca_of_equal_points_and_of_one_point():
    assert pca(torch.ones(4, 3), 2).explained.tolist() == [0, 0]
    assert pca(torch.ones(1, 3), 1).scores.tolist() == [[0]]


# --- probabilidades --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("perplexity", [1, 1.5, 2, 10, 30, 37, 38.9])
@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_every_row_has_the_perplexity_asked_for(perplexity, scale):
    """En nats y en bits; las filas, con σ muy distintas, y puntos alejados que fijan la escala de la fila."""
    x = normal(40, 6) * torch.logspace(-2, 2, 40, dtype=F64)[:, None] * scale
    p = conditional_probabilities(squared_distances(x), perplexity)
    assert (p.diagonal() == 0).all()
    torch.testing.assert_close(p.sum(1), torch.ones(40, dtype=F64))
    torch.testing.assert_close(perplexities(p), torch.full((40,), float(perplexity), dtype=F64), rtol=1e-6, atol=0)
    bits = -(p * p.clamp(min=1e-300).log2()).sum(1)
    torch.testing.assert_close(2**bits, perplexities(p))


def test_probabilities_are_gaussian():
    d2 = squared_distances(normal(12, 3))
    p = conditional_probabilities(d2, 5)
    away = ~torch.eye(12, dtype=torch.bool)
    for row, d in zip(p[away].view(12, 11), d2[away].view(12, 11), strict=True):
        slope = (row.log()[1:] - row.log()[0]) / (d[1:] - d[0])
        assert (slope < 0).all()
        torch.testing.assert_close(slope, slope[:1].expand(10))


def test_probabilities_match_sklearn():
    d2 = squared_distances(normal(60, 8))
    theirs = _utils._binary_search_perplexity(d2.float().numpy(), 15.0, 0)
    np.testing.assert_allclose(conditional_probabilities(d2, 15), theirs, rtol=1e-4, atol=1e-5)


def test_one_far_point_does_not_blind_the_search():
    x = torch.cat([normal(30, 3) * 1e-4, torch.full((1, 3), 1e4, dtype=F64)])
    found = perplexities(conditional_probabilities(squared_distances(x), 8))
    torch.testing.assert_close(found[:30], torch.full((30,), 8.0, dtype=F64), rtol=1e-6, atol=0)
    assert found.isfinite().all()


def test_ties_share_the_row():
    same = conditional_probabilities(torch.ones(6, 6), 3)
    torch.testing.assert_close(same, (1 - torch.eye(6)) / 5)
    torch.testing.assert_close(conditional_probabilities(torch.zeros(6, 6), 3), same)
    x = torch.cat([torch.zeros(6, 2), torch.tensor([[5.0, 0.0], [6.0, 0.0]])])
    p = conditional_probabilities(squared_distances(x), 2)
    torch.testing.assert_close(p[0], torch.tensor([0, 0.2, 0.2, 0.2, 0.2, 0.2, 0, 0]))


def test_the_diagonal_does_not_count():
    d2 = squared_distances(normal(10, 3))
    expected = conditional_probabilities(d2, 4)
    torch.testing.assert_close(conditional_probabilities(d2 + 7 * torch.eye(10), 4), expected)


@pytest.mark.parametrize("perplexity", [0.99, 9, 30, -1, math.nan])
def test_impossible_perplexities(perplexity):
    with pytest.raises(ConvlabError, match=r"perplejidad debe estar en \[1, 9\)"):
        conditional_probabilities(torch.ones(10, 10), perplexity)


def test_joint_probabilities_are_symmetric_and_sum_to_one():
    p = conditional_probabilities(squared_distances(normal(15, 4)), 5)
    joint = joint_probabilities(p)
    assert not torch.equal(p, p.T)
    assert torch.equal(joint, joint.T)
    assert joint.sum().item() == pytest.approx(1)
    assert joint[2, 5].item() == pytest.approx((p[2, 5] + p[5, 2]).item() / 30)


# --- el mapa y su gradiente ------------------------------------------------------------------------------------------


def test_student_affinities_are_the_formula():
    y = normal(6, 3)
    q, w = student_affinities(y)
    expected = 1 / (1 + slow_distances(y)) - torch.eye(6)
    torch.testing.assert_close(w, expected)
    torch.testing.assert_close(q, expected / expected.sum())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradient_is_autograd_finite_differences_and_sklearn(dimensions):
    p = joint_probabilities(conditional_probabilities(squared_distances(normal(9, 4)), 3))
    y = normal(9, dimensions, seed=1).requires_grad_()

    def loss(y):
        return kl_divergence(p, student_affinities(y)[0])

    (automatic,) = torch.autograd.grad(loss(y), y)
    with torch.no_grad():
        gradient = kl_gradient(p, *student_affinities(y), y)
        torch.testing.assert_close(gradient, automatic, rtol=1e-10, atol=1e-14)
        direction, step = normal(9, dimensions, seed=2), 1e-6
        slope = (loss(y + step * direction) - loss(y - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-7, atol=0)
        value, theirs = _kl_divergence(y.flatten().numpy(), squareform(p.numpy(), checks=False), 1.0, 9, dimensions)
        np.testing.assert_allclose(gradient.flatten(), theirs, rtol=1e-9, atol=1e-14)
        assert loss(y).item() == pytest.approx(value, rel=1e-9)


def test_gradient_attracts_what_is_nearer_in_the_data():
    """Tres puntos en fila: si la pareja 0–1 se exagera, el 0 baja hacia el 1 con el valor que da la fórmula."""
    y = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]], dtype=F64)
    q, w = student_affinities(y)
    p = q.clone()
    p[0, 1] = p[1, 0] = q[0, 1] + 0.1
    gradient = kl_gradient(p, q, w, y)
    torch.testing.assert_close(gradient[:, 0], torch.tensor([-0.2, 0.2, 0], dtype=F64))


def test_divergence_of_empty_pairs():
    p = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert kl_divergence(p, torch.tensor([[0.0, 0.5], [0.5, 0.0]])).item() == pytest.approx(math.log(2))


# --- t-SNE -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["random", "pca"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_tsne_is_as_trustworthy_as_sklearn(features, init, dimensions):
    x, labels = features
    ours = tsne(x, 20, 750, seeded(), init=init, dimensions=dimensions)
    theirs = torch.from_numpy(
        TSNE(dimensions, perplexity=20, init=init, random_state=0, max_iter=750).fit_transform(x.numpy())
    )
    assert ours.shape == (200, dimensions)
    assert abs(trustworthiness(x, ours) - trustworthiness(x, theirs)) < 0.01
    assert knn_purity(ours, labels).purity > 0.9


def test_exaggeration_is_removed(features):
    """La divergencia final es la de scikit-learn; sin retirarla sería casi nueve veces mayor."""
    x, _ = features
    p = joint_probabilities(conditional_probabilities(squared_distances(x.double()), 20))
    map_ = TSNE(perplexity=20, init="pca", random_state=0, method="exact").fit(x.double().numpy())
    ours = tsne(x.double(), 20, 1000, init="pca")
    assert kl_divergence(p, student_affinities(ours)[0]).item() == pytest.approx(map_.kl_divergence_, rel=0.1)


def test_tsne_repeats_with_the_same_generator_and_leaves_the_global_one():
    x = normal(30, 5, dtype=torch.float32)
    before, copy = torch.get_rng_state(), x.clone()
    first = tsne(x, 5, 60, seeded(3))
    assert torch.equal(first, tsne(x, 5, 60, seeded(3)))
    assert not torch.equal(first, tsne(x, 5, 60, seeded(4)))
    assert torch.equal(tsne(x, 5, 60, init="pca"), tsne(x, 5, 60, seeded(4), init="pca"))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(x, copy)
    torch.testing.assert_close(first.mean(0), torch.zeros(2), atol=1e-5, rtol=0)


def test_the_descent_is_the_one_described():
    x = normal(20, 5)
    start = initial_map(x, 2, "random", seeded())
    p = joint_probabilities(conditional_probabilities(squared_distances(x), 5))
    # Con menos de cuatro pasos no hay exageración; con 1200, los 250 primeros.
    for steps, factor in ((1, 1), (120, 12), (1200, 12)):
        y, velocity = start, torch.zeros_like(start)
        gains = torch.ones_like(start)
        for k in range(steps):
            exaggerated, momentum = (factor, 0.5) if k < min(steps // 4, 250) else (1, 0.8)
            g = kl_gradient(exaggerated * p, *student_affinities(y), y)
            gains = torch.where(g * velocity < 0, gains + 0.2, 0.8 * gains).clamp(min=0.01)
            velocity = momentum * velocity - 50 * gains * g
            y = y + velocity
        torch.testing.assert_close(tsne(x, 5, steps, seeded()), y - y.mean(0))


def test_initial_maps():
    x = normal(50, 8)
    y = initial_map(x, 3, "pca")
    torch.testing.assert_close(y / 1e-4 * pca(x, 3).scores[:, 0].std(correction=0), pca(x, 3).scores)
    cloud = initial_map(x, 2, "random", seeded(1))
    torch.testing.assert_close(cloud, 1e-4 * normal(50, 2, seed=1))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_without_gradients_in_any_type_and_layout(mode):
    x = normal(6, 24, dtype=torch.float32).T.requires_grad_()  # no contigua
    expected = tsne(x.detach().contiguous(), 5, 40, seeded())
    with mode():
        y = tsne(x, 5, 40, seeded())
        low = x.bfloat16()
        assert tsne(low, 5, 40, seeded()).dtype == torch.float32
        assert (
            squared_distances(low).dtype
            == conditional_probabilities(low[:, :1].square() + 1.0 * low.new_ones(24), 5).dtype
        )
        assert embed_points(low, "pca").dtype == torch.float32
        assert 0.3 < trustworthiness(x, y) <= 1
        assert procrustes_distance(x[:, :2], y) >= 0
    torch.testing.assert_close(y, expected)
    assert not tsne(x, 5, 40, seeded()).requires_grad
    assert not embed_points(x, "pca").requires_grad


# --- el camino práctico ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tsne", "sklearn", "opentsne"])
def test_embed_points_of_every_method(features, method):
    if method == "opentsne":
        pytest.importorskip("openTSNE")
    x, labels = features
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    y = embed_points(x, method, perplexity=20, seed=1, steps=500)
    again = embed_points(x, method, perplexity=20, seed=1, steps=500)
    assert torch.equal(y, again)
    assert y.shape == (200, 2)
    assert y.dtype == x.dtype
    torch.testing.assert_close(y.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    assert trustworthiness(x, y) > 0.98
    assert knn_purity(y, labels).purity > 0.9
    cloud = embed_points(x, method, perplexity=20, seed=2, init="random", steps=500)
    assert procrustes_distance(y, cloud) > 1e-3
    solid = embed_points(x, method, dimensions=3, perplexity=20, steps=500)
    assert solid.shape == (200, 3)
    assert trustworthiness(x, solid) > 0.98
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_embed_points_starts_from_the_components_it_says(features):
    x, _ = features
    ours = embed_points(x, "tsne", components=10, perplexity=20, steps=500)
    assert torch.equal(ours, tsne(pca(x, 10).scores, 20, 500, init="pca"))
    raw = embed_points(x, "tsne", components=0, perplexity=20, steps=500, init="random", seed=3)
    assert torch.equal(raw, tsne(x, 20, 500, seeded(3)))
    assert torch.equal(embed_points(x, "pca", dimensions=3), pca(x, 3).scores)


def test_without_opentsne_the_error_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "openTSNE":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConvlabError, match="pip install openTSNE"):
        embed_points(normal(40, 5), "opentsne", perplexity=5)


def test_opentsne_interpolates_only_large_flat_maps(monkeypatch):
    opentsne = pytest.importorskip("openTSNE")
    asked = []

    class Fake:
        def __init__(self, dimensions, **options):
            asked.append((options["negative_gradient_method"], options["early_exaggeration_iter"] + options["n_iter"]))
            self.start = options["initialization"]

        def fit(self, points):
            return self.start

    monkeypatch.setattr(opentsne, "TSNE", Fake)
    small, large = normal(40, 4, dtype=torch.float32), normal(10_001, 4, dtype=torch.float32)
    embed_points(small, "opentsne", perplexity=5, steps=700)
    embed_points(large, "opentsne")
    embed_points(large, "opentsne", dimensions=3)
    assert asked == [("bh", 700), ("fft", 1000), ("bh", 1000)]


# --- medidas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 12, 19])
def test_trustworthiness_matches_sklearn(k):
    x, y = normal(40, 6), normal(40, 2, seed=1)
    assert trustworthiness(x, y, k) == pytest.approx(sklearn_trustworthiness(x.numpy(), y.numpy(), n_neighbors=k))
    near = x[:, :2]
    assert trustworthiness(x, near, k) == pytest.approx(sklearn_trustworthiness(x.numpy(), near.numpy(), n_neighbors=k))
    assert trustworthiness(x, 2 - x, k) == 1


def test_nearest_points_by_hand():
    assert nearest_points(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_purity_leaves_the_point_out():
    """Con k = 1 es el acierto del vecino más próximo dejando uno fuera; el azar, con clases desiguales, se enumera."""
    y = normal(30, 2)
    labels = torch.tensor([0] * 20 + [4] * 10)
    purity, chance = knn_purity(y, labels, 1)
    hits = 0
    for i in range(30):
        rest = [j for j in range(30) if j != i]
        hits += KNeighborsClassifier(1).fit(y[rest], labels[rest]).predict(y[[i]])[0] == labels[i]
    assert purity == pytest.approx(hits / 30)
    pairs = [labels[i] == labels[j] for i in range(30) for j in range(30) if i != j]
    assert chance == pytest.approx(sum(map(int, pairs)) / len(pairs))
    assert knn_purity(y, labels, 29).purity == pytest.approx(chance)


def test_overlap_by_sets():
    a, b = normal(25, 3), normal(25, 2, seed=1)
    sets = [[set(row) for row in nearest_points(y, 6).tolist()] for y in (a, b)]
    expected = sum(len(s & t) for s, t in zip(*sets, strict=True)) / (25 * 6)
    assert neighborhood_overlap(a, b, 6) == pytest.approx(expected)
    assert neighborhood_overlap(a, b, 24) == 1


@pytest.mark.parametrize("dimensions", [2, 3])
def test_procrustes_matches_scipy(dimensions):
    a, b = 100 + normal(20, dimensions), normal(20, dimensions, seed=1)
    assert procrustes_distance(a, b) == pytest.approx(procrustes(a.numpy(), b.numpy())[2])
    assert procrustes_distance(a, b) == pytest.approx(procrustes_distance(b, a))
    turn = torch.linalg.qr(normal(dimensions, dimensions, seed=2))[0]
    assert procrustes_distance(a, 3 * a @ turn - 5) == pytest.approx(0, abs=1e-12)


def test_stability_compares_every_pair():
    maps = [normal(20, 2, seed=s) for s in range(3)]
    overlap, distance = stability(maps, 4)
    for a in range(3):
        for b in range(3):
            assert overlap[a, b].item() == pytest.approx(neighborhood_overlap(maps[a], maps[b], 4))
            assert distance[a, b].item() == pytest.approx(procrustes_distance(maps[a], maps[b]), abs=1e-12)


# --- lo que se malinterpreta -----------------------------------------------------------------------------------------


def test_the_size_of_a_cluster_means_nothing():
    x, labels = misreading_size(60, generator=seeded())
    y = embed_points(x, perplexity=20, steps=600)
    in_data, in_map = (s[1] / s[0] for s in (cluster_spread(x, labels), cluster_spread(y, labels)))
    assert in_data == pytest.approx(10, rel=0.1)
    assert 0.8 < in_map < 1.25
    assert knn_purity(x, labels).purity == knn_purity(y, labels).purity == 1


def test_the_distance_between_clusters_means_nothing():
    x, labels = misreading_distance(60, generator=seeded())
    y = embed_points(x, perplexity=20, steps=600)
    in_data, in_map = (d[1, 2] / d[0, 1] for d in (centroid_distances(x, labels), centroid_distances(y, labels)))
    assert in_data == pytest.approx(5, rel=0.05)
    assert in_map < 2
    assert knn_purity(y, labels).purity == 1


def test_noise_looks_like_clusters():
    x = misreading_noise(200, generator=seeded())
    y = embed_points(x, perplexity=2, init="random", components=0, steps=600)
    assert clumpiness(x, 30) < 0.03
    assert clumpiness(y, 30) > clumpiness(pca(x, 2).scores, 30) + 0.1


def test_misreadings_repeat_and_have_the_shape_asked_for():
    for make, count in ((misreading_size, 2), (misreading_distance, 3)):
        x, labels = make(5, 7, 2.0, seeded())
        assert x.shape == (5 * count, 7)
        assert labels.tolist() == [k for k in range(count) for _ in range(5)]
        assert torch.equal(x, make(5, 7, 2.0, seeded())[0])
    assert torch.equal(misreading_noise(5, 7, seeded()), misreading_noise(5, 7, seeded()))


def test_spread_and_centroids_by_hand():
    y = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 3.0], [10.0, 5.0], [10.0, 4.0]])
    labels = torch.tensor([3, 3, 8, 8, 8])
    torch.testing.assert_close(cluster_spread(y, labels), torch.tensor([1, (2 / 3) ** 0.5]))
    torch.testing.assert_close(centroid_distances(y, labels)[0, 1].item(), (81 + 16) ** 0.5)


# --- figuras ---------------------------------------------------------------------------------------------------------


def test_every_class_has_its_own_mark_and_a_name(features):
    x, labels = features
    for dimensions in (2, 3):
        figure = scatter(embed_points(x, "pca", dimensions=dimensions), labels, SHAPES, title="mapa")
        drawn = figure.axes[0].collections
        assert len(drawn) == 10
        assert len({str(c.get_paths()[0].vertices) for c in drawn}) == 10
        assert [t.get_text() for t in figure.legends[0].get_texts()] == list(SHAPES)
        figure.canvas.draw()


def test_thumbnails_do_not_hide_each_other():
    scenes = formas(60, 3)
    y = normal(60, 2, dtype=torch.float32)
    axis = thumbnails(y, scenes.tensor(), zoom=0.1).axes[0]
    centers = [((a + b) / 2, (c + d) / 2) for a, b, c, d in (i.get_extent() for i in axis.images)]
    gaps = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for i, a in enumerate(centers) for b in centers[:i]]
    assert min(gaps) >= 0.0749
    assert len(axis.images) + len(axis.collections[0].get_offsets()) == 60
    assert 10 < len(axis.images) < 60


def test_rows_of_maps():
    maps = {p: normal(12, 2, seed=p) for p in (5, 30)}
    labels = torch.arange(12) % 3
    figure = perplexity_grid(maps, labels, ["a", "b", "c"])
    assert [a.get_title() for a in figure.axes] == ["perplejidad 5", "perplejidad 30"]
    figure = misreading_plot(normal(12, 5), maps[5], labels, measure="tamaño", in_data=10, in_map=1)
    assert figure.axes[1].get_title() == "mapa\ntamaño: 1.00"


# --- errores ---------------------------------------------------------------------------------------------------------

X, Y, L = torch.zeros(20, 4), torch.zeros(20, 2), torch.zeros(20, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: squared_distances(torch.zeros(3, 4, 5)), r"aplánalos"),
        (lambda: squared_distances(torch.zeros(3, 4, dtype=torch.int64)), "coma flotante"),
        (lambda: squared_distances(torch.zeros(0, 4)), "Se esperaba una matriz"),
        (lambda: squared_distances(torch.full((3, 4), torch.nan)), "NaN"),
        (lambda: pca(X, 5), "entre 1 y 4"),
        (lambda: pca(X, 0), "entre 1 y 4"),
        (lambda: conditional_probabilities(X, 3), "cuadrada"),
        (lambda: conditional_probabilities(-torch.ones(9, 9), 3), "no negativos"),
        (lambda: conditional_probabilities(torch.full((9, 9), torch.inf), 3), "finitos"),
        (lambda: joint_probabilities(torch.eye(4) * 2), "sumar 1"),
        (lambda: student_affinities(torch.zeros(1, 2)), "dos puntos"),
        (lambda: kl_divergence(torch.ones(3, 3), torch.ones(4, 4)), "misma forma"),
        (lambda: kl_gradient(torch.ones(3, 3), torch.ones(3, 3), torch.ones(3, 3), Y), r"\(20, 20\)"),
        (lambda: initial_map(X, 4, "pca"), "2 o 3"),
        (lambda: initial_map(X, 2, "pcs"), "Quisiste decir «pca»"),
        (lambda: initial_map(X[:, :1], 2, "pca"), "init='random'"),
        (lambda: tsne(X, 5, 0), "steps"),
        (lambda: tsne(X, 19, 10), "perplejidad"),
        (lambda: embed_points(X, "tsn"), "Quisiste decir «tsne»"),
        (lambda: embed_points(X, dimensions=1), "2 o 3"),
        (lambda: embed_points(X, perplexity=19), "perplejidad"),
        (lambda: embed_points(X, perplexity=5, steps=100), "desde 500"),
        (lambda: embed_points(X, perplexity=5, components=-1), "components"),
        (lambda: nearest_points(X, 20), "entre 1 y 19"),
        (lambda: trustworthiness(X, Y, 10), "menor que 10"),
        (lambda: trustworthiness(X, Y[:5]), "mismos puntos"),
        (lambda: knn_purity(X, L[:5]), "clases enteras"),
        (lambda: knn_purity(X, L.float()), "clases enteras"),
        (lambda: neighborhood_overlap(X, Y[:5]), "mismos puntos"),
        (lambda: procrustes_distance(X, Y), "mismas dimensiones"),
        (lambda: procrustes_distance(Y, Y), "coinciden"),
        (lambda: stability([Y]), "dos mapas"),
        (lambda: clumpiness(Y, 20), "entre 2 y 19"),
        (lambda: misreading_size(1), "`n` debe ser"),
        (lambda: misreading_noise(9, 0), "`dimensions` debe ser"),
        (lambda: misreading_distance(9, ratio=0), "`ratio` debe ser"),
        (lambda: scatter(X), r"\(N, 2\) o \(N, 3\)"),
        (lambda: scatter(Y, L + 60), "de 0 a 59"),
        (lambda: scatter(Y, L - 1), "de 0 a 59"),
        (lambda: scatter(Y, L + 2, ["a", "b"]), "2 nombres"),
        (lambda: thumbnails(Y, torch.zeros(5, 3, 8, 8)), "sus imágenes"),
        (lambda: perplexity_grid({}), "ningún mapa"),
        (lambda: perplexity_grid({5: normal(9, 3)}), r"mapa \(N, 2\)"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()
