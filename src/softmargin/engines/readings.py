"""Sums that several threads request at the same time, from one reading of the shards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

__all__ = ["Readings"]


@dataclass(eq=False)
class _Waiting:
    """Requests of a thread, and their results or the error of their reading."""

    requests: Sequence[Any]
    results: Sequence[Any] = ()
    error: BaseException | None = None
    is_done: bool = False


class Readings:
    """Runs one reading at a time; requests that come meanwhile share the next one.

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

    def get(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Return the results of some requests, or raise the error of their reading.

        One of the threads that wait reads for all of them.
        """
        mine = _Waiting(requests)
        with self._changed:
            self._waiting.append(mine)
            while self._is_reading and not mine.is_done:
                self._changed.wait()
            if mine.is_done:
                if mine.error is not None:
                    raise mine.error
                return mine.results
            self._is_reading, taken, self._waiting = True, self._waiting, []
        try:
            found = iter(self._read([request for each in taken for request in each.requests]))
            for each in taken:
                each.results = list(islice(found, len(each.requests)))
        except BaseException as error:
            for each in taken:
                each.error = error
            raise
        finally:
            with self._changed:
                for each in taken:
                    each.is_done = True
                self._is_reading = False
                self._changed.notify_all()
        return mine.results
