"""The cluster engine: bits, killed workers, memory, many passes, and the time of a pass.

    python benchmarks/cluster.py bits
    python benchmarks/cluster.py kills [--fits 50]
    python benchmarks/cluster.py lost
    python benchmarks/cluster.py events
    python benchmarks/cluster.py memory [--gigabytes 6]
    python benchmarks/cluster.py passes [--passes 1000]
    python benchmarks/cluster.py network
    python benchmarks/cluster.py model

Schedulers and workers are processes of ``dask scheduler`` and ``dask worker`` on this machine, started as on others.
``lost`` and ``events`` end and stop some of them, ``events`` and ``network`` need root for namespaces. A hash is that
of W and b. Results: ``benchmarks/results/cluster.md``.
"""

import argparse
import hashlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

import softmargin as sm
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.runner import InProcess

LOSSES = {sm.CrossEntropy(): 1e-3, sm.SquaredHinge(): 1e-3, sm.Hinge(): 1e-2}
LOCAL = ("--host", "127.0.0.1")


# -- data and processes ----------------------------------------------------------------------------------------


def write_shards(folder, sizes, n_features, n_classes, dtype=np.float32):
    """Write one file of normally distributed rows around the centres of their classes for each of the sizes."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_classes, n_features)) * 2.2 / n_features**0.5
    for k, n_rows in enumerate(sizes):
        y = rng.integers(0, n_classes, n_rows)
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

    def __init__(self, n_workers, nanny=False, prefix=(), host="127.0.0.1", scheduler_prefix=()):
        from distributed import Client

        self.nanny, self.prefix, self.workers = nanny, prefix, []
        command = ("distributed.cli.dask_scheduler", "--host", host, "--port", "0", "--no-dashboard", "--no-show")
        self.scheduler = python(*command, prefix=scheduler_prefix, stderr=subprocess.PIPE, text=True)
        self.address = next(line.split()[-1] for line in self.scheduler.stderr if "Scheduler at:" in line)
        threading.Thread(target=self.scheduler.stderr.read, daemon=True).start()
        for _ in range(n_workers):
            self.start()
        self.client = Client(self.address, timeout="60s")
        self.client.wait_for_workers(n_workers, timeout=120)

    def start(self, **environment):
        options = ("--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--nanny" if self.nanny else "--no-nanny")
        worker = python(
            "distributed.cli.dask_worker", self.address, *options, prefix=self.prefix,
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
    from distributed import default_client

    from softmargin.engines.dask import OnDask

    if group is not None:
        remote = engine == "dask"
        engine = lambda shards, _: ChunkedEngine(  # noqa: E731
            shards, _placed(OnDask(default_client()), shards) if remote else InProcess(), 1, group
        )
    return sm.Objective(loss, data, y, reg, engine=engine)


def _placed(runner, shards):
    runner.place(shards.parts)
    return runner


@contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="cluster-", dir=os.environ.get("BENCHMARK_FOLDER")))
    try:
        yield path
    finally:
        shutil.rmtree(path)


# -- sections --------------------------------------------------------------------------------------------------


def bits(_):
    """One hash per loss: in process and 1, 2, 3 workers x three sizes of shards x mapped, in memory, moved."""
    import dask.array as da

    sizes, groups = (9000, 300, 14_000), (1, 2, 8)
    with folder() as path:
        write_shards(path, sizes, 30, 6)
        mapped, memory = sm.open_shards(path), sm.open_shards(path, mapped=False)
        X, y = (np.concatenate([np.load(path / f"part-{k}{end}.npy") for k in range(3)]) for end in ("", "_y"))
        moved = da.from_array(X, chunks=(sizes, 30)), da.from_array(y, chunks=(sizes,))
        found = {loss: {} for loss in LOSSES}
        regs = [0.1, 0.03, 0.01, 3e-3, 1e-3]
        paths = {}

        def add(where, data, y=None, **options):
            for loss, reg in LOSSES.items():
                value = digest(sm.minimize(objective(loss, reg, data, y, **options)))
                found[loss].setdefault(value, []).append(where)

        def add_path(where, **options):
            for loss in LOSSES:
                fits = list(sm.path(objective(loss, 0.1, mapped, **options), regs))
                value = " ".join(digest(each.fit)[:6] for each in fits)
                paths.setdefault((loss, value), []).append(where)

        for group in groups:
            add(f"in process, {group}", mapped, group=group, engine="chunked")
        add_path("in process", engine="chunked")
        for n_workers in (1, 2, 3):
            with Processes(n_workers):
                for group in groups:
                    for name, data in {"mapped": (mapped,), "memory": (memory,), "moved": moved}.items():
                        add(f"{n_workers} workers, {group}, {name}", *data, group=group)
                add_path(f"{n_workers} workers")
        for loss, values in found.items():
            for value, where in values.items():
                print(f"{loss!r:16} {value}  {len(where)} fits" + ("" if len(values) == 1 else f": {where}"))
        for (loss, value), where in paths.items():
            print(f"path of {loss!r:16} {value}  {', '.join(where)}")


def counter():
    from distributed.diagnostics.plugin import SchedulerPlugin

    class Counter(SchedulerPlugin):
        """Counts how often each task was given to a worker and then finished or lost."""

        name = "counter"

        def __init__(self):
            self.runs = {}

        def transition(self, key, start, finish, *args, **kwargs):
            if start == "processing" and str(key).startswith("softmargin-"):
                self.runs[key] = self.runs.get(key, 0) + 1

    return Counter()


def counted(client):
    """Return the number of runs and of tasks by name since the last call."""

    def read(dask_scheduler):
        plugin = dask_scheduler.plugins["counter"]
        runs, plugin.runs = plugin.runs, {}
        return runs

    runs, totals = client.run_on_scheduler(read), {}
    for key, n_runs in runs.items():
        name = key.split("-")[1]
        before = totals.get(name, (0, 0))
        totals[name] = (before[0] + n_runs, before[1] + 1)
    return totals


PASSES = ("sums", "kept")
"""Names of the tasks that read the rows of a shard once."""


def kills(arguments):
    """Fits in each of which two workers are killed at random moments.

    Lost passes are the runs of tasks that read rows, beyond one per task, divided by the number of shards.
    """
    rng = random.Random(0)
    with folder() as path, Processes(2, nanny=True) as processes:
        data = sm.open_shards(write_shards(path, (25_000,) * 8, 64, 10))
        client = processes.client
        client.register_plugin(counter())
        problems = [(sm.CrossEntropy(), 1e-6), (sm.Hinge(), 3e-3)]
        expected, n_tasks, seconds = {}, {}, {}
        for loss, reg in problems:
            for _ in range(2):  # the first one compiles
                counted(client)
                fitted = objective(loss, reg, data)
                start = time.perf_counter()
                expected[loss] = digest(sm.minimize(fitted))
                seconds[loss] = time.perf_counter() - start
                found = counted(client)
            n_tasks[loss] = {name: found[name][1] for name in found}
            assert all(n_runs == n for n_runs, n in found.values())
            n_shards = n_tasks[loss]["shard"]
            n_passes = sum(n_tasks[loss].get(name, 0) for name in PASSES) / n_shards
            print(f"{loss!r}: {expected[loss]}, {n_shards} shards, {n_passes:.0f} passes, {seconds[loss]:.1f} s")
        worst, total, n_kills, n_equal = {loss: 0.0 for loss, _ in problems}, 0.0, 0, 0
        for trial in range(arguments.fits):
            loss, reg = problems[trial % 2]
            fitted, stop, killed = objective(loss, reg, data), threading.Event(), []
            moments = sorted(rng.uniform(0.0, seconds[loss]) for _ in range(2))

            def killer(moments=moments, stop=stop, killed=killed, start=time.perf_counter()):
                for moment in moments:
                    stop.wait(max(0.0, moment + start - time.perf_counter()))
                    while not stop.is_set() and not (pids := processes.pids()):
                        stop.wait(0.05)
                    if stop.is_set():
                        return
                    os.kill(rng.choice(pids), signal.SIGKILL)
                    killed.append(time.perf_counter() - start)

            thread, start = threading.Thread(target=killer), time.perf_counter()
            thread.start()
            fit = sm.minimize(fitted)
            took = time.perf_counter() - start
            stop.set()
            thread.join()
            found = counted(client)
            extra = {name: n_runs - n for name, (n_runs, n) in found.items()}
            lost = sum(extra.get(name, 0) for name in PASSES) / n_shards / max(1, len(killed))
            worst[loss], total = max(worst[loss], lost), total + lost * len(killed)
            n_kills, n_equal = n_kills + len(killed), n_equal + (digest(fit) == expected[loss])
            moments = ", ".join(f"{moment:.1f}" for moment in killed)
            print(f"{trial:3} {loss!r:14} {digest(fit)} {took:5.1f} s, killed at {moments} s; lost {lost:.2f} passes "
                  f"per kill, {extra.get('shard', 0)} shards read again", flush=True)  # fmt: skip
            client.wait_for_workers(2, timeout=120)
        print(f"{n_equal} of {arguments.fits} fits proved with the same bits, {n_kills} kills, {total / n_kills:.2f} "
              f"passes lost per kill on average, at most {worst}")  # fmt: skip


SECTIONS = {each.__name__: each for each in (bits, kills)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--fits", type=int, default=50)
    parser.add_argument("--passes", type=int, default=1000)
    parser.add_argument("--gigabytes", type=float, default=6.0)
    arguments = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="distributed")
    from softmargin.engines.cpu.signature import signature

    kind = signature()
    print(f"{' '.join(['python', *sys.argv])}: {os.cpu_count()} cores, {kind['processor']}, {kind['BLAS kernels']}", flush=True)
    SECTIONS[arguments.section](arguments)


if __name__ == "__main__":
    main()
