"""``softmargin evaluate``: how good a model is on labelled data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import cluster, options
from softmargin.cli.groups import groups_of
from softmargin.cli.on_cluster import evaluate_shards
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.reading import Reading, labels_of, naming, part_of, read_for_model, read_model
from softmargin.cli.wording import print_json, print_table, say, say_err, unknown_sentence
from softmargin.errors import ParameterError
from softmargin.text import pluralize, printable

if TYPE_CHECKING:
    from softmargin.evaluation import Evaluation, Metric, Share
    from softmargin.model import Model

__all__ = ["evaluate"]

_MOST_SHARES = 20
_MOST_PAIRS = 5

_TITLES = {
    "accuracy": "accuracy",
    "top_k_accuracy": "top-{k} accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "ECE",
}
_LIMITED = ("accuracy", "top_k_accuracy", "balanced_accuracy", "macro_f1", "auroc", "worst_class", "worst_group")
"""What ``--fail-under`` can limit: metrics of which larger values are better."""


def _limits(context: Any, option: Any, texts: tuple[str, ...]) -> dict[str, float]:
    """Return the limits of ``--fail-under`` by metric, from "0.9" or "auroc=0.9"."""
    limits = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        name = name if equals else "accuracy"
        if name not in _LIMITED:
            raise ParameterError(f"--fail-under must be for one of {', '.join(_LIMITED)}, got {name!r}.")
        try:
            limits[name] = float(number)
        except ValueError:
            limits[name] = -1.0
        if not 0.0 <= limits[name] <= 1.0:
            raise ParameterError(f"--fail-under must be a number from 0 to 1 or METRIC=NUMBER, got {text!r}.")
    return limits


@click.command(short_help="Evaluate MODEL on the labelled samples of DATA.")
@options.evaluation
@click.option(
    "--top-k", type=click.IntRange(1), metavar="K", help="The k of the top-k accuracy.  [default: 5 if C > 5]"
)
@click.option(
    "--metric-groups",
    "groups",
    metavar="COLUMN|FILE",
    help="Also print the accuracy by group: a column of the table, or a file (.npy, .txt, .csv) with one "
    "group per sample.",
)
@click.option(
    "--fail-under",
    "limits",
    metavar="[METRIC=]LIMIT",
    multiple=True,
    callback=_limits,
    help="Exit with status 1 if the accuracy, or METRIC, is lower; may be repeated.",
)
@cluster.option
@options.gathered(Reading, "reading")
def evaluate(
    model: str,
    data: str,
    reading: Reading,
    part: str,
    top_k: int | None,
    groups: str | None,
    limits: dict[str, float],
    where: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Evaluate MODEL on the labelled samples of DATA.

    Prints metrics with their 95 % intervals (omitted if MODEL was trained on these samples), the classes with the
    lowest recall and the most frequent confusions. With --json it prints all numbers, with the confusion matrix.

    With --cluster, DATA is a folder of shards of features, which the workers count one by one. AUROC, which needs
    all scores in one place, is not defined there.

    METRIC is accuracy, top_k_accuracy, balanced_accuracy, macro_f1, auroc, worst_class or worst_group.
    """
    if "worst_group" in limits and groups is None:
        raise ParameterError("--fail-under worst_group=LIMIT needs --metric-groups.")
    if where is not None and groups is not None:
        raise ParameterError("--metric-groups is not supported with --cluster; evaluate the groups separately.")
    loaded = read_model(model)
    with reporter(quiet) as progress:
        if where is None:
            found, on_training = _evaluated(loaded, data, top_k, groups, reading, part, progress)
        else:
            found, on_training = evaluate_shards(where, loaded, data, top_k, reading, part, progress)
    failures = _below(found, limits)
    if on_training:
        say_err("Note: the model was trained on these samples; expect a lower accuracy on new samples.")
        found = found.without_intervals()
    if as_json:
        print_json("evaluate", found.record())
    else:
        _print(data, found)
    for failure in failures:
        say_err(f"Failed: {failure}.")
    return 1 if failures else 0


def _evaluated(
    model: Model, data: str, top_k: int | None, groups: str | None, reading: Reading, part: str, progress: Progress
) -> tuple[Evaluation, bool]:
    """Return the evaluation, and whether the samples are those that the model was trained on."""
    dataset = part_of(read_for_model(data, model, reading, progress), data, part)
    y = labels_of(dataset, data)
    values = None if groups is None else groups_of(groups, data, dataset, model, reading, part)
    on_training = dataset.n_samples == model.n_samples and dataset.fingerprint() == model.fingerprint
    progress("evaluating")
    from softmargin.evaluation import evaluate as evaluated

    with naming(data):
        return evaluated(model, dataset.X, y, values, top_k=top_k), on_training


def _print(data: str, found: Evaluation) -> None:
    say(f"{data}: {pluralize(found.n_samples, 'sample')}, {pluralize(found.n_classes, 'class', 'classes')}.")
    if found.unknown_labels:
        say(unknown_sentence(found.unknown_labels))
    say()
    metrics = [
        (title.format(k=found.top_k), metric)
        for name, title in _TITLES.items()
        if (metric := found.metrics[name]).value is not None
    ]
    worst = [("worst class", found.worst_class), ("worst group", found.worst_group)]
    metrics += [(f"{title}: {_named(share)}", share.accuracy) for title, share in worst if share is not None]
    headings, rows = _with_intervals(["metric"], [([title], metric) for title, metric in metrics], "value")
    print_table(headings, rows)
    for reason, names in _reasons(found).items():
        say(f"Not defined: {', '.join(names)} ({reason}).")
    _print_shares("class", "recall", found.classes)
    if found.groups:
        _print_shares("group", "accuracy", found.groups)
    confused = found.confused()
    if confused:
        say()
        pairs = [[str(a), str(b), f"{n:,}"] for a, b, n in confused[:_MOST_PAIRS]]
        print_table(["class", "predicted", "count"], pairs, left=2)


def _named(share: Share) -> str:
    return f"{printable(share.name)} ({pluralize(share.n, 'sample')})"


def _reasons(found: Evaluation) -> dict[str, list[str]]:
    """Return the names of the undefined metrics, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, title in _TITLES.items():
        metric = found.metrics[name]
        if metric.value is None and not (name == "top_k_accuracy" and found.top_k >= found.n_classes):
            reasons.setdefault(metric.reason, []).append(title.format(k=found.top_k))
    return reasons


def _print_shares(name: str, title: str, shares: tuple[Share, ...]) -> None:
    worst = sorted(shares, key=lambda share: share.n_correct / share.n)[:_MOST_SHARES]
    say()
    rows = [([str(share.name), f"{share.n:,}"], share.accuracy) for share in worst]
    headings, table = _with_intervals([name, "samples"], rows, title)
    print_table(headings, table)
    if len(shares) > len(worst):
        kind = {"class": "classes"}.get(name, f"{name}s")
        say(f"… and {len(shares) - len(worst):,} {kind} with the same or a higher {title}.")


def _with_intervals(
    headings: list[str], rows: Iterable[tuple[list[str], Metric]], title: str
) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows with the values, and with a column of intervals if there are any."""
    table, found = [], list(rows)
    any_interval = any(metric.low is not None for _, metric in found)
    for cells, metric in found:
        interval = "" if metric.low is None or metric.high is None else f"{metric.low:.4f} – {metric.high:.4f}"
        table.append([*cells, f"{metric.value:.4f}", *([interval] if any_interval else [])])
    return [*headings, title, *(["95 % interval"] if any_interval else [])], table


def _below(found: Evaluation, limits: dict[str, float]) -> list[str]:
    """Return which metrics are below their limits, or raise an error if one is not defined."""
    shares = {"worst_class": found.worst_class, "worst_group": found.worst_group}
    failures = []
    for name, limit in limits.items():
        share = shares.get(name)
        metric = found.metrics[name] if share is None else share.accuracy
        if metric.value is None:
            raise ParameterError(
                f"--fail-under {name}={limit:g} must be for a metric that is defined; {metric.reason}."
            )
        if metric.value < limit:
            what = name if share is None else f"{name} ({printable(share.name)})"
            failures.append(f"{what} is {metric.value:.6g}, below the limit {limit:g}")
    return failures
