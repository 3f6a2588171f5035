"""El catálogo de la sensibilidad a la clase: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def _ranks(values: Tensor) -> Tensor:
    """Rango medio de cada valor, `(N, P)`."""
    ordered = values.contiguous().sort(dim=1).values
    first = torch.searchsorted(ordered, values.contiguous())
    last = torch.searchsorted(ordered, values.contiguous(), right=True)
    return (first + last + 1).to(values) / 2


def _correlation(u: Tensor, v: Tensor) -> Tensor:
    """Correlación de Pearson de cada fila; 0 si una es constante."""
    u, v = u - u.mean(1, keepdim=True), v - v.mean(1, keepdim=True)
    norm = (u.square().sum(1) * v.square().sum(1)).sqrt()
    tiny = norm <= 1e-9 * u.shape[1]
    return torch.where(tiny, 0.0, (u * v).sum(1) / torch.where(tiny, 1.0, norm))


def _change(maps_a: Tensor, maps_b: Tensor, ranks: Callable[[Tensor], Tensor] = _ranks) -> Tensor:
    a, b = maps_a.flatten(1), maps_b.flatten(1)
    return (1 - _correlation(ranks(a), ranks(b))).masked_fill((a == b).all(1), 0)


@_wrong(
    "Correlación de los valores, no del orden",
    "Has correlacionado los valores (Pearson). Un solo píxel muy intenso manda entonces sobre todo el mapa. La de "
    "Spearman es la misma cuenta hecha con los **rangos**: cambia cada valor por el puesto que ocupa en su mapa.",
)
def _pearson(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return _change(maps_a, maps_b, ranks=lambda values: values)


@_wrong(
    "Similitud coseno de los mapas",
    "Has medido el ángulo entre los mapas sin pasar a rangos ni restar la media. Dos mapas positivos siempre se "
    "parecen así. Pasa a rangos, resta a cada uno su media y después divide por las normas.",
)
def _cosine(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    a, b = maps_a.flatten(1), maps_b.flatten(1)
    return (1 - torch.cosine_similarity(a, b)).masked_fill((a == b).all(1), 0)


@_wrong(
    "Rangos sin centrar",
    "Has dividido el producto de los rangos por sus normas sin restarles antes la media. Como todos los rangos son "
    "positivos, cualquier par de mapas parece semejante.",
)
def _not_centred(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    a, b = maps_a.flatten(1), maps_b.flatten(1)
    return (1 - torch.cosine_similarity(_ranks(a), _ranks(b))).masked_fill((a == b).all(1), 0)


@_wrong(
    "La correlación, sin restarla de 1",
    "Has devuelto la correlación. Mide parecido, y aquí se pide cambio: **1 menos** la correlación, que es 0 si los "
    "mapas dicen lo mismo.",
)
def _similarity(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return 1 - _change(maps_a, maps_b)


@_wrong(
    "La correlación, sin su signo",
    "Has tomado el valor absoluto de la correlación. Un mapa y su contrario correlacionan −1: son lo más distinto que "
    "hay, y la medida debe dar 2, no 0.",
)
def _absolute_correlation(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return 1 - (1 - _change(maps_a, maps_b)).abs()


@_wrong(
    "Los mapas, sin su signo",
    "Has comparado los valores absolutos de los mapas. Lo que está a favor y lo que está en contra se confunden, y un "
    "mapa parece igual que su contrario. Compáralos con su signo.",
)
def _absolute_maps(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return _change(maps_a.abs(), maps_b.abs())


@_wrong(
    "Entre 0 y 1",
    "Has dividido por 2 para que el resultado quepa en [0, 1]. Aquí la escala es [0, 2]: 0, mismo orden; 1, sin "
    "relación; 2, orden inverso.",
)
def _halved(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return _change(maps_a, maps_b) / 2


@_wrong(
    "Un solo `argsort`",
    "`argsort` no da rangos: dice **qué** posición ocupa cada puesto, y hace falta lo contrario. Con dos `argsort` "
    "seguidos salen puestos; y aun así faltan los empates.",
)
def _argsort_once(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return _change(maps_a, maps_b, ranks=lambda values: values.argsort(dim=1, stable=True).to(values))


@_wrong(
    "Los empates, por orden de llegada",
    "Dos `argsort` dan puestos distintos a valores iguales, según dónde estén. Un mapa con muchos ceros parece "
    "entonces ordenado de arriba abajo. Los valores iguales comparten la **media** de sus puestos.",
)
def _ordinal_ties(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    def ranks(values: Tensor) -> Tensor:
        return values.argsort(dim=1, stable=True).argsort(dim=1, stable=True).to(values)

    return _change(maps_a, maps_b, ranks)


@_wrong(
    "Los empates, con el puesto menor",
    "A los valores iguales les has dado el menor de sus puestos (o has contado solo cuántos hay por debajo). Les toca "
    "la media de los puestos que ocupan entre todos.",
)
def _lowest_ties(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    def ranks(values: Tensor) -> Tensor:
        values = values.contiguous()
        return torch.searchsorted(values.sort(dim=1).values, values).to(values)

    return _change(maps_a, maps_b, ranks)


@_wrong(
    "Los empates, sin hueco",
    "Has numerado los valores distintos, 1, 2, 3…, y después de diez ceros el siguiente recibe el 2. Los empatados "
    "ocupan tantos puestos como son: los diez primeros comparten el 5,5 y el siguiente recibe el 11.",
)
def _dense_ties(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    def ranks(values: Tensor) -> Tensor:
        return torch.stack([one.unique(return_inverse=True)[1] for one in values]).to(values)

    return _change(maps_a, maps_b, ranks)


@_wrong(
    "Rangos de todo el lote",
    "Has ordenado juntos los valores de todas las imágenes, y los rangos de una dependen de con quién comparta el "
    "lote. Ordena cada imagen por su cuenta: `flatten(1)` y `dim=1`.",
)
def _batch_ranks(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return _change(maps_a, maps_b, ranks=lambda values: _ranks(values.reshape(1, -1)).reshape(values.shape))


@_wrong(
    "Un número para todo el lote",
    "Has hecho una sola correlación con todas las imágenes juntas y la has repetido. Se pide una por imagen.",
)
def _one_for_all(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return _change(maps_a.reshape(1, -1), maps_b.reshape(1, -1)).expand(len(maps_a)).clone()


@_wrong(
    "Fila a fila",
    "Has ordenado cada fila del mapa por separado: sin aplanar, `dim=-1` es una fila. El puesto de un píxel es el que "
    "ocupa en su mapa entero; aplana antes con `flatten(1)`.",
)
def _row_by_row(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    width = maps_a.shape[-1]
    return _change(maps_a, maps_b, ranks=lambda values: _ranks(values.reshape(-1, width)).reshape(values.shape))


@_wrong(
    "Los canales, sumados antes",
    "En las señales `(N, 3, H, W)` has sumado los tres canales antes de comparar, y lo que va a favor en uno tapa lo "
    "que va en contra en otro. Los 3 · H · W valores se ordenan juntos.",
)
def _channels_summed(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    a, b = (m.sum(1) if m.ndim == 4 else m for m in (maps_a, maps_b))
    return _change(a, b)


@_wrong(
    "División por cero",
    "Con un mapa constante todos los rangos son iguales, su norma es 0 y sale NaN. Un mapa constante no ordena nada: "
    "su correlación con cualquiera vale 0, y el cambio, 1.",
)
def _zero_division(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    u, v = (r - r.mean(1, keepdim=True) for r in (_ranks(maps_a.flatten(1)), _ranks(maps_b.flatten(1))))
    rho = (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1))
    return (1 - rho).masked_fill((maps_a == maps_b).flatten(1).all(1), 0)


@_wrong(
    "Dos mapas idénticos que «cambian»",
    "Dos mapas constantes e iguales te dan 1, como si no tuvieran nada que ver, y son el mismo mapa: el cambio es 0. "
    "Es el único caso que la correlación no resuelve sola; trátalo aparte.",
)
def _identical_constants(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    return 1 - _correlation(_ranks(maps_a.flatten(1)), _ranks(maps_b.flatten(1)))


@_wrong(
    "Cualquier constante, sin cambio",
    "Has dado un 0 cuando alguno de los mapas es constante. Un mapa constante no dice lo mismo que otro: no dice nada, "
    "y el cambio es 1. Solo es 0 si los dos mapas son **idénticos**.",
)
def _constants_agree(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    flat = [m.flatten(1) for m in (maps_a, maps_b)]
    constant = torch.stack([m.amin(1) == m.amax(1) for m in flat]).any(0)
    return _change(maps_a, maps_b).masked_fill(constant, 0)


@_wrong(
    "Los mapas, modificados",
    "El resultado es correcto, pero has restado la media con `-=` a un mapa que no era tuyo: `flatten` no copia. "
    "Escribe `a = a - a.mean(...)`, o trabaja con los rangos, que ya son un tensor nuevo.",
)
def _changes_maps(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    change = _change(maps_a, maps_b)
    for maps in (maps_a, maps_b):
        flat = maps.flatten(1)
        flat -= flat.mean(1, keepdim=True)
    return change
