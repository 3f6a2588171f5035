"""Ejercicio 2: Grad-CAM. Los errores de su catálogo están en `grad_cam_errors`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from convlab import gradcam
from convlab.exercises.case import Draft
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.gradcam.grad_cam_errors import CATALOGUE
from convlab.exercises.gradcam.grad_cam_variants import VARIANTS
from convlab.exercises.gradcam.networks import favourable, mixed_signs
from convlab.exercises.nets import NetSpec, gap_net, images, losing_classes, mlp_net, one_class_each
from convlab.hooks import capture


def _favourable_one(rng: np.random.Generator) -> Draft:
    return _gap(rng, 1)


def _favourable_batch(rng: np.random.Generator) -> Draft:
    return _gap(rng, 3)


def _class_per_image(rng: np.random.Generator) -> Draft:
    return _gap(rng, 3, per_image=True)


def _frozen(rng: np.random.Generator) -> Draft:
    return _gap(rng, 2, setup=frozenset({"frozen"}))


def _float32(rng: np.random.Generator) -> Draft:
    spec = favourable(gap_net(rng)).astype("float32")
    return Draft(
        {"model": spec, "x": images(rng, 2).astype("float32"), "target": int(rng.integers(5)), "layer": "relu2"}
    )


def _strided(rng: np.random.Generator) -> Draft:
    return _gap(rng, 2, setup=frozenset({"strided"}))


def _mixed_gap(rng: np.random.Generator) -> Draft:
    return _mixed(rng, 2, gap_net, "relu2")


def _mixed_mlp(rng: np.random.Generator) -> Draft:
    return _mixed(rng, 1, mlp_net, "relu2")


def _mixed_early_layer(rng: np.random.Generator) -> Draft:
    return _mixed(rng, 2, lambda r: gap_net(r, stride=2), "bn1")


def _mixed_inplace(rng: np.random.Generator) -> Draft:
    return _mixed(rng, 2, lambda r: gap_net(r, inplace=True), "conv2")


def _gap(rng: np.random.Generator, n: int, *, per_image: bool = False, setup: frozenset[str] = frozenset()) -> Draft:
    """Una red con media espacial y todos los pesos a favor, de la que se conoce el mapa en forma cerrada.

    Es `Σ_c w_kc A_c / (h · w)`, ampliado: ni la ReLU ni el signo cambian nada, y quien yerra en ellos conserva estos
    puntos.
    """
    spec, x = favourable(gap_net(rng)), images(rng, n)
    losing = losing_classes(spec, x)
    classes = np.array([rng.choice(options) for options in losing])
    if per_image:
        while True:
            classes = one_class_each(rng, n, len(spec.state["fc.bias"]))
            if all(k in options for k, options in zip(classes, losing, strict=True)):
                break
    target = classes if per_image else int(classes[0])
    a = capture(spec.build(), torch.from_numpy(x), ["relu2"])["relu2"]
    rows = torch.from_numpy(spec.state["fc.weight"][target] * np.ones((n, 1)))
    heat = torch.einsum("nc,nchw->nhw", rows, a) / a[0, 0].numel()
    big = F.interpolate(heat[:, None], size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return Draft({"model": spec, "x": x, "target": target, "layer": "relu2"}, setup, big.numpy())


def _mixed(rng: np.random.Generator, n: int, build: Callable[[np.random.Generator], NetSpec], layer: str) -> Draft:
    """Una clase que la red no elegiría, con zonas a favor y en contra que se notan en cada imagen."""
    while True:
        spec, x = build(rng), images(rng, n)
        common = set.intersection(*(set(options.tolist()) for options in losing_classes(spec, x)))
        for target in sorted(common):
            if mixed_signs(spec, x, target, layer):
                return Draft({"model": spec, "x": x, "target": target, "layer": layer})


EXERCISE = Exercise(
    id="gradcam.grad_cam",
    title="Grad-CAM",
    minutes=25,
    visible_points=4,
    hidden_points=4,
    reference=gradcam.grad_cam,
    properties=(
        Property("Suma ponderada y ampliada, con todo a favor", 2, (_favourable_one, _favourable_batch)),
        Property("Solo lo que empuja a favor", 2, (_mixed_gap,)),
        Property("Una clase por imagen", 1, (_class_per_image,)),
        Property("Cualquier cabeza y cualquier capa", 2, (_mixed_mlp, _mixed_early_layer)),
        Property("Redes con los parámetros congelados", 1, (_frozen,)),
        Property("Una ReLU que escribe encima de la capa", 1, (_mixed_inplace,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=VARIANTS,
)
