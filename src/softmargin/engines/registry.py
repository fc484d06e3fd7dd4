"""The engines by name. A new one is a file, and an entry in `ENGINES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scipy.sparse import issparse

from softmargin.arguments import check_count
from softmargin.engines.base import Engine
from softmargin.engines.reference import ReferenceEngine
from softmargin.errors import ParameterError
from softmargin.samples import Samples

__all__ = ["ENGINES", "EngineFactory", "make_engine"]

EngineFactory = Callable[[Samples, int | None], Engine]
"""Makes an engine for checked samples and a number of threads, by default one for each usable core."""

_TINY = 1 << 16
"""Up to this many multiplications in X @ W a pass of plain NumPy takes less than a millisecond: not worth the ten
seconds in which the kernels of the other engines are compiled, where they are not yet."""


def _reference(samples: Samples, n_threads: int | None) -> Engine:
    return ReferenceEngine(replace(samples, X=samples.X.toarray()) if issparse(samples.X) else samples)


def _cpu(samples: Samples, n_threads: int | None) -> Engine:
    from softmargin.engines.cpu import DenseEngine, SparseEngine  # Numba is imported where it is needed

    return (SparseEngine if issparse(samples.X) else DenseEngine)(samples, n_threads)


def _auto(samples: Samples, n_threads: int | None) -> Engine:
    tiny = not issparse(samples.X) and samples.X.size * samples.n_classes <= _TINY
    return (_reference if tiny else _cpu)(samples, n_threads)


ENGINES: dict[str, EngineFactory] = {"auto": _auto, "cpu": _cpu, "reference": _reference}


def make_engine(engine: str | EngineFactory, samples: Samples, n_threads: int | None = None) -> Engine:
    """Return the engine of this name for these samples, or what a factory makes of them.

    "auto" is the CPU's for any X in memory, dense or sparse, but plain NumPy for dense X of very small problems.

    Raises
    ------
    ParameterError
        If there is no engine of this name, or ``n_threads`` is not a number of threads.
    """
    if n_threads is not None:
        check_count("n_threads", n_threads)
    if callable(engine):
        return engine(samples, n_threads)
    if not isinstance(engine, str) or engine not in ENGINES:
        raise ParameterError(f"engine must be one of {', '.join(map(repr, ENGINES))}, but it is {engine!r}.")
    return ENGINES[engine](samples, n_threads)
