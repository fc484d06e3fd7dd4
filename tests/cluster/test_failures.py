"""What ends a fit on a cluster: a sentence within seconds, and nothing that waits for ever."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines.cpu.signature import signature
from softmargin.engines.registry import make_engine
from tests.cluster.conftest import cluster, processes, write_shards


def objective(data, **options):
    return sm.Objective(sm.CrossEntropy(), data, None, 1e-3, engine="dask", **options)


@pytest.fixture
def patient(monkeypatch):
    """Wait three seconds, not twenty."""
    from softmargin.engines import cluster

    monkeypatch.setattr(cluster, "_PATIENCE", 3.0)


def test_no_worker_left_is_an_error(folder, patient):
    with cluster(2, processes=False) as client:
        fitted = objective(sm.open_shards(folder))
        client.cluster.scale(0)
        while client.nthreads():
            time.sleep(0.05)
        start = time.monotonic()
        with pytest.raises(sm.ClusterError, match=r"has had no workers for 3 seconds; start some, and resume"):
            sm.minimize(fitted)
        assert time.monotonic() - start < 15
        with pytest.raises(sm.ClusterError, match="has no workers; start some"):
            objective(sm.open_shards(folder))


def test_a_lost_scheduler_is_an_error(folder):
    with processes() as (_, scheduler, _):
        fitted = objective(sm.open_shards(folder))
        W, b = np.zeros((30, 6)), np.zeros(6)
        assert fitted.value(W, b) == pytest.approx(np.log(6))
        scheduler.kill()
        start = time.monotonic()
        with pytest.raises(sm.ClusterError, match="is lost; start it again, and resume from a checkpoint"):
            fitted.value(W, b)
        assert time.monotonic() - start < 30


def slow(number):
    time.sleep(0.4)
    return number


@pytest.mark.parametrize("n_paused", [1, 2])
def test_paused_workers_are_an_error(n_paused, patient):
    """The scheduler counts them as present, and leaves them the tasks that they have."""
    from distributed.core import Status

    from softmargin.engines import dask

    with cluster(2, processes=False) as client:
        runner = dask.OnDask(client)
        handles = runner.run(slow, range(4))
        while not all(worker.processing for worker in client.cluster.scheduler.workers.values()):
            time.sleep(0.01)
        for k in range(n_paused):
            client.cluster.workers[k].status = Status.paused
        with pytest.raises(
            sm.ClusterError, match=r"has been paused for 3 seconds for lack of memory; start workers"
        ):
            runner.collect(handles)
        if n_paused == 1:
            assert runner.collect(runner.run(slow, range(3))) == [0, 1, 2]  # the other one goes on


INTERRUPTED = """
import signal, sys, threading
import softmargin as sm
from distributed import Client

if __name__ == "__main__":
    with Client(sys.argv[1]) as client:
        objective = sm.Objective(sm.CrossEntropy(), sm.open_shards(sys.argv[2]), None, 1e-6, engine="dask")
        timer = threading.Timer(0.01, signal.raise_signal, [signal.SIGINT])
        begin = lambda step: timer.ident or timer.start()
        print(sm.minimize(objective, tol=1e-14, callback=begin).interrupted)
"""


def test_ctrl_c_prints_nothing(folder):
    """An interrupted wait used to leave coroutines of Dask, whose errors were printed later."""
    with processes() as (client, _, _):
        command = [sys.executable, "-W", "ignore", "-c", INTERRUPTED, client.scheduler.address, str(folder)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.stdout == "True\n"
    assert found.stderr == ""


def test_an_error_of_a_file_system_is_not_one_of_the_cluster():
    from softmargin.engines import dask

    with cluster(1, processes=False) as client:
        runner = dask.OnDask(client)
        with pytest.raises(FileNotFoundError):
            runner.collect(runner.run(os.stat, ["/nowhere"]))


def test_a_file_that_changes_is_an_error(tmp_path):
    write_shards(tmp_path, sizes=(50, 60))
    data = sm.open_shards(tmp_path)
    with cluster(1, processes=False):
        fitted = objective(data)
        os.utime(tmp_path / "part-1.npy", ns=(0, 0))
        with pytest.raises(sm.DataError, match=r"part-1\.npy has changed since it was opened; open the shards"):
            fitted.moments  # noqa: B018
        with pytest.raises(sm.ClusterError, match=r"^The worker .* cannot read the data: .*part-1.npy has"):
            objective(data)
        shutil.rmtree(tmp_path)
        with pytest.raises(sm.ClusterError, match=r"part-0.npy cannot be read \(No such file or directory\)"):
            objective(data)


def test_memory_is_checked_before_rows_are_read(tmp_path):
    np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (200_000, 50))  # 80 MB that are not written
    np.save(tmp_path / "y.npy", np.arange(200_000) % 2)
    with cluster(1, processes=False, memory_limit="700MB"):
        with pytest.raises(sm.ClusterError, match=r"need 0\.08 GB of memory, but 1 workers can hold 0\.05 GB"):
            objective(sm.open_shards(tmp_path, mapped=False))
        with pytest.raises(sm.ClusterError, match="Workers must have no memory limit to map files"):
            objective(sm.open_shards(tmp_path))


def test_a_large_w_is_refused_before_rows_are_read(tmp_path):
    np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (500, 70_000))  # 280 MB that are not written
    np.save(tmp_path / "y.npy", np.arange(500))
    data = sm.open_shards(tmp_path)
    with (
        cluster(1, processes=False),
        pytest.raises(
            sm.ClusterError, match=r"W has 280 MB \(70,000 features, 500 classes\), but each pass sends"
        ),
    ):
        objective(data)


def test_the_memory_of_multipliers_is_checked_before_a_fit(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.normal(size=(40_000, 2)))
    np.save(tmp_path / "y.npy", rng.integers(0, 200, 40_000))
    with cluster(1, processes=False, memory_limit="700MB"):
        data = sm.open_shards(tmp_path, mapped=False)
        objective(data)
        hinge = sm.Objective(sm.Hinge(), data, None, 1.0, engine="dask")
        with pytest.raises(sm.ClusterError, match=r"The multipliers need 0\.10 GB of memory, but the workers"):
            sm.minimize(hinge)


def test_the_package_does_not_import_dask():
    code = "import softmargin as s, sys; s.Objective, s.open_shards; print('dask' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_workers_of_two_kinds_are_refused_by_name(folder):
    from dask.config import set as set_config

    from softmargin.engines import cluster as clusters
    from softmargin.engines import dask

    kind = signature()
    other = kind | {"numpy": "1.0"}
    with pytest.raises(
        sm.ClusterError, match=rf"tcp://a and tcp://b differ in numpy \(1\.0 and {kind['numpy']}\)"
    ):
        raise sm.ClusterError(clusters.difference("tcp://a", other, "tcp://b", kind))
    with cluster(1, processes=False) as client:
        late = client.submit(dask._checked, ("tcp://first", other), len, None, None, [1, 2])
        with pytest.raises(sm.ClusterError, match=r"tcp://first and .* differ in numpy"):
            late.result()
        assert client.submit(dask._checked, None, len, None, None, [1, 2]).result() == 2
        with set_config({"softmargin.mixed": True}):
            assert dask.OnDask(client)._kind is None
        assert dask.OnDask(client)._kind[1] == kind


def test_without_a_client_or_shards_the_error_says_what_to_do(folder):
    with pytest.raises(sm.CapabilityError, match=r"requires a client of Dask; create one with distributed"):
        objective(sm.open_shards(folder))
    with pytest.raises(sm.CapabilityError, match="engine='dask' requires data in shards or dask arrays"):
        sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.1, engine="dask")


def test_a_shard_is_pickled_without_its_rows(folder):
    data = sm.open_shards(folder, mapped=False)
    shard = make_engine("chunked", data)._work.loaded[0]
    packed = pickle.dumps(shard)
    assert len(packed) < 3000
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again.X, shard.X)
    np.testing.assert_array_equal(again.weights, shard.weights)
    assert shard.__sizeof__() >= shard.X.nbytes
