"""k-means patches against their definition, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from softmargin.data.images.pictures import ObjectPictures
from softmargin.errors import DataError, ParameterError
from softmargin.features import KMeansPatches
from tests.support.files import pixels

FEW = {"n_centroids": 7, "patch": 3, "n_patches": 500}


def definition(picture, mean, whitening, centroids, patch, pooling):
    """The mean activations by loops over positions, cells and centroids, float64."""
    mean, whitening, centroids = (array.astype(np.float64) for array in (mean, whitening, centroids))
    n_rows, n_columns = picture.shape[0] - patch + 1, picture.shape[1] - patch + 1
    row_cells = [k for k, rows in enumerate(np.array_split(range(n_rows), pooling)) for _ in rows]
    column_cells = [k for k, columns in enumerate(np.array_split(range(n_columns), pooling)) for _ in columns]
    total, count = np.zeros((pooling, pooling, len(centroids))), np.zeros((pooling, pooling, 1))
    for r in range(n_rows):
        for c in range(n_columns):
            x = np.moveaxis(picture[r : r + patch, c : c + patch], 2, 0).astype(float).ravel()
            x = (x - x.mean()) / np.sqrt(x.var() + 10)
            z = (x - mean) @ whitening
            d = [np.linalg.norm(z - centroid) for centroid in centroids]
            total[row_cells[r], column_cells[c]] += [max(0.0, np.mean(d) - one) for one in d]
            count[row_cells[r], column_cells[c]] += 1
    return (total / count).ravel()


@pytest.mark.parametrize("n_centroids", [1, 7, 40])
@pytest.mark.parametrize(("size", "patch", "pooling"), [((11, 14), 3, 2), ((9, 8), 4, 3), ((6, 130), 2, 1)])
def test_features_are_those_of_the_definition(size, patch, pooling, n_centroids):
    training = [pixels(*size, seed=k) // (1 + 3 * k) for k in range(5)]
    extractor = KMeansPatches(n_centroids, patch, pooling, n_patches=400, mirror=False).fit(training)
    noise = np.random.default_rng(0).normal(size=extractor.arrays_["centroids"].shape)
    extractor.arrays_["centroids"] += noise.astype(
        np.float32
    )  # else one may be a patch, and the root of 0 inexact
    learned = {name: extractor.arrays_[name] for name in ("mean", "whitening", "centroids")}
    for picture in (training[0], training[4], pixels(*size, seed=99)):
        found = extractor.compute(Image.fromarray(picture))
        assert found.dtype == np.float32
        expected = definition(picture, **learned, patch=patch, pooling=pooling)
        # d² near 30 in float32: an error of 30 * 6e-8 * a few, and half of that over d for d itself
        np.testing.assert_allclose(found.astype(np.float64) ** 2, expected, atol=5e-6)
        assert n_centroids == 1 or expected.max() > 0.1


def test_grey_patches_have_one_channel():
    grey = [pixels(9, 9, channels=1, seed=k) for k in range(6)]
    extractor = KMeansPatches(**FEW, mirror=False).fit(grey)
    learned = {name: extractor.arrays_[name] for name in ("mean", "whitening", "centroids")}
    assert learned["centroids"].shape == (7, 9)
    found = extractor.compute(Image.fromarray(grey[0]).convert("RGB"))
    np.testing.assert_allclose(found**2, definition(grey[0][:, :, None], **learned, patch=3, pooling=2), atol=5e-6)
    with_one_in_colour = KMeansPatches(**FEW).fit([*grey, pixels(9, 9)])
    assert with_one_in_colour.arrays_["centroids"].shape == (7, 27)


def test_a_mirror_image_has_the_same_features_and_they_are_averages():
    training = [pixels(11, 14, seed=k) for k in range(5)]
    both = KMeansPatches(**FEW).fit(training)
    one = KMeansPatches.restored(KMeansPatches(**FEW, mirror=False).record(), both.arrays_, ".")
    picture, mirrored = (Image.fromarray(pixels(11, 14)[:, ::step].copy()) for step in (1, -1))
    np.testing.assert_array_equal(both.compute(picture), both.compute(mirrored))
    average = (one.compute(picture) ** 2 + one.compute(mirrored) ** 2) / 2
    np.testing.assert_allclose(both.compute(picture) ** 2, average, rtol=1e-5)
    assert not np.allclose(one.compute(picture), one.compute(mirrored))


def test_whitening_inverts_the_covariance():
    patches = np.random.default_rng(0).normal(size=(9000, 6)) @ np.random.default_rng(1).normal(size=(6, 6)) + 3
    mean, whitening = KMeansPatches(whitening=0.3)._whitening(patches.astype(np.float32))
    np.testing.assert_allclose(mean, patches.mean(axis=0), rtol=1e-6)
    covariance = np.cov(patches, rowvar=False, bias=True)
    np.testing.assert_allclose(whitening, whitening.T, atol=1e-7)
    np.testing.assert_allclose(whitening @ (covariance + 0.3 * np.eye(6)) @ whitening, np.eye(6), atol=1e-5)


def test_centroids_are_those_of_k_means():
    rng = np.random.default_rng(0)
    patches = (rng.normal(size=(60_000, 8)) * [3, 2, 2, 1, 1, 1, 1, 1]).astype(np.float32)
    centroids = KMeansPatches(20)._centroids(patches, lambda *_: None)
    loss = np.square(patches[:, None] - centroids).sum(axis=2).min(axis=1).sum()
    reference = KMeans(20, init="random", n_init=1, random_state=0).fit(patches)
    assert loss <= 1.03 * reference.inertia_


def test_threads_of_scikit_learn_do_not_change_centroids():
    training = [pixels(24, 24, seed=k) for k in range(4)]
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="openmp"):
            found.append(KMeansPatches(30, patch=4, n_patches=3000).fit(training).arrays_["centroids"].tobytes())
    assert found[0] == found[1]


def test_another_seed_gives_other_centroids():
    training = [pixels(12, 12, seed=k) for k in range(4)]
    found = {KMeansPatches(**FEW, seed=seed).fit(training).arrays_["centroids"].tobytes() for seed in (0, 0, 1)}
    assert len(found) == 2


def test_more_pictures_than_patches():
    training = [pixels(12, 12, seed=k) for k in range(30)]
    extractor = KMeansPatches(5, patch=3, n_patches=10).fit(training)
    assert extractor.transform(training).shape == (30, 20)


def test_progress_reaches_its_end():
    told = []

    training = ObjectPictures([pixels(12, 12, seed=k) for k in range(70)])
    KMeansPatches(**FEW).learn(training, cache=False, progress=lambda *three: told.append(three))
    assert [three for three in told if three[2] == "sampling patches"] == [
        (64, 70, "sampling patches"), (70, 70, "sampling patches"),
    ]  # fmt: skip
    steps = [done for done, _, what in told if what == "learning centroids"]
    assert steps == list(range(1, 1 + max(steps)))


def test_ctrl_c_stops_learning():
    def stop(done, total, what):
        if what == "learning centroids":
            raise KeyboardInterrupt

    extractor = KMeansPatches(**FEW)
    with pytest.raises(KeyboardInterrupt):
        extractor.learn(ObjectPictures([pixels(12, 12)]), cache=False, progress=stop)
    assert not extractor.is_fitted


@pytest.mark.parametrize("size", [(1, 1), (3, 12), (12, 3)])
def test_a_picture_without_a_patch_in_each_cell_is_refused(size):
    with pytest.raises(DataError) as caught:
        KMeansPatches(**FEW).fit([pixels(*size)])
    assert str(caught.value) == (
        f"Image 0 of X must have at least 4 pixels per side for patch=3 and pooling=2, got {size[0]}x{size[1]} "
        f"(height x width); enlarge it with image_size=(H, W) (--image-size HxW)."
    )
    assert KMeansPatches(**FEW, image_size=(4, 6)).fit([pixels(*size)]).is_fitted or size == (1, 1)


def test_fewer_patches_than_centroids():
    with pytest.raises(DataError, match=r"^n_centroids must be at most 72, .* pictures, got 73\.$"):
        KMeansPatches(73, patch=4, n_patches=500).fit([pixels(9, 9, seed=k) for k in range(2)])
    KMeansPatches(72, patch=4, n_patches=500).fit([pixels(9, 9, seed=k) for k in range(2)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_centroids": 0}, "n_centroids must be an integer ≥ 1, got 0."),
        ({"patch": 1}, "patch must be an integer ≥ 2, got 1."),
        ({"pooling": 1.5}, "pooling must be an integer ≥ 1, got 1.5."),
        ({"n_patches": 3}, "n_patches must be an integer ≥ 7, got 3."),
        ({"whitening": 0}, "whitening must be > 0, got 0."),
        ({"whitening": -1.0}, "whitening must be a finite number ≥ 0, got -1.0."),
        ({"mirror": 1}, "mirror must be True or False, got 1."),
        ({"seed": -1}, "seed must be an integer ≥ 0, got -1."),
    ],
)
def test_parameters_are_checked(options, message):
    with pytest.raises(ParameterError) as caught:
        KMeansPatches(**FEW | options).fit([pixels(9, 9)])
    assert str(caught.value) == message


@pytest.mark.parametrize(("name", "value"), [("patch", 5), ("n_centroids", 6)])
@pytest.mark.parametrize("channels", [1, 3])
def test_parameters_changed_after_the_fit(name, value, channels):
    training = [pixels(9, 9, channels=channels, seed=k) for k in range(3)]
    extractor = KMeansPatches(**FEW).fit(training).set_params(**{name: value})
    with pytest.raises(ParameterError) as caught:
        extractor.transform(training)
    assert str(caught.value) == (
        f"KMeansPatches must be fitted again after a change of {name}, got {name}={value}."
    )
    X = KMeansPatches(**FEW | {name: value}).fit(training).transform(training)
    np.testing.assert_array_equal(extractor.fit(training).transform(training), X)


def test_description():
    assert KMeansPatches(400).describe() == "kmeans:400"
    assert KMeansPatches(9, mirror=False).describe() == "kmeans:9:plain"
