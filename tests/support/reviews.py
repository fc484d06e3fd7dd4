"""A few hundred short reviews of everyday things, in three classes."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

THINGS = (
    "kettle", "lamp", "desk", "umbrella", "backpack", "bicycle bell", "headphones", "notebook", "toaster",
    "raincoat",
)  # fmt: skip
VERDICTS = {
    "good": (
        "I love this {}, it works every day.",
        "A wonderful {}. Worth the price!",
        "Great {}, arrived early and looks lovely.",
        "My old one broke; this {} is excellent.",
        "Very happy with the {}, five stars.",
        "The {} is sturdy, quiet and easy to use.",
        "Best {} I have owned, would buy again.",
        "Perfect gift: the {} made my sister smile.",
        "Such a well made {}, I recommend it.",
        "The {} does what it promises. Excellent.",
    ),
    "bad": (
        "The {} broke after two days.",
        "Terrible {}, I want my money back.",
        "Do not buy this {}. It smells and rattles.",
        "A cheap {} that fell apart at once.",
        "I hate this {}; it never worked.",
        "The {} came scratched, late and without a manual.",
        "Awful quality. The {} leaks.",
        "Worst {} ever, one star is too much.",
        "My {} stopped after a week, and nobody answers.",
        "Disappointed: the {} is useless.",
    ),
    "unsure": (
        "The {} is okay, nothing special.",
        "It is a {}. It does its job, more or less.",
        "Average {} for an average price.",
        "Some days I like the {}, some days I do not.",
        "The {} is fine but smaller than I thought.",
        "Not sure about this {} yet.",
        "A decent {}, though the colour is dull.",
        "The {} works, but so did the old one.",
        "Neither good nor bad, just a {}.",
        "Three stars: the {} is acceptable.",
    ),
}


def save_reviews(path: Path) -> int:
    """Write the reviews as a table with the columns review and opinion; return their number."""
    rows = [
        (verdict.format(thing), opinion)
        for opinion, verdicts in VERDICTS.items()
        for verdict, thing in itertools.product(verdicts, THINGS)
    ]
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("review", "opinion"), *rows])
    return len(rows)
