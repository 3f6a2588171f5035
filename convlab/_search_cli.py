"""Las órdenes `convlab index` y `convlab search`: una carpeta de imágenes y las que más se parecen a otra.

`convlab.cli` las registra. Como allí, torch se importa dentro, cuando los argumentos ya se han comprobado.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from convlab.errors import ConvlabError, unknown_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from convlab.retrieval.index import ImageIndex

_PICTURES = {".png", ".jpg", ".jpeg"}
_BATCH = 32
_METRICS = ("cosine", "l2")
_THUMBNAIL = 160

_Device = Annotated[str, typer.Option(metavar="NOMBRE", help="Dispositivo: auto, cpu, cuda o mps.")]
_Weights = Annotated[Path | None, typer.Option(metavar="ARCHIVO", help="Archivo local de pesos (safetensors o .pth).")]
_Download = Annotated[
    bool, typer.Option("--download", help="Permite descargar los pesos de una red de torchvision o timm.")
]


def index(
    folder: Annotated[Path, typer.Argument(metavar="CARPETA", help="Carpeta con imágenes JPEG o PNG.")],
    model: Annotated[
        str, typer.Option(metavar="NOMBRE", help="Red: una de «convlab models», o de torchvision o timm.")
    ] = "efficientnet_lite0",
    layer: Annotated[
        str | None, typer.Option(metavar="CAPA", help="Capa que se compara; si falta, la última convolucional.")
    ] = None,
    metric: Annotated[
        str, typer.Option(metavar="NOMBRE", help="cosine (similitud coseno) o l2 (distancia euclídea).")
    ] = "cosine",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="ARCHIVO", help="Índice de salida; si existe, se sustituye.")
    ] = Path("indice.safetensors"),
    device: _Device = "auto",
    weights: _Weights = None,
    download: _Download = False,
) -> None:
    """Crea un índice de las imágenes de una carpeta y de sus subcarpetas.

    Cada imagen se identifica por su ruta dentro de la carpeta. Las que no se puedan leer se saltan y se avisa.
    """
    if metric not in _METRICS:
        raise unknown_name("la métrica", metric, _METRICS)
    _check_output(output, {".safetensors"})
    paths = _pictures(folder)
    with Console(stderr=True).status("Cargando la red…") as status:
        net, side = _load(model, device, weights, download)
        filled, skipped = _fill(
            net, model, layer, metric, folder, paths, side, lambda done: status.update(f"{done} de {len(paths)}…")
        )
        filled.save(output)
    for message in skipped:
        typer.echo(f"Aviso: {message}", err=True)
    report = {"Imágenes": str(len(filled)), "Red": model, "Capa": str(filled.layer), "Índice": str(output)}
    for name, value in report.items():
        typer.echo(f"{name + ':':<14}{value}")


def search(
    image: Annotated[Path, typer.Argument(metavar="IMAGEN", help="Archivo JPEG o PNG.")],
    index: Annotated[Path, typer.Argument(metavar="ÍNDICE", help="Archivo creado con «convlab index».")],
    k: Annotated[int, typer.Option("-k", metavar="ENTERO", help="Cuántas imágenes se buscan.")] = 5,
    sheet: Annotated[
        Path | None, typer.Option(metavar="ARCHIVO", help="PNG con la imagen y sus vecinas; necesita --folder.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="CARPETA", help="Carpeta de las imágenes indexadas, para --sheet.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NOMBRE", help="Red con la que se hizo; si falta, la que dice el índice.")
    ] = None,
    device: _Device = "auto",
    weights: _Weights = None,
    download: _Download = False,
) -> None:
    """Enumera las imágenes de un índice que más se parecen a otra, de más a menos."""
    from convlab.data.photos import open_image, to_tensor

    if sheet is not None:
        if folder is None:
            raise ConvlabError("Para dibujar --sheet hay que decir con --folder dónde están las imágenes indexadas.")
        _check_output(sheet, {".png"})
    picture = open_image(image)
    with Console(stderr=True).status("Buscando…"):
        from convlab.retrieval.index import ImageIndex  # tarda segundos: ya se ve que está trabajando

        found = ImageIndex.load(index)
        name = model or found.name
        if found.layer is None or name is None:
            raise ConvlabError(f"«{index.name}» se hizo con incrustaciones, no con imágenes: búscalo desde Python.")
        net, side = _load(name, device, weights, download)
        side = found.input_size[0] if found.input_size else side
        values, ids = found.bind(net).query(to_tensor(picture, side).to(_device(net)), k)
        if sheet is not None and folder is not None:
            _draw(sheet, image, [folder / str(path) for path in ids[0]], values[0], found.metric)
    measure = "similitud" if found.metric == "cosine" else "distancia"
    typer.echo(f"{measure:>9}  imagen")
    for value, path in zip(values[0].tolist(), ids[0], strict=True):
        typer.echo(f"{value:>9.4f}  {path}")
    if sheet is not None:
        typer.echo(f"Hoja: {sheet}")


def _fill(
    net: nn.Module, name: str, layer: str | None, metric: str, folder: Path, paths: Sequence[Path], side: int,
    progress: Callable[[int], None],
) -> tuple[ImageIndex, list[str]]:  # fmt: skip
    """Llena el índice lote a lote, y devuelve también por qué se saltó cada imagen que no se pudo leer."""
    import torch

    from convlab.data.photos import open_image, to_tensor
    from convlab.hooks import last_conv_layer
    from convlab.models import list_models, model_info
    from convlab.retrieval.index import ImageIndex

    if layer is None and name in list_models():
        layer = model_info(name).gradcam_layer
    layer = layer or last_conv_layer(net, torch.zeros(1, 3, side, side, device=_device(net)))
    filled = ImageIndex(net, layer, metric="l2" if metric == "l2" else "cosine", name=name)
    skipped: list[str] = []
    for first in range(0, len(paths), _BATCH):
        batch, ids = [], []
        for path in paths[first : first + _BATCH]:
            try:
                batch.append(to_tensor(open_image(path), side))
                ids.append(path.relative_to(folder).as_posix())
            except ConvlabError as error:
                skipped.append(str(error))
        if batch:
            filled.add(torch.cat(batch).to(_device(net)), ids)
        progress(min(first + _BATCH, len(paths)))
    if not len(filled):
        raise ConvlabError(f"Ninguna de las {len(paths)} imágenes de «{folder}» se pudo leer. La primera: {skipped[0]}")
    return filled, skipped


def _load(name: str, device: str, weights: Path | None, download: bool) -> tuple[nn.Module, int]:
    """La red y el lado de las imágenes que espera."""
    from convlab.device import resolve_device
    from convlab.models import list_models, load_model, model_info

    net = load_model(name, device=resolve_device(device), weights=weights, download=download)
    return net, model_info(name).input_size if name in list_models() else int(getattr(net, "input_size", 224))


def _device(net: nn.Module) -> torch.device:
    return next(net.parameters()).device


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConvlabError(f"No existe la carpeta «{folder}»; revisa la ruta.")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES and p.is_file())
    if not paths:
        raise ConvlabError(f"En «{folder}» no hay ninguna imagen {', '.join(sorted(_PICTURES))}.")
    return paths


def _check_output(output: Path, suffixes: set[str]) -> None:
    """Rechaza un destino imposible antes de hacer esperar a nadie."""
    if output.is_dir():
        raise ConvlabError(f"«{output}» es una carpeta; da el nombre del archivo que se escribirá.")
    if output.suffix.lower() not in suffixes:
        raise ConvlabError(f"El archivo de salida debe acabar en {', '.join(suffixes)}; llegó «{output.name}».")
    if not output.parent.is_dir():
        raise ConvlabError(f"No existe la carpeta «{output.parent}» donde escribir; créala antes.")


def _draw(sheet: Path, image: Path, neighbors: Sequence[Path], values: Tensor, metric: str) -> None:
    import torch

    from convlab.models.weights import write_atomic
    from convlab.plots.common import STYLE
    from convlab.plots.retrieval import neighbors_grid

    sign = "" if metric == "cosine" else "d = "
    titles = ["consulta", *(f"{sign}{value:.3f}" for value in values.tolist())]
    found = torch.cat([_thumbnail(path) for path in neighbors])
    figure = neighbors_grid(_thumbnail(image), found[None], titles=[titles])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=STYLE["savefig.dpi"])
    try:
        write_atomic(sheet, buffer.getvalue())
    except OSError as error:
        raise ConvlabError(f"No se pudo escribir «{sheet}»; revisa los permisos y el espacio libre.") from error


def _thumbnail(path: Path) -> Tensor:
    """La imagen entera en un cuadrado, sin deformar y sobre blanco."""
    from PIL import ImageOps

    from convlab.data.photos import open_image, to_tensor

    size = (_THUMBNAIL, _THUMBNAIL)
    return to_tensor(ImageOps.pad(open_image(path), size, color="white"), _THUMBNAIL, crop=None)
