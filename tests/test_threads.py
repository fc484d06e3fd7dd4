import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from softmargin import CrossEntropy, Objective, minimize, threads
from softmargin.engines import preconditioners
from softmargin.objective import features
from softmargin.threads import INLINE_WORK, Workers, one_blas_thread, worker_threads, working_alone


def blas_threads() -> list[int]:
    return [one.num_threads for one in ThreadpoolController().select(user_api="blas").lib_controllers]


def in_a_thread(task, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task, *arguments).result()


@pytest.fixture(autouse=True)
def many():
    """Start with two BLAS threads on any machine, and check that they are restored."""
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert set(before) == {2}
        yield
        assert blas_threads() == before


def within() -> set[int]:
    with one_blas_thread():
        return set(blas_threads())


def test_every_thread_may_set_blas_not_the_first_alone():
    assert within() == {1}
    assert in_a_thread(within) == {1}
    assert set(blas_threads()) == {2}
    # Another library holds a limit in its thread, and threadpoolctl lets only that thread set any.
    with threadpool_limits(2, user_api="blas"):
        assert in_a_thread(within) == {1}
        assert set(blas_threads()) == {2}


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_of_all_that_hold_blas_gives_it_back(first_out):
    stacks = [ExitStack(), ExitStack()]
    for stack in stacks:
        in_a_thread(stack.enter_context, one_blas_thread())
    in_a_thread(stacks[first_out].close)
    assert set(blas_threads()) == {1}
    in_a_thread(stacks[1 - first_out].close)
    assert set(blas_threads()) == {2}


def test_an_error_gives_blas_back():
    with pytest.raises(ZeroDivisionError), one_blas_thread(), one_blas_thread():
        raise ZeroDivisionError
    assert set(blas_threads()) == {2}


def test_many_threads_at_once_give_blas_back():
    start = threading.Barrier(8)

    def come_and_go() -> set[int]:
        start.wait()
        return set().union(*(within() for _ in range(200)))

    with ThreadPoolExecutor(8) as pool:
        seen = [pool.submit(come_and_go) for _ in range(8)]
        assert set().union(*(one.result() for one in seen)) == {1}
    assert set(blas_threads()) == {2}


class ThreadsOwn:
    """A BLAS with OpenMP, where each thread has a number of its own, three at first."""

    threading_layer = "openmp"

    def __init__(self):
        self._here = threading.local()

    def get_num_threads(self):
        return getattr(self._here, "n", 3)

    def set_num_threads(self, n):
        self._here.n = n


def test_where_the_number_is_each_threads_own_the_workers_set_theirs(monkeypatch):
    library = ThreadsOwn()
    blas = threads._Blas()
    blas._per_thread = [library]
    monkeypatch.setattr(threads, "_blas", lambda: blas)
    with one_blas_thread(), worker_threads(2, "a") as pool:
        assert [library.get_num_threads(), pool.submit(library.get_num_threads).result()] == [1, 1]
        assert in_a_thread(library.get_num_threads) == 3  # that thread is not ours
    assert library.get_num_threads() == 3
    meet = threading.Barrier(2, timeout=20)

    def task(stop):
        meet.wait()
        return library.get_num_threads()

    assert Workers(2).run([task, task], work=10**9) == [1, 1]


def test_a_fit_has_the_same_bits_in_any_thread():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 700)), rng.permutation(600) % 150

    def fitted() -> bytes:
        return minimize(Objective(CrossEntropy(), X, y, 1e-3, n_threads=1)).W.tobytes()

    here = fitted()
    assert in_a_thread(fitted) == here
    with threadpool_limits(1, user_api="blas"):
        assert fitted() == here
        assert in_a_thread(fitted) == here


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # to fork beside threads, which is the point
def test_a_child_forked_while_another_thread_sets_blas_does_not_deadlock():
    with ThreadPoolExecutor(1) as pool:
        locks = [threads._SETTING, threads._STARTING, features._MAKING, preconditioners._MAKING]
        for lock in locks:
            pool.submit(lock.lock.acquire).result()
        child = os.fork()
        if child == 0:
            for lock in locks:
                with lock.lock:
                    pass
            os._exit(0 if within() == {1} else 1)
        for lock in locks:
            pool.submit(lock.lock.release).result()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_another_thread_holds_blas_gives_it_back():
    stack = ExitStack()
    in_a_thread(stack.enter_context, one_blas_thread())
    child = os.fork()
    if child == 0:
        os._exit(0 if within() == {1} and set(blas_threads()) == {2} else 1)
    in_a_thread(stack.close)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_thread_that_works_alone_does_its_tasks_itself():
    workers, work = Workers(2), 10 * INLINE_WORK

    def threads_of(tasks=4):
        return set(workers.run([lambda stop: threading.get_ident()] * tasks, work))

    with working_alone():
        assert not workers.helps
        assert threads_of() == {threading.get_ident()}
        assert not in_a_thread(lambda: threads_of() & {threading.get_ident()})  # the others are as they were
    assert workers.helps
    assert threading.get_ident() not in threads_of()
    with pytest.raises(ZeroDivisionError), working_alone():
        raise ZeroDivisionError
    assert workers.helps


def test_folds_that_work_alone_share_threads_and_have_the_same_bits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 300)), np.arange(900) % 7
    objective = Objective(CrossEntropy(), X, y, 0.01, engine="cpu", n_threads=2)
    here = [minimize(objective.replace(reg=reg)).W.tobytes() for reg in (0.02, 0.01)]

    def alone(reg):
        with working_alone():
            return minimize(objective.replace(reg=reg)).W.tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(alone, (0.02, 0.01))) == here


LATE = """
import numpy as np
from threadpoolctl import ThreadpoolController
from softmargin.threads import one_blas_thread, scipy_linalg, worker_threads

def found():
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return {one.filepath: one.num_threads for one in libraries}

ThreadpoolController().limit(limits=2, user_api="blas")
with one_blas_thread():
    early = set(found())
    assert set(found().values()) == {1}
    if LATE:
        scipy_linalg()
    assert set(found().values()) == {1}, found()
    if not LATE:
        scipy_linalg()
before = {path: n for path, n in found().items() if path not in early}
with one_blas_thread():
    assert set(found().values()) == {1}, found()
assert all(found()[path] == n for path, n in before.items())
"""


@pytest.mark.parametrize("late", [True, False])
def test_a_blas_that_is_loaded_later_is_limited_too(late):
    subprocess.run([sys.executable, "-c", f"LATE = {late}\n{LATE}"], check=True)
