"""Todas las explicaciones con la misma cara: `explain` calcula una y `compare` las dibuja juntas.

Cada técnica sigue estando en su módulo, con todas sus opciones; aquí se llega a ella por su nombre.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from convlab._passes import observe
from convlab.deconvnet import input_signal
from convlab.errors import ConvlabError, unknown_name
from convlab.gradcam import grad_cam, grad_cam_plus_plus, guided_grad_cam
from convlab.hooks import check_images, last_conv_layer
from convlab.occlusion import occlusion_map, rise
from convlab.occlusion._responses import Fill
from convlab.saliency import gradient_times_input, guided_backprop, integrated_gradients, saliency_map, smoothgrad
from convlab.targets import BatchSize, Output, ScoreFn, per_image, target_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explanation", "Method", "compare", "explain", "list_methods", "method_info"]


@dataclass(frozen=True)
class Method:
    """Una técnica del registro.

    Attributes
    ----------
    name
        Nombre con el que se pide.
    title
        Cómo se llama en español.
    function
        La función de su lección; tras `(model, x, target)`, y `layer` si `layered`, admite sus propias opciones.
    layered
        Si mira una capa.
    signed
        Si el mapa lleva signo: lo negativo resta.
    offset
        Si el mapa no parte de cero, sino de una respuesta media: al pintarlo se le resta su mínimo.
    """

    name: str
    title: str
    function: Callable[..., Tensor]
    layered: bool = False
    signed: bool = False
    offset: bool = False

    def options(self) -> list[str]:
        """Opciones que admite, además de la capa."""
        skipped = {"model", "x", "target", "layer", "rule"}
        return [name for name in inspect.signature(self.function).parameters if name not in skipped]


@dataclass(frozen=True)
class Explanation:
    """Lo que devuelve `explain`.

    Attributes
    ----------
    map
        Mapas `(N, H, W)`, sin normalizar.
    method, layer
        La técnica y su capa; `None` si no mira ninguna.
    target
        Clase explicada en cada imagen, `(N,)`.
    model
        Nombre de la clase de la red.
    seconds
        Lo que tardó el mapa.
    """

    map: Tensor
    method: str
    layer: str | None
    target: Tensor
    model: str
    seconds: float


def _strength(rgb: Callable[..., Tensor], **fixed: Any) -> Callable[..., Tensor]:
    """De una señal `(N, 3, H, W)` a un mapa: en cada píxel, el mayor valor absoluto de sus canales."""

    @functools.wraps(rgb)
    def strength(*args: Any, **options: Any) -> Tensor:
        return rgb(*args, **fixed, **options).abs().amax(1)

    return strength


_SQUARES = 7  # cuadrados que caben en el lado menor si no se dice otra cosa; se solapan a medias


def _occlusion(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    patch: int | None = None,
    stride: int | None = None,
    value: Fill = "mean",
    *,
    output: Output = "logit",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
) -> Tensor:
    patch = max(1, min(x.shape[2:]) // _SQUARES) if patch is None else patch
    stride = max(1, patch // 2) if stride is None else stride
    return occlusion_map(model, x, target, patch, stride, value, output=output, select=select, batch_size=batch_size)


_METHODS = {
    method.name: method
    for method in (
        Method("grad-cam", "Grad-CAM", grad_cam, layered=True),
        Method("grad-cam++", "Grad-CAM++", grad_cam_plus_plus, layered=True),
        Method("guided-grad-cam", "Grad-CAM guiado", _strength(guided_grad_cam), layered=True),
        Method("saliency", "Saliencia", saliency_map),
        Method("gradient-x-input", "Gradiente × imagen", gradient_times_input, signed=True),
        Method("smoothgrad", "SmoothGrad", smoothgrad),
        Method("integrated-gradients", "Gradientes integrados", integrated_gradients, signed=True),
        Method("guided-backprop", "Retropropagación guiada", _strength(guided_backprop)),
        Method("deconvnet", "DeconvNet", _strength(input_signal, rule="deconvnet")),
        Method("occlusion", "Oclusión", _occlusion, signed=True),
        Method("rise", "RISE", rise, offset=True),
    )
}


def list_methods() -> list[str]:
    """Nombres de las técnicas que `explain` conoce.

    Examples
    --------
    >>> list_methods()[:4]
    ['grad-cam', 'grad-cam++', 'guided-grad-cam', 'saliency']
    """
    return list(_METHODS)


def method_info(name: str) -> Method:
    """La ficha de una técnica.

    Raises
    ------
    ConvlabError
        Si no existe; propone los nombres más parecidos.

    Examples
    --------
    >>> method_info("occlusion").title, method_info("occlusion").options()[:3]
    ('Oclusión', ['patch', 'stride', 'value'])
    """
    if name not in _METHODS:
        raise unknown_name("la técnica", name, _METHODS)
    return _METHODS[name]


def explain(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor | None = None,
    method: str = "grad-cam",
    *,
    layer: str | None = None,
    **options: Any,
) -> Explanation:
    """Explica la respuesta de una red con cualquiera de las técnicas del curso.

    Parameters
    ----------
    model
        Red que devuelve logits `(N, K)`; se evalúa en modo `eval` y queda como estaba.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    target
        Índice de clase, o un tensor entero `(N,)` con uno por imagen; si falta, la clase que la red responde.
    method
        Un nombre de `list_methods()`.
    layer
        Para las técnicas que miran una capa, su nombre con puntos; si falta, `convlab.hooks.last_conv_layer`.
    **options
        Las opciones de la técnica (`method_info(method).options()`). Si falta `patch`, los cuadrados de la oclusión
        miden un séptimo del lado menor y avanzan la mitad de su lado, con la media de la imagen.

    Returns
    -------
    Explanation
        El mapa y con qué se hizo.

    Raises
    ------
    ConvlabError
        Si la técnica, la capa o una opción no existen, y los de cada técnica.

    Examples
    --------
    >>> from convlab.models import load_model
    >>> from convlab.data.formas import formas
    >>> found = explain(load_model("mini"), formas(2).tensor(), method="smoothgrad", n=4)
    >>> found.map.shape, found.target
    (torch.Size([2, 64, 64]), tensor([0, 1]))
    """
    chosen = method_info(method)
    for name in options:
        if name not in chosen.options():
            raise unknown_name(f"la opción de «{method}»", name, chosen.options())
    if layer is not None and not chosen.layered:
        raise ConvlabError(f"«{method}» no mira ninguna capa. Quita layer={layer!r}, o usa grad-cam.")
    check_images(x)
    classes = _predicted(model, x, options.get("select")) if target is None else per_image(target, len(x)).to(x.device)
    if chosen.layered:
        layer = layer or last_conv_layer(model, x)
        options = {"layer": layer, **options}
    start = time.perf_counter()
    heat = chosen.function(model, x, classes, **options)
    if heat.is_cuda:
        torch.cuda.synchronize(heat.device)
    return Explanation(heat, method, layer, classes, type(model).__name__, time.perf_counter() - start)


def compare(
    model: nn.Module, x: Tensor, methods: Sequence[str] | None = None, *, target: int | Tensor | None = None
) -> Figure:
    """Dibuja cada imagen junto a sus explicaciones por varias técnicas; hasta cuatro, en una sola fila.

    Las que tienen signo llevan rojo donde suman y azul donde restan. Cada mapa tiene su propia escala, en la que satura
    el 1 % más intenso, así que entre mapas se comparan los lugares, no los valores.

    Parameters
    ----------
    model, x, target
        Los de `explain`.
    methods
        Nombres de `list_methods()`; si falta, todas.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Los de `explain`.

    Examples
    --------
    >>> from convlab.models import load_model
    >>> from convlab.data.formas import formas
    >>> len(compare(load_model("mini"), formas(2).tensor(), ["saliency", "grad-cam"]).axes)
    6
    """
    from convlab.plots.explanation import comparison_grid

    names = list_methods() if methods is None else methods
    for name in names:
        method_info(name)  # una errata se dice antes de calcular nada
    check_images(x)
    classes = _predicted(model, x, None) if target is None else per_image(target, len(x))
    found = [explain(model, x, classes, name) for name in names]
    chosen = [method_info(name) for name in names]
    return comparison_grid(x, [e.map for e in found], [m.title for m in chosen], [m.signed for m in chosen])


def _predicted(model: nn.Module, x: Tensor, select: ScoreFn | None) -> Tensor:
    output = observe(model, x)
    logits = output if select is None else select(output)
    target_score(0)(logits)  # comprueba que son logits
    return logits.argmax(1)
