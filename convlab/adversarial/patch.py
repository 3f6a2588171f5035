"""Parche adversario: un recorte que, pegado donde sea en cualquier imagen, hace responder una clase elegida."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlab.adversarial._common import CrossEntropy, check_count, check_range, forward, require_finite, wide
from convlab.errors import ConvlabError
from convlab.hooks import check_images, input_gradient
from convlab.targets import class_indices

__all__ = ["apply_patch", "object_patch", "patch_success", "train_patch"]


def apply_patch(
    x: Tensor,
    patch: Tensor,
    positions: Tensor | None = None,
    *,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Pega un parche en cada imagen, tapando lo que hay debajo; se puede derivar respecto del parche.

    Cada píxel tapado toma el valor del píxel del parche que le cae más cerca: sin giro ni escala es una copia exacta.

    Parameters
    ----------
    x
        Imágenes `(N, C, H, W)` en [0, 1]; no se modifican.
    patch
        Parche `(C, h, w)` que cabe en las imágenes.
    positions
        Fila y columna de su esquina superior izquierda en cada imagen, tensor entero `(N, 2)`; por omisión, al azar,
        con el parche entero dentro de la imagen.
    rotation
        Giro máximo, en grados: el de cada imagen es uniforme en [−rotation, rotation], alrededor del centro del parche.
    scale
        Menor y mayor factor de tamaño; el de cada imagen es uniforme entre los dos. Lo que el giro o la escala saquen
        de la imagen se pierde.
    generator
        Fuente de azar, del dispositivo de `x`; sin ella, la global.

    Returns
    -------
    Tensor
        Imágenes `(N, C, H, W)`, un tensor nuevo.

    Raises
    ------
    ConvlabError
        Si el parche no cabe, las posiciones lo sacan de la imagen o el giro o la escala no valen.

    References
    ----------
    Brown et al. (2017), «Adversarial Patch», arXiv:1712.09665.

    Examples
    --------
    >>> apply_patch(torch.zeros(1, 1, 3, 4), torch.ones(1, 1, 2), torch.tensor([[1, 2]]))[0, 0]
    tensor([[0., 0., 0., 0.],
            [0., 0., 1., 1.],
            [0., 0., 0., 0.]])
    """
    check_images(x)
    _check_patch(x, patch, rotation, scale)
    (n, _, height, width), (h, w) = x.shape, patch.shape[1:]
    free = height - h, width - w
    if positions is None:
        corners = [torch.randint(0, k + 1, (n,), generator=generator, device=x.device) for k in free]
        positions = torch.stack(corners, 1)
    else:
        _check_positions(positions, n, *free)
    low, high = scale
    angle, factor = torch.zeros(n, 1, 1, device=x.device), torch.full((n, 1, 1), float(low), device=x.device)
    if rotation:
        angle = torch.deg2rad((2 * torch.rand(angle.shape, generator=generator, device=x.device) - 1) * rotation)
    if low < high:
        factor = low + (high - low) * torch.rand(factor.shape, generator=generator, device=x.device)
    # De cada píxel de la imagen al punto del parche que le toca: se deshacen el giro y la escala desde el centro.
    center = positions.to(x.device)[:, :, None, None] + torch.tensor([h - 1, w - 1], device=x.device).view(2, 1, 1) / 2
    down = torch.arange(height, device=x.device).view(1, -1, 1) - center[:, 0]
    right = torch.arange(width, device=x.device).view(1, 1, -1) - center[:, 1]
    cos, sin = angle.cos() / factor, angle.sin() / factor
    row = (down * cos + right * sin + (h - 1) / 2).round().long()
    column = (right * cos - down * sin + (w - 1) / 2).round().long()
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    pixels = patch.to(x)[:, row.clamp(0, h - 1), column.clamp(0, w - 1)].movedim(0, 1)
    return torch.where(inside[:, None], pixels, x.detach())


def train_patch(
    model: nn.Module,
    x: Tensor,
    target: int,
    size: int,
    *,
    steps: int = 200,
    lr: float = 0.05,
    batch: int = 32,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Entrena un parche cuadrado que lleva a la red a responder `target` esté donde esté.

    Parte de un gris medio. En cada paso toma unas cuantas imágenes, lo pega en un sitio al azar de cada una, baja la
    entropía cruzada de `target` con Adam y recorta el parche a [0, 1]. Cuesta `steps` pasadas hacia delante y otras
    tantas hacia atrás.

    Parameters
    ----------
    model
        Red que recibe imágenes en [0, 1] y devuelve logits `(N, K)`.
    x
        Imágenes de entrenamiento `(N, C, H, W)` en [0, 1]; mide el éxito con otras.
    target
        La clase que se quiere conseguir.
    size
        Lado del parche, en píxeles.
    steps, lr
        Pasos y tasa de aprendizaje.
    batch
        Imágenes de cada paso, sorteadas con reemplazo.
    rotation, scale
        Los de `apply_patch`.
    generator
        Fuente de azar, del dispositivo de `x`; sin ella, la global.

    Returns
    -------
    Tensor
        Parche `(C, size, size)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si las imágenes no están en [0, 1], el parche no cabe en ellas, la clase no existe, `steps`, `size` o `batch` no
        son enteros desde 1, `lr` no es positivo o el gradiente no es finito.

    References
    ----------
    Brown et al. (2017), «Adversarial Patch», arXiv:1712.09665.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    >>> train_patch(red, torch.rand(4, 3, 4, 4), target=1, size=2, steps=5, batch=4).shape
    torch.Size([3, 2, 2])
    """
    check_range(x)
    steps, size, batch = check_count("steps", steps), check_count("size", size), check_count("batch", batch)
    if not 0 < lr < torch.inf:
        raise ConvlabError(f"`lr` debe ser positiva, y llegó {lr}. Prueba con 0.05.")
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        patch = wide(x).new_full((x.shape[1], size, size), 0.5).requires_grad_()
        optimizer = torch.optim.Adam([patch], lr=lr)
        loss = CrossEntropy(target, batch)
        finite = torch.ones((), dtype=torch.bool, device=x.device)
        for _ in range(steps):
            rows = torch.randint(0, len(x), (batch,), generator=generator, device=x.device)
            pasted = apply_patch(x[rows], patch, rotation=rotation, scale=scale, generator=generator)
            (patch.grad,) = torch.autograd.grad(pasted, patch, input_gradient(model, pasted, loss))
            finite = finite & patch.grad.isfinite().all()
            optimizer.step()
            with torch.no_grad():
                patch.clamp_(0, 1)
    require_finite(finite)
    return patch.detach().to(x.dtype)


def object_patch(image: Tensor, mask: Tensor, size: int) -> Tensor:
    """Control: un parche hecho con un objeto de verdad, el menor cuadrado que lo contiene llevado a `size` píxeles.

    Parameters
    ----------
    image
        Una imagen `(C, H, W)`.
    mask
        Dónde está el objeto, booleana `(H, W)`.
    size
        Lado del parche, en píxeles.

    Returns
    -------
    Tensor
        Parche `(C, size, size)`, con el fondo que entra en el cuadrado.

    Raises
    ------
    ConvlabError
        Si la máscara está vacía o no es del tamaño de la imagen, o `size` no es un entero desde 1.

    Examples
    --------
    >>> image, mask = torch.rand(3, 4, 4), torch.zeros(4, 4, dtype=torch.bool)
    >>> mask[2:, 1:3] = True
    >>> torch.allclose(object_patch(image, mask, 2), image[:, 2:, 1:3])
    True
    """
    size = check_count("size", size)
    if image.ndim != 3 or mask.shape != image.shape[1:] or not bool(mask.any()):
        raise ConvlabError(
            f"Se esperaba una imagen (C, H, W) y la máscara (H, W) de su objeto, no vacía, y llegaron "
            f"{tuple(image.shape)} y {tuple(mask.shape)} con {int(mask.sum())} píxeles."
        )
    extents = [mask.any(1 - axis).nonzero()[:, 0] for axis in (0, 1)]
    side = min(max(int(e[-1] - e[0]) + 1 for e in extents), *mask.shape)
    top, left = (
        min(max((int(e[0] + e[-1]) + 1 - side) // 2, 0), limit - side)
        for e, limit in zip(extents, mask.shape, strict=True)
    )
    crop = wide(image.detach()[None, :, top : top + side, left : left + side])
    return F.interpolate(crop, (size, size), mode="bilinear", antialias=True)[0].to(image.dtype)


def patch_success(
    model: nn.Module,
    x: Tensor,
    patch: Tensor,
    target: int,
    positions: Tensor | None = None,
    *,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    generator: torch.Generator | None = None,
) -> float:
    """Qué fracción de las imágenes que la red no veía como `target` pasan a serlo con el parche pegado.

    Usa imágenes que no sirvieron para entrenarlo, y compara siempre con controles en los mismos sitios (la misma
    semilla): un parche de ruido, `torch.rand`, y un objeto de esa clase, `object_patch`. Un objeto pegado *es* de la
    clase: lo que un parche adversario añade es lo que pasa de ahí.

    Parameters
    ----------
    model
        La red; dos pasadas hacia delante.
    x, patch, positions, rotation, scale, generator
        Los de `apply_patch`.
    target
        La clase buscada.

    Returns
    -------
    float
        En [0, 1]; 0 si la red ya respondía `target` en todas.

    Raises
    ------
    ConvlabError
        Los de `apply_patch`, y si la clase no existe.

    Examples
    --------
    >>> red = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> rojo = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 4, 4)
    >>> x = torch.tensor([0.0, 0.3, 0.6]).view(1, 3, 1, 1).expand(2, 3, 6, 6)
    >>> patch_success(red, x, rojo, target=0)
    1.0
    """
    logits = forward(model, x)
    wanted = class_indices(target, *logits.shape).to(logits.device)
    pasted = apply_patch(x, patch, positions, rotation=rotation, scale=scale, generator=generator)
    other = logits.argmax(1) != wanted
    reached = forward(model, pasted).argmax(1) == wanted
    return float((other & reached).sum() / other.sum().clamp(min=1))


def _check_patch(x: Tensor, patch: Tensor, rotation: float, scale: tuple[float, float]) -> None:
    fits = patch.ndim == 3 and patch.numel() > 0 and patch.is_floating_point() and patch.shape[0] == x.shape[1]
    if not fits or patch.shape[1] > x.shape[2] or patch.shape[2] > x.shape[3]:
        raise ConvlabError(
            f"Se esperaba un parche (C, h, w) de coma flotante que quepa en imágenes {tuple(x.shape[1:])}, y llegó un "
            f"tensor {patch.dtype} {tuple(patch.shape)}."
        )
    low, high = scale
    if not (0 <= rotation <= 180 and 0 < low <= high < torch.inf):
        raise ConvlabError(
            f"Se esperaba un giro de 0 a 180 grados y una escala 0 < menor ≤ mayor, y llegaron rotation={rotation} y "
            f"scale={scale}."
        )


def _check_positions(positions: Tensor, n: int, free_rows: int, free_columns: int) -> None:
    integer = not positions.is_floating_point() and positions.dtype != torch.bool
    if not integer or positions.shape != (n, 2):
        raise ConvlabError(
            f"Se esperaban {n} posiciones (fila, columna), un tensor entero ({n}, 2), y llegó uno {positions.dtype} "
            f"{tuple(positions.shape)}."
        )
    limits = positions.new_tensor([free_rows, free_columns])
    if bool(((positions < 0) | (positions > limits)).any()):
        raise ConvlabError(
            f"El parche se sale de la imagen: la fila va de 0 a {free_rows} y la columna de 0 a {free_columns}."
        )
