"""Lección 01: qué responde cada unidad de una red, a qué imágenes y a qué parte de ellas.

Una unidad es un canal de una capa; su activación, un mapa con un valor por posición. El modelo queda como estaba (véase
`convlab.hooks`). Lo que recorre un conjunto de datos acepta los lotes de uno en uno y su memoria no crece con él.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from convlab.activations.receptive import ReceptiveField, input_support, receptive_field, receptive_field_of
from convlab.activations.units import UnitStatistics, dead_units, reject_nan, unit_maps, unit_statistics
from convlab.errors import ConvlabError, unknown_name
from convlab.hooks import capture

__all__ = [
    "ReceptiveField",
    "TopImages",
    "UnitStatistics",
    "capture_activations",
    "dead_units",
    "input_support",
    "receptive_field",
    "receptive_field_of",
    "top_images",
    "top_patches",
    "unit_statistics",
]


def capture_activations(model: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Activaciones de varias capas en una sola pasada, en modo `eval` y sin grafo.

    Cada una es una copia: una ReLU *in-place* posterior no la cambia. La pasada se detiene tras la última capa pedida.
    Si la red usa un módulo varias veces (la ReLU de un bloque de ResNet), se queda con la última: las veces se
    cuentan antes sin calcular nada, y si dependen de los valores la red se recorre entera.

    Parameters
    ----------
    model
        Cualquier red que acepte `x`.
    x
        Imágenes `(N, C, H, W)` de coma flotante; no se modifican.
    layers
        Nombres con puntos o patrones: `"block*.relu"`, `"layer?.0"`. En un patrón, `*` vale también por un punto.

    Returns
    -------
    dict
        Un tensor por capa, en el orden pedido; las de un patrón, en el orden de la red.

    Raises
    ------
    ConvlabError
        Si un nombre o un patrón no corresponde a ninguna capa, o si una no se ejecuta o no devuelve un tensor.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> {k: tuple(a.shape) for k, a in capture_activations(Mini(), torch.rand(2, 3, 64, 48), ["block?.pool"]).items()}
    {'block1.pool': (2, 32, 32, 24), 'block2.pool': (2, 48, 16, 12), 'block3.pool': (2, 64, 8, 6)}
    """
    if isinstance(layers, str) or not isinstance(model, nn.Module):
        return capture(model, x, layers)  # ya explica los dos errores
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    found: dict[str, None] = {}
    for layer in layers:
        matches = [layer] if layer in names else [name for name in names if fnmatchcase(name, str(layer))]
        if not matches:
            raise unknown_name("la capa", layer, names)
        found.update(dict.fromkeys(matches))
    return capture(model, x, list(found))


def top_patches(
    activations: Tensor,
    receptive_field: int | tuple[int, int],
    jump: int | tuple[int, int],
    offset: int | tuple[int, int],
    k: int,
    *,
    size: tuple[int, int] | None = None,
) -> list[tuple[int, int, int, int, int]]:
    """Las `k` posiciones donde más se activa una unidad, y el parche de la imagen que ve cada una.

    La posición `(i, j)` ve las filas desde `offset + i * jump` hasta `offset + i * jump + receptive_field`, sin incluir
    la última, e igual las columnas. De una imagen pueden salir varias posiciones; `top_images` da solo una.

    Parameters
    ----------
    activations
        Mapas de una unidad en cada imagen, `(N, H, W)`.
    receptive_field, jump
        Lado del campo receptivo y distancia entre dos vecinos, en píxeles: un número, o un par (vertical, horizontal).
    offset
        Primer píxel que ve la unidad (0, 0): el borde de su campo, no el centro. Con relleno es negativo. Es el `start`
        de `receptive_field_of`.
    k
        Cuántas, desde 1.
    size
        `(H, W)` de las imágenes. Los parches se recortan siempre por arriba y por la izquierda; por abajo y por la
        derecha, solo si se conoce.

    Returns
    -------
    list
        `(n, y0, x0, y1, x1)` de mayor a menor activación; si empatan, en orden de imagen, fila y columna. El parche
        es `x[n, :, y0:y1, x0:x1]`.

    Raises
    ------
    ConvlabError
        Si los mapas no son `(N, H, W)`, contienen NaN o tienen menos de `k` posiciones.

    Examples
    --------
    >>> top_patches(torch.tensor([[[0.0, 3.0], [1.0, 9.0]]]), receptive_field=5, jump=4, offset=-2, k=2, size=(6, 6))
    [(0, 2, 2, 6, 6), (0, 0, 2, 3, 6)]
    """
    if activations.ndim != 3:
        raise ConvlabError(f"Se esperaban mapas (N, H, W) de una unidad y llegó un tensor {tuple(activations.shape)}.")
    flat = activations.detach().reshape(-1)
    _check_k(k)
    if k > len(flat):
        raise ConvlabError(f"Se pidieron las {k} posiciones más activas y solo hay {len(flat)}. Baja k.")
    reject_nan(flat)
    # topk no dice cómo desempata: con él se conoce el umbral, y una ordenación estable de lo que lo alcanza decide.
    candidates = (flat >= flat.topk(k).values[-1]).nonzero()[:, 0]
    chosen = candidates[flat[candidates].sort(descending=True, stable=True).indices[:k]]
    height, width = activations.shape[1:]
    place = torch.stack([chosen // width % height, chosen % width], 1)
    first = place * place.new_tensor(jump) + place.new_tensor(offset)
    after = first + place.new_tensor(receptive_field)
    if size is not None:
        after = after.minimum(after.new_tensor(size))
    rows = torch.cat([chosen[:, None] // (height * width), first.clamp(min=0), after.clamp(min=0)], 1).tolist()
    return [(n, y0, x0, y1, x1) for n, y0, x0, y1, x1 in rows]


@dataclass(frozen=True, eq=False)
class TopImages:
    """Las imágenes que más activan cada unidad, de más a menos.

    Attributes
    ----------
    indices
        Qué imagen del conjunto es, contada desde 0, `(C, k)`.
    values
        Su mayor activación, `(C, k)`.
    positions
        Fila y columna del mapa en que la alcanza, `(C, k, 2)`.
    """

    indices: Tensor
    values: Tensor
    positions: Tensor

    def patches(self, field: ReceptiveField) -> Tensor:
        """Parche de cada imagen que ve la unidad, `(C, k, 5)`: `n, y0, x0, y1, x1`.

        Parameters
        ----------
        field
            El de `receptive_field_of` en la misma capa y con imágenes del mismo tamaño.
        """
        return torch.cat([self.indices[..., None], field.boxes(self.positions)], -1)


def top_images(model: nn.Module, batches: Iterable[Tensor], layer: str, k: int) -> TopImages:
    """Las `k` imágenes de un conjunto de cualquier tamaño que más activan cada unidad, y en qué posición.

    Cada imagen cuenta una vez, por su posición más activa. Se guardan solo las `k` mejores hasta el momento.

    Parameters
    ----------
    model, batches, layer
        Los de `unit_statistics`.
    k
        Cuántas imágenes por unidad, desde 1.

    Returns
    -------
    TopImages
        En el dispositivo de la capa. Si empatan, gana la imagen anterior y, dentro de una, la primera posición por
        filas.

    Raises
    ------
    ConvlabError
        Los de `unit_statistics`, y si hay menos de `k` imágenes.

    References
    ----------
    Zeiler y Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> red, x = Mini(), torch.rand(6, 3, 64, 64)
    >>> top = top_images(red, x.split(4), "block3.relu", k=2)
    >>> top.patches(receptive_field_of(red, x, "block3.relu")).shape
    torch.Size([64, 2, 5])
    """
    _check_k(k)
    images = 0
    best: tuple[Tensor, Tensor, Tensor] | None = None  # valores, imágenes y posiciones, (C, hasta k)
    for values in unit_maps(model, batches, layer):
        largest, place = values.flatten(2).max(2)
        width = values.shape[3]
        index = torch.arange(images, images + len(values), device=values.device).expand(values.shape[1], -1)
        new = largest.T, index, torch.stack([place // width, place % width], -1).transpose(0, 1)
        value, index, place = new if best is None else (torch.cat(pair, 1) for pair in zip(best, new, strict=True))
        order = value.sort(dim=1, descending=True, stable=True).indices[:, :k]  # estable: lo anterior va delante
        best = value.gather(1, order), index.gather(1, order), place.gather(1, order[..., None].expand(-1, -1, 2))
        images += len(values)
    assert best is not None  # unit_maps exige algún lote
    if k > images:
        raise ConvlabError(f"Se pidieron las {k} imágenes que más activan cada unidad y solo hay {images}. Baja k.")
    reject_nan(best[0])
    return TopImages(best[1], best[0], best[2])


def _check_k(k: int) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ConvlabError(f"`k` debe ser un entero desde 1 y llegó {k!r}.")
