"""`convlab index` y `convlab search`: de una carpeta de imágenes a las que más se parecen."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from convlab._search_cli import index, search
from convlab._typer_es import SpanishCommand, SpanishGroup
from convlab.data.formas import formas
from convlab.data.photos import load_photo, open_image, to_tensor
from convlab.models import load_model
from convlab.models.mini import Mini
from convlab.models.weights import save_weights
from convlab.retrieval import cosine_similarity, features, top_k
from convlab.retrieval.index import ImageIndex

app = typer.Typer(cls=SpanishGroup, add_completion=False, rich_markup_mode="markdown")
app.command(cls=SpanishCommand)(index)
app.command(cls=SpanishCommand)(search)


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def succeed(*args: str | Path) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return result.stdout


def fail(*args: str | Path) -> str:
    result = run(*args)
    assert result.exit_code == 2, (args, result.output)
    assert result.stdout == ""
    assert re.fullmatch(r"Error: [^\n]+\n", result.stderr), result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cuarenta escenas, en dos subcarpetas, y algo que no es una imagen."""
    root = tmp_path_factory.mktemp("escenas")
    (root / "más").mkdir()
    for i, pixels in enumerate(formas(40, seed=3).images):
        Image.fromarray(pixels).save(root / ("más" if i % 2 else ".") / f"{i:02}.{'PNG' if i == 5 else 'png'}")
    (root / "notas.txt").write_text("no soy una imagen")
    return root


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("indices") / "indice.safetensors"
    text = succeed("index", folder, "--model", "mini", "-o", path)
    assert text == f"Imágenes:     40\nRed:          mini\nCapa:         block5\nÍndice:       {path}\n"
    return path


def rows(text: str) -> list[tuple[float, str]]:
    found = re.findall(r"^ +(-?[\d.]+)  (.+)$", text, re.M)
    return [(float(value), name) for value, name in found]


def test_search_lists_what_the_library_computes(folder: Path, built: Path) -> None:
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix.lower() == ".png")
    x = torch.cat([to_tensor(open_image(folder / name), 64) for name in names])
    vectors = features(load_model("mini"), [x], "block5")
    at = names.index("más/07.png")
    similarity = cosine_similarity(vectors[at : at + 1], vectors)
    near = top_k(similarity, 6)[0].tolist()
    text = succeed("search", folder / "más" / "07.png", built, "-k", "6", "--device", "cpu")
    assert text.startswith("similitud  imagen\n")
    assert [name for _, name in rows(text)] == [names[i] for i in near]
    assert rows(text)[0] == (1.0, "más/07.png")
    np.testing.assert_allclose([value for value, _ in rows(text)], similarity[0, near], atol=1e-4)


def test_index_reads_upper_case_and_every_subfolder(built: Path) -> None:
    names = ImageIndex.load(built).ids_
    assert len(names) == 40
    assert "más/05.PNG" in names
    assert "00.png" in names


def test_layer_and_metric_are_kept_and_change_the_answer(folder: Path, built: Path, tmp_path: Path) -> None:
    path = tmp_path / "otro.safetensors"
    text = succeed("index", folder, "--model", "mini", "--layer", "block3", "--metric", "l2", "-o", path)
    assert re.search(r"Capa: +block3\n", text)
    found = succeed("search", folder / "00.png", path)
    assert found.startswith("distancia  imagen\n")
    values = [value for value, _ in rows(found)]
    assert len(values) == 5
    assert values[0] == 0
    assert values == sorted(values)
    assert [n for _, n in rows(found)] != [n for _, n in rows(succeed("search", folder / "00.png", built))]


def test_photographs_with_the_default_network(tmp_path: Path) -> None:
    """Una foto oscurecida y reflejada encuentra antes a su original que a las demás."""
    for name in ("chelsea", "coffee", "rocket", "flower"):
        load_photo(name).image.save(tmp_path / f"{name}.jpg")
    path = tmp_path / "i.safetensors"
    assert "net.bn2" in succeed("index", tmp_path, "-o", path)
    changed = load_photo("coffee").image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda v: int(v * 0.7))
    changed.save(tmp_path / "consulta.png")
    found = rows(succeed("search", tmp_path / "consulta.png", path, "-k", "4"))
    assert found[0][1] == "coffee.jpg"
    assert found[0][0] > found[1][0] + 0.2


def test_sheet_shows_the_query_and_its_neighbours(folder: Path, built: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "hoja.png"
    text = succeed("search", folder / "00.png", built, "-k", "3", "--sheet", sheet, "--folder", folder)
    assert text.endswith(f"Hoja: {sheet}\n")
    width, height = Image.open(sheet).size
    assert width > 2.5 * height > 500


def test_unreadable_pictures_are_skipped_and_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes((folder / "00.png").read_bytes())
    (tmp_path / "b.png").write_bytes((folder / "00.png").read_bytes()[:500])
    (tmp_path / "c.jpg").write_text("no soy una foto")
    result = run("index", tmp_path, "--model", "mini", "-o", tmp_path / "i.safetensors")
    assert result.exit_code == 0
    assert result.stderr.count("Aviso: ") == 2
    assert "b.png» está dañada" in result.stderr
    assert "c.jpg» no es una imagen" in result.stderr
    assert ImageIndex.load(tmp_path / "i.safetensors").ids_ == ["a.png"]
    (tmp_path / "a.png").unlink()
    (tmp_path / "i.safetensors").unlink()
    assert "Ninguna de las 2 imágenes" in fail("index", tmp_path, "--model", "mini", "-o", tmp_path / "i.safetensors")
    assert not (tmp_path / "i.safetensors").exists()


def test_own_weights_must_be_the_same_to_search(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights, path = tmp_path / "propia.safetensors", tmp_path / "i.safetensors"
    save_weights(Mini().state_dict(), weights, {"name": "propia"})
    succeed("index", folder, "--model", "mini", "--weights", weights, "-o", path)
    assert rows(succeed("search", folder / "00.png", path, "--weights", weights))[0] == (1.0, "00.png")
    assert "otra red u otros pesos" in fail("search", folder / "00.png", path)


def test_external_network_finds_its_own_layer(folder: Path, tmp_path: Path) -> None:
    import torchvision.models as tv

    torch.manual_seed(0)
    torch.save(tv.resnet18().state_dict(), tmp_path / "w.pth")
    (tmp_path / "pocas").mkdir()
    for name in ("00.png", "02.png"):
        (tmp_path / "pocas" / name).write_bytes((folder / name).read_bytes())
    path, extra = tmp_path / "i.safetensors", ("--weights", tmp_path / "w.pth")
    assert "net.layer4" in succeed("index", tmp_path / "pocas", "--model", "resnet18", *extra, "-o", path)
    assert rows(succeed("search", folder / "02.png", path, "-k", "1", *extra)) == [(1.0, "02.png")]


def test_an_index_made_in_python_is_searched_at_its_own_size(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "i.safetensors"
    x = torch.cat([to_tensor(open_image(folder / name), 96) for name in ("00.png", "02.png")])
    ImageIndex(load_model("mini"), "block4").fit(x, ["00.png", "02.png"]).save(path)
    assert "¿Quisiste decir «mini»" in fail("search", folder / "02.png", path, "-k", "1")  # la clase se llama Mini
    found = succeed("search", folder / "02.png", path, "-k", "1", "--model", "mini")
    assert rows(found) == [(1.0, "02.png")]
    ImageIndex().fit(torch.rand(3, 4)).save(path)
    assert "se hizo con incrustaciones" in fail("search", folder / "02.png", path)


def test_bad_input_is_one_spanish_line_and_leaves_nothing(folder: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "vacia").mkdir()
    (tmp_path / "roto.safetensors").write_bytes(built.read_bytes()[:-10])
    before = sorted(tmp_path.rglob("*"))
    out, sheet, picture = tmp_path / "i.safetensors", tmp_path / "h.png", folder / "00.png"
    cases: list[tuple[list[str | Path], str]] = [
        (["index", tmp_path / "no", "-o", out], "No existe la carpeta"),
        (["index", picture, "-o", out], "No existe la carpeta"),
        (["index", tmp_path / "vacia", "-o", out], "no hay ninguna imagen .jpeg, .jpg, .png"),
        (["index", folder, "-o", tmp_path / "i.npz"], "debe acabar en .safetensors"),
        (["index", folder, "-o", tmp_path / "vacia"], "es una carpeta"),
        (["index", folder, "-o", tmp_path / "nada" / "i.safetensors"], "No existe la carpeta"),
        (["index", folder, "-o", out, "--metric", "cosin"], "¿Quisiste decir «cosine»"),
        (["index", folder, "-o", out, "--model", "mni"], "¿Quisiste decir «mini»"),
        (["index", folder, "-o", out, "--model", "mini", "--layer", "blok5"], "¿Quisiste decir «block5»"),
        (["index", folder, "-o", out, "--device", "gpu"], "No existe el dispositivo «gpu»"),
        (["search", tmp_path / "no.png", built], "No existe el archivo"),
        (["search", picture, tmp_path / "no.safetensors"], "No se puede leer el índice"),
        (["search", picture, tmp_path / "roto.safetensors"], "dañado o incompleto"),
        (["search", picture, picture], "no es un índice de convlab"),
        (["search", picture, built, "-k", "41"], "entre 1 y 40"),
        (["search", picture, built, "-k", "0"], "entre 1 y 40"),
        (["search", picture, built, "--model", "mini-textura"], "otra red u otros pesos"),
        (["search", picture, built, "--sheet", sheet], "--folder"),
        (["search", picture, built, "--sheet", tmp_path / "h.gif", "--folder", folder], "debe acabar en .png"),
        (["search", picture, built, "--sheet", sheet, "--folder", tmp_path], "No existe el archivo"),
        (["search", picture], "Falta el argumento ÍNDICE"),
        (["search", picture, built, "-k", "tres"], "se esperaba un entero"),
    ]
    for args, message in cases:
        assert message in fail(*args), args
        assert sorted(tmp_path.rglob("*")) == before, args


def test_failed_writes_keep_the_previous_files(
    folder: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, sheet = tmp_path / "i.safetensors", tmp_path / "h.png"
    out.write_bytes(b"lo de antes")
    sheet.write_bytes(b"lo de antes")

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    assert "No se pudo escribir" in fail("index", folder, "--model", "mini", "-o", out)
    assert "No se pudo escribir" in fail("search", folder / "00.png", built, "--sheet", sheet, "--folder", folder)
    assert out.read_bytes() == sheet.read_bytes() == b"lo de antes"
    assert sorted(tmp_path.iterdir()) == [sheet, out]


def test_help_is_in_spanish_and_does_not_wait_for_torch() -> None:
    for command in ("index", "search"):
        page = succeed(command, "--help")
        assert "Uso:" in page
        assert not re.search(r"Usage|Options|Arguments|Commands|Show this|default|required|<\w+>", page)
    code = "import sys, convlab._search_cli; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
