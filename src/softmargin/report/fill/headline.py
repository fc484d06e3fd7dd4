"""How good the model is, what is proved about it, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from softmargin._version import __version__
from softmargin.data.base import counted
from softmargin.losses import CrossEntropy
from softmargin.losses.base import Floats, Ints
from softmargin.report.base import Baseline, Certificate, Headline, Origin, percent, short
from softmargin.report.fill.base import Evidence, codes_of, rows_for, words_of

__all__ = ["certificate", "headline", "origin"]

_ROWS_AT_ONCE = 4096
_FEW = 100
_MOST_NAMES = 3


def headline(evidence: Evidence) -> Headline:
    """Return how good the model is, in numbers and sentences."""
    model = evidence.model
    accuracy = evidence.share(int(evidence.right.sum()), evidence.n + evidence.n_unknown)
    hits = np.bincount(evidence.y, weights=evidence.right, minlength=model.n_classes)
    recalls = tuple(evidence.share(int(hit), int(n)) for hit, n in zip(hits, evidence.counts, strict=True))
    training_accuracy = None
    if evidence.training is not None:
        labels = codes_of(model, evidence.training.y)  # type: ignore[arg-type]
        right = codes_of(model, model.predict(evidence.training.X, evidence.n_threads)) == labels
        training_accuracy = float(right.mean())
    W, _ = model.preprocessing.unfold(model.W, model.b)
    penalty = model.reg * float((W**2).sum())
    baselines = _baselines(evidence)
    assert accuracy.value is not None
    if accuracy.low is None or accuracy.high is None:
        words = [
            f"These are the data that the model was trained on: {percent(accuracy.value, 2)} of "
            f"{counted(accuracy.n, 'sample')} are right, and that says little about new ones."
        ]
    else:
        words = [
            f"{percent(accuracy.value, 2)} of {counted(accuracy.n, 'sample')} are right; with 95 % confidence the "
            f"true accuracy lies between {percent(accuracy.low, 2)} and {percent(accuracy.high, 2)}."
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
        on_training=evidence.on_training,
        n_unknown=evidence.n_unknown,
        loss=model.loss.name,
        loss_title=model.loss.title,
        delta=evidence.delta,
        reg=model.reg,
        mean_loss=float(evidence.losses.mean()),
        data_loss=model.value - penalty,
        penalty=penalty,
        words=tuple(words),
        answers=_answers(evidence, words[0]),
        warnings=_warnings(evidence),
    )


def certificate(evidence: Evidence) -> Certificate:
    """Return what is proved about the fit."""
    model = evidence.model
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
    return Certificate(
        value=model.value,
        lower_bound=model.lower_bound,
        gap=model.gap,
        tol=model.tol,
        converged=model.converged,
        n_passes=model.n_passes,
        seconds=model.seconds,
        words=words,
    )


def origin(
    evidence: Evidence, fingerprint: str, model_name: str, data_name: str, data_options: Sequence[str] = ()
) -> Origin:
    """Return what was judged, and the commands that do it again."""
    model = evidence.model
    options = [f"--loss {model.loss.name}", f"--reg {model.reg!r}", f"--tol {model.tol:g}"]
    if evidence.delta is not None:
        options.append(f"--delta {evidence.delta!r}")
    options.append(f"--scaling {model.preprocessing.scaling}")
    scaling = model.preprocessing.scaling
    if model.preprocessing.rows == "unit":
        options.append("--normalize-rows")
        scaling += ", rows of length 1"
    if model.image_size is not None:
        options.append("--image-size " + "x".join(map(str, model.image_size)))
    file, source = shlex.quote(words_of(model_name)), shlex.quote(words_of(data_name))
    reading = "".join(f" {shlex.quote(words_of(option))}" for option in data_options)
    trained_on = (
        source + reading if fingerprint == model.fingerprint or evidence.training is not None else "TRAINING_DATA"
    )
    return Origin(
        model=words_of(model_name),
        data=words_of(data_name),
        n_samples=evidence.data.n_samples,
        n_features=model.n_features,
        image_shape=evidence.data.image_shape,
        fingerprint=fingerprint,
        trained_on=words_of(model.data_name),
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


def _answers(evidence: Evidence, accuracy: str) -> tuple[tuple[str, str], ...]:
    """Return what a person wants to know first, in a sentence or two each."""
    model = evidence.model
    margin = "" if evidence.delta is None else f" and Δ = {short(evidence.delta)}"
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
    answers += [_confused(evidence), ("Which sample costs most, and why?", _costliest(evidence))]
    return tuple(answers)


def _confused(evidence: Evidence) -> tuple[str, str]:
    n_classes, classes = evidence.model.n_classes, evidence.classes
    wrong = np.flatnonzero(~evidence.right)
    if not len(wrong):
        return "What is confused most?", "Nothing: every sample is right."
    true, given = evidence.y[wrong], evidence.predicted[wrong]
    low, high = np.minimum(true, given), np.maximum(true, given)
    pairs, times = np.unique(low * n_classes + high, return_counts=True)
    first = int(times.argmax())
    a, b = int(pairs[first]) // n_classes, int(pairs[first]) % n_classes
    there = int(((true == a) & (given == b)).sum())
    back = int(times[first]) - there
    both = counted(int(times[first]), "time")
    return (
        "Which two classes are confused most?",
        f"{classes[a]} and {classes[b]}, {both}: {there:,} of {classes[a]} taken for {classes[b]}, "
        f"{back:,} the other way round.",
    )


def _costliest(evidence: Evidence) -> str:
    model, classes, n_classes = evidence.model, evidence.classes, evidence.model.n_classes
    i = int(evidence.losses.argmax())
    rival, own = classes[evidence.rival[i]], classes[evidence.y[i]]
    lead = -float(evidence.margins[i])
    costs = f"{evidence.name(i)}: its loss is {short(float(evidence.losses[i]))}"
    if lead > 0:
        costs += f", since {rival} scores {short(lead)} more than the true class, {own}"
    if isinstance(model.loss, CrossEntropy):
        costs += (
            f"; the true class gets a probability of {short(float(evidence.probabilities[i, evidence.y[i]]), 3)}"
        )
    else:
        n_over = int((evidence.scores[i] > evidence.own_score[i] - model.loss.unit).sum()) - 1
        costs += f"; {n_over:,} of {n_classes - 1:,} wrong classes come within Δ of the true one or pass it"
    return costs + "."


def _warnings(evidence: Evidence) -> tuple[str, ...]:
    model, said = evidence.model, []
    if evidence.on_training:
        said.append(
            "These are the samples that the model was trained on: every number below flatters it. Give data that "
            "it has not seen."
        )
    if evidence.n_unknown:
        said.append(
            f"{counted(evidence.n_unknown, 'sample has a label that is', 'samples have labels that are')} "
            f"no class of the model: counted as wrong in the accuracy and left out of everything else."
        )
    absent = [evidence.classes[k] for k in np.flatnonzero(evidence.counts == 0)]
    if absent:
        more = "" if len(absent) <= _MOST_NAMES else f" and {len(absent) - _MOST_NAMES:,} more"
        said.append(f"No sample here is of class {', '.join(map(repr, absent[:_MOST_NAMES]))}{more}.")
    if evidence.n < _FEW and not evidence.on_training:
        few = "1 sample is" if evidence.n == 1 else f"{evidence.n:,} samples are"
        said.append(f"{few} few: look at the intervals, not at the last digits.")
    if not model.converged:
        said.append("The fit did not reach the gap that was asked for.")
    return tuple(said)


def _baselines(evidence: Evidence) -> tuple[Baseline, ...]:
    n = evidence.n + evidence.n_unknown
    found = []
    if evidence.training is None:
        top = int(evidence.counts.argmax())
        words = f"Always saying {evidence.classes[top]!r}, the most frequent class here,"
    else:
        labels = codes_of(evidence.model, evidence.training.y)  # type: ignore[arg-type]
        top = int(np.bincount(labels[labels >= 0], minlength=evidence.model.n_classes).argmax())
        words = f"Always saying {evidence.classes[top]!r}, the most frequent class of the training data,"
    found.append(Baseline("majority", words, evidence.share(int(evidence.counts[top]), n)))
    if evidence.training is not None:
        right = int((_nearest_means(evidence) == evidence.y).sum())
        words = "Taking the class whose mean training sample is nearest"
        found.append(Baseline("nearest mean", words, evidence.share(right, n)))
    return tuple(found)


def _nearest_means(evidence: Evidence) -> Ints:
    """Return the class of nearest mean of each sample: a linear rule too, on preprocessed features."""
    model, training = evidence.model, evidence.training
    assert training is not None
    labels = codes_of(model, training.y)  # type: ignore[arg-type]
    sums, counts = np.zeros((model.n_classes, model.n_features)), np.zeros(model.n_classes)
    for start in range(0, training.n_samples, _ROWS_AT_ONCE):
        block, classes = training.X[start : start + _ROWS_AT_ONCE], labels[start : start + _ROWS_AT_ONCE]
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
    best = np.empty(evidence.n, dtype=np.int64)
    for start in range(0, evidence.n, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        best[rows] = (rows_for(model, evidence.X[rows]) @ W + b).argmax(axis=1)
    return best
