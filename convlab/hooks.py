"""El único lugar de `convlab` que toca los módulos de un modelo: mirar una capa, derivar en ella, cambiar la ReLU.

Todo lo que se pone se quita al salir, también si algo falla: los ganchos (*hooks*), el modo `train`/`eval`
de cada submódulo, `requires_grad`, `.grad` y los búferes quedan como estaban. La entrada nunca se modifica.
Nada aquí depende de que quien llama esté dentro de `torch.no_grad` o `torch.inference_mode`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convlab._passes import (
    Hook,
    Stop,
    call,
    check_images,
    count_uses,
    evaluating,
    floating,
    get_layer,
    gradient_of,
    hooked,
    not_executed,
    observing,
    private_copy,
    reaching,
)
from convlab.errors import ConvlabError
from convlab.relu import override_relu
from convlab.targets import ScoreFn

__all__ = [
    "activation_and_gradient",
    "capture",
    "check_images",
    "evaluating",
    "get_layer",
    "input_gradient",
    "last_conv_layer",
    "layer_gradient",
    "override_relu",
]


def capture(model: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Salida de varias capas en una sola pasada, en modo `eval` y sin grafo.

    Cada salida es una copia: una ReLU *in-place* posterior no la cambia. Si un módulo se ejecuta varias
    veces, se queda la última. La pasada termina en cuanto todas las capas se han ejecutado por última vez; si no
    se puede saber de antemano cuántas veces se usa cada una, la red se recorre entera.

    Parameters
    ----------
    model
        Cualquier red que acepte `x`.
    x
        Imágenes `(N, C, H, W)` de coma flotante; no se modifican.
    layers
        Nombres con puntos de las capas.

    Returns
    -------
    dict
        Un tensor por nombre, en el orden pedido.

    Raises
    ------
    ConvlabError
        Si un nombre no existe, la capa no se ejecuta o no devuelve un tensor.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True))
    >>> {k: tuple(v.shape) for k, v in capture(net, torch.rand(2, 3, 9, 7), ["0", "1"]).items()}
    {'0': (2, 8, 7, 5), '1': (2, 8, 7, 5)}
    """
    if isinstance(layers, str):
        raise ConvlabError(f"Se esperaba una lista de capas y llegó «{layers}». Escribe [«{layers}»].")
    x = private_copy(model, x)
    modules = {name: get_layer(model, name) for name in layers}
    found: dict[str, Tensor] = {}
    stop = Stop()

    def keep(name: str) -> Hook:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found[name] = floating(output, name).detach().clone()
            pending[name] -= 1
            if not any(pending.values()):
                raise stop

        return hook

    hooks = [(module, keep(name)) for name, module in modules.items()]
    with observing(model), hooked(hooks):
        uses = count_uses(model, modules.values())
        pending = {name: uses[module] or -1 for name, module in modules.items()}  # -1 nunca llega a 0: no se para
        try:
            call(model, x)
        except Stop as error:
            if error is not stop:
                raise
    for name in layers:
        if name not in found:
            raise not_executed(name)
    return {name: found[name] for name in layers}


def activation_and_gradient(model: nn.Module, x: Tensor, layer: str, score_fn: ScoreFn) -> tuple[Tensor, Tensor]:
    """Salida de una capa y derivada de una puntuación respecto de ella.

    El tronco, hasta la capa, se recorre una vez y sin grafo; el grafo va solo de la capa a la puntuación.
    No se calculan gradientes de los parámetros ni de la entrada. Si el módulo se usa varias veces, cuenta
    la última.

    Parameters
    ----------
    model
        Cualquier red que acepte `x`; se evalúa en modo `eval`.
    x
        Imágenes `(N, C, H, W)` de coma flotante; no se modifican.
    layer
        Nombre con puntos de la capa.
    score_fn
        Recibe la salida del modelo y devuelve un tensor; se deriva la suma de sus elementos. Con un
        elemento por imagen, cada imagen recibe su propio gradiente, porque en modo `eval` ninguna influye
        en las demás.

    Returns
    -------
    tuple
        Activación y gradiente, con la forma de la salida de la capa, sin grafo.

    Raises
    ------
    ConvlabError
        Si la capa no existe, no se ejecuta, no devuelve un tensor, o la puntuación no depende de ella.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 2))
    >>> a, g = activation_and_gradient(net, torch.rand(2, 3, 4, 4), "1", lambda logits: logits[:, 0])
    >>> torch.equal(g.flatten(1), net[3].weight[0].expand(2, -1))
    True
    """
    x = private_copy(model, x)
    leaves: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if torch.is_inference_mode_enabled():
            raise ConvlabError(
                f"El modelo activa torch.inference_mode por dentro y así no se puede derivar en «{layer}». "
                "Quita esa línea del modelo."
            )
        # Dos copias: ni lo que el modelo haga con su tensor ni una ReLU in-place posterior cambian la hoja.
        leaves[:] = [floating(output, layer).detach().clone().requires_grad_()]
        torch.set_grad_enabled(True)  # desde aquí hay grafo; el no_grad de fuera lo deshace al salir
        return leaves[0].clone()

    with torch.inference_mode(False), evaluating(model):
        with torch.no_grad(), hooked([(get_layer(model, layer), cut)]):
            output = call(model, x)
        if not leaves:
            raise not_executed(layer)
        gradient = gradient_of(output, leaves[0], score_fn, f"la capa «{layer}»")
        return leaves[0].detach(), gradient


def input_gradient(model: nn.Module, x: Tensor, score_fn: ScoreFn) -> Tensor:
    """Derivada de una puntuación respecto de la entrada, `(N, C, H, W)`.

    Los argumentos y las garantías son los de `activation_and_gradient`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> g = input_gradient(net, torch.rand(1, 3, 2, 2), lambda logits: logits[:, 1])
    >>> torch.equal(g.flatten(), net[1].weight[1])
    True
    """
    leaf = private_copy(model, x).requires_grad_()
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        return gradient_of(call(model, leaf.clone()), leaf, score_fn, "la entrada")


def layer_gradient(model: nn.Module, x: Tensor, layer: str, score_fn: Callable[[Tensor], Tensor]) -> Tensor:
    """Derivada, respecto de la entrada, de una puntuación de la salida de una capa, `(N, C, H, W)`.

    La red se recorre solo hasta la capa. `score_fn` recibe su salida; lo demás es como en `activation_and_gradient`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> g = layer_gradient(net, torch.rand(1, 3, 2, 2), "1", lambda activation: activation[:, 3])
    >>> torch.equal(g.flatten(), net[1].weight[3])
    True
    """
    leaf = private_copy(model, x).requires_grad_()
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model), reaching(model, layer) as forward:
        return gradient_of(forward(leaf.clone()), leaf, score_fn, "la entrada")


def last_conv_layer(model: nn.Module, x: Tensor) -> str:
    """Capa que Grad-CAM usa si no se pide otra: lo último que conserva el tamaño de la última convolución.

    Es el último módulo, en orden de ejecución, con salida `(N, C, h, w)` del tamaño espacial de la última
    convolución con más de una posición: en resnet18 `layer4`, en vgg16 `features.29`, en densenet121
    `features`. En una red sin convoluciones espaciales al final (un *transformer* de visión) es la de los
    parches, poco útil.

    Raises
    ------
    ConvlabError
        Si la red no ejecuta ninguna `nn.Conv2d`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    >>> last_conv_layer(net, torch.rand(1, 3, 9, 9))
    '1'
    """
    x = private_copy(model, x)
    sizes: list[tuple[str, bool, torch.Size]] = []

    def note(name: str) -> Hook:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                sizes.append((name, isinstance(module, nn.Conv2d), output.shape[2:]))

        return hook

    hooks = [(module, note(name)) for name, module in model.named_modules() if name]
    with observing(model), hooked(hooks):
        call(model, x)
    convolutions = [size for _, is_conv, size in sizes if is_conv]
    if not convolutions:
        raise ConvlabError("El modelo no ejecuta ninguna nn.Conv2d. Elige la capa con «layer».")
    # Las convoluciones 1×1 de un bloque SE o de una cabeza tras el promedio no tienen mapa que mostrar.
    last = next((size for size in reversed(convolutions) if size.numel() > 1), convolutions[-1])
    return next(name for name, _, size in reversed(sizes) if size == last)
