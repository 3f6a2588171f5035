"""Typer en español: títulos de la ayuda y errores de una línea en stderr, con código de salida 2."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from convlab.errors import ConvlabError, unknown_name

# `UsageError` cambia de módulo según la versión de Typer; su subclase pública, no.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_TITLES = {
    "ARGUMENTS_PANEL_TITLE": "Argumentos",
    "OPTIONS_PANEL_TITLE": "Opciones",
    "COMMANDS_PANEL_TITLE": "Órdenes",
    "REQUIRED_LONG_STRING": "[obligatorio]",
    "DEFAULT_STRING": "[por omisión: {}]",
}


class _SpanishHelp:
    """Lo común a una orden y a un grupo: la ayuda."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.help = "Muestra esta ayuda y termina."
        return option

    def get_usage(self, ctx: Any) -> str:
        usage: str = super().get_usage(ctx)  # type: ignore[misc]
        return usage.replace("Usage:", "Uso:", 1)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            # Solo nuestros nombres de valor: Typer pondría «<bool>» a las banderas y «<path>» a los argumentos.
            metavar = parameter.metavar if parameter.param_type_name == "option" else None
            parameter.display_type_rich = lambda ctx, shown=metavar or "": shown  # noqa: ARG005
        with _spanish_titles():
            super().format_help(ctx, formatter)  # type: ignore[misc]


class SpanishCommand(_SpanishHelp, TyperCommand):
    """Orden de Typer con la ayuda en español."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "options_metavar": "[OPCIONES]"})


class SpanishGroup(_SpanishHelp, TyperGroup):
    """Grupo de órdenes con la ayuda y los errores en español."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        spanish = {"options_metavar": "[OPCIONES]", "subcommand_metavar": "ORDEN [ARGUMENTOS]…"}
        super().__init__(*args, **{**kwargs, **spanish})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Busca la orden; si no existe, propone las parecidas."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown_name("la orden", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Ejecuta; los errores de quien la usa salen por stderr en una línea, sin traza."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            status = super().main(args, standalone_mode=False, **extra)
        except ConvlabError as error:
            status = _fail(str(error))
        except _UsageError as error:
            status = _fail(_translate(error))
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> int:
    typer.echo(f"Error: {' '.join(message.split())}", err=True)
    return 2


def _translate(error: Any) -> str:
    """Dice en español un error de uso de Typer."""
    kind, text = type(error).__name__, str(getattr(error, "message", ""))
    parameter = getattr(error, "param", None)
    name = getattr(error, "option_name", None) or (parameter and _display_name(parameter))
    metavar = str(getattr(parameter, "metavar", None) or "valor").lower()
    if kind == "MissingParameter":
        message = f"Falta {name}."
    elif kind == "NoSuchOption":
        return str(unknown_name("la opción", name, getattr(error, "possibilities", None) or _options(error)))
    elif kind == "BadParameter":
        message = f"El valor de {name} no es válido: se esperaba un {metavar}."
    elif kind == "BadOptionUsage":
        message = f"La opción {name} {'no lleva valor' if 'not take' in text else 'necesita un valor'}."
    elif extra := re.search(r"unexpected extra argument.*\((.*)\)", text):
        message = f"Sobra «{extra[1]}»."
    else:
        message = "La orden no está bien escrita."
    context = getattr(error, "ctx", None)
    return f"{message} Consulta «{context.command_path} --help»." if context else message


def _display_name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"el argumento {parameter.metavar or parameter.name.upper()}"
    return str(max(parameter.opts, key=len))


def _options(error: Any) -> list[str]:
    context = error.ctx
    return [name for p in context.command.get_params(context) for name in p.opts if name.startswith("--")]


@contextmanager
def _spanish_titles() -> Iterator[None]:
    """Cambia los títulos fijos de Typer mientras se escribe la ayuda, y los devuelve después."""
    from typer import rich_utils

    before = {name: getattr(rich_utils, name) for name in _TITLES}
    try:
        for name, title in _TITLES.items():
            setattr(rich_utils, name, title)
        yield
    finally:
        for name, title in before.items():
            setattr(rich_utils, name, title)
