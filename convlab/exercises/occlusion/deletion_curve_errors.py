"""El catálogo de la curva de borrado: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Target = int | Tensor
Value = float | str
Score = Callable[[nn.Module, Tensor], Tensor]


def _probability(target: Target) -> Score:
    return lambda model, x: model(x).softmax(1)[torch.arange(len(x)), target]


def _fill(x: Tensor, value: Value) -> Tensor:
    fill = x.mean((2, 3), keepdim=True) if value == "mean" else torch.as_tensor(value)
    return fill.to(x).expand(x.shape)


def _order(saliency: Tensor) -> Tensor:
    """Los píxeles de cada imagen, de más a menos importante."""
    return saliency.flatten(1).argsort(dim=1, descending=True, stable=True)


def _counts(x: Tensor, steps: int) -> list[int]:
    pixels = x[0, 0].numel()
    return [round(k * pixels / steps) for k in range(steps + 1)]


def _erased(x: Tensor, fill: Tensor, chosen: Tensor) -> Tensor:
    """Las imágenes con los píxeles `chosen`, `(N, m)`, borrados."""
    mask = torch.zeros_like(x[:, 0], dtype=torch.bool).flatten(1).scatter(1, chosen, True)
    return torch.where(mask.view(len(x), 1, *x.shape[2:]), fill, x)


def _curves(model: nn.Module, x: Tensor, fill: Tensor, order: Tensor, counts: Sequence[int], score: Score) -> Tensor:
    """Una curva por imagen, `(N, pasos + 1)`."""
    return torch.stack([score(model, _erased(x, fill, order[:, :count])) for count in counts], 1)


@_wrong(
    "Logit en vez de probabilidad",
    "Tu curva está en unidades de logit. En esta se mide la probabilidad de la clase, la salida de *softmax*, para que "
    "el área quede entre 0 y 1: aplica `softmax(dim=1)` antes de escoger la clase.",
)
def _logit(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    def score(net: nn.Module, images: Tensor) -> Tensor:
        return net(images)[torch.arange(len(images)), target]

    return _curves(model, x, _fill(x, value), _order(saliency), _counts(x, steps), score).mean(0)


@_wrong(
    "De menos a más importante",
    "Has borrado primero lo menos importante. La curva de borrado empieza por lo que el mapa más destaca: pide "
    "`descending=True` al ordenar.",
)
def _ascending(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    order = saliency.flatten(1).argsort(dim=1, stable=True)
    return _curves(model, x, _fill(x, value), order, _counts(x, steps), _probability(target)).mean(0)


@_wrong(
    "Insertar en vez de borrar",
    "Has empezado por la imagen borrada y vas descubriendo lo importante: esa es la curva de aparición. Aquí el primer "
    "punto es la imagen intacta.",
)
def _insertion(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    score, order, fill = _probability(target), _order(saliency), _fill(x, value)
    return _curves(model, fill, x, order, _counts(x, steps), score).mean(0)


@_wrong(
    "Cada paso borra solo su parte",
    "En cada paso has partido de la imagen intacta y has borrado solo los píxeles de ese paso. El borrado se acumula: "
    "en el paso k faltan también los de los pasos anteriores.",
)
def _not_cumulative(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    order, counts, score = _order(saliency), _counts(x, steps), _probability(target)
    parts = [order[:, start:stop] for start, stop in zip([0, *counts], counts, strict=False)]
    return torch.stack([score(model, _erased(x, _fill(x, value), part)) for part in parts], 1).mean(0)


@_wrong(
    "Falta la imagen intacta",
    "Tu curva tiene `steps` puntos: has empezado con el primer borrado hecho. El punto 0 es la imagen intacta, y con "
    "él son `steps + 1`.",
)
def _without_start(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    counts = _counts(x, steps)[1:]
    return _curves(model, x, _fill(x, value), _order(saliency), counts, _probability(target)).mean(0)


@_wrong(
    "Falta la imagen borrada entera",
    "Tu curva tiene `steps` puntos: has parado antes del último borrado. El último punto es la imagen sin nada, y con "
    "él son `steps + 1`.",
)
def _without_end(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    counts = _counts(x, steps)[:-1]
    return _curves(model, x, _fill(x, value), _order(saliency), counts, _probability(target)).mean(0)


@_wrong(
    "Truncado en vez de redondeado",
    "Has quitado los decimales al número de píxeles, con `//` o con `int`, y a veces se borra uno de menos. Si no sale "
    "exacto se redondea: `round(k * H * W / steps)`.",
)
def _truncated(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    counts = [k * x[0, 0].numel() // steps for k in range(steps + 1)]
    return _curves(model, x, _fill(x, value), _order(saliency), counts, _probability(target)).mean(0)


@_wrong(
    "Todos los pasos iguales",
    "Has borrado los mismos píxeles enteros en cada paso, `H * W // steps`, y al final sobran algunos sin borrar. "
    "Calcula el total de cada paso, `round(k * H * W / steps)`, y no lo que se añade.",
)
def _equal_steps(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    counts = [k * (x[0, 0].numel() // steps) for k in range(steps + 1)]
    return _curves(model, x, _fill(x, value), _order(saliency), counts, _probability(target)).mean(0)


@_wrong(
    "La clase se vuelve a elegir al borrar",
    "Has tomado en cada paso la probabilidad más alta. Al borrar acaba ganando otra clase, y la curva ya no es de la "
    "misma pregunta: la clase es siempre `target`.",
)
def _chosen_again(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:  # noqa: ARG001
    def score(net: nn.Module, images: Tensor) -> Tensor:
        return net(images).softmax(1).amax(1)

    return _curves(model, x, _fill(x, value), _order(saliency), _counts(x, steps), score).mean(0)


@_wrong(
    "La clase que gana en vez de la pedida",
    "Tu curva es la de la clase que la red elige en la imagen intacta, no la de `target`. Se puede preguntar por "
    "cualquier clase: usa la que recibes.",
)
def _predicted(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:  # noqa: ARG001
    score = _probability(model(x).argmax(1))
    return _curves(model, x, _fill(x, value), _order(saliency), _counts(x, steps), score).mean(0)


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: "
    "`probabilidades[torch.arange(N), target]` escoge la de cada una.",
)
def _first_class(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    score = _probability(int(target[0]) if isinstance(target, Tensor) else target)
    return _curves(model, x, _fill(x, value), _order(saliency), _counts(x, steps), score).mean(0)


@_wrong(
    "El orden de la primera imagen para todas",
    "Has ordenado los píxeles una vez y los borras en todas las imágenes. Cada una tiene su mapa y su orden: ordena a "
    "lo largo del eje 1 de `saliency.flatten(1)`.",
)
def _first_order(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    order = _order(saliency[:1]).expand(len(x), -1)
    return _curves(model, x, _fill(x, value), order, _counts(x, steps), _probability(target)).mean(0)


@_wrong(
    "Una curva por imagen",
    "Has devuelto una curva por imagen, `(N, steps + 1)`. Se pide la media del lote, `(steps + 1,)`: `.mean(dim=0)`.",
)
def _per_image(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    return _curves(model, x, _fill(x, value), _order(saliency), _counts(x, steps), _probability(target))


@_wrong(
    "Suma del lote en vez de media",
    "Tu curva es N veces la correcta: has sumado las probabilidades de las imágenes. Divide por cuántas son.",
)
def _batch_sum(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    return _curves(model, x, _fill(x, value), _order(saliency), _counts(x, steps), _probability(target)).sum(0)


@_wrong(
    "El valor absoluto del mapa",
    "Has ordenado por `|mapa|`, así que lo muy negativo se borra de los primeros. Un valor negativo va en contra de la "
    "clase: es lo menos importante y se borra al final.",
)
def _absolute(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    order = _order(saliency.abs())
    return _curves(model, x, _fill(x, value), order, _counts(x, steps), _probability(target)).mean(0)


@_wrong(
    "Los empates, al revés",
    "Has ordenado de menos a más y le has dado la vuelta a la lista: también a los empates, que salen de la última "
    "fila a la primera. Ordena ya de más a menos, con `descending=True` y `stable=True`.",
)
def _reversed_ties(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    order = saliency.flatten(1).argsort(dim=1, stable=True).flip(1)
    return _curves(model, x, _fill(x, value), order, _counts(x, steps), _probability(target)).mean(0)


@_wrong(
    "Por umbral, con los empates juntos",
    "Has borrado todo lo que llega a un umbral. Si varios píxeles empatan en él, caen todos a la vez y se borran más "
    "de los que toca. Ordena los píxeles y borra los primeros, tantos como diga la cuenta.",
)
def _threshold(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    score, fill, flat = _probability(target), _fill(x, value), saliency.flatten(1)
    curve = []
    for count in _counts(x, steps):
        level = flat.sort(dim=1, descending=True).values[:, count - 1 : count] if count else flat.new_tensor(torch.inf)
        mask = (flat >= level).view(len(x), 1, *x.shape[2:])
        curve.append(score(model, torch.where(mask, fill, x)).mean())
    return torch.stack(curve)


@_wrong(
    "El cero tomado por la media",
    "Con `value=0` has borrado con la media de la imagen. Cero es el negro, y la media solo se usa con `'mean'`; para "
    "Python, en `value or …`, 0 es falso.",
)
def _zero_is_mean(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    fill = _fill(x, value or "mean")
    return _curves(model, x, fill, _order(saliency), _counts(x, steps), _probability(target)).mean(0)


@_wrong(
    "Siempre negro",
    "Has borrado con negro sea cual sea `value`. Usa el número que recibes y, con `'mean'`, la media de cada canal de "
    "la imagen intacta.",
)
def _always_black(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:  # noqa: ARG001
    fill = torch.zeros_like(x)
    return _curves(model, x, fill, _order(saliency), _counts(x, steps), _probability(target)).mean(0)


@_wrong(
    "La imagen de entrada queda borrada",
    "La curva es correcta, pero has ido borrando la imagen que te dieron y al acabar ya no queda nada de ella: quien "
    "compare después otro mapa lo hará con una imagen vacía. Trabaja sobre `x.clone()`.",
)
def _changes_input(model: nn.Module, x: Tensor, target: Target, saliency: Tensor, steps: int, value: Value) -> Tensor:
    fill, order, score = _fill(x, value).clone(), _order(saliency), _probability(target)
    curve = []
    for count in _counts(x, steps):
        x.copy_(_erased(x, fill, order[:, :count]))
        curve.append(score(model, x).mean())
    return torch.stack(curve)
