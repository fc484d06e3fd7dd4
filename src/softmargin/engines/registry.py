"""The engines by name. A new engine is a file and an entry in `ENGINES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from softmargin.arguments import brief, check_choice, check_count
from softmargin.engines.base import Engine
from softmargin.engines.reference import ReferenceEngine
from softmargin.engines.runner import InProcess, Runner
from softmargin.errors import CapabilityError, missing_package
from softmargin.samples import Samples
from softmargin.shards import Part, Shards
from softmargin.sparse import issparse
from softmargin.threads import default_threads

__all__ = ["ENGINES", "EngineFactory", "make_engine", "runner_of"]

EngineFactory = Callable[[Any, int | None], Engine]
"""A function that creates an engine from validated samples (or `Shards`, in the case of `SHARD_ENGINES`) and a
number of threads (None: one per usable core)."""

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


def _chunked(data: Samples | Shards, n_threads: int | None) -> Engine:
    from softmargin.engines.array_part import shards_of
    from softmargin.engines.chunked import ChunkedEngine

    shards = data if isinstance(data, Shards) else shards_of(data)
    return ChunkedEngine(shards, InProcess(), n_threads or default_threads())


def _dask(data: Samples | Shards, n_threads: int | None) -> Engine:
    if not isinstance(data, Shards):
        raise CapabilityError("engine='dask' requires data in shards or dask arrays; use engine='cpu' for others.")
    return _on_dask().dask_engine(data, n_threads)


def _on_dask() -> Any:
    try:
        from softmargin.engines import dask
    except ModuleNotFoundError as error:
        raise missing_package("engine='dask'", "distributed", "dask") from error
    return dask


ENGINES: dict[str, EngineFactory] = {
    "auto": _auto,
    "chunked": _chunked,
    "cpu": _cpu,
    "dask": _dask,
    "reference": _reference,
}

SHARD_ENGINES = ("chunked", "dask")
"""Names of the engines that read `Shards`."""


def make_engine(engine: str | EngineFactory, samples: Samples | Shards, n_threads: int | None = None) -> Engine:
    """Return the engine of this name for the samples; a factory is called with the samples and threads.

    "auto" selects by the size and the type of X alone, never by what is compiled already. It is "reference" for
    very small dense problems, plain NumPy with compiled dual ascent for small ones, and otherwise "cpu". `Shards`
    are read by "chunked", which is also what "auto" selects for them, or on a cluster.

    Raises
    ------
    CapabilityError
        If the engine cannot read shards.
    ParameterError
        If no engine has this name, or ``n_threads`` is not a positive whole number.
    """
    if n_threads is not None:
        check_count("n_threads", n_threads)
    if callable(engine):
        return engine(samples, n_threads)
    name = check_choice("engine", engine, ENGINES)
    if isinstance(samples, Shards):
        name = "chunked" if name == "auto" else name
        if name not in SHARD_ENGINES:
            names = " or ".join(map(repr, SHARD_ENGINES))
            raise CapabilityError(f"engine must be {names} for data in shards, got {brief(name)}.")
    return ENGINES[name](samples, n_threads)


def runner_of(engine: str, parts: Sequence[Part]) -> Runner:
    """Return where an engine of `SHARD_ENGINES` runs tasks on these parts; "auto" is "chunked".

    Raises
    ------
    ParameterError
        If ``engine`` is not one of these names.
    CapabilityError
        If a package is missing, or there is no current client of Dask.
    ClusterError
        If a worker cannot read the parts.
    """
    if check_choice("engine", engine, ("auto", *SHARD_ENGINES)) != "dask":
        return InProcess()
    runner: Runner = _on_dask().current_runner(parts)
    return runner
