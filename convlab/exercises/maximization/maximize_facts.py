"""Cómo se usa `maximize` en cada caso y qué se mira de lo que devuelve: hechos, porque hay azar y muchos caminos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from convlab import maximization
from convlab.exercises.maximization.maximize_nets import activation

Function = Callable[..., Any]
Size = tuple[int, int]
Facts = dict[str, Any]

NOISE = 32
MARGIN = 2.0
CLOSE = 1e-5
BEATS = f"se separa de la media de {NOISE} imágenes de ruido más del doble que la mejor de ellas"
SHIFTS = (
    "con lr=0 no cambia, y la red ve la imagen que devuelves, que no es un gris liso",
    "la red la ve desplazada",
    "no siempre igual",
    "en los dos ejes",
    "también hacia arriba y hacia la izquierda",
    "hasta jitter píxeles, incluidos",
    "nunca más de jitter píxeles",
)


def noise(model: nn.Module, layer: str, channel: int, size: Size) -> tuple[float, float, float]:
    """La media y el máximo del canal en unas imágenes de ruido, y su desviación típica."""
    weights = next(model.parameters())
    x = torch.rand(NOISE, 3, *size, generator=torch.Generator().manual_seed(7), dtype=weights.dtype)
    scores = activation(model, x, layer, channel)
    return scores.mean().item(), scores.max().item(), scores.std().item()


def use(function: Function, model: nn.Module, layer: str, channel: int, **options: Any) -> Any:
    """Una llamada. La referencia, además, gira y amplía si no se le dice que no; aquí solo se habla de desplazar."""
    extra = {"rotation": 0.0, "scale": 0.0} if function is maximization.maximize else {}
    return function(model, layer, channel, **options, **extra)


@contextmanager
def _watching(model: nn.Module) -> Iterator[list[Tensor]]:
    """Lo que la red recibe. Se mira a la entrada de su primer módulo: nadie tiene por qué llamarla entera."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            seen.append(inputs[0].detach().clone())

    handle = next(model.children()).register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def _bounds(image: Tensor) -> bool:
    return bool(image.min() >= -CLOSE and image.max() <= 1 + CLOSE)


def climb(
    function: Function, model: nn.Module, layer: str, channel: int, size: Size, steps: int, lr: float, jitter: int,
    generator: torch.Generator,
) -> Any:  # fmt: skip
    """Una sola maximización, mirando lo que la red ve por el camino."""
    with _watching(model) as seen:
        image = use(function, model, layer, channel, size=size, steps=steps, lr=lr, jitter=jitter, generator=generator)
    if not isinstance(image, Tensor):
        return image
    return {"imagen": image, "la red solo ve imágenes en [0, 1]": bool(seen) and all(map(_bounds, seen))}


def beats_noise(result: dict[str, Any], model: nn.Module, layer: str, channel: int, size: Size, *_: Any) -> Facts:
    """Si el canal se separa de su media en el ruido el doble que en la mejor de las imágenes de ruido."""
    score = activation(model, result["imagen"].to(next(model.parameters())), layer, channel).item()
    mean, best, _spread = noise(model, layer, channel, size)
    return {BEATS: score - mean > MARGIN * (best - mean)}


def stays_inside(result: dict[str, Any], *_: Any) -> Facts:
    """Si la imagen está en [0, 1] al final y durante todo el camino."""
    name = "la red solo ve imágenes en [0, 1]"
    return {"sin salir de [0, 1]": _bounds(result["imagen"]), name: result[name]}


def climbs_half(result: dict[str, Any], model: nn.Module, layer: str, channel: int, size: Size, *_: Any) -> Facts:
    """En un canal lineal, cuánto del camino del gris al máximo de [0, 1] se ha hecho."""
    gain = _gain(result["imagen"], model, layer, channel, size)
    return {"el canal no baja": gain > -0.2, "el canal sube la mitad de lo que puede": gain > 0.5}


def _gain(image: Tensor, model: nn.Module, layer: str, channel: int, size: Size) -> float:
    like = next(model.parameters())
    flat = torch.stack([torch.full((3, *size), value).to(like) for value in (0.0, 0.5, 1.0)])
    black, gray, white = activation(model, flat, layer, channel).tolist()
    return float((activation(model, image.to(like), layer, channel).item() - gray) / (max(black, white) - gray))


def stops_at_the_top(result: dict[str, Any], model: nn.Module, layer: str, channel: int, size: Size, *_: Any) -> Facts:
    """El máximo, que vale 0, está en un gris: cuánto se ha acercado desde el gris medio."""
    gray = torch.full((1, 3, *size), 0.5).to(next(model.parameters()))
    start, end = (activation(model, x.to(gray), layer, channel).item() for x in (gray, result["imagen"]))
    return {"se queda en el máximo, que está dentro de [0, 1]": end > 0.45 * start}


def still(
    function: Function, model: nn.Module, layer: str, channel: int, size: Size, steps: int, lr: float, jitter: int,
    generator: torch.Generator,
) -> Any:  # fmt: skip
    """Dos ascensos de tamaño cero: la imagen no cambia y queda a la vista lo que le hace el desplazamiento."""
    shifts: list[tuple[int, int]] = []
    fixed, found = True, True
    for seed in (generator.initial_seed(), generator.initial_seed() + 1):
        source = torch.Generator().manual_seed(seed)
        with _watching(model) as seen:
            image = use(function, model, layer, channel, size=size, steps=steps, lr=lr, jitter=jitter, generator=source)
        if not isinstance(image, Tensor) or image.shape != (1, 3, *size):
            return image
        some = [_shift(image.detach(), view) for view in seen]
        shifts += [shift for shift in some if shift]
        fixed = fixed and len(set(some)) < 2
        found = found and bool(some) and None not in some and bool(image.std() > CLOSE)
    rows, columns = ([shift[axis] for shift in shifts] or [0] for axis in (0, 1))
    told = (
        found,
        any(rows + columns),
        not fixed,
        any(rows) and any(columns),
        min(rows) < 0 and min(columns) < 0,
        max(rows) >= jitter and max(columns) >= jitter,
        max(map(abs, rows + columns)) <= jitter,
    )
    return dict(zip(SHIFTS, told, strict=True))


def _shift(image: Tensor, view: Tensor) -> tuple[int, int] | None:
    """Cuánto hay que desplazar la imagen, en círculo, para tener la vista."""
    if view.shape != image.shape:
        return None
    height, width = image.shape[2:]
    # La correlación con todos los desplazamientos a la vez señala al candidato.
    spectrum = torch.fft.fft2(view[0]) * torch.fft.fft2(image[0] - image[0].mean()).conj()
    best = int(torch.fft.ifft2(spectrum).real.sum(0).argmax())
    dy, dx = ((n + side // 2) % side - side // 2 for n, side in zip(divmod(best, width), (height, width), strict=True))
    return (dy, dx) if bool((image.roll((dy, dx), (2, 3)) - view).abs().max() < CLOSE) else None


def as_told(result: dict[str, Any], *_: Any) -> Facts:
    """Los hechos ya vienen hechos."""
    return result


def shaken(
    function: Function, model: nn.Module, layer: str, channel: int, size: Size, steps: int, lr: float, jitter: int,
    generator: torch.Generator,
) -> Any:  # fmt: skip
    """La misma maximización quieta y desplazada."""
    options = {"size": size, "steps": steps, "lr": lr, "generator": generator}
    return [use(function, model, layer, channel, jitter=shift, **options) for shift in (0, jitter)]


def survives_the_shift(result: list[Tensor], model: nn.Module, layer: str, channel: int, size: Size, *_: Any) -> Facts:
    """Unas rayas que el desplazamiento vuelve del revés no pueden subir."""
    weight = next(model.parameters())[channel]
    top = weight.abs().sum().item() / 2
    gray = torch.full((1, 3, *size), 0.5).to(weight)
    base, *scores = (activation(model, x.to(weight), layer, channel).item() for x in (gray, *result))
    return {
        "sin desplazar, las rayas suben": scores[0] - base > 0.5 * top,
        "lo que el desplazamiento borra no sube": scores[1] - base < 0.5 * top,
    }


def again(
    function: Function, model: nn.Module, layer: str, channel: int, size: Size, steps: int, lr: float, jitter: int,
    generator: torch.Generator,
) -> Any:  # fmt: skip
    """Tres veces: dos con la misma semilla y otra con otra."""
    seed = generator.initial_seed()
    sources = [torch.Generator().manual_seed(s) for s in (seed, seed, seed + 1)]
    options = {"size": size, "steps": steps, "lr": lr, "jitter": jitter}
    return [use(function, model, layer, channel, generator=source, **options) for source in sources]


def follows_the_seed(result: list[Tensor], *_: Any) -> Facts:
    """Si solo manda la semilla, y manda de verdad."""
    first, second, other = result
    return {
        "con la misma semilla, la misma imagen": bool((first - second).abs().max() < CLOSE),
        "con otra semilla, otra imagen": bool((first - other).abs().max() > CLOSE),
    }


def counted(
    function: Function, model: nn.Module, layer: str, channel: int, size: Size, steps: int, lr: float, jitter: int,
    generator: torch.Generator,
) -> Any:  # fmt: skip
    """Un paso de tamaño cero, y después 1, 2 y `steps` pasos, con la misma semilla."""
    seed, images = generator.initial_seed(), []
    for count, size_of_step in ((1, 0.0), (1, lr), (2, lr), (steps, lr)):
        source = torch.Generator().manual_seed(seed)
        options = {"size": size, "steps": count, "lr": size_of_step, "jitter": jitter, "generator": source}
        # También el azar global empieza igual: quien tira de él falla en su propiedad, y aquí no al azar.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            images.append(use(function, model, layer, channel, **options))
    return images


def every_step_counts(result: list[Tensor], model: nn.Module, layer: str, channel: int, *_: Any) -> Facts:
    """Cada paso sube un poco más."""
    like = next(model.parameters())
    none, one, two, many = (activation(model, x.to(like), layer, channel).item() for x in result)
    return {"el primer paso ya sube": one > none, "cuantos más pasos, más arriba": one < two < many}
