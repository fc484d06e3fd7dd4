"""Fits of wide dense features: passes, seconds and memory, against the diagonal preconditioner.

    python benchmarks/wide.py [--features D ...] [--samples N] [--decay P ...] [--length L ...] [--reg λ ...]
                              [--loss NAME ...] [--preconditioner NAME ...] [--tol GAP] [--max-passes N]
                              [--threads N]

The features are made up: float32 rows of mean squared length L whose covariance has the eigenvalues k^-P, in
directions that mix all features (two cosine transforms with random signs). Of 10 classes, each sample has the one
with the largest score, from the leading directions plus noise. Each fit runs in a process of its own that first
reads X into memory; its passes, seconds (wall and CPU) and peak memory are printed, with the preconditioners

- ``default``: the one that is chosen for the data,
- ``diagonal``: the variances of the features alone,
- ``single``, ``double``: an inverse factor of the (D, D) covariance in float32 or float64, whatever its size,
- ``low-rank``: the randomised approximation, whatever D.

The ratio is that of the seconds to those of the default. A fit ends with a certified gap of at most ``tol`` or
after the largest number of passes; ``>`` marks the latter.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from scipy.fft import dct

import softmargin as sm
from softmargin.engines import in_memory
from softmargin.engines.cpu import blocks
from softmargin.engines.preconditioners import DiagonalPreconditioner

N_CLASSES, N_LEADING, ROWS = 10, 200, 512
LOSSES = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}
PRECONDITIONERS = ("default", "diagonal", "single", "double", "low-rank")


def make(folder, n, D, decay, length):
    """Write X.npy and y.npy."""
    rng = np.random.default_rng(0)
    spread = np.arange(1.0, D + 1.0) ** -decay
    spread = np.sqrt(spread * (length / spread.sum())).astype(np.float32)
    signs = rng.choice([-1.0, 1.0], size=(2, D)).astype(np.float32)
    to_scores = rng.normal(size=(N_LEADING, N_CLASSES)) / np.sqrt(np.arange(1, N_LEADING + 1))[:, None]
    X, y = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n, D)), np.empty(n, np.int64)
    for start in range(0, n, ROWS):
        rows = rng.standard_normal((min(ROWS, n - start), D), dtype=np.float32)
        noise = rng.gumbel(size=(len(rows), N_CLASSES))
        y[start : start + ROWS] = (rows[:, :N_LEADING] @ to_scores + noise).argmax(axis=1)
        mixed = dct(signs[0] * spread * rows, norm="ortho")
        X[start : start + ROWS] = dct(signs[1] * mixed, norm="ortho")
    np.save(folder / "y.npy", y)


def diagonal(engine, affine, moments, single):
    return DiagonalPreconditioner((moments.variance + (moments.mean - affine.mean) ** 2) * affine.scale**2)


def fit(folder, loss, reg, preconditioner, tol, max_passes, threads):
    """Print the results of one fit as JSON."""
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    warnings.simplefilter("ignore", sm.errors.ConvergenceWarning)
    sm.minimize(sm.Objective(LOSSES[loss], X[:500], y[:500], 1.0, n_threads=threads))  # compiles
    if preconditioner == "diagonal":
        in_memory.InMemoryEngine.preconditioner = diagonal
    elif preconditioner != "default":
        in_memory.DOUBLE_FEATURES = blocks.DOUBLE_FEATURES = X.shape[1] if preconditioner == "double" else 0
        in_memory._SINGLE_FEATURES = 0 if preconditioner == "low-rank" else X.shape[1]
    started, cpu = time.perf_counter(), time.process_time()
    found = sm.minimize(
        sm.Objective(LOSSES[loss], X, y, reg, n_threads=threads), tol=tol, max_passes=max_passes
    )  # fmt: skip
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1.0 if platform.system() == "Darwin" else 1024.0
    print(json.dumps([found.gap, found.n_passes, seconds, cpu, peak * unit / 1e9, found.value]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[16384])
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--decay", type=float, nargs="+", default=[1.5])
    parser.add_argument("--length", type=float, nargs="+", default=[1.0])
    parser.add_argument("--reg", type=float, nargs="+", default=[1e-4, 1e-5])
    parser.add_argument("--loss", nargs="+", choices=LOSSES, default=["cross_entropy", "squared_hinge"])
    parser.add_argument("--preconditioner", nargs="+", choices=PRECONDITIONERS, default=["default", "diagonal"])
    parser.add_argument("--tol", type=float, default=1e-4)
    parser.add_argument("--max-passes", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fit", nargs=4, help=argparse.SUPPRESS)  # FOLDER LOSS λ PRECONDITIONER, in a process
    options = parser.parse_args()
    limits = options.tol, options.max_passes, options.threads
    if options.fit:
        folder, loss, reg, preconditioner = options.fit
        return fit(Path(folder), loss, float(reg), preconditioner, *limits)
    print(f"{time.strftime('%Y-%m-%d')}, softmargin {sm.__version__}, NumPy {np.__version__}, tol {options.tol:g}")
    for D, decay, length in product(options.features, options.decay, options.length):
        print(f"\n{options.samples:,} × {D:,}, eigenvalues k^-{decay:g}, mean squared length {length:g}")
        print("loss            reg    preconditioner       gap  passes  seconds    CPU  ratio  peak GB         F")
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), options.samples, D, decay, length)
            for loss, reg in product(options.loss, options.reg):
                first = None
                for preconditioner in options.preconditioner:
                    names = [folder, loss, str(reg), preconditioner]
                    settings = ["--tol", limits[0], "--max-passes", limits[1], "--threads", limits[2]]
                    command = [sys.executable, __file__, *map(str, settings), "--fit", *names]
                    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    gap, passes, seconds, cpu, peak, value = json.loads(output)
                    first = first or seconds
                    sign = " " if gap <= options.tol else ">"
                    print(
                        f"{loss:14} {reg:6.0e}  {preconditioner:14} {gap:9.1e} {sign}{passes:6} {seconds:8.1f} "
                        f"{cpu:6.1f} {seconds / first:6.1f} {peak:8.2f} {value:9.5f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
