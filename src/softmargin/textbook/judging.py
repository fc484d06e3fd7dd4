"""Judges the four parts of the answers of a function for one loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softmargin.textbook.asking import Answer, Asker, CallFailed
from softmargin.textbook.identify import (
    Reason,
    differences,
    explain_gradient,
    explain_penalty,
    explain_penalty_gradient,
    explain_value,
)
from softmargin.textbook.mistakes import variants
from softmargin.textbook.problems import REGS, Problem, overflowing, with_weights
from softmargin.textbook.report import Mistake, Part

__all__ = ["Judge"]

Array = npt.NDArray[Any]

_VALUES, _GRADIENTS, _SINGLE = 1e-9, 1e-6, 1e-4
"""Relative tolerances: of values, of gradients by differences, and of both in single precision."""

_DATA, _PENALTY = "data loss", "penalty"

_SWAPPED = (
    "multiplies the data loss by reg instead of the penalty",
    "Other texts do so with C. Here the objective is the mean loss plus reg · ΣW².",
)


class Judge:
    """Compares answers with one loss, and collects parts, mistakes and notes.

    Parameters
    ----------
    asker : Asker
    given : sequence of Problem
    loss : str
    delta : float
    """

    def __init__(self, asker: Asker, given: Sequence[Problem], loss: str, delta: float) -> None:
        self.asker, self.given, self.loss, self.delta = asker, given, loss, delta
        self.right = variants(loss)[0].rows
        self.parts: list[Part] = []
        self.mistakes: list[Mistake] = []
        self.notes: list[str] = []

    def judge(self, answers: Sequence[Sequence[Answer]]) -> None:
        """Judge the answers, one list for each λ of `REGS`."""
        has_value = all(a.value is not None for a in answers[0])
        has_gradient = all(a.gradient is not None for a in answers[0])
        if has_value:
            self._judge_values([np.array([a.value for a in one]) for one in answers])
        if has_gradient:
            self._judge_gradients([[np.asarray(a.gradient) for a in one] for one in answers[:2]], has_value)
        if self.loss == "cross_entropy":
            self._judge_large_scores(has_value, has_gradient)
        if not has_gradient:
            self.notes.append("The function returns no gradient, so only its value was checked.")
        if not has_value:
            self.notes.append("The function returns no loss, so only its gradient was checked.")

    # Values

    def _data_loss(self, problem: Problem) -> float:
        """Return the textbook's data loss."""
        return float(self.right(problem.scores, problem.y, self.delta).mean())

    def _judge_values(self, values: Sequence[Array]) -> None:
        expected = np.array([self._data_loss(p) for p in self.given])
        if not np.all(np.isfinite(values[0])):
            k = int(np.argmin(np.isfinite(values[0])))
            self.parts += [
                Part(_DATA, "wrong", None, f"{values[0][k]} ({self.given[k]})"),
                Part(_PENALTY, "unchecked"),
            ]
            self.mistakes.append(Mistake(_DATA, "returns a loss that is not finite", f"It is {values[0][k]}."))
            return
        per_reg = [(values[k] - values[0]) / REGS[k] for k in (1, 2)]
        squares = np.array([(p.W**2).sum() for p in self.given])

        def explain(tol: float) -> Reason | None:
            found = explain_value(values[0], self.given, self.loss, self.delta, tol)
            if found is None and explain_penalty(values[0], self.given, tol) is not None:
                swapped = explain_value(per_reg[0], self.given, self.loss, self.delta, tol)
                found = None if swapped is None else (_SWAPPED,)
            return found

        self._judge_value(_DATA, values[0], expected, explain)
        if self.mistakes and self.mistakes[-1].name == _SWAPPED[0]:
            self.parts.append(Part(_PENALTY, "unchecked", None, "not multiplied by λ"))
        elif _error(per_reg[1], per_reg[0]) > _SINGLE:
            advice = "Its value at 3λ is not 3 times that at λ: multiply ΣW² by reg once."
            self._wrong(_PENALTY, per_reg[0], squares, (("has a penalty that is not proportional to λ", advice),))
        else:
            self._judge_value(
                _PENALTY, per_reg[0], squares, lambda tol: explain_penalty(per_reg[0], self.given, tol)
            )

    def _judge_value(
        self, name: str, found: Array, expected: Array, explain: Callable[[float], Reason | None]
    ) -> None:
        """Judge numbers with the tolerance of double precision, and if none fits with that of single precision."""
        reason = explain(_VALUES)
        if reason is None:
            reason = explain(_SINGLE)
        if reason == ():
            self._correct(name, _error(found, expected), _VALUES)
        else:
            unknown = self._ignored(name, "value") or (("", self._dependences() if name == _DATA else ""),)
            self._wrong(name, found, expected, unknown if reason is None else reason)

    def _correct(self, name: str, error: float, tol: float) -> None:
        self.parts.append(Part(name, "correct", error))
        if error > tol:
            self.notes.append(f"The {name} has a relative error of {error:.0e}, as in single precision.")

    def _wrong(self, name: str, found: Array, expected: Array, reason: Reason) -> None:
        k = int(np.argmax(np.abs(found - expected) / np.abs(expected)))
        detail = f"{found[k]:.6g} instead of {expected[k]:.6g} ({self.given[k]})"
        self.parts.append(Part(name, "wrong", _error(found, expected), detail))
        self.mistakes += [Mistake(name, *one) for one in reason]

    def _value(self, problem: Problem, reg: float = 0.0) -> float:
        try:
            value = self.asker(problem, reg).value
        except CallFailed:
            return np.nan
        return np.nan if value is None else value

    def _dependences(self) -> str:
        """Return what the data loss depends on but should not."""
        rng = np.random.default_rng(1)
        p = self.given[-1]
        rows, classes = rng.permutation(len(p.X)), rng.permutation(p.W.shape[1])
        others = {
            "the order of the samples": Problem(p.W, p.X[rows], p.y[rows]),
            "the order of the classes": Problem(p.W[:, classes], p.X, np.argsort(classes)[p.y]),
            "a number added to all scores of a sample": with_weights(p, p.W + rng.normal(size=(len(p.W), 1))),
        }
        value = self._value(p)
        found = [name for name, other in others.items() if abs(self._value(other) - value) > _SINGLE * abs(value)]
        return f"It depends on {' and '.join(found)}, but should not." if found else ""

    def _ignored(self, name: str, of: str) -> Reason:
        """Return the arguments that have no influence on a part of the data loss."""
        if not name.endswith(_DATA):
            return ()
        rng = np.random.default_rng(2)
        changed: dict[str, Callable[[Problem], Problem]] = {
            "W": lambda p: with_weights(p, rng.permuted(p.W)),
            "X": lambda p: Problem(p.W, rng.permuted(p.X), p.y),
            "y": lambda p: Problem(p.W, p.X, (p.y + 1) % p.W.shape[1]),
        }

        def asked(problem: Problem) -> Any:
            try:
                return getattr(self.asker(problem, 0.0), of)
            except CallFailed:
                return np.nan  # not equal to anything

        names = [
            key for key, change in changed.items()
            if all(np.array_equal(asked(p), asked(change(p))) for p in self.given)
        ]  # fmt: skip
        return (
            (
                (
                    f"ignores {' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}",
                    f"The {name} depends on W, X and y.",
                ),
            )
            if names
            else ()
        )

    # Gradients

    def _judge_gradients(self, gradients: Sequence[Sequence[Array]], has_value: bool) -> None:
        has_value = has_value and self.parts[0].error is not None
        self._judge_gradient(
            f"gradient of the {_DATA}",
            gradients[0],
            [self._data_gradient(p) for p in self.given],
            lambda: self._own(REGS[0]) if has_value else None,
            lambda tol: explain_gradient(gradients[0], self.given, self.loss, self.delta, tol),
        )
        per_reg = _slopes(*gradients)
        self._judge_gradient(
            f"gradient of the {_PENALTY}",
            per_reg,
            [2.0 * p.W for p in self.given],
            lambda: _slopes(self._own(REGS[0]), self._own(REGS[1])) if has_value else None,
            lambda tol: explain_penalty_gradient(per_reg, self.given, tol),
        )

    def _own(self, reg: float) -> list[Array]:
        """Return the gradients of the function's own value by central differences."""
        return [differences(lambda W, p=p: self._value(with_weights(p, W), reg), p.W) for p in self.given]

    def _data_gradient(self, problem: Problem) -> Array:
        return differences(lambda W: self._data_loss(with_weights(problem, W)), problem.W)

    def _judge_gradient(
        self,
        name: str,
        found: Sequence[Array],
        expected: Sequence[Array],
        own: Callable[[], Sequence[Array] | None],
        explain: Callable[[float], Reason | None],
    ) -> None:
        """Compare with the textbook's gradient, differences of the function's own value, and the catalogue."""
        if not all(np.all(np.isfinite(G)) for G in found):
            self.parts.append(Part(name, "wrong", None, "not finite"))
            self.mistakes.append(Mistake(name, "is not finite", ""))
            return
        error = max(map(_error, found, expected))
        if error <= _SINGLE:
            self._correct(name, error, _GRADIENTS)
            return
        mine = own()
        if mine is not None and max(map(_error, found, mine)) <= _SINGLE:
            self.parts.append(Part(name, "consistent", error))
            return
        k = int(np.argmax(list(map(_error, found, expected))))
        i, j = np.unravel_index(np.argmax(np.abs(found[k] - expected[k])), expected[k].shape)
        numbers = f"{found[k][i, j]:.6g} instead of {expected[k][i, j]:.6g}"
        self.parts.append(Part(name, "wrong", error, f"{numbers} at dW[{i}, {j}] ({self.given[k]})"))
        reason = explain(_GRADIENTS)
        if reason is None:
            reason = explain(_SINGLE)
        if reason is None:
            reason = self._ignored(name, "gradient")
            reason = reason or (("", self._where(found) if name.endswith(_DATA) else ""),)
        self.mistakes += [Mistake(name, *one) for one in reason]

    def _where(self, found: Sequence[Array]) -> str:
        """Return at which classes a gradient is wrong, from a problem whose samples are independent."""
        small = [k for k, p in enumerate(self.given) if p.sizes[0] < p.sizes[1]]
        if not small:
            return ""
        p, G = self.given[small[0]], found[small[0]]
        back = np.linalg.pinv(p.X.T)
        if _error(p.X.T @ (back @ G), G) > _SINGLE:
            return "It is not a sum of multiples of the samples."
        correct = back @ self._data_gradient(p)
        wrong = np.abs(back @ G - correct) > _SINGLE * np.abs(correct).max()
        is_target = np.arange(p.W.shape[1]) == p.y[:, np.newaxis]
        target, others = (("wrong" if wrong[mask].any() else "correct") for mask in (is_target, ~is_target))
        return f"Its entries of the target classes are {target}, those of the other classes {others}."

    # Scores so large that exp overflows

    def _judge_large_scores(self, has_value: bool, has_gradient: bool) -> None:
        kinds = {"value": (_DATA, has_value), "gradient": (f"gradient of the {_DATA}", has_gradient)}
        n_classes = self.given[0].sizes[2]
        for kind, (part, returned) in kinds.items():
            if not returned:
                continue
            if not all(self._is_finite(overflowing((shift,), n_classes), kind) for shift in (2000.0, -2000.0)):
                advice = "Subtract the maximum of each row of scores before exp; this changes no probability."
                self.mistakes.append(Mistake(part, "overflows for large scores", advice))
                return
            if not self._is_finite(overflowing((2000.0, 0.0, -2000.0), n_classes), kind):
                name = "subtracts the maximum of all scores instead of that of each row"
                advice = "Subtract S.max(axis=1, keepdims=True): a row far below the maximum underflows."
                self.mistakes.append(Mistake(part, name, advice))
                return
        if has_value and self.parts[0].state == "correct":
            far = Problem(1000.0 * np.eye(1, n_classes, 1), np.ones((1, 1)), np.array([0]))
            value = self._value(far)
            if not np.isfinite(value) or _error(value, 1000.0) > _SINGLE:
                where = (
                    f"Where one score exceeds that of the target by 1000, the loss is {value:.4g} instead of 1000"
                )
                self.notes.append(f"{where}: log Σ_j exp(s_j − m) − (s_y − m) is accurate, with m = max_j s_j.")

    def _is_finite(self, problem: Problem, kind: str) -> bool:
        try:
            return bool(np.all(np.isfinite(getattr(self.asker(problem, 0.0), kind))))
        except CallFailed:
            return False


def _slopes(at_zero: Sequence[Array], at_reg: Sequence[Array]) -> list[Array]:
    """Return the gradients of the penalty, divided by λ."""
    return [(b - a) / REGS[1] for a, b in zip(at_zero, at_reg, strict=True)]


def _error(found: Any, expected: Any) -> float:
    """Return the largest difference, relative to the largest number expected."""
    return float(np.max(np.abs(found - expected)) / max(np.max(np.abs(expected)), 1e-300))
