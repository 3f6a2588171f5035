"""La vista lineal de una capa profunda: sus filtros compuestos con todos los que hay debajo, en píxeles de la imagen.

No se ejecuta el modelo ni se toca: se lee su grafo con `torch.fx` y se componen los pesos.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node, Tracer

from convlab.errors import ConvlabError
from convlab.filters.banks import check_integer
from convlab.hooks import get_layer

__all__ = ["composed_filters"]

Step = Callable[[Tensor], Tensor]

_IDENTITIES = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish,
)  # fmt: skip
_IDENTITY_CALLS = (torch.relu, F.relu, F.relu6, "relu", "relu_")
_UNITS_AT_ONCE = 16  # los mapas intermedios de una unidad de vgg16 ocupan decenas de MB


@torch.no_grad()
def composed_filters(model: nn.Module, layer: str, units: Sequence[int] | None = None) -> Tensor:
    """Filtro lineal equivalente, en la imagen, de las unidades de una capa: lo que verían si la red fuera lineal.

    **No es lo que la red calcula.** Las no linealidades se cambian por la identidad y cada *max-pooling* por la media
    de su ventana; BatchNorm se pliega con sus estadísticas de evaluación; los sesgos y el relleno de los bordes no
    cuentan. La red de verdad apaga con cada ReLU unas rutas u otras según la imagen, así que su filtro efectivo —el
    gradiente— cambia con ella; este es uno fijo, exacto solo para la red linealizada, y en capas profundas suele
    parecerse poco a lo que activa la unidad.

    Parameters
    ----------
    model
        Red que hasta esa capa sea una cadena: cada módulo recibe solo lo que da el anterior (`Mini`, vgg, alexnet).
    layer
        Nombre con puntos de una convolución, BatchNorm, activación o *pooling*, o de un `nn.Sequential` de ellas.
    units
        Índices de los canales de la capa; por omisión, todos. En las capas profundas de una red grande conviene
        pedir pocos: cada uno ocupa `3 × R × R`.

    Returns
    -------
    Tensor
        `(U, C, R, R)`: el lado es el campo receptivo de la capa y los canales, los de la imagen. La normalización que
        haga el modelo está incluida.

    Raises
    ------
    ConvlabError
        Si la capa o las unidades no existen, o si hasta ella la red tiene ramas (resnet) u operaciones que no son
        lineales ni de las que se sabe linealizar.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> red = Mini()
    >>> composed_filters(red, "block2.conv").shape
    torch.Size([48, 3, 12, 12])
    >>> torch.allclose(composed_filters(red, "block1.conv"), 4 * red.block1.conv.weight)  # (x − 0,5) / 0,25
    True
    """
    steps, weight = _steps_down(model, layer)
    outputs = len(weight)
    chosen = _indices(range(outputs) if units is None else units, outputs, layer)
    exact = torch.promote_types(weight.dtype, torch.float32)
    eye = torch.eye(outputs, device=weight.device, dtype=exact)[chosen, :, None, None]
    parts = []
    for part in eye.split(_UNITS_AT_ONCE):
        for step in steps:
            part = step(part)
        parts.append(part)
    return torch.cat(parts).to(weight.dtype)


def _steps_down(model: nn.Module, layer: str) -> tuple[list[Step], Tensor]:
    """Los pasos que llevan un filtro sobre la salida de la capa a uno sobre la imagen, y la última convolución."""
    name, steps, last = _leaf(model, layer), [], None
    node = _node(model, name)
    while node.op != "placeholder":
        sources = [value for value in node.all_input_nodes if value.op != "get_attr"]
        if len(sources) != 1:
            raise _unsupported(layer, f"«{node.name}» recibe {len(sources)} entradas y no una")
        step = _through(model, node, layer)
        if step is not None:
            steps.append(step)
        module = get_layer(model, str(node.target)) if node.op == "call_module" else None
        if last is None and isinstance(module, nn.Conv2d):
            last = module.weight
        node = sources[0]
    if last is None:
        raise ConvlabError(f"Antes de «{layer}» no hay ninguna convolución: no tiene filtros que componer.")
    return steps, last


def _leaf(model: nn.Module, name: str) -> str:
    """El módulo que da la salida de la capa: en un `nn.Sequential`, el último."""
    module = get_layer(model, name)
    while isinstance(module, nn.Sequential) and len(module):
        child, module = list(module.named_children())[-1]
        name = f"{name}.{child}"
    return name


def _node(model: nn.Module, name: str) -> Node:
    tracer = _Tracer()
    # Si la red se atraganta después de la capa da igual: vale el grafo construido hasta ahí.
    with suppress(Exception):
        tracer.trace(model)
    graph = getattr(tracer, "graph", None)
    for node in reversed(list(graph.nodes) if graph is not None else []):
        if node.op == "call_module" and node.target == name:
            return node
    raise ConvlabError(
        f"No se puede seguir el camino de la imagen a «{name}»: o la capa es un bloque con operaciones propias, "
        "o la red no la usa, o decide su camino con Python. Elige una convolución de una red en cadena, como mini."
    )


class _Tracer(Tracer):
    """Trata como una pieza cualquier variante de convolución o BatchNorm, que por dentro podría decidir según `x`."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, nn.Conv2d | nn.BatchNorm2d)
        return known or super().is_leaf_module(m, module_qualified_name)

    def create_arg(self, a: Any) -> Any:
        if not isinstance(a, Tensor):
            return super().create_arg(a)
        # `Tracer` guardaría en el modelo, como atributos nuevos, los tensores que se crean dentro de forward.
        node = self.create_node("get_attr", "constant", (), {})
        node.meta["value"] = a
        return node


def _through(model: nn.Module, node: Node, layer: str) -> Step | None:
    """Cómo atraviesa un filtro esta operación, hacia la imagen; `None` si no lo cambia."""
    if node.op == "call_module":
        module = get_layer(model, str(node.target))
        if type(module) in _IDENTITIES:
            return None
        if type(module) is nn.Conv2d:
            return _through_conv(module)
        if type(module) is nn.BatchNorm2d and module.running_var is not None:
            gain = (module.running_var + module.eps).rsqrt()
            return _scaled(gain if module.weight is None else gain * module.weight)
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            return _through_pool(module)
        raise _unsupported(layer, f"«{node.target}» es {type(module).__name__}")
    if node.target in _IDENTITY_CALLS:
        return None
    constant = _constant_gain(node)
    if constant is None:
        raise _unsupported(layer, f"la red usa «{node.name}»")
    return _scaled(constant)


def _through_conv(conv: nn.Conv2d) -> Step:
    # Componer correlaciones es la convolución transpuesta: el peso q del filtro de abajo cae en s·p + d·q.
    def step(filters: Tensor) -> Tensor:
        weight = conv.weight.to(filters.dtype)
        return F.conv_transpose2d(filters, weight, stride=conv.stride, dilation=conv.dilation, groups=conv.groups)

    return step


def _through_pool(pool: nn.MaxPool2d | nn.AvgPool2d) -> Step:
    size, stride, dilation = (_pair(v) for v in (pool.kernel_size, pool.stride, getattr(pool, "dilation", 1)))

    divisor = getattr(pool, "divisor_override", None) or size[0] * size[1]

    def step(filters: Tensor) -> Tensor:
        channels = filters.shape[1]
        mean = filters.new_full((channels, 1, *size), 1 / divisor)
        return F.conv_transpose2d(filters, mean, stride=stride, dilation=dilation, groups=channels)

    return step


def _scaled(gain: Tensor) -> Step:
    return lambda filters: filters * gain.to(filters.device, filters.dtype).view(1, -1, 1, 1)


def _constant_gain(node: Node) -> Tensor | None:
    """Por cuánto multiplica su entrada una operación aritmética con una constante; `None` si es otra cosa."""
    if len(node.args) != 2 or node.kwargs:
        return None
    variable_first = isinstance(node.args[0], Node) and node.args[0].op != "get_attr"
    constant = _constant(node.args[1] if variable_first else node.args[0])
    if constant is None:
        return None
    if node.target is operator.add:
        return torch.ones(1)
    if node.target is operator.sub:
        return torch.ones(1) if variable_first else -torch.ones(1)
    if node.target is operator.mul:
        return constant
    if node.target is operator.truediv and variable_first:
        return 1 / constant
    return None


def _constant(value: Any) -> Tensor | None:
    if isinstance(value, Node):
        value = value.meta.get("value")
    if isinstance(value, Tensor):
        per_channel = value.ndim <= 4 and value.numel() in (1, *value.shape[-3:-2])
        return value.flatten() if per_channel else None
    return torch.tensor(float(value)) if isinstance(value, int | float) else None


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _indices(units: Sequence[int], count: int, layer: str) -> list[int]:
    if not isinstance(units, Iterable):
        raise ConvlabError(f"Se esperaba una lista de unidades y llegó {units!r}. Escribe [{units!r}].")
    chosen = [check_integer("units", unit, 0) for unit in units]
    outside = [unit for unit in chosen if unit >= count]
    if outside or not chosen:
        got = f"la unidad {outside[0]}" if outside else "una lista vacía"
        raise ConvlabError(f"La capa «{layer}» tiene {count} unidades, de 0 a {count - 1}, y llegó {got}.")
    return chosen


def _unsupported(layer: str, why: str) -> ConvlabError:
    return ConvlabError(
        f"No se puede componer el filtro de «{layer}»: {why}. Hace falta una cadena de convoluciones, BatchNorm, "
        "activaciones y pooling, como en mini, vgg16 o alexnet; en otras redes mira el gradiente con saliency_map."
    )
