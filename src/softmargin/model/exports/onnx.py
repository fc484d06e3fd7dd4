"""ONNX: a graph from features to label and scores, with the arithmetic of this package (float64 inside)."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmargin.errors import CapabilityError, DataError
from softmargin.model.parts import Parts

__all__ = ["content"]

OPSET, IR_VERSION = 17, 8
"""Of 2022: every runtime since then reads them."""
LARGEST = 1 << 31
"""Bytes that one protobuf may have."""


def content(parts: Parts) -> bytes:
    """Return the model: input ``X`` (N, D) float32; outputs ``label`` (N,), ``scores``, ``probabilities`` (N, C).

    Scores and probabilities (only of cross-entropy) are float64. Labels are strings or int64.

    Raises
    ------
    CapabilityError
        The package onnx is not installed.
    DataError
        The model is beyond the two gigabytes of a protobuf, or its labels are beyond int64.
    """
    try:
        import onnx
    except ImportError as error:
        raise CapabilityError(
            'Writing ONNX needs the package onnx: python -m pip install "softmargin[onnx]".'
        ) from error
    D, C = parts.W.shape
    if parts.W.nbytes >= LARGEST - (1 << 20):
        raise DataError(f"A model of {D:,} features and {C:,} classes is too large for one file of ONNX (2 GB).")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Cast", ["X"], ["x"], to=kinds.DOUBLE)]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in (("W", parts.W), ("b", parts.b))]
    features = "x"
    if parts.unit_rows:
        features = "unit"
        one = onnx.numpy_helper.from_array(np.array(1.0), "one")
        zero = onnx.numpy_helper.from_array(np.array(0.0), "zero")
        constants += [one, zero]
        nodes += [
            helper.make_node("Abs", ["x"], ["sizes"]),
            helper.make_node("ReduceMax", ["sizes"], ["largest"], axes=[1], keepdims=1),
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
        constants.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"))
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
    constants.append(classes)
    graph = helper.make_graph(
        nodes,
        "softmargin",
        [helper.make_tensor_value_info("X", kinds.FLOAT, [None, D])],
        [
            helper.make_tensor_value_info("label", label_kind, [None]),
            *(helper.make_tensor_value_info(*output) for output in outputs),
        ],
        constants,
    )
    model = helper.make_model(
        graph,
        producer_name="softmargin",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _labels(parts: Parts, onnx: Any) -> tuple[int, Any]:
    """Return the type of the labels and the constant that holds them."""
    classes = parts.classes
    if classes.dtype.kind == "U":
        words = [str(label).encode("utf-8", "surrogatepass") for label in classes]
        return onnx.TensorProto.STRING, onnx.helper.make_tensor(
            "classes", onnx.TensorProto.STRING, [len(words)], words
        )
    if classes.dtype.kind == "u" and classes.max() > np.iinfo(np.int64).max:
        raise DataError(f"ONNX has labels of int64, but one of this model is {classes.max()}.")
    return onnx.TensorProto.INT64, onnx.numpy_helper.from_array(classes.astype(np.int64), "classes")
