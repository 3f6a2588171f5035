"""Distorsiones graduadas de imágenes, para medir hasta dónde aguanta una red (o una persona)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from convlab.errors import ConvlabError, unknown_name

__all__ = ["DISTORTIONS", "distort"]

Images = NDArray[np.floating]


def _contrast(x: Images, level: float, _: np.random.Generator) -> Images:
    return (x - 0.5) * level + 0.5


def _grayscale(x: Images, level: float, _: np.random.Generator) -> Images:
    gray = x @ np.array([[0.299], [0.587], [0.114]], x.dtype)
    return x + level * (gray - x)


def _noise(x: Images, level: float, rng: np.random.Generator) -> Images:
    return x + rng.uniform(-level, level, x.shape)


def _blur(x: Images, level: float, _: np.random.Generator) -> Images:
    return ndimage.gaussian_filter(x, (0, level, level, 0), mode="nearest") if level else x


def _rotation(x: Images, level: float, _: np.random.Generator) -> Images:
    return ndimage.rotate(x, level, axes=(2, 1), reshape=False, order=1, mode="nearest") if level else x


def _shuffle(x: Images, level: float, rng: np.random.Generator) -> Images:
    n, h, w, c = x.shape
    k = int(level)
    if h % k or w % k:
        raise ConvlabError(
            f"No se puede partir una imagen de {h}×{w} en {k}×{k} piezas iguales; usa un divisor de ambos lados."
        )
    tiles = x.reshape(n, k, h // k, k, w // k, c).swapaxes(2, 3).reshape(n, k * k, h // k, w // k, c)
    tiles = tiles[:, rng.permutation(k * k)]
    return tiles.reshape(n, k, k, h // k, w // k, c).swapaxes(2, 3).reshape(n, h, w, c)


# nombre → (función, qué mide el nivel, nivel que no cambia nada, máximo)
DISTORTIONS: dict[str, tuple[Callable[..., Any], str, float, float]] = {
    "contrast": (_contrast, "contraste que queda, de 0 (gris) a 1 (intacto)", 1.0, 1.0),
    "grayscale": (_grayscale, "color perdido, de 0 (intacto) a 1 (grises)", 0.0, 1.0),
    "noise": (_noise, "amplitud del ruido uniforme, en unidades de [0, 1]", 0.0, 1.0),
    "blur": (_blur, "desviación del desenfoque gaussiano, en píxeles", 0.0, 64.0),
    "rotation": (_rotation, "giro en grados, en sentido antihorario", 0.0, 360.0),
    "shuffle": (_shuffle, "piezas por lado que se barajan (1: intacto)", 1.0, 64.0),
}


def distort(images: NDArray[np.uint8], kind: str, level: float, *, seed: int = 0) -> NDArray[np.uint8]:
    """Distorsiona un lote de imágenes en el grado que se pida.

    Parameters
    ----------
    images
        uint8 `(N, H, W, 3)`; no se modifican.
    kind
        Una clave de `DISTORTIONS`, que dice qué mide el nivel de cada una.
    level
        Grado, en las unidades de la distorsión.
    seed
        Semilla del ruido y del barajado.

    Returns
    -------
    ndarray
        uint8 `(N, H, W, 3)`.

    Raises
    ------
    ConvlabError
        Si la distorsión no existe, el nivel se sale de su rango o las imágenes no son uint8 `(N, H, W, 3)`.

    References
    ----------
    Geirhos et al. (2018), «Generalisation in humans and deep neural networks», arXiv:1808.08750.

    Examples
    --------
    >>> from convlab.data.formas import formas
    >>> distort(formas(10).images, "blur", 2.0).shape
    (10, 64, 64, 3)
    """
    if kind not in DISTORTIONS:
        raise unknown_name("la distorsión", kind, DISTORTIONS)
    function, meaning, neutral, most = DISTORTIONS[kind]
    least = 1.0 if kind == "shuffle" else 0.0
    if not least <= level <= most:
        raise ConvlabError(f"El nivel de «{kind}» ({meaning}) va de {least:g} a {most:g} y llegó {level}.")
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ConvlabError(f"Se esperaban imágenes uint8 (N, H, W, 3) y llegó {images.dtype} {images.shape}.")
    if level == neutral:
        return images.copy()
    result = function(images.astype(np.float32) / 255, level, np.random.default_rng(seed))
    return (np.clip(result, 0, 1) * 255 + 0.5).astype(np.uint8)
