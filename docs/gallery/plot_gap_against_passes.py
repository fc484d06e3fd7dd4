"""
How many passes until the optimum is proved?
============================================

A fit ends when its relative duality gap is at most ``tol``: the value is then at most this far above the
minimum. How much work does a tighter tolerance cost, and how close does mini-batch SGD come with the same work?
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

import softmargin as sm
from softmargin.solvers import LBFGS, TruncatedNewton

COLORS = {"cross_entropy": "#2563d6", "squared_hinge": "#16855f", "hinge": "#cf5a14"}

data = sm.load_dataset("digits")
tolerances = [10.0**-k for k in range(1, 9)]


def passes_and_gaps(objective, solver=None):
    """Return the passes over X and the certified gap of one fit per tolerance."""
    fits = [sm.minimize(objective, tol=tol, solver=solver) for tol in tolerances]
    return np.array([(fit.n_passes, fit.gap) for fit in fits]).T


# %%
# One point is one fit. The exact hinge has kinks and needs the most passes, the smooth cross-entropy the fewest.
# The solver chooses its steps by the tolerance, so a tighter one does not always cost more.

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
needed = {}
for loss, marker in ((sm.CrossEntropy(), "o"), (sm.SquaredHinge(), "s"), (sm.Hinge(), "^")):
    passes, _ = passes_and_gaps(sm.Objective(loss, data.X, data.y, reg=1e-3))
    axes.loglog(tolerances, passes, color=COLORS[loss.name], marker=marker, label=loss.name)
    needed[loss.name] = passes[3]
    print(f"{loss.name:13} {passes[3]:3.0f} passes for tol=1e-4, {passes[-1]:3.0f} for tol=1e-8")
axes.invert_xaxis()
axes.set_yticks([2, 5, 10, 20, 50, 100], [2, 5, 10, 20, 50, 100])
axes.minorticks_off()
axes.set(xlabel="tolerance on the relative duality gap", ylabel="passes over the training data")
axes.set_title("Passes until the gap is proved, for three losses")
axes.legend(frameon=False)
assert needed["cross_entropy"] < needed["squared_hinge"] < needed["hinge"]

# %%
# Other methods for the same problem follow: L-BFGS, Newton, and SGD with three learning rates. SGD has no
# certificate of its own, but a lower bound on the minimum holds for every method. So the bound of the first fit
# shows how far above the minimum each epoch is. SGD ends after its number of epochs, above the tolerance, and
# softmargin warns about that.

objective = sm.Objective(sm.CrossEntropy(), data.X, data.y, reg=1e-3)
bound = sm.minimize(objective, tol=1e-8).lower_bound
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
solvers = {"default": None, "L-BFGS": LBFGS(), "Newton": TruncatedNewton(fallback=LBFGS())}
for (name, solver), marker in zip(solvers.items(), "osD", strict=True):
    passes, gaps = passes_and_gaps(objective, solver)
    axes.loglog(np.sort(passes), -np.sort(-gaps), color="#2563d6", marker=marker, mfc="w", label=name)
for rate, color in ((1, "#e69f00"), (3, "#d55e00"), (10, "#8a2b06")):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.ConvergenceWarning)
        sgd = sm.minimize(objective, solver=sm.SGD(learning_rate=rate, epochs=50))
    passes, gaps = [s.n_passes for s in sgd.history], [1 - bound / s.value for s in sgd.history]
    axes.loglog(passes, gaps, color=color, ls="--", label=f"SGD, learning rate {rate}")
    print(f"SGD, learning rate {rate:2}: {gaps[-1]:.1e} above the bound after {sgd.n_passes:.0f} passes")
    assert gaps[-1] > 1e-4
axes.set(xlabel="passes over the training data", ylabel="relative distance to the lower bound")
axes.set_title("Cross-entropy: distance to the optimum against passes")
axes.legend(frameon=False, loc="lower left")
