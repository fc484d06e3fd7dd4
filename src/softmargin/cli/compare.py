"""``softmargin compare``: the losses side by side, on the same folds."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from softmargin._version import __version__
from softmargin.atomic import write_atomically
from softmargin.cli.base import (
    LOSS_NAMES,
    check_output,
    data_argument,
    data_options,
    json_option,
    labels_of,
    losses_option,
    normalize_option,
    parse_size,
    positive,
    print_comparison,
    print_json,
    quiet_option,
    read_data,
    reporter,
    say,
    scaling_option,
    size_option,
    stage,
    threads_option,
)
from softmargin.errors import ConvergenceWarning, DataError, ModelFileError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.losses import Loss
    from softmargin.selection import Comparison

__all__ = ["compare"]


@click.command(short_help="Compare the losses on DATA by cross-validation.")
@data_argument
@click.option("-o", "--output", metavar="FILE", help="JSON file to save all of it in.")
@losses_option("Compare this one only;")
@click.option("--delta", type=positive(), metavar="Δ", default=1.0, help="Margin of the hinges.  [default: 1]")
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
@scaling_option
@normalize_option
@size_option
@data_options
@threads_option
@json_option
@quiet_option
def compare(
    data: str,
    output: str | None,
    names: tuple[str, ...],
    delta: float,
    folds: int,
    rule: str,
    scoring: str,
    seed: int,
    scaling: str,
    normalize_rows: bool,
    image_size: str | None,
    labels: str | None,
    label: str | None,
    columns: str | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compare the losses on DATA by cross-validation, each at its own best λ.

    For each loss λ walks down from the largest sensible one until the held-out score has stopped rising; every
    fit is certified. McNemar's test says whether a difference is more than chance. ECE is the expected
    calibration error of the probabilities; those of the hinges get a temperature first.

    If DATA brings a test part, each loss is fitted to all the rest at its best λ and looks at it once, at the
    end: for the record, not for the choice.
    """
    size = parse_size(image_size)
    if output is not None:
        check_output(output, data, labels)
    with reporter(quiet) as report:
        from softmargin.estimators import make_loss
        from softmargin.preprocessing import unit_rows
        from softmargin.selection import compare as compare_losses
        from softmargin.validation import check_finite

        losses = [make_loss(name, delta) for name in dict.fromkeys(names or LOSS_NAMES)]
        dataset = read_data(data, report, labels=labels, label=label, columns=columns, image_size=size)
        y = labels_of(dataset, data)
        try:
            check_finite(dataset.X)
        except DataError as error:
            raise DataError(f"{data}: {error}") from error
        report("preparing (a first start compiles its kernels)", 0, 0)
        started = time.perf_counter()
        found = compare_losses(
            unit_rows(dataset.X) if normalize_rows else dataset.X,
            y,
            losses,
            cv=folds,
            rule=rule,
            scoring=scoring,
            seed=seed,
            scaling=scaling,
            n_threads=threads,
            watcher=lambda loss, reg, fold, step: report(stage(loss, reg, step, fold, folds), 0, 0),
        )
        options = {"scaling": scaling, "normalize_rows": normalize_rows, "n_threads": threads}
        tests = _tests(dataset, y, found, options, lambda what: report(what, 0, 0))
        seconds = time.perf_counter() - started
    record = {
        "softmargin": __version__,
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint(),
            "n_samples": dataset.n_samples,
            "n_features": dataset.n_features,
        },
        "comparison": found.record(),
        "test": tests,
        "seconds": seconds,
    }
    if output is not None:
        text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        try:
            write_atomically(output, [text.encode()])
        except OSError as error:
            raise ModelFileError(f"{output} could not be saved: {error.strerror}.") from error
    if as_json:
        print_json(record)
        return 0
    aside = "" if dataset.test is None else f"; {dataset.test.n_samples:,} more are set aside for testing"
    say(f"{data}: {dataset.n_samples:,} samples, {dataset.n_features:,} features ({dataset.X.dtype}){aside}.")
    say()
    print_comparison(found, tests)
    if output is not None:
        say(f"Saved in {output}.")
    return 0


def _tests(
    dataset: Dataset, y: Any, found: Comparison, options: dict[str, Any], report: Callable[[str], None]
) -> dict[str, float]:
    """Fit each loss to everything at its chosen λ, and return its accuracy on the test part, if there is one."""
    from softmargin.estimators import LinearClassifier

    if dataset.test is None or dataset.test.y is None:
        return {}
    tests = {}
    for path in found.paths:
        loss: Loss = path.loss
        classifier = LinearClassifier(loss, reg=path.chosen.reg, **options)
        report(f"{loss.name}, reg {path.chosen.reg:.2g}: all samples")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the test part is for the record alone
            classifier.fit(dataset.X, y)
        tests[loss.name] = float((classifier.predict(dataset.test.X) == dataset.test.y).mean())
    return tests
