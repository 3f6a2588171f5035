"""El catálogo de la captura de activaciones: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from convlab.exercises.catalogue import Catalogue
from convlab.hooks import evaluating

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Found = dict[str, Tensor]
Keep = Callable[[Any, Tensor], Tensor]


def _collect(model: nn.Module, x: Tensor, layers: Iterable[str], keep: Keep) -> Found:
    """Una pasada con un gancho por capa, que guarda `keep(entradas, salida)`; el modo y el grafo son de quien llama."""
    found: Found = {}

    def hook_of(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = keep(inputs, output)

        return hook

    with ExitStack() as stack:
        for name in layers:
            stack.callback(model.get_submodule(name).register_forward_hook(hook_of(name)).remove)
        model(x)
    return found


def _captured(model: nn.Module, x: Tensor, layers: Iterable[str], keep: Keep | None = None) -> Found:
    """Lo correcto, salvo lo que se guarda."""
    with torch.no_grad(), evaluating(model):
        return _collect(model, x, layers, keep or _copy)


def _copy(_inputs: Any, output: Tensor) -> Tensor:
    return output.clone()


@_wrong(
    "La salida de la capa cambió a tus espaldas",
    "Has guardado el tensor que pasó por la capa y no una copia. Si la capa siguiente escribe encima, como "
    "`nn.ReLU(inplace=True)`, lo guardado cambia con él: aquí, lo negativo se ha vuelto 0. Guarda `output.clone()`; "
    "`detach` solo no basta, porque comparte la memoria.",
)
def _aliased(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    return _captured(model, x, layers, lambda _inputs, output: output.detach())


@_wrong(
    "La entrada de la capa en vez de su salida",
    "Has guardado lo que entra en la capa. El gancho recibe `(módulo, entradas, salida)`: la activación es lo tercero.",
)
def _input_of_layer(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    return _captured(model, x, layers, lambda inputs, _output: inputs[0].clone())


@_wrong(
    "Todas con el nombre de la última",
    "Has creado los ganchos en un bucle y todos leen la misma variable `name` cuando se ejecutan: para entonces vale "
    "la última capa. Fija el valor al crear cada uno: con una función que lo reciba, o con `name=name` entre los "
    "argumentos del `lambda`.",
)
def _late_name(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    found = _captured(model, x, layers)
    return {layers[-1]: list(found.values())[-1]}  # gana la que se ejecuta la última


@_wrong(
    "Nombres emparejados por el orden de la red",
    "Has guardado las salidas en una lista, en el orden en que se ejecutan las capas, y les has puesto los nombres en "
    "el orden en que te los pidieron. No tienen por qué coincidir: guarda cada salida con su nombre.",
)
def _zipped_in_network_order(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    found = _captured(model, x, layers)  # en el orden en que se ejecutan
    return dict(zip(layers, found.values(), strict=True))


@_wrong(
    "Solo los hijos directos",
    "`getattr` no entiende los puntos: con «block1.conv» falla, porque `conv` está dentro de `block1`. Usa "
    "`model.get_submodule(name)`, o `dict(model.named_modules())[name]`.",
)
def _direct_children(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    for name in layers:
        getattr(model, name)
    return _captured(model, x, layers)


@_wrong(
    "Encadenar los módulos a mano",
    "Has pasado la imagen por los módulos uno tras otro. Solo vale si la red es una fila de capas: aquí `forward` hace "
    "además otras cuentas (normaliza la imagen) y te las has saltado. Llama a `model(x)` y mira con ganchos.",
)
def _chained_by_hand(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    children = OrderedDict(model.named_children())
    while not any(name.split(".")[0] == list(children)[-1] for name in layers):
        children.popitem()
    with torch.no_grad(), evaluating(model):
        return _collect(nn.Sequential(children), x, layers, _copy)


@_wrong(
    "Solo la primera imagen",
    "Has guardado `output[0]`, y del lote queda una imagen. Guarda la salida entera, con su eje 0.",
)
def _first_image(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    return _captured(model, x, layers, lambda _inputs, output: output[0].clone())


@_wrong(
    "El eje del lote, perdido",
    "Has usado `squeeze`, y con una sola imagen desaparece el eje 0: `(1, C, h, w)` se queda en `(C, h, w)`. Quien te "
    "llame espera siempre el lote. Guarda la salida con la forma que tiene.",
)
def _squeezed(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    return _captured(model, x, layers, lambda _inputs, output: output.clone().squeeze())


@_wrong(
    "Solo lo positivo",
    "Has aplicado una ReLU a lo guardado. La salida de una convolución o de una BatchNorm tiene valores negativos, y "
    "aquí se piden las salidas tal como son.",
)
def _rectified(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    return _captured(model, x, layers, lambda _inputs, output: output.relu())


@_wrong(
    "Un promedio en vez del mapa",
    "Has promediado cada mapa y te queda un número por canal. Se pide la salida entera: dónde se enciende el canal es "
    "justo lo que se quiere ver.",
)
def _averaged(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    return _captured(
        model, x, layers, lambda _inputs, output: output.mean((2, 3)) if output.ndim == 4 else output.clone()
    )


@_wrong(
    "La red no estaba en modo eval",
    "Has recorrido la red en el modo en que llegó. En modo `train`, BatchNorm usa la media del lote en vez de la "
    "aprendida, y la activación de una imagen depende de sus vecinas. Ponla en `eval`, y al acabar devuelve cada "
    "módulo a su modo.",
)
def _train_mode(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    with torch.no_grad():
        return _collect(model, x, layers, _copy)


@_wrong(
    "La red se queda en modo eval",
    "Las activaciones son correctas, pero la red llegó en modo `train` y se ha quedado en `eval`. Quien la estuviera "
    "entrenando seguirá sin BatchNorm ni *dropout*, y sin ningún aviso. Anota el modo de cada módulo y devuélvelo.",
)
def _eval_mode_left(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    model.eval()
    return _captured(model, x, layers)


@_wrong(
    "La red se queda en modo train",
    "Las activaciones son correctas, pero acabas con `model.train()`: una red que llegó en `eval` sale en otro modo, y "
    "a partir de ahí responde al azar (*dropout*). Anota el modo que tenía y devuélvelo.",
)
def _train_mode_left(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    found = _captured(model, x, layers)
    model.train()
    return found


@_wrong(
    "El modo de la red para todos sus módulos",
    "Las activaciones son correctas, pero `model.train(modo)` pone a **todos** los módulos en el modo de la red, y uno "
    "tenía el suyo: congelar una BatchNorm en `eval` mientras lo demás se entrena es corriente. Anota el `training` de "
    "cada módulo.",
)
def _one_mode_for_all(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    found = _captured(model, x, layers)
    model.train(model.training)
    return found


@_wrong(
    "Los ganchos siguen puestos",
    "Las activaciones son correctas, pero los ganchos se quedan en la red: cada pasada futura guardará otra copia de "
    "todo. Guarda lo que devuelve `register_forward_hook` y llama a su `.remove()` en un `finally`.",
)
def _hooks_left(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    for name in layers:
        model.get_submodule(name).register_forward_hook(lambda _m, _i, _o: None)
    return _captured(model, x, layers)


@_wrong(
    "Los ganchos se quedan si la red falla",
    "Quitas los ganchos después de la pasada, pero si la pasada falla (una imagen con otros canales, por ejemplo), "
    "esa línea no se ejecuta y se quedan puestos. Quítalos en un `finally`.",
)
def _without_finally(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    hooks = [model.get_submodule(name).register_forward_hook(lambda _m, _i, _o: None) for name in layers]
    found = _captured(model, x, layers)
    for hook in hooks:
        hook.remove()
    return found


@_wrong(
    "Con el grafo detrás",
    "Los valores son correctos, pero cada activación arrastra el grafo con el que se calculó. Con unos cientos de "
    "imágenes, la memoria se llena. Haz la pasada dentro de `torch.no_grad()`, o guarda `output.detach().clone()`.",
)
def _with_graph(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    with evaluating(model):
        return _collect(model, x, layers, _copy)


@_wrong(
    "PyTorch se queda sin gradientes",
    "Las activaciones son correctas, pero `torch.set_grad_enabled(False)` apaga los gradientes de todo el programa. "
    "Usa `with torch.no_grad():`, que los devuelve al salir.",
)
def _gradients_off(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    torch.set_grad_enabled(False)
    return _captured(model, x, layers)


@_wrong(
    "Los parámetros, congelados",
    "Las activaciones son correctas, pero has dejado los parámetros con `requires_grad=False`, y esa red ya no se "
    "puede entrenar. Para no llevar grafo basta `with torch.no_grad():`.",
)
def _frozen_parameters(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Found:
    model.requires_grad_(False)
    return _captured(model, x, layers)
