"""Count on CIFAR-10 how often the hinge and the cross-entropy disagree, λ of each chosen on folds.

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

COMMAND = "python docs/learn/data/make_disagreement.py cifar10-images"
REGS = [10.0 ** (-k / 2) for k in range(2, 10)]


def thumbnails(X: NDArray[Any]) -> NDArray[np.float32]:
    """Return the means of 2 × 2 pixels, from 0 to 1."""
    blocks = np.asarray(X, np.float32).reshape(-1, 16, 2, 16, 2, 3)
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(-1, 768) / np.float32(255)


def main(folder: str) -> None:
    """Write ``disagreement.json`` beside this file."""
    data = sm.load_dataset(folder)
    X, X_test, truth = thumbnails(data.X), thumbnails(data.test.X), np.asarray(data.test.y)
    result: dict[str, Any] = {"command": COMMAND, "n": len(truth)}
    found = {}
    for loss in ("hinge", "cross_entropy"):
        classifier = sm.LinearClassifierCV(losses=(loss,), regs=REGS, cv=3, scaling="none", tol=1e-3)
        found[loss] = classifier.fit(X, data.y).predict(X_test)
        result[loss] = {"reg": classifier.reg_, "gap": classifier.gap_}
        print(loss, classifier.reg_, float((found[loss] == truth).mean()), flush=True)
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
