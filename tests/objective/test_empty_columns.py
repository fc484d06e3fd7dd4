"""Sparse X with many empty columns: the results of the other columns, at their cost."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import make_scorer

import softmargin as sm
from softmargin.content import content_hashes
from softmargin.data import Dataset
from softmargin.estimators import LinearClassifier, LinearClassifierCV
from softmargin.sparse import without_empty_columns
from tests.support.problems import n_cases

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = ("cross_entropy", "squared_hinge", "hinge")
TOL = 1e-9
C = 3


def narrow(seed=0, n=70, d=9, dtype=np.float64):
    """Return a sparse X (N, D') whose columns all hold entries, and labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % C
    dense = rng.integers(0, 9, (n, d)) * (rng.random((n, d)) < 0.5) + 3 * (np.arange(d) % C == y[:, None])
    dense[:C] += 1
    return sp.csr_array(dense.astype(dtype)), np.array(["a", "b", "c"])[y]


def widened(Z, seed=0, n_columns=50):
    """Return Z with empty columns between its columns, and the numbers of its columns."""
    kept = np.sort(np.random.default_rng(seed).choice(n_columns, Z.shape[1], replace=False))
    return sp.csr_array((Z.data, kept[Z.indices], Z.indptr), shape=(Z.shape[0], n_columns)), kept


def margins(fit, X):
    """Return the scores with mean 0: a constant may be added to all of a sample."""
    return fit.decision_function(X) - fit.decision_function(X).mean(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(n_cases(4, 40)))
def test_columns_are_left_out_and_come_back(seed):
    rng = np.random.default_rng(seed)
    Z, _ = narrow(seed, d=int(rng.integers(1, 9)))
    X, kept = widened(Z, seed, int(rng.integers(18, 80)))
    found, columns = without_empty_columns(X)
    assert (columns.kept == kept).all()
    assert columns.n_columns == X.shape[1]
    assert (found.toarray() == Z.toarray()).all()
    assert np.shares_memory(found.data, X.data)
    assert (columns.widen(found).toarray() == X.toarray()).all()
    values = rng.normal(size=(len(kept), 2))
    wide = columns.spread(values, 7.0)
    assert (columns.take(wide) == values).all()
    assert (np.delete(wide, kept, axis=0) == 7.0).all()
    assert not columns.rest(wide)[kept].any()
    assert (np.delete(columns.rest(wide), kept, axis=0) == 7.0).all()


@pytest.mark.parametrize("X", [
    np.zeros((3, 9)),
    sp.csr_array(np.eye(9)),
    sp.csr_array(np.eye(9)[:, :8] * [1, 1, 1, 1, 1, 0, 0, 0]),
    sp.csr_array((4, 1)),
])  # fmt: skip
def test_other_features_stay_as_they_are(X):
    found, columns = without_empty_columns(X)
    assert found is X
    assert columns.kept is None
    assert columns.take(X) is X
    assert columns.widen(X) is X
    assert columns.spread(found) is X


def test_one_column_of_an_empty_matrix_is_kept():
    found, columns = without_empty_columns(sp.csr_array((4, 100)))
    assert found.shape == (4, 1)
    assert columns.kept.tolist() == [0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_a_fit_is_that_of_the_other_columns(loss, scaling):
    Z, y = narrow()
    X, kept = widened(Z)
    weights = np.random.default_rng(1).integers(0, 3, len(y)) + (np.arange(len(y)) < C)
    options = {"reg": 1e-2, "tol": TOL, "scaling": scaling}
    found, narrower, dense = (LinearClassifier(loss, **options).fit(M, y, weights) for M in (X, Z, X.toarray()))
    assert found.coef_.shape == found.fit_.W.T.shape == (C, X.shape[1])
    assert found.n_features_in_ == X.shape[1]
    assert found.coef_.flags.c_contiguous
    for name in ("value_", "lower_bound_", "gap_", "n_passes_"):
        assert getattr(found, name) == getattr(narrower, name)
    assert (found.intercept_ == narrower.intercept_).all()
    assert (found.coef_[:, kept] == narrower.coef_).all()
    assert (found.fit_.W[kept] == narrower.fit_.W).all()
    assert not np.delete(found.coef_, kept, axis=1).any()
    assert not np.delete(found.fit_.W, kept, axis=0).any()
    # F is strongly convex in W: a gap g allows a distance of sqrt(g F / λ).
    distance = np.sqrt(max(found.value_ * found.gap_, dense.value_ * dense.gap_) / 1e-2)
    scale = found.preprocessing_.scale
    assert np.linalg.norm((found.coef_ - dense.coef_) / scale) <= 2.0 * distance
    assert np.isclose(found.value_, dense.value_, rtol=2 * TOL)
    assert found.converged_
    assert dense.converged_
    assert np.allclose(scale, dense.preprocessing_.scale, rtol=1e-12)
    assert not found.preprocessing_.mean.any()
    assert found.preprocessing_.mean.shape == scale.shape == (X.shape[1],)
    assert (found.decision_function(X) == narrower.decision_function(Z)).all()
    assert np.allclose(margins(found, X), margins(dense, X.toarray()), atol=100 * distance)


def test_pixels_keep_their_scale_in_empty_columns():
    Z, y = narrow(dtype=np.uint8)
    X, _ = widened(Z)
    fit = LinearClassifier(reg=0.1).fit(X, y)
    assert fit.preprocessing_.scaling == "pixel"
    assert (fit.preprocessing_.scale == 1.0 / 255.0).all()


def test_a_model_has_all_features(tmp_path):
    Z, y = narrow()
    X, kept = widened(Z)
    names = tuple(f"word {k}" for k in range(X.shape[1]))
    data = Dataset(X, y, feature_names=names, name="words")
    fit = LinearClassifier("hinge", reg=1e-2, scaling="standard").fit(X, y)
    model = fit.to_model(data)
    model.save(tmp_path / "words.safetensors")
    loaded = sm.load_model(tmp_path / "words.safetensors")
    assert loaded.n_features == X.shape[1]
    assert (loaded.W == fit.coef_.T).all()
    assert (loaded.scores(X) == model.scores(X)).all()
    assert (loaded.predict(X) == fit.predict(X)).all()
    assert np.allclose(loaded.scores(X), X.toarray() @ loaded.W + loaded.b, rtol=1e-12, atol=1e-12)
    unseen = np.ones((2, X.shape[1]))  # entries in columns that were empty change no score
    assert np.allclose(loaded.scores(unseen), unseen[:, kept] @ loaded.W[kept] + loaded.b)
    model.export(tmp_path / "words.npz")
    with np.load(tmp_path / "words.npz") as arrays:
        assert (arrays["coef"] == fit.coef_).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_objectives_have_all_columns(loss):
    Z, y = narrow()
    X, kept = widened(Z)
    codes, rng = np.unique(y, return_inverse=True)[1], np.random.default_rng(2)
    one = {"hinge": sm.Hinge(), "squared_hinge": sm.SquaredHinge(), "cross_entropy": sm.CrossEntropy()}[loss]
    scale = rng.uniform(0.5, 2.0, X.shape[1])
    sparse, dense = (sm.Objective(one, M, codes, 0.1, scale=scale, engine="cpu") for M in (X, X.toarray()))
    assert sparse.n_features == X.shape[1]
    W, V = rng.normal(size=(2, X.shape[1], C))
    b, c = rng.normal(size=(2, C))
    value, dW, db = sparse.value_and_grad(W, b)
    assert value == sparse.value(W, b)
    assert dW.shape == W.shape
    for found, expected in zip((value, dW, db), dense.value_and_grad(W, b), strict=True):
        assert np.allclose(found, expected, rtol=1e-11, atol=1e-11)
    for found, expected in zip(
        *(o.values_and_grads([W, V], [b, c], regs=[0.1, 0.3]) for o in (sparse, dense)), strict=True
    ):
        assert found.shape == expected.shape
        assert np.allclose(found, expected, rtol=1e-11, atol=1e-11)
    if one.smooth:
        for found, expected in zip(*(o.hessian_product(W, b, V, c) for o in (sparse, dense)), strict=True):
            assert found.shape == expected.shape
            assert np.allclose(found, expected, rtol=1e-10, atol=1e-10)
    proof, expected = sparse.certificate(W, b), dense.certificate(W, b)
    assert proof.value == value
    assert proof.value <= proof.value_upper <= proof.value * (1 + 1e-10)
    assert np.allclose(proof, expected, rtol=1e-9)
    assert all(np.allclose(*pair) for pair in zip(sparse.moments, dense.moments, strict=True))
    assert (sparse.constant_columns == dense.constant_columns).all()
    assert np.allclose(sparse.scores(W, b), dense.scores(W, b))
    fit, other = (sm.minimize(o, W, b, tol=1e-6) for o in (sparse, dense))
    assert fit.W.shape == W.shape
    assert not np.delete(fit.W, kept, axis=0).any()
    assert np.isclose(fit.value, other.value, rtol=2e-6)
    assert fit.gap <= 1e-6
    assert sparse.certificate(fit.W, fit.b).value == pytest.approx(fit.value, rel=1e-12)
    [(_, first), _], others = (sm.path(o, [0.3, 0.1]) for o in (sparse, dense))
    assert first.W.shape == W.shape
    assert np.isclose(first.value, others[0].fit.value, rtol=2e-3)
    first, second = ([reg for reg, _ in sm.path(o, 3)] for o in (sparse, dense))
    # The last λ is where rough fits say that the loss is nearly zero, which may be one step of the search apart.
    assert first[0] == pytest.approx(second[0])
    assert abs(np.log(first[2] / second[2])) <= 1.01 * np.log(10.0) / 4.0


def test_a_mean_makes_empty_columns_count():
    Z, y = narrow()
    X, _ = widened(Z)
    codes, rng = np.unique(y, return_inverse=True)[1], np.random.default_rng(3)
    mean, W, b = rng.normal(size=X.shape[1]), rng.normal(size=(X.shape[1], C)), np.zeros(C)
    sparse, dense = (
        sm.Objective(sm.CrossEntropy(), M, codes, 0.1, mean=mean, engine="cpu", fit_intercept=False)
        for M in (X, X.toarray())
    )
    assert sparse.value(W, b) == pytest.approx(dense.value(W, b), rel=1e-12)
    fit, other = (sm.minimize(o, tol=1e-8) for o in (sparse, dense))
    assert np.isclose(fit.value, other.value, rtol=2e-8)


def test_starts_are_checked_with_all_columns():
    Z, y = narrow()
    X, _ = widened(Z)
    objective = sm.Objective(sm.CrossEntropy(), X, np.unique(y, return_inverse=True)[1], 0.1)
    with pytest.raises(sm.DataError, match=r"W0 must have shape \(50, 3\), got \(9, 3\)"):
        sm.minimize(objective, np.zeros((9, 3)))
    with pytest.raises(sm.DataError, match=r"shapes \(50, 3\) and \(3,\), got \(9, 3\)"):
        objective.value(np.zeros((9, 3)), np.zeros(3))
    wrong = np.zeros((50, 3))
    wrong[np.flatnonzero(X.toarray().any(axis=0) == 0)[0]] = np.nan
    with pytest.raises(sm.DataError, match="finite"):
        sm.minimize(objective, wrong)


@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_cross_validation_is_that_of_dense_features(scaling):
    """Also with folds in which further columns are empty."""
    Z, y = narrow(n=60)
    rare = Z.toarray()
    rare[:, 3] = 0.0
    rare[[7, 8], 3] = 5.0  # in one fold only
    X, _ = widened(sp.csr_array(rare))
    folds = [(np.delete(np.arange(60), part), part) for part in np.split(np.arange(60), 4)]
    assert not rare[folds[0][0], 3].any()
    options = {"scaling": scaling, "regs": [0.1, 0.01], "path_tol": 1e-7, "cv": folds, "keep_out_of_fold": True}
    for scoring in ("loss", "accuracy"):
        found, dense = (
            sm.compare(M, y, ["cross_entropy", "hinge"], **options | {"scoring": scoring})
            for M in (X, X.toarray())
        )
        assert found.loss == dense.loss
        assert found.reg == dense.reg
        scores = [one.out_of_fold.scores for one in (found, dense)]
        assert np.allclose(*(s - s.mean(axis=1, keepdims=True) for s in scores), atol=2e-2)
        points = [[point.score for path in one.paths for point in path.points] for one in (found, dense)]
        assert np.allclose(*points, rtol=1e-3)


def test_folds_depend_on_the_numbers_of_the_columns_as_before():
    Z, y = narrow()
    X, _ = widened(Z)
    found, dense = (sm.compare(M, y, ["hinge"], [0.1], cv=3, path_tol=1e-6) for M in (X, X.toarray()))
    for one, other in zip(found.paths[0].points[0].folds, dense.paths[0].points[0].folds, strict=True):
        assert one.validation_accuracy == other.validation_accuracy
        assert one.value == pytest.approx(other.value, rel=2e-6)
    assert (content_hashes(X) == content_hashes(X.toarray())).all()


def test_scorers_see_all_columns():
    Z, y = narrow()
    X, kept = widened(Z)
    seen = []

    def score(estimator, features, labels):
        seen.append((estimator.coef_.shape, features.shape[1], np.delete(estimator.coef_, kept, axis=1).any()))
        return (estimator.predict(features) == labels).mean()

    search = LinearClassifierCV(["hinge"], regs=[0.1], cv=3, scoring=score).fit(X, y)
    assert set(seen) == {((C, X.shape[1]), X.shape[1], False)}
    assert search.coef_.shape == (C, X.shape[1])
    named = LinearClassifierCV(["hinge"], regs=[0.1], cv=3, scoring="accuracy").fit(X, y)
    made = LinearClassifierCV(["hinge"], regs=[0.1], cv=3, scoring=make_scorer(lambda a, b: (a == b).mean()))
    assert made.fit(X, y).best_score_ == pytest.approx(named.best_score_)
    assert (named.coef_ == search.coef_).all()


def test_learning_curves_of_all_columns():
    Z, y = narrow(n=120)
    X, _ = widened(Z)
    options = {"reg": 0.01, "shots": [2, 5, "all"], "repeats": 2, "tol": 1e-6}
    found, dense = (sm.learning_curve(M, y, **options) for M in (X, X.toarray()))
    for one, other in zip(found.curves[0].points, dense.curves[0].points, strict=True):
        assert one.accuracies == other.accuracies


def test_a_checkpoint_resumes(tmp_path):
    Z, y = narrow()
    X, _ = widened(Z)
    options = {"reg": 1e-3, "tol": 1e-7}
    path = tmp_path / "fit.checkpoint"
    objective = sm.Objective(sm.Hinge(), X, np.unique(y, return_inverse=True)[1], 1e-3)
    whole = sm.minimize(objective, tol=1e-7)
    half = len(whole.history) // 2
    with pytest.warns(sm.ConvergenceWarning):
        sm.minimize(
            objective, tol=1e-7, max_passes=whole.history[half].n_passes, checkpoint=path, checkpoint_seconds=0
        )
    assert path.exists()
    resumed = sm.minimize(objective, tol=1e-7, checkpoint=path)
    assert (resumed.W == whole.W).all()
    assert resumed.value == whole.value
    assert not path.exists()
    assert LinearClassifier("hinge", **options).fit(X, y).value_ == pytest.approx(whole.value, rel=2e-7)


def test_memory_follows_the_entries():
    """Of W (D, C), two copies of coef_ and fit_ remain; the fit itself allocates nothing of that size."""
    Z, y = narrow()
    D = 1 << 18
    X, kept = widened(Z, n_columns=D)
    sizes = D * C * 8
    LinearClassifier("cross_entropy", reg=0.1).fit(Z, y)
    tracemalloc.start()
    try:
        for loss in LOSSES:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            fit = LinearClassifier(loss, reg=0.1).fit(X, y)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 4 * sizes
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            sm.compare(X, y, [loss], [0.1, 0.01], cv=3)
            fit.predict(X)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 0.75 * sizes
    finally:
        tracemalloc.stop()
    assert not np.delete(fit.coef_, kept, axis=1).any()
