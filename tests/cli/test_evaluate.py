"""`softmargin evaluate`: groups, limits, tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import run, run_refused

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of tables, and tables with a column of sites on which it is differently accurate."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    y = np.arange(120) % 3
    X = np.round(rng.normal(size=(120, 3)) + 3.0 * np.eye(3)[y], 3)
    site = np.where(np.arange(120) % 4 == 0, "north", "south")
    wrong = (site == "north") & (np.arange(120) % 8 == 0)
    shown = np.where(wrong, (y + 1) % 3, y)
    for name, rows in (("train", slice(60)), ("new", slice(60, None))):
        lines = [
            f"{a},{b},{c},{s},{k},{i % 5}"
            for i, ((a, b, c), s, k) in enumerate(zip(X[rows], site[rows], shown[rows], strict=True))
        ]
        Path(f"{name}.csv").write_text("\n".join(["a,b,c,site,label,day", *lines]) + "\n")
    Path("sites.txt").write_text("".join(f"{s}\n" for s in site[60:]))
    np.save("sites.npy", (site[60:] == "north").astype(np.int64))
    np.savez("arrays.npz", X_train=X[:60], y_train=y[:60], X_test=X[60:], y_test=shown[60:])
    reading = ("--label-column", "label", "--columns", "a,b,c")
    assert run("fit", "train.csv", *reading, "-o", "m.safetensors", "--loss", "hinge", "--reg", "0.01").status == 0
    assert run("fit", "arrays.npz", "-o", "a.safetensors", "--loss", "hinge", "--reg", "0.01").status == 0
    return tmp_path


@pytest.mark.parametrize(
    ("groups", "names"), [("site", ["north", "south"]), ("sites.txt", ["north", "south"]), ("sites.npy", [1, 0])]
)
def test_groups_come_from_a_column_or_a_file(folder, groups, names):
    found = run("evaluate", "m.safetensors", "new.csv", "--metric-groups", groups, "--json").json
    north, south = ({g["name"]: g for g in found["groups"]}[name] for name in names)
    assert (north["n"], south["n"]) == (15, 45)
    assert found["worst_group"] == north
    assert north["accuracy"] < 0.6 < 0.85 < south["accuracy"]
    assert found["accuracy"] == pytest.approx(0.25 * north["accuracy"] + 0.75 * south["accuracy"])
    said = run("evaluate", "m.safetensors", "new.csv", "--metric-groups", groups).text
    assert f"worst group: {names[0]} (15 samples)" in said
    assert "\ngroup  samples  accuracy" in said


def test_a_group_may_be_a_feature_or_the_label(folder):
    days = run("evaluate", "m.safetensors", "new.csv", "--metric-groups", "day", "--json").json["groups"]
    assert [share["name"] for share in days] == [0, 1, 2, 3, 4]
    found = run("evaluate", "m.safetensors", "new.csv", "--metric-groups", "label", "--json").json
    assert [share["accuracy"] for share in found["groups"]] == [share["recall"] for share in found["classes"]]


def test_groups_of_the_test_set(folder):
    found = run("evaluate", "a.safetensors", "arrays.npz", "--metric-groups", "sites.txt", "--json").json
    assert [share["n"] for share in found["groups"]] == [15, 45]


@pytest.mark.parametrize("head", ["", "site\n", '"site"\n'])
def test_groups_of_a_csv_file(folder, head):
    groups = Path("sites.txt").read_text().split()
    Path("g.csv").write_text(head + "\n".join(groups) + "\n")
    evaluate = ("evaluate", "a.safetensors", "arrays.npz", "--json", "--metric-groups")
    assert run(*evaluate, "g.csv").json["groups"] == run(*evaluate, "sites.txt").json["groups"]
    Path("g.csv").write_text("a,b\n" * len(groups))
    run_refused(folder, *evaluate, "g.csv", words=("g.csv must have one column of groups, got 2 cells in line 1",))


def test_unknown_columns_and_files_are_refused(folder):
    evaluate = ("evaluate", "m.safetensors", "new.csv", "--metric-groups")
    run_refused(
        folder, *evaluate, "town", words=("--metric-groups town: new.csv", "for the groups; its", "'site'")
    )
    Path("few.txt").write_text("x\ny\n")
    run_refused(folder, *evaluate, "few.txt", words=("few.txt", "one group for each of the 60 samples"))
    run_refused(folder, *evaluate, "a", words=("--metric-groups a", "groups must be integers or strings"))


VALUES = {
    "accuracy": lambda found: found["accuracy"],
    "balanced_accuracy": lambda found: found["balanced_accuracy"],
    "macro_f1": lambda found: found["macro_f1"],
    "worst_class": lambda found: found["worst_class"]["recall"],
    "worst_group": lambda found: found["worst_group"]["accuracy"],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_below_a_limit_is_status_1(folder, name):
    evaluate = ("evaluate", "m.safetensors", "new.csv", "--metric-groups", "site", "--top-k", "2")
    value = VALUES[name](run(*evaluate, "--json").json)
    plain = run(*evaluate)
    prefix = "" if name == "accuracy" else f"{name}="  # the default
    reached = run(*evaluate, "--fail-under", f"{prefix}{value!r}", "--fail-under", "top_k_accuracy=0")
    assert (reached.status, reached.err) == (0, plain.err)
    missed = run(*evaluate, "--fail-under", f"{prefix}{value + 0.001!r}", "--fail-under", "top_k_accuracy=0")
    failed = missed.err.removeprefix(plain.err)
    assert failed.startswith(f"Failed: {name}")
    assert failed.endswith(f" is {value:.6g}, below the limit {value + 0.001:g}.\n")
    assert failed.count("\n") == 1
    assert (missed.status, missed.out) == (1, plain.out)  # the results are printed all the same


def test_what_is_not_defined_is_named_with_the_reason(folder):
    found = run("evaluate", "m.safetensors", "new.csv", "--json").json
    assert {found[name] for name in found["undefined"]} == {None}
    assert set(found["undefined"]) == {"top_k_accuracy", "log_loss", "brier", "auroc", "ece"}
    said = run("evaluate", "m.safetensors", "new.csv").text
    reason = "the loss defines no probabilities, and the model has no temperature"
    assert said.count(reason) == 1
    assert f"Not defined: AUROC, log loss, Brier score, ECE ({reason})." in said
