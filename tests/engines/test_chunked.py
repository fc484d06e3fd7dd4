"""The engine for data in parts: the same sums as the reference's, and the same bits for any grouping."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin.affine import Affine
from softmargin.engines import GivenRows, Gradients
from softmargin.engines.array_part import ArrayPart
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.reference import ReferenceEngine
from softmargin.engines.rows import ArrayRows
from softmargin.engines.runner import InProcess, ResultsLost
from softmargin.engines.shard import chunk_rows
from softmargin.engines.shard_sums import Request, kept, sums, value
from softmargin.engines.tree import Tree, added
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.losses import SmoothedHinge
from softmargin.objective import Objective
from softmargin.samples import Samples
from softmargin.shards import Shards
from softmargin.solvers import LBFGS, AugmentedLagrangian
from softmargin.solvers.choose import choose_solver
from tests.support.problems import optimum, random_problem

LOSSES = [sm.CrossEntropy(), sm.SquaredHinge(1.5), sm.Hinge(1.5), SmoothedHinge(1.0, 0.3)]
PARTS = [0, 7, 60, 61, 200, 311, 312, 500, 523]
"""Borders of the parts: some hold one row, and there are eight chunks, of which the tree has seven additions."""


def samples(sparse=False, dtype=np.float64, shape=(523, 9, 5), seed=0, empty=True):
    n, d, c = shape
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    y[:c] = np.arange(c)
    X = rng.normal(size=(c, d))[y] + 1.5 * rng.normal(size=(n, d)) + 3.0
    weights = rng.choice([0.0, 0.5, 1.0], n)
    weights[:c] = 1.0
    if empty:
        weights[200:311] = 0.0
    if sparse:
        X = csr_array(np.where(rng.random((n, d)) < 0.3, X, 0.0).astype(dtype))
    return Samples.check(X if sparse else X.astype(dtype), y, weights)


def shards(whole, borders=PARTS):
    parts = []
    for k, (i, j) in enumerate(pairwise(borders)):
        part = replace(whole, X=whole.X[i:j], y=whole.y[i:j], weights=whole.weights[i:j])
        parts.append(ArrayPart(part, f"part-{k}"))
    return Shards(parts, whole.X.shape[1], whole.dtype)


def engine(whole, borders=PARTS, **options):
    return ChunkedEngine(shards(whole, borders), InProcess(), **options)


def point(whole, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(whole.X.shape[1], whole.n_classes)) / 3.0, rng.normal(size=whole.n_classes)


def array(rows):
    """Return the rows of all shards, or of an engine in memory."""
    if isinstance(rows, ArrayRows):
        return rows.save()
    return np.concatenate([part.array for part in rows._products()])


def everything(engine, loss):
    W, b = point(WHOLE)
    V, c = point(WHOLE, 2)
    rows = engine.dual_sums(loss, V, c, Gradients(SmoothedHinge(), keep=True)).rows.non_negative().scaled(0.7)
    found = [engine.value(loss, W, b), *engine.evaluate(loss, W, b, rows)[2:5]]
    for each in engine.evaluate_many(loss, [W, V, W + V], [b, c, b + c]):
        found += each[2:5]
    sums = engine.dual_sums(loss, W, b, Gradients(loss, rows, keep=True))
    found += [*sums[:5], array(sums.rows)]
    found += engine.dual_sums(loss, W, b, Gradients(loss))[:5]
    moved = rows.moved(sums.rows, 1.3, 0.0, 1.0)
    found += [array(moved), array(moved.scaled(0.3)), array(sums.rows.non_negative())]
    if loss.smooth:
        found += [*engine.hessian_product(loss, W, b, V, c, rows)]
        found.append(engine.mean_curvature(loss, W, b, rows))
    found += [*engine.moments(), engine.class_features(), engine.score_square(V, c)]
    return [np.asarray(each) for each in [*found, *engine.quality(loss, W, b, "training")]]


WHOLE = samples()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_every_sum_is_that_of_the_reference(loss, sparse):
    whole = samples(sparse)
    dense = replace(whole, X=whole.X.toarray()) if sparse else whole
    chunked, reference = engine(whole), ReferenceEngine(dense)
    for got, true in zip(everything(chunked, loss), everything(reference, loss), strict=True):
        assert got.dtype == true.dtype
        # Dual rows are float32. Each sum is of at most 523 terms, rounded in another order.
        np.testing.assert_allclose(got, true, rtol=2e-7 if got.dtype == np.float32 else 1e-12, atol=1e-13)
    for name in ("n_samples", "n_features", "n_classes", "n_active"):
        assert getattr(chunked.shape, name) == getattr(reference.shape, name)
    np.testing.assert_allclose(chunked.shape.class_weights, reference.shape.class_weights, rtol=1e-14)
    assert chunked.shape.weight_square == pytest.approx(reference.shape.weight_square, rel=1e-13)


def test_sums_have_the_same_bits_for_any_grouping_and_number_of_threads():
    whole = samples(shape=(3 * 4096 + 500, 9, 5), empty=False)
    borders = [0, 4096 * 2 + 77, 4096 * 2 + 78, len(whole.y)]  # 3, 1 and 2 chunks
    hashes = set()
    for group, n_threads in [(1, 1), (2, 1), (4, 2), (64, 1), (None, 3)]:
        found = everything(engine(whole, borders, group=group, n_threads=n_threads), sm.CrossEntropy())
        hashes.add(hashlib.sha256(b"".join(each.tobytes() for each in found)).hexdigest())
    assert len(hashes) == 1


@pytest.mark.parametrize("loss", LOSSES[:3], ids=repr)
def test_a_fit_has_the_same_bits_for_any_grouping(loss):
    whole = samples(shape=(2 * 4096 + 500, 5, 3), empty=False, dtype=np.float32)
    borders = [0, 4096 + 77, 4096 + 78, len(whole.y)]
    fits = [
        sm.minimize(Objective.of(loss, whole, 0.01, engine=lambda s, n, k=k: engine(s, borders, group=k)))
        for k in (1, 2, 8)
    ]
    assert all(fit.converged for fit in fits)
    assert len({fit.W.tobytes() + fit.b.tobytes() for fit in fits}) == 1


@pytest.mark.parametrize("seed", range(10))
def test_fits_are_proved_and_bracket_the_optimum(seed):
    problem = random_problem(seed)
    for loss in problem.losses():
        fit = sm.minimize(problem.objective(loss, engine="chunked"), tol=1e-3, max_passes=20_000)
        lower, upper = optimum(problem, loss.name)
        assert fit.converged
        assert fit.lower_bound <= upper * (1 + 1e-9)
        assert fit.value >= lower * (1 - 1e-9)


@pytest.mark.parametrize(
    ("loss", "solver"),
    [(sm.CrossEntropy(), LBFGS()), (sm.SquaredHinge(), LBFGS()), (sm.Hinge(), AugmentedLagrangian(LBFGS()))],
    ids=repr,
)
def test_solvers_are_chosen_that_need_only_sums(loss, solver):
    problem = Objective.of(loss, WHOLE, 1e-3, engine="chunked").problem()[0]
    assert choose_solver(problem) == solver


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_the_tree_is_the_same_in_any_order(n):
    values = np.random.default_rng(n).normal(size=n) * 10.0 ** np.arange(n)
    totals = set()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        border = int(rng.integers(0, n + 1))
        halves = [Tree(n, added), Tree(n, added)]
        for k in rng.permutation(n):
            halves[int(k >= border)].put(0, int(k), (values[k],))
        halves[0].update(halves[1].nodes)
        totals.add(halves[0].total)
    assert len(totals) == 1
    assert totals.pop()[0] == pytest.approx(values.sum(), rel=1e-12)


def test_an_empty_sum_is_skipped_in_the_tree():
    tree = Tree(5, added)
    for k, term in enumerate([None, (1.0,), None, None, (2.0,)]):
        tree.put(0, k, term)
    assert tree.total == (3.0,)


def test_the_size_of_a_chunk_depends_on_the_row_alone():
    assert chunk_rows(4 * 1024) == 1 << 14
    assert chunk_rows(4 * 1023) == 1 << 14
    assert chunk_rows(4 * 1025) == 1 << 13
    assert chunk_rows(1) == 1 << 20
    assert chunk_rows(1 << 30) == 1 << 12


def test_the_rounding_bound_covers_the_tree():
    """Sums of many chunks against exact ones; the bound holds, and is not larger than that of one engine."""
    whole = samples(shape=(40 * 50, 4, 3), empty=False)
    chunked = engine(whole, list(range(0, 2001, 50)))
    one_hot = np.eye(3)[whole.y] * whole.weights[:, None].astype(np.longdouble)
    found = chunked.class_features() - whole.X.T.astype(np.longdouble) @ one_hot
    scale = np.abs(whole.X * whole.weights[:, None]).sum(axis=0)[:, None]
    assert (np.abs(found) <= chunked.rounding() * scale).all()
    assert chunked.rounding() < ReferenceEngine(whole).rounding()


def test_features_of_any_type_are_read_in_place():
    for dtype in (np.uint8, np.float16, np.float32, np.int64):
        whole = samples(dtype=dtype)
        chunked, reference = engine(whole), ReferenceEngine(whole)
        W, b = point(whole)
        for got, true in zip(
            chunked.evaluate(sm.CrossEntropy(), W, b)[2:5], reference.evaluate(sm.CrossEntropy(), W, b)[2:5],
            strict=True,
        ):  # fmt: skip
            np.testing.assert_allclose(got, true, rtol=1e-12, atol=1e-13)


def test_the_preconditioner_is_made_from_a_sample_of_all_chunks():
    whole = samples(shape=(9000, 3, 4), empty=False)
    chunked = engine(whole, [0, 100, 8000, 9000], group=1)
    drawn = chunked._sample(5000)
    assert len(drawn.y) == 5000
    rows = {row.tobytes(): k for k, row in enumerate(whole.X)}
    places = np.array([rows[row.tobytes()] for row in drawn.X])
    assert (np.diff(places) > 0).all()
    assert {int(k) for k in np.searchsorted([100, 8000], places, side="right")} == {0, 1, 2}
    np.testing.assert_array_equal(drawn.y, whole.y[places])
    np.testing.assert_allclose(drawn.weights, whole.weights[places] / whole.weights[places].sum(), rtol=1e-12)
    assert len(chunked._sample(20_000).y) == chunked.shape.n_active


def test_passes_are_counted():
    chunked = engine(WHOLE)
    loss, (W, b) = sm.CrossEntropy(), point(WHOLE)
    for call, passes in [
        (lambda: chunked.value(loss, W, b), 1),
        (lambda: chunked.evaluate_many(loss, [W, W], [b, b]), 1),
        (lambda: chunked.moments(), 2),
        (lambda: chunked.mean_curvature(loss, W, b), 1),
        (lambda: chunked.preconditioner(Affine(np.zeros(9), np.ones(9)), chunked.moments(), True), 3),
        (lambda: chunked.fingerprint(), 0),
    ]:
        before = chunked.n_passes
        call()
        assert chunked.n_passes - before == passes


def test_a_fingerprint_sees_features_labels_and_weights_but_no_grouping():
    first = engine(WHOLE, group=1).fingerprint()
    assert first == engine(WHOLE, group=8).fingerprint()
    other = WHOLE.X.copy()
    other[17, 3] += 1e-9
    assert engine(replace(WHOLE, X=other)).fingerprint() != first
    weights = WHOLE.weights.copy()
    weights[17] += 1e-3
    other = engine(replace(WHOLE, weights=weights))
    assert other.fingerprint() != first
    assert other.fingerprint(weighted=False) == engine(WHOLE, group=8).fingerprint(weighted=False)


def test_what_needs_rows_is_refused_in_a_sentence_that_says_what_to_do():
    objective = Objective.of(sm.CrossEntropy(), WHOLE, 0.1, engine="chunked")
    W, b = point(WHOLE)
    advice = "; read them into the memory of one machine, with engine='cpu'"
    for call, purpose in [
        (lambda: objective.scores(W, b), "scores"),
        (lambda: sm.minimize(objective, solver=sm.SGD()), "mini-batches"),
    ]:
        with pytest.raises(CapabilityError, match=rf"^Data in shards do not support {purpose}{advice}\.$"):
            call()
    with pytest.raises(CapabilityError, match="do not support dual ascent;"):
        engine(WHOLE).dual_sums(sm.Hinge(), W, b, GivenRows(ArrayRows(W), b))
    for call in (
        lambda: objective.fold(0),
        lambda: objective.values_and_grads(W[None], b[None], folds=[0]),
        lambda: objective.quality(W, b, "held_out"),
    ):
        with pytest.raises(ParameterError, match=r"^These samples (have no folds|are not a fold)"):
            call()
    with pytest.raises(ParameterError, match="part must be 'training' or 'held_out', got 'test'"):
        objective.quality(W, b, "test")
    with pytest.raises(CapabilityError, match="engine must be 'chunked' or 'dask' for data in shards, got 'cpu'"):
        sm.Objective(sm.Hinge(), shards(WHOLE), None, 0.1, engine="cpu")


def test_invalid_features_and_labels_are_named():
    X = WHOLE.X.copy()
    X[250, 4] = np.nan
    X[90, 2] = np.inf
    broken = replace(WHOLE, X=X, weights=np.full(523, 1 / 523))
    with pytest.raises(DataError, match=r"^part-3: Input X contains infinity \(inf\) in row 29, column 2\.$"):
        engine(broken).moments()
    one = replace(WHOLE, y=np.zeros(523, int))
    with pytest.raises(DataError, match="at least two classes of positive weight, got only one class, 0"):
        engine(one)
    continuous = replace(WHOLE, y=WHOLE.y + 0.5)
    with pytest.raises(DataError, match="part-0: labels must be strings or integers, got continuous values"):
        engine(continuous)
    parts = [ArrayPart(replace(WHOLE, y=y)) for y in (WHOLE.y, WHOLE.y.astype(str))]
    with pytest.raises(DataError, match="must have the same type, numbers or strings, got both"):
        ChunkedEngine(Shards(parts, 9, WHOLE.dtype), InProcess())


def test_labels_of_all_parts_are_the_classes():
    names = np.array(["ant", "bee", "cat", "dog", "eel"])
    named = engine(replace(WHOLE, y=names[WHOLE.y]))
    np.testing.assert_array_equal(named.labels, names)
    W, b = point(WHOLE)
    assert named.value(sm.CrossEntropy(), W, b) == engine(WHOLE).value(sm.CrossEntropy(), W, b)


def test_a_request_is_aligned_when_it_arrives():
    W, b = point(WHOLE)
    request = Request(value, (sm.CrossEntropy(), np.asfortranarray(W), b))
    packed = pickle.dumps(request)
    for array in pickle.loads(packed).arguments[1:]:
        assert array.flags.c_contiguous
        assert array.flags.aligned
        assert array.flags.writeable
    buffer = bytearray(W.nbytes + 1)
    odd = np.frombuffer(buffer, np.float64, W.size, offset=1).reshape(W.shape)
    odd[:] = W
    assert not odd.flags.aligned
    rows = object.__new__(ArrayRows)
    rows.__setstate__({"array": odd})
    assert rows.array.flags.aligned
    assert Request(value, (odd,)).arguments[0].flags.aligned


def test_rows_are_saved_as_the_points_that_they_come_from():
    chunked, (W, b), (V, c) = engine(WHOLE), point(WHOLE), point(WHOLE, 2)
    rows = chunked.rows_from(None)
    for loss, at in [(SmoothedHinge(1.0, 0.5), (W, b)), (SmoothedHinge(1.0, 0.25), (V, c))]:
        dual = chunked.dual_sums(loss, *at, Gradients(loss, rows.scaled(loss.width), keep=True)).rows
        rows = rows.moved(dual, 1.3, 0.0, 1.0)
    saved = rows.save()
    assert saved.ndim == 1
    assert saved.nbytes < 2 * (W.nbytes + b.nbytes) + 8 * 800
    other = engine(WHOLE, group=1)
    again = other.rows_from(saved)
    assert other.n_passes == 1  # each chunk is read once, for both rounds
    assert array(again).tobytes() == array(rows).tobytes()
    assert again.save().tobytes() == saved.tobytes()


class Losing(InProcess):
    """A runner that loses what belongs to the second shard, as often as it is told; it counts readings."""

    def __init__(self, n_losses=0):
        self.n_losses, self.n_read, self.is_lost = n_losses, 0, False

    def run(self, task, *columns, final=False):
        self.n_read += len(columns[0]) if task in (sums, kept) else 0
        return super().run(task, *columns)

    def collect(self, handles):
        self.is_lost, self.n_losses = self.n_losses > 0, self.n_losses - 1
        if self.is_lost:
            raise ResultsLost("lost")
        return super().collect(handles)

    def lost(self, handles):
        return [1] if self.is_lost else []


def after_rounds(engine, n_rounds):
    rows = engine.rows_from(None)
    for k in range(n_rounds):
        loss = SmoothedHinge(1.0, 0.5 + k)
        sums = engine.dual_sums(loss, *point(WHOLE, k), Gradients(loss, rows.scaled(loss.width), keep=True))
        rows = rows.moved(sums.rows, 1.3, 0.0, 1.0)
    return rows


def test_a_lost_shard_is_read_once_for_all_rounds():
    """Whether a reading of sums is lost or the last one of a round; the other shards are not read again."""
    whole, runner = engine(WHOLE), Losing()
    chunked = ChunkedEngine(shards(WHOLE), runner)
    n_shards, (W, b), loss = len(PARTS) - 1, point(WHOLE, 8), SmoothedHinge(1.0, 0.5)
    rows, expected = after_rounds(chunked, 4), after_rounds(whole, 4)
    runner.n_read, runner.n_losses = 0, 1
    found = chunked.evaluate(loss, W, b, rows.scaled(0.5))
    assert runner.n_read == n_shards + 2  # the rows and the sum
    assert found.dW.tobytes() == whole.evaluate(loss, W, b, expected.scaled(0.5)).dW.tobytes()
    runner.n_read, runner.n_losses = 0, 1
    dual, same = (
        each.dual_sums(loss, W, b, Gradients(loss, of.scaled(0.5), keep=True))
        for each, of in ((chunked, rows), (whole, expected))
    )
    assert runner.n_read == n_shards + 2
    assert dual.features.tobytes() == same.features.tobytes()
    assert (
        array(rows.moved(dual.rows, 1.3, 0.0, 1.0)).tobytes()
        == array(expected.moved(same.rows, 1.3, 0.0, 1.0)).tobytes()
    )
    assert array(rows).tobytes() == array(expected).tobytes()


def test_a_shard_that_is_lost_again_and_again_is_an_error():
    runner = Losing()
    chunked, loss = ChunkedEngine(shards(WHOLE), runner), SmoothedHinge(1.0, 0.5)
    rows = after_rounds(chunked, 1)
    runner.n_losses = 8
    chunked.evaluate(loss, *point(WHOLE), rows)
    runner.n_losses = 9
    with pytest.raises(ResultsLost):
        chunked.evaluate(loss, *point(WHOLE), rows)


@pytest.mark.parametrize("loss", [sm.CrossEntropy(), sm.Hinge()], ids=repr)
def test_a_resumed_fit_has_the_same_bits(loss, tmp_path):
    def objective():
        return Objective.of(loss, WHOLE, 1e-3, engine=lambda s, n: engine(s))

    whole = sm.minimize(objective())
    assert whole.n_passes > 12
    kept = {"checkpoint": tmp_path / "state", "checkpoint_seconds": 0.0}
    with pytest.warns(sm.ConvergenceWarning):
        sm.minimize(objective(), max_passes=10, **kept)
    resumed = sm.minimize(objective(), **kept)
    assert resumed.W.tobytes() == whole.W.tobytes()
    assert resumed.b.tobytes() == whole.b.tobytes()
