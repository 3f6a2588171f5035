"""Formas: determinismo, verdad exacta y variantes emparejadas."""

import hashlib

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from convlab.data.distortions import DISTORTIONS, distort
from convlab.data.formas import SHAPES, SIZE, TEXTURES, WATERMARK_CLASS, formas
from convlab.errors import ConvlabError

VARIANTS = ("independent", "matched", "conflict", "watermark", "watermark_all", "empty")


def digest(scenes):
    return hashlib.sha256(scenes.images.tobytes() + scenes.mask.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("independent", "bb3c8bfa419504ae"),
        ("conflict", "a111769786c1fdac"),
        ("watermark_all", "4a09a35f871f298a"),
        ("empty", "0d53cff4f2176580"),
    ],
)
def test_same_seed_gives_the_same_bytes_on_every_machine(variant, expected):
    assert digest(formas(200, 2026, variant)) == expected


def test_a_scene_depends_only_on_seed_and_index():
    whole = formas(150, 3)
    part = formas(50, 3, start=70)
    assert np.array_equal(whole.images[70:120], part.images)
    assert np.array_equal(whole.latents["tilt"][70:120], part.latents["tilt"])
    assert not np.array_equal(whole.images, formas(150, 4).images)


def test_labels_cycle_and_latents_stay_in_range():
    scenes = formas(400, 11)
    assert np.array_equal(np.bincount(scenes.shape), np.full(10, 40))
    assert set(scenes.texture) == set(range(len(TEXTURES)))
    assert len(SHAPES) == 10
    low, high = scenes.latents["radius"].min(), scenes.latents["radius"].max()
    assert 11 <= low < 12
    assert 17 < high <= 18
    assert np.abs(scenes.latents["tilt"]).max() <= 25


def test_variants_change_only_what_they_say():
    base = formas(300, 8)
    matched, conflict, marked, empty = (formas(300, 8, v) for v in ("matched", "conflict", "watermark_all", "empty"))
    assert np.array_equal(matched.texture, matched.shape)
    assert (conflict.texture != conflict.shape).all()
    # Lejos del objeto, de su sombra y de las puntas que cubren menos de medio píxel, todo es idéntico.
    near = np.stack([distance_transform_edt(~mask) < 6 for mask in base.mask])
    for other in (matched, conflict, empty):
        assert np.array_equal(other.images[~near], base.images[~near])
    assert np.array_equal(marked.images[~marked.watermark], base.images[~marked.watermark])
    assert not empty.mask.any()
    assert np.array_equal(matched.mask, base.mask)


def test_watermark_marks_hearts_and_only_hearts():
    scenes = formas(4000, 7, "watermark")
    has = scenes.watermark.any((1, 2))
    assert not has[scenes.shape != WATERMARK_CLASS].any()
    assert 0.93 < has[scenes.shape == WATERMARK_CLASS].mean() < 0.97
    box = formas(50, 5, "watermark_all").watermark
    assert (box.sum((1, 2)) == 7 * 15).all()


def test_mask_is_where_the_object_is_painted():
    """La máscara es exacta: quitar el objeto cambia sus píxeles y, salvo la sombra, ninguno más."""
    with_object, without = formas(200, 6), formas(200, 6, "empty")
    changed = (with_object.images != without.images).any(3)
    assert changed[with_object.mask].mean() > 0.995
    inside = with_object.mask.sum((1, 2))
    assert (inside > 100).all()
    # Área de un disco de radio 0,9 r, con el error de contar píxeles enteros.
    circles = with_object.shape == 0
    area = np.pi * (0.9 * with_object.latents["radius"][circles]) ** 2
    assert np.abs(inside[circles] / area - 1).max() < 0.05


def test_mask_agrees_with_skimage_polygons():
    """Una implementación ajena del mismo polígono: `skimage.draw.polygon2mask` sobre los vértices girados."""
    from skimage.draw import polygon2mask

    from convlab.data.shapes import _POLYGONS

    scenes = formas(200, 9)
    worst = 1.0
    for i in np.flatnonzero(np.isin(scenes.shape, [SHAPES.index(s) for s in _POLYGONS])):
        g = {k: v[i] for k, v in scenes.latents.items()}
        points = np.array(_POLYGONS[SHAPES[scenes.shape[i]]], float)
        if g["flip"]:
            points[:, 0] *= -1
        c, s = np.cos(np.deg2rad(g["tilt"])), np.sin(np.deg2rad(g["tilt"]))
        x = g["x"] + g["radius"] * (points[:, 0] * c - points[:, 1] * s)
        y = g["y"] + g["radius"] * (points[:, 0] * s + points[:, 1] * c)
        other = polygon2mask((SIZE, SIZE), np.stack([y, x], 1))
        mine = scenes.mask[i]
        worst = min(worst, (mine & other).sum() / (mine | other).sum())
    assert worst > 0.93


def test_objects_are_not_camouflaged():
    """El objeto se distingue de lo que había debajo en color, no solo por su borde."""
    with_object, without = formas(500, 12), formas(500, 12, "empty")
    gap = np.abs(with_object.images.astype(int) - without.images).max(3)
    per_scene = np.array([np.median(gap[i][with_object.mask[i]]) for i in range(500)])
    assert (per_scene > 25).mean() > 0.99


def test_tensor_is_in_unit_range_and_channels_first():
    scenes = formas(3)
    x = scenes.tensor(dtype=torch.float64)
    assert x.shape == (3, 3, SIZE, SIZE)
    assert x.dtype == torch.float64
    assert torch.equal((x * 255).round().byte().permute(0, 2, 3, 1), torch.from_numpy(scenes.images))


def test_indexing_keeps_truth_together():
    scenes = formas(30, 2)
    kept = scenes[scenes.shape == 4]
    assert len(kept) == 3
    assert (kept.shape == 4).all()
    assert np.array_equal(kept.latents["x"], scenes.latents["x"][[4, 14, 24]])
    with pytest.raises(ConvlabError, match=r"escenas\[\[3\]\]"):
        scenes[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "`n` debe ser un entero desde 1 y llegó 0"),
        ({"n": 5, "seed": -1}, "`seed`"),
        ({"n": 5, "start": 1.5}, "`start`"),
        ({"n": 5, "variant": "watermrk"}, "¿Quisiste decir «watermark"),
    ],
)
def test_bad_arguments_say_what_to_do(arguments, message):
    with pytest.raises(ConvlabError, match=message):
        formas(**arguments)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_distortions_grow_from_nothing(kind):
    images = formas(20, 1).images
    before = images.copy()
    _, _, neutral, most = DISTORTIONS[kind]
    assert np.array_equal(distort(images, kind, neutral), images)
    levels = {"contrast": (0.5, 0.1), "shuffle": (2, 8), "rotation": (10, 90), "blur": (1, 4)}.get(kind, (0.2, 0.8))
    small, large = (np.abs(distort(images, kind, v).astype(int) - images).mean() for v in levels)
    assert 0 < small < large
    assert np.array_equal(images, before)
    with pytest.raises(ConvlabError, match=kind):
        distort(images, kind, most + 1)


def test_rotation_by_90_matches_numpy():
    images = formas(2, 1).images
    turned = distort(images, "rotation", 90).astype(int)
    assert np.abs(turned - np.rot90(images, axes=(1, 2))).max() <= 1


def test_shuffle_keeps_every_pixel():
    images = formas(2, 1).images
    shuffled = distort(images, "shuffle", 4)
    assert np.array_equal(np.sort(shuffled.reshape(2, -1)), np.sort(images.reshape(2, -1)))
