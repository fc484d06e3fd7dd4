"""Backbones for pictures: tiny networks against plain NumPy, the same bits in any order, and their files."""

from __future__ import annotations

import copy
import hashlib
import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone

from softmargin.errors import CapabilityError, DataError, ModelFileError, ParameterError
from softmargin.features import Backbone, from_record, make_extractor
from softmargin.features.given import as_inputs
from tests.support.networks import CONFIG, graph, network, numbers, pictures, positions

pytest.importorskip("onnx", reason="the package onnx (the extra backbone) is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime (the extra backbone) is not installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def expected(pixels, output, pool, dtype):
    x = pixels.astype(np.float64) if dtype == "u1" else numbers(pixels)
    rows = positions(x).reshape(-1, 5)
    return {"none": rows.mean(axis=0), "mean": rows.mean(axis=0), "max": rows.max(axis=0), "cls": rows[0]}[pool]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f2", "u1"])
@pytest.mark.parametrize(
    ("output", "pool"),
    [
        ("pooled", "auto"),
        ("tokens", "auto"),
        ("tokens", "mean"),
        ("tokens", "max"),
        ("maps", "auto"),
        ("maps", "max"),
    ],
)
@pytest.mark.parametrize("fixed", [{}, {"batch": 3, "size": (6, 8)}])
def test_every_kind_of_network(tmp_path, channels_last, dtype, output, pool, fixed):
    config = CONFIG | {"do_rescale": False, "do_normalize": False} if dtype == "u1" else CONFIG
    path = network(tmp_path, config=config, channels_last=channels_last, dtype=dtype, output=output, **fixed)
    X = Backbone(path, pool=pool).transform(pictures())
    assert X.dtype == np.float16
    used = {"pooled": "none", "tokens": "cls", "maps": "mean"}[output] if pool == "auto" else pool
    wanted = [expected(pixels, output, used, dtype) for pixels in pictures()]
    # one rounding to float16, and float16 inputs and outputs of the network
    np.testing.assert_allclose(
        X, wanted, rtol=2**-11 * (4 if dtype == "f2" else 1.01), atol=2**-7 if dtype == "f2" else 1e-6
    )


def test_pictures_of_any_size_are_resized(tmp_path):
    """A picture of one colour keeps it, whatever its size is."""
    path = network(tmp_path)
    colour = np.full((6, 8, 3), [10, 120, 250], np.uint8)
    large = np.full((40, 31, 3), [10, 120, 250], np.uint8)
    X = Backbone(path).transform([colour, large])
    np.testing.assert_array_equal(X[0], X[1])
    np.testing.assert_allclose(X[0], positions(numbers(colour[0, 0])), rtol=2**-11, atol=1e-6)


def test_the_same_bits_in_any_order_and_for_any_number_of_threads(tmp_path):
    path = network(tmp_path, output="tokens")
    many = pictures(40, size=(9, 7))
    first = Backbone(path, pool="mean").extract(as_inputs(many, "pictures"), cache=False, n_threads=1).X
    for n_threads in (1, 2, 5):
        again = Backbone(path, pool="mean")
        X = again.extract(as_inputs(many[::-1], "pictures"), cache=False, n_threads=n_threads).X
        assert X[::-1].tobytes() == first.tobytes()
    one = Backbone(path, pool="mean").extract(as_inputs(many[7:8], "pictures"), cache=False).X
    assert one.tobytes() == first[7:8].tobytes()


def test_the_cache_serves_the_same_network_with_the_same_preprocessing(tmp_path):
    inputs = as_inputs(pictures(5), "pictures")
    path = network(tmp_path)
    first = Backbone(path).extract(inputs)
    assert first.n_cached == 0
    for same in (Backbone(path), Backbone(path, output="features", rescale=1 / 255), Backbone(str(path))):
        again = same.extract(inputs)
        assert again.n_cached == 5
        assert again.X.tobytes() == first.X.tobytes()
    assert Backbone(path, std=0.25).extract(inputs).n_cached == 0
    network(tmp_path, bias=np.ones(5, np.float32))
    assert Backbone(path).extract(inputs).n_cached == 0


def test_outputs_and_inputs_by_name(tmp_path):
    from onnx import helper

    def made(**outputs):
        values = [helper.make_tensor_value_info(name, 1, shape) for name, shape in outputs.items()]
        extra = [helper.make_node("Identity", ["maps"], ["last_hidden_state"]),
                 helper.make_node("Neg", ["features"], ["minus"])]  # fmt: skip
        model = graph(extra=extra, outputs=values)
        model.graph.input.append(helper.make_tensor_value_info("unused", 1, ["n", 3, "h", "w"]))
        (tmp_path / "several.onnx").write_bytes(model.SerializeToString())
        return tmp_path / "several.onnx"

    plain = Backbone(network(tmp_path)).transform(pictures())
    maps = ["n", 5, "h", "w"]
    path = made(minus=["n", 5], features=["n", 5], last_hidden_state=maps)
    with pytest.raises(
        DataError, match="one input for pictures, got 'pixels', 'unused'; choose one with input=NAME"
    ):
        Backbone(path).prepare()
    named = {"input": "pixels"}
    assert Backbone(path, output="features", **named).transform(pictures()).tobytes() == plain.tobytes()
    np.testing.assert_array_equal(Backbone(path, output="minus", **named).transform(pictures()), -plain)
    assert Backbone(path, **named).record()["settings"]["output"] == "features", "a usual name is preferred"
    assert Backbone(path, pool="max", **named).record()["settings"]["output"] == "last_hidden_state"
    both = made(minus=["n", 5], means=["n", 5, 1, 1])
    assert Backbone(both, **named).record()["settings"]["output"] == "minus", "the pooled output is preferred"
    twice = [helper.make_tensor_value_info(name, 1, ["n", 5]) for name in ("one", "two")]
    extra = [helper.make_node("Neg", ["features"], [name]) for name in ("one", "two")]
    (tmp_path / "several.onnx").write_bytes(graph(extra=extra, outputs=twice).SerializeToString())
    with pytest.raises(DataError, match="several outputs, 'one', 'two'; choose one with output=NAME"):
        Backbone(path).prepare()
    with pytest.raises(ParameterError, match="output must be one of 'one', 'two', got 'three'"):
        Backbone(path, output="three").prepare()
    with pytest.raises(ParameterError, match="input must be one of 'pixels', got 'x'"):
        Backbone(path, input="x").prepare()


@pytest.mark.parametrize(
    ("output", "pool", "message"),
    [
        ("pooled", "mean", "pool must be 'none' for the output 'features' of 2 axes, got 'mean'"),
        ("maps", "cls", "pool must be 'mean' or 'max' for the output 'features' of 4 axes, got 'cls'"),
        ("tokens", "none", "of 3 axes, got 'none'"),
        ("tokens", "average", "pool must be one of 'auto', 'none', 'cls', 'mean', 'max', got 'average'"),
    ],
)
def test_a_pooling_that_does_not_apply(tmp_path, output, pool, message):
    with pytest.raises(ParameterError, match=message):
        Backbone(network(tmp_path, output=output), pool=pool).prepare()


def test_large_features_stay_in_float32(tmp_path):
    X = Backbone(network(tmp_path, bias=np.full(5, 70_000, np.float32))).transform(pictures())
    assert X.dtype == np.float32
    assert X.min() > 65_504


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_features_that_are_not_finite(tmp_path, number):
    backbone = Backbone(network(tmp_path, bias=np.full(5, number, np.float32)))
    with pytest.raises(
        DataError, match=rf"Image 0 of X must have finite features, got {number}.* extractor tiny\.onnx"
    ):
        backbone.transform(pictures())


# ---- the file and the model that was made with it ----


def test_a_record_is_complete(tmp_path):
    """The features of a restored backbone need the ONNX file alone, without its configuration."""
    path = network(tmp_path)
    ours = Backbone(path)
    X = ours.transform(pictures())
    record = ours.record()
    assert record["path"] == str(path)
    assert record["content"] == hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "preprocessor_config.json").write_text("damaged")
    restored = from_record(record, {}, tmp_path / "elsewhere")
    assert restored.record() == record
    assert restored.identity() == ours.identity()
    assert restored.transform(pictures()).tobytes() == X.tobytes()
    assert restored.describe() == "tiny.onnx"


def test_a_model_moved_without_its_backbone(tmp_path):
    path = network(tmp_path)
    record = Backbone(path).record()
    X = Backbone(path).transform(pictures())
    digest = record["content"]
    (tmp_path / "new").mkdir()
    moved = path.rename(tmp_path / "moved.onnx")
    restored = from_record(record, {}, tmp_path / "new")
    assert restored.record() == record, "what does not need the file works without it"
    needs = (
        rf"The model needs the backbone tiny\.onnx \(SHA-256 {digest[:12]}…\); put it beside the model or give it "
        r"with --features FILE\."
    )
    with pytest.raises(ModelFileError, match=needs):
        restored.prepare()
    for place in ("hog", tmp_path):
        with pytest.raises(ModelFileError) as caught:
            restored.relocated(moved).relocated(place).prepare()
        assert str(caught.value) == (
            f"{place} is not a file; give the ONNX file of the backbone tiny.onnx (SHA-256 {digest[:12]}…)."
        )
    assert restored.relocated(moved).transform(pictures()).tobytes() == X.tobytes()
    beside = tmp_path / "new" / "tiny.onnx"
    beside.write_bytes(moved.read_bytes())
    assert restored.transform(pictures()).tobytes() == X.tobytes()
    other = network(tmp_path, "other.onnx", bias=np.ones(5, np.float32))
    new = hashlib.sha256(other.read_bytes()).hexdigest()
    changed = rf"with which the model was made \(SHA-256 {digest[:12]}…\), got another \(SHA-256 {new[:12]}"
    with pytest.raises(ModelFileError, match=changed):
        restored.relocated(other).prepare()
    beside.write_bytes(other.read_bytes())
    with pytest.raises(ModelFileError, match=changed):
        from_record(record, {}, tmp_path / "new").prepare()
    beside.write_bytes(moved.read_bytes())
    for content in (other.read_bytes(), b"damaged"):  # at the old place, which does not hide the right file
        path.write_bytes(content)
        assert from_record(record, {}, tmp_path / "new").transform(pictures()).tobytes() == X.tobytes()


def test_copies_and_changed_parameters(tmp_path):
    ours = Backbone(network(tmp_path))
    X = ours.transform(pictures())
    for other in (clone(ours), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert other.transform(pictures()).tobytes() == X.tobytes()
    ours.set_params(mean=0.1)
    assert ours.record()["settings"]["mean"] == [0.1, 0.1, 0.1]
    assert ours.transform(pictures()).tobytes() != X.tobytes()


def test_weights_in_another_file(tmp_path):
    model = graph()
    weights = model.graph.initializer[0]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(weights.raw_data)
    plain = Backbone(network(tmp_path)).transform(pictures())
    weights.ClearField("raw_data")
    weights.data_location = 1
    weights.external_data.add(key="location", value="weights/w.bin")
    path = tmp_path / "external.onnx"
    path.write_bytes(model.SerializeToString())
    ours = Backbone(path)
    assert ours.transform(pictures()).tobytes() == plain.tobytes()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(60))
    with pytest.raises(ModelFileError, match="must be the file with which"):
        from_record(ours.record(), {}, tmp_path).prepare()


def test_metadata_of_the_file(tmp_path):
    import json

    path = network(tmp_path, config=None, metadata={"preprocessor_config": json.dumps(CONFIG)})
    assert Backbone(path).record()["settings"]["image_size"] == [6, 8]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_packages(tmp_path, monkeypatch, package):
    path = network(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    words = rf'needs the package {package}; in the source folder of softmargin run: .* install "\.\[backbone\]"\.'
    with pytest.raises(CapabilityError, match=words):
        Backbone(path).prepare()
    with pytest.raises(DataError, match="got no file of this name"):
        Backbone(tmp_path / "nowhere.onnx").prepare()


def test_on_the_command_line_words(tmp_path):
    path = network(tmp_path, output="tokens")
    made = make_extractor(str(path), pool="max", image_size=(6, 8))
    assert isinstance(made, Backbone)
    assert (made.pool, made.image_size, made.takes) == ("max", (6, 8), "pictures")
