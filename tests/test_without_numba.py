"""What works without Numba: it is imported only where compiled code is needed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.support.models import model

BLOCKED = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None  # importing them raises ModuleNotFoundError
import numpy as np
import softmargin as sm

X = np.load("X.npy")
y = np.arange(len(X)) % 3
W, b = np.linspace(-1.0, 1.0, 12).reshape(4, 3), np.array([0.1, 0.0, -0.3])
"""

TEXTBOOK = """
from softmargin import textbook
naive = [textbook.svm_loss_naive, textbook.squared_hinge_loss_naive, textbook.softmax_loss_naive]
fast = [textbook.svm_loss_vectorized, textbook.squared_hinge_loss_vectorized, textbook.softmax_loss_vectorized]
for one, other in zip(naive, fast):
    np.testing.assert_allclose(other(W, X, y, 0.1, b=b), one(W, X, y, 0.1, b=b), rtol=1e-13)
"""

LOSSES = """
from softmargin import textbook
from softmargin.losses import SmoothedHinge
S, F = X @ W + b, textbook
formulas = [F.svm_loss_vectorized, F.squared_hinge_loss_vectorized, F.softmax_loss_vectorized]
losses = [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()]
for loss, formula in zip(losses, formulas):
    np.testing.assert_allclose(loss.values(S, y).mean(), formula(W, X, y, 0.0, b=b), rtol=1e-13)
for loss in (*losses, SmoothedHinge()):
    step = 1e-6 * np.cos(np.arange(S.size)).reshape(S.shape)
    change = (loss.values(S + step, y) - loss.values(S - step, y)) / 2e-6
    np.testing.assert_allclose(change, (loss.gradient(S, y) * step).sum(axis=1) / 1e-6, rtol=1e-5, atol=1e-7)
np.testing.assert_allclose(sm.softmax(S).sum(axis=1), 1.0, rtol=1e-15)
"""

MODEL = """
model = sm.load_model("m.safetensors")
assert model.predict(X).tolist() == np.load("labels.npy").tolist()
np.testing.assert_allclose(model.scores(X), X @ model.W + model.b, rtol=1e-12, atol=1e-12)
"""

MINIMIZE = """
for loss in (sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()):
    fit = sm.minimize(sm.Objective(loss, X, y, 0.1, engine="reference"))
    assert fit.converged, loss
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("", id="import softmargin"),
        pytest.param("import softmargin.losses, softmargin.objective, softmargin.solvers", id="import the middle"),
        pytest.param(TEXTBOOK, id="textbook"),
        pytest.param(LOSSES, id="losses"),
        pytest.param(MODEL, id="model"),
        pytest.param(MINIMIZE, id="reference engine"),
    ],
)
def test_without_numba(program, tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 4)) + np.eye(3, 4)[np.arange(30) % 3]
    np.save(tmp_path / "X.npy", X)
    if program == MODEL:
        made = model(D=4)
        made.save(tmp_path / "m.safetensors")
        np.save(tmp_path / "labels.npy", made.predict(X))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED + program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


WITHOUT_SKLEARN = """
import sys
sys.modules["sklearn"] = None  # importing it raises ModuleNotFoundError
from softmargin.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_the_command_line_fits_a_table_without_importing_scikit_learn(command, tmp_path):
    """Importing it takes longer than the work on a small table."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    np.savetxt(tmp_path / "t.csv", np.column_stack([rng.normal(size=(90, 2)) + y[:, None], y]), delimiter=",",
               header="a,b,label", comments="", fmt=["%.3f", "%.3f", "%d"])  # fmt: skip
    output = ["-o", "m.safetensors", "--report", "r.html"] if command == "fit" else []
    arguments = [command, "t.csv", "--quick", *output]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_SKLEARN, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
