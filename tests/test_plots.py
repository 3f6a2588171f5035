"""`convlab.plots`: todas las figuras salen cerradas, y las que no prueba su técnica dibujan lo que dicen."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib import colors
from matplotlib.figure import Figure
from torch import Tensor, nn

from convlab import plots
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.gradcam import grad_cam
from convlab.models import load_model
from convlab.occlusion import deletion_curve, insertion_curve
from convlab.plots import COLORS, colorize, image_grid, interval_plot
from convlab.plots.explanation import comparison_grid
from convlab.plots.occlusion import fidelity_curves

X = torch.rand(2, 3, 10, 12, generator=torch.Generator().manual_seed(0))


def public() -> Iterator[Any]:
    for info in pkgutil.iter_modules(plots.__path__, "convlab.plots."):
        module = importlib.import_module(info.name)
        for name in module.__all__:
            if getattr(getattr(module, name), "__module__", None) == info.name:
                yield pytest.param(module, name, id=f"{info.name.rpartition('.')[2]}.{name}")


def shown(axis: Any) -> Tensor:
    return torch.from_numpy(np.array(axis.images[0].get_array())).movedim(-1, 0)


# Todas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "name"), list(public()))
def test_every_example_gives_a_closed_figure_and_leaves_no_style(module: Any, name: str) -> None:
    function = getattr(module, name)
    returned: list[Any] = []

    def recorder(*args: Any, **options: Any) -> Any:
        returned.append(function(*args, **options))
        return returned[-1]

    style, opened = dict(plt.rcParams), plt.get_fignums()
    [example] = doctest.DocTestFinder(recurse=False).find(function, name, module, globs=vars(module) | vars(torch.nn))
    example.globs.update(torch=torch, nn=nn, **{name: recorder})
    with torch.random.fork_rng():
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0
    assert plt.get_fignums() == opened
    assert dict(plt.rcParams) == style
    assert returned
    expected = Tensor if function.__annotations__["return"] == "Tensor" else Figure
    assert all(isinstance(value, expected) for value in returned)


# Lo común -------------------------------------------------------------------------------------------------------


def test_image_grid_shows_each_image_under_its_title():
    x = torch.cat([X, X[:1] + 2, X[:1] - 2, X[:1]])
    before = x.clone()
    figure = image_grid(x.requires_grad_(), ["una", "dos"], columns=3)
    assert len(figure.axes) == 6
    assert [axis.get_title() for axis in figure.axes] == ["una", "dos", "", "", "", ""]
    torch.testing.assert_close(shown(figure.axes[1]), X[1])
    assert shown(figure.axes[2]).unique().tolist() == [1]
    assert shown(figure.axes[3]).unique().tolist() == [0]
    assert not figure.axes[5].images
    assert not any(axis.axison for axis in figure.axes)
    assert torch.equal(x, before)
    assert len(image_grid(X).axes) == 2


def test_image_grid_traces_the_border_of_the_region_and_nothing_if_it_is_empty():
    region = torch.zeros(2, 10, 12, dtype=torch.bool)
    region[0, 2:5, 3:8] = True
    figure = image_grid(X, outlines=region)
    contours = [path.vertices for c in figure.axes[0].collections for path in c.get_paths()]
    assert len(contours) == 2
    for vertices in contours:
        assert vertices.min(0) == pytest.approx([2.5, 1.5])
        assert vertices.max(0) == pytest.approx([7.5, 4.5])
    assert not figure.axes[1].collections


@pytest.mark.parametrize("bad", [X[0], X[:, :1]])
def test_image_grid_explains_its_shape(bad):
    with pytest.raises(ConvlabError, match=r"\(N, 3, H, W\)"):
        image_grid(bad)


def test_interval_plot_draws_the_given_ends():
    scores = {"pico": [(0.7, 0.6, 0.9), (0.1, 0.05, 0.2)], "masa": [(0.5, 0.5, 0.5), (0.3, 0.1, 0.4)]}
    figure = interval_plot(["a", "b"], scores | {"iou": scores["pico"]}, xlabel="acierto")
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in visible] == ["pico", "masa", "iou"]
    points, _, (bars,) = visible[0].containers[0]
    assert list(points.get_xdata()) == [0.7, 0.1]
    ends = np.array(bars.get_segments())
    assert ends[:, :, 0] == pytest.approx(np.array([[0.6, 0.9], [0.05, 0.2]]))
    assert [label.get_text() for label in visible[0].get_yticklabels()] == ["a", "b"]
    assert visible[0].yaxis_inverted()
    assert figure.get_supxlabel() == "acierto"


def test_colorize_goes_from_black_to_yellow_and_saturates():
    heat = torch.tensor([[0.0, 1.0, -3.0, 7.0]], dtype=torch.float64)
    rgb = colorize(heat)
    assert rgb.shape == (3, 1, 4)
    assert rgb.dtype == torch.float64
    assert rgb[:, 0, 0].sum() < 0.05
    assert rgb[0, 0, 1] > 0.9 > rgb[2, 0, 1]
    assert torch.equal(rgb[:, :, 2], rgb[:, :, 0])
    assert torch.equal(rgb[:, :, 3], rgb[:, :, 1])
    light = colorize(torch.linspace(0, 1, 64)[None]).mul(torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(0)
    assert bool((light.diff() > 0).all())


def test_the_palette_is_told_apart_in_grey_or_by_hue():
    assert len({colors.to_hex(c) for c in COLORS}) == len(COLORS) == 5


# Explicaciones juntas -------------------------------------------------------------------------------------------


def cells(count: int, signed: bool = False) -> Figure:
    maps = [X.mean(1) + k - (0.5 if signed else 0) for k in range(count)]
    return comparison_grid(X, maps, [f"mapa {k}" for k in range(count)], [signed] * count)


def test_comparison_grid_puts_each_image_first_and_its_maps_behind():
    figure = cells(4)
    assert len(figure.axes) == 10
    torch.testing.assert_close(shown(figure.axes[5]), X[1])
    for k in range(4):
        drawn = torch.from_numpy(np.array(figure.axes[6 + k].images[0].get_array()))
        torch.testing.assert_close(drawn, X[1].mean(0) + k)
    assert [a.get_title() for a in figure.axes] == ["Imagen", "mapa 0", "mapa 1", "mapa 2", "mapa 3", *[""] * 5]


def test_comparison_grid_breaks_the_row_and_repeats_the_titles():
    figure = cells(5)
    assert len(figure.axes) == 16
    assert len([axis for axis in figure.axes if axis.images]) == 12
    assert figure.axes[8].get_title() == "Imagen"
    assert figure.axes[13].get_title() == "mapa 4"
    torch.testing.assert_close(shown(figure.axes[8]), X[1])


@pytest.mark.parametrize("count", [1, 4, 11])
def test_titles_neither_collide_nor_leave_the_figure(count):
    names = ["Gradientes integrados", "Retropropagación guiada", "Gradiente × imagen", "Grad-CAM guiado"] * 3
    x = formas(2).tensor()
    figure = comparison_grid(x, [x.mean(1)] * count, names[:count], [False] * count)
    figure.draw_without_rendering()
    assert figure.get_figwidth() == pytest.approx(min(6.4, 1.6 * (count + 1)))
    page = figure.bbox
    boxes = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    boxes += [axis.get_window_extent() for axis in figure.axes if axis.images]
    for k, box in enumerate(boxes):
        assert box.x0 >= page.x0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y1 <= page.y1 + 1
        for other in boxes[:k]:
            apart = min(box.x1, other.x1) - max(box.x0, other.x0), min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(apart) < 1
    pictures = [axis.get_window_extent().width for axis in figure.axes if axis.images]
    assert min(pictures) >= 100


def test_signed_maps_have_zero_in_the_middle_and_one_percent_saturates():
    heat = torch.linspace(-1, 3, 200).view(1, 10, 20)
    x = torch.rand(1, 3, 10, 20)
    signed, plain = (axis.images[0] for axis in comparison_grid(x, [heat, heat], ["s", "p"], [True, False]).axes[1:])
    low, high = signed.get_clim()
    assert low == -high
    assert high == heat.flatten()[-3]  # quedan fuera dos de doscientos
    assert plain.get_clim() == (-1, high)
    assert signed.cmap(0.5)[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)
    assert signed.cmap(0.9)[0] > 0.5 > signed.cmap(0.9)[2]


def test_a_map_almost_or_entirely_zero_keeps_its_zero():
    x, heat = torch.rand(1, 3, 20, 20), torch.zeros(1, 20, 20)
    assert comparison_grid(x, [heat], ["nada"], [True]).axes[1].images[0].get_clim() == (-1, 1)
    heat[0, 3, 4] = 5
    assert comparison_grid(x, [heat], ["un píxel"], [False]).axes[1].images[0].get_clim() == (0, 5)


# Oclusión -------------------------------------------------------------------------------------------------------


def curves(n: int, steps: int = 10) -> Tensor:
    noise = torch.randn(n, steps + 1, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64) + 0.1 * noise


def test_fidelity_curves_draw_the_mean_with_an_interval_of_the_mean():
    values = curves(200)
    axis = fidelity_curves({"a": values, "b": values.flip(1)}).axes[0]
    a, b = axis.lines
    assert list(a.get_xdata()) == pytest.approx(list(range(0, 101, 10)))
    assert a.get_ydata() == pytest.approx(values.mean(0).numpy())
    assert b.get_ydata() == pytest.approx(values.mean(0).flip(0).numpy())
    assert a.get_linestyle() != b.get_linestyle()
    assert a.get_color() != b.get_color()
    band = axis.collections[0].get_paths()[0].vertices
    width = [np.ptp(band[np.isclose(band[:, 0], x), 1]) for x in range(10, 100, 10)]
    expected = 2 * 1.96 * values.std(0) / 200**0.5
    assert width == pytest.approx(expected[1:-1].numpy(), rel=0.15)
    narrow = fidelity_curves({"a": values}, level=0.5).axes[0].collections[0].get_paths()[0].vertices
    assert np.ptp(narrow[np.isclose(narrow[:, 0], 50), 1]) == pytest.approx(width[4] * 0.6745 / 1.96, rel=0.15)


def test_fidelity_curves_write_the_area_and_its_interval():
    steps = torch.linspace(1, 0, 5)
    figure = fidelity_curves({"recta": steps.expand(6, 5), "plana": torch.full((6, 5), 0.125)}, level=0.9)
    legend = figure.axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["recta: 0,50 [0,50; 0,50]", "plana: 0,12 [0,12; 0,12]"]
    assert legend.get_title().get_text() == "área [intervalo del 90 %]"
    one = fidelity_curves({"recta": steps[None]}).axes[0]
    assert not one.collections
    assert [t.get_text() for t in one.get_legend().get_texts()] == ["recta: 0,50"]
    assert one.get_legend().get_title().get_text() == "área"


def test_fidelity_curves_say_what_is_done_and_repeat_themselves():
    state = torch.random.get_rng_state()
    first, second = (fidelity_curves({"a": curves(20)}, kind="insertion").axes[0] for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(first.collections[0].get_paths()[0].vertices, second.collections[0].get_paths()[0].vertices)
    assert "mostrados" in first.get_xlabel()
    assert "mayor" in first.get_title()
    deletion = fidelity_curves({"a": curves(2).to(torch.bfloat16).requires_grad_()}).axes[0]
    assert "borrados" in deletion.get_xlabel()
    assert "menor" in deletion.get_title()


def test_fidelity_of_grad_cam_and_chance_in_the_course_network():
    model, x = load_model("mini"), formas(8, seed=3).tensor()
    target = torch.arange(8)
    maps = {
        "Grad-CAM": grad_cam(model, x, target, "block5"),
        "azar": torch.rand(8, 64, 64, generator=torch.Generator().manual_seed(0)),
    }
    for kind, measure, sign in (("deletion", deletion_curve, -1), ("insertion", insertion_curve, 1)):
        found = {k: measure(model, x, target, v, steps=10, value=0.5, per_image=True) for k, v in maps.items()}
        cam, chance = (np.trapezoid(line.get_ydata()) for line in fidelity_curves(found, kind=kind).axes[0].lines)
        assert sign * (cam - chance) > 0


# Errores --------------------------------------------------------------------------------------------------------

C = curves(3)
H = X.mean(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: comparison_grid(X[0], [H], ["a"], [True]), r"\(N, 3, H, W\)"),
        (lambda: comparison_grid(X[:0], [H], ["a"], [True]), r"\(N, 3, H, W\)"),
        (lambda: comparison_grid(X, [], [], []), "uno o más mapas"),
        (lambda: comparison_grid(X, [H], ["a", "b"], [True]), "2 rótulos y 1 signos"),
        (lambda: comparison_grid(X, [H[:, 1:]], ["a"], [True]), "El mapa de «a» mide"),
        (lambda: comparison_grid(X, [H / 0 * 0], ["a"], [True]), "«a» contiene NaN"),
        (lambda: fidelity_curves({}), "llegaron 0"),
        (lambda: fidelity_curves(dict.fromkeys("abcdef", C)), "llegaron 6"),
        (lambda: fidelity_curves({"a": C.mean(0)}), "per_image=True"),
        (lambda: fidelity_curves({"a": C[:0]}), "per_image=True"),
        (lambda: fidelity_curves({"a": C[:, :1]}), "per_image=True"),
        (lambda: fidelity_curves({"a": C, "b": C[1:]}), "mismas imágenes"),
        (lambda: fidelity_curves({"a": C / 0 * 0}), "«a» contienen NaN"),
        (lambda: fidelity_curves({"a": C}, kind="delection"), "deletion"),
        (lambda: fidelity_curves({"a": C}, level=95), "95"),
        (lambda: colorize(torch.rand(3)), r"\(\.\.\., H, W\)"),
        (lambda: colorize(torch.tensor([[float("nan")]])), "NaN"),
    ],
)
def test_bad_arguments_are_explained(call, message):
    with pytest.raises(ConvlabError, match=message):
        call()
