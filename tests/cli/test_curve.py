"""`softmargin curve`: the table, the files, the page."""

from __future__ import annotations

import csv
import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import softmargin as sm
from tests.support.command_line import interrupt, module, run, run_refused, stopped_at

pytestmark = pytest.mark.usefixtures("compiled")

FEW = ("--shots", "1,4,all", "--repeats", "3", "--reg", "0.01")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.normal(size=(90, 4)) + 2.0 * np.eye(3, 4)[y]
    names = np.array(["a<b>", "c&d", "e"])[y]
    np.savez("parts.npz", X_train=X[:60], y_train=names[:60], X_test=X[60:], y_test=names[60:])
    np.savez("whole.npz", X=X, y=names)
    return tmp_path


def test_the_command_prints_what_the_library_finds(folder):
    data = sm.load_dataset("parts.npz")
    expected = sm.learning_curve(
        data.X, data.y, data.test.X, data.test.y, reg=0.01, shots=[1, 4, "all"], repeats=3
    ).record()
    answer = run("curve", "parts.npz", *FEW, "--json", "-o", "c.json", "--report", "c.html")
    assert (answer.status, answer.err) == (0, "")
    found = answer.json
    assert json.loads(Path("c.json").read_text("utf-8")) == found
    assert found["data"]["n_samples"] == 60
    for one in (found["curve"], expected):
        one.pop("seconds")
        for point in one["curves"][0]["points"]:
            point.pop("seconds")
    assert found["curve"] == expected


def test_the_table_and_the_rows_of_the_csv_file(folder):
    answer = run("curve", "parts.npz", *FEW, "-o", "c.csv", "--loss", "hinge", "--loss", "cross_entropy")
    assert answer.status == 0
    first, _, head, *rows = answer.text.splitlines()
    assert first == "parts.npz: 60 training samples, 3 classes; 30 samples of the test set."
    assert head.split()[:5] == ["loss", "shots", "samples", "reg", "accuracy"]
    assert [row.split()[:3] for row in rows[:3]] == [
        ["hinge", "1", "3"],
        ["hinge", "4", "12"],
        ["hinge", "all", "60"],
    ]
    assert all(len(row) <= 80 for row in rows)
    assert "All 14 fits converged (gap ≤ 1e-3)." in answer.text
    with open("c.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 14
    for row in rows[:3]:
        _, shots, _, _, mean = row.split()[:5]
        values = [float(r["accuracy"]) for r in table if (r["loss"], r["shots"]) == ("hinge", shots)]
        assert float(mean) == pytest.approx(np.mean(values), abs=6e-5)


def test_without_a_test_set_a_fifth_is_held_out(folder):
    answer = run("curve", "whole.npz", *FEW)
    assert answer.text.startswith("whole.npz: 72 training samples, 3 classes; 18 samples held out of all subsets.")
    assert "λ was selected" not in answer.text
    selected = run("curve", "whole.npz", *FEW[:4])
    assert "λ was selected on the whole training set; all subsets have the same C = 1/(2nλ)." in selected.text


def test_groups_stay_on_one_side(folder):
    np.save("g.npy", np.arange(90) // 3)
    found = run("curve", "whole.npz", *FEW, "--groups", "g.npy", "--json")
    assert (found.status, found.err, found.json["curve"]["n_groups"]) == (0, "", 30)
    with np.load("whole.npz") as arrays:
        expected = sm.learning_curve(
            arrays["X"], arrays["y"], groups=np.arange(90) // 3, reg=0.01, shots=[1, 4, "all"], repeats=3
        )
    assert found.json["curve"]["n_test"] == expected.n_test
    points = found.json["curve"]["curves"][0]["points"]
    assert [tuple(point["accuracies"]) for point in points] == [p.accuracies for p in expected.curves[0].points]
    first = run("curve", "whole.npz", *FEW, "--groups", "g.npy").text.splitlines()[0]
    assert first.endswith(" samples held out of all subsets, as whole groups (30 groups in total).")
    np.save("g.npy", np.arange(60) // 3)
    noted = run("curve", "parts.npz", *FEW, "--groups", "g.npy")
    assert noted.err == "Note: the groups have no effect, since there is a test set and --reg is given.\n"
    assert run("curve", "parts.npz", *FEW[:4], "--groups", "g.npy").err == ""


def test_groups_of_images_and_tables(folder):
    rng = np.random.default_rng(0)
    for k in range(40):
        Path("photos", "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(Path("photos", "ab"[k % 2], f"p{k // 4}_{k}.png"))
    found = run("curve", "photos", *FEW, "--group-by", r"p(\d+)_", "--json")
    assert found.json["curve"]["n_groups"] == 10
    assert found.json["curve"]["n_test"] % 4 == 0
    lines = [f"{rng.normal():.3f},{k % 2},{k // 4}" for k in range(40)]
    Path("t.csv").write_text("\n".join(["a,label,patient", *lines]) + "\n")
    found = run("curve", "t.csv", *FEW, "--groups", "patient", "--json").json
    assert (found["curve"]["n_groups"], found["data"]["n_features"]) == (10, 1)


def test_the_help_tells_the_default_loss():
    text = " ".join(run("curve", "--help").text.split())
    assert "hinge. [default: cross_entropy]" in text
    assert "evaluating.md" in text
    assert "[default: all]" in " ".join(run("fit", "--help").text.split())


def test_the_page_shows_every_point(folder):
    run("curve", "parts.npz", *FEW, "--report", "c.html", "--loss", "hinge", "--loss", "cross_entropy")
    page = Path("c.html").read_text("utf-8")
    assert "<script" not in page
    assert not re.search(r"https?:|src=|style=\"", page)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 2  # for large and for small screens
    for svg in map(ET.fromstring, drawings):
        circles = list(svg.iter("circle"))
        assert len(circles) == 6
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        assert all(0 < float(c.attrib["cx"]) < width and 0 < float(c.attrib["cy"]) < height for c in circles)
        columns = [float(c.attrib["cx"]) for c in circles[:3]]
        assert columns[1] - columns[0] == pytest.approx(
            (columns[2] - columns[0]) * np.log(4) / np.log(20), abs=0.2
        )
        assert [text.text for text in svg.iter("text") if text.text][-1] == "training samples per class"
        ticks = [t.text for t in svg.iter("text")]
        assert {"1", "4", "all (20)"} <= set(ticks)
    assert len(re.findall(r"<tr>", page)) == 7
    assert page.count('class="legend"') == 1
    assert '<span class="k2">cross-entropy</span>' in page
    assert "cross_entropy" not in page


@pytest.mark.parametrize("shots", ["1,2,3,4,6,8", "1,2,3,4,5,8,10,20", "18,19,20,all"])
def test_labels_of_the_shots_do_not_overlap(shots, folder):
    run("curve", "parts.npz", "--shots", shots, *FEW[2:], "--report", "c.html")
    for drawing in re.findall(r"<svg.*?</svg>", Path("c.html").read_text("utf-8"), re.DOTALL):
        svg = ET.fromstring(drawing)
        labels = sorted((float(t.attrib["x"]), t.text) for t in svg.iter("text") if t.text and "%" not in t.text)
        labels = [(x, text) for x, text in labels if text != "training samples per class"]
        ends = [(x - 3.3 * len(text), x + 3.3 * len(text)) for x, text in labels]  # a digit is 6.6 wide
        assert all(left[1] + 4 < right[0] for left, right in itertools.pairwise(ends)), labels
        assert labels[-1][1].split()[0] == shots.rsplit(",", 1)[1]


def test_a_name_of_data_is_only_text(folder, monkeypatch):
    Path("a<script>.npz").write_bytes(Path("parts.npz").read_bytes())
    run("curve", "a<script>.npz", *FEW, "--report", "c.html")
    page = Path("c.html").read_text("utf-8")
    assert "a&lt;script&gt;.npz" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--shots", "1,two"), "--shots must be integers ≥ 1 or 'all', separated by commas, got '1,two'"),
        (("--shots", "0"), "got '0'"),
        (("--shots", ""), "got ''"),
        (("--repeats", "0"), "'--repeats': 0 is not in the range"),
        (("--reg", "0"), "must be a finite number > 0"),
        (("-o", "curve.png"), "FILE must end in .json or .csv, got curve.png"),
        (("-o", "parts.npz"), "FILE must end in"),
        (("--report", "parts.npz"), "HTML must end in .html or .htm, got parts.npz"),
        (("-o", "c.json", "--report", "c.json"), "HTML must end in .html or .htm, got c.json"),
        (("--groups", "g.csv", "-o", "g.csv"), "g.csv is an input of this command"),
        (("--report", "c.json"), "HTML must end in .html or .htm, got c.json"),
        (("--features", "pixels", "--features", "hog"), "curve takes one kind of --features"),
        (("--groups", "g.npy", "--group-by", "a"), "--groups and --group-by are mutually exclusive"),
        (("--group-by", "a"), "--group-by needs samples with names"),
        (("--groups", "site"), "--groups is only for a table"),
        (("--weights", "w"), "No such option: --weights"),
        (("--class-weight", "balanced"), "No such option: --class-weight"),
        (("--delta", "2"), "--delta is the margin of the hinge losses"),
    ],
)
def test_invalid_options_are_refused(folder, arguments, words):
    Path("g.csv").write_text("a\nb\n" * 30)
    run_refused(folder, "curve", "parts.npz", *arguments, words=(words,))


def test_ctrl_c_leaves_no_file(folder, monkeypatch):
    before = sorted(folder.iterdir())
    monkeypatch.setattr(module("curve"), "reporter", stopped_at("curve", "4 shots", interrupt))
    answer = run("curve", "parts.npz", *FEW, "-o", "c.json", "--report", "c.html")
    assert (answer.status, answer.out) == (130, b"")
    assert sorted(folder.iterdir()) == before
