"""`convlab.adversarial.deepfool`: distancia exacta en redes lineales, acuerdo con torchattacks, coste y rastro nulo."""

from __future__ import annotations

import copy
import importlib
import math

import pytest
import torch
from conftest import left_as_found, randomize
from torch import nn

from convlab.adversarial import deepfool, pgd_l2
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.models import load_model
from convlab.models.mini import Mini

X = 0.3 + 0.4 * torch.rand(6, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def linear(classes=5):
    """Con sesgos que casi empatan las clases: ninguna frontera obliga a salir de [0, 1]."""
    model = randomize(nn.Sequential(nn.Flatten(), nn.Linear(12, classes)).double())
    with torch.no_grad():
        model[1].bias.sub_(model(torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64))[0])
    return model


class Counter(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, self.forwards, self.backwards = net, [], []

    def forward(self, x):
        self.forwards.append(len(x))
        x = x.clone()
        x.register_hook(lambda g: self.backwards.append(len(g)))
        return self.net(x)


def nearest_boundary(model):
    """En una red lineal: `|w·x + b| / ‖w‖` con la diferencia de cada par, y su pie de perpendicular."""
    weight, logits = model[1].weight.detach(), model(X).detach()
    best = []
    for k, row in enumerate(logits):
        own = int(row.argmax())
        rivals = [j for j in range(len(row)) if j != own]
        gaps = torch.stack([(row[own] - row[j]) / (weight[own] - weight[j]).norm() for j in rivals])
        j = rivals[int(gaps.argmin())]
        w = weight[j] - weight[own]
        best.append((float(gaps.min()), X[k] + (gaps.min() * w / w.norm()).view(3, 2, 2), j))
    return best


@pytest.mark.parametrize("overshoot", [0.02, 0.3])
def test_on_a_linear_model_one_step_is_the_exact_distance(overshoot):
    model = linear()
    found = deepfool(model, X, overshoot=overshoot)
    assert found.fooled.all()
    assert (found.steps == 1).all()
    assert torch.equal(found.before, model(X).argmax(1))
    for k, (distance, foot, rival) in enumerate(nearest_boundary(model)):
        assert 0 < distance < 0.2
        assert found.norms[k].item() == pytest.approx((1 + overshoot) * distance)
        torch.testing.assert_close(found.images[k], X[k] + (1 + overshoot) * (foot - X[k]))
        assert found.after[k] == rival


def test_it_is_really_the_nearest_and_not_the_runner_up():
    """El rival de mayor logit puede estar más lejos que otro con un gradiente mayor."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 10, 0]]))
        model[1].bias.copy_(torch.tensor([0, -0.6, -5.5]))
    x = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
    assert model(x).tolist()[0] == pytest.approx([0, -0.1, -0.5])
    assert deepfool(model, x).norms.item() == pytest.approx(1.02 * 0.05)
    only = deepfool(model, x, candidates=1)
    assert only.norms.item() == pytest.approx(1.02 * 0.1)
    assert only.after.item() == 1


def test_agrees_with_torchattacks(mini):
    torchattacks = pytest.importorskip("torchattacks")
    model, x = copy.deepcopy(mini.model).double(), 0.3 + 0.4 * mini.x[:, :, :48, :32].double()
    found = deepfool(model, x)
    peer, classes = torchattacks.DeepFool(model, 50, 0.02)(x, found.before, return_target_labels=True)
    assert torch.equal(found.after, classes)
    torch.testing.assert_close(found.images, peer, rtol=0, atol=1e-6)


def test_agrees_with_torchattacks_on_the_shipped_net():
    torchattacks = pytest.importorskip("torchattacks")
    # Con los valores lejos de 0 y de 1: torchattacks recorta sin más y ahí no dan lo mismo. En float64: en float32, una
    # ReLU al borde de cero cambia de lado con el tamaño del lote (diferencias de 6e-5).
    model, x = load_model("mini").double(), 0.25 + 0.5 * formas(3, 3).tensor(dtype=torch.float64)
    found = deepfool(model, x)
    peer = torchattacks.DeepFool(model, 50, 0.02)(x, found.before)
    torch.testing.assert_close(found.images, peer, rtol=0, atol=1e-6)
    assert found.fooled.all()
    assert len(found.steps.unique()) > 1
    torch.testing.assert_close(found.norms, (found.images - x).flatten(1).norm(dim=1))
    with torch.no_grad():
        assert torch.equal(model(found.images).argmax(1), found.after)
        # PGD con la mitad de la distancia casi nunca engaña; si lo hiciera, DeepFool no encontraría lo menor.
        half = torch.cat(
            [
                pgd_l2(model, x[k : k + 1], found.before[k : k + 1], float(found.norms[k]) / 2, 0.05, 10, False)
                for k in range(3)
            ]
        )
        assert (model(half).argmax(1) == found.before).float().mean() > 0.6


def test_only_the_unfooled_go_on_and_a_step_costs_one_forward_and_one_backward_per_candidate():
    model, x = Counter(load_model("mini")), formas(4, 3).tensor()
    taken = deepfool(model, x, candidates=3).steps
    model.forwards.clear(), model.backwards.clear()
    deepfool(model, x[:1], candidates=3)
    assert len(model.forwards) == int(taken[0]) + 1
    assert model.backwards == [1] * 3 * int(taken[0])
    model.forwards.clear(), model.backwards.clear()
    deepfool(model, x, candidates=3)
    remaining = [int((taken > k).sum()) for k in range(int(taken.max()))]
    assert remaining[-1] < 4
    assert model.backwards == [n for n in remaining for _ in range(3)]
    expected = [4]
    for before, left in zip(remaining, [*remaining[1:], 0], strict=True):
        expected += [before] + [left] * (0 < left < before)
    assert model.forwards == expected


def test_ten_rivals_unless_it_is_told_otherwise():
    model = Counter(linear(12))
    assert (deepfool(model, X).steps == 1).all()
    assert model.backwards == [6] * 10


def test_when_it_cannot_the_norm_is_infinite():
    found = deepfool(load_model("mini"), formas(3, 1).tensor(), steps=1, overshoot=0.0)
    assert torch.equal(found.fooled, found.norms.isfinite())
    assert not found.fooled.all()
    assert (found.steps == 1).all()
    flat = linear()
    with torch.no_grad():
        flat[1].weight.zero_()
        flat[1].bias[2] = 5
    assert (deepfool(flat, X).steps == 50).all()
    stuck = deepfool(flat, X, steps=3)
    assert stuck.norms.isinf().all()
    assert torch.equal(stuck.images, X)
    assert (stuck.steps == 3).all()


def test_an_exact_tie_is_crossed():
    """Con los logits empatados, el paso lineal sería de longitud cero."""
    model = linear(2)
    with torch.no_grad():
        model[1].bias.sub_(model(X[:1])[0])
        model[1].bias[0] += (model(X[:1])[0, 1] - model(X[:1])[0, 0]).clamp(min=0)
    found = deepfool(model, X[:1])
    assert found.fooled.all()
    assert found.norms.item() < 1e-5


def test_the_box_is_respected():
    """Lo que no puede moverse un valor que llega al borde lo ponen los demás, y el paso sigue siendo el más corto."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0, 0], [1, 1, 1]]))
        model[1].bias.copy_(torch.tensor([0.0, -2.4]))
    x = torch.tensor([0.95, 0.5, 0.4], dtype=torch.float64).view(1, 3, 1, 1)
    found = deepfool(model, x)
    assert found.fooled.all()
    assert found.steps.item() == 1
    # Hay que subir la suma 0.55 · 1.02: el primero solo puede 0.05 y el resto se reparte por igual.
    rest = (0.55 * 1.02 - 0.05) / 2
    torch.testing.assert_close(found.images.flatten(), torch.tensor([1, 0.5 + rest, 0.4 + rest], dtype=x.dtype))
    # Al revés, bajando hasta 0.
    with torch.no_grad():
        model[1].weight.neg_()
        model[1].bias.copy_(torch.tensor([0.0, 0.3]))
    down = deepfool(model, x[:, [1, 2, 0]] * 0 + torch.tensor([0.1, 0.5, 0.6], dtype=x.dtype).view(1, 3, 1, 1))
    rest = (0.9 * 1.02 - 0.1) / 2
    torch.testing.assert_close(down.images.flatten(), torch.tensor([0, 0.5 - rest, 0.6 - rest], dtype=x.dtype))


def test_each_image_on_its_own():
    """También junto al borde, donde cada una necesita un paso distinto; y en media precisión se queda como llegó."""
    model, x = linear(), (4 * X - 1.5).clamp(0.02, 0.98)
    found, alone = (torch.cat([deepfool(model, z, overshoot=1.0).images for z in part]) for part in ([x], x.split(1)))
    assert ((found == 0) | (found == 1)).flatten(1).any(1).sum() > 1
    torch.testing.assert_close(found, alone)
    assert deepfool(model.bfloat16(), x.bfloat16()).images.dtype == torch.bfloat16


def test_what_is_already_at_the_edge_is_not_counted_on(monkeypatch):
    """Lo que ya está en el borde y querría salir no se mueve: sin esperar nada de ello, basta una vuelta de Newton."""
    monkeypatch.setattr(importlib.import_module("convlab.adversarial.deepfool"), "NEWTON", 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).double()
    x = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64).view(1, 3, 1, 1)
    for sign in (1, -1):
        with torch.no_grad():
            model[1].weight.copy_(torch.tensor([[0.0, 0, 0], [1, -1, sign]]))
            model[1].bias.copy_(torch.tensor([0.0, -1.2 - 0.5 * sign]))
        found = deepfool(model, x)
        expected = torch.tensor([1, 0, 0.5 + sign * 1.02 * 0.2], dtype=x.dtype)
        torch.testing.assert_close(found.images.flatten(), expected)


def test_an_unreachable_boundary_ends_at_the_corner():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0, 0], [1, -1, 1]]))
        model[1].bias.copy_(torch.tensor([0.0, -5.0]))
    found = deepfool(model, torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64), steps=2)
    assert found.images.flatten().tolist() == [1, 0, 1]
    assert found.norms.item() == math.inf


def test_no_image_creeps_along_the_edge_without_crossing():
    """Con recorte a secas, las escenas 7, 11, 20 y 25 de esta semilla se quedan a 1e-4 de la frontera."""
    x = formas(26, 777_001).tensor()[[7, 11, 20, 25]]
    found = deepfool(load_model("mini"), x)
    assert found.fooled.all()
    assert found.steps.max() <= 8


def test_touches_nothing():
    model, x = randomize(Mini()).train(), formas(3).tensor()
    rng = torch.get_rng_state()
    with left_as_found(model, x):
        found = deepfool(model, x, steps=4)
    assert torch.equal(torch.get_rng_state(), rng)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert not found.images.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            again = deepfool(model, x.clone(), steps=4)
            torch.testing.assert_close(again.images, found.images, rtol=0, atol=1e-5)
    frozen = randomize(Mini()).requires_grad_(False)
    torch.testing.assert_close(deepfool(frozen, x, steps=4).images, found.images, rtol=0, atol=1e-5)
    half = deepfool(randomize(Mini()).bfloat16(), x.bfloat16(), steps=2)
    assert half.images.dtype == torch.bfloat16


class Blind(nn.Module):
    def forward(self, x):
        return x.detach().flatten(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: deepfool(m, X, steps=0), "`steps`"),
        (lambda m: deepfool(m, X, candidates=0), "`candidates`"),
        (lambda m: deepfool(m, X, overshoot=-0.1), "`overshoot`"),
        (lambda m: deepfool(m, X, overshoot=math.nan), "`overshoot`"),
        (lambda m: deepfool(m, 255 * X), "255"),
        (lambda m: deepfool(linear(1), X), "dos clases o más"),
        (lambda m: deepfool(Blind(), X), "no dependen de la imagen"),
        (lambda m: deepfool(m, X.byte()), "coma flotante"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call(linear())


class Root(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :3].sqrt()


def test_an_infinite_gradient_with_finite_logits_is_an_error():
    with pytest.raises(ConvlabError, match="NaN o infinitos"):
        deepfool(Root(), torch.zeros(2, 3, 2, 2), steps=2)


def test_a_gradient_that_is_not_finite_is_an_error():
    model = linear()
    with torch.no_grad():
        model[1].weight[0, 5] = math.nan
    with pytest.raises(ConvlabError, match="NaN o infinitos"):
        deepfool(model, X)
