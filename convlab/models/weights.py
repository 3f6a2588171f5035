"""Archivos de pesos: safetensors en media precisión, con una ficha JSON al lado que lleva su SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import nn

from convlab.errors import ConvlabError

FOLDER = Path(__file__).parent / "files"


def write_atomic(path: Path, data: bytes) -> None:
    """Escribe `data` en `path` de una vez: si algo falla a medias, queda lo que había."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_weights(state: dict[str, torch.Tensor], path: Path, card: dict[str, Any]) -> None:
    """Guarda los pesos en float16 y, al lado, la ficha `.json` con su SHA-256.

    Parameters
    ----------
    state
        Tensores por nombre; los enteros (contadores de BatchNorm) no se guardan.
    path
        Destino, con extensión `.safetensors`.
    card
        Lo que la ficha cuenta del modelo; se le añade `sha256`.
    """
    half = {k: v.detach().half().cpu().contiguous() for k, v in state.items() if v.is_floating_point()}
    data = save_bytes(half, {"format": "pt"})
    write_atomic(path, data)
    text = json.dumps({**card, "sha256": hashlib.sha256(data).hexdigest()}, ensure_ascii=False, indent=2)
    write_atomic(path.with_suffix(".json"), (text + "\n").encode())


def read_card(path: Path) -> dict[str, Any]:
    """Lee la ficha que acompaña a un archivo de pesos.

    Raises
    ------
    ConvlabError
        Si falta o no es JSON con un `sha256`.
    """
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text("utf8"))
        card["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConvlabError(
            f"No se puede leer la ficha «{card_path.name}» que debe acompañar a «{path.name}» con su SHA-256. "
            "Copia los dos archivos juntos o vuelve a instalar convlab."
        ) from error
    return dict(card)


def read_weights(path: Path, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Lee un safetensors y comprueba su SHA-256, si se da.

    Returns
    -------
    dict
        Tensores float32 por nombre.

    Raises
    ------
    ConvlabError
        Si falta, no es un safetensors o su contenido no es el que dice la ficha.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvlabError(
            f"No se puede leer el archivo de pesos «{path}»: {error.strerror}. Comprueba la ruta o reinstala convlab."
        ) from error
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ConvlabError(
            f"El archivo de pesos «{path.name}» está dañado o no es el original: su SHA-256 es {found[:12]}… y se "
            f"esperaba {sha256[:12]}…. Vuelve a instalar convlab o a entrenar la red con «convlab train»."
        )
    try:
        return {name: value.float() for name, value in load_bytes(data).items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise ConvlabError(
            f"«{path.name}» no es un archivo safetensors válido. Se esperaba uno escrito por «convlab train»."
        ) from error


def load_into(model: nn.Module, state: dict[str, torch.Tensor], origin: str) -> None:
    """Copia los tensores en el modelo, sin dejar ninguno fuera.

    Raises
    ------
    ConvlabError
        Si los nombres o las formas no son los del modelo; dice cuáles. El modelo no se toca.
    """
    own = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if missing or extra or shapes:
        parts = [("faltan", missing), ("sobran", extra), ("tienen otra forma", sorted(shapes))]
        detail = "; ".join(f"{what} {', '.join(names[:3])}" for what, names in parts if names)
        raise ConvlabError(f"Los pesos de «{origin}» son de otra red: {detail}. Usa el archivo de esta red.")
    model.load_state_dict(state, strict=False)
