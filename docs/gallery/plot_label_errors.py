"""
Which labels are probably wrong?
================================

Data sets contain wrong labels. A sample whose label is wrong has a large loss, if the classifier did not see
that label. So the samples with the largest held-out losses should be checked first. To measure how well this
works, some labels are changed on purpose.
"""

import matplotlib.pyplot as plt
import numpy as np

import softmargin as sm

data = sm.load_dataset("digits")
rng = np.random.default_rng(0)
is_wrong = rng.random(data.n_samples) < 0.05
y = np.where(is_wrong, (data.y + rng.integers(1, 10, data.n_samples)) % 10, data.y)

search = sm.LinearClassifierCV(["cross_entropy"], scoring="loss", keep_out_of_fold=True).fit(data.X, y)
held_out = sm.CrossEntropy().values(search.oof_decision_function_, y)
seen = sm.LinearClassifier("cross_entropy", reg=1e-6).fit(data.X, y).sample_losses(data.X, y)

n_wrong = is_wrong.sum()
found = {
    name: np.cumsum(is_wrong[np.argsort(-losses)]) / n_wrong
    for name, losses in (("held-out losses", held_out), ("training losses, small λ", seen))
}
print(f"{n_wrong} of {data.n_samples} labels were changed.")
for name, fraction in found.items():
    print(f"{name}: the {n_wrong} largest contain {fraction[n_wrong - 1]:.1%} of them.")

# %%
# Checked in this order, nearly all wrong labels are found early. The training losses of a fit with a small λ are
# a worse guide, because that classifier has learned the wrong labels, too.

figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
checked = 100 * np.arange(1, data.n_samples + 1) / data.n_samples
for (name, fraction), color, style in zip(found.items(), ("#2563d6", "#cf5a14"), ("-", "--"), strict=True):
    axes.plot(checked, fraction, color=color, ls=style, label=name)
axes.plot([0, 100], [0, 1], color="0.6", lw=1, ls=":", label="random order")
axes.axvline(100 * n_wrong / data.n_samples, color="0.6", lw=1)
axes.text(100 * n_wrong / data.n_samples + 0.3, 0.05, "number of wrong labels", color="0.3")
axes.set(xlim=(0, 30), xlabel="samples checked (%)", ylabel="fraction of the wrong labels found")
axes.set_title("Wrong labels found by checking the largest losses first")
axes.legend(frameon=False, loc="center right")

# %%
# These are the samples with the largest held-out losses, with the labels that were given.

figure, grid = plt.subplots(2, 8, figsize=(6.4, 2.2), layout="constrained")
for axes, k in zip(grid.flat, np.argsort(-held_out), strict=False):
    axes.imshow(data.X[k].reshape(8, 8), cmap="gray_r")
    axes.set_title(f"label {y[k]}", fontsize=9)
    axes.axis("off")
figure.suptitle("The 16 samples with the largest held-out losses")
held_out, seen = (fraction[n_wrong - 1] for fraction in found.values())
assert held_out > 0.75
assert held_out > seen
