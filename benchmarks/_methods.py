"""Lo que compara `techniques.py`: cada técnica de convlab, sus pasadas desnudas y lo mismo con otras bibliotecas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
import torchattacks
from _measure import Call, clock
from captum.attr import (
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.adversarial import fgsm, pgd
from convlab.gradcam import grad_cam
from convlab.hooks import get_layer
from convlab.occlusion import occlusion_map
from convlab.saliency import gradient_times_input, guided_backprop, integrated_gradients, saliency_map, smoothgrad

LAYERS = {"resnet18": "layer4", "vgg16": "features.29"}
CLASS = 7
COPIES = 8  # copias de SmoothGrad y nodos de los gradientes integrados
NODES = 50  # los nodos por omisión de Captum: con ellos se mide la memoria
PER_PASS = (1, 2, 4, 8)  # divisores de COPIES
STEPS, EPS, ALPHA = 5, 4 / 255, 1 / 255
PATCH, STRIDE = 32, 16
OCCLUSION_BATCHES = (1, 8, 16, 32)
MANY_PASSES = {"smoothgrad", "integrated", "pgd", "occlusion"}


@dataclass
class Setting:
    """Un rival con un ajuste. `trial` es la misma tarea en pequeño, para elegir el ajuste y medir la memoria."""

    name: str
    run: Call
    trial: Call | None = None


@dataclass
class Method:
    """Una técnica: lo que hace convlab, sus pasadas desnudas y sus rivales; el primer ajuste de cada uno, por omisión.

    Si `scale` no es 1, las pasadas desnudas son una muestra de las que harían falta, y su tiempo se multiplica. La
    memoria se mide en `memory`, convlab y su rival por omisión, si no es en la misma tarea que el tiempo.
    """

    own: Call
    bare: Call
    forwards: float
    backwards: float
    peers: dict[str, list[Setting]]
    scale: float = 1.0
    memory: tuple[Call, Call] | None = None


@dataclass
class Case:
    """Una red y un lote con los que trabajan todas las técnicas."""

    net: str
    model: nn.Module
    x: Tensor
    device: torch.device

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.model(x)

    def gradient(self, x: Tensor, loss: Callable[[Tensor], Tensor] = lambda logits: logits[:, CLASS].sum()) -> Tensor:
        leaf = x.detach().requires_grad_()
        with frozen(self.model):
            (gradient,) = torch.autograd.grad(loss(self.model(leaf)), leaf)
        return gradient


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    model.requires_grad_(False)
    try:
        yield
    finally:
        model.requires_grad_(True)


def one_pass(own: Callable[..., Tensor], peer: Callable[[nn.Module], Any]) -> Callable[[Case], Method]:
    """Las técnicas que son una pasada hacia delante y otra hacia atrás."""

    def build(case: Case) -> Method:
        rival = peer(case.model)
        return Method(
            own=lambda: own(case.model, case.x, CLASS),
            bare=lambda: case.gradient(case.x),
            forwards=1,
            backwards=1,
            peers={"Captum": [Setting("", lambda: rival.attribute(case.x, target=CLASS))]},
        )

    return build


def gradcam(case: Case) -> Method:
    """El mapa de una clase, con ReLU y ampliado al tamaño de la imagen.

    El mínimo incluye derivar el logit respecto de la capa: en vgg16 son tres capas densas con casi todos los pesos.
    """
    layer, size = LAYERS[case.net], tuple(case.x.shape[2:])
    module = get_layer(case.model, layer)
    captum = LayerGradCam(case.model, module)

    def package() -> None:
        with GradCAM(case.model, [module]) as cam:  # fuera del contexto sus ganchos seguirían puestos
            cam(case.x, [ClassifierOutputTarget(CLASS)] * len(case.x))

    def bare() -> None:
        leaves: list[Tensor] = []

        def cut(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            leaves.append(output.requires_grad_())
            torch.set_grad_enabled(True)  # hasta que acabe el no_grad de fuera

        handle = module.register_forward_hook(cut)
        with torch.no_grad(), frozen(case.model):
            logits = case.model(case.x)
        handle.remove()
        torch.autograd.grad(logits[:, CLASS].sum(), leaves)

    return Method(
        own=lambda: grad_cam(case.model, case.x, CLASS, layer),
        bare=bare,
        forwards=1,
        backwards=0,
        peers={
            "Captum": [
                Setting(
                    "",
                    lambda: LayerAttribution.interpolate(
                        captum.attribute(case.x, CLASS, relu_attributions=True), size, "bilinear"
                    ),
                )
            ],
            "grad-cam": [Setting("", package)],
        },
    )


def copies(case: Case, own: Call, peers: list[Setting]) -> Method:
    """Las técnicas que promedian gradientes en varias versiones de cada imagen; el mínimo, con las que menos tarda."""
    cost = {b: clock(lambda b=b: case.gradient(case.x.repeat(b, 1, 1, 1)), case.device) / b for b in PER_PASS}
    best = min(cost, key=cost.__getitem__)
    batch = case.x.repeat(best, 1, 1, 1)

    def bare() -> None:
        for _ in range(COPIES // best):
            case.gradient(batch)

    return Method(own, bare, COPIES, COPIES, {"Captum": peers})


def smooth(case: Case) -> Method:
    tunnel = NoiseTunnel(Saliency(case.model))

    def peer(batch: int | None) -> Call:
        noise: dict[str, Any] = {"nt_type": "smoothgrad", "nt_samples": COPIES, "stdevs": 0.15, "abs": False}
        return lambda: tunnel.attribute(case.x, target=CLASS, nt_samples_batch_size=batch, **noise)

    settings = [Setting(f"nt_samples_batch_size={b}", peer(b)) for b in (None, 4, 1)]
    return copies(case, lambda: smoothgrad(case.model, case.x, CLASS, n=COPIES), settings)


def integrated(case: Case) -> Method:
    captum = IntegratedGradients(case.model)

    def peer(batch: int | None) -> Call:
        return lambda: captum.attribute(
            case.x, target=CLASS, n_steps=COPIES, method="gausslegendre", internal_batch_size=batch
        )

    settings = [Setting(f"internal_batch_size={b}", peer(b)) for b in (None, 4 * len(case.x), len(case.x))]
    method = copies(case, lambda: integrated_gradients(case.model, case.x, CLASS, steps=COPIES), settings)
    nodes = max(COPIES, NODES // len(case.x))
    method.memory = (
        lambda: integrated_gradients(case.model, case.x, CLASS, steps=nodes),
        lambda: captum.attribute(case.x, target=CLASS, n_steps=nodes),
    )
    return method


def attack(own: Callable[..., Tensor], peer: Callable[[nn.Module], Any], steps: int) -> Callable[[Case], Method]:
    """Los ataques: una pasada hacia delante y otra hacia atrás por paso."""

    def build(case: Case) -> Method:
        rival = peer(case.model)
        y = torch.full((len(case.x),), CLASS, device=case.device)

        def bare() -> None:
            for _ in range(steps):
                case.gradient(case.x, lambda logits: F.cross_entropy(logits, y))

        peers = {"torchattacks": [Setting("", lambda: rival(case.x, y))]}
        return Method(lambda: own(case.model, case.x, y), bare, steps, steps, peers)

    return build


def occlusion(case: Case) -> Method:
    """El mínimo es la red entera con cada cuadrado; convlab recalcula solo lo que cambia y baja de 1."""
    captum = Occlusion(case.model)
    height, width = case.x.shape[2:]
    windows = (ceil((height - PATCH) / STRIDE) + 1) * (ceil((width - PATCH) / STRIDE) + 1)

    def peer(per_pass: int, window: tuple[int, int], step: tuple[int, int]) -> Call:
        return lambda: captum.attribute(case.x, (3, *window), (3, *step), target=CLASS, perturbations_per_eval=per_pass)

    exact = (PATCH, PATCH), (STRIDE, STRIDE)
    coarse = ceil(height / 4), ceil(width / 8)  # 32 cuadrados: llenan todas las pasadas
    settings = [
        Setting(f"perturbations_per_eval={b}", peer(b, *exact), peer(b, coarse, coarse)) for b in OCCLUSION_BATCHES
    ]
    cost = {b: clock(lambda b=b: case.forward(case.x.repeat(b, 1, 1, 1)), case.device) / b for b in OCCLUSION_BATCHES}
    batch = case.x.repeat(min(cost, key=cost.__getitem__), 1, 1, 1)
    return Method(
        own=lambda: occlusion_map(case.model, case.x, CLASS, PATCH, STRIDE),
        bare=lambda: case.forward(batch),
        forwards=windows,
        backwards=0,
        peers={"Captum": settings},
        scale=windows * len(case.x) / len(batch),
    )


METHODS: dict[str, tuple[str, Callable[[Case], Method]]] = {
    "saliency": ("saliencia", one_pass(saliency_map, Saliency)),
    "gradient_times_input": ("gradiente × entrada", one_pass(gradient_times_input, InputXGradient)),
    "guided": ("retropropagación guiada", one_pass(guided_backprop, GuidedBackprop)),
    "gradcam": ("Grad-CAM", gradcam),
    "smoothgrad": (f"SmoothGrad, {COPIES} copias", smooth),
    "integrated": (f"gradientes integrados, {COPIES} nodos", integrated),
    "fgsm": ("FGSM", attack(lambda m, x, y: fgsm(m, x, y, EPS), lambda m: torchattacks.FGSM(m, EPS), 1)),
    "pgd": (
        f"PGD, {STEPS} pasos",
        attack(
            lambda m, x, y: pgd(m, x, y, EPS, ALPHA, STEPS), lambda m: torchattacks.PGD(m, EPS, ALPHA, STEPS), STEPS
        ),
    ),
    "occlusion": (f"oclusión, {PATCH} px cada {STRIDE}", occlusion),
}
