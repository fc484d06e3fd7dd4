"""Pages 1, 2 and 4: every control is moved, and what is shown is what the library computes."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm
from tests.docs.parts import EXAMPLE_B, EXAMPLE_W, EXAMPLE_X, gradient, stored, value

HINGES = {"Hinge": sm.Hinge, "Squared hinge": sm.SquaredHinge}

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
        digit.choose(0, k)
        check(pixels[k], 27)
    found = pixels[4].copy()
    digit.run("part.querySelector('canvas.pixels').focus()")
    for key in ("ArrowRight", "ArrowDown", " "):
        browser.press(key)
    found[36] = 0 if found[36] >= 8 else 16
    check(found, 36)
    for key in ("-", "ArrowLeft", "+", "+"):
        browser.press(key)
    found[36], found[35] = max(0, found[36] - 1), min(16, found[35] + 2)
    check(found, 35)
    left, top = digit.run("(e => [e.left, e.top])(part.querySelector('canvas').getBoundingClientRect())")
    browser.mouse("mousePressed", left + 45, top + 15)  # draws over two pixels
    browser.mouse("mouseMoved", left + 45, top + 45)
    browser.mouse("mouseReleased", left + 45, top + 45)
    found[1] = found[9] = 0 if found[1] >= 8 else 16
    check(found, 9)
    digit.press("Weight × pixel")
    check(found, 9)
    digit.press("Clear")
    check(np.zeros(64), 9)
    digit.press("Restore")
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
        example.choose(0, 0)
        y = 0
        check()
    example.press("Reset")
    W, x, b = EXAMPLE_W, EXAMPLE_X, EXAMPLE_B
    check()


# Page 2


def test_who_pays(part):
    rivals = part("02-svm-loss", "payers")
    assert rivals.shown() == {"pays-1": 0, "pays-2": 8, "pays-sum": 8}
    for name, kind in HINGES.items():
        rivals.press(name)
        for scores, delta, y in (([2, 3, 2.5], 1, 0), ([-4, 20, 19.5], 6, 1), ([-20, -20, -20], 0.5, 2)):
            for place, number in enumerate((*scores, delta)):
                rivals.slide(place, number)
            rivals.choose(0, y)
            shown = rivals.shown()
            assert shown["pays-sum"] == value(kind(delta), scores, y)
            for j in {0, 1, 2} - {y}:
                alone = [scores[y], scores[j]]
                assert shown[f"pays-{j}"] == value(kind(delta), alone)
    rivals.press("Reset")


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
    curves.run("part.querySelector('.live').scrollIntoView({block: 'center'})")
    place = "(e => [e.left, e.top, e.width])(part.querySelector('.live').getBoundingClientRect())"
    left, top, width = curves.run(place)
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
        pair.press(name)
        for rule, by_product in (("Δ = 1, Δ·λ", True), ("Δ = 1, λ", False)):
            pair.press(rule)
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
    pair.run("part.querySelector('input[type=checkbox]').click()")
    before = pair.shown()
    pair.slide(0, 2)
    after = pair.shown()
    assert after["delta-0"] * after["reg-0"] == pytest.approx(before["delta-0"] * before["reg-0"])
    assert after["delta-0"] != before["delta-0"]
    assert [after[f"right-{j}"] for j in range(6)] == [before[f"right-{j}"] for j in range(6)]
    assert after["differ"] == 0
    assert after["reg-0"] in data["regs"]
    for place in (0, 1):  # where one slider ends, the other one stops
        for end in (0, 5, 10):
            pair.slide(place, end)
            there = pair.shown()
            assert there["delta-0"] * there["reg-0"] == pytest.approx(before["delta-0"] * before["reg-0"])
            assert [there[f"right-{j}"] for j in range(6)] == [before[f"right-{j}"] for j in range(6)]
