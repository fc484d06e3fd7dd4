"""What is released: metadata, workflows, and an sdist and a wheel that install and run without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from softmargin._version import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NAMES = (
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
)


def released() -> list[Path]:
    """Return the text files outside the sources and the tests, without what a build of the site writes."""
    folders = [ROOT / ".github", ROOT / ".ci", ROOT / "docs"]
    built = {"_build", "auto_gallery", "generated", "__pycache__"}
    found = [path for folder in folders for path in folder.rglob("*") if not built & set(path.parts)]
    found = [path for path in found if path.suffix not in (".webp", ".woff2")]
    return [
        path for path in [*found, *ROOT.glob("*.*"), *ROOT.glob(".*")] if path.is_file() and path.name != ".git"
    ]


# Metadata


def test_the_version_stands_in_one_file_and_in_the_citation() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M) == [__version__]


def test_the_classifiers_name_the_tested_versions() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    [tested] = re.findall(r"python: \[(.*)\]", workflow)
    names = [c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert names == re.findall(r"[\d.]+", tested)
    assert PROJECT["project"]["requires-python"] == f">={names[0]}"
    [systems] = re.findall(r"system: \[(.*)\]", workflow)
    assert [system.partition("-")[0] for system in systems.split(", ")] == ["ubuntu", "macos", "windows"]


def test_all_addresses_are_those_of_the_project() -> None:
    source = PROJECT["project"]["urls"]["Source"]
    assert all(address.startswith(source) for address in PROJECT["project"]["urls"].values())
    assert f"repository-code: {source}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"url: {source}/" in (ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml").read_text("utf-8")


def test_no_file_names_the_host_of_a_registry_or_a_mail_address() -> None:
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".com", "anaconda" + ".org"]
    for path in released():
        text = path.read_text("utf-8")
        assert not [host for host in hosts if host in text], path
        assert not re.search(r"(?<![\w.])[\w.]+@\w+\.(?:com|org|net|io)\b", text), path


def test_a_release_needs_no_token() -> None:
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert "id-token: write" in workflow
    assert "secrets." not in workflow


# Builds


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an sdist, and a wheel built from that sdist as an installer does."""
    if find_spec("hatchling") is None:
        pytest.skip("needs hatchling, the build backend")
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, "sdist", folder)
    [sdist] = folder.iterdir()
    with tarfile.open(sdist) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since Python 3.11.4
        archive.extractall(folder / "unpacked", **safely)
    build(folder / "unpacked" / f"softmargin-{__version__}", "wheel", folder)
    return folder


def build(source: Path, target: str, folder: Path) -> None:
    arguments = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(arguments, cwd=source, check=True, capture_output=True)


def test_the_sdist_has_what_a_distribution_needs(dist: Path) -> None:
    with tarfile.open(dist / f"softmargin-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*NAMES, "pyproject.toml", "tests/conftest.py", "docs/mathematics.md"} <= names
    assert {"docs/conf.py", "docs/_static/fonts/math.woff2", "docs/_static/fonts/LICENSE"} <= names
    assert not [name for name in names if name.endswith((".pyc", ".webp", ".nbi", ".nbc"))]
    assert not [name for name in names if re.match(r"docs/(_build|auto_gallery|reference/generated)/", name)]


def test_the_wheel_has_the_package_alone(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    assert wheel.name == f"softmargin-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [archive.read(n).decode() for n in names if n.endswith("/METADATA")]
    own = {name for name in names if name.startswith("softmargin/")}
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix() for path in (source / "softmargin").rglob("*.*") if path.is_file()
    }
    assert own == {name for name in files if not name.endswith((".pyc", ".nbi", ".nbc"))}
    assert {name.partition("/")[0] for name in names} == {"softmargin", f"softmargin-{__version__}.dist-info"}
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: BSD-3-Clause\n" in metadata


def test_the_wheel_installs_and_runs(dist: Path, tmp_path: Path) -> None:
    [wheel] = dist.glob("*.whl")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site)}
    program = (
        "import softmargin, sys; print(softmargin.__file__); from softmargin.cli import main; main(sys.argv[1:])"
    )

    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    place, version = run("--version")
    assert Path(place).is_relative_to(site)
    assert version == f"softmargin, version {__version__}"
    assert any(
        line.startswith("accuracy") for line in run("fit", "digits", "--quick", "--loss", "cross_entropy", "-q")
    )
    assert (tmp_path / "digits.safetensors").is_file()
    assert run("report", "digits.safetensors", "digits", "-q")  # reads the files of the page
