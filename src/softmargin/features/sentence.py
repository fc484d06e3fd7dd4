"""Embeddings of texts by a model of sentence-transformers."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import check_count
from softmargin.errors import DataError, ModelFileError, missing_package
from softmargin.features.base import FeatureExtractor
from softmargin.features.onnx_files import reason
from softmargin.text import printable
from softmargin.threads import ForkLock

__all__ = ["SentenceEncoder"]

_SUFFIXES = (".json", ".txt", ".model", ".safetensors", ".bin")
"""Files on which embeddings depend."""
_OTHER_RUNTIMES = ("onnx", "openvino")
"""Folders with the same model for other programs."""


class SentenceEncoder(FeatureExtractor):
    """A model of sentence-transformers, run by PyTorch on the CPU, one text at a time.

    Each thread has its own tokenizer and shares the weights. A batch would make the bits of a row depend on the
    other texts.

    Parameters
    ----------
    model : str or path
        A folder, or a name on the Hugging Face hub, from which sentence-transformers downloads it. Models with
        code of their own are refused.
    max_tokens : int, optional
        Longer texts are truncated; by default as the model states.
    """

    name = "sentence"
    _expected: str | None = None
    _folder: str | None = None
    _opened: _Opened | None = None

    def __init__(self, model: str | os.PathLike[str], max_tokens: int | None = None) -> None:
        self.model = model
        self.max_tokens = max_tokens

    @property
    def takes(self) -> str:
        return "texts"

    def describe(self) -> str:
        return f"st:{printable(os.path.basename(os.fspath(self.model).rstrip('/')))}"

    def prepare(self) -> None:
        """Load the model.

        Raises
        ------
        CapabilityError
            The package sentence-transformers is missing.
        DataError
            The model cannot be loaded.
        ModelFileError
            It has changed since a classifier was made with it.
        """
        self._open()

    def content(self) -> str:
        return self._expected or self._open().content

    def runtime(self) -> str:
        import torch

        return f"sentence-transformers {_package().__version__}, torch {torch.__version__}"

    def settings(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def record(self) -> dict[str, Any]:
        return super().record() | {"path": os.fspath(self.model)}

    @classmethod
    def restored(
        cls, record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], folder: str | os.PathLike[str]
    ) -> Self:
        """Return the extractor of a model, which refuses another content.

        A folder is looked for where it was, then in the folder of the model.
        """
        made = cls(record["path"], **record["settings"])
        if made.max_tokens is not None:
            check_count("max_tokens", made.max_tokens)
        made._expected, made._folder = record["content"], os.fspath(folder)
        return made

    def files(self) -> list[str]:
        """Return the folder of a local model."""
        folder = os.fspath(self.model)
        return [folder] if os.path.isdir(folder) else []

    def relocated(self, path: str | os.PathLike[str]) -> Self:
        """Return the same extractor with its files in another place."""
        made = copy.copy(self)
        made.model, made._folder, made._opened = os.fspath(path), None, None
        return made

    def compute(self, item: str) -> NDArray[Any]:
        """Return the embedding (D,) of a text."""
        text = item.encode("utf-8", "replace").decode()
        model = self._open().own()
        with _one_torch_thread():
            row = model.encode([text], batch_size=1, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(row)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the network; the copy loads its own."""
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is None or opened.key != (self.model, self.max_tokens):
            with _OPENING.lock:
                opened = self._opened
                if opened is None or opened.key != (self.model, self.max_tokens):
                    opened = self._opened = self._load()
        return opened

    def _load(self) -> _Opened:
        package = _package()
        given = os.fspath(self.model)
        beside = os.path.join(self._folder or "", os.path.basename(given.rstrip("/")))
        place = (
            beside if not os.path.isdir(given) and self._folder is not None and os.path.isdir(beside) else given
        )
        if not os.path.isdir(place) and (os.path.isabs(place) or place.startswith(".") or place.count("/") > 1):
            raise DataError(f"st:{printable(place)} must be a folder or a name on the hub, got no such folder.")
        try:
            with _quiet():
                model = package.SentenceTransformer(place, device="cpu").eval()
            if self.max_tokens is not None:
                model.max_seq_length = check_count("max_tokens", self.max_tokens)
            folder = place if os.path.isdir(place) else _downloaded(place)
        except Exception as error:  # the package and the hub raise errors of many types
            why = reason(error).partition(". ")[0]
            raise DataError(
                f"st:{printable(given)} cannot be loaded by sentence-transformers: {why}; give the folder of a "
                f"model, or the name of one on the hub."
            ) from error
        content = _content(Path(folder))
        if self._expected is not None and self._expected != content:
            raise ModelFileError(
                f"{printable(place)} must be the one with which the model was made (SHA-256 "
                f"{self._expected[:12]}…), got another (SHA-256 {content[:12]}…)."
            )
        return _Opened((self.model, self.max_tokens), content, model)


class _Opened:
    """A loaded model with a copy per thread that shares the weights, because tokenizers cannot be shared."""

    def __init__(self, key: Any, content: str, model: Any) -> None:
        self.key, self.content = key, content
        self._model = model
        self._weights = {id(part): part for part in (*model.parameters(), *model.buffers())}
        self._local = threading.local()
        self._copying = threading.Lock()

    def own(self) -> Any:
        """Return the copy of the calling thread."""
        if not hasattr(self._local, "model"):
            with self._copying:
                self._local.model = copy.deepcopy(self._model, dict(self._weights))
        return self._local.model


_OPENING = ForkLock()
_SETTING = ForkLock()
_holders = {"number": 0, "threads": 1}


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Limit PyTorch to the calling thread; the last thread that leaves restores the number."""
    import torch

    with _SETTING.lock:
        if _holders["number"] == 0:
            _holders["threads"] = torch.get_num_threads()
        _holders["number"] += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _SETTING.lock:
            _holders["number"] -= 1
            if _holders["number"] == 0:
                torch.set_num_threads(_holders["threads"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress bar with which transformers loads weights, and what the hub logs before its errors."""
    import transformers

    bars: Any = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    bars.disable_progress_bar()
    hub.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        hub.setLevel(level)
        if shown:
            bars.enable_progress_bar()


def _package() -> Any:
    try:
        import sentence_transformers
    except ImportError as error:
        raise missing_package("st:NAME", "sentence-transformers", "text") from error
    return sentence_transformers


def _downloaded(name: str) -> str:
    """Return the folder to which sentence-transformers downloaded a model."""
    from huggingface_hub import snapshot_download

    names = [name, f"sentence-transformers/{name}"] if "/" not in name else [name]
    for one in names[:-1]:
        try:
            return str(snapshot_download(one, local_files_only=True))
        except OSError:  # it has the longer name
            continue
    return str(snapshot_download(names[-1], local_files_only=True))


def _content(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of the files on which embeddings depend."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and path.suffix in _SUFFIXES and inner.parts[0] not in _OTHER_RUNTIMES:
            with path.open("rb") as stream:
                digest.update(f"{inner.as_posix()} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
