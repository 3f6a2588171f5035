"""Lo que comparten los ataques: la pérdida, los pasos, las pasadas sin grafo y la comprobación de los argumentos."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlab._passes import observe
from convlab.errors import ConvlabError
from convlab.hooks import check_images, input_gradient
from convlab.targets import class_indices, per_image

RANGE_SLACK = 1e-4  # lo que el redondeo de un cambio de tamaño puede sacar a una imagen de [0, 1]


class CrossEntropy:
    """Entropía cruzada sumada: el gradiente de cada imagen es el suyo, sin dividir por cuántas son.

    Las clases se comprueban en la primera llamada: en una GPU, cada comprobación obliga a esperarla.
    """

    def __init__(self, y: int | Tensor, n: int) -> None:
        self.given = per_image(y, n)
        self.classes: Tensor | None = None

    def __call__(self, output: Any) -> Tensor:
        logits = check_logits(output)
        if self.classes is None:
            # Una copia: el grafo no puede guardar un tensor creado en inference_mode.
            self.classes = class_indices(self.given, *logits.shape).to(logits.device).clone()
        return F.cross_entropy(wide(logits), self.classes, reduction="sum")


def ascend(
    model: nn.Module, start: Tensor, y: int | Tensor, steps: int, move: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Repite `move(imágenes, gradiente de la pérdida)`: una pasada hacia delante y otra hacia atrás por paso."""
    loss = CrossEntropy(y, len(start))
    finite = torch.ones((), dtype=torch.bool, device=start.device)
    for _ in range(steps):
        gradient = input_gradient(model, start, loss)
        finite = finite & gradient.isfinite().all()
        start = move(start, gradient)
    require_finite(finite)
    return start


def require_finite(finite: Tensor) -> None:
    """Falla si algún gradiente no era finito: `sign(NaN)` es 0, y el ataque parecería no encontrar nada."""
    if not bool(finite):
        raise ConvlabError(
            "El gradiente de la pérdida tiene NaN o infinitos, así que el ataque no vale. Revisa los pesos de la red y "
            "sus capas con logaritmos, raíces o divisiones; con float16, prueba en float32."
        )


def hits(model: nn.Module, x: Tensor, y: int | Tensor) -> Tensor:
    """Qué imágenes acierta la red, `(N,)` booleano: una pasada sin grafo."""
    logits = forward(model, x)
    return logits.argmax(1) == class_indices(y, *logits.shape).to(logits.device)


def forward(model: nn.Module, x: Tensor) -> Tensor:
    """Logits `(N, K)` en modo `eval` y sin grafo."""
    return check_logits(observe(model, x))


def check_logits(output: Any) -> Tensor:
    """Comprueba que la red devolvió logits `(N, K)`."""
    if not isinstance(output, Tensor) or output.ndim != 2:
        got = f"un tensor {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ConvlabError(
            f"Se esperaban logits (N, K) y el modelo dio {got}. Envuélvelo en un nn.Module que devuelva los logits."
        )
    return output


def check_range(x: Tensor) -> None:
    """Comprueba que `x` son imágenes en [0, 1]; recortar otras a ese intervalo las destruiría sin avisar."""
    check_images(x)
    low, high = torch.stack(torch.aminmax(x.detach())).tolist()
    if not (low >= -RANGE_SLACK and high <= 1 + RANGE_SLACK):
        raise ConvlabError(
            f"Se esperaban imágenes en [0, 1] y llegaron valores entre {low:.4g} y {high:.4g}. Si van de 0 a 255, "
            "divídelas entre 255; si están normalizadas, pasa la imagen sin normalizar y mete la normalización en la "
            "red con convlab.models.normalized.Normalized."
        )


def check_units(**values: float) -> None:
    """Comprueba tamaños en norma L∞: entre 0 y 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ConvlabError(
                f"`{name}` se mide en unidades de [0, 1] y llegó {value}; si pensabas en niveles de 0 a 255, "
                f"escribe {value}/255."
            )


def check_distance(x: Tensor, **values: float) -> None:
    """Comprueba tamaños en norma L2: entre 0 y la mayor distancia que cabe entre dos imágenes."""
    farthest = math.sqrt(x[0].numel())
    for name, value in values.items():
        if not 0 <= value <= farthest:
            raise ConvlabError(
                f"`{name}` es una distancia L2 entre imágenes en [0, 1] y llegó {value}; con las de tamaño "
                f"{tuple(x.shape[1:])} va de 0 a {farthest:.4g}."
            )


def check_walk(eps: float, alpha: float, steps: int) -> int:
    """Comprueba que un ataque de varios pasos puede moverse; devuelve `steps` como entero."""
    if alpha == 0 and eps > 0:
        raise ConvlabError(f"Con `alpha` = 0 el ataque no se mueve. Elige un paso mayor, por ejemplo {eps / 4:.4g}.")
    return check_count("steps", steps)


def check_count(name: str, value: int) -> int:
    """Comprueba que `value` es un entero desde 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or index(value) < 1:
        raise ConvlabError(f"`{name}` debe ser un entero, 1 o más, y llegó {value!r}.")
    return index(value)


def check_same_shape(x_adv: Tensor, x: Tensor) -> None:
    """Comprueba que dos lotes tienen la misma forma: si no, se compararían por difusión (*broadcasting*)."""
    if x_adv.shape != x.shape:
        raise ConvlabError(f"Se esperaban dos lotes iguales y llegaron {tuple(x_adv.shape)} y {tuple(x.shape)}.")


def wide(values: Tensor) -> Tensor:
    """Al menos float32: en media precisión no se suma."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def norms(values: Tensor) -> Tensor:
    """Norma L2 de cada imagen, `(N, 1, 1, 1)`, en float32 al menos."""
    return torch.linalg.vector_norm(wide(values), dim=(1, 2, 3), keepdim=True)
