"""Evaluate a model or a fitted estimator on labelled samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin import metrics
from softmargin.arguments import Floats, Ints, brief, check_count
from softmargin.errors import DataError, ParameterError
from softmargin.evaluation.records import Evaluation, Metric, Share
from softmargin.labels import check_groups, labels_of_rows
from softmargin.losses import CrossEntropy, softmax
from softmargin.metrics import Measured
from softmargin.model import Model
from softmargin.model.predict import class_numbers
from softmargin.statistics import wilson_interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["evaluate"]

_TOP_K = 5
_MOST_NAMED = 3


def evaluate(
    model: Model | Any,
    X: ArrayLike | csr_array,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    top_k: int | None = None,
) -> Evaluation:
    """Evaluate a classifier on labelled samples.

    ==================  ==============================================================================
    accuracy            fraction of correct predictions
    top_k_accuracy      fraction of samples whose label is among the k classes of largest score
    balanced_accuracy   mean recall of the classes that occur
    macro_f1            mean F1 of the classes that occur or are predicted
    log_loss            mean of -log of the probability of the label
    brier               mean of Σ_c (P_c - [y = c])²; for two classes half of it
    auroc               area under the ROC curve: mean of each class against all others
    ece                 expected calibration error, 15 bins of equal width
    ==================  ==============================================================================

    A label that is not a class of the model counts as an error in the first four; the last four leave these
    samples out. The last four need probabilities: cross-entropy, or a hinge loss with a temperature from
    cross-validation. For two classes AUROC needs none, since the difference of the scores gives the same order.

    Intervals of accuracy, top-k accuracy, recalls and groups are Wilson's. The others follow from the influence
    of each sample (see `softmargin.metrics`), without random numbers. They are for independent samples.

    Parameters
    ----------
    model : Model, or fitted LinearClassifier or LinearClassifierCV
    X : array-like or sparse array of shape (N, D)
        Raw features.
    y : array-like of shape (N,)
        Labels: strings or integers.
    groups : array-like of shape (N,), optional
        Group of each sample, for the accuracy by group: strings or integers.
    top_k : int, optional
        The k of the top-k accuracy, below the number of classes. By default 5, if there are more than 5 classes.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If X, y or the groups are invalid, or if no label is a class of the model.
    ParameterError
        If the model or ``top_k`` is invalid.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> classifier = sm.LinearClassifier(reg=1e-3).fit(digits.X, digits.y)
    >>> found = sm.evaluate(classifier, digits.test.X, digits.test.y)
    >>> found.accuracy.value > 0.9, found.accuracy.low < found.accuracy.value < found.accuracy.high
    (True, True)
    """
    classes, scores, temperature = _scored(model, X)
    n_samples, n_classes = scores.shape
    if n_samples == 0:
        raise DataError("X must contain at least one sample to evaluate, got none.")
    if top_k is not None and check_count("top_k", top_k) >= n_classes:
        raise ParameterError(f"top_k must be below the number of classes ({n_classes}), got {top_k}.")
    labels = labels_of_rows(y, n_samples)
    names, codes = _numbered(classes, labels)
    unknown = tuple(names[n_classes:])
    if codes.min() >= n_classes:
        raise DataError(
            f"y must hold at least one class of the model ({_some(names[:n_classes])}), got only other labels "
            f"({_some(unknown)})."
        )
    predicted = scores.argmax(axis=1)
    correct = codes == predicted
    numbers, inverse = np.unique(codes, return_inverse=True)
    found = {
        "accuracy": _proportion(correct),
        "top_k_accuracy": _top_k(scores, codes, top_k),
        "balanced_accuracy": _measured(metrics.balanced_accuracy(codes, predicted)),
        "macro_f1": _measured(metrics.macro_f1(codes, predicted)),
    }
    confusion = metrics.confusion_matrix(codes, predicted, len(names))
    known = codes < n_classes
    return Evaluation(
        n_samples=n_samples,
        n_classes=n_classes,
        top_k=top_k or _TOP_K,
        **found,
        **_of_probabilities(scores[known], codes[known], names, temperature),
        classes=_shares([names[k] for k in numbers], inverse, correct),
        groups=() if groups is None else _groups(groups, correct),
        labels=tuple(names),
        confusion=confusion,
        unknown_labels=unknown,
    )


def _scored(model: Model | Any, X: ArrayLike | csr_array) -> tuple[NDArray[Any], Floats, float | None]:
    """Return classes, scores (N, C) and the temperature of a model or a fitted estimator."""
    if isinstance(model, Model):
        return model.classes, model.scores(X), model.temperature
    if not (hasattr(model, "loss_") and hasattr(model, "decision_function")):
        raise ParameterError(f"model must be a Model or a fitted LinearClassifier, got {brief(model)}.")
    scores = model.decision_function(X)
    if scores.ndim == 1:  # the second score minus the first: probabilities and predictions are the same
        scores = np.column_stack((np.zeros_like(scores), scores))
    calibration = getattr(model, "calibration_", None)
    own = 1.0 if model.loss_.probabilistic else None
    return model.classes_, scores, own if calibration is None else calibration.temperature


def _numbered(classes: NDArray[Any], labels: NDArray[Any]) -> tuple[list[Any], Ints]:
    """Return the names of all labels, classes of the model first, and the number of each label among them."""
    codes = class_numbers(classes, labels)
    other = codes < 0
    unknown, numbers = np.unique(labels[other], return_inverse=True)
    codes[other] = len(classes) + numbers
    return [*classes.tolist(), *unknown.tolist()], codes


def _of_probabilities(scores: Floats, y: Ints, names: list[Any], temperature: float | None) -> dict[str, Metric]:
    """Return the metrics of probabilities, on samples with known labels."""
    n_classes = scores.shape[1]
    none = Metric(None, reason="the loss defines no probabilities, and the model has no temperature")
    found = dict.fromkeys(("log_loss", "brier", "auroc", "ece"), none)
    scaled = None if temperature is None else scores / temperature
    P = None if scaled is None else softmax(scaled)
    if scaled is not None and P is not None:
        found["log_loss"] = _measured(metrics.mean_of(CrossEntropy().values(scaled, y)), bounded=False)
        found["brier"] = _measured(metrics.brier_score(P, y), bounded=False)
        found["ece"] = _measured(metrics.expected_calibration_error(P, y), bounded=False)
    absent = np.flatnonzero(np.bincount(y, minlength=n_classes) == 0)
    ranked = scores[:, 1:] - scores[:, :1] if n_classes == 2 else P
    if len(absent):
        found["auroc"] = Metric(None, reason=f"no sample belongs to the class {_some([names[k] for k in absent])}")
    elif ranked is not None:
        found["auroc"] = _measured(metrics.one_vs_rest_auroc(ranked, y))
    return found


def _top_k(scores: Floats, y: Ints, top_k: int | None) -> Metric:
    k, n_classes = top_k or _TOP_K, scores.shape[1]
    if k >= n_classes:
        return Metric(None, reason=f"top {k} of {n_classes} classes is always correct")
    return _proportion(metrics.top_k_hits(scores, y, k))


def _proportion(hits: NDArray[np.bool_]) -> Metric:
    n_hits, n = int(hits.sum()), len(hits)
    return Metric(n_hits / n, *wilson_interval(n_hits, n))


def _measured(found: Measured, *, bounded: bool = True) -> Metric:
    interval = found.proportion_interval() if bounded else found.normal_interval()
    return Metric(found.value, *(interval or (None, None)))


def _shares(names: list[Any], numbers: Ints, correct: NDArray[np.bool_]) -> tuple[Share, ...]:
    """Return the share of each class or group; ``numbers`` are indices of ``names``."""
    counts, hits = np.bincount(numbers), np.bincount(numbers, weights=correct).astype(np.int64)
    return tuple(
        Share(name, n, n_hits, Metric(n_hits / n, *wilson_interval(n_hits, n)))
        for name, n, n_hits in zip(names, counts.tolist(), hits.tolist(), strict=True)
    )


def _groups(groups: ArrayLike, correct: NDArray[np.bool_]) -> tuple[Share, ...]:
    values = np.asarray(groups)
    if values.shape != correct.shape:
        raise DataError(f"groups must have shape {correct.shape}, one per row of X, got {values.shape}.")
    check_groups(groups)
    if values.dtype.kind not in "biuU":
        values = np.array([str(value) for value in values])
    names, numbers = np.unique(values, return_inverse=True)
    return _shares(names.tolist(), numbers, correct)


def _some(names: Sequence[Any]) -> str:
    more = f", … ({len(names) - _MOST_NAMED:,} more)" if len(names) > _MOST_NAMED else ""
    return ", ".join(brief(name) for name in names[:_MOST_NAMED]) + more
