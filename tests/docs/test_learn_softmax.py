"""Pages 5 and 6: every control is moved, and what is shown is what the library computes."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm
from softmargin.statistics import mcnemar
from tests.docs.parts import gradient, stored, value

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
        soft.choose(0, y)
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
    soft.press("Reset")
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
    shares.press("Reset")
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
        lab.press(f"[{', '.join(map(str, scores))}]".replace("-", "\N{MINUS SIGN}"))
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
        digits.press(f"{k + 1}: a {one['label']}")
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
