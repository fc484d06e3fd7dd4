"""Concurrent folds: each fits one λ after the other, and the calling thread receives their steps.

Much of a fit is sequential: dual ascent visits rows one after the other. Folds are independent, so they share the
threads: as many run concurrently as there are threads, or all of them with a few threads each. A fold that has
finished a λ continues with the next one while others still fit the last, so that no thread is idle. The results do
not depend on the schedule.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from itertools import count, islice
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from softmargin.solvers import Callback, Step
from softmargin.threads import one_blas_thread, worker_threads, working_alone

__all__ = ["fit_concurrently"]

_Found = TypeVar("_Found")

FoldFit: TypeAlias = Callable[[float, Callback | None], _Found]
"""Fits a fold for a λ, and returns the result."""

_BETWEEN = 0.02
"""Seconds between two reports of a fold: at each step of a small fit, waking the caller takes too long."""

_AHEAD = 1
"""Number of λ by which a fold may be ahead of the caller, who may stop at any λ."""

_FIRST = 2
"""Number of folds whose results may end a path before the others have finished."""


def fit_concurrently(
    fits: Sequence[FoldFit[_Found]],
    regs: Iterable[float],
    n_threads: int,
    progress: Callable[[int, float, Step], None] | None = None,
    gives_up: Callable[[float, Sequence[_Found]], bool] | None = None,
) -> Generator[tuple[float, list[_Found]]]:
    """Yield each λ, in order, with the results of all folds.

    Parameters
    ----------
    fits : sequence of callable
        One per fold, called with one λ after the other. They share no data that one of them writes.
    regs : iterable of float
        λ; may be infinite. To stop, close this generator: results of λ that were not yielded are discarded.
    n_threads : int
        Number of threads of all folds together.
    progress : callable, optional
        Called in this thread with the number of a fold, the λ and a step. It receives all steps at a λ before
        that is yielded, and some at the next one. An exception raised here, Ctrl-C or an error in a fit stops all
        folds at their next step.
    gives_up : callable, optional
        Called in this thread with each λ and the results of its first two folds, if there are more. If true, the
        generator ends without this λ, and the other folds stop. This depends on these two folds alone.
    """
    if len(fits) <= _FIRST:
        gives_up = None
    n_at_once = min(n_threads, len(fits))
    if n_at_once == 1:
        for reg in regs:
            with one_blas_thread():
                found: list[_Found] = []
                for k, fit in enumerate(fits):
                    if k == _FIRST and gives_up is not None and gives_up(reg, found):
                        return
                    found.append(fit(reg, None if progress is None else partial(progress, k, reg)))
            yield reg, found
        return
    with one_blas_thread(), worker_threads(n_at_once, "softmargin fold") as pool:
        folds = _Folds(fits, regs, n_threads, pool)
        try:
            n_seen = [0] * len(fits)  # λ that each fold has finished, with all steps reported
            for k in count():
                folds.allow(k + 1 + _AHEAD)
                if len(folds.regs) <= k:
                    return
                ask = gives_up
                while True:
                    # An error of the other folds does not matter at a λ that the first ones give up.
                    folds.check(k, len(fits) if ask is None else _FIRST)
                    if ask is not None and min(n_seen[:_FIRST]) > k:
                        if ask(folds.regs[k], [found[0] for found in folds.found[:_FIRST]]):
                            return
                        ask = None
                        continue
                    if min(n_seen) > k:
                        break
                    number, reg, steps, done = folds.news.get()
                    if progress is not None:
                        for step in steps:
                            progress(number, reg, step)
                    if done:
                        n_seen[number] += 1
                yield folds.regs[k], [found.popleft() for found in folds.found]
        finally:
            folds.stop.set()
            pool.shutdown(cancel_futures=True)


class _Folds(Generic[_Found]):
    """Folds in progress, each at one λ at a time.

    Attributes
    ----------
    regs : list of float
        The λ that may be fitted so far.
    found : list of deque
        Results of each fold that the caller has not received yet.
    news : SimpleQueue
        The number of a fold, its λ, its next steps, and whether it has finished that λ or has failed.
    """

    def __init__(
        self, fits: Sequence[FoldFit[_Found]], regs: Iterable[float], n_threads: int, pool: ThreadPoolExecutor
    ) -> None:
        self._fits, self._coming, self._n_threads, self._pool = fits, iter(regs), n_threads, pool
        self._places = [0] * len(fits)
        self._waiting = set(range(len(fits)))
        self._lock = threading.Lock()
        self.regs: list[float] = []
        self.found: list[deque[_Found]] = [deque() for _ in fits]
        self.news: SimpleQueue[tuple[int, float, list[Step], bool]] = SimpleQueue()
        self._errors: list[tuple[int, int, BaseException]] = []
        self.stop = threading.Event()

    def allow(self, n_regs: int) -> None:
        """Allow all folds to fit the first ``n_regs`` λ."""
        self.regs.extend(islice(self._coming, n_regs - len(self.regs)))
        with self._lock:
            for number in sorted(self._waiting):
                self._start(number)

    def check(self, k: int, n_folds: int) -> None:
        """Raise the error of one of the first folds at λ number ``k``; errors at later λ are raised later."""
        for number, place, error in self._errors:
            if place == k and number < n_folds:
                raise error

    def _start(self, number: int) -> None:
        """Submit the next λ of a fold, or mark the fold as waiting; the lock must be held."""
        self._waiting.add(number)
        if self._places[number] < len(self.regs):
            self._waiting.remove(number)
            # The context carries NumPy's errstate.
            self._pool.submit(copy_context().run, self._fit, number, self.regs[self._places[number]])

    def _fit(self, number: int, reg: float) -> None:
        steps: list[Step] = []
        told = -math.inf

        def callback(step: Step) -> bool:
            nonlocal steps, told
            steps.append(step)
            now = time.perf_counter()
            if now >= told + _BETWEEN:
                self.news.put((number, reg, steps, False))
                steps, told = [], now
            return self.stop.is_set()

        with self._lock:  # when few folds are left, they share all threads
            alone = 2 * (len(self._fits) - len(self._waiting)) > self._n_threads
        try:
            with working_alone() if alone else nullcontext():
                found = self._fits[number](reg, callback)
            with self._lock:
                self.found[number].append(found)
                self._places[number] += 1
                if not self.stop.is_set():
                    self._start(number)
        except BaseException as error:
            self._errors.append((number, self._places[number], error))
        finally:
            self.news.put((number, reg, steps, True))
