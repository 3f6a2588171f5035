"""Elección del dispositivo de cálculo: `auto`, `cpu`, `cuda` o `mps`."""

from __future__ import annotations

import torch

from convlab.errors import ConvlabError, unknown_name

NAMES = ("auto", "cpu", "cuda", "mps")


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Convierte un nombre en un dispositivo que esta máquina tiene.

    Parameters
    ----------
    device
        `"auto"` elige lo más rápido que haya (CUDA, luego MPS, luego CPU); `"cpu"`, `"cuda"` o `"mps"`
        piden uno concreto, y `"cuda:1"` una tarjeta concreta. Un `torch.device` se comprueba igual que su
        nombre.

    Returns
    -------
    torch.device

    Raises
    ------
    ConvlabError
        Si el nombre no existe o esta máquina no tiene ese dispositivo.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    name = str(device)
    if name == "auto":
        name = next((kind for kind in ("cuda", "mps") if _count(kind)), "cpu")
    kind, _, index = name.partition(":")
    if kind not in NAMES[1:] or (index and not index.isdecimal()):
        raise unknown_name("el dispositivo", name, NAMES)
    if int(index or 0) >= _count(kind):
        raise ConvlabError(
            f"Se pidió el dispositivo «{name}», pero esta máquina tiene {_count(kind)} de tipo «{kind}». "
            "Usa «auto» o «cpu»."
        )
    return torch.device(name)


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(kind == "cpu" or torch.backends.mps.is_available())
