"""Before any test imports softmargin: a folder for compiled kernels that belongs to exactly these kernels."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

_WITH_KERNELS = ("losses", "engines/cpu")
"""Folders of the package that hold kernels or what is compiled into them."""


def _kernels_hash() -> str:
    spec = find_spec("softmargin")  # does not import it
    assert spec is not None, "softmargin is not installed"
    assert spec.submodule_search_locations is not None
    digest = hashlib.sha256()
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).rglob("*.py")):
            inner = path.relative_to(folder)
            if inner.as_posix().startswith(_WITH_KERNELS):
                digest.update(inner.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _own_folder(name: str) -> str:
    """Return a folder of this name that nobody else can write to: Numba's cache files are pickles."""
    folder = Path(tempfile.gettempdir(), name)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise RuntimeError(f"{folder} can be written by others: remove it.")
    return str(folder)


# Numba's cache on disk watches only the file of the kernel itself. The row functions of the losses are compiled
# into the kernels of the CPU engine from other files; after an edit there the cache would hand out the old code,
# and the tests would judge that. So the name of the folder holds a hash of every file with kernels. A value
# already set is overruled for the same reason; processes started by tests inherit this one.
assert "numba" not in sys.modules, "numba was imported before tests/conftest.py: NUMBA_CACHE_DIR comes too late"
os.environ["NUMBA_CACHE_DIR"] = _own_folder(
    f"softmargin-tests-{os.getuid() if hasattr(os, 'getuid') else 'user'}-{_kernels_hash()}"
)


def _auto_takes(engine: str) -> Iterator[None]:
    limits = {"auto": (), "small": ("_TINY",), "compiled": ("_TINY", "_SMALL")}[engine]
    with pytest.MonkeyPatch.context() as patch:
        for limit in limits:
            patch.setattr(f"softmargin.engines.registry.{limit}", 0)
        yield


@pytest.fixture(scope="module")
def compiled() -> Iterator[None]:
    """Let "auto" take the compiled engine for the small problems, too, that it leaves to NumPy otherwise."""
    yield from _auto_takes("compiled")


@pytest.fixture(scope="module", params=["auto", "small", "compiled"])
def either_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let "auto" do what users with very small data get, then those with small data, then with large data."""
    yield from _auto_takes(request.param)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep features that tests compute out of the cache of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
