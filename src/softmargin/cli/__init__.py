"""The command line: one file a verb, and the only place that prints."""

from __future__ import annotations

import os
import sys

import click

from softmargin._version import __version__
from softmargin.cli.base import say_err
from softmargin.cli.evaluate import evaluate
from softmargin.cli.fit import fit
from softmargin.cli.info import info
from softmargin.cli.predict import predict
from softmargin.errors import SoftmarginError

__all__ = ["main", "softmargin"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="softmargin")
def softmargin() -> None:
    """Train, check and use multiclass linear classifiers.

    DATA is "digits" (built in), a folder with one folder of images for each class, a .npz file with X and
    y, or a .npy file of features with its labels in another. A folder with "train" and "test" in it, or a
    .npz with X_train and X_test, brings its own test part.

    \b
    Try it:
      softmargin fit digits -o digits.safetensors
      softmargin evaluate digits.safetensors digits
    """


for verb in (fit, evaluate, predict, info):
    softmargin.add_command(verb)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every mistake of the user is one sentence on stderr and exit status 2."""
    try:
        status = softmargin.main(arguments, standalone_mode=False)
    except SoftmarginError as error:
        say_err(f"Error: {error}")
        status = 2
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say_err("Interrupted. Nothing was written.")
        status = 130
    except BrokenPipeError:  # the reader of a pipe has gone: `softmargin predict … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
