"""Several feature sets of the same samples: the same folds for all, and McNemar's test between them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.model_selection import RepeatedStratifiedKFold

import softmargin as sm
from softmargin.errors import DataError, ParameterError
from softmargin.samples import Labelled
from softmargin.selection import Comparison, choose_features, compare_features, content_hashes, make_folds
from softmargin.statistics import mcnemar

REGS = [0.1, 0.01]
TIGHT = 1e-9
"""Gap at which two solvers classify every sample of these data alike."""


def samples_of(n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return "pictures", labels and weights: some pictures occur twice, and some samples have no weight."""
    rng = np.random.default_rng(22)
    codes = rng.integers(0, 3, n)
    pictures = (40.0 * rng.normal(size=(3, 6))[codes] + 60.0 * rng.normal(size=(n, 6)) + 128.0).astype(np.int16)
    pictures[:20], codes[:20] = pictures[20:40], codes[20:40]
    weights = rng.choice([0.5, 1.0, 2.0], n)
    weights[::17] = 0.0
    return pictures, np.array(["cat", "dog", "owl"])[codes], weights


def views(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Return three feature sets: few columns, many columns, and few that are stored sparse."""
    rng = np.random.default_rng(1)
    first = (pictures[:, :4] / 100.0).astype(np.float32)
    many = np.maximum((pictures / 100.0 - 1.28) @ rng.normal(size=(6, 25)), 0.0)
    return {"crop": first, "random:25": many, "sparse": csr_array(np.maximum(pictures[:, 2:] / 100.0 - 1.0, 0.0))}


def sets_of(order=slice(None)) -> dict[str, Labelled]:
    pictures, labels, weights = (values[order] for values in samples_of())
    return {name: Labelled.check(X, labels, weights, keys=pictures) for name, X in views(pictures).items()}


@pytest.fixture(scope="module")
def found():
    return compare_features(sets_of(), ["cross_entropy", "hinge"], REGS, cv=4, path_tol=TIGHT)


def untimed(record):
    """Return a record without wall times."""
    if isinstance(record, dict):
        return {name: untimed(value) for name, value in record.items() if name != "seconds"}
    return [untimed(value) for value in record] if isinstance(record, list) else record


def counts_of(found):
    return {test.second: (test.only_first, test.only_second) for test in found.choice.tests}


# -- folds ---------------------------------------------------------------------------------------------------


def test_the_folds_are_those_of_the_keys(monkeypatch):
    seen = []
    real = compare_features.__globals__["cross_validate"]

    def spy(search, *arguments, **options):
        held_out = []
        for fold in search.samples.folds:
            rows = np.zeros(len(search.labels), bool)
            rows[fold.validation] = True
            held_out.append(np.flatnonzero(rows[search.places] & (search.places >= 0)).tolist())
        seen.append(held_out)
        return real(search, *arguments, **options)

    monkeypatch.setitem(compare_features.__globals__, "cross_validate", spy)
    compare_features(sets_of(), ["cross_entropy"], [0.1], cv=4)
    pictures, labels, weights = samples_of()
    folds = make_folds(4, Labelled.check(pictures, labels, weights), content_hashes(pictures))
    assert seen == [[fold.validation.tolist() for fold in folds]] * 3
    assert len({tuple(map(tuple, held_out)) for held_out in seen}) == 1


@pytest.mark.parametrize("name", ["crop", "random:25", "sparse"])
def test_each_set_is_compared_as_it_would_be_alone(found, name):
    alone = sm.compare(sets_of()[name], None, ["cross_entropy", "hinge"], REGS, cv=4, path_tol=TIGHT)
    assert untimed(found.comparisons[name].record()) == untimed(alone.record())
    quick = choose_features(sets_of(), ["hinge"], REGS).comparisons[name]
    assert untimed(quick.record()) == untimed(sm.choose(sets_of()[name], None, ["hinge"], REGS).record())


def test_keys_decide_the_folds_of_the_estimator():
    pictures, labels, weights = samples_of()
    crop = sets_of()["crop"]
    options = {"regs": REGS, "cv": 4, "random_state": 3}
    by_key = sm.LinearClassifierCV(["hinge"], **options).fit(crop, labels)
    folds = [
        tuple(f) for f in make_folds(4, Labelled.check(pictures, labels, weights), content_hashes(pictures, 3))
    ]
    by_hand = sm.LinearClassifierCV(["hinge"], **options | {"cv": folds}).fit(crop.X, labels, weights)
    by_row = sm.LinearClassifierCV(["hinge"], **options).fit(crop.X, labels, weights)
    assert by_key.path_.folds == by_hand.path_.folds
    assert by_key.best_score_ == pytest.approx(by_hand.best_score_, abs=1e-12)
    assert by_key.best_score_ != by_row.best_score_


def test_unit_rows_keep_the_keys():
    crop = sets_of()["crop"]
    assert crop.with_unit_rows().keys is crop.keys
    assert crop.identity is crop.keys
    assert replace(crop, keys=None).identity is crop.X


@pytest.mark.parametrize(
    ("keys", "got"),
    [
        (np.zeros((239, 2)), r"dtype float64 and shape \(239, 2\)"),
        (np.zeros(240), r"shape \(240,\)"),
        (np.full((240, 1), "a"), "dtype <U1"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys, got):
    pictures, labels, _ = samples_of()
    with pytest.raises(DataError, match=r"keys must hold one row of numbers per row of X \(240\), got .*" + got):
        Labelled.check(pictures, labels, keys=keys)


# -- McNemar's test ------------------------------------------------------------------------------------------


def brute_force(found, cv):
    """Fit every fold anew, and count the samples that only one of two feature sets classifies correctly."""
    pictures, labels, weights = samples_of()
    folds = make_folds(cv, Labelled.check(pictures, labels, weights), content_hashes(pictures))
    right = {}
    for name, X in views(pictures).items():
        comparison, right[name] = found.comparisons[name], np.zeros(len(labels), bool)
        seen = np.zeros(len(labels), bool)
        for training, held_out in folds:
            fitted = sm.LinearClassifier(comparison.loss, reg=comparison.reg, tol=TIGHT)
            fitted.fit(X[training], labels[training], weights[training])
            for row in held_out[~seen[held_out]]:
                right[name][row] = fitted.predict(X[[row]])[0] == labels[row]
            seen[held_out] = True
    own = right[found.selected]
    return {
        name: (int((own & ~other).sum()), int((other & ~own).sum()))
        for name, other in right.items()
        if name != found.selected
    }


# All sets are copied into the order of their keys, none is, or only those of few bytes are.
@pytest.mark.parametrize("copied", [1 << 27, 0, 5000])
@pytest.mark.parametrize("cv", [4, RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)], ids=type)
def test_the_counts_are_those_of_fits_made_by_hand(monkeypatch, copied, cv):
    monkeypatch.setattr("softmargin.selection.search_samples._COPIED", copied)
    found = compare_features(sets_of(), ["cross_entropy", "hinge"], REGS, cv=cv, path_tol=TIGHT)
    counts = counts_of(found)
    assert counts == brute_force(found, cv)
    assert sum(map(sum, counts.values())) > 30  # the sets do differ
    for test in found.choice.tests:
        assert test.first == found.selected
        assert test.p_value == mcnemar(test.only_first, test.only_second)
        means = [found.comparisons[name].chosen_path.chosen for name in (test.first, test.second)]
        assert test.difference == pytest.approx(means[0].validation_accuracy - means[1].validation_accuracy)


def test_the_limit_of_5000_bytes_divides_the_sets():
    sizes = [
        X.data.nbytes + X.indices.nbytes if isinstance(X, csr_array) else X.nbytes
        for X in views(samples_of()[0]).values()
    ]
    assert min(sizes) < 5000 < max(sizes)


@pytest.mark.parametrize("copied", [1 << 27, 5000])
def test_the_order_of_the_samples_changes_nothing(monkeypatch, found, copied):
    monkeypatch.setattr("softmargin.selection.search_samples._COPIED", copied)
    order = np.random.default_rng(5).permutation(240)
    other = compare_features(sets_of(order), ["cross_entropy", "hinge"], REGS, cv=4, path_tol=TIGHT)
    assert (other.selected, counts_of(other)) == (found.selected, counts_of(found))
    assert (other.comparison.loss, other.comparison.reg) == (found.comparison.loss, found.comparison.reg)
    if copied > 5000:
        assert untimed(other.record()) == untimed(found.record())


def test_the_counts_do_not_need_the_calibration():
    """Without it the predictions are made when they are asked for, at a λ that is not the best."""
    options = {"cv": 4, "rule": "one_se"}
    regs = [1.0, 0.3, 0.1, 0.03, 0.01]
    one, two = (
        compare_features(sets_of(), ["hinge"], regs, calibrate=calibrate, **options) for calibrate in (True, False)
    )
    assert any(path.one_se != path.best for c in one.comparisons.values() for path in c.paths)
    assert counts_of(one) == counts_of(two)


# -- selection and records -----------------------------------------------------------------------------------


def test_the_best_set_is_selected_and_the_first_of_equal_ones(found):
    accuracies = {one.name: one.accuracy for one in found.choice.sets}
    assert found.selected == max(accuracies, key=lambda name: accuracies[name])
    best = sets_of()[found.selected]
    twins = compare_features({"b": best, "a": best}, ["hinge"], REGS, cv=4)
    assert twins.selected == "b"
    assert counts_of(twins) == {"a": (0, 0)}
    reason = twins.comparison.reason()
    assert "b has the same accuracy as a, and was listed first." in reason
    assert "b and a are not significantly different: they classify the same held-out samples correctly." in reason


def test_the_record_of_each_set_is_that_of_its_comparison(found):
    for one in found.choice.sets:
        comparison = found.comparisons[one.name]
        point = comparison.chosen_path.chosen
        assert (one.loss, one.reg, one.seconds) == (comparison.loss.name, comparison.reg, comparison.seconds)
        assert (one.accuracy, one.standard_error) == (point.validation_accuracy, comparison.accuracy_error(point))
        assert one.accuracies == {p.loss.name: p.chosen.validation_accuracy for p in comparison.paths}
        assert one.n_features == sets_of()[one.name].X.shape[1]


def test_the_standard_error_is_that_of_the_accuracy_for_every_scoring(found):
    by_loss = compare_features(sets_of(), ["cross_entropy"], [0.1], cv=4, scoring="loss", path_tol=TIGHT)
    by_accuracy = compare_features(sets_of(), ["cross_entropy"], [0.1], cv=4, path_tol=TIGHT)
    for one, other in zip(by_loss.choice.sets, by_accuracy.choice.sets, strict=True):
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-12)
    assert "the features were compared by accuracy." in by_loss.comparison.reason()


def test_the_record_survives_json(found):
    record = json.loads(json.dumps(found.comparison.record(), allow_nan=False))
    assert Comparison.from_record(record) == found.comparison
    assert record["features"]["selected"] == found.selected
    assert record["features"]["tests"][0]["sentence"] == found.choice.tests[0].sentence()
    whole = json.loads(json.dumps(found.record(), allow_nan=False))
    assert list(whole["comparisons"]) == [one["name"] for one in whole["sets"]] == list(sets_of())
    del record["features"]  # as older models store it
    assert Comparison.from_record(record) == found.comparisons[found.selected]
    with pytest.raises(DataError, match="selection must be the record of a Comparison"):
        Comparison.from_record({**record, "features": {"selected": "crop"}})


def test_a_model_keeps_the_choice_and_its_temperature(tmp_path):
    found = choose_features(sets_of(), ["hinge"], REGS)
    choice, samples = found.comparison, sets_of()[found.selected]
    classifier = sm.LinearClassifier(choice.loss, reg=choice.reg).fit(samples, samples.labels)
    data = sm.Dataset(samples.X, samples.labels, "pictures")
    model = classifier.to_model(data, choice=choice)
    model.save(tmp_path / "m.safetensors")
    loaded = sm.load_model(tmp_path / "m.safetensors")
    assert loaded.temperature == choice.chosen_path.calibration.temperature
    again = Comparison.from_record(loaded.selection).features
    assert [(test.first, test.second, test.p_value) for test in again.tests] == [
        (test.first, test.second, test.p_value) for test in found.choice.tests
    ]
    assert again.sets == found.choice.sets


def test_the_sentences_say_what_was_selected(found):
    sentences = found.comparison.sentences()
    selected, loss = found.selected, found.comparison.loss.name
    assert sentences[0].startswith(f"Selected: features {selected} and {loss} with reg ")
    others = ", ".join(f"{one.name} {one.accuracy:.4f}" for one in found.choice.sets if one.name != selected)
    assert sentences[1] == f"Held-out accuracy of the other features: {others}."
    assert sentences[2:4] == [test.sentence() for test in found.choice.tests]
    assert f" of the other loss on {selected}: " in sentences[4]
    assert "features" not in found.comparisons[selected].reason()


def test_scaling_may_differ_by_set():
    sets = {name: X for name, X in sets_of().items() if name != "sparse"}
    scaling = {"crop": "standard", "random:25": "none"}
    found = compare_features(sets, ["hinge"], REGS, cv=4, scaling=scaling)
    for name, samples in sets.items():
        alone = sm.compare(samples, None, ["hinge"], REGS, cv=4, scaling=scaling[name])
        assert untimed(found.comparisons[name].record()) == untimed(alone.record())
    with pytest.raises(ParameterError, match="scaling must name each feature set, got none for 'random:25'"):
        compare_features(sets, ["hinge"], REGS, scaling={"crop": "none"})


def test_the_callback_receives_the_name_of_the_set():
    seen = []
    compare_features(sets_of(), ["hinge"], [0.1], cv=4, callback=lambda *step: seen.append(step))
    assert list(dict.fromkeys(name for name, *_ in seen)) == list(sets_of())
    assert {(loss, reg, fold) for _, loss, reg, fold, _ in seen} == {(sm.Hinge(), 0.1, k) for k in range(4)}


# -- refusals ------------------------------------------------------------------------------------------------


def changed(part, row, value):
    """Return two sets, the second of which has another value in one row."""
    pictures, labels, weights = (values.copy() for values in samples_of())
    first = Labelled.check(pictures, labels, weights, keys=pictures)
    parts = {"labels": labels.astype("<U5"), "weights": weights, "keys": pictures.copy()}
    parts[part][row] = value
    return {"a": first, "b": Labelled.check(pictures, parts["labels"], parts["weights"], keys=parts["keys"])}


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (changed("labels", 7, "mouse"), "must have equal labels, got '.*' and 'mouse' in row 7 of 'a' and 'b'"),
        (changed("weights", 1, 0.25), r"must have equal weights, got .* and 0.125 in row 1 of 'a' and 'b'"),
        (changed("keys", 100, 1), "must have equal keys, .* different ones in row 100 of 'a' and 'b'"),
        (
            {"a": Labelled.check(np.eye(4), [0, 1] * 2), "b": Labelled.check(np.eye(4), ["x", "y"] * 2)},
            "must have equal labels, got 0 and 'x' in row 0",
        ),
        (
            {"a": Labelled.check(np.eye(4), [0, 1] * 2), "b": Labelled.check(np.eye(6), [0, 1] * 3)},
            "must hold the same samples, got 4 and 6 for 'a' and 'b'",
        ),
        (
            {"a": Labelled.check(np.eye(4), [0, 1] * 2), "b": Labelled.check(2 * np.eye(4), [0, 1] * 2)},
            "must have equal keys, from which the folds are made, got different ones in row 0",
        ),
    ],
)
@pytest.mark.parametrize("function", [compare_features, choose_features])
def test_sets_of_other_samples_are_refused(function, sets, words, monkeypatch):
    monkeypatch.setitem(compare_features.__globals__, "cross_validate", None)  # before anything is fitted
    with pytest.raises(DataError, match=words) as error:
        function(sets, ["hinge"])
    assert str(error.value).startswith("Feature sets must ")
    assert "\n" not in str(error.value)


def test_arguments_are_checked():
    with pytest.raises(ParameterError, match="sets must hold at least one feature set, got none"):
        compare_features({}, ["hinge"])
    with pytest.raises(ParameterError, match="scoring must be 'accuracy' or 'loss', got"):
        compare_features(sets_of(), ["hinge"], scoring=len)
    with pytest.raises(ParameterError, match="validation_fraction must be between 0 and 1, got"):
        choose_features(sets_of(), ["hinge"], validation_fraction=1.5)
    with pytest.raises(ParameterError, match="seed must be"):
        choose_features(sets_of(), ["hinge"], seed=-1)
    with pytest.raises(ParameterError, match="callback must be callable, got 5"):
        choose_features(sets_of(), ["hinge"], callback=5)
