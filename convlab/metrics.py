"""Medidas de un mapa contra la verdad: máscara del objeto, otro mapa, y los controles que cualquiera debe superar.

Los mapas son `(N, H, W)` de cualquier tipo y dispositivo; las máscaras, booleanas del mismo tamaño. Cada
función da un valor por imagen, calculado al menos en float32. Un mapa con NaN es un error: no tiene medida.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from skimage.morphology import convex_hull_image
from torch import Tensor
from torch.nn import functional as F

from convlab.errors import ConvlabError


def pointing_game(saliency: Tensor, mask: Tensor, tolerance: float = 0) -> Tensor:
    """Acierto si el máximo del mapa cae en el objeto (Zhang et al., 2018).

    Si hay varios máximos cuenta el primero por filas. Un mapa constante no señala nada y falla siempre,
    aunque ese primer píxel esté en el objeto; una máscara vacía también da fallo.

    Parameters
    ----------
    saliency
        Mapas `(N, H, W)`.
    mask
        Máscara booleana `(N, H, W)` del objeto.
    tolerance
        Distancia euclídea en píxeles a la máscara que aún cuenta como acierto.

    Returns
    -------
    Tensor
        Booleano `(N,)`.

    Raises
    ------
    ConvlabError
        Si las formas o los tipos no casan, hay NaN o la tolerancia es negativa.

    References
    ----------
    Zhang et al., «Top-Down Neural Attention by Excitation Backprop», IJCV 2018.

    Examples
    --------
    >>> mask = torch.tensor([[[False, True], [False, False]]])
    >>> pointing_game(torch.tensor([[[0.1, 0.9], [0.2, 0.3]]]), mask)
    tensor([True])
    """
    saliency, mask = _checked(saliency, mask)
    if not tolerance >= 0:
        raise ConvlabError(f"La tolerancia debe ser un número de píxeles no negativo y llegó {tolerance}.")
    _, h, w = saliency.shape
    flat = saliency.flatten(1)
    top = flat.amax(1, keepdim=True)
    position = torch.arange(h * w, device=flat.device)
    peak = torch.where(flat == top, position, h * w).amin(1)  # argmax no promete el primero en todo dispositivo
    rows, columns = position // w, position % w
    distance = (rows - (peak // w)[:, None]) ** 2 + (columns - (peak % w)[:, None]) ** 2
    near = (mask.flatten(1) & (distance <= tolerance**2)).any(1)
    return near & (flat.amin(1) < top[:, 0])


def mass_inside(saliency: Tensor, mask: Tensor) -> Tensor:
    """Fracción de la parte positiva del mapa que cae en la máscara; 0 si no hay nada positivo.

    Returns
    -------
    Tensor
        `(N,)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas o los tipos no casan, o hay NaN o infinitos.

    Examples
    --------
    >>> mask = torch.tensor([[[True, False]]])
    >>> mass_inside(torch.tensor([[[3.0, 1.0]]]), mask)
    tensor([0.7500])
    """
    saliency, mask = _checked(saliency, mask)
    if bool(saliency.isinf().any()):
        raise ConvlabError("El mapa contiene infinitos y su masa no está definida. Revisa cómo se calculó.")
    positive = saliency.clamp(min=0).flatten(1)
    positive = positive / _or_one(positive.amax(1, keepdim=True))  # la suma de valores enormes no desborda
    inside = (positive * mask.flatten(1)).sum(1)
    return inside / _or_one(positive.sum(1))


def iou_at_threshold(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    """Intersección entre unión de la máscara y la zona donde el mapa llega a `fraction` de su máximo.

    Parameters
    ----------
    heat
        Mapas `(N, H, W)`. Si su máximo no es positivo la zona es vacía y el resultado, 0.
    mask
        Máscara booleana `(N, H, W)`.
    fraction
        Umbral relativo, en [0, 1]; la zona incluye los valores iguales al umbral.

    Returns
    -------
    Tensor
        `(N,)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas o los tipos no casan, hay NaN o el umbral se sale de [0, 1].

    Examples
    --------
    >>> mask = torch.tensor([[[True, True, False, False]]])
    >>> iou_at_threshold(torch.tensor([[[0.0, 1.0, 0.6, 0.1]]]), mask, 0.5)
    tensor([0.3333])
    """
    heat, mask = _checked(heat, mask)
    if not 0 <= fraction <= 1:
        raise ConvlabError(f"El umbral «fraction» debe estar en [0, 1] y llegó {fraction}.")
    top = heat.amax((1, 2), keepdim=True)
    region = (heat >= fraction * top) & (top > 0)
    union = (region | mask).sum((1, 2))
    return (region & mask).sum((1, 2)).to(heat.dtype) / union.clamp(min=1)


def mask_overlap(saliency: Tensor, mask: Tensor, quantile: float = 0.9) -> Tensor:
    """Fracción de la zona más destacada del mapa que cae en la máscara.

    La zona son los píxeles que llegan al cuantil `quantile` de su mapa: con 0.9, la décima parte de mayor valor, y los
    que empaten con ella. Un mapa constante lo destaca todo y acierta lo que ocupa la máscara, igual que el azar.

    Parameters
    ----------
    saliency
        Mapas `(N, H, W)`.
    mask
        Máscara booleana `(N, H, W)` del objeto.
    quantile
        En [0, 1]; se interpola entre valores, como `numpy.quantile`.

    Returns
    -------
    Tensor
        `(N,)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas o los tipos no casan, hay NaN o el cuantil se sale de [0, 1].

    Examples
    --------
    >>> mask = torch.tensor([[[True, True, False, False]]])
    >>> mask_overlap(torch.tensor([[[0.9, 0.1, 0.8, 0.0]]]), mask, 0.5)
    tensor([0.5000])
    """
    saliency, mask = _checked(saliency, mask)
    if not 0 <= quantile <= 1:
        raise ConvlabError(f"El cuantil debe estar en [0, 1] y llegó {quantile}.")
    flat = saliency.flatten(1)
    region = flat >= flat.quantile(quantile, dim=1, keepdim=True)
    return (region & mask.flatten(1)).sum(1).to(flat.dtype) / region.sum(1)


def convex_hull(mask: Tensor) -> Tensor:
    """Envolvente convexa de cada máscara: un anillo o una media luna, sin su hueco.

    Contiene los píxeles cuyo centro cae en la envolvente de los centros, así que un disco o un rectángulo no cambian.

    Parameters
    ----------
    mask
        Booleana `(N, H, W)`; las vacías quedan vacías.

    Returns
    -------
    Tensor
        Booleano `(N, H, W)`, en el mismo dispositivo.

    Raises
    ------
    ConvlabError
        Si la máscara no es booleana `(N, H, W)`.

    Examples
    --------
    >>> ring = torch.ones(1, 5, 5, dtype=torch.bool)
    >>> ring[0, 1:4, 1:4] = False
    >>> convex_hull(ring).all()
    tensor(True)
    """
    _check_mask(mask)
    hull = mask.cpu().clone()
    for one in hull:
        points = one.nonzero().numpy()
        if len(points):
            # Con todos los píxeles en fila no hay polígono: se les da el grosor de un píxel.
            flat = np.linalg.matrix_rank(points - points[0]) < 2
            one |= torch.from_numpy(convex_hull_image(one.numpy(), offset_coordinates=flat, include_borders=True))
    return hull.to(mask.device)


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlación de Spearman entre dos mapas de cada imagen; los empates comparten su rango medio.

    Parameters
    ----------
    a, b
        Tensores `(N, ...)` de la misma forma.

    Returns
    -------
    Tensor
        `(N,)` en [-1, 1]; 0 si uno de los dos es constante, porque entonces no ordena nada.

    Raises
    ------
    ConvlabError
        Si las formas no son iguales o hay NaN.

    Examples
    --------
    >>> a = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> rank_correlation(a, a**3), rank_correlation(a, -a)
    (tensor([1.]), tensor([-1.]))
    """
    if a.shape != b.shape or a.ndim < 2 or a[:1].numel() == 0:
        raise ConvlabError(
            f"Se esperaban dos tensores (N, ...) de la misma forma y llegaron {tuple(a.shape)} y {tuple(b.shape)}."
        )
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    u, v = _centered_ranks(a), _centered_ranks(b.to(a.device))
    norm = _or_one(u.norm(dim=1) * v.norm(dim=1))
    return ((u * v).sum(1) / norm).clamp(-1, 1).to(dtype)


def random_map(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """Control: ruido uniforme en [0, 1), lo que acierta quien no sabe nada.

    Parameters
    ----------
    shape
        Forma del resultado, por lo común `(N, H, W)`.
    generator
        Fuente de azar; el resultado queda en su dispositivo.

    Examples
    --------
    >>> random_map((2, 8, 6), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 8, 6])
    """
    return torch.rand(tuple(shape), generator=generator, device=generator.device if generator else None)


def center_gaussian(h: int, w: int) -> Tensor:
    """Control: campana centrada de desviación un cuarto de cada lado, lo que acierta quien mira siempre al centro.

    Returns
    -------
    Tensor
        `(h, w)` en (0, 1], float32. Para un lote: `center_gaussian(h, w).expand(n, h, w)`.

    Raises
    ------
    ConvlabError
        Si un lado no es positivo.

    Examples
    --------
    >>> center_gaussian(3, 5).argmax()
    tensor(7)
    """
    if h < 1 or w < 1:
        raise ConvlabError(f"El tamaño del mapa debe ser positivo y llegó {h}×{w}.")
    y, x = ((torch.arange(n) - (n - 1) / 2) / (n / 4) for n in (h, w))
    return torch.exp(-(y[:, None] ** 2 + x**2) / 2)


def edge_map(x: Tensor) -> Tensor:
    """Control: módulo del gradiente de Sobel de la luminancia, un detector de bordes que no ha visto la red.

    Parameters
    ----------
    x
        Imágenes RGB `(N, 3, H, W)` de coma flotante en [0, 1]; el borde se prolonga con su propio valor.

    Returns
    -------
    Tensor
        `(N, H, W)`, no negativo. La luminancia es la de la recomendación BT.601.

    Raises
    ------
    ConvlabError
        Si no son imágenes RGB de coma flotante.

    References
    ----------
    Adebayo et al., «Sanity Checks for Saliency Maps», NeurIPS 2018.

    Examples
    --------
    >>> edge_map(torch.full((1, 3, 4, 4), 0.5)).abs().max() < 1e-6
    tensor(True)
    """
    if x.ndim != 4 or x.shape[1] != 3 or not x.is_floating_point():
        raise ConvlabError(f"Se esperaban imágenes (N, 3, H, W) de coma flotante y llegó {x.dtype} {tuple(x.shape)}.")
    luminance = torch.einsum("nchw,c->nhw", x, x.new_tensor([0.299, 0.587, 0.114]))[:, None]
    smooth, slope = x.new_tensor([1, 2, 1]) / 4, x.new_tensor([-1, 0, 1]) / 2
    kernels = torch.stack([smooth[:, None] * slope, slope[:, None] * smooth])[:, None]
    return F.conv2d(F.pad(luminance, (1, 1, 1, 1), mode="replicate"), kernels).norm(dim=1)


def _checked(saliency: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    _check_mask(mask)
    if saliency.shape != mask.shape:
        raise ConvlabError(
            f"El mapa {tuple(saliency.shape)} y la máscara {tuple(mask.shape)} deben tener la misma forma (N, H, W)."
        )
    _check_nan(saliency)
    return saliency.to(torch.promote_types(saliency.dtype, torch.float32)), mask.to(saliency.device)


def _check_mask(mask: Tensor) -> None:
    if mask.dtype != torch.bool or mask.ndim != 3 or mask[:1].numel() == 0:
        raise ConvlabError(
            f"Se esperaba una máscara booleana (N, H, W) y llegó {mask.dtype} {tuple(mask.shape)}. Usa mask > 0 para "
            "convertirla, y mask[None] si es una sola."
        )


def _check_nan(values: Tensor) -> None:
    if bool(values.isnan().any()):
        raise ConvlabError("El mapa contiene NaN y no se puede medir. Revisa el cálculo que lo produjo.")


def _or_one(values: Tensor) -> Tensor:
    """Denominador seguro: los ceros, donde el numerador también es cero, pasan a 1."""
    return torch.where(values == 0, torch.ones_like(values), values)


def _centered_ranks(values: Tensor) -> Tensor:
    _check_nan(values)
    flat = values.flatten(1).contiguous()
    ordered = flat.sort(dim=1).values
    first = torch.searchsorted(ordered, flat)
    last = torch.searchsorted(ordered, flat, right=True)
    exact = torch.float32 if flat.device.type == "mps" else torch.float64  # MPS no tiene float64
    return (first + last).to(exact) / 2 - flat.shape[1] / 2
