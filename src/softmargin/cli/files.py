"""The files that commands write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from softmargin.errors import ModelFileError, SoftmarginError
from softmargin.io.atomic import write_atomically
from softmargin.io.paths import same_file

if TYPE_CHECKING:
    from softmargin.report import Report

__all__ = ["check_output", "default_output", "save", "write_report"]

_FIGURES = ("png", "svg")


def default_output(name: str, source: str) -> str:
    """Return the name of a model file for data of this name, which is never that of the data."""
    path = f"{name}.safetensors"
    taken = os.path.exists(path) and os.path.exists(source) and same_file(path, source)
    return f"{name}.model.safetensors" if taken else path


def save(path: str, pieces: Iterable[bytes], verb: str = "written") -> None:
    """Write a file, whole or not at all."""
    try:
        write_atomically(path, pieces)
    except OSError as error:
        raise ModelFileError(f"{path} could not be {verb}: {error.strerror or error}.") from error


def check_output(path: str, *inputs: str | None, written: Sequence[str | None] = ()) -> None:
    """Raise an error now, not after minutes of work, if no file can be saved there or another would be lost.

    What is read, ``inputs``, is more than is named: labels beside a file, all files of a folder. ``written``
    are the other outputs, which need not be there yet.
    """
    from softmargin.data import belongs_to

    folder = os.path.dirname(os.path.realpath(path))
    try:
        exists = bool(os.stat(path))
    except FileNotFoundError:
        exists = False
    except OSError as error:
        raise ModelFileError(f"{path} cannot be written: {error.strerror}.") from error
    if os.path.isdir(path):
        problem = "is a folder, where a file is wanted"
    elif not os.path.isdir(folder):
        problem = f"cannot be written: the folder {folder} does not exist"
    elif exists and not os.path.isfile(path):
        return  # a pipe or a device: nothing is lost
    elif any(source and same_file(path, source) for source in inputs):
        problem = "is read here, so it cannot be written too"
    elif any(source and belongs_to(path, source) for source in inputs):
        problem = "is part of the data that are read here, or would be, so it cannot be written"
    elif any(other and same_file(path, other) for other in written):
        problem = "would be written twice: give each output a name of its own"
    elif not os.access(path if exists else folder, os.W_OK):
        problem = "may not be written: permission is denied"
    else:
        return
    raise ModelFileError(f"{path} {problem}.")


def write_report(record: Report, output: str, figures: str | None = None) -> None:
    """Write the page, and the figures if they are asked for, each file whole or not at all."""
    from softmargin.report import draw_figures, page, summary

    try:
        write_atomically(output, page(record, summary(record)))
        if figures is not None:
            os.makedirs(figures, exist_ok=True)
            for name, content in draw_figures(record, _FIGURES):
                write_atomically(os.path.join(figures, name), content)
    except OSError as error:
        place = error.filename or output
        raise SoftmarginError(f"{place} could not be written: {error.strerror}.") from error
