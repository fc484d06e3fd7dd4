"""``softmargin report``: an HTML report on a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from softmargin.cli import files, options
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.reading import (
    Reading,
    extractor_for,
    files_of,
    labels_of,
    naming,
    part_of,
    read_for_model,
    read_model,
)
from softmargin.cli.wording import print_json, say
from softmargin.errors import DataError, ParameterError, missing_package

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["report"]

_PAGE = "report.html"
_LEFT_OUT = ("sheet", "format", "version")
"""Of the record: its pictures, and the names that every JSON document has."""


@click.command(short_help="Write an HTML report on MODEL.")
@options.evaluation
@click.option(
    "-o", "--output", metavar="FILE.html", help=f"File to write.  [default: {_PAGE}, if it does not exist]"
)
@click.option("--training", metavar="DATA", help="Training data of MODEL, if they are not part of DATA.")
@click.option(
    "--against",
    metavar="MODEL",
    multiple=True,
    help="Another model of the same features and classes to compare with; may be repeated.",
)
@click.option("--refit", is_flag=True, help="Fit the other losses and λ that were tried, and compare them (slow).")
@click.option("--figures", metavar="DIR", help="Folder for figures as PNG and SVG (needs matplotlib).")
@options.language
@options.threads
@options.gathered(Reading, "reading")
def report(
    model: str,
    data: str,
    output: str | None,
    training: str | None,
    against: tuple[str, ...],
    refit: bool,
    figures: str | None,
    language: str | None,
    reading: Reading,
    part: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write an HTML report on MODEL, evaluated on the labelled samples of DATA.

    The report is one self-contained file. It shows accuracy and certificate, the weights of each class, the
    samples with the largest loss, the confusion matrix, margins, model selection, calibration and probable label
    errors. If the training data are available (in DATA or by --training), it also shows the training accuracy.

    With --refit the losses and λ that were tried are fitted again. The report then compares the losses, and shows
    the weights of images along the path of λ.

    Prints a summary, or with --json all numbers.
    """
    from softmargin.report import fill_report, summary
    from softmargin.report import refit as fit_again

    if output is None and os.path.lexists(_PAGE):
        raise ParameterError(f"{_PAGE} already exists; choose the page with -o FILE.html.")
    output = output or _PAGE
    files.check_name(output, (".html", ".htm"))
    loaded = read_model(model)
    files.check_output(
        output, model, data, training, reading.labels_file, *against, *files_of(extractor_for(loaded, reading))
    )
    if figures is not None:
        check_folder(figures, data, training)
    others = [read_model(other) for other in against]
    with reporter(quiet) as progress:
        weighted = refit and training is None  # then DATA holds the training data
        whole = read_for_model(data, loaded, reading, progress, weighted=weighted)
        dataset = part_of(whole, data, part)
        labels_of(dataset, data)
        with naming(data):
            loaded.predict(dataset.X, threads)  # an invalid row is named before the work
        progress("checking the training data")
        trained_on = training_data(
            loaded, whole if part == "auto" else None, training, reading, progress, weighted=refit
        )
        known = None if trained_on is dataset else trained_on
        along: list[Model] = []
        if refit:
            if trained_on is None:
                raise ParameterError("--refit needs the training data; give them with --training DATA.")
            more, along = fit_again(loaded, trained_on, n_threads=threads, progress=progress)
            others += more
        record = fill_report(
            loaded,
            dataset,
            known,
            others,
            along,
            model_name=model,
            data_name=data,
            data_options=reading.arguments(),
            n_threads=threads,
            progress=progress,
        )
        progress("writing")
        files.write_report(record, output, figures, language or "en")
    if as_json:
        print_json("report", {name: value for name, value in record.record().items() if name not in _LEFT_OUT})
        return
    for line in summary(record).splitlines():
        say(line)
    say()
    also = f" and figures in {figures}" if figures else ""
    say(f"Wrote {output} ({os.path.getsize(output) / 1e6:.1f} MB){also}.")


def training_data(
    model: Model,
    other: Dataset | None,
    source: str | None,
    reading: Reading,
    progress: Progress,
    *,
    weighted: bool = False,
) -> Dataset | None:
    """Return the training data of the model if available: as given by ``source``, or the training part of DATA.

    The options for the columns of DATA apply to ``source`` too, if it is a table. If ``weighted``, its sample
    weights are read as well.
    """
    if source is not None:
        from softmargin.data import options_of

        own = options_of(source)
        names = ("label_column", "columns", "text", "header", "decimal", "encoding")
        given = {name: getattr(reading, name) for name in names if name in own}
        same = Reading(no_cache=reading.no_cache, backbone=reading.backbone, **given)
        training = read_for_model(source, model, same, progress, weighted=weighted)
        labels_of(training, source)
        if training.fingerprint() != model.fingerprint:
            raise DataError(
                f"--training must be the training data of the model (fingerprint {model.fingerprint[:16]}…), got "
                f"{source} (fingerprint {training.fingerprint()[:16]}…)."
            )
        return training
    if other is None or other.y is None or other.fingerprint() != model.fingerprint:
        return None
    return other


def check_folder(path: str, *inputs: str | None) -> None:
    """Raise an error before the work if no figures can be written there."""
    from importlib.util import find_spec

    from softmargin.data import belongs_to

    if find_spec("matplotlib") is None:
        raise missing_package("--figures", "matplotlib", "figures")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ParameterError(f"--figures must be a folder, got the file {path}.")
    if any(source and belongs_to(os.path.join(path, "figure.png"), source) for source in inputs):
        raise ParameterError(f"--figures {path} is a folder of input data; choose another folder.")
