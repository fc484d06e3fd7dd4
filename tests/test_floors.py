"""One way down: every import of the package is read and held against the table of the floors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "softmargin"

FLOORS = {
    # Words that everything may use.
    "_version": 0,
    "errors": 0,
    "accuracy": 0,
    "atomic": 0,
    "mapped": 0,
    "threads": 0,
    "registers": 0,
    "tiles": 1,
    # A mezzanine: what arguments must be. The formulas ask this, too.
    "validation": 0.5,
    # What knows neither an engine nor an optimum: formulas and readers.
    "losses": 1,
    "data": 1,
    "textbook": 1,
    "container": 1,
    "preprocessing": 1,
    # What touches X. The preconditioner stands beside the engines: it needs the covariance they add up, but as an
    # array and not as an engine; the objective above puts the two together.
    "engines": 2,
    "exports": 2,
    "preconditioner": 2,
    "checkpoint": 2,
    "objective": 3,
    "solvers": 4,
    "selection": 5,
    "model": 5,
    "estimators": 6,
    "report": 7,
    "cli": 8,
    # The roof: the public names, and ``python -m softmargin``.
    "": 9,
    "__main__": 9,
}
"""The floor of each file or folder of the package."""

FURTHER_BASES = {
    "softmargin.engines.blocks",
    "softmargin.data.arrays",
    "softmargin.data.arrow",
    "softmargin.data.labels",
    "softmargin.data.tables",
}
"""Files that, like a base.py, serve their siblings: what several share but not every one is."""

IMPORT_NAMES = {"scikit-learn": "sklearn", "pillow": "PIL"}
"""Distributions whose import name is another one."""

ONLY_IN = {"click": ("cli",), "rich": ("cli", "report")}
"""What is for the terminal stays with what speaks to a terminal."""

OPTIONAL = {
    "matplotlib": "softmargin.report.figures",
    "onnx": "softmargin.exports.onnx",
    "pyarrow": "softmargin.data.arrow",
}
"""What only an extra installs, and the one file that imports it: when it is needed, missing it in one sentence."""

PRINTERS = {"print", "pprint", "echo", "secho", "Console"}


class Import(NamedTuple):
    line: int
    target: str
    """Dotted name of the module, as far as it is known to be one."""


def module_name(path: Path) -> str:
    """Return the dotted name of a file below src/."""
    parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FOLDERS = {name for name, path in FILES.items() if path.name == "__init__.py"}


def imports(tree: ast.AST, module: str, folders: set[str], modules: set[str]) -> Iterator[Import]:
    """Yield every import, those inside functions and under TYPE_CHECKING included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + (module in folders)]
                source = ".".join([*parts, source] if source else parts)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield Import(node.lineno, inner if inner in modules else source)


def unit(module: str) -> str:
    """Return the file or folder of the package that a module belongs to; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def is_base_above(module: str, target: str) -> bool:
    """Tell whether the target is the base.py of a folder that holds the module, or one that serves so."""
    folder, _, name = target.rpartition(".")
    below = target != module and module.startswith(folder + ".")
    return below and (name == "base" or (target in FURTHER_BASES and module != f"{folder}.base"))


def refusals(
    source: str, module: str, folders: set[str] | None = None, modules: set[str] | None = None
) -> list[str]:
    """Return a sentence for each thing in the source of a module that the table forbids."""
    folders = FOLDERS if folders is None else folders
    modules = set(FILES) if modules is None else modules
    tree = ast.parse(source)
    allowed = third_party()
    said = []
    if unit(module) not in FLOORS:
        said.append(f"{module} has no floor: add it to the table")
        return said
    for line, target in imports(tree, module, folders, modules):
        top = target.partition(".")[0]
        where = f"{module}, line {line}: {target}"
        if top != "softmargin":
            if top not in sys.stdlib_module_names and top not in allowed and OPTIONAL.get(top) != module:
                said.append(f"{where} is no dependency")
            if unit(module) not in ONLY_IN.get(top, (unit(module),)):
                said.append(f"{where} is only for {' and '.join(ONLY_IN[top])}")
        elif target != "softmargin" and unit(target) not in FLOORS:
            said.append(f"{where} has no floor")
        elif unit(target) != unit(module):
            if FLOORS[unit(target)] >= FLOORS[unit(module)]:
                said.append(f"{where} is not below")
        elif not (is_base_above(module, target) or (module in folders and target.startswith(module + "."))):
            said.append(f"{where} is a sibling, not the base")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in PRINTERS and unit(module) != "cli":
                said.append(f"{module}, line {node.lineno}: {name}() outside cli")
            if name in ("import_module", "__import__") and unit(module) != "":
                said.append(f"{module}, line {node.lineno}: {name}() hides an import from this test")
    return said


def third_party() -> set[str]:
    """Return the import names of the declared dependencies."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in declared]
    return {IMPORT_NAMES.get(name, name) for name in names}


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_only_from_below(module):
    assert refusals(FILES[module].read_text("utf-8"), module) == []


def test_every_floor_of_the_table_is_there():
    assert set(FLOORS) == {unit(module) for module in FILES}


def test_heavy_frameworks_are_no_dependencies():
    assert third_party().isdisjoint({"torch", "dask", "pandas", *OPTIONAL})


def test_every_dependency_is_imported():
    used = {
        entry.target.partition(".")[0]
        for module, path in FILES.items()
        for entry in imports(ast.parse(path.read_text("utf-8")), module, FOLDERS, set(FILES))
    }
    assert third_party() - used == set()


FORBIDDEN = {
    # upwards, and on the same floor
    "a loss knows an engine": ("softmargin.losses.hinge", "from softmargin.engines import Engine"),
    "an engine knows the objective": ("softmargin.engines.cpu", "from softmargin.objective import Objective"),
    "an engine knows the preconditioner": ("softmargin.engines.cpu", "import softmargin.preconditioner"),
    "a loss knows the data": ("softmargin.losses.base", "from softmargin.data.base import Dataset"),
    "the objective knows a solver": ("softmargin.objective", "from softmargin.solvers.lbfgs import LBFGS"),
    "a model chooses": ("softmargin.model", "from softmargin.selection import choose"),
    "an error knows a loss": ("softmargin.errors", "import softmargin.losses"),
    "the estimator speaks": ("softmargin.estimators", "from softmargin.cli.base import say"),
    "from the package": ("softmargin.solvers.sgd", "from softmargin import objective, selection"),
    "the roof from below": ("softmargin.model", "import softmargin as sm"),
    "a name of the roof": ("softmargin.model", "from softmargin import Hinge"),
    "main from the command line": ("softmargin.cli.fit", "import softmargin.__main__"),
    # where imports hide
    "inside a function": ("softmargin.losses.hinge", "def f():\n    from softmargin.solvers import SGD"),
    "for types only": (
        "softmargin.data.npy",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from softmargin.model import Model",
    ),
    "inside a try": ("softmargin.atomic", "try:\n    import softmargin.data\nexcept ImportError:\n    pass"),
    "relative": ("softmargin.losses.hinge", "from ..objective import Objective"),
    "relative from a roof": ("softmargin.losses", "from ..engines import Engine"),
    "by name": ("softmargin.losses.hinge", "import importlib\nimportlib.import_module('softmargin.cli')"),
    # between siblings
    "a sibling": ("softmargin.losses.smoothed_hinge", "from softmargin.losses.hinge import Hinge"),
    "a relative sibling": ("softmargin.losses.smoothed_hinge", "from .hinge import Hinge"),
    "its own roof": ("softmargin.losses.hinge", "from softmargin.losses import LOSSES"),
    "an engine another engine": ("softmargin.engines.sparse", "from softmargin.engines.cpu import CpuEngine"),
    "a base a further base": ("softmargin.engines.base", "from softmargin.engines.blocks import BlockEngine"),
    "a further base its siblings": ("softmargin.engines.blocks", "from softmargin.engines.cpu import CpuEngine"),
    "a base its siblings": ("softmargin.losses.base", "from softmargin.losses.hinge import Hinge"),
    "a verb another verb": ("softmargin.cli.fit", "from softmargin.cli.info import info"),
    "a cousin": ("softmargin.data.npz", "from softmargin.data.images.base import decode"),
    "a cousin's roof": ("softmargin.data.npz", "from softmargin.data import images"),
    "an inner sibling": ("softmargin.data.images.tree", "from softmargin.data.images.pool import decode_all"),
    "an outer sibling": ("softmargin.data.images", "from softmargin.data import npy"),
    "an outer roof": ("softmargin.data.images.pool", "from softmargin.data import Dataset"),
    # not in the table
    "an unknown file": ("softmargin.helpers", ""),
    "from an unknown file": ("softmargin.cli.fit", "from softmargin.helpers import something"),
    # from outside
    "torch": ("softmargin.engines.cpu", "import torch"),
    "dask in a function": ("softmargin.engines.cpu", "def f():\n    import dask.array as da"),
    "pyarrow": ("softmargin.data.npy", "from pyarrow import parquet"),
    "pandas": ("softmargin.estimators", "try:\n    import pandas\nexcept ImportError:\n    pandas = None"),
    "an extra elsewhere": ("softmargin.report.html", "def f():\n    import matplotlib"),
    "click below": ("softmargin.data.npy", "import click"),
    "rich below": ("softmargin.solvers.base", "from rich.console import Group"),
    # speaking
    "a print": ("softmargin.solvers.lbfgs", "print('step')"),
    "an echo": ("softmargin.data.base", "click.echo('read')"),
    "a console": ("softmargin.report.text", "from rich.console import Console\nConsole().out('x')"),
}


@pytest.mark.parametrize(("module", "source"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_is_forbidden_is_seen(module, source):
    assert len(refusals(source, module)) == 1


ALLOWED = {
    "from below": ("softmargin.solvers.sgd", "from softmargin.objective import Objective"),
    "deep below": ("softmargin.objective", "from softmargin.losses.base import Floats"),
    "its base": ("softmargin.losses.hinge", "from softmargin.losses.base import Loss"),
    "its relative base": ("softmargin.losses.hinge", "from .base import Loss"),
    "a roof its files": ("softmargin.losses", "from softmargin.losses.hinge import Hinge"),
    "a roof its relative files": ("softmargin.losses", "from .hinge import Hinge"),
    "a roof its inner folders": ("softmargin.data", "from softmargin.data import images"),
    "an inner base": ("softmargin.data.images.pool", "from softmargin.data.images import base"),
    "a further base": ("softmargin.engines.cpu", "from softmargin.engines.blocks import BlockEngine"),
    "the base of a further base": ("softmargin.engines.blocks", "from softmargin.engines.base import Engine"),
    "an outer base": ("softmargin.data.images.base", "from softmargin.data.base import shown"),
    "the preconditioner": ("softmargin.objective", "import softmargin.preconditioner"),
    "a dependency": ("softmargin.data.digits", "from sklearn.datasets import load_digits"),
    "a dependency of another name": ("softmargin.data.images.base", "from PIL import Image"),
    "an extra where it belongs": ("softmargin.report.figures", "def f():\n    import matplotlib"),
    "a print by a verb": ("softmargin.cli.fit", "print('done')"),
    "the roof": ("softmargin", "from softmargin.estimators import LinearClassifier"),
    "main": ("softmargin.__main__", "from softmargin.cli import main"),
}


@pytest.mark.parametrize(("module", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_let_through(module, source):
    assert refusals(source, module) == []


@pytest.mark.parametrize("module", ["softmargin", "softmargin.cli"])
def test_the_door_opens_quickly(module):
    """Numba and scikit-learn take seconds to import; whoever asks for --help need not wait for them."""
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded.isdisjoint({"numba", "sklearn", "scipy", "torch", "dask", "pyarrow", "pandas", "matplotlib"})
    assert "softmargin" in loaded


def test_cores_and_threads_of_blas_are_asked_for_in_one_place():
    words = re.compile("affinity|ThreadpoolController|cpu_count")
    asking = [name for name, path in FILES.items() if words.search(path.read_text("utf-8"))]
    assert asking == ["softmargin.threads"]
