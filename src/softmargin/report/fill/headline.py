"""How good the model is, what is proved about it, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from softmargin._version import __version__
from softmargin.losses.base import Floats, Ints
from softmargin.model.predict import class_numbers
from softmargin.report.fill.predictions import Predictions, rows_for
from softmargin.report.records import Baseline, Certificate, Headline, Origin
from softmargin.report.wording import percent, short
from softmargin.text import pluralize, printable

__all__ = ["certificate", "headline", "origin"]

_BLOCK_ELEMENTS = 1 << 20
_FEW = 100
_MOST_NAMES = 3


def headline(preds: Predictions) -> Headline:
    """Return how good the model is, in numbers and sentences."""
    model = preds.model
    accuracy = preds.share(int(preds.right.sum()), preds.n + preds.n_unknown)
    hits = np.bincount(preds.y, weights=preds.right, minlength=model.n_classes)
    recalls = tuple(preds.share(int(hit), int(n)) for hit, n in zip(hits, preds.counts, strict=True))
    training_accuracy = None
    if preds.training is not None:
        found = class_numbers(model.classes, model.predict(preds.training.X, preds.n_threads))
        training_accuracy = float((found == preds.training_labels).mean())
    W, _ = model.preprocessing.unfold(model.W, model.b)
    penalty = model.reg * float((W**2).sum())
    baselines = _baselines(preds)
    assert accuracy.value is not None
    if accuracy.low is None or accuracy.high is None:
        words = [
            f"These are the data that the model was trained on: {percent(accuracy.value, 2)} of "
            f"{pluralize(accuracy.n, 'sample')} are right, and that says little about new ones."
        ]
    else:
        words = [
            f"{percent(accuracy.value, 2)} of {pluralize(accuracy.n, 'sample')} are right; with 95 % confidence "
            f"the true accuracy lies between {percent(accuracy.low, 2)} and {percent(accuracy.high, 2)}."
        ]
    for baseline in baselines:
        if baseline.share.value is not None:
            words.append(f"{baseline.words} would get {percent(baseline.share.value, 2)}.")
    if training_accuracy is not None:
        words.append(f"On the training data it is {percent(training_accuracy, 2)}.")
    return Headline(
        accuracy=accuracy,
        recalls=recalls,
        baselines=baselines,
        training_accuracy=training_accuracy,
        on_training=preds.on_training,
        n_unknown=preds.n_unknown,
        loss=model.loss.name,
        loss_title=model.loss.title,
        delta=preds.delta,
        reg=model.reg,
        mean_loss=float(preds.losses.mean()),
        data_loss=model.value - penalty,
        penalty=penalty,
        words=tuple(words),
        answers=_answers(preds, words[0]),
        warnings=_warnings(preds),
    )


def certificate(preds: Predictions) -> Certificate:
    """Return what is proved about the fit."""
    model = preds.model
    value, bound = short(model.value, 8), short(model.lower_bound, 8)
    gap, tol = short(model.gap, 3), short(model.tol)
    if model.converged:
        words = (
            f"It is proved that no weights whatever bring the objective below {bound}; these reach {value}. So "
            f"they are within {gap} of the best possible (asked for: {tol}): training longer, or with another "
            f"method, cannot make the objective better than that."
        )
    else:
        words = (
            f"NOT converged: the objective is {value} and it is proved only that none is below {bound}, a "
            f"relative gap of {gap} where {tol} was asked for. More passes may change this model."
        )
    names = ("value", "lower_bound", "gap", "tol", "converged", "n_passes", "seconds")
    return Certificate(**{name: getattr(model, name) for name in names}, words=words)


def origin(
    preds: Predictions, fingerprint: str, model_name: str, data_name: str, data_options: Sequence[str] = ()
) -> Origin:
    """Return what was judged, and the commands that do it again."""
    model = preds.model
    options = [f"--loss {model.loss.name}", f"--reg {model.reg!r}", f"--tol {model.tol:g}"]
    if preds.delta is not None:
        options.append(f"--delta {preds.delta!r}")
    options.append(f"--scaling {model.preprocessing.scaling}")
    scaling = model.preprocessing.scaling
    if model.preprocessing.rows == "l2":
        options.append("--normalize-rows")
        scaling += ", rows of length 1"
    if model.image_size is not None:
        options.append("--image-size " + "x".join(map(str, model.image_size)))
    file, source = shlex.quote(printable(model_name)), shlex.quote(printable(data_name))
    reading = "".join(f" {shlex.quote(printable(option))}" for option in data_options)
    trained_on = (
        source + reading if fingerprint == model.fingerprint or preds.training is not None else "TRAINING_DATA"
    )
    return Origin(
        model=printable(model_name),
        data=printable(data_name),
        n_samples=preds.data.n_samples,
        n_features=model.n_features,
        image_shape=preds.data.image_shape,
        fingerprint=fingerprint,
        trained_on=printable(model.data_name),
        n_training=model.n_samples,
        training_fingerprint=model.fingerprint,
        scaling=scaling,
        fitted=model.created,
        commands=(
            f"softmargin fit {trained_on} -o {file} {' '.join(options)}",
            f"softmargin report {file} {source}{reading} -o report.html",
        ),
        versions={**model.versions, "report by softmargin": __version__},
    )


def _answers(preds: Predictions, accuracy: str) -> tuple[tuple[str, str], ...]:
    """Return what a person wants to know first, in a sentence or two each."""
    model = preds.model
    margin = "" if preds.delta is None else f" and Δ = {short(preds.delta)}"
    chosen = "chosen on held-out training data" if model.selection else "given by the user"
    proof = (
        f"proved to be within {short(model.gap, 3)} of the best possible objective"
        if model.converged
        else f"NOT proved to be near the best possible objective: the gap is {short(model.gap, 3)}"
    )
    answers = [
        ("Which loss and λ?", f"The {model.loss.title} with λ = {short(model.reg)}{margin}, {chosen}."),
        ("How sure is that?", f"{accuracy} The fit is {proof}."),
    ]
    answers += [_confused(preds), ("Which sample costs most, and why?", _costliest(preds))]
    return tuple(answers)


def _confused(preds: Predictions) -> tuple[str, str]:
    n_classes, classes = preds.model.n_classes, preds.classes
    wrong = np.flatnonzero(~preds.right)
    if not len(wrong):
        return "What is confused most?", "Nothing: every sample is right."
    true, given = preds.y[wrong], preds.predicted[wrong]
    low, high = np.minimum(true, given), np.maximum(true, given)
    pairs, times = np.unique(low * n_classes + high, return_counts=True)
    first = int(times.argmax())
    a, b = int(pairs[first]) // n_classes, int(pairs[first]) % n_classes
    there = int(((true == a) & (given == b)).sum())
    back = int(times[first]) - there
    both = pluralize(int(times[first]), "time")
    return (
        "Which two classes are confused most?",
        f"{classes[a]} and {classes[b]}, {both}: {there:,} of {classes[a]} taken for {classes[b]}, "
        f"{back:,} the other way round.",
    )


def _costliest(preds: Predictions) -> str:
    model, classes, n_classes = preds.model, preds.classes, preds.model.n_classes
    i = int(preds.losses.argmax())
    rival, own = classes[preds.rival[i]], classes[preds.y[i]]
    lead = -float(preds.margins[i])
    costs = f"{preds.name(i)}: its loss is {short(float(preds.losses[i]))}"
    if lead > 0:
        costs += f", since {rival} scores {short(lead)} more than the true class, {own}"
    if model.is_probabilistic:
        costs += f"; the true class gets a probability of {short(float(preds.probabilities[i, preds.y[i]]), 3)}"
    else:
        n_over = int((preds.scores[i] > preds.own_score[i] - model.loss.score_scale).sum()) - 1
        costs += f"; {n_over:,} of {n_classes - 1:,} wrong classes come within Δ of the true one or pass it"
    return costs + "."


def _warnings(preds: Predictions) -> tuple[str, ...]:
    model, said = preds.model, []
    if preds.on_training:
        said.append(
            "These are the samples that the model was trained on: every number below flatters it. Give data that "
            "it has not seen."
        )
    if preds.n_unknown:
        said.append(
            f"{pluralize(preds.n_unknown, 'sample has a label that is', 'samples have labels that are')} "
            f"no class of the model: counted as wrong in the accuracy and left out of everything else."
        )
    absent = [preds.classes[k] for k in np.flatnonzero(preds.counts == 0)]
    if absent:
        more = "" if len(absent) <= _MOST_NAMES else f" and {len(absent) - _MOST_NAMES:,} more"
        said.append(f"No sample here is of class {', '.join(map(repr, absent[:_MOST_NAMES]))}{more}.")
    if preds.n < _FEW and not preds.on_training:
        few = "1 sample is" if preds.n == 1 else f"{preds.n:,} samples are"
        said.append(f"{few} few: look at the intervals, not at the last digits.")
    if not model.converged:
        said.append("The fit did not reach the gap that was asked for.")
    return tuple(said)


def _baselines(preds: Predictions) -> tuple[Baseline, ...]:
    n = preds.n + preds.n_unknown
    found = []
    if preds.training is None:
        top = int(preds.counts.argmax())
        words = f"Always saying {preds.classes[top]!r}, the most frequent class here,"
    else:
        labels = preds.training_labels
        top = int(np.bincount(labels[labels >= 0], minlength=preds.model.n_classes).argmax())
        words = f"Always saying {preds.classes[top]!r}, the most frequent class of the training data,"
    found.append(Baseline("majority", words, preds.share(int(preds.counts[top]), n)))
    if preds.training is not None:
        right = int((_nearest_means(preds) == preds.y).sum())
        words = "Taking the class whose mean training sample is nearest"
        found.append(Baseline("nearest mean", words, preds.share(right, n)))
    return tuple(found)


def _nearest_means(preds: Predictions) -> Ints:
    """Return the class of nearest mean of each sample: a linear rule too, on preprocessed features."""
    model, training = preds.model, preds.training
    assert training is not None
    labels = preds.training_labels
    sums, counts = np.zeros((model.n_classes, model.n_features)), np.zeros(model.n_classes)
    step = max(1, _BLOCK_ELEMENTS // model.n_features)
    for start in range(0, training.n_samples, step):
        block, classes = training.X[start : start + step], labels[start : start + step]
        known = classes >= 0
        members = np.equal.outer(np.arange(model.n_classes), classes[known]).astype(np.float64)
        sums += members @ rows_for(model, block[known])
        counts += members.sum(axis=1)
    scale, mean = model.preprocessing.scale, model.preprocessing.mean
    means: Floats = (sums / np.maximum(counts, 1.0)[:, None] - mean) * scale
    # |z - m|² is least where z·m - |m|²/2 is largest.
    W = (means * scale).T
    b = -0.5 * (means**2).sum(axis=1) - mean @ W
    b[counts == 0] = -np.inf
    best = np.empty(preds.n, dtype=np.int64)
    for start in range(0, preds.n, step):
        rows = slice(start, start + step)
        best[rows] = (rows_for(model, preds.X[rows]) @ W + b).argmax(axis=1)
    return best
