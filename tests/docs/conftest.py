"""The site, built once for all test processes, and a browser to read it with."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, Browser

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built pages; the gallery is written without running its programs."""
    if find_spec("sphinx") is None:
        pytest.skip("needs the extra docs")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers have one folder each, in that of the run
        folder = folder.parent
    pages = folder / "site"
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "site.done").exists():
            build = [sys.executable, "-m", "sphinx", "-W", "-q", "-D", "plot_gallery=False", "-d", str(folder / "doctrees")]
            run = subprocess.run([*build, str(ROOT / "docs"), str(pages)], capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
            (folder / "site.done").touch()
    return pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; a test that needs one is skipped where none is installed."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the path")
    browser = Browser()
    yield browser
    browser.close()
