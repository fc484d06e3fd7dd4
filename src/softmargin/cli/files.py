"""The files that commands write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from softmargin.errors import ModelFileError, SoftmarginError
from softmargin.io.atomic import write_atomically
from softmargin.io.paths import check_suffix, same_file

if TYPE_CHECKING:
    from softmargin.report import Report

__all__ = ["check_name", "check_output", "default_output", "save", "write_report"]

_FIGURES = ("png", "svg")


def default_output(source: str) -> str:
    """Return the name of a model file for DATA, before it is read: never the name of DATA itself.

    It is that of the folder, or of the file without its extension.
    """
    name = os.path.basename(os.path.abspath(source))
    if not os.path.isdir(source):
        name = os.path.splitext(name)[0]
    path = f"{name}.safetensors"
    taken = os.path.exists(path) and os.path.exists(source) and same_file(path, source)
    return f"{name}.model.safetensors" if taken else path


def save(path: str, pieces: Iterable[bytes]) -> None:
    """Write a file atomically."""
    try:
        write_atomically(path, pieces)
    except OSError as error:
        raise SoftmarginError(f"{path} could not be written: {error.strerror or error}.") from error


def check_name(path: str, suffixes: Sequence[str], name: str = "FILE") -> str:
    """Return the suffix of an output, which sets its format, or raise an error before anything is read.

    A pipe or a device may have any name; its suffix is the first one.

    Parameters
    ----------
    path : str
    suffixes : sequence of str
        In lower case, with a dot.
    name : str
        How the help of the command calls the file.
    """
    if not path:
        raise ModelFileError(f"{name} must be the name of a file to write, got an empty one.")
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        return suffixes[0]
    return check_suffix(path, suffixes, name)


def check_output(path: str, *inputs: str | None, written: Sequence[str | None] = ()) -> None:
    """Raise an error before the work if no file can be written there or if an input would be lost.

    The ``inputs`` include the files that belong to them: labels beside an array, all files of a folder.
    ``written`` are the other outputs.
    """
    from softmargin.data import belongs_to

    if not path:
        raise ModelFileError("The path of an output must not be empty.")
    folder = os.path.dirname(os.path.realpath(path))
    try:
        exists = bool(os.stat(path))
    except FileNotFoundError:
        exists = False
    except OSError as error:
        raise ModelFileError(f"{path} cannot be written: {error.strerror}.") from error
    if os.path.isdir(path):
        problem = "is a folder; give the name of a file"
    elif not os.path.isdir(folder):
        problem = f"cannot be written: the folder {folder} does not exist"
    elif exists and not os.path.isfile(path):
        return  # a pipe or a device: nothing is lost
    elif any(source and same_file(path, source) for source in inputs):
        problem = "is an input of this command and cannot be its output"
    elif any(source and belongs_to(path, source) for source in inputs):
        problem = "is, or would become, part of the input data; choose another path"
    elif any(other and same_file(path, other) for other in written):
        problem = "is given for two outputs; choose a different file for each"
    elif not os.access(path if exists else folder, os.W_OK):
        problem = "cannot be written: permission denied"
    else:
        return
    raise ModelFileError(f"{path} {problem}.")


def write_report(record: Report, output: str, figures: str | None = None, language: str = "en") -> None:
    """Write the page in this language, and the figures into a folder if one is given."""
    from softmargin.report import draw_figures, page, summary

    save(output, page(record, summary(record), language))
    if figures is not None:
        try:
            os.makedirs(figures, exist_ok=True)
        except OSError as error:
            raise SoftmarginError(f"{figures} could not be created: {error.strerror}.") from error
        for name, content in draw_figures(record, _FIGURES):
            save(os.path.join(figures, name), [content])
