"""The fused losses against their unfused form, and the rules of torch for operators."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.nn import functional as F

import softmargin as sm
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.torch import operators
from tests.torch.heads import DELTA, IGNORE, LOSSES, doubled, fused, problem, unfused

EVERY = [*LOSSES]
REDUCTIONS = ("mean", "sum", "none")
BUDGETS = {"one tile": 10**9, "blocks of classes": 8704, "square tiles": 1600}
OPTIONS = list(itertools.product((False, True), repeat=3))

losses = pytest.mark.parametrize("loss", EVERY)
reductions = pytest.mark.parametrize("reduction", REDUCTIONS)


def gradients(loss, at, upstream=None):
    return torch.autograd.grad(loss, at.inputs, upstream)


# The numbers


@losses
@reductions
@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_values_and_gradients_are_those_of_the_unfused_form(loss, reduction, budget):
    for bias, weights, ignored in OPTIONS:
        smoothing = 0.2 if loss == "cross_entropy" and weights != ignored else 0.0
        at = problem(bias=bias, weights=weights, ignored=ignored)
        upstream = torch.randn(23, dtype=torch.float64) if reduction == "none" else None
        found, expected = (form(loss, at, reduction, smoothing) for form in (fused, unfused))
        found = fused(loss, at, reduction, smoothing, budget)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
        for ours, theirs in zip(gradients(found, at, upstream), gradients(expected, at, upstream), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13 * float(theirs.abs().max()))


@losses
def test_values_of_torch(loss):
    """C times its margin loss, which divides by C, and its cross-entropy."""
    at = problem(shape=(252, 123, 31))
    scores = F.linear(at.x, at.weight, at.bias)
    if loss == "cross_entropy":
        expected = F.cross_entropy(scores, at.target)
    else:
        power = 1 if loss == "hinge" else 2
        expected = 123 * F.multi_margin_loss(scores, at.target, p=power, margin=1.0)
        assert torch.equal(LOSSES[loss](*at[:4]), LOSSES[loss](*at[:4], delta=1.0))
    torch.testing.assert_close(LOSSES[loss](*at[:4]), expected, rtol=1e-13, atol=0)


@losses
def test_values_of_the_losses_of_the_package(loss):
    at = problem(shape=(40, 9, 5))
    own = {"hinge": sm.Hinge(DELTA), "squared_hinge": sm.SquaredHinge(DELTA), "cross_entropy": sm.CrossEntropy()}
    with torch.no_grad():
        scores = F.linear(at.x, at.weight, at.bias).numpy()
        found = fused(loss, at, "none")
    expected = torch.from_numpy(own[loss].values(scores, at.target.numpy()))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@losses
def test_zero_weights(loss):
    x, weight, target = torch.ones(4, 3), torch.zeros(10, 3), torch.tensor([0, 1, 2, 9])
    expected = torch.tensor(10.0).log() if loss == "cross_entropy" else torch.tensor(9.0)
    torch.testing.assert_close(LOSSES[loss](x, weight, target), expected, rtol=1e-7, atol=0)


@losses
@reductions
def test_gradcheck(loss, reduction):
    at = problem((7, 6, 3), weights=True, ignored=True)
    smoothing = 0.3 if loss == "cross_entropy" else 0.0
    assert torch.autograd.gradcheck(
        lambda x, weight, bias: fused(loss, at._replace(x=x, weight=weight, bias=bias), reduction, smoothing, 400),
        at.inputs,
    )


def test_the_digits_of_a_tiny_cross_entropy():
    """exp(-45) is below ε: a log-sum-exp minus the target's score is 0, or as large as the rounding error."""
    weight = torch.tensor([[1.0], [0.0]], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[45.0]], dtype=torch.float64)
    for common in (0.0, 2.0**40):
        bias = torch.tensor([common, common], dtype=torch.float64)
        loss = LOSSES["cross_entropy"](x, weight, torch.tensor([0]), bias)
        expected = torch.tensor(-45.0, dtype=torch.float64).exp()
        torch.testing.assert_close(loss, expected, rtol=1e-12 if common == 0.0 else 1e-3, atol=0)
        [slope] = torch.autograd.grad(loss, weight)
        torch.testing.assert_close(slope[0, 0], -45.0 * expected, rtol=1e-12 if common == 0.0 else 1e-3, atol=0)


@losses
def test_extreme_scores(loss):
    x = torch.tensor([[1e4], [-1e4], [3e38]])
    weight = torch.tensor([[1.0], [0.0], [-1.0]], requires_grad=True)
    target = torch.tensor([0, 0, 0])
    found = LOSSES[loss](x, weight, target, reduction="none")
    assert found[0] == found[2] == 0.0
    assert found[1] == {"hinge": 3e4 + 2, "squared_hinge": 10001.0**2 + 20001.0**2, "cross_entropy": 2e4}[loss]


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
@pytest.mark.parametrize("scale", [1e8, 1e100])
def test_probabilities_of_large_scores_are_at_most_one(scale, budget):
    """The sum of a target's score and its loss is rounded: exp of the difference from it may be infinite."""
    at = problem(bias=False)
    at = at._replace(x=(at.x.detach() * scale).requires_grad_())
    found, expected = (gradients(form, at) for form in (
        fused("cross_entropy", at, budget=budget), unfused("cross_entropy", at)
    ))  # fmt: skip
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13 * float(theirs.abs().max()))


# Rows and shapes


@losses
@reductions
def test_ignored_rows_may_hold_anything(loss, reduction):
    at = problem(ignored=True)
    with torch.no_grad():
        at.x[at.target == IGNORE] = torch.nan
    found = fused(loss, at, reduction)
    dx, *others = gradients(found.sum(), at)
    kept = at.target != IGNORE
    without = at._replace(x=at.x.detach()[kept].requires_grad_(), target=at.target[kept])
    expected = fused(loss, without, reduction)
    torch.testing.assert_close(found[kept] if reduction == "none" else found, expected, rtol=1e-14, atol=0)
    assert not dx[~kept].any()
    for ours, theirs in zip((dx[kept], *others), gradients(expected.sum(), without), strict=True):
        assert torch.equal(ours, theirs)


@losses
@reductions
def test_only_ignored_rows_and_no_rows(loss, reduction):
    for n in (23, 0):
        at = problem()
        at = at._replace(x=at.x.detach()[:n].requires_grad_(), target=torch.full((n,), IGNORE))
        found = fused(loss, at, reduction)
        assert found.shape == ((n,) if reduction == "none" else ())
        assert not found.any()
        assert all(gradient is not None and not gradient.any() for gradient in gradients(found.sum(), at))


@losses
def test_any_number_of_dimensions(loss):
    at = problem(shape=(24, 7, 5))
    x, target = at.x.reshape(2, 3, 4, 5), at.target.reshape(2, 3, 4)
    for reduction in REDUCTIONS:
        found = LOSSES[loss](x, at.weight, target, at.bias, reduction=reduction)
        flat = LOSSES[loss](at.x, at.weight, at.target, at.bias, reduction=reduction)
        assert torch.equal(found, flat.reshape(target.shape) if reduction == "none" else flat)
    row = LOSSES[loss](at.x[0], at.weight, at.target[0], at.bias, reduction="none")
    assert row.shape == ()


@losses
def test_memory_layouts_and_types_of_targets(loss):
    at = problem()
    expected = fused(loss, at)
    strided = at._replace(x=at.x.t().contiguous().t(), weight=at.weight.t().contiguous().t())
    torch.testing.assert_close(fused(loss, strided), expected, rtol=1e-14, atol=0)
    assert torch.equal(fused(loss, at._replace(target=at.target.int())), expected)


@losses
@pytest.mark.parametrize("needed", list(itertools.product((False, True), repeat=3))[1:])
def test_only_what_is_needed_is_computed(loss, needed):
    at = problem()
    parts = [part.detach().requires_grad_(need) for part, need in zip(at.inputs, needed, strict=True)]
    one = fused(loss, at._replace(x=parts[0], weight=parts[1], bias=parts[2]), budget=4000)
    one.backward()
    full = gradients(fused(loss, at, budget=4000), at)
    for part, need, gradient in zip(parts, needed, full, strict=True):
        assert part.grad is None if not need else torch.equal(part.grad, gradient)


@losses
def test_without_gradients(loss):
    at = problem()
    for budget in BUDGETS.values():
        with torch.no_grad():
            found = fused(loss, at, budget=budget)
        assert not found.requires_grad
        torch.testing.assert_close(found, fused(loss, at, budget=budget).detach(), rtol=1e-14, atol=0)


# Rules of torch


@losses
@reductions
def test_a_second_backward_pass_gives_the_same_bits(loss, reduction):
    at = problem(weights=True)
    found = fused(loss, at, reduction, budget=8704)
    upstream = torch.randn(found.shape, dtype=torch.float64)
    first = gradients_kept(found, at, upstream)
    assert all(map(torch.equal, first, gradients_kept(found, at, upstream)))
    again = fused(loss, at, reduction, budget=8704)
    assert torch.equal(found, again)
    assert all(map(torch.equal, first, gradients(again, at, upstream)))


def gradients_kept(loss, at, upstream):
    return torch.autograd.grad(loss, at.inputs, upstream, retain_graph=True)


@losses
@reductions
def test_compiled_has_the_same_bits(loss, reduction):
    at = problem(weights=True, ignored=True)

    def total(x, weight, bias):
        return fused(loss, at._replace(x=x, weight=weight, bias=bias), reduction, budget=8704).sum()

    compiled = torch.compile(total, backend="aot_eager", fullgraph=True)
    found, expected = compiled(*at.inputs), total(*at.inputs)
    assert torch.equal(found, expected)
    assert all(map(torch.equal, gradients(found, at), gradients(expected, at)))


@losses
def test_opcheck(loss):
    at = problem((5, 7, 3), weights=True)
    settings = (loss, DELTA, 0.1 if loss == "cross_entropy" else 0.0, IGNORE)
    layer = (*at[:3], at.bias, at.class_weight)
    torch.library.opcheck(
        operators.linear_loss, (*layer, None, *settings, True, 400, torch.float64, [True, True, True])
    )
    torch.library.opcheck(operators.linear_losses, (*layer, *settings, 400, torch.float64))


@losses
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_rounds_the_operands_only(loss, dtype):
    at = problem(dtype=torch.float32)
    rounded = doubled(at)
    rounded = rounded._replace(x=at.x.detach().to(dtype).double().requires_grad_())
    rounded = rounded._replace(weight=at.weight.detach().to(dtype).double().requires_grad_())
    with torch.autocast("cpu", dtype):
        found = fused(loss, at)
        compiled = torch.compile(lambda: fused(loss, at), backend="aot_eager", fullgraph=True)()
    expected = fused(loss, rounded)
    assert found.dtype == torch.float32
    assert torch.equal(found, compiled)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    for ours, theirs in zip(gradients(found, at), gradients(expected, rounded), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


@losses
@reductions
def test_second_derivatives_are_refused(loss, reduction):
    at = problem()
    with pytest.raises(CapabilityError, match="create_graph must be False"):
        torch.autograd.grad(fused(loss, at, reduction).sum(), at.x, create_graph=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")  # of torch, about itself
@losses
@reductions
def test_tangents_are_refused(loss, reduction):
    """They would be lost: torch takes the derivative of an operator in forward mode to be 0."""
    at = problem()
    with forward_ad.dual_level():
        for k, name in enumerate(("x", "weight", "bias")):
            parts = [part.detach() for part in at.inputs]
            parts[k] = forward_ad.make_dual(parts[k], torch.ones_like(parts[k]))
            with pytest.raises(CapabilityError, match=f"{name} must not have a tangent"):
                fused(loss, at._replace(x=parts[0], weight=parts[1], bias=parts[2]), reduction)


@losses
def test_mapped_rows_are_refused(loss):
    """Inside of it, x does not tell that it needs a gradient."""
    at = problem()
    x, target = at.x[:20].reshape(4, 5, -1), at.target[:20].reshape(4, 5)
    with pytest.raises(CapabilityError, match=r"x must not be mapped by torch\.vmap"):
        torch.func.vmap(lambda x, target: LOSSES[loss](x, at.weight, target))(x, target)


@losses
def test_no_features_and_no_data(loss):
    x, weight, target = torch.ones(2, 3, 0), torch.ones(5, 0), torch.ones(2, 3, dtype=torch.int64)
    expected = torch.tensor(5.0).log() if loss == "cross_entropy" else torch.tensor(4.0)
    torch.testing.assert_close(LOSSES[loss](x, weight, target), expected, rtol=1e-7, atol=0)
    found = LOSSES[loss](*(part.to("meta") for part in (x, weight, target)), reduction="none")
    assert (found.shape, found.device.type) == ((2, 3), "meta")


def test_gradients_in_float16_do_not_underflow():
    """The mean of 8,192 rows: gradients of 1e-8 before the factor of a gradient scaler, too small for float16."""
    at = problem((8192, 5, 3), torch.float16)
    exact = doubled(at)
    found, expected = (gradients(2.0**16 * fused("cross_entropy", given), given) for given in (at, exact))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float16
        torch.testing.assert_close(ours.double(), theirs, rtol=2.0**-10, atol=2.0**-24)


# Errors


LONGS, HALVES = torch.ones(4, 3, dtype=torch.int64), torch.ones(4, 3).half()
WRONG = {
    "shape of weight": ({"weight": torch.ones(4, 9)}, "x and weight must have shapes"),
    "shape of target": ({"target": LONGS[0]}, r"target must have shape \(2,\), got \(3,\)"),
    "type of target": ({"target": torch.zeros(2)}, "target must hold integers .* use target.long"),
    "one-hot target": ({"target": torch.eye(4)[:2]}, r"got \(2, 4\); for one-hot rows use target.argmax"),
    "array": ({"target": np.zeros(2, int)}, "target must be a tensor, got ndarray; use torch.as_tensor"),
    "list": ({"x": [[1.0] * 3] * 2}, "x must be a tensor, got list"),
    "order of arguments": ({"weight": LONGS[:2, 0], "target": torch.ones(4, 3)}, "x and weight must have shapes"),
    "number as bias": ({"bias": 1.0}, "bias must be a tensor, got float"),
    "type of weight": ({"weight": HALVES}, "got torch.float32; use x.to.torch.float16"),
    "type of x": ({"x": LONGS[:2], "weight": LONGS}, "x must hold real numbers of a floating type"),
    "complex bias": ({"bias": torch.ones(4) * 1j}, "bias must hold real numbers, got torch.complex64"),
    "nothing": ({"weight": None}, "weight must be a tensor, got NoneType"),
    "device of weight": (
        {"weight": torch.ones(4, 3, device="meta")},
        "weight must be on the device of x, cpu, got meta",
    ),
    "device of target": (
        {"target": torch.tensor([0, 1], device="meta")},
        "target must be on the device of x, cpu",
    ),
    "no features": (
        {"x": torch.ones(3, 0), "weight": torch.ones(4, 0)},
        r"target must have shape \(3,\), got \(2,\)",
    ),
    "bias": ({"bias": torch.ones(3)}, r"bias must have shape \(4,\), got \(3,\)"),
    "class_weight": ({"class_weight": torch.ones(5)}, r"class_weight must have shape \(4,\), got \(5,\)"),
    "gradient": ({"class_weight": torch.ones(4, requires_grad=True)}, "class_weight must not require a gradient"),
    "large target": ({"target": torch.tensor([1, 4])}, "target must hold classes from 0 to 3, .* got 4 in row 1"),
    "negative target": ({"target": torch.tensor([-1, 0])}, "got -1 in row 0"),
}


@losses
@pytest.mark.parametrize(("wrong", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_match_is_named(loss, wrong, words):
    given = {"x": torch.ones(2, 3), "weight": torch.ones(4, 3), "target": torch.tensor([0, 1]), **wrong}
    with pytest.raises(DataError, match=words):
        LOSSES[loss](**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reduction", "max"),
        ("delta", 0.0),
        ("delta", float("nan")),
        ("budget", 0),
        ("ignore_index", None),
        ("label_smoothing", 1.5),
    ],
)
def test_invalid_options_are_named(name, value):
    loss = "cross_entropy" if name == "label_smoothing" else "hinge"
    with pytest.raises(ParameterError, match=name):
        LOSSES[loss](torch.ones(2, 3), torch.ones(4, 3), torch.tensor([0, 1]), **{name: value})
