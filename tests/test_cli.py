"""La línea de órdenes, de la imagen al mapa, y todo lo que puede llegarle mal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models as tv
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from convlab import __version__, training
from convlab.cli import app, find_class
from convlab.data.photos import load_photo, to_tensor
from convlab.errors import ConvlabError
from convlab.gradcam import grad_cam, grad_cam_plus_plus, overlay
from convlab.models import list_models, load_model
from convlab.models.imagenet import IMAGENET_CLASSES, IMAGENET_CLASSES_ES
from convlab.models.mini import Mini
from convlab.models.weights import save_weights

COMMAND = [sys.executable, "-m", "convlab.cli"]


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def succeed(*args: str | Path) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return result.stdout


def fail(*args: str | Path) -> str:
    """Ejecuta algo que debe fallar con una sola línea en stderr y código 2, y la devuelve."""
    result = run(*args)
    assert result.exit_code == 2, (args, result.output)
    assert result.stdout == ""
    assert re.fullmatch(r"Error: [^\n]+\n", result.stderr), result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def chelsea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fotos") / "chelsea.png"
    load_photo("chelsea").image.save(path)
    return path


@pytest.fixture(scope="module")
def mini_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Una mini con pesos al azar pero que ve algo: basta para recorrer la orden."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("pesos") / "propia.safetensors"
    save_weights(Mini().state_dict(), path, {"name": "propia"})
    return path


def array(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_explain_writes_the_overlay_the_library_computes(chelsea: Path, tmp_path: Path) -> None:
    out = tmp_path / "mapa.png"
    text = succeed("explain", chelsea, "--device", "cpu", "-o", out, "--alpha", "0.4")
    assert re.search(r"Clase: +gato egipcio \(Egyptian cat, 285\)", text)
    assert float(re.search(r"Probabilidad: +([\d.]+) %", text)[1]) == pytest.approx(77, abs=3)
    assert re.search(r"Capa: +net\.bn2\n", text)
    assert re.search(r"Tiempo: +\d+\.\d\d s", text)
    image = load_photo("chelsea").image
    heat = grad_cam(load_model("efficientnet_lite0"), to_tensor(image, crop=None), 285, "net.bn2")
    heat = torch.nn.functional.interpolate(heat[None], (300, 451), mode="bilinear")[0]
    pixels = torch.from_numpy(np.array(image)).movedim(-1, 0)[None] / 255
    expected = overlay(pixels, heat, 0.4)[0].movedim(0, -1) * 255
    assert Image.open(out).size == image.size
    np.testing.assert_allclose(array(out), expected.numpy(), atol=1)


def test_map_covers_the_picture_where_the_object_is(tmp_path: Path) -> None:
    """Una taza en una esquina de un cuadro alargado: el mapa, en esa esquina."""
    canvas = Image.new("RGB", (900, 400), (128, 128, 128))
    canvas.paste(load_photo("coffee").image.resize((300, 200)), (600, 200))
    canvas.save(tmp_path / "a.png")
    succeed("explain", tmp_path / "a.png", "--target", "café expreso", "--alpha", "1", "-o", tmp_path / "m.png")
    heat = array(tmp_path / "m.png").sum(-1)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 200 <= row < 400
    assert 600 <= column < 900
    assert heat[200:, 600:].mean() > 3 * heat[:, :400].mean()


def test_exif_rotation_gives_the_map_of_the_upright_picture(tmp_path: Path) -> None:
    upright = load_photo("coffee").image
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.save(tmp_path / "derecha.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "girada.png", exif=exif)
    for name in ("derecha", "girada"):
        succeed("explain", tmp_path / f"{name}.png", "-o", tmp_path / f"mapa-{name}.png")
    assert (tmp_path / "mapa-derecha.png").read_bytes() == (tmp_path / "mapa-girada.png").read_bytes()
    assert Image.open(tmp_path / "mapa-girada.png").size == upright.size


@pytest.mark.parametrize("target", ["281", "tabby", "Tabby ", "gato atigrado", "GATO ATIGRADO"])
def test_target_by_number_or_name(target: str, chelsea: Path, tmp_path: Path) -> None:
    text = succeed("explain", chelsea, "--target", target, "-o", tmp_path / "m.png")
    assert "gato atigrado (tabby, 281)" in text


def test_methods_and_layers_change_the_map(chelsea: Path, tmp_path: Path) -> None:
    options = {
        "base": [],
        "capa": ["--layer", "net.blocks.3"],
        "mas": ["--method", "grad-cam++"],
        "guiada": ["--method", "guided-grad-cam"],
        "oclusion": ["--method", "occlusion"],
    }
    images = {}
    for name, extra in options.items():
        text = succeed("explain", chelsea, *extra, "-o", tmp_path / f"{name}.png")
        layers = {"capa": "net.blocks.3", "oclusion": None}
        layer = layers.get(name, "net.bn2")
        assert f"Capa:         {layer}\n" in text if layer else "Capa:" not in text
        images[name] = array(tmp_path / f"{name}.png")
    names = list(images)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(images[a] - images[b]).mean() > 0.5, (a, b)
    model, x = load_model("efficientnet_lite0"), to_tensor(load_photo("chelsea").image, crop=None)
    heat = grad_cam_plus_plus(model, x, 285, "net.bn2")
    heat = torch.nn.functional.interpolate(heat[None], (300, 451), mode="bilinear")[0]
    pixels = torch.from_numpy(np.array(load_photo("chelsea").image)).movedim(-1, 0)[None] / 255
    np.testing.assert_allclose(images["mas"], (overlay(pixels, heat, 0.5)[0].movedim(0, -1) * 255).numpy(), atol=1)


def odd_images(folder: Path) -> dict[str, Path]:
    image = load_photo("coffee").image.resize((90, 60))
    wide = np.linspace(0, 65535, 90 * 60).reshape(60, 90).astype(np.uint16)
    pictures = {
        "gris.png": image.convert("L"),
        "alfa.png": image.convert("RGBA"),
        "paleta.png": image.convert("P"),
        "cmyk.jpg": image.convert("CMYK"),
        "16bits.png": Image.fromarray(wide),
        "un_pixel.png": Image.new("RGB", (1, 1), "red"),
        "tira.jpg": Image.new("RGB", (1, 300), "blue"),
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    return {name: folder / name for name in pictures}


def test_odd_images_are_explained(mini_weights: Path, tmp_path: Path) -> None:
    for name, path in odd_images(tmp_path).items():
        out = tmp_path / f"mapa-{name}"
        succeed("explain", path, "--model", "mini", "--weights", mini_weights, "-o", out)
        assert Image.open(out).size == Image.open(path).size
        assert Image.open(out).format == ("JPEG" if name.endswith("jpg") else "PNG")


def test_fifty_megapixels(mini_weights: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8000, 6250), (90, 160, 30)).save(tmp_path / "a.jpg")
    out = tmp_path / "m.jpg"
    succeed("explain", tmp_path / "a.jpg", "--model", "mini", "--weights", mini_weights, "-o", out)
    assert Image.open(out).size == (4096, 3200)


def test_external_network_with_local_weights(chelsea: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(tv.resnet18().state_dict(), tmp_path / "w.pth")
    text = succeed("explain", chelsea, "--model", "resnet18", "--weights", tmp_path / "w.pth", "-o", tmp_path / "m.png")
    assert "net.layer4" in text
    assert (tmp_path / "m.png").exists()


def test_empty_map_is_said(tmp_path: Path, chelsea: Path) -> None:
    torch.manual_seed(0)
    net = Mini()
    with torch.no_grad():
        net.fc.weight.fill_(-1)  # toda activación resta: Grad-CAM es cero en todas partes
    save_weights(net.state_dict(), tmp_path / "w.safetensors", {})
    text = succeed(
        "explain", chelsea, "--model", "mini", "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "m.png"
    )
    assert "el mapa no tiene nada positivo" in text


def test_bad_input_is_one_spanish_line_and_leaves_nothing(chelsea: Path, mini_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "texto.jpg").write_text("no soy una foto\n")
    (tmp_path / "vacia.png").touch()
    (tmp_path / "cortada.png").write_bytes(chelsea.read_bytes()[:5000])
    (tmp_path / "carpeta.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "m.png"
    cases: list[tuple[list[str | Path], str]] = [
        ([tmp_path / "texto.jpg", "-o", out], "no es una imagen JPEG ni PNG"),
        ([tmp_path / "vacia.png", "-o", out], "está vacío"),
        ([tmp_path / "cortada.png", "-o", out], "dañada o incompleta"),
        ([tmp_path / "no.png", "-o", out], "No existe el archivo"),
        ([tmp_path, "-o", out], "es una carpeta"),
        ([chelsea, "-o", tmp_path / "carpeta.png"], "es una carpeta"),
        ([chelsea, "-o", tmp_path / "m.tiff"], "debe acabar en .png, .jpg, .jpeg"),
        ([chelsea, "-o", tmp_path / "nada" / "m.png"], "No existe la carpeta"),
        ([chelsea, "-o", chelsea], "sustituiría a la imagen de partida"),
        ([chelsea, "-o", out, "--alpha", "1.5"], "entre 0 y 1"),
        ([chelsea, "-o", out, "--alpha", "nan"], "entre 0 y 1"),
        ([chelsea, "-o", out, "--method", "gradcam"], "¿Quisiste decir «grad-cam»"),
        ([chelsea, "-o", out, "--model", "mni"], "¿Quisiste decir «mini»"),
        ([chelsea, "-o", out, "--model", "resnet50"], "no se descarga sin permiso"),
        ([chelsea, "-o", out, "--model", "mini", "--weights", tmp_path / "texto.jpg"], "safetensors"),
        ([chelsea, "-o", out, "--target", "gato egipico"], "¿Quisiste decir «gato egipcio»"),
        ([chelsea, "-o", out, "--target", "1000"], "La clase 1000 no existe: la red tiene 1000, de 0 a 999"),
        ([chelsea, "-o", out, "--target", "-1"], "La clase -1 no existe"),
        ([chelsea, "-o", out, "--target", "cardigan"], "264 (Cardigan) o 474 (cardigan)"),
        ([chelsea, "-o", out, "--layer", "net.bn3"], "¿Quisiste decir «net.bn2»"),
        ([chelsea, "-o", out, "--layer", "net.classifier"], "Grad-CAM necesita mapas"),
        ([chelsea, "-o", out, "--device", "gpu"], "No existe el dispositivo «gpu»"),
    ]
    for args, message in cases:
        assert message in fail("explain", *args), args
        assert sorted(tmp_path.rglob("*")) == before, args


def test_usage_errors_are_in_spanish() -> None:
    assert "Falta el argumento IMAGEN. Consulta «" in fail("explain")
    assert "Falta el argumento RED" in fail("train")
    assert "No existe la orden «explian». ¿Quisiste decir «explain»?" in fail("explian")
    assert "No existe la opción «--metod». ¿Quisiste decir «--method»" in fail("explain", "a.png", "--metod", "x")
    assert "No existe la opción «--verison»" in fail("--verison")
    assert "se esperaba un número" in fail("explain", "a.png", "--alpha", "medio")
    assert "se esperaba un entero" in fail("train", "mini", "--epochs", "2.5")
    assert "La opción -o necesita un valor" in fail("explain", "a.png", "-o")
    assert "La opción --download no lleva valor" in fail("explain", "a.png", "--download=si")
    assert "Sobra «b.png»" in fail("explain", "a.png", "b.png")


def test_failed_write_keeps_the_previous_file(
    chelsea: Path, mini_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.png"
    out.write_bytes(b"lo de antes")

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    message = fail("explain", chelsea, "--model", "mini", "--weights", mini_weights, "-o", out)
    assert "No se pudo escribir" in message
    assert out.read_bytes() == b"lo de antes"
    assert list(tmp_path.iterdir()) == [out]
    monkeypatch.undo()
    succeed("explain", chelsea, "--model", "mini", "--weights", mini_weights, "-o", out)
    assert Image.open(out).size == (451, 300)


def test_every_spanish_name_finds_its_class() -> None:
    spanish = [IMAGENET_CLASSES_ES.get(i) for i in range(1000)]
    for index, name in IMAGENET_CLASSES_ES.items():
        assert find_class(name, IMAGENET_CLASSES, spanish) == index
    assert find_class("cafe expreso", IMAGENET_CLASSES, spanish) == 967
    with pytest.raises(ConvlabError, match="varias clases"):
        find_class("a", ["A", "a"], [None, None])


def test_help_is_in_spanish_throughout() -> None:
    pages = [succeed(*args) for args in ([], ["--help"], ["explain", "--help"], ["train", "--help"])]
    assert pages[0].strip() == pages[1].strip()
    for page in pages:
        assert "Uso:" in page
        assert "Muestra esta ayuda y termina." in page
        assert not re.search(
            r"Usage|Options|Arguments|Commands|OPTIONS|COMMAND|ARGS|Show this|default|required|<\w+>", page
        )
    assert "Órdenes" in pages[0]
    assert "[obligatorio]" in pages[2]
    assert "si existe, se sustituye" in re.sub(r"[\s│]+", " ", pages[2])


def test_help_leaves_other_typer_programs_alone() -> None:
    succeed("--help")
    other = typer.Typer()
    other.command()(lambda: None)
    assert "Options" in CliRunner().invoke(other, ["--help"]).stdout


def test_version_and_models() -> None:
    assert succeed("--version") == f"convlab {__version__}\n"
    table = succeed("models")
    assert all(name in table for name in list_models())
    assert "net.bn2" in table


def test_train_passes_its_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def record(name: str, **options: Any) -> Path:
        calls.append((name, options))
        return options["out"] / f"{name}.safetensors"

    monkeypatch.setattr(training, "train", record)
    text = succeed("train", "mini", "--epochs", "2", "--seed", "7", "--device", "cpu", "--out", tmp_path)
    assert calls == [("mini", {"epochs": 2, "seed": 7, "device": "cpu", "out": tmp_path})]
    assert text == f"Pesos: {tmp_path / 'mini.safetensors'}\n"


def test_train_rejects_an_unknown_recipe(tmp_path: Path) -> None:
    assert "¿Quisiste decir «mini»" in fail("train", "mnii", "--out", tmp_path)


def test_train_into_an_impossible_folder(tmp_path: Path) -> None:
    (tmp_path / "archivo").touch()
    assert "No se pudo escribir en «" in fail("train", "mini", "--out", tmp_path / "archivo")


def test_interrupting_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    result = run("train", "mini")
    assert result.exit_code == 130
    assert result.output == ""


def test_as_a_real_process(tmp_path: Path) -> None:
    (tmp_path / "texto.jpg").write_text("no soy una foto\n")
    done = subprocess.run(
        [*COMMAND, "explain", "texto.jpg", "-o", "m.png"],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf8", check=False,
        env={"PYTHONUTF8": "1", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    expected = "Error: «texto.jpg» no es una imagen JPEG ni PNG, diga lo que diga su extensión.\n"
    assert done.stderr == expected
    assert [p.name for p in tmp_path.iterdir()] == ["texto.jpg"]


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from convlab.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['explain', '--help']).exit_code == 0; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
