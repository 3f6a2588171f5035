"""`convlab.saliency`: identidades exactas, diferencias finitas, acuerdo con Captum, y ningún rastro."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, Saliency
from conftest import left_as_found, randomize
from torch import nn

from convlab import metrics, sanity
from convlab.errors import ConvlabError
from convlab.models.mini import Mini
from convlab.saliency import (
    completeness_gap,
    gradient_times_input,
    guided_backprop,
    integrated_gradients,
    pointing_game,
    randomize_layers,
    saliency_map,
    smoothgrad,
)

X = torch.rand(2, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([3, 1])
MAPS = [saliency_map, gradient_times_input, guided_backprop, smoothgrad, integrated_gradients]


def curved(seed=0):
    """Red suave y no lineal, con sesgos y BatchNorm genéricos, en float64."""
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Softplus(), nn.Flatten(), nn.Dropout(), nn.Linear(5 * 7 * 5, 4)
    )
    return randomize(net, seed).double()


def linear(bias=True):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 9 * 7, 4, bias=bias)).double()


def picked(model, x, target=TARGET, probability=False):
    logits = model(x)
    return (logits.softmax(1) if probability else logits).gather(1, target[:, None])[:, 0]


# --- identidades -----------------------------------------------------------------------------------------------------


def test_on_a_linear_model_everything_is_known():
    model = linear()
    weight = model[1].weight[TARGET].view(2, 3, 9, 7).detach()
    torch.testing.assert_close(saliency_map(model, X, TARGET), weight.abs().amax(1))
    torch.testing.assert_close(gradient_times_input(model, X, TARGET), (weight * X).sum(1))
    base = torch.rand(1, 3, 1, 1, dtype=torch.float64)
    found = integrated_gradients(model, X, TARGET, base, steps=1)
    torch.testing.assert_close(found, (weight * (X - base)).sum(1))
    noisy = smoothgrad(model, X, TARGET, n=3, sigma=0.5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(noisy, weight.abs().amax(1))


def test_without_bias_gradient_times_input_adds_up_to_the_logit():
    model = linear(bias=False)
    torch.testing.assert_close(gradient_times_input(model, X, TARGET).sum((1, 2)), picked(model, X).detach())


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_gradient_agrees_with_finite_differences(output):
    model, step = curved(), 1e-6
    gradient = torch.zeros_like(X)
    with torch.no_grad():
        for c, i, j in torch.cartesian_prod(*(torch.arange(k) for k in X.shape[1:])).tolist():
            moved = torch.zeros_like(X)
            moved[:, c, i, j] = step
            both = (picked(model, X + s * moved, probability=output == "probability") for s in (1, -1))
            gradient[:, c, i, j] = (next(both) - next(both)) / (2 * step)
    found = saliency_map(model, X, TARGET, output=output)
    torch.testing.assert_close(found, gradient.abs().amax(1), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("output", ["logit", "probability"])
@pytest.mark.parametrize("baseline", [0.0, 0.5, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64).view(1, 3, 1, 1)])
def test_integrated_gradients_are_complete(baseline, output):
    model = curved()
    few, many = (integrated_gradients(model, X, TARGET, baseline, steps, output=output) for steps in (1, 40))
    gaps = [completeness_gap(model, X, TARGET, m, baseline, output=output).abs().max() for m in (few, many)]
    assert gaps[1] < 1e-6 < gaps[0]


def test_completeness_gap_is_what_its_name_says():
    model = curved()
    heat = torch.rand(2, 9, 7, dtype=torch.float64)
    with torch.no_grad():
        change = picked(model, X) - picked(model, torch.full_like(X, 0.25))
    torch.testing.assert_close(completeness_gap(model, X, TARGET, heat, 0.25), heat.sum((1, 2)) - change)


def test_the_default_baseline_is_black():
    model, black = curved(), torch.zeros_like(X)
    heat = integrated_gradients(model, X, TARGET)
    assert torch.equal(heat, integrated_gradients(model, X, TARGET, black, 32, output="logit"))
    assert torch.equal(completeness_gap(model, X, TARGET, heat), completeness_gap(model, X, TARGET, heat, black))


def test_the_baseline_gets_nothing():
    assert integrated_gradients(curved(), X, TARGET, X).abs().max() == 0


# --- SmoothGrad ------------------------------------------------------------------------------------------------------


def test_smoothgrad_is_the_slow_loop():
    """Una a una: ruido nuevo en cada copia, gradientes promediados con su signo, y después el valor absoluto."""
    model, n, sigma = curved(), 5, 0.3
    generator = torch.Generator().manual_seed(7)
    total = torch.zeros_like(X)
    for _ in range(n):
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype)
        for k in range(len(X)):
            copy = (X[k : k + 1] + sigma * noise[k : k + 1]).requires_grad_()
            total[k] += torch.autograd.grad(model(copy)[0, TARGET[k]], copy)[0][0] / n
    expected = total.abs().amax(1)
    for batch_size in (1, 2, 3, 4, 100):
        generator = torch.Generator().manual_seed(7)
        found = smoothgrad(model, X, TARGET, n, sigma, generator, batch_size=batch_size)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)  # también se acumula en float64


def test_without_noise_smoothgrad_is_saliency():
    torch.testing.assert_close(smoothgrad(curved(), X, 2, n=3, sigma=0), saliency_map(curved(), X, 2))


def test_smoothgrad_by_default_takes_32_copies_with_noise_of_0_15():
    default = smoothgrad(curved(), X, 2, generator=torch.Generator().manual_seed(4))
    explicit = smoothgrad(curved(), X, 2, 32, 0.15, torch.Generator().manual_seed(4), output="logit")
    assert torch.equal(default, explicit)


def test_smoothgrad_uses_its_generator_and_not_the_global_one():
    state = torch.get_rng_state()
    one, two = (smoothgrad(curved(), X, 2, 2, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    again = smoothgrad(curved(), X, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.set_rng_state(state)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    model, generator = curved(), torch.Generator().manual_seed(0)
    state = torch.get_rng_state()
    smoothgrad(model, X, 2, 2, generator=generator)
    assert torch.equal(torch.get_rng_state(), state)


# --- acuerdo con Captum ----------------------------------------------------------------------------------------------


def test_agrees_with_captum(network):
    model, x = network.model, network.x
    target = torch.tensor([3, 7])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradient = Saliency(model).attribute(x, target, abs=False)
        expected = {
            saliency_map: gradient.abs().amax(1),
            gradient_times_input: InputXGradient(model).attribute(x, target).sum(1),
            integrated_gradients: IntegratedGradients(model)
            .attribute(x, 0.2, target, n_steps=6, method="gausslegendre")
            .sum(1),
        }
    options = {integrated_gradients: {"baseline": 0.2, "steps": 6, "batch_size": 5}}
    for method, wanted in expected.items():
        found = method(model, x, target, **options.get(method, {}))
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max(), method.__name__


def test_guided_agrees_with_captum(vgg16):
    """En vgg16, donde Captum no se deja ninguna ReLU funcional."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = GuidedBackprop(vgg16.model).attribute(vgg16.x, 5)
    found = guided_backprop(vgg16.model, vgg16.x, 5)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


# --- lo que no debe pasar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("method", MAPS)
def test_leaves_no_trace_even_when_the_model_fails(method, train):
    model, x = randomize(Mini()).train(train), torch.rand(2, 3, 64, 48)
    with left_as_found(model, x):
        method(model, x, torch.tensor([3, 5]))
        with pytest.raises(ConvlabError):
            method(model, x, 10)

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.mini = Mini().train(train)

        def forward(self, x):
            return self.mini(x) + self.missing

    broken = Broken()
    with left_as_found(broken, x), pytest.raises(AttributeError):
        method(broken, x, 3)


@pytest.mark.parametrize("method", MAPS)
def test_each_image_on_its_own_with_its_class_under_any_mode(method):
    # En float64: en float32 el redondeo cruza alguna esquina de ReLU, y el gradiente da un salto.
    model, x = randomize(Mini()).double(), torch.rand(3, 3, 40, 64, dtype=torch.float64)
    target = torch.tensor([1, 4, 9])

    def call(net, images, classes):
        options = {"sigma": 0.0, "n": 2} if method is smoothgrad else {}
        return method(net, images, classes, **options)

    together = call(model, x, target)
    alone = torch.cat([call(model, x[k : k + 1], int(target[k])) for k in range(3)])
    torch.testing.assert_close(together, alone)
    assert not together.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(call(model, x, target), together)
    torch.testing.assert_close(call(model.requires_grad_(False), x, target), together)
    strided = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(call(model, strided, target), together)


@pytest.mark.parametrize("method", MAPS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_the_dtype(method, dtype):
    model, x = randomize(Mini()).to(dtype), torch.rand(1, 3, 64, 64, dtype=dtype)
    found = method(model, x, 2)
    assert found.dtype == dtype
    assert found.isfinite().all()


@pytest.mark.parametrize("method", MAPS)
def test_tuple_outputs_need_a_selector(method):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.mini = randomize(Mini())

        def forward(self, x):
            return self.mini(x), x

    pair, x = Pair().eval(), torch.rand(1, 3, 64, 64)
    with pytest.raises(ConvlabError, match="select"):
        method(pair, x, 1)
    options = {"generator": torch.Generator().manual_seed(0)} if method is smoothgrad else {}
    found = method(pair, x, 1, select=lambda out: out[0], **options)
    if options:
        options["generator"].manual_seed(0)
    torch.testing.assert_close(found, method(pair.mini, x, 1, **options))
    gap = completeness_gap(pair, x, 1, x[:, 0], select=lambda out: out[0])
    torch.testing.assert_close(gap, completeness_gap(pair.mini, x, 1, x[:, 0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: saliency_map(m, X.byte(), 1), "coma flotante"),
        (lambda m: smoothgrad(m, X.byte(), 1), "coma flotante"),
        (lambda m: integrated_gradients(m, X[0], 1), r"x\[None\]"),
        (lambda m: saliency_map(m, X, torch.tensor([1, 2, 3])), "Con 2 imágenes"),
        (lambda m: integrated_gradients(m, X, torch.tensor([1, 2, 3])), "Con 2 imágenes"),
        (lambda m: smoothgrad(m, X, 4), "La clase 4 no existe"),
        (lambda m: saliency_map(m, X, 1, output="probabilty"), "probability"),
        (lambda m: smoothgrad(m, X, 1, n=0), "`n` debe ser un entero desde 1 y llegó 0"),
        (lambda m: smoothgrad(m, X, 1, sigma=-1), "sigma"),
        (lambda m: smoothgrad(m, X, 1, batch_size=0), "`batch_size`"),
        (lambda m: integrated_gradients(m, X, 1, steps=2.5), "`steps`"),
        (lambda m: integrated_gradients(m, X, 1, batch_size=0), "`batch_size`"),
        (lambda m: integrated_gradients(m, X, 1, torch.zeros(2, 2)), r"línea base \(2, 2\)"),
        (lambda m: completeness_gap(m, X, 1, X), r"Se esperaba un mapa \(2, 9, 7\)"),
        (lambda m: guided_backprop(m, X, 1), "ninguna ReLU"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call(curved())


def test_costs_one_pass_each_way():
    """Una pasada por lote en la saliencia; en gradientes integrados, `steps · N / batch_size`."""
    model, passes = curved(), []
    model.register_forward_hook(lambda _m, inputs, _o: passes.append(len(inputs[0])))
    saliency_map(model, X, 1)
    assert passes == [2]
    passes.clear()
    integrated_gradients(model, X, 1, steps=10, batch_size=8)
    assert passes == [8, 8, 4]
    passes.clear()
    integrated_gradients(model, X, 1, steps=3, batch_size=1)
    assert passes == [2, 2, 2], "nunca menos que el lote"


@pytest.mark.parametrize(("side", "per_pass"), [(256, 12), (1024, 1)])
def test_by_default_as_many_versions_per_pass_as_fit_in_the_cache(side, per_pass):
    """La mayor activación tiene 8 canales: 2 MiB por imagen de 256 px y 32 por una de 1024, para 24 MiB."""
    big = nn.Linear(3000, 3000)  # sus pesos pasan de 32 MiB, pero no crecen con el lote: no cuentan
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3000), big)
    model, passes = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), *head), []
    model.register_forward_hook(lambda _m, inputs, _o: passes.append(len(inputs[0])))
    x = torch.rand(1, 3, side, side)
    n = 2 * per_pass + 2
    for method in (smoothgrad, integrated_gradients):
        passes.clear()
        method(model, x, 1, **{"n" if method is smoothgrad else "steps": n})
        assert passes == ([1] * n if per_pass == 1 else [1, per_pass, per_pass, 1])


@pytest.mark.parametrize("n", [1, 4])
def test_a_model_that_overwrites_what_the_derivative_needs_is_still_an_error(n):
    class Overwrites(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)).exp().add_(1)

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        smoothgrad(Overwrites(), X, 0, n=n)


def test_the_automatic_size_changes_nothing():
    model = curved()
    expected = integrated_gradients(model, X, TARGET, steps=9, batch_size=1)
    torch.testing.assert_close(integrated_gradients(model, X, TARGET, steps=9), expected, rtol=1e-10, atol=1e-12)


def test_the_lesson_offers_its_measures_too():
    assert pointing_game is metrics.pointing_game
    assert randomize_layers is sanity.randomize_layers
