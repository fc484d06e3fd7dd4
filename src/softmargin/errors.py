"""The errors and warnings of softmargin.

Each message is one sentence that names the argument (or the file, row and column), the requirement and the value
found. The command line prints this sentence and exits with status 2.
"""

import contextlib
import os
import sys
import warnings
from types import FrameType

__all__ = [
    "CapabilityError",
    "ClusterError",
    "ConvergenceWarning",
    "DataError",
    "ModelFileError",
    "ParameterError",
    "SoftmarginError",
    "missing_package",
    "warn",
]

_OURS = (os.path.dirname(__file__) + os.sep, contextlib.__file__)
"""Where the frames of this package are, and those of its context managers that are used as decorators."""


class SoftmarginError(Exception):
    """Base class of all errors that softmargin raises on purpose."""


class DataError(SoftmarginError, ValueError):
    """Features, labels, weights or a data file are invalid."""


class ParameterError(SoftmarginError, ValueError):
    """An argument such as ``reg``, ``delta`` or ``tol`` is invalid."""


class CapabilityError(SoftmarginError, TypeError):
    """A loss, engine and solver do not work together, or an optional dependency is missing."""


class ClusterError(SoftmarginError, RuntimeError):
    """A cluster has no workers left, or they lack memory or files, or differ from each other."""


class ModelFileError(SoftmarginError, ValueError):
    """A model file is missing, damaged, of another kind or of a newer format."""


class ConvergenceWarning(UserWarning):
    """The solver did not reach the tolerance; the message states the gap."""


def missing_package(what: str, package: str, extra: str) -> CapabilityError:
    """Return the error that something needs a package, with the extra of softmargin that installs all it needs."""
    install = f'python -m pip install ".[{extra}]"'
    return CapabilityError(
        f"{what} needs the package {package}; in the source folder of softmargin run: {install}."
    )


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning with the location of the nearest caller outside this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
