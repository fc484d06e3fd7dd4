"""Time of one evaluation of the hinge objective on digits: loops, NumPy, and the package, for page 7.

    python docs/learn/data/make_speed.py

It writes ``textbook-speed.json``: the least CPU time of several calls, in seconds, for the first N digits.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import softmargin as sm
from softmargin.textbook import svm_loss_naive, svm_loss_vectorized


def least_cpu(work: Callable[[], float], seconds: float = 0.5) -> float:
    """Return the least CPU time of the calls that fit in this time, at least three."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def main() -> None:
    """Measure and write."""
    data = sm.load_dataset("digits")
    rng = np.random.default_rng(0)
    W, b = 0.1 * rng.normal(size=(64, 10)), np.zeros(10)
    rows = []
    for n in (10, 30, 100, 300, 1000, 1442):
        X, y = data.X[:n].astype(np.float64), data.y[:n]
        objective = sm.Objective(sm.Hinge(), X, y, 1e-3, n_classes=10, n_threads=1)
        rows.append({
            "n": n,
            "naive": least_cpu(lambda X=X, y=y: svm_loss_naive(W, X, y, 1e-3)),
            "vectorized": least_cpu(lambda X=X, y=y: svm_loss_vectorized(W, X, y, 1e-3)),
            "objective": least_cpu(lambda o=objective: o.value(W, b)),
        })  # fmt: skip
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    record = {
        "command": "python docs/learn/data/make_speed.py",
        "machine": f"{platform.machine()}, {platform.system()}, {versions}",
        "n_features": 64, "n_classes": 10, "rows": rows,
    }  # fmt: skip
    (Path(__file__).parent / "textbook-speed.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
