"""Kills, full disks and Ctrl-C: the old file stays whole, the best point is kept."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin import textbook
from softmargin.errors import ConvergenceWarning, ModelFileError
from tests.support.cases import blobs, model_at, near, point, saved
from tests.support.command_line import Answer, contents, interrupt, module, run, stopped_at
from tests.support.files import posix, write
from tests.support.models import model
from tests.support.refusals import refused

KILLED = """
import os, signal, sys
from softmargin import cli
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
cli.main(sys.argv[1:])
"""


@posix
def test_a_killed_or_full_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(60)
    made, data = tmp_path / "made.safetensors", saved(tmp_path, X, y)
    model_at(*point(), loss=sm.CrossEntropy()).save(made)
    folder = tmp_path / "out"
    folder.mkdir()
    options = ("--loss", "cross_entropy", "--reg", "0.1")
    commands: dict[str, tuple[str | Path, ...]] = {
        "m.safetensors": ("fit", data, *options, "-o"),
        "page.html": ("fit", data, *options, "-o", tmp_path / "other.safetensors", "--report"),
        "p.csv": ("predict", made, data, "-o"),
        "p.jsonl": ("predict", made, data, "-o"),
        "e.npz": ("export", made, "-o"),
        "e.safetensors": ("export", made, "-o"),
        "r.html": ("report", made, data, "-o"),
        "c.json": ("compare", data, "--loss", "hinge", "--loss", "squared_hinge", "--folds", "2", "-o"),
    }
    sync, full = os.fsync, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_space(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder)):
            raise full
        sync(descriptor)

    old = {name: write(folder / name, f"old {name}").read_bytes() for name in commands}
    monkeypatch.setattr(os, "fsync", no_space)
    for name, command in commands.items():
        answer = run(*command, folder / name)
        assert answer.status == 2, (name, answer)
        sentence = answer.err.splitlines()[-1]
        assert sentence.startswith("Error: "), (name, answer)
        assert name in sentence, (name, sentence)
        assert "No space left on device" in sentence, (name, sentence)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == old, name
    refused(
        lambda: model_at(*point()).save(folder / "m.safetensors"),
        str(folder / "m.safetensors"),
        "No space left",
        error=ModelFileError,
    )
    monkeypatch.undo()
    for name in ("m.safetensors", "p.csv"):
        arguments = [*map(str, commands[name]), str(folder / name)]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done
        assert (folder / name).read_bytes() == old[name]
        assert run(*arguments).status == 0  # the next one leaves no litter of the killed one
        assert sorted(path.name for path in folder.iterdir()) == sorted(commands)
        assert (folder / name).read_bytes() != old[name]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
def test_ctrl_c_in_a_long_fit_keeps_the_best_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(20_000, 60)
    objective = sm.Objective(sm.SquaredHinge(), X, y, 1e-6, engine="cpu")
    objective.moments, objective.value(*point(60))  # nothing is left to prepare or to compile
    passes: list[float] = []

    def stop(*_: Any) -> None:
        passes.append(objective.n_passes)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    endless = sm.SGD(1e-3, epochs=1000)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.warns(ConvergenceWarning):
            fit = sm.minimize(objective, solver=endless)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert fit.interrupted
    assert objective.n_passes - passes[0] <= 4  # no more than a certificate needs
    true = textbook.squared_hinge_loss_vectorized(fit.W, X, y, 1e-6, b=fit.b)
    assert fit.value == near(true, rel=1e-11)
    assert fit.gap >= (fit.value - fit.lower_bound) / fit.value
    best = model(D=60, classes=range(3), W=fit.W, b=fit.b, loss=sm.SquaredHinge(), value=fit.value, gap=fit.gap,
                 lower_bound=fit.lower_bound, tol=fit.tol, converged=fit.converged)  # fmt: skip
    best.save(tmp_path / "best.safetensors")
    assert np.array_equal(sm.load_model(tmp_path / "best.safetensors").W, fit.W)

    X, y = blobs()
    armed = False

    def press(step: Any) -> None:
        nonlocal armed
        if armed:
            armed = False
            signal.raise_signal(signal.SIGINT)

    for estimator in (
        sm.LinearClassifier("hinge", reg=0.1, callback=press),
        sm.LinearClassifierCV(["hinge"], regs=[0.1], cv=2, callback=press),
    ):
        armed = False
        state = dict(vars(estimator.fit(X, y)))
        armed = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # which says the same
            with pytest.raises(KeyboardInterrupt):
                estimator.fit(-X, y)
        assert not armed
        assert vars(estimator).keys() == state.keys()
        assert all(vars(estimator)[name] is state[name] for name in state)

    target = write(tmp_path / "m.safetensors", b"the old model")
    monkeypatch.setattr(module("fit"), "reporter", stopped_at("fit", "hinge, reg", interrupt))
    data = saved(tmp_path, X, y)
    before_it = contents(tmp_path)
    answer = run("fit", data, "-o", target, "--loss", "hinge", "--reg", "0.1")
    assert answer == Answer(130, b"", "Stopped. No file was left half-written.\n")
    assert contents(tmp_path) == before_it
