"""La red que vuelve, como datos: qué capas cambiaron, con qué números, y qué fue de la original."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from convlab.exercises.nets import NetSpec

Facts = dict[str, Any]


@dataclass(frozen=True)
class Blocks:
    """Una red de `NetSpec` con sus capas agrupadas en bloques: `{"bloque": (capas)}`; las demás quedan sueltas."""

    spec: NetSpec
    blocks: dict[str, tuple[str, ...]]

    @property
    def dtype(self) -> str:
        """El tipo de sus pesos."""
        return self.spec.dtype

    def __str__(self) -> str:
        groups = [f"{name}({' → '.join(inner)})" for name, inner in self.blocks.items()]
        inside = {layer for inner in self.blocks.values() for layer in inner}
        return f"red {' → '.join(groups + [name for name, *_ in self.spec.layers if name not in inside])}"

    def build(self) -> nn.Sequential:
        """La red, en modo eval."""
        flat = self.spec.build()
        inside = {layer for inner in self.blocks.values() for layer in inner}
        groups = [
            (name, nn.Sequential(OrderedDict((layer, flat.get_submodule(layer)) for layer in inner)))
            for name, inner in self.blocks.items()
        ]
        loose = [(name, module) for name, module in flat.named_children() if name not in inside]
        return nn.Sequential(OrderedDict([*groups, *loose])).eval()


def describe(function: Callable[..., Any], model: nn.Module, names: Sequence[str], generator: Generator) -> Any:
    """Llama a la función y cuenta cómo es la red que devolvió."""
    return _described(function(model, names, generator), model)


def describe_thrice(function: Callable[..., Any], model: nn.Module, names: Sequence[str], generator: Generator) -> Any:
    """Dos copias con la misma semilla y una con otra."""
    seed = generator.initial_seed()
    generators = [torch.Generator().manual_seed(s) for s in (seed, seed, seed + 1)]
    return [_described(function(model, names, g), model) for g in generators]


def _described(copy: Any, model: nn.Module) -> Any:
    if not isinstance(copy, nn.Module):
        raise TypeError(f"tu función devolvió {type(copy).__name__} y se esperaba una red, un nn.Module.")
    own = {t.data_ptr() for t in model.state_dict().values()}
    return {
        "copia": _state(copy),
        "original": _state(model),
        "modo": [m.training for m in copy.modules()],
        "pide gradiente": [p.requires_grad for p in copy.parameters()],
        "comparte memoria": any(t.data_ptr() in own for t in copy.state_dict().values()),
    }


def _state(model: nn.Module) -> dict[str, Tensor]:
    # Copias: lo que cruza a otro proceso no debe ser la memoria de la red.
    return {name: value.clone() for name, value in model.state_dict().items()}


def _inside(key: str, names: Sequence[str]) -> bool:
    return any(key.startswith(f"{name}.") for name in names)


def _learnt(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """Las convoluciones y capas lineales de las capas pedidas."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and _inside(f"{name}.", names)
    }


def _norms(model: nn.Module, names: Sequence[str]) -> list[str]:
    return [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and _inside(f"{n}.", names)]


def which_facts(found: dict[str, Any], model: nn.Module, names: Sequence[str], _generator: Generator) -> Facts:
    """Cambian las pedidas y ninguna más."""
    copy, before = found["copia"], model.state_dict()
    changed = [bool((copy[f"{n}.weight"] != before[f"{n}.weight"]).all()) for n in _learnt(model, names)]
    rest = [torch.equal(copy[key], before[key]) for key in before if not _inside(key, names)]
    return {"cambian los pesos de las capas pedidas": all(changed), "las demás capas quedan igual": all(rest)}


def original_facts(found: dict[str, Any], model: nn.Module, _names: Sequence[str], _generator: Generator) -> Facts:
    """La original sigue como estaba y es otra."""
    before = model.state_dict()
    same = all(torch.equal(found["original"][key], before[key]) for key in before)
    return {
        "la red original no cambia": same,
        "la copia no comparte memoria con la original": not found["comparte memoria"],
    }


def size_facts(found: dict[str, Any], model: nn.Module, names: Sequence[str], _generator: Generator) -> Facts:
    """Los números nuevos son los de `reset_parameters`: uniformes hasta ±1/√entradas.

    Con 150 pesos o más, el tamaño medio dista de la mitad del límite menos de un 5 % y la correlación con los pesos de
    antes es menor que 0.08: los umbrales están a seis desviaciones.
    """
    copy, before = found["copia"], model.state_dict()
    bounded, typical, biased, unrelated, weights = [], [], [], [], []
    for name, module in _learnt(model, names).items():
        weight, bias, old = copy[f"{name}.weight"], copy[f"{name}.bias"], before[f"{name}.weight"]
        assert isinstance(module, nn.Conv2d | nn.Linear)
        limit = weight[0].numel() ** -0.5
        bounded.append(bool(weight.abs().max() <= limit * (1 + 1e-5)))
        typical.append(bool(0.33 < weight.abs().mean() / limit < 0.67))
        old_bias = before[f"{name}.bias"]
        biased.append(bool((bias != old_bias).all() and bias.abs().max() <= limit * (1 + 1e-5) and bias.std() > 0))
        pair = torch.stack([weight.flatten(), old.flatten()])
        unrelated.append(bool(torch.corrcoef(pair)[0, 1].nan_to_num().abs() < 0.5))
        weights.append(weight.flatten())
    twins = [torch.equal(a, b) for k, a in enumerate(weights) for b in weights[:k] if a.shape == b.shape]
    return {
        "los pesos no pasan de 1 / √entradas": all(bounded),
        "los pesos tienen el tamaño de los recién creados": all(typical),
        "también cambia el sesgo": all(biased),
        "no queda nada de los pesos de antes": all(unrelated),
        "dos capas iguales reciben pesos distintos": not any(twins),
    }


def norm_facts(found: dict[str, Any], model: nn.Module, names: Sequence[str], _generator: Generator) -> Facts:
    """BatchNorm como recién creada."""
    norms = [{k: found["copia"][f"{n}.{k}"] for k in _FRESH} for n in _norms(model, names)]

    def fresh(*keys: str) -> bool:
        return all(bool((norm[k] == _FRESH[k]).all()) for norm in norms for k in keys)

    return {
        "BatchNorm vuelve a escala 1 y sesgo 0": fresh("weight", "bias"),
        "BatchNorm vuelve a media 0 y varianza 1": fresh("running_mean", "running_var"),
    } | which_facts(found, model, names, _generator)


_FRESH = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}


def same_facts(found: dict[str, Any], model: nn.Module, _names: Sequence[str], _generator: Generator) -> Facts:
    """Lo que no son números también se copia."""
    return {
        "la copia está en el mismo modo, train o eval": found["modo"] == [m.training for m in model.modules()],
        "los parámetros piden gradiente, o no, igual que antes": found["pide gradiente"]
        == [p.requires_grad for p in model.parameters()],
    }


def chance_facts(found: list[dict[str, Any]], model: nn.Module, names: Sequence[str], _generator: Generator) -> Facts:
    """Lo mismo con la misma semilla y otra cosa con otra."""
    first, again, other = (f["copia"] for f in found)
    keys = [f"{name}.weight" for name in _learnt(model, names)]
    return {
        "igual con la misma semilla": all(torch.equal(first[k], again[k]) for k in keys),
        "distinta con otra semilla": not any(torch.equal(first[k], other[k]) for k in keys),
    }
