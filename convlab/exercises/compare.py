"""Cuándo dos resultados son el mismo, y cómo se dice en qué difieren."""

from __future__ import annotations

from typing import Any

import numpy as np

# Relativa al mayor valor esperado. float64 admite que se calcule por dentro en float32, y aun así es miles de veces
# menor que el efecto de cualquier error del catálogo. `tests/test_exercises.py` mide ambas cosas.
TOLERANCE = {"float64": 1e-5, "float32": 3e-4}


def difference(found: Any, expected: Any, tolerance: float, *, values: bool = True, path: str = "") -> str:
    """En qué se diferencia lo devuelto de lo esperado, en una frase; vacía si en nada.

    Parameters
    ----------
    found
        Lo devuelto, como dato simple.
    expected
        Lo esperado: matriz, número, cadena, None, o listas y diccionarios de ello.
    tolerance
        La admitida, relativa al mayor valor esperado.
    values
        Si se comparan los valores, o solo que lo devuelto tenga la forma debida y sea finito.

    Examples
    --------
    >>> difference(np.array([1.0, 2.5]), np.array([1.0, 2.0]), 1e-5)
    'Valor distinto en [1]: devolviste 2.5 y se esperaba 2.'
    """
    if isinstance(expected, dict):
        return _dict_difference(found, expected, tolerance, values, path)
    where = f" en {path}" if path else ""
    if isinstance(expected, list | tuple):
        if not isinstance(found, list):
            return _instead(name(expected), where, found)
        if len(found) != len(expected):
            return f"Se esperaban {len(expected)} elementos{where} y devolviste {len(found)}."
        pairs = enumerate(zip(found, expected, strict=True))
        parts = (difference(f, e, tolerance, values=values, path=f"{path}[{i}]") for i, (f, e) in pairs)
        return next(filter(None, parts), "")
    if isinstance(expected, str | None):
        if type(found) is not type(expected):
            return _instead(name(expected), where, found)
        return f"Se esperaba «{expected}»{where} y devolviste «{found}»." if values and found != expected else ""
    array = np.asarray(expected)
    if isinstance(expected, bool | int | float):
        # Un número vale también como tensor sin dimensiones; su tipo se mira aparte.
        if isinstance(found, np.ndarray) and found.ndim == 0:
            found = found.item()
        if not isinstance(found, bool | int | float):
            return _instead(name(expected), where, found)
        found = np.asarray(found)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        real = " de números reales" if isinstance(found, np.ndarray) else ""
        return _instead(f"un tensor {array.shape}{real}", where, found)
    if found.shape != array.shape:
        return f"Se esperaba la forma {array.shape}{where} y devolviste {found.shape}."
    return _array_difference(found, array, tolerance, values, path)


def _instead(wanted: str, where: str, found: Any) -> str:
    got = "nada: ¿falta el `return`?" if found is None else f"{name(found)}."
    return f"Se esperaba {wanted}{where} y devolviste {got}"


def _dict_difference(found: Any, expected: dict[str, Any], tolerance: float, values: bool, path: str) -> str:
    where = f" en {path}" if path else ""
    if not isinstance(found, dict) or set(found) == {"type"}:
        return _instead("un diccionario", where, found)
    for verb, keys in (("Faltan", set(expected) - set(found)), ("Sobran", set(found) - set(expected))):
        if keys:
            return f"{verb} claves{where}: {', '.join(sorted(map(repr, keys)))}."
    parts = (difference(found[k], e, tolerance, values=values, path=f"{path}[{k!r}]") for k, e in expected.items())
    return next(filter(None, parts), "")


def _array_difference(found: np.ndarray, expected: np.ndarray, tolerance: float, values: bool, path: str) -> str:
    numbers = found.astype(np.float64)
    wanted = expected.astype(np.float64)
    # Lo infinito solo vale donde se espera.
    if bad := int((~np.isfinite(numbers) & np.isfinite(wanted)).sum()):
        return (
            f"Hay {bad} valores NaN o infinitos de {numbers.size}{f' en {path}' if path else ''}. ¿Se divide por cero?"
        )
    if not values:
        return ""
    with np.errstate(invalid="ignore"):
        gap = np.where(_same_nonfinite(numbers, wanted), 0.0, np.abs(numbers - wanted))
    gap = np.nan_to_num(gap, nan=np.inf)
    if not gap.size or gap.max() <= _allowed(expected, tolerance):
        return ""
    place = tuple(int(i) for i in np.unravel_index(gap.argmax(), gap.shape))
    text = f"{path}{list(place) if place else ''}"
    return (
        f"Valor distinto{f' en {text}' if text else ''}: devolviste {_number(found[place])} y se esperaba "
        f"{_number(expected[place])}."
    )


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Si dos datos simples son el mismo, NaN e infinitos incluidos."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape or a.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
            return False
        x, y = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(y)
        if not np.array_equal(finite, np.isfinite(x)):
            return False
        return bool(not finite.any() or np.abs(x[finite] - y[finite]).max() <= _allowed(b, tolerance))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k], tolerance) for k, v in a.items())
    if isinstance(a, bool | int | float) and isinstance(b, bool | int | float):
        return same(np.asarray(a), np.asarray(b), tolerance)
    return type(a) is type(b) and bool(a == b)


def broken_fact(found: Any, expected: dict[str, Any], tolerance: float) -> str:
    """El primer hecho que no se cumple, en una frase."""
    for fact, wanted in expected.items():
        got = found.get(fact) if isinstance(found, dict) else None
        if not difference(got, wanted, tolerance):
            continue
        if isinstance(wanted, bool):
            return f"{'No se cumple' if wanted else 'No debería cumplirse'}: {fact}."
        return f"{fact}: {difference(got, wanted, tolerance)}"
    return ""


def wrong_type(found: dict[str, str], expected: dict[str, str]) -> str:
    """El primer tipo o dispositivo que no es el esperado, en una frase."""
    for place, wanted in expected.items():
        got, where = found.get(place, "nada"), f" en {place}" if place else ""
        if got == wanted:
            continue
        for noun, g, w in zip(("tipo", "dispositivo"), got.split(" en "), wanted.split(" en "), strict=False):
            if g != w:
                like = (
                    ", como la entrada,"
                    if (w.startswith("float") and " en " in wanted) or noun == "dispositivo"
                    else ""
                )
                return f"Se esperaba el {noun} {w}{like}{where} y devolviste {g}."
    return ""


def name(value: Any) -> str:
    """Qué es un dato simple, dicho a una persona."""
    if isinstance(value, np.ndarray):
        return f"un tensor {value.shape} de tipo {value.dtype}"
    if isinstance(value, dict):
        return f"un valor de tipo {value['type']}" if set(value) == {"type"} else "un diccionario"
    if isinstance(value, list | tuple):
        return f"una lista de {len(value)} elemento{'s' * (len(value) != 1)}"
    known = {type(None): "None", bool: "un booleano", int: "un entero", float: "un número", str: "un texto"}
    return known.get(type(value), f"un valor de tipo {type(value).__name__}")


def _same_nonfinite(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ~np.isfinite(b) & ((a == b) | (np.isnan(a) & np.isnan(b)))


def _allowed(expected: np.ndarray, tolerance: float) -> float:
    if expected.dtype.kind in "biu":
        return 0.0
    finite = expected[np.isfinite(expected)]
    scale = float(np.abs(finite).max(initial=0.0))
    return tolerance * scale if scale else 1e-9


def _number(value: Any) -> str:
    return str(bool(value)) if value.dtype.kind == "b" else f"{float(value):.5g}"
