"""Names of classes and files that try to be more than names."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path

import numpy as np

import softmargin as sm
from softmargin.report import fill_report, page, summary
from tests.support.command_line import SOFT, run
from tests.support.files import pixels, posix, save_image
from tests.support.hostile import HOSTILE, check_page
from tests.support.models import wide_model


@posix
def test_a_report_shows_hostile_names_as_text(tmp_path: Path) -> None:
    names = [f"{name}{k}" for k, name in enumerate(HOSTILE)]
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (40, 12), dtype=np.uint8), np.array(names)[np.arange(40) % 20]
    data = sm.Dataset(X, y, HOSTILE[1], ids=tuple(f"{name}/{k}" for k, name in enumerate(HOSTILE * 2)),
                      image_shape=(2, 2, 3))  # fmt: skip
    made = wide_model(12, names, image_shape=(2, 2, 3), data_name=HOSTILE[0])
    report = fill_report(made, data, None, [], model_name=HOSTILE[4], data_name=HOSTILE[3])
    check_page(b"".join(page(report, summary(report))).decode())
    assert summary(report).replace("\n", "").isprintable()

    words = ["<img src=x onerror='window.pwned = 1'>", "\x1b[31mred\n<b>", '=1+1,"q"', "\u202egnp.exe", "a\rb"]
    if sys.platform == "linux":
        words.append(os.fsdecode(b"\xff\xfe"))
    root, target = tmp_path / "<b>\x1b[2J", tmp_path / "<i>\x1b]0;m.safetensors"
    for n, word in enumerate(words):
        for k in range(4):
            save_image(root / word / f"{k}{word}.png", pixels(3, 3, 1, seed=n + 9 * k) // 8 + 30 * n)
    html = tmp_path / "r.html"
    answers = [
        run("fit", root, "-o", target, *SOFT, "--report", tmp_path / "f.html"),
        run("report", target, root, "-o", html),
        run("evaluate", target, root),
        run("info", target),
        run("info", root),
    ]
    for answer in answers:
        assert answer.status == 0, answer
        assert (answer.text + answer.err).replace("\n", "").isprintable(), answer
    for path in (html, tmp_path / "f.html"):
        check_page(path.read_text("utf-8"))
    assert run("predict", target, root, "-o", tmp_path / "p.csv", "--proba").status == 0
    text = os.fsdecode((tmp_path / "p.csv").read_bytes())
    heading, *rows = csv.reader(io.StringIO(text, newline=""))
    assert sorted(heading[2:]) == sorted(f"proba_{word}" for word in words)
    assert sorted(row[0] for row in rows) == sorted(f"{word}/{k}{word}.png" for word in words for k in range(4))
    assert {row[1] for row in rows} <= set(words)
