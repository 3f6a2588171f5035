"""`convlab.adversarial` en norma L2: óptimos conocidos, acuerdo con torchattacks y los controles."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from conftest import left_as_found, randomize
from scipy import stats
from torch import nn

from convlab.adversarial import pgd_l2, project_l2, random_l2, targeted_pgd_l2
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.models import load_model
from convlab.models.mini import Mini

X = 0.3 + 0.4 * torch.rand(3, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(classes=2):
    return randomize(nn.Sequential(nn.Flatten(), nn.Linear(12, classes)).double())


def length(delta):
    return delta.flatten(1).norm(dim=1)


ATTACKS = {
    "pgd_l2": lambda m, x, y: pgd_l2(m, x, y, 1.5, 0.7, 3, generator=seeded()),
    "targeted_pgd_l2": lambda m, x, y: targeted_pgd_l2(m, x, (y + 1) % 10, 1.5, 0.7, 3, generator=seeded()),
    "random_l2": lambda m, x, y: random_l2(x, 1.5, seeded()),
}


def test_on_a_linear_model_the_optimum_is_along_the_weights():
    """Con dos clases, el peor punto de la bola L2 está en la dirección w_otra − w_y."""
    model = linear()
    w = model[1].weight.detach()
    direction = (w[1 - Y] - w[Y]).view(3, 3, 2, 2)
    best = X + 0.2 * direction / length(direction).view(-1, 1, 1, 1)
    assert ((best > 0) & (best < 1)).all()
    torch.testing.assert_close(pgd_l2(model, X, Y, 0.2, 0.5, 1, False), best)
    torch.testing.assert_close(pgd_l2(model, X, Y, 0.2, 0.1, 100, generator=seeded()), best, rtol=0, atol=1e-5)
    torch.testing.assert_close(targeted_pgd_l2(model, X, 1 - Y, 0.2, 0.5, 1, False), best)
    short = pgd_l2(model, X, Y, 0.2, 0.05, 3, False)
    torch.testing.assert_close(short, X + 0.15 * (best - X) / 0.2)
    torch.testing.assert_close(targeted_pgd_l2(model, X, 1 - Y, 0.2, 0.05, 3, False), short)


@pytest.mark.parametrize("eps", [0.5, 3.0])
def test_agrees_with_torchattacks(mini, eps):
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = copy.deepcopy(mini.model).double(), mini.x.double(), torch.tensor([3, 8])
    peer = torchattacks.PGDL2(model, eps, eps / 3, 6, random_start=False)
    torch.testing.assert_close(pgd_l2(model, x, y, eps, eps / 3, 6, False), peer(x, y), rtol=0, atol=1e-5)
    peer.set_mode_targeted_by_function(lambda images, labels: labels)
    found = targeted_pgd_l2(model, x, torch.tensor([0, 1]), eps, eps / 3, 6, False)
    torch.testing.assert_close(found, peer(x, torch.tensor([0, 1])), rtol=0, atol=1e-5)


def test_projection_is_the_nearest_point_of_the_ball():
    x = 0.3 + 0.4 * torch.rand(5, 3, 5, 4, dtype=torch.float64, generator=seeded())
    direction = torch.randn(x.shape, dtype=x.dtype, generator=seeded(1))
    direction /= length(direction).view(-1, 1, 1, 1)
    sizes = torch.tensor([0.1, 0.25, 0.3, 1.0, 5.0], dtype=x.dtype).view(-1, 1, 1, 1)
    found = project_l2(x + sizes * direction, x, 0.25)
    torch.testing.assert_close(found, x + sizes.clamp(max=0.25) * direction)
    assert torch.equal(found[:1], (x + sizes * direction)[:1])
    far = 4 * torch.randn(x.shape, dtype=x.dtype, generator=seeded(2))
    inside = project_l2(far, x, 2.0)
    assert (length(inside - x) <= 2.0).all()
    assert inside.min() == 0
    assert inside.max() == 1
    assert torch.equal(project_l2(x, x, 0.0), x)


def test_the_start_is_uniform_in_the_ball():
    """El radio elevado a la dimensión es uniforme, y la dirección no prefiere ningún eje."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False)).double()
    with torch.no_grad():
        flat[1].weight.fill_(
            1
        )  # las dos clases empatan siempre: el gradiente es nulo y el ataque se queda donde empezó
    x = torch.full((4000, 3, 2, 2), 0.5, dtype=torch.float64)
    start = pgd_l2(flat, x, torch.zeros(4000, dtype=torch.long), 0.4, 0.1, 1, generator=seeded()) - x
    assert stats.kstest(((length(start) / 0.4) ** 12).numpy(), "uniform").pvalue > 0.01
    axis = start.flatten(1) / length(start)[:, None]
    assert axis.mean(0).abs().max() < 5 / math.sqrt(12 * 4000)
    torch.testing.assert_close(axis.pow(2).mean(0), torch.full((12,), 1 / 12, dtype=x.dtype), rtol=0.1, atol=0)


def test_both_attacks_start_at_the_same_random_place():
    """Con un paso minúsculo, lo que queda es el punto de salida."""
    model = linear()
    up = pgd_l2(model, X, Y, 0.2, 1e-9, 1, generator=seeded(5))
    down = targeted_pgd_l2(model, X, Y, 0.2, 1e-9, 1, generator=seeded(5))
    torch.testing.assert_close(up, down, rtol=0, atol=2.1e-9)
    assert (length(down - X) > 0.05).all()
    assert length(pgd_l2(model, X[:1], Y[:1], 0.2, 1e-9, 1) - X[:1]) > 0.05


def test_the_largest_size_is_from_corner_to_corner():
    white = torch.ones(1, 3, 2, 2)
    assert torch.equal(project_l2(0 * white, white, math.sqrt(12)), 0 * white)


def test_without_gradient_the_image_stays():
    model = linear()
    with torch.no_grad():
        model[1].weight.zero_()
    assert torch.equal(pgd_l2(model, X, Y, 0.5, 0.1, 3, False), X)


def test_a_tiny_gradient_still_gives_a_whole_step():
    """Su cuadrado no cabe en float32: sin cambiar la escala antes, la norma sería cero."""
    model = linear().float()
    with torch.no_grad():
        model[1].weight.mul_(1e-30)
    x = X.float()
    torch.testing.assert_close(length(pgd_l2(model, x, Y, 0.5, 0.1, 1, False) - x), torch.full((3,), 0.1))


def test_random_l2_has_the_size_that_is_asked_and_no_preference():
    x = torch.full((500, 3, 4, 4), 0.5)
    delta = random_l2(x, 0.8, seeded()) - x
    torch.testing.assert_close(length(delta), torch.full((500,), 0.8))
    assert delta.mean().abs() < 5 * 0.8 / math.sqrt(48 * 500 * 48)
    assert torch.equal(random_l2(x, 0.8, seeded()), random_l2(x, 0.8, seeded()))
    at_the_edge = random_l2(torch.ones(20, 3, 4, 4), 0.8, seeded())
    assert (length(at_the_edge - 1) < 0.8).all()
    assert at_the_edge.max() <= 1


def test_mini_falls_with_the_attack_and_not_with_the_noise():
    model, scenes = load_model("mini"), formas(30, 6)
    x, y = scenes.tensor(), torch.from_numpy(scenes.shape)
    with torch.no_grad():
        clean = (model(x).argmax(1) == y).double().mean()
        attacked = (model(pgd_l2(model, x, y, 1.0, 0.35, 5, generator=seeded())).argmax(1) == y).double().mean()
        noisy = (model(random_l2(x, 1.0, seeded())).argmax(1) == y).double().mean()
        reached = model(targeted_pgd_l2(model, x, 4, 3.0, 0.8, 6, generator=seeded())).argmax(1) == 4
    assert attacked < clean - 0.4
    assert noisy > clean - 0.05
    assert reached.double().mean() > 0.8


@pytest.mark.parametrize("name", ATTACKS)
def test_stays_in_the_ball_and_touches_nothing(name):
    model, x, y = randomize(Mini()).train(), formas(4).tensor(), torch.arange(4)
    rng = torch.get_rng_state()
    with left_as_found(model, x):
        found = ATTACKS[name](model, x, y)
    assert torch.equal(torch.get_rng_state(), rng)
    assert (length(found - x) <= 1.5 + 1e-5).all()
    assert (length(found - x) > 1.2).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(ATTACKS[name](model, x, y), found, rtol=0, atol=1e-5)
    frozen = randomize(Mini()).requires_grad_(False)
    torch.testing.assert_close(ATTACKS[name](frozen, x, y), found, rtol=0, atol=1e-5)


def test_each_image_on_its_own_and_half_precision():
    model, x, y = randomize(Mini()).double(), formas(3).tensor(dtype=torch.float64), torch.tensor([4, 1, 7])
    alone = torch.cat([pgd_l2(model, x[k : k + 1], y[k : k + 1], 1.0, 0.4, 3, False) for k in range(3)])
    torch.testing.assert_close(pgd_l2(model, x, y, 1.0, 0.4, 3, False), alone)
    half = pgd_l2(model.bfloat16(), x.bfloat16(), y, 1.0, 0.4, 3, generator=seeded())
    assert half.dtype == torch.bfloat16
    assert (length(half.double() - x) < 1.1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: pgd_l2(m, X, Y, 4.0, 0.1, 1), "va de 0 a 3.464"),
        (lambda m: pgd_l2(m, X, Y, 1.0, -0.1, 1), "`alpha`"),
        (lambda m: pgd_l2(m, X, Y, 1.0, 0.0, 1), "no se mueve"),
        (lambda m: pgd_l2(m, X, Y, 1.0, 0.1, 0), "`steps`"),
        (lambda m: pgd_l2(m, X, Y[:2], 1.0, 0.1, 1), "Con 3 imágenes"),
        (lambda m: pgd_l2(m, X.byte(), Y, 1.0, 0.1, 1), "coma flotante"),
        (lambda m: pgd_l2(m, 255 * X, Y, 1.0, 0.1, 1), "255"),
        (lambda m: targeted_pgd_l2(m, X, 5, 1.0, 0.1, 1), "La clase 5 no existe"),
        (lambda m: project_l2(X, X[:1], 0.1), "dos lotes iguales"),
        (lambda m: project_l2(X, X, math.nan), "`eps`"),
        (lambda m: random_l2(X, -1.0), "`eps`"),
        (lambda m: random_l2(X[0], 1.0), "coma flotante"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call(linear())
