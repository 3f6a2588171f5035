"""Errores frecuentes al calificar un buscador, cada uno como función que se ejecuta."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def _order(similarity: Tensor, exclude_self: bool) -> Tensor:
    order = similarity.argsort(dim=1, descending=True, stable=True)
    if exclude_self:
        order = order[order != torch.arange(len(order))[:, None]].view(len(order), -1)
    return order


def _relevant(order: Tensor, query_labels: Tensor, database_labels: Tensor) -> Tensor:
    return database_labels[order] == query_labels[:, None]


def _precision(relevant: Tensor) -> Tensor:
    return relevant.cumsum(1).double() / torch.arange(1, relevant.shape[1] + 1)


def _scores(relevant: Tensor, totals: Tensor | None = None) -> Tensor:
    """La precisión media de cada consulta; NaN si no tiene relevantes."""
    totals = relevant.sum(1) if totals is None else totals
    return (_precision(relevant) * relevant).sum(1) / totals


def _mean(scores: Tensor) -> float:
    return float(scores.nanmean())


@_wrong(
    "La consulta, vecina de sí misma",
    "No has hecho caso de `exclude_self`. Cada consulta se encuentra a sí misma, casi siempre la primera, y ese "
    "acierto regalado sube la nota de cualquier buscador. Quítala de su lista.",
)
def _keeps_itself(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:  # noqa: ARG001
    return _mean(_scores(_relevant(_order(similarity, False), query_labels, database_labels)))


@_wrong(
    "Quitar siempre la primera",
    "Has saltado la primera de cada lista, dando por hecho que es la propia consulta. No siempre lo es: una copia, o "
    "una similitud que no sea el coseno, pueden ir delante. Quita la columna i de la fila i.",
)
def _drops_first(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    order = _order(similarity, False)[:, int(exclude_self) :]
    return _mean(_scores(_relevant(order, query_labels, database_labels)))


@_wrong(
    "Se excluye aunque no se pida",
    "Has quitado la columna i de la fila i también con `exclude_self=False`. Si las consultas no son la base, esa "
    "columna es otra imagen cualquiera y cuenta.",
)
def _always_excludes(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:  # noqa: ARG001
    square = similarity.shape[0] == similarity.shape[1]
    return _mean(_scores(_relevant(_order(similarity, square), query_labels, database_labels)))


@_wrong(
    "La consulta, excluida pero contada",
    "Has quitado la consulta de su lista y la sigues contando entre las relevantes de la base: nadie llega a 1. El "
    "total de cada consulta tampoco la incluye.",
)
def _counted_in_total(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    relevant = _relevant(_order(similarity, exclude_self), query_labels, database_labels)
    totals = (query_labels[:, None] == database_labels).sum(1)
    return _mean(_scores(relevant, totals))


@_wrong(
    "La consulta, al final de su lista",
    "Has puesto `-torch.inf` en la diagonal: la consulta va la última, pero sigue en la lista y cuenta como un acierto "
    "más. Quítala, o haz además que no sea relevante.",
)
def _last_of_its_list(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    similarity = similarity.clone()
    if exclude_self:
        similarity.fill_diagonal_(-torch.inf)
    return _mean(_scores(_relevant(_order(similarity, False), query_labels, database_labels)))


@_wrong(
    "La consulta ocupa un puesto",
    "La consulta ya no cuenta como acierto, pero sigue en la lista y empuja a las demás un puesto hacia atrás. Hay que "
    "quitarla antes de numerar los puestos.",
)
def _takes_a_place(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    order = _order(similarity, False)
    relevant = _relevant(order, query_labels, database_labels)
    if exclude_self:
        relevant &= order != torch.arange(len(order))[:, None]
    return _mean(_scores(relevant))


@_wrong(
    "Excluida con un número que no siempre pierde",
    "Para dejar la consulta al final has puesto en la diagonal un número, como 0 o −1. Con el opuesto de una "
    "distancia, las demás pueden estar por debajo y la consulta sale la primera. El único que pierde siempre es "
    "`-torch.inf`.",
)
def _masked_with_minus_one(
    similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool
) -> float:
    similarity = similarity.clone()
    if exclude_self:
        similarity.fill_diagonal_(-1)
    return _takes_a_place(similarity, query_labels, database_labels, exclude_self)


@_wrong(
    "Sin relevantes, un cero",
    "Has contado con un 0 las consultas que no tienen ninguna imagen relevante. No había nada que encontrar y su "
    "precisión media no existe: quedan fuera de la media, también del divisor.",
)
def _missing_as_zero(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    scores = _scores(_relevant(_order(similarity, exclude_self), query_labels, database_labels))
    return float(scores.nan_to_num(0).mean())


@_wrong(
    "Sin relevantes, un uno",
    "Has contado con un 1 las consultas que no tienen ninguna imagen relevante. No había nada que encontrar y su "
    "precisión media no existe: quedan fuera de la media, también del divisor.",
)
def _missing_as_one(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    scores = _scores(_relevant(_order(similarity, exclude_self), query_labels, database_labels))
    return float(scores.nan_to_num(1).mean())


@_wrong(
    "Sin relevantes, NaN",
    "Una consulta sin ninguna imagen relevante divide 0 entre 0, y su NaN se lleva por delante la media entera. Deja "
    "esas consultas fuera antes de promediar.",
)
def _missing_as_nan(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    scores = _scores(_relevant(_order(similarity, exclude_self), query_labels, database_labels))
    return math.nan if scores.isnan().any() else float(scores.mean())


@_wrong(
    "Orden ascendente",
    "Tus listas empiezan por la imagen menos parecida. Con similitudes, cuanto mayor mejor: ordena con "
    "`descending=True`.",
)
def _ascending(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    return _mean(_scores(_relevant(_order(-similarity, exclude_self), query_labels, database_labels)))


@_wrong(
    "Empates al revés",
    "Entre iguales pones antes la imagen de mayor índice: es lo que pasa al ordenar de menor a mayor y dar la vuelta. "
    "Ordena de mayor a menor con `descending=True, stable=True`.",
)
def _ties_reversed(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    order = similarity.argsort(dim=1, stable=True).flip(1)
    if exclude_self:
        order = order[order != torch.arange(len(order))[:, None]].view(len(order), -1)
    return _mean(_scores(_relevant(order, query_labels, database_labels)))


@_wrong(
    "Empates en el mismo puesto",
    "Has dado a las imágenes empatadas el mismo puesto, contando cuántas tienen una similitud mayor o igual. Aquí cada "
    "una tiene el suyo: en un empate va antes la de menor índice.",
)
def _ties_share_a_place(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    same, kept = query_labels[:, None] == database_labels, torch.ones_like(similarity, dtype=torch.bool)
    if exclude_self:
        kept.fill_diagonal_(False)
    same = same & kept
    above = (similarity[:, None, :] >= similarity[:, :, None]) & kept[:, None, :]
    precision = (above & same[:, None, :]).sum(2).double() / above.sum(2).clamp(min=1)
    return _mean((precision * same).sum(1) / same.sum(1))


@_wrong(
    "Etiquetas sin reordenar",
    "Has comparado las etiquetas en el orden de la base, no en el de cada lista: la similitud no interviene. Reordena "
    "antes las etiquetas, `database_labels[order]`.",
)
def _labels_unsorted(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    order = torch.arange(similarity.shape[1]).expand(similarity.shape)
    if exclude_self:
        order = order[order != torch.arange(len(order))[:, None]].view(len(order), -1)
    return _mean(_scores(_relevant(order, query_labels, database_labels)))


@_wrong(
    "Aciertos de todas las consultas, juntos",
    "Has sumado la precisión de los aciertos de todas las consultas y has dividido por cuántos son: las consultas con "
    "muchas relevantes pesan más. Primero la precisión media de cada una; después, la media de todas.",
)
def _pooled(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    relevant = _relevant(_order(similarity, exclude_self), query_labels, database_labels)
    return float((_precision(relevant) * relevant).sum() / relevant.sum())


@_wrong(
    "Media por clases",
    "Has promediado primero dentro de cada clase y después entre clases: las consultas de una clase pequeña pesan más. "
    "Todas las consultas pesan lo mismo.",
)
def _mean_by_class(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    scores = _scores(_relevant(_order(similarity, exclude_self), query_labels, database_labels))
    return _mean(torch.stack([scores[query_labels == label].nanmean() for label in query_labels.unique()]))


@_wrong(
    "Precisión promediada en todos los puestos",
    "Has hecho la media de la precisión en todos los puestos de la lista, también donde hay un fallo. Solo cuentan los "
    "puestos con un acierto.",
)
def _every_place(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    relevant = _relevant(_order(similarity, exclude_self), query_labels, database_labels)
    return float(_precision(relevant)[relevant.any(1)].mean())


@_wrong(
    "Dividida por la longitud de la lista",
    "Has dividido por el tamaño de la base. Entonces ni un buscador perfecto llega a 1. El divisor de cada consulta es "
    "cuántas imágenes relevantes tiene.",
)
def _divided_by_length(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    relevant = _relevant(_order(similarity, exclude_self), query_labels, database_labels)
    return float((_precision(relevant) * relevant).mean(1)[relevant.any(1)].mean())


@_wrong(
    "La matriz de entrada, cambiada",
    "La nota es correcta, pero `fill_diagonal_` escribe en la matriz que te dieron, y quien la use después tendrá "
    "otra. Trabaja sobre `similarity.clone()`.",
)
def _changes_input(similarity: Tensor, query_labels: Tensor, database_labels: Tensor, exclude_self: bool) -> float:
    if exclude_self:
        similarity.fill_diagonal_(-torch.inf)
    return _mean(_scores(_relevant(_order(similarity, exclude_self), query_labels, database_labels)))
