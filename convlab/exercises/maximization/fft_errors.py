"""Los catálogos de los dos ejercicios del espectro: lo que se escribe mal al ir y al volver."""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

TO_IMAGE, TO_SPECTRUM = Catalogue(), Catalogue()

Size = tuple[int, int]


def _radius(height: int, width: int, like: Tensor) -> Tensor:
    """La frecuencia de cada coeficiente, sin mínimo: la de la media es 0."""
    vertical = torch.fft.fftfreq(height, dtype=like.real.dtype)
    horizontal = torch.fft.rfftfreq(width, dtype=like.real.dtype)
    return torch.hypot(vertical[:, None], horizontal)


def _frequencies(height: int, width: int, like: Tensor) -> Tensor:
    return _radius(height, width, like).clamp(min=1 / max(height, width))


def _inverse(spectrum: Tensor, size: Size) -> Tensor:
    return torch.fft.irfft2(spectrum, s=size, norm="ortho")


def _spectrum(image: Tensor) -> Tensor:
    return torch.fft.rfft2(image, norm="ortho")


@TO_IMAGE.wrong(
    "Sin el peso 1/f",
    "Has invertido la transformada sin dividir antes por la frecuencia. Todas las ondas pesan entonces lo mismo, y el "
    "ascenso se llena de ruido fino. Divide cada coeficiente por su f.",
)
def _no_weights(spectrum: Tensor, size: Size) -> Tensor:
    return _inverse(spectrum, size)


@TO_IMAGE.wrong(
    "Multiplicado por f",
    "Has multiplicado por la frecuencia, que refuerza justo las ondas finas. Para que pesen menos hay que dividir: "
    "`spectrum / f`. Multiplicar es el camino de vuelta.",
)
def _multiplied(spectrum: Tensor, size: Size) -> Tensor:
    return _inverse(spectrum * _frequencies(*size, spectrum), size)


@TO_IMAGE.wrong(
    "1/f²",
    "Has dividido por f al cuadrado. Lo que decae como 1/f² en las fotos es la energía; la amplitud, que es lo que "
    "ponderas, decae como 1/f. Mira si te falta la raíz cuadrada.",
)
def _power(spectrum: Tensor, size: Size) -> Tensor:
    return _inverse(spectrum / _frequencies(*size, spectrum).square(), size)


@TO_IMAGE.wrong(
    "Sin la normalización ortonormal",
    'Tu imagen es la correcta dividida por √(H · W): falta `norm="ortho"`. Sin ella, el contraste depende del tamaño.',
)
def _backward_norm(spectrum: Tensor, size: Size) -> Tensor:
    return torch.fft.irfft2(spectrum / _frequencies(*size, spectrum), s=size)


@TO_IMAGE.wrong(
    "Sin decir el tamaño",
    "No le has dicho el tamaño a `irfft2`, y supone que el ancho es par: una imagen de 7 de ancho vuelve con 6. Pasa "
    "`s=size`.",
)
def _no_size(spectrum: Tensor, size: Size) -> Tensor:
    return torch.fft.irfft2(spectrum / _frequencies(*size, spectrum), norm="ortho")


@TO_IMAGE.wrong(
    "La media, dividida por cero",
    "La frecuencia de la media es 0, y al dividir por ella salen infinitos o NaN. La frecuencia nunca baja de "
    "1 / max(H, W): `f.clamp(min=…)`.",
)
def _zero_division(spectrum: Tensor, size: Size) -> Tensor:
    return _inverse(spectrum / _radius(*size, spectrum), size)


@TO_IMAGE.wrong(
    "La media, borrada",
    "Para no dividir por cero has quitado el coeficiente de la media, y la imagen pierde su brillo y su color de "
    "fondo. La media se conserva, con peso max(H, W).",
)
def _mean_removed(spectrum: Tensor, size: Size) -> Tensor:
    weights = 1 / _frequencies(*size, spectrum)
    weights[0, 0] = 0
    return _inverse(spectrum * weights, size)


@TO_IMAGE.wrong(
    "La media, con peso 1",
    "Has dejado la media sin dividir. Su frecuencia cuenta como la más baja de todas, 1 / max(H, W), y hay que "
    "dividir por ella.",
)
def _mean_unweighted(spectrum: Tensor, size: Size) -> Tensor:
    f = _radius(*size, spectrum)
    f[0, 0] = 1
    return _inverse(spectrum / f, size)


@TO_IMAGE.wrong(
    "El lado menor en la frecuencia mínima",
    "Tu frecuencia mínima es 1 / min(H, W). La onda más lenta que cabe da una vuelta en el lado **mayor**: "
    "1 / max(H, W). Con el menor, algunas ondas de verdad quedan recortadas.",
)
def _shorter_side(spectrum: Tensor, size: Size) -> Tensor:
    return _inverse(spectrum / _radius(*size, spectrum).clamp(min=1 / min(size)), size)


@TO_IMAGE.wrong(
    "Ciclos por imagen en vez de por píxel",
    "Has medido la frecuencia en vueltas por imagen (0, 1, 2…). Se pide en ciclos por píxel: las vueltas verticales "
    "se dividen por H y las horizontales por W. Es lo que dan `fftfreq` y `rfftfreq`.",
)
def _cycles_per_image(spectrum: Tensor, size: Size) -> Tensor:
    height, width = size
    vertical = torch.fft.fftfreq(height, 1 / height, dtype=spectrum.real.dtype)
    horizontal = torch.fft.rfftfreq(width, 1 / width, dtype=spectrum.real.dtype)
    return _inverse(spectrum / torch.hypot(vertical[:, None], horizontal).clamp(min=1), size)


@TO_IMAGE.wrong(
    "El alto y el ancho, cambiados en la frecuencia",
    "Las vueltas verticales se dividen por el alto y las horizontales por el ancho, y las has cruzado. En una imagen "
    "cuadrada no se nota; en una apaisada, sí.",
)
def _crossed_sides(spectrum: Tensor, size: Size) -> Tensor:
    height, width = size
    vertical = torch.fft.fftfreq(height, dtype=spectrum.real.dtype) * height / width
    horizontal = torch.fft.rfftfreq(width, dtype=spectrum.real.dtype) * width / height
    f = torch.hypot(vertical[:, None], horizontal).clamp(min=1 / max(size))
    return _inverse(spectrum / f, size)


@TO_IMAGE.wrong(
    "Las frecuencias negativas, tomadas por altas",
    "Has contado las filas del espectro de 0 a H − 1. La segunda mitad son frecuencias negativas: la última fila es "
    "−1, una onda muy lenta, y no la más rápida. `torch.fft.fftfreq(H)` las da en su orden.",
)
def _negative_as_high(spectrum: Tensor, size: Size) -> Tensor:
    height, width = size
    vertical = torch.arange(height, dtype=spectrum.real.dtype) / height
    horizontal = torch.fft.rfftfreq(width, dtype=spectrum.real.dtype)
    return _inverse(spectrum / torch.hypot(vertical[:, None], horizontal).clamp(min=1 / max(size)), size)


@TO_IMAGE.wrong(
    "Suma de las dos frecuencias",
    "Has sumado la frecuencia vertical y la horizontal. La de una onda inclinada es la hipotenusa, "
    "√(fy² + fx²): `torch.hypot`.",
)
def _manhattan(spectrum: Tensor, size: Size) -> Tensor:
    height, width = size
    vertical = torch.fft.fftfreq(height, dtype=spectrum.real.dtype).abs()
    horizontal = torch.fft.rfftfreq(width, dtype=spectrum.real.dtype)
    return _inverse(spectrum / (vertical[:, None] + horizontal).clamp(min=1 / max(size)), size)


@TO_IMAGE.wrong(
    "Imagen acotada",
    "Has pasado el resultado por una sigmoide. Esa viene después, en quien la use: `fft_image` es lineal y no acota "
    "nada.",
)
def _bounded(spectrum: Tensor, size: Size) -> Tensor:
    return torch.sigmoid(_inverse(spectrum / _frequencies(*size, spectrum), size))


@TO_IMAGE.wrong(
    "El espectro de entrada, modificado",
    "La imagen es correcta, pero con `spectrum /= …` has cambiado el espectro que te dieron, que es lo que se "
    "optimiza. Divide en un tensor nuevo.",
)
def _in_place(spectrum: Tensor, size: Size) -> Tensor:
    spectrum /= _frequencies(*size, spectrum)
    return _inverse(spectrum, size)


@TO_SPECTRUM.wrong(
    "Sin el peso f",
    "Has devuelto la transformada tal cual. `fft_image` divide por f, así que para volver hay que multiplicar por f; "
    "si no, la ida y la vuelta no se cancelan.",
)
def _no_weights_back(image: Tensor) -> Tensor:
    return _spectrum(image)


@TO_SPECTRUM.wrong(
    "Dividido por f",
    "Has dividido por f, como en `fft_image`. Su inversa deshace esa división: multiplica.",
)
def _divided(image: Tensor) -> Tensor:
    return _spectrum(image) / _frequencies(image.shape[2], image.shape[3], image)


@TO_SPECTRUM.wrong(
    "La media, multiplicada por cero",
    "La frecuencia de la media es 0, y al multiplicar por ella la imagen pierde su brillo para siempre. Usa la misma "
    "frecuencia mínima que `fft_image`, 1 / max(H, W).",
)
def _mean_lost(image: Tensor) -> Tensor:
    return _spectrum(image) * _radius(image.shape[2], image.shape[3], image)


@TO_SPECTRUM.wrong(
    "Sin la normalización ortonormal",
    'Tu espectro es el correcto multiplicado por √(H · W): falta `norm="ortho"`, la misma normalización de la ida.',
)
def _backward_norm_back(image: Tensor) -> Tensor:
    return torch.fft.rfft2(image) * _frequencies(image.shape[2], image.shape[3], image)


@TO_SPECTRUM.wrong(
    "El espectro entero",
    "Has calculado la transformada entera, de W columnas. La imagen es real y la segunda mitad repite la primera: se "
    "guardan W//2 + 1 columnas, que es lo que da `rfft2`.",
)
def _whole(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    vertical, horizontal = (torch.fft.fftfreq(n, dtype=image.dtype) for n in (height, width))
    f = torch.hypot(vertical[:, None], horizontal).clamp(min=1 / max(height, width))
    return torch.fft.fft2(image, norm="ortho") * f


@TO_SPECTRUM.wrong(
    "Solo la parte real",
    "Has devuelto la parte real. La imaginaria dice dónde empieza cada onda, y sin ella la imagen vuelve mezclada con "
    "su reflejo. El espectro es complejo.",
)
def _real_part(image: Tensor) -> Tensor:
    return (_spectrum(image) * _frequencies(image.shape[2], image.shape[3], image)).real


@TO_SPECTRUM.wrong(
    "Solo la amplitud",
    "Has devuelto el valor absoluto, la amplitud de cada onda. Falta la fase, que dice dónde empieza: sin ella no se "
    "puede volver. El espectro es complejo.",
)
def _amplitude(image: Tensor) -> Tensor:
    return (_spectrum(image) * _frequencies(image.shape[2], image.shape[3], image)).abs()


@TO_SPECTRUM.wrong(
    "El lado menor en la frecuencia mínima",
    "Tu frecuencia mínima es 1 / min(H, W), y la de `fft_image` es 1 / max(H, W): en imágenes apaisadas no casan.",
)
def _shorter_side_back(image: Tensor) -> Tensor:
    sides = image.shape[2], image.shape[3]
    return _spectrum(image) * _radius(*sides, image).clamp(min=1 / min(sides))


@TO_SPECTRUM.wrong(
    "La media, sin peso",
    "Has dejado la media como estaba y solo has multiplicado lo demás. También ella lleva su peso: 1 / max(H, W).",
)
def _mean_unweighted_back(image: Tensor) -> Tensor:
    f = _radius(image.shape[2], image.shape[3], image)
    f[0, 0] = 1
    return _spectrum(image) * f


@TO_SPECTRUM.wrong(
    "Con el cero en el centro",
    "Has pasado el espectro por `fftshift`, que pone el cero en el centro para dibujarlo. Aquí va en el orden de "
    "`rfft2`: `fft_image` no sabría deshacerlo.",
)
def _shifted(image: Tensor) -> Tensor:
    return torch.fft.fftshift(_spectrum(image) * _frequencies(image.shape[2], image.shape[3], image), dim=2)
