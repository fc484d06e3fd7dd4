"""The record of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from softmargin.arguments import Ints

__all__ = ["Evaluation", "Metric", "Share"]


@dataclass(frozen=True)
class Metric:
    """A metric with its 95 % interval.

    Attributes
    ----------
    value : float or None
        None if the metric is not defined for the model or the samples.
    low, high : float or None
        None if there is no interval.
    reason : str
        Why ``value`` is None; else "".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Share:
    """The samples of a class or of a group.

    Attributes
    ----------
    name : str or int
        The label of the class, or the value of the group.
    n : int
        Number of samples.
    n_correct : int
    accuracy : Metric
        Fraction of these samples that are classified correctly (of a class: its recall), with Wilson's interval.
    """

    name: Any
    n: int
    n_correct: int
    accuracy: Metric

    def record(self, title: str) -> dict[str, Any]:
        """Return a dict of JSON values, with the accuracy under this ``title``."""
        interval = None if self.accuracy.low is None else [self.accuracy.low, self.accuracy.high]
        return {"name": self.name, "n": self.n, title: self.accuracy.value, "interval": interval}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`.

    Attributes
    ----------
    n_samples : int
    n_classes : int
        Number of classes of the model.
    top_k : int
        The k of ``top_k_accuracy``.
    accuracy, top_k_accuracy, balanced_accuracy, macro_f1, log_loss, brier, auroc, ece : Metric
        See `evaluate`.
    classes : tuple of Share
        One per label that occurs, with its recall.
    groups : tuple of Share
        Empty without groups.
    labels : tuple
        Labels of the rows and columns of ``confusion``: the classes of the model, then unknown labels.
    confusion : ndarray of shape (L, L), int64
        Number of samples of each true label (row) and predicted label (column).
    unknown_labels : tuple
        Labels that are not classes of the model.
    """

    n_samples: int
    n_classes: int
    top_k: int
    accuracy: Metric
    top_k_accuracy: Metric
    balanced_accuracy: Metric
    macro_f1: Metric
    log_loss: Metric
    brier: Metric
    auroc: Metric
    ece: Metric
    classes: tuple[Share, ...]
    groups: tuple[Share, ...]
    labels: tuple[Any, ...]
    confusion: Ints
    unknown_labels: tuple[Any, ...]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of all samples, by name."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: metric for name, metric in found if isinstance(metric, Metric)}

    @property
    def worst_class(self) -> Share:
        """The class with the lowest recall; of equal ones the largest."""
        return min(self.classes, key=_rank)

    @property
    def worst_group(self) -> Share | None:
        """The group with the lowest accuracy; of equal ones the largest. None without groups."""
        return min(self.groups, key=_rank, default=None)

    def confused(self) -> list[tuple[Any, Any, int]]:
        """Return true label, predicted label and number of the confusions, the most frequent first."""
        counts = self.confusion.copy()
        np.fill_diagonal(counts, 0)
        true, predicted = np.nonzero(counts)
        order = np.argsort(-counts[true, predicted], kind="stable")
        pairs = zip(true[order].tolist(), predicted[order].tolist(), strict=True)
        return [(self.labels[a], self.labels[b], int(counts[a, b])) for a, b in pairs]

    def without_intervals(self) -> Evaluation:
        """Return the same without intervals, for training samples, where they would not be valid."""

        def bare(metric: Metric) -> Metric:
            return replace(metric, low=None, high=None)

        changed: dict[str, Any] = {name: bare(metric) for name, metric in self.metrics.items()}
        for name in ("classes", "groups"):
            changed[name] = tuple(replace(s, accuracy=bare(s.accuracy)) for s in getattr(self, name))
        return replace(self, **changed)

    def record(self) -> dict[str, Any]:
        """Return a dict of JSON values; ``undefined`` has the reason of each metric that is None."""
        found, worst_group = self.metrics, self.worst_group
        return {
            "n_samples": self.n_samples,
            **{name: metric.value for name, metric in found.items()},
            "top_k": self.top_k,
            "intervals": {
                name: [metric.low, metric.high] for name, metric in found.items() if metric.low is not None
            },
            "undefined": {name: metric.reason for name, metric in found.items() if metric.value is None},
            "worst_class": self.worst_class.record("recall"),
            "worst_group": None if worst_group is None else worst_group.record("accuracy"),
            "classes": [share.record("recall") for share in self.classes],
            "groups": [share.record("accuracy") for share in self.groups],
            "confused": [{"class": a, "predicted": b, "count": n} for a, b, n in self.confused()],
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "unknown_labels": list(self.unknown_labels),
        }


def _rank(share: Share) -> tuple[float, int]:
    return share.n_correct / share.n, -share.n
