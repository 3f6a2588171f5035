"""Entrenar: se repite bit a bit, se reanuda tras una muerte y aprende."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from convlab.adversarial import pgd
from convlab.data.formas import formas
from convlab.errors import ConvlabError
from convlab.models import load_model
from convlab.models.mini import Mini
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
def test_a_short_training_already_learns(tmp_path):
    """Suelo de exactitud: 200 pasos quedan muy por encima del azar (0.1)."""
    path = train("mini", out=tmp_path, epochs=2, scenes=12800, evaluate_on=500, progress=False, device="cpu")
    assert json.loads(path.with_suffix(".json").read_text())["held_out"]["accuracy"] > 0.35


def test_recipes_cover_the_shipped_models():
    assert list(RECIPES) == ["mini", "mini-atajo", "mini-textura", "mini-robusta"]


class TestPgd:
    def test_on_a_linear_model_the_optimum_is_the_corner(self):
        """Con una red lineal de dos clases, el peor punto de la bola se conoce: x − ε·sign(w_y − w_otra)."""
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).double()
        x = 0.3 + 0.4 * torch.rand(3, 3, 2, 2, dtype=torch.float64)
        y = torch.tensor([0, 1, 0])
        w = linear[1].weight.detach()
        direction = (w[y] - w[1 - y]).sign().view(3, 3, 2, 2)
        found = pgd(linear, x, y, eps=0.1, alpha=0.03, steps=10, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(found, x - 0.1 * direction)

    def test_stays_in_the_ball_and_in_range_and_touches_nothing(self):
        model = Mini().train()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        x = formas(4).tensor()
        kept, rng = x.clone(), torch.get_rng_state()
        generator = torch.Generator().manual_seed(1)
        adversarial = pgd(model, x, torch.tensor([0, 1, 2, 3]), 8 / 255, 4 / 255, 3, generator=generator)
        assert (adversarial - x).abs().max() <= 8 / 255 + 1e-6
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        assert torch.equal(x, kept)
        assert torch.equal(torch.get_rng_state(), rng)
        assert model.training
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in model.parameters())

    def test_levels_of_255_are_refused(self):
        with pytest.raises(ConvlabError, match="8/255"):
            pgd(Mini(), formas(1).tensor(), torch.tensor([0]), 8, 2 / 255, 1)
