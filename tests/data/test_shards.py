"""Shards: only headers are read, and what does not fit is named."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm


def save(folder, name, X, y=None):
    np.save(folder / f"{name}.npy", X)
    if y is not None:
        np.save(folder / f"{name}_y.npy", y)


def test_shards_are_opened_in_the_order_of_their_names(tmp_path):
    for k in (10, 2):
        save(tmp_path, f"part-{k}", np.full((k, 3), k, np.float32), np.array(["a", "b"] * (k // 2)))
    data = sm.open_shards(tmp_path)
    assert [part.n_rows for part in data.parts] == [2, 10]
    assert (data.n_samples, data.n_features, data.dtype) == (12, 3, np.float32)
    assert data.parts[1].row_bytes == 12
    assert isinstance(data.parts[1].features(slice(4, 6)).base, np.memmap)
    np.testing.assert_array_equal(data.parts[1].features(slice(4, 6)), np.full((2, 3), 10))
    np.testing.assert_array_equal(data.parts[0].labels(slice(1, 2)), ["b"])
    copied = sm.open_shards(tmp_path, mapped=False).parts[1].features(slice(4, 6))
    assert copied.flags.writeable
    dataset = sm.load_dataset(tmp_path)  # the same files, in memory
    np.testing.assert_array_equal(dataset.X, np.repeat([2.0, 10.0], [2, 10])[:, None] * np.ones(3))
    np.testing.assert_array_equal(dataset.y, ["a", "b"] * 6)


def test_one_file_and_pictures_are_read_too(tmp_path):
    np.save(tmp_path / "X_train.npy", np.arange(24, dtype=np.uint8).reshape(4, 2, 3))
    np.save(tmp_path / "y_train.npy", np.arange(4) % 2)
    np.save(tmp_path / "X_test.npy", np.zeros((2, 2, 3), np.uint8))
    np.save(tmp_path / "y_test.npy", np.arange(2))
    for source in (tmp_path / "X_train.npy", str(tmp_path)):
        data = sm.open_shards(source)
        assert (data.n_samples, data.n_features) == (4, 6)
        np.testing.assert_array_equal(data.parts[0].features(slice(2, 3)), [np.arange(12, 18)])


def test_a_fit_from_files_is_that_of_arrays(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 4)), rng.integers(0, 3, 90)
    for k, rows in enumerate(np.array_split(np.arange(90), 4)):
        save(tmp_path, f"{k}", X[rows], y[rows])
    for engine in ("auto", "chunked"):
        fit = sm.minimize(sm.Objective(sm.SquaredHinge(), sm.open_shards(tmp_path), None, 0.1, engine=engine))
        expected = sm.minimize(sm.Objective(sm.SquaredHinge(), X, y, 0.1))
        assert fit.converged
        assert fit.lower_bound <= expected.value * (1 + 1e-12)
        assert expected.lower_bound <= fit.value * (1 + 1e-12)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"must hold \.npy files of features, got none"),
        ({"a": np.ones((2, 3))}, r"a\.npy must have a file of labels beside it, a_y\.npy\."),
        ({"a": np.ones((2, 3)), "a_y": np.ones(3)}, r"a_y\.npy must hold 2 labels, got shape \(3,\)\."),
        ({"a": np.array(["x", "y"]), "a_y": [0, 1]}, r"a\.npy must hold rows of real numbers"),
        ({"a": np.ones((2, 3), ">f8"), "a_y": [0, 1]}, r"in native byte order, got >f8 of shape \(2, 3\)\."),
        (
            {"a": np.ones((2, 3)), "a_y": [0, 1], "b": np.ones((2, 3), np.float32), "b_y": [0, 1]},
            r"b\.npy must have 3 features of type float64 like .*a\.npy, got 3 of type float32\.",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, files, message):
    for name, array in files.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(sm.DataError, match=message):
        sm.open_shards(tmp_path)


@pytest.fixture
def named(tmp_path):
    """Shards with strings as labels and columns of different scales, and their rows together."""
    rng = np.random.default_rng(0)
    y = np.array(["ant", "bee", "cat"])[rng.integers(0, 3, 200)]
    X = (rng.normal(size=(200, 4)) + (y == "bee")[:, None]) * [1.0, 1.0, 1.0, 1e4]
    for k, rows in enumerate(np.array_split(np.arange(200), 3)):
        save(tmp_path, f"{k}", X[rows], y[rows])
    return sm.open_shards(tmp_path), X, y


def test_the_estimator_takes_shards(named):
    shards, X, y = named
    fitted, expected = sm.LinearClassifier(reg=0.01).fit(shards, None), sm.LinearClassifier(reg=0.01).fit(X, y)
    assert fitted.converged_
    assert fitted.preprocessing_.scaling == expected.preprocessing_.scaling == "standard"
    np.testing.assert_array_equal(fitted.classes_, ["ant", "bee", "cat"])
    assert fitted.n_features_in_ == 4
    assert abs(fitted.value_ - expected.value_) <= 1e-4 * expected.value_
    assert fitted.score(X, y) == pytest.approx(expected.score(X, y), abs=0.02)


def test_the_estimator_refuses_what_shards_lack(named):
    shards, _, y = named
    with pytest.raises(sm.ParameterError, match="y and sample_weight must be None for shards"):
        sm.LinearClassifier().fit(shards, y)
    for options in ({"class_weight": "balanced"}, {"normalize_rows": True}):
        with pytest.raises(sm.CapabilityError, match="Shards support neither class_weight nor normalize_rows"):
            sm.LinearClassifier(**options).fit(shards, None)
