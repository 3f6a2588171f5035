"""Fotografías que ya vienen instaladas con otras bibliotecas, y el lector de las que traiga cada quien.

Ninguna se copia en este proyecto ni se descarga: se leen de donde scikit-image, scikit-learn y matplotlib
las instalan. Solo figuran las que tienen una licencia declarada, para que el curso pueda publicarlas.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from convlab.errors import ConvlabError, unknown_name

if TYPE_CHECKING:
    import torch

FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 100_000_000
MAX_SIDE = 4096
CROP = 0.875  # fracción central que se usa al evaluar en ImageNet

_CC0 = "CC0 1.0"
_PUBLIC = "dominio público"
_UNRESTRICTED = "sin restricciones de derechos conocidas"


@dataclass(frozen=True)
class Photo:
    """Una fotografía con lo que hay que decir al publicarla.

    Attributes
    ----------
    name
        Nombre con el que se pide.
    image
        Imagen RGB de Pillow, derecha.
    title, credit, licence, source
        Título, autoría, licencia y procedencia, en español.
    """

    name: str
    image: Image.Image
    title: str
    credit: str
    licence: str
    source: str


@dataclass(frozen=True)
class _Entry:
    package: str
    file: str
    title: str
    credit: str
    licence: str
    source: str


# Autoría, licencia y procedencia según la documentación de cada paquete: `skimage.data`, el README.txt de
# `sklearn.datasets.images` (que nombra a danielbuechele en las dos, pero enlaza la flor a vultilion) y el
# comentario del propio JPEG de matplotlib.
_ENTRIES = {
    "astronaut": _Entry(
        "skimage", "data/astronaut.png", "La astronauta Eileen Collins", "NASA", _PUBLIC,
        "NASA Great Images, https://flic.kr/p/r9qvLn",
    ),
    "brick": _Entry(
        "skimage", "data/brick.png", "Pared de ladrillo", "CC0Textures", _CC0,
        "https://cc0textures.com/view.php?tex=Bricks25",
    ),
    "camera": _Entry(
        "skimage", "data/camera.png", "Fotógrafo con su trípode", "Lav Varshney", _CC0, "scikit-image"
    ),
    "chelsea": _Entry(
        "skimage", "data/chelsea.png", "La gata Chelsea", "Stefan van der Walt", _CC0, "scikit-image"
    ),
    "china": _Entry(
        "sklearn", "datasets/images/china.jpg", "Pabellón en China", "danielbuechele", "CC BY 2.0",
        "https://www.flickr.com/photos/danielbuechele/6061409035/",
    ),
    "clock": _Entry(
        "skimage", "data/clock_motion.png", "Reloj de pared movido", "Stefan van der Walt", _PUBLIC,
        "scikit-image",
    ),
    "coffee": _Entry(
        "skimage", "data/coffee.png", "Taza de café", "Rachel Michetti; cortesía de Pikolo Espresso Bar",
        _CC0, "scikit-image",
    ),
    "coins": _Entry(
        "skimage", "data/coins.png", "Monedas griegas de Pompeya", "Brooklyn Museum", _UNRESTRICTED,
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
    ),
    "flower": _Entry(
        "sklearn", "datasets/images/flower.jpg", "Flor", "vultilion", "CC BY 2.0",
        "https://www.flickr.com/photos/vultilion/6056698931/",
    ),
    "grace_hopper": _Entry(
        "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "La contralmirante Grace Hopper",
        "Armada de los Estados Unidos", _PUBLIC, "https://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg",
    ),
    "grass": _Entry(
        "skimage", "data/grass.png", "Hierba", "linolafett", _CC0,
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    "gravel": _Entry(
        "skimage", "data/gravel.png", "Grava", "CC0Textures", _CC0,
        "https://cc0textures.com/view.php?tex=Gravel04",
    ),
    "hubble": _Entry(
        "skimage", "data/hubble_deep_field.jpg", "Campo profundo extremo del Hubble", "NASA", _PUBLIC,
        "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    "retina": _Entry(
        "skimage", "data/retina.jpg", "Retina humana", "Mikael Häggström", _CC0,
        "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
    ),
    "rocket": _Entry(
        "skimage", "data/rocket.jpg", "Despegue de un Falcon 9 con el satélite DSCOVR", "SpaceX", _PUBLIC,
        "https://www.flickr.com/photos/spacexphotos/16511594820/",
    ),
}  # fmt: skip


def list_photos() -> list[str]:
    """Devuelve los nombres de las fotografías disponibles, en orden alfabético.

    Examples
    --------
    >>> "chelsea" in list_photos()
    True
    """
    return sorted(_ENTRIES)


def load_photo(name: str) -> Photo:
    """Carga una de las fotografías instaladas.

    Parameters
    ----------
    name
        Uno de `list_photos`.

    Raises
    ------
    ConvlabError
        Si el nombre no existe o el paquete instalado no trae el archivo.

    Examples
    --------
    >>> photo = load_photo("coffee")
    >>> photo.title, photo.licence, photo.image.size
    ('Taza de café', 'CC0 1.0', (600, 400))
    """
    if name not in _ENTRIES:
        raise unknown_name("la fotografía", name, list_photos())
    entry = _ENTRIES[name]
    # Por ruta y no con `skimage.data.*`, que intentaría descargar un archivo ausente o distinto.
    path = Path(str(files(entry.package).joinpath(entry.file)))
    if not path.is_file():
        raise ConvlabError(
            f"El paquete {entry.package} instalado no trae «{path.name}»; reinstálalo o elige otra foto."
        )
    return Photo(name, open_image(path), entry.title, entry.credit, entry.licence, entry.source)


def open_image(path: str | Path, *, max_side: int = MAX_SIDE) -> Image.Image:
    """Lee un JPEG o PNG como imagen RGB derecha, venga como venga.

    Aplica la rotación que indica EXIF, compone la transparencia sobre blanco y lleva a 8 bits por canal los
    grises, las paletas, CMYK y los 16 bits. Los perfiles de color se ignoran, como al entrenar en ImageNet.
    La memoria está acotada: más de `MAX_PIXELS` (100 megapíxeles) se rechaza sin descodificar, y una imagen
    cuyo lado mayor pase de `max_side` se entrega reducida a ese lado, con sus proporciones.

    Parameters
    ----------
    path
        Ruta del archivo.
    max_side
        Mayor lado de la imagen devuelta, en píxeles.

    Returns
    -------
    PIL.Image.Image
        Imagen en modo RGB.

    Raises
    ------
    ConvlabError
        Si el archivo falta, está vacío o truncado, no es una imagen admitida o es demasiado grande.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gray = Path(folder, "gris.png")
    ...     Image.new("L", (3, 2), 128).save(gray)
    ...     image = open_image(gray)
    >>> image.mode, image.size, image.getpixel((0, 0))
    ('RGB', (3, 2), (128, 128, 128))
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ConvlabError(f"«{path}» es una carpeta; se esperaba un archivo de imagen JPEG o PNG.")
        if not path.exists():
            raise ConvlabError(f"No existe el archivo «{path}»; revisa la ruta.")
        if not path.is_file():
            raise ConvlabError(f"«{path}» no es un archivo corriente; se esperaba una imagen JPEG o PNG.")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise ConvlabError(f"El archivo «{path}» está vacío; se esperaba una imagen JPEG o PNG.")
            stream.seek(0)
            return _decode(stream, path, max_side)
    except PermissionError as error:
        raise ConvlabError(f"No hay permiso para leer «{path}».") from error
    except OSError as error:
        raise ConvlabError(f"No se pudo leer «{path}»; comprueba que el disco y la ruta responden.") from error


def to_tensor(image: Image.Image, size: int = 224, *, crop: float | None = CROP) -> torch.Tensor:
    """Convierte una imagen en el lote de un elemento que recibe una red.

    Con `crop` hace lo que se hace al evaluar en ImageNet: el lado menor se lleva a ``size / crop`` píxeles
    (bicúbico, con filtro antialias) y se recorta el cuadrado central. Con ``crop=None`` estira la imagen
    **entera** a un cuadrado, sin recortar: así un mapa de ``size`` × ``size`` píxeles cubre toda la imagen.

    Parameters
    ----------
    image
        Imagen de Pillow, en cualquier tamaño; si no es RGB se convierte.
    size
        Lado del resultado, en píxeles.
    crop
        Fracción central que se conserva, en (0, 1], o ``None`` para no recortar.

    Returns
    -------
    torch.Tensor
        Tensor float32 ``(1, 3, size, size)`` con valores en [0, 1].

    Raises
    ------
    ConvlabError
        Si `size` o `crop` están fuera de rango.

    Examples
    --------
    >>> x = to_tensor(load_photo("chelsea").image, 64)
    >>> x.shape, bool(0 <= x.min() and x.max() <= 1)
    (torch.Size([1, 3, 64, 64]), True)
    """
    import torch  # la línea de comandos valida imágenes antes de esperar a que torch arranque

    if size < 1:
        raise ConvlabError(f"El lado debe ser un entero positivo; llegó size={size}.")
    if crop is not None and not 0 < crop <= 1:
        raise ConvlabError(f"El recorte debe estar en (0, 1] o ser None; llegó crop={crop}.")
    image = image.convert("RGB")
    if crop is None:
        box = None
    else:
        # Recorta y reduce en un paso (la caja admite fracciones): una tira de 1 × 10000 px no se agranda.
        side = min(image.size) * crop
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    array = np.asarray(square, dtype=np.float32) / 255
    return torch.from_numpy(array.transpose(2, 0, 1).copy())[None]


def _decode(stream: BinaryIO, path: Path, max_side: int) -> Image.Image:
    """Descodifica, convierte, reduce y endereza; todo fallo de Pillow acaba en un mensaje en español."""
    too_large = ConvlabError(
        f"«{path}» pasa de {MAX_PIXELS // 10**6} megapíxeles, el máximo admitido; redúcela antes de usarla."
    )
    try:
        with warnings.catch_warnings():
            # Pillow avisa de las bombas en su propio umbral; aquí manda MAX_PIXELS. Los demás avisos (EXIF
            # dañado…) no impiden leer los píxeles.
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(stream, formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise too_large
            image.draft("RGB", (max_side, max_side))  # solo JPEG: descodifica ya a 1/2, 1/4 o 1/8
            image.load()
    except ConvlabError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large from error
    except UnidentifiedImageError as error:
        raise ConvlabError(f"«{path}» no es una imagen JPEG ni PNG, diga lo que diga su extensión.") from error
    except Exception as error:  # un archivo dañado hace fallar a los descodificadores de mil maneras
        raise ConvlabError(f"La imagen «{path}» está dañada o incompleta y no se puede leer.") from error
    return _orient(_to_rgb(image, max_side), _orientation(image))


def _to_rgb(image: Image.Image, max_side: int) -> Image.Image:
    """Lleva cualquier modo a RGB de 8 bits, sobre blanco y sin pasar de `max_side`."""
    if image.mode.startswith("I"):
        image = _from_16_bits(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Escala grises de 16 bits a 8: `convert` los recortaría a 255 y casi todo saldría blanco."""
    array = np.asarray(image)
    gray = Image.fromarray((array // 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is not None:
        gray.putalpha(Image.fromarray(np.where(array == transparent, 0, 255).astype(np.uint8)))
    return gray


def _orientation(image: Image.Image) -> int:
    """Orientación EXIF (1 a 8). Va después de `load`: en un PNG puede venir detrás de los píxeles."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # un EXIF ilegible no invalida los píxeles: se dejan como están guardados
        return 1


def _orient(image: Image.Image, orientation: int) -> Image.Image:
    image.info = {}  # fuera el EXIF del archivo, que puede ser ilegible: cuenta solo la orientación ya leída
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)
