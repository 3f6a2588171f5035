r"""Lección 03: maximización de la activación, la imagen que más excita una parte de la red.

`maximize` y `optimize` suben por el gradiente desde el ruido hasta una imagen en [0, 1]. Lo que se maximiza está en
`objectives`, y cómo se escribe la imagen, en `parametrization`; aquí se importan los dos. La red recibe
imágenes `(N, 3, H, W)` en [0, 1] y queda como estaba; solo se recorre hasta la capa pedida y los gradientes de los
parámetros no se calculan.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from convlab._passes import gradient_of, reaching
from convlab.errors import ConvlabError
from convlab.hooks import check_images, evaluating
from convlab.maximization import objectives
from convlab.maximization.ascent import Adam, transform
from convlab.maximization.objectives import (
    Objective,
    channel,
    class_logit,
    direction,
    gram_similarity,
    objective_score,
    unit,
)
from convlab.maximization.parametrization import (
    PHOTO_COLORS,
    Basis,
    color_matrix,
    encode,
    fft_image,
    image_size,
    image_spectrum,
    render,
)

__all__ = [
    "Maximization",
    "Objective",
    "ascent_step",
    "channel",
    "class_logit",
    "color_matrix",
    "direction",
    "fft_image",
    "gram_similarity",
    "image_spectrum",
    "maximize",
    "objective_score",
    "optimize",
    "total_variation",
    "unit",
]

# Desviación típica del ruido inicial, en los parámetros: una imagen casi gris. Los píxeles necesitan más, porque su
# ruido no tiene las frecuencias bajas que encienden las primeras ReLU.
START = {"fft": 0.01, "pixels": 0.3}


@dataclass(frozen=True)
class Maximization:
    """Lo que encuentra `optimize`.

    Attributes
    ----------
    images
        `(N, 3, H, W)` en [0, 1].
    scores
        `(steps, N)`: el objetivo en cada paso, antes de darlo y en la vista girada y desplazada de ese paso. El de las
        imágenes finales lo da `objective_score`.
    """

    images: Tensor
    scores: Tensor


def total_variation(x: Tensor) -> Tensor:
    r"""Variación total anisótropa: $\sum |x_{i+1,j} - x_{i,j}| + \sum |x_{i,j+1} - x_{i,j}|$ de cada imagen.

    Suma las diferencias entre píxeles vecinos del mismo canal, en vertical y en horizontal, de todos los canales.

    Parameters
    ----------
    x
        Imágenes `(N, C, H, W)`.

    Returns
    -------
    Tensor
        `(N,)`.

    Raises
    ------
    ConvlabError
        Si no es un lote de imágenes.

    Examples
    --------
    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]]))  # 0 + 2 en vertical, 1 + 3 en horizontal
    tensor([6.])
    """
    check_images(x)
    return x.diff(dim=2).abs().sum((1, 2, 3)) + x.diff(dim=3).abs().sum((1, 2, 3))


def ascent_step(x: Tensor, objective: Callable[[Tensor], Tensor], lr: float, l2: float) -> Tensor:
    r"""Un paso de ascenso de gradiente: $x + \eta\,(\nabla f(x) - \lambda x)$.

    Es el del objetivo $f(x) - \tfrac{\lambda}{2} \lVert x \rVert^2$ (Simonyan et al., 2013): la penalización tira de
    la imagen hacia el cero. No se recorta.

    Parameters
    ----------
    x
        Imágenes `(N, C, H, W)`; no se modifican.
    objective
        De las imágenes a un tensor `(N,)` o un escalar; se deriva su suma.
    lr
        La tasa de aprendizaje $\eta$.
    l2
        El peso $\lambda$ de la penalización.

    Returns
    -------
    Tensor
        Las imágenes tras el paso, sin grafo.

    Raises
    ------
    ConvlabError
        Si `x` no son imágenes o el objetivo no depende de ellas.

    References
    ----------
    Simonyan, Vedaldi y Zisserman (2013), «Deep Inside Convolutional Networks», arXiv:1312.6034.

    Examples
    --------
    >>> x = torch.ones(1, 1, 1, 1)
    >>> ascent_step(x, lambda x: 3 * x.sum(), lr=0.1, l2=1.0)  # 1 + 0,1 · (3 − 1)
    tensor([[[[1.2000]]]])
    """
    check_images(x)
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        leaf = x.clone().requires_grad_()
        return x + lr * (gradient_of(leaf.clone(), leaf, objective, "la imagen") - l2 * x)


def maximize(
    model: nn.Module,
    layer: str,
    channel: int,
    *,
    steps: int = 256,
    lr: float = 0.01,
    jitter: int | None = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Tensor:
    """Imagen que maximiza la activación media de un canal.

    Es `optimize` con el objetivo `convlab.maximization.objectives.channel`, y devuelve solo la imagen.

    Parameters
    ----------
    model, steps, lr, jitter, generator
        Los de `optimize`.
    layer
        Nombre con puntos de la capa. Mejor antes de la ReLU, donde una neurona apagada aún tiene gradiente.
    channel
        Índice del canal.
    **options
        Los demás argumentos de `optimize`: `size`, `start`, `batch`, `basis`, `rotation`…

    Returns
    -------
    Tensor
        `(1, 3, H, W)` en [0, 1]; con `batch`, `(batch, 3, H, W)`.

    Raises
    ------
    ConvlabError
        Los de `optimize`.

    References
    ----------
    Erhan, Bengio, Courville y Vincent (2009), «Visualizing Higher-Layer Features of a Deep Network», informe técnico
    1341, Université de Montréal.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> red, generator = Mini(), torch.Generator().manual_seed(0)
    >>> x = maximize(red, "block2.bn", 5, steps=32, lr=0.1, size=32, generator=generator)
    >>> scores = objective_score(red, torch.cat([x, torch.rand(9, 3, 32, 32)]), objectives.channel("block2.bn", 5))
    >>> x.shape, scores.argmax()
    (torch.Size([1, 3, 32, 32]), tensor(0))
    """
    objective = objectives.channel(layer, channel)
    return optimize(model, objective, steps=steps, lr=lr, jitter=jitter, generator=generator, **options).images


def optimize(
    model: nn.Module,
    objective: Objective,
    *,
    steps: int = 256,
    lr: float = 0.01,
    jitter: int | None = None,
    rotation: float = 5.0,
    scale: float = 0.1,
    l2: float = 0.0,
    tv: float = 0.0,
    diversity: float = 0.0,
    size: int | tuple[int, int] | None = None,
    batch: int | None = None,
    start: Tensor | None = None,
    basis: Basis = "fft",
    color: Tensor | Literal["photos"] | None = "photos",
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Maximization:
    r"""Imágenes que maximizan un objetivo, por ascenso de gradiente con Adam sobre sus parámetros.

    Cada imagen maximiza $f(v) - \lambda\,\overline{(x - \tfrac12)^2} - \tau\,\overline{TV}(x) - \delta\,s$. La red ve
    $v$, la imagen $x$ desplazada, girada y ampliada al azar, igual en todo el lote y distinta en cada paso: un patrón
    que se pierde al moverlo un poco no sube. Las barras son medias por valor, para que los pesos no dependan del
    tamaño, y $s$ es `gram_similarity`.

    Parameters
    ----------
    model
        Red que recibe imágenes `(N, 3, H, W)` en [0, 1]; se evalúa en modo `eval`, en su dispositivo y tipo.
    objective
        Lo que se maximiza: `unit`, `channel`, `class_logit`, `direction` u otro `Objective`.
    steps
        Pasos. Cada uno es una pasada hacia delante y otra hacia atrás, las dos solo hasta la capa; al empezar hay una
        pasada completa más.
    lr
        Tamaño del paso de Adam en los parámetros; con 0 la imagen no cambia.
    jitter
        Mayor desplazamiento, en píxeles; lo que sale por un lado entra por el otro. Por omisión, un dieciseisavo del
        lado menor.
    rotation
        Mayor giro, en grados.
    scale
        Mayor ampliación o reducción: 0.1 es de 0.9 a 1.1. Fuera de la imagen se ve su reflejo.
    l2, tv, diversity
        Los pesos $\lambda$, $\tau$ y $\delta$, en las unidades del objetivo. La diversidad pide un lote y una capa
        convolucional.
    size
        Lado, o `(alto, ancho)`. Por omisión el de `start`; si no, el `input_size` de la red; si no lo dice, 64.
    batch
        Cuántas imágenes a la vez, cada una desde su ruido; por omisión, una.
    start
        Imágenes `(N, 3, H, W)` en [0, 1] de las que partir, en vez de gris con algo de ruido.
    basis
        `"fft"`, frecuencias con amplitud $1/f$, o `"pixels"` (véase `convlab.maximization.parametrization`).
    color
        Coordenadas de color: `"photos"`, sin correlación según unas fotos; una `color_matrix` de otras imágenes; o
        `None`, RGB.
    generator
        Fuente de azar, de cualquier dispositivo; da el ruido inicial y las transformaciones. Sin ella se usa la global.
    progress
        Si se dibuja la barra de progreso (en stderr).

    Returns
    -------
    Maximization
        Las imágenes, del dispositivo y el tipo de la red, y la puntuación en cada paso.

    Raises
    ------
    ConvlabError
        Si algún argumento no es válido, el objetivo no encaja con la red, o una imagen no recibió gradiente en ningún
        paso (una neurona que la ReLU deja apagada).

    References
    ----------
    Olah, Mordvintsev y Schubert, «Feature Visualization», Distill 2017.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> found = optimize(Mini(), class_logit(3), steps=4, batch=2, generator=torch.Generator().manual_seed(0))
    >>> found.images.shape, found.scores.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([4, 2]))
    """
    _check_numbers(steps=steps, lr=lr, jitter=jitter, rotation=rotation, scale=scale, l2=l2, tv=tv, diversity=diversity)
    sides, count = _shape(model, size, batch, start)
    if diversity and (objective.layer is None or count < 2):
        raise ConvlabError("La diversidad compara imágenes en una capa: pide batch=2 o más y un objetivo con capa.")
    jitter = min(sides) // 16 if jitter is None else jitter
    with torch.inference_mode(False), torch.enable_grad():
        device, dtype = _placement(model, start)
        # Se calcula al menos en float32 aunque la red sea de media precisión.
        working = torch.promote_types(dtype, torch.float32)
        matrix = torch.tensor(PHOTO_COLORS) if isinstance(color, str) and color == "photos" else color
        matrix = None if matrix is None else _color(matrix).to(device, working)
        gray = torch.full((count, 3, *sides), 0.5, device=device, dtype=working)
        z = encode(gray if start is None else start.to(gray), basis, matrix)
        source = "cpu" if generator is None else generator.device
        if start is None:
            z = z + START[basis] * torch.randn(z.shape, generator=generator, device=source).to(z)
        # De una vez: pedir cada número en su paso pararía la GPU a esperar.
        chance = (2 * torch.rand(steps, 4, generator=generator, device=source) - 1).tolist()
        adam, scores = Adam(z, lr), []
        alive = torch.zeros(count, dtype=torch.bool, device=device)

        def total(output: Any) -> Tensor:
            score = objective.score(output)
            if not isinstance(score, Tensor) or score.shape != (count,):
                got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
                raise ConvlabError(f"El objetivo debe dar una puntuación por imagen, ({count},), y dio {got}.")
            scores.append(score.detach())
            return score - diversity * gram_similarity(output) if diversity else score

        with evaluating(model), reaching(model, objective.layer) as forward:
            console = Console(file=sys.stderr)
            for a, b, c, d in track(chance, "maximización", console=console, disable=not progress):
                z = z.detach().requires_grad_()
                image = render(z, sides, matrix)
                view = transform(image, (round(a * jitter), round(b * jitter)), c * rotation, 1 + d * scale)
                leaf = view.detach().to(dtype).requires_grad_()
                gradient = gradient_of(forward(leaf.clone()), leaf, total, "la imagen").to(working)
                alive |= (gradient != 0).flatten(1).any(1)
                penalty = l2 * (image - 0.5).square().mean((1, 2, 3)) + tv * total_variation(image) / image[0].numel()
                (slope,) = torch.autograd.grad((view * gradient).sum() - penalty.sum(), z)
                z = adam.step(z.detach(), slope)
        found = Maximization(render(z.detach(), sides, matrix).to(dtype), torch.stack(scores))
    if not bool(alive.all()):
        raise ConvlabError(
            "El objetivo no dio gradiente en ningún paso: parece una neurona que la ReLU deja apagada. Elige la "
            "capa de antes de la ReLU, otra semilla u otra imagen inicial (start)."
        )
    if not bool(found.images.isfinite().all()):
        raise ConvlabError("El ascenso llegó a valores no finitos (NaN). Revisa los pesos de la red o baja «lr».")
    return found


def _shape(
    model: nn.Module, size: int | tuple[int, int] | None, batch: int | None, start: Tensor | None
) -> tuple[tuple[int, int], int]:
    """Tamaño y número de imágenes, con `start` de acuerdo."""
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise ConvlabError(f"`batch` debe ser un entero desde 1 y llegó {batch!r}.")
    if start is None:
        return image_size(getattr(model, "input_size", 64) if size is None else size), batch or 1
    check_images(start)
    sides, count = (int(start.shape[2]), int(start.shape[3])), len(start)
    if (size is not None and image_size(size) != sides) or (batch is not None and batch != count):
        raise ConvlabError(
            f"`start` trae {count} imágenes de {sides[0]}×{sides[1]} y se pidió size={size}, batch={batch}. Deja esos "
            "dos sin dar: los dice `start`."
        )
    return sides, count


def _placement(model: nn.Module, start: Tensor | None) -> tuple[torch.device, torch.dtype]:
    weights = (t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point())
    like = next(weights, start)
    return (torch.device("cpu"), torch.float32) if like is None else (like.device, like.dtype)


def _color(matrix: Any) -> Tensor:
    if not isinstance(matrix, Tensor) or matrix.shape != (3, 3):
        got = f"un tensor {tuple(matrix.shape)}" if isinstance(matrix, Tensor) else repr(matrix)
        raise ConvlabError(f"`color` debe ser «photos», una matriz (3, 3) de color_matrix o None, y llegó {got}.")
    return matrix.detach().clone()


def _check_numbers(*, steps: int, jitter: int | None, scale: float, **others: float) -> None:
    if not isinstance(steps, int) or steps < 1:
        raise ConvlabError(f"`steps` debe ser un entero desde 1 y llegó {steps!r}.")
    if jitter is not None and (not isinstance(jitter, int) or jitter < 0):
        raise ConvlabError(f"`jitter` son píxeles, un entero no negativo, y llegó {jitter!r}.")
    if not 0 <= scale < 1:
        raise ConvlabError(f"`scale` debe estar entre 0 y 1 (0.1 es de 0.9 a 1.1) y llegó {scale!r}.")
    for name, value in others.items():
        if not 0 <= value < math.inf:
            raise ConvlabError(f"`{name}` debe ser un número no negativo y llegó {value!r}.")
