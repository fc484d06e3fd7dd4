"""ONNX: one graph from pixels to label and scores, with the backbone inside."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.errors import DataError, ParameterError
from softmargin.features import Backbone, FeatureExtractor
from softmargin.features.backbone import PictureInput
from softmargin.features.base import rounded
from softmargin.features.network import Runner
from softmargin.features.onnx_files import OnnxFile, reason
from softmargin.features.sessions import open_session, part
from softmargin.model.exports.onnx import IR_VERSION, LARGEST, OPSET, head, import_onnx, reduction
from softmargin.model.parts import Parts
from softmargin.model.predict import fill_from_scores

__all__ = ["content"]

_FIRST_OPSET = 13
"""The version of the operators from which on the graph of a model is valid."""
_PREFIX = "backbone/"
_AXES = "features/axes"
_ROW = "features/row"
_TOLERANCE = 0.01
"""Largest difference of scores in a check, relative to what features of the largest size could cause."""


def content(parts: Parts, backbone: FeatureExtractor) -> bytes:
    """Return the model: input ``images`` (N, height, width, 3) uint8; outputs as `onnx.content` gives them.

    Images are RGB and have the size that the backbone takes: resizing and cropping are left to the caller. The
    graph normalises them, and computes and pools the features. It rounds them to float16, as `FeatureExtractor`
    does, or leaves a row in float32 if a number exceeds 65,504. Scores are computed in float64. Before it is
    returned, it is run by ONNX Runtime on generated pictures and compared.

    Parameters
    ----------
    parts : Parts
    backbone : FeatureExtractor

    Raises
    ------
    CapabilityError
        A package is missing.
    ParameterError
        The extractor is not a backbone for pictures.
    DataError
        The joined file exceeds 2 GB, uses operators that are too old to be converted, or gives other scores.
    """
    if not isinstance(backbone, Backbone):
        raise ParameterError(
            f"Only a backbone for pictures can be joined with a model, got {backbone.describe()}; export the "
            f"model alone."
        )
    onnx = import_onnx()
    opened = backbone.opened()
    source, runner = opened.source, opened.runner
    file = _loaded(backbone.file())
    network = _converted(part(file, [source.name], runner.output), file.name)
    opset = _opset(network)
    _prefix(network.graph)
    made = onnx.ModelProto(producer_name="softmargin", ir_version=max(network.ir_version, IR_VERSION))
    made.opset_import.extend(network.opset_import)
    made.functions.extend(network.functions)
    made.metadata_props.extend(file.model.metadata_props)
    model = head(parts, opset)
    pictures, constants = _preprocessing(source)
    features, more = _features(runner, opset)
    sides = source.preprocessor.image_size
    batch = None if source.batch == 1 else source.batch
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, [batch, *sides, 3])
    made.graph.name = "softmargin"
    made.graph.input.append(images)
    made.graph.node.extend([*pictures, *network.graph.node, *features, *model.node])
    made.graph.initializer.extend([*network.graph.initializer, *model.initializer])
    made.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in (constants | more).items()
    )
    made.graph.sparse_initializer.extend(network.graph.sparse_initializer)
    made.graph.output.extend(model.output)
    if made.ByteSize() >= LARGEST:
        raise DataError(f"An ONNX file must be smaller than 2 GB, got {made.ByteSize():,} bytes with {file.name}.")
    _check(made, file, parts, runner, source)
    return bytes(made.SerializeToString(deterministic=True))


def _loaded(file: OnnxFile) -> OnnxFile:
    """Return a file with its external data."""
    from onnx.external_data_helper import load_external_data_for_model

    size = sum(os.path.getsize(os.path.join(file.folder, name)) for name in file.external)
    if size >= LARGEST:
        raise DataError(f"An ONNX file must be smaller than 2 GB, got {size:,} bytes of external data.")
    load_external_data_for_model(file.model, file.folder)
    return file


def _opset(model: Any) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _converted(model: Any, name: str) -> Any:
    """Return a network with operators of a version in which the graph of a model is valid."""
    import onnx.version_converter

    if _opset(model) >= _FIRST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the package raises errors of several types
        raise DataError(
            f"{name} must use operators of version {_FIRST_OPSET} or later, got {_opset(model)}, which cannot be "
            f"converted ({reason(error)})."
        ) from error


def _prefix(graph: Any) -> None:
    """Put a prefix before all names in a graph and in the graphs inside it, so that no other name equals one."""
    for node in graph.node:
        node.name = node.name and _PREFIX + node.name
        for names in (node.input, node.output):
            names[:] = [name and _PREFIX + name for name in names]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.ByteSize():
                    _prefix(inner)
    tensors = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
    for value in (*graph.input, *graph.output, *tensors):
        value.name = _PREFIX + value.name
    del graph.value_info[:]
    del graph.quantization_annotation[:]


def _preprocessing(source: PictureInput) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """Return the nodes from ``images`` to the input of the backbone, and their constants.

    They compute what `Preprocessor.numbers` computes.
    """
    onnx = import_onnx()
    settings = source.preprocessor
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    constants: dict[str, NDArray[Any]] = {}
    if settings.channel_order == "BGR":
        constants["images/order"] = np.array([2, 1, 0])
        steps.append(("Gather", ["images/order"], {"axis": 3}))
    if source.dtype != np.uint8:
        steps.append(("Cast", [], {"to": onnx.TensorProto.FLOAT}))
        for kind, name, value in (
            ("Mul", "images/rescale", settings.rescale),
            ("Sub", "images/mean", settings.mean),
            ("Div", "images/std", settings.std),
        ):
            constants[name] = np.array(value, np.float32)
            steps.append((kind, [name], {}))
        if source.dtype == np.float16:
            steps.append(("Cast", [], {"to": onnx.TensorProto.FLOAT16}))
    if not source.channels_last:
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    if not steps:
        steps.append(("Identity", [], {}))
    nodes, last = [], "images"
    for k, (kind, more, attributes) in enumerate(steps, 1):
        result = _PREFIX + source.name if k == len(steps) else f"images/{k}"
        nodes.append(onnx.helper.make_node(kind, [last, *more], [result], **attributes))
        last = result
    return nodes, constants


def _features(runner: Runner, opset: int) -> tuple[list[Any], dict[str, NDArray[np.int64]]]:
    """Return the nodes from the output of the backbone to ``X``, and their constants.

    They compute what `Runner.row` and `rounded` compute.
    """
    onnx = import_onnx()
    node, kinds = onnx.helper.make_node, onnx.TensorProto
    axes = [1] if runner.n_axes == 3 else [1, 2] if runner.channels_last else [2, 3]
    constants = {_AXES: np.array(axes), _ROW: np.array([1]), "features/first": np.array(0)}
    output = _PREFIX + runner.output
    nodes = []
    if runner.pool == "cls":
        nodes.append(node("Gather", [output, "features/first"], ["features/pooled"], axis=1))
    elif runner.pool == "none":
        nodes.append(node("Identity", [output], ["features/pooled"]))
    else:
        kind = "ReduceMax" if runner.pool == "max" else "ReduceMean"
        nodes.append(node("Cast", [output], ["features/double"], to=kinds.DOUBLE))
        nodes.append(reduction(kind, "features/double", "features/pooled", _AXES, axes, opset, keepdims=0))
    nodes += [
        node("Cast", ["features/pooled"], ["features/float"], to=kinds.FLOAT),
        node("Cast", ["features/float"], ["features/half"], to=kinds.FLOAT16),
        node("Cast", ["features/half"], ["features/rounded"], to=kinds.FLOAT),
        node("Abs", ["features/rounded"], ["features/sizes"]),
        reduction("ReduceMax", "features/sizes", "features/largest", _ROW, [1], opset, keepdims=1),
        node("IsInf", ["features/largest"], ["features/exceeds"]),
        node("Where", ["features/exceeds", "features/float", "features/rounded"], ["X"]),
    ]
    used = {name for one in nodes for name in one.input}
    return nodes, {name: value for name, value in constants.items() if name in used}


def _check(model: Any, file: OnnxFile, parts: Parts, runner: Runner, source: PictureInput) -> None:
    """Run a joined model on generated pictures, and raise a `DataError` if its scores differ."""
    sides = source.preprocessor.image_size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (source.batch, *sides, 3), np.uint8)
    images[0, : sides[0] // 2] = 255
    colours = images if source.preprocessor.channel_order == "RGB" else images[..., ::-1]
    [scores] = open_session(file, model).run(["scores"], {"images": images})
    X = np.stack([rounded(runner.row(source.feeds(image)), "A generated picture", file.name) for image in colours])
    expected = fill_from_scores(parts, X, np.empty(scores.shape), lambda s: s, 1)
    size = 1.0 if parts.unit_rows else np.abs(X).max()
    if not np.abs(scores - expected).max() <= _TOLERANCE * size * np.abs(parts.W).sum(axis=0).max():
        raise DataError(
            f"The file with {file.name} must give the scores of the model, got a difference of "
            f"{np.abs(scores - expected).max():.3g} in ONNX Runtime; export the model alone."
        )
