"""Otras maneras de escribir bien la red que olvida."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Generator, nn

from convlab.exercises.catalogue import Catalogue

Names = Sequence[str]

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants


@_right
def _by_name(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    """Recorre la red entera y compara nombres; el azar global se guarda y se repone a mano."""
    broken, before = copy.deepcopy(model), torch.get_rng_state()
    try:
        torch.manual_seed(int(torch.empty((), dtype=torch.int64).random_(generator=generator)) % 2**63)
        for inner, module in broken.named_modules():
            chosen = any(inner == name or inner.startswith(name + ".") for name in names)
            reset = getattr(module, "reset_parameters", None)
            if chosen and reset is not None:
                reset()
    finally:
        torch.set_rng_state(before)
    return broken


@_right
def _own_initialization(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    """Los mismos números escritos a mano, con el generador y sin tocar el azar global."""
    broken = copy.deepcopy(model)
    with torch.no_grad():
        for name in names:
            for module in broken.get_submodule(name).modules():
                if isinstance(module, nn.BatchNorm2d):
                    for tensor, value in zip(module.state_dict().values(), (1, 0, 0, 1, 0), strict=True):
                        tensor.fill_(value)
                elif isinstance(module, nn.Conv2d | nn.Linear):
                    limit = module.weight[0].numel() ** -0.5
                    for parameter in module.parameters():
                        parameter.uniform_(-limit, limit, generator=generator)
    return broken


@_right
def _weights_of_a_new_network(model: nn.Module, names: Names, generator: Generator) -> nn.Module:
    """Reinicia una segunda copia entera y toma de ella solo los tensores pedidos."""
    broken, blank = copy.deepcopy(model), copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.randint(0, 2**40, (), generator=generator).item())
        for module in blank.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()  # type: ignore[operator]
    wanted = {k: v for k, v in blank.state_dict().items() if k.startswith(tuple(f"{name}." for name in names))}
    broken.load_state_dict(wanted, strict=False)
    return broken
