"""Lección 05: incrustar las características de una red en un mapa de dos o tres dimensiones, y no creerlo sin medir.

`embed_points` es el camino práctico: PCA y después t-SNE rápido. El t-SNE exacto, paso a paso, está en `tsne`; las
medidas de un mapa, en `neighborhoods`, y lo que se malinterpreta en él, en `misreadings`. Todo se importa desde aquí.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from convlab.embedding.misreadings import (
    centroid_distances,
    clumpiness,
    cluster_spread,
    misreading_distance,
    misreading_noise,
    misreading_size,
)
from convlab.embedding.neighborhoods import (
    Purity,
    Stability,
    knn_purity,
    nearest_points,
    neighborhood_overlap,
    procrustes_distance,
    stability,
    trustworthiness,
)
from convlab.embedding.points import Projection, check_points, pca, squared_distances
from convlab.embedding.tsne import (
    Init,
    conditional_probabilities,
    initial_map,
    joint_probabilities,
    kl_divergence,
    kl_gradient,
    student_affinities,
    tsne,
)
from convlab.errors import ConvlabError, unknown_name

__all__ = [
    "Projection",
    "Purity",
    "Stability",
    "centroid_distances",
    "clumpiness",
    "cluster_spread",
    "conditional_probabilities",
    "embed_points",
    "initial_map",
    "joint_probabilities",
    "kl_divergence",
    "kl_gradient",
    "knn_purity",
    "misreading_distance",
    "misreading_noise",
    "misreading_size",
    "nearest_points",
    "neighborhood_overlap",
    "pca",
    "procrustes_distance",
    "squared_distances",
    "stability",
    "student_affinities",
    "trustworthiness",
    "tsne",
]

Method = Literal["pca", "tsne", "sklearn", "opentsne"]
"""Quién hace el mapa: las componentes principales, nuestro t-SNE exacto, el de scikit-learn o el de openTSNE."""


def embed_points(
    x: Tensor,
    method: Method = "sklearn",
    *,
    dimensions: int = 2,
    perplexity: float = 30.0,
    components: int = 50,
    init: Init = "pca",
    seed: int = 0,
    steps: int = 1000,
) -> Tensor:
    """Mapa de dos o tres dimensiones de unos puntos, como las características de una capa.

    Antes del t-SNE los puntos se reducen a sus primeras componentes principales, que quita ruido y tiempo. Con los
    mismos argumentos, los tres métodos parten del mismo mapa inicial.

    Parameters
    ----------
    x
        Puntos `(N, D)`.
    method
        `"pca"`: proyección lineal, inmediata. `"tsne"`: exacto, en el dispositivo de `x`, hasta unos 2000 puntos.
        `"sklearn"`: aproximación de Barnes–Hut, hasta unas decenas de miles. `"opentsne"`: la más rápida con muchos
        puntos; openTSNE se instala aparte.
    dimensions
        2 o 3.
    perplexity
        Número efectivo de vecinos, en [1, N − 1). No interviene en `"pca"`.
    components
        Componentes principales que se conservan antes del t-SNE, como mucho; 0 para usar los puntos tal cual.
    init
        `"pca"`, sin azar, o `"random"`, que depende de `seed`.
    seed
        Semilla del mapa inicial y del azar de cada biblioteca.
    steps
        Pasos del descenso de gradiente, desde 500.

    Returns
    -------
    Tensor
        `(N, dimensions)`, de media nula, al menos en float32 y en el dispositivo de `x`.

    Raises
    ------
    ConvlabError
        Si un argumento no es válido o falta openTSNE.

    References
    ----------
    van der Maaten y Hinton, «Visualizing Data using t-SNE», JMLR 9, 2008.

    Examples
    --------
    >>> embed_points(torch.randn(30, 8), "pca", dimensions=3).shape
    torch.Size([30, 3])
    """
    if method not in get_args(Method):
        raise unknown_name("el método", method, get_args(Method))
    points = check_points(x).detach()
    if dimensions not in (2, 3):
        raise ConvlabError(f"El mapa debe tener 2 o 3 dimensiones y se pidieron {dimensions}.")
    if method == "pca":
        return pca(points, dimensions).scores
    if not isinstance(steps, int) or steps < 500:
        raise ConvlabError(
            f"`steps` debe ser un entero desde 500 y llegó {steps!r}: con menos, el mapa queda a medias."
        )
    if components < 0:
        raise ConvlabError(f"`components` debe ser un entero no negativo y llegó {components}.")
    if not 1 <= perplexity < len(points) - 1:
        raise ConvlabError(
            f"Con {len(points)} puntos, la perplejidad debe estar en [1, {len(points) - 1}) y llegó {perplexity}."
        )
    if 0 < components < min(points.shape):
        points = pca(points, components).scores
    generator = torch.Generator().manual_seed(seed)
    if method == "tsne":
        return tsne(points, perplexity, steps, generator, dimensions=dimensions, init=init)
    start = initial_map(points, dimensions, init, generator)
    run = _sklearn if method == "sklearn" else _opentsne
    y = run(points.cpu().numpy(), start.cpu().numpy(), perplexity, seed, steps)
    y = torch.from_numpy(y).to(points)
    return y - y.mean(0)


def _sklearn(points: Any, start: Any, perplexity: float, seed: int, steps: int) -> Any:
    from sklearn.manifold import TSNE

    return TSNE(
        start.shape[1], perplexity=perplexity, init=start, random_state=seed, max_iter=steps, method="barnes_hut"
    ).fit_transform(points)


def _opentsne(points: Any, start: Any, perplexity: float, seed: int, steps: int) -> Any:
    try:
        import openTSNE
    except ImportError:
        raise ConvlabError(
            "El método «opentsne» necesita openTSNE, que no está instalado. Instálalo con «pip install openTSNE» o usa "
            "el método «sklearn»."
        ) from None
    early = 250
    flat = start.shape[1] == 2  # la interpolación por FFT solo está en una y dos dimensiones
    fitted = openTSNE.TSNE(
        start.shape[1],
        perplexity=perplexity,
        initialization=start,
        random_state=seed,
        early_exaggeration_iter=early,
        n_iter=steps - early,
        negative_gradient_method="fft" if flat and len(points) > 10_000 else "bh",
    ).fit(points)
    return fitted.view(type(points))
