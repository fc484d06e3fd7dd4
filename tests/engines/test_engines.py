"""The engines: CPU against reference, reference against the textbook, and results reproducible to the bit."""

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin import textbook
from softmargin.affine import Affine
from softmargin.engines import GivenRows, Gradients, make_engine
from softmargin.engines.cpu import DenseEngine, SparseEngine
from softmargin.engines.cpu.tiles import widen_half
from softmargin.engines.hessians import Pairs
from softmargin.engines.in_memory import ArrayRows
from softmargin.engines.reference import ReferenceEngine
from softmargin.errors import ParameterError
from softmargin.losses import SmoothedHinge
from softmargin.samples import Fold, Samples
from tests.support.problems import DTYPES, n_cases, random_problem

EPS = np.finfo(np.float64).eps
LOSSES = [sm.Hinge(1.5), sm.SquaredHinge(1.5), sm.CrossEntropy(), SmoothedHinge(1.0, 0.5)]
SHAPES = [
    (1, 1, 2),
    (3, 7, 3),
    (37, 5, 3),
    (101, 33, 40),
    (123, 252, 11),
    (507, 64, 10),
    (1100, 3, 33),
    (2500, 90, 6),
]


def _samples(n, d, c, dtype=np.float64, seed=0, zeros=True):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 20 + 60
    X = X > 60 if dtype is np.bool_ else (X - 60 if dtype is np.int8 else X).astype(dtype)
    weights = rng.random(n)
    if zeros and n > 5:
        weights[::3] = 0.0
    return Samples(X, rng.integers(0, c, n), weights / weights.sum(), c)


def _point(samples, seed=1):
    rng = np.random.default_rng(seed)
    d, c = samples.X.shape[1], samples.n_classes
    return rng.normal(size=(d, c)) / (60 * d), rng.normal(size=c)


def _everything(engine, loss, W, b, offsets):
    V, v = _point(engine.samples, 2)
    shift, rows = None if offsets is None else ArrayRows(offsets), np.zeros((len(engine.samples.y), len(b)))
    rows[engine.rows] = loss._gradient(engine.scores(W, b, engine.rows), engine.samples.y[engine.rows])
    parts = [np.array(engine.value(loss, W, b)), *engine.evaluate(loss, W, b, shift)[2:5]]
    parts += engine.dual_sums(loss, W, b, Gradients(loss, shift))[:5]
    if loss.ascends:
        parts += engine.dual_sums(loss, W, b, GivenRows(ArrayRows(rows), 0.1 * np.cos(np.arange(len(b)))))[:5]
    if loss.smooth:
        parts += engine.hessian_product(loss, W, b, V, v, shift)
        parts.append(engine.mean_curvature(loss, W, b, shift))
    parts += [*engine.moments(), engine.class_features(), engine.scores(W, b, engine.rows[::2])]
    parts += [engine.score_square(V, v), *engine.quality(loss, W, b, "training")]
    return [np.asarray(part) for part in parts]


def _kept(engine, loss, W, b, offsets):
    """Return what stays with the engine: scores and dual rows, possibly in float32."""
    shift = None if offsets is None else ArrayRows(offsets)
    scores = engine.evaluate(loss, W, b, shift, keep_scores=True).scores
    rows = engine.dual_sums(loss, W, b, Gradients(loss, shift, keep=True)).rows
    return [scores.save(), rows.save()]


def _steering(engine):
    """Return what may be in float32, since it affects only the speed of solvers."""
    samples, d = engine.samples, engine.samples.X.shape[1]
    affine = Affine(np.full(d, 60.0), np.full(d, 0.1))
    covariance = engine.covariance(affine, engine.rows[::2], single=True)
    rng = np.random.default_rng(4)
    rows = rng.choice(engine.rows, 2 * len(engine.rows))
    rival = (samples.y[rows] + rng.integers(1, samples.n_classes, len(rows))) % samples.n_classes
    order = np.argsort(samples.y[rows] * samples.n_classes + rival)
    rows, rival = rows[order], rival[order]
    product = engine._pair_product(Pairs(rows, rival, samples.y[rows], samples.weights[rows]))
    return [*covariance, *product(*_point(samples, 2))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_cpu_agrees_with_reference(shape, loss):
    samples = _samples(*shape)
    W, b = _point(samples)
    offsets = np.random.default_rng(3).random((shape[0], shape[2]))
    for got, true in zip(
        _everything(DenseEngine(samples), loss, W, b, offsets),
        _everything(ReferenceEngine(samples), loss, W, b, offsets),
        strict=True,
    ):
        # Sums of N·D terms of size up to 60²; both engines round.
        assert got == pytest.approx(true, rel=1e-11, abs=1e-11)
    for got, true in zip(_steering(DenseEngine(samples)), _steering(ReferenceEngine(samples)), strict=True):
        assert got == pytest.approx(true, rel=1e-11, abs=1e-11)  # X is float64, and so is everything else
    answers = [_kept(engine, loss, W, b, offsets) for engine in (DenseEngine(samples), ReferenceEngine(samples))]
    for got, true in zip(*answers, strict=True):
        assert got.dtype == true.dtype
        assert got == pytest.approx(true, rel=2.5e-7, abs=1e-11)


@pytest.mark.parametrize("zeros", [False, True])
def test_engines_count_the_same_passes(zeros):
    samples = _samples(60, 7, 3, zeros=zeros)
    W, b = _point(samples)
    loss, d = sm.SquaredHinge(), 7
    affine = Affine(np.zeros(d), np.ones(d))
    cpu, reference = engines = DenseEngine(samples), ReferenceEngine(samples)
    for call in (
        lambda engine: engine.value(loss, W, b),
        lambda engine: engine.evaluate(loss, W, b),
        lambda engine: engine.hessian_product(loss, W, b, W, b),
        lambda engine: engine.dual_sums(loss, W, b, Gradients(loss)),
        lambda engine: engine.scores(W, b, np.arange(60)),
        lambda engine: engine.scores(W, b, engine.rows[::4]),
        lambda engine: engine.covariance(affine, engine.rows[::4], True),
        lambda engine: engine.moments(),
        lambda engine: engine.class_features(),
        lambda engine: engine.mean_curvature(loss, W, b),
        lambda engine: engine.score_square(W, b),
        lambda engine: engine.quality(loss, W, b, "training"),
        lambda engine: engine.preconditioner(affine, engine.moments(), True),
        lambda engine: engine.hessian(loss, engine.evaluate(loss, W, b, keep_scores=True), affine),
    ):
        before = cpu.n_passes
        for engine in engines:
            call(engine)
        assert cpu.n_passes > before
        assert reference.n_passes == cpu.n_passes
    fits = [
        sm.minimize(sm.Objective(sm.CrossEntropy(), samples.X, samples.y, 1.0, samples.weights, engine=name))
        for name in ("cpu", "reference")
    ]
    assert fits[0].n_passes == fits[1].n_passes


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: np.dtype(t).name)
def test_every_dtype_is_read_exactly(dtype):
    samples = _samples(150, 19, 5, dtype)
    wide = Samples(samples.X.astype(np.float64), samples.y, samples.weights, 5)
    W, b = _point(samples)
    for got, true in zip(
        _everything(DenseEngine(samples), sm.CrossEntropy(), W, b, None),
        _everything(ReferenceEngine(wide), sm.CrossEntropy(), W, b, None),
        strict=True,
    ):
        assert got == pytest.approx(true, rel=1e-11, abs=1e-11)
    for got, true in zip(_steering(DenseEngine(samples)), _steering(ReferenceEngine(wide)), strict=True):
        # At most 150 terms, each rounded to float32 a few times, in sums that may cancel.
        assert got == pytest.approx(true, rel=1e-5, abs=150 * np.finfo(np.float32).eps * np.abs(true).max())


@pytest.mark.parametrize("shape", [(507, 64, 10), (5000, 90, 6), (3000, 40, 50)], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_same_bits_for_any_number_of_threads(shape, loss):
    samples = _samples(*shape, dtype=np.float32)
    W, b = _point(samples)
    engines = [DenseEngine(samples, n) for n in (1, 2, 3, 4)]
    one, *others = [
        _everything(engine, loss, W, b, None) + _kept(engine, loss, W, b, None) + _steering(engine)
        for engine in engines
    ]
    for other in others:
        for got, true in zip(other, one, strict=True):
            assert np.array_equal(got, true)


def _placed(X, n_before):
    """Return a copy of X that begins ``n_before`` numbers after the start of a cache line."""
    buffer = np.empty(X.size + 64 // X.itemsize + n_before, X.dtype)
    first = -buffer.ctypes.data % 64 // X.itemsize + n_before
    copy = buffer[first : first + X.size].reshape(X.shape)
    copy[:] = X
    return copy


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(60, 1040, 5), (60, 1043, 3), (200, 48, 7)], ids=str)
def test_same_bits_for_any_address_of_X(shape, dtype):
    samples = _samples(*shape, dtype=dtype)
    X, loss = samples.X, sm.CrossEntropy()
    W, b = _point(samples)
    answers = []
    for n_before in (0, 1, 3, 8, 15):
        engine = DenseEngine(Samples(_placed(X, n_before), samples.y, samples.weights, samples.n_classes))
        answers.append(_everything(engine, loss, W, b, None) + _steering(engine))
        answers[-1] += engine.evaluate(loss, W, b, single=True)[2:5]
    for other in answers[1:]:
        for got, true in zip(other, answers[0], strict=True):
            assert np.array_equal(got, true)


def _layouts(X):
    n, d = X.shape
    yield "fortran", np.asfortranarray(X)
    yield "strided", np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    yield "reversed", np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    read_only = X.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    yield "big-endian", X.astype(X.dtype.newbyteorder(">"))
    padded = np.zeros((n, d + 3), X.dtype)
    padded[:, 2:-1] = X
    yield "padded", padded[:, 2:-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64], ids=lambda t: np.dtype(t).name)
def test_layout_does_not_matter(dtype, tmp_path):
    samples = _samples(300, 21, 4, dtype)
    W, b = _point(samples)
    plain = _everything(DenseEngine(samples), sm.CrossEntropy(), W, b, None)
    np.save(tmp_path / "X.npy", samples.X)
    layouts = [*_layouts(samples.X), ("mapped", np.load(tmp_path / "X.npy", mmap_mode="r"))]
    for name, X in layouts:
        assert np.array_equal(X, samples.X)
        got = _everything(DenseEngine(Samples(X, samples.y, samples.weights, 4)), sm.CrossEntropy(), W, b, None)
        assert all(np.array_equal(a, b) for a, b in zip(got, plain, strict=True)), name


def test_broadcast_rows():
    row = np.arange(6.0, dtype=np.float32)
    samples = _samples(50, 6, 3)
    X = np.broadcast_to(row, (50, 6))
    W, b = _point(samples)
    got = DenseEngine(Samples(X, samples.y, samples.weights, 3)).evaluate(sm.CrossEntropy(), W, b)
    true = DenseEngine(Samples(X.copy(), samples.y, samples.weights, 3)).evaluate(sm.CrossEntropy(), W, b)
    assert all(np.array_equal(a, b) for a, b in zip(got[:5], true[:5], strict=True))


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_row_order_repeats_and_class_names(loss):
    samples = _samples(200, 12, 5, zeros=False)
    W, b = _point(samples)
    _, _, value, G, g, _ = DenseEngine(samples).evaluate(loss, W, b)
    order = np.random.default_rng(0).permutation(200)
    shuffled = Samples(samples.X[order], samples.y[order], samples.weights[order], 5)
    new_names = np.array([3, 0, 4, 1, 2])
    renamed = Samples(samples.X, new_names[samples.y], samples.weights, 5)
    places = np.argsort(new_names)
    twice = Samples(np.repeat(samples.X, 2, 0), np.repeat(samples.y, 2), np.repeat(samples.weights / 2, 2), 5)
    for other, columns, inverse in (
        (shuffled, range(5), range(5)),
        (twice, range(5), range(5)),
        (renamed, places, new_names),
    ):
        _, _, v, H, h, _ = DenseEngine(other).evaluate(loss, W[:, list(columns)], b[list(columns)])
        assert v == pytest.approx(value, rel=1e-13)
        assert H[:, list(inverse)] == pytest.approx(G, rel=1e-11, abs=1e-12)
        assert h[list(inverse)] == pytest.approx(g, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("seed", range(n_cases(60, 300)))
def test_random_problems_down_to_the_textbook(seed):
    """cpu = reference = textbook (through repeats), and gradients = differences, for every loss."""
    problem = random_problem(seed)
    W, b = problem.point(seed)
    naive = {
        "hinge": lambda: textbook.svm_loss_naive(W, X, y, problem.reg, problem.delta, b=b),
        "squared_hinge": lambda: textbook.squared_hinge_loss_naive(W, X, y, problem.reg, problem.delta, b=b),
        "cross_entropy": lambda: textbook.softmax_loss_naive(W, X, y, problem.reg, b=b),
    }
    if seed % 3 == 0:  # integral weights are repeats, which is how the textbook knows weights
        problem.weights = np.random.default_rng(seed).integers(0, 3, len(problem.y)).astype(float)
        problem.weights[: problem.n_classes] = 1.0
    for loss in problem.losses():
        cpu, reference = problem.objective(loss, engine="cpu"), problem.objective(loss, engine="reference")
        value, dW, db = cpu.value_and_grad(W, b)
        true_value, true_dW, true_db = reference.value_and_grad(W, b)
        assert value == pytest.approx(true_value, rel=1e-12)
        assert cpu.value(W, b) == pytest.approx(true_value, rel=1e-12)
        size = np.abs(true_dW).max() + 1.0
        assert dW == pytest.approx(true_dW, rel=1e-10, abs=1e-12 * size)
        assert db == pytest.approx(true_db, rel=1e-10, abs=1e-13)
        if seed % 3 == 0:
            repeats = problem.weights.astype(int)
            X, y = np.repeat(problem.X.astype(float), repeats, axis=0), np.repeat(problem.y, repeats)
            assert true_value == pytest.approx(naive[loss.name](), rel=1e-11)
        rng = np.random.default_rng(seed)
        V, v = rng.normal(size=W.shape), rng.normal(size=b.shape)
        h = 1e-6 / max(1.0, np.abs(problem.X.astype(float)).max())
        slope = (reference.value(W + h * V, b + h * v) - reference.value(W - h * V, b - h * v)) / (2 * h)
        scale = abs(slope) + np.abs(dW * V).sum() + np.abs(db * v).sum() + value
        assert (dW * V).sum() + (db * v).sum() == pytest.approx(slope, abs=2e-7 * scale)
        if loss.smooth:
            Hv = cpu.hessian_product(W, b, V, v)
            true_Hv = reference.hessian_product(W, b, V, v)
            size = np.abs(true_Hv[0]).max() + 1.0
            assert Hv[0] == pytest.approx(true_Hv[0], rel=1e-10, abs=1e-12 * size)
            assert Hv[1] == pytest.approx(true_Hv[1], rel=1e-10, abs=1e-12 * size)


POINTS_AT_ONCE = [
    (3000, 40, 2, "float32", 5),
    (700, 1040, 3, "uint8", 4),
    (900, 33, 10, "float16", 3),
    (500, 20, 5, "int16", 3),  # not read in place: through blocks
    (300, 50, 20, "float64", 8),  # three at once
    (300, 50, 77, "float64", 3),  # one by one
    (100, 3, 800, "float32", 2),  # chunks with BLAS
]


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("case", POINTS_AT_ONCE, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_points_at_once_have_the_bits_of_each(loss, case, zeros):
    *shape, dtype, n_points = case
    samples = _samples(*shape, dtype=dtype, zeros=zeros)
    engine = DenseEngine(samples, 2)
    W, b = zip(*(_point(samples, k) for k in range(n_points)), strict=True)
    for single in (False, True):
        found = engine.evaluate_many(loss, W, b, single=single)
        for k in range(n_points):
            for got, true in zip(found[k][:5], engine.evaluate(loss, W[k], b[k], single=single)[:5], strict=True):
                assert np.array_equal(got, true)


def _random_folds(n, n_folds, seed):
    """Return folds whose training rows are drawn with replacement: some are missing, some are there twice."""
    rng = np.random.default_rng(seed)
    return tuple(Fold(rng.integers(0, n, n), np.arange(0, n, 3)) for _ in range(n_folds))


@pytest.mark.parametrize("case", POINTS_AT_ONCE, ids=str)
def test_points_at_once_with_one_fold_each(case):
    *shape, dtype, n_points = case
    loss, folds = sm.SquaredHinge(), _random_folds(shape[0], n_points, 5)
    samples = replace(_samples(*shape, dtype=dtype), folds=folds)
    W, b = zip(*(_point(samples, k) for k in range(n_points)), strict=True)
    sparse = replace(samples, X=csr_array(samples.X.astype(np.float64)))
    numbers = np.random.default_rng(6).permutation(n_points)
    answers = [
        engine.evaluate_many(loss, W, b, numbers)
        for engine in (ReferenceEngine(samples), DenseEngine(samples), SparseEngine(sparse))
    ]
    for k, fold in enumerate(numbers):
        weights = samples.weights * np.bincount(folds[fold].training, minlength=shape[0])
        alone = replace(samples, weights=weights / weights.sum(), folds=())
        true = ReferenceEngine(alone).evaluate(loss, W[k], b[k])
        for found in answers:
            for got, right in zip(found[k][:5], true[:5], strict=True):
                assert got == pytest.approx(right, rel=1e-10, abs=1e-11 * np.abs(right).max())


def test_points_at_once_take_one_pass_where_they_can():
    for shape, n_points, n_passes in (
        ((500, 40, 3), 6, 1),
        ((300, 50, 20), 8, 3),
        ((300, 50, 77), 3, 3),
        ((100, 3, 800), 2, 2),
    ):
        samples = _samples(*shape)
        engine = DenseEngine(samples)
        engine.evaluate_many(sm.Hinge(), *([part] * n_points for part in _point(samples)))
        assert engine.n_passes == n_passes


@pytest.mark.parametrize("n_points", [1, 2, 33, 65])  # 32 of two classes at once: one may be left over
def test_a_row_of_weight_zero_does_not_contribute_if_its_scores_overflow(n_points):
    X, y = np.array([[1e300], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    samples = Samples(X, y, np.full(4, 0.25), 2, (Fold(np.array([1, 1, 2, 3]), np.array([0])),))
    W, b, folds = [np.array([[1e100, -1e100]])] * n_points, [np.zeros(2)] * n_points, [0] * n_points
    for found in zip(
        DenseEngine(samples).evaluate_many(sm.CrossEntropy(), W, b, folds),
        ReferenceEngine(samples).evaluate_many(sm.CrossEntropy(), W, b, folds),
        strict=True,
    ):
        for got, true in zip(*(evaluation[2:5] for evaluation in found), strict=True):
            assert np.isfinite(got).all()
            assert got == pytest.approx(true, rel=1e-12)


def test_an_infinite_dual_row_has_the_same_bits_for_any_address_of_X():
    X, W = np.zeros((4, 1040), np.float32), np.zeros((1040, 2))
    X[:, 600], X[:, :40], W[600, 0] = 1.0, 0.5, 2e38
    weights = np.full(4, 0.25)
    answers = []
    for n_before in range(0, 16, 5):
        engine = DenseEngine(Samples(_placed(X, n_before), np.array([1, 1, 1, 0]), weights, 2))
        answers.append(engine.evaluate(sm.SquaredHinge(), W, np.zeros(2), single=True)[2:5])
    assert np.isinf(answers[0][1]).any()
    for other in answers[1:]:
        for got, true in zip(other, answers[0], strict=True):
            assert np.array_equal(got, true, equal_nan=True)


def test_choices():
    samples = _samples(10, 3, 2)
    assert isinstance(make_engine("cpu", samples), DenseEngine)
    assert isinstance(make_engine("reference", samples), ReferenceEngine)
    with pytest.raises(ParameterError, match="'gpu'"):
        make_engine("gpu", samples)
    with pytest.raises(ParameterError, match="n_threads"):
        make_engine("cpu", samples, 0)
    assert make_engine(lambda given, n_threads: (given, n_threads), samples, 3) == (samples, 3)


def test_an_interrupt_stops_all_threads():
    samples = _samples(4000, 64, 10)
    engine = DenseEngine(samples, 2)
    seen = []

    def partition(blocks):
        for _ in blocks:
            seen.append(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine._run_partitions(partition, engine._n_partitions(640))
    assert len(seen) <= engine._n_partitions(640)
    W, b = _point(samples)
    assert np.isfinite(engine.value(sm.Hinge(), W, b))  # the engine is still usable


FORKS = """
import multiprocessing, sys
import numpy as np
import softmargin as sm

rng = np.random.default_rng(0)
X, y = rng.normal(size=(4000, 64)), np.arange(4000) % 10  # enough work for several threads
objective = sm.Objective(sm.CrossEntropy(), X, y, 1.0, n_threads=2)
before = sm.minimize(objective).W
fork = multiprocessing.get_context("fork")
queue = fork.SimpleQueue()
child = fork.Process(target=lambda: queue.put(sm.minimize(objective).W), daemon=True)
child.start()
child.join(60)
sys.exit("the child hangs" if child.is_alive() else not np.array_equal(queue.get(), before))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_starts_new_threads():
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("other", [copy.deepcopy, lambda engine: pickle.loads(pickle.dumps(engine))])
def test_an_engine_with_threads_can_be_pickled_and_copied(other):
    samples = _samples(4000, 64, 10, zeros=False)
    W, b = _point(samples)
    options = {"engine": "cpu", "n_threads": 2}
    objective = sm.Objective(sm.CrossEntropy(), samples.X, samples.y, 0.1, samples.weights, **options)
    value = objective.value(W, b)
    assert objective._engine.workers.started
    found = other(objective)
    assert not found._engine.workers.started
    assert found.value(W, b) == value
    assert objective._engine.workers.started


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 7}, raising=False)
    assert DenseEngine(_samples(10, 3, 2)).workers.n_threads == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert DenseEngine(_samples(10, 3, 2)).workers.n_threads == 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int16", "float64"])
@pytest.mark.parametrize(("d", "c"), [(768, 200), (512, 300), (2048, 100)])
def test_blocks_of_both_precisions_end_with_the_rows(dtype, d, c):
    """W fits the tiles in float32 but not in float64, so that the blocks have different sizes."""
    rng = np.random.default_rng(0)
    X = np.abs(5.0 * rng.normal(size=(1000, d))).astype(dtype)
    y = np.arange(1000) % c
    W, b = 0.01 * rng.normal(size=(d, c)), rng.normal(size=c)
    cpu, reference = (sm.Objective(sm.CrossEntropy(), X, y, 0.1, engine=engine) for engine in ("cpu", "reference"))
    for single, tolerance in ((True, 1e-4), (False, 1e-12)):
        both = zip(cpu.value_and_grad(W, b, single), reference.value_and_grad(W, b), strict=True)
        for ours, exact in both:
            np.testing.assert_allclose(ours, exact, rtol=tolerance, atol=tolerance * np.abs(exact).max())
    for ours, exact in zip(cpu.moments, reference.moments, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-12)


def test_every_float16_becomes_the_same_float32():
    bits = np.arange(1 << 16, dtype=np.uint16)
    numbers = np.empty(len(bits), np.float32)
    widen_half(bits, numbers)
    exact = bits.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(numbers, exact)
    np.testing.assert_array_equal(np.signbit(numbers), np.signbit(exact))


def _chunked(shape, dtype, zeros):
    """Return samples whose W is too large for one sum per partition."""
    samples = _samples(*shape, dtype=dtype, zeros=zeros)
    y = np.concatenate([np.arange(shape[2]), samples.y[shape[2] :]])[: shape[0]]
    return Samples(samples.X, y, samples.weights, shape[2])


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("shape", [(900, 600, 500), (1000, 3, 800)], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_chunks_agree_with_reference_and_for_any_number_of_threads(monkeypatch, loss, shape, dtype, zeros):
    monkeypatch.setattr("softmargin.engines.cpu.dense._LARGEST_CHUNK", 256)
    samples = _chunked(shape, dtype, zeros)
    wide = Samples(samples.X.astype(np.float64), samples.y, samples.weights, samples.n_classes)
    W, b = _point(samples)
    engines = [DenseEngine(samples, n) for n in (1, 2, 3)]
    assert all(engine._n_chunk(False) == 256 for engine in engines)
    one, *others = [_everything(engine, loss, W, b, None) for engine in engines]
    for got, true in zip(one, _everything(ReferenceEngine(wide), loss, W, b, None), strict=True):
        np.testing.assert_allclose(got, true, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(true).max()))
    single, *same = [engine.evaluate(loss, W, b, single=True)[2:5] for engine in engines]
    for got, true in zip(single, engines[0].evaluate(loss, W, b)[2:5], strict=True):
        # Near a kink, rounding a score can change the subgradient of that sample and class.
        np.testing.assert_allclose(got, true, rtol=1e-3, atol=1e-2 * np.abs(true).max())
    for other, first in [(other, one) for other in others] + [(other, single) for other in same]:
        for got, true in zip(other, first, strict=True):
            assert np.array_equal(got, true)


TILE_TYPES = [np.bool_, np.uint8, np.int8, np.float16, np.float32, np.float64]


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", TILE_TYPES, ids=lambda t: np.dtype(t).name)
@pytest.mark.parametrize("d", [1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 70])
def test_the_compiled_loop_agrees_with_reference(d, dtype, single):
    """Rows shorter and longer than a vector; N and C that are no multiples of the block and group sizes."""
    for c, n, zeros in [(2, 5, 0), (3, 259, 1), (4, 1040, 0), (5, 523, 1), (8, 61, 1), (11, 45, 0)]:
        samples = _samples(n, d, c, dtype, seed=c, zeros=zeros)
        W, b = _point(samples)
        offsets = np.random.default_rng(3).normal(size=(n, c))
        cpu, reference = DenseEngine(samples, 2), ReferenceEngine(samples)
        # A score is a sum of d terms, and a part of the gradient one of at most 516 rows.
        epsilon = np.finfo(np.float32).eps if single and cpu.has_single else EPS
        tolerance = epsilon * (d + min(n, 516))
        for loss in LOSSES[:3]:
            for given in (None, offsets):
                kept, expected_kept = np.zeros((2, n, c))
                found = cpu._evaluate(loss, W, b, given, kept, single)
                expected = reference._evaluate(loss, W, b, given, expected_kept, single)
                for part, right in zip((*found, kept), (*expected, expected_kept), strict=True):
                    np.testing.assert_allclose(part, right, rtol=0, atol=tolerance * (1 + np.abs(right).max()))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", TILE_TYPES, ids=lambda t: np.dtype(t).name)
def test_the_compiled_loop_gives_the_same_bits_for_any_number_of_threads(dtype, single, monkeypatch):
    for module in ("threads", "engines.cpu.dense"):  # threads for little work, too
        monkeypatch.setattr(f"softmargin.{module}.INLINE_WORK", 0)
    for c, d, zeros in [(3, 9, False), (10, 64, True), (7, 33, False)]:
        samples = _samples(21_000 if c == 3 else 3000, d, c, dtype, zeros=zeros)
        W, b = _point(samples)
        for loss in LOSSES[:3]:
            engines = [DenseEngine(samples, k) for k in (1, 2, 3, 4)]
            found = [engine.evaluate(loss, W, b, single=single)[2:5] for engine in engines]
            assert [engine.workers.started for engine in engines] == [False, True, True, True]
            for other in found[1:]:
                for part, first in zip(other, found[0], strict=True):
                    np.testing.assert_array_equal(part, first)


def test_read_only_memory_is_read_in_place():
    samples = _samples(300, 20, 4, np.float32)
    W, b = _point(samples)
    expected = DenseEngine(samples).evaluate(LOSSES[0], W, b)[2:5]
    samples.X.flags.writeable = False
    engine = DenseEngine(samples)
    assert engine._tile_X.ctypes.data == samples.X.ctypes.data
    for part, right in zip(engine.evaluate(LOSSES[0], W, b)[2:5], expected, strict=True):
        np.testing.assert_array_equal(part, right)
