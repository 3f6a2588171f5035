"""Ejercicio 5: cuánto coincide la zona caliente con el objeto."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import gradcam
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _arguments(rng: np.random.Generator, scales: list[float], fraction: float) -> dict[str, Any]:
    """Mapas con ese máximo cada uno y ningún valor cerca del umbral, para que el redondeo no decida.

    La máscara y la zona se cruzan sin contenerse: IoU, precisión, exhaustividad y Dice son entonces cuatro números.
    """
    n, (h, w) = len(scales), rng.permutation([6, 7, 8, 9])[:2]
    while True:
        heat = rng.uniform(0.02, 0.98, (n, h, w))
        heat.reshape(n, -1)[np.arange(n), rng.integers(0, h * w, n)] = 1
        mask = rng.uniform(0, 1, (n, h, w)) < rng.uniform(0.3, 0.6)
        region = heat >= fraction
        counts = [(a & b).sum((1, 2)) for a in (region, ~region) for b in (mask, ~mask)]
        if np.abs(heat - fraction).min() > 1e-3 and min(c.min() for c in counts) >= 3:
            return {"heat": heat * np.array(scales)[:, None, None], "mask": mask, "fraction": fraction}


def _closed_form(arguments: dict[str, Any], **options: Any) -> Draft:
    values = []
    for heat, mask in zip(arguments["heat"], arguments["mask"], strict=True):
        region = heat >= arguments["fraction"] * heat.max() if heat.max() > 0 else np.zeros_like(mask)
        union = int((region | mask).sum())
        values.append(int((region & mask).sum()) / union if union else 0.0)
    return Draft(arguments, expected=np.array(values), **options)


def _fraction(rng: np.random.Generator) -> float:
    return round(float(rng.uniform(0.35, 0.65)), 2)


def _unit(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [1.0], _fraction(rng)))


def _unit_batch(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [1.0, 1.0, 1.0], _fraction(rng)))


def _scales(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [float(rng.uniform(3, 9)), float(rng.uniform(0.1, 0.3))], _fraction(rng)))


def _ties(rng: np.random.Generator) -> Draft:
    """Potencias de dos: `heat >= fraction * máximo` y `heat / máximo >= fraction` son exactas, también en el borde."""
    arguments = _arguments(rng, [1.0, 1.0], 0.5)
    levels = rng.integers(0, 8, arguments["heat"].shape).astype(float)
    levels[:, 0, :2] = (4, 4)
    levels[:, 1, 0] = 8
    return _closed_form(arguments | {"heat": levels})


def _nothing_positive(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 1.0, 1.0], _fraction(rng))
    arguments["heat"][1] = 0
    arguments["heat"][2] = -rng.uniform(0.5, 2, arguments["heat"][2].shape)
    return _closed_form(arguments)


def _empty_union(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 1.0], _fraction(rng))
    arguments["heat"][1], arguments["mask"][1] = 0, False
    return _closed_form(arguments)


def _single_pixel(rng: np.random.Generator) -> Draft:
    """Zona y objeto son el mismo píxel: la unión vale 1, el menor divisor que no es cero."""
    arguments = _arguments(rng, [1.0], _fraction(rng))
    place = np.unravel_index(arguments["heat"].argmax(), arguments["heat"].shape)
    arguments["heat"] *= 0.2
    arguments["heat"][place] = 1
    arguments["mask"][:] = False
    arguments["mask"][place] = True
    return _closed_form(arguments)


def _with_negatives(rng: np.random.Generator) -> Draft:
    """Un mapa con signo: el umbral sigue siendo una fracción del máximo, no del recorrido."""
    arguments = _arguments(rng, [1.0, 1.0], _fraction(rng))
    heat = arguments["heat"]
    arguments["heat"] = np.where(heat < 0.25, heat - 1.5, heat)
    return _closed_form(arguments)


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 2.0], _fraction(rng))
    return _closed_form(arguments | {"heat": arguments["heat"].astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [1.0, 2.0], _fraction(rng)), setup=frozenset({"strided"}))


def _region(heat: Tensor, fraction: float) -> Tensor:
    peak = heat.amax((1, 2), keepdim=True)
    return (heat >= fraction * peak) & (peak > 0)


def _iou(region: Tensor, mask: Tensor, heat: Tensor) -> Tensor:
    union = (region | mask).sum((1, 2))
    return (region & mask).sum((1, 2)).to(heat.dtype) / union.clamp(min=1)


@_wrong(
    "Umbral sin incluir",
    "Has usado `>`. Los píxeles que valen exactamente el umbral también cuentan: `>=`.",
)
def _strict_threshold(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    peak = heat.amax((1, 2), keepdim=True)
    return _iou((heat > fraction * peak) & (peak > 0), mask, heat)


@_wrong(
    "Umbral absoluto",
    "Has comparado el mapa con `fraction` a secas. El umbral es una fracción del máximo de cada mapa.",
)
def _absolute_threshold(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    return _iou((heat >= fraction) & (heat.amax((1, 2), keepdim=True) > 0), mask, heat)


@_wrong(
    "El máximo del lote",
    "Has usado el mayor valor de todo el lote: la zona de una imagen depende de las demás. Cada mapa tiene su máximo, "
    "`amax(dim=(1, 2), keepdim=True)`.",
)
def _batch_maximum(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    region = (heat >= fraction * heat.max()) & (heat.amax((1, 2), keepdim=True) > 0)
    return _iou(region, mask, heat)


@_wrong(
    "Fracción del recorrido",
    "Has puesto el umbral entre el mínimo y el máximo. Es `fraction` por el máximo; el mínimo no interviene.",
)
def _min_max_threshold(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return _iou((heat >= low + fraction * (high - low)) & (high > 0), mask, heat)


@_wrong(
    "Cuantil en vez de fracción del máximo",
    "Has tomado el cuantil `fraction` de los píxeles, que fija cuántos entran. El umbral es `fraction` por el máximo: "
    "el número de píxeles lo decide el mapa.",
)
def _quantile(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    level = heat.flatten(1).quantile(fraction, dim=1)[:, None, None]
    return _iou((heat >= level) & (heat.amax((1, 2), keepdim=True) > 0), mask, heat)


@_wrong(
    "El mapa nulo lo cubre todo",
    "Cuando el máximo no es positivo, `heat >= fraction * máximo` se cumple donde no debe. Esa zona está vacía y su "
    "IoU es 0: añade la condición `peak > 0`.",
)
def _null_map_counts(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    return _iou(heat >= fraction * heat.amax((1, 2), keepdim=True), mask, heat)


@_wrong(
    "Unión vacía sin prever",
    "Si no hay zona ni objeto divides 0 entre 0 y sale NaN. Ahí la IoU es 0: `union.clamp(min=1)`.",
)
def _empty_division(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    region = _region(heat, fraction)
    return (region & mask).sum((1, 2)).to(heat.dtype) / (region | mask).sum((1, 2))


@_wrong(
    "Dice en vez de IoU",
    "Has calculado el coeficiente de Dice: el doble de lo común entre la suma de las dos áreas. La IoU divide por la "
    "unión, que cuenta lo común una sola vez.",
)
def _dice(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    region = _region(heat, fraction)
    return 2 * (region & mask).sum((1, 2)).to(heat.dtype) / (region.sum((1, 2)) + mask.sum((1, 2))).clamp(min=1)


@_wrong(
    "Exhaustividad en vez de IoU",
    "Has dividido por el área del objeto: eso es la exhaustividad, y un mapa que lo cubra todo saca un 1. Divide por "
    "la unión de la zona y la máscara.",
)
def _recall(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    return (_region(heat, fraction) & mask).sum((1, 2)).to(heat.dtype) / mask.sum((1, 2)).clamp(min=1)


@_wrong(
    "Precisión en vez de IoU",
    "Has dividido por el área de la zona caliente: eso es la precisión, y basta un píxel acertado para sacar un 1. "
    "Divide por la unión de la zona y la máscara.",
)
def _precision(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    region = _region(heat, fraction)
    return (region & mask).sum((1, 2)).to(heat.dtype) / region.sum((1, 2)).clamp(min=1)


@_wrong(
    "Un solo número para el lote",
    "Has contado los píxeles de todas las imágenes juntas y sale un número. Se pide uno por imagen: suma solo los ejes "
    "1 y 2.",
)
def _one_number(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    region = _region(heat, fraction)
    return (region & mask).sum().to(heat.dtype) / (region | mask).sum().clamp(min=1)


@_right
def _pixel_by_pixel(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    scores = []
    for single, truth in zip(heat.tolist(), mask.tolist(), strict=True):
        peak = max(max(row) for row in single)
        common = union = 0
        for row, inside in zip(single, truth, strict=True):
            for value, is_object in zip(row, inside, strict=True):
                hot = peak > 0 and value >= fraction * peak
                common += hot and is_object
                union += hot or is_object
        scores.append(common / union if union else 0.0)
    return torch.tensor(scores, dtype=heat.dtype, device=heat.device)


@_right
def _arithmetic(heat: Tensor, mask: Tensor, fraction: float) -> Tensor:
    flat, truth = heat.flatten(1), mask.flatten(1).to(heat.dtype)
    peak = flat.max(dim=1, keepdim=True).values
    normalized = flat / torch.where(peak > 0, peak, torch.inf)
    region = ((normalized >= fraction) & (peak > 0)).to(heat.dtype)
    common = (region * truth).sum(1)
    union = region.sum(1) + truth.sum(1) - common
    return torch.where(union > 0, common / union, torch.zeros_like(union))


EXERCISE = Exercise(
    id="gradcam.iou_at_threshold",
    title="¿Acierta el mapa?",
    minutes=20,
    visible_points=2,
    hidden_points=2,
    reference=gradcam.iou_at_threshold,
    properties=(
        Property("Lo común entre la unión", 2, (_unit, _unit_batch)),
        Property("El umbral es una fracción del máximo de cada mapa", 2, (_scales, _with_negatives)),
        Property("El umbral se incluye", 1, (_ties,)),
        Property("Un mapa sin nada positivo no tiene zona", 1, (_nothing_positive,)),
        Property("Uniones vacías, que valen 0, o de un píxel", 1, (_empty_union, _single_pixel)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
