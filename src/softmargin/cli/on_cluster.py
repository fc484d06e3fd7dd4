"""What ``evaluate`` and ``predict`` do with ``--cluster``: the shards stay where the workers read them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from softmargin.cli import cluster, files
from softmargin.cli.predictions import as_csv, columns_of, encoded, predicted
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.reading import Reading, check_extractor, read_model
from softmargin.cli.wording import list_names, print_json, say, say_err
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.io.paths import same_file
from softmargin.text import pluralize, printable

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.evaluation import Evaluation
    from softmargin.model import Model
    from softmargin.shards import Part, Shards

__all__ = ["evaluate_shards", "make_folder", "predict_shards", "targets_in", "write_predictions"]

_MOST_COLUMNS = 6


def evaluate_shards(
    where: str, model: Model, source: str, top_k: int | None, reading: Reading, part: str, progress: Progress
) -> tuple[Evaluation, bool]:
    """Return the evaluation on a cluster, and whether the samples are those that the model was trained on."""
    progress("opening the shards")
    shards = _shards_for(model, source, reading, part, labelled=True)
    with cluster.client_of(where):
        from softmargin.engines.dask import dask_engine
        from softmargin.evaluation.parts import evaluate_shards as evaluated

        progress("waiting for the workers")
        found = evaluated(
            model, shards, top_k=top_k, engine="dask",
            progress=lambda done, total: progress("evaluating shards", done, total),
        )  # fmt: skip
        if found.n_samples != model.n_samples or len(found.labels) != len(found.classes):
            return found, False
        progress("comparing with the training samples")  # of which only a hash is in the model: another pass
        return found, dask_engine(shards).fingerprint(weighted=False) == model.fingerprint


def predict_shards(
    where: str, path: str, source: str, folder: str | None, kind: str | None, reading: Reading, part: str,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write the predictions for each shard to a file ``NAME.csv`` of a folder; the workers do so, atomically."""
    if folder in (None, "", "-"):
        raise ParameterError("--cluster needs -o FOLDER, in which each shard gets a file of predictions.")
    assert folder is not None
    from softmargin.data.shards import output_names

    model = read_model(path)
    shards = _shards_for(model, source, reading, part, labelled=False)
    if kind == "proba":
        model.predict_proba([[0.0] * model.n_features])  # raises an error if the loss has no probabilities
    if same_file(folder, source):
        raise ParameterError("-o must be another folder than that of the shards.")
    targets = targets_in(folder, output_names(shards), ".csv")
    make_folder(folder)
    n_rows = 0
    with reporter(quiet) as progress, cluster.client_of(where):
        from softmargin.engines import runner_of

        progress("waiting for the workers")
        runner = runner_of("dask", shards.parts)
        counts = runner.each(write_predictions, shards.parts, targets, shared=(model, kind))
        for n_done, n in enumerate(counts, 1):
            progress("predicting shards", n_done, len(targets))
            n_rows += n
    columns = ["id", "label", *columns_of(model, kind)]
    if as_json:
        print_json("predict", {"output": folder, "n_samples": n_rows, "columns": columns})
    else:
        written = f"{pluralize(len(targets), 'file')} with {pluralize(n_rows, 'row')}"
        say(f"{folder}: {written} of {list_names(columns, _MOST_COLUMNS, str)}.")


def write_predictions(part: Part, target: str, model: Model, kind: str | None) -> int:
    """Write the predictions for a part to a CSV file, on a worker; return the number of its rows."""
    blocks = predicted(model, _datasets(part, model), kind, printable(part.name), n_threads=1)
    files.save(target, map(encoded, as_csv(model, blocks, kind, str)))
    return part.n_rows


def make_folder(folder: str) -> None:
    """Create a folder for outputs, unless it exists."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{folder} must be a folder, which cannot be created: {error.strerror}.") from error


def targets_in(folder: str, names: Sequence[str], suffix: str) -> list[str]:
    """Return a path in a folder for the name of each shard, or raise an error if two would be the same."""
    twice = next((name for name, n in Counter(map(str.lower, names)).items() if n > 1), None)
    if twice is not None:
        raise DataError(f"Shards must have different names, got {printable(twice)} twice; rename one of them.")
    return [os.path.join(os.path.abspath(folder), f"{name}{suffix}") for name in names]


def _shards_for(model: Model, source: str, reading: Reading, part: str, labelled: bool) -> Shards:
    """Open shards of the features of a model: "auto" is the test part if there is one."""
    from softmargin.data.shards import has_test_shards, open_for_model

    if reading != Reading():
        raise ParameterError("--cluster needs DATA as it is, shards of features; leave out options for reading.")
    use_test = part == "test" or (part == "auto" and has_test_shards(source))
    if use_test and part == "auto":
        say_err(f"Note: using the test shards of {source}.")
    chosen = "test" if use_test else "train"
    shards = open_for_model(source, model.feature_names, model.label_column, labelled, chosen)
    advice = ""
    if model.extractor is not None:
        from softmargin.features.shards import stored_extractor

        check_extractor(model.extractor, stored_extractor(source), source)
        advice = "; compute them with softmargin embed --cluster"
    if shards.n_features != model.n_features:
        raise DataError(
            f"{source} must hold the {model.n_features} features of the model, got {shards.n_features} per "
            f"row{advice}."
        )
    return shards


def _datasets(part: Part, model: Model) -> Iterator[Dataset]:
    """Yield the rows of a part in blocks."""
    from softmargin.data import Dataset
    from softmargin.evaluation.parts import row_blocks

    for _, X in row_blocks(part, slice(0, part.n_rows), model.n_classes):
        yield Dataset(X, None, part.name)
