"""El catálogo de `minimal_epsilon`: lo que se escribe mal, con su diagnóstico."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from convlab.exercises.adversarial.thresholds import Attack
from convlab.exercises.catalogue import Catalogue

CATALOGUE = Catalogue()
_wrong = CATALOGUE.wrong


@torch.no_grad()
def _fooled(model: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    return model(z).argmax(1) != y


def _search(fools: Callable[[float], bool], low: float, high: float, tol: float) -> tuple[float, float]:
    """El último intervalo de la bisección."""
    while high - low > tol:
        middle = (low + high) / 2
        low, high = (low, middle) if fools(middle) else (middle, high)
    return low, high


def _one_by_one(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    high: float,
    find: Callable[[Callable[[float], bool]], float],
    *,
    failed: float | None = 0.0,
    never: float | None = math.inf,
) -> Tensor:
    """Imagen a imagen: lo que casi todos los errores tienen bien. Con `None`, ese caso no se mira."""
    values = []
    for image, label in zip(x.split(1), y.split(1), strict=True):

        def fools(eps: float, image: Tensor = image, label: Tensor = label) -> bool:
            return bool(_fooled(model, attack(model, image, label, eps), label))

        if failed is not None and _fooled(model, image, label):
            values.append(failed)
        elif never is not None and not fools(high):
            values.append(never)
        else:
            values.append(find(fools))
    return torch.tensor(values, dtype=x.dtype)


@_wrong(
    "El extremo inferior",
    "Devuelves el extremo inferior del último intervalo, y con ese tamaño el ataque **no** engaña. Se pide el "
    "superior, el menor de los probados que sí engaña.",
)
def _lower_end(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[0])


@_wrong(
    "El punto medio",
    "Devuelves la mitad del último intervalo, y ese tamaño no lo ha probado nadie: unas veces engaña y otras no. Se "
    "pide el extremo superior.",
)
def _midpoint(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: sum(_search(fools, low, high, tol)) / 2)


@_wrong(
    "Las que ya fallaba se atacan igual",
    "No miras si la red ya fallaba sin ataque. A esas imágenes no hace falta cambiarles nada: su valor es 0.",
)
def _failed_attacked(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[1], failed=None)


@_wrong(
    "A las que ya fallaba, low",
    "Cuando la red ya fallaba devuelves `low`. Con `low=0` coincide, pero se pide 0, empiece donde empiece la "
    "búsqueda: no hay que cambiar nada.",
)
def _failed_low(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[1], failed=low)


@_wrong(
    "high donde nada engaña",
    "Si ni con `high` se engaña a la red, tu búsqueda acaba en `high` y parece que ahí sí. Pruébalo antes de dividir: "
    "en esas imágenes el valor es infinito.",
)
def _high_when_never(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[1], never=None)


@_wrong(
    "La bisección va al revés",
    "Cuando el punto medio engaña te quedas con la mitad alta, y el umbral está en la otra. Si engaña, baja el extremo "
    "superior; si no, sube el inferior.",
)
def _reversed(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(lambda eps: not fools(eps), low, high, tol)[1])


@_wrong(
    "Un mismo tamaño para todas",
    "Buscas el tamaño que engaña a **todas** las imágenes a la vez, y manda la que más aguanta. Cada imagen lleva su "
    "propio intervalo.",
)
def _hardest(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    failed = _fooled(model, x, y)
    never = ~_fooled(model, attack(model, x, y, high), y) & ~failed
    rows = (~failed & ~never).nonzero()[:, 0]
    end = _search(
        lambda eps: bool(_fooled(model, attack(model, x[rows], y[rows], eps), y[rows]).all()), low, high, tol
    )[1]
    result = torch.full((len(x),), end, dtype=x.dtype)
    return result.masked_fill(never, math.inf).masked_fill(failed, 0)


@_wrong(
    "Ataques sobre ataques",
    "Atacas la imagen que dejó el intento anterior, y los cambios se van sumando. Cada intento parte de la imagen "
    "original: guarda el resultado con otro nombre.",
)
def _stacked(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    values = []
    for image, label in zip(x.split(1), y.split(1), strict=True):
        if _fooled(model, image, label):
            values.append(0.0)
        elif not _fooled(model, attack(model, image, label, high), label):
            values.append(math.inf)
        else:
            moving, a, b = image, low, high
            while b - a > tol:
                middle = (a + b) / 2
                moving = attack(model, moving, label, middle)
                a, b = (a, middle) if _fooled(model, moving, label) else (middle, b)
            values.append(b)
    return torch.tensor(values, dtype=x.dtype)


@_wrong(
    "Diez vueltas, sea cual sea la tolerancia",
    "Divides siempre diez veces y no miras `tol`. Con un intervalo ancho o una tolerancia pequeña no basta: repite "
    "mientras `high - low > tol`.",
)
def _ten_rounds(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    width = max((high - low) / 1000, tol)  # como mucho, diez divisiones
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, width)[1])


@_wrong(
    "Barrido en vez de bisección",
    "Pruebas un tamaño tras otro, de `tol` en `tol`. El resultado es bueno, pero con una tolerancia pequeña son miles "
    "de ataques; dividir el intervalo en dos cada vez necesita una docena.",
)
def _scan(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    def find(fools: Callable[[float], bool]) -> float:
        eps = low
        while not fools(eps):
            eps += tol
        return min(eps, high)

    return _one_by_one(model, x, y, attack, high, find)


@_wrong(
    "El ataque, sin derivadas",
    "Llamas al ataque dentro de `torch.no_grad()`, y un ataque que deriva, como tu `fgsm`, no encuentra grafo y falla. "
    "Deja dentro solo la pasada por la red: `model(...)`.",
)
@torch.no_grad()
def _without_gradients(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[1])


@_wrong(
    "Se busca desde cero",
    "No miras `low`: empiezas siempre en 0 y puedes acabar por debajo de donde se te pide buscar. El primer intervalo "
    "es `[low, high]`.",
)
def _from_zero(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3  # noqa: ARG001
) -> Tensor:  # fmt: skip
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, 0.0, high, tol)[1])


@_wrong(
    "En niveles de 0 a 255",
    "Has multiplicado el resultado por 255. `eps` va en las unidades de la imagen, [0, 1], al entrar y al salir; los "
    "niveles son para contarlo.",
)
def _levels(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return 255 * _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[1])


@_wrong(
    "El tipo no es el de las imágenes",
    "Los valores son correctos, pero `torch.tensor(lista)` sale siempre en float32. Pide el tipo y el dispositivo de "
    "las imágenes: `torch.tensor(lista, dtype=x.dtype, device=x.device)`.",
)
def _single_precision(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, low: float = 0.0, high: float = 0.1, tol: float = 1e-3
) -> Tensor:
    return _one_by_one(model, x, y, attack, high, lambda fools: _search(fools, low, high, tol)[1]).float()
