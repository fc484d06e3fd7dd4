"""``softmargin info``: what a model or data file contains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import options
from softmargin.cli.progress import reporter
from softmargin.cli.reading import Reading, describe, read_data, read_model
from softmargin.cli.wording import certificate_rows, list_names, print_json, print_table, say, write
from softmargin.errors import ModelFileError, ParameterError
from softmargin.text import printable

if TYPE_CHECKING:
    from softmargin.features import FeatureExtractor
    from softmargin.model import Model

__all__ = ["info"]

_MOST_NAMES = 10
_MOST_FEATURES = 3
_MOST_CLASSES = 50


@click.command(short_help="Describe a model file, DATA or the environment.")
@click.argument("source", metavar="[MODEL|DATA]", required=False)
@options.reading
@options.image_size
@click.option("--command", "as_command", is_flag=True, help="Print only the command line that made MODEL.")
@click.option("--cache", is_flag=True, help="Describe the cache of features instead.")
@click.option("--env", is_flag=True, help="Describe versions, BLAS, threads and caches, for a bug report.")
@options.as_json
@options.quiet
@options.gathered(Reading, "reading")
def info(
    source: str | None,
    reading: Reading,
    image_size: tuple[int, int] | None,
    as_command: bool,
    cache: bool,
    env: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Describe a model file or DATA, the cache of features, or the environment.

    Prints the loss, λ, classes, training data and certificate of a model; the size, types and classes of DATA.
    A model was trained on DATA if its fingerprint equals that of DATA.
    """
    if (source is not None) + cache + env != 1:
        raise ParameterError("Give either MODEL or DATA, or --cache, or --env.")
    if as_command:
        _info_command(source, as_json)
    elif env:
        _info_environment(as_json)
    elif source is None:
        _info_cache(as_json)
    elif _is_model(source):
        _info_model(source, as_json)
    else:
        _info_data(source, reading, image_size, as_json, quiet)


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
        print_json("model", model.metadata())
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
        *([name, column] for name, column in _columns(model).items() if column is not None),
        ["fingerprint", _short(model.fingerprint)],
        *certificate_rows(model),
        ["created", f"{model.created} by softmargin {model.versions.get('softmargin', 'unknown')}"],
    ]
    print_table(["model", source], rows, left=2)
    if model.selection.get("reason"):
        say()
        say(str(model.selection["reason"]))


def _columns(model: Model) -> dict[str, str | None]:
    names = {"label": model.label_column, "groups": model.groups_column, "weights": model.weights_column}
    return {f"{name} column": column for name, column in names.items()}


def _info_command(source: str | None, as_json: bool) -> None:
    """Print the command line that made a model, on one line even in a terminal."""
    if source is None or not _is_model(source):
        raise ParameterError("--command needs MODEL, a model file.")
    command = read_model(source).command
    if not command:
        raise ModelFileError(f"{source} has no command line, because it was made in Python.")
    if as_json:
        print_json("command", {"model": source, "command": command})
    else:
        write(printable(command) + "\n")


def _info_environment(as_json: bool) -> None:
    from softmargin.cli.environment import environment, environment_rows

    found = environment()
    if as_json:
        print_json("environment", found)
    else:
        print_table(["environment", ""], environment_rows(found), left=2)


def _info_cache(as_json: bool) -> None:
    from softmargin.features.cache import cache_bytes, cache_folder, cached_extractors

    found = cached_extractors()
    if as_json:
        extractors = [entry._asdict() for entry in found]
        print_json("cache", {"folder": str(cache_folder()), "n_bytes": cache_bytes(), "extractors": extractors})
        return
    say(f"{cache_folder()}: {cache_bytes() / 1e6:,.1f} MB of features and of what extractors learned.")
    if found:
        say()
        rows = [
            [e.record["name"], _settings(e.record), f"{e.n_rows:,}", f"{e.n_bytes / 1e6:,.1f} MB"] for e in found
        ]
        print_table(["extractor", "settings", "samples", "size"], rows, left=2)


def _extractor(extractor: FeatureExtractor) -> str:
    content = extractor.content()
    return extractor.describe() + (f" (SHA-256 {_short(content)})" if content else "")


def _settings(record: dict[str, Any]) -> str:
    given = {name: value for name, value in record["settings"].items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _info_data(
    source: str, reading: Reading, image_size: tuple[int, int] | None, as_json: bool, quiet: bool
) -> None:
    with reporter(quiet) as progress:
        data = read_data(source, reading, progress, image_size=image_size)
        parts = {"data": data} if data.test is None else {"data": data, "test": data.test}
        progress("computing the fingerprint")
        records = {name: describe(part) for name, part in parts.items()}
    if as_json:
        print_json("data", records)
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
