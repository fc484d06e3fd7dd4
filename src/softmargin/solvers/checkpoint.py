"""Where a long fit stands, on disk: enough to go on with the same bits after the process was killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from softmargin.errors import DataError, ModelFileError, ParameterError, warn
from softmargin.io.atomic import write_atomically
from softmargin.io.safetensors import encode_record, read_record
from softmargin.solvers.base import Saved

__all__ = ["Checkpoint"]


class Checkpoint:
    """A file that holds the latest state of one fit.

    Parameters
    ----------
    path : path-like
        Written now and then, replaced as a whole; removed when the fit has converged.
    problem : str
        What the fit is about; a file about another problem is refused.
    seconds : float
        Least time between two writes; 0 writes at every border of the algorithm.

    Raises
    ------
    ParameterError
        If the path cannot be one of a file.
    DataError
        If the file is there but damaged, something else or of another problem.
    """

    def __init__(self, path: Any, problem: str, seconds: float) -> None:
        try:
            self._path = Path(path)
        except TypeError:
            raise ParameterError(f"checkpoint must be a path, but it is {path!r}.") from None
        try:
            if not self._path.parent.is_dir() or self._path.is_dir():
                raise ParameterError(
                    f"checkpoint must be a file in a folder that exists, but it is {str(path)!r}."
                )
            with TemporaryFile(dir=self._path.parent):
                self._path.exists()
        except OSError as error:  # better now than after hours
            raise ParameterError(f"checkpoint cannot be kept at {str(path)!r}: {error.strerror}.") from None
        self._problem = problem
        self._seconds = seconds
        self._written = time.perf_counter()
        self.state: Saved | None = self._read()

    def _read(self) -> Saved | None:
        try:
            with self._path.open("rb") as stream:
                card, tensors = read_record(stream, str(self._path))
            entries = json.loads(card)
            if entries.get("kind") != "checkpoint":
                raise ValueError
        except FileNotFoundError:
            return None
        except (ModelFileError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(
                f"{self._path} is no whole checkpoint of a fit: remove it or give another path."
            ) from None
        if entries["problem"] != self._problem:
            raise DataError(
                f"{self._path} is the checkpoint of another problem (data, loss, reg, tol or the solver differ): "
                f"remove it or give another path."
            )
        state: Saved = dict(entries["state"])
        for name, tensor in tensors.items():
            state[name] = tensor.astype(entries["dtypes"][name])
        return state

    def offer(self, state: Callable[[], Saved]) -> None:
        """Write the state if it is time to. Where that fails, a warning says so and the fit goes on."""
        now = time.perf_counter()
        if now - self._written < self._seconds:
            return
        entries = state()
        arrays = {name: value for name, value in entries.items() if isinstance(value, np.ndarray)}
        card = {
            "kind": "checkpoint",
            "problem": self._problem,
            "dtypes": {name: str(array.dtype) for name, array in arrays.items()},
            "state": {name: value for name, value in entries.items() if name not in arrays},
        }
        tensors = {name: array.astype(np.float64) for name, array in arrays.items()}
        try:
            write_atomically(self._path, encode_record(json.dumps(card), tensors))
        except OSError as error:
            warn(
                f"The checkpoint {self._path} could not be written ({error.strerror}); the fit goes on.",
                UserWarning,
            )
        self._written = time.perf_counter()

    def remove(self) -> None:
        """Remove the file: the fit is done."""
        self._path.unlink(missing_ok=True)
