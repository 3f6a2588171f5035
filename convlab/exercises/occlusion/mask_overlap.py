"""Ejercicio 5: qué parte de lo más destacado del mapa cae en el objeto."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlab import occlusion
from convlab.exercises.case import Draft
from convlab.exercises.catalogue import Catalogue
from convlab.exercises.engine import Exercise, Property

_catalogue = Catalogue()
_wrong, _right = _catalogue.wrong, _catalogue.right


def _arguments(rng: np.random.Generator, scales: list[float]) -> dict[str, Any]:
    """Mapas positivos de esas escalas y un cuantil que cae entre dos valores, lejos de ambos.

    La zona y la máscara se cruzan sin contenerse y son de distinto tamaño: precisión, exhaustividad e IoU son números
    distintos. La zona tiene `round((1 - q)·H·W)` píxeles: quien los cuenta sin mirar los empates conserva estos puntos.
    """
    n, (h, w) = len(scales), (int(side) for side in rng.permutation([7, 8, 9, 10])[:2])
    pixels = h * w
    while True:
        quantile = round(float(rng.uniform(0.6, 0.85)), 2)
        place = quantile * (pixels - 1)
        if not 0.2 < place % 1 < 0.8 or round((1 - quantile) * pixels) != pixels - int(place) - 1:
            continue
        order = rng.permuted(np.tile(np.arange(pixels), (n, 1)), axis=1).reshape(n, h, w)
        mask = rng.uniform(0, 1, (n, h, w)) < rng.uniform(0.3, 0.6)
        region = order > place
        counts = [(a & b).sum((1, 2)) for a in (region, ~region) for b in (mask, ~mask)]
        if min(c.min() for c in counts) >= 3 and (region.sum((1, 2)) != mask.sum((1, 2))).all():
            # Crece deprisa al final, como los mapas de verdad: una fracción del máximo no es un cuantil.
            heat = 0.05 + ((order + 0.5) / pixels) ** 3
            return {"saliency": heat * np.array(scales)[:, None, None], "mask": mask, "quantile": quantile}


def _closed_form(arguments: dict[str, Any], **options: Any) -> Draft:
    values = []
    for heat, mask in zip(arguments["saliency"], arguments["mask"], strict=True):
        region = heat >= np.quantile(heat, arguments["quantile"])
        values.append((region & mask).sum() / region.sum())
    return Draft(arguments, expected=np.array(values), **options)


def _one(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [1.0]))


def _every_map(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [1.0, float(rng.uniform(4, 9)), float(rng.uniform(0.02, 0.1))]))


def _signed(rng: np.random.Generator) -> Draft:
    """La mitad del mapa es negativa, y lo más negativo es mayor, sin signo, que lo más positivo."""
    arguments = _arguments(rng, [1.0, 1.0])
    order = arguments["saliency"].reshape(2, -1).argsort(1).argsort(1).reshape(arguments["saliency"].shape)
    return _closed_form(arguments | {"saliency": order / order.max() - float(rng.uniform(0.55, 0.59))})


def _all_negative(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 2.0])
    return _closed_form(arguments | {"saliency": arguments["saliency"] - 9})


def _ties(rng: np.random.Generator) -> Draft:
    """Tres niveles, y el cuantil dentro del de en medio."""
    arguments = _arguments(rng, [1.0, 1.0])
    pixels = arguments["mask"][0].size
    level = np.searchsorted([0.4, 0.9], (np.arange(pixels) + 0.5) / pixels)
    heat = rng.permuted(np.tile(level, (2, 1)), axis=1).reshape(arguments["mask"].shape)
    return _closed_form(arguments | {"saliency": heat / 2, "quantile": round(float(rng.uniform(0.55, 0.75)), 2)})


def _constant(rng: np.random.Generator) -> Draft:
    """Todo empata: la zona es la imagen entera y el resultado, lo que ocupa la máscara."""
    arguments = _arguments(rng, [1.0, 1.0])
    mask = arguments["mask"]
    heat = np.ones(mask.shape) * np.array([0.0, 0.5])[:, None, None]
    return Draft(arguments | {"saliency": heat}, expected=mask.mean((1, 2)))


def _empty_and_full(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 1.0])
    arguments["mask"][0], arguments["mask"][1] = False, True
    return Draft(arguments, expected=np.array([0.0, 1.0]))


def _lowest(rng: np.random.Generator) -> Draft:
    """Con el cuantil 0 entra todo; con el 1, solo el máximo."""
    arguments = _arguments(rng, [1.0, 1.0])
    return Draft(arguments | {"quantile": 0.0}, expected=arguments["mask"].mean((1, 2)))


def _highest(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 1.0, 1.0])
    heat, mask = arguments["saliency"].reshape(3, -1), arguments["mask"].reshape(3, -1)
    return Draft(arguments | {"quantile": 1.0}, expected=mask[np.arange(3), heat.argmax(1)].astype(float))


def _float32(rng: np.random.Generator) -> Draft:
    arguments = _arguments(rng, [1.0, 2.0])
    return _closed_form(arguments | {"saliency": arguments["saliency"].astype("float32")})


def _strided(rng: np.random.Generator) -> Draft:
    return _closed_form(_arguments(rng, [1.0, 2.0]), setup=frozenset({"strided"}))


def _level(saliency: Tensor, quantile: float) -> Tensor:
    return saliency.flatten(1).quantile(quantile, dim=1)[:, None, None]


def _share(region: Tensor, mask: Tensor, saliency: Tensor) -> Tensor:
    return (region & mask).sum((1, 2)).to(saliency.dtype) / region.sum((1, 2))


@_wrong(
    "Fracción del máximo en vez de cuantil",
    "Has tomado lo que llega a `quantile` veces el máximo. El cuantil fija cuántos píxeles entran, sea cual sea el "
    "reparto de valores: ordena los del mapa y busca el que deja por debajo esa parte.",
)
def _fraction_of_maximum(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency >= quantile * saliency.amax((1, 2), keepdim=True), mask, saliency)


@_wrong(
    "El cuantil como umbral",
    "Has comparado el mapa con `quantile` a secas. El umbral es el valor del mapa que deja por debajo esa parte de los "
    "píxeles: `saliency.flatten(1).quantile(quantile, dim=1)`.",
)
def _absolute_threshold(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency >= quantile, mask, saliency)


@_wrong(
    "El cuantil de todo el lote",
    "Has buscado un solo umbral con los mapas juntos: junto a uno de valores grandes, los demás no destacan nada. Cada "
    "mapa tiene su cuantil, `dim=1` después de `flatten(1)`.",
)
def _batch_quantile(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency >= saliency.quantile(quantile), mask, saliency)


@_wrong(
    "Umbral sin incluir",
    "Has usado `>`. Los píxeles que valen exactamente lo que el umbral también entran, `>=`; y si todo el mapa empata, "
    "con `>` no queda ninguno.",
)
def _strict(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency > _level(saliency, quantile), mask, saliency)


@_wrong(
    "Lo que queda por debajo",
    "Has medido la zona menos destacada, la que no llega al cuantil. Lo que interesa es lo de arriba: `>=`.",
)
def _below(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency <= _level(saliency, quantile), mask, saliency)


@_wrong(
    "El cuantil contado desde arriba",
    "Has usado `1 - quantile`. Con 0.9 se queda la décima parte más alta, y a ti te quedan nueve décimas: el cuantil "
    "se cuenta desde el menor valor.",
)
def _complement(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency >= _level(saliency, 1 - quantile), mask, saliency)


@_wrong(
    "Un número fijo de píxeles",
    "Has tomado los primeros `round((1 - quantile) * H * W)` píxeles. Con empates eso deja fuera a unos y mete a otros "
    "que valen lo mismo. La zona es todo lo que llega al cuantil.",
)
def _fixed_count(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    flat = saliency.flatten(1)
    count = max(1, round((1 - quantile) * flat.shape[1]))
    chosen = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
    return mask.flatten(1).gather(1, chosen).sum(1).to(saliency.dtype) / count


@_wrong(
    "Cuantil sin interpolar, con el valor de abajo",
    "Tu umbral es el valor anterior al cuantil, y entra un píxel de más. Si el cuantil cae entre dos valores se "
    "interpola, como hacen `torch.quantile` y `numpy.quantile`.",
)
def _lower_value(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    level = saliency.flatten(1).quantile(quantile, dim=1, interpolation="lower")[:, None, None]
    return _share(saliency >= level, mask, saliency)


@_wrong(
    "Valor absoluto",
    "Has ordenado por `|mapa|`, y lo muy negativo parece destacado. Lo negativo va en contra de la clase: queda por "
    "debajo de todo lo demás.",
)
def _absolute_value(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return _share(saliency.abs() >= _level(saliency.abs(), quantile), mask, saliency)


@_wrong(
    "Lo negativo, a cero",
    "Has puesto a cero lo negativo antes de buscar el cuantil. En un mapa casi todo negativo empatan entonces casi "
    "todos los píxeles, y la zona se llena. El cuantil se busca en el mapa tal como viene.",
)
def _clamped(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    positive = saliency.clamp(min=0)
    return _share(positive >= _level(positive, quantile), mask, saliency)


@_wrong(
    "Exhaustividad",
    "Has dividido por el área del objeto: eso dice qué parte del objeto está destacada. Aquí se pregunta qué parte de "
    "lo destacado cae en el objeto: divide por el área de la zona.",
)
def _recall(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    region = saliency >= _level(saliency, quantile)
    return (region & mask).sum((1, 2)).to(saliency.dtype) / mask.sum((1, 2)).clamp(min=1)


@_wrong(
    "Intersección entre unión",
    "Has dividido por la unión de la zona y el objeto, que es otra medida. Aquí se divide por el área de la zona.",
)
def _iou(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    region = saliency >= _level(saliency, quantile)
    return (region & mask).sum((1, 2)).to(saliency.dtype) / (region | mask).sum((1, 2))


@_wrong(
    "Dividido por toda la imagen",
    "Has dividido por H · W, y tu número no puede pasar de lo que ocupa la zona. Divide por el área de la zona: si cae "
    "entera en el objeto, el resultado es 1.",
)
def _over_everything(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    return ((saliency >= _level(saliency, quantile)) & mask).to(saliency.dtype).mean((1, 2))


@_wrong(
    "Un solo número para el lote",
    "Has contado los píxeles de todas las imágenes juntas. Se pide un número por imagen, `(N,)`: suma solo los ejes 1 "
    "y 2.",
)
def _one_number(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    region = saliency >= _level(saliency, quantile)
    return (region & mask).sum().to(saliency.dtype) / region.sum()


@_right
def _image_by_image(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    shares = []
    for heat, truth in zip(saliency, mask, strict=True):
        inside = truth[heat >= torch.quantile(heat, quantile)]
        shares.append(inside.to(saliency.dtype).mean())
    return torch.stack(shares)


@_right
def _with_numpy(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    heat, truth = saliency.numpy(), mask.numpy()
    region = heat >= np.quantile(heat, quantile, axis=(1, 2), keepdims=True)
    return torch.from_numpy(np.asarray(np.average(truth, axis=(1, 2), weights=region), heat.dtype))


@_right
def _by_hand(saliency: Tensor, mask: Tensor, quantile: float) -> Tensor:
    """El cuantil escrito a mano, con listas."""
    shares = []
    for heat, truth in zip(saliency.flatten(1).tolist(), mask.flatten(1).tolist(), strict=True):
        ordered, place = sorted(heat), quantile * (len(heat) - 1)
        low = int(place)
        high = min(low + 1, len(heat) - 1)
        level = ordered[low] + (place - low) * (ordered[high] - ordered[low])
        chosen = [inside for value, inside in zip(heat, truth, strict=True) if value >= level]
        shares.append(sum(chosen) / len(chosen))
    return torch.tensor(shares, dtype=saliency.dtype, device=saliency.device)


EXERCISE = Exercise(
    id="occlusion.mask_overlap",
    title="¿Cae en el objeto?",
    minutes=15,
    visible_points=2,
    hidden_points=2,
    reference=occlusion.mask_overlap,
    properties=(
        Property("La parte de lo más destacado que cae en el objeto", 2, (_one,)),
        Property("Cada mapa con su cuantil", 2, (_every_map,)),
        Property("Mapas con signo", 1, (_signed, _all_negative)),
        Property("Los empates entran", 2, (_ties, _constant)),
        Property("Máscara vacía o llena, y cuantiles 0 y 1", 1, (_empty_and_full, _lowest, _highest)),
        Property("float32 y memoria no contigua", 1, (_float32, _strided)),
    ),
    misconceptions=_catalogue.misconceptions,
    variants=_catalogue.variants,
)
