"""The built-in set ``digits``: 1,797 handwritten digits of 8 x 8 pixels, as scikit-learn carries them."""

import numpy as np

from softmargin.data.dataset import Dataset, ReadOptions

__all__ = ["FORMAT", "NAMES", "OPTIONS", "read"]

NAMES = ("digits",)
FORMAT = 'the built-in name "digits"'
OPTIONS: frozenset[str] = frozenset()
TEST_EVERY = 5


def read(name: str, options: ReadOptions) -> Dataset:
    """Read the built-in digits.

    The test part is fixed: within each class, in file order, the fifth, tenth, ... sample belongs to it (355
    samples), all others to the training part (1,442 samples), each in file order.

    Returns
    -------
    Dataset
        X is float32, the stored intensities 0..16 divided by 16 (exact), shape (1442, 64); y is int64, 0..9.
    """
    from sklearn.datasets import load_digits  # 0.1 s that only this reader has to pay

    bunch = load_digits()
    X = (bunch.data / 16).astype(np.float32)
    y = bunch.target.astype(np.int64)
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    shape = (8, 8, 1)
    test = Dataset(X[is_test], y[is_test], name, image_shape=shape)
    return Dataset(X[~is_test], y[~is_test], name, image_shape=shape, test=test)
