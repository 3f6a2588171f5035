"""`Mini`: la red pequeña del curso, al estilo de VGG, que cabe entera en la cabeza y en una página web."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

WIDTHS = (32, 48, 64, 96, 128)


def _block(inputs: int, outputs: int, kernel: int, pool: bool) -> nn.Sequential:
    layers: list[tuple[str, nn.Module]] = [
        ("conv", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)),
        ("bn", nn.BatchNorm2d(outputs)),
        ("relu", nn.ReLU()),
    ]
    return nn.Sequential(OrderedDict([*layers, ("pool", nn.MaxPool2d(2))] if pool else layers))


class Mini(nn.Module):
    """Cinco bloques convolución–BatchNorm–ReLU, los tres primeros con *max-pooling*; media espacial y capa lineal.

    Recibe imágenes `(N, 3, H, W)` en [0, 1] (pensada para 64×64) y devuelve logits `(N, classes)`; la normalización
    va dentro. Con 64×64, `block5` da mapas de 128 canales de 8×8.

    Parameters
    ----------
    classes
        Número de clases.

    Examples
    --------
    >>> Mini()(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        w = WIDTHS
        self.block1 = _block(3, w[0], 7, True)
        self.block2 = _block(w[0], w[1], 3, True)
        self.block3 = _block(w[1], w[2], 3, True)
        self.block4 = _block(w[2], w[3], 3, False)
        self.block5 = _block(w[3], w[4], 3, False)
        self.fc = nn.Linear(w[4], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(N, classes)` de un lote en [0, 1]."""
        x = (x - 0.5) / 0.25
        for block in (self.block1, self.block2, self.block3, self.block4, self.block5):
            x = block(x)
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits
