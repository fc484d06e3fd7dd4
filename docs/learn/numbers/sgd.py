"""Numbers of page 8, on SGD and the best possible."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import softmargin as sm

DATA = Path(__file__).parents[1] / "data"


def numbers() -> dict[str, Any]:
    """Return the numbers by their keys."""
    stored = json.loads((DATA / "cifar10-sgd.json").read_text("utf-8"))
    reported = json.loads((DATA / "reported-accuracies.json").read_text("utf-8"))
    digits = sm.load_dataset("digits")
    own_reg = 1e-3
    objective = sm.Objective(sm.CrossEntropy(), digits.X, digits.y, own_reg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.ConvergenceWarning)
        own = sm.minimize(objective, solver=sm.SGD(learning_rate=1.0, epochs=20))
    best = sm.minimize(objective)
    zero = float(sm.Hinge().values(np.zeros((1, 10)), [0])[0])
    outlier, *softmax = sorted(reported["cross_entropy"])
    found: dict[str, Any] = {
        "n_digits": len(digits.y),
        "n_photos": stored["n_samples"],
        "n_test": stored["n_test"],
        "batch": stored["batch"],
        "epochs": stored["epochs"],
        "more_epochs": max(run["epochs"] for run in stored["runs"]),
        "reported_hinge_n": len(reported["hinge"]),
        "reported_hinge_low": min(reported["hinge"]),
        "reported_hinge_high": max(reported["hinge"]),
        "reported_softmax_n": len(softmax),
        "reported_softmax_low": min(softmax),
        "reported_softmax_high": max(softmax),
        "reported_outlier": outlier,
        "example_gap": (0.43 - 0.40) / 0.43,
        "zero_hinge": zero,
        "own_reg": own_reg,
        "own_value": own.value,
        "own_best": best.value,
        "own_gap": (own.value - best.lower_bound) / own.value,
    }
    for optimum in stored["optima"]:
        loss = optimum["loss"]
        for key in ("reg", "value", "accuracy"):
            found[f"{loss}_{key}"] = optimum["test_accuracy" if key == "accuracy" else key]
        found[f"{loss}_proved"] = optimum["gap"]
        for features in ("pixels", "centered"):
            runs = [run for run in stored["runs"] if (run["loss"], run["features"]) == (loss, features)]
            usual = sorted((run for run in runs if run["epochs"] == stored["epochs"]), key=lambda run: run["gap"])
            found[f"{loss}_{features}_gap"] = usual[0]["gap"]
            found[f"{loss}_{features}_rate"] = usual[0]["rate"]
            found[f"{loss}_{features}_worst"] = usual[-1]["gap"]
            found[f"{loss}_{features}_accuracy"] = usual[0]["test_accuracies"][-1]
            if features == "centered":
                found[f"{loss}_more_gap"] = next(run["gap"] for run in runs if run not in usual)
    hinge = next(optimum for optimum in stored["optima"] if optimum["loss"] == "hinge")
    found["zero_gap"] = (zero - hinge["lower_bound"]) / zero
    return found
