"""Features of data in shards: a file per shard, which a task computes and writes on its own.

A shard is a file: ``.npy`` with 8-bit pictures, a table, or an archive of pictures. Its features are those that
the extractor gives for the same rows on one machine, bit for bit. What a folder of features holds is described in
`softmargin.data.embedded`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softmargin.data.dataset import Dataset, Extraction, as_features
from softmargin.data.embedded import check_complete, forget, made_of, read_origin, write_keys
from softmargin.data.files import list_files
from softmargin.data.images import PixelPictures
from softmargin.data.inputs import Inputs
from softmargin.data.labels import read_labels
from softmargin.data.load import load_dataset
from softmargin.data.npy import labels_beside, shard_files
from softmargin.data.npy_header import map_npy
from softmargin.errors import ClusterError, DataError, SoftmarginError
from softmargin.features.base import FeatureExtractor
from softmargin.features.registry import from_record
from softmargin.io.atomic import write_atomically
from softmargin.stopping import check_wanted
from softmargin.text import printable

__all__ = [
    "Embedded",
    "embed_shard",
    "learn_from_one",
    "raw_shards",
    "state_of",
    "stored_extractor",
    "unusable",
    "widen",
]

_ROWS = 1024
"""Number of samples whose features are in memory at once."""

_SUFFIXES = (".parquet", ".feather", ".arrow", ".csv", ".tsv", ".gz", ".zip", ".tar")


class Embedded(NamedTuple):
    """A shard of features.

    Attributes
    ----------
    n_rows, n_features : int
    dtype : str
        "float16" or "float32".
    is_new : bool
        Whether they were computed, and not there already.
    notes : tuple of str
        Of the reader.
    """

    n_rows: int
    n_features: int
    dtype: str
    is_new: bool
    notes: tuple[str, ...]


def raw_shards(source: str | os.PathLike[str]) -> list[Path]:
    """Return the shards of a folder, those for testing last, or a single file as the only shard.

    Raises
    ------
    DataError
        There are none.
    """
    path = Path(os.path.abspath(source))
    if path.is_file():
        return [path]
    train, test, _ = shard_files(path)
    found = [*train, *test] or list_files(path, *_SUFFIXES)
    if not found:
        kinds = ".npy files of pictures, tables or archives of pictures"
        raise DataError(f"{printable(source)} must be a folder of shards ({kinds}), got none.")
    return found


def stored_extractor(folder: str | os.PathLike[str]) -> FeatureExtractor | None:
    """Return the extractor that made the features in a folder, None if the folder does not name it.

    Raises
    ------
    DataError
        Some shards are still missing.
    ModelFileError
        The extractor is unknown.
    """
    origin = read_origin(folder)
    if origin is None:
        return None
    check_complete(folder, origin)
    return from_record(origin.record, origin.arrays, os.curdir)


def learn_from_one(extractor: FeatureExtractor, path: Path, options: Mapping[str, Any]) -> None:
    """Let an extractor for which one sample suffices learn from the first of a shard."""
    _embedded(path, _Learner(extractor), options)


def state_of(extractor: FeatureExtractor) -> dict[str, str]:
    """Return all that features depend on besides the sample: hashes of the extractor and its file, versions."""
    extractor.prepare()
    return {"SHA-256": extractor.content(), "identity": extractor.identity(), "versions": extractor.runtime()}


def unusable(extractor: FeatureExtractor, state: Mapping[str, str]) -> str:
    """Return why this process cannot compute the same features as the one with this state; empty if it can."""
    try:
        found = state_of(extractor)
    except (SoftmarginError, OSError) as error:
        return f"cannot compute features: {error}"
    name = next((name for name, value in state.items() if found[name] != value), None)
    if name is None:
        return ""
    return f"has another {extractor.describe()}: its {name} must be {state[name]}, got {found[name]}."


def embed_shard(
    source: str, folder: str, name: str, extractor: FeatureExtractor, state: Mapping[str, str],
    options: Mapping[str, Any], n_threads: int,
) -> Embedded:  # fmt: skip
    """Write the features of a shard, unless they are there.

    Parameters
    ----------
    source : str
        The shard of pictures or texts.
    folder, name : str
        The files to write are ``folder/NAME.npy`` and those that belong to it.
    extractor : FeatureExtractor
        It must have nothing to learn.
    state : mapping
        As of `state_of`, where the work began.
    options : mapping
        Of `softmargin.load_dataset`, for a table or an archive.
    n_threads : int

    Raises
    ------
    DataError
        The shard cannot be read, or features are not finite.
    ClusterError
        This process would compute other features.
    OSError
        The files cannot be written.
    """
    path, target = Path(source), os.path.join(folder, f"{name}.npy")
    made = _made(path, state, options)
    if made_of(folder, name) == made:
        X = map_npy(Path(target))
        return Embedded(len(X), X.shape[1], str(X.dtype), False, ())
    problem = unusable(extractor, state)
    if problem:
        raise ClusterError(f"A worker {problem}")
    forget(folder, name)
    data = _embedded(path, _Writer(extractor, target, n_threads), options)
    labels = Path(folder) / f"{name}_y.npy"
    if data.y is None:
        labels.unlink(missing_ok=True)
    else:
        write_atomically(labels, [_header(data.y.shape, data.y.dtype), np.ascontiguousarray(data.y).tobytes()])
    assert data.keys is not None, "the samples are pictures or texts"
    write_keys(folder, name, data.keys, made)
    return Embedded(data.n_samples, data.n_features, str(data.X.dtype), True, data.notes)


def widen(target: str) -> None:
    """Store features in float32, as where a row of another shard needs it; their values are the same."""
    X = map_npy(Path(target))
    rows = (np.ascontiguousarray(X[k : k + _ROWS], np.float32).data for k in range(0, len(X), _ROWS))
    write_atomically(target, _chained(_header(X.shape, np.dtype(np.float32)), rows))


def _embedded(path: Path, writer: _Learner, options: Mapping[str, Any]) -> Dataset:
    """Return a shard whose features the writer computes."""
    where = printable(path)
    if path.suffix.lower() != ".npy":
        data = load_dataset(path, features=writer, **options)
        if data.test is not None:
            raise DataError(f"{where} must be one set of samples, got one with a test set; divide it into two.")
        return data
    pixels, shape = as_features(map_npy(path), where)
    if shape is None:
        raise DataError(
            f"{where} must hold pictures, uint8 of shape (N, height, width[, 3]), got {pixels.dtype} of shape "
            f"{pixels.shape}."
        )
    inputs, labels = PixelPictures(pixels, shape, where), labels_beside(path)
    X = writer.extract(inputs).X
    y = None if labels is None else read_labels(labels, len(X), beside=path)
    return Dataset(X, y, path.stem, inputs=inputs, extractor=writer)


class _Learner:
    """Learns from the first sample of a shard; an extractor for readers."""

    is_fitted = True

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor

    @property
    def takes(self) -> str:
        return self._extractor.takes

    def describe(self) -> str:
        return self._extractor.describe()

    def learn(self, inputs: Inputs, **settings: Any) -> None:
        """Do nothing: readers call this only for an extractor that is not fitted."""

    def extract(self, inputs: Inputs, **settings: Any) -> Extraction:
        """Learn, and return no features of use."""
        if len(inputs):
            self._extractor.learn(inputs.part(0, 1), cache=False)
        return Extraction(np.zeros((len(inputs), 1), np.float16), None)


class _Writer(_Learner):
    """Writes features to a ``.npy`` file instead of returning them in memory."""

    def __init__(self, extractor: FeatureExtractor, target: str, n_threads: int) -> None:
        super().__init__(extractor)
        self._target, self._n_threads = target, n_threads

    def extract(self, inputs: Inputs, **settings: Any) -> Extraction:
        """Write the features, and return them mapped; in float32 if a row needs it."""
        if len(inputs) == 0:
            raise DataError("A shard must hold at least one sample, got none.")
        for dtype in (np.float16, np.float32):
            try:
                write_atomically(self._target, self._pieces(inputs, np.dtype(dtype)))
                break
            except _TooLarge:
                continue
        return Extraction(map_npy(Path(self._target)), None)

    def _pieces(self, inputs: Inputs, dtype: np.dtype[Any]) -> Iterator[bytes | memoryview]:
        width = 0
        for start in range(0, len(inputs), _ROWS):
            check_wanted()
            some = inputs.part(start, min(start + _ROWS, len(inputs)))
            X = self._extractor.extract(some, cache=False, n_threads=self._n_threads).X
            if X.dtype.itemsize > dtype.itemsize:
                raise _TooLarge
            if not width:
                width = X.shape[1]
                yield _header((len(inputs), width), dtype)
            if X.shape[1] != width:
                raise DataError(
                    f"All samples must have the same number of features, got {width} and {X.shape[1]}; resize the "
                    f"images to one size."
                )
            yield np.ascontiguousarray(X, dtype).data


class _TooLarge(Exception):
    """A number exceeds the range of float16."""


def _made(path: Path, state: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Return a hash of what features are made of: files by path, size and time of change, and the extractor."""
    files = [path, *([labels] if path.suffix.lower() == ".npy" and (labels := labels_beside(path)) else [])]
    found = [(os.path.abspath(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    facts = json.dumps([found, dict(state), dict(options)], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header of a ``.npy`` file in C order."""
    stream = io.BytesIO()
    described = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(stream, {"descr": described, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _chained(first: bytes, rest: Iterator[memoryview]) -> Iterator[bytes | memoryview]:
    yield first
    yield from rest
