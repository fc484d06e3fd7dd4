"""Numbers of the page on Δ."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

GRID = [10.0**k for k in range(-2, 3)]
"""Values of Δ, and of λ, of a search over both."""


def numbers() -> dict[str, Any]:
    """Return the numbers by name."""
    data = Path(__file__).parents[1] / "data"
    stored = json.loads((data / "exchange.json").read_text("utf-8"))
    digits = json.loads((data / "digits.json").read_text("utf-8"))
    deltas, regs = stored["deltas"], stored["regs"]
    one, fourfold = deltas.index(1.0), deltas.index(4.0)
    base = regs.index(0.1)
    found = {}
    for loss in ("hinge", "squared_hinge"):
        optima = np.array(stored["optima"][loss])[:, :, :6]
        error = 0.0
        for i, k in itertools.product(range(len(deltas)), range(len(regs))):
            to = k + round(np.log2(deltas[i])) if loss == "hinge" else k
            if 0 <= to < len(regs):
                error = max(error, float(np.abs(optima[i, k] / (deltas[i] * optima[one, to]) - 1).max()))
        found[f"{loss}_error"] = error
    hinge, rescaled = stored["optima"]["hinge"], digits["rescaled"]
    return found | {
        "left": hinge[fourfold][base - 2][0],
        "right": hinge[one][base][0],
        "reg_left": regs[base - 2],
        "reg_right": regs[base],
        "n_fits": 2 * len(deltas) * len(regs),
        "tol": stored["tol"],
        "n_grid": len(GRID) ** 2,
        "n_hinge": len({round(np.log10(delta * reg)) for delta in GRID for reg in GRID}),
        "n_squared": len(GRID),
        "digits_reg": digits["hinge"]["reg"],
        "digits_differ": rescaled["differ"],
        "digits_size": rescaled["size"],
        "n_test": digits["n"],
        "far_reg": 0.01 / 100,
    }
