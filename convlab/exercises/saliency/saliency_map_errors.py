"""El catálogo del mapa de saliencia: lo que se escribe mal, con su diagnóstico, y otras maneras de escribirlo bien."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.exercises.saliency.networks import Target, first, leave_gradients, logit
from convlab.hooks import input_gradient

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right


def _gradient(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return input_gradient(model, x, logit(target))


def _largest(gradient: Tensor) -> Tensor:
    return gradient.abs().amax(1)


@_wrong(
    "Gradiente de la probabilidad",
    "Has derivado la salida de *softmax*. Esa probabilidad también sube cuando bajan las demás clases, y si la red "
    "está segura su derivada casi desaparece. Aquí se deriva el logit, la salida de la red sin más.",
)
def _softmax_gradient(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(input_gradient(model, x, lambda logits: logit(target)(logits.softmax(1))))


@_wrong(
    "Gradiente de la pérdida",
    "Has derivado la entropía cruzada, que mezcla el logit de la clase con los de todas las demás y además lo divide "
    "por el número de imágenes. Deriva solo el logit de la clase pedida.",
)
def _loss_gradient(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    classes = torch.as_tensor(target).expand(len(x))
    return _largest(input_gradient(model, x, lambda logits: F.cross_entropy(logits, classes)))


@_wrong(
    "Gradiente del logaritmo de la probabilidad",
    "Has derivado `log_softmax`, que en valor absoluto es lo mismo que derivar la pérdida sumada: el mapa depende de "
    "todas las clases. Deriva el logit de la clase y nada más.",
)
def _log_softmax_gradient(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(input_gradient(model, x, lambda logits: logit(target)(logits.log_softmax(1))))


@_wrong(
    "Suma de los canales",
    "Has sumado los valores absolutos de los tres canales. Se pide el mayor de los tres: `amax(dim=1)`.",
)
def _sum_over_channels(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).abs().sum(1)


@_wrong(
    "Media de los canales",
    "Has promediado los valores absolutos de los tres canales. Si solo uno importa, la media lo diluye: se pide el "
    "mayor, `amax(dim=1)`.",
)
def _mean_over_channels(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).abs().mean(1)


@_wrong(
    "Norma de los canales",
    "Has tomado la raíz de la suma de cuadrados de los tres canales. También se usa a veces, pero aquí se pide el "
    "mayor valor absoluto, `amax(dim=1)`.",
)
def _norm_over_channels(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).norm(dim=1)


@_wrong(
    "Sin valor absoluto",
    "Has tomado el mayor gradiente con su signo. Un píxel que hace bajar mucho el logit importa tanto como uno que lo "
    "hace subir: primero `abs`, después el máximo.",
)
def _sign_kept(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).amax(1)


@_wrong(
    "Valor absoluto después del máximo",
    "Has tomado primero el máximo y después el valor absoluto. De −3 y 1 el máximo es 1, y se pierde el −3. El orden "
    "es al revés: `abs` y después `amax`.",
)
def _absolute_after_maximum(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).amax(1).abs()


@_wrong(
    "ReLU en vez de valor absoluto",
    "Has puesto a cero los gradientes negativos. En un mapa de saliencia lo que hace bajar el logit también cuenta: "
    "usa `abs`.",
)
def _relu(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).relu().amax(1)


@_wrong(
    "Canales sumados con su signo",
    "Has sumado los canales antes del valor absoluto, y lo que tira en sentidos contrarios se anula. Primero el valor "
    "absoluto de cada canal, y de los tres, el mayor.",
)
def _channels_cancel(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _gradient(model, x, target).sum(1).abs()


@_wrong(
    "Gradiente por imagen",
    "Has multiplicado el gradiente por la imagen. Eso es otra técnica, y en lo negro siempre da cero: la saliencia es "
    "el gradiente solo.",
)
def _gradient_times_input(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(_gradient(model, x, target) * x)


@_wrong(
    "La clase que gana en vez de la pedida",
    "Tu mapa es el de la clase que la red elige, no el de `target`. Usa el índice que recibes: se puede preguntar por "
    "cualquiera.",
)
def _predicted_class(model: nn.Module, x: Tensor, target: Target) -> Tensor:  # noqa: ARG001
    return _largest(input_gradient(model, x, lambda logits: logits.amax(1)))


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: "
    "`logits[torch.arange(N), target]` escoge la de cada una.",
)
def _first_class_for_all(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(_gradient(model, x, first(target)))


@_wrong(
    "Todas las clases para todas las imágenes",
    "`logits[:, target]` con un `LongTensor` da una tabla (N, N): cada imagen recibe también las clases de las demás. "
    "Con `logits[torch.arange(N), target]` cada fila toma solo la suya.",
)
def _every_pair(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(input_gradient(model, x, lambda logits: logits[:, target]))


@_wrong(
    "Dividido por el número de imágenes",
    "Has derivado la media de los logits del lote y no su suma: cada mapa sale dividido por N y depende de con cuántas "
    "imágenes se calcule. Usa `.sum()`.",
)
def _mean_over_batch(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(input_gradient(model, x, lambda logits: logit(target)(logits).mean()))


@_wrong(
    "Imágenes mezcladas",
    "Has promediado los gradientes de todo el lote, y todas las imágenes reciben el mismo mapa. El eje 0 no se toca: "
    "cada imagen tiene el suyo.",
)
def _mixed_images(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    return _largest(_gradient(model, x, target).mean(0, keepdim=True).expand_as(x))


@_wrong(
    "Normalizado por imagen",
    "Has dividido cada mapa por su máximo. El dibujo es igual, pero ya no se puede comparar una imagen con otra: "
    "devuélvelo sin normalizar.",
)
def _normalized(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    heat = _largest(_gradient(model, x, target))
    return heat / heat.amax((1, 2), keepdim=True)


@_wrong(
    "Red en modo entrenamiento",
    "Has llamado a `train()`. Así BatchNorm usa las estadísticas del lote, cada imagen depende de las demás y la red "
    "queda cambiada. Llega en modo `eval`: déjala así.",
)
def _train_mode(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(logit(target)(model.train()(leaf)).sum(), leaf)
    return _largest(gradient)


@_wrong(
    "Gradientes que se acumulan",
    "`.backward()` suma el gradiente a lo que ya hubiera en `x.grad`: la segunda vez que se llama a tu función con la "
    "misma imagen, el mapa sale doble. `torch.autograd.grad` lo devuelve sin guardarlo.",
)
def _accumulated(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    x.requires_grad_()
    logit(target)(model(x)).sum().backward()
    assert x.grad is not None
    return _largest(x.grad)


@_wrong(
    "Gradientes guardados en los parámetros",
    "El mapa es correcto, pero `.backward()` ha dejado un gradiente en cada parámetro de la red, y el siguiente "
    "entrenamiento lo sumará al suyo. Usa `torch.autograd.grad`, que devuelve solo el que pides.",
)
def _backward(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    leave_gradients(model, x, target)
    return _largest(_gradient(model, x, target))


@_wrong(
    "La imagen queda pidiendo gradiente",
    "El mapa es correcto, pero has llamado a `x.requires_grad_()` sobre la imagen que te dieron, y así se queda. "
    "Trabaja con `x.detach().clone().requires_grad_()`.",
)
def _input_requires_grad(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(logit(target)(model(x)).sum(), x)
    return _largest(gradient)


@_right
def _image_by_image(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    """Con bucles, una imagen cada vez y el máximo escrito a mano."""
    maps = []
    for n in range(len(x)):
        leaf = x[n : n + 1].detach().clone().requires_grad_()
        k = target if isinstance(target, int) else int(target[n])
        (gradient,) = torch.autograd.grad(model(leaf)[0, k], leaf)
        red, green, blue = gradient[0].abs()
        maps.append(torch.maximum(torch.maximum(red, green), blue))
    return torch.stack(maps)


@_right
def _chosen_by_one_hot(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    """Con `grad_outputs` en vez de una suma."""
    leaf = x.clone().requires_grad_()
    logits = model(leaf)
    chosen = F.one_hot(torch.as_tensor(target).expand(len(x)), logits.shape[1]).to(logits.dtype)
    (gradient,) = torch.autograd.grad(logits, leaf, grad_outputs=chosen)
    return torch.linalg.vector_norm(gradient, ord=torch.inf, dim=1)


@_right
def _functional(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    """Con `torch.func.vjp`, sin tocar ningún `requires_grad`."""
    logits, pullback = torch.func.vjp(model, x)  # type: ignore[misc]
    chosen = torch.zeros_like(logits)
    chosen[torch.arange(len(x)), target] = 1
    gradient = pullback(chosen)[0]
    return torch.maximum(gradient.amax(1), -gradient.amin(1))


@_right
def _backward_on_a_copy(model: nn.Module, x: Tensor, target: Target) -> Tensor:
    """Con `.backward(inputs=…)`, que no llega a los parámetros."""
    leaf = x.detach().clone().requires_grad_()
    logit(target)(model(leaf)).sum().backward(inputs=[leaf])
    assert leaf.grad is not None
    return leaf.grad.abs().max(dim=1).values
