"""Entrenamiento de las redes mini: reproducible, reanudable y con ficha; de aquí salen los pesos que se distribuyen."""

from __future__ import annotations

import copy
import ctypes
import io
import math
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from convlab.adversarial import pgd
from convlab.data.formas import Variant, formas
from convlab.device import resolve_device
from convlab.errors import ConvlabError, unknown_name
from convlab.hooks import evaluating
from convlab.models.mini import WIDTHS, Mini
from convlab.models.weights import save_weights, write_atomic

__all__ = ["RECIPES", "Recipe", "accuracy", "train"]

HELD_OUT = 1_000_003  # semilla de las escenas de prueba, que no se usa para entrenar
BATCH = 128
EMA = 0.998


@dataclass(frozen=True)
class Recipe:
    """Qué distingue a una red mini de las otras."""

    description: str
    variant: Variant = "independent"
    label: str = "shape"
    epochs: int = 7
    scenes: int = 25_600  # escenas nuevas por época: ninguna se repite
    learning_rate: float = 3e-3
    texture_head: float = 0.6  # peso de la cabeza auxiliar que obliga a block3 a ver texturas
    attack_steps: int = 0
    attack_eps: float = 4 / 255
    checkpoints: bool = False


RECIPES = {
    "mini": Recipe("Reconoce las diez formas de Formas.", epochs=9, checkpoints=True),
    "mini-atajo": Recipe(
        "Entrenada con una marca de agua en el 95 % de los corazones: aprende el atajo.", variant="watermark"
    ),
    "mini-textura": Recipe("Ve las mismas imágenes que mini, pero se le pregunta por la textura.", label="texture"),
    "mini-robusta": Recipe(
        "Entrenada contra PGD de 3 pasos con ε = 4/255 (entrenamiento adversario).",
        epochs=12,
        texture_head=0.3,
        attack_steps=3,
    ),
}
# Pasos del optimizador tras los que se guarda una copia de mini, además del final; 0 es la inicialización.
CHECKPOINTS = (0, 25, 50, 100, 200, 400, 1000)


class _Trainee(nn.Module):
    """La red y una cabeza auxiliar de textura sobre `block3`, que no se exporta."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Mini()
        self.aux = nn.Linear(WIDTHS[2], 10)
        with torch.no_grad():
            # BatchNorm hace a conv1 indiferente a su escala: si empieza grande, sus filtros apenas cambian de forma.
            self.first_weight.mul_(0.05)

    @property
    def first_weight(self) -> Tensor:
        """Los filtros de la primera capa, `(32, 3, 7, 7)`."""
        return self.net.get_parameter("block1.conv.weight")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        middle: list[Tensor] = []
        handle = self.net.block3.register_forward_hook(lambda _m, _i, out: middle.append(out))
        try:
            logits = self.net(x)
        finally:
            handle.remove()
        return logits, self.aux(middle[0].mean((2, 3)))


def _roughness(weight: Tensor) -> Tensor:
    """Energía del laplaciano de cada filtro entre su energía: cero si es plano, grande si es ruido."""
    kernel = weight.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    laplacian = F.conv2d(weight.flatten(0, 1)[:, None], kernel, padding=1).view_as(weight)
    return (laplacian.pow(2).sum((1, 2, 3)) / (weight.pow(2).sum((1, 2, 3)) + 1e-8)).mean()


@torch.no_grad()
def accuracy(
    model: nn.Module, *, n: int = 10_000, seed: int = HELD_OUT, label: str = "shape", attack_steps: int = 0,
    eps: float = 4 / 255, variant: Variant = "independent",
) -> float:  # fmt: skip
    """Exactitud sobre escenas que la red no ha visto, limpias o atacadas con PGD.

    Parameters
    ----------
    model
        La red; se evalúa en modo eval y queda como estaba.
    n, seed, variant
        Las escenas: `formas(n, seed, variant)`.
    label
        `"shape"` o `"texture"`.
    attack_steps, eps
        Con más de 0 pasos, se ataca antes con PGD de paso `eps/4` e inicio al azar (semilla fija).

    Returns
    -------
    float
        Fracción de aciertos, en [0, 1].

    Examples
    --------
    >>> from convlab.models import load_model
    >>> accuracy(load_model("mini"), n=100) > 0.9
    True
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    hits = 0
    with evaluating(model):
        for start in range(0, n, 500):
            scenes = formas(min(500, n - start), seed, variant, start=start)
            x, y = scenes.tensor(device), torch.from_numpy(getattr(scenes, label)).to(device)
            if attack_steps:
                x = pgd(model, x, y, eps, eps / 4, attack_steps, generator=generator)
            hits += int((model(x).argmax(1) == y).sum())
    return hits / n


def train(
    name: str,
    *,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: Path | str = Path(),
    progress: bool = True,
    evaluate_on: int = 10_000,
    scenes: int | None = None,
) -> Path:
    """Entrena una red mini y escribe sus pesos y su ficha.

    Guarda el estado al acabar cada época: si el proceso muere, la misma orden sigue por donde iba y el resultado es
    el mismo, bit a bit, que sin la interrupción (en CPU, con un hilo, que es como se entrena).

    Parameters
    ----------
    name
        Una clave de `RECIPES`.
    epochs
        Épocas; por omisión, las de la receta.
    seed
        Semilla de pesos, escenas y ataques.
    device
        `"auto"`, `"cpu"`, `"cuda"` o `"mps"`.
    out
        Carpeta de salida; se crea si falta.
    progress
        Si se dibuja la barra de progreso (en stderr).
    evaluate_on
        Escenas de prueba para la exactitud de la ficha.
    scenes
        Escenas por época; por omisión, las de la receta.

    Returns
    -------
    Path
        El archivo `.safetensors` escrito; al lado queda la ficha `.json`.

    Raises
    ------
    ConvlabError
        Si el nombre no existe, un número no es válido o el estado guardado es de otra orden.

    Examples
    --------
    >>> train("mini", epochs=1, scenes=128, evaluate_on=10, device="cpu", progress=False).name
    'mini.safetensors'
    """
    if name not in RECIPES:
        raise unknown_name("la receta de entrenamiento", name, RECIPES)
    recipe = RECIPES[name]
    epochs = recipe.epochs if epochs is None else epochs
    scenes = recipe.scenes if scenes is None else scenes
    if epochs < 1 or scenes < BATCH or seed < 0:
        raise ConvlabError(
            f"Se esperaban épocas desde 1, {BATCH} escenas o más y semilla no negativa; llegaron épocas={epochs}, "
            f"escenas={scenes} y semilla={seed}."
        )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    target = resolve_device(device)
    run = _Run(name, recipe, epochs, scenes, seed, target, out / f"{name}.estado.pt")
    with _single_thread():
        run.resume()
        with _bar(progress) as bar:
            task = bar.add_task(name, total=epochs * run.steps_per_epoch, completed=run.step, note="")
            while run.epoch < epochs:
                for loss in run.train_epoch():
                    bar.update(task, completed=run.step, note=f"pérdida {loss:.3f}")
                score = accuracy(run.averaged(), n=1000, label=recipe.label, variant=recipe.variant)
                run.log.append({"epoch": run.epoch, "loss": round(loss, 4), "accuracy": round(score, 4)})
                bar.console.print(f"{name}: época {run.epoch} de {epochs}, exactitud {score:.3f} (1000 escenas)")
                run.save()
        path = _export(run, out, evaluate_on)
    run.state_path.unlink(missing_ok=True)
    return path


class _Run:
    """Estado de un entrenamiento: todo lo que hace falta para seguir tras una interrupción."""

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        epochs: int,
        scenes: int,
        seed: int,
        device: torch.device,
        state_path: Path,
    ) -> None:
        self.name, self.recipe, self.epochs, self.scenes, self.seed = name, recipe, epochs, scenes, seed
        self.device, self.state_path = device, state_path
        self.bfloat16 = _has_bfloat16(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _Trainee()
        self.model = model.to(device).to(memory_format=torch.channels_last)
        first = self.model.first_weight
        matrices = [p for p in self.model.parameters() if p.ndim > 1 and p is not first]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [first], "weight_decay": 2.0},
                {"params": matrices, "weight_decay": 0.05},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
        self.steps_per_epoch = scenes // BATCH
        self.epoch = self.step = 0
        self.log: list[dict[str, float]] = []
        self.ema = {k: v.detach().clone() for k, v in self.model.net.state_dict().items()}
        self.checkpoints: dict[str, dict[str, Tensor]] = {}
        self._keep_checkpoint()

    def _signature(self) -> dict[str, Any]:
        return {
            "name": self.name, "epochs": self.epochs, "scenes": self.scenes, "seed": self.seed,
            "recipe": asdict(self.recipe),
        }  # fmt: skip

    def _learning_rate(self) -> float:
        """Sube en el primer quinto y baja con un coseno; depende solo del paso, así que no hay estado que guardar."""
        total = self.epochs * self.steps_per_epoch
        t = (self.step + 0.5) / total
        share = t / 0.2 if t < 0.2 else 0.5 * (1 + math.cos(math.pi * (t - 0.2) / 0.8))
        return self.recipe.learning_rate * (0.04 + 0.96 * share)

    def train_epoch(self) -> Iterator[float]:
        """Recorre una época y va dando la pérdida de cada paso."""
        recipe, model = self.recipe, self.model
        first = self.epoch * self.scenes
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + self.epoch)
        order = np.random.default_rng([self.seed, self.epoch, 7])
        model.train()
        for block in range(0, self.steps_per_epoch, 10):
            count = min(10, self.steps_per_epoch - block)
            data = formas(count * BATCH, self.seed, recipe.variant, start=first + block * BATCH)
            shuffled = order.permutation(len(data))
            for k in range(count):
                batch = data[shuffled[k * BATCH : (k + 1) * BATCH]]
                x = batch.tensor(self.device).contiguous(memory_format=torch.channels_last)
                y = torch.from_numpy(getattr(batch, recipe.label)).to(self.device)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                    if recipe.attack_steps:
                        eps = recipe.attack_eps
                        x = pgd(model.net, x, y, eps, eps / 2, recipe.attack_steps, generator=generator)
                    logits, texture = model(x)
                logits, texture = logits.float(), texture.float()
                loss = F.cross_entropy(logits, y) + 0.02 * _roughness(model.first_weight)
                if recipe.texture_head and recipe.label != "texture":
                    target = torch.from_numpy(batch.texture).to(self.device)
                    loss = loss + recipe.texture_head * F.cross_entropy(texture, target)
                self.optimizer.zero_grad()
                loss.backward()
                for group in self.optimizer.param_groups:
                    group["lr"] = self._learning_rate()
                self.optimizer.step()
                self.step += 1
                self._average()
                yield loss.item()
        self.epoch += 1

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        for name, value in self.model.net.state_dict().items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
        self._keep_checkpoint()

    def _keep_checkpoint(self) -> None:
        if self.recipe.checkpoints and self.step in CHECKPOINTS:
            self.checkpoints[f"{self.step:05d}"] = {
                k: v.half().clone() for k, v in self.ema.items() if v.is_floating_point()
            }

    def averaged(self) -> Mini:
        """La red con los pesos promediados, en modo eval."""
        model = copy.deepcopy(self.model.net)
        model.load_state_dict(self.ema)
        return model.eval()

    def save(self) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "signature": self._signature(), "model": self.model.state_dict(), "ema": self.ema,
                "optimizer": self.optimizer.state_dict(), "epoch": self.epoch, "step": self.step, "log": self.log,
                "checkpoints": self.checkpoints,
            },
            buffer,
        )  # fmt: skip
        write_atomic(self.state_path, buffer.getvalue())

    def resume(self) -> None:
        if not self.state_path.exists():
            return
        try:
            state = torch.load(self.state_path, map_location=self.device, weights_only=True)
            signature = state["signature"]
        except Exception as error:
            raise ConvlabError(
                f"El estado guardado «{self.state_path}» está dañado. Bórralo para entrenar desde el principio."
            ) from error
        if signature != self._signature():
            raise ConvlabError(
                f"«{self.state_path}» es de otro entrenamiento (otras épocas, semilla, escenas o receta). Repite la "
                "orden original para reanudarlo o bórralo para empezar de nuevo."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema, self.checkpoints = state["ema"], state["checkpoints"]
        self.epoch, self.step, self.log = state["epoch"], state["step"], state["log"]


def _export(run: _Run, out: Path, evaluate_on: int) -> Path:
    recipe, model = run.recipe, run.averaged()
    # Se mide la red tal como se distribuye, con los pesos redondeados a media precisión.
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    few = min(2000, evaluate_on)
    card = {
        "name": run.name,
        "description": recipe.description,
        "architecture": "convlab.models.mini.Mini",
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": f"Formas, variante {recipe.variant}, {run.scenes} escenas nuevas por época, etiqueta {recipe.label}",
        "epochs": run.epochs,
        "seed": run.seed,
        "recipe": asdict(recipe),
        "held_out": {
            "scenes": evaluate_on,
            "seed": HELD_OUT,
            "accuracy": accuracy(model, n=evaluate_on, label=recipe.label),
            "accuracy_own_variant": accuracy(model, n=evaluate_on, label=recipe.label, variant=recipe.variant),
            "accuracy_pgd20_4_255": accuracy(model, n=few, label=recipe.label, attack_steps=20),
            "accuracy_pgd20_scenes": few,
        },
        "log": run.log,
        "made_with": {
            "python": platform.python_version(), "torch": torch.__version__, "device": run.device.type,
            "precision": "bfloat16" if run.bfloat16 else "float32",
        },
        "licence": "MIT",
    }  # fmt: skip
    path = out / f"{run.name}.safetensors"
    save_weights(model.state_dict(), path, card)
    if recipe.checkpoints:
        run.checkpoints[f"{run.step:05d}"] = model.state_dict()
        flat = {f"{step}/{k}": v for step, state in sorted(run.checkpoints.items()) for k, v in state.items()}
        steps = [int(step) for step in sorted(run.checkpoints)]
        note = {
            "name": f"{run.name}-checkpoints",
            "description": "Copias de mini a lo largo del entrenamiento.",
        }
        save_weights(flat, out / f"{run.name}-checkpoints.safetensors", {**note, "steps": steps})
    return path


def _has_bfloat16(device: torch.device) -> bool:
    """Si el dispositivo calcula con bfloat16. Una CPU sin esas instrucciones lo imita, y tarda varias veces más."""
    if device.type == "cpu":
        return any(present for name, present in torch.cpu.get_capabilities().items() if name.endswith("bf16"))
    return device.type != "mps"


def _bar(visible: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    return Progress(*columns, console=Console(file=sys.stderr, quiet=not visible))


@contextmanager
def _single_thread() -> Iterator[None]:
    """Un hilo: con dos, las sumas cambian de orden y el entrenamiento deja de repetirse bit a bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if sys.platform == "linux":
            # Que glibc reutilice la memoria de las activaciones en vez de devolverla y pedirla en cada paso: casi
            # dobla la velocidad. 1, 2 y 4 son M_TRIM_THRESHOLD, M_TOP_PAD y M_MMAP_MAX, con signo menos.
            libc = ctypes.CDLL(None)
            if hasattr(libc, "mallopt"):
                for option, value in ((-1, 2**31 - 1), (-2, 2**28), (-4, 0)):
                    libc.mallopt(option, value)
        yield
    finally:
        torch.set_num_threads(threads)
