"""The feature sets that were compared, in the record of a report, its summary and its page."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import softmargin as sm
from softmargin.model import Model
from softmargin.report import Report, fill_report, page, summary
from softmargin.samples import Labelled
from softmargin.selection import Comparison, FeatureComparison, choose_features
from tests.support.browser import CHROMIUM
from tests.support.hostile import check_page

LONG = "<b>folder/of/models</b>/an-embedding-with-a-long-name\n.onnx"


@pytest.fixture(scope="module")
def found(digits) -> FeatureComparison:
    few = (digits.X @ np.random.default_rng(0).normal(size=(64, 8))).astype(np.float32)
    sets = {LONG: Labelled.check(few, digits.y, keys=digits.X), "pixels": Labelled.check(digits.X, digits.y)}
    return choose_features(sets, ["cross_entropy", "hinge"], [1e-2, 1e-3])


@pytest.fixture(scope="module")
def model(digits, found) -> Model:
    choice = found.comparison
    return sm.LinearClassifier(choice.loss, reg=choice.reg).fit(digits.X, digits.y).to_model(digits, choice=choice)


@pytest.fixture(scope="module")
def report(digits, model) -> Report:
    return fill_report(model, digits.test, digits)


def titled(comparison) -> str:
    """Return the reason of a comparison as the report words it, in small letters."""
    return comparison.reason().replace("cross_entropy", "cross-entropy").replace(" reg ", " λ ").casefold()


def test_the_panel_holds_what_was_compared(found, report):
    first, second = report.path.features
    assert (first.name, second.name) == (LONG.replace("\n", r"\n"), "pixels")
    assert (first.selected, second.selected) == (False, True)
    for shown, own in zip(report.path.features, found.choice.sets, strict=True):
        names = ("n_features", "loss", "reg", "accuracy", "standard_error")
        assert [getattr(shown, name) for name in names] == [getattr(own, name) for name in names]
    assert report.path.feature_tests == (found.choice.tests[0].sentence().replace("\n", r"\n"),)
    assert "pixels is significantly more accurate than " in report.path.feature_tests[0]
    # Each sentence is on the page once.
    shown = [report.path.words, *report.path.feature_tests]
    assert sorted(" ".join(shown).casefold()) == sorted(titled(found.comparison).replace("\n", r"\n"))
    assert {curve.loss for curve in report.path.curves} == {"cross_entropy", "hinge"}


def test_one_set_is_no_comparison(digits, model, found):
    choice = found.comparison
    alone = choose_features({"pixels": Labelled.check(digits.X, digits.y)}, ["hinge"], [1e-2]).comparison
    for selection in (found.comparisons["pixels"].record(), alone.record()):
        path = fill_report(replace(model, selection=selection), digits.test).path
        assert (path.features, path.feature_tests) == ((), ())
        assert path.words.casefold() == titled(Comparison.from_record(selection))
        assert not re.search(r"[.:] (hinge|cross-entropy) (and|has)", path.words)  # sentences begin so
    assert alone.reason().startswith("Selected: features pixels and hinge with reg 0.01 ")
    assert choice.reason() != found.comparisons["pixels"].reason()


def test_the_summary_and_the_json_form_hold_them(report):
    lines = summary(report).splitlines()
    start = lines.index("Features compared")
    assert lines[start + 2].startswith("  pixels: held-out accuracy 9")
    assert lines[start + 3] == f"  {report.path.feature_tests[0]}"
    assert [one["selected"] for one in report.record()["path"]["features"]] == [False, True]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: the page is not tried in a browser")
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_shows_them(report, browser, tmp_path, width):
    text = b"".join(page(report, summary(report)))
    check_page(text.decode())
    (tmp_path / "report.html").write_bytes(text)
    browser.open(tmp_path / "report.html", width)
    assert browser.problems == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    rows = browser.run(
        "[...document.querySelectorAll('#path table')[0].rows].map(r => [...r.cells].map(c => c.innerText))"
    )
    assert [row[0] for row in rows] == ["features", *(one.name for one in report.path.features)]
    own = report.path.features[1]
    loss = {"hinge": "Hinge", "cross_entropy": "Cross-entropy"}[own.loss]
    assert [rows[2][k] for k in (1, 3, 4)] == [loss, f"{own.reg:g}", "64"]
    assert rows[2][2].replace("\u00a0", " ") == f"{100 * own.accuracy:.2f} % ± {100 * own.standard_error:.2f} %"
    assert browser.run("document.querySelector('#path table b').innerText") == "pixels"
    assert browser.run("document.querySelector('#path ul').innerText") == report.path.feature_tests[0]
