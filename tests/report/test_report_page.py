"""The page of a report in a real browser: nothing fails or leaves it, numbers are the record's."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import softmargin as sm
from softmargin.losses import LOSSES
from softmargin.report import fill_report, page, summary
from tests.support.browser import CHROMIUM, Browser, click, enter
from tests.support.hostile import hostile_report

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the path: the page is not tried in a browser"
)

PANELS = ("summary", "accuracy", "weights", "worst", "confusion", "margins", "path", "convergence", "calibration")
PANELS += ("comparison", "data-errors", "laboratory")


def text_of(browser: Browser, selector: str) -> str:
    return str(browser.run(f"document.querySelector({selector!r}).textContent"))


def number(text: str) -> float:
    """Return the number that a text of the page means."""
    text = text.replace("\u2212", "-").replace(",", "").replace("\u00a0", "")
    text = re.sub(r"^[<>] ?", "", text)
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_the_page_opens_without_a_complaint(loss, width, dark, browser, pages):
    browser.open(pages[loss], width, dark=dark)
    assert browser.problems == []
    assert browser.run("[...document.querySelectorAll('section.panel')].map(e => e.id)") == list(PANELS)
    assert browser.run("document.documentElement.scrollWidth") <= width
    unnamed = """[...document.querySelectorAll('button, select, input, canvas, svg')].filter(
        e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.querySelector('[aria-label]'))
        ).map(e => e.outerHTML.slice(0, 200))"""
    assert browser.run(unnamed) == []
    assert "null" not in browser.run("document.getElementById('main').innerText").split()
    ticks = browser.run("[...document.querySelectorAll('svg text')].map(e => e.textContent)")
    assert len(ticks) > 100
    assert all(ticks)
    assert "undefined" not in browser.run("document.getElementById('main').innerText")
    assert "NaN" not in browser.run("document.getElementById('main').innerText")


@pytest.mark.parametrize("loss", LOSSES)
def test_numbers_of_the_page_are_those_of_the_record(loss, browser, pages, reports):
    browser.open(pages[loss])
    shown = browser.run(
        "[...document.querySelectorAll('data[data-of]')].map(e => [e.dataset.of, e.value, e.textContent])"
    )
    record = reports[loss].record()
    panels = set()
    for path, value, text in shown:
        expected = record
        for key in path.split("."):
            expected = expected[int(key)] if isinstance(expected, list) else expected[key]
        if expected is None:
            assert (value, text) == ("", "–"), path
            continue
        assert float(value) == expected, path
        assert number(text) == pytest.approx(expected, rel=0.051, abs=0.0051), path
        panels.add(path.split(".")[0])
    assert len(shown) > 150
    assert panels >= {
        "headline",
        "certificate",
        "calibration",
        "weights",
        "comparison",
        "confusion",
        "margins",
        "samples",
    }


def test_controls_of_the_panels(browser, pages, reports):
    report = reports["hinge"]
    browser.open(pages["hinge"])
    # The order of the recalls.
    rows = "[...document.querySelectorAll('#accuracy .row-label')].slice(-10).map(e => e.textContent)"
    worst_first = browser.run(rows)
    click(browser, "#accuracy .tabs button", "in order of the classes")
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
    assert browser.run(rows) == list(report.classes) != worst_first
    # A costly sample is written out.
    click(browser, "#worst .strip button:nth-child(3)")
    third = report.samples[report.worst[2]]
    assert third.name in text_of(browser, "#worst .detail h3")
    assert number(text_of(browser, "#worst .detail b data")) == pytest.approx(third.loss, rel=1e-3)
    terms = browser.run("[...document.querySelectorAll('#worst .detail td data')].map(e => Number(e.value))")
    assert sum(terms[1::2]) != 0.0
    assert browser.run("document.querySelectorAll('#worst [aria-pressed=true]').length") == 1
    # A pair of classes, its samples, a sample in its dialog.
    a, b, times, _ = report.confusion.pairs[1]
    click(browser, "#confusion .pairs li:nth-child(2) button")
    assert (
        text_of(browser, "#confusion .detail h3")
        == f"{report.classes[a]}, predicted as {report.classes[b]}: {times}"
    )
    assert browser.run("document.querySelectorAll('#confusion .detail .sample').length") == min(times, 12)
    click(browser, "#confusion .detail .sample")
    first = report.samples[report.confusion.cells[f"{a},{b}"][0]]
    assert browser.run("document.querySelector('dialog').open")
    assert text_of(browser, "dialog h3") == first.name
    browser.press("Escape")
    assert not browser.run("document.querySelector('dialog').open")
    # The matrix by keyboard.
    browser.run("document.querySelector('#confusion canvas').focus()")
    moves = ("ArrowUp" if a == 9 else "ArrowDown", "ArrowLeft" if b == 9 else "ArrowRight")
    for key in (*moves, "Enter"):
        browser.press(key)
    c, d = a + (-1 if a == 9 else 1), b + (-1 if b == 9 else 1)
    count = report.confusion.counts[c][d]
    assert text_of(browser, "#confusion .readout").startswith(f"True {c}, predicted {d}: {count} of ")
    assert text_of(browser, "#confusion .detail h3").endswith(f": {count}")
    # ... and after sorting, by keyboard and by mouse.
    enter(browser, "#confusion select", 0, 1)
    order = report.confusion.orders["by recall"]
    browser.run("document.querySelector('#confusion canvas').focus()")
    browser.press("ArrowDown")
    browser.press("Enter")
    assert text_of(browser, "#confusion .detail h3").startswith(f"{order[0]}, classified correctly")
    right, bottom = browser.run(
        "(() => { const c = document.querySelector('#confusion canvas');"
        "c.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const r = c.getBoundingClientRect(); return [r.right, r.bottom]; })()"
    )
    browser.mouse("mousePressed", right - 80, bottom - 20)  # the last row; the labels reach beyond the last column
    browser.mouse("mouseReleased", right - 80, bottom - 20)
    assert text_of(browser, "#confusion .readout").startswith(f"True {order[-1]}, predicted ")
    # Margins of one class.
    enter(browser, "#margins select", 0, 4)
    shown = browser.run(
        "[...document.querySelectorAll('#margins data')].map(e => [e.dataset.of, Number(e.value)])"
    )
    assert shown == [["margins.wrong.3", report.margins.wrong[3]], ["margins.inside.3", report.margins.inside[3]]]
    # Which pixels: the words add up.
    words = text_of(browser, "#weights p[aria-live]").replace("\u2212", "-")
    pixels, bias, total = map(float, re.search(r"pixels (\S+) \+ intercept (\S+) = (\S+)\.", words).groups())
    assert pixels + bias == pytest.approx(total, abs=0.002)
    # Scale, and the difference of two classes.
    picture = "document.querySelector('#weights .pictures canvas').toDataURL()"
    own = browser.run(picture)
    click(browser, "#weights .tabs button", "common scale")
    assert browser.run(picture) != own
    duo = "document.querySelector('#weights .duo canvas').toDataURL()"
    before = browser.run(duo)
    enter(browser, "#weights select", 0, 7)
    assert browser.run(duo) != before
    # The cursor of a chart, by keyboard.
    browser.run("document.querySelector('#path svg').focus()")
    browser.press("ArrowRight")
    assert "λ 0.1: " in text_of(browser, "#path .readout")
    click(browser, "#path .tabs button", "Cross-entropy")
    assert "Cross-entropy" in text_of(browser, "#path .columns figcaption")
    assert browser.problems == []


def test_hostile_names_do_nothing(browser, tmp_path):
    report = hostile_report()
    file = tmp_path / "hostile.html"
    file.write_bytes(b"".join(page(report, summary(report))))
    for width in (1280, 400):
        browser.open(file, width)
        # Walk through everything that shows names.
        for selector in (
            "#confusion .pairs button",
            "#worst .strip button:nth-child(2)",
            "#confusion .detail .sample",
        ):
            click(browser, selector)
        browser.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
        for k in (3, 199):
            browser.run(
                f"document.querySelectorAll('select').forEach(e => {{ e.selectedIndex = {k} % e.options.length;"
                "e.dispatchEvent(new Event('change')); })"
            )
        assert browser.run("typeof window.pwned") == "undefined"
        assert browser.run("document.querySelectorAll('script').length") == 2
        assert browser.run("document.querySelectorAll('img, iframe, object, embed, link, base').length") == 0
        handlers = (
            "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => /^on/.test(n))"
        )
        assert browser.run(handlers) == []
        names = browser.run("[...document.querySelectorAll('#weights select')[0].options].map(e => e.textContent)")
        assert names == list(report.classes)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.problems == []


def test_a_page_of_a_table_on_its_training_data(browser, tmp_path):
    """Names of features with their weights, no word of new samples, and a panel on data that finds nothing."""
    X, y = np.array([[3.0, 0.0], [0.0, 3.0]] * 20) + np.linspace(0, 1, 40)[:, None], np.array(["a", "b"] * 20)
    data = sm.data.Dataset(X, y, "table", feature_names=("height", "<img src=x>"))
    report = fill_report(sm.LinearClassifier("hinge", reg=0.1).fit(X, y).to_model(data), data)
    file = tmp_path / "table.html"
    file.write_bytes(b"".join(page(report, summary(report))))
    browser.open(file)
    assert "Evaluated on the training data" in text_of(browser, "#summary .warning")
    for panel in ("#summary", "#accuracy"):
        assert "confidence interval" not in text_of(browser, panel)
    for entry in report.weights.features[0]:
        assert entry.feature in text_of(browser, "#weights .effects") + text_of(browser, "#weights")
    assert "Samples of all labels are considered" in text_of(browser, "#weights")
    assert "0 of 40 labels may be wrong" in text_of(browser, "#data-errors")
    assert browser.run("document.images.length") == 0
    for width in (1280, 900):
        browser.open(file, width)
        click(browser, "#laboratory button", "[10, \u2212100, \u2212100]")
        click(browser, "#laboratory button", "Squared hinge")
        wider = "[...document.querySelectorAll('#laboratory .scroll')].some(e => e.scrollWidth > e.clientWidth)"
        assert not browser.run(wider), f"a table of the laboratory is cut at {width} px"
    for width, hint in ((1280, ""), (800, ""), (420, "more-right")):  # links wrap, or scroll on a small screen
        browser.open(file, width)
        assert browser.run("document.getElementById('nav').className") == hint
        cut = "[...document.querySelectorAll('nav a')].filter(e => e.getBoundingClientRect().right > innerWidth)"
        assert bool(browser.run(f"{cut}.length")) == bool(hint)


NAMES = ("Kundenzufriedenheit", "Datenschutzgrundverordnung", "Rechnungsstellung und Mahnwesen", "Sonstiges")


@pytest.mark.parametrize("width", [1280, 800, 420])
def test_names_of_classes_are_not_broken_inside_words(width, browser, tmp_path):
    rng = np.random.default_rng(0)
    y = np.array(NAMES)[np.arange(80) % 4]
    X = rng.normal(size=(80, 6)) + np.eye(4, 6)[np.arange(80) % 4]
    data = sm.data.Dataset(X, y, "table")
    report = fill_report(sm.LinearClassifier("hinge", reg=0.1).fit(X, y).to_model(data), data)
    file = tmp_path / "names.html"
    file.write_bytes(b"".join(page(report, summary(report))))
    browser.open(file, width)
    # The lines of each word: a word that is broken has more than one.
    broken = """[...document.querySelectorAll('.card-text b, .card-text .wrong')].flatMap(e => {
        const text = [...e.childNodes].filter(n => n.nodeType === 3).pop();
        return [...text.data.matchAll(/\\S+/g)].filter(word => {
            const range = document.createRange();
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            return new Set([...range.getClientRects()].map(box => box.top)).size > 1;
        }).map(word => word[0]); })"""
    assert browser.run("document.querySelectorAll('.card-text b').length") > 40
    assert browser.run(broken) == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    wider = "[...document.querySelectorAll('.matrix')].some(e => e.scrollWidth > e.clientWidth)"
    assert not browser.run(wider)


def test_without_programs_the_page_says_it_in_short(reports):
    text = b"".join(page(reports["hinge"], summary(reports["hinge"]))).decode()
    inside = re.search(r"<noscript>(.*?)</noscript>", text, re.S)[1]
    assert "Loss and λ" in inside


# -- the laboratory ------------------------------------------------------------------------------------------

ROWS = [[10, -2, 3], [10, 9, 9], [10, -100, -100], [13, -7, 11], [1, -2, 0], [0, 0, 0], [1e30, 1e30, 1e30]]
ROWS += [[-40, 0, 0], [0.5, 1.5, -0.5], [-700, 700, 0]]
WEIGHTS = [[2.06, 0.44, 2.27], [1.48, -1.82, -2.04]], [-0.42, 0.52, -0.10]
POINTS = [
    [0.5, 0.4],
    [0.8, 0.3],
    [0.3, 0.8],
    [-0.4, 0.3],
    [-0.3, 0.7],
    [-0.7, 0.2],
    [0.7, -0.4],
    [0.5, -0.6],
    [-0.4, -0.5],
]


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_of_the_laboratory_are_the_librarys(name, browser, pages):
    browser.open(pages["hinge"])
    rng = np.random.default_rng(0)
    rows = ROWS + (10.0 * rng.normal(size=(200, 3))).tolist()
    for delta in (1.0, 10.0):
        loss = LOSSES[name]() if name == "cross_entropy" else LOSSES[name](delta)
        for y in range(3):
            found = browser.run(f"{rows!r}.map(s => softmarginReport.Losses.{name}(s, {y}, {delta}))")
            labels = np.full(len(rows), y)
            # 1e-14 relative: a handful of operations in the same formulas; exp may differ in the last bit.
            assert [f["value"] for f in found] == pytest.approx(loss.values(rows, labels), rel=1e-13, abs=0)
            gradients = np.array([f["gradient"] for f in found])
            assert np.allclose(gradients, loss.gradient(rows, labels), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("name", LOSSES)
def test_the_plane_of_the_laboratory_is_the_librarys(name, browser, pages):
    browser.open(pages["hinge"])
    y = np.repeat([0, 1, 2], 3)
    W, b = np.array(WEIGHTS[0]), np.array(WEIGHTS[1])
    loss = LOSSES[name]() if name == "cross_entropy" else LOSSES[name](0.7)
    found = browser.run(
        f"softmarginReport.objectiveAt({name!r}, 0.7, {POINTS!r}, {y.tolist()}, {W.tolist()}, {b.tolist()}, 0.1)"
    )
    value, dW, db = sm.Objective(loss, np.array(POINTS), y, reg=0.1).value_and_grad(W, b)
    assert found["value"] == pytest.approx(value, rel=1e-12)
    assert np.allclose(found["dW"], dW, rtol=1e-12, atol=1e-14)
    assert np.allclose(found["db"], db, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("typed", ["1e308", "-1e308"])
def test_steps_that_are_too_long_stop_before_they_overflow(typed, browser, pages):
    browser.open(pages["hinge"])
    n_sliders = browser.run("document.querySelectorAll('#laboratory input[type=range]').length")
    enter(browser, "#laboratory input[type=number]", 0, typed)
    assert abs(float(browser.run("document.querySelector('#laboratory input[type=number]').value"))) == 1e4
    enter(browser, "#laboratory input[type=range]", n_sliders - 3, 0)  # λ = 1
    enter(browser, "#laboratory input[type=range]", n_sliders - 1, 0.5)
    for _ in range(30):
        click(browser, "#laboratory button", "One step")
    assert "The steps are too long" in text_of(browser, "#lab-plane")
    assert browser.run("[...document.querySelectorAll('#laboratory data')].every(e => Number.isFinite(+e.value))")
    assert browser.problems == []


def test_the_controls_of_the_laboratory(browser, pages):
    browser.open(pages["cross_entropy"])
    value = "Number(document.querySelector('.lab-value[data-loss={}]').value)"
    start = {
        "[10, \u22122, 3]": (0.0, 9.18e-4),
        "[10, 9, 9]": (0.0, 0.5514),
        "[10, \u2212100, \u2212100]": (0.0, 3.4e-48),
    }
    for label, (hinge, soft) in start.items():
        click(browser, "#laboratory button", label)
        assert browser.run(value.format("hinge")) == hinge
        assert browser.run(value.format("cross_entropy")) == pytest.approx(soft, rel=1e-2)
    click(browser, "#laboratory button", "[10, 9, 9]")
    enter(browser, "#laboratory input[type=range]", 3, 10)  # Δ
    assert browser.run(value.format("hinge")) == 18.0
    enter(browser, "#laboratory input[type=range]", 0, -7)  # the true class's score
    assert browser.run(value.format("hinge")) == 2 * (9 + 7 + 10)
    terms = browser.run("[...document.querySelectorAll('.lab-term')].map(e => Number(e.value))")
    gradient = browser.run("[...document.querySelectorAll('.lab-gradient')].map(e => Number(e.value))")
    assert terms == [0, 26, 26]
    assert gradient == [-2, 1, 1]
    # The plane begins with the classic numbers: .64 + 1.925 = 2.57.
    total = "['data', 'penalty', 'total'].map(n => Number(document.querySelector('.lab-' + n).value))"
    data, penalty, whole = browser.run(total)
    assert (round(data, 3), round(penalty, 3), round(whole, 2)) == (0.645, 1.925, 2.57)
    objective = sm.Objective(sm.Hinge(), np.array(POINTS), np.repeat([0, 1, 2], 3), reg=0.1)
    W, b = np.array(WEIGHTS[0]), np.array(WEIGHTS[1])
    for _ in range(3):
        click(browser, "#laboratory button", "One step")
        _, dW, db = objective.value_and_grad(W, b)
        W, b = W - 0.1 * dW, b - 0.1 * db
    assert browser.run(total)[2] == pytest.approx(objective.value(W, b), rel=1e-12)
    click(browser, "#laboratory button", "Run")
    browser.run("new Promise(done => setTimeout(done, 1500))")
    assert browser.run(total)[2] < objective.value(W, b)
    click(browser, "#laboratory button", "Pause")
    # Back to the start; a weight by hand, a point by mouse.
    click(browser, "#laboratory button", "Reset")
    assert browser.run(total)[2] == pytest.approx(whole, rel=1e-12)
    enter(browser, "#laboratory input[type=number]", 0, 0)
    W = np.array(WEIGHTS[0])
    W[0, 0] = 0.0
    assert browser.run(total)[2] == pytest.approx(objective.value(W, np.array(WEIGHTS[1])), rel=1e-12)
    side, left, top = browser.run(
        "(() => { const c = [...document.querySelectorAll('#laboratory canvas')].pop();"
        "c.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const r = c.getBoundingClientRect(); return [r.width, r.left, r.top]; })()"
    )
    at = lambda u, v: (left + (u + 1) / 2 * side, top + (1 - v) / 2 * side)  # noqa: E731
    browser.mouse("mousePressed", *at(0.5, 0.4))
    browser.mouse("mouseMoved", *at(-0.5, -0.25))
    browser.mouse("mouseReleased", *at(-0.5, -0.25))
    moved = np.array(POINTS)
    moved[0] = (-0.5, -0.25)
    value_there = sm.Objective(sm.Hinge(), moved, np.repeat([0, 1, 2], 3), reg=0.1).value(W, np.array(WEIGHTS[1]))
    assert browser.run(total)[2] == pytest.approx(value_there, abs=0.02)  # of whole pixels
    assert math.isfinite(browser.run(total)[0])
    assert browser.problems == []
