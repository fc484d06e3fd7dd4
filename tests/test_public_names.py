"""The public names: which there are, what they take, and that each says so."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import softmargin as sm

NAMES = [
    "SGD",
    "CapabilityError",
    "Certificate",
    "ClusterError",
    "Comparison",
    "ConvergenceWarning",
    "CrossEntropy",
    "DataError",
    "Dataset",
    "Evaluation",
    "Fit",
    "Hinge",
    "LearningCurve",
    "LinearClassifier",
    "LinearClassifierCV",
    "Model",
    "ModelFileError",
    "Objective",
    "ParameterError",
    "SoftmarginError",
    "SquaredHinge",
    "__version__",
    "choose",
    "compare",
    "evaluate",
    "learning_curve",
    "load_dataset",
    "load_model",
    "minimize",
    "open_shards",
    "path",
    "softmax",
]

REQUIRED = inspect.Parameter.empty
ANY = object()
"""A default that is not promised."""

SIGNATURES: dict[str, dict[str, Any]] = {
    "Hinge": {"delta": 1.0},
    "Hinge.values": {"scores": REQUIRED, "y": REQUIRED},
    "Hinge.gradient": {"scores": REQUIRED, "y": REQUIRED},
    "SquaredHinge": {"delta": 1.0},
    "SquaredHinge.values": {"scores": REQUIRED, "y": REQUIRED},
    "SquaredHinge.gradient": {"scores": REQUIRED, "y": REQUIRED},
    "CrossEntropy": {},
    "CrossEntropy.values": {"scores": REQUIRED, "y": REQUIRED},
    "CrossEntropy.gradient": {"scores": REQUIRED, "y": REQUIRED},
    "softmax": {"scores": REQUIRED},
    "Objective": {
        "loss": REQUIRED,
        "X": REQUIRED,
        "y": REQUIRED,
        "reg": REQUIRED,
        "sample_weight": None,
        "engine": "auto",
        "n_threads": None,
    },
    "Objective.value": {"W": REQUIRED, "b": REQUIRED},
    "Objective.value_and_grad": {"W": REQUIRED, "b": REQUIRED},
    "Objective.hessian_product": {"W": REQUIRED, "b": REQUIRED, "V": REQUIRED, "c": REQUIRED},
    "Objective.certificate": {"W": REQUIRED, "b": REQUIRED},
    "minimize": {"objective": REQUIRED, "W0": None, "b0": None, "tol": 1e-4, "callback": None},
    "LinearClassifier": {
        "loss": "cross_entropy",
        "reg": 1e-4,
        "delta": 1.0,
        "fit_intercept": True,
        "tol": 1e-4,
        "max_passes": ANY,
    },
    "LinearClassifier.fit": {"X": REQUIRED, "y": REQUIRED, "sample_weight": None},
    "LinearClassifier.predict": {"X": REQUIRED},
    "LinearClassifier.predict_proba": {"X": REQUIRED},
    "LinearClassifier.decision_function": {"X": REQUIRED},
    "LinearClassifierCV": {
        "losses": ("cross_entropy", "squared_hinge", "hinge"),
        "regs": "auto",
        "cv": 5,
        "rule": "best",
    },
    "LinearClassifierCV.fit": {"X": REQUIRED, "y": REQUIRED, "sample_weight": None, "groups": None},
    "LinearClassifierCV.predict": {"X": REQUIRED},
    "path": {"objective": REQUIRED, "regs": 25, "tol": 1e-3},
    "compare": {"X": REQUIRED, "y": REQUIRED, "losses": REQUIRED, "regs": "auto", "cv": 5},
    "evaluate": {"model": REQUIRED, "X": REQUIRED, "y": REQUIRED, "groups": None},
    "learning_curve": {
        "X": REQUIRED,
        "y": REQUIRED,
        "X_test": None,
        "y_test": None,
        "loss": "cross_entropy",
        "reg": "auto",
        "shots": (1, 2, 4, 8, 16, "all"),
        "repeats": 10,
        "seed": 0,
    },
    "load_dataset": {"source": REQUIRED},
    "load_model": {"path": REQUIRED},
    "Model.save": {"path": REQUIRED},
}
"""What is promised: these parameters, in this order, with these defaults. More may follow, but not be required."""

RESULTS = {
    "Fit": ["W", "b", "value", "lower_bound", "gap", "converged", "n_passes", "seconds", "history"],
    "Certificate": ["value", "lower_bound", "gap"],
}


def resolve(dotted: str) -> Any:
    found: Any = sm
    for name in dotted.split("."):
        found = getattr(found, name)
    return found


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    found.pop("self", None)
    found.pop("cls", None)
    return found


def broken_promises(function: Callable[..., Any], promised: dict[str, Any]) -> list[str]:
    found = parameters(function)
    order = [name for name in found if name in promised]
    said = [f"{name} is missing" for name in promised if name not in found]
    if not said and order != list(promised):
        said.append(f"the order is {order}")
    for name, parameter in found.items():
        default = promised.get(name, ANY)
        if default is not ANY and parameter.default != default:
            said.append(f"{name} is {parameter.default!r} by default, not {default!r}")
        if name not in promised and parameter.default is REQUIRED and parameter.kind not in (2, 4):
            said.append(f"{name} is required")
    return said


# The names


def test_these_names_and_no_others():
    assert sm.__all__ == NAMES
    assert dir(sm) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_resolves_and_is_documented(name):
    found = getattr(sm, name)
    if name == "__version__":
        assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(a|b|rc|dev|post)\d+)*", found)
        return
    assert found.__name__ == name
    assert found.__module__.startswith("softmargin.")
    own = found.__dict__.get("__doc__") if inspect.isclass(found) else found.__doc__
    assert own, f"{name} has no docstring of its own"
    assert not own.startswith(f"{name}("), f"{name} has only the docstring that Python writes"


def test_a_star_brings_the_same_names():
    space: dict[str, Any] = {}
    exec("from softmargin import *", space)
    assert set(space) - {"__builtins__"} == set(NAMES)


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(AttributeError, match="'softmargin' has no attribute 'Hinged'"):
        _ = sm.Hinged  # type: ignore[attr-defined]


def test_type_checkers_and_python_see_the_same_names():
    """The names stand in ``__init__`` three times: for ``import *``, for Python and for type checkers."""
    tree = ast.parse(Path(inspect.getsourcefile(sm)).read_text("utf-8"))
    for_types = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        for alias in node.names
    }
    for_python = {name: f"softmargin.{home}" for home, names in sm._MODULES.items() for name in names}
    assert for_types == for_python
    assert set(for_types) == set(NAMES) - {"__version__"}


# Their signatures


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_as_promised(name):
    assert broken_promises(resolve(name), SIGNATURES[name]) == []


def test_a_broken_promise_is_seen():
    promised = {"a": REQUIRED, "b": 1.0}
    assert broken_promises(lambda a, b=1.0, *rest, c=None, **more: 0, promised) == []
    assert broken_promises(lambda a: 0, promised)
    assert broken_promises(lambda b=1.0, a=REQUIRED: 0, promised)
    assert broken_promises(lambda a, b=2.0: 0, promised)
    assert broken_promises(lambda a, b: 0, promised)
    assert broken_promises(lambda a=0, b=1.0: 0, promised)
    assert broken_promises(lambda a, c, b=1.0: 0, promised)


@pytest.mark.parametrize("name", RESULTS)
def test_results_have_the_promised_fields(name):
    record = resolve(name)
    fields = set(getattr(record, "_fields", None) or record.__dataclass_fields__) | set(dir(record))
    assert set(RESULTS[name]) <= fields


# Their documentation


def section(docstring: str, title: str) -> str | None:
    """Return the body of a numpydoc section, or None."""
    found = re.search(rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^\w[\w ]*\n---|\Z)", docstring, re.S | re.M)
    return None if found is None else found[1]


def documented(body: str) -> list[str]:
    """Return the names that a numpydoc section explains, in its order."""
    heads = [line.partition(" : ")[0] for line in body.splitlines() if line and not line[0].isspace()]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def unexplained(docstring: str, names: list[str], *, in_prose: bool) -> str | None:
    """Say what a docstring keeps silent about, or return None.

    A section Parameters (of a record: Attributes) explains each parameter, in order. ``as in `f` `` refers to
    the section of another. Where a sentence is enough, it mentions each of them.
    """
    if not names:
        return None
    body = section(docstring, "Parameters") or section(docstring, "Attributes")
    if body is not None:
        explained = documented(body)
        if [name for name in explained if name in names] != names:
            return f"explains {explained}, but there are {names}"
        return None
    if re.search(r"parameters (and \w+ )?as in `[\w.]+`", docstring):
        return None
    silent = [name for name in names if not re.search(rf"\b{name}\b", docstring)]
    if in_prose:
        return f"does not mention {silent}" if silent else None
    return "has no section Parameters"


def public_methods() -> dict[str, tuple[Callable[..., Any], str]]:
    """Return each public method that is ours, with its docstring (inherited if it has none of its own)."""
    found = {}
    for name in NAMES:
        owner = getattr(sm, name)
        if not inspect.isclass(owner):
            continue
        for attribute, static in inspect.getmembers_static(owner):
            method = inspect.unwrap(getattr(static, "fn", static))  # scikit-learn wraps predict_proba
            if attribute.startswith("_") or not inspect.isfunction(method):
                continue
            if not method.__module__.startswith("softmargin."):
                continue
            docstrings = [
                inspect.getdoc(base.__dict__[attribute]) or ""
                for base in owner.__mro__
                if attribute in base.__dict__
            ]
            # What an override leaves unsaid is said where the method is introduced.
            found[f"{name}.{attribute}"] = (method, "\n\n".join(docstrings) if docstrings else "")
    return found


METHODS = public_methods()


ERRORS = {name for name in NAMES if name.endswith(("Error", "Warning"))}


def test_all_errors_and_warnings_are_public():
    from softmargin import errors

    assert set(errors.__all__) - {"missing_package", "warn"} == ERRORS
    assert all(getattr(sm, name) is getattr(errors, name) for name in ERRORS)
    for error in ERRORS - {"ConvergenceWarning", "SoftmarginError"}:
        assert issubclass(getattr(sm, error), sm.SoftmarginError)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__" and name not in ERRORS])
def test_functions_and_classes_explain_each_parameter(name):
    function = getattr(sm, name)
    assert unexplained(inspect.getdoc(function), list(parameters(function)), in_prose=False) is None


@pytest.mark.parametrize("name", METHODS)
def test_methods_explain_each_parameter(name):
    """Promised methods have a section Parameters; for what only the house calls, a sentence will do."""
    method, docstring = METHODS[name]
    assert docstring
    assert unexplained(docstring, list(parameters(method)), in_prose=name not in SIGNATURES) is None


def test_the_promised_methods_are_among_those_read():
    assert {name for name in SIGNATURES if "." in name} <= set(METHODS)


def test_silence_is_seen():
    full = "Do.\n\nParameters\n----------\na, b : int\n    Both.\n*rest\n    More.\n\nReturns\n-------\nint"
    assert unexplained(full, ["a", "b", "rest"], in_prose=False) is None
    assert unexplained(full, ["a", "b", "c"], in_prose=False)
    assert unexplained(full, ["b", "a"], in_prose=True)
    assert unexplained("Return a and b.", ["a", "b"], in_prose=False)
    assert unexplained("Return a and b.", ["a", "b"], in_prose=True) is None
    assert unexplained("Return a.", ["a", "b"], in_prose=True)
    assert unexplained("Return it; parameters as in `values`.", ["a"], in_prose=False) is None
    assert unexplained("Return.\n\nReturns\n-------\na\n    b", ["a", "b"], in_prose=False)
