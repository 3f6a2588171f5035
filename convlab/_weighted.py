"""Gradientes de muchas versiones de las mismas imágenes, ponderados y sumados, con la memoria acotada."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from convlab.hooks import input_gradient
from convlab.targets import BatchSize, Output, ScoreFn, output_score, per_image

# Octetos de la mayor activación de una pasada. En una CPU, si no cabe en la caché, cada imagen tarda más; en una GPU
# solo cuenta la memoria: entre todas ocupan, según la red, de cinco a cuarenta veces la mayor.
_CPU, _ACCELERATOR = 3 * 2**23, 2**26


def weighted_gradients(
    model: nn.Module,
    x: Tensor,
    points: Iterator[tuple[Tensor, float]],
    count: int,
    target: int | Tensor,
    output: Output,
    select: ScoreFn | None,
    batch_size: BatchSize,
) -> Tensor:
    """Suma ponderada de los gradientes en `count` versiones de `x`, varias en cada pasada, al menos en float32.

    Con `"auto"`, la primera pasada lleva una sola versión y mide lo que ocupa la mayor activación.
    """
    total = torch.zeros(x.shape, device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
    classes = per_image(target, len(x))
    budget = _CPU if x.device.type == "cpu" else _ACCELERATOR
    step = 1 if batch_size == "auto" else max(1, batch_size // len(x))
    largest = x.nbytes

    def note(saved: Tensor) -> Tensor:
        nonlocal largest
        if saved.shape[:1] == x.shape[:1]:  # ni los pesos ni las pasadas con más versiones
            largest = max(largest, saved.nbytes)
        return saved

    # Solo en la primera: con estos ganchos PyTorch no avisa si el modelo escribe sobre lo que hace falta para derivar.
    measuring: AbstractContextManager[Any] = nullcontext()
    if batch_size == "auto" and count > 1:
        measuring = saved_tensors_hooks(note, lambda saved: saved)
    while chosen := list(islice(points, step)):
        score = output_score(classes.repeat(len(chosen)), output, select)
        with measuring:
            gradient = input_gradient(model, torch.cat([point for point, _ in chosen]), score)
        for (_, weight), part in zip(chosen, gradient.split(len(x)), strict=True):
            total += weight * part
        if batch_size == "auto":
            step, measuring = max(1, budget // largest), nullcontext()
    return total
