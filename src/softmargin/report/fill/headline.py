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
from softmargin.report.wording import percent, probabilities_from, short, title
from softmargin.text import Phrase, pluralize, printable, some_of

__all__ = ["certificate", "headline", "origin"]

_BLOCK_ELEMENTS = 1 << 20
_FEW = 100
_MOST_NAMES = 3
_SCALINGS = {"none": Phrase("none"), "pixel": Phrase("pixel"), "standard": Phrase("standard")}


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
        words = Phrase(
            "No weights can give an objective below {1} (certified lower bound); this model reaches {0}. Its "
            "relative gap of {2} is within the tolerance {3}: more passes or another solver cannot improve the "
            "objective by more than this.",
            value,
            bound,
            gap,
            tol,
        )
    else:
        words = Phrase(
            "The objective is {0} and its certified lower bound {1}. Their relative gap of {2} exceeds the "
            "tolerance {3}, so more passes may change this model.",
            value,
            bound,
            gap,
            tol,
        )
    names = ("value", "lower_bound", "gap", "tol", "converged", "n_passes", "seconds")
    return Certificate(**{name: getattr(model, name) for name in names}, words=words)


def origin(
    preds: Predictions, fingerprint: str, model_name: str, data_name: str, data_options: Sequence[str] = ()
) -> Origin:
    """Return the data and the model, and the commands that reproduce the report."""
    model = preds.model
    name = model.preprocessing.scaling
    scaling = _SCALINGS.get(name, name)
    options = [f"--loss {model.loss.name}", f"--reg {model.reg!r}", f"--tol {model.tol:g}", f"--scaling {name}"]
    if preds.delta is not None:
        options.append(f"--delta {preds.delta!r}")
    if model.preprocessing.rows == "l2":
        options.append("--normalize-rows")
        scaling = Phrase("{0}, rows of norm 1", scaling)
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
            Phrase("softmargin report {0} {1} -o report.html", file, reading),
        ),
        versions={**model.versions, "report by softmargin": __version__},
    )


def _answers(preds: Predictions, ece: float) -> tuple[tuple[str, str], ...]:
    """Return the summary: headings, each with a sentence or two."""
    model, accuracy = preds.model, preds.accuracy
    correct = percent(accuracy.value or 0.0, 2)
    if accuracy.low is None or accuracy.high is None:
        words = Phrase(
            "{0} of the {1} are classified correctly; this is not an estimate for new samples.",
            correct,
            pluralize(accuracy.n, "training sample"),
        )
    else:
        words = Phrase(
            "{0} of {1} are classified correctly (95 % confidence interval {2} to {3}).",
            correct,
            pluralize(accuracy.n, "sample"),
            percent(accuracy.low, 2),
            percent(accuracy.high, 2),
        )
    gap, tol = short(model.gap, 3), short(model.tol)
    if model.converged:
        fit = Phrase("Converged: relative duality gap {0} (tolerance {1}).", gap, tol)
    else:
        fit = Phrase("Did not converge: relative duality gap {0} (tolerance {1}).", gap, tol)
    return (
        (Phrase("Loss and λ"), _loss_and_reg(preds)),
        (Phrase("Accuracy"), words),
        (Phrase("Convergence"), fit),
        (Phrase("Probabilities"), _probabilities(model, ece)),
        (Phrase("Most confused classes"), _most_confused(preds)),
        (Phrase("Largest loss"), _largest_loss(preds)),
    )


def _loss_and_reg(preds: Predictions) -> str:
    model = preds.model
    found = Phrase("The {0} with λ = {1}", title(model.loss), short(model.reg))
    if preds.delta is not None:
        found = Phrase("{0} and Δ = {1}", found, short(preds.delta))
    if model.extractor is not None:
        found = Phrase("{0} on the features {1}", found, printable(model.extractor.describe()))
    if model.selection:
        return Phrase("{0}, selected on held-out training samples.", found)
    return Phrase("{0}, given by the user.", found)


def _probabilities(model: Model, ece: float) -> str:
    if model.temperature is None:
        return Phrase(
            "None: the {0} gives scores, and cross-validation fitted no temperature to them.", title(model.loss)
        )
    start: str = Phrase("The softmax of the scores.")
    if not model.is_probabilistic:
        start = probabilities_from(model.temperature)
    return Phrase("{0} Expected calibration error: {1}.", start, percent(ece))


def _most_confused(preds: Predictions) -> str:
    wrong = np.flatnonzero(~preds.correct)
    if not len(wrong):
        if preds.n_unknown:
            unknown = pluralize(preds.n_unknown, "sample")
            return Phrase("None besides {0} of unknown labels, which count as errors.", unknown)
        return Phrase("None: every sample is classified correctly.")
    pairs = np.sort(np.column_stack([preds.y[wrong], preds.predicted[wrong]]), axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    a, b = found[counts.argmax()].tolist()
    n, n_forth = int(counts.max()), int(((preds.y == a) & (preds.predicted == b)).sum())
    first, second = preds.classes[a], preds.classes[b]
    return Phrase(
        "{0} and {1}, {2} ({0} predicted as {1}: {3}; {1} predicted as {0}: {4}).",
        first,
        second,
        pluralize(n, "error"),
        f"{n_forth:,}",
        f"{n - n_forth:,}",
    )


def _largest_loss(preds: Predictions) -> str:
    model, i = preds.model, int(preds.losses.argmax())
    rival, own = preds.classes[preds.rival[i]], preds.classes[preds.y[i]]
    lead = -float(preds.margins[i])
    words = [Phrase("{0}, with a loss of {1}.", preds.name(i), short(float(preds.losses[i])))]
    if lead > 0:
        words.append(
            Phrase("The score of {0} is {1} higher than that of the true class, {2}.", rival, short(lead), own)
        )
    if model.is_probabilistic:
        p = float(preds.probabilities[i, preds.y[i]])
        words.append(Phrase("The probability of the true class is {0}.", short(p, 3)))
    else:
        n_over = int((preds.scores[i] > preds.own_score[i] - model.loss.score_scale).sum()) - 1
        n_rivals = f"{model.n_classes - 1:,}"
        words.append(Phrase("Rival classes that violate the margin Δ: {0} of {1}.", f"{n_over:,}", n_rivals))
    return Phrase.joined(" ", words)


def _warnings(preds: Predictions) -> tuple[str, ...]:
    model, found = preds.model, list[str]()
    if preds.on_training:
        found.append(
            Phrase(
                "These are the training samples of the model, so all results are too optimistic; use data that "
                "the model has not seen."
            )
        )
    if preds.n_unknown:
        names = some_of(preds.unknown, _MOST_NAMES, repr)
        found.append(
            Phrase(
                "Labels that are not classes of the model count as errors: {0} ({1}, only in the accuracy).",
                names,
                pluralize(preds.n_unknown, "sample"),
            )
        )
    absent = [preds.classes[k] for k in np.flatnonzero(preds.counts == 0)]
    if absent:
        named = Phrase.joined(", ", map(repr, absent[:_MOST_NAMES]))
        if len(absent) > _MOST_NAMES:
            named = Phrase("{0} and {1} more", named, f"{len(absent) - _MOST_NAMES:,}")
        found.append(Phrase("No sample belongs to class {0}.", named))
    if preds.n < _FEW and not preds.on_training:
        found.append(Phrase("Only {0}: note the width of the intervals.", pluralize(preds.n, "sample")))
    if not model.converged:
        gap, tol = short(model.gap, 3), short(model.tol)
        found.append(Phrase("The fit did not converge: relative duality gap {0} > {1}.", gap, tol))
    return tuple(found)


def _baselines(preds: Predictions) -> tuple[Baseline, ...]:
    n, training = preds.n + preds.n_unknown, preds.training
    labels = preds.y if training is None else preds.training_labels[preds.training_labels >= 0]
    top = int(np.bincount(labels, minlength=preds.model.n_classes).argmax())
    found = [Baseline(Phrase("most frequent class"), preds.share(int(preds.counts[top]), n))]
    if training is not None:
        correct = int((_nearest_centroid(preds) == preds.y).sum())
        found.append(Baseline(Phrase("nearest centroid"), preds.share(correct, n)))
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
