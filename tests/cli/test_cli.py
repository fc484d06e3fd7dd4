"""The command line as newcomers, scripts and attackers use it; see also test_cli_process."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import softmargin as sm
import softmargin.cli as cli
from softmargin.cli import progress
from softmargin.cli.wording import say_err
from softmargin.data import load_dataset
from softmargin.losses import LOSSES
from softmargin.model import load_model
from softmargin.preprocessing import SCALINGS, unit_rows
from tests.support.command_line import Answer, contents, interrupt, module, run, stopped_at

COMMANDS = ("fit", "compare", "curve", "evaluate", "predict", "report", "export", "info")
HOSTILE = ("\x1b[31mred\n<script>", '=1+1,"q"', "a\rb", os.fsdecode(b"\xff\xfe"), "label", "貓")
TRAINED = ("--loss", "hinge", "--reg", "0.01")


def make_images(root: Path, classes: tuple[str, ...], n: int = 4, size: tuple[int, int] = (6, 6)) -> Path:
    rng = np.random.default_rng(0)
    for k, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(30 * k, 30 * k + 60, size, dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"=\x1b[2J{i},\n.png")
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of data and models, good and bad."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 4)).astype(np.float32)
    X[np.arange(60), y] += 3.0
    holed = X.copy()
    holed[7, 2] = np.nan
    late = np.tile(X, (200, 1))
    late[10_000, 1] = np.nan
    archives = {
        "good": {"X": X, "y": y},
        "words": {"X": X, "y": np.char.add("c", y.astype(str))},
        "others": {"X": X, "y": y + 7},
        "partly": {"X": X, "y": np.where(y == 2, 7, y)},
        "parts": {"X_train": X, "y_train": y, "X_test": X[:9], "y_test": y[:9]},
        "one": {"X": X, "y": np.zeros_like(y)},
        "unlabelled": {"X": X},
        "short": {"X": X, "y": y[:-1]},
        "empty": {"X": X[:0], "y": y[:0]},
        "wide": {"X": np.hstack([X, X]), "y": y},
        "holed": {"X": holed, "y": y},
        "holed_test": {"X_train": X, "y_train": y, "X_test": holed, "y_test": y},
        "late": {"X": late},
    }
    for name, arrays in archives.items():
        np.savez(root / f"{name}.npz", **arrays)
    np.save(root / "f.npy", X)
    np.save(root / "short.npy", y[:-1])
    (root / "labels.txt").write_text("".join(f"{label}\n" for label in y))
    (root / "table.csv").write_text("a,b\n1,2\n")
    (root / "table.xlsx").write_bytes(b"PK")
    (root / "torn.npz").write_bytes((root / "good.npz").read_bytes()[:300])
    (root / "other.safetensors").write_bytes(b"not a model at all")
    (root / "folder").mkdir()
    make_images(root / "images", ("cat", "dog"))
    make_images(root / "lonely", ("cat",))
    make_images(root / "unequal" / "a", ("cat",), size=(5, 6))
    make_images(root / "unequal" / "b", ("dog",))
    for model, data, loss in (
        ("hinge", root / "good.npz", "hinge"),
        ("soft", root / "good.npz", "cross_entropy"),
        ("digits", "digits", "hinge"),
    ):
        assert run("fit", data, "-o", root / f"{model}.safetensors", "--loss", loss, "--reg", "0.01").status == 0
    return root


@pytest.fixture
def at_home(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(world)
    return world


# -- help --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_reads_well_in_80_columns(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = run(*arguments)
    assert (answer.status, answer.err) == (0, "")
    assert all(len(line) <= 80 for line in answer.text.splitlines())
    assert "..." not in answer.text.replace("[ARGS]...", "")
    assert "\n    softmargin fit digits" in answer.text or "Usage: softmargin [" not in answer.text


def test_options_offer_what_the_registries_hold() -> None:
    choices = {option.name: option.type for option in cli.softmargin.commands["fit"].params}
    assert set(choices["names"].choices) == set(LOSSES)  # type: ignore[attr-defined]
    assert tuple(choices["scaling"].choices) == SCALINGS  # type: ignore[attr-defined]
    assert all(name in run("fit", "--help").text for name in (*LOSSES, *SCALINGS))


# -- mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("choose one with label_column= (--label-column).", "choose one with --label-column."),
        ('give decimal="," (--decimal ,); else', "give --decimal ,; else"),
        ("reduce cell= or give image_size=(H, W) (--image-size HxW)", "reduce cell= or give --image-size HxW"),
        ("groups_column= must not be columns=, got 'x'", "--groups must not be --columns, got 'x'"),
        ("t.csv (text=1) has context=2", "t.csv (text=1) has context=2"),
    ],
)
def test_messages_name_options(text: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_err(text)
    assert capsys.readouterr().err == f"{printed}\n"


POSITIVE = dict.fromkeys(("reg", "delta"), "finite number > 0") | {"tol": "number > 0 and < 1"}
FIT_MISTAKES = [
    ("nowhere", "nowhere does not exist"),
    ("table.xlsx", "table.xlsx has an unknown format"),
    ("table.csv", "table.csv has no labels; name their column with --label-column COLUMN."),
    ("table.csv --columns=", "columns must be a non-empty list of column names, got []."),
    ("table.csv --label-column c", "table.csv has no column 'c' for the label; its columns are 'a', 'b'"),
    ("images --label-column c", "Error: --label-column is only for a table"),
    ("torn.npz", "torn.npz is damaged"),
    ("folder", "folder has no images"),
    ("lonely", "only one class"),
    ("one.npz", "only one class"),
    ("unequal", "--image-size"),
    ("unlabelled.npz", "has no labels; give them with --labels-file FILE, or as the array y of the file."),
    ("f.npy", "f.npy has no labels; give them with --labels-file FILE."),
    ("table.csv --text a", "Error: --text needs --features, an extractor"),
    ("short.npz", "59 labels for 60 rows"),
    ("f.npy --labels-file short.npy", "short.npy has 59 labels for 60 rows"),
    ("f.npy --labels-file nowhere.txt", "nowhere.txt does not exist"),
    ("good.npz --labels-file labels.txt", "labels"),
    ("empty.npz", "empty.npz contains no samples"),
    ("holed.npz", "holed.npz: Input X contains NaN in row 7, column 2"),
    ("holed_test.npz", "the test set of holed_test.npz: Input X contains NaN in row 7, column 2"),
    ("hinge.safetensors", "hinge.safetensors is a model file"),
    ("digits -o nowhere/m.safetensors", "nowhere/m.safetensors cannot be written: the folder"),
    ("digits -o folder", "MODEL must end in .safetensors, got folder."),
    ("digits -o table.csv/m.safetensors", "cannot be written"),
    (f"digits -o {'m' * 300}.safetensors", "cannot be written"),
    ("good.npz --checkpoint good.npz", "good.npz is an input of this command"),
    ("f.npy --labels-file labels.txt --checkpoint labels.txt", "labels.txt is an input of this command"),
    ("images --image-size 8", "--image-size must be HEIGHTxWIDTH"),
    ("images --image-size 0x8", "--image-size must be HEIGHTxWIDTH"),
    ("digits --image-size 8x8 -o new.safetensors", "is only for a folder of images"),
    ("digits --loss svm", "'--loss': 'svm' is not one of"),
    ("digits -o new.safetensors --loss cross_entropy --delta 2", "--delta is the margin of the hinge losses"),
    *((f"digits --{name} {bad}", f"'--{name}': must be a {POSITIVE[name]}, got {bad}.")
      for name in ("reg", "delta", "tol") for bad in ("-1", "0", "nan", "inf", "much")),
    ("digits --tol 2", "'--tol': must be a number > 0 and < 1, got 2."),
    ("digits --max-passes 0", "'--max-passes'"),
    ("digits --threads 0", "'--threads'"),
    ("digits --lss hinge", "No such option"),
    ("", "Missing argument 'DATA'"),
]  # fmt: skip

OTHER_MISTAKES = [
    ("train digits", "No such command 'train'"),
    ("compare unlabelled.npz", "unlabelled.npz has no labels"),
    ("compare holed.npz", "row 7, column 2"),
    ("compare digits --folds 1", "'--folds'"),
    ("compare digits -o folder", "FILE must end in .json, got folder."),
    ("fit digits --quick --folds 3", "--quick and --folds are mutually exclusive"),
    ("evaluate digits digits.safetensors", "digits is not a model file: MODEL comes first"),
    ("evaluate good.npz good.npz", "good.npz is not a model file"),
    ("evaluate hinge.safetensors hinge.safetensors", "hinge.safetensors is a model file"),
    ("evaluate nowhere.safetensors digits", "nowhere.safetensors does not exist"),
    ("evaluate other.safetensors digits", "other.safetensors is not a softmargin model"),
    ("evaluate hinge.safetensors wide.npz", "(60, 8)"),
    ("evaluate hinge.safetensors holed.npz", "holed.npz: Input X contains NaN"),
    ("evaluate hinge.safetensors holed.npz", "row 7, column 2"),
    ("evaluate hinge.safetensors unlabelled.npz", "unlabelled.npz has no labels"),
    ("evaluate hinge.safetensors empty.npz", "empty.npz contains no samples"),
    ("evaluate hinge.safetensors words.npz", "words.npz row 0: labels must be integers like the classes of the"),
    ("evaluate hinge.safetensors others.npz", "others.npz: y must hold at least one class of the model (0, 1, 2)"),
    ("evaluate hinge.safetensors good.npz --top-k 3", "top_k must be below the number of classes (3), got 3"),
    ("evaluate hinge.safetensors good.npz --top-k 0", "'--top-k': 0 is not in the range x>=1"),
    (
        "evaluate hinge.safetensors good.npz --metric-groups site",
        "a file unless DATA is a table, got 'site'",
    ),
    (
        "evaluate hinge.safetensors good.npz --metric-groups short.npy",
        "short.npy must hold one group for each of the 60 samples",
    ),
    ("evaluate hinge.safetensors good.npz --fail-under 90", "a number from 0 to 1 or METRIC=NUMBER, got '90'"),
    ("evaluate hinge.safetensors good.npz --fail-under nan", "a number from 0 to 1 or METRIC=NUMBER, got 'nan'"),
    ("evaluate hinge.safetensors good.npz --fail-under f1=0.9", "--fail-under must be for one of accuracy, "),
    ("evaluate hinge.safetensors good.npz --fail-under ece=0.1", "got 'ece'"),
    (
        "evaluate hinge.safetensors good.npz --fail-under worst_group=0.1",
        "LIMIT needs --metric-groups",
    ),
    ("evaluate hinge.safetensors good.npz --fail-under auroc=0.5", "must be for a metric that is defined"),
    ("evaluate hinge.safetensors good.npz --part test", "good.npz has no test set"),
    ("predict hinge.safetensors wide.npz", "(60, 8)"),
    ("predict hinge.safetensors holed.npz", "row 7, column 2"),
    ("predict hinge.safetensors late.npz --scores", "late.npz: Input X contains NaN in row 10000, column 1"),
    ("predict hinge.safetensors holed.npz -o table.csv", "row 7, column 2"),
    ("predict hinge.safetensors good.npz --proba", "Probabilities need the loss 'cross_entropy'"),
    ("predict soft.safetensors good.npz --proba --scores", "mutually exclusive"),
    (
        "predict soft.safetensors good.npz -o folder",
        "FILE must end in .csv, .jsonl, .ndjson or .parquet, got folder.",
    ),
    ("predict soft.safetensors good.npz -o nowhere/p.csv", "the folder"),
    ("predict soft.safetensors table.csv -o table.csv", "table.csv is an input of this command"),
    (
        "predict hinge.safetensors table.csv --columns=",
        "columns must be a non-empty list of column names, got [].",
    ),
    ("info nowhere.safetensors", "nowhere.safetensors does not exist"),
    ("info other.safetensors", "other.safetensors is not a softmargin model"),
    ("info table.xlsx", "table.xlsx has an unknown format"),
    ("export soft.safetensors -o soft.txt", "FILE must end in .onnx, .safetensors or .npz, got soft.txt."),
    ("export soft.safetensors -o soft.safetensors", "is an input of this command"),
    ("predict hinge.safetensors good.npz --margin --scores", "mutually exclusive"),
]


@pytest.mark.parametrize(
    ("line", "words"), [*((f"fit {line}", words) for line, words in FIT_MISTAKES), *OTHER_MISTAKES]
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(line: str, words: str, at_home: Path) -> None:
    before = contents(at_home)
    answer = run(*line.split())
    assert (answer.status, answer.out) == (2, b"")
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1
    assert words in answer.err
    assert contents(at_home) == before


def test_no_output_replaces_what_is_read_or_another_output(world: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with np.load(world / "good.npz") as stored:
        good = dict(stored)
    for name, kind in (("", ""), ("_train", "_train"), ("_test", "_test")):
        np.save(f"X{name}.npy", good["X"])
        np.save(f"y{kind}.npy", good["y"])
    for part in ("train", "t10k"):
        Path(f"{part}-images-idx3-ubyte").write_bytes(bytes.fromhex("00000803000000060000000100000001") + bytes(6))
        Path(f"{part}-labels-idx1-ubyte").write_bytes(bytes.fromhex("0000080100000006") + bytes(range(6)))
    Path("t.csv").write_text("a,b,label\n" + "1,2,u\n2,3,v\n" * 9)
    make_images(tmp_path / "images", ("cat", "dog"))
    os.symlink("images", "link")
    Path("images/card.json").write_text("{}")
    [image, *_] = Path("images/cat").iterdir()
    shutil.copy(world / "hinge.safetensors", "m")
    shutil.copy(world / "hinge.safetensors", "hinge.safetensors")
    before = contents(tmp_path)
    part, twice = "is, or would become, part of the input data", "is given for two outputs"
    for words, line in (
        *(
            (part, f"fit X.npy -q --loss hinge --reg .1 {option} y.npy")
            for option in ("--checkpoint", "-q --checkpoint")
        ),
        *((part, f"fit X_train.npy --checkpoint {name}.npy") for name in ("y_train", "X_test", "y_test")),
        (part, "compare images -o images/card.json"),
        (part, "predict hinge.safetensors images -o images/p.parquet"),
        *(
            (part, f"fit train-images-idx3-ubyte --checkpoint {name}-ubyte")
            for name in ("train-labels-idx1", "t10k-images-idx3")
        ),
        (part, f"fit images/ --checkpoint {shlex.quote(str(image))}"),
        (part, f"fit link --checkpoint {shlex.quote(str(image))}"),
        (part, "fit images --checkpoint images/dog/new.PNG"),
        (part, "fit images --checkpoint images/card.json"),
        (part, "predict hinge.safetensors images -o images/p.parquet"),
        (twice, "fit t.csv -o both.safetensors --checkpoint ./both.safetensors"),
        (twice, "fit t.csv --report both.html --checkpoint images/../both.html"),
        (twice, "fit t.csv --checkpoint t.safetensors"),
    ):
        answer = run(*shlex.split(line))
        assert (answer.status, answer.out) == (2, b""), line
        assert words in answer.err.splitlines()[-1], line
        assert contents(tmp_path) == before
    assert run("fit", "images", "-o", "images/m.safetensors", *TRAINED).status == 0
    assert run("fit", "images", "-o", "images/m.safetensors", *TRAINED).status == 0  # a model is no data


def test_a_table_on_stdin_is_not_replaced(world: Path, tmp_path: Path, monkeypatch: Any) -> None:
    table = tmp_path / "t.csv"
    table.write_text("1,2,3,4\n")
    with table.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        answer = run("predict", world / "hinge.safetensors", "-", "-o", table)
    assert (answer.status, table.read_text()) == (2, "1,2,3,4\n")
    assert "t.csv is an input of this command (stdin)" in answer.err


def test_a_bad_output_is_noticed_before_the_work(at_home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    assert (
        "nowhere/m.safetensors cannot be written" in run("fit", "no data", "-o", "nowhere/m.safetensors").err
    )  # before reading
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("softmargin.selection.choose", lambda *_, **__: pytest.fail("too late"))
    (tmp_path / "good.safetensors").mkdir()
    assert "good.safetensors is a folder" in run("fit", at_home / "good.npz").err


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_noticed_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    answer = run("fit", "digits", "-o", tmp_path / "m.safetensors")
    assert answer.status == 2
    assert "permission" in answer.err


def test_an_error_that_is_not_ours_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("softmargin.data.load_dataset", broken)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["info", "digits"])


# -- what is printed ---------------------------------------------------------------------------------------


def test_fit_selects_what_is_not_given(tmp_path: Path) -> None:
    seen = {}
    for given in ((), ("--loss", "hinge"), ("--reg", "0.01")):
        target = tmp_path / "m.safetensors"
        answer = run("fit", "digits", "-o", target, "--tol", "0.05", "--json", *given)
        assert (answer.status, answer.err) == (0, "")
        card = answer.json["metadata"]
        assert card == load_model(target).metadata()
        assert card["gap"] <= card["tol"] == 0.05
        tried = {path["loss"]: [point["reg"] for point in path["points"]] for path in card["selection"]["paths"]}
        seen[given] = card, tried
    assert set(seen[()][1]) == set(seen[("--reg", "0.01")][1]) == set(LOSSES)
    assert list(seen[("--loss", "hinge")][1]) == ["hinge"]
    assert all(regs == [0.01] for regs in seen[("--reg", "0.01")][1].values())
    assert seen[("--reg", "0.01")][0]["reg"] == 0.01
    assert answer.json["accuracy"]["test"] > 0.9


def test_fit_chooses_among_the_losses_that_are_named(at_home: Path, tmp_path: Path) -> None:
    losses = ("--loss", "squared_hinge", "--loss", "hinge")
    answer = run(
        "fit", "good.npz", "-o", tmp_path / "m.safetensors", *losses, "--reg", "0.01", "--quick", "--json"
    )
    assert answer.status == 0
    assert [path["loss"] for path in answer.json["metadata"]["selection"]["paths"]] == ["squared_hinge", "hinge"]
    chosen = run("predict", tmp_path / "m.safetensors", "good.npz", "--proba")
    assert chosen.status == 0
    rows = [list(map(float, row[2:])) for row in csv.reader(chosen.text.splitlines()[1:])]
    assert np.sum(rows, axis=1) == pytest.approx(np.ones(60))
    assert "temperature calibrated on held-out samples" in run("info", tmp_path / "m.safetensors").text


def test_compare_says_and_saves_the_same(at_home: Path, tmp_path: Path) -> None:
    losses = ("--loss", "squared_hinge", "--loss", "cross_entropy")
    answer = run("compare", "good.npz", "-o", tmp_path / "c.json", "--folds", "2", *losses, "--json")
    assert (answer.status, answer.err) == (0, "")
    assert json.loads((tmp_path / "c.json").read_text("utf-8")) == answer.json
    paths = answer.json["comparison"]["paths"]
    assert [path["loss"] for path in paths] == ["squared_hinge", "cross_entropy"]
    assert all(len(point["folds"]) == 2 for path in paths for point in path["points"])
    text = run("compare", "good.npz", "--folds", "2", *losses).text
    assert all(sentence in text for sentence in (answer.json["comparison"]["tests"][0]["sentence"], "2 folds"))


def test_every_verb_takes_the_same_columns_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kinds = np.array(["owl", "cat"])[np.arange(40) % 2]
    numbers = rng.normal(size=(40, 3)) + 2.0 * (kinds == "cat")[:, None]
    rows = [f"{a!r},{kind},{b!r},{c!r}" for (a, b, c), kind in zip(numbers.tolist(), kinds, strict=True)]
    Path("t.csv").write_text("\n".join(["a,kind,b,c", *rows]) + "\n")
    reading = ("--label-column", "kind", "--columns", "c,a")
    data = sm.load_dataset("t.csv", label_column="kind", columns=["c", "a"])
    options = ("--loss", "squared_hinge", "--folds", "3", "--normalize-rows", "--json")
    expected = sm.compare(unit_rows(data.X), data.y, [sm.SquaredHinge()], cv=3)
    compared = run("compare", "t.csv", *reading, *options)
    assert compared.json["comparison"]["reg"] == expected.reg
    scores = [point["score"] for point in compared.json["comparison"]["paths"][0]["points"]]
    assert scores == [point.score for point in expected.chosen_path.points]
    fitted = run("fit", "t.csv", *reading, *options, "-o", "m.safetensors", "--report", "m.html")
    assert fitted.status == 0, fitted.err
    model = load_model("m.safetensors")
    assert (model.reg, model.preprocessing.rows, model.feature_names) == (expected.reg, "l2", ("c", "a"))
    right = float((model.predict(data.X) == data.y).mean())
    assert run("evaluate", "m.safetensors", "t.csv", *reading, "--json").json["accuracy"] == right
    assert run("evaluate", "m.safetensors", "t.csv", "--json").json["accuracy"] == right  # guessed as in a fit
    Path("new.csv").write_text(Path("t.csv").read_text().replace("owl", "").replace("cat", ""))
    assert run("predict", "m.safetensors", "new.csv").text == run("predict", "m.safetensors", "t.csv").text
    predicted = [line.split(",")[1] for line in run("predict", "m.safetensors", "t.csv").text.splitlines()[1:]]
    assert predicted == model.predict(data.X).tolist()
    record = run(
        "report", "m.safetensors", "t.csv", *reading, "-o", "r.html", "--refit", "--training", "t.csv", "--json"
    )
    assert record.json["headline"]["training_accuracy"] == right
    assert record.json["path"]["reg"] == expected.reg
    for command in record.json["origin"]["commands"]:
        assert "t.csv" in command
        assert "--label-column kind --columns c,a" in command
    again = run(
        *shlex.split(record.json["origin"]["commands"][0].replace("m.safetensors", "again.safetensors"))[1:]
    )
    assert again.status == 0, again.err
    assert np.array_equal(load_model("again.safetensors").W, model.W)
    assert run("info", "t.csv", *reading, "--json").json["data"]["n_features"] == 2


def test_quick_is_one_split(at_home: Path, tmp_path: Path) -> None:
    answer = run(
        "fit", "good.npz", "-o", tmp_path / "m.safetensors", "--loss", "squared_hinge", "--quick", "--json"
    )
    assert len(answer.json["metadata"]["selection"]["folds"]) == 1


def test_an_unproved_gap_is_status_1_and_the_model_is_saved(at_home: Path, tmp_path: Path) -> None:
    answer = run("fit", "digits", "-o", tmp_path / "m.safetensors", *TRAINED, "--max-passes", "3")
    assert answer.status == 1
    assert " (did not converge: tolerance 1e-4)\n" in answer.text
    assert answer.err.startswith("Did not converge: relative duality gap ")
    assert answer.err.count("\n") == 1
    assert not load_model(tmp_path / "m.safetensors").converged


def test_the_default_output_is_named_after_the_data(world: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run("fit", world / "good.npz", *TRAINED)
    assert answer.status == 0
    assert "model        good.safetensors" in answer.text
    assert os.listdir(tmp_path) == ["good.safetensors"]
    before = contents(tmp_path)
    again = run("fit", world / "good.npz", *TRAINED)
    assert (again.status, again.err) == (
        2,
        "Error: good.safetensors already exists; choose the model file with -o FILE.\n",
    )
    assert contents(tmp_path) == before


def test_tables_fit_80_columns_and_carry_no_trailing_blanks(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    answers = [run("fit", "digits", "-o", "m.safetensors", "--tol", "0.05")]
    answers += [run("info", "m.safetensors"), run("info", "digits"), run("evaluate", "m.safetensors", "digits")]
    first, *lines = "".join(answer.text for answer in answers).splitlines()
    assert first == "digits: 1,442 training samples, 64 features (float32), 10 classes; 355 test samples."
    assert [line for line in lines if len(line) > 80 and not line.endswith(".")] == []  # sentences are not cut
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_perfect_score_is_not_taken_for_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    y = np.arange(60) % 3
    np.savez("easy.npz", X=np.eye(3)[y], y=y)
    run("fit", "easy.npz", "-o", "easy.safetensors", "--loss", "hinge", "--reg", "0.01")
    np.savez("new.npz", X=2.0 * np.eye(3)[y], y=y)
    said = run("evaluate", "easy.safetensors", "new.npz").text
    assert said.startswith("new.npz: 60 samples, 3 classes.\n")
    assert re.search(r"^accuracy +1\.0000 +0\.9398 – 1\.0000$", said, re.MULTILINE)
    low, high = run("evaluate", "easy.safetensors", "new.npz", "--json").json["intervals"]["accuracy"]
    assert (low, high) == (pytest.approx(60 / (60 + 1.959963984540054**2)), 1.0)
    # Of the training data it says nothing about others.
    assert "95 %" not in run("evaluate", "easy.safetensors", "easy.npz").text
    assert run("evaluate", "easy.safetensors", "easy.npz", "--json").json["intervals"] == {}


def test_evaluate_agrees_with_the_library(at_home: Path) -> None:
    data, model = load_dataset("digits").test, load_model("digits.safetensors")
    assert data is not None
    assert data.y is not None
    predicted = model.predict(data.X)
    answer = run("evaluate", "digits.safetensors", "digits", "--json")
    assert "355 samples" in answer.err
    assert answer.status == 0
    said = answer.json
    assert said["accuracy"] == np.mean(predicted == data.y)
    recalls = {share["name"]: share["recall"] for share in said["classes"]}
    assert recalls == {k: pytest.approx(np.mean(predicted[data.y == k] == k)) for k in range(10)}
    wrong = [(pair["class"], pair["predicted"]) for pair in said["confused"] for _ in range(pair["count"])]
    assert sorted(wrong) == sorted(
        (y, p) for y, p in zip(data.y.tolist(), predicted.tolist(), strict=True) if y != p
    )
    assert [pair["count"] for pair in said["confused"]] == sorted(
        (p["count"] for p in said["confused"]), reverse=True
    )


def test_labels_that_are_no_class_count_as_wrong(at_home: Path) -> None:
    said = run("evaluate", "hinge.safetensors", "partly.npz", "--json").json
    assert said["unknown_labels"] == [7]
    assert [(share["name"], share["recall"]) for share in said["classes"] if share["recall"] == 0.0] == [(7, 0.0)]
    assert (
        "Labels that are not classes of the model count as errors: 7."
        in run("evaluate", "hinge.safetensors", "partly.npz").text
    )


def test_notes_and_parts(at_home: Path) -> None:
    automatic = run("predict", "hinge.safetensors", "parts.npz")
    assert automatic.err == "Note: using the test set of parts.npz (9 samples).\n"
    assert automatic.out == run("predict", "hinge.safetensors", "parts.npz", "--part", "test").out
    assert len(run("predict", "hinge.safetensors", "parts.npz", "--part", "train").text.splitlines()) == 61
    known = run("evaluate", "hinge.safetensors", "f.npy", "--labels-file", "labels.txt")
    assert known.status == 0
    assert known.err == "Note: the model was trained on these samples; expect a lower accuracy on new samples.\n"


def test_info_names_features_and_ids(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,a,b,c,d,label\n7,1,2,3,4,x\n8,2,3,4,5,y\n")
    lines = run("info", tmp_path / "t.csv").text.splitlines()
    assert any(line.split() == ["feature", "names", "a,", "b,", "c,", "d"] for line in lines)
    (tmp_path / "u.csv").write_text("a,b,c,d,e,label\n1,2,3,4,5,x\n2,3,4,5,6,y\n")
    listed = run("info", tmp_path / "u.csv").text.splitlines()
    assert any(line.split() == ["feature", "names", "a,", "b,", "c,", "…", "(2", "more)"] for line in listed)
    assert any(line.split() == ["ids", "7,", "8"] for line in lines)


def test_info_is_json_too(at_home: Path) -> None:
    said = run("info", "digits", "--json").json
    assert said["test"]["n_samples"] == 355
    card = run("info", "digits.safetensors", "--json").json
    assert card["fingerprint"] == said["data"]["fingerprint"]


# -- predict -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "score", "proba"])
def test_predict_agrees_with_the_library(kind: str, at_home: Path) -> None:
    flags = {"": (), "score": ("--scores",), "proba": ("--proba",)}[kind]
    data, model = load_dataset("good.npz"), load_model("soft.safetensors")
    expected = {"": np.empty((60, 0)), "score": model.scores(data.X), "proba": model.predict_proba(data.X)}[kind]
    answer = run("predict", "soft.safetensors", "good.npz", *flags)
    assert (answer.status, answer.err) == (0, "")
    heading, *rows = csv.reader(io.StringIO(answer.text, newline=""))
    assert heading == ["id", "label", *([f"{kind}_{label}" for label in range(3)] if kind else [])]
    assert [int(row[0]) for row in rows] == list(range(60))
    assert [int(row[1]) for row in rows] == model.predict(data.X).tolist()
    assert [[float(number) for number in row[2:]] for row in rows] == expected.tolist()
    records = [
        json.loads(line)
        for line in run("predict", "soft.safetensors", "good.npz", *flags, "--json").text.splitlines()
    ]
    assert [record["label"] for record in records] == model.predict(data.X).tolist()
    if kind:
        assert [list(record[kind].values()) for record in records] == expected.tolist()


@pytest.mark.parametrize(
    ("value", "words"),
    [("nan", "Input X contains NaN in row 20000, column 1 (b)."), ("1e308", "Scores of X overflow in row 20000;")],
)
def test_an_invalid_row_of_a_streamed_table_is_counted_in_the_file(
    value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    lines = [f"{k % 2},{-(k % 2)},{k % 2}" for k in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    given = ("--loss", "cross_entropy", "--reg", "1e-6")
    assert run("fit", "t.csv", "-o", "m.safetensors", *given).status == 0
    columns = {"a": np.zeros(40_000), "b": np.zeros(40_000)}
    columns["b"][20_000] = float(value)
    pq.write_table(pa.table(columns), "wide.parquet", row_group_size=7000)
    answer = run("predict", "m.safetensors", "wide.parquet", "-o", "p.csv")
    assert answer.status == 2
    assert answer.err.startswith(f"Error: wide.parquet: {words}")
    assert not (tmp_path / "p.csv").exists()


def test_predict_replaces_its_output_in_one_step(at_home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    target = tmp_path / "p.csv"
    target.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("softmargin.model.Model.scores", lambda *_, **__: pytest.fail("stop here"))
        with pytest.raises(pytest.fail.Exception):
            cli.main(["predict", "soft.safetensors", "good.npz", "--scores", "-o", str(target)])
    assert contents(tmp_path) == {str(target): b"old"}
    answer = run("predict", "soft.safetensors", "good.npz", "-o", target)
    assert answer == Answer(0, f"{target}: 60 rows of id, label.\n".encode(), "")
    assert contents(tmp_path) == {str(target): run("predict", "soft.safetensors", "good.npz").out}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_hostile_names_are_escaped_for_people_and_exact_for_programs(tmp_path: Path, monkeypatch: Any) -> None:
    images, model = make_images(tmp_path / "\x1b[2J", HOSTILE), tmp_path / "\x1b]0;m.safetensors"
    texts = [run("fit", images, "-o", model, *TRAINED), run("evaluate", model, images), run("info", model)]
    texts += [
        run("info", images),
        run("evaluate", images, model),
        run("fit", images / "\x1bx"),
        run("fit", "--\x1b"),
    ]
    monkeypatch.setattr(module("predict"), "is_terminal", lambda stream: True)
    texts.append(run("predict", model, images, "--scores"))
    monkeypatch.undo()
    assert [answer.status for answer in texts] == [0, 0, 0, 0, 2, 2, 2, 0]
    for answer in texts:
        assert all(c.isprintable() for c in (answer.text + answer.err).replace("\n", ""))
    assert "\\x1b[31mred\\n<script>" in texts[1].text

    names = [f"{label}/=\x1b[2J{i},\n.png" for label in HOSTILE for i in range(4)]
    answer = run("predict", model, images, "--scores")
    heading, *rows = csv.reader(io.StringIO(os.fsdecode(answer.out), newline=""))
    assert sorted(heading[2:]) == sorted(f"score_{label}" for label in HOSTILE)
    assert sorted(row[0] for row in rows) == sorted(names)
    assert {row[1] for row in rows} <= set(HOSTILE)
    records = [json.loads(line) for line in run("predict", model, images, "--json").text.splitlines()]
    assert [[record["id"], record["label"]] for record in records] == [row[:2] for row in rows]
    classes = run("evaluate", model, images, "--json").json["classes"]
    assert {share["name"] for share in classes} == set(HOSTILE)


def test_nothing_is_cut_where_nobody_is_looking(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a" * 120 + " " + "b" * 80
    images, model = make_images(tmp_path / "images", (name, "c")), tmp_path / ("m" * 100 + ".safetensors")
    assert run("fit", images, "-o", model, *TRAINED).text.count(str(model)) == 1
    assert name in run("evaluate", model, images).text
    assert name in run("info", model).text
    assert str(tmp_path / "nowhere") in run("fit", tmp_path / "nowhere").err


# -- signals -----------------------------------------------------------------------------------------------


def interrupt_where_exceptions_are_lost() -> None:
    class Fragile:
        def __del__(self) -> None:
            interrupt()

    Fragile()


def interrupt_an_import() -> None:
    try:
        interrupt()
    except BaseException:
        raise ImportError("initialization failed") from None


@pytest.mark.parametrize(
    ("data", "stage", "act"),
    [
        ("digits", "reading", interrupt),
        ("images", "decoding images", interrupt),
        ("digits", "cross_entropy, reg", interrupt),
        ("digits", "hinge, reg", interrupt),
        ("digits", "saving", interrupt),
        ("digits", "cross_entropy, reg", interrupt_where_exceptions_are_lost),
        ("digits", "reading", interrupt_an_import),
    ],
)
def test_ctrl_c_leaves_everything_as_it_was(
    data: str, stage: str, act: Callable[[], None], at_home: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"the old model")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(module("fit"), "reporter", stopped_at("fit", stage, act))
    answer = run("fit", data, "-o", target, "--tol", "0.05")
    assert answer == Answer(130, b"", "Stopped. No file was left half-written.\n")
    assert contents(tmp_path) == {str(target): b"the old model"}
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_file_is_written(number: int, at_home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"the old model")
    monkeypatch.setattr(os, "fsync", lambda descriptor: signal.raise_signal(number))
    table = tmp_path / "p.csv"
    table.write_bytes(b"the old table")
    before = contents(tmp_path)
    fit, predict = (
        ("fit", "good.npz", *TRAINED, "-o", target),
        ("predict", "hinge.safetensors", "good.npz", "-o", table),
    )
    for arguments in (fit, predict):
        answer = run(*arguments)
        assert answer == Answer(128 + number, b"", "Stopped. No file was left half-written.\n")
        assert contents(tmp_path) == before


def test_an_indented_line_goes_on_indented(monkeypatch: Any) -> None:
    from softmargin.cli import wording

    monkeypatch.setattr(wording, "is_terminal", lambda stream: True)
    monkeypatch.setattr(wording, "_columns", lambda: 20)
    assert wording._paragraph("  one two three four five", None) == "  one two three four\n  five\n"
    assert wording._paragraph("one two three four five", None) == "one two three four\nfive\n"


def test_progress_is_printed_line_by_line_where_there_is_no_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    model, given = tmp_path / "m.safetensors", ("--loss", "hinge", "--reg", "0.1")
    lines = run("fit", "digits", "-o", model, *given).err.splitlines()
    assert all(re.fullmatch(r"\d+ s: \S.*", line) for line in lines), lines
    assert any("hinge, reg 0.1: pass " in line for line in lines), lines
    assert run("fit", "digits", "-qo", tmp_path / "n.safetensors", *given).err == ""
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 3600.0)
    assert run("fit", "digits", "-o", model, *given).err == ""


def test_an_empty_test_set_is_refused_before_any_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3
    np.savez("empty.npz", X_train=X, y_train=y, X_test=X[:0], y_test=y[:0])
    for arguments in (("fit", "empty.npz", "-o", "m.safetensors"), ("compare", "empty.npz")):
        answer = run(*arguments)
        assert (answer.status, answer.out) == (2, b"")
        assert answer.err == "Error: the test set of empty.npz: it contains no samples.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["empty.npz"]


def test_outputs_without_a_path_or_a_known_extension_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ("fit", "digits", "--loss", "hinge", "--reg", "0.1")
    assert run(*model, "-o", "digits.safetensors").status == 0
    before = contents(tmp_path)
    for arguments, words in (
        ((*model, "-o", ""), "MODEL must be the name of a file to write, got an empty one."),
        ((*model, "-o", "m.safetensors", "--report", ""), "HTML must be the name of a file to write"),
        (("predict", "digits.safetensors", "digits", "-o", ""), "FILE must be the name of a file to write"),
        (
            ("predict", "digits.safetensors", "digits", "-o", "p.xlsx"),
            "FILE must end in .csv, .jsonl, .ndjson or .parquet, got p.xlsx.",
        ),
        (("compare", "digits", "-o", "c.csv"), "FILE must end in .json, got c.csv."),
        (("report", "digits.safetensors", "digits", "-o", "r.pdf"), "FILE must end in .html or .htm, got r.pdf."),
        (("embed", "digits", "--features", "hog", "-o", "f.npy"), "FILE must end in .safetensors, got f.npy."),
        (("export", "digits.safetensors", "-o", "m"), "FILE must end in .onnx, .safetensors or .npz, got m."),
        (
            ("export", "digits.safetensors", "-o", "m.npz", "--with-backbone"),
            "FILE must end in .onnx, got m.npz.",
        ),
        ((*model, "-o", "m.model"), "MODEL must end in .safetensors, got m.model."),
        ((*model, "--report", "m.txt"), "HTML must end in .html or .htm, got m.txt."),
    ):
        answer = run(*arguments)
        assert (answer.status, answer.out) == (2, b""), answer
        assert words in answer.err
    assert contents(tmp_path) == before


def test_an_invalid_checkpoint_is_not_said_to_resume_the_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.ck").write_text("nonsense")
    answer = run("fit", "digits", "--loss", "hinge", "--reg", "0.1", "-o", "m.safetensors", "--checkpoint", "c.ck")
    assert answer.status == 2
    assert answer.err == "Error: c.ck is not a valid checkpoint; delete it or choose another path.\n"


def test_fewer_folds_than_requested_are_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", X=np.random.default_rng(0).normal(size=(12, 2)), y=np.arange(12) % 2)
    answer = run("compare", "d.npz", "--folds", "100", "--loss", "cross_entropy")
    assert answer.status == 0
    assert re.search(r"Note: only \d+ folds are used, since there are too few samples for 100\.", answer.err)


def test_a_report_on_the_training_data_can_fit_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(60, 3))
    np.savez("d.npz", X=X, y=X.argmax(axis=1))
    assert run("fit", "d.npz", "-o", "m.safetensors", "--quick").status == 0
    answer = run("report", "m.safetensors", "d.npz", "--refit", "-o", "r.html")
    assert answer.status == 0, answer.err
