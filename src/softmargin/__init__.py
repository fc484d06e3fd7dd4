"""softmargin: multiclass linear classifiers, trained to a certified optimum."""

from softmargin._version import __version__
from softmargin.data import Dataset, load_dataset
from softmargin.estimators import LinearClassifier
from softmargin.losses import CrossEntropy, Hinge, SquaredHinge, softmax
from softmargin.model import Model, load_model
from softmargin.objective import Certificate, Objective
from softmargin.selection import Choice, choose
from softmargin.solvers import SGD, Fit, minimize

__all__ = [
    "SGD",
    "Certificate",
    "Choice",
    "CrossEntropy",
    "Dataset",
    "Fit",
    "Hinge",
    "LinearClassifier",
    "Model",
    "Objective",
    "SquaredHinge",
    "__version__",
    "choose",
    "load_dataset",
    "load_model",
    "minimize",
    "softmax",
]
