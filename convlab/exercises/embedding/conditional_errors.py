"""El catálogo de las probabilidades condicionales: errores con su diagnóstico, y otras maneras de escribirlo bien."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right


def _diagonal(d2: Tensor) -> Tensor:
    return torch.eye(len(d2), dtype=torch.bool, device=d2.device)


def _shifted(d2: Tensor) -> Tensor:
    """Cada fila menos su menor distancia, con infinito en la diagonal."""
    d = d2.double().masked_fill(_diagonal(d2), torch.inf)
    return d - d.amin(1, keepdim=True)


def _normalized(d: Tensor, beta: Tensor) -> Tensor:
    weights = (-beta * d).exp()
    return weights / weights.sum(1, keepdim=True)


def _nats(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(1, keepdim=True)


def _search(d: Tensor, goal: float, *, backwards: bool = False) -> Tensor:
    """Bisección del logaritmo de beta en todas las filas; con las distancias ya listas, lo demás no puede fallar."""
    mean = torch.where(d.isfinite(), d, 0).mean(1, keepdim=True)
    unit = torch.where(mean > 0, mean, 1)
    low, high = d.new_full((len(d), 1), -40.0), d.new_full((len(d), 1), 100.0)
    for _ in range(60):
        middle = (low + high) / 2
        wide = (_nats(_normalized(d, middle.exp2() / unit)) > goal) ^ backwards
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    return _normalized(d, middle.exp2() / unit)


def _correct(d2: Tensor, perplexity: float) -> Tensor:
    return _search(_shifted(d2), math.log(perplexity)).to(d2.dtype)


@_wrong(
    "Nats contra bits",
    "Comparas una entropía en nats (`log`) con `log2(perplexity)`, y cada punto acaba con más vecinos de los pedidos. "
    "La perplejidad es 2 elevado a la entropía en bits, que es e elevado a la entropía en nats: usa el mismo "
    "logaritmo en los dos lados.",
)
def _nats_against_bits(d2: Tensor, perplexity: float) -> Tensor:
    return _search(_shifted(d2), math.log2(perplexity)).to(d2.dtype)


@_wrong(
    "Bits contra nats",
    "Comparas una entropía en bits (`log2`) con `log(perplexity)`, y cada punto acaba con menos vecinos de los "
    "pedidos. Usa el mismo logaritmo en los dos lados.",
)
def _bits_against_nats(d2: Tensor, perplexity: float) -> Tensor:
    return _search(_shifted(d2), math.log(perplexity) * math.log(2)).to(d2.dtype)


@_wrong(
    "La diagonal cuenta",
    "Cada punto se ha elegido a sí mismo: en la diagonal la distancia es 0, su exponencial vale 1 y se lleva buena "
    "parte de la fila. Un punto no es vecino suyo: pon esa casilla a cero antes de normalizar y de medir la entropía.",
)
def _diagonal_counted(d2: Tensor, perplexity: float) -> Tensor:
    return _search(d2.double(), math.log(perplexity)).to(d2.dtype)


@_wrong(
    "La diagonal, borrada tarde",
    "Has puesto la diagonal a cero después de normalizar, y las filas ya no suman 1. Quítala antes: al normalizar y "
    "también al buscar beta.",
)
def _diagonal_erased_late(d2: Tensor, perplexity: float) -> Tensor:
    return _search(d2.double(), math.log(perplexity)).masked_fill(_diagonal(d2), 0).to(d2.dtype)


@_wrong(
    "Una sigma para todos",
    "Has buscado una sola beta para toda la matriz. Donde los datos se aprietan sobra, y donde se dispersan falta: la "
    "gracia de la perplejidad es que cada punto tenga la suya. Haz una búsqueda por fila.",
)
def _one_sigma(d2: Tensor, perplexity: float) -> Tensor:
    d = _shifted(d2)
    mean = torch.where(d.isfinite(), d, 0).mean()
    unit = torch.where(mean > 0, mean, 1)
    low, high = -40.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        p = _normalized(d, torch.as_tensor(2.0**middle) / unit)
        low, high = (middle, high) if float(_nats(p).mean()) > math.log(perplexity) else (low, middle)
    return p.to(d2.dtype)


@_wrong(
    "Raíz de las distancias",
    "Has puesto la distancia en la exponencial, sin elevarla al cuadrado. `d2` ya llega al cuadrado, que es lo que "
    "pide una gaussiana: úsala tal cual.",
)
def _rooted(d2: Tensor, perplexity: float) -> Tensor:
    return _correct(d2.sqrt(), perplexity)


@_wrong(
    "Al cuadrado dos veces",
    "Has elevado al cuadrado `d2`, que ya son distancias al cuadrado. Los vecinos lejanos pierden más de lo debido.",
)
def _squared_again(d2: Tensor, perplexity: float) -> Tensor:
    return _correct(d2.square(), perplexity)


@_wrong(
    "Columnas en vez de filas",
    "Son tus columnas las que suman 1. La fila i dice a quién elige el punto i: normaliza con `sum(1, keepdim=True)`.",
)
def _by_columns(d2: Tensor, perplexity: float) -> Tensor:
    return _correct(d2, perplexity).T.contiguous()


@_wrong(
    "La perplejidad como sigma",
    "Has usado la perplejidad como anchura de la gaussiana. Es un número de vecinos: la anchura de cada punto hay que "
    "buscarla hasta que su fila tenga esa perplejidad.",
)
def _perplexity_as_sigma(d2: Tensor, perplexity: float) -> Tensor:
    return _normalized(_shifted(d2), torch.as_tensor(1 / (2 * perplexity**2))).to(d2.dtype)


@_wrong(
    "Un número fijo de vecinos",
    "Has repartido la fila por igual entre los más próximos. La perplejidad es un número *efectivo* de vecinos: todos "
    "cuentan, cada uno según su distancia, con una gaussiana.",
)
def _hard_neighbors(d2: Tensor, perplexity: float) -> Tensor:
    k = round(perplexity)
    nearest = d2.masked_fill(_diagonal(d2), torch.inf).argsort(dim=1, stable=True)[:, :k]
    return torch.zeros_like(d2).scatter_(1, nearest, 1 / k)


@_wrong(
    "La bisección, al revés",
    "Tu búsqueda huye de la solución. Si la entropía es mayor que la pedida hay demasiados vecinos y la gaussiana "
    "debe estrecharse: beta *sube* (y sigma baja).",
)
def _backwards(d2: Tensor, perplexity: float) -> Tensor:
    return _search(_shifted(d2), math.log(perplexity), backwards=True).to(d2.dtype)


@_wrong(
    "Un intervalo de búsqueda que no llega",
    "Con datos corrientes aciertas, pero tu beta se mueve en un intervalo fijo, y con datos muy pequeños o muy "
    "grandes la buena queda fuera. Duplica o divide el extremo hasta encerrarla, o divide antes cada fila por su "
    "distancia media.",
)
def _fixed_range(d2: Tensor, perplexity: float) -> Tensor:
    d = _shifted(d2)
    low, high = d.new_full((len(d), 1), 1e-6), d.new_full((len(d), 1), 1e4)
    for _ in range(80):
        middle = (low + high) / 2
        wide = _nats(_normalized(d, middle)) > math.log(perplexity)
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    return _normalized(d, middle).to(d2.dtype)


@_wrong(
    "Exponenciales que se quedan en cero",
    "Para un punto muy aislado todas las exponenciales dan cero, y al dividir sale NaN. Resta antes a cada fila su "
    "menor distancia: las probabilidades no cambian, y el vecino más próximo siempre cuenta 1.",
)
def _underflow(d2: Tensor, perplexity: float) -> Tensor:
    d = d2.double().masked_fill(_diagonal(d2), torch.inf)
    beta = d.new_ones(len(d), 1)
    low, high = torch.zeros_like(beta), torch.full_like(beta, torch.inf)
    for _ in range(100):
        narrow = _nats(_normalized(d, beta)) <= math.log(perplexity)
        low, high = torch.where(narrow, low, beta), torch.where(narrow, beta, high)
        beta = torch.where(high.isfinite(), (low + high) / 2, 2 * beta)
    return _normalized(d, beta).to(d2.dtype)


@_wrong(
    "Simetrizado antes de tiempo",
    "Has promediado ya los dos sentidos, y tus filas no suman 1. Aquí se piden las condicionales; la simetría llega "
    "en el ejercicio siguiente.",
)
def _symmetrized(d2: Tensor, perplexity: float) -> Tensor:
    p = _correct(d2, perplexity)
    return (p + p.T) / (2 * len(p))


@_wrong(
    "Las distancias de entrada, cambiadas",
    "Las probabilidades son correctas, pero has escrito en la diagonal de `d2` (`fill_diagonal_`), y esas distancias "
    "son de quien te llama. Usa `masked_fill`, sin guion bajo, o trabaja sobre `d2.clone()`.",
)
def _changes_distances(d2: Tensor, perplexity: float) -> Tensor:
    d2.fill_diagonal_(torch.inf)
    return _search((d2 - d2.amin(1, keepdim=True)).double(), math.log(perplexity)).to(d2.dtype)


@_right
def _row_by_row(d2: Tensor, perplexity: float) -> Tensor:
    """Como el artículo: una búsqueda por punto que dobla el extremo hasta encerrar beta."""
    p = torch.zeros_like(d2)
    for i in range(len(d2)):
        others = torch.arange(len(d2)) != i
        d = (d2[i, others] - d2[i, others].min()).double()
        beta, low, high = 1.0, 0.0, math.inf
        for _ in range(200):
            row = torch.softmax(-beta * d, 0)
            gap = float(torch.special.entr(row).sum()) - math.log(perplexity)
            if abs(gap) < 1e-6:
                break
            low, high = (beta, high) if gap > 0 else (low, beta)
            beta = 2 * beta if high == math.inf else (low + high) / 2
        p[i, others] = row.to(p.dtype)
    return p


@_right
def _sigma_in_bits(d2: Tensor, perplexity: float) -> Tensor:
    """En bits, buscando el logaritmo de sigma desde la escala de cada fila."""
    n = len(d2)
    d = d2.double().flatten()[:-1].view(n - 1, n + 1)[:, 1:].reshape(n, n - 1)
    d = d - d.min(dim=1, keepdim=True).values
    scale = d.max(dim=1, keepdim=True).values.clamp(min=1e-30)
    low, high = torch.full_like(scale, -30.0), torch.full_like(scale, 30.0)
    for _ in range(70):
        sigma = (low + high) / 2
        p = torch.softmax(-d / scale / (2 * sigma.exp() ** 2), dim=1)
        narrow = -(p * p.clamp(min=1e-300).log2()).sum(1, keepdim=True) < math.log2(perplexity)
        low, high = torch.where(narrow, sigma, low), torch.where(narrow, high, sigma)
    full = torch.zeros(n, n, dtype=torch.float64)
    full[~torch.eye(n, dtype=torch.bool)] = p.flatten()
    return full.to(d2.dtype)


@_right
def _numpy(d2: Tensor, perplexity: float) -> Tensor:
    """En NumPy, con el cero de una función de SciPy."""
    from scipy.optimize import brentq

    rows = []
    for i, row in enumerate(d2.double().numpy()):
        d = np.delete(row, i)
        d = (d - d.min()) / max(d.max(), 1e-300)

        def excess(log_beta: float, d: np.ndarray = d) -> float:
            p = np.exp(-np.exp(log_beta) * d)
            p = p[p > 0] / p.sum()
            return float(-(p * np.log(p)).sum() - math.log(perplexity))

        beta = math.exp(brentq(excess, -20, 20)) if excess(20) < 0 else math.exp(20)
        p = np.exp(-beta * d)
        rows.append(np.insert(p / p.sum(), i, 0))
    return torch.from_numpy(np.stack(rows)).to(d2.dtype)
