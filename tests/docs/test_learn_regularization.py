"""Page 3: the numbers beside its controls are those of the library."""

from __future__ import annotations

import base64
from itertools import pairwise

import numpy as np
import pytest

import softmargin as sm
from softmargin.losses import make_loss
from tests.docs.parts import LEARN, LOSSES, Part, stored

PAGE = "learn/03-regularization.html"
SIX = np.array([[1.2], [0.7], [-0.4], [-0.9], [0.3], [-1.1]]), np.array([0, 0, 0, 1, 1, 1])


def test_scores_and_penalties(site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "penalty")
    for label, square in (("(1, 0, 0, 0)", 1.0), ("(0.5, 0.5, 0, 0)", 0.5), ("(0.25, 0.25, 0.25, 0.25)", 0.25)):
        part.press(label)
        assert (part.value("penalty-score"), part.value("penalty-square")) == (1.0, square)
    w = np.array([0.5, -0.25, 1.0, 0.75])
    for k, value in enumerate(w):
        part.slide(k, value)
    assert part.value("penalty-score") == pytest.approx(w.sum(), rel=1e-15)
    assert part.value("penalty-square") == pytest.approx(w @ w, rel=1e-15)
    part.press("Same score, equal weights")
    assert part.value("penalty-square") == pytest.approx(part.value("penalty-least"), rel=1e-15)
    assert part.value("penalty-score") == pytest.approx(w.sum(), rel=1e-15)


@pytest.mark.parametrize(("place", "name"), [(0, "digits-optima"), (1, "cifar10-optima")])
def test_each_step_of_the_slider_shows_its_optimum(place, name, site, browser):
    browser.open(site / PAGE)
    part, paths = Part(browser, "lambda-path", place), stored(name)["paths"]
    shown = {"path-lambda": "reg", "path-value": "value", "path-bound": "lower_bound", "path-gap": "gap",
             "path-square": "square", "path-loss": "loss", "path-test-loss": "test_loss", "path-scale": "scale",
             "path-accuracy": "accuracy", "path-test-accuracy": "test_accuracy"}  # fmt: skip
    for label, loss in LOSSES.items():
        part.press(label)
        last = len(paths[loss]) - 1
        for k, notch in enumerate(paths[loss]):
            part.slide(0, last - k)
            assert {key: part.value(key) for key in shown} == {key: notch[field] for key, field in shown.items()}
            assert part.value("path-penalty") + notch["loss"] == pytest.approx(notch["value"], rel=1e-6)
    part.press("Same contrast for all λ")
    assert part.run("part.querySelectorAll('canvas.weights').length") == 10
    assert browser.problems == []


def test_stored_optima_are_those_of_the_library():
    data = sm.load_dataset("digits")
    X, y = data.X.astype(np.float64), data.y
    for loss, path in stored("digits-optima")["paths"].items():
        for notch in path[3::6]:
            objective = sm.Objective(make_loss(loss), X, y, notch["reg"])
            fit = sm.minimize(objective, tol=1e-6)
            assert notch["value"] == pytest.approx(fit.value, rel=1e-6)
            assert notch["lower_bound"] <= fit.value
            assert fit.lower_bound <= notch["value"]
            pixels = np.frombuffer(base64.b64decode(notch["weights"]), np.int8).reshape(10, 64).T
            W = pixels * (notch["scale"] / 127)
            assert np.abs(W - fit.W).max() <= 0.01 * notch["scale"]
            rounding = objective.value(W, fit.b) - fit.value  # of the pictures
            assert -1e-6 * fit.value <= rounding <= 0.1 * fit.value


def test_stored_optima_are_proved_and_small():
    for name, tol in (("digits-optima", 1e-6), ("cifar10-optima", 1e-4)):
        for path in stored(name)["paths"].values():
            assert all(0 <= notch["gap"] <= tol for notch in path)
            assert all(a["reg"] > b["reg"] and a["value"] > b["value"] for a, b in pairwise(path))
    assert sum(path.stat().st_size for path in (LEARN / "data").glob("*.json")) < 1_000_000


@pytest.mark.parametrize(("copies", "exponent"), [(1, -1.0), (4, -1.0), (10, -2.0)])
def test_the_penalty_is_added_once(copies, exponent, site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "penalty-once")
    part.slide(0, copies)
    part.slide(1, exponent)
    X, y = np.repeat(SIX[0], copies, axis=0), np.repeat(SIX[1], copies)
    reg, n = 10.0**exponent, len(y)
    meant = {
        "mean of losses + λΣW²": reg,
        "sum of losses + λΣW²": reg / n,
        "mean of losses + λΣW² for each sample": reg * n,
    }
    for label, own in meant.items():
        part.press(label)
        fit = sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, own, fit_intercept=False), tol=1e-10)
        assert part.value("once-n") == n
        assert part.value("once-reg") == pytest.approx(own, rel=1e-14)
        assert part.value("once-w") == pytest.approx(fit.W[0, 0], rel=1e-4)
        scale = n if label.startswith("sum") else 1
        assert part.value("once-data") + part.value("once-penalty") == pytest.approx(scale * fit.value, rel=1e-9)
