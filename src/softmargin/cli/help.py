"""The end of each help text: examples, and where the guide is. Also what completes file names."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

__all__ = ["EXAMPLES", "FILE_NAME", "complete_files", "epilog"]

EXAMPLES = {
    "fit": (
        "softmargin fit digits -o digits.safetensors",
        "softmargin fit photos -o photos.safetensors --image-size 32x32",
        "softmargin fit table.csv --label-column species --scaling standard",
    ),
    "compare": (
        "softmargin compare digits --loss cross_entropy --loss hinge",
        "softmargin compare photos --features hog --features dino.onnx -o all.json",
    ),
    "curve": ("softmargin curve digits --shots 1,2,4,8,16,all --repeats 10",),
    "embed": ("softmargin embed photos --features dino.onnx -o photos.safetensors",),
    "evaluate": (
        "softmargin evaluate digits.safetensors digits",
        "softmargin evaluate species.safetensors new.csv --json",
    ),
    "predict": (
        "softmargin predict photos.safetensors new/ --proba -o labels.parquet",
        "softmargin predict species.safetensors - --margin < new.csv | head",
    ),
    "report": ("softmargin report digits.safetensors digits -o digits.html --refit",),
    "export": ("softmargin export digits.safetensors -o digits.onnx",),
    "info": (
        "softmargin info digits.safetensors",
        "softmargin info digits.safetensors --command",
        "softmargin info --env",
    ),
    "check": ("softmargin check my_losses.py:svm_loss --loss hinge",),
    "completion": (
        'eval "$(softmargin completion bash)"',
        "softmargin completion fish > ~/.config/fish/completions/softmargin.fish",
    ),
}
"""One to three commands for each command, in lines of at most 78 characters."""

GUIDES = {
    "compare": "choosing.md",
    "embed": "features.md",
    "report": "report.md",
    "curve": "evaluating.md",
    "evaluate": "evaluating.md",
}
"""Guides in docs/guides; that of all other commands is ``command-line.md``."""

_FILES = ("DATA", "MODEL", "[MODEL|DATA]", "HTML", "HOW", "FILE", "DIR", "COLUMN|FILE")
"""Placeholders of files in help texts; those that begin with ``FILE.`` and end with ``|FILE`` are others."""


class _FileName(click.types.StringParamType):
    """Any text, which the shell completes as the name of a file."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


FILE_NAME = _FileName()


def complete_files(command: click.Command) -> None:
    """Let the shell complete files for all arguments and options that the help shows as one."""
    for parameter in command.params:
        shown = parameter.metavar or ""
        is_text = isinstance(parameter.type, type(click.STRING))
        if is_text and (shown in _FILES or shown.startswith("FILE.") or shown.endswith("|FILE")):
            parameter.type = FILE_NAME


def epilog(name: str) -> str:
    """Return the end of the help of a command."""
    examples: Any = EXAMPLES.get(name, ())
    lines = ["\b", "Example:" if len(examples) == 1 else "Examples:", *(f"  {line}" for line in examples), ""]
    guide = GUIDES.get(name, "command-line.md")
    anchor = f"#{name}" if name not in GUIDES else ""
    return "\n".join([*(lines if examples else []), f"Guide: docs/guides/{guide}{anchor}"])
