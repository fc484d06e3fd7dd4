"""``softmargin fit``: from data to a saved model."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import click

from softmargin.cli.base import (
    data_argument,
    data_options,
    json_option,
    labels_of,
    parse_size,
    print_json,
    print_table,
    quiet_option,
    read_data,
    reporter,
    say,
    say_err,
    showable,
)

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.losses import Loss
    from softmargin.model import Model
    from softmargin.selection import Choice
    from softmargin.solvers import Step

__all__ = ["fit"]

_LOSSES = ("hinge", "squared_hinge", "cross_entropy")
_PREFERRED = ("cross_entropy", "squared_hinge", "hinge")
"""Of equal accuracies the one with probabilities is the most useful, then the quicker one."""


@click.command()
@data_argument
@click.option("-o", "--output", metavar="MODEL", help="Model file to save.  [default: DATA's name.safetensors]")
@click.option("--loss", type=click.Choice(_LOSSES), help="The loss.  [default: the best on held-out data]")
@click.option("--reg", type=float, metavar="FLOAT", help="λ, the factor of ΣW².  [default: as for --loss]")
@click.option("--delta", type=float, default=1.0, show_default=True, help="The margin Δ of the hinges.")
@click.option("--tol", type=float, default=1e-4, show_default=True, help="Relative duality gap to prove.")
@click.option("--max-passes", type=int, default=2000, show_default=True, help="Budget of readings of X.")
@click.option(
    "--scaling",
    type=click.Choice(("auto", "none", "unit", "standard")),
    default="auto",
    show_default=True,
    help="unit: pixels / 255; standard: each feature by its standard deviation; auto: unit for 8-bit data.",
)
@click.option("--image-size", metavar="HxW", help="Bring every image to this size.")
@data_options
@click.option("--threads", type=int, help="Threads; results do not depend on it.  [default: all cores]")
@json_option
@quiet_option
def fit(
    data: str,
    output: str | None,
    loss: str | None,
    reg: float | None,
    delta: float,
    tol: float,
    max_passes: int,
    scaling: str,
    image_size: str | None,
    labels: str | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a classifier on DATA and save it.

    Without --loss and --reg both are chosen on a fifth of the data that is held out: for each loss λ walks
    down from the largest sensible one until accuracy has stopped rising. The chosen one is then fitted to
    all of DATA until the requested gap is proved. Data set aside for testing is looked at once, at the end.

    Exit status: 0, 1 if the gap was not reached (the model is saved and says so), 2 for a mistake.
    """
    from softmargin.errors import ConvergenceWarning
    from softmargin.estimators import LinearClassifier, make_loss
    from softmargin.selection import choose

    size = parse_size(image_size)
    wanted = [make_loss(name, delta) for name in ((loss,) if loss else _PREFERRED)]
    with reporter(quiet) as report:
        dataset = read_data(data, report, labels=labels, image_size=size)
        y = labels_of(dataset)
        target = output or f"{dataset.name}.safetensors"
        choice = None
        seconds = time.perf_counter()
        if loss is None or reg is None:
            choice = choose(
                dataset.X,
                y,
                wanted,
                None if reg is None else [reg],
                scaling=scaling,
                n_threads=threads,
                watcher=lambda loss, reg, step: report(_stage(loss, reg, step), 0, 0),
            )
        chosen = wanted[0] if choice is None else choice.loss
        classifier = LinearClassifier(
            chosen,
            reg=reg if choice is None else choice.reg,  # type: ignore[arg-type]
            delta=delta,
            tol=tol,
            max_passes=max_passes,
            scaling=scaling,
            n_threads=threads,
            callback=lambda step: report(_stage(chosen, classifier.reg, step), 0, 0),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said below, in the words of the command line
            classifier.fit(dataset.X, y)
        report("checking the result", 0, 0)
        model = classifier.to_model(dataset, image_size=size, choice=choice)
        seconds = time.perf_counter() - seconds
        accuracies = {"training": _accuracy(model, dataset)}
        if dataset.test is not None and dataset.test.y is not None:
            accuracies["test"] = _accuracy(model, dataset.test)
        model.save(target)

    if as_json:
        print_json({"model": target, "seconds": seconds, "accuracy": accuracies, "card": model.card()})
    else:
        _print_summary(dataset, model, choice, accuracies, target, seconds)
    if not model.converged:
        say_err(
            f"The fit stopped at a relative gap of {model.gap:.2g} instead of {tol:g}: {classifier.fit_.status} "
            f"The model is saved as it is."
        )
        return 1
    return 0


def _stage(loss: Loss, reg: float, step: Step) -> str:
    gap = f", gap about {step.estimate:.0e}" if step.estimate < 1.0 else ""
    return f"{loss.name}, reg {reg:.2g}: pass {step.n_passes:.0f}{gap}"


def _accuracy(model: Model, data: Dataset) -> float:
    return float((model.predict(data.X) == data.y).mean())


def _print_summary(
    data: Dataset, model: Model, choice: Choice | None, accuracies: dict[str, float], target: str, seconds: float
) -> None:
    held = "" if data.test is None else f"; {data.test.n_samples:,} more are set aside for testing"
    say(
        f"{showable(data.name)}: {data.n_samples:,} samples, {data.n_features:,} features ({data.X.dtype}), "
        f"{model.n_classes:,} classes{held}."
    )
    headings = ["loss", "reg", "gap", "passes", "seconds", "training"]
    headings += ["validation"] if choice else []
    headings += ["test"] if "test" in accuracies else []
    rows: list[list[str]] = []
    if choice is not None:
        say(choice.reason())
        for path in choice.paths:
            point = path.chosen
            work = [sum(p.n_passes for p in path.points), sum(p.seconds for p in path.points)]
            row = [f"{path.loss.name}, best of {len(path.points)}", f"{point.reg:.3g}", f"{point.gap:.0e}"]
            row += [f"{work[0]:,}", f"{work[1]:.1f}", f"{point.training_accuracy:.4f}"]
            rows.append([*row, f"{point.validation_accuracy:.4f}", *([""] if "test" in accuracies else [])])
    final = [f"{model.loss.name}, fitted to all" if choice else model.loss.name]
    final += [f"{model.reg:.3g}", f"{model.gap:.0e}", f"{model.n_passes:,}", f"{model.seconds:.1f}"]
    final += [f"{accuracies['training']:.4f}", *([""] if choice else [])]
    rows.append([*final, *([f"{accuracies['test']:.4f}"] if "test" in accuracies else [])])
    say()
    print_table(headings, rows)
    say()
    proof = "proved" if model.converged else "NOT reached"
    say(
        f"F = {model.value:.8g}, and nowhere below {model.lower_bound:.8g}: a gap of {model.gap:.1e} "
        f"({model.tol:g} is {proof})."
    )
    say(f"Saved {showable(target)} after {seconds:.1f} s.")


