"""The engines for X in main memory on a CPU: blocks of rows in cache, compiled kernels and BLAS, over threads."""

from softmargin.engines.cpu.dense import DenseEngine
from softmargin.engines.cpu.sparse import SparseEngine

__all__ = ["DenseEngine", "SparseEngine"]
