"""Features learned without labels: similarities of whitened patches to the centroids of k-means.

A. Coates, H. Lee and A. Y. Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS
2011. The root of the pooled features follows F. Perronnin, J. Sánchez and T. Mensink, "Improving the Fisher kernel
for large-scale image classification", ECCV 2010, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.arguments import check_count, check_flag, check_nonnegative
from softmargin.data.dataset import Progress
from softmargin.data.images.guard import ImageProblem
from softmargin.data.inputs import Inputs
from softmargin.errors import DataError, ParameterError
from softmargin.features.sized import SizedExtractor
from softmargin.threads import worker_threads

__all__ = ["KMeansPatches"]

_CONTRAST = 10.0
"""Added to the variance of the 8-bit pixels of a patch, so that noise in a constant patch stays small."""
_EPOCHS = 10
_BATCH = 4096
_BAND = 100
"""Patches that are compared to the centroids at once; 1,600 distances of each fit in the cache of a core."""

Floats = NDArray[np.float32]


class KMeansPatches(SizedExtractor):
    """Similarities of patches to the centroids of k-means, averaged over the cells of a grid.

    Patches are taken at each position. From each, its mean is subtracted, and it is divided by √(variance + 10).
    Whitening turns the result x into z = (x − μ) P. Here μ is the mean of the training patches, V Λ Vᵀ their
    covariance, and P = V (Λ + ε)^(−½) Vᵀ. With the distances d_k = ‖z − c_k‖ to the centroids, the activations of
    a patch are max(0, mean(d) − d_k). A feature is the root of the mean activation in a cell of the grid.

    Parameters
    ----------
    n_centroids : int
        K; there are ``pooling² * K`` features.
    patch : int
        Side of the patches in pixels.
    pooling : int
        The positions of the patches are divided into ``pooling × pooling`` cells; 2 means quadrants.
    image_size : tuple of int (height, width), optional
        Size to which pictures are resized. By default all must have the size of the training pictures.
    n_patches : int
        Number of patches of the training pictures from which everything is learned.
    whitening : float
        ε > 0. Larger values suppress noise, such as that of JPEG files.
    mirror : bool
        Whether to average the activations of a picture and of its mirror image (left and right exchanged). This
        takes twice the time. It is better for photographs, and wrong where left and right matter: digits, text.
    seed : int
        Of the positions of the patches and of k-means.

    Attributes
    ----------
    arrays_ : dict of str to ndarray
        ``"image_size"``: int64, (height, width). In float32: ``"mean"`` μ (p,), ``"whitening"`` P (p, p) and
        ``"centroids"`` (K, p), where p is patch² if all training pictures are grey, else 3 patch².
    """

    name = "kmeans"

    def __init__(
        self,
        n_centroids: int = 1600,
        patch: int = 6,
        pooling: int = 2,
        image_size: tuple[int, int] | None = None,
        n_patches: int = 400_000,
        whitening: float = 0.3,
        mirror: bool = True,
        seed: int = 0,
    ) -> None:
        self.n_centroids = n_centroids
        self.patch = patch
        self.pooling = pooling
        self.image_size = image_size
        self.n_patches = n_patches
        self.whitening = whitening
        self.mirror = mirror
        self.seed = seed

    def describe(self) -> str:
        """Return ``kmeans:K``, with ``:plain`` if pictures are not mirrored."""
        return f"{self.name}:{self.n_centroids}{'' if self.mirror else ':plain'}"

    def prepare(self) -> None:
        """Check the parameters."""
        super().prepare()
        for name in ("n_centroids", "pooling"):
            check_count(name, getattr(self, name))
        check_count("patch", self.patch, least=2)
        check_count("seed", self.seed, least=0)
        check_count("n_patches", self.n_patches, least=self.n_centroids)
        check_flag("mirror", self.mirror)
        if check_nonnegative("whitening", self.whitening) == 0.0:
            raise ParameterError("whitening must be > 0, got 0.")

    def check_learned(self) -> None:
        """Refuse other parameters than those of the fit, as far as the arrays show them."""
        super().check_learned()
        self._check_same("patch", len(self.arrays_["mean"]) in (self.patch**2, 3 * self.patch**2))
        self._check_same("n_centroids", len(self.arrays_["centroids"]) == self.n_centroids)

    def learned_from(self, inputs: Inputs, n_threads: int, progress: Progress) -> dict[str, NDArray[Any]]:
        """Return size, mean, whitening and centroids."""
        arrays = super().learned_from(inputs, n_threads, progress)
        patches = self._sample(inputs, arrays["image_size"], n_threads, progress)
        arrays["mean"], arrays["whitening"] = self._whitening(patches)
        for begin in range(0, len(patches), _BATCH):
            batch = slice(begin, begin + _BATCH)
            patches[batch] = (patches[batch] - arrays["mean"]) @ arrays["whitening"]
        arrays["centroids"] = self._centroids(patches, progress)
        return arrays

    def compute(self, item: Image.Image) -> Floats:
        """Return the features (pooling² * K,) of one picture: for each cell, row by row, all centroids."""
        picture = self.resized(item, self.arrays_["image_size"])
        activations = self._pooled(picture)
        if self.mirror:
            activations += self._pooled(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
            activations /= 2
        return np.sqrt(activations)

    def _pooled(self, picture: Image.Image) -> Floats:
        """Return the mean activations in each cell, (pooling² * K,)."""
        mean, whitening, centroids = (self.arrays_[name] for name in ("mean", "whitening", "centroids"))
        squares = np.einsum("ij,ij->i", centroids, centroids)
        cells = []
        for cell in self._cells(self._windows(picture, is_grey=len(mean) == self.patch**2)):
            total = np.zeros(len(centroids), np.float32)
            n_rows = max(1, _BAND // cell.shape[1])
            for row in range(0, len(cell), n_rows):
                z = (_normalised(cell[row : row + n_rows]) - mean) @ whitening
                d = (-2 * z) @ centroids.T  # d² = ‖z‖² + ‖c‖² − 2 zᵀc, which rounding may make negative
                d += squares
                d += np.einsum("ij,ij->i", z, z)[:, None]
                np.sqrt(np.maximum(d, 0, out=d), out=d)
                np.subtract(d.mean(axis=1, keepdims=True), d, out=d)
                total += np.maximum(d, 0, out=d).sum(axis=0)
            cells.append(total / (cell.shape[0] * cell.shape[1]))
        return np.concatenate(cells)

    def _windows(self, picture: Image.Image, is_grey: bool = False) -> NDArray[np.uint8]:
        """Return all patches as a view of shape (rows, columns, channels, patch, patch)."""
        pixels = np.asarray(picture.convert("L" if is_grey else "RGB"))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if min(pixels.shape[:2]) < self.patch + self.pooling - 1:
            raise ImageProblem(
                f"must have at least {self.patch + self.pooling - 1} pixels per side for patch={self.patch} and "
                f"pooling={self.pooling}, got {picture.height}x{picture.width} (height x width); enlarge it with "
                f"image_size=(H, W) (--image-size HxW)"
            )
        return np.lib.stride_tricks.sliding_window_view(pixels, (self.patch, self.patch), axis=(0, 1))

    def _cells(self, windows: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        for rows in np.array_split(np.arange(windows.shape[0]), self.pooling):
            for columns in np.array_split(np.arange(windows.shape[1]), self.pooling):
                yield windows[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    def _sample(self, inputs: Inputs, size: NDArray[np.int64], n_threads: int, progress: Progress) -> Floats:
        """Return normalised patches at random positions, equally many of each picture."""
        height, width = size.tolist()
        n_places = max(0, height - self.patch + 1) * max(0, width - self.patch + 1)
        n_patches = min(self.n_patches, len(inputs) * n_places)
        borders = np.linspace(0, n_patches, min(len(inputs), max(n_patches, 1)) + 1).astype(int)
        places = np.random.default_rng(self.seed).random((n_patches, 2))

        def one(k: int) -> tuple[bool, NDArray[np.uint8]]:
            picture: Image.Image = inputs.item(k, None)
            try:
                windows = self._windows(self.resized(picture, size))
            except ImageProblem as problem:
                raise DataError(f"{inputs.name(k)} {problem}.") from problem
            rows, columns = (places[borders[k] : borders[k + 1]] * windows.shape[:2]).astype(int).T
            return picture.mode == "L", windows[rows, columns]

        numbers = range(len(borders) - 1)
        found = []
        with worker_threads(n_threads, "softmargin patches") as pool:
            try:
                for done, pair in enumerate(pool.map(one, numbers), 1):
                    found.append(pair)
                    if done % 64 == 0 or done == len(numbers):
                        progress(done, len(numbers), "sampling patches")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if n_patches < self.n_centroids:
            raise DataError(
                f"n_centroids must be at most {n_patches:,}, the number of patches of the training pictures, got "
                f"{self.n_centroids:,}."
            )
        patches = np.concatenate([pixels for _, pixels in found])
        return _normalised(patches[:, :1] if all(is_grey for is_grey, _ in found) else patches)

    def _whitening(self, patches: Floats) -> tuple[Floats, Floats]:
        """Return the mean (p,) and V (Λ + ε)^(−½) Vᵀ (p, p) for the covariance V Λ Vᵀ."""
        mean = patches.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((len(mean), len(mean)))
        for begin in range(0, len(patches), _BATCH):
            centred = patches[begin : begin + _BATCH] - mean
            covariance += centred.T @ centred
        values, vectors = np.linalg.eigh(covariance / len(patches))
        whitening = (vectors / np.sqrt(np.maximum(values, 0.0) + self.whitening)) @ vectors.T
        return mean.astype(np.float32), whitening.astype(np.float32)

    def _centroids(self, patches: Floats, progress: Progress) -> Floats:
        """Return the centroids (K, p) of whitened patches.

        The batches are passed one by one, since the early stop of `MiniBatchKMeans.fit` depends on the number of
        threads.
        """
        from sklearn.cluster import MiniBatchKMeans

        rng = np.random.default_rng(self.seed)
        first = patches[rng.choice(len(patches), self.n_centroids, replace=False)]
        model = MiniBatchKMeans(self.n_centroids, init=first, n_init=1, random_state=self.seed)
        size = max(_BATCH, 2 * self.n_centroids)
        batches = [
            order[begin : begin + size]
            for order in (rng.permutation(len(patches)) for _ in range(_EPOCHS))
            for begin in range(0, len(patches), size)
        ]
        for done, batch in enumerate(batches, 1):
            model.partial_fit(patches[batch])
            progress(done, len(batches), "learning centroids")
        return np.ascontiguousarray(model.cluster_centers_, np.float32)


def _normalised(patches: NDArray[np.uint8]) -> Floats:
    """Return patches (..., channels, patch, patch) with the mean 0 and nearly the variance 1, as rows (n, p)."""
    flat = patches.reshape(-1, np.prod(patches.shape[-3:])).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.sqrt(np.einsum("ij,ij->i", flat, flat) / flat.shape[1] + _CONTRAST)[:, None]
    return flat
