"""Errores frecuentes al buscar las vecinas, cada uno como función que se ejecuta."""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def _masked(similarity: Tensor, exclude: Tensor | None, mark: float = -torch.inf) -> Tensor:
    return similarity if exclude is None else similarity.scatter(1, exclude[:, None], mark)


def _ordered(similarity: Tensor, k: int) -> Tensor:
    return similarity.argsort(dim=1, descending=True, stable=True)[:, :k].clone()


@_wrong(
    "Orden ascendente",
    "Tu lista empieza por la menos parecida. Con similitudes, cuanto mayor mejor: ordena con `descending=True`.",
)
def _ascending(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _masked(similarity, exclude, torch.inf).argsort(dim=1, stable=True)[:, :k].clone()


@_wrong(
    "Las k mejores, de menor a mayor",
    "Has escogido bien las k vecinas, pero la última de tu lista es la más parecida. La primera debe ser la mejor: "
    "dale la vuelta.",
)
def _best_last(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _ordered(_masked(similarity, exclude), k).flip(1)


@_wrong(
    "Las k mejores, por orden de columna",
    "Has escogido bien las k vecinas y las has devuelto por su índice. Va antes la más parecida, esté donde esté en la "
    "base.",
)
def _by_column(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _ordered(_masked(similarity, exclude), k).sort(dim=1).values


@_wrong(
    "Valores en vez de índices",
    "Has devuelto las similitudes. Se piden las columnas donde están, un `LongTensor`: con `sort` y `topk`, el campo "
    "`.indices`.",
)
def _values(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _masked(similarity, exclude).sort(dim=1, descending=True).values[:, :k].clone()


@_wrong(
    "Ordenado por columnas",
    "Has ordenado a lo largo del eje 0, que compara entre sí las consultas. Cada consulta es una fila: ordena con "
    "`dim=1`.",
)
def _wrong_axis(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _masked(similarity, exclude).argsort(dim=0, descending=True, stable=True)[:, :k].clone()


@_wrong(
    "La lista sin cortar",
    "Has devuelto la base entera ordenada. Se piden las `k` primeras de cada fila: `order[:, :k]`.",
)
def _not_cut(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:  # noqa: ARG001
    order = _ordered(similarity, similarity.shape[1])
    return order if exclude is None else order[order != exclude[:, None]].view(len(order), -1)


@_wrong(
    "La consulta, vecina de sí misma",
    "No has hecho caso de `exclude`. Si la consulta está en la base, la más parecida siempre es ella, y ese acierto no "
    "dice nada: quita de cada fila la columna que le toca.",
)
def _keeps_itself(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:  # noqa: ARG001
    return _ordered(similarity, k)


@_wrong(
    "Quitar siempre la primera",
    "Has saltado la primera de la lista, dando por hecho que es la columna excluida. No siempre lo es: puede haber "
    "otra más parecida. Quita la que dice `exclude`, esté en el puesto que esté.",
)
def _drops_first(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _ordered(similarity, k) if exclude is None else _ordered(similarity, k + 1)[:, 1:].clone()


@_wrong(
    "Columnas excluidas para todas",
    "Con `similarity[:, exclude] = …` cada consulta se salta las columnas de todas. A cada fila le toca una sola: "
    "`similarity[torch.arange(Q), exclude]`, sobre una copia.",
)
def _excludes_for_all(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    similarity = similarity.clone()
    if exclude is not None:
        similarity[:, exclude] = -torch.inf
    return _ordered(similarity, k)


@_wrong(
    "Excluida con un cero",
    "Has puesto un 0 en la columna excluida para que quede la última. Si las demás similitudes son negativas, ese 0 es "
    "la mayor. El único número que pierde siempre es `-torch.inf`.",
)
def _masked_with_zero(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _ordered(_masked(similarity, exclude, 0.0), k)


@_wrong(
    "Excluida con un −1",
    "Has puesto un −1 en la columna excluida, que vale para cosenos. Con el opuesto de una distancia todo puede estar "
    "por debajo de −1, y la excluida gana. El único número que pierde siempre es `-torch.inf`.",
)
def _masked_with_minus_one(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _ordered(_masked(similarity, exclude, -1.0), k)


@_wrong(
    "Índices de la matriz recortada",
    "Has borrado la columna excluida y has ordenado lo que queda: a partir de ella, todos tus índices valen uno menos. "
    "Deben ser los de la matriz que te dieron.",
)
def _shifted_indices(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    if exclude is not None:
        kept = torch.arange(similarity.shape[1]) != exclude[:, None]
        similarity = similarity[kept].view(len(similarity), -1)
    return _ordered(similarity, k)


@_wrong(
    "Empates al revés",
    "Entre iguales pones antes la columna de mayor índice: es lo que pasa al ordenar de menor a mayor y dar la vuelta. "
    "Ordena de mayor a menor con `descending=True, stable=True`.",
)
def _ties_reversed(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _masked(similarity, exclude).argsort(dim=1, stable=True).flip(1)[:, :k].clone()


@_wrong(
    "Empates sin regla",
    "Has usado `topk`, que no promete ningún orden entre iguales: la misma búsqueda puede dar otra lista en otra "
    "máquina. Ordena con `stable=True`, que respeta el orden de las columnas.",
)
def _ties_unordered(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    return _masked(similarity, exclude).topk(k, dim=1).indices


@_wrong(
    "La matriz de entrada, cambiada",
    "La lista es correcta, pero al escribir `-torch.inf` en `similarity` has estropeado la matriz que te dieron. "
    "Escribe en una copia, `similarity.clone()`.",
)
def _changes_input(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    if exclude is not None:
        similarity[torch.arange(len(similarity)), exclude] = -torch.inf
    return _ordered(similarity, k)
