"""The built-in data set ``digits``: 1,797 handwritten digits of 8 x 8 pixels from scikit-learn."""

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
    from sklearn.datasets import load_digits  # takes 0.1 s to import

    bunch = load_digits()
    X = (bunch.data / 16).astype(np.float32)
    y = bunch.target.astype(np.int64)
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    shape = (8, 8, 1)
    test = Dataset(X[is_test], y[is_test], name, image_shape=shape)
    return Dataset(X[~is_test], y[~is_test], name, image_shape=shape, test=test)
