r"""Lección 05: t-SNE exacto, paso a paso, como lo definieron van der Maaten y Hinton.

En los datos cada punto reparte entre los demás una probabilidad de vecindad gaussiana $p_{ij}$; en el mapa, otra de
Student $q_{ij}$. t-SNE mueve los puntos del mapa para bajar la divergencia KL de $q$ a $p$. Aquí todo es denso,
$O(N^2)$ en memoria y en cada paso: está para entenderlo. Para miles de puntos, `convlab.embedding.embed_points`.

Los tensores pueden ser de cualquier tipo de coma flotante y dispositivo. Se calcula y se devuelve al menos en float32.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from convlab.embedding.points import check_matrix, check_points, exact_dtype, pca, squared_distances
from convlab.errors import ConvlabError, unknown_name

__all__ = [
    "conditional_probabilities",
    "initial_map",
    "joint_probabilities",
    "kl_divergence",
    "kl_gradient",
    "squared_distances",
    "student_affinities",
    "tsne",
]

Init = Literal["random", "pca"]
"""De dónde parte un mapa: de una nube al azar o de las componentes principales, reducidas al mismo tamaño."""

_START = 1e-4  # desviación típica del mapa inicial: tan junto que ningún punto estorba a otro
_EXAGGERATION = 12.0
_MIN_GAIN = 0.01


def conditional_probabilities(d2: Tensor, perplexity: float) -> Tensor:
    r"""Probabilidad $p_{j|i}$ de que el punto $i$ elija al $j$ como vecino, con la perplejidad pedida en cada fila.

    $p_{j|i} \propto \exp(-\beta_i d_{ij}^2)$ con $j \ne i$. Cada $\beta_i = 1 / 2\sigma_i^2$ se busca por bisección,
    en todas las filas a la vez, hasta que la perplejidad —$2^H$ con la entropía en bits, que es $e^H$ con la entropía
    en nats— sea la pedida.

    Parameters
    ----------
    d2
        Distancias al cuadrado `(N, N)`; la diagonal no cuenta.
    perplexity
        Número efectivo de vecinos, en [1, N − 1).

    Returns
    -------
    Tensor
        `(N, N)`: cada fila suma 1 y la diagonal es cero. Si los vecinos más próximos de un punto están empatados y son
        más que la perplejidad, se reparten la fila por igual.

    Raises
    ------
    ConvlabError
        Si `d2` no es una matriz cuadrada de números finitos no negativos, o la perplejidad se sale de su rango.

    References
    ----------
    van der Maaten y Hinton, «Visualizing Data using t-SNE», JMLR 9, 2008.

    Examples
    --------
    >>> p = conditional_probabilities(squared_distances(torch.randn(20, 5)), perplexity=6)
    >>> entropia = -(p * p.clamp(min=1e-30).log2()).sum(1)
    >>> bool(((2**entropia - 6).abs() < 1e-3).all())
    True
    """
    d2 = _check_square(d2, "las distancias al cuadrado")
    n = len(d2)
    if not 1 <= perplexity < n - 1:
        raise ConvlabError(
            f"Con {n} puntos, la perplejidad debe estar en [1, {n - 1}) y llegó {perplexity}: cuenta vecinos efectivos "
            f"y cada punto tiene {n - 1}. Baja la perplejidad o da más puntos."
        )
    diagonal = torch.eye(n, dtype=torch.bool, device=d2.device)
    # Restar la menor distancia de la fila no cambia las probabilidades y evita que todas las exponenciales sean cero;
    # con la media de la fila como unidad, el mismo intervalo de búsqueda vale para datos de cualquier escala.
    d = d2.detach().to(exact_dtype(d2))
    d = (d - d.masked_fill(diagonal, torch.inf).amin(1, keepdim=True)).masked_fill(diagonal, 0)
    mean = d.mean(1, keepdim=True)
    d = d / torch.where(mean > 0, mean, 1)

    low, high = d.new_full((n, 1), -40.0), d.new_full((n, 1), 100.0)  # log2 de β
    for _ in range(60):
        middle = (low + high) / 2
        beta = middle.exp2()
        weights = (-beta * d).exp().masked_fill(diagonal, 0)
        total = weights.sum(1, keepdim=True)
        entropy = total.log() + beta * (weights * d).sum(1, keepdim=True) / total
        spread = entropy > math.log(perplexity)
        low, high = torch.where(spread, middle, low), torch.where(spread, high, middle)
    return (weights / total).to(d2.dtype)


def joint_probabilities(p: Tensor) -> Tensor:
    r"""Afinidades simétricas $p_{ij} = (p_{j|i} + p_{i|j}) / 2N$, que suman 1 entre todos los pares.

    Parameters
    ----------
    p
        Probabilidades condicionales `(N, N)`, cada fila con suma 1.

    Returns
    -------
    Tensor
        `(N, N)`, simétrico.

    Raises
    ------
    ConvlabError
        Si `p` no es una matriz cuadrada no negativa cuyas filas suman 1.

    Examples
    --------
    >>> joint_probabilities(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])
    """
    p = _check_square(p, "las probabilidades")
    if bool(((p.sum(1) - 1).abs() > 1e-2).any()):
        raise ConvlabError(
            "Cada fila de las probabilidades condicionales debe sumar 1. Calcúlalas con conditional_probabilities."
        )
    return (p + p.T) / (2 * len(p))


def student_affinities(y: Tensor) -> tuple[Tensor, Tensor]:
    r"""Afinidades del mapa, con la $t$ de Student de un grado de libertad: $w_{ij} = 1 / (1 + \|y_i - y_j\|^2)$.

    Parameters
    ----------
    y
        Mapa `(N, 2)` o `(N, 3)`, con N desde 2.

    Returns
    -------
    tuple
        `(q, w)`: `w` es el núcleo, con la diagonal a cero, y `q = w / w.sum()`. Ambos `(N, N)`. Se pueden derivar.

    Raises
    ------
    ConvlabError
        Si `y` no es `(N, d)` de coma flotante con N desde 2.

    Examples
    --------
    >>> q, w = student_affinities(torch.tensor([[0.0, 0.0], [0.0, 3.0]]))
    >>> w[0, 1], q[0, 1]
    (tensor(0.1000), tensor(0.5000))
    """
    y = check_matrix(y)
    if len(y) < 2:
        raise ConvlabError("Se esperaban al menos dos puntos y llegó uno, que no tiene con quién formar pareja.")
    # Restar coordenada a coordenada es exacto y, con dos o tres, más rápido que el producto de matrices.
    d2 = sum(((c[:, None] - c).square() for c in y.unbind(1)), start=y.new_zeros(()))
    w = (1 / (1 + d2)).masked_fill(torch.eye(len(y), dtype=torch.bool, device=y.device), 0)
    return w / w.sum(), w


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    r"""Lo que t-SNE minimiza: $\sum_{i \ne j} p_{ij} \log (p_{ij} / q_{ij})$, en nats.

    Parameters
    ----------
    p, q
        Afinidades `(N, N)` de los datos y del mapa.

    Returns
    -------
    Tensor
        Un escalar, derivable respecto de `q`. Los pares con $p_{ij} = 0$ no cuentan.

    Raises
    ------
    ConvlabError
        Si no tienen la misma forma.

    Examples
    --------
    >>> q, _ = student_affinities(torch.randn(5, 2))
    >>> kl_divergence(q, q)
    tensor(0.)
    """
    if p.shape != q.shape:
        raise ConvlabError(f"`p` {tuple(p.shape)} y `q` {tuple(q.shape)} deben tener la misma forma.")
    tiny = torch.finfo(q.dtype).tiny
    return (torch.special.xlogy(p, p) - torch.where(p > 0, p * q.clamp(min=tiny).log(), 0)).sum()


def kl_gradient(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    r"""Gradiente de la divergencia respecto del mapa: $4 \sum_j (p_{ij} - q_{ij})\, w_{ij}\, (y_i - y_j)$.

    Un par más próximo en los datos que en el mapa ($p > q$) se atrae; al revés, se repele.

    Parameters
    ----------
    p
        Afinidades de los datos `(N, N)`, simétricas.
    q, w
        Lo que da `student_affinities(y)`.
    y
        Mapa `(N, 2)` o `(N, 3)`.

    Returns
    -------
    Tensor
        De la forma de `y`.

    Raises
    ------
    ConvlabError
        Si las formas no casan.

    Examples
    --------
    >>> y = torch.randn(6, 2)
    >>> q, w = student_affinities(y)
    >>> kl_gradient(q, q, w, y).abs().max()
    tensor(0.)
    """
    if not p.shape == q.shape == w.shape == (len(y), len(y)):
        raise ConvlabError(
            f"Con un mapa {tuple(y.shape)}, `p`, `q` y `w` deben ser {(len(y), len(y))} y llegaron {tuple(p.shape)}, "
            f"{tuple(q.shape)} y {tuple(w.shape)}."
        )
    pull = (p - q) * w
    return 4 * (pull.sum(1, keepdim=True) * y - pull @ y.to(pull.dtype))


def initial_map(x: Tensor, dimensions: int, init: Init, generator: torch.Generator | None = None) -> Tensor:
    """Mapa del que parte t-SNE, de desviación típica 1e-4.

    Parameters
    ----------
    x
        Puntos `(N, D)`.
    dimensions
        2 o 3.
    init
        `"random"`, una nube gaussiana, o `"pca"`, las primeras componentes principales, que conservan algo de la
        disposición general y no dependen del azar.
    generator
        Fuente de azar de `"random"`; sin ella se usa la global. El mapa no depende del dispositivo de `x`.

    Returns
    -------
    Tensor
        `(N, dimensions)`.

    Raises
    ------
    ConvlabError
        Si un argumento no es válido o los puntos tienen menos componentes que el mapa.

    Examples
    --------
    >>> bool((initial_map(torch.randn(50, 8), 2, "pca").std(0, correction=0)[0] - 1e-4).abs() < 1e-8)
    True
    """
    points = check_points(x)
    if dimensions not in (2, 3):
        raise ConvlabError(f"El mapa debe tener 2 o 3 dimensiones y se pidieron {dimensions}.")
    if init not in get_args(Init):
        raise unknown_name("el mapa inicial", init, get_args(Init))
    if init == "pca":
        if min(points.shape) < dimensions:
            raise ConvlabError(
                f"Los puntos {tuple(points.shape)} no tienen {dimensions} componentes principales. Usa init='random'."
            )
        scores = pca(points, dimensions).scores
        return scores * (_START / scores[:, 0].std(correction=0).clamp(min=torch.finfo(scores.dtype).tiny))
    device = generator.device if generator is not None else points.device
    noise = torch.randn(len(points), dimensions, generator=generator, device=device, dtype=points.dtype)
    return _START * noise.to(points.device)


def tsne(
    x: Tensor,
    perplexity: float,
    steps: int = 1000,
    generator: torch.Generator | None = None,
    *,
    dimensions: int = 2,
    init: Init = "random",
) -> Tensor:
    """t-SNE exacto por descenso de gradiente, con el impulso y las ganancias del artículo.

    En el primer cuarto de los pasos, y en 250 como mucho, las afinidades se exageran 12 veces y el impulso es 0,5: los
    vecinos se juntan mientras el mapa aún es pequeño. Después la exageración se retira y el impulso sube a 0,8. La
    tasa de aprendizaje es `max(N / 48, 50)`, la de scikit-learn.

    Parameters
    ----------
    x
        Puntos `(N, D)`.
    perplexity
        Número efectivo de vecinos, en [1, N − 1).
    steps
        Pasos del descenso, desde 1.
    generator
        Fuente de azar del mapa inicial; con `init="pca"` no hay azar. Con el mismo generador, el mismo mapa.
    dimensions
        2 o 3.
    init
        Mapa inicial, véase `initial_map`.

    Returns
    -------
    Tensor
        `(N, dimensions)`, de media nula. Su escala, sus ejes y su signo no significan nada.

    Raises
    ------
    ConvlabError
        Si un argumento no es válido.

    References
    ----------
    van der Maaten y Hinton, «Visualizing Data using t-SNE», JMLR 9, 2008.

    Examples
    --------
    >>> x = torch.cat([torch.randn(10, 4), 20 + torch.randn(10, 4)])
    >>> tsne(x, 5, 200, torch.Generator().manual_seed(0)).shape
    torch.Size([20, 2])
    """
    if not isinstance(steps, int) or steps < 1:
        raise ConvlabError(f"`steps` debe ser un entero desde 1 y llegó {steps!r}.")
    with torch.no_grad():
        y = initial_map(x, dimensions, init, generator)
        p = joint_probabilities(conditional_probabilities(squared_distances(x), perplexity))
        rate, early = max(len(y) / _EXAGGERATION / 4, 50.0), min(steps // 4, 250)
        target, momentum = _EXAGGERATION * p, 0.5
        velocity, gains = torch.zeros_like(y), torch.ones_like(y)
        for step in range(steps):
            if step == early:
                target, momentum = p, 0.8
            gradient = kl_gradient(target, *student_affinities(y), y)
            gains = torch.where(gradient * velocity < 0, gains + 0.2, gains * 0.8).clamp(min=_MIN_GAIN)
            velocity = momentum * velocity - rate * gains * gradient
            y = y + velocity
        return y - y.mean(0)


def _check_square(m: Tensor, what: str) -> Tensor:
    m = check_matrix(m)
    if m.shape[0] != m.shape[1]:
        raise ConvlabError(f"Se esperaba una matriz cuadrada (N, N) con {what} y llegó {tuple(m.shape)}.")
    if not bool((m >= 0).all() & m.isfinite().all()):
        raise ConvlabError(f"Se esperaban números finitos no negativos en {what}. Revisa cómo se calcularon.")
    return m
