"""Hashes of the content of rows, from which folds are made."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.errors import DataError
from softmargin.io.mapped import MappedFile
from softmargin.sparse import issparse

__all__ = ["content_hashes"]

_BLOCK_NUMBERS = 1 << 18


def content_hashes(X: Any, seed: int = 0) -> NDArray[np.uint64]:
    """Return a 64-bit hash per row that depends only on its content and the seed.

    Parameters
    ----------
    X : ndarray or csr_array of shape (N, D)
        Features, or the keys of samples: `Labelled.identity`.
    seed : int
    """
    MappedFile(X).check(DataError)
    key = int(seed).to_bytes(16, "little")
    hashes = np.empty(X.shape[0], np.uint64)
    step = max(1, _BLOCK_NUMBERS // max(1, X.shape[1]))
    numbers = np.arange(0 if issparse(X) else X.shape[1], dtype="<i8")
    full = hashlib.blake2b(numbers.tobytes(), digest_size=8, key=key)  # of dense rows without zeros
    for start in range(0, X.shape[0], step):
        block = X[start : start + step]
        # Only entries that are not 0, with their columns: sparse and dense rows get the same hash.
        if issparse(block):
            nonzero = block.data != 0
            counts = np.bincount(block.tocoo().row[nonzero], minlength=block.shape[0])
            columns, values = block.indices[nonzero].astype("<i8"), block.data[nonzero]
        else:
            nonzero = block != 0
            counts = np.count_nonzero(nonzero, axis=1)
            columns, values = np.broadcast_to(numbers, block.shape)[nonzero], block[nonzero]
        values = values.astype(X.dtype.newbyteorder("<"), copy=False)
        ends = np.cumsum(counts)
        for i in range(block.shape[0]):
            part = slice(ends[i] - counts[i], ends[i])
            is_full = counts[i] == len(numbers)
            digest = full.copy() if is_full else hashlib.blake2b(columns[part].tobytes(), digest_size=8, key=key)
            digest.update(values[part].tobytes())
            hashes[start + i] = int.from_bytes(digest.digest(), "little")
    return hashes
