"""Cómo se mide en `techniques.py`: tiempos alternados, pasadas contadas, memoria de pico y en qué máquina."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # el perfilador escribe sus avisos aunque todo vaya bien

import torch
from scipy.stats import binom
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

Call = Callable[[], object]
aten = torch.ops.aten


class Work(TorchDispatchMode):
    """Cuenta lo que se calcula dentro: productos de las convoluciones, hacia delante y hacia atrás hasta la entrada.

    `weight_gradients` son las llamadas que derivan respecto de pesos, sesgos o parámetros de BatchNorm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forward = 0
        self.backward = 0
        self.weight_gradients = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not all(kind in (Tensor, nn.Parameter) for kind in types):
            return NotImplemented  # que se desmonte la subclase: se cuenta lo que ejecuta por dentro
        out = func(*args, **(kwargs or {}))
        match func.overloadpacket:
            case aten.convolution:
                self.forward += out.numel() * args[1][0].numel()
            case aten.convolution_backward:
                needs_input, *needs_weights = args[-1]
                self.backward += needs_input * args[0].numel() * args[2][0].numel()
                self.weight_gradients += any(needs_weights)
            case aten.native_batch_norm_backward | aten.cudnn_batch_norm_backward:
                self.weight_gradients += out[1] is not None
        return out


def count(call: Call) -> Work:
    with Work() as work:
        call()
    return work


def clock(call: Call, device: torch.device) -> float:
    """Segundos de una llamada, incluido lo que la GPU tenga pendiente."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def alternate(calls: Mapping[str, Call], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Segundos de cada llamada. Cada vuelta las recorre todas y empieza por otra: el ruido se reparte."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for k in range(rounds):
        turn = k % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(clock(calls[name], device))
    return seconds


def ratio(seconds: Mapping[str, list[float]], above: str, below: str) -> tuple[float, float, float]:
    """Cuánto más tarda una llamada que otra: la mediana de los cocientes de cada vuelta y su intervalo.

    Dentro de una vuelta la máquina apenas cambia, y entre vueltas sí. El intervalo es el de la mediana al 95 %, por los
    cocientes ordenados; con menos de seis vueltas son todos los vistos.
    """
    quotients = sorted(a / b for a, b in zip(seconds[above], seconds[below], strict=True))
    n = len(quotients)
    k = max(1, int(binom.ppf(0.025, n, 0.5)))
    return statistics.median(quotients), quotients[k - 1], quotients[n - k]


def peak_bytes(call: Call, device: torch.device) -> int:
    """Lo más que ocupó a la vez la memoria que la llamada pidió: no cuentan los pesos ni la entrada, que ya estaban."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    records = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for record in sorted(records, key=lambda record: record.start_ns()):
        held += record.nbytes()
        peak = max(peak, held)
    return peak


def machine(device: torch.device) -> dict[str, Any]:
    """Con qué se midió: sin esto, un tiempo no dice nada."""
    return {
        "device": str(device),
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "captum", "grad-cam", "torchattacks")},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
