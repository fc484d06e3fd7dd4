"""Page 8: F, the bound and the gap beside SGD are those of the library for the weights in the browser."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm
from softmargin.losses import make_loss
from tests.docs.parts import LOSSES, Part, stored

PAGE = "learn/08-sgd.html"
BATCHES = [1, 4, 16, 64, 256, 1442]


def compare(part, data, loss, notch):
    """Compare what is shown with the library, at the weights in the browser."""
    W, b = (np.array(each) for each in part.run("Object.values(part.firstElementChild.weights())"))
    value = sm.Objective(make_loss(loss), data.X.astype(np.float64), data.y, notch["reg"]).value(W, b)
    assert part.value("sgd-value") == pytest.approx(value, rel=1e-11)
    assert part.value("sgd-bound") == notch["lower_bound"] <= value
    assert part.value("sgd-gap") == pytest.approx((value - notch["lower_bound"]) / value, rel=1e-9)
    assert part.value("sgd-accuracy") == pytest.approx(np.mean((data.X @ W + b).argmax(1) == data.y), abs=1e-15)
    test = np.mean((data.test.X @ W + b).argmax(1) == data.test.y)
    assert part.value("sgd-test") == pytest.approx(test, abs=1e-15)
    assert part.value("sgd-best") == notch["test_accuracy"]
    return W, b


def test_every_control_gives_the_numbers_of_the_library(site, browser):
    browser.open(site / PAGE)
    part, data, paths = Part(browser, "sgd"), sm.load_dataset("digits"), stored("digits-optima")["paths"]
    last = len(paths["hinge"]) - 1
    for label, loss in LOSSES.items():
        for notch, rate, batch in ((12, -1.0, 3), (5, -2.0, 1), (17, 0.0, 4)):
            part.press(label)
            part.slide(4, last - notch)
            part.slide(0, rate - 1.0 if loss == "squared_hinge" else rate)
            part.slide(1, batch)
            assert part.value("sgd-epochs") == 0
            compare(part, data, loss, paths[loss][notch])
            part.press("One epoch")
            part.press("One epoch")
            assert part.value("sgd-epochs") == 2
            compare(part, data, loss, paths[loss][notch])
    assert browser.problems == []


def test_a_batch_of_all_samples_is_gradient_descent(site, browser):
    browser.open(site / PAGE)
    part, data = Part(browser, "sgd"), sm.load_dataset("digits")
    notch = stored("digits-optima")["paths"]["cross_entropy"][12]
    part.slide(0, -0.5)
    part.slide(1, BATCHES.index(len(data.y)))
    part.slide(2, 0.5)
    objective = sm.Objective(sm.CrossEntropy(), data.X.astype(np.float64), data.y, notch["reg"])
    W, b = np.zeros((64, 10)), np.zeros(10)
    for epoch in range(3):
        part.press("One epoch")
        _, dW, db = objective.value_and_grad(W, b)
        W, b = W - 10**-0.5 * 0.5**epoch * dW, b - 10**-0.5 * 0.5**epoch * db
    ours = compare(part, data, "cross_entropy", notch)
    np.testing.assert_allclose(ours[0], W, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours[1], b, rtol=0, atol=1e-12)


def test_the_seed_determines_the_run_and_divergence_is_told(site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "sgd")
    values = {}
    for seed in (0, 3, 3, 0):
        part.slide(3, seed)
        part.press("One epoch")
        values.setdefault(seed, set()).add(part.value("sgd-value"))
    assert all(len(found) == 1 for found in values.values())
    assert values[0] != values[3]
    part.press("Start again")
    part.press("Run")
    browser.run("new Promise(done => setTimeout(done, 1500))")
    part.press("Pause")
    assert part.value("sgd-epochs") >= 1
    assert part.run("part.querySelector('.note .wrong')") is None
    part.slide(4, 19)  # λ = 10: each step multiplies the weights by 1 - 2 · 10 · 10
    part.slide(0, 1.0)
    part.press("One epoch")
    assert "diverged" in part.text(".note .wrong")
    part.press("One epoch")
    assert part.value("sgd-epochs") == 1


def test_runs_on_photographs_are_the_stored_ones(site, browser):
    browser.open(site / PAGE)
    part, record = Part(browser, "sgd-photos"), stored("cifar10-sgd")
    for label, optimum in zip(("Hinge", "Cross-entropy"), record["optima"], strict=True):
        assert LOSSES[label] == optimum["loss"]
        for tab, features in (("Pixels from 0 to 1", "pixels"), ("Average picture subtracted", "centered")):
            part.press(label)
            part.press(tab)
            assert part.value("photos-best") == optimum["value"]
            assert part.value("photos-best-accuracy") == optimum["test_accuracy"]
            runs = [run for run in record["runs"] if (run["loss"], run["features"]) == (optimum["loss"], features)]
            assert len(runs) >= 4
            for k, run in enumerate(runs):
                assert part.value(f"photos-value-{k}") == run["values"][-1] > optimum["lower_bound"]
                assert part.value(f"photos-gap-{k}") == pytest.approx(run["gap"], rel=1e-12)
                assert part.value(f"photos-accuracy-{k}") == run["test_accuracies"][-1]


def test_the_proved_optima_of_cifar10(site):
    hinge, softmax = stored("cifar10-sgd")["optima"]
    assert round(hinge["test_accuracy"], 3) == 0.399
    assert round(softmax["test_accuracy"], 3) == 0.415
    assert max(hinge["gap"], softmax["gap"]) <= 1e-4
