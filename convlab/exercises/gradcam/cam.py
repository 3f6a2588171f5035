"""Ejercicio 3: CAM, la suma de los mapas con los pesos de la capa lineal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import gradcam
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.exercises.nets import gap_net, images, one_class_each
from convlab.hooks import capture

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right

Target = int | Tensor


def _arguments(
    rng: np.random.Generator, n: int, target: Any, *, positive: bool, square: bool = False
) -> dict[str, Any]:
    """Mapas y pesos al azar. Con `square` hay tantas clases como canales, y trasponer los pesos no da error."""
    c, h, w = rng.permutation([3, 4, 5, 6])[:3]
    k = c if square else c + 2
    features, weight = np.abs(rng.normal(0, 1, (n, c, h, w))), rng.normal(0, 1, (k, c))
    if positive:
        # Todo a favor: ni una ReLU ni un valor absoluto cambian nada, y quien yerra en el signo conserva estos puntos.
        features, weight = features + 0.2, np.abs(weight) + 0.1
    return {"features": features, "fc_weight": weight, "target": target}


def _closed_form(arguments: dict[str, Any], **options: Any) -> Draft:
    rows = arguments["fc_weight"][arguments["target"]] * np.ones((len(arguments["features"]), 1))
    return Draft(arguments, expected=np.einsum("nc,nchw->nhw", rows, arguments["features"]), **options)


def _positive(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 1, int(rng.integers(3)), positive=True))


def _positive_batch(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 3, int(rng.integers(3)), positive=True))


def _signed(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 2, int(rng.integers(3)), positive=False))


def _square_weights(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 2, int(rng.integers(3)), positive=True, square=True))


def _class_per_image(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 3, one_class_each(rng, 3, 5), positive=True))


def _identity(rng: np.random.Generator) -> Draft:
    """Los mapas y los pesos de una red con media espacial: `relu(cam) / (h · w)` ampliado es su Grad-CAM."""
    spec, x = gap_net(rng), images(rng, 2)
    features = capture(spec.build(), torch.from_numpy(x), ["relu2"])["relu2"].numpy()
    weight = spec.state["fc.weight"]
    return _closed_form({"features": features, "fc_weight": weight, "target": one_class_each(rng, 2, len(weight))})


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, 1, int(rng.integers(3)), positive=True)
    return Draft({k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, 2, int(rng.integers(3)), positive=True), setup=frozenset({"strided"}))


def _rows(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    return fc_weight[target].expand(len(features), -1)[:, :, None, None]


@_wrong(
    "ReLU de más",
    "Has puesto a cero lo negativo. Esa ReLU es de Grad-CAM; en CAM se conserva el signo, que dice qué zonas van en "
    "contra de la clase.",
)
def _extra_relu(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    return (_rows(features, fc_weight, target) * features).sum(1).relu()


@_wrong(
    "Pesos en valor absoluto",
    "Has usado los pesos sin su signo: un canal que va en contra de la clase suma como si fuera a favor.",
)
def _absolute_weights(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    return (_rows(features, fc_weight, target).abs() * features).sum(1)


@_wrong(
    "Columna en vez de fila",
    "Has tomado la columna `fc_weight[:, target]`. Los pesos son (K, C): la clase es la fila, `fc_weight[target]`.",
)
def _column_of_weights(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    return (_rows(features, fc_weight.T, target) * features).sum(1)


@_wrong(
    "Media de los canales",
    "Tu mapa es el correcto dividido por el número de canales: has hecho su media, y CAM los suma.",
)
def _mean_of_channels(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    return (_rows(features, fc_weight, target) * features).mean(1)


@_wrong(
    "Dividido por el área",
    "Has dividido por h · w. Ese factor aparece al comparar CAM con Grad-CAM, pero CAM no lo lleva.",
)
def _divided_by_area(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    return (_rows(features, fc_weight, target) * features).sum(1) / features[0, 0].numel()


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase: `fc_weight[target]` ya da una "
    "fila por imagen.",
)
def _first_class_for_all(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    first = int(target[0]) if isinstance(target, Tensor) else target
    return (_rows(features, fc_weight, first) * features).sum(1)


@_wrong(
    "Mapa normalizado",
    "Has dividido cada mapa por su máximo. CAM se devuelve sin normalizar; eso se hace al dibujarlo.",
)
def _normalized(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    heat = (_rows(features, fc_weight, target) * features).sum(1)
    return heat / heat.amax((1, 2), keepdim=True)


@_right
def _loop(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    maps = []
    for n, image in enumerate(features):
        k = int(target) if isinstance(target, int) or target.ndim == 0 else int(target[n])
        total = torch.zeros_like(image[0])
        for c in range(len(image)):
            total = total + fc_weight[k, c] * image[c]
        maps.append(total)
    return torch.stack(maps)


@_right
def _matrix_product(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    n, c, h, w = features.shape
    rows = fc_weight[torch.as_tensor(target).expand(n)]
    return torch.bmm(rows.reshape(n, 1, c), features.reshape(n, c, h * w)).reshape(n, h, w)


@_right
def _every_class_then_choose(features: Tensor, fc_weight: Tensor, target: Target) -> Tensor:
    every = torch.nn.functional.conv2d(features, fc_weight[:, :, None, None])  # (N, K, h, w): una convolución 1×1
    return every[torch.arange(len(features)), target]


EXERCISE = Exercise(
    id="gradcam.cam",
    title="CAM, el antecesor",
    minutes=15,
    visible_points=1,
    hidden_points=2,
    reference=gradcam.cam,
    properties=(
        Property("Suma ponderada con los pesos de la clase", 2, (_positive, _positive_batch)),
        Property("Conserva el signo", 2, (_signed,)),
        Property("La fila de la clase, también con tantas clases como canales", 1, (_square_weights,)),
        Property("Una clase por imagen", 2, (_class_per_image,)),
        Property("Mapas y pesos de una red con media espacial", 1, (_identity,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
