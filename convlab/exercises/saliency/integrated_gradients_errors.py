"""El catálogo de gradientes integrados: lo que se escribe mal, con su diagnóstico, y otras maneras de hacerlo bien."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.exercises.saliency.networks import Target, first, leave_gradients, logit
from convlab.hooks import input_gradient

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right

Baseline = Tensor | float
Score = Callable[[Tensor], Tensor]


def _middles(steps: int) -> list[float]:
    return [(k + 0.5) / steps for k in range(steps)]


def _path_mean(model: nn.Module, x: Tensor, baseline: Baseline, places: Sequence[float], score: Score) -> Tensor:
    """La media en esos puntos del camino, en una pasada; `score` recibe los logits de un punto, `(N, K)`."""
    points = torch.cat([baseline + t * (x - baseline) for t in places])
    gradient = input_gradient(
        model, points, lambda logits: torch.stack([score(part).sum() for part in logits.split(len(x))])
    )
    return gradient.unflatten(0, (len(places), -1)).mean(0)


def _mean_gradient(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, places: Sequence[float]) -> Tensor:
    return _path_mean(model, x, baseline, places, logit(target))


def _correct(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return (_mean_gradient(model, x, target, baseline, _middles(steps)) * (x - baseline)).sum(1)


@_wrong(
    "Falta la diferencia con la línea base",
    "Has devuelto la media de los gradientes del camino. Falta multiplicarla por `x - baseline`: sin eso el mapa no "
    "reparte F(x) − F(línea base).",
)
def _no_difference(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return _mean_gradient(model, x, target, baseline, _middles(steps)).sum(1)


@_wrong(
    "Multiplicado por la imagen",
    "Has multiplicado la media de los gradientes por `x`. Desde el negro es lo mismo, y por eso engaña; desde "
    "cualquier otra línea base se multiplica por `x - baseline`.",
)
def _times_image(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return (_mean_gradient(model, x, target, baseline, _middles(steps)) * x).sum(1)


@_wrong(
    "Diferencia al revés",
    "Has multiplicado por `baseline - x`, y todo el mapa sale con el signo cambiado. El camino va de la línea base a "
    "la imagen: `x - baseline`.",
)
def _reversed_difference(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return -_correct(model, x, target, baseline, steps)


@_wrong(
    "Siempre desde el negro",
    "Has ignorado `baseline` y el camino sale del negro. Con la línea base a 0 no se nota: usa la que recibes, en el "
    "camino y en la diferencia.",
)
def _always_black(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:  # noqa: ARG001
    return _correct(model, x, target, 0.0, steps)


@_wrong(
    "El camino no sale de la línea base",
    "Multiplicas por `x - baseline`, pero recorres `t · x`, que sale del negro. Los puntos del camino son "
    "`baseline + t * (x - baseline)`.",
)
def _path_from_black(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return (_mean_gradient(model, x, target, 0.0, _middles(steps)) * (x - baseline)).sum(1)


@_wrong(
    "Un solo gradiente, el de la imagen",
    "Has multiplicado el gradiente en `x` por la diferencia, sin recorrer el camino. Vale en una red lineal, donde el "
    "gradiente no cambia; en las demás hay que promediarlo desde la línea base hasta la imagen.",
)
def _only_at_image(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:  # noqa: ARG001
    return (_mean_gradient(model, x, target, baseline, [1.0]) * (x - baseline)).sum(1)


@_wrong(
    "El extremo izquierdo de cada tramo",
    "Has tomado el gradiente al comienzo de cada tramo (t = 0, 1/steps, …), así que la línea base cuenta y la imagen "
    "no. El error baja como 1/steps; con el punto medio de cada tramo, `(k + 0.5) / steps`, baja como 1/steps².",
)
def _left_end(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    places = [k / steps for k in range(steps)]
    return (_mean_gradient(model, x, target, baseline, places) * (x - baseline)).sum(1)


@_wrong(
    "El extremo derecho de cada tramo",
    "Has tomado el gradiente al final de cada tramo (t = 1/steps, …, 1), como en la fórmula del artículo. Su error "
    "baja como 1/steps, y aquí se pide una regla precisa: con el punto medio, `(k + 0.5) / steps`, baja como 1/steps².",
)
def _right_end(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    places = [(k + 1) / steps for k in range(steps)]
    return (_mean_gradient(model, x, target, baseline, places) * (x - baseline)).sum(1)


@_wrong(
    "Los dos extremos cuentan enteros",
    "Has hecho la media de los gradientes en `linspace(0, 1, steps)`. Los dos extremos solo cierran medio tramo cada "
    "uno: o pesan la mitad (trapecios), o tomas el punto medio de cada tramo, `(k + 0.5) / steps`.",
)
def _whole_ends(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    places = np.linspace(0, 1, steps).tolist()
    return (_mean_gradient(model, x, target, baseline, places) * (x - baseline)).sum(1)


@_wrong(
    "Suma en vez de media",
    "Has sumado los gradientes del camino y falta dividir por `steps`: el mapa crece con el número de tramos.",
)
def _not_divided(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return steps * _correct(model, x, target, baseline, steps)


@_wrong(
    "Valor absoluto",
    "Has perdido el signo con un valor absoluto. Aquí importa: lo positivo sube el logit, lo negativo lo baja, y solo "
    "con el signo la suma es F(x) − F(línea base).",
)
def _absolute_value(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return _correct(model, x, target, baseline, steps).abs()


@_wrong(
    "El mayor de los canales",
    "Has tomado el mayor valor absoluto de los tres canales, como en `saliency_map`. Aquí los canales se suman, con su "
    "signo: si no, la suma del mapa no es F(x) − F(línea base).",
)
def _largest_channel(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return (_mean_gradient(model, x, target, baseline, _middles(steps)) * (x - baseline)).abs().amax(1)


@_wrong(
    "Media de los canales",
    "Has promediado los tres canales y el mapa reparte solo un tercio de lo que debe. Los canales se suman.",
)
def _mean_of_channels(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return _correct(model, x, target, baseline, steps) / x.shape[1]


@_wrong(
    "Gradiente de la probabilidad",
    "Has derivado la salida de *softmax*, y tu mapa reparte el cambio de la probabilidad. Aquí se reparte el del "
    "logit: deriva la salida de la red sin más.",
)
def _softmax_gradient(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    mean = _path_mean(model, x, baseline, _middles(steps), lambda logits: logit(target)(logits.softmax(1)))
    return (mean * (x - baseline)).sum(1)


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: "
    "`logits[torch.arange(N), target]` escoge la de cada una.",
)
def _first_class_for_all(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return _correct(model, x, first(target), baseline, steps)


@_wrong(
    "Todas las clases para todas las imágenes",
    "`logits[:, target]` con un `LongTensor` da una tabla (N, N): cada imagen recibe también las clases de las demás. "
    "Con `logits[torch.arange(N), target]` cada fila toma solo la suya.",
)
def _every_pair(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    mean = _path_mean(model, x, baseline, _middles(steps), lambda logits: logits[:, target])
    return (mean * (x - baseline)).sum(1)


@_wrong(
    "Dividido por el número de imágenes",
    "Has derivado la media de los logits del lote y no su suma: cada mapa sale dividido por N. Usa `.sum()`.",
)
def _mean_over_batch(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    return _correct(model, x, target, baseline, steps) / len(x)


@_wrong(
    "Gradientes guardados en los parámetros",
    "El mapa es correcto, pero `.backward()` ha dejado gradientes en los parámetros de la red. Usa "
    "`torch.autograd.grad`, que devuelve solo el que pides.",
)
def _backward(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    leave_gradients(model, x, target)
    return _correct(model, x, target, baseline, steps)


@_wrong(
    "La imagen se queda en otro punto del camino",
    "El mapa es correcto, pero has recorrido el camino cambiando la imagen que te dieron. Cada punto es un tensor "
    "nuevo: `baseline + t * (x - baseline)`.",
)
def _image_moved(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    heat = _correct(model, x, target, baseline, steps)
    x.mul_(1 - 0.5 / steps)
    return heat


@_right
def _trapezoids(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    """Trapecios con `steps` tramos, imagen por imagen."""
    base = torch.as_tensor(baseline, dtype=x.dtype).expand_as(x)
    maps = []
    for n in range(len(x)):
        k = target if isinstance(target, int) else int(target[n])
        gradients = []
        for t in range(steps + 1):
            leaf = (base[n : n + 1] + t / steps * (x - base)[n : n + 1]).requires_grad_()
            gradients.append(torch.autograd.grad(model(leaf)[0, k], leaf)[0][0])
        average = torch.trapezoid(torch.stack(gradients), dx=1 / steps, dim=0)
        maps.append(((x[n] - base[n]) * average).sum(0))
    return torch.stack(maps)


@_right
def _few_trapezoids(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    """Trapecios con `steps` puntos, en un solo lote."""
    places = torch.linspace(0, 1, steps, dtype=x.dtype)[:, None, None, None, None]
    points = (baseline + places * (x - baseline)).flatten(0, 1).requires_grad_()
    classes = torch.as_tensor(target).expand(len(x)).repeat(steps)
    (gradient,) = torch.autograd.grad(model(points).gather(1, classes[:, None]).sum(), points)
    average = torch.trapezoid(gradient.unflatten(0, (steps, len(x))), places.flatten(), dim=0)
    return torch.einsum("nchw,nchw->nhw", average, x - baseline)


@_right
def _derivative_along_the_path(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    """Punto medio, derivando una suma de logits respecto de una escala por píxel: la diferencia sale sola."""
    chosen = None
    total = torch.zeros_like(x)
    for t in range(steps):
        scale = torch.full_like(x, (2 * t + 1) / (2 * steps)).requires_grad_()
        logits = model(baseline + scale * (x - baseline))
        if chosen is None:
            chosen = F.one_hot(torch.as_tensor(target).expand(len(x)), logits.shape[1]).to(x.dtype)
        total += torch.autograd.grad(logits, scale, grad_outputs=chosen)[0]
    return total.sum(1) / steps


@_right
def _simpson(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    """Simpson con `torch.func.grad`, y la suma en NumPy."""

    def score(point: Tensor) -> Tensor:
        return logit(target)(model(point)).sum()

    places = np.linspace(0, 1, steps + 1)
    weights = np.where(np.arange(steps + 1) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1
    gradients = [torch.func.grad(score)(baseline + float(t) * (x - baseline)).detach().numpy() for t in places]
    average = np.tensordot(weights / (3 * steps), np.stack(gradients), axes=1)
    return ((x - baseline) * torch.from_numpy(average).to(x.dtype)).sum(dim=1)


@_right
def _gauss(model: nn.Module, x: Tensor, target: Target, baseline: Baseline, steps: int) -> Tensor:
    """Gauss–Legendre de tres puntos en cada tramo."""
    base = torch.as_tensor(baseline, dtype=x.dtype)
    total = torch.zeros_like(x)
    for k in range(steps):
        for offset, weight in ((-(0.6**0.5), 5 / 18), (0.0, 8 / 18), (0.6**0.5, 5 / 18)):
            leaf = torch.lerp(base.expand_as(x), x, (k + 0.5 + offset / 2) / steps).requires_grad_()
            total += weight / steps * torch.autograd.grad(logit(target)(model(leaf)).sum(), leaf)[0]
    return (total * (x - base)).sum(1)
