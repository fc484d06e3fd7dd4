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

__all__ = [
    "INLINE_WORK", "ForkLock", "Workers", "one_blas_thread", "usable_cores", "worker_threads", "working_alone",
]  # fmt: skip

_Result = TypeVar("_Result")

INLINE_WORK = 2_000_000
"""Fewer multiplications than this are done before a second thread would have woken."""


def usable_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_forked_child(call: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


class ForkLock:
    """A lock that is free in a forked child, where the thread that held it is not.

    It is taken as ``with it.lock:``, without a step in Python on the way in: Ctrl-C there would leave it taken.
    """

    def __init__(self) -> None:
        self._renew()
        _in_forked_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


def _set_threads(library: Any, n_threads: int) -> None:
    """Set how many threads a BLAS uses, from whatever thread.

    threadpoolctl listens to the first thread alone that ever set OpenBLAS, unless that thread has let go.
    """
    let_go = getattr(library, "clear_controlling_thread", None)
    if let_go is not None:
        let_go(force=True)
    library.set_num_threads(n_threads)
    if let_go is not None:
        let_go(force=True)


class _Limit:
    """Libraries held to one thread: by how many holders, and what to give back after the last of them."""

    def __init__(self, libraries: Sequence[Any]) -> None:
        self._libraries = libraries
        self._before: list[int] = []
        self._inherited: list[int] | None = None
        self._n_holders = 0

    def fork(self) -> None:
        """Forget the holders, which are not in a forked child: what they found comes back with the next."""
        if self._n_holders > 0:
            self._n_holders, self._inherited = 0, self._before

    def hold(self) -> None:
        self._n_holders += 1
        if self._n_holders == 1:
            found = [library.get_num_threads() for library in self._libraries]
            self._before, self._inherited = self._inherited or found, None
            for library in self._libraries:
                _set_threads(library, 1)

    def let_go(self) -> None:
        self._n_holders -= 1
        if self._n_holders == 0:
            for library, n_threads in zip(self._libraries, self._before, strict=True):
                _set_threads(library, n_threads)


class _Blas:
    """Every BLAS that is loaded; to ask these handles takes a tenth of the time of threadpoolctl's ``limit``."""

    def __init__(self) -> None:
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self._per_thread = [one for one in libraries if getattr(one, "threading_layer", "") == "openmp"]
        self._shared = _Limit([one for one in libraries if one not in self._per_thread])
        self._own = threading.local()

    def limits(self) -> tuple[_Limit, _Limit]:
        """Return what limits the calling thread: for the whole process, and for itself alone."""
        if not hasattr(self._own, "limit"):
            self._own.limit = _Limit(self._per_thread)
        return self._shared, self._own.limit

    def fork(self) -> None:
        """Let a forked child begin without holders."""
        self._shared.fork()


_blas = cache(_Blas)
_SETTING = ForkLock()


def _begin_child() -> None:
    if _blas.cache_info().currsize:
        _blas().fork()


_in_forked_child(_begin_child)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS work in the calling thread alone, which costs nothing where that is so already.

    The first of all threads that ask for it notes what was set, the last brings that back.
    """
    with _SETTING.lock:
        limits = _blas().limits()
        for limit in limits:
            limit.hold()
    try:
        yield
    finally:
        with _SETTING.lock:
            for limit in limits:
                limit.let_go()


def _begin_alone() -> None:
    with _SETTING.lock:
        _blas().limits()[1].hold()  # for good: such a thread does nothing else


def worker_threads(n_threads: int, name: str) -> ThreadPoolExecutor:
    """Return threads for tasks that call BLAS, which work within the caller's `one_blas_thread`."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix=name, initializer=_begin_alone)


_STARTING = ForkLock()

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def working_alone() -> Iterator[None]:
    """Let this thread do the tasks it hands to `Workers` itself: others are at work beside it."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


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

    @property
    def helps(self) -> bool:
        """Whether the calling thread gets help: from more than one thread, unless it is `working_alone`."""
        return self.n_threads > 1 and not _alone.get()

    @property
    def started(self) -> bool:
        """Whether there are threads yet."""
        return self._pool is not None

    def submit(self, task: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Let a thread do a task."""
        with _STARTING.lock:
            if self._pool is None or self._owner != os.getpid():  # a forked child has none of the threads
                self._pool = worker_threads(self.n_threads, "softmargin")
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
            if not self.helps or len(tasks) == 1 or work < INLINE_WORK:
                return [task(stop) for task in tasks]
            futures = [self.submit(task, stop) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:  # Ctrl-C too: no thread may go on walking over X
                stop.set()
                for future in futures:
                    future.cancel()
                raise
