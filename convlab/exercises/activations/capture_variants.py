"""Otras maneras de capturar bien las activaciones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from convlab.exercises.catalogue import Catalogue
from convlab.hooks import evaluating

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Found = dict[str, Tensor]


@_right
def _one_pass_per_layer(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    """Una pasada por capa, con un gancho cada vez y el modo anotado a mano."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    found: Found = {}
    try:
        for name in layers:
            kept: list[Tensor] = []
            hook = model.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, kept=kept: kept.append(output.detach().clone())
            )
            try:
                model(x)
            finally:
                hook.remove()
            found[name] = kept[-1]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return found


class _Recorder(nn.Module):
    """Ejecuta otro módulo y se queda con una copia de lo que da."""

    def __init__(self, inner: nn.Module, kept: Found, name: str) -> None:
        super().__init__()
        self.inner, self.kept, self.name = inner, kept, name

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.inner(x)
        self.kept[self.name] = output.clone()
        return output


@_right
def _modules_replaced(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    """Sin ganchos: cada módulo pedido se cambia por otro que lo ejecuta y toma nota, y al acabar vuelve a su sitio."""
    found: Found = {}
    places = []
    for name in sorted(layers, key=lambda name: -name.count(".")):  # primero las partes, después sus bloques
        parent_name, _, own = name.rpartition(".")
        parent = model.get_submodule(parent_name)
        places.append((parent, own, model.get_submodule(name)))
        setattr(parent, own, _Recorder(places[-1][2], found, name))
    try:
        with torch.no_grad(), evaluating(model):
            model(x)
    finally:
        for parent, own, original in reversed(places):
            setattr(parent, own, original)
    return found


@_right
def _one_hook_for_all(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    """Un gancho global que oye a todos los módulos y una tabla de quién es quién; copia a través de NumPy."""
    names = {model.get_submodule(name): name for name in layers}
    found: Found = {}

    def listen(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if module in names:
            found[names[module]] = torch.from_numpy(np.array(output.numpy())).to(output.device)

    hook = register_module_forward_hook(listen)
    try:
        with torch.inference_mode(), evaluating(model):
            model(x)
    finally:
        hook.remove()
    return {name: found[name] for name in layers}


@_right
def _image_by_image(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    """De una en una, como quien va justo de memoria: en modo eval cada imagen va por su cuenta."""
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: rows[name].append(1 * output.detach())
        )
        for name in layers
    ]
    try:
        with evaluating(model), torch.no_grad():
            for image in x:
                model(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts) for name, parts in rows.items()}
