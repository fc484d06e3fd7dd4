"""8 × 8 pictures of digits that scikit-learn brings along: 1,797 × 64, 10 classes."""

from benchopt import BaseDataset
from sklearn.datasets import load_digits


class Dataset(BaseDataset):
    """Pixels from 0 to 1."""

    name = "digits"
    requirements = ["pip::scikit-learn"]

    def get_data(self):
        X, y = load_digits(return_X_y=True)
        return {"X": X / 16.0, "y": y}
