"""
How many labelled samples are enough?
=====================================

A learning curve is the test accuracy by the number of training samples per class ("shots"). Where it still
rises, more labels help. Where it is flat, they do not.
"""

import matplotlib.pyplot as plt

import softmargin as sm

COLORS = {"cross_entropy": "#2563d6", "squared_hinge": "#16855f", "hinge": "#cf5a14"}

data = sm.load_dataset("digits")
shots = [1, 2, 4, 8, 16, 32, 64, "all"]
found = sm.learning_curve(
    data.X, data.y, data.test.X, data.test.y, loss=["cross_entropy", "hinge"], reg=1e-2, shots=shots, repeats=10
)
for curve in found.curves:
    for point in curve.points:
        error = f" ± {point.standard_error:.3f}" if len(point.accuracies) > 1 else ""
        print(f"{curve.loss:13} {point.name:>4} per class: {point.mean:.3f}{error}")

# %%
# Each point is the mean of ten random subsets, except the last one, which has all samples. A subset contains the
# next smaller one, so the curves are comparable from point to point. The bands show how much one draw of the
# labelled samples can be above or below the mean.

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for curve, marker in zip(found.curves, "o^", strict=True):
    name, sizes = curve.loss, [point.n_samples / found.n_classes for point in curve.points]
    low, high = zip(*(point.band for point in curve.points), strict=True)
    means = [point.mean for point in curve.points]
    axes.semilogx(sizes, means, color=COLORS[name], marker=marker, label=name)
    axes.fill_between(sizes, low, high, color=COLORS[name], alpha=0.15, lw=0)
axes.set_xticks(sizes, [point.name for point in curve.points], minor=False)
axes.minorticks_off()
axes.set(xlabel="training samples per class", ylabel="test accuracy")
axes.set_title("Learning curves on digits")
axes.legend(frameon=False, loc="lower right")

means = {point.name: point.mean for point in found.curves[0].points}
print(f"Two samples per class instead of one add {means['2'] - means['1']:.3f} to the accuracy of cross_entropy,")
print(f"all samples instead of 64 per class add {means['all'] - means['64']:.3f}.")
