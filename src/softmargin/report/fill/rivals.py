"""Several losses on the same samples: which is better, and whether that is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softmargin.errors import DataError
from softmargin.model import Model
from softmargin.report.base import Disagreement, PairTest, Rival, Rivals
from softmargin.report.fill.base import Evidence, Shelf
from softmargin.selection import mcnemar

__all__ = ["rivals"]

_MOST = 24


def rivals(evidence: Evidence, shelf: Shelf, others: Sequence[Model]) -> Rivals | None:
    """Return the model beside others, None if there are none.

    Raises
    ------
    DataError
        If another model has other features or classes.
    """
    if not others:
        return None
    models = [evidence.model, *others]
    for other in others:
        if other.n_features != evidence.model.n_features:
            raise DataError(
                f"A model beside this one has {other.n_features:,} features where this has "
                f"{evidence.model.n_features:,}: only models of the same data can be compared."
            )
        if other.classes.tolist() != evidence.model.classes.tolist():
            raise DataError(
                "A model beside this one has other classes: only models of the same data can be compared."
            )
    scores = [evidence.scores, *(other.scores(evidence.X, evidence.n_threads) for other in others)]
    answers = np.array([s.argmax(axis=1) for s in scores])
    right = answers == evidence.y
    places = np.arange(evidence.n)
    table = []
    for model, s, hits in zip(models, scores, right, strict=True):
        own = s[places, evidence.y]
        rest = s.copy()
        rest[places, evidence.y] = -np.inf
        margin = own - rest.max(axis=1)
        table.append(
            Rival(
                loss=model.loss.name,
                title=model.loss.title,
                reg=model.reg,
                gap=model.gap,
                accuracy=evidence.share(int(hits.sum()), evidence.n + evidence.n_unknown),
                inside=float((margin < model.loss.unit).mean()),
                margin=float(np.median(margin)),
            )
        )
    tests = []
    for a in range(len(models)):
        for b in range(a + 1, len(models)):
            only_a, only_b = int((right[a] & ~right[b]).sum()), int((~right[a] & right[b]).sum())
            tests.append(PairTest(a, b, only_a, only_b, mcnemar(only_a, only_b)))
    split = np.flatnonzero((answers != answers[0]).any(axis=0))
    # First those where this model is wrong and another right, then the reverse, each by the loss it pays.
    rank = np.where(~right[0, split] & right[1:, split].any(axis=0), 0, np.where(right[0, split], 1, 2))
    chosen = split[np.lexsort((-evidence.losses[split], rank))]
    half = _MOST // 2
    mine = [i for i in chosen if right[0, i]][:half]
    theirs = [i for i in chosen if not right[0, i]][: _MOST - len(mine)]
    kept = []
    for i in theirs + mine:
        number = shelf(i)
        if number is not None:
            kept.append(Disagreement(number, tuple(answers[:, i].tolist())))
    return Rivals(tuple(table), tuple(tests), tuple(kept), len(split))
