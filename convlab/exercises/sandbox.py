"""Ejecutar la función de un estudiante: con tiempo límite, sin ruido y sin la solución a mano.

Es una red de seguridad contra accidentes, no contra mala intención: quien califique entregas ajenas debe ejecutarlas
además en un proceso aislado.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import io
import signal
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

OUTPUT_LIMIT = 2000

_refused: list[str] = []


class Timeout(BaseException):
    """Se acabó el tiempo. No hereda de `Exception` para que un `except Exception` del estudiante no la atrape."""


class ForbiddenCall(BaseException):
    """El estudiante llamó a la función que se le pide escribir."""


class _Limited(io.TextIOBase):
    """Guarda los primeros caracteres y descarta el resto: imprimir 10 MB no llena nada."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: OUTPUT_LIMIT - len(self.text)]
        return len(text)


def call(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    forbidden: tuple[Any, ...],
    time_limit: float,
    use: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Llama a la función, con los argumentos por orden o como diga `use(función, *argumentos)`, y cuenta qué pasó.

    Returns
    -------
    dict
        `kind`: `"ok"`, `"error"`, `"unwritten"`, `"timeout"`, `"forbidden"` o `"signature"`; `value`: lo devuelto, tal
        cual; `error`: el nombre de la excepción; `message`: en español, qué pasó; `stdout`: lo impreso, recortado.

    Raises
    ------
    KeyboardInterrupt
        Si quien está delante interrumpe la ejecución.
    """
    result: dict[str, Any] = {"kind": "ok", "value": None, "error": "", "message": "", "stdout": ""}
    if use is None and (problem := _wrong_signature(function, arguments)):
        return result | {"kind": "signature", "error": "TypeError", "message": problem}
    work = partial(function if use is None else partial(use, function), *arguments.values())
    printed = _Limited()
    _refused.clear()
    try:
        with (
            _blocked(forbidden),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            result["value"] = within(time_limit, work)
    except Timeout:
        result |= {"kind": "timeout", "message": f"Tardó más de {time_limit:g} s. ¿Hay un bucle que no termina?"}
    except KeyboardInterrupt:
        raise
    except NotImplementedError as error:
        result |= {"kind": "unwritten", "error": "NotImplementedError", "message": str(error)}
    except BaseException as error:  # también `exit()`: pase lo que pase, la comprobación sigue
        result |= {"kind": "error", "error": type(error).__name__, "message": explain(error)}
    if _refused:  # aunque un `except:` se lo haya tragado
        text = f"Llamaste a `{_refused[0]}` de convlab, que hace lo que se te pide. Escríbelo tú."
        result |= {"kind": "forbidden", "value": None, "message": text}
    result["stdout"] = printed.text
    return result


def _wrong_signature(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    try:
        inspect.signature(function).bind(*arguments.values())
    except TypeError:
        return f"Tu función debe aceptar, en este orden: {', '.join(arguments)}. Revisa la línea del `def`."
    except ValueError:  # funciones escritas en C: no se sabe, y al llamarla se verá
        pass
    return ""


def explain(error: BaseException) -> str:
    """Qué excepción fue y en qué línea de quien escribió la función."""
    try:
        text = str(error)[:300]
    except Exception:  # la excepción es del estudiante, y su texto también
        text = "(sin texto)"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not {"site-packages", "convlab"} & set(f.filename.replace("\\", "/").split("/"))]
    line = f" (línea {own[-1].lineno}: `{own[-1].line}`)" if own and own[-1].line else ""
    if isinstance(error, SystemExit):
        return f"Intentó cerrar el programa con `exit`; usa `return`{line}."
    return f"Lanzó {type(error).__name__}: {text}{line}"


def _refuse(*_arguments: Any, **_options: Any) -> None:
    # Este código se ejecuta dentro de otra función: no puede usar nada de este módulo sin importarlo.
    import sys

    from convlab.exercises import sandbox

    name = sys._getframe().f_code.co_name
    sandbox._refused.append(name)
    raise sandbox.ForbiddenCall(f"No se puede llamar a «{name}» de convlab en este ejercicio.")


@contextlib.contextmanager
def _blocked(functions: tuple[Any, ...]) -> Iterator[None]:
    """Cambia el código de cada función mientras dura: ningún alias lo esquiva."""
    originals = [(f, f.__code__) for f in functions if isinstance(f, types.FunctionType)]
    try:
        for f, code in originals:
            f.__code__ = _refuse.__code__.replace(co_name=code.co_name)
        yield
    finally:
        for f, code in originals:
            f.__code__ = code


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Ejecuta `work` y lanza `Timeout` si no acaba a tiempo.

    En una máquina muy ocupada el reloj corre más que el programa: si en ese tiempo apenas ha podido calcular, se le
    espera hasta cuatro veces más.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return _within_thread(seconds, work)
    armed, warned = True, False
    tracer = sys.gettrace()
    starved = _starvation(seconds)

    def stop(_signal: int, frame: types.FrameType | None) -> None:
        nonlocal warned
        if not armed or (not warned and starved()):
            return
        if warned:
            # Un `except:` se tragó el aviso anterior. Se insiste más a menudo, y otra vez dentro de ese `except`, donde
            # ya no puede atraparse a sí mismo.
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            sys.settrace(insist)
            while frame and frame.f_code.co_filename != __file__:
                frame.f_trace = insist
                frame = frame.f_back
        warned = True
        raise Timeout

    def insist(_frame: types.FrameType, event: str, _argument: Any) -> Any:
        if armed and event == "line":
            raise Timeout
        return insist

    start = time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)
    try:
        try:
            return work()
        finally:
            armed = False
    finally:
        sys.settrace(tracer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if outer[0]:  # quien nos llama tenía su propio límite: sigue contando
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, outer[0] - (time.monotonic() - start)), outer[1])


def _starvation(seconds: float) -> Callable[[], bool]:
    """Si desde ahora se ha tenido menos de la mitad de ese tiempo de procesador, y aún se puede esperar."""
    wall, cpu = time.monotonic(), time.process_time()
    return lambda: time.process_time() - cpu < seconds / 2 and time.monotonic() - wall < 4 * seconds


def _within_thread(seconds: float, work: Callable[[], Any]) -> Any:
    """Fuera del hilo principal no hay señales: se ejecuta en otro hilo, al que se manda la excepción."""
    box: dict[str, Any] = {}

    def keep() -> None:
        try:
            box["value"] = work()
        except BaseException as error:
            box["error"] = error

    worker = threading.Thread(target=keep, daemon=True)
    starved = _starvation(seconds)
    worker.start()
    worker.join(seconds)
    while worker.is_alive() and starved():
        worker.join(0.1)
    late = worker.is_alive()
    for _ in range(40):
        if not worker.is_alive():
            break
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident or 0), ctypes.py_object(Timeout))
        worker.join(0.05)
    if late:
        raise Timeout
    if "error" in box:
        raise box["error"]
    return box["value"]
