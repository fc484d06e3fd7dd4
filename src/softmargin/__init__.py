"""softmargin: multiclass linear classifiers, trained to a certified optimum."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from softmargin._version import __version__

if TYPE_CHECKING:
    from softmargin.data import Dataset, load_dataset
    from softmargin.data.shards import open_shards
    from softmargin.errors import (
        CapabilityError,
        ClusterError,
        ConvergenceWarning,
        DataError,
        ModelFileError,
        ParameterError,
        SoftmarginError,
    )
    from softmargin.estimators import LinearClassifier, LinearClassifierCV
    from softmargin.evaluation import Evaluation, evaluate
    from softmargin.losses import CrossEntropy, Hinge, SquaredHinge, softmax
    from softmargin.model import Model, load_model
    from softmargin.objective import Certificate, Objective
    from softmargin.selection import Comparison, LearningCurve, choose, compare, learning_curve, path
    from softmargin.solvers import SGD, Fit, minimize

__all__ = [
    "SGD", "CapabilityError", "Certificate", "ClusterError", "Comparison", "ConvergenceWarning",
    "CrossEntropy", "DataError", "Dataset", "Evaluation", "Fit", "Hinge", "LearningCurve", "LinearClassifier",
    "LinearClassifierCV", "Model", "ModelFileError", "Objective", "ParameterError", "SoftmarginError",
    "SquaredHinge", "__version__", "choose", "compare", "evaluate", "learning_curve", "load_dataset",
    "load_model", "minimize", "open_shards", "path", "softmax",
]  # fmt: skip

_MODULES = {
    "data": ("Dataset", "load_dataset"),
    "data.shards": ("open_shards",),
    "errors": (
        "CapabilityError", "ClusterError", "ConvergenceWarning", "DataError", "ModelFileError", "ParameterError",
        "SoftmarginError",
    ),
    "estimators": ("LinearClassifier", "LinearClassifierCV"),
    "evaluation": ("Evaluation", "evaluate"),
    "losses": ("CrossEntropy", "Hinge", "SquaredHinge", "softmax"),
    "model": ("Model", "load_model"),
    "objective": ("Certificate", "Objective"),
    "selection": ("Comparison", "LearningCurve", "choose", "compare", "learning_curve", "path"),
    "solvers": ("SGD", "Fit", "minimize"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("features", "torch"):
        return import_module(f"softmargin.{name}")
    # Lazy: importing Numba and scikit-learn takes two seconds, which `softmargin --help` does not need.
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f"softmargin.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'softmargin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
