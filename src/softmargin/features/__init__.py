"""Extractors: what turns pictures and texts into features.

Each is a transformer of scikit-learn with a fixed identity: its name, its parameters and a hash of what it learned
or of the files that it reads. Optional packages are imported when an extractor needs them.
"""

from softmargin.features.backbone import Backbone
from softmargin.features.base import FeatureExtractor
from softmargin.features.hog import HOG
from softmargin.features.kmeans import KMeansPatches
from softmargin.features.pixels import Pixels
from softmargin.features.registry import extractor_of, from_record, make_extractor
from softmargin.features.sentence import SentenceEncoder
from softmargin.features.text_backbone import TextBackbone

__all__ = [
    "HOG", "Backbone", "FeatureExtractor", "KMeansPatches", "Pixels", "SentenceEncoder", "TextBackbone",
    "extractor_of", "from_record", "make_extractor",
]  # fmt: skip
