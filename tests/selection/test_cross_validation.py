"""Folds, paths, the comparison of losses, and the probabilities that are made of held-out scores."""

import itertools
import json
import math
import signal
import threading
import time
import warnings
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
)
from sklearn.model_selection import cross_validate as sklearn_cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import softmargin as sm
from softmargin.data import Dataset
from softmargin.errors import DataError, ParameterError
from softmargin.metrics import calibration_error
from softmargin.preprocessing import unit_rows
from softmargin.samples import Labelled
from softmargin.selection import (
    PairedTest,
    Settings,
    content_hashes,
    cross_validate,
    fit_temperature,
    gather,
    make_folds,
)
from softmargin.selection.fitter import PathFitter
from softmargin.selection.folds import held_out
from softmargin.selection.grid import fixed_grid, reg_grid
from softmargin.selection.schedule import fit_concurrently
from softmargin.statistics import mcnemar, root
from softmargin.threads import Workers

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = (sm.CrossEntropy(), sm.SquaredHinge(), sm.Hinge())
REGS = [1.0, 0.1, 0.01]


@pytest.fixture(scope="module")
def blobs():
    """Three clouds that overlap: choosing λ matters, and no loss is perfect."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 203)
    X = rng.normal(size=(3, 11))[y] + 1.6 * rng.normal(size=(203, 11))
    return X.astype(np.float32), np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def comparison(blobs, compiled):
    return sm.compare(*blobs, LOSSES, REGS, cv=4)


# Folds


def folds_by_content(X, y, n=5, weights=None, seed=0):
    labelled = Labelled.check(X, y, weights)
    return make_folds(n, labelled, content_hashes(labelled.X, seed))


def test_folds_belong_to_the_rows_and_not_to_their_places(blobs):
    X, labels = blobs
    y = np.unique(labels, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(y))
    for fold, moved in zip(folds_by_content(X, y), folds_by_content(X[order], y[order]), strict=True):
        for part, moved_part in zip(fold, moved, strict=True):
            assert np.array_equal(part, np.sort(order[moved_part]))
        counts = np.bincount(y[fold.validation]), np.bincount(y) / 5
        assert np.all(np.abs(counts[0] - counts[1]) < 1.0)  # stratified to less than one sample
        assert np.array_equal(np.sort(np.concatenate(fold)), np.arange(len(y)))
    sparse = folds_by_content(csr_array(X), y)
    assert [len(part) for fold in sparse for part in fold] == [
        len(part) for fold in folds_by_content(X, y) for part in fold
    ]


def test_equal_rows_stand_on_one_side():
    X = np.random.default_rng(0).normal(size=(30, 2)).repeat(3, axis=0)
    X[X < -1.5] = -0.0
    y = np.arange(90) // 3 % 3
    X[::3] = np.where(X[::3] == 0.0, 0.0, X[::3])  # 0.0 and -0.0 are equal
    for fold in folds_by_content(X, y):
        assert set(fold.training // 3).isdisjoint(fold.validation // 3)


def test_rows_that_repeat_are_dealt_like_others():
    """Where rows with the same features are many, the score is that of StratifiedKFold, whatever their labels."""
    rng = np.random.default_rng(27)
    X = (rng.random((3000, 5)) < [0.1, 0.5, 0.05, 0.3, 0.02]).astype(float)
    y = (2 * X @ rng.standard_normal((5, 3)) + rng.gumbel(size=(3000, 3))).argmax(axis=1)
    for fold in folds_by_content(X, y):
        assert np.all(np.abs(np.bincount(y[fold.validation]) - np.bincount(y) / 5) <= 5.0)
        assert abs(len(fold.validation) - 600) <= 5
    order = rng.permutation(3000)
    found = [
        sm.compare(X[rows], y[rows], [sm.CrossEntropy()], [0.01], cv=cv, calibrate=False)
        for rows, cv in (
            (np.arange(3000), 5),
            (order, 5),
            (np.arange(3000), StratifiedKFold(5, shuffle=True, random_state=0)),
        )
    ]
    scores = [one.chosen_path.chosen.score for one in found]
    assert scores[0] == scores[1]
    assert scores[0] == pytest.approx(scores[2], abs=0.02)
    quick = sm.choose(X, y, [sm.CrossEntropy()], [0.01])
    assert abs(quick.n_validation - 600) <= 10
    assert quick.chosen_path.chosen.score == pytest.approx(scores[2], abs=0.06)


def test_equal_features_with_different_labels_stay_together():
    X = np.random.default_rng(0).normal(size=(40, 2)).repeat(3, axis=0)
    y = np.random.default_rng(1).integers(0, 3, 120)
    for fold in folds_by_content(X, y):
        assert set(fold.training // 3).isdisjoint(fold.validation // 3)
        assert abs(len(fold.validation) - 24) <= 3


def test_rare_classes():
    X = np.random.default_rng(0).normal(size=(14, 2))
    y = np.array([0] * 10 + [1] * 3 + [2])
    folds = folds_by_content(X, y)
    assert all(13 in fold.training for fold in folds)  # the only one of its class
    assert all({0, 1, 2} == set(y[fold.training]) for fold in folds)
    assert len(folds_by_content(X[10:], y[10:])) == 3  # of three samples that can be held out
    with pytest.raises(DataError, match="At least one class must have two samples with different features"):
        folds_by_content(X[:3], np.arange(3))


@pytest.mark.parametrize(
    ("cv", "groups", "error", "said"),
    [
        (1, None, ParameterError, "cv must be an integer ≥ 2, got 1"),
        (
            "five",
            None,
            ParameterError,
            "cv must be a number of folds, a splitter or pairs of index arrays, got 'five'",
        ),
        (True, None, ParameterError, "cv must be a number of folds.*, got True"),
        (None, None, ParameterError, "cv must be a number of folds.*, got None"),
        (2.5, None, ParameterError, "cv must be a number of folds.*, got 2.5"),
        ([], None, DataError, "cv must give at least one fold, got none"),
        ([([0, 1], [1, 2])], None, DataError, "must have disjoint parts, got sample 1 in both of them"),
        ([([0, 1], [99])], None, DataError, "must contain indices 0 … 8, got held-out sample 99"),
        ([([0, 1], [])], None, DataError, "Fold 0 of cv must (contain the indices of|have a) held-out sample"),
        ([([0, 3, 6], [1])], None, DataError, "training samples of at least two classes, got one class"),
        (GroupKFold(2), None, DataError, "cv must be able to split the samples, got ValueError: The 'groups'"),
        (2, np.arange(3), DataError, r"groups must have shape \(9,\), got \(3,\)"),
    ],
)
def test_invalid_folds(cv, groups, error, said):
    X = np.random.default_rng(0).normal(size=(9, 2))
    with pytest.raises(error, match=said):
        sm.compare(X, np.arange(9) % 3, [sm.SquaredHinge()], [1.0], cv=cv, groups=groups)


def test_groups_stay_together(blobs):
    X, labels = blobs
    groups = np.arange(len(labels)) % 17
    for cv in (3, GroupKFold(3), LeaveOneGroupOut()):
        for fold in make_folds(cv, Labelled.check(X, labels), content_hashes(X), groups):
            assert set(groups[fold.training]).isdisjoint(groups[fold.validation])


# Paths


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_path_is_the_fits_it_stands_for(blobs, loss):
    """Each point is within its proved gap of a fit from nothing, dual rows handed on or not."""
    X, labels = blobs
    objective = sm.Objective(loss, X, np.unique(labels, return_inverse=True)[1], 0.0)
    found = sm.path(objective, [0.01, 3.0, 0.3, 0.03], tol=1e-4)
    assert [reg for reg, _ in found] == [3.0, 0.3, 0.03, 0.01]
    for reg, fit in found:
        alone = sm.minimize(objective.replace(reg=reg), tol=1e-5, max_passes=50_000)
        assert fit.gap <= 1e-4
        assert fit.lower_bound <= alone.value
        assert alone.lower_bound <= fit.value <= alone.value * (1 + 1.01e-4)
        assert objective.replace(reg=reg).value(fit.W, fit.b) == pytest.approx(fit.value, rel=1e-12)


def test_a_path_takes_fewer_passes_than_its_fits():
    digits, together, alone = sm.load_dataset("digits"), [], []
    for loss in LOSSES:
        objective = sm.Objective(loss, digits.X, digits.y, 0.0)
        grid = [reg for reg, _ in zip(reg_grid(objective, 4), range(16), strict=False)][4:]
        together.append(sum(fit.n_passes for _, fit in sm.path(objective, grid)))
        alone.append(sum(sm.minimize(objective.replace(reg=reg), tol=1e-3).n_passes for reg in grid))
    assert all(fewer < more for fewer, more in zip(together, alone, strict=True))
    assert sum(together) < 0.9 * sum(alone)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_the_grid_reaches_from_nothing_to_a_perfect_fit(loss):
    digits = sm.load_dataset("digits")
    objective = sm.Objective(loss, digits.X, digits.y, 0.0)
    grid = fixed_grid(objective, 7)
    assert len(grid) == 7
    assert np.allclose(np.diff(np.log(grid)), np.log(grid[1] / grid[0]))
    nothing = objective.value(np.zeros((64, 10)), np.zeros(10))
    first, last = (PathFitter(objective).fit(reg, 0.1, 1000) for reg in (grid[0], grid[-1]))
    assert first.value > 0.8 * nothing
    assert last.value - grid[-1] * (last.W**2).sum() < 2e-3 * nothing


@pytest.mark.parametrize("scoring", ["accuracy", "balanced_accuracy"])
def test_rows_of_length_one_are_divided_before_all_else(blobs, scoring):
    X, labels = blobs
    X = X * np.random.default_rng(0).uniform(0.1, 10.0, (len(X), 1)).astype(np.float32)
    options = {"regs": REGS, "cv": 3, "scoring": scoring}
    fitted = sm.LinearClassifierCV(["squared_hinge"], normalize_rows=True, **options).fit(X, labels)
    plain = sm.LinearClassifierCV(["squared_hinge"], **options).fit(unit_rows(X), labels)
    assert fitted.coef_.tobytes() == plain.coef_.tobytes()
    assert fitted.best_score_ == plain.best_score_
    assert fitted.preprocessing_.rows == "l2"
    assert plain.preprocessing_.rows == "none"
    np.testing.assert_array_equal(fitted.predict_proba(X), plain.predict_proba(unit_rows(X)))
    model = fitted.to_model(Dataset(X, labels, "blobs"), choice=fitted.path_)
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    with pytest.raises(ParameterError, match="normalize_rows must be True or False"):
        sm.LinearClassifierCV(normalize_rows="l2").fit(X, labels)


def test_invalid_arguments_of_a_path():
    objective = sm.Objective(sm.SquaredHinge(), np.eye(3), [0, 1, 2], 0.0)
    for regs, said in (
        ([], "regs must contain at least one λ"),
        ([0.0], "regs must be positive, got 0"),
        ("all", "regs must be 'auto', an integer or a list of λ, got 'all'"),
        (0, "regs must be an integer ≥ 1, got 0"),
    ):
        with pytest.raises(ParameterError, match=said):
            sm.path(objective, regs)
    with pytest.raises(ParameterError, match=r"objective must be a softmargin\.Objective, got array"):
        sm.path(np.eye(3))
    with pytest.raises(ParameterError, match="callback must be callable, got 3"):
        sm.path(objective, callback=3)


# The comparison


def test_scores_are_those_of_fits_without_the_held_out_samples(blobs, comparison):
    X, labels = blobs
    y = np.unique(labels, return_inverse=True)[1]
    folds = folds_by_content(X, y, 4)
    for path in comparison.paths:
        for point in path.points:
            for fold, said in zip(folds, point.folds, strict=True):
                alone = sm.LinearClassifier(path.loss, reg=point.reg, tol=1e-6, max_passes=20_000)
                alone.fit(X[fold.training], y[fold.training])
                right = alone.predict(X[fold.validation]) == y[fold.validation]
                assert said.validation_accuracy == pytest.approx(right.mean(), abs=2.1 / len(right))
                losses = alone.sample_losses(X[fold.validation], y[fold.validation])
                assert said.validation_loss == pytest.approx(losses.mean(), rel=0.05)
                assert said.gap <= 1e-3
                data, penalty = said.training_loss, point.reg * said.square
                assert data + penalty == pytest.approx(said.value, rel=1e-12)
                assert alone.lower_bound_ <= said.value <= alone.value_ * (1 + 1.01e-3)
            scores = [fold.validation_accuracy for fold in point.folds]
            assert point.score == pytest.approx(np.mean(scores))
            assert point.standard_error == pytest.approx(np.std(scores, ddof=1) / 2.0)


def test_the_rules(blobs, comparison):
    careful = sm.compare(*blobs, LOSSES, REGS, cv=4, rule="one_se")
    for path, other in zip(comparison.paths, careful.paths, strict=True):
        scores = np.array([point.score for point in path.points])
        assert path.index == path.best == best_of(path)
        allowed = scores >= scores[path.best] - path.points[path.best].standard_error
        assert path.one_se == int(np.argmax(allowed))
        assert other.index == other.one_se == path.one_se <= path.best
    assert "This is the largest reg within one standard error of the best score (accuracy 0." in careful.reason()
    assert "Best" not in careful.sentences()[2]
    by_loss = sm.compare(*blobs, LOSSES, REGS, cv=4, scoring="loss")
    for path in by_loss.paths:
        assert path.best == int(np.argmin([point.validation_loss for point in path.points]))


def best_of(path):
    """Return the index of the best score; of equal ones that of the smallest held-out loss, to a thousandth."""
    best = max(point.score for point in path.points)
    losses = [p.validation_loss if math.isclose(p.score, best, rel_tol=1e-11) else math.inf for p in path.points]
    return next(k for k, loss in enumerate(losses) if loss <= 1.001 * min(losses))


def test_of_equal_accuracies_the_smaller_loss_decides():
    """Of few samples that are easily told apart: any λ has all of them right, and a large one no probabilities."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = np.vstack([3.0 * np.eye(3), np.zeros(3)]).T[y] + 0.3 * rng.normal(size=(60, 4))
    for find in (sm.choose, sm.compare):
        found = find(X, y, ["cross_entropy", "squared_hinge", "hinge"])
        assert found.loss == sm.CrossEntropy()  # of equal ones the first
        for path in found.paths:
            assert path.points[0].score == path.points[path.best].score == 1.0
            assert path.best == best_of(path) > 0
            assert path.chosen.validation_loss < 0.1 * path.points[0].validation_loss
    search = sm.LinearClassifierCV(calibrate=True).fit(X, y)
    assert search.best_loss_ == sm.CrossEntropy()
    assert search.calibration_.error < 0.05


def test_of_equal_accuracies_and_losses_the_larger_reg_decides():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = 3.0 * np.eye(3)[y] + 0.1 * rng.normal(size=(60, 3))
    path = sm.compare(X, y, ["squared_hinge"], [1e-1, 1e-12, 1e-13, 1e-14], cv=3).paths[0]
    losses = [point.validation_loss for point in path.points]
    assert max(losses[1:]) <= 1.001 * min(losses[1:]) < 0.1 * losses[0]
    assert path.best == 1


def test_the_order_of_rows_and_threads_make_no_difference(blobs):
    """The selection and its record are the same to the last bit."""
    X, labels = blobs
    order = np.random.default_rng(1).permutation(len(labels))
    found = [
        sm.LinearClassifierCV(cv=3, n_threads=n_threads).fit(X[rows], labels[rows])
        for rows, n_threads in ((np.arange(len(labels)), 1), (order, 2))
    ]
    records = [without_seconds(one.path_.record()) for one in found]
    assert records[0] == records[1]
    assert np.array_equal(found[0].coef_, found[1].coef_)
    assert found[0].best_reg_ == found[1].best_reg_


def without_seconds(record):
    if isinstance(record, dict):
        return {name: without_seconds(entry) for name, entry in record.items() if name != "seconds"}
    return [without_seconds(entry) for entry in record] if isinstance(record, list) else record


@pytest.mark.parametrize("delta", [0.25, 3.0])
@pytest.mark.parametrize("loss", [sm.Hinge, sm.SquaredHinge])
def test_delta_does_not_change_the_choice(blobs, loss, delta):
    one, other = (sm.compare(*blobs, [loss(d)], cv=3, calibrate=False) for d in (1.0, delta))
    exchanged = delta if loss is sm.Hinge else 1.0
    assert other.reg * exchanged == pytest.approx(one.reg, rel=1e-12)
    assert len(other.paths[0].points) == len(one.paths[0].points)


def test_weights_are_copies(blobs):
    X, labels = blobs
    counts = np.random.default_rng(2).integers(0, 4, len(labels))
    weighted = sm.LinearClassifierCV(regs=REGS, cv=3).fit(X, labels, sample_weight=counts)
    copied = sm.LinearClassifierCV(regs=REGS, cv=3).fit(X.repeat(counts, axis=0), labels.repeat(counts))
    assert weighted.best_reg_ == copied.best_reg_
    assert weighted.coef_ == pytest.approx(copied.coef_, abs=1e-9)
    assert weighted.path_.paths[0].points[0].score == pytest.approx(copied.path_.paths[0].points[0].score)


def test_a_path_is_extended_beyond_the_edge(blobs):
    X, labels = blobs
    found = sm.compare(X, labels, [sm.CrossEntropy()], "auto", cv=3)
    path = found.paths[0]
    assert 0 < path.best < len(path.points) - 1
    assert path.at_edge == ""
    given = sm.compare(X, labels, [sm.CrossEntropy()], [1e-6, 1e-7], cv=3)
    assert given.paths[0].at_edge
    assert given.sentences()[-1] == "The best reg is the largest tried; a wider range may contain a better one."


def test_a_class_without_training_samples_in_a_fold(blobs):
    """Its held-out samples count as misclassified; the search does not fail."""
    X, labels = blobs
    y = np.unique(labels, return_inverse=True)[1]
    pairs = [(np.flatnonzero(y < 2), np.flatnonzero(y == 2)), (np.arange(100), np.arange(100, 203))]
    found = sm.compare(X, labels, [sm.CrossEntropy(), sm.SquaredHinge()], [0.1], cv=pairs)
    point = found.paths[0].points[0]
    assert point.folds[0].validation_accuracy == 0.0
    assert point.folds[1].validation_accuracy > 0.5
    assert (
        json.loads(json.dumps(found.record(), allow_nan=False))["paths"][0]["points"][0]["validation_loss"] is None
    )


def test_the_record_is_plain(comparison):
    record = comparison.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert [path["loss"] for path in record["paths"]] == [loss.name for loss in LOSSES]
    for test in comparison.tests:
        assert test.sentence() in comparison.reason()
        assert {test.first, test.second} <= {loss.name for loss in LOSSES}
        paths = {path.loss.name: path for path in comparison.paths}
        means = [paths[name].chosen.validation_accuracy for name in (test.first, test.second)]
        assert test.difference == pytest.approx(means[0] - means[1], abs=1e-12)
        n = sum(held_out for _, held_out in comparison.folds)
        assert (test.only_first - test.only_second) / n == pytest.approx(test.difference, abs=0.01)
    assert "are not significantly different (McNemar p = " in comparison.reason()


# McNemar's test


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (1, 0), (9, 2), (2, 9), (40, 17), (0, 12)])
def test_mcnemar_is_the_binomial_sum(first, second):
    n, least = first + second, min(first, second)
    probabilities = [math.comb(n, k) / 2**n for k in range(n + 1)]
    expected = 2 * sum(probabilities[: least + 1]) - probabilities[least]
    assert mcnemar(first, second) == pytest.approx(1.0 if first == second else expected, rel=1e-12)


@pytest.mark.parametrize("steepness", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("place", [-11.9, -3.3, 0.0, 7.7])
def test_root_finds_a_change_of_sign(place, sign, steepness):
    found = root(lambda x: sign * (math.tanh(steepness * (x - place)) + 0.01 * (x - place) ** 3), -12.0, 12.0)
    assert found == pytest.approx(place, abs=1e-9)


def test_root_at_an_end_and_of_tiny_values():
    assert root(lambda x: x, 0.0, 1.0) == 0.0
    assert root(lambda x: x - 1.0, 0.0, 1.0) == 1.0
    assert root(lambda x: 1e-200 * (x - 0.3), 0.0, 1.0) == pytest.approx(0.3)


def test_a_large_difference_is_significant():
    """At this λ the hinge is much less accurate than the squared hinge."""
    digits = sm.load_dataset("digits")
    found = sm.compare(digits.X, digits.y, [sm.SquaredHinge(), sm.Hinge()], [30.0], cv=3)
    assert found.tests[0].significant
    assert "squared_hinge is significantly more accurate than hinge (McNemar p = " in found.reason()


def test_the_sentence_of_a_test_says_what_is_significant():
    def sentence(only_first, only_second):
        p_value = mcnemar(only_first, only_second)
        return PairedTest("a", "b", only_first, only_second, p_value, 0.0, 0.0).sentence()

    assert sentence(0, 0) == (
        "a and b are not significantly different: they classify the same held-out samples correctly."
    )
    assert sentence(6, 4) == (
        "a and b are not significantly different (McNemar p = 0.55): 10 held-out samples are classified correctly "
        "by only one of them, 6 by a and 4 by b."
    )
    assert sentence(0, 1).startswith(
        "a and b are not significantly different (McNemar p = 0.50): 1 held-out sample is"
    )
    assert sentence(1423, 2258) == (
        "b is significantly more accurate than a (McNemar p = 2e-43): 3,681 held-out samples are classified "
        "correctly by only one of them, 1,423 by a and 2,258 by b."
    )
    assert "(McNemar p < 1e-300)" in sentence(2000, 0)
    assert sentence(41, 25).startswith("a is significantly more accurate than b (McNemar p = 0.0498")
    assert sentence(21, 10).startswith("a and b are not significantly different (McNemar p = 0.0501")
    assert sentence(14, 3).startswith("a is significantly more accurate than b (McNemar p = 0.008): ")
    assert sentence(16, 6).startswith("a is significantly more accurate than b (McNemar p = 0.035): ")
    assert sentence(6, 15).startswith("a and b are not significantly different (McNemar p = 0.052): ")


def test_samples_are_counted_as_they_were_given():
    """Equal ones become one for the fits, and count as many in McNemar's test and in the calibration."""
    rng = np.random.default_rng(56)
    X = (rng.random((600, 5)) < [0.1, 0.5, 0.05, 0.3, 0.02]).astype(float)
    y = (2 * X @ rng.standard_normal((5, 3)) + rng.gumbel(size=(600, 3))).argmax(axis=1)
    by_name, by_scorer = (
        sm.LinearClassifierCV(
            ["cross_entropy", "squared_hinge"], regs=[0.1], cv=3, scoring=scoring, path_tol=1e-6
        ).fit(X, y)
        for scoring in ("accuracy", make_scorer(accuracy_score))
    )
    tests = [search.path_.tests[0] for search in (by_name, by_scorer)]
    assert (tests[0].only_first, tests[0].only_second) == (tests[1].only_first, tests[1].only_second)
    assert tests[0].only_first + tests[0].only_second > 50
    n_more = tests[0].only_first - tests[0].only_second
    assert tests[0].difference == pytest.approx(n_more / 600, abs=1e-3)
    assert by_name.calibration_.n_samples == by_scorer.calibration_.n_samples == 600


# Probabilities


def test_the_temperature_is_the_best_one():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4000, 5))
    y = np.array([rng.choice(5, p=np.exp(row)) for row in log_softmax(truth, axis=1)])
    temperature = fit_temperature(truth * 7.0, y, np.ones(4000), 4000)
    assert temperature == pytest.approx(7.0, rel=0.05)
    losses = [
        log_loss(y, np.exp(log_softmax(truth * 7.0 / t, axis=1))) for t in temperature * np.array([0.9, 1, 1.1])
    ]
    assert losses[1] == min(losses)
    perfect = fit_temperature(np.eye(3)[[0, 1, 2] * 5] * 2.0, np.array([0, 1, 2] * 5), np.ones(15), 15)
    assert 0.01 < perfect < 10.0  # where all are right it is still no certainty


def test_calibration_error_by_hand():
    P = np.array([[0.9, 0.1], [0.8, 0.2], [0.55, 0.45], [0.3, 0.7]])
    y, weights = np.array([0, 1, 0, 1]), np.array([1.0, 1.0, 2.0, 1.0])
    # Two bins of (0.5, 1]: with n_bins = 4 they are [0.5, 0.75) and [0.75, 1].
    expected = (abs(2 * (1 - 0.55) + (1 - 0.7)) + abs((1 - 0.9) + (0 - 0.8))) / 5
    assert calibration_error(P, y, weights, n_bins=4) == pytest.approx(expected)


def test_probabilities_of_a_hinge_loss_are_calibrated(blobs):
    X, labels = blobs
    search = sm.LinearClassifierCV(["hinge"], regs=REGS, cv=4).fit(X, labels)
    assert search.calibration_.method == "temperature"
    scores = search.decision_function(X)
    expected = np.exp(log_softmax(scores / search.calibration_.temperature, axis=1))
    assert search.predict_proba(X) == pytest.approx(expected)
    assert np.exp(search.predict_log_proba(X)) == pytest.approx(expected)
    data = sm.Dataset(X, labels, "blobs")
    model = search.to_model(data)  # keeps the search's own record
    assert model.temperature == search.calibration_.temperature
    assert model.predict_proba(X) == pytest.approx(search.predict_proba(X))
    other = sm.LinearClassifier("hinge", reg=2 * model.reg).fit(X, labels).to_model(data, choice=search.path_)
    with pytest.raises(sm.CapabilityError, match=r"got the .* without a temperature"):
        other.predict_proba(X)  # calibrated for another λ
    plain = sm.LinearClassifierCV(["hinge"], regs=REGS, cv=4, calibrate=False).fit(X, labels)
    assert plain.to_model(data).temperature is None
    assert not hasattr(plain, "predict_proba")
    assert plain.calibration_ is None
    assert np.array_equal(plain.coef_, search.coef_)
    soft = sm.LinearClassifierCV(["cross_entropy"], regs=REGS, cv=4).fit(X, labels)
    assert (soft.calibration_.method, soft.calibration_.temperature) == ("softmax", 1.0)


# The estimator


def test_it_refits_what_it_chose(blobs):
    X, labels = blobs
    comparison = sm.compare(X, labels, LOSSES, REGS, cv=4)  # by the engine that the estimator gets here
    names = [loss.name for loss in LOSSES]
    search = sm.LinearClassifierCV(names, regs=REGS, cv=4).fit(X, labels)
    assert without_seconds(search.path_.record()) == without_seconds(comparison.record())
    assert (search.best_loss_, search.best_reg_) == (comparison.loss, comparison.reg)
    alone = sm.LinearClassifier(search.best_loss_, reg=search.best_reg_).fit(X, labels)
    assert search.gap_ <= 1e-4
    assert alone.lower_bound_ <= search.value_ <= alone.value_ * (1 + 1e-4)
    assert search.n_splits_ == 4
    assert search.best_score_ == comparison.chosen_path.chosen.score


@pytest.mark.parametrize("scoring", ["balanced_accuracy", "f1_macro"])
def test_it_agrees_with_a_grid_search(blobs, scoring):
    X, labels = blobs
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    ours = sm.LinearClassifierCV(
        ["squared_hinge"], regs=REGS, cv=cv, scoring=scoring, path_tol=1e-7, max_passes=9000, fit_all=True
    ).fit(X, labels)
    theirs = GridSearchCV(
        sm.LinearClassifier("squared_hinge", tol=1e-7, max_passes=9000), {"reg": REGS}, cv=cv, scoring=scoring
    ).fit(X, labels)
    assert ours.path_.scoring == scoring
    scores = [point.score for point in ours.path_.paths[0].points]
    assert scores == pytest.approx(theirs.cv_results_["mean_test_score"], abs=1e-12)
    assert ours.best_reg_ == theirs.best_params_["reg"]


def test_a_fixed_validation_set(blobs):
    X, labels = blobs
    outside = np.arange(len(labels)) % 4 == 0
    split = PredefinedSplit(np.where(outside, 0, -1))
    pair = [(np.flatnonzero(~outside), np.flatnonzero(outside))]
    found = [
        sm.LinearClassifierCV(["cross_entropy"], regs=REGS, cv=cv).fit(X, labels).path_ for cv in (split, pair)
    ]
    assert without_seconds(found[0].record()) == without_seconds(found[1].record())
    assert found[0].folds == (((~outside).sum(), outside.sum()),)
    alone = sm.LinearClassifier(reg=found[0].reg, tol=1e-6).fit(X[~outside], labels[~outside])
    assert found[0].chosen_path.chosen.score == pytest.approx(alone.score(X[outside], labels[outside]), abs=0.03)


def test_citizenship(blobs):
    X, labels = blobs
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(11)])
    search = sm.LinearClassifierCV(["squared_hinge"], regs=[1.0, 0.1], cv=2)
    assert clone(search).get_params() == search.get_params()
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), search).fit(frame, labels)
    assert list(pipeline[-1].feature_names_in_) == list(frame.columns)
    assert "LinearClassifierCV" in pipeline._repr_html_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pipeline.score(frame, labels) > 0.6
        grid = GridSearchCV(search, {"rule": ["best", "one_se"]}, cv=2).fit(X, labels)
    assert grid.best_params_["rule"] in ("best", "one_se")
    weighted = sm.LinearClassifierCV(["squared_hinge"], regs=[0.1], cv=2, class_weight="balanced").fit(X, labels)
    plain = clone(search).set_params(regs=[0.1]).fit(X, labels)
    assert not np.array_equal(weighted.coef_, plain.coef_)


def test_weights_and_groups_are_routed(blobs):
    X, labels = blobs
    weights = np.where(labels == "a", 3.0, 1.0)
    groups = np.arange(len(labels)) % 5
    with sklearn.config_context(enable_metadata_routing=True):
        search = sm.LinearClassifierCV(["squared_hinge"], regs=[0.1], cv=GroupKFold(2))
        search.set_fit_request(sample_weight=True, groups=True).set_score_request(sample_weight=False)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), search)
        pipeline.fit(X, labels, sample_weight=weights, groups=groups)
        by_hand = clone(search).fit(StandardScaler().fit_transform(X), labels, weights, groups)
        assert pipeline[-1].coef_ == pytest.approx(by_hand.coef_, rel=1e-6)
        found = sklearn_cross_validate(
            search,
            X,
            labels,
            cv=KFold(2),
            params={"sample_weight": weights, "groups": groups},
            error_score="raise",
        )
    assert (found["test_score"] > 0.5).all()


def test_losses_of_samples(blobs):
    X, labels = blobs
    for name in ("hinge", "squared_hinge", "cross_entropy"):
        classifier = sm.LinearClassifier(name, reg=0.1, tol=1e-6).fit(X, labels)
        losses = classifier.sample_losses(X, labels)
        assert losses.shape == (len(labels),)
        penalty = classifier.reg_ * (classifier.coef_**2).sum()
        assert losses.mean() + penalty == pytest.approx(classifier.value_, rel=1e-12)
    with pytest.raises(DataError, match=r"y\[1\] must be a class of the fit, got 'z'"):
        classifier.sample_losses(X[:2], ["a", "z"])
    with pytest.raises(DataError, match="y must hold 2 labels"):
        classifier.sample_losses(X[:2], ["a"])


def test_an_interrupted_search_leaves_the_estimator_as_it_was(blobs):
    def interrupt(step):
        raise KeyboardInterrupt

    search = sm.LinearClassifierCV(["squared_hinge"], regs=[0.1], cv=2).fit(*blobs)
    before = dict(vars(search))
    search.callback = interrupt
    with pytest.raises(KeyboardInterrupt):
        search.fit(*blobs)
    assert {name: value for name, value in vars(search).items() if name != "callback"} == {
        name: value for name, value in before.items() if name != "callback"
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"losses": []}, r"losses must be a list of at least one loss, got \[\]"),
        ({"losses": "hinge"}, "losses must be a list of at least one loss, got 'hinge'"),
        ({"losses": ["l2"]}, "loss must be one of 'cross_entropy', 'squared_hinge', 'hinge'"),
        ({"regs": "many"}, "regs must be 'auto', an integer or a list of λ, got 'many'"),
        ({"regs": [0.0]}, "regs must be positive, got 0"),
        ({"regs": True}, "regs must be 'auto', an integer or a list of λ, got True"),
        ({"rule": "worst"}, "rule must be one of 'best', 'one_se', got 'worst'"),
        (
            {"scoring": "luck"},
            "scoring must be 'accuracy', 'loss', the name of a scorer or a callable, got 'luck'",
        ),
        ({"scoring": 3}, "scoring must be 'accuracy', 'loss', the name of a scorer or a callable, got 3"),
        ({"path_tol": 0.0}, "path_tol must be a relative gap between 0 and 1, got 0.0"),
        ({"calibrate": "yes"}, "calibrate must be True or False"),
        ({"random_state": -1}, "random_state must be an integer ≥ 0"),
        ({"tol": 2.0}, "tol"),
    ],
)
def test_wrong_parameters(settings, said, blobs):
    arguments = {"losses": ["squared_hinge"], "regs": [0.1], "cv": 2} | settings
    with pytest.raises(ParameterError, match=said):
        sm.LinearClassifierCV(**arguments).fit(*blobs)


def test_a_scorer_that_cannot_score_is_named(blobs):
    def nothing(estimator, X, y):
        return math.nan

    for losses, rule in ((["hinge", "cross_entropy"], "best"), (["cross_entropy"], "one_se")):
        with pytest.raises(
            DataError,
            match=r"scoring 'nothing' must return a finite number, got nan for \w+ with reg 0.1 on fold 0",
        ):
            sm.LinearClassifierCV(losses, regs=[0.1], cv=5, rule=rule, scoring=nothing).fit(*blobs)
    with pytest.raises(ParameterError, match=r"'roc_auc_ovr' failed for the loss hinge: .*does not define prob"):
        sm.LinearClassifierCV(["hinge"], regs=[0.1], cv=3, scoring="roc_auc_ovr").fit(*blobs)
    X, labels = blobs
    unknown = [(np.flatnonzero(labels != "c"), np.flatnonzero(labels == "c"))]
    with pytest.raises(
        ParameterError, match="'roc_auc' failed for the loss cross_entropy: a fold has no "
    ) as caught:
        sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=unknown, scoring="roc_auc").fit(X, labels)
    assert "\n" not in str(caught.value)
    with pytest.raises(
        ParameterError, match="rule 'one_se' needs a standard error of the score, got a single fold"
    ):
        sm.LinearClassifierCV(
            ["cross_entropy"],
            regs=[0.1],
            cv=[(np.arange(100), np.arange(100, 203))],
            rule="one_se",
            scoring="f1_macro",
        ).fit(X, labels)


@pytest.mark.parametrize(
    ("factor", "said"), [(1e100, "large .*scores overflow"), (1e-150, "small .*scores underflow")]
)
def test_a_grid_for_numbers_out_of_range(blobs, factor, said):
    X, labels = blobs[0].astype(np.float64) * factor, blobs[1]
    with pytest.raises(DataError, match=f"Values in X are too {said} in float64"):
        sm.choose(X, labels, LOSSES)
    with pytest.raises(DataError, match=f"Values in X are too {said} in float64"):
        sm.LinearClassifierCV(["squared_hinge"], cv=3).fit(X, labels)
    with pytest.warns(UserWarning, match="W = 0 is optimal"):  # equal rows are not an error
        assert sm.choose(np.zeros((60, 2)), np.arange(60) % 3, [sm.CrossEntropy()]).reg > 0.0


def test_losses_of_the_same_name_are_told_apart(blobs):
    found = sm.compare(*blobs, [sm.Hinge(1.0), sm.Hinge(3.0), sm.CrossEntropy()], [0.1], cv=3)
    for name in ("hinge (delta 1) ", "hinge (delta 3) ", "cross_entropy "):
        assert name in found.reason()
    assert "hinge and" not in found.reason()
    assert {found.tests[0].first, *(test.second for test in found.tests)} == {
        "hinge (delta 1)",
        "hinge (delta 3)",
        "cross_entropy",
    }


def _blobs(seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, 400)
    X = rng.normal(size=(400, 80)) * np.logspace(0, -2, 80)
    X[np.arange(400), y] += 1.5
    return X, y


def _path_of_scores(scores, regs, noise=False):
    """Return the path of a loss for which a scorer says these scores, one λ after the other."""
    X, y = _blobs()
    if noise:
        X = np.random.default_rng(1).normal(size=X.shape)
    labelled, hashes, left = Labelled.check(X, y), content_hashes(X), iter(scores)
    search = gather(labelled, hashes, [held_out(y, labelled.weights, 0.2, hashes)])
    settings = Settings(regs, scoring=lambda *_: next(left), calibrate=False)
    found = cross_validate(search, [sm.Hinge()], settings, "none").comparison.paths[0]
    assert not list(left)
    return found


def test_scores_that_differ_by_rounding_alone_are_equal():
    """109 of 120 in five folds: the last bit of the mean depends on where the misses are."""
    counts = [[18, 19, 24, 24, 24], [18, 20, 23, 24, 24]]
    means = sorted(float(np.mean(np.array(count) / 24)) for count in counts)
    assert means[0] < means[1]
    for equal in (means, means[::-1]):
        path = _path_of_scores([*equal, 0.5], [100.0, 10.0, 1.0])
        assert path.points[0].validation_loss > path.points[1].validation_loss
        assert path.best == 1


def test_a_path_goes_no_further_up_than_the_score_rises(monkeypatch):
    """Where W is nearly zero a larger λ changes no class, only the size of the scores."""
    monkeypatch.setattr("softmargin.selection.rules._FALLS", 0.0)  # the scores alone decide
    flat = _path_of_scores([0.9] * 8, "auto", noise=True)  # four to the end of the path, and four passed over
    assert (flat.best, flat.at_edge) == (0, "")
    rising = _path_of_scores([0.8, 0.5, 0.5, *[0.4] * 4, 0.9, 0.9], "auto", noise=True)
    assert [point.score for point in rising.points] == [0.9, 0.9, 0.8, *[0.4] * 4, 0.5, 0.5]
    assert (rising.best, rising.at_edge) == (0, "")
    given = _path_of_scores([0.9, 0.8], [1.0, 0.1])
    assert (given.best, given.at_edge) == (0, "largest")


def test_folds_that_are_fitted_at_once_are_the_same_to_the_bit():
    X, y = _blobs()
    one, *others = [
        sm.compare(X, y, LOSSES, [1.0, 1e-2, 1e-4], cv=5, path_tol=1e-5, n_threads=n) for n in (1, 2, 3, 8)
    ]
    for other in others:
        for path, same in zip(one.paths, other.paths, strict=True):
            assert path.calibration == same.calibration
            for point, again in zip(path.points, same.points, strict=True):
                for fold, twin in zip(point.folds, again.folds, strict=True):
                    assert replace(fold, seconds=0.0) == replace(twin, seconds=0.0)


def test_the_callback_receives_all_folds_in_the_calling_thread():
    X, y = _blobs()
    heard = []

    def callback(loss, reg, fold, step):
        heard.append((threading.get_ident(), fold))

    sm.compare(X, y, [sm.CrossEntropy()], [1e-2], cv=5, n_threads=2, callback=callback)
    assert set(heard) == {(threading.get_ident(), fold) for fold in range(5)}


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("what", [KeyboardInterrupt, ZeroDivisionError])
def test_an_exception_in_the_callback_stops_all_folds(what, n_threads):
    X, y = _blobs()

    def callback(loss, reg, fold, step):
        if fold == 1:
            raise what

    with pytest.raises(what):
        sm.compare(X, y, LOSSES, cv=5, path_tol=1e-9, n_threads=n_threads, callback=callback)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("softmargin fold")]


def test_the_error_of_a_fit_ends_the_others():
    ended = []

    def broken(reg, callback):
        raise ZeroDivisionError

    def endless(reg, callback):
        end = time.monotonic() + 30.0
        while not callback(None) and time.monotonic() < end:
            time.sleep(0.001)
        ended.append(time.monotonic() < end)

    with pytest.raises(ZeroDivisionError):
        list(fit_concurrently([broken, endless], [1.0], 2))
    assert ended in ([True], [])  # it may not have begun
    with pytest.raises(ZeroDivisionError):
        list(fit_concurrently([endless, broken], [1.0], 2))
    assert ended[-1]


def test_an_interrupt_ends_all_folds():
    X, y = _blobs()

    def callback(loss, reg, fold, step):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        sm.compare(X, y, LOSSES, cv=5, n_threads=2, callback=callback)


def test_the_seconds_of_a_path_are_those_that_went_by():
    X, y = _blobs()
    started = time.perf_counter()
    found = sm.compare(X, y, LOSSES, [1e-3], cv=5, path_tol=1e-6, n_threads=2)
    assert 0.0 < sum(path.points[0].seconds for path in found.paths) <= time.perf_counter() - started


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
def test_folds_go_ahead_by_one_and_yield_in_order(n_threads):
    begun = [[] for _ in range(3)]
    taken = []

    def fit(number, reg, callback):
        assert reg <= len(taken) + 1  # one ahead of what the caller has heard of
        begun[number].append(reg)
        time.sleep(0.002 * number)
        return number, reg

    fits = [partial(fit, number) for number in range(3)]
    with closing(fit_concurrently(fits, itertools.count(), n_threads)) as fitted:
        for reg, found in fitted:
            assert found == [(number, reg) for number in range(3)]
            taken.append(reg)
            if reg == 5:
                break
    for regs in begun:
        assert regs in (list(range(6)), list(range(7)))
    n_begun = [len(regs) for regs in begun]
    time.sleep(0.02)
    assert n_begun == [len(regs) for regs in begun]  # closed: no fold goes on
    assert [reg for reg, _ in fit_concurrently(fits, [], n_threads)] == []


def test_an_error_ahead_waits_for_the_caller():
    failed = threading.Event()

    def fit(number, reg, callback):
        if reg == 1:
            failed.set()
            raise ZeroDivisionError
        return reg

    for n_threads in (1, 2, 5):
        failed.clear()
        with closing(fit_concurrently([partial(fit, k) for k in range(3)], [0, 1], n_threads)) as fitted:
            assert next(fitted) == (0, [0, 0, 0])
            if n_threads > 1:
                assert failed.wait(10)  # one was there already
            with pytest.raises(ZeroDivisionError):
                next(fitted)


def test_the_last_folds_share_all_threads():
    """A fold works alone where there are no two threads for each that is at work."""
    helped = []
    gate, begun = threading.Event(), threading.Event()

    def slow(reg, callback):
        helped.append(Workers(3).helps)
        begun.set()
        if reg == 0.0:
            gate.wait(10)
            time.sleep(0.2)  # until the other is not only called for the last time, but done
        return reg

    def quick(reg, callback):
        begun.wait(10)  # else both calls may be over before the other begins
        if reg == 1.0:
            gate.set()
        return reg

    assert [reg for reg, _ in fit_concurrently([slow, quick], [0.0, 1.0], 3)] == [0.0, 1.0]
    assert helped == [False, True]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_errors_of_other_folds_matter_only_if_the_first_two_do_not_give_up(n_threads):
    def fine(reg, callback):
        time.sleep(0.05)
        return reg

    def broken(reg, callback):
        if reg == 1.0:
            raise ZeroDivisionError
        return reg

    fits, regs = [fine, fine, broken], [2.0, 1.0]
    found = fit_concurrently(fits, regs, n_threads, gives_up=lambda reg, _: reg == 1.0)
    assert [reg for reg, _ in found] == [2.0]
    with pytest.raises(ZeroDivisionError):
        list(fit_concurrently(fits, regs, n_threads, gives_up=lambda reg, _: False))


def test_a_scorer_is_called_in_the_calling_thread(blobs):
    heard = []

    def scorer(estimator, X, y):
        heard.append(threading.get_ident())
        return float((estimator.predict(X) == y).mean())

    found = sm.LinearClassifierCV(["squared_hinge"], regs=REGS, cv=3, scoring=scorer, n_threads=2).fit(*blobs)
    assert set(heard) == {threading.get_ident()}
    path = found.path_.paths[0]
    assert all(fold.score == fold.validation_accuracy for point in path.points for fold in point.folds)


def test_the_end_of_a_grid_is_where_the_training_loss_is_nearly_zero():
    """And not a power of ten beyond: between the λ where it is and the one before."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 60)), rng.integers(0, 4, 200)
    X[np.arange(200), y] += 4.0
    objective = sm.Objective(sm.SquaredHinge(), X, y, 0.0)
    at_zero = objective.value(np.zeros((X.shape[1], objective.n_classes)), np.zeros(objective.n_classes))
    grid = fixed_grid(objective, 13)
    shares = []
    for reg in (grid[-1], grid[-1] * 10.0**0.5):
        fit = sm.minimize(objective.replace(reg=reg), tol=1e-3)
        shares.append((fit.value - reg * np.vdot(fit.W, fit.W)) / at_zero)
    assert shares[0] < 2e-3
    assert shares[1] > 0.5e-3


def test_a_constant_score_does_not_end_a_path_whose_loss_falls():
    """The features of wine differ in scale by a thousand: for many λ the first alone gives an accuracy of 70 %."""
    X, y = load_wine(return_X_y=True)
    found = sm.compare(X, y, ["squared_hinge"], calibrate=False).paths[0]
    assert found.chosen.score > 0.94
    assert not found.at_edge
    grid = sm.compare(X, y, ["squared_hinge"], 25, calibrate=False).paths[0]
    assert grid.chosen.score > 0.94


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_hinge", "hinge"])
def test_separable_data_do_not_drive_the_penalty_to_zero(loss):
    """The held-out loss would fall for ever, and every λ of the path has the same accuracy."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 5
    X = rng.normal(size=(5, 48))[y] * 3.0 + 0.5 * rng.normal(size=(300, 48))
    found = sm.compare(X, y, [loss], calibrate=False)
    path = found.paths[0]
    assert path.chosen.validation_accuracy == 1.0
    assert path.chosen.validation_loss <= 0.01 * path.points[0].validation_loss
    assert len(path.points) <= 12
    assert found.reg > 1e-6
    assert not path.at_edge
    assert "wider range" not in found.reason()


def test_sentences_name_the_score_of_the_selection(blobs):
    by_loss = sm.compare(*blobs, ["hinge", "cross_entropy"], REGS, cv=4, scoring="loss")
    accuracy = by_loss.chosen_path.chosen.validation_accuracy
    assert by_loss.sentences()[0].endswith(f"(held-out accuracy {accuracy:.4f} over 4 folds).")
    assert by_loss.sentences()[1] == (
        "Each reg was selected by the held-out loss; the losses were compared by accuracy."
    )
    assert by_loss.sentences()[2].startswith("Held-out accuracy of the other loss: ")
    assert by_loss.loss in (sm.Hinge(), sm.CrossEntropy())
    alone = sm.compare(*blobs, ["hinge"], REGS, cv=4, scoring="loss")
    point = alone.chosen_path.chosen
    assert alone.sentences() == [
        f"Selected: hinge with reg {alone.reg:.3g} (held-out loss {-point.score:.4f} ± {point.standard_error:.4f} "
        f"over 4 folds)."
    ]
    with pytest.raises(ParameterError, match="loss must be an instance of a loss"):
        sm.compare(*blobs, ["hing"], REGS)
