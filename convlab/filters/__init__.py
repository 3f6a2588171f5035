"""Lección 02: los filtros, qué calculan, cómo se ven y qué dicen de la red.

Un banco de filtros es un tensor `(O, C, kh, kw)`: `O` filtros, cada uno con un núcleo por canal de entrada, como el
peso de una `nn.Conv2d`. Los resultados quedan en su dispositivo y su tipo, y nada se modifica. Aquí se importa también
lo que está en `banks` (leer filtros), `spectra` (frecuencias) y `linearized` (capas profundas).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.filters.banks import (
    SignedPairs,
    check_bank,
    check_integer,
    filter_norms,
    first_layer_weight,
    layer_weight,
    signed_pairs,
)
from convlab.filters.linearized import composed_filters
from convlab.filters.spectra import (
    frequency_tuning,
    grating_energy,
    low_frequency_share,
    power_spectrum,
    radial_spectrum,
    roughness,
)

__all__ = [
    "FilterGrowth",
    "SignedPairs",
    "composed_filters",
    "conv_output_size",
    "cross_correlate2d",
    "filter_growth",
    "filter_norms",
    "first_layer_weight",
    "frequency_tuning",
    "grating_energy",
    "layer_weight",
    "low_frequency_share",
    "normalize_filters",
    "orientation_tuning",
    "power_spectrum",
    "radial_spectrum",
    "roughness",
    "signed_pairs",
]


def conv_output_size(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    r"""Lado de la salida de una convolución: $\lfloor (n + 2p - d(k - 1) - 1) / s \rfloor + 1$.

    Parameters
    ----------
    n
        Lado de la entrada, en píxeles.
    kernel, stride
        Lado del filtro y paso.
    padding
        Relleno en **cada** extremo.
    dilation
        Separación entre los pesos del filtro; con 1 están contiguos.

    Returns
    -------
    int
        Cuántas posiciones del filtro caben enteras, al menos una.

    Raises
    ------
    ConvlabError
        Si algún argumento no es un entero válido o el filtro no cabe ni una vez.

    Examples
    --------
    >>> conv_output_size(224, 7, stride=2, padding=3)
    112
    """
    n, kernel, stride, dilation = (
        check_integer(name, value, 1)
        for name, value in {"n": n, "kernel": kernel, "stride": stride, "dilation": dilation}.items()
    )
    padding = check_integer("padding", padding, 0)
    extent = dilation * (kernel - 1) + 1
    if extent > n + 2 * padding:
        raise ConvlabError(
            f"El filtro no cabe: abarca {extent} píxeles y la entrada, con su relleno, {n + 2 * padding}. "
            "Usa una entrada mayor, más relleno o un filtro menor."
        )
    return (n + 2 * padding - extent) // stride + 1


def cross_correlate2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    r"""Correlación cruzada, lo que las redes llaman «convolución»: el filtro se desliza **sin voltearlo**.

    $y_{o,i,j} = \sum_{c,a,b} w_{o,c,a,b}\; x_{c,\,si+a-p,\,sj+b-p}$, con ceros fuera de la entrada. Está escrita para
    leerse, con una vista de todas las ventanas; `torch.nn.functional.conv2d` da lo mismo más deprisa.

    Parameters
    ----------
    x
        Una imagen o un mapa de características `(C, H, W)`.
    weight
        Filtros `(O, C, kh, kw)`, del tipo de `x`.
    stride
        Paso, igual en las dos direcciones.
    padding
        Ceros en cada uno de los cuatro lados.

    Returns
    -------
    Tensor
        `(O, H', W')`, con los lados de `conv_output_size`.

    Raises
    ------
    ConvlabError
        Si las formas o los tipos no casan o el filtro no cabe.

    Examples
    --------
    >>> x, w = torch.rand(3, 9, 7), torch.randn(4, 3, 3, 5)
    >>> expected = torch.nn.functional.conv2d(x[None], w, stride=2, padding=1)[0]
    >>> torch.allclose(cross_correlate2d(x, w, stride=2, padding=1), expected, atol=1e-5)
    True
    """
    check_bank(weight)
    if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[0] != weight.shape[1]:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ConvlabError(
            f"Con filtros {tuple(weight.shape)} se esperaba una imagen ({weight.shape[1]}, H, W) y llegó {got}. "
            "Si tienes un lote (N, C, H, W), pasa sus imágenes de una en una."
        )
    if x.dtype != weight.dtype:
        raise ConvlabError(f"La imagen es {x.dtype} y los filtros {weight.dtype}. Iguálalos con x.to(weight.dtype).")
    for size, kernel in zip(x.shape[1:], weight.shape[2:], strict=True):
        conv_output_size(size, kernel, stride, padding)
    exact = torch.promote_types(x.dtype, torch.float32)
    windows = F.pad(x.to(exact), [padding] * 4)
    for dim, kernel in enumerate(weight.shape[2:], start=1):
        windows = windows.unfold(dim, kernel, stride)
    return torch.einsum("chwab,ocab->ohw", windows, weight.to(exact)).to(x.dtype)


def normalize_filters(weight: Tensor) -> Tensor:
    r"""Lleva los pesos a [0, 1] para verlos: el cero en 0,5 exacto y **una sola escala** para todo el banco.

    Es $0{,}5 + w / (2 \max|w|)$. Así el gris es siempre «no pesa», y un filtro débil se ve débil; con una escala por
    filtro o con el mínimo y el máximo, el gris significaría algo distinto en cada uno.

    Parameters
    ----------
    weight
        Filtros `(O, C, kh, kw)`.

    Returns
    -------
    Tensor
        La misma forma, en [0, 1]. Un banco de ceros queda en 0,5.

    Raises
    ------
    ConvlabError
        Si los filtros no son `(O, C, kh, kw)` o no son finitos.

    Examples
    --------
    >>> normalize_filters(torch.tensor([-1.0, 0, 2]).view(3, 1, 1, 1)).flatten()
    tensor([0.2500, 0.5000, 1.0000])
    """
    check_bank(weight)
    largest = weight.abs().amax()
    # Se divide antes de partir por dos: 2·max desbordaría con los mayores números del tipo.
    return 0.5 + weight / torch.where(largest > 0, largest, 1) / 2


def orientation_tuning(weight: Tensor, angles: Tensor | Sequence[float]) -> Tensor:
    r"""Sintonía de orientación: la energía de la respuesta de cada filtro a rejillas con las barras en cada ángulo.

    Es $\sum_{m=1}^{\lfloor k/2 \rfloor} |\hat w(m/k, \theta)|^2$: la suma de `grating_energy` en las frecuencias
    $1/k, 2/k, \dots$ ciclos por píxel hasta 0,5, con $k$ el lado del filtro.

    Parameters
    ----------
    weight
        Filtros cuadrados `(O, C, k, k)`, con `k` desde 2.
    angles
        `(A,)`: orientación de las **barras**, en radianes (0, horizontales; π/2, verticales), no de la dirección en
        que varía la intensidad, que es la perpendicular.

    Returns
    -------
    Tensor
        `(O, A)`, no negativo y de periodo π.

    Raises
    ------
    ConvlabError
        Si los filtros no son cuadrados o son de 1×1, y los errores de `grating_energy`.

    Examples
    --------
    >>> sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]  # detecta bordes verticales
    >>> orientation_tuning(sobel, [0, torch.pi / 4, torch.pi / 2]).argmax().item()
    2
    """
    check_bank(weight)
    height, width = weight.shape[2:]
    if height != width or height < 2:
        raise ConvlabError(
            f"La sintonía de orientación necesita filtros cuadrados de 2×2 o más y llegaron de {height}×{width}. "
            "Para filtros rectangulares usa grating_energy con las frecuencias que quieras."
        )
    # Se suma antes de redondear al tipo de los filtros.
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    frequencies = torch.arange(1, height // 2 + 1, device=weight.device, dtype=exact.dtype) / height
    return grating_energy(exact, frequencies, angles).sum(1).to(weight.dtype)


@dataclass(frozen=True)
class FilterGrowth:
    """Los filtros de una capa a lo largo del entrenamiento; `S` pasos y `O` filtros.

    Attributes
    ----------
    steps
        Los pasos, de menor a mayor.
    filters
        Los filtros en cada paso, `(S, O, C, kh, kw)`.
    norm
        Norma de cada filtro, `(S, O)`.
    similarity
        Similitud coseno de cada filtro con el del último paso, `(S, O)`, en [-1, 1].
    low_frequency_share, roughness
        Las medidas de ese nombre en cada paso, `(S, O)`.
    """

    steps: tuple[int, ...]
    filters: Tensor
    norm: Tensor
    similarity: Tensor
    low_frequency_share: Tensor
    roughness: Tensor


def filter_growth(checkpoints: Mapping[int, nn.Module], layer: str, *, cutoff: float = 0.3) -> FilterGrowth:
    """Cómo cambian los filtros de una capa durante el entrenamiento, del ruido inicial a los definitivos.

    Parameters
    ----------
    checkpoints
        Paso del entrenamiento → la misma red en ese paso, como da `load_checkpoints`.
    layer
        Nombre de una convolución, con filtros mayores que 1×1.
    cutoff
        Corte de `low_frequency_share`.

    Returns
    -------
    FilterGrowth
        Filtros y medidas, en orden de paso.

    Raises
    ------
    ConvlabError
        Si no hay ningún paso, la capa no es una convolución, su forma cambia de un paso a otro o es de 1×1.

    Examples
    --------
    >>> from convlab.models import load_checkpoints
    >>> crecimiento = filter_growth(load_checkpoints("mini"), "block1.conv")
    >>> crecimiento.steps[0], crecimiento.filters.shape[1:]
    (0, torch.Size([32, 3, 7, 7]))
    """
    if not checkpoints:
        raise ConvlabError("No hay ningún paso del entrenamiento. Pasa un diccionario paso → red, no vacío.")
    steps = tuple(sorted(checkpoints))
    banks = [layer_weight(checkpoints[step], layer) for step in steps]
    if len(shapes := {tuple(bank.shape) for bank in banks}) > 1:
        raise ConvlabError(
            f"La capa «{layer}» cambia de forma entre pasos: {sorted(shapes)}. Deben ser de la misma red."
        )
    filters = torch.stack(banks)
    flat = filters.flatten(2)
    norm = filter_norms(flat[..., None]).to(filters.dtype)
    shares = torch.stack([low_frequency_share(bank, cutoff) for bank in banks])
    rough = torch.stack([roughness(bank) for bank in banks])
    return FilterGrowth(steps, filters, norm, F.cosine_similarity(flat, flat[-1:], dim=2), shares, rough)
