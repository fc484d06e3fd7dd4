"""Evaluations from counts and sums of parts against those of all samples in memory."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

import softmargin as sm
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.evaluation import parts, tallies
from softmargin.evaluation.tallies import Tally, tally_of
from softmargin.metrics import Moments
from tests.evaluation.test_evaluation import of_scores, problem
from tests.support.refusals import refused

SUMMED = ("accuracy", "top_k_accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "ece")


def same(found, wanted):
    """Hold an evaluation of shards against that of all samples."""
    for name in SUMMED:
        metric, other = getattr(found, name), getattr(wanted, name)
        assert metric.reason == other.reason
        for end in ("value", "low", "high"):
            number = getattr(other, end)
            close = None if number is None else pytest.approx(number, rel=1e-12, abs=1e-14)
            assert getattr(metric, end) == close, (name, end)
    assert found.auroc.value is None
    assert "data are in shards" in found.auroc.reason
    for name in ("n_samples", "n_classes", "top_k", "classes", "groups", "labels", "unknown_labels"):
        assert getattr(found, name) == getattr(wanted, name), name
    np.testing.assert_array_equal(found.confusion, wanted.confusion)


def write(folder, scores, labels, pieces):
    for k, rows in enumerate(np.array_split(np.arange(len(labels)), pieces)):
        np.save(folder / f"s{k}.npy", scores[rows])
        np.save(folder / f"s{k}_y.npy", labels[rows])
    return sm.open_shards(folder)


@pytest.mark.parametrize("seed", range(0, 30, 2))
def test_parts_in_small_blocks_give_the_numbers_of_one_machine(seed, tmp_path, monkeypatch):
    classes, scores, labels = problem(seed)
    model = of_scores(classes, sm.Hinge() if seed % 8 == 4 else None)
    k = 2 if len(classes) > 2 else None
    wanted = sm.evaluate(model, scores, labels, top_k=k)
    shards = write(tmp_path, scores, labels, 1 + seed % 3)
    same(sm.evaluate(model, shards, None, top_k=k), wanted)
    monkeypatch.setattr(parts, "BLOCK_BYTES", 500)
    monkeypatch.setattr(tallies, "_BLOCK", 3 * len(classes))
    monkeypatch.setattr(tallies, "_FEW_CELLS", 0)
    monkeypatch.setattr(parts, "_CHUNKS", 7)
    monkeypatch.setattr(parts, "chunk_rows", lambda row_bytes: 1)
    done = []
    found = parts.evaluate_shards(model, shards, top_k=k, progress=lambda *step: done.append(step))
    same(found, wanted)
    assert done[-1] == (len(shards.parts),) * 2
    assert len(done) >= len(labels) / 7


def test_values_far_from_zero_keep_the_digits_of_their_variance():
    """A sum of squares would have none of them left."""
    values = 1e9 + np.random.default_rng(0).normal(size=1000)
    groups = np.arange(1000) % 3
    blocks = [slice(start, start + 7) for start in range(0, 1000, 7)]
    found = reduce(Moments.merged, (Moments.of(values[rows], groups[rows], 4) for rows in blocks))
    assert found.n.tolist() == [334, 333, 333, 0]
    for k in range(3):
        assert found.mean[k] == pytest.approx(values[groups == k].mean(), rel=1e-15)
        assert found.squares[k] == pytest.approx(((values[groups == k] - values[groups == k].mean()) ** 2).sum())
    assert (found.mean[3], found.squares[3]) == (0.0, 0.0)


def test_the_order_of_parts_does_not_matter_for_counts():
    classes, scores, labels = problem(6)
    each = [tally_of(scores[k : k + 5], labels[k : k + 5], classes, 1.0, 2) for k in range(0, len(labels), 5)]
    first, second = Tally.sum(each), Tally.sum([Tally.sum(each[:0:-1]), each[0]])
    assert first.confusion()[1].sum() == len(labels)
    assert first.unknown == second.unknown != {}
    assert first.confusion()[0] == second.confusion()[0]
    np.testing.assert_array_equal(first.confusion()[1], second.confusion()[1])
    assert first.n_top == second.n_top


def test_labels_of_shards_are_read_as_the_classes_of_the_model(tmp_path):
    scores = np.eye(3)[[0, 1, 2, 1]] * 4.0
    shards = write(tmp_path, scores, np.array([1.0, 4.0, 7.0, 7.0]), 2)
    model = of_scores(np.array(["1", "4", "7"]))
    same(sm.evaluate(model, shards, None), sm.evaluate(model, scores, ["1", "4", "7", "7"]))
    estimator = sm.LinearClassifier(reg=0.1).fit(np.vstack([scores] * 9), [1.0, 4.0, 7.0, 7.0] * 9)
    same(sm.evaluate(estimator, shards, None), sm.evaluate(estimator, scores, [1.0, 4.0, 7.0, 7.0]))


def test_errors_name_the_file_and_the_row(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "BLOCK_BYTES", 100)
    scores = np.zeros((40, 3))
    scores[33, 1] = np.nan
    shards = write(tmp_path, scores, np.arange(40) % 3, 2)
    model = of_scores(("0", "1", "2"))
    refused(lambda: sm.evaluate(model, shards, None), "s1.npy: Input X", "row 13, column 1", error=DataError)


REFUSED = {
    "groups": (lambda m, d, X: sm.evaluate(m, d, None, ["a"] * 6), "groups must be None", ParameterError),
    "engine": (lambda m, d, X: sm.evaluate(m, d, None, engine="cpu"), "engine must be", ParameterError),
    "in memory": (lambda m, d, X: sm.evaluate(m, X, [1] * 6, engine="dask"), "use open_shards", CapabilityError),
    "no labels": (lambda m, d, X: sm.evaluate(m, X, None), "y must hold one label per row", DataError),
    "no model": (lambda m, d, X: sm.evaluate("m", d, None), "model must be a Model or", ParameterError),
    "unknown": (lambda m, d, X: sm.evaluate(of_scores(tuple("abc")), d, None), "at least one class", DataError),
    "top k": (lambda m, d, X: sm.evaluate(m, d, None, top_k=3), "top_k must be below", ParameterError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_shards_do_not_support_is_refused(name, tmp_path):
    call, words, error = REFUSED[name]
    X = np.eye(3)[[0, 1, 2] * 2]
    shards = write(tmp_path, X, np.arange(6) % 3, 1)
    refused(lambda: call(of_scores(np.arange(3)), shards, X), words, error=error)
