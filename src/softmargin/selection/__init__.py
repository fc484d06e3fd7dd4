"""Selection of λ for each loss, and of one of the losses, on held-out parts of the training data.

Each loss is fitted along a path of decreasing λ, with warm starts, on all folds at once, until the held-out score
no longer improves. A fold has weight 0 on its held-out samples, so X is not copied, and one preconditioner serves
all losses, folds and λ. Δ is not searched, since it is exchangeable with λ (``docs/mathematics.md``).
"""

from softmargin.content import content_hashes
from softmargin.selection.calibration import fit_temperature
from softmargin.selection.compare import choose, compare, recorded, warn_unconverged
from softmargin.selection.cross_validation import cross_validate, scaling_of
from softmargin.selection.curve_records import CurvePoint, LearningCurve, LossCurve
from softmargin.selection.feature_records import FeatureChoice, FeatureSet
from softmargin.selection.features import FeatureCallback, FeatureComparison, choose_features, compare_features
from softmargin.selection.folds import held_out, make_folds
from softmargin.selection.groups import group_numbers
from softmargin.selection.learning_curve import CurveCallback, learning_curve
from softmargin.selection.out_of_fold import OutOfFold
from softmargin.selection.paired import PairedTest
from softmargin.selection.paths import RegFit, path
from softmargin.selection.records import Calibration, Comparison, FoldPoint, LossPath, PathPoint
from softmargin.selection.search_samples import SearchSamples, gather
from softmargin.selection.settings import FoldCallback, Scorer, Settings

__all__ = [
    "Calibration", "Comparison", "CurveCallback", "CurvePoint", "FeatureCallback", "FeatureChoice",
    "FeatureComparison", "FeatureSet", "FoldCallback", "FoldPoint", "LearningCurve", "LossCurve", "LossPath",
    "OutOfFold", "PairedTest", "PathPoint", "RegFit", "Scorer", "SearchSamples", "Settings", "choose",
    "choose_features", "compare", "compare_features", "content_hashes", "cross_validate", "fit_temperature",
    "gather", "group_numbers", "held_out", "learning_curve", "make_folds", "path", "recorded", "scaling_of",
    "warn_unconverged",
]  # fmt: skip
