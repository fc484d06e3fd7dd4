"""The base class of extractors: each turns one picture or one text into one row of features.

The row of a sample depends on that sample alone, so that any order of the samples, any number of threads and a
cache give the same bits. Rows are rounded to float16, or kept in float32 if a number exceeds its range (65,504).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from softmargin.data.dataset import Extraction, Progress
from softmargin.data.images.guard import ImageProblem, pillow_warnings
from softmargin.data.inputs import Inputs
from softmargin.errors import DataError, ParameterError
from softmargin.features.cache import FeatureCache, load_learned, save_learned
from softmargin.features.given import as_inputs, file_errors
from softmargin.text import to_json
from softmargin.threads import default_threads, one_blas_thread, worker_threads

__all__ = ["FeatureExtractor"]

_PROGRESS_EVERY = 0.05
_SAVE_EVERY = 10.0
"""Seconds between two writes to the cache: as much work is lost if the process is killed."""
_SAVE_BYTES = 1 << 26


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Base class of extractors, which are transformers of scikit-learn.

    A subclass defines `name` and `compute`; if it learns from training samples, also `learns` and `learned_from`.

    Attributes
    ----------
    arrays_ : dict of str to ndarray
        What was learned from the training samples; empty if nothing has to be learned.
    """

    name: ClassVar[str]
    """The name in model files and on the command line."""
    version: ClassVar[int] = 1
    """Increases when the features change, so that cached ones are not used any more."""
    learns: ClassVar[bool] = False
    """Whether training samples are needed before features can be computed."""
    one_suffices: ClassVar[bool] = False
    """Whether one training sample, whichever it is, teaches the same as all."""
    scaling: ClassVar[str] = "none"
    """The scaling that suits the features: the meaning of ``scaling="auto"`` on the command line."""

    arrays_: Mapping[str, NDArray[Any]] = MappingProxyType({})
    _width: tuple[str, int] | None = None
    """The parameters at the last `transform`, and the number of features that it gave."""

    @property
    def takes(self) -> str:
        """Either "pictures" or "texts"."""
        return "pictures"

    @property
    def is_fitted(self) -> bool:
        """Whether nothing is left to be learned from training samples."""
        return not self.learns or bool(self.arrays_)

    @abstractmethod
    def compute(self, item: Any) -> NDArray[Any]:
        """Return the features (D,) of one sample; called from several threads.

        Parameters
        ----------
        item : PIL.Image.Image or str
            A picture (RGB, upright, of any size), or a text.

        Raises
        ------
        ImageProblem
            Why the picture cannot be used; `extract` adds its name.
        """

    def learned_from(self, inputs: Inputs, n_threads: int, progress: Progress) -> dict[str, NDArray[Any]]:
        """Return what has to be learned from training samples, as arrays.

        Parameters
        ----------
        inputs : Inputs
            The different training samples in the order of their keys, so that the result does not depend on the
            order in which they were given.
        n_threads : int
            The result must not depend on it.
        progress : callable
        """
        return {}

    def prepare(self) -> None:
        """Open what `compute` needs, or raise a `SoftmarginError`; called before any work."""

    def check_learned(self) -> None:
        """Raise a `ParameterError` if a parameter was changed after it had been used to learn ``arrays_``."""

    def content(self) -> str:
        """Return the SHA-256 of the files that the features depend on, or "" if there are none."""
        return ""

    def runtime(self) -> str:
        """Return the versions of the packages that compute the features; those of others are computed again."""
        return ""

    def files(self) -> list[str]:
        """Return the paths of the files and folders that the extractor reads, which no output may replace."""
        return []

    def settings(self) -> dict[str, Any]:
        """Return the parameters that the features depend on, as JSON values."""
        return dict(to_json(self.get_params(deep=False), repr))

    def record(self) -> dict[str, Any]:
        """Return the identity of the extractor as JSON values, without what it learned.

        An extractor that reads a file adds its ``path``, which is not part of the identity.
        """
        return {
            "name": self.name, "version": self.version, "settings": self.settings(), "content": self.content(),
        }  # fmt: skip

    def describe(self) -> str:
        """Return a short description, such as ``kmeans:1600``."""
        return self.name

    def arguments(self) -> list[str]:
        """Return the options of the command line that describe this extractor."""
        size = getattr(self, "image_size", None)
        return ["--features", self.describe(), *([] if size is None else ["--image-size", f"{size[0]}x{size[1]}"])]

    @classmethod
    def restored(
        cls, record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], folder: str | os.PathLike[str]
    ) -> Self:
        """Return the extractor with this `record` and these ``arrays_``, as a model file stores them.

        Parameters
        ----------
        record : mapping
        arrays : mapping of str to ndarray
        folder : path
            Where else to look for files that the extractor needs: the folder of the model.
        """
        settings = {name: tuple(v) if isinstance(v, list) else v for name, v in record["settings"].items()}
        made = cls(**settings)
        made.arrays_ = dict(arrays)
        return made

    # -- for users and for readers of data ---------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from training samples; ``y`` is ignored.

        Parameters
        ----------
        X : sequence
            Pictures (paths, images of Pillow, or uint8 arrays (height, width[, 3])), or texts.
        """
        self._width = None
        with file_errors():
            self.learn(as_inputs(X, self.takes), cache=False)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the features (N, D), float16, or float32 if a number exceeds 65,504.

        Parameters
        ----------
        X : sequence
            As in `fit`.
        """
        with file_errors():
            found = self.extract(as_inputs(X, self.takes), cache=False).X
        self._width = repr(self.get_params(deep=False)), found.shape[1]
        return found

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the features (D,), such as "hog0"; `transform` must have been called before.

        Parameters
        ----------
        input_features : object
            Ignored.
        """
        if self._width is None or self._width[0] != repr(self.get_params(deep=False)):
            raise NotFittedError(f"{self!r} must transform samples before the number of features is known.")
        return np.array([f"{self.name}{k}" for k in range(self._width[1])], dtype=object)

    def learn(
        self, inputs: Inputs, *, cache: bool = True, n_threads: int | None = None, progress: Progress | None = None
    ) -> None:
        """Learn from training samples, without their labels."""
        self.prepare()
        if not self.learns:
            return
        keys, order = np.unique(inputs.keys, axis=0, return_index=True)
        place = self._cache_key(keys=keys)
        arrays = load_learned(place) if cache else None
        if arrays is None:
            with one_blas_thread(), pillow_warnings():
                arrays = self.learned_from(inputs.take(order), n_threads or default_threads(), progress or _silent)
            if cache:
                save_learned(place, arrays)
        self.arrays_ = arrays

    def extract(
        self, inputs: Inputs, *, cache: bool = True, n_threads: int | None = None, progress: Progress | None = None
    ) -> Extraction:
        """Return the features of all samples, computed unless they are in the cache.

        Raises
        ------
        DataError
            A sample cannot be read, or its features are not finite.
        """
        if not self.is_fitted:
            raise DataError(f"{self!r} must be fitted to training samples first.")
        self.prepare()
        self.check_learned()
        store = FeatureCache(self._cache_key(), self.record()) if cache else None
        rows = _Rows(inputs)
        if store is not None:
            rows.take(store, progress or _silent)
        n_cached = len(inputs) - rows.n_missing
        if rows.missing:
            self._compute_missing(inputs, rows, store, n_threads or default_threads(), progress or _silent)
        notes = () if store is None else store.notes
        return Extraction(rows.array(), None, n_cached, notes)

    def identity(self) -> str:
        """Return the SHA-256 of all that the features depend on, besides the sample and versions of packages."""
        facts = {name: value for name, value in self.record().items() if name != "path"}
        return _digest(facts, self.arrays_)

    def _cache_key(self, **arrays: NDArray[Any]) -> str:
        """Return the place in the cache of what these packages compute, from some further arrays if given."""
        return _digest({"identity": self.identity(), "runtime": self.runtime()}, arrays)

    def relocated(self, path: str | os.PathLike[str]) -> FeatureExtractor:
        """Return the extractor with its file in another place.

        Raises
        ------
        ParameterError
            The extractor reads no file.
        """
        raise ParameterError(f"The features {self.describe()} need no file, got {os.fspath(path)}.")

    def _compute_missing(
        self, inputs: Inputs, rows: _Rows, store: FeatureCache | None, n_threads: int, progress: Progress
    ) -> None:
        def one(k: int) -> NDArray[Any]:
            item = inputs.item(k)
            try:
                row = self.compute(item)
            except ImageProblem as problem:
                raise DataError(f"{inputs.name(k)} {problem}.") from problem
            except DataError as error:
                raise DataError(f"{inputs.name(k)}: {error}") from error
            return rounded(row, inputs.name(k), self.describe())

        numbers = rows.missing
        told_at = -np.inf
        with one_blas_thread(), pillow_warnings(), worker_threads(n_threads, "softmargin features") as pool:
            try:
                for done, (k, row) in enumerate(zip(numbers, pool.map(one, numbers), strict=True), 1):
                    rows.add(k, row)
                    if store is not None and rows.due():
                        store.add(*rows.unsaved())
                    if time.monotonic() - told_at >= _PROGRESS_EVERY or done == len(numbers):
                        told_at = time.monotonic()
                        progress(done, len(numbers), "computing features")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                if store is not None:
                    store.add(*rows.unsaved())
        if store is not None:
            store.trim()


class _Rows:
    """The rows of all samples, some of which are still missing; equal samples are computed once."""

    def __init__(self, inputs: Inputs) -> None:
        self._keys = [key.tobytes() for key in inputs.keys]
        self._first: dict[bytes, int] = {}
        for k, key in enumerate(self._keys):
            self._first.setdefault(key, k)
        self._X: NDArray[Any] | None = None
        self._known = np.zeros(len(self._keys), bool)
        self._unsaved: list[tuple[bytes, NDArray[Any]]] = []
        self._saved_at = time.monotonic()

    @property
    def missing(self) -> list[int]:
        """Numbers of the samples to compute: the first of each key."""
        return [k for k in self._first.values() if not self._known[k]]

    @property
    def n_missing(self) -> int:
        """Number of samples whose features are not known yet, with repetitions."""
        return sum(not self._known[self._first[key]] for key in self._keys)

    def take(self, store: FeatureCache, progress: Progress) -> None:
        """Fill in the rows that are in the cache."""
        for numbers, found in store.find(self._first):
            self._put(numbers, found)
            progress(int(self._known.sum()), len(self._first), "reading cached features")

    def add(self, k: int, row: NDArray[Any]) -> None:
        """Fill in a computed row (D,)."""
        self._put(np.array([k]), row[None])
        self._unsaved.append((self._keys[k], row))

    def due(self) -> bool:
        """Return whether the rows that are not in the cache should be written."""
        n_bytes = len(self._unsaved) * self._unsaved[0][1].nbytes if self._unsaved else 0
        return n_bytes >= _SAVE_BYTES or time.monotonic() - self._saved_at >= _SAVE_EVERY

    def unsaved(self) -> tuple[list[bytes], list[NDArray[Any]]]:
        """Return keys and rows that are not in the cache, and forget them."""
        pairs, self._unsaved = self._unsaved, []
        self._saved_at = time.monotonic()
        return [key for key, _ in pairs], [row for _, row in pairs]

    def array(self) -> NDArray[Any]:
        """Return all rows, (N, D)."""
        if self._X is None:
            raise DataError("Features must be computed of at least one sample, got none.")
        sources = np.array([self._first[key] for key in self._keys])
        repeated = np.flatnonzero(sources != np.arange(len(sources)))
        self._X[repeated] = self._X[sources[repeated]]
        return self._X

    def _put(self, numbers: NDArray[np.int64], rows: NDArray[Any]) -> None:
        if self._X is None:
            self._X = np.zeros((len(self._keys), rows.shape[1]), rows.dtype)
        elif rows.dtype.itemsize > self._X.dtype.itemsize:
            self._X = self._X.astype(rows.dtype)
        if rows.shape[1] != self._X.shape[1]:
            raise DataError(
                f"All samples must have the same number of features, got {self._X.shape[1]} and {rows.shape[1]}; "
                f"resize the images to one size."
            )
        self._X[numbers] = rows
        self._known[numbers] = True


def rounded(row: NDArray[Any], name: str, extractor: str = "") -> NDArray[Any]:
    """Return features (D,) in float16, or in float32 if a number exceeds its range.

    Raises
    ------
    DataError
        A number is NaN or infinite; the message names the sample and the extractor.
    """
    with np.errstate(over="ignore"):
        row = np.asarray(row, dtype=np.float32)
        if not np.isfinite(row).all():
            number = row[~np.isfinite(row)][0]
            suspect = f"the extractor {extractor}" if extractor else "the extractor"
            raise DataError(f"{name} must have finite features, got {number}; check {suspect}.")
        half = row.astype(np.float16)
    return half if np.isfinite(half).all() else row


def _digest(record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _silent(done: int, total: int, what: str) -> None:
    pass
