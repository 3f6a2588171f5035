"""El lector de imágenes: todo lo que sale de una cámara o de un editor llega como RGB derecho de 8 bits."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from convlab.data import photos
from convlab.data.photos import list_photos, load_photo, open_image, to_tensor
from convlab.errors import ConvlabError

RNG = np.random.default_rng(0)
UPRIGHT = RNG.integers(0, 256, (5, 8, 3), dtype=np.uint8)
# Cómo está guardada la imagen derecha para cada orientación EXIF.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def pixels(path: Path) -> np.ndarray:
    image = open_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("name", list_photos())
def test_photos_come_with_credit_and_licence(name: str) -> None:
    photo = load_photo(name)
    assert photo.image.mode == "RGB"
    assert min(photo.image.size) >= 300
    assert photo.title
    assert photo.credit
    assert photo.licence in {"CC0 1.0", "CC BY 2.0", "dominio público", "sin restricciones de derechos conocidas"}
    assert photo.source


def test_photo_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConvlabError, match="¿Quisiste decir «chelsea»"):
        load_photo("chelsae")
    monkeypatch.setattr(photos, "files", lambda package: tmp_path)
    with pytest.raises(ConvlabError, match=r"skimage instalado no trae «chelsea\.png»"):
        load_photo("chelsea")


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_png(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(path, exif=exif(orientation))
    np.testing.assert_array_equal(pixels(path), UPRIGHT)


def test_exif_orientation_jpeg_even_when_reduced(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    stored = np.zeros((200, 300, 3), np.uint8)
    stored[:, :150] = (255, 0, 0)  # mitad izquierda roja; girada 90° a la derecha, queda arriba
    Image.fromarray(stored).save(path, exif=exif(6), quality=95)
    small = open_image(path, max_side=30)
    assert small.size == (20, 30)
    assert small.getpixel((10, 5))[0] > 240
    assert max(small.getpixel((10, 25))) < 15


def test_broken_exif_does_not_spoil_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(UPRIGHT).save(path, exif=b"Exif\x00\x00basura que no es TIFF")
    np.testing.assert_array_equal(pixels(path), UPRIGHT)


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rgba = RNG.integers(0, 256, (6, 4, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    opacity = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(pixels(tmp_path / "a.png"), expected, atol=1)


def test_gray_with_alpha_and_invisible_black(tmp_path: Path) -> None:
    Image.merge("LA", [Image.new("L", (3, 2), 0), Image.new("L", (3, 2), 0)]).save(tmp_path / "a.png")
    assert (pixels(tmp_path / "a.png") == 255).all()


def test_palette_and_rgb_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=1)
    assert pixels(tmp_path / "p.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]
    palette.save(tmp_path / "opaca.png")
    assert pixels(tmp_path / "opaca.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    rgb = Image.new("RGB", (2, 1), (1, 2, 3))
    rgb.putpixel((1, 0), (9, 9, 9))
    rgb.save(tmp_path / "rgb.png", transparency=(9, 9, 9))
    assert pixels(tmp_path / "rgb.png").tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 30_000, 65_535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "g.png")
    assert pixels(tmp_path / "g.png")[0, :, 0].tolist() == [0, 1, 116, 255]
    Image.fromarray(values).save(tmp_path / "t.png", transparency=30_000)
    assert pixels(tmp_path / "t.png")[0, :, 0].tolist() == [0, 1, 255, 255]


def test_one_bit_and_gray(tmp_path: Path) -> None:
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    bits.save(tmp_path / "b.png")
    assert pixels(tmp_path / "b.png").tolist() == [[[0] * 3, [255] * 3]]
    Image.new("L", (1, 1), 77).save(tmp_path / "g.jpg")
    assert pixels(tmp_path / "g.jpg").tolist() == [[[77] * 3]]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)  # magenta + amarillo
    red, green, blue = pixels(tmp_path / "c.jpg")[8, 8].tolist()
    assert red > 240
    assert max(green, blue) < 20


@pytest.mark.parametrize(("mode", "name"), [("L", "a.png"), ("P", "b.png"), ("RGB", "c.jpg"), ("CMYK", "d.jpg")])
def test_fifty_megapixels(mode: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.new(mode, (10_000, 5_000)).save(path, compress_level=1)
    image = open_image(path)
    assert image.mode == "RGB"
    assert image.size == (photos.MAX_SIDE, photos.MAX_SIDE // 2)


def test_transparent_edges_keep_their_colour_when_reduced(tmp_path: Path) -> None:
    """Al promediar no debe contar el color de lo invisible: rojo y transparente-verde dan rosa, no pardo."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, ::2] = (255, 0, 0, 255)
    rgba[:, 1::2] = (0, 255, 0, 0)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    centre = open_image(tmp_path / "a.png", max_side=8).getpixel((4, 4))
    np.testing.assert_allclose(centre, (255, 127, 127), atol=6)


def png_claiming(width: int, height: int) -> bytes:
    """PNG diminuto que dice ser enorme."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Archivos que no se pueden leer, con lo que debe decir el error."""
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    noise.save(folder / "ok.jpg")
    noise.save(folder / "ok.png")
    noise.save(folder / "gif.gif")
    contents = {
        "texto.jpg": (b"Hola, no soy una foto.\n" * 20, "no es una imagen JPEG ni PNG"),
        "vacia.png": (b"", "está vacío"),
        "un_byte.png": (b"\x89", "no es una imagen JPEG ni PNG"),
        "cortada.jpg": ((folder / "ok.jpg").read_bytes()[:1500], "dañada o incompleta"),
        "cortada.png": ((folder / "ok.png").read_bytes()[:1500], "dañada o incompleta"),
        "gif.png": ((folder / "gif.gif").read_bytes(), "no es una imagen JPEG ni PNG"),
        "bomba.png": (png_claiming(12_000, 12_000), "pasa de 100 megapíxeles"),
        "bomba_grande.png": (png_claiming(60_000, 60_000), "pasa de 100 megapíxeles"),
        "sin_pixeles.png": (png_claiming(400, 400), "dañada o incompleta"),
    }
    cases = {}
    for name, (data, message) in contents.items():
        (folder / name).write_bytes(data)
        cases[name] = (folder / name, message)
    cases["carpeta"] = (folder, "es una carpeta")
    cases["ausente"] = (folder / "no_existe.png", "No existe el archivo")
    cases["nombre_largo"] = (folder / ("x" * 5000 + ".png"), "No se pudo leer")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "tuberia.png")
        cases["tuberia"] = (folder / "tuberia.png", "no es un archivo corriente")
    return cases


def test_unreadable_files_are_refused_in_one_spanish_line(tmp_path: Path) -> None:
    for name, (path, message) in bad_files(tmp_path).items():
        start = time.perf_counter()
        with pytest.raises(ConvlabError) as caught:
            open_image(path)
        assert message in str(caught.value), name
        assert "\n" not in str(caught.value), name
        assert time.perf_counter() - start < 2, name


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root lee cualquier archivo")
def test_forbidden_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (1, 1)).save(path)
    path.chmod(0)
    with pytest.raises(ConvlabError, match="permiso"):
        open_image(path)


def test_to_tensor_matches_the_usual_evaluation_transform() -> None:
    image = load_photo("chelsea").image
    usual = v2.Compose(
        [
            v2.Resize(256, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    before = image.tobytes()
    x = to_tensor(image)
    assert x.shape == (1, 3, 224, 224)
    assert x.dtype == torch.float32
    # El recorte usual se redondea a píxeles enteros: las imágenes difieren en menos de medio píxel.
    assert (x[0] - usual(image)).abs().mean() < 0.01
    assert image.tobytes() == before


def test_to_tensor_crop_keeps_the_centre_and_whole_keeps_everything() -> None:
    array = np.zeros((80, 160, 3), np.uint8)
    array[5:75, 45:115] = 255  # el cuadrado central de 70 px: 0.875 × 80
    image = Image.fromarray(array)
    cropped = to_tensor(image, 35)
    assert cropped[..., 2:-2, 2:-2].min() > 0.99
    assert cropped.min() > 0.85  # el filtro asoma apenas fuera del recorte
    whole = to_tensor(image, 80, crop=None)[0, 0]
    assert whole[40, 40] > 0.99
    assert whole[:, :20].max() < 0.01
    assert whole[:3].max() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 3)])
def test_to_tensor_accepts_extreme_shapes(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (51, 102, 204))
    for crop in (0.875, None):
        x = to_tensor(image, 32, crop=crop)
        torch.testing.assert_close(x.amax((0, 2, 3)), torch.tensor([0.2, 0.4, 0.8]))
        torch.testing.assert_close(x.amin((0, 2, 3)), torch.tensor([0.2, 0.4, 0.8]))


def test_to_tensor_rejects_nonsense() -> None:
    image = Image.new("RGB", (4, 4))
    with pytest.raises(ConvlabError, match="size=0"):
        to_tensor(image, 0)
    with pytest.raises(ConvlabError, match=r"crop=1\.5"):
        to_tensor(image, 4, crop=1.5)
