"""Figuras del libro y de los cuadernos: un archivo por técnica y, aquí y en `common`, lo que todas comparten.

Las escalas son perceptualmente uniformes y se distinguen con cualquier visión del color. Las figuras salen cerradas
para `pyplot`: un cuaderno las enseña una sola vez, y `figure.savefig(...)` las escribe.
"""

from convlab.plots.common import COLORS, STYLE, colorize, image_grid, interval_plot

__all__ = ["COLORS", "STYLE", "colorize", "image_grid", "interval_plot"]
