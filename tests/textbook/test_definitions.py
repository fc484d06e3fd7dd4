"""The definitions: golden values, relations of the objective, and the two errors of published versions."""

import math

import numpy as np
import pytest

from softmargin.textbook import (
    softmax_loss_naive,
    softmax_loss_vectorized,
    squared_hinge_loss_naive,
    squared_hinge_loss_vectorized,
    svm_loss_naive,
    svm_loss_vectorized,
)

HINGE = [svm_loss_naive, svm_loss_vectorized]
SQUARED = [squared_hinge_loss_naive, squared_hinge_loss_vectorized]
SOFTMAX = [softmax_loss_naive, softmax_loss_vectorized]
ALL = HINGE + SQUARED + SOFTMAX
PAIRS = [HINGE, SQUARED, SOFTMAX]
SHAPES = [(1, 1, 2), (1, 5, 3), (7, 1, 4), (13, 5, 3), (23, 17, 11), (3, 29, 2), (5, 2, 1)]


def of_scores(loss, scores, y, **kwargs):
    """The loss of one row of scores: with W the identity, the scores are X itself, exactly."""
    return loss(np.eye(len(scores)), np.array([scores], dtype=float), np.array([y]), 0.0, **kwargs)


def problem(N, D, C, seed=0, scale=1.0):
    rng = np.random.default_rng([seed, N, D, C])
    W = scale * rng.normal(size=(D, C))
    X = rng.normal(size=(N, D)) + 0.5
    b = scale * rng.normal(size=C)
    return W, X, rng.integers(C, size=N), b


# Golden values


@pytest.mark.parametrize("loss", HINGE + SQUARED)
def test_zero_weights_margin_losses(loss):
    _, X, _, _ = problem(30, 6, 10)
    assert loss(np.zeros((6, 10)), X, np.arange(30) % 10, 0.1) == 9.0


@pytest.mark.parametrize("loss", SOFTMAX)
def test_zero_weights_cross_entropy(loss):
    _, X, _, _ = problem(30, 6, 10)
    value = loss(np.zeros((6, 10)), X, np.arange(30) % 10, 0.1)
    assert value == pytest.approx(math.log(10), rel=1e-15)


THREE_ROWS = [[10, -2, 3], [10, 9, 9], [10, -100, -100]]


@pytest.mark.parametrize("loss", HINGE + SQUARED)
@pytest.mark.parametrize("scores", THREE_ROWS)
def test_margins_of_at_least_delta_cost_nothing(loss, scores):
    assert of_scores(loss, scores, 0) == 0.0


@pytest.mark.parametrize("loss", SOFTMAX)
@pytest.mark.parametrize(
    ("scores", "others"),
    # The loss is log1p(others), where others = Σ_{j≠y} exp(s_j − s_y).
    [(THREE_ROWS[0], math.exp(-12) + math.exp(-7)), (THREE_ROWS[1], 2 * math.exp(-1))],
)
def test_cross_entropy_is_never_content(loss, scores, others):
    assert of_scores(loss, scores, 0) == pytest.approx(math.log1p(others), abs=4e-16)


@pytest.mark.parametrize("loss", SOFTMAX)
def test_cross_entropy_of_the_first_two_rows_in_digits(loss):
    assert of_scores(loss, THREE_ROWS[0], 0) == pytest.approx(9.18e-4, abs=1e-6)
    assert of_scores(loss, THREE_ROWS[1], 0) == pytest.approx(0.5514, abs=5e-5)


@pytest.mark.parametrize("loss", SOFTMAX)
def test_textbook_cross_entropy_loses_a_tiny_loss(loss):
    """The true value is 2·exp(−110) ≈ 3.4e-48: the textbook's log(1 + 3.4e-48) is 0.

    That is the limit of the textbook form, kept on purpose. `softmargin.CrossEntropy` returns 3.4e-48, and
    its own tests hold it to that.
    """
    assert math.log1p(2 * math.exp(-110)) == pytest.approx(3.4e-48, rel=0.01)
    assert of_scores(loss, THREE_ROWS[2], 0) == 0.0


@pytest.mark.parametrize("loss", HINGE)
def test_hinge_with_delta_ten(loss):
    assert of_scores(loss, [13, -7, 11], 0, delta=10) == 8.0


@pytest.mark.parametrize("loss", SQUARED)
def test_squared_hinge_with_delta_ten(loss):
    assert of_scores(loss, [13, -7, 11], 0, delta=10) == 64.0


@pytest.mark.parametrize("loss", SOFTMAX)
def test_softmax_of_three_scores(loss):
    p = [math.exp(-of_scores(loss, [1, -2, 0], j)) for j in range(3)]
    assert p == pytest.approx([0.70, 0.04, 0.26], abs=0.006)
    assert sum(p) == pytest.approx(1.0, rel=1e-15)


IMAGE_W = np.array([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0.0, -0.45, -0.2, 0.03]]).T
IMAGE_X = np.array([[-15.0, 22.0, -44.0, 56.0]])
IMAGE_B = np.array([0.0, 0.2, -0.3])


@pytest.mark.parametrize(
    ("losses", "expected", "digits"),
    # Scores −2.85, 0.86, 0.28.
    [(HINGE, 1.58, 1e-13), (SQUARED, 1.58**2, 1e-13), (SOFTMAX, 1.04, 5e-4)],
)
def test_one_image_of_four_pixels(losses, expected, digits):
    for loss in losses:
        assert loss(IMAGE_W, IMAGE_X, np.array([2]), 0.0, b=IMAGE_B) == pytest.approx(expected, abs=digits)


PLANE_W = np.array([[2.06, 1.48], [0.44, -1.82], [2.27, -2.04]]).T
PLANE_B = np.array([-0.42, 0.52, -0.10])
PLANE_X = np.array(
    [
        [[0.5, 0.4], [0.8, 0.3], [0.3, 0.8]],
        [[-0.4, 0.3], [-0.3, 0.7], [-0.7, 0.2]],
        [[0.7, -0.4], [0.5, -0.6], [-0.4, -0.5]],
    ]
).reshape(9, 2)
PLANE_Y = np.repeat([0, 1, 2], 3)


@pytest.mark.parametrize("loss", HINGE)
def test_nine_points_in_the_plane(loss):
    data = loss(PLANE_W, PLANE_X, PLANE_Y, 0.0, b=PLANE_B)
    total = loss(PLANE_W, PLANE_X, PLANE_Y, 0.1, b=PLANE_B)
    assert data == pytest.approx(0.64, abs=0.005)
    assert total - data == pytest.approx(1.925, abs=0.0005)
    assert total == pytest.approx(2.57, abs=0.005)


# Loops and NumPy say the same


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("with_bias", [False, True])
def test_naive_equals_vectorized(pair, shape, scale, with_bias):
    W, X, y, b = problem(*shape, scale=scale)
    naive, vectorized = (loss(W, X, y, 0.37, b=b if with_bias else None) for loss in pair)
    assert naive == pytest.approx(vectorized, rel=1e-12)


@pytest.mark.parametrize("pair", [HINGE, SQUARED])
@pytest.mark.parametrize("delta", [0.0, 0.3, 25.0])
def test_naive_equals_vectorized_for_any_delta(pair, delta):
    W, X, y, b = problem(19, 6, 5)
    naive, vectorized = (loss(W, X, y, 0.01, delta, b=b) for loss in pair)
    assert naive == pytest.approx(vectorized, rel=1e-13)


@pytest.mark.parametrize("loss", ALL)
def test_lists_do_as_well_as_arrays(loss):
    W, X, y, b = problem(7, 4, 3)
    from_lists = loss(W.tolist(), X.tolist(), y.tolist(), 0.2, b=b.tolist())
    assert from_lists == pytest.approx(loss(W, X, y, 0.2, b=b), rel=1e-14)
    assert type(from_lists) is float


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_narrow_features_are_summed_in_double(loss, dtype):
    W, _, y, b = problem(9, 6, 4)
    X = np.random.default_rng(1).integers(0, 256, size=(9, 6)).astype(dtype)
    wide = loss(W, X.astype(np.float64), y, 0.2, b=b)
    assert loss(W, X, y, 0.2, b=b) == pytest.approx(wide, rel=1e-14)


@pytest.mark.parametrize("loss", ALL)
def test_the_arguments_are_left_alone(loss):
    arguments = problem(9, 6, 4)
    before = [a.copy() for a in arguments]
    W, X, y, b = arguments
    loss(W, X, y, 0.2, b=b)
    for array, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("loss", ALL)
def test_nan_is_not_swallowed(loss):
    W, X, y, _ = problem(5, 3, 4)
    X[2, 1] = np.nan
    assert math.isnan(loss(W, X, y, 0.1))


@pytest.mark.parametrize("loss", SOFTMAX)
def test_large_scores_neither_overflow_nor_warn(loss):
    assert of_scores(loss, [1e5, 0.0, -1e5], 0) == 0.0
    assert of_scores(loss, [1e5, 0.0, -1e5], 2) == 2e5


# Relations that the objective obeys


@pytest.mark.parametrize("loss", ALL)
def test_the_order_of_rows_and_the_names_of_classes_do_not_matter(loss):
    W, X, y, b = problem(23, 5, 6)
    rng = np.random.default_rng(2)
    rows, classes = rng.permutation(23), rng.permutation(6)
    value = loss(W, X, y, 0.1, b=b)
    assert loss(W, X[rows], y[rows], 0.1, b=b) == pytest.approx(value, rel=1e-13)
    renamed = loss(W[:, classes], X, np.argsort(classes)[y], 0.1, b=b[classes])
    assert renamed == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("loss", ALL)
def test_only_differences_of_scores_count(loss):
    W, X, y, b = problem(23, 5, 6)
    assert loss(W, X, y, 0.1, b=b + 3.25) == pytest.approx(loss(W, X, y, 0.1, b=b), rel=1e-13)


@pytest.mark.parametrize("loss", ALL)
def test_a_bias_is_a_column_of_ones_that_is_not_penalised(loss):
    W, X, y, b = problem(23, 5, 6)
    as_column = loss(np.vstack([W, b]), np.column_stack([X, np.ones(23)]), y, 0.3)
    assert as_column == pytest.approx(loss(W, X, y, 0.3, b=b) + 0.3 * np.sum(b * b), rel=1e-13)


@pytest.mark.parametrize("loss", HINGE)
@pytest.mark.parametrize("delta", [0.25, 3.0])
def test_delta_and_reg_trade_off_for_the_hinge(loss, delta):
    """F_{Δ,λ}(ΔW, Δb) = Δ · F_{1,Δλ}(W, b), hence W*(Δ, λ) = Δ · W*(1, Δλ)."""
    W, X, y, b = problem(31, 7, 5)
    reg = 0.02
    left = loss(delta * W, X, y, reg, delta, b=delta * b)
    assert left == pytest.approx(delta * loss(W, X, y, delta * reg, 1.0, b=b), rel=1e-13)


@pytest.mark.parametrize("loss", SQUARED)
@pytest.mark.parametrize("delta", [0.25, 3.0])
def test_delta_is_a_scale_for_the_squared_hinge(loss, delta):
    """F_{Δ,λ}(ΔW, Δb) = Δ² · F_{1,λ}(W, b), hence W*(Δ, λ) = Δ · W*(1, λ)."""
    W, X, y, b = problem(31, 7, 5)
    reg = 0.02
    left = loss(delta * W, X, y, reg, delta, b=delta * b)
    assert left == pytest.approx(delta**2 * loss(W, X, y, reg, 1.0, b=b), rel=1e-13)


# The two errors of published versions


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("shape", [(12, 5, 3), (4, 11, 3)])
def test_the_data_loss_is_a_mean_over_rows(loss, shape):
    """It is the mean of the losses of the single rows, and not their sum over the number of columns."""
    W, X, y, b = problem(*shape)
    N, D, _ = shape
    rows = [loss(W, X[i : i + 1], y[i : i + 1], 0.0, b=b) for i in range(N)]
    value = loss(W, X, y, 0.0, b=b)
    assert value == pytest.approx(sum(rows) / N, rel=1e-13)
    assert value != pytest.approx(sum(rows) / D, rel=0.1)


@pytest.mark.parametrize("loss", ALL)
def test_repeating_every_row_changes_nothing(loss):
    W, X, y, b = problem(12, 5, 3)
    twice = loss(W, np.vstack([X, X]), np.concatenate([y, y]), 0.1, b=b)
    assert twice == pytest.approx(loss(W, X, y, 0.1, b=b), rel=1e-13)


@pytest.mark.parametrize("loss", ALL)
def test_columns_of_zeros_change_nothing(loss):
    W, X, y, b = problem(12, 5, 3)
    wider = loss(np.vstack([W, np.zeros((8, 3))]), np.column_stack([X, np.zeros((12, 8))]), y, 0.1, b=b)
    assert wider == pytest.approx(loss(W, X, y, 0.1, b=b), rel=1e-13)


@pytest.mark.parametrize("loss", ALL)
def test_the_penalty_is_reg_times_the_sum_of_squares_without_a_half(loss):
    D, C, reg = 7, 5, 0.25
    W, X, y = np.ones((D, C)), np.zeros((3, D)), np.array([0, 1, 4])
    assert loss(W, X, y, reg) - loss(W, X, y, 0.0) == pytest.approx(reg * D * C, rel=1e-15)
