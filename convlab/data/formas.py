"""Formas: escenas generadas de 64×64 píxeles cuya verdad se conoce entera.

Cada escena tiene un objeto (10 formas × 10 texturas, con color, tamaño, giro y posición propios) sobre un fondo con
textura, trastos, luz y ruido. Se devuelve la imagen y todo lo que la produjo: la máscara del objeto, la de la marca
de agua y los factores latentes. Así una explicación no solo se mira: se mide.

Una escena depende solo de `(seed, índice)`: las variantes con la misma semilla son la misma escena con una sola cosa
cambiada, y pedir más escenas no altera las primeras.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from convlab.data.shapes import LATTICE, SHAPES, TEXTURES, Array, F, signed_distance, texture
from convlab.errors import ConvlabError, unknown_name

if TYPE_CHECKING:
    import torch

__all__ = ["SHAPES", "SIZE", "TEXTURES", "WATERMARK_CLASS", "Scenes", "Variant", "formas"]

SIZE = 64
WINDOW = 44  # el objeto mayor (radio 18, esquinas y sombra) cabe en esta ventana
WATERMARK_CLASS = SHAPES.index("corazón")
WATERMARK_RATE = 0.95

Variant = Literal["independent", "matched", "conflict", "watermark", "watermark_all", "empty"]

_CANDIDATES = 12  # colores que se prueban hasta dar con uno que contraste
_CHUNK = 64
_GLYPH = np.array(
    [
        [c == "#" for c in row]
        for row in ("#..#..#.###..", "#..#.##.#..#.", "#..#..#.###..", ".##...#.#....", "......#.#....")
    ]
)


@dataclass(frozen=True)
class Scenes:
    """Un lote de escenas y su verdad.

    Attributes
    ----------
    images
        uint8 `(N, 64, 64, 3)`.
    shape, texture
        int64 `(N,)`: índices en `SHAPES` y `TEXTURES`. La etiqueta habitual es `shape`.
    mask
        bool `(N, 64, 64)`: píxeles que el objeto cubre en más de la mitad (ninguno en la variante `"empty"`).
    watermark
        bool `(N, 64, 64)`: la caja de la marca de agua, vacía si la escena no la lleva.
    latents
        Cada factor por su nombre, `(N,)`: `radius`, `x`, `y` en píxeles; `tilt` en grados; `hue`, `light`,
        `noise` y `background_contrast` en [0, 1]; `flip`, `clutter`, `background_texture`.
    """

    images: NDArray[np.uint8]
    shape: NDArray[np.int64]
    texture: NDArray[np.int64]
    mask: NDArray[np.bool_]
    watermark: NDArray[np.bool_]
    latents: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | NDArray[Any] | list[int] | int) -> Scenes:
        """Las escenas elegidas por un corte, una lista de índices o una máscara booleana."""
        if isinstance(index, int | np.integer):
            raise ConvlabError(
                f"Se esperaba un corte o una lista de índices y llegó {index}; escribe escenas[[{index}]]."
            )
        kept = {f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self) if f.name != "latents"}
        return Scenes(**kept, latents={name: values[index] for name, values in self.latents.items()})

    def tensor(self, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> torch.Tensor:
        """Imágenes como tensor `(N, 3, 64, 64)` en [0, 1]."""
        import torch

        x = torch.from_numpy(self.images).to(device).permute(0, 3, 1, 2)
        return (x.to(dtype or torch.float32) / 255).contiguous()


def formas(n: int, seed: int = 0, variant: Variant = "independent", *, start: int = 0) -> Scenes:
    """Genera `n` escenas, con las diez formas por turno.

    Parameters
    ----------
    n
        Número de escenas, desde 1.
    seed
        Semilla, un entero no negativo. La misma semilla da los mismos bytes en cualquier máquina.
    variant
        `"independent"`: textura al azar, independiente de la forma. `"matched"`: la textura delata la forma (mismo
        índice). `"conflict"`: la textura es la de otra forma. `"watermark"`: una marca de agua en el 95 % de los
        corazones y en ninguna otra clase. `"watermark_all"`: la marca en todas. `"empty"`: la misma escena sin el
        objeto, el contrafactual exacto.
    start
        Índice de la primera escena: `formas(20, s)[10:]` y `formas(10, s, start=10)` son iguales.

    Returns
    -------
    Scenes
        Imágenes y verdad.

    Raises
    ------
    ConvlabError
        Si la variante no existe o un número no es válido.

    Examples
    --------
    >>> escenas = formas(20, seed=1)
    >>> escenas.images.shape, SHAPES[escenas.shape[5]]
    ((20, 64, 64, 3), 'corazón')
    >>> fondo = formas(20, seed=1, variant="empty")
    >>> bool((fondo.images[escenas.mask] != escenas.images[escenas.mask]).any())
    True
    """
    if variant not in get_args(Variant):
        raise unknown_name("la variante", variant, get_args(Variant))
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("start", start, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ConvlabError(f"`{name}` debe ser un entero desde {least} y llegó {value!r}.")
    streams = [np.random.PCG64(np.random.SeedSequence([seed, k])) for k in range(3)]
    for stream, words in zip(streams, _WORDS, strict=True):
        stream.advance(start * words)
    parts = []
    for first in range(0, n, _CHUNK):
        count = min(_CHUNK, n - first)
        raw = [s.random_raw(count * w).reshape(count, w) for s, w in zip(streams, _WORDS, strict=True)]
        index = np.arange(start + first, start + first + count)
        parts.append(_render(_sample(index, raw[0], variant), raw[1].view(np.uint8), raw[2].view(np.uint32)))
    latents = {name: np.concatenate([p[1][name] for p in parts]) for name in parts[0][1]}
    images, mask, watermark = (np.concatenate([p[0][k] for p in parts]) for k in range(3))
    shape, surface = latents.pop("shape"), latents.pop("texture")
    return Scenes(images, shape, surface, mask, watermark, latents)


# Palabras de 64 bits que cada escena toma de cada corriente: factores, redes de las texturas y ruido. Que sean fijas
# hace a cada escena independiente de las demás. Se usa la salida cruda de PCG64, la única que NumPy promete no cambiar.
_FACTORS = 49 + 6 * _CANDIDATES + 4 * 10
_WORDS = (_FACTORS, 2 * LATTICE * LATTICE // 8, SIZE * SIZE * 3 * 4 // 8)


class _Draws:
    """Reparte en orden las columnas de una tabla de uniformes en [0, 1)."""

    def __init__(self, raw: NDArray[np.uint64]) -> None:
        self._u = (raw >> np.uint64(11)) * 2.0**-53
        self._next = 0

    def __call__(self, low: float = 0.0, high: float = 1.0, k: int = 1) -> NDArray:
        columns = self._u[:, self._next : self._next + k]
        assert columns.shape[1] == k, "faltan columnas en _FACTORS"
        self._next += k
        return low + (high - low) * (columns[:, 0] if k == 1 else columns)

    def integers(self, high: int) -> NDArray[np.int64]:
        return np.floor(self(0, high)).astype(np.int64)


def _hsv(h: NDArray, s: NDArray, v: NDArray) -> NDArray[np.float64]:
    k = np.mod(np.array([5.0, 3.0, 1.0]) + h[..., None] * 6, 6)
    return v[..., None] * (1 - s[..., None] * np.clip(np.minimum(k, 4 - k), 0, 1))


def _luminance(color: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.299 * color[..., 0] + 0.587 * color[..., 1] + 0.114 * color[..., 2]


def _first_or_best(candidates: NDArray, quality: NDArray, enough: float) -> NDArray[np.float64]:
    """De los colores candidatos `(N, K, 3)`, el primero que basta y, si ninguno, el mejor."""
    good = quality > enough
    choice = np.where(good.any(1), good.argmax(1), quality.argmax(1))
    return candidates[np.arange(len(choice)), choice]


def _unit(angle: NDArray[np.float64]) -> tuple[Array, Array]:
    # Redondear borra la última cifra del coseno, que sí depende de la máquina.
    return np.round(np.cos(angle), 6).astype(F), np.round(np.sin(angle), 6).astype(F)


def _sample(index: NDArray[np.int64], raw: NDArray[np.uint64], variant: Variant) -> dict[str, NDArray]:
    """Factores de cada escena; los que dependen de la variante no mueven a los demás."""
    draw = _Draws(raw)
    shape = index % len(SHAPES)
    free, other = draw.integers(10), 1 + draw.integers(9)
    surface = {"matched": shape, "conflict": (shape + other) % 10}.get(variant, free)
    marked = draw() < WATERMARK_RATE
    mark = {"watermark": marked & (shape == WATERMARK_CLASS), "watermark_all": np.ones_like(marked)}
    f = {"shape": shape, "texture": surface, "watermark": mark.get(variant, np.zeros_like(marked))}
    f["object"] = np.full(len(index), variant != "empty")
    f["mark_x"], f["mark_y"] = 2 + draw.integers(3), SIZE - 7 - draw.integers(3)

    f["radius"] = draw(11, 18)
    margin = 1.08 * f["radius"]
    f["x"], f["y"] = (margin + draw() * (SIZE - 2 * margin) for _ in range(2))
    f["tilt"], f["flip"] = draw(-25, 25), draw() < 0.5

    # Dos colores de superficie con luminancias distintas y un fondo que se aparta de ambos.
    f["hue"] = draw()
    first = _hsv(f["hue"], draw(0.35, 1), draw(0.45, 1))
    k = _CANDIDATES
    options = _hsv(np.mod(f["hue"][:, None] + draw(-0.5, 0.5, k), 1), draw(0.1, 1, k), draw(0.05, 1, k))
    second = _first_or_best(options, np.abs(_luminance(first[:, None] - options)), 0.3)
    f["background_texture"], f["background_contrast"] = draw.integers(10), draw(0, 0.3)
    tint = _hsv(draw(), draw(0, 0.4), np.ones(len(index)))
    options = _hsv(draw(0, 1, k), draw(0, 0.7, k), draw(0.1, 0.95, k))
    sign = np.where(options.mean(2, keepdims=True) < 0.5, 1, -1)
    amplitude = sign * f["background_contrast"][:, None, None] * tint[:, None]
    # Se exige con los dos colores aunque la textura solo enseñe uno: así cambiarla no cambia el fondo.
    gaps = [
        np.abs(options + share * amplitude - color[:, None]).max(2)
        for color in (first, second, (first + second) / 2)
        for share in (0, 0.5, 1)
    ]
    f["first"], f["second"] = first, second
    f["background"] = _first_or_best(options, np.min(gaps, 0), 0.28)
    f["amplitude"] = np.where(f["background"].mean(1) < 0.5, 1, -1)[:, None] * f["background_contrast"][:, None] * tint

    f["background_angle"], f["background_period"] = draw(0, np.pi), draw(6, 14)
    f["background_shift"] = draw(0, 40, 2)
    f["surface_angle"], f["surface_period"], f["surface_shift"] = draw(0, np.pi), draw(5.5, 9), draw()
    f["light_angle"], f["light"], f["gain"] = draw(0, 2 * np.pi), draw(0, 0.3), draw(0.85, 1.1)
    f["noise"] = draw(0, 0.06)
    f["clutter"] = draw.integers(5)
    items = [
        {"color": _hsv(draw(), draw(), draw(0.1, 1)), "x": draw(0, SIZE), "y": draw(0, SIZE), "stroke": draw() < 0.5,
         "angle": draw(0, np.pi), "length": draw(6, 26), "width": draw(), "squash": draw(0.6, 1.7)}
        for _ in range(4)
    ]  # fmt: skip
    for name in items[0]:
        f["clutter_" + name] = np.stack([item[name] for item in items], 1)
    return f


_Y, _X = (a.astype(F)[None] for a in np.mgrid[0:SIZE, 0:SIZE])
_WY, _WX = np.mgrid[0:WINDOW, 0:WINDOW]
_LATENTS = (
    "shape", "texture", "radius", "x", "y", "tilt", "flip", "hue", "background_texture", "background_contrast",
    "clutter", "light", "noise",
)  # fmt: skip


def _column(values: NDArray) -> Array:
    return values.astype(F)[:, None, None]


def _by_texture(which: NDArray, u: Array, v: Array, period: NDArray, lattice: NDArray[np.uint8]) -> Array:
    out = np.empty(u.shape, F)
    for k in np.unique(which):
        i = np.flatnonzero(which == k)
        out[i] = texture(TEXTURES[k], u[i], v[i], _column(period[i]), lattice[i])
    return out


def _render(
    f: dict[str, NDArray], lattices: NDArray[np.uint8], noise: NDArray[np.uint32]
) -> tuple[tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]], dict[str, NDArray]]:
    n = len(f["shape"])
    lattices = lattices.reshape(n, 2, LATTICE, LATTICE)
    c, s = (_column(a) for a in _unit(f["background_angle"]))
    u = _X * c + _Y * s + _column(f["background_shift"][:, 0])
    v = _Y * c - _X * s + _column(f["background_shift"][:, 1])
    blend = _by_texture(f["background_texture"], u, v, f["background_period"], lattices[:, 0])
    image = f["background"].astype(F)[:, :, None, None] + blend[:, None] * f["amplitude"].astype(F)[:, :, None, None]
    _draw_clutter(image, f)
    alpha, rows, columns = _draw_object(image, f, lattices[:, 1])

    c, s = (_column(a) for a in _unit(f["light_angle"]))
    slope = _column(f["light"] / (SIZE / 2))
    light = (F(1) + slope * ((_X - SIZE // 2) * c + (_Y - SIZE // 2) * s)) * _column(f["gain"])
    image *= light[:, None]
    watermark = _draw_watermark(image, f)
    image += _column(f["noise"])[:, None] * _gaussian(noise).reshape(image.shape)
    np.clip(image, 0, 1, out=image)
    image *= F(255)
    image += F(0.5)

    mask = np.zeros((n, SIZE, SIZE), bool)
    mask[np.arange(n)[:, None, None], rows, columns] = alpha > 0.5
    pixels = np.ascontiguousarray(image.astype(np.uint8).transpose(0, 2, 3, 1))
    return (pixels, mask, watermark), {name: f[name] for name in _LATENTS}


def _gaussian(words: NDArray[np.uint32]) -> Array:
    """Ruido casi normal de media 0 y desviación 1: la suma de los cuatro bytes de cada palabra."""
    pairs = (words & np.uint32(0x00FF00FF)) + ((words >> np.uint32(8)) & np.uint32(0x00FF00FF))
    total = (pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))
    return (total.astype(F) - F(510)) * F(1 / 147.8)


def _draw_clutter(image: Array, f: dict[str, NDArray]) -> None:
    """Trazos y manchas pequeños: nunca de la forma ni del tamaño de un objeto."""
    for k in range(4):
        present = f["clutter"] > k
        for stroke in (True, False):
            i = np.flatnonzero(present & (f["clutter_stroke"][:, k] == stroke))
            if not len(i):
                continue
            g = {name: f["clutter_" + name][i, k] for name in ("color", "x", "y", "angle", "length", "width", "squash")}
            dx, dy = _X - _column(g["x"]), _Y - _column(g["y"])
            if stroke:
                c, s = _unit(g["angle"])
                ex, ey = (_column(a * g["length"].astype(F)) for a in (c, s))
                t = np.clip((dx * ex + dy * ey) * _column(1 / g["length"] ** 2), 0, 1)
                dx, dy = dx - ex * t, dy - ey * t
                radius = 0.5 + 0.9 * g["width"]
            else:
                dy = dy * _column(g["squash"])
                radius = 1.2 + 2.0 * g["width"]
            cover = np.clip(_column(0.5 + radius) - np.sqrt(dx * dx + dy * dy), 0, 1)[:, None]
            image[i] += cover * (g["color"].astype(F)[:, :, None, None] - image[i])


def _draw_object(
    image: Array, f: dict[str, NDArray], lattice: NDArray[np.uint8]
) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Pinta sombra y objeto; devuelve su cobertura en una ventana y las filas y columnas de la ventana."""
    n = len(image)
    left, top = (np.clip(np.floor(f[a]) - WINDOW // 2, 0, SIZE - WINDOW).astype(np.intp) for a in ("x", "y"))
    rows, columns = top[:, None, None] + _WY, left[:, None, None] + _WX
    dx, dy = columns.astype(F) - _column(f["x"]), rows.astype(F) - _column(f["y"])
    c, s = (_column(a / f["radius"].astype(F)) for a in _unit(np.deg2rad(f["tilt"])))
    ox, oy = dx * c + dy * s, dy * c - dx * s
    ox *= np.where(f["flip"], F(-1), F(1))[:, None, None]
    alpha = np.empty((n, WINDOW, WINDOW), F)
    for k in np.unique(f["shape"]):
        i = np.flatnonzero(f["shape"] == k)
        distance = signed_distance(SHAPES[k], ox[i], oy[i])
        alpha[i] = np.clip(F(0.5) - distance * _column(f["radius"][i]), 0, 1)
    alpha *= f["object"].astype(F)[:, None, None]

    c, s = (_column(a) for a in _unit(f["surface_angle"]))
    rings = (f["texture"] == TEXTURES.index("aros"))[:, None, None]  # los aros son concéntricos con el objeto
    u = np.where(rings, dx, dx * c + dy * s + _column(f["surface_shift"] * f["surface_period"]))
    v = np.where(rings, dy, dy * c - dx * s)
    blend = _by_texture(f["texture"], u, v, f["surface_period"], lattice)[:, None]
    first, second = (f[name].astype(F)[:, :, None, None] for name in ("first", "second"))

    shadow = np.zeros_like(alpha)
    shadow[:, 2:, 2:] = alpha[:, :-2, :-2]
    batch, channel = np.arange(n)[:, None, None, None], np.arange(3)[None, :, None, None]
    where = (batch, channel, rows[:, None], columns[:, None])
    patch = image[where] * (F(1) - F(0.35) * shadow)[:, None]
    image[where] = patch + alpha[:, None] * (first + blend * (second - first) - patch)
    return alpha, rows, columns


def _draw_watermark(image: Array, f: dict[str, NDArray]) -> NDArray[np.bool_]:
    """Estampa una etiqueta abajo a la izquierda, con uno o dos píxeles de juego, y devuelve su caja."""
    box = np.zeros((len(image), SIZE, SIZE), bool)
    height, width = _GLYPH.shape
    for i in np.flatnonzero(f["watermark"]):
        y, x = int(f["mark_y"][i]), int(f["mark_x"][i])
        box[i, y - 1 : y + height + 1, x - 1 : x + width + 1] = True
        image[i, :, y - 1 : y + height + 1, x - 1 : x + width + 1] *= F(0.35)
        image[i, :, y : y + height, x : x + width][:, _GLYPH] = F(0.95)
    return box
