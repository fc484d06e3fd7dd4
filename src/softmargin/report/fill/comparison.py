"""Several models on the same samples: which is better, and whether that is chance."""

from __future__ import annotations

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


def model_comparison(preds: Predictions, store: SampleStore, others: Sequence[Model]) -> ModelComparison | None:
    """Return the model beside others, None if there are none.

    Raises
    ------
    DataError
        If another model has other features or classes.
    """
    if not others:
        return None
    models = [preds.model, *others]
    for other in others:
        if other.n_features != preds.model.n_features:
            raise DataError(
                f"A model beside this one has {other.n_features:,} features where this has "
                f"{preds.model.n_features:,}: only models of the same data can be compared."
            )
        if other.classes.tolist() != preds.model.classes.tolist():
            raise DataError(
                "A model beside this one has other classes: only models of the same data can be compared."
            )
    answers, table = [], []
    for model in models:
        scores, margins = preds.scores, preds.margins
        if model is not preds.model:
            scores = model.scores(preds.X, preds.n_threads)
            margins, _ = margins_of(scores, preds.y)
        answers.append(scores.argmax(axis=1))
        n_right = int((answers[-1] == preds.y).sum())
        table.append(
            ComparedModel(
                loss=model.loss.name,
                title=model.loss.title,
                reg=model.reg,
                gap=model.gap,
                accuracy=preds.share(n_right, preds.n + preds.n_unknown),
                inside=float((margins < model.loss.score_scale).mean()),
                margin=float(np.median(margins)),
            )
        )
    predicted = np.array(answers)
    right = predicted == preds.y
    tests = []
    for a in range(len(models)):
        for b in range(a + 1, len(models)):
            only_a, only_b = int((right[a] & ~right[b]).sum()), int((~right[a] & right[b]).sum())
            tests.append(PairTest(a, b, only_a, only_b, mcnemar(only_a, only_b)))
    split = np.flatnonzero((predicted != predicted[0]).any(axis=0))
    # First those where this model is wrong and another right, then the reverse, each by the loss it pays.
    rank = np.where(~right[0, split] & right[1:, split].any(axis=0), 0, np.where(right[0, split], 1, 2))
    chosen = split[np.lexsort((-preds.losses[split], rank))]
    half = _MOST // 2
    mine = [i for i in chosen if right[0, i]][:half]
    theirs = [i for i in chosen if not right[0, i]][: _MOST - len(mine)]
    kept = []
    for i in theirs + mine:
        number = store.add(i)
        if number is not None:
            kept.append(Disagreement(number, tuple(predicted[:, i].tolist())))
    return ModelComparison(tuple(table), tuple(tests), tuple(kept), len(split))
