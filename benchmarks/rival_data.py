"""The data of `rivals.py` and the problems (loss, bias) that are measured on each."""

import io
import zipfile

import numpy as np
from scipy import sparse

from rival_fits import CE, FREE, HI, NONE, SQ


def digits(folder):
    import softmargin as sm

    data = sm.load_dataset("digits")
    return data.X, np.unique(data.y, return_inverse=True)[1]


def banking77(folder):
    import softmargin as sm

    data = sm.load_dataset(folder / "banking77-minilm.npz")
    return data.X, np.unique(data.y, return_inverse=True)[1]


def cifar10(folder):
    """Return the pixels of 10,000 pictures, 0 to 1."""
    from PIL import Image

    with zipfile.ZipFile(folder / "cifar10-images.zip") as pictures:
        names = sorted(name for name in pictures.namelist() if "/train/" in name and name.endswith(".jpg"))[::5]
        X = np.stack([np.asarray(Image.open(io.BytesIO(pictures.read(name)))).ravel() for name in names])
    return X.astype(np.float32) / np.float32(255.0), np.unique(
        [n.split("/")[-2] for n in names], return_inverse=True
    )[1]


def table(name):
    def make(folder):
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return (X - X.mean(axis=0)) / X.std(axis=0), y

    return make


def news(folder):
    """Return word counts of 8,000 made-up texts: Zipf frequencies, 20 topics, rows of length 1."""
    rng = np.random.default_rng(0)
    n, D, C, length, own = 8_000, 20_000, 20, 80, 200
    zipf = 1.0 / np.arange(1, D + 1)
    words = rng.choice(D, (n, length), p=zipf / zipf.sum())
    topics = rng.choice(D, (C, own))
    y = rng.integers(C, size=n)
    about = rng.random((n, length)) < 0.08
    words[about] = topics[y][np.nonzero(about)[0], rng.integers(own, size=about.sum())]
    X = sparse.csr_matrix((np.ones(n * length), words.ravel(), np.arange(0, n * length + 1, length)), (n, D))
    X.sum_duplicates()
    return sparse.csr_matrix(X.multiply(1.0 / np.sqrt(X.multiply(X).sum(axis=1)))), y


def embeddings(folder):
    """Return 8,000 × 512 overlapping directions of 120 classes, rows of length 1, float32."""
    rng = np.random.default_rng(0)
    n, D, C = 8_000, 512, 120
    y = rng.integers(C, size=n)
    X = rng.normal(size=(C, D))[y] + 2.0 * rng.normal(size=(n, D)) * np.arange(1, D + 1) ** -0.25
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def two(make):
    """Return the same data with two classes: the first half of the classes, and the rest."""

    def halves(folder):
        X, y = make(folder)
        return X, (2 * y > y.max()).astype(np.int64)

    return halves


DATA = {
    "iris": table("iris"), "wine": table("wine"), "digits": digits, "news": news, "banking77": banking77,
    "embeddings": embeddings, "cifar10": cifar10,
    "digits, 2 classes": two(digits), "news, 2 classes": two(news), "banking77, 2 classes": two(banking77),
}  # fmt: skip
PROBLEMS = {name: [(CE, FREE)] for name in DATA}
for _name in ("digits", "banking77"):
    PROBLEMS[_name] += [(CE, NONE), (SQ, FREE), (HI, NONE)]
for _name in DATA:
    if _name.endswith("2 classes"):
        PROBLEMS[_name] = [(CE, NONE), (SQ, NONE), (HI, NONE)]
