"""
Do SVM and softmax disagree?
============================

The two classic losses often have similar accuracies. Do they also make the same errors? And is the difference
between the accuracies significant? McNemar's test answers the second question, from the number of samples that
only one of the two classifies correctly.
"""

import matplotlib.pyplot as plt
import numpy as np

import softmargin as sm

data = sm.load_dataset("digits")
search = sm.LinearClassifierCV(["cross_entropy", "hinge"], keep_out_of_fold=True).fit(data.X, data.y)
found, test = search.path_, search.path_.tests[0]
for path in found.paths:
    print(
        f"{path.loss.name:13} held-out accuracy {path.chosen.validation_accuracy:.4f} at λ = {path.chosen.reg:.2g}"
    )
print(test.sentence())

# %%
# The search keeps the held-out predictions of the selected loss. For the other loss they come from a second
# search, on the same folds, with its own λ only. So every sample is predicted by fits that did not see it.

other = next(path for path in found.paths if path.loss.name == test.second)
second = sm.LinearClassifierCV([other.loss], regs=[other.chosen.reg], keep_out_of_fold=True).fit(data.X, data.y)
predicted = {
    name: fit.classes_[fit.oof_decision_function_.argmax(axis=1)]
    for name, fit in ((test.first, search), (test.second, second))
}
softmax, svm = predicted["cross_entropy"], predicted["hinge"]
differ = np.flatnonzero(softmax != svm)
both_wrong = np.sum((softmax != data.y) & (svm != data.y))
print(f"They disagree on {len(differ)} of {data.n_samples} samples, and both are wrong on {both_wrong}.")
assert (search.oof_fold_ == second.oof_fold_).all()
assert both_wrong > len(differ)

# %%
# They agree on most of their errors: what is hard for one linear classifier is hard for the other. Here are
# pictures on which they disagree.

figure, grid = plt.subplots(2, 6, figsize=(6.4, 3.6), layout="constrained")
for axes, k in zip(grid.flat, differ, strict=False):
    axes.imshow(data.X[k].reshape(8, 8), cmap="gray_r")
    axes.set_title(f"label {data.y[k]}\nsoftmax {softmax[k]}\nSVM {svm[k]}", fontsize=9)
    axes.axis("off")
figure.suptitle("Held-out samples on which softmax and SVM disagree")
