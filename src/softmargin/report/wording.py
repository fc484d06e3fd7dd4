"""How a report writes numbers and losses."""

from __future__ import annotations

import math

from softmargin.losses import Loss
from softmargin.text import Phrase

__all__ = ["capitalized", "loss_name", "percent", "probabilities_from", "short", "title"]

_NAMES = {
    "cross_entropy": Phrase("cross-entropy"),
    "hinge": Phrase("hinge"),
    "squared_hinge": Phrase("squared hinge"),
}


def percent(value: float, digits: int = 1) -> str:
    """Return a share as a percentage: 0.4135 is "41.4 %", and only 1 is "100 %"."""
    text = f"{100 * value:.{digits}f}"
    if float(text) == 100.0 and value < 1.0:
        text = f"> {100 - 10**-digits:.{digits}f}"
    if float(text.lstrip("> ")) == 0.0 and value > 0.0:
        text = f"< {10**-digits:.{digits}f}"
    return f"{text} %"


def short(value: float, digits: int = 4) -> str:
    """Return a number as the page writes it: 0.25, 12350, 5.9e−5; with an exponent it has one digit less."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "–"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.{max(0, digits - 2)}e}".split("e")
        text = f"{float(mantissa):.{digits}g}e{int(exponent)}"
    else:
        text = f"{float(f'{value:.{digits}g}'):.15g}"
    return text.replace("-", "\N{MINUS SIGN}")


def probabilities_from(temperature: float) -> str:
    """Return a sentence: how a model without probabilities of its own gets them from its scores."""
    return Phrase(
        "The probabilities are the softmax of the scores / {0}, a temperature from cross-validation.",
        short(temperature),
    )


def loss_name(name: str) -> str:
    """Return a loss as the page names it: cross_entropy is "cross-entropy", squared_hinge is "squared hinge"."""
    name, _, parameters = name.partition(" (")
    plain = _NAMES.get(name, name.replace("_", " "))
    return Phrase("{0} ({1})", plain, parameters[:-1]) if parameters else plain


def title(loss: Loss) -> str:
    """Return the title of a loss."""
    return Phrase(loss.title)


def capitalized(text: str) -> str:
    """Return a text whose first letter is a capital, also if a value begins it."""
    if isinstance(text, Phrase):
        if text.template.startswith("{0}"):
            return Phrase(text.template, capitalized(text.values[0]), *text.values[1:])
        return Phrase(capitalized(text.template), *text.values)
    return text[:1].upper() + text[1:]
