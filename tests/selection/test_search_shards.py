"""Choosing the loss and λ on shards: as in memory on the same folds, and the same bits for any grouping."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import softmargin as sm
from softmargin.content import content_hashes
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.readings import Readings
from softmargin.engines.runner import InProcess
from softmargin.errors import CapabilityError, ClusterError
from softmargin.selection import compare
from tests.cluster.conftest import write_shards

LOSSES = ["cross_entropy", "squared_hinge", "hinge"]
SIZES = (4500, 30, 700)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three shards, of four chunks."""
    return write_shards(tmp_path_factory.mktemp("shards"), SIZES, n_features=12, n_classes=4)


@pytest.fixture(scope="module")
def rows(folder):
    """X and y of all shards."""
    return [np.concatenate([np.load(folder / f"part-{k}{end}.npy") for k in range(3)]) for end in ("", "_y")]


def pairs(X, borders, n_folds, seed=0):
    """Return the folds that the shards have, as pairs of row numbers."""
    limits = np.array([int(border * 2.0**64) for border in borders], np.uint64)
    numbers = np.searchsorted(limits, content_hashes(X, seed), side="right")
    return [(np.flatnonzero(numbers != k), np.flatnonzero(numbers == k)) for k in range(n_folds)]


@pytest.mark.parametrize("loss", LOSSES)
def test_paths_are_those_in_memory_on_the_same_folds(folder, rows, loss):
    X, y = rows
    options = {"regs": [1.0, 0.03], "path_tol": 1e-7, "max_passes": 20_000}
    found = compare(sm.open_shards(folder), None, [loss], cv=3, seed=5, **options)
    true = compare(X, y, [loss], cv=pairs(X, [1 / 3, 2 / 3], 3, 5), **options)
    assert found.folds == true.folds
    assert found.reg == true.reg
    for mine, its in zip(found.paths[0].points, true.paths[0].points, strict=True):
        for one, other in zip(mine.folds, its.folds, strict=True):
            assert one.value == pytest.approx(other.value, rel=3e-7)
            assert one.validation_loss == pytest.approx(other.validation_loss, rel=2e-3)
            assert one.training_loss == pytest.approx(other.training_loss, rel=2e-3)
            # Fits within the same gap may differ in few samples at the border between two classes.
            assert one.validation_accuracy == pytest.approx(other.validation_accuracy, abs=2e-3)
            assert one.training_accuracy == pytest.approx(other.training_accuracy, abs=2e-3)
    mine, its = found.paths[0].calibration, true.paths[0].calibration
    assert (mine.method, mine.n_samples, mine.n_bins) == (its.method, its.n_samples, its.n_bins)
    assert mine.temperature == pytest.approx(its.temperature, rel=1e-2)
    assert mine.log_loss == pytest.approx(its.log_loss, rel=1e-3)
    assert mine.error == pytest.approx(its.error, abs=3e-3)


@pytest.mark.parametrize("scoring", ["accuracy", "loss"])
def test_one_held_out_part_is_that_in_memory(folder, rows, scoring):
    X, y = rows
    options = {"regs": [0.1], "path_tol": 1e-7, "scoring": scoring}
    found = sm.choose(sm.open_shards(folder), None, ["squared_hinge"], validation_fraction=0.3, **options)
    true = compare(X, y, ["squared_hinge"], cv=pairs(X, [0.3], 1), **options)
    assert found.folds == true.folds
    mine, its = found.paths[0].chosen, true.paths[0].chosen
    assert mine.score == pytest.approx(its.score, rel=1e-3)
    assert mine.standard_error == pytest.approx(its.standard_error, rel=1e-3)


def test_losses_are_tested_on_the_same_held_out_samples(folder, rows):
    X, y = rows
    options = {"regs": [0.03], "path_tol": 1e-8, "max_passes": 20_000}
    found = compare(sm.open_shards(folder), None, LOSSES[:2], cv=2, **options)
    true = compare(X, y, LOSSES[:2], cv=pairs(X, [0.5], 2), **options)
    [mine], [its] = found.tests, true.tests
    assert {mine.first, mine.second} == {its.first, its.second}
    different = (its.only_first, its.only_second) if mine.first == its.first else (its.only_second, its.only_first)
    assert mine.only_first == pytest.approx(different[0], abs=3)
    assert mine.only_second == pytest.approx(different[1], abs=3)
    assert min(mine.only_first, mine.only_second) > 0


def outcome(found):
    """Return all numbers of a comparison, without the seconds."""
    record = found.record()
    for path in record["paths"]:
        for point in path["points"]:
            del point["seconds"]
            for fold in point["folds"]:
                del fold["seconds"]
    del record["seconds"]
    return record


def test_the_selection_is_the_same_for_any_grouping_and_any_order_of_the_threads(folder, monkeypatch):
    shards = sm.open_shards(folder)

    def engine(group, delay=0.0):
        class Slow(InProcess):
            def run(self, task, *columns, **options):
                time.sleep(delay * threading.get_ident() % 7 * 1e-3)
                return super().run(task, *columns, **options)

        return lambda data, n: ChunkedEngine(data, Slow(), 1, group)

    options = {"regs": [1.0, 0.1], "cv": 3}
    outcomes = [
        outcome(compare(shards, None, LOSSES, engine=engine(*each), **options)) for each in [(1,), (8, 1.0)]
    ]
    assert outcomes[0] == outcomes[1]
    monkeypatch.setattr("softmargin.engines.chunked._CONCURRENT", 1)
    assert outcome(compare(shards, None, LOSSES, engine=engine(2), **options)) == outcomes[0]


def test_the_estimator_selects_and_fits(folder, rows):
    shards = sm.open_shards(folder)
    options = {"regs": [0.3, 0.01], "cv": 3, "random_state": 2, "class_weight": "balanced"}
    fitted = sm.LinearClassifierCV(LOSSES[:2], **options).fit(shards, None)
    chosen = compare(shards, None, LOSSES[:2], [0.3, 0.01], cv=3, seed=2, class_weight="balanced", max_passes=2000)
    assert outcome(fitted.path_) == outcome(chosen)
    assert fitted.n_splits_ == 3
    alone = sm.LinearClassifier(chosen.loss, reg=chosen.reg, class_weight="balanced").fit(shards, None)
    assert fitted.coef_.tobytes() == alone.coef_.tobytes()
    assert fitted.path_.recorded.class_weight == "balanced"
    assert fitted.predict_proba(rows[0][:5]).sum() == pytest.approx(5.0)


def test_class_weights_are_for_fitting_and_not_for_scoring(folder, rows):
    X, y = rows
    options = {"regs": [0.1], "path_tol": 1e-7, "class_weight": {0: 5.0, 2: 0.2}}
    found = compare(sm.open_shards(folder), None, ["cross_entropy"], cv=2, **options)
    true = compare(X, y, ["cross_entropy"], cv=pairs(X, [0.5], 2), **options)
    for mine, its in zip(found.paths[0].chosen.folds, true.paths[0].chosen.folds, strict=True):
        assert mine.value == pytest.approx(its.value, rel=3e-7)
        assert mine.validation_loss == pytest.approx(its.validation_loss, rel=1e-3)
        assert mine.validation_accuracy == pytest.approx(its.validation_accuracy, abs=2e-3)


def test_equal_rows_are_in_the_same_fold_however_many(tmp_path):
    X = np.repeat(np.eye(9, dtype=np.float32), 40, axis=0)
    y = (np.arange(360) % 5 < X.argmax(axis=1) / 2).astype(int)
    for name, part in (("a", slice(0, 200)), ("b", slice(200, 360))):
        np.save(tmp_path / f"{name}.npy", X[part])
        np.save(tmp_path / f"{name}_y.npy", y[part])
    found = compare(sm.open_shards(tmp_path), None, ["cross_entropy"], [0.1], cv=2)
    assert all(held_out % 40 == 0 for _, held_out in found.folds)
    assert sum(held_out for _, held_out in found.folds) == 360


def test_a_fold_that_lacks_a_class_or_samples_is_an_error(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.normal(size=(60, 3)))
    y = np.array(["often"] * 30 + ["too"] * 29 + ["rare"])
    np.save(tmp_path / "a_y.npy", y)
    message = r"Each fold must have training samples of each class, got none of class 'rare' in fold \d; remove"
    with pytest.raises(sm.DataError, match=message):
        compare(sm.open_shards(tmp_path), None, ["hinge"], cv=2)
    with pytest.raises(sm.DataError, match="Each fold must hold out a sample, got none for fold 0"):
        sm.choose(sm.open_shards(tmp_path), None, ["hinge"], validation_fraction=1e-9)


def test_what_shards_do_not_support_is_refused(folder):
    shards = sm.open_shards(folder)
    groups = np.arange(sum(SIZES))
    with pytest.raises(sm.ParameterError, match="cv must be a number of folds for data in shards, got"):
        compare(shards, None, ["hinge"], cv=[([0], [1])])
    with pytest.raises(
        sm.ParameterError, match=f"cv must be at most the number of samples, {sum(SIZES)}, got 100"
    ):
        compare(shards, None, ["hinge"], cv=10**9)
    with pytest.raises(CapabilityError, match="Data in shards do not support groups; use engine='cpu'"):
        compare(shards, None, ["hinge"], groups=groups)
    with pytest.raises(CapabilityError, match="Data in shards do not support keep_out_of_fold; use engine='cpu'"):
        sm.LinearClassifierCV(keep_out_of_fold=True).fit(shards, None)
    with pytest.raises(sm.ParameterError, match=r"scoring must be 'accuracy' or 'loss', got"):
        sm.LinearClassifierCV(scoring=lambda *_: 0.0).fit(shards, None)
    with pytest.raises(sm.ParameterError, match="y and sample_weight must be None for shards"):
        compare(shards, groups, ["hinge"])


def test_requests_that_come_during_a_reading_share_the_next_one():
    sizes, entered, go = [], threading.Event(), threading.Event()

    def read(requests):
        sizes.append(len(requests))
        entered.set()
        assert go.wait(10)
        if "fail" in requests:
            raise ValueError("a reading")
        return [10 * request for request in requests]

    readings, found = Readings(read), {}

    def ask(request):
        try:
            found[request] = readings.get([request])
        except ValueError as error:
            found[request] = str(error)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(5)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(readings._waiting) < 4:
        time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(10)
    assert sizes == [1, 4]
    assert found == {k: [10 * k] for k in range(5)}
    ask("fail")
    assert found["fail"] == "a reading"
    assert readings.get([1, 2]) == [10, 20]


def test_a_lost_cluster_ends_all_requests_at_once():
    n_readings, found, readings = 0, [], None

    def read(requests):
        nonlocal n_readings
        n_readings += 1
        while len(readings._waiting) < 3:
            time.sleep(0.001)
        raise ClusterError("lost")

    readings = Readings(read)

    def ask():
        with pytest.raises(ClusterError, match="lost") as caught:
            readings.get([0])
        found.append(caught)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (n_readings, len(found)) == (1, 4)


def test_ctrl_c_before_a_reading_does_not_block_the_next_one(monkeypatch):
    readings, found = Readings(lambda requests: requests), []

    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Readings, "_wait_for_others", interrupted)
        with pytest.raises(KeyboardInterrupt):
            readings.get([1])
    thread = threading.Thread(target=lambda: found.append(readings.get([2])), daemon=True)
    thread.start()
    thread.join(10)
    assert found == [[2]]


def test_folds_of_objectives_are_read_together(folder):
    engine = ChunkedEngine(sm.open_shards(folder), InProcess(), 1, 1)
    from softmargin.selection.search_shards import SearchShards

    search = SearchShards.divided(sm.open_shards(folder), 3, None, 0, lambda *_: engine, None)
    objective = sm.Objective(sm.CrossEntropy(), search.samples, None, 0.1, engine=lambda *_: search.engine)
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(3, 12, 4)), rng.normal(size=(3, 4))
    values, dW, db = objective.values_and_grads(W, b, folds=[0, 2, 1])
    for k, fold in enumerate([0, 2, 1]):
        value, G, g = objective.fold(fold).value_and_grad(W[k], b[k])
        assert (value, G.tobytes(), g.tobytes()) == (values[k], dW[k].tobytes(), db[k].tobytes())
    shape = objective.fold(1)._engine.shape
    assert shape.class_weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert shape.n_active == search.sizes[1][0]
    assert replace(shape, n_active=0).n_samples == sum(SIZES)
