"""Errores conocidos al medir la orientación que prefiere un filtro."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Angles = Tensor | Sequence[float]


def _vector(weight: Tensor, angles: Angles) -> Tensor:
    return torch.as_tensor(angles, dtype=weight.dtype)


def _bars(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return theta.sin() * x + theta.cos() * y


def _waves(
    weight: Tensor, angles: Angles, first: int, last: int, across: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Respuestas de cada canal a las dos rejillas en cuadratura, `(M, O, C, A)`, con el origen en el centro."""
    k, theta = weight.shape[-1], _vector(weight, angles)[:, None, None]
    side = torch.arange(k, dtype=weight.dtype) - (k - 1) / 2
    turn = 2 * math.pi / k * across(theta, side, side[:, None])
    phases = torch.stack([m * turn for m in range(first, last + 1)])
    even, odd = (torch.einsum("ocyx,mayx->moca", weight, wave) for wave in (phases.cos(), phases.sin()))
    return even, odd


def _energy(
    weight: Tensor,
    angles: Angles,
    first: int = 1,
    last: int | None = None,
    across: Callable[[Tensor, Tensor, Tensor], Tensor] = _bars,
) -> Tensor:
    """La energía de cada frecuencia, `(M, O, A)`."""
    even, odd = _waves(weight, angles, first, weight.shape[-1] // 2 if last is None else last, across)
    return even.sum(2).square() + odd.sum(2).square()


@_wrong(
    "Girado 90°",
    "Tus máximos están a 90° de donde deben: has tomado el ángulo por la dirección en que **varía** la intensidad. "
    "Aquí es el de las **barras**, que es la perpendicular: en 0 las barras son horizontales y la intensidad varía al "
    "bajar. La coordenada que cuenta es `x * sin(θ) + y * cos(θ)`.",
)
def _ninety_degrees(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, across=lambda theta, x, y: theta.cos() * x - theta.sin() * y).sum(0)


@_wrong(
    "Seno y coseno cambiados",
    "Has cambiado `x` por `y` (o el seno por el coseno). En 0 deben salir barras horizontales, así que el coseno va "
    'con la fila: `x * sin(θ) + y * cos(θ)`. Si usas `torch.meshgrid`, con `indexing="ij"` el primero es la fila, '
    "`y`.",
)
def _swapped_axes(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, across=lambda theta, x, y: theta.cos() * x + theta.sin() * y).sum(0)


@_wrong(
    "Reflejado: «\\» por «/»",
    "Las barras horizontales y las verticales están bien, pero las inclinadas salen del revés: donde debe ganar «/» "
    "gana «\\». En una imagen la fila crece hacia **abajo**; con `y` hacia abajo, la coordenada es "
    "`x * sin(θ) + y * cos(θ)`, con los dos signos positivos.",
)
def _mirrored(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, across=lambda theta, x, y: theta.sin() * x - theta.cos() * y).sum(0)


@_wrong(
    "Grados en vez de radianes",
    "Has convertido los ángulos de grados a radianes, pero ya venían en radianes. Con esa conversión π vale lo que "
    "tres grados, y todas las rejillas son casi la misma.",
)
def _degrees(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, torch.deg2rad(_vector(weight, angles))).sum(0)


@_wrong(
    "Una sola fase",
    "Has medido la respuesta a una rejilla y no a su pareja, desplazada un cuarto de onda. Un filtro de bordes no "
    "responde a la que tiene el máximo en su centro, y parecería ciego. Suma los cuadrados de las dos: coseno y seno.",
)
def _one_phase(weight: Tensor, angles: Angles) -> Tensor:
    even, _ = _waves(weight, angles, 1, weight.shape[-1] // 2, _bars)
    return even.sum(2).square().sum(0)


@_wrong(
    "Una sola fase, contada desde la esquina",
    "Has medido la respuesta a una sola rejilla, con el máximo en la esquina del filtro. Según dónde caigan las barras "
    "sale mucho o nada, y el resultado depende de dónde pusiste el cero. Suma los cuadrados de las dos: coseno y seno.",
)
def _one_phase_from_the_corner(weight: Tensor, angles: Angles) -> Tensor:
    k = weight.shape[-1]
    even, _ = _waves(weight, angles, 1, k // 2, lambda theta, x, y: _bars(theta, x + (k - 1) / 2, y + (k - 1) / 2))
    return even.sum(2).square().sum(0)


@_wrong(
    "Amplitud en vez de energía",
    "Has sumado las amplitudes, la raíz de cada energía. Se pide la energía: la suma de los dos cuadrados, sin raíz.",
)
def _amplitude(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles).sqrt().sum(0)


@_wrong(
    "Sumar antes de elevar al cuadrado",
    "Has sumado las respuestas de todas las frecuencias y después has elevado al cuadrado, y unas anulan a otras. La "
    "energía se calcula en cada frecuencia por separado, y lo que se suma son energías.",
)
def _added_first(weight: Tensor, angles: Angles) -> Tensor:
    even, odd = _waves(weight, angles, 1, weight.shape[-1] // 2, _bars)
    return even.sum((0, 2)).square() + odd.sum((0, 2)).square()


@_wrong(
    "La media de las frecuencias",
    "Has promediado las frecuencias en vez de sumarlas: tu resultado es ⌊k/2⌋ veces menor. No se divide por nada.",
)
def _mean_over_frequencies(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles).mean(0)


@_wrong(
    "La frecuencia cero",
    "Has empezado en `m = 0`. Esa rejilla es un gris uniforme, sin barras ni orientación, y suma lo mismo en todos los "
    "ángulos: tapa las diferencias. Empieza en 1.",
)
def _with_zero_frequency(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, first=0).sum(0)


@_wrong(
    "Falta la última frecuencia",
    "Tu bucle se detiene antes de `k // 2`. Recuerda que `range(1, n)` no incluye `n`: es `range(1, k // 2 + 1)`.",
)
def _last_frequency_missing(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, last=weight.shape[-1] // 2 - 1).sum(0)


@_wrong(
    "Una sola frecuencia",
    "Has usado solo la rejilla más lenta, la de un ciclo en todo el filtro. Un filtro de líneas finas no la nota. Suma "
    "las energías de 1/k, 2/k… hasta ⌊k/2⌋/k.",
)
def _slowest_only(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, last=1).sum(0)


@_wrong(
    "Todas las frecuencias, hasta k − 1",
    "Has seguido más allá de 0,5 ciclos por píxel. Por encima de eso una rejilla se confunde con otra más lenta, y "
    "cuentas dos veces lo mismo. Detente en `k // 2`.",
)
def _beyond_half(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, last=weight.shape[-1] - 1).sum(0)


@_wrong(
    "Sin 2π",
    "Te falta el 2π. Una frecuencia de f ciclos por píxel avanza `2π·f` radianes en cada píxel; `sin` y `cos` esperan "
    "radianes.",
)
def _without_two_pi(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles, across=lambda theta, x, y: (theta.sin() * x + theta.cos() * y) / (2 * math.pi)).sum(
        0
    )


@_wrong(
    "Ciclos por filtro",
    "Has usado `m` como frecuencia, que son ciclos por **filtro**. Por píxel son `m / k`: divide por el lado.",
)
def _not_divided(weight: Tensor, angles: Angles) -> Tensor:
    k = weight.shape[-1]
    return _energy(weight, angles, across=lambda theta, x, y: k * (theta.sin() * x + theta.cos() * y)).sum(0)


@_wrong(
    "Energía canal a canal",
    "Has calculado la energía de cada canal y la has sumado. La rejilla es gris, la misma en todos los canales, y el "
    "filtro da **una** respuesta: primero se suman los canales, después se eleva al cuadrado. Un filtro que opone dos "
    "colores no responde al gris.",
)
def _energy_per_channel(weight: Tensor, angles: Angles) -> Tensor:
    even, odd = _waves(weight, angles, 1, weight.shape[-1] // 2, _bars)
    return (even.square() + odd.square()).sum((0, 2))


@_wrong(
    "La media de los canales",
    "Has promediado los canales en vez de sumarlos. Un filtro suma lo que recibe de cada uno, y al cuadrado esa "
    "diferencia es de C² veces.",
)
def _mean_over_channels(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles).sum(0) / weight.shape[1] ** 2


@_wrong(
    "Relativa al máximo",
    "Has dividido cada filtro por su máximo. Es cómodo para dibujar, pero así no se sabe qué filtros responden más. "
    "Devuelve la energía tal cual.",
)
def _relative(weight: Tensor, angles: Angles) -> Tensor:
    energy = _energy(weight, angles).sum(0)
    return energy / energy.amax(1, keepdim=True).clamp(min=1e-300)


@_wrong(
    "Ejes de la salida cambiados",
    "Los valores son correctos, pero con los ángulos en el primer eje. Se pide `(O, A)`: una fila por filtro y una "
    "columna por ángulo.",
)
def _transposed(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, angles).sum(0).T


@_wrong(
    "Los ángulos de quien llama, cambiados",
    "El resultado es correcto, pero has reducido los ángulos sobre el mismo tensor que te dieron, y quien llama los "
    "pierde: al dibujar la curva, su eje ya no es el suyo. Trabaja sobre una copia, o deja los ángulos como vienen: al "
    "seno y al coseno les dan igual las vueltas.",
)
def _changes_angles(weight: Tensor, angles: Angles) -> Tensor:
    return _energy(weight, torch.as_tensor(angles, dtype=weight.dtype).remainder_(math.pi)).sum(0)
