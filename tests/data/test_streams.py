"""Predictions in blocks: from files and from stdin, to CSV, JSON lines and parquet, written in one step."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import softmargin as sm
from softmargin.model import load_model
from softmargin.preprocessing import Preprocessing
from tests.support.command_line import contents, run
from tests.support.models import model
from tests.support.sources import HAS_ARROW, csv_text, safetensors_bytes, svmlight_text

needs_arrow = pytest.mark.skipif(not HAS_ARROW, reason="pyarrow (the extra frames) is not installed")
COMMAND = [sys.executable, "-m", "softmargin"]


def small_model(path: Path, d: int = 4, names: bool = True, loss: object = None, **more: object) -> Path:
    rng = np.random.default_rng(2)
    made = model(
        W=rng.normal(size=(d, 3)),
        b=rng.normal(size=3),
        classes=["a", "b", "ç"],
        loss=sm.CrossEntropy() if loss is None else loss,
        preprocessing=Preprocessing("none", np.zeros(d), np.ones(d)),
        **{"image_shape": None, "image_size": None}
        | {"feature_names": tuple(f"f{k}" for k in range(d)) if names else None}
        | more,
    )
    made.save(path)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streams")
    small_model(root / "m.safetensors")
    X = np.random.default_rng(3).normal(size=(10_000, 4))
    np.savez(root / "X.npz", X=X)
    (root / "X.csv").write_text(csv_text(X, np.arange(len(X)) % 3))
    (root / "X.svm").write_text(svmlight_text(X, np.arange(len(X)) % 3))
    if HAS_ARROW:
        import pyarrow as pa
        import pyarrow.parquet

        columns = {"f2": X[:, 2], "f0": X[:, 0], "more": ["x"] * len(X), "f1": X[:, 1], "f3": X[:, 3]}
        pa.parquet.write_table(pa.table(columns), root / "X.parquet", row_group_size=777)
    return root


@pytest.mark.parametrize("flags", [(), ("--scores",), ("--proba",), ("--margin",)])
def test_each_format_gives_the_same_predictions(world: Path, flags: tuple[str, ...]) -> None:
    expected = run("predict", world / "m.safetensors", world / "X.npz", *flags)
    assert expected.status == 0
    for name in ("X.csv", "X.svm", *(["X.parquet"] if HAS_ARROW else [])):
        found = run("predict", world / "m.safetensors", world / name, *flags)
        if name != "X.svm" or not flags:
            assert found.out == expected.out, name
        else:  # sparse rows are added in another order
            ours, theirs = (np.genfromtxt(io.BytesIO(a.out), delimiter=",")[1:, 2:] for a in (found, expected))
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_margin_is_the_lead_of_the_best(world: Path) -> None:
    with np.load(world / "X.npz") as stored:
        scores = load_model(world / "m.safetensors").scores(stored["X"])
    lines = run("predict", world / "m.safetensors", world / "X.csv", "--margin", "--json").text.splitlines()
    ordered = np.sort(scores, axis=1)
    assert [json.loads(line)["margin"] for line in lines] == (ordered[:, -1] - ordered[:, -2]).tolist()


@pytest.mark.parametrize("name", ["X.csv", "headless"])
def test_stdin_to_stdout(world: Path, name: str) -> None:
    text = (world / "X.csv").read_bytes()
    if name == "headless":  # without names the columns count by their place, and the label is not known
        text = b"\n".join(line.rpartition(b",")[0] for line in text.split(b"\n")[1:-1])
    command = [*COMMAND, "predict", str(world / "m.safetensors"), "-", "-o", "-"]
    found = subprocess.run(command, input=text, capture_output=True, check=True)
    assert found.stdout == run("predict", world / "m.safetensors", world / "X.npz").out
    assert found.stderr == b""


def test_stdin_is_answered_before_it_ends(world: Path) -> None:
    command = [*COMMAND, "predict", str(world / "m.safetensors"), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write((world / "X.csv").read_bytes())
        process.stdin.flush()
        assert process.stdout.readline() == b"id,label\n"
        assert process.stdout.readline().startswith(b"0,")
        process.stdin.close()
        assert process.stdout.read().count(b"\n") == 9_999


@needs_arrow
@pytest.mark.parametrize("flag", [None, "--proba"])
def test_parquet_and_json_lines_say_the_same_as_csv(world: Path, tmp_path: Path, flag: str | None) -> None:
    import pyarrow.parquet as pq

    flags = [] if flag is None else [flag]
    for name in ("p.csv", "p.jsonl", "p.parquet"):
        assert run("predict", world / "m.safetensors", world / "X.csv", "-o", tmp_path / name, *flags).status == 0
    table = pq.read_table(tmp_path / "p.parquet")
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()[1:]]
    assert table["id"].to_pylist() == [line["id"] for line in lines] == [int(row[0]) for row in rows]
    assert table["label"].to_pylist() == [line["label"] for line in lines] == [row[1] for row in rows]
    if flag:
        assert (
            table["proba_ç"].to_pylist() == [line["proba"]["ç"] for line in lines] == [float(r[4]) for r in rows]
        )


def test_ids_of_a_table_are_kept(world: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f3,id,f0,f1,f2\n" + "".join(f"1,row {k},2,3,4\n" for k in range(3)))
    found = run("predict", world / "m.safetensors", tmp_path / "t.csv").text
    assert [line.split(",")[0] for line in found.splitlines()] == ["id", "row 0", "row 1", "row 2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("f0,f1,f3\n1,2,3\n", ["no column 'f2'", "'f0', 'f1', 'f3'"]),
        ("1,2,3\n", ["must have shape (N, 4)", "got (1, 3)"]),
        ("f0,f1,f2,f3\n" + "1,2,3,4\n" * 5000 + "1,2,3,oops\n", ["line 5002", "'f3'", "'oops'"]),
        ("f0,f1,f2,f3\n1,2,3,nan\n", ["NaN", "row 0, column 3 (f3)"]),
    ],
)
def test_what_does_not_fit_the_model_leaves_the_old_file(
    world: Path, tmp_path: Path, text: str, words: list[str]
) -> None:
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "old.csv").write_text("old")
    before = contents(tmp_path)
    answer = run("predict", world / "m.safetensors", tmp_path / "t.csv", "-o", tmp_path / "old.csv")
    assert (answer.status, answer.out) == (2, b"")
    for word in words:
        assert word in answer.err
    assert answer.err.count("\n") == 1
    assert contents(tmp_path) == before


def test_names_that_differ_are_named(world: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "X.npz", X=np.zeros((2, 4)), feature_names=["f0", "f1", "f3", "f2"])
    answer = run("predict", world / "m.safetensors", tmp_path / "X.npz")
    assert answer.status == 2
    assert "Feature 2 of " in answer.err
    assert " must be 'f2' as in training, got 'f3'." in answer.err


def test_one_image_and_images_of_another_size(tmp_path: Path) -> None:
    shape = (4, 5, 3)
    path = small_model(tmp_path / "m.safetensors", 60, names=False, image_shape=shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    expected = load_model(path).predict(pixels.reshape(1, -1))[0]
    assert run("predict", path, tmp_path / "one.png").text == f"id,label\none.png,{expected}\n"
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")  # grey becomes what the model knows
    expected = load_model(path).predict(np.repeat(pixels[..., :1], 3, axis=2).reshape(1, -1))[0]
    assert run("predict", path, tmp_path / "grey.png").text == f"id,label\ngrey.png,{expected}\n"
    Image.fromarray(pixels[:3]).save(tmp_path / "low.png")
    answer = run("predict", path, tmp_path / "low.png")
    assert (answer.status, answer.out) == (2, b"")
    assert "must have images of 4x5x3 (height x width x channels) as in training, got 3x5x3" in answer.err
    sized = small_model(tmp_path / "s.safetensors", 60, names=False, image_shape=shape, image_size=(4, 5))
    assert run("predict", sized, tmp_path / "low.png").status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process as Linux has them")
def test_memory_does_not_grow_with_the_table(world: Path, tmp_path: Path) -> None:
    """A table of 400,000 rows is answered by a process that may grow by 40 MB."""
    row = ",".join(["0.123456789"] * 4) + "\n"
    program = f"""
import resource
model, target = {str(world / "m.safetensors")!r}, {str(tmp_path / "p.csv")!r}
import softmargin.model, softmargin.data, softmargin.cli
softmargin.model.load_model(model).predict([[0.0] * 4] * 9000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    softmargin.cli.main(["predict", "-q", model, "-", "-o", target])
except SystemExit as end:
    assert end.code == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    text = ("f0,f1,f2,f3\n" + row * 400_000).encode()
    found = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, check=True)
    said, grown = found.stdout.decode().splitlines()
    assert said.endswith("p.csv: 400,000 rows of id, label.")
    assert int(grown) * 1024 < 40e6
    assert (tmp_path / "p.csv").read_bytes().count(b"\n") == 400_001


@pytest.mark.parametrize("suffix", ["csv", "jsonl", *(["parquet"] if HAS_ARROW else [])])
@pytest.mark.parametrize("size", [0, 1000, 50_000])
def test_a_full_disk_keeps_the_old_file(world: Path, tmp_path: Path, suffix: str, size: int) -> None:
    target = tmp_path / f"p.{suffix}"
    target.write_text("old")
    command = [
        *COMMAND,
        "predict",
        str(world / "m.safetensors"),
        str(world / "X.csv"),
        "-o",
        str(target),
        "--proba",
    ]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    found = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert found.returncode == 2
    assert found.stderr == f"Error: {target} could not be written: {os.strerror(errno.EFBIG)}.\n"
    assert contents(tmp_path) == {str(target): b"old"}


KILLS = int(os.environ.get("SOFTMARGIN_KILLS", "3"))


def test_kill_9_during_predictions_leaves_the_old_file_and_the_next_run_no_litter(
    world: Path, tmp_path: Path
) -> None:
    """``SOFTMARGIN_KILLS=150`` makes it the full run."""
    target = tmp_path / "p.csv"
    target.write_text("old")
    command = [*COMMAND, "predict", str(world / "m.safetensors"), "-", "-o", str(target), "--proba"]
    text = (world / "X.csv").read_bytes()
    for k in range(KILLS):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            process.stdin.write(text)  # it writes while it waits for more
            process.stdin.flush()
            end = time.monotonic() + 60.0
            while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < end:
                time.sleep(0.001)
            time.sleep(0.002 * (k % 40))
            process.kill()
            process.stdin.close()
        assert target.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 2  # what the killed one was writing, and no more
    found = subprocess.run(command, input=text, capture_output=True)
    assert found.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    assert target.read_bytes().count(b"\n") == 10_001


def test_the_long_way_round(tmp_path: Path) -> None:
    """Data in a .safetensors file beside its model: neither is mistaken for the other."""
    X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    path = tmp_path / "d.safetensors"
    path.write_bytes(safetensors_bytes({"X": X, "y": y}, {"X": "F64", "y": "I64"}))
    assert "30 samples, 4 features (float64)" in run("info", path).text
    answer = run("evaluate", path, path)
    assert (answer.status, answer.out) == (2, b"")
    assert "is not a softmargin model" in answer.err
    small_model(tmp_path / "m.safetensors")
    assert "is a model file; expected a data file" in run("fit", tmp_path / "m.safetensors").err
    assert run("predict", tmp_path / "m.safetensors", path).text.count("\n") == 31
