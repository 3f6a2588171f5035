"""Ensayos: qué respondió cada observador, persona o red, ante cada estímulo; y su archivo CSV.

El CSV va en UTF-8, con una cabecera y un ensayo por línea; el separador es la coma, el punto y coma o el tabulador:

- `observer`: quién responde;
- `stimulus`: qué se le muestra, con el mismo nombre en todos los observadores que lo ven;
- `condition`: cómo se le muestra, como el grado de una distorsión o un tipo de imagen;
- `category`: la verdad; con señales en conflicto, la categoría de la forma;
- `texture`, que puede faltar: la categoría de la textura, vacía si no compite con la forma;
- `response`: la categoría respondida, o «sin respuesta».

El orden de las columnas da igual y las demás no se leen. Un observador ve cada estímulo una sola vez por condición.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, get_args

from convlab.errors import ConvlabError, unknown_name

__all__ = ["NO_RESPONSE", "BadLine", "Trial", "group_by", "read_trials", "write_trials"]

NO_RESPONSE = "sin respuesta"
"""Lo que se anota en `response` cuando el observador no llegó a contestar: cuenta como fallo."""

Column = Literal["observer", "stimulus", "condition", "category", "texture", "response"]
"""Las columnas del CSV, que son los campos de `Trial`."""

_COLUMNS: tuple[str, ...] = get_args(Column)
_REQUIRED = tuple(name for name in _COLUMNS if name != "texture")


class Trial(NamedTuple):
    """Un ensayo: una respuesta de un observador a un estímulo.

    Attributes
    ----------
    observer, stimulus, condition
        Quién responde, a qué y en qué condición.
    category
        La verdad; con señales en conflicto, la categoría de la forma.
    response
        La categoría que respondió, o `NO_RESPONSE`.
    texture
        La categoría de la textura; vacía si no compite con la forma.
    """

    observer: str
    stimulus: str
    condition: str
    category: str
    response: str
    texture: str = ""


class BadLine(NamedTuple):
    """Una línea del CSV que no se ha podido leer: su número, desde 1, y por qué."""

    number: int
    reason: str


def group_by(trials: Iterable[Trial], column: Column) -> dict[str, list[Trial]]:
    """Reparte los ensayos según una columna, en el orden en que aparece cada valor.

    Parameters
    ----------
    trials
        Los ensayos.
    column
        `"observer"`, `"stimulus"`, `"condition"`, `"category"`, `"texture"` o `"response"`.

    Returns
    -------
    dict
        Valor → sus ensayos.

    Raises
    ------
    ConvlabError
        Si la columna no existe.

    Examples
    --------
    >>> trials = [Trial("ana", "a.png", "limpia", "gato", "gato"), Trial("eva", "a.png", "limpia", "gato", "perro")]
    >>> {observer: len(own) for observer, own in group_by(trials, "observer").items()}
    {'ana': 1, 'eva': 1}
    """
    if column not in _COLUMNS:
        raise unknown_name("la columna", column, _COLUMNS)
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(getattr(trial, column), []).append(trial)
    return groups


def read_trials(
    source: str | Path | IO[Any], *, categories: Iterable[str] | None = None
) -> tuple[list[Trial], list[BadLine]]:
    """Lee un CSV de ensayos línea a línea: lo que no se entiende se aparta y se explica, y el resto se conserva.

    Se quitan los espacios de los extremos de cada campo y las tildes se llevan a su forma compuesta (NFC). Las líneas
    en blanco se saltan. De dos líneas del mismo observador, estímulo y condición vale la primera.

    Parameters
    ----------
    source
        Ruta, o archivo abierto de texto o de bytes.
    categories
        Las categorías que se ofrecieron. Si se dan, cualquier otra en `category`, `texture` o `response` es un error de
        la línea (`NO_RESPONSE` vale como respuesta).

    Returns
    -------
    tuple
        Los ensayos y las líneas apartadas (`BadLine`), en el orden del archivo.

    Raises
    ------
    ConvlabError
        Si el archivo no se puede abrir, está vacío, o a la cabecera le falta una columna o la repite.

    Examples
    --------
    >>> archivo = io.StringIO('''observer,stimulus,condition,category,response
    ... ana,a.png,limpia,gato,perro
    ... ana,b.png,limpia,gato''')
    >>> ensayos, apartadas = read_trials(archivo)
    >>> ensayos[0].response, apartadas[0].number, apartadas[0].reason
    ('perro', 3, 'Se esperaban 5 campos y hay 4.')
    """
    known = None if categories is None else [_tidy(name) for name in categories]
    lines = _lines(source)
    columns, delimiter = _header(lines)
    trials: list[Trial] = []
    bad: list[BadLine] = []
    seen: dict[tuple[str, str, str], int] = {}
    for number, line in lines:
        try:
            trial = _trial(line, columns, delimiter, known)
            first = seen.setdefault(trial[:3], number)
            if first != number:
                raise ConvlabError(
                    f"«{trial.observer}» ya respondió a «{trial.stimulus}» en «{trial.condition}» en la línea {first}."
                )
        except ConvlabError as error:
            bad.append(BadLine(number, str(error)))
        else:
            trials.append(trial)
    return trials, bad


def write_trials(trials: Iterable[Trial], target: str | Path | IO[str]) -> None:
    """Escribe los ensayos en un CSV que `read_trials` devuelve idéntico.

    Parameters
    ----------
    trials
        Los ensayos.
    target
        Ruta, que se sobrescribe en UTF-8, o archivo de texto abierto.

    Raises
    ------
    ConvlabError
        Si un ensayo no se podría leer de vuelta (un campo vacío, con saltos de línea o con espacios en los extremos, un
        ensayo repetido); entonces no se escribe nada.

    Examples
    --------
    >>> archivo = io.StringIO()
    >>> write_trials([Trial("ana", "a.png", "limpia", "gato", "perro")], archivo)
    >>> print(archivo.getvalue())
    observer,stimulus,condition,category,texture,response
    ana,a.png,limpia,gato,,perro
    <BLANKLINE>
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    seen = set()
    for k, trial in enumerate(trials):
        for name in _COLUMNS:
            value = getattr(trial, name)
            if not isinstance(value, str) or not _survives(value) or (not value and name != "texture"):
                raise ConvlabError(
                    f"El ensayo {k} no se puede escribir: `{name}` es {value!r}. Debe ser un texto de una línea, sin "
                    "espacios en los extremos y con las tildes compuestas (NFC); solo `texture` puede ir vacío."
                )
        if trial[:3] in seen:
            raise ConvlabError(
                f"El ensayo {k} está repetido: «{trial.observer}», «{trial.stimulus}», «{trial.condition}»."
            )
        seen.add(trial[:3])
        writer.writerow([getattr(trial, name) for name in _COLUMNS])
    if isinstance(target, str | Path):
        Path(target).write_text(text.getvalue(), "utf-8", newline="")
    else:
        target.write(text.getvalue())


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _survives(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # mitades sueltas de un carácter
        return False
    return _tidy(value) == value and not {"\n", "\r"} & set(value)


def _lines(source: str | Path | IO[Any]) -> Iterator[tuple[int, bytes]]:
    """Las líneas que no están en blanco, con su número: en bytes, para que una mal codificada no estropee el resto."""
    if isinstance(source, str | Path):
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError:
            raise ConvlabError(f"No existe el archivo «{source}». Revisa la ruta.") from None
        except OSError as error:
            raise ConvlabError(f"No se puede leer «{source}» ({error.strerror}).") from None
    else:
        data = source.read()
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")  # devuelve los bytes que el archivo no supo leer
    data = data.removeprefix(b"\xef\xbb\xbf")
    return ((k, line) for k, line in enumerate(data.splitlines(), 1) if line.strip())


def _fields(line: bytes, delimiter: str) -> list[str]:
    try:
        return [_tidy(field) for field in next(csv.reader([line.decode()], delimiter=delimiter, strict=True))]
    except UnicodeDecodeError:
        raise ConvlabError("No está en UTF-8. Guarda el archivo con esa codificación.") from None
    except csv.Error:
        raise ConvlabError("Las comillas no están bien cerradas.") from None


def _header(lines: Iterator[tuple[int, bytes]]) -> tuple[list[str], str]:
    number, line = next(lines, (0, b""))
    if not line:
        raise ConvlabError(f"El archivo está vacío. Se esperaba una cabecera: {','.join(_COLUMNS)}.")
    delimiter = max(",;\t", key=lambda mark: line.count(mark.encode()))
    columns = [name.lower() for name in _fields(line, delimiter)]
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise ConvlabError(
            f"A la cabecera (línea {number}) le falta {', '.join(f'«{name}»' for name in missing)}; tiene "
            f"{', '.join(f'«{name}»' for name in columns)}. Se esperaba {','.join(_COLUMNS)}, y `texture` es opcional."
        )
    repeated = [name for name in _COLUMNS if columns.count(name) > 1]
    if repeated:
        raise ConvlabError(f"La cabecera (línea {number}) repite la columna «{repeated[0]}». Deja solo una.")
    return columns, delimiter


def _trial(line: bytes, columns: list[str], delimiter: str, known: list[str] | None) -> Trial:
    fields = _fields(line, delimiter)
    if len(fields) != len(columns):
        raise ConvlabError(f"Se esperaban {len(columns)} campos y hay {len(fields)}.")
    row = {name: field for name, field in zip(columns, fields, strict=True) if name in _COLUMNS}
    empty = [name for name in _REQUIRED if not row[name]]
    if empty:
        raise ConvlabError(f"Está vacío {', '.join(f'«{name}»' for name in empty)}.")
    if known is not None:
        for name in ("category", "texture", "response"):
            value = row.get(name, "")
            allowed = not value or value in known or (name == "response" and value == NO_RESPONSE)
            if not allowed:
                raise unknown_name(f"la categoría de `{name}`", value, known)
    return Trial(**row)
