"""Una lección como la vive un estudiante: abre JupyterLab, se equivoca, lee por qué, lo corrige y valida."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from book_site import ROOT, skip

pytest.importorskip("jupyterlab", reason="los cuadernos necesitan el extra «grade»")
sync_api = pytest.importorskip("playwright.sync_api", reason="hace falta el extra «dev»")

from convlab.exercises import load  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT = 120_000  # milisegundos: el primer `import torch` con la máquina ocupada tarda


@dataclass(frozen=True)
class Attempt:
    """Una lección, un ejercicio suyo y lo que escribe quien se equivoca: el error del catálogo y su código."""

    lesson: str
    exercise: str
    mistake: str
    code: str


ATTEMPTS = [
    Attempt(
        "09-gradcam",
        "gradcam.channel_weights",
        "sum_over_space",
        "def channel_weights(gradients):\n    return gradients.sum(dim=(2, 3))",
    ),
    Attempt(
        "10-adversarios",
        "adversarial.fgsm",
        "unclamped",
        "def fgsm(model, x, y, eps):\n"
        "    x = x.detach().requires_grad_()\n"
        "    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y), x)\n"
        "    return (x + eps * gradient.sign()).detach()",
    ),
]


def cell_of(book: dict[str, Any], grade_id: str) -> int:
    return next(k for k, c in enumerate(book["cells"]) if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def first_code(book: dict[str, Any], start: int) -> int:
    return next(k for k in range(start, len(book["cells"])) if book["cells"][k]["cell_type"] == "code")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Un JupyterLab con las lecciones, la configuración de nbgrader y ningún ajuste de quien prueba."""
    home = tmp_path_factory.mktemp("estudiante")
    work = home / "curso"
    work.mkdir()
    shutil.copy(ROOT / "nbgrader_config.py", work)
    for attempt in ATTEMPTS:
        shutil.copytree(ROOT / "lessons" / attempt.lesson, work / attempt.lesson)
    settings = home / "ajustes" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # Todas las celdas en la página, también las que no caben en la ventana.
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "ajustes"),
        "OMP_NUM_THREADS": "1",
    }
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token="]
    with (home / "registro.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], cwd=work, env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 90
            while True:
                try:
                    urllib.request.urlopen(f"{url}/api", timeout=2).close()
                    break
                except OSError:
                    assert process.poll() is None, (home / "registro.txt").read_text()[-3000:]
                    assert time.monotonic() < deadline, (home / "registro.txt").read_text()[-3000:]
                    time.sleep(0.3)
            yield url, work
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        skip("No hay Chromium en esta máquina (en Debian, el paquete «chromium»).")
    with sync_api.sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield instance
        instance.close()


class Notebook:
    """Un cuaderno abierto en la página."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def cell(self, number: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def write(self, number: int, code: str) -> None:
        """Sustituye el código de una celda, como quien lo borra y escribe."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(code)

    def run(self, number: int) -> str:
        """Ejecuta la celda y devuelve lo que se lee debajo."""
        cell = self.cell(number)
        prompt = cell.locator(".jp-InputArea-prompt").first
        before = prompt.inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        deadline = time.monotonic() + WAIT / 1000
        while not (re.search(r"\d", prompt.inner_text()) and prompt.inner_text() != before):
            assert time.monotonic() < deadline, f"la celda {number} no acaba: {prompt.inner_text()}"
            self.page.wait_for_timeout(200)
        return " ".join(cell.locator(".jp-Cell-outputWrapper").inner_text().split())


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda a: a.lesson)
def test_open_fail_read_correct_and_validate(attempt: Attempt, server: tuple[str, Path], browser: Any) -> None:
    url, work = server
    exercise = load(attempt.exercise)
    mistake = exercise.misconceptions[attempt.mistake]
    slug = exercise.name.replace("_", "-")
    stem = attempt.lesson.split("-", 1)[1]
    book = json.loads((work / attempt.lesson / f"{stem}.ipynb").read_text("utf8"))
    solved = json.loads((ROOT / "solutions" / attempt.lesson / f"{stem}.ipynb").read_text("utf8"))
    answer, check = cell_of(book, slug), cell_of(book, f"{slug}-visible")

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{url}/lab/tree/{attempt.lesson}/{stem}.ipynb?reset")  # sin las pestañas de antes
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=WAIT)
    page.wait_for_selector(".jp-NotebookPanel-toolbar", timeout=WAIT)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=WAIT)
    notebook = Notebook(page)

    notebook.run(cell_of(book, "preparacion"))
    assert "Ejecuta antes la celda donde la escribes" in notebook.run(check)
    notebook.run(answer)
    assert f"Escribe aquí {exercise.name}" in notebook.run(check)

    notebook.write(answer, attempt.code)
    notebook.run(answer)
    read = notebook.run(check)
    assert read.startswith(f"Diagnóstico: {mistake.title}. {mistake.diagnosis[:40]}")

    notebook.write(answer, "".join(solved["cells"][cell_of(solved, slug)]["source"]))
    notebook.run(answer)
    assert notebook.run(check).startswith(f"Correcto: {exercise.name} cumple")
    reward = first_code(book, cell_of(book, f"{slug}-oculta") + 1)
    notebook.run(reward)
    assert notebook.cell(reward).locator("img").count() == 1

    page.keyboard.press("Escape")
    page.get_by_text("Validate", exact=True).first.click()
    dialog = page.locator(".jp-Dialog")
    dialog.wait_for(timeout=2 * WAIT)
    told = " ".join(dialog.inner_text().split())
    # Los demás ejercicios siguen sin escribir; el corregido ya no está entre los que fallan.
    assert 'grade("' in told
    assert f'grade("{exercise.id}"' not in told
    page.close()
