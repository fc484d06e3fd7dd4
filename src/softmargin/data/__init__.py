"""Readers of data: one file per format, each yields the same `Dataset`."""

from softmargin.data.dataset import Dataset, Progress
from softmargin.data.load import belongs_to, holds_arrays, load_dataset, options_of, stream_dataset

__all__ = ["Dataset", "Progress", "belongs_to", "holds_arrays", "load_dataset", "options_of", "stream_dataset"]
