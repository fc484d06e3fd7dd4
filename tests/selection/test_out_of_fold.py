"""Out-of-fold scores are those of fits that did not see the sample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.model_selection import KFold, PredefinedSplit, RepeatedStratifiedKFold

import softmargin as sm
from softmargin.errors import ConvergenceWarning, ParameterError
from softmargin.samples import Labelled
from softmargin.selection import choose, compare, compare_features, content_hashes, make_folds
from softmargin.selection.records import Calibration

N, TIGHT = 120, 1e-9
LOSSES = ["cross_entropy", "squared_hinge", "hinge"]


def samples(seed=0, n_classes=3):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(N) % n_classes)
    return rng.normal(size=(n_classes, 6))[y] + rng.normal(size=(N, 6)), np.array(list("abcd"))[y]


def centred(scores):
    return scores - scores.mean(axis=1, keepdims=True)


def kept(X, y, loss, cv=4, regs=(0.05,), **settings):
    found = compare(X, y, [loss], list(regs), cv=cv, path_tol=TIGHT, keep_out_of_fold=True, **settings)
    return found.out_of_fold


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_those_of_refits_on_the_same_folds(loss, weighted):
    X, y = samples()
    weights = np.random.default_rng(1).uniform(0.5, 2.0, N) if weighted else None
    class_weight = {"a": 3.0, "b": 0.5} if weighted else None
    folds = make_folds(4, Labelled.check(X, y, weights), content_hashes(X))
    found = kept(X, y, loss, sample_weight=weights, class_weight=class_weight, regs=(0.5, 0.05, 0.01))
    reg = compare(X, y, [loss], [0.5, 0.05, 0.01], cv=4, path_tol=TIGHT, sample_weight=weights,
                  class_weight=class_weight).reg  # fmt: skip
    for k, fold in enumerate(folds):
        rows = fold.training
        refit = sm.LinearClassifier(loss, reg=reg, tol=TIGHT, class_weight=class_weight)
        refit.fit(X[rows], y[rows], None if weights is None else weights[rows])
        scores = refit.decision_function(X[fold.validation])
        # λ‖W − W*‖² ≤ F − F*, for both fits; a constant that is added to all b changes nothing.
        size = np.abs(X).max() * np.sqrt(X.shape[1])
        bound = 2.0 * np.sqrt(TIGHT * refit.value_ / reg) * size
        assert centred(found.scores[fold.validation]) == pytest.approx(centred(scores), abs=2.0 * bound)
        assert (found.fold[fold.validation] == k).all()
        expected = np.exp(log_softmax(found.scores[fold.validation] / found.temperature, axis=1))
        assert found.probabilities[fold.validation] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_own_label_does_not_matter(loss):
    X, y = samples()
    folds = PredefinedSplit(np.arange(N) % 3)
    before = kept(X, y, loss, cv=folds)
    for row in (0, 7, 50):
        changed = y.copy()
        changed[row] = "b" if y[row] == "a" else "a"
        after = kept(X, changed, loss, cv=folds)
        assert after.scores[row] == pytest.approx(before.scores[row], abs=1e-6)
        same_fold = np.flatnonzero((np.arange(N) - row) % 3 == 0)
        assert after.scores[same_fold] == pytest.approx(before.scores[same_fold], abs=1e-6)
        assert not np.allclose(after.scores, before.scores, atol=1e-4)


def test_they_follow_the_order_of_the_rows_with_copies_and_without_weight():
    X, y = samples()
    X, y = np.concatenate([X, X[:10]]), np.concatenate([y, y[:10]])
    weights = np.ones(len(y))
    weights[3] = 0.0
    found = kept(X, y, "cross_entropy", sample_weight=weights)
    assert found.fold[3] == -1
    assert np.isnan(found.scores[3]).all()
    assert np.isnan(found.probabilities[3]).all()
    copies = [k for k in range(10) if k != 3]
    assert np.array_equal(found.scores[copies], found.scores[[N + k for k in copies]])
    order = np.random.default_rng(0).permutation(len(y))
    moved = kept(X[order], y[order], "cross_entropy", sample_weight=weights[order])
    assert np.array_equal(moved.scores, found.scores[order], equal_nan=True)
    assert np.array_equal(moved.fold, found.fold[order])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_class_that_a_fold_did_not_train(loss):
    X, y = samples()
    y = np.where(np.arange(N) < 2, "rare", y)
    found = kept(X, y, loss, cv=[(np.arange(60, N), np.arange(60)), (np.arange(60), np.arange(60, 100))])
    assert np.array_equal(found.fold, np.repeat([0, 1, -1], [60, 40, 20]))
    assert (found.scores[:60, 3] == -np.inf).all()
    assert (found.probabilities[:60, 3] == 0.0).all()
    assert np.isfinite(found.scores[60:100]).all()
    assert np.isnan(found.scores[100:]).all()
    assert found.probabilities[:100].sum(axis=1) == pytest.approx(1.0)


def test_the_first_fold_that_holds_a_sample_out_counts():
    X, y = samples()
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    first = KFold(3)
    found = kept(X, y, "squared_hinge", cv=cv)
    assert set(found.fold.tolist()) == {0, 1, 2}
    assert set(kept(X, y, "squared_hinge", cv=first).fold.tolist()) == {0, 1, 2}


def test_without_being_asked_there_are_none():
    X, y = samples()
    assert compare(X, y, ["hinge"], [0.1], cv=3).out_of_fold is None
    search = sm.LinearClassifierCV(["hinge"], regs=[0.1], cv=3, keep_out_of_fold=True).fit(X, y)
    assert search.oof_decision_function_.shape == search.oof_proba_.shape == (N, 3)
    assert search.oof_decision_function_.argmax(axis=1) == pytest.approx(search.oof_proba_.argmax(axis=1))
    accuracy = np.mean(search.classes_[search.oof_proba_.argmax(axis=1)] == y)
    assert accuracy == pytest.approx(search.path_.chosen_path.chosen.validation_accuracy)
    assert not hasattr(search.set_params(keep_out_of_fold=False).fit(X, y), "oof_proba_")
    plain = sm.LinearClassifierCV(["hinge"], regs=[0.1], cv=3, keep_out_of_fold=True, calibrate=False).fit(X, y)
    assert not hasattr(plain, "oof_proba_")
    with pytest.raises(ParameterError, match="keep_out_of_fold must be True or False, got 1"):
        sm.LinearClassifierCV(["hinge"], regs=[0.1], keep_out_of_fold=1).fit(X, y)
    assert "out_of_fold" not in search.path_.record()


def test_one_split_and_several_features():
    X, y = samples()
    one = choose(X, y, ["cross_entropy"], [0.1], keep_out_of_fold=True)
    held = one.out_of_fold.fold == 0
    assert held.sum() == one.n_validation
    assert np.isnan(one.out_of_fold.scores[~held]).all()
    sets = {"all": Labelled.check(X, y), "half": Labelled.check(X[:, :3], y, keys=X)}
    found = compare_features(sets, ["hinge"], [0.1], cv=3, keep_out_of_fold=True)
    for name, labelled in sets.items():
        alone = compare(labelled, None, ["hinge"], [0.1], cv=3, keep_out_of_fold=True)
        assert np.array_equal(found.comparisons[name].out_of_fold.scores, alone.out_of_fold.scores)
    assert found.comparison.out_of_fold is found.comparisons[found.selected].out_of_fold


# -- class weights and warnings ----------------------------------------------------------------------------


def test_class_weights_are_for_fitting_only():
    X, y = samples()
    factors = {"a": 4.0, "b": 1.0, "c": 0.25}
    by_class = compare(X, y, ["squared_hinge"], [0.1], cv=3, class_weight=factors, path_tol=TIGHT)
    folds = make_folds(3, Labelled.check(X, y), content_hashes(X))
    for fold, point in zip(folds, by_class.chosen_path.chosen.folds, strict=True):
        rows = fold.training
        refit = sm.LinearClassifier("squared_hinge", reg=0.1, class_weight=factors, tol=TIGHT).fit(
            X[rows], y[rows]
        )
        assert point.value == pytest.approx(refit.value_, rel=1e-7)
        held = fold.validation
        assert point.validation_accuracy == pytest.approx(np.mean(refit.predict(X[held]) == y[held]))
        assert point.validation_loss == pytest.approx(refit.sample_losses(X[held], y[held]).mean(), rel=1e-4)
    assert by_class.record()["class_weight"] == factors
    assert sm.Comparison.from_record(by_class.record()).recorded == by_class.recorded
    assert compare(X, y, ["hinge"], [0.1], cv=3, class_weight="balanced").recorded.class_weight == "balanced"
    with pytest.raises(ParameterError, match="class_weight must have only labels of y as keys, got 'z'"):
        choose(X, y, ["hinge"], [0.1], class_weight={"z": 1.0})


def test_a_choice_that_did_not_converge_warns():
    X, y = samples()
    words = "The selected fit, hinge with reg 0.0001, did not converge on (4 of 4 folds|the held-out split)"
    settings = {"losses": ["hinge"], "regs": [1e-4]}
    with pytest.warns(ConvergenceWarning, match=words):
        compare(X, y, **settings, cv=4, max_passes=1, path_tol=1e-8)
    with pytest.warns(ConvergenceWarning, match=words):
        choose(X, y, **settings, max_passes=1, path_tol=1e-8)
    with pytest.warns(ConvergenceWarning) as caught:
        sm.LinearClassifierCV(**settings, cv=4, max_passes=1, path_tol=1e-8).fit(X, y)
    assert sum("The selected fit, hinge" in str(one.message) for one in caught) == 1
    compare(X, y, **settings, cv=4)  # warnings are errors


@pytest.mark.parametrize("n", [30, 300, 3000])
@pytest.mark.parametrize("sharp", [0.3, 1.0, 3.0])
def test_chance_is_not_taken_for_bad_calibration(n, sharp):
    """Of 200 perfectly calibrated classifiers hardly any is called badly calibrated; overconfident ones are."""
    from softmargin.losses import softmax
    from softmargin.metrics import calibration_error

    rng = np.random.default_rng(0)
    poor = overconfident = 0
    for _ in range(200):
        P = softmax(sharp * rng.normal(size=(n, 3)))
        y = (rng.random(n)[:, None] > P.cumsum(axis=1)).sum(axis=1)
        error = calibration_error(P, y, np.ones(n))
        poor += Calibration("softmax", 1.0, error, 0.0, 15, n).is_poor()
        Q = softmax(20.0 * np.log(P))
        overconfident += Calibration("softmax", 1.0, calibration_error(Q, y, np.ones(n)), 0.0, 15, n).is_poor()
    assert poor <= 2
    if n >= 300 and sharp <= 1.0:
        assert overconfident == 200
    assert not Calibration("softmax", 1.0, 0.3, 0.0, 15, 3000).is_poor(n_groups=40)
    assert Calibration("softmax", 1.0, 0.3, 0.0, 15, 3000).is_poor(n_groups=400)
