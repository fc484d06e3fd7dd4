"""
Can the probabilities be trusted?
=================================

If a classifier is 80 % sure of 100 samples, about 80 of them should be correct. The reliability diagram checks
this: the fraction that is correct against the mean confidence, in bins of confidence.

The data are generated: four overlapping clouds of points, so that some errors are unavoidable. λ is selected by
the held-out loss: the accuracy does not notice probabilities that are too small or too large.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

import softmargin as sm

X, y = make_blobs(9000, n_features=20, centers=4, cluster_std=13.0, random_state=0)
X, X_test, y, y_test = X[:3000], X[3000:], y[:3000], y[3000:]
hinge = sm.LinearClassifierCV(["hinge"], scoring="loss").fit(X, y)
softmax = sm.LinearClassifierCV(["cross_entropy"], scoring="loss").fit(X, y)
probabilities = {
    "hinge: softmax of the scores": sm.softmax(hinge.decision_function(X_test)),
    "hinge: with temperature": hinge.predict_proba(X_test),
    "cross-entropy": softmax.predict_proba(X_test),
}


def reliability(p, n_bins=12):
    """Return the mean confidence and the accuracy per bin of equally many samples, and the calibration error."""
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y_test
    bins = np.array_split(np.argsort(confidence), n_bins)
    means = np.array([confidence[b].mean() for b in bins])
    accuracies = np.array([correct[b].mean() for b in bins])
    return means, accuracies, np.average(abs(means - accuracies), weights=[len(b) for b in bins])


found = {name: reliability(p) for name, p in probabilities.items()}
print(f"Fitted temperature of the hinge: {hinge.calibration_.temperature:.3f}")
for name, (_, _, error) in found.items():
    print(f"{name:29} expected calibration error {error:.3f}")

# %%
# The hinge rewards margins of 1, not probabilities: the softmax of its scores is too cautious. Dividing the
# scores by one number, the temperature, repairs that without changing a prediction. ``LinearClassifierCV`` fits
# it to held-out scores. Cross-entropy needs no such step.

figure, axes = plt.subplots(figsize=(6.4, 5), layout="constrained")
axes.plot([0.25, 1], [0.25, 1], color="0.6", lw=1, ls="--", label="perfectly calibrated")
for (name, (means, accuracies, _)), color, marker in zip(
    found.items(), ("#e69f00", "#cf5a14", "#2563d6"), "v^o", strict=True
):
    axes.plot(means, accuracies, color=color, marker=marker, label=name)
axes.set(xlabel="mean confidence", ylabel="accuracy", xlim=(0.25, 1), ylim=(0.25, 1), aspect="equal")
axes.set_title("Reliability diagram on test samples")
axes.legend(frameon=False, loc="lower right")

before, after, _ = (error for _, _, error in found.values())
assert after < before / 3
assert (
    sm.softmax(hinge.decision_function(X_test)).argmax(axis=1) == hinge.predict_proba(X_test).argmax(axis=1)
).all()
