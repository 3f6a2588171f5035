"""El catálogo de FGSM: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.hooks import input_gradient

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


def loss_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """La derivada de la entropía cruzada, imagen a imagen: lo que casi todos los errores tienen bien."""
    return input_gradient(model, x, _cross_entropy(y))


def _cross_entropy(y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda logits: F.cross_entropy(logits, y, reduction="sum")


@_wrong(
    "La pérdida baja",
    "Tu paso va al revés: has restado el signo, como quien entrena, y la red queda más segura que antes. Un ataque "
    "**sube** la pérdida: `x + eps * signo`.",
)
def _descends(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return (x - eps * loss_gradient(model, x, y).sign()).clamp(0, 1)


@_wrong(
    "Sin recortar a [0, 1]",
    "Hay valores menores que 0 o mayores que 1, y eso ya no es una imagen: nadie podría guardarla ni enseñársela a la "
    "red. Termina con `.clamp(0, 1)`.",
)
def _unclamped(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return x + eps * loss_gradient(model, x, y).sign()


@_wrong(
    "eps en niveles de 0 a 255",
    "Has dividido `eps` entre 255, y tu paso es 255 veces menor. `eps` ya llega en las unidades de la imagen: 8 "
    "niveles se escriben `8 / 255` al llamar a la función, no dentro.",
)
def _levels(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return (x + eps / 255 * loss_gradient(model, x, y).sign()).clamp(0, 1)


@_wrong(
    "Gradiente sin signo",
    "Has sumado `eps * gradiente`: cada píxel se mueve según su derivada, casi nada, y ninguno gasta lo que se le "
    "permite. FGSM usa solo el signo: `gradiente.sign()`.",
)
def _no_sign(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return (x + eps * loss_gradient(model, x, y)).clamp(0, 1)


@_wrong(
    "Gradiente normalizado en vez de signo",
    "Has dividido el gradiente por su mayor valor absoluto: solo un píxel llega a moverse `eps`, y los demás se quedan "
    "a medias. Con la norma L∞ lo que más sube la pérdida es mover **todos** `eps`: usa el signo.",
)
def _normalized(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    gradient = loss_gradient(model, x, y)
    return (x + eps * gradient / gradient.abs().amax((1, 2, 3), keepdim=True)).clamp(0, 1)


@_wrong(
    "La clase que la red responde",
    "Has usado la respuesta de la red en vez de `y`. Donde la red ya fallaba, tu ataque la aparta de su error y puede "
    "hacer que acierte. La pérdida es la de la clase verdadera.",
)
def _predicted_class(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:  # noqa: ARG001
    with torch.no_grad():
        answer = model(x).argmax(1)
    return (x + eps * loss_gradient(model, x, answer).sign()).clamp(0, 1)


@_wrong(
    "El logit en vez de la pérdida",
    "Has bajado el logit de la clase verdadera sin mirar los demás. La entropía cruzada sube también cuando suben las "
    "otras clases, y su gradiente apunta a otro sitio: deriva `F.cross_entropy(model(z), y)`.",
)
def _logit(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    gradient = input_gradient(model, x, lambda logits: logits[torch.arange(len(logits)), y])
    return (x - eps * gradient.sign()).clamp(0, 1)


@_wrong(
    "Una misma perturbación para todo el lote",
    "Has juntado los gradientes de todas las imágenes y a todas les sumas lo mismo. Cada imagen tiene su propio "
    "gradiente: conserva el eje 0.",
)
def _shared(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return (x + eps * loss_gradient(model, x, y).sum(0, keepdim=True).sign()).clamp(0, 1)


@_wrong(
    "El cero tiene signo",
    "Donde la derivada es cero tu función mueve el píxel igualmente. La red no mira ahí, y moverlo ensucia la imagen a "
    "cambio de nada. `torch.sign(0)` es 0; si lo escribes tú con una condición, cuenta los tres casos.",
)
def _signed_zero(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    step = torch.where(loss_gradient(model, x, y) >= 0, eps, -eps).to(x.dtype)
    return (x + step).clamp(0, 1)


@_wrong(
    "La perturbación sin la imagen",
    "Devuelves solo lo que hay que sumar. Se pide la imagen atacada: `x` más la perturbación, recortada a [0, 1].",
)
def _perturbation(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    return eps * loss_gradient(model, x, y).sign()


@_wrong(
    "Gradientes guardados en los parámetros",
    "La imagen es correcta, pero `.backward()` ha dejado un gradiente en cada parámetro de la red, y el siguiente "
    "entrenamiento lo sumará al suyo. Usa `torch.autograd.grad(pérdida, z)`, que devuelve solo el que pides.",
)
def _backward(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    z = x.detach().clone().requires_grad_()
    F.cross_entropy(model(z), y).backward()
    return (x + eps * z.grad.sign()).clamp(0, 1)  # type: ignore[union-attr]


@_wrong(
    "La entrada pide gradiente",
    "La imagen es correcta, pero has llamado a `requires_grad_()` sobre la misma `x` que te dieron, y así se queda. "
    "Hazlo sobre una copia: `z = x.clone().requires_grad_()`.",
)
def _input_marked(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)
    return (x + eps * gradient.sign()).clamp(0, 1).detach()
