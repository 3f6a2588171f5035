"""Otras maneras de escribir bien Grad-CAM."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlab.exercises.catalogue import Catalogue
from convlab.hooks import activation_and_gradient

_catalogue = Catalogue()
_right = _catalogue.right
VARIANTS = _catalogue.variants

Target = int | Tensor


@_right
def _image_by_image(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    """Con un bucle sobre imágenes y canales, y los ganchos de `convlab`."""
    maps = []
    for n in range(len(x)):
        k = target if isinstance(target, int) else int(target[n])
        a, g = activation_and_gradient(model, x[n : n + 1], layer, lambda logits, k=k: logits[0, k])  # type: ignore[misc]
        heat = torch.zeros_like(a[0, 0])
        for c in range(a.shape[1]):
            heat += g[0, c].mean() * a[0, c]
        maps.append(F.interpolate(heat.clamp(min=0)[None, None], size=x.shape[2:], mode="bilinear")[0, 0])
    return torch.stack(maps)


@_right
def _graph_from_the_input(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    """Con el grafo desde una copia de la entrada, derivadas por `grad_outputs` y la interpolación escrita a mano."""
    kept: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept["maps"] = output
        return output.clone()

    hook = model.get_submodule(layer).register_forward_hook(keep)
    try:
        logits = model(x.clone().requires_grad_())
    finally:
        hook.remove()
    chosen = F.one_hot(torch.as_tensor(target).expand(len(x)), logits.shape[1]).to(logits.dtype)
    (g,) = torch.autograd.grad(logits, kept["maps"], grad_outputs=chosen)
    a = kept["maps"].detach()
    heat = torch.maximum((g.flatten(2).mean(2)[:, :, None] * a.flatten(2)).sum(1), a.new_zeros(()))
    rows, columns = _bilinear(a.shape[2], x.shape[2], a), _bilinear(a.shape[3], x.shape[3], a)
    return rows @ heat.reshape(len(x), *a.shape[2:]) @ columns.T


def _bilinear(size: int, wanted: int, like: Tensor) -> Tensor:
    """Matriz `(wanted, size)` de la interpolación lineal con `align_corners=False`."""
    place = ((torch.arange(wanted) + 0.5) * size / wanted - 0.5).clamp(0, size - 1)
    distance = (place[:, None] - torch.arange(size)[None, :]).abs()
    return (1 - distance).clamp(min=0).to(like)


class _Cut(nn.Module):
    """Ejecuta otro módulo y hace que el grafo empiece en su salida."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.leaf = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.leaf = self.inner(x).detach().requires_grad_()
        return self.leaf.clone()


@_right
def _module_replaced(model: nn.Module, x: Tensor, target: Target, layer: str) -> Tensor:
    """Sin ganchos: cambia el módulo por otro que corta el grafo y lo devuelve a su sitio al acabar."""
    parent_name, _, name = layer.rpartition(".")
    parent, original = model.get_submodule(parent_name), model.get_submodule(layer)
    cut = _Cut(original)
    setattr(parent, name, cut)
    try:
        score = model(x).gather(1, torch.as_tensor(target).expand(len(x))[:, None]).sum()
    finally:
        setattr(parent, name, original)
    (g,) = torch.autograd.grad(score, cut.leaf)
    a = cut.leaf.detach()
    heat = torch.relu(torch.einsum("nc,nchw->nhw", g.mean((2, 3)), a))
    return nn.Upsample(size=x.shape[2:], mode="bilinear")(heat.unsqueeze(1)).squeeze(1)
