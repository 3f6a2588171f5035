"""Redes e imágenes de los casos de esta lección, con todas las derivadas lejos de cero.

`sign` salta en el cero: donde la derivada casi se anula, dos respuestas correctas que redondean distinto darían píxeles
distintos. Aquí cada caso se vuelve a sortear hasta que ninguna derivada del camino queda cerca.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from convlab.exercises.nets import Layer, NetSpec, images, random_net
from convlab.hooks import input_gradient

FAR = (4.0, 5.0)
"""Un margen que ningún ataque de los casos alcanza a saltar: la respuesta de la red no cambia por el camino."""

CLEAR = 1e-5
"""La menor derivada admitida, relativa a la mayor: diez veces y más lo que se equivoca float32."""


@dataclass(frozen=True)
class Sample:
    """Una red, unas imágenes y una clase por imagen; en una red de dos clases, también hacia dónde sube la pérdida."""

    model: NetSpec
    x: np.ndarray
    y: np.ndarray
    uphill: np.ndarray

    def single(self) -> Sample:
        """Lo mismo en float32."""
        return replace(self, model=self.model.astype("float32"), x=self.x.astype("float32"))


def binary(
    rng: np.random.Generator,
    n: int,
    *,
    low: float = 0.4,
    high: float = 0.6,
    margin: tuple[float, float] = (0.2, 0.6),
    wrong: tuple[int, ...] = (),
    ignored: float = 0.0,
    sides: tuple[int, ...] = (4, 5, 6, 7),
) -> Sample:
    """Red lineal de dos clases: la pérdida sube siempre con el mismo signo, y el resultado se sabe de antemano.

    La red acierta todas las imágenes salvo las de `wrong`, con ese margen entre los dos logits, y no mira una fracción
    `ignored` de los valores: ahí la derivada es cero. Con más de una imagen están las dos clases. Los pesos de una
    clase son los de la otra cambiados de signo: quien deriva el logit en vez de la pérdida acierta aquí.
    """
    h, w = (int(v) for v in rng.permutation(sides)[:2])
    slope = rng.choice([-1, 1], 3 * h * w) * rng.uniform(0.1, 0.5, 3 * h * w)
    slope[rng.permutation(slope.size)[: int(ignored * slope.size)]] = 0
    bias = -0.5 * slope.sum()
    answer = (np.arange(n) + rng.integers(2)) % 2
    side = np.where(answer == 1, 1, -1)
    while True:
        flat = rng.uniform(low, high, (n, slope.size))
        missing = side * rng.uniform(*margin, n) - (flat @ slope + bias)
        flat = np.clip(flat + missing[:, None] * np.sign(slope) / np.abs(slope).sum(), 0, 1)
        if (side * (flat @ slope + bias)).min() > margin[0] / 2:
            break
    y = answer.copy()
    y[list(wrong)] = 1 - y[list(wrong)]
    uphill = np.where(y == 0, 1, -1)[:, None] * np.sign(slope)
    shape = (n, 3, h, w)
    model = _linear(np.stack([-slope, slope]) / 2, np.array([-bias, bias]) / 2)
    return Sample(model, flat.reshape(shape), y, uphill.reshape(shape))


def several(rng: np.random.Generator, n: int, classes: int = 4) -> Sample:
    """Red lineal de varias clases, con imágenes en todo [0, 1] y una clase cualquiera para cada una."""
    h, w = (int(v) for v in rng.permutation([4, 5, 6, 7])[:2])
    x = images(rng, n, h, w)
    weight = rng.normal(0, 0.3, (classes, 3 * h * w))
    bias = -weight @ np.full(3 * h * w, 0.5) + rng.normal(0, 0.3, classes)
    y = rng.permutation(classes)[:n]
    return Sample(_linear(weight, bias), x, y, np.zeros(0))


def curved(rng: np.random.Generator, n: int) -> Sample:
    """Red convolucional: la dirección en que sube la pérdida cambia de un punto a otro."""
    h, w = (int(v) for v in rng.permutation([6, 8, 10])[:2])
    conv = {"kernel_size": 3, "padding": 1}
    layers: list[Layer] = [
        ("conv1", "Conv2d", {"in_channels": 3, "out_channels": 6, **conv}),
        ("bn1", "BatchNorm2d", {"num_features": 6}),
        ("act1", "Softplus", {"beta": 4.0}),
        ("pool1", "AvgPool2d", {"kernel_size": 2}),
        ("conv2", "Conv2d", {"in_channels": 6, "out_channels": 8, **conv}),
        ("relu2", "ReLU", {"inplace": True}),
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": 8 * (h // 2) * (w // 2), "out_features": 5}),
    ]
    spec = random_net(layers, rng)
    # Pesos grandes: sin ellos, la red es casi recta en el tamaño de un ataque.
    sharp = {k: v * 3 if k.endswith("weight") and v.ndim > 1 else v for k, v in spec.state.items()}
    return Sample(replace(spec, state=sharp), images(rng, n, h, w), rng.permutation(5)[:n], np.zeros(0))


def answers(sample: Sample) -> np.ndarray:
    """Lo que responde la red a cada imagen."""
    with torch.no_grad():
        return sample.model.build()(torch.from_numpy(sample.x)).argmax(1).numpy()


@dataclass(frozen=True)
class Walk:
    """Un ataque paso a paso: el resultado, si ninguna derivada pasó cerca de cero y qué cosas lo cambiarían."""

    x_adv: np.ndarray
    clear: bool
    turns: int
    late: int


def walk(sample: Sample, eps: float, alpha: float, steps: int, *, sign: int = 1) -> Walk:
    """Un ataque de `steps` pasos, escrito sin el de `convlab`.

    `turns` cuenta los valores que acaban en otro sitio si todos los pasos siguen la primera derivada; `late`, los que
    acaban en otro sitio si se proyecta solo al final.
    """
    model, x, y = sample.model.build(), torch.from_numpy(sample.x), torch.from_numpy(sample.y)
    z, free, clear, first = x, x, True, torch.zeros_like(x)

    def project(values: torch.Tensor) -> torch.Tensor:
        return torch.minimum(torch.maximum(values, x - eps), x + eps).clamp(0, 1)

    for step in range(steps):
        g = input_gradient(model, z, lambda logits: F.cross_entropy(logits, y, reduction="sum"))
        size = g.abs().flatten(1)
        clear &= bool((size.amin(1) > CLEAR * size.amax(1)).all())
        first = g.sign() if step == 0 else first
        z = project(z + sign * alpha * g.sign())
        g_free = input_gradient(model, free, lambda logits: F.cross_entropy(logits, y, reduction="sum"))
        free = free + sign * alpha * g_free.sign()
    once = project(x + sign * alpha * steps * first)
    differs = [int((other - z).abs().gt(alpha / 4).sum()) for other in (once, project(free))]
    return Walk(z.numpy(), clear, *differs)


def _linear(weight: np.ndarray, bias: np.ndarray) -> NetSpec:
    layers: tuple[Layer, ...] = (
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": weight.shape[1], "out_features": len(weight)}),
    )
    return NetSpec(layers, {"fc.weight": weight, "fc.bias": bias}, "float64")
