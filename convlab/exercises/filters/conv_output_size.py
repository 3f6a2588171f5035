"""Ejercicio 1: cuántas veces cabe un filtro en una fila."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from convlab import filters
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _count(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Sin fórmula: se cuentan los sitios donde puede empezar el filtro."""
    return len(range(-padding, n + padding - dilation * (kernel - 1), stride))


def _draft(*values: int | np.integer) -> Draft:
    names = ("n", "kernel", "stride", "padding", "dilation")
    arguments = dict(zip(names, map(int, values), strict=False))
    return Draft(arguments, expected=_count(**arguments))


def _fitting(
    rng: np.random.Generator, stride: int, padding: int, dilation: int, *, spare: int, positions: int = 0
) -> Draft:
    """Una fila donde caben `positions` filtros y sobran `spare` píxeles, menos que un paso."""
    kernel = int(rng.integers(3, 6))
    places = positions or int(rng.integers(9, 14))
    n = dilation * (kernel - 1) + 1 + (places - 1) * stride + spare - 2 * padding
    return _draft(n, kernel, stride, padding, dilation)


def _contiguous(rng: np.random.Generator) -> Draft:
    return _draft(rng.integers(20, 60), rng.integers(3, 8))


def _exact_stride(rng: np.random.Generator) -> Draft:
    return _fitting(rng, int(rng.integers(2, 5)), 0, 1, spare=0)


def _little_spare(rng: np.random.Generator) -> Draft:
    """Sobra menos de medio paso: redondear al más próximo acierta y redondear hacia arriba no."""
    return _fitting(rng, int(rng.integers(3, 6)), 0, 1, spare=1)


def _much_spare(rng: np.random.Generator) -> Draft:
    stride = int(rng.integers(3, 6))
    return _fitting(rng, stride, 0, 1, spare=stride - 1)


def _wide_stride(rng: np.random.Generator) -> Draft:
    """Un paso mayor que el núcleo se salta píxeles, y la cuenta es la misma."""
    kernel, stride = int(rng.integers(1, 3)), int(rng.integers(4, 7))
    return _draft(kernel + stride * rng.integers(4, 9), kernel, stride)


def _padded(rng: np.random.Generator) -> Draft:
    return _draft(rng.integers(20, 60), rng.integers(3, 8), 1, rng.integers(1, 5))


def _dilated(rng: np.random.Generator) -> Draft:
    return _draft(rng.integers(30, 60), rng.integers(3, 6), 1, 0, rng.integers(2, 5))


def _point(rng: np.random.Generator) -> Draft:
    """Un núcleo de un píxel no tiene nada que separar."""
    return _draft(rng.integers(20, 60), 1, 1, 0, rng.integers(2, 6))


def _everything(rng: np.random.Generator) -> Draft:
    stride = int(rng.integers(2, 5))
    return _fitting(rng, stride, int(rng.integers(1, 4)), int(rng.integers(2, 4)), spare=int(rng.integers(0, stride)))


def _first_layer(rng: np.random.Generator) -> Draft:
    """Primeras capas de redes conocidas, con imágenes de varios lados."""
    kernel, stride, padding = [(7, 2, 3), (11, 4, 2), (3, 2, 1), (4, 4, 0)][int(rng.integers(4))]
    return _draft(rng.choice([96, 128, 160, 224, 256, 299]), kernel, stride, padding)


def _by_name(rng: np.random.Generator) -> Draft:
    return Draft(_fitting(rng, 1, int(rng.integers(1, 4)), int(rng.integers(2, 4)), spare=0).arguments, call=_use_names)


def _use_names(
    function: Callable[..., int], n: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[int]:
    """Lo que no se dice vale lo de siempre: paso 1, sin relleno y sin dilatar."""
    return [
        function(n, kernel, dilation=dilation),
        function(n, kernel, padding=padding),
        function(n, kernel, padding=padding, stride=stride + 1),
    ]


def _fits_once(rng: np.random.Generator) -> Draft:
    stride = int(rng.integers(2, 5))
    return _fitting(rng, stride, 1, int(rng.integers(1, 4)), spare=int(rng.integers(0, stride)), positions=1)


@_wrong(
    "Falta la primera posición",
    "Te sale una de menos. Dividir lo que sobra entre el paso cuenta cuántas veces se **mueve** el filtro; antes del "
    "primer movimiento ya estaba en un sitio. Suma 1 al final.",
)
def _no_first_position(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride


@_wrong(
    "El 1 dentro de la división",
    "Has sumado el 1 antes de dividir entre el paso, y con un paso de 2 o más se pierde. Primero se cuentan los "
    "movimientos, `(…) // stride`, y después se suma la posición de partida.",
)
def _one_inside(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return (n + 2 * padding - dilation * (kernel - 1)) // stride


@_wrong(
    "Relleno en un solo lado",
    "Has sumado el relleno una vez. `padding` son los píxeles que se añaden en **cada** extremo: la fila crece "
    "`2 * padding`.",
)
def _one_sided_padding(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return (n + padding - dilation * (kernel - 1) - 1) // stride + 1


@_wrong(
    "Sin relleno",
    "Tu cuenta no cambia con `padding`. El relleno añade píxeles a los dos lados y el filtro cabe en más sitios: la "
    "fila mide `n + 2 * padding`.",
)
def _no_padding(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:  # noqa: ARG001
    return (n - dilation * (kernel - 1) - 1) // stride + 1


@_wrong(
    "Sin paso",
    "Tu cuenta no cambia con `stride`: supone que el filtro avanza de uno en uno. Con un paso de 2 solo se detiene en "
    "uno de cada dos sitios. Divide entre el paso.",
)
def _no_stride(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:  # noqa: ARG001
    return n + 2 * padding - dilation * (kernel - 1)


@_wrong(
    "Sin dilatación",
    "Tu cuenta no cambia con `dilation`. Un núcleo de 3 con dilatación 2 mira tres píxeles, pero abarca cinco, porque "
    "deja uno en medio cada vez: lo que ocupa es `dilation * (kernel - 1) + 1`.",
)
def _no_dilation(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:  # noqa: ARG001
    return (n + 2 * padding - kernel) // stride + 1


@_wrong(
    "Dilatación por núcleo",
    "Has tomado `dilation * kernel` por lo que abarca el filtro. Entre k pesos hay k − 1 separaciones, no k: abarca "
    "`dilation * (kernel - 1) + 1`.",
)
def _dilated_kernel(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return (n + 2 * padding - dilation * kernel) // stride + 1


@_wrong(
    "Dilatación como huecos",
    "Has contado `dilation` píxeles vacíos entre peso y peso. La dilatación es la **distancia** entre dos pesos "
    "vecinos: con 1 están pegados y con 2 queda un hueco. El filtro abarca `dilation * (kernel - 1) + 1`.",
)
def _dilation_as_holes(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return (n + 2 * padding - kernel - (kernel - 1) * dilation) // stride + 1


@_wrong(
    "Redondeo hacia arriba",
    "Has redondeado hacia arriba, y cuentas una posición en la que el filtro se sale. Solo valen las enteras: división "
    "entera, `//`.",
)
def _rounded_up(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return math.ceil((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1


@_wrong(
    "Redondeo al más próximo",
    "Has redondeado al entero más próximo: si sobra más de medio paso, cuentas una posición en la que el filtro se "
    "sale. Lo que no llega a un paso se descarta: división entera, `//`.",
)
def _rounded(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 0.5) + 1


@_wrong(
    "Sin redondear",
    "Has dejado la división con decimales. No hay media posición: lo que no llega a un paso se descarta. Usa la "
    "división entera, `//`.",
)
def _not_rounded(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> float:
    return (n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1


@_wrong(
    "El número correcto, pero con decimales",
    "La cuenta es correcta, pero devuelves un `float`, como 112.0, y con él no se puede hacer un tensor ni un `range`. "
    "Divide con `//` o convierte el resultado con `int(...)`.",
)
def _float_result(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> float:
    return float((n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)


@_right
def _walking(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    start, places = -padding, 0
    while start + dilation * (kernel - 1) < n + padding:
        places += 1
        start += stride
    return places


@_right
def _asking_torch(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    line, weight = torch.zeros(1, 1, n), torch.zeros(1, 1, kernel)
    return torch.conv1d(line, weight, stride=stride, padding=padding, dilation=dilation).shape[-1]


@_right
def _as_in_the_manual(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    return math.floor((n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1)


EXERCISE = Exercise(
    id="filters.conv_output_size",
    title="¿Cuántas veces cabe?",
    minutes=10,
    visible_points=1,
    hidden_points=1,
    reference=filters.conv_output_size,
    properties=(
        Property("De uno en uno, sin relleno", 2, (_contiguous,)),
        Property("El paso, y lo que sobra se descarta", 2, (_exact_stride, _little_spare, _much_spare, _wide_stride)),
        Property("Relleno en los dos extremos", 2, (_padded,)),
        Property("Dilatación", 2, (_dilated, _point)),
        Property("Todo a la vez", 1, (_everything, _first_layer, _fits_once)),
        Property("Valores por omisión y argumentos por su nombre", 1, (_by_name,)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
