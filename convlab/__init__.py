"""`convlab`: ver por dentro las redes convolucionales, con explicaciones medidas contra la verdad.

Cada técnica vive en su módulo, con el nombre de la lección que la enseña (`convlab.gradcam`, …). `convlab.explain`
llega a las que explican una respuesta por su nombre, y `convlab.compare` las dibuja juntas.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convlab.explanation import compare, explain

__all__ = ["compare", "explain"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Importa `explain` y `compare` cuando se piden: torch tarda segundos, y la línea de órdenes no siempre lo usa."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from convlab import explanation

    return getattr(explanation, name)
