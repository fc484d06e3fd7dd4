"""How good a classifier is on labelled samples: metrics with 95 % intervals, by class and by group.

A label that is not a class of the model counts as an error in every metric of predictions: accuracy, top k,
balanced accuracy, macro F1, recall and groups. Metrics of probabilities (log loss, Brier score, AUROC, ECE) leave
out the samples with such labels.
"""

from softmargin.evaluation.measure import evaluate
from softmargin.evaluation.records import Evaluation, Metric, Share

__all__ = ["Evaluation", "Metric", "Share", "evaluate"]
