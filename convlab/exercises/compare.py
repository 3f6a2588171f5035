"""Cuándo dos resultados son el mismo, y cómo se dice en qué difieren."""

from __future__ import annotations

from typing import Any

import numpy as np

# Relativa al mayor valor esperado. float64 admite que se calcule por dentro en float32, y aun así es miles de veces
# menor que el efecto de cualquier error del catálogo.
TOLERANCE = {"float64": 1e-5, "float32": 3e-4}


def difference(found: Any, expected: np.ndarray, precision: str) -> str:
    """En qué se diferencia lo devuelto de lo esperado, en una frase; vacía si en nada.

    Parameters
    ----------
    found
        Lo devuelto, como dato simple.
    expected
        Lo esperado.
    precision
        `"float64"` o `"float32"`: la tolerancia.

    Examples
    --------
    >>> difference(np.array([1.0, 2.5]), np.array([1.0, 2.0]), "float64")
    'Valor distinto en [1]: devolviste 2.5 y se esperaba 2.'
    """
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        return f"Se esperaba un tensor de números reales y devolviste {_name(found)}."
    if found.shape != expected.shape:
        return f"Se esperaba la forma {expected.shape} y devolviste {found.shape}."
    values = found.astype(np.float64)
    if bad := int((~np.isfinite(values)).sum()):
        return f"Hay {bad} valores NaN o infinitos de {values.size}. ¿Se divide por cero?"
    gap = np.abs(values - expected)
    if not gap.size or gap.max() <= _allowed(expected, precision):
        return ""
    place = tuple(int(i) for i in np.unravel_index(gap.argmax(), gap.shape))
    where = f" en {list(place)}" if place else ""
    return f"Valor distinto{where}: devolviste {values[place]:.5g} y se esperaba {float(expected[place]):.5g}."


def same_behaviour(one: dict[str, Any], other: dict[str, Any], details: bool) -> bool:
    """Si dos ejecuciones de `Exercise.run` hicieron lo mismo.

    Con `details` cuentan además el tipo, el dispositivo y las huellas.
    """
    keys = ("kind", "error", "type", "dtype", "device", "traces") if details else ("kind", "error", "type")
    if any(one[key] != other[key] for key in keys):
        return False
    a, b = one["value"], other["value"]
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return type(a) is type(b) and repr(a) == repr(b)
    if a.shape != b.shape or a.dtype.kind not in "biuf":
        return False
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)):
        return False
    precision = "float64" if one["dtype"] == other["dtype"] == "float64" else "float32"
    a, b = a[finite].astype(np.float64), b[finite].astype(np.float64)
    return bool(not a.size or np.abs(a - b).max() <= _allowed(b, precision))


def _allowed(expected: np.ndarray, precision: str) -> float:
    scale = float(np.abs(expected).max(initial=0.0))
    return TOLERANCE[precision] * scale if scale else 1e-9


def _name(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return str(value["type"])
    return f"uno de tipo {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
