"""Engines: walk X once, in the place where it lives."""

from __future__ import annotations

from softmargin.engines.base import DualSums, Engine, Samples
from softmargin.engines.cpu import CpuEngine
from softmargin.engines.dual import DualRows, Sweep
from softmargin.engines.reference import ReferenceEngine
from softmargin.errors import ParameterError

__all__ = ["ENGINES", "CpuEngine", "DualRows", "DualSums", "Engine", "ReferenceEngine", "Samples", "Sweep", "make_engine"]

ENGINES = ("auto", "cpu", "reference")


def make_engine(name: str, samples: Samples, n_threads: int | None = None) -> Engine:
    """Return the engine of this name for these samples; "auto" is the CPU engine for any array in memory.

    Raises
    ------
    ParameterError
        If there is no engine of this name.
    """
    if name == "reference":
        return ReferenceEngine(samples)
    if name in ("auto", "cpu"):
        return CpuEngine(samples, n_threads)
    raise ParameterError(f"engine must be one of {', '.join(map(repr, ENGINES))}, but it is {name!r}.")
