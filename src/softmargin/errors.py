"""Every error and warning that softmargin raises on purpose.

Each message is one sentence that names the file, row and column (or the argument), what was
found and what was expected. The command line prints that sentence and exits with status 2.
"""

import os
import sys
import warnings
from types import FrameType

__all__ = [
    "CapabilityError",
    "ConvergenceWarning",
    "DataError",
    "ModelFileError",
    "ParameterError",
    "SoftmarginError",
    "warn",
]

_PACKAGE = os.path.dirname(__file__) + os.sep


class SoftmarginError(Exception):
    """The root of the tree: catch it to catch everything softmargin raises on purpose."""


class DataError(SoftmarginError, ValueError):
    """Features, labels, weights or a data file are not usable as they came."""


class ParameterError(SoftmarginError, ValueError):
    """An argument such as ``reg``, ``delta`` or ``tol`` is outside its domain."""


class CapabilityError(SoftmarginError, TypeError):
    """A loss, engine and solver were combined that cannot work together."""


class ModelFileError(SoftmarginError, ValueError):
    """A model file is missing, damaged, of another kind or of a newer format."""


class ConvergenceWarning(UserWarning):
    """The solver stopped before the requested gap; the message states the gap it reached."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn in the name of the nearest line outside this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
