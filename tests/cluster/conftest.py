"""Shards on disk, and clusters of worker processes on this machine."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import contextmanager, suppress
from importlib.util import find_spec

import numpy as np
import pytest

collect_ignore_glob = [] if find_spec("distributed") else ["test_*.py"]  # the extra dask


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/cluster" in str(item.path):
            # Dask warns about its own sockets and ports; the warnings of softmargin stay errors.
            item.add_marker(pytest.mark.filterwarnings("ignore:::distributed"))
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


def write_shards(folder, sizes=(9000, 300, 6000), n_features=30, n_classes=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = 0.4 * rng.normal(size=(n_classes, n_features))
    for k, n in enumerate(sizes):
        y = rng.integers(0, n_classes, n)
        np.save(folder / f"part-{k}.npy", (centres[y] + rng.normal(size=(n, n_features))).astype(np.float32))
        np.save(folder / f"part-{k}_y.npy", y)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three shards, of four chunks."""
    return write_shards(tmp_path_factory.mktemp("shards"))


@contextmanager
def cluster(n_workers, **options):
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0, "silence_logs": 50} | options
    # By default LocalCluster gives up a worker that is killed twice within 15 seconds. A worker in this process
    # would pause, as the process itself is larger than the limit of the worker.
    settings = {"deploy.lost-worker-timeout": "1h"}
    settings |= {f"worker.memory.{name}": False for name in ("target", "spill", "pause")}
    with (
        dask.config.set({f"distributed.{name}": value for name, value in settings.items()}),
        LocalCluster(n_workers=n_workers, **options) as local,
        Client(local) as client,
    ):
        yield client


@contextmanager
def processes():
    """Yield a client of a scheduler and a worker that were started as on other machines, and their processes."""
    from distributed import Client

    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    scheduler = subprocess.Popen([*command, "--no-dashboard", "--no-show"], stderr=subprocess.PIPE, text=True)
    address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    options = ["--no-dashboard", "--memory-limit", "0", "--host", "127.0.0.1"]
    worker = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    client = Client(address)
    try:
        client.wait_for_workers(1, timeout=60)
        yield client, scheduler, worker
    finally:
        with suppress(OSError, TimeoutError):
            client.close(timeout=1)
        for process in (worker, scheduler):
            process.kill()
            process.wait()
        scheduler.stderr.close()
