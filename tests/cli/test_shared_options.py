"""The options that `fit` and `compare` share: groups, weights, limits, λ; and the output of `compare`."""

from __future__ import annotations

import csv
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import softmargin as sm
import softmargin.cli as cli
from softmargin.cli import sampling
from softmargin.data import Dataset
from softmargin.report.refit import refit
from softmargin.selection import choose, compare
from softmargin.statistics import standard_error
from tests.support.command_line import interrupt, module, run, run_refused, stopped_at

QUICK = ("--loss", "squared_hinge", "--regs", "0.01,0.1", "--folds", "3")
SHARED = ("fit", "compare")


def leaking(folder: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    """Write 40 patients with 25 nearly equal rows each; the label depends on the patient only."""
    rng = np.random.default_rng(0)
    patients = rng.permutation(np.repeat(np.arange(40), 25))
    X = rng.normal(size=(40, 64))[patients] + 0.05 * rng.normal(size=(1000, 64))
    y = np.array(["ill", "well"])[rng.permutation(np.arange(40) % 2)[patients]]
    with (folder / "scans.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient", "diagnosis", "weight", *(f"f{k}" for k in range(64))])
        for k in range(1000):
            table.writerow([f"p{patients[k]}", y[k], 1 + k % 3, *X[k]])
    return folder / "scans.csv", patients


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray[Any, Any]]:
    return leaking(tmp_path_factory.mktemp("scans"))


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Write 90 samples of three classes, and go to their folder."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = rng.normal(size=(3, 5))[y] + rng.normal(size=(90, 5))
    np.savez(tmp_path / "blobs.npz", X=X, y=y)
    (tmp_path / "groups.txt").write_text("".join(f"g{k // 9}\n" for k in range(90)))
    monkeypatch.chdir(tmp_path)
    return Dataset(X, y, "blobs")


# -- groups ------------------------------------------------------------------------------------------------


def test_groups_that_leak(scans: Any, tmp_path: Path) -> None:
    data, patients = scans
    np.save(tmp_path / "g.npy", patients)
    (tmp_path / "g.txt").write_text("".join(f"{patient}\n" for patient in patients))
    (tmp_path / "g.csv").write_text("patient\n" + "".join(f'"{patient}"\n' for patient in patients))
    columns = ("--label-column", "diagnosis", "--columns", ",".join(f"f{k}" for k in range(64)))
    wrong = run("compare", data, *QUICK, *columns, "--json").json["comparison"]
    assert wrong["paths"][0]["points"][-1]["validation_accuracy"] > 0.99
    options = (*QUICK, "--weights", "weight", "--json")
    found = run("compare", data, "--groups", "patient", *options).json
    accuracy = found["comparison"]["paths"][0]["points"][-1]["validation_accuracy"]
    assert abs(accuracy - 0.5) < 0.25
    assert found["settings"]["n_groups"] == found["comparison"]["n_groups"] == 40
    assert found["data"]["n_features"] == 64
    for name in ("g.npy", "g.txt", "g.csv"):  # other names of the groups, and the same groups
        other = run("compare", data, "--groups", tmp_path / name, *columns, *options).json
        assert other["comparison"]["paths"][0]["points"][-1]["validation_accuracy"] == accuracy
        assert other["settings"]["groups"] == str(tmp_path / name)


def test_groups_from_the_names_of_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 255, (4, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{label}-owner{k // 3}_{k}.png")
    for pattern, n in ((r"owner(\d+)_", 4), (r"owner\d", 4), (r"[^/]+-owner\d", 8), (r"_\d+", 12)):
        found = run("compare", tmp_path / "photos", *QUICK, "--group-by", pattern, "--json")
        assert found.json["settings"]["n_groups"] == n, pattern
        assert found.json["settings"]["group_by"] == pattern
    for pattern, words in (
        (r"owner[012]", ("--group-by 'owner[012]' must match the name of each sample", "owner3_")),
        ("owner(", ("--group-by must be a regular expression, got 'owner(' (missing )",)),
        (r"owner3(x)?", ("must match the name of each sample",)),
    ):
        run_refused(tmp_path, "compare", tmp_path / "photos", "--group-by", pattern, words=words)
    np.savez(tmp_path / "plain.npz", X=rng.normal(size=(20, 3)), y=np.arange(20) % 2)
    words = ("--group-by needs samples with names", "plain.npz has none")
    run_refused(
        tmp_path, "fit", tmp_path / "plain.npz", "-o", tmp_path / "m.safetensors", "--group-by", "a", words=words
    )


@pytest.mark.parametrize("verb", SHARED)
def test_few_groups(verb: str, blobs: Dataset, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("a\nb\nb\n" * 30)
    output = ("-o", {"fit": "m.safetensors", "compare": "c.json"}[verb])
    words = ("At least one class must have samples in two groups, got none",)
    run_refused(tmp_path, verb, "blobs.npz", "--groups", "two.txt", *output, words=words)
    (tmp_path / "two.txt").write_text("a\na\na\nb\nb\nb\n" * 15)
    answer = run(verb, "blobs.npz", "--groups", "two.txt", "--loss", "hinge", "--regs", "0.1", *output)
    assert answer.status == 0
    assert answer.err == "Note: only 2 folds are used, since there are too few groups for 5.\n"


def test_the_number_of_groups_is_told(blobs: Dataset) -> None:
    both = ("--loss", "hinge", "--loss", "squared_hinge", "--regs", "0.1", "--groups")
    text = run("compare", "blobs.npz", *both, "groups.txt").text
    assert re.search(r"\(held-out accuracy 0\.\d{4} ± 0\.\d{4} over 5 folds of 10 groups\)", text)
    assert "the p-values are too small" in text
    quick = run("compare", "blobs.npz", *both, "groups.txt", "--quick").text
    assert re.search(r"on \d+ samples; 10 groups in total\)\.", quick)
    np.save("own.npy", np.arange(90))
    own = run("compare", "blobs.npz", *both, "own.npy")
    assert own.err == "Note: each sample is its own group, so the groups have no effect.\n"
    assert "over 5 folds of 90 groups" in own.text
    assert "p-values" not in own.text
    assert "of 10 groups" not in run("compare", "blobs.npz", *both[:-1]).text


def test_groups_of_samples_without_weight_are_not_counted() -> None:
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(60, 3)), np.arange(60) % 2, (np.arange(60) < 40) + 0.0
    found = compare(X, y, ["hinge", "squared_hinge"], [0.1], groups=np.arange(60) // 2, sample_weight=weights)
    assert (found.recorded.n_groups, found.has_groups) == (20, True)
    alone = compare(X, y, ["hinge"], [0.1], groups=np.arange(60), sample_weight=weights)
    assert (alone.recorded.n_groups, alone.has_groups) == (40, False)


@pytest.mark.parametrize("verb", SHARED)
def test_an_accuracy_without_errors_is_not_certain(verb: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    y = np.arange(60) % 3
    np.savez("easy.npz", X=np.eye(3)[y] + np.arange(60)[:, None] * 1e-4, y=y)
    output = ("-o", {"fit": "m.safetensors", "compare": "c.json"}[verb])
    text = run(verb, "easy.npz", "--loss", "hinge", "--regs", "0.001", *output).text
    assert re.search(r"1\.0000 ±0\.0082", text)  # 1 / 122: half of Wilson's interval of 60 samples at z = 1
    assert "(held-out accuracy 1.0000 ± 0.0082 over 5 folds)" in text


def test_the_printed_error_is_at_least_that_of_independent_samples(blobs: Dataset) -> None:
    for seed in range(4):
        for scoring in ("accuracy", "loss"):
            found = compare(blobs.X, blobs.y, ["hinge"], [0.1, 1.0], seed=seed, scoring=scoring, cv=4)
            for point in found.paths[0].points:
                accuracies = [fold.validation_accuracy for fold in point.folds]
                over_folds = np.std(accuracies, ddof=1) / 2.0
                least = standard_error(np.mean(accuracies), 90)
                assert found.accuracy_error(point) == pytest.approx(max(over_folds, least), rel=1e-12)
                if scoring == "accuracy":  # the rule uses the folds alone
                    assert point.standard_error == pytest.approx(over_folds, rel=1e-12)


def test_options_of_a_selection_that_does_not_take_place_are_named(blobs: Dataset) -> None:
    given = ("--loss", "hinge", "--reg", "0.1", "-o", "m.safetensors")
    why = "for the selection, but loss and λ are given, so nothing is selected."
    for options, named in (
        (("--folds", "3"), "--folds is"),
        (("--quick", "--rule", "one_se"), "--quick and --rule are"),
        (("--groups", "groups.txt"), "--groups is"),
        (("--scoring", "loss", "--seed", "3"), "--scoring and --seed are"),
    ):
        answer = run("fit", "blobs.npz", *given, *options)
        assert (answer.status, answer.err) == (0, f"Note: {named} {why}\n")
    for options in ((), ("--rule", "best"), ("--class-weight", "balanced")):
        assert run("fit", "blobs.npz", *given, *options).err == ""
    noted = run("fit", "blobs.npz", *given, "--seed", "3", "--limit", "60").err
    assert noted == "Note: using 60 of 90 training samples (--limit).\n"
    assert run("compare", "blobs.npz", *given[:4], "--folds", "3").err == ""
    assert "selection" not in run("fit", "blobs.npz", "--loss", "hinge", "--folds", "3", *given[4:]).err


def test_files_of_groups_that_do_not_fit(blobs: Dataset, tmp_path: Path) -> None:
    np.save("short.npy", np.arange(89))
    np.save("square.npy", np.zeros((90, 2)))
    np.save("objects.npy", np.array([None] * 90), allow_pickle=True)
    (tmp_path / "short.txt").write_text("a\n" * 88)
    (tmp_path / "wide.csv").write_text("a,b\n" * 90)
    (tmp_path / "latin.txt").write_bytes(b"\xff\n" * 90)
    for name, words in {
        "short.npy": "must hold one group for each of the 90 training samples of blobs.npz, got shape (89,)",
        "square.npy": "got shape (90, 2)",
        "short.txt": "got shape (88,)",
        "wide.csv": "wide.csv must have one column of groups, got 2 cells in line 1",
        "objects.npy": "objects.npy must be a npy file of groups",
        "latin.txt": "latin.txt must be a txt file of groups",
        "none.txt": "none.txt cannot be read: No such file",
        "column": "--groups is only for a table",
    }.items():
        run_refused(tmp_path, "compare", "blobs.npz", "--groups", name, words=(words,))


# -- weights, limits and λ -----------------------------------------------------------------------------------


def test_class_weights(blobs: Dataset, tmp_path: Path) -> None:
    assert blobs.y is not None
    (tmp_path / "w.json").write_text('{"0": 3, "2": 0.5}')
    options = ("--loss", "cross_entropy", "--reg", "0.1", "--json")
    answer = run("fit", "blobs.npz", "--class-weight", "w.json", "-o", "m.safetensors", *options)
    assert answer.json["settings"]["class_weight"] == {"0": 3.0, "2": 0.5}
    expected = sm.LinearClassifier(reg=0.1, class_weight={0: 3.0, 2: 0.5}).fit(blobs.X, blobs.y)
    assert np.array_equal(sm.load_model("m.safetensors").W, expected.coef_.T)
    found = run("compare", "blobs.npz", "--class-weight", "w.json", *options).json["comparison"]
    alone = compare(blobs.X, blobs.y, ["cross_entropy"], [0.1], class_weight={0: 3.0, 2: 0.5})
    assert found["paths"][0]["points"][0]["value"] == alone.chosen_path.chosen.value
    assert found["class_weight"] == {"0": 3.0, "2": 0.5}
    assert run("compare", "blobs.npz", "--class-weight", "balanced", *options).json["settings"][
        "class_weight"
    ] == ("balanced")
    for content, words in {
        '{"7": 1}': "w.json must have labels of the data ('0', '1', '2'), got '7'",
        '{"0": -1}': "w.json must hold finite factors ≥ 0, got -1 for '0'",
        '{"0": "two"}': "w.json must hold finite factors ≥ 0, got \"two\" for '0'",
        '{"0": NaN}': "w.json must hold finite factors ≥ 0, got NaN for '0'",
        "[1, 2]": "w.json must be a JSON object of factors by label, got list",
        "{": "w.json must be a JSON object of factors by label (",
        '{"0": 1, "1": 2, "0": 3}': "w.json must be a JSON object of factors by label (the key '0' is repeated)",
        '{"1": 1, "1": 1}': "the key '1' is repeated",
        '{"0": {"2": 1, "2": 1}}': "the key '2' is repeated",
    }.items():
        (tmp_path / "w.json").write_text(content)
        run_refused(tmp_path, "compare", "blobs.npz", "--class-weight", "w.json", words=(words,))
    for option, words in (
        ("w.txt", "--class-weight must be balanced or a .json file"),
        ("no.json", "cannot be read"),
    ):
        run_refused(tmp_path, "fit", "blobs.npz", "-o", "n", "--class-weight", option, words=(words,))
    (tmp_path / "w.json").write_text('{"0": 3}')
    words = "w.json is an input of this command and cannot be its output"
    run_refused(tmp_path, "compare", "blobs.npz", "-o", "w.json", "--class-weight", "w.json", words=(words,))


def test_weights_of_samples(scans: Any, tmp_path: Path) -> None:
    data, _ = scans
    options = ("--label-column", "diagnosis", "--loss", "squared_hinge", "--reg", "0.1", "--groups", "patient")
    assert run("fit", data, "--weights", "weight", "-o", tmp_path / "m.safetensors", *options).status == 0
    found = sm.load_dataset(data, groups_column="patient", weights_column="weight")
    expected = sm.LinearClassifier("squared_hinge", reg=0.1).fit(found.X, found.y, found.weights)
    model = sm.load_model(tmp_path / "m.safetensors")
    assert np.array_equal(model.W, expected.coef_.T)
    assert model.feature_names == tuple(f"f{k}" for k in range(64))
    answer = run("compare", data, "--weights", "weight", *options, "--folds", "4", "--json").json
    alone = compare(
        found.X, found.y, ["squared_hinge"], [0.1], cv=4, groups=found.groups, sample_weight=found.weights
    )
    assert answer["comparison"]["paths"][0]["points"][0]["folds"][0]["value"] == (
        alone.chosen_path.chosen.folds[0].value
    )
    assert (answer["settings"]["weights"], answer["comparison"]["weighted"]) == ("weight", True)
    assert run("evaluate", tmp_path / "m.safetensors", data, "--label-column", "diagnosis").status == 0


def test_a_refit_has_the_weights_of_the_fit(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y, groups, weights = np.arange(60) % 2, np.arange(60) // 3, rng.integers(1, 9, 60)
    for name, n in (("train", 60), ("other", 20)):
        rows = [
            f"{a + y[k]:.3f},{b:.3f},{y[k]},{groups[k]},{weights[k]}"
            for k, (a, b) in enumerate(rng.normal(size=(n, 2)))
        ]
        Path(f"{name}.csv").write_text("\n".join(["a,b,label,site,w", *rows]) + "\n")
    Path("new.csv").write_text("a,b,label\n1,2,0\n0,1,1\n2,2,1\n")
    options = ("--weights", "w", "--groups", "site", "--regs", "0.1", "--loss", "hinge", "--loss", "squared_hinge")
    assert run("fit", "train.csv", *options, "-o", "m.safetensors").status == 0
    model = sm.load_model("m.safetensors")
    assert (model.weights_column, model.groups_column) == ("w", "site")
    assert re.search(r"groups column +site\nweights column +w\n", run("info", "m.safetensors").text)
    data = sm.load_dataset("train.csv", label_column="label", groups_column="site", weights_column="w")
    [expected], _ = refit(model, data)
    unweighted = sm.load_dataset("train.csv", label_column="label", columns=["a", "b"])
    assert refit(model, unweighted)[0][0].value != expected.value
    seen: list[Any] = []

    def kept(found: Any, training: Dataset, **more: Any) -> Any:
        seen.append(refit(found, training, **more))
        return seen[-1]

    monkeypatch.setattr("softmargin.report.refit", kept)
    for words in (("train.csv",), ("new.csv", "--training", "train.csv")):
        answer = run("report", "m.safetensors", *words, "--refit", "-o", "r.html")
        assert answer.status == 0, answer.err
        [other], _ = seen.pop()
        assert (other.value, other.loss) == (expected.value, expected.loss)
    for words in (
        ("evaluate", "m.safetensors", "new.csv"),
        ("report", "m.safetensors", "new.csv", "-o", "r.html"),
    ):
        assert run(*words).status == 0  # the column is only needed to fit again


@pytest.mark.parametrize("limit", [3, 10, 50, 89])
def test_limit_is_stratified_and_does_not_depend_on_the_order(limit: int, blobs: Dataset) -> None:
    rng = np.random.default_rng(limit)
    y = np.array([0] * 60 + [1] * 29 + [2])
    order = rng.permutation(90)
    chosen = sampling.limited(Dataset(blobs.X, y, "d"), limit, 0)
    moved = sampling.limited(Dataset(np.asarray(blobs.X)[order], y[order], "d"), limit, 0)
    assert sorted(order[moved].tolist()) == chosen.tolist()
    counts = np.bincount(y[chosen], minlength=3)
    assert counts.sum() == limit
    assert (counts >= 1).all()
    assert abs(counts[0] - 60 * limit / 90) <= 1.5
    if limit < 80:
        assert chosen.tolist() != sampling.limited(Dataset(blobs.X, y, "d"), limit, 1).tolist()


def test_limit_on_the_command_line(blobs: Dataset, tmp_path: Path) -> None:
    answer = run(
        "fit", "blobs.npz", "--limit", "30", "--groups", "groups.txt", *QUICK, "-o", "m.safetensors", "--json"
    )
    assert answer.err == "Note: using 30 of 90 training samples (--limit).\n"
    assert answer.json["metadata"]["n_samples"] == answer.json["settings"]["limit"] == 30
    assert run("compare", "blobs.npz", "--limit", "90", *QUICK).err == ""
    assert run("compare", "blobs.npz", "--limit", "30", *QUICK).text.startswith("blobs.npz: 30 training samples")
    words = ("--limit must be at least the number of classes, 3, got 2",)
    run_refused(tmp_path, "compare", "blobs.npz", "--limit", "2", words=words)


def test_fit_and_compare_select_the_same(blobs: Dataset) -> None:
    options = (
        "--regs",
        "0.001,0.1",
        "--rule",
        "one_se",
        "--scoring",
        "loss",
        "--seed",
        "3",
        "--groups",
        "groups.txt",
    )
    for more in ((), ("--quick",)):
        one = run("compare", "blobs.npz", *options, *more, "--json").json["comparison"]
        other = run("fit", "blobs.npz", *options, *more, "-o", "m.safetensors", "--json").json
        selected = other["metadata"]["selection"]
        assert [selected[name] for name in ("loss", "reg", "seed", "rule", "scoring", "n_groups", "folds")] == [
            one[name] for name in ("loss", "reg", "seed", "rule", "scoring", "n_groups", "folds")
        ]
        assert (one["seed"], one["rule"], one["scoring"], one["n_groups"]) == (3, "one_se", "loss", 10)
        assert [point["reg"] for point in one["paths"][0]["points"]] == [0.1, 0.001]
        assert len(one["folds"]) == (1 if more else 5)
    seeds = set()
    for k in range(3):
        found = run("compare", "blobs.npz", *QUICK, "--seed", str(k), "--json").json["comparison"]
        seeds.add(found["paths"][0]["points"][0]["value"])
    assert len(seeds) == 3
    quick = run("compare", "blobs.npz", "--quick", "--loss", "hinge", "--reg", "0.1", "--json").json["comparison"]
    alone = choose(blobs.X, blobs.y, ["hinge"], [0.1])  # type: ignore[arg-type]
    assert quick["paths"][0]["points"][0]["value"] == alone.chosen_path.chosen.value


@pytest.mark.parametrize("verb", SHARED)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--quick", "--folds", "3"), "--quick and --folds are mutually exclusive"),
        (("--reg", "1", "--regs", "1,2"), "--reg and --regs are mutually exclusive"),
        (("--groups", "g", "--group-by", "x"), "--groups and --group-by are mutually exclusive"),
        (("--regs", "1,two"), "--regs must be numbers > 0 separated by commas, such as 1e-4,1e-3, got '1,two'"),
        (("--regs", "0,1"), "--regs must be numbers > 0"),
        (("--regs", "inf"), "--regs must be numbers > 0"),
        (("--regs", ""), "--regs must be numbers > 0"),
    ],
)
def test_options_that_exclude_each_other(
    verb: str, options: Any, words: str, blobs: Dataset, tmp_path: Path
) -> None:
    run_refused(tmp_path, verb, "blobs.npz", *options, words=(words,))


def test_the_help_has_headings() -> None:
    for verb in SHARED:
        text = run(verb, "--help").text
        for heading in ("Output:", "Losses and λ:", "Folds and weights:", "Fit:", "Data and features:"):
            assert f"\n{heading}\n" in text
        assert text.index("--groups") < text.index("\nFit:") < text.index("\n  --tol")
    names = [{option.name for option in cli.softmargin.commands[verb].params} for verb in SHARED]
    assert names[0] ^ names[1] == {"page", "language", "checkpoint", "out_of_fold"}


# -- warnings ------------------------------------------------------------------------------------------------


def test_a_choice_that_did_not_converge_is_not_silent(blobs: Dataset) -> None:
    options = ("--loss", "hinge", "--regs", "1e-6,1e-7", "--max-passes", "1")
    answer = run("compare", "blobs.npz", *options)
    assert answer.err.startswith("Warning: The selected fit, hinge with reg 1e-0")
    assert "did not converge on 5 of 5 folds: largest gap " in answer.err
    assert run("fit", "blobs.npz", *options, "-o", "m.safetensors").err.startswith(
        "Warning: The selected fit, hinge"
    )
    assert run("compare", "blobs.npz", "--loss", "hinge", "--regs", "0.1").err == ""


def test_other_fits_that_did_not_converge_are_not_silent(blobs: Dataset) -> None:
    answer = run(
        "compare", "blobs.npz", "--loss", "hinge", "--regs", "0.1,1e-7", "--rule", "one_se", "--max-passes", "40"
    )
    words = (
        r"Warning: \d of 10 fits on 5 folds did not converge, but not the selected one: largest gap .* > 1e-3\.\n"
    )
    assert re.fullmatch(words, answer.err)
    assert re.search(
        r"^\d of 10 fits on 5 folds converged \(gap ≤ 1e-3, \d+ passes\)\.$", answer.text, re.MULTILINE
    )


def test_bad_calibration_is_not_silent(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1500)
    X = rng.normal(size=(1500, 300)) + 0.1 * y[:, None]
    np.savez(tmp_path / "noise.npz", X=X, y=np.where(rng.random(1500) < 0.3, 1 - y, y))
    options = ("--loss", "cross_entropy", "--folds", "2", "--regs")
    answer = run("compare", tmp_path / "noise.npz", *options, "1e-7")
    assert answer.err.startswith(
        "Warning: The probabilities of cross_entropy are badly calibrated: confidence and "
    )
    advice = "select λ with --scoring loss, or try another loss of equal accuracy.\n"
    assert answer.err.endswith(f"on average on 1,500 held-out samples (ECE); {advice}")
    answer = run("compare", tmp_path / "noise.npz", *options, "1e-7", "--scoring", "loss")
    assert answer.err.endswith("(ECE); try another loss of equal accuracy.\n")
    assert run("compare", tmp_path / "noise.npz", *options, "10").err == ""


# -- out-of-fold ---------------------------------------------------------------------------------------------


def rows_of_file(path: str | Path) -> list[list[str]]:
    with open(path, newline="") as stream:
        return list(csv.reader(stream))


def test_out_of_fold_files(blobs: Dataset, tmp_path: Path) -> None:
    options = ("compare", "blobs.npz", "--loss", "cross_entropy", "--regs", "0.1,0.01", "--folds", "3")
    assert blobs.y is not None
    kept = compare(blobs.X, blobs.y, ["cross_entropy"], [0.1, 0.01], cv=3, keep_out_of_fold=True).out_of_fold
    assert kept is not None
    assert kept.probabilities is not None
    answer = run(*options, "--out-of-fold", "o.csv")
    assert (answer.status, answer.err) == (0, "")
    assert answer.text.endswith("Out-of-fold scores written to o.csv.\n")
    headings, *rows = rows_of_file("o.csv")
    assert headings == ["id", "label", "fold", *(f"{kind}_{k}" for kind in ("score", "proba") for k in range(3))]
    assert [row[:3] for row in rows] == [[str(k), str(blobs.y[k]), str(kept.fold[k])] for k in range(90)]
    numbers = np.array([row[3:] for row in rows], float)
    assert np.array_equal(numbers, np.hstack([kept.scores, kept.probabilities]))
    run(*options, "--out-of-fold", "o.npz")
    with np.load("o.npz") as arrays:
        assert sorted(arrays) == ["classes", "fold", "id", "label", "proba", "scores"]
        assert np.array_equal(arrays["scores"], kept.scores)
        assert np.array_equal(arrays["proba"], kept.probabilities)
        assert np.array_equal(arrays["classes"], [0, 1, 2])
    parquet = pytest.importorskip("pyarrow.parquet")
    run(*options, "--out-of-fold", "o.parquet")
    table = parquet.read_table("o.parquet").to_pydict()
    assert list(table) == headings
    assert np.array_equal(np.column_stack([table[name] for name in headings[3:]]), numbers)
    hinge = run("compare", "blobs.npz", "--loss", "hinge", "--quick", "--regs", "0.1", "--out-of-fold", "q.csv")
    assert hinge.err.startswith("Note: the temperature of hinge was fitted to the same out-of-fold scores")
    _, *rows = rows_of_file("q.csv")
    held = [row for row in rows if row[2] == "0"]
    assert len(held) == 18
    assert {(row[2], *row[3:]) for row in rows if row not in held} == {("-1", *["nan"] * 6)}


def test_out_of_fold_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = ['a,"b', "=c\nd"]
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["id", "x", "z", "label"], *([f"n{k}", *rng.normal(size=2), labels[k % 2]] for k in range(30))]
        )
    run("compare", tmp_path / "t.csv", *QUICK, "--out-of-fold", tmp_path / "o.csv")
    headings, *rows = rows_of_file(tmp_path / "o.csv")
    assert headings[3:] == [f"{kind}_{label}" for kind in ("score", "proba") for label in sorted(labels)]
    assert [row[0] for row in rows] == [f"n{k}" for k in range(30)]


def test_out_of_fold_mistakes(blobs: Dataset, tmp_path: Path) -> None:
    for name, words in {
        "o.txt": "must end in .csv, .npz or .parquet, got o.txt",
        "blobs.npz": "blobs.npz is an input of this command",
        "no/o.csv": "no/o.csv cannot be written: the folder",
    }.items():
        run_refused(tmp_path, "compare", "blobs.npz", "--out-of-fold", name, words=(words,))
    words = "o.json is given for two outputs"
    os.symlink("o.csv", "o.json")
    run_refused(tmp_path, "compare", "blobs.npz", "--out-of-fold", "o.csv", "-o", "o.json", words=(words,))


# -- outputs and interrupts ----------------------------------------------------------------------------------


def test_an_existing_default_output_is_noticed_before_reading(
    blobs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "data.v2.csv").write_text("a,y\n1,0\n")
    for data, target in {
        "blobs.npz": "blobs.safetensors",
        "digits": "digits.safetensors",
        "photos/": "photos.safetensors",
        "./data.v2.csv": "data.v2.safetensors",
        tmp_path: f"{tmp_path.name}.safetensors",
    }.items():
        (tmp_path / target).write_text("precious")

        def read(*_: Any, **__: Any) -> None:
            raise AssertionError("DATA was read")

        monkeypatch.setattr(module("job"), "read_data", read)
        run_refused(
            tmp_path, "fit", data, words=(f"{target} already exists; choose the model file with -o FILE.",)
        )
        monkeypatch.undo()
        os.chdir(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_writes_the_checkpoint(number: int, blobs: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (
        "fit",
        "blobs.npz",
        "--loss",
        "squared_hinge",
        "--reg",
        "1e-5",
        "--tol",
        "1e-9",
        "--checkpoint",
        "c",
    )
    assert run(*options, "-o", "whole.safetensors").status == 0
    stop = interrupt if number == signal.SIGINT else lambda: signal.raise_signal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(module("fit"), "reporter", stopped_at("fit", "squared_hinge, reg 1e-05: pass", stop))
        answer = run(*options, "-o", "m.safetensors")
    assert answer.status == 128 + number
    assert answer.err == (
        "Note: the state of the fit is saved in c; the same command resumes it.\n"
        "Stopped. No file was left half-written.\n"
    )
    assert os.path.exists("c")
    assert not os.path.exists("m.safetensors")
    assert run(*options, "-o", "m.safetensors").status == 0
    assert not os.path.exists("c")
    resumed, whole = sm.load_model("m.safetensors"), sm.load_model("whole.safetensors")
    assert resumed.W.tobytes() == whole.W.tobytes()
    assert resumed.n_passes == whole.n_passes


def test_a_report_refits_with_the_class_weights_of_the_search(blobs: Dataset, tmp_path: Path) -> None:
    assert blobs.y is not None
    (tmp_path / "w.json").write_text('{"0": 3, "2": 0.5}')
    options = ("--regs", "0.1", "--loss", "cross_entropy", "--loss", "squared_hinge", "--class-weight", "w.json")
    assert run("fit", "blobs.npz", *options, "-o", "m.safetensors").status == 0
    model = sm.load_model("m.safetensors")
    [other], _ = refit(model, blobs)
    expected = sm.LinearClassifier(other.loss, reg=0.1, class_weight={0: 3.0, 2: 0.5}).fit(blobs.X, blobs.y)
    assert np.array_equal(other.W, expected.coef_.T)
