"""
What do the weights of a class look like?
=========================================

A linear classifier has one weight per pixel and class, so the weights of a class are a picture. How does the
penalty λ change it?
"""

import matplotlib.pyplot as plt
import numpy as np

import softmargin as sm

data = sm.load_dataset("digits")
regs = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
fits = [sm.LinearClassifier("cross_entropy", reg=reg, scaling="none").fit(data.X, data.y) for reg in regs]

differences = [data.X[data.y == label].mean(axis=0) - data.X.mean(axis=0) for label in range(10)]
for fit in fits:
    r = np.corrcoef(fit.coef_.ravel(), np.ravel(differences))[0, 1]
    training, test = fit.score(data.X, data.y), fit.score(data.test.X, data.test.y)
    print(
        f"λ = {fit.reg:<6g} largest weight {abs(fit.coef_).max():.2f}, correlation with mean differences {r:.2f}, "
        f"accuracy {training:.3f} (training), {test:.3f} (test)"
    )

# %%
# Each row of pictures is one fit, with its own colour scale. Blue pixels increase the score of the class, red
# pixels decrease it.
#
# With a large λ the weights are nearly the average picture of the class minus the average of all pictures. With
# a small λ they are larger, and single pixels matter that separate the training samples. The training accuracy
# rises to 1, while the test accuracy has its maximum before.

figure, rows = plt.subplots(len(regs), 10, figsize=(6.4, 4.3), layout="constrained")
for fit, row in zip(fits, rows, strict=True):
    most = abs(fit.coef_).max()
    for axes, weights in zip(row, fit.coef_, strict=True):
        axes.imshow(weights.reshape(8, 8), cmap="RdBu", vmin=-most, vmax=most)
        axes.set(xticks=[], yticks=[])
    row[0].set_ylabel(f"λ = {fit.reg:g}", rotation=0, ha="right", va="center")
for axes, label in zip(rows[0], fits[0].classes_, strict=True):
    axes.set_title(label)
figure.suptitle("Weights of the ten digits, from strong to weak regularization")

assert np.corrcoef(fits[0].coef_.ravel(), np.ravel(differences))[0, 1] > 0.9
accuracies = [fit.score(data.test.X, data.test.y) for fit in fits]
assert fits[-1].score(data.X, data.y) == 1.0
assert max(accuracies) > max(accuracies[0], accuracies[-1])
