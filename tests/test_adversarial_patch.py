"""`convlab.adversarial.patch`: pegado y giro exactos, gradiente conocido, y un parche que gana a los controles."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from conftest import left_as_found, randomize
from PIL import Image
from torch import nn
from torch.nn import functional as F

from convlab.adversarial import apply_patch, object_patch, patch_success, train_patch
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.models import load_model
from convlab.models.mini import Mini

X = torch.rand(4, 3, 9, 11, generator=torch.Generator().manual_seed(0))
PATCH = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_paste_is_an_exact_copy():
    positions = torch.tensor([[0, 0], [5, 6], [2, 3], [0, 6]])
    expected = X.clone()
    for k, (row, column) in enumerate(positions.tolist()):
        expected[k, :, row : row + 4, column : column + 5] = PATCH
    assert torch.equal(apply_patch(X, PATCH, positions), expected)
    one = apply_patch(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1), torch.tensor([[1, 0]]))
    assert one.flatten().tolist() == [0, 0, 1, 0]


def test_random_positions_reach_every_place_and_never_cut_the_patch():
    x = torch.zeros(3000, 1, 4, 5)
    pasted = apply_patch(x, torch.ones(1, 2, 3), generator=seeded())
    assert (pasted.sum((1, 2, 3)) == 6).all()
    corners = pasted.flatten(1).argmax(1).bincount(minlength=20).view(4, 5)
    places = corners[:3, :3]
    assert places.sum() == 3000
    assert (places - 3000 / 9).abs().max() < 5 * math.sqrt(3000 / 9)
    assert torch.equal(apply_patch(x, torch.ones(1, 2, 3), generator=seeded()), pasted)


class Fixed:
    """`torch.rand` que devuelve siempre lo mismo, para conocer el giro y la escala que salen."""

    def __init__(self, monkeypatch, value):
        monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, value))


@pytest.mark.parametrize(("draw", "turns"), [(1.0, 1), (0.0, -1)])
def test_a_right_angle_turns_the_patch(monkeypatch, draw, turns):
    """Con 90° y el sorteo en un extremo, es `rot90` alrededor del mismo centro."""
    patch = PATCH[:, :, :4]
    Fixed(monkeypatch, draw)
    positions = torch.tensor([[2, 3]] * 4)
    found = apply_patch(X, patch, positions, rotation=90)
    turned = [torch.equal(found, apply_patch(X, torch.rot90(patch, k, (1, 2)), positions)) for k in (1, -1)]
    assert turned == [turns == 1, turns == -1]


@pytest.mark.parametrize(
    "options", [{"rotation": 33.0}, {"scale": (1.0, 1.7)}, {"rotation": 33.0, "scale": (0.5, 1.7)}]
)
def test_turned_and_scaled_is_the_slow_loop(monkeypatch, options):
    """Píxel a píxel: se deshace el giro con un número complejo y se busca el píxel del parche más cercano."""
    Fixed(monkeypatch, 1.0)
    found = apply_patch(X, PATCH, torch.tensor([[2, 3], [0, 0], [5, 6], [1, 4]]), **options)
    angle, factor = math.radians(options.get("rotation", 0)), options.get("scale", (1, 1))[1]
    expected = X.clone()
    for n, (top, left) in enumerate([(2, 3), (0, 0), (5, 6), (1, 4)]):
        for i in range(9):
            for j in range(11):
                # Filas hacia abajo y giro contra las agujas del reloj: la parte imaginaria es −fila.
                z = complex(j - left - 2, top + 1.5 - i) * cmath.rect(1 / factor, -angle)
                row, column = round(1.5 - z.imag), round(2 + z.real)
                if 0 <= row < 4 and 0 <= column < 5:
                    expected[n, :, i, j] = PATCH[:, row, column]
    assert torch.equal(found, expected)


def test_scale_two_repeats_each_pixel(monkeypatch):
    Fixed(monkeypatch, 0.5)
    patch = PATCH[:, :3, :3]
    found = apply_patch(torch.zeros(1, 3, 12, 12), patch, torch.tensor([[4, 4]]), scale=(1.0, 3.0))
    side = (found[0] != 0).any(0).any(0).sum()
    assert side in (5, 6, 7)
    assert set(found.unique().tolist()) - {0.0} == set(patch.unique().tolist())
    torch.testing.assert_close(found[0, :, 5, 5], patch[:, 1, 1])


def test_rotation_and_scale_keep_the_size_on_average():
    x = torch.zeros(500, 1, 40, 40)
    pasted = apply_patch(x, torch.ones(1, 12, 12), torch.tensor([[14, 14]] * 500), rotation=45, generator=seeded())
    assert pasted.sum((1, 2, 3)).mean().item() == pytest.approx(144, rel=0.02)
    assert pasted[:, 0, 19:21, 19:21].min() == 1
    assert len(pasted.unique(dim=0)) > 20  # cada imagen, su giro
    apply_patch(x[:1], torch.ones(1, 12, 12), rotation=180)
    rng = torch.get_rng_state()
    big = apply_patch(x, torch.ones(1, 12, 12), torch.tensor([[14, 14]] * 500), scale=(1.5, 1.5))
    assert torch.equal(torch.get_rng_state(), rng)
    assert big.sum((1, 2, 3)).mean().item() == pytest.approx(18 * 18, rel=0.05)
    spread = apply_patch(x, torch.ones(1, 12, 12), torch.tensor([[14, 14]] * 500), scale=(0.5, 1.5), generator=seeded())
    sides = spread.sum((1, 2, 3)).sqrt()
    assert sides.min() < 7.1
    assert sides.max() > 17


def test_the_gradient_reaches_the_patch_and_only_what_is_seen():
    patch = PATCH.double().requires_grad_()
    weight = torch.randn(X.shape, generator=seeded(3), dtype=torch.float64)
    positions = torch.tensor([[0, 0], [5, 6], [2, 3], [1, 1]])
    (gradient,) = torch.autograd.grad((apply_patch(X.double(), patch, positions) * weight).sum(), patch)
    expected = sum(weight[k, :, r : r + 4, c : c + 5] for k, (r, c) in enumerate(positions.tolist()))
    torch.testing.assert_close(gradient, expected)


def test_object_patch_is_the_tightest_square():
    image = torch.rand(3, 10, 12, generator=seeded())
    mask = torch.zeros(10, 12, dtype=torch.bool)
    mask[3:7, 5:11] = True  # 4 × 6: el cuadrado es de 6, de la fila 2 a la 7
    torch.testing.assert_close(object_patch(image, mask, 6), image[:, 2:8, 5:11])
    mask[6] = False  # 3 × 6: lo que sobra no se reparte por igual, y la fila de más va arriba
    torch.testing.assert_close(object_patch(image, mask, 6), image[:, 1:7, 5:11])
    mask[:] = False
    mask[8:10, 0:5] = True  # pegado a la esquina: el cuadrado de 5 se mete dentro
    torch.testing.assert_close(object_patch(image, mask, 5), image[:, 5:10, 0:5])
    mask[:] = False
    mask[4, :] = True  # más ancho que alta es la imagen
    assert object_patch(image, mask, 3).shape == (3, 3, 3)
    flat = torch.full((3, 10, 12), 0.25)
    torch.testing.assert_close(object_patch(flat, mask, 7), torch.full((3, 7, 7), 0.25))


def test_object_patch_is_resized_as_pillow_does():
    """Al reducir cuentan todos los píxeles: con unos pocos de cada tramo aparecerían dibujos que no están."""
    image, mask = torch.rand(1, 12, 12, generator=seeded()), torch.ones(12, 12, dtype=torch.bool)
    for size in (3, 5, 20):
        peer = Image.fromarray(image[0].numpy()).resize((size, size), Image.Resampling.BILINEAR)
        torch.testing.assert_close(object_patch(image, mask, size)[0], torch.tensor(np.asarray(peer)))
    half = object_patch(image.bfloat16(), mask, 5)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), object_patch(image, mask, 5), rtol=0, atol=2**-8)


def test_success_counts_only_what_was_not_already_the_target():
    red = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.2, 0.1], [0.1, 0.1, 0.9]]).view(3, 3, 1, 1).expand(3, 3, 4, 4)
    patch = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 2, 2)  # un cuarto de la imagen
    # La primera ya era roja. La segunda pasa a (0.325, 0.15, …); la tercera queda (0.325, …, 0.675).
    assert patch_success(red, x, patch, 0) == 0.5
    assert patch_success(red, x[:1], patch, 0) == 0.0
    assert patch_success(red, x[:2], patch, 0) == 1.0  # una sola que convencer


def test_success_pastes_the_patch_where_and_how_it_is_told():
    model = randomize(nn.Sequential(nn.Flatten(), nn.Linear(297, 3)))
    x, positions = torch.rand(300, 3, 9, 11, generator=seeded()), torch.tensor([[2, 3]] * 300)
    with torch.no_grad():
        model[1].bias.sub_(model(x).mean(0))  # que las tres clases salgan
    turned = {"rotation": 60.0, "scale": (0.5, 2.0)}

    def measured(*places, **options):
        before, after = (model(z).argmax(1) == 1 for z in (x, apply_patch(x, PATCH, *places, **options)))
        return ((after & ~before).sum() / (~before).sum()).item()

    fractions = []
    for places, options in (((), {}), ((), turned), ((positions,), turned)):
        fractions.append(measured(*places, **options, generator=seeded()))
        assert patch_success(model, x, PATCH, 1, *places, **options, generator=seeded()) == fractions[-1]
    assert len(set(fractions)) == 3
    rng = torch.get_rng_state()
    assert patch_success(model, x, PATCH, 1, positions) == measured(positions)
    assert torch.equal(torch.get_rng_state(), rng)  # con el sitio dado y sin giro ni escala no se sortea nada


def test_training_finds_the_best_patch_of_a_linear_model():
    """Con un parche tan grande como la imagen, cada valor acaba en el extremo que pide el signo de w."""
    model = randomize(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)))
    patch = train_patch(model, torch.rand(4, 3, 4, 4, generator=seeded()), 1, 4, steps=100, batch=2, generator=seeded())
    w = (model[1].weight[1] - model[1].weight[0]).detach()
    clear = w.abs() > 0.02
    torch.testing.assert_close(patch.flatten()[clear], (w > 0).float()[clear])


@pytest.mark.parametrize(
    "options",
    [{}, {"steps": 6, "lr": 0.1, "batch": 3, "rotation": 40.0, "scale": (0.6, 1.4)}],
    ids=["default", "given"],
)
def test_training_is_the_slow_loop(options):
    """Con `backward` y Adam tal cual, desde el gris medio; sin opciones, las que dice la documentación."""
    model = randomize(nn.Sequential(nn.Flatten(), nn.Linear(48, 3))).double()
    x = torch.rand(7, 3, 4, 4, generator=seeded(), dtype=torch.float64)
    given = {"steps": 200, "lr": 0.05, "batch": 32, "rotation": 0.0, "scale": (1.0, 1.0)} | options
    generator, patch = seeded(5), torch.full((3, 2, 2), 0.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([patch], lr=given["lr"])
    for _ in range(given["steps"]):
        images = x[torch.randint(len(x), (given["batch"],), generator=generator)]
        pasted = apply_patch(images, patch, rotation=given["rotation"], scale=given["scale"], generator=generator)
        optimizer.zero_grad()
        (-F.log_softmax(model(pasted), 1)[:, 1].sum()).backward()
        optimizer.step()
        with torch.no_grad():
            patch.clamp_(0, 1)
    torch.testing.assert_close(train_patch(model, x, 1, 2, **options, generator=seeded(5)), patch.detach())


@pytest.fixture(scope="module")
def trained():
    """Un parche de 20 píxeles para la clase 3, y los controles, medidos en imágenes que no lo entrenaron."""
    model, train, test = load_model("mini"), formas(120, 21), formas(80, 22)
    patch = train_patch(model, train.tensor(), 3, 20, steps=30, lr=0.1, batch=16, generator=seeded())
    return model, patch, test


def test_the_patch_beats_noise_on_new_images(trained):
    model, patch, test = trained
    x = test.tensor()[torch.from_numpy(test.shape) != 3]
    found = patch_success(model, x, patch, 3, generator=seeded(1))
    noise = patch_success(model, x, torch.rand(3, 20, 20, generator=seeded(2)), 3, generator=seeded(1))
    assert found > 0.6
    assert noise < 0.25


def test_training_repeats_and_touches_nothing():
    model, x = randomize(Mini()).train(), formas(6).tensor()
    rng = torch.get_rng_state()
    options = {"steps": 2, "batch": 3, "rotation": 20.0, "scale": (0.8, 1.2)}
    with left_as_found(model, x):
        found = train_patch(model, x, 1, 8, **options, generator=seeded())
        patch_success(model, x, found, 1, generator=seeded())
    assert torch.equal(torch.get_rng_state(), rng)
    assert found.shape == (3, 8, 8)
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            again = train_patch(model, x.clone(), 1, 8, **options, generator=seeded())
            torch.testing.assert_close(again, found, rtol=0, atol=1e-4)
    frozen = randomize(Mini()).requires_grad_(False)
    torch.testing.assert_close(train_patch(frozen, x, 1, 8, **options, generator=seeded()), found, rtol=0, atol=1e-4)
    half = train_patch(frozen.bfloat16(), x.bfloat16(), 1, 8, **options, generator=seeded())
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: apply_patch(X, PATCH[0]), "parche"),
        (lambda m: apply_patch(X, PATCH[:2]), "parche"),
        (lambda m: apply_patch(X, PATCH[:, :0]), "parche"),
        (lambda m: apply_patch(X, torch.rand(3, 10, 3)), "que quepa"),
        (lambda m: apply_patch(X, torch.rand(3, 3, 12)), "que quepa"),
        (lambda m: apply_patch(X, (255 * PATCH).byte()), "uint8"),
        (lambda m: apply_patch(X, PATCH, torch.tensor([[0, 0]])), "4 posiciones"),
        (lambda m: apply_patch(X, PATCH, torch.zeros(4, 2)), "entero"),
        (lambda m: apply_patch(X, PATCH, torch.tensor([[6, 0]] * 4)), "de 0 a 5"),
        (lambda m: apply_patch(X, PATCH, torch.tensor([[0, -1]] * 4)), "de 0 a 6"),
        (lambda m: apply_patch(X, PATCH, rotation=180.5), "180"),
        (lambda m: apply_patch(X, PATCH, scale=(0.0, 1.0)), "escala"),
        (lambda m: apply_patch(X, PATCH, scale=(2.0, 1.0)), "escala"),
        (lambda m: apply_patch(X, PATCH, scale=(1.0, math.inf)), "escala"),
        (lambda m: apply_patch(X.byte(), PATCH), "coma flotante"),
        (lambda m: train_patch(m, X, 1, 0), "`size`"),
        (lambda m: train_patch(m, X, 1, 12), "que quepa"),
        (lambda m: train_patch(m, X, 1, 4, steps=0), "`steps`"),
        (lambda m: train_patch(m, X, 1, 4, batch=0), "`batch`"),
        (lambda m: train_patch(m, X, 1, 4, lr=0.0), "`lr`"),
        (lambda m: train_patch(m, X, 1, 4, lr=math.inf), "`lr`"),
        (lambda m: train_patch(m, X, 7, 4), "La clase 7 no existe"),
        (lambda m: train_patch(m, 255 * X, 1, 4), "255"),
        (lambda m: patch_success(m, X, PATCH, 7), "La clase 7 no existe"),
        (lambda m: object_patch(X[0], torch.zeros(9, 11, dtype=torch.bool), 4), "no vacía"),
        (lambda m: object_patch(X[0], torch.ones(9, 9, dtype=torch.bool), 4), "máscara"),
        (lambda m: object_patch(X[0], torch.ones(9, 11, dtype=torch.bool), 0), "`size`"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call(nn.Sequential(nn.Flatten(), nn.Linear(297, 3)))


def test_a_gradient_that_is_not_finite_is_an_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(297, 3))
    with torch.no_grad():
        model[1].weight[0] = math.nan
    with pytest.raises(ConvlabError, match="NaN o infinitos"):
        train_patch(model, X, 1, 4, steps=2, generator=seeded())
