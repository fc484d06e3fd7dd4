"""The text of a table: compression, encoding, and the lines above the table."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import IO, Any, NamedTuple

from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["Top", "decoded", "read_top", "rest_of"]

LONGEST_LINE = 1 << 24
SAMPLE_LINES = 100
SAMPLE_CHARACTERS = 1 << 20
MOST_COMMENTS = 100

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
"""Byte order marks, the longer ones first."""


class Top(NamedTuple):
    """The first lines of a table.

    Attributes
    ----------
    lines : list of str
        Some lines from the first line of the table on.
    n_skipped : int
        Number of lines above them.
    delimiter : str or None
        The one that a line ``sep=;`` at the top gives.
    comment : str or None
        The last comment at the top without its ``#``, which may hold the names of the columns.
    notes : tuple of str
    """

    lines: list[str]
    n_skipped: int
    delimiter: str | None
    comment: str | None
    notes: tuple[str, ...]


@contextmanager
def decoded(stream: IO[bytes], where: str, encoding: str | None, *, packed: bool) -> Iterator[io.TextIOWrapper]:
    """Open the text of a binary stream: ``encoding``, else as its byte order mark says, else UTF-8.

    Parameters
    ----------
    packed : bool
        Whether the stream is compressed by gzip.

    Raises
    ------
    DataError
        The text is not of this encoding, or the stream is not gzip.
    """
    raw: Any = gzip.GzipFile(fileobj=stream, mode="rb") if packed else stream
    buffered = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    name = encoding or "utf-8-sig"
    try:
        start = buffered.peek(4)[:4]
        name = encoding or next((found for mark, found in _MARKS if start.startswith(mark)), name)
        text = io.TextIOWrapper(buffered, name, newline="")
        try:
            yield text
        finally:
            text.detach()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not {_called(name)} text ({_found(error)}){_advice(encoding, error.object)}."
        ) from error
    except UnicodeError as error:  # UTF-16 without a byte order mark
        raise DataError(f"{where} is not {_called(name)} text ({error}).") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{where} is damaged or not compressed by gzip ({printable(error)}).") from error
    finally:
        if buffered is not raw:
            buffered.detach()


def read_top(text: io.TextIOWrapper, where: str) -> Top:
    """Read the lines above a table (empty lines, comments with ``#``, ``sep=;``) and some lines of the table."""
    above: list[str] = []
    delimiter, n_comments, comment = None, 0, None
    while True:
        line = _line(text, where, "a first line")
        if not line:
            if not n_comments:
                raise DataError(f"{where} is empty or holds only empty lines; expected a table.")
            return Top(_without_blank(above), 0, delimiter, None, ())  # each row begins with "#"
        given = re.fullmatch(r'"?sep=(.)"?\s*', line) if not above else None
        is_comment = line.lstrip().startswith("#")
        if line.strip() and given is None and not is_comment:
            break
        delimiter = given[1] if given else delimiter
        if is_comment:
            n_comments, comment = n_comments + 1, line.lstrip().lstrip("#")
        above.append(line)
        if n_comments > MOST_COMMENTS:
            return Top(_without_blank(above), 0, delimiter, None, ())
    lines, size = [line], len(line)
    while len(lines) < SAMPLE_LINES and size < SAMPLE_CHARACTERS and (line := _line(text, where, "lines")):
        lines.append(line)
        size += len(line)
    notes = (f"{pluralize(n_comments, 'comment line')} above the table passed over",) if n_comments else ()
    return Top(lines, len(above), delimiter, comment, notes)


def rest_of(top: Top, text: io.TextIOWrapper, *, packed: bool) -> Iterator[str]:
    """Return all lines of the table; those of a compressed file are cut to a length that fits in memory."""
    more = iter(partial(text.readline, LONGEST_LINE), "") if packed else text
    return chain(top.lines, more)


def _line(text: io.TextIOWrapper, where: str, what: str) -> str:
    line = text.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise DataError(f"{where} must have {what} of less than {LONGEST_LINE:,} characters.")
    if "\0" in line:
        advice = "; if it is UTF-16, give encoding='utf-16-le' (--encoding utf-16-le)"
        raise DataError(f"{where} is not UTF-8 text: it contains null bytes{advice}.")
    return line


def _without_blank(lines: list[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def _called(name: str) -> str:
    return "UTF-8" if name == "utf-8-sig" else name


def _found(error: UnicodeDecodeError) -> str:
    """Return the word around the first wrong byte, as Windows-1252 reads it."""
    before, after = error.object[: error.start][-20:], error.object[error.start :][:20]
    word = re.split(rb'[\s,;|"]', before)[-1] + re.split(rb'[\s,;|"]', after)[0]
    read = printable(word.decode("cp1252", "replace"))
    return f"{error.reason}: byte 0x{error.object[error.start]:02x}, {read!r} if it is Windows-1252"


def _advice(encoding: str | None, found: bytes) -> str:
    if encoding is not None:
        return ""
    name = "utf-16-le" if b"\0" in found else "cp1252"
    return f"; give its encoding, such as encoding={name!r} (--encoding {name})"
