"""What a bug report needs to know of the computer: versions, BLAS, threads and caches."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from softmargin._version import __version__

__all__ = ["environment", "environment_rows"]

_REQUIRED = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "threadpoolctl", "pillow", "click", "rich")
_OPTIONAL = (
    "pyarrow", "onnx", "onnxruntime", "tokenizers", "sentence-transformers", "torch", "matplotlib", "scikit-image",
)  # fmt: skip
_VARIABLES = ("SOFTMARGIN_THREADS", "SOFTMARGIN_CACHE_DIR", "NUMBA_CACHE_DIR", "OMP_NUM_THREADS")


def environment() -> dict[str, Any]:
    """Return versions, BLAS libraries, threads, caches and the platform as JSON values."""
    import numpy  # noqa: F401 (loads its BLAS)
    import scipy.linalg  # noqa: F401

    from softmargin.features.cache import cache_bytes, cache_folder
    from softmargin.threads import cores, default_threads, thread_libraries, usable_cores

    keys = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    kernels = _kernel_folder(os.environ.get("NUMBA_CACHE_DIR", ""))
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "packages": {name: _version(name) for name in _REQUIRED},
        "optional_packages": {name: _version(name) for name in _OPTIONAL},
        "blas": [{key: library.get(key) for key in keys} for library in thread_libraries()],
        "cores": cores(),
        "usable_cores": usable_cores(),
        "threads": default_threads(),
        "caches": {
            "features": {"folder": str(cache_folder()), "n_bytes": cache_bytes()},
            "kernels": {"folder": str(kernels), "n_bytes": _kernel_bytes(kernels)},
        },
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def environment_rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table about the environment."""
    blas = [[_words(library), f"{library['num_threads']} threads"] for library in found["blas"]]
    caches = found["caches"]
    return [
        ["softmargin", __version__],
        ["python", found["python"]],
        *([name, number or "not installed"] for name, number in found["packages"].items()),
        *([name, number or "not installed"] for name, number in found["optional_packages"].items()),
        *([f"BLAS or OpenMP {k}", ", ".join(words)] for k, words in enumerate(blas, 1)),
        ["threads", f"{found['threads']} ({found['usable_cores']} of {found['cores']} cores are usable)"],
        ["platform", f"{found['platform']}, {found['processor']}"],
        *(
            [f"cache of {name}", f"{one['folder']} ({one['n_bytes'] / 1e6:,.1f} MB)"]
            for name, one in caches.items()
        ),
        *([name, text] for name, text in found["variables"].items()),
    ]


def _words(library: dict[str, Any]) -> str:
    return " ".join(str(library[key]) for key in ("internal_api", "version", "architecture") if library[key])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            names = (line.partition(":")[2].strip() for line in stream if line.startswith("model name"))
            return next(names, "")
    except OSError:  # not Linux
        return platform.processor()


def _kernel_folder(given: str) -> Path:
    """Return the folder of compiled kernels: Numba's own setting, else the folders beside the source files."""
    return Path(given) if given else Path(__file__).parents[1]


def _kernel_bytes(folder: Path) -> int:
    files = [path for suffix in ("nbi", "nbc") for path in folder.rglob(f"*.{suffix}")]
    return sum(path.stat().st_size for path in files)
