"""``softmargin fit``: from data to a saved model."""

from __future__ import annotations

import os
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING

import click

from softmargin.cli.base import (
    LOSS_NAMES,
    certificate_rows,
    check_output,
    data_argument,
    data_options,
    default_output,
    json_option,
    labels_of,
    losses_option,
    normalize_option,
    parse_size,
    positive,
    print_comparison,
    print_json,
    print_table,
    quiet_option,
    read_data,
    reporter,
    said_options,
    say,
    say_err,
    scaling_option,
    size_option,
    stage,
    threads_option,
    write_report,
)
from softmargin.errors import ConvergenceWarning, DataError, ModelFileError, ParameterError

if TYPE_CHECKING:
    from softmargin.cli.base import Report
    from softmargin.data import Dataset
    from softmargin.model import Model
    from softmargin.selection import Comparison

__all__ = ["fit"]


_LOOKED_AT, _UNLIKE = 1000, 1000.0
"""Of so many rows we look at the ranges of the features, and at whether they differ by so much."""


@click.command(short_help="Train a classifier on DATA and save it.")
@data_argument
@click.option(
    "-o",
    "--output",
    metavar="MODEL",
    help="Model file to save.  [default: DATA's name.safetensors, if there is none]",
)
@click.option(
    "--report", "page", metavar="HTML", help="Write a page that shows what it learned, as softmargin report does."
)
@losses_option("Take this one, or choose among several:")
@click.option("--reg", type=positive(), metavar="λ", help="Factor of ΣW².  [default: chosen]")
@click.option("--delta", type=positive(), metavar="Δ", help="Margin of the hinges.  [default: 1]")
@click.option("--folds", type=click.IntRange(2), metavar="N", help="Folds to choose with.  [default: 5]")
@click.option("--quick", is_flag=True, help="Choose on one held-out fifth instead of folds.")
@click.option(
    "--tol",
    type=positive(below=1.0),
    metavar="GAP",
    default=1e-4,
    help="Relative duality gap to prove.  [default: 1e-4]",
)
@click.option(
    "--max-passes",
    type=click.IntRange(1),
    metavar="N",
    default=2000,
    help="Budget of readings of X.  [default: 2000]",
)
@scaling_option
@normalize_option
@size_option
@data_options
@threads_option
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Keep the state of the last fit there; the same command goes on from it if it was killed.",
)
@json_option
@quiet_option
def fit(
    data: str,
    output: str | None,
    page: str | None,
    names: tuple[str, ...],
    reg: float | None,
    delta: float | None,
    folds: int | None,
    quick: bool,
    tol: float,
    max_passes: int,
    scaling: str,
    normalize_rows: bool,
    image_size: str | None,
    labels: str | None,
    label: str | None,
    columns: str | None,
    threads: int | None,
    checkpoint: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a classifier on DATA and save it.

    Unless given, loss and λ are chosen by cross-validation: for each loss λ walks down from the largest
    sensible one until the held-out accuracy has stopped rising. The chosen one is then fitted to all of DATA
    until the gap is proved. Data set aside for testing is looked at once, at the end.

    Exit status: 0, 1 if the gap was not reached (the model is saved and says so), 2 for a mistake.
    """
    if delta is not None and set(names) == {"cross_entropy"}:
        raise ParameterError("--delta is the margin of the hinges; cross_entropy has none.")
    if quick and folds is not None:
        raise ParameterError("--quick takes one split, so it excludes --folds.")
    size = parse_size(image_size)
    written = [path for path in (output, page, checkpoint) if path is not None]
    for k, path in enumerate(written):
        check_output(path, data, labels, written=written[:k])
    with reporter(quiet) as report:
        from softmargin.estimators import LinearClassifier, make_loss
        from softmargin.preprocessing import unit_rows
        from softmargin.selection import choose, compare

        losses = [make_loss(name, 1.0 if delta is None else delta) for name in dict.fromkeys(names or LOSS_NAMES)]
        dataset = read_data(data, report, labels=labels, label=label, columns=columns, image_size=size)
        y = labels_of(dataset, data)
        target = output or default_output(dataset.name, data)
        check_output(target, data, labels, written=(page, checkpoint))
        if output is None and os.path.lexists(target):
            raise ModelFileError(f"{target} exists already: say with -o FILE where to save the model.")
        _check(dataset, data)
        if not normalize_rows:
            _name_unlike_features(dataset, data, scaling)
        report("preparing (a first start compiles its kernels)", 0, 0)
        choice = None
        started = time.perf_counter()
        if len(losses) > 1 or reg is None:
            n_folds = 1 if quick else folds or 5
            walk = choose if quick else partial(compare, cv=n_folds)
            choice = walk(
                unit_rows(dataset.X) if normalize_rows else dataset.X,
                y,
                losses,
                "auto" if reg is None else [reg],
                scaling=scaling,
                n_threads=threads,
                watcher=lambda loss, reg, fold, step: report(stage(loss, reg, step, fold, n_folds), 0, 0),
            )
            losses, reg = [choice.loss], choice.reg
        classifier = LinearClassifier(
            losses[0],
            reg=reg,
            tol=tol,
            max_passes=max_passes,
            scaling=scaling,
            normalize_rows=normalize_rows,
            n_threads=threads,
            checkpoint=checkpoint,
            callback=lambda step: report(stage(losses[0], reg, step), 0, 0),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said below, in the words of the command line
            try:
                classifier.fit(dataset.X, y)
            except BaseException:  # Ctrl-C too
                if checkpoint is not None and os.path.exists(checkpoint):
                    say_err(f"{checkpoint} keeps where the fit stood: the same command goes on from there.")
                raise
        report("saving", 0, 0)
        model = classifier.to_model(dataset, image_size=size, choice=choice)
        model.save(target)
        seconds = time.perf_counter() - started
        report("counting what is right", 0, 0)
        accuracies = {"training": _accuracy(model, dataset)}
        if dataset.test is not None and dataset.test.y is not None:
            accuracies["test"] = _accuracy(model, dataset.test)
        if page is not None:
            reading = said_options(labels=labels, label=label, columns=columns)
            _report(dataset, model, target, data, reading, page, max_passes, threads, report)
            if "test" not in accuracies:
                say_err(
                    f"{data} has no part that is set aside for testing, so {page} is judged on the training data: "
                    f"it says nothing of new samples. softmargin report {target} OTHER_DATA judges on others."
                )

    if as_json:
        print_json({"model": target, "seconds": seconds, "accuracy": accuracies, "card": model.card()})
    else:
        _print_summary(data, dataset, model, choice, accuracies, target, seconds, page)
    if model.converged:
        return 0
    say_err(
        f"The gap is {model.gap:.2g} instead of {tol:g}. {classifier.fit_.status} The model is saved as it is."
    )
    return 1


def _report(
    data: Dataset,
    model: Model,
    target: str,
    source: str,
    reading: list[str],
    page: str,
    max_passes: int,
    threads: int | None,
    report: Report,
) -> None:
    """Write a report on the part that is set aside for testing, or on the training data if there is none."""
    from softmargin.report import fill_report, refit

    def progress(what: str) -> None:
        report(what, 0, 0)

    others, along = refit(model, data, max_passes=max_passes, n_threads=threads, progress=progress)
    judged, training = (data.test, data) if data.test is not None and data.test.y is not None else (data, None)
    record = fill_report(
        model,
        judged,
        training,
        others,
        along,
        model_name=target,
        data_name=source,
        data_options=reading,
        n_threads=threads,
        progress=progress,
    )
    write_report(record, page)


def _check(data: Dataset, source: str) -> None:
    """Name what cannot be used in either part, before anything is fitted."""
    from softmargin.validation import check_finite

    for part, where in ((data, source), (data.test, f"the test part of {source}")):
        try:
            if part is not None:
                check_finite(part.X)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _name_unlike_features(data: Dataset, source: str, scaling: str) -> None:
    """Say where features differ so much in size that one λ hardly suits them all, and nothing scales them."""
    import numpy as np
    from scipy.sparse import issparse

    X = data.X
    if scaling not in ("auto", "none") or issparse(X):
        return
    rows = np.asarray(X[:: -(-len(X) // _LOOKED_AT)], dtype=np.float64)
    ranges = rows.max(axis=0) - rows.min(axis=0)
    vary = np.flatnonzero(ranges > 0.0)
    if not vary.size:
        return
    least, most = (int(vary[pick(ranges[vary])]) for pick in (np.argmin, np.argmax))
    if ranges[most] < _UNLIKE * ranges[least]:
        return
    wide, narrow = (
        f"column {k}" if data.feature_names is None else repr(data.feature_names[k]) for k in (most, least)
    )
    say_err(
        f"Note: the features of {source} are of very different size: {wide} ranges over {ranges[most]:.2g}, "
        f"{narrow} over {ranges[least]:.2g}. Try --scaling standard, which is often better then, and quicker."
    )


def _accuracy(model: Model, data: Dataset) -> float:
    return float((model.predict(data.X) == data.y).mean())


def _print_summary(
    source: str,
    data: Dataset,
    model: Model,
    choice: Comparison | None,
    accuracies: dict[str, float],
    target: str,
    seconds: float,
    page: str | None,
) -> None:
    aside = "" if data.test is None else f"; {data.test.n_samples:,} more are set aside for testing"
    say(
        f"{source}: {data.n_samples:,} samples, {data.n_features:,} features ({data.X.dtype}), "
        f"{model.n_classes:,} classes{aside}."
    )
    say()
    if choice is not None:
        print_comparison(choice)
        say()
    said = ", ".join(f"{accuracy:.4f} on the {part} data" for part, accuracy in accuracies.items())
    rows = [
        ["loss", repr(model.loss)],
        ["reg", f"{model.reg:.6g}"],
        *certificate_rows(model),
        ["accuracy", said],
        ["saved", f"after {seconds:.1f} s"],
    ]
    if page is not None:
        rows.append(["report", page])
    print_table(["model", target], rows, left=2)
