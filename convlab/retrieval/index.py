"""Un índice de imágenes: se llena una vez, se guarda y responde qué imágenes se parecen más a otra.

Cada imagen queda en un vector, la incrustación de una capa (`convlab.retrieval.features`); buscar es compararla con
todos, por bloques, con la memoria acotada.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from operator import index as as_integer
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from convlab.errors import ConvlabError, unknown_name
from convlab.hooks import check_images, get_layer
from convlab.retrieval._fingerprint import weights_fingerprint, weights_stamp
from convlab.retrieval._index_file import METRICS, read_index, write_index
from convlab.retrieval._nearest import nearest, rank
from convlab.retrieval.neighbors import Batch, features, unit_length

__all__ = ["ImageIndex"]

Id = int | str
"""Lo que nombra una imagen del índice: un número o un texto, por lo común la ruta de su archivo."""

Metric = Literal["cosine", "l2"]
Backend = Literal["exact", "faiss"]

_BACKENDS = ("exact", "faiss")
_BATCH = 64  # imágenes por pasada de la red
_QUERIES = 256  # consultas que se comparan a la vez


class ImageIndex:
    """Busca las imágenes más parecidas según una capa de una red.

    Parameters
    ----------
    model, layer
        La red y el nombre con puntos de la capa que da la incrustación. Sin ellas, el índice trabaja con
        incrustaciones `(N, C)` ya calculadas.
    metric
        `"cosine"`: similitud coseno, de mayor a menor. `"l2"`: distancia euclídea entre las incrustaciones sin
        normalizar, de menor a mayor.
    backend
        `"exact"`, con torch y en el dispositivo del modelo; o `"faiss"`, con el índice plano, también exacto, de FAISS
        (`pip install faiss-cpu`). Solo pueden diferir en qué imagen eligen entre dos idénticas.
    name
        Nombre de la red que se escribe en el archivo; si falta, el de su clase.

    Attributes
    ----------
    input_size
        Alto y ancho de las imágenes indexadas; `None` si solo hay incrustaciones.

    Raises
    ------
    ConvlabError
        Si la capa, la métrica o el motor no existen, falta FAISS, o llega un modelo sin capa o al revés.

    Examples
    --------
    >>> from convlab.data.formas import formas
    >>> from convlab.models import load_model
    >>> x = formas(20).tensor()
    >>> index = ImageIndex(load_model("mini"), "block5").fit(x)
    >>> similarity, ids = index.query(x[7:8], k=3)
    >>> ids[0][0], round(float(similarity[0, 0]), 4)
    (7, 1.0)
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        layer: str | None = None,
        *,
        metric: Metric = "cosine",
        backend: Backend = "exact",
        name: str | None = None,
    ) -> None:
        if metric not in METRICS:
            raise unknown_name("la métrica", metric, METRICS)
        if backend not in _BACKENDS:
            raise unknown_name("el motor", backend, _BACKENDS)
        if (model is None) != (layer is None):
            raise ConvlabError("Indica la red y la capa, o ninguna de las dos y pasa incrustaciones (N, C).")
        self.layer, self.metric = layer, metric
        self.name = name or (type(model).__name__ if model is not None else None)
        self._model, self._stamp, self._weights = model, None, None
        if model is not None and layer is not None:
            get_layer(model, layer)
            self._stamp, self._weights = weights_stamp(model), weights_fingerprint(model)
        self._faiss = _import_faiss() if backend == "faiss" else None
        self._blocks: list[Tensor] = []
        self._positions: dict[Id, int] = {}
        self.input_size: tuple[int, int] | None = None
        self._flat: Any = None

    def fit(self, x: Tensor | Iterable[Batch], ids: Sequence[Id] | None = None) -> Self:
        """Vacía el índice y lo llena.

        Parameters
        ----------
        x
            Imágenes `(N, 3, H, W)`, todas del mismo tamaño; lotes de imágenes, para un conjunto que no cabe en
            la memoria; o incrustaciones `(N, C)`.
        ids
            Un número o un texto distinto por imagen; si faltan, 0, 1, 2…

        Raises
        ------
        ConvlabError
            Si los datos no son lo que se espera o los identificadores no son uno por imagen, sin repetir. El índice
            queda entonces como estaba.
        """
        vectors, size = self._vectors(x, None, None)
        names = self._checked_ids(ids, len(vectors), {})
        self._blocks, self._positions, self._flat = [], {}, None
        return self._append(vectors, size, names)

    def add(self, x: Tensor | Iterable[Batch], ids: Sequence[Id] | None = None) -> Self:
        """Añade imágenes sin rehacer lo que había; los argumentos y los errores son los de `fit`."""
        vectors, size = self._vectors(x, self._dimension, self.input_size)
        return self._append(vectors, size, self._checked_ids(ids, len(vectors), self._positions))

    def query(self, x: Tensor, k: int = 5, *, exclude: Sequence[Id] | None = None) -> tuple[Tensor, list[list[Id]]]:
        """Las `k` imágenes más parecidas a cada una.

        Parameters
        ----------
        x
            Imágenes `(Q, 3, H, W)` del tamaño de las indexadas, o incrustaciones `(Q, C)`.
        k
            Cuántas.
        exclude
            Un identificador por consulta que no se le devuelve: el suyo, si la imagen está en el índice.

        Returns
        -------
        tuple
            Similitudes coseno de mayor a menor, o distancias de menor a mayor, float32 `(Q, k)`; y los
            identificadores, una lista de `k` por consulta. A igual valor va antes la que entró primero.

        Raises
        ------
        ConvlabError
            Si el índice está vacío, no hay `k` imágenes, o las consultas no son comparables con lo indexado.
        """
        if not len(self):
            raise ConvlabError("El índice está vacío: llénalo antes con fit o add.")
        available = len(self) if exclude is None else len(self) - 1
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= available:
            raise ConvlabError(f"`k` debe ser un entero entre 1 y {available}, las imágenes que hay, y llegó {k!r}.")
        if not isinstance(x, Tensor):
            raise ConvlabError(f"Las consultas deben ser un tensor y llegó {type(x).__name__}.")
        database = self.features_
        vectors = self._vectors(x, self._dimension, self.input_size)[0].to(database.device)
        skipped = None if exclude is None else self._excluded(exclude, len(vectors)).to(database.device)
        values, rows = [], []
        for first in range(0, len(vectors), _QUERIES):
            queries = vectors[first : first + _QUERIES]
            skip = None if skipped is None else skipped[first : first + _QUERIES]
            candidates = self._candidates(queries, k if skip is None else k + 1)
            best, at = rank(queries, database, candidates, k, self.metric, skip)
            values.append(best)
            rows.append(at)
        names = self.ids_
        return torch.cat(values), [[names[row] for row in line] for line in torch.cat(rows).tolist()]

    def save(self, path: str | Path) -> None:
        """Guarda el índice en un safetensors, de una vez: si algo falla, queda lo que hubiera.

        Raises
        ------
        ConvlabError
            Si está vacío, la extensión no es `.safetensors` o no se puede escribir.
        """
        if not len(self):
            raise ConvlabError("El índice está vacío: llénalo con fit o add antes de guardarlo.")
        header = {
            "metric": self.metric,
            "layer": self.layer,
            "model": self.name,
            "weights": self._weights,
            "input_size": self.input_size,
        }
        write_index(Path(path), header, self.features_, self.ids_)

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: nn.Module | None = None,
        *,
        layer: str | None = None,
        metric: Metric | None = None,
        backend: Backend = "exact",
    ) -> Self:
        """Lee un índice guardado.

        Parameters
        ----------
        path
            El archivo de `save`.
        model
            La red con la que se hizo; sin ella solo se puede buscar por incrustaciones. Se comprueban sus pesos.
        layer, metric
            Si se dan, las que el índice debe tener.
        backend
            Como al crear el índice; no se guarda.

        Raises
        ------
        ConvlabError
            Si el archivo falta, está dañado o incompleto, no es un índice, o es de otra red, capa o métrica.
        """
        header, vectors, ids = read_index(Path(path))
        for what, wanted, found in (("capa", layer, header["layer"]), ("métrica", metric, header["metric"])):
            if wanted is not None and wanted != found:
                raise ConvlabError(f"El índice «{Path(path).name}» es de la {what} «{found}» y se pidió «{wanted}».")
        index = cls(metric=header["metric"], backend=backend, name=header["model"])
        index.layer, index._weights = header["layer"], header["weights"]
        size = header["input_size"]
        index._append(vectors, size and (size[0], size[1]), ids)
        return index if model is None else index.bind(model)

    def bind(self, model: nn.Module) -> Self:
        """Da a un índice leído la red con la que se hizo, para buscar por imágenes.

        Raises
        ------
        ConvlabError
            Si el índice no se hizo con una red, o sus pesos no son los de esta.
        """
        if self.layer is None:
            raise ConvlabError("El índice se hizo con incrustaciones y no se sabe de qué red: busca también con ellas.")
        stamp = weights_stamp(model)
        if weights_fingerprint(model) != self._weights:
            raise ConvlabError(
                f"El índice se hizo con otra red u otros pesos («{self.name}», capa «{self.layer}»): sus vectores no "
                "son comparables con los de esta. Carga la red original o vuelve a crear el índice."
            )
        get_layer(model, self.layer)
        self._model, self._stamp = model, stamp
        device = next((p.device for p in model.parameters()), None)
        self._blocks = [block.to(device) for block in self._blocks]
        return self

    @property
    def ids_(self) -> list[Id]:
        """Los identificadores, en el orden en que entraron."""
        return list(self._positions)

    @property
    def features_(self) -> Tensor:
        """Las incrustaciones float32 `(N, C)`; con `"cosine"`, de longitud uno."""
        if len(self._blocks) != 1:  # las añadidas se juntan al usarlas, no una a una
            self._blocks = [torch.cat(self._blocks)] if self._blocks else [torch.empty(0, 0)]
        return self._blocks[0]

    def __len__(self) -> int:
        """Cuántas imágenes hay."""
        return len(self._positions)

    @property
    def _dimension(self) -> int | None:
        return self._blocks[0].shape[1] if self._blocks else None

    def _append(self, vectors: Tensor, size: tuple[int, int] | None, names: list[Id]) -> Self:
        if self._blocks:
            vectors = vectors.to(self._blocks[0].device)
        self._positions.update(zip(names, range(len(self), len(self) + len(names)), strict=True))
        self._blocks.append(vectors)
        self.input_size = size
        if self._faiss is not None:
            if self._flat is None:
                flat = self._faiss.IndexFlatIP if self.metric == "cosine" else self._faiss.IndexFlatL2
                self._flat = flat(vectors.shape[1])
            self._flat.add(vectors.cpu().numpy())
        return self

    def _candidates(self, queries: Tensor, k: int) -> Tensor:
        if self._flat is None:
            return nearest(queries, self.features_, k, self.metric)
        return torch.from_numpy(self._flat.search(queries.cpu().numpy(), k)[1]).to(queries.device)

    def _vectors(
        self, x: Tensor | Iterable[Batch], dimension: int | None, size: tuple[int, int] | None
    ) -> tuple[Tensor, tuple[int, int] | None]:
        """Incrustaciones float32 `(N, C)` y tamaño de las imágenes, que deben ser los de lo ya indexado."""
        if isinstance(x, Tensor) and x.ndim == 2:
            if not x.is_floating_point() or x.numel() == 0:
                raise ConvlabError(f"Se esperaban incrustaciones (N, C) y llegó un tensor {x.dtype} {tuple(x.shape)}.")
            vectors = x.detach().to(torch.float32, copy=True)
            if not bool(vectors.isfinite().all()):
                raise ConvlabError(
                    "Las incrustaciones contienen NaN o infinitos en float32. Revisa cómo se calcularon."
                )
        else:
            sizes = [] if size is None else [size]
            vectors = self._embedded(_one_size(x, sizes))
            size = sizes[0]
        if dimension is not None and vectors.shape[1] != dimension:
            raise ConvlabError(
                f"El índice guarda vectores de {dimension} componentes y llegaron de {vectors.shape[1]}: deben salir "
                "de la misma capa de la misma red."
            )
        return unit_length(vectors) if self.metric == "cosine" else vectors, size

    def _embedded(self, batches: Iterator[Tensor]) -> Tensor:
        if self._model is None or self.layer is None:
            raise ConvlabError(
                "Este índice no tiene red con la que ver imágenes: pásale incrustaciones (N, C), o dale la red al "
                "crearlo o al leerlo, ImageIndex.load(ruta, modelo)."
            )
        stamp = weights_stamp(self._model)
        if stamp != self._stamp and weights_fingerprint(self._model) != self._weights:
            raise ConvlabError(
                "Los pesos de la red han cambiado desde que se creó el índice: los vectores nuevos no serían "
                "comparables. Crea otro índice."
            )
        self._stamp = stamp
        return features(self._model, batches, self.layer, normalize=False).float()

    def _excluded(self, exclude: Sequence[Id], n: int) -> Tensor:
        if isinstance(exclude, str) or len(exclude) != n:
            raise ConvlabError(f"`exclude` debe tener un identificador por consulta, {n}.")
        unknown = [name for name in exclude if name not in self._positions]
        if unknown:
            raise unknown_name("en el índice la imagen", unknown[0], map(str, self._positions))
        return torch.tensor([self._positions[name] for name in exclude])

    def _checked_ids(self, ids: Sequence[Id] | None, n: int, taken: dict[Id, int]) -> list[Id]:
        names: list[Id] = [_identifier(i) for i in (range(len(taken), len(taken) + n) if ids is None else ids)]
        if len(names) != n:
            raise ConvlabError(f"Hay {n} imágenes y {len(names)} identificadores: debe haber uno por imagen.")
        seen = set(taken)
        for name in names:
            if name in seen:
                raise ConvlabError(f"El identificador «{name}» está repetido: cada imagen debe tener el suyo.")
            seen.add(name)
        return names


def _one_size(x: Tensor | Iterable[Batch], sizes: list[tuple[int, int]]) -> Iterator[Tensor]:
    """Los lotes de imágenes, comprobando que todas miden lo mismo que `sizes[0]`; si no hay, manda la primera."""
    if isinstance(x, Tensor):
        check_images(x)
        x = x.split(_BATCH)
    for batch in x:
        images = batch if isinstance(batch, Tensor) else batch[0]
        check_images(images)
        size = (images.shape[2], images.shape[3])
        if not sizes:
            sizes.append(size)
        if size != sizes[0]:
            raise ConvlabError(
                f"El índice es de imágenes de {sizes[0][0]}×{sizes[0][1]} y llegaron de {size[0]}×{size[1]}. "
                "Llévalas antes al mismo tamaño."
            )
        yield images


def _identifier(value: object) -> Id:
    if isinstance(value, str):
        return value
    if hasattr(value, "__index__") and not isinstance(value, bool):
        return as_integer(value)  # un entero de numpy o de torch también vale
    raise ConvlabError(f"Un identificador debe ser un entero o un texto y llegó {value!r}.")


def _import_faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise ConvlabError('Falta FAISS. Instálalo con «pip install faiss-cpu», o usa backend="exact".') from error
