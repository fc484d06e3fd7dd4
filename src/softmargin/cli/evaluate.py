"""``softmargin evaluate``: how good a model is on data with labels."""

from __future__ import annotations

from typing import Any

import click

from softmargin.cli import options
from softmargin.cli.progress import reporter
from softmargin.cli.reading import Reading, labels_of, read_for_model, read_model
from softmargin.cli.wording import named, print_json, print_table, say, say_err

__all__ = ["evaluate"]

_MOST_CLASSES = 20
_MOST_PAIRS = 5
_MOST_NAMES = 3


@click.command(short_help="Say how good MODEL is on the labelled samples of DATA.")
@options.model
@options.data
@options.reading
@options.part
@options.as_json
@options.quiet
@options.gathered(Reading, "reading")
def evaluate(model: str, data: str, reading: Reading, part: str, as_json: bool, quiet: bool) -> None:
    """Say how good MODEL is on the labelled samples of DATA.

    Prints the accuracy with its standard error (half of Wilson's interval; none if MODEL was trained on just
    these samples), the recall of each class and the most frequent mistakes: of which class how many samples were
    taken for which other.
    """
    import numpy as np

    from softmargin.errors import DataError
    from softmargin.statistics import standard_error

    loaded = read_model(model)
    with reporter(quiet) as progress:
        dataset = read_for_model(data, loaded, reading, progress, part)
        y = labels_of(dataset, data)
        known_samples = dataset.n_samples == loaded.n_samples and dataset.fingerprint() == loaded.fingerprint
        if known_samples:
            say_err("Note: this model was trained on just these samples; on others expect less.")
        progress("predicting")
        predicted = loaded.predict(dataset.X)
    known = set(loaded.classes.tolist())
    present, true = np.unique(y, return_inverse=True)
    answers, given = np.unique(predicted, return_inverse=True)
    unknown = [label for label in present.tolist() if label not in known]
    if len(unknown) == len(present):
        raise DataError(
            f"None of the labels of {data} ({named(unknown, _MOST_NAMES)}) is a class of this model "
            f"({named(loaded.classes.tolist(), _MOST_NAMES)})."
        )
    right = predicted == y
    accuracy = float(right.mean())
    error = None if known_samples else standard_error(accuracy, len(y))  # which is one for other samples
    counts = np.bincount(true)
    recalls = np.bincount(true, weights=right) / counts
    pairs, times = np.unique((true * len(answers) + given)[~right], return_counts=True)
    confused = [
        (present[pairs[k] // len(answers)].item(), answers[pairs[k] % len(answers)].item(), int(times[k]))
        for k in np.argsort(-times, kind="stable")
    ]
    if as_json:
        record: dict[str, Any] = {"n_samples": len(y), "accuracy": accuracy, "standard_error": error}
        record["recall"] = dict(zip(map(str, present.tolist()), recalls.tolist(), strict=True))
        record["confused"] = [{"class": a, "predicted": b, "count": n} for a, b, n in confused]
        print_json(record | {"unknown_labels": unknown})
        return
    sure = "" if error is None else f" ± {error:.4f}"
    say(f"{data}: accuracy {accuracy:.4f}{sure} on {len(y):,} samples.")
    if unknown:
        say(f"Labels that are no class of this model count as wrong: {named(unknown, _MOST_CLASSES)}.")
    worst = np.argsort(recalls, kind="stable")[:_MOST_CLASSES]
    rows = [[str(present[k]), f"{counts[k]:,}", f"{recalls[k]:.4f}"] for k in worst]
    say()
    print_table(["class", "samples", "recall"], rows)
    if len(present) > len(worst):
        say(f"… and {len(present) - len(worst):,} classes with no smaller recall.")
    if confused:
        rows = [[str(a), str(b), f"{n:,}"] for a, b, n in confused[:_MOST_PAIRS]]
        say()
        print_table(["class", "taken for", "times"], rows, left=2)
