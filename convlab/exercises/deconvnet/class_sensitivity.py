"""Ejercicio 5: cuánto cambia un mapa con la clase. Los errores de su catálogo están en `class_sensitivity_errors`."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from convlab import deconvnet as library
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.deconvnet.class_sensitivity_errors import CATALOGUE
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_right = _catalogue.right

_NOTHING: frozenset[str] = frozenset()


def _sides(rng: np.random.Generator) -> tuple[int, int]:
    h, w = (int(size) for size in rng.permutation([5, 6, 7])[:2])
    return h, w


def _shuffled(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Los mismos valores a distancias iguales, en otro orden en cada imagen: sus rangos son ellos mismos."""
    values = np.linspace(-1, 1, int(np.prod(shape[1:])))
    return np.stack([rng.permutation(values).reshape(shape[1:]) for _ in range(shape[0])])


def _mixed(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    """Otros mapas, que en parte se parecen a `a` y en parte no: ni 0 ni 1."""
    signs = rng.permutation(np.resize([1.0, -1.0], len(a))).reshape(-1, *[1] * (a.ndim - 1))
    return _ranked(signs * a + rng.uniform(0.5, 1.2) * _shuffled(rng, *a.shape))


def _ranked(values: np.ndarray) -> np.ndarray:
    """El mismo orden, con valores a distancias iguales."""
    ranks = np.stack([rankdata(one, method="ordinal").reshape(one.shape) for one in values])
    return (ranks - 1) / (ranks.max() - 1) * 2 - 1


def _draft(a: np.ndarray, b: np.ndarray, setup: frozenset[str] = _NOTHING) -> Draft:
    """Con el valor que da SciPy, imagen a imagen."""
    expected = np.array([1 - spearmanr(u.ravel(), v.ravel()).statistic for u, v in zip(a, b, strict=True)])
    return Draft({"maps_a": a, "maps_b": b}, setup, expected)


def _one_image(rng: np.random.Generator) -> Draft:
    """Mapas que ya son rangos: quien usa los valores en vez del orden conserva estos puntos."""
    a = _shuffled(rng, 1, *_sides(rng))
    return _draft(a, _mixed(rng, a))


def _known(rng: np.random.Generator) -> Draft:
    """El mismo mapa, 0; el mismo al revés, 2; y uno cualquiera."""
    a = _shuffled(rng, 3, *_sides(rng))
    b = np.stack([a[0], -a[1], _mixed(rng, a)[2]])
    draft = _draft(a, b)
    assert draft.expected is not None
    return Draft(draft.arguments, expected=np.array([0.0, 2.0, draft.expected[2]]))


def _batch(rng: np.random.Generator) -> Draft:
    """Imágenes de escalas muy distintas."""
    a = _shuffled(rng, 3, *_sides(rng))
    shift = np.array([0.0, 5.0, -3.0])[:, None, None]
    return _draft(a * np.array([1.0, 0.1, 4.0])[:, None, None] + shift, _mixed(rng, a) + 2 * shift)


def _monotone(rng: np.random.Generator) -> Draft:
    """Un mapa muy apuntado con el mismo orden que otro: los valores cambian mucho y el orden no."""
    a = _shuffled(rng, 3, *_sides(rng))
    return _draft(np.exp(4 * a), np.stack([a[0] ** 3, -np.exp(3 * a[1]), _mixed(rng, a)[2] ** 5]))


def _ties(rng: np.random.Generator) -> Draft:
    """Mapas tras una ReLU: la mitad de los valores son cero y empatan."""
    a = _shuffled(rng, 2, *_sides(rng))
    return _draft(a.clip(min=0), _mixed(rng, a).clip(min=-0.2))


def _few_levels(rng: np.random.Generator) -> Draft:
    a = _shuffled(rng, 2, *_sides(rng))
    return _draft(np.round(2 * a), np.round(3 * _mixed(rng, a)))


def _constant(rng: np.random.Generator) -> Draft:
    """Un mapa constante no ordena nada; dos constantes iguales son el mismo mapa; dos distintas no lo son."""
    a = _shuffled(rng, 4, *_sides(rng))
    b = _mixed(rng, a)
    a[1], a[2], b[2], a[3], b[3] = 0.5, -0.25, -0.25, 0.0, 1.0
    rest = float(1 - spearmanr(a[0].ravel(), b[0].ravel()).statistic)
    return Draft({"maps_a": a, "maps_b": b}, expected=np.array([rest, 1.0, 0.0, 1.0]))


def _colour(rng: np.random.Generator) -> Draft:
    """Señales `(N, 3, H, W)`: cuentan los tres canales juntos."""
    a = _shuffled(rng, 2, 3, *_sides(rng))
    return _draft(a, _mixed(rng, a))


def _float32(rng: np.random.Generator) -> Draft:
    a = _shuffled(rng, 2, *_sides(rng))
    return Draft({"maps_a": a.astype("float32"), "maps_b": _mixed(rng, a).astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    a = _shuffled(rng, 3, *_sides(rng))
    return _draft(a, _mixed(rng, a), frozenset({"strided"}))


@_right
def _scipy(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    changes = []
    for a, b in zip(maps_a.numpy(), maps_b.numpy(), strict=True):
        u, v = rankdata(a.ravel()), rankdata(b.ravel())
        spread = np.std(u) * np.std(v)
        rho = np.mean((u - u.mean()) * (v - v.mean())) / spread if spread else 0.0
        changes.append(0.0 if np.array_equal(a, b) else 1 - rho)
    return torch.tensor(np.array(changes), dtype=maps_a.dtype)


@_right
def _compared_with_all(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    """El rango de un valor, menos la mitad: cuántos son menores y la mitad de cuántos son iguales."""
    u, v = (((m[:, :, None] - m[:, None, :]).sign().sum(2)) for m in (maps_a.flatten(1), maps_b.flatten(1)))
    norm = (u.square().sum(1) * v.square().sum(1)).sqrt()
    rho = torch.where(norm > 0, (u * v).sum(1) / norm.clamp(min=1), 0.0)
    same = (maps_a - maps_b).abs().flatten(1).amax(1) == 0
    return torch.where(same, 0.0, 1 - rho)


@_right
def _value_by_value(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    """Sin tensores: listas ordenadas y el rango medio de cada valor."""
    changes = []
    for a, b in zip(maps_a, maps_b, strict=True):
        first, second = a.reshape(-1).tolist(), b.reshape(-1).tolist()
        u, v = _average_ranks(first), _average_ranks(second)
        middle = (len(u) + 1) / 2
        norm = math.sqrt(sum((r - middle) ** 2 for r in u) * sum((r - middle) ** 2 for r in v))
        product = sum((r - middle) * (s - middle) for r, s in zip(u, v, strict=True))
        changes.append(0.0 if first == second else 1.0 - (product / norm if norm else 0.0))
    return maps_a.new_tensor(changes)


def _average_ranks(values: list[float]) -> list[float]:
    ordered = sorted(values)
    places: dict[float, list[int]] = {}
    for rank, value in enumerate(ordered, 1):
        places.setdefault(value, []).append(rank)
    return [sum(places[value]) / len(places[value]) for value in values]


@_right
def _correlation_matrix(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    """Con `unique`, que numera los valores distintos, y `corrcoef`."""
    changes = []
    for a, b in zip(maps_a.reshape(len(maps_a), -1), maps_b.reshape(len(maps_b), -1), strict=True):
        ranks = []
        for one in (a, b):
            _, group, size = one.unique(return_inverse=True, return_counts=True)
            ranks.append((size.cumsum(0) - (size - 1) / 2)[group].double())
        rho = torch.corrcoef(torch.stack(ranks))[0, 1].nan_to_num(0)
        changes.append(rho.new_zeros(()) if torch.equal(a, b) else 1 - rho)
    return torch.stack(changes).to(maps_a.dtype)


EXERCISE = Exercise(
    id="deconvnet.class_sensitivity",
    title="¿Responde a lo que se le pregunta?",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=library.class_sensitivity,
    properties=(
        Property("Uno menos la correlación", 2, (_one_image,)),
        Property("De 0 a 2, y cada imagen por su cuenta", 1, (_known, _batch)),
        Property("Solo cuenta el orden", 2, (_monotone,)),
        Property("Los empates comparten su rango medio", 1, (_ties, _few_levels)),
        Property("Mapas constantes", 1, (_constant,)),
        Property("Señales de tres canales", 1, (_colour,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=CATALOGUE.misconceptions,
    variants=_catalogue.variants,
)
