r"""Con qué números se escribe una imagen que se va a optimizar: píxeles o frecuencias, y colores sin correlación.

El ascenso de gradiente depende de las coordenadas en que se dé. Píxel a píxel gana el ruido de alta frecuencia, y el
mismo paso dado en un espectro repartido como el de las fotos, con amplitud $1/f$, encuentra formas (Olah et al., 2017).
La imagen de un parámetro $z$ es $\sigma(M\,\mathcal{F}^{-1}(z))$: a espacio, a color, y la sigmoide $\sigma$, que la
deja en (0, 1).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from convlab.errors import ConvlabError, unknown_name
from convlab.hooks import check_images

__all__ = ["color_matrix", "encode", "fft_image", "image_spectrum", "render"]

Basis = Literal["fft", "pixels"]
"""En qué se escribe la imagen: el espectro con amplitud $1/f$, o un número por píxel."""

PHOTO_COLORS = (
    (0.5878, 0.3263, -0.0219),
    (0.5768, -0.0891, 0.0786),
    (0.5673, -0.2476, -0.0572),
)
"""`color_matrix` de cinco fotos instaladas (astronaut, chelsea, china, coffee y flower, a 64 píxeles): las columnas son
claro-oscuro, naranja-azul y verde-magenta. Una prueba la vuelve a calcular."""

EDGE = 1e-3  # la sigmoide no llega a 0 ni a 1: la imagen inicial se recorta a [EDGE, 1 - EDGE]


def fft_image(spectrum: Tensor, size: int | tuple[int, int]) -> Tensor:
    r"""Imagen de un espectro cuyas componentes pesan lo que en una foto: $1/f$.

    $x = \mathrm{irfft2}(z / \max(f, f_{\min}))$, con la normalización ortonormal; $f = \sqrt{f_y^2 + f_x^2}$, en ciclos
    por píxel, y $f_{\min} = 1/\max(H, W)$, que evita dividir por cero en la media. Es lineal y no acota el resultado.

    Parameters
    ----------
    spectrum
        Complejo, `(N, 3, H, W//2 + 1)`: la mitad no redundante, en el orden de `torch.fft.rfft2`.
    size
        `(H, W)`, o el lado si es cuadrada. Hace falta: `W//2 + 1` es el mismo para un ancho par y el impar siguiente.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, real.

    Raises
    ------
    ConvlabError
        Si el espectro no es complejo o no es el de ese tamaño.

    References
    ----------
    Olah, Mordvintsev y Schubert, «Feature Visualization», Distill 2017.

    Examples
    --------
    >>> fft_image(torch.randn(1, 3, 5, 4, dtype=torch.complex64), (5, 7)).shape
    torch.Size([1, 3, 5, 7])
    """
    height, width = image_size(size)
    expected = (3, height, width // 2 + 1)
    if not spectrum.is_complex() or spectrum.ndim != 4 or spectrum.shape[1:] != expected:
        raise ConvlabError(
            f"Para una imagen {height}×{width} se esperaba un espectro complejo (N, {', '.join(map(str, expected))}) y "
            f"llegó un tensor {spectrum.dtype} {tuple(spectrum.shape)}. Si son pares reales, une cada par con "
            "torch.view_as_complex."
        )
    return torch.fft.irfft2(spectrum / _frequencies(height, width, spectrum), s=(height, width), norm="ortho")


def image_spectrum(image: Tensor) -> Tensor:
    """Espectro de una imagen, inversa de `fft_image`: `fft_image(image_spectrum(x), (H, W))` es `x`.

    En el otro orden se recupera el espectro si era el de una imagen real; `fft_image` ignora lo que sobre, como la
    parte imaginaria de la media.

    Parameters
    ----------
    image
        `(N, 3, H, W)`, float32 o float64; de otro tipo se pasa a float32.

    Returns
    -------
    Tensor
        Complejo, `(N, 3, H, W//2 + 1)`.

    Raises
    ------
    ConvlabError
        Si no son imágenes de coma flotante.

    Examples
    --------
    >>> x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    >>> torch.allclose(fft_image(image_spectrum(x), (5, 7)), x)
    True
    """
    check_images(image)
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    spectrum = torch.fft.rfft2(image, norm="ortho")
    return spectrum * _frequencies(image.shape[2], image.shape[3], spectrum)


def color_matrix(images: Tensor) -> Tensor:
    r"""De coordenadas de color sin correlación a RGB, según cómo se reparten los colores en unas imágenes.

    Con la covarianza RGB $C = V \Lambda V^\top$ de todos los píxeles, es $V \Lambda^{1/2}$ dividida por la norma de su
    mayor columna: ruido blanco en las coordenadas da colores con esa covarianza, salvo la escala.

    Parameters
    ----------
    images
        `(N, 3, H, W)`; cuantas más, mejor estimada.

    Returns
    -------
    Tensor
        `(3, 3)`; columnas ortogonales, de la dirección que más varía a la que menos, con su mayor componente
        positiva.

    Raises
    ------
    ConvlabError
        Si no son imágenes en color o en alguna dirección no varían: la matriz no se podría invertir.

    Examples
    --------
    >>> from convlab.data.formas import formas
    >>> m = color_matrix(formas(32).tensor())
    >>> torch.allclose(m.T @ m, torch.diag((m * m).sum(0)), atol=1e-6)
    True
    """
    _check_rgb(images)
    values = images.detach().to(torch.promote_types(images.dtype, torch.float32))
    variances, axes = torch.linalg.eigh(torch.cov(values.movedim(1, 0).flatten(1)))
    if not bool(variances[0] > 1e-6 * variances[2]):
        raise ConvlabError(
            "Los colores de esas imágenes no varían en las tres direcciones (¿son grises?), así que no definen una "
            "base de color. Usa imágenes en color."
        )
    matrix = (axes * (variances / variances[2]).sqrt()).flip(1)
    return matrix * matrix.gather(0, matrix.abs().argmax(0, keepdim=True)).sign()


def encode(image: Tensor, basis: Basis = "fft", color: Tensor | None = None) -> Tensor:
    """Parámetros de una imagen: `render(encode(x), (H, W))` es `x` si está en [0.001, 0.999]; lo demás se recorta.

    Parameters
    ----------
    image
        `(N, 3, H, W)` en [0, 1].
    basis
        `"fft"` o `"pixels"`.
    color
        Una `color_matrix`, o `None` si las coordenadas de color son RGB.

    Returns
    -------
    Tensor
        Real: `(N, 3, H, W//2 + 1, 2)` con `"fft"` (parte real e imaginaria) y `(N, 3, H, W)` con `"pixels"`.

    Raises
    ------
    ConvlabError
        Si no son imágenes en color o la base no existe.

    Examples
    --------
    >>> encode(torch.rand(1, 3, 5, 7)).shape, encode(torch.rand(1, 3, 5, 7), "pixels").shape
    (torch.Size([1, 3, 5, 4, 2]), torch.Size([1, 3, 5, 7]))
    """
    _check_rgb(image)
    if basis not in get_args(Basis):
        raise unknown_name("la parametrización", basis, get_args(Basis))
    values = torch.logit(image.detach().to(torch.promote_types(image.dtype, torch.float32)), eps=EDGE)
    if color is not None:
        values = _mix(torch.linalg.inv(color.to(values)), values)
    return torch.view_as_real(image_spectrum(values)) if basis == "fft" else values


def render(parameters: Tensor, size: int | tuple[int, int], color: Tensor | None = None) -> Tensor:
    """Imagen de unos parámetros de `encode`, derivable.

    Parameters
    ----------
    parameters
        Los de `encode`: con cinco dimensiones son un espectro, y con cuatro, píxeles.
    size
        `(H, W)`, o el lado si es cuadrada.
    color
        La misma matriz que en `encode`.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, en (0, 1).

    Raises
    ------
    ConvlabError
        Si los parámetros no son los de ese tamaño.

    Examples
    --------
    >>> render(torch.zeros(1, 3, 5, 4, 2), (5, 7)).unique()
    tensor([0.5000])
    """
    if parameters.ndim == 5:
        values = fft_image(torch.view_as_complex(parameters.contiguous()), size)
    elif parameters.ndim == 4 and parameters.shape[2:] == image_size(size):
        values = parameters
    else:
        raise ConvlabError(
            f"Los parámetros {tuple(parameters.shape)} no son los de una imagen de tamaño {image_size(size)}. Usa los "
            "que da encode con el tamaño de su imagen."
        )
    return torch.sigmoid(values if color is None else _mix(color.to(values), values))


def image_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Alto y ancho, a partir de un lado o de los dos.

    Raises
    ------
    ConvlabError
        Si no son enteros positivos.

    Examples
    --------
    >>> image_size(64), image_size((48, 64))
    ((64, 64), (48, 64))
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ConvlabError(f"El tamaño debe ser un lado o (alto, ancho), enteros desde 1, y llegó {size!r}.")
    return sides[0], sides[1]


def _mix(matrix: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", matrix, values)


def _check_rgb(images: Tensor) -> None:
    check_images(images)
    if images.shape[1] != 3:
        raise ConvlabError(f"Se esperaban imágenes en color (N, 3, H, W) y llegó un tensor {tuple(images.shape)}.")


def _frequencies(height: int, width: int, like: Tensor) -> Tensor:
    """Frecuencia radial de cada coeficiente, en ciclos por píxel y nunca menor que un ciclo por imagen."""
    dtype = like.real.dtype
    vertical = torch.fft.fftfreq(height, device=like.device, dtype=dtype)
    horizontal = torch.fft.rfftfreq(width, device=like.device, dtype=dtype)
    return torch.hypot(vertical[:, None], horizontal).clamp(min=1 / max(height, width))
