"""`convlab.hooks`, `convlab.targets` y `convlab.relu`: qué calculan, y que no dejan rastro."""

from __future__ import annotations

import copy
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import GuidedBackprop
from conftest import left_as_found, make_network, randomize
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from convlab.errors import ConvlabError
from convlab.hooks import (
    activation_and_gradient,
    capture,
    evaluating,
    get_layer,
    input_gradient,
    last_conv_layer,
    override_relu,
)
from convlab.relu import RULES
from convlab.targets import class_indices, target_score

X = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Red mínima cuyo tramo entre la capa y los logits se elige."""

    def __init__(self, after=lambda self, a: self.fc(a.flatten(1)), before=lambda self, x: x):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 8 * 6, 5)
        self.spare = nn.Conv2d(3, 4, 3)
        self.before, self.after = before, after
        randomize(self, 3)

    def forward(self, x):
        return self.after(self, self.bn(self.conv(self.before(self, x))))


def score(logits):
    return logits[:, 1]


def reference(net, x, layer, score_fn=score):
    """Lo mismo, con el grafo entero y sin ganchos: activación por un módulo que la guarda."""
    kept = []
    net = copy.deepcopy(net).eval()
    target = get_layer(net, layer)
    plain = target.forward

    def forward(*args):
        kept[:] = [plain(*args)]
        return kept[0].clone()

    target.forward = forward
    total = score_fn(net(x.clone())).sum()
    return kept[0].detach(), torch.autograd.grad(total, kept[0])[0]


# --- capas y modos ---------------------------------------------------------------------------------------------------


def test_get_layer_follows_dots(resnet18):
    assert get_layer(resnet18.model, "layer4.1.conv2") is resnet18.model.layer4[1].conv2


@pytest.mark.parametrize("name", ["layer4.1.conv3", "", None, 4])
def test_get_layer_rejects(resnet18, name):
    with pytest.raises(ConvlabError, match="No existe la capa"):
        get_layer(resnet18.model, name)


def test_get_layer_suggests(resnet18):
    with pytest.raises(ConvlabError, match=r"«layer4\.1\.conv2»"):
        get_layer(resnet18.model, "layer4.1.conv22")


def test_get_layer_knows_every_alias():
    shared = nn.ReLU()
    assert get_layer(nn.Sequential(shared, shared), "1") is shared


def test_evaluating_restores_each_flag_on_exception():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())).train()
    net[1][0].eval()
    before = [m.training for m in net.modules()]

    def fail():
        with evaluating(net):
            assert not any(m.training for m in net.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [m.training for m in net.modules()] == before


def test_evaluating_does_not_call_overridden_train():
    class Merging(nn.Module):
        def train(self, mode=True):
            raise AssertionError("eval() puede tener efectos que no se deshacen")

    with evaluating(Merging()) as net:
        assert not net.training


# --- capture ---------------------------------------------------------------------------------------------------------


def test_capture_is_not_aliased_by_inplace_relu():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)).eval()
    found = capture(net, X, ["1", "0"])
    assert list(found) == ["1", "0"]
    assert torch.equal(found["0"], F.conv2d(X, net[0].weight, net[0].bias))
    assert torch.equal(found["1"], found["0"].relu())
    assert (found["0"] < 0).any()


def test_capture_keeps_the_last_call():
    conv = nn.Conv2d(3, 3, 1)
    found = capture(nn.Sequential(conv, nn.ReLU(), conv), X, ["0"])
    assert torch.equal(found["0"], conv(conv(X).relu()).detach())


def test_capture_in_train_mode_evaluates_and_leaves_no_trace():
    net = Net(lambda self, a: F.dropout(self.fc(a.flatten(1)), training=self.training))
    expected = capture(net, X, ["fc"])["fc"]
    net.train()
    with left_as_found(net, X):
        assert torch.equal(capture(net, X, ["fc"])["fc"], expected)


def test_capture_under_inference_mode_returns_normal_tensors():
    with torch.inference_mode():
        found = capture(Net(), X + 0, ["conv"])["conv"]
    assert not found.is_inference()
    assert not found.requires_grad


def test_capture_errors():
    net = Net()
    with pytest.raises(ConvlabError, match="lista de capas"):
        capture(net, X, "conv")
    with pytest.raises(ConvlabError, match="«spare» existe, pero el modelo no la ejecuta"):
        capture(net, X, ["conv", "spare"])
    with pytest.raises(ConvlabError, match="«0» devuelve tuple"):
        capture(nn.Sequential(nn.AdaptiveMaxPool2d(2, return_indices=True)), X, ["0"])


# --- activation_and_gradient -----------------------------------------------------------------------------------------


def test_gradient_of_a_linear_head_is_its_weight():
    net = Net()
    activation, gradient = activation_and_gradient(net, X, "bn", score)
    assert torch.equal(activation, net.bn(net.conv(X)).detach())
    assert torch.allclose(gradient, net.fc.weight[1].detach().view(4, 8, 6).expand_as(gradient), atol=1e-7)


AFTER = {
    "functional": lambda self, a: self.fc(F.relu(a).flatten(1)),
    "inplace": lambda self, a: self.fc(F.relu(a, inplace=True).flatten(1)),
    "method": lambda self, a: self.fc(a.relu_().flatten(1)),
    "skip": lambda self, a: self.fc((a.sigmoid() + a.add_(1)).flatten(1)),
}


@pytest.mark.parametrize("layer", ["conv", "bn"])
@pytest.mark.parametrize("after", AFTER)
def test_inplace_changes_after_the_layer_do_not_matter(after, layer):
    net = Net(AFTER[after]).double()
    for got, expected in zip(
        activation_and_gradient(net, X.double(), layer, score), reference(net, X.double(), layer), strict=True
    ):
        assert torch.allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_reused_module_counts_its_last_call():
    conv = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(conv, nn.Tanh(), conv, nn.Tanh(), nn.Flatten(), nn.Linear(3 * 8 * 6, 5))
    activation, gradient = activation_and_gradient(net, X, "0", score)
    last = conv(conv(X).tanh()).detach()
    expected = net[5].weight[1].detach().view(3, 8, 6) * (1 - last.tanh() ** 2)
    assert torch.allclose(activation, last)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_identity_layer_does_not_share_memory_with_the_model():
    def before(self, x):
        y = self.identity(x)
        x.add_(1)  # el modelo cambia después el tensor que la capa devolvió
        return x + y

    net = Net(before=before)
    net.identity = nn.Identity()
    with left_as_found(net, X):
        assert torch.equal(activation_and_gradient(net, X, "identity", score)[0], X)


MODES = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}


@pytest.mark.parametrize("mode", MODES)
def test_caller_mode_does_not_matter(mode):
    net = Net(AFTER["inplace"])
    expected = activation_and_gradient(net, X, "bn", score)
    with MODES[mode]():
        x = X + 0  # en inference_mode, un tensor de inferencia
        got = activation_and_gradient(net, x, "bn", score)
        assert torch.equal(input_gradient(net, x, score), input_gradient(net, X, score))
        assert torch.is_grad_enabled() == (mode == "grad")
        assert torch.is_inference_mode_enabled() == (mode == "inference")
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad
        assert not a.is_inference()


def test_weights_created_under_inference_mode():
    plain = Net()
    with torch.inference_mode():
        net = Net()
    assert net.fc.weight.is_inference()
    assert torch.equal(
        activation_and_gradient(net, X, "conv", score)[1], activation_and_gradient(plain, X, "conv", score)[1]
    )


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_model_left_as_found(frozen, training):
    net = Net(AFTER["inplace"])
    expected = activation_and_gradient(net, X, "bn", score)[1]
    net.train(training).requires_grad_(not frozen)
    net.bn.train(not training)
    x = X.clone().requires_grad_()
    with left_as_found(net, x):
        assert torch.equal(activation_and_gradient(net, x, "bn", score)[1], expected)
        input_gradient(net, x, score)


@pytest.mark.parametrize("where", ["forward", "score"])
def test_model_left_as_found_on_exception(where):
    def fail(*_):
        raise KeyError(where)

    net = Net(fail if where == "forward" else AFTER["inplace"]).train()
    for call in (lambda s: activation_and_gradient(net, X, "bn", s), lambda s: input_gradient(net, X, s)):
        with left_as_found(net, X), pytest.raises(KeyError):
            call(fail)
    if where == "forward":
        with left_as_found(net, X), pytest.raises(KeyError):
            capture(net, X, ["conv"])
        with left_as_found(net, X), pytest.raises(KeyError):
            last_conv_layer(net, X)
    assert torch.is_grad_enabled()


def test_users_hooks_stay_and_run():
    net = Net()
    calls = []
    net.conv.register_forward_hook(lambda m, i, o: calls.append("conv"))
    net.bn.register_forward_hook(lambda m, i, o: o * 2)
    with left_as_found(net):
        activation, _ = activation_and_gradient(net, X, "bn", score)
    assert calls == ["conv"]
    assert torch.equal(activation, net.bn(net.conv(X)).detach())


@pytest.mark.parametrize("layer", ["layer3", "layer4.1.bn1", "fc"])
def test_one_forward_and_no_graph_in_the_trunk(resnet18, layer):
    model, x = resnet18.model, resnet18.x
    calls = dict.fromkeys((name for name, _ in model.named_modules()), 0)
    handles = [
        m.register_forward_hook(lambda *_, name=name: calls.__setitem__(name, calls[name] + 1))
        for name, m in model.named_modules()
    ]
    graph = []

    def spy(logits):
        graph.append(parameters_in_graph(logits, model))
        return logits[:, 1]

    try:
        activation_and_gradient(model, x, layer, spy)
    finally:
        for handle in handles:
            handle.remove()
    inner_relus = {name for name in calls if name.endswith(".relu")}  # cada bloque usa la suya dos veces
    assert {n for n, c in calls.items() if c != 1} == inner_relus
    names = [name for name, _ in model.named_parameters()]
    after = {"layer3": "layer4", "layer4.1.bn1": "layer4.1.conv2", "fc": "zzz"}[layer]
    first = next((i for i, name in enumerate(names) if name.startswith(after)), len(names))
    assert graph == [set(names[first:])]


def parameters_in_graph(output, model):
    names = {id(p): name for name, p in model.named_parameters()}
    found, pending, seen = set(), [output.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(names.get(id(node.variable)))
        pending += [n for n, _ in node.next_functions]
    return found - {None}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 5e-2), (torch.float64, 1e-12)])
def test_dtypes(dtype, tolerance):
    net = Net(AFTER["inplace"]).double()
    expected = reference(net, X.double(), "bn")
    got = activation_and_gradient(net.to(dtype), X.to(dtype), "bn", score)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        assert (a.double() - b).norm() <= tolerance * b.norm()


def test_noncontiguous_input():
    net = Net()
    x = X.transpose(2, 3).contiguous().transpose(2, 3)
    assert not x.is_contiguous()
    assert torch.allclose(
        activation_and_gradient(net, x, "conv", score)[1],
        activation_and_gradient(net, X, "conv", score)[1],
        atol=1e-6,
    )


def test_each_image_gets_its_own_gradient():
    net = Net(lambda self, a: self.fc(a.tanh().flatten(1)))
    target = torch.tensor([4, 0])
    together = activation_and_gradient(net, X, "bn", target_score(target))[1]
    for i in range(2):
        alone = activation_and_gradient(net, X[i : i + 1], "bn", target_score(int(target[i])))[1]
        assert torch.allclose(together[i], alone[0], atol=1e-6)


def inner_no_grad(self, a):
    with torch.no_grad():
        return self.fc(a.flatten(1))


def inner_inference(self, x):
    with torch.inference_mode():
        return self.inner(x)


@pytest.mark.parametrize(
    ("after", "layer", "message"),
    [
        (lambda self, a: self.fc(a.detach().flatten(1)), "conv", "no depende de la capa «conv»"),
        (inner_no_grad, "bn", "no_grad"),
        (AFTER["functional"], "spare", "no la ejecuta"),
        (AFTER["functional"], "con", "¿Quisiste decir «conv»"),
        (lambda self, a: self.fc(torch.zeros(2, 192)) + 0 * a.argmax(), "bn", "no depende"),
    ],
)
def test_errors_about_the_layer(after, layer, message):
    net = Net(after)
    with left_as_found(net, X), pytest.raises(ConvlabError, match=message):
        activation_and_gradient(net, X, layer, score)


def test_inference_mode_inside_the_model():
    net = Net(before=inner_inference)
    net.inner = nn.Conv2d(3, 3, 1)
    with left_as_found(net, X), pytest.raises(ConvlabError, match="inference_mode por dentro"):
        activation_and_gradient(net, X, "inner", score)


def test_layer_with_several_outputs():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            return self.pair(x)[0].flatten(1)

    with pytest.raises(ConvlabError, match="«pair» devuelve tuple"):
        activation_and_gradient(Wrapper(), X, "pair", score)


@pytest.mark.parametrize(
    "x", [X[0], (X * 255).byte(), X[:0], X.numpy(), None], ids=["una sola", "bytes", "vacía", "numpy", "nada"]
)
def test_errors_about_the_image(x):
    net = Net()
    for call in (
        lambda: activation_and_gradient(net, x, "conv", score),
        lambda: capture(net, x, ["conv"]),
        lambda: input_gradient(net, x, score),
        lambda: last_conv_layer(net, x),
    ):
        with pytest.raises(ConvlabError, match=r"imágenes \(N, C, H, W\)"):
            call()


def test_errors_about_the_model():
    with pytest.raises(ConvlabError, match=r"nn\.Module"):
        capture(lambda x: x, X, ["conv"])
    with pytest.raises(ConvlabError, match="float64"):
        capture(Net(), X.double(), ["conv"])


def test_a_failure_of_the_model_itself_is_not_hidden():
    with pytest.raises(RuntimeError, match="channels"):
        capture(Net(), X[:, :1], ["conv"])


# --- input_gradient y target -----------------------------------------------------------------------------------------


def test_input_gradient_of_a_model_that_changes_its_input():
    net = Net(before=lambda self, x: x.mul_(2)).double()
    x = X.double()
    with left_as_found(net, x):
        got = input_gradient(net, x, score)
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(net(leaf.clone())[:, 1].sum(), leaf)[0]
    assert torch.allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("target", [2, np.int64(2), torch.tensor(2), torch.tensor([2, 2]), torch.tensor([2, 2]).int()])
def test_targets_accepted(target):
    assert torch.equal(class_indices(target, 2, 3), torch.tensor([2, 2]))
    assert torch.equal(target_score(target)(torch.arange(6.0).view(2, 3)), torch.tensor([2.0, 5.0]))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "clase 3 no existe: el modelo tiene 3, de 0 a 2"),
        (-1, "clase -1 no existe"),
        (torch.tensor([0, 3]), "clase 3 no existe"),
        (torch.tensor([0, 1, 2]), r"Con 2 imágenes .* llegó \(3,\)"),
        (torch.tensor([[0], [1]]), r"llegó \(2, 1\)"),
        (torch.tensor([0.0, 1.0]), "float32"),
        (torch.tensor([True, False]), "bool"),
        (1.0, "«1.0»"),
        (True, "«True»"),
        ("gato", "«'gato'»"),
        (None, "«None»"),
        ([0, 1], r"«\[0, 1\]»"),
    ],
)
def test_targets_rejected(target, message):
    with pytest.raises(ConvlabError, match=message):
        class_indices(target, 2, 3)
    with pytest.raises(ConvlabError, match=message):
        target_score(target)(torch.zeros(2, 3))


@pytest.mark.parametrize("output", [(torch.zeros(2, 3),), {"out": torch.zeros(2, 3)}, torch.zeros(2, 3, 4, 4)])
def test_output_that_is_not_logits_asks_for_a_selector(output):
    with pytest.raises(ConvlabError, match="select"):
        target_score(0)(output)


# --- last_conv_layer -------------------------------------------------------------------------------------------------


def test_last_conv_layer(network):
    with left_as_found(network.model, network.x):
        assert last_conv_layer(network.model, network.x) == network.layer


def test_last_conv_layer_skips_convolutions_without_a_map():
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 5, 1), nn.Flatten()]  # como la de MobileNetV3, tras el promedio
    assert last_conv_layer(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head), X) == "1"


def test_last_conv_layer_needs_a_convolution():
    with pytest.raises(ConvlabError, match=r"ninguna nn\.Conv2d"):
        last_conv_layer(nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), X)


# --- override_relu ---------------------------------------------------------------------------------------------------

RELUS = {
    "module": (nn.ReLU(), 1e9),
    "module in-place": (nn.ReLU(inplace=True), 1e9),
    "F.relu": (F.relu, 1e9),
    "F.relu in-place": (lambda x: F.relu(x, inplace=True), 1e9),
    "torch.relu": (torch.relu, 1e9),
    "torch.relu_": (torch.relu_, 1e9),
    "Tensor.relu": (lambda x: x.relu(), 1e9),
    "Tensor.relu_": (lambda x: x.relu_(), 1e9),
    "relu6": (F.relu6, 6),
    "module relu6": (nn.ReLU6(), 6),
    "module relu6 in-place": (nn.ReLU6(inplace=True), 6),
    "hardtanh": (lambda x: F.hardtanh(x, 0, 6), 6),
    "hardtanh_": (lambda x: F.hardtanh_(x, 0.0, 4.0), 4),
    "clamp": (lambda x: x.clamp(min=0), 1e9),
    "clamp_": (lambda x: x.clamp_(0), 1e9),
    "clamp_min": (lambda x: x.clamp_min(0), 1e9),
    "threshold": (lambda x: F.threshold(x, 0.0, 0.0), 1e9),
}
GATES = {
    "backprop": lambda x, g, ceiling: g * ((x > 0) & (x < ceiling)),
    "deconvnet": lambda x, g, ceiling: g * (g > 0),
    "guided": lambda x, g, ceiling: g * ((x > 0) & (x < ceiling)) * (g > 0),
}


@pytest.mark.parametrize("rule", GATES)
@pytest.mark.parametrize("name", RELUS)
def test_rules_reach_every_way_to_write_a_relu(name, rule):
    relu, ceiling = RELUS[name]
    generator = torch.Generator().manual_seed(0)
    x = (6 * torch.randn(40, generator=generator)).requires_grad_()
    slope = torch.randn(40, generator=generator)
    inner = x * 1
    y = relu(inner)
    with override_relu(rule) as override:
        assert override(y) is y
        (gradient,) = torch.autograd.grad(y, x, slope)
    assert override.relus == 1
    assert torch.equal(y, x.clamp(0, ceiling))
    assert (y is inner) == name.endswith(("in-place", "_"))
    assert torch.equal(gradient, GATES[rule](x.detach(), slope, ceiling))


def test_other_activations_are_left_alone():
    x = torch.tensor([-2.0, 0.5, 3.0], requires_grad=True)
    y = -(
        F.hardtanh(x) + F.leaky_relu(x) + F.silu(x) + x.clamp(0, 1) + x.clamp(1) + x.clamp(max=0) + F.threshold(x, 1, 0)
    )
    y = y - x.clamp(torch.zeros(3))  # con tensores, clamp no es una ReLU
    (plain,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    for rule in RULES:
        with override_relu(rule) as override:
            assert torch.equal(torch.autograd.grad(override(y).sum(), x, retain_graph=True)[0], plain)
        assert override.relus == 0


def test_the_gradient_on_the_output_of_a_ruled_relu_is_whole():
    x, slope = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([-1.0, 1.0])
    y = torch.relu(x)
    for rule in ("guided", "deconvnet"):
        with override_relu(rule) as override:
            on_output, on_input = torch.autograd.grad(override(y * slope).sum(), [y, x], retain_graph=True)
        assert torch.equal(on_output, slope)
        assert torch.equal(on_input, slope.clamp(0))


class Mute(torch.autograd.Function):
    """Deja pasar el valor y no devuelve gradiente."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None


def test_a_relu_without_a_gradient_has_nothing_to_rule():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for rule in RULES:
        with override_relu(rule) as override:
            y = override(Mute.apply(torch.relu(x)).sum() + 3 * x.sum())
            assert torch.autograd.grad(y, x)[0].tolist() == [3, 3]


def test_override_ends_with_its_context_and_on_exception():
    x = torch.tensor([1.0], requires_grad=True)
    y = -torch.relu(x)
    for rule in ("guided", "deconvnet"):
        with override_relu(rule) as override:
            assert torch.autograd.grad(override(y), x, retain_graph=True)[0] == 0
        assert torch.autograd.grad(y, x, retain_graph=True)[0] == -1
        with pytest.raises(AttributeError), override_relu(rule) as override:
            override(y).nada()
        assert torch.autograd.grad(y, x, retain_graph=True)[0] == -1


def part_changed(x):
    x = x * 1
    x[:, :2].relu_()
    return x


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchScript está en desuso, pero sigue habiendo modelos
    SCRIPTED = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()))

HIDDEN = {
    "CopySlices": part_changed,
    "CheckpointFunction": lambda x: checkpoint(torch.relu, x, use_reentrant=True),
    "DifferentiableGraph": lambda x: SCRIPTED(x),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_relu_that_the_graph_hides_is_refused(name):
    x = torch.rand(3, 4, requires_grad=True)
    for _ in range(3):  # TorchScript funde las operaciones tras mirar dos pasadas
        y = HIDDEN[name](x)
    for rule in ("guided", "deconvnet"):
        with override_relu(rule) as override, pytest.raises(ConvlabError, match=rf"{name}.*sin compilar"):
            override(y)
    with override_relu("backprop") as override:
        assert override(y) is y


def test_override_rule_typo():
    with pytest.raises(ConvlabError, match="«guided»"):
        override_relu("guide")


def test_backprop_rule_is_plain_autograd(network):
    plain = input_gradient(network.model, network.x, score)
    with override_relu("backprop") as override:
        ruled = input_gradient(network.model, network.x, lambda output: override(score(output)))
    assert override.relus > 0
    assert (ruled - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_guided_reaches_functional_relus_of_googlenet():
    """Captum no ve las ReLU funcionales de GoogLeNet; con ellas convertidas en módulos, coincide con nosotros."""
    model = randomize(torchvision.models.googlenet(init_weights=False, aux_logits=False)).double()
    x = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0)).double()
    with override_relu("guided") as override, left_as_found(model, x):
        got = input_gradient(model, x, lambda output: override(target_score(7)(output)))
    assert override.relus == 57

    modular = copy.deepcopy(model)
    for parent in list(modular.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "BasicConv2d":
                setattr(parent, name, nn.Sequential(child.conv, child.bn, nn.ReLU()))
    expected = GuidedBackprop(modular).attribute(x, target=7)
    plain = input_gradient(model, x, target_score(7))
    assert (got - expected).abs().max() <= 1e-10 * expected.abs().max()
    assert (plain - expected).abs().max() > 0.1 * expected.abs().max()


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_override_works_in_any_mode_with_relu6_networks(mode):
    net = make_network("efficientnet_lite0")
    with mode(), override_relu("guided") as override:
        guided = input_gradient(net.model, net.x[:1], lambda output: override(score(output)))
    assert override.relus > 30
    assert guided.abs().sum() > 0
