"""Con NumPy y sin la biblioteca: las imágenes de los casos, una red lineal y lo que responde al taparla."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from convlab.exercises.nets import NetSpec, images, random_net

Value = float | str


def tinted_images(rng: np.random.Generator, n: int, height: int, width: int) -> np.ndarray:
    """Imágenes sin un solo píxel negro y con un tono propio: ni dos imágenes ni dos canales tienen la misma media."""
    tint = (rng.permutation(3 * n).reshape(n, 3, 1, 1) + 1) / (3 * n + 1)
    return 0.1 + 0.4 * tint + 0.4 * images(rng, n, height, width)


def linear_net(rng: np.random.Generator, height: int, width: int, classes: int = 5) -> NetSpec:
    """Los logits son lineales en la imagen: lo que cae al tapar un cuadrado se sabe sin la red."""
    size = {"in_features": 3 * height * width, "out_features": classes}
    return random_net([("flatten", "Flatten", {}), ("fc", "Linear", size)], rng)


def favouring(spec: NetSpec, target: int, amount: float) -> NetSpec:
    """La misma red con el logit de una clase más alto."""
    bias = spec.state["fc.bias"].copy()
    bias[target] += amount
    return replace(spec, state=spec.state | {"fc.bias": bias})


def logits(spec: NetSpec, x: np.ndarray) -> np.ndarray:
    """Los de `linear_net`, `(N, K)`."""
    return np.asarray(x.reshape(len(x), -1) @ spec.state["fc.weight"].T + spec.state["fc.bias"])


def probabilities(spec: NetSpec, x: np.ndarray) -> np.ndarray:
    """Las de `linear_net`, `(N, K)`."""
    powers = np.exp(logits(spec, x))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def filling(x: np.ndarray, value: Value) -> np.ndarray:
    """Con qué se tapa cada píxel."""
    return np.broadcast_to(x.mean((2, 3), keepdims=True) if value == "mean" else np.asarray(value, x.dtype), x.shape)


def corners(shape: tuple[int, ...], patch: int, stride: int) -> list[tuple[int, int]]:
    """Las esquinas de los cuadrados: cada `stride` y, si falta, la del pegado al borde lejano."""
    tops, lefts = (sorted({*range(0, side - patch, stride), side - patch}) for side in shape[-2:])
    return [(top, left) for top in tops for left in lefts]


def occlusions(
    x: np.ndarray, patch: int, stride: int, value: Value
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Cada cuadrado y las imágenes con él tapado."""
    fill = filling(x, value)
    for top, left in corners(x.shape, patch, stride):
        window = slice(top, top + patch), slice(left, left + patch)
        covered = x.copy()
        covered[:, :, *window] = fill[:, :, *window]
        yield window, covered


def linear_map(spec: NetSpec, arguments: dict[str, Any]) -> np.ndarray:
    """El mapa de oclusión de `linear_net`."""
    x, rows = arguments["x"], np.arange(len(arguments["x"]))
    total, count = np.zeros((len(x), *x.shape[2:])), np.zeros(x.shape[2:])
    clean = logits(spec, x)[rows, arguments["target"]]
    for window, covered in occlusions(x, arguments["patch"], arguments["stride"], arguments["value"]):
        drop = clean - logits(spec, covered)[rows, arguments["target"]]
        total[:, *window] += drop[:, None, None]
        count[*window] += 1
    return total / count


def linear_curve(spec: NetSpec, arguments: dict[str, Any]) -> np.ndarray:
    """La curva de borrado de `linear_net`."""
    x, steps, fill = arguments["x"], arguments["steps"], filling(arguments["x"], arguments["value"])
    pixels = x[0, 0].size
    order = np.argsort(-arguments["saliency"].reshape(len(x), -1), axis=1, kind="stable")
    curve = []
    for k in range(steps + 1):
        erased = x.reshape(len(x), 3, -1).copy()
        for image, chosen, color in zip(erased, order[:, : round(k * pixels / steps)], fill, strict=True):
            image[:, chosen] = color.reshape(3, -1)[:, chosen]
        values = probabilities(spec, erased.reshape(x.shape))
        curve.append(values[np.arange(len(x)), arguments["target"]].mean())
    return np.array(curve)
