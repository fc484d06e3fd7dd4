"""``softmargin check``: runs a file of the user, tells so, and reports the mistakes of a function."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import run, run_refused
from tests.textbook.students import VECTORIZED

HALF = VECTORIZED.replace("loss_function", "half").replace("loss += reg", "loss += 0.5 * reg")
NOTE = "Note: this runs the file losses.py.\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a file of two functions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses.py").write_text(f"import numpy as np\n{VECTORIZED}\n{HALF}\nA_NUMBER = 3\n")
    return tmp_path


def test_a_correct_function_ends_with_status_0(folder: Path) -> None:
    answer = run("check", "losses.py:loss_function", "--loss", "hinge")
    assert (answer.status, answer.err) == (0, NOTE)
    assert answer.text.startswith("loss_function as the hinge loss (multiclass SVM): no mistake found.\n")


def test_a_mistake_ends_with_status_1(folder: Path) -> None:
    answer = run("check", "losses.py:half", "--loss", "hinge")
    assert (answer.status, answer.err) == (1, NOTE)
    assert "1. The function uses ½λ. " in answer.text
    record = run("check", "losses.py:half", "--json")
    assert (record.status, record.err) == (1, NOTE)
    assert (record.json["passed"], record.json["loss"]) == (False, "hinge")
    assert [mistake["name"] for mistake in record.json["mistakes"]] == ["uses ½λ"]


def test_the_margin_is_an_option(folder: Path) -> None:
    Path("ten.py").write_text(Path("losses.py").read_text().replace("+ 1)", "+ 10)"))
    assert run("check", "ten.py:loss_function", "--loss", "hinge", "--delta", "10").status == 0
    assert run("check", "ten.py:loss_function", "--loss", "hinge").status == 1


def test_what_the_file_prints_is_not_on_stdout(folder: Path) -> None:
    noisy = Path("losses.py").read_text().replace("    S = X @ W", "    print('called')\n    S = X @ W")
    Path("noisy.py").write_text(f"print('loaded')\n{noisy}")
    answer = run("check", "noisy.py:loss_function", "--json")
    assert answer.json["passed"]
    assert "loaded\ncalled\n" in answer.err


def test_a_file_that_interrupts_itself_leaves_no_traceback(folder: Path) -> None:
    Path("stops.py").write_text("raise KeyboardInterrupt\n")
    answer = run("check", "stops.py:f")
    assert answer.status == 130
    assert answer.err.splitlines()[-1] == "Stopped. No file was left half-written."


def test_files_beside_it_can_be_imported(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/first.py").write_text("from second_of_two import half\n")
    Path("losses.py").rename("sub/second_of_two.py")
    assert run("check", "sub/first.py:half", "--loss", "hinge").status == 1


def test_the_help_warns() -> None:
    assert "runs FILE.py with all your rights" in " ".join(run("check", "--help").text.split())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("losses.py", "FILE.py:FUNCTION must be a file and the name of a function, got 'losses.py'."),
        ("losses.py:", "must be a file and the name of a function"),
        ("no.py:f", "FILE.py must be an existing file, got 'no.py'."),
    ],
)
def test_an_invalid_place_is_one_sentence(source: str, words: str, folder: Path) -> None:
    run_refused(folder, "check", source, words=(words,))


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("losses", "halv", "must be a function of losses.py, got 'halv'; the nearest name is half."),
        ("losses", "x", "got 'x'; it has loss_function, half."),
        ("losses", "A_NUMBER", "got 'A_NUMBER'; it has loss_function, half."),
        ("", "f", "got 'f'; it has no function."),
        ("import no_such_package", "f", "must run without an error, got ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "f", "must run without an error, got SystemExit: 3."),
        ("def f(:", "f", "must run without an error, got SyntaxError"),
    ],
)
def test_a_file_without_the_function_is_one_sentence(text: str, name: str, words: str, folder: Path) -> None:
    if text != "losses":
        Path("losses.py").write_text(text)
    answer = run("check", f"losses.py:{name}")
    assert (answer.status, answer.out) == (2, b"")
    note, sentence = answer.err.splitlines()
    assert f"{note}\n" == NOTE
    assert sentence.startswith("Error: ")
    assert words in sentence
