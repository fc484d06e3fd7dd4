"""Fits of folds that are made at once, while the calling thread hears of their steps.

Much of a fit is one thread's work: rows of a dual ascent are visited one after the other. Folds have nothing to do
with one another, so they share the threads: as many folds at once as there are threads, or all of them with a few
threads each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue

from softmargin.solvers import Callback, Fit, Step
from softmargin.threads import one_blas_thread, worker_threads

__all__ = ["fit_together"]


def fit_together(
    fits: Sequence[Callable[[int, Callback | None], Fit]],
    n_threads: int,
    watcher: Callable[[int, Step], None] | None = None,
) -> list[Fit]:
    """Make all fits, some at once; return them in order.

    Parameters
    ----------
    fits : sequence of callable
        They share nothing that one of them writes, and take the number of threads to use and a callback.
    n_threads : int
        Of all together.
    watcher : callable, optional
        Called in this thread with the number of a fit and its step. What it raises, as Ctrl-C and the error of a
        fit do, ends all fits at their next step.
    """
    n_at_once = min(n_threads, len(fits))
    if n_at_once == 1:
        with one_blas_thread():
            return [fit(n_threads, None if watcher is None else partial(watcher, n)) for n, fit in enumerate(fits)]
    stop = threading.Event()
    news: SimpleQueue[tuple[int, Step] | None] = SimpleQueue()

    def heard(number: int, step: Step) -> bool:
        news.put((number, step))
        return stop.is_set()

    def work(number: int) -> Fit:
        beside = min(n_at_once, len(fits) - number)  # those that begin last have fewer beside them
        try:
            return fits[number](n_threads // beside, partial(heard, number))
        except BaseException:
            stop.set()
            raise
        finally:
            news.put(None)

    # The context brings NumPy's errstate along.
    with one_blas_thread(), worker_threads(n_at_once, "softmargin fold") as pool:
        left = len(fits)
        try:
            at_work = [pool.submit(copy_context().run, work, number) for number in range(left)]
            while left > 0:
                item = news.get()
                if item is None:
                    left -= 1
                elif watcher is not None:
                    watcher(*item)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in at_work]
