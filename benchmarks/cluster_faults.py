"""Bits, killed workers and other events on a cluster; see ``cluster.py``."""

import os
import random
import signal
import sys
import threading
import time
import warnings

import numpy as np

import softmargin as sm
from cluster_processes import (
    PASSES,
    Processes,
    counted,
    counter,
    digest,
    folder,
    objective,
    write_shards,
)

LOSSES = {sm.CrossEntropy(): 1e-3, sm.SquaredHinge(): 1e-3, sm.Hinge(): 1e-2}


def bits(_):
    """One hash per loss: in process and 1, 2, 3 workers x three sizes of shards x mapped, in memory, moved."""
    sys.path.pop(0)  # Dask would take sparse.py of this folder for the package sparse
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
            values = [
                digest(sm.minimize(objective(loss, reg, data, y, **options))) for loss, reg in LOSSES.items()
            ]
            for loss, value in zip(LOSSES, values, strict=True):
                found[loss].setdefault(value, []).append(where)
            print(f"{where:24}", *values, flush=True)

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


def kills(arguments):
    """Fits in each of which two workers are killed at random passes.

    Lost passes are the runs of tasks that read rows, beyond those of a fit without kills, divided by the number of
    shards.
    """
    from softmargin.engines import cluster

    cluster._PATIENCE = 120.0  # where other work runs, it may take long until a killed worker is there again
    rng = random.Random(0)
    with folder() as path, Processes(2, nanny=True) as processes:
        data = sm.open_shards(write_shards(path, (8000,) * 8, 32, 6))
        client = processes.client
        client.register_plugin(counter())
        problems = [(sm.CrossEntropy(), 1e-7), (sm.Hinge(), 1e-3)]
        problems = [each for each in problems if arguments.loss in (None, each[0].name)]
        expected, n_tasks, seconds, n_passes = {}, {}, {}, {}
        for loss, reg in problems:
            for _ in range(2):  # the first one compiles
                counted(client)
                fitted = objective(loss, reg, data)
                start = time.perf_counter()
                fit = sm.minimize(fitted)
                expected[loss], n_passes[loss] = digest(fit), fit.n_passes
                seconds[loss] = time.perf_counter() - start
                found = counted(client)
            assert all(n_runs == n for n_runs, n in found.values())
            n_tasks[loss] = read(found)
            n_shards = found["shard"][0]
            print(f"{loss!r}: {expected[loss]}, {n_shards} shards, {n_passes[loss]:.0f} passes, "
                  f"{seconds[loss]:.1f} s", flush=True)  # fmt: skip
        worst, total, n_kills, n_equal = {loss: 0.0 for loss, _ in problems}, 0.0, 0, 0
        for trial in range(arguments.fits):
            loss, reg = problems[trial % len(problems)]
            fitted, stop, killed, threads = objective(loss, reg, data), threading.Event(), [], []
            moments = sorted(rng.uniform(0.0, n_passes[loss]) for _ in range(2))

            def kill(moment, stop=stop, killed=killed, pause=seconds[loss] / n_passes[loss]):
                stop.wait(rng.uniform(0.0, pause))  # somewhere in the pass
                while not stop.is_set():
                    if pids := processes.pids():
                        os.kill(rng.choice(pids), signal.SIGKILL)
                        killed.append(moment)
                        return
                    stop.wait(0.05)

            def watch(step, moments=moments, threads=threads, kill=kill):
                while moments and step.n_passes >= moments[0]:
                    threads.append(threading.Thread(target=kill, args=(moments.pop(0),)))
                    threads[-1].start()

            start = time.perf_counter()
            fit = sm.minimize(fitted, callback=watch)
            took = time.perf_counter() - start
            stop.set()
            for thread in threads:
                thread.join()
            found = counted(client)
            lost = (read(found) - n_tasks[loss]) / n_shards / max(1, len(killed))
            worst[loss], total = max(worst[loss], lost), total + lost * len(killed)
            n_kills, n_equal = n_kills + len(killed), n_equal + (digest(fit) == expected[loss])
            moments = ", ".join(f"{moment:.0f}" for moment in killed)
            print(f"{trial:3} {loss!r:14} {digest(fit)} {took:5.1f} s, killed at passes {moments}; lost "
                  f"{lost:.2f} passes per kill", flush=True)  # fmt: skip
            client.wait_for_workers(2, timeout=120)
        print(f"{n_equal} of {arguments.fits} fits proved with the same bits, {n_kills} kills; passes lost "
              f"per kill: {total / n_kills:.2f} on average, at most {worst}")  # fmt: skip


def read(found):
    """Return how many tasks have read the rows of a shard."""
    return sum(found.get(name, (0, 0))[0] for name in PASSES)


def lost(_):
    """All workers are killed in the middle of a fit, then the scheduler; the fit resumes from its checkpoint."""
    with folder() as path:
        data = sm.open_shards(write_shards(path, (25_000,) * 8, 64, 10))
        for loss, reg in ((sm.CrossEntropy(), 1e-6), (sm.Hinge(), 3e-3)):
            expected = sm.minimize(objective(loss, reg, data, engine="chunked"))
            state = path / "state"
            for what in ("workers", "scheduler"):
                with Processes(2) as processes:
                    ended = []

                    def end(step, what=what, ended=ended, processes=processes, middle=expected.n_passes / 2):
                        if step.n_passes > middle and not ended:
                            for process in processes.workers if what == "workers" else [processes.scheduler]:
                                process.kill()
                            ended.append((time.perf_counter(), step.n_passes))

                    try:
                        fitted = objective(loss, reg, data)
                        sm.minimize(fitted, callback=end, checkpoint=state, checkpoint_seconds=0.0)
                    except sm.ClusterError as error:
                        print(f"{loss!r}, {what} killed after {ended[0][1]:.1f} passes; error after "
                              f"{time.perf_counter() - ended[0][0]:.1f} s: {error}", flush=True)  # fmt: skip
                    if what == "workers":  # new ones, for the same scheduler and client
                        resumed(processes, loss, reg, data, state, expected)
                if what == "scheduler":
                    with Processes(0) as processes:
                        resumed(processes, loss, reg, data, state, expected)


def resumed(processes, loss, reg, data, state, expected):
    for _ in range(2):
        processes.start()
    processes.client.wait_for_workers(2, timeout=120)
    processes.client.register_plugin(counter())
    fit = sm.minimize(objective(loss, reg, data), checkpoint=state)
    found = counted(processes.client)
    n_passes = read(found) / 8
    same = "the same bits" if digest(fit) == digest(expected) else "OTHER BITS"
    print(f"  resumed on two new workers: {same}, {n_passes:.1f} of {expected.n_passes:.1f} passes", flush=True)


def events(_):
    """Refusals, a stopped worker, Ctrl-C, a worker that joins and one that retires."""
    loss, reg = sm.Hinge(), 3e-3
    with folder() as path:
        data = sm.open_shards(write_shards(path, (25_000,) * 8, 64, 10))
        expected = digest(sm.minimize(objective(loss, reg, data, engine="chunked")))

        def show(what, call):
            start = time.perf_counter()
            try:
                found = call()
            except sm.SoftmarginError as error:
                found = f"{type(error).__name__}: {error}"
            print(
                f"- {what}, {time.perf_counter() - start:.1f} s: {found}".replace(str(path), "FOLDER"), flush=True
            )

        def fitted(what, meanwhile=lambda: None, after=1.0, **options):
            def call():
                problem = objective(loss, reg, data, **options)
                timer = threading.Timer(after, meanwhile)
                timer.start()
                fit = sm.minimize(problem)
                timer.join()
                return f"proved, {'the same' if digest(fit) == expected else 'other'} bits"

            show(what, call)

        with Processes(2, memory="650MB") as processes:
            memory = sm.open_shards(path, mapped=False)
            show("too little memory", lambda: objective(loss, reg, memory))
            show("a limit of memory and mapped files", lambda: objective(loss, reg, data))
        with Processes(1) as processes:
            hidden = 'mount -t tmpfs none "$0" && exec "$@"'
            worker = processes.start(prefix=("unshare", "-m", "sh", "-c", hidden, str(path)))
            processes.client.wait_for_workers(2, timeout=60)
            show("a worker without the files", lambda: objective(loss, reg, data))
            worker.kill()
        with Processes(1) as processes:
            processes.start(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
            processes.client.wait_for_workers(2, timeout=60)
            show("two kinds of workers", lambda: objective(loss, reg, data))
            import dask

            with dask.config.set({"softmargin.mixed": True}):
                fitted("two kinds of workers, allowed")
        with Processes(2) as processes:
            client = processes.client
            client.register_plugin(counter())
            problem = objective(loss, reg, data)
            os.utime(path / "part-3.npy", ns=(0, 0))
            show("a file that changed", lambda: problem.value_and_grad(np.zeros((64, 10)), np.zeros(10)))
            data = sm.open_shards(path)
            fitted("nothing else")
            pid = processes.pids()[0]

            def stop():
                os.kill(pid, signal.SIGSTOP)
                time.sleep(10.0)
                os.kill(pid, signal.SIGCONT)

            fitted("a worker stopped for 10 s", stop)

            def interrupted():
                signal.signal(signal.SIGINT, signal.default_int_handler)  # also if this runs in the background
                problem = objective(sm.CrossEntropy(), 1e-7, data)
                threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fit = sm.minimize(problem, tol=1e-13)
                time.sleep(1.0)
                states = client.run_on_scheduler(
                    lambda dask_scheduler: [t.state for t in dask_scheduler.tasks.values()]
                )
                return (
                    f"interrupted={fit.interrupted}, gap {fit.gap:.1e}; tasks left: {states.count('processing')}"
                )

            show("Ctrl-C", interrupted)
            known = set(client.nthreads())

            def join():
                processes.start()
                client.wait_for_workers(3, timeout=60)

            counted(client)
            fitted("a worker joins", join, 0.2)
            by_worker = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.plugins["counter"].by_worker)
            print(f"    tasks of the workers: {sorted((w not in known, n) for w, n in by_worker.items())}")
            fitted("a worker retires", lambda: client.retire_workers([next(iter(client.nthreads()))]))
