"""Ejercicio 4: el mapa sobre su imagen, sin inventar calor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import gradcam
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property
from convlab.plots import colorize

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _heat(rng: np.random.Generator, n: int, h: int, w: int, low: int = 0) -> np.ndarray:
    """Mapas que, entre su máximo, caen en medio de un tramo de la escala de 256 colores.

    En la frontera entre dos tramos decide el redondeo, y dos soluciones correctas podrían dar colores distintos.
    """
    heat = (rng.integers(low, 255, (n, h, w)) + rng.uniform(0.2, 0.8, (n, h, w))) / 256
    heat.reshape(n, -1)[np.arange(n), rng.permutation(h * w)[:n]] = 1
    return heat


def _draft(rng: np.random.Generator, scales: list[float], *, low: int = 0, alpha: float | None = None) -> Draft:
    n, (h, w) = len(scales), rng.permutation([5, 6, 7, 8])[:2]
    heat = _heat(rng, n, h, w, low) * np.array(scales)[:, None, None]
    arguments: dict[str, Any] = {"image": rng.uniform(0, 1, (n, 3, h, w)), "heat": heat}
    return Draft(arguments if alpha is None else arguments | {"alpha": alpha})


def _unit(rng: np.random.Generator) -> Draft:
    """Un mapa cuyo máximo ya es 1: no hace falta normalizar."""
    return _draft(rng, [1.0])


def _unit_alpha(rng: np.random.Generator) -> Draft:
    return _draft(rng, [1.0], alpha=float(rng.uniform(0.15, 0.35)))


def _scales(rng: np.random.Generator) -> Draft:
    return _draft(rng, [float(rng.uniform(0.1, 0.4)), float(rng.uniform(2, 9)), 1.0], alpha=0.6)


def _tiny(rng: np.random.Generator) -> Draft:
    """Los mapas de una red segura de sí misma pueden ser muy pequeños: ningún épsilon debe mandar sobre ellos."""
    return _draft(rng, [float(rng.uniform(1, 9)) * 1e-9, 1e-7])


def _negative(rng: np.random.Generator) -> Draft:
    return _draft(rng, [1.0, 1.0], low=-200)


def _nothing_positive(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, [1.0, 1.0, 1.0])
    draft.arguments["heat"][1] = 0
    draft.arguments["heat"][2] = -rng.uniform(0.5, 2, draft.arguments["heat"][2].shape)
    return draft


def _extremes(rng: np.random.Generator) -> Draft:
    """Con `alpha` 0 queda la imagen, exacta."""
    draft = _draft(rng, [1.0, 1.0], alpha=0.0)
    return Draft(draft.arguments, expected=draft.arguments["image"].copy())


def _float32(rng: np.random.Generator) -> Draft:
    draft = _draft(rng, [1.0, 1.0], alpha=0.4)
    return Draft({k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in draft.arguments.items()})


def _strided(rng: np.random.Generator) -> Draft:
    return Draft(_draft(rng, [1.0, 1.0], alpha=0.4).arguments, frozenset({"strided"}))


def _spread(heat: Tensor) -> Tensor:
    positive = heat.clamp(min=0)
    peak = positive.amax((1, 2), keepdim=True)
    return positive / torch.where(peak > 0, peak, 1)


def _blend(image: Tensor, values: Tensor, alpha: float) -> Tensor:
    return (1 - alpha) * image + alpha * colorize(values)


@_wrong(
    "El máximo del lote",
    "Has dividido todos los mapas por el mayor valor del lote: junto a una imagen con mucho calor, las demás parecen "
    "frías. Usa el máximo de cada mapa, `amax(dim=(1, 2), keepdim=True)`.",
)
def _batch_maximum(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    positive = heat.clamp(min=0)
    peak = positive.max()
    return _blend(image, positive / torch.where(peak > 0, peak, 1), alpha)


@_wrong(
    "Del mínimo al máximo",
    "Has repartido los colores entre el mínimo y el máximo. Así el mínimo siempre sale negro aunque tenga calor, y un "
    "mapa sin nada positivo se llena de colores inventados. Divide solo por el máximo.",
)
def _min_max(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return _blend(image, (heat - low) / torch.where(high > low, high - low, 1), alpha)


@_wrong(
    "Sin normalizar",
    "Has coloreado el mapa tal como llega. Los mapas de Grad-CAM no están en [0, 1]: divide cada uno por su máximo.",
)
def _not_normalized(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    return _blend(image, heat, alpha)


@_wrong(
    "División por cero",
    "Con un mapa sin nada positivo divides 0 entre 0 y sale NaN. Si el máximo es 0, divide por 1: "
    "`torch.where(peak > 0, peak, 1)`.",
)
def _zero_division(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    positive = heat.clamp(min=0)
    values = positive / positive.amax((1, 2), keepdim=True)
    color = colorize(values.nan_to_num())
    return (1 - alpha) * image + alpha * torch.where(values.isnan()[:, None], torch.nan, color)


@_wrong(
    "Un épsilon que manda",
    "Has sumado un número pequeño al máximo para no dividir por cero. Si el mapa también es pequeño, ese número decide "
    "y el color se apaga. Divide por el máximo exacto y trata aparte el caso en que es 0.",
)
def _epsilon(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    positive = heat.clamp(min=0)
    return _blend(image, positive / (positive.amax((1, 2), keepdim=True) + 1e-8), alpha)


@_wrong(
    "Opacidad al revés",
    "Has cambiado los papeles de `alpha`: es la opacidad del mapa, no la de la imagen. Con 0 debe verse solo la "
    "imagen.",
)
def _swapped_alpha(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    return _blend(image, _spread(heat), 1 - alpha)


@_wrong(
    "Suma sin mezcla",
    "Has sumado el color a la imagen entera, y el resultado se sale de [0, 1]. A la imagen le toca `1 - alpha`.",
)
def _added(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    return image + alpha * colorize(_spread(heat))


@_wrong(
    "Valor absoluto",
    "Has pintado lo negativo como si fuera calor. Los valores negativos pasan a 0 antes de colorear: `clamp(min=0)`.",
)
def _absolute_value(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    return _blend(image, _spread(heat.abs()), alpha)


@_wrong(
    "Dividir antes de quitar lo negativo",
    "Con un mapa entero negativo, su máximo también lo es, y al dividir todo se vuelve positivo: pintas calor donde no "
    "hay nada. Primero `clamp(min=0)`, después el máximo.",
)
def _negative_peak(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    peak = heat.amax((1, 2), keepdim=True)
    return _blend(image, heat / torch.where(peak == 0, 1, peak), alpha)


@_wrong(
    "El mapa de entrada modificado",
    "La figura es correcta, pero `clamp_` y las operaciones con `=` cambian el mapa que te dieron, y quien lo use "
    "después tendrá otro. Trabaja sobre un tensor nuevo: `heat.clamp(min=0)`.",
)
def _changes_heat(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    return _blend(image, _spread(heat.clamp_(min=0)), alpha)


@_right
def _image_by_image(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    mixed = []
    for picture, single in zip(image, heat, strict=True):
        values = torch.maximum(single, torch.zeros_like(single))
        if values.max() > 0:
            values = values / values.max()
        mixed.append(picture + alpha * (colorize(values) - picture))
    return torch.stack(mixed)


@_right
def _lerp(image: Tensor, heat: Tensor, alpha: float = 0.5) -> Tensor:
    peak = heat.flatten(1).max(dim=1).values.reshape(-1, 1, 1)
    values = torch.where(peak > 0, heat / peak, 0.0).clamp(0, 1)
    return torch.lerp(image, colorize(values), alpha)


EXERCISE = Exercise(
    id="gradcam.overlay",
    title="El mapa sobre la imagen",
    minutes=15,
    visible_points=1,
    hidden_points=1,
    reference=gradcam.overlay,
    properties=(
        Property("Mezcla de un mapa que ya llega a 1", 2, (_unit,)),
        Property("La opacidad es la del mapa", 1, (_unit_alpha, _extremes)),
        Property("Cada mapa entre su propio máximo", 2, (_scales, _tiny)),
        Property("Lo negativo pasa a 0", 1, (_negative,)),
        Property("Un mapa sin nada positivo se queda a cero", 1, (_nothing_positive,)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
