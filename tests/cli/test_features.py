"""Features on the command line: from pictures or texts to a model, and back to new pictures or texts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import softmargin as sm
from tests.support.command_line import SOFT, run, run_refused
from tests.support.extractors import Means, register, save_pictures


@pytest.fixture(autouse=True)
def extractors(tmp_path, monkeypatch):
    register(monkeypatch)
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Means.calls.clear()


@pytest.fixture
def pictures(tmp_path):
    save_pictures(tmp_path / "p/train", 12)
    save_pictures(tmp_path / "p/test", 5, seed=1)
    return tmp_path / "p"


@pytest.mark.parametrize("name", ["means", "centred"])
def test_a_model_applies_its_extractor_to_new_pictures(name, pictures, tmp_path):
    fitted = run("fit", pictures, "--features", name, "-o", "m.safetensors", *SOFT, "--json")
    assert fitted.status == 0, fitted.err
    model = sm.load_model("m.safetensors")
    assert fitted.json["metadata"]["extractor"] == model.extractor.record()
    assert model.extractor.name == name
    n_calls = len(Means.calls)
    evaluated = run("evaluate", "m.safetensors", pictures, "--json")
    assert evaluated.json["accuracy"] == fitted.json["accuracy"]["test"] == 1.0
    assert len(Means.calls) == n_calls  # all from the cache
    save_pictures(tmp_path / "new", 3, seed=2)
    predicted = run("predict", "m.safetensors", tmp_path / "new")
    rows = [line.split(",") for line in predicted.text.splitlines()[1:]]
    assert len(rows) == 6
    assert all(path.split("/")[0] == label for path, label in rows)
    new = sm.load_dataset(tmp_path / "new", features=model.extractor)
    np.testing.assert_array_equal(model.predict(new.X), [label for _, label in rows])
    single = run("predict", "m.safetensors", tmp_path / "new/dark/000.png")
    assert single.text.splitlines()[1].endswith(",dark")


def test_a_file_of_features_gives_the_same_model(pictures, tmp_path):
    answer = run("embed", pictures, "--features", "centred", "-o", "f.safetensors")
    assert answer.status == 0, answer.err
    assert "24 training samples, 10 test samples, 18 features" in answer.text
    data, plain = sm.load_dataset("f.safetensors"), sm.load_dataset(pictures)
    assert data.ids == plain.ids
    assert data.test.ids == plain.test.ids
    np.testing.assert_array_equal(data.y, plain.y)
    run("fit", pictures, "--features", "centred", "-o", "a.safetensors", "--loss", "squared_hinge")
    run("fit", "f.safetensors", "-o", "b.safetensors", "--loss", "squared_hinge")
    a, b = sm.load_model("a.safetensors"), sm.load_model("b.safetensors")
    np.testing.assert_array_equal(a.W, b.W)
    assert a.fingerprint == b.fingerprint
    assert a.extractor.identity() == b.extractor.identity()
    assert [f["n_passes"] for f in a.selection["paths"][0]["points"]] == [
        f["n_passes"] for f in b.selection["paths"][0]["points"]
    ]
    assert run("predict", "b.safetensors", pictures).out == run("predict", "a.safetensors", pictures).out
    assert run("evaluate", "a.safetensors", "f.safetensors", "--json").json["accuracy"] == 1.0
    assert "centred" in run("info", "f.safetensors").text


def test_features_of_another_extractor_are_refused(pictures):
    run("embed", pictures, "--features", "means", "-o", "f.safetensors")
    run("fit", pictures, "--features", "centred", "-o", "m.safetensors", *SOFT)
    answer = run("evaluate", "m.safetensors", "f.safetensors")
    assert answer.status == 2
    assert "features of centred as in training, got features of means" in answer.err


def test_texts_from_a_table_to_predictions(tmp_path):
    rows = [f'"{"ab"[k % 2] * (3 + k % 5)}",{"ab"[k % 2]}' for k in range(40)]
    (tmp_path / "r.csv").write_text("\n".join(["review,label", *rows]) + "\n")
    answer = run("fit", "r.csv", "--text", "review", "--features", "lengths", "-o", "m.safetensors", *SOFT)
    assert answer.status == 0, answer.err
    (tmp_path / "new.csv").write_text("other,review\n1,aaaa\n2,bbb\n")
    assert run("predict", "m.safetensors", "new.csv").text.splitlines()[1:] == ["0,a", "1,b"]
    report = run("report", "m.safetensors", "r.csv", "-o", "r.html")
    assert report.status == 0, report.err
    assert "aaaaaaa" in (tmp_path / "r.html").read_text()


def test_the_report_shows_the_pictures(pictures, tmp_path):
    run("fit", pictures, "--features", "means", "-o", "m.safetensors", *SOFT)
    answer = run("report", "m.safetensors", pictures, "-o", "r.html", "--json")
    assert answer.status == 0, answer.err
    page = (tmp_path / "r.html").read_text()
    assert "data:image/png" in page
    assert "--features means" in page


def test_the_cache_is_described(pictures, tmp_path):
    assert run("info", "--cache").text.endswith("0.0 MB of features and of what extractors learned.\n")
    run("embed", pictures, "--features", "means", "-o", "f.safetensors")
    assert "means" in run("info", "--cache").text
    [entry] = run("info", "--cache", "--json").json["extractors"]
    assert entry["n_rows"] == 34
    assert entry["record"]["settings"]["factor"] == 1.0
    run("embed", pictures, "--features", "means", "-o", "g.safetensors", "--no-cache")
    assert len(Means.calls) == 68
    assert (tmp_path / "f.safetensors").read_bytes() == (tmp_path / "g.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "p", "--features", "nonsense"), ("nonsense",)),
        (("fit", "digits", "--features", "lengths"), ("must hold texts",)),
        (("fit", "p", "--text", "review"), ("text",)),
        (("embed", "p", "--features", "pixels", "-o", "x.safetensors"), ("--features",)),
        (("embed", "p", "-o", "x.safetensors"), ("Missing option '--features'",)),
        (("embed", "p", "--features", "means", "-o", "x.npz"), (".safetensors", "x.npz")),
        (("embed", "p", "--features", "means", "-o", "p/x.safetensors"), ()),
        (("info",), ("--cache",)),
        (("info", "p", "--cache"), ("--cache",)),
        (("predict", "d.safetensors", "p", "--features", "x.onnx"), ("--features",)),
    ],
)
def test_wrong_arguments(arguments, words, pictures, tmp_path):
    run("fit", "digits", "-o", "d.safetensors", *SOFT)
    if arguments[-1] == "p/x.safetensors":
        assert run(*arguments).status == 0  # models and features in a folder of pictures are not part of the data
        return
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    run_refused(tmp_path, *arguments, words=words)


def test_hostile_records_of_extractors(pictures, tmp_path):
    from softmargin.io.safetensors import encode_record, read_record

    run("fit", pictures, "--features", "centred", "-o", "m.safetensors", *SOFT)
    with open("m.safetensors", "rb") as stream:
        text, tensors = read_record(stream, "m")
    for change in ({"name": "os"}, {"name": 3}, {"settings": {"x": 1}}, {"settings": None}, {"version": 9}, None):
        record = json.loads(text)
        record["extractor"] = [] if change is None else record["extractor"] | change
        (tmp_path / "bad.safetensors").write_bytes(b"".join(encode_record(json.dumps(record), tensors)))
        answer = run("info", "bad.safetensors")
        assert answer.status == 2, change
        assert answer.err.count("\n") == 1


def test_several_features_are_compared_on_the_same_folds(pictures, tmp_path):
    words = ("--features", "means", "--features", "pixels", "--features", "centred", "--loss", "squared_hinge")
    found = run("compare", pictures, *words, "--folds", "3", "--json", "-o", "c.json")
    assert found.status == 0, found.err
    record = found.json["comparison"]
    assert [one["name"] for one in record["sets"]] == ["means", "pixels", "centred"]
    assert {test["first"] for test in record["tests"]} == {record["selected"]}
    assert record["comparisons"]["means"]["folds"] == record["comparisons"]["pixels"]["folds"]
    assert set(found.json["test"]) == {"means", "pixels", "centred"}
    assert "means" in run("compare", pictures, *words, "--folds", "3").text
    fitted = run("fit", pictures, *words, "--folds", "3", "-o", "m.safetensors", "--report", "r.html", "--json")
    assert fitted.status == 0, fitted.err
    assert fitted.json["metadata"]["selection"]["features"]["selected"] == record["selected"]
    model = sm.load_model("m.safetensors")
    assert (model.extractor is None) == (record["selected"] == "pixels")
    assert "centred" in (tmp_path / "r.html").read_text()
    alone = run("compare", pictures, "--features", "centred", "--loss", "squared_hinge", "--folds", "3", "--json")
    assert (
        alone.json["comparison"]["paths"][0]["points"][0]["score"]
        == (record["comparisons"]["centred"]["paths"][0]["points"][0]["score"])
    )


def test_the_speed_and_the_time_that_is_left(monkeypatch):
    from softmargin.cli import progress

    clock = iter([0.0, 0.5, 2.0, 12.0, 12.0, 13.5])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    speed = progress._Speed()
    assert speed("computing", 10, 1000) == ""
    assert speed("computing", 20, 1000) == ""
    assert speed("computing", 50, 1000) == " (20 per s, 48 s left)"
    assert speed("computing", 100, 10_000) == " (7.5 per s, 22 min left)"
    assert speed("reading", 0, 100) == ""
    assert speed("reading", 90, 100) == " (60 per s, 0 s left)"


def test_models_of_other_features_are_not_compared(pictures):
    for name in ("means", "centred"):
        run("fit", pictures, "--features", name, "-o", f"{name}.safetensors", *SOFT)
    answer = run("report", "means.safetensors", pictures, "--against", "centred.safetensors", "-o", "r.html")
    assert answer.status == 2
    assert "the same extractor" in answer.err


def test_a_guessed_column_of_texts_is_remembered(tmp_path):
    rows = [f"{'ab'[k % 2] * (3 + k % 5)},{'ab'[k % 2]},{k}" for k in range(40)]
    (tmp_path / "r.csv").write_text("\n".join(["Review,Rating,n", *rows]) + "\n")
    answer = run("fit", "r.csv", "--label-column", "Rating", "--features", "lengths", "-o", "m.safetensors", *SOFT)
    assert answer.status == 0, answer.err
    assert sm.load_model("m.safetensors").text == "Review"
    assert len(run("predict", "m.safetensors", "r.csv").text.splitlines()) == 41
    run("embed", "r.csv", "--label-column", "Rating", "--features", "lengths", "-o", "f.safetensors")
    run("fit", "f.safetensors", "-o", "g.safetensors", *SOFT)
    assert run("predict", "g.safetensors", "r.csv").out == run("predict", "m.safetensors", "r.csv").out
    (tmp_path / "bare.csv").write_text("good good\nbad bad\n")
    lost = run("predict", "m.safetensors", "bare.csv")
    assert lost.status == 2
    assert "no column 'Review'" in lost.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "r.csv", "--features", "means"), ("column of images", "'Review'")),
        (("compare", "p", "--features", "means", "--features", "lengths"), ("all texts", "means and lengths")),
        (("fit", "p", "--pool", "cls"), ("--pool", "--features")),
        (("fit", "empty.npz", "--features", "means"), ("pictures",)),
    ],
)
def test_features_that_do_not_suit(arguments, words, pictures, tmp_path):
    (tmp_path / "r.csv").write_text("Review,Rating\nab,a\nb,b\n")
    np.savez(tmp_path / "empty.npz", X=np.zeros((0, 4, 4, 3), np.uint8), y=np.zeros(0, int))
    run_refused(tmp_path, *arguments, words=words)
