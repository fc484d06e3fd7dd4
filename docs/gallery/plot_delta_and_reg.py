"""
Must the margin Δ be searched, too?
===================================

The hinge losses have two settings, the margin Δ and the penalty λ. But they are exchangeable. For the hinge
W*(Δ, λ) = Δ·W*(1, Δλ), and for the squared hinge W*(Δ, λ) = Δ·W*(1, λ). So a search over λ is enough. Here is
the experiment; the proof is in :doc:`/mathematics`.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification

import softmargin as sm

X, y = make_classification(
    2600, n_features=30, n_informative=6, n_classes=3, n_clusters_per_class=1, flip_y=0.05, random_state=1
)
X, X_test, y, y_test = X[:100], X[100:], y[:100], y[100:]
deltas = regs = 10.0 ** np.arange(-3, 2)


def fit(loss, reg):
    """Return a fit that is much more accurate than by default."""
    return sm.LinearClassifier(loss, reg=reg, tol=1e-6, scaling="none").fit(X, y)


accuracies = {}
for loss in (sm.Hinge, sm.SquaredHinge):
    fits = [[fit(loss(delta), reg) for reg in regs] for delta in deltas]
    accuracies[loss().name] = [[one.score(X_test, y_test) for one in row] for row in fits]

# %%
# Each cell is one fit. The accuracy of the hinge is constant along the diagonals, where Δ·λ is constant. That of
# the squared hinge is constant along the columns: there Δ has no influence on the predictions.

figure, row = plt.subplots(1, 2, figsize=(6.4, 3.6), layout="constrained", sharey=True)
for axes, (name, table) in zip(row, accuracies.items(), strict=True):
    axes.imshow(table, origin="lower", cmap="cividis", vmin=0.4, vmax=0.8)
    for (i, j), value in np.ndenumerate(np.array(table)):
        color = "white" if value < 0.6 else "black"
        axes.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(regs)), [f"{reg:g}" for reg in regs])
    axes.set_yticks(range(len(deltas)), [f"{delta:g}" for delta in deltas])
    axes.set(title=name, xlabel="λ")
row[0].set_ylabel("margin Δ")
figure.suptitle("Test accuracy by margin and penalty")

# %%
# The weights agree, too, up to the tolerance of the fits.

for loss, partner in ((sm.Hinge, 3.0 * 0.01), (sm.SquaredHinge, 0.01)):
    W, scaled = fit(loss(3.0), 0.01).coef_, 3.0 * fit(loss(1.0), partner).coef_
    difference = np.linalg.norm(W - scaled) / np.linalg.norm(W)
    print(f"{loss().name:13} relative difference between W*(3, 0.01) and 3·W*(1, {partner:g}): {difference:.1e}")
    assert difference < 1e-3
hinge, squared = map(np.array, accuracies.values())
assert np.ptp(squared, axis=0).max() < 1e-3
assert abs(hinge[1:, :-1] - hinge[:-1, 1:]).max() < 1e-3
