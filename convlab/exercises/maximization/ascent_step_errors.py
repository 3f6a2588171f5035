"""El catálogo del paso de ascenso: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Objective = Callable[[Tensor], Tensor]


def _gradient(x: Tensor, objective: Objective) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    return gradient


@_wrong(
    "Cuesta abajo",
    "Has restado el gradiente, como al entrenar. Allí se baja una pérdida; aquí se sube un objetivo: el gradiente se "
    "suma.",
)
def _descent(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return x - lr * (_gradient(x, objective) + l2 * x)


@_wrong(
    "La penalización, con el signo de un premio",
    "Has sumado `l2 * x`: cuanto más grande es un píxel, más lo agrandas. La penalización se resta, y tira de la "
    "imagen hacia el cero.",
)
def _penalty_as_reward(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return x + lr * (_gradient(x, objective) + l2 * x)


@_wrong(
    "La penalización, fuera de la tasa de aprendizaje",
    "Has restado `l2 * x` sin multiplicarlo por `lr`. La penalización forma parte de lo que se sube: el paso entero "
    "es `lr * (gradiente − l2 * x)`.",
)
def _penalty_without_lr(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return x + lr * _gradient(x, objective) - l2 * x


@_wrong(
    "La penalización, doble",
    "Has restado `2 * l2 * x`, la derivada de `l2 * ‖x‖²`. En este ejercicio la penalización lleva un medio delante, "
    "`l2 / 2 * ‖x‖²`, y su derivada es `l2 * x`.",
)
def _penalty_doubled(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return x + lr * (_gradient(x, objective) - 2 * l2 * x)


@_wrong(
    "La penalización, en el punto de llegada",
    "Has dado primero el paso del gradiente y has encogido después el resultado. Las dos partes se calculan en la "
    "imagen de partida, `x`.",
)
def _penalty_after_step(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return (x + lr * _gradient(x, objective)) * (1 - lr * l2)


@_wrong(
    "Sin penalización",
    "Tu paso no usa `l2`. Al gradiente del objetivo hay que restarle `l2 * x` antes de multiplicar por `lr`.",
)
def _no_penalty(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:  # noqa: ARG001
    return x + lr * _gradient(x, objective)


@_wrong(
    "Gradiente normalizado",
    "Has dividido el gradiente por su tamaño, y el paso mide lo mismo en una cuesta suave que en una empinada. Es una "
    "buena idea para otro momento; aquí el gradiente se usa tal cual.",
)
def _normalized(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    gradient = _gradient(x, objective)
    return x + lr * (gradient / gradient.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1) - l2 * x)


@_wrong(
    "Solo el signo del gradiente",
    "Has usado `sign`: todos los píxeles se mueven lo mismo, importen mucho o poco. Así se hacen los ataques de la "
    "lección 10; aquí cada píxel se mueve en proporción a su derivada.",
)
def _sign(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return x + lr * (_gradient(x, objective).sign() - l2 * x)


@_wrong(
    "La imagen, recortada",
    "Has recortado el resultado a [0, 1]. Este paso no acota nada; de eso se ocupa quien lo usa.",
)
def _clamped(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return (x + lr * (_gradient(x, objective) - l2 * x)).clamp(0, 1)


@_wrong(
    "Media de los valores en vez de suma",
    "Has derivado la media del objetivo. Con N imágenes, el paso de cada una sale N veces menor por compartir lote. "
    "Deriva la suma: ninguna imagen influye en el valor de otra.",
)
def _mean_of_scores(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(leaf).mean(), leaf)
    return x + lr * (gradient - l2 * x)


@_wrong(
    "Solo sube la primera imagen",
    "Has derivado el valor de la primera imagen, y las demás se quedan donde estaban. Deriva la suma de todos.",
)
def _first_image_only(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(leaf).reshape(-1)[0], leaf)
    return x + lr * (gradient - l2 * x)


@_wrong(
    "Gradiente sumado entre las imágenes",
    "Has juntado el gradiente de todas las imágenes del lote, y todas se mueven igual. Cada imagen sube por el suyo: "
    "el eje 0 no se suma ni se promedia.",
)
def _mixed_images(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    return x + lr * (_gradient(x, objective).sum(0, keepdim=True) - l2 * x)


@_wrong(
    "El grafo viaja con la imagen",
    "El valor es correcto, pero lo que devuelves lleva el grafo de su cálculo: en un ascenso de mil pasos se "
    "guardarían los mil. Devuelve un tensor sin grafo, con `.detach()`.",
)
def _carries_graph(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
        return leaf + lr * (gradient - l2 * leaf)


@_wrong(
    "Falla dentro de `no_grad`",
    "Si quien te llama está dentro de `torch.no_grad()`, tu función no puede derivar y lanza un error. Enciende las "
    "derivadas dentro de tu función: `with torch.enable_grad():`.",
)
def _needs_grad_mode(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    return x + lr * (gradient - l2 * x)


@_wrong(
    "La imagen de entrada, modificada",
    "El resultado es correcto, pero has escrito encima de la imagen recibida, con `x += …` o con `.data`. Quien te "
    "llamó ya no tiene la suya: haz un tensor nuevo.",
)
def _in_place(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    step = lr * (_gradient(x, objective) - l2 * x)
    x += step
    return x.clone()


@_wrong(
    "Gradientes guardados",
    "El resultado es correcto, pero `.backward()` ha dejado gradientes en los parámetros de la red, que el siguiente "
    "que la entrene sumará a los suyos. Usa `torch.autograd.grad`, que devuelve solo el que pides.",
)
def _backward(x: Tensor, objective: Objective, lr: float, l2: float) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        objective(leaf).sum().backward()
    assert leaf.grad is not None
    return x + lr * (leaf.grad - l2 * x)
