"""Prueba de control: borrar lo que la red ha aprendido y ver si la explicación se entera."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from convlab.errors import ConvlabError
from convlab.hooks import get_layer

__all__ = ["randomize_layers"]


def randomize_layers(model: nn.Module, names: Sequence[str], generator: torch.Generator | None = None) -> nn.Module:
    """Copia de la red con algunas capas devueltas a una inicialización al azar.

    Cada capa, y las que contiene, se reinicia con su propio `reset_parameters`, que en BatchNorm borra también las
    estadísticas. La red original y el azar global no cambian.

    Parameters
    ----------
    model
        La red, que no se modifica.
    names
        Nombres con puntos de las capas.
    generator
        Fuente de azar (en CPU).

    Returns
    -------
    nn.Module
        La copia, en el mismo dispositivo y modo.

    Raises
    ------
    ConvlabError
        Si una capa no existe o no tiene parámetros que reiniciar.

    References
    ----------
    Adebayo et al. (2018), «Sanity Checks for Saliency Maps», NeurIPS.

    Examples
    --------
    >>> red = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    >>> otra = randomize_layers(red, ["2"], torch.Generator().manual_seed(0))
    >>> torch.equal(otra[0].weight, red[0].weight), torch.equal(otra[2].weight, red[2].weight)
    (True, False)
    """
    broken = copy.deepcopy(model)
    seed = int(torch.randint(2**62, (1,), generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name in names:
            resettable = [m for m in get_layer(broken, name).modules() if hasattr(m, "reset_parameters")]
            if not resettable:
                raise ConvlabError(f"La capa «{name}» no tiene parámetros que reiniciar. Elige una que aprenda.")
            for module in resettable:
                module.reset_parameters()  # type: ignore[operator]
    return broken
