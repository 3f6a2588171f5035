"""La clase que se explica: de un índice o un tensor de índices al logit de cada imagen."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from convlab.errors import ConvlabError, unknown_name

ScoreFn = Callable[[Any], Tensor]

Output = Literal["logit", "probability"]
"""Qué se explica: el logit de la clase o su probabilidad, tras *softmax*."""

# Imágenes por pasada; "auto", las que más convengan a la técnica, dentro de su parte de la memoria.
BatchSize = int | Literal["auto"]


def target_score(target: int | Tensor, select: ScoreFn | None = None) -> ScoreFn:
    """Función que toma la salida del modelo y devuelve el logit de la clase pedida, `(N,)`.

    Parameters
    ----------
    target
        Índice de clase para todas las imágenes, o un tensor entero `(N,)` con uno por imagen.
    select
        Si el modelo devuelve una tupla o un diccionario, la función que saca de él los logits `(N, K)`.

    Raises
    ------
    ConvlabError
        Si `target` no es entero; y, al usar la función, si su forma no es la del lote, se sale de las
        clases, o la salida no son logits `(N, K)`.

    Examples
    --------
    >>> target_score(torch.tensor([2, 0]))(torch.arange(6.0).reshape(2, 3))
    tensor([2., 3.])
    """
    target = _integers(target)

    def score(output: Any) -> Tensor:
        logits = output if select is None else select(output)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            got = f"un tensor {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ConvlabError(
                f"Se esperaban logits (N, K) y el modelo dio {got}. Pasa «select», una función que los saque de su "
                "salida; por ejemplo, select=lambda salida: salida[0]."
            )
        # Una copia: el grafo no puede guardar un tensor creado en inference_mode.
        classes = class_indices(target, *logits.shape).to(logits.device).clone()
        return logits.gather(1, classes[:, None])[:, 0]

    return score


def output_score(target: int | Tensor, output: Output = "logit", select: ScoreFn | None = None) -> ScoreFn:
    """Como `target_score`, con el logit de la clase o con su probabilidad.

    Raises
    ------
    ConvlabError
        Si `output` no es `"logit"` ni `"probability"`, y los de `target_score`.

    Examples
    --------
    >>> output_score(1, "probability")(torch.zeros(2, 4))
    tensor([0.2500, 0.2500])
    """
    if output not in get_args(Output):
        raise unknown_name("la salida", output, get_args(Output))
    if output == "logit":
        return target_score(target, select)

    def probabilities(result: Any) -> Any:
        logits = result if select is None else select(result)
        return logits.softmax(1) if isinstance(logits, Tensor) and logits.ndim == 2 else logits

    return target_score(target, probabilities)


def check_counts(**counts: int) -> None:
    """Comprueba que cada argumento es un entero desde 1.

    Raises
    ------
    ConvlabError
        Si no lo es; dice cuál y qué llegó.

    Examples
    --------
    >>> check_counts(steps=20, batch_size=8)
    """
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConvlabError(f"`{name}` debe ser un entero desde 1 y llegó {value!r}.")


def check_batch_size(batch_size: BatchSize) -> None:
    """Comprueba que es un entero desde 1 o «auto».

    Raises
    ------
    ConvlabError
        Si no lo es.

    Examples
    --------
    >>> check_batch_size("auto")
    """
    if batch_size != "auto":
        check_counts(batch_size=batch_size)


def class_indices(target: int | Tensor, n: int, k: int) -> Tensor:
    """Una clase por imagen: comprueba `target` y lo lleva a un tensor entero `(n,)`.

    Parameters
    ----------
    target
        Índice de clase para todas las imágenes, o un tensor entero `(n,)` con uno por imagen.
    n, k
        Número de imágenes y de clases.

    Raises
    ------
    ConvlabError
        Si no es entero, su forma no es la del lote o alguna clase no está entre 0 y `k - 1`.

    Examples
    --------
    >>> class_indices(7, 3, 10)
    tensor([7, 7, 7])
    """
    classes = per_image(target, n)
    outside = classes[(classes < 0) | (classes >= k)]
    if outside.numel():
        raise ConvlabError(f"La clase {outside[0].item()} no existe: el modelo tiene {k}, de 0 a {k - 1}.")
    return classes


def per_image(target: int | Tensor, n: int) -> Tensor:
    """Como `class_indices`, antes de saber cuántas clases hay.

    Raises
    ------
    ConvlabError
        Si no es entero o su forma no es la del lote.

    Examples
    --------
    >>> per_image(torch.tensor([4, 900]), 2)
    tensor([  4, 900])
    """
    classes = _integers(target)
    if classes.ndim == 0:
        classes = classes.expand(n)
    if classes.shape != (n,):
        raise ConvlabError(
            f"Con {n} imágenes se esperaba una clase o un tensor ({n},), y llegó {tuple(classes.shape)}."
        )
    return classes


def _integers(target: int | Tensor) -> Tensor:
    if not isinstance(target, Tensor) and hasattr(target, "__index__") and not isinstance(target, bool):
        target = torch.tensor(index(target))
    if not isinstance(target, Tensor) or target.is_floating_point() or target.dtype == torch.bool:
        got = f"un tensor {target.dtype}" if isinstance(target, Tensor) else f"«{target!r}»"
        raise ConvlabError(
            f"La clase debe ser un entero o un tensor entero (N,), y llegó {got}. "
            "Usa, por ejemplo, target=3 o target=torch.tensor([3, 5])."
        )
    return target.long()
