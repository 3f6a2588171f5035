"""Errores y otras soluciones de `bootstrap_interval`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
from torch import Generator, Tensor

from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong, _right = CATALOGUE.wrong, CATALOGUE.right

Statistic = Callable[[Tensor], Tensor]
Ends = tuple[float, float]


def _floating(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.double()


def _drawn(values: Tensor, n: int, generator: Generator | None, size: int | None = None) -> Tensor:
    return _floating(values)[torch.randint(len(values), (n, size or len(values)), generator=generator)]


def _between(results: Tensor, low: float, high: float) -> Ends:
    return torch.quantile(results, low).item(), torch.quantile(results, high).item()


def _central(results: Tensor, level: float) -> Ends:
    return _between(results, (1 - level) / 2, (1 + level) / 2)


@_wrong(
    "La cola equivocada",
    "Tus percentiles son `1 - level` y `level`, y dejan fuera el doble de lo debido. Con una confianza del 95 % sobra"
    " el 5 %, la mitad por cada lado: `(1 - level) / 2` y `(1 + level) / 2`.",
)
def _wrong_tail(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    return _between(statistic(_drawn(values, n, generator)), 1 - level, level)


@_wrong(
    "Todo lo que sobra, en una cola",
    "Tu intervalo va del percentil 0 al `level`: deja todo lo que sobra en el extremo superior. Se reparte, la mitad "
    "por cada lado.",
)
def _one_tail(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    return _between(statistic(_drawn(values, n, generator)), 0.0, level)


@_wrong(
    "Sin reemplazo",
    "Has remuestreado sin reemplazo: cada remuestreo son los mismos valores en otro orden, y la estadística sale "
    "siempre igual. Un valor puede salir varias veces o ninguna; `torch.randint` lo hace, `torch.randperm` no.",
)
def _without_replacement(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    rows = [_floating(values)[torch.randperm(len(values), generator=generator)] for _ in range(n)]
    return _central(statistic(torch.stack(rows)), level)


@_wrong(
    "Un solo remuestreo repetido",
    "Has sorteado los índices una sola vez y has repetido ese remuestreo n veces: tu intervalo es un punto. Cada "
    "remuestreo necesita su sorteo.",
)
def _drawn_once(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    return _central(statistic(_drawn(values, 1, generator).expand(n, -1)), level)


@_wrong(
    "Remuestreos a medias",
    "Cada remuestreo tuyo tiene la mitad de los valores. Debe tener tantos como hay: con menos, la estadística varía "
    "más y el intervalo sale de otro experimento.",
)
def _half_size(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    return _central(statistic(_drawn(values, n, generator, max(1, len(values) // 2))), level)


@_wrong(
    "Tantos valores como remuestreos",
    "Cada remuestreo tuyo tiene n valores. `n` es cuántos remuestreos se hacen; cada uno toma tantos valores como hay"
    " en `values`, y si toma más, el intervalo parece más estrecho de lo que es.",
)
def _n_values_each(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    rows = min(n, 400)  # con n × n valores no cabría en la memoria, y ya se ve igual
    return _central(statistic(_drawn(values, rows, generator, n)), level)


@_wrong(
    "Media más o menos desviaciones",
    "Has tomado la media de las estadísticas más o menos z desviaciones. Eso supone que se reparten como una campana,"
    " y una mediana o un máximo no lo hacen. Se piden percentiles, que no suponen nada.",
)
def _normal(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    results = statistic(_drawn(values, n, generator))
    half = NormalDist().inv_cdf((1 + level) / 2) * float(results.std(correction=0))
    return float(results.mean()) - half, float(results.mean()) + half


@_wrong(
    "Intervalo dado la vuelta",
    "Has devuelto `2·θ - percentil`, el intervalo *bootstrap* básico. Existe, pero no es el que se pide: los extremos"
    " son los percentiles tal cual.",
)
def _basic(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    low, high = _central(statistic(_drawn(values, n, generator)), level)
    center = float(statistic(_floating(values)))
    return 2 * center - high, 2 * center - low


@_wrong(
    "Extremos al revés",
    "Has devuelto primero el extremo superior. Se pide `(inferior, superior)`.",
)
def _swapped(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    low, high = _central(statistic(_drawn(values, n, generator)), level)
    return high, low


@_wrong(
    "Percentiles de los datos",
    "Has tomado los percentiles de los valores, sin remuestrear ni usar `statistic`. Eso dice cómo se reparten los "
    "datos; se pide cuánto varía la estadística.",
)
def _of_the_data(
    values: Tensor,
    statistic: Statistic,  # noqa: ARG001
    n: int = 2000,  # noqa: ARG001
    level: float = 0.95,
    generator: Generator | None = None,  # noqa: ARG001
) -> Ends:
    return _central(_floating(values), level)


@_wrong(
    "Del menor al mayor",
    "Has devuelto la menor y la mayor de las estadísticas. Ese intervalo crece cuantos más remuestreos haces y no "
    "responde a `level`: se piden dos percentiles.",
)
def _full_range(
    values: Tensor,
    statistic: Statistic,
    n: int = 2000,
    level: float = 0.95,  # noqa: ARG001
    generator: Generator | None = None,
) -> Ends:
    return _between(statistic(_drawn(values, n, generator)), 0.0, 1.0)


@_wrong(
    "Siempre el 95 %",
    "Tu intervalo no cambia con `level`: usa siempre los percentiles 2.5 % y 97.5 %. Calcúlalos con `(1 - level) / 2`"
    " y `(1 + level) / 2`.",
)
def _level_ignored(
    values: Tensor,
    statistic: Statistic,
    n: int = 2000,
    level: float = 0.95,  # noqa: ARG001
    generator: Generator | None = None,
) -> Ends:
    return _central(statistic(_drawn(values, n, generator)), 0.95)


@_wrong(
    "Siempre 2000 remuestreos",
    "Haces 2000 remuestreos, pida lo que pida `n`. Ese es solo el valor por omisión.",
)
def _n_ignored(
    values: Tensor,
    statistic: Statistic,
    n: int = 2000,  # noqa: ARG001
    level: float = 0.95,
    generator: Generator | None = None,
) -> Ends:
    return _central(statistic(_drawn(values, 2000, generator)), level)


@_wrong(
    "El generador, sin usar",
    "Has sorteado con el azar global, sin pasar `generator=generator`. Quien te dé la misma semilla obtendrá otro "
    "intervalo, y nadie podrá repetir tu resultado.",
)
def _generator_ignored(
    values: Tensor,
    statistic: Statistic,
    n: int = 2000,
    level: float = 0.95,
    generator: Generator | None = None,  # noqa: ARG001
) -> Ends:
    return _central(statistic(_drawn(values, n, None)), level)


@_wrong(
    "Semilla fija",
    "Has creado tu propio generador con una semilla fija. El resultado se repite siempre, también cuando quien te "
    "llama pasa otro: usa el `generator` que llega.",
)
def _fixed_seed(
    values: Tensor,
    statistic: Statistic,
    n: int = 2000,
    level: float = 0.95,
    generator: Generator | None = None,  # noqa: ARG001
) -> Ends:
    return _central(statistic(_drawn(values, n, Generator().manual_seed(0))), level)


@_right
def _one_by_one(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    data = _floating(values)
    found = []
    for _ in range(n):
        chosen = torch.randint(len(data), (len(data),), generator=generator)
        found.append(float(statistic(data[chosen])))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@_right
def _multinomial(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    even = torch.ones(n, len(values))
    chosen = torch.multinomial(even, len(values), replacement=True, generator=generator)
    results = statistic(values.double()[chosen]).sort().values
    tail = (1 - level) / 2
    return results[int(tail * (n - 1))].item(), results[-1 - int(tail * (n - 1))].item()


@_right
def _numpy_chance(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    rows = rng.choice(values.double().numpy(), size=(n, len(values)))
    results = statistic(torch.from_numpy(rows)).numpy()
    low, high = np.percentile(results, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


@_right
def _uniform_numbers(
    values: Tensor, statistic: Statistic, n: int = 2000, level: float = 0.95, generator: Generator | None = None
) -> Ends:
    m = len(values)
    chosen = (torch.rand(n, m, generator=generator, dtype=torch.float64) * m).long()
    parts = [statistic(values.double()[rows]) for rows in chosen.split(256)]
    ends = torch.quantile(torch.cat(parts), torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64))
    return ends[0].item(), ends[1].item()
