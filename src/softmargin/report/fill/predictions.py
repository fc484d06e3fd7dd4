"""The scores of the model on the samples of a report, computed once, and what follows from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from softmargin.data import Dataset
from softmargin.errors import DataError
from softmargin.losses import softmax
from softmargin.losses.base import Floats, Ints
from softmargin.model import Model
from softmargin.model.predict import class_numbers
from softmargin.preprocessing import unit_rows
from softmargin.report.panels import Sample, Share, Term
from softmargin.statistics import wilson_interval
from softmargin.text import Phrase, printable, truncate

__all__ = ["Predictions", "margins_of", "name_of", "rows_for"]

_MOST_TERMS = 12
_MOST_CLASSES_NAMED = 3
_LONGEST_TEXT = 120


class Predictions:
    """The model's scores on the labelled samples of a data set, in the order of the data.

    Samples with unknown labels have no loss; they are counted and left out.
    """

    def __init__(
        self, model: Model, data: Dataset, training: Dataset | None, n_threads: int | None, *, on_training: bool
    ) -> None:
        if data.y is None or data.n_samples == 0:
            raise DataError(f"A report needs labelled samples, got none in {printable(data.name)}.")
        self.model, self.data, self.training, self.n_threads = model, data, training, n_threads
        self.on_training = on_training
        codes = class_numbers(model.classes, data.y)
        self.rows: Ints = np.flatnonzero(codes >= 0)
        """Rows of the data that are in the panels."""
        self.n_unknown = len(codes) - len(self.rows)
        self.unknown = np.unique(data.y[codes < 0]).tolist()
        """The labels that are not classes of the model."""
        if not len(self.rows):
            found = ", ".join(map(repr, np.unique(data.y)[:_MOST_CLASSES_NAMED].tolist()))
            raise DataError(f"None of the labels of {printable(data.name)} ({found}, …) is a class of this model.")
        self.y: Ints = codes[self.rows]
        self.X = data.X if not self.n_unknown else data.X[self.rows]
        self.scores = model.scores(self.X, n_threads)
        self.losses = model.loss.values(self.scores, self.y)
        self.predicted: Ints = self.scores.argmax(axis=1)
        self.correct = self.predicted == self.y
        self.counts = np.bincount(self.y, minlength=model.n_classes)
        self.own_score = self.scores[np.arange(self.n), self.y]
        self.margins, self.rival = margins_of(self.scores, self.y)
        """Margin and strongest rival class of each sample."""

    @property
    def n(self) -> int:
        """Number of samples in the panels."""
        return len(self.rows)

    @property
    def delta(self) -> float | None:
        """Δ of the loss, if it has one."""
        return self.model.loss.parameters().get("delta")

    @cached_property
    def accuracy(self) -> Share:
        """Accuracy on all labelled samples."""
        return self.share(int(self.correct.sum()), self.n + self.n_unknown)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(printable(label) for label in self.model.classes.tolist())

    @cached_property
    def probabilities(self) -> Floats:
        """Softmax of the scores divided by the temperature of the model; of the scores alone if it has none."""
        return softmax(self.scores / (self.model.temperature or 1.0))

    @cached_property
    def training_labels(self) -> Ints:
        """Class number of each training sample, -1 for an unknown label."""
        assert self.training is not None
        assert self.training.y is not None
        return class_numbers(self.model.classes, self.training.y)

    def share(self, n_correct: int, n: int) -> Share:
        """Return a share, with Wilson's 95 % interval unless the model was trained on these samples."""
        if n == 0:
            return Share(0, 0, None, None, None)
        low, high = (None, None) if self.on_training else wilson_interval(n_correct, n)
        return Share(int(n_correct), int(n), n_correct / n, low, high)

    def name(self, i: int) -> str:
        """Return the name of a sample: its file, or its row."""
        return name_of(self.data, int(self.rows[i]))

    def sample(self, i: int, picture: int | None) -> Sample:
        """Return the record of a sample, with the terms of its loss."""
        scores, y = self.scores[i], int(self.y[i])
        if self.model.is_probabilistic:
            values = softmax(scores[None])[0]
        else:  # the term of each rival: the loss of the two scores s_y and s_j alone
            pairs = np.column_stack([np.full(len(scores), scores[y]), scores])
            values = self.model.loss.values(pairs, np.zeros(len(scores), dtype=np.int64))
            values[y] = 0.0
        order = np.argsort(-scores, kind="stable")
        kept = order[:_MOST_TERMS]
        if y not in kept:
            kept = np.append(kept[:-1], y)
        rest = np.setdiff1d(order, kept)
        return Sample(
            row=int(self.rows[i]),
            name=self.name(i),
            label=y,
            predicted=int(self.predicted[i]),
            loss=float(self.losses[i]),
            margin=float(self.margins[i]),
            terms=tuple(Term(int(j), float(scores[j]), float(values[j])) for j in kept),
            n_rest=len(rest),
            rest=float(values[rest].sum()),
            picture=picture,
        )


def margins_of(scores: Floats, y: Ints) -> tuple[Floats, Ints]:
    """Return s_y - max_{j≠y} s_j and that j of each sample; ``scores`` (N, C) are modified temporarily."""
    rows = np.arange(len(y))
    own = scores[rows, y]
    scores[rows, y] = -np.inf
    rival = scores.argmax(axis=1)
    margins = own - scores[rows, rival]
    scores[rows, y] = own
    return margins, rival


def name_of(data: Dataset, row: int) -> str:
    """Return the name of a row of a data set: its text, its id or its number."""
    if data.inputs is not None and data.inputs.kind == "texts":
        return truncate(printable(data.inputs.item(row)), _LONGEST_TEXT)
    return Phrase("row {0}", str(row)) if data.ids is None else printable(data.ids[row])


def rows_for(model: Model, X: Any) -> Any:
    """Return rows of X in float64, with norm 1 if the model normalizes its rows."""
    return (unit_rows(X) if model.preprocessing.rows == "l2" else X).astype(np.float64)
