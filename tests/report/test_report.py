"""The record of a report against the library and against plain loops; figures, text and the command line."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.metrics import confusion_matrix

import softmargin as sm
from softmargin.data import Dataset
from softmargin.preprocessing import unit_rows
from softmargin.report import draw_figures, fill_report, page, refit, summary
from softmargin.report.fill.errors import joined
from softmargin.report.wording import percent, short
from softmargin.statistics import mcnemar, standard_error
from tests.support.command_line import run
from tests.support.hostile import Tags, hostile_report
from tests.support.models import wide_model

LOSSES = ("hinge", "squared_hinge", "cross_entropy")
each_loss = pytest.mark.parametrize("loss", LOSSES)


def close(first, second) -> bool:
    """Tell whether two records are the same but for rounding."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(close, first, second))
    return first == (pytest.approx(second, rel=1e-9, abs=1e-9) if isinstance(first, float) else second)


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


# -- the record is what the library says ---------------------------------------------------------------------


@each_loss
def test_headline_and_certificate(loss, models, reports, digits):
    model, report = models[loss], reports[loss]
    X, y = digits.test.X, digits.test.y
    right = model.predict(X) == y
    head = report.headline
    assert head.accuracy.value == right.mean()
    assert (head.accuracy.n_correct, head.accuracy.n) == (right.sum(), len(y))
    for end in (head.accuracy.low, head.accuracy.high):  # where the observed share is 1.96 standard errors away
        assert abs(end - right.mean()) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / len(y)), rel=1e-6)
    assert [share.value for share in head.recalls] == [right[y == k].mean() for k in range(10)]
    assert head.mean_loss == pytest.approx(model.loss.values(model.scores(X), y).mean(), rel=1e-12)
    objective = sm.Objective(model.loss, digits.X, digits.y, reg=0.0)
    assert head.data_loss == pytest.approx(objective.value(model.W, model.b), rel=1e-9)
    assert head.penalty == pytest.approx(model.reg * (model.W**2).sum(), rel=1e-12)
    assert head.training_accuracy == (model.predict(digits.X) == digits.y).mean()
    means = np.array([digits.X[digits.y == k].mean(axis=0) for k in range(10)])
    nearest = (cdist(X, means).argmin(axis=1) == y).mean()
    assert [b.name for b in head.baselines] == ["most frequent class", "nearest centroid"]
    assert head.baselines[1].share.value == pytest.approx(nearest)
    assert head.baselines[0].share.value == (y == np.bincount(digits.y).argmax()).mean()
    found = report.certificate
    for name in ("value", "lower_bound", "gap", "tol", "converged", "n_passes", "seconds"):
        assert getattr(found, name) == getattr(model, name)
    assert report.origin.fingerprint == digits.test.fingerprint()
    assert head.warnings == ()


def test_the_answers(models, reports, digits):
    report = reports["hinge"]
    wrong = np.array(report.confusion.counts)
    np.fill_diagonal(wrong, 0)
    both = wrong + wrong.T
    *_, (_, confused), (_, largest) = report.headline.answers
    a, b, times, _, _, there, _, _, back = map(int, re.findall(r"\d+", confused))
    assert (times, there, back) == (both.max(), wrong[a, b], wrong[b, a])
    assert there + back == times
    assert largest.startswith(report.samples[report.worst[0]].name)
    # Without errors there is still a sample of largest loss.
    model = models["hinge"]
    found = model.predict(digits.test.X) == digits.test.y
    perfect = fill_report(model, replace(digits.test, X=digits.test.X[found], y=digits.test.y[found]))
    *_, (_, nothing), (_, largest) = perfect.headline.answers
    assert nothing == "None: every sample is classified correctly."
    assert largest.startswith(perfect.samples[perfect.worst[0]].name)


@each_loss
def test_samples_and_their_terms(loss, models, reports, digits):
    model, report = models[loss], reports[loss]
    X, y = digits.test.X, digits.test.y
    scores = model.scores(X)
    losses = model.loss.values(scores, y)
    assert [report.samples[i].row for i in report.worst] == np.argsort(-losses, kind="stable")[:24].tolist()
    for sample in report.samples:
        s, true = scores[sample.row], y[sample.row]
        assert (sample.label, sample.predicted) == (true, s.argmax())
        assert sample.loss == losses[sample.row]
        assert sample.margin == pytest.approx(s[true] - np.delete(s, true).max(), abs=1e-12)
        terms = {term.label: term for term in sample.terms}
        assert all(term.score == s[k] for k, term in terms.items())
        if loss == "cross_entropy":
            assert sum(t.value for t in terms.values()) + sample.rest == pytest.approx(1.0)
            assert -math.log(terms[true].value) == pytest.approx(sample.loss, rel=1e-6, abs=1e-12)
        else:
            power = 2 if loss == "squared_hinge" else 1
            for k, term in terms.items():
                assert term.value == pytest.approx((k != true) * max(0.0, s[k] - s[true] + 1.0) ** power)
            assert sum(t.value for t in terms.values()) + sample.rest == pytest.approx(sample.loss)


def test_classes_that_are_confused_are_neighbours():
    alike, pairs = np.zeros((7, 7)), [(0, 4), (2, 6), (1, 5)]
    for k, (a, b) in enumerate(pairs):
        alike[a, b] = alike[b, a] = 0.3 - 0.1 * k
    alike[4, 6] = alike[6, 4] = 0.05  # the ends at which two pairs meet
    order = joined(alike)
    assert sorted(order) == list(range(7))
    for a, b in [*pairs, (4, 6)]:
        assert abs(order.index(a) - order.index(b)) == 1


@each_loss
def test_confusion_and_margins(loss, models, reports, digits):
    model, report = models[loss], reports[loss]
    X, y = digits.test.X, digits.test.y
    predicted = model.predict(X)
    expected = confusion_matrix(y, predicted)
    confusion = report.confusion
    assert np.array_equal(confusion.counts, expected)
    off = expected - np.diag(np.diag(expected))
    assert confusion.pairs[0][2] == off.max()
    assert all(off[a, b] == n and off[b, a] == back for a, b, n, back in confusion.pairs)
    for order in confusion.orders.values():
        assert sorted(order) == list(range(10))
    for cell, numbers in confusion.cells.items():
        a, b = map(int, cell.split(","))
        assert {(report.samples[i].label, report.samples[i].predicted) for i in numbers} == {(a, b)}
        assert len(numbers) == min(expected[a, b], 6 if a == b else 12)
        kept = [report.samples[i].loss for i in numbers]
        assert kept == sorted(kept, reverse=True)
    assert len(confusion.cells) == (expected > 0).sum()

    margins, scores = report.margins, model.scores(X)
    own = scores[np.arange(len(y)), y]
    scores[np.arange(len(y)), y] = -np.inf
    values = own - scores.max(axis=1)
    edges = np.array(margins.edges)
    assert np.array_equal(np.sum(margins.counts, axis=1), np.bincount(y))
    assert 0.0 in edges.round(12)
    inner = np.array(margins.counts).sum(axis=0)[1:-1]
    assert np.array_equal(inner, np.histogram(values, edges[1:-1])[0])
    assert margins.all_wrong == (predicted != y).mean()
    assert margins.delta == (None if loss == "cross_entropy" else 1.0)
    if margins.delta:
        assert margins.all_inside == (values < 1.0).mean()
        assert margins.inside[3] == pytest.approx((values[y == 3] < 1.0).mean())


@each_loss
def test_weights(loss, models, reports, digits):
    model, looks, report = models[loss], reports[loss].weights, reports[loss]
    assert np.array_equal(floats(looks.pictures).reshape(10, 64), model.W.T.astype(np.float32))
    scores = model.scores(digits.test.X)
    for entry in looks.pixels:
        sample = report.samples[entry.sample]
        for text, k in ((entry.own, sample.label), (entry.other, entry.rival)):
            assert floats(text).sum() + model.b[k] == pytest.approx(scores[sample.row, k], rel=1e-5, abs=1e-5)
    for k, numbers in enumerate(looks.top):
        kept = [report.samples[i].row for i in numbers]
        assert kept == np.argsort(-scores[:, k], kind="stable")[:6].tolist()
    W = model.W - model.W.mean(axis=1, keepdims=True)
    assert np.allclose(looks.norms, np.linalg.norm(W, axis=0), rtol=1e-12)
    assert looks.cosines[2][7] == pytest.approx(W[:, 2] @ W[:, 7] / (looks.norms[2] * looks.norms[7]))
    assert looks.sizes == tuple(np.bincount(digits.y))


@each_loss
def test_calibration(loss, models, reports, digits):
    trust = reports[loss].calibration
    y = digits.test.y
    scores, temperature = models[loss].scores(digits.test.X), models[loss].temperature
    p = sm.softmax(scores / (temperature or 1.0))  # the search may have fitted one to the hinges
    right = p.argmax(axis=1) == y
    error = 0.0
    for k in range(15):
        inside = [
            i for i in range(len(y)) if k / 15 <= p[i].max() < (k + 1) / 15 or (k == 14 and p[i].max() == 1.0)
        ]
        if inside:
            error += abs(sum(p[i].max() for i in inside) - sum(right[i] for i in inside)) / len(y)
    assert trust.before.ece == pytest.approx(error, abs=1e-12)
    assert trust.before.mean_loss == pytest.approx(
        sm.CrossEntropy().values(scores / (temperature or 1.0), y).mean()
    )
    assert sum(b.n for b in trust.after.bins) == len(y)
    if loss != "cross_entropy":  # margins of about 1 are far too unsure as logarithms of odds
        assert max(trust.temperatures) < 0.7
        assert trust.after.mean_loss < sm.CrossEntropy().values(scores, y).mean()
    assert trust.temperature == temperature
    assert trust.probabilistic == (loss == "cross_entropy")
    assert trust.coverage[-1] == 1.0
    assert trust.risk[-1] == pytest.approx(1 - right.mean())
    sure = np.sort(scores, axis=1)
    lead = sure[:, -1] - sure[:, -2] if temperature is None else p.max(axis=1)
    half = np.argsort(-lead, kind="stable")
    n = round(trust.coverage[40] * len(y))
    assert trust.risk[40] == pytest.approx(1 - right[half[:n]].mean())


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(2.0)])
def test_the_temperature_of_cross_validation_gives_the_probabilities(loss, digits):
    few = replace(digits, X=digits.X[:400], y=digits.y[:400])
    found = sm.compare(few.X, few.y, [loss], [0.1, 0.01], cv=3)
    fitted = sm.LinearClassifier(loss, reg=found.reg, tol=1e-2).fit(few.X, few.y)
    model = fitted.to_model(few, choice=found)
    assert model.temperature not in (None, 1.0)
    report = fill_report(model, digits.test)
    trust, X, y = report.calibration, digits.test.X, digits.test.y
    P = model.predict_proba(X)
    assert (trust.temperature, trust.probabilistic) == (model.temperature, False)
    assert report.record()["calibration"]["temperature"] == model.temperature
    evaluated = sm.evaluate(model, X, y)
    assert trust.before.ece == evaluated.ece.value
    assert trust.before.mean_loss == pytest.approx(evaluated.log_loss.value, rel=1e-12)
    assert sum(b.n * b.confidence for b in trust.before.bins) / len(y) == pytest.approx(P.max(axis=1).mean())
    wrong = (P.argmax(axis=1) != y)[np.argsort(-P.max(axis=1), kind="stable")]
    assert trust.area == pytest.approx((np.cumsum(wrong) / np.arange(1, len(y) + 1)).mean())
    sentence = f"The probabilities are the softmax of the scores / {short(model.temperature)}, a temperature from "
    sentence += "cross-validation."
    assert trust.words.startswith(sentence)
    assert "not probabilities" not in trust.words
    answer = dict(report.headline.answers)["Probabilities"]
    assert answer == f"{sentence} Expected calibration error: {percent(trust.before.ece)}."
    assert sentence in summary(report)
    for suspect in report.data_errors.labels:
        row = report.samples[suspect.sample].row
        assert suspect.given == pytest.approx(P[row, y[row]])
    # Without a temperature the scores give no probabilities.
    bare = fill_report(fitted.to_model(few), digits.test)
    assert bare.calibration.temperature is None
    assert bare.calibration.words.startswith("The scores of this loss are not probabilities")
    assert dict(bare.headline.answers)["Probabilities"].startswith(f"None: the {loss.title} gives scores")


@pytest.mark.parametrize(
    "command",
    [
        "softmargin fit digits --output m.safetensors --folds 3",
        "softmargin fit 'my data.csv' --output a",
        "x\x1b\ny",
    ],
)
def test_the_recorded_command_reproduces_the_fit(command, digits, models):
    given = replace(models["hinge"], command=command)
    first, second = fill_report(given, digits.test, model_name="m.safetensors").origin.commands
    assert first == command.replace("\x1b", "\\x1b").replace("\n", "\\n")
    assert second.startswith("softmargin report m.safetensors")
    assert models["hinge"].command == ""
    (made, _) = fill_report(models["hinge"], digits.test).origin.commands
    assert made.startswith("softmargin fit TRAINING_DATA -o MODEL --loss hinge --reg")


def test_a_temperature_undoes_a_scale(digits, models):
    """Scores multiplied by 50 are fifty times too sure; the temperatures find that, and accuracy stays."""
    from dataclasses import replace

    model = models["cross_entropy"]
    loud = replace(model, W=50.0 * model.W, b=50.0 * model.b)
    plain, scaled = (fill_report(m, digits.test).calibration for m in (model, loud))
    assert np.allclose(np.array(scaled.temperatures) / plain.temperatures, 50.0, rtol=1e-3)
    assert scaled.after.mean_loss == pytest.approx(plain.after.mean_loss, rel=1e-6)
    assert scaled.before.mean_loss > 1.5 * plain.before.mean_loss


def test_models_are_compared_by_mcnemars_test(models, reports, digits):
    from scipy.stats import binom

    rivals = reports["hinge"].comparison
    assert [m.loss for m in rivals.models] == ["hinge", "cross_entropy", "squared_hinge"]
    answers = np.array([models[m.loss].predict(digits.test.X) for m in rivals.models])
    right = answers == digits.test.y
    assert [m.accuracy.value for m in rivals.models] == right.mean(axis=1).tolist()
    for test in rivals.tests:
        a, b = right[test.first], right[test.second]
        n = int((a != b).sum())
        assert (test.only_first, test.only_second) == ((a & ~b).sum(), (b & ~a).sum())
        least = min(test.only_first, test.only_second)
        mid = 2 * binom.cdf(least, n, 0.5) - binom.pmf(least, n, 0.5)
        p = 1.0 if test.only_first == test.only_second else mid
        assert test.p_value == mcnemar(test.only_first, test.only_second)
        assert test.p_value == pytest.approx(p)
    assert rivals.n_disagreements == (answers != answers[0]).any(axis=0).sum()
    for entry in rivals.disagreements:
        assert entry.predicted == tuple(answers[:, reports["hinge"].samples[entry.sample].row])
    assert reports["hinge"].comparison is not None
    assert fill_report(models["hinge"], digits.test).comparison is None


def test_path_and_convergence(models, reports):
    model, report = models["hinge"], reports["hinge"]
    kept = {path["loss"]: path for path in model.selection["paths"]}
    assert {curve.loss for curve in report.path.curves} == set(LOSSES)
    for curve in report.path.curves:
        points = kept[curve.loss]["points"]
        assert curve.reg == tuple(p["reg"] for p in points)
        assert curve.validation_accuracy == tuple(p["validation_accuracy"] for p in points)
        assert curve.best == kept[curve.loss]["best"]
        assert bool(curve.warning) == (curve.best in (0, len(points) - 1))
        band = zip(curve.low, curve.validation_accuracy, curve.high, strict=True)
        assert all(low < value < high for low, value, high in band)
    steps = report.convergence
    assert steps.value[-1] == model.value
    assert steps.lower_bound[-1] == model.lower_bound
    assert steps.gap[-1] == model.gap
    assert list(steps.estimate) == [x if 0 < x < math.inf else None for x in map(float, model.history["estimate"])]
    assert list(steps.n_passes) == sorted(steps.n_passes)
    assert all(bound is None or bound <= model.value for bound in steps.lower_bound)


def test_the_record_of_a_search_comes_back(digits, models):
    for scoring in ("accuracy", "loss"):
        losses = [sm.Hinge(0.5), sm.Hinge(2.0), sm.CrossEntropy()]
        found = sm.compare(digits.X[:300], digits.y[:300], losses, [0.1, 0.01], cv=3, scoring=scoring)
        kept = wide_model(4, ["a", "b"], selection=found.record()).selection
        assert sm.Comparison.from_record(json.loads(json.dumps(kept))) == found
    kept = models["hinge"].selection  # one split, of which differences have no standard error: NaN is None
    assert sm.Comparison.from_record(kept).record() == kept


@pytest.mark.parametrize("odd", [{"paths": 3}, {"paths": []}, {"paths": [None]}, {"paths": [{"loss": "odd"}]}])
def test_what_is_not_the_record_of_a_search_is_refused(odd):
    data = Dataset(np.eye(4), np.array(["a", "b", "a", "b"]), "four")
    with pytest.raises(sm.DataError, match="selection must be the record of a Comparison, got another one"):
        fill_report(wide_model(4, ["a", "b"], selection=odd), data)
    assert fill_report(wide_model(4, ["a", "b"], selection={}), data).path is None


def test_the_record_of_a_comparison_is_drawn_with_the_spread_of_its_folds(digits):
    few = Dataset(digits.X[:300], digits.y[:300], "few")
    found = sm.compare(few.X, few.y, [sm.Hinge(0.5), sm.SquaredHinge(2.0)], [0.1, 0.01], cv=3, calibrate=False)
    fitted = sm.LinearClassifier(found.loss, reg=found.reg, tol=1e-2).fit(few.X, few.y)
    model = fitted.to_model(few, choice=found)
    report = fill_report(model, few)
    assert (report.path.loss, report.path.reg) == (found.loss.name, found.reg)
    # The sentences of the comparison, with titles of losses and λ in place of names of options.
    words = found.reason()
    for option, title in (("squared_hinge", "squared hinge"), ("reg", "λ")):
        words = re.sub(rf"\b{option}\b", title, words)
    assert report.path.words.casefold() == words.casefold()
    assert not re.search(r"_|\breg\b", report.path.words)
    for curve, path in zip(report.path.curves, found.paths, strict=True):
        folds = np.array([[fold.validation_accuracy for fold in point.folds] for point in path.points])
        wilson = [standard_error(accuracy, 300) for accuracy in folds.mean(axis=1)]
        error = np.maximum(folds.std(axis=1, ddof=1) / math.sqrt(3), wilson)  # equal folds are not certain
        assert curve.high == pytest.approx(folds.mean(axis=1) + error)
        assert curve.low == pytest.approx(folds.mean(axis=1) - error)
        assert (curve.best, curve.one_se) == (path.best, path.one_se)
        for data, penalty, point in zip(curve.training_loss, curve.penalty, path.points, strict=True):
            assert data + penalty == pytest.approx(point.value)
    others, _ = refit(model, few)
    (other,) = others
    assert other.loss == next(path.loss for path in found.paths if path.loss != found.loss)


def test_rows_of_length_one_are_looked_at_as_the_model_does(digits):
    dark = replace(digits, X=(digits.X * np.linspace(0.1, 1.0, len(digits.X))[:, None]).astype(np.float32))
    model = (
        sm.LinearClassifier("hinge", reg=1e-2, tol=1e-2, normalize_rows=True).fit(dark.X, dark.y).to_model(dark)
    )
    report = fill_report(model, digits.test, dark)
    unit, judged = unit_rows(dark.X), unit_rows(digits.test.X)
    means = np.array([unit[dark.y == k].mean(axis=0, dtype=np.float64) for k in range(10)])
    nearest = (cdist(judged, means).argmin(axis=1) == digits.test.y).mean()
    assert report.headline.baselines[1].share.value == nearest
    for entry in report.weights.pixels:
        sample = report.samples[entry.sample]
        score = model.scores(digits.test.X[sample.row : sample.row + 1])[0, sample.label]
        assert floats(entry.own).sum() + model.b[sample.label] == pytest.approx(score, abs=1e-4)
    assert "--normalize-rows" in report.origin.commands[0]
    one_other = sm.choose(dark.X, dark.y, [sm.SquaredHinge()], [0.1])
    (other,) = refit(replace(model, selection=one_other.record()), dark)[0]
    assert other.preprocessing.rows == "l2"


def test_the_features_that_speak_for_a_class_are_named():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(90, 4)) * [1.0, 1000.0, 0.01, 1.0]
    X[:, 3] = 7.0  # tells nothing
    y = np.array(["a", "b", "c"])[np.arange(90) % 3]
    names = ("height", "<b>mass</b>", "\x1bwidth", "constant")
    model = wide_model(4, ["a", "b", "c"], feature_names=names)
    W = model.W - model.W.mean(axis=1, keepdims=True)
    for features in (X, csr_array(X)):
        looks = fill_report(model, Dataset(features, y, "x")).weights
        for k, found in enumerate(looks.features):
            effects = W[:, k] * X.std(axis=0)
            order = [d for d in np.argsort(-effects) if abs(effects[d]) > 0]
            assert [entry.feature for entry in found] == [names[d].replace("\x1b", "\\x1b") for d in order]
            assert [entry.effect for entry in found] == pytest.approx([effects[d] for d in order], abs=1e-12)
            assert [entry.weight for entry in found] == pytest.approx([W[d, k] for d in order])
    unnamed = fill_report(wide_model(4, ["a", "b", "c"]), Dataset(X, y, "x")).weights.features
    assert {entry.feature for entry in unnamed[0]} == {"feature 0", "feature 1", "feature 2"}
    many = fill_report(wide_model(6_000, ["a", "b"]), Dataset(np.eye(2, 6_000), np.array(["a", "b"]), "x"))
    assert many.weights.features == ()


def test_sparse_data_get_the_same_report():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 300)) * (rng.random((60, 300)) < 0.2)
    X[50], X[51], X[52] = 3.0 * X[7], X[8], 0.0
    y = np.array(["a", "b"])[np.arange(60) % 2]
    model = wide_model(300, ["a", "b"])
    found = []
    for features in (X, csr_array(X)):
        data, training = Dataset(features, y, "x"), Dataset(features[:20], y[:20], "t")
        record = json.loads(json.dumps(fill_report(model, data, training).record()))
        found.append(
            {name: record[name] for name in ("data_errors", "weights", "confusion", "margins", "calibration")}
        )
        found[-1]["baselines"] = record["headline"]["baselines"]
    assert {(pair["first"], pair["second"]) for pair in found[0]["data_errors"]["duplicates"]} > {
        ("row 7", "row 50")
    }
    assert close(*found)


def test_near_duplicates_that_are_not_looked_for_are_not_denied():
    data = Dataset(np.eye(4), np.array(["a", "b", "a", "b"]), "four")
    words = fill_report(wide_model(4, ["a", "b"]), data).data_errors.words
    assert "Near-duplicates were not searched for: with fewer than 16 features" in words
    assert "0 pairs" not in words


@pytest.mark.parametrize("n_features", [20, 300])
def test_duplicates_are_found(n_features):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, n_features))
    X[50] = 3.0 * X[7] + 1.0  # the same but for brightness and contrast
    X[51] = X[8] + 0.05 * rng.normal(size=n_features)
    y = np.array(["a", "b"])[np.arange(60) % 2]
    y[50], y[7] = "a", "b"
    training = Dataset(np.concatenate([X[9:10], rng.normal(size=(30, n_features))]), y[9:40], "train")
    found = fill_report(wide_model(n_features, ["a", "b"]), Dataset(X, y, "x"), training).data_errors
    pairs = {(pair.first, pair.second, pair.leaked, pair.exact) for pair in found.duplicates}
    expected = {
        ("row 7", "row 50", False, False),
        ("row 8", "row 51", False, False),
        ("row 9", "row 0", True, True),
    }
    assert pairs == expected
    assert found.n_leaked == 1
    assert "Near-duplicates (correlation ≥ 0.98): 3 pairs. In 1 of these pairs" in found.words
    assert found.duplicates[0].first == "row 7"  # whose labels differ
    assert found.duplicates[0].similarity == pytest.approx(1.0)


def test_wrong_labels_are_suspected(digits, models):
    y = digits.test.y.copy()
    scores = np.sort(models["cross_entropy"].scores(digits.test.X), axis=1)
    changed = np.argsort(scores[:, -2] - scores[:, -1])[:3]  # the surest
    y[changed] = (y[changed] + 1) % 10
    data = Dataset(digits.test.X, y, "digits", image_shape=(8, 8, 1))
    report = fill_report(models["cross_entropy"], data)
    rows = [report.samples[suspect.sample].row for suspect in report.data_errors.labels]
    assert set(changed) <= set(rows)
    assert len(rows) < 20


def test_unknown_labels_count_as_wrong_and_are_left_out(digits, models):
    y = digits.test.y.astype(np.int64)
    y[:5] = 77
    report = fill_report(models["hinge"], Dataset(digits.test.X, y, "digits"))
    right = models["hinge"].predict(digits.test.X) == y
    assert report.headline.accuracy.value == right.mean()
    assert report.headline.n_unknown == 5
    assert np.sum(report.confusion.counts) == len(y) - 5
    assert min(sample.row for sample in report.samples) >= 5
    assert "5 samples" in report.headline.warnings[0]
    with pytest.raises(sm.DataError, match="None of the labels"):
        fill_report(models["hinge"], Dataset(digits.test.X, np.full(len(y), 99), "digits"))
    with pytest.raises(sm.DataError, match="A report needs labelled samples"):
        fill_report(models["hinge"], Dataset(digits.test.X, None, "digits"))


def test_training_samples_are_called_that(digits, models):
    warnings = fill_report(models["hinge"], digits).headline.warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("These are the training samples of the model")


def test_nothing_is_said_of_new_samples_on_training_data(digits, models):
    report = fill_report(models["hinge"], digits, None, [models["cross_entropy"]])
    head = report.headline
    assert head.on_training
    shares = [head.accuracy, *head.recalls, *(b.share for b in head.baselines)]
    shares += [rival.accuracy for rival in report.comparison.models]
    assert {(share.low, share.high) for share in shares} == {(None, None)}
    answer = dict(head.answers)["Accuracy"]
    assert "training samples" in answer
    said = summary(report)
    assert "confidence" not in answer + said
    assert b"".join(page(report, said))
    assert len(list(draw_figures(report, ["svg"]))) >= 4
    assert not fill_report(models["hinge"], digits.test).headline.on_training


def test_the_smallest_report():
    """One sample, two classes, one of them absent: every panel can be filled, drawn and said."""
    report = fill_report(wide_model(3, ["a", "b"]), Dataset(np.ones((1, 3)), np.array(["b"]), "one"))
    assert report.headline.recalls[0].value is None
    json.dumps(report.record(), allow_nan=False)
    assert b"".join(page(report, summary(report)))
    assert len(list(draw_figures(report, ["svg"]))) >= 4


def test_a_large_report_stays_small(tmp_path):
    """10,000 pictures of noise, which nothing compresses, in 150 classes."""
    rng = np.random.default_rng(0)
    classes = [f"class number {k}" for k in range(150)]
    X = rng.integers(0, 256, (10_000, 16 * 16 * 3), dtype=np.uint8)
    y = np.array(classes)[rng.integers(0, 150, 10_000)]
    data = Dataset(
        X, y, "noise", image_shape=(16, 16, 3), ids=tuple(f"folder/file {k:06d}.png" for k in range(10_000))
    )
    content = b"".join(page(fill_report(wide_model(768, classes, image_shape=(16, 16, 3)), data), ""))
    assert 2e6 < len(content) < 10e6


def test_refit_fits_what_was_tried(digits, models):
    model = models["hinge"]
    others, along = refit(model, digits)
    assert {other.loss.name for other in others} == {"squared_hinge", "cross_entropy"}
    for other in others:
        assert np.array_equal(other.W, models[other.loss.name].W)
    tried = {p["reg"] for path in model.selection["paths"] if path["loss"] == "hinge" for p in path["points"]}
    assert {other.reg for other in along} == tried - {model.reg}
    report = fill_report(model, digits.test, digits, others, along)
    assert np.array_equal(floats(report.weights.along[0]), along[0].W.T.astype(np.float32).ravel())


def test_other_models_must_be_of_the_same_data(digits, models):
    with pytest.raises(sm.DataError, match="64"):
        fill_report(models["hinge"], digits.test, others=[wide_model(3, ["a", "b"])])
    with pytest.raises(sm.DataError, match="classes"):
        fill_report(models["hinge"], digits.test, others=[wide_model(64, ["a", "b"])])


# -- what is drawn from it -----------------------------------------------------------------------------------


def test_hostile_names_are_text():
    report = hostile_report()
    text = b"".join(page(report, summary(report))).decode("utf-8")
    found = Tags(text)
    assert found.tags.count("script") == 2
    assert found.tags.count("style") == 1
    assert not {"img", "svg", "iframe", "object", "link", "base"} & set(found.tags)
    assert not {name for name in found.attributes if name.startswith("on")}
    record = re.search(r'<script type="application/json" id="record">(.*?)</script>', text, re.S)[1]
    assert not set(record) & set("<>&\u2028\u2029")
    assert json.loads(record) == report.record()
    assert all(c.isprintable() or c == "\n" for c in summary(report))
    for name, content in draw_figures(report, ["svg"]):
        tree = ElementTree.fromstring(content)
        assert not [node for node in tree.iter() if "script" in node.tag.lower()], name


def test_the_policy_names_what_is_in_the_page(reports):
    import hashlib

    text = b"".join(page(reports["hinge"], "in short")).decode("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind, inside in (("script", re.findall(r"<script>(.*?)</script>", text, re.S)[0]),
                         ("style", re.findall(r"<style>(.*?)</style>", text, re.S)[0])):  # fmt: skip
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href)=\"(?!#)", text)
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", text)


def test_figures_are_files_of_their_kind(reports):
    pytest.importorskip("matplotlib")
    figures = dict(draw_figures(reports["hinge"], ["png", "svg"]))
    names = {"recall", "path", "convergence", "weights", "confusion", "margins", "reliability", "risk-coverage"}
    assert {Path(name).stem for name in figures} == names
    for name, content in figures.items():
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml"), name
    for name, content in islice(draw_figures(reports["hinge"], ["png", "svg"]), 4):
        assert figures[name] == content, name


def test_numbers_and_times_are_written_as_the_page_does(reports):
    written = {
        5.9e-5: "5.9e−5",
        1e-4: "1e−4",
        0.25: "0.25",
        -12345.0: "−12340",
        3e7: "3e7",
        0.0: "0",
        99.5: "99.5",
    }
    assert {x: short(x) for x in written} == written
    report = replace(reports["hinge"], created="2026-05-03T16:07:09+02:00")
    assert "Evaluated on 355 samples of digits, 2026-05-03 14:07 UTC<" in b"".join(page(report, "")).decode()
    assert not re.search(r"e-\d", report.certificate.words + str(report.headline.answers))


def test_the_summary_answers(reports):
    text = summary(reports["cross_entropy"])
    assert "Most confused classes" in text
    assert f"λ = {reports['cross_entropy'].headline.reg:.4g}" in text


# -- the command line ----------------------------------------------------------------------------------------


def test_report_on_the_command_line(tmp_path, digits):
    model, out = tmp_path / "m.safetensors", tmp_path / "r.html"
    answer = run("fit", "digits", "-o", model, "--loss", "hinge", "--reg", "0.01", "--report", tmp_path / "f.html")
    assert answer.status == 0
    assert "f.html" in answer.text
    answer = run("report", model, "digits", "-o", out, "--figures", tmp_path / "figures", "--against", model)
    assert answer.status == 0, answer.err
    assert "Loss and λ" in answer.text
    assert len(list((tmp_path / "figures").iterdir())) == 14  # no search, so no path
    kept = []
    for file in (tmp_path / "f.html", out):
        text = file.read_text("utf-8")
        kept.append(json.loads(re.search(r'id="record">(.*?)</script>', text, re.S)[1]))
    assert kept[0]["headline"] == kept[1]["headline"]
    assert (kept[0]["format"], kept[0]["version"]) == ("softmargin report", 1)
    answer = run("report", model, "digits", "-o", out, "--json")
    assert answer.json["headline"] == kept[1]["headline"]
    assert answer.json["headline"]["training_accuracy"] is not None


def test_accuracies_are_the_same_with_and_without_a_report(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    np.savez("whole.npz", X=digits.X[:200], y=digits.y[:200])
    for data in ("digits", "whole.npz"):
        arguments = ("fit", data, "-o", "m.safetensors", "--loss", "hinge", "--reg", "0.1", "--json")
        plain, reported = run(*arguments).json, run(*arguments, "--report", "f.html").json
        assert plain["accuracy"] == reported["accuracy"]
        assert plain["accuracy"].keys() == ({"training", "test"} if data == "digits" else {"training"})


def test_fit_says_that_its_report_is_on_the_training_data(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    np.savez("whole.npz", X=digits.X[:200], y=digits.y[:200])
    options = ("--loss", "cross_entropy", "--reg", "0.1", "--report", "f.html")
    answer = run("fit", "whole.npz", "-o", "m.safetensors", *options)
    assert answer.status == 0, answer.err
    assert "evaluates the model on its training data" in " ".join(answer.err.split())
    assert (
        "evaluates the model on its training data" not in run("fit", "digits", "-o", "m.safetensors", *options).err
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--refit", "--part", "test"), "--training"),
        (("--training", "unlabelled.npz"), "unlabelled.npz"),
        (("-o", "missing/r.html"), "does not exist"),
        (("--figures", "m.safetensors"), "must be a folder, got the file m.safetensors"),
        (("--against", "digits"), "not a model file"),
    ],
)
def test_mistakes_on_the_command_line(arguments, words, tmp_path, monkeypatch, models):
    monkeypatch.chdir(tmp_path)
    models["hinge"].save("m.safetensors")
    np.savez("unlabelled.npz", X=np.zeros((3, 64)))
    answer = run("report", "m.safetensors", "digits", *arguments)
    assert answer.status == 2
    assert words in answer.err
    assert answer.err.count("\n") <= 2
    assert not Path("report.html").exists()


def test_training_data_must_be_those_of_the_model(tmp_path, monkeypatch, models, digits):
    monkeypatch.chdir(tmp_path)
    models["hinge"].save("m.safetensors")
    np.savez("other.npz", X=digits.test.X, y=digits.test.y)
    answer = run("report", "m.safetensors", "other.npz", "--training", "other.npz")
    assert answer.status == 2
    assert "fingerprint" in answer.err
