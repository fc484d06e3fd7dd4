"""Tiny networks in ONNX files, and the same in plain NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

TYPES = {"f4": 1, "u1": 2, "f2": 10}
CONFIG = {
    "do_resize": True,
    "size": {"height": 6, "width": 8},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
}
RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(size=(5, 3)).astype(np.float32)
BIAS = RNG.normal(size=5).astype(np.float32)


def graph(
    *,
    channels_last=False,
    dtype="f4",
    batch="n",
    size=("h", "w"),
    output="pooled",
    opset=17,
    metadata=None,
    channels=3,
    bias=BIAS,
    extra=(),
    outputs=None,
):
    """Return a model that computes relu(W x + b) at each position, as pooled rows, tokens or maps."""
    from onnx import helper, numpy_helper

    axes = [batch, *size, channels] if channels_last else [batch, channels, *size]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=1),
        helper.make_node("Transpose", ["numbers"], ["first"], perm=[0, 3, 1, 2])
        if channels_last
        else helper.make_node("Identity", ["numbers"], ["first"]),
        helper.make_node("Conv", ["first", "W", "b"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["maps"]),
    ]
    shapes = {"pooled": [batch, 5], "tokens": [batch, None, 5], "maps": [batch, 5, None, None]}
    if output == "pooled":
        nodes += [
            helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
            helper.make_node("Flatten", ["means"], ["row"], axis=1),
        ]
    elif output == "tokens":
        nodes += [
            helper.make_node("Reshape", ["maps", "shape"], ["flat"]),
            helper.make_node("Transpose", ["flat"], ["row"], perm=[0, 2, 1]),
        ]
    elif channels_last:
        shapes["maps"] = [batch, None, None, 5]
        nodes.append(helper.make_node("Transpose", ["maps"], ["row"], perm=[0, 2, 3, 1]))
    else:
        nodes.append(helper.make_node("Identity", ["maps"], ["row"]))
    kind = TYPES["f2" if dtype == "f2" else "f4"]
    nodes.append(helper.make_node("Cast", ["row"], ["features"], to=kind))
    constants = {"W": WEIGHTS[:, :, None, None], "b": bias, "shape": np.array([0, 5, -1])}
    made = helper.make_model(
        helper.make_graph(
            [*nodes, *extra],
            "tiny",
            [helper.make_tensor_value_info("pixels", TYPES[dtype], axes)],
            outputs or [helper.make_tensor_value_info("features", kind, shapes[output])],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    for key, value in (metadata or {}).items():
        made.metadata_props.add(key=key, value=value)
    return made


def network(folder: Path, name="tiny.onnx", config=CONFIG, **settings) -> Path:
    """Write a model, and its preprocessing beside it."""
    path = folder / name
    path.write_bytes(graph(**settings).SerializeToString())
    if config is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return path


def numbers(pixels, config=CONFIG):
    """Return preprocessed pixels (H, W, 3) of a picture that has its size already."""
    return (pixels * config["rescale_factor"] - config["image_mean"]) / config["image_std"]


def positions(x):
    """Return what the network computes at each position of numbers (H, W, 3)."""
    return np.maximum(np.asarray(x, np.float64) @ WEIGHTS.T + BIAS, 0)


def pictures(n=6, size=(6, 8), seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, *size, 3), np.uint8))


def text_network(
    folder: Path,
    *,
    length="l",
    batch="n",
    inputs=("input_ids", "attention_mask"),
    words=("good", "bad"),
    output="last_hidden_state",
    config=None,
    kind=7,
) -> Path:
    """Write a model that looks up a vector per token, and a tokenizer of words beside it."""
    from onnx import helper, numpy_helper
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    table = vectors(len(words) + 2)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"], axis=0)]
    for name in inputs[1:]:  # all inputs are used, without effect
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_float"], to=1),
            helper.make_node("Unsqueeze", [f"{name}_float", "last"], [f"{name}_column"]),
            helper.make_node("Mul", [f"{name}_column", "zero"], [f"{name}_nothing"]),
        ]
    sums = ["tokens", *(f"{name}_nothing" for name in inputs[1:])]
    shapes = {"last_hidden_state": [batch, length, 3], "pooler_output": [batch, 3]}
    outputs = [helper.make_tensor_value_info(name, 1, shapes[name]) for name in output.split()]
    nodes.append(helper.make_node("Sum", sums, ["last_hidden_state"]))
    if "pooler_output" in output:
        nodes.append(helper.make_node("ReduceMax", ["last_hidden_state"], ["pooler_output"], axes=[1], keepdims=0))
    constants = {"table": table, "zero": np.float32(0), "last": np.array([2])}
    made = helper.make_model(
        helper.make_graph(
            nodes, "texts",
            [helper.make_tensor_value_info(name, kind, [batch, length]) for name in inputs], outputs,
            [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    path = folder / "texts.onnx"
    path.write_bytes(made.SerializeToString())
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {word: k for k, word in enumerate(words, 2)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_padding(length=16)  # a backbone must not pad to this length
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def vectors(n):
    return np.random.default_rng(3).normal(size=(n, 3)).astype(np.float32)
