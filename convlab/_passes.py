"""Pasadas de una red y lo que hace falta para darlas sin dejar rastro. Lo público se importa de `convlab.hooks`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from convlab.errors import ConvlabError, unknown_name

Hook = Callable[[nn.Module, Any, Any], Any]


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

    def write(wanted: list[tuple[nn.Module, bool]]) -> None:
        for module, training in wanted:
            if module.training != training:  # escribir en un módulo es lento, y casi siempre ya está bien
                module.training = training

    try:
        write([(module, False) for module, _ in flags])
        yield model
    finally:
        write(flags)


@contextmanager
def observing(model: nn.Module) -> Iterator[None]:
    """Modo `eval` y sin grafo, aunque quien llama esté dentro de `inference_mode`."""
    with torch.inference_mode(False), torch.no_grad(), evaluating(model):
        yield


def observe(model: nn.Module, x: Tensor) -> Any:
    """Salida del modelo en modo `eval` y sin grafo."""
    x = private_copy(model, x)
    with observing(model):
        return call(model, x)


@contextmanager
def reaching(model: nn.Module, layer: str | None) -> Iterator[Callable[[Tensor], Any]]:
    """Función que recorre la red solo hasta la última vez que se usa una capa, y da su salida; con `None`, entera.

    Si no se puede saber de antemano cuántas veces se usa, la red se recorre entera. No decide si hay grafo ni el modo.
    """
    if layer is None:
        yield lambda x: call(model, x)
        return
    module = get_layer(model, layer)
    uses = count_uses(model, [module])[module] or -1  # -1: no se sabe, y no se para
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        outputs.append(floating(output, layer))
        if len(outputs) == uses:
            raise Stop
        return outputs[-1].clone()  # lo que siga puede ser in-place

    def forward(x: Tensor) -> Tensor:
        outputs.clear()
        with suppress(Stop):
            call(model, x)
        if not outputs:
            raise not_executed(layer)
        return outputs[-1]

    with hooked([(module, keep)]):
        yield forward


class Stop(BaseException):
    """Corta una pasada. No es una `Exception`: un `except Exception` del modelo no debe tragársela."""


class _UseCounter(fx.Tracer):
    """Recorre sin calcular solo los módulos que contienen alguno de los buscados, y cuenta cuántas veces se usan."""

    def __init__(self, wanted: Collection[nn.Module]) -> None:
        super().__init__()
        self.wanted = set(wanted)
        self.uses: Counter[nn.Module] = Counter()

    def call_module(self, m: nn.Module, _forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.uses[m] += 1
        if any(inner in self.wanted for inner in m.modules() if inner is not m):
            return m.forward(*args, **kwargs)  # sin ganchos: los del usuario no se enteran
        return self.create_proxy("call_function", nn.Module.__call__, args, kwargs)


def count_uses(model: nn.Module, modules: Collection[nn.Module]) -> Counter[nn.Module]:
    """Cuántas veces usa cada módulo una pasada; vacío si depende de los valores y no se puede saber sin calcular."""
    counter = _UseCounter(modules)
    try:
        counter.trace(nn.Sequential(model))
    except Exception:  # lo que falle al trazar no es un error de quien llama: se recorre la red y se verá allí
        return Counter()
    return counter.uses


@contextmanager
def hooked(hooks: Sequence[tuple[nn.Module, Hook]]) -> Iterator[None]:
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


def private_copy(model: nn.Module, x: Tensor) -> Tensor:
    """Comprueba los argumentos y copia la entrada: el modelo puede modificarla, y puede venir de inference_mode."""
    if not isinstance(model, nn.Module):
        raise ConvlabError(f"El modelo debe ser un nn.Module y llegó {type(model).__name__}.")
    check_images(x)
    with torch.inference_mode(False):
        return x.detach().clone()


def call(model: nn.Module, x: Tensor) -> Any:
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


def floating(output: Any, layer: str) -> Tensor:
    if isinstance(output, Tensor) and output.is_floating_point():
        return output
    got = f"un tensor {output.dtype}" if isinstance(output, Tensor) else type(output).__name__
    raise ConvlabError(
        f"La capa «{layer}» devuelve {got} y se esperaba un tensor de coma flotante. Elige una de sus subcapas."
    )


def not_executed(layer: str) -> ConvlabError:
    return ConvlabError(
        f"La capa «{layer}» existe, pero el modelo no la ejecuta con esta entrada. Elige una que sí se use."
    )


def gradient_of(output: Any, leaf: Tensor, score_fn: Callable[[Any], Tensor], where: str) -> Tensor:
    """Derivada de la suma de una puntuación de `output` respecto de `leaf`, que en el error se llama `where`."""
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
