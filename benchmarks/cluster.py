"""The cluster engine: bits, killed workers, memory, many passes, and the time of a pass.

    python benchmarks/cluster.py bits
    python benchmarks/cluster.py kills [--fits 50]
    python benchmarks/cluster.py lost
    python benchmarks/cluster.py events
    python benchmarks/cluster.py memory [--gigabytes 6]
    python benchmarks/cluster.py passes [--passes 1000]
    python benchmarks/cluster.py network
    python benchmarks/cluster.py model

Schedulers and workers are processes of ``dask scheduler`` and ``dask worker`` on this machine, started as on
others. ``events`` and ``network`` need root for namespaces. A hash is that of W and b.
Results: ``benchmarks/results/cluster.md``.
"""

import argparse
import logging
import os
import sys
import threading
import time
import warnings

import numpy as np

import softmargin as sm
from cluster_faults import bits, events, kills, lost
from cluster_processes import Processes, folder, megabytes, objective, write_shards
from softmargin.engines.cpu.signature import signature


def memory(arguments):
    """Fit a mapped file with workers that may hold a part of it; compare a pass with one of the CPU engine."""
    D, C, limit = 1024, 10, 1_500_000
    with folder() as path:
        n_rows = int(arguments.gigabytes * 1e9 / 4 / D)
        write_shards(path, (n_rows,), D, C)
        data, loss, reg = sm.open_shards(path), sm.CrossEntropy(), 1e-2
        X, y = np.load(path / "part-0.npy", mmap_mode="r"), np.load(path / "part-0_y.npy")
        limited = ("bash", "-c", f'ulimit -d {limit}; exec "$@"', "worker")
        with Processes(2, prefix=limited) as processes:
            start = time.perf_counter()
            there, here = objective(loss, reg, data), sm.Objective(loss, X, y, reg, engine="cpu", n_threads=2)
            took = time.perf_counter() - start
            print(f"{X.nbytes / 1e9:.1f} GB, RLIMIT_DATA {limit / 1e6} GB; opened in {took:.1f} s", flush=True)
            W, b, seconds = np.zeros((D, C)), np.zeros(C), {"Dask": [], "CPU": []}
            for _ in range(7):
                for name, each in {"Dask": there, "CPU": here}.items():
                    start = time.perf_counter()
                    each.value_and_grad(W, b)
                    seconds[name].append(time.perf_counter() - start)
            print(
                ", ".join(f"{name} {min(s):.2f} s ({np.median(s):.2f})" for name, s in seconds.items()), flush=True
            )
            print(f"a pass, minima: Dask / CPU engine = {min(seconds['Dask']) / min(seconds['CPU']):.2f}")
            largest, stop = [], threading.Event()

            def watch():
                while not stop.wait(1.0):
                    largest.extend(processes.client.run(megabytes, "RssAnon").values())

            thread = threading.Thread(target=watch)
            thread.start()
            start = time.perf_counter()
            fit = sm.minimize(there)
            took = time.perf_counter() - start
            stop.set()
            thread.join()
            mapped = processes.client.run(megabytes, "RssFile").values()
            print(f"fit: gap {fit.gap:.1e}, {fit.n_passes:.1f} passes, {took:.0f} s; anonymous memory at most "
                  f"{max(largest)} MB per worker, mapped {max(mapped)} MB")  # fmt: skip


def passes(arguments):
    """Many passes: tasks of the scheduler, and resident memory of all processes."""
    with folder() as path, Processes(2) as processes:
        fitted = objective(sm.CrossEntropy(), 1e-3, sm.open_shards(write_shards(path, (5000,) * 4, 30, 6)))
        W, b, client = np.zeros((30, 6)), np.zeros(6), processes.client
        for k in range(arguments.passes + 1):
            if k in (2, 100, arguments.passes // 2, arguments.passes):
                time.sleep(1.0)  # until keys are released
                n_tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
                sizes = [megabytes("VmRSS"), client.run_on_scheduler(megabytes, "VmRSS")]
                print(k, "passes:", n_tasks, "tasks; MB of this process, the scheduler and the workers", *sizes,
                      *client.run(megabytes, "VmRSS").values(), flush=True)  # fmt: skip
            fitted.value_and_grad(W, b)


SECTIONS = {each.__name__: each for each in (bits, kills, lost, events, memory, passes)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--fits", type=int, default=50)
    parser.add_argument("--passes", type=int, default=1000)
    parser.add_argument("--gigabytes", type=float, default=6.0)
    arguments = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="distributed")
    kind = signature()
    print(
        f"{' '.join(['python', *sys.argv])}: {os.cpu_count()} cores, {kind['processor']}, {kind['BLAS kernels']}",
        flush=True,
    )
    SECTIONS[arguments.section](arguments)


if __name__ == "__main__":
    main()
