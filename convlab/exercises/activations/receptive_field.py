"""Ejercicio 1: cuántos píxeles ve una unidad y a qué distancia mira su vecina."""

from __future__ import annotations

from math import prod

import numpy as np

from convlab import activations
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

Layers = list[tuple[int, int]]


def _draft(kernels: list[int], strides: list[int]) -> Draft:
    layers = [(int(k), int(s)) for k, s in zip(kernels, strides, strict=True)]
    size = 1 + sum((k - 1) * prod(s for _, s in layers[:i]) for i, (k, _) in enumerate(layers))
    return Draft({"layers": layers}, expected=(size, prod(s for _, s in layers)))


def _kernels(rng: np.random.Generator, n: int) -> list[int]:
    """Todos distintos: el orden de las capas se nota."""
    return [int(k) for k in rng.permutation(np.arange(2, 2 + n))]


def _unit_strides(rng: np.random.Generator) -> Draft:
    return _draft(_kernels(rng, 3), [1, 1, 1])


def _one_by_one(rng: np.random.Generator) -> Draft:
    """Con núcleos de 1 el campo es un píxel, y solo queda el salto; 4 y 5 no suman lo que multiplican."""
    return _draft([1, 1, 1], [int(s) for s in rng.permutation([2, 3, 4, 5])[:3]])


def _one_layer(rng: np.random.Generator) -> Draft:
    return _draft([int(rng.integers(5, 12))], [int(rng.integers(2, 5))])


def _mixed(rng: np.random.Generator) -> Draft:
    return _draft(_kernels(rng, 4), [int(s) for s in rng.permutation([2, 3, 4, 1])])


def _like_mini(rng: np.random.Generator) -> Draft:
    """Convoluciones de paso 1 y *pooling* de paso 2, como en las redes del curso."""
    blocks = int(rng.integers(3, 6))
    kernels = [int(k) for k in rng.choice([3, 5, 7], blocks)]
    return _draft([k for kernel in kernels for k in (kernel, 2)], [1, 2] * blocks)


def _with_gaps(rng: np.random.Generator) -> Draft:
    """Un paso mayor que el núcleo se salta píxeles, y la regla es la misma."""
    return _draft([int(k) for k in rng.permutation([1, 2, 3])], [int(s) for s in rng.permutation([3, 4, 5])])


def _deep(rng: np.random.Generator) -> Draft:
    n = int(rng.integers(14, 20))
    return _draft([int(k) for k in rng.integers(1, 6, n)], [int(s) for s in rng.choice([1, 1, 2], n)])


def _nothing(rng: np.random.Generator) -> Draft:  # noqa: ARG001
    return Draft({"layers": []}, expected=(1, 1))


@_wrong(
    "Sin el salto",
    "Has sumado `kernel - 1` de todas las capas, como si un paso en cualquier mapa fuera un píxel. Tras un paso de 2, "
    "las vecinas miran a dos píxeles una de otra: lo que ensancha una capa se multiplica por el salto que había antes.",
)
def _no_jump(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in layers:
        size += kernel - 1
        jump *= stride
    return size, jump


@_wrong(
    "El paso de la propia capa",
    "Has actualizado el salto antes que el tamaño, y cada capa se ensancha por su propio paso. Su paso separa a sus "
    "unidades entre sí; lo que ve cada una depende de los pasos **anteriores**. Primero el tamaño, después el salto.",
)
def _own_stride(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in layers:
        jump *= stride
        size += (kernel - 1) * jump
    return size, jump


@_wrong(
    "El núcleo entero en vez de lo que añade",
    "Has sumado `kernel` por cada capa. Un núcleo de 3 no añade tres vecinos sino dos: el del centro ya estaba. Suma "
    "`kernel - 1`.",
)
def _whole_kernel(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in layers:
        size += kernel * jump
        jump *= stride
    return size, jump


@_wrong(
    "Empezar en cero",
    "Tu campo tiene un píxel de menos. Antes de la primera capa, cada píxel ya se ve a sí mismo: el tamaño empieza "
    "en 1.",
)
def _from_zero(layers: Layers) -> tuple[int, int]:
    size, jump = 0, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


@_wrong(
    "De la última capa a la primera",
    "Has recorrido la lista al revés. El salto crece desde la imagen: la capa que se ensancha más es la que tiene más "
    "pasos **debajo**, no encima.",
)
def _reversed_layers(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in reversed(layers):
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


@_wrong(
    "Pasos sumados",
    "Has sumado los pasos. Dos capas de paso 2 no dan un salto de 3: la segunda avanza de dos en dos sobre un mapa que "
    "ya iba de dos en dos. Los pasos se multiplican.",
)
def _added_strides(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump += stride - 1
    return size, jump


@_wrong(
    "Solo el último paso",
    "Tu salto es el paso de la última capa y olvida los anteriores. Hay que acumularlos: `jump *= stride`.",
)
def _last_stride(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump = stride
    return size, jump


@_wrong(
    "Núcleos multiplicados",
    "Has multiplicado los núcleos. Dos capas de 3 × 3 no ven 9 píxeles de lado sino 5, porque sus campos se solapan: "
    "cada capa **suma** lo que añade.",
)
def _multiplied_kernels(layers: Layers) -> tuple[int, int]:
    return prod(kernel for kernel, _ in layers), prod(stride for _, stride in layers)


@_wrong(
    "Tamaño y salto cambiados",
    "Los dos números son correctos, pero en otro orden: primero el tamaño del campo, después el salto.",
)
def _swapped(layers: Layers) -> tuple[int, int]:
    size, jump = _steps(layers)
    return jump, size


@_wrong(
    "La lista de quien llama, vaciada",
    "El resultado es correcto, pero `pop` quita las capas de la lista que te dieron, y quien la use después la "
    "encontrará vacía. Recórrela con un `for`.",
)
def _emptied_list(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    while layers:
        kernel, stride = layers.pop(0)
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


def _steps(layers: Layers) -> tuple[int, int]:
    size = jump = 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


@_right
def _from_the_unit_down(layers: Layers) -> tuple[int, int]:
    """De la unidad a la imagen: `n` píxeles de un mapa son `(n - 1) * paso + núcleo` del anterior."""
    size = jump = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
        jump = jump * stride
    return size, jump


@_right
def _cumulative_product(layers: Layers) -> tuple[int, int]:
    table = np.array(layers, dtype=np.int64).reshape(-1, 2)
    jumps = np.cumprod(np.concatenate([[1], table[:, 1]]))
    return int(1 + ((table[:, 0] - 1) * jumps[:-1]).sum()), int(jumps[-1])


@_right
def _counting_pixels(layers: Layers) -> tuple[int, int]:
    """Sin fórmula: qué píxeles alcanzan las unidades 0 y 1, capa a capa."""
    first, second = {0}, {1}
    for kernel, stride in reversed(layers):
        first, second = ({unit * stride + tap for unit in units for tap in range(kernel)} for units in (first, second))
    return max(first) - min(first) + 1, min(second) - min(first)


EXERCISE = Exercise(
    id="activations.receptive_field",
    title="¿Cuánto ve una unidad?",
    minutes=10,
    visible_points=1,
    hidden_points=1,
    reference=activations.receptive_field,
    properties=(
        Property("Con pasos de 1, cada capa añade su núcleo menos uno", 2, (_unit_strides,)),
        Property("El salto es el producto de los pasos", 1, (_one_by_one, _one_layer)),
        Property("Los pasos anteriores multiplican lo que añade cada capa", 3, (_mixed, _like_mini)),
        Property("Redes hondas y pasos mayores que el núcleo", 1, (_deep, _with_gaps)),
        Property("Sin capas, cada píxel se ve a sí mismo", 1, (_nothing,)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
