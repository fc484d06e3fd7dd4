"""One ONNX file from pictures to labels; ONNX Runtime against this package."""

from __future__ import annotations

import numpy as np
import pytest

from softmargin.errors import DataError, ParameterError
from softmargin.features import Backbone, Pixels
from softmargin.model.exports import onnx_backbone
from softmargin.model.parts import Parts
from tests.support.networks import BIAS, CONFIG, graph, network, pictures

onnx = pytest.importorskip("onnx", reason="the package onnx (the extra onnx) is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

BYTES = CONFIG | {"do_rescale": False, "do_normalize": False}


def parts(D=5, C=4, *, has_probabilities=True, unit_rows=False):
    rng = np.random.default_rng(3)
    classes = np.array([f"class {k}" for k in range(C)])
    return Parts(rng.normal(size=(D, C)), rng.normal(size=C), classes, has_probabilities, unit_rows, None)


def run(data, images):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": images}), strict=True))


def scores(X, model):
    X = X.astype(np.float64)
    if model.unit_rows:
        X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    return X @ model.W + model.b


@pytest.mark.parametrize("unit_rows", [False, True])
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {}),
        ({}, {"channel_order": "BGR"}),
        ({"channels_last": True}, {}),
        ({"channels_last": True, "dtype": "u1"}, {}),
        ({"dtype": "u1"}, {"channel_order": "BGR"}),
        ({"dtype": "f2"}, {}),
        ({"batch": 6, "size": (6, 8)}, {}),
        ({"output": "tokens"}, {}),
        ({"output": "tokens"}, {"pool": "max"}),
        ({"output": "maps"}, {}),
        ({"output": "maps", "channels_last": True, "opset": 18}, {"pool": "max"}),
        ({"opset": 13}, {}),
        ({"opset": 11, "output": "maps"}, {}),
        ({"opset": 21, "output": "tokens"}, {"pool": "mean"}),
        ({"bias": BIAS + np.float32(70_000)}, {}),
    ],
)
def test_onnx_runtime_predicts_the_same(tmp_path, settings, options, unit_rows):
    path = network(tmp_path, config=BYTES if settings.get("dtype") == "u1" else CONFIG, **settings)
    backbone, model = Backbone(path, **options), parts(unit_rows=unit_rows)
    X = backbone.transform(pictures())
    found = run(onnx_backbone.content(model, backbone), np.stack(pictures()))
    wanted = scores(X, model)
    assert list(found) == ["label", "scores", "probabilities"]
    # the same features; products of 5 terms in float64, and rows of length 1 that are rounded to float32
    largest = np.abs(X.astype(np.float64)).max()
    np.testing.assert_allclose(
        found["scores"], wanted, rtol=0, atol=1e-6 if unit_rows else 1e-14 * max(1, largest)
    )
    assert found["label"].tolist() == model.classes[wanted.argmax(axis=1)].tolist()
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, rtol=1e-14)


def test_a_model_without_probabilities(tmp_path):
    data = onnx_backbone.content(parts(has_probabilities=False), Backbone(network(tmp_path)))
    assert list(run(data, np.stack(pictures()))) == ["label", "scores"]
    assert run(data, np.stack(pictures(1)))["label"].shape == (1,)


def test_names_in_the_backbone_do_not_matter(tmp_path):
    """The names of the joined graph, inside the backbone, inside a branch of it, and as its metadata."""
    model = graph(metadata={"licence": "free"})
    node = onnx.helper.make_node
    inner = [
        onnx.helper.make_graph(
            [node(kind, [source], [result])], "inner", [], [onnx.helper.make_tensor_value_info(result, 1, None)]
        )
        for kind, source, result in (("Identity", "scores", "label"), ("Neg", "row", "probabilities"))
    ]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "images"))
    model.graph.node.insert(5, node("Identity", ["row"], ["scores"], name="X"))
    model.graph.node[5].input[0] = "row"
    flatten = next(k for k, one in enumerate(model.graph.node) if one.op_type == "Flatten")
    moved = model.graph.node.pop(5)
    model.graph.node.insert(flatten, moved)
    model.graph.node.insert(
        flatten + 1, node("If", ["images"], ["W0"], then_branch=inner[0], else_branch=inner[1])
    )
    model.graph.node[-1].input[0] = "W0"
    plain = network(tmp_path)
    X = Backbone(plain).transform(pictures())
    path = network(tmp_path, "names.onnx")
    path.write_bytes(model.SerializeToString())
    data = onnx_backbone.content(parts(), Backbone(path))
    np.testing.assert_allclose(run(data, np.stack(pictures()))["scores"], scores(X, parts()), rtol=0, atol=1e-14)
    assert {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props} == {"licence": "free"}


def test_weights_in_another_file_are_inside(tmp_path):
    model = graph()
    weights = model.graph.initializer[0]
    (tmp_path / "w.bin").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = 1
    weights.external_data.add(key="location", value="w.bin")
    path = network(tmp_path)
    X = Backbone(path).transform(pictures())
    path.write_bytes(model.SerializeToString())
    data = onnx_backbone.content(parts(), Backbone(path))
    (tmp_path / "w.bin").unlink()
    np.testing.assert_allclose(run(data, np.stack(pictures()))["scores"], scores(X, parts()), rtol=0, atol=1e-14)


def test_what_cannot_be_joined(tmp_path, monkeypatch):
    with pytest.raises(
        ParameterError, match="Only a backbone for pictures can be joined with a model, got pixels"
    ):
        onnx_backbone.content(parts(), Pixels())
    backbone = Backbone(network(tmp_path))
    backbone.prepare()
    network(tmp_path, bias=np.ones(5, np.float32))
    with pytest.raises(DataError, match=r"tiny\.onnx has changed since it was opened"):
        onnx_backbone.content(parts(), backbone)
    backbone = Backbone(network(tmp_path))
    monkeypatch.setattr(onnx_backbone, "LARGEST", 500)
    with pytest.raises(DataError, match="must be smaller than 2 GB"):
        onnx_backbone.content(parts(), backbone)


def test_other_scores_are_refused(tmp_path, monkeypatch):
    """A wrong graph, here one that swaps channels, is not returned."""
    wrong = onnx_backbone._preprocessing

    def swapped(source):
        nodes, constants = wrong(source)
        return nodes, constants | {"images/mean": constants["images/mean"][::-1].copy()}

    monkeypatch.setattr(onnx_backbone, "_preprocessing", swapped)
    with pytest.raises(DataError, match="must give the scores of the model, got a difference of"):
        onnx_backbone.content(parts(), Backbone(network(tmp_path)))
