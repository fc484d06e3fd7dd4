"""``softmargin fit``: from data to a saved model."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from softmargin.cli import files, options
from softmargin.cli.job import Job
from softmargin.cli.progress import Progress, reporter, stage
from softmargin.cli.wording import certificate_rows, print_comparison, print_json, print_table, say, say_err
from softmargin.errors import ConvergenceWarning, ModelFileError, ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model
    from softmargin.report import Report
    from softmargin.selection import Comparison

__all__ = ["fit"]


_LOOKED_AT, _UNLIKE = 1000, 1000.0
"""Of so many rows we look at the ranges of the features, and at whether they differ by so much."""


@click.command(short_help="Train a classifier on DATA and save it.")
@options.data
@click.option(
    "-o",
    "--output",
    metavar="MODEL",
    help="Model file to save.  [default: DATA's name.safetensors, if there is none]",
)
@click.option(
    "--report", "page", metavar="HTML", help="Write a page that shows what it learned, as softmargin report does."
)
@options.losses("Take this one, or choose among several:")
@click.option("--reg", type=options.positive(), metavar="λ", help="Factor of ΣW².  [default: chosen]")
@click.option("--delta", type=options.positive(), metavar="Δ", help="Margin of the hinges.  [default: 1]")
@click.option("--folds", type=click.IntRange(2), metavar="N", help="Folds to choose with.  [default: 5]")
@click.option("--quick", is_flag=True, help="Choose on one held-out fifth instead of folds.")
@click.option(
    "--tol",
    type=options.positive(below=1.0),
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
@options.scaling
@options.normalize_rows
@options.image_size
@options.reading
@options.threads
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Keep the state of the last fit there; the same command goes on from it if it was killed.",
)
@options.as_json
@options.quiet
@options.gathered(Job, "job")
def fit(
    job: Job,
    output: str | None,
    page: str | None,
    reg: float | None,
    quick: bool,
    tol: float,
    max_passes: int,
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
    if job.delta is not None and set(job.names) == {"cross_entropy"}:
        raise ParameterError("--delta is the margin of the hinges; cross_entropy has none.")
    if quick and job.folds is not None:
        raise ParameterError("--quick takes one split, so it excludes --folds.")
    written = [path for path in (output, page, checkpoint) if path is not None]
    for k, path in enumerate(written):
        files.check_output(path, job.data, job.labels, written=written[:k])
    with reporter(quiet) as progress:
        from softmargin.estimators import LinearClassifier

        losses = job.losses()
        dataset = job.read(progress)
        target = output or files.default_output(dataset.name, job.data)
        files.check_output(target, job.data, job.labels, written=(page, checkpoint))
        if output is None and os.path.lexists(target):
            raise ModelFileError(f"{target} exists already: say with -o FILE where to save the model.")
        labelled = job.check(dataset)
        if not job.normalize_rows:
            _name_unlike_features(dataset, job.data, job.scaling)
        progress("preparing (a first start compiles its kernels)")
        choice = None
        started = time.perf_counter()
        if len(losses) > 1 or reg is None:
            searched = job if quick else replace(job, folds=job.folds or 5)
            choice = searched.search(labelled, losses, "auto" if reg is None else [reg], progress)
            losses, reg = [choice.loss], choice.reg
        classifier = LinearClassifier(
            losses[0],
            reg=reg,
            tol=tol,
            max_passes=max_passes,
            checkpoint=checkpoint,
            callback=lambda step: progress(stage(losses[0], reg, step)),
            **job.fit_options,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said below, in the words of the command line
            try:
                classifier.fit(labelled, labelled.labels)
            except BaseException:  # Ctrl-C too
                if checkpoint is not None and os.path.exists(checkpoint):
                    say_err(f"{checkpoint} keeps where the fit stood: the same command goes on from there.")
                raise
        progress("saving")
        model = classifier.to_model(dataset, image_size=job.image_size, choice=choice)
        model.save(target)
        seconds = time.perf_counter() - started
        test = dataset.test if dataset.test is not None and dataset.test.y is not None else None
        if page is None:
            progress("counting what is right")
            parts = {"training": dataset} | ({} if test is None else {"test": test})
            accuracies = {name: float((model.predict(p.X) == p.y).mean()) for name, p in parts.items()}
        else:
            head = _report(job, dataset, test, model, target, page, max_passes, progress).headline
            judged = head.accuracy.n_right / head.accuracy.n
            accuracies = {"training": judged if head.training_accuracy is None else head.training_accuracy}
            if test is not None:
                accuracies["test"] = judged
            else:
                say_err(
                    f"{job.data} has no part that is set aside for testing, so {page} is judged on the training "
                    f"data: it says nothing of new samples. "
                    f"softmargin report {target} OTHER_DATA judges on others."
                )

    if as_json:
        print_json({"model": target, "seconds": seconds, "accuracy": accuracies, "metadata": model.metadata()})
    else:
        _print_summary(job.data, dataset, model, choice, accuracies, target, seconds, page)
    if model.converged:
        return 0
    say_err(
        f"The gap is {model.gap:.2g} instead of {tol:g}. {classifier.fit_.status} The model is saved as it is."
    )
    return 1


def _report(
    job: Job,
    data: Dataset,
    test: Dataset | None,
    model: Model,
    target: str,
    page: str,
    max_passes: int,
    progress: Progress,
) -> Report:
    """Write a report on the part that is set aside for testing, or on the training data if there is none."""
    from softmargin.report import fill_report, refit

    others, along = refit(model, data, max_passes=max_passes, n_threads=job.threads, progress=progress)
    record = fill_report(
        model,
        data if test is None else test,
        None if test is None else data,
        others,
        along,
        model_name=target,
        data_name=job.data,
        data_options=job.arguments(),
        fingerprint=model.fingerprint if test is None else None,
        n_threads=job.threads,
        progress=progress,
    )
    files.write_report(record, page)
    return record


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
