"""Count on CIFAR-10 how often the hinge and the cross-entropy disagree, each at the best λ on held-out images.

    python docs/learn/data/make_disagreement.py FOLDER

FOLDER holds the images, one folder per class below ``train`` and ``test``. They are reduced to 16 × 16 pixels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmargin as sm

REGS = [10.0 ** (-k / 2) for k in range(4, 10)]
TOL = 1e-3
HELD_OUT = 10_000


def thumbnails(X: NDArray[Any]) -> NDArray[np.float32]:
    """Return the means of 2 × 2 pixels, from 0 to 1."""
    blocks = np.asarray(X, np.float32).reshape(-1, 16, 2, 16, 2, 3)
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(-1, 768) / np.float32(255)


def main(folder: str) -> None:
    """Write ``disagreement.json`` beside this file."""
    data = sm.load_dataset(folder)
    classes = sorted(set(data.y))
    X, y = thumbnails(data.X), np.searchsorted(classes, data.y)
    X_test, truth = thumbnails(data.test.X), np.searchsorted(classes, data.test.y)
    order = np.random.default_rng(0).permutation(len(y))
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    result: dict[str, Any] = {"command": "python docs/learn/data/make_disagreement.py FOLDER", "n": len(truth)}
    found = {}
    for loss in (sm.Hinge(), sm.CrossEntropy()):

        def accuracy(fit: sm.Fit) -> float:
            return float(((X[held_out] @ fit.W + fit.b).argmax(1) == y[held_out]).mean())

        path = sm.path(sm.Objective(loss, X[rest], y[rest], reg=0.0), REGS, tol=TOL)
        accuracies = {reg: accuracy(fit) for reg, fit in path}
        print(loss.name, accuracies, file=sys.stderr, flush=True)
        reg = max(accuracies, key=accuracies.__getitem__)
        fit = sm.minimize(sm.Objective(loss, X, y, reg=reg), tol=TOL)
        found[loss.name] = (X_test @ fit.W + fit.b).argmax(1)
        result[loss.name] = {"reg": reg, "gap": float(fit.gap)}
    first, second = found["hinge"], found["cross_entropy"]
    result |= {
        "differ": int((first != second).sum()),
        "both": int(((first == truth) & (second == truth)).sum()),
        "only_hinge": int(((first == truth) & (second != truth)).sum()),
        "only_softmax": int(((first != truth) & (second == truth)).sum()),
        "neither": int(((first != truth) & (second != truth)).sum()),
    }
    Path(__file__).with_name("disagreement.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
