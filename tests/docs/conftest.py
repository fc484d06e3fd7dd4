"""The site, built once for all test processes, and a browser to read it with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.parts import Part
from tests.support.browser import CHROMIUM, Browser

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "docs", "examples", "src")
"""What the site shows, links to or reads."""
GENERATED = ("_build", "auto_gallery", "generated", "__pycache__")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built pages; the gallery is written without running its programs.

    The file ``warnings.txt`` in it holds the warnings of the build.
    """
    if find_spec("sphinx") is None:
        pytest.skip("needs the extra docs")
    fcntl = pytest.importorskip("fcntl", reason="the lock of the build is for POSIX systems")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the processes have one folder each, in that of the run
        folder = folder.parent
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "site.done").exists():
            build(folder / "repository", folder / "site")
            (folder / "site.done").touch()
    return folder / "site"


def build(repository: Path, pages: Path) -> None:
    """Build the site from a copy of its sources, since Sphinx writes generated pages among them."""
    shutil.rmtree(repository, ignore_errors=True)
    repository.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, repository)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, repository / name, ignore=shutil.ignore_patterns(*GENERATED))
    options = ["-q", "-D", "plot_gallery=False", "-w", str(pages / "warnings.txt")]
    pages.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "sphinx", *options, "docs", str(pages)]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; without an installed one, the test is skipped."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the path")
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def part(site: Path, browser: Browser) -> Iterator[Callable[..., Part]]:
    """Return a function that opens a page and returns one of its parts; nothing may fail until the test ends."""

    def opened(page: str, name: str, place: int = 0) -> Part:
        browser.open(site / "learn" / f"{page}.html")
        return Part(browser, name, place)

    yield opened
    assert browser.problems == []
