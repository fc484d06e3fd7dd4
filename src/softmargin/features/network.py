"""What backbones for pictures and for texts share: finding the file, choosing an output and pooling it.

One sample is computed per run, and several threads run the same session, which uses one thread itself. Measured on
two cores (EfficientNet-lite0, 224 pixels), this gives 150 pictures per second, and batches of 16 give 113. The
bits of a row then depend neither on other samples nor on the number of threads.
"""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import brief, check_choice
from softmargin.errors import DataError, ModelFileError, ParameterError, SoftmarginError
from softmargin.features.base import FeatureExtractor
from softmargin.features.onnx_files import OnnxFile, read_onnx, reason
from softmargin.features.outputs import POOLS
from softmargin.io.paths import check_path
from softmargin.text import printable, quoted, to_json
from softmargin.threads import ForkLock

__all__ = ["Network", "Opened", "Runner"]


@dataclass(frozen=True)
class Runner:
    """One output of a session, pooled to a row per sample.

    Attributes
    ----------
    name : str
        The file, for messages.
    session : onnxruntime.InferenceSession
    output : str
    n_axes : int
        Number of axes of the output; 0 if it is not known yet.
    pool : str
        Of `POOLS`, except "auto".
    channels_last : bool
        Whether maps are (height, width, channels).
    """

    name: str
    session: Any
    output: str
    n_axes: int = 0
    pool: str = "none"
    channels_last: bool = False

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the output, (N, …), where N is the batch size of the feeds.

        Raises
        ------
        DataError
            ONNX Runtime refuses the shapes, or the output is not one of floats with a row per sample.
        """
        shapes = [list(feed.shape) for feed in feeds.values()]
        used = {value.name for value in self.session.get_inputs()}  # a file may declare more than it uses
        if used.isdisjoint(feeds):
            raise DataError(f"{self.name} must compute {quoted(self.output)} from its input, got a constant.")
        try:
            [found] = self.session.run([self.output], {name: feed for name, feed in feeds.items() if name in used})
        except Exception as error:  # ONNX Runtime has errors of its own
            raise DataError(
                f"{self.name} cannot compute an input of shape {shapes[0]}: {reason(error)}."
            ) from error
        shape: tuple[int, ...] = getattr(found, "shape", ())
        if getattr(found, "dtype", np.dtype(object)).kind != "f":
            raise DataError(f"{self.name} must give floats, got another type in its output {self.output!r}.")
        if (
            len(shape) not in ((self.n_axes,) if self.n_axes else (2, 3, 4))
            or shape[0] != shapes[0][0]
            or 0 in shape
        ):
            raise DataError(
                f"{self.name} must give one row, some tokens or some maps per sample, got the output "
                f"{quoted(self.output)} of shape {list(shape)} for an input of shape {shapes[0]}."
            )
        return found

    def row(self, feeds: Mapping[str, NDArray[Any]], is_token: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return the features (D,) of the first sample of a batch.

        Parameters
        ----------
        feeds : mapping of str to ndarray
        is_token : ndarray of bool, shape (L,), optional
            Which tokens are not padding.
        """
        first = self.run(feeds)[0]
        if first.ndim == 3:
            first = first.reshape(-1, first.shape[2]) if self.channels_last else first.reshape(len(first), -1).T
        if self.pool == "none":
            return first
        if self.pool == "cls":
            return first[0]
        if is_token is not None and len(is_token) == len(first):
            first = first[is_token]
        return first.max(axis=0) if self.pool == "max" else first.mean(axis=0, dtype=np.float64)


@dataclass(frozen=True)
class Opened:
    """A network that is ready to compute.

    Attributes
    ----------
    content : str
        SHA-256.
    settings : dict
        All parameters, as they were found in the files.
    runner : Runner
    source : object
        What turns a sample into the inputs of the network.
    """

    content: str
    settings: dict[str, Any]
    runner: Runner
    source: Any


class Network(FeatureExtractor):
    """Base class of extractors that run an ONNX file by ONNX Runtime on the CPU."""

    beside: ClassVar[tuple[str, ...]] = ()
    """Names of further files that must be in the folder of the ONNX file."""

    path: Any
    _opened: tuple[str, Opened] | None = None
    _expected: str | None = None
    """The content that a model recorded."""
    _folder: str | None = None
    """The folder of the model."""
    _original: str | None = None
    """The name of the file, if a user gave another place."""

    @abstractmethod
    def _load(self, file: OnnxFile, path: str) -> Opened:
        """Check a file and open a session."""

    def _check(self) -> None:
        """Check recorded parameters, or raise a `ParameterError`."""
        check_choice("pool", self.pool, POOLS[1:])
        for name in ("input", "output"):
            if not isinstance(getattr(self, name, ""), str):
                raise ParameterError(f"{name} must be a name, got {brief(getattr(self, name))}.")

    def prepare(self) -> None:
        """Read and check the file, and compute one sample without content.

        Raises
        ------
        CapabilityError
            A package is missing.
        ModelFileError
            The file that a model needs is missing or has changed.
        DataError, ParameterError
            The file cannot be used, or not with these options.
        """
        self.opened()

    def content(self) -> str:
        return self._expected or self.opened().content

    def settings(self) -> dict[str, Any]:
        if self._expected is None:
            return self.opened().settings
        return {name: to_json(v, repr) for name, v in self.get_params(deep=False).items() if name != "path"}

    def record(self) -> dict[str, Any]:
        return super().record() | {"path": check_path(self.path)}

    def describe(self) -> str:
        return printable(os.path.basename(check_path(self.path)))

    @classmethod
    def restored(
        cls, record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], folder: str | os.PathLike[str]
    ) -> Self:
        """Return the extractor of a model, which refuses a file with another content.

        The file is looked for where it was, then in the folder of the model.
        """
        settings = {name: tuple(v) if isinstance(v, list) else v for name, v in record["settings"].items()}
        made = cls(record["path"], **settings)
        missing = [name for name, value in made.get_params(deep=False).items() if value is None]
        if missing:
            raise ParameterError(f"the setting {missing[0]} must be recorded.")
        made._check()
        made._expected, made._folder = record["content"], os.fspath(folder)
        return made

    def relocated(self, path: str | os.PathLike[str]) -> Self:
        """Return the same extractor with its file in another place."""
        made = copy.copy(self)
        made.path, made._folder, made._opened = check_path(path), None, None
        made._original = self._original or self.describe()
        return made

    def file(self) -> OnnxFile:
        """Return the file, parsed again.

        Raises
        ------
        DataError
            It has changed since it was opened.
        """
        path, file = self._found()
        if file.content != self.content():
            raise DataError(f"{printable(path)} has changed since it was opened.")
        return file

    def files(self) -> list[str]:
        """Return the file, its external data, and the files beside it that describe the input."""
        try:
            path, file = self._found()
            external = file.external
        except SoftmarginError:  # an error where the file is needed
            path, external = check_path(self.path), []
        folder, name = os.path.split(path)
        beside = ["preprocessor_config.json", f"{os.path.splitext(name)[0]}.preprocessor_config.json"]
        beside += ["tokenizer.json", "tokenizer_config.json"]
        return [path, *(os.path.join(folder, other) for other in [*external, *beside])]

    def opened(self) -> Opened:
        """Return the network, opened on first use and after a change of parameters."""
        key = repr(self.get_params(deep=False))
        opened = self._opened
        if opened is None or opened[0] != key:
            with _OPENING.lock:
                opened = self._opened
                if opened is None or opened[0] != key:
                    path, file = self._found()
                    opened = self._opened = key, self._load(file, path)
        return opened[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the session; the copy opens its own."""
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    def _found(self) -> tuple[str, OnnxFile]:
        given = check_path(self.path)
        if self._expected is None:
            return given, read_onnx(given, self.beside)
        places = [given]
        if self._folder is not None:
            places.append(os.path.join(self._folder, os.path.basename(given)))
        problems: list[SoftmarginError] = []
        for place in filter(os.path.isfile, places):
            try:
                file = read_onnx(place, self.beside)
            except DataError as error:
                problems.append(error)
                continue
            if file.content == self._expected:
                return place, file
            changed = (
                f"{printable(place)} must be the file with which the model was made (SHA-256 "
                f"{self._expected[:12]}…), got another (SHA-256 {file.content[:12]}…)."
            )
            problems.append(ModelFileError(changed))
        if problems:
            raise problems[0]
        if self._original is not None:
            raise ModelFileError(
                f"{printable(given)} is not a file; give the ONNX file of the backbone {self._original} (SHA-256 "
                f"{self._expected[:12]}…)."
            )
        raise ModelFileError(
            f"The model needs the backbone {self.describe()} (SHA-256 {self._expected[:12]}…); put it beside the "
            f"model or give it with --features FILE."
        )


_OPENING = ForkLock()
