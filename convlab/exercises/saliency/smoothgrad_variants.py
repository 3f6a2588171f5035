"""Otras maneras de escribir bien SmoothGrad."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.exercises.saliency.networks import Target

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants


@_right
def _image_by_image(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    """Cada imagen por separado, con otro orden del azar."""
    maps = []
    for k, image in enumerate(x):
        chosen = target if isinstance(target, int) else int(target[k])
        total = torch.zeros_like(image)
        for _ in range(n):
            noise = torch.randn(image.shape, generator=generator, dtype=torch.float64).to(image.dtype)
            leaf = (image + sigma * noise)[None].requires_grad_()
            (gradient,) = torch.autograd.grad(model(leaf)[0, chosen], leaf)
            total += gradient[0] / n
        maps.append(total.abs().max(dim=0).values)
    return torch.stack(maps)


@_right
def _one_big_batch(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    """Todas las copias en una pasada: se deriva la media de los logits y el gradiente ya sale sumado a la imagen."""
    size = (n, *x.shape)
    noise = sigma * torch.empty(size, dtype=x.dtype).normal_(generator=generator)
    leaf = x.detach().clone().requires_grad_()
    logits = model((leaf + noise).flatten(0, 1)).unflatten(0, (n, len(x)))
    chosen = F.one_hot(torch.as_tensor(target).expand(len(x)), logits.shape[-1]).to(x.dtype)
    (gradient,) = torch.autograd.grad((logits * chosen).sum() / n, leaf)
    return torch.maximum(gradient.amax(1), -gradient.amin(1))


@_right
def _with_numpy(model: nn.Module, x: Tensor, target: Target, n: int, sigma: float, generator: Generator) -> Tensor:
    """El ruido de NumPy con una semilla que sale del generador, y la media al vuelo."""
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    mean = np.zeros(tuple(x.shape))
    for k in range(1, n + 1):
        noise = torch.from_numpy(rng.normal(0, sigma, tuple(x.shape))).to(x.dtype)
        logits, pullback = torch.func.vjp(model, x + noise)  # type: ignore[misc]
        chosen = torch.zeros_like(logits)
        chosen[torch.arange(len(x)), target] = 1
        mean += (pullback(chosen)[0].detach().double().numpy() - mean) / k
    return torch.from_numpy(np.abs(mean).max(axis=1)).to(x.dtype)
