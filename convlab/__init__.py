"""`convlab`: ver por dentro las redes convolucionales, con explicaciones medidas contra la verdad.

Cada técnica vive en su módulo, con el nombre de la lección que la enseña (`convlab.gradcam`, …).
"""

__version__ = "0.1.0"
