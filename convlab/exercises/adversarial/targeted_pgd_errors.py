"""El catálogo de PGD dirigido: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.adversarial.fgsm_errors import loss_gradient
from convlab.exercises.adversarial.iterated import follow, noise, project, start
from convlab.exercises.catalogue import Catalogue
from convlab.hooks import input_gradient

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Target = int | Tensor
Generator = torch.Generator | None


def _classes(target: Target, x: Tensor) -> Tensor:
    return torch.as_tensor(target).expand(len(x))


@_wrong(
    "Signo del paso dirigido",
    "Sumas el signo, como en `pgd`, y eso **sube** la pérdida de la clase pedida: te alejas de ella. Para acercarte "
    "hay que bajarla: `z - alpha * signo`.",
)
def _ascends(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, generator), _classes(target, x)
    return follow(model, z, k, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "Te alejas en vez de dirigirte",
    "Subes la pérdida de lo que la red responde y no usas `target`. Con dos clases da lo mismo; con más, acabas en la "
    "que caiga más cerca. Baja la pérdida de la clase pedida.",
)
def _untargeted(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,  # noqa: ARG001
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    with torch.no_grad():
        answer = model(x).argmax(1)
    z = start(x, eps, random_start, generator)
    return follow(model, z, answer, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "El logit en vez de la pérdida",
    "Has subido el logit de la clase pedida sin mirar los demás, que pueden subir más. La entropía cruzada cuenta con "
    "todos: baja `F.cross_entropy(model(z), clases)`.",
)
def _logit(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    for _ in range(steps):
        g = input_gradient(model, z, lambda logits: logits[torch.arange(len(logits)), target])
        z = project(z + alpha * g.sign(), x, eps)
    return z


@_wrong(
    "La clase de la primera imagen para todas",
    "Con un `LongTensor` solo has mirado su primer valor. Cada imagen tiene su clase pedida: pasa el tensor entero a "
    "`F.cross_entropy`.",
)
def _first_class_for_all(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, generator), _classes(target, x)[:1].expand(len(x))
    return follow(model, z, k, steps, lambda z, g: project(z - alpha * g.sign(), x, eps))


@_wrong(
    "Un entero no vale",
    "Tu función falla cuando `target` es un entero, porque `F.cross_entropy` quiere una clase por imagen. Repítelo: "
    "`torch.as_tensor(target).expand(len(x))` sirve para los dos casos.",
)
def _needs_tensor(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    for _ in range(steps):
        z = z.clone().requires_grad_()
        (g,) = torch.autograd.grad(F.cross_entropy(model(z), target), z)  # type: ignore[arg-type]
        z = project(z.detach() - alpha * g.sign(), x, eps)
    return z


@_wrong(
    "Se detiene al llegar",
    "Dejas de mover una imagen en cuanto la red responde la clase pedida. Queda en la frontera, y cualquier redondeo "
    "la devuelve. El enunciado pide dar todos los pasos, ya esté o no.",
)
def _stops_early(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, generator).clone(), _classes(target, x)
    for _ in range(steps):
        with torch.no_grad():
            pending = (model(z).argmax(1) != k).view(-1, 1, 1, 1)
        z = torch.where(pending, project(z - alpha * loss_gradient(model, z, k).sign(), x, eps), z)
    return z


@_wrong(
    "Sin proyectar sobre la bola",
    "En cuanto los pasos suman más que `eps`, tu imagen se sale de la bola. Proyecta después de cada paso, alrededor "
    "de la imagen original.",
)
def _no_ball(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, generator), _classes(target, x)
    return follow(model, z, k, steps, lambda z, g: (z - alpha * g.sign()).clamp(0, 1))


@_wrong(
    "Sin recortar a [0, 1]",
    "Tu imagen tiene valores menores que 0 o mayores que 1, y ya no es una imagen. La bola y [0, 1] se cumplen a la "
    "vez: tu `project_linf` hace las dos cosas.",
)
def _unclamped(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = x + eps * noise(x, generator) if random_start else x, _classes(target, x)
    return follow(model, z, k, steps, lambda z, g: torch.clamp(z - alpha * g.sign(), x - eps, x + eps))


@_wrong(
    "Un solo gradiente para todos los pasos",
    "Has calculado el gradiente una vez y repites el mismo paso. Al moverte, la dirección cambia: calcúlalo dentro del "
    "bucle, en la imagen de ese paso.",
)
def _one_gradient(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    step = alpha * loss_gradient(model, z, _classes(target, x)).sign()
    for _ in range(steps):
        z = project(z - step, x, eps)
    return z


@_wrong(
    "Se proyecta solo al final",
    "Has dado todos los pasos y proyectado una vez. Mientras tanto los gradientes se calculan fuera de la bola, donde "
    "no vas a acabar. Proyecta dentro del bucle, tras cada paso.",
)
def _projected_late(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, generator), _classes(target, x)
    return project(follow(model, z, k, steps, lambda z, g: z - alpha * g.sign()), x, eps)


@_wrong(
    "Nunca empieza al azar",
    "Con `random_start=True`, que es lo normal, se empieza en un punto al azar de la bola. El tuyo empieza en la "
    "propia imagen, y dos semillas dan lo mismo.",
)
def _never_random(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,  # noqa: ARG001
    generator: Generator = None,  # noqa: ARG001
) -> Tensor:  # fmt: skip
    return follow(model, x, _classes(target, x), steps, lambda z, g: project(z - alpha * g.sign(), x, eps))


@_wrong(
    "El generador no se usa",
    "Has tomado el azar de la fuente global: con el mismo `generator` no sale lo mismo, y nadie podrá repetir tu "
    "ataque. Pásalo: `torch.rand(x.shape, generator=generator, ...)`.",
)
def _global_random(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,  # noqa: ARG001
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, None), _classes(target, x)
    return follow(model, z, k, steps, lambda z, g: project(z - alpha * g.sign(), x, eps))


@_wrong(
    "El comienzo se sale de la bola",
    "Has sumado un azar de tamaño 1 en vez de `eps`. Al proyectar, casi todos los valores caen en el borde, y el "
    "ataque empieza siempre en una esquina. Multiplica el azar por `eps`.",
)
def _start_outside(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = x + noise(x, generator) if random_start else x, _classes(target, x)
    return follow(model, z, k, steps, lambda z, g: project(z - alpha * g.sign(), x, eps))


@_wrong(
    "Gradientes guardados en los parámetros",
    "La imagen es correcta, pero cada `.backward()` ha ido sumando un gradiente a los parámetros de la red. Usa "
    "`torch.autograd.grad(pérdida, z)`, que devuelve solo el de la imagen.",
)
def _backward(
    model: nn.Module, x: Tensor, target: Target, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, k = start(x, eps, random_start, generator), _classes(target, x)
    for _ in range(steps):
        z = z.detach().clone().requires_grad_()
        F.cross_entropy(model(z), k).backward()
        z = project(z - alpha * z.grad.sign(), x, eps).detach()  # type: ignore[union-attr]
    return z
