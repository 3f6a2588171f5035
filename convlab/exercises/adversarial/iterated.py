"""Lo que comparten `pgd` y `targeted_pgd`: sus casos, los hechos del comienzo al azar y las piezas de sus errores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.adversarial.fgsm_errors import loss_gradient
from convlab.exercises.adversarial.networks import Sample, binary, curved, walk
from convlab.exercises.case import Draft, Seeded

TINY = 1e-3
"""Paso, en veces `eps`, con el que un solo paso no tapa dónde se empezó."""


def sizes(rng: np.random.Generator, steps: int, reach: float) -> dict[str, Any]:
    """Un radio y un paso con los que `steps` pasos suman `reach` veces el radio."""
    eps = round(float(rng.uniform(0.06, 0.12)), 3)
    return {"eps": eps, "alpha": reach * eps / steps, "steps": steps}


def seeded(rng: np.random.Generator) -> Seeded:
    """Un generador con una semilla al azar."""
    return Seeded(int(rng.integers(1, 1000)))


# --- casos con el resultado en forma cerrada -------------------------------------------------------------------------


def exact(
    rng: np.random.Generator,
    sample: Sample,
    label: dict[str, Any],
    uphill: np.ndarray,
    *,
    steps: int,
    reach: float,
    random_start: bool = False,
    **options: Any,
) -> Draft:
    """Con dos clases, cada paso va al mismo sitio: se sabe adónde se llega, y al azar también si sobra camino."""
    size = sizes(rng, steps, reach)
    far = min(reach, 1.0) * size["eps"]
    arguments = {"model": sample.model, "x": sample.x, **label, **size}
    arguments |= {"random_start": random_start, "generator": seeded(rng)}
    return Draft(arguments, expected=np.clip(sample.x + far * uphill, 0, 1), **options)


def without_generator(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Sin comienzo al azar no hace falta generador, y no se pasa."""
    *given, random_start, _generator = arguments
    return function(*given, random_start=random_start)


# --- el comienzo al azar ---------------------------------------------------------------------------------------------


def started(rng: np.random.Generator, label: str) -> Draft:
    """Tres ataques de un paso diminuto, que enseñan dónde empieza cada uno: dos con la misma semilla y otro no."""
    sample = binary(rng, 3, low=0.45, high=0.55, sides=(24, 28))
    eps, seed = round(float(rng.uniform(0.1, 0.2)), 3), int(rng.integers(1, 1000))
    arguments = {"model": sample.model, "x": sample.x, label: sample.y, "eps": eps, "alpha": TINY * eps, "steps": 1}
    arguments |= {"generator": Seeded(seed), "again": Seeded(seed), "other": Seeded(seed + 1)}
    return Draft(arguments, call=three_starts, measure=start_facts)


def three_starts(
    function: Callable[..., Tensor],
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    generator: torch.Generator,
    again: torch.Generator,
    other: torch.Generator,
) -> list[Tensor]:
    """Sin decir nada de `random_start`, se empieza al azar."""
    return [function(model, x, y, eps, alpha, steps, generator=g) for g in (generator, again, other)]


def start_facts(
    result: list[Tensor], _model: nn.Module, x: Tensor, _y: Tensor, eps: float, *_: Any
) -> dict[str, bool | str]:
    """Con 6048 valores y un reparto uniforme, cada margen queda a más de doce desviaciones típicas."""
    first, second, third = ((z - x) / eps for z in result)
    size = float(first.abs().mean())
    neighbours = [first[1:] - first[:-1], first.diff(dim=1), first.diff(dim=2), first.diff(dim=3)]
    spread = (
        "uniforme" if 0.45 < size < 0.55 else "demasiado cerca de x" if size <= 0.45 else "demasiado cerca del borde"
    )
    return {
        "dentro de la bola": bool((torch.stack([first, third]).abs() <= 1 + 1e-4).all()),
        "igual con la misma semilla": bool((first - second).abs().max() < 1e-4),
        "distinto con otra semilla": bool((first - third).abs().max() > 0.5),
        "el reparto en la bola": spread,
        "hacia arriba y hacia abajo por igual": bool(first.mean().abs() < 0.1),
        # La diferencia de dos valores uniformes es, de media, 2/3.
        "cada valor, con su propio azar": all(bool(d.abs().mean() > 0.5 * size) for d in neighbours),
    }


def raised(rng: np.random.Generator, label: str, sign: int) -> Draft:
    """Desde un comienzo al azar, en una red cualquiera: no se sabe adónde se llega, pero sí qué debe cumplir."""
    while True:
        sample, size = curved(rng, 2), sizes(rng, 5, 2.5)
        found = walk(sample, **size, sign=sign)
        if sign * (losses(sample, found.x_adv) - losses(sample, sample.x)).min() > 0.5:
            arguments = {"model": sample.model, "x": sample.x, label: sample.y, **size}
            measure = up_facts if sign > 0 else down_facts
            return Draft(arguments | {"generator": seeded(rng)}, call=from_anywhere, measure=measure)


def from_anywhere(
    function: Callable[..., Tensor],
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Un ataque que empieza al azar."""
    return function(model, x, y, eps, alpha, steps, True, generator)


def up_facts(result: Tensor, model: nn.Module, x: Tensor, y: Tensor, eps: float, *_: Any) -> dict[str, bool]:
    """Lo que debe cumplir un ataque no dirigido."""
    return _inside(result, x, eps) | {"la pérdida sube en cada imagen": bool((_rise(result, model, x, y) > 0).all())}


def down_facts(result: Tensor, model: nn.Module, x: Tensor, y: Tensor, eps: float, *_: Any) -> dict[str, bool]:
    """Lo que debe cumplir un ataque dirigido."""
    fell = bool((_rise(result, model, x, y) < 0).all())
    return _inside(result, x, eps) | {"la pérdida de la clase pedida baja en cada imagen": fell}


def losses(sample: Sample, x: np.ndarray) -> np.ndarray:
    """La entropía cruzada de cada imagen."""
    with torch.no_grad():
        logits = sample.model.build()(torch.from_numpy(x))
    return F.cross_entropy(logits, torch.from_numpy(sample.y), reduction="none").numpy()


def _inside(result: Tensor, x: Tensor, eps: float) -> dict[str, bool]:
    return {
        "dentro de la bola": bool(((result - x).abs() <= eps * (1 + 1e-4)).all()),
        "dentro de [0, 1]": bool(result.min() >= 0 and result.max() <= 1),
    }


@torch.no_grad()
def _rise(result: Tensor, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    after, before = (F.cross_entropy(model(z), y, reduction="none") for z in (result.to(x.dtype), x))
    return after - before


# --- las piezas de los errores ---------------------------------------------------------------------------------------


def project(z: Tensor, x: Tensor, eps: float) -> Tensor:
    """Al punto más cercano de la bola y de [0, 1]."""
    return torch.clamp(z, x - eps, x + eps).clamp(0, 1)


def noise(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Un número al azar en [−1, 1] por valor."""
    return 2 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 1


def start(x: Tensor, eps: float, random_start: bool, generator: torch.Generator | None) -> Tensor:
    """Dónde empieza un ataque."""
    return project(x + eps * noise(x, generator), x, eps) if random_start else x


def follow(model: nn.Module, z: Tensor, y: Tensor, steps: int, move: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Repite `move(imágenes, gradiente de la pérdida)`."""
    for _ in range(steps):
        z = move(z, loss_gradient(model, z, y))
    return z
