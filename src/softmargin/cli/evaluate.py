"""``softmargin evaluate``: how good a model is on labelled data."""

from __future__ import annotations

import click

from softmargin.cli import options
from softmargin.cli.progress import reporter
from softmargin.cli.reading import Reading, labels_of, part_of, read_for_model, read_model
from softmargin.cli.wording import list_names, print_json, print_table, say, say_err

__all__ = ["evaluate"]

_MOST_CLASSES = 20
_MOST_PAIRS = 5
_MOST_NAMES = 3


@click.command(short_help="Evaluate MODEL on the labelled samples of DATA.")
@options.evaluation
@options.gathered(Reading, "reading")
def evaluate(model: str, data: str, reading: Reading, part: str, as_json: bool, quiet: bool) -> None:
    """Evaluate MODEL on the labelled samples of DATA.

    Prints the accuracy with its standard error (from Wilson's interval; omitted if MODEL was trained on these
    samples), the recall of each class and the most frequent confusions.
    """
    import numpy as np

    from softmargin.errors import DataError
    from softmargin.statistics import standard_error

    loaded = read_model(model)
    with reporter(quiet) as progress:
        dataset = part_of(read_for_model(data, loaded, reading, progress), data, part)
        y = labels_of(dataset, data)
        on_training = dataset.n_samples == loaded.n_samples and dataset.fingerprint() == loaded.fingerprint
        if on_training:
            say_err("Note: the model was trained on these samples; expect a lower accuracy on new samples.")
        progress("predicting")
        predicted = loaded.predict(dataset.X)
    classes = loaded.classes.tolist()
    present, true = np.unique(y, return_inverse=True)
    answers, given = np.unique(predicted, return_inverse=True)
    unknown = sorted(set(present.tolist()) - set(classes))
    if len(unknown) == len(present):
        raise DataError(
            f"None of the labels of {data} ({list_names(unknown, _MOST_NAMES)}) is a class of this model "
            f"({list_names(classes, _MOST_NAMES)})."
        )
    correct = predicted == y
    accuracy = float(correct.mean())
    error = None if on_training else standard_error(accuracy, len(y))
    counts = np.bincount(true)
    recalls = np.bincount(true, weights=correct) / counts
    pairs, times = np.unique((true * len(answers) + given)[~correct], return_counts=True)
    confused = [
        (present[pairs[k] // len(answers)].item(), answers[pairs[k] % len(answers)].item(), int(times[k]))
        for k in np.argsort(-times, kind="stable")
    ]
    if as_json:
        print_json(
            "evaluate",
            {
                "n_samples": len(y),
                "accuracy": accuracy,
                "standard_error": error,
                "recall": dict(zip(map(str, present.tolist()), recalls.tolist(), strict=True)),
                "confused": [{"class": a, "predicted": b, "count": n} for a, b, n in confused],
                "unknown_labels": unknown,
            },
        )
        return
    uncertainty = "" if error is None else f" ± {error:.4f}"
    say(f"{data}: accuracy {accuracy:.4f}{uncertainty} on {len(y):,} samples.")
    if unknown:
        say(f"Labels that are not classes of the model count as errors: {list_names(unknown, _MOST_CLASSES)}.")
    worst = np.argsort(recalls, kind="stable")[:_MOST_CLASSES]
    say()
    print_table(
        ["class", "samples", "recall"], [[str(present[k]), f"{counts[k]:,}", f"{recalls[k]:.4f}"] for k in worst]
    )
    if len(present) > len(worst):
        say(f"… and {len(present) - len(worst):,} classes with the same or a higher recall.")
    if confused:
        say()
        rows = [[str(a), str(b), f"{n:,}"] for a, b, n in confused[:_MOST_PAIRS]]
        print_table(["class", "predicted", "count"], rows, left=2)
