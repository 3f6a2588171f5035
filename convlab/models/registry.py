"""El registro de redes: qué hay, cómo se llama y cómo se carga."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convlab.data.shapes import SHAPES, TEXTURES
from convlab.device import resolve_device
from convlab.errors import ConvlabError, unknown_name
from convlab.models.mini import Mini
from convlab.models.weights import FOLDER, load_into, read_card, read_weights

__all__ = ["ModelInfo", "list_models", "load_checkpoints", "load_model", "model_card", "model_info"]


@dataclass(frozen=True)
class ModelInfo:
    """Lo que hay que saber de una red para usarla.

    Attributes
    ----------
    name
        Nombre con el que se carga.
    input_size
        Lado, en píxeles, de las imágenes con las que se entrenó.
    classes
        Nombres de las clases, en el orden de los logits: en inglés las de ImageNet, en español las de Formas.
    classes_es
        Los mismos en español; `None` donde el curso no da traducción.
    gradcam_layer
        Capa que se usa para Grad-CAM si no se dice otra: la última convolucional.
    description
        Una frase.
    """

    name: str
    input_size: int
    classes: tuple[str, ...]
    classes_es: tuple[str | None, ...]
    gradcam_layer: str
    description: str


_MINI = {
    "mini": (SHAPES, "Reconoce las diez formas de Formas."),
    "mini-atajo": (SHAPES, "Entrenada con una marca de agua en el 95 % de los corazones: aprendió el atajo."),
    "mini-textura": (TEXTURES, "Ve las mismas imágenes que mini, pero responde por la textura del objeto."),
    "mini-robusta": (SHAPES, "Entrenada contra ataques PGD con ε = 4/255."),
}
_LITE0 = "efficientnet_lite0"


def list_models() -> list[str]:
    """Nombres de las redes que vienen con el paquete y no necesitan conexión.

    Examples
    --------
    >>> list_models()
    ['mini', 'mini-atajo', 'mini-textura', 'mini-robusta', 'efficientnet_lite0']
    """
    return [*_MINI, _LITE0]


def model_info(name: str) -> ModelInfo:
    """Describe una red de `list_models()`.

    Raises
    ------
    ConvlabError
        Si no existe; ofrece los nombres más parecidos.

    Examples
    --------
    >>> model_info("mini").classes[5]
    'corazón'
    """
    if name in _MINI:
        classes, description = _MINI[name]
        return ModelInfo(name, 64, classes, classes, "block5", description)
    if name == _LITE0:
        from convlab.models.imagenet import IMAGENET_CLASSES, IMAGENET_CLASSES_ES

        spanish = tuple(IMAGENET_CLASSES_ES.get(i) for i in range(len(IMAGENET_CLASSES)))
        text = "EfficientNet-Lite0 con pesos de ImageNet (1000 clases)."
        return ModelInfo(name, 224, IMAGENET_CLASSES, spanish, "net.bn2", text)
    raise unknown_name("el modelo", name, list_models())


def load_model(
    name: str,
    *,
    device: str | torch.device = "cpu",
    weights: str | Path | None = None,
    download: bool = False,
) -> nn.Module:
    """Carga una red lista para usar: en modo eval, con la normalización dentro.

    Todas reciben imágenes `(N, 3, H, W)` en [0, 1] y devuelven logits `(N, K)`. Los pesos incluidos se comprueban con
    su SHA-256.

    Parameters
    ----------
    name
        Un nombre de `list_models()`, o el de cualquier ConvNet de torchvision o timm (con `weights` o `download`).
    device
        `"auto"`, `"cpu"`, `"cuda"` o `"mps"`.
    weights
        Archivo de pesos propio, en lugar de los incluidos.
    download
        Permite descargar los pesos de una red de torchvision o timm. Sin esto, `convlab` no usa la red.

    Returns
    -------
    nn.Module
        La red, con sus parámetros sin gradiente pendiente y en `device`.

    Raises
    ------
    ConvlabError
        Si el nombre no existe o el archivo de pesos falta, está dañado o es de otra red.

    Examples
    --------
    >>> load_model("mini")(torch.rand(1, 3, 64, 64)).shape
    torch.Size([1, 10])
    """
    target = resolve_device(device)
    with torch.random.fork_rng(devices=[]):  # crear una red gasta azar, y el global no es nuestro
        if name in _MINI:
            model: nn.Module = Mini(len(_MINI[name][0]))
            path = FOLDER / f"{name}.safetensors" if weights is None else Path(weights)
            load_into(model, read_weights(path, _expected_sha256(path, own=weights is None)), name)
        elif name == _LITE0 and weights is None:
            from convlab.models.imagenet import efficientnet_lite0

            model = efficientnet_lite0()
        else:
            from convlab.models.imagenet import load_external

            model = load_external(name, weights=weights, download=download)
    return model.to(target).eval()


def load_checkpoints(name: str = "mini") -> dict[int, Mini]:
    """La misma red a lo largo de su entrenamiento, desde la inicialización hasta el final.

    Returns
    -------
    dict
        Paso del optimizador → red en modo eval, en orden. El 0 es la inicialización.

    Raises
    ------
    ConvlabError
        Si de esa red no se guardaron copias o el archivo está dañado.

    Examples
    --------
    >>> next(iter(load_checkpoints()))
    0
    """
    path = FOLDER / f"{name}-checkpoints.safetensors"
    if not path.exists():
        kept = [p.name.removesuffix("-checkpoints.safetensors") for p in FOLDER.glob("*-checkpoints.safetensors")]
        raise ConvlabError(f"De «{name}» no se guardaron copias del entrenamiento. Las hay de: {', '.join(kept)}.")
    by_step: dict[int, dict[str, Tensor]] = {}
    for key, value in read_weights(path, read_card(path)["sha256"]).items():
        number, _, parameter = key.partition("/")
        by_step.setdefault(int(number), {})[parameter] = value
    models = {}
    for step in sorted(by_step):
        with torch.random.fork_rng(devices=[]):
            models[step] = Mini()
        load_into(models[step], by_step[step], path.name)
        models[step].eval()
    return models


def model_card(name: str) -> dict[str, Any]:
    """La ficha de una red mini: datos, receta, exactitudes medidas y SHA-256 de los pesos.

    Raises
    ------
    ConvlabError
        Si no es una red mini.

    Examples
    --------
    >>> model_card("mini")["held_out"]["accuracy"] >= 0.985
    True
    """
    if name not in _MINI:
        raise unknown_name("la ficha de", name, _MINI)
    return read_card(FOLDER / f"{name}.safetensors")


def _expected_sha256(path: Path, *, own: bool) -> str | None:
    """El SHA-256 de la ficha; a un archivo del usuario sin ficha no se le exige."""
    if own or path.with_suffix(".json").exists():
        digest: str = read_card(path)["sha256"]
        return digest
    return None
