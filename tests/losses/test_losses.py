"""The losses in score space: golden values, mpmath at the extremes, array form against compiled row form."""

import subprocess
import sys

import array_api_strict
import mpmath
import numba
import numpy as np
import pytest

import softmargin as sm
import softmargin.engines.cpu.row_code  # so that Numba compiles the row functions
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.losses import LOSSES, CrossEntropy, SmoothedHinge
from softmargin.losses.rows import row_ascent, row_gradient, row_hessian_product

EPS = np.finfo(np.float64).eps
ALL = [sm.Hinge(), sm.Hinge(2.5), sm.SquaredHinge(), sm.SquaredHinge(0.3), sm.CrossEntropy(),
       SmoothedHinge(1.0, 0.5), SmoothedHinge(2.0, 3.0)]  # fmt: skip
SMOOTH = [loss for loss in ALL if loss.smooth]


@numba.njit
def _rows(loss, S, y):
    values = np.zeros(len(y))
    for i in range(len(y)):
        values[i] = row_gradient(loss, S[i], y[i])
    return values


@numba.njit
def _hessian_rows(loss, S, y, T):
    for i in range(len(y)):
        row_hessian_product(loss, S[i], y[i], T[i])


def _scores(seed, n=60, c=7, size=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, c)) * size, rng.integers(0, c, n)


def extreme_rows(n_rows, seed=0):
    """Return difficult score rows: huge, tiny, tied, or with a target far above or below the rivals."""
    rng = np.random.default_rng(seed)
    for _ in range(n_rows):
        c = int(rng.choice([2, 3, 4, 7, 10, 17, 40]))
        y = int(rng.integers(c))
        kind = rng.integers(7)
        s = rng.normal(size=c)
        if kind == 0:
            s *= 10.0 ** rng.uniform(-12, 3)
        elif kind == 1:  # target above the rivals, until the loss underflows
            s[y] = s.max() + 10.0 ** rng.uniform(-3, 2.84)
        elif kind == 2:
            s[y] = s.min() - 10.0 ** rng.uniform(-3, 6)
        elif kind == 3:  # a large common part, so that differences are rounded
            s += 10.0 ** rng.uniform(0, 8)
        elif kind == 4:
            s = np.round(s * 4) * 10.0 ** rng.integers(0, 30)
        elif kind == 5:  # differences of hundreds that binary fractions cannot represent
            s = rng.uniform(-350, 350, size=c)
        else:  # all but one equal, and the two largest an ulp apart
            s[:] = s[0]
            s[y] = np.nextafter(s[0], rng.choice([-np.inf, np.inf]))
        yield s, y


def _truth(s, y):
    """Return loss and gradient of cross-entropy at 60 digits."""
    with mpmath.workdps(60):
        exact = [mpmath.mpf(float(v)) for v in s]
        others = mpmath.fsum(mpmath.exp(v - exact[y]) for j, v in enumerate(exact) if j != y)
        total = 1 + others
        gradient = [mpmath.exp(v - exact[y]) / total for v in exact]
        gradient[y] = -others / total
        return mpmath.log1p(others), gradient


@pytest.mark.parametrize("form", ["array", "strict", "compiled"])
def test_cross_entropy_is_right_to_the_last_digits(form):
    loss = sm.CrossEntropy()
    tiny = np.finfo(np.float64).tiny
    worst_value = worst_gradient = 0.0
    for s, y in extreme_rows(1000 if form == "strict" else 10_000):
        if form == "array":
            value, gradient = loss.values(s[None], [y])[0], loss.gradient(s[None], [y])[0]
        elif form == "strict":
            rows, labels = array_api_strict.asarray(s[None]), array_api_strict.asarray(np.array([y]))
            value = float(loss._values(rows, labels)[0])
            gradient = np.asarray(loss._gradient(rows, labels))[0]
        else:
            gradient = s.copy()[None]
            value = _rows(loss, gradient, np.array([y]))[0]
            gradient = gradient[0]
        true_value, true_gradient = _truth(s, y)
        if true_value > tiny:
            worst_value = max(worst_value, abs(float((value - true_value) / true_value)))
        else:
            assert abs(value - float(true_value)) <= tiny
        for j, true in enumerate(true_gradient):
            # Each entry is one term, the target's the sum of the others: 8 ε relative, or one subnormal.
            error = abs(float(gradient[j] - true))
            if abs(true) > tiny:
                worst_gradient = max(worst_gradient, error / abs(float(true)))
            else:
                assert error <= tiny
    assert worst_value <= 1e-14
    assert worst_gradient <= 8 * EPS


def test_golden_values():
    zero = np.zeros((1, 10))
    assert sm.Hinge().values(zero, [3]) == 9
    assert sm.SquaredHinge().values(zero, [3]) == 9
    assert sm.CrossEntropy().values(zero, [3]) == pytest.approx(np.log(10), rel=1e-15)
    rows, y = [[10, -2, 3], [10, 9, 9], [10, -100, -100]], [0, 0, 0]
    assert np.array_equal(sm.Hinge().values(rows, y), [0, 0, 0])
    assert sm.CrossEntropy().values(rows, y) == pytest.approx(
        [9.17605050e-04, 5.51444714e-01, 3.37782376e-48], rel=1e-8
    )
    assert sm.Hinge(10.0).values([[13, -7, 11]], [0]) == 8
    assert sm.softmax([[1, -2, 0]])[0] == pytest.approx([0.70538451, 0.03511903, 0.25949646], abs=1e-8)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("c", [2, 3, 10, 41])
def test_compiled_rows_agree_with_arrays(loss, c):
    S, y = _scores(c, c=c)
    S[0] = 0.0  # ties
    S[1] = S[1, y[1]] - loss.parameters().get("delta", 1.0)  # margins of exactly Δ: the kink
    gradient = S.copy()
    values = _rows(loss, gradient, y)
    assert values == pytest.approx(loss.values(S, y), rel=1e-13, abs=1e-13)
    assert gradient == pytest.approx(loss.gradient(S, y), rel=1e-13, abs=1e-15)
    conjugates = (gradient * S).sum(axis=1) - values  # Fenchel and Young
    assert loss._conjugate(gradient, y) == pytest.approx(conjugates, rel=1e-11, abs=1e-11)
    if loss.smooth:
        directions = np.random.default_rng(1).normal(size=S.shape)
        product = directions.copy()
        _hessian_rows(loss, S.copy(), y, product)
        assert product == pytest.approx(loss._hessian_product(S, y, directions), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["double", "single"])
@pytest.mark.parametrize("c", [2, 7, 41])
def test_array_methods_take_any_library_and_precision(loss, c, dtype):
    S, y = _scores(c, c=c)
    S[0] = 0.0
    S[1] = S[1, y[1]] - loss.score_scale  # margins of exactly Δ
    S[2, y[2]] = S[2].max() + 30.0
    S[3, y[3]] -= 300.0
    S[5, (y[5] + 1) % c] = -np.inf
    y[y == 1] = 0  # a class without samples
    rng = np.random.default_rng(c)
    T, shift, weights = rng.normal(size=S.shape), 0.1 * rng.normal(size=c), rng.random(len(y))

    def results(S, y, T, shift, weights, xp):
        dual = loss._gradient(S, y)
        found = [loss._values(S, y), dual, loss._conjugate(dual, y)]
        if loss.smooth:
            found.append(loss._hessian_product(S, y, T))
        pairs = loss._active_pairs(S, y)
        assert (pairs is not None) == loss.curves_in_pairs
        if loss.ascends:
            feasible = loss._feasible(dual + 0.1 * T, y)
            kept = xp.asarray(feasible, copy=True)
            found += [feasible, loss._conjugate(feasible, y), loss._rebalanced(feasible, y, shift)]
            found.append(loss._balance_jacobian(feasible, y, weights))
            assert xp.all(feasible == kept)  # only `_feasible` may write to what it is given
        return found + ([] if pairs is None else [pairs[0]])

    given = [part.astype(dtype) for part in (S, T, shift, weights)]
    given.insert(1, y)
    expected = results(*given, np)
    strict = results(*map(array_api_strict.asarray, given), array_api_strict)
    exact = results(*(part.astype(np.float64) if part.dtype == np.float32 else part for part in given), np)
    for own, other, right in zip(expected, strict, exact, strict=True):
        assert type(other) is type(array_api_strict.asarray(0.0))
        other = np.asarray(other)
        assert own.dtype == other.dtype == (dtype if own.dtype.kind == "f" else np.bool_)
        if own.shape == (c, c):  # the Jacobian: NumPy adds the samples of a class in another order
            error = len(y) * np.finfo(dtype).eps * np.abs(np.diag(right)).max()
            np.testing.assert_allclose(own, other, rtol=0, atol=error)
        else:
            assert np.array_equal(own, other)
        if dtype == np.float32:  # rounding of C terms, each of up to the largest score
            size = c * np.finfo(np.float32).eps * max(1.0, np.abs(right[np.isfinite(right)]).max())
            assert np.allclose(own.astype(np.float64), right, rtol=1e-5, atol=8 * size)
    S[4, y[4]] = -np.inf  # the loss is infinite
    S, y = array_api_strict.asarray(S.astype(dtype)), array_api_strict.asarray(y)
    assert np.asarray(loss._values(S, y))[4] == np.inf
    assert np.asarray(loss._gradient(S, y))[4].min() <= -0.999


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_row_functions_run_as_they_stand(loss):
    S, y = _scores(9, n=12, c=5)
    compiled = S.copy()
    values = _rows(loss, compiled, y)
    for i in range(len(y)):
        s = S[i].copy()
        assert row_gradient(loss, s, y[i]) == pytest.approx(values[i], rel=1e-14)
        assert s == pytest.approx(compiled[i], rel=1e-14, abs=1e-300)
        if loss.smooth:
            T = np.linspace(-1.0, 1.0, 5)
            expected = T[None].copy()
            _hessian_rows(loss, S[i : i + 1].copy(), y[i : i + 1], expected)
            row_hessian_product(loss, S[i].copy(), y[i], T)
            assert pytest.approx(expected[0], rel=1e-13, abs=1e-15) == T
        if loss.ascends:
            a = np.zeros(5)
            value, gap = row_ascent(loss, S[i].copy(), a, y[i], 0.5, np.empty(5), np.empty(5))
            assert value == pytest.approx(values[i], rel=1e-9)
            assert gap >= -1e-12
            assert a == pytest.approx(loss._feasible(a[None].copy(), y[i : i + 1])[0], abs=1e-14)


def test_what_has_no_row_function_says_so():
    with pytest.raises(NotImplementedError, match="no row_hessian_product"):
        row_hessian_product(sm.Hinge(), np.zeros(2), 0, np.zeros(2))


def test_losses_work_without_numba():
    code = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
import numpy as np
from softmargin.losses import LOSSES
from softmargin.losses.rows import row_gradient
for loss in LOSSES.values():
    s = np.zeros(10)
    print(loss().values(np.zeros((1, 10)), [3])[0], row_gradient(loss(), s, 3))
print([name for name in sys.modules if name.startswith("softmargin.engines")])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    entropy = f"{np.log(10)} {np.log(10)}"
    assert run.stdout.split("\n") == [entropy, "9.0 9.0", "9.0 9.0", "[]", ""]


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_gradients_agree_with_differences(loss):
    S, y = _scores(3)
    h = 1e-6
    for j in range(S.shape[1]):
        step = np.zeros(S.shape[1])
        step[j] = h
        after, before = loss.values(S + step, y), loss.values(S - step, y)
        # Rounding of the two values (C additions each) over the step; truncation is h² and smaller.
        rounding = S.shape[1] * EPS * max(after.max(), 1.0) / h
        assert (after - before) / (2 * h) == pytest.approx(loss.gradient(S, y)[:, j], abs=rounding)


@pytest.mark.parametrize("loss", SMOOTH, ids=repr)
def test_hessian_products_agree_with_differences(loss):
    S, y = _scores(4)
    directions = np.random.default_rng(5).normal(size=S.shape)
    h = 1e-7
    difference = (loss.gradient(S + h * directions, y) - loss.gradient(S - h * directions, y)) / (2 * h)
    assert difference == pytest.approx(loss._hessian_product(S, y, directions), abs=1e-6)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_fenchel_equality_and_inequality(loss):
    S, y = _scores(6)
    dual = loss.gradient(S, y)
    assert dual.sum(axis=1) == pytest.approx(np.zeros(len(y)), abs=1e-13)
    together = loss.values(S, y) + loss._conjugate(dual, y)
    assert together == pytest.approx((dual * S).sum(axis=1), abs=1e-11)
    elsewhere, _ = _scores(7)
    assert np.all(loss.values(elsewhere, y) + loss._conjugate(dual, y) >= (dual * elsewhere).sum(axis=1) - 1e-11)


@pytest.mark.parametrize("loss", ALL, ids=repr)
@pytest.mark.parametrize("seed", range(5))
def test_balance_makes_dual_rows_feasible(loss, seed):
    S, y = _scores(seed, n=80, c=5)
    y[:5] = np.arange(5)
    weights = np.random.default_rng(seed).random(80)
    weights /= weights.sum()
    dual = loss.gradient(S, y)
    one_hot = np.eye(5)[y]
    balance = loss.balance(
        one_hot.T @ (weights[:, None] * dual), weights @ one_hot, weights @ loss._conjugate(dual, y)
    )
    feasible = balance.shrink * dual + balance.shift[y]
    assert weights @ feasible == pytest.approx(np.zeros(5), abs=1e-14)
    assert feasible.sum(axis=1) == pytest.approx(np.zeros(80), abs=1e-13)
    wrong = np.where(one_hot == 1.0, 0.0, feasible)
    assert wrong.min() >= -1e-15
    if not isinstance(loss, sm.SquaredHinge):
        assert wrong.max() <= 1.0 + 1e-13
    if isinstance(loss, sm.CrossEntropy):
        assert wrong.sum(axis=1).max() <= 1.0 + 1e-13
    # The stated conjugate bounds the true one; where L* is linear or nothing is shrunk it is exact.
    true = weights @ loss._conjugate(feasible, y)
    assert balance.conjugate >= true - 1e-12
    if isinstance(loss, sm.Hinge | sm.SquaredHinge):
        assert balance.conjugate == pytest.approx(true, abs=1e-12)


def test_kink_has_subgradient_zero():
    assert np.array_equal(sm.Hinge().gradient([[1.0, 0.0, 2.0]], [0]), [[-1.0, 0.0, 1.0]])


def test_infinite_scores():
    assert sm.CrossEntropy().values([[-np.inf, 0.0]], [0]) == np.inf
    assert sm.CrossEntropy().values([[0.0, -np.inf]], [0]) == 0.0
    assert np.array_equal(sm.CrossEntropy().gradient([[-np.inf, 0.0]], [0]), [[-1.0, 1.0]])
    for loss in ALL:
        assert loss.values([[-np.inf, -np.inf, 0.0]], [0]) == np.inf
        assert loss.values([[0.0, -np.inf, -np.inf]], [0]) == 0.0
    assert sm.CrossEntropy().values(np.full((1, 4), 1e30), [2]) == pytest.approx(np.log(4), rel=1e-15)
    assert sm.CrossEntropy().values([[0.0, -40.0]], [0]) == pytest.approx(4.248354255291589e-18, rel=1e-15)


@pytest.mark.parametrize(
    ("scores", "y", "message"),
    [
        ([[0.0, np.inf]], [0], "in row 0"),
        ([[0.0, 1.0], [np.nan, 0.0]], [0, 1], "in row 1"),
        ([[-np.inf, -np.inf]], [0], "in row 0"),
        ([[0.0, 1.0]], [2], r"y\[0\] is 2"),
        ([[0.0, 1.0]], [-1], r"y\[0\] is -1"),
        ([[0.0, 1.0]], [0.0], "integer class numbers"),
        ([[0.0, 1.0]], [0, 1], r"shape \(1,\)"),
        ([[0.0]], [0], "at least two columns"),
        ([0.0, 1.0], [0], "two axes"),
        ([[0.0, 1.0]], [2**40], rf"y\[0\] is {2**40}"),
    ],
)
@pytest.mark.parametrize("loss", ALL[:5:2], ids=repr)
def test_wrong_scores_and_labels(loss, scores, y, message):
    with pytest.raises(DataError, match=message):
        loss.values(scores, np.asarray(y))


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf, "x", None, 10**400, 1e-160])
def test_delta_must_be_positive(delta):
    for loss in (sm.Hinge, sm.SquaredHinge):
        with pytest.raises(ParameterError, match="delta"):
            loss(delta)


def test_records():
    assert sm.Hinge(1.0) != sm.SquaredHinge(1.0)
    assert sm.Hinge(1.0) == sm.Hinge()
    assert len({sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy(), sm.Hinge(1)}) == 3
    assert sm.CrossEntropy()  # a tuple without fields would be false
    assert list(LOSSES) == ["cross_entropy", "squared_hinge", "hinge"]  # the first of equally good ones is taken
    for name, loss in LOSSES.items():
        assert loss.name == name
    with pytest.raises(CapabilityError, match="no Hessian"):
        sm.Hinge()._hessian_product(np.zeros((1, 2)), np.array([0]), np.zeros((1, 2)))


def test_what_a_loss_states():
    hinge, squared, entropy = sm.Hinge(2.0), sm.SquaredHinge(2.0), sm.CrossEntropy()
    smoothed = SmoothedHinge(2.0, 0.5)
    every = (hinge, squared, entropy, smoothed)
    assert [loss.probabilistic for loss in every] == [False, False, True, False]
    assert [loss.curves_in_pairs for loss in every] == [False, True, False, True]
    assert [loss.score_scale for loss in every] == [2.0, 2.0, 1.0, 2.0]
    assert [loss.reg_scale for loss in every] == [2.0, 1.0, 1.0, 1.0]
    assert [loss.smoothed(0.5) for loss in every] == [smoothed, None, None, None]
    assert [loss.balance_stiffness(5) for loss in every[:3]] == [2.0, 1.0, 40.0]
    for loss in every:
        serves = [loss.is_dual_feasible_for(other) for other in every]
        assert serves == [other == loss or (loss is smoothed and other is hinge) for other in every]


@pytest.mark.parametrize("cost", [0.0, 1e-3, 1.0, 1e4, 1e12])
@pytest.mark.parametrize("n_classes", [2, 10, 77])
def test_the_first_mixture_of_cross_entropy_maximises_the_dual(n_classes, cost):
    shares = np.random.default_rng(n_classes).dirichlet(np.full(n_classes, 0.5)) + 1e-6
    shares /= shares.sum()

    def dual(theta):
        rows = theta * (shares - np.eye(n_classes))  # one row per class
        return -shares @ CrossEntropy()._conjugate(rows, np.arange(n_classes)) - cost * theta**2

    theta = CrossEntropy()._first_mix(shares, cost)
    assert 0.0 < theta <= 1.0
    least = 1e-14 * (1.0 + abs(dual(theta)))
    assert all(dual(theta) >= dual(min(factor * theta, 1.0)) - least for factor in (0.5, 0.99, 1.01, 2.0))
