"""`convlab.adversarial`: óptimos conocidos en redes lineales, acuerdo con una versión lenta, y ningún rastro."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from conftest import left_as_found, randomize
from torch import nn
from torch.nn import functional as F

from convlab.adversarial import (
    accuracy_curve,
    attack_success_rate,
    fgsm,
    minimal_epsilon,
    pgd,
    project_linf,
    random_signs,
    targeted_pgd,
)
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.models import load_model
from convlab.models.mini import Mini

X = 0.3 + 0.4 * torch.rand(3, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(classes=2):
    """Red lineal con pesos y sesgos genéricos: de ella se conoce el peor punto de la bola."""
    return randomize(nn.Sequential(nn.Flatten(), nn.Linear(12, classes)).double())


def towards_the_other_class(model):
    """Con dos clases, la dirección que más baja el margen: −sign(w_y − w_otra)."""
    w = model[1].weight.detach()
    return -(w[Y] - w[1 - Y]).sign().view(3, 3, 2, 2)


ATTACKS = {
    "fgsm": lambda m, x, y: fgsm(m, x, y, 8 / 255),
    "pgd": lambda m, x, y: pgd(m, x, y, 8 / 255, 4 / 255, 3, generator=seeded()),
    "targeted_pgd": lambda m, x, y: targeted_pgd(m, x, (y + 1) % 10, 8 / 255, 4 / 255, 3, generator=seeded()),
    "random_signs": lambda m, x, y: random_signs(x, 8 / 255, seeded()),
}


# --- óptimos conocidos -----------------------------------------------------------------------------------------------


def test_on_a_linear_model_the_optimum_is_the_corner():
    model = linear()
    corner = X + 0.1 * towards_the_other_class(model)
    torch.testing.assert_close(fgsm(model, X, Y, 0.1), corner)
    torch.testing.assert_close(pgd(model, X, Y, 0.1, 0.03, 10, generator=seeded()), corner)
    torch.testing.assert_close(targeted_pgd(model, X, 1 - Y, 0.1, 0.03, 10, generator=seeded()), corner)


def test_minimal_epsilon_of_a_linear_model_is_its_margin_over_the_norm():
    """El margen w·x + b se anula a distancia L∞ margen / ‖w‖₁, si ningún píxel llega al borde de [0, 1]."""
    model = linear()
    w = (model[1].weight[0] - model[1].weight[1]).detach()
    y = model(X).argmax(1)
    margin = (X.flatten(1) @ w + model[1].bias[0] - model[1].bias[1]).abs().detach()
    expected = margin / w.abs().sum()
    assert expected.max() < 0.3
    found = minimal_epsilon(model, X, y, fgsm, 0, 0.5, 1e-4)
    assert ((found - expected) >= 0).all()
    assert ((found - expected) <= 1e-4 + 1e-9).all()


def test_minimal_epsilon_of_the_already_wrong_and_of_the_unbreakable():
    model = linear()
    y = model(X).argmax(1)
    y[1] = 1 - y[1]
    found = minimal_epsilon(model, X, y, fgsm, 0, 1e-6, 1e-7)
    assert found.tolist() == [math.inf, 0, math.inf]


def test_minimal_epsilon_does_not_search_one_image_at_a_time():
    calls = []

    def attack(model, x, y, eps):
        calls.append(len(x))
        return fgsm(model, x, y, eps)

    model, scenes = load_model("mini"), formas(20, 3)
    x, y = scenes.tensor(), torch.from_numpy(scenes.shape)
    found = minimal_epsilon(model, x, y, attack, 0, 0.25, 0.25 / 8)
    assert len(calls) <= 1 + 1 + 2 + 4
    slow = torch.cat([minimal_epsilon(model, x[[i]], y[[i]], fgsm, 0, 0.25, 0.25 / 8) for i in range(20)])
    assert torch.equal(found, slow)


# --- definiciones ----------------------------------------------------------------------------------------------------


def test_fgsm_and_pgd_are_the_slow_loop():
    """Imagen a imagen, con `backward` y la proyección escrita de otra manera."""
    model, scenes = load_model("mini").double(), formas(4, 8)
    x, y = scenes.tensor(dtype=torch.float64), torch.from_numpy(scenes.shape)
    eps, alpha, steps = 6 / 255, 4 / 255, 4

    def step(z, k, size):
        z = z.detach().clone().requires_grad_()
        F.cross_entropy(model(z[None]), y[k : k + 1]).backward()
        return z.detach() + size * torch.sgn(z.grad)

    start = torch.rand(x.shape, generator=seeded(5), dtype=x.dtype)
    for k in range(4):
        torch.testing.assert_close(fgsm(model, x, y, eps)[k], step(x[k], k, eps).clamp(0, 1))
        z = (x[k] + eps * (2 * start[k] - 1)).clamp(0, 1)
        for _ in range(steps):
            z = torch.min(torch.max(step(z, k, alpha), x[k] - eps), x[k] + eps).clamp(0, 1)
        torch.testing.assert_close(pgd(model, x, y, eps, alpha, steps, generator=seeded(5))[k], z)


def test_projection_is_the_nearest_point_of_the_ball_and_of_the_range():
    x, far = torch.rand(2, 3, 5, 4), 3 * torch.randn(2, 3, 5, 4)
    found = project_linf(far, x, 0.1)
    assert (found - x).abs().max() <= 0.1 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    grid = torch.linspace(0, 1, 2001)
    allowed = (grid - x[..., None]).abs() <= 0.1
    distance = torch.where(allowed, (grid - far[..., None]).abs(), torch.inf).amin(-1)
    assert ((found - far).abs() <= distance + 1e-6).all()
    assert torch.equal(project_linf(found, x, 0.1), found)


def test_success_counts_only_what_was_right():
    model = nn.Flatten()
    logits = torch.tensor([[2.0, 1], [2, 1], [1, 2], [2, 1]]).view(4, 2, 1, 1)
    attacked = torch.tensor([[1.0, 2], [2, 1], [2, 1], [1, 2]]).view(4, 2, 1, 1)
    y = torch.tensor([0, 0, 0, 0])
    assert attack_success_rate(model, logits, attacked, y) == pytest.approx(2 / 3)
    assert attack_success_rate(model, logits, attacked, torch.tensor([1, 1, 0, 1])) == 0


def test_targeted_reaches_the_class_that_is_asked():
    model, scenes = load_model("mini"), formas(20, 4)
    x = scenes.tensor()
    wanted = (torch.from_numpy(scenes.shape) + 3) % 10
    found = targeted_pgd(model, x, wanted, 16 / 255, 4 / 255, 20, generator=seeded())
    with torch.no_grad():
        assert (model(found).argmax(1) == wanted).double().mean() > 0.8
    one = targeted_pgd(model, x, 7, 8 / 255, 4 / 255, 2, generator=seeded())
    many = targeted_pgd(model, x, torch.full((20,), 7), 8 / 255, 4 / 255, 2, generator=seeded())
    assert torch.equal(one, many)


def test_the_curve_falls_for_the_attack_and_not_for_the_noise():
    model, scenes = load_model("mini"), formas(100, 6)
    x, y = scenes.tensor(), torch.from_numpy(scenes.shape)
    epsilons = [0, 4 / 255, 12 / 255]
    attacked = accuracy_curve(model, x, y, partial(pgd, alpha=2 / 255, steps=8, generator=seeded()), epsilons)
    noisy = accuracy_curve(model, x, y, lambda m, x, y, eps: random_signs(x, eps, seeded()), epsilons)
    assert attacked[0] == noisy[0] > 0.95
    assert attacked[0] > attacked[1] + 0.3 > attacked[2]
    assert noisy[2] > 0.9


# --- lo que no debe pasar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ATTACKS)
def test_stays_in_the_ball_and_touches_nothing(name, train):
    model, x, y = randomize(Mini()).train(train), formas(4).tensor(), torch.arange(4)
    rng = torch.get_rng_state()
    with left_as_found(model, x):
        found = ATTACKS[name](model, x, y)
        attack_success_rate(model, x, found, y)
        minimal_epsilon(model, x, y, fgsm, tol=0.05)
    assert torch.equal(torch.get_rng_state(), rng)
    assert (found - x).abs().max() <= 8 / 255 + 1e-6
    assert (found - x).abs().max() > 7 / 255
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert torch.equal(ATTACKS[name](model, x, y), found)
    frozen = randomize(Mini()).requires_grad_(False)
    assert torch.equal(ATTACKS[name](frozen, x, y), found)


@pytest.mark.parametrize("attack", [None, pgd, targeted_pgd])
def test_each_image_on_its_own(attack):
    model, x, y = randomize(Mini()).double(), formas(3).tensor(dtype=torch.float64), torch.tensor([4, 1, 7])

    def run(images, classes):
        if attack is None:
            return fgsm(model, images, classes, 0.05)
        return attack(model, images, classes, 0.05, 0.02, 3, random_start=False)

    alone = torch.cat([run(x[k : k + 1], y[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(run(x, y), alone)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fgsm(m, X, Y, 8), "8/255"),
        (lambda m: pgd(m, X, Y, 0.1, 2, 1), "`alpha`"),
        (lambda m: project_linf(X, X, -0.1), "`eps`"),
        (lambda m: project_linf(X, X[:1], 0.1), "dos lotes iguales"),
        (lambda m: random_signs(X, 300), "300/255"),
        (lambda m: fgsm(m, X, Y[:2], 0.1), "Con 3 imágenes"),
        (lambda m: targeted_pgd(m, X, 5, 0.1, 0.1, 1), "La clase 5 no existe"),
        (lambda m: attack_success_rate(m, X, X, Y.float()), "entero"),
        (lambda m: minimal_epsilon(m, X, Y, fgsm, 0.2, 0.1), "low < high"),
        (lambda m: minimal_epsilon(m, X, Y, fgsm, tol=0), "tol"),
        (lambda m: fgsm(m, X.byte(), Y, 0.1), "coma flotante"),
        (lambda m: pgd(m, X.byte(), Y, 0.1, 0.1, 1), "coma flotante"),
        (lambda m: random_signs(X.byte(), 0.1), "coma flotante"),
        (lambda m: attack_success_rate(m, X.byte(), X, Y), "coma flotante"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call(linear())
