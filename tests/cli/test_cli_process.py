"""The command line in a process of its own: terminals, pipes, signals to a group, starts that compile nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

PROGRAM = [sys.executable, "-m", "softmargin"]

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX terminals, pipes and signals")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_help_needs_no_numerics_and_survives_a_narrow_encoding() -> None:
    program = "import sys; from softmargin.cli import main\ntry: main(['fit', '--help'])\nfinally: "
    program += (
        "print([name for name in ('numpy', 'numba', 'sklearn', 'rich') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        check=True,
    )
    assert b"--reg \\u03bb" in done.stdout
    assert done.stderr.strip() == b"[]"


def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    """All three losses are at work in a `fit` that chooses among them."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_DEBUG_CACHE": "1"}
    outputs = [
        run("fit", "digits", "-o", tmp_path / "m.safetensors", "--tol", "0.05", **environment) for _ in range(2)
    ]
    assert [done.returncode for done in outputs] == [0, 0]
    n_saved, n_loaded = ([done.stdout.count(f"data {what} ") for done in outputs] for what in ("saved", "loaded"))
    assert n_saved[0] >= 3
    assert n_saved[1] == 0
    assert n_loaded[1] >= 3  # what only other kernels call is compiled into these, and need not be loaded


@posix
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "many.npz", X=rng.normal(size=(40_000, 2)), y=np.arange(40_000) % 2)
    model = tmp_path / "m.safetensors"
    assert run("fit", tmp_path / "many.npz", "-o", model, "--loss", "hinge", "--reg", "0.1").returncode == 0
    predict = subprocess.Popen(
        [*PROGRAM, "predict", str(model), str(tmp_path / "many.npz")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert predict.stdout is not None
    assert predict.stderr is not None
    assert predict.stdout.readline() == b"id,label\n"
    predict.stdout.close()
    assert predict.stderr.read() == b""
    predict.stderr.close()
    assert predict.wait() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*PROGRAM, "info", "digits"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr == b"Error: stdout could not be written: No space left on device.\n"


class Terminal:
    """A process whose stderr is a terminal of 80 columns, and whose stdout is a pipe or that terminal, too."""

    def __init__(
        self, *arguments: str | Path, all_there: bool = False, program: Sequence[str] | None = None
    ) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
        self.process = subprocess.Popen(
            [*(program or PROGRAM), *map(str, arguments)],
            stdin=theirs,
            stdout=theirs if all_there else subprocess.PIPE,
            stderr=theirs,
            env=environment | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""

    def wait_for(self, words: bytes) -> None:
        """Read until the words appear."""
        while words not in self.seen:
            self.seen += os.read(self._ours, 4096)

    def finish(self) -> tuple[int, bytes]:
        """Return the exit status, and stdout if it is a pipe."""
        looking = threading.Thread(target=self._look)  # meanwhile: a full terminal would hold it up
        looking.start()
        out = b""
        if self.process.stdout is not None:
            with self.process.stdout as stdout:
                out = stdout.read()
        looking.join()
        os.close(self._ours)
        return self.process.wait(), out

    def _look(self) -> None:
        try:
            while more := os.read(self._ours, 4096):
                self.seen += more
        except OSError:  # how Linux says that the other end is closed
            pass


@posix
def test_progress_is_on_the_terminal_and_all_data_on_stdout(tmp_path: Path) -> None:
    terminal = Terminal("fit", "digits", "-o", tmp_path / "m.safetensors", "--loss", "hinge", "--json")
    status, out = terminal.finish()
    assert status == 0
    assert json.loads(out)["metadata"]["loss"]["name"] == "hinge"
    assert b"hinge, reg " in terminal.seen
    assert b": pass " in terminal.seen
    terminal = Terminal("predict", tmp_path / "m.safetensors", "digits")
    status, out = terminal.finish()
    assert status == 0
    assert out.count(b"\n") == 356
    assert b"Note: using the test set of digits (355 samples)." in terminal.seen
    terminal = Terminal("predict", tmp_path / "m.safetensors", "digits", all_there=True)
    assert terminal.finish() == (0, b"")
    note, _, rows = terminal.seen.partition(b"id,label\r\n")
    assert b"\x1b" not in terminal.seen  # no line of progress among the rows
    assert note == b"Note: using the test set of digits (355 samples).\r\n"
    assert rows == out.partition(b"\n")[2].replace(b"\n", b"\r\n")


@posix
@pytest.mark.parametrize("options", [(), ("--json",), ("--margin",)])
def test_the_line_of_progress_is_gone_before_rows_reach_a_terminal(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    """`predict … | cat` in a terminal: the pipe ends on the terminal that shows the progress."""
    run("fit", "digits", "-o", tmp_path / "m.safetensors", "--loss", "hinge", "--reg", "0.1")
    plain = run("predict", tmp_path / "m.safetensors", "digits", *options).stdout
    command = shlex.join([*PROGRAM, "predict", str(tmp_path / "m.safetensors"), "digits", *options])
    terminal = Terminal(program=("sh", "-c", f"{command} | cat"), all_there=True)
    assert terminal.finish() == (0, b"")
    before, rows, after = terminal.seen.partition(plain.encode().replace(b"\n", b"\r\n"))
    assert rows, terminal.seen
    assert b"starting" in before
    assert before.endswith((b"\x1b[2K", b"\x1b[?25h", b"\r")), before
    assert after == b""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_ends_it_and_its_helpers(number: signal.Signals, tmp_path: Path) -> None:
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
    first = tmp_path / "images" / "a" / "0.bmp"
    Image.new("RGB", (1200, 1000)).save(first)  # 16 MiB in all are enough to start helpers
    for i in range(1, 400):
        os.link(first, tmp_path / "images" / "ab"[i % 2] / f"{i}.bmp")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m.safetensors").write_bytes(b"the old model")
    terminal = Terminal("fit", tmp_path / "images", "-o", folder / "m.safetensors", "--image-size", "90x80")
    terminal.wait_for(b"decoding images: ")
    os.killpg(terminal.process.pid, number)
    status, out = terminal.finish()
    assert (status, out) == (128 + number, b"")
    assert terminal.seen.endswith(b"Stopped. No file was left half-written.\r\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"m.safetensors": b"the old model"}
    for _ in range(100):  # init takes a moment to collect what has ended
        try:
            os.killpg(terminal.process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a helper is left behind")
