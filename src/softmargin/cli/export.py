"""``softmargin export``: a model for another program."""

from __future__ import annotations

from dataclasses import replace

import click

from softmargin.cli import options
from softmargin.cli.files import check_name, check_output
from softmargin.cli.reading import Reading, extractor_for, files_of, read_model
from softmargin.cli.wording import print_json, say, say_err

__all__ = ["export"]


@click.command(short_help="Export MODEL to ONNX, PyTorch or NumPy.")
@options.model
@click.option("-o", "--output", metavar="FILE", required=True, help="File to write: .onnx, .safetensors or .npz.")
@click.option("--with-backbone", is_flag=True, help="Join backbone and classifier in one .onnx file: images in.")
@options.backbone
@options.as_json
def export(model: str, output: str, with_backbone: bool, backbone: str | None, as_json: bool) -> None:
    """Export MODEL to ONNX, PyTorch or NumPy.

    The suffix of FILE sets the format: .onnx is a graph from float32 features to label and scores, .safetensors
    the state of a PyTorch nn.Linear, .npz plain NumPy arrays. No format contains code.
    """
    check_name(output, (".onnx",) if with_backbone else (".onnx", ".safetensors", ".npz"))
    loaded = read_model(model)
    extractor = extractor_for(loaded, Reading(backbone=backbone))
    check_output(output, model, *files_of(extractor))
    if extractor is not loaded.extractor:
        loaded = replace(loaded, extractor=extractor)
    loaded.export(output, with_backbone=with_backbone)
    if loaded.preprocessing.rows == "l2" and not output.lower().endswith(".onnx"):
        say_err(
            "Note: the model divides each row by its Euclidean norm first; do the same before you use this file."
        )
    if as_json:
        sizes = {"n_features": loaded.n_features, "n_classes": loaded.n_classes}
        print_json("export", {"output": output, **sizes, "with_backbone": with_backbone})
        return
    say(f"{output}: {loaded.n_features:,} features, {loaded.n_classes:,} classes.")
