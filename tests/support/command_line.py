"""The command line, run in this process."""

from __future__ import annotations

import csv
import io
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import softmargin.cli as cli
from softmargin.cli import progress

progress._PLAIN_SECONDS = float("inf")  # what a command prints must not depend on the machine

SOFT = ("--loss", "cross_entropy", "--reg", "0.1")


class Answer(NamedTuple):
    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str | Path, encoding: str = "utf-8") -> Answer:
    """Run the command line in this process, with pipes for stdout (of an encoding) and stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), name, newline="") for name in (encoding, "utf-8"))
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    for stream in (out, err):
        stream.flush()
    assert isinstance(end.value.code, int)
    return Answer(end.value.code, out.buffer.getvalue(), err.buffer.getvalue().decode())  # type: ignore[attr-defined]


def module(name: str) -> Any:
    """Return a module of the command line; its name in the package is taken by the command."""
    return sys.modules[f"softmargin.cli.{name}"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run_refused(folder: Path, *arguments: str | Path, words: tuple[str, ...] = ()) -> str:
    """Hold the command line against the rule: status 2, one sentence, and nothing in the folder has changed."""
    before = contents(folder)
    answer = run(*arguments)
    assert (answer.status, answer.out) == (2, b""), answer
    *notes, sentence = answer.err.splitlines()
    assert sentence.startswith("Error: "), answer.err
    assert all(note.startswith("Note: ") for note in notes), answer.err
    for word in words:
        assert word in sentence, (word, sentence)
    assert contents(folder) == before
    return sentence


def rows_of(answer: Answer) -> list[list[str]]:
    """Return the rows that ``predict`` printed: id, label and numbers."""
    assert answer.status == 0, answer
    return list(csv.reader(io.StringIO(answer.text, newline="")))[1:]


def stopped_at(verb: str, stage: str, act: Callable[[], None]) -> Callable[[bool], Any]:
    """Return a `reporter` that does something when a stage is first reported."""

    @contextmanager
    def reporter(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
        waiting = [stage]

        def report(what: str, done: int = 0, total: int = 0) -> None:
            if waiting and what.startswith(stage):
                waiting.clear()
                act()

        yield report

    return reporter


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)
