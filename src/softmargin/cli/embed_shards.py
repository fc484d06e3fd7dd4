"""``embed --cluster``: features of shards of pictures or texts, computed and written by the workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from softmargin.cli import cluster
from softmargin.cli.job import Extraction
from softmargin.cli.on_cluster import make_folder, targets_in
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.wording import print_json, say, say_err
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.io.paths import same_file
from softmargin.text import pluralize, printable

if TYPE_CHECKING:
    from softmargin.features import FeatureExtractor
    from softmargin.features.shards import Embedded

__all__ = ["embed_shards"]


def embed_shards(
    where: str, job: Extraction, extractor: FeatureExtractor, folder: str, as_json: bool, quiet: bool
) -> None:
    """Write the features of each shard of DATA into a folder; those that are there are not computed again."""
    from softmargin.features.shards import learn_from_one, raw_shards, state_of

    if extractor.learns and not extractor.one_suffices:
        raise ParameterError(
            f"--features {extractor.describe()} learns from all samples, which a cluster does not do; use hog or "
            f"FILE.onnx."
        )
    options = {name: value for name, value in job.options().items() if value not in (None, False)}
    shards = raw_shards(job.data)
    if options and shards[0].suffix.lower() == ".npy":
        raise ParameterError(f"{sorted(options)[0]} is not an option of .npy shards of pictures; leave it out.")
    if extractor.learns:
        learn_from_one(extractor, shards[0], options)
    targets = targets_in(folder, [path.stem for path in shards], ".npy")
    if os.path.isdir(folder) and same_file(folder, shards[0].parent):
        raise ModelFileError(f"{folder} must be another folder than that of the shards.")
    _check_folder(folder, [os.path.basename(target) for target in targets], extractor)
    names = [os.path.splitext(os.path.basename(target))[0] for target in targets]
    state = state_of(extractor)
    make_folder(folder)
    _write_origin(folder, extractor, names)
    with reporter(quiet) as progress, cluster.client_of(where):
        shared = (extractor, state, options, job.threads or 1)
        found = _computed(list(map(str, shards)), targets, names, shared, progress)
    widths = {each.n_features for each in found}
    if len(widths) > 1:
        raise DataError(
            f"All shards must have the same number of features, got {min(widths)} and {max(widths)}; resize the "
            f"images to one size with --image-size."
        )
    for note in dict.fromkeys(note for each in found for note in each.notes):
        say_err(f"Note: {note}.")
    n_rows, n_new = sum(each.n_rows for each in found), sum(each.is_new for each in found)
    dtype = max(each.dtype for each in found)
    if as_json:
        sizes = {"n_samples": n_rows, "n_features": min(widths), "dtype": dtype}
        counts = {"n_shards": len(found), "n_computed": n_new}
        print_json("embed", {"output": folder, "extractor": extractor.record(), **sizes, **counts})
        return
    there = f" ({len(found) - n_new} were there already)" if n_new < len(found) else ""
    say(
        f"{folder}: {pluralize(n_rows, 'sample')} in {pluralize(len(found), 'file')}{there}, {min(widths):,} "
        f"features ({dtype}) by {extractor.describe()}."
    )


def _computed(
    shards: list[str], targets: list[str], names: list[str], shared: tuple[Any, ...], progress: Progress
) -> list[Embedded]:
    """Return what the workers wrote."""
    from softmargin.engines import runner_of
    from softmargin.features.shards import embed_shard, unusable, widen

    progress("waiting for the workers")
    runner: Any = runner_of("dask", [])
    runner.check(unusable, *shared[:2])
    folders = [os.path.dirname(target) for target in targets]
    found = []
    for each in runner.each(embed_shard, shards, folders, names, shared=shared):
        found.append(each)
        progress("embedding shards", len(found), len(shards))
    narrow = [target for target, each in zip(targets, found, strict=True) if each.dtype == "float16"]
    if len(narrow) < len(found):  # all shards of a folder have one type
        for done, _ in enumerate(runner.each(widen, narrow), 1):
            progress("converting shards to float32", done, len(narrow))
    return found


def _check_folder(folder: str, names: list[str], extractor: FeatureExtractor) -> None:
    """Raise an error if a folder holds other arrays, which `fit` would read as shards."""
    from softmargin.data.embedded import read_origin
    from softmargin.features import from_record

    origin = read_origin(folder)
    if origin is not None:
        made_by = from_record(origin.record, origin.arrays, os.curdir)
        if made_by.identity() != extractor.identity():
            raise ModelFileError(f"{folder} holds features of {made_by.describe()}; choose another folder.")
    known = {*names, *(f"{os.path.splitext(name)[0]}_y.npy" for name in names)}
    others = [name for name in (os.listdir(folder) if os.path.isdir(folder) else []) if name.endswith(".npy")]
    other = next((name for name in sorted(others) if name not in known), None)
    if other is not None:
        raise ModelFileError(
            f"{folder} holds {printable(other)}, which is not one of these shards; remove it, or choose another "
            f"folder."
        )


def _write_origin(folder: str, extractor: FeatureExtractor, names: list[str]) -> None:
    from softmargin.data.embedded import Origin, write_origin

    try:
        write_origin(folder, Origin(extractor.record(), dict(extractor.arrays_), names))
    except OSError as error:
        raise ModelFileError(f"{folder} cannot be written: {error.strerror or error}.") from error
