"""Progress on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from softmargin.cli.wording import is_terminal, say_err

if TYPE_CHECKING:
    from softmargin.losses import Loss
    from softmargin.solvers import Step

__all__ = ["Progress", "reporter", "stage"]

_PLAIN_SECONDS = 30.0
"""Seconds between two lines of progress if stderr is not a terminal."""


class Progress(Protocol):
    """Shows the current step; a total of 0 means that it is unknown."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None: ...


@contextmanager
def reporter(quiet: bool) -> Iterator[Progress]:
    """Show progress on stderr during the work: one line that changes in a terminal, else a line now and then."""
    if quiet or sys.stderr is None:
        yield lambda what, done=0, total=0: None
        return
    if not is_terminal(sys.stderr):
        with _PlainProgress() as plain:
            yield plain
        return
    from rich import progress as rich
    from rich.console import Console

    class Bar(rich.BarColumn):
        """A bar where the total is known."""

        def render(self, task: rich.Task) -> Any:
            return "" if task.total is None else super().render(task)

    words = rich.TextColumn("{task.description}", markup=False)
    columns = (rich.SpinnerColumn(), words, Bar(bar_width=10), rich.TimeElapsedColumn())
    console = Console(stderr=True)
    # Rich would send stdout to this console too, and `predict … > FILE` would leave the file empty.
    with rich.Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task, speed = progress.add_task("starting", total=None), _Speed()

        def show(what: str, done: int = 0, total: int = 0) -> None:
            text = _described(what, done, total) + speed(what, done, total)
            progress.update(task, description=text, completed=done, total=total or None)

        yield show


class _PlainProgress:
    """Prints a line every `_PLAIN_SECONDS`, also during a long step, so that a log shows that the work goes on."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._speed = _Speed()
        self._text = "starting"
        self._printing, self._ended = threading.Lock(), threading.Event()
        self._watch = threading.Thread(target=self._print_during_steps, name="softmargin progress", daemon=True)

    def __enter__(self) -> _PlainProgress:
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._watch.join()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        self._text = _described(what, done, total) + self._speed(what, done, total)
        self._print_if_due()

    def _print_during_steps(self) -> None:
        while not self._ended.wait(min(max(_PLAIN_SECONDS, 0.1), threading.TIMEOUT_MAX)):
            self._print_if_due()

    def _print_if_due(self) -> None:
        with self._printing:
            now = time.monotonic()
            if now - self._printed >= _PLAIN_SECONDS:
                self._printed = now
                say_err(f"{now - self._started:.0f} s: {self._text}")


class _Speed:
    """Measures the speed of a step whose total is known, and the time that is left."""

    def __init__(self) -> None:
        self._what, self._since, self._first = "", 0.0, 0

    def __call__(self, what: str, done: int, total: int) -> str:
        """Return a text such as " (157 per s, 4 min left)"; "" in the first second."""
        now = time.monotonic()
        if what != self._what or done < self._first:
            self._what, self._since, self._first = what, now, done
        seconds, n = now - self._since, done - self._first
        if not total or seconds < 1.0 or n == 0:
            return ""
        left = (total - done) * seconds / n
        rest = f"{left:.0f} s" if left < 90.0 else f"{left / 60.0:.0f} min"
        speed = n / seconds
        return f" ({speed:,.{0 if speed >= 10.0 else 1}f} per s, {rest} left)"


def _described(what: str, done: int, total: int) -> str:
    return f"{what}: {done:,} of {total:,}" if total else what


def stage(loss: Loss, reg: float, step: Step, fold: int = 0, n_folds: int = 1) -> str:
    """Return the line of progress for a step of a fit."""
    where = f", fold {fold + 1} of {n_folds}" if n_folds > 1 else ""
    gap = f", estimated gap {step.estimate:.0e}" if step.estimate < 1.0 else ""
    return f"{loss.name}, reg {reg:.2g}{where}: pass {step.n_passes:.0f}{gap}"
