"""The digits for the SGD of page 8: a letter from a (0) to q (16) for each pixel.

    python docs/learn/data/make_pictures.py

It writes ``digits-pictures.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import softmargin as sm


def main() -> None:
    """Write the digits."""
    data = sm.load_dataset("digits")
    record = {"command": "python docs/learn/data/make_pictures.py", "n_features": 64, "unit": 16}
    for name, part in (("training", data), ("test", data.test)):
        letters = (np.rint(16 * part.X).astype(np.uint8) + ord("a")).tobytes().decode()
        record[name] = {"pixels": letters, "labels": "".join(map(str, part.y))}
    (Path(__file__).parent / "digits-pictures.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
