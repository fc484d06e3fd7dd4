"""The built-in data set ``digits``: 1,797 handwritten digits of 8 x 8 pixels from scikit-learn."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from softmargin.data.dataset import Dataset, ReadOptions

__all__ = ["FORMAT", "NAMES", "OPTIONS", "read"]

NAMES = ("digits",)
FORMAT = 'the built-in name "digits"'
OPTIONS: frozenset[str] = frozenset()
TEST_EVERY = 5


def read(name: str, options: ReadOptions) -> Dataset:
    """Read the built-in digits.

    The test set is fixed: every fifth sample of each class, in file order (355 samples). The other 1,442 samples
    are the training set.

    Returns
    -------
    Dataset
        X is float32 of shape (1442, 64), the stored intensities 0..16 divided by 16 (exact); y is int64, 0..9.
    """
    package = find_spec("sklearn")  # its loader gives the same numbers, but takes a second to import
    assert package is not None, "scikit-learn is a dependency"
    file = Path(str(package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, np.int64, delimiter=",")
    X = (table[:, :-1] / 16).astype(np.float32)
    y = table[:, -1].copy()
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    shape = (8, 8, 1)
    test = Dataset(X[is_test], y[is_test], name, image_shape=shape)
    return Dataset(X[~is_test], y[~is_test], name, image_shape=shape, test=test)
