"""Evaluate a model or a fitted estimator on labelled samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin import metrics
from softmargin.arguments import Floats, Ints, brief
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.evaluation.parts import evaluate_shards
from softmargin.evaluation.records import Evaluation, Metric, Share
from softmargin.evaluation.summary import (
    NO_PROBABILITIES,
    checked_top_k,
    evaluation_of,
    measured,
    share_of,
    some_labels,
)
from softmargin.evaluation.tallies import scored, tally_of
from softmargin.labels import check_groups, labels_of_rows
from softmargin.losses import softmax
from softmargin.model import Model
from softmargin.model.predict import class_numbers
from softmargin.shards import Shards, as_shards

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["evaluate"]


def evaluate(
    model: Model | Any,
    X: ArrayLike | csr_array | Shards,
    y: ArrayLike | None,
    groups: ArrayLike | None = None,
    *,
    top_k: int | None = None,
    engine: str = "auto",
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

    Data in shards are evaluated part by part, from counts and sums alone. So AUROC, which needs the order of all
    scores, is None for them. Their labels are read as the classes of the model, such as "1" as 1.

    Parameters
    ----------
    model : Model, or fitted LinearClassifier or LinearClassifierCV
    X : array-like or sparse array of shape (N, D), Shards or dask array
        Raw features.
    y : array-like of shape (N,)
        Labels: strings or integers. None for `Shards`, which have their own.
    groups : array-like of shape (N,), optional
        Group of each sample, for the accuracy by group: strings or integers. Not for data in shards.
    top_k : int, optional
        The k of the top-k accuracy, below the number of classes. By default 5, if there are more than 5 classes.
    engine : {"auto", "chunked", "dask"}, default "auto"
        Where data in shards are evaluated: in this process, or by the workers of the current client of Dask.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If X, y or the groups are invalid, or if no label is a class of the model.
    ParameterError
        If the model or ``top_k`` is invalid.
    CapabilityError
        If the data are in memory and ``engine`` is for shards.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> classifier = sm.LinearClassifier(reg=1e-3).fit(digits.X, digits.y)
    >>> found = sm.evaluate(classifier, digits.test.X, digits.test.y)
    >>> found.accuracy.value > 0.9, found.accuracy.low < found.accuracy.value < found.accuracy.high
    (True, True)
    """
    if (shards := as_shards(X, y)) is not None:
        if groups is not None:
            raise ParameterError("groups must be None for data in shards, which have none.")
        return evaluate_shards(model, shards, top_k=top_k, engine=engine)
    if engine != "auto":
        raise CapabilityError(f"engine must be 'auto' for data in memory, got {brief(engine)}; use open_shards.")
    classes, scores, temperature = scored(model, X)
    if len(scores) == 0:
        raise DataError("X must contain at least one sample to evaluate, got none.")
    k = checked_top_k(top_k, len(classes))
    if y is None:
        raise DataError("y must hold one label per row of X, got None; only shards have labels of their own.")
    labels = labels_of_rows(y, len(scores))
    tally = tally_of(scores, labels, classes, temperature, k)
    codes = class_numbers(classes, labels)
    return evaluation_of(
        tally,
        classes,
        k,
        _auroc(scores, codes, classes, temperature),
        () if groups is None else _groups(groups, scores.argmax(axis=1) == codes),
    )


def _auroc(scores: Floats, codes: Ints, classes: NDArray[Any], temperature: float | None) -> Metric:
    """Return the AUROC of the samples with known labels; ``codes`` are -1 for others."""
    known = codes >= 0
    scores, y = scores[known], codes[known]
    absent = classes[np.bincount(y, minlength=len(classes)) == 0]
    if len(absent):
        return Metric(None, reason=f"no sample belongs to the class {some_labels(absent.tolist())}")
    if len(classes) == 2:
        ranked = scores[:, 1:] - scores[:, :1]
    elif temperature is None:
        return Metric(None, reason=NO_PROBABILITIES)
    else:
        ranked = softmax(scores / temperature)
    return measured(metrics.one_vs_rest_auroc(ranked, y))


def _groups(groups: ArrayLike, correct: NDArray[np.bool_]) -> tuple[Share, ...]:
    values = np.asarray(groups)
    if values.shape != correct.shape:
        raise DataError(f"groups must have shape {correct.shape}, one per row of X, got {values.shape}.")
    check_groups(groups)
    if values.dtype.kind not in "biuU":
        values = np.array([str(value) for value in values])
    names, numbers = np.unique(values, return_inverse=True)
    counts, hits = np.bincount(numbers), np.bincount(numbers, weights=correct).astype(np.int64)
    return tuple(map(share_of, names.tolist(), counts.tolist(), hits.tolist()))
