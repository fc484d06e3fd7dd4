"""Which output of a network is used, and how it becomes one row per sample."""

from __future__ import annotations

from collections.abc import Sequence

from softmargin.arguments import brief, check_choice
from softmargin.errors import DataError, ParameterError
from softmargin.features.onnx_files import OnnxFile, Value
from softmargin.text import printable, quoted

__all__ = ["POOLS", "choose_output", "choose_pool"]

POOLS = ("auto", "none", "cls", "mean", "max")
_FLOATS = (1, 10, 11)
"""``onnx.TensorProto``: FLOAT, FLOAT16, DOUBLE."""
_POOLED = ("sentence_embedding", "image_embeds", "text_embeds", "pooler_output", "features", "embeddings")
"""Usual names of an output with one row per sample, the preferred first."""
_TOKENS = ("last_hidden_state", "token_embeddings")
"""Usual names of an output with one row per token."""


def choose_output(file: OnnxFile, outputs: Sequence[Value], wanted: str | None, pool: str, texts: bool) -> str:
    """Return the name of the output to use.

    Parameters
    ----------
    file : OnnxFile
    outputs : sequence of Value
    wanted : str, optional
        The name that the user gave.
    pool : str
        "auto" and "none" prefer an output with one row per sample, the others one with tokens or maps.
    texts : bool
        For texts, ``pooler_output`` is not preferred, because it was trained for another task (the next sentence).

    Raises
    ------
    DataError, ParameterError
        No output fits, or several do.
    """
    check_choice("pool", pool, POOLS)
    names = ", ".join(repr(printable(value.name)) for value in outputs)
    if wanted is not None:
        if wanted not in [value.name for value in outputs]:
            raise ParameterError(f"output must be one of {names or 'no outputs'}, got {brief(wanted)}.")
        outputs = [value for value in outputs if value.name == wanted]
    usable = [value for value in outputs if value.kind in _FLOATS and value.rank in (None, 2, 3, 4)]
    if not usable:
        raise DataError(
            f"{file.name} must have an output of floats with one row, some tokens or some maps per sample, got "
            f"{outputs[0] if outputs else 'none'}."
        )
    tokens = [value for value in usable if value.rank != 2]
    pooled = [v for v in usable if v.rank == 2 and not (texts and tokens and v.name == "pooler_output")]
    chosen = pooled or tokens if pool in ("auto", "none") else tokens or pooled
    if len(chosen) > 1:
        preferred = [name for name in (*_POOLED, *_TOKENS) if name in [value.name for value in chosen]]
        if not preferred:
            raise DataError(f"{file.name} has several outputs, {names}; choose one with output=NAME.")
        return preferred[0]
    return chosen[0].name


def choose_pool(pool: str, n_axes: int, output: str, texts: bool = False) -> str:
    """Return how an output is pooled: "auto" is resolved by its number of axes.

    Raises
    ------
    ParameterError
        The output cannot be pooled so.
    """
    choices = {2: ("none",), 3: ("mean", "cls", "max") if texts else ("cls", "mean", "max"), 4: ("mean", "max")}
    if pool != "auto" and pool not in choices[n_axes]:
        raise ParameterError(
            f"pool must be {' or '.join(map(repr, choices[n_axes]))} for the output {quoted(output)} of "
            f"{n_axes} axes, got {pool!r}."
        )
    return choices[n_axes][0] if pool == "auto" else pool
