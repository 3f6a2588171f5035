"""Otras reglas para derivar la ReLU, sin tocar el modelo; se usan desde `convlab.hooks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convlab.errors import unknown_name

RULES = ("backprop", "deconvnet", "guided")

_UNBOUNDED = float("inf")
_CEILINGS = {"relu": _UNBOUNDED, "relu6": 6.0}


def override_relu(rule: str) -> ReluOverride:
    """Mientras dura el contexto, las ReLU y ReLU6 se derivan con otra regla; hacia delante no cambia nada.

    Intercepta por igual módulos, funciones y variantes *in-place* sin tocar el modelo. No cambia otras
    activaciones ni las ReLU escritas de otro modo (`clamp(min=0)`) o compiladas con TorchScript.

    Parameters
    ----------
    rule
        Qué gradiente deja pasar: `"backprop"`, donde la activación era positiva; `"deconvnet"` (Zeiler y
        Fergus, 2014), donde el propio gradiente es positivo; `"guided"` (Springenberg et al., 2015), donde
        lo son los dos.

    Returns
    -------
    ReluOverride
        Un contexto; su atributo `calls` cuenta las ReLU interceptadas.

    Raises
    ------
    ConvlabError
        Si la regla no existe.

    Examples
    --------
    >>> x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    >>> with override_relu("guided"):
    ...     y = torch.relu(x) * torch.tensor([1.0, 1.0, -1.0])
    >>> torch.autograd.grad(y.sum(), x)[0]
    tensor([0., 1., 0.])
    """
    return ReluOverride(rule)


class ReluOverride(TorchFunctionMode):
    """Contexto que devuelve `override_relu`; `calls` cuenta las ReLU interceptadas desde que se creó."""

    def __init__(self, rule: str) -> None:
        if rule not in RULES:
            raise unknown_name("la regla", rule, RULES)
        super().__init__()
        self.rule = rule
        self.calls = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Sustituye la ReLU; cualquier otra función de torch sigue su camino."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        ceiling = _ceiling(name.rstrip("_"), args, kwargs)
        if ceiling is None:
            return func(*args, **kwargs)
        x: Tensor = args[0] if args else kwargs["input"]
        if not x.is_floating_point():
            return func(*args, **kwargs)
        self.calls += 1
        inplace = name.endswith("_") or bool(kwargs.get("inplace"))
        return _RuledReLU.apply(x, ceiling, self.rule, inplace)


def _ceiling(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float | None:
    """Valor en que la función satura por arriba, o `None` si no es una ReLU."""
    if name == "hardtanh":  # es lo que nn.ReLU6 ejecuta por dentro
        bounds = {"min_val": -1.0, "max_val": 1.0, **kwargs}
        bounds.update(zip(("min_val", "max_val"), args[1:3], strict=False))
        return float(bounds["max_val"]) if bounds["min_val"] == 0 else None
    return _CEILINGS.get(name)


class _RuledReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float, rule: str, inplace: bool) -> Tensor:
        top = None if ceiling == _UNBOUNDED else ceiling
        y = x.clamp_(0, top) if inplace else x.clamp(0, top)
        if inplace:
            ctx.mark_dirty(x)
        ctx.rule, ctx.ceiling = rule, ceiling
        if rule != "deconvnet":
            # Lo mismo que guarda PyTorch: casi siempre la salida, que la capa siguiente guarda de todos modos.
            ctx.save_for_backward(y if inplace or top is None else x)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        if ctx.rule == "deconvnet":
            return gradient.clamp(min=0), None, None, None
        (kept,) = ctx.saved_tensors
        if ctx.ceiling == _UNBOUNDED:
            gradient = torch.ops.aten.threshold_backward(gradient, kept, 0)
        else:
            gradient = torch.ops.aten.hardtanh_backward(gradient, kept, 0, ctx.ceiling)
        # El tensor es nuevo: recortarlo en su sitio ahorra otro del tamaño de la activación.
        return gradient.clamp_(min=0) if ctx.rule == "guided" else gradient, None, None, None
