"""Lección 07: saliencia, cuánto cambia la respuesta de una red si cambia cada píxel.

Las redes reciben imágenes `(N, 3, H, W)` y devuelven logits `(N, K)`. Los mapas salen `(N, H, W)`, sin normalizar,
en el dispositivo y el tipo de la imagen. El modelo queda como estaba (véase `convlab.hooks`). Solo se deriva respecto
de la imagen: los gradientes de los parámetros no se calculan.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from convlab._passes import observe
from convlab._weighted import weighted_gradients
from convlab.errors import ConvlabError
from convlab.hooks import check_images, input_gradient, override_relu
from convlab.metrics import pointing_game
from convlab.sanity import randomize_layers
from convlab.targets import BatchSize, Output, ScoreFn, check_batch_size, check_counts, output_score, target_score

__all__ = [
    "completeness_gap",
    "gradient_times_input",
    "guided_backprop",
    "integrated_gradients",
    "pointing_game",
    "randomize_layers",
    "saliency_map",
    "smoothgrad",
]


def saliency_map(
    model: nn.Module, x: Tensor, target: int | Tensor, *, output: Output = "logit", select: ScoreFn | None = None
) -> Tensor:
    """Mapa de saliencia: el mayor valor absoluto, entre los canales, de la derivada respecto de cada píxel.

    Una pasada hacia delante y otra hacia atrás para todo el lote.

    Parameters
    ----------
    model
        Red que devuelve logits `(N, K)`; se evalúa en modo `eval`.
    x
        Imágenes `(N, 3, H, W)`, que no se modifican.
    target
        Índice de clase, o un tensor entero `(N,)` con uno por imagen.
    output
        `"logit"`, como en el artículo, o `"probability"`, cuya derivada sube también cuando bajan las demás clases y
        casi desaparece si la red está segura.
    select
        Si la red devuelve una tupla o un diccionario, la función que saca de él los logits.

    Returns
    -------
    Tensor
        `(N, H, W)`, no negativo y sin normalizar.

    Raises
    ------
    ConvlabError
        Si la imagen, la clase o la salida de la red no son lo que se espera.

    References
    ----------
    Simonyan, Vedaldi y Zisserman (2013), «Deep Inside Convolutional Networks», arXiv:1312.6034.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> saliency_map(Mini(), torch.rand(2, 3, 64, 48), torch.tensor([3, 5])).shape
    torch.Size([2, 64, 48])
    """
    return input_gradient(model, x, output_score(target, output, select)).abs().amax(1)


def gradient_times_input(
    model: nn.Module, x: Tensor, target: int | Tensor, *, output: Output = "logit", select: ScoreFn | None = None
) -> Tensor:
    """Gradiente por imagen, sumado en los canales: la contribución de cada píxel si la red fuera lineal.

    Los argumentos y los errores son los de `saliency_map`.

    Returns
    -------
    Tensor
        `(N, H, W)`, con signo. En una red lineal y sin sesgos, su suma es el logit.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    >>> x = torch.rand(1, 3, 2, 2)
    >>> torch.allclose(gradient_times_input(red, x, 1).sum(), red(x)[0, 1])
    True
    """
    return (input_gradient(model, x, output_score(target, output, select)) * x).sum(1).detach()


def guided_backprop(model: nn.Module, x: Tensor, target: int | Tensor, *, select: ScoreFn | None = None) -> Tensor:
    """Retropropagación guiada: el gradiente si cada ReLU dejara pasar solo lo positivo, a la ida y a la vuelta.

    Da bordes nítidos que apenas dependen de los pesos ni de la clase (Adebayo et al., 2018; Nie et al., 2018): no
    prueban que la red los use. Los argumentos son los de `saliency_map`.

    Returns
    -------
    Tensor
        `(N, 3, H, W)`, con signo.

    Raises
    ------
    ConvlabError
        Los de `saliency_map`, y si la red no ejecuta ninguna ReLU que guiar, o quizá sí pero está compilada.

    References
    ----------
    Springenberg et al., «Striving for Simplicity», ICLR 2015.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> guided_backprop(Mini(), torch.rand(1, 3, 64, 64), 3).shape
    torch.Size([1, 3, 64, 64])
    """
    score = target_score(target, select)
    with override_relu("guided") as override:
        gradient = input_gradient(model, x, lambda output: override(score(output)))
    if override.relus == 0:
        raise ConvlabError(
            "La red no ejecuta ninguna ReLU, así que la retropropagación guiada sería el gradiente sin más. "
            "Usa saliency_map o grad_cam."
        )
    return gradient


def smoothgrad(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    n: int = 32,
    sigma: float = 0.15,
    generator: torch.Generator | None = None,
    *,
    output: Output = "logit",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
) -> Tensor:
    """SmoothGrad: la saliencia del gradiente medio en copias de la imagen con ruido gaussiano.

    Se promedian los gradientes **con su signo** y después se toma el mayor valor absoluto entre los canales. Cada copia
    lleva su ruido y no se recorta a [0, 1]. Cuesta `n` pasadas hacia delante y `n` hacia atrás por imagen.

    Parameters
    ----------
    model, x, target, output, select
        Los de `saliency_map`.
    n
        Copias de cada imagen, desde 1.
    sigma
        Desviación típica del ruido, en unidades de [0, 1]; con 0 el resultado es `saliency_map`.
    generator
        Fuente de azar, del dispositivo de `x`. El resultado no depende de `batch_size`, salvo redondeo.
    batch_size
        Imágenes por pasada, como mucho (pero nunca menos que el lote); `"auto"`, las que más deprisa van según lo que
        ocupan las activaciones de la red, que se miden en la primera pasada.

    Returns
    -------
    Tensor
        `(N, H, W)`, no negativo.

    Raises
    ------
    ConvlabError
        Los de `saliency_map`, y si `n`, `sigma` o `batch_size` no son válidos.

    References
    ----------
    Smilkov et al. (2017), «SmoothGrad: removing noise by adding noise», arXiv:1706.03825.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> smoothgrad(Mini(), torch.rand(2, 3, 64, 64), 3, n=4, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 64, 64])
    """
    check_images(x)
    check_counts(n=n)
    check_batch_size(batch_size)
    if not sigma >= 0:
        raise ConvlabError(f"El ruido «sigma» debe ser una desviación no negativa y llegó {sigma}.")

    def noisy() -> Iterator[tuple[Tensor, float]]:
        for _ in range(n):
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            yield x.detach() + sigma * noise, 1 / n

    return weighted_gradients(model, x, noisy(), n, target, output, select, batch_size).abs().amax(1).to(x.dtype)


def integrated_gradients(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    baseline: Tensor | float = 0.0,
    steps: int = 32,
    *,
    output: Output = "logit",
    select: ScoreFn | None = None,
    batch_size: BatchSize = "auto",
) -> Tensor:
    r"""Gradientes integrados: $(x - b) \odot \int_0^1 \nabla F(b + t\,(x - b))\,dt$, sumados en los canales.

    La integral se calcula con la cuadratura de Gauss–Legendre de `steps` nodos. La suma del mapa se acerca a
    $F(x) - F(b)$ (completitud); `completeness_gap` dice cuánto falta. Cuesta `steps` pasadas hacia delante y otras
    tantas hacia atrás por imagen.

    Parameters
    ----------
    model, x, target, output, select
        Los de `saliency_map`.
    baseline
        La línea base $b$: un número (0 es negro) o un tensor que se pueda extender a la forma de `x`.
    steps
        Nodos de la cuadratura, desde 1.
    batch_size
        Imágenes por pasada, como mucho (pero nunca menos que el lote); `"auto"`, las que más deprisa van según lo que
        ocupan las activaciones de la red, que se miden en la primera pasada.

    Returns
    -------
    Tensor
        `(N, H, W)`, con signo.

    Raises
    ------
    ConvlabError
        Los de `saliency_map`, y si la línea base, `steps` o `batch_size` no son válidos.

    References
    ----------
    Sundararajan, Taly y Yan, «Axiomatic Attribution for Deep Networks», ICML 2017.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> red, x = Mini().eval(), torch.rand(1, 3, 64, 64)
    >>> mapa = integrated_gradients(red, x, 3, steps=16)
    >>> mapa.shape, bool(completeness_gap(red, x, 3, mapa).abs() < 0.1)
    (torch.Size([1, 64, 64]), True)
    """
    check_images(x)
    check_counts(steps=steps)
    check_batch_size(batch_size)
    base = _baseline(baseline, x)
    difference = x.detach() - base

    def path() -> Iterator[tuple[Tensor, float]]:
        for node, weight in zip(*np.polynomial.legendre.leggauss(steps), strict=True):
            yield base + (1 + float(node)) / 2 * difference, float(weight) / 2

    gradient = weighted_gradients(model, x, path(), steps, target, output, select, batch_size)
    return (gradient * difference).sum(1).to(x.dtype)


def completeness_gap(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    attribution: Tensor,
    baseline: Tensor | float = 0.0,
    *,
    output: Output = "logit",
    select: ScoreFn | None = None,
) -> Tensor:
    """Lo que le falta a un mapa para repartir entera la diferencia entre la imagen y la línea base.

    Parameters
    ----------
    model, x, target, baseline, output, select
        Los mismos con los que se calculó el mapa.
    attribution
        El mapa, `(N, H, W)`.

    Returns
    -------
    Tensor
        `(N,)`: suma del mapa menos `F(x) - F(baseline)`. Cero si el reparto es completo.

    Raises
    ------
    ConvlabError
        Si el mapa no es `(N, H, W)`, y los de `integrated_gradients`.

    Examples
    --------
    >>> red = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    >>> x = torch.rand(1, 3, 2, 2)
    >>> bool(completeness_gap(red, x, 1, integrated_gradients(red, x, 1)).abs() < 1e-6)
    True
    """
    check_images(x)
    if attribution.shape != (len(x), *x.shape[2:]):
        raise ConvlabError(f"Se esperaba un mapa {(len(x), *x.shape[2:])} y llegó {tuple(attribution.shape)}.")
    score = output_score(target, output, select)
    change = score(observe(model, x)) - score(observe(model, _baseline(baseline, x)))
    return attribution.sum((1, 2)) - change


def _baseline(baseline: Tensor | float, x: Tensor) -> Tensor:
    base = torch.as_tensor(baseline, device=x.device, dtype=x.dtype).detach()
    try:
        return base.expand(x.shape)
    except RuntimeError:
        raise ConvlabError(
            f"La línea base {tuple(base.shape)} no se puede extender a la forma de la imagen, {tuple(x.shape)}. "
            "Pasa un número, un tensor (1, 3, 1, 1) o uno de la forma de la imagen."
        ) from None
