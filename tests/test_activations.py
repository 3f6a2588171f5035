"""Lección 01: activaciones, unidades y campo receptivo, contra cálculos lentos y contra lo que mide un NaN."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torchvision
from conftest import left_as_found, make_network, randomize
from torch import nn
from torch.nn import functional as F

from convlab.activations import (
    ReceptiveField,
    capture_activations,
    dead_units,
    input_support,
    receptive_field,
    receptive_field_of,
    top_images,
    top_patches,
    unit_statistics,
)
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.hooks import capture
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.plots.activations import feature_maps, statistics_plot, top_patch_grid

X = torch.rand(5, 3, 12, 9, generator=torch.Generator().manual_seed(0))


def small(seed=0):
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3)
    )
    return randomize(net, seed)


def count_calls(model):
    """Nombre de cada módulo que se ejecuta, en orden, y cómo dejar de mirarlo."""
    calls = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, module in model.named_modules()
    ]
    return calls, lambda: [handle.remove() for handle in handles]


# --- capture_activations ---------------------------------------------------------------------------------------------


def test_values_order_and_copies():
    net = small()
    found = capture_activations(net, X, ["2", "1", "0"])
    assert list(found) == ["2", "1", "0"]
    expected = F.conv2d(X, net[0].weight, net[0].bias, padding=1)
    assert torch.equal(found["0"], expected)
    assert torch.equal(found["1"], net[1](expected))  # la ReLU in-place no la ha cambiado
    assert (found["1"] < 0).any()
    assert torch.equal(found["2"], found["1"].relu())
    assert not any(a.requires_grad for a in found.values())


def test_patterns():
    net = Mini().eval()
    x = torch.rand(1, 3, 32, 32)
    assert list(capture_activations(net, x, ["block*.relu"])) == [f"block{i}.relu" for i in range(1, 6)]
    assert list(capture_activations(net, x, ["block[34].pool", "block?", "block3"])) == [
        "block3.pool",
        *(f"block{i}" for i in range(1, 6)),
    ]
    assert "block1.conv" in capture_activations(net, x, ["block1*"])  # * vale también por un punto


def test_errors_about_layers():
    net = Mini()
    x = torch.rand(1, 3, 32, 32)
    with pytest.raises(ConvlabError, match=r"«blok\*\.relu»\. ¿Quisiste decir «block[1-5]\.relu»"):
        capture_activations(net, x, ["blok*.relu"])
    with pytest.raises(ConvlabError, match=r"¿Quisiste decir «block3»"):
        capture_activations(net, x, ["blok3"])
    with pytest.raises(ConvlabError, match="lista de capas"):
        capture_activations(net, x, "block3")
    with pytest.raises(ConvlabError, match=r"nn\.Module"):
        capture_activations(lambda x: x, x, ["a"])


@pytest.mark.parametrize(
    ("layers", "last"),
    [(["layer2", "layer1"], "layer2"), (["layer1.0.conv1"], "layer1.0.conv1"), (["layer2.1.relu"], "layer2.1.relu")],
)
def test_the_pass_stops_after_the_last_layer(resnet18, layers, last):
    calls, remove = count_calls(resnet18.model)
    try:
        with left_as_found(resnet18.model, resnet18.x):
            stopped = capture_activations(resnet18.model, resnet18.x, layers)
        assert calls[-1] == last
        assert calls.count("conv1") == 1
        early = list(calls)
        calls.clear()
        whole = capture_activations(resnet18.model, resnet18.x, [*layers, "fc"])
        assert calls[-1] == "fc"
        assert early == calls[: len(early)]
    finally:
        remove()
    for layer in layers:
        assert torch.equal(stopped[layer], whole[layer])


class Reused(nn.Module):
    """Usa su convolución `times` veces; con `secret`, cuántas depende de los valores y no se puede trazar."""

    def __init__(self, times, secret=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.end = nn.Conv2d(3, 3, 1)
        self.times, self.secret = times, secret

    def forward(self, x):
        if self.secret and x.sum() < 0:
            return x
        for _ in range(self.times):
            x = self.conv(x)
        return self.end(x)


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_reused_module_keeps_its_last_use(times, secret):
    net = Reused(times, secret)
    calls, remove = count_calls(net)
    found = capture_activations(net, X, ["conv"])["conv"]
    remove()
    expected = X
    for _ in range(times):
        expected = net.conv(expected)
    assert torch.equal(found, expected)
    # Si no se sabe cuántas veces se usa, se recorre la red entera antes que devolver otra cosa.
    assert calls == ["conv"] * times + (["end", ""] if secret else [])


def test_shared_under_two_names():
    conv = nn.Conv2d(3, 3, 1)
    net = nn.Sequential(conv, nn.Tanh(), conv, nn.Conv2d(3, 2, 1))
    calls, remove = count_calls(net)
    found = capture_activations(net, X, ["0", "2"])
    remove()
    assert torch.equal(found["0"], conv(conv(X).tanh()))
    assert torch.equal(found["0"], found["2"])
    assert "3" not in calls


def test_a_model_that_swallows_exceptions_still_stops():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.other = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            try:
                return self.other(self.conv(x))
            except Exception:
                return x

    net = Stubborn()
    calls, remove = count_calls(net)
    found = capture_activations(net, X, ["conv"])
    remove()
    assert calls == ["conv"]
    assert torch.equal(found["conv"], net.conv(X))


def test_a_capture_inside_another():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.end = small(), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            return self.end(capture(self.inner, x, ["0"])["0"])

    net = Nested()
    with left_as_found(net):
        found = capture(net, X, ["inner.0", "end"])
    assert torch.equal(found["end"], net.end(net.inner[0](X)))


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_leaves_no_trace(mode):
    net = small().train()
    net[1].eval()
    net.requires_grad_(False)
    expected = capture_activations(small(), X, ["3"])["3"]
    with left_as_found(net, X), mode():
        found = capture_activations(net, X, ["3"])["3"]
    assert torch.equal(found, expected)
    assert not found.is_inference()
    assert torch.is_grad_enabled()


def test_leaves_no_trace_when_the_model_fails():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.end = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            self.conv(x)
            raise KeyError("roto")

    net = Broken().train()
    for call in (
        lambda: capture_activations(net, X, ["end"]),
        lambda: receptive_field_of(net, X, "end"),
        lambda: unit_statistics(net, [X], "end"),
    ):
        with left_as_found(net, X), pytest.raises(KeyError):
            call()
    assert torch.is_grad_enabled()
    assert receptive_field_of(small(), X, "0").size == (3, 3)  # el modo de PyTorch se cerró al fallar


# --- unidades muertas ------------------------------------------------------------------------------------------------


def test_dead_over_the_whole_set():
    a = torch.zeros(3, 4, 2, 2)
    a[2, 0, 1, 1] = 0.5  # solo se enciende en la última imagen
    a[0, 1] = -1
    a[1, 2, 0, 0] = 5
    a[1, 2, 0, 1] = -50  # su media es negativa
    assert dead_units(a).tolist() == [False, True, False, True]
    assert dead_units(a, 0.5).tolist() == [True, True, False, True]
    assert dead_units(a.bfloat16(), -2.0).tolist() == [False] * 4
    assert dead_units(a[:2]).tolist() == [True, True, False, True]


def test_dead_units_errors():
    with pytest.raises(ConvlabError, match=r"\(N, C, H, W\)"):
        dead_units(torch.zeros(4, 2, 2))
    with pytest.raises(ConvlabError, match=r"\(N, C, H, W\)"):
        dead_units(torch.zeros(0, 4, 2, 2))
    with pytest.raises(ConvlabError, match="NaN"):
        dead_units(torch.tensor([[[[0.0, torch.nan]]]]))


# --- estadísticas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]])
@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_statistics_are_those_of_a_slow_computation(sizes, layer):
    net, x = small().double().train(), X.double()  # en float32, la convolución da otras cifras según el lote
    with left_as_found(net, x):
        s = unit_statistics(net, iter(x.split(sizes)), layer, threshold=0.4)
    a = capture(net, x, [layer])[layer]
    assert s.images == 5
    assert s.n == 5 * a[0, 0].numel()
    for c in range(a.shape[1]):
        values = [float(v) for v in a[:, c].flatten()]
        mean = sum(values) / len(values)
        std = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
        assert float(s.mean[c]) == pytest.approx(mean, rel=1e-12)
        assert float(s.std[c]) == pytest.approx(std, rel=1e-12)
        assert float(s.max[c]) == pytest.approx(max(values), rel=1e-12)
        assert float(s.min[c]) == pytest.approx(min(values), rel=1e-12)
        assert float(s.positive[c]) == pytest.approx(sum(v > 0 for v in values) / len(values), rel=1e-12)
        assert bool(s.dead[c]) == (max(values) <= 0.4)
    assert torch.equal(s.dead, dead_units(a, 0.4))


def test_statistics_do_not_cancel():
    """Con media 1e7 y desviación 1, la media de los cuadrados menos el cuadrado de la media pierde todo en float32."""
    x = (1e7 + torch.randn(400, 1, 1, 1, generator=torch.Generator().manual_seed(0)).double()).float()
    s = unit_statistics(nn.Sequential(nn.Identity()), x.split(7), "0")
    assert float(s.std) == pytest.approx(float(x.double().std(correction=0)), rel=1e-9)


def test_statistics_with_images_of_several_sizes_and_vectors():
    net = small()
    parts = [X[:2], torch.rand(3, 3, 20, 16)]
    values = torch.cat([capture(net, p, ["2"])["2"].transpose(0, 1).flatten(1) for p in parts], 1).double()
    s = unit_statistics(net, parts, "2")
    torch.testing.assert_close(s.mean, values.mean(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(s.std, values.std(1, correction=0), rtol=1e-12, atol=0)
    assert s.n == values.shape[1]

    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 9, 4))
    s = unit_statistics(head, X.split(2), "1")
    torch.testing.assert_close(s.mean, head(X).mean(0).double(), rtol=1e-5, atol=1e-7)
    assert s.n == 5


def test_statistics_in_bfloat16_accumulate_in_double():
    net, x = small().bfloat16(), X.bfloat16()
    a = capture(net, x, ["0"])["0"].double()
    s = unit_statistics(net, x.split(1), "0")
    torch.testing.assert_close(s.mean, a.mean((0, 2, 3)), rtol=1e-12, atol=1e-12)


def test_one_pass_per_batch_and_only_to_the_layer():
    net = small()
    calls, remove = count_calls(net)
    unit_statistics(net, X.split(2), "1")
    top_images(net, X.split(2), "1", 2)
    remove()
    assert calls == ["0", "1"] * 6


def test_batches_are_consumed_one_at_a_time():
    alive = 0

    def batches():
        nonlocal alive
        for x in X.split(1):
            alive += 1
            yield x

    seen = []
    net = small()
    net[0].register_forward_hook(lambda *_: seen.append(alive))
    unit_statistics(net, batches(), "1")
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("function", [unit_statistics, lambda *a: top_images(*a, 1)])
def test_errors_about_the_batches(function):
    net = small()
    with pytest.raises(ConvlabError, match=r"x\.split\(64\)"):
        function(net, X, "1")
    with pytest.raises(ConvlabError, match="ningún lote"):
        function(net, [], "1")
    with pytest.raises(ConvlabError, match=r"\(x for x, _ in lotes\)"):
        function(net, [(X, torch.zeros(5))], "1")
    with pytest.raises(ConvlabError, match="imágenes"):
        function(net, [X[0]], "1")
    with pytest.raises(ConvlabError, match="NaN"):
        function(net, [X, X * torch.nan], "0")
    with pytest.raises(ConvlabError, match="No existe la capa"):
        function(net, [X], "9")
    with pytest.raises(ConvlabError, match=r"\(N, C, h, w\) o \(N, C\)"):
        function(nn.Sequential(nn.Flatten(2)), [X], "0")
    with pytest.raises(ConvlabError, match="12 canales y después 9"):
        function(Swapped(), [X, X.transpose(2, 3)], "inner")


class Swapped(nn.Module):
    """Sus canales son las filas de la imagen."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x.transpose(1, 2))


# --- las imágenes que más activan ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_images_are_those_of_a_slow_search(sizes, k):
    net, x = small().double(), X.double()
    with left_as_found(net, x):
        top = top_images(net, iter(x.split(sizes)), "1", k)
    a = capture(net, x, ["1"])["1"]
    h, w = a.shape[2:]
    assert top.values.dtype == a.dtype
    for c in range(a.shape[1]):
        best = [max((float(a[n, c, i, j]), -i, -j) for i in range(h) for j in range(w)) for n in range(5)]
        order = sorted(range(5), key=lambda n: (-best[n][0], n))[:k]
        assert top.indices[c].tolist() == order
        assert top.values[c].tolist() == pytest.approx([best[n][0] for n in order], rel=1e-12)
        assert top.positions[c].tolist() == [[-best[n][1], -best[n][2]] for n in order]


def test_top_images_ties_go_to_the_first():
    x = torch.zeros(6, 1, 3, 4)
    x[[2, 4], 0, 1, 2] = 1
    x[[2, 4], 0, 2, 0] = 1
    for size in (1, 2, 3, 6):
        top = top_images(nn.Sequential(nn.Identity()), x.split(size), "0", 4)
        assert top.indices.tolist() == [[2, 4, 0, 1]]
        assert top.positions.tolist() == [[[1, 2], [1, 2], [0, 0], [0, 0]]]


def test_top_images_of_several_sizes():
    net = small()
    parts = [X[:2], torch.rand(3, 3, 10, 20)]
    top = top_images(net, parts, "1", 5)
    maps = [m for p in parts for m in capture(net, p, ["1"])["1"]]
    for c in range(6):
        for n, value, (i, j) in zip(top.indices[c], top.values[c], top.positions[c], strict=True):
            torch.testing.assert_close(maps[int(n)][c, i, j], value)


def test_top_images_errors():
    with pytest.raises(ConvlabError, match=r"las 6 imágenes .* solo hay 5"):
        top_images(small(), [X], "1", 6)
    for k in (0, 1.0, True):
        with pytest.raises(ConvlabError, match="entero desde 1"):
            top_images(small(), [X], "1", k)


# --- los parches que más activan -------------------------------------------------------------------------------------


def test_top_patches_against_a_slow_search():
    a = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    places = sorted((-float(a[n, i, j]), n, i, j) for n in range(3) for i in range(4) for j in range(5))
    expected = [
        (n, max(-2 + 4 * i, 0), max(-1 + 3 * j, 0), min(-2 + 4 * i + 7, 15), min(-1 + 3 * j + 6, 14))
        for _, n, i, j in places
    ]
    assert top_patches(a, (7, 6), (4, 3), (-2, -1), 60, size=(15, 14)) == expected
    assert (
        top_patches(a.transpose(1, 2).contiguous().transpose(1, 2), (7, 6), (4, 3), (-2, -1), 9, size=(15, 14))
        == (expected[:9])
    )


def test_top_patches_far_side_needs_the_size():
    a = torch.zeros(1, 2, 2, dtype=torch.bfloat16)
    a[0, 1, 1] = 1
    assert top_patches(a, 5, 4, -2, 1) == [(0, 2, 2, 7, 7)]
    assert top_patches(a, 5, 4, -2, 1, size=(6, 100)) == [(0, 2, 2, 6, 7)]


def test_top_patches_ties_in_row_order():
    a = torch.zeros(2, 2, 3)
    a[1, 1, 0] = a[0, 1, 2] = 1
    assert [p[:3] for p in top_patches(a, 1, 1, 0, 5)] == [(0, 1, 2), (1, 1, 0), (0, 0, 0), (0, 0, 1), (0, 0, 2)]


def test_top_patches_errors():
    with pytest.raises(ConvlabError, match=r"\(N, H, W\)"):
        top_patches(torch.zeros(2, 3), 1, 1, 0, 1)
    with pytest.raises(ConvlabError, match="solo hay 4"):
        top_patches(torch.zeros(1, 2, 2), 1, 1, 0, 5)
    with pytest.raises(ConvlabError, match="entero desde 1"):
        top_patches(torch.zeros(1, 2, 2), 1, 1, 0, 0)
    with pytest.raises(ConvlabError, match="NaN"):
        top_patches(torch.tensor([[[torch.nan, 1.0]]]), 1, 1, 0, 1)


# --- campo receptivo: la cadena --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "expected"),
    [([], (1, 1)), ([(3, 1)] * 4, (9, 1)), ([(2, 2)] * 3, (8, 8)), ([(7, 2), (3, 2), (3, 1)], (19, 4))],
)
def test_receptive_field_of_a_chain(layers, expected):
    assert receptive_field(layers) == expected


def test_receptive_field_of_vgg16_is_the_known_one():
    blocks = [2, 2, 3, 3, 3]
    assert receptive_field([layer for n in blocks for layer in [(3, 1)] * n + [(2, 2)]]) == (212, 32)


@pytest.mark.parametrize("layer", [(0, 1), (3, 0), (3,), 3, (3.0, 1), (3, 1, 1), None])
def test_receptive_field_errors(layer):
    with pytest.raises(ConvlabError, match="dos enteros desde 1"):
        receptive_field([(3, 1), layer])


# --- campo receptivo: cualquier red ----------------------------------------------------------------------------------

EXTRA = {
    "vgg16": lambda: torchvision.models.vgg16(init_weights=False).features,
    "googlenet": lambda: torchvision.models.googlenet(init_weights=False, aux_logits=False, transform_input=True),
    "shufflenet": torchvision.models.shufflenet_v2_x0_5,
    "mobilenet_v3": torchvision.models.mobilenet_v3_small,
    "convnext": lambda: torchvision.models.convnext.ConvNeXt(
        [torchvision.models.convnext.CNBlockConfig(8, 16, 1), torchvision.models.convnext.CNBlockConfig(16, None, 1)]
    ),
}


def make(name):
    torch.manual_seed(0)
    return randomize(EXTRA[name]()) if name in EXTRA else make_network(name).model


@pytest.mark.parametrize(
    ("name", "layer", "grid"),
    [
        ("mini", "block2.pool", ((14, 4, -5),)),
        ("mini", "block5", ((58, 8, -25),)),
        ("mini", "fc", None),
        ("resnet18", "maxpool", ((11, 4, -5),)),
        ("resnet18", "layer2.0", ((67, 8, -33),)),
        ("resnet18", "layer4", ((435, 32, -217),)),
        ("vgg16", "9", ((16, 4, -6),)),
        ("densenet121", "features.transition1", ((63, 8, -29),)),
        ("efficientnet_lite0", "blocks.1", ((19, 4, -9), (19, 4, -8))),  # su relleno depende del tamaño
        ("googlenet", "inception3a", ((43, 8, -15),)),
        ("shufflenet", "stage2.0", ((15, 8, -7),)),
        ("mobilenet_v3", "features.1.block.0", ((7, 4, -3),)),
        ("mobilenet_v3", "features.1", None),  # un bloque squeeze-and-excitation: ya lo ve todo
        ("convnext", "features.1", ((28, 4, -12),)),
        ("convnext", "features.3", ((80, 8, -36),)),
    ],
)
def test_agrees_with_what_a_nan_measures(name, layer, grid):
    model = make(name)
    x = torch.rand(1, 3, 53, 38, generator=torch.Generator().manual_seed(2))
    with left_as_found(model, x):
        field = receptive_field_of(model, x, layer)
    rows, columns = (grid[0], grid[-1]) if grid else ((53, 0, 0), (38, 0, 0))
    assert (field.size, field.jump, field.start) == tuple(zip(rows, columns, strict=True))
    assert field.image == (53, 38)
    maps = capture(model, x, [layer])[layer]
    h, w = maps.shape[2:] if maps.ndim == 4 else (1, 1)
    for position in {(0, w - 1), (h // 2, w // 2)}:
        with left_as_found(model, x):
            measured = input_support(model, x, layer, position)
        assert tuple(field.boxes(torch.tensor(position)).tolist()) == measured


class Odd(nn.Module):
    """Todo lo que complica la cuenta: ramas de distinto alcance, dilatación, núcleos no cuadrados, recortes."""

    def __init__(self, kind):
        super().__init__()
        self.a = nn.Conv2d(3, 4, (3, 5), stride=(1, 2), padding=(0, 3), dilation=(2, 1))
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 4, 1)
        self.out = nn.Identity()
        self.kind = kind
        randomize(self)

    def forward(self, x):
        x = self.a(x)
        return self.out(getattr(self, self.kind)(x))

    def branches(self, x):
        return torch.cat([self.b(self.b(x)), self.c(x)], 1) + F.relu(x).mean(1, keepdim=True)

    def shifted(self, x):
        return x + F.pad(x[:, :, 2:], (0, 0, 0, 2))

    def crop(self, x):
        return self.b(x)[:, 1:, 2:-1, 1::2] * x[:, :1, 2:-1, 1::2]

    def pad(self, x):
        return self.c(F.pad(x, (2, 1, -1, 0)))

    def ceil(self, x):
        return F.max_pool2d(F.avg_pool2d(x, (3, 2), ceil_mode=True), 3, 2, 1, ceil_mode=True)

    def hole(self, x):
        return F.conv2d(x, self.c.weight, padding=1)  # el borde no ve nada

    def halves(self, x):
        left, right = x.chunk(2, 1)
        return torch.stack([left, self.b(x).select(1, 0)[:, None].expand_as(right)], 2).flatten(1, 2)

    def norm(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2).softmax(1)

    def strips(self, x):
        return x.mean(3, keepdim=True).expand_as(x).transpose(2, 3).transpose(-1, -2)

    def dead_end(self, x):
        return x.sum(3).mean(2)[:, :, None, None] * self.b(x) + torch.ones(1)

    def group(self, x):
        return F.group_norm(x, 2)

    def product(self, x):
        return self.b(x).flatten(2) @ torch.ones(x.shape[2] * x.shape[3], 2)

    def gate(self, x):
        return x * F.adaptive_max_pool2d(self.b(x), 1).sigmoid()


@pytest.mark.parametrize(
    "kind",
    ["branches", "shifted", "crop", "pad", "ceil", "hole", "halves", "norm", "strips", "dead_end", "group", "gate"],
)
def test_operations_agree_with_a_nan(kind):
    net = Odd(kind)
    x = torch.rand(1, 3, 18, 20, generator=torch.Generator().manual_seed(3))
    field = receptive_field_of(net, x, "out")
    h, w = capture(net, x, ["out"])["out"].shape[2:]
    for position in {(0, 0), (h - 1, w - 1), (h // 2, w // 3), (0, w // 2)}:
        assert tuple(field.boxes(torch.tensor(position)).tolist()) == input_support(net, x, "out", position)


@pytest.mark.parametrize(
    ("kind", "size", "jump", "start"),
    [
        ("branches", (9, 13), (1, 2), (-2, -7)),
        ("shifted", (7, 5), (1, 2), (0, -3)),
        ("crop", (7, 9), (1, 4), (1, -3)),
        ("pad", (5, 5), (1, 2), (1, -7)),
        ("strips", (5, 20), (1, 0), (0, 0)),
        ("ceil", (13, 15), (6, 8), (-3, -7)),
    ],
)
def test_regular_grids_by_hand(kind, size, jump, start):
    field = receptive_field_of(Odd(kind), torch.rand(1, 3, 18, 20), "out")
    assert (field.size, field.jump, field.start) == (size, jump, start)


class Wrong(Odd):
    def upsample(self, x):
        return F.interpolate(x, scale_factor=2.0)

    def transposed(self, x):
        return F.conv_transpose2d(x, self.b.weight)

    def irregular(self, x):
        return F.adaptive_avg_pool2d(x, (5, 3))

    def flat(self, x):
        return x.flatten(1)

    def pieces(self, x):
        return x.split(2, 2)[0]

    def beside(self, x):
        return torch.cat([x, x], 3)

    def hyper(self, x):
        return F.conv2d(x, x.mean((0, 2, 3)).expand(2, 4)[..., None, None])

    def swapped(self, x):
        return x[..., :10, :10] + x[..., :10, :10].transpose(2, 3)

    def tokens(self, x):
        return F.max_pool2d(x.flatten(2)[:, None], 3)

    def split_rows(self, x):
        return x.unflatten(2, (2, -1)).sum(2)

    def restrided(self, x):
        return x.clone().as_strided_((1, 4, 5, 5), (1, 1, 1, 1))

    def constant(self, x):
        return torch.ones(1, 4, 3, 3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("upsample", "upsample_nearest2d"),
        ("transposed", "convolución transpuesta"),
        ("irregular", "sus unidades no ven"),
        ("flat", "sus unidades no ven"),
        ("product", None),
        ("pieces", "división del mapa"),
        ("beside", "a lo alto o a lo ancho"),
        ("hyper", "cuyos pesos dependen"),
        ("swapped", "distinto orden"),
        ("tokens", "no es un mapa"),
        ("split_rows", "parte el mapa"),
        ("restrided", "as_strided_"),
        ("constant", "no depende de la imagen"),
    ],
)
def test_what_cannot_be_followed_is_said(kind, message):
    net = Wrong(kind)
    x = torch.rand(1, 3, 18, 20)
    if message is None:  # tras multiplicar las posiciones por una matriz, todo depende de todo
        assert receptive_field_of(net, x, "out").jump == (0, 0)
        return
    with left_as_found(net, x), pytest.raises(ConvlabError, match=message):
        receptive_field_of(net, x, "out")


def test_the_part_after_the_layer_does_not_matter():
    assert receptive_field_of(Wrong("upsample"), torch.rand(1, 3, 18, 20), "a").size == (5, 5)


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_any_mode_and_dtype(mode):
    with mode():
        x = torch.rand(2, 3, 20, 14, dtype=torch.bfloat16)
        net = small().bfloat16().train()
        field = receptive_field_of(net, x.transpose(2, 3), "4")
        assert isinstance(field, ReceptiveField)
        assert (field.size, field.jump, field.start, field.image) == ((8, 8), (2, 2), (-1, -1), (14, 20))
        assert input_support(net, x[:1].transpose(2, 3), "4", (1, 2)) == (1, 3, 9, 11)


def test_the_receptive_field_matches_the_chain():
    size, jump = receptive_field([(7, 1), (2, 2), (3, 1), (2, 2), (3, 1)])
    field = receptive_field_of(Mini(), torch.rand(1, 3, 64, 64), "block3.conv")
    assert field.size == (size, size)
    assert field.jump == (jump, jump)


def test_boxes_errors():
    field = receptive_field_of(small(), X, "3")
    assert field.boxes(torch.zeros(2, 7, 2, dtype=torch.int32)).shape == (2, 7, 4)
    for positions in (torch.tensor([6, 0]), torch.tensor([0, 4]), torch.tensor([-1, 0])):
        with pytest.raises(ConvlabError, match=r"se sale del mapa de la capa, que es \(6, 4\)"):
            field.boxes(positions)
    for positions in (torch.zeros(2), torch.zeros(3, dtype=torch.long), torch.tensor(1)):
        with pytest.raises(ConvlabError, match="posiciones enteras"):
            field.boxes(positions)


def test_input_support_errors():
    net = small()
    with pytest.raises(ConvlabError, match="una sola imagen"):
        input_support(net, X, "0", (0, 0))
    with pytest.raises(ConvlabError, match="se sale del mapa"):
        input_support(net, X[:1], "3", (6, 0))
    with pytest.raises(ConvlabError, match="sin tocar"):
        input_support(net, X[:1] * torch.nan, "3", (0, 0))


# --- de principio a fin ----------------------------------------------------------------------------------------------


def test_shipped_net_patches_hold_what_excites_the_unit():
    """El parche de cada imagen, pegado en una imagen gris, da a la unidad la misma activación."""
    model, x = load_model("mini"), formas(24, seed=5).tensor()
    layer = "block3.relu"
    field = receptive_field_of(model, x, layer)
    top = top_images(model, x.split(10), layer, 2)
    patches = top.patches(field)
    assert patches.shape == (64, 2, 5)
    for c in (0, 17, 40):
        n, y0, x0, y1, x1 = patches[c, 0].tolist()
        alone = torch.full_like(x[:1], 0.5)
        alone[0, :, y0:y1, x0:x1] = x[n, :, y0:y1, x0:x1]
        i, j = top.positions[c, 0]
        torch.testing.assert_close(capture(model, alone, [layer])[layer][0, c, i, j], top.values[c, 0])
        maps = capture(model, x, [layer])[layer][:, c]
        assert top_patches(maps, field.size, field.jump, field.start, 1, size=field.image) == [(n, y0, x0, y1, x1)]


# --- figuras ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_feature_maps(shared, signed):
    a = torch.tensor([0.0, 1.0, 2.0, 4.0]).view(1, 2, 1, 2) * (-1 if signed else 1)
    figure = feature_maps(a, shared=shared)
    limits = [axis.images[0].get_clim() for axis in figure.axes[:2]]
    tops = [4, 4] if shared else [1, 4]
    assert limits == [(-t if signed else 0, t) for t in tops]
    assert len(figure.axes) == (3 if shared else 2)
    assert figure.axes[0].images[0].get_cmap().name == ("RdBu_r" if signed else "inferno")
    assert figure.axes[1].get_title() == ("1" if shared else "1: 4")


def test_feature_maps_chosen_channels():
    figure = feature_maps(torch.rand(6, 3, 5), [4, 1], columns=1)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["4", "1"]
    for bad, message in [
        (torch.rand(2, 3, 4, 4), "de una imagen"),
        (torch.rand(4, 4), "de una imagen"),
        (torch.full((1, 2, 2), torch.nan), "NaN"),
    ]:
        with pytest.raises(ConvlabError, match=message):
            feature_maps(bad)
    for channels in ([6], [], [-1]):
        with pytest.raises(ConvlabError, match="de 0 a 5"):
            feature_maps(torch.rand(6, 3, 5), channels)


def test_top_patch_grid_places_clipped_patches():
    images = torch.zeros(2, 3, 10, 10)
    patches = torch.tensor([[[0, 0, 2, 3, 6], [1, 4, 4, 8, 8]], [[1, 7, 0, 10, 4], [0, 2, 2, 6, 6]]])
    figure = top_patch_grid(images, patches, ["a", "b"])
    assert [t.get_text() for axis in figure.axes for t in axis.texts] == ["a", "b"]
    tiles = [axis.images[0].get_array()[..., 0] for axis in figure.axes]
    assert (tiles[0][0] == 0.75).all()  # lo que falta arriba
    assert (tiles[0][1:] == 0).all()
    assert (tiles[1] == 0).all()
    assert (tiles[2][-1] == 0.75).all()  # y abajo
    assert (tiles[2][:-1] == 0).all()
    with pytest.raises(ConvlabError, match=r"\(U, k, 5\)"):
        top_patch_grid(images, patches[0])
    with pytest.raises(ConvlabError, match="está vacío"):
        top_patch_grid(images, torch.tensor([[[0, 0, 0, 4, 4], [0, 12, 12, 16, 16]]]))


def test_statistics_plot_marks_the_dead():
    net = small()
    with torch.no_grad():
        net[1].weight[2], net[1].bias[2] = 0, -1
    s = unit_statistics(net, [X], "2")
    assert s.dead.tolist() == [False, False, True, False, False, False]
    figure = statistics_plot(s, layer="2")
    assert figure.get_suptitle() == "2: 6 unidades, 1 muertas, 5 imágenes"
    cross = [line for line in figure.axes[1].lines if line.get_label() == "muertas"]
    assert cross[0].get_xdata().tolist() == [5]
    assert "muertas" not in [
        line.get_label() for line in statistics_plot(unit_statistics(small(), [X], "1")).axes[1].lines
    ]
