"""``softmargin fit``: from data to a saved model."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import cluster, files, options, wording
from softmargin.cli.arguments import command_line
from softmargin.cli.job import MAX_PASSES, Job, Task
from softmargin.cli.progress import Progress, reporter, stage
from softmargin.errors import ClusterError, ConvergenceWarning, ModelFileError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model
    from softmargin.report import Report

__all__ = ["fit"]


@click.command(cls=options.Command, short_help="Train a classifier on DATA and save it.")
@options.data
@click.option(
    "-o", "--output", metavar="MODEL", help="Model file to write.  [default: NAME.safetensors, NAME as in DATA]"
)
@click.option("--report", "page", metavar="HTML", help="Also write an HTML report, as softmargin report does.")
@options.language
@options.search
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Save the state of the final fit there; the same command resumes an interrupted fit.",
)
@options.job
@cluster.option
@options.gathered(Job, "job")
def fit(
    job: Job,
    output: str | None,
    page: str | None,
    language: str | None,
    checkpoint: str | None,
    where: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a classifier on DATA and save it.

    Loss and λ are selected by cross-validation unless both are given. For each loss, λ decreases from the largest
    useful value until the held-out accuracy no longer improves. Of several --features, the best are selected, too.
    The selected loss is then fitted to the whole training set until the relative duality gap is at most --tol. If
    DATA has a test set, it is used only at the end, for the accuracy. With --cluster, DATA are shards, of which
    only those for training are used.

    Exit status: 0; 1 if the fit did not converge (the model is still saved); 2 for an error.
    """
    job.check()
    language = options.language_of(language, page)
    if output is not None:
        files.check_name(output, (".safetensors",), "MODEL")
    if page is not None:
        files.check_name(page, (".html", ".htm"), "HTML")
    if where is not None:
        cluster.check_job(job, report=page)
    written = [path for path in (output, page, checkpoint) if path is not None]
    extractors = job.extractors()
    inputs = job.inputs(extractors)
    for k, path in enumerate(written):
        files.check_output(path, *inputs, written=written[:k])
    losses = job.losses()
    target = output or files.default_output(job.data)
    if output is None:
        files.check_output(target, *inputs, written=written)
        if os.path.lexists(target):
            raise ModelFileError(f"{target} already exists; choose the model file with -o FILE.")
    if where is not None:
        with reporter(quiet) as progress, _noting(checkpoint):
            fitted = cluster.fit_shards(job, where, checkpoint, progress)
            model, accuracies, seconds = fitted.model, {"training": fitted.accuracy}, fitted.seconds
            model.save(target)
        if as_json:
            _print_json(job, None, model, target, accuracies, seconds)
        else:
            cluster.print_shards(job.data, fitted.shards, model.n_classes)
            if fitted.choice is not None:
                wording.print_comparison(fitted.choice)
                wording.say()
            _print_model(model, target, accuracies, seconds, None)
        return _exit_status(model, job.tol, fitted.status)
    with reporter(quiet) as progress:
        from softmargin.training import extractor_of, train

        tasks = job.read(extractors, progress)
        task = next(iter(tasks.values()))
        progress("preparing (kernels are compiled if not cached)")
        choice = several = None
        started = time.perf_counter()
        if len(tasks) > 1:
            several = job.search_features(tasks, losses, progress)
            choice, task = several.comparison, tasks[several.selected]
        elif len(losses) > 1 or job.reg is None:
            choice = job.search(task, losses, progress)
        else:
            job.note_unused()
        dataset = task.data
        loss, strength = (losses[0], job.reg) if choice is None else (choice.loss, choice.reg)
        assert strength is not None, "without a choice, λ was given"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # reported below
            with _noting(checkpoint):
                trained = train(
                    task.samples,
                    loss,
                    strength,
                    checkpoint=checkpoint,
                    callback=lambda step: progress(stage(loss, strength, step)),
                    **job.fit_options(task),
                )
        progress("saving")
        image_size = job.image_size if extractor_of(dataset) is None else None
        model = trained.to_model(dataset, image_size=image_size, choice=choice)
        columns: dict[str, Any] = dict(job.columns_of_samples())
        model = replace(model, command=command_line(), **columns)
        model.save(target)
        seconds = time.perf_counter() - started
        test = dataset.test if dataset.test is not None and dataset.test.y is not None else None
        if page is None:
            progress("evaluating")
            parts = {"training": dataset} | ({} if test is None else {"test": test})
            accuracies = {name: float((model.predict(p.X) == p.y).mean()) for name, p in parts.items()}
        else:
            head = _report(job, task, test, model, target, page, language, progress).headline
            accuracy = head.accuracy.n_correct / head.accuracy.n
            accuracies = {"training": accuracy if head.training_accuracy is None else head.training_accuracy}
            if test is not None:
                accuracies["test"] = accuracy
            else:
                wording.say_err(
                    f"Note: {job.data} has no test set, so {page} evaluates the model on its training data. For "
                    f"new samples run softmargin report {target} OTHER_DATA."
                )
    if as_json:
        _print_json(job, task, model, target, accuracies, seconds)
    else:
        wording.print_data(job.data, dataset, model.n_classes)
        if choice is not None:
            if several is None:
                wording.print_comparison(choice)
            else:
                wording.print_features(several)
            wording.say()
        _print_model(model, target, accuracies, seconds, page)
    return _exit_status(model, job.tol, trained.fit.status)


@contextmanager
def _noting(checkpoint: str | None) -> Iterator[None]:
    """Print a note about the checkpoint if the fit ends early, be it by Ctrl-C or because a cluster is lost."""
    try:
        yield
    except BaseException as error:
        ended = isinstance(error, ClusterError) or not isinstance(error, Exception)
        if ended and checkpoint is not None and os.path.exists(checkpoint):
            saved = f"Note: the state of the fit is saved in {checkpoint}"
            wording.say_err(f"{saved}; the same command resumes it.")
        raise


def _print_json(
    job: Job, task: Task | None, model: Model, target: str, accuracies: dict[str, float], seconds: float
) -> None:
    record = {
        "model": target,
        "seconds": seconds,
        "accuracy": accuracies,
        "settings": job.settings(task),
        "metadata": model.metadata(),
    }
    wording.print_json("fit", record)


def _print_model(
    model: Model, target: str, accuracies: dict[str, float], seconds: float, page: str | None
) -> None:
    rows = [
        ["loss", repr(model.loss)],
        ["reg", f"{model.reg:.6g}"],
        ["scaling", model.preprocessing.scaling],
        *wording.certificate_rows(model),
        ["accuracy", ", ".join(f"{accuracy:.4f} {part}" for part, accuracy in accuracies.items())],
        ["total time", f"{seconds:.1f} s"],
        *([["report", page]] if page is not None else []),
    ]
    wording.print_table(["model", target], rows, left=2)


def _exit_status(model: Model, tol: float, status: str) -> int:
    if not model.converged:
        gap = f"relative duality gap {model.gap:.2g} > tol={wording.compact(tol)}"
        wording.say_err(f"Did not converge: {gap}. {status} The model was saved.")
    return 0 if model.converged else 1


def _report(
    job: Job,
    task: Task,
    test: Dataset | None,
    model: Model,
    target: str,
    page: str,
    language: str,
    progress: Progress,
) -> Report:
    """Write a report on the test set, or on the training data if there is none."""
    from softmargin.report import fill_report, refit

    data = task.data
    limits: dict[str, Any] = {"max_passes": job.max_passes or MAX_PASSES, "n_threads": job.threads}
    others, along = refit(model, data, progress=progress, **limits)
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
    files.write_report(record, page, language=language)
    return record
