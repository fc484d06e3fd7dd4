"""What all that share work among threads or processes agree on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["INLINE_WORK", "Workers", "one_blas_thread", "usable_cores"]

_Result = TypeVar("_Result")

INLINE_WORK = 2_000_000
"""Fewer multiplications than this are done before a second thread would have woken."""


def usable_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _blas_libraries() -> list[Any]:
    """Return the handles on every BLAS that is loaded; to ask these takes a tenth of the time of `limit`."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


_ALONE: ContextVar[bool] = ContextVar("one thread of BLAS", default=False)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS work in the calling thread alone, which costs nothing where that is so already."""
    if _ALONE.get():
        yield
        return
    before = [(library, library.get_num_threads()) for library in _blas_libraries()]
    token = _ALONE.set(True)
    try:
        for library, _ in before:
            library.set_num_threads(1)
        yield
    finally:
        for library, n_threads in before:
            library.set_num_threads(n_threads)
        _ALONE.reset(token)


_STARTING = threading.Lock()


class Workers:
    """Threads that take turns at tasks, started when they are first needed.

    Parameters
    ----------
    n_threads : int
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads behind: where this arrives, it starts its own."""
        return self.__dict__ | {"_pool": None}

    def share(self, n_threads: int) -> None:
        """Go on with so many threads; no task may be at work."""
        if n_threads != self.n_threads:
            pool, self._pool, self.n_threads = self._pool, None, n_threads
            if pool is not None and self._owner == os.getpid():
                pool.shutdown(wait=False)

    @property
    def started(self) -> bool:
        """Whether there are threads yet."""
        return self._pool is not None

    def submit(self, task: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Let a thread do a task."""
        with _STARTING:
            if self._pool is None or self._owner != os.getpid():  # a forked child has none of the threads
                self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="softmargin")
                self._owner = os.getpid()
        # The context brings NumPy's errstate along, which belongs to a thread.
        return self._pool.submit(copy_context().run, task, *arguments)

    def run(self, tasks: Sequence[Callable[[threading.Event], _Result]], work: int) -> list[_Result]:
        """Do all tasks, each with one thread of BLAS; return their results in order.

        Parameters
        ----------
        tasks : list of callable
            They take an event that tells them to stop when it is set.
        work : int
            About how many multiplications they do in all.
        """
        stop = threading.Event()
        with one_blas_thread():
            if self.n_threads == 1 or len(tasks) == 1 or work < INLINE_WORK:
                return [task(stop) for task in tasks]
            futures = [self.submit(task, stop) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:  # Ctrl-C too: no thread may go on walking over X
                stop.set()
                for future in futures:
                    future.cancel()
                raise
