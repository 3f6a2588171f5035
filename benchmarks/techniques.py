"""Cada técnica frente a lo menos que puede costar y frente a otras bibliotecas, en una misma ejecución.

Uso: `python benchmarks/techniques.py [--nets resnet18] [--batch 1 8] [--methods …] [--device auto] [--json FILE]`, con
el extra `bench` instalado. Por cada red, lote y técnica dice:

- las **pasadas** que da convlab por imagen, contadas (productos de sus convoluciones entre los de una pasada), y las
  que bastan; y si deriva respecto de algún peso, que nunca hace falta;
- el tiempo entre el **mínimo**: esas pasadas, sin nada más, con los parámetros congelados (y, en Grad-CAM, la derivada
  de lo que hay después de la capa, que en las cuentas no sale si no son convoluciones);
- el tiempo entre el del mejor **rival**, con el ajuste suyo que menos tarda, elegido en una vuelta previa;
- la **memoria** de pico entre la del rival con sus valores por omisión.

Se compara siempre dentro del mismo proceso: en cada vuelta corren todos, y cada vez empieza uno distinto. Cada cociente
es la mediana de los de cada vuelta, con su intervalo al 95 % (con menos de seis vueltas, todo lo visto). `--quick` es
una pasada mínima para comprobar que todo funciona; sus cocientes no significan nada.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision
from _measure import Call, Work, alternate, clock, count, machine, peak_bytes, ratio
from _methods import LAYERS, MANY_PASSES, METHODS, Case
from rich.console import Console
from rich.table import Table

from convlab.device import resolve_device

# Lo que se pide, como mucho: tiempo entre el mínimo, tiempo entre el del rival, memoria entre la del rival.
PASSES = (1.05, 1.0, None)
GOALS: dict[str, tuple[float | None, float | None, float | None]] = {
    "saliency": PASSES,
    "guided": PASSES,
    "gradcam": PASSES,
    "smoothgrad": PASSES,
    "integrated": (1.05, 1.0, 0.5),
    "pgd": PASSES,
}
OCCLUSION_GOALS = {"resnet18": 1 / 1.5, "vgg16": 1 / 3}


def compare(case: Case, name: str, rounds: int, budget: float) -> dict[str, Any]:
    """Todo lo que se mide de una técnica en una red y un lote, en bruto y en cocientes."""
    method = METHODS[name][1](case)
    unit = count(lambda: case.forward(case.x)).forward
    work = Work()

    def counted() -> None:
        with work:
            method.own()

    memory = {"convlab": peak_bytes(counted, case.device)}  # de paso, calienta
    calls: dict[str, Call] = {"convlab": method.own, "mínimo": method.bare}
    chosen: dict[str, str] = {}
    for peer, settings in method.peers.items():
        best = settings[0]
        memory[peer] = peak_bytes(best.trial or best.run, case.device)
        if len(settings) > 1:
            best = min(settings, key=lambda setting: clock(setting.trial or setting.run, case.device))
        calls[peer], chosen[peer] = best.run, best.name
    if method.memory:
        memory = {who: peak_bytes(call, case.device) for who, call in zip(memory, method.memory, strict=True)}
    expected = clock(method.bare, case.device) * method.scale * len(calls)
    rounds = max(1, min(rounds, int(budget / expected)))
    seconds = alternate(calls, rounds, case.device)
    seconds["mínimo"] = [method.scale * value for value in seconds["mínimo"]]
    rival = min(chosen, key=lambda peer: ratio(seconds, peer, "mínimo")[0])
    ratios = {
        "minimum": ratio(seconds, "convlab", "mínimo"),
        "peer": ratio(seconds, "convlab", rival),
        "memory": memory["convlab"] / min(memory[peer] for peer in chosen),
    }
    goals = GOALS.get(name, (None, None, None))
    if name == "occlusion":
        goals = (None, OCCLUSION_GOALS.get(case.net), 0.5)
    return {
        "net": case.net,
        "batch": len(case.x),
        "method": name,
        "forwards": {"counted": work.forward / unit, "minimum": method.forwards},
        "backwards": {"counted": work.backward / unit, "minimum": method.backwards},
        "weight_gradients": work.weight_gradients,
        "seconds": seconds,
        "settings": chosen,
        "best_peer": rival,
        "peak_bytes": memory,
        "ratios": ratios,
        "goals": dict(zip(ratios, goals, strict=True)),
    }


def row(result: dict[str, Any], absolute: bool) -> list[str]:
    def passes(kind: str) -> str:
        return f"{result[kind]['counted']:.4g}/{result[kind]['minimum']}"

    def against(key: str) -> str:
        value, goal = result["ratios"][key], result["goals"][key]
        middle, low, high = value if isinstance(value, tuple) else (value,) * 3
        text = f"{middle:.2f}" if low == high else f"{middle:.2f} ({low:.2f}–{high:.2f})"
        if goal is None:
            return text
        if middle <= goal:
            return f"[green]{text} ✓[/]"
        return f"[yellow]{text} ≈ {goal:.2f}[/]" if low <= goal else f"[red]{text} > {goal:.2f}[/]"

    peer = result["best_peer"]
    cells = [
        METHODS[result["method"]][0],
        passes("forwards"),
        passes("backwards"),
        str(result["weight_gradients"]),
        against("minimum"),
        against("peer"),
        f"{peer} {result['settings'][peer]}".strip(),
        against("memory"),
        f"{result['peak_bytes']['convlab'] / 1e6:.0f}",
        str(len(result["seconds"]["convlab"])),
    ]
    times = [1e3 * statistics.median(result["seconds"][who]) for who in ("convlab", "mínimo", peer)]
    return cells + [f"{milliseconds:.1f}" for milliseconds in times if absolute]


def table(title: str, results: list[dict[str, Any]], absolute: bool) -> Table:
    shown = Table(title=title)
    shown.add_column("técnica")
    columns = ["delante", "atrás", "de pesos", "÷ mínimo", "÷ rival", "rival", "memoria ÷ rival", "MB", "vueltas"]
    for heading in columns + (["ms", "ms mínimo", "ms rival"] if absolute else []):
        shown.add_column(heading, justify="left" if heading == "rival" else "right")
    for result in results:
        shown.add_row(*row(result, absolute))
    return shown


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(LAYERS), choices=LAYERS, help="redes de torchvision")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8], help="imágenes por lote")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="técnicas")
    parser.add_argument("--rounds", type=int, default=7, help="vueltas que se miden, como mucho")
    parser.add_argument("--budget", type=float, default=10, help="segundos por técnica; siempre hay una vuelta")
    parser.add_argument("--full", action="store_true", help="las de muchas pasadas, también con más de una imagen")
    parser.add_argument("--size", type=int, default=224, help="lado de la imagen, en píxeles")
    parser.add_argument("--device", default="auto", help="auto, cpu o cuda")
    parser.add_argument(
        "--quick", action="store_true", help="resnet18 a 64 px, una vuelta: solo comprueba que funciona"
    )
    parser.add_argument("--json", type=Path, help="archivo donde escribir lo medido")
    options = parser.parse_args(arguments)
    if options.quick:
        options.nets, options.batch, options.rounds, options.size, options.full = ["resnet18"], [2], 1, 64, True
    return options


def main() -> None:
    options = parse()
    warnings.filterwarnings("ignore", module="captum|pytorch_grad_cam|torchattacks|torch")
    device, console = resolve_device(options.device), Console()
    console = console if console.is_terminal else Console(width=160)  # en un archivo, las tablas no se parten
    found = machine(device)
    console.print(", ".join(f"{key} {value}" for key, value in found.items()))
    results: list[dict[str, Any]] = []
    for net in options.nets:
        model = torchvision.models.get_model(net, weights=None).eval().to(device)
        for batch in options.batch:
            x = torch.rand(batch, 3, options.size, options.size, device=device)
            case, block = Case(net, model, x, device), []
            for name in options.methods:
                if name in MANY_PASSES and batch > 1 and not options.full:
                    continue
                with console.status(f"{net}, lote {batch}, {METHODS[name][0]}"):
                    block.append(compare(case, name, options.rounds, options.budget))
                if options.json:  # tras cada técnica: si se corta, queda lo medido
                    written = {"machine": found, "results": [*results, *block]}
                    options.json.write_text(json.dumps(written, indent=1, ensure_ascii=False), "utf8")
            results += block
            console.print(table(f"{net}, {batch} × {options.size} px, {device}", block, device.type == "cuda"))
    console.print(
        "[dim]Pasadas: contadas/mínimas, por imagen. De pesos: derivadas que sobran. ÷ mínimo: las pasadas desnudas; "
        "÷ rival: menos de 1 es más rápido que él. Memoria: la suya, por omisión. En amarillo, lo que llega con el "
        "intervalo; en rojo, lo que ni así.[/]"
    )


if __name__ == "__main__":
    main()
