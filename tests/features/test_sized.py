"""What HOG and k-means patches have in common: sizes, and the same bits in any order and with any threads."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import softmargin as sm
from softmargin.data.images.pictures import ObjectPictures
from softmargin.errors import DataError, ParameterError
from softmargin.features import HOG, KMeansPatches, from_record
from tests.support.files import pixels, save_image

KINDS = {
    "hog": lambda **options: HOG(cell=4, colours=2, **options),
    "kmeans": lambda **options: KMeansPatches(12, patch=3, n_patches=3000, **options),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def pictures(n=12, height=13, width=17, seed=0):
    return [pixels(height, width, seed=seed + k) // (1 + k % 3) for k in range(n)]


def bits(extractor):
    return {name: array.tobytes() for name, array in extractor.arrays_.items()}


def test_order_threads_and_cache_do_not_change_a_bit(make):
    shown = pictures()
    inputs = ObjectPictures(shown)
    first = make()
    first.learn(inputs, cache=False, n_threads=1)
    X = first.extract(inputs, cache=False, n_threads=1).X
    order = np.random.default_rng(1).permutation(len(shown))
    for cold_or_warm in range(2):
        other = make()
        other.learn(inputs.take(order), n_threads=2)
        assert bits(other) == bits(first)
        assert other.identity() == first.identity()
        found = other.extract(inputs.take(order), n_threads=2)
        assert found.n_cached == len(shown) * cold_or_warm
        np.testing.assert_array_equal(found.X, X[order])
    np.testing.assert_array_equal(first.transform(shown[5:6]), X[5:6])
    assert len(np.unique(X, axis=0)) == len(shown)


def test_a_repeated_training_picture_changes_nothing(make):
    shown = pictures()
    assert bits(make().fit(shown)) == bits(make().fit(shown + shown[:5]))


def test_from_its_record(make):
    shown = pictures()
    for extractor in (make().fit(shown), make(image_size=(9, 8)).fit(shown)):
        restored = from_record(extractor.record(), extractor.arrays_, ".")
        assert restored.get_params() == extractor.get_params()
        assert restored.identity() == extractor.identity()
        np.testing.assert_array_equal(restored.transform(shown), extractor.transform(shown))


def test_as_a_transformer_of_scikit_learn(make):
    shown, y = pictures(), np.arange(12) % 3
    extractor = make(image_size=(10, 10))
    copy = clone(extractor)
    assert copy.get_params() == extractor.get_params()
    pipeline = make_pipeline(copy, StandardScaler(), sm.LinearClassifier("cross_entropy", reg=0.01))
    assert pipeline.fit(shown, y).score(shown, y) == 1.0


def test_a_picture_of_another_size_is_refused(make):
    extractor = make().fit(pictures())
    with pytest.raises(DataError) as caught:
        extractor.transform([*pictures(), pixels(17, 13)])
    assert str(caught.value) == (
        "Image 12 of X must have the same size as all training images, got 17x13 and 13x17 (height x width); fit "
        "with image_size=(H, W) (--image-size HxW) to resize all images."
    )


def test_a_file_of_another_size_is_named(make, tmp_path):
    for k in range(3):
        save_image(tmp_path / "ab"[k % 2] / f"{k}.png", pixels(12, 12 + (k == 2), seed=k))
    with pytest.raises(DataError, match=r"^Image \S*\d\.png must have the same size .* got 12x1\d and 12x1\d "):
        sm.load_dataset(tmp_path, features=make())


def test_resized_as_pixels_are(make):
    shown = [pixels(20, 30), pixels(11, 9)]
    by_hand = [np.asarray(Image.fromarray(one).resize((12, 10), Image.Resampling.BILINEAR)) for one in shown]
    extractor = make(image_size=(10, 12)).fit(shown)
    same_size = type(extractor).restored(make().record(), extractor.arrays_, ".")
    np.testing.assert_array_equal(extractor.transform(shown), same_size.transform(by_hand))


def test_grey_pictures(make):
    grey = [pixels(13, 17, channels=1, seed=k) for k in range(6)]
    extractor = make().fit(grey)
    X = extractor.transform(grey)
    assert X.any(axis=1).all()
    np.testing.assert_array_equal(extractor.transform([np.dstack([one] * 3) for one in grey]), X)


def test_constant_pictures_have_finite_features(make):
    constant = [np.full((13, 17, 3), value, np.uint8) for value in (0, 7, 255)]
    X = make().fit(constant).transform(constant)
    assert X.shape == make().fit(pictures()).transform(constant).shape
    assert np.isfinite(X).all()


def test_another_size_after_the_fit_is_refused(make):
    extractor = make(image_size=(10, 12)).fit(pictures())
    extractor.set_params(image_size=(12, 10))
    with pytest.raises(ParameterError) as caught:
        extractor.transform(pictures())
    assert str(caught.value) == (
        f"{type(extractor).__name__} must be fitted again after a change of image_size, got image_size=(12, 10)."
    )
    X = make(image_size=(12, 10)).fit(pictures()).transform(pictures())
    np.testing.assert_array_equal(extractor.fit(pictures()).transform(pictures()), X)


def test_names_of_features(make):
    pytest.importorskip("pandas")
    shown = pictures()
    extractor = make()
    for _ in range(2):
        with pytest.raises(NotFittedError, match="must transform samples before the number of features is known"):
            extractor.fit(shown).get_feature_names_out()
        X = extractor.transform(shown)
        names = [f"{extractor.name}{k}" for k in range(X.shape[1])]
        assert extractor.get_feature_names_out().tolist() == names
    extractor.set_params(**{"block": 1} if extractor.name == "hog" else {"pooling": 1})
    with pytest.raises(NotFittedError):
        extractor.get_feature_names_out()
    pipeline = make_pipeline(make(), StandardScaler()).set_output(transform="pandas")
    table = pipeline.fit_transform(shown)
    assert list(table.columns) == names
    np.testing.assert_array_equal(table.to_numpy(), StandardScaler().fit_transform(X))


@pytest.mark.parametrize("size", [(0, 5), 7, (3,), (2.5, 2), "8x8"])
def test_a_size_must_be_two_integers(make, size):
    with pytest.raises(ParameterError, match=r"^image_size must be \(height, width\), two integers ≥ 1, got"):
        make(image_size=size).fit(pictures())
