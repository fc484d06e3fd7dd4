"""The readers: exact results, and one clear error message for everything that cannot be read."""

import contextlib
import hashlib
import io
import mmap
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import softmargin as sm
from softmargin.data import Dataset, load_dataset
from softmargin.data.images import pictures
from softmargin.data.images import pixels as pixel_rows
from softmargin.errors import DataError, ParameterError
from softmargin.preprocessing import unit_rows
from softmargin.selection import content_hashes
from tests.support import refusals
from tests.support.files import Bomb, npy_bytes, pixels, save_image, write_entry


def refused(words, source, error=DataError, **options):
    """Loading fails with one sentence on one line that holds every word."""
    return refusals.refused(lambda: load_dataset(source, **options), *words, error=error)


def only_row(root, **options):
    dataset = load_dataset(root, **options)
    assert dataset.n_samples == 1
    return dataset.X.reshape(dataset.image_shape)


# ---- Dataset ----


def test_fingerprint_is_over_values_types_and_labels_only():
    X = np.arange(12, dtype=np.float16).reshape(4, 3)
    y = np.array([0, 1, 0, 1])
    one = Dataset(X, y, "a").fingerprint()
    assert len(one) == 64
    assert one == Dataset(np.asfortranarray(X), y, "b", notes=("hello",)).fingerprint()
    strided = np.zeros((8, 6), np.float16)
    strided[::2, ::2] = X
    assert one == Dataset(strided[::2, ::2], y, "a").fingerprint()
    others = [
        Dataset(X, None, "a"),
        Dataset(X, y[::-1], "a"),
        Dataset(X, y.astype(np.int32), "a"),
        Dataset(X.astype(np.float32), y, "a"),
        Dataset(X.reshape(6, 2), None, "a"),
        Dataset(X[::-1], y, "a"),
    ]
    assert len({one, *(d.fingerprint() for d in others)}) == 7


def test_fingerprint_is_the_documented_hash_for_any_block_size(monkeypatch):
    X = np.arange(300, dtype=np.uint8).reshape(100, 3)
    whole = hashlib.sha256(b"|u1 (100, 3)" + X.tobytes() + b"none").hexdigest()
    assert Dataset(X, None, "a").fingerprint() == whole
    monkeypatch.setattr("softmargin.data.dataset.FINGERPRINT_BLOCK_BYTES", 7)
    assert Dataset(X, None, "a").fingerprint() == whole


def test_fingerprint_of_no_rows_and_of_strings():
    empty = Dataset(np.empty((0, 3), np.float32), np.array([], np.str_), "e")
    assert len(empty.fingerprint()) == 64
    X = np.ones((2, 1))
    a, b = (Dataset(X, np.array(y), "s").fingerprint() for y in (["a", "é"], ["a", "e"]))
    assert a != b


def test_repr_is_short_and_tells_sizes():
    test = Dataset(np.zeros((2, 4), np.uint8), None, "t")
    dataset = Dataset(
        np.zeros((1000, 4), np.uint8), np.zeros(1000, int), "na\nme", image_shape=(2, 2, 1), test=test
    )
    text = repr(dataset)
    for word in ("na\\nme", "1,000 samples x 4 features", "uint8", "int64", "2x2x1", "test set of 2"):
        assert word in text
    assert len(text) < 200
    assert (dataset.n_samples, dataset.n_features) == (1000, 4)


@pytest.mark.parametrize(
    ("X", "more", "words"),
    [
        (np.zeros(3), {}, ["2-D", "(3,)"]),
        (np.zeros((3, 0)), {}, ["(3, 0)", "feature"]),
        (np.zeros((3, 2), complex), {}, ["complex128", "real numbers"]),
        (np.array([["1"]]), {}, ["<U1", "real numbers"]),
        (np.zeros((3, 2), "M8[s]"), {}, ["datetime64", "real numbers"]),
        (np.zeros((3, 2), object), {}, ["object", "real numbers"]),
        (np.zeros((3, 2)), {"y": np.zeros(4)}, ["3 rows", "(4,)"]),
        (np.zeros((3, 2)), {"ids": ("a",)}, ["3 rows", "1"]),
        (np.zeros((3, 2)), {"image_shape": (2, 2, 1)}, ["(2, 2, 1)", "2 features"]),
        (np.zeros((3, 2)), {"feature_names": ("a",)}, ["feature_names must hold 2 names", "got 1"]),
        (
            np.zeros((3, 2)),
            {"test": Dataset(np.zeros((1, 3)), None, "t")},
            ["test set t must have 2 features", "got 3"],
        ),
    ],
)
def test_dataset_refuses_what_does_not_fit(X, more, words):
    with pytest.raises(DataError) as caught:
        Dataset(**{"X": X, "y": None, "name": "bad", **more})
    for word in ["bad", *words]:
        assert word in str(caught.value)


# ---- sources and options ----


def test_missing_and_unknown_sources_list_the_formats(tmp_path):
    formats = ['"digits"', "folder of images", ".npy", ".npz"]
    refused(["nowhere.npy does not exist", "one of digits, mnist,"], tmp_path / "nowhere.npy")
    (tmp_path / "table.dbf").write_bytes(b"x")
    refused(["table.dbf", "has an unknown format", *formats], tmp_path / "table.dbf")
    (tmp_path / "table.xlsx").write_bytes(b"x")
    refused(["table.xlsx", "has an unknown format", "save it as CSV"], tmp_path / "table.xlsx")
    os.mkfifo(tmp_path / "pipe.npy")
    refused(["pipe.npy", "has an unknown format"], tmp_path / "pipe.npy")
    refused(["does not exist"], "nul\0byte")
    refused(["cannot be read", "too long"], tmp_path / ("x" * 300))
    refused(["name or a path", "ndarray"], np.zeros((2, 2)), ParameterError)
    refused(["source must not be empty"], "", ParameterError)


def test_options_that_do_not_go_with_the_source(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((2, 2)))
    refused(["labels_file=", "digits"], "digits", ParameterError, labels_file="y.npy")
    refused(["image_size=", "X.npy"], tmp_path / "X.npy", ParameterError, image_size=(2, 2))
    for bad in ((2,), (0, 2), 5, (2.5, 2), "ab"):
        refused(["image_size", "height, width"], tmp_path, ParameterError, image_size=bad)
    for bad in (0, -1, 1.5):
        refused(["n_workers"], tmp_path, ParameterError, n_workers=bad)


def test_digits_built_in():
    bunch = load_digits()
    dataset = load_dataset("digits")
    test = dataset.test
    assert dataset.name == "digits"
    assert dataset.X.dtype == np.float32
    assert dataset.y.dtype == np.int64
    assert dataset.image_shape == test.image_shape == (8, 8, 1)
    assert (dataset.n_samples, test.n_samples) == (1442, 355)
    assert dataset.X.min() == 0
    assert dataset.X.max() == 1
    # Every fifth of each class, by counting in a second, independent pass.
    seen, rows = dict.fromkeys(range(10), 0), []
    for row, label in enumerate(bunch.target):
        seen[label] += 1
        if seen[label] % 5 == 0:
            rows.append(row)
    np.testing.assert_array_equal(test.X * 16, bunch.data[rows])
    np.testing.assert_array_equal(test.y, bunch.target[rows])
    np.testing.assert_array_equal(dataset.X * 16, np.delete(bunch.data, rows, axis=0))
    np.testing.assert_array_equal(dataset.y, np.delete(bunch.target, rows))


def test_a_local_folder_takes_precedence_over_the_name_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_dataset("digits").n_features == 64
    mine = save_image(Path("digits/a/1.png"), pixels(2, 3))
    for source in ("digits", "./digits", Path("digits")):
        np.testing.assert_array_equal(only_row(source), mine)


# ---- .npy ----


@pytest.mark.parametrize("dtype", ["u1", "i8", "?", "f2", "f4", "f8"])
def test_npy_stays_mapped_in_its_type(tmp_path, dtype):
    X = np.arange(12).reshape(4, 3).astype(dtype)
    np.save(tmp_path / "table.npy", X)
    dataset = load_dataset(tmp_path / "table.npy")
    assert isinstance(dataset.X, np.memmap)
    assert dataset.X.dtype == np.dtype(dtype)
    assert not dataset.X.flags.writeable
    np.testing.assert_array_equal(dataset.X, X)
    assert (dataset.y, dataset.test, dataset.notes, dataset.name) == (None, None, (), "table")


def test_npy_fortran_order_big_endian_and_no_rows(tmp_path):
    X = np.arange(12, dtype=np.float64).reshape(4, 3)
    np.save(tmp_path / "a.npy", np.asfortranarray(X))
    np.testing.assert_array_equal(load_dataset(str(tmp_path / "a.npy")).X, X)
    np.save(tmp_path / "b.npy", X.astype(">f8"))
    big = load_dataset(tmp_path / "b.npy").X
    assert big.dtype.isnative
    np.testing.assert_array_equal(big, X)
    np.save(tmp_path / "c.npy", X[:0])
    assert load_dataset(tmp_path / "c.npy").X.shape == (0, 3)


def test_npy_versions_two_and_three(tmp_path):
    X = np.arange(6.0).reshape(2, 3)
    for version in ((2, 0), (3, 0)):
        with (tmp_path / "v.npy").open("wb") as stream:
            np.lib.format.write_array(stream, X, version=version)
        np.testing.assert_array_equal(load_dataset(tmp_path / "v.npy").X, X)


def test_npy_images_are_a_flat_view(tmp_path):
    grey, colour = pixels(5 * 4, 3, 1).reshape(5, 4, 3), pixels(5 * 4, 2).reshape(5, 4, 2, 3)
    for array, shape in ((grey, (4, 3, 1)), (colour, (4, 2, 3))):
        np.save(tmp_path / "i.npy", array)
        dataset = load_dataset(tmp_path / "i.npy")
        assert dataset.image_shape == shape
        assert isinstance(dataset.X, np.memmap)
        np.testing.assert_array_equal(dataset.X, array.reshape(5, -1))
    np.save(tmp_path / "i.npy", np.zeros((5, 3, 8, 8), np.uint8))
    refused(["(5, 3, 8, 8)", "transpose(0, 2, 3, 1)"], tmp_path / "i.npy")
    np.save(tmp_path / "i.npy", np.zeros((5, 8, 8), np.float32))
    refused(["(5, 8, 8)", "2-D"], tmp_path / "i.npy")


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        ("X.npy", "y.npy"),
        ("x.npy", "y.npy"),
        ("X_train.npy", "y_train.npy"),
        ("train_X.npy", "train_y.npy"),
        ("birds_X.npy", "birds_y.npy"),
        ("features.npy", "labels.npy"),
        ("embeddings.npy", "labels.npy"),
        ("birds-embeddings.npy", "birds-labels.npy"),
    ],
)
def test_npy_labels_found_beside(tmp_path, features, labels):
    np.save(tmp_path / features, np.zeros((3, 2)))
    np.save(tmp_path / labels, np.array(["b", "a", "b"]))
    dataset = load_dataset(tmp_path / features)
    assert dataset.y.tolist() == ["b", "a", "b"]
    assert dataset.notes == (f"labels read from {labels} beside {features}",)
    unlabelled = load_dataset(tmp_path / features, only_features=True)
    assert (unlabelled.y, unlabelled.notes) == (None, ())


def test_npy_labels_not_found_where_not_obvious(tmp_path):
    np.save(tmp_path / "Xavier.npy", np.zeros((3, 2)))
    np.save(tmp_path / "yavier.npy", np.zeros(3))
    assert load_dataset(tmp_path / "Xavier.npy").y is None


def test_npy_test_part_beside(tmp_path):
    for part, n in (("train", 3), ("test", 2)):
        np.save(tmp_path / f"X_{part}.npy", np.full((n, 2), n))
        np.save(tmp_path / f"y_{part}.npy", np.arange(n))
    dataset = load_dataset(tmp_path / "X_train.npy")
    assert dataset.test.y.tolist() == [0, 1]
    assert dataset.test.X.tolist() == [[2, 2], [2, 2]]
    assert dataset.notes[1] == "test set read from X_test.npy and y_test.npy"
    assert load_dataset(tmp_path / "X_test.npy").test is None
    np.save(tmp_path / "X_test.npy", np.zeros((2, 5)))
    refused(["X_train: test set X_test must have 2 features, got 5"], tmp_path / "X_train.npy")
    (tmp_path / "y_test.npy").unlink()
    assert load_dataset(tmp_path / "X_train.npy").test is None


def test_npy_labels_given(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    np.save(tmp_path / "y.npy", np.zeros(3))
    np.save(tmp_path / "other.npy", np.array([[5], [6], [2**62]]))
    dataset = load_dataset(tmp_path / "X.npy", labels_file=tmp_path / "other.npy")
    assert dataset.y.tolist() == [5, 6, 2**62]
    assert dataset.notes == ()
    refused(["none.npy", "does not exist", "X.npy"], tmp_path / "X.npy", labels_file=tmp_path / "none.npy")
    (tmp_path / "y.csv").write_text("a\n")
    refused(["y.csv", "one label per line"], tmp_path / "X.npy", labels_file=tmp_path / "y.csv")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (b"a\nb\nc\n", ["a", "b", "c"]),
        (b"a\r\nb b\r\nc\r\n", ["a", "b b", "c"]),
        (b"\xef\xbb\xbf1\n-2\n30", [1, -2, 30]),
        (b"007\n1\n2\n", ["007", "1", "2"]),
        ("é\u2028x\nß\n\x0c\n".encode(), ["é\u2028x", "ß", "\x0c"]),
    ],
)
def test_labels_from_text(tmp_path, text, labels):
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    (tmp_path / "l.txt").write_bytes(text)
    y = load_dataset(tmp_path / "X.npy", labels_file=str(tmp_path / "l.txt")).y
    assert y.tolist() == labels
    assert y.dtype.kind == ("i" if isinstance(labels[0], int) else "U")


def test_labels_from_text_that_fail(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    (tmp_path / "l.txt").write_bytes(b"a\nb\n\xff\n")
    refused(["l.txt line 3", "UTF-8"], tmp_path / "X.npy", labels_file=tmp_path / "l.txt")
    (tmp_path / "l.txt").write_bytes(b"")
    refused(["l.txt", "0 labels", "3 rows"], tmp_path / "X.npy", labels_file=tmp_path / "l.txt")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([True, False, True]), [1, 0, 1]),
        (np.array([1.0, -2.0, 2.0**62]), [1, -2, 2**62]),
        (np.array([1, 2, 3], ">i2"), [1, 2, 3]),
        (np.array([0, 1, 2**64 - 1], np.uint64), [0, 1, 2**64 - 1]),
        (np.array([b"a", "é".encode(), b""]), ["a", "é", ""]),
        (np.array(["", "1", "a"]), ["", "1", "a"]),
    ],
)
def test_labels_are_kept_or_converted_to_integers(tmp_path, labels, expected):
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    np.save(tmp_path / "y.npy", labels)
    y = load_dataset(tmp_path / "X.npy").y
    assert y.tolist() == expected
    assert type(y) is np.ndarray
    assert y.dtype.isnative
    assert y.dtype.kind in "iuU"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 0.5, 1]), ["row 1: labels must be integers or strings, got 0.5"]),
        (np.array([0, 1, np.nan]), ["row 2", "got nan"]),
        (np.array([np.inf, 1, 1]), ["row 0", "got inf"]),
        (np.array([1, 2.0**63, 1]), ["row 1: labels must be integers or strings, got 9.2"]),
        (np.zeros((3, 2), int), ["(3, 2)", "(3, 1)"]),
        (np.array(3), ["()", "labels"]),
        (np.zeros(4, int), ["4 labels", "3 rows"]),
        (np.zeros(1, int), ["1 label ", "3 rows"]),
        (np.zeros(3, complex), ["complex128", "integers or strings"]),
        (np.zeros(3, "M8[D]"), ["datetime64", "integers or strings"]),
        (np.array([b"\xff"] * 3), ["UTF-8"]),
    ],
)
def test_labels_refused(tmp_path, labels, words):
    np.save(tmp_path / "X.npy", np.zeros((3, 2)))
    np.save(tmp_path / "y.npy", labels)
    refused(["y.npy", *words], tmp_path / "X.npy")


def test_damaged_npy(tmp_path):
    path = tmp_path / "X.npy"
    X = np.arange(12.0).reshape(4, 3)
    good = npy_bytes(X)
    path.write_bytes(good)
    np.testing.assert_array_equal(load_dataset(path).X, X)
    for content, words in [
        (b"", ["empty"]),
        (b"PK\x03\x04 not", ["does not start with the .npy signature"]),
        (good[:7], ["damaged NumPy header"]),
        (good[:40], ["damaged NumPy header"]),
        (good[:-1], ["is truncated", "96 bytes", "got 95"]),
        (npy_bytes(X, shape=(10**15, 3)), ["is truncated", "got 96"]),
        (npy_bytes(X, shape=(2**62, 2**62)), ["is truncated"]),
        (npy_bytes(X, shape=(-4, 3)), ["damaged NumPy header", "-4"]),
        (npy_bytes(X, descr="|O"), ["Python objects"]),
        (npy_bytes(X, descr="nonsense"), ["damaged NumPy header"]),
        (npy_bytes(X, descr="|S8"), ["real numbers"]),
        (npy_bytes(X, descr=[("a", "<f8")]), ["real numbers"]),
        (npy_bytes(X, shape=(12,)), ["2-D"]),
        (npy_bytes(X, shape=(12, 0)), ["at least one feature"]),
    ]:
        path.write_bytes(content)
        refused(["X.npy", *words], path)
    for position in range(len(good) - X.nbytes):  # one flipped bit anywhere in the header
        flipped = bytearray(good)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with contextlib.suppress(DataError):  # anything else is a failure; a header that still reads is not
            load_dataset(path)


def test_objects_are_never_unpickled(tmp_path):
    objects = np.array([[Bomb(tmp_path / "bang")]], dtype=object)
    np.save(tmp_path / "X.npy", objects, allow_pickle=True)
    refused(["X.npy", "Python objects"], tmp_path / "X.npy")
    np.savez(tmp_path / "a.npz", X=objects)
    refused(["a.npz[X]", "Python objects"], tmp_path / "a.npz")
    np.save(tmp_path / "X.npy", np.zeros((1, 1)))
    np.save(tmp_path / "y.npy", objects[0], allow_pickle=True)
    refused(["y.npy", "Python objects"], tmp_path / "X.npy")
    assert not (tmp_path / "bang").exists()


# ---- .npz ----


@pytest.mark.parametrize("save_npz", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("features", "labels"),
    [
        ("X", "y"),
        ("x", "Y"),
        ("data", "target"),
        ("Features", "targets"),
        ("embeddings", "labels"),
        ("images", "label"),
        ("X_train", "y_train"),
        ("train_X", "train_y"),
        ("train_images", "train_labels"),
    ],
)
def test_npz_names(tmp_path, save_npz, features, labels):
    X = np.arange(6, dtype=np.float16).reshape(3, 2)
    save_npz(tmp_path / "a.npz", **{features: X, labels: np.array([2, 0, 1], np.int16)})
    dataset = load_dataset(tmp_path / "a.npz")
    assert dataset.X.dtype == np.float16
    np.testing.assert_array_equal(dataset.X, X)
    assert dataset.y.tolist() == [2, 0, 1]
    assert (dataset.test, dataset.notes, dataset.name) == (None, (), "a")


def test_npz_with_test_part_classes_and_names(tmp_path):
    arrays = {
        "X_train": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
        "y_train": np.array([[1], [0], [1]], np.uint8),
        "X_test": np.ones((1, 2), ">f4"),
        "y_test": np.array([0.0]),
        "Classes": np.array(["no", "yes"]),
        "feature_names": np.array(["w", "h"]),
        "X_val": np.zeros((1, 2)),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    dataset = load_dataset(tmp_path / "a.npz")
    np.testing.assert_array_equal(dataset.X, arrays["X_train"])
    assert dataset.y.tolist() == ["yes", "no", "yes"]
    assert dataset.test.y.tolist() == ["no"]
    assert dataset.test.X.tolist() == [[1, 1]]
    assert dataset.test.X.dtype.isnative
    assert dataset.feature_names == ("w", "h")
    assert dataset.notes == ("left out of a.npz: x_val",)


def test_npz_images_and_no_labels(tmp_path):
    images = pixels(3 * 4, 5).reshape(3, 4, 5, 3)
    np.savez(tmp_path / "a.npz", images=images)
    dataset = load_dataset(tmp_path / "a.npz")
    assert (dataset.image_shape, dataset.y) == ((4, 5, 3), None)
    np.testing.assert_array_equal(dataset.X, images.reshape(3, -1))
    np.savez(tmp_path / "b.npz", X=np.zeros((0, 3)), y=np.zeros(0, int))
    assert load_dataset(tmp_path / "b.npz").X.shape == (0, 3)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weights": np.zeros((2, 3)), "z": np.zeros(2)}, ["weights (2, 3)", "z (2,)", "X_train"]),
        ({}, ["got no arrays"]),
        ({"X": np.zeros((2, 3)), "data": np.zeros((2, 3))}, ["both x and data"]),
        ({"X": np.zeros((2, 3)), "x_train": np.zeros((2, 3))}, ["both x and x_train"]),
        ({"X": np.zeros((2, 3)), "x": np.zeros((2, 3))}, ["more than one array 'x'"]),
        ({"X": np.zeros((2, 3)), "y": np.zeros(3)}, ["[y]", "3 labels", "2 rows"]),
        ({"X": np.zeros((2, 3)), "y": [0, 0.5]}, ["[y] row 1"]),
        (
            {"X": np.zeros((2, 3)), "y": [0, 2], "classes": ["a", "b"]},
            ["[y] row 1", "label 2 is not an index of the 2 class names"],
        ),
        ({"X": np.zeros((2, 3)), "y": [-1, 0], "classes": ["a", "b"]}, ["[y] row 0", "label -1"]),
        ({"X": np.zeros((2, 3)), "y": [0, 1], "classes": [3, 4]}, ["[classes]", "names"]),
        ({"X": np.zeros(3)}, ["[x]", "2-D"]),
        (
            {"X_train": np.zeros((2, 3)), "y_train": [0, 1], "X_test": np.zeros((1, 4)), "y_test": [0]},
            ["3", "4"],
        ),
    ],
)
def test_npz_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    refused(["a", *words], tmp_path / "a.npz")


def test_damaged_npz(tmp_path):
    path = tmp_path / "a.npz"
    X = np.arange(120.0).reshape(40, 3)
    for content, words in [
        (npy_bytes(X)[:-8], ["a.npz[X]", "is truncated"]),
        (npy_bytes(X, shape=(10**13, 3)), ["a.npz[X]", "is truncated"]),
        (b"hello", ["a.npz[X]", "does not start with the .npy signature"]),
        (b"", ["a.npz[X]", "empty"]),
    ]:
        write_entry(path, content)
        refused(words, path)
    path.write_bytes(b"")
    refused(["a.npz", "empty"], path)
    path.write_bytes(npy_bytes(X))
    refused(["a.npz", "damaged or not a .npz"], path)
    write_entry(path, npy_bytes(X))
    good = path.read_bytes()
    np.testing.assert_array_equal(load_dataset(path).X, X)
    for length in range(1, len(good), 7):
        path.write_bytes(good[:length])
        refused(["a.npz"], path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_flipped_bit_in_npz_is_refused_or_harmless(tmp_path, method):
    path = tmp_path / "a.npz"
    X = np.arange(12.0).reshape(4, 3)
    write_entry(path, npy_bytes(X), method)
    good = path.read_bytes()
    n_refused = 0
    for position in range(len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            np.testing.assert_array_equal(load_dataset(path).X, X)
        except DataError:  # anything else is a failure
            n_refused += 1
    assert n_refused > len(good) / 2


def test_npz_that_claims_more_than_it_can_hold(tmp_path):
    path = tmp_path / "a.npz"
    rows = 10**9
    write_entry(path, npy_bytes(np.zeros((1, 3)), shape=(rows, 3)))
    content = bytearray(path.read_bytes())
    size = struct.pack("<I", 2**32 - 2)  # the declared size of the entry, in the directory at the end
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = size
    path.write_bytes(content)
    refused(["a.npz[X]", "claims 4,294,967,294 bytes"], path)


# ---- folders of images ----


@pytest.mark.parametrize("n_workers", [1, 2])
def test_class_folders_in_order_with_exact_pixels(tmp_path, n_workers, monkeypatch):
    monkeypatch.setattr(pixel_rows, "BATCH_FILES", 2)  # so that both threads have work
    expected = {}
    for n, name in enumerate(["b/2.png", "b/10.png", "b/deep/er/1.bmp", "a/x.png", "C/z.tif", "b/UP.PNG"]):
        expected[name] = save_image(tmp_path / name, pixels(4, 5, seed=n))
    calls = []
    dataset = load_dataset(tmp_path, n_workers=n_workers, progress=lambda *call: calls.append(call))
    order = ["C/z.tif", "a/x.png", "b/10.png", "b/2.png", "b/UP.PNG", "b/deep/er/1.bmp"]
    assert dataset.ids == tuple(order)
    assert dataset.y.tolist() == ["C", "a", "b", "b", "b", "b"]
    assert dataset.X.dtype == np.uint8
    assert dataset.X.flags.c_contiguous
    assert dataset.image_shape == (4, 5, 3)
    for row, name in zip(dataset.X, order, strict=True):
        np.testing.assert_array_equal(row.reshape(4, 5, 3), expected[name])
    assert (dataset.name, dataset.notes, dataset.test) == (tmp_path.name, (), None)
    assert calls[-1] == (6, 6, "decoding images")
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)


def test_train_and_test_folders(tmp_path):
    expected = {
        name: save_image(tmp_path / name, pixels(2, 2, seed=n))
        for n, name in enumerate(["train/a/1.png", "train/b/1.png", "test/a/1.png", "val/a/1.png"])
    }
    dataset = load_dataset(tmp_path)
    assert dataset.ids == ("train/a/1.png", "train/b/1.png")
    assert dataset.y.tolist() == ["a", "b"]
    assert dataset.test.ids == ("test/a/1.png",)
    assert dataset.test.y.tolist() == ["a"]
    for part in (dataset, dataset.test):
        for row, name in zip(part.X, part.ids, strict=True):
            np.testing.assert_array_equal(row, expected[name].reshape(-1))
    assert dataset.notes == (f"left out of {tmp_path.name}: val",)
    assert dataset.X.base is dataset.test.X.base  # one array, no second copy


def test_folders_that_only_look_like_parts(tmp_path):
    for name in ("train/1.png", "plane/1.png"):  # vehicles, not parts
        save_image(tmp_path / "a" / name, pixels(2, 2))
    assert load_dataset(tmp_path / "a").y.tolist() == ["plane", "train"]
    for name in ("train/fast/1.png", "plane/1.png"):
        save_image(tmp_path / "b" / name, pixels(2, 2))
    assert load_dataset(tmp_path / "b").y.tolist() == ["plane", "train"]
    for name in ("train/x/1.png", "train/y/1.png", "test/1.png"):
        save_image(tmp_path / "c" / name, pixels(2, 2))
    dataset = load_dataset(tmp_path / "c")
    assert (dataset.y.tolist(), dataset.test) == (["x", "y"], None)
    assert dataset.notes == ("left out of c: test (no class folders)",)


def test_flat_folder_has_no_labels(tmp_path):
    two, one = (
        save_image(tmp_path / "2.png", pixels(2, 2, 1)),
        save_image(tmp_path / "1.png", pixels(2, 2, 1, seed=1)),
    )
    dataset = load_dataset(tmp_path)
    assert (dataset.y, dataset.ids, dataset.image_shape) == (None, ("1.png", "2.png"), (2, 2, 1))
    np.testing.assert_array_equal(dataset.X, [one.reshape(-1), two.reshape(-1)])


def test_files_that_are_not_images_are_ignored(tmp_path):
    save_image(tmp_path / "a/1.png", pixels(2, 2))
    for name in (
        ".hidden.png",
        "a/.DS_Store",
        "a/Thumbs.db",
        ".git/x/1.png",
        "a/.cache/2.png",
        "desktop.ini",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"junk")
    assert (load_dataset(tmp_path).ids, load_dataset(tmp_path).notes) == (("a/1.png",), ())
    (tmp_path / "a/readme.txt").write_text("hello")
    assert load_dataset(tmp_path).notes == (f"skipped 1 file that is not an image in {tmp_path}",)
    (tmp_path / "labels.csv").write_text("hello")
    os.mkfifo(tmp_path / "a/pipe.png")
    save_image(tmp_path / "loose.png", pixels(9, 9))
    assert load_dataset(tmp_path).notes == (
        f"skipped 3 files that are not images in {tmp_path}",
        f"skipped 1 image beside the class folders in {tmp_path}",
    )


def test_folders_without_images(tmp_path):
    refused([str(tmp_path), "has no images", "0 folders"], tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty one").mkdir()
    refused(["has no images", "1 folder and 1 other file"], tmp_path)
    save_image(tmp_path / "full/1.png", pixels(2, 2))
    refused([f"{tmp_path}/empty one", "has no images"], tmp_path)


def test_links_that_loop(tmp_path):
    root = tmp_path / "root"
    image = save_image(root / "a/1.png", pixels(2, 2))
    save_image(root / "b/1.png", pixels(2, 2, seed=1))
    (root / "a/self").symlink_to(root / "a")
    (root / "a/up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root)
    (root / "b/other").symlink_to(root / "a")
    (root / "b/nowhere.png").symlink_to(root / "gone.png")
    (root / "b/me.png").symlink_to(root / "b/me.png")
    dataset = load_dataset(root)
    assert dataset.ids == ("a/1.png", "b/1.png", "b/other/1.png")
    np.testing.assert_array_equal(dataset.X[2], image.reshape(-1))
    assert dataset.notes == (f"skipped 2 files that are not images in {root}",)


def test_strange_names(tmp_path):
    names = ["with space", "quote'\"", "new\nline", "<script>", "ünï", os.fsdecode(b"\xff\xfe"), "-x", "*"]
    for n, name in enumerate(names):
        save_image(tmp_path / name / f"{name}.png", pixels(2, 2, seed=n))
    for n_workers in (1, 2):
        dataset = load_dataset(tmp_path, n_workers=n_workers)
        assert dataset.y.tolist() == sorted(names)
        assert dataset.ids == tuple(f"{name}/{name}.png" for name in sorted(names))
        for label, row in zip(dataset.y, dataset.X, strict=True):
            np.testing.assert_array_equal(row, pixels(2, 2, seed=names.index(label)).reshape(-1))
    assert len(dataset.fingerprint()) == 64
    (tmp_path / "new\nline" / "new\nline.png").write_bytes(b"junk")
    refused(["new\\nline.png", "not an image"], tmp_path)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("n_grey", [1, 5])
def test_grey_becomes_colour_only_if_some_file_is(tmp_path, n_grey, n_workers, monkeypatch):
    monkeypatch.setattr(pixel_rows, "BATCH_FILES", 2)
    grey = [save_image(tmp_path / f"a/{n}.png", pixels(2, 2, 1, seed=n)) for n in range(n_grey)]
    dataset = load_dataset(tmp_path, n_workers=n_workers)
    assert dataset.image_shape == (2, 2, 1)
    np.testing.assert_array_equal(dataset.X, [g.reshape(-1) for g in grey])
    colour = save_image(tmp_path / "b/1.png", pixels(2, 2))
    dataset = load_dataset(tmp_path, n_workers=n_workers)
    assert dataset.image_shape == (2, 2, 3)
    np.testing.assert_array_equal(dataset.X[:-1], [np.repeat(g.reshape(-1), 3) for g in grey])
    np.testing.assert_array_equal(dataset.X[-1], colour.reshape(-1))


def test_channels_are_decided_over_both_parts(tmp_path):
    save_image(tmp_path / "train/a/1.png", pixels(2, 2, 1))
    save_image(tmp_path / "test/a/1.png", pixels(2, 2, 3))
    dataset = load_dataset(tmp_path)
    assert dataset.image_shape == dataset.test.image_shape == (2, 2, 3)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 128, 129, 257], [32768, 65278, 65407, 65535]], np.uint16)
    for name in ("16.png", "16.tif"):
        save_image(tmp_path / name / "a" / name, values)
        expected = np.rint(values / 257).astype(np.uint8)
        np.testing.assert_array_equal(only_row(tmp_path / name)[:, :, 0], expected)
    assert expected.max() == 255


def test_one_bit_and_palette(tmp_path):
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    save_image(tmp_path / "one/1.png", bits)
    np.testing.assert_array_equal(only_row(tmp_path / "one")[:, :, 0], [[0, 255], [255, 0]])
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for name in ("1.png", "1.gif"):
        save_image(tmp_path / name / name, palette)
        rows = [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]
        np.testing.assert_array_equal(only_row(tmp_path / name), rows)


def test_alpha_is_composited_over_white(tmp_path):
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 100, 255, 51]]], np.uint8)
    save_image(tmp_path / "rgba/1.png", rgba)
    expected = [[[255, 255, 255], [10, 20, 30], [204, 224, 255]]]  # 0.2 * colour + 0.8 * 255
    np.testing.assert_array_equal(only_row(tmp_path / "rgba"), expected)
    grey = Image.fromarray(np.array([[[10, 0], [10, 255], [100, 51]]], np.uint8), "LA")
    save_image(tmp_path / "la/1.png", grey)
    np.testing.assert_array_equal(only_row(tmp_path / "la"), [[[255], [10], [224]]])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    save_image(tmp_path / "p/1.png", palette, transparency=0)
    np.testing.assert_array_equal(only_row(tmp_path / "p"), [[[255, 255, 255], [40, 50, 60]]])


def test_cmyk(tmp_path):
    cmyk = Image.new("CMYK", (2, 1), (0, 255, 255, 0))  # red
    save_image(tmp_path / "t/1.tif", cmyk)
    np.testing.assert_array_equal(only_row(tmp_path / "t"), [[[255, 0, 0]] * 2])
    save_image(tmp_path / "j/1.jpg", cmyk, quality=100)
    assert np.abs(only_row(tmp_path / "j").astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path, orientation, suffix):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # a white mark at the upper left
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, 1)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, -1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, 1),
    }[undo]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix == "jpg" else {}
    save_image(tmp_path / f"a/1.{suffix}", np.ascontiguousarray(turned), exif=exif, **options)
    row = only_row(tmp_path)
    assert row.shape == upright.shape
    assert np.abs(row.astype(int) - upright).max() <= 8


def test_one_pixel_and_first_frame(tmp_path):
    save_image(tmp_path / "one/1.png", pixels(1, 1))
    np.testing.assert_array_equal(only_row(tmp_path / "one"), pixels(1, 1))
    frames = [Image.fromarray(pixels(3, 2, seed=n)) for n in range(2)]
    save_image(tmp_path / "two/1.tif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(only_row(tmp_path / "two"), pixels(3, 2, seed=0))


def bytes_of(array, kind):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("position", [0, 3])
def test_damaged_images_are_named(tmp_path, n_workers, position, monkeypatch):
    monkeypatch.setattr(pixel_rows, "BATCH_FILES", 1)
    for n in range(6):
        save_image(tmp_path / f"a/{n}.png", pixels(20, 20))
    bad = tmp_path / f"a/{position}.png"
    png, jpeg = bytes_of(pixels(20, 20), "PNG"), bytes_of(pixels(20, 20), "JPEG")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 16
    for content, words in [
        (b"", ["file is empty"]),
        (b"hello", ["not an image"]),
        (png[: len(png) // 2], ["damaged or truncated"]),
        (jpeg[: len(jpeg) // 2], ["damaged or truncated"]),
        (bytes(flipped), ["damaged or truncated"]),
    ]:
        bad.write_bytes(content)
        refused([str(bad), *words], tmp_path, n_workers=n_workers)


def test_the_first_problem_in_order_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_rows, "BATCH_FILES", 1)
    for n in range(12):
        save_image(tmp_path / f"{n:02}.png", pixels(2, 2))
    for n in (7, 8, 11):
        (tmp_path / f"{n:02}.png").write_bytes(b"junk")
    for n_workers in (1, 2, 5):
        refused(["07.png"], tmp_path, n_workers=n_workers)


def test_images_without_a_fixed_range(tmp_path):
    save_image(tmp_path / "f/1.tif", np.zeros((2, 2), np.float32))
    refused(["1.tif", "floating-point", "8 bits"], tmp_path / "f")
    save_image(tmp_path / "i/1.tif", np.full((2, 2), 70000, np.int32))
    refused(["1.tif", "more than 16 bits"], tmp_path / "i")


@pytest.mark.parametrize("limit", [300, 150])  # Pillow warns beyond its limit and refuses beyond twice that
def test_enormous_image(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    save_image(tmp_path / "a/1.png", pixels(20, 20))
    refused(["1.png", "too large", str(limit)], tmp_path)


def test_unreadable_image_is_named(tmp_path, monkeypatch):
    save_image(tmp_path / "a/1.png", pixels(2, 2))
    save_image(tmp_path / "a/2.png", pixels(2, 2))
    real_open = open

    def fails(file, *rest):
        if str(file).endswith("2.png"):
            raise PermissionError(13, "Permission denied", file)
        return real_open(file, *rest)

    monkeypatch.setattr("softmargin.data.images.pictures.open", fails, raising=False)
    refused(["2.png", "cannot be read", "Permission denied"], tmp_path)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_mixed_sizes(tmp_path, n_workers):
    save_image(tmp_path / "a/1.png", pixels(4, 6))
    save_image(tmp_path / "b/2.png", pixels(5, 7))
    words = ["a/1.png is 4x6", "b/2.png is 5x7", "image_size=(H, W)", "--image-size HxW"]
    refused(words, tmp_path, n_workers=n_workers)
    dataset = load_dataset(tmp_path, image_size=(3, 2), n_workers=n_workers)
    assert dataset.image_shape == (3, 2, 3)
    for row, (height, width) in zip(dataset.X, [(4, 6), (5, 7)], strict=True):
        expected = Image.fromarray(pixels(height, width)).resize((2, 3), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(row.reshape(3, 2, 3), np.asarray(expected))


def test_resizing_to_its_own_size_changes_nothing(tmp_path):
    save_image(tmp_path / "1.png", pixels(4, 6))
    np.testing.assert_array_equal(only_row(tmp_path, image_size=(4, 6)), pixels(4, 6))
    save_image(tmp_path / "1.png", np.full((9, 7, 3), 77, np.uint8))
    np.testing.assert_array_equal(only_row(tmp_path, image_size=(4, 6)), np.full((4, 6, 3), 77))


# ---- threads ----


def many(folder, n=20):
    for i in range(n):
        save_image(folder / f"{i:03}.png", pixels(2, 2, seed=i))
    return np.array([pixels(2, 2, seed=i).reshape(-1) for i in range(n)])


@pytest.fixture
def threads(monkeypatch):
    """The number of threads after each image that is decoded; the number before is put first."""
    counts = [threading.active_count()]
    decode_one = pictures.decode

    def record(*arguments):
        counts.append(threading.active_count())
        return decode_one(*arguments)

    monkeypatch.setattr(pictures, "decode", record)
    monkeypatch.setattr(pixel_rows, "BATCH_FILES", 1)
    return counts


def test_interrupt_stops_early_and_leaves_no_thread(tmp_path, threads):
    many(tmp_path, 200)

    def interrupt(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(tmp_path, n_workers=2, progress=interrupt)
    assert len(threads) < 150
    assert threading.active_count() == threads[0]


def test_no_thread_is_left_after_success_or_error(tmp_path, threads):
    expected = many(tmp_path)
    np.testing.assert_array_equal(load_dataset(tmp_path, n_workers=3).X, expected)
    assert max(threads) > threads[0]
    assert threading.active_count() == threads[0]
    (tmp_path / "010.png").write_bytes(b"junk")
    refused(["010.png"], tmp_path, n_workers=3)
    assert threading.active_count() == threads[0]


def test_ctrl_c_ends_the_program_at_once(tmp_path):
    """Pressed while threads decode: the status is that of an interrupt, and no child is there to be left."""
    for k in range(400):
        save_image(tmp_path / "images" / f"{k:03}.png", pixels(200, 200, seed=k % 7))
    program = (
        "import os, signal, softmargin.data\n"
        "def pressed(done, total, what):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "softmargin.data.load_dataset('images', n_workers=2, progress=pressed)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.count("Traceback") == 1


def test_warning_filters_are_restored(tmp_path):
    many(tmp_path)
    before = list(warnings.filters)
    load_dataset(tmp_path, n_workers=2)
    assert warnings.filters == before


# -- mapped files that change -------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    """Return a file of two hundred rows, what it holds as `load_dataset` maps it, and labels."""
    X = np.random.default_rng(0).standard_normal((200, 512))
    np.save(tmp_path / "X.npy", X)
    return tmp_path / "X.npy", load_dataset(tmp_path / "X.npy").X, np.arange(200) % 3


def test_a_truncated_mapped_file_is_an_error(mapped):
    """Without the check, reading a row beyond the end would kill the process (SIGBUS)."""
    file, X, y = mapped
    objective = sm.Objective(sm.Hinge(), X, y, 0.1, engine="cpu")
    W, b = np.zeros((512, 3)), np.zeros(3)
    model = (
        sm.LinearClassifier("squared_hinge", reg=1.0).fit(np.array(X), y).to_model(Dataset(np.array(X), y, "X"))
    )
    copied = pickle.loads(pickle.dumps(objective))
    before = objective.value(W, b)
    os.truncate(file, 4096)
    for work in (
        lambda: objective.value_and_grad(W, b),
        lambda: objective.problem()[0].fingerprint(),
        lambda: unit_rows(X),
        lambda: content_hashes(X),
        lambda: sm.Objective(sm.Hinge(), X, y, 0.1, engine="reference"),
        lambda: sm.minimize(objective),
        lambda: sm.LinearClassifier().fit(X, y),
        lambda: model.predict(X),
        lambda: Dataset(X, y, "X").fingerprint(),
    ):
        with pytest.raises(DataError) as caught:
            work()
        assert str(caught.value) == (f"{file} was truncated while in use: expected 819,328 bytes, got 4,096.")
    assert copied.value(W, b) == before  # what was sent elsewhere is a copy


def test_a_mapped_file_that_is_replaced_stays(mapped):
    file, X, y = mapped
    W, b = np.random.default_rng(1).standard_normal((512, 3)), np.zeros(3)
    objective = sm.Objective(sm.Hinge(), X, y, 0.1, engine="cpu")
    before = objective.value(W, b)
    os.replace(shutil.copy(file, file.parent / "new.npy"), file)
    assert objective.value(W, b) == before


def test_shared_memory_is_not_a_file():
    shared = mmap.mmap(-1, 9600)
    X = np.ndarray((300, 4), float, buffer=shared)
    X[:] = np.random.default_rng(0).standard_normal(X.shape)
    y = np.arange(300) % 3
    assert sm.minimize(sm.Objective(sm.SquaredHinge(), X, y, 0.1, engine="reference")).converged
