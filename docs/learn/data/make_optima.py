"""Certified optima along λ, for pages 3 and 8: weights as 8-bit pictures, values and accuracies as they are.

    python docs/learn/data/make_optima.py [FOLDER]

Without an argument it writes ``digits-optima.json``. FOLDER holds the images of CIFAR-10, one folder per class
below ``train`` and ``test``; it then writes ``cifar10-optima.json``, for thumbnails that average 2 × 2 pixels.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmargin as sm

LOSSES = (sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy())
FLOAT = np.float64


def digits() -> dict[str, Any]:
    """Return the digits as they are: 8 × 8 pixels from 0 to 1."""
    data = sm.load_dataset("digits")
    return {
        "X": data.X.astype(FLOAT), "y": data.y, "X_test": data.test.X.astype(FLOAT), "y_test": data.test.y,
        "classes": [str(c) for c in range(10)], "shape": (8, 8, 1),
        "regs": [10.0 ** (1 - k / 3) for k in range(20)], "tol": 1e-6,
    }  # fmt: skip


def thumbnails(folder: str) -> dict[str, Any]:
    """Return CIFAR-10 in 16 × 16 pixels from 0 to 1."""
    data = sm.load_dataset(folder)

    def smaller(X: NDArray[Any]) -> NDArray[np.float32]:
        blocks = np.asarray(X, np.float32).reshape(-1, 16, 2, 16, 2, 3)
        return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(-1, 768) / np.float32(255)

    classes = sorted(set(data.y))
    return {
        "X": smaller(data.X), "y": np.searchsorted(classes, data.y),
        "X_test": smaller(data.test.X), "y_test": np.searchsorted(classes, data.test.y),
        "classes": classes, "shape": (16, 16, 3),
        "regs": [10.0 ** (1 - k / 2) for k in range(13)], "tol": 1e-4,
    }  # fmt: skip


def notch(loss: Any, reg: float, fit: sm.Fit, data: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of one fit. Byte v of a picture means v · scale / 127."""
    scores, held_out = data["X"] @ fit.W + fit.b, data["X_test"] @ fit.W + fit.b
    scale = float(np.abs(fit.W).max())
    picture = np.round(fit.W.T * (127 / scale)).astype(np.int8)
    return {
        "reg": reg,
        "value": float(fit.value),
        "lower_bound": float(fit.lower_bound),
        "gap": float(fit.gap),
        "square": float(np.sum(fit.W.astype(FLOAT) ** 2)),
        "loss": float(np.mean(loss.values(scores, data["y"]))),
        "test_loss": float(np.mean(loss.values(held_out, data["y_test"]))),
        "accuracy": float(np.mean(scores.argmax(1) == data["y"])),
        "test_accuracy": float(np.mean(held_out.argmax(1) == data["y_test"])),
        "scale": scale,
        "weights": base64.b64encode(picture.tobytes()).decode(),
    }


def main(arguments: list[str]) -> None:
    """Fit and write."""
    data = thumbnails(arguments[0]) if arguments else digits()
    paths = {}
    for loss in LOSSES:
        found = sm.path(sm.Objective(loss, data["X"], data["y"], reg=0.0), data["regs"], tol=data["tol"])
        for reg, fit in found:
            print(f"{loss.name:14} {reg:8.2g} gap {fit.gap:.1e} {fit.seconds:6.1f} s", file=sys.stderr, flush=True)
        paths[loss.name] = [notch(loss, reg, fit, data) for reg, fit in found]
    name = "cifar10" if arguments else "digits"
    record = {
        "command": "python docs/learn/data/make_optima.py" + (" FOLDER" if arguments else ""),
        "n_samples": len(data["y"]),
        "n_test": len(data["y_test"]),
        "classes": data["classes"],
        "shape": data["shape"],
        "paths": paths,
    }
    (Path(__file__).parent / f"{name}-optima.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
