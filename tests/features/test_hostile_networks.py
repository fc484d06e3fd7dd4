"""ONNX files that are damaged, or made to harm: one sentence each, before anything is run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from softmargin.errors import DataError, SoftmarginError
from softmargin.features import Backbone
from tests.support.networks import CONFIG, WEIGHTS, graph, network, pictures

onnx = pytest.importorskip("onnx", reason="the package onnx (the extra backbone) is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime (the extra backbone) is not installed")


def node(*arguments, **settings):
    return onnx.helper.make_node(*arguments, **settings)


def constant(name, value):
    return onnx.numpy_helper.from_array(np.array(value), name)


def file(folder, change, **settings):
    """Write a network after a change of its model."""
    model = graph(**settings)
    change(model)
    path = network(folder)
    path.write_bytes(model.SerializeToString())
    return path


def refused(path, message, **options):
    """The message is one sentence, and nothing is written to the terminal."""
    with pytest.raises(SoftmarginError, match=message) as caught:
        Backbone(path, **options).transform(pictures(1))
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda data: data[: len(data) // 2], "must be an ONNX file, got a damaged or another file"),
        (lambda data: data[:-1], "must be an ONNX file, got a damaged or another file"),
        (lambda data: b"", "must be an ONNX file with a graph, got none"),
        (lambda data: b"PK\x03\x04 something else", "must be an ONNX file"),
        (lambda data: b"text that is not a network", "must be an ONNX file"),
    ],
)
def test_files_that_are_not_networks(tmp_path, content, message):
    path = network(tmp_path)
    path.write_bytes(content(path.read_bytes()))
    refused(path, message)


def test_files_that_are_not_there(tmp_path):
    refused(tmp_path / "none.onnx", r"none\.onnx must be an ONNX file, got no file of this name")
    refused(tmp_path, "got no file of this name")


def domain(model):
    model.graph.node[3].domain = "evil.example"


def in_a_subgraph(model):
    inner = onnx.helper.make_graph(
        [node("Shell", ["row"], ["inner"], domain="evil.example")], "inner", [],
        [onnx.helper.make_tensor_value_info("inner", 1, None)],
    )  # fmt: skip
    model.graph.initializer.append(constant("yes", True))
    model.graph.node[-1].input[0] = "chosen"
    model.graph.node.insert(
        len(model.graph.node) - 1, node("If", ["yes"], ["chosen"], then_branch=inner, else_branch=inner)
    )


def operator(model):
    model.graph.node[3].op_type = "Nonsense"


def random(model):
    model.graph.node[3].op_type = "RandomNormalLike"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (domain, r"must use the operators of ONNX, got the custom operator evil\.example\.Relu"),
        (in_a_subgraph, r"got the custom operator evil\.example\.Shell"),
        (operator, "cannot be run by ONNX Runtime: .*No Op registered for Nonsense"),
        (random, "must give the same features each time, got the operator RandomNormalLike"),
    ],
)
def test_operators(tmp_path, change, message):
    refused(file(tmp_path, change), message)


def external(location, **more):
    def change(model):
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = 1
        for key, value in {"location": location, **more}.items():
            weights.external_data.add(key=key, value=value)

    return change


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../w.bin",
        "a/../../w.bin",
        "..\\w.bin",
        "C:\\w.bin",
        "\\\\host\\w.bin",
        "link",
        "",
        ".",
        "w\0.bin",
    ],
)
def test_weights_outside_the_folder(tmp_path, location):
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "w.bin")
    refused(file(folder, external(location)), "must have its external data in its own folder, got ")


@pytest.mark.parametrize("location", ["none.bin", "*/_ORT_MEM_ADDR_/*", "folder"])
def test_weights_that_are_not_there(tmp_path, location):
    (tmp_path / "folder").mkdir()
    refused(file(tmp_path, external(location)), r"tiny\.onnx needs the file '.*'; put it beside it")


@pytest.mark.parametrize("more", [{"offset": "56"}, {"length": "-1"}, {"offset": "9" * 30}, {"offset": "x"}])
def test_weights_beyond_the_end_of_their_file(tmp_path, more):
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    refused(file(tmp_path, external("w.bin", **more)), "cannot be run by ONNX Runtime: ")


def test_a_constant_of_a_node_outside_the_folder(tmp_path):
    def change(model):
        hidden = onnx.TensorProto(data_type=1, dims=[5], data_location=1)
        hidden.external_data.add(key="location", value="/etc/passwd")
        model.graph.node.insert(0, node("Constant", [], ["hidden"], value=hidden))

    refused(file(tmp_path, change), "must have its external data in its own folder, got '/etc/passwd'")


def shaped(*sizes):
    def change(model):
        model.graph.initializer[0].ClearField("dims")
        model.graph.initializer[0].dims.extend(sizes)

    return change


def filled(*sizes):
    """Add a constant of this shape, made when the network runs."""

    def change(model):
        model.graph.initializer.append(constant("sizes", sizes))
        model.graph.node.insert(0, node("ConstantOfShape", ["sizes"], ["large"]))
        model.graph.node.insert(1, node("ReduceSum", ["large"], ["sum"], keepdims=0))
        model.graph.node[-1].input[0] = "more"
        model.graph.node.insert(len(model.graph.node) - 1, node("Add", ["row", "sum"], ["more"]))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shaped(1 << 40), "must hold tensors of at most 2,147,483,648 numbers, got 'W', 1099511627776"),
        (shaped(1 << 62, 1 << 62), "must hold tensors of at most"),
        (shaped(-1, 3, 1, 1), "must hold tensors of at most"),
        (shaped(5, 3, 1, 2), "cannot be run by ONNX Runtime: "),
        (shaped(5, 3, 1, 0), "cannot be run by ONNX Runtime: "),
        (filled(1 << 20, 1 << 20), "must hold tensors of at most .* got 'large', 1048576x1048576"),
        (filled(-5), "cannot be run by ONNX Runtime: "),
    ],
)
def test_sizes_that_a_file_claims(tmp_path, change, message):
    refused(file(tmp_path, change), message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 10**9}, r"must take an input of at most 67,108,864 numbers, got shape \[1000000000, 3, 6, 8\]"),
        ({"size": (100_000, 100_000)}, "must get pictures of 100000x100000 .* got image_size 6x8"),
        ({"channels": 1}, r"must take pictures with 3 channels, got the input 'pixels' .* shape \(n, 1, h, w\)"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path, settings, message):
    refused(network(tmp_path, **settings), message)


def misfit(model):
    model.graph.initializer.append(constant("blocks", [0, 3, -1, 32]))
    model.graph.node.insert(2, node("Reshape", ["first", "blocks"], ["32 columns"]))
    next(one for one in model.graph.node if one.op_type == "Conv").input[0] = "32 columns"


def test_dynamic_shapes_that_do_not_fit(tmp_path):
    path = file(tmp_path, misfit)
    refused(path, r"cannot compute an input of shape \[1, 3, 6, 8\]: .*cannot be reshaped")
    assert Backbone(path, image_size=(8, 8)).transform(pictures(1)).shape == (1, 5)


def integers(model):
    model.graph.node[-1].attribute[0].i = 7
    model.graph.output[0].type.tensor_type.elem_type = 7


def a_lie(model):
    model.graph.node[-1].attribute[0].i = 7


def no_rows(model):
    model.graph.initializer.append(constant("all", [-1]))
    model.graph.node.append(node("Reshape", ["features", "all"], ["flat features"]))
    model.graph.output[0].name = "flat features"
    model.graph.output[0].type.tensor_type.ClearField("shape")


def two_rows(model):
    model.graph.node.append(node("Concat", ["features", "features"], ["twice"], axis=0))
    model.graph.output[0].name = "twice"


def a_sequence(model):
    model.graph.node.append(node("SequenceConstruct", ["features"], ["list"]))
    kind = onnx.helper.make_tensor_sequence_value_info("list", 1, None)
    model.graph.output[0].CopyFrom(kind)


def no_outputs(model):
    del model.graph.output[:]


def no_inputs(model):
    del model.graph.input[:]


def another_input(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("other", 1, [1, 1]))
    model.graph.node.append(node("Add", ["features", "other"], ["sum"]))
    model.graph.output[0].name = "sum"


def whole_numbers(model):
    model.graph.input[0].type.tensor_type.elem_type = 7


def an_unknown_type(model):
    model.graph.input[0].type.tensor_type.elem_type = 999


def an_unknown_result(model):
    model.graph.output[0].type.tensor_type.elem_type = -7


def a_circle(model):
    model.graph.node[1].input[0] = "row"


def a_constant(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 5), np.float32), "ones"))
    model.graph.node[-1].input[0] = "ones"


def opset(model):
    model.opset_import[0].version = 999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (integers, "must have an output of floats .* got 'features' of type int64"),
        (a_lie, "cannot be run by ONNX Runtime: "),
        (no_rows, "must have an output of floats with one row.* got 'flat features'"),
        (two_rows, r"got the output 'twice' of shape \[2, 5\] for an input of shape \[1, 3, 6, 8\]"),
        (a_sequence, "must have an output of floats .* got 'list' of type no tensor"),
        (no_outputs, "must have an output of floats .* got none"),
        (no_inputs, "must have one input for pictures, got none"),
        (another_input, "must compute 'sum' from 'pixels', got the further input 'other'"),
        (
            whole_numbers,
            "must take pictures as float32, float16 or uint8 of 4 axes, got the input 'pixels' of type int64",
        ),
        (an_unknown_type, "got the input 'pixels' of type unknown and shape"),
        (an_unknown_result, "must have "),
        (a_circle, "cannot be run by ONNX Runtime: "),
        (a_constant, "must compute 'features' from its input, got a constant"),
        (opset, "cannot be run by ONNX Runtime: "),
    ],
)
def test_graphs_that_give_no_features(tmp_path, change, message):
    refused(file(tmp_path, change), message)


def test_nothing_is_written_to_the_terminal(tmp_path):
    """ONNX Runtime would warn about the unused constant and the failing run, in native code."""
    path = file(tmp_path, misfit)
    code = (
        f"import numpy as np; from softmargin.features import Backbone\n"
        f"Backbone({str(path)!r}, image_size=(8, 8)).transform([np.zeros((9, 9, 3), np.uint8)])\n"
        f"try: Backbone({str(path)!r}).prepare()\n"
        f"except ValueError as error: print(type(error).__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("DataError\n", "")


def test_a_damaged_byte_anywhere_never_ends_the_process(tmp_path, capfd):
    """Each file either gives features or is refused with a sentence."""
    data = network(tmp_path, config=CONFIG).read_bytes()
    path = tmp_path / "damaged.onnx"
    rng = np.random.default_rng(0)
    sentences = []
    for _ in range(150):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            assert Backbone(path).transform(pictures(1)).shape[0] == 1
        except SoftmarginError as error:
            sentences.append(f"{error}")
    assert len(sentences) > 50
    assert all("\n" not in sentence for sentence in sentences)
    assert capfd.readouterr() == ("", "")


def test_a_file_larger_than_a_message_can_be(tmp_path, monkeypatch):
    path = network(tmp_path)
    monkeypatch.setattr("softmargin.features.onnx_files.LARGEST_FILE", 100)
    with pytest.raises(DataError, match="must be smaller than 2 GB; store its weights as external data"):
        Backbone(path).prepare()
