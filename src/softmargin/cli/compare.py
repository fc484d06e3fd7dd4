"""``softmargin compare``: the losses side by side, on the same folds."""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING, Any

import click

from softmargin._version import __version__
from softmargin.cli import files, options, wording
from softmargin.cli.job import Job
from softmargin.cli.progress import Progress, reporter
from softmargin.errors import ConvergenceWarning

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.samples import Labelled
    from softmargin.selection import Comparison

__all__ = ["compare"]


@click.command(short_help="Compare the losses on DATA by cross-validation.")
@options.data
@click.option("-o", "--output", metavar="FILE", help="JSON file to save all of it in.")
@options.losses("Compare this one only;")
@click.option(
    "--delta", type=options.positive(), metavar="Δ", default=1.0, help="Margin of the hinges.  [default: 1]"
)
@click.option("--folds", type=click.IntRange(2), metavar="N", default=5, help="Number of folds.  [default: 5]")
@click.option(
    "--rule",
    type=click.Choice(("best", "one_se")),
    default="best",
    show_default=True,
    help="Take the best λ, or the largest within one standard error of it.",
)
@click.option(
    "--scoring",
    type=click.Choice(("accuracy", "loss")),
    default="accuracy",
    show_default=True,
    help="Choose λ by the held-out accuracy or the held-out loss.",
)
@click.option("--seed", type=click.IntRange(0), metavar="N", default=0, help="Of the folds.  [default: 0]")
@options.scaling
@options.normalize_rows
@options.image_size
@options.reading
@options.threads
@options.as_json
@options.quiet
@options.gathered(Job, "job")
def compare(job: Job, output: str | None, rule: str, scoring: str, seed: int, as_json: bool, quiet: bool) -> int:
    """Compare the losses on DATA by cross-validation, each at its own best λ.

    For each loss λ walks down from the largest sensible one until the held-out score has stopped rising; every
    fit is certified. McNemar's test says whether a difference is more than chance. ECE is the expected
    calibration error of the probabilities; those of the hinges get a temperature first.

    If DATA brings a test part, each loss is fitted to all the rest at its best λ and looks at it once, at the
    end: for the record, not for the choice.
    """
    if output is not None:
        files.check_output(output, job.data, job.labels)
    with reporter(quiet) as progress:
        losses = job.losses()
        dataset = job.read(progress)
        labelled = job.check(dataset)
        progress("preparing (a first start compiles its kernels)")
        started = time.perf_counter()
        found = job.search(labelled, losses, "auto", progress, rule=rule, scoring=scoring, seed=seed)
        tests = _tests(job, dataset, labelled, found, progress)
        seconds = time.perf_counter() - started
    described: dict[str, Any] = {"name": dataset.name, "fingerprint": dataset.fingerprint()}
    described |= {"n_samples": dataset.n_samples, "n_features": dataset.n_features}
    record: dict[str, Any] = {
        "softmargin": __version__,
        "data": described,
        "comparison": found.record(),
        "test": tests,
    }
    record["seconds"] = seconds
    if output is not None:
        text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        files.save(output, [text.encode()], "saved")
    if as_json:
        wording.print_json(record)
        return 0
    aside = "" if dataset.test is None else f"; {dataset.test.n_samples:,} more are set aside for testing"
    size = f"{dataset.n_samples:,} samples, {dataset.n_features:,} features ({dataset.X.dtype})"
    wording.say(f"{job.data}: {size}{aside}.")
    wording.say()
    wording.print_comparison(found, tests)
    if output is not None:
        wording.say(f"Saved in {output}.")
    return 0


def _tests(
    job: Job, dataset: Dataset, labelled: Labelled, found: Comparison, progress: Progress
) -> dict[str, float]:
    """Fit each loss to everything at its chosen λ, and return its accuracy on the test part, if there is one."""
    from softmargin.estimators import LinearClassifier

    if dataset.test is None or dataset.test.y is None:
        return {}
    tests = {}
    for path in found.paths:
        progress(f"{path.loss.name}, reg {path.chosen.reg:.2g}: all samples")
        classifier = LinearClassifier(path.loss, reg=path.chosen.reg, **job.fit_options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the test part is for the record alone
            classifier.fit(labelled, labelled.labels)
        tests[path.loss.name] = float((classifier.predict(dataset.test.X) == dataset.test.y).mean())
    return tests
