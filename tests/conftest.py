"""Redes y comprobaciones que comparten las pruebas.

Las redes llevan sesgos y estadísticas de BatchNorm genéricos: con los de una red recién creada (sesgos nulos, media 0,
varianza 1) muchas fórmulas equivocadas aciertan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from convlab.device import resolve_device
from convlab.errors import ConvlabError
from convlab.models.mini import Mini

BUILDERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mini": (Mini, "block5"),
    "resnet18": (torchvision.models.resnet18, "layer4"),
    "vgg16": (lambda: torchvision.models.vgg16(init_weights=False), "features.29"),
    "densenet121": (torchvision.models.densenet121, "features"),
    "efficientnet_lite0": (lambda: timm.create_model("tf_efficientnet_lite0", pretrained=False), "bn2"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="dónde se ejecuta test_hygiene.py: cpu, cuda o mps")
    parser.addoption(
        "--seeds", type=int, default=1, help="semillas visibles por ejercicio en test_exercise_catalogue.py"
    )


SLOWEST = ("book_browser", "grading", "exercise_catalogue", "training", "hygiene", "lessons", "jupyterlab")
"""Los archivos que más tardan. Con varios procesos (`-n`) se empieza por ellos: al final, ninguno espera a otro."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turn = {f"test_{name}": k for k, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: turn.get(item.path.stem, len(turn)))


def pytest_configure(config: pytest.Config) -> None:
    global DEVICE
    try:
        DEVICE = resolve_device(config.getoption("--device"))
    except ConvlabError as error:
        raise pytest.UsageError(str(error)) from error


DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class Network:
    """Una red en modo `eval`, su capa para Grad-CAM y dos imágenes `(2, 3, 96, 64)` en [0, 1]."""

    name: str
    model: nn.Module
    layer: str
    x: Tensor


@torch.no_grad()
def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Da a toda la red pesos, sesgos y estadísticas de BatchNorm genéricos, y la deja en modo `eval`."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.normal_(0, 0.3, generator=generator)
    return model.eval()


_networks: dict[str, Network] = {}


def make_network(name: str) -> Network:
    """La red de ese nombre, creada una vez por sesión; nadie debe dejarla cambiada."""
    if name not in _networks:
        build, layer = BUILDERS[name]
        x = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
        _networks[name] = Network(name, randomize(build()), layer, x)
    return _networks[name]


@pytest.fixture(scope="session", params=list(BUILDERS))
def network(request: pytest.FixtureRequest) -> Network:
    return make_network(request.param)


@pytest.fixture(scope="session")
def mini() -> Network:
    return make_network("mini")


@pytest.fixture(scope="session")
def resnet18() -> Network:
    return make_network("resnet18")


@pytest.fixture(scope="session")
def vgg16() -> Network:
    return make_network("vgg16")


@contextmanager
def left_as_found(model: nn.Module, *tensors: Tensor) -> Iterator[None]:
    """Comprueba que el bloque no deja rastro en el modelo ni en los tensores, ni siquiera si lanza una excepción."""

    def traces() -> tuple[list[Any], list[Tensor]]:
        modules = [
            (m.training, tuple(m._forward_hooks), tuple(m._forward_pre_hooks), tuple(m._backward_hooks), m.forward)
            for m in model.modules()
        ]
        values = [*model.parameters(), *model.buffers(), *tensors]
        marks = [(id(v), v.requires_grad, v.grad) for v in values]
        return [*modules, *marks], values

    found, values = traces()
    before = [v.detach().clone() for v in values]
    try:
        yield
    finally:
        assert traces()[0] == found
        assert all(torch.equal(a, b) for a, b in zip(before, values, strict=True))
