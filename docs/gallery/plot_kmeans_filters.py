"""
What do k-means filters look for?
=================================

``KMeansPatches`` learns features from pictures without labels. It cuts small patches from them, removes their
mean, contrast and correlations ("whitening"), and groups them by k-means. A feature is the similarity to one
group.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

import softmargin as sm

SIZE = 40

photos = load_sample_images().images
tiles = np.concatenate(
    [
        photo[: photo.shape[0] // SIZE * SIZE]
        .reshape(-1, SIZE, photo.shape[1] // SIZE, SIZE, 3)
        .swapaxes(1, 2)
        .reshape(-1, SIZE, SIZE, 3)
        for photo in photos
    ]
)
filters = sm.features.KMeansPatches(n_centroids=60, patch=8, pooling=1, n_patches=10_000, mirror=False).fit(tiles)
features = filters.transform(tiles)
print(f"{len(tiles)} tiles of two photographs, {features.shape[1]} features per tile")

# %%
# The centroids are the patches that the filters look for. Some are edges of several directions, others are
# colours or differences of colour.

centroids = filters.arrays_["centroids"].reshape(-1, 3, 8, 8).transpose(0, 2, 3, 1)
figure, grid = plt.subplots(5, 12, figsize=(6.4, 3), layout="constrained")
for axes, centroid in zip(grid.flat, centroids, strict=True):
    axes.imshow(0.5 + 0.5 * centroid / abs(centroid).max())
    axes.axis("off")
figure.suptitle("The 60 centroids of whitened patches")

# %%
# A feature is large where many patches of a tile are similar to its centroid. Here is every tenth filter, with
# the tiles that have the largest value of its feature.

figure, grid = plt.subplots(6, 8, figsize=(6.4, 4.9), layout="constrained")
for row, k in zip(grid, range(0, 60, 10), strict=True):
    row[0].imshow(0.5 + 0.5 * centroids[k] / abs(centroids[k]).max())
    for axes, tile in zip(row[1:], tiles[np.argsort(-features[:, k])], strict=False):
        axes.imshow(tile)
for axes in grid.flat:
    axes.axis("off")
grid[0, 0].set_title("filter", fontsize=10)
figure.suptitle("Six filters, and the tiles with the largest features")
