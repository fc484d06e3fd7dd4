"""``softmargin completion``: the script by which a shell completes commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from softmargin.cli.wording import write

__all__ = ["completion"]

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print the script that completes words in a shell.")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, their values and files in SHELL: bash, zsh or fish.

    For bash and zsh, add the line of the example to ~/.bashrc or ~/.zshrc; zsh needs compinit before it.
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all of them"
    made = kind(click.Group("softmargin"), {}, "softmargin", "_SOFTMARGIN_COMPLETE")
    write(made.source_template % made.source_vars() + "\n")  # source() would start a shell to ask its version
