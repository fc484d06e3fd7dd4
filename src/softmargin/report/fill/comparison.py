"""Several models on the same samples, with the significance of their differences."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from softmargin.errors import DataError
from softmargin.model import Model
from softmargin.report.fill.predictions import Predictions, margins_of
from softmargin.report.fill.samples import SampleStore
from softmargin.report.panels import ComparedModel, Disagreement, ModelComparison, PairTest
from softmargin.statistics import mcnemar

__all__ = ["model_comparison"]

_MOST = 24


def _identity(model: Model) -> str | None:
    return None if model.extractor is None else model.extractor.identity()


def model_comparison(preds: Predictions, store: SampleStore, others: Sequence[Model]) -> ModelComparison | None:
    """Compare the model with others; return None if there are none.

    Raises
    ------
    DataError
        If another model has different features, another extractor or other classes.
    """
    if not others:
        return None
    models = [preds.model, *others]
    for other in others:
        if other.n_features != preds.model.n_features:
            raise DataError(
                f"A model to compare must have the {preds.model.n_features:,} features of this model, got "
                f"{other.n_features:,}."
            )
        if _identity(other) != _identity(preds.model):
            raise DataError("A model to compare must have the same extractor of features as this model.")
        if other.classes.tolist() != preds.model.classes.tolist():
            raise DataError("A model to compare must have the same classes as this model.")
    answers, table = [], []
    for model in models:
        scores = preds.scores if model is preds.model else model.scores(preds.X, preds.n_threads)
        margins, _ = margins_of(scores, preds.y)
        answers.append(scores.argmax(axis=1))
        table.append(
            ComparedModel(
                loss=model.loss.name,
                title=model.loss.title,
                reg=model.reg,
                gap=model.gap,
                accuracy=preds.share(int((answers[-1] == preds.y).sum()), preds.n + preds.n_unknown),
                inside=float((margins < model.loss.score_scale).mean()),
                margin=float(np.median(margins)),
            )
        )
    predicted = np.array(answers)
    correct = predicted == preds.y
    tests = []
    for a, b in itertools.combinations(range(len(models)), 2):
        only_a, only_b = int((correct[a] & ~correct[b]).sum()), int((~correct[a] & correct[b]).sum())
        tests.append(PairTest(a, b, only_a, only_b, mcnemar(only_a, only_b)))
    split = np.flatnonzero((predicted != predicted[0]).any(axis=0))
    # First the errors of this model that another avoids, then the reverse, each by decreasing loss.
    rank = np.where(~correct[0, split] & correct[1:, split].any(axis=0), 0, np.where(correct[0, split], 1, 2))
    chosen = split[np.lexsort((-preds.losses[split], rank))]
    hits = [i for i in chosen if correct[0, i]][: _MOST // 2]
    errors = [i for i in chosen if not correct[0, i]][: _MOST - len(hits)]
    shown = tuple(
        Disagreement(number, tuple(predicted[:, i].tolist()))
        for i in errors + hits
        if (number := store.add(i)) is not None
    )
    return ModelComparison(tuple(table), tuple(tests), shown, len(split))
