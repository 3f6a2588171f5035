"""Ejercicio 3: una imagen a partir de su espectro, con el peso 1/f de las fotos. Los errores, en `fft_errors`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convlab import maximization
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.compare import TOLERANCE
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.maximization.fft_errors import TO_IMAGE

_right = (_variants := Catalogue()).right

Size = tuple[int, int]


def _spectrum(rng: np.random.Generator, n: int, size: Size) -> np.ndarray:
    """El de unas imágenes al azar: `irfft2` ignora lo que no puede venir de una imagen real, y otros caminos no."""
    spectrum: np.ndarray = np.fft.rfft2(rng.normal(0, 1, (n, 3, *size)))
    return spectrum


def _random(rng: np.random.Generator, n: int, size: Size, setup: frozenset[str] = frozenset()) -> Draft:
    return Draft({"spectrum": _spectrum(rng, n, size), "size": size}, setup)


def _sides(rng: np.random.Generator, *, height: int, width: int) -> Size:
    """Un lado de cada paridad, entre 4 y 9, y los dos distintos."""
    while True:
        sides = int(rng.integers(2, 5)) * 2 + height, int(rng.integers(2, 5)) * 2 + width
        if sides[0] != sides[1]:
            return sides


def _wave(rng: np.random.Generator, size: Size) -> Draft:
    """Un solo coeficiente es una onda de amplitud `2 / (f √(H W))`, y su argumento, dónde empieza."""
    (h, w), spectrum = size, np.zeros((1, 3, size[0], size[1] // 2 + 1), complex)
    c, u, v = int(rng.integers(3)), int(rng.integers(1, (h + 1) // 2)), int(rng.integers(1, (w + 1) // 2))
    phase, up = float(rng.uniform(0.3, 1.2)), int(rng.choice([-1, 1]))
    spectrum[0, c, up * u, v] = np.exp(1j * phase)
    y, x = np.mgrid[:h, :w]
    image = np.zeros((1, 3, h, w))
    amplitude = 2 / (math.hypot(u / h, v / w) * math.sqrt(h * w))
    image[0, c] = amplitude * np.cos(2 * np.pi * (up * u * y / h + v * x / w) + phase)
    return Draft({"spectrum": spectrum, "size": size}, expected=image)


def _wave_square(rng: np.random.Generator) -> Draft:
    side = int(rng.integers(5, 9))
    return _wave(rng, (side, side))


def _wave_oblong(rng: np.random.Generator) -> Draft:
    h, w = (int(n) for n in rng.permutation([5, 6, 8, 9])[:2])
    return _wave(rng, (h, w))


def _mean(rng: np.random.Generator, size: Size) -> Draft:
    """El coeficiente de la media pesa como si diera una vuelta en el lado mayor."""
    level = rng.uniform(0.5, 2, 3) * rng.choice([-1, 1], 3)
    spectrum = np.zeros((1, 3, size[0], size[1] // 2 + 1), complex)
    spectrum[0, :, 0, 0] = level
    image = np.broadcast_to((level * max(size) / math.sqrt(size[0] * size[1])).reshape(1, 3, 1, 1), (1, 3, *size))
    return Draft({"spectrum": spectrum, "size": size}, expected=image.copy())


def _mean_tall(rng: np.random.Generator) -> Draft:
    return _mean(rng, (int(rng.integers(7, 10)), int(rng.integers(4, 7))))


def _mean_wide(rng: np.random.Generator) -> Draft:
    return _mean(rng, (int(rng.integers(4, 7)), int(rng.integers(7, 10))))


def _even(rng: np.random.Generator) -> Draft:
    return _random(rng, 2, _sides(rng, height=0, width=0))


def _odd(rng: np.random.Generator) -> Draft:
    return _random(rng, 3, _sides(rng, height=0, width=1))


def _odd_height(rng: np.random.Generator) -> Draft:
    return _random(rng, 1, _sides(rng, height=1, width=0))


def _float32(rng: np.random.Generator) -> Draft:
    size = _sides(rng, height=1, width=1)
    # De un espectro, que es complejo, el motor no deduce la precisión.
    arguments = {"spectrum": _spectrum(rng, 2, size).astype("complex64"), "size": size}
    return Draft(arguments, tolerance=TOLERANCE["float32"])


def _strided(rng: np.random.Generator) -> Draft:
    return _random(rng, 2, _sides(rng, height=1, width=0), frozenset({"strided"}))


@_right
def _weights_by_hand(spectrum: Tensor, size: Size) -> Tensor:
    """Los pesos, coeficiente a coeficiente, y la transformada sin normalizar."""
    height, width = size
    weighted = spectrum.clone()
    for u in range(height):
        for v in range(width // 2 + 1):
            vertical = min(u, height - u) / height
            f = max(math.hypot(vertical, v / width), 1 / max(height, width))
            weighted[:, :, u, v] /= f
    return torch.fft.irfft2(weighted, s=(height, width)) * math.sqrt(height * width)


@_right
def _whole_spectrum(spectrum: Tensor, size: Size) -> Tensor:
    """Con el espectro entero, cuya otra mitad es la conjugada, y la transformada compleja."""
    height, width = size
    full = spectrum.new_zeros(*spectrum.shape[:2], height, width)
    half = width // 2 + 1
    full[..., :half] = spectrum
    rows = (-torch.arange(height)) % height
    for v in range(half, width):
        full[..., v] = spectrum[..., rows, width - v].conj()
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    f = (fy.double() ** 2 + fx.double() ** 2).sqrt()
    f[0, 0] = 1 / max(height, width)
    return torch.fft.ifft2(full / f.to(spectrum.real.dtype), norm="ortho").real.clone()


@_right
def _with_numpy(spectrum: Tensor, size: Size) -> Tensor:
    height, width = size
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    f = np.maximum(f, 1 / max(height, width))
    image = np.fft.irfft2(spectrum.cpu().numpy() / f, s=size, norm="ortho")
    return torch.from_numpy(image).to(spectrum.real.dtype)


@_right
def _cosine_sum(spectrum: Tensor, size: Size) -> Tensor:
    """La transformada inversa, como un producto por las ondas de cada eje."""
    height, width = size
    half = spectrum.shape[3]
    fy = torch.fft.fftfreq(height, dtype=torch.float64)
    fx = torch.fft.rfftfreq(width, dtype=torch.float64)
    f = torch.sqrt(fy[:, None].square() + fx.square()).clamp_min(1.0 / max(height, width))
    rows = torch.polar(torch.ones(height, height).double(), 2 * math.pi * torch.arange(height)[:, None] * fy)
    columns = torch.polar(torch.ones(width, half).double(), 2 * math.pi * torch.arange(width)[:, None] * fx)
    twice = torch.full((half,), 2.0, dtype=torch.float64)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    waves = torch.einsum("yu,ncuv,xv->ncyx", rows, spectrum.to(torch.complex128) / f * twice, columns)
    return (waves.real / math.sqrt(height * width)).to(spectrum.real.dtype)


EXERCISE = Exercise(
    id="maximization.fft_image",
    title="Una imagen hecha de ondas",
    minutes=20,
    visible_points=2,
    hidden_points=2,
    reference=maximization.fft_image,
    properties=(
        Property("Un coeficiente es una onda de amplitud 1/f", 3, (_wave_square,)),
        Property("La frecuencia, en ciclos por píxel de cada eje", 2, (_wave_oblong,)),
        Property("La media pesa como la frecuencia más baja", 1, (_mean_tall, _mean_wide)),
        Property("Cualquier espectro, con lados pares e impares", 2, (_even, _odd, _odd_height)),
        Property("complex64 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=TO_IMAGE.misconceptions,
    variants=_variants.variants,
)
