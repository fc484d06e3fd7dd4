"""``softmargin info``: what a model or data file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import options
from softmargin.cli.progress import reporter
from softmargin.cli.reading import Reading, read_data, read_model
from softmargin.cli.wording import certificate_rows, print_json, print_table, say

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["info"]

_MOST_NAMES = 10
_MOST_NAMED = 3
_MOST_CLASSES = 50


@click.command(short_help="Show what a model file or DATA holds.")
@click.argument("source", metavar="MODEL|DATA")
@options.reading
@options.as_json
@options.quiet
@options.gathered(Reading, "reading")
def info(source: str, reading: Reading, as_json: bool, quiet: bool) -> None:
    """Show what a model file or DATA holds.

    For a model its loss, λ, classes, origin and certificate; for DATA sizes, types and classes. The
    fingerprint of DATA tells whether a model was trained on exactly this.
    """
    if _is_model(source):
        _info_model(source, as_json)
    else:
        _info_data(source, reading, as_json, quiet)


def _is_model(source: str) -> bool:
    path = Path(source)
    if path.suffix.lower() == ".safetensors":
        from softmargin.data.safetensors import holds_data

        return not holds_data(path)
    try:
        with path.open("rb") as stream:  # whatever it is called, a model begins with a length and its card
            return stream.read(24)[8:] == b'{"__metadata__":'
    except OSError:  # a folder, a built-in name, or a file that the reader of data will complain about
        return False


def _info_model(source: str, as_json: bool) -> None:
    model = read_model(source)
    if as_json:
        print_json(model.metadata())
        return
    rows = [
        ["loss", repr(model.loss)],
        ["reg", f"{model.reg:.6g}"],
        ["features", f"{model.n_features:,}{_shape(model.image_shape)}, scaling {_scaling(model)}"],
        ["classes", f"{model.n_classes:,}: {_first(model.classes.tolist(), _MOST_NAMES)}"],
        ["probabilities", _probabilities(model)],
        ["trained on", f"{model.data_name}, {model.n_samples:,} samples"],
        ["fingerprint", _short(model.fingerprint)],
        *certificate_rows(model),
        ["created", f"{model.created} by softmargin {model.versions.get('softmargin', 'unknown')}"],
    ]
    print_table(["model", source], rows, left=2)
    if model.selection.get("reason"):
        say()
        say(str(model.selection["reason"]))


def _info_data(source: str, reading: Reading, as_json: bool, quiet: bool) -> None:
    with reporter(quiet) as progress:
        data = read_data(source, reading, progress)
        parts = {"data": data} if data.test is None else {"data": data, "test": data.test}
        progress("taking the fingerprint")
        records = {name: _record(part) for name, part in parts.items()}
    if as_json:
        print_json(records)
        return
    rows = []
    for name, part in parts.items():
        size = f"{part.n_samples:,} samples, {part.n_features:,} features"
        rows.append([name, f"{size} ({part.X.dtype}{_shape(part.image_shape)})"])
        for heading, names in (("feature names", part.feature_names), ("ids", part.ids)):
            if names is not None:
                rows.append([heading, _first(names, _MOST_NAMED)])
        rows.append(["fingerprint", _short(records[name]["fingerprint"])])
    print_table(["source", source], rows, left=2)
    say()
    counts = records["data"]["classes"]
    if not counts:
        say("No labels.")
        return
    print_table(["class", "samples"], [[label, f"{n:,}"] for label, n in list(counts.items())[:_MOST_CLASSES]])
    if len(counts) > _MOST_CLASSES:
        say(f"… and {len(counts) - _MOST_CLASSES:,} more classes.")


def _record(part: Dataset) -> dict[str, Any]:
    import numpy as np

    labels, counts = np.unique([] if part.y is None else part.y, return_counts=True)
    record: dict[str, Any] = {"name": part.name, "n_samples": part.n_samples, "n_features": part.n_features}
    record |= {"dtype": str(part.X.dtype), "image_shape": part.image_shape}
    record["classes"] = dict(zip(map(str, labels.tolist()), counts.tolist(), strict=True))
    return record | {"fingerprint": part.fingerprint()}


def _scaling(model: Model) -> str:
    return model.preprocessing.scaling + (", rows of length 1" if model.preprocessing.rows == "l2" else "")


def _first(names: Sequence[object], most: int) -> str:
    more = f", … ({len(names) - most:,} more)" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def _probabilities(model: Model) -> str:
    if model.temperature is None:
        return "none, but scores"
    if model.loss.name == "cross_entropy":
        return "softmax of the scores"
    return f"calibrated on held-out samples: softmax of the scores / {model.temperature:.4g}"


def _shape(image_shape: tuple[int, ...] | None) -> str:
    return "" if image_shape is None else f", images of {'×'.join(map(str, image_shape))}"


def _short(fingerprint: str) -> str:
    return fingerprint[:16] + "…"
