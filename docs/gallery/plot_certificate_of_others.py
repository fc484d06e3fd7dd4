"""
How close to the optimum does scikit-learn stop?
================================================

``LogisticRegression`` minimizes the same function as softmargin, with λ = 1/(2NC). It stops when its gradient
is small. How far above the minimum is it then? A certified lower bound answers this for any program.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import softmargin as sm

X, y = load_iris(return_X_y=True)
regs = 10.0 ** -np.arange(1, 7)
names = {tol: f"scikit-learn, tol={tol:g}" for tol in (1e-2, 1e-4, 1e-6)}
gaps = {name: [] for name in (*names.values(), "softmargin, tol=0.0001")}
for reg in regs:
    objective = sm.Objective(sm.CrossEntropy(), X, y, reg=reg)
    bound = sm.minimize(objective, tol=1e-7).lower_bound
    for tol, name in names.items():
        other = LogisticRegression(C=1 / (2 * len(X) * reg), tol=tol, max_iter=10_000).fit(X, y)
        assert other.n_iter_[0] < 10_000
        gaps[name].append(1 - bound / objective.value(other.coef_.T, other.intercept_))
    gaps["softmargin, tol=0.0001"].append(sm.minimize(objective).gap)

for name, values in gaps.items():
    print(f"{name:24} at most {max(values):.1e} above the lower bound")

# %%
# All fits converged by the criterion of their own program. The gap of softmargin is at most its ``tol`` for
# every λ. A ``tol`` on the gradient means another distance for each λ.

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
colors = ("#f0b27a", "#d55e00", "#8a2b06", "#2563d6")
for (name, values), color, marker in zip(gaps.items(), colors, "os^D", strict=True):
    axes.loglog(regs, values, color=color, marker=marker, label=name)
axes.axhline(1e-4, color="0.5", ls="--", lw=1)
axes.invert_xaxis()
axes.set(xlabel="λ (strong to weak regularization)", ylabel="relative distance to the lower bound")
axes.set_title("Distance to the optimum at which each program stops")
axes.legend(frameon=False)
assert max(gaps["softmargin, tol=0.0001"]) <= 1e-4 < max(gaps[names[1e-4]])
