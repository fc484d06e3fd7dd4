"""The layers: their state, their loss, and the way to a certified model and back."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import softmargin as sm
from softmargin.errors import DataError, ParameterError
from tests.torch.heads import LOSSES

LAYERS = {
    "hinge": sm.torch.LinearHinge,
    "squared_hinge": sm.torch.LinearSquaredHinge,
    "cross_entropy": sm.torch.LinearCrossEntropy,
}
OBJECTS = {"hinge": sm.Hinge(0.7), "squared_hinge": sm.SquaredHinge(0.7), "cross_entropy": sm.CrossEntropy()}

layers = pytest.mark.parametrize("loss", LAYERS)


def make(loss, **options):
    delta = {} if loss == "cross_entropy" else {"delta": 0.7}
    return LAYERS[loss](5, 4, **{"dtype": torch.float64, **delta, **options})


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), np.arange(60) % 4
    X[:, :4] += np.eye(4)[y]
    return torch.from_numpy(X), torch.from_numpy(y)


@layers
def test_a_layer_is_a_linear_layer_with_a_loss(loss, samples):
    X, y = samples
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    options = {"reduction": "sum", "ignore_index": 3, "class_weight": weights, "budget": 300}
    layer = make(loss, **options)
    delta = {} if loss == "cross_entropy" else {"delta": 0.7}
    assert torch.equal(layer(X, y), LOSSES[loss](X, layer.weight, y, layer.bias, **options, **delta))
    plain = nn.Linear(5, 4, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer.scores(X), plain(X))
    assert "in_features=5, out_features=4, bias=True" in repr(layer)
    assert torch.equal(copy.deepcopy(layer)(X, y), layer(X, y))
    assert layer.to(torch.float32).class_weight.dtype == torch.float32


@layers
def test_a_compiled_layer_has_the_same_bits(loss, samples):
    layer = make(loss, class_weight=torch.rand(4, dtype=torch.float64))
    found, expected = torch.compile(layer, backend="aot_eager", fullgraph=True)(*samples), layer(*samples)
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(each, layer.weight)[0] for each in (found, expected)))


def test_label_smoothing():
    layer = make("cross_entropy", label_smoothing=0.25)
    X, y = torch.ones(4, 5, dtype=torch.float64), torch.arange(4)
    expected = nn.functional.cross_entropy(layer.scores(X), y, label_smoothing=0.25)
    torch.testing.assert_close(layer(X, y), expected)
    with pytest.raises(ParameterError, match="label_smoothing must be a number from 0 to 1, got 2"):
        make("cross_entropy", label_smoothing=2)


@layers
def test_a_step_of_sgd_lowers_the_loss(loss, samples):
    layer = make(loss)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    first = layer(*samples)
    first.backward()
    optimizer.step()
    assert layer(*samples) < first


@layers
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_certified_and_put_back(loss, bias, weighted, samples):
    X, y = samples
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64) if weighted else None
    layer = make(loss, bias=bias, class_weight=weights)
    model = layer.to_model(X, y, reg=0.1, tol=1e-6)
    assert model.converged
    assert model.loss == OBJECTS[loss]
    assert bool(model.b.any()) == bias
    best = LAYERS[loss].from_model(model, bias=bias, class_weight=weights, dtype=torch.float64)
    value = best(X, y) + 0.1 * (best.weight**2).sum()
    torch.testing.assert_close(value.item(), model.value, rtol=1e-12, atol=0)
    np.testing.assert_allclose(best.scores(X).detach().numpy(), model.scores(X.numpy()), rtol=1e-12, atol=1e-12)
    assert best.gap(X, y, model) == pytest.approx(model.gap, abs=1e-12)
    own = layer(X, y) + 0.1 * (layer.weight**2).sum()
    assert layer.gap(X, y, model) == pytest.approx(1.0 - model.lower_bound / own.item(), abs=1e-12)
    # The gradient of torch agrees that it is the optimum; the hinge has kinks there.
    if loss != "hinge":
        value.backward()
        assert best.weight.grad.norm() <= 1e-2 * value


def test_features_of_other_types(samples):
    X, y = samples
    layer = make("squared_hinge")
    exact = layer.to_model(X.bfloat16().double(), y, reg=0.1)
    for given in (X.bfloat16(), X.bfloat16().float().requires_grad_(), X.bfloat16().float().numpy()):
        assert layer.to_model(given, y, reg=0.1).value == pytest.approx(exact.value, rel=1e-4)
    ignored = torch.cat([y, torch.tensor([-100])])
    more = torch.cat([X.bfloat16(), torch.full((1, 5), torch.nan)])
    assert layer.to_model(more, ignored, reg=0.1).n_samples == 60


def test_what_does_not_match_is_named(samples):
    X, y = samples
    layer = make("hinge")
    with pytest.raises(DataError, match=r"shapes \(N, 5\) and \(N,\), got \(60, 4\) and \(60,\)"):
        layer.to_model(X[:, :4], y, reg=0.1)
    with pytest.raises(DataError, match=r"target must contain each class from 0 to 3, .* got \[0, 1, 2\]"):
        layer.to_model(X[y < 3], y[y < 3], reg=0.1)
    model = layer.to_model(X, y, reg=0.1)
    with pytest.raises(ParameterError, match="bias must be True, got False"):
        sm.torch.LinearHinge.from_model(model, bias=False)
    with pytest.raises(ParameterError, match="model must be a Model, got LinearClassifier"):
        sm.torch.LinearHinge.from_model(sm.LinearClassifier("hinge", reg=0.1))
    for other in (sm.torch.LinearHinge(5, 4), make("squared_hinge"), sm.torch.LinearHinge(6, 4, delta=0.7)):
        with pytest.raises(ParameterError, match=r"model must be of .* features and 4 classes, got Hinge"):
            other.gap(X, y, model)
    with pytest.raises(ParameterError, match="model must have the loss 'cross_entropy', got 'hinge'"):
        sm.torch.LinearCrossEntropy.from_model(model)
    with pytest.raises(ParameterError, match=r"model must be a Model, got '.*'; softmargin"):
        sm.torch.LinearHinge.from_model("m.safetensors")
    unit = sm.LinearClassifier("hinge", reg=0.1, normalize_rows=True).fit(X.numpy(), y.numpy())
    with pytest.raises(ParameterError, match="divides rows by their length"):
        sm.torch.LinearHinge.from_model(unit.to_model(sm.Dataset(X.numpy(), y.numpy(), "x")))
    zero = make("hinge", class_weight=torch.tensor([0.0, 1.0, 1.0, 1.0]))
    with pytest.raises(DataError, match="class_weight must be positive"):
        zero.to_model(X, y, reg=0.1)


# The package


def test_torch_is_imported_when_it_is_used():
    code = "import sys, softmargin as sm; before = 'torch' in sys.modules; sm.torch.LinearHinge; print(before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_a_missing_torch_is_named():
    code = "import sys; sys.modules['torch'] = None\nimport softmargin.torch"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "softmargin.torch needs the package torch; in the source folder of softmargin run: " in run.stderr


def test_these_names_and_no_others():
    names = [made.__name__ for made in (*LAYERS.values(), *LOSSES.values())]
    assert sorted(sm.torch.__all__) == sorted(names)
    assert all(getattr(sm.torch, name).__doc__ for name in names)
