"""The CPU engines for X in main memory: blocks of rows in cache, compiled kernels and BLAS, on several threads."""

from softmargin.engines.cpu.dense import DenseEngine
from softmargin.engines.cpu.sparse import SparseEngine

__all__ = ["DenseEngine", "SparseEngine"]
