"""Redes de los casos de esta lección: con todo a favor, y con zonas a favor y en contra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from convlab.exercises.nets import NetSpec
from convlab.hooks import activation_and_gradient
from convlab.targets import target_score


def favourable(spec: NetSpec) -> NetSpec:
    """La misma red con todos los pesos de la última capa positivos: ningún canal va en contra de ninguna clase."""
    weight = np.abs(spec.state["fc.weight"]) + 0.1
    return replace(spec, state=spec.state | {"fc.weight": weight.astype(spec.dtype)})


def mixed_signs(spec: NetSpec, x: np.ndarray, target: int, layer: str) -> bool:
    """Si en cada imagen la suma ponderada tiene zonas a favor y en contra, y se nota cada una."""
    a, g = activation_and_gradient(spec.build(), torch.from_numpy(x), layer, target_score(target))
    total = (g.mean((2, 3), keepdim=True) * a).sum(1).flatten(1)
    low, high = total.amin(1), total.amax(1)
    share = (total > 0).double().mean(1)
    return bool(((share > 0.15) & (share < 0.85) & (low < -0.1 * high) & (high > -0.1 * low)).all())
