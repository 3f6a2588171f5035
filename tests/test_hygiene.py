"""Toda función pública que recibe un modelo: lo deja como estaba, y acierta o lo dice, venga como venga.

La lista de funciones se saca de los `__all__`: una función nueva que no esté en `CALLS` hace fallar la primera prueba.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pkgutil
import random
from collections import OrderedDict
from contextlib import contextmanager, nullcontext
from functools import partial

import conftest
import numpy as np
import pytest
import torch
from conftest import left_as_found, randomize
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import convlab
from convlab import (
    activations,
    adversarial,
    deconvnet,
    explanation,
    filters,
    gradcam,
    hooks,
    human,
    maximization,
    occlusion,
    retrieval,
    saliency,
    sanity,
    training,
)
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.targets import target_score

K = 10
CLASSES = [f"clase {k}" for k in range(K)]
DEVICE = conftest.DEVICE
X = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(0)).to(DEVICE)


class Faulty(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("a mitad de la vuelta")


class Net(nn.Sequential):
    """Red pequeña con BatchNorm, ReLU *in-place* y *dropout*, que falla donde se le pide."""

    fault: str | None = None
    pair = False

    def forward(self, x):
        x = self.relu(self.bn(self.conv1(x)))
        if self.fault == "forward":
            raise RuntimeError("a mitad de la ida")
        if self.fault == "backward":
            x = Faulty.apply(x)
        logits = self.fc(self.flat(self.gap(self.drop(self.relu2(self.conv2(self.pool(x)))))))
        return (logits, x) if self.pair else logits


def make(fault=None, pair=False):
    net = Net(
        OrderedDict(
            conv1=nn.Conv2d(3, 8, 3, padding=1),
            bn=nn.BatchNorm2d(8),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 12, 3, padding=1),
            relu2=nn.ReLU(),
            drop=nn.Dropout(0.5),
            gap=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            fc=nn.Linear(12, K),
        )
    )
    net = randomize(net)
    net.fault, net.pair = fault, pair
    return net.to(DEVICE)


Y = make()(X).argmax(1)  # acierta las dos: así los ataques tienen qué atacar


def dice():
    return torch.Generator(DEVICE).manual_seed(7)


SCENES = formas(4, seed=5)

# De cada función, lo que se prueba en ella y una llamada (modelo, imágenes, clases, capa). Lo que se prueba: t, recibe
# la clase; l, recibe una capa; s, admite `select`; b, deriva hasta las primeras capas; -, no da ninguna pasada.
CALLS = {
    "capture_activations": ("l", lambda m, x, y, at, **s: activations.capture_activations(m, x, [at])),
    "input_support": ("l", lambda m, x, y, at, **s: activations.input_support(m, x[:1], at, (2, 2))),
    "receptive_field_of": (
        "l",
        lambda m, x, y, at, **s: activations.receptive_field_of(m, x[:1], at),
    ),
    "top_images": ("l", lambda m, x, y, at, **s: activations.top_images(m, [x], at, 1)),
    "unit_statistics": ("l", lambda m, x, y, at, **s: activations.unit_statistics(m, [x], at)),
    "deepfool": ("b", lambda m, x, y, at, **s: adversarial.deepfool(m, x, steps=3)),
    "accuracy_curve": (
        "tb",
        lambda m, x, y, at, **s: adversarial.accuracy_curve(m, x, y, adversarial.fgsm, [0.1]),
    ),
    "attack_success_rate": (
        "t",
        lambda m, x, y, at, **s: adversarial.attack_success_rate(m, x, 1 - x, y),
    ),
    "minimal_epsilon": (
        "tb",
        lambda m, x, y, at, **s: adversarial.minimal_epsilon(m, x, y, adversarial.fgsm, tol=0.02),
    ),
    "transfer_matrix": (
        "tb",
        lambda m, x, y, at, **s: adversarial.transfer_matrix({"una": m}, x, y, partial(adversarial.fgsm, eps=0.1))[1],
    ),
    "pgd_l2": ("tb", lambda m, x, y, at, **s: adversarial.pgd_l2(m, x, y, 1.0, 0.3, 2, False)),
    "targeted_pgd_l2": (
        "tb",
        lambda m, x, y, at, **s: adversarial.targeted_pgd_l2(m, x, y, 1.0, 0.3, 2, False),
    ),
    "bim": ("tb", lambda m, x, y, at, **s: adversarial.bim(m, x, y, 0.1, 0.05, 2)),
    "fgsm": ("tb", lambda m, x, y, at, **s: adversarial.fgsm(m, x, y, 0.1)),
    "pgd": ("tb", lambda m, x, y, at, **s: adversarial.pgd(m, x, y, 0.1, 0.05, 2, True, dice())),
    "targeted_pgd": (
        "tb",
        lambda m, x, y, at, **s: adversarial.targeted_pgd(m, x, y, 0.1, 0.05, 2, True, dice()),
    ),
    "patch_success": (
        "t",
        lambda m, x, y, at, **s: adversarial.patch_success(
            m, x, torch.ones(3, 6, 6).to(x), int(y[0]), generator=dice()
        ),
    ),
    "train_patch": (
        "tb",
        lambda m, x, y, at, **s: adversarial.train_patch(m, x, int(y[0]), 6, steps=2, generator=dice()),
    ),
    "deconvnet": ("lb", lambda m, x, y, at, **s: deconvnet.deconvnet(m, x, at, 1)),
    "input_signal": ("tsb", lambda m, x, y, at, **s: deconvnet.input_signal(m, x, y, "deconvnet", **s)),
    "compare": ("tb", lambda m, x, y, at, **s: explanation.compare(m, x, ["saliency"], target=y)),
    "explain": ("tls", lambda m, x, y, at, **s: explanation.explain(m, x, y, layer=at, **s)),
    "first_layer_weight": ("-", lambda m, x, y, at, **s: filters.first_layer_weight(m)),
    "layer_weight": ("l-", lambda m, x, y, at, **s: filters.layer_weight(m, at)),
    "composed_filters": (
        "l-",
        lambda m, x, y, at, **s: filters.composed_filters(nn.Sequential(OrderedDict(m.named_children())), at),
    ),
    "grad_cam": ("tls", lambda m, x, y, at, **s: gradcam.grad_cam(m, x, y, at, **s)),
    "grad_cam_plus_plus": ("tls", lambda m, x, y, at, **s: gradcam.grad_cam_plus_plus(m, x, y, at, **s)),
    "guided_grad_cam": ("tlsb", lambda m, x, y, at, **s: gradcam.guided_grad_cam(m, x, y, at, **s)),
    "activation_and_gradient": (
        "tls",
        lambda m, x, y, at, **s: hooks.activation_and_gradient(m, x, at, target_score(y, **s)),
    ),
    "capture": ("l", lambda m, x, y, at, **s: hooks.capture(m, x, [at, "fc"])),
    "input_gradient": ("tsb", lambda m, x, y, at, **s: hooks.input_gradient(m, x, target_score(y, **s))),
    "last_conv_layer": ("", lambda m, x, y, at, **s: hooks.last_conv_layer(m, x)),
    "layer_gradient": ("lb", lambda m, x, y, at, **s: hooks.layer_gradient(m, x, at, lambda a: a.square())),
    "distortion_trials": (
        "",
        lambda m, x, y, at, **s: human.distortion_trials(m, SCENES, "noise", [0.1], observer="red"),
    ),
    "network_trials": (
        "t",
        lambda m, x, y, at, **s: human.network_trials(m, x, y, observer="red", classes=CLASSES),
    ),
    "maximize": (
        "lb",
        lambda m, x, y, at, **s: maximization.maximize(m, at, 1, steps=2, size=16, generator=dice()),
    ),
    "objective_score": (
        "l",
        lambda m, x, y, at, **s: maximization.objective_score(m, x, maximization.channel(at, 1)),
    ),
    "optimize": (
        "tsb",
        lambda m, x, y, at, **s: maximization.optimize(
            m, maximization.class_logit(int(y[0]), **s), steps=2, size=16, generator=dice()
        ),
    ),
    "deletion_curve": (
        "ts",
        lambda m, x, y, at, **s: occlusion.deletion_curve(m, x, y, x.detach().mean(1), 3, per_image=True, **s),
    ),
    "insertion_curve": (
        "ts",
        lambda m, x, y, at, **s: occlusion.insertion_curve(m, x, y, x.detach().mean(1), 3, per_image=True, **s),
    ),
    "occlusion_map": ("ts", lambda m, x, y, at, **s: occlusion.occlusion_map(m, x, y, 8, 6, **s)),
    "rise": (
        "ts",
        lambda m, x, y, at, **s: occlusion.rise(m, x, y, n=4, generator=dice(), batch_size=100, **s),
    ),
    "features": ("l", lambda m, x, y, at, **s: retrieval.features(m, [x], at)),
    "completeness_gap": (
        "ts",
        lambda m, x, y, at, **s: saliency.completeness_gap(m, x, y, x.detach().mean(1), **s),
    ),
    "gradient_times_input": ("tsb", lambda m, x, y, at, **s: saliency.gradient_times_input(m, x, y, **s)),
    "guided_backprop": ("tsb", lambda m, x, y, at, **s: saliency.guided_backprop(m, x, y, **s)),
    "integrated_gradients": (
        "tsb",
        lambda m, x, y, at, **s: saliency.integrated_gradients(m, x, y, steps=3, **s),
    ),
    "saliency_map": ("tsb", lambda m, x, y, at, **s: saliency.saliency_map(m, x, y, **s)),
    "smoothgrad": (
        "tsb",
        lambda m, x, y, at, **s: saliency.smoothgrad(m, x, y, n=2, sigma=1e-7, generator=dice(), **s),
    ),
    "randomize_layers": ("l-", lambda m, x, y, at, **s: sanity.randomize_layers(m, [at], dice()).state_dict()),
    "accuracy": ("b", lambda m, x, y, at, **s: training.accuracy(m, n=8, seed=1, attack_steps=1)),
}
# Lo que ya prueban a fondo test_hooks.py y test_occlusion.py, o no da pasadas.
ELSEWHERE = {"evaluating", "get_layer", "forward_windows"}


def public_functions():
    found = set()
    for info in pkgutil.walk_packages(convlab.__path__, "convlab."):
        if any(part.startswith("_") for part in info.name.split(".")) or ".exercises" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            function = getattr(module, name)
            if inspect.isfunction(function) and {"model", "models"} & set(inspect.signature(function).parameters):
                found.add(function.__name__)
    return found


def having(flag):
    return [name for name, (flags, _) in CALLS.items() if flag in flags]


def lacking(flag):
    return [name for name, (flags, _) in CALLS.items() if flag not in flags]


def run(name, model, x=X, y=Y, at="conv2", **select):
    return CALLS[name][1](model, x, y, at, **select)


def leaves(result):
    """Los números y los textos de un resultado, sea cual sea su forma."""
    if dataclasses.is_dataclass(result):
        fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result) if f.name != "seconds"}
        result = {name: value for name, value in fields.items() if not callable(value)}
    if isinstance(result, list | tuple | dict):
        return [leaf for part in pytree.tree_leaves(result) for leaf in ([part] if part is not result else [])]
    return [result]


def assert_same(found, expected, tolerance=1e-5):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        if isinstance(b, Tensor) and b.is_floating_point():
            scale = b[b.isfinite()].abs().max() if b.isfinite().any() else 1.0
            torch.testing.assert_close(a.to(b.dtype), b, rtol=tolerance, atol=float(tolerance * scale), equal_nan=True)
        elif isinstance(b, Tensor):
            assert torch.equal(a, b)
        elif isinstance(b, float):
            assert a == pytest.approx(b, rel=tolerance, nan_ok=True)
        elif not hasattr(b, "axes"):  # una figura no se compara
            assert a == b


@contextmanager
def chance_untouched():
    def states():
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002

    before = states()
    yield
    assert states() == before


def test_every_public_function_with_a_model_is_here():
    assert public_functions() - ELSEWHERE == set(CALLS)


# --- no deja rastro --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_leaves_the_model_as_it_was(name, train):
    model, x, y = make().train(train), X.clone(), Y.clone()
    modules = list(model.modules())
    with left_as_found(model, x, y), chance_untouched():
        run(name, model, x, y)
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", having("t"))
def test_an_impossible_class_is_an_error_and_leaves_no_trace(name, train):
    model = make().train(train)
    with left_as_found(model, X), chance_untouched(), pytest.raises(ConvlabError, match=r"[Cc]lase|99"):
        run(name, model, y=torch.tensor([99, 99]))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", having("l"))
def test_a_typo_in_the_layer_is_an_error_and_leaves_no_trace(name, train):
    model = make().train(train)
    with left_as_found(model, X), chance_untouched(), pytest.raises(ConvlabError, match="conv2"):
        run(name, model, at="conv22")


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", lacking("-"))
def test_an_exception_inside_the_model_leaves_no_trace(name, train):
    model = make("forward").train(train)
    with left_as_found(model, X), chance_untouched(), pytest.raises(RuntimeError, match="a mitad de la ida"):
        run(name, model)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", lacking("-"))
def test_an_exception_in_the_middle_of_a_backward_pass_leaves_no_trace(name, train):
    model = make("backward").train(train)
    expected = pytest.raises(RuntimeError, match="a mitad de la vuelta") if name in having("b") else nullcontext()
    with left_as_found(model, X), chance_untouched(), expected:
        run(name, model)


# --- acierta, venga como venga ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("surroundings", [torch.no_grad, torch.inference_mode])
def test_under_no_grad_and_inference_mode(name, surroundings):
    model = make()
    expected = run(name, model)
    with surroundings():
        found = run(name, model, X.clone(), Y.clone())
    assert_same(found, expected)


@pytest.mark.parametrize("name", CALLS)
def test_with_frozen_parameters_and_a_model_in_train_mode(name):
    model = make()
    expected = run(name, model)
    assert_same(run(name, copy.deepcopy(model).requires_grad_(False).train()), expected)


@pytest.mark.parametrize("name", CALLS)
def test_with_an_input_that_asks_for_gradients_and_is_not_contiguous(name):
    model = make()
    x = X.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).requires_grad_()
    found = run(name, model, x)
    assert x.grad is None
    assert_same(found, run(name, model))
    assert not any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves(found))


# Con la misma semilla, torch saca otro azar en float64 y en otro dispositivo.
NOISY = {"pgd", "targeted_pgd", "randomize_layers"}

if DEVICE.type != "cpu":

    @pytest.mark.parametrize("name", sorted(set(CALLS) - NOISY - {"train_patch", "patch_success", "rise"}))
    def test_agrees_with_the_cpu(name):
        model = make()
        expected = leaves(run(name, copy.deepcopy(model).cpu(), X.cpu(), Y.cpu()))
        found = [leaf.cpu() if isinstance(leaf, Tensor) else leaf for leaf in leaves(run(name, model))]
        for a, b in zip(found, expected, strict=True):
            if name in ("fgsm", "bim"):  # donde el gradiente es casi cero, su signo es de cada máquina
                assert ((a - b).abs() > 1e-4).float().mean() < 0.01
            else:
                assert_same(a, b, 1e-3)


@pytest.mark.parametrize("name", sorted(set(CALLS) - NOISY))
def test_float64_agrees_with_float32(name):
    if name == "accuracy":  # genera ella las escenas, en float32
        with pytest.raises(ConvlabError, match="float64"):
            run(name, make().double())
        return
    found = run(name, make().double(), X.double())
    assert_same(found, run(name, make()), 2e-3)


@pytest.mark.parametrize("name", CALLS)
def test_bfloat16_works_and_is_finite(name):
    if name == "accuracy":
        return
    for leaf in leaves(run(name, make().bfloat16(), X.bfloat16())):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            assert not leaf.isnan().any()


@pytest.mark.parametrize("name", CALLS)
def test_each_image_of_a_batch_is_on_its_own(name):
    """Cinco imágenes con clases distintas, juntas y de una en una."""
    model = make()
    x = torch.rand(5, 3, 24, 20, generator=torch.Generator().manual_seed(9)).to(DEVICE)
    y = torch.tensor([3, 8, 0, 9, 5], device=DEVICE)
    together = run(name, model, x, y)
    alone = [run(name, model, x[k : k + 1], y[k : k + 1]) for k in range(5)]
    if isinstance(together, Tensor) and len(together) == 5 and name not in ("pgd", "targeted_pgd"):  # su ruido es otro
        assert_same(together, torch.cat(alone), 1e-4)


@pytest.mark.parametrize("name", lacking("-"))
def test_a_model_that_returns_a_tuple(name):
    model = make(pair=True)
    if name in having("s"):
        assert_same(run(name, model, select=lambda out: out[0]), run(name, make()))
    if name in having("t"):
        with left_as_found(model, X), pytest.raises(ConvlabError, match=r"logits|tensor|puntuaciones"):
            run(name, model)
