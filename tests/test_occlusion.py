"""`convlab.occlusion`: valores exactos, oclusión incremental contra la red entera, curvas, RISE, y ningún rastro."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import timm
import torch
import torchvision
from captum.attr import Occlusion
from conftest import left_as_found, make_network, randomize
from torch import nn
from torch.nn import functional as F

from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.metrics import pointing_game
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.occlusion import (
    _responses,
    deletion_curve,
    faithfulness_auc,
    incremental,
    insertion_curve,
    mask_overlap,
    occlude,
    occlusion_map,
    rise,
)

X = torch.rand(2, 3, 10, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([3, 1])


def linear(bias=True):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 10 * 7, 4, bias=bias)).double()


def curved(seed=0):
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(5 * 8 * 5, 4),
    )
    return randomize(net, seed).double()


def slow_map(model, x, target, patch, stride, fill, probability=False):
    """La definición, cuadrado a cuadrado y píxel a píxel."""
    n, _, height, width = x.shape
    total, count = torch.zeros(n, height, width, dtype=torch.float64), torch.zeros(height, width)

    def answer(images):
        logits = model(images)
        return (logits.softmax(1) if probability else logits)[torch.arange(n), target]

    def starts(side):
        found, k = [], 0
        while k + patch <= side:
            found.append(k)
            k += stride
        return found if found[-1] + patch == side else [*found, side - patch]

    with torch.no_grad():
        clean = answer(x)
        for top in starts(height):
            for left in starts(width):
                changed = x.clone()
                changed[:, :, top : top + patch, left : left + patch] = fill[
                    :, :, top : top + patch, left : left + patch
                ]
                drop = clean - answer(changed)
                total[:, top : top + patch, left : left + patch] += drop[:, None, None].double()
                count[top : top + patch, left : left + patch] += 1
    assert (count > 0).all()
    return total / count


# --- tapar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.25, torch.rand(2, 3, 10, 7), torch.rand(1, 3, 1, 1), "mean", "blur"])
def test_occlude_changes_the_square_and_nothing_else(value):
    found = occlude(X, 2, 3, 4, value)
    inside = torch.zeros(10, 7, dtype=torch.bool)
    inside[2:6, 3:7] = True
    assert torch.equal(found[:, :, ~inside], X[:, :, ~inside])
    if value == "mean":
        expected = X.mean((2, 3), keepdim=True).expand_as(X)
    elif value == "blur":
        # Desviación 0.7 (un décimo de 7) y núcleo de 2·(7 // 4) + 1 = 3, con el borde reflejado: en float64, a mano.
        bell = torch.exp(-(torch.tensor([-1.0, 0, 1]).double() ** 2) / (2 * 0.7**2))
        kernel = torch.outer(bell, bell) / bell.sum() ** 2
        padded = F.pad(X, (1, 1, 1, 1), mode="reflect")
        expected = F.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3)
    else:
        expected = torch.as_tensor(value).double().expand(X.shape)
    torch.testing.assert_close(found[:, :, inside], expected[:, :, inside], rtol=1e-6, atol=1e-6)


def test_occlude_reaches_the_four_corners_and_blurs_by_the_smaller_side():
    for top, left in ((0, 0), (7, 0), (0, 4), (7, 4)):
        found = occlude(X, top, left, 3, X + 1)
        assert torch.equal((found != X).nonzero().amax(0)[2:], torch.tensor([top + 2, left + 2]))
    torch.testing.assert_close(occlude(X.transpose(2, 3), 3, 2, 4, "blur"), occlude(X, 2, 3, 4, "blur").transpose(2, 3))


@pytest.mark.parametrize("value", ["mean", torch.zeros(2, 3, 10, 7)])
def test_occlude_returns_a_new_tensor(value):
    before = X.clone()
    occlude(X, 0, 0, 3, value).fill_(5)
    assert torch.equal(X, before)


@pytest.mark.parametrize(("top", "left", "patch"), [(-1, 0, 3), (8, 0, 3), (0, 5, 3), (0, 0, 8), (0, 0, 0)])
def test_a_square_outside_the_image_is_refused(top, left, patch):
    with pytest.raises(ConvlabError):
        occlude(X, top, left, patch)


# --- el mapa ---------------------------------------------------------------------------------------------------------


def test_on_a_linear_model_the_map_is_the_contribution_of_each_pixel():
    model = linear()
    contribution = (model[1].weight[TARGET].view_as(X) * (X - 0.5)).sum(1)
    torch.testing.assert_close(occlusion_map(model, X, TARGET, 1, 1, 0.5), contribution.detach())


@pytest.mark.parametrize(("patch", "stride"), [(3, 2), (4, 4), (2, 1), (7, 3)])
@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize("shortcut", [True, False])
def test_agrees_with_the_definition(patch, stride, output, shortcut, shortcuts):
    model, fill = curved(), torch.rand_like(X)
    expected = slow_map(model, X, TARGET, patch, stride, fill, output == "probability")
    found = occlusion_map(model, X, TARGET, patch, stride, fill, output=output, incremental=shortcut)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert bool(shortcuts) != shortcut


@pytest.mark.parametrize("batch_size", [1, 3, 50, "auto"])
@pytest.mark.parametrize("shortcut", [True, False])
def test_batch_size_changes_nothing(batch_size, shortcut):
    model = curved()
    expected = slow_map(model, X, TARGET, 3, 2, torch.zeros_like(X))
    found = occlusion_map(model, X, TARGET, 3, 2, batch_size=batch_size, incremental=shortcut)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_agrees_with_captum_where_squares_do_not_overlap(mini):
    # Captum promedia igual, pero su rejilla no pega el último cuadrado al borde: con 8 sobre 96×64 no hace falta.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Occlusion(mini.model).attribute(mini.x, (3, 8, 8), (3, 8, 8), 0, TARGET)[:, 0]
    found = occlusion_map(mini.model, mini.x, TARGET, 8, 8)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


# --- incremental -----------------------------------------------------------------------------------------------------


class Everything(nn.Module):
    """Lo que el cálculo incremental sabe seguir, con lados y pasos distintos en cada eje."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (5, 3), stride=(2, 1), padding=(2, 0), padding_mode="zeros")
        self.bn = nn.BatchNorm2d(8)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.average = nn.AvgPool2d(2, stride=1, padding=1)
        self.uneven = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False, ceil_mode=True)
        self.same = nn.Conv2d(16, 8, 2, padding="same")
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        x = (1 - x * 2) / torch.tensor([0.5, 0.7, 0.9]).view(1, 3, 1, 1)
        x = F.hardtanh(self.bn(self.stem(x)), -2, 2)
        y = F.relu_(self.dilated(x))
        y += x
        y.mul_(0.5)
        z = self.average(F.pad(self.pool(y), (1, 0, 2, 1), value=0.3))
        z = torch.cat([z, torch.sigmoid(z) * z], 1)
        z = F.silu(self.same(z)) + 0.1
        gate = z.mean((2, 3), keepdim=True).sigmoid()
        return self.head(self.up(self.uneven(z) * gate).flatten(2).amax(2))


NETS = {
    "everything": Everything,
    "alexnet": torchvision.models.alexnet,
    "googlenet": lambda: torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False),
    "mobilenet_v3": torchvision.models.mobilenet_v3_small,
    "convnext": lambda: timm.create_model("convnext_atto", pretrained=False),
}


@pytest.fixture
def shortcuts(monkeypatch):
    """Cuenta las veces que se recalcula la red entera con los cuadrados: si el atajo vale, ninguna."""
    calls = []
    original = _responses.Responses.whole
    monkeypatch.setattr(_responses.Responses, "whole", lambda self, *a: calls.append(1) or original(self, *a))
    return calls


def agrees(model, x, target, patch, stride, value):
    found = occlusion_map(model, x, target, patch, stride, value)
    expected = occlusion_map(model, x, target, patch, stride, value, incremental=False)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert expected.abs().max() > 0


@pytest.mark.parametrize("value", [0.0, "blur"])
def test_incremental_equals_the_whole_network(network, shortcuts, value):
    x = network.x[:1]
    agrees(network.model, x, 3, 16, 16, value)
    assert len(shortcuts) == 1  # el de la comparación


@pytest.mark.parametrize("name", NETS)
def test_incremental_equals_the_whole_network_elsewhere(name, shortcuts):
    model = randomize(NETS[name]()) if name != "convnext" else NETS[name]().eval()
    x = torch.rand(2, 3, 97, 83, generator=torch.Generator().manual_seed(2))
    agrees(model, x, torch.tensor([1, 2]), 19, 16, 0.3)
    assert len(shortcuts) == 1


def test_incremental_works_only_where_it_must():
    """Con una convolución 3×3, un cuadrado de 4 en una imagen grande cambia 6×6 salidas: eso se calcula, y nada más."""
    seen = []

    class Spy(nn.Conv2d):
        def forward(self, x):
            y = super().forward(x)
            seen.append(tuple(y.patch.shape) if isinstance(y, incremental._Regions) else tuple(y.shape))
            return y

    model = nn.Sequential(Spy(3, 4, 3, padding=1), Spy(4, 4, 3, stride=2, padding=1)).eval()
    with torch.no_grad():
        output, size = incremental.forward_windows(
            model, torch.rand(1, 3, 64, 64), torch.zeros(1, 3, 64, 64), [20, 0], [30, 60], (4, 4)
        )
    assert seen == [(2, 4, 6, 6), (2, 4, 4, 4)]
    assert output.shape == (2, 4, 32, 32)
    assert size == 4 * 32 * 32  # al final, los mapas completos


def edited(x):
    x += 1
    return F.hardswish(x.mul_(0.5), inplace=True)


FOLLOWED = {
    "convolution": nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 0), groups=2),
    "sparse": nn.Conv2d(4, 2, 2, stride=5),
    "max pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "dilated max pool": lambda x: F.max_pool2d(x, 2, 1, 1, dilation=3),
    "average pool": lambda x: F.avg_pool2d(x, (2, 3)),
    "average pool with padding": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "average pool without padding": lambda x: F.avg_pool2d(x, 3, 2, count_include_pad=False),
    "batch norm": randomize(nn.BatchNorm2d(4)),
    "prelu": nn.PReLU(4),
    "in-place": edited,
    "copies": lambda x: F.dropout(x.clone().detach().double(), 0.5, training=False),
    "pad": lambda x: F.pad(x, (1, 2, 3, 0), value=0.3),
    "concatenation": lambda x: torch.cat([x, x.sigmoid()], -3),
    "sum": lambda x: torch.add(x, F.max_pool2d(x, 3, 1, 1), alpha=3),
    "sum of far apart": lambda x: F.pad(F.max_pool2d(x, 5, 1, 2), (10, 0, 0, 0)) + F.pad(x, (0, 10, 0, 0)),
    "number": lambda x: 1 - torch.tensor(2.0) * x,
    "value per channel": lambda x: x * torch.arange(4.0).view(4, 1, 1) + torch.ones(1, 4, 1, 1),
}
COMPLETED = {
    "flatten": nn.Flatten(),
    "crop": lambda x: F.pad(x, (-1, 0, 0, 0)),
    "pad of channels": lambda x: F.pad(x, (0, 0, 0, 0, 0, 1)),
    "concatenation of rows": lambda x: torch.cat([x, x.sigmoid()], 2),
    "concatenation of images": lambda x: torch.cat([x, x.sigmoid()]),
    "concatenation with a tensor": lambda x: torch.cat([x, torch.ones(3, 1, 40, 36)], 1),
    "transposed": nn.ConvTranspose2d(4, 3, 2, stride=2),
    "ceil mode": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "uneven average": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "value per position": lambda x: x + torch.arange(36.0),
    "value per image": lambda x: x * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1),
    "two shapes": lambda x: x * F.max_pool2d(x, (40, 36)),
    "kernel": lambda x: F.conv2d(torch.ones(1, 4, 50, 50), x),
    "image and kernel": lambda x: F.conv2d(x, x),
    "written in place": lambda x: F.max_pool2d(x.add_(torch.arange(36.0)), 3, 1, 1),
    "written elsewhere": lambda x: torch.sigmoid(x, out=torch.empty(3, 4, 40, 36)),
    "mean": lambda x: x.mean((2, 3)),
}


@pytest.mark.parametrize("name", [*FOLLOWED, *COMPLETED])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 1)])
def test_what_is_followed_by_pieces_and_what_is_completed(name, height, width):
    operation = {**FOLLOWED, **COMPLETED}[name]
    followed = []

    class Probe(nn.Module):
        def forward(self, x):
            y = operation(x)
            followed.append(isinstance(y, incremental._Regions) and y.patch.shape[3] < y.base.shape[3])
            return y

    x, fill = torch.rand(2, 1, 4, 40, 36, generator=torch.Generator().manual_seed(4))
    occluded, rows, columns = x.repeat(3, 1, 1, 1), [3, 20, 35], [15, 3, 30]
    for k, (top, left) in enumerate(zip(rows, columns, strict=True)):
        window = slice(None), slice(top, top + height), slice(left, left + width)
        occluded[k][window] = fill[0][window]
    with torch.no_grad():
        found, _ = incremental.forward_windows(Probe(), x, fill, rows, columns, (height, width))
        torch.testing.assert_close(found, operation(occluded))
    assert followed == [name in FOLLOWED]


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.unsqueeze_(0),  # cambia la forma de las regiones
        lambda x: torch.sort(
            x, 1, out=(x.clone(), torch.empty(x.shape, dtype=torch.int64))
        ),  # escribe en más de un sitio
    ],
)
def test_writing_that_cannot_be_followed_is_refused(operation):
    class Model(nn.Module):
        def forward(self, x):
            return operation(x)

    x = torch.rand(1, 3, 8, 6)
    with torch.no_grad(), pytest.raises(incremental.Unsupported):
        incremental.forward_windows(Model(), x, 2 * x, [0, 3], [1, 2], (3, 3))


def test_a_window_over_the_whole_image_is_an_ordinary_batch():
    x, seen = torch.rand(1, 3, 8, 6), []
    with torch.no_grad():
        model = nn.Identity()
        model.register_forward_pre_hook(lambda _m, inputs: seen.append(type(inputs[0])))
        found, _ = incremental.forward_windows(model, x, 2 * x, [0, 0], [0, 0], (8, 6))
    assert torch.equal(found, (2 * x).repeat(2, 1, 1, 1))
    assert seen == [torch.Tensor]


def test_what_a_window_reaches_equals_a_search():
    for kernel, stride, padding, dilation in itertools.product((1, 2, 3), (1, 2, 4), (0, 1), (1, 2)):
        axis, span = incremental.Axis(kernel, stride, padding, dilation), (kernel - 1) * dilation
        outputs = (13 + 2 * padding - span - 1) // stride + 1
        for start, size in itertools.product(range(11), (1, 3)):
            sees = [k for k in range(outputs) if start - span <= k * stride - padding < start + size]
            (first,), count = axis.reach(np.array([start]), size, outputs)
            assert 0 <= first <= outputs - count
            assert count == max(1, len(sees))
            assert not sees or first == sees[0]


class Sneaky(nn.Module):
    """Escribe en una vista: por trozos, ese cambio se perdería."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        y = self.conv(x)
        y[:, :2].mul_(-3)
        y[:, 2:, ::2] = 0
        return self.fc(y.mean((2, 3)))


def test_what_cannot_be_followed_is_recomputed(shortcuts):
    model = randomize(Sneaky())
    x = torch.rand(2, 3, 24, 20)
    found = occlusion_map(model, x, TARGET, 8, 4)
    assert len(shortcuts) == 1
    expected = slow_map(model, x, TARGET, 8, 4, torch.zeros_like(x))
    torch.testing.assert_close(occlusion_map(model, x[:1], 3, 8, 4), expected[:1].float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("weight", "bias", "error", "good"),
    [
        (1, 0, 2e-3, True),  # la respuesta pasa de 12 a 9: se admite una milésima de la caída
        (1, 0, 4e-3, False),
        (0, 1e6, 1, True),  # tapar no cambia nada: se admite el redondeo
        (0, 1e6, 100, False),
        (0, 1e6, float("nan"), False),
    ],
)
def test_how_much_the_checked_square_may_differ(weight, bias, error, good):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    model[1].weight.data.fill_(weight)
    model[1].bias.data.fill_(bias)
    x = torch.ones(1, 3, 2, 2)
    run = _responses.Responses(model, x, 0, "logit", None)
    values = torch.tensor([9.0 * weight + bias + error])
    arguments = 0, torch.zeros_like(x), np.array([[0, 1]]), 1, values
    if good:
        run._verify(*arguments)
    else:
        with pytest.raises(incremental.Unsupported):
            run._verify(*arguments)


def test_the_checked_square_is_the_one_that_changes_most():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 1, bias=False))
    model[1].weight.data = torch.ones(1, 3, 2, 2)
    model[1].weight.data[:, :, 0, 0] = 0  # tapar ese píxel no cambia nada
    model[1].weight.data = model[1].weight.data.flatten(1)
    x = torch.ones(1, 3, 2, 2)
    run = _responses.Responses(model, x, 0, "logit", None)
    corners = np.array([[0, 0], [0, 1]])
    run._verify(0, torch.zeros_like(x), corners, 1, torch.tensor([9.0, 6.0]))
    with pytest.raises(incremental.Unsupported):
        run._verify(0, torch.zeros_like(x), corners, 1, torch.tensor([9.0, 7.0]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(dtype):
    model = load_model("mini").to(dtype)
    x = formas(2, seed=3).tensor().to(dtype)
    found = occlusion_map(model, x, TARGET, 16, 8)
    assert found.dtype == dtype
    expected = occlusion_map(load_model("mini"), x.float(), TARGET, 16, 8)
    assert (found.float() - expected).abs().max() <= (0.05 if dtype == torch.bfloat16 else 1e-4) * expected.abs().max()
    assert rise(model, x, TARGET, n=2).dtype == dtype
    assert deletion_curve(model, x, TARGET, found, 2).dtype == dtype


def test_memory_is_bounded(monkeypatch):
    """Con poco presupuesto se hacen más pasadas, nunca más grandes."""
    sizes = []
    model = load_model("mini")
    x = formas(2, seed=3).tensor()
    original = _responses.forward_windows

    def spy(model, x, fill, top, left, patch):
        assert len(x) == len(fill) == 1
        output, size = original(model, x, fill, top, left, patch)
        sizes.append((len(top), size))
        return output, size

    monkeypatch.setattr(_responses, "forward_windows", spy)
    monkeypatch.setattr(_responses, "_MEMORY", (2**28, 2**28))
    expected = occlusion_map(model, x, 3, 8, 4)
    assert [n for n, _ in sizes] == [8, 15**2 - 8, 15**2], "tras la primera tanda, todo lo que cabe"
    sizes.clear()
    monkeypatch.setattr(_responses, "_MEMORY", (1, 1))
    occlusion_map(model, x[..., :16, :16], 3, 8, 4)
    assert [n for n, _ in sizes] == [8, 1, *[1] * 9], "al menos un cuadrado por tanda"
    sizes.clear()
    monkeypatch.setattr(_responses, "_MEMORY", (2**20, 2**20))
    torch.testing.assert_close(occlusion_map(model, x, 3, 8, 4), expected, rtol=1e-4, atol=1e-4)
    assert sum(n for n, _ in sizes) == 2 * 15**2
    assert len(sizes) > 10
    # Lo que pide un cuadrado varía un poco con dónde cae en las rejillas de paso 2.
    assert all(16 * n * size <= 1.5 * 2**20 for n, size in sizes[1:])
    sizes.clear()
    monkeypatch.setattr(_responses, "_MEMORY", (1, 2**28))
    occlusion_map(model, x[:1], 3, 8, 4)
    assert {n for n, _ in sizes[1:-1]} == {24}, "lo que basta para ir deprisa, si cabe en lo segundo"


# --- la verdad -------------------------------------------------------------------------------------------------------


def test_on_formas_the_object_is_what_matters():
    scenes = formas(20, seed=11)
    model, x = load_model("mini"), scenes.tensor()
    mask = torch.from_numpy(scenes.mask)
    found = occlusion_map(model, x, torch.from_numpy(scenes.shape), 12, 4, "mean")
    assert pointing_game(found, mask).float().mean() > 0.7
    # Tapar con la misma escena sin el objeto no cambia nada donde no hay objeto.
    empty = formas(20, seed=11, variant="empty").tensor()
    exact = occlusion_map(model, x, torch.from_numpy(scenes.shape), 4, 4, empty)
    untouched = F.max_pool2d((x != empty).any(1).float(), 4, 4) == 0
    assert untouched.any()
    assert exact[:, ::4, ::4][untouched].abs().max() < 1e-3 * exact.abs().max()


# --- RISE ------------------------------------------------------------------------------------------------------------


def test_rise_recovers_the_weights_of_a_linear_model():
    """Con respuesta lineal, la esperanza del mapa es una constante más la respuesta suavizada por la máscara."""
    weight = torch.zeros(4, 3, 24, 24)
    weight[1, :, 4:10, 12:18] = 1
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 4, bias=False))
    model[1].weight.data = weight.flatten(1)
    x = torch.ones(1, 3, 24, 24)
    found = rise(model, x, 1, n=4000, cells=4, generator=torch.Generator().manual_seed(0), output="logit")
    inside = found[0, 5:9, 13:17].mean()
    outside = found[0, 14:, :8].mean()
    assert found[0].argmax() in [r * 24 + c for r in range(4, 10) for c in range(12, 18)]
    # Lejos, la máscara no dice nada: la respuesta esperada es la mitad de 108.
    assert abs(outside - 54) < 3
    assert inside > 70


def test_rise_agrees_with_its_definition():
    model, fill = curved(), torch.rand_like(X)
    from convlab.occlusion.rise import _random_masks

    masks = _random_masks(6, 3, 0.4, X, torch.Generator().manual_seed(5)).double()
    with torch.no_grad():
        total = torch.zeros(2, 10, 7, dtype=torch.float64)
        for mask in masks:
            logits = model(X * mask + fill * (1 - mask))
            total += logits.gather(1, TARGET[:, None])[:, :, None] * mask / (6 * 0.4)
    for batch_size in (2, 4, 100):
        generator = torch.Generator().manual_seed(5)
        if batch_size == 100:
            found = rise(model, X, TARGET, 6, 3, 0.4, generator, value=fill, output="logit", batch_size=batch_size)
            torch.testing.assert_close(found, total, rtol=1e-9, atol=1e-12)
        else:  # en tandas, el azar se pide en otro orden
            found = rise(model, X, TARGET, 6, 3, 0.4, generator, value=fill, output="logit", batch_size=batch_size)
            assert found.shape == total.shape


def test_masks_are_a_grid_enlarged_and_shifted():
    """Píxel a píxel: 10×7 con 3 celdas por lado son celdas de 4×3, una más por el lado lejano y un desplazamiento."""
    from convlab.occlusion.rise import _random_masks

    masks = _random_masks(5, 3, 0.4, X, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    grid = (torch.rand(5, 1, 4, 4, generator=generator) < 0.4)[:, 0].double()
    shifts = [torch.randint(0, cell, (5, 1), generator=generator) for cell in (4, 3)]
    for m, (down, right) in enumerate(torch.cat(shifts, 1).tolist()):
        for i, j in itertools.product(range(10), range(7)):
            y, x = ((k + 0.5) / cell - 0.5 for k, cell in ((i + down, 4), (j + right, 3)))
            # Entre los centros de las cuatro celdas más cercanas; fuera del último centro, la celda del borde.
            rows, columns = (np.clip([np.floor(v), np.floor(v) + 1], 0, 3).astype(int) for v in (y, x))
            corner = grid[m][np.ix_(rows, columns)]
            expected = torch.tensor([1 - y % 1, y % 1]).double() @ corner @ torch.tensor([1 - x % 1, x % 1]).double()
            assert masks[m, i, j].item() == pytest.approx(expected.item(), abs=1e-5)


def test_masks_are_what_the_paper_says():
    from convlab.occlusion.rise import _random_masks

    masks = _random_masks(400, 7, 0.3, torch.empty(1, 3, 50, 33), torch.Generator().manual_seed(1))
    assert masks.shape == (400, 50, 33)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert abs(masks.mean() - 0.3) < 0.01
    assert (masks.mean(0) - 0.3).abs().max() < 0.12  # la misma probabilidad en todas partes, también en el borde


@pytest.mark.parametrize("keep", [0, 1, -0.5, float("nan")])
def test_rise_refuses_impossible_masks(keep):
    with pytest.raises(ConvlabError, match="keep"):
        rise(linear(), X, 1, keep=keep)


# --- curvas ----------------------------------------------------------------------------------------------------------


def test_deletion_on_a_linear_model_is_a_cumulative_sum():
    model = linear()
    weight = model[1].weight[TARGET].view_as(X).detach()
    contribution = (weight * X).sum(1)
    with torch.no_grad():
        clean = model(X).gather(1, TARGET[:, None])
    curve = deletion_curve(model, X, TARGET, contribution, steps=70, per_image=True, output="logit")
    ordered = contribution.flatten(1).sort(descending=True).values.cumsum(1)
    torch.testing.assert_close(curve, torch.cat([clean, clean - ordered], 1))
    backwards = insertion_curve(model, X, TARGET, -contribution, steps=70, value=0, per_image=True, output="logit")
    torch.testing.assert_close(backwards, curve.flip(1))


@pytest.mark.parametrize("batch_size", [1, 5, "auto"])
def test_curves_start_and_end_where_they_must(batch_size):
    model, saliency = curved(), torch.rand(2, 10, 7)
    with torch.no_grad():
        clean, blank = (model(v).softmax(1)[[0, 1], TARGET] for v in (X, torch.full_like(X, 0.2)))
    deletion = deletion_curve(model, X, TARGET, saliency, 6, 0.2, batch_size=batch_size)
    insertion = insertion_curve(model, X, TARGET, saliency, 6, 0.2, batch_size=batch_size)
    assert deletion.shape == insertion.shape == (7,)
    torch.testing.assert_close(deletion[[0, -1]], torch.stack([clean.mean(), blank.mean()]))
    torch.testing.assert_close(insertion[[0, -1]], torch.stack([blank.mean(), clean.mean()]))


def test_defaults():
    model, heat = curved(), torch.rand(2, 10, 7)
    explicit = {"value": 0.0, "output": "probability", "per_image": False}
    assert torch.equal(deletion_curve(model, X, TARGET, heat), deletion_curve(model, X, TARGET, heat, 20, **explicit))
    explicit["value"] = "blur"
    assert torch.equal(insertion_curve(model, X, TARGET, heat), insertion_curve(model, X, TARGET, heat, 20, **explicit))
    maps = [
        rise(model, X, TARGET, *options, generator=torch.Generator().manual_seed(0), **more)
        for options, more in (((), {}), ((1000, 7, 0.5), {"value": 0.0, "output": "probability"}))
    ]
    assert torch.equal(*maps)
    assert torch.equal(occlude(X, 1, 2, 3), occlude(X, 1, 2, 3, 0.0))
    assert torch.equal(
        occlusion_map(model, X, TARGET, 3, 2), occlusion_map(model, X, TARGET, 3, 2, 0.0, output="logit")
    )


def test_at_least_one_version_per_pass():
    model, passes = curved(), []
    model.register_forward_hook(lambda _m, inputs, _o: passes.append(len(inputs[0])))
    deletion_curve(model, X, TARGET, torch.rand(2, 10, 7), 3, batch_size=1)
    assert passes == [2] * 4


def test_ties_are_removed_by_rows():
    counts = nn.Sequential(nn.Flatten(), nn.Linear(12, 1, bias=False))
    counts[1].weight.data = 2.0 ** torch.arange(12)[None]
    x = torch.ones(1, 1, 3, 4)
    curve = deletion_curve(counts, x, 0, torch.zeros(1, 3, 4), steps=4, output="logit")
    assert curve.tolist() == [4095, 4095 - 7, 4095 - 63, 4095 - 511, 0]
    # En un mapa mayor, donde una ordenación cualquiera sí cambiaría el orden: se quita la mitad de arriba.
    model = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 1, bias=False))
    model[1].weight.data = torch.arange(64 * 64.0)[None] // 2048
    curve = deletion_curve(model, torch.ones(1, 1, 64, 64), 0, torch.zeros(1, 64, 64), steps=2, output="logit")
    assert curve.tolist() == [2048, 2048, 0]


def test_area():
    curves = torch.rand(3, 11, dtype=torch.float64)
    expected = [np.trapezoid(c, np.linspace(0, 1, 11)) for c in curves.numpy()]
    torch.testing.assert_close(faithfulness_auc(curves), torch.tensor(expected))
    torch.testing.assert_close(faithfulness_auc(curves[0]), torch.tensor(expected[0]))
    torch.testing.assert_close(faithfulness_auc(curves.view(3, 1, 11)), torch.tensor(expected)[:, None])
    assert faithfulness_auc(torch.tensor([1.0, 0.0])) == 0.5
    for bad in (torch.tensor(1.0), torch.rand(4, 1)):
        with pytest.raises(ConvlabError):
            faithfulness_auc(bad)


def test_a_faithful_map_beats_chance():
    scenes = formas(20, seed=12)
    model, x, target = load_model("mini"), scenes.tensor(), torch.from_numpy(scenes.shape)
    found = occlusion_map(model, x, target, 8, 4, "mean")
    noise = torch.rand(found.shape, generator=torch.Generator().manual_seed(0))
    area = {
        name: faithfulness_auc(deletion_curve(model, x, target, m, 16, "blur"))
        for name, m in (("map", found), ("noise", noise), ("reversed", -found))
    }
    assert area["map"] < area["noise"] - 0.05
    assert area["map"] < area["reversed"] - 0.05


# --- errores y rastros -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: occlusion_map(m, X, TARGET, 11, 1), "no cabe"),
        (lambda m: occlude(X, 0, 0, 8), "no cabe"),
        (lambda m: occlude(X.transpose(2, 3), 0, 0, 8), "no cabe"),
        (lambda m: occlusion_map(m, X, TARGET, 3, 4), "sin tapar"),
        (lambda m: occlusion_map(m, X, TARGET, 3, 0), "stride"),
        (lambda m: occlusion_map(m, X, TARGET, 3, 2, "media"), "mean"),
        (lambda m: occlusion_map(m, X, TARGET, 3, 2, torch.zeros(5)), "extender"),
        (lambda m: occlusion_map(m, X, TARGET, 3, 2, batch_size=0), "batch_size"),
        (lambda m: occlusion_map(m, X, TARGET, 3, 2, output="logits"), "logit"),
        (lambda m: occlusion_map(m, X, 9, 3, 2), "clase 9"),
        (lambda m: occlusion_map(m, X[0], 1, 3, 2), "x\\[None\\]"),
        (lambda m: rise(m, X, TARGET, cells=0), "cells"),
        (lambda m: deletion_curve(m, X, TARGET, torch.rand(2, 7, 10)), "mapas"),
        (lambda m: deletion_curve(m, X, TARGET, torch.full((2, 10, 7), torch.nan)), "NaN"),
        (lambda m: deletion_curve(m, X, TARGET, torch.rand(2, 10, 7), 0), "steps"),
        (lambda m: mask_overlap(torch.rand(1, 4, 4), torch.ones(1, 4, 4) > 0, 1.5), "cuantil"),
    ],
)
def test_bad_arguments_are_explained(call, words):
    model = curved()
    with left_as_found(model, X), pytest.raises(ConvlabError, match=words):
        call(model)


def test_an_exception_inside_the_model_reaches_the_caller():
    model = curved()
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("dentro")

    handle = model[2].register_forward_hook(fail)
    model.train()
    with left_as_found(model, X), pytest.raises(RuntimeError, match="dentro"):
        occlusion_map(model, X, TARGET, 3, 2)
    handle.remove()


def test_mask_overlap():
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, :2] = mask[1, 0] = True
    saliency = torch.arange(16.0).flip(0).view(1, 4, 4).expand(2, 4, 4)
    assert mask_overlap(saliency, mask, 0.7).tolist() == pytest.approx([1, 0.8])  # los 5 mayores
    assert mask_overlap(torch.ones(2, 4, 4), mask, 0.9).tolist() == [0.5, 0.25]
    assert mask_overlap(saliency, mask, 0).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("surroundings", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_leaves_no_trace(surroundings, mini):
    model = load_model("mini").train()
    with surroundings():
        x = mini.x.clone().transpose(2, 3).contiguous().transpose(2, 3)
        with left_as_found(model, x), torch.random.fork_rng():
            torch.manual_seed(3)
            before = torch.random.get_rng_state()
            found = occlusion_map(model, x, 3, 16, 16)
            deletion_curve(model, x, 3, found, 3)
            rise(model, x, 3, n=4, generator=torch.Generator().manual_seed(0))
            assert torch.equal(torch.random.get_rng_state(), before)
    assert not found.requires_grad


def test_works_with_a_selector(shortcuts):
    class Wrapped(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return {"logits": self.net(x), "extra": x.sum()}

    def select(output):
        return output["logits"]

    x, model = torch.rand(1, 3, 64, 64), randomize(Mini())
    found = occlusion_map(Wrapped(model), x, 3, 16, 16, select=select)
    assert not shortcuts, "el selector también vale por trozos"
    torch.testing.assert_close(found, occlusion_map(model, x, 3, 16, 16))
    for curve in (deletion_curve, insertion_curve):
        found = curve(Wrapped(curved()), X, TARGET, X[:, 0], 4, select=select)
        torch.testing.assert_close(found, curve(curved(), X, TARGET, X[:, 0], 4))
    maps = [
        rise(model, X, TARGET, 4, generator=torch.Generator().manual_seed(0), **options)
        for model, options in ((Wrapped(curved()), {"select": select}), (curved(), {}))
    ]
    torch.testing.assert_close(*maps)


def test_networks_with_inference_weights():
    with torch.inference_mode():
        model = make_network("mini").model
        import copy

        model = copy.deepcopy(model)
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        occlusion_map(model, x, 3, 16, 16), occlusion_map(make_network("mini").model, x, 3, 16, 16)
    )
