"""El espectro de un banco de filtros entrenado frente al inicial (lección 02)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from convlab.errors import ConvlabError
from convlab.filters.banks import check_bank
from convlab.filters.spectra import low_frequency_share, power_spectrum, radial_spectrum
from convlab.plots.common import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["spectrum_plot"]


def spectrum_plot(trained: Tensor, initial: Tensor, *, cutoff: float = 0.3) -> Figure:
    """Compara los espectros de un banco entrenado y del inicial: en dos dimensiones y según la frecuencia.

    Cada espectro se divide por su energía total: con BatchNorm, la escala de los filtros no significa nada. La línea
    discontinua es lo que daría el ruido blanco, y el recuadro, las frecuencias de `low_frequency_share`.

    Parameters
    ----------
    trained, initial
        Dos bancos `(O, C, kh, kw)` con filtros del mismo tamaño.
    cutoff
        Corte entre frecuencias bajas y altas, en ciclos por píxel.

    Returns
    -------
    Figure
        Cerrada para `pyplot`.

    Raises
    ------
    ConvlabError
        Si los bancos no son `(O, C, kh, kw)` o sus filtros tienen tamaños distintos.

    Examples
    --------
    >>> len(spectrum_plot(torch.ones(4, 3, 7, 7), torch.randn(4, 3, 7, 7)).axes)
    4
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    check_bank(trained)
    check_bank(initial)
    if trained.shape[2:] != initial.shape[2:]:
        raise ConvlabError(
            f"Se esperaban filtros del mismo tamaño y llegaron {tuple(trained.shape)} y {tuple(initial.shape)}."
        )
    named = {"inicial": initial.detach().float(), "entrenado": trained.detach().float()}
    energy = {name: power_spectrum(bank).sum() for name, bank in named.items()}
    spectra = {name: (power_spectrum(bank) / energy[name]).cpu().numpy() for name, bank in named.items()}
    largest = max(power.max() for power in spectra.values())
    height, width = trained.shape[2:]
    across = (-(width // 2) - 0.5) / width, (width - width // 2 - 0.5) / width
    down = (height - height // 2 - 0.5) / height, (-(height // 2) - 0.5) / height
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained", width_ratios=(1, 1, 1.3))
        for axis, (name, power) in zip(axes, spectra.items(), strict=False):
            # La raíz deja ver lo débil; la barra dice el valor.
            norm = PowerNorm(0.5, 0, largest)
            image = axis.imshow(power, "viridis", norm, extent=(*across, *down), interpolation="nearest")
            share = low_frequency_share(named[name].reshape(1, -1, height, width), cutoff).item()
            axis.set_title(f"{name}\n{100 * share:.0f} % en bajas")
            axis.set_xlabel("frecuencia horizontal")
            axis.set_xticks([-0.5, 0, 0.5])
            axis.set_yticks([-0.5, 0, 0.5])
            square = (-cutoff, -cutoff), 2 * cutoff, 2 * cutoff
            axis.add_patch(Rectangle(*square, fill=False, edgecolor="white", linestyle="--"))
        axes[0].set_ylabel("frecuencia vertical")
        figure.colorbar(image, ax=axes[:2], label="fracción de la energía", shrink=0.8)
        for (name, bank), color in zip(named.items(), (COLORS[4], COLORS[0]), strict=True):
            frequency, mean = radial_spectrum(bank)
            axes[2].plot(frequency.cpu(), (mean / energy[name]).cpu(), "o-", color=color, label=name, markersize=4)
        axes[2].axhline(1 / (height * width), color="black", linestyle="--", linewidth=1, label="ruido blanco")
        axes[2].set_xlabel("frecuencia (ciclos por píxel)")
        axes[2].set_ylabel("fracción por celda")
        axes[2].set_ylim(bottom=0)
        axes[2].legend(frameon=False)
        plt.close(figure)
    return figure
