"""Errores conocidos al llevar un banco de filtros a [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def _safe(value: Tensor) -> Tensor:
    return torch.where(value == 0, torch.ones_like(value), value)


@_wrong(
    "Una escala por filtro",
    "Has dividido cada filtro por su propio máximo. Todos parecen igual de fuertes, y uno que apenas pesa enseña su "
    "ruido como si fuera un dibujo. Toma un solo máximo para todo el banco: `weight.abs().max()`.",
)
def _scale_per_filter(weight: Tensor) -> Tensor:
    return 0.5 + weight / (2 * _safe(weight.abs().amax((1, 2, 3), keepdim=True)))


@_wrong(
    "Una escala por núcleo",
    "Has dividido cada canal de cada filtro por su propio máximo. Al juntar los canales en una imagen en color, los "
    "colores ya no son los del filtro. Toma un solo máximo para todo el banco: `weight.abs().max()`.",
)
def _scale_per_kernel(weight: Tensor) -> Tensor:
    return 0.5 + weight / (2 * _safe(weight.abs().amax((2, 3), keepdim=True)))


@_wrong(
    "Una escala por canal",
    "Has tomado un máximo por canal de entrada, común a todos los filtros. Un canal que apenas pesa brilla como los "
    "demás y los colores se falsean. Es un solo máximo para todo el banco: `weight.abs().max()`.",
)
def _scale_per_channel(weight: Tensor) -> Tensor:
    return 0.5 + weight / (2 * _safe(weight.abs().amax((0, 2, 3), keepdim=True)))


@_wrong(
    "Del mínimo al máximo",
    "Has llevado el mínimo a 0 y el máximo a 1. Entonces el cero cae donde toque, y el gris ya no significa «no pesa». "
    "Divide por el máximo **absoluto**: así lo positivo y lo negativo se miden con la misma vara.",
)
def _min_max(weight: Tensor) -> Tensor:
    low, high = weight.min(), weight.max()
    return (weight - low) / (high - low) if high > low else torch.full_like(weight, 0.5)


@_wrong(
    "Del mínimo al máximo de cada filtro",
    "Has estirado cada filtro entre su mínimo y su máximo: ni el gris es cero ni dos filtros se pueden comparar. Usa "
    "una escala para todo el banco, su máximo **absoluto**, y deja el cero en 0,5.",
)
def _min_max_per_filter(weight: Tensor) -> Tensor:
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (weight - low) / _safe(high - low), torch.full_like(weight, 0.5))


@_wrong(
    "El máximo con signo",
    "Has dividido por `weight.max()`, que olvida los pesos negativos: si el más fuerte lo es, el resultado se sale de "
    "[0, 1]. Toma el máximo del valor absoluto, `weight.abs().max()`.",
)
def _signed_maximum(weight: Tensor) -> Tensor:
    return 0.5 + weight / (2 * _safe(weight.max()))


@_wrong(
    "Centrado en la media",
    "Has restado la media antes de escalar: el gris pasa a ser el peso medio, y no el cero. Un filtro con todos los "
    "pesos negativos debe verse oscuro. No restes nada.",
)
def _centred(weight: Tensor) -> Tensor:
    moved = weight - weight.mean()
    return 0.5 + moved / (2 * _safe(moved.abs().max()))


@_wrong(
    "Entre −1 y 1",
    "Te has quedado a medio camino: tus valores van de −1 a 1 y el cero sigue en 0. Divide por dos y suma 0,5.",
)
def _minus_one_to_one(weight: Tensor) -> Tensor:
    return weight / _safe(weight.abs().max())


@_wrong(
    "Falta dividir por dos",
    "El cero está en 0,5, pero los extremos se van a −0,5 y a 1,5. A cada lado del gris solo hay medio recorrido: "
    "divide por **dos veces** el máximo.",
)
def _not_halved(weight: Tensor) -> Tensor:
    return 0.5 + weight / _safe(weight.abs().max())


@_wrong(
    "Recortar en vez de escalar",
    "Has sumado 0,5 y recortado lo que se sale. Los pesos grandes se aplastan en los extremos y los pequeños no se "
    "distinguen del gris. Hay que **dividir** por el máximo del banco, para que nada se salga.",
)
def _clamped(weight: Tensor) -> Tensor:
    return (0.5 + weight).clamp(0, 1)


@_wrong(
    "Valor absoluto",
    "Has pintado el valor absoluto: el cero es negro, y un peso de +1 y otro de −1 se ven iguales. El signo también es "
    "información. Usa el valor absoluto solo para encontrar el máximo.",
)
def _absolute_value(weight: Tensor) -> Tensor:
    return weight.abs() / _safe(weight.abs().max())


@_wrong(
    "Negativo de la imagen",
    "Tienes el signo al revés: lo que pesa a favor sale oscuro y lo que pesa en contra, claro. El mayor peso positivo "
    "debe valer 1.",
)
def _negated(weight: Tensor) -> Tensor:
    return 0.5 - weight / (2 * _safe(weight.abs().max()))


@_wrong(
    "Sigmoide",
    "La sigmoide deja el cero en 0,5, pero no usa la escala del banco: con pesos pequeños todo queda gris, y con "
    "grandes, todo se satura. Se pide una recta: dos veces más peso es dos veces más lejos del gris.",
)
def _sigmoid(weight: Tensor) -> Tensor:
    return weight.sigmoid()


@_wrong(
    "Un épsilon que manda",
    "Has sumado un número pequeño al máximo para no dividir por cero. Si los pesos también lo son, ese número decide y "
    "el banco sale gris. Divide por el máximo exacto y trata aparte el banco de ceros.",
)
def _epsilon(weight: Tensor) -> Tensor:
    return 0.5 + weight / (2 * (weight.abs().max() + 1e-8))


@_wrong(
    "División por cero",
    "Un banco de ceros divide 0 entre 0 y sale NaN. Es un banco que no pesa nada: todo 0,5. Comprueba el máximo antes "
    "de dividir.",
)
def _zero_division(weight: Tensor) -> Tensor:
    return 0.5 + weight / (2 * weight.abs().max())


@_wrong(
    "Un banco de ceros, en negro",
    "Cuando el máximo es 0 devuelves ceros, que se ven negros: lo más negativo que hay. Lo que no pesa es gris, 0,5, "
    "también si nada pesa.",
)
def _black_zeros(weight: Tensor) -> Tensor:
    largest = weight.abs().max()
    return 0.5 + weight / (2 * largest) if largest > 0 else torch.zeros_like(weight)


@_wrong(
    "Los pesos de la red, cambiados",
    "El resultado es correcto, pero has dividido con `/=` sobre el tensor que te dieron. Si eran los pesos de una red, "
    "acabas de estropearla. Escribe `weight / …`, que hace un tensor nuevo.",
)
def _changes_weight(weight: Tensor) -> Tensor:
    weight /= 2 * _safe(weight.abs().max())
    return weight + 0.5
