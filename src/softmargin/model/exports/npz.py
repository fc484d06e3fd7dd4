"""NumPy: an archive that `numpy.load` reads without pickle."""

from __future__ import annotations

import io

import numpy as np

from softmargin.model.parts import Parts

__all__ = ["content"]


def content(parts: Parts) -> bytes:
    """Return the file: ``coef`` (C, D), ``intercept`` (C,), ``classes``, ``unit_rows`` and ``feature_names``."""
    arrays = {
        "coef": np.ascontiguousarray(parts.W.T),
        "intercept": parts.b,
        "classes": parts.classes,
        "unit_rows": np.array(parts.unit_rows),
    }
    if parts.feature_names is not None:
        arrays["feature_names"] = np.array(parts.feature_names, dtype=np.str_)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
