"""Lo que se escribe mal al elegir la unidad y al devolver la señal, y las huellas, con su diagnóstico."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convlab.exercises.catalogue import Catalogue
from convlab.exercises.deconvnet.descent import Channel, project, strongest
from convlab.hooks import override_relu

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


@_wrong(
    "Todo el canal",
    "Has dejado encendidas todas las unidades del canal, y el dibujo mezcla lo que vio cada una. Solo conserva su "
    "valor la más activa; las demás, a 0 antes de bajar.",
)
def _whole_channel(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def start(a: Tensor, c: Channel) -> Tensor:
        signal, images = torch.zeros_like(a), torch.arange(len(a))
        signal[images, c] = a[images, c]
        return signal

    return project(model, x, layer, channel, start=start)


@_wrong(
    "Toda la capa",
    "Has bajado la capa entera, con todos sus canales: el resultado se parece a la imagen y no dice nada de la unidad. "
    "Pon a 0 todo menos la unidad más activa del canal pedido.",
)
def _whole_layer(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, start=lambda a, _c: a.clone())


@_wrong(
    "La señal empieza en 1",
    "Has puesto un 1 en la unidad. El dibujo es el mismo, pero no su tamaño: la señal parte del **valor** de la "
    "activación, y así se sabe cuánto se encendió la unidad en cada imagen.",
)
def _starts_at_one(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, start=lambda a, c: (strongest(a, c) != 0).to(a))


@_wrong(
    "La unidad más activa de la capa",
    "Has buscado el máximo de toda la capa, sin mirar `channel`. La unidad es la más activa **de ese canal**.",
)
def _strongest_of_layer(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def start(a: Tensor, _c: Channel) -> Tensor:
        return strongest(a, a.amax((2, 3)).argmax(1))

    return project(model, x, layer, channel, start=start)


@_wrong(
    "Una sola unidad para todo el lote",
    "Has buscado el máximo del canal entre todas las imágenes, y solo una tiene señal. Cada imagen tiene su unidad más "
    "activa, y su dibujo no depende de con quién comparta el lote.",
)
def _strongest_of_batch(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def start(a: Tensor, c: Channel) -> Tensor:
        signal = strongest(a, c)
        return signal * (signal == signal.max())

    return project(model, x, layer, channel, start=start)


@_wrong(
    "El mayor valor absoluto",
    "Antes de una ReLU hay valores negativos, y has elegido la unidad de mayor valor absoluto. La más activa es la de "
    "mayor valor: una muy negativa está muy apagada.",
)
def _largest_absolute(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def start(a: Tensor, c: Channel) -> Tensor:
        chosen = strongest(a.abs(), c) > 0
        return a * chosen

    return project(model, x, layer, channel, start=start)


@_wrong(
    "La posición, mal descifrada",
    "`argmax` sobre un mapa aplanado da `fila · w + columna`, y has dividido por el alto. En un mapa que no es "
    "cuadrado la unidad acaba en otro sitio: divide por el ancho.",
)
def _divided_by_height(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def start(a: Tensor, c: Channel) -> Tensor:
        signal, images = torch.zeros_like(a), torch.arange(len(a))
        place = a.flatten(2)[images, c].argmax(1)
        row, column = place // a.shape[2], place % a.shape[2]
        signal[images, c, row, column] = a[images, c, row, column]
        return signal

    return project(model, x, layer, channel, start=start)


@_wrong(
    "El canal de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su canal: `a[torch.arange(N), channel]` "
    "escoge el de cada una.",
)
def _first_channel_for_all(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, int(channel[0]) if isinstance(channel, Tensor) else channel)


@_wrong(
    "Sin lo negativo de la imagen",
    "Has puesto a 0 los valores negativos del resultado. En la imagen no hay ninguna ReLU: ahí lo negativo también "
    "cuenta, y dice dónde la unidad quiere oscuro.",
)
def _clamped_image(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel).clamp(min=0)


@_wrong(
    "Normalizado",
    "Has dividido cada reconstrucción por su mayor valor. El dibujo es igual, pero se pierde cuánto se encendió la "
    "unidad: devuélvela sin normalizar; eso se hace al dibujarla.",
)
def _normalized(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    signal = project(model, x, layer, channel)
    return signal / signal.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)


@_wrong(
    "Ganchos que no admiten una ReLU que escribe encima",
    "Has cambiado la derivada de las ReLU con `register_full_backward_hook`, y PyTorch no lo permite si la ReLU "
    "escribe encima de lo que recibe (`inplace=True`). Baja tú capa a capa, sin derivar.",
)
def _backward_hooks(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    kept: dict[str, Tensor] = {}
    rectify = [m for m in model.modules() if isinstance(m, nn.ReLU)]

    def keep_positive(_module: nn.Module, _inputs: Any, signals: Any) -> tuple[Tensor]:
        return (signals[0].clamp(min=0),)

    hooks = [m.register_full_backward_hook(keep_positive) for m in rectify]
    hooks.append(model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.update(maps=out)))
    leaf = x.detach().clone().requires_grad_()
    try:
        model(leaf)
        a = kept["maps"]
        (signal,) = torch.autograd.grad((a * strongest(a.detach(), channel)).sum(), leaf)
    finally:
        for hook in hooks:
            hook.remove()
    return signal


@_wrong(
    "El gancho sigue puesto",
    "La reconstrucción es correcta, pero queda un gancho en la red y se ejecutará siempre que alguien la use. Guarda "
    "lo que devuelve `register_forward_hook` y llama a su `.remove()` en un `finally`.",
)
def _hook_left(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, _o: None)
    return project(model, x, layer, channel)


@_wrong(
    "Gradientes guardados",
    "La reconstrucción es correcta, pero `.backward()` ha dejado un `.grad` en la entrada y en los parámetros, y has "
    "puesto `requires_grad` en la imagen que te dieron. Baja sin derivar, o usa `torch.autograd.grad` con una copia.",
)
def _backward(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    a = x.requires_grad_().clone()
    for name, module in model.named_children():
        a = module(a)
        if name == layer:
            break
    with override_relu("deconvnet") as override:
        (override(a) * strongest(a.detach(), channel)).sum().backward()
    assert x.grad is not None
    return x.grad
