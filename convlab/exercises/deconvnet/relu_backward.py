"""Ejercicio 1: la ReLU hacia atrás, con tres reglas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convlab import deconvnet as library
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Positivos y negativos, la mitad de cada, y ninguno cerca de 0, donde cambia lo que pasa."""
    signs = rng.permutation(np.resize([-1.0, 1.0], int(np.prod(shape))))
    return rng.uniform(0.1, 2.0, shape) * signs.reshape(shape)


def _shape(rng: np.random.Generator, n: int) -> tuple[int, ...]:
    c, h, w = (int(size) for size in rng.permutation([4, 5, 6])[:3])
    return n, c, h, w


def _draft(rng: np.random.Generator, rule: str, shape: tuple[int, ...], *, output: bool = False) -> Draft:
    """Con `output`, la activación es la salida de la ReLU: ceros exactos en vez de negativos."""
    activation, gradient = _signs(rng, shape), _signs(rng, shape)
    passes = {
        "backprop": activation > 0,
        "deconvnet": gradient > 0,
        "guided": (activation > 0) & (gradient > 0),
    }[rule]
    kept = activation.clip(min=0) if output else activation
    arguments = {"activation": kept, "gradient": gradient, "rule": rule}
    return Draft(arguments, expected=np.where(passes, gradient, 0.0))


def _backprop(rng: np.random.Generator) -> Draft:
    return _draft(rng, "backprop", _shape(rng, 2))


def _deconvnet(rng: np.random.Generator) -> Draft:
    return _draft(rng, "deconvnet", _shape(rng, 1))


def _deconvnet_output(rng: np.random.Generator) -> Draft:
    return _draft(rng, "deconvnet", _shape(rng, 3), output=True)


def _guided(rng: np.random.Generator) -> Draft:
    return _draft(rng, "guided", _shape(rng, 2))


def _backprop_output(rng: np.random.Generator) -> Draft:
    return _draft(rng, "backprop", _shape(rng, 1), output=True)


def _guided_output(rng: np.random.Generator) -> Draft:
    return _draft(rng, "guided", _shape(rng, 2), output=True)


def _rows(rng: np.random.Generator) -> Draft:
    """La ReLU de una capa totalmente conectada: `(N, C)`."""
    return _draft(rng, "backprop", (3, 8))


def _float32(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, "backprop", _shape(rng, 2))
    return Draft({k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in draft.arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, "backprop", _shape(rng, 2))
    return Draft(draft.arguments, frozenset({"strided"}), draft.expected)


def _gates(activation: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    return {
        "backprop": activation > 0,
        "deconvnet": gradient > 0,
        "guided": (activation > 0) & (gradient > 0),
    }


@_wrong(
    "DeconvNet con las dos puertas",
    "En `deconvnet` has cerrado también el paso donde la activación no era positiva, y eso es la regla `guided`. En "
    "DeconvNet la activación no cuenta: solo pasa, o no, según el signo de la señal que llega de arriba.",
)
def _forward_gate(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * _gates(activation, gradient)["guided" if rule == "deconvnet" else rule]


@_wrong(
    "DeconvNet con la puerta del gradiente",
    "En `deconvnet` has mirado dónde era positiva la activación, que es lo que hace `backprop`, y dejas pasar valores "
    "negativos. Mira el signo de la propia señal.",
)
def _activation_gate(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * _gates(activation, gradient)["backprop" if rule == "deconvnet" else rule]


@_wrong(
    "DeconvNet sin puerta",
    "En `deconvnet` la señal pasa entera. Esta regla también pasa por una ReLU, pero aplicada a la señal que baja: lo "
    "negativo se queda en 0.",
)
def _no_gate(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient.clone() if rule == "deconvnet" else gradient * _gates(activation, gradient)[rule]


@_wrong(
    "La guiada, con una sola puerta",
    "En `guided` dejas pasar señales negativas: has mirado solo la activación. La regla guiada exige las dos cosas, "
    "activación positiva y señal positiva.",
)
def _guided_without_signal(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * _gates(activation, gradient)["backprop" if rule == "guided" else rule]


@_wrong(
    "La guiada no mira la activación",
    "En `guided` pasa toda señal positiva, aunque la unidad estuviera apagada: eso es `deconvnet`. La regla guiada "
    "exige además que la activación sea positiva.",
)
def _guided_without_activation(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * _gates(activation, gradient)["deconvnet" if rule == "guided" else rule]


@_wrong(
    "Los nombres cambiados",
    "Has intercambiado `deconvnet` y `guided`. DeconvNet mira solo la señal; la guiada, la señal y la activación.",
)
def _swapped_rules(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    swapped = {"deconvnet": "guided", "guided": "deconvnet"}
    return gradient * _gates(activation, gradient)[swapped.get(rule, rule)]


@_wrong(
    "La misma regla siempre",
    "Tu función hace `backprop` pida lo que se pida: no mira `rule`. Las tres reglas se distinguen por lo que dejan "
    "pasar; con un `if` por regla basta.",
)
def _rule_ignored(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:  # noqa: ARG001
    return gradient * (activation > 0)


@_wrong(
    "El gradiente, sin negativos",
    "En `backprop` has puesto a 0 las señales negativas. La derivada de la ReLU no mira el signo de lo que llega: "
    "donde la activación es positiva deja pasar todo, también lo negativo.",
)
def _backprop_without_negatives(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * _gates(activation, gradient)["guided" if rule == "backprop" else rule]


@_wrong(
    "El cero deja pasar",
    "Donde la activación vale exactamente 0 has dejado pasar la señal: has escrito `>= 0`. A la salida de una ReLU, 0 "
    "quiere decir apagada, y apagada no pasa nada. La comparación es `> 0`.",
)
def _zero_opens(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * _gates((activation >= 0).to(gradient), gradient)[rule]


@_wrong(
    "Multiplicado por la activación",
    "Has multiplicado la señal por el valor de la activación. La puerta de una ReLU solo abre o cierra: la señal que "
    "pasa conserva su valor. Multiplica por la condición `activation > 0`, no por `activation`.",
)
def _times_activation(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    through = gradient * _gates(activation, gradient)[rule]
    return through if rule == "deconvnet" else through * activation.clamp(min=0)


@_wrong(
    "El signo del producto",
    "En `guided` has mirado si el producto de activación y señal es positivo, y también lo es cuando las dos son "
    "negativas. Escribe las dos condiciones y únelas con `&`.",
)
def _sign_of_product(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return gradient * (activation * gradient > 0 if rule == "guided" else _gates(activation, gradient)[rule])


@_wrong(
    "La puerta en vez de la señal",
    "Has devuelto unos y ceros: la puerta, no lo que pasa por ella. Multiplica la señal por esa condición.",
)
def _gate_returned(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    return _gates(activation, gradient)[rule].to(gradient)


@_wrong(
    "La señal de entrada modificada",
    "El resultado es correcto, pero has escrito los ceros en la señal que te dieron, y quien la use después tendrá "
    "otra. Haz un tensor nuevo: `torch.where`, un producto o una copia con `.clone()`.",
)
def _changes_signal(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    gradient[~_gates(activation, gradient)[rule]] = 0
    return gradient


@_right
def _clamped(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    if rule == "deconvnet":
        return F.relu(gradient)
    signal = gradient.clamp(min=0) if rule == "guided" else gradient
    return signal * (activation > 0).to(signal)


@_right
def _value_by_value(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    out = torch.zeros_like(gradient)
    for place in np.ndindex(*gradient.shape):
        alive, positive = bool(activation[place] > 0), bool(gradient[place] > 0)
        if (alive or rule == "deconvnet") and (positive or rule == "backprop"):
            out[place] = gradient[place]
    return out


@_right
def _numpy(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    a, g = activation.numpy(), gradient.numpy()
    gate = {"backprop": a > 0, "deconvnet": g > 0, "guided": np.minimum(a, g) > 0}[rule]
    return torch.from_numpy(np.where(gate, g, np.zeros_like(g)))


@_right
def _derivative(activation: Tensor, gradient: Tensor, rule: str) -> Tensor:
    """La derivada de la ReLU, de PyTorch; lo demás es una ReLU a la señal."""
    signal = gradient if rule == "backprop" else gradient.relu()
    if rule == "deconvnet":
        return signal
    with torch.enable_grad():
        leaf = activation.detach().clone().requires_grad_()
        return torch.autograd.grad(leaf.relu(), leaf, signal)[0]


EXERCISE = Exercise(
    id="deconvnet.relu_backward",
    title="La ReLU, hacia atrás",
    minutes=10,
    visible_points=1,
    hidden_points=1,
    reference=library.relu_backward,
    properties=(
        Property("«backprop»: pasa donde la activación es positiva", 2, (_backprop,)),
        Property("«deconvnet»: pasa donde la señal es positiva", 2, (_deconvnet, _deconvnet_output)),
        Property("«guided»: donde lo son las dos", 2, (_guided,)),
        Property("Una activación que vale 0 está apagada", 1, (_backprop_output, _guided_output)),
        Property("Cualquier forma, float32 y memoria no contigua", 1, (_rows, _float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
