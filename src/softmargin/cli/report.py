"""``softmargin report``: one page that shows what a model learned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from softmargin.cli import files, options
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.reading import Reading, labels_of, read_for_model, read_model
from softmargin.cli.wording import print_json, say, say_err
from softmargin.errors import DataError, ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["report"]


@click.command(short_help="Write a page that shows what MODEL learned.")
@options.model
@options.data
@click.option(
    "-o", "--output", metavar="FILE.html", default="report.html", show_default=True, help="Page to write."
)
@click.option("--training", metavar="DATA", help="What MODEL was trained on, if it is not the other part of DATA.")
@click.option("--against", metavar="MODEL", multiple=True, help="Another model to set beside it; may be repeated.")
@click.option(
    "--refit",
    is_flag=True,
    help="Fit the other losses and λ that were tried again, to show them (takes its time).",
)
@click.option("--figures", metavar="DIR", help="Write the figures there too, as PNG and SVG (needs matplotlib).")
@options.reading
@options.part
@options.threads
@options.as_json
@options.quiet
@options.gathered(Reading, "reading")
def report(
    model: str,
    data: str,
    output: str,
    training: str | None,
    against: tuple[str, ...],
    refit: bool,
    figures: str | None,
    reading: Reading,
    part: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a page that shows what MODEL learned, judged on the labelled samples of DATA.

    The page is one file that loads nothing: how good the model is and what is proved about it, what each class
    looks at, the costliest samples with their loss term by term, what is confused with what, how λ was chosen,
    how far confidence can be trusted, labels that are probably wrong. Where the training data are at hand (the
    other part of DATA, or --training) they are used for comparison, and with --refit the losses and λ that were
    tried and not chosen are fitted again: the losses are then shown side by side, and the weights of images
    along the path of λ.

    Prints the report in short, with --json all its numbers.
    """
    from softmargin.report import fill_report, summary
    from softmargin.report import refit as fit_again

    files.check_output(output, model, data, training, reading.labels, *against)
    if figures is not None:
        check_folder(figures, data, training)
    loaded = read_model(model)
    others = [read_model(other) for other in against]
    with reporter(quiet) as progress:
        wanted = "train" if part == "auto" else part
        whole = read_for_model(data, loaded, reading, progress, wanted)
        dataset = whole
        if part == "auto" and whole.test is not None:
            dataset = whole.test
            say_err(
                f"Note: judging on the {dataset.n_samples:,} samples of {data} that are set aside for testing."
            )
        labels_of(dataset, data)
        progress("looking for the training data")
        other = None if dataset is whole else whole
        known = training_data(loaded, other, training, reading, progress)
        along: list[Model] = []
        if refit:
            if known is None:
                raise ParameterError("--refit needs the training data: give them with --training.")
            more, along = fit_again(loaded, known, n_threads=threads, progress=progress)
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
        files.write_report(record, output, figures)
    if as_json:
        print_json({name: value for name, value in record.record().items() if name != "sheet"})
        return
    for line in summary(record).splitlines():
        say(line)
    say()
    say(
        f"Written: {output}, {os.path.getsize(output) / 1e6:.1f} MB."
        + (f" Figures in {figures}." if figures else "")
    )


def training_data(
    model: Model, other: Dataset | None, source: str | None, reading: Reading, progress: Progress
) -> Dataset | None:
    """Return the data that the model was trained on, if they are at hand: given, or the other part.

    What was said about the columns of DATA holds for given training data too, if they are a table.
    """
    if source is not None:
        from softmargin.data import options_of

        own = options_of(source)
        columns = {name: getattr(reading, name) for name in ("label", "columns") if name in own}
        given = read_for_model(source, model, Reading(**columns), progress, "train")
        labels_of(given, source)
        if given.fingerprint() != model.fingerprint:
            raise DataError(
                f"{source} is not what the model was trained on: the fingerprint is {given.fingerprint()[:16]}…, "
                f"expected {model.fingerprint[:16]}…."
            )
        return given
    if other is None or other.y is None or other.fingerprint() != model.fingerprint:
        return None
    return other


def check_folder(path: str, *inputs: str | None) -> None:
    """Raise an error now, not after minutes of work, if no figures can be made there."""
    from importlib.util import find_spec

    from softmargin.data import belongs_to

    if find_spec("matplotlib") is None:
        raise ParameterError("--figures needs matplotlib: python -m pip install 'softmargin[figures]'.")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ParameterError(f"--figures {path} is a file, where a folder is wanted.")
    if any(source and belongs_to(os.path.join(path, "figure.png"), source) for source in inputs):
        raise ParameterError(
            f"--figures {path} lies among the data: the figures would be taken for a part of them."
        )
