"""What people expect of a command line: completion, files of options, hints, examples, a record of the command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_array

import softmargin as sm
from softmargin._version import __version__
from softmargin.cli import help as help_texts
from softmargin.cli import hints, progress, wording
from softmargin.cli import softmargin as command_line
from softmargin.report import fill_report
from tests.support.command_line import SOFT, run, run_refused

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a table whose label column no rule would choose, and a model of it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)).round(3), np.arange(30) % 3
    X[np.arange(30), y] += 3.0
    lines = [f"{a},{b},{c},{k},{'uvw'[k]}" for (a, b, c), k in zip(X, y, strict=True)]
    Path("t.csv").write_text("\n".join(["a,b,c,kind,label", *lines]) + "\n")
    assert run("fit", "t.csv", "--label-column", "kind", "-o", "m.safetensors", *SOFT).status == 0
    return tmp_path


# -- version, help, hints ----------------------------------------------------------------------------------


def test_both_options_print_the_version() -> None:
    assert run("-V").text == run("--version").text == f"softmargin, version {__version__}\n"


@pytest.mark.parametrize("verb", command_line.commands)
def test_each_help_ends_with_examples_that_parse_and_an_existing_guide(verb: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run(verb, "--help").text
    assert all(len(line) <= 80 for line in text.splitlines())
    examples = help_texts.EXAMPLES[verb]
    assert 1 <= len(examples) <= 3
    assert text.rstrip().splitlines()[-1].strip().startswith("Guide: docs/guides/")
    guide, _, anchor = text.rstrip().rpartition("Guide: ")[2].partition("#")
    assert not anchor or re.search(rf"^## {anchor}$", (ROOT / guide).read_text("utf-8"), re.M)
    for line in examples:
        assert f"  {line}\n" in text
        program, name, *words = shlex.split(re.sub(r'^eval "\$\((.*)\)"$', r"\1", line))
        assert (program, name) == ("softmargin", verb)
        words = words[: next((k for k, word in enumerate(words) if word in ("|", "<", ">")), len(words))]
        command_line.commands[verb].make_context(verb, words)


@pytest.mark.parametrize(
    ("word", "meant"), [(word, verb) for verb, words in hints.VERBS.items() for word in words]
)
def test_a_verb_of_another_tool_names_ours(word: str, meant: str) -> None:
    assert word not in command_line.commands
    assert meant in command_line.commands
    for typed in (word, word.upper()):
        answer = run(typed, "digits")
        assert (answer.status, answer.out) == (2, b"")
        assert answer.err == (
            f"Error: No such command '{typed}'. Did you mean '{meant}'? See 'softmargin --help'.\n"
        )


def test_a_misspelt_verb_names_the_nearest() -> None:
    assert "No such command 'pedict'. Did you mean 'predict'?" in run("pedict").err
    assert run("qqq").err == "Error: No such command 'qqq'. See 'softmargin --help'.\n"


@pytest.mark.parametrize("option", hints.OPTIONS)
def test_an_option_of_another_tool_says_what_takes_its_place(option: str, folder: Path) -> None:
    without = [verb for verb in command_line.commands.values() if not any(option in p.opts for p in verb.params)]
    assert without, "no command lacks it"
    sentence = run_refused(folder, str(without[0].name), option, "1")
    assert (
        sentence
        == f"Error: No such option: {option}; {hints.OPTIONS[option]}. See 'softmargin {without[0].name} --help'."
    )
    for named in re.findall(r"--[a-z][\w-]*", hints.OPTIONS[option]):
        assert any(named in parameter.opts for verb in command_line.commands.values() for parameter in verb.params)


def test_a_misspelt_option_names_the_nearest(folder: Path) -> None:
    run_refused(
        folder, "fit", "t.csv", "--foldss", "3", words=("No such option: --foldss. Did you mean --folds?",)
    )
    run_refused(folder, "fit", "t.csv", "--weight_decay", "3", words=("--weight_decay; λ is set by --reg",))


# -- completion --------------------------------------------------------------------------------------------


def completed(*words: str) -> list[str]:
    """Return what bash would be offered for the last word."""
    program = "import sys\nfrom softmargin.cli import main\ntry: main()\nfinally: "
    program += "print([name for name in ('numpy', 'numba', 'rich') if name in sys.modules], file=sys.stderr)"
    environment = {"COMP_WORDS": "\n".join(("softmargin", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment | {"_SOFTMARGIN_COMPLETE": "bash_complete"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]", "completion must be quick"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ev",), ["plain,evaluate"]),
        (("fit", "--loss", ""), ["plain,cross_entropy", "plain,squared_hinge", "plain,hinge"]),
        (("fit", "--scaling", "s"), ["plain,standard"]),
        (("fit", "--chec"), ["plain,--checkpoint"]),
        (("fit", "pho"), ["file,pho"]),
        (("fit", "photos", "--features", "dino"), ["file,dino"]),
        (("predict", "m.safetensors", "n"), ["file,n"]),
        (("report", "m.safetensors", "d", "-o", "r"), ["file,r"]),
        (("fit", "d", "--config", "r"), ["file,r"]),
        (("completion", "f"), ["plain,fish"]),
    ],
)
def test_words_are_completed(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered


def test_each_option_that_shows_a_file_completes_files() -> None:
    for verb in command_line.commands.values():
        for parameter in verb.params:
            if re.search(r"FILE|DATA|MODEL|HTML|DIR", parameter.metavar or ""):
                assert parameter.type is help_texts.FILE_NAME, (verb.name, parameter.name)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_valid_and_calls_the_program(shell: str, tmp_path: Path) -> None:
    answer = run("completion", shell)
    assert (answer.status, answer.err) == (0, "")
    assert f"_SOFTMARGIN_COMPLETE={shell}_complete" in answer.text
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_bytes(answer.out)
        subprocess.run([shell, "-n", str(script)], check=True)
    assert run("completion", "tcsh").status == 2


# -- a file of options, and the command of a model ---------------------------------------------------------


def test_a_file_of_options_gives_what_the_command_line_leaves_open(folder: Path) -> None:
    Path("run.toml").write_text(
        '[fit]\nlabel_column = "kind"\nloss = ["hinge"]\nreg = 0.5\nnormalize-rows = true\ncolumns = ["a", "c"]\n'
        'output = "from-file.safetensors"\nquick = false\nquiet = true\n[compare]\nseed = 3\n'
    )
    assert run("fit", "t.csv", "--config", "run.toml", "--reg", "0.25", "--tol", "1e-3").status == 0
    model = sm.load_model("from-file.safetensors")
    assert (model.reg, model.loss, model.tol) == (0.25, sm.Hinge(), 1e-3)
    assert model.preprocessing.rows == "l2"
    assert model.feature_names == ("a", "c")
    assert model.label_column == "kind"
    # The command of the model repeats it without the file.
    command = run("info", "from-file.safetensors", "--command")
    assert command.status == 0
    words = shlex.split(command.text)
    assert words[0] == "softmargin"
    assert "--config" not in words
    assert run(*[word.replace("from-file", "again") for word in words[1:]]).status == 0
    again = sm.load_model("again.safetensors")
    np.testing.assert_array_equal(again.W, model.W)
    assert again.command == model.command.replace("from-file", "again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[fit]\nscalling = 'none'", "an unknown option scalling in [fit]; the nearest name is scaling."),
        ("[fit]\nzzz = 1", "an unknown option zzz in [fit]; the names are "),
        ("[compare]\nseeed = 1", "an unknown option seeed in [compare]; the nearest name is seed."),
        ("[fti]\nreg = 1", "an unknown table [fti]; the nearest name is fit."),
        ("reg = 1", "must have reg in the table of a command, such as [fit]."),
        ("[fit]\ndata = 't.csv'", "must hold only options; give data on the command line."),
        ("[fit]\nconfig = 'x'", "an unknown option config in [fit]"),
        ("[fit]\nquick = 1", "quick in [fit] of c.toml must be true or false, got 1."),
        ("[fit]\nreg = true", "reg in [fit] of c.toml must be a string or a number, got true."),
        ("[fit]\nreg = 1979-05-27", "reg in [fit] of c.toml must be a string, a number or a list of these"),
        ("[fit]\nloss = [['hinge']]", "loss in [fit] of c.toml must be a string, a number or a list of these"),
        ("[fit]\nmax-passes = 3\nmax_passes = 4", "must be given once, got it with - and with _."),
        ("[fit]\nreg = -1", "'--reg': must be a finite number > 0, got -1."),
        ("[fit]\nloss = 'svm'", "'--loss': 'svm' is not one of"),
        ("[fit]\nfolds = 2.5", "'--folds'"),
        ("[fit", "must be a TOML file"),
    ],
)
def test_a_wrong_file_of_options_is_one_sentence(content: str, words: str, folder: Path) -> None:
    Path("c.toml").write_text(content)
    run_refused(folder, "fit", "t.csv", "--config", "c.toml", words=(words,))


def test_a_missing_file_of_options_is_one_sentence(folder: Path) -> None:
    words = ("--config no.toml could not be read: No such file",)
    run_refused(folder, "predict", "m.safetensors", "t.csv", "--config", "no.toml", words=words)
    Path("b.toml").write_bytes(b"\xff")
    run_refused(folder, "info", "t.csv", "--config", "b.toml", words=("--config b.toml must be a TOML file",))


def test_the_command_of_a_model_is_what_was_typed(folder: Path) -> None:
    assert sm.load_model("m.safetensors").command == shlex.join(
        ["softmargin", "fit", "t.csv", "-o", "m.safetensors", *SOFT, "--label-column", "kind"]
    ).replace("-o m.safetensors", "--output m.safetensors")
    os.rename("t.csv", "it's a table.csv")
    given = (
        "--loss",
        "hinge",
        "--loss",
        "squared_hinge",
        "--label-column=kind",
        "--quick",
        "-qo",
        "b c.safetensors",
    )
    assert run("fit", "it's a table.csv", *given).status == 0
    words = shlex.split(run("info", "b c.safetensors", "--command").text)
    assert words[:3] == ["softmargin", "fit", "it's a table.csv"]
    assert words.count("--loss") == 2
    assert {"--quick", "--quiet", "b c.safetensors"} <= set(words)
    assert str(folder) not in " ".join(words)
    assert run(*words[1:]).status == 0


def test_a_model_from_python_has_no_command(folder: Path) -> None:
    data = sm.load_dataset("t.csv", label_column="kind")
    sm.LinearClassifier(reg=0.1).fit(data.X, data.y).to_model(data).save("p.safetensors")
    run_refused(folder, "info", "p.safetensors", "--command", words=("because it was made in Python",))
    run_refused(folder, "info", "t.csv", "--command", words=("--command needs MODEL",))
    run_refused(folder, "info", "--command", words=("Give either MODEL or DATA",))


# -- the label column of a model ---------------------------------------------------------------------------


def test_a_model_knows_its_label_column(folder: Path) -> None:
    assert sm.load_model("m.safetensors").label_column == "kind"
    assert run("evaluate", "m.safetensors", "t.csv", "--json").json["accuracy"] > 0.9
    report = run("report", "m.safetensors", "t.csv", "--json").json
    assert report["headline"]["on_training"] is True
    assert "--label-column kind" in report["origin"]["commands"][0]
    other = run_refused(folder, "evaluate", "m.safetensors", "t.csv", "--label-column", "label")
    assert "labels must be integers like the classes of the model, got 'u'" in other
    Path("n.csv").write_text(Path("t.csv").read_text().replace("kind", "sort"))
    words = ("n.csv has no column 'kind' for the label",)
    run_refused(folder, "evaluate", "m.safetensors", "n.csv", words=words)
    assert run("evaluate", "m.safetensors", "n.csv", "--label-column", "sort", "--json").json["accuracy"] > 0.9
    assert run("predict", "m.safetensors", "n.csv").status == 0


@pytest.mark.parametrize("column", ["0", "2", "-1"])
def test_predict_leaves_the_label_of_a_table_without_names_out(column: str, folder: Path) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 3)).round(3), np.arange(20) % 2
    place = int(column) % 4
    X[:, 0] += 4 * y
    for name, table in (("with.csv", np.insert(X, place, y, axis=1)), ("without.csv", X)):
        Path(name).write_text("\n".join(",".join(map(str, row)) for row in table.tolist()) + "\n")
    assert run("fit", "with.csv", "--label-column", column, "-o", "n.safetensors", *SOFT).status == 0
    assert sm.load_model("n.safetensors").label_column == str(place)
    first, second = (run("predict", "n.safetensors", name) for name in ("with.csv", "without.csv"))
    assert first.status == second.status == 0, first.err + second.err
    assert first.out == second.out
    assert run("evaluate", "n.safetensors", "with.csv", "--json").json["accuracy"] > 0.9


# -- predict -----------------------------------------------------------------------------------------------


def test_predict_says_what_it_wrote(folder: Path) -> None:
    for name in ("p.csv", "p.JSONL", "p.ndjson"):
        answer = run("predict", "m.safetensors", "t.csv", "--margin", "-o", name)
        assert (answer.status, answer.text) == (0, f"{name}: 30 rows of id, label, margin.\n"), answer.err
        assert len(Path(name).read_text().splitlines()) == 30 + (name == "p.csv")
    answer = run("predict", "m.safetensors", "t.csv", "-o", "q.csv", "--json")
    assert (answer.json["output"], answer.json["n_samples"]) == ("q.csv", 30)
    assert answer.json["columns"] == ["id", "label"]
    answer = run("predict", "m.safetensors", "t.csv", "-qo", os.devnull)
    assert (answer.status, answer.out) == (0, b"")
    assert f"{os.devnull}: 30 rows of id, label.\n" in answer.err


# -- environment -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["many", "0", "-2", "1.5", "²"])
def test_an_invalid_number_of_threads_is_one_sentence(value: str, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SOFTMARGIN_THREADS", value)
    words = ("SOFTMARGIN_THREADS must be a whole number ≥ 1, got",)
    run_refused(folder, "fit", "t.csv", "-o", "n.safetensors", words=words)
    with pytest.raises(sm.ParameterError, match="SOFTMARGIN_THREADS must be"):
        sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 0], reg=1.0, engine="cpu")


def test_the_variable_sets_the_default_number_of_threads(folder: Path, monkeypatch: Any) -> None:
    from softmargin.threads import default_threads, usable_cores

    monkeypatch.setenv("SOFTMARGIN_THREADS", " 3 ")
    assert default_threads() == 3
    assert run("info", "--env", "--json").json["threads"] == 3
    monkeypatch.setenv("SOFTMARGIN_THREADS", "")
    assert default_threads() == usable_cores()


def test_the_variable_holds_for_curves_and_for_the_check_of_images(tmp_path: Path, monkeypatch: Any) -> None:
    from PIL import Image

    for k, kind in enumerate(("cat", "dog")):
        (tmp_path / "p" / kind).mkdir(parents=True)
        Image.new("L", (4, 4), 99 * k).save(tmp_path / "p" / kind / "a.png")
    monkeypatch.setenv("SOFTMARGIN_THREADS", "0")  # read by all that take the default
    with pytest.raises(sm.ParameterError, match="SOFTMARGIN_THREADS must be"):
        sm.load_dataset(tmp_path / "p", skip_damaged=True, image_size=(4, 4))
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    with pytest.raises(sm.ParameterError, match="SOFTMARGIN_THREADS must be"):
        sm.learning_curve(X, y, reg=0.1, shots=[2], repeats=1, engine="reference")


def test_a_cache_that_is_a_file_is_one_sentence(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", "t.csv")
    words = ("SOFTMARGIN_CACHE_DIR must be a folder, got the file t.csv.",)
    run_refused(folder, "info", "--cache", words=words)
    run_refused(folder, "embed", "digits", "--features", "hog", "-o", "f.safetensors", words=words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("completion",),
            "Missing argument 'SHELL'. Choose from: bash, zsh, fish. See 'softmargin completion --help'.",
        ),
        (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'. See"),
        (("fit", "t.csv", "--loss", "l1"), "'l1' is not one of 'cross_entropy', 'squared_hinge', 'hinge'. See"),
        (("predict",), "Missing argument 'MODEL'. See"),
        (("fit", "t.csv", "--reg", "1\n2"), "must be a finite number > 0, got 1 2. See"),
    ],
)
def test_what_click_says_is_one_line(arguments: tuple[str, ...], words: str, folder: Path) -> None:
    sentence = run_refused(folder, *arguments, words=(words,))
    assert "\\" not in sentence


def test_a_table_on_a_terminal_breaks_after_separators(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(wording, "is_terminal", lambda stream: True)
    path = "/home/someone/" + "/".join(["environments", "python", "site-packages", "softmargin"] * 3)
    settings = "image_size [32, 32], patches 1600, " + ", ".join(f"setting{k} {k}" for k in range(12))
    for width in (48, 60, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        for text in (f"{path} (4.5 MB)", settings, "C:\\" + path.replace("/", "\\")):
            wording.print_table(["environment", ""], [["cache of kernels", text], ["python", "3.12"]], left=2)
            lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()[1:-1]
            assert all(len(line) <= width for line in lines)
            pieces = [line[18:].strip() for line in lines]
            assert len(pieces) > 1
            words = [set(re.split(r"[/\\, ]", one)) for one in (text, " ".join(pieces))]
            assert words[0] | {""} == words[1] | {""}, pieces
            assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
            wording.print_table(["name", "settings", "size"], [["hog", text, "1 MB"]], left=2)
            lines = capsys.readouterr().out.splitlines()[1:]
            assert sum("MB" in line and "1 MB" in line for line in lines) == 1
    wording.print_table(["class", "samples"], [["x" * 100, "1"]])
    assert capsys.readouterr().out.count("x") == 100


def test_no_setting_of_the_cache_is_cut(monkeypatch: Any) -> None:
    many = {f"setting{k}": [k, k] for k in range(20)}
    entry = SimpleNamespace(record={"name": "hog", "settings": many | {"none": None}}, n_rows=3, n_bytes=4)
    monkeypatch.setattr("softmargin.features.cache.cached_extractors", lambda: [entry])
    text = run("info", "--cache").text
    assert ", ".join(f"setting{k} [{k}, {k}]" for k in range(20)) in text
    assert text.splitlines()[2].split() == ["extractor", "settings", "samples", "size"]


def test_images_of_different_sizes_are_described_at_one_size(folder: Path) -> None:
    for k in range(6):
        Path("photos", "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5 + k, 7)).save(Path("photos", "ab"[k % 2], f"{k}.png"))
    run_refused(folder, "info", "photos", words=("Images must have the same size", "--image-size HxW"))
    found = run("info", "photos", "--image-size", "4x6", "--json").json["data"]
    assert (found["image_shape"], found["classes"]) == ([4, 6, 3], {"a": 3, "b": 3})
    assert "images of 4×6×3" in run("info", "photos", "--image-size", "4x6").text
    run_refused(folder, "info", "t.csv", "--image-size", "4x6", words=("--image-size is only for",))
    run_refused(folder, "info", "photos", "--image-size", "4", words=("--image-size must be HEIGHTxWIDTH",))


def test_the_environment_is_what_a_bug_report_needs(monkeypatch: Any) -> None:
    found, text = run("info", "--env", "--json").json, run("info", "--env").text
    assert found["packages"]["numpy"] == np.__version__
    assert all(found["packages"].values())
    assert any(library["internal_api"] in ("openblas", "mkl", "blis", "flexiblas") for library in found["blas"])
    for word in (__version__, np.__version__, found["platform"], found["caches"]["features"]["folder"]):
        assert word in text
    assert {name for name, one in found["optional_packages"].items() if one is None} == {
        line.split()[0] for line in text.splitlines() if line.endswith(" not installed")
    }


def test_only_files_and_resources_come_from_the_environment() -> None:
    """A variable must not change results."""
    named = set()
    for path in (ROOT / "src").rglob("*.py"):
        named |= set(re.findall(r"SOFTMARGIN_[A-Z_]+[A-Z]", path.read_text("utf-8")))
    assert named == {"SOFTMARGIN_THREADS", "SOFTMARGIN_CACHE_DIR", "SOFTMARGIN_COMPLETE"}


def test_options_that_click_has_no_value_for_are_not_in_the_command(folder: Path) -> None:
    assert isinstance(command_line.commands["fit"], click.Command)
    words = shlex.split(sm.load_model("m.safetensors").command)
    assert not {"--quick", "--no-cache", "--json", "--quiet", "--threads"} & set(words)


# -- progress and notebooks --------------------------------------------------------------------------------


def test_a_long_step_prints_a_line_now_and_then(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.1)
    with progress.reporter(quiet=False) as report:
        report("a step that reports nothing", 3, 7)
        found = ""
        while found.count("\n") < 2:
            found += capsys.readouterr().err
    lines = found.splitlines()
    assert all(re.fullmatch(r"\d+ s: a step that reports nothing: 3 of 7", line) for line in lines), lines
    assert "softmargin progress" not in [thread.name for thread in threading.enumerate()]


def test_each_long_command_prints_lines(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    np.savez("pictures.npz", X=np.arange(12 * 256, dtype=np.uint8).reshape(12, 16, 16), y=np.arange(12) % 2)
    for words in (
        ("compare", "t.csv", "--label-column", "kind", "--loss", "hinge", "--folds", "2"),
        ("embed", "pictures.npz", "--features", "hog", "-o", "f.safetensors"),
        ("evaluate", "m.safetensors", "t.csv"),
        ("predict", "m.safetensors", "t.csv"),
        ("report", "m.safetensors", "t.csv", "--refit", "-o", "r.html"),
    ):
        answer = run(*words)
        assert answer.status == 0, answer.err
        lines = [line for line in answer.err.splitlines() if not line.startswith("Note: ")]
        assert lines, words
        assert all(re.fullmatch(r"\d+ s: \S.*", line) for line in lines), lines
        assert run(*words, "--quiet").err.count(" s: ") == 0


HOSTILE = ("<script>alert(1)</script>", "a\x1b[31m\n&b", "\"'><img src=x onerror=y>")


def test_tables_in_notebooks_escape_everything() -> None:
    rng = np.random.default_rng(0)
    y = np.array(HOSTILE)[np.arange(60) % 3]
    X = rng.normal(size=(60, 3))
    X[np.arange(60), np.arange(60) % 3] += 2.0
    data = sm.Dataset(X, y, HOSTILE[0], notes=HOSTILE, test=sm.Dataset(X, y, HOSTILE[1]))
    found = sm.compare(X, y, [sm.Hinge(), sm.CrossEntropy()], cv=2)
    classifier = sm.LinearClassifier(sm.Hinge(), reg=0.1).fit(X, y)
    model = classifier.to_model(data)
    words = [
        (data, ("60 samples", "3 classes", "float64")),
        (classifier.fit_, ("lower bound", "converged")),
        (found, ("cross_entropy", "held-out accuracy", "Selected: ")),
        (model, ("Hinge(delta=1.0)", "3 classes", "certified")),
        (fill_report(model, data), ("Accuracy", "training samples of the model")),
    ]
    for thing, expected in words:
        page = thing._repr_html_()
        for word in expected:
            assert word in page, (type(thing), word)
        tags = re.findall(r"<(/?\w+)((?: \w+=\"[^\"<>]*\")*)>", page)
        assert re.sub(r"<(/?\w+)((?: \w+=\"[^\"<>]*\")*)>", "", page).count("<") == 0
        assert {name.strip("/") for name, _ in tags} <= {
            "table", "caption", "strong", "thead", "tbody", "tr", "th", "td", "p",
        }  # fmt: skip
        assert not re.search(r"\bcolor|background|javascript", page)
        assert "\x1b" not in page
        assert [name for name, _ in tags].count("td") == [name for name, _ in tags].count("/td") > 0


def test_many_classes_and_long_texts_stay_small() -> None:
    data = sm.Dataset(np.ones((500, 2)), np.arange(500), "n" * 5000)
    assert "500 classes" in data._repr_html_()
    assert len(data._repr_html_()) < 2000
    assert "sparse float64" in sm.Dataset(csr_array(np.eye(3)), None, "s")._repr_html_()


# -- files in messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["report", "predict"])
@pytest.mark.parametrize("kind", ["csv", "npz", "test set"])
def test_a_row_that_is_not_finite_is_named_with_its_file(verb: str, kind: str, folder: Path) -> None:
    X, y = np.ones((30, 3)), np.array(["2", "0", "1"] * 9 + ["9"] * 3)
    X[29, 1] = np.nan
    name = "holed.csv" if kind == "csv" else "holed.npz"
    if kind == "csv":
        rows = [f"{a},{b},{c},{label}" for (a, b, c), label in zip(X, y, strict=True)]
        Path(name).write_text("\n".join(["a,b,c,kind", *rows]) + "\n")
    elif kind == "npz":
        np.savez(name, X=X, y=y)
    else:
        np.savez(name, X_train=np.ones((6, 3)), y_train=y[:6], X_test=X, y_test=y)
    words = (f"Error: {name}: Input X contains NaN in row 29, column 1",)
    run_refused(folder, verb, "m.safetensors", name, words=words)
