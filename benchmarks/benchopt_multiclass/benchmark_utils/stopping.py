"""When a curve ends."""

from benchopt.stopping_criterion import SufficientProgressCriterion

GOAL = 1e-7


class Reached(SufficientProgressCriterion):
    """The relative excess is at most 1e-7, or some points in a row made no progress."""

    def check_convergence(self, objective_list):
        if objective_list[-1]["objective_excess"] <= GOAL:
            return True, 1
        return super().check_convergence(objective_list)
