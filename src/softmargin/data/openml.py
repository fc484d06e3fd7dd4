"""Public data sets by name, downloaded once from OpenML by scikit-learn, which caches them on disk."""

import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import one_line
from softmargin.errors import DataError

__all__ = ["FORMAT", "NAMES", "OPTIONS", "read"]

FORMAT = 'a public data set, "mnist", "fashion-mnist" or "cifar10"'
OPTIONS: frozenset[str] = frozenset()


class Known(NamedTuple):
    """The name of a set at OpenML and the layout of its rows; the first ``n_train`` are the training set."""

    openml: str
    image_shape: tuple[int, int, int]
    n_train: int | None


SETS = {
    "mnist": Known("mnist_784", (28, 28, 1), 60_000),
    "fashion-mnist": Known("Fashion-MNIST", (28, 28, 1), 60_000),
    "cifar10": Known("CIFAR_10", (32, 32, 3), None),
}
NAMES = tuple(SETS)


def read(name: str, options: ReadOptions) -> Dataset:
    """Download a public data set, or read it from the cache of scikit-learn (``SCIKIT_LEARN_DATA``).

    X is uint8 in the order height, width, channel; labels are integers. MNIST and Fashion-MNIST have the usual
    training set of 60,000 rows and test set of 10,000. OpenML does not record the split of CIFAR-10, which
    therefore has no test set.

    Raises
    ------
    DataError
        OpenML cannot be reached, or the downloaded data are not as expected.
    """
    from sklearn.datasets import fetch_openml  # takes 0.5 s to import

    known = SETS[name]
    parser = "auto" if find_spec("pandas") else "liac-arff"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about each retry
            bunch = fetch_openml(known.openml, version=1, as_frame=False, parser=parser)
    except (OSError, ValueError) as error:  # a failed connection is an OSError, a wrong checksum a ValueError
        text = f"{name} could not be downloaded from OpenML ({one_line(error)})"
        raise DataError(f"{text}; check the connection, or read a local copy.") from error
    return _dataset(name, known, bunch)


def _dataset(name: str, known: Known, bunch: Any) -> Dataset:
    height, width, channels = known.image_shape
    X = np.asarray(bunch.data)
    n_features = height * width * channels
    if X.ndim != 2 or X.shape[1] != n_features or X.dtype.kind not in "uif":
        found = f"{X.dtype} of shape {X.shape}"
        raise DataError(f"{name} must have {n_features} pixels per row, got {found} from OpenML.")
    pixels = X.astype(np.uint8)
    if not np.array_equal(pixels, X):
        raise DataError(f"{name} must have 8-bit pixels, got other values from OpenML.")
    try:
        y = np.asarray(bunch.target).astype(np.int64)
    except ValueError as error:
        raise DataError(f"{name} must have integer labels, got other labels from OpenML.") from error
    if channels > 1:  # OpenML stores the channels first
        planes = pixels.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        pixels = np.ascontiguousarray(planes).reshape(-1, n_features)
    shape, n = known.image_shape, known.n_train
    if n is None or len(pixels) <= n:
        note = "no test set, because OpenML does not record which rows belong to it"
        return Dataset(pixels, y, name, image_shape=shape, notes=(note,))
    test = Dataset(pixels[n:], y[n:], f"{name} (test)", image_shape=shape)
    return Dataset(pixels[:n], y[:n], name, image_shape=shape, test=test)
