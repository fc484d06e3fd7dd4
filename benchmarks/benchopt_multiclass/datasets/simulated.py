"""Made-up embeddings: overlapping directions of the classes, rows of length 1."""

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """Rows of a sphere around the direction of their class; later features vary less."""

    name = "simulated"
    requirements = []
    parameters = {"n_samples, n_features, n_classes": [(4000, 256, 20), (4000, 256, 2)]}
    test_parameters = {"n_samples, n_features, n_classes": [(60, 8, 3)]}

    def get_data(self):
        rng = np.random.default_rng(self.get_seed(use_repetition=True))
        y = np.arange(self.n_samples) % self.n_classes
        noise = rng.normal(size=(self.n_samples, self.n_features)) * np.arange(1, self.n_features + 1) ** -0.25
        X = rng.normal(size=(self.n_classes, self.n_features))[y] + 2.0 * noise
        return {"X": X / np.linalg.norm(X, axis=1, keepdims=True), "y": y}
