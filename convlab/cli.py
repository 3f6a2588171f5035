"""La línea de órdenes: `convlab explain`, `index`, `search`, `models`, `train` y `check`.

torch tarda segundos en arrancar: se importa dentro de cada orden, cuando los argumentos ya se han comprobado.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from convlab import __version__
from convlab._check_cli import check
from convlab._search_cli import index, search
from convlab._typer_es import SpanishCommand, SpanishGroup
from convlab.errors import ConvlabError, unknown_name

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from convlab.models import ModelInfo

METHODS = (
    "grad-cam", "grad-cam++", "guided-grad-cam", "saliency", "gradient-x-input", "smoothgrad", "integrated-gradients",
    "guided-backprop", "deconvnet", "occlusion", "rise",
)  # fmt: skip
EXTENSIONS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

app = typer.Typer(cls=SpanishGroup, add_completion=False, rich_markup_mode="markdown")


@app.callback(invoke_without_command=True)
def main(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Muestra la versión y termina.")] = False,
) -> None:
    """Ver por dentro las redes convolucionales."""
    if version:
        typer.echo(f"convlab {__version__}")
    elif ctx.invoked_subcommand is None:
        ctx.get_help()  # con rich, Typer la escribe al pedirla


@app.command(cls=SpanishCommand)
def explain(
    image: Annotated[Path, typer.Argument(metavar="IMAGEN", help="Archivo JPEG o PNG.")],
    model: Annotated[
        str,
        typer.Option(metavar="NOMBRE", help="Red: una de «convlab models», o de torchvision o timm."),
    ] = "efficientnet_lite0",
    method: Annotated[str, typer.Option(metavar="NOMBRE", help=f"Técnica: {', '.join(METHODS)}.")] = "grad-cam",
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASE", help="Clase que se explica, por número o nombre; si falta, la predicha."),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(metavar="CAPA", help="Para Grad-CAM, la capa, con sus puntos; si falta, la última convolucional."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NOMBRE", help="Dispositivo: auto, cpu, cuda o mps.")] = "auto",
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="ARCHIVO", help="PNG o JPEG de salida; si existe, se sustituye."),
    ] = Path("mapa.png"),
    alpha: Annotated[float, typer.Option(metavar="NÚMERO", help="Opacidad del mapa sobre la imagen, de 0 a 1.")] = 0.5,
    weights: Annotated[
        Path | None, typer.Option(metavar="ARCHIVO", help="Archivo local de pesos (safetensors o .pth).")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Permite descargar los pesos de una red de torchvision o timm.")
    ] = False,
) -> None:
    """Dibuja qué zonas de una imagen sostienen una clase.

    La red recibe la imagen entera, estirada al cuadrado con el que se entrenó y sin recortar: cada punto del mapa
    cae sobre el punto de la imagen que explica. El resultado tiene el tamaño de la imagen (hasta 4096 px de lado).
    """
    from convlab.data.photos import open_image

    if method not in METHODS:
        raise unknown_name("la técnica", method, METHODS)
    if not 0 <= alpha <= 1:
        raise ConvlabError(f"--alpha debe estar entre 0 y 1; llegó {alpha}.")
    _check_output(output, image)
    picture = open_image(image)
    with Console(stderr=True).status("Calculando el mapa…"):
        report, result = _explain(picture, model, method, target, layer, device, alpha, weights, download)
        _write_image(result, output)
    for name, value in report.items():
        typer.echo(f"{name + ':':<14}{value}")
    typer.echo(f"{'Mapa:':<14}{output}")


app.command(cls=SpanishCommand)(index)
app.command(cls=SpanishCommand)(search)
app.command(cls=SpanishCommand)(check)


@app.command(cls=SpanishCommand)
def models() -> None:
    """Enumera las redes incluidas."""
    from rich.table import Column, Table

    from convlab.models import list_models, model_info

    name_column = Column("Nombre", no_wrap=True)  # entero: es lo que se copia a --model
    table = Table(name_column, "Lado", "Clases", "Capa de Grad-CAM", Column("Descripción", overflow="fold"))
    for name in list_models():
        info = model_info(name)
        side = f"{info.input_size} px"
        table.add_row(name, side, str(len(info.classes)), info.gradcam_layer, info.description)
    Console().print(table)


@app.command(cls=SpanishCommand)
def train(
    name: Annotated[str, typer.Argument(metavar="RED", help="Red mini que se entrena: mini, mini-atajo…")],
    epochs: Annotated[int | None, typer.Option(metavar="ENTERO", help="Épocas; si falta, las de la receta.")] = None,
    seed: Annotated[int, typer.Option(metavar="ENTERO", help="Semilla de los pesos y de los datos.")] = 0,
    device: Annotated[str, typer.Option(metavar="NOMBRE", help="Dispositivo: auto, cpu, cuda o mps.")] = "auto",
    out: Annotated[
        Path, typer.Option(metavar="CARPETA", help="Carpeta donde se escriben los pesos y su ficha.")
    ] = Path(),
) -> None:
    """Entrena una red mini; si se interrumpe, la misma orden la reanuda."""
    from convlab.training import train as run

    try:
        path = run(name, epochs=epochs, seed=seed, device=device, out=out)
    except OSError as error:
        raise ConvlabError(f"No se pudo escribir en «{out}»; revisa la carpeta, los permisos y el espacio.") from error
    typer.echo(f"Pesos: {path}")


def _explain(
    picture: Image.Image, name: str, method: str, target: str | None, layer: str | None, device: str,
    alpha: float, weights: Path | None, download: bool,
) -> tuple[dict[str, str], Image.Image]:  # fmt: skip
    """Calcula el informe y la imagen con el mapa encima."""
    import torch

    from convlab.data.photos import to_tensor
    from convlab.device import resolve_device
    from convlab.explanation import explain, method_info
    from convlab.gradcam import overlay
    from convlab.hooks import get_layer
    from convlab.models import list_models, load_model, model_info

    where = resolve_device(device)
    model = load_model(name, device=where, weights=weights, download=download)
    info = model_info(name) if name in list_models() else None
    size = info.input_size if info else int(getattr(model, "input_size", 224))
    x = to_tensor(picture, size, crop=None).to(where)
    with torch.no_grad():
        probabilities = model(x).float().softmax(1)[0]
    classes, spanish = _class_names(info, len(probabilities))
    index = int(probabilities.argmax()) if target is None else find_class(target, classes, spanish)
    if layer is None and info and method_info(method).layered:
        layer = info.gradcam_layer
    if layer is not None:
        get_layer(model, layer)  # una errata se dice antes de calcular nada
    # El azar de SmoothGrad y RISE, siempre el mismo: la orden se puede repetir.
    chance = "generator" in method_info(method).options()
    options = {"generator": torch.Generator(where).manual_seed(0)} if chance else {}
    found = explain(model, x, index, method, layer=layer, **options)
    heat = found.map - found.map.amin() if method_info(method).offset else found.map
    heat = torch.nn.functional.interpolate(
        heat[:, None].float().cpu(), (picture.height, picture.width), mode="bilinear", align_corners=False
    )[:, 0]
    blended = overlay(_whole_tensor(picture), heat, alpha)
    named = f"{spanish[index]} ({classes[index]}, {index})" if spanish[index] else f"{classes[index]} ({index})"
    report = {
        "Clase": named,
        "Probabilidad": f"{100 * float(probabilities[index]):.1f} %",
        "Técnica": method_info(method).title,
        **({"Capa": found.layer} if found.layer else {}),
        "Tiempo": f"{found.seconds:.2f} s",
    }
    if not bool((heat > 0).any()):
        report["Aviso"] = "el mapa no tiene nada positivo: nada de lo que mira apoya la clase."
    return report, _to_image(blended)


def find_class(text: str, classes: Sequence[str], spanish: Sequence[str | None]) -> int:
    """Encuentra una clase por su índice o por su nombre, sin distinguir mayúsculas ni tildes.

    Parameters
    ----------
    text
        Índice o nombre, en inglés o en español.
    classes, spanish
        Los nombres por índice; `None` donde no hay traducción.

    Raises
    ------
    ConvlabError
        Si no existe, con los nombres más parecidos, o si el nombre es de varias clases.

    Examples
    --------
    >>> find_class("arbol", ["tree", "cat"], ["árbol", None])
    0
    """
    if text.strip().lstrip("-").isdecimal():
        index = int(text)
        if 0 <= index < len(classes):
            return index
        last = len(classes) - 1
        raise ConvlabError(f"La clase {index} no existe: la red tiene {last + 1}, de 0 a {last}.")
    wanted = _fold(text)
    matches = {i for names in (classes, spanish) for i, n in enumerate(names) if n and _fold(n) == wanted}
    if len(matches) > 1:
        numbers = " o ".join(f"{i} ({classes[i]})" for i in sorted(matches))
        raise ConvlabError(f"Hay varias clases llamadas «{text}»; indica su número: {numbers}.")
    if not matches:
        raise unknown_name("la clase", text, dict.fromkeys(n for n in [*spanish, *classes] if n))
    return matches.pop()


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _class_names(info: ModelInfo | None, count: int) -> tuple[Sequence[str], Sequence[str | None]]:
    """Nombres en inglés y en español; a una red externa de 1000 clases se le suponen las de ImageNet."""
    if info:
        return info.classes, info.classes_es
    if count == 1000:
        from convlab.models.imagenet import IMAGENET_CLASSES, IMAGENET_CLASSES_ES

        return IMAGENET_CLASSES, [IMAGENET_CLASSES_ES.get(i) for i in range(count)]
    return [f"clase {i}" for i in range(count)], [None] * count


def _check_output(output: Path, image: Path) -> None:
    """Rechaza un destino imposible antes de hacer esperar a nadie."""
    if output.is_dir():
        raise ConvlabError(f"«{output}» es una carpeta; con --output se da el archivo que se escribirá.")
    if output.suffix.lower() not in EXTENSIONS:
        raise ConvlabError(f"El resultado debe acabar en {', '.join(EXTENSIONS)}; llegó «{output.name}».")
    if not output.parent.is_dir():
        raise ConvlabError(f"No existe la carpeta «{output.parent}» donde escribir el resultado; créala antes.")
    if output.exists() and image.exists() and output.samefile(image):
        raise ConvlabError("El resultado sustituiría a la imagen de partida; elige otro nombre con --output.")


def _whole_tensor(picture: Image.Image) -> Tensor:
    import torch
    from numpy import array

    return torch.from_numpy(array(picture)).movedim(-1, 0)[None].float() / 255


def _to_image(batch: Tensor) -> Image.Image:
    from PIL import Image

    pixels = (batch[0] * 255).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.movedim(0, -1).contiguous().numpy())


def _write_image(picture: Image.Image, output: Path) -> None:
    """Escribe de una vez: si algo falla, no queda un archivo a medias ni se pierde el que hubiera."""
    from convlab.models.weights import write_atomic

    buffer = io.BytesIO()
    picture.save(buffer, EXTENSIONS[output.suffix.lower()], quality=95)
    try:
        write_atomic(output, buffer.getvalue())
    except OSError as error:
        raise ConvlabError(f"No se pudo escribir «{output}»; revisa los permisos y el espacio libre.") from error


if __name__ == "__main__":
    app()
