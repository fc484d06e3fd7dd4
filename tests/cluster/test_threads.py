"""Several threads of the driver use one runner at the same time, as concurrent folds do."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines.registry import make_engine
from tests.cluster.conftest import cluster


def test_concurrent_sums_have_the_bits_of_one_after_the_other(folder, monkeypatch):
    from softmargin.engines import dask

    rng = np.random.default_rng(0)
    points = [(rng.normal(size=(30, 6)), rng.normal(size=6)) for _ in range(24)]
    monkeypatch.setattr(
        dask, "_LITERAL_BYTES", 4 * 24 * 186
    )  # of the sums below, only those of one point are small
    with cluster(1, processes=False, threads_per_worker=3):
        engine = make_engine("dask", sm.open_shards(folder))

        def sums(k):
            loss = (sm.CrossEntropy(), sm.SquaredHinge())[k % 2]
            one = engine.evaluate(loss, *points[k])
            two = engine.evaluate_many(loss, *zip(points[k], points[k - 1], strict=True))
            return [np.concatenate([each.dW.ravel(), each.db, [each.value]]) for each in (one, *two)]

        expected = [sums(k) for k in range(len(points))]
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(sums, range(len(points))))
        np.testing.assert_array_equal(found, expected)


def waited(seconds):
    time.sleep(seconds)
    return seconds


def failing(text):
    raise sm.DataError(text)


def test_an_error_or_ctrl_c_in_a_thread_leaves_the_tasks_of_others():
    from softmargin.engines import dask

    with cluster(1, processes=False, threads_per_worker=4) as client, ThreadPoolExecutor(2) as pool:
        runner = dask.OnDask(client)

        def collected(*seconds):
            return runner.collect(runner.run(waited, seconds))

        other = pool.submit(collected, 2.0, 1.9)
        with pytest.raises(sm.DataError, match="of one thread"):
            runner.collect(runner.run(failing, ["of one thread"]))
        timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
        timer.start()
        handles = runner.run(waited, [1.2, 1.2, 0.6])
        with pytest.raises(KeyboardInterrupt):
            runner.collect(handles)
        assert {handle.status for handle in handles} == {"cancelled"}
        assert other.result() == [2.0, 1.9]
        assert collected(0.0) == [0.0]


def test_threads_that_lose_the_same_shard_try_it_again(tmp_path):
    from softmargin.engines import dask

    with cluster(1) as client, ThreadPoolExecutor(3) as pool:
        runner = dask.OnDask(client)
        shard = runner.run(fatal, [str(tmp_path / "times")])
        assert list(pool.map(lambda k: runner.collect(runner.run(pow, shard, [k])), (1, 2, 3))) == [
            [5],
            [25],
            [125],
        ]


def fatal(path):
    """End the worker, the first four times: as often as the scheduler allows, and once more."""
    with open(path, "a+") as file:
        file.write("x")
        n_times = file.tell()
    if n_times <= 4:
        os._exit(1)
    return n_times
