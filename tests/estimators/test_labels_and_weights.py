"""Labels and weights of every kind, through functions, estimators and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize as scipy_minimize
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold
from sklearn.utils import compute_class_weight

import softmargin as sm
from softmargin import textbook
from softmargin.errors import ParameterError
from softmargin.weights import balanced_weights
from tests.support.cases import (
    ENGINES,
    ESTIMATORS,
    FORMULAS,
    LOSSES,
    agree,
    blobs,
    classifier_at,
    fitted,
    near,
    point,
    predicted,
    saved,
)
from tests.support.command_line import SOFT, rows_of, run, run_refused
from tests.support.files import write
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("either_engine")


def test_a_label_out_of_range_is_an_error_before_any_kernel_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (-1, 3):
        for loss in LOSSES:
            refused(lambda loss=loss, y=wrong: loss.values(np.zeros((2, 3)), [0, y]), f"y[1] is {wrong}", "0 … 2")
    classifier = classifier_at(np.eye(3), np.zeros(3))
    refused(lambda: classifier.sample_losses(np.eye(3), [0, 1, 3]), "y[2] must be a class of the fit, got 3")
    monkeypatch.setattr("softmargin.objective.objective.make_engine", lambda *_: pytest.fail("an engine was made"))
    for wrong in (-1, 3):
        refused(
            lambda y=wrong: sm.Objective(sm.Hinge(), np.eye(3), [0, y, 1], 0.1, n_classes=3),
            f"y[1] is {wrong}",
            "0 … 2",
        )
        np.savez(tmp_path / "d.npz", X=np.eye(3), y=[0, 1, wrong], classes=["a", "b", "c"])
        words = ("d.npz[y] row 2", f"label {wrong}", "3 class names")
        refused(lambda: sm.load_dataset(tmp_path / "d.npz"), *words)
        run_refused(tmp_path, "fit", tmp_path / "d.npz", words=words)


def test_labels_are_never_narrowed(tmp_path: Path) -> None:
    for wrong in (2**32, 2**40, np.uint64(2**64 - 1)):  # as int32 or int64 some of them would be 0 or -1
        labels = np.array([0, 1, wrong], np.uint64)
        for loss in LOSSES:
            refused(lambda loss=loss, y=labels: loss.values(np.zeros((3, 3)), y), f"y[2] is {wrong}")
        refused(lambda y=labels: sm.Objective(sm.Hinge(), np.eye(3), y, 0.1, n_classes=3), f"y[2] is {wrong}")
    labels = np.array([0, 2**32, 2**33])[np.arange(30) % 3]
    X = np.eye(3)[np.arange(30) % 3]
    for estimator in ESTIMATORS:
        classifier = estimator.fit(X + 1e-3 * np.arange(30)[:, None], labels)
        assert classifier.classes_.tolist() == [0, 2**32, 2**33]
        assert classifier.predict(X).tolist() == labels.tolist()
    made = fitted(tmp_path, X, labels)
    assert made.classes.tolist() == [0, 2**32, 2**33]
    rows = rows_of(run("predict", tmp_path / "m.safetensors", tmp_path / "d.npz"))
    assert [int(row[1]) for row in rows] == labels.tolist()


def test_one_class_is_an_error_and_two_are_the_binary_formula(tmp_path: Path) -> None:
    X, y = blobs()[0], np.arange(90) % 2
    refused(lambda: sm.CrossEntropy().values([[0.0]], [0]), "at least two columns, one per class")
    refused(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, n_classes=1), "n_classes", error=ParameterError)
    refused(lambda: sm.Objective(sm.Hinge(), X, 0 * y, 0.1), "Class 1 has no sample")
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(X, 0 * y), "only one class")
    run_refused(tmp_path, "fit", saved(tmp_path, X, 0 * y), words=("only one class",))

    W, b = point(4, 2)
    sign = 2.0 * y - 1.0
    margins = sign * (X @ (W[:, 1] - W[:, 0]) + b[1] - b[0])
    binary = {
        "hinge": np.maximum(0.0, 1.0 - margins),
        "squared_hinge": np.maximum(0.0, 1.0 - margins) ** 2,
        "cross_entropy": np.log1p(np.exp(-margins)),
    }
    for loss in LOSSES:
        for engine in ENGINES:
            value = sm.Objective(loss, X, y, 0.0, engine=engine).value(W, b)
            assert value == near(binary[loss.name].mean(), rel=1e-13)

    def logistic(v: np.ndarray) -> float:  # W = (-v/2, v/2) has ΣW² = ‖v‖²/2
        return float(np.logaddexp(0.0, -sign * (X @ v[:-1] + v[-1])).mean() + 0.05 * (v[:-1] @ v[:-1]))

    best = scipy_minimize(logistic, np.zeros(5), tol=1e-10)
    classifier = sm.LinearClassifier(reg=0.1, tol=1e-9).fit(X, y)
    made = fitted(tmp_path, X, y, *SOFT, "--tol", "1e-9")
    for value, bound in ((classifier.value_, classifier.lower_bound_), (made.value, made.lower_bound)):
        assert bound <= best.fun <= value * (1 + 1e-8)
        assert value <= best.fun * (1 + 2e-9)
    assert classifier.decision_function(X).shape == (90,)
    scores = predicted(tmp_path, made, X, "--scores")
    assert scores[:, 1] - scores[:, 0] == pytest.approx(classifier.decision_function(X), abs=1e-3)


LABELS = {
    "strings": np.array(["ü", "", "two words"]),
    "bools": np.array([True, False]),
    "negative": np.array([-3, -2, 5]),
    "gapped": np.array([7, 1_000_000, 3], np.int32),
    "huge": np.array([2**62, -(2**62), 2**62 - 1]),
    "beyond int64": np.array([2**64 - 1, 0, 2**63], np.uint64),
    "like numbers": np.array(["007", "7", "7.0"]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_encoded_exactly(name: str, tmp_path: Path) -> None:
    codes = np.arange(30) % len(LABELS[name])
    X = np.eye(3)[codes] + 1e-3 * np.arange(30)[:, None]
    labels = LABELS[name][codes]
    for estimator in ESTIMATORS:
        classifier = estimator.fit(X, labels)
        assert classifier.predict(X).dtype == labels.dtype
        assert classifier.predict(X).tolist() == labels.tolist()
    read = sm.load_dataset(saved(tmp_path, X, labels)).y
    assert read.tolist() == labels.tolist()
    made = fitted(tmp_path, X, labels)
    assert made.predict(X).tolist() == labels.tolist()
    rows = rows_of(run("predict", tmp_path / "m.safetensors", tmp_path / "d.npz"))
    assert [row[1] for row in rows] == [str(label) for label in read.tolist()]
    assert run("evaluate", tmp_path / "m.safetensors", tmp_path / "d.npz", "--json").json["accuracy"] == 1.0


def test_labels_that_are_floats_must_be_whole(tmp_path: Path) -> None:
    X, y = blobs(30)
    X += 9.0 * np.eye(3, 4)[y]
    whole = 2.0 * y - 1.0
    for wrong, words in ((0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")):
        labels = whole.copy()
        labels[4] = wrong
        for estimator in ESTIMATORS:
            refused(lambda estimator=estimator, y=labels: estimator.fit(X, y), "y")
        words_there = ("y must hold", "float64") if wrong == 0.5 else (f"y[4] is {words}",)
        refused(lambda y=labels: sm.Objective(sm.Hinge(), X, y, 0.1), "integer", *words_there)
        words_there = ("d.npz[y] row 4", words, "labels must be integers")
        refused(lambda y=labels: sm.load_dataset(saved(tmp_path, X, y)), *words_there)
        run_refused(tmp_path, "fit", saved(tmp_path, X, labels), words=words_there)
    for estimator in ESTIMATORS:
        assert np.array_equal(estimator.fit(X, whole).predict(X), whole)
    assert np.array_equal(fitted(tmp_path, X, whole).predict(X), whole)
    refused(lambda: sm.LinearClassifier().fit(X, whole + 0.5), "y", "continuous")
    holed = np.array(["a", "b", np.nan] * 10, object)
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(X, holed), "y[2] is nan")


def test_labels_of_strings_and_integers_are_an_error(tmp_path: Path) -> None:
    X = blobs(30)[0]
    mixed = ["a", 1, "b"] * 10
    for labels in (mixed, tuple(mixed), np.array(mixed, object), pd.Series(mixed)):
        for estimator in ESTIMATORS:
            refused(lambda estimator=estimator, y=labels: estimator.fit(X, y), "y mixes", "int", "str")
        refused(lambda y=labels: sm.Objective(sm.Hinge(), X, y, 0.1), "y mixes", "int", "str")
    write(tmp_path / "y.txt", "\n".join(map(str, mixed)))
    np.save(tmp_path / "X.npy", X)
    data = sm.load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "y.txt")
    assert data.y.tolist() == [str(label) for label in mixed]  # text is text: one word makes all of them words
    np.savez(tmp_path / "d.npz", X=X, y=np.array(mixed, object))
    run_refused(tmp_path, "fit", tmp_path / "d.npz", words=("d.npz[y]", "Python objects"))


def test_a_class_may_be_missing_from_a_chunk_or_a_fold(tmp_path: Path) -> None:
    n = 9000  # of the first class only, then of the second, and last one sample of the third
    X, y = blobs(n)[0], np.repeat([0, 1], n // 2)
    y[-1] = 2
    W, b = point()
    for engine in ENGINES:
        objective = sm.Objective(sm.CrossEntropy(), X, y, 0.1, engine=engine)
        true = textbook.softmax_loss_vectorized(W, X, y, 0.1, b=b)
        assert objective.value(W, b) == near(true, rel=1e-12)
    X, y = blobs(60)
    names = np.array(["a", "b", "c"])[y]
    known, held_out = np.flatnonzero(y[:30] < 2), np.arange(30, 60)
    search = sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=[(known, held_out)]).fit(X, names)
    alone = sm.LinearClassifier(reg=0.1, tol=1e-3).fit(X[known], names[known])
    assert search.best_score_ == pytest.approx(alone.score(X[held_out], names[held_out]), abs=1e-12)
    assert search.classes_.tolist() == ["a", "b", "c"]
    rare = np.where(np.arange(60) == 7, "rare", np.where(y == 2, "a", names))
    assert sm.compare(X, rare, [sm.CrossEntropy()], [0.1], cv=3).reg == 0.1
    made = fitted(tmp_path, X, rare, "--loss", "cross_entropy", "--folds", "3")
    assert made.classes.tolist() == ["a", "b", "rare"]
    answer = run("evaluate", tmp_path / "m.safetensors", saved(tmp_path, X[:6], rare[:6], name="few"), "--json")
    assert answer.json["accuracy"] == np.mean(made.predict(X[:6]) == rare[:6])


@pytest.mark.parametrize(("value", "word"), [(-1.0, "-1"), (np.nan, "nan"), (np.inf, "inf"), (None, "zero")])
def test_negative_infinite_and_zero_weights_are_an_error(value: float | None, word: str) -> None:
    X, y = blobs(30)
    weights = np.zeros(30) if value is None else np.where(np.arange(30) == 7, value, 1.0)
    words = ("sample_weight is zero",) if value is None else (f"sample_weight[7] is {word}",)
    refused(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, weights), *words)
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(X, y, weights), *words)
        refused(lambda estimator=estimator: estimator.fit(X, y, weights.tolist()), *words)
    if value is not None:
        heavy = sm.LinearClassifier(class_weight={0: value})
        refused(lambda: heavy.fit(X, y), f"class_weight[0] must be a finite number ≥ 0, got {word}",
             error=ParameterError)  # fmt: skip


def test_weights_of_1e308_are_rescaled() -> None:
    X, y = blobs(60)
    times = np.random.default_rng(0).integers(1, 3, 60)
    Z, z = np.repeat(X, times, axis=0), np.repeat(y, times)
    W, b = point()
    for weights in (times * 8e307, times * 1e-320 / 2, times * 3.0):
        for loss in LOSSES:
            for engine in ENGINES:
                value = sm.Objective(loss, X, y, 0.1, weights, engine=engine).value(W, b)
                rel = 1e-3 if weights[0] < 1e-300 else 1e-13  # so small that the weights themselves are rounded
                assert value == near(FORMULAS[loss.name](W, Z, z, 0.1, b=b), rel=rel)
    repeated = sm.LinearClassifier(reg=0.1, tol=1e-7).fit(Z, z)
    agree(sm.LinearClassifier(reg=0.1, tol=1e-7).fit(X, y, times * 8e307), repeated)
    search = sm.LinearClassifierCV(["cross_entropy"], regs=[0.1], cv=2, tol=1e-7).fit(X, y, times * 8e307)
    agree(search, repeated)


def test_a_class_without_weight_takes_no_part() -> None:
    X, y = blobs(60)
    names, weights = np.array(["a", "b", "c"])[y], (y != 1).astype(float)
    for estimator in ESTIMATORS:
        assert "of positive weight" in type(estimator).__doc__
        classifier = estimator.fit(X, names, weights)
        assert classifier.classes_.tolist() == ["a", "c"]
        agree(classifier, sm.LinearClassifier(reg=0.1).fit(X[y != 1], names[y != 1]))
    assert "positive weight" in sm.Objective.__doc__
    refused(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, weights), "Class 1 has no sample of positive weight")


def weight_patterns() -> dict[str, np.ndarray]:
    """Return whole weights for 90 samples, three of which are zero in one of the patterns."""
    rng = np.random.default_rng(4)
    rare = np.ones(90)
    rare[[2, 5, 8]] = 7
    zeros = rng.integers(1, 4, 90)
    zeros[[0, 31, 62]] = 0
    return {
        "random": rng.integers(1, 6, 90),
        "a heavy class": rare,
        "zeros": zeros,
        "one": 1 + 8 * (np.arange(90) == 1),
    }


@pytest.mark.parametrize("name", weight_patterns())
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_balanced_class_weights_count_a_weight_as_copies(name: str, loss: sm.Hinge) -> None:
    X, y = blobs(90, seed=3)
    y[:24] = 0  # of different sizes
    times = weight_patterns()[name].astype(int)
    Z, z = np.repeat(X, times, axis=0), np.repeat(y, times)
    options = {"class_weight": "balanced", "tol": 1e-8}
    weighted = sm.LinearClassifier(loss, reg=0.1, **options).fit(X, y, times)
    copies = sm.LinearClassifier(loss, reg=0.1, **options).fit(Z, z)
    assert weighted.value_ == near(copies.value_, rel=2e-8)
    agree(weighted, copies)
    # Each class has the same share of F.
    losses, shares = weighted.sample_losses(X, y), np.bincount(y, times, minlength=3)
    own = times / shares[y] / 3.0
    assert weighted.value_ == near(own @ losses + 0.1 * (weighted.coef_**2).sum(), rel=1e-12)
    options |= {"losses": [loss], "regs": [0.1], "cv": 10}  # copies of up to 10 stay together
    search = sm.LinearClassifierCV(**options).fit(X, y, times)
    agree(search, copies)
    repeated = sm.LinearClassifierCV(**options).fit(Z, z)
    assert search.best_score_ == near(repeated.best_score_, rel=1e-12)  # class weights do not count here
    assert [fold.value for fold in search.path_.paths[0].chosen.folds] == pytest.approx(
        [fold.value for fold in repeated.path_.paths[0].chosen.folds], rel=2e-3
    )


def test_balanced_class_weights_equal_those_of_scikit_learn() -> None:
    X, y = blobs(60)
    y[:12] = 1
    names, weights = np.array(["a", "b", "c"])[y], np.random.default_rng(1).uniform(0.1, 3.0, 60)
    factors = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=names, sample_weight=weights)
    given = dict(zip("abc", factors.tolist(), strict=True))
    balanced, listed = (
        sm.LinearClassifier(reg=0.1, tol=1e-9, class_weight=class_weight).fit(X, names, weights)
        for class_weight in ("balanced", given)
    )
    assert balanced.value_ == near(listed.value_, rel=1e-9)
    assert balanced.coef_ == pytest.approx(listed.coef_, abs=1e-4)


def test_balanced_class_weights_depend_on_the_order_of_the_samples_in_no_bit() -> None:
    y = blobs(90)[1]
    weights = 10.0 ** np.random.default_rng(2).uniform(-9.0, 0.0, 90)
    given = balanced_weights(weights, y, 3)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(90)
        assert (balanced_weights(weights[order], y[order], 3) == given[order]).all()
    assert np.bincount(y, given) == pytest.approx(np.ones(3), rel=1e-14)


@pytest.mark.parametrize(
    ("labels", "class_weight"),
    [
        (("a", "b", "c"), {"a": 1.0, "b": 0, "c": 2.5}),
        ((10, 20, -30), {20: 0.0}),
        (("ä", "", "x y"), {"": 0, "ä": 3}),
        ((2**62, 7, 8), {7: np.float32(0.0), 8: 2}),
    ],
)
def test_a_class_whose_class_weight_is_zero_takes_no_part(labels: tuple, class_weight: dict) -> None:
    X, y = blobs(60)
    names, kept = np.array(labels)[y], y != 1
    rest = {label: factor for label, factor in class_weight.items() if factor}
    for estimator in ESTIMATORS:
        found = clone(estimator).set_params(class_weight=class_weight).fit(X, names)
        same = clone(estimator).set_params(class_weight=rest).fit(X, names, kept.astype(float))
        alone = clone(estimator).set_params(class_weight=rest).fit(X[kept], names[kept])
        assert found.classes_.tolist() == sorted([labels[0], labels[2]])
        assert (found.coef_ == same.coef_).all()
        agree(found, alone)
        assert getattr(found, "best_score_", 0.0) == getattr(alone, "best_score_", 0.0)


def test_class_weights_that_leave_too_little_are_refused_by_label() -> None:
    X, y = blobs(30)
    names = np.array(["ant", "bee", "cow"])[y]

    def fit(class_weight: dict, weights: np.ndarray | None = None) -> None:
        for estimator in ESTIMATORS:
            clone(estimator).set_params(class_weight=class_weight).fit(X, names, weights)

    refused(lambda: fit({"ant": 0, "bee": 0}), "only one class, 'cow'")
    refused(lambda: fit(dict.fromkeys(["ant", "bee", "cow"], 0)), "class_weight must be positive", "0 for all")
    refused(lambda: fit({"ant": 1e-200, "bee": 1e200}), "a positive weight for each class", "0 for 'ant'")
    refused(lambda: fit({"cow": 1e-200}, np.where(y == 2, 1e-200, 1.0)), "0 for 'cow'")
    refused(lambda: fit({"cat": 2.0}), "only labels of y", "'cat'", error=ParameterError)
    refused(lambda: fit({"cow": -1.0}), "class_weight['cow'] must be", error=ParameterError)
    fit({"ant": 1e200, "bee": 3e200, "cow": 2e200})
    fit({"ant": 1.0, "bee": 1.0, "cow": 1.0, "cat": 2.0})  # a fold may lack a class


@pytest.mark.parametrize("tiny", [1e-300, 1e-160, 1e-12])
def test_tiny_weights_beside_ordinary_ones_are_counted(tiny: float) -> None:
    X, y = blobs(60)
    one, rows = np.where(np.arange(60) == 7, tiny, 1.0), np.arange(60) != 7
    for loss in LOSSES:  # a sample that counts nothing, among others of its class
        agree(
            sm.LinearClassifier(loss, reg=0.1, tol=1e-6).fit(X, y, one),
            sm.LinearClassifier(loss, reg=0.1, tol=1e-6).fit(X[rows], y[rows]),
        )
        even = sm.LinearClassifier(loss, reg=0.1, tol=1e-6).fit(X, y, np.full(60, tiny))
        agree(even, sm.LinearClassifier(loss, reg=0.1, tol=1e-6).fit(X, y))
        # A whole class: balanced, it counts as much as the others.
        rare = np.where(y == 2, tiny, 1.0)
        balanced = sm.LinearClassifier(loss, reg=0.1, tol=1e-6, class_weight="balanced").fit(X, y, rare)
        agree(balanced, even)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "neg_brier_score", "top_k_accuracy", "d2_log_loss_score"])
@pytest.mark.parametrize(
    ("training", "held_out"),
    [([0, 1, 2], [0, 1]), ([0, 1, 2], [2]), ([0, 2], [0, 1, 2]), ([1, 2], [1])],
)
def test_scorers_of_probabilities_know_all_classes(scoring: str, training: list, held_out: list) -> None:
    X, y = blobs(120)
    names = np.array(["ant", "bee", "cow"])[y]
    halves = np.arange(120) // 60
    parts = [np.flatnonzero(np.isin(y, part) & (halves == k)) for k, part in enumerate((training, held_out))]
    search = sm.LinearClassifierCV(
        ["cross_entropy"], regs=[0.1], cv=[tuple(parts)], scoring=scoring, path_tol=1e-9
    )
    found = search.fit(X, names).best_score_
    alone = sm.LinearClassifier(reg=0.1, tol=1e-9).fit(X[parts[0]], names[parts[0]])
    probabilities = np.zeros((len(parts[1]), 3))
    probabilities[:, training] = alone.predict_proba(X[parts[1]])
    metric = get_scorer(scoring)
    expected = metric._sign * metric._score_func(names[parts[1]], probabilities, labels=["ant", "bee", "cow"])
    assert found == pytest.approx(expected, rel=1e-4)


def test_nothing_is_calibrated_where_only_unknown_classes_are_held_out() -> None:
    X, y = blobs(90)
    order = np.argsort(y, kind="stable")
    for losses in (["hinge"], ["cross_entropy"], ["hinge", "squared_hinge"]):
        search = sm.LinearClassifierCV(losses, regs=[0.1], cv=KFold(3)).fit(X[order], y[order])
        assert search.calibration_ is None
        assert search.best_score_ == 0.0
