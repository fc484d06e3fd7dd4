"""Metrics against scikit-learn, plain loops and other routes to the same numbers."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as theirs

import softmargin as sm
from softmargin import metrics
from softmargin.errors import DataError, ParameterError
from softmargin.losses import softmax
from softmargin.metrics import Moments
from softmargin.preprocessing import Preprocessing
from tests.support.command_line import run
from tests.support.models import model
from tests.support.refusals import refused

N_PROBLEMS = 200


def of_scores(classes, loss=None, **changes):
    """Return a model whose scores are its features."""
    C = len(classes)
    idle = Preprocessing("none", np.zeros(C), np.ones(C))
    exact = {"W": np.eye(C), "b": np.zeros(C), "preprocessing": idle}
    return model(C, classes, sm.CrossEntropy() if loss is None else loss, **exact, **changes)


def problem(seed):
    """Return classes, scores and labels: with ties, classes without samples and, sometimes, unknown labels."""
    rng = np.random.default_rng(seed)
    C, n = int(rng.integers(2, 13)), int(rng.integers(3, 120))
    scores = rng.normal(size=(n, C)) * rng.choice([0.3, 1.0, 4.0])
    if seed % 3 == 0:
        scores = np.round(scores)  # ties within a row and between rows
    if seed % 5 == 0:
        scores[rng.random(n) < 0.5] = scores[0]
    y = rng.integers(0, C, n)
    y[rng.random(n) < 0.5] = 0
    right = rng.random(n) < 0.5
    y[right] = scores.argmax(axis=1)[right]
    if seed % 4 == 1:
        y[y == C - 1] = 0  # a class without samples
    classes = np.array([f"c{k:02d}" for k in range(C)]) if seed % 2 else np.arange(C) * 3 + 1
    labels = classes[y]
    if seed % 7 == 6 and n > 3:
        labels[[0, 2]] = "unknown"[:3] if seed % 2 else -5
    return classes, scores, labels


def expected(classes, scores, labels, k):
    """Return the metrics of scikit-learn, by name; None where it does not define one."""
    predicted = classes[scores.argmax(axis=1)]
    known = np.isin(labels, classes)
    y, P, C = labels[known], softmax(scores[known]), len(classes)
    every = sorted(set(classes.tolist()) | set(labels.tolist()))
    found = {
        "accuracy": theirs.accuracy_score(labels, predicted),
        "balanced_accuracy": theirs.balanced_accuracy_score(labels, predicted),
        "macro_f1": theirs.f1_score(labels, predicted, average="macro", zero_division=0),
        "log_loss": theirs.log_loss(y, P, labels=classes),
        "brier": theirs.brier_score_loss(y, P, labels=classes) if C > 2 else None,
        "confusion": theirs.confusion_matrix(labels, predicted, labels=every),
        "auroc": None,
        "top_k_accuracy": None,
    }
    if C == 2:
        found["brier"] = theirs.brier_score_loss(y, P[:, 1], pos_label=classes[1])
    if len(set(y.tolist())) == C:
        if C == 2:
            found["auroc"] = theirs.roc_auc_score(y, scores[known, 1] - scores[known, 0])
        else:
            found["auroc"] = theirs.roc_auc_score(y, P, multi_class="ovr", average="macro", labels=classes)
    if k < C and C > 2:
        # scikit-learn prefers the last of equal scores, and we the first: with the classes in reverse order
        # both are the same. Labels that it does not know are errors.
        codes = C - 1 - np.searchsorted(classes, y)
        share = theirs.top_k_accuracy_score(codes, scores[known][:, ::-1], k=k, labels=np.arange(C))
        found["top_k_accuracy"] = share * known.mean()
    return found


def compare(found, classes, scores, labels, k):
    """Hold a record against scikit-learn's numbers; return the largest difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without samples
        wanted = expected(classes, scores, labels, k)
    order = np.argsort(np.array(found["labels"]))  # unknown labels stand behind the classes
    matrix = np.array(found["confusion"])[np.ix_(order, order)]
    np.testing.assert_array_equal(matrix, wanted.pop("confusion"))
    largest = 0.0
    for name, value in wanted.items():
        if value is None:
            assert found[name] is None, name
            assert found["undefined"][name], name
        else:
            difference = abs(found[name] - value)
            assert difference <= 1e-12 * max(1.0, abs(value)), (name, found[name], value)
            largest = max(largest, difference)
    return largest


@pytest.mark.parametrize("start", range(0, N_PROBLEMS, 20))
def test_metrics_are_those_of_scikit_learn(start):
    undefined = set()
    for seed in range(start, start + 20):
        classes, scores, labels = problem(seed)
        k = 2 if seed % 2 and len(classes) > 2 else None
        found = sm.evaluate(of_scores(classes), scores, labels, top_k=k).record()
        json.dumps(found, allow_nan=False)
        compare(found, classes, scores, labels, k or 5)
        undefined |= set(found["undefined"])
    assert undefined == {"auroc", "top_k_accuracy"}  # the problems reach these cases


def test_the_command_prints_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 3, 6, 13, 25):
        classes, scores, labels = problem(seed)
        of_scores(classes).save("m.safetensors")
        np.savez("d.npz", X=scores, y=labels)
        found = run("evaluate", "m.safetensors", "d.npz", "--json").json
        compare(found, classes, scores, labels, 5)
        record = sm.evaluate(sm.load_model("m.safetensors"), scores, labels).record()
        assert {name: found[name] for name in record} == record


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_ece_and_groups_are_those_of_a_loop(seed):
    classes, scores, labels = problem(seed)
    rng = np.random.default_rng(seed)
    groups = rng.choice(["north", "south", "east"], len(labels))
    found = sm.evaluate(of_scores(classes), scores, labels, groups)
    known = [i for i, label in enumerate(labels.tolist()) if label in classes.tolist()]
    error = 0.0
    for b in range(15):
        inside = []
        for i in known:
            p = softmax(scores[i][None])[0]
            confidence = float(p.max())
            if b / 15 <= confidence < (b + 1) / 15 or (b == 14 and confidence == 1.0):
                inside.append((confidence, classes[p.argmax()] == labels[i]))
        if inside:
            mean, accuracy = (sum(pair[j] for pair in inside) / len(inside) for j in (0, 1))
            error += len(inside) / len(known) * abs(accuracy - mean)
    assert found.ece.value == pytest.approx(error, abs=1e-12)

    lowest = None
    for name in sorted(set(groups.tolist())):
        rows = [i for i in range(len(groups)) if groups[i] == name]
        n_correct = sum(bool(classes[scores[i].argmax()] == labels[i]) for i in rows)
        share = next(share for share in found.groups if share.name == name)
        assert (share.n, share.n_correct) == (len(rows), n_correct)
        key = (n_correct / len(rows), -len(rows))
        lowest = key if lowest is None else min(lowest, key)
    worst = found.worst_group
    assert (worst.n_correct / worst.n, -worst.n) == lowest
    recalls = {share.name: share.accuracy.value for share in found.classes}
    assert found.worst_class.accuracy.value == min(recalls.values())


def test_ties_in_the_top_k_follow_the_prediction():
    scores = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 2.0, 2.0, 2.0]])
    for y, right in (([0, 1], [True, True]), ([1, 2], [True, True]), ([2, 3], [False, False])):
        assert metrics.top_k_hits(scores, np.array(y), 2).tolist() == right
    for seed in range(0, 30, 3):
        classes, scores, labels = problem(seed)
        codes = np.array([list(classes).index(x) if x in classes else len(classes) for x in labels])
        hits = metrics.top_k_hits(scores, codes, 1)
        np.testing.assert_array_equal(hits, scores.argmax(axis=1) == codes)


def test_log_loss_is_exact_where_probabilities_underflow():
    """scikit-learn clips probabilities at 2.2e-16, which would give 36."""
    found = sm.evaluate(of_scores(("a", "b", "c")), [[900.0, 0.0, 0.0], [0.0, 5.0, 0.0]], ["b", "b"])
    assert found.log_loss.value == pytest.approx((900.0 + math.log1p(2 * math.exp(-5))) / 2, rel=1e-12)


# Intervals: the influence values by other routes


def confusion(scores, y):
    return theirs.confusion_matrix(y, scores.argmax(axis=1), labels=range(scores.shape[1]))


MEASURES = {
    "balanced_accuracy": lambda scores, y: metrics.balanced_accuracy(confusion(scores, y)),
    "macro_f1": lambda scores, y: metrics.macro_f1(confusion(scores, y)),
    "brier": lambda scores, y: metrics.mean_of(Moments.of(metrics.brier_terms(softmax(scores), y))),
    "auroc": lambda scores, y: metrics.one_vs_rest_auroc(softmax(scores), y),
    "ece": lambda scores, y: metrics.expected_calibration_error(
        Moments.of(*metrics.confidence_excess(softmax(scores), y)[::-1], metrics.N_BINS)
    ),
}


@pytest.mark.parametrize("name", MEASURES)
def test_influence_is_the_derivative_with_respect_to_the_weight(name):
    """Of 1,000 copies of each sample, 10 more of one change the metric by its influence."""
    rng = np.random.default_rng(3)
    n, copies = 40, 1000
    scores = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[np.arange(n) % 4]
    y = np.arange(n) % 4
    measured = MEASURES[name](scores, y)
    assert measured.n == n
    slopes = np.empty(n)
    for i in range(n):
        times = np.full(n, copies)
        times[i] += 10
        value = MEASURES[name](scores.repeat(times, axis=0), y.repeat(times)).value
        slopes[i] = (value - measured.value) * n * copies / 10
    assert measured.squares == pytest.approx(slopes @ slopes, rel=2e-2)


@pytest.mark.parametrize("name", [*MEASURES, "log_loss"])
def test_intervals_cover_the_truth_as_often_as_they_promise(name):
    """Of samples of 150 from a population of 20,000: 95 % of the intervals hold the value of the population."""
    rng = np.random.default_rng(8)
    N, n, trials = 20_000, 150, 400
    y = rng.choice(4, N, p=[0.4, 0.3, 0.2, 0.1])
    scores = rng.normal(size=(N, 4)) + 1.8 * np.eye(4)[y]
    classes = ("a", "b", "c", "d")
    chosen, labels = of_scores(classes), np.array(classes)[y]
    truth = getattr(sm.evaluate(chosen, scores, labels), name).value
    covered = 0
    for _ in range(trials):
        rows = rng.choice(N, n, replace=False)
        metric = getattr(sm.evaluate(chosen, scores[rows], labels[rows]), name)
        assert metric.low <= metric.value <= metric.high
        covered += metric.low <= truth <= metric.high
    assert (0.85 if name == "ece" else 0.92) <= covered / trials <= 0.985  # ECE is biased upwards


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "auroc"])
def test_a_perfect_score_is_not_certain(name):
    classes = ("a", "b", "c")
    y = np.array([0] * 50 + [1] * 20 + [2] * 4)
    metric = getattr(sm.evaluate(of_scores(classes), 5.0 * np.eye(3)[y], np.array(classes)[y]), name)
    assert metric.value == metric.high == 1.0
    assert 0.6 < metric.low < 0.96
    if name != "accuracy":  # few samples of one class: less certain than 74 samples
        assert metric.low < 0.9


# What evaluate takes


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_estimators_and_models_are_the_same(loss, n_classes):
    rng = np.random.default_rng(5)
    y = np.arange(90) % n_classes
    X = rng.normal(size=(90, 4)) + np.eye(4)[y]
    classifier = sm.LinearClassifierCV([loss], regs=[0.1, 0.01], cv=3).fit(X, y)
    found = sm.evaluate(classifier, X, y)
    again = sm.evaluate(classifier.to_model(sm.Dataset(X, y, "d")), X, y)
    assert found.log_loss.value is not None  # of the hinge by the temperature
    for name, metric in found.metrics.items():
        other = again.metrics[name]
        assert metric.reason == other.reason
        assert metric.value == (None if other.value is None else pytest.approx(other.value, rel=1e-9))
    plain = sm.evaluate(sm.LinearClassifier(loss, reg=0.1).fit(X, y), X, y)
    assert (plain.log_loss.value is None) == (loss == "hinge")
    assert (plain.auroc.value is None) == (loss == "hinge" and n_classes == 3)


def test_unknown_labels_are_errors_of_predictions_and_left_out_of_probabilities():
    classes, rng = ("a", "b", "c"), np.random.default_rng(1)
    scores = rng.normal(size=(30, 3))
    y = np.array(classes)[np.arange(30) % 3]
    before = sm.evaluate(of_scores(classes), scores, y)
    found = sm.evaluate(of_scores(classes), np.vstack([scores, scores[:3]]), [*y, "x", "y", "x"])
    assert found.unknown_labels == ("x", "y")
    assert found.accuracy.value == pytest.approx(before.accuracy.value * 30 / 33)
    assert found.balanced_accuracy.value == pytest.approx(before.balanced_accuracy.value * 3 / 5)
    assert found.worst_class.name == "x"  # the larger one of the two without a correct prediction
    for name in ("log_loss", "brier", "auroc", "ece"):
        assert getattr(found, name) == getattr(before, name)
    assert found.confusion.sum() == 33
    assert sum(n for true, _, n in found.confused() if true in ("x", "y")) == 3


def test_the_order_of_samples_does_not_matter():
    classes, scores, labels = problem(9)
    order = np.random.default_rng(0).permutation(len(labels))
    first = sm.evaluate(of_scores(classes), scores, labels)
    second = sm.evaluate(of_scores(classes), scores[order], labels[order])
    for name, metric in first.metrics.items():
        if metric.value is not None:
            assert metric.value == pytest.approx(second.metrics[name].value, rel=1e-12)
            assert metric.low == pytest.approx(second.metrics[name].low, rel=1e-9)


REFUSED = {
    "other labels": (lambda m, X: sm.evaluate(m, X, ["dog", "cow"]), "at least one class of the model", "'cow'"),
    "one label": (lambda m, X: sm.evaluate(m, X, ["a"]), "2 labels", "(1,)"),
    "one group": (lambda m, X: sm.evaluate(m, X, ["a", "b"], ["g"]), "groups must have shape (2,)", "(1,)"),
    "no samples": (lambda m, X: sm.evaluate(m, X[:0], []), "at least one sample", "got none"),
    "NaN": (lambda m, X: sm.evaluate(m, X * np.nan, ["a", "b"]), "row 0, column 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_cannot_be_evaluated_are_refused(name):
    call, *words = REFUSED[name]
    refused(lambda: call(of_scores(("a", "b", "c")), np.zeros((2, 3))), *words, error=DataError)


@pytest.mark.parametrize("k", [0, 3, 5, "2"])
def test_a_top_k_of_all_classes_is_refused(k):
    call = lambda: sm.evaluate(of_scores(("a", "b", "c")), np.zeros((2, 3)), ["a", "b"], top_k=k)  # noqa: E731
    refused(call, "top_k must be", f"got {k!r}", error=ParameterError)


@pytest.mark.parametrize("other", ["m.safetensors", None, sm.LinearClassifier()])
def test_only_models_and_fitted_estimators_are_evaluated(other):
    refused(lambda: sm.evaluate(other, np.zeros((2, 3)), [0, 1]), "model must be a Model or", error=ParameterError)
