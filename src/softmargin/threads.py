"""Thread pools, the limit of BLAS to one thread, and safety after a fork."""

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

from softmargin.errors import ParameterError
from softmargin.text import quoted

__all__ = [
    "INLINE_WORK", "VARIABLE", "ForkLock", "Workers", "cores", "default_threads", "one_blas_thread",
    "scipy_linalg", "thread_libraries", "usable_cores", "worker_threads", "working_alone",
]  # fmt: skip

_Result = TypeVar("_Result")

INLINE_WORK = 2_000_000
"""Fewer multiplications than this finish before a second thread would have started."""


VARIABLE = "SOFTMARGIN_THREADS"
"""Environment variable with the number of threads that are used by default; results do not depend on it."""


def default_threads() -> int:
    """Return the number of threads to use by default: SOFTMARGIN_THREADS, else one per usable core.

    Raises
    ------
    ParameterError
        If the variable is not a whole number ≥ 1.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return usable_cores()
    if not (given.isascii() and given.isdecimal() and int(given) >= 1):
        raise ParameterError(f"{VARIABLE} must be a whole number ≥ 1, got {quoted(given)}.")
    return int(given)


def cores() -> int:
    """Return the number of cores of the computer."""
    return os.cpu_count() or 1


def usable_cores() -> int:
    """Return the number of cores this process may use, possibly fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores()


def thread_libraries() -> list[dict[str, Any]]:
    """Return name, version, kernel and number of threads of each loaded BLAS and OpenMP library."""
    return list(ThreadpoolController().info())


def _in_forked_child(call: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


class ForkLock:
    """A lock that is released in a forked child, which lacks the thread that held it.

    Use it as ``with fork_lock.lock:``. A wrapper in Python would leave it locked if Ctrl-C came at the wrong
    moment.
    """

    def __init__(self) -> None:
        self._renew()
        _in_forked_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


def _set_threads(library: Any, n_threads: int) -> None:
    """Set the number of threads of a BLAS, from any thread.

    In threadpoolctl only the first thread that sets OpenBLAS may set it again, unless it releases that control.
    """
    if (direct := getattr(library, "_real_set_num_threads", None)) is not None:
        direct(n_threads)
        return
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(n_threads)
    release(force=True)


class _Limit:
    """A count of the holders of a limit of one thread, and the numbers of threads to restore after the last."""

    def __init__(self, libraries: list[Any]) -> None:
        self.libraries = libraries
        self._before: list[int] = []
        self._inherited: list[int] | None = None
        self._n_holders = 0

    def fork(self) -> None:
        """Drop the holders, which a forked child lacks; the next holder restores the numbers that they found."""
        if self._n_holders > 0:
            self._n_holders, self._inherited = 0, self._before

    def add(self, library: Any) -> None:
        """Add a library that was loaded later."""
        self.libraries.append(library)
        if self._n_holders > 0:
            self._before.append(library.get_num_threads())
            _set_threads(library, 1)

    def hold(self) -> None:
        self._n_holders += 1
        if self._n_holders == 1:
            found = [library.get_num_threads() for library in self.libraries]
            self._before, self._inherited = self._inherited or found, None
            for library in self.libraries:
                _set_threads(library, 1)

    def release(self) -> None:
        self._n_holders -= 1
        if self._n_holders == 0:
            for library, n_threads in zip(self.libraries, self._before, strict=True):
                _set_threads(library, n_threads)


def _is_per_thread(library: Any) -> bool:
    return getattr(library, "threading_layer", "") == "openmp"


class _Blas:
    """All loaded BLAS libraries; using their handles takes a tenth of the time of threadpoolctl's ``limit``."""

    def __init__(self) -> None:
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        self._per_thread = [one for one in libraries if _is_per_thread(one)]
        self._shared = _Limit([one for one in libraries if not _is_per_thread(one)])
        self._own = threading.local()

    def limits(self) -> tuple[_Limit, _Limit]:
        """Return the limits of the calling thread: that of the whole process, and its own."""
        if not hasattr(self._own, "limit"):
            self._own.limit = _Limit(self._per_thread)
        return self._shared, self._own.limit

    def add_loaded(self) -> None:
        """Limit the libraries that were loaded since, for this thread and threads that start later."""
        shared, own = self.limits()
        known = {one.filepath for one in (*shared.libraries, *own.libraries)}
        for one in ThreadpoolController().select(user_api="blas").lib_controllers:
            if one.filepath not in known:
                (own if _is_per_thread(one) else shared).add(one)


_blas = cache(_Blas)
_SETTING = ForkLock()


@cache
def scipy_linalg() -> Any:
    """Return `scipy.linalg`, imported here because that takes long; `one_blas_thread` limits its BLAS, too."""
    import scipy.linalg

    with _SETTING.lock:
        _blas().add_loaded()
    return scipy.linalg


def _begin_child() -> None:
    if _blas.cache_info().currsize:
        _blas().limits()[0].fork()


_in_forked_child(_begin_child)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to the calling thread; nested calls are cheap.

    The first thread that enters records the numbers of threads, and the last that leaves restores them.
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
                limit.release()


def _begin_alone() -> None:
    with _SETTING.lock:
        _blas().limits()[1].hold()  # never released, because the thread does nothing else


def worker_threads(n_threads: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of threads for tasks that call BLAS within the caller's `one_blas_thread`."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix=name, initializer=_begin_alone)


_STARTING = ForkLock()

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def working_alone() -> Iterator[None]:
    """Let this thread run its `Workers` tasks itself, because other threads are busy, too."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


class Workers:
    """A pool of threads, started when it is first needed.

    Parameters
    ----------
    n_threads : int
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the threads; the copy starts its own."""
        return self.__dict__ | {"_pool": None}

    @property
    def helps(self) -> bool:
        """Whether tasks run in several threads, which they do not within `working_alone`."""
        return self.n_threads > 1 and not _alone.get()

    @property
    def started(self) -> bool:
        """Whether the threads have been started."""
        return self._pool is not None

    def submit(self, task: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Submit a task to the pool."""
        with _STARTING.lock:
            if self._pool is None or self._owner != os.getpid():  # a forked child lacks the threads
                self._pool = worker_threads(self.n_threads, "softmargin")
                self._owner = os.getpid()
        # The context holds NumPy's errstate, which each thread has separately.
        return self._pool.submit(copy_context().run, task, *arguments)

    def run(self, tasks: Sequence[Callable[[threading.Event], _Result]], work: int) -> list[_Result]:
        """Run all tasks, each with one BLAS thread, and return their results in order.

        Parameters
        ----------
        tasks : list of callable
            They receive an event that is set when they should stop.
        work : int
            Approximate total number of multiplications.
        """
        stop = threading.Event()
        with one_blas_thread():
            if not self.helps or len(tasks) == 1 or work < INLINE_WORK:
                return [task(stop) for task in tasks]
            futures = [self.submit(task, stop) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:  # also on Ctrl-C, no thread may keep reading X
                stop.set()
                for future in futures:
                    future.cancel()
                raise
