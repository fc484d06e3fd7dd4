"""The saved classifier: its metadata, its file, predictions and exports to other programs."""

from softmargin.model.record import Model, load_model

__all__ = ["Model", "load_model"]
