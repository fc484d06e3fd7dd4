"""Shards: only headers are read, and what does not fit is named."""

from __future__ import annotations

import os

import numpy as np
import pytest

import softmargin as sm
from softmargin.engines import make_engine
from softmargin.losses import make_loss
from softmargin.samples import Labelled


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
        ({}, r"must hold shards of one format \(\.npy, \.npz, \.parquet\), got none; give a folder"),
        ({"a": np.ones((0, 3)), "a_y": []}, r"must have rows, got none\."),
        ({"a": np.ones((2, 0)), "a_y": [0, 1]}, r"must hold rows of real numbers in native byte order"),
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


@pytest.mark.parametrize(
    "fitted", [sm.LinearClassifier("hinge", reg=0.01), sm.LinearClassifierCV(["hinge"], regs=[0.1, 0.01])]
)
def test_a_model_of_shards_is_saved(named, tmp_path, fitted):
    shards, X, _ = named
    fitted.set_params(class_weight={"ant": 2.0, "bee": 1.0, "cat": 1.0}).fit(shards, None)
    fitted.to_model(shards).save(tmp_path / "m.safetensors")
    model = sm.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    assert (model.n_samples, model.reg) == (200, fitted.reg_)
    assert model.fingerprint == make_engine("chunked", shards).fingerprint(weighted=False)
    assert bool(model.selection) == isinstance(fitted, sm.LinearClassifierCV)


def test_the_estimator_refuses_what_shards_lack(named):
    shards, _, y = named
    with pytest.raises(sm.ParameterError, match="y and sample_weight must be None for shards"):
        sm.LinearClassifier().fit(shards, y)
    with pytest.raises(sm.ParameterError, match="y and sample_weight must be None for shards"):
        sm.Objective(sm.Hinge(), shards, None, 0.1, np.ones(200))
    with pytest.raises(sm.CapabilityError, match="Shards do not support normalize_rows"):
        sm.LinearClassifier(normalize_rows=True).fit(shards, None)


def test_shards_without_rows_add_nothing(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    save(tmp_path, "1", X, y)
    alone = sm.LinearClassifier(reg=0.1).fit(sm.open_shards(tmp_path), None)
    save(tmp_path, "0", X[:0], y[:0])
    save(tmp_path, "2", X[:0], y[:0].astype(np.str_))
    data = sm.open_shards(tmp_path)
    assert [part.n_rows for part in data.parts] == [0, 60, 0]
    assert data.parts[0].features(slice(0, 0)).shape == (0, 4)
    assert sm.LinearClassifier(reg=0.1).fit(data, None).coef_.tobytes() == alone.coef_.tobytes()


def test_labels_of_several_types(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3))
    save(tmp_path, "0", X, np.repeat([0, 1], 20).astype(np.int8))
    save(tmp_path, "1", X + 1, np.repeat([2.0, 1.0], 20))
    save(tmp_path, "2", X - 1, np.repeat([True, False], 20))
    fitted = sm.LinearClassifier(reg=0.1).fit(sm.open_shards(tmp_path), None)
    np.testing.assert_array_equal(fitted.classes_, [0, 1, 2])
    assert fitted.classes_.dtype == np.int64
    save(tmp_path, "3", X, np.repeat([2**63, 2**63 + 1], 20).astype(np.uint64))  # with int64: equal as float64
    with pytest.raises(sm.DataError, match="must have a common type of integers, got int64 and int8 and uint64"):
        sm.LinearClassifier().fit(sm.open_shards(tmp_path), None)
    save(tmp_path, "3", X, np.repeat(["0", "1"], 20))
    with pytest.raises(sm.DataError, match="must have the same type, numbers or strings, got both"):
        sm.LinearClassifier().fit(sm.open_shards(tmp_path), None)
    save(tmp_path, "3", X, np.repeat([0.5, 1], 20))
    with pytest.raises(sm.DataError, match=r"3_y\.npy row 0: labels must be integers or strings, got 0\.5"):
        sm.LinearClassifier().fit(sm.open_shards(tmp_path), None)


def test_a_shard_of_one_class(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 4)), np.sort(rng.integers(0, 3, 90))
    for k in range(3):
        save(tmp_path, f"{k}", X[y == k], y[y == k])
    check_against_cpu(sm.open_shards(tmp_path), X, y)


def check_against_cpu(shards, X, y, sample_weight=None, class_weight=None, loss="cross_entropy", **options):
    """Check the objective at a point, and the optimum, against the CPU engine on the same rows."""
    options = {"reg": 0.01, "class_weight": class_weight, "tol": 1e-6} | options
    fitted = sm.LinearClassifier(loss, **options).fit(shards, None)
    expected = sm.LinearClassifier(loss, engine="cpu", **options).fit(X, y, sample_weight)
    np.testing.assert_array_equal(fitted.classes_, expected.classes_)
    assert fitted.converged_
    assert fitted.preprocessing_.scaling == expected.preprocessing_.scaling
    np.testing.assert_allclose(fitted.preprocessing_.scale, expected.preprocessing_.scale, rtol=1e-9)
    assert fitted.lower_bound_ <= expected.value_ * (1 + 1e-12)
    assert expected.lower_bound_ <= fitted.value_ * (1 + 1e-12)
    shards, objectives = shards.weighted(class_weight), []
    labelled = Labelled.check(X, y, sample_weight).of_classes(class_weight)
    for data, engine in ((shards, "chunked"), (labelled.samples(class_weight), "cpu")):
        objectives.append(sm.Objective.of(make_loss(loss), data, 0.01, engine=engine))
    rng = np.random.default_rng(1)
    W, b = rng.normal(size=expected.coef_.T.shape), rng.normal(size=len(expected.classes_))
    (value, *gradients), (right, *others) = (one.value_and_grad(W, b) for one in objectives)
    assert value == pytest.approx(right, rel=1e-12)
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    return fitted


@pytest.mark.parametrize(
    "class_weight",
    ["balanced", {"ant": 2.0, "bee": 0.5}, {"ant": 0.0}, {"ant": 1, "bee": 1e-2, "cat": 1, "dog": 9}],
)
def test_class_weights_are_those_of_arrays(named, class_weight):
    shards, X, y = named
    check_against_cpu(shards, X, y, class_weight=class_weight)


def test_the_accuracy_is_that_of_the_given_weights(named):
    shards, X, y = named
    made = make_engine("chunked", shards.weighted({"ant": 5.0, "bee": 0.0}))
    loss, rng = sm.CrossEntropy(), np.random.default_rng(0)
    W, b = rng.normal(size=(4, 2)), np.zeros(2)
    quality, kept = made.quality(loss, W, b, "training"), y != "bee"
    codes = (y[kept] == "cat").astype(int)
    assert quality.accuracy == pytest.approx(((X[kept] @ W + b).argmax(axis=1) == codes).mean())
    assert made.shape.n_active == kept.sum()
    np.testing.assert_array_equal(made.labels, ["ant", "cat"])


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ("even", sm.ParameterError, "class_weight must be a dict or 'balanced', got 'even'"),
        ({"ant": -1}, sm.ParameterError, r"class_weight\['ant'\] must be"),
        ({"wasp": 2}, sm.ParameterError, "class_weight must have only labels of y as keys, got 'wasp'"),
        ({"ant": 0, "bee": 0}, sm.DataError, "at least two classes of positive weight, got only one class, 'cat'"),
        ({"ant": 0, "bee": 0, "cat": 0}, sm.DataError, "at least two classes of positive weight, got none"),
        (
            {"ant": 5e-324, "bee": 1e300},
            sm.DataError,
            "must leave a positive weight for each class, got 0 for 'ant'",
        ),
    ],
)
def test_class_weights_that_are_refused(named, class_weight, error, message):
    with pytest.raises(error, match=message):
        sm.LinearClassifier(class_weight=class_weight).fit(named[0], None)


def test_options_of_tables_and_unknown_files_are_refused(tmp_path):
    save(tmp_path, "a", np.ones((2, 3)), [0, 1])
    for name in ("label_column", "weights_column", "spool"):
        with pytest.raises(
            sm.ParameterError, match=rf"{name}= needs shards that are parquet files, got \.npy files"
        ):
            sm.open_shards(tmp_path, **{name: "a"})
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(
        sm.DataError, match=r"must hold shards of one format \(\.npy, \.npz, \.parquet\), got none"
    ):
        sm.open_shards(tmp_path / "a.csv")
    with pytest.raises(sm.DataError, match=r"nothing\.npy does not exist\."):
        sm.open_shards(tmp_path / "nothing.npy")
    np.savez(tmp_path / "b.npz", X=np.ones((2, 3)))
    with pytest.raises(
        sm.DataError, match=r"got \.npy and \.npz; give a folder or file of one format, or convert it\."
    ):
        sm.open_shards(tmp_path)


def test_a_file_that_was_replaced_is_an_error(tmp_path):
    save(tmp_path, "a", np.ones((2, 3)), np.arange(2))
    data = sm.open_shards(tmp_path)
    np.save(tmp_path / "a_y.npy", np.arange(2.0))
    os.utime(tmp_path / "a_y.npy", ns=(1, 1))
    with pytest.raises(sm.DataError, match=r"a_y\.npy has changed since it was opened; open the shards again\."):
        data.parts[0].labels(slice(0, 2))
    (tmp_path / "a.npy").unlink()
    for read in (data.parts[0].check, lambda: data.parts[0].features(slice(0, 1))):
        with pytest.raises(sm.DataError, match=r"a\.npy cannot be read \(No such file or directory\)"):
            read()
