"""El banco de pruebas corre entero en pequeño, y convlab da las pasadas justas en cada técnica."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("captum")
pytest.importorskip("pytorch_grad_cam")
pytest.importorskip("torchattacks")

ROOT = Path(__file__).parents[1]
METHODS = {
    "saliency",
    "gradient_times_input",
    "guided",
    "gradcam",
    "smoothgrad",
    "integrated",
    "fgsm",
    "pgd",
    "occlusion",
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Lo que escribe `--quick`: resnet18, dos imágenes de 64 px, una vuelta."""
    file = tmp_path_factory.mktemp("banco") / "medidas.json"
    command = [sys.executable, ROOT / "benchmarks/techniques.py", "--quick", "--device", "cpu", "--json", file]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(file.read_text("utf8")), run.stdout


def test_every_method_is_measured_and_shown(measured):
    data, shown = measured
    assert {r["method"] for r in data["results"]} == METHODS
    assert data["machine"]["threads"] == 1
    assert {"torch", "torchvision", "captum", "name"} <= data["machine"].keys()
    assert "÷ mínimo" in shown
    for result in data["results"]:
        assert all(min(seconds) > 0 for seconds in result["seconds"].values())
        for key in ("minimum", "peer"):
            middle, low, high = result["ratios"][key]
            assert 0 < low <= middle <= high < math.inf
        assert 0 < result["ratios"]["memory"] < math.inf
        assert min(result["peak_bytes"].values()) > 0


def test_passes_are_the_minimum(measured):
    for result in measured[0]["results"]:
        where = result["method"]
        assert result["weight_gradients"] == 0, where
        assert result["backwards"]["counted"] == result["backwards"]["minimum"], where
        if result["method"] != "occlusion":  # a 64 px, un cuadrado de 32 lo cambia casi todo: no hay qué ahorrar
            assert result["forwards"]["counted"] == result["forwards"]["minimum"], where


def test_counting_tells_weight_gradients(monkeypatch):
    """Sin esto, un cero en la tabla no diría nada."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import torch
    from _measure import count
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    x = torch.rand(2, 3, 8, 8)
    work = count(lambda: net(x).sum().backward())
    first, second = 2 * 4 * 36 * 27, 2 * 2 * 16 * 36
    assert (work.forward, work.backward, work.weight_gradients) == (first + second, second, 3)
    only_input = count(lambda: torch.autograd.grad(net(leaf := x.clone().requires_grad_()).sum(), leaf))
    assert (only_input.forward, only_input.backward, only_input.weight_gradients) == (first + second, first + second, 0)


def test_ratio_is_paired_and_its_interval_holds_the_middle(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from _measure import ratio

    drift = [float(k) for k in range(1, 22)]  # la máquina va cada vez más despacio
    assert ratio({"a": [2 * d for d in drift], "b": drift}, "a", "b") == (2, 2, 2)
    # 21 vueltas: del sexto al decimosexto, que contienen la mediana 97 veces de cada 100.
    assert ratio({"a": drift, "b": [1.0] * 21}, "a", "b") == (11, 6, 16)
    assert ratio({"a": [3.0, 1.0, 2.0], "b": [1.0] * 3}, "a", "b") == (2, 1, 3)
    assert ratio({"a": [3.0], "b": [2.0]}, "a", "b") == (1.5, 1.5, 1.5)
