"""Engines: they read X once per pass, where it is stored."""

from softmargin.engines.base import (
    Capability,
    DualSource,
    DualState,
    DualSums,
    Engine,
    Evaluation,
    GivenRows,
    Gradients,
    Moments,
    Preconditioner,
    Quality,
    RowState,
    Shape,
)
from softmargin.engines.registry import ENGINES, make_engine, runner_of

__all__ = [
    "ENGINES", "Capability", "DualSource", "DualState", "DualSums", "Engine", "Evaluation", "GivenRows",
    "Gradients", "Moments", "Preconditioner", "Quality", "RowState", "Shape", "make_engine", "runner_of",
]  # fmt: skip
