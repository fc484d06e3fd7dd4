"""Ctrl-C and kills at random moments: ``python -m tests.interruptions [CTRL_C] [KILLS]`` prints what came of them.

The fits are large enough for these moments to fall anywhere: into passes, sweeps, factorisations, certificates and
the writing of checkpoints. A test runs a few of each; how long an answer takes is printed and asserted by nobody.
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


@cache
def data(shape):
    n, D, C = SHAPES[shape]
    rng = np.random.default_rng(0)
    y = np.arange(n) % C
    X = rng.normal(size=(C, D))[y] + 2.0 * rng.normal(size=(n, D))
    return np.clip(128 + 20 * X, 0, 255).astype(np.uint8) if shape == "bytes" else X.astype(np.float32), y


def objective(shape, loss):
    """Return an objective for which nothing is prepared."""
    X, y = data(shape)
    scale = np.full(X.shape[1], 1 / 255) if shape == "bytes" else None
    return sm.Objective(LOSSES[loss], X, y, 1e-2, scale=scale, engine="cpu")


def fit(problem, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return sm.minimize(problem, tol=1e-6, **options)


def interrupted(problem, after):
    """Return the fit that Ctrl-C ends after so many seconds, and how long that took; None if it was done."""
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


def what_is_wrong(problem, found):
    """Return what is not true of an interrupted fit; the lower bound is held against a whole fit elsewhere."""
    wrong = [] if found.interrupted and found.status == "Interrupted." else ["it does not say so"]
    value = problem.value(found.W, found.b)
    if not abs(value - found.value) <= 1e-9 * abs(value):
        wrong.append(f"F is {value!r}, not {found.value!r}")
    if not found.lower_bound <= found.value or not found.gap >= (found.value - found.lower_bound) / found.value:
        wrong.append("the gap is not that of value and bound")
    return wrong


def interruptions(shape, loss, count, rng):
    """Return the seconds that each of ``count`` interrupted fits took to end, and what was wrong."""
    problem = objective(shape, loss)
    whole, seconds, wrong = fit(problem), [], []
    while len(seconds) < count:
        made = interrupted(objective(shape, loss), rng.uniform(0.0, whole.seconds))
        if made is not None:
            seconds.append(made[1])
            wrong += what_is_wrong(problem, made[0])
            if not made[0].lower_bound <= whole.value or not whole.lower_bound <= made[0].value:
                wrong.append("its bound contradicts a whole fit")
    return seconds, wrong


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
    """Kill a fit ``count`` times, then let it end; return whether the bits are the same, and what lies about."""
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
        resumed = fit(problem, checkpoint=path, checkpoint_seconds=0)
        litter = [entry.name for entry in Path(folder).iterdir()]
    return resumed.W.tobytes() == whole.W.tobytes() and resumed.b.tobytes() == whole.b.tobytes(), litter


def main(n_interrupts=100, n_kills=50):
    rng = random.Random(0)
    cases = [(shape, loss) for shape in SHAPES for loss in LOSSES]
    for k, (shape, loss) in enumerate(cases):
        count = n_interrupts // len(cases) + (k < n_interrupts % len(cases))
        seconds, wrong = interruptions(shape, loss, count, rng)
        longest = max(seconds, default=0.0)
        print(f"{shape}, {loss}: {count} times Ctrl-C, {len(wrong)} wrong, at most {longest:.2f} s", *wrong)
    for k, (shape, loss) in enumerate(cases):
        count = n_kills // len(cases) + (k < n_kills % len(cases))
        same, litter = kills(shape, loss, count, rng)
        print(f"{shape}, {loss}: {count} kills, {'the same bits' if same else 'OTHER BITS'}, litter: {litter}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
