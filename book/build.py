"""Construye el libro en `_build/html`: trae sus recursos y ejecuta los capítulos; cualquier aviso es un error.

Uso: python book/build.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import assets
from jupyter_book.cli.main import main as jupyter_book

ROOT = Path(__file__).resolve().parent.parent


def build() -> None:
    assets.install()
    assets.publish_mathjax()
    # Con un solo hilo los números salen iguales en cada construcción; con dos, la suma cambia de orden.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.chdir(ROOT)
    # Lo leído y lo ejecutado se aprovecha; las páginas se escriben todas, para que no quede ninguna que ya no exista.
    shutil.rmtree("_build/html", ignore_errors=True)
    built = False
    try:
        jupyter_book(["build", "-W", "--keep-going", "."], standalone_mode=False)
        built = True
    finally:
        if not built:  # lo leído con avisos no volvería a avisar, y la siguiente construcción parecería buena
            shutil.rmtree("_build/.doctrees", ignore_errors=True)


if __name__ == "__main__":
    build()
