"""Choosing λ and the loss on held-out samples."""

import json

import numpy as np
import pytest

import softmargin as sm
from softmargin.errors import DataError, ParameterError
from softmargin.selection import content_hashes, rules
from softmargin.selection.folds import held_out
from softmargin.selection.grid import largest_reg
from softmargin.statistics import standard_error

LOSSES = [sm.CrossEntropy(), sm.SquaredHinge(), sm.Hinge()]


@pytest.fixture(scope="module")
def digits():
    return sm.load_dataset("digits")


@pytest.fixture(scope="module")
def choice(digits):
    return sm.choose(digits.X, digits.y, LOSSES)


def points_of(labels):
    """Return different features for each sample, and the hashes of them all."""
    X = np.random.default_rng(0).normal(size=(len(labels), 3))
    return X, content_hashes(X)


def test_the_split_is_stratified_and_never_takes_a_whole_class():
    y = np.repeat([0, 1, 2, 3], [100, 10, 2, 1])
    X, hashes = points_of(y)
    fold = held_out(y, np.ones(len(y)), 0.2, hashes)
    assert list(np.bincount(y[fold.validation], minlength=4)) == [20, 2, 1, 0]
    assert np.array_equal(np.sort(np.concatenate(fold)), np.arange(len(y)))
    other = held_out(y, np.ones(len(y)), 0.2, content_hashes(X, seed=1))
    assert not np.array_equal(fold.validation, other.validation)
    with pytest.raises(DataError, match="two samples with different features, got none"):
        held_out(np.arange(4), np.ones(4), 0.2, hashes[:4])


def test_samples_without_weight_are_not_held_out():
    y, weights = np.arange(60) % 3, (np.arange(60) % 2).astype(float)
    fold = held_out(y, weights, 0.3, points_of(y)[1])
    assert all(np.all(part % 2 == 1) for part in fold)


def best_of(accuracies, losses):
    """Return the index of the best accuracy; of equal ones that of the smallest loss, to a thousandth."""
    losses = np.where(np.equal(accuracies, np.max(accuracies)), losses, np.inf)
    return int(np.argmax(losses <= 1.001 * losses.min()))


def test_the_choice_is_what_the_paths_say(choice):
    best = [path.chosen.validation_accuracy for path in choice.paths]
    assert choice.loss == choice.paths[int(np.argmax(best))].loss
    for path in choice.paths:
        accuracies = [point.validation_accuracy for point in path.points]
        losses = np.array([point.mean("validation_loss") for point in path.points])
        best = [best_of(accuracies[: k + 1], losses[: k + 1]) for k in range(len(losses))]
        assert path.best == best[-1]
        regs = [point.reg for point in path.points]
        assert regs == sorted(regs, reverse=True)
        # The path ends as soon as three smaller λ were no better and the held-out loss no longer falls, or as soon
        # as accuracy and loss have both become worse.
        flat = [k for k in range(3, len(losses)) if best[k] + 3 <= k and losses[k] >= 0.98 * losses[k - 3]]
        worse = [k for k in range(2, len(losses)) if rules.is_past_best(path.points[: k + 1])]
        assert sorted({*flat, *worse}) == [len(path.points) - 1]
        assert max(accuracies) > 0.93
        assert all(0 <= point.gap <= 1e-3 or point.n_passes >= 1000 for point in path.points)
    assert choice.n_training + choice.n_validation == 1442


def test_the_path_point_is_what_a_fit_without_the_held_out_samples_gives(digits, choice):
    path = choice.paths[0]
    point = path.chosen
    weights = np.ones(len(digits.y))
    rows = held_out(digits.y, weights, 0.2, content_hashes(digits.X)).validation
    weights[rows] = 0.0
    classifier = sm.LinearClassifier(path.loss, reg=point.reg, tol=1e-4).fit(digits.X, digits.y, weights)
    assert classifier.lower_bound_ <= point.value <= classifier.value_ * (1 + 1.01e-3)
    accuracy = classifier.score(digits.X[rows], digits.y[rows])
    assert accuracy == pytest.approx(point.validation_accuracy, abs=0.02)


def test_the_first_lambda_leaves_almost_nothing(digits):
    objective = sm.Objective(sm.CrossEntropy(), digits.X, digits.y, 0.0)
    fit = sm.minimize(objective.replace(reg=largest_reg(objective)))
    scores = objective.scores(fit.W, fit.b)
    assert 0.03 < np.sqrt(((scores - scores.mean(axis=0)) ** 2).mean()) < 0.3


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_where_the_features_stand_does_not_move_the_grid(digits, loss):
    """A free bias takes the mean off them; without one they are what they are."""
    X = digits.X.astype(np.float64)
    same, moved = (sm.Objective(loss, Z, digits.y, 0.0) for Z in (X, X + 100.0))
    assert largest_reg(moved) == pytest.approx(largest_reg(same), rel=1e-9)
    fixed = [sm.Objective(loss, Z, digits.y, 0.0, fit_intercept=False) for Z in (X, X + 100.0)]
    assert largest_reg(fixed[1]) > 2.0 * largest_reg(fixed[0])


@pytest.mark.parametrize("delta", [0.25, 16.0])
@pytest.mark.parametrize("loss", [sm.Hinge, sm.SquaredHinge])
def test_delta_does_not_change_the_choice(digits, loss, delta):
    """λ moves as the exchange relation says, and nothing else does."""
    one = sm.choose(digits.X, digits.y, [loss()])
    other = sm.choose(digits.X, digits.y, [loss(delta)])
    moved = delta if loss is sm.Hinge else 1.0
    assert [p.reg * moved for p in other.paths[0].points] == pytest.approx([p.reg for p in one.paths[0].points])
    assert other.paths[0].best == one.paths[0].best
    assert [p.validation_accuracy for p in other.paths[0].points] == pytest.approx(
        [p.validation_accuracy for p in one.paths[0].points], abs=1.5 / one.n_validation
    )


def test_an_unknown_argument_is_named_with_the_public_function(digits):
    for function in (sm.choose, sm.compare):
        with pytest.raises(TypeError, match=rf"{function.__name__}\(\) got an unexpected keyword argument 'foo'"):
            function(digits.X, digits.y, LOSSES, foo=1)


def test_a_choice_needs_no_particular_order_of_threads(digits):
    one = sm.choose(digits.X, digits.y, [sm.CrossEntropy()], n_threads=1)
    two = sm.choose(digits.X, digits.y, [sm.CrossEntropy()], n_threads=2)
    strip = [[(p.reg, p.value, p.gap, p.validation_accuracy) for p in c.paths[0].points] for c in (one, two)]
    assert strip[0] == strip[1]


def test_record_and_reason(choice):
    record = choice.record()
    assert json.loads(json.dumps(record)) == record
    assert record["loss"] == choice.loss.name
    reason = choice.reason()
    for path in choice.paths:
        assert path.loss.name in reason
    assert f"{choice.reg:.3g}" in reason
    assert "held-out" in reason


def test_given_lambdas_are_the_ones_tried(digits):
    choice = sm.choose(digits.X, digits.y, [sm.CrossEntropy()], [1e-3, 1.0])
    assert [point.reg for point in choice.paths[0].points] == [1.0, 1e-3]
    assert choice.reg == 1e-3


def test_the_callback_receives_each_step(digits):
    seen = []
    sm.choose(digits.X, digits.y, [sm.Hinge()], [1.0], callback=lambda *seen_: seen.append(seen_[:3]))
    assert set(seen) == {(sm.Hinge(), 1.0, 0)}


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"losses": []}, ParameterError, r"losses must be a list of at least one loss, got \[\]"),
        ({"losses": sm.Hinge()}, ParameterError, r"losses must be a list of at least one loss, got Hinge\("),
        (
            {"losses": ["hing"]},
            ParameterError,
            r"loss must be an instance of a loss, such as softmargin.Hinge\(\), got 'hing'",
        ),
        ({"regs": []}, ParameterError, "regs must contain at least one λ"),
        ({"regs": [0.1, "x"]}, ParameterError, "reg must be a number, got 'x'"),
        ({"validation_fraction": 2}, ParameterError, "validation_fraction must be between 0 and 1, got 2"),
        ({"validation_fraction": "x"}, ParameterError, "validation_fraction must be a number"),
        ({"callback": 3}, ParameterError, "callback must be callable, got 3"),
        ({"seed": -1}, ParameterError, "seed must be an integer ≥ 0, got -1"),
        ({"X": np.ma.masked_array(np.eye(6))}, DataError, "X is a masked array"),
        ({"X": np.zeros(6)}, DataError, "two-dimensional"),
        ({"y": ["a", 1, "b"] * 2}, DataError, "y mixes labels"),
        ({"y": [0, 1]}, DataError, "y must hold 6 labels"),
        ({"sample_weight": [1, 2]}, DataError, r"sample_weight must have shape \(6,\)"),
    ],
)
def test_invalid_arguments(changes, error, said):
    arguments = {"X": np.eye(6), "y": [0, 1, 2] * 2, "losses": [sm.Hinge()], "regs": [0.1]} | changes
    with pytest.raises(error, match=said):
        sm.choose(**arguments)


@pytest.mark.parametrize(("n_right", "n"), [(0, 1), (1, 1), (288, 288), (279, 288), (0, 10_000), (4128, 10_000)])
def test_the_standard_error_is_half_of_wilsons_interval(n_right, n):
    """The interval holds the p for which n_right / n is at most one standard error of p away."""
    accuracy = n_right / n
    low, high = np.sort(np.roots([1 + 1 / n, -(2 * accuracy + 1 / n), accuracy**2]))
    # Two roots as close as 1/n are right to about the square root of ε times their distance.
    assert standard_error(accuracy, n) == pytest.approx((high - low) / 2, rel=1e-6)
    assert standard_error(accuracy, n) >= 0.5 / (n + 1) * (1 - 1e-12)  # of one more sample, half a count
    assert standard_error(1 - accuracy, n) == pytest.approx(standard_error(accuracy, n), rel=1e-12)


def test_the_standard_error_of_many_samples_is_the_known_one():
    for accuracy in (0.1, 0.5, 0.97):
        assert standard_error(accuracy, 10**8) == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 1e8), rel=1e-6)


def test_a_perfect_score_has_a_standard_error():
    rows = np.arange(60) % 3
    X = np.eye(3)[rows] + 1e-3 * points_of(rows)[0]
    choice = sm.choose(X, rows, [sm.CrossEntropy()], [1e-3])
    assert choice.paths[0].chosen.validation_accuracy == 1.0
    assert choice.n_validation == 12
    assert choice.standard_error == standard_error(1.0, 12)
    assert "(held-out accuracy 1.0000 ± 0.0385 on 12 samples)" in choice.reason()  # 1 / 26
