"""
Does a better feature or a better loss help more?
=================================================

Three features of the digits are compared, each with two losses, on the same folds: the pixels, histograms of
oriented gradients (HOG), and similarities to patches learned by k-means.
"""

import matplotlib.pyplot as plt

import softmargin as sm
from softmargin.samples import Labelled
from softmargin.selection import compare_features

COLORS = {"cross_entropy": "#2563d6", "hinge": "#cf5a14"}

data = sm.load_dataset("digits")
pictures = (255 * data.X.reshape(-1, 8, 8)).astype("uint8")
extractors = {
    "pixels": sm.features.Pixels(),
    "HOG": sm.features.HOG(cell=2, colours=0),
    "k-means patches": sm.features.KMeansPatches(n_centroids=50, patch=4, mirror=False, n_patches=5_000),
}
features = {name: extractor.fit_transform(pictures) for name, extractor in extractors.items()}
sets = {name: Labelled.check(X, data.y, keys=pictures.reshape(-1, 64)) for name, X in features.items()}
found = compare_features(sets, list(COLORS), regs=[1e-2, 1e-3, 1e-4], cv=3, scaling="none")
print("\n".join(found.choice.sentences()))

# %%
# Each point is the held-out accuracy at the λ that is best for this feature and loss, with its standard error.
# The columns differ much more than the colours. For photographs, see :doc:`/guides/features`.

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
spread = {}
for place, (name, comparison) in enumerate(found.comparisons.items()):
    accuracies = [path.chosen.validation_accuracy for path in comparison.paths]
    for k, (path, marker) in enumerate(zip(comparison.paths, "o^", strict=True)):
        error = comparison.accuracy_error(path.chosen)
        label = path.loss.name if place == 0 else None
        axes.errorbar(
            place + 0.2 * (k - 0.5),
            accuracies[k],
            error,
            fmt=marker,
            color=COLORS[path.loss.name],
            capsize=3,
            label=label,
        )
    spread[name] = max(accuracies) - min(accuracies)
    print(f"{name:15} {features[name].shape[1]:3} columns, held-out accuracy up to {max(accuracies):.3f}")
axes.set_xticks(range(3), sets)
axes.set(ylabel="held-out accuracy", xlim=(-0.5, 2.5))
axes.set_title("Held-out accuracy of three features and two losses")
axes.legend(frameon=False, loc="lower right")

best = [max(path.chosen.validation_accuracy for path in one.paths) for one in found.comparisons.values()]
assert max(best) - min(best) > max(spread.values())
