"""Figuras de la lección 10: qué se añade a cada imagen, cuánto aguanta cada red y qué ataques pasan de una a otra."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from convlab.errors import ConvlabError, unknown_name
from convlab.plots.common import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["accuracy_curves", "attack_panel", "patch_panel", "transfer_plot"]

Norm = Literal["linf", "l2"]
"""En qué se mide `eps`: `"linf"` se rotula en niveles de 255; `"l2"`, en distancia euclídea."""
AXES = {"linf": (255, "ε (niveles de 255, norma L∞)"), "l2": (1, "ε (norma L2)")}
MARKERS = "os^Dv"


def attack_panel(
    x: Tensor,
    x_adv: Tensor,
    logits: Tensor,
    logits_adv: Tensor,
    classes: Sequence[str],
    *,
    factor: float | None = None,
) -> Figure:
    """Enfrenta cada imagen, la perturbación amplificada y la imagen atacada, con lo que responde la red.

    La perturbación se dibuja como `0.5 + factor · (x_adv − x)`: el cero es gris, y el factor, el mismo en todas las
    filas, va en el título.

    Parameters
    ----------
    x, x_adv
        Imágenes limpias y atacadas, `(N, 3, H, W)` en [0, 1].
    logits, logits_adv
        Lo que responde la red a unas y a otras, `(N, K)`: el título da la clase y su probabilidad.
    classes
        Los nombres de las `K` clases.
    factor
        Cuánto se amplifica; por omisión, lo que lleva el mayor cambio del lote al extremo de la escala.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los lotes no son iguales, los logits no son `(N, K)` o los nombres no son `K`.

    Examples
    --------
    >>> x, logits = torch.rand(2, 3, 8, 8), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> len(attack_panel(x, (x + 0.03).clamp(0, 1), logits, -logits, ["círculo", "cuadrado"]).axes)
    6
    """
    import matplotlib.pyplot as plt

    _check_images(x)
    if x.shape != x_adv.shape or logits.shape != logits_adv.shape or logits.shape != (len(x), len(classes)):
        raise ConvlabError(
            f"Se esperaban dos lotes iguales y logits ({len(x)}, {len(classes)}), y llegaron imágenes {tuple(x.shape)} "
            f"y {tuple(x_adv.shape)}, y logits {tuple(logits.shape)} y {tuple(logits_adv.shape)}."
        )
    delta = (x_adv.detach().float() - x.detach().float()).cpu()
    peak = float(delta.abs().max())
    if factor is None:
        factor = 0.5 / peak if peak > 0 else 1.0
        factor = float(math.floor(factor)) if factor >= 10 else round(factor, 1)
    columns = [x, 0.5 + factor * delta, x_adv]
    titles = [_answers(logits, classes), [], _answers(logits_adv, classes)]
    with plt.rc_context(STYLE):
        height = 1.5 * x.shape[2] / x.shape[3] + 0.22
        figure, axes = plt.subplots(
            len(x), 3, figsize=(5.2, height * len(x) + 0.35), squeeze=False, layout="constrained"
        )
        for column, images in enumerate(columns):
            for row, axis in enumerate(axes[:, column]):
                _image(axis, images[row])
                if titles[column]:
                    axis.set_title(titles[column][row])
        for axis, text in zip(
            axes[-1], ("original", f"perturbación × {factor:g}\n(gris: sin cambio)", "atacada"), strict=True
        ):
            axis.text(0.5, -0.04, text, transform=axis.transAxes, ha="center", va="top", color=COLORS[4])
        plt.close(figure)
    return figure


def accuracy_curves(
    epsilons: Sequence[float],
    attacked: Mapping[str, Tensor],
    control: Mapping[str, Tensor],
    *,
    norm: Norm = "linf",
) -> Figure:
    """Exactitud de varias redes según el tamaño de la perturbación: ataque, en línea continua; ruido, discontinua.

    Parameters
    ----------
    epsilons
        Los tamaños, en unidades de [0, 1].
    attacked, control
        Nombre de la red → `accuracy_curve` con el ataque y con ruido del mismo tamaño, `(len(epsilons),)`.
    norm
        `"linf"`, que rotula en niveles de 255, o `"l2"`.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si las redes de `attacked` y `control` no son las mismas, pasan de cinco, una curva no tiene un valor por tamaño
        o la norma no existe.

    Examples
    --------
    >>> curva = {"mini": torch.tensor([1.0, 0.2])}
    >>> len(accuracy_curves([0, 8 / 255], curva, {"mini": torch.tensor([1.0, 0.98])}).axes[0].lines)
    2
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    if set(attacked) != set(control) or not 1 <= len(attacked) <= len(COLORS):
        raise ConvlabError(
            f"Se esperaban las mismas redes, de una a {len(COLORS)}, con ataque y con ruido, y llegaron "
            f"{', '.join(attacked) or 'ninguna'} y {', '.join(control) or 'ninguna'}."
        )
    for name, curve in [*attacked.items(), *control.items()]:
        if tuple(curve.shape) != (len(epsilons),):
            raise ConvlabError(f"La curva de «{name}» debe tener {len(epsilons)} valores y es {tuple(curve.shape)}.")
    if norm not in AXES:
        raise unknown_name("la norma", norm, AXES)
    scale, xlabel = AXES[norm]
    sizes = [scale * eps for eps in epsilons]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
        for k, name in enumerate(attacked):
            style: dict[str, Any] = {"color": COLORS[k], "marker": MARKERS[k], "markersize": 4}
            axis.plot(sizes, attacked[name].tolist(), **style)
            axis.plot(sizes, control[name].tolist(), linestyle="--", markerfacecolor="white", **style)
        axis.set_ylim(-0.03, 1.03)
        axis.set_xlabel(xlabel)
        axis.set_ylabel("exactitud")
        axis.grid(alpha=0.3)
        nets = [Line2D([], [], color=COLORS[k], marker=MARKERS[k], markersize=4) for k in range(len(attacked))]
        kinds = [Line2D([], [], color=COLORS[4], linestyle=line) for line in ("-", "--")]
        figure.legend([*nets, *kinds], [*attacked, "ataque", "ruido"], loc="outside right center", frameon=False)
        plt.close(figure)
    return figure


def transfer_plot(names: Sequence[str], matrix: Tensor) -> Figure:
    """Mapa de la transferencia, con la cifra en cada casilla: en filas la red atacada y en columnas la que se prueba.

    Parameters
    ----------
    names, matrix
        Lo que devuelve `transfer_matrix`; los NaN se dejan en blanco, con una raya.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si la matriz no es `(M, M)`, con `M` nombres.

    Examples
    --------
    >>> len(transfer_plot(["mini", "mini-robusta"], torch.tensor([[1.0, 0.1], [0.3, 0.5]])).axes)
    2
    """
    import matplotlib.pyplot as plt

    if tuple(matrix.shape) != (len(names), len(names)):
        raise ConvlabError(f"Con {len(names)} nombres se esperaba una matriz cuadrada y llegó {tuple(matrix.shape)}.")
    values = matrix.detach().float().cpu()
    with plt.rc_context(STYLE):
        side = 0.75 * len(names) + 1.6
        figure, axis = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
        picture = axis.imshow(values.numpy(), cmap="cividis", vmin=0, vmax=1)
        for row, line in enumerate(values.tolist()):
            for column, value in enumerate(line):
                text = "—" if math.isnan(value) else f"{value:.2f}".replace(".", ",")
                color = "white" if value < 0.55 else "black"
                axis.text(column, row, text, ha="center", va="center", color=color)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("red que se prueba")
        axis.set_ylabel("red atacada")
        axis.spines[:].set_visible(False)
        figure.colorbar(picture, ax=axis, label="tasa de éxito", shrink=0.8)
        plt.close(figure)
    return figure


def patch_panel(
    patches: Mapping[str, Tensor], success: Mapping[str, float], examples: Mapping[str, Tensor], *, target: str
) -> Figure:
    """Compara parches: cada fila enseña uno, su tasa de éxito y unas imágenes que lo llevan pegado.

    Parameters
    ----------
    patches
        Nombre → parche `(3, h, w)` en [0, 1]; el adversario y los controles.
    success
        Nombre → `patch_success` en imágenes que no sirvieron para entrenarlo.
    examples
        Nombre → imágenes con el parche, `(N, 3, H, W)`; conviene que sean las mismas y en los mismos sitios.
    target
        El nombre de la clase que se busca.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los nombres no son los mismos en los tres o los ejemplos no son lotes de la misma forma.

    Examples
    --------
    >>> images = {"adversario": torch.rand(3, 3, 8, 8), "ruido": torch.rand(3, 3, 8, 8)}
    >>> patches = {name: batch[0] for name, batch in images.items()}
    >>> len(patch_panel(patches, {"adversario": 0.9, "ruido": 0.05}, images, target="corazón").axes)
    8
    """
    import matplotlib.pyplot as plt

    shapes = {tuple(batch.shape) for batch in examples.values()}
    if not patches or set(patches) != set(success) or set(patches) != set(examples) or len(shapes) != 1:
        raise ConvlabError(
            f"Se esperaban los mismos nombres en los tres y lotes de una sola forma, y llegaron {', '.join(patches)}; "
            f"{', '.join(success)}; y {', '.join(examples)}, con formas {sorted(shapes)}."
        )
    for batch in examples.values():
        _check_images(batch)
    count = shapes.pop()[0]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(patches), count + 1, figsize=(1.2 * count + 2.0, 1.3 * len(patches) + 0.3), squeeze=False,
            layout="constrained", width_ratios=[1.5] + [1.2] * count,
        )  # fmt: skip
        for row, (name, patch) in enumerate(patches.items()):
            _image(axes[row, 0], patch)
            axes[row, 0].set_title(f"{name}: {100 * success[name]:.0f} %")
            for axis, image in zip(axes[row, 1:], examples[name], strict=True):
                _image(axis, image)
        figure.suptitle(f"Pasan a verse como «{target}»", fontsize=9)
        plt.close(figure)
    return figure


def _answers(logits: Tensor, classes: Sequence[str]) -> list[str]:
    probability, index = torch.softmax(logits.detach().float(), 1).max(1)
    pairs = zip(index.tolist(), probability.tolist(), strict=True)
    return [f"{classes[k]}, {100 * p:.0f} %" for k, p in pairs]


def _image(axis: Axes, image: Tensor) -> None:
    axis.axis("off")
    axis.imshow(image.detach().float().clamp(0, 1).permute(1, 2, 0).cpu().numpy(), interpolation="nearest")


def _check_images(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or len(x) == 0:
        raise ConvlabError(f"Se esperaban imágenes (N, 3, H, W) y llegó un tensor {tuple(x.shape)}.")
