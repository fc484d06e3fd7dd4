"""ONNX files, read and checked before ONNX Runtime sees them.

An ONNX file is a program. It is parsed without its external data first. It is refused if it needs operators that
ONNX Runtime does not have, draws random numbers, or names files outside its own folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PureWindowsPath
from typing import Any, NamedTuple

from softmargin.errors import DataError, missing_package
from softmargin.text import printable, quoted, truncate

__all__ = ["OnnxFile", "Value", "inputs_of", "nodes_of", "read_onnx", "reason", "subgraphs_of", "value_of"]

LARGEST_FILE = (1 << 31) - 1
"""Largest protobuf message in bytes; larger models keep their weights in external data."""
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

        names = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
        return names.get(self.kind, "unknown") if self.kind else "no tensor"

    def __str__(self) -> str:
        """Return name, type and shape."""
        sizes = "?" if self.shape is None else ", ".join("?" if n is None else printable(n) for n in self.shape)
        return f"{quoted(self.name)} of type {self.type_name} and shape ({sizes})"


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
    name, folder = printable(os.path.basename(path)), os.path.dirname(os.path.abspath(path))
    data, model = _parsed(path)
    _check_operators(model, printable(path))
    external = _external_files(model, folder, printable(path))
    digests = [hashlib.sha256(data).hexdigest()]
    for other in [*external, *others]:
        if not os.path.isfile(os.path.join(folder, other)):
            raise DataError(f"{printable(path)} needs the file {quoted(other)}; put it beside it.")
        digests.append(f"{other} {_digest(os.path.join(folder, other))}")
    content = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    outputs = [value_of(value) for value in model.graph.output]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return OnnxFile(name, folder, model, content, external, _inputs(model), outputs, metadata)


def inputs_of(path: str) -> list[Value]:
    """Return the inputs of a file without further checks; errors as `read_onnx`."""
    return _inputs(_parsed(path)[1])


def reason(error: BaseException) -> str:
    """Return the message of an error of another package as part of a sentence."""
    text = _RUNTIME.sub("", " ".join(f"{error}".split())) or type(error).__name__
    text = _SOURCE.sub("", text.rpartition("Status Message: ")[2])
    return truncate(printable(text.strip().rstrip(".")), 200)


def _parsed(path: str) -> tuple[bytes, Any]:
    """Return the content of a file, and its model without external data."""
    if not os.path.isfile(path):
        raise DataError(f"{printable(path)} must be an ONNX file, got no file of this name.")
    try:
        import onnx
    except ImportError as error:
        raise missing_package("A backbone", "onnx", "backbone") from error
    data = _read(path)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has errors of its own
        raise DataError(f"{printable(path)} must be an ONNX file, got a damaged or another file.") from error
    if not model.graph.node or not model.opset_import:
        raise DataError(f"{printable(path)} must be an ONNX file with a graph, got none.")
    if any(isinstance(name, bytes) for name in _names(model)):
        raise DataError(f"{printable(path)} must be an ONNX file with names in UTF-8, got another encoding.")
    return data, model


def _inputs(model: Any) -> list[Value]:
    constants = {constant.name for constant in model.graph.initializer}
    return [value_of(value) for value in model.graph.input if value.name not in constants]


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
    for node in nodes_of(bodies):
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
    for node in nodes_of([graph, *model.functions]):
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
            raise DataError(f"{where} must have its external data in its own folder, got {quoted(name)}.")
        names.add(name)
    return sorted(names)


def subgraphs_of(node: Any) -> list[Any]:
    """Return the graphs inside a node, such as the branches of an If."""
    return [
        graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.ByteSize()
    ]


def nodes_of(bodies: Iterable[Any]) -> Iterator[Any]:
    """Yield all nodes of graphs or functions, with those of the graphs inside them."""
    for body in bodies:
        for node in body.node:
            yield node
            yield from nodes_of(subgraphs_of(node))


def _tensors(bodies: Sequence[Any]) -> Iterator[Any]:
    """Yield all constants of graphs or functions."""
    graphs = [*bodies, *(graph for node in nodes_of(bodies) for graph in subgraphs_of(node))]
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
    for node in nodes_of(bodies):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def value_of(info: Any) -> Value:
    """Return what a graph states about an input or output."""
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Value(info.name, tensor.elem_type, None)
    sizes = (size.dim_value if size.dim_value > 0 else size.dim_param or None for size in tensor.shape.dim)
    return Value(info.name, tensor.elem_type, tuple(sizes))
