"""What takes the place of commands and options that people know from other tools."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import click

__all__ = ["explain_command", "explain_option"]

VERBS = {
    "fit": ("train", "learn", "finetune", "probe"),
    "evaluate": ("test", "val", "validate", "score", "eval"),
    "predict": ("infer", "inference", "classify", "apply"),
    "compare": ("cv", "crossval", "search", "select", "tune", "sweep"),
    "embed": ("features", "extract", "encode", "transform"),
    "export": ("convert", "save"),
    "info": ("show", "describe", "inspect", "summary", "version"),
    "check": ("verify", "gradcheck", "grade"),
}
"""Commands of other tools, by the command that does the same here."""

_STRENGTH = "λ is set by --reg"
_STEPS = "a fit ends at its certified gap (--tol), or after --max-passes"
_LABELS = "labels are in --label-column COLUMN of a table, or in --labels-file FILE"

OPTIONS = {
    "--C": "the penalty is set by --reg 1/(2·N·C), and for two classes by --reg 1/(N·C)",
    "--lambda": _STRENGTH,
    "--l2": _STRENGTH,
    "--alpha": f"{_STRENGTH}, which is alpha/2 for scikit-learn's SGDClassifier",
    "--weight-decay": f"{_STRENGTH}, which is half of a weight decay",
    "--penalty": f"{_STRENGTH}, and the penalty is always λΣW²",
    "--lr": "the solver chooses its own steps",
    "--learning-rate": "the solver chooses its own steps",
    "--optimizer": "the solver follows from loss and data",
    "--solver": "the solver follows from loss and data",
    "--epochs": _STEPS,
    "--max-iter": _STEPS,
    "--batch-size": "every pass reads all samples, in chunks that fit the cache",
    "--device": "all work runs on the CPU, on --threads N of its cores",
    "--gpu": "all work runs on the CPU, on --threads N of its cores",
    "--workers": "the number of threads is set by --threads",
    "--jobs": "the number of threads is set by --threads",
    "--label": _LABELS,
    "--labels": _LABELS,
    "--target": _LABELS,
    "--seed": "nothing in this command is random",
    "--cv": "the number of folds is set by --folds",
    "--normalize": "rows are divided by their norm by --normalize-rows, columns are scaled by --scaling",
    "--out": "the file to write is set by -o",
    "--format": "the format follows from the suffix after -o",
    "--verbose": "progress is shown unless -q is given",
}
"""Options of other tools: a clause about what takes their place."""


def explain_command(name: str, commands: Sequence[str]) -> str:
    """Return the sentence about an unknown command, with what was probably meant."""
    known = [command for command, verbs in VERBS.items() if name.lower() in verbs]
    near = [command for command in known if command in commands] or get_close_matches(name, commands, 1)
    return f"No such command {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def explain_option(error: click.NoSuchOption) -> str:
    """Return the sentence about an unknown option, with what takes its place or the nearest names."""
    name = error.option_name.replace("_", "-")
    clause = OPTIONS.get(name) or OPTIONS.get(name.lower())
    if clause is not None:
        return f"No such option: {error.option_name}; {clause}."
    near = list(error.possibilities or ())[:1]
    words = f" Did you mean {near[0]}?" if near else ""
    return f"No such option: {error.option_name}.{words}"
