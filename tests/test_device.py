"""`convlab.device`: nombres válidos, y un error legible para los demás."""

import pytest
import torch

from convlab.device import resolve_device
from convlab.errors import ConvlabError


def test_cpu_always_exists():
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")])
def test_auto_prefers_the_fastest(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device() == torch.device(expected)


def test_index_of_a_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConvlabError, match="esta máquina tiene 2"):
        resolve_device("cuda:2")


def test_absent_device_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConvlabError, match=r"«cuda».*Usa «auto» o «cpu»"):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["cdua", "cuda:x", "meta", "", "cpu:1"])
def test_bad_names(name):
    with pytest.raises(ConvlabError):
        resolve_device(name)


def test_typo_offers_the_right_name():
    with pytest.raises(ConvlabError, match="¿Quisiste decir «cuda»"):
        resolve_device("cdua")
