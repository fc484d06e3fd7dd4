"""What holds for every loss at any scores; a counterexample is reduced to its smallest form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import softmargin as sm
from softmargin.losses import SmoothedHinge
from tests.support.problems import n_cases

EPS = np.finfo(np.float64).eps
TINY = np.finfo(np.float64).tiny
ALL = [sm.Hinge(), sm.Hinge(3.0), sm.SquaredHinge(), sm.CrossEntropy(), SmoothedHinge(2.0, 0.5)]
each_loss = pytest.mark.parametrize("loss", ALL, ids=repr)
at_any_scores = settings(max_examples=n_cases(60, 300), deadline=None)


@st.composite
def rows(draw, elements, n_more=0):
    """Return the scores of one row, ``n_more`` further arrays of that length, and a class."""
    n_classes = draw(st.integers(2, 7))
    arrays = [draw(hnp.arrays(np.float64, n_classes, elements=elements)) for _ in range(1 + n_more)]
    return *arrays, draw(st.integers(0, n_classes - 1))


any_size = st.floats(-1e9, 1e9)
whole = st.integers(-1000, 1000).map(float)


def value(loss, s, y):
    return loss.values(s[None], [y])[0]


@each_loss
@at_any_scores
@given(case=rows(any_size))
def test_the_gradient_pulls_the_target_up_and_the_others_down_by_as_much(loss, case):
    s, y = case
    g = loss.gradient(s[None], [y])[0]
    assert value(loss, s, y) >= 0.0
    assert g[y] <= 0.0
    assert (np.delete(g, y) >= 0.0).all()
    assert abs(g.sum()) <= 2 * len(s) * EPS * abs(g[y])


@each_loss
@at_any_scores
@given(case=rows(any_size, n_more=1))
def test_a_loss_lies_above_each_of_its_tangents(loss, case):
    s, z, y = case
    g = loss.gradient(s[None], [y])[0]
    here, there = value(loss, s, y), value(loss, z, y)
    # Each product, the differences in it and the two values are rounded; the slopes are good to a few ε.
    rounding = 20 * EPS * (here + there + np.abs(g) @ (np.abs(z) + np.abs(s)))
    # A margin at s is rounded, too, by ε·|s|, and so is the slope of a loss that bends.
    bend = 2.0 if loss.smooth else 0.0
    rounding += 4 * bend * len(s) * EPS * (np.abs(s).max() + 3.0) * np.abs(z - s).sum()
    assert there >= here + g @ (z - s) - rounding


@each_loss
@at_any_scores
@given(case=rows(any_size), random=st.randoms(use_true_random=False))
def test_the_order_of_the_classes_plays_no_part(loss, case, random):
    s, y = case
    order = list(range(len(s)))
    random.shuffle(order)
    other, place = s[order], order.index(y)
    assert value(loss, other, place) == pytest.approx(value(loss, s, y), rel=2 * (8 + len(s)) * EPS, abs=TINY)
    got, true = loss.gradient(other[None], [place])[0], loss.gradient(s[None], [y])[0][order]
    assert got == pytest.approx(true, rel=2 * (8 + len(s)) * EPS, abs=TINY)


@each_loss
@at_any_scores
@given(case=rows(whole), more=whole)
def test_a_number_added_to_all_scores_changes_nothing(loss, case, more):
    s, y = case  # of whole numbers all sums and differences are exact
    assert value(loss, s + more, y) == value(loss, s, y)
    assert np.array_equal(loss.gradient((s + more)[None], [y]), loss.gradient(s[None], [y]))


@at_any_scores
@given(case=rows(whole), delta=st.integers(1, 50))
def test_the_hinges_of_whole_numbers_are_whole_numbers(case, delta):
    s, y = case
    violations = [max(0, int(s[j]) - int(s[y]) + delta) for j in range(len(s)) if j != y]
    assert value(sm.Hinge(delta), s, y) == sum(violations)
    assert value(sm.SquaredHinge(delta), s, y) == sum(v * v for v in violations)
    slopes = [float(int(s[j]) - int(s[y]) + delta > 0) if j != y else -sum(v > 0 for v in violations)
              for j in range(len(s))]  # fmt: skip
    assert sm.Hinge(delta).gradient(s[None], [y])[0].tolist() == slopes
