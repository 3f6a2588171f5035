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

TRACES = {
    "input": "La entrada ha cambiado: trabaja sobre una copia (`x.clone()`) y evita operaciones como `x *= …` o "
    "`clamp_`.",
    "input_grad": "Ha quedado un `.grad` en la entrada: usa `torch.autograd.grad`, que devuelve el gradiente sin "
    "guardarlo.",
    "input_requires_grad": "La entrada ha quedado con otro `requires_grad`: trabaja sobre `x.detach().clone()`.",
    "hooks": "Han quedado ganchos puestos: guarda lo que devuelve `register_forward_hook` y llama a su `.remove()` "
    "en un `finally`.",
    "forward": "Un módulo ha quedado con su `forward` cambiado: devuélvelo a como estaba.",
    "modules": "El modelo ha quedado con módulos añadidos, quitados o cambiados.",
    "mode": "El modelo ha quedado en otro modo: si llamas a `train()` o `eval()`, devuelve cada módulo al suyo.",
    "requires_grad": "Algún parámetro ha quedado con otro `requires_grad`.",
    "grad": "Han quedado gradientes en los parámetros: usa `torch.autograd.grad` en vez de `.backward()`.",
    "values": "Los pesos o las estadísticas del modelo han cambiado.",
    "random": "Se ha movido el estado global del azar. Aquí no hace falta ningún número al azar.",
    "settings": "Ha cambiado un ajuste global de PyTorch: usa `with torch.no_grad():` o `with torch.enable_grad():`, "
    "que lo devuelven al salir.",
}

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Footprint:
    """El estado de los argumentos y lo global antes de la llamada, para decir después qué cambió."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
        self._models = [a for a in arguments if isinstance(a, nn.Module)]
        self._before = self._tensor_states(), self._model_states(), _global_state()

    def traces(self) -> list[str]:
        """Las claves de `TRACES` de todo lo que quedó distinto."""
        found = []
        tensors, models, everywhere = self._before
        now = self._tensor_states(), self._model_states(), _global_state()
        for before, after in zip([*tensors, *models, everywhere], [*now[0], *now[1], now[2]], strict=True):
            found += [key for key in before if not _same(before[key], after[key])]
        return [key for key in TRACES if key in found]

    def _tensor_states(self) -> list[dict[str, Any]]:
        return [
            {"input": [t.detach().clone()], "input_grad": t.grad is None, "input_requires_grad": t.requires_grad}
            for t in self._tensors
        ]

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


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, list) and before and isinstance(before[0], torch.Tensor):
        return len(before) == len(after) and all(
            a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
            for a, b in zip(before, after, strict=True)
        )
    return bool(before == after)


def plain(value: Any, depth: int = 0) -> Any:
    """Lo devuelto como matrices de NumPy, números, cadenas, listas y diccionarios; lo demás, `{"type": nombre}`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.device.type == "meta":
            return {"type": f"un tensor sin valores que leer ({value.layout}, {value.device})"}
        # Por la clase base: una subclase no puede fingir otros valores.
        tensor = torch.Tensor.detach(value.as_subclass(torch.Tensor)).cpu().resolve_conj().resolve_neg()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy().copy()
    if isinstance(value, np.ndarray | np.generic):
        array = np.array(value)
        return array if array.dtype.kind in "biufc" else {"type": f"matriz de {array.dtype}"}
    if isinstance(value, list | tuple) and depth < 6:
        return [plain(v, depth + 1) for v in value[:1000]]
    if isinstance(value, dict) and depth < 6:
        return {str(k): plain(v, depth + 1) for k, v in list(value.items())[:1000]}
    return {"type": type(value).__name__}
