"""``softmargin info``: what a model or data file holds."""

from __future__ import annotations

from pathlib import Path

import click

from softmargin.cli.base import (
    data_options,
    json_option,
    print_json,
    print_table,
    quiet_option,
    read_data,
    reporter,
    say,
    showable,
)

__all__ = ["info"]


@click.command()
@click.argument("source", metavar="MODEL|DATA")
@data_options
@json_option
@quiet_option
def info(source: str, labels: str | None, as_json: bool, quiet: bool) -> int:
    """Show what a model file or DATA holds: sizes, loss, λ and certificate, or classes and types."""
    return _info_model(source, as_json) if _is_model(source) else _info_data(source, labels, as_json, quiet)


def _is_model(source: str) -> bool:
    return Path(source).suffix == ".safetensors"


def _info_model(source: str, as_json: bool) -> int:
    from softmargin.model import load_model

    model = load_model(source)
    if as_json:
        print_json(model.card())
        return 0
    names = [showable(label) for label in model.classes[:10]]
    more = f", … ({model.n_classes - 10} more)" if model.n_classes > 10 else ""
    shape = "" if model.image_shape is None else f" (pictures of {'×'.join(map(str, model.image_shape))})"
    proof = "proved" if model.converged else "not reached"
    rows = [
        ["loss", repr(model.loss)],
        ["reg", f"{model.reg:.6g}"],
        ["features", f"{model.n_features:,}{shape}"],
        ["classes", f"{model.n_classes:,}: {', '.join(names)}{more}"],
        ["scaling", model.preprocessing.scaling],
        ["trained on", f"{showable(model.data_name)}, {model.n_samples:,} samples"],
        ["fingerprint", model.fingerprint[:16] + "…"],
        ["objective", f"{model.value:.8g}, nowhere below {model.lower_bound:.8g}"],
        ["gap", f"{model.gap:.2e} ({model.tol:g} is {proof})"],
        ["work", f"{model.n_passes:,} passes, {model.seconds:.1f} s"],
        ["created", f"{model.created} with softmargin {model.versions.get('softmargin', 'unknown')}"],
    ]
    print_table(["model", showable(source)], rows, left=2)
    if model.selection.get("reason"):
        say()
        say(str(model.selection["reason"]))
    return 0


def _info_data(source: str, labels: str | None, as_json: bool, quiet: bool) -> int:
    import numpy as np

    with reporter(quiet) as report:
        data = read_data(source, report, labels=labels)
    parts = [("data", data)] + ([("test part", data.test)] if data.test is not None else [])
    record = {}
    for name, part in parts:
        counts = {} if part.y is None else dict(zip(*map(np.ndarray.tolist, np.unique(part.y, return_counts=True)), strict=True))
        record[name] = {
            "name": part.name,
            "n_samples": part.n_samples,
            "n_features": part.n_features,
            "dtype": str(part.X.dtype),
            "image_shape": part.image_shape,
            "classes": {str(label): count for label, count in counts.items()},
            "fingerprint": part.fingerprint(),
        }
    if as_json:
        print_json(record)
        return 0
    for name, part in parts:
        shape = "" if part.image_shape is None else f", pictures of {'×'.join(map(str, part.image_shape))}"
        say(f"{name}: {part.n_samples:,} samples, {part.n_features:,} features ({part.X.dtype}{shape})")
    counted = record["data"]["classes"]
    if counted:
        say()
        print_table(["class", "samples"], [[label, f"{count:,}"] for label, count in list(counted.items())[:50]])  # type: ignore[attr-defined]
        if len(counted) > 50:  # type: ignore[arg-type]
            say(f"… and {len(counted) - 50} more classes.")  # type: ignore[arg-type]
    else:
        say("No labels.")
    return 0
