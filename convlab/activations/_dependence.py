"""De qué filas y columnas de la imagen depende cada unidad de una red: la contabilidad de `receptive`.

Se ejecuta la red una vez y se observa cada operación de tensores, también las funcionales que no son módulos. A cada
tensor se le asocia un `Axis` vertical y otro horizontal, que dicen qué intervalo de píxeles ve cada posición. Ante una
operación que no se sabe seguir se lanza un error: nunca se adivina.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from convlab.activations._axes import Axes, Axis, Grid, unfollowable, union

__all__: list[str] = []


class Dependence(TorchDispatchMode):
    """Mientras está activo, sigue lo que depende de `image`, `(1, C, H, W)`.

    Examples
    --------
    >>> image = torch.rand(1, 3, 9, 8)
    >>> with Dependence(image) as dependence:
    ...     y = nn.functional.avg_pool2d(image, 3, 2)
    >>> dependence.axes(y)[0].last
    array([2, 4, 6, 8])
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.extents = tuple(image.shape[-2:])
        self.found = WeakTensorKeyDictionary()
        rows, columns = (np.arange(n) for n in self.extents)
        self.found[image] = Axis(rows, rows, Grid(0, 1, 1), -2), Axis(columns, columns, Grid(0, 1, 1), -1)
        self.linear = _Linear(self)

    def __enter__(self) -> Dependence:
        self.linear.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.linear.__exit__(*error)

    def axes(self, tensor: Tensor) -> Axes | None:
        """Los ejes de un tensor, o `None` si no depende de la imagen."""
        return self.found.get(tensor)

    def joint(self, tensors: Iterable[Axes]) -> Axes:
        """Los ejes de un resultado que depende de varios tensores."""
        return reduce(
            lambda a, b: (union(a[0], b[0], self.extents[0]), union(a[1], b[1], self.extents[1])),
            tensors,
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        flat = [t for arg in (*args, *kwargs.values()) for t in (arg if isinstance(arg, (list, tuple)) else [arg])]
        sources = [axes for t in flat if isinstance(t, Tensor) and (axes := self.axes(t)) is not None]
        shapes = [a.shape if isinstance(a, Tensor) else None for a in args]  # antes: la operación puede ser in-place
        output = func(*args, **kwargs)
        if sources and not self.linear.inside:
            name = func.overloadpacket.__name__
            if torch.Tag.pointwise in func.tags or name in SAME:
                result = self.joint(sources)
            elif name in RULES:
                result = RULES[name](Call(self, _arguments(func, args, kwargs), shapes, output))
            else:
                raise unfollowable(f"la operación «{name}»")
            for tensor in output if isinstance(output, (list, tuple)) else [output]:
                if isinstance(tensor, Tensor):
                    self.found[tensor] = result
        return output


class _Linear(TorchFunctionMode):
    """`F.linear` se deshace en operaciones que juntan el lote y las posiciones: se atiende entera."""

    def __init__(self, owner: Dependence) -> None:
        super().__init__()
        self.owner = owner
        self.inside = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        axes = self.owner.axes(args[0]) if func is F.linear and isinstance(args[0], Tensor) else None
        if axes is None:
            return func(*args, **kwargs)
        self.inside = True
        try:
            output = func(*args, **kwargs)
        finally:
            self.inside = False
        self.owner.found[output] = _mixed(axes, {-1})
        return output


class Call(NamedTuple):
    """Una operación ya ejecutada: sus argumentos por nombre, las formas que tenían y su resultado."""

    owner: Dependence
    arguments: dict[str, Any]
    shapes: list[torch.Size | None]
    output: Any

    @property
    def axes(self) -> Axes:
        """Los ejes del primer argumento."""
        axes = self.owner.axes(next(iter(self.arguments.values())))
        if axes is None:
            raise unfollowable("una operación entre un tensor fijo y la imagen")
        return axes

    @property
    def shape(self) -> torch.Size:
        """La forma del primer argumento."""
        assert self.shapes[0] is not None
        return self.shapes[0]


def _arguments(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    schema = func._schema.arguments
    values = {a.name: a.default_value for a in schema if a.has_default_value()}
    given = {a.name: value for a, value in zip(schema, args, strict=False)}
    return {a.name: {**values, **given, **kwargs}.get(a.name) for a in schema}


def _from_end(dim: int, ndim: int) -> int:
    return dim if dim < 0 else dim - ndim


def _both(change: Callable[[Axis], Axis], axes: Axes) -> Axes:
    return change(axes[0]), change(axes[1])


def _pair(value: Any, default: Any = None) -> tuple[int, int]:
    values = list(value) if value else list(default)
    return values[0], values[-1]


def _mixed(axes: Axes, dims: set[int]) -> Axes:
    return _both(lambda a: a.collapsed() if a.dim in dims else a, axes)


def _spatial(call: Call) -> Axes:
    if len(call.shape) != 4 or any(a.dim not in (None, d) for a, d in zip(call.axes, (-2, -1), strict=True)):
        raise unfollowable("una convolución o un pooling sobre algo que no es un mapa (N, C, h, w)")
    return call.axes


def _sized(axis: Axis, dim: int, shape: torch.Size) -> Axis:
    """El eje con un elemento por posición, aunque todas vean lo mismo."""
    n = shape[dim]
    return replace(axis, first=np.broadcast_to(axis.first, n), last=np.broadcast_to(axis.last, n), dim=dim)


def _windowed(call: Call, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Axes:
    output = call.output[0] if isinstance(call.output, tuple) else call.output
    specs = zip(_spatial(call), (-2, -1), _pair(kernel), _pair(stride), _pair(padding), _pair(dilation), strict=True)
    rows, columns = (
        _sized(axis, dim, call.shape).windows(output.shape[dim], k, s, p, d) for axis, dim, k, s, p, d in specs
    )
    return rows, columns


def _convolution(call: Call) -> Axes:
    a = call.arguments
    if a["transposed"]:
        raise unfollowable("una convolución transpuesta")
    if call.owner.axes(a["weight"]) is not None:
        raise unfollowable("una convolución cuyos pesos dependen de la imagen")
    return _windowed(call, a["weight"].shape[2:], a["stride"], a["padding"], a["dilation"])


def _pool(call: Call) -> Axes:
    a = call.arguments
    return _windowed(call, a["kernel_size"], a["stride"] or a["kernel_size"], a["padding"], a.get("dilation") or (1, 1))


def _adaptive(call: Call) -> Axes:
    output = call.output[0] if isinstance(call.output, tuple) else call.output

    def pooled(axis: Axis, dim: int) -> Axis:
        n, m = call.shape[dim], output.shape[dim]
        if m == 1:
            return axis.collapsed()
        # Si no divide, las ventanas son desiguales: ya no hay regla, salvo que después se junte todo.
        return _sized(axis, dim, call.shape).windows(m, n // m, n // m, 0) if n % m == 0 else axis.merged(dim)

    rows, columns = (pooled(axis, dim) for axis, dim in zip(_spatial(call), (-2, -1), strict=True))
    return rows, columns


def _reduce(call: Call) -> Axes:
    ndim, dims = len(call.shape), call.arguments.get("dim")
    dims = list(range(ndim)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    gone = {_from_end(d, ndim) for d in dims}
    axes = _mixed(call.axes, gone)
    return axes if call.arguments.get("keepdim") else _moved(axes, lambda d: d + sum(g > d for g in gone))


def _moved(axes: Axes, where: Callable[[int], int]) -> Axes:
    return _both(lambda a: a if a.dim is None else replace(a, dim=where(a.dim)), axes)


def _view(call: Call) -> Axes:
    before, after = call.shape, call.output.shape

    def seen(axis: Axis) -> Axis:
        if axis.dim is None:
            return axis
        size, inner = before[axis.dim], prod(before[len(before) + axis.dim + 1 :])
        for dim in range(-len(after), 0):
            trailing = prod(after[len(after) + dim + 1 :])
            if trailing == inner and after[dim] == size:
                return replace(axis, dim=dim)
            if trailing <= inner and trailing * after[dim] >= inner * size:
                return axis.merged(dim)
        raise unfollowable("un cambio de forma que parte el mapa")

    return _both(seen, call.axes)


def _permute(call: Call) -> Axes:
    ndim = len(call.shape)
    if "dims" in call.arguments:
        order = [d % ndim for d in call.arguments["dims"]]
    else:
        order = list(range(ndim))
        a, b = (call.arguments.get(key, k) % ndim for k, key in enumerate(("dim0", "dim1")))
        order[a], order[b] = order[b], order[a]
    return _moved(call.axes, lambda d: order.index(d + ndim) - ndim)


def _inserted(axes: Axes, call: Call) -> Axes:
    dim = _from_end(call.arguments["dim"], call.output.ndim)
    return _moved(axes, lambda d: d if d > dim else d - 1)


def _unsqueeze(call: Call) -> Axes:
    return _inserted(call.axes, call)


def _cut(call: Call) -> Axes:
    """`slice` y `select`."""
    a = call.arguments
    dim = _from_end(a["dim"], len(call.shape))
    start = a["index"] if "index" in a else a["start"] or 0
    start = max(start + call.shape[dim], 0) if start < 0 else start
    select = "index" in a

    def kept(axis: Axis) -> Axis:
        if axis.dim == dim:
            if len(axis.first) == 1 < call.shape[dim]:
                raise unfollowable("un recorte de un mapa ya aplanado")
            axis = axis.windows(1 if select else call.output.shape[dim], 1, 1 if select else a["step"], -start)
            return axis.collapsed() if select else axis
        return axis if axis.dim is None or not select or axis.dim > dim else replace(axis, dim=axis.dim + 1)

    return _both(kept, call.axes)


def _split(call: Call) -> Axes:
    dim = _from_end(call.arguments["dim"], len(call.shape))
    if any(axis.dim == dim for axis in call.axes):
        raise unfollowable("una división del mapa en trozos")
    return call.axes


def _joined(call: Call) -> Axes:
    return call.owner.joint(axes for t in call.arguments["tensors"] if (axes := call.owner.axes(t)) is not None)


def _stack(call: Call) -> Axes:
    return _inserted(_joined(call), call)


def _cat(call: Call) -> Axes:
    axes, dim = _joined(call), _from_end(call.arguments["dim"], call.output.ndim)
    if any(axis.dim == dim for axis in axes):
        raise unfollowable("una concatenación de mapas a lo alto o a lo ancho")
    return axes


def _pad(call: Call) -> Axes:
    pad = call.arguments["pad"]

    def padded(axis: Axis) -> Axis:
        if axis.dim is None or -2 * axis.dim > len(pad):
            return axis
        axis = _sized(axis, axis.dim, call.shape)
        assert axis.dim is not None
        return axis.windows(call.output.shape[axis.dim], 1, 1, pad[-2 * axis.dim - 2])

    return _both(padded, call.axes)


def _matmul(call: Call) -> Axes:
    left, right = [a for a in call.arguments.values() if isinstance(a, Tensor)][-2:]
    found = [(call.owner.axes(left), -1), (call.owner.axes(right), -2)]
    return call.owner.joint(_mixed(axes, {dim}) for axes, dim in found if axes is not None)


def _layer_norm(call: Call) -> Axes:
    return _mixed(call.axes, set(range(-len(call.arguments["normalized_shape"]), 0)))


def _restride(call: Call) -> Axes:
    if call.output.shape != call.shape:
        raise unfollowable("la operación «as_strided_»")
    return call.axes  # solo cambia el orden en memoria, como hace el promedio global en channels_last


def _softmax(call: Call) -> Axes:
    return _mixed(call.axes, {_from_end(call.arguments["dim"], len(call.shape))})


def _everything(call: Call) -> Axes:
    return _both(Axis.collapsed, call.axes)


# Lo que PyTorch no marca como operación elemento a elemento y lo es, en modo eval.
SAME = {
    *("alias", "detach", "clone", "_to_copy", "lift_fresh", "expand", "hardswish_", "_prelu_kernel"),
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update", "cudnn_batch_norm"),
    *("miopen_batch_norm", "native_dropout"),
}
RULES: dict[str, Callable[[Call], Axes]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": _pool,
    "_adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "linalg_vector_norm"), _reduce),
    **dict.fromkeys(("view", "_unsafe_view"), _view),
    **dict.fromkeys(("permute", "transpose", "t"), _permute),
    "unsqueeze": _unsqueeze,
    **dict.fromkeys(("slice", "select"), _cut),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "cat": _cat,
    "stack": _stack,
    "constant_pad_nd": _pad,
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), _matmul),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _everything,
    "_softmax": _softmax,
    "as_strided_": _restride,
}
