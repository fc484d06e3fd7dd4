"""Page 7: mistakes, the gradient check and times are those of the library; its commands print what it shows."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

import softmargin as sm
from softmargin.losses import make_loss
from tests.docs.parts import LEARN, LOSSES, Part, stored
from tests.test_docs import blocks

PAGE = "learn/07-code.html"
X = np.array([
    [0.5, 0.4], [0.8, 0.3], [0.3, 0.8], [-0.4, 0.3], [-0.3, 0.7], [-0.7, 0.2],
    [0.7, -0.4], [0.5, -0.6], [-0.4, -0.5]
])  # fmt: skip
Y = np.repeat([0, 1, 2], 3)
W = np.array([[2.06, 0.44, 2.27], [1.48, -1.82, -2.04]])


@pytest.mark.parametrize("label", LOSSES)
def test_each_mistake_changes_what_it_must(label, site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "code-mistakes")
    part.press(label)
    part.slide(0, -0.5)
    reg, n, d = 10**-0.5, len(X), X.shape[1]
    loss = make_loss(LOSSES[label])
    value, dW, _ = sm.Objective(loss, X, Y, reg).value_and_grad(W, np.zeros(3))
    data, _, _ = sm.Objective(loss, X, Y, 0.0).value_and_grad(W, np.zeros(3))
    penalty, pull = value - data, 2 * reg * W
    for by_features, slope_by_features, half, slope_half in itertools.product([0, 1], repeat=4):
        for place, option in enumerate([by_features, slope_by_features, half, slope_half]):
            part.choose(place, option)
        own = data * (n / d if by_features else 1) + penalty * (0.5 if half else 1)
        gradient = (dW - pull) * (n / d if slope_by_features else 1) + pull * (0.5 if slope_half else 1)
        assert part.value("code-value") == pytest.approx(own, rel=1e-13)
        assert part.value("code-correct") == pytest.approx(value, rel=1e-13)
        error = np.abs(gradient - dW).max() / np.abs(dW).max()
        assert part.value("code-error") == pytest.approx(error, rel=1e-9, abs=1e-13)
        consistent = by_features == slope_by_features and half == slope_half
        assert part.text("[data-id=code-verdict]") == ("passes" if consistent else "fails")
        assert (part.value("code-check") < 1e-7) == consistent
        meant = reg * (d / n if by_features else 1) * (0.5 if half else 1)
        assert part.value("code-reg") == pytest.approx(meant, rel=1e-13)


def test_examples_of_mistakes(site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "code-mistakes")
    examples = {
        "Divides by features": "1100",
        "½λ everywhere": "0011",
        "½λ in the value only": "0010",
        "Correct": "0000",
    }
    for label, options in examples.items():
        part.press(label)
        assert part.run("[...part.querySelectorAll('select')].map(e => e.value).join('')") == options
    assert part.value("code-error") == 0.0


def test_times_are_the_stored_ones(site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "code-speed")
    for k, row in enumerate(stored("textbook-speed")["rows"]):
        part.slide(0, k)
        for name in ("naive", "vectorized", "objective"):
            assert part.value(f"speed-{name}") == row[name]
        assert part.value("speed-ratio") == pytest.approx(row["naive"] / row["vectorized"], rel=1e-15)


def test_the_check_prints_what_the_page_shows(tmp_path):
    found = blocks((LEARN / "07-code.md").read_text("utf-8"))
    [source] = [block for block in found if block.file]
    [command] = [block.text.removeprefix("$ ").split() for block in found if block.language == "console"]
    [shown] = [block.text for block in found if block.language == "text"]
    (tmp_path / source.file).write_text(source.text, "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert (run.stdout, run.returncode) == (shown, 1)
