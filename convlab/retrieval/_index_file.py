"""El archivo de un índice: un safetensors con una ficha y su suma de comprobación. No ejecuta nada al leerse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor

from convlab.errors import ConvlabError
from convlab.models.weights import write_atomic

SUFFIX = ".safetensors"
VERSION = 1
METRICS = ("cosine", "l2")

_FORMAT = "convlab-index"
_KEYS = {"version", "metric", "layer", "model", "weights", "input_size"}


def write_index(path: Path, header: dict[str, Any], features: Tensor, ids: list[int | str]) -> None:
    """Escribe de una vez las incrustaciones float32 `(N, C)`, los identificadores y la ficha."""
    if path.suffix != SUFFIX:
        raise ConvlabError(f"El archivo del índice debe acabar en {SUFFIX} y llegó «{path.name}».")
    listed = torch.frombuffer(bytearray(json.dumps(ids, ensure_ascii=False).encode()), dtype=torch.uint8)
    tensors = {"features": features.cpu().contiguous(), "ids": listed}
    text = json.dumps({**header, "version": VERSION}, ensure_ascii=False)
    data = save_bytes(tensors, {"format": _FORMAT, "header": text, "sha256": _digest(text, tensors)})
    try:
        write_atomic(path, data)
    except OSError as error:
        raise ConvlabError(f"No se pudo escribir «{path}»; revisa la carpeta, los permisos y el espacio.") from error


def read_index(path: Path) -> tuple[dict[str, Any], Tensor, list[int | str]]:
    """Lee y comprueba lo que escribió `write_index`; ante la menor duda, un error que dice qué pasa."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvlabError(f"No se puede leer el índice «{path}»: comprueba la ruta y los permisos.") from error
    try:
        tensors = load_bytes(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError) as error:
        raise ConvlabError(
            f"«{path.name}» está dañado o incompleto, o no es un índice de convlab. Vuelve a crearlo."
        ) from error
    if metadata.get("format") != _FORMAT or tensors.keys() != {"features", "ids"}:
        raise ConvlabError(
            f"«{path.name}» es un safetensors, pero no un índice de convlab: se esperaba uno escrito por "
            "ImageIndex.save o «convlab index»."
        )
    text = metadata.get("header", "")
    if metadata.get("sha256") != _digest(text, tensors):
        raise ConvlabError(f"«{path.name}» está dañado: su contenido no es el que se guardó. Vuelve a crearlo.")
    try:
        header, ids = json.loads(text), json.loads(tensors["ids"].numpy().tobytes())
    except ValueError as error:
        raise _invalid(path) from error
    if isinstance(header, dict) and header.get("version") != VERSION:
        raise ConvlabError(
            f"«{path.name}» tiene la versión {header.get('version')} del formato y este convlab lee la {VERSION}. "
            "Actualiza convlab o vuelve a crear el índice."
        )
    features = tensors["features"]
    if not _consistent(header, features, ids):
        raise _invalid(path)
    return header, features, ids


def _metadata(data: bytes) -> dict[str, str]:
    """Los metadatos de un safetensors ya validado: ocho bytes con la longitud de la cabecera y, detrás, su JSON."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _digest(header: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in ("features", "ids"):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().data)
    return digest.hexdigest()


def _consistent(header: Any, features: Tensor, ids: Any) -> bool:
    """Si las partes son lo que deben y casan entre sí: la suma no basta contra un archivo hecho a mano."""
    return (
        isinstance(header, dict)
        and header.keys() == _KEYS
        and header["metric"] in METRICS
        and all(isinstance(header[key], str | None) for key in ("layer", "model", "weights"))
        and (header["input_size"] is None or _two_integers(header["input_size"]))
        and features.ndim == 2
        and features.dtype == torch.float32
        and bool(features.isfinite().all())
        and isinstance(ids, list)
        and len(ids) == len(features) > 0
        and all(isinstance(i, str) or (isinstance(i, int) and not isinstance(i, bool)) for i in ids)
        and len(set(ids)) == len(ids)
    )


def _two_integers(size: Any) -> bool:
    return isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size)


def _invalid(path: Path) -> ConvlabError:
    return ConvlabError(f"La ficha de «{path.name}» no es la de un índice de convlab. Vuelve a crearlo.")
