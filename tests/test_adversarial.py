"""`convlab.adversarial`: óptimos conocidos en redes lineales, acuerdo con una versión lenta, y ningún rastro."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from conftest import left_as_found, randomize
from torch import nn
from torch.nn import functional as F

from convlab.adversarial import (
    accuracy_curve,
    apply_patch,
    attack_success_rate,
    bim,
    deepfool,
    fgsm,
    minimal_epsilon,
    pgd,
    pgd_l2,
    project_linf,
    random_l2,
    random_signs,
    targeted_pgd,
    train_patch,
    transfer_matrix,
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
    "bim": lambda m, x, y: bim(m, x, y, 8 / 255, 4 / 255, 3),
    "random_signs": lambda m, x, y: random_signs(x, 8 / 255, seeded()),
}


# --- óptimos conocidos -----------------------------------------------------------------------------------------------


def test_on_a_linear_model_the_optimum_is_the_corner():
    model = linear()
    corner = X + 0.1 * towards_the_other_class(model)
    torch.testing.assert_close(fgsm(model, X, Y, 0.1), corner)
    torch.testing.assert_close(pgd(model, X, Y, 0.1, 0.03, 10, generator=seeded()), corner)
    torch.testing.assert_close(targeted_pgd(model, X, 1 - Y, 0.1, 0.03, 10, generator=seeded()), corner)
    halfway = X + 0.06 * towards_the_other_class(model)
    torch.testing.assert_close(pgd(model, X, Y, 0.1, 0.03, 2, False), halfway)
    torch.testing.assert_close(targeted_pgd(model, X, 1 - Y, 0.1, 0.03, 2, False), halfway)


@pytest.mark.parametrize(("attack", "sign"), [(pgd, 1), (targeted_pgd, -1)])
def test_starts_at_random_unless_it_is_told_not_to(attack, sign):
    """Con un paso minúsculo, lo que queda es el punto de salida: uniforme en la bola, y otro con otra semilla."""
    model = linear()
    noise = torch.rand(X.shape, generator=seeded(5), dtype=X.dtype)
    found = attack(model, X, Y, 0.1, 1e-9, 1, generator=seeded(5))
    torch.testing.assert_close(found, X + 0.1 * (2 * noise - 1), rtol=0, atol=1.1e-9)
    still = attack(model, X, Y, 0.1, 1e-3, 1, False)
    torch.testing.assert_close(still, X + sign * 1e-3 * towards_the_other_class(model))


def test_minimal_epsilon_of_a_linear_model_is_its_margin_over_the_norm():
    """El margen w·x + b se anula a distancia L∞ margen / ‖w‖₁, si ningún píxel llega al borde de [0, 1]."""
    model = linear()
    w = (model[1].weight[0] - model[1].weight[1]).detach()
    y = model(X).argmax(1)
    margin = (X.flatten(1) @ w + model[1].bias[0] - model[1].bias[1]).abs().detach()
    expected = margin / w.abs().sum()
    assert expected.max() < 0.3
    found = minimal_epsilon(model, X, y, fgsm, 0, 0.5, 1e-4)
    assert found.dtype == torch.float64
    coarse = 8 * minimal_epsilon(model, X, y, fgsm, 0, 0.5, 1 / 8)  # un intervalo de `tol` ya no se parte
    assert torch.equal(coarse, (8 * expected).ceil())
    assert ((found - expected) >= 0).all()
    assert ((found - expected) <= 1e-4 + 1e-9).all()


def test_minimal_epsilon_defaults_are_the_documented_ones():
    model = linear()
    with torch.no_grad():
        model[1].bias.sub_(model(X[:1])[0])  # la primera, en la frontera
    y = model(X).argmax(1)
    found = minimal_epsilon(model, X, y, fgsm)
    assert found.isfinite().any()
    assert torch.equal(found, minimal_epsilon(model, X, y, fgsm, 0.0, 0.1, 1e-3))


def test_minimal_epsilon_of_the_already_wrong_and_of_the_unbreakable():
    model = linear()
    y = model(X).argmax(1)
    y[1] = 1 - y[1]
    found = minimal_epsilon(model, X, y, fgsm, 0, 1e-6, 1e-7)
    assert found.tolist() == [math.inf, 0, math.inf]


def test_minimal_epsilon_ends_even_if_the_tolerance_does_not_fit_in_a_float():
    model = linear()
    y = model(X).argmax(1)
    exact = minimal_epsilon(model, X, y, fgsm, 0, 0.5, 1e-30)
    near = minimal_epsilon(model, X, y, fgsm, 0, 0.5, 1e-4)
    assert (exact <= near).all()
    assert (near - exact <= 1e-4).all()


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


def test_random_signs_are_a_fair_coin_for_each_value():
    x = torch.full((40, 3, 8, 8), 0.5)
    up = random_signs(x, 0.25, seeded()) == 0.75
    assert torch.equal(random_signs(x, 0.25, seeded()), torch.where(up, 0.75, 0.25))
    n = up.numel()
    assert abs(up.sum() - n / 2) < 4 * math.sqrt(n) / 2
    same = up[:, :, :, 1:] == up[:, :, :, :-1]  # ni los vecinos se parecen
    assert abs(same.sum() - same.numel() / 2) < 4 * math.sqrt(same.numel()) / 2
    assert len(up.flatten(1).unique(dim=0)) == 40


def test_success_counts_only_what_was_right():
    model = nn.Flatten()
    logits = torch.tensor([[2.0, 1], [2, 1], [1, 2], [2, 1]]).view(4, 2, 1, 1)
    attacked = torch.tensor([[1.0, 2], [2, 1], [2, 1], [1, 2]]).view(4, 2, 1, 1)
    y = torch.tensor([0, 0, 0, 0])
    assert attack_success_rate(model, logits, attacked, y) == pytest.approx(2 / 3)
    assert attack_success_rate(model, logits, attacked, torch.tensor([1, 1, 0, 1])) == 0
    assert attack_success_rate(model, logits, attacked, torch.tensor([0, 1, 0, 1])) == 1  # una sola que acertar


def test_targeted_reaches_the_class_that_is_asked():
    model, scenes = load_model("mini"), formas(10, 4)
    x = scenes.tensor()
    wanted = (torch.from_numpy(scenes.shape) + 3) % 10
    found = targeted_pgd(model, x, wanted, 16 / 255, 4 / 255, 10, generator=seeded())
    with torch.no_grad():
        assert (model(found).argmax(1) == wanted).double().mean() > 0.8
    one = targeted_pgd(model, x, 7, 8 / 255, 4 / 255, 2, generator=seeded())
    many = targeted_pgd(model, x, torch.full((10,), 7), 8 / 255, 4 / 255, 2, generator=seeded())
    assert torch.equal(one, many)


def test_the_curve_falls_for_the_attack_and_not_for_the_noise():
    model, scenes = load_model("mini"), formas(40, 6)
    x, y = scenes.tensor(), torch.from_numpy(scenes.shape)
    epsilons = [0, 4 / 255, 12 / 255]
    attacked = accuracy_curve(model, x, y, partial(pgd, alpha=2 / 255, steps=5, generator=seeded()), epsilons)
    noisy = accuracy_curve(model, x, y, lambda m, x, y, eps: random_signs(x, eps, seeded()), epsilons)
    assert attacked[0] == noisy[0] > 0.95
    assert attacked[0] > attacked[1] + 0.3 > attacked[2]
    assert noisy[2] > 0.9


def test_linf_attacks_agree_with_torchattacks(mini):
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = copy.deepcopy(mini.model).double(), mini.x.double(), torch.tensor([3, 8])
    eps, alpha, steps = 8 / 255, 3 / 255, 5
    pairs = [
        (fgsm(model, x, y, eps), torchattacks.FGSM(model, eps)),
        (bim(model, x, y, eps, alpha, steps), torchattacks.BIM(model, eps, alpha, steps)),
        (pgd(model, x, y, eps, alpha, steps, False), torchattacks.PGD(model, eps, alpha, steps, random_start=False)),
    ]
    for found, peer in pairs:
        torch.testing.assert_close(found, peer(x, y), rtol=0, atol=1e-6)
    torch.testing.assert_close(pairs[1][0], pairs[2][0], rtol=0, atol=0)


class Counter(nn.Module):
    """Cuenta las pasadas hacia delante y hacia atrás, y las imágenes de cada una."""

    def __init__(self, net):
        super().__init__()
        self.net, self.forwards, self.backwards = net, [], []

    def forward(self, x):
        self.forwards.append(len(x))
        if x.requires_grad:
            x = x.clone()
            x.register_hook(lambda g: self.backwards.append(len(g)))
        return self.net(x)


def test_an_attack_costs_one_forward_and_one_backward_per_step():
    model, x, y = Counter(randomize(Mini())), formas(3).tensor(), torch.arange(3)
    for attack, steps in (
        (lambda: fgsm(model, x, y, 0.1), 1),
        (lambda: pgd(model, x, y, 0.1, 0.02, 4), 4),
        (lambda: targeted_pgd(model, x, 5, 0.1, 0.02, 4), 4),
        (lambda: pgd_l2(model, x, y, 1.0, 0.3, 4), 4),
    ):
        model.forwards.clear(), model.backwards.clear()
        attack()
        assert model.forwards == model.backwards == [3] * steps


class Extremes(nn.Module):
    """Anota el menor y el mayor valor que ve la red."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x):
        self.seen += torch.aminmax(x.detach())
        return self.net(x)


@pytest.mark.parametrize(
    "attack", [fgsm, *(partial(f, alpha=0.2, steps=3, generator=seeded()) for f in (pgd, targeted_pgd, pgd_l2))]
)
def test_the_net_only_sees_images(attack):
    """También el punto de salida está en [0, 1]."""
    model = Extremes(linear())
    attack(model, X.round(), Y, eps=0.4)
    assert (min(model.seen), max(model.seen)) == (0, 1)


def test_the_curve_does_not_attack_with_nothing():
    def attack(model, x, y, eps):
        sizes.append(eps)
        return fgsm(model, x, y, eps)

    model, sizes = Counter(linear()), []
    y = model(X).argmax(1)
    model.forwards.clear()
    curve = accuracy_curve(model, X, y, attack, [0, 0.9, 0.0])
    assert sizes == [0.9]
    assert curve.tolist() == [1, 0, 1]
    assert len(model.forwards) == 3 + 1


def test_minimal_epsilon_searches_in_the_units_of_the_attack():
    """En L2 puede pasar de 1. El margen 1,2 · ‖w‖₂ se anula a distancia 1,2, moviendo cada valor 0,35."""
    model = linear()
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([torch.tensor([1.0, -1]).repeat(6), torch.zeros(12)]))
        model[1].bias.copy_(torch.tensor([1.2 * math.sqrt(12), 0]))
    attack = partial(pgd_l2, alpha=3.0, steps=1, random_start=False)
    found = minimal_epsilon(model, torch.full_like(X, 0.5), torch.tensor([0, 0, 1]), attack, 0, 3, 1e-3)
    assert ((found[:2] >= 1.2) & (found[:2] <= 1.2 + 1.001e-3)).all()
    assert found[2] == 0


# --- transferencia ---------------------------------------------------------------------------------------------------


class Answers(nn.Module):
    """Responde según el canal `channel` de la imagen: clase 1 si pasa de `threshold`."""

    def __init__(self, channel, threshold=0.5):
        super().__init__()
        self.channel, self.threshold = channel, threshold

    def forward(self, x):
        score = 10 * (x[:, self.channel].mean((1, 2)) - self.threshold)
        return torch.stack([-score, score], 1)


def test_transfer_counts_what_both_models_had_right():
    models = {"rojo": Answers(0), "verde": Answers(1), "rojo exigente": Answers(0, 0.3)}
    x = torch.tensor([[0.4, 0.9, 0], [0.9, 0.9, 0], [0.2, 0.2, 0], [0.8, 0.1, 0]]).view(4, 3, 1, 1)
    y = torch.tensor([0, 1, 0, 1])
    # rojo acierta 0-3; verde, 1 y 2; rojo exigente, 1-3. FGSM de 0.25 solo mueve el canal que mira la red.
    calls = []

    def attack(model, x, y):
        calls.append(len(x))
        return fgsm(model, x, y, 0.25)

    names, matrix = transfer_matrix(models, x, y, attack)
    assert names == list(models)
    assert calls == [4, 2, 3]
    # Contra rojo: 0.4→0.65 y 0.2→0.45 suben, 0.9→0.65 y 0.8→0.55 bajan. Rojo solo pierde la imagen 0 (de 4);
    # el exigente, la 2 (0.45 > 0.3, de las tres que aciertan los dos); verde no ve el rojo.
    expected = torch.tensor([[1 / 4, 0, 1 / 3], [0, 0, 0], [0, 0, 1 / 3]])
    torch.testing.assert_close(matrix, expected)


def test_transfer_without_common_hits_is_nan():
    models = {"nada": Answers(1), "todo": Answers(0), "tampoco": Answers(1)}
    x = torch.tensor([[0.9, 0.1, 0], [0.8, 0.2, 0]]).view(2, 3, 1, 1)
    _, matrix = transfer_matrix(models, x, torch.tensor([1, 1]), partial(fgsm, eps=0.05))
    assert matrix.isnan().tolist() == [[True, True, True], [True, False, True], [True, True, True]]


class Pair(nn.Module):
    def forward(self, x):
        return x.flatten(1), x


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


def test_with_nothing_to_move_the_images_stay():
    assert torch.equal(pgd(linear(), X, Y, 0, 0, 1), X)
    flat = linear()
    with torch.no_grad():
        flat[1].weight.zero_()
    assert torch.equal(fgsm(flat, X, Y, 0.1), X)
    assert torch.equal(pgd(flat, X, Y, 0.1, 0.1, 2, False), X)


def test_a_rounding_out_of_the_range_is_forgiven():
    for x in (X.round() - 5e-5, X.round() + 5e-5):
        found = random_signs(x, 0.1, seeded())
        assert (found.min(), found.max()) == (0, 1)
    for x in (X.round() - 1e-3, X.round() + 1e-3):
        with pytest.raises(ConvlabError, match="Normalized"):
            random_signs(x, 0.1)


def test_the_largest_size_is_the_whole_range():
    assert set(random_signs(X, 1).unique().tolist()) == {0, 1}


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
        (lambda m: minimal_epsilon(m, X, Y, fgsm, 0.1, 0.1), "low < high"),
        (lambda m: minimal_epsilon(m, X, Y, fgsm, -0.1, 0.1), "`low`"),
        (lambda m: minimal_epsilon(m, X, Y, lambda m, x, y, eps: x, 0, 8), "`high`"),
        (lambda m: minimal_epsilon(m, X, Y, fgsm, tol=0), "tol"),
        (lambda m: pgd(m, X, Y, 0.1, 0, 3), "no se mueve"),
        (lambda m: pgd(m, X, Y, 0.1, 0.1, 0), "`steps` debe ser un entero"),
        (lambda m: pgd(m, X, Y, 0.1, 0.1, 2.5), "2.5"),
        (lambda m: bim(m, X, Y, 0.1, 0.1, True), "True"),
        (lambda m: pgd(m, X, Y, math.nan, 0.1, 1), "`eps`"),
        (lambda m: fgsm(m, X, Y.float(), 0.1), "entero"),
        (lambda m: fgsm(m, 255 * X, Y, 0.1), "divídelas entre 255"),
        (lambda m: pgd(m, X - 0.5, Y, 0.1, 0.1, 1), "Normalized"),
        (lambda m: pgd(m, X + 0.5, Y, 0.1, 0.1, 1), "Normalized"),
        (lambda m: random_signs(X.where(X < 0.6, math.nan), 0.1), "nan"),
        (lambda m: fgsm(nn.Sequential(m, nn.Unflatten(1, (2, 1))), X, Y, 0.1), r"dio un tensor \(3, 2, 1\)"),
        (lambda m: fgsm(Pair(), X, Y, 0.1), "dio tuple"),
        (lambda m: attack_success_rate(nn.Conv2d(3, 2, 1).double(), X, X, Y), r"logits \(N, K\)"),
        (lambda m: attack_success_rate(m, X, X[:1], 1), "dos lotes iguales"),
        (lambda m: attack_success_rate(m, X.float(), X.float(), Y), "El modelo está en"),
        (lambda m: minimal_epsilon(m, X, Y, fgsm, 0, 8), "8.0/255|8/255|distancia"),
        (lambda m: minimal_epsilon(m, X, Y, fgsm, 0, 2), "2/255"),
        (lambda m: accuracy_curve(m, X, Y, fgsm, []), "al menos un tamaño"),
        (lambda m: transfer_matrix({}, X, Y, fgsm), "al menos una red"),
        (lambda m: transfer_matrix({"a": m}, X, m(X).argmax(1), lambda m, x, y: x[:1]), "dos lotes iguales"),
        (lambda m: fgsm(m, X.byte(), Y, 0.1), "coma flotante"),
        (lambda m: pgd(m, X.byte(), Y, 0.1, 0.1, 1), "coma flotante"),
        (lambda m: random_signs(X.byte(), 0.1), "coma flotante"),
        (lambda m: attack_success_rate(m, X.byte(), X, Y), "coma flotante"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call(linear())


@pytest.mark.parametrize("attack", [fgsm, partial(pgd, alpha=0.1, steps=2), partial(pgd_l2, alpha=0.1, steps=2)])
def test_a_gradient_that_is_not_finite_is_an_error(attack):
    """`sign(NaN)` es 0: sin comprobarlo, la red parecería invulnerable."""
    model = linear()
    with torch.no_grad():
        model[1].weight[0, 5] = math.nan
    with pytest.raises(ConvlabError, match="NaN o infinitos"):
        attack(model, X, Y, eps=0.1)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: fgsm(m, X, Y, 0.1),
        lambda m: pgd(m, X, Y, 0.1, 0.1, 2),
        lambda m: random_signs(X, 0.1),
        lambda m: pgd_l2(m, X, Y, 0.1, 0.1, 2),
        lambda m: random_l2(X, 0.1),
        lambda m: deepfool(m, X, steps=2),
        lambda m: minimal_epsilon(m, X, Y, fgsm),
        lambda m: accuracy_curve(m, X, Y, fgsm, [0, 0.1]),
        lambda m: transfer_matrix({"a": m}, X, Y, partial(fgsm, eps=0.1)),
        lambda m: apply_patch(X, X[0, :, :1], rotation=10, scale=(0.9, 1.1)),
        lambda m: train_patch(m, X, Y[1], 1, steps=2, batch=2),
    ],
)
def test_every_tensor_is_made_where_the_images_are(call):
    """Con otro dispositivo por omisión, un tensor creado sin decir dónde no se podría mezclar con las imágenes."""
    model = linear()
    with torch.device("meta"):
        found = call(model)
    found = found[-1] if isinstance(found, tuple) else found
    assert getattr(found, "images", found).device == X.device


def test_half_precision_and_other_layouts():
    model = randomize(Mini())
    x, y = torch.rand(2, 3, 40, 64, generator=seeded()), torch.tensor([1, 2])
    found = pgd(model, x, y, 0.05, 0.02, 2, False)
    strided = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert ((pgd(model, strided, y, 0.05, 0.02, 2, False) - found).abs() > 1e-5).float().mean() < 1e-3
    half = pgd(model.bfloat16(), x.bfloat16(), y, 0.05, 0.02, 2, False)
    assert half.dtype == torch.bfloat16
    assert (half.float() - x).abs().max() < 0.05 + 2**-8
