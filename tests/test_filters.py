"""Lección 02: fórmulas cerradas, redes linealizadas, acuerdo con scipy y torch, y el camino con las redes del curso."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import scipy.signal
import scipy.special
import torch
import torch.nn.functional as F
import torchvision
from conftest import left_as_found, randomize
from matplotlib.figure import Figure
from torch import nn

from convlab import filters
from convlab.errors import ConvlabError
from convlab.filters import (
    composed_filters,
    conv_output_size,
    cross_correlate2d,
    filter_growth,
    filter_norms,
    first_layer_weight,
    frequency_tuning,
    grating_energy,
    layer_weight,
    linearized,
    low_frequency_share,
    normalize_filters,
    orientation_tuning,
    power_spectrum,
    radial_spectrum,
    roughness,
    signed_pairs,
    spectra,
)
from convlab.models import load_checkpoints, load_model
from convlab.models.mini import Mini
from convlab.models.normalized import Normalize, Normalized
from convlab.plots import filters as plots

PI = math.pi


def bank(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(found, expected, rtol=1e-10, atol=1e-12):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=rtol, atol=atol)


# --- tamaño y correlación --------------------------------------------------------------------------------------------


def test_output_size_is_the_one_torch_gives():
    for n, k, s, p, d in itertools.product((5, 8, 13), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2, 3)):
        if n + 2 * p < d * (k - 1) + 1:
            with pytest.raises(ConvlabError, match="no cabe"):
                conv_output_size(n, k, s, p, d)
        else:
            expected = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), None, s, p, d).shape[-1]
            assert conv_output_size(n, k, s, p, d) == expected


def test_output_size_accepts_any_integer_and_refuses_the_rest():
    size = conv_output_size(np.int64(8), torch.tensor(3), stride=2)
    assert size == 3
    assert type(size) is int
    bad = ({"n": 0}, {"kernel": 0}, {"stride": 0}, {"dilation": 0}, {"padding": -1}, {"kernel": 3.0}, {"n": True})
    for change in bad:
        with pytest.raises(ConvlabError, match=f"`{next(iter(change))}` debe ser un entero"):
            conv_output_size(**{"n": 9, "kernel": 3, **change})


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2), (1, 4)])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 2), (1, 4)])
def test_cross_correlation_agrees_with_torch(kernel, stride, padding):
    x, w = bank(7, 9, 3).permute(2, 1, 0), bank(*kernel, 3, 4, seed=1).permute(3, 2, 0, 1)  # ni contiguos ni cuadrados
    before = x.clone(), w.clone()
    found = cross_correlate2d(x, w, stride, padding)
    close(found, F.conv2d(x[None], w, stride=stride, padding=padding)[0], rtol=1e-12)
    assert torch.equal(x, before[0])
    assert torch.equal(w, before[1])


def test_cross_correlation_does_not_flip_the_kernel():
    x, w = bank(1, 8, 6), bank(1, 1, 3, 2, seed=1)
    close(cross_correlate2d(x, w)[0], scipy.signal.correlate2d(x[0], w[0, 0], "valid"))
    assert not np.allclose(cross_correlate2d(x, w)[0], scipy.signal.convolve2d(x[0], w[0, 0], "valid"))


def test_cross_correlation_is_differentiable_and_works_in_half_precision():
    x, w = bank(2, 5, 6).requires_grad_(), bank(3, 2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: cross_correlate2d(x, w, 2, 1), (x, w))
    with torch.inference_mode():
        half = cross_correlate2d(x.bfloat16(), w.bfloat16())
    assert half.dtype == torch.bfloat16
    exact = F.conv2d(x.bfloat16().double()[None], w.bfloat16().double())[0]
    torch.testing.assert_close(half.double(), exact.detach(), rtol=2**-8, atol=1e-6)  # un solo redondeo


def test_cross_correlation_errors():
    x, w = torch.rand(3, 8, 8), torch.rand(2, 3, 3, 3)
    for bad in (x[None], x[:2], x[0], 3):
        with pytest.raises(ConvlabError, match=r"se esperaba una imagen \(3, H, W\)"):
            cross_correlate2d(bad, w)
    with pytest.raises(ConvlabError, match=r"float64.*float32"):
        cross_correlate2d(x.double(), w)
    with pytest.raises(ConvlabError, match="no cabe"):
        cross_correlate2d(x[:, :2], w)
    with pytest.raises(ConvlabError, match="`stride`"):
        cross_correlate2d(x, w, stride=0)
    with pytest.raises(ConvlabError, match="`padding`"):
        cross_correlate2d(x, w, padding=(1, 1))


# --- verlos ----------------------------------------------------------------------------------------------------------


def test_normalization_keeps_zero_and_one_scale():
    w = bank(4, 3, 5, 5)
    w[1] *= 0.01
    w[2, 0, 0, 0] = 0
    shown = normalize_filters(w)
    close(shown, 0.5 + w / (2 * w.abs().max()))
    assert shown[2, 0, 0, 0] == 0.5
    assert (shown[1] - 0.5).abs().max() < 0.01
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert min(1 - shown.max(), shown.min()) == 0  # la escala llega justo al extremo
    close(normalize_filters(-w), 1 - shown)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_normalization_at_the_ends_of_each_type(dtype):
    assert torch.equal(
        normalize_filters(torch.zeros(2, 1, 3, 3, dtype=dtype)), torch.full((2, 1, 3, 3), 0.5, dtype=dtype)
    )
    largest = torch.tensor([torch.finfo(dtype).max, 0, -torch.finfo(dtype).max], dtype=dtype).view(3, 1, 1, 1)
    assert normalize_filters(largest).flatten().tolist() == [1, 0.5, 0]


FUNCTIONS = [
    normalize_filters, power_spectrum, radial_spectrum, low_frequency_share, roughness, filter_norms,
    lambda w: orientation_tuning(w, [0.0]), lambda w: frequency_tuning(w, [0.1]),
    lambda w: grating_energy(w, [0.1], [0.0]), lambda w: signed_pairs(w, 0),
    lambda w: cross_correlate2d(torch.rand(3, 9, 9), w),
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_not_a_bank_is_refused(function):
    for bad in (torch.rand(3, 5, 5), torch.zeros(2, 3, 5, 5, dtype=torch.long), torch.rand(0, 3, 5, 5), "w"):
        with pytest.raises(ConvlabError, match=r"filtros \(O, C, kh, kw\)"):
            function(bad)
    with pytest.raises(ConvlabError, match="NaN o infinitos"):
        function(torch.full((2, 3, 5, 5), math.inf))


@pytest.mark.parametrize("function", FUNCTIONS[:-1])
def test_measures_in_half_precision_without_trace(function):
    w = bank(5, 5, 3, 4, dtype=torch.bfloat16).permute(3, 2, 0, 1)  # no contiguo
    before, state = w.clone(), torch.get_rng_state()
    with torch.inference_mode():
        found, exact = function(w), function(w.double())
    assert torch.equal(w, before)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = vars(found).values() if hasattr(found, "unit") else found if isinstance(found, tuple) else [found]
    others = vars(exact).values() if hasattr(exact, "unit") else exact if isinstance(exact, tuple) else [exact]
    for a, b in zip(pairs, others, strict=True):
        if isinstance(a, torch.Tensor) and a.is_floating_point():
            assert a.dtype == torch.bfloat16
            torch.testing.assert_close(a.double(), b, rtol=2**-7, atol=1e-6)


# --- rejillas --------------------------------------------------------------------------------------------------------


def axes(k):
    """Coordenadas de un filtro de lado `k`: `x` hacia la derecha, `y` hacia abajo."""
    line = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
    return line[None, :].expand(k, k), line[:, None].expand(k, k)


def gabor(k, sigma, frequency, angle, phase):
    """Gabor con las barras en `angle`, contado desde la horizontal y hacia arriba."""
    x, y = axes(k)
    along = torch.tensor([math.cos(angle), -math.sin(angle)])  # hacia arriba es y negativa
    across = x * -along[1] + y * along[0]
    return torch.exp(-(x**2 + y**2) / (2 * sigma**2)) * torch.cos(2 * PI * frequency * across + phase)


@pytest.mark.parametrize("angle", [0.0, 0.4, PI / 4, PI / 2, 2.5])
@pytest.mark.parametrize("phase", [0.0, 1.0, PI / 2])
def test_gabor_energy_is_its_fourier_transform(angle, phase):
    sigma, f0 = 3.0, 0.2
    w = gabor(47, sigma, f0, angle, phase)
    frequencies = torch.tensor([0.03, 0.15, 0.2, 0.31], dtype=torch.float64)
    angles = torch.linspace(0, PI, 9, dtype=torch.float64)

    def wave(f, theta):
        return torch.stack([f * theta.sin(), f * theta.cos()], -1)

    u = wave(frequencies[:, None], angles[None])
    u0 = wave(torch.tensor(f0), torch.tensor(angle))
    near, far = (torch.exp(-2 * PI**2 * sigma**2 * (u - s * u0).square().sum(-1)) for s in (1, -1))
    spectrum = PI * sigma**2 * torch.abs(near * np.exp(1j * phase) + far * np.exp(-1j * phase))
    close(grating_energy(w[None, None], frequencies, angles)[0], spectrum**2, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("k", [6, 7, 11])
@pytest.mark.parametrize("angle", [0.0, PI / 6, PI / 4, PI / 2, 2.0])
def test_orientation_peaks_along_the_bars(k, angle):
    w = gabor(k, k / 4, 2 / k, angle, 0.7).expand(1, 3, k, k)
    angles = torch.arange(180, dtype=torch.float64) * PI / 180
    tuning = orientation_tuning(w, angles)[0]
    error = (angles[tuning.argmax()] - angle + PI / 2) % PI - PI / 2
    assert abs(error) < math.radians(6)  # la ventana cuadrada desvía algo el máximo
    opposite = orientation_tuning(w, [angle + PI / 2]).item()
    assert opposite < 0.05 * tuning.max()  # medido a 90° no responde


def test_pictures_of_known_orientation():
    horizontal, rising = torch.zeros(2, 1, 1, 5, 5, dtype=torch.float64)
    horizontal[..., 2, :] = 1
    rising[..., range(5), range(4, -1, -1)] = 1  # «/»: la columna crece al subir
    angles = torch.tensor([0, PI / 4, PI / 2, 3 * PI / 4])
    assert orientation_tuning(torch.cat([horizontal, rising, horizontal.mT, rising.flip(3)]), angles).argmax(
        1
    ).tolist() == [0, 1, 2, 3]


def test_energy_is_that_of_two_gratings_in_quadrature():
    """Las rejillas dibujadas píxel a píxel y correlacionadas con el filtro."""
    w, f, theta = bank(4, 3, 5, 7), 0.23, 1.1
    total = torch.zeros(4, dtype=torch.float64)
    for phase in (0.3, 0.3 + PI / 2):
        grating = torch.zeros(3, 5, 7, dtype=torch.float64)
        for y, x in itertools.product(range(5), range(7)):
            grating[:, y, x] = math.cos(2 * PI * f * (x * math.sin(theta) + y * math.cos(theta)) + phase)
        total += cross_correlate2d(grating, w).flatten().square()
    close(grating_energy(w, [f], [theta])[:, 0, 0], total)


def test_orientation_adds_the_stated_frequencies_and_repeats_every_half_turn():
    for k, count in {2: 1, 3: 1, 6: 3, 7: 3}.items():
        w, angles = bank(4, 3, k, k), torch.tensor([0.2, 1.7], dtype=torch.float64)
        parts = [grating_energy(w, [m / k], angles)[:, 0] for m in range(1, count + 1)]
        close(orientation_tuning(w, angles), sum(parts))
        close(orientation_tuning(w, angles + PI), sum(parts))


def test_color_opponent_filter_ignores_gray_gratings():
    w = torch.cat([bank(1, 1, 5, 5)] * 3, 1) * torch.tensor([1.0, -0.5, -0.5]).view(3, 1, 1)
    close(orientation_tuning(w, [0.0, 1.0]), torch.zeros(1, 2))


def test_frequency_tuning_is_the_exact_average_over_orientations():
    """La media angular de la energía es una suma de funciones de Bessel."""
    for k in ((7, 7), (3, 9), (40, 40)):
        w, frequencies = bank(2, 3, *k), [0.0, 0.05, 0.21, 0.5]
        y, x = np.indices(k).reshape(2, -1)
        gray = w.sum(1).flatten(1).numpy()
        distance = np.hypot(y[:, None] - y, x[:, None] - x)
        expected = np.stack(
            [np.einsum("op,oq,pq->o", gray, gray, scipy.special.j0(2 * PI * f * distance)) for f in frequencies], 1
        )
        close(frequency_tuning(w, frequencies), expected, rtol=1e-9, atol=1e-9)


def test_grating_errors():
    w = bank(2, 3, 5, 5)
    for bad in ([0.6], [-0.1], [0.2, 3]):
        with pytest.raises(ConvlabError, match="ciclos por píxel"):
            grating_energy(w, bad, [0.0])
    for bad in (0.3, [], [[0.1]], [math.nan]):
        with pytest.raises(ConvlabError, match="`angles` debe ser"):
            orientation_tuning(w, bad)
    with pytest.raises(ConvlabError, match="`frequencies` debe ser"):
        frequency_tuning(w, 0.2)
    for shape in ((2, 3, 1, 1), (2, 3, 3, 5)):
        with pytest.raises(ConvlabError, match="filtros cuadrados"):
            orientation_tuning(bank(*shape), [0.0])


# --- espectros -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [(7, 7), (4, 4), (3, 5)])
def test_power_spectrum_is_the_mean_of_slow_transforms(k):
    w = bank(4, 3, *k)
    fy, fx = (np.fft.fftshift(np.fft.fftfreq(n)) for n in k)
    y, x = np.indices(k)
    expected = np.zeros(k)
    for row, column in itertools.product(*(range(n) for n in k)):
        wave = np.exp(-2j * PI * (fy[row] * y + fx[column] * x))
        expected[row, column] = (np.abs((w.numpy() * wave).sum((2, 3))) ** 2).mean() / math.prod(k)
    close(power_spectrum(w), expected)
    close(power_spectrum(w).sum(), w.square().sum((2, 3)).mean())


@pytest.mark.parametrize("k", [(7, 7), (4, 4), (3, 5)])
def test_radial_spectrum_averages_each_ring(k):
    w = bank(4, 3, *k)
    power = power_spectrum(w)
    rings = {}
    for row, column in itertools.product(*(range(n) for n in k)):
        radius = math.hypot((row - k[0] // 2) / k[0], (column - k[1] // 2) / k[1])
        rings.setdefault(round(radius * min(k)), []).append((radius, power[row, column].item()))
    frequency, mean = radial_spectrum(w)
    close(frequency, [np.mean([r for r, _ in rings[m]]) for m in sorted(rings)])
    close(mean, [np.mean([p for _, p in rings[m]]) for m in sorted(rings)])


@pytest.mark.parametrize(
    ("k", "cutoff", "cells"),
    [(7, 0.3, 25), (7, 2 / 7, 25), (7, 0.28, 9), (7, 0, 1), (3, 1 / 3, 9), (8, 0.25, 25), (8, 0.5, 64)],
)
def test_white_noise_has_the_share_of_the_cells(k, cutoff, cells):
    deltas = torch.eye(k * k, dtype=torch.float64).view(-1, 1, k, k)
    close(low_frequency_share(deltas, cutoff), [cells / k**2] * k**2)
    noise = low_frequency_share(bank(4000, 3, k, k), cutoff).mean().item()
    assert noise == pytest.approx(cells / k**2, abs=0.006)


def test_share_of_pure_waves_is_all_or_nothing():
    x, y = axes(7)
    waves = torch.stack([torch.cos(2 * PI * m / 7 * line) for m in (2, 3) for line in (x, y)])[:, None]
    close(low_frequency_share(waves, 0.3), [1, 1, 0, 0])
    mixed = waves[:1] * 3 + waves[3:] * 4
    close(low_frequency_share(mixed, 0.3), [9 / 25])
    close(
        low_frequency_share(torch.cat([waves[:1], waves[3:] * 2], 1), 0.3), [1 / 5]
    )  # la energía se suma en los canales


def test_roughness_by_hand():
    w = bank(3, 2, 4, 5)
    pairs = [(w[:, :, 1:] - w[:, :, :-1]).flatten(1), (w[..., 1:] - w[..., :-1]).flatten(1)]
    expected = [
        sum((d[o] ** 2).sum() for d in pairs) / sum(d.shape[1] for d in pairs) / (2 * w[o].square().mean())
        for o in range(3)
    ]
    close(roughness(w), expected)
    close(roughness(w * torch.tensor([1e-3, -7, 40]).view(3, 1, 1, 1)), expected)
    board = (-1.0) ** np.indices((6, 6)).sum(0)
    close(roughness(torch.from_numpy(board)[None, None]), [2])
    close(roughness(torch.eye(49, dtype=torch.float64).view(49, 1, 7, 7)).mean(), 1)
    assert roughness(bank(3000, 3, 7, 7)).mean().item() == pytest.approx(1, abs=0.01)


def test_measures_without_energy_or_neighbours():
    zero = torch.zeros(2, 3, 5, 5)
    assert low_frequency_share(zero).isnan().all()
    assert roughness(zero).isnan().all()
    with pytest.raises(ConvlabError, match="1×1"):
        roughness(torch.ones(2, 3, 1, 1))
    close(roughness(torch.tensor([1.0, -1]).view(1, 1, 1, 2)), [2])
    for cutoff in (-0.1, 0.6, math.nan):
        with pytest.raises(ConvlabError, match="cutoff"):
            low_frequency_share(zero, cutoff)


# --- capas profundas -------------------------------------------------------------------------------------------------


def test_norms_of_each_kernel():
    w = bank(4, 3, 5, 2)
    close(filter_norms(w), w.square().sum((2, 3)).sqrt())
    huge = torch.full((1, 1, 4, 4), 3e4, dtype=torch.float16)
    assert filter_norms(huge).isinf()  # 120 000 no cabe en float16: se dice, no se recorta


def test_signed_pairs_by_hand():
    sums = torch.tensor([0.5, -2, 3, 0, -1, 1, 0.25])
    w = torch.stack([torch.zeros(7), sums])[..., None, None] / 4 * torch.ones(2, 2)
    w[1, :, 0, 0] += 10  # lo que importa es la suma, no un peso
    w[1, :, 1, 1] -= 10
    pairs = signed_pairs(w, unit=1, k=3)
    assert pairs.unit == 1
    assert pairs.positive.tolist() == [2, 5, 0]
    assert pairs.negative.tolist() == [1, 4]
    close(pairs.positive_sums, [3, 1, 0.5], atol=1e-5)
    close(pairs.negative_sums, [-2, -1], atol=1e-5)
    assert torch.equal(pairs.positive_kernels, w[1, [2, 5, 0]])
    assert torch.equal(pairs.negative_kernels, w[1, [1, 4]])
    empty = signed_pairs(w, unit=0)
    assert len(empty.positive) == len(empty.negative) == 0
    for bad in (2, -1, 1.0):
        with pytest.raises(ConvlabError, match=r"filtro 2 no existe|`unit`"):
            signed_pairs(w, bad)
    with pytest.raises(ConvlabError, match="`k`"):
        signed_pairs(w, 0, 0)


def test_weights_by_name_are_copies():
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)))
    with left_as_found(net):
        first, second = first_layer_weight(net), layer_weight(net, "1.2")
        assert torch.equal(first, net[1][0].weight)
        assert second.shape == (5, 4, 1, 1)
        assert not first.requires_grad
        first.zero_()
        second.zero_()
    assert torch.equal(first_layer_weight(net[1][0]), net[1][0].weight)
    with pytest.raises(ConvlabError, match=r"Sequential y se esperaba una nn.Conv2d. Dentro tiene 1.0, 1.2"):
        layer_weight(net, "1")
    with pytest.raises(ConvlabError, match="Elige una convolución"):
        layer_weight(net, "0")
    with pytest.raises(ConvlabError, match="No existe la capa"):
        layer_weight(net, "conv1")
    with pytest.raises(ConvlabError, match="Linear no tiene ninguna"):
        first_layer_weight(nn.Linear(2, 2))


def linearize(model):
    """Copia de una red con la identidad por ReLU y la media por el máximo, módulo a módulo."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride))
    return model


def by_gradient(model, layer, size, units):
    """El filtro de cada unidad: la derivada de su valor central respecto de la imagen, sin los bordes nulos."""
    x = torch.zeros(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    model(x)
    handle.remove()
    middle = kept[0].shape[-1] // 2
    found = [torch.autograd.grad(kept[0][0, unit, middle, middle], x, retain_graph=True)[0][0] for unit in units]
    used = torch.stack(found).abs().sum((0, 1)) > 0
    rows, columns = (used.any(dim).nonzero().flatten() for dim in (1, 0))
    assert 0 < rows[0] <= rows[-1] < size - 1  # el campo receptivo no toca el borde
    return torch.stack(found)[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def varied():
    """Grupos, dilatación, pasos, filtros no cuadrados y máximos que se solapan."""
    return nn.Sequential(
        nn.Conv2d(3, 6, (3, 5), stride=(1, 2), bias=True),
        nn.BatchNorm2d(6),
        nn.LeakyReLU(),
        nn.MaxPool2d(3, 2, dilation=1, ceil_mode=True),
        nn.Sequential(nn.Conv2d(6, 8, 3, dilation=2, groups=2, padding=2), nn.Dropout(), nn.ReLU()),
        nn.AvgPool2d(2, stride=1),
        nn.Conv2d(8, 20, 2),
    )


@pytest.mark.parametrize(
    ("build", "layer", "size"),
    [
        (Mini, "block1.conv", 40),
        (Mini, "block2.relu", 40),
        (Mini, "block3", 60),
        (Mini, "block5.bn", 160),
        (lambda: torchvision.models.alexnet().features[:7], "3", 160),
        (lambda: torchvision.models.vgg11(init_weights=False).features[:9], "8", 60),
        (lambda: Normalized(Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), varied()), "net.6", 80),
        (lambda: Normalized(Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), varied()), "net.4", 80),
        (torchvision.models.resnet18, "layer1.0.conv2", 96),
    ],
)
def test_composed_filters_are_the_gradient_of_the_linearized_network(build, layer, size):
    model = randomize(build()).double()
    units = [0, 7]
    with left_as_found(model), torch.inference_mode():
        found = composed_filters(model.train(), layer, units)
        model.eval()
    close(found, by_gradient(linearize(model), layer, size, units), rtol=1e-8, atol=1e-12 * found.abs().max().item())


def test_composed_filters_have_the_size_of_the_receptive_field():
    """Los tamaños publicados de AlexNet y VGG-16."""
    sizes = {"block1": 8, "block2": 14, "block3.conv": 22, "block4": 42, "block5": 58}
    assert {name: composed_filters(Mini(), name, [0]).shape[-1] for name in sizes} == sizes
    with torch.device("meta"):  # sin memoria: solo importan las formas
        alexnet, vgg16 = torchvision.models.alexnet(), torchvision.models.vgg16()
    assert composed_filters(alexnet, "features.3", [1, 2]).shape == (2, 3, 51, 51)
    assert composed_filters(vgg16, "features.28").shape == (512, 3, 196, 196)


def test_all_units_in_parts_are_the_units_one_by_one():
    model = randomize(Mini())
    everything = composed_filters(model, "block2.conv")
    assert everything.shape == (48, 3, 12, 12)
    torch.testing.assert_close(composed_filters(model, "block2.conv", [47, 0, 16]), everything[[47, 0, 16]])
    half = composed_filters(model.bfloat16(), "block2.conv")
    assert half.dtype == torch.bfloat16


class Arithmetic(nn.Module):
    """Constantes a los dos lados, una por canal y funciones sueltas."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("color", torch.tensor([1.0, 2, 4]).view(1, 3, 1, 1))

    def forward(self, x):
        return self.conv(F.relu(2 - 3 * (x * self.color + 1) / self.color.view(3, 1, 1) / 4).relu())


def test_arithmetic_around_the_chain():
    model = Arithmetic()
    expected = -0.75 * model.conv.weight.detach()
    torch.testing.assert_close(composed_filters(model, "conv"), expected)


class Ending(nn.Module):
    """Una convolución tras la operación que se le dé."""

    def __init__(self, before):
        super().__init__()
        self.before, self.conv = before, nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(self.before(x))


def test_constants_made_inside_forward_leave_no_trace():
    model = Ending(lambda x: (x - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)) / torch.tensor(0.25))
    attributes = set(vars(model))
    found = composed_filters(model, "conv")
    assert set(vars(model)) == attributes
    torch.testing.assert_close(found, 4 * model.conv.weight.detach())


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.unused = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(3, 3, 1)
        self.block = Arithmetic()

    def forward(self, x):
        x = self.block(x)[:, :3]
        y = self.a(x)
        return self.b(y + y.flip(1))


class Choosy(Branches):
    def forward(self, x):
        y = self.a(x)
        return y if y.sum() > 0 else self.b(y)


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (torchvision.models.resnet18(), "layer2.0.conv1", r"«layer2.0.conv1»: «add_?\d*» recibe 2 entradas"),
        (Branches(), "b", "recibe 2 entradas"),
        (Branches(), "a", "la red usa «getitem»"),
        (Branches(), "unused", "No se puede seguir el camino"),
        (Branches(), "block", "No se puede seguir el camino"),
        (Choosy(), "b", "No se puede seguir el camino"),
        (Ending(lambda x: 1 / x), "conv", "la red usa «truediv»"),
        (Ending(lambda x: x + x), "conv", "la red usa «add»"),
        (Ending(lambda x: x * torch.rand(1, 1, 1, 9)), "conv", "la red usa «mul»"),
        (Ending(lambda x: x**2), "conv", "la red usa «pow"),
        (Ending(lambda x: x.exp()), "conv", "la red usa «exp»"),
        (Ending(lambda x: x * torch.ones(3)), "conv", "la red usa «mul»"),  # recorre el ancho, no los canales
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), "2", "«2» es Linear"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1)), "1", "«1» es Softmax"),
        (nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Conv2d(3, 4, 3)), "1", "«0» es BatchNorm2d"),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), "0", "ninguna convolución"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "conv", "No existe la capa"),
    ],
)
def test_networks_that_cannot_be_composed_say_why(model, layer, message):
    with left_as_found(model), pytest.raises(ConvlabError, match=message):
        composed_filters(model, layer)


def test_batchnorm_without_parameters_and_pooling_with_its_own_divisor():
    pool = nn.AvgPool2d((1, 2), stride=1, divisor_override=5)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False, eps=0.5), pool).eval()
    model[1].running_var.copy_(torch.tensor([0.5, 1, 2, 3.5]))
    gain = (model[1].running_var + 0.5).rsqrt().view(4, 1, 1, 1)
    expected = (gain * model[0].weight.detach() / 5).expand(4, 3, 1, 2)
    torch.testing.assert_close(composed_filters(model, "2"), expected)


def test_a_detour_after_the_layer_does_not_matter():
    model = Choosy()
    torch.testing.assert_close(composed_filters(model, "a"), model.a.weight.detach())


def test_units_must_exist():
    for bad, message in (
        ([0, 10], "10 unidades, de 0 a 9, y llegó la unidad 10"),
        ([], "vacía"),
        ([-1], "`units` debe ser un entero desde 0"),
        (3, r"Escribe \[3\]"),
    ):
        with pytest.raises(ConvlabError, match=message):
            composed_filters(nn.Sequential(nn.Conv2d(3, 10, 3)), "0", bad)


# --- las redes del curso ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoints():
    return load_checkpoints("mini")


def test_filters_grow_from_noise(checkpoints):
    shuffled = dict(reversed(checkpoints.items()))
    growth = filter_growth(shuffled, "block1.conv")
    assert growth.steps == tuple(sorted(checkpoints))
    steps, (first, last) = len(growth.steps), (growth.filters[0], growth.filters[-1])
    assert torch.equal(last, first_layer_weight(load_model("mini")))
    assert all(
        v.shape == (steps, 32) for v in (growth.norm, growth.similarity, growth.low_frequency_share, growth.roughness)
    )
    torch.testing.assert_close(growth.norm[0], first.square().sum((1, 2, 3)).sqrt())
    torch.testing.assert_close(growth.similarity[0], F.cosine_similarity(first.flatten(1), last.flatten(1)))
    torch.testing.assert_close(growth.similarity[-1], torch.ones(32))
    assert growth.low_frequency_share[0].mean().item() == pytest.approx(25 / 49, abs=0.05)
    assert growth.low_frequency_share[-1].min() > 0.85
    assert growth.similarity[0].abs().median() < 0.2
    assert filter_growth(checkpoints, "block1.conv", cutoff=0.0).low_frequency_share[0].mean() < 0.1


def test_growth_errors(checkpoints):
    with pytest.raises(ConvlabError, match="ningún paso"):
        filter_growth({}, "block1.conv")
    with pytest.raises(ConvlabError, match=r"se esperaba una nn\.Conv2d"):
        filter_growth(checkpoints, "block1.bn")
    with pytest.raises(ConvlabError, match="cambia de forma"):
        filter_growth({0: nn.Sequential(nn.Conv2d(3, 4, 3)), 1: nn.Sequential(nn.Conv2d(3, 5, 3))}, "0")


def test_smooth_weights_tell_training_from_noise_but_not_robustness(checkpoints):
    """La red robusta resiste mucho mejor los ataques, y los filtros de su primera capa no son más suaves."""
    noise, plain, robust = (
        roughness(first_layer_weight(m)).mean().item()
        for m in (checkpoints[0], load_model("mini"), load_model("mini-robusta"))
    )
    assert noise == pytest.approx(1, abs=0.05)
    assert max(plain, robust) < 0.3
    assert abs(plain - robust) < 0.1 * (noise - plain)


def test_everything_public_can_be_imported_from_filters():
    for module in (spectra, linearized):
        assert all(getattr(filters, name) is getattr(module, name) for name in module.__all__)
        assert set(module.__all__) <= set(filters.__all__)


# --- figuras ---------------------------------------------------------------------------------------------------------


def pixels(figure, axis=0):
    return figure.axes[axis].get_images()[0].get_array()


def test_color_grid_shows_each_filter_with_zero_in_gray():
    w = bank(5, 3, 4, 6)
    w[3] = 0
    image = pixels(plots.filter_grid(w, columns=3))
    assert image.shape == (2 * 5 + 1, 3 * 7 + 1, 4)
    shown = normalize_filters(w)
    for unit in range(5):
        top, left = unit // 3 * 5 + 1, unit % 3 * 7 + 1
        tile = image[top : top + 4, left : left + 6, :3]
        np.testing.assert_allclose(tile, shown[unit].permute(1, 2, 0), atol=1e-6)
    assert (image[0, :, 3] == 0).all()  # la separación es transparente
    assert (image[6:, 15:, 3] == 0).all()


def test_signed_grid_puts_zero_at_the_centre():
    w = torch.zeros(2, 4, 3, 3)
    w[1, 2] = 1
    w[0, 1] = -1
    figure = plots.filter_grid(w.requires_grad_())
    image = pixels(figure)
    assert image.shape == (2 * 4 + 1, 4 * 4 + 1, 4)
    zero, positive, negative = image[1, 1, :3], image[5, 9, :3], image[1, 5, :3]
    assert zero.min() > 0.95  # blanco
    assert positive[0] > positive[2]  # rojo
    assert negative[2] > negative[0]  # azul
    assert figure.axes[0].get_xlabel() == "canal de entrada"


def test_tuning_plot_draws_the_orientation_seen():
    w = torch.stack([gabor(7, 2, 2 / 7, a, 0.0) for a in (0, PI / 3)])[:, None].expand(2, 3, 7, 7)
    figure = plots.tuning_plot(w, [1, 0])
    peaks = []
    for axis in (figure.axes[1], figure.axes[3]):
        theta, radius = axis.lines[0].get_data()
        assert radius.max() == pytest.approx(1)
        peaks.append(math.degrees(theta[radius.argmax()]) % 180)
    assert peaks[0] == pytest.approx(60, abs=6)
    assert min(peaks[1], 180 - peaks[1]) < 6
    assert len(plots.tuning_plot(bank(2, 5, 3, 3), [1]).axes) == 2
    for bad in ([], [5]):
        with pytest.raises(ConvlabError, match="van de 0 a 1"):
            plots.tuning_plot(w, bad)


def test_spectrum_plot_shows_fractions(checkpoints):
    trained, initial = (layer_weight(m, "block1.conv") for m in (load_model("mini"), checkpoints[0]))
    figure = plots.spectrum_plot(trained, initial)
    for axis, w in zip(figure.axes, (initial, trained), strict=False):
        power = axis.get_images()[0].get_array()
        assert power.sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(power, power_spectrum(w) / power_spectrum(w).sum(), rtol=1e-5)
    assert "51 %" in figure.axes[0].get_title()
    curves = {line.get_label(): line.get_ydata() for line in figure.axes[2].lines}
    assert curves["ruido blanco"][0] == pytest.approx(1 / 49)
    np.testing.assert_allclose(curves["inicial"], 1 / 49, rtol=0.2)
    assert curves["entrenado"][0] > 5 / 49
    with pytest.raises(ConvlabError, match="mismo tamaño"):
        plots.spectrum_plot(trained, trained[..., 1:])


def test_growth_plot_films_the_filters(checkpoints):
    growth = filter_growth(checkpoints, "block1.conv")
    figure = plots.growth_plot(growth, units=[4, 9])
    assert isinstance(figure, Figure)
    film = pixels(figure)
    steps = len(growth.steps)
    assert film.shape == (2 * 8 + 1, steps * 8 + 1, 4)
    expected = normalize_filters(growth.filters[1][[4, 9]])[1]  # paso 1, filtro 9
    np.testing.assert_allclose(film[9:16, 9:16, :3], expected.permute(1, 2, 0), atol=1e-6)
    middle = figure.axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(middle, np.median(growth.similarity, 1), rtol=1e-5)
    assert plots.growth_plot(filter_growth(checkpoints, "block2.conv"), units=[0]).axes
    for bad in ([], [32]):
        with pytest.raises(ConvlabError, match="van de 0 a 31"):
            plots.growth_plot(growth, bad)


def test_signed_pairs_plot_uses_one_scale():
    w = torch.tensor([1.0, -3, 2]).view(1, 3, 1, 1).expand(1, 3, 3, 3)
    figure = plots.signed_pairs_plot(signed_pairs(w, 0, 2))
    images = [image for axis in figure.axes for image in axis.get_images()]
    assert {image.get_clim() for image in images} == {(-3.0, 3.0)}
    assert [axis.get_title() for axis in figure.axes[:4]] == [
        "canal 2\n+18.00",
        "canal 0\n+9.00",
        "canal 1\n−27.00",
        "",
    ]
    assert plots.signed_pairs_plot(signed_pairs(torch.zeros(1, 2, 3, 3), 0)).axes
