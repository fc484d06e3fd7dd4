"""Long tasks on a cluster ask now and then whether their results are still wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Unwanted", "asking", "check_wanted"]

_is_wanted: ContextVar[Callable[[], bool]] = ContextVar("is_wanted", default=lambda: True)


class Unwanted(Exception):
    """The result of this task is not wanted any more, as its command has ended."""


@contextmanager
def asking(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Let `check_wanted` ask this function."""
    token = _is_wanted.set(is_wanted)
    try:
        yield
    finally:
        _is_wanted.reset(token)


def check_wanted() -> None:
    """Raise `Unwanted` in a task that has been cancelled; elsewhere do nothing."""
    if not _is_wanted.get()():
        raise Unwanted
