"""Con qué pesos se calculó algo: la huella que se guarda y la señal barata de que no han cambiado."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn


def weights_fingerprint(model: nn.Module) -> str:
    """Huella de una red: el SHA-256 de los nombres, formas y valores de sus parámetros y búferes de coma flotante.

    No depende del dispositivo. Cambia si cambia un solo peso, y también si se redondean a otro tipo.

    Examples
    --------
    >>> net = nn.Linear(2, 1)
    >>> before = weights_fingerprint(net)
    >>> weights_fingerprint(net.double()) == before
    True
    >>> with torch.no_grad():
    ...     net.weight[0, 0] += 1
    >>> weights_fingerprint(net) == before
    False
    """
    digest = hashlib.sha256()
    for name, value in _weights(model):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in chain(model.named_parameters(), model.named_buffers()):
        if value.is_floating_point():  # los contadores de BatchNorm no intervienen en modo eval
            yield name, value


def weights_stamp(model: nn.Module) -> list[tuple[int, int]]:
    """Señal barata de que los pesos no se han tocado: si no cambia, no hace falta volver a calcular la huella."""
    return [(v.data_ptr(), -1 if v.is_inference() else v._version) for _, v in _weights(model)]
