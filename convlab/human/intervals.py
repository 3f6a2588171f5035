"""Intervalos: cuánto se puede fiar uno de una proporción o de cualquier otra medida calculada con pocos ensayos.

Todos suponen ensayos independientes. Los de una misma persona se parecen entre sí: si se mezclan los de varias, el
intervalo habla de esas personas y no de las demás, y se queda corto para generalizar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import index
from statistics import NormalDist

import torch
from torch import Tensor

from convlab.errors import ConvlabError

__all__ = ["bootstrap_interval", "paired_bootstrap", "wilson_interval"]

_CELLS = 2**18  # valores remuestreados a la vez, como mucho: así caben en la caché


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    r"""Intervalo de Wilson de una proporción: las $p$ que el contraste normal no rechaza.

    Con $\hat p = k/n$ y $z$ el cuantil normal, sus extremos resuelven $|\hat p - p| = z\sqrt{p(1-p)/n}$. No se sale de
    [0, 1] ni se reduce a un punto cuando se acierta todo o nada.

    Parameters
    ----------
    successes, n
        Aciertos y ensayos. Sin ensayos no se sabe nada: el intervalo es (0, 1).
    level
        Confianza, entre 0 y 1.

    Returns
    -------
    tuple
        Extremos inferior y superior.

    Raises
    ------
    ConvlabError
        Si no son recuentos con `0 ≤ successes ≤ n`, o `level` no está entre 0 y 1.

    References
    ----------
    Wilson (1927), «Probable inference, the law of succession, and statistical inference».

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    _check_level(level)
    try:
        successes, n = index(successes), index(n)
    except TypeError:
        raise ConvlabError(f"Se esperaban recuentos enteros y llegaron {successes!r} y {n!r}.") from None
    if not 0 <= successes <= n:
        raise ConvlabError(f"Se esperaban recuentos con 0 ≤ successes ≤ n y llegaron {successes} y {n}.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / n
    center = p + z * z / (2 * n)
    half = z * (p * (1 - p) / n + (z / (2 * n)) ** 2) ** 0.5
    scale = 1 + z * z / n
    # En los dos casos límite el extremo es exacto y el redondeo no debe moverlo.
    low = 0.0 if successes == 0 else (center - half) / scale
    high = 1.0 if successes == n else (center + half) / scale
    return low, high


def bootstrap_interval(
    values: Tensor | Sequence[float],
    statistic: Callable[[Tensor], Tensor],
    n: int = 2000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """Intervalo *bootstrap* por percentiles: qué valores toma la estadística al remuestrear los datos.

    Cada remuestreo toma, **con reemplazo**, tantos valores como hay. El intervalo va del percentil `(1 - level) / 2` al
    `(1 + level) / 2` de las `n` estadísticas: 2,5 % y 97,5 % con `level=0.95`. Si en algún remuestreo la estadística no
    está definida (NaN), cuenta como la menor para el extremo inferior y como la mayor para el superior.

    Parameters
    ----------
    values
        `(m,)`, un valor por ensayo. Enteros y booleanos pasan a coma flotante.
    statistic
        Reduce la última dimensión de un tensor: `lambda v: v.mean(-1)`. Recibe muchos remuestreos a la vez, `(b, m)`.
    n
        Número de remuestreos, desde 1.
    level
        Confianza, entre 0 y 1.
    generator
        Fuente de azar, del dispositivo de `values`; sin ella se usa la global.

    Returns
    -------
    tuple
        Extremos inferior y superior.

    Raises
    ------
    ConvlabError
        Si no hay valores o no son `(m,)`, un número no es válido, o la estadística no da `(b,)` o da NaN en
        tantos remuestreos que no queda intervalo.

    References
    ----------
    Efron y Tibshirani (1993), «An Introduction to the Bootstrap».

    Examples
    --------
    >>> hits = [True] * 80 + [False] * 20
    >>> low, high = bootstrap_interval(hits, lambda v: v.mean(-1), generator=torch.Generator().manual_seed(0))
    >>> 0.6 < low < 0.8 < high < 0.95
    True
    """
    return _percentiles((_values(values),), statistic, n, level, generator)


def paired_bootstrap(
    a: Tensor | Sequence[float],
    b: Tensor | Sequence[float],
    statistic: Callable[[Tensor, Tensor], Tensor],
    n: int = 2000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """Como `bootstrap_interval`, para dos observadores ante los mismos estímulos: se remuestrean los estímulos.

    Las dos respuestas a un estímulo viajan juntas. Así la diferencia de exactitud no arrastra lo difícil que le tocó a
    cada uno, y se puede medir lo que depende de la pareja, como `kappa`. Con muy pocos errores el intervalo se queda
    corto: los estímulos que nadie falló en la muestra tampoco se fallan al remuestrear.

    Parameters
    ----------
    a, b
        `(m,)`, en el mismo orden de estímulos (`paired_correct` los pone así).
    statistic
        Recibe dos tensores `(b, m)` y reduce la última dimensión: `lambda a, b: a.mean(-1) - b.mean(-1)`, o `kappa`.
    n, level, generator
        Los de `bootstrap_interval`.

    Returns
    -------
    tuple
        Extremos inferior y superior.

    Raises
    ------
    ConvlabError
        Los de `bootstrap_interval`, y si `a` y `b` no tienen el mismo largo.

    Examples
    --------
    >>> a, b = [1, 1, 1, 0] * 25, [1, 0, 1, 0] * 25
    >>> difference = lambda a, b: a.mean(-1) - b.mean(-1)
    >>> low, high = paired_bootstrap(a, b, difference, generator=torch.Generator().manual_seed(0))
    >>> 0.1 < low < 0.25 < high < 0.4
    True
    """
    first, second = _values(a), _values(b)
    if len(first) != len(second):
        raise ConvlabError(
            f"Los dos observadores deben tener los mismos estímulos y llegaron {len(first)} y {len(second)} valores. "
            "Emparéjalos con paired_correct."
        )
    return _percentiles((first, second.to(first.device)), statistic, n, level, generator)


def _values(values: Tensor | Sequence[float]) -> Tensor:
    if not isinstance(values, Tensor):
        values = torch.as_tensor(values, dtype=torch.float64)
    if values.ndim != 1 or not len(values):
        raise ConvlabError(f"Se esperaban valores (m,), al menos uno, y llegó un tensor {tuple(values.shape)}.")
    return values.detach().to(torch.promote_types(values.dtype, torch.float32))


def _percentiles(
    columns: tuple[Tensor, ...],
    statistic: Callable[..., Tensor],
    n: int,
    level: float,
    generator: torch.Generator | None,
) -> tuple[float, float]:
    _check_level(level)
    if not isinstance(n, int) or n < 1:
        raise ConvlabError(f"`n` debe ser un entero desde 1 y llegó {n!r}.")
    m, device = len(columns[0]), columns[0].device
    chunk = max(1, _CELLS // m)
    found = []
    for first in range(0, n, chunk):
        size = min(chunk, n - first)
        chosen = torch.randint(m, (size, m), generator=generator, device=device)
        result = statistic(*(values[chosen] for values in columns))
        if not isinstance(result, Tensor) or result.shape != (size,):
            got = f"un tensor {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            raise ConvlabError(
                f"La estadística debe reducir la última dimensión, de ({size}, {m}) a ({size},), y dio {got}. Por "
                "ejemplo: lambda v: v.mean(-1)."
            )
        found.append(result)
    results = torch.cat(found)
    results = results.to(torch.promote_types(results.dtype, torch.float32))
    # Un remuestreo sin definir podría valer cualquier cosa: cuenta en contra por los dos lados.
    undefined = results.isnan()
    low = torch.quantile(torch.where(undefined, -torch.inf, results), (1 - level) / 2).item()
    high = torch.quantile(torch.where(undefined, torch.inf, results), (1 + level) / 2).item()
    if bool(undefined.any()) and not (isfinite(low) and isfinite(high)):
        raise ConvlabError(
            f"La estadística es NaN en {int(undefined.sum())} de {n} remuestreos: no está definida en ellos, y son "
            "demasiados para dar un intervalo. Usa más ensayos o una estadística que decida qué vale ahí."
        )
    return low, high


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConvlabError(f"La confianza `level` debe estar entre 0 y 1, sin llegar, y llegó {level}; p. ej. 0.95.")
