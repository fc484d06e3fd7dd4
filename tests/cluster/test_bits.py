"""Fits on a cluster have the bits of the in-process engine, also while workers are killed."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import softmargin as sm
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.runner import InProcess
from tests.cluster.conftest import cluster
from tests.selection.test_search_shards import outcome

LOSSES = {sm.CrossEntropy(): 1e-3, sm.SquaredHinge(): 1e-3, sm.Hinge(): 1e-2}


def objective(loss, reg, data, engine="dask"):
    return sm.Objective(loss, data, None, reg, engine=engine)


def bits(fit):
    assert fit.converged
    return fit.W.tobytes() + fit.b.tobytes()


@pytest.fixture(scope="module")
def expected(folder):
    """The bits of each loss, from the in-process engine with one chunk per shard."""
    data = sm.open_shards(folder)
    return {
        loss: bits(sm.minimize(objective(loss, reg, data, lambda s, n: ChunkedEngine(s, InProcess(), 1, 1))))
        for loss, reg in LOSSES.items()
    }


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_other_groups_and_rows_in_memory_have_the_same_bits(loss, folder, expected):
    for mapped, group in [(True, 2), (False, 8)]:
        data = sm.open_shards(folder, mapped=mapped)
        engine = lambda s, n, k=group: ChunkedEngine(s, InProcess(), 2, k)  # noqa: E731
        assert bits(sm.minimize(objective(loss, LOSSES[loss], data, engine))) == expected[loss]


def on_dask(group, mixed=False):
    from distributed import default_client

    from softmargin.engines.dask import OnDask

    return lambda shards, n_threads: ChunkedEngine(shards, OnDask(default_client(), mixed), 1, group)


def test_one_worker_has_the_same_bits(folder, expected):
    with cluster(1):
        for loss, reg in LOSSES.items():
            data = sm.open_shards(folder, mapped=False)
            assert bits(sm.minimize(objective(loss, reg, data, on_dask(2)))) == expected[loss]


def test_two_workers_have_the_same_bits_also_while_they_are_killed(folder, expected, monkeypatch):
    from softmargin.engines import dask

    data = sm.open_shards(folder)
    with cluster(2) as client:
        for loss, reg in LOSSES.items():
            assert bits(sm.minimize(objective(loss, reg, data))) == expected[loss]
        monkeypatch.setattr(dask, "_LITERAL_BYTES", 0)  # the point as a task of its own
        for loss in (sm.CrossEntropy(), sm.Hinge()):
            with killer(client, n_kills=2) as killed:
                fit = sm.minimize(objective(loss, LOSSES[loss], data))
            assert bits(fit) == expected[loss]
            assert killed
            client.wait_for_workers(2, timeout=60)


def test_parquet_files_in_a_spool_folder_have_the_same_bits(tmp_path, expected_of_tables):
    """Two processes on one machine decode into one folder, while workers are killed."""
    path, expected = expected_of_tables
    data = sm.open_shards(path, spool=tmp_path / "spool")
    with cluster(2) as client:
        with killer(client, n_kills=1) as killed:
            assert bits(sm.minimize(objective(sm.CrossEntropy(), 1e-3, data))) == expected
        assert killed
        client.wait_for_workers(2, timeout=60)
        in_memory = sm.open_shards(path)
        assert bits(sm.minimize(objective(sm.CrossEntropy(), 1e-3, in_memory))) == expected
    names = [file.name for file in (tmp_path / "spool").glob("*.npy")]
    assert len(names) == 2 * len(data.parts)  # X and y


@pytest.fixture
def expected_of_tables(folder, tmp_path):
    path = tmp_path / "tables"
    path.mkdir()
    for file in folder.glob("part-?.npy"):
        X, y = np.load(file), np.load(file.with_name(f"{file.stem}_y.npy"))
        columns = {f"x{k}": X[:, k] for k in range(X.shape[1])} | {"label": y}
        pq.write_table(pa.table(columns), path / f"{file.stem}.parquet", row_group_size=2500)
    return path, bits(sm.minimize(objective(sm.CrossEntropy(), 1e-3, sm.open_shards(path), "chunked")))


class killer:
    """Kills a worker now and then, the first as soon as a fit has begun."""

    def __init__(self, client, n_kills):
        self.client, self.n_kills, self.killed, self.stop = client, n_kills, [], threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self.killed

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        self.stop.wait(0.7)
        while not self.stop.is_set() and len(self.killed) < self.n_kills:
            pids = list(self.client.run(os.getpid, on_error="ignore").values())
            if pids:
                os.kill(pids[0], signal.SIGKILL)
                self.killed.append(pids[0])
            self.stop.wait(2.0)


def test_a_path_has_the_same_bits(folder):
    data = sm.open_shards(folder)
    regs = [0.1, 0.01]
    here = sm.path(objective(sm.CrossEntropy(), 0.1, data, "chunked"), regs)
    with cluster(2, processes=False):
        there = sm.path(objective(sm.CrossEntropy(), 0.1, data, "dask"), regs)
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one.fit.W, other.fit.W)
        assert one.fit.gap == other.fit.gap


def test_a_cross_validation_has_the_same_bits(folder):
    data, losses, options = sm.open_shards(folder), ["cross_entropy", "hinge"], {"regs": [0.1, 0.01], "cv": 2}
    here = outcome(sm.compare(data, None, losses, **options))
    with cluster(2, processes=False):
        assert outcome(sm.compare(data, None, losses, engine="dask", **options)) == here
        chosen = sm.LinearClassifierCV(losses, **options, engine="dask").fit(data, None)
    assert chosen.coef_.tobytes() == sm.LinearClassifierCV(losses, **options).fit(data, None).coef_.tobytes()
