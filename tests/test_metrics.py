"""`convlab.metrics`: casos hechos a mano, versiones lentas de otras bibliotecas y los casos límite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.spatial import ConvexHull

from convlab.errors import ConvlabError
from convlab.metrics import (
    center_gaussian,
    convex_hull,
    edge_map,
    iou_at_threshold,
    mask_overlap,
    mass_inside,
    pointing_game,
    random_map,
    rank_correlation,
)

MEASURES = [pointing_game, mass_inside, lambda a, b: iou_at_threshold(a, b, 0.5), mask_overlap]


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def some_masks(n=6, h=9, w=7, seed=3):
    return rand(n, h, w, seed=seed) < torch.linspace(0.02, 0.6, n).view(-1, 1, 1)


# --- pointing game ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 3])
def test_pointing_game_equals_a_loop(tolerance):
    saliency, mask = rand(40, 9, 7), some_masks(40)
    hits = []
    for s, m in zip(saliency.numpy(), mask.numpy(), strict=True):
        y, x = np.unravel_index(s.argmax(), s.shape)
        hits.append(any(math.hypot(y - i, x - j) <= tolerance for i, j in zip(*np.nonzero(m), strict=True)))
    assert pointing_game(saliency, mask, tolerance).tolist() == hits
    assert 0 < sum(hits) < 40


def test_pointing_game_ties_count_the_first_by_rows():
    saliency = torch.zeros(2, 3, 4)
    saliency[:, 1, 3] = saliency[:, 2, 0] = 1
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[0, 1, 3] = mask[1, 2, 0] = True
    assert pointing_game(saliency, mask).tolist() == [True, False]


@pytest.mark.parametrize("value", [0.0, 2.0, -1.0])
def test_pointing_game_gives_nothing_to_a_constant_map(value):
    maps = torch.full((2, 3, 4), value)
    maps[1, 0, 0] = value - 1  # el otro mapa del lote sí señala
    assert pointing_game(maps, torch.ones(2, 3, 4, dtype=torch.bool), 5).tolist() == [False, True]


def test_pointing_game_empty_mask_and_negative_maps():
    mask = torch.zeros(2, 1, 2, dtype=torch.bool)
    mask[1, 0, 1] = True
    assert pointing_game(torch.tensor([[[-3.0, -1.0]]]).expand(2, 1, 2), mask, 9).tolist() == [False, True]


def test_pointing_game_allows_no_distance_by_default():
    saliency = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    assert pointing_game(saliency, torch.tensor([[[True, False]]]).expand(2, 1, 2)).tolist() == [False, True]


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_pointing_game_tolerance(tolerance):
    with pytest.raises(ConvlabError, match="tolerancia"):
        pointing_game(rand(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), tolerance)


# --- masa e IoU ------------------------------------------------------------------------------------------------------


def test_mass_inside_by_hand():
    saliency = torch.tensor([[[4.0, -9.0, 1.0, 3.0]]] * 3 + [[[-1.0, 0.0, -2.0, 0.0]]])
    mask = torch.tensor([[[1, 1, 0, 0]], [[0, 1, 0, 0]], [[1, 1, 1, 1]], [[1, 1, 1, 1]]]).bool()
    assert torch.allclose(mass_inside(saliency, mask), torch.tensor([0.5, 0, 1, 0]))


@pytest.mark.parametrize("scale", [1e-30, 1e30, 3e38])
def test_mass_inside_ignores_scale(scale):
    saliency, mask = rand(6, 9, 7), some_masks()
    assert torch.allclose(mass_inside(saliency * scale, mask), mass_inside(saliency, mask))


def test_mass_inside_scales_each_image_by_itself():
    saliency, mask = rand(6, 9, 7), some_masks()
    scales = torch.tensor([1e30, 1e-30] * 3).view(6, 1, 1)
    assert torch.allclose(mass_inside(saliency * scales, mask), mass_inside(saliency, mask))


def test_mass_inside_of_a_uniform_map_is_the_area():
    mask = some_masks()
    assert torch.allclose(mass_inside(torch.ones(6, 9, 7), mask), mask.float().mean((1, 2)))


def test_mass_inside_rejects_infinity():
    with pytest.raises(ConvlabError, match="infinitos"):
        mass_inside(torch.full((1, 2, 2), float("inf")), torch.ones(1, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize("fraction", [0, 0.25, 0.5, 1])
def test_iou_equals_sets(fraction):
    heat, mask = rand(6, 9, 7) - 0.3, some_masks()
    expected = []
    for h, m in zip(heat.tolist(), mask.tolist(), strict=True):
        top = max(map(max, h))
        region = {(i, j) for i, row in enumerate(h) for j, v in enumerate(row) if v >= fraction * top}
        truth = {(i, j) for i, row in enumerate(m) for j, v in enumerate(row) if v}
        expected.append(len(region & truth) / len(region | truth))
    assert torch.allclose(iou_at_threshold(heat, mask, fraction), torch.tensor(expected))


def test_iou_limits():
    full = torch.ones(3, 2, 2, dtype=torch.bool)
    heat = torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 2, 2)
    assert iou_at_threshold(heat, full, 0.5).tolist() == [1, 0, 0]
    assert iou_at_threshold(heat, ~full, 0.5).tolist() == [0, 0, 0]
    one = torch.tensor([[[True, False]]])  # una unión de un solo píxel
    assert iou_at_threshold(one.float(), one, 0.5).tolist() == [1]
    for fraction in (50, 1.01, -0.01, float("nan")):
        with pytest.raises(ConvlabError, match="fraction"):
            iou_at_threshold(heat, full, fraction)


@pytest.mark.parametrize("quantile", [0, 0.25, 0.8, 1])
def test_mask_overlap_equals_numpy(quantile):
    saliency, mask = rand(6, 9, 7) * torch.linspace(-3, 8, 6).view(6, 1, 1), some_masks()
    expected = []
    for s, m in zip(saliency.numpy(), mask.numpy(), strict=True):
        region = s >= np.quantile(s, np.float32(quantile))
        expected.append((region & m).sum() / region.sum())
    assert torch.allclose(mask_overlap(saliency, mask, quantile), torch.tensor(expected, dtype=torch.float32))


def test_mask_overlap_takes_the_top_tenth_by_default():
    saliency, mask = rand(6, 10, 7), some_masks(h=10)
    assert torch.equal(mask_overlap(saliency, mask), mask_overlap(saliency, mask, 0.9))


# --- lo común --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.uint8])
def test_any_dtype(measure, dtype):
    saliency, mask = (rand(6, 9, 7) * 200).to(dtype), some_masks()
    got, expected = measure(saliency, mask), measure(saliency.float(), mask)
    assert got.dtype == (expected.dtype if dtype != torch.float64 or got.dtype == torch.bool else torch.float64)
    assert torch.allclose(got.double(), expected.double(), atol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("saliency", "mask", "message"),
    [
        (rand(1, 2, 3), torch.ones(1, 3, 2, dtype=torch.bool), "misma forma"),
        (rand(2, 3), torch.ones(2, 3, dtype=torch.bool), r"mask\[None\]"),
        (rand(1, 2, 3), torch.ones(1, 2, 3), "mask > 0"),
        (torch.full((1, 2, 3), float("nan")), torch.ones(1, 2, 3, dtype=torch.bool), "NaN"),
    ],
)
def test_bad_inputs(measure, saliency, mask, message):
    with pytest.raises(ConvlabError, match=message):
        measure(saliency, mask)


@pytest.mark.parametrize("measure", MEASURES)
def test_inputs_are_not_changed(measure):
    saliency, mask = rand(6, 9, 7) - 0.5, some_masks()
    before = saliency.clone(), mask.clone()
    measure(saliency, mask)
    convex_hull(mask)
    assert torch.equal(saliency, before[0])
    assert torch.equal(mask, before[1])


# --- envolvente ------------------------------------------------------------------------------------------------------


def test_hull_fills_ring_and_crescent():
    y, x = torch.meshgrid(torch.arange(41) - 20, torch.arange(41) - 20, indexing="ij")
    disk = x**2 + y**2 <= 15**2
    ring = disk & (x**2 + y**2 >= 9**2)
    crescent = disk & ((x - 8) ** 2 + y**2 > 12**2)
    hull = convex_hull(torch.stack([ring, crescent, disk]))
    assert torch.equal(hull[0], disk)
    assert hull[1][20, 20]  # dentro del hueco
    assert not crescent[20, 20]
    assert torch.equal(hull[2], disk)


def test_hull_contains_its_mask_and_equals_scipy():
    mask = some_masks(8, 12, 15)
    hull = convex_hull(mask)
    assert (hull | ~mask).all()
    compared = 0
    for m, got in zip(mask.numpy(), hull.numpy(), strict=True):
        points = np.argwhere(m)
        if np.linalg.matrix_rank(points - points[0]) < 2:
            continue
        faces = ConvexHull(points).equations
        inside = (faces[:, :2] @ np.argwhere(np.ones_like(m)).T + faces[:, 2:] <= 1e-9).all(0).reshape(m.shape)
        assert np.array_equal(got, inside)
        compared += 1
    assert compared >= 5


def test_hull_of_little_things():
    mask = torch.zeros(4, 5, 6, dtype=torch.bool)
    mask[3].fill_diagonal_(True)
    mask[1, 2, 3] = True
    mask[2, 1, 1:5:3] = True
    hull = convex_hull(mask)
    assert torch.equal(hull[[0, 1, 3]], mask[[0, 1, 3]])
    assert hull[2].nonzero().tolist() == [[1, 1], [1, 2], [1, 3], [1, 4]]
    assert torch.equal(convex_hull(torch.ones(1, 1, 1, dtype=torch.bool)), torch.ones(1, 1, 1, dtype=torch.bool))
    with pytest.raises(ConvlabError, match="booleana"):
        convex_hull(mask.float())


# --- correlación de rangos -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [None, 5])
def test_rank_correlation_equals_scipy(levels):
    a, b = rand(7, 9, 8, seed=1), rand(7, 9, 8, seed=2)
    b[:4] += a[:4]
    if levels:  # con empates
        a, b = (a * levels).floor(), (b * levels).floor()
    expected = [stats.spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert torch.allclose(rank_correlation(a, b), torch.tensor(expected, dtype=torch.float32), atol=1e-6)


def test_rank_correlation_ignores_monotone_changes():
    a = rand(2, 50, 50)
    assert torch.equal(rank_correlation(a, a.exp()), torch.ones(2))
    assert torch.equal(rank_correlation(a, -(a**3)), -torch.ones(2))


def test_rank_correlation_never_leaves_its_interval():
    """En float64 el redondeo del cociente lo sacaría de [-1, 1]."""
    for size in range(2, 60):
        a = rand(1, size).double()
        assert rank_correlation(a, a) <= 1
        assert rank_correlation(a, -a) >= -1


def test_rank_correlation_limits():
    a = rand(2, 3, 4)
    assert rank_correlation(a, torch.zeros(2, 3, 4)).tolist() == [0, 0]
    assert rank_correlation(a.double(), a).dtype == torch.float64
    assert rank_correlation(a.flatten(1), a.flatten(1)).tolist() == [1, 1]
    assert rank_correlation(a[:, :1, :1], a[:, :1, :1]).tolist() == [0, 0]
    for one, other in ((a, a[:1]), (a[0, 0], a[0, 0]), (a[:0], a[:0]), (a[:, :0], a[:, :0])):
        with pytest.raises(ConvlabError, match="misma forma"):
            rank_correlation(one, other)
    with pytest.raises(ConvlabError, match="NaN"):
        rank_correlation(a, a / 0 * 0)


# --- controles -------------------------------------------------------------------------------------------------------


def test_random_map_is_reproducible_and_leaves_the_global_state():
    state = torch.get_rng_state()
    a, b, c = (random_map((2, 5, 4), torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (2, 5, 4)
    assert 0 <= a.min() <= a.max() < 1
    with torch.random.fork_rng():  # sin generador, el global
        torch.manual_seed(0)
        assert torch.equal(random_map((2, 5, 4)), a)


@pytest.mark.parametrize(("h", "w"), [(7, 5), (64, 48), (1, 1)])
def test_center_gaussian(h, w):
    bell = center_gaussian(h, w)
    assert bell.shape == (h, w)
    assert torch.allclose(bell, bell.flip(0, 1))
    assert bell[(h - 1) // 2, (w - 1) // 2] == bell.max() > 0
    expected = math.exp(-(((h - 1) / 2 / (h / 4)) ** 2 + ((w - 1) / 2 / (w / 4)) ** 2) / 2)
    assert bell[0, 0].item() == pytest.approx(expected, rel=1e-5)


def test_center_gaussian_error():
    with pytest.raises(ConvlabError, match="0×3"):
        center_gaussian(0, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_edge_map_equals_scipy(dtype):
    x = rand(2, 3, 11, 8).to(dtype)
    light = np.tensordot([0.299, 0.587, 0.114], x.numpy(), axes=(0, 1))
    expected = [np.hypot(*(ndimage.sobel(i, axis, mode="nearest") / 8 for axis in (0, 1))) for i in light]
    got = edge_map(x)
    assert got.dtype == dtype
    assert np.allclose(got.numpy(), expected, atol=1e-6)


def test_edge_map_of_a_ramp_is_its_slope():
    ramp = (0.1 * torch.arange(6.0)).expand(1, 3, 5, 6)
    assert torch.allclose(edge_map(ramp)[:, :, 1:-1], torch.tensor(0.1))


@pytest.mark.parametrize("x", [torch.rand(3, 4, 5), torch.rand(1, 1, 4, 5), torch.zeros(1, 3, 4, 5).byte()])
def test_edge_map_errors(x):
    with pytest.raises(ConvlabError, match=r"\(N, 3, H, W\)"):
        edge_map(x)
