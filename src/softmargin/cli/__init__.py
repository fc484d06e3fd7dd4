"""The command line: one file per command, and the only part of the package that prints."""

from __future__ import annotations

import atexit
import gc
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from softmargin._version import __version__
from softmargin.cli.arguments import GIVEN, config_option
from softmargin.cli.check import check
from softmargin.cli.compare import compare
from softmargin.cli.completion import completion
from softmargin.cli.curve import curve
from softmargin.cli.embed import embed
from softmargin.cli.evaluate import evaluate
from softmargin.cli.export import export
from softmargin.cli.fit import fit
from softmargin.cli.help import complete_files, epilog
from softmargin.cli.hints import explain_command, explain_option
from softmargin.cli.info import info
from softmargin.cli.predict import predict
from softmargin.cli.report import report
from softmargin.cli.wording import say_err
from softmargin.errors import SoftmarginError

__all__ = ["main", "softmargin"]


class _Commands(click.Group):
    """Lists the commands in the order in which they were added, and knows the names of other tools."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(explain_command(args[0], list(self.commands)), ctx)
        ctx.meta[GIVEN] = args[1:]
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, "-V", "--version", prog_name="softmargin")
def softmargin() -> None:
    """Train, evaluate and use multiclass linear classifiers.

    DATA is "digits" (built in), a folder or .zip with one folder of images per class, a table (.csv, .parquet,
    .feather), arrays (.npy, .npz, .safetensors), sparse text (.svm) and more. A folder with subfolders "train" and
    "test", or arrays X_train and X_test, include a test set.

    \b
    Examples:
      softmargin fit digits -o digits.safetensors
      softmargin evaluate digits.safetensors digits
    """  # noqa: D301
    if "SOFTMARGIN_THREADS" in os.environ:  # an invalid number is an error before any work
        from softmargin.threads import default_threads

        default_threads()


for command in (fit, compare, curve, embed, evaluate, predict, report, export, info, check, completion):
    if command is not completion:
        command.params.append(config_option())
    complete_files(command)
    command.epilog = epilog(str(command.name))
    softmargin.add_command(command)


_NEW_OBJECTS = 50_000
"""Number of new objects after which Python looks for cycles among them."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; an invalid argument or file is one sentence on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # λ is \u03bb in a narrow encoding
    arguments = sys.argv[1:] if arguments is None else arguments
    # Looking for cycles takes a tenth of a second at the default threshold, and another one at the end.
    gc.set_threshold(_NEW_OBJECTS)
    atexit.register(gc.freeze)
    try:
        with _stoppable():
            status = softmargin.main(arguments or ["--help"], "softmargin", standalone_mode=False)
    except SoftmarginError as error:
        say_err(f"Error: {error}")
        status = 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" See '{context.command_path} --help'." if context else ""
        message = explain_option(error) if isinstance(error, click.NoSuchOption) else error.format_message()
        message = re.sub(r"\s*[\r\n]\s*", " ", message).removesuffix(".")  # click lists choices in lines
        say_err(f"Error: {message}{'' if message.endswith('?') else '.'}{hint}")
        status = error.exit_code
    except OSError as error:  # click's own output, of --help for example
        say_err(f"Error: {error.strerror or error}.")
        status = 2
    except click.Abort:  # a KeyboardInterrupt that no signal caused, as in a file that is checked
        say_err("Stopped. No file was left half-written.")
        status = 128 + signal.SIGINT
    except _Stopped as stopped:
        say_err("Stopped. No file was left half-written.")
        status = 128 + stopped.number
    sys.exit(status if isinstance(status, int) else 0)


class _Stopped(BaseException):
    """SIGINT (Ctrl-C) or SIGTERM, as an exception."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into exceptions, so that temporary files and helper processes are removed."""
    received: list[int] = []

    def stop(number: int, frame: Any) -> NoReturn:
        received.append(number)
        raise _Stopped(number)

    def resend(lost: Any) -> None:
        # An exception raised while LLVM calls back into Python is lost: send the signal again.
        if isinstance(lost.exc_value, _Stopped):
            threading.Timer(0.01, signal.raise_signal, (lost.exc_value.number,)).start()
        else:
            hook(lost)

    hook = sys.unraisablehook
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        sys.unraisablehook = resend
        for number, handler in found.items():
            if handler is not signal.SIG_IGN:  # keep an ignored signal ignored, as under nohup
                signal.signal(number, stop)
        yield
    except Exception as error:
        if received:  # an import interrupted in C fails with another error
            raise _Stopped(received[0]) from error
        raise
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
