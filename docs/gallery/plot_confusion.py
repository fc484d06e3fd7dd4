"""
Which digits are confused?
==========================

The accuracy is one number. The confusion matrix tells which classes it loses, and the samples tell why.

Every training sample is predicted by the one of five fits that did not see it. ``keep_out_of_fold=True`` keeps
these scores, so no test set is needed.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

import softmargin as sm

data = sm.load_dataset("digits")
search = sm.LinearClassifierCV(["cross_entropy"], keep_out_of_fold=True).fit(data.X, data.y)
predicted = search.classes_[search.oof_decision_function_.argmax(axis=1)]

confusion = np.zeros((10, 10), dtype=int)
np.add.at(confusion, (data.y, predicted), 1)
errors = confusion - np.diag(np.diag(confusion))
true, wrong = np.unravel_index(errors.argmax(), errors.shape)
recall = np.diag(confusion) / confusion.sum(axis=1)
print(f"{errors.sum()} of {data.n_samples} samples are misclassified at λ = {search.best_reg_:.2g}.")
print(f"Lowest recall: {recall.min():.3f}, of the digit {recall.argmin()}.")
print(f"Most frequent confusion: {errors.max()} samples of the digit {true} are predicted as {wrong}.")

# %%
# Rows are true classes and columns are predicted classes. Cells without samples are white.

figure, axes = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
axes.imshow(np.ma.masked_equal(confusion, 0), cmap="Blues", norm=LogNorm(0.5, 400))
for row, column in np.argwhere(confusion):
    count = confusion[row, column]
    axes.text(column, row, count, ha="center", va="center", color="white" if count > 20 else "black")
axes.set(xticks=range(10), yticks=range(10), xlabel="predicted class", ylabel="true class")
axes.set_title("Confusion matrix of held-out predictions")

# %%
# The confusions with the largest loss are those of which the classifier was most certain. Several are hard to
# read.

losses = sm.CrossEntropy().values(search.oof_decision_function_, data.y)
figure, grid = plt.subplots(2, 6, figsize=(6.4, 2.9), layout="constrained")
for axes, k in zip(grid.flat, np.argsort(-losses), strict=False):
    axes.imshow(data.X[k].reshape(8, 8), cmap="gray_r")
    axes.set_title(f"{data.y[k]} as {predicted[k]}", fontsize=10)
    axes.axis("off")
figure.suptitle("Largest held-out losses: true class as predicted class")

assert (data.y[np.argsort(-losses)[:12]] != predicted[np.argsort(-losses)[:12]]).all()
