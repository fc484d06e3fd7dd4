"""The micro-kernels of the tiles: vector instructions for the tested compiler versions, otherwise plain loops."""

from __future__ import annotations

import re

import llvmlite
import numba

__all__ = ["LINE", "MOST_CLASSES", "READS_HALF", "accumulate_tile_gradient", "add_tile_scores", "is_tested"]

_BELOW = {"numba": (0, 69), "llvmlite": (0, 51)}
"""The emitter uses internal interfaces of both packages, which may change in a minor version. It is tested with
versions below these bounds, which ``pyproject.toml`` repeats."""


def is_tested(**versions: str) -> bool:
    """Return whether the emitter was tested with these versions of Numba and llvmlite."""
    return all(tuple(map(int, re.findall(r"\d+", text)[:2])) < _BELOW[name] for name, text in versions.items())


if is_tested(numba=numba.__version__, llvmlite=llvmlite.__version__):
    from softmargin.engines.cpu.emitted import (
        LINE,
        MOST_CLASSES,
        READS_HALF,
        accumulate_tile_gradient,
        add_tile_scores,
    )
else:
    from softmargin.engines.cpu.plain import (
        LINE,
        MOST_CLASSES,
        READS_HALF,
        accumulate_tile_gradient,
        add_tile_scores,
    )
