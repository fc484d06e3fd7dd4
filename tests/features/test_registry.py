"""Extractors by the words of the command line, and from the records in model files."""

from __future__ import annotations

import numpy as np
import pytest

from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.features import HOG, Backbone, KMeansPatches, Pixels, SentenceEncoder, from_record, make_extractor
from softmargin.features.registry import EXTRACTORS
from tests.support.networks import network

DIGEST = "ab" * 32
BACKBONE = {
    "name": "backbone",
    "version": 1,
    "content": DIGEST,
    "path": "none.onnx",
    "settings": {
        "input": "pixels", "output": "features", "pool": "none", "image_size": [6, 8], "resize": 9,
        "interpolation": "bicubic", "rescale": 1.0, "mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0],
        "channel_order": "RGB",
    },
}  # fmt: skip
TEXTS = {
    "name": "text_backbone",
    "version": 1,
    "content": DIGEST,
    "path": "none.onnx",
    "settings": {"output": "x", "pool": "mean", "max_tokens": 7},
}
PIXELS = {"name": "pixels", "version": 1, "content": "", "settings": {"image_size": [6, 8], "channels": None}}
SENTENCE = {"name": "sentence", "version": 1, "content": DIGEST, "path": "x", "settings": {"max_tokens": None}}


def test_words():
    made = make_extractor("pixels", image_size=(3, 4))
    assert isinstance(made, Pixels)
    assert made.image_size == (3, 4)
    made = make_extractor("kmeans:70", image_size=(8, 8))
    assert isinstance(made, KMeansPatches)
    assert (made.n_centroids, made.image_size, made.mirror) == (70, (8, 8), True)
    assert not make_extractor("kmeans:7:plain").mirror
    assert isinstance(make_extractor("kmeans"), KMeansPatches)
    assert isinstance(make_extractor("hog"), HOG)
    made = make_extractor("st:some/NAME:with-colon")
    assert isinstance(made, SentenceEncoder)
    assert made.model == "some/NAME:with-colon"


UNKNOWN = ("", "pixel", "pixels:3", "pixels:", "hog:2", "kmeans:", "kmeans:x", "kmeans:-1", "kmeans:²", "st:",
           "kmeans::plain", "st", "backbone", "sentence", "model.pt", None, 7)  # fmt: skip


@pytest.mark.parametrize("word", UNKNOWN)
def test_words_that_are_unknown(word):
    with pytest.raises(
        ParameterError,
        match=r"^features must be one of pixels, hog, kmeans, kmeans:K, kmeans:K:plain, FILE\.onnx, st:NAME",
    ):
        make_extractor(word)


@pytest.mark.parametrize(
    ("word", "options", "name"),
    [
        ("pixels", {"pool": "mean"}, "pool"),
        ("st:x", {"pool": "mean"}, "pool"),
        ("st:x", {"image_size": (3, 4)}, "image_size"),
    ],
)
def test_options_that_do_not_apply(word, options, name):
    with pytest.raises(ParameterError, match=f"^{name} does not apply to features '{word}'; leave it out\\.$"):
        make_extractor(word, **options)


def test_files(tmp_path):
    pytest.importorskip("onnx", reason="the package onnx (the extra backbone) is not installed")
    with pytest.raises(DataError, match=r"none\.onnx must be an ONNX file, got no file of this name"):
        make_extractor(str(tmp_path / "none.onnx"))
    path = network(tmp_path, "UPPER.ONNX")
    assert isinstance(make_extractor(str(path)), Backbone)


@pytest.mark.parametrize("record", [BACKBONE, TEXTS, PIXELS, SENTENCE], ids=lambda record: record["name"])
def test_records_are_restored(record, tmp_path):
    made = from_record(record, {"x": np.ones(2)} if record is PIXELS else {}, tmp_path)
    assert type(made) is EXTRACTORS[record["name"]]
    assert made.record() == record


HOSTILE = (None, [], {}, "", "x", -1, 0, 1.5, True, float("nan"), 1 << 70, [1], [1, 2, 3], [0, 5], ["a", "b"],
           [[1, 2], 3], [1, 10**9], {"a": 1})  # fmt: skip


@pytest.mark.parametrize("record", [BACKBONE, TEXTS, PIXELS, SENTENCE], ids=lambda record: record["name"])
def test_hostile_records_are_refused_or_make_an_extractor(record, tmp_path):
    def attempt(changed):
        try:
            from_record(changed, {}, tmp_path).record()
        except ModelFileError as error:
            return "\n" in f"{error}"
        return True

    for value in HOSTILE:
        assert not attempt(value)
        for key in ("name", "version", "content", "settings"):
            if value not in (record[key], {}):
                accepted = attempt(record | {key: value})
                assert not accepted or (key == "content" and record is PIXELS), (key, value)
        for key in record["settings"]:
            attempt(record | {"settings": record["settings"] | {key: value}})
        assert not attempt(record | {"settings": record["settings"] | {"more": value}})
        assert not attempt(record | {"settings": record["settings"] | {"path": value}})
    for key in record:
        attempt({name: value for name, value in record.items() if name != key})
    if "path" in record:
        assert not attempt(record | {"path": 3})
        assert not attempt(record | {"path": "a\0b"})
        assert not attempt(record | {"content": DIGEST.upper()})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("pool", ["auto", "x", 3, None, ["cls"]]),
        ("image_size", [None, 0, [0, 8], [6], [6, 8, 3], "68", [6, 10**9], [6.5, 8]]),
        ("resize", [None, 5, [5, 8], 10**9, "9", [9]]),
        ("interpolation", [None, "x", 3]),
        ("rescale", [None, "x", float("inf"), [1]]),
        ("mean", [None, "abc", [1, 2], [1, 2, float("nan")], {"a": 1}]),
        ("std", [None, 0, [1, 0, 1], [1, -1, 1]]),
        ("channel_order", [None, "GRB", 3]),
        ("input", [None, 3, ["x"]]),
        ("output", [None, 3, ["x"]]),
    ],
)
def test_settings_of_a_backbone_that_are_refused(key, values, tmp_path):
    for value in values:
        with pytest.raises(ModelFileError, match=r"^The extractor backbone "):
            from_record(BACKBONE | {"settings": BACKBONE["settings"] | {key: value}}, {}, tmp_path)
    rest = {name: value for name, value in BACKBONE["settings"].items() if name != key}
    with pytest.raises(ModelFileError, match=r"^The extractor backbone "):
        from_record(BACKBONE | {"settings": rest}, {}, tmp_path)


def test_another_version(tmp_path):
    with pytest.raises(ModelFileError, match="in the version of this package, got 'backbone' in version 99"):
        from_record(BACKBONE | {"version": 99}, {}, tmp_path)
    with pytest.raises(ModelFileError, match=r"extractor must be one of pixels, .* got 'other'"):
        from_record(BACKBONE | {"name": "other"}, {}, tmp_path)
