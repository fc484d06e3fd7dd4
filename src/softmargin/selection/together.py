"""Walks over λ that are made at once, one a fold, while the calling thread hears of their steps.

Much of a fit is one thread's work: rows of a dual ascent are visited one after the other. Folds have nothing to do
with one another, so they share the threads: as many at once as there are threads, or all of them with a few
threads each. A fold that is done with a λ goes on to the next while others are still at the last, so that no
thread waits; how far it has come changes nothing in what it finds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import count, islice
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar, cast

from softmargin.solvers import Callback, Step
from softmargin.threads import one_blas_thread, worker_threads

__all__ = ["Watcher", "walk_together"]

_Found = TypeVar("_Found")

Walk: TypeAlias = Callable[[float, int, Callback | None], _Found]
"""Takes a λ, the number of threads to use and a callback, and returns what it found."""

Watcher = Callable[[int, float, Step], None]
"""Told the number of a walk, the λ and each step of a fit."""

_DONE = object()

_AHEAD = 1
"""How many λ a walk may be ahead of the one that the caller has heard of: he may want no more."""


def walk_together(
    walks: Sequence[Walk[_Found]], regs: Iterable[float], n_threads: int, watcher: Watcher | None = None
) -> Generator[tuple[float, list[_Found]]]:
    """Yield each λ and what all walks found for it, in order.

    Parameters
    ----------
    walks : sequence of callable
        They share nothing that one of them writes; each is called with one λ after the other.
    regs : iterable of float
        λ. Of one without an end the caller takes what he wants, and closes this generator; what walks did ahead
        of him is lost.
    n_threads : int
        Of all together.
    watcher : callable, optional
        Called in this thread, with all steps at a λ before it is yielded and some of those ahead. What it raises,
        as Ctrl-C and the error of a walk do, ends all walks at their next step.
    """
    n_at_once = min(n_threads, len(walks))
    if n_at_once == 1:
        for reg in regs:
            with one_blas_thread():
                callbacks = [None if watcher is None else partial(watcher, n, reg) for n in range(len(walks))]
                found = [walk(reg, n_threads, heard) for walk, heard in zip(walks, callbacks, strict=True)]
            yield reg, found
        return
    with one_blas_thread(), worker_threads(n_at_once, "softmargin fold") as pool:
        party = _Party(walks, regs, n_threads, pool)
        try:
            n_heard = [0] * len(walks)  # λ that each walk is done with, all of whose steps the watcher has seen
            for k in count():
                party.go_on(k + 1 + _AHEAD)
                if len(party.regs) <= k:
                    return
                party.check(k)
                while min(n_heard) <= k:
                    number, reg, step = party.news.get()
                    if step is _DONE:
                        n_heard[number] += 1
                        party.check(k)
                    elif watcher is not None:
                        watcher(number, reg, cast(Step, step))
                yield party.regs[k], [found.popleft() for found in party.found]
        finally:
            party.stop.set()
            pool.shutdown(cancel_futures=True)


class _Party(Generic[_Found]):
    """Walks that are under way, each on one λ at a time.

    Attributes
    ----------
    regs : list of float
        The λ up to which they may go.
    found : list of deque
        What each walk found that the caller has not taken yet.
    news : SimpleQueue
        The number of a walk and its λ, with a step, or with `_DONE` when it is done with that λ or has failed.
    """

    def __init__(
        self, walks: Sequence[Walk[_Found]], regs: Iterable[float], n_threads: int, pool: ThreadPoolExecutor
    ) -> None:
        self._walks, self._coming, self._pool = walks, iter(regs), pool
        self._n_threads, self._n_at_once = n_threads, min(n_threads, len(walks))
        self._places = [0] * len(walks)
        self._waiting = set(range(len(walks)))
        self._lock = threading.Lock()
        self.regs: list[float] = []
        self.found: list[deque[_Found]] = [deque() for _ in walks]
        self.news: SimpleQueue[tuple[int, float, object]] = SimpleQueue()
        self._errors: list[tuple[int, BaseException]] = []
        self.stop = threading.Event()

    def go_on(self, n_regs: int) -> None:
        """Let all walks go up to so many λ, if there are as many."""
        self.regs.extend(islice(self._coming, n_regs - len(self.regs)))
        with self._lock:
            for number in sorted(self._waiting):
                self._send(number)

    def check(self, k: int) -> None:
        """Raise the error of a walk that failed at the λ of this number; one ahead waits for the caller."""
        for place, error in self._errors:
            if place == k:
                raise error

    def _send(self, number: int) -> None:
        """Let a walk, with the lock held, go to its next λ, or wait for it."""
        self._waiting.add(number)
        if self._places[number] < len(self.regs):
            self._waiting.remove(number)
            # The context brings NumPy's errstate along.
            self._pool.submit(copy_context().run, self._work, number, self.regs[self._places[number]])

    def _work(self, number: int, reg: float) -> None:
        def heard(step: Step) -> bool:
            self.news.put((number, reg, step))
            return self.stop.is_set()

        with self._lock:
            # Those that end last have fewer beside them.
            n_at_work = min(self._n_at_once, len(self._walks) - len(self._waiting))
        try:
            found = self._walks[number](reg, self._n_threads // n_at_work, heard)
            with self._lock:
                self.found[number].append(found)
                self._places[number] += 1
                if not self.stop.is_set():
                    self._send(number)
        except BaseException as error:
            self._errors.append((self._places[number], error))
        finally:
            self.news.put((number, reg, _DONE))
