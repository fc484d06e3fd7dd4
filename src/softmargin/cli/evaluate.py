"""``softmargin evaluate``: how good a model is on data with labels."""

from __future__ import annotations

import click

from softmargin.cli.base import (
    data_argument,
    data_options,
    json_option,
    labels_of,
    print_json,
    print_table,
    quiet_option,
    read_for_model,
    reporter,
    say,
    showable,
)

__all__ = ["evaluate"]

_MOST_CLASSES = 20
_MOST_PAIRS = 5


@click.command()
@click.argument("model", metavar="MODEL")
@data_argument
@data_options
@click.option(
    "--part",
    type=click.Choice(("auto", "train", "test")),
    default="auto",
    show_default=True,
    help="Part of DATA to use; auto: what is set aside for testing, if anything is.",
)
@json_option
@quiet_option
def evaluate(model: str, data: str, labels: str | None, part: str, as_json: bool, quiet: bool) -> int:
    """Say how good MODEL is on the labelled samples of DATA.

    Prints the accuracy with its standard error, the recall of each class and the pairs of classes that are
    confused most.
    """
    import numpy as np

    from softmargin.errors import DataError
    from softmargin.model import load_model

    loaded = load_model(model)
    with reporter(quiet) as report:
        dataset = read_for_model(data, loaded, report, labels, part)
        y = labels_of(dataset)
        if len(y) == 0:
            raise DataError(f"{showable(dataset.name)} holds no samples, so there is nothing to evaluate.")
        report("predicting", 0, 0)
        predicted = loaded.predict(dataset.X)
    unknown = sorted({showable(label) for label in np.unique(y) if label not in loaded.classes})
    if len(unknown) == len(np.unique(y)):
        raise DataError(
            f"None of the labels of {showable(dataset.name)} ({', '.join(unknown[:3])}, …) is a class of this model "
            f"({', '.join(showable(label) for label in loaded.classes[:3])}, …)."
        )
    accuracy = float((predicted == y).mean())
    error = float(np.sqrt(accuracy * (1.0 - accuracy) / len(y)))
    recalls = {
        str(label): (int((y == label).sum()), float((predicted[y == label] == label).mean())) for label in np.unique(y)
    }
    wrong = predicted != y
    pairs, counts = np.unique(np.stack([y[wrong], predicted[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    confused = [(str(pairs[0, k]), str(pairs[1, k]), int(counts[k])) for k in order]
    if as_json:
        print_json(
            {
                "n_samples": len(y),
                "accuracy": accuracy,
                "standard_error": error,
                "recall": {label: recall for label, (_, recall) in recalls.items()},
                "confused": [{"class": a, "predicted": b, "count": n} for a, b, n in confused],
                "unknown_labels": unknown,
            }
        )
        return 0
    say(f"{showable(dataset.name)}: accuracy {accuracy:.4f} ± {error:.4f} on {len(y):,} samples.")
    if unknown:
        say(f"Labels that are no class of this model count as wrong: {', '.join(unknown)}.")
    worst = sorted(recalls.items(), key=lambda item: item[1][1])
    say()
    print_table(
        ["class", "samples", "recall"], [[c, f"{n:,}", f"{recall:.4f}"] for c, (n, recall) in worst[:_MOST_CLASSES]]
    )
    if len(worst) > _MOST_CLASSES:
        say(f"… and {len(worst) - _MOST_CLASSES} classes with a better recall.")
    if confused:
        say()
        print_table(
            ["class", "taken for", "times"], [[a, b, f"{n:,}"] for a, b, n in confused[:_MOST_PAIRS]], left=2
        )
    return 0
