"""ONNX files: read, checked before ONNX Runtime sees them, and opened.

An ONNX file is a program. It is parsed without its external data first, and refused if it needs operators that
ONNX Runtime does not have, draws random numbers, or names files outside its own folder.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any, NamedTuple

from softmargin.errors import CapabilityError, DataError
from softmargin.text import printable, truncate

__all__ = [
    "LARGEST_INPUT", "OnnxFile", "Value", "check_sizes", "open_session", "part", "read_onnx", "reason",
    "runtime_version",
]  # fmt: skip

LARGEST_FILE = (1 << 31) - 1
"""Largest protobuf message in bytes; larger models keep their weights in external data."""
LARGEST_INPUT = 1 << 26
"""Largest number of elements of an input."""
LARGEST_TENSOR = 1 << 31
"""Largest number of elements of any tensor whose shape is known before the run."""
_SMALL_CONSTANT = 4096
"""Size in bytes of a constant that may be a shape."""

_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"))
"""The domains of operators in ONNX Runtime."""
_RANDOM = frozenset(
    ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
)
# What ONNX Runtime puts before its messages: a code, and the place in its source with the function.
_RUNTIME = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE = re.compile(r"^.*?\S+\.(?:cc|h|hpp):\d+ (?:[^()]*::[^()]*\(.*?\) )?")


class Value(NamedTuple):
    """An input or output of a graph.

    Attributes
    ----------
    name : str
    kind : int
        The type of its elements: a constant of ``onnx.TensorProto``, or 0 if it is not a tensor.
    shape : tuple of (int, str or None), or None
        Sizes; the name of a size that varies, or None. None if the rank is unknown.
    """

    name: str
    kind: int
    shape: tuple[int | str | None, ...] | None

    @property
    def rank(self) -> int | None:
        """Number of axes, if it is known."""
        return None if self.shape is None else len(self.shape)

    @property
    def type_name(self) -> str:
        """The name of the type of its elements."""
        import onnx

        return str(onnx.TensorProto.DataType.Name(self.kind)).lower() if self.kind else "no tensor"

    def __str__(self) -> str:
        """Return name, type and shape."""
        sizes = "?" if self.shape is None else ", ".join("?" if n is None else printable(n) for n in self.shape)
        return f"{printable(self.name)!r} of type {self.type_name} and shape ({sizes})"


class OnnxFile(NamedTuple):
    """A file that was parsed and checked.

    Attributes
    ----------
    name : str
        For messages.
    folder : str
    model : onnx.ModelProto
        Without external data.
    content : str
        SHA-256 of the file; if it has external data, of its SHA-256 and theirs.
    external : list of str
        Names of the files with external data.
    inputs, outputs : list of Value
    metadata : dict of str to str
    """

    name: str
    folder: str
    model: Any
    content: str
    external: list[str]
    inputs: list[Value]
    outputs: list[Value]
    metadata: dict[str, str]


def read_onnx(path: str, others: Iterable[str] = ()) -> OnnxFile:
    """Parse and check a file.

    Parameters
    ----------
    path : str
    others : iterable of str
        Names of files in the same folder that also belong to the content.

    Raises
    ------
    CapabilityError
        The package onnx is not installed.
    DataError
        The file cannot be read, is not an ONNX file, or must not be run.
    """
    try:
        import onnx
    except ImportError as error:
        raise CapabilityError(
            "A backbone needs the package onnx; install it with: python -m pip install onnx."
        ) from error
    name, folder = printable(os.path.basename(path)), os.path.dirname(os.path.abspath(path))
    if not os.path.isfile(path):
        raise DataError(f"{printable(path)} must be an ONNX file, got no file of this name.")
    data = _read(path)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has errors of its own
        raise DataError(f"{printable(path)} must be an ONNX file, got a damaged or another file.") from error
    if not model.graph.node or not model.opset_import:
        raise DataError(f"{printable(path)} must be an ONNX file with a graph, got none.")
    if any(isinstance(name, bytes) for name in _names(model)):
        raise DataError(f"{printable(path)} must be an ONNX file with names in UTF-8, got another encoding.")
    _check_operators(model, printable(path))
    external = _external_files(model, folder, printable(path))
    digests = [hashlib.sha256(data).hexdigest()]
    for other in [*external, *others]:
        if not os.path.isfile(os.path.join(folder, other)):
            raise DataError(f"{printable(path)} needs the file {printable(other)!r}; put it beside it.")
        digests.append(f"{other} {_digest(os.path.join(folder, other))}")
    content = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [_value(value) for value in model.graph.input if value.name not in constants]
    outputs = [_value(value) for value in model.graph.output]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return OnnxFile(name, folder, model, content, external, inputs, outputs, metadata)


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
            wanted.update(node.input, *(inner.input for inner in _nodes(_subgraphs(node))))
    more = [value.name for value in file.inputs if value.name in wanted and value.name not in inputs]
    if more:
        raise DataError(
            f"{file.name} must compute {output!r} from {_listed(inputs)}, got the further input "
            f"{printable(more[0])!r}; export the part of the network that computes features."
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
        value = _value(info)
        sizes = [size for size in value.shape or () if isinstance(size, int)]
        if math.prod(sizes) > LARGEST_TENSOR:
            raise DataError(_too_large(file.name, value.name, sizes))
    return [_value(value) for value in found.graph.output]


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
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has errors of its own
        raise DataError(f"{file.name} cannot be run by ONNX Runtime: {reason(error)}.") from error


def runtime_version() -> str:
    """Return name and version of ONNX Runtime."""
    return f"onnxruntime {_onnxruntime().__version__}"


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise CapabilityError(
            "A backbone needs the package onnxruntime; install it with: python -m pip install onnxruntime."
        ) from error
    return onnxruntime


def reason(error: BaseException) -> str:
    """Return the message of an error of another package as part of a sentence."""
    text = _RUNTIME.sub("", " ".join(f"{error}".split())) or type(error).__name__
    text = _SOURCE.sub("", text.rpartition("Status Message: ")[2])
    return truncate(printable(text.strip().rstrip(".")), 200)


def _read(path: str) -> bytes:
    try:
        if os.path.getsize(path) > LARGEST_FILE:
            raise DataError(f"{printable(path)} must be smaller than 2 GB; store its weights as external data.")
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise DataError(f"{printable(path)} could not be read ({error.strerror}); check the file.") from error


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{printable(path)} could not be read ({error.strerror}); check the file.") from error


def _check_operators(model: Any, where: str) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    bodies = [model.graph, *model.functions]
    for node in _nodes(bodies):
        if (node.domain, node.op_type) in own:
            continue
        operator = printable(f"{node.domain}.{node.op_type}" if node.domain else node.op_type)
        if node.domain not in _DOMAINS:
            raise DataError(f"{where} must use the operators of ONNX, got the custom operator {operator}.")
        if node.op_type in _RANDOM:
            raise DataError(f"{where} must give the same features each time, got the operator {operator}.")


def _names(model: Any) -> Iterator[str | bytes]:
    """Yield the names in a model; Python's protobuf returns those that are not UTF-8 as bytes."""
    graph = model.graph
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for node in _nodes([graph, *model.functions]):
        yield from (node.op_type, node.domain, *node.input, *node.output)
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)


def _external_files(model: Any, folder: str, where: str) -> list[str]:
    """Return the names of the files that hold weights, which must be in the folder of the model."""
    inside = os.path.realpath(folder)
    names = set()
    for tensor in _tensors([model.graph, *model.functions]):
        if tensor.data_location != 1:  # onnx.TensorProto.EXTERNAL
            continue
        name = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        location = PureWindowsPath(name)  # splits at both kinds of slashes
        full = os.path.realpath(os.path.join(inside, name)) if "\0" not in name else ""
        outside = location.drive or location.root or ".." in location.parts or not full.startswith(inside + os.sep)
        if outside:
            raise DataError(f"{where} must have its external data in its own folder, got {printable(name)!r}.")
        names.add(name)
    return sorted(names)


def _subgraphs(node: Any) -> list[Any]:
    return [
        graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.ByteSize()
    ]


def _nodes(bodies: Iterable[Any]) -> Iterator[Any]:
    """Yield all nodes of graphs or functions, with those of the graphs inside them."""
    for body in bodies:
        for node in body.node:
            yield node
            yield from _nodes(_subgraphs(node))


def _tensors(bodies: Sequence[Any]) -> Iterator[Any]:
    """Yield all constants of graphs or functions."""
    graphs = [*bodies, *(graph for node in _nodes(bodies) for graph in _subgraphs(node))]
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
    for node in _nodes(bodies):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _value(info: Any) -> Value:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Value(info.name, tensor.elem_type, None)
    sizes = (size.dim_value if size.dim_value > 0 else size.dim_param or None for size in tensor.shape.dim)
    return Value(info.name, tensor.elem_type, tuple(sizes))


def _too_large(name: str, tensor: str, sizes: Sequence[int]) -> str:
    shape = "x".join(str(size) for size in sizes)
    return f"{name} must hold tensors of at most {LARGEST_TENSOR:,} numbers, got {printable(tensor)!r}, {shape}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(printable(name)) for name in names)
