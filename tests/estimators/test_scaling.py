"""What ``scaling="auto"`` chooses, constant columns, and features that say nothing about the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression

import softmargin as sm
from softmargin.preprocessing import constant_columns
from tests.support.cases import ENGINES, LOSSES, agree, blobs, saved
from tests.support.command_line import run

EPS = float(np.finfo(np.float64).eps)


def spread(ratio: float, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return samples whose columns have standard deviations of exactly this ratio, up to rounding."""
    X, y = blobs(90, d)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X * np.geomspace(1.0, ratio, d), y


@pytest.mark.parametrize(
    ("name", "X", "expected"),
    [
        ("ratio 100", spread(100.0)[0], "standard"),
        ("ratio 1e-100", 1e-100 * spread(1e6)[0], "standard"),
        ("float32", spread(1e4)[0].astype(np.float32), "standard"),
        ("float16", spread(1e3)[0].astype(np.float16), "standard"),
        ("ratio 99", spread(99.0)[0], "none"),
        ("constant columns", np.column_stack([spread(9.0)[0], np.full((90, 3), [1e8, 0.1, 0.0])]), "none"),
        ("nearly constant", np.column_stack([spread(9.0)[0], 1e8 + 1e-8 * (np.arange(90) % 2)]), "none"),
        ("only constant", np.tile([1.0, 1e9], (90, 1)), "none"),
        ("sparse", csr_array(spread(1e4)[0]), "none"),
        ("integers", spread(1e4)[0].astype(np.int64), "none"),
        ("pixels", np.clip(30 * spread(1.0)[0] + 128, 0, 255).astype(np.uint8), "pixel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_auto_is_decided_by_the_deviations(name: str, X: Any, expected: str) -> None:
    y = np.arange(90) % 3
    fitted = sm.LinearClassifier(reg=1e-1).fit(X, y)
    assert fitted.preprocessing_.scaling == expected
    named = sm.LinearClassifier(reg=1e-1, scaling=expected).fit(X, y)
    assert (fitted.coef_ == named.coef_).all()
    if name != "only constant":
        search = sm.LinearClassifierCV(["squared_hinge"], regs=[0.1], cv=2).fit(X, y)
        assert search.preprocessing_.scaling == expected
        found = sm.compare(X, y, ["squared_hinge"], [0.1], cv=2)
        same = sm.compare(X, y, ["squared_hinge"], [0.1], cv=2, scaling=expected)
        assert [fold.value for fold in found.paths[0].chosen.folds] == [
            fold.value for fold in same.paths[0].chosen.folds
        ]


def test_auto_does_not_scale_normalized_rows(tmp_path: Path) -> None:
    X, y = spread(1e5)
    for estimator in (sm.LinearClassifier(), sm.LinearClassifierCV(["hinge"], regs=[0.1], cv=2)):
        assert estimator.set_params(normalize_rows=True).fit(X, y).preprocessing_.scaling == "none"
    given = ("--loss", "hinge", "--reg", "0.1", "-o")
    run("fit", saved(tmp_path, X, y), "--normalize-rows", *given, tmp_path / "n.safetensors")
    assert sm.load_model(tmp_path / "n.safetensors").preprocessing.scaling == "none"


def test_auto_is_decided_once_for_all_folds() -> None:
    X, y = blobs(90)
    X[0, 0] = 1e5  # without this sample the ratio is small
    folds = [(np.arange(1, 60), np.arange(60, 90)), (np.r_[0, 31:90], np.arange(1, 30))]
    auto, standard = (
        sm.LinearClassifierCV(["squared_hinge"], regs=[0.1], cv=folds, scaling=scaling).fit(X, y).path_
        for scaling in ("auto", "standard")
    )
    assert [fold.value for fold in auto.paths[0].chosen.folds] == [
        fold.value for fold in standard.paths[0].chosen.folds
    ]


def test_the_command_line_prints_and_records_what_auto_chose(tmp_path: Path) -> None:
    X, y = spread(1e4)
    target = tmp_path / "m.safetensors"
    answer = run("fit", saved(tmp_path, X, y), "--loss", "hinge", "--reg", "0.1", "-o", target)
    assert any(line.split() == ["scaling", "standard"] for line in answer.text.splitlines())
    assert sm.load_model(target).preprocessing.scaling == "standard"
    assert "scaling standard" in run("info", target).text
    assert (sm.LinearClassifier("hinge", reg=0.1).fit(X, y).coef_ == sm.load_model(target).W.T).all()


def test_breast_cancer_is_standardized() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    accuracies = {
        scaling: sm.compare(X, y, ["squared_hinge"], [1e-1, 1e-2], scaling=scaling).paths[0].chosen.score
        for scaling in ("auto", "none")
    }
    assert accuracies["auto"] > 0.97
    assert accuracies["none"] < 0.96


# -- constant columns --------------------------------------------------------------------------------------


def constants(n: int) -> np.ndarray:
    """Return constant columns of all sizes, and one that is constant up to the rounding of its values."""
    columns = [1e8, 0.1, 1 / 3, -1e-30, 1e30, 0.0, 255.0]
    return np.column_stack([np.full((n, len(columns)), columns), 1e8 + 1.5e-8 * (np.arange(n) % 2)])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scaling", ["none", "standard"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
def test_constant_columns_have_weights_of_exactly_zero(
    loss: sm.Hinge, scaling: str, engine: str, weighted: bool
) -> None:
    X, y = blobs(150)
    wide = np.column_stack([X, constants(150)])
    weights = np.random.default_rng(0).uniform(0.1, 2.0, 150) if weighted else None
    options = {"reg": 1e-3, "tol": 1e-7, "scaling": scaling, "engine": engine}
    found = sm.LinearClassifier(loss, **options).fit(wide, y, weights)
    assert (found.coef_[:, 4:] == 0.0).all()
    assert found.coef_[:, :4].all()
    agree(found, sm.LinearClassifier(loss, **options).fit(X, y, weights))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int32])
@pytest.mark.parametrize("sparse", [False, True])
def test_constant_columns_of_every_type(dtype: Any, sparse: bool) -> None:
    X, y = blobs(150)
    columns = [0.1, 1 / 3, 200.0, 0.0] if np.dtype(dtype).kind == "f" else [1, 3, 200, 0]
    wide = np.column_stack([np.clip(20 * X + 100, 0, 255), np.full((150, 4), columns)]).astype(dtype)
    if sparse and dtype == np.float16:
        return  # SciPy has no sparse arrays of float16
    for scaling in ("none", "standard"):
        found = sm.LinearClassifier(reg=1e-1, scaling=scaling).fit(csr_array(wide) if sparse else wide, y)
        assert (found.coef_[:, 4:] == 0.0).all()
        assert found.coef_[:, :4].all()


def test_a_column_that_is_constant_in_a_fold_has_no_weight_there() -> None:
    X, y = blobs(90)
    wide = np.column_stack([X, np.where(np.arange(90) < 60, 1 / 3, 7.0)])
    parts = np.arange(60), np.arange(60, 90)
    for scaling in ("none", "standard"):
        search, alone = (
            sm.LinearClassifierCV(LOSSES, regs=[0.1], cv=[parts], scaling=scaling, path_tol=1e-6).fit(Z, y)
            for Z in (wide, X)
        )
        for path, other in zip(search.path_.paths, alone.path_.paths, strict=True):
            fold, same = path.chosen.folds[0], other.chosen.folds[0]
            assert fold.value == pytest.approx(same.value, rel=2e-6)
            assert fold.validation_loss == pytest.approx(same.validation_loss, rel=1e-2)


def test_without_a_bias_a_constant_column_takes_its_place() -> None:
    X, y = blobs(90)
    found = sm.LinearClassifier(reg=1e-3, fit_intercept=False).fit(np.column_stack([X, np.ones(90)]), y)
    assert found.coef_[:, 4].all()


@pytest.mark.parametrize("value", [0.1, 1e8 / 3, -1e-100, 1e150])
@pytest.mark.parametrize("n", [10, 3001, 1_000_000])
def test_the_rounding_of_a_variance_is_bounded(n: int, value: float) -> None:
    X = np.column_stack([np.full(n, value), np.arange(n) % 2])
    y = np.arange(n) // 2 % 2
    weights = np.random.default_rng(0).uniform(0.1, 1.0, n) if n < 10_000 else None
    objective = sm.Objective(sm.Hinge(), X, y, 0.1, weights)
    assert objective.constant_columns.tolist() == [True, False]
    few = sm.Objective(sm.Hinge(), X, y, 0.1, weights, n_threads=1)
    assert few.moments.variance.tobytes() == objective.moments.variance.tobytes()


def test_a_small_variance_beyond_rounding_counts() -> None:
    mean = np.array([1.0, 1.0, 1e8, 0.0])
    deviation = np.array([1e-13, 1e-11, 1e-4, 1e-300])
    found = constant_columns(mean, deviation**2, 100 * EPS)
    assert found.tolist() == [False, False, False, True]  # the square of 1e-300 is 0
    assert constant_columns(mean, (1e-14 * mean) ** 2, 100 * EPS).all()


# -- features that say nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("losses", [["cross_entropy"], ["hinge"], ["squared_hinge", "hinge"]])
@pytest.mark.parametrize(
    "X",
    [
        np.tile([0.1, 1e8, 1 / 3], (60, 1)),
        np.tile(np.float32([0.7, -3e5]), (60, 1)),
        np.zeros((60, 2)),
        np.repeat(np.random.default_rng(0).normal(size=(20, 4)), 3, axis=0),
        np.repeat(np.random.default_rng(1).normal(size=(20, 2)) + 1e6, 3, axis=0),
    ],
    ids=["equal rows", "equal rows float32", "zeros", "equal means", "equal means far from zero"],
)
@pytest.mark.parametrize("regs", ["auto", 6])
def test_a_search_ends_at_once_where_all_classes_have_equal_means(losses: list, X: Any, regs: Any) -> None:
    y = np.arange(60) % 3
    with pytest.warns(UserWarning, match="W = 0 is optimal for every reg, up to rounding"):
        found = sm.compare(X, y, losses, regs, cv=3)
    assert [len(path.points) for path in found.paths] == [1] * len(losses)
    alone = sm.LinearClassifier(losses[0], reg=found.reg).fit(X, y)
    assert np.abs(alone.coef_).max() < 1e-9
    assert alone.converged_


def test_a_small_signal_is_searched() -> None:
    y = np.arange(60) % 3
    for size in (1e-3, 1e-9):
        X = np.repeat(np.random.default_rng(0).normal(size=(20, 4)), 3, axis=0) + size * y[:, None]
        assert len(sm.compare(X, y, ["squared_hinge"], cv=3).paths[0].points) > 1


def test_the_command_line_says_that_no_feature_helps(tmp_path: Path) -> None:
    X, y = np.tile([0.1, 1e8], (60, 1)), np.arange(60) % 3
    answer = run("compare", saved(tmp_path, X, y))
    assert answer.status == 0
    assert answer.err.count("Note: W = 0 is optimal for every reg, up to rounding") == 1


# -- scikit-learn's C --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_C_of_scikit_learn(n_classes: int, weighted: bool) -> None:
    X, y = load_iris(return_X_y=True)
    X, y = X[y < n_classes], y[y < n_classes]
    weights, reg = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) if weighted else np.ones(len(y)), 1e-2
    C = 1.0 / ((1.0 if n_classes == 2 else 2.0) * weights.sum() * reg)
    peer = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(X, y, weights)
    found = sm.LinearClassifier(reg=reg, tol=1e-10).fit(X, y, weights)
    assert found.predict_proba(X) == pytest.approx(peer.predict_proba(X), abs=1e-5)
    if n_classes == 2:  # the class of the larger label is the positive one
        assert found.coef_[1] == pytest.approx(-found.coef_[0], abs=1e-7)
        assert found.coef_[1] - found.coef_[0] == pytest.approx(peer.coef_[0], abs=1e-4)
    else:
        assert found.coef_ == pytest.approx(peer.coef_, abs=1e-4)
