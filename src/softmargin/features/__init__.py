"""Extractors: what turns pictures and texts into features.

Each is a transformer of scikit-learn with a fixed identity: its name, its parameters and a hash of what it learned
or of the files that it reads. Optional packages are imported when an extractor needs them.
"""

from softmargin.features.base import FeatureExtractor
from softmargin.features.hog import HOG
from softmargin.features.kmeans import KMeansPatches
from softmargin.features.pixels import Pixels
from softmargin.features.registry import extractor_of, from_record, make_extractor

__all__ = ["HOG", "FeatureExtractor", "KMeansPatches", "Pixels", "extractor_of", "from_record", "make_extractor"]
