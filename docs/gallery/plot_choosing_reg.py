"""
How is λ chosen?
================

The training accuracy rises to 1 as λ decreases, so it cannot tell which λ is best. Held-out samples can: each
of five folds is predicted by a fit to the other four. Two rules select a point: the best mean, or the largest λ
within one standard error of it. See :doc:`/guides/choosing`.
"""

import matplotlib.pyplot as plt
import numpy as np

import softmargin as sm

data = sm.load_dataset("digits")
regs = np.geomspace(1, 1e-6, 13)
search = sm.LinearClassifierCV(["cross_entropy"], regs=regs, scaling="none").fit(data.X, data.y)
path = search.path_.chosen_path
best, one_se = path.points[path.best], path.points[path.one_se]
for name, point in (("best", best), ("one_se", one_se)):
    print(f'rule="{name}": λ = {point.reg:.2g}, held-out accuracy {point.score:.4f} ± {point.standard_error:.4f}')

# %%
# Left of the best λ the classifier is too simple; right of it, it fits details of the training samples that do
# not repeat. The band is one standard error over the folds.

regs = [point.reg for point in path.points]
held_out = np.array([point.validation_accuracy for point in path.points])
error = np.array([point.standard_error for point in path.points])
figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
axes.semilogx(regs, [point.training_accuracy for point in path.points], "s--", color="0.45", label="training")
axes.semilogx(regs, held_out, "o-", color="#2563d6", label="held-out")
axes.fill_between(regs, held_out - error, held_out + error, color="#2563d6", alpha=0.15, lw=0)
axes.axhline(best.score - best.standard_error, color="#cf5a14", lw=1)
for name, point, side in (("best", best, "left"), ("one_se", one_se, "right")):
    axes.plot(point.reg, point.score, "o", ms=12, mfc="none", color="#cf5a14")
    axes.text(point.reg, point.score - 0.022, name, ha=side, color="#cf5a14")
axes.text(regs[0], best.score - best.standard_error + 0.003, "best minus one standard error", color="#cf5a14")
axes.invert_xaxis()
axes.set(xlabel="λ (strong to weak regularization)", ylabel="accuracy")
axes.set_title("Training and held-out accuracy along λ")
axes.legend(frameon=False, loc="lower right")

# %%
# The test set was not used for any of this. It is used once, at the end.

print(f"Test accuracy at the best λ: {search.score(data.test.X, data.test.y):.4f}")
assert path.points[-1].training_accuracy == 1.0
assert one_se.reg >= best.reg
assert one_se.score >= best.score - best.standard_error
