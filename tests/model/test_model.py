"""The model and its file: exact on the way out and back, refused with one bit wrong, always whole."""

import dataclasses
import errno
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import threadpoolctl

import softmargin
from softmargin.errors import CapabilityError, DataError, ModelFileError, ParameterError
from softmargin.io.atomic import write_atomically
from softmargin.io.safetensors import encode_record
from softmargin.losses import LOSSES, Hinge, SmoothedHinge, SquaredHinge
from softmargin.model import Model, load_model
from softmargin.preprocessing import SCALINGS, Preprocessing, constant_columns, scale_for
from tests.support.files import names
from tests.support.models import model, same
from tests.support.refusals import one_sentence

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links, permissions and kill -9")
HOSTILE = ("Katze", "</script>", "a\"b'c\\", "two\nlines\t", "ßあ🐈", "", "\udcff.jpg")
HISTORY = {name: [0.5, 1 / 3] for name in ("n_passes", "seconds", "lower_bound", "estimate")} | {
    "value": ["inf", 1.0]
}


def refused(path, *words, error=ModelFileError):
    with pytest.raises(error) as caught:
        load_model(path)
    one_sentence(caught.value, path.name, *words)


# ---- round trip ----


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        (np.array(HOSTILE), np.dtype("<U10")),
        (np.array(HOSTILE, dtype=object), np.dtype("<U10")),
        (np.array(["wide", "r"], dtype=">U40"), np.dtype("<U4")),
        (np.array([-(2**62), -1, 0, 2**62, 2**63 - 1, -(2**63)]), np.dtype(np.int64)),
        (np.array([2**64 - 1, 0, 3], dtype=np.uint64), np.dtype(np.uint64)),
        (np.array([3, 250], dtype=np.uint8), np.dtype(np.uint64)),
        (np.array([5, -7], dtype=">i2"), np.dtype(np.int64)),
        (np.array([False, True]), np.dtype(np.bool_)),
        (np.array([-0.1, 1e300, 2.0]), np.dtype(np.float64)),
    ],
)
def test_classes_come_back_exactly(tmp_path, classes, dtype):
    saved = model(classes=classes)
    assert saved.classes.dtype == dtype
    assert saved.classes.tolist() == classes.tolist()
    saved.save(tmp_path / "m")
    assert same(load_model(tmp_path / "m"), saved)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_and_every_field_come_back_exactly(tmp_path, name):
    loss = LOSSES[name]() if name == "cross_entropy" else LOSSES[name](delta=0.1 + 0.2)
    W = np.array([[0.0, -0.0], [5e-324, -1.7976931348623157e308], [1 / 3, np.pi]] * 4)
    saved = model(
        D=12,
        classes=(0, 1),
        W=W,
        loss=loss,
        lower_bound=-np.inf,
        gap=np.inf,
        converged=False,
        image_shape=(2, 2, 3),
        image_size=(2, 2),
        feature_names=tuple(f"pixel {HOSTILE[d % 7]} {d}" for d in range(12)),
        data_name="photos <of> \N{SNOWMAN}",
        versions={"softmargin": "9.9"},
        history=HISTORY,
        selection={"rule": "best", "regs": (np.float64(0.1), np.inf), "folds": np.arange(3), "loss": None},
    )
    assert saved.selection == {"rule": "best", "regs": [0.1, "inf"], "folds": [0, 1, 2], "loss": None}
    saved.save(tmp_path / "m")
    assert same(load_model(tmp_path / "m"), saved)
    assert load_model(tmp_path / "m").loss == loss


def test_defaults_say_what_made_the_model_and_when(tmp_path):
    bare = {f.name: getattr(model(), f.name) for f in dataclasses.fields(Model)}
    made = Model(**{name: bare[name] for name in bare if name not in ("versions", "created")})
    assert made.versions["softmargin"] == softmargin.__version__
    assert made.created.endswith("+00:00")
    made.save(tmp_path / "m")
    assert same(load_model(tmp_path / "m"), made)


def test_file_is_deterministic_and_plain_safetensors(tmp_path):
    saved = model(classes=HOSTILE)
    for name in "ab":
        saved.save(tmp_path / name)
    load_model(tmp_path / "a").save(tmp_path / "c")
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    tensors = safetensors.numpy.load(content)
    assert sorted(tensors) == ["W", "b", "preprocessing.mean", "preprocessing.scale"]
    np.testing.assert_array_equal(tensors["W"], saved.W)
    np.testing.assert_array_equal(tensors["preprocessing.scale"], saved.preprocessing.scale)
    with safetensors.safe_open(tmp_path / "a", framework="numpy") as file:
        metadata = file.metadata()
    assert sorted(metadata) == ["format", "sha256", "softmargin"]
    assert json.loads(metadata["softmargin"]) == saved.metadata()


def test_metadata_is_json_without_the_weights():
    metadata = model(gap=np.inf, loss=Hinge(delta=2.0)).metadata()
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    assert metadata["gap"] == "inf"
    assert metadata["loss"] == {"name": "hinge", "parameters": {"delta": 2.0}}
    assert (metadata["n_features"], metadata["n_classes"]) == (5, 3)
    assert metadata["classes"] == ["cat", "dog", "owl"]
    assert not {"W", "b"} & set(metadata)


def test_a_model_owns_its_arrays():
    W = np.ones((5, 3))
    made = model(W=W)
    W[0] = 7.0
    assert made.W.max() == 1.0
    for array in (made.W, made.b, made.classes, *made.preprocessing[1:3]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"W": np.ones(5)}, DataError, "shape"),
        ({"W": np.ones((5, 1))}, DataError, "W must have shape (D ≥ 1, C ≥ 2), got (5, 1)"),
        ({"W": np.full((5, 3), np.nan)}, DataError, "W must be finite, got NaN"),
        ({"b": np.ones(4)}, DataError, "b must have shape (3,) to match W, got (4,)"),
        ({"b": np.array([1.0, np.inf, 0.0])}, DataError, "infinite"),
        ({"preprocessing": Preprocessing("none", np.zeros(4), np.ones(5))}, DataError, "mean"),
        ({"classes": np.array(["a", "b", "a"])}, DataError, "classes must be unique, got a repeated"),
        ({"classes": np.array(["a", "b"]), "W": np.ones((5, 3)), "b": np.ones(3)}, DataError, "(2,)"),
        ({"classes": np.array(["a", 1, None], dtype=object)}, DataError, "object"),
        (
            {"image_shape": (2, 2, 1)},
            DataError,
            "image_shape must have 5 elements, one per feature, got (2, 2, 1)",
        ),
        ({"feature_names": ("a",)}, DataError, "feature_names must have 5 names, one per feature, got 1"),
        ({"loss": SmoothedHinge()}, ParameterError, "SmoothedHinge"),
        ({"selection": {"when": {1, 2}}}, ParameterError, "set"),
        ({"selection": [1]}, ParameterError, "selection must be a dict"),
        ({"history": [1]}, ParameterError, "history must be a dict of the lists n_passes"),
        ({"history": {"value": [1.0]}}, ParameterError, "history must be a dict of the lists n_passes"),
        (
            {"history": HISTORY | {"value": [1.0]}},
            ParameterError,
            "history must contain lists of equal length, got [0.5",
        ),
        ({"history": HISTORY | {"value": [1.0, "x"]}}, ParameterError, "history['value'] must contain numbers"),
        ({"reg": "much"}, ParameterError, "reg must be a number, got 'much'"),
        ({"reg": -1.0}, ParameterError, "reg must be a finite number ≥ 0, got -1.0"),
        ({"tol": np.inf}, ParameterError, "tol must be a finite number ≥ 0, got inf"),
        ({"gap": np.nan}, ParameterError, "gap must be a number ≥ 0, got nan"),
        ({"converged": True}, ParameterError, "converged must be False for gap=1e+308 and tol=0.0001"),
        ({"gap": 1e-5}, ParameterError, "converged must be True for gap=1e-05 and tol=0.0001, got False"),
        ({"converged": 1}, ParameterError, "converged must be True or False, got 1"),
        ({"n_passes": 7.5}, ParameterError, "n_passes must be an integer ≥ 0, got 7.5"),
        ({"n_samples": -1}, ParameterError, "n_samples must be an integer ≥ 0"),
        ({"fingerprint": 7}, ParameterError, "fingerprint must be a string"),
        ({"versions": {"numpy": 2}}, ParameterError, "versions must be a dict of strings"),
        ({"image_shape": (5, 1)}, ParameterError, "image_shape must be a tuple of 3 integers, got (5, 1)"),
        ({"image_shape": (5, 1, 1.0)}, ParameterError, "image_shape[2] must be an integer ≥ 1"),
        ({"image_size": 5}, ParameterError, "image_size must be a tuple of 2 integers, got 5"),
        ({"feature_names": (1, 2, 3, 4, 5)}, ParameterError, "feature_names must be strings, got (1, 2, 3, 4, 5)"),
        ({"preprocessing": Preprocessing("auto", np.zeros(5), np.ones(5))}, ParameterError, "scaling"),
    ],
)
def test_invalid_fields(changes, error, word):
    with pytest.raises(error) as caught:
        model(**changes)
    one_sentence(caught.value, word)


# ---- damaged files ----


def test_every_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "m"
    model(D=1, classes=("é", "b"), selection={"a": [0.5]}).save(path)
    content = path.read_bytes()
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(content):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                with pytest.raises(ModelFileError):
                    load_model(path)
            os.pwrite(file.fileno(), bytes([byte]), place)
    load_model(path)


def test_flipped_bits_of_a_large_model_are_refused(tmp_path):
    """``SOFTMARGIN_FLIPS=10000`` makes it the full run."""
    path = tmp_path / "m"
    model(D=3072, classes=range(100)).save(path)
    rng, size = np.random.default_rng(0), path.stat().st_size
    with open(path, "r+b", buffering=0) as file:
        for place in rng.integers(0, size, int(os.environ.get("SOFTMARGIN_FLIPS", "40"))).tolist():
            byte = os.pread(file.fileno(), 1, place)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << int(rng.integers(8))]), place)
            with pytest.raises(ModelFileError):
                load_model(path)
            os.pwrite(file.fileno(), bytes([byte]), place)
    load_model(path)


def test_every_truncation_and_any_extension_is_refused(tmp_path):
    path = tmp_path / "m"
    model(D=1, classes=(0, 1)).save(path)
    content = path.read_bytes()
    for tail in (b"\0", b"\0" * 8, content):
        path.write_bytes(content + tail)
        refused(path, "damaged")
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        refused(path, "empty" if length == 0 else "damaged")


def rewritten(content, change):
    """Return the file with a changed header, as a program that knows the format might write it."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = json.dumps(change(header) or header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def test_the_same_content_under_another_header_is_refused(tmp_path):
    path = tmp_path / "m"
    model().save(path)
    path.write_bytes(rewritten(path.read_bytes(), lambda header: None))
    refused(path, "damaged")


def forged(path, saved, change):
    """Write the file that a program would write which knows the format, checksum and all, but not what it says."""
    metadata = saved.metadata()
    tensors = {
        "W": saved.W,
        "b": saved.b,
        "preprocessing.mean": saved.preprocessing.mean,
        "preprocessing.scale": saved.preprocessing.scale,
    }
    text = change(metadata, tensors)
    path.write_bytes(b"".join(encode_record(text if isinstance(text, str) else json.dumps(metadata), tensors)))


def put(**entries):
    return lambda metadata, tensors: metadata.update(entries)


def test_an_honest_forgery_is_a_model(tmp_path):
    forged(tmp_path / "m", model(), lambda metadata, tensors: None)
    assert same(load_model(tmp_path / "m"), model())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(reg="much"), ["reg must be a number, got 'much'"]),
        (put(reg="0.5"), ["reg must be a number, got '0.5'"]),
        (put(reg=None), ["reg must be a number, got None"]),
        (put(reg="nan"), ["reg must be a finite number ≥ 0, got nan"]),
        (put(reg=-0.5), ["reg must be a finite number ≥ 0, got -0.5"]),
        (put(reg=1), ["Invalid model file", "reg must be 1.0, got 1."]),
        (put(reg=True), ["reg must be 1.0, got True."]),
        (put(value=[1.0]), ["value must be a number, got [1.0]"]),
        (put(value=10**400), ["value must be a number"]),
        (put(gap=-1.0), ["gap must be a number ≥ 0, got -1.0"]),
        (put(gap="nan"), ["gap must be a number ≥ 0, got nan"]),
        (put(seconds="inf"), ["seconds must be a finite number ≥ 0, got inf"]),
        (put(converged=True), ["converged must be False for gap=1e+308 and tol=0.0001, got True"]),
        (put(gap=1e-9), ["converged must be True for gap=1e-09 and tol=0.0001, got False"]),
        (put(converged="yes"), ["converged must be True or False, got 'yes'"]),
        (put(converged=0), ["converged must be True or False, got 0"]),
        (put(n_passes="7"), ["n_passes must be an integer ≥ 0, got '7'"]),
        (put(n_passes=7.0), ["n_passes must be an integer ≥ 0, got 7.0"]),
        (put(n_samples=-3), ["n_samples must be an integer ≥ 0"]),
        (put(n_features=6), ["n_features must be 5, got 6"]),
        (put(n_classes="3"), ["n_classes must be 3, got '3'"]),
        (put(fingerprint=None), ["fingerprint must be a string"]),
        (put(created=2024), ["created must be a string"]),
        (put(data_name=["digits"]), ["data_name must be a string"]),
        (put(versions="1.0"), ["versions must be a dict of strings"]),
        (put(selection=None), ["selection must be a dict"]),
        (put(history=None), ["history must be a dict"]),
        (put(image_shape="511"), ["image_shape must be a tuple of 3 integers, got '511'"]),
        (put(image_shape=[5, 1]), ["image_shape must be a tuple of 3 integers, got [5, 1]"]),
        (put(image_shape=[5, 1, -1]), ["image_shape[2] must be an integer ≥ 1"]),
        (put(image_shape=[5, 1, 2]), ["image_shape must have 5 elements, one per feature, got (5, 1, 2)"]),
        (put(image_size={"height": 5}), ["image_size must be a tuple of 2 integers"]),
        (put(feature_names=[1, 2, 3, 4, 5]), ["feature_names must be strings"]),
        (put(feature_names=["a"]), ["feature_names must have 5 names, one per feature, got 1"]),
        (put(feature_names="abcde"), ["feature_names must have 5 names, one per feature, got 0"]),
        (put(scaling="robust"), ["scaling must be one of 'none', 'pixel', 'standard', got 'robust'"]),
        (put(scaling=None), ["scaling must be one of 'none', 'pixel', 'standard', got None"]),
        (put(classes=[1, 2, 3]), ["classes must be ['1', '2', '3'], got [1, 2, 3]"]),
        (put(classes=["1", "2", "3"], classes_kind="int"), ["classes must be [1, 2, 3], got ['1'"]),
        (put(classes=[1.5, 2.5, 3.5], classes_kind="int"), ["classes must be [1, 2, 3], got [1.5"]),
        (put(classes=["a", "b"]), ["classes must be 3"]),
        (put(classes=["a", "b", "a"]), ["repeated"]),
        (put(loss="hinge"), ["loss must have a name and parameters, got 'hinge'"]),
        (put(loss={"name": "hinge"}), ["loss must have a name and parameters, got"]),
        (
            put(loss={"name": "hinge", "parameters": {"delta": -1.0}}),
            ["delta must be a finite number ≥ 1e-100, got -1.0"],
        ),
        (put(loss={"name": "hinge", "parameters": {"delta": "1"}}), ["delta"]),
        (put(comment="\N{SNOWMAN}" * 99), ["Invalid model file", "unknown entry 'comment'."]),
        (lambda metadata, tensors: metadata.pop("n_passes") and None, ["the entry 'n_passes' is missing"]),
        (lambda metadata, tensors: metadata.pop("tol") and None, ["the entry 'tol' is missing"]),
        (lambda metadata, tensors: metadata.pop("history") and None, ["the entry 'history' is missing"]),
        (put(rows="odd"), ["rows must be one of 'none', 'l2', got 'odd'"]),
        (lambda metadata, tensors: "[1]", ["expected an object with entry names, got [1]"]),
        (lambda metadata, tensors: tensors.pop("b") is None, ["Invalid model file", "the tensor 'b' is missing"]),
        (lambda metadata, tensors: tensors.update(extra=np.ones(3)), ["unknown tensor 'extra'"]),
        (
            lambda metadata, tensors: tensors.update(W=np.ones((5, 4))),
            ["b must have shape (4,) to match W, got (3,)"],
        ),
        (lambda metadata, tensors: tensors.update(W=np.full((5, 3), np.nan)), ["W must be finite, got NaN"]),
    ],
)
def test_an_invalid_file_with_a_valid_checksum_is_refused_and_named(tmp_path, change, words):
    forged(tmp_path / "m", model(), change)
    refused(tmp_path / "m", *words)


@pytest.mark.parametrize(
    "change",
    [
        put(classes_kind="complex"),
        put(classes_kind=[1]),
        put(classes=[["a"], "b", "c"]),
        put(loss={"name": "hinge", "parameters": [1]}),
        put(loss={"name": "hinge", "parameters": {"gamma": 1.0}}),
        lambda metadata, tensors: "not JSON",
    ],
)
def test_other_invalid_metadata_is_refused(tmp_path, change):
    forged(tmp_path / "m", model(), change)
    refused(tmp_path / "m")


@pytest.mark.parametrize("number", ["2", "10"])
def test_newer_format(tmp_path, number):
    path = tmp_path / "m"
    model().save(path)
    path.write_bytes(rewritten(path.read_bytes(), lambda header: header["__metadata__"].update(format=number)))
    refused(path, f"format {number}", "newer softmargin")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "file"
    tensors = {"W": np.ones((2, 2))}
    npy = io.BytesIO()
    np.save(npy, np.ones(100))
    for content in (
        safetensors.numpy.save(tensors),
        safetensors.numpy.save(tensors, metadata={"format": "pt"}),
        npy.getvalue(),
        b"\x80\x04\x95" + b"\0" * 50,
        b"some text that is long enough to be a file",
    ):
        path.write_bytes(content)
        refused(path, "is not a softmargin model")
    for content in (b"{", b"\0" * 8, b"\0" * 8 + b"{", b"\xff" * 8 + b"{}", b"\2" + b"\0" * 7 + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ModelFileError):
            load_model(path)
    text = b"[" * 100_000
    path.write_bytes((len(text) + 1).to_bytes(8, "little") + b"{" + text)
    refused(path, "damaged")


def test_a_loss_of_the_future(tmp_path, monkeypatch):
    path = tmp_path / "m"
    monkeypatch.setitem(LOSSES, "smoothed_hinge", SmoothedHinge)
    model(loss=SmoothedHinge(1.0, 2.0)).save(path)
    assert load_model(path).loss == SmoothedHinge(1.0, 2.0)
    monkeypatch.delitem(LOSSES, "smoothed_hinge")
    refused(path, "smoothed_hinge", "newer softmargin")


def test_missing_file_folder_and_odd_names(tmp_path):
    refused(tmp_path / "nothing", "does not exist")
    refused(tmp_path, "folder")
    for path in (tmp_path / "two\nlines\udcff" / "m", tmp_path / "null\0"):
        with pytest.raises(ModelFileError) as caught:
            load_model(path)
        one_sentence(caught.value, "does not exist")
        with pytest.raises(ModelFileError) as caught:
            model().save(path)
        one_sentence(caught.value, "could not be saved")


# ---- saving ----


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda content: [bytearray(content), b""]])
def test_any_bytes_can_be_written(tmp_path, kind):
    write_atomically(tmp_path / "m", kind(b"content"))
    assert (tmp_path / "m").read_bytes() == b"content"


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("reason", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_save_that_fails_changes_nothing(tmp_path, monkeypatch, call, reason):
    path = tmp_path / "m"
    old = model(seed=1)
    old.save(path)

    def fail(*arguments, **options):
        raise reason

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ModelFileError if isinstance(reason, OSError) else KeyboardInterrupt) as caught:
        model(seed=2).save(path)
    if isinstance(reason, OSError):
        one_sentence(caught.value, str(path), "No space left", "unchanged")
    monkeypatch.undo()
    assert names(tmp_path) == ["m"]
    assert same(load_model(path), old)


def test_disk_full_in_the_middle_of_the_data(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def pieces():
        yield b"x" * 1_000_000
        assert len(names(tmp_path)) == 2
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write_atomically(path, pieces())
    assert names(tmp_path) == ["f"]
    assert path.read_bytes() == b"old"


@posix
def test_a_pipe_is_written_to_and_never_replaced(tmp_path):
    # Our own pipe stands for every device: failing as root, this test must not replace anybody's /dev/null.
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        model().save(path)
        received = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["pipe"]
    (tmp_path / "m").write_bytes(received)
    assert same(load_model(tmp_path / "m"), model())
    refused(path, "a folder or a device")


def test_missing_folder_and_a_folder_as_the_target(tmp_path):
    for path in (tmp_path / "no" / "m", tmp_path):
        with pytest.raises(ModelFileError) as caught:
            model().save(path)
        one_sentence(caught.value, str(path), "could not be saved")
    assert names(tmp_path) == []


@posix
def test_symbolic_links_stay_links(tmp_path):
    (tmp_path / "real").mkdir()
    path, link, dangling = tmp_path / "real" / "m", tmp_path / "link", tmp_path / "dangling"
    path.write_bytes(b"old")
    link.symlink_to(path)
    dangling.symlink_to(tmp_path / "real" / "new")
    for target in (link, dangling):
        model().save(target)
        assert target.is_symlink()
    assert same(load_model(path), model())
    assert names(tmp_path / "real") == ["m", "new"]
    assert names(tmp_path) == ["dangling", "link", "real"]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions(tmp_path, umask):
    path = tmp_path / "m"
    before = os.umask(umask)
    try:
        model().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        path.chmod(0o640)
        model().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_kept(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(ModelFileError, match="Permission denied"):
        model().save(path)
    assert path.read_bytes() == b"old"


def test_names_that_leave_no_room_for_more(tmp_path):
    for name in ("x" * 255, "あ" * 85):
        write_atomically(tmp_path / name, b"content")
    assert len(names(tmp_path)) == 2


@posix
def test_a_living_writer_loses_nothing_to_another(tmp_path):
    path = tmp_path / "f"

    def pieces():
        yield b"first "
        write_atomically(path, b"second")
        assert path.read_bytes() == b"second"
        yield b"writer"

    write_atomically(path, pieces())
    assert path.read_bytes() == b"first writer"
    assert names(tmp_path) == ["f"]


def test_only_our_litter_is_removed(tmp_path):
    ours, others = tmp_path / f".f.{'0' * 16}.tmp", [f".f.{'0' * 15}.tmp", ".f.backup", ".g.0.tmp", "f.tmp"]
    for name in [ours.name, *others]:
        (tmp_path / name).write_bytes(b"")
    write_atomically(tmp_path / "f", b"")
    expected = {*others, "f"} | ({ours.name} if os.name == "nt" else set())
    assert set(names(tmp_path)) == expected


KILLS = """
import os, random, signal, sys, time, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.support.files import names
from tests.support.models import model, same
from softmargin.model import load_model

warnings.simplefilter("ignore")  # fork beside the idle threads of BLAS
folder = Path(sys.argv[2])
path = folder / "m"
models = [model(D=400, classes=range(40), seed=seed) for seed in range(2)]
models[0].save(path)

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def run(child, delay=None):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(1)
    if delay is not None:
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    loaded = load_model(path)
    assert any(loaded.W.tobytes() == each.W.tobytes() for each in models)

for call in ("chmod", "fsync", "replace"):
    def child():
        setattr(os, call, die)
        models[1].save(path)
    run(child)
    assert load_model(path).W.tobytes() == models[0].W.tobytes()
    assert len(names(folder)) == 2, names(folder)  # the litter of this kill, none of those before

def child():
    while True:
        for each in models:
            each.save(path)

random.seed(0)
for _ in range(int(os.environ.get("SOFTMARGIN_KILLS", "30"))):
    run(child, delay=random.uniform(0.001, 0.03))
models[1].save(path)
assert names(folder) == ["m"]
assert same(load_model(path), models[1])
"""


@posix
def test_kill_9_at_any_moment_leaves_a_whole_file(tmp_path):
    """``SOFTMARGIN_KILLS=150`` makes it the full run."""
    here = Path(__file__).parents[2]
    source = Path(softmargin.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(source)}
    command = [sys.executable, "-c", KILLS, str(here), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# ---- preprocessing ----


def test_fold_gives_the_same_scores_and_unfold_is_its_inverse():
    rng = np.random.default_rng(0)
    X, W, b = rng.normal(3.0, 2.0, (20, 6)), rng.standard_normal((6, 4)), rng.standard_normal(4)
    scale = np.array([1.0, -2.0, 1e-3, 1e3, 0.5, 0.0])
    made = Preprocessing("standard", X.mean(axis=0), scale)
    W_raw, b_raw = made.fold(W, b)
    expected = (X - made.mean) * scale @ W + b
    size = np.abs(X) @ np.abs(W_raw) + np.abs(made.mean) @ np.abs(W_raw) + np.abs(b)
    assert (np.abs(X @ W_raw + b_raw - expected) <= 20 * np.finfo(float).eps * size).all()
    W_back, b_back = made.unfold(W_raw, b_raw)
    np.testing.assert_allclose(W_back[:5], W[:5], rtol=1e-15)
    np.testing.assert_array_equal(W_back[5], 0.0)
    np.testing.assert_allclose(b_back, b, atol=1e-12 * np.abs(made.mean @ W_raw).max())


def moments(X):
    X = X.astype(np.float64)
    return X.var(axis=0), constant_columns(X.mean(axis=0), X.var(axis=0), len(X) * np.finfo(float).eps)


def test_auto_unit_and_none():
    idle = np.ones(3), np.zeros(3, bool)
    for dtype, name, factor in [
        (np.uint8, "pixel", 1 / 255),
        (np.uint16, "none", 1.0),
        (np.float16, "none", 1.0),
        (np.bool_, "none", 1.0),
    ]:
        resolved, scale = scale_for("auto", dtype, *idle)
        assert resolved == name
        np.testing.assert_array_equal(scale, np.full(3, factor))
    for dtype in (np.uint16, ">u2"):
        assert scale_for("pixel", dtype, *idle)[1].tolist() == [1 / 65535] * 3
    assert scale_for("none", np.uint8, *idle)[1].tolist() == [1.0] * 3


def test_standard_leaves_constant_columns_as_they_are():
    rng = np.random.default_rng(0)
    X = rng.normal(5.0, [3.0, 1e-6, 1.0, 1.0, 1.0], (1000, 5))
    X[:, 2], X[:, 3], X[:, 4] = 0.1, 0.0, 1e9 / 3
    variance, constant = moments(X)
    assert variance[2] > 0.0 or variance[4] > 0.0  # rounding alone, which must not be scaled up
    name, scale = scale_for("standard", X.dtype, variance, constant)
    assert name == "standard"
    np.testing.assert_array_equal(scale[2:], 1.0)
    np.testing.assert_allclose((X * scale)[:, :2].std(axis=0), 1.0, rtol=1e-9)
    for factor in (1e-150, 1e150):
        np.testing.assert_allclose(scale_for("standard", X.dtype, *moments(X * factor))[1][:2] * factor, scale[:2])


@pytest.mark.parametrize(
    ("scaling", "dtype", "words"),
    [
        ("pixel", np.float32, ["float32"]),
        ("pixel", np.int8, ["int8"]),
        ("minmax", np.uint8, ["minmax", *SCALINGS]),
    ],
)
def test_wrong_scalings(scaling, dtype, words):
    with pytest.raises(ParameterError) as caught:
        scale_for(scaling, dtype, np.ones(2), np.zeros(2, bool))
    one_sentence(caught.value, *words)


# ---- scores ----


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.int64, np.float64, np.bool_, ">f4", ">i2"])
@pytest.mark.parametrize("D", [5, 70_000])  # one block; blocks of 16 rows, the last one ragged
def test_scores_are_those_of_the_float64_copy(tmp_path, dtype, D):
    rng = np.random.default_rng(0)
    made = model(D=D)
    X = rng.integers(0, 250, (37, D)).astype(dtype)
    wide = X.astype(np.float64)
    expected = wide @ made.W + made.b
    bound = D * np.finfo(float).eps * (np.abs(wide) @ np.abs(made.W) + np.abs(made.b))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    backwards = np.ascontiguousarray(X[::-1])[::-1]
    strided = np.repeat(X, 2, axis=1)[:, ::2]
    for form in (X, mapped, backwards, strided, np.asfortranarray(X)):
        scores = made.scores(form)
        assert scores.dtype == np.float64
        assert (np.abs(scores - expected) <= bound).all()
    assert made.predict(mapped).tolist() == made.classes[expected.argmax(axis=1)].tolist()


def test_results_do_not_depend_on_threads():
    made = model(D=3000, classes=range(64))
    X = np.random.default_rng(0).random((1100, 3000), dtype=np.float32)
    one = made.scores(X, n_threads=1)
    for n_threads in (1, 2):
        with threadpoolctl.threadpool_limits(n_threads, user_api="blas"):
            assert made.scores(X).tobytes() == one.tobytes()
    for n_threads in (2, 3, None):
        assert made.scores(X, n_threads=n_threads).tobytes() == one.tobytes()
    assert made.predict(X, n_threads=2).tolist() == made.classes[one.argmax(axis=1)].tolist()
    with pytest.raises(ParameterError, match="n_threads"):
        made.scores(X, n_threads=0)


def test_no_float_copy_of_the_features_is_made():
    import tracemalloc

    made = model(D=1000)
    X = np.ones((40_000, 1000), dtype=np.uint8)
    tracemalloc.start()
    try:
        made.predict(X, n_threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes  # a float64 copy would take eight times that


def test_predict_gives_labels_and_the_first_of_equal_scores():
    made = model(D=2, W=np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), b=np.array([0.0, 0.5, 0.0]))
    assert made.predict([[1, 0], [0, 1], [0, 0]]).tolist() == ["cat", "dog", "dog"]
    assert made.predict([[2, 1]]).tolist() == ["cat"]
    numbered = model(D=2, classes=(-5, 2**62), W=np.eye(2), b=np.zeros(2))
    assert numbered.predict([[0, 1]]).tolist() == [2**62]
    assert numbered.predict([[0, 1]]).dtype == np.int64


def test_empty_input_gives_empty_results():
    X = np.empty((0, 5), dtype=np.float32)
    assert model().scores(X).shape == (0, 3)
    assert model().predict_proba(X).shape == (0, 3)
    assert model().predict(X).shape == (0,)
    assert model().predict(X).dtype == model().classes.dtype


def test_probabilities_only_from_cross_entropy():
    X = np.random.default_rng(0).standard_normal((9, 5))
    p = model().predict_proba(X)
    expected = np.exp(model().scores(X))
    np.testing.assert_allclose(p, expected / expected.sum(axis=1, keepdims=True), rtol=1e-13)
    for loss in (Hinge(), SquaredHinge()):
        with pytest.raises(CapabilityError) as caught:
            model(loss=loss).predict_proba(X)
        one_sentence(caught.value, "Probabilities need the loss 'cross_entropy'", f"got the {loss.title} without")


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros((4, 6)), ["(4, 6)", "(N, 5)"]),
        (np.zeros(5), ["(5,)", "two-dimensional", "one row per sample"]),
        (np.zeros((0, 4)), ["(0, 4)"]),
        (np.zeros((2, 5), dtype=complex), ["complex"]),
        (np.array([["1"] * 5]), ["<U1"]),
        (np.array([[1, 2, 3, 4, None]]), ["None in row 0, column 4"]),
        ([[1, 2, 3, 4, 5], [1]], ["different lengths"]),
        (np.ma.array(np.zeros((2, 5)), mask=True), ["masked"]),
    ],
)
def test_wrong_features(X, words):
    for method in (model().scores, model().predict, model().predict_proba):
        with pytest.raises(DataError) as caught:
            method(X)
        one_sentence(caught.value, *words)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_nan_and_inf_are_named_with_their_place_and_number(dtype, n_threads):
    X = np.ones((40, 70_000), dtype=dtype)  # blocks of 16 rows
    X[37, 2], X[38, 0], X[20, 69_999] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError) as caught:
        model(D=70_000, W=np.zeros((70_000, 3))).predict(X, n_threads)
    one_sentence(caught.value, "X contains infinity (-inf) in row 20, column 69999, and 2 more.")
    named = model(feature_names=("a", "b", "weight\n", "d", "e"))
    with pytest.raises(DataError) as caught:
        named.scores(np.array([[1, 2, np.nan, 4, 5]], dtype=dtype))
    one_sentence(caught.value, "X contains NaN in row 0, column 2 (weight\\n).")


def test_scores_that_overflow_are_no_scores():
    X = np.ones((30, 5))
    X[17] = 1e300
    with pytest.raises(DataError) as caught:
        model(W=np.full((5, 3), 1e200)).predict(X)
    one_sentence(caught.value, "Scores of X overflow in row 17; scale X as in training.")


@pytest.mark.parametrize("n_threads", [0, 1.5, "2", True])
def test_threads_are_a_whole_number(n_threads):
    with pytest.raises(ParameterError) as caught:
        model().scores(np.zeros((2, 5)), n_threads=n_threads)
    one_sentence(caught.value, "n_threads must be", repr(n_threads))
