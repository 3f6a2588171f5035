"""Ejercicio 4: a cuántas de las imágenes que acertaba engaña un ataque."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlab import adversarial
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import Layer, NetSpec

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

_CLASSES = 4


def _net(rng: np.random.Generator) -> tuple[NetSpec, np.ndarray]:
    """Una red que responde según el color medio, y un color de cada clase, lejos de las fronteras."""
    colours = 0.5 + 0.3 * np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]])
    order = rng.permutation(_CLASSES)
    weight = 20 * (colours[order] - 0.5)
    layers: tuple[Layer, ...] = (
        ("pool", "AdaptiveAvgPool2d", {"output_size": 1}),
        ("flatten", "Flatten", {}),
        ("drop", "Dropout", {"p": 0.5}),
        ("fc", "Linear", {"in_features": 3, "out_features": _CLASSES}),
    )
    return NetSpec(layers, {"fc.weight": weight, "fc.bias": -weight.sum(1) / 2}, "float64"), colours[order]


def _draft(rng: np.random.Generator, kept: int, fooled: int, failed: int, repaired: int, **options: Any) -> Draft:
    """Imágenes que la red acierta y sigue acertando, que deja de acertar, que falla siempre y que el ataque arregla.

    De las que falla siempre, la respuesta cambia en una de cada dos.
    """
    spec, colours = _net(rng)
    rows = []
    for kind, count in enumerate((kept, fooled, failed, repaired)):
        for k in range(count):
            own, other, third = rng.permutation(_CLASSES)[:3]
            after = other if k % 2 else third
            rows.append(((own, own, own), (own, own, other), (own, other, after), (own, other, own))[kind])
    table = np.array(rows)[rng.permutation(len(rows))]
    h, w = (int(v) for v in rng.permutation([3, 4, 5])[:2])
    pictures = [_pictures(rng, colours[table[:, column]], h, w) for column in (1, 2)]
    right = kept + fooled
    arguments = {"model": spec, "x": pictures[0], "x_adv": pictures[1], "y": table[:, 0]}
    return Draft(arguments, expected=fooled / right if right else 0.0, **options)


def _pictures(rng: np.random.Generator, colours: np.ndarray, h: int, w: int) -> np.ndarray:
    return colours[:, :, None, None] + rng.uniform(-0.1, 0.1, (len(colours), 3, h, w))


def _some(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 5))


def _all_right(rng: np.random.Generator) -> Draft:
    fooled = _some(rng)
    return _draft(rng, fooled + _some(rng), fooled, 0, 0)


def _mostly_fooled(rng: np.random.Generator) -> Draft:
    kept = _some(rng)
    return _draft(rng, kept, kept + _some(rng), 0, 0)


def _failed_already(rng: np.random.Generator) -> Draft:
    return _draft(rng, _some(rng), _some(rng), _some(rng), 0)


def _repaired(rng: np.random.Generator) -> Draft:
    return _draft(rng, _some(rng), 1 + _some(rng), 0, _some(rng))


def _everything(rng: np.random.Generator) -> Draft:
    return _draft(rng, _some(rng), _some(rng), 2 * _some(rng), _some(rng))


def _none_right(rng: np.random.Generator) -> Draft:
    return _draft(rng, 0, 0, _some(rng), _some(rng))


def _all_fooled(rng: np.random.Generator) -> Draft:
    return _draft(rng, 0, _some(rng), _some(rng), 0)


def _none_fooled(rng: np.random.Generator) -> Draft:
    return _draft(rng, _some(rng), 0, _some(rng), 0)


def _single(rng: np.random.Generator) -> Draft:
    return _draft(rng, 0, 1, 0, 0)


def _frozen(rng: np.random.Generator) -> Draft:
    return _draft(rng, _some(rng), _some(rng), 1, 1, setup=frozenset({"frozen"}))


def _strided(rng: np.random.Generator) -> Draft:
    return _draft(rng, _some(rng), _some(rng), 1, 1, setup=frozenset({"strided"}))


def _float32(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, _some(rng), _some(rng), 1, 1)
    spec = draft.arguments["model"]
    pictures = {key: draft.arguments[key].astype("float32") for key in ("x", "x_adv")}
    return Draft(draft.arguments | {"model": spec.astype("float32")} | pictures, expected=draft.expected)


@torch.no_grad()
def _hits(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Qué acierta antes y qué acierta después."""
    return model(x).argmax(1) == y, model(x_adv).argmax(1) == y


def _share(part: Tensor, whole: Tensor | int) -> float:
    return float(part.sum()) / max(1, int(whole.sum()) if isinstance(whole, Tensor) else whole)


@_wrong(
    "Fallos entre todas las imágenes",
    "Has contado todos los fallos tras el ataque, y ahí están los que la red ya tenía. El ataque no se puede apuntar "
    "esas imágenes: quédate primero con las que acertaba.",
)
def _errors_over_all(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    _, after = _hits(model, x, x_adv, y)
    return _share(~after, len(y))


@_wrong(
    "Dividido entre todas las imágenes",
    "Arriba está bien: las que acertaba y ha dejado de acertar. Pero divides entre todas, y las que ya fallaba bajan "
    "tu tasa. Divide entre las que acertaba.",
)
def _fooled_over_all(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return _share(before & ~after, len(y))


@_wrong(
    "Las que resisten",
    "Tu número es lo que falta hasta 1: la fracción que sigue acertando. Éxito del ataque son las que **dejan** de "
    "acertarse.",
)
def _resisted(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return _share(before & after, before)


@_wrong(
    "Exactitud tras el ataque",
    "Has calculado la exactitud con las imágenes atacadas, sobre todas. La tasa de éxito mira solo las que se "
    "acertaban y cuenta las que se pierden.",
)
def _robust_accuracy(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    _, after = _hits(model, x, x_adv, y)
    return _share(after, len(y))


@_wrong(
    "Respuestas que cambian",
    "Has contado cualquier cambio de respuesta. Si la red pasa de un error a otro, o de un error al acierto, no es un "
    "éxito: compara con `y`, y solo en las que acertaba.",
)
def _changed_answers(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return _share(model(x).argmax(1) != model(x_adv).argmax(1), len(y))


@_wrong(
    "Caída de la exactitud",
    "Has restado dos exactitudes. Ahí una imagen que el ataque arregla tapa a otra que estropea, y el total incluye "
    "las que ya fallaba. Cuenta imagen a imagen, entre las que acertaba.",
)
def _accuracy_drop(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return _share(before, len(y)) - _share(after, len(y))


@_wrong(
    "Caída relativa de la exactitud",
    "Divides entre las que acertaba, y eso está bien, pero arriba restas todos los aciertos de después: una imagen que "
    "el ataque arregla por casualidad te descuenta un éxito. Cuenta las que acertaba **y** ya no.",
)
def _relative_drop(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return (int(before.sum()) - int(after.sum())) / max(1, int(before.sum()))


@_wrong(
    "Entre las que falla después",
    "Has dividido entre las que la red falla tras el ataque. La pregunta es otra: de las que **acertaba antes**, qué "
    "fracción se pierde.",
)
def _over_failures(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return _share(before & ~after, ~after)


@_wrong(
    "Ninguna acertada sin prever",
    "Si la red no acertaba ninguna, divides entre cero. El enunciado dice qué devolver ahí: 0, porque no había nada "
    "que conseguir.",
)
def _empty_division(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return float((~after[before]).double().mean())


@_wrong(
    "En tanto por ciento",
    "Has multiplicado por 100. La tasa es una fracción entre 0 y 1; el tanto por ciento se pone al escribirla.",
)
def _percentage(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    before, after = _hits(model, x, x_adv, y)
    return 100 * _share(before & ~after, before)


@_wrong(
    "Un tensor en vez de un número",
    "El valor es correcto, pero devuelves un tensor de un elemento. Se pide un número de Python: `float(...)` o "
    "`.item()`.",
)
def _tensor(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    before, after = _hits(model, x, x_adv, y)
    return torch.tensor(_share(before & ~after, before))


@_right
def _one_by_one(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    right = fooled = 0
    for n in range(len(x)):
        if int(model(x[n : n + 1]).argmax()) != int(y[n]):
            continue
        right += 1
        fooled += int(model(x_adv[n : n + 1]).argmax()) != int(y[n])
    return fooled / right if right else 0.0


@_right
def _select_first(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    with torch.inference_mode():
        rows = torch.nonzero(model(x).max(dim=1).indices == y).flatten()
        if rows.numel() == 0:
            return 0.0
        return (model(x_adv[rows]).max(dim=1).indices != y[rows]).double().mean().item()


@_right
def _numpy(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> float:
    truth = y.numpy()
    both = model(torch.cat([x, x_adv])).detach().numpy().argmax(axis=1)
    before, after = both[: len(truth)] == truth, both[len(truth) :] == truth
    return 1 - np.count_nonzero(before & after) / before.sum() if before.any() else 0.0


EXERCISE = Exercise(
    id="adversarial.attack_success_rate",
    title="¿Ha servido el ataque?",
    minutes=10,
    visible_points=2,
    hidden_points=2,
    reference=adversarial.attack_success_rate,
    properties=(
        Property("La fracción que se deja de acertar", 2, (_all_right, _mostly_fooled)),
        Property("Las que ya fallaba no cuentan", 2, (_failed_already, _all_fooled)),
        Property("Las que el ataque arregla tampoco", 1, (_repaired, _everything)),
        Property("Si no acertaba ninguna, 0", 1, (_none_right,)),
        Property("De 0 a 1, con una imagen o con muchas", 1, (_none_fooled, _single)),
        Property("Red congelada, float32 y memoria no contigua", 1, (_frozen, _float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
