"""Sparse X: the same results as for its dense form, which is never created."""

import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import softmargin as sm
from softmargin.affine import Affine
from softmargin.engines import GivenRows, Gradients, make_engine
from softmargin.engines.cpu import DenseEngine, SparseEngine
from softmargin.engines.cpu.sparse import _TILE_CLASSES
from softmargin.engines.in_memory import ArrayRows
from softmargin.engines.preconditioners import (
    CovariancePreconditioner,
    DiagonalPreconditioner,
    GramPreconditioner,
)
from softmargin.engines.reference import ReferenceEngine
from softmargin.errors import ConvergenceWarning, DataError
from softmargin.losses import SmoothedHinge
from softmargin.samples import Samples, as_features
from softmargin.selection.grid import largest_reg
from tests.support.problems import Problem, n_cases

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = [sm.Hinge(1.5), sm.SquaredHinge(1.5), sm.CrossEntropy(), SmoothedHinge(1.0, 0.5)]
DTYPES = (np.float64, np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, np.uint32, np.bool_)
FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
EPS = np.finfo(np.float64).eps


def random_csr(n, d, density, dtype=np.float64, seed=0, index=np.int32):
    """Return a CSR array with columns of very different density, explicit zeros, empty rows and empty columns."""
    rng = np.random.default_rng(seed)
    share = np.minimum(1.0, density * 2 * rng.random(d)) if density < 1.0 else np.ones(d)
    stored = rng.random((n, d)) < share
    if density < 1.0:
        stored[rng.random(n) < 0.1] = False
        stored[:, rng.random(d) < 0.2] = False
    values = rng.normal(size=(n, d)) * 20 + 60
    values[rng.random((n, d)) < 0.05] = 0.0
    values = values > 50 if dtype is np.bool_ else np.clip(values, 0, 120).astype(dtype)
    indptr = np.concatenate([[0], np.cumsum(stored.sum(axis=1))]).astype(index)
    X = sp.csr_array((n, d), dtype=dtype)
    X.data, X.indices, X.indptr = values[stored], np.nonzero(stored)[1].astype(index), indptr
    return X


def random_samples(seed, n=None, d=None, c=None, density=None, dtype=None):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([3, 5, 23, 150, 700])) if n is None else n
    d = int(rng.choice([1, 2, 7, 40, 211])) if d is None else d
    c = int(rng.choice([2, 3, 4, 5, 6, 7, 8, 9, 13, 40])) if c is None else c
    density = float(rng.choice([0.0, 0.01, 0.1, 0.5, 1.0])) if density is None else density
    dtype = DTYPES[seed % len(DTYPES)] if dtype is None else dtype
    X = random_csr(n, d, density, dtype, seed, (np.int32, np.int64)[seed % 2])
    weights = rng.random(n)
    if seed % 3:
        weights[::3] = 0.0
    return Samples(X, rng.integers(0, c, n), weights / weights.sum(), c)


def everything(engine, loss, offsets=None):
    d, c = engine.samples.X.shape[1], engine.samples.n_classes
    rng = np.random.default_rng(1)
    W, V = rng.normal(size=(2, d, c)) / (60 * d)
    b, v = rng.normal(size=(2, c))
    shift = None if offsets is None else ArrayRows(offsets)
    given = np.zeros((engine.shape.n_samples, c))
    given[engine.rows] = loss._gradient(engine.scores(W, b, engine.rows), engine.samples.y[engine.rows])
    parts = [np.array(engine.value(loss, W, b)), *engine.evaluate(loss, W, b, shift)[2:5]]
    parts += engine.dual_sums(loss, W, b, Gradients(loss, shift))[:5]
    if loss.ascends:
        parts += engine.dual_sums(loss, W, b, GivenRows(ArrayRows(given), 0.1 * v))[:5]
    if loss.smooth:
        parts += engine.hessian_product(loss, W, b, V, v, shift)
        parts.append(engine.mean_curvature(loss, W, b, shift))
    parts += [*engine.moments(), engine.class_features()]
    parts += [engine.scores(W, b, rng.permutation(engine.rows)), engine.scores(W, b, engine.rows[:0])]
    parts += [engine.score_square(V, v), *engine.quality(loss, W, b, "training")]
    affine = Affine(np.full(d, 30.0), np.full(d, 0.1))
    parts += engine.covariance(affine, engine.rows[::2], single=False)
    return [np.asarray(part) for part in parts]


def dense(samples):
    return Samples(samples.X.toarray(), samples.y, samples.weights, samples.n_classes)


@pytest.mark.parametrize("seed", range(n_cases(40, 120)))
def test_it_agrees_with_the_reference(seed):
    samples = random_samples(seed)
    loss = LOSSES[seed % len(LOSSES)]
    shape = (len(samples.y), samples.n_classes)
    offsets = np.random.default_rng(3).random(shape) if seed % 2 else None
    sparse, reference = SparseEngine(samples), ReferenceEngine(dense(samples))
    for got, true in zip(everything(sparse, loss, offsets), everything(reference, loss, offsets), strict=True):
        # Sums of N·D terms of size up to 140²; both engines round.
        assert got == pytest.approx(true, rel=1e-11, abs=1e-11)
    assert sparse.n_passes > 0


@pytest.mark.parametrize("c", range(2, 2 * _TILE_CLASSES + 2))
def test_every_number_of_classes_on_both_sides_of_the_tiles(c):
    samples = random_samples(5, n=60, d=30, c=c, density=0.3, dtype=np.float64)
    for got, true in zip(
        everything(SparseEngine(samples), sm.CrossEntropy()),
        everything(ReferenceEngine(dense(samples)), sm.CrossEntropy()),
        strict=True,
    ):
        assert got == pytest.approx(true, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.int16], ids=["in place", "converted"])
def test_the_bits_do_not_depend_on_threads(loss, dtype):
    samples = random_samples(1, n=30_011, d=90, c=6, density=0.3, dtype=dtype)
    one, *others = [SparseEngine(samples, threads) for threads in (1, 2, 3)]
    assert one._n_partitions(1000) > 3
    expected = everything(one, loss)
    for engine in others:
        for got, true in zip(everything(engine, loss), expected, strict=True):
            assert np.array_equal(got, true)
        assert engine.workers.started


def test_indices_of_64_bits_give_the_same_bits_and_are_kept():
    samples = random_samples(4, n=900, d=50, c=4, density=0.2, dtype=np.float64)
    X = as_features(samples.X)
    wide = as_features(random_csr(900, 50, 0.2, np.float64, 4, np.int64))
    assert (X.indices.dtype, wide.indices.dtype) == (np.int32, np.int64)
    for got, true in zip(
        everything(SparseEngine(Samples(wide, samples.y, samples.weights, 4)), sm.CrossEntropy()),
        everything(SparseEngine(samples), sm.CrossEntropy()),
        strict=True,
    ):
        assert np.array_equal(got, true)


def test_a_read_only_matrix_is_read():
    samples = random_samples(6, n=100, d=30, c=3, density=0.2, dtype=np.float64)
    for part in (samples.X.data, samples.X.indices, samples.X.indptr):
        part.setflags(write=False)
    got = sm.Objective(sm.CrossEntropy(), samples.X, samples.y, 0.1)
    true = sm.Objective(sm.CrossEntropy(), samples.X.toarray(), samples.y, 0.1)
    assert got.value(np.ones((30, 3)), np.arange(3.0)) == pytest.approx(
        true.value(np.ones((30, 3)), np.arange(3.0)), rel=1e-13
    )


# Moments


@pytest.mark.parametrize("n", [10, 1000])
def test_moments_are_right_where_a_difference_of_sums_would_not_be(n):
    rng = np.random.default_rng(n)
    X = np.zeros((n, 6))
    X[:, 0] = 1e8 + rng.normal(size=n)  # no zeros: Σx² - (Σx)² would lose everything
    X[:, 1] = 0.1  # constant
    X[:, 2] = 1e8
    X[3, 2] = 0.0  # one zero, of nearly no weight
    X[4, 3] = 1e-150  # one entry
    X[:, 4] = np.where(np.arange(n) % 2, 1e6, 0.0)
    weights = rng.random(n)
    weights[3] = 1e-18
    weights /= weights.sum()
    mean, variance = SparseEngine(Samples(sp.csr_array(X), np.zeros(n, int), weights, 2)).moments()
    # The same with eleven bits more.
    w, Z = weights.astype(np.longdouble), X.astype(np.longdouble)
    true_mean = w @ Z
    true_variance = w @ (Z - true_mean) ** 2
    assert mean == pytest.approx(true_mean.astype(float), rel=4 * EPS)
    # A mean that is off by ε·mean moves the variance by the square of that; sums of n terms round n times.
    for column in range(6):
        bound = 2 * n * EPS * float(true_variance[column]) + (4 * EPS * float(true_mean[column])) ** 2
        assert abs(variance[column] - true_variance[column]) <= bound
    assert sp.csr_array(X)[:, [5]].nnz == 0
    assert mean[5] == variance[5] == 0.0


def test_a_constant_column_of_a_million_is_constant():
    n = 300_000
    X = sp.csr_array(np.full((n, 1), 0.1))
    objective = sm.Objective(sm.Hinge(), X, np.arange(n) % 2, 0.1, np.random.default_rng(0).random(n))
    mean, variance = objective.moments
    assert mean[0] == pytest.approx(0.1, rel=4 * EPS)
    assert np.sqrt(variance[0]) < 1e-14 * mean[0]  # preprocessing calls up to 1e-12 constant


# Certified optima


def sparse_problem(seed):
    rng = np.random.default_rng(seed)
    c = int(rng.choice([2, 3, 5, 10]))
    n, d = c + int(rng.integers(20, 80)), int(rng.integers(2, 30))
    X = random_csr(n, d, float(rng.choice([0.05, 0.3, 0.8])), (np.float64, np.float32, np.uint8)[seed % 3], seed)
    X.data = X.data / 40 if X.dtype.kind == "f" else X.data
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=n)
    weights[:c] = 1.0
    y = np.concatenate([np.arange(c), rng.integers(0, c, n - c)])
    return Problem(X, y, weights, c, 1.0, float(10.0 ** rng.uniform(-2, 1)))


@pytest.mark.parametrize("seed", range(12))
def test_fits_reach_the_same_certified_optimum(seed):
    problem = sparse_problem(seed)
    scale = 1.0 / (1.0 + np.arange(problem.X.shape[1]) % 3)
    for loss in problem.losses():
        tol = 1e-3 if loss.name == "hinge" else 1e-6
        sparse = problem.objective(loss, scale=scale, fit_intercept=seed % 4 != 0)
        other = Problem(problem.X.toarray(), problem.y, problem.weights, problem.n_classes, 1.0, problem.reg)
        true = other.objective(loss, engine="reference", scale=scale, fit_intercept=seed % 4 != 0)
        fit = sm.minimize(sparse, tol=tol)
        assert fit.converged
        assert true.value(fit.W, fit.b) == pytest.approx(fit.value, rel=1e-11)
        expected = sm.minimize(true, tol=tol)
        assert fit.lower_bound <= expected.value * (1 + 1e-12)
        assert expected.lower_bound <= fit.value * (1 + 1e-12)
        W, b = np.random.default_rng(seed).normal(size=(2, problem.X.shape[1], problem.n_classes))
        got, sure = (o.certificate(W, b[0] * (seed % 4 != 0)) for o in (sparse, true))
        assert got.value == pytest.approx(sure.value, rel=1e-11)
        assert got.lower_bound == pytest.approx(sure.lower_bound, rel=1e-8, abs=1e-8 * sure.value)


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
@pytest.mark.parametrize(("n", "d"), [(900, 64), (300, 2000)])
def test_small_sparse_data_takes_no_more_passes_than_dense(loss, n, d):
    rng = np.random.default_rng(0)
    X = sp.random(n, d, density=0.2, random_state=0, format="csr")
    y = (X @ rng.normal(size=(d, 5)) + rng.normal(size=(n, 5))).argmax(axis=1)
    sparse, dense = (sm.minimize(sm.Objective(loss, features, y, 1e-3)) for features in (X, X.toarray()))
    assert sparse.converged
    assert sparse.n_passes <= 1.2 * dense.n_passes + 2


def preconditioner(objective):
    return objective.problem()[0].features.preconditioner()


def test_a_diagonal_serves_many_columns_a_covariance_few_and_a_gram_matrix_few_rows():
    y = np.arange(2200) % 3
    X = sp.random(2200, 2100, density=0.02, random_state=0, format="csr")
    few = sm.Objective(sm.CrossEntropy(), X[:, :300], y, 1e-2)
    assert isinstance(preconditioner(few), CovariancePreconditioner)
    many = sm.Objective(sm.CrossEntropy(), X, y, 1e-2)
    assert isinstance(preconditioner(many), DiagonalPreconditioner)
    short = sm.Objective(sm.CrossEntropy(), X[:60], y[:60], 1e-2)
    assert isinstance(preconditioner(short), GramPreconditioner)
    true = sm.Objective(sm.CrossEntropy(), X.toarray(), y, 1e-2)
    assert isinstance(preconditioner(true), CovariancePreconditioner)
    fit, expected = sm.minimize(many, tol=1e-4), sm.minimize(true, tol=1e-4)
    assert fit.lower_bound <= expected.value
    assert expected.lower_bound <= fit.value


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_sgd(dtype):
    samples = random_samples(3, n=200, d=20, c=3, density=0.3, dtype=dtype)
    X = samples.X
    fits = []
    for features in (X, X.toarray()):
        objective = sm.Objective(sm.SquaredHinge(), features, samples.y, 0.1, scale=np.full(20, 1e-2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(sm.minimize(objective, solver=sm.SGD(epochs=3)))
    got, expected = (fit.W for fit in fits)
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert fits[0].value < 2.0


# What is taken and what is refused


def test_choices():
    samples = random_samples(1, n=20, d=5, c=2)
    for name in ("auto", "cpu"):
        assert isinstance(make_engine(name, samples), SparseEngine)
        assert isinstance(make_engine(name, dense(samples)), DenseEngine)
    assert isinstance(make_engine("reference", samples), ReferenceEngine)


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name, kind):
    X = random_csr(40, 9, 0.4)
    given = getattr(sp, f"{name}_{kind}")(X)
    y = np.arange(40) % 3
    W, b = np.random.default_rng(0).normal(size=(9, 3)) / 60, np.zeros(3)
    value, dW, _ = sm.Objective(sm.CrossEntropy(), given, y, 0.1).value_and_grad(W, b)
    true, true_dW, _ = sm.Objective(sm.CrossEntropy(), X.toarray(), y, 0.1, engine="reference").value_and_grad(
        W, b
    )
    assert value == pytest.approx(true, rel=1e-13)
    assert dW == pytest.approx(true_dW, rel=1e-11, abs=1e-11)


def test_canonical_csr_is_not_copied():
    for X in (
        random_csr(30, 8, 0.4),
        sp.csr_matrix(random_csr(30, 8, 0.4)),
        random_csr(30, 8, 0.4, index=np.int64),
    ):
        csr = as_features(X)
        for name in ("data", "indices", "indptr"):
            assert np.shares_memory(getattr(csr, name), getattr(X, name))


def messy(X, seed=0):
    """Return a CSR array of the same sums whose rows are unordered and, where an entry is even, in two halves."""
    rng = np.random.default_rng(seed)
    data, indices, indptr = [], [], [0]
    for i in range(X.shape[0]):
        part = slice(X.indptr[i], X.indptr[i + 1])
        halves = X.data[part] / 2
        d, k = np.concatenate([halves, halves]), np.tile(X.indices[part], 2)
        order = rng.permutation(len(d))
        data.append(d[order])
        indices.append(k[order])
        indptr.append(indptr[-1] + len(d))
    result = sp.csr_array(X.shape, dtype=X.dtype)
    result.data, result.indices = np.concatenate(data), np.concatenate(indices).astype(np.int32)
    result.indptr = np.array(indptr, np.int32)
    return result


@pytest.mark.parametrize("shuffled_only", [False, True])
def test_duplicates_are_added_and_the_callers_matrix_stays_as_it_was(shuffled_only):
    X = random_csr(50, 12, 0.4)
    given = messy(X)
    if shuffled_only:
        given.sum_duplicates()
        for i in range(50):
            part = slice(given.indptr[i], given.indptr[i + 1])
            given.data[part], given.indices[part] = given.data[part][::-1].copy(), given.indices[part][::-1].copy()
        # Another object, which does not remember that it was in order.
        given = sp.csr_array((given.data, given.indices, given.indptr), shape=given.shape)
    y = np.arange(50) % 3
    parts = {name: getattr(given, name) for name in ("data", "indices", "indptr")}
    kept = {name: part.copy() for name, part in parts.items()}
    classifier = sm.LinearClassifier(reg=1.0, max_passes=50).fit(given, y)
    model_scores = classifier.decision_function(given)
    objective = sm.Objective(sm.CrossEntropy(), given, y, 1.0)
    clean = sm.Objective(sm.CrossEntropy(), X, y, 1.0)
    for name, part in parts.items():
        assert getattr(given, name) is part
        assert np.array_equal(part, kept[name])
    for got, true in zip(objective.moments, clean.moments, strict=True):
        assert np.array_equal(got, true)
    W, b = np.random.default_rng(0).normal(size=(12, 3)) / 60, np.zeros(3)
    assert objective.value(W, b) == clean.value(W, b)
    assert np.array_equal(model_scores, classifier.decision_function(X))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_place_of_a_number_that_is_none(value):
    y = np.arange(30) % 3
    clean = sp.csr_array(random_csr(30, 8, 0.5).toarray())
    X = clean.toarray()
    X[7, 3] = X[9, 1] = value
    X = sp.csr_array(X)
    name = "NaN" if np.isnan(value) else "infinity"
    with pytest.raises(DataError, match=rf"{name}.* row 7, column 3, and 1 more"):
        sm.LinearClassifier().fit(X, y)
    with pytest.raises(DataError, match=r"row 7, column 3"):
        sm.choose(X.tocoo(), y, [sm.CrossEntropy()])
    with pytest.raises(DataError, match=r"row 7, column 3, and 1 more"):
        sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, 0.1))
    classifier = sm.LinearClassifier(reg=1.0).fit(clean, y)
    with pytest.raises(DataError, match="row 7, column 3"):
        classifier.predict(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (sp.csr_array((0, 2)), "at least one sample"),
        (sp.csr_array((3, 0)), "one feature"),
        (sp.coo_array(np.ones(3)), "two-dimensional"),
        (sp.csr_array(np.ones((3, 2), complex)), "complex"),
        (sp.csr_array(np.ones((3, 2), np.longdouble)), "64 bits"),
        (sp.csr_array((4, 2)), "4 integer class numbers"),
    ],
    ids=str,
)
def test_data_that_cannot_be_used(X, message):
    with pytest.raises(DataError, match=message):
        sm.Objective(sm.Hinge(), X, [0, 1, 2], 0.1)


@pytest.mark.parametrize(("name", "place", "value"), [("indices", 1, 7), ("indices", 0, -1), ("indptr", 1, 5)])
def test_columns_that_are_not_there_are_refused_before_a_kernel_reads_them(name, place, value):
    X = sp.csr_array(np.eye(3))
    getattr(X, name)[place] = value
    with pytest.raises(DataError, match="not a valid CSR matrix"):
        sm.Objective(sm.Hinge(), X, [0, 1, 2], 0.1)
    classifier = sm.LinearClassifier(reg=0.1).fit(np.eye(3), [0, 1, 2])
    with pytest.raises(DataError, match="not a valid CSR matrix"):
        classifier.predict(X)


# The estimator, the model and the choice


@pytest.fixture(scope="module")
def words():
    """Counts of 400 words in 600 texts of three kinds."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    rates = 0.05 * np.exp(rng.normal(size=(3, 400)))
    return sp.csr_matrix(rng.poisson(rates[y]).astype(np.float32)), np.array(["a", "b", "c"])[y]


@pytest.mark.parametrize("scaling", ["none", "standard"])
@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "cross_entropy"])
def test_the_estimator(name, scaling, words):
    X, y = words
    sparse = sm.LinearClassifier(name, reg=1e-1, scaling=scaling).fit(X, y)
    expected = sm.LinearClassifier(name, reg=1e-1, scaling=scaling).fit(X.toarray(), y)
    assert sparse.converged_
    assert sparse.lower_bound_ <= expected.value_
    assert expected.lower_bound_ <= sparse.value_
    assert sparse.score(X, y) > 0.8
    for given in (X, X.tocsc(), X.astype(np.int64)):
        assert sparse.decision_function(given) == pytest.approx(sparse.decision_function(X.toarray()), abs=1e-12)
    assert np.array_equal(sparse.predict(X), sparse.predict(X.toarray()))
    with pytest.raises(ValueError, match="400 features"):
        sparse.predict(X[:, :5])


def test_counts_of_8_bits_are_pixels(words):
    X, y = words
    small = X.astype(np.uint8)
    classifier = sm.LinearClassifier(reg=1e-3).fit(small, y)
    assert classifier.preprocessing_.scaling == "pixel"
    assert classifier.value_ == pytest.approx(sm.LinearClassifier(reg=1e-3).fit(X / 255, y).value_, rel=2e-4)


def test_a_model_reads_sparse_rows():
    data = sm.load_dataset("digits")
    model = sm.LinearClassifier(reg=1e-2).fit(data.X, data.y).to_model(data)
    X = sp.csr_array(data.test.X)
    assert model.scores(X) == pytest.approx(model.scores(data.test.X), abs=1e-12)
    assert np.array_equal(model.scores(X, n_threads=1), model.scores(X, n_threads=3))
    assert model.predict_proba(X) == pytest.approx(model.predict_proba(data.test.X), abs=1e-12)
    for given in (X, sp.csc_matrix(X), sp.csr_array((X * 16).astype(np.uint8))):
        assert np.array_equal(model.predict(given), model.predict(given.toarray()))
    assert model.scores(X[:0]).shape == (0, 10)
    with pytest.raises(DataError, match=r"\(5, 3\)"):
        model.scores(sp.csr_array((5, 3)))
    wrong = X.toarray()
    wrong[5, 7] = wrong[9, 2] = np.nan
    with pytest.raises(DataError, match="X contains NaN in row 5, column 7, and 1 more"):
        model.scores(sp.csr_array(wrong))


@pytest.mark.parametrize("scaling", ["auto", "standard"])
def test_choose(scaling, words):
    X, y = words
    losses = [sm.CrossEntropy(), sm.SquaredHinge()]
    regs = [1.0, 1e-1, 1e-2]
    chosen = sm.choose(X, y, losses, regs, scaling=scaling)
    expected = sm.choose(X.toarray(), y, losses, regs, scaling=scaling)
    for path, true in zip(chosen.paths, expected.paths, strict=True):
        assert [p.value for p in path.points] == pytest.approx([p.value for p in true.points], rel=2e-3)
        held_out = [[fold.validation_accuracy for fold in point.folds] for point in path.points]
        assert held_out == [
            pytest.approx([fold.validation_accuracy for fold in point.folds], abs=0.02) for point in true.points
        ]
    assert sm.choose(X.tocsc(), y, losses[:1], regs[:1], scaling=scaling).reg == 1.0
    sparse, true = (sm.Objective(losses[0], Z, np.arange(600) % 3, 0.0) for Z in (X, X.toarray()))
    assert largest_reg(sparse) == pytest.approx(largest_reg(true), rel=1e-11)


# Memory


def test_a_wide_matrix_is_fitted_at_the_size_of_its_entries():
    n, d, k, c = 200_000, 100_000, 10, 3
    rng = np.random.default_rng(0)
    columns = np.sort(rng.integers(0, d, (n, k)), axis=1).astype(np.int32)
    X = sp.csr_array(
        (rng.normal(size=n * k).astype(np.float32), columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, d)
    )
    X.sum_duplicates()
    truth = rng.normal(size=(d, c))
    y = (X @ truth + rng.normal(size=(n, c))).argmax(axis=1)
    tracemalloc.start()
    try:
        classifier = sm.LinearClassifier("squared_hinge", reg=1e-3, tol=1e-2).fit(X, y)
        assert classifier.score(X[:1000], y[:1000]) > 0.5
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert classifier.converged_
    # Arrays of N·D and D·D numbers would take 160 and 80 GB. The solver keeps about 20 (D, C) arrays of 2.4 MB,
    # and the partitions some. Labels and weights have length N. A certificate needs no (N, C) array.
    assert peak < 200e6
