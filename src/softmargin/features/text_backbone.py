"""A network for texts in an ONNX file, with its ``tokenizer.json`` beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import check_count
from softmargin.errors import DataError, missing_package
from softmargin.features.network import Network, Opened, Runner
from softmargin.features.onnx_files import OnnxFile, inputs_of, reason
from softmargin.features.outputs import choose_output, choose_pool
from softmargin.features.sessions import check_sizes, open_session, part, runtime_version
from softmargin.text import printable

__all__ = ["TextBackbone", "takes_texts"]

TOKENIZER = "tokenizer.json"
_TYPES: dict[int, np.dtype[Any]] = {6: np.dtype("i4"), 7: np.dtype("i8")}
"""Types of inputs by their number in ``onnx.TensorProto``."""
_KNOWN = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_MOST_TOKENS = 512
"""Default, if the configuration of the tokenizer states none."""
_LARGEST_LENGTH = 1 << 17
"""Larger lengths in a configuration mean that there is no limit, which would need too much memory."""


@dataclass(frozen=True)
class TextInput:
    """The inputs of a network for texts.

    Attributes
    ----------
    tokenizer : tokenizers.Tokenizer
        Truncates to the largest number of tokens.
    types : dict of str to numpy.dtype
        The inputs that the graph wants.
    shape : tuple of (int, int or None)
        Batch size and number of tokens; None if the latter varies.
    padding : int
        The token after the end of a text.
    """

    tokenizer: Any
    types: dict[str, np.dtype[Any]]
    shape: tuple[int, int | None]
    padding: int

    def feeds(self, text: str) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Return the inputs of a text, and which of its tokens are not padding."""
        with _tokenizer_errors("the text cannot be split into tokens"):
            encoded = self.tokenizer.encode(text.encode("utf-8", "replace").decode())
        ids, kinds = list(encoded.ids) or [self.padding], list(encoded.type_ids) or [0]
        batch, length = self.shape
        rest = 0 if length is None else length - len(ids)
        is_token = np.arange(len(ids) + rest) < len(ids)
        rows = {
            "input_ids": ids + [self.padding] * rest,
            "attention_mask": is_token,
            "token_type_ids": kinds + [0] * rest,
            "position_ids": range(len(ids) + rest),
        }
        feeds = {
            name: np.tile(np.array(rows[name]).astype(dtype), (batch, 1)) for name, dtype in self.types.items()
        }
        return feeds, is_token


class TextBackbone(Network):
    """A network for texts in an ONNX file, run by ONNX Runtime on the CPU.

    The graph takes ``input_ids`` and, if it wants them, ``attention_mask``, ``token_type_ids`` and
    ``position_ids``. Texts become tokens by the ``tokenizer.json`` beside the file (package tokenizers). Each text
    is computed by itself and in its own length, so that padding is needed only if the graph has a fixed length.

    Parameters
    ----------
    path : str or path
    output : str, optional
        Name of the output; by default the one with one row per text if there is one, except ``pooler_output``.
    pool : {"auto", "none", "cls", "mean", "max"}
        How the output becomes one row. "none": it has 2 axes. "cls": the first token. "mean", "max": over the
        tokens of the text. "auto": "none" for 2 axes, "mean" for 3.
    max_tokens : int, optional
        Longer texts are truncated. By default ``model_max_length`` in ``tokenizer_config.json``, or 512.
    """

    name = "text_backbone"
    beside = (TOKENIZER,)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        output: str | None = None,
        pool: str = "auto",
        max_tokens: int | None = None,
    ) -> None:
        self.path = path
        self.output = output
        self.pool = pool
        self.max_tokens = max_tokens

    @property
    def takes(self) -> str:
        return "texts"

    def runtime(self) -> str:
        return f"{runtime_version()}, tokenizers {_tokenizers().__version__}"

    def compute(self, item: str) -> NDArray[Any]:
        """Return the features (D,) of a text."""
        opened = self.opened()
        return opened.runner.row(*opened.source.feeds(item))

    def _check(self) -> None:
        super()._check()
        check_count("max_tokens", self.max_tokens or 0)

    def _load(self, file: OnnxFile, path: str) -> Opened:
        types, shape = _inputs(file)
        max_tokens = _most_tokens(path) if self.max_tokens is None else check_count("max_tokens", self.max_tokens)
        if shape[1] is not None:
            max_tokens = min(max_tokens, shape[1])
        tokenizer, padding = _tokenizer(os.path.join(file.folder, TOKENIZER), max_tokens)
        source = TextInput(tokenizer, types, shape, padding)
        sizes = {} if shape[1] is None else dict.fromkeys(types, (shape[0], shape[1]))
        output = choose_output(file, check_sizes(file, sizes), self.output, self.pool, texts=True)
        runner = Runner(file.name, open_session(file, part(file, list(types), output)), output)
        feeds, _ = source.feeds("")
        n_axes = runner.run(feeds).ndim
        pool = choose_pool(self.pool, n_axes, output, texts=True)
        settings = {"output": output, "pool": pool, "max_tokens": max_tokens}
        return Opened(file.content, settings, replace(runner, n_axes=n_axes, pool=pool), source)


def takes_texts(path: str) -> bool:
    """Return whether an ONNX file takes texts, instead of pictures."""
    return "input_ids" in [value.name for value in inputs_of(path)]


def _inputs(file: OnnxFile) -> tuple[dict[str, np.dtype[Any]], tuple[int, int | None]]:
    """Return the types of the inputs, and batch size and number of tokens."""
    shape: list[int | None] = [None, None]
    for value in file.inputs:
        if value.name not in _KNOWN or value.kind not in _TYPES or value.rank not in (None, 2):
            raise DataError(
                f"{file.name} must take {', '.join(_KNOWN)} as int64 or int32 of 2 axes, got the input {value}."
            )
        for axis, size in enumerate(value.shape or ()):
            if isinstance(size, int):
                shape[axis] = size
    if "input_ids" not in [value.name for value in file.inputs]:
        raise DataError(f"{file.name} must take input_ids, got another input.")
    if (shape[0] or 1) * (shape[1] or 1) > _LARGEST_LENGTH:
        raise DataError(f"{file.name} must take at most {_LARGEST_LENGTH:,} tokens, got shape {shape}.")
    return {value.name: _TYPES[value.kind] for value in file.inputs}, (shape[0] or 1, shape[1])


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise missing_package("A backbone for texts", "tokenizers", "backbone") from error
    return tokenizers


def _tokenizer(path: str, max_tokens: int) -> tuple[Any, int]:
    """Return the tokenizer that truncates to a number of tokens, and the token for padding."""
    package = _tokenizers()
    with _tokenizer_errors(f"{printable(path)} must be a file of the package tokenizers"):
        made = package.Tokenizer.from_file(path)
        padding = (made.padding or {}).get("pad_id", 0)
        made.no_padding()
        made.enable_truncation(max_tokens)
        return made, padding


@contextmanager
def _tokenizer_errors(what: str) -> Iterator[None]:
    """Convert the errors of the package tokenizers, which are plain exceptions or panics of Rust."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{what}: {reason(error)}.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{what}: {reason(error)}.") from error


def _most_tokens(path: str) -> int:
    """Return the largest number of tokens in the configuration of the tokenizer beside a file."""
    place = os.path.join(os.path.dirname(path), "tokenizer_config.json")
    if not os.path.isfile(place):
        return _MOST_TOKENS
    try:
        with open(place, encoding="utf-8") as stream:
            config = json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{printable(place)} must hold an object of JSON: {reason(error)}.") from error
    length = config.get("model_max_length") if isinstance(config, dict) else None
    return length if isinstance(length, int) and 1 <= length <= _LARGEST_LENGTH else _MOST_TOKENS
