"""Models that no fit has made."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

import softmargin as sm
from softmargin.losses import CrossEntropy
from softmargin.model import Model
from softmargin.preprocessing import Preprocessing

EXACT = {"reg": 0.1 + 0.2, "value": 1 / 3, "lower_bound": 5e-324, "gap": 1e308, "tol": 1e-4, "seconds": 2.5}


def model(D=5, classes=("cat", "dog", "owl"), loss=None, seed=0, **changes):
    rng = np.random.default_rng(seed)
    C = len(classes)
    settings = {
        "W": rng.standard_normal((D, C)),
        "b": rng.standard_normal(C),
        "classes": np.array(classes),
        "loss": CrossEntropy() if loss is None else loss,
        "preprocessing": Preprocessing("standard", rng.standard_normal(D), rng.random(D)),
        "converged": False,
        "n_passes": 7,
        "n_samples": 100,
        "fingerprint": "ab" * 32,
        "created": "2024-05-06T07:08:09+00:00",
        **EXACT,
    }
    return Model(**(settings | changes))


def same(first, second):
    """Every field has the same type and the same bits; the order of a dict is not content."""
    for name in (field.name for field in dataclasses.fields(Model)):
        a, b = getattr(first, name), getattr(second, name)
        for one, other in zip(a, b, strict=True) if name == "preprocessing" else [(a, b)]:
            assert type(one) is type(other), name
            if isinstance(one, np.ndarray):
                assert one.dtype == other.dtype, name
                assert one.shape == other.shape, name
                assert one.tobytes() == other.tobytes(), name
            elif isinstance(one, dict):
                assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True), name
            else:
                assert repr(one) == repr(other), name
    return True


def wide_model(n_features: int, classes: list[str], seed: int = 0, **settings) -> Model:
    """Return a model without fitting one."""
    rng = np.random.default_rng(seed)
    D, C = n_features, len(classes)
    record = {"value": 1.0, "lower_bound": 0.5, "gap": 0.5, "tol": 1e-4, "converged": False, "n_passes": 3}
    record |= {"seconds": 1.0, "n_samples": 9, "fingerprint": "0" * 64, "loss": sm.Hinge(), "reg": 1e-2}
    return Model(
        W=rng.normal(size=(D, C)) / D,
        b=rng.normal(size=C),
        classes=np.array(classes),
        preprocessing=Preprocessing("none", np.zeros(D), np.ones(D)),
        **{**record, **settings},
    )
