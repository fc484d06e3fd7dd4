"""What the last bits of the results of a process depend on, beyond the data."""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite
import numba
import numpy
import scipy
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

from softmargin._version import __version__
from softmargin.threads import thread_libraries

__all__ = ["signature"]


@cache
def signature() -> dict[str, str]:
    """Return versions, processor, and kernels of BLAS."""
    found = [name for name, has in get_host_cpu_features().items() if has]
    config: Any = numba.config  # whose names are set when it is imported
    features = config.CPU_FEATURES or ",".join(sorted(found))
    kernels = sorted({f"{each['internal_api']} {each.get('architecture')}" for each in thread_libraries()})
    return {
        "softmargin": __version__, "numpy": numpy.__version__, "scipy": scipy.__version__,
        "numba": numba.__version__, "llvmlite": llvmlite.__version__,
        "processor": config.CPU_NAME or get_host_cpu_name(), "processor features": features,
        "BLAS kernels": ", ".join(kernels),
    }  # fmt: skip
