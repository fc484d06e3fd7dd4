"""``softmargin embed``: features of pictures or texts, as a file."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import cluster, files, options
from softmargin.cli.embed_shards import embed_shards
from softmargin.cli.job import Extraction
from softmargin.cli.progress import reporter
from softmargin.cli.reading import describe, read_data
from softmargin.cli.wording import print_json, say
from softmargin.errors import ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset

__all__ = ["embed"]


@click.command(short_help="Compute features of pictures or texts, and save them.")
@options.data
@click.option(
    "-o", "--output", metavar="FILE", required=True, help="File to write: .safetensors; with --cluster a folder."
)
@options.embedding
@options.reading
@options.threads
@options.as_json
@options.quiet
@cluster.option
@options.gathered(Extraction, "job")
def embed(job: Extraction, output: str, as_json: bool, quiet: bool, where: str | None) -> None:
    """Compute features of the pictures or texts of DATA, and save them.

    FILE holds the features (X_train, X_test), labels, ids and the identity of the extractor. `softmargin fit FILE`
    takes it, and the model then applies the extractor to new pictures or texts.

    With --cluster, DATA is a folder of shards: .npy files of pictures, tables or archives of pictures. The workers
    write NAME.npy and NAME_y.npy into the folder FILE for each, for `fit --cluster`. The same command resumes.
    """
    if where is None:
        files.check_name(output, (".safetensors",))
    else:  # workers have other current folders
        job = replace(
            job, specs=tuple(os.path.abspath(s) if s.lower().endswith(".onnx") else s for s in job.specs)
        )
    extractors = job.extractors()
    [extractor] = extractors.values() if len(extractors) == 1 else [None]
    if extractor is None:
        raise ParameterError("embed needs one --features, such as hog or FILE.onnx.")
    if where is not None:
        embed_shards(where, job, extractor, output, as_json, quiet)
        return
    files.check_output(output, *job.inputs(extractors))
    with reporter(quiet) as progress:
        settings: dict[str, Any] = {"features": extractor, "cache": not job.no_cache, "n_workers": job.threads}
        dataset = read_data(job.data, job, progress, **settings)
        progress("saving")
        files.save(output, encoded(dataset))
    parts = {"training": dataset} | ({} if dataset.test is None else {"test": dataset.test})
    sizes = ", ".join(f"{part.n_samples:,} {name} samples" for name, part in parts.items())
    if as_json:
        record = {name: describe(part) for name, part in parts.items()}
        print_json("embed", {"output": output, "extractor": extractor.record(), **record})
        return
    say(f"{output}: {sizes}, {dataset.n_features:,} features ({dataset.X.dtype}) by {extractor.describe()}.")


def encoded(data: Dataset) -> list[Any]:
    """Return the file of the features of a data set, in pieces."""
    import numpy as np

    from softmargin.features import extractor_of
    from softmargin.io.safetensors import encode

    extractor = extractor_of(data)
    assert extractor is not None, "the caller computed features"
    parts = {"train": data} | ({} if data.test is None else {"test": data.test})
    labels = [part.y for part in parts.values() if part.y is not None]
    classes = np.unique(np.concatenate(labels)) if labels else None
    tensors: dict[str, Any] = {f"extractor.{name}": array for name, array in extractor.arrays_.items()}
    metadata = {"extractor": json.dumps(extractor.record()), "source": data.name}
    if data.text is not None:
        metadata["text"] = data.text
    if data.label_column is not None:
        metadata["label_column"] = data.label_column
    for name, part in parts.items():
        tensors[f"X_{name}"], tensors[f"keys_{name}"] = part.X, part.keys
        if part.y is not None and classes is not None:
            are_names = classes.dtype.kind == "U"
            tensors[f"y_{name}"] = np.searchsorted(classes, part.y) if are_names else part.y
        if part.ids is not None:
            metadata[f"ids_{name}"] = json.dumps(part.ids)
    if classes is not None and classes.dtype.kind == "U":
        metadata["classes"] = json.dumps(classes.tolist())
    return list(encode(tensors, metadata))
