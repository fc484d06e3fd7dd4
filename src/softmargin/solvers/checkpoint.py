"""A file with the state of a long fit: after the process was killed, the fit resumes to the same bits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from softmargin.arguments import brief
from softmargin.errors import DataError, ModelFileError, ParameterError, warn
from softmargin.io.atomic import write_atomically
from softmargin.io.safetensors import encode_record, read_record
from softmargin.solvers.base import Saved

__all__ = ["Checkpoint"]


class Checkpoint:
    """A file with the latest state of one fit.

    Parameters
    ----------
    path : path-like
        Replaced as a whole at each write; removed when the fit has converged.
    problem : str
        Identifies the problem; the checkpoint of another problem raises an error.
    seconds : float
        Minimum time between two writes; 0 writes every resumable state.

    Raises
    ------
    ParameterError
        If no file can be written at this path.
    DataError
        If the file exists but is damaged, is not a checkpoint or belongs to another problem.
    """

    def __init__(self, path: Any, problem: str, seconds: float) -> None:
        try:
            self._path = Path(path)
        except TypeError:
            raise ParameterError(f"checkpoint must be a path, got {brief(path)}.") from None
        try:
            if not self._path.parent.is_dir() or self._path.is_dir():
                raise ParameterError(f"checkpoint must be a file in an existing folder, got {str(path)!r}.")
            with TemporaryFile(dir=self._path.parent):
                self._path.exists()
        except OSError as error:  # better now than after hours
            raise ParameterError(f"checkpoint cannot be written to {str(path)!r}: {error.strerror}.") from None
        self._problem = problem
        self._seconds = seconds
        self._written = time.perf_counter()
        self.state: Saved | None = self._read()

    def _read(self) -> Saved | None:
        try:
            with self._path.open("rb") as stream:
                metadata, tensors = read_record(stream, str(self._path))
            entries = json.loads(metadata)
            if entries.get("kind") != "checkpoint":
                raise ValueError
        except FileNotFoundError:
            return None
        except (ModelFileError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{self._path} is not a valid checkpoint; delete it or choose another path.") from None
        if entries["problem"] != self._problem:
            raise DataError(
                f"{self._path} is the checkpoint of another problem (data, loss, reg, tol or solver differ); "
                f"delete it or choose another path."
            )
        arrays = {name: tensor.astype(entries["dtypes"][name]) for name, tensor in tensors.items()}
        return {**entries["state"], **arrays}

    def offer(self, state: Callable[[], Saved]) -> None:
        """Write the state if it is due; if that fails, warn and continue the fit."""
        if time.perf_counter() - self._written >= self._seconds:
            self.write(state())

    def write(self, entries: Saved) -> None:
        """Write a state; if that fails, warn and continue the fit."""
        arrays = {name: value for name, value in entries.items() if isinstance(value, np.ndarray)}
        metadata = {
            "kind": "checkpoint",
            "problem": self._problem,
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
            "state": {name: value for name, value in entries.items() if name not in arrays},
        }
        tensors = {name: array.astype(np.float64) for name, array in arrays.items()}
        try:
            write_atomically(self._path, encode_record(json.dumps(metadata), tensors))
        except OSError as error:
            warn(
                f"The checkpoint {self._path} could not be written ({error.strerror}); the fit continues.",
                UserWarning,
            )
        self._written = time.perf_counter()

    def remove(self) -> None:
        """Remove the file after the fit has converged."""
        self._path.unlink(missing_ok=True)
