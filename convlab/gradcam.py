"""Lección 09: Grad-CAM, qué zonas de una capa empujan el logit de una clase.

Las redes reciben imágenes `(N, 3, H, W)` y devuelven logits `(N, K)`. Los mapas salen `(N, H, W)`, sin
normalizar, en el dispositivo y el tipo de la imagen. El modelo queda como estaba (véase `convlab.hooks`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.errors import ConvlabError
from convlab.hooks import activation_and_gradient
from convlab.metrics import iou_at_threshold
from convlab.plots import colorize
from convlab.saliency import guided_backprop
from convlab.targets import ScoreFn, class_indices, target_score

__all__ = [
    "cam",
    "channel_weights",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_grad_cam",
    "iou_at_threshold",
    "overlay",
]


def channel_weights(gradients: Tensor) -> Tensor:
    """Peso de cada canal: la media espacial de su gradiente (ecuación 1 de Selvaraju et al., 2017).

    Parameters
    ----------
    gradients
        Derivada del logit respecto de la capa, `(N, C, h, w)`.

    Returns
    -------
    Tensor
        `(N, C)`.

    Raises
    ------
    ConvlabError
        Si no tiene cuatro dimensiones.

    Examples
    --------
    >>> channel_weights(torch.tensor([[[[1.0, 3.0]], [[-2.0, 0.0]]]]))
    tensor([[ 2., -1.]])
    """
    if gradients.ndim != 4:
        raise ConvlabError(f"Se esperaban gradientes (N, C, h, w) y llegó un tensor {tuple(gradients.shape)}.")
    return gradients.mean((2, 3))


def grad_cam(model: nn.Module, x: Tensor, target: int | Tensor, layer: str, *, select: ScoreFn | None = None) -> Tensor:
    """Mapa de Grad-CAM de cada imagen para su clase.

    ReLU de la suma de los canales de la capa, cada uno por su `channel_weights`, ampliada con interpolación
    bilineal (`align_corners=False`) al tamaño de la imagen. Se deriva el logit, no la probabilidad.

    Parameters
    ----------
    model
        Red que devuelve logits `(N, K)`; se evalúa en modo `eval`.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    target
        Índice de clase, o un tensor entero `(N,)` con uno por imagen.
    layer
        Nombre con puntos de una capa con salida `(N, C, h, w)`, por lo común la última que aún es un mapa
        (`convlab.hooks.last_conv_layer` la busca).
    select
        Si la red devuelve una tupla o un diccionario, la función que saca de él los logits.

    Returns
    -------
    Tensor
        Mapas `(N, H, W)`, no negativos y sin normalizar.

    Raises
    ------
    ConvlabError
        Si la capa, la clase o la salida de la red no son lo que se espera.

    References
    ----------
    Selvaraju et al., «Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization»,
    ICCV 2017.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> grad_cam(Mini(), torch.rand(2, 3, 64, 48), torch.tensor([3, 5]), "block5").shape
    torch.Size([2, 64, 48])
    """
    activation, gradient = _maps(model, x, target, layer, select)
    return _upsampled(channel_weights(gradient), activation, x)


def grad_cam_plus_plus(
    model: nn.Module, x: Tensor, target: int | Tensor, layer: str, *, select: ScoreFn | None = None
) -> Tensor:
    r"""Mapa de Grad-CAM++: como Grad-CAM, con un peso por posición que no premia el tamaño del objeto.

    Con $Y = e^{S}$ y una red lineal a trozos, las derivadas segunda y tercera son potencias del gradiente
    $g$ del logit $S$, y $\alpha\,\mathrm{ReLU}(g) = \mathrm{ReLU}(g) / (2 + g \sum_{ab} A_{ab})$. El factor
    $e^{S}$ es común a toda la imagen y se omite. Está pensado para capas no negativas (tras una ReLU).

    Los argumentos, el resultado y los errores son los de `grad_cam`.

    References
    ----------
    Chattopadhay et al., «Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional
    Networks», WACV 2018.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> grad_cam_plus_plus(Mini(), torch.rand(1, 3, 64, 64), 3, "block5").shape
    torch.Size([1, 64, 64])
    """
    activation, gradient = _maps(model, x, target, layer, select)
    denominator = 2 + gradient * activation.sum((2, 3), keepdim=True)
    # Solo puede anularse si la capa tiene valores negativos; los autores ponen entonces un 1.
    alpha = 1 / torch.where(denominator == 0, 1, denominator)
    return _upsampled((alpha * gradient.relu()).sum((2, 3)), activation, x)


def guided_grad_cam(
    model: nn.Module, x: Tensor, target: int | Tensor, layer: str, *, select: ScoreFn | None = None
) -> Tensor:
    """Retropropagación guiada hasta la imagen, multiplicada por el mapa de Grad-CAM.

    Los argumentos son los de `grad_cam`. La retropropagación guiada apenas depende de los pesos (Adebayo et
    al., 2018): sus bordes nítidos no prueban que la red los use.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, con signo.

    Raises
    ------
    ConvlabError
        Los de `grad_cam`, y si la red no tiene ninguna ReLU que guiar.

    References
    ----------
    Springenberg et al., «Striving for Simplicity», ICLR 2015; Selvaraju et al., ICCV 2017.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> guided_grad_cam(Mini(), torch.rand(1, 3, 64, 64), 3, "block5").shape
    torch.Size([1, 3, 64, 64])
    """
    guided = guided_backprop(model, x, target, select=select)
    return guided * grad_cam(model, x, target, layer, select=select)[:, None]


def cam(features: Tensor, fc_weight: Tensor, target: int | Tensor) -> Tensor:
    r"""CAM: suma de los mapas con los pesos de la capa lineal que sigue a la media espacial.

    Sin ReLU ni ampliación. En una red que termina en media espacial y capa lineal, `relu(cam) / (h · w)`
    ampliado es exactamente `grad_cam`, y la media espacial de `cam` más el sesgo es el logit.

    Parameters
    ----------
    features
        Mapas `(N, C, h, w)` que entran en la media espacial.
    fc_weight
        Pesos de la capa lineal, `(K, C)`.
    target
        Índice de clase, o un tensor entero `(N,)`.

    Returns
    -------
    Tensor
        `(N, h, w)`, con signo.

    Raises
    ------
    ConvlabError
        Si las formas no casan o la clase no existe.

    References
    ----------
    Zhou et al., «Learning Deep Features for Discriminative Localization», CVPR 2016.

    Examples
    --------
    >>> cam(torch.ones(1, 2, 1, 3), torch.tensor([[1.0, 1.0], [5.0, -2.0]]), 1)
    tensor([[[3., 3., 3.]]])
    """
    if features.ndim != 4 or fc_weight.ndim != 2 or features.shape[1] != fc_weight.shape[1]:
        raise ConvlabError(
            "Se esperaban mapas (N, C, h, w) y pesos (K, C) con el mismo C, y llegaron "
            f"{tuple(features.shape)} y {tuple(fc_weight.shape)}."
        )
    classes = class_indices(target, len(features), len(fc_weight))
    return torch.einsum("nchw,nc->nhw", features, fc_weight[classes.to(fc_weight.device)])


def overlay(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    """Superpone mapas de calor a sus imágenes: `(1 - alpha) * image + alpha * color`.

    Cada mapa se divide por su propio máximo, con los negativos a cero (uno sin nada positivo queda a cero),
    y se colorea con `convlab.plots.colorize`.

    Parameters
    ----------
    image
        Imágenes `(N, 3, H, W)` en [0, 1].
    heat
        Mapas `(N, H, W)` del mismo tamaño.
    alpha
        Opacidad del mapa, en [0, 1].

    Returns
    -------
    Tensor
        `(N, 3, H, W)` en [0, 1].

    Raises
    ------
    ConvlabError
        Si las formas no casan, la imagen no está en [0, 1], el mapa tiene NaN o infinitos, o `alpha` se sale.

    Examples
    --------
    >>> overlay(torch.rand(2, 3, 8, 6), torch.rand(2, 8, 6), alpha=0.4).shape
    torch.Size([2, 3, 8, 6])
    """
    if image.ndim != 4 or image.shape[1] != 3 or heat.shape != (len(image), *image.shape[2:]):
        raise ConvlabError(
            "Se esperaban imágenes (N, 3, H, W) y mapas (N, H, W) del mismo tamaño, y llegaron "
            f"{tuple(image.shape)} y {tuple(heat.shape)}."
        )
    if not image.is_floating_point() or bool(((image < -1e-3) | (image > 1 + 1e-3)).any()):
        raise ConvlabError("La imagen debe ser de coma flotante en [0, 1]. Si son bytes, divide entre 255.")
    if not 0 <= alpha <= 1:
        raise ConvlabError(f"La opacidad «alpha» debe estar en [0, 1] y llegó {alpha}.")
    if not bool(heat.isfinite().all()):
        raise ConvlabError("El mapa contiene NaN o infinitos. Revisa el cálculo que lo produjo.")
    positive = heat.to(image.device, torch.promote_types(heat.dtype, torch.float32)).clamp(min=0)
    peak = positive.amax((1, 2), keepdim=True)
    color = colorize(positive / torch.where(peak > 0, peak, 1)).to(image.dtype)
    return (1 - alpha) * image + alpha * color


def _maps(
    model: nn.Module, x: Tensor, target: int | Tensor, layer: str, select: ScoreFn | None
) -> tuple[Tensor, Tensor]:
    """Activación y gradiente `(N, C, h, w)`, al menos en float32: en bfloat16 la suma de canales pierde cifras."""
    activation, gradient = activation_and_gradient(model, x, layer, target_score(target, select))
    if activation.ndim != 4 or len(activation) != len(x):
        raise ConvlabError(
            f"La capa «{layer}» devuelve {tuple(activation.shape)} y Grad-CAM necesita mapas "
            f"({len(x)}, C, h, w). Elige una capa convolucional; last_conv_layer(model, x) propone una."
        )
    dtype = torch.promote_types(activation.dtype, torch.float32)
    return activation.to(dtype), gradient.to(dtype)


def _upsampled(weights: Tensor, activation: Tensor, x: Tensor) -> Tensor:
    heat = torch.einsum("nc,nchw->nhw", weights, activation).relu()
    size = (x.shape[2], x.shape[3])
    return F.interpolate(heat[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].to(x.dtype)
