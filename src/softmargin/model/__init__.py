"""The saved classifier: its metadata, its file, predictions and exports to other programs."""

from softmargin.model.load import load_model
from softmargin.model.record import Model

__all__ = ["Model", "load_model"]
