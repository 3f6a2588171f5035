"""La respuesta de una red a muchas versiones de las mismas imágenes, sin derivar y con la memoria acotada."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torchvision.transforms.v2.functional as images
from numpy.typing import NDArray
from torch import Tensor, nn

from convlab._passes import observe, observing
from convlab.errors import ConvlabError, unknown_name
from convlab.occlusion.incremental import Unsupported, forward_windows
from convlab.targets import BatchSize, Output, ScoreFn, output_score, per_image

Fill = float | Tensor | Literal["mean", "blur"]
"""Con qué se tapa: un número (0 es negro), la media de cada canal de la imagen (`"mean"`), la imagen desenfocada con
una gaussiana de desviación un décimo del lado menor (`"blur"`) o un tensor que se extienda a la forma de las imágenes,
como la misma escena sin el objeto."""

Corners = NDArray[np.int64]

_WHOLE = 2**28  # octetos para una pasada de la red entera
_MEMORY = 2**24, 2**25  # y para los trozos: lo que basta, o hasta el doble si en lo primero no caben unos cuantos
_ENOUGH = 24  # cuadrados: con menos por tanda las capas hondas van más despacio
_PILOT = 8


class Responses:
    """La respuesta que se explica (un logit o una probabilidad por imagen) en versiones de las mismas imágenes."""

    def __init__(
        self, model: nn.Module, x: Tensor, target: int | Tensor, output: Output, select: ScoreFn | None
    ) -> None:
        self.model, self.x = model, x
        self.classes = per_image(target, len(x))
        self.output: Output = output
        self.select = select

    def score(self, x: Tensor, versions: int = 1) -> Tensor:
        """Respuesta de `versions` versiones del lote, unas tras otras."""
        return self._score(x, self.classes.repeat(versions))

    def clean(self) -> Tensor:
        """Respuesta a las imágenes intactas, una por pasada: la memoria no crece con el lote."""
        return torch.cat([self._score(self.x[k : k + 1], self.classes[k : k + 1]) for k in range(len(self.x))])

    def whole(self, fill: Tensor, corners: Corners, patch: int, batch_size: BatchSize) -> Tensor:
        """Respuesta con cada cuadrado tapado, `(N, P)`, con la red entera."""
        step = versions_per_pass(self.x, batch_size)
        parts = (corners[k : k + step] for k in range(0, len(corners), step))
        scores = [self.score(_occluded(self.x, fill, part, patch), len(part)).view(-1, len(self.x)) for part in parts]
        return torch.cat(scores).T

    def followed(self, fill: Tensor, corners: Corners, patch: int, batch_size: BatchSize) -> Tensor:
        """Lo mismo, recalculando solo lo que cambia, imagen por imagen.

        La primera tanda es pequeña: dice cuánta memoria pide cada cuadrado, y uno de los suyos se comprueba con la red
        entera, por si el modelo hace algo que no se puede seguir.
        """
        step = _PILOT if batch_size == "auto" else batch_size
        result: list[Tensor] = []
        for k in range(len(self.x)):
            scores: list[Tensor] = []
            done = 0
            while done < len(corners):
                part = corners[done : done + step]
                values, size = self._windows(k, fill, part, patch)
                if not result and not scores:
                    self._verify(k, fill, part, patch, values)
                scores.append(values)
                done += len(part)
                if batch_size == "auto":  # a la vez viven el recorte, lo que sale de él y alguna copia
                    each = 4 * size * self.x.element_size()
                    enough, most = (_budget(self.x, octets) // each for octets in _MEMORY)
                    step = max(1, min(max(enough, _ENOUGH), most))
            result.append(torch.cat(scores))
        return torch.stack(result)

    def _windows(self, k: int, fill: Tensor, corners: Corners, patch: int) -> tuple[Tensor, int]:
        score = output_score(self.classes[k].expand(len(corners)), self.output, self.select)
        top, left = corners.T
        with observing(self.model):
            output, size = forward_windows(self.model, self.x[k : k + 1], fill[k : k + 1], top, left, (patch, patch))
            return score(output), size

    def _verify(self, k: int, fill: Tensor, corners: Corners, patch: int, values: Tensor) -> None:
        image, one = self.x[k : k + 1], self.classes[k : k + 1]
        clean = self._score(image, one)
        chosen = int((values - clean).abs().argmax())
        whole = self._score(_occluded(image, fill[k : k + 1], corners[chosen : chosen + 1], patch), one)
        margin = 1e-3 * (whole - clean).abs() + 100 * torch.finfo(whole.dtype).eps * whole.abs()
        if not bool((values[chosen] - whole).abs() <= margin):
            raise Unsupported

    def _score(self, x: Tensor, classes: Tensor) -> Tensor:
        score = output_score(classes, self.output, self.select)
        return score(observe(self.model, x))


def fill_values(value: Fill, x: Tensor) -> Tensor:
    """Con qué se tapa cada píxel, de la forma de `x`."""
    if isinstance(value, str):
        if value == "mean":
            return x.detach().mean((2, 3), keepdim=True).expand(x.shape)
        if value == "blur":
            side = min(x.shape[2:])
            return images.gaussian_blur(x.detach(), [2 * (side // 4) + 1] * 2, [side / 10] * 2)
        raise unknown_name("el relleno", value, ("mean", "blur"))
    fill = torch.as_tensor(value, device=x.device, dtype=x.dtype).detach()
    try:
        return fill.expand(x.shape)
    except RuntimeError:
        raise ConvlabError(
            f"Lo que tapa, {tuple(fill.shape)}, no se puede extender a la forma de las imágenes, {tuple(x.shape)}. "
            "Pasa un número, «mean», «blur», un tensor (1, 3, 1, 1) o uno de la forma de las imágenes."
        ) from None


def versions_per_pass(x: Tensor, batch_size: BatchSize) -> int:
    """Versiones del lote `x` por pasada de la red entera, al menos una, a unos 100 números por valor de la imagen."""
    if batch_size == "auto":
        batch_size = _budget(x, _WHOLE) // (100 * x[0].numel() * x.element_size())
    return max(1, batch_size // len(x))


def intervals(starts: Corners, length: int, side: int, device: torch.device) -> Tensor:
    """Qué posiciones de un eje de tamaño `side` caen en cada intervalo, booleano `(len(starts), side)`."""
    offset = torch.arange(side, device=device) - torch.from_numpy(starts).to(device)[:, None]
    return (offset >= 0) & (offset < length)


def _occluded(x: Tensor, fill: Tensor, corners: Corners, patch: int) -> Tensor:
    """Las versiones tapadas del lote, unas tras otras, `(P·N, C, H, W)`."""
    rows, columns = (intervals(c, patch, n, x.device) for c, n in zip(corners.T, x.shape[2:], strict=True))
    covered = rows[:, None, None, :, None] & columns[:, None, None, None, :]
    return torch.where(covered, fill, x).flatten(0, 1)


def _budget(x: Tensor, otherwise: int) -> int:
    return torch.cuda.mem_get_info(x.device)[0] // 4 if x.is_cuda else otherwise
