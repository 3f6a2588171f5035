"""Entrenar: se repite bit a bit, se reanuda tras una muerte y aprende."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.models import load_model
from convlab.training import RECIPES, train

SMALL = {"epochs": 2, "scenes": 384, "evaluate_on": 100, "progress": False, "device": "cpu"}


def weights(path):
    return path.read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train("mini", out=tmp_path_factory.mktemp("una"), **SMALL)


def test_training_repeats_bit_by_bit_whatever_the_global_state(trained, tmp_path):
    torch.manual_seed(12345)
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    again = train("mini", out=tmp_path, **SMALL)
    assert weights(again) == weights(trained)
    assert weights(again.with_name("mini-checkpoints.safetensors")) == weights(
        trained.with_name("mini-checkpoints.safetensors")
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_killed_training_resumes_from_its_last_epoch(trained, tmp_path):
    """Se mata el proceso con SIGKILL tras la primera época; la misma orden acaba y da los mismos pesos."""
    state = tmp_path / "mini.estado.pt"
    code = (
        "from convlab.training import train;"
        f"train('mini', out={str(tmp_path)!r}, epochs=2, scenes=384, evaluate_on=100, progress=False, device='cpu')"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 240
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    assert torch.load(state, weights_only=True)["epoch"] == 1
    again = train("mini", out=tmp_path, **SMALL)
    assert weights(again) == weights(trained)
    assert not state.exists()
    assert [entry["epoch"] for entry in json.loads(again.with_suffix(".json").read_text())["log"]] == [1, 2]


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "float32"), ({"avx512_bf16": True}, "bfloat16")],
)
def test_bfloat16_only_where_the_processor_has_it(monkeypatch, tmp_path, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    path = train("mini", out=tmp_path, **SMALL | {"epochs": 1, "scenes": 128, "evaluate_on": 10})
    assert json.loads(path.with_suffix(".json").read_text())["made_with"]["precision"] == precision


def test_state_of_another_run_is_refused(tmp_path):
    state = tmp_path / "mini.estado.pt"
    state.write_bytes(b"basura")
    with pytest.raises(ConvlabError, match="dañado"):
        train("mini", out=tmp_path, **SMALL)
    torch.save({"signature": {"seed": 9}}, state)
    with pytest.raises(ConvlabError, match="otro entrenamiento"):
        train("mini", out=tmp_path, **SMALL)
    assert state.exists()


def test_bad_orders_are_explained(tmp_path):
    with pytest.raises(ConvlabError, match="mini-robusta"):
        train("mini-robust", out=tmp_path)
    with pytest.raises(ConvlabError, match="épocas"):
        train("mini", out=tmp_path, epochs=0)
    assert not list(tmp_path.iterdir())


def test_trained_file_loads_by_name(trained):
    model = load_model("mini", weights=trained)
    assert model(formas(2).tensor()).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_short_training_already_learns(tmp_path):
    """Suelo de exactitud: 200 pasos quedan muy por encima del azar (0.1)."""
    path = train("mini", out=tmp_path, epochs=2, scenes=12800, evaluate_on=50, progress=False, device="cpu")
    assert json.loads(path.with_suffix(".json").read_text())["log"][-1]["accuracy"] > 0.35  # en 1000 escenas nuevas


def test_recipes_cover_the_shipped_models():
    assert list(RECIPES) == ["mini", "mini-atajo", "mini-textura", "mini-robusta"]
