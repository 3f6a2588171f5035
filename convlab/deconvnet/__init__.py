"""Lección 08: DeconvNet, qué parte de la imagen enciende una unidad, según tres reglas para bajar por la ReLU.

Las redes reciben imágenes `(N, 3, H, W)`. Las señales salen `(N, 3, H, W)`, con signo y sin normalizar, en el
dispositivo y el tipo de la imagen. El modelo queda como estaba (véase `convlab.hooks`) y los gradientes de los
parámetros no se calculan.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import index

import torch
from torch import Tensor, nn

from convlab.deconvnet.adjoint import conv_adjoint, relu_backward, unpool
from convlab.errors import ConvlabError
from convlab.hooks import input_gradient, layer_gradient, override_relu
from convlab.metrics import rank_correlation
from convlab.relu import ReluOverride
from convlab.targets import ScoreFn, target_score

__all__ = ["class_sensitivity", "conv_adjoint", "deconvnet", "input_signal", "relu_backward", "unpool"]

# Las operaciones que deja en el grafo cualquier activación que no sea la ReLU.
_OTHERS = re.compile("^(Silu|Gelu|Hardswish|Hardsigmoid|Sigmoid|Tanh|Elu|LeakyRelu|Prelu|Softplus|Mish|Celu)")


def deconvnet(model: nn.Module, x: Tensor, layer: str, channel: int | Tensor, *, rule: str = "deconvnet") -> Tensor:
    """Proyecta hasta la imagen la unidad más activa de un canal, como Zeiler y Fergus.

    Esa unidad conserva su valor y el resto de la capa se pone a cero. La señal baja capa a capa: la desagrupación con
    los interruptores de esta imagen, la ReLU según `rule` y los filtros transpuestos, sin sesgos. Lo que el artículo no
    tiene baja por la transpuesta de su parte lineal: BatchNorm multiplica por su escala; una suma residual manda la
    señal por sus dos ramas, cuyas contribuciones se suman abajo; una concatenación la parte, y un *pooling* de media la
    reparte. Otras activaciones bajan por su derivada.

    La pasada hacia delante se detiene en la capa, y la de vuelta sale de ella: lo que hay después no se calcula. La
    excepción es una capa sin parámetros, como las ReLU que muchas redes ejecutan varias veces: se recorre la red entera
    y cuenta la última ejecución, como en `capture`.

    Parameters
    ----------
    model
        Cualquier red que acepte `x`; se evalúa en modo `eval`.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    layer
        Nombre con puntos de una capa con salida `(N, C, h, w)` o `(N, C)`. En el artículo es un mapa tras su ReLU. Su
        señal es positiva y atraviesa esa ReLU intacta: pedir la ReLU, la capa que la precede o el *max-pooling* que la
        sigue da lo mismo. Si el canal está apagado en toda la imagen, tras la ReLU no hay nada que proyectar y sale
        cero; antes de ella el valor, y con él la señal, es negativo.
    channel
        Canal, o un tensor entero `(N,)` con uno por imagen. Entre unidades empatadas se toma la primera por filas.
    rule
        Qué deja pasar cada ReLU: `"deconvnet"`, `"guided"` o `"backprop"` (véase `relu_backward`). Con `"backprop"` el
        resultado es el gradiente de la unidad por su valor.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, con signo.

    Raises
    ------
    ConvlabError
        Si la capa, el canal o la regla no existen, o si la regla no se puede aplicar: el modelo esconde
        operaciones (está compilado, o cambia *in-place* una parte de un tensor), o no hay ReLU y sí otras activaciones.

    References
    ----------
    Zeiler y Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014; Springenberg et al., «Striving
    for Simplicity», ICLR 2015.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> deconvnet(Mini(), torch.rand(2, 3, 64, 48), "block3", torch.tensor([5, 40])).shape
    torch.Size([2, 3, 64, 48])
    """

    def seed(activation: Tensor) -> Tensor:
        channels = _channels(channel, activation, layer)
        flat = activation.reshape(*activation.shape[:2], -1)
        images = torch.arange(len(flat), device=flat.device)
        strongest = images, channels, flat[images, channels].argmax(1)
        signal = torch.zeros_like(flat)
        signal[strongest] = flat[strongest]
        return signal.view_as(activation)

    return _pull_back(model, x, layer, seed, rule)


def input_signal(
    model: nn.Module, x: Tensor, target: int | Tensor, rule: str, *, select: ScoreFn | None = None
) -> Tensor:
    """Señal que llega a la imagen desde el logit de una clase, con una de las tres reglas.

    Sale de un 1 en el logit y un 0 en los demás. Con `"backprop"` es el gradiente del logit, el de `saliency_map`; con
    `"guided"`, `guided_backprop`.

    Parameters
    ----------
    model
        Red que devuelve logits `(N, K)`; se evalúa en modo `eval`.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    target
        Índice de clase, o un tensor entero `(N,)` con uno por imagen.
    rule
        `"backprop"`, `"deconvnet"` o `"guided"` (véase `relu_backward`).
    select
        Si la red devuelve una tupla o un diccionario, la función que saca de él los logits.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, con signo.

    Raises
    ------
    ConvlabError
        Si la clase, la salida o la regla no valen, o si la regla no se puede aplicar (véase `deconvnet`).

    References
    ----------
    Springenberg et al., «Striving for Simplicity», ICLR 2015.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> input_signal(Mini(), torch.rand(2, 3, 64, 64), torch.tensor([3, 5]), "deconvnet").shape
    torch.Size([2, 3, 64, 64])
    """
    logit = target_score(target, select)

    with override_relu(rule) as override:
        return input_gradient(model, x, lambda output: _ruled(override, logit(output)))


def class_sensitivity(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    """Cuánto cambia la explicación de una imagen al preguntar por otra clase.

    Es 1 menos la correlación de Spearman entre los dos mapas, con su signo. Si apenas pasa de 0, el mapa dice lo mismo
    de las dos clases y no explica por qué se elige una.

    Parameters
    ----------
    maps_a, maps_b
        Mapas de las mismas imágenes para dos clases, `(N, H, W)` o `(N, 3, H, W)`.

    Returns
    -------
    Tensor
        `(N,)` en [0, 2]: 0, mismo orden (o mapas idénticos, aunque sean constantes); 1, sin relación; 2, orden inverso.

    Raises
    ------
    ConvlabError
        Si las formas no son iguales o hay NaN.

    References
    ----------
    Nie, Zhang y Patel, «A Theoretical Explanation for Perplexing Behaviors of Backpropagation-based Visualizations»,
    ICML 2018. La medida, entre mapas de una red y de la misma con capas al azar, es de Adebayo et al., «Sanity Checks
    for Saliency Maps», NeurIPS 2018.

    Examples
    --------
    >>> a = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> class_sensitivity(a, 2 * a), class_sensitivity(a, -a)
    (tensor([0.]), tensor([2.]))
    """
    change = 1 - rank_correlation(maps_a, maps_b)
    return change.masked_fill((maps_a == maps_b.to(maps_a.device)).flatten(1).all(1), 0)


def _pull_back(model: nn.Module, x: Tensor, layer: str, seed: Callable[[Tensor], Tensor], rule: str) -> Tensor:
    """Baja hasta la entrada la señal `seed(activación)`, puesta en una capa: un producto de vector por jacobiana."""
    with override_relu(rule) as override:

        def product(activation: Tensor) -> Tensor:
            return _ruled(override, activation) * seed(activation.detach())

        return layer_gradient(model, x, layer, product)


def _ruled(override: ReluOverride, output: Tensor) -> Tensor:
    """La salida con la regla puesta, si hay a qué aplicarla: nunca un gradiente disfrazado."""
    output = override(output)
    others = sorted(name for name in override.operations if _OTHERS.match(name))
    if override.rule != "backprop" and override.relus == 0 and others:
        raise ConvlabError(
            f"La regla «{override.rule}» habla de la ReLU y hasta ahí la red no ejecuta ninguna, sino otras "
            f"activaciones ({', '.join(others)}). Usa rule=«backprop», que es el gradiente, o grad_cam."
        )
    return output


def _channels(channel: int | Tensor, activation: Tensor, layer: str) -> Tensor:
    n, shape = len(activation), tuple(activation.shape)
    if activation.ndim not in (2, 4):
        raise ConvlabError(f"La capa «{layer}» devuelve {shape} y se esperaban mapas (N, C, h, w) o valores (N, C).")
    if not isinstance(channel, Tensor) and hasattr(channel, "__index__") and not isinstance(channel, bool):
        channel = torch.tensor(index(channel))
    if not isinstance(channel, Tensor) or channel.is_floating_point() or channel.dtype == torch.bool:
        got = f"un tensor {channel.dtype}" if isinstance(channel, Tensor) else f"«{channel!r}»"
        raise ConvlabError(f"El canal debe ser un entero o un tensor entero (N,) y llegó {got}.")
    if channel.ndim and channel.shape != (n,):
        raise ConvlabError(f"Con {n} imágenes se esperaba un canal o un tensor ({n},), y llegó {tuple(channel.shape)}.")
    outside = channel[(channel < 0) | (channel >= shape[1])]
    if outside.numel():
        raise ConvlabError(
            f"El canal {outside.flatten()[0].item()} no existe: «{layer}» tiene {shape[1]}, de 0 a {shape[1] - 1}."
        )
    return channel.to(activation.device, torch.int64).expand(n)
