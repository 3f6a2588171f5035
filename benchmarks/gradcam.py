"""Grad-CAM de convlab frente a Captum y a `grad-cam`: tiempos relativos, alternados en una misma ejecución.

Uso: `python benchmarks/gradcam.py [--rounds N] [--size PX] [--batch N] [--device auto]`. Necesita el extra `bench`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torchvision
from captum.attr import LayerAttribution, LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from convlab.device import resolve_device
from convlab.gradcam import grad_cam
from convlab.hooks import get_layer

LAYERS = {"resnet18": "layer4", "vgg16": "features.29"}


def contestants(model: nn.Module, layer: str, x: Tensor) -> dict[str, Callable[[], object]]:
    """Cada rival hace lo mismo: el mapa de la clase 7, con ReLU y ampliado al tamaño de la imagen."""
    module, size = get_layer(model, layer), tuple(x.shape[2:])
    captum = LayerGradCam(model, module)
    package = GradCAM(model, [module])

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return {
        "solo la pasada": forward,
        "convlab": lambda: grad_cam(model, x, 7, layer),
        "Captum": lambda: LayerAttribution.interpolate(
            captum.attribute(x, 7, relu_attributions=True), size, "bilinear"
        ),
        "grad-cam": lambda: package(x, [ClassifierOutputTarget(7)] * len(x)),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Mediana de segundos de cada llamada. Cada vuelta las recorre todas y empieza por otra: el ruido se reparte."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for k in range(-1, rounds):  # la primera vuelta calienta
        for name in names[k % len(names) :] + names[: k % len(names)]:
            start = time.perf_counter()
            calls[name]()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if k >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def saved_megabytes(call: Callable[[], object], model: nn.Module) -> float:
    """Memoria que el grafo retiene para derivar, sin contar los pesos."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(kept.values()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="vueltas que se miden")
    parser.add_argument("--size", type=int, default=224, help="lado de la imagen, en píxeles")
    parser.add_argument("--batch", type=int, default=2, help="imágenes por lote")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda o mps")
    options = parser.parse_args()
    device = resolve_device(options.device)
    table = Table(title=f"Grad-CAM, {options.batch} imágenes de {options.size} px, {device}")
    table.add_column("red")
    table.add_column("quién")
    for heading in ("ms", "/ convlab", "/ una pasada", "MB del grafo"):
        table.add_column(heading, justify="right")
    for name, layer in LAYERS.items():
        model = torchvision.models.get_model(name, weights=None).eval().to(device)
        x = torch.rand(options.batch, 3, options.size, options.size, device=device)
        calls = contestants(model, layer, x)
        seconds = measure(calls, options.rounds, device)
        own, forward = seconds["convlab"], seconds["solo la pasada"]
        for who, value in seconds.items():
            ratios = f"{value / own:.2f}", f"{value / forward:.2f}"
            table.add_row(name, who, f"{1e3 * value:.1f}", *ratios, f"{saved_megabytes(calls[who], model):.1f}")
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
