"""Lo que un mapa de t-SNE parece decir y no dice: tamaños, distancias y grupos.

Tres conjuntos de puntos cuya verdad se conoce y las medidas que se leen a ojo en un mapa. Cada medida sirve igual para
los datos y para el mapa: lo que importa es comparar ambas. El fenómeno lo mostraron Wattenberg, Viégas y Johnson,
«How to Use t-SNE Effectively», Distill 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convlab.embedding.neighborhoods import check_labels
from convlab.embedding.points import check_points
from convlab.errors import ConvlabError

__all__ = [
    "centroid_distances",
    "clumpiness",
    "cluster_spread",
    "misreading_distance",
    "misreading_noise",
    "misreading_size",
]


def misreading_size(
    n: int = 100, dimensions: int = 20, ratio: float = 10.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Dos nubes gaussianas, la segunda `ratio` veces más dispersa; el mapa las dibuja de tamaño parecido.

    Parameters
    ----------
    n
        Puntos de cada nube, desde 2.
    dimensions
        Dimensiones de los datos, desde 1.
    ratio
        Desviación típica de la segunda nube; la de la primera es 1. Los centros distan lo bastante para que no se
        mezclen.
    generator
        Fuente de azar; sin ella se usa la global.

    Returns
    -------
    tuple
        Puntos `(2n, dimensions)` y clases `(2n,)`. Mídelos con `cluster_spread`.

    Raises
    ------
    ConvlabError
        Si un número no es válido.

    Examples
    --------
    >>> x, clases = misreading_size(200, generator=torch.Generator().manual_seed(0))
    >>> dispersion = cluster_spread(x, clases)
    >>> 9 < float(dispersion[1] / dispersion[0]) < 11
    True
    """
    _check_sizes(n=n, dimensions=dimensions)
    _check_positive("ratio", ratio)
    x, labels = _clouds(2, n, dimensions, generator)
    x[labels == 1] *= ratio
    x[labels == 1, 0] += 4 * dimensions**0.5 * (1 + ratio)  # el radio de cada nube es la raíz de la dimensión
    return x, labels


def misreading_distance(
    n: int = 100, dimensions: int = 20, ratio: float = 5.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Tres nubes iguales en fila: la tercera dista de la segunda `ratio` veces más que la segunda de la primera.

    Parameters
    ----------
    n
        Puntos de cada nube, desde 2.
    dimensions
        Dimensiones de los datos, desde 1.
    ratio
        Cociente entre las dos distancias.
    generator
        Fuente de azar; sin ella se usa la global.

    Returns
    -------
    tuple
        Puntos `(3n, dimensions)` y clases `(3n,)`. Mídelos con `centroid_distances`.

    Raises
    ------
    ConvlabError
        Si un número no es válido.

    Examples
    --------
    >>> x, clases = misreading_distance(200, generator=torch.Generator().manual_seed(0))
    >>> d = centroid_distances(x, clases)
    >>> 4.8 < float(d[1, 2] / d[0, 1]) < 5.2
    True
    """
    _check_sizes(n=n, dimensions=dimensions)
    _check_positive("ratio", ratio)
    x, labels = _clouds(3, n, dimensions, generator)
    gap = 4 * dimensions**0.5
    x[:, 0] += gap * x.new_tensor([0, 1, 1 + ratio])[labels]
    return x, labels


def misreading_noise(n: int = 300, dimensions: int = 100, generator: torch.Generator | None = None) -> Tensor:
    """Una sola nube gaussiana, sin ningún grupo; con perplejidad baja el mapa la dibuja en grumos.

    Parameters
    ----------
    n
        Puntos, desde 2.
    dimensions
        Dimensiones de los datos, desde 1.
    generator
        Fuente de azar; sin ella se usa la global.

    Returns
    -------
    Tensor
        Puntos `(n, dimensions)`. Mídelos con `clumpiness`.

    Raises
    ------
    ConvlabError
        Si un número no es válido.

    Examples
    --------
    >>> x = misreading_noise(generator=torch.Generator().manual_seed(0))
    >>> clumpiness(x, 20) < 0.05
    True
    """
    _check_sizes(n=n, dimensions=dimensions)
    return _clouds(1, n, dimensions, generator)[0]


def cluster_spread(y: Tensor, labels: Tensor) -> Tensor:
    """Tamaño de cada grupo: la distancia cuadrática media de sus puntos a su centro.

    Parameters
    ----------
    y
        Puntos o mapa `(N, D)`.
    labels
        Clases, enteros `(N,)`.

    Returns
    -------
    Tensor
        Una por clase presente, en orden, al menos en float32.

    Raises
    ------
    ConvlabError
        Si las formas no casan.

    Examples
    --------
    >>> cluster_spread(torch.tensor([[0.0], [2.0], [0.0], [20.0]]), torch.tensor([0, 0, 1, 1]))
    tensor([ 1., 10.])
    """
    points, index, centers = _groups(y, labels)
    squared = (points - centers[index]).square().sum(1)
    return torch.stack([squared[index == k].mean() for k in range(len(centers))]).sqrt()


def centroid_distances(y: Tensor, labels: Tensor) -> Tensor:
    """Distancia entre los centros de cada dos grupos.

    Parameters
    ----------
    y
        Puntos o mapa `(N, D)`.
    labels
        Clases, enteros `(N,)`.

    Returns
    -------
    Tensor
        `(K, K)` con las K clases presentes, en orden, al menos en float32.

    Raises
    ------
    ConvlabError
        Si las formas no casan.

    Examples
    --------
    >>> centroid_distances(torch.tensor([[0.0], [2.0], [11.0]]), torch.tensor([0, 0, 1]))
    tensor([[ 0., 10.],
            [10.,  0.]])
    """
    _, _, centers = _groups(y, labels)
    return (centers[:, None] - centers).norm(dim=2)


def clumpiness(y: Tensor, clusters: int, seed: int = 0) -> float:
    """Cuántos grumos se ven: el índice de silueta de los grupos que encuentra k-medias.

    Parameters
    ----------
    y
        Puntos o mapa `(N, D)`.
    clusters
        Grupos que se buscan, desde 2 y menos que N.
    seed
        Semilla de k-medias.

    Returns
    -------
    float
        En [-1, 1]: cerca de 1, grupos compactos y separados; cerca de 0, ninguno. Depende de las dimensiones —una nube
        uniforme en el plano ronda 0,35—, así que el mapa se compara con otro mapa de dos dimensiones, como el de `pca`.

    Raises
    ------
    ConvlabError
        Si los puntos o el número de grupos no son válidos.

    References
    ----------
    Rousseeuw, «Silhouettes: a graphical aid to the interpretation and validation of cluster analysis», 1987.

    Examples
    --------
    >>> clumpiness(torch.tensor([[0.0], [1.0], [99.0], [100.0]]), 2) > 0.95
    True
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    points = check_points(y).detach().double().cpu().numpy()
    if not 2 <= clusters < len(points):
        raise ConvlabError(f"Con {len(points)} puntos, `clusters` debe estar entre 2 y {len(points) - 1}: {clusters}.")
    found = KMeans(clusters, n_init=4, random_state=seed).fit_predict(points)
    return float(silhouette_score(points, found))


def _clouds(count: int, n: int, dimensions: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    device = generator.device if generator is not None else None
    x = torch.randn(count * n, dimensions, generator=generator, device=device)
    return x, torch.arange(count, device=device).repeat_interleave(n)


def _groups(y: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    points = check_points(y)
    classes, index = check_labels(y, labels).to(y.device).unique(return_inverse=True)
    return points, index, torch.stack([points[index == k].mean(0) for k in range(len(classes))])


def _check_sizes(**sizes: int) -> None:
    for name, value in sizes.items():
        least = 2 if name == "n" else 1
        if not isinstance(value, int) or value < least:
            raise ConvlabError(f"`{name}` debe ser un entero desde {least} y llegó {value!r}.")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ConvlabError(f"`{name}` debe ser un número positivo y llegó {value}.")
