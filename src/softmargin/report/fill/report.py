"""The record of a report, from a model and the data it is judged on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from softmargin.data import Dataset
from softmargin.model import Model
from softmargin.report.fill.calibration import calibration
from softmargin.report.fill.comparison import model_comparison
from softmargin.report.fill.data_errors import data_errors
from softmargin.report.fill.errors import confusion, margins, worst
from softmargin.report.fill.headline import certificate, headline, origin
from softmargin.report.fill.predictions import Predictions
from softmargin.report.fill.samples import SampleStore
from softmargin.report.fill.training import convergence, path_panel
from softmargin.report.fill.weights import top_samples, weights_panel
from softmargin.report.records import Report
from softmargin.report.refit import search_of
from softmargin.text import printable

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
    fingerprint: str | None = None,
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
    fingerprint : str, optional
        Of the data, if it is known: they need not be read for it.
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
    fingerprint = fingerprint or data.fingerprint()
    preds = Predictions(model, data, training, n_threads, on_training=fingerprint == model.fingerprint)
    store = SampleStore(preds)
    worst_places = worst(preds)
    worst_samples = store.add_all(worst_places)
    say("comparing models")
    beside = model_comparison(preds, store, others)
    say("looking for near-duplicates and wrong labels")
    suspects = data_errors(preds, store)
    top = top_samples(preds, store)
    say("sorting out what is confused")
    confused = confusion(preds, store)
    weights = weights_panel(preds, store, confused, top, worst_places, along)
    say("judging confidence")
    trust = calibration(preds)
    name = data.name if data_name is None else data_name
    return Report(
        title=f"{printable(model.loss.title)} on {printable(data.name)}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=preds.classes,
        headline=headline(preds),
        certificate=certificate(preds),
        origin=origin(preds, fingerprint, model_name, name, data_options),
        path=path_panel(model, search_of(model)),
        convergence=convergence(model),
        rivals=beside,
        looks=weights,
        margins=margins(preds),
        worst=worst_samples,
        confusion=confused,
        calibration=trust,
        suspects=suspects,
        samples=store.samples,
        sheet=store.sheet(),
    )
