"""Otras maneras de escribir bien DeconvNet."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from convlab.exercises.catalogue import Catalogue
from convlab.hooks import layer_gradient, override_relu

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Channel = int | Tensor


def _one_unit(a: Tensor, channel: Channel) -> Tensor:
    """Imagen a imagen."""
    signal = torch.zeros_like(a)
    for n in range(len(a)):
        c = channel if isinstance(channel, int) else int(channel[n])
        row, column = divmod(int(a[n, c].argmax()), a.shape[3])
        signal[n, c, row, column] = a[n, c, row, column]
    return signal


@_right
def _image_by_image(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    """Cada imagen por su cuenta, con la pasada escrita capa a capa y los tamaños apuntados en una lista."""
    pictures = []
    names = [name for name, _ in model.named_children()]
    modules = list(model.children())[: names.index(layer) + 1]
    for n in range(len(x)):
        a, trail = x[n : n + 1].clone(), []
        for module in modules:
            indices, size = None, list(a.shape[2:])
            if isinstance(module, nn.MaxPool2d):
                pool = nn.MaxPool2d(module.kernel_size, module.stride, module.padding, return_indices=True)
                a, indices = pool(a)
            else:
                a = module(a)
            trail.append((module, size, indices))
        signal = _one_unit(a.detach(), channel if isinstance(channel, int) else channel[n : n + 1])
        while trail:
            signal = _down(signal, *trail.pop())
        pictures.append(signal[0])
    return torch.stack(pictures)


def _down(signal: Tensor, module: nn.Module, size: list[int], indices: Tensor | None) -> Tensor:
    if isinstance(module, nn.ReLU):
        return F.relu(signal)
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_var is not None
        gain = module.weight.detach() * torch.rsqrt(module.running_var + module.eps)
        return torch.einsum("nchw,c->nchw", signal, gain)
    if isinstance(module, nn.Conv2d):
        weight, padding = module.weight.detach(), [int(p) for p in module.padding]
        shape = [len(signal), weight.shape[1], *size]
        return conv2d_input(shape, weight, signal, stride=module.stride, padding=padding)
    assert indices is not None
    out = signal.new_zeros(*signal.shape[:2], size[0] * size[1])
    return out.scatter_add(2, indices.flatten(2), signal.flatten(2)).unflatten(2, size)


@_right
def _pulled_back(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    """Cada capa lineal baja por su producto de vector por jacobiana, el de `torch.func`; la ReLU, a mano."""
    pulls: list[Any] = []
    a = x
    for name, module in model.named_children():
        if isinstance(module, nn.ReLU):
            a = torch.relu(a)
            pulls.append(lambda signal: (torch.maximum(signal, signal.new_zeros(())),))
        else:
            a, *pull = torch.func.vjp(module, a)
            pulls += pull
        if name == layer:
            break
    signal = _one_unit(a.detach(), channel)
    for pull in reversed(pulls):
        (signal,) = pull(signal)
    return signal.detach()


@_right
def _overridden(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    """El gradiente de la unidad por su valor, con la ReLU de DeconvNet puesta por `convlab.hooks`."""
    with override_relu("deconvnet") as override:
        return layer_gradient(model, x, layer, lambda a: override(a) * _one_unit(a.detach(), channel))


class _SignalReLU(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(_ctx: Any, *signals: Tensor) -> Tensor:
        return signals[0].clamp(min=0)


class _Rectify(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rectified: Tensor = _SignalReLU.apply(x)
        return rectified


@_right
def _copied_network(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    """Una copia de la red cortada en la capa, con las ReLU cambiadas por otras que derivan a su manera."""
    layers: list[nn.Module] = []
    for name, module in model.named_children():
        layers.append(_Rectify() if isinstance(module, nn.ReLU) else copy.deepcopy(module))
        if name == layer:
            break
    image = x.detach().clone().requires_grad_()
    a = nn.Sequential(*layers).eval()(image)
    flat = a.flatten(2)[torch.arange(len(x)), channel]
    top = flat.max(dim=1).values
    (signal,) = torch.autograd.grad((top * top.detach()).sum(), image)
    return signal
