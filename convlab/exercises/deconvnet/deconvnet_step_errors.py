"""Lo que se escribe mal al bajar por cada capa, con su diagnóstico."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.exercises.deconvnet.descent import Channel, Step, adjoint, project, scale

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


@_wrong(
    "La puerta de la ida",
    "Al bajar por la ReLU has cerrado también donde la activación era 0. Eso es retropropagación guiada: DeconvNet "
    "mira solo el signo de la señal que baja.",
)
def _forward_gate(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, relu=lambda s, step: s.clamp(min=0) * (step.after > 0))


@_wrong(
    "Es el gradiente",
    "Tu señal es la derivada de la unidad por su valor: al bajar por la ReLU has mirado dónde estaba encendida, como "
    "hace la retropropagación. En DeconvNet la ReLU se aplica a la propia señal.",
)
def _gradient(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, relu=lambda s, step: s * (step.after > 0))


@_wrong(
    "Sin puerta",
    "La señal ha bajado por las ReLU como si no estuvieran. En DeconvNet cada una se queda con lo positivo de la señal "
    "que baja.",
)
def _no_gate(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, relu=lambda s, _step: s)


@_wrong(
    "El sesgo, también hacia abajo",
    "Has sumado el sesgo de la convolución a la señal que baja. El sesgo no viene de la imagen: hacia abajo solo van "
    "los filtros transpuestos.",
)
def _bias_added(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, conv=lambda s, step: adjoint(s + _bias(step), step))


@_wrong(
    "El sesgo, descontado",
    "Has restado el sesgo antes de bajar, como si hubiera que deshacer la convolución. DeconvNet no invierte la red: "
    "la transpone, y el sesgo no aparece.",
)
def _bias_subtracted(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, conv=lambda s, step: adjoint(s - _bias(step), step))


def _bias(step: Step) -> Tensor:
    bias = step.module.bias
    return bias[:, None, None] if isinstance(bias, Tensor) else torch.zeros(())


@_wrong(
    "BatchNorm, hacia delante",
    "Has aplicado la BatchNorm a la señal que baja, con su media y su sesgo. Hacia abajo solo va su parte lineal: "
    "multiplicar cada canal por `weight / sqrt(running_var + eps)`.",
)
def _batch_norm_forward(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, norm=lambda s, step: step.module(s))


@_wrong(
    "BatchNorm, saltada",
    "La señal ha pasado por la BatchNorm sin cambiar. Hacia delante multiplicaba cada canal por una escala, y hacia "
    "abajo también: `weight / sqrt(running_var + eps)`. Si la escala es negativa cambia hasta lo que pasa por la ReLU.",
)
def _batch_norm_skipped(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, norm=lambda s, _step: s)


@_wrong(
    "BatchNorm, deshecha",
    "Has dividido por la escala de la BatchNorm. Eso la deshace, y aquí no se deshace nada: la transpuesta de "
    "multiplicar por un número es multiplicar por el mismo número.",
)
def _batch_norm_inverted(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, norm=lambda s, step: s / scale(step))


def _gain(step: Step) -> Tensor:
    weight = step.module.weight
    assert isinstance(weight, Tensor)
    return weight[:, None, None]


@_wrong(
    "BatchNorm, sin la varianza",
    "Has multiplicado solo por `weight`. La BatchNorm divide además por la desviación de cada canal: la escala "
    "completa es `weight / sqrt(running_var + eps)`.",
)
def _batch_norm_weight_only(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, norm=lambda s, step: s * _gain(step))


@_wrong(
    "La varianza, sin raíz",
    "Has dividido por la varianza de la BatchNorm y se divide por su raíz, la desviación: "
    "`weight / sqrt(running_var + eps)`.",
)
def _batch_norm_variance(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, norm=lambda s, step: s * scale(step) ** 2 / _gain(step))


@_wrong(
    "La varianza, sin su épsilon",
    "A la varianza de la BatchNorm le falta sumarle `bn.eps`. Suele ser pequeño, pero cada red trae el suyo, y hacia "
    "delante cuenta: `weight / sqrt(running_var + eps)`.",
)
def _batch_norm_without_eps(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def norm(signal: Tensor, step: Step) -> Tensor:
        variance = step.module.running_var
        assert isinstance(variance, Tensor)
        return signal * _gain(step) / variance.sqrt()[:, None, None]

    return project(model, x, layer, channel, norm=norm)


@_wrong(
    "Interruptores sin usar",
    "Al bajar por el *pooling* has repetido cada valor en toda su ventana. El máximo salió de un solo sitio, y los "
    "interruptores de la ida, `F.max_pool2d(..., return_indices=True)`, dicen cuál.",
)
def _nearest(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, pool=lambda s, step: F.interpolate(s, size=step.size))


@_wrong(
    "En los solapes, el último gana",
    "En un *pooling* con ventanas que se solapan, una posición puede ser el máximo de varias, y te has quedado con una "
    "sola señal: es lo que hace `nn.MaxUnpool2d`. Se suman; tu `unpool` ya lo hace.",
)
def _overlap_overwritten(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def pool(signal: Tensor, step: Step) -> Tensor:
        flat = signal.new_zeros(*signal.shape[:2], step.size[0] * step.size[1])
        values, places = signal.flatten(2), step.switches.flatten(2)
        for k in range(values.shape[2]):
            flat.scatter_(2, places[:, :, k : k + 1], values[:, :, k : k + 1])
        return flat.unflatten(2, step.size)

    return project(model, x, layer, channel, pool=pool)


@_wrong(
    "El núcleo, con el giro equivocado",
    "Los filtros salen girados media vuelta. `conv_transpose2d` recibe los pesos tal cual; solo se giran si la bajada "
    "se escribe con una convolución corriente. Compruébalo con tu `conv_adjoint`.",
)
def _wrong_turn(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    return project(model, x, layer, channel, conv=lambda s, step: adjoint(s, step, flip=True))


@_wrong(
    "El tamaño, sin apuntar",
    "Al bajar por una convolución con paso has dejado que el tamaño se deduzca de la señal, y sale menor. En la ida, "
    "apunta el alto y el ancho de lo que entra en cada capa: es el `output_size` de la vuelta.",
)
def _smallest_size(model: nn.Module, x: Tensor, layer: str, channel: Channel) -> Tensor:
    def conv(signal: Tensor, step: Step) -> Tensor:
        module = step.module
        assert isinstance(module, nn.Conv2d)
        return F.conv_transpose2d(signal, module.weight, stride=module.stride, padding=module.padding)  # type: ignore[arg-type]

    return project(model, x, layer, channel, conv=conv)
