"""Numbers of the page on scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

W = np.array([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0.0, -0.45, -0.2, 0.03]])
X = np.array([-15.0, 22.0, -44.0, 56.0])
B = np.array([0.0, 0.2, -0.3])


def numbers() -> dict[str, Any]:
    """Return the numbers by name."""
    stored = json.loads((Path(__file__).parents[1] / "data" / "digits.json").read_text("utf-8"))
    weights, intercepts = np.array(stored["hinge"]["W"]), np.array(stored["hinge"]["b"])
    pixels = np.array(stored["digits"][3]["pixels"]) / 16
    scores = pixels @ weights + intercepts
    second, first = np.argsort(scores)[-2:]
    # What each pixel adds to the score of 8 beyond that of 3, if it becomes white or black.
    slopes = weights[:, 8] - weights[:, 3]
    gains = np.maximum(-slopes * pixels, slopes * (1 - pixels))
    best = int(gains.argmax())
    doubled = W @ (2 * X) + B
    return {
        **{f"s{c}": float(s) for c, s in enumerate(W @ X + B)},
        **{f"ones{c}": float(s) for c, s in enumerate(W.sum(axis=1) + B)},
        **{f"doubled{c}": float(s) for c, s in enumerate(doubled)},
        "doubled_best": int(doubled.argmax()),
        "n": stored["n"],
        "accuracy": stored["hinge"]["correct"] / stored["n"],
        "n_weights": weights.size + intercepts.size,
        "second": int(second),
        "three": float(scores[first]),
        "lead": float(scores[first] - scores[second]),
        "row": best // 8 + 1,
        "column": best % 8 + 1,
        "gain": float(gains[best]),
        "lead_over_8": float(scores[3] - scores[8]),
        "becomes": "black" if slopes[best] > 0 else "white",
    }
