"""Fit both losses to the built-in digits, λ chosen on folds, and store weights, digits and predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import softmargin as sm

COMMAND = "python docs/learn/data/make_digits.py"
FACTOR = 10.0
"""Δ of the second hinge, whose λ is that of the first, divided by it."""


def describe(classifier: Any, data: Any) -> dict[str, Any]:
    """Return the weights, of shape (64, 10), and how good they are on the test set."""
    return {
        "reg": classifier.reg_,
        "gap": classifier.gap_,
        "correct": int((classifier.predict(data.test.X) == data.test.y).sum()),
        "W": [[round(w, 5) for w in row] for row in classifier.coef_.T.tolist()],
        "b": [round(b, 5) for b in classifier.intercept_.tolist()],
    }


def main() -> None:
    """Write ``digits.json`` beside this file."""
    data = sm.load_dataset("digits")
    found = {}
    for loss in ("hinge", "cross_entropy"):
        found[loss] = sm.LinearClassifierCV(losses=(loss,), scaling="none", tol=1e-5).fit(data.X, data.y)
    hinge, softmax = found["hinge"], found["cross_entropy"]
    rescaled = sm.LinearClassifier("hinge", delta=FACTOR, reg=hinge.reg_ / FACTOR, scaling="none", tol=1e-5).fit(
        data.X, data.y
    )

    truth = data.test.y
    first, second = hinge.predict(data.test.X), softmax.predict(data.test.X)

    def digit(i: int) -> dict[str, Any]:
        pixels = np.rint(16 * data.test.X[i]).astype(int).tolist()
        return {"label": int(truth[i]), "hinge": int(first[i]), "softmax": int(second[i]), "pixels": pixels}

    shown = [next(i for i in range(len(truth)) if truth[i] == first[i] == second[i] == c) for c in range(10)]
    result = {
        "command": COMMAND,
        "n": len(truth),
        "hinge": describe(hinge, data),
        "cross_entropy": describe(softmax, data),
        "rescaled": {
            "delta": FACTOR,
            "reg": rescaled.reg,
            "differ": int((rescaled.predict(data.test.X) != first).sum()),
            "size": float(np.linalg.norm(rescaled.coef_) / np.linalg.norm(hinge.coef_)),
        },
        "both": int(((first == truth) & (second == truth)).sum()),
        "only_hinge": int(((first == truth) & (second != truth)).sum()),
        "only_softmax": int(((first != truth) & (second == truth)).sum()),
        "neither": int(((first != truth) & (second != truth)).sum()),
        "digits": [digit(i) for i in shown],
        "disagree": [digit(i) for i in np.flatnonzero(first != second)],
    }
    text = json.dumps(result, separators=(",", ":"))
    Path(__file__).with_name("digits.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
