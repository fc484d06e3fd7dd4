"""``softmargin fit``: from data to a saved model."""

from __future__ import annotations

import os
import time
import warnings
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import files, options, wording
from softmargin.cli.job import Job
from softmargin.cli.progress import Progress, reporter, stage
from softmargin.errors import ConvergenceWarning, ModelFileError, ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model
    from softmargin.report import Report

__all__ = ["fit"]


@click.command(short_help="Train a classifier on DATA and save it.")
@options.data
@click.option(
    "-o", "--output", metavar="MODEL", help="Model file to write.  [default: NAME.safetensors, NAME as in DATA]"
)
@click.option("--report", "page", metavar="HTML", help="Also write an HTML report, as softmargin report does.")
@options.search
@click.option(
    "--reg",
    type=options.positive(),
    metavar="λ",
    help="Regularization strength λ, the factor of ΣW².  [default: selected]",
)
@click.option("--quick", is_flag=True, help="Select on a single held-out fifth instead of cross-validation.")
@click.option(
    "--tol",
    type=options.positive(below=1.0),
    metavar="GAP",
    default=1e-4,
    help="Tolerance for the relative duality gap.  [default: 1e-4]",
)
@click.option(
    "--max-passes",
    type=click.IntRange(1),
    metavar="N",
    default=2000,
    help="Maximum number of passes over X.  [default: 2000]",
)
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Save the state of the final fit there; the same command resumes an interrupted fit.",
)
@options.job
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

    Loss and λ are selected by cross-validation unless both are given. For each loss, λ decreases from the largest
    useful value until the held-out accuracy no longer improves. Of several --features, the best are selected, too.
    The selected loss is then fitted to the whole training set until the relative duality gap is at most --tol. If
    DATA has a test set, it is used only at the end, for the accuracy.

    Exit status: 0; 1 if the fit did not converge (the model is still saved); 2 for an error.
    """
    if quick and job.folds is not None:
        raise ParameterError("--quick and --folds are mutually exclusive; give only one of them.")
    written = [path for path in (output, page, checkpoint) if path is not None]
    extractors = job.extractors()
    inputs = job.inputs(extractors)
    for k, path in enumerate(written):
        files.check_output(path, *inputs, written=written[:k])
    with reporter(quiet) as progress:
        from softmargin.estimators import LinearClassifier
        from softmargin.features import extractor_of

        losses = job.losses()
        tasks = job.read(extractors, progress)
        dataset, samples = task = next(iter(tasks.values()))
        target = output or files.default_output(dataset.name, job.data)
        if output is None:
            files.check_output(target, *inputs, written=written)
            if os.path.lexists(target):
                raise ModelFileError(f"{target} already exists; choose the model file with -o FILE.")
        progress("preparing (kernels are compiled if not cached)")
        choice = several = None
        started = time.perf_counter()
        settings: dict[str, Any] = {"quick": quick, "regs": "auto" if reg is None else [reg]}
        if len(tasks) > 1:
            several = job.search_features(tasks, losses, progress, **settings)
            choice, (dataset, samples) = several.comparison, tasks[several.selected]
        elif len(losses) > 1 or reg is None:
            choice = job.search(task, losses, progress, **settings)
        loss, strength = (losses[0], reg) if choice is None else (choice.loss, choice.reg)
        assert strength is not None, "without a choice, λ was given"
        classifier = LinearClassifier(
            loss,
            reg=strength,
            tol=tol,
            max_passes=max_passes,
            checkpoint=checkpoint,
            callback=lambda step: progress(stage(loss, strength, step)),
            **job.fit_options(dataset),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # reported below
            try:
                classifier.fit(samples, samples.labels)
            except BaseException as error:
                interrupted = not isinstance(error, Exception)
                if interrupted and checkpoint is not None and os.path.exists(checkpoint):
                    saved = f"Note: the state of the fit is saved in {checkpoint}"
                    wording.say_err(f"{saved}; the same command resumes it.")
                raise
        progress("saving")
        image_size = job.image_size if extractor_of(dataset) is None else None
        model = classifier.to_model(dataset, image_size=image_size, choice=choice)
        model.save(target)
        seconds = time.perf_counter() - started
        test = dataset.test if dataset.test is not None and dataset.test.y is not None else None
        if page is None:
            progress("evaluating")
            parts = {"training": dataset} | ({} if test is None else {"test": test})
            accuracies = {name: float((model.predict(p.X) == p.y).mean()) for name, p in parts.items()}
        else:
            head = _report(job, dataset, test, model, target, page, max_passes, progress).headline
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
        wording.print_json(
            {"model": target, "seconds": seconds, "accuracy": accuracies, "metadata": model.metadata()}
        )
    else:
        wording.print_data(job.data, dataset, model.n_classes)
        if choice is not None:
            if several is None:
                wording.print_comparison(choice)
            else:
                wording.print_features(several)
            wording.say()
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
    if not model.converged:
        gap = f"relative duality gap {model.gap:.2g} > tol={wording.compact(tol)}"
        wording.say_err(f"Did not converge: {gap}. {classifier.fit_.status} The model was saved.")
    return 0 if model.converged else 1


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
    """Write a report on the test set, or on the training data if there is none."""
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
