"""Settings of a selection, and the types of its callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from softmargin.arguments import brief, check_choice, check_flag, check_number
from softmargin.errors import ParameterError
from softmargin.losses import Loss
from softmargin.losses.base import Floats, Ints
from softmargin.selection.grid import check_regs
from softmargin.selection.records import Recorded
from softmargin.solvers import Step

__all__ = ["RULES", "FoldCallback", "Scorer", "Settings"]

RULES = ("best", "one_se")

FoldCallback: TypeAlias = Callable[[Loss, float, int, Step], None]
"""Called with the loss, λ, the number of a fold and each step of its fit, in the calling thread."""

Scorer: TypeAlias = Callable[[Loss, Floats, Floats, Ints, Ints], float]
"""``scorer(loss, W, b, classes, rows)`` scores a fit on held-out samples; larger is better. W and b are for raw
features and have one column per class number in ``classes``."""


class Settings(NamedTuple):
    """Settings of the selection; see `compare`."""

    regs: str | int | Sequence[float] = "auto"
    rule: str = "best"
    scoring: str | Scorer = "accuracy"
    scoring_name: str = ""
    path_tol: float = 1e-3
    path_passes: float = 1000
    calibrate: bool = True
    progress: FoldCallback | None = None
    keep_out_of_fold: bool = False
    fit_all: bool = True
    record: Recorded = Recorded()

    def checked(self) -> Settings:
        """Return the settings with converted numbers, or raise a `ParameterError`."""
        name, regs = self.scoring_name or "score", self.regs
        check_choice("rule", self.rule, RULES)
        if isinstance(self.scoring, str):
            name = self.scoring
            if name not in ("accuracy", "loss"):
                raise ParameterError(f"scoring must be 'accuracy', 'loss' or a scorer, got {brief(name)}.")
        if not (self.progress is None or callable(self.progress)):
            raise ParameterError(f"callback must be callable, got {brief(self.progress)}.")
        path_tol = check_number("path_tol", self.path_tol)
        if not 0.0 < path_tol < 1.0:
            raise ParameterError(f"path_tol must be a relative gap between 0 and 1, got {brief(path_tol)}.")
        check_flag("calibrate", self.calibrate)
        check_flag("keep_out_of_fold", self.keep_out_of_fold)
        check_flag("fit_all", self.fit_all)
        if not (isinstance(regs, str) and regs == "auto"):
            regs = check_regs(regs)
        return self._replace(regs=regs, scoring_name=name, path_tol=path_tol)
