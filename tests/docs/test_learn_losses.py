"""The learning pages on scores and losses: every control is moved; what is shown is what the library computes."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin.statistics import mcnemar
from softmargin.textbook import svm_loss_naive
from tests.support.browser import Browser, click, enter

LEARN = Path(__file__).parents[2] / "docs" / "learn"
PAGES = ["01-scores", "02-svm-loss", "04-delta", "05-softmax", "06-svm-softmax"]
HINGES = {"Hinge": sm.Hinge, "Squared hinge": sm.SquaredHinge}
EXAMPLE_W = np.array([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0, -0.45, -0.2, 0.03]])
EXAMPLE_X, EXAMPLE_B = np.array([-15.0, 22.0, -44.0, 56.0]), np.array([0.0, 0.2, -0.3])


def stored(name: str) -> dict[str, Any]:
    return json.loads((LEARN / "data" / f"{name}.json").read_text("utf-8"))


def value(loss: Any, scores: list[float], y: int = 0) -> float:
    return float(loss.values(np.array([scores], float), np.array([y]))[0])


def gradient(loss: Any, scores: list[float], y: int = 0) -> np.ndarray:
    return loss.gradient(np.array([scores], float), np.array([y]))[0]


class Part:
    """An interactive part of an open page."""

    def __init__(self, browser: Browser, name: str, place: int = 0) -> None:
        browser.run(f"document.querySelectorAll('[data-widget={name}]')[{place}].id = 'tested-{name}-{place}'")
        self.browser, self.at = browser, f"#tested-{name}-{place}"

    def shown(self) -> dict[str, float]:
        all_ = f"[...document.querySelectorAll('{self.at} data.shown')].map(e => [e.dataset.id, e.value])"
        return {key: float(value.replace("Infinity", "inf")) for key, value in self.browser.run(all_)}

    def slide(self, place: int, value: object) -> None:
        enter(self.browser, f"{self.at} input[type=range]", place, value)

    def type(self, place: int, value: object) -> None:
        enter(self.browser, f"{self.at} input[type=number]", place, value)

    def choose(self, value: int) -> None:
        enter(self.browser, f"{self.at} select", 0, value)

    def click(self, text: str) -> None:
        click(self.browser, f"{self.at} button", text)


@pytest.fixture
def part(site: Path, browser: Browser):
    def opened(page: str, name: str, place: int = 0) -> Part:
        browser.open(site / "learn" / f"{page}.html")
        return Part(browser, name, place)

    yield opened
    assert browser.problems == []


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_a_page_opens_without_errors(page, width, dark, site, browser):
    browser.open(site / "learn" / f"{page}.html", width, dark=dark)
    assert browser.problems == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.querySelectorAll('.widget')].filter(e => e.clientHeight < 100).length") == 0
    unnamed = """[...document.querySelectorAll('.widget :is(button, select, input, canvas, svg)')].filter(
        e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.querySelector('[aria-label]'))
        ).map(e => e.outerHTML.slice(0, 200))"""
    assert browser.run(unnamed) == []
    text = browser.run("document.querySelector('article').innerText")
    assert "undefined" not in text
    assert "$" not in text
    assert browser.run("document.querySelectorAll('article details').length") >= 3, "three exercises with answers"


# Page 1


def test_scores_of_a_digit_follow_its_pixels(part, browser):
    data = stored("digits")
    W, b = np.array(data["hinge"]["W"]), np.array(data["hinge"]["b"])
    digit = part("01-scores", "digit-scores")

    def check(pixels: np.ndarray, at: int) -> None:
        scores, shown = pixels / 16 @ W + b, digit.shown()
        assert [shown[f"score-{c}"] for c in range(10)] == pytest.approx(scores.tolist(), abs=1e-12)
        assert [shown[f"pixel-{c}"] for c in range(10)] == W[at].tolist()
        assert shown["best"] == scores.argmax()
        assert shown["lead"] == pytest.approx(np.diff(np.sort(scores))[-1], abs=1e-12)

    pixels = {k: np.array(one["pixels"]) for k, one in enumerate(data["digits"])}
    check(pixels[3], 27)
    for k in (0, 9, 4):
        digit.choose(k)
        check(pixels[k], 27)
    found = pixels[4].copy()
    browser.run(f"document.querySelector('{digit.at} canvas.pixels').focus()")
    for key in ("ArrowRight", "ArrowDown", " "):
        browser.press(key)
    found[36] = 0 if found[36] >= 8 else 16
    check(found, 36)
    for key in ("-", "ArrowLeft", "+", "+"):
        browser.press(key)
    found[36], found[35] = max(0, found[36] - 1), min(16, found[35] + 2)
    check(found, 35)
    box = f"(e => [e.left, e.top])(document.querySelector('{digit.at} canvas.pixels').getBoundingClientRect())"
    left, top = browser.run(box)
    browser.mouse("mousePressed", left + 45, top + 15)  # draws over two pixels
    browser.mouse("mouseMoved", left + 45, top + 45)
    browser.mouse("mouseReleased", left + 45, top + 45)
    found[1] = found[9] = 0 if found[1] >= 8 else 16
    check(found, 9)
    digit.click("Weight × pixel")
    check(found, 9)
    digit.click("Clear")
    check(np.zeros(64), 9)
    digit.click("Restore")
    check(pixels[4], 9)


@pytest.mark.parametrize("page", ["01-scores", "05-softmax"])
def test_the_example_on_paper(page, part):
    example = part(page, "product")
    W, x, b, y = EXAMPLE_W.copy(), EXAMPLE_X.copy(), EXAMPLE_B.copy(), 2

    def check() -> None:
        shown, scores = example.shown(), W @ x + b
        assert [shown[f"product-{c}"] for c in range(3)] == pytest.approx(scores.tolist(), abs=1e-12)
        if page == "05-softmax":
            assert shown["product-hinge"] == pytest.approx(value(sm.Hinge(), scores, y), abs=1e-12)
            assert shown["product-cross-entropy"] == pytest.approx(value(sm.CrossEntropy(), scores, y), rel=1e-12)

    check()
    for place, number in enumerate(np.linspace(-3, 4, 19).round(2)):
        example.type(place, number)  # the picture, then each class: four weights and the intercept
        if place < 4:
            x[place] = number
        elif (place - 4) % 5 == 4:
            b[(place - 4) // 5] = number
        else:
            W[(place - 4) // 5, (place - 4) % 5] = number
        check()
    if page == "05-softmax":
        example.choose(0)
        y = 0
        check()
    example.click("Reset")
    W, x, b = EXAMPLE_W, EXAMPLE_X, EXAMPLE_B
    check()


# Page 2


def test_who_pays(part):
    rivals = part("02-svm-loss", "payers")
    assert rivals.shown() == {"pays-1": 0, "pays-2": 8, "pays-sum": 8}
    for name, kind in HINGES.items():
        rivals.click(name)
        for scores, delta, y in (([2, 3, 2.5], 1, 0), ([-4, 20, 19.5], 6, 1), ([-20, -20, -20], 0.5, 2)):
            for place, number in enumerate((*scores, delta)):
                rivals.slide(place, number)
            rivals.choose(y)
            shown = rivals.shown()
            assert shown["pays-sum"] == value(kind(delta), scores, y)
            for j in {0, 1, 2} - {y}:
                alone = [scores[y], scores[j]]
                assert shown[f"pays-{j}"] == value(kind(delta), alone)
    rivals.click("Reset")


def test_both_hinges_as_curves(part, browser):
    curves = part("02-svm-loss", "hinge-curves")
    for margin in (-3, -0.35, 0, 0.95, 2.5):
        for delta in (0.25, 1, 2.75):
            curves.slide(0, margin)
            curves.slide(1, delta)
            shown = curves.shown()
            for name, kind in (("hinge", sm.Hinge), ("squared_hinge", sm.SquaredHinge)):
                scores = [margin, 0]
                assert shown[f"curve-{name}"] == pytest.approx(value(kind(delta), scores), abs=1e-14)
                assert shown[f"slope-{name}"] == pytest.approx(gradient(kind(delta), scores)[0], abs=1e-14)
    browser.run(f"document.querySelector('{curves.at} .live').scrollIntoView({{block: 'center'}})")
    place = f"(e => [e.left, e.top, e.width])(document.querySelector('{curves.at} .live').getBoundingClientRect())"
    left, top, width = browser.run(place)
    browser.mouse("mousePressed", left + 68, top + 100)  # the left end of the axis
    browser.mouse("mouseReleased", left + 68, top + 100)
    assert curves.shown()["curve-hinge"] == pytest.approx(3 + 2.75, abs=0.06)
    browser.mouse("mousePressed", left + width - 14, top + 100)
    browser.mouse("mouseReleased", left + width - 14, top + 100)
    assert curves.shown()["curve-hinge"] == 0


def test_the_plane_of_nine_points(part, browser):
    part("02-svm-loss", "plane")
    shown = browser.run("[...document.querySelectorAll('#lab-plane data')].map(e => Number(e.value))")
    assert [round(v, 3) for v in shown] == [0.645, 1.925, 2.570]


# Page 4


def test_optima_that_are_stored_are_those_of_the_library():
    data = stored("exchange")
    for loss, kind in (("hinge", sm.Hinge), ("squared_hinge", sm.SquaredHinge)):
        for i, k in ((0, 3), (4, 7), (5, 12)):
            objective = sm.Objective(kind(data["deltas"][i]), data["X"], data["y"], reg=data["regs"][k])
            fit = sm.minimize(objective, tol=1e-9)
            *weights, b0, b1, b2, total = data["optima"][loss][i][k]
            assert weights == pytest.approx(fit.W.ravel().tolist(), rel=1e-4)
            assert total == pytest.approx(fit.value, abs=1e-8)
            assert objective.value(np.array(weights).reshape(2, 3), np.array([b0, b1, b2])) == pytest.approx(
                fit.value
            )


def test_delta_and_reg_are_exchanged(part):
    data = stored("exchange")
    pair = part("04-delta", "exchange")
    for loss, name in (("hinge", "Hinge"), ("squared_hinge", "Squared hinge")):
        pair.click(name)
        for rule, by_product in (("Δ = 1, Δ·λ", True), ("Δ = 1, λ", False)):
            pair.click(rule)
            for i, k in ((0, 7), (1, 10), (3, 6), (5, 10)):
                pair.slide(0, i)
                pair.slide(1, k)
                shown, delta, reg = pair.shown(), data["deltas"][i], data["regs"][k]
                assert (shown["delta-0"], shown["reg-0"], shown["delta-1"]) == (delta, reg, 1)
                assert shown["reg-1"] == pytest.approx(delta * reg if by_product else reg)
                left = data["optima"][loss][i][k][:6]
                right = data["optima"][loss][data["deltas"].index(1)][data["regs"].index(shown["reg-1"])][:6]
                assert [shown[f"left-{j}"] for j in range(6)] == left
                assert [shown[f"right-{j}"] for j in range(6)] == right
                ratios = [shown[f"ratio-{j}"] for j in range(6)]
                if by_product == (loss == "hinge"):
                    assert ratios == pytest.approx([delta] * 6, rel=1e-5)
                    assert shown["differ"] == 0
                else:
                    assert max(ratios) - min(ratios) > 0.01 * delta
                    assert shown["differ"] > 0


def test_delta_up_and_reg_down(part, browser):
    data = stored("exchange")
    pair = part("04-delta", "exchange")
    click(browser, f"{pair.at} input[type=checkbox]")
    before = pair.shown()
    pair.slide(0, 2)
    after = pair.shown()
    assert after["delta-0"] * after["reg-0"] == pytest.approx(before["delta-0"] * before["reg-0"])
    assert after["delta-0"] != before["delta-0"]
    assert [after[f"right-{j}"] for j in range(6)] == [before[f"right-{j}"] for j in range(6)]
    assert after["differ"] == 0
    assert after["reg-0"] in data["regs"]


# Page 5


@pytest.mark.parametrize("place", [0, 1])
def test_probabilities(place, part):
    soft = part("05-softmax", "softmax", place)

    def check(scores: list[float], y: int) -> None:
        shown = soft.shown()
        expected = sm.softmax(np.array([scores], float))[0]
        assert [shown[f"p-{j}"] for j in range(3)] == pytest.approx(expected.tolist(), rel=1e-12)
        assert shown["entropy"] == pytest.approx(value(sm.CrossEntropy(), scores, y), rel=1e-12)

    check([1, -2, 0], 0)
    for y in (1, 2):
        soft.choose(y)
        check([1, -2, 0], y)
    if place == 0:
        for k, score in enumerate((-5, 3.3, 4.9)):
            soft.slide(k, score)
        for shift in (-100, 0, 77):
            soft.slide(3, shift)
            check([-5 + shift, 3.3 + shift, 4.9 + shift], 2)
    else:
        for factor in (0, 0.5, 5):
            soft.slide(0, factor)
            check([factor, -2 * factor, 0], 2)
    soft.click("Reset")
    check([1, -2, 0], 2)


def test_overflow(part):
    shares = part("05-softmax", "overflow")
    shown = shares.shown()
    assert shown["exp-2"] == np.inf
    assert np.isnan(shown["naive-2"])
    for scores in ([123, 456, 789], [-800, -801, -802.5], [1000, 0, 1000], [1, 2, 3]):
        for place, score in enumerate(scores):
            shares.type(place, score)
        shown = shares.shown()
        expected = sm.softmax(np.array([scores], float))[0]
        assert [shown[f"shifted-{j}"] for j in range(3)] == pytest.approx(expected.tolist(), rel=1e-12, abs=1e-320)
    assert [shown[f"naive-{j}"] for j in range(3)] == pytest.approx(expected.tolist())
    shares.click("Reset")
    assert shares.shown()["moved-sum"] == 1


def test_digits_that_are_lost(part):
    digits = part("05-softmax", "lost-digits")
    for lead in (0, 1.5, 20, 36, 40, 110, 120):
        digits.slide(0, lead)
        shown = digits.shown()
        assert shown["careful-loss"] == pytest.approx(
            value(sm.CrossEntropy(), [10, 10 - lead, 10 - lead]), rel=1e-14
        )
        assert shown["part"] == pytest.approx(np.exp(-lead), rel=1e-14)
        assert shown["naive-loss"] == pytest.approx(np.log(1 + 2 * np.exp(-lead)), rel=1e-14)
        assert (shown["naive-loss"] == 0) == (lead >= 40)
        assert (shown["lost"] == 16) == (lead >= 40)
        assert 0 <= shown["lost"] <= 16
        if lead < 2:
            assert shown["lost"] < 1.5


# Page 6


def test_three_rows_of_scores(part, browser):
    lab = part("06-svm-softmax", "losses")
    for scores in ([10, -2, 3], [10, 9, 9], [10, -100, -100]):
        lab.click(f"[{', '.join(map(str, scores))}]".replace("-", "\N{MINUS SIGN}"))
        shown = browser.run("[...document.querySelectorAll('.lab-value')].map(e => Number(e.value))")
        losses = (sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy())
        assert shown == pytest.approx([value(loss, scores) for loss in losses], rel=1e-14)
        assert shown[2] > 0


def test_one_score_moves(part):
    moved = part("06-svm-softmax", "one-score")
    for score in (0, 5, 8.9, 9, 9.1, 14.5, 20):
        moved.slide(0, score)
        shown = moved.shown()
        for name, loss in (("hinge", sm.Hinge()), ("cross_entropy", sm.CrossEntropy())):
            assert shown[f"value-{name}"] == pytest.approx(value(loss, [10, score, -2]), rel=1e-12)
            assert shown[f"push-{name}"] == pytest.approx(gradient(loss, [10, score, -2])[1], rel=1e-12)


def test_digits_on_which_they_disagree(part):
    data = stored("digits")
    digits = part("06-svm-softmax", "disagree")
    assert len(data["disagree"]) >= 2
    for k, one in enumerate(data["disagree"]):
        digits.click(f"{k + 1}: ")
        shown, x = digits.shown(), np.array(one["pixels"]) / 16
        fits = [data["hinge"], data["cross_entropy"]]
        first, second = (x @ np.array(fit["W"]) + np.array(fit["b"]) for fit in fits)
        assert [shown[f"hinge-{c}"] for c in range(10)] == pytest.approx(first.tolist(), abs=1e-12)
        assert [shown[f"softmax-{c}"] for c in range(10)] == pytest.approx(sm.softmax(second[None])[0].tolist())
        assert (first.argmax(), second.argmax()) == (one["hinge"], one["softmax"])


def test_the_p_value(part):
    tested = part("06-svm-softmax", "mcnemar")
    for first, second in ((1, 2), (0, 6), (9, 30), (60, 41), (17, 17), (0, 0)):
        tested.slide(0, first)
        tested.slide(1, second)
        assert tested.shown()["p"] == pytest.approx(mcnemar(first, second), rel=1e-10)


# Numbers in the text


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    found = {}
    for name in ("scores", "svm", "exchange", "softmax", "losses"):
        for key, number in runpy.run_path(str(LEARN / "numbers" / f"{name}.py"))["numbers"]().items():
            found[f"{name}.{key}"] = number
    return found


EXACT = {
    "svm.example": 8, "svm.zero_10": 9, "softmax.zero_10": np.log(10),
    "losses.hinge0": 0, "losses.hinge1": 0, "losses.hinge2": 0,
    "losses.entropy0": 9.18e-4, "losses.entropy1": 0.5514, "losses.entropy2": 3.4e-48,
    "softmax.p0": 0.705, "softmax.p1": 0.035, "softmax.p2": 0.259,
    "softmax.half0": 0.55, "softmax.half1": 0.12, "softmax.half2": 0.33,
    "svm.plane_data": 0.64, "svm.plane_penalty": 1.925, "svm.plane": 2.57, "softmax.example": 1.04,
    "softmax.example_hinge": 1.58,
}  # fmt: skip
"""What the pages must state, in the digits of the design."""


@pytest.mark.parametrize("key", EXACT)
def test_values_of_the_design_are_on_the_pages(key, numbers):
    assert numbers[key] == pytest.approx(EXACT[key], rel=0.02)
    pages = "".join((LEARN / f"{page}.md").read_text("utf-8") for page in PAGES)
    assert re.search(rf"\{{n\}}`{re.escape(key)}[:`]", pages)


def test_every_number_of_the_files_is_used(numbers):
    pages = "".join(path.read_text("utf-8") for path in LEARN.glob("*.md"))
    assert {key for key in numbers if not re.search(rf"\{{n\}}`{re.escape(key)}[:`]", pages)} == set()


def test_numbers_by_another_way(numbers):
    scores = EXAMPLE_W @ EXAMPLE_X + EXAMPLE_B
    assert [round(numbers[f"scores.s{c}"], 2) for c in range(3)] == [-2.85, 0.86, 0.28]
    hinge = svm_loss_naive(EXAMPLE_W.T, EXAMPLE_X[None], [2], 0.0, b=EXAMPLE_B)
    assert hinge == pytest.approx(1.58)
    assert value(sm.Hinge(), scores, 2) == pytest.approx(hinge)
    assert numbers["losses.lead"] == pytest.approx(np.log(2 / (np.exp(0.01) - 1)), rel=1e-10)
    assert numbers["exchange.digits_differ"] == 0
    assert numbers["exchange.digits_size"] == pytest.approx(10, rel=1e-3)
    assert numbers["softmax.lead_naive"] == 0
    assert mcnemar(1, numbers["losses.needed"]) < 0.05 <= mcnemar(1, numbers["losses.needed"] - 1)
