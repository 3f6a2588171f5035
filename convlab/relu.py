"""Otras reglas para derivar la ReLU, sin tocar el modelo; se usan desde `convlab.hooks`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Self

from torch import Tensor

from convlab.errors import ConvlabError, unknown_name

RULES = ("backprop", "deconvnet", "guided")

# Nodos del grafo que esconden otras operaciones, entre las que puede haber una ReLU.
_OPAQUE = re.compile("Compiled|DifferentiableGraph|CheckpointFunction|CopySlices")
_BACKWARD = re.compile(r"(Backward)?\d*$")  # de «ReluBackward0» queda «Relu»


def override_relu(rule: str) -> ReluOverride:
    """Deriva con otra regla las ReLU y ReLU6 de las que depende una salida, sin tocar el modelo.

    Las busca en el grafo de la salida, así que da igual cómo estén escritas: módulos, funciones, variantes *in-place*,
    `clamp(min=0)` o TorchScript. Las demás activaciones siguen con su derivada.

    Parameters
    ----------
    rule
        Qué gradiente deja pasar: `"backprop"`, donde la activación era positiva; `"deconvnet"` (Zeiler y
        Fergus, 2014), donde el propio gradiente es positivo; `"guided"` (Springenberg et al., 2015), donde
        lo son los dos.

    Returns
    -------
    ReluOverride
        Un contexto. Dentro de él se llama con la salida, que devuelve, y al derivarla se aplica la regla; al salir
        del contexto, el grafo queda como estaba.

    Raises
    ------
    ConvlabError
        Si la regla no existe; al llamarlo con la salida, si el grafo esconde operaciones (un modelo compilado, partes
        de un tensor cambiadas *in-place*) a las que la regla no llegaría.

    Examples
    --------
    >>> x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    >>> y = torch.relu(x) * torch.tensor([1.0, 1.0, -1.0])
    >>> with override_relu("guided") as override:
    ...     torch.autograd.grad(override(y).sum(), x)[0]
    tensor([0., 1., 0.])
    """
    return ReluOverride(rule)


class ReluOverride:
    """Contexto que devuelve `override_relu`.

    `relus` cuenta las ReLU de las salidas que ha recibido, y `operations` son los nombres de todo lo que hay en sus
    grafos, como `Relu` o `Convolution`.
    """

    def __init__(self, rule: str) -> None:
        if rule not in RULES:
            raise unknown_name("la regla", rule, RULES)
        self.rule = rule
        self.relus = 0
        self.operations: set[str] = set()
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def __call__(self, output: Tensor) -> Tensor:
        """Devuelve la misma salida, cuyas ReLU se derivarán con la regla mientras dure el contexto."""
        names = {node: _BACKWARD.sub("", node.name()) for node in _graph(output)}
        relus = [node for node, name in names.items() if _is_relu(node, name)]
        self.relus += len(relus)
        self.operations.update(names.values())
        if self.rule == "backprop":
            return output
        hidden = sorted(name.rpartition("::")[2] for name in self.operations if _OPAQUE.search(name))
        if hidden:
            raise ConvlabError(
                f"El modelo esconde parte de lo que calcula ({', '.join(hidden)}): quizá está compilado, o cambia solo "
                f"una parte de un tensor. Si ahí hay ReLU, la regla «{self.rule}» no se les aplicaría. Usa el modelo "
                "original, sin compilar, o un método que no cambie la ReLU, como saliency_map."
            )
        self._handles += map(_HOOKS[self.rule], relus)
        return output


def _graph(output: Tensor) -> set[Any]:
    """Las operaciones de las que depende un tensor: los nodos de su grafo."""
    seen: set[Any] = {output.grad_fn} - {None}
    pending = list(seen)
    while pending:
        parents = {parent for parent, _ in pending.pop().next_functions} - seen - {None}
        seen |= parents
        pending += parents
    return seen


def _is_relu(node: Any, name: str) -> bool:
    match name:
        case "Relu":
            return True
        case "Hardtanh":  # lo que nn.ReLU6 ejecuta por dentro
            return node._saved_min_val == 0
        case "Threshold":
            return node._saved_threshold == 0
        case "ClampMin":
            return node._saved_min == 0
        case "Clamp":  # con un máximo, es más bien un recorte de la imagen; con tensores, otra cosa
            low = node._saved_min
            return not isinstance(low, Tensor) and low == 0 and node._saved_max is None
    return False


def _positive(gradients: Sequence[Tensor | None]) -> tuple[Tensor | None]:
    """La parte positiva del gradiente que le llega a una ReLU; si no le llega ninguno, ninguno."""
    (gradient,) = gradients
    return (None if gradient is None else gradient.clamp(min=0),)


_HOOKS: dict[str, Callable[[Any], Any]] = {
    # Lo que sale hacia atrás es lo positivo de lo que llega, fuera cual fuera la activación.
    "deconvnet": lambda node: node.register_hook(lambda _masked, gradients: _positive(gradients)),
    # A la derivada de PyTorch solo le llega lo positivo.
    "guided": lambda node: node.register_prehook(_positive),
}
