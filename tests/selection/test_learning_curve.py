"""Learning curves: nested subsets, an independent route to each accuracy, invariances, λ."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin.errors import DataError, ParameterError
from softmargin.samples import Labelled
from softmargin.selection.curve_samples import Subsets, split
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("compiled")


def blobs(n=240, C=3, D=5, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % C
    y[y == C - 1] = rng.integers(0, C, np.count_nonzero(y == C - 1))  # classes of different sizes
    X = rng.normal(size=(n, D)) + 1.5 * np.eye(C, D)[y]
    return X.astype(dtype), np.array(["ant", "bee", "cow", "dog", "eel"])[y]


DATA, TEST = blobs(), blobs(150, seed=1)
SHOTS = [2, 5, 20, "all"]


def curve(X=DATA[0], y=DATA[1], X_test=TEST[0], y_test=TEST[1], **options):
    return sm.learning_curve(X, y, X_test, y_test, **({"reg": 0.01, "shots": SHOTS, "repeats": 4} | options))


def accuracies(found):
    return [[point.accuracies for point in one.points] for one in found.curves]


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_hinge", "hinge"])
@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_each_accuracy_is_that_of_a_fit_to_the_subset(loss, scaling):
    found = curve(loss=loss, scaling=scaling, tol=1e-6)
    labelled = Labelled.check(*DATA)
    subsets = Subsets.of(labelled, 0)
    for place, shots in enumerate([2, 5, 20, None]):
        point = found.curves[0].points[place]
        assert point.gap <= 1e-6
        assert len(point.accuracies) == (1 if shots is None else 4)
        for repeat, accuracy in enumerate(point.accuracies):
            rows = subsets.rows(repeat, shots)
            assert len(rows) == point.n_samples
            classifier = sm.LinearClassifier(loss, reg=0.01, scaling=scaling, tol=1e-6)
            expected = classifier.fit(DATA[0][rows], DATA[1][rows]).score(*TEST)
            assert accuracy == pytest.approx(expected, abs=1.01 / 150)  # a sample on a border may go either way


def test_subsets_are_nested_stratified_and_random():
    labelled = Labelled.check(*DATA)
    subsets = Subsets.of(labelled, 0)
    counts = np.bincount(labelled.y)
    firsts = []
    for repeat in range(6):
        before: set[int] = set()
        for shots in (1, 2, 7, 60, 10_000, None):
            rows = subsets.rows(repeat, shots)
            wanted = counts if shots is None else np.minimum(counts, shots)
            np.testing.assert_array_equal(np.bincount(labelled.y[rows], minlength=3), wanted)
            assert subsets.size(shots) == len(rows) == len(set(rows.tolist()))
            assert before <= set(rows.tolist())
            before = set(rows.tolist())
        firsts.append(tuple(subsets.rows(repeat, 2)))
    assert len(set(firsts)) == 6
    assert tuple(Subsets.of(labelled, 1).rows(0, 2)) != firsts[0]


def test_every_sample_is_drawn_equally_often():
    labelled = Labelled.check(*DATA)
    subsets = Subsets.of(labelled, 0)
    times = np.zeros(240)
    for repeat in range(600):
        times[subsets.rows(repeat, 20)] += 1
    for k, n in enumerate(np.bincount(labelled.y)):
        share = 20 / n
        error = np.sqrt(600 * share * (1 - share))
        assert np.abs(times[labelled.y == k] - 600 * share).max() < 4.5 * error


@pytest.mark.parametrize("tested", [True, False])
def test_the_order_of_rows_and_the_threads_do_not_change_a_bit(tested):
    held = TEST if tested else (None, None)
    options = {"shots": [3, "all"], "loss": ["cross_entropy", "hinge"], "reg": "auto"}
    first = curve(*DATA, *held, **options, n_threads=1)
    order = np.random.default_rng(3).permutation(240)
    for changed in ({"n_threads": 2}, {"n_threads": 4}):
        second = curve(DATA[0][order], DATA[1][order], *held, **options, **changed)
        for one, other in zip(first.curves, second.curves, strict=True):
            for a, b in zip(one.points, other.points, strict=True):
                assert (a.accuracies, a.gap, a.reg, a.n_passes) == (b.accuracies, b.gap, b.reg, b.n_passes)


def test_names_of_classes_sparse_rows_and_types_do_not_matter():
    X = np.where(np.abs(DATA[0]) > 1.0, np.round(DATA[0], 1), 0.0).astype(np.float32)
    test = TEST[0].astype(np.float32)
    options = {"shots": [2, 10], "tol": 1e-6}
    first = accuracies(curve(X, DATA[1], test, TEST[1], **options))
    numbers = {"ant": 3, "bee": 7, "cow": 11}
    renamed = [np.array([numbers[name] for name in y]) for y in (DATA[1], TEST[1])]
    assert accuracies(curve(X, renamed[0], test, renamed[1], **options)) == first
    sparse = accuracies(curve(csr_array(X), DATA[1], csr_array(test), TEST[1], **options))
    np.testing.assert_allclose(np.ravel(sparse), np.ravel(first), atol=1.01 / 150)


def test_the_held_out_fifth_is_in_no_subset():
    found = curve(X_test=None, y_test=None)
    assert found.held_out
    assert (found.n_training, found.n_test) == (240 - found.n_test, pytest.approx(48, abs=3))
    assert found.curves[0].points[-1].n_samples == found.n_training
    # A label that only its own sample could teach: with noise as labels, a learner cannot beat chance.
    rng = np.random.default_rng(0)
    noise = curve(rng.normal(size=(400, 300)), rng.integers(0, 2, 400), None, None, shots=["all"])
    assert noise.curves[0].points[0].mean < 0.68


def test_groups_are_never_on_both_sides_of_the_held_out_fifth():
    # Nearly equal samples per patient, and labels that depend on the patient alone: only a leak beats chance.
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 8)
    X = rng.normal(size=(60, 40))[patients] + 0.01 * rng.normal(size=(480, 40))
    y = rng.permutation(np.arange(60) % 2)[patients]
    options = {"shots": [4, "all"], "repeats": 2, "scaling": "none"}
    leaking = curve(X, y, None, None, **options, reg=1e-4)
    honest = curve(X, y, None, None, groups=patients, **options, reg=1e-4)
    assert leaking.curves[0].points[-1].mean == 1.0
    assert honest.curves[0].points[-1].mean < 0.8
    assert (leaking.n_groups, honest.n_groups) == (None, 60)
    assert honest.n_test == pytest.approx(96, abs=16)
    labelled = Labelled.check(X, y)
    training, test, kept = split(labelled, None, None, 0, patients)
    held = {tuple(row) for row in test.X}
    outside = np.array([tuple(row) in held for row in X])
    assert outside.sum() == len(test.labels) == 480 - len(training.y)
    assert not set(patients[outside]) & set(kept)
    # λ is selected with the groups that remain, on the same samples as `choose` would.
    chosen = curve(X, y, None, None, groups=patients, **options, reg="auto").curves[0].points[-1].reg
    assert chosen == sm.choose(training, training.labels, ["cross_entropy"], groups=kept, scaling="none").reg
    order = rng.permutation(480)
    again = curve(X[order], y[order], None, None, groups=patients[order].astype(str), **options, reg=1e-4)
    assert accuracies(again) == accuracies(honest)


def test_lambda_is_fixed_or_has_the_same_C_for_all_subsets():
    fixed = curve(reg=0.03)
    assert not fixed.selected
    assert {point.reg for point in fixed.curves[0].points} == {0.03}
    found = curve(reg="auto", loss=["cross_entropy", "squared_hinge"])
    assert found.selected
    for one, loss in zip(found.curves, ["cross_entropy", "squared_hinge"], strict=True):
        products = [point.reg * point.n_samples for point in one.points]
        assert products == pytest.approx([products[-1]] * len(products))
        chosen = sm.choose(*DATA, [loss])
        assert one.points[-1].reg == pytest.approx(chosen.reg)
    other = curve(X_test=TEST[0][:30], y_test=TEST[1][:30], reg="auto")
    assert other.curves[0].points[-1].reg == found.curves[0].points[-1].reg  # test samples do not choose


def test_more_samples_are_better_and_the_band_holds_the_mean():
    found = curve()
    means = [point.mean for point in found.curves[0].points]
    assert means[0] < means[-1]
    for point in found.curves[0].points:
        low, high = point.band
        assert min(point.accuracies) <= low <= high <= max(point.accuracies)
        assert point.mean == pytest.approx(np.mean(point.accuracies))
        if len(point.accuracies) > 1:
            assert point.standard_error == pytest.approx(np.std(point.accuracies, ddof=1) / 2.0)


def test_shots_beyond_the_largest_class_are_all_samples():
    found = curve(shots=["all", 500, 2, 2])
    assert [point.name for point in found.curves[0].points] == ["2", "500", "all"]
    *_, many, every = found.curves[0].points
    assert many.accuracies == every.accuracies
    assert many.n_samples == every.n_samples == 240


def test_normalized_rows_are_those_of_unit_length():
    unit = [X / np.linalg.norm(X, axis=1, keepdims=True) for X in (DATA[0], TEST[0])]
    options = {"tol": 1e-6, "reg": 1e-3, "shots": ["all"]}
    first = accuracies(curve(normalize_rows=True, **options))
    assert first == accuracies(curve(unit[0], DATA[1], unit[1], TEST[1], **options))
    assert first != accuracies(curve(**options))


def test_labels_that_are_only_in_the_test_set_are_errors():
    y = TEST[1].copy()
    y[:15] = "yak"
    before = [point.mean for point in curve(X_test=TEST[0][15:], y_test=y[15:]).curves[0].points]
    after = [point.mean for point in curve(y_test=y).curves[0].points]
    assert after == pytest.approx([0.9 * mean for mean in before])


def test_the_record_is_json_and_steps_are_reported():
    seen = set()
    found = curve(reg="auto", callback=lambda what, repeat, step: seen.add((what, repeat)))
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["curves"][0]["points"][0]["shots"] == "2"
    assert record["curves"][0]["points"][-1]["standard_error"] is None  # a single fit
    assert len(record["curves"][0]["points"][0]["accuracies"]) == 4
    assert {("2 shots", 0), ("2 shots", 3), ("all samples", 0)} <= seen
    assert ("all samples", 1) not in seen
    assert {what for what, _ in seen} >= {"cross_entropy, λ"}


def test_ctrl_c_stops():
    def stop(what, repeat, step):
        raise KeyboardInterrupt

    for threads in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            curve(callback=stop, n_threads=threads)


REFUSED = {
    "no shots": ({"shots": []}, "shots must be a list", "got []"),
    "a number": ({"shots": 5}, "shots must be a list", "got 5"),
    "a word": ({"shots": "all"}, "shots must be a list", "got 'all'"),
    "zero": ({"shots": [0, 1]}, "shots must be an integer ≥ 1", "got 0"),
    "a fraction": ({"shots": [0.5]}, "shots must be an integer ≥ 1", "got 0.5"),
    "many": ({"shots": ["many"]}, "shots must be an integer ≥ 1", "got 'many'"),
    "no repeats": ({"repeats": 0}, "repeats must be an integer ≥ 1"),
    "seed": ({"seed": -1}, "seed must be an integer ≥ 0"),
    "no reg": ({"reg": 0}, "reg must be positive, got 0"),
    "reg": ({"reg": "best"}, "reg must be a number, got 'best'"),
    "loss": ({"loss": "mse"}, "loss must be one of", "'mse'"),
    "no losses": ({"loss": []}, "at least one loss"),
    "half a test": ({"y_test": None}, "X_test and y_test must be given together"),
    "scaling": ({"scaling": "log"}, "scaling must be one of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused(name):
    options, *words = REFUSED[name]
    refused(lambda: curve(**options), *words, error=ParameterError)


REFUSED_DATA = {
    "columns": ({"X_test": TEST[0][:, :4]}, "X_test must have 5 features like X, got 4"),
    "labels": ({"y_test": TEST[1][:9]}, "y must hold 150 labels"),
    "other labels": ({"y_test": np.full(150, "yak")}, "y_test must hold at least one label of y"),
    "NaN": ({"X_test": np.full((150, 5), np.nan)}, "NaN in row 0, column 0"),
    "one class": ({"y": np.full(240, "ant")}, "at least two classes"),
    "groups": ({"groups": np.arange(239)}, "groups must have shape (240,), got (239,)"),
    "one group": ({"groups": np.zeros(240), "X_test": None, "y_test": None}, "in two groups, got none"),
    "weights": (
        {"X": Labelled.check(*DATA, np.arange(240) % 2 + 1.0)},
        "Samples of a learning curve must all have weight 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED_DATA)
def test_invalid_data_are_refused(name):
    options, *words = REFUSED_DATA[name]
    refused(lambda: curve(**options), *words, error=DataError)
