"""La bajada, con cada paso cambiable: lo que comparten los errores del catálogo de `deconvnet`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.deconvnet import conv_adjoint, unpool

Channel = int | Tensor


@dataclass(frozen=True)
class Step:
    """Una capa en la pasada hacia delante: lo que entró, lo que salió y, si agrupa, sus interruptores."""

    module: nn.Module
    before: Tensor
    after: Tensor
    switches: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Alto y ancho de lo que entró."""
        return self.before.shape[2], self.before.shape[3]


Down = Callable[[Tensor, Step], Tensor]
Start = Callable[[Tensor, Channel], Tensor]


def climb(model: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, list[Step]]:
    """La salida de la capa y los pasos que llevan hasta ella."""
    steps: list[Step] = []
    for name, module in model.named_children():
        before, switches = x.clone(), torch.empty(0)  # una ReLU puede escribir encima
        if isinstance(module, nn.MaxPool2d):
            x, switches = F.max_pool2d(x, module.kernel_size, module.stride, module.padding, return_indices=True)
        else:
            x = module(x)
        steps.append(Step(module, before, x.clone(), switches))
        if name == layer:
            break
    return x, steps


def strongest(activation: Tensor, channel: Channel) -> Tensor:
    """La unidad más activa del canal, con su valor."""
    images = torch.arange(len(activation))
    flat = activation.flatten(2)
    place = flat[images, channel].argmax(1)
    signal = torch.zeros_like(flat)
    signal[images, channel, place] = flat[images, channel, place]
    return signal.view_as(activation)


def through_relu(signal: Tensor, step: Step) -> Tensor:  # noqa: ARG001
    """DeconvNet: lo positivo de la señal."""
    return signal.clamp(min=0)


def through_pool(signal: Tensor, step: Step) -> Tensor:
    """Desagrupación."""
    return unpool(signal, step.switches, step.size)


def scale(step: Step) -> Tensor:
    """Por cuánto multiplica una BatchNorm cada canal, `(C, 1, 1)`."""
    bn = step.module
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_var is not None
    return (bn.weight / (bn.running_var + bn.eps).sqrt())[:, None, None]


def through_norm(signal: Tensor, step: Step) -> Tensor:
    """La parte lineal de la BatchNorm."""
    return signal * scale(step)


def adjoint(signal: Tensor, step: Step, *, flip: bool = False) -> Tensor:
    """Convolución transpuesta."""
    conv = step.module
    assert isinstance(conv, nn.Conv2d)
    weight = conv.weight.flip(2, 3) if flip else conv.weight
    return conv_adjoint(signal, weight, conv.stride[0], int(conv.padding[0]), step.size)


def project(
    model: nn.Module,
    x: Tensor,
    layer: str,
    channel: Channel,
    *,
    start: Start = strongest,
    relu: Down = through_relu,
    pool: Down = through_pool,
    norm: Down = through_norm,
    conv: Down = adjoint,
) -> Tensor:
    """DeconvNet, o lo que salga de cambiar uno de sus pasos."""
    down = {nn.ReLU: relu, nn.MaxPool2d: pool, nn.BatchNorm2d: norm, nn.Conv2d: conv}
    with torch.no_grad():
        activation, steps = climb(model, x, layer)
        signal = start(activation, channel)
        for step in reversed(steps):
            signal = down[type(step.module)](signal, step)
    return signal
