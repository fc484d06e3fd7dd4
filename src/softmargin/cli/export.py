"""``softmargin export``: a model for another program."""

from __future__ import annotations

import click

from softmargin.cli import options
from softmargin.cli.files import check_output
from softmargin.cli.reading import read_model
from softmargin.cli.wording import say, say_err

__all__ = ["export"]


@click.command(short_help="Write MODEL for another program.")
@options.model
@click.option("-o", "--output", metavar="FILE", required=True, help="What to write, in the format of its name.")
def export(model: str, output: str) -> None:
    """Write MODEL for another program.

    FILE ends in .onnx for a graph from float32 features to label and scores, in .safetensors for the state of
    a PyTorch nn.Linear, or in .npz for plain NumPy arrays. No format holds code.
    """
    loaded = read_model(model)
    check_output(output, model)
    loaded.export(output)
    if loaded.preprocessing.rows == "l2" and not output.lower().endswith(".onnx"):
        say_err("Note: this model divides each row by its length first; who uses the file must do so too.")
    say(f"{output}: {loaded.n_features:,} features, {loaded.n_classes:,} classes.")
