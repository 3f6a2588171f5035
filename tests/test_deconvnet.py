"""`convlab.deconvnet`: adjuntas exactas, la bajada capa a capa, acuerdo con Captum, sin rastro."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from itertools import product

import pytest
import scipy.stats
import torch
import torchvision
from captum.attr import Deconvolution, NeuronDeconvolution
from conftest import left_as_found, make_network, randomize
from torch import nn
from torch.nn import functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from convlab.data.formas import formas
from convlab.deconvnet import adjoint, class_sensitivity, conv_adjoint, deconvnet, input_signal, relu_backward, unpool
from convlab.errors import ConvlabError
from convlab.gradcam import grad_cam
from convlab.hooks import capture, input_gradient, override_relu
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.plots.deconvnet import reconstruction_grid, signed_rgb
from convlab.relu import RULES
from convlab.saliency import guided_backprop
from convlab.targets import target_score

SOURCE = torch.Generator().manual_seed(0)
X = torch.rand(2, 3, 40, 48, dtype=torch.float64, generator=SOURCE)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=SOURCE)


@pytest.fixture(scope="module")
def net():
    """`Mini` en float64, con pesos genéricos."""
    return randomize(Mini()).double()


@pytest.fixture(scope="module")
def features():
    """Los troncos de vgg16 y AlexNet, con ReLU in-place y, en AlexNet, pools solapados."""
    return {
        "vgg16": randomize(torchvision.models.vgg16(init_weights=False).features).double(),
        "alexnet": randomize(torchvision.models.alexnet().features).double(),
    }


# AlexNet se queda sin mapa con imágenes más pequeñas.
LARGE = F.interpolate(X, (79, 95))


# --- la ReLU hacia atrás ---------------------------------------------------------------------------------------------


def test_relu_backward_by_hand():
    activation = torch.tensor([2.0, 2.0, 0.0, 0.0, -3.0, -3.0, 2.0])
    gradient = torch.tensor([5.0, -5.0, 5.0, -5.0, 5.0, -5.0, 0.0])
    expected = {
        "backprop": [5.0, -5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "deconvnet": [5.0, 0.0, 5.0, 0.0, 5.0, 0.0, 0.0],
        "guided": [5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    }
    for rule, values in expected.items():
        assert relu_backward(activation, gradient, rule).tolist() == values
        assert relu_backward(activation.relu(), gradient, rule).tolist() == values  # entrada o salida, da igual


@pytest.mark.parametrize("rule", RULES)
def test_relu_backward_is_what_the_whole_network_uses(rule):
    x, gradient = normal(2, 3, 4, 5).requires_grad_(), normal(2, 3, 4, 5)
    with override_relu(rule) as override:
        (expected,) = torch.autograd.grad(override(x.relu()), x, gradient)
    before = gradient.clone()
    assert torch.equal(relu_backward(x.detach(), gradient, rule), expected)
    assert torch.equal(gradient, before)


# --- la desagrupación ------------------------------------------------------------------------------------------------

POOLS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": (3, 2), "stride": (1, 3), "padding": (1, 0)},
    {"kernel_size": 2, "stride": 1, "dilation": 2},
]


@pytest.mark.parametrize("options", POOLS)
def test_unpool_is_the_adjoint_of_picking_the_maxima(options):
    x = normal(2, 3, 9, 11).requires_grad_()
    pooled, switches = F.max_pool2d(x, return_indices=True, **options)
    y = normal(*pooled.shape)
    placed = unpool(y, switches, (9, 11))
    (expected,) = torch.autograd.grad(pooled, x, y)
    torch.testing.assert_close(placed, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close((placed * x).sum(), (y * pooled).sum(), rtol=0, atol=1e-12)


def test_without_overlap_unpool_is_the_one_of_torch():
    pooled, switches = F.max_pool2d(normal(2, 3, 8, 6), 2, return_indices=True)
    assert torch.equal(unpool(pooled, switches, (8, 6)), F.max_unpool2d(pooled, switches, 2))


def test_shared_maxima_add_up():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1  # lo ven las cuatro ventanas de 3×3 con paso 2
    _, switches = F.max_pool2d(x, 3, 2, return_indices=True)
    y = torch.tensor([[[[1.0, 2.0], [4.0, 0.0]]]])
    assert unpool(y, switches, (5, 5))[0, 0, 2, 2] == 7
    assert F.max_unpool2d(y, switches, 3, 2)[0, 0, 2, 2] in (0, 1, 2, 4)  # se queda con una cualquiera


def test_unpool_takes_any_layout_and_type():
    pooled, switches = F.max_pool2d(normal(2, 3, 7, 9), 3, 1, return_indices=True)
    expected = unpool(pooled, switches, (7, 9))
    strided = pooled.contiguous(memory_format=torch.channels_last)
    assert torch.equal(unpool(strided, switches.int(), (7, 9)), expected)
    assert torch.equal(unpool(pooled[1, 2], switches[1, 2], (7, 9)), expected[1, 2])
    half = unpool(torch.ones_like(pooled, dtype=torch.bfloat16), switches, (7, 9))
    assert half.dtype == torch.bfloat16
    assert half.sum() == switches.numel()


# --- la convolución transpuesta --------------------------------------------------------------------------------------

CONVOLUTIONS = [
    {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for stride, padding, dilation, groups in [
        (1, 0, 1, 1), (2, 1, 1, 1), (3, 2, 1, 1), ((2, 3), (0, 4), 1, 1), (2, 1, (2, 1), 1), (1, 1, 3, 2), (4, 2, 1, 2),
    ]
]  # fmt: skip


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_conv_adjoint_identity_for_every_output_size(options):
    """Varios tamaños de entrada dan el mismo mapa: con cada uno, ⟨Wx, y⟩ = ⟨x, Wᵀy⟩."""
    weight = normal(4, 6 // options["groups"], 3, 2)
    for h, w in product(range(13, 17), range(14, 18)):
        x = normal(2, 6, h, w)
        up = F.conv2d(x, weight, **options)
        y = normal(*up.shape)
        down = conv_adjoint(y, weight, output_size=(h, w), **options)
        assert down.shape == x.shape
        torch.testing.assert_close((up * y).sum(), (x * down).sum(), rtol=0, atol=1e-12 * up.numel())
        expected = torch.nn.grad.conv2d_input(x.shape, weight, y, **options)
        torch.testing.assert_close(down, expected, rtol=0, atol=1e-12)


def test_conv_adjoint_spreads_the_filter():
    y = torch.zeros(1, 3, 3)
    y[0, 1, 2] = 2
    weight = torch.arange(6.0).view(1, 1, 2, 3)
    down = conv_adjoint(y, weight, 2, 0, (7, 7))
    expected = torch.zeros(1, 7, 7)
    expected[0, 2:4, 4:7] = 2 * weight[0, 0]
    assert torch.equal(down, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relu_backward(X, X, "guidde"), "¿Quisiste decir «guided»"),
        (lambda: relu_backward(X, X[:1], "guided"), "misma forma"),
        (lambda: unpool(torch.ones(1, 2, 2), torch.ones(1, 2, 3).long(), (4, 4)), r"\(1, 2, 3\)"),
        (lambda: unpool(torch.ones(1, 2, 2).long(), torch.ones(1, 2, 2).long(), (4, 4)), "coma flotante"),
        (lambda: unpool(torch.ones(1, 2, 2), torch.ones(1, 2, 2), (4, 4)), "enteros y llegó torch.float32"),
        (lambda: unpool(torch.ones(1, 2, 2), torch.full((1, 2, 2), 16), (4, 4)), "fuera de un mapa de 4×4"),
        (lambda: unpool(torch.ones(1, 2, 2), torch.full((1, 2, 2), -1), (4, 4)), "fuera de un mapa de 4×4"),
        (lambda: unpool(torch.ones(1, 2, 2), torch.ones(1, 2, 2).long(), (1, 3, 4, 4)), "alto y ancho"),
        (lambda: conv_adjoint(X, torch.ones(4, 3, 3, 3), 1, 1, (40, 48)), r"\(4, 3, 3, 3\)"),
        (lambda: conv_adjoint(X, torch.ones(3, 3, 3, 3), 1, 1, (40, 48)), "torch.float32"),
        (lambda: conv_adjoint(X, normal(3, 3, 3, 3), 2, 1, (81, 96)), "81×96 daría 41 filas y la señal tiene 40"),
        (lambda: conv_adjoint(X, normal(3, 3, 3, 3), 2, 1, (80, 94)), "daría 47 columnas y la señal tiene 48"),
        (lambda: conv_adjoint(X, normal(3, 3, 9, 9), 1, 0, (3, 3)), "daría 0 filas"),
        (lambda: conv_adjoint(X, normal(3, 3, 3, 3), 0, 1, (40, 48)), "«stride» debe ser un entero desde 1"),
        (lambda: conv_adjoint(X, normal(3, 3, 3, 3), 1, "same", (40, 48)), "«padding»"),
        (lambda: conv_adjoint(X, normal(3, 3, 3, 3), 1, 1, (48,)), r"«output_size».*\(48,\)"),
        (lambda: conv_adjoint(X, normal(3, 3, 3, 3), 1, 1, (40, 48), groups=2), "2 grupos"),
    ],
)
def test_bad_steps_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()


# --- la bajada, capa a capa ------------------------------------------------------------------------------------------


def leaves(model):
    return [(name, module) for name, module in model.named_modules() if name and not list(module.children())]


@torch.no_grad()
def walk(model, x, layer, channel, rule, unpool=unpool):
    """DeconvNet explícito en una red secuencial, sin autograd: sube, guarda lo que entra en cada capa y baja."""
    scale = 0.25 if isinstance(model, Mini) else 1.0
    a, steps = ((x - 0.5) / scale if isinstance(model, Mini) else x), []
    for name, module in leaves(model):
        entered, switches = a, None
        if isinstance(module, nn.MaxPool2d):
            a, switches = F.max_pool2d(a, module.kernel_size, module.stride, return_indices=True)
        else:
            a = F.relu(a) if isinstance(module, nn.ReLU) else module(a)
        steps.append((module, entered, switches))
        if name == layer:
            break
    signal = torch.zeros_like(a)
    for k, c in enumerate(channel.tolist()):
        row, column = divmod(int(a[k, c].argmax()), a.shape[3])
        signal[k, c, row, column] = a[k, c, row, column]
    for module, entered, switches in reversed(steps):
        if isinstance(module, nn.Conv2d):
            signal = conv_adjoint(signal, module.weight, module.stride, module.padding, entered.shape[2:])
        elif isinstance(module, nn.BatchNorm2d):
            signal = signal * (module.weight / (module.running_var + module.eps).sqrt())[:, None, None]
        elif isinstance(module, nn.ReLU):
            signal = relu_backward(entered, signal, rule)
        else:
            signal = unpool(signal, switches, tuple(entered.shape[2:]))
    return signal / scale


CHANNELS = torch.tensor([5, 30])


@pytest.mark.parametrize("rule", RULES)
def test_equals_the_walk_on_mini(net, rule):
    for layer in ("block1.conv", "block2.relu", "block3.pool", "block5.bn"):
        found = deconvnet(net, X, layer, CHANNELS, rule=rule)
        expected = walk(net, X, layer, CHANNELS, rule)
        assert expected.abs().max() > 0
        assert (found - expected).abs().max() <= 1e-10 * expected.abs().max(), layer


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("name", "layer"), [("vgg16", "16"), ("alexnet", "12")])
def test_equals_the_walk_on_big_networks(features, name, layer, rule):
    found = deconvnet(features[name], LARGE, layer, CHANNELS, rule=rule)
    expected = walk(features[name], LARGE, layer, CHANNELS, rule)
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_overwriting_would_leave_blank_reconstructions(features):
    """En AlexNet, cuyos pools se solapan, `MaxUnpool2d` borra señales con el cero de otra ventana."""

    def overwrite(pooled, switches, size):
        return F.max_unpool2d(pooled, switches, 3, 2, output_size=size)

    model, x, channels = features["alexnet"], LARGE[:1].expand(64, -1, -1, -1), torch.arange(64)
    active = deconvnet(model, x, "2", channels).flatten(1).any(1)
    painted = walk(model, x, "2", channels, "deconvnet").flatten(1).any(1)
    overwritten = walk(model, x, "2", channels, "deconvnet", overwrite).flatten(1).any(1)
    assert active.sum() > 50
    assert torch.equal(painted, active)
    assert overwritten.sum() < active.sum() / 2


# --- lo que se proyecta ----------------------------------------------------------------------------------------------


def test_with_no_relu_below_it_is_the_filter_times_the_activation():
    conv = randomize(nn.Sequential(nn.Conv2d(3, 4, (5, 3)))).double()
    a = capture(conv, X, ["0"])["0"]
    for rule in RULES:
        found = deconvnet(conv, X, "0", 2, rule=rule)
        for k in range(2):
            row, column = divmod(int(a[k, 2].argmax()), a.shape[3])
            expected = torch.zeros_like(X[0])
            expected[:, row : row + 5, column : column + 3] = a[k, 2].max() * conv[0].weight[2]
            torch.testing.assert_close(found[k], expected)


def test_the_relu_of_the_layer_lets_its_signal_through(net):
    """Zeiler y Fergus proyectan un mapa tras su ReLU: la capa anterior y el pool siguiente dan lo mismo."""
    for rule in RULES:
        expected = deconvnet(net, X, "block2.relu", 7, rule=rule)
        assert expected.abs().max() > 0
        for layer in ("block2.bn", "block2.pool", "block2"):
            torch.testing.assert_close(deconvnet(net, X, layer, 7, rule=rule), expected, rtol=1e-12, atol=0)


def test_a_channel_that_is_off():
    """Tras la ReLU no queda nada; antes de ella, la señal lleva el signo del valor."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).double()
    with torch.no_grad():
        model[0].bias.fill_(-100)
    assert deconvnet(model, X, "1", 0).abs().max() == 0
    before = deconvnet(model, X, "0", 0)
    a = capture(model, X, ["0"])["0"][:, 0].flatten(1).amax(1)
    torch.testing.assert_close(before.flatten(1).sum(1), a * model[0].weight[0].sum().detach())
    assert (a < 0).all()


def test_backprop_is_the_gradient_of_the_unit_times_its_value(net):
    leaf = X.clone().requires_grad_()
    value = net.block3(net.block2(net.block1((leaf - 0.5) / 0.25)))[:, 9].flatten(1).amax(1)
    (expected,) = torch.autograd.grad(0.5 * (value**2).sum(), leaf)
    torch.testing.assert_close(deconvnet(net, X, "block3", 9, rule="backprop"), expected)


def test_a_vector_layer_has_one_unit_per_channel(net):
    value, target = net(X).detach().max(1)
    assert (value > 0).all()
    for rule in RULES:
        expected = value[:, None, None, None] * input_signal(net, X, target, rule)
        torch.testing.assert_close(deconvnet(net, X, "fc", target, rule=rule), expected)


@pytest.mark.parametrize("rule", RULES)
def test_each_image_on_its_own_with_its_channel_under_any_mode(net, rule):
    model, x = copy.deepcopy(net), torch.rand(3, 3, 40, 64, dtype=torch.float64, generator=SOURCE)
    channel = torch.tensor([1, 40, 7])
    together = deconvnet(model, x, "block3", channel, rule=rule)
    alone = torch.cat([deconvnet(model, x[k : k + 1], "block3", int(channel[k]), rule=rule) for k in range(3)])
    torch.testing.assert_close(together, alone)
    assert not together.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(deconvnet(model, x + 0, "block3", channel + 0, rule=rule), together)
    strided = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(deconvnet(model.requires_grad_(False), strided, "block3", channel, rule=rule), together)


# --- cualquier red ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "layer"), [("vgg16", "16"), ("alexnet", "7")])
def test_agrees_with_captum(features, name, layer):
    """La señal de NeuronDeconvolution sale de un 1: falta multiplicar por el valor de la unidad."""
    model = copy.deepcopy(features[name])
    a = capture(model, LARGE, [layer])[layer]
    found = deconvnet(model, LARGE, layer, 5)
    for k in range(2):
        unit = 5, *divmod(int(a[k, 5].argmax()), a.shape[3])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = NeuronDeconvolution(model, model.get_submodule(layer))
            expected = a[k][unit] * peer.attribute(LARGE[k : k + 1], unit)[0]
        assert expected.abs().max() > 0
        assert (found[k] - expected).abs().max() <= 1e-13 * expected.abs().max()


class Gated(torch.autograd.Function):
    """ReLU con la regla escrita aparte, para no comprobar `convlab.relu` consigo mismo."""

    @staticmethod
    def forward(ctx, x, rule):
        ctx.rule = rule
        ctx.save_for_backward(x)
        return x * (x > 0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        gates = {"deconvnet": gradient > 0, "guided": (gradient > 0) & (x > 0), "backprop": x > 0}
        return gradient * gates[ctx.rule], None


class Ruled(nn.Module):
    rule = "backprop"

    def forward(self, x):
        return Gated.apply(x, self.rule)


def rewritten(model, layer):
    """La red hasta la capa, con `torch.fx` y cada ReLU, módulo o función, cambiada por `Ruled`."""
    traced, relus = create_feature_extractor(model, {layer: "out"}), 0
    traced.add_submodule("ruled", Ruled())
    for node in list(traced.graph.nodes):
        functional = node.op == "call_function" and node.target in (F.relu, torch.relu)
        if functional or (node.op == "call_module" and isinstance(traced.get_submodule(node.target), nn.ReLU)):
            with traced.graph.inserting_after(node):
                new = traced.graph.call_module("ruled", (node.args[0],))
            node.replace_all_uses_with(new)
            traced.graph.erase_node(node)
            relus += 1
    traced.recompile()
    return traced, relus


@pytest.mark.parametrize(
    ("build", "layer", "relus"),
    [
        (partial(torchvision.models.googlenet, init_weights=False, aux_logits=False), "inception4a", 21),
        (torchvision.models.densenet121, "features.denseblock2.denselayer3", 20),
        (torchvision.models.resnet18, "layer3", 13),
    ],
)
def test_functional_and_inplace_relus_are_caught(build, layer, relus):
    """Donde las ReLU no son módulos (GoogLeNet, DenseNet-121) o uno se ejecuta dos veces (ResNet)."""
    model = randomize(build()).double()
    x = LARGE[:1]
    traced, found_relus = rewritten(model, layer)
    assert found_relus == relus
    leaf = x.clone().requires_grad_()
    channel = int(capture(model, x, [layer])[layer].flatten(2).amax((0, 2)).argmax())
    for rule in RULES:
        traced.ruled.rule = rule
        value = traced(leaf)["out"][:, channel].max()
        (expected,) = torch.autograd.grad(value, leaf, value.detach())
        found = deconvnet(model, x, layer, channel, rule=rule)
        assert expected.abs().max() > 0
        assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_relu6_is_a_relu():
    model = randomize(make_network("efficientnet_lite0").model)
    maps = [deconvnet(model, X.float(), "blocks.1.0", 3, rule=rule) for rule in RULES]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert (maps[a] - maps[b]).abs().max() > 1e-3 * maps[a].abs().max()


def test_stops_at_the_layer(net):
    ran = []
    model = copy.deepcopy(net)
    for name, module in leaves(model):
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    deconvnet(model, X, "block2", 3)
    assert ran == [f"block{k}.{part}" for k in (1, 2) for part in ("conv", "bn", "relu", "pool")]


def test_a_model_that_catches_exceptions_still_stops():
    class Cautious(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            try:
                return self.conv(x)
            except Exception:
                return None

    assert deconvnet(Cautious(), torch.rand(1, 3, 8, 8), "conv", 1).abs().max() > 0


def test_a_reused_relu_counts_its_last_run():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)

        def forward(self, x):
            a = self.relu(self.two(self.relu(self.one(x))))
            a.neg_()  # lo que venga después no cambia lo que se proyecta
            return a.mean((2, 3))

    class Once(Twice):
        def forward(self, x):
            return self.relu(self.two(F.relu(self.one(x))))

    torch.manual_seed(0)
    model = randomize(Twice()).double()
    once = Once().double().eval()
    once.load_state_dict(model.state_dict())
    for rule in RULES:
        torch.testing.assert_close(deconvnet(model, X, "relu", 4, rule=rule), deconvnet(once, X, "relu", 4, rule=rule))


@pytest.mark.parametrize("train", [False, True])
def test_leaves_no_trace_even_when_the_model_fails(train):
    model, x = randomize(Mini()).train(train), torch.rand(2, 3, 64, 48)
    with left_as_found(model, x):
        deconvnet(model, x, "block2", 3)
        deconvnet(model, x, "block2.relu", 3)
        input_signal(model, x, torch.tensor([3, 5]), "deconvnet")
        with pytest.raises(ConvlabError):
            deconvnet(model, x, "block2", 999)
        with pytest.raises(ConvlabError):
            input_signal(model, x, 10, "deconvnet")

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.mini = Mini().train(train)

        def forward(self, x):
            return self.mini(x) + self.missing

    broken = Broken()
    for layer in ("mini.block5.relu", "mini.fc"):
        with left_as_found(broken, x), pytest.raises(AttributeError):
            deconvnet(broken, x, layer, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_the_dtype(dtype):
    model, x = randomize(Mini()).to(dtype), X.to(dtype)
    for found in (deconvnet(model, x, "block4.bn", 2), input_signal(model, x, 2, "deconvnet")):
        assert found.dtype == dtype
        assert found.isfinite().all()
        assert found.abs().max() > 0


class Blind(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.spare = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        with torch.no_grad():
            return self.conv(x)


def smooth():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).double()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: deconvnet(m, X, "block33", 1), "block3"),
        (lambda m: deconvnet(m, X, "block3", 64), "El canal 64 no existe: «block3» tiene 64, de 0 a 63"),
        (lambda m: deconvnet(m, X, "block3", -1), "El canal -1"),
        (lambda m: deconvnet(m, X, "block3", torch.tensor([1, 70])), "El canal 70"),
        (lambda m: deconvnet(m, X, "block3", torch.tensor([1, 2, 3])), r"Con 2 imágenes.*\(3,\)"),
        (lambda m: deconvnet(m, X, "block3", 1.5), "entero.*«1.5»"),
        (lambda m: deconvnet(m, X, "block3", True), "entero"),
        (lambda m: deconvnet(m, X, "block3", torch.tensor([1.0, 2.0])), "torch.float32"),
        (lambda m: deconvnet(m, X, "block3", 1, rule="deconvnt"), "¿Quisiste decir «deconvnet»"),
        (lambda m: deconvnet(m, X[0], "block3", 1), r"x\[None\]"),
        (lambda m: deconvnet(m, X.byte(), "block3", 1), "coma flotante"),
        (lambda m: deconvnet(m, X.float(), "block3", 1), r"x\.to\(device, dtype\)"),
        (
            lambda m: deconvnet(nn.Sequential(m.block1, nn.Flatten(2), nn.Identity()), X, "2", 1),
            r"mapas \(N, C, h, w\)",
        ),
        (lambda _: deconvnet(Blind().double(), X, "conv", 1), "no depende de la entrada"),
        (lambda _: deconvnet(Blind().double(), X, "spare", 1), "no la ejecuta"),
        (lambda _: deconvnet(smooth(), X, "2", 1), r"ninguna, sino otras activaciones \(Silu\)"),
        (lambda _: input_signal(smooth(), X, 1, "guided"), "Silu"),
        (lambda m: input_signal(m, X, 1, "guide"), "guided"),
        (lambda m: input_signal(m, X, 10, "guided"), "La clase 10"),
    ],
)
def test_bad_arguments_are_explained(net, call, message):
    with pytest.raises(ConvlabError, match=message):
        call(net)


def test_other_activations_go_down_by_their_derivative():
    """Antes de la primera activación no hay regla que aplicar, y con «backprop» vale cualquiera."""
    model = smooth().eval()
    assert deconvnet(model, X, "0", 1).abs().max() > 0
    leaf = X.clone().requires_grad_()
    value = model[:3](leaf)[:, 1].flatten(1).amax(1)
    (expected,) = torch.autograd.grad(value, leaf, value.detach())
    torch.testing.assert_close(deconvnet(model, X, "2", 1, rule="backprop"), expected)


# --- desde el logit --------------------------------------------------------------------------------------------------


def test_input_signal_follows_each_rule(net):
    target = torch.tensor([3, 8])
    plain = input_gradient(net, X, target_score(target))
    assert torch.equal(input_signal(net, X, target, "backprop"), plain)
    assert torch.equal(input_signal(net, X, target, "guided"), guided_backprop(net, X, target))
    assert not torch.allclose(input_signal(net, X, target, "deconvnet"), plain)


def test_input_signal_agrees_with_captum(net):
    model = copy.deepcopy(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Deconvolution(model).attribute(X, 5)
    found = input_signal(model, X, 5, "deconvnet")
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_input_signal_of_a_tuple_needs_a_selector(net):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.mini = net

        def forward(self, x):
            return self.mini(x), x

    with pytest.raises(ConvlabError, match="select"):
        input_signal(Pair(), X, 1, "guided")
    found = input_signal(Pair(), X, 1, "guided", select=lambda out: out[0])
    assert torch.equal(found, input_signal(net, X, 1, "guided"))


# --- ¿cambia con la clase? -------------------------------------------------------------------------------------------


def test_class_sensitivity_by_hand():
    a = normal(3, 3, 5, 4)
    same, opposite = class_sensitivity(a, a.exp()), class_sensitivity(a, -a)
    torch.testing.assert_close(same, torch.zeros_like(same), rtol=0, atol=1e-12)
    torch.testing.assert_close(opposite, torch.full_like(same, 2.0))
    b = normal(3, 3, 5, 4)
    expected = [1 - scipy.stats.spearmanr(a[k].flatten(), b[k].flatten()).statistic for k in range(3)]
    torch.testing.assert_close(class_sensitivity(a, b), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(class_sensitivity(a, b), class_sensitivity(b, a))


def test_class_sensitivity_of_blank_maps():
    blank, other = torch.zeros(2, 4, 4), torch.rand(2, 4, 4)
    assert class_sensitivity(blank, blank).tolist() == [0, 0]
    assert class_sensitivity(blank, other).tolist() == [1, 1]


def test_class_sensitivity_errors():
    with pytest.raises(ConvlabError, match="misma forma"):
        class_sensitivity(torch.rand(2, 4, 4), torch.rand(2, 4, 5))
    with pytest.raises(ConvlabError, match="NaN"):
        class_sensitivity(torch.full((1, 2, 2), torch.nan), torch.rand(1, 2, 2))


@pytest.mark.parametrize("name", ["mini", "mini-robusta"])
def test_deconvnet_and_guided_barely_change_with_the_class(name):
    """Lo de Nie et al. (2018): la clase más probable y la menos probable dan casi el mismo mapa; el gradiente, otro."""
    model, x = load_model(name), formas(12, seed=3).tensor()
    with torch.no_grad():
        order = model(x).argsort(1, descending=True)
    pair = order[:, 0], order[:, -1]
    change = {r: class_sensitivity(*(input_signal(model, x, t, r) for t in pair)).mean() for r in RULES}
    change["grad_cam"] = class_sensitivity(*(grad_cam(model, x, t, "block5") for t in pair)).mean()
    assert change["guided"] < 0.2
    assert change["deconvnet"] < 0.45
    assert min(change["backprop"], change["grad_cam"]) > 1.2


# --- el camino de quien la usa ---------------------------------------------------------------------------------------


def test_reconstructions_fall_on_the_object():
    """Las nueve imágenes que más encienden un canal de `mini`: la reconstrucción se concentra en el objeto."""
    model, scenes = load_model("mini"), formas(200, seed=3)
    x = scenes.tensor()
    strongest = capture(model, x, ["block5"])["block5"].flatten(2).amax(2)
    channel = int(strongest.mean(0).argmax())
    top = strongest[:, channel].topk(9).indices
    mask = torch.as_tensor(scenes.mask)[top]
    for rule in RULES:
        energy = deconvnet(model, x[top], "block5", channel, rule=rule).square().sum(1)
        inside = (energy * mask).sum((1, 2)) / energy.sum((1, 2))
        assert inside.mean() > 2 * mask.double().mean()


# --- figuras ---------------------------------------------------------------------------------------------------------


def test_signed_rgb_keeps_zero_grey_and_one_scale_per_image():
    maps = normal(3, 3, 4, 5)
    maps[2] = 0
    colors = signed_rgb(maps)
    torch.testing.assert_close((colors[:2] - 0.5) * 2 * maps[:2].abs().amax((1, 2, 3), keepdim=True), maps[:2])
    assert (colors[:2] - 0.5).abs().amax((1, 2, 3)).tolist() == [0.5, 0.5]
    assert (colors[2] == 0.5).all()
    assert signed_rgb(maps.bfloat16()).dtype == torch.float32
    for bad, message in ((maps[0], r"\(3, 4, 5\)"), (maps / 0, "NaN")):
        with pytest.raises(ConvlabError, match=message):
            signed_rgb(bad)


def test_reconstruction_grid_crops_to_what_is_painted():
    x = torch.rand(3, 3, 20, 30)
    maps = {rule: torch.zeros(3, 3, 20, 30) for rule in ("deconvnet", "guided")}
    maps["deconvnet"][0, 1, 5:9, 10:15] = 1  # 4×5: el recuadro mide 5 y cabe
    maps["guided"][1, 2, 0, 29] = -1  # en la esquina: se arrima al borde
    figure = reconstruction_grid(x, maps, ["a", "b", "c"])
    axes = figure.axes
    assert [axis.get_ylabel() for axis in axes[::3]] == ["imagen", "recuadro", "DeconvNet", "guiada"]
    assert [axis.get_title() for axis in axes[:4]] == ["a", "b", "c", ""]
    corners = [axis.patches[0].get_xy() for axis in axes[:3]]
    assert corners == [(9.5, 3.5), (24.5, -0.5), (11.5, 6.5)]
    assert axes[0].patches[0].get_width() == axes[0].patches[0].get_height() == 5
    shown = torch.as_tensor(axes[3].get_images()[0].get_array())
    torch.testing.assert_close(shown, x[0, :, 4:9, 10:15].permute(1, 2, 0))
    assert torch.as_tensor(axes[6].get_images()[0].get_array())[1:, :, 1].eq(1).all()
    assert torch.as_tensor(axes[9].get_images()[0].get_array()).eq(0.5).all()


def test_a_box_never_leaves_the_image():
    x = torch.rand(1, 3, 6, 30)
    figure = reconstruction_grid(x, {"propia": torch.ones(1, 3, 6, 30)})
    box = figure.axes[0].patches[0]
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((-0.5, -0.5), 30, 6)
    assert figure.axes[2].get_ylabel() == "propia"


@pytest.mark.parametrize(("maps", "message"), [({}, "ninguna"), ({"guided": torch.rand(1, 3, 8, 9)}, "«guided»")])
def test_reconstruction_grid_errors(maps, message):
    with pytest.raises(ConvlabError, match=message):
        reconstruction_grid(torch.rand(1, 3, 8, 8), maps)


def test_the_lesson_offers_its_steps():
    assert (relu_backward, unpool, conv_adjoint) == (adjoint.relu_backward, adjoint.unpool, adjoint.conv_adjoint)


@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU6()])
def test_the_relus_of_torchscript_are_seen(relu):
    first, last = nn.Sequential(nn.Conv2d(3, 4, 3), relu), nn.Conv2d(4, 2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(first)
    maps = [deconvnet(nn.Sequential(m, last).double().eval(), X, "1", 1) for m in (first, scripted)]
    assert torch.equal(*maps)
