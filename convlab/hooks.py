"""El único lugar de `convlab` que toca los módulos de un modelo: mirar una capa, derivar en ella, cambiar la ReLU.

Todo lo que se pone se quita al salir, también si algo falla: los ganchos (*hooks*), el modo `train`/`eval`
de cada submódulo, `requires_grad`, `.grad` y los búferes quedan como estaban. La entrada nunca se modifica.
Nada aquí depende de que quien llama esté dentro de `torch.no_grad` o `torch.inference_mode`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from convlab.errors import ConvlabError, unknown_name
from convlab.relu import override_relu
from convlab.targets import ScoreFn

Hook = Callable[[nn.Module, Any, Any], Any]

__all__ = [
    "activation_and_gradient",
    "capture",
    "check_images",
    "evaluating",
    "get_layer",
    "input_gradient",
    "last_conv_layer",
    "override_relu",
]


def get_layer(model: nn.Module, name: str) -> nn.Module:
    """Devuelve un submódulo por su nombre con puntos.

    Raises
    ------
    ConvlabError
        Si no existe; propone los nombres más parecidos.

    Examples
    --------
    >>> get_layer(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), "1")
    ReLU()
    """
    modules: dict[str, nn.Module] = {n: m for n, m in model.named_modules(remove_duplicate=False) if n}
    if not isinstance(name, str) or name not in modules:
        raise unknown_name("la capa", name, modules)
    return modules[name]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Pone en modo `eval` cada submódulo y al salir devuelve a cada uno el modo que tenía.

    Escribe `training` directamente: `Module.eval()` puede estar redefinido y tener efectos que no se
    deshacen.

    Examples
    --------
    >>> net = nn.Sequential(nn.Dropout()).train()
    >>> with evaluating(net):
    ...     net[0].training
    False
    >>> net[0].training
    True
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in flags:
            module.training = False
        yield model
    finally:
        for module, training in flags:
            module.training = training


def capture(model: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Salida de varias capas en una sola pasada, en modo `eval` y sin grafo.

    Cada salida es una copia: una ReLU *in-place* posterior no la cambia. Si un módulo se ejecuta varias
    veces, se queda la última.

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
    x = _private_copy(model, x)
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Hook:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found[name] = _floating(output, name).detach().clone()

        return hook

    hooks = [(get_layer(model, name), keep(name)) for name in layers]
    with torch.inference_mode(False), torch.no_grad(), evaluating(model), _hooked(hooks):
        _call(model, x)
    for name in layers:
        if name not in found:
            raise _not_executed(name)
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
    x = _private_copy(model, x)
    leaves: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if torch.is_inference_mode_enabled():
            raise ConvlabError(
                f"El modelo activa torch.inference_mode por dentro y así no se puede derivar en «{layer}». "
                "Quita esa línea del modelo."
            )
        # Dos copias: ni lo que el modelo haga con su tensor ni una ReLU in-place posterior cambian la hoja.
        leaves[:] = [_floating(output, layer).detach().clone().requires_grad_()]
        torch.set_grad_enabled(True)  # desde aquí hay grafo; el no_grad de fuera lo deshace al salir
        return leaves[0].clone()

    with torch.inference_mode(False), evaluating(model):
        with torch.no_grad(), _hooked([(get_layer(model, layer), cut)]):
            output = _call(model, x)
        if not leaves:
            raise _not_executed(layer)
        gradient = _gradient(output, leaves[0], score_fn, f"la capa «{layer}»")
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
    leaf = _private_copy(model, x).requires_grad_()
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        return _gradient(_call(model, leaf.clone()), leaf, score_fn, "la entrada")


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
    x = _private_copy(model, x)
    sizes: list[tuple[str, bool, torch.Size]] = []

    def note(name: str) -> Hook:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                sizes.append((name, isinstance(module, nn.Conv2d), output.shape[2:]))

        return hook

    hooks = [(module, note(name)) for name, module in model.named_modules() if name]
    with torch.inference_mode(False), torch.no_grad(), evaluating(model), _hooked(hooks):
        _call(model, x)
    convolutions = [size for _, is_conv, size in sizes if is_conv]
    if not convolutions:
        raise ConvlabError("El modelo no ejecuta ninguna nn.Conv2d. Elige la capa con «layer».")
    # Las convoluciones 1×1 de un bloque SE o de una cabeza tras el promedio no tienen mapa que mostrar.
    last = next((size for size in reversed(convolutions) if size.numel() > 1), convolutions[-1])
    return next(name for name, _, size in reversed(sizes) if size == last)


@contextmanager
def _hooked(hooks: Sequence[tuple[nn.Module, Hook]]) -> Iterator[None]:
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield


def check_images(x: Tensor) -> None:
    """Comprueba que `x` es un lote de imágenes `(N, C, H, W)` de coma flotante.

    Raises
    ------
    ConvlabError
        Si no lo es; dice qué llegó y cómo arreglarlo.

    Examples
    --------
    >>> check_images(torch.rand(2, 3, 8, 8))
    """
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point() or x.numel() == 0:
        got = f"un tensor {x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ConvlabError(
            f"Se esperaban imágenes (N, C, H, W) de coma flotante, al menos una, y llegó {got}. Si es una sola, "
            "añade el lote con x[None]; si son bytes, divide entre 255."
        )


def _private_copy(model: nn.Module, x: Tensor) -> Tensor:
    """Comprueba los argumentos y copia la entrada: el modelo puede modificarla, y puede venir de inference_mode."""
    if not isinstance(model, nn.Module):
        raise ConvlabError(f"El modelo debe ser un nn.Module y llegó {type(model).__name__}.")
    check_images(x)
    with torch.inference_mode(False):
        return x.detach().clone()


def _call(model: nn.Module, x: Tensor) -> Any:
    tensors = chain(model.named_parameters(), model.named_buffers())
    # Los pesos creados dentro de inference_mode no sirven para derivar: se usan copias, solo en esta llamada.
    copies = {name: tensor.clone() for name, tensor in tensors if tensor.is_inference()}
    try:
        return functional_call(model, copies, (x,)) if copies else model(x)
    except RuntimeError as error:
        weights = {(p.device, p.dtype) for p in model.parameters() if p.is_floating_point()}
        if not weights or (x.device, x.dtype) in weights:
            raise
        shown = " y ".join(sorted(f"{device}/{dtype}" for device, dtype in weights))
        raise ConvlabError(
            f"El modelo está en {shown} y la imagen en {x.device}/{x.dtype}. Llévala con x.to(device, dtype)."
        ) from error


def _gradient(output: Any, leaf: Tensor, score_fn: ScoreFn, where: str) -> Tensor:
    with torch.enable_grad():
        score = score_fn(output)
        gradient = None
        if score.requires_grad:
            (gradient,) = torch.autograd.grad(score.sum(), leaf, allow_unused=True)
    if gradient is None:
        raise ConvlabError(
            f"La puntuación no depende de {where}, así que no hay gradiente. Elige una capa por la que pase la señal "
            "hasta ese logit; si debería pasar, mira si el modelo usa por dentro torch.no_grad o detach."
        )
    return gradient


def _floating(output: Any, layer: str) -> Tensor:
    if isinstance(output, Tensor) and output.is_floating_point():
        return output
    got = f"un tensor {output.dtype}" if isinstance(output, Tensor) else type(output).__name__
    raise ConvlabError(
        f"La capa «{layer}» devuelve {got} y se esperaba un tensor de coma flotante. Elige una de sus subcapas."
    )


def _not_executed(layer: str) -> ConvlabError:
    return ConvlabError(
        f"La capa «{layer}» existe, pero el modelo no la ejecuta con esta entrada. Elige una que sí se use."
    )
