"""El catálogo de los parches: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Patches = list[tuple[int, int, int, int, int]]
Size = tuple[int, int] | None
Places = list[tuple[int, int, int]]


def _best(activations: Tensor, k: int) -> Places:
    """Las `k` posiciones más activas, en orden."""
    order = activations.reshape(-1).sort(descending=True, stable=True).indices[:k].tolist()
    return _unravel(order, activations)


def _unravel(order: list[int], activations: Tensor) -> Places:
    _, height, width = activations.shape
    return [(p // (height * width), p // width % height, p % width) for p in order]


def _boxes(places: Places, field: int, jump: int, offset: int, size: Size) -> Patches:
    """Los parches de unas posiciones, recortados."""
    return [(n, *_clip(offset + i * jump, offset + j * jump, field, size)) for n, i, j in places]


def _clip(y0: int, x0: int, field: int, size: Size) -> tuple[int, int, int, int]:
    y1, x1 = y0 + field, x0 + field
    if size is not None:
        y1, x1 = min(y1, size[0]), min(x1, size[1])
    return max(y0, 0), max(x0, 0), y1, x1


@_wrong(
    "Parches que se salen por arriba o por la izquierda",
    "Tienes coordenadas negativas. Con relleno, el campo de una unidad del borde empieza fuera de la imagen, y "
    "`x[:, -5:9]` no es el borde: Python cuenta desde el final y el trozo sale vacío o equivocado. Corta en 0.",
)
def _not_clipped(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    patches = []
    for n, i, j in _best(activations, k):
        y0, x0 = offset + i * jump, offset + j * jump
        _, _, y1, x1 = _clip(y0, x0, receptive_field, size)
        patches.append((n, y0, x0, y1, x1))
    return patches


@_wrong(
    "Parches que se salen por abajo o por la derecha",
    "No has usado `size`: los campos de las últimas filas y columnas pasan del borde de la imagen. Cuando llega, `y1` "
    "no puede pasar de `size[0]` ni `x1` de `size[1]`.",
)
def _size_ignored(
    activations: Tensor,
    receptive_field: int,
    jump: int,
    offset: int,
    k: int,
    *,
    size: Size = None,  # noqa: ARG001
) -> Patches:
    return _boxes(_best(activations, k), receptive_field, jump, offset, None)


@_wrong(
    "Alto y ancho de la imagen cambiados",
    "Has recortado las filas con el ancho y las columnas con el alto. `size` es `(H, W)`: el alto limita `y1`, y el "
    "ancho, `x1`.",
)
def _swapped_size(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(_best(activations, k), receptive_field, jump, offset, size and (size[1], size[0]))


@_wrong(
    "El final, contado desde el comienzo recortado",
    "Has recortado `y0` y luego le has sumado el campo: en el borde, el parche se alarga por dentro y enseña píxeles "
    "que la unidad no ve. El final se cuenta desde el comienzo **sin** recortar.",
)
def _end_after_clipping(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    patches = []
    for n, i, j in _best(activations, k):
        y0, x0 = max(offset + i * jump, 0), max(offset + j * jump, 0)
        patches.append((n, *_clip(y0, x0, receptive_field, size)))
    return patches


@_wrong(
    "El parche, movido para que quepa",
    "Has empujado hacia dentro los parches que se salían, para que midan todos lo mismo. Ahora enseñan píxeles que la "
    "unidad no ve. Recórtalos: el parche del borde es más pequeño.",
)
def _shifted_inside(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    patches = []
    for n, i, j in _best(activations, k):
        y0, x0 = max(offset + i * jump, 0), max(offset + j * jump, 0)
        if size is not None:
            y0, x0 = min(y0, size[0] - receptive_field), min(x0, size[1] - receptive_field)
        patches.append((n, y0, x0, y0 + receptive_field, x0 + receptive_field))
    return patches


@_wrong(
    "Sin el salto",
    "Has usado la posición del mapa como si fuera un píxel. Dos posiciones vecinas miran a `jump` píxeles una de otra: "
    "`offset + i * jump`.",
)
def _no_jump(
    activations: Tensor,
    receptive_field: int,
    jump: int,  # noqa: ARG001
    offset: int,
    k: int,
    *,
    size: Size = None,
) -> Patches:
    return _boxes(_best(activations, k), receptive_field, 1, offset, size)


@_wrong(
    "Sin el comienzo",
    "No has usado `offset`, y todos tus parches están desplazados hacia abajo y a la derecha. La posición (0, 0) ve "
    "desde el píxel `offset`, que con relleno es negativo.",
)
def _no_offset(
    activations: Tensor,
    receptive_field: int,
    jump: int,
    offset: int,  # noqa: ARG001
    k: int,
    *,
    size: Size = None,
) -> Patches:
    return _boxes(_best(activations, k), receptive_field, jump, 0, size)


@_wrong(
    "El comienzo, multiplicado por el salto",
    "Has escrito `(i + offset) * jump`. `offset` ya está en píxeles, y solo la posición se multiplica: "
    "`offset + i * jump`.",
)
def _scaled_offset(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(_best(activations, k), receptive_field, jump, offset * jump, size)


@_wrong(
    "El comienzo tomado por el centro",
    "Has puesto el parche alrededor de `offset + i * jump`, como si fuera su centro. Ahí **empieza** el campo; termina "
    "`receptive_field` píxeles después.",
)
def _centered(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(_best(activations, k), receptive_field, jump, offset - receptive_field // 2, size)


@_wrong(
    "El último píxel, fuera",
    "A tus parches les falta una fila y una columna. `y1` y `x1` no se incluyen, como en `x[:, y0:y1, x0:x1]`: son el "
    "comienzo más el campo, sin restar 1.",
)
def _inclusive_end(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return [
        (n, y0, x0, y1 - 1, x1 - 1)
        for n, y0, x0, y1, x1 in _boxes(_best(activations, k), receptive_field, jump, offset, size)
    ]


@_wrong(
    "Filas y columnas cambiadas",
    "Has cambiado las filas por las columnas. En cada parche van primero las filas: `(n, y0, x0, y1, x1)`, con `y0` de "
    "la fila del mapa y `x0` de la columna.",
)
def _columns_first(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    found = _boxes(_best(activations, k), receptive_field, jump, offset, size)
    return [(n, x0, y0, x1, y1) for n, y0, x0, y1, x1 in found]


@_wrong(
    "El mapa plano, partido por el alto",
    "Has aplanado los mapas y, al volver a filas y columnas, has dividido por el alto. Los valores están por filas, y "
    "una fila tiene W: la fila es `p // W` y la columna, `p % W`.",
)
def _unraveled_by_height(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    _, height, width = activations.shape
    order = activations.reshape(-1).sort(descending=True, stable=True).indices[:k].tolist()
    places = [(p // (height * width), p % (height * width) // height, p % height) for p in order]
    return _boxes(places, receptive_field, jump, offset, size)


@_wrong(
    "Las menos activas",
    "Has ordenado de menor a mayor y te has quedado con el principio: son las posiciones que **menos** la encienden. "
    "Falta `descending=True`.",
)
def _ascending(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(_best(-activations, k), receptive_field, jump, offset, size)


@_wrong(
    "Por magnitud",
    "Has ordenado por el valor absoluto, y una activación muy negativa te parece fuerte. Esa es la imagen que más la "
    "apaga. Ordena los valores con su signo.",
)
def _by_magnitude(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(_best(activations.abs(), k), receptive_field, jump, offset, size)


@_wrong(
    "Una posición por imagen",
    "Te has quedado con la mejor posición de cada imagen. Aquí compiten todas las posiciones de todas las imágenes: de "
    "una pueden salir varias y de otra, ninguna.",
)
def _one_per_image(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    peaks = activations.flatten(1).amax(1)
    order = peaks.sort(descending=True, stable=True).indices[:k].tolist()
    places = [(n, i, j) for n in order for _, i, j in _best(activations[n : n + 1], 1)]
    return _boxes(places, receptive_field, jump, offset, size)


@_wrong(
    "Solo la primera imagen",
    "Has buscado solo en la primera imagen. Las `k` posiciones salen de todo el conjunto: aplana los tres ejes juntos.",
)
def _first_image(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(_best(activations[:1], k), receptive_field, jump, offset, size)


@_wrong(
    "Las que son, sin ordenar",
    "Has encontrado las posiciones debidas, pero en el orden en que están en la imagen. Se piden de mayor a menor "
    "activación.",
)
def _in_reading_order(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    return _boxes(sorted(_best(activations, k)), receptive_field, jump, offset, size)


@_wrong(
    "Empates al revés",
    "Has ordenado de menor a mayor y le has dado la vuelta a la lista, y los empates han quedado del revés. Ordena con "
    "`descending=True, stable=True`: a igual valor, gana lo que va antes.",
)
def _reversed_ties(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    order = activations.reshape(-1).sort(stable=True).indices.flip(0)[:k].tolist()
    return _boxes(_unravel(order, activations), receptive_field, jump, offset, size)


@_wrong(
    "`topk` no desempata",
    "`topk` no promete ningún orden entre valores iguales, y el resultado cambia de una máquina a otra. Ordena con "
    "`sort(descending=True, stable=True)`: a igual valor, gana lo que va antes.",
)
def _unstable_topk(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    order = activations.reshape(-1).topk(k).indices.tolist()
    return _boxes(_unravel(order, activations), receptive_field, jump, offset, size)


@_wrong(
    "Los mapas, borrados",
    "Los parches son correctos, pero al buscar el máximo una y otra vez has ido borrando el anterior **en los mapas "
    "que te dieron**. Trabaja sobre una copia, `activations.clone()`, u ordena una sola vez.",
)
def _erases_maps(
    activations: Tensor, receptive_field: int, jump: int, offset: int, k: int, *, size: Size = None
) -> Patches:
    places = []
    for _ in range(k):
        places += _best(activations, 1)
        activations[places[-1]] = -torch.inf
    return _boxes(places, receptive_field, jump, offset, size)
