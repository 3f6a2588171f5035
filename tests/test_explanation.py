"""`convlab.explain` y `convlab.compare`: la misma cara para todas las técnicas."""

from __future__ import annotations

import pytest
import torch
from conftest import left_as_found, randomize
from torch import nn

import convlab
from convlab import cli, deconvnet, gradcam, occlusion, saliency
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.explanation import compare, explain, list_methods, method_info
from convlab.models import load_model
from convlab.models.mini import Mini

X = formas(2, seed=4).tensor()
TARGET = torch.tensor([3, 5])


def dice():
    return torch.Generator().manual_seed(1)


DIRECT = {
    "grad-cam": lambda m: gradcam.grad_cam(m, X, TARGET, "block5"),
    "grad-cam++": lambda m: gradcam.grad_cam_plus_plus(m, X, TARGET, "block5"),
    "guided-grad-cam": lambda m: gradcam.guided_grad_cam(m, X, TARGET, "block5").abs().amax(1),
    "saliency": lambda m: saliency.saliency_map(m, X, TARGET),
    "gradient-x-input": lambda m: saliency.gradient_times_input(m, X, TARGET),
    "smoothgrad": lambda m: saliency.smoothgrad(m, X, TARGET, n=3, generator=dice()),
    "integrated-gradients": lambda m: saliency.integrated_gradients(m, X, TARGET, steps=4),
    "guided-backprop": lambda m: saliency.guided_backprop(m, X, TARGET).abs().amax(1),
    "deconvnet": lambda m: deconvnet.input_signal(m, X, TARGET, "deconvnet").abs().amax(1),
    "occlusion": lambda m: occlusion.occlusion_map(m, X, TARGET, 9, 4, "mean"),
    "rise": lambda m: occlusion.rise(m, X, TARGET, n=5, generator=dice()),
}
OPTIONS = {
    "smoothgrad": lambda: {"n": 3, "generator": dice()},
    "integrated-gradients": lambda: {"steps": 4},
    "rise": lambda: {"n": 5, "generator": dice()},
}


@pytest.fixture(scope="module")
def model():
    return randomize(Mini())


def test_the_command_line_offers_every_method():
    assert list(cli.METHODS) == list_methods() == list(DIRECT)


@pytest.mark.parametrize("method", DIRECT)
def test_gives_what_the_function_of_the_lesson_gives(model, method):
    found = explain(model, X, TARGET, method, **OPTIONS.get(method, dict)())
    torch.testing.assert_close(found.map, DIRECT[method](model))
    assert found.map.shape == (2, 64, 64)
    assert (found.method, found.model) == (method, "Mini")
    assert torch.equal(found.target, TARGET)
    assert found.layer == ("block5" if method_info(method).layered else None)
    assert 0 < found.seconds < 60
    assert method_info(method).signed or float(found.map.min()) >= 0


def test_without_a_target_explains_what_the_network_says(model):
    with torch.no_grad():
        predicted = model(X).argmax(1)
    found = explain(model.train(), X, method="saliency")
    model.eval()
    assert torch.equal(found.target, predicted)
    torch.testing.assert_close(found.map, saliency.saliency_map(model, X, predicted))


def test_a_layer_can_be_chosen(model):
    found = explain(model, X, 3, layer="block4")
    assert found.layer == "block4"
    torch.testing.assert_close(found.map, gradcam.grad_cam(model, X, 3, "block4"))


def test_a_selector_reaches_the_prediction_too(model):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, x):
            return x, self.net(x)

    found = explain(Pair(), X, method="saliency", select=lambda out: out[1])
    torch.testing.assert_close(found.map, explain(model, X, method="saliency").map)
    with pytest.raises(ConvlabError, match="select"):
        explain(Pair(), X, method="saliency")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "gradcam"}, "grad-cam"),
        ({"method": "smoothgrad", "sigmas": 0.1}, "sigma"),
        ({"method": "saliency", "layer": "block5"}, "no mira ninguna capa"),
        ({"layer": "block6"}, "block5"),
        ({"target": 10}, "clase 10"),
        ({"target": torch.tensor([1, 2, 3])}, "2 imágenes"),
    ],
)
def test_mistakes_are_explained(model, arguments, words):
    with left_as_found(model, X), pytest.raises(ConvlabError, match=words):
        explain(model, X, **arguments)


def test_is_reached_from_the_package():
    assert convlab.explain is explain
    assert convlab.compare is compare
    with pytest.raises(AttributeError, match="explica"):
        _ = convlab.explica


def test_compare_draws_image_and_maps_with_their_names(model):
    figure = compare(model, X, ["grad-cam", "occlusion"], target=3)
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 6
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert "Grad-CAM" in titles
    assert "Oclusión" in titles
    low, high = images[2].get_clim()
    assert low == -high  # la oclusión lleva signo: el cero, en el centro
    with pytest.raises(ConvlabError, match="occlusion"):
        compare(model, X, ["oclusion"])


def test_on_formas_the_good_maps_find_the_object():
    """El camino de quien lo usa, con la red incluida: la masa dentro del objeto supera a la del azar."""
    scenes = formas(30, seed=21)
    mask = torch.from_numpy(scenes.mask)
    share = mask.float().mean()
    for method in ("grad-cam", "occlusion", "integrated-gradients"):
        heat = explain(load_model("mini"), scenes.tensor(), method=method).map.clamp(min=0)
        inside = (heat * mask).sum((1, 2)) / heat.sum((1, 2)).clamp(min=1e-9)
        assert inside.mean() > 1.8 * share, method
