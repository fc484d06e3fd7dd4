"""ONNX: a graph from features to label and scores, computed in float64 as in this package."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmargin.errors import DataError, missing_package
from softmargin.model.parts import Parts

__all__ = ["LARGEST", "content", "head", "import_onnx", "reduction"]

OPSET, IR_VERSION = 17, 8
"""Versions of 2022, supported by all current runtimes."""
LARGEST = 1 << 31
"""Maximum size of a protobuf message in bytes."""


def content(parts: Parts) -> bytes:
    """Return the model: input ``X`` (N, D) float32; outputs ``label`` (N,), ``scores``, ``probabilities`` (N, C).

    Scores and probabilities (cross-entropy only) are float64. Labels are strings or int64.

    Raises
    ------
    CapabilityError
        If the package onnx is not installed.
    DataError
        If the model exceeds the 2 GB of a protobuf message, or a label exceeds int64.
    """
    onnx = import_onnx()
    helper = onnx.helper
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        head(parts, OPSET), producer_name="softmargin", opset_imports=[opset], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def head(parts: Parts, opset: int) -> Any:
    """Return the graph (onnx.GraphProto) of a model for a version of the operators, 13 or later.

    Raises
    ------
    DataError
        As for `content`.
    """
    onnx = import_onnx()
    D, C = parts.W.shape
    if parts.W.nbytes >= LARGEST - (1 << 20):
        raise DataError(f"An ONNX file must be smaller than 2 GB, got {D:,} features and {C:,} classes.")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Cast", ["X"], ["x"], to=kinds.DOUBLE)]
    constants = {"W": parts.W, "b": parts.b}
    features = "x"
    if parts.unit_rows:
        features = "unit"
        constants |= {"one": np.array(1.0), "zero": np.array(0.0), "axis": np.array([1], np.int64)}
        nodes += [
            helper.make_node("Abs", ["x"], ["sizes"]),
            reduction("ReduceMax", "sizes", "largest", "axis", [1], opset, keepdims=1),
            helper.make_node("Greater", ["largest", "zero"], ["is_positive"]),
            helper.make_node("Where", ["is_positive", "largest", "one"], ["divisor"]),
            helper.make_node("Div", ["x", "divisor"], ["small"]),
            helper.make_node("Mul", ["small", "small"], ["squares"]),
            helper.make_node("ReduceSum", ["squares", "axis"], ["square"], keepdims=1),
            helper.make_node("Where", ["is_positive", "square", "one"], ["positive"]),
            helper.make_node("Sqrt", ["positive"], ["length"]),
            helper.make_node("Div", ["small", "length"], ["wide_unit"]),
            helper.make_node("Cast", ["wide_unit"], ["narrow_unit"], to=kinds.FLOAT),
            helper.make_node("Cast", ["narrow_unit"], ["unit"], to=kinds.DOUBLE),
        ]
    nodes += [
        helper.make_node("MatMul", [features, "W"], ["products"]),
        helper.make_node("Add", ["products", "b"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["classes", "best"], ["label"], axis=0),
    ]
    outputs = [("scores", kinds.DOUBLE, [None, C])]
    if parts.has_probabilities:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
        outputs.append(("probabilities", kinds.DOUBLE, [None, C]))
    label_kind, classes = _labels(parts, onnx)
    return helper.make_graph(
        nodes,
        "softmargin",
        [helper.make_tensor_value_info("X", kinds.FLOAT, [None, D])],
        [
            helper.make_tensor_value_info("label", label_kind, [None]),
            *(helper.make_tensor_value_info(*output) for output in outputs),
        ],
        [*(onnx.numpy_helper.from_array(array, name) for name, array in constants.items()), classes],
    )


def reduction(
    kind: str, value: str, result: str, axes_name: str, axes: list[int], opset: int, keepdims: int
) -> Any:
    """Return a node that reduces some axes, which are an attribute before version 18 and then an input."""
    node = import_onnx().helper.make_node
    if opset < 18:
        return node(kind, [value], [result], axes=axes, keepdims=keepdims)
    return node(kind, [value, axes_name], [result], keepdims=keepdims)


def import_onnx() -> Any:
    """Return the package onnx, or raise a `CapabilityError`."""
    try:
        import onnx
    except ImportError as error:
        raise missing_package("ONNX export", "onnx", "onnx") from error
    return onnx


def _labels(parts: Parts, onnx: Any) -> tuple[int, Any]:
    """Return the type of the labels and the constant that contains them."""
    classes = parts.classes
    if classes.dtype.kind == "U":
        texts, kind = [str(label).encode("utf-8", "surrogatepass") for label in classes], onnx.TensorProto.STRING
        return kind, onnx.helper.make_tensor("classes", kind, [len(texts)], texts)
    if classes.dtype.kind == "u" and classes.max() > np.iinfo(np.int64).max:
        raise DataError(f"Labels in ONNX must fit into int64, got {classes.max()}.")
    return onnx.TensorProto.INT64, onnx.numpy_helper.from_array(classes.astype(np.int64), "classes")
