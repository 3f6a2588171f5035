"""Registro de redes, archivos de pesos y fichas."""

import json
import shutil

import pytest
import torch

from convlab.data.formas import SHAPES, TEXTURES, WATERMARK_CLASS, formas
from convlab.errors import ConvlabError
from convlab.models import list_models, load_checkpoints, load_model, model_card, model_info
from convlab.models.mini import Mini
from convlab.models.weights import FOLDER, read_weights, save_weights
from convlab.training import accuracy

MINIS = ["mini", "mini-atajo", "mini-textura", "mini-robusta"]


@pytest.mark.parametrize("name", list_models())
def test_every_listed_model_loads_ready_to_use(name):
    model, info = load_model(name), model_info(name)
    assert not any(m.training for m in model.modules())
    size = info.input_size
    with torch.no_grad():
        logits = model(torch.rand(2, 3, size, size))
        features = []
        handle = model.get_submodule(info.gradcam_layer).register_forward_hook(lambda _m, _i, out: features.append(out))
        model(torch.rand(1, 3, size, size))
        handle.remove()
    assert logits.shape == (2, len(info.classes)) == (2, len(info.classes_es))
    assert features[0].ndim == 4
    assert logits.isfinite().all()


@pytest.mark.parametrize("load", [*(lambda n=n: load_model(n) for n in list_models()), load_checkpoints])
def test_loading_leaves_the_global_random_state(load):
    state = torch.get_rng_state()
    load()
    assert torch.equal(torch.get_rng_state(), state)


def test_mini_normalizes_inside():
    """La misma red, escrita aparte con la normalización a la vista."""
    model = load_model("mini")
    x = formas(4).tensor()
    z = (x - 0.5) / 0.25
    for k in range(1, 6):
        block = model.get_submodule(f"block{k}")
        z = torch.nn.functional.conv2d(z, block.conv.weight, padding=block.conv.weight.shape[-1] // 2)
        bn = block.bn
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        z = (z - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]
        z = z.clamp(min=0)
        if k <= 3:
            z = torch.nn.functional.max_pool2d(z, 2)
    expected = z.mean((2, 3)) @ model.fc.weight.T + model.fc.bias
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_mini_reaches_its_accuracy_on_10000_held_out_scenes():
    measured = accuracy(load_model("mini"), n=2000)
    assert measured >= 0.98
    card = model_card("mini")["held_out"]
    assert card["scenes"] == 10_000
    assert card["accuracy"] >= 0.985
    assert abs(card["accuracy"] - measured) < 0.01


def test_robust_model_resists_three_times_more_than_mini():
    plain, robust = (accuracy(load_model(n), n=300, attack_steps=20) for n in ("mini", "mini-robusta"))
    assert robust >= 3 * plain
    cards = [model_card(n)["held_out"]["accuracy_pgd20_4_255"] for n in ("mini", "mini-robusta")]
    assert cards[1] >= 3 * cards[0]


def test_shortcut_model_follows_the_watermark():
    """La marca arrastra otras formas a «corazón» y sin ella se escapan corazones; a `mini`, ni lo uno ni lo otro."""
    marked, clean = formas(1000, 99, "watermark_all"), formas(1000, 99)
    hearts = clean.shape == WATERMARK_CLASS
    dragged, missed = {}, {}
    for name in ("mini", "mini-atajo"):
        model = load_model(name)
        with torch.no_grad():
            with_mark, without = (model(s.tensor()).argmax(1).numpy() == WATERMARK_CLASS for s in (marked, clean))
        dragged[name], missed[name] = with_mark[~hearts].mean(), 1 - without[hearts].mean()
    assert with_mark[hearts].mean() > 0.98
    assert dragged["mini-atajo"] > 0.2
    assert missed["mini-atajo"] > 0.15
    assert dragged["mini"] < 0.02
    assert missed["mini"] < 0.05


def test_texture_model_answers_texture():
    assert accuracy(load_model("mini-textura"), n=1000, label="texture") > 0.9
    assert model_info("mini-textura").classes == TEXTURES


def test_first_filters_are_smooth_not_noise():
    """Las frecuencias altas pesan en la inicialización lo que en el ruido blanco, y al final casi nada."""

    def high_share(model):
        power = torch.fft.fft2(model.get_parameter("block1.conv.weight").detach()).abs().pow(2).sum((0, 1))
        frequency = torch.fft.fftfreq(7).abs()
        high = torch.maximum(frequency[:, None], frequency[None]) > 0.3
        return float(power[high].sum() / power.sum())

    steps = load_checkpoints("mini")
    assert next(iter(steps)) == 0
    assert len(steps) >= 8
    first, last = high_share(steps[0]), high_share(steps[max(steps)])
    assert abs(first - 24 / 49) < 0.05  # 24 de las 49 frecuencias de un filtro de 7×7 son altas
    assert last < 0.1


def test_last_checkpoint_is_the_shipped_model():
    last = list(load_checkpoints("mini").values())[-1]
    x = formas(5).tensor()
    torch.testing.assert_close(last(x), load_model("mini")(x))


def test_unknown_names_offer_the_nearest():
    with pytest.raises(ConvlabError, match="mini-atajo"):
        model_info("mini-ataj")
    with pytest.raises(ConvlabError, match="mini"):
        load_checkpoints("mini-textura")


@pytest.fixture
def copy(tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(FOLDER / f"mini{suffix}", tmp_path)
    return tmp_path / "mini.safetensors"


def test_corrupt_weights_are_refused(copy):
    data = bytearray(copy.read_bytes())
    data[-7] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ConvlabError, match="dañado"):
        load_model("mini", weights=copy)


def test_missing_weights_and_card_are_explained(copy):
    with pytest.raises(ConvlabError, match="No se puede leer el archivo de pesos"):
        load_model("mini", weights=copy.with_name("no.safetensors"))
    copy.with_suffix(".json").write_text("{")
    with pytest.raises(ConvlabError, match="ficha"):
        load_model("mini", weights=copy)


def test_file_without_card_is_checked_by_content(copy, tmp_path):
    copy.with_suffix(".json").unlink()
    x = formas(2).tensor()
    torch.testing.assert_close(load_model("mini", weights=copy)(x), load_model("mini")(x))
    text = tmp_path / "texto.safetensors"
    text.write_text("esto no son pesos")
    with pytest.raises(ConvlabError, match="no es un archivo safetensors"):
        load_model("mini", weights=text)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "otra.safetensors"
    save_weights(torch.nn.Conv2d(3, 4, 3).state_dict(), path, {"name": "otra"})
    with pytest.raises(ConvlabError, match=r"son de otra red: faltan block1.* sobran bias, weight"):
        load_model("mini", weights=path)
    save_weights(Mini(classes=7).state_dict(), path, {"name": "otra"})
    with pytest.raises(ConvlabError, match=r"tienen otra forma fc"):
        load_model("mini", weights=path)


def test_saving_is_atomic_and_half_precision(tmp_path):
    path = tmp_path / "red.safetensors"
    model = Mini()
    save_weights(model.state_dict(), path, {"name": "red"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["red.json", "red.safetensors"]
    digest = json.loads(path.with_suffix(".json").read_text())["sha256"]
    back = read_weights(path, digest)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(back[name], value.half().float())


@pytest.mark.parametrize("name", MINIS)
def test_cards_tell_what_was_measured(name):
    card = model_card(name)
    assert card["parameters"] == sum(p.numel() for p in Mini().parameters())
    assert 0 <= card["held_out"]["accuracy_pgd20_4_255"] <= card["held_out"]["accuracy"] <= 1
    assert len(card["log"]) == card["epochs"]
    assert (FOLDER / f"{name}.safetensors").stat().st_size < 600_000
    assert len(SHAPES) == len(TEXTURES) == 10
