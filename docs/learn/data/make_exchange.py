"""Fit both hinges to the nine points of the plane, for every Δ and λ on its own, and store the optima."""

from __future__ import annotations

import json
from pathlib import Path

import softmargin as sm

COMMAND = "python docs/learn/data/make_exchange.py"
X = [
    [0.5, 0.4],
    [0.8, 0.3],
    [0.3, 0.8],
    [-0.4, 0.3],
    [-0.3, 0.7],
    [-0.7, 0.2],
    [0.7, -0.4],
    [0.5, -0.6],
    [-0.4, -0.5],
]
Y = [0, 0, 0, 1, 1, 1, 2, 2, 2]
DELTAS = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
REGS = [0.1 * 2.0**k for k in range(-9, 5)]
TOL = 1e-10


def main() -> None:
    """Write ``exchange.json`` beside this file; ``optima`` has, for each loss, Δ and λ: W (2, 3), b and F."""
    optima = {}
    for kind in (sm.Hinge, sm.SquaredHinge):
        optima[kind.name] = []
        for delta in DELTAS:
            fits = [sm.minimize(sm.Objective(kind(delta), X, Y, reg=reg), tol=TOL) for reg in REGS]
            rows = [[round(float(v), 8) for v in (*fit.W.ravel(), *fit.b, fit.value)] for fit in fits]
            optima[kind.name].append(rows)
    result = {"command": COMMAND, "tol": TOL, "X": X, "y": Y, "deltas": DELTAS, "regs": REGS, "optima": optima}
    text = json.dumps(result, separators=(",", ":"))
    Path(__file__).with_name("exchange.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
