"""
What does ``class_weight="balanced"`` change?
=============================================

If one class is rare, a classifier can be accurate and miss most of it. Class weights multiply the losses of a
class, so that errors on rare classes cost more. They find more of the rare samples, at the cost of more false
alarms.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

import softmargin as sm


def clouds(n_common, n_other, n_rare, seed):
    """Return samples of three overlapping classes."""
    centers = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 1.8]])
    X, y = make_blobs([n_common, n_other, n_rare], centers=centers, random_state=seed)
    return X, np.array(["common", "other", "rare"])[y]


X, y = clouds(2000, 1000, 60, seed=0)
X_test, y_test = clouds(10_000, 5_000, 300, seed=1)
weightings = {"no weights": None, "rare × 5": {"rare": 5.0}, "balanced": "balanced"}
found = {}
for name, class_weight in weightings.items():
    fit = sm.LinearClassifier("cross_entropy", reg=1e-4, class_weight=class_weight).fit(X, y)
    found[name] = sm.evaluate(fit, X_test, y_test)
    accuracy, balanced = found[name].accuracy.value, found[name].balanced_accuracy.value
    print(f"{name:10} accuracy {accuracy:.3f}, balanced accuracy {balanced:.3f}")

# %%
# The balanced accuracy is the mean of the recalls: each class counts the same. The bars are 95 % confidence
# intervals.

figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.6), layout="constrained")
recall, precision = {}, {}
for k, ((name, result), color, marker) in enumerate(
    zip(found.items(), ("#2563d6", "#e69f00", "#cf5a14"), "os^", strict=True)
):
    places = np.arange(3) + 0.2 * (k - 1)
    values = np.array([(c.accuracy.value, c.accuracy.low, c.accuracy.high) for c in result.classes]).T
    errors = [values[0] - values[1], values[2] - values[0]]
    left.errorbar(places, values[0], errors, fmt=marker, color=color, capsize=3, label=name)
    counts = result.confusion
    precision[name], recall[name] = np.diag(counts) / counts.sum(axis=0), values[0]
    right.plot(places, precision[name], marker, color=color)
for axes, title, label in (
    (left, "Recall", "fraction of the class that is found"),
    (right, "Precision", "fraction of the predictions that are correct"),
):
    axes.set(title=title, ylabel=label, ylim=(0, 1))
    axes.set_xticks(range(3), result.labels)
figure.suptitle("Recall and precision of each class, for three weightings")
left.legend(frameon=False, loc="lower left")

for name in weightings:
    print(f"{name:10} recall of the rare class {recall[name][2]:.3f}, precision {precision[name][2]:.3f}")
assert recall["no weights"][2] < recall["rare × 5"][2] < recall["balanced"][2]
assert precision["no weights"][2] > precision["rare × 5"][2] > precision["balanced"][2]
assert found["balanced"].accuracy.value < found["no weights"].accuracy.value
