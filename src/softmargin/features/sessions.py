"""Parts of networks as sessions of ONNX Runtime, after a check of all shapes that are known before the run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from softmargin.errors import DataError, missing_package
from softmargin.features.onnx_files import OnnxFile, Value, nodes_of, reason, subgraphs_of, value_of
from softmargin.text import quoted

__all__ = ["LARGEST_INPUT", "check_sizes", "open_session", "part", "runtime_version"]

LARGEST_INPUT = 1 << 26
"""Largest number of elements of an input."""
LARGEST_TENSOR = 1 << 31
"""Largest number of elements of any tensor whose shape is known before the run."""
_SMALL_CONSTANT = 4096
"""Size in bytes of a constant that may be a shape."""


def part(file: OnnxFile, inputs: Collection[str], output: str) -> Any:
    """Return the model (onnx.ModelProto) that computes one output of a file from some of its inputs.

    Raises
    ------
    DataError
        The output needs another input.
    """
    import onnx

    graph = file.model.graph
    wanted, nodes = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(node.input, *(inner.input for inner in nodes_of(subgraphs_of(node))))
    more = [value.name for value in file.inputs if value.name in wanted and value.name not in inputs]
    if more:
        raise DataError(
            f"{file.name} must compute {output!r} from {_listed(inputs)}, got the further input "
            f"{quoted(more[0])}; export the part of the network that computes features."
        )
    made = onnx.ModelProto()
    made.ir_version = file.model.ir_version
    made.opset_import.extend(file.model.opset_import)
    made.functions.extend(file.model.functions)
    made.graph.name = "part"
    made.graph.node.extend(reversed(nodes))
    for kind in ("input", "initializer"):
        getattr(made.graph, kind).extend(value for value in getattr(graph, kind) if value.name in wanted)
    made.graph.sparse_initializer.extend(v for v in graph.sparse_initializer if v.values.name in wanted)
    made.graph.output.extend(value for value in graph.output if value.name == output)
    return made


def check_sizes(file: OnnxFile, shapes: Mapping[str, Sequence[int]]) -> list[Value]:
    """Return the outputs with the ranks that follow from these shapes of inputs.

    Raises
    ------
    DataError
        The shapes contradict the graph, or a tensor is too large.
    """
    import onnx

    graph, helper = file.model.graph, onnx.helper
    sketch = onnx.ModelProto()
    sketch.ir_version = file.model.ir_version
    sketch.opset_import.extend(file.model.opset_import)
    sketch.functions.extend(file.model.functions)
    sketch.graph.node.extend(graph.node)
    sketch.graph.output.extend(graph.output)
    for value in graph.input:
        shape = shapes.get(value.name)
        if shape is None:
            sketch.graph.input.append(value)
        else:
            kind = value.type.tensor_type.elem_type
            sketch.graph.input.append(helper.make_tensor_value_info(value.name, kind, shape))
    for constant in graph.initializer:
        if math.prod(constant.dims) > LARGEST_TENSOR or min(constant.dims, default=0) < 0:
            raise DataError(_too_large(file.name, constant.name, constant.dims))
        if constant.ByteSize() <= _SMALL_CONSTANT:
            sketch.graph.initializer.append(constant)
        elif constant.name not in {value.name for value in sketch.graph.input}:
            known = helper.make_tensor_value_info(constant.name, constant.data_type, constant.dims)
            sketch.graph.input.append(known)
    try:
        found = onnx.shape_inference.infer_shapes(sketch, data_prop=True)
    except Exception as error:  # the package raises errors of several types
        raise DataError(f"{file.name} must have shapes that fit each other, got: {reason(error)}.") from error
    for info in [*found.graph.value_info, *found.graph.output]:
        value = value_of(info)
        sizes = [size for size in value.shape or () if isinstance(size, int)]
        if math.prod(sizes) > LARGEST_TENSOR:
            raise DataError(_too_large(file.name, value.name, sizes))
    return [value_of(value) for value in found.graph.output]


def open_session(file: OnnxFile, model: Any) -> Any:
    """Return a session of ONNX Runtime that computes a part of a file in the thread that calls it.

    Raises
    ------
    CapabilityError
        The package onnxruntime is not installed.
    DataError
        ONNX Runtime refuses the model.
    """
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, and warnings would appear among the output
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", file.folder)
    try:  # the fallback would try the same again, after a message on stdout
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime has errors of its own
        raise DataError(f"{file.name} cannot be run by ONNX Runtime: {reason(error)}.") from error


def runtime_version() -> str:
    """Return name and version of ONNX Runtime."""
    return f"onnxruntime {_onnxruntime().__version__}"


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_package("A backbone", "onnxruntime", "backbone") from error
    return onnxruntime


def _too_large(name: str, tensor: str, sizes: Sequence[int]) -> str:
    shape = "x".join(str(size) for size in sizes)
    return f"{name} must hold tensors of at most {LARGEST_TENSOR:,} numbers, got {quoted(tensor)}, {shape}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)
