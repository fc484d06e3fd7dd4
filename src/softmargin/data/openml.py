"""Public sets by name, fetched once from OpenML by scikit-learn, which keeps them on disk."""

import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import one_line
from softmargin.errors import DataError

__all__ = ["FORMAT", "NAMES", "OPTIONS", "read"]

FORMAT = 'a public set, "mnist", "fashion-mnist" or "cifar10"'
OPTIONS: frozenset[str] = frozenset()


class Known(NamedTuple):
    """Where a set is, and how its rows are to be understood; the first ``n_train`` are the training part."""

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
    """Fetch a public set, or read it from where scikit-learn has kept it (``SCIKIT_LEARN_DATA``).

    X is uint8 in the order height, width, channel; labels are integers. MNIST and Fashion-MNIST are divided as
    their makers did, into 60,000 rows and a test part of 10,000. How the rows of CIFAR-10 were divided is not on
    record at OpenML, so it has no test part there.

    Raises
    ------
    DataError
        OpenML cannot be reached, or what it sent is not what is known of the set.
    """
    from sklearn.datasets import fetch_openml  # half a second that only this reader has to pay

    known = SETS[name]
    parser = "auto" if find_spec("pandas") else "liac-arff"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of each retry; if all fail, the error below says it
            bunch = fetch_openml(known.openml, version=1, as_frame=False, parser=parser)
    except (OSError, ValueError) as error:  # a connection that fails is an OSError, a wrong checksum a ValueError
        raise DataError(
            f"{name} could not be fetched from OpenML ({one_line(error)}): check the connection, "
            f"or read a copy on disk."
        ) from error
    return _dataset(name, known, bunch)


def _dataset(name: str, known: Known, bunch: Any) -> Dataset:
    height, width, channels = known.image_shape
    X = np.asarray(bunch.data)
    n_features = height * width * channels
    if X.ndim != 2 or X.shape[1] != n_features or X.dtype.kind not in "uif":
        raise DataError(f"{name} came as {X.dtype} of shape {X.shape}; expected {n_features} pixels a row.")
    pixels = X.astype(np.uint8)
    if not np.array_equal(pixels, X):
        raise DataError(f"{name} came with values that are no pixels of 8 bits.")
    try:
        y = np.asarray(bunch.target).astype(np.int64)
    except ValueError as error:
        raise DataError(f"{name} came with labels that are no numbers.") from error
    if channels > 1:  # OpenML keeps the planes one after the other
        planes = pixels.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        pixels = np.ascontiguousarray(planes).reshape(-1, n_features)
    shape, n = known.image_shape, known.n_train
    if n is None or len(pixels) <= n:
        note = "OpenML does not say which rows are for testing, so none are set aside"
        return Dataset(pixels, y, name, image_shape=shape, notes=(note,))
    test = Dataset(pixels[n:], y[n:], f"{name} (test)", image_shape=shape)
    return Dataset(pixels[:n], y[:n], name, image_shape=shape, test=test)
