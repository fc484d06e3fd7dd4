"""Checkpoints: a fit that was killed goes on to the same bits; Ctrl-C returns the best point with its true gap."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest

import softmargin as sm
from softmargin.errors import ConvergenceWarning, DataError, ModelFileError, ParameterError
from softmargin.solvers import LBFGS, AugmentedLagrangian, DualAscent, TruncatedNewton, solve
from softmargin.solvers.augmented_lagrangian import AugmentedLagrangianState
from softmargin.solvers.base import Progress, Start
from softmargin.solvers.descent import DescentState
from softmargin.solvers.dual_ascent import DualAscentState

pytestmark = pytest.mark.usefixtures("compiled")

LOSSES = {"hinge": sm.Hinge(), "squared_hinge": sm.SquaredHinge(), "cross_entropy": sm.CrossEntropy()}
NEWTON = TruncatedNewton(fallback=LBFGS())
SOLVERS = {
    "dual": DualAscent(),
    "lbfgs": LBFGS(),
    "newton": NEWTON,
    "lagrangian": AugmentedLagrangian(NEWTON),
    "handover": DualAscent(LBFGS(), patience=2.0),
    "hinge handover": DualAscent(AugmentedLagrangian(NEWTON), patience=2.0),
}
TOLERANCES = {"dual": 1e-4, "lagrangian": 1e-5, "hinge handover": 1e-5}  # 1e-7 for the others
CASES = [
    ("cross_entropy", "dual"), ("cross_entropy", "lbfgs"), ("cross_entropy", "handover"),
    ("squared_hinge", "dual"), ("squared_hinge", "newton"),
    ("hinge", "dual"), ("hinge", "lagrangian"), ("hinge", "hinge handover"),
]  # fmt: skip


def problem(name, solver=""):
    """Return an objective; one for which dual ascent is slow where it should hand over."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 600)
    X = rng.normal(size=(5, 12))[y] + 1.2 * rng.normal(size=(600, 12))
    return sm.Objective(LOSSES[name], X, y, 0.002 if solver == "handover" else 0.02, engine="cpu")


def minimized(objective, solver, **options):
    """Return the fit of a solver, by name, to its tolerance."""
    options = {"tol": TOLERANCES.get(solver, 1e-7), "max_passes": 5000, "solver": SOLVERS[solver]} | options
    return sm.minimize(objective, **options)


class Killed(Exception):
    pass


@pytest.mark.parametrize(("loss", "solver"), CASES)
def test_a_fit_that_was_killed_goes_on_to_the_same_bits(tmp_path, loss, solver):
    whole = minimized(problem(loss, solver), solver)
    assert whole.converged
    steps = len(whole.history)
    rng = random.Random(steps)
    for _ in range(7):
        path = tmp_path / "fit.checkpoint"
        count, last = 0, rng.randrange(1, steps - 1)  # the last step is told when the file has served

        def die(step):
            nonlocal count
            count += 1
            if count > last:  # noqa: B023
                raise Killed

        with pytest.raises(Killed):
            minimized(problem(loss, solver), solver, callback=die, checkpoint=path, checkpoint_seconds=0)
        assert path.exists()
        resumed = minimized(problem(loss, solver), solver, checkpoint=path, checkpoint_seconds=0)
        assert resumed.W.tobytes() == whole.W.tobytes()
        assert resumed.b.tobytes() == whole.b.tobytes()
        assert (resumed.value, resumed.lower_bound) == (whole.value, whole.lower_bound)
        assert [step.value for step in resumed.history] == [step.value for step in whole.history]
        assert not path.exists()  # the gap is proved: it has served


@pytest.mark.parametrize(("loss", "solver"), CASES)
def test_ctrl_c_saves_the_state_at_that_moment(tmp_path, loss, solver):
    whole = minimized(problem(loss, solver), solver)
    steps, path = len(whole.history), tmp_path / "fit.checkpoint"
    handler = signal.getsignal(signal.SIGINT)
    for last in sorted(random.Random(steps).sample(range(1, steps - 2), 5)):
        count = 0

        def press(step):
            nonlocal count
            count += 1
            if count == last:  # noqa: B023
                signal.raise_signal(signal.SIGINT)

        with pytest.warns(ConvergenceWarning):
            stopped = minimized(problem(loss, solver), solver, callback=press, checkpoint=path)
        assert stopped.interrupted
        assert count <= last + 1  # the end of the step, and the certificate of the best point
        assert path.exists()  # although the 60 seconds between two writes have not passed
        assert signal.getsignal(signal.SIGINT) is handler
        resumed = minimized(problem(loss, solver), solver, checkpoint=path)
        assert resumed.W.tobytes() == whole.W.tobytes()
        assert [step.value for step in resumed.history] == [step.value for step in whole.history]
        assert not path.exists()


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    pressed = 0

    def press_twice(step):
        nonlocal pressed
        pressed += 1
        if pressed == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second signal was delayed")

    with pytest.warns(ConvergenceWarning):
        fit = minimized(problem("hinge"), "dual", callback=press_twice, checkpoint=tmp_path / "c")
    assert fit.interrupted
    assert not (tmp_path / "c").exists()


def test_a_thread_other_than_the_main_one_has_no_signals(tmp_path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(minimized(problem("hinge"), "dual", checkpoint=tmp_path / "c"))
    )
    thread.start()
    thread.join()
    assert found[0].converged


PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.solvers.test_checkpoint import minimized, problem
def slowly(step):
    print(len(sys.argv), flush=True)
    time.sleep(0.02)
minimized(problem(*sys.argv[2:4]), sys.argv[3], callback=slowly, checkpoint=sys.argv[4], checkpoint_seconds=0)
"""


@pytest.mark.parametrize(("loss", "solver"), [("cross_entropy", "handover"), ("hinge", "hinge handover")])
def test_a_process_killed_outright(tmp_path, loss, solver):
    whole = minimized(problem(loss, solver), solver)
    path = tmp_path / "fit.checkpoint"
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    rng = random.Random(1)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, root, loss, solver, str(path)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.5))
            process.send_signal(signal.SIGKILL)
    resumed = minimized(problem(loss, solver), solver, checkpoint=path, checkpoint_seconds=0)
    assert resumed.W.tobytes() == whole.W.tobytes()


def test_a_checkpoint_belongs_to_one_problem(tmp_path):
    path = tmp_path / "fit.checkpoint"
    with pytest.warns(ConvergenceWarning):
        sm.minimize(problem("hinge"), callback=lambda _: True, checkpoint=path, checkpoint_seconds=0)
    for other in (problem("cross_entropy"), problem("hinge").replace(reg=1e-3)):
        with pytest.raises(DataError, match="checkpoint of another problem"):
            sm.minimize(other, checkpoint=path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is not a valid checkpoint"):
        sm.minimize(problem("hinge"), checkpoint=path)
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="is not a valid checkpoint"):
        sm.minimize(problem("hinge"), checkpoint=path)
    assert path.read_bytes() == b"something else"
    with pytest.raises(ParameterError, match="checkpoint"):
        sm.minimize(problem("hinge"), checkpoint=path, solver=sm.SGD())


def test_a_larger_budget_goes_on(tmp_path):
    path = tmp_path / "fit.checkpoint"
    with pytest.warns(ConvergenceWarning):
        sm.minimize(problem("cross_entropy"), tol=1e-7, max_passes=12, checkpoint=path, checkpoint_seconds=0)
    fit = sm.minimize(problem("cross_entropy"), tol=1e-7, max_passes=500, checkpoint=path, checkpoint_seconds=0)
    assert fit.converged
    assert fit.history[0].n_passes <= 12


@pytest.mark.parametrize(("loss", "solver"), CASES)
def test_ctrl_c_returns_the_best_point_with_its_true_gap(loss, solver):
    objective = problem(loss, solver)
    steps = len(minimized(objective, solver).history)
    for last in sorted({0, 1, 2, steps // 2, steps - 3} & set(range(steps - 2))):
        count = 0

        def interrupt(step):
            nonlocal count
            count += 1
            if count == last + 1:  # noqa: B023
                signal.raise_signal(signal.SIGINT)

        with warnings.catch_warnings():  # the point may turn out to be good enough
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = minimized(objective, solver, callback=interrupt)
        assert fit.interrupted
        assert fit.value == pytest.approx(objective.value(fit.W, fit.b), rel=1e-12)
        assert fit.lower_bound <= fit.value
        assert fit.status == "Interrupted."


def test_a_path_that_cannot_be_a_file_is_refused_at_once(tmp_path):
    objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], 0.1)
    for path in (tmp_path / "none" / "x", tmp_path, 3):
        with pytest.raises(ParameterError, match="checkpoint must be"):
            sm.minimize(objective, checkpoint=path)
    for path in (tmp_path / ("x" * 300), "/proc/x"):
        with pytest.raises(ParameterError, match="checkpoint cannot be written to"):
            sm.minimize(objective, checkpoint=path)
    for seconds in (-1.0, np.nan):
        with pytest.raises(ParameterError, match="checkpoint_seconds"):
            sm.minimize(objective, checkpoint=tmp_path / "x", checkpoint_seconds=seconds)


def test_a_checkpoint_that_cannot_be_written_any_more_ends_no_fit(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.warns(UserWarning, match="could not be written"):
        fit = sm.minimize(
            problem("cross_entropy"),
            callback=lambda _: shutil.rmtree(folder, ignore_errors=True),
            solver=LBFGS(),
            tol=np.float32(1e-5),  # a number that JSON does not know
            checkpoint=folder / "fit.checkpoint",
            checkpoint_seconds=0,
        )
    assert fit.converged
    assert fit.tol == np.float32(1e-5)


def test_a_deeply_nested_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "fit.checkpoint"
    path.write_bytes((200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 300_000)
    with pytest.raises(DataError, match="is not a valid checkpoint"):
        sm.minimize(problem("hinge"), checkpoint=path)
    with pytest.raises(ModelFileError, match="damaged"):
        sm.load_model(path)


@pytest.mark.parametrize("name", LOSSES)
def test_an_interrupt_in_the_last_step_keeps_the_proved_fit(name):
    steps = len(sm.minimize(problem(name)).history)
    count = 0

    def interrupt(step):
        nonlocal count
        count += 1
        if count == steps:
            raise KeyboardInterrupt

    fit = sm.minimize(problem(name), callback=interrupt)
    assert fit.interrupted
    assert fit.converged
    assert len(fit.history) == steps


def test_the_same_sums_in_another_order_are_another_problem():
    X, y = np.array([[1.0], [-1.0], [1.0], [-1.0]]), [0, 0, 1, 1]
    one, other = (sm.Objective(sm.Hinge(), rows, y, 0.1) for rows in (X, X[[1, 0, 3, 2]]))
    without = sm.Objective(sm.Hinge(), X, y, 0.1, fit_intercept=False)
    assert len({objective.problem()[0].fingerprint() for objective in (one, other, without)}) == 3


class Driven:
    """A solver's generator, driven by hand: proofs where states ask for them."""

    def __init__(self, problem, solver, start, tol):
        self.problem, self.steps, self.tol = problem, solver.steps(problem, start, tol), tol
        self.answer, self.gap, self.value, self.bound = None, np.inf, np.inf, 0.0

    def next(self):
        """Return the next state, or None at the end."""
        try:
            state = self.steps.send(self.answer)
        except StopIteration:
            return None
        self.answer = None
        if state.ready:
            proof = self.problem.prove(state.P, state.source, state.keep_rows)
            self.bound = max(self.bound, proof.certificate.lower_bound)
            self.value = min(self.value, proof.certificate.value)
            self.gap = (self.value - self.bound) / self.value
            self.answer = Progress(self.gap, self.value, proof.rows)
        return state


KINDS = {
    "dual": [DualAscentState],
    "lbfgs": [DescentState],
    "newton": [DescentState],
    "lagrangian": [AugmentedLagrangianState],
    "handover": [DualAscentState, DescentState],
    "hinge handover": [DualAscentState, AugmentedLagrangianState],
}


@pytest.mark.parametrize(("loss", "solver"), CASES)
def test_a_state_that_was_saved_gives_the_states_that_followed(loss, solver):
    """At every state that may be saved, also once dual ascent has handed over, and by way of a file's numbers."""
    made, _ = problem(loss, solver).problem()
    tol, start = TOLERANCES.get(solver, 1e-7), Start(P=np.zeros((13, 5)), reg=made.reg)
    driven, points, kept = Driven(made, SOLVERS[solver], start, tol), [], []
    while len(points) < 200 and driven.gap > tol:
        before = driven.gap, driven.value, driven.bound
        state = driven.next()
        if state is None:
            break
        points.append((state.P.tobytes(), state.estimate))
        if state.resumable:
            kept.append((len(points) - 1, type(state), state.saved(), before))
    assert {kind for _, kind, _, _ in kept} == set(KINDS[solver])
    assert set(KINDS[solver]) <= set(SOLVERS[solver].states)
    chosen = kept if len(kept) < 8 else [*kept[:2], kept[len(kept) // 2], *kept[-4:]]
    for place, kind, saved, (gap, value, bound) in chosen:
        fresh, _ = problem(loss, solver).problem()
        copied = {
            name: v.copy() if isinstance(v, np.ndarray) else json.loads(json.dumps(v)) for name, v in saved.items()
        }
        again = Driven(fresh, SOLVERS[solver], kind.load(fresh, np.zeros((13, 5)), copied), tol)
        again.gap, again.value, again.bound = gap, value, bound
        for expected in points[place : place + 12]:
            state = again.next()
            assert (state.P.tobytes(), state.estimate) == expected


def test_a_round_of_the_augmented_lagrangian_is_begun_again():
    """Killed in the middle of a round, it does that round again, from the multipliers before it."""
    made, _ = problem("hinge").problem()
    solver, start = SOLVERS["lagrangian"], Start(P=np.zeros((13, 5)), reg=made.reg)
    driven, states = Driven(made, solver, start, 1e-6), []
    while (state := driven.next()) is not None and driven.gap > 1e-6:
        states.append(state)
    rounds = [k for k, state in enumerate(states) if state.resumable]
    assert len(rounds) > 3
    assert max(np.diff(rounds)) > 1  # there is a middle
    for first, last in pairwise(rounds):
        assert all(state.round is states[first].round for state in states[first:last])
        assert states[first].source is not states[last].source


def test_a_state_of_the_same_reg_is_gone_on_from():
    """Without a file: a fit that ran out of its budget goes on from the state that it has returned."""
    for loss, solver in CASES:
        objective = problem(loss, solver)
        tol = TOLERANCES.get(solver, 1e-7)
        whole, _ = solve(objective, None, tol, 5000, solver=SOLVERS[solver])
        _, state = solve(objective, None, tol, 0.5 * whole.n_passes, solver=SOLVERS[solver])
        second, _ = solve(objective, state, tol, 5000, solver=SOLVERS[solver])
        assert whole.converged
        assert second.converged
        assert second.n_passes < whole.n_passes
        assert max(whole.lower_bound, second.lower_bound) <= min(whole.value, second.value)
