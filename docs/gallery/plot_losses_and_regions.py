"""
How do the three losses differ?
===============================

Each loss is a function of margins: the score of the true class minus the score of another one. The hinge is 0
for margins of at least Δ. The squared hinge is smooth at Δ, and larger than the hinge for negative margins.
Cross-entropy is positive for every margin.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

import softmargin as sm

losses = (sm.CrossEntropy(), sm.SquaredHinge(), sm.Hinge())
colors, styles = ("#2563d6", "#16855f", "#cf5a14"), ("-", "--", "-.")

margins = np.linspace(-2, 3, 501)
scores = np.stack([margins, np.zeros_like(margins)], axis=1)
true = np.zeros(len(margins), dtype=int)

figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for loss, color, style in zip(losses, colors, styles, strict=True):
    values = loss.values(scores, true)
    axes.plot(margins, values, color=color, ls=style, label=loss.name)
    print(f"{loss.name:13} at margin 0: {np.interp(0, margins, values):.3f}, at margin 3: {values[-1]:.3f}")
axes.axvline(1, color="0.6", lw=1)
axes.text(1.05, 5, "margin Δ = 1", color="0.3")
axes.set(xlabel="margin: score of the true class minus score of the other", ylabel="loss", ylim=(-0.1, 6))
axes.set_title("Three losses of two classes, as functions of the margin")
axes.legend(frameon=False)

# %%
# Three clouds of points in the plane, and four points of the orange class with a wrong label, far on the other
# side. The dashed lines are the borders without these four. Filled points have a loss above 0.01.
#
# The wrong labels tilt the borders of all three losses: each loss grows without limit, so none ignores an
# outlier. But points with margins above Δ have no influence on the hinge, and those are most of them.

X, y = make_blobs(90, centers=[(-1.6, -0.8), (1.6, -0.8), (0, 1.7)], cluster_std=0.6, random_state=3)
X_wrong = np.array([(-3.4, -0.5), (-3.6, -1.0), (-3.2, -1.4), (-3.7, -1.7)])
X_all, y_all = np.concatenate([X, X_wrong]), np.append(y, [1, 1, 1, 1])
x1, x2 = np.meshgrid(np.linspace(-4.2, 3.6, 300), np.linspace(-2.8, 3.6, 300))
plane = np.stack([x1.ravel(), x2.ravel()], axis=1)
counts = {}

figure, row = plt.subplots(1, 3, figsize=(6.4, 2.6), layout="constrained", sharey=True)
for axes, loss in zip(row, losses, strict=True):
    clean = sm.LinearClassifier(loss, reg=1e-3, scaling="none").fit(X, y).predict(plane)
    fit = sm.LinearClassifier(loss, reg=1e-3, scaling="none").fit(X_all, y_all)
    regions, high = fit.predict(plane), fit.sample_losses(X_all, y_all) > 0.01
    axes.contourf(
        x1, x2, regions.reshape(x1.shape), [-0.5, 0.5, 1.5, 2.5], colors=["#cfe0fb", "#fbdcc6", "#cdeadd"]
    )
    for label, (color, marker) in enumerate(zip(("#2563d6", "#cf5a14", "#16855f"), "os^", strict=True)):
        axes.contour(x1, x2, clean.reshape(x1.shape) == label, [0.5], colors="k", linewidths=0.7, linestyles="--")
        for filled in (False, True):
            points = X_all[(y_all == label) & (high == filled)]
            axes.scatter(*points.T, s=12, c=color if filled else "none", edgecolors=color, marker=marker, lw=0.8)
    axes.set(title=loss.name, xlabel="first feature", aspect="equal")
    counts[loss.name] = high.sum()
    print(
        f"{loss.name:13} {high.sum():2} of {len(y_all)} samples have a loss above 0.01; "
        f"{np.mean(regions != clean):.1%} of the plane changes its class"
    )
row[0].set_ylabel("second feature")
figure.suptitle("Decision regions of three losses, with four wrong labels")
assert counts["hinge"] < len(y) / 2
assert counts["hinge"] < counts["squared_hinge"] < counts["cross_entropy"]
