"""Engines: walk X once, in the place where it lives."""

from __future__ import annotations

from dataclasses import replace

from scipy.sparse import issparse

from softmargin.engines.base import DualSums, Engine, Product, Samples
from softmargin.engines.cpu import CpuEngine
from softmargin.engines.dual import DualRows, Sweep
from softmargin.engines.reference import ReferenceEngine
from softmargin.engines.sparse import SparseEngine, canonical_csr
from softmargin.errors import ParameterError
from softmargin.validation import check_count

__all__ = [
    "ENGINES",
    "CpuEngine",
    "DualRows",
    "DualSums",
    "Engine",
    "Product",
    "ReferenceEngine",
    "Samples",
    "SparseEngine",
    "Sweep",
    "canonical_csr",
    "make_engine",
]

ENGINES = ("auto", "cpu", "reference")

_TINY = 1 << 16
"""Up to this many multiplications in X @ W a pass of plain NumPy takes less than a millisecond: not worth the ten
seconds in which the kernels of the other engines are compiled, where they are not yet."""


def make_engine(name: str, samples: Samples, n_threads: int | None = None) -> Engine:
    """Return the engine of this name for these samples.

    "auto" is the CPU's for any X in memory, dense or sparse, but plain NumPy for dense X of very small problems.

    Raises
    ------
    DataError
        If X is sparse and not valid.
    ParameterError
        If there is no engine of this name, or ``n_threads`` is no number of threads.
    """
    if n_threads is not None:
        check_count("n_threads", n_threads)
    if issparse(samples.X):
        samples = replace(samples, X=canonical_csr(samples.X))
    if name == "reference":
        return ReferenceEngine(replace(samples, X=samples.X.toarray()) if issparse(samples.X) else samples)
    if name == "auto" and not issparse(samples.X) and samples.X.size * samples.n_classes <= _TINY:
        return ReferenceEngine(samples)
    if name in ("auto", "cpu"):
        return SparseEngine(samples, n_threads) if issparse(samples.X) else CpuEngine(samples, n_threads)
    raise ParameterError(f"engine must be one of {', '.join(map(repr, ENGINES))}, but it is {name!r}.")
