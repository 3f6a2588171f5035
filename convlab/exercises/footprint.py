"""Qué deja tras de sí una llamada: entradas cambiadas, ganchos, gradientes, modos, azar."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as _module

from convlab.exercises.values import tensors

TRACES = {
    "input": "La entrada ha cambiado: trabaja sobre una copia (`x.clone()`) y evita operaciones como `x *= …` o "
    "`clamp_`.",
    "input_grad": "Ha quedado un `.grad` en la entrada: usa `torch.autograd.grad`, que devuelve el gradiente sin "
    "guardarlo.",
    "input_requires_grad": "La entrada ha quedado con otro `requires_grad`: trabaja sobre `x.detach().clone()`.",
    "view": "Lo que devuelves comparte memoria con lo que recibiste: quien cambie uno cambiará el otro. Devuelve un "
    "tensor nuevo (`.clone()`).",
    "hooks": "Han quedado ganchos puestos: guarda lo que devuelve `register_forward_hook` y llama a su `.remove()` "
    "en un `finally`.",
    "forward": "Un módulo ha quedado con su `forward` cambiado: devuélvelo a como estaba.",
    "modules": "El modelo ha quedado con módulos añadidos, quitados o cambiados.",
    "mode": "El modelo ha quedado en otro modo: si llamas a `train()` o `eval()`, devuelve cada módulo al suyo.",
    "requires_grad": "Algún parámetro ha quedado con otro `requires_grad`.",
    "grad": "Han quedado gradientes en los parámetros: usa `torch.autograd.grad` en vez de `.backward()`.",
    "values": "Los pesos o las estadísticas del modelo han cambiado.",
    "random": "Se ha movido el estado global del azar: usa el `generator` que recibe la función; si no recibe ninguno, "
    "no hace falta azar.",
    "settings": "Ha cambiado un ajuste global de PyTorch: usa `with torch.no_grad():` o `with torch.enable_grad():`, "
    "que lo devuelven al salir.",
}

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Footprint:
    """El estado de los argumentos y lo global antes de la llamada, para decir después qué cambió."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments
        self._tensors = list(tensors(arguments))
        self._models = [a for a in arguments if isinstance(a, nn.Module)]
        self._before = self._tensor_states(), self._model_states(), _global_state()

    def traces(self, returned: Any = None) -> list[str]:
        """Las claves de `TRACES` de todo lo que quedó distinto, y si lo devuelto es la memoria de lo recibido."""
        found = ["view"] if self._shares_memory(returned) else []
        tensors, models, everywhere = self._before
        now = self._tensor_states(), self._model_states(), _global_state()
        for before, after in zip([*tensors, *models, everywhere], [*now[0], *now[1], now[2]], strict=True):
            found += [key for key in before if not _same(before[key], after[key])]
        return [key for key in TRACES if key in found]

    def _tensor_states(self) -> list[dict[str, Any]]:
        structure = [{"input": _skeleton(a)} for a in self._arguments if isinstance(a, list | dict)]
        return structure + [
            {"input": [t.detach().clone()], "input_grad": t.grad is None, "input_requires_grad": t.requires_grad}
            for t in self._tensors
        ]

    def _shares_memory(self, returned: Any) -> bool:
        own = [*self._tensors, *(t for model in self._models for t in model.state_dict().values())]
        known = {t.untyped_storage().data_ptr() for t in own} - {0}
        return any(
            t.layout == torch.strided and t.device.type != "meta" and t.untyped_storage().data_ptr() in known
            for t in tensors(returned)
        )

    def _model_states(self) -> list[dict[str, Any]]:
        return [
            {
                "hooks": [len(getattr(m, h)) for m in model.modules() for h in _HOOKS],
                "forward": [name for name, m in model.named_modules() if "forward" in vars(m)],
                "modules": [(name, id(m)) for name, m in model.named_modules()],
                "mode": [m.training for m in model.modules()],
                "requires_grad": [p.requires_grad for p in model.parameters()],
                "grad": [p.grad is None for p in model.parameters()],
                "values": [v.detach().clone() for v in model.state_dict().values()],
            }
            for model in self._models
        ]


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Devuelve al salir lo global que un estudiante puede mover: azar, ajustes de PyTorch y ganchos."""
    rng = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    settings = torch.is_grad_enabled(), torch.get_default_dtype()
    hooks = [(table, dict(table)) for table in _global_hooks()]
    try:
        yield
    finally:
        torch.set_rng_state(rng[0])
        random.setstate(rng[1])
        np.random.set_state(rng[2])  # noqa: NPY002
        torch.set_grad_enabled(settings[0])
        torch.set_default_dtype(settings[1])
        for table, before in hooks:
            table.clear()
            table.update(before)


def _global_hooks() -> list[dict[int, Any]]:
    return [_module._global_forward_hooks, _module._global_forward_pre_hooks, _module._global_backward_hooks]


def _global_state() -> dict[str, Any]:
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002  (se vigila justo el estado global)
    return {
        "random": (torch.get_rng_state().numpy().tobytes(), random.getstate(), bytes(keys), position),  # type: ignore[arg-type]
        "settings": (torch.is_grad_enabled(), torch.get_default_dtype()),
        "hooks": [len(table) for table in _global_hooks()],
    }


def _skeleton(value: Any) -> Any:
    """Una lista o un diccionario con la identidad de lo que no es un dato simple: dice si se le quitó o puso algo."""
    if isinstance(value, list | tuple):
        return [_skeleton(v) for v in value]
    if isinstance(value, dict):
        return {k: _skeleton(v) for k, v in value.items()}
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, list) and before and isinstance(before[0], torch.Tensor):
        return len(before) == len(after) and all(
            a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
            for a, b in zip(before, after, strict=True)
        )
    return bool(before == after)
