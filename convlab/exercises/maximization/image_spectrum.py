"""Ejercicio 4: el camino de vuelta, de la imagen a su espectro. Los errores de su catálogo están en `fft_errors`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import maximization
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.maximization.fft_errors import TO_SPECTRUM

_right = (_variants := Catalogue()).right


def _parts(function: Callable[..., Any], image: Tensor) -> Any:
    """El espectro, separado en parte real e imaginaria: así se comparan números reales."""
    spectrum = function(image)
    if not isinstance(spectrum, Tensor):
        return spectrum
    if not spectrum.is_complex():
        return {"es complejo": False, "parte real": spectrum, "parte imaginaria": torch.zeros_like(spectrum)}
    return {"es complejo": True, "parte real": spectrum.real, "parte imaginaria": spectrum.imag}


def _round_trip(function: Callable[..., Any], image: Tensor) -> Any:
    """Ida con la función del estudiante y vuelta con la de `convlab`."""
    return maximization.fft_image(function(image), (image.shape[2], image.shape[3]))


def _closed_form(x: np.ndarray, **options: Any) -> Draft:
    h, w = x.shape[2:]
    f = np.maximum(np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)), 1 / max(h, w))
    z = np.fft.rfft2(x, norm="ortho") * f
    expected = {"es complejo": True, "parte real": z.real.copy(), "parte imaginaria": z.imag.copy()}
    return Draft({"image": x}, expected=expected, call=_parts, **options)


def _images(rng: np.random.Generator, n: int, *, odd: bool = False) -> np.ndarray:
    h, w = (int(side) for side in rng.permutation([4, 6, 8])[:2])
    return rng.normal(0, 1, (n, 3, h, w + odd))


def _zero_mean(rng: np.random.Generator) -> Draft:
    """Imágenes cuadradas y de media cero: la frecuencia mínima y la forma del lado no intervienen."""
    side = int(rng.choice([6, 8]))
    x = rng.normal(0, 1, (1, 3, side, side))
    return _closed_form(x - x.mean((2, 3), keepdims=True))


def _wave(rng: np.random.Generator) -> Draft:
    """Una onda pura: un solo coeficiente."""
    h, w = (int(side) for side in rng.permutation([5, 6, 7, 8])[:2])
    u, v = int(rng.integers(1, (h + 1) // 2)), int(rng.integers(1, (w + 1) // 2))
    y, x = np.mgrid[:h, :w]
    image = np.zeros((1, 3, h, w))
    image[0, 1] = rng.uniform(1, 2) * np.cos(2 * np.pi * (u * y / h + v * x / w) + rng.uniform(0.3, 1.2))
    return _closed_form(image)


def _batch(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 3))


def _odd(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 1, odd=True))


def _flat(rng: np.random.Generator) -> Draft:
    """Colores lisos: todo está en la media, que no puede perderse."""
    h, w = (int(side) for side in rng.permutation([4, 5, 7, 8])[:2])
    return _closed_form(np.broadcast_to(rng.uniform(0.2, 1, (2, 3, 1, 1)), (2, 3, h, w)).copy())


def _there_and_back(rng: np.random.Generator) -> Draft:
    x = _images(rng, 2)
    return Draft({"image": x}, expected=x, call=_round_trip)


def _there_and_back_odd(rng: np.random.Generator) -> Draft:
    x = _images(rng, 1, odd=True)
    return Draft({"image": x}, expected=x, call=_round_trip)


def _float32(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 2).astype("float32"))


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(_images(rng, 2), setup=frozenset({"strided"}))


@_right
def _half_of_the_whole(image: Tensor) -> Tensor:
    """La transformada compleja, de la que se guarda la mitad."""
    height, width = image.shape[2:]
    whole = torch.fft.fft2(image, norm="ortho")[..., : width // 2 + 1]
    fy, fx = torch.fft.fftfreq(height), torch.fft.fftfreq(width)[: width // 2 + 1]
    f = (fy[:, None].double().square() + fx.double().square()).sqrt()
    f[0, 0] = 1 / max(height, width)
    return whole * f.to(image.dtype)


@_right
def _with_numpy(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    spectrum = np.fft.rfft2(image.cpu().numpy()) / math.sqrt(height * width)
    for u in range(height):
        for v in range(width // 2 + 1):
            f = math.sqrt((min(u, height - u) / height) ** 2 + (v / width) ** 2)
            spectrum[:, :, u, v] *= max(f, 1 / max(height, width))
    return torch.from_numpy(spectrum).to(torch.complex64 if image.dtype == torch.float32 else torch.complex128)


@_right
def _one_axis_at_a_time(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    spectrum = torch.fft.fft(torch.fft.rfft(image, norm="ortho"), dim=2, norm="ortho")
    fy = torch.fft.fftfreq(height, dtype=image.dtype).reshape(-1, 1)
    fx = torch.fft.rfftfreq(width, dtype=image.dtype).reshape(1, -1)
    lowest = torch.full((), 1 / max(height, width), dtype=image.dtype)
    return torch.maximum(torch.hypot(fy.expand(-1, fx.shape[1]), fx.expand(height, -1)), lowest) * spectrum


EXERCISE = Exercise(
    id="maximization.image_spectrum",
    title="De la imagen a sus ondas",
    minutes=10,
    visible_points=1,
    hidden_points=1,
    reference=maximization.image_spectrum,
    properties=(
        Property("El espectro de una imagen de media cero, por f", 2, (_zero_mean,)),
        Property("Cualquier imagen, con lados pares e impares", 2, (_wave, _batch, _odd)),
        Property("La media no se pierde", 1, (_flat,)),
        Property("Ida y vuelta: `fft_image` devuelve la imagen", 2, (_there_and_back, _there_and_back_odd)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=TO_SPECTRUM.misconceptions,
    variants=_variants.variants,
)
