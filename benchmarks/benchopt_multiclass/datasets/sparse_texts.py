"""Word counts of made-up texts: Zipf frequencies, a topic per class, rows of length 1."""

import numpy as np
from benchopt import BaseDataset
from scipy import sparse


class Dataset(BaseDataset):
    """A CSR matrix in float64."""

    name = "sparse-texts"
    requirements = ["pip::scipy"]
    parameters = {"n_samples, n_words, n_classes": [(1000, 2000, 5)]}
    test_parameters = {"n_samples, n_words, n_classes": [(60, 40, 3)]}

    def get_data(self):
        rng = np.random.default_rng(self.get_seed(use_repetition=True))
        length, n, D = 80, self.n_samples, self.n_words
        zipf = 1.0 / np.arange(1, D + 1)
        words = rng.choice(D, (n, length), p=zipf / zipf.sum())
        y = np.arange(n) % self.n_classes
        topics = rng.choice(D, (self.n_classes, max(D // 100, 4)))
        about = rng.random((n, length)) < 0.08
        words[about] = topics[y][np.nonzero(about)[0], rng.integers(topics.shape[1], size=about.sum())]
        X = sparse.csr_matrix((np.ones(n * length), words.ravel(), np.arange(0, n * length + 1, length)), (n, D))
        X.sum_duplicates()
        return {"X": sparse.csr_matrix(X.multiply(1.0 / np.sqrt(X.multiply(X).sum(axis=1)))), "y": y}
