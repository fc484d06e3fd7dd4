"""Sums that several threads request at the same time, from one reading of the shards."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from softmargin.errors import ClusterError

__all__ = ["Readings"]


_MOMENT = 0.05
"""Share of the seconds of the last reading by which the next one may be delayed."""


@dataclass(eq=False)
class _Waiting:
    """Requests of a thread, and their results or the error of their reading."""

    requests: Sequence[Any]
    results: Sequence[Any] = ()
    error: BaseException | None = None
    is_done: bool = False
    thread: int = field(default_factory=threading.get_ident)


class Readings:
    """Runs one reading at a time; requests that come meanwhile share the next one.

    Before a reading, the threads of the last two have a moment to send their next requests.

    Parameters
    ----------
    read : callable
        Returns the results of a list of requests. The result of a request does not depend on the others.
    """

    def __init__(self, read: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self._read = read
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._is_reading = False
        self._recent: deque[set[int]] = deque(maxlen=2)
        self._moment = 0.0

    def get(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Return the results of some requests, or raise the error of their reading, or of a lost cluster.

        One of the threads that wait reads for all of them.
        """
        mine = _Waiting(requests)
        with self._changed:
            self._waiting.append(mine)
            self._changed.notify_all()
            reads = False
            try:
                while self._is_reading and not mine.is_done:
                    self._changed.wait()
                if not mine.is_done:
                    reads = self._is_reading = True
                    self._wait_for_others()
            except BaseException:  # Ctrl-C: no other thread may wait for this one
                self._waiting = [each for each in self._waiting if each is not mine]
                self._is_reading = self._is_reading and not reads
                self._changed.notify_all()
                raise
            if mine.is_done:
                if mine.error is not None:
                    raise mine.error
                return mine.results
            taken, self._waiting = self._waiting, []
            self._recent.append({each.thread for each in taken})
        started = time.monotonic()
        try:
            found = iter(self._read([request for each in taken for request in each.requests]))
            for each in taken:
                each.results = list(islice(found, len(each.requests)))
        except BaseException as error:
            if isinstance(error, ClusterError):  # the next reading would wait in vain as long as this one
                with self._changed:
                    taken, self._waiting = taken + self._waiting, []
            for each in taken:
                each.error = error
            raise
        finally:
            with self._changed:
                for each in taken:
                    each.is_done = True
                self._is_reading, self._moment = False, _MOMENT * (time.monotonic() - started)
                self._changed.notify_all()
        return mine.results

    def _wait_for_others(self) -> None:
        """Wait until all threads of the last two readings have sent requests, but only for a moment."""
        end = time.monotonic() + self._moment
        while len(self._waiting) < len(set().union(*self._recent)) and (left := end - time.monotonic()) > 0.0:
            self._changed.wait(left)
