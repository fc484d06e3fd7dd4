"""The engines by name. A new engine is a file and an entry in `ENGINES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from softmargin.arguments import check_choice, check_count
from softmargin.engines.base import Engine
from softmargin.engines.reference import ReferenceEngine
from softmargin.samples import Samples
from softmargin.sparse import issparse

__all__ = ["ENGINES", "EngineFactory", "make_engine"]

EngineFactory = Callable[[Samples, int | None], Engine]
"""A function that creates an engine from validated samples and a number of threads (None: one per usable core)."""

_TINY = 1 << 16
"""Up to this many multiplications in X @ W, a pass of plain NumPy takes less than a millisecond. Importing the
compiler would not pay."""

_SMALL = 1 << 22
"""Up to this many, plain NumPy is fast enough for passes, and only the loop of dual ascent is compiled."""


def _reference(samples: Samples, n_threads: int | None) -> Engine:
    return ReferenceEngine(replace(samples, X=samples.X.toarray()) if issparse(samples.X) else samples)


def _cpu(samples: Samples, n_threads: int | None) -> Engine:
    from softmargin.engines.cpu import DenseEngine, SparseEngine  # imported here because Numba takes long to load

    return (SparseEngine if issparse(samples.X) else DenseEngine)(samples, n_threads)


def _small(samples: Samples, n_threads: int | None) -> Engine:
    from softmargin.engines.cpu.small import SmallEngine

    return SmallEngine(samples, n_threads)


def _auto(samples: Samples, n_threads: int | None) -> Engine:
    size = samples.X.size * samples.n_classes
    if issparse(samples.X) or size > _SMALL:
        return _cpu(samples, n_threads)
    return (_reference if size <= _TINY else _small)(samples, n_threads)


ENGINES: dict[str, EngineFactory] = {"auto": _auto, "cpu": _cpu, "reference": _reference}


def make_engine(engine: str | EngineFactory, samples: Samples, n_threads: int | None = None) -> Engine:
    """Return the engine of this name for the samples; a factory is called with the samples and threads.

    "auto" selects by the size and the type of X alone, never by what is compiled already. It is "reference" for
    very small dense problems, plain NumPy with compiled dual ascent for small ones, and otherwise "cpu".

    Raises
    ------
    ParameterError
        If no engine has this name, or ``n_threads`` is not a positive whole number.
    """
    if n_threads is not None:
        check_count("n_threads", n_threads)
    if callable(engine):
        return engine(samples, n_threads)
    return ENGINES[check_choice("engine", engine, ENGINES)](samples, n_threads)
