"""El catálogo de t-SNE: lo que se escribe mal, con su diagnóstico, y otras maneras de escribirlo bien."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from convlab import embedding
from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right

Affinities = Callable[[Tensor], tuple[Tensor, Tensor]]


def _joint(x: Tensor, perplexity: float) -> Tensor:
    d2 = embedding.squared_distances(x)
    return embedding.joint_probabilities(embedding.conditional_probabilities(d2, perplexity))


def _noise(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return 1e-4 * torch.randn(len(x), 2, generator=generator, dtype=x.dtype)


def _descend(
    p: Tensor,
    y: Tensor,
    steps: int,
    *,
    affinities: Affinities = embedding.student_affinities,
    exaggerated: int | None = None,
    sign: int = 1,
) -> Tensor:
    """El descenso del enunciado; devuelve el mapa sin centrar."""
    early = steps // 4 if exaggerated is None else exaggerated
    velocity = torch.zeros_like(y)
    for step in range(steps):
        target = 12 * p if step < early else p
        gradient = sign * embedding.kl_gradient(target, *affinities(y), y)
        velocity = (0.5 if step < early else 0.8) * velocity - 10 * gradient
        y = y + velocity
    return y


def _center(y: Tensor) -> Tensor:
    return y - y.mean(0)


@_wrong(
    "La exageración no se retira",
    "Tus afinidades son demasiado grandes hasta el final, y los vecinos se amontonan. La exageración solo sirve para "
    "juntar los grupos al principio: pasado el primer cuarto de los pasos, vuelve a la p de verdad. Si ya lo haces, "
    "comprueba que usas las conjuntas: las condicionales suman N, y es como exagerar N veces para siempre.",
)
def _exaggerated_forever(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    return _center(_descend(_joint(x, perplexity), _noise(x, generator), steps, exaggerated=steps))


@_wrong(
    "Los puntos huyen unos de otros",
    "Tu mapa no conserva más vecinos que uno al azar. Lo más corriente es que sumes el gradiente: apunta hacia donde "
    "la divergencia crece, así que se resta. Si tu signo es bueno, repasa el núcleo del mapa: con una gaussiana en "
    "vez de la t de Student pasa lo mismo.",
)
def _ascent(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    return _center(_descend(_joint(x, perplexity), _noise(x, generator), steps, sign=-1))


@_wrong(
    "Los puntos se alejan sin freno",
    "Tu mapa crece sin límite. Lo más corriente es calcular q y w una sola vez: cambian en cuanto se mueve un punto, "
    "y `student_affinities(y)` va dentro del bucle. Si ya está dentro, mira si en tu gradiente falta w, que apaga la "
    "fuerza con la distancia.",
)
def _frozen(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    y = _noise(x, generator)
    first = embedding.student_affinities(y)
    return _center(_descend(_joint(x, perplexity), y, steps, affinities=lambda _: first))


@_wrong(
    "El mapa, sin centrar",
    "Tu mapa es bueno, pero su media no es cero: le queda la del sorteo, y algunas reglas de descenso la agrandan. "
    "Réstale `y.mean(0)` al acabar.",
)
def _not_centered(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    return _descend(_joint(x, perplexity), _noise(x, generator), steps)


@_wrong(
    "El azar global",
    "Has sorteado el mapa inicial sin `generator`, del azar global: nadie puede repetir tu mapa, y de paso cambias el "
    "azar de todo el programa. Escribe `torch.randn(..., generator=generator)`.",
)
def _global_chance(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return _center(_descend(_joint(x, perplexity), _noise(x, None), steps))


@_wrong(
    "Siempre el mismo mapa",
    "Tu mapa no depende de `generator`: has fijado una semilla dentro, o partes de algo que no es azar. Sortea el "
    "mapa inicial con el generador que recibes.",
)
def _fixed_seed(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return _center(_descend(_joint(x, perplexity), _noise(x, torch.Generator().manual_seed(0)), steps))


@_wrong(
    "Un mapa inicial demasiado grande",
    "Tu mapa inicial tiene desviación típica 1: los puntos empiezan lejos unos de otros y les cuesta cruzarse. "
    "Multiplica el sorteo por 1e-4.",
)
def _large_start(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    return _center(_descend(_joint(x, perplexity), 1e4 * _noise(x, generator), steps))


@_wrong(
    "El `return` dentro del bucle",
    "Tu función acaba en el primer paso, y el mapa sigue siendo el del sorteo. Saca el `return` del bucle: mira su "
    "sangría.",
)
def _one_step(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return _center(_descend(_joint(x, perplexity), _noise(x, generator), 1))


@_wrong(
    "Un número de pasos fijo",
    "Das siempre los mismos pasos, sin mirar `steps`. El bucle es `for step in range(steps)`.",
)
def _fixed_steps(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return _center(_descend(_joint(x, perplexity), _noise(x, generator), 400))


@_wrong(
    "La perplejidad, sin usar",
    "Tu mapa no depende de `perplexity`: has dejado un número fijo. Pásala a `conditional_probabilities`.",
)
def _fixed_perplexity(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return _center(_descend(_joint(x, 5), _noise(x, generator), steps))


@_wrong(
    "Los datos, cambiados",
    "El mapa es bueno, pero al preparar los datos has escrito encima de ellos (`x -= …`). Escribe `x = x - "
    "x.mean(0)`, que hace un tensor nuevo.",
)
def _changes_data(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    x -= x.mean(0)
    return _center(_descend(_joint(x, perplexity), _noise(x, generator), steps))


@_right
def _plain_momentum(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    """La receta del enunciado: sin ganancias y con tasa 10."""
    p, y = _joint(x, perplexity), _noise(x, generator)
    before = y.clone()
    for step in range(steps):
        early = step < steps // 4
        w = 1 / (1 + torch.cdist(y, y).square())
        w = w * (1 - torch.eye(len(y), dtype=y.dtype))
        force = ((12 if early else 1) * p - w / w.sum()) * w
        gradient = 4 * (torch.diag(force.sum(1)) - force) @ y
        y, before = y - 10 * gradient + (0.5 if early else 0.8) * (y - before), y
    return y - y.mean(dim=0, keepdim=True)


@_right
def _numpy(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    """En NumPy y float64, con ganancias y otro sorteo, centrando en cada paso."""
    p = _joint(x.double(), perplexity).numpy()
    y = 1e-4 * torch.randn(2, len(x), generator=generator).double().numpy().T
    velocity, gains = np.zeros_like(y), np.ones_like(y)
    for step in range(steps):
        early = step < min(100, steps // 3)
        gap = y[:, None] - y[None]
        w = 1 / (1 + np.square(gap).sum(2))
        np.fill_diagonal(w, 0)
        gradient = 4 * np.einsum("ij,ijd->id", (p * (12 if early else 1) - w / w.sum()) * w, gap)
        gains = np.maximum(np.where(np.sign(gradient) == np.sign(velocity), gains * 0.8, gains + 0.2), 0.01)
        velocity = (0.5 if early else 0.8) * velocity - 10 * gains * gradient
        y = y + velocity
        y -= y.mean(0)
    return torch.from_numpy(y).to(x.dtype)


@_right
def _optimizer(x: Tensor, perplexity: float, steps: int, generator: torch.Generator) -> Tensor:
    """Con el optimizador de PyTorch y el gradiente puesto a mano."""
    p = _joint(x, perplexity)
    y = _noise(x, generator).requires_grad_()
    optimizer = torch.optim.SGD([y], lr=10, momentum=0.8)
    for step in range(steps):
        with torch.no_grad():
            q, w = embedding.student_affinities(y)
            y.grad = embedding.kl_gradient(p * (12 if step < steps // 4 else 1), q, w, y)
        optimizer.step()
    result = y.detach()
    return result - result.mean(0)
