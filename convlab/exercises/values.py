"""Lo devuelto, como datos simples que pueden cruzar a otro proceso sin pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

_DEPTH, _LENGTH = 6, 1000


def plain(value: Any, depth: int = 0) -> Any:
    """Lo devuelto con matrices de NumPy en vez de tensores; lo que no es un dato, como `{"type": nombre}`.

    Una matriz de NumPy no es un tensor, y no pasa por uno.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.device.type == "meta":
            return {"type": f"tensor sin valores que leer ({value.layout}, {value.device})"}
        # Por la clase base: una subclase no puede fingir otros valores.
        tensor = torch.Tensor.detach(value.as_subclass(torch.Tensor)).cpu().resolve_conj().resolve_neg()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy().copy()
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, list | tuple) and depth < _DEPTH:
        return [plain(v, depth + 1) for v in value[:_LENGTH]]
    if isinstance(value, dict) and depth < _DEPTH:
        return {str(k): plain(v, depth + 1) for k, v in list(value.items())[:_LENGTH]}
    return {"type": type(value).__name__}


def tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """Los tensores que hay en `value`, también dentro de listas y diccionarios."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple) and depth < _DEPTH:
        for v in list(value.values() if isinstance(value, dict) else value)[:_LENGTH]:
            yield from tensors(v, depth + 1)


def kinds(value: Any, path: str = "", depth: int = 0) -> dict[str, str]:
    """El tipo de cada hoja por su lugar: `{"['conv1']": "float32 en cpu", "[0]": "int"}`."""
    if isinstance(value, torch.Tensor):
        return {path: f"{str(value.dtype).removeprefix('torch.')} en {value.device.type}"}
    if isinstance(value, dict | list | tuple) and depth < _DEPTH:
        items = value.items() if isinstance(value, dict) else enumerate(value[:_LENGTH])
        return {k: t for key, v in items for k, t in kinds(v, f"{path}[{key!r}]", depth + 1).items()}
    return {path: type(value.item()).__name__ if isinstance(value, np.generic) else type(value).__name__}


def as_tensors(value: Any) -> Any:
    """El camino de vuelta de `plain`: las matrices, como tensores."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {k: as_tensors(v) for k, v in value.items()}
    return [as_tensors(v) for v in value] if isinstance(value, list) else value


def save(outputs: dict[str, Any], path: Path) -> None:
    """Guarda lo que da `Exercise.run` en un `.npz` sin pickle: las matrices, y lo demás como JSON."""
    arrays: list[np.ndarray] = []

    def pack(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {"array": len(arrays) - 1}
        if isinstance(value, dict):
            return {"dict": {k: pack(v) for k, v in value.items()}}
        return [pack(v) for v in value] if isinstance(value, list | tuple) else value

    text = json.dumps(pack(outputs))
    with path.open("wb") as file:
        np.savez(file, json=np.array(text), **{str(i): a for i, a in enumerate(arrays)})  # type: ignore[arg-type]


def read(path: Path) -> dict[str, Any]:
    """Lo que guardó `save`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "caso.npz"
    >>> save({"kind": "ok", "value": [np.arange(3), 2.5]}, path)
    >>> read(path)
    {'kind': 'ok', 'value': [array([0, 1, 2]), 2.5]}
    """
    with np.load(path, allow_pickle=False) as file:

        def unpack(value: Any) -> Any:
            if isinstance(value, dict):
                return (
                    file[str(value["array"])] if "array" in value else {k: unpack(v) for k, v in value["dict"].items()}
                )
            return [unpack(v) for v in value] if isinstance(value, list) else value

        found: dict[str, Any] = unpack(json.loads(str(file["json"])))
    return found
