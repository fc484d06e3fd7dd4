"""
Which words decide?
===================

Texts become sparse features, one per word, so the weights of a class are a list of words. The texts are
generated: short notes on three topics that share many words.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

import softmargin as sm

TOPICS = {
    "cooking": "oven dough salt butter onion simmer flour pepper recipe knead",
    "hiking": "trail summit boots ridge tent valley backpack climb river map",
    "sailing": "mast harbour anchor tide sail deck rope wind river map",
}
SHARED = "we then the long day early started finally again with good some salt wind butter knots"

rng = np.random.default_rng(0)
labels = rng.choice(list(TOPICS), 900)
texts = [
    " ".join(rng.permutation([*rng.choice(TOPICS[label].split(), 3), *rng.choice(SHARED.split(), 10)]))
    for label in labels
]
vectorizer = TfidfVectorizer()
X = vectorizer.fit_transform(texts)
fit = sm.LinearClassifier("cross_entropy", reg=1e-3).fit(X[:600], labels[:600])
print(f"{labels[0]}: {texts[0]}")
print(f"{X.shape[1]} words, {X.nnz / len(texts):.1f} different ones per text")
print(f"Test accuracy {fit.score(X[600:], labels[600:]):.3f}, certified gap {fit.gap_:.1e}")

# %%
# Words with bars to the right increase the score of the class, the others decrease it. Words that two topics
# share, such as "river", have a small weight in both and a negative one in the third.

words = vectorizer.get_feature_names_out()
most = abs(fit.coef_).max() * 1.05
figure, row = plt.subplots(1, 3, figsize=(6.4, 4), layout="constrained")
for axes, name, weights in zip(row, fit.classes_, fit.coef_, strict=True):
    order = np.argsort(weights)
    shown = np.concatenate([order[:4], order[-10:]])
    colors = np.where(weights[shown] > 0, "#2563d6", "#cf5a14")
    axes.barh(range(len(shown)), weights[shown], color=colors)
    axes.set_yticks(range(len(shown)), words[shown])
    axes.set(title=name, xlabel="weight", xlim=(-most, most))
figure.suptitle("Words with the largest weights of each class")

river = fit.coef_[:, words == "river"].ravel()
print("Weights of river:", ", ".join(f"{name} {w:.2f}" for name, w in zip(fit.classes_, river, strict=True)))
assert river[0] < 0 < min(river[1:])
