"""`convlab.gradcam`: identidades exactas, acuerdo con Captum y con una versión lenta, y ningún rastro."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from captum.attr import GuidedGradCam, LayerAttribution, LayerGradCam
from conftest import left_as_found, randomize
from matplotlib import colormaps
from torch import nn
from torch.nn import functional as F

from convlab import metrics
from convlab.errors import ConvlabError
from convlab.gradcam import (
    cam,
    channel_weights,
    grad_cam,
    grad_cam_plus_plus,
    guided_grad_cam,
    iou_at_threshold,
    overlay,
)
from convlab.hooks import activation_and_gradient, capture, get_layer
from convlab.plots import colorize
from convlab.targets import target_score

METHODS = [grad_cam, grad_cam_plus_plus, guided_grad_cam]
X = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))


def head_net(kernel=3, head=None, seed=0):
    """Red `features` (ReLU in-place) + `head`, por omisión aplanar y dos capas: no equivale a una media espacial."""
    features = nn.Sequential(
        nn.Conv2d(3, 4, kernel, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 2), nn.ReLU(inplace=True)
    )
    head = head or nn.Sequential(nn.Flatten(), nn.Linear(6 * 3 * 2, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5))
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module("head", head)
    return randomize(net, seed)


def slow_grad_cam(net, x, target, layer):
    """Grad-CAM imagen a imagen, canal a canal, derivando numéricamente el logit respecto de la media del canal."""
    index = int(layer.rsplit(".", 1)[1])
    trunk = net.features[: index + 1]
    rest = nn.Sequential(*net.features[index + 1 :], net.head)
    maps = []
    for i in range(len(x)):
        a = trunk(x[i : i + 1]).detach().clone()
        heat = torch.zeros_like(a[0, 0])
        for c in range(a.shape[1]):
            step = torch.zeros_like(a)
            step[0, c] = 1e-6
            up, down = (rest((a + s * step).clone())[0, target[i]].item() for s in (1, -1))
            heat += (up - down) / 2e-6 / a[0, c].numel() * a[0, c]
        maps.append(F.interpolate(heat.clamp(min=0)[None, None], size=x.shape[2:], mode="bilinear")[0, 0])
    return torch.stack(maps)


@torch.no_grad()
def second_class(net):
    """La segunda clase de cada imagen: su mapa tiene zonas positivas y no es la que se elegiría por error."""
    return net.model(net.x).topk(2).indices[:, 1]


def fc_of(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear)][-1]


# --- acuerdo con otras implementaciones ------------------------------------------------------------------------------


def test_equals_captum(network):
    x, target = network.x, second_class(network)
    attribution = LayerGradCam(network.model, get_layer(network.model, network.layer)).attribute(
        x, target, relu_attributions=True
    )
    expected = LayerAttribution.interpolate(attribution, tuple(x.shape[2:]), "bilinear")[:, 0].detach()
    with left_as_found(network.model, x, target):
        got = grad_cam(network.model, x, target, network.layer)
    assert got.shape == (2, 96, 64)
    assert (expected.amax((1, 2)) > 0).all(), "un mapa nulo no compararía nada"
    assert (got - expected).abs().max() <= 1e-5 * expected.max()


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features.3", "features.4"])
def test_equals_the_slow_version_before_and_after_inplace_relus(layer):
    net, x, target = head_net().double(), X.double(), [3, 1]
    expected = slow_grad_cam(net, x, target, layer)
    got = grad_cam(net, x, torch.tensor(target), layer)
    assert expected.max() > 0
    assert torch.allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_guided_grad_cam_equals_captum(vgg16):
    x = vgg16.x[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum avisa de que pone ganchos
        expected = GuidedGradCam(vgg16.model, get_layer(vgg16.model, vgg16.layer)).attribute(
            x, 5, interpolate_mode="bilinear"
        )
    with left_as_found(vgg16.model, x):
        got = guided_grad_cam(vgg16.model, x, 5, vgg16.layer)
    assert got.shape == x.shape
    assert expected.abs().max() > 0
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_grad_cam_plus_plus_equals_its_published_formula():
    """Las derivadas de `exp(S)` se toman con autograd hasta el tercer orden, sin la fórmula cerrada."""
    net, x, target = head_net().double(), X.double(), [3, 1]
    expected = []
    for i in range(2):
        a = net.features(x[i : i + 1]).detach()

        def y(flat, a=a, i=i):
            return net.head(flat.view_as(a))[0, target[i]].exp()

        flat = a.flatten().clone().requires_grad_()
        first, second, third = [], [], []
        for j in range(len(flat)):
            (d1,) = torch.autograd.grad(y(flat), flat, create_graph=True)
            (d2,) = torch.autograd.grad(d1[j], flat, create_graph=True)
            (d3,) = torch.autograd.grad(d2[j], flat)
            for values, value in ((first, d1[j]), (second, d2[j]), (third, d3[j])):
                values.append(value.detach())
        d1, d2, d3 = (torch.stack(v).view_as(a) for v in (first, second, third))
        denominator = 2 * d2 + a.sum((2, 3), keepdim=True) * d3
        alpha = torch.where(d2 == 0, 0, d2 / denominator)
        weights = (alpha * d1.relu()).sum((2, 3), keepdim=True)
        heat = (weights * a).sum(1, keepdim=True).relu() / y(flat).detach()  # sin el factor común exp(S)
        expected.append(F.interpolate(heat, size=x.shape[2:], mode="bilinear")[0, 0])
    expected = torch.stack(expected)
    got = grad_cam_plus_plus(net, x, torch.tensor(target), "features.4")
    assert expected.max() > 0
    assert torch.allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_grad_cam_plus_plus_survives_a_null_denominator():
    net = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(5, 1, bias=False))
    net[2].weight.data.fill_(1.0)
    x = torch.tensor([-2.0, 9.0, 9.0, 9.0, 9.0]).view(1, 5, 1, 1)  # en el canal 0, 2 + 1 · (-2) = 0
    assert grad_cam_plus_plus(net, x, 0, "0").item() == pytest.approx(-2 / 1 + 4 * 9 / (2 + 9))


# --- identidades -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mini", "resnet18"])
def test_cam_identity_on_gap_heads(name, request):
    net = request.getfixturevalue(name)
    model, x = net.model, net.x
    target = torch.stack([second_class(net)[0], model(x)[1].argmin()])  # un mapa con zonas positivas y otro sin ellas
    features = capture(model, x, [net.layer])[net.layer]
    fc = fc_of(model)
    raw = cam(features, fc.weight.detach(), target)
    logits = raw.mean((1, 2)) + fc.bias[target]
    assert torch.allclose(logits, model(x)[[0, 1], target], rtol=1e-5, atol=1e-5)
    heat = raw.relu() / raw[0].numel()
    expected = F.interpolate(heat[:, None], size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    got = grad_cam(model, x, target, net.layer)
    assert (raw < 0).any()
    assert expected.max() > 0
    assert (got - expected).abs().max() <= 1e-6 * expected.max()


def test_cam_by_hand():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]], [[[1.0, 0.0]], [[0.0, 1.0]]]])
    weight = torch.tensor([[1.0, -1.0], [2.0, 0.5], [0.0, 0.0]])
    assert torch.equal(cam(features, weight, torch.tensor([0, 1])), torch.tensor([[[-2.0, -3.0]], [[2.0, 0.5]]]))
    assert torch.equal(cam(features, weight, 2), torch.zeros(2, 1, 2))


@pytest.mark.parametrize(
    ("features", "weight"),
    [
        ((2, 4, 3), (5, 4)),
        ((2, 4, 3, 3), (4,)),
        ((2, 4, 3, 3), (5, 4, 1, 1)),
        ((2, 4, 3, 3), (4, 5)),
    ],
)
def test_cam_errors(features, weight):
    with pytest.raises(ConvlabError) as caught:
        cam(torch.rand(features), torch.rand(weight), 0)
    assert f"llegaron {features} y {weight}." in str(caught.value)


def test_channel_weights_is_the_spatial_mean():
    gradients = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([[sum(c.flatten().tolist()) / 12 for c in image] for image in gradients])
    assert torch.allclose(channel_weights(gradients), expected)
    with pytest.raises(ConvlabError, match=r"\(N, C, h, w\)"):
        channel_weights(gradients[0])


def test_scaling_the_logits_scales_the_map(mini):
    """Con el logit es exacto; con la probabilidad o la pérdida no lo sería."""
    before = grad_cam(mini.model, mini.x, 4, mini.layer)
    fc = mini.model.fc
    with torch.no_grad():
        fc.weight.mul_(4)
        after = grad_cam(mini.model, mini.x, 4, mini.layer)
        fc.weight.div_(4)
    assert before.max() > 0
    assert torch.allclose(after, 4 * before)


@pytest.mark.parametrize("method", METHODS)
def test_batch_equals_one_by_one(method):
    net, target = head_net(), torch.tensor([3, 1])
    together = method(net, X, target, "features.4")
    for i in range(2):
        alone = method(net, X[i : i + 1], int(target[i]), "features.4")
        assert torch.allclose(together[i], alone[0], rtol=1e-4, atol=1e-6)


# --- contrato --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_modes_training_and_frozen(method, mode):
    net = head_net()
    expected = method(net, X, 3, "features.4")
    net.train().requires_grad_(False)
    net.features.eval()
    with left_as_found(net, X), mode():
        got = method(net, X, 3, "features.4")
    assert expected.abs().max() > 0
    assert torch.equal(got, expected)
    assert not got.requires_grad


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float64, 1e-4)])
def test_dtype_of_the_input(method, dtype, tolerance):
    expected = method(head_net(), X, 3, "features.4").double()
    got = method(head_net().to(dtype), X.to(dtype), 3, "features.4")
    assert got.dtype == dtype
    assert (got.double() - expected).norm() <= tolerance * expected.norm()


def test_bfloat16_sums_channels_in_float32(mini):
    model, x = copy.deepcopy(mini.model).bfloat16(), mini.x.bfloat16()
    a, g = activation_and_gradient(model, x, "block4.conv", target_score(4))
    exact = torch.einsum("nc,nchw->nhw", g.double().mean((2, 3)), a.double()).relu()
    expected = F.interpolate(exact[:, None], size=x.shape[2:], mode="bilinear")[:, 0]
    got = grad_cam(model, x, 4, "block4.conv").double()
    assert (got - expected).abs().max() <= 2**-8 * expected.max()  # solo redondea al escribir el resultado


@pytest.mark.parametrize("wrap", [lambda y: (y, None), lambda y: {"logits": y}])
def test_selector_for_other_outputs(wrap):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = head_net()

        def forward(self, x):
            return wrap(self.net(x))

    model = Wrapped().eval()

    def select(output):
        return output["logits"] if isinstance(output, dict) else output[0]

    for method in METHODS:
        expected = method(model.net, X, 3, "features.4")
        assert torch.equal(method(model, X, 3, "net.features.4", select=select), expected)
        with left_as_found(model, X), pytest.raises(ConvlabError, match="select"):
            method(model, X, 3, "net.features.4")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("target", "layer", "message"),
    [
        (5, "features.4", "clase 5 no existe"),
        (torch.tensor([0]), "features.4", r"llegó \(1,\)"),
        (torch.tensor([0.0, 1.0]), "features.4", "float32"),
        (0, "features.5", r"No existe la capa «features\.5»"),
        (0, "head.1", "Grad-CAM necesita mapas"),
    ],
)
def test_errors(method, target, layer, message):
    net = head_net()
    with left_as_found(net, X), pytest.raises(ConvlabError, match=message):
        method(net, X, target, layer)


def test_guided_grad_cam_needs_relus():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 7 * 5, 2)).eval()
    assert grad_cam(net, X, 0, "1").shape == (2, 9, 7)
    with pytest.raises(ConvlabError, match="ninguna ReLU"):
        guided_grad_cam(net, X, 0, "1")


def test_noncontiguous_input():
    x = X.transpose(2, 3).contiguous().transpose(2, 3)
    net = head_net()
    assert torch.allclose(grad_cam(net, x, 3, "features.4"), grad_cam(net, X, 3, "features.4"), atol=1e-6)


# --- overlay ---------------------------------------------------------------------------------------------------------


def test_overlay_by_hand():
    image = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    heat = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(2)) * torch.tensor([9.0, 0.1, 0]).view(3, 1, 1)
    heat[0, 0, 0] = -3
    with left_as_found(nn.Identity(), image, heat):
        got = overlay(image, heat, alpha=0.3)
    inferno = colormaps["inferno"]
    for i, peak in enumerate((heat[0].max(), heat[1].max(), 1.0)):
        color = torch.tensor(inferno((heat[i].clamp(min=0) / peak).numpy()))[..., :3].movedim(-1, 0)
        assert torch.allclose(got[i].double(), 0.7 * image[i].double() + 0.3 * color, atol=1e-6)


def test_overlay_extremes():
    image = torch.rand(1, 3, 4, 5)
    assert torch.equal(overlay(image, torch.rand(1, 4, 5), alpha=0), image)
    assert torch.equal(overlay(image, torch.full((1, 4, 5), -1.0), alpha=1), colorize(torch.zeros(1, 4, 5)))
    huge = torch.full((1, 4, 5), 3e38)
    assert torch.equal(overlay(image.half(), huge, alpha=1), colorize(torch.ones(1, 4, 5)).half())
    assert overlay(image.double(), torch.rand(1, 4, 5)).dtype == torch.float64
    # El negro y el blanco exactos, y lo que se pasa por redondeo, son imágenes.
    edges = torch.tensor([-5e-4, 0, 1, 1 + 5e-4]).expand(1, 3, 2, 4)
    assert torch.equal(overlay(edges, torch.rand(1, 2, 4), alpha=0), edges)


def test_overlay_normalizes_in_float32():
    image, heat = torch.zeros(1, 3, 20, 30), torch.linspace(0, 0.7, 600).view(1, 20, 30).bfloat16()
    assert torch.equal(overlay(image, heat, alpha=1), overlay(image, heat.float(), alpha=1))


@pytest.mark.parametrize(
    ("image", "heat", "alpha", "message"),
    [
        (torch.rand(1, 3, 4, 5), torch.rand(1, 5, 4), 0.5, "mismo tamaño"),
        (torch.rand(3, 4, 5), torch.rand(4, 5), 0.5, "mismo tamaño"),
        (torch.rand(1, 1, 4, 5), torch.rand(1, 4, 5), 0.5, "mismo tamaño"),
        (torch.full((1, 3, 4, 5), -0.01), torch.rand(1, 4, 5), 0.5, "entre 255"),
        (torch.full((1, 3, 4, 5), 1.01), torch.rand(1, 4, 5), 0.5, "entre 255"),
        (torch.rand(1, 3, 4, 5) * 255, torch.rand(1, 4, 5), 0.5, "entre 255"),
        (torch.zeros(1, 3, 4, 5).byte(), torch.rand(1, 4, 5), 0.5, "entre 255"),
        (torch.rand(1, 3, 4, 5), torch.rand(1, 4, 5), 1.5, "alpha"),
        (torch.rand(1, 3, 4, 5), torch.full((1, 4, 5), float("nan")), 0.5, "NaN"),
    ],
)
def test_overlay_errors(image, heat, alpha, message):
    with pytest.raises(ConvlabError, match=message):
        overlay(image, heat, alpha)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_colorize_is_matplotlibs_inferno(dtype):
    heat = torch.linspace(-0.2, 1.2, 600).view(2, 15, 20).to(dtype)
    got = colorize(heat)
    expected = colormaps["inferno"](heat.float().numpy())[..., :3]
    assert got.dtype == dtype
    assert torch.allclose(got.double(), torch.tensor(expected).movedim(-1, 1).to(dtype).double(), atol=1e-6)


def test_colorize_errors():
    with pytest.raises(ConvlabError, match="NaN"):
        colorize(torch.tensor([[float("nan")]]))
    with pytest.raises(ConvlabError, match=r"\(\.\.\., H, W\)"):
        colorize(torch.rand(3))


def test_iou_is_the_one_of_metrics():
    assert iou_at_threshold is metrics.iou_at_threshold
