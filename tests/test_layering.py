"""Imports point downwards: every import of the package is checked against the table of layers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "softmargin"

HELPERS = 0
"""The layer of the small helpers, which may import each other without cycles; on any other layer they may not."""

LAYERS = {
    "_version": HELPERS,
    "affine": HELPERS,
    "arguments": HELPERS,
    "content": HELPERS,
    "errors": HELPERS,
    "io": HELPERS,
    "labels": HELPERS,
    "notebook": HELPERS,
    "memory": HELPERS,
    "metrics": HELPERS,
    "preprocessing": HELPERS,
    "shards": HELPERS,
    "sparse": HELPERS,
    "statistics": HELPERS,
    "stopping": HELPERS,
    "text": HELPERS,
    "textbook": HELPERS,
    "threads": HELPERS,
    "vectors": HELPERS,
    "weights": HELPERS,
    # Parts of a fit.
    "samples": 1,
    "losses": 2,
    "data": 2,
    "features": 3,
    "engines": 3,
    "objective": 4,
    "solvers": 5,
    "selection": 6,
    "model": 6,
    # User interfaces.
    "evaluation": 7,
    "training": 7,
    "estimators": 8,
    "torch": 8,
    "report": 8,
    "cli": 9,
    # The public names, and ``python -m softmargin``.
    "": 10,
    "__main__": 10,
}
"""The layer of each file or folder of the package: it may import what stands on lower layers."""

IMPORT_NAMES = {"scikit-learn": "sklearn", "pillow": "PIL", "array-api-compat": "array_api_compat"}
"""Distributions whose import name is another one."""

ONLY_IN = {"click": ("cli",), "rich": ("cli", "report")}
"""Packages for the terminal are imported only by code that writes to a terminal."""

OPTIONAL = {
    "dask": ("softmargin.engines.dask",),
    "distributed": ("softmargin.engines.cluster", "softmargin.engines.dask"),
    "matplotlib": ("softmargin.report.figures",),
    "huggingface_hub": ("softmargin.features.sentence",),
    "onnx": (
        "softmargin.features.onnx_files",
        "softmargin.features.sessions",
        "softmargin.model.exports.onnx",
        "softmargin.model.exports.onnx_backbone",
    ),
    "onnxruntime": ("softmargin.features.sessions",),
    "pillow_heif": ("softmargin.data.images.guard",),
    "pyarrow": ("softmargin.data.arrow",),
    "sentence_transformers": ("softmargin.features.sentence",),
    "tokenizers": ("softmargin.features.text_backbone",),
    "torch": (
        "softmargin.features.sentence",
        *(f"softmargin.torch.{name}" for name in ("blocks", "factors", "functions", "layer", "modules")),
        *(f"softmargin.torch.{name}" for name in ("kernels", "operators", "tiles")),
    ),
    "transformers": ("softmargin.features.sentence",),
    "triton": ("softmargin.torch.kernels",),
}
"""Optional packages, and the files that may import them, on first use."""

COMPILERS = {"numba", "llvmlite"}
CONCRETE_LOSSES = {"Hinge", "SquaredHinge", "SmoothedHinge", "CrossEntropy"}
PRINTERS = {"print", "pprint", "echo", "secho", "Console"}
CONTAINERS = {"dict", "frozenset", "set", "tuple"}
WORKING_INITS = {"softmargin", "softmargin.cli"}
"""The two ``__init__.py`` with code: they load names on first use and parse the command line."""

MOST_LINES = 39
"""Maximum number of lines of any other ``__init__.py``."""


class Import(NamedTuple):
    line: int
    target: str
    """Dotted name of the module, as far as it is known to be one."""
    for_types: bool = False
    """Under ``if TYPE_CHECKING``."""


class Offence(NamedTuple):
    rule: str
    sentence: str


def module_name(path: Path) -> str:
    """Return the dotted name of a file below src/."""
    parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
SOURCES = {module: path.read_text("utf-8") for module, path in FILES.items()}
FOLDERS = {name for name, path in FILES.items() if path.name == "__init__.py"}


def imports(tree: ast.AST, module: str, folders: Collection[str], modules: Collection[str]) -> Iterator[Import]:
    """Yield every import, including those inside functions and under TYPE_CHECKING."""
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, id(node) in types_only)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + (module in folders)]
                source = ".".join([*parts, source] if source else parts)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield Import(node.lineno, inner if inner in modules else source, id(node) in types_only)


def unit(module: str) -> str:
    """Return the file or folder of the package that a module belongs to; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def is_inside(module: str, folder: str) -> bool:
    return module == folder or module.startswith(folder + ".")


def third_party() -> set[str]:
    """Return the import names of the declared dependencies."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in declared]
    return {IMPORT_NAMES.get(name, name) for name in names}


def may_import(module: str, target: str) -> bool:
    """Return whether the layers allow an import between two files or folders of the package."""
    here, there = LAYERS[unit(module)], LAYERS[unit(target)]
    return there < here or here == there == HELPERS


def offences(
    source: str, module: str, folders: Collection[str] = FOLDERS, modules: Collection[str] = tuple(FILES)
) -> list[Offence]:
    """Return the violations of the rules in the source of a module."""
    if unit(module) not in LAYERS:
        return [Offence("layers", f"{module} has no layer: add it to the table")]
    tree = ast.parse(source)
    found = []
    for entry in imports(tree, module, folders, modules):
        found += [Offence(rule, f"{module}, line {entry.line}: {entry.target} {why}")
                  for rule, why in wrong_import(module, entry.target)]  # fmt: skip
    for node in ast.walk(tree):
        found += [Offence(rule, f"{module}, line {node.lineno}: {why}") for rule, why in wrong_node(module, node)]
    if module in folders and module not in WORKING_INITS:
        if len(source.splitlines()) > MOST_LINES:
            found.append(Offence("init", f"{module}: an __init__.py of more than {MOST_LINES} lines"))
        found += [
            Offence("init", f"{module}, line {node.lineno}: an __init__.py only re-exports")
            for node in tree.body
            if not re_exports(node)
        ]
    return found


def wrong_import(module: str, target: str) -> Iterator[tuple[str, str]]:
    """Yield each rule that forbids a module to import a target, with the reason."""
    top = target.partition(".")[0]
    if top in COMPILERS and not is_inside(module, "softmargin.engines.cpu"):
        yield "compilers", "is imported outside engines/cpu"
    if is_inside(target, "softmargin.engines") and unit(module) == "solvers":
        yield "solvers", "is imported in solvers/, which see the objective only"
    elif top != "softmargin":
        if module not in OPTIONAL.get(top, ()) and top not in sys.stdlib_module_names | third_party():
            yield "layers", "is not a dependency"
        if unit(module) not in ONLY_IN.get(top, (unit(module),)):
            yield "layers", f"is only for {' and '.join(ONLY_IN[top])}"
    elif unit(target) not in LAYERS:
        yield "layers", "has no layer: add it to the table"
    elif unit(target) != unit(module) and not may_import(module, target):
        yield "layers", "is not below"


def wrong_node(module: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each rule that a part of a module's source violates, with the reason."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in PRINTERS and unit(module) != "cli":
            yield "layers", f"{name}() outside cli"
        if name in ("import_module", "__import__") and unit(module) != "":
            yield "layers", f"{name}() hides an import from this test"
    if unit(module) != "losses" and CONCRETE_LOSSES & set(asked_types(node)):
        yield "losses", "asks for a concrete loss outside losses/: a loss states what it can do"
    if isinstance(node, ast.Attribute) and node.attr == "X" and unit(module) not in ("engines", "samples"):
        owner = getattr(node.value, "id", getattr(node.value, "attr", ""))
        if owner in ("samples", "_samples"):
            yield "samples", f"{owner}.X outside engines/: the engine knows where X is"


def asked_types(node: ast.AST) -> Iterator[str]:
    """Yield the names of the types that an expression compares the type of an object with."""
    asked: list[ast.AST] = []
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
        asked = node.args[1:]
    elif isinstance(node, ast.MatchClass):
        asked = [node.cls]
    elif isinstance(node, ast.Compare):  # type(loss) is Hinge
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Call) and getattr(side.func, "id", "") == "type" for side in sides):
            asked = sides
    for each in asked:
        for inner in ast.walk(each):
            yield getattr(inner, "id", getattr(inner, "attr", ""))


def re_exports(node: ast.stmt) -> bool:
    """Return whether an ``__init__.py`` may contain a statement: an import, a docstring or a plain constant."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING") and all(map(re_exports, node.body))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        inner = [] if node.value is None else list(ast.walk(node.value))
        calls = [each.func for each in inner if isinstance(each, ast.Call)]
        return all(getattr(function, "id", "") in CONTAINERS for function in calls) and not any(
            isinstance(each, ast.Lambda) for each in inner
        )
    return isinstance(node, ast.Import | ast.ImportFrom)


def cycles(sources: Mapping[str, str], folders: Collection[str]) -> list[str]:
    """Return a sentence for each folder with an import cycle between its files; imports for types are ignored.

    A folder inside a folder counts as one of its files, and so does its ``__init__.py``.
    """
    graphs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module, source in sources.items():
        for entry in imports(ast.parse(source), module, folders, sources):
            if entry.for_types or entry.target not in sources:
                continue
            for folder in folders:
                if is_inside(module, folder) and is_inside(entry.target, folder):
                    here, there = (name[len(folder) + 1 :].partition(".")[0] for name in (module, entry.target))
                    if here != there:
                        graphs[folder][here or "__init__"].add(there or "__init__")
    found = []
    for folder, graph in sorted(graphs.items()):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1][:0:-1]
            start = circle.index(min(circle))
            circle = [*circle[start:], *circle[: start + 1]]
            found.append(f"{folder}: {' → '.join(circle)}")
    return found


@pytest.mark.parametrize("module", FILES)
def test_a_file_keeps_the_rules(module):
    assert [offence.sentence for offence in offences(SOURCES[module], module)] == []


def test_no_files_import_each_other_in_a_circle():
    assert cycles(SOURCES, FOLDERS) == []


def test_every_layer_of_the_table_is_there():
    assert set(LAYERS) == {unit(module) for module in FILES}


def test_heavy_frameworks_are_no_dependencies():
    assert third_party().isdisjoint({"torch", "dask", "pandas", *OPTIONAL})


def test_every_dependency_is_imported():
    used = {
        entry.target.partition(".")[0]
        for module, source in SOURCES.items()
        for entry in imports(ast.parse(source), module, FOLDERS, SOURCES)
    }
    assert third_party() - used == set()


# The rules must detect violations. These examples belong to a small artificial package.

TREE_FOLDERS = {"softmargin"} | {
    f"softmargin.{name}"
    for name in (
        "losses",
        "engines",
        "engines.cpu",
        "solvers",
        "estimators",
        "cli",
        "data",
        "data.images",
        "report",
    )
}
TREE = TREE_FOLDERS | {
    f"softmargin.{name}"
    for name in (
        "_version", "__main__", "errors", "text", "samples", "objective", "model", "selection",
        "losses.base", "losses.hinge", "engines.base", "engines.cpu.dense", "solvers.base", "solvers.lbfgs",
        "solvers.sgd", "cli.base", "cli.fit", "cli.info", "data.npy", "data.npz", "data.base", "data.images.base",
        "data.images.pool", "report.figures",
    )
}  # fmt: skip

FORBIDDEN = {
    # upwards, and on the same layer
    "a loss knows an engine": ("softmargin.losses.hinge", "from softmargin.engines import Engine"),
    "an engine knows the objective": (
        "softmargin.engines.cpu.dense",
        "from softmargin.objective import Objective",
    ),
    "a loss knows the data": ("softmargin.losses.base", "from softmargin.data.base import Dataset"),
    "the objective knows a solver": ("softmargin.objective", "from softmargin.solvers.lbfgs import LBFGS"),
    "a model chooses": ("softmargin.model", "from softmargin.selection import choose"),
    "a helper knows the samples": ("softmargin.text", "from softmargin.samples import Samples"),
    "an error knows a loss": ("softmargin.errors", "import softmargin.losses"),
    "the estimator speaks": ("softmargin.estimators", "from softmargin.cli.base import say"),
    "from the package": ("softmargin.solvers.sgd", "from softmargin import objective, selection"),
    "the package from below": ("softmargin.model", "import softmargin as sm"),
    "a name of the package": ("softmargin.model", "from softmargin import Hinge"),
    "main from the command line": ("softmargin.cli.fit", "import softmargin.__main__"),
    # where imports hide
    "inside a function": ("softmargin.losses.hinge", "def f():\n    from softmargin.solvers import SGD"),
    "for types only": (
        "softmargin.data.npy",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from softmargin.model import Model",
    ),
    "inside a try": ("softmargin.errors", "try:\n    import softmargin.data\nexcept ImportError:\n    pass"),
    "relative": ("softmargin.losses.hinge", "from ..objective import Objective"),
    "relative from an init": ("softmargin.losses", "from ..engines import Engine"),
    "by name": ("softmargin.losses.hinge", "import importlib\nimportlib.import_module('softmargin.cli')"),
    # not in the table
    "an unknown file": ("softmargin.helpers", ""),
    "from an unknown file": ("softmargin.cli.fit", "from softmargin.helpers import something"),
    # from outside
    "torch": ("softmargin.engines.cpu.dense", "import torch"),
    "dask in a function": ("softmargin.engines.cpu.dense", "def f():\n    import dask.array as da"),
    "pyarrow": ("softmargin.data.npy", "from pyarrow import parquet"),
    "pandas": ("softmargin.model", "try:\n    import pandas\nexcept ImportError:\n    pandas = None"),
    "an extra elsewhere": ("softmargin.report.html", "def f():\n    import matplotlib"),
    "click below": ("softmargin.data.npy", "import click"),
    "rich below": ("softmargin.solvers.base", "from rich.console import Group"),
    # compilers
    "a loss that is compiled": ("softmargin.losses.hinge", "import numba"),
    "a compiler in a function": ("softmargin.objective", "def f():\n    from numba import njit"),
    "a compiler's part": ("softmargin.engines.base", "from llvmlite import ir"),
    # the solvers' view
    "a solver knows an engine": ("softmargin.solvers.lbfgs", "from softmargin.engines.base import Engine"),
    "a solver knows the engines": ("softmargin.solvers.lbfgs", "from softmargin import engines"),
    # types of losses, and X
    "a concrete loss": ("softmargin.objective", "isinstance(loss, Hinge)"),
    "one of several": ("softmargin.objective", "isinstance(loss, (Loss, losses.SquaredHinge))"),
    "a union": ("softmargin.objective", "isinstance(loss, Hinge | CrossEntropy)"),
    "a class": ("softmargin.solvers.base", "issubclass(kind, SmoothedHinge)"),
    "its type": ("softmargin.objective", "type(loss) is CrossEntropy"),
    "by match": ("softmargin.objective", "match loss:\n    case sm.Hinge(delta=d):\n        pass"),
    "X of samples": ("softmargin.objective", "n = samples.X.shape[0]"),
    "X of its samples": ("softmargin.solvers.sgd", "X = self._samples.X"),
    "X of another's samples": ("softmargin.selection", "X = objective.samples.X"),
    # __init__.py
    "a function": ("softmargin.losses", "def make(): ..."),
    "a class in an init": ("softmargin.losses", "class Loss: ..."),
    "a loop": ("softmargin.losses", "for loss in ():\n    pass"),
    "a call": ("softmargin.losses", "LOSSES = make_losses()"),
    "a lambda": ("softmargin.losses", "make = lambda: None"),
    "too long": ("softmargin.losses", "\n" * (MOST_LINES + 1)),
    # speaking
    "a print": ("softmargin.solvers.lbfgs", "print('step')"),
    "an echo": ("softmargin.data.base", "click.echo('read')"),
    "a console": ("softmargin.report.text", "from rich.console import Console\nConsole().out('x')"),
}


@pytest.mark.parametrize(("module", "source"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_is_forbidden_is_seen(module, source):
    assert len(offences(source, module, TREE_FOLDERS, TREE)) == 1


ALLOWED = {
    "from below": ("softmargin.solvers.sgd", "from softmargin.objective import Objective"),
    "deep below": ("softmargin.objective", "from softmargin.losses.base import Floats"),
    "a helper a helper": ("softmargin.text", "from softmargin.errors import DataError"),
    "a sibling": ("softmargin.losses.hinge", "from softmargin.losses.base import Loss"),
    "a relative sibling": ("softmargin.losses.hinge", "from .base import Loss"),
    "an init its files": ("softmargin.losses", "from softmargin.losses.hinge import Hinge"),
    "an init its relative files": ("softmargin.losses", "from .hinge import Hinge"),
    "an init its folders": ("softmargin.data", "from softmargin.data import images"),
    "an outer sibling": ("softmargin.data.images.base", "from softmargin.data.base import shown"),
    "a dependency": ("softmargin.data.digits", "from sklearn.datasets import load_digits"),
    "a dependency of another name": ("softmargin.data.images.base", "from PIL import Image"),
    "an extra where it belongs": ("softmargin.report.figures", "def f():\n    import matplotlib"),
    "a compiler where it belongs": ("softmargin.engines.cpu.dense", "from numba import njit"),
    "the objective an engine": ("softmargin.objective", "from softmargin.engines.base import Engine"),
    "any loss": ("softmargin.objective", "isinstance(loss, Loss)"),
    "a concrete loss where it belongs": ("softmargin.losses.smoothed_hinge", "isinstance(loss, Hinge)"),
    "a loss that is made": ("softmargin.selection", "losses = [Hinge(), CrossEntropy()]"),
    "X where it belongs": ("softmargin.engines.reference", "X = self.samples.X"),
    "X of something else": ("softmargin.selection", "X = data.X"),
    "a constant": (
        "softmargin.losses",
        'LOSSES: dict[str, type] = {loss.name: loss for loss in (A, B)}\n"""All."""',
    ),
    "a registry": ("softmargin.losses", "SUFFIXES = tuple(writer.SUFFIX for writer in WRITERS)\n__all__ = ['A']"),
    "types in an init": ("softmargin.losses", "if TYPE_CHECKING:\n    from softmargin.errors import DataError"),
    "a print by a command": ("softmargin.cli.fit", "print('done')"),
    "the package": ("softmargin", "from softmargin.estimators import LinearClassifier\ndef f(): ..."),
    "main": ("softmargin.__main__", "from softmargin.cli import main"),
}


@pytest.mark.parametrize(("module", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_let_through(module, source):
    assert offences(source, module, TREE_FOLDERS, TREE) == []


CIRCLES = {
    "two files": (
        {"losses.base": "from softmargin.losses.hinge import Hinge", "losses.hinge": "from .base import Loss"},
        ["softmargin.losses: base → hinge → base"],
    ),
    "three files": (
        {
            "solvers.base": "from softmargin.solvers import lbfgs",
            "solvers.lbfgs": "def f():\n    import softmargin.solvers.sgd",
            "solvers.sgd": "from softmargin.solvers.base import Fit",
        },
        ["softmargin.solvers: base → lbfgs → sgd → base"],
    ),
    "its own init": (
        {"losses": "from .hinge import Hinge", "losses.hinge": "from softmargin.losses import LOSSES"},
        ["softmargin.losses: __init__ → hinge → __init__"],
    ),
    "a folder and a file": (
        {
            "data.base": "from softmargin.data.images.base import decode",
            "data.images.pool": "from softmargin.data.base import Dataset",
        },
        ["softmargin.data: base → images → base"],
    ),
    "helpers": (
        {"errors": "from softmargin.text import brief", "text": "from softmargin.errors import DataError"},
        ["softmargin: errors → text → errors"],
    ),
    "none": (
        {"losses": "from softmargin.losses import hinge", "losses.hinge": "from .base import Loss"},
        [],
    ),
    "types only": (
        {
            "losses.base": "if TYPE_CHECKING:\n    from softmargin.losses.hinge import Hinge",
            "losses.hinge": "from softmargin.losses.base import Loss",
        },
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sources", "expected"), CIRCLES.values(), ids=CIRCLES)
def test_a_circle_of_imports_is_named(sources, expected):
    tree = dict.fromkeys(TREE, "") | {f"softmargin.{name}": source for name, source in sources.items()}
    assert cycles(tree, TREE_FOLDERS) == expected


@pytest.mark.parametrize("module", ["softmargin", "softmargin.cli"])
def test_the_command_line_starts_quickly(module):
    """Importing Numba and scikit-learn takes seconds, which --help must not need."""
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded.isdisjoint({"numba", "sklearn", "scipy", "torch", "dask", "pyarrow", "pandas", "matplotlib"})
    assert "softmargin" in loaded


def test_cores_and_threads_of_blas_are_asked_for_in_one_place():
    words = re.compile("affinity|ThreadpoolController|cpu_count")
    assert [module for module, source in SOURCES.items() if words.search(source)] == ["softmargin.threads"]
