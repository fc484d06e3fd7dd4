"""The record of a report, from a model and the data to evaluate it on."""

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
from softmargin.report.wording import capitalized
from softmargin.report.wording import title as loss_title
from softmargin.text import Phrase, printable
from softmargin.threads import one_blas_thread

__all__ = ["fill_report"]


@one_blas_thread()
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
    """Evaluate a model on labelled data and return the record of a report.

    Parameters
    ----------
    model : Model
    data : Dataset
        Labelled samples, preferably samples that the model has not seen.
    training : Dataset, optional
        The training data of the model: for the training accuracy, class sizes, centroids and leaked samples.
    others : sequence of Model, optional
        Models of the same features and classes to compare with.
    along : sequence of Model, optional
        The same loss fitted with other λ, whose weights the page shows along a slider.
    model_name, data_name : str, optional
        Their names on the command line, for the commands that reproduce the report.
    data_options : sequence of str, optional
        Options for reading the data, for these commands.
    fingerprint : str, optional
        Fingerprint of the data if known; otherwise it is computed.
    n_threads : int, optional
    progress : callable, optional
        Called with a description of each step.

    Raises
    ------
    DataError
        If no label is a class of the model, or features or classes of the models differ.
    """
    say = progress or (lambda what: None)
    say("scoring")
    fingerprint = fingerprint or data.fingerprint()
    preds = Predictions(model, data, training, n_threads, on_training=fingerprint == model.fingerprint)
    store = SampleStore(preds)
    worst_places = worst(preds)
    worst_samples = store.add_all(worst_places)
    say("comparing models")
    comparison = model_comparison(preds, store, others)
    say("searching for label errors and near-duplicates")
    found_errors = data_errors(preds, store)
    top = top_samples(preds, store)
    say("computing the confusion matrix")
    confused = confusion(preds, store)
    weights = weights_panel(preds, store, confused, top, worst_places, along)
    say("computing the calibration")
    trust = calibration(preds)
    name = data.name if data_name is None else data_name
    return Report(
        title=Phrase("{0} on {1}", capitalized(loss_title(model.loss)), printable(data.name)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=preds.classes,
        headline=headline(preds, trust.before.ece),
        certificate=certificate(preds),
        origin=origin(preds, fingerprint, model_name, name, data_options),
        path=path_panel(model, search_of(model)),
        convergence=convergence(model),
        comparison=comparison,
        weights=weights,
        margins=margins(preds),
        worst=worst_samples,
        confusion=confused,
        calibration=trust,
        data_errors=found_errors,
        samples=store.samples,
        sheet=store.sheet(),
    )
