"""Ejercicio 5: de clases finas a clases gruesas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convlab import human
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

Mapping = dict[str, list[int]]


def _probabilities(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Filas que suman 1, sin ningún cero y con una clase destacada."""
    found: np.ndarray = rng.dirichlet(np.full(k, 2.0), n) * 0.9 + 0.1 / k
    return found


def _groups(rng: np.random.Generator, k: int, sizes: tuple[int, ...]) -> Mapping:
    """Grupos de esos tamaños con índices salteados, y nombres que no están en orden alfabético."""
    order = rng.permutation(k)
    # Ni el grupo entero ni sus extremos seguidos: promediar del primero al último índice daría otra cosa.
    while any(size > 1 and abs(part.max() - part.min()) < size for size, part in _parts(order, sizes)):
        order = rng.permutation(k)
    names = ["vehículo", "animal", "mueble", "fruta"][: len(sizes)]
    return {name: [int(i) for i in part] for name, (_, part) in zip(names, _parts(order, sizes), strict=True)}


def _parts(order: np.ndarray, sizes: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    ends = np.cumsum(sizes)
    return [(size, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _draft(probabilities: np.ndarray, mapping: Mapping, setup: frozenset[str] = frozenset()) -> Draft:
    expected = np.stack([probabilities[:, fine].mean(1) for fine in mapping.values()], 1)
    return Draft({"probabilities": probabilities, "mapping": mapping}, setup, expected)


def _sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    a, b, c = (int(s) for s in rng.permutation([2, 3, 5]))
    return a, b, c


def _partition(rng: np.random.Generator, n: int) -> Draft:
    """Grupos seguidos, de tamaños distintos y en orden alfabético: lo único que se puede errar es la media."""
    parts = _parts(np.arange(10), _sizes(rng))
    names = ("animal", "fruta", "vehículo")
    return _draft(
        _probabilities(rng, n, 10), {name: part.tolist() for name, (_, part) in zip(names, parts, strict=True)}
    )


def _one_image(rng: np.random.Generator) -> Draft:
    return _partition(rng, 1)


def _batch(rng: np.random.Generator) -> Draft:
    return _partition(rng, 4)


def _scattered(rng: np.random.Generator) -> Draft:
    """Índices salteados y nombres en cualquier orden."""
    return _draft(_probabilities(rng, 3, 10), _groups(rng, 10, _sizes(rng)))


def _scattered_pairs(rng: np.random.Generator) -> Draft:
    return _draft(_probabilities(rng, 2, 8), _groups(rng, 8, (2, 4, 2)))


def _leftovers(rng: np.random.Generator) -> Draft:
    """Clases finas que no van a ninguna gruesa."""
    return _draft(_probabilities(rng, 3, 12), _groups(rng, 12, (3, 2, 4)))


def _shared(rng: np.random.Generator) -> Draft:
    """Una clase fina que está en dos gruesas."""
    mapping = _groups(rng, 11, (3, 2, 4))
    mapping["animal"].append(mapping["vehículo"][0])
    return _draft(_probabilities(rng, 2, 11), mapping)


def _single(rng: np.random.Generator) -> Draft:
    """Una sola clase gruesa."""
    return _draft(_probabilities(rng, 2, 7), _groups(rng, 7, (3,)))


def _uniform(rng: np.random.Generator) -> Draft:
    """Si la red no sabe nada, ninguna clase gruesa gana por tener más finas."""
    k = int(rng.integers(9, 13))
    mapping = _groups(rng, k, (1, 5, 2))
    return Draft(
        {"probabilities": np.full((2, k), 1 / k), "mapping": mapping}, expected=np.full((2, len(mapping)), 1 / k)
    )


def _float32(rng: np.random.Generator) -> Draft:
    return _draft(_probabilities(rng, 3, 12).astype("float32"), _groups(rng, 12, (3, 2, 4)))


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(_probabilities(rng, 3, 12), _groups(rng, 12, (2, 4, 3)), frozenset({"strided"}))


def _means(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return torch.stack([probabilities[:, fine].mean(1) for fine in mapping.values()], 1)


@_wrong(
    "Suma en vez de media",
    "Has sumado las probabilidades de cada grupo. Con la suma, la clase gruesa que tiene más finas gana sin "
    "merecerlo: se pide la media.",
)
def _summed(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return torch.stack([probabilities[:, fine].sum(1) for fine in mapping.values()], 1)


@_wrong(
    "Renormalizado",
    "Has dividido cada fila para que vuelva a sumar 1. Se piden las medias tal cual: no suman 1, y no hace falta para"
    " elegir la mayor.",
)
def _renormalized(probabilities: Tensor, mapping: Mapping) -> Tensor:
    means = _means(probabilities, mapping)
    return means / means.sum(1, keepdim=True)


@_wrong(
    "El máximo del grupo",
    "Has tomado la mayor probabilidad de cada grupo, y una sola clase fina decide por todas. Se pide la media de "
    "todas las del grupo.",
)
def _maximum(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return torch.stack([probabilities[:, fine].amax(1) for fine in mapping.values()], 1)


@_wrong(
    "Dividido por todas las clases finas",
    "Has dividido la suma de cada grupo entre las K clases finas. La media de un grupo divide por las que hay en ese "
    "grupo: `len(indices)`.",
)
def _over_all_classes(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return _summed(probabilities, mapping) / probabilities.shape[1]


@_wrong(
    "Dividido por el número de clases gruesas",
    "Has dividido la suma de cada grupo entre el número de grupos. La media de un grupo divide por las clases finas "
    "que hay en él: `len(indices)`.",
)
def _over_coarse_classes(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return _summed(probabilities, mapping) / len(mapping)


@_wrong(
    "Softmax otra vez",
    "Has pasado por *softmax* lo que ya eran probabilidades, y se aplastan casi hasta ser iguales. Usa lo que llega, "
    "sin más.",
)
def _softmax_again(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return _means(probabilities.softmax(1), mapping)


@_wrong(
    "Media geométrica",
    "Has promediado los logaritmos, y eso es una media geométrica: una sola clase fina improbable hunde a todo el "
    "grupo. Promedia las probabilidades.",
)
def _geometric(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return _means(probabilities.log(), mapping).exp()


@_wrong(
    "Grupos en orden alfabético",
    "Has ordenado los nombres de los grupos, y las columnas salen cambiadas. Van en el orden del diccionario, que "
    "Python conserva.",
)
def _sorted_names(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return _means(probabilities, {name: mapping[name] for name in sorted(mapping)})


@_wrong(
    "Grupos consecutivos",
    "Has repartido las clases finas por orden, las primeras al primer grupo, las siguientes al segundo… Usa los "
    "índices que da `mapping`: van salteados.",
)
def _consecutive(probabilities: Tensor, mapping: Mapping) -> Tensor:
    sizes = [len(fine) for fine in mapping.values()]
    ends = np.cumsum(sizes) % (probabilities.shape[1] + 1)
    return torch.stack(
        [probabilities[:, max(0, e - s) : e].mean(1) for s, e in zip(sizes, ends.tolist(), strict=True)], 1
    )


@_wrong(
    "Del primer índice al último",
    "Has promediado todas las clases finas entre el menor índice del grupo y el mayor, también las que no son suyas. "
    "Un tensor se puede indexar con la lista de índices.",
)
def _whole_range(probabilities: Tensor, mapping: Mapping) -> Tensor:
    return torch.stack([probabilities[:, min(fine) : max(fine) + 1].mean(1) for fine in mapping.values()], 1)


@_wrong(
    "Primero decide y después agrupa",
    "Has elegido la clase fina ganadora y has agrupado solo esa. Lo que la red repartió entre las demás se pierde: "
    "promedia antes las probabilidades.",
)
def _winner_first(probabilities: Tensor, mapping: Mapping) -> Tensor:
    winner = torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1])
    return _means(winner.to(probabilities.dtype), mapping)


@_right
def _loops(probabilities: Tensor, mapping: Mapping) -> Tensor:
    result = probabilities.new_zeros(len(probabilities), len(mapping))
    for column, fine in enumerate(mapping.values()):
        for i in fine:
            result[:, column] += probabilities[:, i] / len(fine)
    return result


@_right
def _matrix(probabilities: Tensor, mapping: Mapping) -> Tensor:
    weights = torch.zeros(probabilities.shape[1], len(mapping), dtype=torch.float64)
    for column, fine in enumerate(mapping.values()):
        weights[fine, column] = 1 / len(fine)
    return torch.einsum("nk,kc->nc", probabilities.double(), weights).to(probabilities.dtype)


@_right
def _with_numpy(probabilities: Tensor, mapping: Mapping) -> Tensor:
    values = probabilities.numpy()
    columns = [np.take(values, fine, axis=1).sum(1) / len(fine) for fine in mapping.values()]
    return torch.from_numpy(np.column_stack(columns)).to(probabilities.dtype)


EXERCISE = Exercise(
    id="human.map_to_coarse",
    title="Dieciséis cajones para mil clases",
    minutes=10,
    visible_points=2,
    hidden_points=2,
    reference=human.map_to_coarse,
    properties=(
        Property("Media de las clases finas de cada gruesa", 3, (_batch, _one_image)),
        Property("Los índices y el orden del diccionario", 2, (_scattered, _scattered_pairs)),
        Property("Si la red no sabe nada, ninguna gana", 1, (_uniform,)),
        Property("Clases finas en ninguna gruesa, o en dos", 2, (_leftovers, _shared)),
        Property("Una sola clase gruesa", 1, (_single,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
