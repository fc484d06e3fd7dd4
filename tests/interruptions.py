"""Ctrl-C and kills at random moments: ``python -m tests.interruptions [CTRL_C] [KILLS]`` prints their results.

The fits are large enough for these moments to fall anywhere: into passes, sweeps, factorisations, certificates and
the writing of checkpoints. A line is printed after every ten runs. A test runs a few of each. The time that a fit
takes to end is printed, but no test depends on it.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np

import softmargin as sm
from softmargin.errors import ConvergenceWarning

ROOT = Path(__file__).parent.parent
LOSSES = {"hinge": sm.Hinge(), "squared_hinge": sm.SquaredHinge(), "cross_entropy": sm.CrossEntropy()}
SHAPES = {"bytes": (20_000, 1500, 10), "embeddings": (10_000, 200, 60)}
"""For the primal solvers, and for dual ascent."""
PROGRESS_EVERY = 10


@cache
def data(shape):
    n, D, C = SHAPES[shape]
    rng = np.random.default_rng(0)
    y = np.arange(n) % C
    X = rng.normal(size=(C, D))[y] + 2.0 * rng.normal(size=(n, D))
    return np.clip(128 + 20 * X, 0, 255).astype(np.uint8) if shape == "bytes" else X.astype(np.float32), y


def objective(shape, loss):
    """Return an objective for which nothing has been computed yet."""
    X, y = data(shape)
    scale = np.full(X.shape[1], 1 / 255) if shape == "bytes" else None
    return sm.Objective(LOSSES[loss], X, y, 1e-2, scale=scale, engine="cpu")


def fit(problem, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sm.minimize(problem, tol=1e-6, **options)


def interrupted(problem, after):
    """Interrupt a fit after some seconds; return it and the seconds until it ended, or None if it ended before."""
    sent = []

    def interrupt(*_):
        sent.append(time.perf_counter())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        found = fit(problem)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        return (found, time.perf_counter() - sent[0]) if sent else None
    finally:
        signal.signal(signal.SIGALRM, before)


def faults_of(problem, found):
    """Return the faults of an interrupted fit, except for those of the lower bound."""
    wrong = [] if found.interrupted and found.status == "Interrupted." else ["it is not marked as interrupted"]
    value = problem.value(found.W, found.b)
    if not abs(value - found.value) <= 1e-9 * abs(value):
        wrong.append(f"F is {value!r}, not {found.value!r}")
    if not found.lower_bound <= found.value or not found.gap >= (found.value - found.lower_bound) / found.value:
        wrong.append("the gap does not match value and bound")
    return wrong


def interruptions(shape, loss, count, rng):
    """Return the seconds that each of ``count`` interrupted fits took to end, and the faults found."""
    problem = objective(shape, loss)
    whole, seconds, wrong = fit(problem), [], []
    while len(seconds) < count:
        made = interrupted(objective(shape, loss), rng.uniform(0.0, whole.seconds))
        if made is not None:
            seconds.append(made[1])
            wrong += faults_of(problem, made[0])
            if not made[0].lower_bound <= whole.value or not whole.lower_bound <= made[0].value:
                wrong.append("its bound contradicts a fit without interruption")
            show_progress(
                f"{shape}, {loss}: {len(seconds)} of {count} interrupts, {len(wrong)} wrong", len(seconds)
            )
    return seconds, wrong


def show_progress(text, n_done):
    if n_done % PROGRESS_EVERY == 0:
        print(text, flush=True)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.interruptions import fit, objective
problem = objective(sys.argv[2], sys.argv[3])
print("ready", flush=True)
fit(problem, checkpoint=sys.argv[4], checkpoint_seconds=0)
print("done", flush=True)
"""


def kills(shape, loss, count, rng):
    """Kill a fit ``count`` times, then let it end; return whether the bits are the same, and the files left
    over."""
    problem = objective(shape, loss)
    whole = fit(problem)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.checkpoint"
        killed = 0
        while killed < count:
            command = [sys.executable, "-c", PROGRAM, str(ROOT), shape, loss, str(path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                process.stdout.readline()
                time.sleep(rng.uniform(0.0, 0.5 * whole.seconds))
                process.send_signal(signal.SIGKILL)
                killed += process.stdout.readline() != "done\n"
            show_progress(f"{shape}, {loss}: {killed} of {count} kills", killed)
        resumed = fit(problem, checkpoint=path, checkpoint_seconds=0)
        left = [entry.name for entry in Path(folder).iterdir()]
    return resumed.W.tobytes() == whole.W.tobytes() and resumed.b.tobytes() == whole.b.tobytes(), left


def main(n_interrupts=100, n_kills=50):
    rng = random.Random(0)
    cases = [(shape, loss) for shape in SHAPES for loss in LOSSES]
    for k, (shape, loss) in enumerate(cases):
        count = n_interrupts // len(cases) + (k < n_interrupts % len(cases))
        seconds, wrong = interruptions(shape, loss, count, rng)
        longest = max(seconds, default=0.0)
        text = f"{shape}, {loss}: all {count} interrupts, {len(wrong)} wrong, at most {longest:.2f} s to end"
        print(text, *wrong, flush=True)
    for k, (shape, loss) in enumerate(cases):
        count = n_kills // len(cases) + (k < n_kills % len(cases))
        same, left = kills(shape, loss, count, rng)
        bits = "the same bits" if same else "OTHER BITS"
        print(f"{shape}, {loss}: all {count} kills, {bits}, files left over: {left}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
