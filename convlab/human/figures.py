"""Las cifras medidas con personas que el curso cita, cada una con su fuente.

Son las únicas que se dan por medidas; no hay otras en el paquete. Junto a ellas van las de las redes medidas con los
mismos estímulos. `how` distingue lo que los autores declaran de lo que se recalculó con sus datos brutos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from convlab.errors import unknown_name

__all__ = ["HUMAN_FIGURES", "HumanFigure", "human_figures"]

How = Literal["recalculado de los datos brutos", "declarado por los autores"]
"""Cómo se sabe una cifra."""

Quantity = Literal[
    "ensayos",
    "observadores",
    "sesgo de forma",
    "exactitud",
    "kappa",
    "diferencia de exactitud",
    "consistencia observada",
    "consistencia de errores",
    "exactitud fuera de distribución",
]
"""Qué se midió. «kappa» es la consistencia de errores de una pareja; las cuatro últimas, del banco model-vs-human."""


@dataclass(frozen=True)
class HumanFigure:
    """Una cifra citable.

    Attributes
    ----------
    quantity
        Qué se midió.
    subject
        Quién: «personas», una red, o una pareja («ResNet-50–persona»).
    condition
        Con qué estímulos.
    value
        La cifra, con los decimales de la fuente. Las fracciones van de 0 a 1.
    source
        Archivos de los que sale, en el repositorio de sus autores.
    how
        Cómo se sabe.
    """

    quantity: Quantity
    subject: str
    condition: str
    value: float
    source: str
    how: How


_RECOMPUTED: How = "recalculado de los datos brutos"
_STATED: How = "declarado por los autores"
_CONFLICT = "señales en conflicto"
_MVH = "model-vs-human"
_TVS = "texture-vs-shape"
_NETS = ("personas", "ResNet-50", "VGG", "GoogLeNet", "AlexNet")
_NOISE_NETS = ("personas", "ResNet-152", "VGG-19", "GoogLeNet")
_PAIRS = ("persona–persona", "ResNet-50–persona", "ResNet-50–VGG")


def _row(
    quantity: Quantity, subjects: tuple[str, ...], condition: str, values: tuple[float, ...], source: str
) -> tuple[HumanFigure, ...]:
    return tuple(
        HumanFigure(quantity, subject, condition, value, source, _RECOMPUTED)
        for subject, value in zip(subjects, values, strict=True)
    )


_RAW = f"bethgelab/{_MVH}, raw-data/**.csv"
_CNN_CSV = f"{_TVS}, raw-data/style-transfer-512-nomask-experiment-trained-CNNs/*resnet50_session-1.csv"
_TVS_RAW = f"{_TVS}, raw-data"
_GEN_RAW = "generalisation-humans-DNNs, raw-data"
_README = f"{_MVH}, README.md"

HUMAN_FIGURES: tuple[HumanFigure, ...] = (
    HumanFigure("ensayos", "personas", "banco model-vs-human", 85120, _RAW, _RECOMPUTED),
    HumanFigure("observadores", "personas", "banco model-vs-human", 90, _RAW, _RECOMPUTED),
    HumanFigure(
        "sesgo de forma",
        "personas",
        f"{_CONFLICT} (10 observadores, 12 000 ensayos válidos)",
        0.9587,
        f"{_MVH} y {_TVS}, raw-data",
        _RECOMPUTED,
    ),
    HumanFigure("sesgo de forma", "ResNet-50 (torchvision)", _CONFLICT, 0.2207, _CNN_CSV, _RECOMPUTED),
    HumanFigure(
        "sesgo de forma",
        "ResNet-50",
        f"{_CONFLICT}, clases gruesas por la media",
        0.2139,
        f"{_TVS}, README.md",
        _STATED,
    ),
    *_row(
        "sesgo de forma",
        ("AlexNet (Caffe)", "GoogLeNet (Caffe)", "VGG (Caffe)"),
        _CONFLICT,
        (0.4294, 0.3119, 0.1722),
        _TVS_RAW,
    ),
    *_row(
        "sesgo de forma",
        ("AlexNet (torchvision)", "VGG-16 (torchvision)"),
        _CONFLICT,
        (0.2531, 0.0921),
        f"{_TVS}, raw-data y README",
    ),
    *_row("sesgo de forma", ("SqueezeNet1_1 (torchvision)",), _CONFLICT, (0.1822,), _TVS_RAW),
    *_row("sesgo de forma", ("ResNet-50 entrenada con Stylized-ImageNet (60 épocas)",), _CONFLICT, (0.8061,), _TVS_RAW),
    *_row("exactitud", _NETS, "bordes", (0.871, 0.181, 0.244, 0.281, 0.400), _TVS_RAW),
    *_row("exactitud", _NETS, "siluetas rellenas", (0.753, 0.544, 0.481, 0.487, 0.444), _TVS_RAW),
    *_row("exactitud", _NOISE_NETS, "ruido uniforme 0,10", (0.751, 0.520, 0.414, 0.583), _GEN_RAW),
    *_row("exactitud", _NOISE_NETS, "ruido uniforme 0,20", (0.609, 0.263, 0.127, 0.201), _GEN_RAW),
    *_row("exactitud", _NOISE_NETS, "ruido uniforme 0,35", (0.456, 0.097, 0.061, 0.101), _GEN_RAW),
    *_row("kappa", _PAIRS, _CONFLICT, (0.331, 0.067, 0.665), _TVS_RAW),
    *_row("kappa", _PAIRS, "bordes", (0.318, 0.045, 0.592), _TVS_RAW),
    *_row("kappa", _PAIRS, "siluetas", (0.476, 0.446, 0.626), _TVS_RAW),
    HumanFigure("diferencia de exactitud", "ResNet-50", "banco model-vs-human", 0.087, _README, _STATED),
    HumanFigure("consistencia observada", "ResNet-50", "banco model-vs-human", 0.665, _README, _STATED),
    HumanFigure("consistencia de errores", "ResNet-50", "banco model-vs-human", 0.208, _README, _STATED),
    HumanFigure("exactitud fuera de distribución", "ResNet-50", "banco model-vs-human", 0.559, _README, _STATED),
)
"""Todas las cifras. `texture-vs-shape` es el repositorio de Geirhos et al. (2019), arXiv:1811.12231;
`generalisation-humans-DNNs`, el de Geirhos et al. (2018), arXiv:1808.08750; `model-vs-human`, el de Geirhos et al.
(2021), arXiv:2106.07411."""


def human_figures(
    quantity: Quantity | None = None, *, subject: str | None = None, condition: str | None = None
) -> list[HumanFigure]:
    """Las cifras que se piden, en el orden de `HUMAN_FIGURES`.

    Parameters
    ----------
    quantity
        Qué se midió; por omisión, todo.
    subject, condition
        Trozos del sujeto y de la condición, si se quiere filtrar por ellos.

    Returns
    -------
    list
        Las que cumplen todo lo pedido; puede quedar vacía.

    Raises
    ------
    ConvlabError
        Si la cantidad no es una de las que hay.

    Examples
    --------
    >>> [figure.value for figure in human_figures("exactitud", subject="personas", condition="ruido")]
    [0.751, 0.609, 0.456]
    """
    if quantity is not None and quantity not in get_args(Quantity):
        raise unknown_name("la cantidad", quantity, get_args(Quantity))
    return [
        figure
        for figure in HUMAN_FIGURES
        if (quantity is None or figure.quantity == quantity)
        and (subject is None or subject in figure.subject)
        and (condition is None or condition in figure.condition)
    ]
