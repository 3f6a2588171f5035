"""`convlab.maximization`: formas cerradas, la red solo hasta la capa, sin rastro, e imágenes mejores que el control."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from conftest import left_as_found, randomize
from torch import nn
from torch.nn import functional as F

from convlab._passes import reaching
from convlab.data.formas import formas
from convlab.data.photos import load_photo, to_tensor
from convlab.errors import ConvlabError
from convlab.hooks import capture, evaluating
from convlab.maximization import (
    Objective,
    ascent_step,
    channel,
    class_logit,
    color_matrix,
    direction,
    fft_image,
    gram_similarity,
    image_spectrum,
    maximize,
    objective_score,
    optimize,
    total_variation,
    unit,
)
from convlab.maximization.ascent import Adam, transform
from convlab.maximization.parametrization import PHOTO_COLORS, encode, render
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.plots.maximization import maximization_grid, trajectory_plot

DOUBLE = torch.float64
STILL = {"jitter": 0, "rotation": 0.0, "scale": 0.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=1, dtype=DOUBLE):
    return torch.rand(*shape, generator=seeded(seed), dtype=dtype)


# --- variación total y paso de ascenso -------------------------------------------------------------------------------


def test_total_variation_is_the_slow_sum():
    x = images(2, 3, 4, 5)
    slow = torch.zeros(2, dtype=DOUBLE)
    for n in range(2):
        for c in range(3):
            for i in range(4):
                for j in range(5):
                    slow[n] += abs(x[n, c, i + 1, j] - x[n, c, i, j]) if i < 3 else 0
                    slow[n] += abs(x[n, c, i, j + 1] - x[n, c, i, j]) if j < 4 else 0
    torch.testing.assert_close(total_variation(x), slow)
    torch.testing.assert_close(total_variation(x.mT.contiguous().mT), slow)
    assert total_variation(torch.ones(1, 2, 1, 1)).tolist() == [0]
    # Una escala de grises distinta en cada canal y en cada imagen no varía en el espacio.
    assert total_variation(images(2, 3, 1, 1).expand(2, 3, 4, 4)).tolist() == [0, 0]


def test_ascent_step_of_a_quadratic():
    """De f(x) = w·x + ½ a‖x‖², el paso es x + lr (w + a x − l2 x)."""
    x, w = images(3, 2, 4, 5), images(2, 4, 5, seed=2)
    expected = x + 0.3 * (w + 0.7 * x - 0.2 * x)
    per_image = ascent_step(x, lambda x: (w * x + 0.35 * x**2).sum((1, 2, 3)), 0.3, 0.2)
    torch.testing.assert_close(per_image, expected)
    torch.testing.assert_close(ascent_step(x, lambda x: (w * x + 0.35 * x**2).sum(), 0.3, 0.2), expected)
    assert not per_image.requires_grad


def test_ascent_step_goes_up_by_the_squared_gradient():
    """f(x + lr g) − f(x) ≈ lr ‖g‖²: a primer orden, en una red con sesgos genéricos."""
    model, x = randomize(Mini()).double(), images(2, 3, 32, 24)
    lr = 1e-6
    with left_as_found(model, x):
        stepped = ascent_step(x, lambda x: model(x)[:, 3], lr, 0)
        again = ascent_step(x, lambda x: model(x)[:, 3], lr, 0)
    assert torch.equal(stepped, again)
    rise = (model(stepped) - model(x))[:, 3].detach()
    torch.testing.assert_close(rise, (stepped - x).square().sum((1, 2, 3)) / lr, rtol=1e-3, atol=0)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_ascent_step_without_grad_mode_or_in_place(context):
    x = images(1, 3, 4, 4)

    def objective(x):
        return x.mul_(2).square().sum()

    expected = x + 0.1 * (8 * x - x)
    with context():
        torch.testing.assert_close(ascent_step(x, objective, 0.1, 1.0), expected)
        torch.testing.assert_close(ascent_step(x.clone(), objective, 0.1, 1.0), expected)
    assert torch.equal(x, images(1, 3, 4, 4))


# --- parametrización -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 8), (8, 5), (1, 6), (6, 1)])
def test_the_spectrum_goes_and_comes_back(size):
    x = 4 * images(2, 3, *size) - 2
    spectrum = image_spectrum(x)
    assert spectrum.shape == (2, 3, size[0], size[1] // 2 + 1)
    torch.testing.assert_close(fft_image(spectrum, size), x, rtol=0, atol=1e-14)
    torch.testing.assert_close(image_spectrum(fft_image(spectrum, size)), spectrum, rtol=0, atol=1e-13)
    for basis in ("fft", "pixels"):
        for color in (None, torch.tensor(PHOTO_COLORS)):
            y = 0.01 + 0.98 * images(2, 3, *size)
            torch.testing.assert_close(render(encode(y, basis, color), size, color), y, rtol=0, atol=1e-10)


def test_one_coefficient_is_one_wave_of_amplitude_one_over_f():
    height, width = 6, 10
    spectrum = torch.zeros(1, 3, height, width // 2 + 1, dtype=torch.complex128)
    spectrum[0, 1, 2, 3] = 1
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    wave = torch.cos(2 * math.pi * (2 * y / height + 3 * x / width))
    f = math.hypot(2 / height, 3 / width)
    image = fft_image(spectrum, (height, width))
    torch.testing.assert_close(image[0, 1], 2 / math.sqrt(height * width) / f * wave)
    assert image[0, 0].abs().max() == image[0, 2].abs().max() == 0
    spectrum = torch.zeros_like(spectrum)
    spectrum[0, 0, 0, 0] = 1  # la media: como si diera una vuelta por imagen, con el lado mayor
    torch.testing.assert_close(
        fft_image(spectrum, (height, width))[0, 0], torch.full((height, width), width / math.sqrt(60), dtype=DOUBLE)
    )


def test_the_photo_colors_are_those_of_the_photos():
    names = ("astronaut", "chelsea", "china", "coffee", "flower")
    photos = torch.cat([to_tensor(load_photo(name).image, 64) for name in names])
    torch.testing.assert_close(color_matrix(photos), torch.tensor(PHOTO_COLORS), rtol=0, atol=2e-3)


def test_the_color_matrix_gives_back_the_covariance():
    x = formas(50, 1).tensor(dtype=DOUBLE)
    covariance = torch.cov(x.movedim(1, 0).flatten(1))
    m = color_matrix(x)
    scale = torch.linalg.eigvalsh(covariance)[-1]
    torch.testing.assert_close(m @ m.T * scale, covariance)
    norms = m.norm(dim=0)
    assert norms[0] > norms[1] > norms[2]
    torch.testing.assert_close(norms[0], torch.tensor(1.0, dtype=DOUBLE))
    assert (m.amax(0) >= -m.amin(0)).all()


def test_render_mixes_the_colors_and_bounds_the_pixels():
    z, m = 10 * torch.randn(1, 3, 4, 5, dtype=DOUBLE, generator=seeded()), images(3, 3, seed=4)
    found = render(z, (4, 5), m)
    torch.testing.assert_close(found[0, :, 2, 3], torch.sigmoid(m @ z[0, :, 2, 3]))
    assert 0 <= found.min() < 0.01
    assert 0.99 < found.max() <= 1


# --- piezas del ascenso ----------------------------------------------------------------------------------------------


def test_transform_rotates_scales_and_shifts():
    x = images(2, 3, 6, 6)
    torch.testing.assert_close(transform(x, (0, 0), 90, 1), x.rot90(1, (2, 3)))
    assert torch.equal(transform(x, (1, -2), 0, 1), x.roll((1, -2), (2, 3)))
    twice = F.interpolate(x[..., 1:5, 1:5], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(transform(x, (0, 0), 0, 2)[..., 2:4, 2:4], twice[..., 3:5, 3:5])
    # En una imagen apaisada, girar 90° lleva un píxel junto al centro a donde debe, sin estirar.
    wide = torch.zeros(1, 1, 4, 8, dtype=DOUBLE)
    wide[0, 0, 1, 4] = 1  # medio píxel a la derecha y medio por encima
    turned = torch.zeros_like(wide)
    turned[0, 0, 1, 3] = 1
    torch.testing.assert_close(transform(wide, (0, 0), 90, 1)[..., 2:6], turned[..., 2:6])
    torch.testing.assert_close(transform(torch.full_like(x, 0.3), (1, 1), 20, 0.8), torch.full_like(x, 0.3))


def test_adam_is_the_one_of_torch():
    z = torch.randn(3, 4, dtype=DOUBLE, generator=seeded())
    leaf = z.clone().requires_grad_()
    ours, theirs = Adam(z, 0.03), torch.optim.Adam([leaf], lr=0.03, eps=1e-12, maximize=True)
    for k in range(5):
        leaf.grad = torch.randn(3, 4, dtype=DOUBLE, generator=seeded(k))
        z = ours.step(z, leaf.grad)
        theirs.step()
        torch.testing.assert_close(z, leaf.detach())


def test_the_network_runs_only_up_to_the_layer():
    ran = []
    model = randomize(Mini())
    handles = [m.register_forward_hook(lambda m, i, o, n=n: ran.append(n)) for n, m in model.named_modules() if n]
    x = images(1, 3, 64, 64, dtype=torch.float32)
    with evaluating(model), reaching(model, "block2.bn") as forward:
        found = forward(x)
        assert ran[-1] == "block2.bn"
        assert "block2.relu" not in ran
    for handle in handles:
        handle.remove()
    assert torch.equal(found, capture(model, x, ["block2.bn"])["block2.bn"])


class Twice(nn.Module):
    """Usa el mismo módulo dos veces y traga las excepciones corrientes."""

    def __init__(self):
        super().__init__()
        self.conv, self.idle = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

    def forward(self, x):
        try:
            x = self.conv(self.conv(x))
        except Exception:
            return x
        return x.mean((2, 3))


def test_the_last_use_of_a_module_counts():
    model, x = randomize(Twice()).double(), images(2, 3, 5, 4)
    with evaluating(model), reaching(model, "conv") as forward:
        for _ in range(2):
            assert torch.equal(forward(x), capture(model, x, ["conv"])["conv"])
    with pytest.raises(ConvlabError, match="no la ejecuta"), reaching(model, "idle") as forward:
        forward(x)


# --- objetivos -------------------------------------------------------------------------------------------------------


def test_objectives_are_their_definitions():
    a = images(2, 4, 3, 5)
    torch.testing.assert_close(channel("c", 2).score(a), a[:, 2].mean((1, 2)))
    torch.testing.assert_close(unit("c", 2).score(a), a[:, 2, 1, 2])
    torch.testing.assert_close(unit("c", 2, (0, 4)).score(a), a[:, 2, 0, 4])
    v = images(4, seed=5)
    torch.testing.assert_close(direction("c", v).score(a), torch.einsum("nchw,c->n", a, v) / 15)
    torch.testing.assert_close(direction("c", torch.eye(4)[2]).score(a), channel("c", 2).score(a))
    flat = a[:, :, 0, 0]
    for objective in (channel("c", 2), unit("c", 2), direction("c", torch.eye(4)[2])):
        assert torch.equal(objective.score(flat), flat[:, 2])
    assert channel("c", 0).score(a.bfloat16()).dtype == torch.float32


def test_objective_score_is_the_forward_pass():
    model, x = randomize(Mini()), images(3, 3, 48, 64, dtype=torch.float32)
    with left_as_found(model.train(), x):
        logits = objective_score(model, x, class_logit(4))
        mean = objective_score(model, x, channel("block3.bn", 7))
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(logits, model(x)[:, 4])
    torch.testing.assert_close(mean, capture(model, x, ["block3.bn"])["block3.bn"][:, 7].mean((1, 2)))


def test_gram_similarity_is_the_slow_mean():
    a = torch.randn(3, 4, 5, 6, dtype=DOUBLE, generator=seeded())
    grams = [(m.flatten(1) @ m.flatten(1).T).flatten() for m in a]
    slow = [sum(F.cosine_similarity(grams[i], grams[j], 0) for j in range(3) if j != i) / 2 for i in range(3)]
    torch.testing.assert_close(gram_similarity(a), torch.stack(slow))
    torch.testing.assert_close(gram_similarity(3 * a.flip(2, 3)), gram_similarity(a))
    assert gram_similarity(torch.zeros(2, 3, 4, 4)).tolist() == [0, 0]


# --- optimize --------------------------------------------------------------------------------------------------------


def linear(size):
    """Red cuya salida es lineal en los píxeles: de ella se conoce el máximo."""
    return randomize(nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 2)).double())


@pytest.mark.parametrize("basis", ["pixels", "fft"])
def test_a_linear_network_is_maximised_by_the_signs_of_its_weights(basis):
    model = linear(4)
    weight = model[1].weight[1].detach().view(3, 4, 4)
    options = {"basis": basis, "color": None, "size": 4, "generator": seeded(), **STILL}
    x = optimize(model, class_logit(1), steps=400, lr=0.05, **options).images[0]
    # Desde el gris, lo más que sube w·x es ‖w‖₁ / 2.
    assert (weight * (x - 0.5)).sum() > 0.97 * weight.abs().sum() / 2
    assert x.min() >= 0
    assert x.max() <= 1


@pytest.mark.parametrize(("weight", "measure"), [("l2", lambda x: (x - 0.5).square().mean()), ("tv", total_variation)])
def test_penalties_lower_what_they_penalise(weight, measure):
    model = load_model("mini")
    run = partial(maximize, model, "block3.bn", 3, steps=20, size=32)
    assert measure(run(**{weight: 100.0}, generator=seeded())) < 0.6 * measure(run(generator=seeded()))


def test_without_a_step_the_start_comes_back_whatever_the_jitter():
    start = 0.01 + 0.98 * images(2, 3, 32, 48, dtype=torch.float32)
    for basis in ("fft", "pixels"):
        found = optimize(randomize(Mini()), class_logit(0), steps=3, lr=0.0, jitter=9, start=start, basis=basis)
        torch.testing.assert_close(found.images, start, rtol=0, atol=1e-5)


def test_diversity_separates_the_images():
    model = load_model("mini")
    layer = "block3.bn"
    run = partial(optimize, model, channel(layer, 3), steps=24, lr=0.05, batch=3, size=32, **STILL)
    plain, diverse = (run(generator=seeded(), diversity=weight).images for weight in (0.0, 20.0))
    a, b = (gram_similarity(capture(model, x, [layer])[layer]).mean() for x in (plain, diverse))
    assert b < a - 0.1


def test_each_image_on_its_own():
    model, start = randomize(Mini()).double(), images(3, 3, 24, 32)
    options = {"steps": 3, "lr": 0.05, "tv": 1.0, "l2": 1.0}
    run = partial(optimize, model, unit("block2.bn", 4), **options)
    together = run(start=start, generator=seeded())
    for k in range(3):
        alone = run(start=start[k : k + 1], generator=seeded())
        torch.testing.assert_close(together.images[k : k + 1], alone.images)
        torch.testing.assert_close(together.scores[:, k : k + 1], alone.scores)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("objective", [class_logit(2), channel("block2.relu", 1), unit("block2.bn", 5)])
def test_touches_nothing_and_repeats(train, objective):
    model, start = randomize(Mini()).train(train), images(2, 3, 32, 32, dtype=torch.float32)
    rng = torch.get_rng_state()

    def run(model=model):
        return optimize(model, objective, steps=3, start=start, jitter=3, generator=seeded(7)).images

    with left_as_found(model, start):
        found = run()
    assert torch.equal(torch.get_rng_state(), rng)
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert torch.equal(run(), found)
    assert torch.equal(run(randomize(Mini()).requires_grad_(False)), found)
    with torch.inference_mode():
        born_frozen = randomize(Mini())
    assert torch.equal(run(born_frozen), found)


def test_leaves_no_trace_when_it_fails():
    model = randomize(Mini()).train()

    def score(output):
        raise RuntimeError("a mitad")

    with left_as_found(model), pytest.raises(RuntimeError, match="a mitad"):
        optimize(model, Objective("block2.bn", score), steps=2)


def test_the_seed_decides_everything():
    run = partial(maximize, randomize(Mini()), "block2.bn", 3, steps=3, size=(24, 32))
    first = run(generator=seeded(1))
    assert first.shape == (1, 3, 24, 32)
    assert torch.equal(run(generator=seeded(1)), first)
    assert not torch.equal(run(generator=seeded(2)), first)
    for option in ({"jitter": 0}, {"rotation": 0.0}, {"scale": 0.0}):
        assert not torch.equal(run(generator=seeded(1), **option), first)


@pytest.mark.parametrize("dtype", [DOUBLE, torch.bfloat16])
def test_works_in_the_type_of_the_network(dtype):
    model = randomize(Mini()).to(dtype)
    found = optimize(model, channel("block2.bn", 3), steps=6, lr=0.1, size=32, generator=seeded(), **STILL)
    assert found.images.dtype == dtype
    assert found.scores[-1] > found.scores[0]


def test_the_size_of_the_network_and_the_progress_bar(capsys):
    model = linear(5)
    model.input_size = 5
    assert optimize(model, class_logit(0), steps=2).images.shape == (1, 3, 5, 5)
    assert capsys.readouterr().err == ""
    optimize(model, class_logit(0), steps=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "maximización" in err


class Parameterless(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def test_a_network_without_weights_takes_the_type_of_the_start():
    found = optimize(Parameterless(), class_logit(1), steps=1, start=images(1, 3, 4, 4))
    assert found.images.dtype == DOUBLE
    assert optimize(Parameterless(), class_logit(1), steps=1, size=4).images.dtype == torch.float32


def test_the_gradient_does_not_reach_the_weights(monkeypatch):
    """El único gradiente que se pide es el de la imagen y el de sus parámetros."""
    model, asked = randomize(Mini()), []
    plain = torch.autograd.grad

    def spy(outputs, inputs, *args, **kwargs):
        asked.extend([inputs] if isinstance(inputs, torch.Tensor) else inputs)
        return plain(outputs, inputs, *args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", spy)
    optimize(model, class_logit(0), steps=2, size=16)
    assert len(asked) == 4
    assert not {id(p) for p in model.parameters()} & {id(t) for t in asked}


BAD = [
    ({"steps": 0}, "`steps`"),
    ({"lr": -1.0}, "`lr`"),
    ({"lr": math.nan}, "`lr`"),
    ({"jitter": 1.5}, "`jitter`"),
    ({"scale": 1.0}, "`scale`"),
    ({"tv": -1}, "`tv`"),
    ({"batch": 0}, "`batch`"),
    ({"size": 0}, "tamaño"),
    ({"size": (4, 5, 6)}, "tamaño"),
    ({"basis": "fourier"}, "la parametrización «fourier»"),
    ({"color": "rgb"}, "`color`"),
    ({"color": torch.ones(2, 2)}, "`color`"),
    ({"diversity": 1.0}, "diversidad"),
    ({"start": torch.rand(3, 8, 8)}, "N, C, H, W"),
    ({"start": torch.rand(1, 1, 8, 8)}, "en color"),
    ({"start": torch.rand(2, 3, 8, 8), "batch": 3}, "los dice `start`"),
    ({"start": torch.rand(2, 3, 8, 8), "size": 9}, "los dice `start`"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_explained(options, message):
    with pytest.raises(ConvlabError, match=message):
        optimize(Mini(), channel("block1.bn", 0), **{"steps": 1, "size": None, **options})


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (channel("block9", 0), "la capa «block9»"),
        (channel("block1.bn", 32), "de 0 a 31"),
        (channel("block1.bn", 1.0), "El canal 1.0"),
        (unit("block1.bn", 0, (64, 0)), "se sale del mapa"),
        (class_logit(10), "La clase 10 no existe"),
        (direction("block1.bn", torch.ones(5)), "5 componentes"),
        (Objective("block1.bn", lambda a: a.sum()), "una puntuación por imagen"),
        (Objective("block1.bn", lambda a: torch.zeros(1)), "no depende"),
        (Objective("block1.bn", lambda a: a.sum((1, 2, 3)) * math.nan), "no finitos"),
        (Objective("block1.bn", lambda a: (a - 1e4).relu().sum((1, 2, 3))), "apagada"),
    ],
)
def test_bad_objectives_are_explained(objective, message):
    with pytest.raises(ConvlabError, match=message):
        optimize(Mini(), objective, steps=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: total_variation(torch.rand(3, 4, 4)), "N, C, H, W"),
        (lambda: ascent_step(torch.rand(1, 3, 4, 4), lambda x: torch.zeros(()), 1, 0), "no depende"),
        (lambda: ascent_step(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.sum, 1, 0), "coma flotante"),
        (lambda: fft_image(torch.rand(1, 3, 4, 3, 2), 4), "view_as_complex"),
        (lambda: fft_image(torch.zeros(1, 3, 4, 4, dtype=torch.complex64), 4), "4×4"),
        (lambda: image_spectrum(torch.rand(3, 4, 4)), "N, C, H, W"),
        (lambda: render(torch.rand(1, 3, 4, 4), 5), "Los parámetros"),
        (lambda: color_matrix(torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8)), "grises"),
        (lambda: direction("c", torch.ones(2, 2)), "tensor"),
        (lambda: direction("c", [1.0]), "list"),
        (lambda: channel("c", 0).score(torch.rand(2, 3, 4)), r"\(2, 3, 4\)"),
        (lambda: channel("c", 0).score((1,)), "tuple"),
        (lambda: gram_similarity(torch.rand(1, 3, 4, 4)), "dos o más"),
        (lambda: trajectory_plot(torch.rand(3), {}), "steps, N"),
        (lambda: trajectory_plot(torch.rand(3, 1), {"ruido": torch.rand(0)}), "«ruido»"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()


# --- el camino del usuario -------------------------------------------------------------------------------------------


def test_the_image_beats_scenes_and_noise():
    """Con 40 pasos, cada canal pasa a la mejor de 200 imágenes en un 15 % de lo que esta pasa a la media, o más."""
    model, layer = load_model("mini"), "block4.bn"
    control = torch.cat([formas(100, 9).tensor(), images(100, 3, 64, 64, dtype=torch.float32)])
    responses = capture(model, control, [layer])[layer].mean((2, 3))
    for c, basis in ((0, "fft"), (40, "fft"), (3, "pixels")):
        x = maximize(model, layer, c, steps=40, lr=0.05, basis=basis, generator=seeded(c))
        found = objective_score(model, x, channel(layer, c))
        mean, best = responses[:, c].mean(), responses[:, c].max()
        assert found - mean > 1.15 * (best - mean)


def test_a_class_is_drawn_with_confidence():
    model = load_model("mini")
    for k in (0, 2):
        x = optimize(model, class_logit(k), steps=48, lr=0.05, generator=seeded()).images
        with torch.no_grad():
            assert model(x).softmax(1)[0, k] > 0.99


def test_imagenet_in_a_few_steps():
    model = load_model("efficientnet_lite0")
    found = optimize(model, class_logit(130), steps=16, lr=0.05, size=96, generator=seeded())
    assert objective_score(model, found.images, class_logit(130)) > found.scores[0] + 3


def test_the_figures_draw_what_they_are_given():
    figure = maximization_grid(torch.rand(5, 3, 8, 8), ["uno", "dos"])
    assert [axis.get_title() for axis in figure.axes[:2]] == ["uno", "dos"]
    scores = torch.rand(6, 2)
    axis = trajectory_plot(scores, {"ruido": torch.tensor([1.0, 3.0])}).axes[0]
    first, second, control = axis.lines
    assert first.get_ydata().tolist() == scores[:, 0].tolist()
    assert second.get_ydata().tolist() == scores[:, 1].tolist()
    assert list(control.get_ydata()) == [2, 2]
    assert axis.patches[0].get_extents().height > 0
