"""``softmargin curve``: the accuracy by the number of training samples per class."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import files, options, wording
from softmargin.cli.job import Job
from softmargin.cli.progress import reporter
from softmargin.cli.reading import describe
from softmargin.errors import ParameterError
from softmargin.text import pluralize

if TYPE_CHECKING:
    from softmargin.selection import LearningCurve

__all__ = ["curve"]

_SUFFIXES = (".json", ".csv")


@dataclass(frozen=True, kw_only=True)
class _CurveJob(Job):
    """The options of `Job` without those of a search."""

    folds: int | None = None


def _shots(context: Any, option: Any, text: str) -> list[int | str]:
    """Return the numbers of shots from "1,2,4,all"."""
    shots: list[int | str] = []
    for word in text.split(","):
        word = word.strip()
        if word != "all" and not (word.isascii() and word.isdigit() and int(word) > 0):
            raise ParameterError(f"--shots must be integers ≥ 1 or 'all', separated by commas, got {text!r}.")
        shots.append(word if word == "all" else int(word))
    return shots


@click.command(short_help="Learning curve of DATA: accuracy by training samples per class.")
@options.data
@click.option("-o", "--output", metavar="FILE", help="File for all numbers: .json, or .csv with one row per fit.")
@click.option("--report", metavar="FILE.html", help="Page to write, with a plot of the curve.")
@options.language
@click.option(
    "--shots",
    metavar="LIST",
    default="1,2,4,8,16,all",
    show_default=True,
    callback=_shots,
    help="Numbers of training samples per class.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    metavar="N",
    default=10,
    show_default=True,
    help="Number of random subsets for each number of shots.",
)
@click.option("--reg", type=options.positive(), metavar="λ", help="λ of all fits.  [default: selected]")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, help="Random seed of the subsets.  [default: 0]"
)
@options.losses("cross_entropy")
@options.groups
@options.job
@options.gathered(_CurveJob, "job")
def curve(
    job: _CurveJob,
    output: str | None,
    report: str | None,
    language: str | None,
    shots: list[int | str],
    repeats: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Learning curve of DATA: the test accuracy by the number of training samples per class ("shots").

    Fits each loss (by default cross_entropy) to random subsets of the training set, whose classes have up to that
    many samples. Prints the mean accuracy over the repeats, its standard error, and the band from the 10 % to the
    90 % quantile. Without a test set, a fifth of DATA is held out of all subsets; with --groups, whole groups. All
    samples have weight 1.

    λ is selected once, on the whole training set of N samples. A subset of n samples is fitted with λ·N/n, which
    is the same C for all.
    """
    job.check()
    language = options.language_of(language, report)
    extractors = job.extractors()
    if len(extractors) > 1:
        raise ParameterError("curve takes one kind of --features; run it once for each.")
    outputs = [path for path in (output, report) if path is not None]
    if output is not None:
        files.check_name(output, _SUFFIXES)
    if report is not None:
        files.check_name(report, (".html", ".htm"), "HTML")
    for k, path in enumerate(outputs):
        files.check_output(path, *job.inputs(extractors), written=outputs[:k])
    job = replace(job, names=job.names or ("cross_entropy",))
    with reporter(quiet) as progress:
        losses = job.losses()
        [task] = job.read(extractors, progress).values()
        progress("preparing (kernels are compiled if not cached)")
        from softmargin.selection import learning_curve

        test = task.data.test
        held = (None, None) if test is None or test.y is None else (test.X, test.y)
        found = learning_curve(
            task.samples,
            task.samples.labels,
            *held,
            loss=losses,
            reg="auto" if job.reg is None else job.reg,
            groups=task.groups,
            shots=shots,
            repeats=repeats,
            seed=job.seed,
            scaling=job.scaling_of(task.data),
            n_threads=job.threads,
            callback=lambda what, k, step: progress(
                f"{what}, repeat {k + 1} of {repeats}: pass {step.n_passes:.0f}"
            ),
        )
        record = {"data": describe(task.data), "curve": found.record()}
        if output is not None:
            files.save(output, [_content(output, wording.document("curve", record), found)])
        if report is not None:
            from softmargin.report import curve_page

            files.save(report, curve_page(found, job.data, language))
    if found.n_groups is not None and not found.held_out and not found.selected:
        wording.say_err("Note: the groups have no effect, since there is a test set and --reg is given.")
    if as_json:
        wording.print_json("curve", record)
        return 0
    _print(job.data, found)
    for path in outputs:
        wording.say(f"Wrote {path}.")
    return 0


def _content(path: str, record: dict[str, Any], found: LearningCurve) -> bytes:
    """Return the content of the output: JSON, or a table with one row per fit."""
    if path.lower().endswith(".json"):
        return (json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["loss", "shots", "samples", "reg", "repeat", "accuracy"])
    for one in found.curves:
        for point in one.points:
            for k, accuracy in enumerate(point.accuracies):
                table.writerow([one.loss, point.name, point.n_samples, repr(point.reg), k, repr(accuracy)])
    return text.getvalue().encode()


def _print(source: str, found: LearningCurve) -> None:
    where = "held out of all subsets" if found.held_out else "of the test set"
    if found.held_out and found.n_groups is not None:
        where += f", as whole groups ({found.n_groups:,} groups in total)"
    wording.say(
        f"{source}: {pluralize(found.n_training, 'training sample')}, "
        f"{pluralize(found.n_classes, 'class', 'classes')}; {pluralize(found.n_test, 'sample')} {where}."
    )
    wording.say()
    rows = []
    for one in found.curves:
        for point in one.points:
            low, high = point.band
            single = len(point.accuracies) == 1
            rows.append(
                [
                    one.loss,
                    point.name,
                    f"{point.n_samples:,}",
                    f"{point.reg:.3g}",
                    f"{point.mean:.4f}" + ("" if single else f" ±{point.standard_error:.4f}"),
                    "" if single else f"{low:.4f} – {high:.4f}",
                ]
            )
    wording.print_table(["loss", "shots", "samples", "reg", "accuracy", "10 % – 90 %"], rows)
    wording.say()
    n_fits = sum(len(point.accuracies) for one in found.curves for point in one.points)
    if found.n_not_converged:
        gap = max(point.gap for one in found.curves for point in one.points)
        points = f"{found.n_not_converged} of the rows contain a fit that did not converge"
        wording.say(f"{points}: largest gap {gap:.1e} > {wording.compact(found.tol)}.")
    else:
        wording.say(f"All {pluralize(n_fits, 'fit')} converged (gap ≤ {wording.compact(found.tol)}).")
    if found.selected:
        wording.say("λ was selected on the whole training set; all subsets have the same C = 1/(2nλ).")
