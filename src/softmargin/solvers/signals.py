"""Ctrl-C and SIGTERM while a fit has a checkpoint: they wait until a state can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

__all__ = ["DelayedSignals"]


class DelayedSignals:
    """Delays SIGINT and SIGTERM, within a ``with`` block, until `deliver`.

    The step of a solver changes arrays in place, so that its state can be saved only between two steps. A second
    signal is not delayed. Only signals that Python handles are delayed: not a SIGTERM that ends the process, and
    none outside the main thread.

    Attributes
    ----------
    armed : bool
        Whether there is a state to save; until then signals are not delayed.
    """

    def __init__(self) -> None:
        self.armed = False
        self._waiting: int | None = None
        self._handlers: dict[int, Callable[[int, Any], Any]] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self.deliver()

    @property
    def waiting(self) -> bool:
        """Whether a signal was received and delayed."""
        return self._waiting is not None

    def deliver(self) -> None:
        """Call the handler of the delayed signal, if there is one; it usually raises an exception."""
        if self._waiting is not None:
            number, self._waiting = self._waiting, None
            self._handlers[number](number, None)

    def _receive(self, number: int, frame: Any) -> None:
        if self.armed and self._waiting is None:
            self._waiting = number
        else:
            self._handlers[number](number, frame)
