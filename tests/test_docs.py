"""La documentación de lo público existe, está en español y sus ejemplos se ejecutan."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import convlab

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(convlab.__path__, "convlab.") if not m.name.rpartition(".")[2].startswith("_")
)


def public(module):
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    torch.manual_seed(0)
    with torch.random.fork_rng():
        results = doctest.testmod(module, extraglobs={"torch": torch, "nn": nn}, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for function, value in public(module):
        assert inspect.getdoc(value), f"{name}.{function} no tiene documentación"
    for function in getattr(module, "__all__", ()):
        value = getattr(module, function)
        if inspect.isfunction(value) and value.__module__ == name:
            assert "Examples\n--------" in (inspect.getdoc(value) or ""), f"{name}.{function} no tiene ejemplo"


def test_no_file_names_a_machine_or_a_registry():
    """Ni rutas de una máquina ni servidores de paquetes en lo que se publica."""
    forbidden = re.compile(
        "/" + "work/|/" + "root/|/" + "home/[a-z]|pypi" + r"\.org|registry\." + "npmjs|files.python" + "hosted"
    )
    folders = ("convlab", "tests", "book", "solutions", "lessons", "benchmarks", ".ci")
    files = [p for f in folders for p in (ROOT / f).rglob("*") if p.is_file()] + [
        p for p in ROOT.iterdir() if p.is_file()
    ]
    kept = (p for p in files if not {"node_modules", "__pycache__", "_build", "mathjax"} & set(p.parts))
    suffixes = {".py", ".md", ".toml", ".txt", ".yml", ".json", ".ipynb", ".css", ".js", ".cff", ".bib", ""}
    guilty = [str(p) for p in kept if p.suffix in suffixes and forbidden.search(p.read_text("utf8", "ignore"))]
    assert guilty == []
