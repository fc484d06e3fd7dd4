"""Fills the record of a report from a model and the data it is judged on; everything is computed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from softmargin.data.base import Dataset
from softmargin.model import Model
from softmargin.report.base import Report
from softmargin.report.fill.base import Evidence, Shelf, words_of
from softmargin.report.fill.errors import confusion, margins, worst
from softmargin.report.fill.headline import certificate, headline, origin
from softmargin.report.fill.looks import favourites, looks
from softmargin.report.fill.rivals import rivals
from softmargin.report.fill.suspects import suspects
from softmargin.report.fill.training import convergence, path
from softmargin.report.fill.trust import calibration

__all__ = ["fill_report"]


def fill_report(
    model: Model,
    data: Dataset,
    training: Dataset | None = None,
    others: Sequence[Model] = (),
    along: Sequence[Model] = (),
    *,
    model_name: str = "MODEL",
    data_name: str | None = None,
    data_options: Sequence[str] = (),
    n_threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Judge a model on labelled data and return everything that a report says.

    Parameters
    ----------
    model : Model
    data : Dataset
        Labelled samples, best those that the model has not seen.
    training : Dataset, optional
        What the model was trained on: for its accuracy there, class means and sizes, and samples that are in both.
    others : sequence of Model, optional
        Models of the same features and classes to set beside it.
    along : sequence of Model, optional
        The same loss fitted with other λ: their weights can be seen by moving a slider.
    model_name, data_name : str, optional
        What the user calls them, for the commands that do it again.
    data_options : sequence of str, optional
        The options with which the command line reads the data, for these commands too.
    n_threads : int, optional
    progress : callable, optional
        Told what is at work.

    Raises
    ------
    DataError
        If the data have no labels that the model knows, or do not fit the model or the others.
    """
    say = progress or (lambda what: None)
    say("scoring")
    fingerprint = data.fingerprint()
    evidence = Evidence(model, data, training, n_threads, on_training=fingerprint == model.fingerprint)
    shelf = Shelf(evidence)
    worst_places = np.argsort(-evidence.losses, kind="stable")
    the_worst = worst(evidence, shelf)
    say("comparing models")
    beside = rivals(evidence, shelf, others)
    say("looking for near-duplicates and wrong labels")
    suspected = suspects(evidence, shelf)
    top = favourites(evidence, shelf)
    say("sorting out what is confused")
    confused = confusion(evidence, shelf)
    seen = looks(evidence, shelf, confused, top, worst_places[: len(the_worst)].tolist(), along)
    say("judging confidence")
    trust = calibration(evidence)
    first = headline(evidence)
    name = data.name if data_name is None else data_name
    return Report(
        title=f"{words_of(model.loss.title)} on {words_of(data.name)}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=evidence.classes,
        headline=first,
        certificate=certificate(evidence),
        origin=origin(evidence, fingerprint, model_name, name, data_options),
        path=path(model),
        convergence=convergence(model),
        rivals=beside,
        looks=seen,
        margins=margins(evidence),
        worst=the_worst,
        confusion=confused,
        calibration=trust,
        suspects=suspected,
        samples=shelf.samples,
        sheet=shelf.sheet(),
    )
