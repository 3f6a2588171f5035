"""Otras maneras de escribir bien la maximización: cambian la imagen, el optimizador y el modo de llegar a la capa."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab.exercises.catalogue import Catalogue

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Size = tuple[int, int]
Source = torch.Generator | None


@_right
def _torch_adam(
    model: nn.Module, layer: str, channel: int, *, size: Size, steps: int, lr: float, jitter: int, generator: Source
) -> Tensor:
    """Sigmoide de los píxeles, el Adam de PyTorch y un gancho."""
    like = next(model.parameters())
    z = (0.1 * torch.randn(1, 3, *size, generator=generator)).to(like).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=lr, maximize=True)
    kept: dict[str, Tensor] = {}
    hook = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.update(out=output.clone()))
    try:
        for _ in range(steps):
            dy, dx = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
            model(torch.sigmoid(z).roll((dy, dx), dims=(2, 3)))
            (z.grad,) = torch.autograd.grad(kept["out"][0, channel].mean(), z)
            optimizer.step()
    finally:
        hook.remove()
    return torch.sigmoid(z).detach()


class _ReachedError(Exception):
    """La pasada ha llegado a la capa."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


@_right
def _clamped_pixels(
    model: nn.Module, layer: str, channel: int, *, size: Size, steps: int, lr: float, jitter: int, generator: Source
) -> Tensor:
    """Píxeles recortados en cada paso, gradiente normalizado que se deshace a mano, y la red solo hasta la capa."""

    def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        raise _ReachedError(output)

    x = 0.5 + 0.05 * torch.randn(1, 3, *size, generator=generator).to(next(model.parameters()))
    x = x.clamp(0, 1)
    handle = model.get_submodule(layer).register_forward_hook(stop)
    try:
        for _ in range(steps):
            dy, dx = (int(torch.randint(2 * jitter + 1, (), generator=generator)) - jitter for _ in range(2))
            view = torch.roll(x, (dy, dx), (2, 3)).requires_grad_()
            try:
                model(view)
            except _ReachedError as reached:
                score = reached.output.select(1, channel).sum()
            (g,) = torch.autograd.grad(score, view)
            g = torch.roll(g, (-dy, -dx), (2, 3))
            x = (x + lr * g / (g.pow(2).mean().sqrt() + 1e-20)).clamp(0, 1)
    finally:
        handle.remove()
    return x


@_right
def _frequencies(
    model: nn.Module, layer: str, channel: int, *, size: Size, steps: int, lr: float, jitter: int, generator: Source
) -> Tensor:
    """Frecuencias con amplitud 1/f, Adam escrito a mano y la capa, por un trozo de la red secuencial."""
    height, width = size
    like = next(model.parameters())
    names = [name for name, _ in model.named_children()]
    trunk = list(model.children())[: names.index(layer) + 1]
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    weights = torch.from_numpy(1 / np.maximum(f, 1 / max(size))).to(like)
    z = 0.01 * torch.randn(2, 1, 3, height, width // 2 + 1, generator=generator).to(like)
    mean, square = torch.zeros_like(z), torch.zeros_like(z)

    def image_of(parts: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.complex(parts[0], parts[1]) * weights, s=size, norm="ortho").sigmoid()

    for t in range(1, steps + 1):
        z.requires_grad_(True)
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator)
        out = image_of(z).roll(tuple(shift.tolist()), (-2, -1))
        for module in trunk:
            out = module(out)
        (slope,) = torch.autograd.grad(out[:, channel].mean(), z)
        z = z.detach()
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        z = z + lr * (mean / (1 - 0.9**t)) / ((square / (1 - 0.999**t)).sqrt() + 1e-10)
    return image_of(z)


@_right
def _sign_steps(
    model: nn.Module, layer: str, channel: int, *, size: Size, steps: int, lr: float, jitter: int, generator: Source
) -> Tensor:
    """Coseno en vez de sigmoide, pasos de signo que se acortan, y `torch.func`."""
    like = next(model.parameters())
    z = (math.pi / 2 + 0.1 * torch.randn(1, 3, *size, generator=generator)).to(like)

    def score(z: Tensor, shift: tuple[int, int]) -> Tensor:
        kept: list[Tensor] = []
        hook = model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output.clone()))
        try:
            model(torch.roll((1 - torch.cos(z)) / 2, shift, dims=(-2, -1)))
        finally:
            hook.remove()
        return kept[0][:, channel].sum()

    for t in range(steps):
        dy, dx = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
        slope = torch.func.grad(score)(z, (dy, dx))
        z = (z + lr * (1 - t / (2 * steps)) * slope.sign()).clamp(0, math.pi)
    return (1 - torch.cos(z)) / 2
