"""The record of an evaluation from the counts of all samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from softmargin import metrics
from softmargin.arguments import brief, check_count
from softmargin.errors import DataError, ParameterError
from softmargin.evaluation.records import Evaluation, Metric, Share
from softmargin.evaluation.tallies import Tally
from softmargin.metrics import Measured
from softmargin.statistics import wilson_interval
from softmargin.text import some_of

__all__ = ["NO_PROBABILITIES", "checked_top_k", "evaluation_of", "measured", "share_of", "some_labels"]

NO_PROBABILITIES = "the loss defines no probabilities, and the model has no temperature"
_TOP_K = 5
_MOST_NAMED = 3


def evaluation_of(
    tally: Tally, classes: NDArray[Any], top_k: int, auroc: Metric, groups: tuple[Share, ...] = ()
) -> Evaluation:
    """Return the record of an evaluation.

    Parameters
    ----------
    tally : Tally
        Of all samples.
    classes : ndarray of shape (C,)
    top_k : int
        As of `checked_top_k`.
    auroc : Metric
        It does not follow from counts.
    groups : tuple of Share

    Raises
    ------
    DataError
        If no label is a class of the model.
    """
    names, (unknown, confusion) = classes.tolist(), tally.confusion()
    n = int(confusion.sum())
    if tally.n_known == 0:
        raise DataError(
            f"y must hold at least one class of the model ({some_labels(names)}), got only other labels "
            f"({some_labels(unknown)})."
        )
    top = Metric(None, reason=f"top {top_k} of {len(names)} classes is always correct")
    counts, hits = confusion.sum(axis=1).tolist(), confusion.diagonal().tolist()
    shares = zip([*names, *unknown], counts, hits, strict=True)
    return Evaluation(
        n_samples=n,
        n_classes=len(names),
        top_k=top_k,
        accuracy=_proportion(sum(hits), n),
        top_k_accuracy=top if top_k >= len(names) else _proportion(tally.n_top, n),
        balanced_accuracy=measured(metrics.balanced_accuracy(confusion)),
        macro_f1=measured(metrics.macro_f1(confusion)),
        auroc=auroc,
        **_of_probabilities(tally),
        classes=tuple(share_of(name, n, n_hits) for name, n, n_hits in shares if n),
        groups=groups,
        labels=(*names, *unknown),
        confusion=confusion,
        unknown_labels=tuple(unknown),
    )


def checked_top_k(top_k: int | None, n_classes: int) -> int:
    """Return the k of the top-k accuracy, or raise a `ParameterError` if the one given is not below C."""
    if top_k is not None and check_count("top_k", top_k) >= n_classes:
        raise ParameterError(f"top_k must be below the number of classes ({n_classes}), got {top_k}.")
    return top_k or _TOP_K


def measured(found: Measured, *, bounded: bool = True) -> Metric:
    """Return a metric with its interval; a ``bounded`` one is from 0 to 1."""
    interval = found.proportion_interval() if bounded else found.normal_interval()
    return Metric(found.value, *(interval or (None, None)))


def share_of(name: Any, n: int, n_hits: int) -> Share:
    """Return the share of a class or a group."""
    return Share(name, n, n_hits, _proportion(n_hits, n))


def some_labels(names: Sequence[Any]) -> str:
    """Return the first of some labels, for messages."""
    return some_of(names, _MOST_NAMED, brief)


def _of_probabilities(tally: Tally) -> dict[str, Metric]:
    found = tally.probabilities
    if found is None:
        return dict.fromkeys(("log_loss", "brier", "ece"), Metric(None, reason=NO_PROBABILITIES))
    return {
        "log_loss": measured(metrics.mean_of(found.log_loss), bounded=False),
        "brier": measured(metrics.mean_of(found.brier), bounded=False),
        "ece": measured(metrics.expected_calibration_error(found.bins), bounded=False),
    }


def _proportion(n_hits: int, n: int) -> Metric:
    return Metric(n_hits / n, *wilson_interval(n_hits, n))
