"""The objective: folding, certificates, exchange relations, and invalid arguments."""

import warnings
from fractions import Fraction
from operator import mul

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_digits

import softmargin as sm
from softmargin.errors import CapabilityError, ConvergenceWarning, DataError, ParameterError
from softmargin.losses import LOSSES, SmoothedHinge
from softmargin.objective import Objective
from softmargin.samples import Fold, Samples
from softmargin.vectors import to_numpy
from tests.support.counting_engine import HessianCountingEngine
from tests.support.problems import n_cases, optimum, random_problem

pytestmark = pytest.mark.usefixtures("compiled")

ALL = [sm.Hinge(1.5), sm.SquaredHinge(1.5), sm.CrossEntropy()]


def rows_like(problem, seed):
    """Return multipliers in 0 … 1."""
    return np.random.default_rng(seed).random((len(problem.y), problem.n_classes))


@pytest.mark.parametrize("seed", range(n_cases(60, 300)))
def test_bounds_enclose_the_optimum(seed):
    """lower_bound ≤ min F ≤ value: at random points, with borrowed dual points, and where a fit ends."""
    problem = random_problem(seed)
    for loss in problem.losses():
        below, above = optimum(problem, loss.name)
        assert above - below <= 1e-7 * above  # the independent route itself got there
        # F at any point bounds the optimum from above, so `above` is good to rounding. That `below` is below
        # rests on the smoothed problem being solved, to about 1e-7 for the hinge.
        slack = 1e-12 * above
        below -= (1e-7 if loss.name == "hinge" else 1e-12) * above
        objective = problem.objective(loss, engine="cpu" if seed % 2 else "reference")
        solved, shift = objective.problem()
        sources = [None]
        if loss.name == "hinge":
            sources.append(solved.smoothed(0.7, solved.rows_from(None)))
            sources.append(solved.smoothed(0.7, solved.rows_from(rows_like(problem, seed))))
        for scale in (0.0, 0.03, 1.0):
            W, b = (scale * part for part in problem.point(seed))
            for source in sources:
                certificate = solved.prove(solved.vector(W, b + shift @ W), source).certificate
                assert certificate.lower_bound <= above + slack
                assert below <= certificate.value
                assert certificate.value == pytest.approx(objective.value(W, b), rel=1e-12)
            assert objective.certificate(W, b).lower_bound <= above + slack
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the hinge may need longer; its bound must hold
            fit = sm.minimize(objective, tol=1e-6, max_passes=2000)
        assert fit.lower_bound <= above + slack
        assert below <= fit.value
        assert fit.value == pytest.approx(objective.value(fit.W, fit.b), rel=1e-12)
        plain_gap = (fit.value - fit.lower_bound) / fit.value
        rounding = (
            1e-9 + 1e-13 * loss.score_scale / fit.value
        )  # the value is raised by its own and by that of the scores
        assert plain_gap <= fit.gap <= plain_gap + rounding
        assert fit.converged == (fit.gap <= 1e-6)
        assert fit.value <= above * (1.0 + fit.gap + 1e-12)
        if loss.smooth:
            assert fit.converged
        else:
            assert fit.gap <= 1e-2


def test_golden_example_in_the_plane():
    W = np.array([[2.06, 1.48], [0.44, -1.82], [2.27, -2.04]]).T
    b = np.array([-0.42, 0.52, -0.10])
    X = np.array(
        [
            (0.5, 0.4),
            (0.8, 0.3),
            (0.3, 0.8),
            (-0.4, 0.3),
            (-0.3, 0.7),
            (-0.7, 0.2),
            (0.7, -0.4),
            (0.5, -0.6),
            (-0.4, -0.5),
        ]
    )
    y = np.repeat([0, 1, 2], 3)
    objective = sm.Objective(sm.Hinge(), X, y, reg=0.1)
    assert objective.value(W, b) == pytest.approx(2.57, abs=5e-3)
    assert objective.value(W, b) - 0.1 * (W**2).sum() == pytest.approx(0.64, abs=5e-3)
    assert 0.1 * (W**2).sum() == pytest.approx(1.925, abs=5e-4)


def test_golden_example_of_one_sample():
    W = np.array([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0, -0.45, -0.2, 0.03]]).T
    X, b = np.array([[-15, 22, -44, 56], [0, 0, 0, 0], [0, 0, 0, 0]]), np.array([0, 0.2, -0.3])
    weights = [1.0, 1e-15, 1e-15]  # the two others only make every class present
    assert sm.Objective(sm.Hinge(), X, [2, 0, 1], 0.0, weights).value(W, b) == pytest.approx(1.58, abs=5e-3)
    assert sm.Objective(sm.CrossEntropy(), X, [2, 0, 1], 0.0, weights).value(W, b) == pytest.approx(1.04, abs=5e-3)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_preprocessing_is_folded_in(loss, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (90, 7)).astype(dtype), rng.integers(0, 4, 90)
    mean, scale = rng.normal(size=7) * 100, rng.random(7) / 50
    W, b = rng.normal(size=(7, 4)), rng.normal(size=4)
    folded = sm.Objective(loss, X, y, 0.1, mean=mean, scale=scale)
    plain = sm.Objective(loss, (X.astype(np.float64) - mean) * scale, y, 0.1)
    for got, true in zip(folded.value_and_grad(W, b), plain.value_and_grad(W, b), strict=True):
        assert got == pytest.approx(true, rel=1e-11, abs=1e-12)
    assert folded.certificate(W, b) == pytest.approx(plain.certificate(W, b), rel=1e-9)
    if loss.smooth:
        for got, true in zip(folded.hessian_product(W, b, -W, b), plain.hessian_product(W, b, -W, b), strict=True):
            assert got == pytest.approx(true, rel=1e-10, abs=1e-11)
    centred, shift = folded.problem()
    assert centred.value(W, b + shift @ W) == pytest.approx(folded.value(W, b), rel=1e-12)
    assert X.dtype == dtype


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_points_in_step_for_paths_and_folds(loss, engine, fit_intercept):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (90, 7)).astype(np.uint8), np.arange(90) % 4
    mean, scale = rng.normal(size=7) * 100, rng.random(7) / 50
    more = {"mean": mean, "scale": scale, "engine": engine, "fit_intercept": fit_intercept}
    W, b, regs = rng.normal(size=(3, 7, 4)), rng.normal(size=(3, 4)), [0.0, 0.1, 20.0]
    weights, order = rng.random(90) + 0.1, rng.permutation(90)
    folds = [Fold(order[order % 3 != k], order[order % 3 == k]) for k in range(3)]
    folds[1] = Fold(np.concatenate([folds[1].training, folds[1].training[:9]]), folds[1].validation)
    of_folds = Objective.of(loss, Samples.check(X, y, weights, folds=folds), 0.1, **more)
    numbers = [2, 0, 1]
    found = of_folds.values_and_grads(W, b, regs=regs, folds=numbers)
    for k, (reg, fold) in enumerate(zip(regs, numbers, strict=True)):
        counts = np.bincount(folds[fold].training, minlength=90)
        alone = sm.Objective(loss, X, y, reg, weights * counts, **more).value_and_grad(W[k], b[k])
        made = of_folds.replace(reg=reg).fold(fold).value_and_grad(W[k], b[k])
        for got, also, true in zip(found, made, alone, strict=True):
            assert got[k] == pytest.approx(true, rel=1e-11, abs=1e-12)
            assert also == pytest.approx(true, rel=1e-11, abs=1e-12)
    objective = sm.Objective(loss, X, y, 0.1, **more)
    together = objective.values_and_grads(W, b)
    same = objective.replace(reg=3.0).values_and_grads(W, b, regs=0.1)
    for k in range(3):
        for got, also, true in zip(together, same, objective.value_and_grad(W[k], b[k]), strict=True):
            assert np.array_equal(got[k], true)
            assert np.array_equal(also[k], true)


def test_points_in_step_that_cannot_be_taken():
    X, y, W, b = np.eye(6)[:, :3], np.arange(6) % 2, np.zeros((2, 3, 2)), np.zeros((2, 2))
    objective = sm.Objective(sm.CrossEntropy(), X, y, 0.1, [1, 1, 1, 1, 1, 0])
    for given in ((W[0], b), (W, b[:1]), (W[:, :2], b), (W[:0], b[:0]), (W, b[0]), (0.0, 0.0)):
        with pytest.raises(DataError, match=r"shapes \(K, 3, 2\)"):
            objective.values_and_grads(*given)
    for folds in ([0], [0, 1, 0]):
        with pytest.raises(ParameterError, match=r"folds must contain one fold number per point \(2\)"):
            objective.values_and_grads(W, b, folds=folds)
    for regs in ([0.1], [0.1, -1.0], [0.1, np.nan], np.inf, [[0.1, 0.1]]):
        with pytest.raises(ParameterError, match="regs must contain 2 finite numbers ≥ 0"):
            objective.values_and_grads(W, b, regs=regs)
    with pytest.raises(ParameterError, match="single"):
        objective.values_and_grads(W, b, single="no")
    values, *_ = objective.values_and_grads(np.full((2, 3, 2), np.inf), b)
    assert values.tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("name", LOSSES)
def test_certificates_are_tight_at_the_optimum(name):
    X, y = load_digits(return_X_y=True)
    objective = sm.Objective(LOSSES[name](), X / 16, y, 1e-2)
    assert sm.minimize(objective, tol=1e-6).gap <= 1e-6


def test_weights_of_any_size():
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(40, 3)), rng.integers(0, 3, 40), rng.random(40) + 0.1
    W, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    true = sm.Objective(sm.Hinge(), X, y, 0.1, weights).value(W, b)
    for factor in (1e308, 1e-308, 7.0):
        with np.errstate(over="raise"):
            assert sm.Objective(sm.Hinge(), X, y, 0.1, weights * factor).value(W, b) == pytest.approx(
                true, rel=1e-14
            )


def test_hinge_has_no_hessian():
    objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.1)
    W, b = np.zeros((3, 3)), np.zeros(3)
    with pytest.raises(CapabilityError, match="not smooth"):
        objective.hessian_product(W, b, W, b)


def test_a_penalty_too_small_to_be_a_number_proves_nothing():
    X, y = np.eye(2), np.array([0, 1])
    W, b = np.diag([1e-170, 1e-170]), np.zeros(2)
    large = sm.Objective(sm.Hinge(1e-100), 1e80 * X, y, reg=1.0)  # the scores reach Δ, so the losses are 0
    certificate = large.certificate(W, b)
    assert certificate.value == certificate.lower_bound == 0.0
    assert certificate.gap == 1.0
    assert large.certificate(0.0 * W, b).value > 0.0


def test_without_a_penalty_there_is_no_certificate():
    objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.0)
    assert objective.value(np.zeros((3, 3)), np.zeros(3)) == 2.0
    with pytest.raises(ParameterError, match="reg must be positive, got 0"):
        objective.certificate(np.zeros((3, 3)), np.zeros(3))


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_a_point_that_is_not_finite_proves_nothing(loss, value, engine):
    rng = np.random.default_rng(0)
    objective = sm.Objective(loss, rng.normal(size=(30, 4)), np.arange(30) % 3, 0.1, engine=engine)
    for row in range(4):
        W, b = rng.normal(size=(4, 3)), rng.normal(size=3)
        W[row, row % 3] = value
        assert objective.certificate(W, b) == (np.inf, 0.0, np.inf, np.inf)
    for column in range(3):
        W, b = rng.normal(size=(4, 3)), rng.normal(size=3)
        b[column] = value
        assert objective.certificate(W, b) == (np.inf, 0.0, np.inf, np.inf)
    assert objective.certificate(np.full((4, 3), value), np.full(3, value)) == (np.inf, 0.0, np.inf, np.inf)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_without_an_intercept_there_is_no_certificate_for_a_bias(loss):
    objective = sm.Objective(loss, np.eye(3), [0, 1, 2], 0.1, fit_intercept=False)
    W = np.zeros((3, 3))
    with pytest.raises(DataError, match="b must be zero"):
        objective.certificate(W, np.array([0.0, 1e-300, 0.0]))
    assert objective.certificate(W, np.zeros(3)).lower_bound >= 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X": np.zeros((0, 2)), "y": []}, "at least one sample"),
        ({"X": np.zeros((3, 0))}, "at least one sample and one feature"),
        ({"X": np.zeros(3)}, "two-dimensional"),
        ({"X": np.zeros((3, 2), complex)}, "complex"),
        ({"X": np.zeros((3, 2), np.longdouble)}, "64 bits"),
        ({"X": np.full((3, 2), "1")}, "real numbers"),
        ({"y": [0, 1]}, r"3 integer class numbers"),
        ({"y": [0.0, 1.0, 1.0]}, "integer"),
        ({"y": [0, -1, 1]}, r"y\[1\] is -1"),
        ({"y": [0, 3, 1], "n_classes": 3}, r"y\[1\] is 3"),
        ({"y": [0, 2, 2]}, "Class 1 has no sample"),
        ({"sample_weight": [1, 1, 0]}, "Class 2 has no sample"),
        ({"sample_weight": [1, -1, 1]}, r"sample_weight\[1\] is -1"),
        ({"sample_weight": [1, np.nan, 1]}, r"sample_weight\[1\] is nan"),
        ({"sample_weight": [0, 0, 0]}, "zero for every sample"),
        ({"sample_weight": [1, 1]}, r"shape \(3,\)"),
        ({"mean": [1.0]}, "mean must hold 2"),
        ({"scale": [1.0, np.nan]}, "scale must hold 2"),
        ({"mean": "abc"}, "mean must be an array of real numbers"),
        ({"scale": [[1.0], [1.0, 2.0]]}, "scale must be an array of real numbers"),
        ({"sample_weight": "abc"}, "sample_weight must be an array of real numbers"),
        ({"X": [[1.0, 2.0], [3.0]]}, "rows of different lengths"),
        ({"X": np.ma.masked_array(np.ones((3, 2)))}, "X is a masked array"),
        ({"y": np.ma.masked_array([0, 1, 2])}, "y is a masked array"),
        ({"y": [[0], [1, 2], [2]]}, "one label per row"),
        # An array with a place for each class would take terabytes.
        ({"y": 10**12 + np.arange(3)}, "Class 0 has no sample"),
        ({"y": np.array([0, 1, 2**64 - 1], np.uint64)}, "Class 2 has no sample"),
        ({"n_classes": 10**12}, "Class 3 has no sample"),
    ],
)
def test_invalid_data(change, said):
    arguments = {"loss": sm.Hinge(), "X": np.ones((3, 2)), "y": [0, 1, 2], "reg": 0.1} | change
    with pytest.raises(DataError, match=said):
        sm.Objective(**arguments)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": "hinge"}, r"loss must be an instance of a loss, such as Hinge\(\), got 'hinge'"),
        ({"loss": sm.Hinge}, r"loss must be an instance of a loss, such as Hinge\(\), got <class"),
        ({"loss": "l2"}, r"loss must be an instance of a loss, such as softmargin.Hinge\(\), got 'l2'"),
        ({"loss": None}, "loss must be an instance of a loss"),
        ({"n_classes": "3"}, "n_classes must be an integer ≥ 2, got '3'"),
        ({"n_classes": 1}, "n_classes must be an integer ≥ 2"),
        ({"n_threads": True}, "n_threads must be an integer ≥ 1"),
        ({"fit_intercept": "no"}, "fit_intercept must be True or False, got 'no'"),
        ({"fit_intercept": np.array([True])}, "fit_intercept must be True or False"),
    ],
)
def test_invalid_arguments(change, said):
    arguments = {"loss": sm.Hinge(), "X": np.ones((3, 2)), "y": [0, 1, 2], "reg": 0.1} | change
    with pytest.raises(ParameterError, match=said):
        sm.Objective(**arguments)


def test_another_loss_must_be_one():
    with pytest.raises(ParameterError, match=r"such as CrossEntropy\(\), got 'cross_entropy'"):
        sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.1).replace(loss="cross_entropy")


@pytest.mark.parametrize("reg", [-1.0, np.nan, np.inf, "much", "0.1", 10**400])
def test_invalid_reg(reg):
    with pytest.raises(ParameterError, match="reg must be"):
        sm.Objective(sm.Hinge(), np.eye(2), [0, 1], reg)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([3], r"rows\[0\] must be between 0 and 2, got 3"),
        ([0, -1], r"rows\[1\] must be between 0 and 2, got -1"),
        ([0.5], "a vector of integers, got float64"),
        (1, "a vector of integers, got int64"),
    ],
)
def test_rows_out_of_range(rows, said):
    objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.1)
    with pytest.raises(DataError, match=said):
        objective.scores(np.zeros((3, 3)), np.zeros(3), rows)
    assert objective.scores(np.eye(3), np.zeros(3), [2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_smoothed_problem_with_offsets_has_no_certificate_of_its_own():
    problem, _ = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 10.0).problem()
    P = problem.vector(np.zeros((3, 3)), np.zeros(3))
    smoothed = problem.smoothed(0.5, problem.rows_from(np.eye(3)))
    assert problem.prove(P, smoothed).certificate.lower_bound > 0.0
    with pytest.raises(CapabilityError, match="no certificate"):
        smoothed.prove(P)


def true_value(loss, X, y, mean, scale, reg, W, b):
    """Return F from scores in exact arithmetic: what is rounded is a loss for each row and their mean."""
    W, b = [[Fraction(w) for w in column] for column in W.T.tolist()], [Fraction(v) for v in b.tolist()]
    scores = []
    for x in X.tolist():
        z = [(Fraction(v) - Fraction(m)) * Fraction(d) for v, m, d in zip(x, mean, scale, strict=True)]
        scores.append([float(sum(map(mul, z, column), shift)) for column, shift in zip(W, b, strict=True)])
    return float(loss.values(scores, y).mean()) + reg * float(sum(w * w for column in W for w in column))


@pytest.mark.parametrize("mean", [1.7e9, 1e12, 1e14])
@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_a_mean_far_from_the_data_is_in_the_gap(loss, mean):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = sm.minimize(sm.Objective(loss, X, y, 0.01, mean=np.full(3, mean)), tol=1e-8)
    true = true_value(loss, X, y, [mean] * 3, [1.0] * 3, 0.01, fit.W, fit.b)  # at the point that was returned
    assert (true - fit.lower_bound) / true <= fit.gap * (1 + 1e-9)


@pytest.mark.parametrize("shape", [(500_000, 2), (7, 3)])
def test_a_penalty_of_many_equal_squares_is_within_the_bound(shape):
    """Added up one after the other, a million equal squares are off by thousands of roundings, all to one side."""
    d, c = shape
    reg, W = 1e9, np.full(shape, 1.0 / 3.0)
    found = sm.Objective(sm.Hinge(), np.zeros((c, d)), np.arange(c), reg).certificate(W, np.zeros(c))
    true = (c - 1) + Fraction(reg) * d * c * Fraction(1.0 / 3.0) ** 2
    assert abs(Fraction(found.value) - true) <= Fraction(found.value_upper) - Fraction(found.value)
    assert found.value_upper <= found.value * (1 + 1e-12)


@pytest.mark.parametrize("kind", ["cpu", "reference", "sparse"])
@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_what_rounding_takes_where_columns_differ_in_size(loss, kind):
    rng = np.random.default_rng(0)
    sizes = 10.0 ** np.array([-8.0, -8.0, -4.0, 0.0, 4.0, 8.0])
    X, y, reg = rng.normal(size=(40, 6)) * sizes, np.arange(40) % 3, 1e-20
    X[:, 1] = X[:, 0] * (1.0 + 1e-9 * rng.normal(size=40))
    held, engine = (csr_array(X), "auto") if kind == "sparse" else (X, kind)
    for mean in (np.zeros(6), 1e3 * sizes * rng.normal(size=6)):
        objective = sm.Objective(loss, held, y, reg, mean=mean, scale=1.0 / sizes, engine=engine)
        for cancelling in (False, True):
            W, b = rng.normal(size=(6, 3)), rng.normal(size=3)
            if cancelling:  # scores of size 1 from terms of size 1e9
                W[0] *= 1e9
                W[1] = -W[0]
            b += (mean / sizes) @ W  # so that the scores are approximately those of X itself
            true, found = true_value(loss, X, y, mean, 1.0 / sizes, reg, W, b), objective.certificate(W, b)
            assert abs(true - found.value) <= found.value_upper - found.value
            terms = 1.0 + np.abs(W).sum() * (1.0 + np.abs(mean / sizes).max())
            assert found.value_upper - found.value <= 1e-12 * terms * (1.0 + found.value)


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_features_whose_squares_are_lost_are_in_the_bound(loss):
    rng = np.random.default_rng(0)
    sizes = np.array([1e-170, 1e-170, 1.0])
    X, y, W, b = rng.normal(size=(40, 3)) * sizes, np.arange(40) % 3, rng.normal(size=(3, 3)), np.zeros(3)
    W[1] = -1e9 * W[0]
    X[:, 1] = X[:, 0] / 1e9
    W[:2] *= 1e9
    found = sm.Objective(loss, X, y, 1e-40, scale=1.0 / sizes).certificate(W, b)
    true = true_value(loss, X, y, [0.0] * 3, 1.0 / sizes, 1e-40, W, b)
    assert abs(true - found.value) <= found.value_upper - found.value


def test_extreme_points_have_a_value_and_no_warning():
    objective = sm.Objective(sm.SquaredHinge(), np.eye(3), [0, 1, 2], 0.1)
    assert objective.value(np.full((3, 3), 1e200), np.zeros(3)) == np.inf
    assert objective.certificate(np.full((3, 3), 1e200), np.zeros(3)).gap == np.inf


def test_points_of_the_wrong_shape():
    objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.1)
    with pytest.raises(DataError, match=r"\(3, 3\)"):
        objective.value(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(DataError, match="W must be an array of real numbers"):
        objective.value("W", np.zeros(3))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_a_fit_names_the_column_that_it_cannot_use(loss, value):
    X = np.random.default_rng(0).normal(size=(30, 4))
    X[11, 2] = value
    with pytest.raises(DataError, match=r"Column 2 of X contains values too large|row 11, column 2\."):
        sm.minimize(sm.Objective(loss, X, np.arange(30) % 3, 0.1))


def test_dual_rows_of_another_problem_are_refused():
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3
    objective = sm.Objective(sm.Hinge(), X, y, 1.0)
    problem, _ = objective.problem()
    P = problem.vector(np.zeros((3, 3)), np.zeros(3))
    for other in (
        objective.replace(loss=sm.SquaredHinge()),  # its multipliers have no upper bound
        objective.replace(loss=sm.Hinge(2.0)),
    ):
        with pytest.raises(ParameterError, match="are not dual feasible for Hinge"):
            problem.prove(P, other.problem()[0])
    assert problem.prove(P, objective.replace(reg=2.0).problem()[0]).certificate.lower_bound <= 2.0


def test_dual_rows_that_were_kept_prove_what_they_proved_before():
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3
    problem, _ = sm.Objective(sm.Hinge(), X, y, 1.0).problem()
    P = problem.vector(0.1 * np.eye(3), np.zeros(3))
    smoothed = problem.smoothed(2.0, problem.rows_from(None))
    assert problem.prove(P, smoothed).rows is None
    certificate, rows, _ = problem.prove(P, smoothed, keep=True)
    assert rows.save().shape == (30, 3)
    assert np.array_equal(rows.save(), problem.rows_from(rows.save()).save())
    scores = X @ P[:-1] + P[-1] - X.mean(axis=0) @ P[:-1]
    np.testing.assert_allclose(rows.save(), SmoothedHinge(1.0, 2.0).gradient(scores, y), rtol=1e-6)
    assert certificate.lower_bound > 0.0


# Hessians: at the evaluated point, independent of later evaluations


def true_hessian(loss, X, y, weights, scale, reg, fit_intercept, W, b):
    """Return the Hessian (D + 1, C, D + 1, C) of F from that of each sample's loss, by columns."""
    weights, C = weights / weights.sum(), len(b)
    Z = (X - (weights @ X if fit_intercept else 0.0)) * scale
    columns = [loss._hessian_product(Z @ W + b, y, np.tile(row, (len(y), 1))) for row in np.eye(C)]
    Z = np.hstack([Z, np.ones((len(y), 1))])
    H = np.einsum("i,kij,id,ie->djek", weights, np.array(columns), Z, Z, optimize=True)
    H[range(len(W)), :, range(len(W)), :] += 2.0 * reg * np.eye(C)
    if not fit_intercept:
        H[-1] = H[:, :, -1] = 0.0
    return H


HESSIANS = [(80, 5, 3, False), (30, 600, 2, False), (1000, 40, 26, True), (300, 40, 26, False)]
"""Samples, features, classes, and whether nearly all samples are settled."""

SMOOTH = [sm.SquaredHinge(1.5), sm.CrossEntropy(), SmoothedHinge(1.0, 0.5)]


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", ["cpu", "reference", "sparse", "strict vectors"])
@pytest.mark.parametrize("loss", SMOOTH, ids=repr)
@pytest.mark.parametrize(("n", "d", "c", "settled"), HESSIANS)
def test_a_hessian_is_the_one_at_its_point(loss, kind, fit_intercept, n, d, c, settled):
    rng = np.random.default_rng(0)
    y = np.arange(n) % c
    X, weights, scale = rng.normal(size=(n, d)), rng.random(n) + 0.1, rng.uniform(0.5, 2.0, d)
    weights[::7], weights[:c] = 0.0, 1.0
    reg = 0.1
    X += 12.0 * settled * np.eye(c, d)[y]
    objective = sm.Objective(
        loss, csr_array(X) if kind == "sparse" else X, y, reg, weights, scale=scale, fit_intercept=fit_intercept,
        engine={"sparse": "auto", "strict vectors": HessianCountingEngine}.get(kind, kind),
    )  # fmt: skip
    problem, _ = objective.problem()
    W, b = 0.05 * rng.normal(size=(d, c)), 0.1 * rng.normal(size=c) * fit_intercept
    W[:c] += 0.4 * settled * np.eye(c) / scale[:c, None]
    point = problem.evaluate(problem.vector(W, b), keep_scores=True)
    for seed in range(3):  # the Hessian does not come from what was evaluated last
        other = problem.vector(rng.normal(size=(d, c)), np.zeros(c))
        problem.evaluate(other, keep_scores=seed < 2)
        problem.prove(other)
    H = problem.hessian(point)
    shape = objective._engine.shape
    if H is None:
        assert not shape.has_small_hessian
        return
    V, floor = rng.normal(size=(d + 1, c)), 0.3
    V[-1] *= fit_intercept
    true = true_hessian(loss, X, y, weights, scale, reg, fit_intercept, W, b)
    given = problem.vector(V[:-1], V[-1])
    product, found = H.product(), H.solve(given, floor)
    assert found is not None or not (shape.has_small_hessian or shape.has_few_rows)
    assert product is not None or found is not None
    if product is not None:
        size = np.abs(true).max() * np.abs(V).sum()
        expected = np.einsum("djek,ek->dj", true, V)
        assert to_numpy(product(given)) == pytest.approx(expected, rel=1e-9, abs=1e-13 * size)
    if found is not None:
        free = (d + fit_intercept) * c
        true[-1, :, -1, :] += floor * np.eye(c)
        expected = np.zeros((d + 1) * c)
        expected[:free] = np.linalg.solve(true.reshape(len(expected), -1)[:free, :free], V.ravel()[:free])
        error = 1e-9 * np.abs(expected).max()
        assert to_numpy(found).ravel() == pytest.approx(expected, rel=1e-7, abs=error)


@pytest.mark.parametrize("loss", [sm.SquaredHinge(), sm.CrossEntropy()], ids=repr)
def test_which_form_a_hessian_has(loss):
    """The whole matrix where it is small, pairs where they are few, and the products of few rows or pairs."""
    forms = []
    for n, d, c, settled in HESSIANS:
        y = np.arange(n) % c
        X = np.random.default_rng(0).normal(size=(n, d)) + 12.0 * settled * np.eye(c, d)[y]
        problem, _ = sm.Objective(loss, X, y, 0.1).problem()
        point = problem.evaluate(problem.vector(0.12 * settled * np.eye(d, c), np.zeros(c)), keep_scores=True)
        H = problem.hessian(point)
        found = "none" if H is None else (H.product() is not None, H.solve(point.gradient, 0.1) is not None)
        forms.append(found)
    pairs = [(False, True), (True, True), "none"] if loss.curves_in_pairs else ["none"] * 3
    assert forms == [(False, True), *pairs]


def test_a_hessian_needs_scores_that_were_kept():
    problem, _ = sm.Objective(sm.SquaredHinge(), np.eye(3), [0, 1, 2], 0.1).problem()
    point = problem.evaluate(problem.vector(np.zeros((3, 3)), np.zeros(3)))
    with pytest.raises(AssertionError, match="requires an evaluation with keep_scores=True"):
        problem.hessian(point)


def test_folds_and_parts_that_are_not_there_are_named():
    problem = random_problem(7)
    W, b = problem.point()
    plain = problem.objective(sm.Hinge())
    rows = np.arange(len(problem.y))
    folds = (Fold(rows, rows[:1]),)
    folded = Objective.of(sm.Hinge(), Samples.check(problem.X, problem.y, folds=folds), 0.1)
    points = {"W": W[None], "b": b[None]}
    for call, said in (
        (lambda: plain.fold(0), "have no folds"),
        (lambda: plain.values_and_grads(**points, folds=[0]), "have no folds"),
        (lambda: folded.fold(1), "from 0 to 0, got 1"),
        (lambda: folded.fold(0.5), "fold must be an integer ≥ 0, got 0.5"),
        (lambda: folded.values_and_grads(**points, folds=0), r"one fold number per point \(1\)"),
        (lambda: folded.fold(0).quality(W, b, "rest"), "part must be 'training' or 'held_out'"),
        (lambda: plain.quality(W, b, "held_out"), "no held-out part"),
    ):
        with pytest.raises(ParameterError, match=said):
            call()
