"""Shards and the processes of a cluster, for the benchmarks of the cluster engine."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

import softmargin as sm
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.runner import InProcess


def write_shards(folder, sizes, n_features, n_classes, dtype=np.float32):
    """Write one file of normally distributed rows around the centres of their classes for each of the sizes."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_classes, n_features)) * 2.2 / n_features**0.5
    for k, n_rows in enumerate(sizes):
        y = rng.permutation((sum(sizes[:k]) + np.arange(n_rows)) % n_classes)
        np.save(folder / f"part-{k}_y.npy", y)
        X = np.lib.format.open_memmap(folder / f"part-{k}.npy", "w+", dtype, (n_rows, n_features))
        for start in range(0, n_rows, 10_000):
            some = y[start : start + 10_000]
            X[start : start + 10_000] = centres[some] + rng.standard_normal((len(some), n_features), np.float32)
        del X
    return folder


def python(*arguments, prefix=(), **options):
    return subprocess.Popen([*prefix, sys.executable, "-m", *map(str, arguments)], **options)


class Processes:
    """A scheduler and workers.

    Parameters
    ----------
    n_workers : int
    nanny : bool
        Whether ``dask worker`` starts a worker again that has been killed.
    prefix : sequence of str
        Command in front of that of each worker, for limits and namespaces.
    """

    def __init__(self, n_workers, nanny=False, prefix=(), host="127.0.0.1", worker_host=None, memory="0"):
        from distributed import Client

        self.nanny, self.prefix, self.workers = nanny, prefix, []
        self.options = ("--memory-limit", memory, "--host", worker_host or host)
        command = ("distributed.cli.dask_scheduler", "--host", host, "--port", "0", "--no-dashboard", "--no-show")
        self.scheduler = python(*command, stderr=subprocess.PIPE, text=True)
        self.address = next(line.split()[-1] for line in self.scheduler.stderr if "Scheduler at:" in line)
        threading.Thread(target=self.scheduler.stderr.read, daemon=True).start()
        for _ in range(n_workers):
            self.start()
        self.client = Client(self.address, timeout="60s")
        self.client.wait_for_workers(n_workers, timeout=120) if n_workers else None

    def start(self, prefix=None, **environment):
        options = ("--nthreads", 1, "--no-dashboard", *self.options)
        worker = python(
            "distributed.cli.dask_worker", self.address, *options, "--nanny" if self.nanny else "--no-nanny",
            prefix=self.prefix if prefix is None else prefix,
            stderr=subprocess.DEVNULL, env=os.environ | environment,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError, TimeoutError):
            self.client.close(timeout=2)
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGCONT)
            process.terminate() if self.nanny else process.kill()
        for process in (*self.workers, self.scheduler):
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()

    def pids(self):
        return list(self.client.run(os.getpid, on_error="ignore").values())


def digest(fit):
    assert fit.converged, fit.status
    return hashlib.sha256(fit.W.tobytes() + fit.b.tobytes()).hexdigest()[:12]


def objective(loss, reg, data, y=None, group=None, engine="dask"):
    """Return an objective on the current client or in this process; ``group`` is the chunks per shard."""

    def grouped(shards, n_threads):
        from distributed import default_client

        from softmargin.engines.dask import OnDask

        runner = InProcess() if engine == "chunked" else OnDask(default_client())
        if engine == "dask":
            runner.place(shards.parts)
        return ChunkedEngine(shards, runner, 1, group)

    return sm.Objective(loss, data, y, reg, engine=engine if group is None else grouped)


@contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="cluster-", dir=os.environ.get("BENCHMARK_FOLDER")))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def counter():
    from distributed.diagnostics.plugin import SchedulerPlugin

    class Counter(SchedulerPlugin):
        """Counts how often each task was given to a worker and then finished or lost."""

        name = "counter"

        def __init__(self):
            self.runs, self.by_worker = {}, {}

        def transition(self, key, start, finish, *args, **kwargs):
            if start == "processing" and str(key).startswith("softmargin-"):
                self.runs[key] = self.runs.get(key, 0) + 1
                worker = kwargs.get("worker")
                self.by_worker[worker] = self.by_worker.get(worker, 0) + 1

    return Counter()


def counted(client):
    """Return the number of runs and of tasks by name since the last call."""

    def read(dask_scheduler):
        plugin = dask_scheduler.plugins["counter"]
        runs, plugin.runs, plugin.by_worker = plugin.runs, {}, {}
        return runs

    runs, totals = client.run_on_scheduler(read), {}
    for key, n_runs in runs.items():
        name = key.split("-")[1]
        before = totals.get(name, (0, 0))
        totals[name] = (before[0] + n_runs, before[1] + 1)
    return totals


PASSES = ("sums", "kept")
"""Names of the tasks that read the rows of a shard once."""


def megabytes(name):
    """Return a size of this process, as /proc names it."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) // 1000 for line in file if line.startswith(name + ":"))
