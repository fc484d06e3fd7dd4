"""The arguments of the running command: options from a file, and the command line that repeats it."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import click

from softmargin.errors import ParameterError
from softmargin.text import printable

__all__ = ["GIVEN", "command_line", "config_option"]

GIVEN = "softmargin.arguments"
"""Key in the ``meta`` of click's context of the words after the name of the command."""


def config_option() -> click.Option:
    """Return the option ``--config``, which takes values for other options from a file."""
    return click.Option(
        ["--config"],
        metavar="FILE.toml",
        help="File of options, in one table per command such as [fit]; the command line wins.",
        is_eager=True,  # before the options that it has values for
        expose_value=False,
        callback=_read_config,
    )


def command_line() -> str:
    """Return the running command with the options that came from a file, quoted for a shell."""
    context = click.get_current_context()
    given, _, _ = context.command.make_parser(context).parse_args(list(context.meta.get(GIVEN, ())))
    from_file = context.default_map or {}
    arguments: list[str] = []
    words: list[str] = []
    for parameter in context.command.params:
        name = str(parameter.name)
        value = given.get(name)
        if name == "config":
            continue
        if isinstance(parameter, click.Argument):
            arguments += [value] if isinstance(value, str) else []
            continue
        if not isinstance(value, (str, bool, list, tuple)):  # click has a mark for what was not given
            value = from_file.get(name)
        option = max(parameter.opts, key=len)
        if isinstance(value, bool):
            words += [option] if value else list(parameter.secondary_opts[:1])
        elif value is not None:
            for one in [value] if isinstance(value, str) else value:
                words += [option, str(one)]
    if any(argument.startswith("-") and argument != "-" for argument in arguments):
        words, arguments = [*words, "--", *arguments], []
    return shlex.join(["softmargin", str(context.info_name), *arguments, *words])


def _read_config(context: click.Context, option: click.Parameter, path: str | None) -> None:
    """Make the options in a file the defaults of the command."""
    if path is None or context.resilient_parsing:  # completion
        return
    try:
        with open(path, "rb") as stream:
            tables = tomllib.load(stream)
    except OSError as error:
        raise ParameterError(f"--config {path} could not be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"--config {path} must be a TOML file: {printable(error)}.") from error
    group = context.parent.command if context.parent is not None else None
    assert isinstance(group, click.Group), "every command belongs to the group"
    read: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            where = f"in the table of a command, such as [{context.info_name}]"
            raise ParameterError(f"--config {path} must have {printable(name)} {where}.")
        if name not in group.commands:
            raise _unknown(path, f"table [{name}]", name, list(group.commands))
        read[name] = _values(path, name, table, group.commands[name])
    context.default_map = read.get(str(context.info_name), {})


def _values(path: str, name: str, table: Mapping[str, Any], command: click.Command) -> dict[str, Any]:
    """Return the values of a table by the names of the parameters; click checks their types later."""
    options = {
        text.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name != "config"
        for text in parameter.opts
        if text.startswith("--")
    }
    values: dict[str, Any] = {}
    for key, value in table.items():
        option = options.get(key.replace("_", "-"))
        if option is None:
            if key in {p.name for p in command.params if isinstance(p, click.Argument)}:
                raise ParameterError(f"--config {path} must hold only options; give {key} on the command line.")
            raise _unknown(path, f"option {key} in [{name}]", key, list(options))
        where = f"{key} in [{name}] of {path}"
        if str(option.name) in values:
            raise ParameterError(f"{where} must be given once, got it with - and with _.")
        values[str(option.name)] = _value(where, value, option)
    return values


def _value(where: str, value: Any, option: click.Option) -> Any:
    """Return a value as it would stand on the command line: a flag as a bool, all others as text."""
    if option.is_flag or isinstance(value, bool):
        if not (option.is_flag and isinstance(value, bool)):
            wanted = "true or false" if option.is_flag else "a string or a number"
            raise ParameterError(f"{where} must be {wanted}, got {str(value).lower()}.")
        return value
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, (str, int, float)) and not isinstance(item, bool) for item in items):
        raise ParameterError(f"{where} must be a string, a number or a list of these, got {printable(value)}.")
    texts = [str(item) for item in items]
    return texts if option.multiple else ",".join(texts)


def _unknown(path: str, what: str, name: str, known: list[str]) -> ParameterError:
    """Return the error for an unknown name, with the nearest known one."""
    near = get_close_matches(name.replace("_", "-"), known, 1)
    advice = f"the nearest name is {near[0]}" if near else f"the names are {', '.join(known)}"
    return ParameterError(f"--config {path} has an unknown {printable(what)}; {advice}.")
