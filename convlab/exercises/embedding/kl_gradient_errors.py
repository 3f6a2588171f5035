"""El catálogo del gradiente: lo que se escribe mal, con su diagnóstico, y otras maneras de escribirlo bien."""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right


def _sum(force: Tensor, y: Tensor) -> Tensor:
    """Suma sobre j de la fuerza de cada pareja por el vector que va de j a i."""
    return (force[:, :, None] * (y[:, None] - y)).sum(1)


@_wrong(
    "Falta el factor 4",
    "La dirección es buena, pero el gradiente es cuatro veces menor: se te ha olvidado el 4 de la fórmula.",
)
def _no_factor(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return _sum((p - q) * w, y)


@_wrong(
    "Factor 2 en vez de 4",
    "Tu gradiente es la mitad. Cada pareja aparece dos veces en la divergencia, (i, j) y (j, i), y la derivada del "
    "cuadrado pone otro 2: en total, 4.",
)
def _factor_two(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return 2 * _sum((p - q) * w, y)


@_wrong(
    "Falta el núcleo w",
    "Sin w tu gradiente es el de SNE, el antecesor con gaussianas: dos puntos lejanos se empujan tanto más cuanto más "
    "lejos están. Multiplica (p − q) por w, que apaga la fuerza con la distancia.",
)
def _no_kernel(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return 4 * _sum(p - q, y)


@_wrong(
    "q en vez de w",
    "Has multiplicado por q, que está normalizada; la fórmula lleva el núcleo w, sin normalizar. La dirección es la "
    "misma y la longitud no.",
)
def _normalized_kernel(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return 4 * _sum((p - q) * q, y)


@_wrong(
    "El núcleo al cuadrado",
    "Has multiplicado dos veces por w. La derivada de q ya lo trae una vez, y con una basta.",
)
def _squared_kernel(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return 4 * _sum((p - q) * w.square(), y)


@_wrong(
    "El signo cambiado",
    "Tu resultado es el gradiente cambiado de signo: has puesto q − p, o y_j − y_i, o has devuelto ya la dirección de "
    "bajada. El gradiente apunta hacia donde la divergencia *sube*; el menos lo pone quien desciende.",
)
def _flipped(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return -4 * _sum((p - q) * w, y)


@_wrong(
    "Media en vez de suma",
    "Has promediado sobre j, y tu gradiente es N veces menor. Las fuerzas de todos los demás se suman.",
)
def _mean(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return 4 * _sum((p - q) * w, y) / len(y)


@_wrong(
    "Solo atracción",
    "Falta restar q: todas tus fuerzas atraen y el mapa acabaría en un punto. La resta p − q es la que repele a las "
    "parejas que el mapa ha puesto demasiado juntas.",
)
def _attraction_only(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    return 4 * _sum(p * w, y)


@_wrong(
    "Cociente en vez de diferencia",
    "Has usado el logaritmo de p / q, lo que hay dentro de la divergencia. Al derivar desaparece y queda la "
    "diferencia, p − q.",
)
def _ratio(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    tiny = 1e-30
    return 4 * _sum((p.clamp(min=tiny) / q.clamp(min=tiny)).log() * w, y)


@_wrong(
    "Solo los demás, sin el propio punto",
    "Has sumado las posiciones de los demás y no las diferencias: falta la parte de y_i. El vector de cada pareja es "
    "y_i − y_j, y el gradiente no puede depender de dónde esté el origen.",
)
def _no_own_position(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return -4 * ((p - q) * w) @ y


@_wrong(
    "Solo la mitad de las parejas",
    "Has sumado sobre j > i y a los últimos puntos apenas les llega fuerza. Sobre el punto i actúan todos los demás.",
)
def _half(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return 4 * _sum(((p - q) * w).triu(), y)


@_wrong(
    "Vectores de longitud uno",
    "Has dividido y_i − y_j por la distancia y solo queda la dirección. En la fórmula el vector va entero: es la "
    "derivada de la distancia al cuadrado.",
)
def _unit_vectors(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    gap = (y[:, None] - y).norm(dim=2)
    return 4 * _sum((p - q) * w / torch.where(gap > 0, gap, 1), y)


@_wrong(
    "Derivada automática con p exagerada",
    "Has derivado la divergencia con `autograd`, y es el gradiente mientras p sume 1. Con la exageración suma 12, y "
    "tu q se multiplica también por 12: los puntos se repelen de más. Escribe la fórmula, que usa p − q tal como "
    "llegan.",
)
def _autograd(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001
    with torch.enable_grad():
        leaf = y.detach().clone().requires_grad_()
        kernel = 1 / (1 + (leaf[:, None] - leaf).square().sum(2))
        kernel = kernel * (1 - torch.eye(len(y), dtype=y.dtype))
        attraction = -(p * torch.where(kernel > 0, kernel, 1).log()).sum()
        (gradient,) = torch.autograd.grad(attraction + p.sum() * kernel.sum().log(), leaf)
    return gradient


@_wrong(
    "Las afinidades, cambiadas",
    "El gradiente es correcto, pero `p -= q` ha cambiado las afinidades de los datos, que hacen falta en todos los "
    "pasos. Escribe `p - q`, que es un tensor nuevo.",
)
def _changes_affinities(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    p -= q
    return 4 * _sum(p * w, y)


@_right
def _pair_by_pair(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    gradient = torch.zeros_like(y)
    for i in range(len(y)):
        for j in range(len(y)):
            gradient[i] += 4 * (p[i, j] - q[i, j]) * w[i, j] * (y[i] - y[j])
    return gradient


@_right
def _laplacian(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    force = (p - q) * w
    return 4 * (torch.diag(force.sum(1)) - force) @ y


@_right
def _einsum(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    return torch.einsum("ij,ijd->id", 4 * (p * w - q * w), y.unsqueeze(1) - y.unsqueeze(0))


@_right
def _by_coordinate(p: Tensor, q: Tensor, w: Tensor, y: Tensor) -> Tensor:
    wide = ((p.double() - q) * w).numpy()
    columns = [(wide * (c[:, None] - c)).sum(1) for c in y.double().numpy().T]
    return torch.stack([torch.from_numpy(4 * c) for c in columns], dim=1).to(y.dtype)
