"""`check` accepts correct functions, and names mistakes in wrong ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import softmargin as sm
from softmargin import textbook
from softmargin.errors import ParameterError
from softmargin.textbook import CheckReport, check
from softmargin.textbook.asking import size_rule
from softmargin.textbook.factors import FACTORS, MULTIPLES, PENALTIES, SELECTIONS
from softmargin.textbook.identify import explain_gradient, explain_penalty, explain_penalty_gradient, explain_value
from softmargin.textbook.mistakes import variants
from softmargin.textbook.problems import DELTAS, Problem, problems
from softmargin.textbook.report import TITLES
from softmargin.textbook.targets import targets
from tests.textbook.students import (
    CORRECT,
    MISTAKES,
    NAIVE,
    SOFTMAX_NAIVE,
    SOFTMAX_VECTORIZED,
    VECTORIZED,
    Function,
    made,
)


def names(report: CheckReport) -> list[str]:
    """Return the names of the mistakes, those in a gradient with that word."""
    gradient = ("", "gradient ")
    return [gradient[mistake.part.startswith("gradient")] + mistake.name for mistake in report.mistakes]


# Correct functions


@pytest.mark.parametrize(("loss", "style"), CORRECT)
def test_a_correct_function_passes(loss: str, style: str) -> None:
    report = check(made(CORRECT[loss, style]), loss)
    assert report.passed, str(report)
    assert [part.state for part in report.parts] == ["correct"] * 4
    assert "no mistake found" in str(report)


@pytest.mark.parametrize("delta", [1.0, 0.1, 10.0])
@pytest.mark.parametrize(
    ("loss", "name"), [("hinge", "svm"), ("squared_hinge", "squared_hinge"), ("cross_entropy", "softmax")]
)
def test_the_textbook_itself_passes_without_a_gradient(loss: str, name: str, delta: float) -> None:
    for style in ("naive", "vectorized"):
        own = getattr(textbook, f"{name}_loss_{style}")
        more = (delta,) if loss != "cross_entropy" else ()
        report = check(lambda W, X, y, reg, own=own, more=more: own(W, X, y, reg, *more), loss, delta=delta)
        assert report.passed, str(report)
        assert [part.name for part in report.parts] == ["data loss", "penalty"]
        assert any("no gradient" in note for note in report.notes)


@pytest.mark.parametrize("loss", [sm.Hinge(), sm.SquaredHinge(), sm.CrossEntropy()])
def test_the_losses_of_the_package_pass(loss: Any) -> None:
    def function(W: Any, X: Any, y: Any, reg: float) -> Any:
        value = loss.values(X @ W, y).mean() + reg * (W**2).sum()
        return value, X.T @ loss.gradient(X @ W, y) / len(X) + 2 * reg * W

    report = check(function)
    assert (report.loss, report.passed) == (loss.name, True)
    assert check(lambda *given: function(*given)[1], loss.name).passed  # the gradient alone


def test_single_precision_passes_with_a_note() -> None:
    function = made(
        NAIVE, ("dW = np.zeros(W.shape)", "W, X = W.astype(np.float32), X.astype(np.float32); dW = 0 * W")
    )
    report = check(function, "hinge")
    assert report.passed, str(report)
    assert any("as in single precision" in note for note in report.notes)


def test_the_logarithm_of_a_probability_passes_with_a_note() -> None:
    assert any("is inf instead of 1000" in n for n in check(made(SOFTMAX_VECTORIZED), "cross_entropy").notes)
    assert check(made(SOFTMAX_NAIVE), "cross_entropy").notes == ()
    guarded = check(made(SOFTMAX_VECTORIZED, ("-np.log(P", "-np.log(1e-12 + P")), "cross_entropy")
    assert guarded.passed
    assert any("instead of 1000" in note for note in guarded.notes)


# Wrong functions


@pytest.mark.parametrize(("loss", "style", "expected", "edits"), MISTAKES)
def test_a_mistake_is_named(loss: str, style: str, expected: list[str], edits: list[tuple[str, str]]) -> None:
    report = check(made(CORRECT[loss, style], *edits), loss)
    if expected[0].startswith(("modifies", "ignores y", "reverses")):  # with consequences
        assert set(expected) <= set(names(report)), str(report)
    else:
        own = [name for name in names(report) if not name.startswith("gradient") or name in expected]
        assert sorted(own) == sorted(expected), str(report)
    assert not report.passed
    for mistake in report.mistakes:
        assert mistake.name
        assert mistake.sentence in str(report)


def test_each_classic_mistake_is_there_in_both_styles() -> None:
    both = {"naive", "vectorized"}
    styles: dict[str, set[str]] = {}
    for _, style, expected, _ in MISTAKES:
        for name in expected:
            styles.setdefault(name, set()).add(style)
    classic = (
        "counts the target class", "divides by the number of features instead of samples", "uses ½λ",
        "adds the penalty once per sample", "takes the sum instead of the mean over the samples", "has no margin",
        "has the margin with the wrong sign", "gradient lacks the penalty", "lacks the penalty",
        "gradient takes the sum instead of the mean over the samples",
        "gradient of the target has the wrong sign", "overflows for large scores",
    )  # fmt: skip
    assert len(classic) == 12
    assert all(styles[name] == both for name in classic)


# What the function does with its arguments, and what it returns


def transposed(W: Any, X: Any, y: Any, reg: float) -> Any:
    loss, dW = made(VECTORIZED)(W.T, X.T, y, reg)
    return loss, dW.T


BROKEN: dict[str, tuple[Function, str]] = {
    "layout": (transposed, "expects W as (C, D) and X as (D, N), transposed"),
    "layout of W": (lambda W, X, y, reg: transposed(W, X.T, y, reg), "expects W as (C, D), transposed"),
    "gradient": (lambda W, X, y, reg: transposed(W.T, X.T, y, reg), "returns the gradient transposed"),
    "no result": (lambda W, X, y, reg: None, "returns None as the loss"),
    "losses": (lambda W, X, y, reg: X[:, 0], "as the loss"),
    "shape": (lambda W, X, y, reg: (0.0, W[:2]), "returns a gradient of shape"),
    "arguments": (lambda W, X: 0.0, "raises TypeError ("),
    "division": (lambda W, X, y, reg: 1 / reg, "raises ZeroDivisionError ("),
    "exit": (lambda W, X, y, reg: exit(), "raises SystemExit"),
    "nan": (lambda W, X, y, reg: np.nan, "returns a loss that is not finite"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_functions_are_one_mistake(kind: str) -> None:
    function, words = BROKEN[kind]
    report = check(function, "hinge")
    [mistake] = report.mistakes
    assert words in mistake.sentence


def test_a_function_that_never_runs_is_told_its_arguments() -> None:
    report = check(lambda W, X, y: 0.0, "hinge")
    assert "W (D, C), X (N, D), y (N,) and reg, in this order" in report.mistakes[0].advice
    assert "\n\n\n" not in str(report)


def test_a_mixed_up_size_is_named() -> None:
    function = made(VECTORIZED, ("S = X @ W", "S = X @ W; [W[j] for j in range(W.shape[1])]"))
    [mistake] = check(function, "hinge").mistakes
    assert mistake.name.startswith("raises IndexError (")
    assert mistake.advice == "This happens if C > D: C and D are confused."


def test_no_rule_is_invented() -> None:
    some = problems(1.0)
    assert size_rule(some[:1], some[1:]) == ""
    assert size_rule(some, []) == ""


def test_a_fixed_number_of_classes_is_named() -> None:
    seven = check(made(NAIVE, ("range(num_classes)", "range(7)"), ("2 * reg", "reg")), "hinge")
    assert names(seven)[0].startswith("raises IndexError (")
    assert seven.mistakes[0].advice == "This happens unless C = 7: that number must not be fixed."
    assert names(seven)[1:] == ["gradient uses ½λ"]
    ten = check(made(NAIVE, ("range(num_classes)", "range(10)"), ("2 * reg", "reg")), "hinge")
    assert names(ten) == ["works for 10 classes only", "gradient uses ½λ"]


def test_a_sum_that_grows_from_call_to_call_is_found() -> None:
    total = [0.0]

    def function(W: Any, X: Any, y: Any, reg: float) -> float:
        total[0] += textbook.svm_loss_vectorized(W, X, y, reg)
        return total[0]

    assert "keeps something from one call to the next" in names(check(function, "hinge"))


def test_an_unknown_mistake_is_located() -> None:
    report = check(made(VECTORIZED, ("loss = np.sum(M)", "loss = np.sum(M**1.5)")), "hinge")
    assert (report.mistakes[0].part, report.mistakes[0].name) == ("data loss", "")
    assert [part.state for part in report.parts] == ["wrong", "correct", "correct", "correct"]
    depends = check(made(VECTORIZED, ("loss = np.sum(M)", "loss = np.sum(M * (1 + rows[:, None]))")), "hinge")
    assert depends.mistakes[0].advice == "It depends on the order of the samples, but should not."
    gradient = check(made(VECTORIZED, ("B[rows, y] -= B.sum", "B[rows, y] -= 0.3 * B.sum")), "hinge")
    assert (
        gradient.mistakes[0].advice
        == "Its entries of the target classes are wrong, those of the other classes correct."
    )
    strange = check(made(VECTORIZED, ("dW = X.T", "dW = 0.1 + X.T")), "hinge")
    assert strange.mistakes[0].advice == "It is not a sum of multiples of the samples."


def test_a_gradient_of_a_wrong_value_is_no_second_mistake() -> None:
    report = check(made(VECTORIZED, (" + 1)", " + 0)")), "hinge")
    assert [part.state for part in report.parts] == ["wrong", "correct", "consistent", "correct"]
    assert names(report) == ["has no margin"]


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_a_correct_function_passes_at_every_allowed_margin(loss: str, delta: float) -> None:
    function = made(CORRECT[loss, "vectorized"], (" + 1", f" + {delta}"))
    report = check(function, loss, delta=delta)
    assert (report.passed, report.notes) == (True, ())


def test_an_exception_without_a_message_is_a_mistake() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def function(W: Any, X: Any, y: Any, reg: float) -> float:
        raise Silent

    assert names(check(function)) == ["raises Silent (without a readable message)"]


@pytest.mark.parametrize(("loss", "style"), CORRECT)
def test_the_loss_is_guessed(loss: str, style: str) -> None:
    report = check(made(CORRECT[loss, style], ("2 * reg", "reg")))
    assert report.loss == loss
    assert names(report) == ["gradient uses ½λ"]
    assert "No loss was given" in report.notes[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"function": 3}, "function must be callable, got int."),
        ({"loss": "svm"}, "loss must be one of hinge, squared_hinge, cross_entropy, got 'svm'."),
        ({"delta": 0.0}, "delta must be a number from 0.001 to 10000, got 0.0."),
        ({"delta": 1e9}, "delta must be a number from 0.001 to 10000, got 1000000000.0."),
        ({"delta": float("nan")}, "delta must be a number from 0.001 to 10000, got nan."),
    ],
)
def test_invalid_arguments_are_one_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check(**{"function": made(NAIVE), "loss": "hinge", **given})
    assert str(caught.value) == words


# The catalogue


GIVEN = problems(1.0)


def wrong_values(loss: str) -> dict[str, list[np.ndarray]]:
    """Return the values of each wrong loss on the problems, by name and number."""
    return {
        f"{k} {variant.name}": np.array([variant.rows(p.scores, p.y, 1.0).mean() for p in GIVEN])
        for k, variant in enumerate(variants(loss))
    }


@pytest.mark.parametrize("loss", TITLES)
def test_no_two_entries_of_the_catalogue_are_the_same(loss: str) -> None:
    found = wrong_values(loss)
    for name, values in found.items():
        for other, different in found.items():
            if name != other:
                assert not np.allclose(values, different, rtol=1e-6), (name, other)


@pytest.mark.parametrize("loss", TITLES)
def test_each_wrong_value_and_each_factor_is_explained(loss: str) -> None:
    cases = [(0, factor) for factor in FACTORS]
    cases += [(k, FACTORS[k % 2]) for k in range(len(variants(loss)))]
    for k, factor in cases:
        scaled = list(wrong_values(loss).values())[k] * [factor.of(*p.sizes) for p in GIVEN]
        reason = explain_value(scaled, GIVEN, loss, 1.0, 1e-9)
        assert [name for name, _ in reason or ()] == [n for n in (variants(loss)[k].name, factor.data) if n]


def test_each_wrong_penalty_is_explained_with_any_factor() -> None:
    for penalty, factor, (multiple, (_, _, words, _)) in product(PENALTIES, FACTORS, MULTIPLES.items()):
        by = [multiple * factor.of(*p.sizes) for p in GIVEN]
        expected = [name for name in (penalty.name, words, factor.penalty) if name]
        slopes = [penalty.gradient(p.W) * c for p, c in zip(GIVEN, by, strict=True)]
        found = explain_penalty_gradient(slopes, GIVEN, 1e-9)
        assert found is not None
        assert len(found) <= len(expected)
        if penalty.value is not None:
            values = np.array([penalty.value(p.W) * c for p, c in zip(GIVEN, by, strict=True)])
            assert [name for name, _ in explain_penalty(values, GIVEN, 1e-9) or ()] == expected


@pytest.mark.parametrize("loss", TITLES)
def test_each_wrong_target_is_explained(loss: str) -> None:
    right = variants(loss)[0].rows
    for target in targets(loss):
        gradients = []
        for p in GIVEN:
            S, step = p.scores, 1e-5
            slopes = np.empty(S.shape)
            for j in range(S.shape[1]):
                unit = step * np.eye(S.shape[1])[j]
                slopes[:, j] = (right(S + unit, p.y, 1.0) - right(S - unit, p.y, 1.0)) / (2 * step)
            is_target = np.arange(S.shape[1]) == p.y[:, None]
            gradients.append(p.X.T @ target.change(slopes, is_target, S) / len(S))
        found = explain_gradient(gradients, GIVEN, loss, 1.0, 1e-6)
        assert found is not None
        assert [name for name, _ in found] == [target.name]


def test_samples_left_out_are_told_apart() -> None:
    assert len({tuple(selection.weights(5)) for selection in SELECTIONS}) == len(SELECTIONS)


def test_the_problems_separate_sizes_and_kinks() -> None:
    assert {tuple(np.argsort(p.sizes)) for p in GIVEN} == {
        (0, 1, 2),
        (0, 2, 1),
        (1, 0, 2),
        (1, 2, 0),
        (2, 0, 1),
        (2, 1, 0),
    }
    for p in GIVEN:
        assert isinstance(p, Problem)
        gaps = p.scores - p.scores[np.arange(len(p.y)), p.y][:, None]
        others = gaps[np.arange(gaps.shape[1]) != p.y[:, None]]
        assert min(np.abs(others).min(), np.abs(np.abs(others) - 1).min()) > 0.01
        assert {0, gaps.shape[1] - 1} <= set(p.y.tolist())
