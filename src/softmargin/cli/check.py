"""``softmargin check``: the mistakes in a loss function of a Python file."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import click

from softmargin.cli import options
from softmargin.cli.wording import is_terminal, print_json, say, say_err, write
from softmargin.errors import ParameterError
from softmargin.text import printable, quoted, some_of, truncate

__all__ = ["check"]

_MOST_NAMES = 5


@click.command(short_help="Name the mistakes in a loss function of yours.")
@click.argument("source", metavar="FILE.py:FUNCTION")
@click.option(
    "--loss", type=click.Choice(options.LOSS_NAMES), help="Loss that it should compute [default: guessed]."
)
@click.option(
    "--delta",
    type=options.positive(),
    default=1.0,
    metavar="Δ",
    help="Margin of a hinge loss, from 0.001 to 10,000 [default: 1].",
)
@options.as_json
def check(source: str, loss: str | None, delta: float, as_json: bool) -> int:
    """Name the mistakes in a loss or gradient function, such as one of an exercise.

    This command runs FILE.py with all your rights, as `python FILE.py` does. Check only files that you trust.

    FUNCTION takes W (D, C), X (N, D), y (N,) and reg. It returns the loss, or the loss and its gradient. It is
    compared with the average loss over the samples plus reg · ΣW², on small random problems. Exit status 1 means
    that it has a mistake.
    """
    path, _, name = source.rpartition(":")
    if not path or not name or os.sep in name:
        raise ParameterError(f"FILE.py:FUNCTION must be a file and the name of a function, got {quoted(source)}.")
    if not Path(path).is_file():
        raise ParameterError(f"FILE.py must be an existing file, got {quoted(path)}.")
    say_err(f"Note: this runs the file {path}.")
    with redirect_stdout(sys.stderr):  # what the file prints is not the result
        function = _load(Path(path), name)
        from softmargin.textbook import check as check_function

        report = check_function(function, loss, delta=delta)
    if as_json:
        print_json("check", {"file": path, **report.to_dict()})
    elif is_terminal(sys.stdout):
        for line in str(report).splitlines():
            say(line)
    else:
        write("".join(printable(line) + "\n" for line in str(report).splitlines()))
    return 0 if report.passed else 1


def _load(path: Path, name: str) -> Callable[..., Any]:
    """Run a file as ``python FILE`` does, but with a ``__name__`` of its own, and return its function."""
    spec = spec_from_file_location(f"checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ParameterError(f"FILE.py must be a Python file, got {quoted(path)}.")
    module = sys.modules[spec.name] = module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # for files beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = truncate(printable(f"{type(error).__name__}: {error}"), 150).rstrip(".")
        raise ParameterError(f"{path} must run without an error, got {reason}.") from error
    finally:
        sys.path.pop(0)
    found = getattr(module, name, None)
    if callable(found):
        return found
    own = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
    near = get_close_matches(name, own, 1)
    known = f"the nearest name is {near[0]}" if near else f"it has {some_of(own, _MOST_NAMES) or 'no function'}"
    raise ParameterError(f"FUNCTION must be a function of {path}, got {quoted(name)}; {known}.")
