"""Margin losses at small λ: how many passes' worth of time a proof of 1e-4 takes.

    python benchmarks/margins.py [FOLDER] [--only NAME] [--json FILE]

For hinge and squared hinge, λ from 1e-2 to 1e-8, on digits, on banking77 if FOLDER holds
``banking77-minilm.npz``, and on three made-up sets: fewer samples than features, four times as many samples as
features (both separable), and 200 classes. The time of a fit is divided by the median time of a float64 pass over
the same data in the same run.
"""

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np

import softmargin as sm

REGS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
LOSSES = (sm.Hinge(), sm.SquaredHinge())
TOL, MOST, MAX_PASSES = 1e-4, 100.0, 2000


def made_up(n_samples, n_features, n_classes, spread, seed):
    """Return Gaussian classes around random centres, float32; a larger ``spread`` brings them closer."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_classes, n_features)) / np.sqrt(n_features)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    noise = rng.standard_normal((n_samples, n_features)) / np.sqrt(n_features)
    return (centres[y] + spread * noise).astype(np.float32), y


def data_sets(folder):
    digits = sm.load_dataset("digits")
    yield "digits", digits.X.astype(np.float64), np.asarray(digits.y)
    if folder is not None:
        banking = sm.load_dataset(Path(folder) / "banking77-minilm.npz")
        yield "banking77", banking.X, np.unique(banking.y, return_inverse=True)[1]
    yield "N < D", *made_up(300, 2000, 10, 1.0, 0)
    yield "N = 4 D", *made_up(2000, 500, 20, 1.0, 1)
    yield "C = 200", *made_up(10_000, 128, 200, 0.5, 2)


def pass_seconds(objective, rng):
    """Return the median time of value and gradient in float64."""
    W = rng.standard_normal((objective.n_features, objective.n_classes))
    b = np.zeros(objective.n_classes)
    seconds = []
    for _ in range(11):
        started = time.perf_counter()
        objective.value_and_grad(W, b)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    print(f"{'data':10} {'loss':13} {'reg':>6} {'F':>12} {'gap':>8} {'passes':>7} {'seconds':>8} {'in passes':>9}")
    for name, X, y in data_sets(options.folder):
        if options.only not in name:
            continue
        for loss in LOSSES:
            sm.minimize(sm.Objective(loss, X, y, 1e-3), max_passes=60)  # compile before the clock starts
            sm.minimize(sm.Objective(loss, X, y, 1e-7), max_passes=60)
            unit = pass_seconds(sm.Objective(loss, X, y, 1e-3), np.random.default_rng(0))
            for reg in REGS:
                started = time.perf_counter()
                fit = sm.minimize(sm.Objective(loss, X, y, reg), tol=TOL, max_passes=MAX_PASSES)
                seconds = time.perf_counter() - started
                ratio = seconds / unit
                good = fit.converged and ratio <= MOST
                rows.append(
                    [name, loss.name, reg, fit.value, fit.gap, fit.n_passes, seconds, ratio, good, fit.status]
                )
                print(
                    f"{name:10} {loss.name:13} {reg:6.0e} {fit.value:12.6g} {fit.gap:8.1e} {fit.n_passes:7d} "
                    f"{seconds:8.2f} {ratio:9.0f} {'' if good else '  <-- ' + fit.status}",
                    flush=True,
                )
    n_good = sum(row[8] for row in rows)
    print(f"{n_good} of {len(rows)} proved to {TOL:g} in the time of {MOST:g} passes")
    if options.json:
        Path(options.json).write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
