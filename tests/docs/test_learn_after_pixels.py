"""Page 9: histograms are those of the extractor, accuracies those of the guides."""

from __future__ import annotations

import re

import numpy as np
import pytest

from softmargin.features.hog import _oriented_gradients
from tests.docs.parts import LEARN, Part, stored

PAGE = "learn/09-after-pixels.html"


def check_histogram(part, cell):
    pixels = np.array(part.run("part.firstElementChild.pixels()"), np.uint8).reshape(16, 16)
    cells = _oriented_gradients(np.repeat(pixels[:, :, None], 3, axis=2), 4, 9)
    expected = cells[cell]
    shown = [part.value(f"hog-average-{k}") for k in range(9)]
    np.testing.assert_allclose(shown, expected, rtol=0, atol=1e-10)
    unit = [part.value(f"hog-{k}") for k in range(9)]
    np.testing.assert_allclose(unit, expected / np.sqrt((expected**2).sum() + 1e-10), rtol=0, atol=1e-10)


def test_histograms_are_those_of_the_extractor(site, browser):
    browser.open(site / PAGE)
    part = Part(browser, "hog")
    check_histogram(part, (1, 2))
    for shape in ("Edge", "Stripes", "Ring"):
        part.press(shape)
        for angle, light, contrast in ((0, 0, 1.0), (35, 40, 1.0), (120, -20, 0.4), (180, 0, 0.2)):
            for place, value in enumerate((angle, light, contrast)):
                part.slide(place, value)
            check_histogram(part, (1, 2))
    part.press("Edge")
    part.slide(2, 1.0)
    part.slide(1, 60)
    assert part.value("hog-change") == pytest.approx(0.0, abs=1e-12)
    assert part.value("hog-pixels") > 0.3
    part.run("(e => { e.scrollIntoView(); e.focus(); return 1; })(part.querySelector('canvas'))")
    for _ in range(4):
        browser.press("ArrowDown")
    browser.press(" ")
    check_histogram(part, (2, 2))
    x, y = part.run(
        "(r => [r.left + 2.5 * r.width / 16, r.top + 14.5 * r.height / 16])"
        "(part.querySelector('canvas').getBoundingClientRect())"
    )
    browser.mouse("mousePressed", x, y)
    browser.mouse("mouseReleased", x, y)
    check_histogram(part, (3, 0))


def test_the_ladder_shows_the_accuracies_of_the_guides(site, browser):
    browser.open(site / PAGE)
    part, ladder = Part(browser, "ladder"), stored("ladder")
    guide = (LEARN.parent / "guides" / "features.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.:-]+)`[^|]*\| ([\d,]+) \| ([\d.]+) \|", guide, re.M)
    printed = {
        name.removesuffix(".onnx"): (int(columns.replace(",", "")), float(share)) for name, columns, share in rows
    }
    for k, rung in enumerate(ladder["rungs"]):
        part.slide(0, k)
        assert part.value("ladder-accuracy") == rung["accuracy"]
        assert part.value("ladder-columns") == rung["columns"]
        assert part.text("pre") == rung["command"]
        if rung["name"] != "small network":
            assert printed[rung["name"]] == (rung["columns"], rung["accuracy"])
    networks = (LEARN.parent / "guides" / "networks.md").read_text("utf-8")
    for layer in ladder["last_layers"]:
        accuracy, value, best, certified, changed = (
            layer[key] for key in ("sgd_accuracy", "sgd_value", "value", "accuracy", "changed")
        )
        gap = f"{100 * (1 - best / value):.1f} %"
        assert f"| {accuracy:.4f} | {value:.4f} | {gap} | {best:.4f} | {certified:.4f} | {changed} |" in networks
