"""Commands on text tables: names of numbers, labels as the model knows them, and options of the format."""

from __future__ import annotations

import io
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import SOFT, rows_of, run, run_refused
from tests.support.sources import HAS_ARROW

CENTRES = np.random.default_rng(4).normal(scale=9.0, size=(4, 3)).round(1)


def write(
    path: Path, head: str, labels: list[str] | None, n: int = 40, order: tuple[int, ...] = (0, 1, 2)
) -> list:
    """Write samples that are easy to classify, with the labels in turn; return the true labels."""
    noise = np.random.default_rng(5).normal(size=(n, 3)).round(3)
    X = CENTRES[np.arange(n) % 4] + noise
    names = [None if labels is None else labels[k % 4 % len(labels)] for k in range(n)]
    lines = [",".join([*(f"{v:.3f}" for v in row[list(order)]), *([] if name is None else [name])])
             for row, name in zip(X, names, strict=True)]  # fmt: skip
    path.write_text("\n".join([head, *lines] if head else lines) + "\n", "utf-8")
    return names


def test_advice_on_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault gives one message, which names the column that was probably meant and the options to give."""
    monkeypatch.chdir(tmp_path)
    write(Path("visits.csv"), "a,b,c,site,Diagnosis", ["north,ill", "south,well"])
    assert run("fit", "visits.csv").err == (
        "Error: visits.csv has no label, because there are several text columns ('site', 'Diagnosis'); choose one "
        "with --label-column.\n"
    )
    assert run("fit", "visits.csv", "--label-column", "diagnoses").err == (
        "Error: visits.csv has no column 'diagnoses' for the label; its columns are 'a', 'b', 'c', 'site', "
        "'Diagnosis'; the nearest name is 'Diagnosis'.\n"
    )
    fitted = run("fit", "visits.csv", "--label-column", "Diagnosis", "-o", "m.safetensors", *SOFT)
    assert fitted.err == (
        "Note: columns left out: 'site' (text; to use categories, encode them as columns of 0 and 1).\n"
    )
    Path("reviews.csv").write_text("review,label\ngood film,1\nbad film,0\n")
    words = ("got columns 'review', 'label'; features of texts need --text and --features.",)
    run_refused(tmp_path, "fit", "reviews.csv", words=words)


def test_long_tables_hide_no_single_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for n, end in ((13, "'c12'."), (14, "'c11', … (2 more).")):
        Path("t.csv").write_text(",".join(f"c{k}" for k in range(n)) + "\n" + ",".join("1" * n) + "\n")
        assert run_refused(tmp_path, "fit", "t.csv", "--label-column", "label").endswith(end)


@pytest.mark.parametrize("names", ["0,1,2", "1990,2000,2010", "5,3,4", "1.5,b,2.5"])
def test_names_of_numbers_are_found_in_new_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.chdir(tmp_path)
    true = write(Path("train.csv"), f"{names},label", ["a", "b", "c", "d"])
    assert run("fit", "train.csv", "-o", "m.safetensors", *SOFT).status == 0
    write(Path("new.csv"), names, None, 7)
    write(Path("turned.csv"), ",".join(names.split(",")[k] for k in (2, 0, 1)), None, 7, (2, 0, 1))
    for table in ("new.csv", "turned.csv"):
        assert [row[1] for row in rows_of(run("predict", "m.safetensors", table))] == true[:7]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(table).read_bytes())))
            assert [row[1] for row in rows_of(run("predict", "m.safetensors", "-"))] == true[:7]
    assert run("evaluate", "m.safetensors", "train.csv", "--json").json["n_samples"] == 40


@pytest.mark.parametrize(
    ("labels", "kept", "written"),
    [
        (["1", "2", "3", "other"], ["1", "2", "3"], None),
        (["1", "2", "3", "other"], ["1", "2", "3"], ["1.0", "2.0", "3.0"]),
        (["0.0", "1.0", "2.0", "none of these"], ["0.0", "1.0", "2.0"], ["0", "1", "2"]),
        (["yes", "TRUE", "FALSE", "?"], ["TRUE", "FALSE"], ["True", "False"]),
        (["01", "02", "10", "x"], ["01", "02", "10"], ["1", "2", "10"]),
        (["1", "2", "3", "4"], ["1", "2"], ["1.0", "2.0"]),
        (["Zürich", "Genève", "Chur", "Bern"], ["Zürich", "Genève"], "NFD"),
    ],
)
def test_labels_are_read_as_the_classes_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: list, kept: list, written: list | str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("train.csv"), "p,q,r,label", labels)
    assert run("fit", "train.csv", "-o", "m.safetensors", *SOFT).status == 0
    head, *rows = Path("train.csv").read_text("utf-8").splitlines()
    if isinstance(written, list):
        new = dict(zip(kept, written, strict=True))
    else:
        new = {word: unicodedata.normalize(written or "NFC", word) for word in kept}
    split = [row.rpartition(",") for row in rows]
    lines = [f"{start},{new[label]}" for start, _, label in split if label in kept]
    Path("test.csv").write_text("\n".join([head, *lines]) + "\n", "utf-8")
    found = run("evaluate", "m.safetensors", "test.csv", "--json")
    assert found.json["accuracy"] == 1.0
    assert found.json["n_samples"] == len(lines)
    classes = run("info", "m.safetensors", "--json").json["classes"]
    assert {str(one["name"]) for one in found.json["classes"]} <= set(map(str, classes))
    assert ("are read as the classes" in found.err) == isinstance(written, list) or isinstance(classes[0], int)
    assert run("report", "m.safetensors", "test.csv", "-o", "r.html").status == 0


@pytest.mark.parametrize(
    "form", ["npz", pytest.param("parquet", marks=pytest.mark.skipif(not HAS_ARROW, reason="-"))]
)
def test_integers_of_other_formats_are_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("train.csv"), "p,q,r,label", ["1", "2", "3", "other"])
    assert run("fit", "train.csv", "-o", "m.safetensors", *SOFT).status == 0
    X, y = CENTRES[:3] + 0.1, np.array([1, 2, 3])
    if form == "npz":
        np.savez("t.npz", X=X, y=y)
    else:
        import pyarrow as pa
        import pyarrow.parquet

        pa.parquet.write_table(pa.table({"p": X[:, 0], "q": X[:, 1], "r": X[:, 2], "label": y}), "t.parquet")
    found = run("evaluate", "m.safetensors", f"t.{form}", "--json").json
    assert found["accuracy"] == 1.0
    assert [one["name"] for one in found["classes"]] == ["1", "2", "3"]


def test_a_word_among_the_labels_of_a_model_of_integers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("train.csv"), "p,q,r,label", ["1", "2", "3", "4"])
    assert run("fit", "train.csv", "-o", "m.safetensors", *SOFT).status == 0
    write(Path("test.csv"), "p,q,r,label", ["1", "2", "unsure", "4"])
    run_refused(
        tmp_path, "evaluate", "m.safetensors", "test.csv", words=("test.csv row 2", "'unsure' (in 10 rows)")
    )


def test_options_of_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("plain.csv"), "", ["a", "b", "c", "d"])
    head, *rows = Path("plain.csv").read_text().splitlines()
    lines = ["1;2;3;Größe", *(row.replace(",", ";").replace(".", ",") for row in (head, *rows))]
    Path("t.csv").write_bytes("\n".join(lines).encode("cp1252"))
    given = ("--encoding", "cp1252", "--header", "--decimal", ",")
    run_refused(tmp_path, "fit", "t.csv", words=("is not UTF-8 text", "'Größe'", "--encoding cp1252"))
    fitted = run("fit", "t.csv", *given, "-o", "m.safetensors", *SOFT, "--report", "m.html")
    assert fitted.status == 0
    assert "decimal mark" not in fitted.err
    assert run("info", "m.safetensors", "--json").json["feature_names"] == ["1", "2", "3"]
    assert run("evaluate", "m.safetensors", "t.csv", *given, "--json").json["accuracy"] == 1.0
    assert len(rows_of(run("predict", "m.safetensors", "t.csv", *given))) == 40
    report = run("report", "m.safetensors", "t.csv", *given, "--training", "t.csv", "-o", "r.html")
    assert report.status == 0, report
    assert (
        run("info", "t.csv", *given[:2], "--no-header", "--json", "--label-column", "3").json["data"]["n_samples"]
        == 41
    )
    assert run("fit", "plain.csv", "--no-header", "-o", "n.safetensors", *SOFT).status == 0
    assert run("evaluate", "n.safetensors", "plain.csv", "--json").json["n_samples"] == 40
    run_refused(tmp_path, "fit", "t.csv", "--encoding", "utf-9", words=("encoding must be a text encoding",))


def test_counters_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("t.csv"), "", ["a", "b", "c", "d"])
    rows = Path("t.csv").read_text().splitlines()
    Path("n.csv").write_text("\n".join(f"{k},{row}" for k, row in enumerate(rows)) + "\n")
    fitted = run("fit", "n.csv", "-o", "m.safetensors", *SOFT)
    assert "columns that number or identify the rows are left out: 'column 0'" in fitted.err
    assert run("evaluate", "m.safetensors", "n.csv", "--json").json["accuracy"] == 1.0
    assert len(rows_of(run("predict", "m.safetensors", "n.csv"))) == 40
    kept = run("fit", "n.csv", "--keep-counters", "-o", "k.safetensors", *SOFT)
    assert "left out" not in kept.err
    assert run("info", "k.safetensors", "--json").json["n_features"] == 4
    assert run("evaluate", "k.safetensors", "n.csv", "--json").json["n_samples"] == 40


@pytest.mark.parametrize(("n_classes", "n"), [(11, 20), (19, 20), (40, 60)])
def test_more_classes_than_half_the_samples(tmp_path: Path, n_classes: int, n: int) -> None:
    lines = [f"{k % 7},{k * k % 5},{1000 + 37 * (k % n_classes)}" for k in range(n)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,price", *lines]) + "\n")
    given = ("--label-column", "price", *SOFT, "-o", tmp_path / "m.safetensors")
    answer = run("fit", tmp_path / "t.csv", *given)
    assert f"has {n_classes} classes for {n} samples, like the target of a regression" in answer.err


@pytest.mark.parametrize("values", [range(1000, 1020), range(20, 0, -1), [f"name {k}" for k in range(20)]])
def test_a_label_of_its_own_for_each_sample(tmp_path: Path, values: list) -> None:
    lines = [f"{k % 7},{k * k % 5},{value}" for k, value in enumerate(values)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,target", *lines]) + "\n")
    for command in ("fit", "compare"):
        run_refused(tmp_path, command, tmp_path / "t.csv", words=("a different label for each of its 20 samples",))


def test_the_target_of_a_regression(tmp_path: Path) -> None:
    lines = [f"{k % 7},{k / 8}" for k in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["a,target", *lines]) + "\n")
    run_refused(
        tmp_path, "fit", tmp_path / "t.csv", words=("got 0.125, which looks like the target of a regression",)
    )
