"""RISE, pariente de la oclusión: máscaras al azar en lugar de un cuadrado que se desliza. Véase `convlab.occlusion`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.errors import ConvlabError
from convlab.hooks import check_images
from convlab.occlusion._responses import Fill, Responses, fill_values, versions_per_pass
from convlab.targets import BatchSize, Output, ScoreFn, check_batch_size, check_counts

__all__ = ["rise"]


def rise(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    n: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    generator: torch.Generator | None = None,
    *,
    value: Fill = 0.0,
    output: Output = "probability",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
) -> Tensor:
    """RISE: la media de muchas máscaras al azar, cada una con el peso de la respuesta que deja.

    Cada máscara es una rejilla de `cells` × `cells` celdas que se conservan con probabilidad `keep`, ampliada con
    interpolación bilineal y desplazada al azar menos de una celda. Todas las imágenes del lote comparten máscaras.

    Parameters
    ----------
    model, x, target, select
        Los de `occlusion_map`.
    n
        Número de máscaras: tantas pasadas hacia delante por imagen.
    cells
        Celdas por lado de la rejilla.
    keep
        Probabilidad de conservar una celda, entre 0 y 1 (excluidos).
    generator
        Fuente de azar, del dispositivo de `x`; si falta, el generador global.
    value
        Con qué se tapa.
    output
        `"probability"`, como en el artículo, o `"logit"`.
    batch_size
        Versiones de las imágenes por pasada.

    Returns
    -------
    Tensor
        `(N, H, W)`: la respuesta esperada si se conserva cada píxel, estimada.

    Raises
    ------
    ConvlabError
        Los de `occlusion_map`, y si `n`, `cells` o `keep` no son válidos.

    References
    ----------
    Petsiuk, Das y Saenko, «RISE: Randomized Input Sampling for Explanation of Black-box Models», BMVC 2018.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> azar = torch.Generator().manual_seed(0)
    >>> rise(Mini(), torch.rand(1, 3, 64, 64), 3, n=20, generator=azar).shape
    torch.Size([1, 64, 64])
    """
    check_images(x)
    check_counts(n=n, cells=cells)
    check_batch_size(batch_size)
    if not 0 < keep < 1:
        raise ConvlabError(f"La probabilidad «keep» debe estar entre 0 y 1, sin llegar a ellos, y llegó {keep}.")
    x, fill = x.detach(), fill_values(value, x)
    run = Responses(model, x, target, output, select)
    exact = torch.promote_types(x.dtype, torch.float32)
    total = torch.zeros(len(x), *x.shape[2:], dtype=exact, device=x.device)
    step = versions_per_pass(x, batch_size)
    for start in range(0, n, step):
        masks = _random_masks(min(step, n - start), cells, keep, x, generator)
        mixed = fill[None] + masks[:, None, None].to(x.dtype) * (x - fill)[None]
        scores = run.score(mixed.flatten(0, 1), len(masks)).view(len(masks), len(x)).to(exact)
        total += torch.einsum("mn,mhw->nhw", scores, masks.to(exact))
    return (total / (n * keep)).to(x.dtype)


def _random_masks(m: int, cells: int, keep: float, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Máscaras `(m, H, W)` en [0, 1] de `rise`."""
    height, width = x.shape[2:]
    cell = -(-height // cells), -(-width // cells)
    grid = (torch.rand(m, 1, cells + 1, cells + 1, generator=generator, device=x.device) < keep).float()
    size = (cells + 1) * cell[0], (cells + 1) * cell[1]
    large = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)[:, 0]
    shifts = [torch.randint(0, c, (m, 1), generator=generator, device=x.device) for c in cell]
    rows, columns = (shift + torch.arange(n, device=x.device) for shift, n in zip(shifts, (height, width), strict=True))
    return large[torch.arange(m, device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
