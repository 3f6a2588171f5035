"""El catálogo de PGD: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.adversarial.fgsm_errors import loss_gradient
from convlab.exercises.adversarial.iterated import follow, noise, project, start
from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong

Generator = torch.Generator | None


@_wrong(
    "La pérdida baja",
    "Tus pasos van al revés: restas el signo, y la red queda cada vez más segura de la clase verdadera. El «descenso» "
    "del nombre despista; un ataque no dirigido **suma** `alpha * signo`.",
)
def _descends(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    return follow(model, z, y, steps, lambda z, g: project(z - alpha * g.sign(), x, eps))


@_wrong(
    "Sin proyectar sobre la bola",
    "En cuanto los pasos suman más que `eps`, tu imagen se sale de la bola. Con pocos pasos no se nota, y por eso "
    "engaña. Después de cada paso, proyecta sobre la bola de la imagen **original**, no de la del paso anterior.",
)
def _no_ball(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    return follow(model, z, y, steps, lambda z, g: (z + alpha * g.sign()).clamp(0, 1))


@_wrong(
    "Sin recortar a [0, 1]",
    "Tu imagen está en la bola, pero tiene valores menores que 0 o mayores que 1. Se proyecta sobre las dos cosas a la "
    "vez: tu `project_linf` ya lo hace.",
)
def _unclamped(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = x + eps * noise(x, generator) if random_start else x
    return follow(model, z, y, steps, lambda z, g: torch.clamp(z + alpha * g.sign(), x - eps, x + eps))


@_wrong(
    "Un solo gradiente para todos los pasos",
    "Has calculado el gradiente una vez, al principio, y repites el mismo paso. La dirección cambia en cuanto te "
    "mueves: calcula el gradiente **dentro** del bucle, en la imagen de ese paso.",
)
def _one_gradient(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    step = alpha * loss_gradient(model, z, y).sign()
    for _ in range(steps):
        z = project(z + step, x, eps)
    return z


@_wrong(
    "El gradiente se acumula",
    "Sumas a cada gradiente los de los pasos anteriores; ocurre al llamar a `.backward()` varias veces sin borrar "
    "`.grad`. Cada paso usa solo el suyo: empieza de una copia nueva, o usa `torch.autograd.grad`.",
)
def _accumulated(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z, total = start(x, eps, random_start, generator), torch.zeros_like(x)
    for _ in range(steps):
        total = total + loss_gradient(model, z, y)
        z = project(z + alpha * total.sign(), x, eps)
    return z


@_wrong(
    "Se proyecta solo al final",
    "Has dado todos los pasos y proyectado una vez. Mientras tanto los gradientes se calculan fuera de la bola, donde "
    "no vas a acabar. Proyecta dentro del bucle, tras cada paso.",
)
def _projected_late(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    return project(follow(model, z, y, steps, lambda z, g: z + alpha * g.sign()), x, eps)


@_wrong(
    "Gradiente sin signo",
    "Has dado pasos de `alpha` por el gradiente, que es diminuto: la imagen casi no se mueve. En L∞ cada paso usa el "
    "signo, `alpha * gradiente.sign()`.",
)
def _no_sign(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    return follow(model, z, y, steps, lambda z, g: project(z + alpha * g, x, eps))


@_wrong(
    "Pasos de eps en vez de alpha",
    "Cada paso tuyo mide `eps`: en uno ya estás en el borde, y los demás saltan de un borde a otro. `eps` es hasta "
    "dónde se puede llegar; lo que se avanza cada vez es `alpha`.",
)
def _step_of_eps(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,  # noqa: ARG001
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    return follow(model, z, y, steps, lambda z, g: project(z + eps * g.sign(), x, eps))


@_wrong(
    "Un paso de menos",
    "Das un paso menos de los pedidos. `range(1, steps)` recorre `steps - 1` valores: usa `range(steps)`.",
)
def _one_step_short(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    return follow(model, z.clone(), y, steps - 1, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "La clase que la red responde",
    "En cada paso te alejas de lo que la red responde, no de `y`. Cuando ya se equivoca, tu siguiente paso la devuelve "
    "hacia el acierto. La pérdida es siempre la de la clase verdadera.",
)
def _predicted_class(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,  # noqa: ARG001
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    for _ in range(steps):
        with torch.no_grad():
            answer = model(z).argmax(1)
        z = project(z + alpha * loss_gradient(model, z, answer).sign(), x, eps)
    return z


@_wrong(
    "Nunca empieza al azar",
    "Con `random_start=True`, que es lo normal, el ataque empieza en un punto al azar de la bola. El tuyo empieza en "
    "la propia imagen, y dos semillas dan lo mismo.",
)
def _never_random(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,  # noqa: ARG001
    generator: Generator = None,  # noqa: ARG001
) -> Tensor:  # fmt: skip
    return follow(model, x, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "Siempre empieza al azar",
    "No miras `random_start`. Con `False`, el primer gradiente se calcula en la propia imagen, y el resultado no "
    "depende del azar.",
)
def _always_random(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,  # noqa: ARG001
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, True, generator)
    return follow(model, z, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "El generador no se usa",
    "Has tomado el azar de la fuente global: con el mismo `generator` no sale lo mismo, y nadie podrá repetir tu "
    "ataque. Pásalo: `torch.rand(x.shape, generator=generator, ...)`.",
)
def _global_random(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,  # noqa: ARG001
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, None)
    return follow(model, z, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "El comienzo se sale de la bola",
    "Has sumado un azar de tamaño 1 en vez de `eps`. Al proyectar, casi todos los valores caen en el borde de la bola, "
    "y el ataque empieza siempre en una esquina. Multiplica el azar por `eps`.",
)
def _start_outside(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = x + noise(x, generator) if random_start else x
    return follow(model, z, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "El azar solo aclara",
    "`torch.rand` da números de 0 a 1, así que tu comienzo solo aclara la imagen y usa media bola. Llévalos a [-1, 1] "
    "antes de multiplicar por `eps`: `2 * azar - 1`.",
)
def _only_up(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = x + eps * torch.rand(x.shape, generator=generator, dtype=x.dtype) if random_start else x
    return follow(model, z, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "La bola rodea al comienzo",
    "Has proyectado alrededor del punto al azar donde empiezas, y puedes acabar a `2 * eps` de la imagen. La bola "
    "rodea siempre a la original: guarda `x` aparte.",
)
def _moved_ball(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    centre = start(x, eps, random_start, generator)
    return follow(model, centre, y, steps, lambda z, g: project(z + alpha * g.sign(), centre, eps))


@_wrong(
    "El mismo azar para todas las imágenes",
    "Has sorteado una sola perturbación y la compartes en todo el lote. Cada imagen, cada canal y cada píxel llevan su "
    "propio azar: pide `x.shape` números.",
)
def _shared_start(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = project(x + eps * noise(x[:1], generator), x, eps) if random_start else x
    return follow(model, z, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))


@_wrong(
    "Gradientes guardados en los parámetros",
    "La imagen es correcta, pero cada `.backward()` ha ido sumando un gradiente a los parámetros de la red. Usa "
    "`torch.autograd.grad(pérdida, z)`, que devuelve solo el de la imagen.",
)
def _backward(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    for _ in range(steps):
        z = z.detach().clone().requires_grad_()
        F.cross_entropy(model(z), y).backward()
        z = project(z + alpha * z.grad.sign(), x, eps).detach()  # type: ignore[union-attr]
    return z


@_wrong(
    "La red queda en modo de entrenamiento",
    "La imagen es correcta, pero al acabar llamas a `model.train()`, y la red que te dieron estaba en `eval`: sus "
    "respuestas empezarán a depender del azar. Déjala como estaba; para atacar no hace falta cambiarla.",
)
def _left_training(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int, random_start: bool = True,
    generator: Generator = None,
) -> Tensor:  # fmt: skip
    z = start(x, eps, random_start, generator)
    attacked = follow(model, z, y, steps, lambda z, g: project(z + alpha * g.sign(), x, eps))
    model.train()
    return attacked
