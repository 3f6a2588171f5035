"""De las imágenes a sus vecinas: una incrustación por imagen, la similitud entre ellas y las más próximas.

Es la base de `convlab.retrieval`, la lección 04. Las similitudes van siempre `(Q, D)`: una fila por
consulta y una columna por imagen de la base.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from convlab.errors import ConvlabError
from convlab.hooks import capture

__all__ = ["cosine_similarity", "embed", "features", "top_k"]

Batch = Tensor | Sequence[Tensor]
"""Un lote de imágenes `(N, C, H, W)`, o una tupla que empieza por él, como las de un `DataLoader`."""


def embed(activations: Tensor) -> Tensor:
    """Incrustación (*embedding*) de cada imagen: la media espacial de cada canal, llevada a longitud uno.

    Parameters
    ----------
    activations
        Salida de una capa, `(N, C, H, W)`.

    Returns
    -------
    Tensor
        `(N, C)`, al menos en float32. La incrustación de una imagen sin activación alguna se queda en cero: no apunta
        a ninguna parte.

    Raises
    ------
    ConvlabError
        Si no son mapas `(N, C, H, W)` de coma flotante, o contienen NaN o infinitos.

    References
    ----------
    Babenko et al., «Neural Codes for Image Retrieval», ECCV 2014.

    Examples
    --------
    >>> maps = torch.tensor([[[[2.0, 4.0]], [[8.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    >>> embed(maps)
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    if activations.ndim != 4 or not activations.is_floating_point() or activations.shape[2:].numel() == 0:
        raise ConvlabError(
            "Se esperaban activaciones (N, C, H, W) de coma flotante y llegó un tensor "
            f"{activations.dtype} {tuple(activations.shape)}."
        )
    return _finite(unit_length(_pooled(activations)), "Las activaciones")


def features(model: nn.Module, batches: Iterable[Batch], layer: str, *, normalize: bool = True) -> Tensor:
    """Incrustación de un conjunto de imágenes que no cabe entero en la memoria: lote a lote, una pasada por lote.

    Parameters
    ----------
    model
        Cualquier red; se evalúa en modo `eval`, sin grafo, y queda como estaba.
    batches
        Lotes `(N, 3, H, W)`, o tuplas que empiezan por él: sirve un `DataLoader`, o `x.split(64)` con un solo tensor.
    layer
        Nombre con puntos de una capa que devuelva `(N, C, h, w)`, de la que se toma la media espacial, o `(N, C)`.
    normalize
        Lleva cada fila a longitud uno, como `embed`. Sin ello se conserva el tamaño, que la distancia euclídea usa.

    Returns
    -------
    Tensor
        `(N, C)`, en el orden en que llegan, al menos en float32 y en el dispositivo del modelo.

    Raises
    ------
    ConvlabError
        Si no hay ningún lote, la capa no existe o su salida no es `(N, C, h, w)` ni `(N, C)`, o hay NaN o infinitos.

    Examples
    --------
    >>> from convlab.models.mini import Mini
    >>> features(Mini(), torch.rand(10, 3, 64, 64).split(4), "block3").shape
    torch.Size([10, 64])
    """
    if isinstance(batches, Tensor):
        raise ConvlabError("Se esperaban lotes y llegó un tensor. Divídelo con x.split(64).")
    parts = []
    for batch in batches:
        x = batch if isinstance(batch, Tensor) else batch[0]
        output = capture(model, x, [layer])[layer]
        if output.ndim not in (2, 4) or len(output) != len(x):
            raise ConvlabError(
                f"La capa «{layer}» devuelve {tuple(output.shape)} con {len(x)} imágenes, y de ahí no sale una "
                f"incrustación: se esperaba ({len(x)}, C, h, w) o ({len(x)}, C). Elige otra capa."
            )
        parts.append(_pooled(output))
    if not parts:
        raise ConvlabError("No llegó ningún lote de imágenes. Si es un generador, puede que ya se haya recorrido.")
    pooled = torch.cat(parts)
    return _finite(unit_length(pooled) if normalize else pooled, f"La capa «{layer}»")


def cosine_similarity(queries: Tensor, database: Tensor) -> Tensor:
    """Coseno del ángulo entre cada consulta y cada vector de la base.

    Parameters
    ----------
    queries, database
        Vectores por filas, `(Q, C)` y `(D, C)`, de cualquier longitud.

    Returns
    -------
    Tensor
        `(Q, D)` en [-1, 1], al menos en float32. Un vector nulo no se parece a ninguno: su fila o columna es cero.

    Raises
    ------
    ConvlabError
        Si no son dos matrices de coma flotante con las mismas columnas, o contienen NaN o infinitos.

    Examples
    --------
    >>> cosine_similarity(torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0], [-4.0, 3.0], [0.0, 0.0]]))
    tensor([[1., 0., 0.]])
    """
    for name, matrix in (("queries", queries), ("database", database)):
        if matrix.ndim != 2 or not matrix.is_floating_point():
            raise ConvlabError(
                f"«{name}» debe ser una matriz de coma flotante con un vector por fila, y llegó un tensor "
                f"{matrix.dtype} {tuple(matrix.shape)}. Si es un solo vector, usa v[None]."
            )
        _finite(matrix, f"«{name}»")
    if queries.shape[1] != database.shape[1]:
        raise ConvlabError(
            f"Las consultas tienen {queries.shape[1]} componentes y la base, {database.shape[1]}: "
            "deben salir de la misma capa de la misma red."
        )
    dtype = torch.promote_types(torch.promote_types(queries.dtype, database.dtype), torch.float32)
    similarity = unit_length(queries.to(dtype)) @ unit_length(database.to(dtype)).T
    return similarity.clamp(-1, 1)  # el redondeo puede pasarse de 1


def top_k(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    """Columnas de los `k` valores mayores de cada fila, de mayor a menor.

    A igual valor va antes la columna de menor índice, en cualquier dispositivo (`torch.topk` no promete ningún orden).

    Parameters
    ----------
    similarity
        `(Q, D)`; cuanto mayor, más parecido. Con distancias, pasa su opuesto.
    k
        Cuántos vecinos.
    exclude
        Tensor entero `(Q,)` con la columna que cada consulta se salta; por ejemplo ella misma, si está en la base.

    Returns
    -------
    Tensor
        Índices enteros `(Q, k)`.

    Raises
    ------
    ConvlabError
        Si `k` no es al menos 1 o pasa de las columnas disponibles, hay NaN, o `exclude` no es lo que se espera.

    Examples
    --------
    >>> similarity = torch.tensor([[1.0, 0.2, 0.7, 0.7]])
    >>> top_k(similarity, 2)
    tensor([[0, 2]])
    >>> top_k(similarity, 2, exclude=torch.tensor([0]))
    tensor([[2, 3]])
    """
    check_similarity(similarity)
    rows, columns = similarity.shape
    available = columns if exclude is None else columns - 1
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= available:
        raise ConvlabError(f"`k` debe ser un entero entre 1 y {available}, los vecinos que hay, y llegó {k!r}.")
    if exclude is not None:
        exclude = _columns(exclude, rows, columns).to(similarity.device)
    return highest(similarity, k, exclude)


def highest(similarity: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    """`top_k` sin comprobar nada, para quien busca por bloques y ya lo ha hecho."""
    similarity = similarity.detach()
    if exclude is not None:
        exclude = exclude[:, None]
        similarity = similarity.scatter(1, exclude, -torch.inf)
    values, positions = similarity.topk(min(k + 1, similarity.shape[1]), dim=1)
    # Si el siguiente empata con el último, hay que decidir quién entra; si no, los k están ya elegidos.
    unsettled = (values[:, k - 1 : k] == values[:, k:]).any(1).nonzero()[:, 0]
    positions = positions[:, :k].clone()
    if len(unsettled):
        skipped = None if exclude is None else exclude[unsettled]
        positions[unsettled] = _first_of_ties(similarity[unsettled], values[unsettled, k - 1 : k], k, skipped)
    positions = positions.sort(dim=1).values
    order = similarity.gather(1, positions).sort(dim=1, descending=True, stable=True).indices
    return positions.gather(1, order)


def unit_length(vectors: Tensor) -> Tensor:
    """Cada fila entre su norma; las nulas quedan nulas, y las minúsculas o enormes no se pierden por el camino."""
    largest = vectors.abs().amax(1, keepdim=True) if vectors.shape[1] else vectors.new_ones(len(vectors), 1)
    vectors = vectors / torch.where(largest > 0, largest, 1)
    norm = vectors.norm(dim=1, keepdim=True)
    return vectors / torch.where(norm > 0, norm, 1)


def check_similarity(similarity: Tensor) -> None:
    """Comprueba que es una matriz `(Q, D)` de coma flotante sin NaN."""
    if similarity.ndim != 2 or not similarity.is_floating_point():
        raise ConvlabError(
            "Se esperaba una matriz (Q, D) de similitudes de coma flotante y llegó un tensor "
            f"{similarity.dtype} {tuple(similarity.shape)}. Con una sola consulta, usa s[None]."
        )
    if bool(similarity.isnan().any()):
        raise ConvlabError("Las similitudes contienen NaN, que no se puede ordenar. Revisa cómo se calcularon.")


def _first_of_ties(similarity: Tensor, last: Tensor, k: int, exclude: Tensor | None) -> Tensor:
    """Los `k` elegidos de cada fila: los que superan a `last` y, de los que lo igualan, los primeros."""
    above, tied = similarity > last, similarity == last
    if exclude is not None:
        tied = tied.scatter(1, exclude, False)  # el excluido vale -inf y podría empatar con otros -inf
    room = k - above.sum(1, keepdim=True)
    chosen = above | (tied & (tied.cumsum(1, dtype=torch.int32) <= room))
    return chosen.nonzero()[:, 1].view(-1, k)


def _pooled(output: Tensor) -> Tensor:
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    return output.mean((2, 3)) if output.ndim == 4 else output


def _finite(values: Tensor, what: str) -> Tensor:
    if not bool(values.isfinite().all()):
        raise ConvlabError(f"{what}: hay NaN o infinitos, que no se pueden comparar. Revisa la red y las imágenes.")
    return values


def _columns(exclude: Tensor, rows: int, columns: int) -> Tensor:
    if exclude.shape != (rows,) or exclude.is_floating_point() or exclude.dtype == torch.bool:
        raise ConvlabError(
            f"`exclude` debe ser un tensor entero ({rows},), con una columna por consulta, y llegó un tensor "
            f"{exclude.dtype} {tuple(exclude.shape)}."
        )
    outside = exclude[(exclude < 0) | (exclude >= columns)]
    if outside.numel():
        raise ConvlabError(f"`exclude` señala la columna {outside[0].item()}, y las hay de 0 a {columns - 1}.")
    return exclude.long()
