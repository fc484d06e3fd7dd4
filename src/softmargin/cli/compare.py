"""``softmargin compare``: the losses side by side, on the same folds."""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import cluster, files, held_out, options, wording
from softmargin.cli.job import Job, Task
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.reading import describe
from softmargin.errors import ConvergenceWarning

if TYPE_CHECKING:
    from softmargin.selection import Comparison

__all__ = ["compare"]


@click.command(cls=options.Command, short_help="Compare the losses on DATA by cross-validation.")
@options.data
@click.option("-o", "--output", metavar="FILE", help="JSON file to write all results to.")
@click.option(
    "--out-of-fold",
    metavar="FILE",
    help="File for the held-out scores and probabilities of all samples: .csv, .npz or .parquet.",
)
@options.search
@options.job
@cluster.option
@options.gathered(Job, "job")
def compare(
    job: Job, output: str | None, out_of_fold: str | None, where: str | None, as_json: bool, quiet: bool
) -> int:
    """Compare the losses on DATA by cross-validation, each at its best λ.

    For each loss, λ decreases from the largest useful value until the held-out score no longer improves. Every fit
    has a certified duality gap. McNemar's test tells whether two losses differ significantly. ECE is the expected
    calibration error of the probabilities; those of the hinge losses are first calibrated with a temperature.

    With several --features, each is compared with each loss on the same folds, and the best features are tested
    against the others.

    If DATA has a test set, each loss is fitted to the whole training set at its best λ and evaluated on the test
    set. These accuracies do not influence the selection. With --cluster, DATA are shards, of which only those for
    training are used.
    """
    job.check()
    if where is not None:
        cluster.check_job(job, out_of_fold=out_of_fold)
    extractors = job.extractors()
    inputs = job.inputs(extractors)
    if out_of_fold is not None:
        files.check_name(out_of_fold, held_out.SUFFIXES)
        files.check_output(out_of_fold, *inputs)
    if output is not None:
        files.check_name(output, (".json",))
        files.check_output(output, *inputs, written=[out_of_fold])
    if where is not None:
        _compare_shards(job, where, output, as_json, quiet)
        return 0
    with reporter(quiet) as progress:
        losses = job.losses()
        tasks = job.read(extractors, progress)
        task = next(iter(tasks.values()))
        progress("preparing (kernels are compiled if not cached)")
        started = time.perf_counter()
        kept = out_of_fold is not None
        several = job.search_features(tasks, losses, progress, keep_out_of_fold=kept) if len(tasks) > 1 else None
        one = job.search(task, losses, progress, keep_out_of_fold=kept) if several is None else several.comparison
        comparisons = dict.fromkeys(tasks, one) if several is None else several.comparisons
        tests = {spec: _test_accuracies(job, tasks[spec], found, progress) for spec, found in comparisons.items()}
        seconds = time.perf_counter() - started
    record = {
        "data": describe(task.data),
        "comparison": (several or one).record(),
        "settings": job.settings(task),
        "test": next(iter(tests.values())) if several is None else tests,
        "seconds": seconds,
    }
    _save(output, record)
    if out_of_fold is not None:
        held_out.save(out_of_fold, task, one)
    if as_json:
        wording.print_json("compare", record)
        return 0
    wording.print_data(job.data, task.data, len(task.samples.classes))
    if several is None:
        wording.print_comparison(one, *tests.values())
    else:
        wording.print_features(several, tests)
    if output is not None:
        wording.say(f"Results written to {output}.")
    if out_of_fold is not None:
        wording.say(f"Out-of-fold scores written to {out_of_fold}.")
    return 0


def _compare_shards(job: Job, where: str, output: str | None, as_json: bool, quiet: bool) -> None:
    with reporter(quiet) as progress:
        found, shards, described, seconds = cluster.compare_shards(job, where, progress)
    record = {
        "data": described, "comparison": found.record(),
        "settings": job.settings(None), "test": {}, "seconds": seconds,
    }  # fmt: skip
    _save(output, record)
    if as_json:
        wording.print_json("compare", record)
        return
    cluster.print_shards(job.data, shards, len(described["classes"]))
    wording.print_comparison(found)
    if output is not None:
        wording.say(f"Results written to {output}.")


def _save(output: str | None, record: dict[str, Any]) -> None:
    """Write all results to a JSON file, if there is a name for it."""
    if output is not None:
        document = wording.document("compare", record)
        text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        files.save(output, [text.encode()])


def _test_accuracies(job: Job, task: Task, found: Comparison, progress: Progress) -> dict[str, float]:
    """Fit each loss to the whole training set at its λ, and return the accuracies on the test set, if any."""
    from softmargin.training import train

    test = task.data.test
    if test is None or test.y is None:
        return {}
    tests = {}
    for path in found.paths:
        progress(f"{path.loss.name}, reg {path.chosen.reg:.2g}: whole training set")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # these fits are only for the test accuracy
            trained = train(task.samples, path.loss, path.chosen.reg, **job.fit_options(task))
        tests[found.name_of(path.loss)] = float((trained.to_model(task.data).predict(test.X) == test.y).mean())
    return tests
