r"""Filtros vistos por sus frecuencias: qué orientaciones y qué detalle prefieren, y cuánto se parecen al ruido.

Un banco de filtros es un tensor `(O, C, kh, kw)`, como el peso de una `nn.Conv2d`. Las frecuencias van en ciclos por
píxel, de 0 a 0,5, y los ángulos en radianes. Un ángulo es la **orientación de las barras** tal como se ven: 0 son
barras horizontales; $\pi/4$, las que suben hacia la derecha, «/»; $\pi/2$, verticales; a partir de $\pi$ se repiten.
La intensidad varía en la dirección perpendicular a las barras.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.filters.banks import check_bank

__all__ = [
    "frequency_tuning",
    "grating_energy",
    "low_frequency_share",
    "power_spectrum",
    "radial_spectrum",
    "roughness",
]


def grating_energy(weight: Tensor, frequencies: Tensor | Sequence[float], angles: Tensor | Sequence[float]) -> Tensor:
    r"""Energía con que responde cada filtro a rejillas sinusoidales grises de cada frecuencia y orientación.

    La rejilla de frecuencia $f$, orientación $\theta$ y fase $\varphi$ es
    $\cos(2\pi f (x \sin\theta + y \cos\theta) + \varphi)$, igual en todos los canales y de media nula; $x$ crece hacia
    la derecha e $y$ hacia abajo. La energía no depende de la fase: es la suma de los cuadrados de las respuestas a dos
    rejillas en cuadratura, es decir $|\hat w(f, \theta)|^2$, con $\hat w$ la transformada de Fourier de la suma de los
    canales del filtro. Un filtro que opone colores puede tener la suma casi nula: para rejillas de un color, multiplica
    antes los canales por él, `weight * color.view(3, 1, 1)`.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.
    frequencies
        `(F,)`, en ciclos por píxel, de 0 a 0,5.
    angles
        `(A,)`: orientación de las barras, en radianes.

    Returns
    -------
    Tensor
        `(O, F, A)`, no negativo. Su raíz es la amplitud de la respuesta al deslizar el filtro por la rejilla.

    Raises
    ------
    ConvlabError
        Si los filtros, las frecuencias o los ángulos no son válidos.

    Examples
    --------
    >>> barra = torch.zeros(1, 1, 5, 5)
    >>> barra[..., 2, :] = 1  # una línea horizontal: prefiere barras horizontales
    >>> grating_energy(barra, [0.2], [0.0, torch.pi / 2]).round(decimals=3)
    tensor([[[25.,  0.]]])
    """
    check_bank(weight)
    gray = weight.sum(1, dtype=_at_least_float32(weight))
    f, theta = _vector(frequencies, "frequencies", gray), _vector(angles, "angles", gray)
    if bool(((f < 0) | (f > 0.5)).any()):
        raise ConvlabError(
            "Las frecuencias van de 0 a 0,5 ciclos por píxel (por encima, una rejilla se confunde con otra más lenta), "
            f"y llegaron de {f.min().item():g} a {f.max().item():g}. ¿Están en ciclos por filtro? Divide por su lado."
        )
    # Centradas, para que las fases sean pequeñas: a la energía le da igual el origen.
    y, x = (torch.arange(n, device=gray.device, dtype=gray.dtype) - (n - 1) / 2 for n in gray.shape[1:])
    across = theta.sin()[:, None, None] * x + theta.cos()[:, None, None] * y[:, None]
    phase = 2 * math.pi * f[:, None, None] * across.flatten(1)
    even, odd = (torch.einsum("op,fap->ofa", gray.flatten(1), wave) for wave in (phase.cos(), phase.sin()))
    return (even.square() + odd.square()).to(weight.dtype)


def frequency_tuning(weight: Tensor, frequencies: Tensor | Sequence[float]) -> Tensor:
    """Sintonía de frecuencia: la energía de la respuesta de cada filtro, promediada en todas las orientaciones.

    El promedio es exacto salvo redondeo: la energía es una función suave y periódica del ángulo, y basta con tomar
    bastantes ángulos equiespaciados para el tamaño del filtro.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`; los canales se suman, porque las rejillas son grises.
    frequencies
        `(F,)`, en ciclos por píxel, de 0 a 0,5.

    Returns
    -------
    Tensor
        `(O, F)`, no negativo. En la frecuencia 0 es el cuadrado de la suma de los pesos.

    Raises
    ------
    ConvlabError
        Los de `grating_energy`.

    Examples
    --------
    >>> punto = torch.zeros(1, 1, 7, 7)
    >>> punto[..., 3, 3] = 2  # responde igual a todo
    >>> frequency_tuning(punto, [0, 0.1, 0.5])
    tensor([[4., 4., 4.]])
    """
    check_bank(weight)
    exact = weight.to(_at_least_float32(weight))
    # Con f ≤ 0,5, los armónicos de la energía se apagan más allá de π por la diagonal del filtro.
    count = math.ceil(math.pi / 2 * math.hypot(*weight.shape[2:])) + 32
    angles = torch.arange(count, device=weight.device, dtype=exact.dtype) * (math.pi / count)
    return grating_energy(exact, frequencies, angles).mean(2).to(weight.dtype)


def power_spectrum(weight: Tensor) -> Tensor:
    r"""Espectro de potencia medio de los núcleos del banco, con la frecuencia cero en el centro.

    Cada núcleo (un filtro y un canal) se transforma por separado, sin sumar los canales.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.

    Returns
    -------
    Tensor
        `(kh, kw)`, no negativo: la fila es la frecuencia vertical y la columna la horizontal, de
        `torch.fft.fftshift(torch.fft.fftfreq(k))`. Su suma es la energía media de un núcleo, $\sum w^2$; el ruido
        blanco da, en promedio, un espectro plano.

    Raises
    ------
    ConvlabError
        Si los filtros no son `(O, C, kh, kw)`.

    Examples
    --------
    >>> w = torch.randn(64, 3, 7, 7)
    >>> torch.allclose(power_spectrum(w).sum(), w.square().sum((2, 3)).mean())
    True
    """
    return torch.fft.fftshift(_cell_power(weight).mean((0, 1))).to(weight.dtype)


def radial_spectrum(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Espectro de potencia medio en función de la frecuencia, sin distinguir orientaciones.

    Promedia `power_spectrum` en anillos de un ciclo por lado del filtro (el lado menor, si no es cuadrado).

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.

    Returns
    -------
    tuple
        Frecuencia media de cada anillo, en ciclos por píxel, y potencia media de una celda del anillo; `(R,)` cada
        uno. Las esquinas del espectro pasan de 0,5.

    Raises
    ------
    ConvlabError
        Si los filtros no son `(O, C, kh, kw)`.

    Examples
    --------
    >>> frecuencia, potencia = radial_spectrum(torch.ones(1, 1, 5, 5))  # plano: todo en la frecuencia cero
    >>> potencia.tolist()
    [25.0, 0.0, 0.0, 0.0]
    """
    power = _cell_power(weight).mean((0, 1))
    fy, fx = (_frequencies(n, power) for n in power.shape)
    radius = torch.hypot(fy[:, None], fx).flatten()
    _, ring = (radius * min(power.shape)).round().unique(return_inverse=True)
    cells = torch.bincount(ring)
    sums = (power.new_zeros(len(cells)).index_add(0, ring, values) for values in (radius, power.flatten()))
    frequency, mean = (total / cells for total in sums)
    return frequency.to(weight.dtype), mean.to(weight.dtype)


def low_frequency_share(weight: Tensor, cutoff: float = 0.3) -> Tensor:
    """Fracción de la energía de cada filtro en frecuencias bajas: donde ni `|fx|` ni `|fy|` pasan de `cutoff`.

    El ruido blanco da, en promedio, la fracción de celdas bajas del espectro (25/49 con filtros de 7×7 y 0,3), que
    es también lo que da un filtro con un solo peso no nulo. Un filtro suave se acerca a 1.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`; la energía se suma en los canales.
    cutoff
        Frecuencia de corte, incluida, en ciclos por píxel, de 0 a 0,5.

    Returns
    -------
    Tensor
        `(O,)`, en [0, 1]; NaN si el filtro es todo ceros y no tiene energía que repartir.

    Raises
    ------
    ConvlabError
        Si los filtros o el corte no son válidos.

    Examples
    --------
    >>> low_frequency_share(torch.ones(1, 3, 7, 7)), low_frequency_share(torch.eye(7)[:1].expand(1, 1, 7, 7))
    (tensor([1.]), tensor([0.7143]))
    """
    if not 0 <= cutoff <= 0.5:
        raise ConvlabError(f"El corte «cutoff» va de 0 a 0,5 ciclos por píxel y llegó {cutoff}.")
    power = _cell_power(weight).sum(1)
    # Los extremos de fftfreq no son exactos en coma flotante: el margen deja el corte dentro.
    fy, fx = (_frequencies(n, power).abs() <= cutoff + 1e-6 for n in power.shape[1:])
    return ((power * (fy[:, None] & fx)).sum((1, 2)) / power.sum((1, 2))).to(weight.dtype)


def roughness(weight: Tensor) -> Tensor:
    r"""Rugosidad: cuánto difieren los pesos vecinos, frente a lo que diferirían si fueran ruido.

    Es $\langle (w_p - w_q)^2 \rangle / (2 \langle w^2 \rangle)$, con la media del numerador sobre los pares de pesos
    contiguos en vertical o en horizontal. No cambia si el filtro se multiplica por un número, así que compara redes
    con BatchNorm, donde la norma de los pesos no dice nada.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`, de más de un peso por núcleo.

    Returns
    -------
    Tensor
        `(O,)`: 0 si es plano, 1 en promedio si es ruido blanco, 2 si es un tablero de ajedrez; NaN si es todo ceros.

    Raises
    ------
    ConvlabError
        Si los filtros son de 1×1, que no tienen vecinos, o no son `(O, C, kh, kw)`.

    Examples
    --------
    >>> roughness(torch.tensor([[1.0, -1], [-1, 1]])[None, None]), roughness(torch.ones(1, 3, 5, 5))
    (tensor([2.]), tensor([0.]))
    """
    check_bank(weight)
    height, width = weight.shape[2:]
    if height * width == 1:
        raise ConvlabError("Un filtro de 1×1 no tiene pesos vecinos: su rugosidad no está definida. Elige otra capa.")
    exact = weight.to(_at_least_float32(weight))
    squares = [exact.diff(dim=dim).square().flatten(1) for dim in (2, 3)]
    return (torch.cat(squares, 1).mean(1) / (2 * exact.square().flatten(1).mean(1))).to(weight.dtype)


def _cell_power(weight: Tensor) -> Tensor:
    """Potencia de cada celda del espectro de cada núcleo, `(O, C, kh, kw)`; su suma es la energía del núcleo."""
    check_bank(weight)
    return torch.fft.fft2(weight.to(_at_least_float32(weight)), norm="ortho").abs().square()


def _frequencies(n: int, like: Tensor) -> Tensor:
    return torch.fft.fftfreq(n, device=like.device, dtype=like.dtype)


def _at_least_float32(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _vector(values: Tensor | Sequence[float], name: str, like: Tensor) -> Tensor:
    vector = torch.as_tensor(values, device=like.device, dtype=like.dtype)
    if vector.ndim != 1 or not vector.numel() or not bool(vector.isfinite().all()):
        raise ConvlabError(
            f"`{name}` debe ser un tensor de una dimensión, sin NaN, y llegó {tuple(vector.shape)}. "
            "Por ejemplo, torch.linspace(0, torch.pi, 36)."
        )
    return vector
