"""``softmargin info``: what a model or data file contains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import options
from softmargin.cli.progress import reporter
from softmargin.cli.reading import Reading, describe, read_data, read_model
from softmargin.cli.wording import certificate_rows, list_names, print_json, print_table, say
from softmargin.errors import ParameterError
from softmargin.text import truncate

if TYPE_CHECKING:
    from softmargin.features import FeatureExtractor
    from softmargin.model import Model

__all__ = ["info"]

_MOST_NAMES = 10
_MOST_FEATURES = 3
_MOST_CLASSES = 50


@click.command(short_help="Describe a model file or DATA.")
@click.argument("source", metavar="MODEL|DATA", required=False)
@options.reading
@click.option("--cache", is_flag=True, help="Describe the cache of features instead.")
@options.as_json
@options.quiet
@options.gathered(Reading, "reading")
def info(source: str | None, reading: Reading, cache: bool, as_json: bool, quiet: bool) -> None:
    """Describe a model file or DATA, or the cache of features.

    Prints the loss, λ, classes, training data and certificate of a model; the size, types and classes of DATA.
    A model was trained on DATA if its fingerprint equals that of DATA.
    """
    if cache != (source is None):
        raise ParameterError("Give either MODEL or DATA, or --cache.")
    if source is None:
        _info_cache(as_json)
    elif _is_model(source):
        _info_model(source, as_json)
    else:
        _info_data(source, reading, as_json, quiet)


def _is_model(source: str) -> bool:
    path = Path(source)
    if path.suffix.lower() == ".safetensors":
        from softmargin.data.safetensors import holds_data

        return not holds_data(path)
    try:
        with path.open("rb") as stream:  # under any name, a model begins with a length and its metadata
            return stream.read(24)[8:] == b'{"__metadata__":'
    except OSError:  # a folder, a built-in name, or a file that the reader of data will complain about
        return False


def _info_model(source: str, as_json: bool) -> None:
    model = read_model(source)
    if as_json:
        print_json(model.metadata())
        return
    scaling = model.preprocessing.scaling + (", rows of norm 1" if model.preprocessing.rows == "l2" else "")
    rows = [
        ["loss", repr(model.loss)],
        ["reg", f"{model.reg:.6g}"],
        ["features", f"{model.n_features:,}{_shape(model.image_shape)}, scaling {scaling}"],
        *([["extractor", _extractor(model.extractor)]] if model.extractor is not None else []),
        ["classes", f"{model.n_classes:,}: {list_names(model.classes.tolist(), _MOST_NAMES, str)}"],
        ["probabilities", _probabilities(model)],
        ["training data", f"{model.data_name}, {model.n_samples:,} samples"],
        ["fingerprint", _short(model.fingerprint)],
        *certificate_rows(model),
        ["created", f"{model.created} by softmargin {model.versions.get('softmargin', 'unknown')}"],
    ]
    print_table(["model", source], rows, left=2)
    if model.selection.get("reason"):
        say()
        say(str(model.selection["reason"]))


def _info_cache(as_json: bool) -> None:
    from softmargin.features.cache import cache_bytes, cache_folder, cached_extractors

    found = cached_extractors()
    if as_json:
        print_json(
            {
                "folder": str(cache_folder()),
                "n_bytes": cache_bytes(),
                "extractors": [entry._asdict() for entry in found],
            }
        )
        return
    say(f"{cache_folder()}: {cache_bytes() / 1e6:,.1f} MB of features and of what extractors learned.")
    if found:
        say()
        rows = [
            [e.record["name"], f"{e.n_rows:,}", f"{e.n_bytes / 1e6:,.1f} MB", _settings(e.record)] for e in found
        ]
        print_table(["extractor", "samples", "size", "settings"], rows)


def _extractor(extractor: FeatureExtractor) -> str:
    content = extractor.content()
    return extractor.describe() + (f" (SHA-256 {_short(content)})" if content else "")


def _settings(record: dict[str, Any]) -> str:
    given = {name: value for name, value in record["settings"].items() if value is not None}
    return truncate(", ".join(f"{name} {value}" for name, value in given.items()), 40)


def _info_data(source: str, reading: Reading, as_json: bool, quiet: bool) -> None:
    with reporter(quiet) as progress:
        data = read_data(source, reading, progress)
        parts = {"data": data} if data.test is None else {"data": data, "test": data.test}
        progress("computing the fingerprint")
        records = {name: describe(part) for name, part in parts.items()}
    if as_json:
        print_json(records)
        return
    rows = []
    if data.stored is not None:
        from softmargin.features import extractor_of

        extractor = extractor_of(data)
        rows += [] if extractor is None else [["extractor", _extractor(extractor)]]
    for name, part in parts.items():
        size = f"{part.n_samples:,} samples, {part.n_features:,} features"
        rows.append([name, f"{size} ({part.X.dtype}{_shape(part.image_shape)})"])
        for heading, names in (("feature names", part.feature_names), ("ids", part.ids)):
            if names is not None:
                rows.append([heading, list_names(names, _MOST_FEATURES, str)])
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


def _probabilities(model: Model) -> str:
    if model.temperature is None:
        return "none (scores only)"
    if model.loss.name == "cross_entropy":
        return "softmax of the scores"
    return f"softmax of the scores / {model.temperature:.4g} (temperature calibrated on held-out samples)"


def _shape(image_shape: tuple[int, ...] | None) -> str:
    return "" if image_shape is None else f", images of {'×'.join(map(str, image_shape))}"


def _short(fingerprint: str) -> str:
    return fingerprint[:16] + "…"
