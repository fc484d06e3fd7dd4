"""The definitions of the three objectives, and `check`, which compares another function with them.

The definitions are plain loops and plain NumPy, written to be read. Every fast implementation of the package is
tested against them. `check` names the mistakes in a loss or gradient function, such as one of an exercise.
"""

from softmargin.textbook.checker import check
from softmargin.textbook.definitions import (
    softmax_loss_naive,
    softmax_loss_vectorized,
    squared_hinge_loss_naive,
    squared_hinge_loss_vectorized,
    svm_loss_naive,
    svm_loss_vectorized,
)
from softmargin.textbook.report import CheckReport, Mistake, Part

__all__ = [
    "CheckReport",
    "Mistake",
    "Part",
    "check",
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "squared_hinge_loss_naive",
    "squared_hinge_loss_vectorized",
    "svm_loss_naive",
    "svm_loss_vectorized",
]
