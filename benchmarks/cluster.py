"""The cluster engine: bits, killed workers, memory, many passes, and the time of a pass.

    python benchmarks/cluster.py bits
    python benchmarks/cluster.py kills [--fits 50] [--loss hinge]
    python benchmarks/cluster.py lost
    python benchmarks/cluster.py events
    python benchmarks/cluster.py memory [--gigabytes 6]
    python benchmarks/cluster.py passes [--passes 1000]
    python benchmarks/cluster.py network [--megabits 1000]
    python benchmarks/cluster.py model

Schedulers and workers are processes of ``dask scheduler`` and ``dask worker`` on this machine, started as on
others. ``events`` and ``network`` need root for namespaces. A hash is that of W and b.
Results: ``benchmarks/results/cluster.md``.
"""

import argparse
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from itertools import product

import numpy as np

import softmargin as sm
from cluster_faults import bits, events, kills, lost
from cluster_processes import Processes, folder, megabytes, objective, write_shards
from softmargin.engines.cpu.signature import signature
from softmargin.engines.shard import chunk_rows


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


# -- the cost of a pass ------------------------------------------------------------------------------------------

NAMESPACE, HERE, THERE = "softmargin", "10.207.7.1", "10.207.7.2"

LINK, TEN_GIGABIT, PROCESS = 0.94 / 8e-6, 1.18e9, 1.1e9
"""Bytes per second: of a link per Mbit/s without headers, of 10 GbE, and of the processes that pass arrays on."""

FIXED, PER_TASK, READING, FLOPS = 13e-3, 1.5e-3, 16e9, 190e9
"""Seconds of a pass without tasks, those per task; bytes of X and operations per second of two cores."""


def seconds_of_a_pass(W_bytes, n_tasks, n_workers, reading, link=TEN_GIGABIT, between=TEN_GIGABIT):
    """Return the modelled seconds of a pass, after ``reading``, those in which the workers read X.

    W goes out with every task up to 8 MB of all copies, otherwise once to a worker, from which the others fetch
    it. The gradients of all shards come back, or those of eight together if they have more than 64 MB. All of
    them pass through the scheduler. ``link`` is that to the workers, and ``between`` that from worker to worker.
    """
    literal = W_bytes * n_tasks < 8 << 20
    n_back = -(-n_tasks // 8) if W_bytes * n_tasks > 1 << 26 and n_tasks > 8 else n_tasks
    n_out = n_tasks if literal else 1
    among = 0 if literal else int(np.ceil(np.log2(n_workers)))
    if n_back < n_tasks:
        among += 8
    n_bytes = (n_out + n_back) * W_bytes
    return reading + FIXED + PER_TASK * n_tasks + n_bytes / PROCESS + n_bytes / link + among * W_bytes / between


@contextmanager
def namespace(megabits):
    """Yield the command in front of one that runs in another network namespace, behind a link of this rate."""
    lines = (
        f"ip netns add {NAMESPACE}",
        f"ip link add softmargin0 type veth peer name softmargin1 netns {NAMESPACE}",
        f"ip address add {HERE}/24 dev softmargin0",
        "ip link set softmargin0 up",
        f"ip -n {NAMESPACE} address add {THERE}/24 dev softmargin1",
        f"ip -n {NAMESPACE} link set softmargin1 up",
        f"ip -n {NAMESPACE} link set lo up",
        f"tc qdisc add dev softmargin0 root tbf rate {megabits}mbit burst 256kb latency 100ms",
        f"tc -n {NAMESPACE} qdisc add dev softmargin1 root tbf rate {megabits}mbit burst 256kb latency 100ms",
    )
    try:
        for line in lines:
            subprocess.run(line.split(), check=True)
        yield ("ip", "netns", "exec", NAMESPACE)
    finally:
        subprocess.run(("ip", "netns", "delete", NAMESPACE), check=True)


def network(arguments):
    """Print the time of a pass over loopback and over a slower link, and that of the model."""
    D = 16_384
    with folder() as path, namespace(arguments.megabits) as prefix:
        cases = [(C, S) for C in (2, 16, 64) for S in (4, 16)]
        for C, S in cases:
            (path / f"{C}-{S}").mkdir()
            write_shards(path / f"{C}-{S}", (max(8, 4 * C // S),) * S, D, C)
        for name, options, link in (
            ("loopback", {}, np.inf),
            (
                f"{arguments.megabits} Mbit",
                {"prefix": prefix, "host": HERE, "worker_host": THERE},
                LINK * arguments.megabits,
            ),
        ):
            with Processes(2, **options):
                for C, S in cases:
                    data = sm.open_shards(path / f"{C}-{S}")
                    there, here = (objective(sm.CrossEntropy(), 1e-3, data, engine=e) for e in ("dask", "chunked"))
                    W, b, seconds = np.zeros((D, C)), np.zeros(C), ([], [])
                    for _ in range(arguments.repeats):
                        for each, found in zip((there, here), seconds, strict=True):
                            start = time.perf_counter()
                            each.value_and_grad(W, b)
                            found.append(time.perf_counter() - start)
                    measured, reading = min(seconds[0]), min(seconds[1]) / 2
                    model = seconds_of_a_pass(W.nbytes, S, 2, reading, link, np.inf)
                    print(f"{name:9} W {W.nbytes / 1e6:5.2f} MB, {S:2} tasks: {1e3 * measured:6.0f} ms (median "
                          f"{1e3 * np.median(seconds[0]):.0f}), X {1e3 * reading:.0f}, model {1e3 * model:.0f}; "
                          f"measured / model {measured / model:.2f}", flush=True)  # fmt: skip


def model(_):
    """Print the modelled time of a pass with 10 GbE and workers of two cores: nothing is measured here."""
    data = {"0.6 GB, 3,072 features": (0.614e9, 3072), "10 GB, 1,024 features": (10e9, 1024),
            "1 TB, 1,024 features": (1e12, 1024)}  # fmt: skip
    print("| data, float32 | classes | one machine | 4 workers | 16 workers | 64 workers |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (name, (size, D)), C in product(data.items(), (10, 1000)):
        row_seconds = max(4 * D / READING, 4.0 * D * C / FLOPS)
        reading, n_chunks = size / (4 * D) * row_seconds, int(size / chunk_rows(4 * D) / (4 * D)) + 1
        cells = [f"{reading:.2g} s"]
        for n_workers in (4, 16, 64):
            group = 1 << max(0, (n_chunks // (2 * 2 * n_workers)).bit_length() - 1)
            n_tasks = -(-n_chunks // group)
            found = seconds_of_a_pass(8 * D * C, n_tasks, n_workers, reading / min(n_workers, n_tasks / 2))
            cells.append(f"{found:.2g} s, {n_tasks} tasks")
        print(f"| {name} | {C:,} | " + " | ".join(cells) + " |")


SECTIONS = {each.__name__: each for each in (bits, kills, lost, events, memory, passes, network, model)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--fits", type=int, default=50)
    parser.add_argument("--loss", choices=("cross_entropy", "hinge"), help="kills: of this loss only")
    parser.add_argument("--passes", type=int, default=1000)
    parser.add_argument("--megabits", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=9)
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
