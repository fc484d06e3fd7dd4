"""How good the model is, its certificate, and how to reproduce it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from softmargin._version import __version__
from softmargin.losses.base import Floats, Ints
from softmargin.model import Model
from softmargin.model.predict import class_numbers
from softmargin.report.fill.predictions import Predictions, rows_for
from softmargin.report.records import Baseline, Certificate, Headline, Origin
from softmargin.report.wording import percent, probabilities_from, short
from softmargin.text import pluralize, printable, some_of

__all__ = ["certificate", "headline", "origin"]

_BLOCK_ELEMENTS = 1 << 20
_FEW = 100
_MOST_NAMES = 3


def headline(preds: Predictions, ece: float) -> Headline:
    """Return how good the model is, in numbers and sentences; ``ece`` is the calibration error."""
    model = preds.model
    hits = np.bincount(preds.y, weights=preds.correct, minlength=model.n_classes)
    training_accuracy = None
    if preds.training is not None:
        found = class_numbers(model.classes, model.predict(preds.training.X, preds.n_threads))
        training_accuracy = float((found == preds.training_labels).mean())
    W, _ = model.preprocessing.unfold(model.W, model.b)
    penalty = model.reg * float((W**2).sum())
    return Headline(
        accuracy=preds.accuracy,
        recalls=tuple(preds.share(int(hit), int(n)) for hit, n in zip(hits, preds.counts, strict=True)),
        baselines=_baselines(preds),
        training_accuracy=training_accuracy,
        on_training=preds.on_training,
        n_unknown=preds.n_unknown,
        loss=model.loss.name,
        delta=preds.delta,
        reg=model.reg,
        mean_loss=float(preds.losses.mean()),
        data_loss=model.value - penalty,
        penalty=penalty,
        answers=_answers(preds, ece),
        warnings=_warnings(preds),
    )


def certificate(preds: Predictions) -> Certificate:
    """Return the certificate of the fit."""
    model = preds.model
    value, bound = short(model.value, 8), short(model.lower_bound, 8)
    gap, tol = short(model.gap, 3), short(model.tol)
    if model.converged:
        words = (
            f"No weights can give an objective below {bound} (certified lower bound); this model reaches {value}. "
            f"Its relative gap of {gap} is within the tolerance {tol}: more passes or another solver cannot "
            f"improve the objective by more than this."
        )
    else:
        words = (
            f"The objective is {value} and its certified lower bound {bound}. Their relative gap of {gap} exceeds "
            f"the tolerance {tol}, so more passes may change this model."
        )
    names = ("value", "lower_bound", "gap", "tol", "converged", "n_passes", "seconds")
    return Certificate(**{name: getattr(model, name) for name in names}, words=words)


def origin(
    preds: Predictions, fingerprint: str, model_name: str, data_name: str, data_options: Sequence[str] = ()
) -> Origin:
    """Return the data and the model, and the commands that reproduce the report."""
    model = preds.model
    scaling = model.preprocessing.scaling
    options = [f"--loss {model.loss.name}", f"--reg {model.reg!r}", f"--tol {model.tol:g}", f"--scaling {scaling}"]
    if preds.delta is not None:
        options.append(f"--delta {preds.delta!r}")
    if model.preprocessing.rows == "l2":
        options.append("--normalize-rows")
        scaling += ", rows of norm 1"
    if model.image_size is not None:
        options.append("--image-size " + "x".join(map(str, model.image_size)))
    if model.extractor is not None:
        options += [shlex.quote(printable(word)) for word in model.extractor.arguments()]
    label = preds.data.label_column if preds.data.stored is None else None
    if label is not None and "--label-column" not in data_options:  # the model knows it, but a new fit does not
        options.append(f"--label-column {shlex.quote(printable(label))}")
    file, *source = (shlex.quote(printable(word)) for word in (model_name, data_name, *data_options))
    reading = " ".join(source)
    has_training = fingerprint == model.fingerprint or preds.training is not None
    return Origin(
        model=printable(model_name),
        data=printable(data_name),
        n_samples=preds.data.n_samples,
        n_features=model.n_features,
        fingerprint=fingerprint,
        trained_on=printable(model.data_name),
        n_training=model.n_samples,
        training_fingerprint=model.fingerprint,
        scaling=scaling,
        fitted=model.created,
        commands=(
            printable(model.command)
            or f"softmargin fit {reading if has_training else 'TRAINING_DATA'} -o {file} {' '.join(options)}",
            f"softmargin report {file} {reading} -o report.html",
        ),
        versions={**model.versions, "report by softmargin": __version__},
    )


def _answers(preds: Predictions, ece: float) -> tuple[tuple[str, str], ...]:
    """Return the summary: headings, each with a sentence or two."""
    model, accuracy = preds.model, preds.accuracy
    margin = "" if preds.delta is None else f" and Δ = {short(preds.delta)}"
    features = "" if model.extractor is None else f" on the features {printable(model.extractor.describe())}"
    chosen = "selected on held-out training samples" if model.selection else "given by the user"
    correct, samples = percent(accuracy.value or 0.0, 2), pluralize(accuracy.n, "sample")
    if accuracy.low is None or accuracy.high is None:
        words = (
            f"{correct} of the {pluralize(accuracy.n, 'training sample')} are classified correctly; this is not "
            f"an estimate for new samples."
        )
    else:
        interval = f"95 % confidence interval {percent(accuracy.low, 2)} to {percent(accuracy.high, 2)}"
        words = f"{correct} of {samples} are classified correctly ({interval})."
    fit = "Converged" if model.converged else "Did not converge"
    return (
        ("Loss and λ", f"The {model.loss.title} with λ = {short(model.reg)}{margin}{features}, {chosen}."),
        ("Accuracy", words),
        ("Convergence", f"{fit}: relative duality gap {short(model.gap, 3)} (tolerance {short(model.tol)})."),
        ("Probabilities", _probabilities(model, ece)),
        ("Most confused classes", _most_confused(preds)),
        ("Largest loss", _largest_loss(preds)),
    )


def _probabilities(model: Model, ece: float) -> str:
    if model.temperature is None:
        return f"None: the {model.loss.title} gives scores, and cross-validation fitted no temperature to them."
    start = "The softmax of the scores."
    if not model.is_probabilistic:
        start = probabilities_from(model.temperature)
    return f"{start} Expected calibration error: {percent(ece)}."


def _most_confused(preds: Predictions) -> str:
    wrong = np.flatnonzero(~preds.correct)
    if not len(wrong):
        if preds.n_unknown:
            return f"None besides {pluralize(preds.n_unknown, 'sample')} of unknown labels, which count as errors."
        return "None: every sample is classified correctly."
    pairs = np.sort(np.column_stack([preds.y[wrong], preds.predicted[wrong]]), axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    a, b = found[counts.argmax()].tolist()
    n, n_forth = int(counts.max()), int(((preds.y == a) & (preds.predicted == b)).sum())
    first, second = preds.classes[a], preds.classes[b]
    return (
        f"{first} and {second}, {pluralize(n, 'error')} ({first} predicted as {second}: {n_forth:,}; {second} "
        f"predicted as {first}: {n - n_forth:,})."
    )


def _largest_loss(preds: Predictions) -> str:
    model, i = preds.model, int(preds.losses.argmax())
    rival, own = preds.classes[preds.rival[i]], preds.classes[preds.y[i]]
    lead = -float(preds.margins[i])
    words = f"{preds.name(i)}, with a loss of {short(float(preds.losses[i]))}."
    if lead > 0:
        words += f" The score of {rival} is {short(lead)} higher than that of the true class, {own}."
    if model.is_probabilistic:
        p = float(preds.probabilities[i, preds.y[i]])
        return f"{words} The probability of the true class is {short(p, 3)}."
    n_over = int((preds.scores[i] > preds.own_score[i] - model.loss.score_scale).sum()) - 1
    return f"{words} Rival classes that violate the margin Δ: {n_over:,} of {model.n_classes - 1:,}."


def _warnings(preds: Predictions) -> tuple[str, ...]:
    model, found = preds.model, []
    if preds.on_training:
        found.append(
            "These are the training samples of the model, so all results are too optimistic; use data that the "
            "model has not seen."
        )
    if preds.n_unknown:
        names = some_of(preds.unknown, _MOST_NAMES, repr)
        found.append(
            f"Labels that are not classes of the model count as errors: {names} "
            f"({pluralize(preds.n_unknown, 'sample')}, only in the accuracy)."
        )
    absent = [preds.classes[k] for k in np.flatnonzero(preds.counts == 0)]
    if absent:
        more = "" if len(absent) <= _MOST_NAMES else f" and {len(absent) - _MOST_NAMES:,} more"
        found.append(f"No sample belongs to class {', '.join(map(repr, absent[:_MOST_NAMES]))}{more}.")
    if preds.n < _FEW and not preds.on_training:
        found.append(f"Only {pluralize(preds.n, 'sample')}: note the width of the intervals.")
    if not model.converged:
        found.append(f"The fit did not converge: relative duality gap {short(model.gap, 3)} > {short(model.tol)}.")
    return tuple(found)


def _baselines(preds: Predictions) -> tuple[Baseline, ...]:
    n, training = preds.n + preds.n_unknown, preds.training
    labels = preds.y if training is None else preds.training_labels[preds.training_labels >= 0]
    top = int(np.bincount(labels, minlength=preds.model.n_classes).argmax())
    found = [Baseline("most frequent class", preds.share(int(preds.counts[top]), n))]
    if training is not None:
        correct = int((_nearest_centroid(preds) == preds.y).sum())
        found.append(Baseline("nearest centroid", preds.share(correct, n)))
    return tuple(found)


def _nearest_centroid(preds: Predictions) -> Ints:
    """Return the class of the nearest centroid of each sample: also a linear rule, on preprocessed features."""
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
    # |z - m|² is smallest where z·m - |m|²/2 is largest.
    W = (means * scale).T
    b = -0.5 * (means**2).sum(axis=1) - mean @ W
    b[counts == 0] = -np.inf
    best = np.empty(preds.n, dtype=np.int64)
    for start in range(0, preds.n, step):
        rows = slice(start, start + step)
        best[rows] = (rows_for(model, preds.X[rows]) @ W + b).argmax(axis=1)
    return best
