"""The saved classifier: its record, its file, predictions and exports to other programs."""

from softmargin.model.record import Model, load_model

__all__ = ["Model", "load_model"]
