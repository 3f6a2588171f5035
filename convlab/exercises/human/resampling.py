"""Casos del *bootstrap* en los que el azar no decide nada.

El mayor de un remuestreo de m valores distintos es uno de los j mayores con probabilidad conocida, `1 - (1 - j/m)^m`.
Con la confianza bien elegida, los percentiles caen lejos de los saltos de esa escalera: el extremo correcto es un valor
exacto, y cualquier otro percentil, otro distinto. Lo demás se cuenta con una estadística que apunta lo que recibe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]


def mean(values: Tensor) -> Tensor:
    """Media de la última dimensión."""
    return values.mean(-1)


def largest(values: Tensor) -> Tensor:
    """Mayor valor de la última dimensión."""
    return values.amax(-1)


def smallest(values: Tensor) -> Tensor:
    """Menor valor de la última dimensión."""
    return values.amin(-1)


def size(values: Tensor) -> Tensor:
    """Cuántos valores hay en la última dimensión."""
    return torch.full(values.shape[:-1], float(values.shape[-1]), dtype=values.dtype)


def distinct_values(rng: np.random.Generator, m: int) -> np.ndarray:
    """Valores distintos, desordenados y bien separados."""
    return rng.permutation(np.cumsum(rng.uniform(0.2, 1.0, m)) - m / 4)


def tied_values(rng: np.random.Generator, m: int) -> np.ndarray:
    """Lo mismo, con tres iguales después de los dos mayores y de los dos menores."""
    values = np.sort(distinct_values(rng, m))
    values[2:5], values[-5:-2] = values[2], values[-3]
    return rng.permutation(values)


def quantile_of_largest(values: np.ndarray, q: float) -> float:
    """El percentil `q` del mayor de un remuestreo, que es exacto con infinitos remuestreos."""
    m = len(values)
    below = ((np.arange(m) + 1) / m) ** m  # probabilidad de que el mayor no pase de cada valor ordenado
    return float(np.sort(values)[np.searchsorted(below, q)])


class Recorder:
    """Una estadística que apunta los remuestreos que recibe."""

    def __init__(self, statistic: Statistic) -> None:
        self.statistic = statistic
        self.rows: list[Tensor] = []

    def __call__(self, values: Tensor) -> Tensor:
        self.rows.append(values.detach().clone().reshape(-1, values.shape[-1]))
        return self.statistic(values)

    def count(self, values: Tensor) -> int:
        """Cuántos remuestreos ha visto; los datos tal cual no son uno."""
        return sum(int((rows != values.to(rows.dtype)).any(-1).sum()) for rows in self.rows)


def resamples(
    function: Callable[..., Any],
    values: Tensor,
    statistic: Statistic,
    n: int,
    level: float,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Qué remuestreos hace: cada hecho se mira si se cumplen los anteriores.

    Con 12 valores y 40 remuestreos o más, que ninguno repita un valor o que falte uno en todos no pasa ni una vez en
    10^30. Se admite que además se evalúe la estadística en los datos.
    """
    recorder = Recorder(statistic)
    function(values, recorder, n=n, level=level, generator=generator)
    sizes = {rows.shape[-1] for rows in recorder.rows}
    facts = {"cada remuestreo tiene tantos valores como hay": sizes == {len(values)}}
    rows = torch.cat(recorder.rows) if len(sizes) == 1 else torch.zeros(0, 1)
    ordered = rows.sort(-1).values
    facts["los valores son de los que hay"] = bool(torch.isin(rows, values.to(rows.dtype)).all())
    facts["los valores se repiten: hay reemplazo"] = bool((ordered.diff(dim=-1) == 0).any())
    facts["un remuestreo no es como otro"] = len(ordered.unique(dim=0)) > 2
    facts["todos los valores pueden salir"] = len(rows.unique()) == len(values)
    facts["hace n remuestreos"] = len(sizes) == 1 and recorder.count(values) == n
    broken = next((fact for fact, holds in facts.items() if not holds), "")
    return {fact: fact != broken for fact in facts}


def default_count(
    function: Callable[..., Any], values: Tensor, statistic: Statistic, generator: torch.Generator
) -> dict[str, Any]:
    """Cuántos remuestreos hace si no se le dice."""
    recorder = Recorder(statistic)
    function(values, recorder, generator=generator)
    return {"por omisión hace 2000 remuestreos": recorder.count(values) == 2000}


def default_level(
    function: Callable[..., Any], values: Tensor, statistic: Statistic, n: int, generator: torch.Generator
) -> Any:
    """Sin decirle la confianza."""
    return function(values, statistic, n=n, generator=generator)


def three_seeds(
    function: Callable[..., Any],
    values: Tensor,
    statistic: Statistic,
    n: int,
    level: float,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Dos veces con la misma semilla y una con otra."""
    seed = generator.initial_seed()
    first, again, other = (
        torch.as_tensor(function(values, statistic, n, level, torch.Generator().manual_seed(s)))
        for s in (seed, seed, seed + 1)
    )
    return {
        "igual con la misma semilla": bool(torch.allclose(first, again, rtol=1e-9, atol=0)),
        "distinto con otra semilla": bool((first - other).abs().max() > 1e-9),
    }
