"""Recalcular solo lo que una ventana puede cambiar: pasadas exactas de muchas versiones de una imagen.

Tapar un cuadrado de una imagen solo cambia, en cada capa, las posiciones cuyo campo receptivo lo toca.
`forward_windows` ejecuta el propio modelo con un tensor que lleva la imagen intacta y, por cada ventana, el trozo que
difiere. Las convoluciones, los *pools*, BatchNorm, las activaciones, las sumas y las concatenaciones trabajan sobre los
trozos. Lo que no se sabe hacer así (una media global, una capa lineal, un bloque SE) recibe los mapas completos, y
desde ese punto se recalcula todo. El resultado es el mismo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

__all__ = ["Unsupported", "forward_windows"]

Positions = NDArray[np.int64]
aten = torch.ops.aten

# Lo que ocupa cada recorte, por ventana, durante una llamada.
_sizes: ContextVar[list[int]] = ContextVar("_sizes")

# Actúan en cada posición por separado, y PyTorch no las marca como tales.
_POINTWISE = {
    aten.native_batch_norm, aten._native_batch_norm_legit, aten._native_batch_norm_legit_no_training,
    aten._batch_norm_with_update, aten._batch_norm_no_update, aten.cudnn_batch_norm, aten.miopen_batch_norm,
    aten._prelu_kernel, aten.hardswish_, aten.clone, aten._to_copy,
}  # fmt: skip


class Unsupported(Exception):  # noqa: N818
    """El modelo hace algo que no se puede seguir por trozos sin riesgo de equivocarse."""


class Axis(NamedTuple):
    """Una ventana deslizante a lo largo de un eje."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    def reach(self, start: Positions, size: int, outputs: int) -> tuple[Positions, int]:
        """Salidas que ven los `size` valores que empiezan en `start`: dónde empiezan y cuántas son, como mucho."""
        span = (self.kernel - 1) * self.dilation
        first = np.clip(-((span - self.padding - start) // self.stride), 0, outputs - 1)
        last = np.clip((start + size - 1 + self.padding) // self.stride, 0, outputs - 1)
        count = max(1, int((last - first).max()) + 1)
        return np.minimum(first, outputs - count), count

    def inputs(self, first: Positions, count: int) -> tuple[Positions, int]:
        """Entradas que necesitan esas salidas; pueden salirse del mapa, en el relleno."""
        return first * self.stride - self.padding, (count - 1) * self.stride + (self.kernel - 1) * self.dilation + 1


class _Regions(Tensor):
    """Un lote `(P, C, H, W)` en el que cada elemento es el mapa `base` con un trozo cambiado.

    `base` es `(1, C, H, W)`; `patch`, `(P, C, h, w)`; `rows` y `columns`, dónde va la esquina de cada trozo.
    """

    base: Tensor
    patch: Tensor
    rows: Positions
    columns: Positions

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, base: Tensor, patch: Tensor, rows: Positions, columns: Positions) -> _Regions:
        size = (len(rows), *base.shape[1:])
        regions = Tensor._make_wrapper_subclass(cls, size, dtype=base.dtype, device=base.device)
        regions.base, regions.patch, regions.rows, regions.columns = base, patch, rows, columns
        return regions

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        kwargs = kwargs or {}
        handler = _HANDLERS.get(func.overloadpacket, _pointwise if torch.Tag.pointwise in func.tags else None)
        result = handler(func, args, kwargs) if handler else NotImplemented
        if result is not NotImplemented:
            return result
        # Lo demás recibe los mapas completos, y lo que devuelve ya es un tensor corriente.
        maps = func(*pytree.tree_map(dense, args), **pytree.tree_map(dense, kwargs))
        written = [
            kwargs.get(spec.name, args[k] if k < len(args) else None)
            for k, spec in enumerate(func._schema.arguments)
            if spec.alias_info is not None and spec.alias_info.is_write
        ]
        changed = [value for value in written if isinstance(value, _Regions)]
        if not changed:
            return maps
        if len(changed) > 1 or not isinstance(maps, Tensor) or maps.shape != changed[0].shape:
            raise Unsupported(f"{func}")
        (regions,) = changed  # cambiadas *in-place*: el trozo pasa a ser el mapa entero
        zeros = np.zeros_like(regions.rows)
        regions.patch, regions.rows, regions.columns = maps, zeros, zeros
        return regions


def forward_windows(
    model: nn.Module,
    x: Tensor,
    fill: Tensor,
    rows: Sequence[int],
    columns: Sequence[int],
    patch: tuple[int, int],
) -> tuple[Any, int]:
    """Salida del modelo para una imagen con cada una de sus ventanas sustituida, recalculando solo lo que cambia.

    El modelo debe estar en modo `eval` y la llamada, sin gradientes (así lo hace `convlab.occlusion`).

    Parameters
    ----------
    model
        Cualquier red.
    x, fill
        La imagen y lo que la sustituye, `(1, C, H, W)`.
    rows, columns
        Esquina superior izquierda de cada una de las P ventanas.
    patch
        Alto y ancho de las ventanas.

    Returns
    -------
    tuple
        Lo que devuelva el modelo, con un lote de P elementos, y cuántos números tuvo por ventana el mayor de los
        recortes, que dice cuántas ventanas caben en la memoria.

    Raises
    ------
    Unsupported
        Si el modelo hace algo que no se puede seguir por trozos: recalcula entero.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> with torch.no_grad():
    ...     x = torch.rand(1, 3, 64, 64)
    ...     logits, size = forward_windows(Mini().eval(), x, torch.zeros_like(x), [0, 8], [8, 0], (8, 8))
    >>> logits.shape, size  # lo más grande, block5 entero: 128 canales de 8×8
    (torch.Size([2, 10]), 8192)
    """
    top, left = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
    sizes: list[int] = []
    token = _sizes.set(sizes)
    try:
        regions = _join(x.clone(), _crop(fill, top, left, *patch), top, left)
        return pytree.tree_map(dense, model(regions)), max(sizes)
    finally:
        _sizes.reset(token)


def dense(value: Any) -> Any:
    """Los mapas completos; lo que no sean regiones pasa igual."""
    if not isinstance(value, _Regions):
        return value
    zeros = np.zeros_like(value.rows)
    return _spread(value, zeros, zeros, *value.base.shape[2:])


def _crop(
    base: Tensor,
    rows: Positions,
    columns: Positions,
    height: int,
    width: int,
    pad: Sequence[int] = (0, 0, 0, 0),
    value: float = 0.0,
) -> Tensor:
    """Recortes `(P, C, height, width)` de un mapa `(1, C, H, W)` con `pad` alrededor (como en `F.pad`)."""
    if any(pad):
        base = F.pad(base, tuple(pad), value=value)
    # Con los canales contiguos, cada píxel se copia de una vez.
    _, channels, _, w = base.shape
    pixels = base[0].permute(1, 2, 0).reshape(-1, channels)
    y = (rows + pad[2])[:, None] + np.arange(height)
    x = (columns + pad[0])[:, None] + np.arange(width)
    _sizes.get().append(channels * height * width)
    index = torch.from_numpy((y[:, :, None] * w + x[:, None, :]).ravel()).to(base.device)
    return pixels.index_select(0, index).view(len(rows), height, width, channels).permute(0, 3, 1, 2)


def _join(base: Tensor, patch: Tensor, rows: Positions, columns: Positions) -> Tensor:
    """Regiones nuevas; si los trozos cubren el mapa entero, son ya un tensor corriente."""
    return patch if patch.shape[2:] == base.shape[2:] else _Regions(base, patch, rows, columns)


def _spread(
    r: _Regions,
    rows: Positions,
    columns: Positions,
    height: int,
    width: int,
    pad: Sequence[int] = (0, 0, 0, 0),
    value: float = 0.0,
) -> Tensor:
    """Los mapas completos de `r`, recortados en otra ventana: la base, con el trozo cambiado encima."""
    out = _crop(r.base, rows, columns, height, width, pad, value)
    h, w = r.patch.shape[2:]
    dy, dx = r.rows - rows, r.columns - columns
    # Casi todas las ventanas comparten desplazamiento; las del borde forman unos pocos grupos más.
    for oy, ox in sorted(set(zip(dy.tolist(), dx.tolist(), strict=True))):
        y0, y1, x0, x1 = max(oy, 0), min(oy + h, height), max(ox, 0), min(ox + w, width)
        if y0 >= y1 or x0 >= x1:
            continue
        chosen: Any = np.flatnonzero((dy == oy) & (dx == ox))
        chosen = slice(None) if len(chosen) == len(dy) else torch.from_numpy(chosen).to(out.device)
        out[chosen, :, y0:y1, x0:x1] = r.patch[chosen, :, y0 - oy : y1 - oy, x0 - ox : x1 - ox]
    return out


def _slide(
    r: _Regions, axes: tuple[Axis, Axis], base: Tensor, operation: Callable[[Tensor], Tensor], border: float
) -> Tensor:
    """Una operación de ventana deslizante: `base` es su resultado en la imagen intacta."""
    (top, height), (left, width) = (
        axis.reach(start, size, outputs)
        for axis, start, size, outputs in zip(axes, (r.rows, r.columns), r.patch.shape[2:], base.shape[2:], strict=True)
    )
    (y, h), (x, w) = axes[0].inputs(top, height), axes[1].inputs(left, width)
    # El relleno por el lado lejano es el que pidan las últimas salidas: con `ceil_mode`, más que el declarado.
    far = [
        max(0, int(axis.inputs(np.array(outputs - 1), 1)[0]) + (axis.kernel - 1) * axis.dilation + 1 - size)
        for axis, outputs, size in zip(axes, base.shape[2:], r.base.shape[2:], strict=True)
    ]
    window = _spread(r, y, x, h, w, (axes[1].padding, far[1], axes[0].padding, far[0]), border)
    return _join(base, operation(window), top, left)


def _convolution(func: Any, args: Sequence[Any], _kwargs: Any) -> Any:
    r, weight, bias, stride, padding, dilation, transposed, extra, groups = args
    if transposed or not isinstance(r, _Regions) or isinstance(weight, _Regions):
        return NotImplemented
    axes = _axes(weight.shape[2:], stride, padding, dilation)
    rest = (stride, [0, 0], dilation, False, extra, groups)
    return _slide(r, axes, func(r.base, *args[1:]), lambda window: func(window, weight, bias, *rest), 0.0)


def _max_pool(func: Any, args: Sequence[Any], _kwargs: Any) -> Any:
    defaults: list[Any] = [None, None, [], [0, 0], [1, 1], False]
    r, kernel, stride, padding, dilation, _ = [*args, *defaults[len(args) :]]
    base = func(*[r.base, *args[1:]])
    axes = _axes(kernel, stride or kernel, padding, dilation)

    def pool(window: Tensor) -> Tensor:
        return F.max_pool2d(window, kernel, stride or kernel, 0, dilation)

    # Los índices son los de la imagen intacta: sin gradientes no se usan, y su lote de uno delata a quien los use.
    return _slide(r, axes, base[0], pool, -torch.inf), base[1]


def _average_pool(func: Any, args: Sequence[Any], _kwargs: Any) -> Any:
    defaults: list[Any] = [None, None, [], [0, 0], False, True, None]
    r, kernel, stride, padding, ceil, include, divisor = [*args, *defaults[len(args) :]]
    if ceil or (any(padding) and not include):
        return NotImplemented  # en el borde se divide entre otro número
    axes = _axes(kernel, stride or kernel, padding, [1, 1])
    return _slide(
        r, axes, func(r.base, *args[1:]), lambda window: func(window, kernel, stride, [0, 0], False, True, divisor), 0.0
    )


def _pointwise(func: Any, args: Any, kwargs: Any) -> Any:
    """Una operación de una o varias regiones, posición a posición; lo demás debe valer lo mismo en todas."""
    parts = [a for a in args if isinstance(a, _Regions)]
    others = [a for a in args if isinstance(a, Tensor) and not isinstance(a, _Regions)]
    batch_norm = func.overloadpacket in _POINTWISE  # sus otros tensores tienen un valor por canal
    if any(part.base.shape != parts[0].base.shape for part in parts):
        return NotImplemented
    if not batch_norm and not all(_same_everywhere(other) for other in others):
        return NotImplemented
    mutable = func._schema.is_mutable and not batch_norm
    if mutable and (args[0] is not parts[0] or "out" in kwargs):
        return NotImplemented
    (rows, columns), patches = (
        _common(parts) if len(parts) > 1 else ((parts[0].rows, parts[0].columns), [parts[0].patch])
    )
    spread = iter(patches)
    base = func(*(a.base if isinstance(a, _Regions) else a for a in args), **kwargs)
    patch = func(*(next(spread) if isinstance(a, _Regions) else a for a in args), **kwargs)
    if mutable:
        parts[0].base, parts[0].patch, parts[0].rows, parts[0].columns = base, patch, rows, columns
        return parts[0]
    if isinstance(base, tuple):  # BatchNorm devuelve además estadísticas que en modo eval nadie mira
        return (_join(base[0], patch[0], rows, columns), *base[1:])
    return _join(base, patch, rows, columns)


def _concatenate(_func: Any, args: Any, _kwargs: Any) -> Any:
    parts, dim = args[0], (args[1] if len(args) > 1 else 0)
    if dim % 4 != 1 or not all(isinstance(part, _Regions) for part in parts):
        return NotImplemented
    (rows, columns), patches = _common(parts)
    return _join(torch.cat([part.base for part in parts], 1), torch.cat(patches, 1), rows, columns)


def _constant_pad(func: Any, args: Any, kwargs: Any) -> Any:
    r, pad = args[:2]
    if len(pad) != 4 or min(pad) < 0:
        return NotImplemented
    return _Regions(func(r.base, *args[1:], **kwargs), r.patch, r.rows + pad[2], r.columns + pad[0])


def _view(_func: Any, args: Any, _kwargs: Any) -> Any:
    return dense(args[0]).reshape(args[1])  # los mapas completos llevan los canales contiguos: `view` podría fallar


def _itself(_func: Any, args: Any, _kwargs: Any) -> Any:
    return args[0]


def _common(parts: Sequence[_Regions]) -> tuple[tuple[Positions, Positions], list[Tensor]]:
    """La ventana que contiene los trozos de todas las partes, y esas partes extendidas a ella."""
    corner, sizes = [], []
    for axis, name in ((2, "rows"), (3, "columns")):
        starts = [getattr(part, name) for part in parts]
        first = np.minimum.reduce(starts)
        last = np.maximum.reduce([s + p.patch.shape[axis] for s, p in zip(starts, parts, strict=True)])
        size = int((last - first).max())
        corner.append(np.minimum(first, parts[0].base.shape[axis] - size))
        sizes.append(size)
    return (corner[0], corner[1]), [_spread(part, *corner, *sizes) for part in parts]


def _same_everywhere(value: Tensor) -> bool:
    """Si un operando vale lo mismo en todas las posiciones y en todas las ventanas."""
    if value.ndim == 0:
        return True
    return value.ndim >= 3 and value.shape[-2:] == (1, 1) and (value.ndim == 3 or value.shape[0] == 1)


def _axes(kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Axis, Axis]:
    pairs = [list(v) * 2 if len(v) == 1 else list(v) for v in (kernel, stride, padding, dilation)]
    vertical, horizontal = (Axis(*(pair[k] for pair in pairs)) for k in (0, 1))
    return vertical, horizontal


_HANDLERS: dict[Any, Callable[[Any, Any, Any], Any]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pool,
    aten.avg_pool2d: _average_pool,
    aten.cat: _concatenate,
    aten.constant_pad_nd: _constant_pad,
    aten.view: _view,
    aten.detach: _itself,
    **dict.fromkeys(_POINTWISE, _pointwise),
}
